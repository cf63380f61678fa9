// Package peers starts real mail systems for the tests that talk to them:
// Postfix, Exim, OpenSMTPD, Dovecot's LMTP, the mail filters OpenDKIM and rspamd,
// and swaks as a client. It never installs anything, never listens outside
// 127.0.0.1, never asks a name server and leaves no process, mount or file behind;
// of a test that is killed, only files.
//
// scripts/peers.sh (make peers) unpacks the Debian packages into a cache folder;
// a peer that is not there makes the test skip, and so does a test that is not
// root. Every server runs in mount and process namespaces of its own, in which its
// package is laid over /usr, its configuration over /etc, and its folder is /srv.
// When the first process of a process namespace dies, the kernel ends the rest.
//
// Start reading at [Config], then [Postfix] and ns.sh.
package peers

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Config says what a server shall do. The zero value takes no mail at all,
// except at Dovecot, which delivers for every address unless Users is set.
type Config struct {
	Hostname string            // what it calls itself; "" for "postfix.test", "exim.test" and so on
	Domains  []string          // whose mail it delivers, into files that Mail reads
	Users    []string          // the only addresses that exist there; none: every one of Domains. Others are refused with 550
	Discard  bool              // accept what it would deliver and throw it away; not at Dovecot
	Relay    string            // "127.0.0.1:PORT" takes all other mail; "": other mail is refused. Not at Dovecot
	Quota    string            // the size of a mailbox, like "10k"; "": no bound. Only at Dovecot
	TLS      bool              // offer STARTTLS with a certificate made for Hostname (Server.CertFile)
	Extra    string            // more lines for the main part of the configuration file, verbatim
	Files    map[string]string // more files, by name; the server sees them as /srv/NAME
}

// A Server is a running mail system. It ends with the test.
type Server struct {
	Hostname string // what it calls itself in its greeting
	Addr     string // "127.0.0.1:PORT": SMTP, or LMTP at Dovecot
	Socket   string // path of the LMTP socket; only Dovecot
	CertFile string // the certificate, its own issuer; "" without Config.TLS
	Dir      string // its folder, /srv in its own eyes

	recipe recipe
	config Config
	tree   string
	port   int
	init   *process
}

// recipe is what differs between the mail systems.
type recipe struct {
	name    string                   // of the peer and its tree
	mounts  []string                 // "NAME:/PATH": folder NAME of Dir is bound to PATH, made where it is missing
	setup   func(*Server) error      // writes the configuration
	command []string                 // runs in the foreground until SIGTERM
	list    []string                 // prints the queue
	parse   func(out []byte) []Entry // reads what list printed
	flush   []string                 // tries all queued mail now
	greets  func(*Server) bool       // whether it answers; nil: it speaks SMTP or LMTP
}

// An Entry is a message in a server's queue.
type Entry struct {
	ID   string
	From string // "" for the null path
	To   []string
	Why  string // what the server says of the last attempt, word for word; "" if nothing (always at Exim)
}

// Queue lists what waits in the server's queue; Dovecot has none.
func (s *Server) Queue(t testing.TB) []Entry {
	t.Helper()
	if s.recipe.list == nil {
		return nil
	}
	out, err := s.Run(s.recipe.list...)
	if err != nil {
		t.Fatalf("peers: %s: list the queue: %v\n%s", s.recipe.name, err, out)
	}
	return s.recipe.parse(out)
}

// Flush makes the server try all mail that waits in its queue, now.
func (s *Server) Flush(t testing.TB) {
	t.Helper()
	if s.recipe.flush == nil {
		return
	}
	if out, err := s.Run(s.recipe.flush...); err != nil {
		t.Fatalf("peers: %s: flush: %v\n%s", s.recipe.name, err, out)
	}
}

// Mail returns the messages delivered so far for the address rcpt, all of them
// if it is "", oldest first. They are as the server stored them: with bare LF,
// and with the trace lines it put on top.
func (s *Server) Mail(rcpt string) [][]byte {
	type message struct {
		at   time.Time
		name string
		data []byte
	}
	var found []message
	filepath.WalkDir(s.path("mail"), func(path string, d fs.DirEntry, err error) error {
		folder := filepath.Base(filepath.Dir(path))
		if err != nil || d.IsDir() || folder != "new" && folder != "cur" {
			return nil // a message on its way from tmp to new may vanish under us
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		data, err := os.ReadFile(path)
		if err == nil && (rcpt == "" || strings.EqualFold(recipient(path, data), rcpt)) {
			found = append(found, message{info.ModTime(), d.Name(), data})
		}
		return nil
	})
	slices.SortFunc(found, func(a, b message) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return strings.Compare(a.name, b.name)
	})
	var all [][]byte
	for _, m := range found {
		all = append(all, m.data)
	}
	return all
}

// recipient returns the address for which a stored message was delivered.
// Dovecot keeps a maildir for each address and tells a message for several of
// them of none; Postfix and OpenSMTPD write Delivered-To, Exim Envelope-to.
func recipient(path string, message []byte) string {
	if owner := filepath.Base(filepath.Dir(filepath.Dir(path))); strings.Contains(owner, "@") {
		return owner
	}
	head, _, _ := bytes.Cut(message, []byte("\n\n"))
	for line := range bytes.Lines(head) {
		name, value, _ := strings.Cut(string(line), ":")
		switch textproto.CanonicalMIMEHeaderKey(name) {
		case "Delivered-To", "Envelope-To":
			return strings.Trim(value, " <>\r\n")
		}
	}
	return ""
}

// WaitMail waits until n messages were delivered, for whomever, and returns
// them. It ends the test when they have not come in time.
func (s *Server) WaitMail(t testing.TB, n int, timeout time.Duration) [][]byte {
	t.Helper()
	var got [][]byte
	s.await(t, fmt.Sprintf("%d messages", n), timeout, func() bool {
		got = s.Mail("")
		return len(got) >= n
	})
	return got
}

// WaitLog waits until text stands in the server's log and returns the log. It
// ends the test when it has not come in time.
func (s *Server) WaitLog(t testing.TB, text string, timeout time.Duration) string {
	t.Helper()
	var log string
	s.await(t, fmt.Sprintf("%q in the log", text), timeout, func() bool {
		log = s.Log()
		return strings.Contains(log, text)
	})
	return log
}

// WaitQueue waits until n messages wait in the queue and returns them. It ends
// the test when that has not come in time.
func (s *Server) WaitQueue(t testing.TB, n int, timeout time.Duration) []Entry {
	t.Helper()
	var got []Entry
	s.await(t, fmt.Sprintf("%d queued", n), timeout, func() bool {
		got = s.Queue(t)
		return len(got) == n
	})
	return got
}

// await polls until done, or ends the test; the log is shown with every failed test.
func (s *Server) await(t testing.TB, what string, timeout time.Duration, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("peers: %s: no %s within %v", s.recipe.name, what, timeout)
		}
	}
}

// Log returns all that the server has logged or printed so far.
func (s *Server) Log() string {
	var b strings.Builder
	files, _ := filepath.Glob(s.path("log", "*"))
	for _, f := range files {
		text, _ := os.ReadFile(f)
		b.Write(text)
	}
	return b.String()
}

// path returns the path, seen from outside, of a file in the server's folder.
func (s *Server) path(elem ...string) string {
	return filepath.Join(append([]string{s.Dir}, elem...)...)
}

// serves reports whether the server delivers any mail itself.
func (s *Server) serves() bool { return len(s.config.Domains) > 0 }

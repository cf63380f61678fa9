package peers

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// OpenSMTPD starts an OpenSMTPD that delivers mail for c.Domains into a maildir
// and hands all other mail from this machine to c.Relay. Its retries are
// compiled in and start at minutes: use Flush. With c.TLS Debian's 6.8.0p2 offers
// STARTTLS and then fails every handshake, as hosts in the world do that run it
// (github.com/OpenSMTPD/OpenSMTPD/issues/1171).
func OpenSMTPD(t testing.TB, c Config) *Server {
	t.Helper()
	return start(t, c, recipe{
		name:    "opensmtpd",
		mounts:  []string{"spool:/var/spool/smtpd", "run:/run", "empty:/var/lib/opensmtpd/empty"},
		setup:   setupOpenSMTPD,
		command: []string{"smtpd", "-d"},
		list:    smtpctl("smtpctl show queue"),
		parse:   parseSmtpctlQueue,
		flush:   smtpctl(flushOpenSMTPD),
	})
}

// smtpctl runs a script under the group that smtpctl insists on: installed, it
// would be set-group-ID.
func smtpctl(script string) []string {
	return []string{"setpriv", "--regid", smtpqID.name, "--clear-groups", "sh", "-c", script}
}

// A host that did not answer gets no connection for a while unless its route is resumed.
const flushOpenSMTPD = `set -e
smtpctl show routes | while IFS=. read -r id rest; do smtpctl resume route "$id"; done
smtpctl schedule all`

func setupOpenSMTPD(s *Server) error {
	var b strings.Builder
	b.WriteString("smtp max-message-size \"35M\"\n" + s.config.Extra + "\n")
	tls := ""
	if s.config.TLS {
		fmt.Fprintf(&b, "pki %s cert \"/srv/tls/cert.pem\"\npki %[1]s key \"/srv/tls/key.pem\"\n", s.Hostname)
		tls = " tls pki " + s.Hostname
	}
	fmt.Fprintf(&b, "listen on 127.0.0.1 port %d hostname %s%s\n", s.port, s.Hostname, tls)
	if s.serves() {
		how := `maildir "/srv/mail"`
		if s.config.Discard {
			how = `mda "cat >/dev/null"`
		}
		fmt.Fprintf(&b, "table mailboxes file:/srv/mailboxes\naction \"ours\" %s virtual <mailboxes>\n", how)
		ours := strings.Join(s.config.Domains, ", ")
		known := ""
		if len(s.config.Users) > 0 { // an address without a mailbox would be told 524 "Mailing list expansion problem"
			known = " rcpt-to { " + strings.Join(s.config.Users, ", ") + " }"
		}
		fmt.Fprintf(&b, "match from any for domain { %s }%s action \"ours\"\nmatch from any for domain { %[1]s } reject\n", ours, known)
	}
	if s.config.Relay != "" {
		fmt.Fprintf(&b, "action \"out\" relay host \"smtp://%s\"\nmatch from any for any action \"out\"\n", s.config.Relay)
	}
	if err := s.write("etc/smtpd.conf", b.String(), 0o644); err != nil {
		return err
	}
	if err := s.write("mailboxes", s.mailboxes("%s: "+vmail.name+"\n"), 0o644); err != nil {
		return err
	}
	return s.openSMTPDSpool()
}

// openSMTPDSpool makes the folders as smtpd insists on them: it makes them
// itself only where it is installed.
func (s *Server) openSMTPDSpool() error {
	if err := os.Chmod(s.path("spool"), 0o711); err != nil {
		return err
	}
	for _, d := range []string{"corrupt", "incoming", "purge", "queue", "temporary", "offline"} {
		path, mode, user, group := s.path("spool", d), os.FileMode(0o700), smtpqID.id, 0
		if d == "offline" { // where its sendmail puts mail while it is down
			mode, user, group = 0o770, 0, smtpqID.id
		}
		if err := os.MkdirAll(path, mode); err != nil {
			return err
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
		if err := os.Chown(path, user, group); err != nil {
			return err
		}
	}
	return nil
}

// parseSmtpctlQueue reads a line of fields for every recipient, see smtpctl(8):
// event, address family, kind, flags, sender, recipient, … and last the reason
// of the last failure.
func parseSmtpctlQueue(out []byte) []Entry {
	var all []Entry
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "|")
		if len(f) < 7 {
			continue
		}
		id := f[0]
		if len(id) > 8 {
			id = id[:8] // the message; the rest is the recipient's
		}
		if n := len(all); n > 0 && all[n-1].ID == id {
			all[n-1].To = append(all[n-1].To, f[5])
			continue
		}
		all = append(all, Entry{ID: id, From: f[4], To: []string{f[5]}, Why: f[len(f)-1]})
	}
	return all
}

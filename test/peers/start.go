package peers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// startup bounds how long a server may take until it greets. It is generous: the
// machine may be busy with everything else.
const startup = 30 * time.Second

// account is a user and group of the namespace's own /etc/passwd.
type account struct {
	name string
	id   int
	home string
}

// The names are compiled into the packages; the numbers are ours. Postfix's
// postdrop is only a group, but a user of that name does no harm.
var (
	vmail     = account{"vmail", 7009, "/srv/mail"} // owns what is delivered
	postfixID = account{"postfix", 7001, "/nonexistent"}
	eximID    = account{"Debian-exim", 7003, "/nonexistent"}
	smtpqID   = account{"opensmtpq", 7005, "/nonexistent"}
	accounts  = []account{
		vmail, postfixID, {"postdrop", 7002, "/nonexistent"}, eximID,
		{"opensmtpd", 7004, "/var/lib/opensmtpd/empty"}, smtpqID,
		{"dovecot", 7006, "/nonexistent"}, {"dovenull", 7007, "/nonexistent"},
	}
)

// Tree returns the folder into which scripts/peers.sh unpacked a peer, or ends
// the test as skipped, with the reason, if it is not there.
func Tree(t testing.TB, name string) string {
	t.Helper()
	cache := os.Getenv("POSTRIDER_PEERS")
	if cache == "" {
		folder, err := os.UserCacheDir()
		if err != nil {
			t.Skipf("%s not unpacked: %v", name, err)
		}
		cache = filepath.Join(folder, "postrider-peers")
	}
	tree := filepath.Join(cache, name)
	if _, err := os.Stat(filepath.Join(tree, ".stamp")); err != nil {
		t.Skipf("%s not unpacked: run make peers", name)
	}
	return tree
}

// start makes the server's folder and configuration and runs it until the test ends.
func start(t testing.TB, c Config, r recipe) *Server {
	t.Helper()
	tree := Tree(t, r.name)
	if err := isolation(); err != nil {
		t.Skipf("%s needs namespaces of its own: %v", r.name, err)
	}
	// Not t.TempDir: its folders are closed to the server's users, and its long
	// names leave no room for the 108 bytes of a Unix socket's path.
	dir, err := os.MkdirTemp("", "peer-"+r.name+"-")
	if err != nil {
		t.Fatalf("peers: %v", err)
	}
	s := &Server{Hostname: c.Hostname, Dir: dir, recipe: r, config: c, tree: tree}
	if s.Hostname == "" {
		s.Hostname = r.name + ".test"
	}
	var claims []io.Closer
	t.Cleanup(func() {
		s.init.kill()
		for _, c := range claims {
			c.Close()
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", r.name, tail(s.Log(), 8<<10))
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("peers: %v", err)
		}
	})
	// A free port may be taken by another before our server binds it. Not every
	// server says so: Postfix's last words are lost with its log service.
	for try := 1; ; try++ {
		var claim io.Closer
		if s.port, claim, err = claimPort(); err != nil {
			t.Fatalf("peers: %s: %v", r.name, err)
		}
		claims = append(claims, claim)
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
		if err := s.prepare(); err != nil {
			t.Fatalf("peers: %s: %v", r.name, err)
		}
		err := s.launch()
		if err == nil {
			return s
		}
		if try == 3 || !errors.Is(err, errEnded) {
			t.Fatalf("peers: %s: %v", r.name, err)
		}
	}
}

// Stop ends the server in its own orderly way; what it has on disk remains.
func (s *Server) Stop() { s.init.stop(5 * time.Second) }

// Start runs a stopped server again: same port, same queue, same mail.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.init.kill()
	if err := s.launch(); err != nil {
		t.Fatalf("peers: %s: start again: %v", s.recipe.name, err)
	}
}

// Run runs a command as the server's administrator would: beside the server,
// with its programs and files. It returns all that the command printed.
func (s *Server) Run(args ...string) ([]byte, error) {
	select {
	case <-s.init.ended:
		return nil, fmt.Errorf("peers: %s is stopped", s.recipe.name)
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), startup)
	defer cancel()
	enter := []string{"--target", strconv.Itoa(s.init.pid()), "--mount", "--pid", "--root", "--wd", "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.Env = environment
	return cmd.CombinedOutput()
}

var environment = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "TZ=UTC"}

var errEnded = errors.New("ended before it greeted")

// launch starts the server's processes and returns once it greets.
func (s *Server) launch() error {
	args := append([]string{s.path("ns.sh"), s.tree, s.Dir}, s.recipe.mounts...)
	args = append(append(args, "--"), s.recipe.command...)
	console, err := os.OpenFile(s.path("log", "console"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer console.Close()
	cmd := exec.Command("/bin/sh", args...)
	cmd.Env, cmd.Dir = environment, "/"
	cmd.Stdout, cmd.Stderr = console, console
	if s.init, err = spawn(cmd); err != nil {
		return err
	}
	for deadline := time.Now().Add(startup); ; time.Sleep(20 * time.Millisecond) {
		select {
		case <-s.init.ended:
			return fmt.Errorf("%w: %v", errEnded, cmd.ProcessState)
		default:
		}
		if s.greets() {
			return nil
		}
		if time.Now().After(deadline) {
			s.init.kill()
			return fmt.Errorf("no greeting at %s within %v", s.Addr, startup)
		}
	}
}

// greets reports whether the server answers at its port, and not somebody else.
func (s *Server) greets() bool {
	if s.recipe.greets != nil {
		return s.recipe.greets(s)
	}
	c, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	line, _ := bufio.NewReader(c).ReadString('\n')
	fmt.Fprint(c, "QUIT\r\n")
	return strings.HasPrefix(line, "220") && strings.Contains(line, s.Hostname)
}

// prepare fills the server's folder.
func (s *Server) prepare() error {
	for _, d := range []string{"", "etc", "mail", "log", "spool", "run", "empty"} {
		if err := os.MkdirAll(s.path(d), 0o755); err != nil {
			return err
		}
		if err := os.Chmod(s.path(d), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chown(s.path("mail"), vmail.id, vmail.id); err != nil {
		return err
	}
	files := map[string]string{
		"etc/mailname":      s.Hostname + "\n",
		"etc/hosts":         "127.0.0.1 localhost " + s.Hostname + "\n",
		"etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n",
		"ns.sh":             nsScript,
		// "lookup file" is for OpenSMTPD, which has a resolver of its own.
		"etc/resolv.conf": "lookup file\nnameserver 127.0.0.1\n",
	}
	for _, name := range []string{"passwd", "group", "shadow"} {
		files["etc/"+name] = withAccounts(name)
	}
	maps.Copy(files, s.config.Files)
	for name, text := range files {
		if err := s.write(name, text, 0o644); err != nil {
			return err
		}
	}
	if s.config.TLS {
		if err := s.certify(); err != nil {
			return err
		}
	}
	return s.recipe.setup(s)
}

// write makes a file of the server's folder.
func (s *Server) write(name, text string, mode os.FileMode) error {
	path := s.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil { // whatever the umask
		return err
	}
	if err := os.Chmod(path, mode); err != nil {
		return err
	}
	// Postfix will not read a main.cf younger than two seconds: it might be half written.
	past := time.Now().Add(-time.Minute)
	return os.Chtimes(path, past, past)
}

// withAccounts returns the machine's /etc/NAME with the peers' users instead of
// any of the same names.
func withAccounts(name string) string {
	old, _ := os.ReadFile(filepath.Join("/etc", name))
	var b strings.Builder
	for line := range strings.Lines(string(old)) {
		user, _, _ := strings.Cut(line, ":")
		if !slices.ContainsFunc(accounts, func(a account) bool { return a.name == user }) {
			b.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	for _, a := range accounts {
		switch name {
		case "passwd":
			fmt.Fprintf(&b, "%s:x:%d:%d::%s:/usr/sbin/nologin\n", a.name, a.id, a.id, a.home)
		case "group":
			fmt.Fprintf(&b, "%s:x:%d:\n", a.name, a.id)
		case "shadow":
			fmt.Fprintf(&b, "%s:*:19000:0:99999:7:::\n", a.name)
		}
	}
	return b.String()
}

// claimPort finds a port below the kernel's ephemeral range, in which any
// outgoing connection could take it from us. It is ours among all tests of this
// machine that use this package until claim is closed.
func claimPort() (port int, claim io.Closer, err error) {
	for range 200 {
		port = 20000 + rand.IntN(12000)
		// A name in the abstract namespace leaves no file, and ends with the test.
		claim, err = net.Listen("unix", fmt.Sprintf("@postrider-peers/%d", port))
		if err != nil {
			continue
		}
		probe, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			probe.Close()
			return port, claim, nil
		}
		claim.Close()
	}
	return 0, nil, fmt.Errorf("no free port between 20000 and 32000: %w", err)
}

func tail(text string, n int) string {
	if len(text) > n {
		return "…" + text[len(text)-n:]
	}
	return text
}

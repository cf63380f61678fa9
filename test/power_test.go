//go:build linux

package test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const nobody = 65534

// asNobody makes a rider one of a user without any right: the folder is its own, and
// the program is where it can be reached. Pdeathsig is lost with the change of user.
func (r *rider) asNobody(caps ...uintptr) {
	r.t.Helper()
	if os.Getuid() != 0 {
		r.t.Skip("only root can become another user")
	}
	bin := filepath.Join(r.Dir, "postrider")
	b, err := os.ReadFile(r.program)
	err = errors.Join(err, os.WriteFile(bin, b, 0o755), os.Chmod(r.Dir, 0o755), os.Chown(r.Dir, nobody, nobody))
	if err != nil {
		r.t.Fatal(err)
	}
	r.program = bin
	r.Launch = func(cmd *exec.Cmd) {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		cmd.SysProcAttr.AmbientCaps = caps
	}
}

// lowPort listens below 1024, where only root and its like may.
func lowPort(t *testing.T) *net.TCPListener {
	t.Helper()
	for port := 700; port < 1024; port++ {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			t.Cleanup(func() { l.Close() })
			return l.(*net.TCPListener)
		}
	}
	t.Fatal("no free port below 1024")
	return nil
}

// pass starts a rider with sockets that are open already, as systemd does.
func (r *rider) pass(names string, sockets ...*net.TCPListener) {
	before := r.Launch
	r.Launch = func(cmd *exec.Cmd) {
		if before != nil {
			before(cmd)
		}
		for _, s := range sockets {
			f, err := s.File()
			if err != nil {
				r.t.Fatal(err)
			}
			r.t.Cleanup(func() { f.Close() })
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		}
		cmd.Env = append(cmd.Env, fmt.Sprintf("LISTEN_FDS=%d", len(sockets)), "LISTEN_FDNAMES="+names)
		cmd.Path = "/bin/sh"
		cmd.Args = append([]string{"sh", "-c", `export LISTEN_PID=$$; exec "$0" "$@"`}, cmd.Args...)
	}
}

// TestItNeedsNoRoot: as a user without any right it serves a port below 1024 that was
// passed to it, says when it is ready and when it stops, and shows nobody what it keeps.
func TestItNeedsNoRoot(t *testing.T) {
	r, box := newRider(t), newSink(t)
	r.asNobody()
	low := lowPort(t)
	r.Addr = low.Addr().String()
	r.pass("postrider.socket", low)
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(r.Dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	if err := os.Chmod(filepath.Join(r.Dir, "notify"), 0o777); err != nil {
		t.Fatal(err)
	}
	r.Env = append(r.Env, "NOTIFY_SOCKET="+filepath.Join(r.Dir, "notify"))
	told := func() string {
		b := make([]byte, 100)
		manager.SetReadDeadline(time.Now().Add(patience))
		n, err := manager.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	r.serve(route("*", "smtp:"+box.Addr))
	if got := told(); got != "READY=1" {
		t.Errorf("the manager is told %q", got)
	}
	submit(t, r.Addr, "<ann@home.test>", []string{"<bob@there.test>"}, []byte("Subject: hello\r\n\r\nhello\r\n"))
	big := []byte("Subject: big\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 30_000))
	submit(t, r.Addr, "<ann@home.test>", []string{"<bob@there.test>"}, big)
	box.wait(t, 2)
	onlyItsOwn(t, filepath.Join(r.Dir, "data"))
	if cmd := exec.Command(r.program, "queue", "--config", r.config()); asUser(cmd, 12345).Run() == nil {
		t.Error("anybody can ask for the queue")
	}
	r.stop()
	if got := told(); got != "STOPPING=1" {
		t.Errorf("the manager is told %q", got)
	}
}

func asUser(cmd *exec.Cmd, uid uint32) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return cmd
}

// onlyItsOwn reports what others could read or change below a data folder: nothing but
// the drop folder, to which they may add.
func onlyItsOwn(t *testing.T, data string) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return nil // gone by now
		}
		seen++
		want := fs.FileMode(0)
		switch rel, _ := filepath.Rel(data, path); rel {
		case ".":
			want = 0o001
		case "drop":
			want = 0o003
		case "postrider.sock":
			want = 0o005 // who may not write cannot connect (unix(7))
		}
		if got := fi.Mode().Perm() & 0o007; got != want {
			t.Errorf("%s: others have the rights %#o, want %#o", path, got, want)
		}
		if d.IsDir() && path != data {
			return fs.SkipDir // what lies in a closed folder is closed
		}
		return nil
	})
	if err != nil || seen < 5 {
		t.Errorf("%d files seen: %v", seen, err)
	}
}

// TestOneCapabilityOpensLowPorts: CAP_NET_BIND_SERVICE is all it needs beside.
func TestOneCapabilityOpensLowPorts(t *testing.T) {
	const netBindService = 10
	r, box := newRider(t), newSink(t)
	r.asNobody(netBindService)
	l := lowPort(t)
	r.Addr = l.Addr().String()
	l.Close()
	r.serve(route("*", "smtp:"+box.Addr))
	submit(t, r.Addr, "<ann@home.test>", []string{"<bob@there.test>"}, []byte("Subject: hello\r\n\r\nhello\r\n"))
	box.wait(t, 1)
}

// TestPassedSocketsAreTakenByAddressOrName also when there are several, and those that
// nobody takes are told of.
func TestPassedSocketsAreTakenByAddressOrName(t *testing.T) {
	listen := func() *net.TCPListener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l.(*net.TCPListener)
	}
	r := newRider(t)
	lmtp, extra, stray, smtp := listen(), listen(), listen(), listen()
	r.Addr, r.LMTP = smtp.Addr().String(), lmtp.Addr().String()
	r.pass("ports:second:ports:ports", lmtp, extra, stray, smtp)
	r.serve(fmt.Sprintf("[[listen]]\nkind = \"smtp\"\nname = \"second\"\naddress = %q\n", claimAddr(t)))
	for addr, want := range map[string]string{smtp.Addr().String(): "220 rider.test ESMTP", lmtp.Addr().String(): "220 rider.test LMTP", extra.Addr().String(): "220 rider.test ESMTP"} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		b := make([]byte, 200)
		if n, err := c.Read(b); err != nil || !strings.HasPrefix(string(b[:n]), want) {
			t.Errorf("%s: %q, %v; want %s", addr, b[:n], err, want)
		}
	}
	if log := r.log(); !strings.Contains(log, "no [[listen]] takes a socket") || !strings.Contains(log, stray.Addr().String()) {
		t.Errorf("nothing is said of %v", stray.Addr())
	}
}

// TestWhatIsNotNamedIsClosed: once started not even root's postrider can read a file
// outside the folders that its configuration names, or write outside its data; what is
// replaced within them is read again.
func TestWhatIsNotNamedIsClosed(t *testing.T) {
	r, box := newRider(t), newSink(t)
	named, other := filepath.Join(r.Dir, "named"), t.TempDir()
	for _, dir := range []string{named, filepath.Join(r.Dir, "archive")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// The mail itself may be on another disk.
	data := filepath.Join(r.Dir, "data")
	if err := errors.Join(os.Mkdir(data, 0o711), os.Symlink(t.TempDir(), filepath.Join(data, "spool"))); err != nil {
		t.Fatal(err)
	}
	// As certbot does: links to files that are elsewhere.
	cert, key := filepath.Join(named, "cert.pem"), filepath.Join(named, "key.pem")
	renew := func(n string) []byte {
		c, k := filepath.Join(r.Dir, "archive", "cert"+n), filepath.Join(r.Dir, "archive", "key"+n)
		der := certify(t, c, k)
		for to, link := range map[string]string{c: cert, k: key} {
			if err := errors.Join(os.Symlink(to, link+".new"), os.Rename(link+".new", link)); err != nil {
				t.Fatal(err)
			}
		}
		return der
	}
	renew("1")
	names := filepath.Join(named, "names")
	write(t, names, []byte("bob\n"))
	secret := func(dir string) string {
		file := filepath.Join(dir, "token")
		write(t, file, []byte("a-secret-of-many-letters"))
		return fmt.Sprintf("[[token]]\nname = \"monitor\"\nrole = \"view\"\nfile = %q\n", file)
	}
	base := fmt.Sprintf("[tls]\ncert = %q\nkey = %q\n[[recipients]]\ndomain = \"there.test\"\nfile = %q\n", cert, key, names) + route("*", "smtp:"+box.Addr)
	r.serve(base)
	if strings.Contains(r.log(), "is not closed to us (landlock)") {
		t.Skip("this kernel has no landlock")
	}
	if !strings.Contains(r.log(), "closed to us but for these (landlock)") {
		t.Fatal("the log does not say whether landlock is in force")
	}

	submit(t, r.Addr, "<ann@home.test>", []string{"<bob@there.test>"}, []byte("Subject: hello\r\n\r\nhello\r\n"))
	box.wait(t, 1)
	der := renew("2")
	r.until("the new certificate", func() bool { return shown(r.Addr) == string(der) })

	reload := func(sections ...string) string {
		before := len(r.log())
		r.configure(sections...)
		r.process.Signal(syscall.SIGHUP)
		r.until("reload", func() bool { return strings.Contains(r.log()[before:], "in force") })
		return r.log()[before:]
	}
	if log := reload(base + secret(named)); !strings.Contains(log, "the new configuration is in force") {
		t.Errorf("a new file in a folder that was named is not read: %s", log)
	}
	log := reload(base + secret(other))
	if !strings.Contains(log, "permission denied") || !strings.Contains(log, "the old one stays in force") || !strings.Contains(log, "where we may not read before a restart") {
		t.Errorf("a file elsewhere: %s", log)
	}
	r.configure(base)
	r.stop()
	r.Launch = func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, "--no-confine") }
	r.start()
	if log := reload(base + secret(other)); !strings.Contains(log, "the new configuration is in force") {
		t.Errorf("without landlock: %s", log)
	}
}

// shown returns the certificate that a server shows.
func shown(addr string) string {
	c, err := dial(addr)
	if err != nil {
		return ""
	}
	defer c.close()
	if _, err := c.say(220, "STARTTLS"); err != nil {
		return ""
	}
	s := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	if s.Handshake() != nil {
		return ""
	}
	return string(s.ConnectionState().PeerCertificates[0].Raw)
}

// TestUnitsAreSoundAndHardened has systemd judge the units of ops/.
func TestUnitsAreSoundAndHardened(t *testing.T) {
	judge, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not there")
	}
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var units []string
	for _, name := range []string{"postrider.service", "postrider.socket"} {
		b, err := os.ReadFile(filepath.Join("..", "ops", name))
		if err != nil {
			t.Fatal(err)
		}
		units = append(units, filepath.Join(dir, name))
		text := strings.ReplaceAll(string(b), "/usr/local/bin/postrider", bin) // it wants the program to be there
		if err := os.WriteFile(units[len(units)-1], []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(judge, append([]string{"verify"}, units...)...).CombinedOutput()
	if err != nil || strings.Contains(string(out), dir) {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := exec.Command(judge, "security", "--offline=true", "--threshold=20", units[0]).CombinedOutput(); err != nil {
		t.Errorf("an exposure above 2.0 of 10: %v\n%s", err, out)
	}
}

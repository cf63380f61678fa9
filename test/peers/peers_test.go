package peers_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/test/peers"
)

const patience = time.Minute // only what fails waits that long

var mtas = []struct {
	name  string
	start func(testing.TB, peers.Config) *peers.Server
}{
	{"postfix", peers.Postfix},
	{"exim", peers.Exim},
	{"opensmtpd", peers.OpenSMTPD},
}

// everyMTA runs a test for each of them, beside each other.
func everyMTA(t *testing.T, test func(*testing.T, func(testing.TB, peers.Config) *peers.Server)) {
	t.Parallel()
	for _, m := range mtas {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			test(t, m.start)
		})
	}
}

// swaks sends a message from ann@sender.test and checks swaks's exit code
// (0 accepted, 24 no recipient accepted, 26 refused after the data).
func swaks(t *testing.T, s *peers.Server, code int, args ...string) string {
	t.Helper()
	out, got := peers.Swaks(t, append([]string{"--server", s.Addr, "--from", "ann@sender.test"}, args...)...)
	if got != code {
		t.Fatalf("swaks %q: exit %d, want %d\n%s", args, got, code, out)
	}
	return out
}

func contains(t *testing.T, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("no %q in:\n%s", want, text)
	}
}

func TestMailArrives(t *testing.T) {
	everyMTA(t, func(t *testing.T, start func(testing.TB, peers.Config) *peers.Server) {
		s := start(t, peers.Config{Domains: []string{"here.test", "also.test"}})
		swaks(t, s, 0, "--to", "bob@here.test,eve@also.test", "--body", "the first")
		s.WaitMail(t, 2, patience)
		swaks(t, s, 0, "--to", "bob@here.test", "--helo", "laptop.test", "--body", "the second")
		all := s.WaitMail(t, 3, patience)
		bob := s.Mail("bob@here.test")
		if len(all) != 3 || len(bob) != 2 || len(s.Mail("eve@also.test")) != 1 {
			t.Fatalf("bob has %d, all have %d:\n%s", len(bob), len(all), bytes.Join(all, nil))
		}
		contains(t, string(bob[0]), "the first")
		contains(t, string(bob[0]), "swaks.test")
		contains(t, string(bob[1]), "the second")
		contains(t, string(bob[1]), "laptop.test")
		contains(t, strings.ToLower(string(bob[1])), "return-path: <ann@sender.test>")
		swaks(t, s, 24, "--to", "bob@elsewhere.test")
	})
}

func TestTLS(t *testing.T) {
	everyMTA(t, func(t *testing.T, start func(testing.TB, peers.Config) *peers.Server) {
		s := start(t, peers.Config{Domains: []string{"here.test"}, TLS: true})
		if s.Hostname == "opensmtpd.test" {
			contains(t, swaks(t, s, 29, "--to", "bob@here.test", "--tls"), "TLS startup failed")
			return
		}
		swaks(t, s, 0, "--to", "bob@here.test", "--tls", "--tls-verify", "--tls-ca-path", s.CertFile)
		s.WaitMail(t, 1, patience)
	})
}

func TestUnknownUsersAreRefused(t *testing.T) {
	everyMTA(t, func(t *testing.T, start func(testing.TB, peers.Config) *peers.Server) {
		s := start(t, peers.Config{Hostname: "mx.here.test", Domains: []string{"here.test"}, Users: []string{"bob@here.test"}})
		contains(t, swaks(t, s, 24, "--to", "nobody@here.test"), "<** 550")
		contains(t, swaks(t, s, 0, "--to", "bob@here.test,nobody@here.test"), "220 mx.here.test")
		s.WaitMail(t, 1, patience)
	})
}

func TestMailWaitsForItsRelay(t *testing.T) {
	everyMTA(t, func(t *testing.T, start func(testing.TB, peers.Config) *peers.Server) {
		hop := peers.Postfix(t, peers.Config{Domains: []string{"there.test"}})
		s := start(t, peers.Config{Relay: hop.Addr})
		hop.Stop()
		swaks(t, s, 0, "--to", "bob@there.test")
		s.WaitLog(t, "Connection refused", patience)
		q := s.WaitQueue(t, 1, patience)
		if e := q[0]; e.ID == "" || e.From != "ann@sender.test" || len(e.To) != 1 || e.To[0] != "bob@there.test" {
			t.Errorf("queued: %+v", e)
		}
		hop.Start(t)
		// The attempt that failed may not be written down yet, and then nothing is due.
		for deadline := time.Now().Add(patience); hop.Mail("") == nil && time.Now().Before(deadline); time.Sleep(time.Second) {
			s.Flush(t)
		}
		hop.WaitMail(t, 1, patience)
		s.WaitQueue(t, 0, patience)
	})
}

func TestTheQueueTellsWhy(t *testing.T) {
	everyMTA(t, func(t *testing.T, start func(testing.TB, peers.Config) *peers.Server) {
		hop := peers.Postfix(t, peers.Config{
			Domains: []string{"there.test"},
			Extra:   "smtpd_recipient_restrictions = check_recipient_access static:{451 4.7.1 come again}",
		})
		s := start(t, peers.Config{Relay: hop.Addr})
		swaks(t, s, 0, "--to", "bob@there.test,eve@there.test")
		s.WaitLog(t, "come again", patience)
		var e peers.Entry
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if e = s.WaitQueue(t, 1, patience)[0]; e.Why != "" || s.Hostname == "exim.test" { // it tells none
				break
			}
		}
		if len(e.To) != 2 || s.Hostname != "exim.test" && !strings.Contains(e.Why, "come again") {
			t.Errorf("queued: %+v", e)
		}
	})
}

func TestDiscardedMailIsGone(t *testing.T) {
	everyMTA(t, func(t *testing.T, start func(testing.TB, peers.Config) *peers.Server) {
		s := start(t, peers.Config{Domains: []string{"here.test"}, Discard: true})
		swaks(t, s, 0, "--to", "bob@here.test")
		s.WaitQueue(t, 0, patience)
		if got := s.Mail(""); got != nil {
			t.Errorf("kept %q", got)
		}
	})
}

func TestMoreSettings(t *testing.T) {
	t.Parallel()
	s := peers.Postfix(t, peers.Config{
		Domains: []string{"here.test"},
		Extra:   "smtpd_recipient_restrictions = check_recipient_access texthash:/srv/access",
		Files:   map[string]string{"access": "bob@here.test 451 4.7.1 come again\n"},
	})
	contains(t, swaks(t, s, 24, "--to", "bob@here.test"), "451 4.7.1 <bob@here.test>: Recipient address rejected: come again")
	s.WaitLog(t, "come again", patience)
}

func TestDovecotTakesAnyUser(t *testing.T) {
	t.Parallel()
	s := peers.DovecotLMTP(t, peers.Config{TLS: true})
	swaks(t, s, 0, "--protocol", "LMTP", "--to", "Bob@here.test,eve@there.test", "--tls")
	if out, code := peers.Swaks(t, "--socket", s.Socket, "--protocol", "LMTP", "--to", "eve@there.test"); code != 0 {
		t.Fatalf("at the Unix socket:\n%s", out)
	}
	s.WaitMail(t, 3, patience)
	if bob, eve := s.Mail("bob@here.test"), s.Mail("eve@there.test"); len(bob) != 1 || len(eve) != 2 {
		t.Errorf("bob has %d, eve has %d", len(bob), len(eve))
	}
}

func TestDovecotRefuses(t *testing.T) {
	t.Parallel()
	s := peers.DovecotLMTP(t, peers.Config{Users: []string{"bob@here.test"}, Quota: "2k"})
	contains(t, swaks(t, s, 24, "--protocol", "LMTP", "--to", "nobody@here.test"), "<** 550 5.1.1")
	contains(t, swaks(t, s, 26, "--protocol", "LMTP", "--to", "bob@here.test", "--body", strings.Repeat("long ", 1000)), "<** 552 5.2.2")
	swaks(t, s, 0, "--protocol", "LMTP", "--to", "bob@here.test")
	s.WaitMail(t, 1, patience)
}

// TestNothingIsLeft lets servers end in every way: with their test, and with a
// test that is killed.
func TestNothingIsLeft(t *testing.T) {
	if at := os.Getenv("PEERS_TEST_START"); at != "" { // the test to be killed, see below
		for _, m := range mtas {
			dir := m.start(t, peers.Config{Domains: []string{"here.test"}}).Dir
			fmt.Println("started", dir)
		}
		fmt.Println("all")
		select {}
	}
	t.Parallel()
	var dirs []string
	t.Run("end", func(t *testing.T) {
		for _, m := range mtas {
			dirs = append(dirs, m.start(t, peers.Config{Domains: []string{"here.test"}}).Dir)
		}
		dirs = append(dirs, peers.DovecotLMTP(t, peers.Config{}).Dir)
		dirs = append(dirs, peers.OpenDKIM(t, peers.Config{Extra: "Mode v"}).Dir)
	})
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is left", dir)
		}
		if left := living(dir); left != "" {
			t.Errorf("%s is left: %s", dir, left)
		}
	}
	if len(dirs) == 0 {
		t.Skip("nothing was started")
	}
	t.Run("kill", func(t *testing.T) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestNothingIsLeft$")
		tmp := t.TempDir()
		cmd.Env = append(os.Environ(), "PEERS_TEST_START=1", "TMPDIR="+tmp)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var said []byte
		for buf := make([]byte, 4096); !bytes.Contains(said, []byte("all\n")); {
			n, err := out.Read(buf)
			if err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			said = append(said, buf[:n]...)
		}
		if living(tmp) == "" {
			t.Error("living does not see the servers that run")
		}
		cmd.Process.Kill()
		cmd.Wait()
		for deadline := time.Now().Add(patience); living(tmp) != ""; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("left: %s", living(tmp))
			}
		}
	})
}

// living names the processes and mounts that have to do with a folder: every
// process of a server has it mounted as /srv.
func living(dir string) string {
	var b strings.Builder
	tables, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
	for _, table := range tables {
		text, err := os.ReadFile(table)
		if err == nil && bytes.Contains(text, []byte(dir)) {
			name, _ := os.ReadFile(filepath.Join(filepath.Dir(table), "cmdline"))
			fmt.Fprintf(&b, "%s %s; ", table, bytes.ReplaceAll(name, []byte{0}, []byte{' '}))
		}
	}
	return b.String()
}

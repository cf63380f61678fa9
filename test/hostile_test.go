//go:build linux

package test

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// saying is a host that answers RCPT with words of a test, whatever they are.
func saying(t *testing.T, words string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprint(c, "220 evil.test ESMTP\r\n")
				for lines := bufio.NewScanner(c); lines.Scan(); {
					switch verb, _, _ := strings.Cut(lines.Text(), " "); verb {
					case "RCPT":
						fmt.Fprint(c, words)
					case "QUIT":
						return
					default:
						fmt.Fprint(c, "250 ok\r\n")
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// TestAHostsWordsAreOnlyWords: whatever a host answers is kept in bounds and without
// anything that steers a terminal, ends a line or begins a field, in log, queue, trace
// and bounce, also after a restart. OpenSMTPD ran it as a command (CVE-2020-8794).
func TestAHostsWordsAreOnlyWords(t *testing.T) {
	t.Parallel()
	const most = 200_000 // octets of a bounce
	r, back := newRider(t), newSink(t)
	hosts := map[string]string{
		"controls": "550-5.1.1 a\x1b[31m\x00b\rX-Injected: yes\r\n550 5.1.1 \x07\x9b31mend\x7f\r\n",
		"newlines": "550-5.1.1 a\n550-X-Injected: yes\n550 5.1.1 b\n",
		"turned":   "550 5.1.1 \u202egnorw\u2066 \u2028X-Injected: yes \xff\xc3\r\n",
		"many":     strings.Repeat("550-5.1.1 again and again and again\r\n", 20_000) + "550 5.1.1 done\r\n",
		"long":     "550 5.1.1 " + strings.Repeat("long", 1<<18) + "\r\n",
		"endless":  "550-5.1.1 " + strings.Repeat("endless", 1<<18),
		"shell":    "550 5.1.1 ;id>/tmp/x $(id) `id` ${run{id}} |id\r\n",
	}
	sections := []string{route("home.test", "smtp:"+back.Addr)}
	for name, words := range hosts {
		sections = append(sections, route(name+".test", "smtp:"+saying(t, words), `schedule = "once"`))
	}
	r.serve(append(sections, "[schedule.once]\nretry = [\"2s\"]\nwarn = []\nexpire = \"3s\"\n")...)
	for name := range hosts {
		submit(t, r.Addr, "<ann@home.test>", []string{"<bob@" + name + ".test>"}, message(name+"@home.test", name, "x\r\n"))
	}
	for _, m := range back.wait(t, len(hosts)) {
		if len(m.Data) > most {
			t.Errorf("a bounce of %d octets: %.300q", len(m.Data), m.Data)
		}
		harmless(t, "bounce", string(bytes.ReplaceAll(m.Data, []byte("\r\n"), []byte("\n"))))
	}
	for range 2 {
		for name := range hosts {
			all := r.trace(name + "@home.test")
			if len(all) != 1 || all[0].Last == nil {
				t.Fatalf("%s: %+v", name, all)
			}
			for _, e := range all[0].Events {
				if len(e.Text) > most {
					t.Errorf("%s: %d octets are kept", name, len(e.Text))
				}
				if strings.ContainsFunc(strings.ReplaceAll(e.Text, "\n", ""), unicode.IsControl) {
					t.Errorf("%s: %.300q", name, e.Text)
				}
			}
			out, err := exec.Command(r.program, "trace", name+"@home.test", "--config", r.config()).Output()
			if err != nil {
				t.Fatal(err)
			}
			harmless(t, "trace", string(out)) // a terminal shows it
		}
		r.stop()
		r.start()
	}
	harmless(t, "log", r.log())
}

// TestNoProgramIsRun: nothing of ours can start another program, so that no address,
// reply or header can be a command (CVE-2019-10149 Exim, CVE-2020-7247 OpenSMTPD).
func TestNoProgramIsRun(t *testing.T) {
	seen := 0
	for _, dir := range []string{"../cmd", "../internal", "../mail", "../dsn", "../notice", "../policy", "../explain"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			seen++
			text, err := os.ReadFile(path)
			for _, way := range []string{`"os/exec"`, "StartProcess(", "ForkExec(", "syscall.Exec(", "unix.Exec("} {
				if strings.Contains(string(text), way) {
					t.Errorf("%s: %s", path, way)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 200 {
		t.Errorf("%d files were read", seen)
	}
}

// harmless reports what in a text is more than words.
func harmless(t *testing.T, what, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "X-Injected") {
			t.Errorf("%s: a field was made: %q", what, line)
		}
		if i := strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(c rune) bool { return c != '\t' && !unicode.IsPrint(c) }); i >= 0 {
			t.Errorf("%s: %.300q", what, line[max(0, i-100):])
		}
	}
}

//go:build linux

package crash

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/test/peers"
)

// A rider is a postrider of its own: its folder, its address, its process.
type rider struct {
	t       *testing.T
	program string
	dir     string // configuration and log
	data    string
	addr    string
	power   *disk // on which data lies, if its power is cut

	mu      sync.Mutex
	process *os.Process
	ended   chan struct{}
}

// built is the program.
func built(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "postrider")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "../../cmd/postrider")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// newRider makes a postrider with its data in a folder, which is on a disk. It sends
// the mail of home.test to home, all other mail to next.
func newRider(t *testing.T, data, next, home string) *rider {
	t.Helper()
	// Nobody else's address, so that its port stays free while it does not run.
	addr := fmt.Sprintf("127.%d.%d.%d:2525", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
	r := &rider{t: t, program: built(t), dir: t.TempDir(), data: filepath.Join(data, "data"), addr: addr}
	r.configure(next, home, "1s")
	t.Cleanup(func() {
		r.strike()
		r.gone()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(r.dir, "log"))
			log = regexp.MustCompile(`(?m)^warning: .*\n|.*level=INFO.*\n`).ReplaceAll(log, nil)
			t.Logf("log of postrider:\n%s", log[max(0, len(log)-4<<10):])
		}
	})
	return r
}

// configure writes the configuration, for the next start.
func (r *rider) configure(next, home, retry string) {
	r.t.Helper()
	text := fmt.Sprintf(`hostname = "rider.test"
data = %q
[[listen]]
kind = "smtp"
address = %q
[relay]
clients = ["127.0.0.0/8"]
[[route]]
domain = "home.test"
to = ["smtp:%s"]
connections = %d
[[route]]
domain = "*"
to = ["smtp:%s"]
connections = %[4]d
[schedule.default]
retry = [%[6]q]
warn = []
expire = "5h"
[schedule.notice]
retry = ["1s"]
expire = "5h"
`, r.data, r.addr, home, perDestination, next, retry)
	if err := os.WriteFile(r.config(), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rider) config() string { return filepath.Join(r.dir, "postrider.toml") }

func (r *rider) address() string { return r.addr }

func (r *rider) launch() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process != nil {
		return errors.New("postrider runs already")
	}
	log, err := os.OpenFile(filepath.Join(r.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(r.program, "serve", "--config", r.config())
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.dir, log, log
	ended, err := peers.Launch(cmd)
	if err != nil {
		return err
	}
	r.process, r.ended = cmd.Process, ended
	return nil
}

// strike kills the process; where the power of its disk is cut, it is frozen before,
// as it could say 250 after the disk is gone.
func (r *rider) strike() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil {
		return
	}
	if r.power != nil {
		freeze(r.process.Pid)
		r.power.cut()
	}
	r.process.Kill()
}

func (r *rider) gone() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil {
		return nil
	}
	<-r.ended
	r.process = nil
	if r.power != nil {
		return r.power.renew()
	}
	return nil
}

// freeze stops a process and returns when no thread of it can do anything more. One
// that is in a system call stands before it comes back to the program.
func freeze(pid int) {
	syscall.Kill(pid, syscall.SIGSTOP)
	for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(100 * time.Microsecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, state, ok := strings.Cut(string(stat), ") ")
		if err != nil || !ok || state[0] == 'T' || state[0] == 'Z' {
			return
		}
	}
}

func (r *rider) run(args ...string) (string, error) {
	out, err := exec.CommandContext(r.t.Context(), r.program, args...).CombinedOutput()
	return string(out), err
}

// empty reports whether nothing waits.
func (r *rider) empty() bool {
	out, err := r.run("queue", "--json", "--config", r.config())
	return strings.TrimSpace(out) == "" && (err == nil || err.(*exec.ExitError).ExitCode() == 1)
}

// leavesNothing stops the program in order, and looks for what it left on its disk.
func (r *rider) leavesNothing() {
	r.t.Helper()
	r.mu.Lock()
	r.process.Signal(syscall.SIGTERM)
	ended := r.ended
	r.mu.Unlock()
	select {
	case <-ended:
	case <-time.After(patience):
		r.t.Fatal("postrider does not stop")
	}
	r.mu.Lock()
	r.process = nil
	r.mu.Unlock()
	out, err := r.run("check", "--data", r.data)
	first, _, _ := strings.Cut(out, "\n")
	r.t.Logf("postrider check --data: %s", first)
	if err != nil || !strings.Contains(out, "is sound") || !strings.Contains(out, " 0 deliveries wait") {
		r.t.Errorf("postrider check --data: %v\n%s", err, out)
	}
	r.leftNothing()
	r.complainedOfNothing()
}

// leftNothing finds files that nobody wants.
func (r *rider) leftNothing() {
	r.t.Helper()
	err := filepath.WalkDir(r.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := strings.TrimPrefix(path, r.data+"/")
		for _, part := range []string{"/big/", ".new", ".mended", ".damaged", "/mend"} {
			if strings.Contains(name, part) {
				r.t.Errorf("left on disk: %s", name)
			}
		}
		return nil
	})
	if err != nil {
		r.t.Error(err)
	}
}

// complainedOfNothing finds errors in the log: a crash is none.
func (r *rider) complainedOfNothing() {
	r.t.Helper()
	log, err := os.ReadFile(filepath.Join(r.dir, "log"))
	if err != nil {
		r.t.Error(err)
	}
	for line := range bytes.Lines(log) {
		if bytes.Contains(line, []byte("level=ERROR")) || bytes.HasPrefix(line, []byte("panic:")) || bytes.HasPrefix(line, []byte("fatal error:")) {
			r.t.Errorf("log: %s", line)
		}
	}
}

//go:build linux

package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/test/peers"
)

// patience bounds every wait for something that should come soon.
const patience = 2 * time.Minute

// A rider is a postrider of its own: its folder, its address, its process.
type rider struct {
	t       *testing.T
	program string
	dir     string
	addr    string
	pid     int           // of the process that runs, or ran last
	ended   chan struct{} // closed when it is gone
}

// ownAddress is an address of the loopback that nobody else uses, so that its port
// stays free while nothing listens there.
func ownAddress() string {
	return fmt.Sprintf("127.%d.%d.%d:2525", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
}

// newRider starts a postrider; text is its configuration behind listener and relay.
func newRider(t *testing.T, text string) *rider {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "rider-") // t.TempDir is too long for the path of a socket
	if err != nil {
		t.Fatal(err)
	}
	r := &rider{t: t, program: path, dir: dir, addr: ownAddress()}
	head := fmt.Sprintf(`hostname = "rider.test"
data = %q
[log]
level = "warn"
[[listen]]
kind = "smtp"
address = %q
[relay]
clients = ["127.0.0.0/8"]
`, r.data(), r.addr)
	if err := os.WriteFile(r.config(), []byte(head+text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(r.dir, "log"))
			t.Logf("log of postrider:\n%s", log[max(0, len(log)-4<<10):])
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	r.start()
	return r
}

func (r *rider) data() string   { return filepath.Join(r.dir, "data") }
func (r *rider) config() string { return filepath.Join(r.dir, "postrider.toml") }

// start starts the program and waits until it listens.
func (r *rider) start() {
	r.t.Helper()
	log, err := os.OpenFile(filepath.Join(r.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(r.program, "serve", "--config", r.config())
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.dir, log, log
	ended, err := peers.Launch(cmd)
	if err != nil {
		r.t.Fatal(err)
	}
	r.pid, r.ended = cmd.Process.Pid, ended
	wait(r.t, "postrider listens", patience, func() bool {
		c, err := net.Dial("tcp", r.addr)
		if err == nil {
			c.Close()
			return true
		}
		select {
		case <-ended:
			r.t.Fatal("postrider has ended")
		default:
		}
		return false
	})
}

// wait waits until something is so.
func wait(t *testing.T, what string, most time.Duration, so func() bool) {
	t.Helper()
	for began := time.Now(); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > most {
			t.Fatalf("after %v it is not so that %s", most, what)
		}
	}
}

func (r *rider) kill() {
	select {
	case <-r.ended:
	default:
		syscall.Kill(r.pid, syscall.SIGKILL)
		<-r.ended
	}
}

// stop ends the program in order, and returns how long that took.
func (r *rider) stop(most time.Duration) time.Duration {
	r.t.Helper()
	began := time.Now()
	syscall.Kill(r.pid, syscall.SIGTERM)
	select {
	case <-r.ended:
	case <-time.After(most):
		r.t.Fatalf("postrider has not stopped after %v", most)
	}
	return time.Since(began)
}

// close stops the program, and looks at what it left: an empty spool that is sound,
// and a log without an error.
func (r *rider) close() {
	r.t.Helper()
	r.stop(patience)
	out, err := r.run("check", "--data", r.data())
	if err != nil || !strings.Contains(out, "is sound") || !strings.Contains(out, " 0 deliveries wait") {
		r.t.Errorf("postrider check --data: %v\n%s", err, out)
	}
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

func (r *rider) run(args ...string) (string, error) {
	out, err := exec.CommandContext(r.t.Context(), r.program, args...).CombinedOutput()
	return string(out), err
}

// A waiting delivery, as "queue --json" tells it.
type waiting struct {
	Domain     string
	Recipients []string
	Fate       struct {
		GivesUp time.Time `json:"gives_up"`
	}
}

// queue gives f each delivery that waits.
func (r *rider) queue(f func(waiting)) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), r.program, "queue", "--json", "--config", r.config())
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var w waiting
		if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
			r.t.Fatalf("queue --json: %v: %s", err, lines.Bytes())
		}
		f(w)
	}
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() != 1 { // 1: nothing waits
		r.t.Fatal(err)
	}
}

// empty waits until nothing is in the queue.
func (r *rider) empty() {
	r.t.Helper()
	wait(r.t, "the queue is empty", patience, func() bool { return r.metric("postrider_queue_deliveries") == 0 })
}

// metric reads one number at /metrics.
func (r *rider) metric(name string) float64 {
	r.t.Helper()
	over := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(r.data(), "postrider.sock"))
		},
	}
	res, err := (&http.Client{Transport: over, Timeout: patience}).Get("http://postrider/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(text)
	if m == nil {
		r.t.Fatalf("/metrics has no %s", name)
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// descriptors is how many are open.
func (r *rider) descriptors() int {
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.pid))
	if err != nil {
		r.t.Error(err)
	}
	return len(all)
}

// memory reads a line of a file in /proc, in MB: of smaps_rollup or of status.
func (r *rider) memory(file, line string) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", r.pid, file))
	if err != nil {
		r.t.Error(err)
	}
	m := regexp.MustCompile(`(?m)^` + line + `:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		r.t.Errorf("no %s in %s", line, file)
		return 0
	}
	kb, _ := strconv.Atoi(string(m[1]))
	return float64(kb) * 1024 / 1e6
}

// own is the memory of the process that is not of a file, in MB.
func (r *rider) own() float64 { return r.memory("smaps_rollup", "Anonymous") }

// processor is how long the process has run on a processor.
func (r *rider) processor() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.pid))
	_, rest, ok := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if err != nil || !ok || len(fields) < 13 {
		r.t.Errorf("/proc/%d/stat: %v", r.pid, err)
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ
}

// A peak is what the process took at most while it was watched.
type peak struct {
	own         float64 // MB
	descriptors int
}

// watch looks at the process several times a second until it is told to stop.
func (r *rider) watch() (stop func() peak) {
	quit, done := make(chan struct{}), make(chan peak, 1)
	go func() {
		var p peak
		for {
			p = peak{max(p.own, r.own()), max(p.descriptors, r.descriptors())}
			select {
			case <-quit:
				done <- p
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	stop = sync.OnceValue(func() peak { close(quit); return <-done })
	r.t.Cleanup(func() { stop() })
	return stop
}

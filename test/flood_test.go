//go:build linux

package test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestAFloodFromOneNetworkIsOnItsOwn: 10,000 connections from one /24 are answered, or
// hung up on, and take only the places of their network; mail from elsewhere flows
// meanwhile, and none of it is refused.
//
// Clients of the loopback are not counted, so the test runs itself again in a network
// namespace in which other addresses are this machine's.
func TestAFloodFromOneNetworkIsOnItsOwn(t *testing.T) {
	addr := os.Getenv("POSTRIDER_FLOOD")
	switch addr {
	case "":
		t.Parallel()
		apart(t)
	case "apart":
		endure(t)
	default: // the flood itself, in a process of its own
		f := newFlood(addr)
		f.until(10_000)
		f.stop()
		fmt.Printf("flood %d %d %d %d %d\n", f.n.Load(), f.greeted.Load(), f.told.Load(), f.cut.Load(), f.took.Milliseconds())
	}
}

// apart runs the test in a network namespace of its own.
func apart(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs a network namespace of its own: not root")
	}
	if _, err := program(); err != nil { // built before the network is gone
		t.Fatal(err)
	}
	cmd := floodCommand(t, "apart")
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && strings.Contains(err.Error(), "operation not permitted"):
		t.Skipf("needs a network namespace of its own: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	default:
		t.Logf("%s", out)
	}
}

// floodCommand is this test once more, in another part.
func floodCommand(t *testing.T, part string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "POSTRIDER_FLOOD="+part)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func endure(t *testing.T) {
	for _, args := range []string{"link set lo up", "addr add 198.51.100.1/24 dev lo", "addr add 203.0.113.1/24 dev lo"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Skipf("ip %s: %v: %s", args, err, out)
		}
	}
	r, box := newRider(t), newSink(t)
	var names strings.Builder
	names.WriteString("honest.test MX 10 mail.honest.test.\nhonest.test TXT \"v=spf1 ip4:203.0.113.0/24 -all\"\n")
	for i := range 8 {
		fmt.Fprintf(&names, "203.0.113.%d PTR mail.honest.test.\nmail.honest.test A 203.0.113.%[1]d\n", i+1)
	}
	r.Addr = "203.0.113.100:2525"
	r.guard(newZone(t, names.String()), route("author.test", "smtp:"+box.Addr))

	alone := honest(r.Addr, time.After(2*time.Second))
	if alone.n.Load() == 0 || alone.refused != "" {
		t.Fatalf("before the flood: %d messages, %s", alone.n.Load(), alone.refused)
	}
	before := r.memory(t)
	cmd := floodCommand(t, r.Addr)
	said := make(chan string, 1)
	over := make(chan time.Time)
	go func() {
		out, _ := cmd.Output()
		close(over)
		said <- string(out)
	}()
	during := honest(r.Addr, over)
	var n, greeted, told, cut, ms int
	out := <-said
	if _, err := fmt.Sscanf(out[strings.Index(out, "flood "):], "flood %d %d %d %d %d", &n, &greeted, &told, &cut, &ms); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	grown := r.memory(t) - before
	t.Logf("%d connections within %d ms: %d greeted and held, %d told 421, %d hung up on", n, ms, greeted, told, cut)
	t.Logf("mail from elsewhere: %.0f messages a second before, %.0f during it, the slowest in %v; %d kB more memory, %d kB in all",
		alone.rate(), during.rate(), during.slowest.Round(time.Millisecond), grown>>10, r.memory(t)>>10)
	if during.refused != "" {
		t.Errorf("mail from elsewhere is answered %s", during.refused)
	}
	if during.rate() < alone.rate()/10 || during.slowest > 5*time.Second {
		t.Errorf("%.1f messages a second from elsewhere during the flood, %.1f before it; the slowest took %v", during.rate(), alone.rate(), during.slowest)
	}
	if greeted != 250 {
		t.Errorf("%d connections of the flood were let in at a time, want 250", greeted)
	}
	if n < 10_000 || told == 0 {
		t.Errorf("%d connections, %d were told why not", n, told)
	}
	if grown > 64<<20 {
		t.Errorf("the flood took %d MB", grown>>20)
	}
}

// mailing is what became of honest mail.
type mailing struct {
	n       atomic.Int64
	took    time.Duration
	mu      sync.Mutex
	slowest time.Duration
	refused string // what a message was answered that did not get through
}

func (m *mailing) rate() float64 { return float64(m.n.Load()) / m.took.Seconds() }

// honest has eight hosts send mail for a while, a connection for each message.
func honest(addr string, end <-chan time.Time) *mailing {
	m := &mailing{}
	began := time.Now()
	over := make(chan struct{})
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				at := time.Now()
				c, err := dialFrom(fmt.Sprintf("203.0.113.%d", i+1), addr)
				if err == nil {
					err = c.send("<ann@honest.test>", []string{"<bob@author.test>"}, message("1@honest.test", "x", "x\r\n"))
					c.close()
				}
				m.mu.Lock()
				if err != nil {
					m.refused = err.Error()
				}
				m.slowest = max(m.slowest, time.Since(at))
				m.mu.Unlock()
				m.n.Add(1)
			}
		})
	}
	<-end
	close(over)
	wait.Wait()
	m.took = time.Since(began)
	return m
}

// A flood connects from 254 addresses of one network as fast as it can, and keeps
// what it is let have.
type flood struct {
	n, greeted, told, cut atomic.Int64
	began                 time.Time
	took                  time.Duration
	done                  chan struct{}
	wait                  sync.WaitGroup
	mu                    sync.Mutex
	held                  []net.Conn
}

func newFlood(addr string) *flood {
	f := &flood{began: time.Now(), done: make(chan struct{})}
	var next atomic.Int64
	for range 64 {
		f.wait.Go(func() {
			for {
				select {
				case <-f.done:
					return
				default:
				}
				f.visit(fmt.Sprintf("198.51.100.%d", next.Add(1)%254+1), addr)
			}
		})
	}
	return f
}

func (f *flood) visit(source, addr string) {
	d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return
	}
	f.n.Add(1)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	line, _ := bufio.NewReader(c).ReadString('\n')
	switch {
	case strings.HasPrefix(line, "220"):
		f.greeted.Add(1)
		f.mu.Lock()
		f.held = append(f.held, c)
		f.mu.Unlock()
		return
	case strings.HasPrefix(line, "421"):
		f.told.Add(1)
	default:
		f.cut.Add(1)
	}
	c.Close()
}

func (f *flood) until(n int64) {
	for end := time.Now().Add(20 * time.Second); f.n.Load() < n && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
}

func (f *flood) stop() {
	close(f.done)
	f.wait.Wait()
	f.took = time.Since(f.began)
	for _, c := range f.held {
		c.Close()
	}
}

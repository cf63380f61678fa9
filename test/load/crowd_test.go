//go:build linux

package load

import (
	"fmt"
	"os"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestACrowdThatHardlyMovesHindersNobody: with 10,000 connections open that are idle,
// write or read by the octet, the mail of ordinary clients flows; when the crowd has
// left, all is as before; and with the crowd in the house the program stops in time,
// and loses nothing that it acknowledged. LOAD says how many.
func TestACrowdThatHardlyMovesHindersNobody(t *testing.T) {
	n := affordable(t, size(300, 10_000))
	letters := max(200, n/4)
	l := &ledger{}
	there := newSink(t, l).open(t)
	r := newRider(t, fmt.Sprintf(`[[route]]
domain = "there.test"
to = ["smtp:%s"]
[smtp]
max_connections = %d
`, there.addr, n+100))
	l.ordinary(t, r.addr, letters) // also so that all that grows once has grown
	alone := spreadOf(l.letters, latency)
	descriptors, goroutines, memory := r.besides(there), r.metric("go_goroutines"), r.own()

	began := time.Now()
	c := gather(t, r.addr, n)
	took := time.Since(began)
	if inside := r.besides(there) - descriptors; inside < n {
		t.Errorf("%d connections of %d are open", inside, n)
	}
	each := (r.own() - memory) * 1e3 / float64(n)
	before := len(l.letters)
	l.ordinary(t, r.addr, letters)
	if still := r.besides(there) - descriptors; still < n {
		t.Errorf("%d connections of %d are open at the end", still, n)
	}
	beside := spreadOf(l.letters[before:], latency)
	most := (r.own() - memory) * 1e3 / float64(n)
	t.Logf("%d connections opened in %v; memory for each: %.1f kB, with the mail of 20 clients beside %.1f kB",
		n, took.Round(time.Millisecond), each, most)
	t.Logf("mail of 20 clients alone: %v; beside: %v", alone, beside)
	if each > mostEach {
		t.Errorf("%.1f kB of memory for a connection, at most %d are wanted", each, mostEach)
	}
	c.leave()
	r.asBefore(there, descriptors, goroutines)

	if long { // half a minute: so long a message under way may take
		l.stopsInTime(t, r, n)
	}
	r.empty()
	l.judge(t)
	if got := there.count(); got != l.count(arrived) {
		t.Errorf("the next hop took %d messages of %d", got, l.count(arrived))
	}
	r.close()
}

// mostEach bounds the memory of a connection on the average of the three kinds, in kB: a
// buffer of 4, and of 32 more for who writes a message; a stack of 8, and as much for
// what hangs on it; and 40 % by which the heap may grow between two collections.
const mostEach = 44

func arrived(x letter) bool { return x.copies > 0 }

// affordable is how many connections we may open.
func affordable(t *testing.T, n int) int {
	t.Helper()
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	files.Cur = files.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if most := int(files.Max) - 500; n > most {
		t.Logf("%d connections, not %d: the limit of descriptors is %d (ulimit -Hn)", most, n, files.Max)
		return most
	}
	return n
}

const ordinaryClients = 20

// ordinary has 20 clients send so many letters, ten over a connection, and waits until all
// have arrived.
func (l *ledger) ordinary(t *testing.T, addr string, letters int) {
	t.Helper()
	var work sync.WaitGroup
	for range ordinaryClients {
		work.Go(func() {
			s := sender{addr: addr, ledger: l}
			for i := range letters / ordinaryClients {
				if i%10 == 0 {
					s.close()
				}
				if err := s.send("there.test"); err != nil {
					l.wrongly("an ordinary client: %v", err)
					return
				}
			}
			s.close()
		})
	}
	work.Wait()
	wait(t, "the mail of ordinary clients has arrived", patience, func() bool { return l.count(underWay) == 0 })
}

// besides is how many descriptors are open, but for the connections to a sink, some of
// which are kept for the next message.
func (r *rider) besides(s *sink) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return r.descriptors() - len(s.conns)
}

// asBefore waits until there are as few descriptors and goroutines as there were.
func (r *rider) asBefore(s *sink, descriptors int, goroutines float64) {
	r.t.Helper()
	const spare = 6 // what the program does for itself at a moment
	wait(r.t, fmt.Sprintf("there are %d descriptors and %.0f goroutines again", descriptors, goroutines), patience, func() bool {
		return r.besides(s) <= descriptors+spare && r.metric("go_goroutines") <= goroutines+spare
	})
	r.t.Logf("when they have left: %d descriptors, %.0f goroutines; before: %d, %.0f",
		r.besides(s), r.metric("go_goroutines"), descriptors, goroutines)
}

// stopsInTime stops the program while a crowd is in the house and clients send, and
// starts it again.
func (l *ledger) stopsInTime(t *testing.T, r *rider, n int) {
	t.Helper()
	c := gather(t, r.addr, n)
	var clients sync.WaitGroup
	before := l.count(acknowledged)
	for range ordinaryClients {
		clients.Go(func() {
			s := sender{addr: r.addr, ledger: l}
			for s.send("there.test") == nil { // until the program hangs up
			}
		})
	}
	wait(t, "clients send", patience, func() bool { return l.count(acknowledged) > before+100 })
	took := r.stop(stopLimit(t))
	clients.Wait()
	idlers := (n + kinds - 1) / kinds
	wait(t, "all idle connections have heard 421", patience, func() bool { return int(c.told.Load()) == idlers })
	acked := l.count(acknowledged) - before
	t.Logf("stopped in %v with %d connections open and %d clients sending, who had been acknowledged %d messages; all %d idle ones heard 421",
		took.Round(time.Millisecond), n, ordinaryClients, acked, idlers)
	c.leave()
	r.start()
	wait(t, "what was acknowledged has arrived", patience, func() bool { return l.count(underWay) == 0 })
}

func acknowledged(x letter) bool { return !x.acked.IsZero() }

// stopLimit is how long our service may take to stop.
func stopLimit(t *testing.T) time.Duration {
	t.Helper()
	unit, err := os.ReadFile("../../ops/postrider.service")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)min$`).FindSubmatch(unit)
	if m == nil {
		t.Fatal("postrider.service has no TimeoutStopSec in minutes")
	}
	d, err := time.ParseDuration(string(m[1]) + "m")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

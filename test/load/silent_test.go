//go:build linux

package load

import (
	"fmt"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// swallower is the address of a host that swallows packets: its queue of connections
// is full, and nobody takes them out. Whoever dials hears nothing.
func swallower(t *testing.T) string {
	t.Helper()
	addr := ownAddress()
	host, port, _ := net.SplitHostPort(addr)
	at := &syscall.SockaddrInet4{Addr: [4]byte(net.ParseIP(host).To4())}
	at.Port, _ = strconv.Atoi(port)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, at); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		c, err := net.DialTimeout("tcp", addr, 500*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("this kernel lets everybody connect to a host that takes nobody")
	return ""
}

const (
	homeConnections = 50
	rate            = 50 // messages a second to the living host
)

// TestWhatASilentHostKeepsEndsWhenPromised: 50,000 messages wait for a host that
// swallows packets until all of them end within the same minute. Each ends with an
// attempt, once, within a minute of the time that the queue had promised, and none
// before; mail to others flows meanwhile. LOAD says how many.
func TestWhatASilentHostKeepsEndsWhenPromised(t *testing.T) {
	if !long {
		t.Skip("takes minutes: -tags slow")
	}
	n := size(0, 50_000)
	l := &ledger{}
	home, living := newSink(t, l), newSink(t, l)
	living.beside = home
	r := newRider(t, fmt.Sprintf(`[[route]]
domain = "home.test"
to = ["smtp:%s"]
connections = %d
[[route]]
domain = "living.test"
to = ["smtp:%s"]
connections = 20
[[route]]
domain = "silent.test"
to = ["smtp:%s"]
[schedule.default]
retry = ["30s"]
warn = []
expire = "3m"
[schedule.notice]
retry = ["1s"]
`, home.open(t).addr, homeConnections, living.open(t).addr, swallower(t)))
	own, descriptors := r.own(), r.descriptors()

	stop := l.stream(t, r.addr, rate, home, always("living.test"))
	defer stop()
	time.Sleep(10 * time.Second)
	filled := time.Now()
	l.fill(t, r.addr, n, always("silent.test"))
	waits := time.Now()
	watched := r.watch()
	first, last := l.promises(t, r, n)
	t.Logf("%d messages taken in %v; promised to end from %v on, within %v", n, waits.Sub(filled).Round(time.Second),
		first.Sub(waits).Round(time.Second), last.Sub(first).Round(time.Second))

	time.Sleep(time.Until(first))
	spent := r.processor()
	unended := func(x letter) bool { return silent(x) && x.bounces == 0 }
	wait(t, "every message has ended", time.Until(last)+5*time.Minute, func() bool {
		time.Sleep(200 * time.Millisecond)
		return l.count(unended) == 0
	})
	time.Sleep(3 * time.Second) // for bounces that come twice
	ended := time.Now()
	stop()
	r.empty()
	m := watched()
	judgeEnds(t, l.of(silent), r.processor()-spent)
	l.judge(t)
	l.judgeLiving(t, []time.Time{{}, filled, waits, first, ended})
	t.Logf("memory of its own: %.0f MB idle, %.0f MB at most (VmHWM with the program's file: %.0f MB); descriptors: %d idle, %d at most",
		own, m.own, r.memory("status", "VmHWM"), descriptors, m.descriptors)
	// What waits is on disk. In memory are what is being tried and read, and what the index
	// keeps there: its cache and its newest keys.
	if m.own > 120 {
		t.Errorf("%.0f MB of memory for %d messages that wait", m.own, n)
	}
	// Connections to home, to the living and to the silent host, ours, and files of the
	// store: tables of the index above all.
	if most := descriptors + homeConnections + 20 + 1 + 25 + 70; m.descriptors > most {
		t.Errorf("%d descriptors, at most %d are wanted", m.descriptors, most)
	}
	r.close()
}

func silent(x letter) bool { return x.domain == "silent.test" }

// promises asks when the queue gives the silent host's mail up.
func (l *ledger) promises(t *testing.T, r *rider, n int) (first, last time.Time) {
	t.Helper()
	promised := 0
	r.queue(func(w waiting) {
		if w.Domain != "silent.test" {
			return
		}
		promised++
		end := w.Fate.GivesUp
		l.with(w.Recipients[0], func(x *letter) { x.promised = end })
		if first.IsZero() || end.Before(first) {
			first = end
		}
		if end.After(last) {
			last = end
		}
	})
	if promised != n {
		t.Fatalf("the queue promises an end to %d of %d", promised, n)
	}
	return first, last
}

// judgeEnds compares the bounces of letters with what was promised; spent is the time of a
// processor that the program took meanwhile.
func judgeEnds(t *testing.T, all []letter, spent time.Duration) {
	t.Helper()
	late := spreadOf(all, func(x letter) time.Duration { return x.bounced.Sub(x.promised) })
	came := spreadOf(all, func(x letter) time.Duration { return time.Duration(x.bounced.UnixNano()) })
	t.Logf("%d bounces in %v, for %v of a processor; after the end promised: least %v, %v", len(all),
		(came.at(1) - came.at(0)).Round(time.Millisecond), spent.Round(time.Second), late.at(0).Round(time.Millisecond), late)
	early, tooLate := 0, 0
	for _, d := range late {
		switch {
		case d < 0:
			early++
		case d > time.Minute:
			tooLate++
		}
	}
	if early > 0 || tooLate > 0 {
		t.Errorf("of %d ends %d came before the time promised, %d more than a minute after it", len(all), early, tooLate)
	}
}

// judgeLiving looks at the mail to the living host, between each two of these times.
func (l *ledger) judgeLiving(t *testing.T, at []time.Time) {
	t.Helper()
	for i, name := range []string{"before", "while the others are taken", "while they wait", "while they end"} {
		part := l.of(func(x letter) bool {
			return !silent(x) && x.copies > 0 && !x.began.Before(at[i]) && x.began.Before(at[i+1])
		})
		between := spreadOf(part, func(x letter) int { return max(0, x.cameAt-x.ackedAt) })
		t.Logf("mail to a living host %s: %v; bounces that came in between: %v", name, spreadOf(part, latency), between)
		// What is in memory for the host of the bounces, and on its connections: none that
		// is still to be written.
		if most := (inMemory + 1) * homeConnections; between.at(1) > most {
			t.Errorf("a message to a living host waited for %d bounces, at most %d are wanted", between.at(1), most)
		}
	}
}

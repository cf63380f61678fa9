//go:build linux

package crash

import (
	"context"
	"sync"
	"testing"
	"time"
)

// A world is all that stands around the program: clients, the next hop, the host that
// takes the bounces, the killer, and the ledger.
type world struct {
	t      *testing.T
	ledger *ledger
	killer *killer
	next   *sink  // takes or refuses what clients send
	home   *sink  // takes the bounces
	pace   func() // each message waits for it; nil: as fast as its client comes to it
}

func newWorld(t *testing.T) *world {
	l := newLedger()
	k := &killer{ledger: l}
	return &world{t: t, ledger: l, killer: k, next: newSink(t, l, k.reached), home: newSink(t, l, k.reached)}
}

// A queue is a server that tells when nothing waits in it.
type queue interface {
	server
	empty() bool
}

const (
	clients = 12
	backlog = 3000 // recipients that may wait until clients pause
)

// play crashes a server under load, lets everything come to its end, and judges.
func (w *world) play(s queue, crashes int, moments []moment) verdict {
	w.t.Helper()
	w.killer.server = s
	stop := w.load(client{pause: 25 * time.Millisecond, pace: w.pace, size: bodySize, to: recipients})
	began := time.Now()
	err := w.killer.run(crashes, moments)
	if err == nil {
		time.Sleep(time.Second) // a load without a crash
	}
	stop()
	if err != nil {
		w.t.Fatal(err)
	}
	w.drain(s, patience/2)
	w.t.Logf("%d crashes in %v; %s", crashes, time.Since(began).Round(time.Second), w.killer.times())
	return w.close(s)
}

// load has clients like one send, until it is told to stop.
func (w *world) load(like client) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for range clients {
		c := like
		c.addr, c.ledger, c.reached = w.killer.server.address(), w.ledger, w.killer.reached
		if c.wanted == nil {
			c.wanted = func() bool { open, _ := w.ledger.waiting(); return open < backlog }
		}
		group.Go(func() { c.run(ctx) })
	}
	return sync.OnceFunc(func() { cancel(); group.Wait() })
}

// drain waits until all has come, or nothing has come for so long.
func (w *world) drain(s queue, silence time.Duration) {
	last, since := -1, time.Now()
	for ; ; time.Sleep(100 * time.Millisecond) {
		open, settled := w.ledger.waiting()
		if settled != last {
			last, since = settled, time.Now()
		}
		if open == 0 && s.empty() || time.Since(since) > silence {
			return
		}
	}
}

// close gives the verdict; faults fail the test unless the server is not ours.
func (w *world) close(s queue) verdict {
	w.t.Helper()
	v := w.ledger.judge()
	w.t.Logf("%s", v)
	if !s.empty() {
		w.t.Error("the queue does not become empty")
	}
	if v.messages[acknowledged] == 0 {
		w.t.Error("no message was acknowledged")
	}
	_, ours := s.(*rider)
	for i, f := range v.faults {
		switch {
		case i == 20:
			w.t.Logf("and %d more", len(v.faults)-i)
			return v
		case ours:
			w.t.Errorf("%s: %s", f.kind, f.text)
		default:
			w.t.Logf("%s: %s", f.kind, f.text)
		}
	}
	return v
}

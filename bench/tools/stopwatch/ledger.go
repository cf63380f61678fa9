package main

import (
	"sync"
	"time"
)

// passage is one message on its way through the server.
type passage struct {
	sent    time.Time     // when its clock begins
	through time.Time     // when the next hop had read the final dot for its last recipient
	done    chan struct{} // closed then
	left    int           // recipients that the next hop was not given yet
}

// ledger knows what is on its way, by Message-ID.
type ledger struct {
	mu    sync.Mutex
	mail  map[string]*passage
	twice int // recipients beyond those that were sent
}

func newLedger() *ledger { return &ledger{mail: map[string]*passage{}} }

// sent begins a passage. It comes before the final dot goes out, so that the next hop
// cannot be faster.
func (l *ledger) sent(id string, recipients int, at time.Time) *passage {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &passage{sent: at, left: recipients, done: make(chan struct{})}
	l.mail[id] = p
	return p
}

func (l *ledger) came(id string, recipients int, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.mail[id]
	if p == nil {
		return // of an earlier run, or of somebody else
	}
	p.left -= recipients
	if p.left < 0 {
		l.twice -= p.left
		p.left = 0
		return
	}
	if p.left == 0 {
		p.through = at
		close(p.done)
	}
}

// waited is false when the time was up first.
func (p *passage) waited(until time.Time) bool {
	select {
	case <-p.done:
		return true
	default:
	}
	select {
	case <-p.done:
		return true
	case <-time.After(time.Until(until)):
		return false
	}
}

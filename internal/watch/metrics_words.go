package watch

import (
	"sync"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// causes finds the word for what an outcome means. What a host says to one message
// it says to the next, and to read its words costs more than all the counting: what
// was read lately is remembered.
type causes struct {
	of func(custody.Outcome) string

	mu   sync.Mutex
	read map[said]string
}

// said is all of an outcome that its meaning follows from.
type said struct {
	stage   mail.Stage
	reply   mail.Reply
	theirs  bool
	trouble custody.Trouble
}

const (
	readMost = 1000 // sayings remembered
	readLong = 1000 // octets of a saying that is
)

func (c *causes) word(o *custody.Outcome) string {
	if len(o.Reply.Text) > readLong {
		return c.of(*o)
	}
	s := said{o.Stage, o.Reply, o.Theirs, o.Trouble}
	c.mu.Lock()
	defer c.mu.Unlock()
	w, ok := c.read[s]
	if !ok {
		w = c.of(*o)
		if c.read == nil || len(c.read) >= readMost {
			c.read = make(map[said]string)
		}
		c.read[s] = w
	}
	return w
}

// words bounds the values that a label takes from the configuration, which may
// change at every reload.
type words struct {
	mu    sync.RWMutex
	known map[string]bool
}

const wordsMost = 200

func (w *words) bound(s string) string {
	w.mu.RLock()
	ok, full := w.known[s], len(w.known) >= wordsMost
	w.mu.RUnlock()
	switch {
	case ok:
		return s
	case full:
		return TheOthers
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known == nil {
		w.known = make(map[string]bool)
	}
	w.known[s] = true
	return s
}

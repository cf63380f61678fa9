package watch

import (
	"io"
	"sync"
)

// Lines hands lines on to a writer. What comes while some are being written goes out
// together by whoever is writing, so that nobody waits but one. Flush waits until all
// are out.
type Lines struct {
	w    io.Writer
	mu   sync.Mutex
	less sync.Cond
	buf  []byte // not handed on yet
	out  []byte // being handed on, or empty
	busy bool
}

const linesMost = 1 << 20 // octets kept; who has more to say waits

// NewLines writes to w.
func NewLines(w io.Writer) *Lines {
	l := &Lines{w: w}
	l.less.L = &l.mu
	return l
}

// Write takes whole lines. It never fails: there is nowhere to tell it.
func (l *Lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.buf) >= linesMost {
		l.less.Wait()
	}
	l.buf = append(l.buf, b...)
	if !l.busy {
		l.busy = true
		if l.hand(); len(l.buf) > 0 {
			go l.rest()
		} else {
			l.free()
		}
	}
	return len(b), nil
}

// hand writes what there is. The lock is held, but for meanwhile.
func (l *Lines) hand() {
	l.buf, l.out = l.out[:0], l.buf
	l.mu.Unlock()
	_, _ = l.w.Write(l.out)
	l.mu.Lock()
	l.less.Broadcast()
}

// rest writes what came while others were writing.
func (l *Lines) rest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.buf) > 0 {
		l.hand()
	}
	l.free()
}

func (l *Lines) free() {
	l.busy = false
	l.less.Broadcast()
}

// Flush waits until all lines are written.
func (l *Lines) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.busy {
		l.less.Wait()
	}
}

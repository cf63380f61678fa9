package memnet

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

func (p *pipe) read(b []byte, c *conn) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var timer *time.Timer
	defer func() {
		if timer != nil {
			timer.Stop()
		}
	}()
	for {
		switch {
		case c.closed.Load():
			return 0, net.ErrClosed
		case p.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		}
		if c.link.net.faultNow(c.link.key).Dial != Silent {
			if n := p.take(b); n > 0 {
				return n, nil
			}
			switch next := p.nextArrival(); {
			case next > 0:
				if timer != nil {
					timer.Stop()
				}
				timer = time.AfterFunc(next, p.wake)
			case p.broken != 0:
				return 0, p.broken
			case p.ended:
				return 0, io.EOF
			}
		} else if p.broken != 0 && p.off == len(p.buf) {
			return 0, p.broken
		}
		p.cond.Wait()
	}
}

// take reads what has arrived.
func (p *pipe) take(b []byte) int {
	for len(p.late) > 0 && !time.Now().Before(p.late[0].at) {
		p.late = p.late[1:]
	}
	end := len(p.buf)
	for _, m := range p.late {
		end -= m.n
	}
	n := copy(b, p.buf[p.off:end])
	p.off += n
	if p.off == len(p.buf) {
		p.buf, p.off = p.buf[:0], 0
	}
	if n > 0 {
		p.cond.Broadcast()
	}
	return n
}

// nextArrival returns how long it takes until something new may be read; 0:
// nothing is on its way.
func (p *pipe) nextArrival() time.Duration {
	switch {
	case len(p.late) > 0:
		return time.Until(p.late[0].at)
	case p.ended && p.broken == 0:
		return max(0, time.Until(p.endAt))
	}
	return 0
}

func (p *pipe) write(b []byte, c *conn) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.writing {
		p.cond.Wait()
	}
	p.writing = true
	defer func() {
		p.writing = false
		p.cond.Broadcast()
	}()
	done := 0
	for {
		switch {
		case done > 0 && done == len(b):
			return done, nil
		case c.closed.Load():
			return done, net.ErrClosed
		case p.broken != 0:
			return done, p.broken
		case p.gone || p.ended:
			return done, syscall.EPIPE
		case p.writeBy.passed():
			return done, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		}
		f := c.link.net.faultNow(c.link.key)
		n := min(len(b)-done, bufferSize-(len(p.buf)-p.off))
		limit := c.limit(f)
		if limit >= 0 {
			n = min(n, max(0, limit-p.passed))
		}
		if n > 0 {
			p.put(b[done:done+n], f.Latency)
			done += n
		}
		if limit >= 0 && p.passed >= limit {
			p.mu.Unlock()
			c.link.reset(syscall.ECONNRESET)
			p.mu.Lock()
			continue
		}
		if n == 0 {
			p.cond.Wait()
		}
	}
}

// put appends bytes that arrive after the latency, and never before earlier ones.
func (p *pipe) put(b []byte, latency time.Duration) {
	// No more is moved than was read since: a reader of single bytes would else
	// have the whole buffer moved for each.
	if len(p.buf)+len(b) > cap(p.buf) && p.off >= len(p.buf)-p.off {
		p.buf = p.buf[:copy(p.buf, p.buf[p.off:])]
		p.off = 0
	}
	p.buf = append(p.buf, b...)
	p.passed += len(b)
	if latency > 0 || len(p.late) > 0 {
		p.late = append(p.late, mark{len(b), p.arrival(latency)})
	}
	p.cond.Broadcast()
}

// arrival is when something sent now may be read.
func (p *pipe) arrival(latency time.Duration) time.Time {
	at := time.Now().Add(latency)
	if i := len(p.late) - 1; i >= 0 && p.late[i].at.After(at) {
		at = p.late[i].at
	}
	return at
}

func (p *pipe) closeWrite(c *conn) {
	latency := c.link.net.faultNow(c.link.key).Latency
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.ended, p.endAt = true, p.arrival(latency)
	}
	p.writeBy.stop()
	p.cond.Broadcast()
}

func (p *pipe) closeRead() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	p.readBy.stop()
	p.cond.Broadcast()
}

func (p *pipe) reset(cause syscall.Errno) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken == 0 {
		p.broken = cause
	}
	p.cond.Broadcast()
}

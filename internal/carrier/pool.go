package carrier

import (
	"context"
	"slices"
	"sync"
	"time"
)

// pool keeps connections for the next message to the same site.
type pool struct {
	keep time.Duration
	most int

	ctx    context.Context // of the good-byes
	cut    context.CancelFunc
	ending sync.WaitGroup // good-byes under way

	mu     sync.Mutex
	idle   map[string][]*conn // newest last
	count  int
	closed bool
}

const (
	// reuse bounds the age of a connection: on one that never ends, mail would go
	// to a backup long after the first host is back. Postfix has the same bound.
	reuse   = 5 * time.Minute
	goodBye = time.Second // for the answers to QUIT when the carrier closes
)

func newPool(keep time.Duration, most int) *pool {
	p := &pool{keep: keep, most: most, idle: map[string][]*conn{}}
	p.ctx, p.cut = context.WithCancel(context.Background())
	return p
}

// take returns a connection to the site; nil if there is none.
func (p *pool) take(site string) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	cs := p.idle[site]
	if len(cs) == 0 {
		return nil
	}
	c := cs[len(cs)-1]
	p.drop(site, len(cs)-1)
	return c
}

// put keeps a connection, or ends it if it is of no more use or there are enough.
func (p *pool) put(site string, c *conn) {
	p.mu.Lock()
	if p.closed || p.count >= p.most || !c.Reusable() || time.Since(c.opened) >= reuse {
		p.mu.Unlock()
		p.retire(c)
		return
	}
	defer p.mu.Unlock()
	p.idle[site] = append(p.idle[site], c)
	p.count++
	c.ends = time.AfterFunc(p.keep, func() { p.expire(site, c) })
}

// drop takes out one connection. p.mu is held.
func (p *pool) drop(site string, i int) {
	cs := p.idle[site]
	cs[i].ends.Stop()
	p.count--
	if cs = slices.Delete(cs, i, i+1); len(cs) == 0 {
		delete(p.idle, site)
		return
	}
	p.idle[site] = cs
}

// expire ends a connection that nobody wanted in time.
func (p *pool) expire(site string, c *conn) {
	p.mu.Lock()
	i := slices.Index(p.idle[site], c)
	if i >= 0 {
		p.drop(site, i)
	}
	p.mu.Unlock()
	if i >= 0 {
		p.retire(c)
	}
}

// retire ends a connection, aside: the host may be slow to answer QUIT.
func (p *pool) retire(c *conn) {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.ending.Go(func() { c.Quit(p.ctx) })
	}
	p.mu.Unlock()
	if closed {
		c.Close()
	}
}

// close ends the connections that are kept and waits for it.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	all := p.idle
	p.idle, p.count = map[string][]*conn{}, 0
	p.mu.Unlock()
	for _, cs := range all {
		for _, c := range cs {
			c.ends.Stop()
			p.ending.Go(func() { c.Quit(p.ctx) })
		}
	}
	patience := time.AfterFunc(goodBye, p.cut)
	p.ending.Wait()
	patience.Stop()
	p.cut()
}

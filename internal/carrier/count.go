package carrier

import "context"

// Connections counts the connections to other hosts: those being opened, greeting
// and TLS included, those busy with a message, and those kept for the next one.
func (c *Carrier) Connections() (opening, busy, idle int) {
	idle = c.pool.size()
	return int(c.opening.Load()), max(0, int(c.opened.Load())-idle), idle
}

func (p *pool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// Quit ends the connection as RFC 5321 4.1.1.10 has it.
func (c *conn) Quit(ctx context.Context) {
	c.leave()
	c.Conn.Quit(ctx)
}

// Close ends the connection without a word.
func (c *conn) Close() {
	c.leave()
	c.Conn.Close()
}

// leave takes the connection out of the count, once.
func (c *conn) leave() { c.left.Do(func() { c.open.Add(-1) }) }

package main

import (
	"context"
	"net"
	"net/netip"
	"sync"
)

// process is the program from one start to its end, and its side of the network.
type process struct {
	w     *universe
	n     *node
	stop  context.CancelFunc
	ended chan error

	mu    sync.Mutex
	dead  bool // its power is cut: nothing it says is heard, and it hears nothing
	conns map[*wire]bool
	lots  sync.Mutex
}

// shuffle draws the order of equal hosts, the same in every run.
func (l *process) shuffle(d dice) func(int, func(i, j int)) {
	return func(n int, swap func(i, j int)) {
		l.lots.Lock()
		defer l.lots.Unlock()
		d.Shuffle(n, swap)
	}
}

// die cuts the power, as far as the network sees it.
func (l *process) die() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = true
	for c := range l.conns {
		c.Conn.Close()
	}
}

// left names the peers of connections that are open.
func (l *process) left() (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		names = append(names, c.RemoteAddr().String())
	}
	return names
}

func (l *process) listen(network, address string) (net.Listener, error) {
	if network == "unix" {
		address = "unix:" + address
	}
	ln, err := l.w.net.Listen(address)
	if err != nil {
		return nil, err
	}
	return entrance{ln, l}, nil
}

func (l *process) dial(ctx context.Context, network, address string, _ net.Addr) (net.Conn, error) {
	c, err := l.w.net.DialFrom(ctx, netip.MustParseAddrPort(nodeAt).Addr(), network, address)
	if err != nil {
		return nil, err
	}
	return l.keep(c)
}

// keep counts a connection in.
func (l *process) keep(c net.Conn) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		c.Close()
		return nil, net.ErrClosed
	}
	k := &wire{Conn: c, l: l}
	l.conns[k] = true
	return k, nil
}

type entrance struct {
	net.Listener
	l *process
}

func (d entrance) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if k, err := d.l.keep(c); err == nil {
			return k, nil
		}
	}
}

// wire is the program's end of a connection.
type wire struct {
	net.Conn
	l *process
}

func (c *wire) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.gone() {
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *wire) Write(b []byte) (int, error) {
	if c.gone() {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}

func (c *wire) gone() bool {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return c.l.dead
}

func (c *wire) Close() error {
	c.l.mu.Lock()
	delete(c.l.conns, c)
	c.l.mu.Unlock()
	return c.Conn.Close()
}

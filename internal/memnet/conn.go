package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// bufferSize is how much one direction holds before a Write waits.
const bufferSize = 64 << 10

// link is one connection, seen from outside.
type link struct {
	net         *Network
	key         string // the address that was dialled: its faults govern both directions
	there, back *pipe
	open        atomic.Int32 // ends not closed yet
}

// conn is one end of a link.
type conn struct {
	link          *link
	in, out       *pipe
	local, remote net.Addr
	closed        atomic.Bool
}

// connect makes both ends of a connection.
func (n *Network) connect(local, remote net.Addr, key string) (near, far *conn) {
	l := &link{net: n, key: key, there: newPipe(), back: newPipe()}
	l.open.Store(2)
	near = &conn{link: l, in: l.back, out: l.there, local: local, remote: remote}
	far = &conn{link: l, in: l.there, out: l.back, local: remote, remote: local}
	n.mu.Lock()
	n.links[l] = struct{}{}
	n.mu.Unlock()
	return near, far
}

// Read waits for bytes, the end of the stream, the deadline or a reset.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b, c)
	if err != nil && err != io.EOF {
		err = c.opError("read", err)
	}
	return n, err
}

// Write hands all of b to the network, waiting where the peer does not read.
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.out.write(b, c)
	if err != nil {
		err = c.opError("write", err)
	}
	return n, err
}

// Close ends both directions. What was written before still arrives.
func (c *conn) Close() error {
	if c.closed.Swap(true) {
		return c.opError("close", net.ErrClosed)
	}
	c.in.closeRead()
	c.out.closeWrite(c)
	c.leave()
	return nil
}

// CloseWrite ends the stream to the peer, who may still answer.
func (c *conn) CloseWrite() error {
	if c.closed.Load() {
		return c.opError("close", net.ErrClosed)
	}
	c.out.closeWrite(c)
	return nil
}

// abort resets both directions and takes the connection off the network.
func (c *conn) abort(cause syscall.Errno) {
	c.link.reset(cause)
	c.link.open.Store(1)
	c.leave()
}

func (c *conn) leave() {
	if c.link.open.Add(-1) > 0 {
		return
	}
	n := c.link.net
	n.mu.Lock()
	delete(n.links, c.link)
	n.mu.Unlock()
}

func (l *link) reset(cause syscall.Errno) {
	l.there.reset(cause)
	l.back.reset(cause)
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(c.in, &c.in.readBy, t)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(c.out, &c.out.writeBy, t)
}

func (c *conn) setDeadline(p *pipe, d *deadline, t time.Time) error {
	if c.closed.Load() {
		return c.opError("set", net.ErrClosed)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d.stop()
	d.at = t
	if left := time.Until(t); !t.IsZero() && left > 0 {
		d.timer = time.AfterFunc(left, p.wake)
	}
	p.cond.Broadcast()
	return nil
}

func (c *conn) opError(op string, err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: c.remote, Err: err}
}

// limit returns how many bytes may pass in this end's direction before the
// connection is reset; -1: any number.
func (c *conn) limit(f Fault) int {
	n := f.ResetSent
	if c.out == c.link.back {
		n = f.ResetReceived
	}
	if n <= 0 {
		return -1
	}
	return n
}

// deadline is a moment at which a waiting call must look up.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

// newPipe returns one direction of a link.
func newPipe() *pipe {
	p := new(pipe)
	p.cond.L = &p.mu
	return p
}

// pipe is one direction of a link: a bounded queue of bytes, each of which may
// be read from its own moment on.
type pipe struct {
	mu      sync.Mutex
	cond    sync.Cond
	buf     []byte
	off     int    // bytes of buf that were read
	late    []mark // the end of buf that is still on its way; empty: all has arrived
	passed  int    // bytes written since the beginning
	writing bool   // a Write is under way; another waits, so that neither is torn
	ended   bool   // the writer closed
	endAt   time.Time
	gone    bool          // the reader closed
	broken  syscall.Errno // reset; what is in buf may still be read
	readBy  deadline
	writeBy deadline
}

// mark says that the last n bytes, or more, arrive at a moment.
type mark struct {
	n  int
	at time.Time
}

func (p *pipe) wake() {
	p.mu.Lock()
	p.cond.Broadcast()
	p.mu.Unlock()
}

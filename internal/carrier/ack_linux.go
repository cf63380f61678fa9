package carrier

import (
	"net"
	"syscall"
)

// prompt acknowledges at once what it receives. A host that answers a batch of
// commands in several small segments waits with the second for our acknowledgement
// of the first (RFC 896), which the kernel would hold back for 40 ms, for each
// message anew. Measured with such a host: 44 ms a message, below 1 ms with this.
type prompt struct {
	*net.TCPConn
	raw   syscall.RawConn
	heard bool // something, since we spoke
}

func promptly(c net.Conn) net.Conn {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return c
	}
	return &prompt{TCPConn: t, raw: raw}
}

func (p *prompt) Write(b []byte) (int, error) {
	p.heard = false
	return p.TCPConn.Write(b)
}

// Read acknowledges what came before when there is more to wait for; where one read
// brings all, the next command does it. The kernel forgets it when we send.
func (p *prompt) Read(b []byte) (int, error) {
	if p.heard {
		p.raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1) })
	}
	n, err := p.TCPConn.Read(b)
	p.heard = true
	return n, err
}

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
	raw syscall.RawConn
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
	return prompt{t, raw}
}

// Read asks for it each time: the kernel forgets it when we send.
func (p prompt) Read(b []byte) (int, error) {
	p.raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1) })
	return p.TCPConn.Read(b)
}

package filter

import (
	"net"
	"syscall"
)

// acknowledge makes the kernel acknowledge at once what comes next, where it would
// wait for 40 ms: libmilter writes its last answer after the changes and waits with
// it for our acknowledgement of them (RFC 896). The kernel forgets it when we send.
func acknowledge(c net.Conn) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := t.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1) })
	}
}

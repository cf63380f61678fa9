// Package memnet is a network in memory: listen, dial, delay and fault, so that
// whole chains of mail systems can live seven days in a second of test time.
//
// A [Network] stands in for package net wherever a listen or a dial is injected.
// Its connections are buffered like TCP's (net.Pipe is not, and deadlocks when
// both sides pipeline), and everything that waits, waits durably in the sense of
// testing/synctest: deadlines, latency and faults run on the bubble's clock. It
// starts no goroutine. (A mutex held during I/O still stops that clock: finish a
// TLS handshake before two goroutines use the connection.) It never resolves a name (package dns has a Zone for
// that) and never touches a real socket.
//
// Start reading at [Network.DialContext], then [Fault].
package memnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	backlog = 128 // connections that wait for Accept; more are not answered, as with a full SYN queue
	// dialGiveUp is when a Linux kernel gives up a connection whose SYN, sent
	// seven times, nobody answers.
	dialGiveUp = 127 * time.Second
)

// Network is a set of hosts that reach each other. Use New. Used in a synctest
// bubble it must be made in it.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener // by "ip:port", ":port" or the path of a Unix socket
	standing  map[string]Fault     // by "ip", "ip:port" or path
	windows   []window
	links     map[*link]struct{} // open connections
	changed   chan struct{}      // closed when a fault begins or ends; nil: nobody waits
	port      uint16             // last ephemeral port
}

// New returns a network without hosts: every dial is refused.
func New() *Network {
	return &Network{
		listeners: make(map[string]*listener),
		standing:  make(map[string]Fault),
		links:     make(map[*link]struct{}),
	}
}

// Listen opens a listener at "192.0.2.1:25", "[2001:db8::1]:25", at ":25" for
// that port of every address, or at "unix:/run/dovecot/lmtp". Port 0 takes a
// free one.
func (n *Network) Listen(addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &listener{net: n, backlog: make(chan *conn, backlog), done: make(chan struct{})}
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		l.key, l.addr = path, &net.UnixAddr{Net: "unix", Name: path}
	} else {
		ap, err := parse(addr)
		if err != nil {
			return nil, &net.OpError{Op: "listen", Net: "tcp", Err: err}
		}
		if ap.Port() == 0 {
			ap = netip.AddrPortFrom(ap.Addr(), n.nextPort())
		}
		l.key, l.addr = ap.String(), net.TCPAddrFromAddrPort(ap)
		if ap.Addr().IsUnspecified() {
			l.key = fmt.Sprintf(":%d", ap.Port())
		}
	}
	if n.listeners[l.key] != nil {
		return nil, &net.OpError{Op: "listen", Net: l.addr.Network(), Addr: l.addr, Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	n.listeners[l.key] = l
	return l, nil
}

// DialContext connects to an address that something listens at. The network is
// "tcp", "tcp4", "tcp6" or "unix"; for TCP the host must be an IP address. It
// fails as net.Dialer does: with ECONNREFUSED, EHOSTUNREACH, ETIMEDOUT, or when
// ctx ends.
func (n *Network) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return n.DialFrom(ctx, netip.Addr{}, network, addr)
}

// DialFrom is DialContext from a source address; the zero address stands for the
// one of the network's own: 127.0.0.1, 198.51.100.1 or their like in IPv6.
func (n *Network) DialFrom(ctx context.Context, source netip.Addr, network, addr string) (net.Conn, error) {
	local, remote, key, err := n.ends(source, network, addr)
	if err == nil {
		var c net.Conn
		if c, err = n.dial(ctx, local, remote, key); err == nil {
			return c, nil
		}
	}
	return nil, &net.OpError{Op: "dial", Net: network, Source: local, Addr: remote, Err: err}
}

// ends names both ends of a connection to be.
func (n *Network) ends(source netip.Addr, network, addr string) (local, remote net.Addr, key string, err error) {
	if network == "unix" {
		return &net.UnixAddr{Net: "unix"}, &net.UnixAddr{Net: "unix", Name: addr}, addr, nil
	}
	to, err := parse(addr)
	if err != nil {
		return nil, nil, "", err
	}
	switch is4 := to.Addr().Is4(); {
	case network != "tcp" && network != "tcp4" && network != "tcp6":
		err = net.UnknownNetworkError(network)
	case network == "tcp4" && !is4, network == "tcp6" && is4,
		source.IsValid() && source.Unmap().Is4() != is4:
		err = &net.AddrError{Err: "no suitable address found", Addr: addr}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	from := netip.AddrPortFrom(source, n.nextPort())
	if !source.IsValid() {
		from = netip.AddrPortFrom(ownAddr(to.Addr()), n.port)
	}
	return net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(to), to.String(), err
}

func ownAddr(to netip.Addr) netip.Addr {
	switch {
	case to.IsLoopback() && to.Is4():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case to.IsLoopback():
		return netip.IPv6Loopback()
	case to.Is4():
		return netip.MustParseAddr("198.51.100.1")
	}
	return netip.MustParseAddr("2001:db8:51::1")
}

func (n *Network) dial(ctx context.Context, local, remote net.Addr, key string) (net.Conn, error) {
	giveUp := time.NewTimer(dialGiveUp)
	defer giveUp.Stop()
	wait := func(until <-chan struct{}, timer <-chan time.Time) error {
		select {
		case <-until:
		case <-timer:
		case <-ctx.Done():
			return contextError(ctx.Err())
		case <-giveUp.C:
			return os.NewSyscallError("connect", syscall.ETIMEDOUT)
		}
		return nil
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, contextError(err)
		}
		f, changed := n.faultOrChange(key)
		if f.Latency > 0 && f.Dial != Silent {
			t := time.NewTimer(f.Latency)
			if err := wait(nil, t.C); err != nil {
				t.Stop()
				return nil, err
			}
		}
		switch f.Dial {
		case Refused:
			return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
		case Unreachable:
			return nil, os.NewSyscallError("connect", syscall.EHOSTUNREACH)
		case Silent:
			if err := wait(changed, nil); err != nil {
				return nil, err
			}
			continue
		}
		l := n.listener(key)
		if l == nil {
			return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
		}
		near, far := n.connect(local, remote, key)
		select {
		case l.backlog <- far:
		case <-l.done:
			near.abort(syscall.ECONNREFUSED)
			return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
		case <-ctx.Done():
			near.abort(syscall.ECONNABORTED)
			return nil, contextError(ctx.Err())
		case <-giveUp.C:
			near.abort(syscall.ECONNABORTED)
			return nil, os.NewSyscallError("connect", syscall.ETIMEDOUT)
		}
		l.drainIfClosed()
		return near, nil
	}
}

func (n *Network) listener(key string) *listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.listeners[key]; l != nil {
		return l
	}
	if i := strings.LastIndexByte(key, ':'); i >= 0 {
		return n.listeners[key[i:]]
	}
	return nil
}

// nextPort returns a port no other connection was given lately. n.mu is held.
func (n *Network) nextPort() uint16 {
	if n.port < 32768 || n.port == 65535 {
		n.port = 32767
	}
	n.port++
	return n.port
}

// parse reads "ip:port"; an empty host is the unspecified address.
func parse(addr string) (netip.AddrPort, error) {
	if strings.HasPrefix(addr, ":") {
		addr = "0.0.0.0" + addr
	}
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return ap, &net.AddrError{Err: "memnet knows IP addresses with a port only", Addr: addr}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

// contextError is a context's end in the words of package net.
func contextError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return timeout{}
	}
	return canceled{}
}

type timeout struct{}

func (timeout) Error() string   { return "i/o timeout" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }
func (timeout) Is(err error) bool {
	return err == context.DeadlineExceeded || err == os.ErrDeadlineExceeded
}

type canceled struct{}

func (canceled) Error() string     { return "operation was canceled" }
func (canceled) Is(err error) bool { return err == context.Canceled }

// listener is one end that waits for connections.
type listener struct {
	net     *Network
	key     string
	addr    net.Addr
	backlog chan *conn
	done    chan struct{}
	once    sync.Once
}

// Accept waits for the next connection, or until the listener is closed.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
	default:
		select {
		case c := <-l.backlog:
			return c, nil
		case <-l.done:
		}
	}
	return nil, &net.OpError{Op: "accept", Net: l.addr.Network(), Addr: l.addr, Err: net.ErrClosed}
}

// Close stops listening; connections nobody accepted are reset.
func (l *listener) Close() error {
	err := error(&net.OpError{Op: "close", Net: l.addr.Network(), Addr: l.addr, Err: net.ErrClosed})
	l.once.Do(func() {
		err = nil
		l.net.mu.Lock()
		delete(l.net.listeners, l.key)
		l.net.mu.Unlock()
		close(l.done)
	})
	l.drainIfClosed()
	return err
}

// Addr returns where it listens.
func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) drainIfClosed() {
	select {
	case <-l.done:
	default:
		return
	}
	for {
		select {
		case c := <-l.backlog:
			c.abort(syscall.ECONNRESET)
		default:
			return
		}
	}
}

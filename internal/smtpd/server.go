package smtpd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider/postrider/mail"
)

// maxTurnedAway bounds how many surplus clients are told why at a time; the
// others are just hung up on.
const maxTurnedAway = 64

// terms are the Options that a visit goes by, and what follows from them.
type terms struct {
	opt     Options
	banner  []byte
	ehlo    []byte // the answer to EHLO on a plain connection
	ehloTLS []byte // and on a protected one
	// and to those who are trusted to speak for others, who need no STARTTLS.
	ehloTrusted []byte
}

// Server speaks SMTP or LMTP on any number of listeners. Make it with New.
type Server struct {
	host  Host
	terms atomic.Pointer[terms] // for the visits that begin now

	stopping chan struct{} // closed when no more clients are taken
	running  sync.WaitGroup

	mu        sync.Mutex
	stopped   bool
	listeners map[net.Listener]struct{}
	visits    map[*visit]struct{}
	surplus   int                  // how many of visits are only being turned away
	guests    map[netip.Prefix]int // connections of each client and of each network
}

// New makes a server that puts its questions to h.
func New(o Options, h Host) *Server {
	s := &Server{
		host:      h,
		stopping:  make(chan struct{}),
		listeners: make(map[net.Listener]struct{}),
		visits:    make(map[*visit]struct{}),
		guests:    make(map[netip.Prefix]int),
	}
	s.Reload(o)
	return s
}

// Reload puts other Options in force, for the visits that begin from now on.
func (s *Server) Reload(o Options) {
	t := &terms{opt: o.withDefaults()}
	t.banner = fmt.Appendf(nil, "220 %s %s\r\n", t.opt.Hostname, t.opt.Banner)
	t.ehlo = t.extensions(t.opt.TLSConfig != nil)
	t.ehloTLS = t.extensions(false)
	t.ehloTrusted = t.extensions(false, "XFORWARD NAME ADDR PORT PROTO HELO IDENT", "XCLIENT ADDR PORT NAME")
	s.terms.Store(t)
}

// extensions is the answer to EHLO.
func (t *terms) extensions(startTLS bool, more ...string) []byte {
	o := &t.opt
	lines := []string{o.Hostname, "PIPELINING"}
	if o.MaxSize < never {
		lines = append(lines, fmt.Sprintf("SIZE %d", o.MaxSize))
	} else {
		lines = append(lines, "SIZE")
	}
	lines = append(lines, "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING")
	if startTLS {
		lines = append(lines, "STARTTLS")
	}
	if o.DeliverBy {
		by := "DELIVERBY"
		if o.MinDeliverBy > 0 {
			by = fmt.Sprintf("DELIVERBY %d", int64(o.MinDeliverBy/time.Second))
		}
		lines = append(lines, by)
	}
	if o.Starts {
		lines = append(lines, "ETRN")
	}
	lines = append(lines, more...)
	limits := ""
	if o.MaxRcpts < never {
		limits += fmt.Sprintf(" RCPTMAX=%d", o.MaxRcpts)
	}
	if o.MaxMessages < never {
		limits += fmt.Sprintf(" MAILMAX=%d", o.MaxMessages)
	}
	if limits != "" {
		lines = append(lines, "LIMITS"+limits)
	}
	var b []byte
	for i, l := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		b = fmt.Appendf(b, "250%s%s\r\n", sep, l)
	}
	return b
}

// Serve takes clients from l until ctx ends, Shutdown is called or l is closed.
// When ctx ends the whole server shuts down, with Times.Drain for the messages
// under way. It returns once every client of the server has left if the server
// stopped; an error means that l was closed by somebody else. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	if !s.enlist(l) {
		return nil
	}
	unhook := context.AfterFunc(ctx, s.stop)
	defer unhook()
	err := s.accept(context.WithoutCancel(ctx), l)
	s.mu.Lock()
	delete(s.listeners, l)
	stopped := s.stopped
	s.mu.Unlock()
	if !stopped {
		return fmt.Errorf("smtpd: accept: %w", err)
	}
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.terms.Load().opt.Times.Drain)
	defer cancel()
	if ctx.Err() != nil {
		s.Shutdown(bound)
	}
	s.running.Wait()
	return nil
}

func (s *Server) enlist(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.listeners[l] = struct{}{}
	}
	return !s.stopped
}

// accept takes clients until the listener is closed. No other error is a reason
// to stop: a server without free file descriptors serves those it has, and
// looks again.
func (s *Server) accept(ctx context.Context, l net.Listener) error {
	var wait time.Duration
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			wait = 0
			s.welcome(ctx, nc)
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			if wait == 0 {
				s.terms.Load().opt.Log.Error("smtpd: cannot accept connections, trying on", "listener", s.terms.Load().opt.Listener, "err", err)
			}
			wait = min(max(5*time.Millisecond, 2*wait), time.Second)
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-s.stopping:
				t.Stop()
				return net.ErrClosed
			}
		}
	}
}

// welcome starts a visit. One too many is a visit too, but a short one.
func (s *Server) welcome(ctx context.Context, nc net.Conn) {
	v := &visit{s: s, t: s.terms.Load(), nc: nc}
	v.ctx, v.cancel = context.WithCancel(ctx)
	s.mu.Lock()
	v.surplus = len(s.visits)-s.surplus >= s.terms.Load().opt.MaxConns
	take := !s.stopped && (!v.surplus || s.surplus < maxTurnedAway)
	if take {
		s.visits[v] = struct{}{}
		s.running.Add(1)
		if v.surplus {
			s.surplus++
		}
	}
	s.mu.Unlock()
	if take {
		go s.receive(v)
	} else {
		v.force()
	}
}

// receive is the goroutine of a visit. The client's address is asked for here
// and not in accept: behind a PROXY header it must be waited for.
func (s *Server) receive(v *visit) {
	defer s.running.Done()
	o := &v.terms().opt
	v.client = Client{
		Addr: addrPort(v.nc.RemoteAddr()), Local: addrPort(v.nc.LocalAddr()),
		Listener: o.Listener, Back: o.Back, LMTP: o.LMTP,
	}
	who := parties(v.client.Addr.Addr())
	turned, counted := mail.Reply{}, false
	if v.surplus {
		turned = tooManyConns
	} else {
		turned = s.admit(v, who)
		counted = turned.IsZero()
	}
	switch {
	case counted:
		v.small = make([]byte, max(smallBuffer, s.terms.Load().opt.MaxLine+2))
		v.buf = v.small
		v.serve()
	case v.surplus:
		v.turnAway(turned)
	}
	v.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.visits, v)
	if v.surplus {
		s.surplus--
	}
	if counted {
		for _, p := range who {
			if s.guests[p]--; s.guests[p] == 0 {
				delete(s.guests, p)
			}
		}
	}
}

// admit counts a client in, or says why not: then the visit is surplus, and does not
// take the place of another. Of those only so many are told.
func (s *Server) admit(v *visit, who []netip.Prefix) mail.Reply {
	o := &s.terms.Load().opt
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, most := range []int{o.MaxConnsPerClient, o.MaxConnsPerNetwork}[:len(who)] {
		if s.guests[who[i]] < most {
			continue
		}
		if s.surplus < maxTurnedAway {
			v.surplus = true
			s.surplus++
		}
		return []mail.Reply{tooManyYours, tooManyNear}[i]
	}
	for _, p := range who {
		s.guests[p]++
	}
	return mail.Reply{}
}

// parties are by what a client is counted: its IPv4 address or IPv6 /64, and its
// IPv4 /24 or IPv6 /48; nothing for those that are not counted.
func parties(a netip.Addr) []netip.Prefix {
	if !a.IsValid() || a.IsLoopback() {
		return nil
	}
	own, near := 64, 48
	if a.Is4() {
		own, near = 32, 24
	}
	client, _ := a.WithZone("").Prefix(own) // fails for no such length
	network, _ := a.WithZone("").Prefix(near)
	return []netip.Prefix{client, network}
}

// addrPort reads an address of any network; zero if it is no IP address.
func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case nil:
	case *net.TCPAddr:
		ap = a.AddrPort()
	default:
		ap, _ = netip.ParseAddrPort(a.String()) // a Unix socket has none
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// stop takes no more clients and sends home those that are idle.
func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	s.stopped = true
	close(s.stopping)
	for l := range s.listeners {
		l.Close()
	}
	for v := range s.visits {
		v.drain()
	}
}

// Shutdown stops the server: no more clients are taken, idle ones hear 421, and
// messages under way may end until ctx does. What is left then is cut off, and
// the error is that of ctx. Either way nothing of the server runs on.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	gone := make(chan struct{})
	go func() {
		s.running.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for v := range s.visits {
		v.force()
	}
	s.mu.Unlock()
	<-gone
	return ctx.Err()
}

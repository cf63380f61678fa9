package dns

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	wire "github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
)

// Options say how a Client asks. The zero Options ask the system's servers.
type Options struct {
	Servers    []string      // "192.0.2.53" or "192.0.2.53:53", tried in order; empty: those of ResolvConf
	ResolvConf string        // "": /etc/resolv.conf; looked at again when it changed
	TrustAD    bool          // believe the AD bit of every server; else only of loopback ones, or by "options trust-ad"
	Timeout    time.Duration // for one try; 0: 5 s
	Rounds     int           // how often each silent server is asked; 0: 2
	Memory     int           // octets that are spent on remembering answers; 0: 32 MiB
	// Dial opens a connection to a server, network "udp" or "tcp"; nil: the real one.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

const (
	maxWait   = 30 * time.Second // for one question, all servers and rounds together
	maxAsking = 512              // questions on the wire at a time
)

// Client is a Resolver that asks servers and remembers what they said. It may
// be used by many goroutines; those who ask the same at the same time share one
// question.
type Client struct {
	o       Options
	system  *watched // nil: o.Servers
	cache   cache
	flights singleflight.Group
	asking  chan struct{}
}

var _ Resolver = (*Client)(nil)

// New returns a Client. It fails on a server that is no address.
func New(o Options) (*Client, error) {
	c := &Client{asking: make(chan struct{}, maxAsking)}
	servers := make([]string, len(o.Servers))
	for i, s := range o.Servers {
		var err error
		if servers[i], err = serverAddr(s); err != nil {
			return nil, err
		}
	}
	o.Servers = servers
	o.Timeout = cmp.Or(o.Timeout, 5*time.Second)
	o.Rounds = cmp.Or(o.Rounds, 2)
	o.Memory = cmp.Or(o.Memory, 32<<20)
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if len(o.Servers) == 0 {
		c.system = &watched{path: cmp.Or(o.ResolvConf, "/etc/resolv.conf")}
	}
	c.o = o
	c.cache = cache{limit: o.Memory, entries: make(map[question]entry)}
	return c, nil
}

// MX returns the hosts that take mail for a domain, as the DNS orders them.
func (c *Client) MX(ctx context.Context, domain string) (Answer[MX], error) {
	return askMX(ctx, c, domain)
}

// IPs returns the addresses of a host. Each answer begins at another of them,
// so that remembering does not undo the DNS's sharing of load.
func (c *Client) IPs(ctx context.Context, host string) (Answer[netip.Addr], error) {
	return askIPs(ctx, c, host)
}

// TXT returns the texts of a name, the strings of each record joined.
func (c *Client) TXT(ctx context.Context, name string) (Answer[string], error) {
	return askTXT(ctx, c, name)
}

// PTR returns the names an address claims to have.
func (c *Client) PTR(ctx context.Context, ip netip.Addr) (Answer[string], error) {
	return askPTR(ctx, c, ip)
}

// lookup answers from memory, or joins those who ask.
func (c *Client) lookup(ctx context.Context, name string, qtype uint16) result {
	q := question{canonical(name), qtype}
	fail := func(kind Kind, err error) result {
		return result{err: &Error{Name: q.name, Type: wire.TypeToString[qtype], Kind: kind, Err: err}}
	}
	if !askable(q.name) {
		return fail(BadName, nil)
	}
	r, ok := c.cache.find(q)
	if !ok {
		done := c.flights.DoChan(wire.TypeToString[qtype]+" "+q.name, func() (any, error) {
			// The question outlives the one who asked first: others wait for it too.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxWait)
			defer cancel()
			r := c.resolve(ctx, q)
			c.cache.keep(q, r)
			return r, nil
		})
		select {
		case d := <-done:
			r = d.Val.(result)
		case <-ctx.Done():
			return fail(Silent, ctx.Err())
		}
	}
	if n := len(r.rrs); n > 1 && (qtype == wire.TypeA || qtype == wire.TypeAAAA) {
		first := rand.IntN(n)
		r.rrs = append(append(make([]wire.RR, 0, n), r.rrs[first:]...), r.rrs[:first]...)
	}
	return r
}

// askable reports whether a name can be put into a question as it is.
func askable(name string) bool {
	if name == "" || strings.ContainsAny(name, "\\\"();@ \t\r\n\x00") {
		return false
	}
	_, ok := wire.IsDomainName(name)
	return ok
}

// servers returns whom to ask, and whether all of them are trusted.
func (c *Client) servers() ([]string, bool) {
	if c.system == nil {
		return c.o.Servers, c.o.TrustAD
	}
	conf := c.system.now()
	return conf.servers, c.o.TrustAD || conf.trustAD
}

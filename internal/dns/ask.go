package dns

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"time"

	wire "github.com/miekg/dns"
)

const (
	udpSize    = 1232 // what passes every path unfragmented (DNS flag day 2020)
	maxAliases = 8
)

// resolve asks, and asks on where the answer ends at an alias.
func (c *Client) resolve(ctx context.Context, q question) result {
	typ := wire.TypeToString[q.qtype]
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-ctx.Done():
		return result{err: &Error{Name: q.name, Type: typ, Kind: Silent, Err: ctx.Err()}}
	}
	r := result{name: q.name, secure: true, ttl: maxTTL}
	for range maxAliases {
		msg, server, err := c.ask(ctx, question{r.name, q.qtype})
		if err != nil {
			err.Name = q.name
			r := result{err: err, ttl: failureTTL}
			if err.Kind == NoServer {
				r.ttl = 0 // ours to mend, and felt at once when it is
			}
			return r
		}
		_, trusted := c.servers()
		r.secure = r.secure && msg.AuthenticatedData && (trusted || isLoopback(server))
		from := r.name
		if !r.follow(msg, q.qtype) {
			return result{err: &Error{Name: q.name, Type: typ, Kind: Loop, Server: server}, ttl: failureTTL}
		}
		soa, hasSOA := negativeTTL(msg)
		switch {
		case len(r.rrs) > 0:
			r.ttl = max(r.ttl, minTTL)
			return r
		case msg.Rcode == wire.RcodeNameError:
			e := &Error{Name: q.name, Type: typ, Kind: NoName, Server: server, Secure: r.secure}
			return result{err: e, ttl: min(soa, max(r.ttl, minTTL))}
		case r.name == from || hasSOA:
			e := &Error{Name: q.name, Type: typ, Kind: NoData, Server: server, Secure: r.secure}
			return result{err: e, ttl: min(soa, max(r.ttl, minTTL))}
		}
	}
	return result{err: &Error{Name: q.name, Type: typ, Kind: Loop}, ttl: failureTTL}
}

// follow takes from an answer the aliases that begin at r.name, then the
// records at their end. It reports false for aliases that never end.
func (r *result) follow(msg *wire.Msg, qtype uint16) bool {
	for range maxAliases + 1 {
		alias := ""
		for _, rr := range msg.Answer {
			h := rr.Header()
			if h.Class != wire.ClassINET || canonical(h.Name) != r.name {
				continue
			}
			ttl := time.Duration(h.Ttl) * time.Second
			if h.Rrtype == qtype {
				r.rrs = append(r.rrs, rr)
				r.ttl = min(r.ttl, ttl)
			} else if c, ok := rr.(*wire.CNAME); ok && alias == "" {
				alias = canonical(c.Target)
				r.ttl = min(r.ttl, ttl)
			}
		}
		if len(r.rrs) > 0 || alias == "" {
			return true
		}
		if !askable(alias) {
			return false
		}
		r.name = alias
	}
	return false
}

// negativeTTL says how long "there is nothing" holds (RFC 2308 5).
func negativeTTL(msg *wire.Msg) (ttl time.Duration, hasSOA bool) {
	for _, rr := range msg.Ns {
		if soa, ok := rr.(*wire.SOA); ok {
			s := time.Duration(min(soa.Hdr.Ttl, soa.Minttl)) * time.Second
			return min(max(s, minTTL), maxNegative), true
		}
	}
	return noSOA, false
}

// ask puts one question to the servers in their order. A silent one is asked
// again in the next round, one that failed is not. Of several failures the one
// that says most is returned.
func (c *Client) ask(ctx context.Context, q question) (*wire.Msg, string, *Error) {
	servers, _ := c.servers()
	said := make([]bool, len(servers))
	var worst *Error
	for range c.o.Rounds {
		for i, s := range servers {
			if said[i] {
				continue
			}
			msg, err := c.try(ctx, s, q)
			if err == nil {
				return msg, s, nil
			}
			said[i] = err.Kind != Silent && err.Kind != NoServer
			if worst == nil || err.Kind < worst.Kind { // the later kinds say less
				worst = err
			}
			if ctx.Err() != nil {
				return nil, s, worst
			}
		}
	}
	return nil, "", worst
}

// try asks one server: by UDP, by TCP if the answer is cut, and without EDNS
// where that is not understood (RFC 6891 6.2.2).
func (c *Client) try(ctx context.Context, server string, q question) (*wire.Msg, *Error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	m := new(wire.Msg)
	m.SetQuestion(wire.Fqdn(q.name), q.qtype)
	m.AuthenticatedData = true // asks for the AD bit without the signatures (RFC 6840 5.7)
	m.SetEdns0(udpSize, false)
	r, err := c.exchange(ctx, "udp", server, m)
	if err == nil && r.IsEdns0() == nil && (r.Rcode == wire.RcodeFormatError || r.Rcode == wire.RcodeNotImplemented) {
		m.Extra = nil
		r, err = c.exchange(ctx, "udp", server, m)
	}
	if _, network := errors.AsType[net.Error](err); err == nil && r.Truncated || err != nil && !network {
		r, err = c.exchange(ctx, "tcp", server, m)
	}
	e := &Error{Name: q.name, Type: wire.TypeToString[q.qtype], Server: server, Err: err}
	if err != nil {
		e.Kind = NoServer
		switch ne, ok := errors.AsType[net.Error](err); {
		case ok && ne.Timeout() || errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil:
			e.Kind, e.Err = Silent, nil
		case !ok:
			e.Kind = Garbled
		}
		return nil, e
	}
	e.Kind = judge(r, q)
	if e.Kind != 0 {
		return nil, e
	}
	return r, nil
}

// judge says what is wrong with an answer; 0: it can be used.
func judge(r *wire.Msg, q question) Kind {
	switch r.Rcode {
	case wire.RcodeSuccess, wire.RcodeNameError:
	case wire.RcodeServerFailure:
		if opt := r.IsEdns0(); opt != nil {
			for _, o := range opt.Option {
				if e, ok := o.(*wire.EDNS0_EDE); ok && e.InfoCode >= wire.ExtendedErrorCodeDNSBogus && e.InfoCode <= wire.ExtendedErrorCodeNSECMissing {
					return Bogus
				}
			}
		}
		return Failed
	case wire.RcodeRefused:
		return Refused
	default:
		return Garbled
	}
	if !r.Response || len(r.Question) != 1 || r.Question[0].Qtype != q.qtype || !strings.EqualFold(r.Question[0].Name, wire.Fqdn(q.name)) {
		return Garbled
	}
	if r.Rcode == wire.RcodeSuccess && len(r.Answer) == 0 && !r.Authoritative {
		if _, soa := negativeTTL(r); !soa && (len(r.Ns) > 0 || !r.RecursionAvailable) {
			return Lame
		}
	}
	return 0
}

// exchange sends a question and reads its answer.
func (c *Client) exchange(ctx context.Context, network, server string, m *wire.Msg) (*wire.Msg, error) {
	conn, err := c.o.Dial(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	m.Id = wire.Id()
	lib := wire.Client{Net: network, Timeout: c.o.Timeout}
	r, _, err := lib.ExchangeWithConnContext(ctx, m, &wire.Conn{Conn: conn})
	return r, err
}

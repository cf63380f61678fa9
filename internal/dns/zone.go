package dns

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	wire "github.com/miekg/dns"
)

// Zone is a Resolver that knows what it was told and nothing else: the DNS of a
// test or a demonstration, in virtual time too. The zero Zone is empty: no name
// exists.
type Zone struct {
	mu      sync.Mutex
	records map[string][]wire.RR
	kinds   map[question]Kind // failures; type 0: of every question about the name
	asked   map[question]int
	delay   time.Duration
	secure  bool
}

var _ Resolver = (*Zone)(nil)

// Add adds records to a name, or to an address for its PTR, each written as in
// a zone file: "MX 10 mx1.example.com", "A 192.0.2.1", "TXT \"v=spf1 -all\"",
// "CNAME www.example.net". It panics on what it cannot read.
func (z *Zone) Add(name string, records ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	owner := ownerOf(name)
	if z.records == nil {
		z.records = make(map[string][]wire.RR)
	}
	for _, r := range records {
		rr, err := wire.NewRR(fmt.Sprintf("%s 300 IN %s", wire.Fqdn(owner), r))
		if err != nil || rr == nil {
			panic(fmt.Sprintf("dns: zone: cannot read %q of %s: %v", r, name, err))
		}
		z.records[owner] = append(z.records[owner], rr)
	}
}

// Remove forgets a name with its records and failures.
func (z *Zone) Remove(name string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	owner := ownerOf(name)
	delete(z.records, owner)
	for q := range z.kinds {
		if q.name == owner {
			delete(z.kinds, q)
		}
	}
}

// Fail makes questions about a name go unanswered in that way, those of one type
// ("MX") or, for type "", all; kind 0 ends it.
func (z *Zone) Fail(name, rrtype string, kind Kind) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.kinds == nil {
		z.kinds = make(map[question]Kind)
	}
	z.kinds[question{ownerOf(name), wire.StringToType[rrtype]}] = kind
}

// Delay makes every answer take so long.
func (z *Zone) Delay(d time.Duration) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.delay = d
}

// Sign makes every answer Secure.
func (z *Zone) Sign() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.secure = true
}

// Asked tells how often a name was asked about, for records of one type ("MX").
func (z *Zone) Asked(name, rrtype string) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked[question{ownerOf(name), wire.StringToType[rrtype]}]
}

// MX returns the hosts that take mail for a domain.
func (z *Zone) MX(ctx context.Context, domain string) (Answer[MX], error) {
	return askMX(ctx, z, domain)
}

// IPs returns the addresses of a host in the order in which they were added.
func (z *Zone) IPs(ctx context.Context, host string) (Answer[netip.Addr], error) {
	return askIPs(ctx, z, host)
}

// TXT returns the texts of a name.
func (z *Zone) TXT(ctx context.Context, name string) (Answer[string], error) {
	return askTXT(ctx, z, name)
}

// PTR returns the names of an address.
func (z *Zone) PTR(ctx context.Context, ip netip.Addr) (Answer[string], error) {
	return askPTR(ctx, z, ip)
}

func (z *Zone) lookup(ctx context.Context, name string, qtype uint16) result {
	q := question{canonical(name), qtype}
	z.mu.Lock()
	if z.asked == nil {
		z.asked = make(map[question]int)
	}
	z.asked[q]++
	delay, secure := z.delay, z.secure
	z.mu.Unlock()
	fail := func(kind Kind, err error) result {
		return result{err: &Error{Name: q.name, Type: wire.TypeToString[qtype], Kind: kind, Server: "zone", Secure: secure, Err: err}}
	}
	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return fail(Silent, ctx.Err())
		}
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if !askable(q.name) {
		return fail(BadName, nil)
	}
	r := result{name: q.name, secure: secure}
	for range maxAliases {
		for _, t := range []uint16{qtype, 0} {
			if k := z.kinds[question{r.name, t}]; k != 0 {
				return fail(k, nil)
			}
		}
		from := r.name
		if !r.follow(&wire.Msg{Answer: z.records[r.name]}, qtype) {
			return fail(Loop, nil)
		}
		switch {
		case len(r.rrs) > 0:
			return r
		case r.name != from:
			continue
		case z.exists(r.name):
			return fail(NoData, nil)
		}
		return fail(NoName, nil)
	}
	return fail(Loop, nil)
}

// exists reports whether there is something at a name, or below it.
func (z *Zone) exists(name string) bool {
	if len(z.records[name]) > 0 {
		return true
	}
	for n := range z.records {
		if strings.HasSuffix(n, "."+name) {
			return true
		}
	}
	return false
}

// ownerOf returns a name as it is kept; an address becomes its name for PTR.
func ownerOf(name string) string {
	if ip, err := netip.ParseAddr(name); err == nil {
		if rev, err := wire.ReverseAddr(ip.String()); err == nil {
			return canonical(rev)
		}
	}
	return canonical(name)
}

package route

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/sourcegraph/conc"

	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/mail"
)

// Options say what a Finder knows of the configuration and of this machine. The
// zero Options send everything by MX.
type Options struct {
	Routes []Route
	// Names are this machine's: its host name, and what else an MX record may
	// call it. An MX host of such a name is us, whatever its address.
	Names []string
	// Listen are the addresses where we take mail. An MX host is us if address
	// and port are one of them; the unspecified address stands for Addrs and
	// the loopback addresses.
	Listen []netip.AddrPort
	// Addrs are the addresses of this machine, those included by which the
	// world knows it behind NAT.
	Addrs         []netip.Addr
	AllowLoopback bool   // MX records may point to loopback addresses: for tests
	Port          uint16 // of MX hosts where the route names none; 0: 25
	// Shuffle orders MX hosts of equal preference; nil: by chance.
	Shuffle func(n int, swap func(i, j int))
}

// Finder finds the next hop of a domain. It may be used by many goroutines.
type Finder struct {
	resolver dns.Resolver
	conf     atomic.Pointer[conf]
}

// conf is the Options made ready.
type conf struct {
	Options
	table *Table
	names map[string]bool
}

// New returns a Finder. It fails as NewTable does.
func New(r dns.Resolver, o Options) (*Finder, error) {
	f := &Finder{resolver: r}
	if err := f.Reload(o); err != nil {
		return nil, err
	}
	return f, nil
}

// Reload makes later calls obey new Options; on an error the old ones stay.
func (f *Finder) Reload(o Options) error {
	t, err := NewTable(o.Routes)
	if err != nil {
		return err
	}
	c := &conf{Options: o, table: t, names: make(map[string]bool)}
	for _, n := range o.Names {
		name, err := mail.CanonicalDomain(n)
		if err != nil {
			return fmt.Errorf("route: own name %q: %w", n, err)
		}
		c.names[name] = true
	}
	if c.Port == 0 {
		c.Port = smtpPort
	}
	if c.Shuffle == nil {
		c.Shuffle = rand.Shuffle
	}
	f.conf.Store(c)
	return nil
}

// Match returns the route of a domain in canonical form: its schedule, its
// limits. Never nil; not to be changed.
func (f *Finder) Match(domain string) *Route { return f.conf.Load().table.Match(domain) }

// search is one call of Find.
type search struct {
	*conf
	dns    dns.Resolver
	domain string
	route  *Route
}

// Find says where mail for a domain (canonical form) goes next. A via, as in a
// route's "to", goes before the route's own targets: an operator ordered it.
// Targets are tried in their order; one without hosts is passed over while
// another has some, unless it is the first and the DNS says that the domain
// itself takes no mail.
func (f *Finder) Find(ctx context.Context, domain, via string) (Way, *NoWay) {
	s := search{conf: f.conf.Load(), dns: f.resolver, domain: domain}
	s.route = s.table.Match(domain)
	if via != "" {
		t, err := ParseTarget(via)
		if err != nil {
			return Way{}, s.no(mail.Status{4, 3, 5}, "ordered next hop: %v", err)
		}
		s.route = s.route.ordered(t, s.table)
	}
	found := make([]destination, len(s.route.To))
	var wg conc.WaitGroup
	for i, t := range s.route.To[1:] {
		wg.Go(func() { found[i+1] = s.target(ctx, t) })
	}
	found[0] = s.target(ctx, s.route.To[0])
	wg.Wait()

	w := Way{Domain: domain, Route: s.route, TLS: s.route.TLS, Rule: s.route.Rule}
	var sites []string
	var no *NoWay
	for i, d := range found {
		switch {
		case d.no == nil:
			if w.Hosts == nil {
				w.Kind = s.route.To[i].Kind
			}
			w.Hosts = append(w.Hosts, d.hosts...)
			sites = append(sites, d.site)
		case d.no.ends && w.Hosts == nil && no == nil:
			return Way{}, d.no
		case no == nil || no.Permanent && !d.no.Permanent:
			no = d.no // of several, one that may pass: another attempt is worth while
		}
	}
	if w.Hosts == nil {
		return Way{}, no
	}
	w.Site = strings.Join(sites, " then ")
	w.Lane = w.Site + s.route.demands()
	return w, nil
}

// ordered returns the route with its targets replaced by an operator's. Its
// credentials are for its own targets and must not be shown to another host, and
// its limits for what they bear: what is ordered to one host is one lane, which
// must not have those of the domain that happens to stand first in it.
func (r *Route) ordered(t Target, routes *Table) *Route {
	o := *r
	o.To = []Target{t}
	o.Rule = "ordered " + t.String() + ", settings of " + r.Rule
	own := slices.Contains(r.To, t)
	if !own || t.Kind == MX {
		o.Auth = Auth{}
	}
	switch {
	case t.Kind != MX:
		o.Limits = routes.limits(t)
	case !own:
		o.Limits = Limits{}
	}
	return &o
}

// demands says what the route asks of a connection, as far as it is not the
// default: connections are shared only where all of it is equal.
func (r *Route) demands() string {
	var b strings.Builder
	add := func(name string, v any) { fmt.Fprintf(&b, " %s=%v", name, v) }
	if r.TLS != May {
		add("tls", r.TLS)
	}
	if r.Auth != (Auth{}) {
		add("auth", fmt.Sprintf("%q:%q", r.Auth.User, r.Auth.PasswordFile))
	}
	if r.Helo != "" {
		add("helo", r.Helo)
	}
	if r.Source.IsValid() {
		add("source", r.Source)
	}
	if r.Family != AnyFamily {
		add("family", r.Family)
	}
	if l := r.Limits; l != (Limits{}) {
		add("limits", fmt.Sprintf("%d/%d/%d/%v", l.MaxConns, l.MaxMessages, l.Messages, l.Per))
	}
	return b.String()
}

// destination is what one target gave: hosts, or a reason why there are none.
type destination struct {
	hosts []Host
	site  string
	no    *NoWay
}

func (s search) target(ctx context.Context, t Target) destination {
	if t.Kind == MX {
		return s.mx(ctx, t)
	}
	h := Host{Name: t.Host, Port: t.Port, Unix: t.Unix, LMTP: t.Kind == LMTP}
	if h.Unix != "" {
		h.Name = h.Unix
		return destination{hosts: []Host{h}, site: t.String()}
	}
	if h.Port == 0 {
		h.Port = smtpPort
	}
	var err error
	if h.IPs, err = s.ips(ctx, h.Name); err != nil {
		// A next hop that we were told to use and cannot find is our fault, not
		// the message's: always "later".
		detail := uint16(4)
		if temporary(err) {
			detail = 3
		}
		return destination{no: s.later(detail, "next hop %s: %s", t, words(err))}
	}
	if h.IPs = s.order(h.IPs); len(h.IPs) == 0 {
		return destination{no: s.later(4, "next hop %s has no address of the family the route allows", t)}
	}
	return destination{hosts: []Host{h}, site: t.String()}
}

// ips returns the addresses of a configured host. "localhost" needs no DNS (RFC
// 6761 6.3).
func (s search) ips(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip.Unmap()}, nil
	}
	if localhost(host) {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	a, err := s.dns.IPs(ctx, host)
	return a.Records, err
}

func localhost(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// temporary reports whether a question without an answer may have one later.
// What is no word of the DNS is no word about the domain.
func temporary(err error) bool {
	e, ok := errors.AsType[*dns.Error](err)
	return !ok || e.Temporary()
}

// words tells an error of the resolver to people: "NXDOMAIN from 192.0.2.53:53".
func words(err error) string {
	e, ok := errors.AsType[*dns.Error](err)
	switch {
	case !ok:
		return err.Error()
	case e.Server != "" && e.Kind == dns.NoServer:
		return fmt.Sprintf("%v (tried %s)", e.Kind, e.Server)
	case e.Server != "":
		return fmt.Sprintf("%v from %s", e.Kind, e.Server)
	}
	return e.Kind.String()
}

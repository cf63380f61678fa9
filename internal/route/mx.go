package route

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sourcegraph/conc"

	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/mail"
)

// Bounds on what a domain can make us do (SECURITY.md 2). Both leave the two
// addresses that RFC 5321 5.1 wants tried.
const (
	maxHosts = 20 // MX hosts that are looked up
	maxIPs   = 5  // addresses of one host
	maxSite  = 250
)

// exchanger is an MX host on its way to become a Host.
type exchanger struct {
	Host
	own   bool   // it is this machine
	why   string // why it has no address that can be used
	later bool   // it may have one later
}

// mx finds the hosts that take mail for the domain (RFC 5321 5.1).
func (s search) mx(ctx context.Context, t Target) destination {
	port := t.Port
	if port == 0 {
		port = s.Port
	}
	if ip, ok := mail.Literal(s.domain); ok {
		return s.literal(ip.Unmap(), port)
	}
	a, err := s.dns.MX(ctx, s.domain)
	switch kind := dns.KindOf(err); {
	case err == nil:
	case kind == dns.NoData:
		return s.implicit(ctx, port)
	case temporary(err):
		return destination{no: s.later(3, "MX lookup of %s: %s", s.domain, words(err))}
	case kind == dns.NoName:
		return destination{no: s.never(1, 2, "%s: no such domain (%s)", s.domain, words(err)).end()}
	default:
		return destination{no: s.never(1, 2, "%s: %s", s.domain, words(err)).end()}
	}
	xs := s.exchangers(a.Records, port)
	if len(xs) == 0 {
		return destination{no: s.never(1, 10, "%s takes no mail: it has a null MX (RFC 7505)", s.domain).end()}
	}
	all := xs
	if xs = better(xs); len(xs) == 0 {
		return destination{no: s.loop(all)}
	}
	site := siteOf(xs, port)
	xs = xs[:min(len(xs), maxHosts)]
	s.lookUp(ctx, xs)
	all = xs
	if xs = better(xs); len(xs) == 0 {
		return destination{no: s.loop(all)}
	}
	if hosts := usable(xs); len(hosts) > 0 {
		return destination{hosts: hosts, site: site}
	}
	return destination{no: s.nowhere(xs)}
}

// literal is the way to "user@[192.0.2.1]".
func (s search) literal(ip netip.Addr, port uint16) destination {
	x := exchanger{Host: Host{Name: s.domain, Port: port}}
	s.judge(&x, []netip.Addr{ip})
	switch {
	case x.own:
		return destination{no: s.loop([]exchanger{x})}
	case x.later:
		return destination{no: s.later(4, "%s", x.why)}
	case x.why != "":
		return destination{no: s.never(1, 2, "%s", x.why).end()}
	}
	return destination{hosts: []Host{x.Host}, site: siteOf([]exchanger{x}, port)}
}

// implicit is the way to a domain without MX: the domain is its own host. This
// is only for want of MX records, never for want of usable ones.
func (s search) implicit(ctx context.Context, port uint16) destination {
	x := exchanger{Host: Host{Name: s.domain, Port: port}, own: s.names[s.domain]}
	if x.own {
		return destination{no: s.loop([]exchanger{x})}
	}
	if localhost(s.domain) && !s.AllowLoopback {
		return destination{no: s.never(4, 4, "%s is no other machine", s.domain).end()}
	}
	a, err := s.dns.IPs(ctx, s.domain)
	switch kind := dns.KindOf(err); {
	case err == nil:
		s.found(&x, a)
	case temporary(err):
		return destination{no: s.later(3, "address lookup of %s, which has no MX: %s", s.domain, words(err))}
	case kind == dns.NoName:
		return destination{no: s.never(1, 2, "%s: no such domain (%s)", s.domain, words(err)).end()}
	default:
		return destination{no: s.never(4, 4, "%s has neither an MX nor an address record", s.domain).end()}
	}
	switch {
	case x.own:
		return destination{no: s.loop([]exchanger{x})}
	case x.why != "":
		return destination{no: s.nowhere([]exchanger{x})}
	}
	return destination{hosts: []Host{x.Host}, site: siteOf([]exchanger{x}, port)}
}

// exchangers returns the MX hosts in the order in which they are to be tried:
// by preference, and by lot among equals. Null records say nothing beside others.
func (s search) exchangers(records []dns.MX, port uint16) []exchanger {
	var xs []exchanger
	seen := make(map[string]int)
	for _, r := range records {
		if i, ok := seen[r.Host]; ok {
			xs[i].Pref = min(xs[i].Pref, r.Pref)
		} else if r.Host != "" {
			seen[r.Host] = len(xs)
			xs = append(xs, exchanger{Host: Host{Name: r.Host, Port: port, Pref: r.Pref}, own: s.names[r.Host]})
		}
	}
	s.Shuffle(len(xs), func(i, j int) { xs[i], xs[j] = xs[j], xs[i] })
	slices.SortStableFunc(xs, func(a, b exchanger) int { return int(a.Pref) - int(b.Pref) })
	return xs
}

// better returns the hosts that are preferred to this machine: the others would
// only give the mail back (RFC 5321 5.1).
func better(xs []exchanger) []exchanger {
	for _, x := range xs { // in order of preference
		if x.own {
			return slices.DeleteFunc(slices.Clone(xs), func(y exchanger) bool { return y.Pref >= x.Pref })
		}
	}
	return xs
}

// lookUp finds the addresses of all hosts side by side.
func (s search) lookUp(ctx context.Context, xs []exchanger) {
	var wg conc.WaitGroup
	for i := range xs {
		x := &xs[i]
		_, err := netip.ParseAddr(x.Name)
		switch canonical, bad := mail.CanonicalDomain(x.Name); {
		case err == nil:
			x.why = x.Name + " is an address where a host name belongs"
		case bad != nil || canonical != x.Name:
			x.why = fmt.Sprintf("%q is no host name", x.Name)
		case localhost(x.Name) && !s.AllowLoopback:
			x.why = x.Name + " is no other machine"
		default:
			wg.Go(func() {
				a, err := s.dns.IPs(ctx, x.Name)
				if err != nil {
					x.why, x.later = x.Name+": "+words(err), temporary(err)
					return
				}
				s.found(x, a)
			})
		}
	}
	wg.Wait()
}

// found judges the addresses of a host. Where none can be used, and those of the other
// family could not be had, it may have one later.
func (s search) found(x *exchanger, a dns.Answer[netip.Addr]) {
	s.judge(x, a.Records)
	if e := a.Missing(); len(x.IPs) == 0 && e != nil && e.Temporary() {
		x.why, x.later = fmt.Sprintf("%s; %s lookup: %s", x.why, e.Type, words(e)), true
	}
}

// judge gives a host those of its addresses that can be used, or says why there
// is none.
func (s search) judge(x *exchanger, ips []netip.Addr) {
	var good []netip.Addr
	for _, ip := range ips {
		switch ip = ip.Unmap(); {
		case !s.elsewhere(ip):
			x.why = fmt.Sprintf("%s is at %s, where no other machine can be", x.Name, ip)
		case s.mine(ip, x.Port):
			x.own = true
			return
		default:
			good = append(good, ip)
		}
	}
	if len(good) == 0 {
		return
	}
	x.why = ""
	if x.IPs = s.order(good); len(x.IPs) == 0 {
		// Our own configuration stands in the way: ours to mend.
		x.why, x.later = x.Name+" has no address of the family the route allows", true
	}
}

// mine reports whether we listen there.
func (s search) mine(ip netip.Addr, port uint16) bool {
	for _, l := range s.Listen {
		switch a := l.Addr().Unmap(); {
		case l.Port() != port:
		case a == ip, a.IsUnspecified() && (ip.IsLoopback() || slices.Contains(s.Addrs, ip)):
			return true
		}
	}
	return false
}

// elsewhere reports whether the address can lead to another machine.
func (s search) elsewhere(ip netip.Addr) bool {
	switch {
	case ip.IsLoopback():
		return s.AllowLoopback
	case ip.IsUnspecified(), ip.IsMulticast(), ip.Is6() && ip.IsLinkLocalUnicast(), ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return false
	}
	return true
}

// order puts addresses in the order of the route's family and cuts them to what
// is tried. Each family that may be used keeps a place.
func (s search) order(ips []netip.Addr) []netip.Addr {
	var fam [2][]netip.Addr // IPv4, IPv6
	for _, ip := range ips {
		f := 0
		if ip.Is6() {
			f = 1
		}
		if !slices.Contains(fam[f], ip) {
			fam[f] = append(fam[f], ip)
		}
	}
	src := s.route.Source
	if s.route.Family == IPv4Only || src.IsValid() && src.Unmap().Is4() {
		fam[1] = nil
	}
	if s.route.Family == IPv6Only || src.IsValid() && !src.Unmap().Is4() {
		fam[0] = nil
	}
	first, second := fam[0], fam[1]
	if s.route.Family == IPv6First {
		first, second = second, first
	}
	var out []netip.Addr
	if s.route.Family == AnyFamily {
		for i := range max(len(first), len(second)) {
			out = append(out, first[min(i, len(first)):min(i+1, len(first))]...)
			out = append(out, second[min(i, len(second)):min(i+1, len(second))]...)
		}
	} else {
		room := maxIPs - min(1, len(second))
		out = append(out, first[:min(room, len(first))]...)
		out = append(out, second...)
	}
	return out[:min(maxIPs, len(out))]
}

// usable returns the hosts that have an address.
func usable(xs []exchanger) []Host {
	var hosts []Host
	for _, x := range xs {
		if len(x.IPs) > 0 {
			hosts = append(hosts, x.Host)
		}
	}
	return hosts
}

// siteOf names a set of hosts with their ranks: "mx:a.example,b.example;c.example".
func siteOf(xs []exchanger, port uint16) string {
	xs = slices.Clone(xs)
	slices.SortFunc(xs, func(a, b exchanger) int {
		if a.Pref != b.Pref {
			return int(a.Pref) - int(b.Pref)
		}
		return strings.Compare(a.Name, b.Name)
	})
	b := []byte("mx:")
	for i, x := range xs {
		switch {
		case i == 0:
		case x.Pref == xs[i-1].Pref:
			b = append(b, ',')
		default:
			b = append(b, ';')
		}
		b = append(b, x.Name...)
	}
	if len(b) > maxSite {
		sum := sha256.Sum256(b)
		b = fmt.Appendf(b[:maxSite-20], "…%x", sum[:8])
	}
	if port != smtpPort {
		b = fmt.Appendf(b, ":%d", port)
	}
	return string(b)
}

// loop says that the mail would come back to us.
func (s search) loop(xs []exchanger) *NoWay {
	for _, x := range xs {
		if x.own {
			return s.never(4, 6, "mail for %s would loop: its best MX host, %s, is this machine, and no route says where else it goes", s.domain, x.Name)
		}
	}
	return s.never(4, 6, "mail for %s would loop", s.domain)
}

// nowhere says why none of the hosts can be tried.
func (s search) nowhere(xs []exchanger) *NoWay {
	var why []string
	later := false
	for _, x := range xs {
		why = append(why, x.why)
		later = later || x.later
	}
	if n := len(why) - 3; n > 0 {
		why = append(why[:3], fmt.Sprintf("and %d more", n))
	}
	text := strings.Join(why, "; ")
	if later {
		return s.later(4, "no host of %s can be tried now: %s", s.domain, text)
	}
	return s.never(4, 4, "no host of %s can be tried: %s", s.domain, text)
}

package main

import (
	"context"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/internal/dns"
)

// fixed are the keys and tables that are read at the start alone. All others are in
// force as soon as the configuration is read again.
var fixed = []struct {
	key  string
	same func(a, b *config.Config) bool
}{
	{"data", func(a, b *config.Config) bool { return a.Data == b.Data }},
	{"filter.back", func(a, b *config.Config) bool {
		return !slices.ContainsFunc(b.Door.Filters, func(f config.Filter) bool { return f.Kind == "smtp" && !handsBack(f.Name, a, b) })
	}},
	{"listen", func(a, b *config.Config) bool { return slices.EqualFunc(a.Listen, b.Listen, sameListen) }},
	{"log.format", func(a, b *config.Config) bool { return a.Log.JSON == b.Log.JSON }},
	{"queue.max_connections", func(a, b *config.Config) bool { return a.Queue.MaxConnections == b.Queue.MaxConnections }},
	{"queue.min_free", func(a, b *config.Config) bool { return a.Queue.MinFree == b.Queue.MinFree }},
}

// sameListen compares all but the line where it stands.
func sameListen(a, b config.Listen) bool {
	a.Rule = b.Rule
	return a == b
}

// handsBack reports whether the door by which a content filter is to hand back is open
// since the start.
func handsBack(filter string, start, c *config.Config) bool {
	return slices.ContainsFunc(c.Listen, func(l config.Listen) bool {
		return l.Back && l.Name == filter && slices.ContainsFunc(start.Listen, func(d config.Listen) bool { return samePlace(d, l) })
	})
}

// hasBack reports whether a content filter of that name hands back somewhere.
func hasBack(c *config.Config, filter string) bool {
	return slices.ContainsFunc(c.Listen, func(l config.Listen) bool { return l.Back && l.Name == filter })
}

// samePlace reports whether two listeners are one to those who come.
func samePlace(a, b config.Listen) bool {
	return a.Kind == b.Kind && a.Network == b.Network && a.Address == b.Address
}

// waiting are the fixed keys of which a configuration says something else than that of
// the start: they wait for a restart.
func waiting(start, c *config.Config) (keys []string) {
	for _, f := range fixed {
		if !f.same(start, c) {
			keys = append(keys, f.key)
		}
	}
	return keys
}

// names asks the servers that the configuration in force names.
type names struct {
	servers []netip.AddrPort
	client  atomic.Pointer[dns.Client]
}

var _ dns.Resolver = (*names)(nil)

// use has these servers asked from now on; none: those of the system. What is known from
// others is forgotten.
func (n *names) use(servers []netip.AddrPort) error {
	if n.client.Load() != nil && slices.Equal(servers, n.servers) {
		return nil
	}
	var o dns.Options
	for _, s := range servers {
		o.Servers = append(o.Servers, s.String())
	}
	c, err := dns.New(o)
	if err != nil {
		return err
	}
	n.servers = servers
	n.client.Store(c)
	return nil
}

func (n *names) MX(ctx context.Context, domain string) (dns.Answer[dns.MX], error) {
	return n.client.Load().MX(ctx, domain)
}

func (n *names) IPs(ctx context.Context, host string) (dns.Answer[netip.Addr], error) {
	return n.client.Load().IPs(ctx, host)
}

func (n *names) TXT(ctx context.Context, name string) (dns.Answer[string], error) {
	return n.client.Load().TXT(ctx, name)
}

func (n *names) PTR(ctx context.Context, ip netip.Addr) (dns.Answer[string], error) {
	return n.client.Load().PTR(ctx, ip)
}

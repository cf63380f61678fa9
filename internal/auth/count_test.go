package auth

import (
	"context"
	"net/netip"
	"sync/atomic"

	"github.com/postrider/postrider/internal/dns"
)

// counter is a resolver that counts the questions.
type counter struct {
	dns.Resolver
	n atomic.Int64
}

func count(r dns.Resolver) *counter { return &counter{Resolver: r} }

func (c *counter) questions() int { return int(c.n.Load()) }

func (c *counter) MX(ctx context.Context, name string) (dns.Answer[dns.MX], error) {
	c.n.Add(1)
	return c.Resolver.MX(ctx, name)
}

func (c *counter) IPs(ctx context.Context, name string) (dns.Answer[netip.Addr], error) {
	c.n.Add(1)
	return c.Resolver.IPs(ctx, name)
}

func (c *counter) TXT(ctx context.Context, name string) (dns.Answer[string], error) {
	c.n.Add(1)
	return c.Resolver.TXT(ctx, name)
}

func (c *counter) PTR(ctx context.Context, ip netip.Addr) (dns.Answer[string], error) {
	c.n.Add(1)
	return c.Resolver.PTR(ctx, ip)
}

package main

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/internal/intake"
	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/notice"
)

// load reads the configuration that the flag asks for. Where there is none it is
// the built-in default, but only for serve and for those who talk to it.
func load(flag string) (*config.Config, error) {
	file, ok := config.Find(flag)
	if !ok {
		return config.Default("."), nil
	}
	c, err := config.Load(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return c, err
}

// settings is the configuration in force, in the words of those who ask it: the
// queue's Rules.
type settings struct {
	conf   atomic.Pointer[config.Config]
	start  *config.Config // that of the start
	finder *route.Finder
	intake *intake.Intake
}

// Hostname is our name.
func (s *settings) Hostname() string { return s.conf.Load().Hostname }

// Schedule is the clock of a delivery: that of its route, or that of notices
// where nobody can be told of its end.
func (s *settings) Schedule(d custody.Delivery) custody.Schedule {
	c := s.conf.Load()
	if sch, ok := c.Schedules["notice"]; ok && d.From.IsNull() {
		return sch
	}
	return c.Schedule(s.finder.Match(d.Domain).Schedule)
}

// Notices says how our letters are written.
func (s *settings) Notices() notice.Options {
	c := s.conf.Load()
	return notice.Options{
		Hostname: c.Hostname, Contact: c.Postmaster, FullUpTo: c.Notices.ReturnFull,
		HideHost: func(host string) bool { return hidden(c.Notices, host) },
		Inside:   func(to mail.Address) bool { return intakeRules(c).Ours(to.Key().Domain) },
	}
}

// PostmasterCopy is who is told of failures that nobody else can be told of.
func (s *settings) PostmasterCopy() mail.Address { return s.conf.Load().Notices.PostmasterCopy }

// Deliveries opens the custody of a letter of ours.
func (s *settings) Deliveries(m custody.Message, to mail.Address) []custody.Delivery {
	return s.intake.Deliveries(m, []mail.Recipient{{Address: to, Notify: mail.NotifyNever}})
}

// Sign vouches for a letter of ours with the key of its author's domain.
func (s *settings) Sign(letter []byte) []byte { return s.intake.Sign(letter) }

// hidden reports whether outsiders are not to be told of a host, named by name or
// address.
func hidden(n config.Notices, host string) bool {
	host = strings.Trim(host, "[]")
	if ip, err := netip.ParseAddr(host); err == nil {
		return slices.ContainsFunc(n.HideNets, func(p netip.Prefix) bool { return p.Contains(ip.Unmap()) })
	}
	host = strings.ToLower(host)
	return slices.ContainsFunc(n.HideHosts, func(h string) bool {
		below, ok := strings.CutPrefix(h, "*")
		return host == h || ok && strings.HasSuffix(host, below)
	})
}

// intakeRules are the rules of a configuration for mail that comes in.
func intakeRules(c *config.Config) intake.Rules {
	r := intake.Rules{
		Hostname: c.Hostname, Clients: c.Relay.Clients, RelayRule: c.Relay.Rule, Domains: c.Relay.Domains,
		MaxSize: c.SMTP.MaxSize, MaxHops: c.SMTP.MaxHops, Aliases: map[string][]mail.Address{"postmaster": nil},
	}
	for name, a := range c.Aliases {
		r.Aliases[name] = a.To
	}
	return r
}

// routeOptions are what a configuration says of where mail goes.
func routeOptions(c *config.Config) route.Options {
	o := route.Options{Routes: c.Routes, Names: []string{c.Hostname}}
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				o.Addrs = append(o.Addrs, p.Addr().Unmap())
			}
		}
	}
	for _, l := range c.Listen {
		if l.Kind != "smtp" {
			continue
		}
		if a, err := netip.ParseAddrPort(l.Address); err == nil {
			o.Listen = append(o.Listen, a)
		} else if a, err := netip.ParseAddrPort("[::]" + l.Address); err == nil {
			o.Listen = append(o.Listen, a)
		}
	}
	return o
}

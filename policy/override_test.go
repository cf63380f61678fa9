package policy

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/mail"
)

func TestOverrideMatch(t *testing.T) {
	end := noon.Add(time.Second)
	host := netip.MustParsePrefix("192.0.2.7/32")
	tests := []struct {
		name string
		o    Override
		f    func(*Facts)
		want truth
	}{
		{"host", Override{Client: host, Until: end}, nil, yes},
		{"network", Override{Client: netip.MustParsePrefix("192.0.2.0/24"), Until: end}, nil, yes},
		{"mapped address", Override{Client: host, Until: end}, func(f *Facts) { f.Client = netip.MustParseAddr("::ffff:192.0.2.7") }, yes},
		{"another host", Override{Client: netip.MustParsePrefix("192.0.2.8/32"), Until: end}, nil, no},
		{"at its end", Override{Client: host, Until: noon}, nil, no},
		{"after its end", Override{Client: host, Until: noon.Add(-time.Hour)}, nil, no},
		{"without an end", Override{Client: host}, nil, no},
		{"of nobody", Override{Until: end}, nil, no},
		{"name", Override{Name: "MX.example.org", Until: end}, nil, yes},
		{"name below", Override{Name: "*.example.org", Until: end}, nil, yes},
		{"unconfirmed name", Override{Name: "*.example.org", Until: end}, func(f *Facts) { f.Name = Known(Name{Name: "mx.example.org"}) }, no},
		{"no name", Override{Name: "*", Until: end}, func(f *Facts) { f.Name = Known(Name{}) }, no},
		{"name not known", Override{Name: "*.example.org", Until: end}, func(f *Facts) { f.Name = Fact[Name]{} }, open},
		{"name failed", Override{Name: "*.example.org", Until: end}, func(f *Facts) { f.Name = Failed[Name]("x") }, fault},
		{"name not known, but the sender is another", Override{Name: "*.example.org", Sender: addr("eve@example.org"), Until: end}, func(f *Facts) { f.Name = Fact[Name]{} }, no},
		{"Unix socket has no name", Override{Name: "*", Until: end}, func(f *Facts) { f.Client = netip.Addr{} }, no},
		{"no name at all", Override{Name: "no name", Until: end}, nil, no},
		{"sender", Override{Sender: addr("Ann@Example.ORG"), Until: end}, nil, yes},
		{"another sender", Override{Sender: addr("ann@example.com"), Until: end}, nil, no},
		{"null sender is nobody's", Override{Sender: addr("ann@example.org"), Until: end}, func(f *Facts) { f.From = mail.Address{} }, no},
		{"domain", Override{Domain: "example.ORG", Until: end}, nil, yes},
		{"domain, not below", Override{Domain: "example.org", Until: end}, func(f *Facts) { f.From.Domain = "a.example.org" }, no},
		{"below a domain", Override{Domain: "*.example.org", Until: end}, func(f *Facts) { f.From.Domain = "a.example.org" }, yes},
		{"all given must fit", Override{Client: host, Domain: "example.net", Until: end}, nil, no},
		{"all given fit", Override{Client: host, Name: "mx.example.org", Domain: "example.org", Sender: addr("ann@example.org"), Until: end}, nil, yes},
	}
	for _, tt := range tests {
		f := stranger()
		if tt.f != nil {
			tt.f(f)
		}
		got, need := tt.o.match(f)
		fits, asks := tt.o.Match(f)
		if got != tt.want || fits != (tt.want == yes) || asks != need || (need == NeedName) != (tt.want == open) {
			t.Errorf("%s: %d %v, want %d", tt.name, got, need, tt.want)
		}
	}
}

func TestOverrideCheck(t *testing.T) {
	tb := table(t, Internet()...)
	good := Override{Rule: "no-reverse-name", Client: netip.MustParsePrefix("192.0.2.7/32"), Until: noon, Because: "they mend it", By: "eva"}
	if err := tb.Check(good); err != nil {
		t.Error(err)
	}
	tests := []struct {
		change func(*Override)
		want   string
	}{
		{func(o *Override) { o.Rule = "relay" }, "policy: rule relay holds for everyone and cannot be skipped"},
		{func(o *Override) { o.Rule = "no-such" }, `policy: there is no rule "no-such"; the rules are own-clients, postmaster, listed,`},
		{func(o *Override) { o.Client = netip.Prefix{} }, "policy: an override wants a host, a network, a sender or a domain"},
		{func(o *Override) { o.Name = "*.*" }, `policy: "*.*" is no domain name`},
		{func(o *Override) { o.Domain = "a b" }, `policy: "a b" is no domain name`},
		{func(o *Override) { o.Until = time.Time{} }, "policy: an override wants an end"},
		{func(o *Override) { o.Because = "" }, "policy: an override wants a reason, and who gives it"},
		{func(o *Override) { o.By = "" }, "policy: an override wants a reason, and who gives it"},
	}
	for _, tt := range tests {
		o := good
		tt.change(&o)
		if err := tb.Check(o); err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

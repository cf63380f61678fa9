package auth

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/postrider/postrider/internal/dns"
)

// asker asks our resolver in the shape of net.Resolver, which the libraries
// know, and at most so many questions.
type asker struct {
	dns    dns.Resolver
	client netip.Addr // who is looked for among addresses

	mu     sync.Mutex
	left   int               // questions that may still be asked
	spent  bool              // one more was wanted
	record map[string]string // SPF records by the domain that was asked
}

func newAsker(r dns.Resolver, questions int) *asker {
	return &asker{dns: r, left: questions, record: map[string]string{}}
}

// may takes one question off the account. The error is permanent: the limit is
// the fault of what is published, and will be met again.
func (a *asker) may(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left == 0 {
		a.spent = true
		return &net.DNSError{Err: "too many look-ups", Name: name}
	}
	a.left--
	return nil
}

// exhausted reports whether a question went unasked for being one too many.
func (a *asker) exhausted() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.spent
}

func (a *asker) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if err := a.may(name); err != nil {
		return nil, err
	}
	name = absolute(name)
	got, err := a.dns.TXT(ctx, name)
	if err != nil {
		return nil, asNet(err, name)
	}
	texts := slices.Clone(got.Records)
	for i, txt := range texts {
		if isSPF(txt) && !wellFormed(txt) {
			texts[i] = "v=spf1 malformed" // the library answers with permerror
		} else if isSPF(txt) {
			a.mu.Lock()
			a.record[name] = txt
			a.mu.Unlock()
		}
	}
	return texts, nil
}

func (a *asker) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	if err := a.may(name); err != nil {
		return nil, err
	}
	got, err := a.dns.MX(ctx, absolute(name))
	if err != nil {
		return nil, asNet(err, name)
	}
	var all []*net.MX
	for _, mx := range got.Records {
		all = append(all, &net.MX{Host: mx.Host, Pref: mx.Pref})
	}
	return all, nil
}

func (a *asker) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	host = absolute(host)
	if host == "" { // the null MX (RFC 7505)
		return nil, &net.DNSError{Err: dns.NoData.String(), IsNotFound: true}
	}
	if err := a.may(host); err != nil {
		return nil, err
	}
	got, err := dns.IPsLike(ctx, a.dns, host, a.client)
	if err != nil {
		return nil, asNet(err, host)
	}
	var all []net.IPAddr
	for _, ip := range got.Records {
		all = append(all, net.IPAddr{IP: ip.AsSlice()})
	}
	return all, nil
}

func (a *asker) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, &net.DNSError{Err: err.Error(), Name: addr, IsNotFound: true}
	}
	if err := a.may(addr); err != nil {
		return nil, err
	}
	got, err := a.dns.PTR(ctx, ip)
	if err != nil {
		return nil, asNet(err, addr)
	}
	return got.Records, nil
}

func absolute(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// asNet tells an error of ours in the way the libraries understand: the DNS's
// word that there is nothing, or a failure that may pass.
func asNet(err error, name string) error {
	kind := dns.KindOf(err)
	nothing := kind == dns.NoName || kind == dns.NoData || kind == dns.BadName
	return &net.DNSError{Err: words(err), Name: name, IsNotFound: nothing, IsTemporary: !nothing}
}

// words says what a look-up met, without the name that was asked for.
func words(err error) string {
	if kind := dns.KindOf(err); kind != 0 {
		return kind.String()
	}
	return err.Error()
}

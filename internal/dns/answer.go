package dns

import (
	"context"
	"net/netip"
	"strings"
	"time"

	wire "github.com/miekg/dns"
	"github.com/sourcegraph/conc"
)

// result is what a question met: records of the type asked for, or an error.
type result struct {
	rrs    []wire.RR
	name   string
	secure bool
	err    *Error
	ttl    time.Duration
}

// looker is what Client and Zone have of their own; the rest they share.
type looker interface {
	lookup(ctx context.Context, name string, qtype uint16) result
}

// ask makes an Answer of the records of one type.
func ask[T any](ctx context.Context, l looker, name string, qtype uint16, read func(wire.RR) T) (Answer[T], error) {
	r := l.lookup(ctx, name, qtype)
	if r.err != nil {
		return Answer[T]{}, r.err
	}
	a := Answer[T]{Records: make([]T, len(r.rrs)), Name: r.name, Secure: r.secure}
	for i, rr := range r.rrs {
		a.Records[i] = read(rr)
	}
	return a, nil
}

func askMX(ctx context.Context, l looker, domain string) (Answer[MX], error) {
	return ask(ctx, l, domain, wire.TypeMX, func(rr wire.RR) MX {
		mx := rr.(*wire.MX)
		return MX{mx.Preference, canonical(mx.Mx)}
	})
}

func askTXT(ctx context.Context, l looker, name string) (Answer[string], error) {
	return ask(ctx, l, name, wire.TypeTXT, func(rr wire.RR) string {
		return unescape(strings.Join(rr.(*wire.TXT).Txt, ""))
	})
}

func askPTR(ctx context.Context, l looker, ip netip.Addr) (Answer[string], error) {
	name, err := wire.ReverseAddr(ip.Unmap().WithZone("").String())
	if err != nil {
		return Answer[string]{}, &Error{Name: ip.String(), Type: "PTR", Kind: BadName, Err: err}
	}
	return ask(ctx, l, canonical(name), wire.TypePTR, func(rr wire.RR) string {
		return canonical(rr.(*wire.PTR).Ptr)
	})
}

func askIPs(ctx context.Context, l looker, host string) (Answer[netip.Addr], error) {
	var six conc.WaitGroup
	var a6 Answer[netip.Addr]
	var err6 error
	six.Go(func() {
		a6, err6 = ask(ctx, l, host, wire.TypeAAAA, func(rr wire.RR) netip.Addr {
			ip, _ := netip.AddrFromSlice(rr.(*wire.AAAA).AAAA)
			return ip.Unmap() // "::ffff:127.0.0.1" must not pass for another address than 127.0.0.1
		})
	})
	a4, err4 := ask(ctx, l, host, wire.TypeA, func(rr wire.RR) netip.Addr {
		ip, _ := netip.AddrFromSlice(rr.(*wire.A).A)
		return ip.Unmap()
	})
	six.Wait()
	e4, _ := err4.(*Error)
	e6, _ := err6.(*Error)
	a4.missing, a6.missing = [2]*Error{e4, e6}, [2]*Error{e4, e6}
	switch {
	case err4 == nil && err6 == nil:
		a4.Records = append(a4.Records, a6.Records...)
		a4.Secure = a4.Secure && a6.Secure
		return a4, nil
	case err4 == nil:
		return a4, nil
	case err6 == nil:
		return a6, nil
	}
	// Of two failures the one that may pass is told: the host may have an
	// address yet. Then "no such record": it proves the name.
	if !e4.Temporary() && (e6.Temporary() || e6.Kind == NoData) {
		return a6, e6
	}
	return a4, e4
}

// canonical returns a name in lower case without its final dot.
func canonical(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// unescape gives back the bytes of a string as the library keeps it: `\"` and
// `\034` stand for one byte.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\' || i+1 == len(s):
			b = append(b, s[i])
		case i+3 < len(s) && digit(s[i+1]) && digit(s[i+2]) && digit(s[i+3]):
			b = append(b, (s[i+1]-'0')*100+(s[i+2]-'0')*10+s[i+3]-'0')
			i += 3
		default:
			i++
			b = append(b, s[i])
		}
	}
	return string(b)
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

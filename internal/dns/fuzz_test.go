package dns

import (
	"strings"
	"testing"

	wire "github.com/miekg/dns"
)

// FuzzAnswer reads anything at all as the answer of a name server: following it ends,
// and takes nothing of a name that was not asked about.
func FuzzAnswer(f *testing.F) {
	for _, records := range [][]string{
		{"example.com. 60 IN MX 10 a.example.com."}, {"example.com. 60 IN CNAME example.com."}, {"example.com. 60 IN CNAME b.test.", "b.test. 60 IN TXT \"a\\000\\\"b\""},
		{"other.test. 60 IN A 192.0.2.1"}, {"example.com. 60 IN AAAA ::ffff:127.0.0.1"}, {"example.com. 60 IN PTR a\\013b.test."},
	} {
		m := new(wire.Msg)
		m.SetQuestion("example.com.", wire.TypeMX)
		for _, s := range records {
			rr, err := wire.NewRR(s)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(wire.Msg)
		if m.Unpack(b) != nil {
			return
		}
		negativeTTL(m)
		for _, qtype := range []uint16{wire.TypeMX, wire.TypeTXT, wire.TypeA, wire.TypeAAAA, wire.TypePTR} {
			r := result{name: "example.com", ttl: maxTTL}
			if !r.follow(m, qtype) {
				continue
			}
			if r.ttl > maxTTL || r.ttl < 0 || !askable(r.name) {
				t.Errorf("%+v", r)
			}
			for _, rr := range r.rrs {
				if canonical(rr.Header().Name) != r.name || rr.Header().Rrtype != qtype {
					t.Errorf("%v is no answer about %s", rr, r.name)
				}
				if txt, ok := rr.(*wire.TXT); ok {
					if s := strings.Join(txt.Txt, ""); len(unescape(s)) > len(s) {
						t.Errorf("%q grows", s)
					}
				}
			}
		}
	})
}

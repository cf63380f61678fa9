package policy

import (
	"net/netip"
	"testing"
	"time"

	"github.com/postrider/postrider/mail"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// stranger is an honest client that nobody knows yet, with everything looked up.
func stranger() *Facts {
	return &Facts{
		At: noon, Client: netip.MustParseAddr("192.0.2.7"), Listener: ":25",
		Hostname: "mx1.example.com", Local: netip.MustParseAddr("198.51.100.1"),
		Helo: "mx.example.org", From: mail.Address{Local: "ann", Domain: "example.org"}, Size: 4000,
		To: []mail.Address{{Local: "bob", Domain: "example.com"}}, Recipients: 1,
		Name: Known(Name{Name: "mx.example.org", Confirmed: true}), HeloName: Known(true),
		Lists: Known([]Listing(nil)), FromLists: Known([]Listing(nil)), Proven: Known(false), FromDomain: Known(Reachable),
		SPF: Known(SPF{Word: "none", Domain: "example.org"}), Grey: Known(time.Time{}),
		DKIM: Known([]Signature(nil)), DMARC: Known(DMARC{Word: "none", Domain: "example.org"}),
		Rates: []Count{{Rate: *Internet()[4].If.Rate, N: 1}},
	}
}

// with changes the stranger.
func with(change func(*Facts)) *Facts {
	f := stranger()
	change(f)
	return f
}

func table(t testing.TB, rules ...Rule) *Table {
	t.Helper()
	tb, err := New(rules)
	if err != nil {
		t.Fatal(err)
	}
	return tb
}

// decide asks and wants no look-up.
func decide(t testing.TB, tb *Table, s Stage, f *Facts) Verdict {
	t.Helper()
	v, need := tb.Decide(s, f)
	if need != 0 {
		t.Fatalf("needs %v", need)
	}
	return v
}

func prefixes(ss ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, s := range ss {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

func addr(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

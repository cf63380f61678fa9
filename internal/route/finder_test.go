package route

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/internal/dns"
)

// world is the DNS of these tests: each domain a story.
func world() *dns.Zone {
	z := new(dns.Zone)
	z.Add("example.com", "MX 20 mx2.example.com.", "MX 10 mx1.example.com.")
	z.Add("twin.example", "MX 10 mx1.example.com.", "MX 20 mx2.example.com.")
	z.Add("turned.example", "MX 20 mx1.example.com.", "MX 10 mx2.example.com.")
	z.Add("mx1.example.com", "A 192.0.2.1", "A 192.0.2.2", "AAAA 2001:db8::1")
	z.Add("mx2.example.com", "A 192.0.2.3")
	z.Add("bare.example", "AAAA 2001:db8::4")
	z.Add("text.example", `TXT "nothing here"`)
	z.Add("null.example", "MX 0 .")
	z.Add("halfnull.example", "MX 0 .", "MX 10 mx2.example.com.")
	z.Fail("mxfail.example", "MX", dns.Failed)
	z.Fail("mxsilent.example", "MX", dns.Silent)
	z.Fail("mxbogus.example", "MX", dns.Bogus)
	z.Add("afail.example", `TXT "x"`)
	z.Fail("afail.example", "A", dns.Failed)
	z.Add("gone.example", "MX 10 nx.example.com.", "MX 20 nx2.example.com.")
	z.Add("maybe.example", "MX 10 nx.example.com.", "MX 20 fails.example.com.")
	z.Fail("fails.example.com", "", dns.Failed)
	z.Add("secondonly.example", "MX 10 fails.example.com.", "MX 20 mx2.example.com.")
	z.Add("alias.example", "MX 10 www.example.com.")
	z.Add("www.example.com", "CNAME mx2.example.com.")
	z.Add("literalmx.example", "MX 10 192.0.2.9.", "MX 20 mx2.example.com.")
	z.Add("onlyliteralmx.example", "MX 10 192.0.2.9.")
	z.Add("oddmx.example", `MX 10 a\032b.example.com.`)
	z.Add("tolocal.example", "MX 10 localhost.")
	z.Add("toloop.example", "MX 10 loop.example.com.")
	z.Add("loop.example.com", "A 127.0.0.1", "A 0.0.0.0", "AAAA ::1", "AAAA ::", "AAAA ::ffff:127.0.0.2", "AAAA fe80::1")
	for _, half := range []string{"half.example.com", "bareandhalf.example"} {
		z.Add(half, "AAAA ::1")
		z.Fail(half, "A", dns.Failed)
	}
	z.Add("half.example", "MX 10 half.example.com.")
	z.Add("partlyloop.example", "MX 10 partly.example.com.")
	z.Add("partly.example.com", "A 127.0.0.1", "A 192.0.2.5")
	z.Add("backup.example", "MX 10 mx1.example.com.", "MX 10 mx2.example.com.", "MX 20 us.example.org.", "MX 20 equal.example.com.", "MX 30 worse.example.com.")
	z.Add("equal.example.com", "A 192.0.2.6")
	z.Add("worse.example.com", "A 192.0.2.7")
	z.Add("primary.example", "MX 10 us.example.org.", "MX 20 mx2.example.com.")
	z.Add("byip.example", "MX 10 mx1.example.com.", "MX 20 othername.example.org.", "MX 30 worse.example.com.")
	z.Add("othername.example.org", "A 198.51.100.7")
	z.Add("natted.example", "MX 10 nat.example.org.")
	z.Add("nat.example.org", "A 203.0.113.7")
	z.Add("us.example.org", "A 198.51.100.7")
	z.Add("deadbackup.example", "MX 10 nx.example.com.", "MX 20 us.example.org.")
	return z
}

var ourselves = Options{
	Names:   []string{"us.example.org"},
	Listen:  []netip.AddrPort{netip.MustParseAddrPort("198.51.100.7:25"), netip.MustParseAddrPort("[::]:25")},
	Addrs:   []netip.Addr{netip.MustParseAddr("203.0.113.7")},
	Shuffle: func(int, func(int, int)) {},
}

func finder(t testing.TB, z *dns.Zone, o Options) *Finder {
	t.Helper()
	f, err := New(z, o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// told writes a way or the want of one in a line.
func told(w Way, no *NoWay) string {
	if no != nil {
		word := "later"
		if no.Permanent {
			word = "never"
		}
		return word + " " + no.Reply.Status.String()
	}
	var s []string
	for _, h := range w.Hosts {
		ips := strings.ReplaceAll(strings.Trim(fmt.Sprint(h.IPs), "[]"), " ", ",")
		s = append(s, fmt.Sprintf("%s:%d(%s)", h.Name, h.Port, ips))
	}
	return strings.Join(s, " ")
}

func TestTheWayOfADomain(t *testing.T) {
	const mx1, mx2 = "mx1.example.com:25(192.0.2.1,2001:db8::1,192.0.2.2)", "mx2.example.com:25(192.0.2.3)"
	f := finder(t, world(), ourselves)
	for _, c := range []struct{ domain, want, words string }{
		{"example.com", mx1 + " " + mx2, ""},
		{"bare.example", "bare.example:25(2001:db8::4)", ""},
		{"halfnull.example", mx2, ""},
		{"secondonly.example", mx2, ""},
		{"alias.example", "www.example.com:25(192.0.2.3)", ""},
		{"literalmx.example", mx2, ""},
		{"partlyloop.example", "partly.example.com:25(192.0.2.5)", ""},
		{"[192.0.2.8]", "[192.0.2.8]:25(192.0.2.8)", ""},
		{"[IPv6:2001:db8::8]", "[IPv6:2001:db8::8]:25(2001:db8::8)", ""},
		// The law of RFC 5321 5.1 on backup MX.
		{"backup.example", mx1 + " " + mx2, ""},
		{"byip.example", mx1, ""},
		{"primary.example", "never 5.4.6", "us.example.org, is this machine"},
		{"natted.example", "never 5.4.6", "nat.example.org, is this machine"},
		{"us.example.org", "never 5.4.6", "loop"},
		{"[198.51.100.7]", "never 5.4.6", "loop"},
		{"deadbackup.example", "never 5.4.4", "nx.example.com: NXDOMAIN"},
		// No way, and why.
		{"nx.example", "never 5.1.2", "nx.example: no such domain (NXDOMAIN"},
		{"null.example", "never 5.1.10", "null MX"},
		{"text.example", "never 5.4.4", "neither an MX nor an address"},
		{"gone.example", "never 5.4.4", "nx.example.com: NXDOMAIN"},
		{"onlyliteralmx.example", "never 5.4.4", "192.0.2.9 is an address where a host name belongs"},
		{"oddmx.example", "never 5.4.4", "no host name"},
		{"tolocal.example", "never 5.4.4", "localhost is no other machine"},
		{"toloop.example", "never 5.4.4", "loop.example.com is at fe80::1, where no other machine can be"},
		{"localhost", "never 5.1.2", "no such domain"},
		{"[127.0.0.1]", "never 5.1.2", "where no other machine can be"},
		{"[0.0.0.0]", "never 5.1.2", "where no other machine can be"},
		{"", "never 5.1.2", "not a domain name"},
		{"mxfail.example", "later 4.4.3", "SERVFAIL"},
		{"mxsilent.example", "later 4.4.3", "no answer"},
		{"mxbogus.example", "later 4.4.3", "bogus"},
		{"afail.example", "later 4.4.3", "SERVFAIL"},
		{"maybe.example", "later 4.4.4", "fails.example.com: SERVFAIL"},
		{"half.example", "later 4.4.4", "half.example.com is at ::1, where no other machine can be; A lookup: SERVFAIL"},
		{"bareandhalf.example", "later 4.4.4", "A lookup: SERVFAIL"},
	} {
		w, no := f.Find(t.Context(), c.domain, "")
		if got := told(w, no); got != c.want {
			t.Errorf("%s: %s, want %s", c.domain, got, c.want)
		}
		if no != nil && (no.Reply.Code != 0 || !strings.Contains(no.Reply.Text, c.words) || no.Rule == "") {
			t.Errorf("%s: %+v, want %q", c.domain, no, c.words)
		}
		if no == nil && (w.Route == nil || w.Site == "" || w.String() != "mx "+c.domain) {
			t.Errorf("%s: %+v", c.domain, w)
		}
	}
}

func TestLoopbackIsNoMXUnlessAllowed(t *testing.T) {
	o := ourselves
	o.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:2525")}
	if _, no := finder(t, world(), o).Find(t.Context(), "toloop.example", ""); told(Way{}, no) != "never 5.4.4" || !strings.Contains(no.Reply.Text, "loop.example.com is at") {
		t.Errorf("not allowed: %+v", no)
	}
	o.AllowLoopback, o.Port = true, 2526
	w, no := finder(t, world(), o).Find(t.Context(), "toloop.example", "")
	if got := told(w, no); got != "loop.example.com:2526(127.0.0.1,::1,127.0.0.2)" {
		t.Errorf("allowed: %s", got)
	}
	o.Port = 2525 // the same machine, but now it is us
	if _, no := finder(t, world(), o).Find(t.Context(), "toloop.example", ""); told(Way{}, no) != "never 5.4.6" {
		t.Errorf("own port: %+v", no)
	}
}

func TestEqualPreferencesTakeTurns(t *testing.T) {
	z := new(dns.Zone)
	z.Add("example.com", "MX 10 a.example.com.", "MX 10 b.example.com.", "MX 10 c.example.com.", "MX 20 d.example.com.")
	for i, h := range []string{"a", "b", "c", "d"} {
		z.Add(h+".example.com", fmt.Sprintf("A 192.0.2.%d", i+1))
	}
	f := finder(t, z, Options{})
	first := make(map[string]int)
	const rounds = 1500
	for range rounds {
		w, no := f.Find(t.Context(), "example.com", "")
		if no != nil || len(w.Hosts) != 4 || w.Hosts[3].Name != "d.example.com" || w.Site != "mx:a.example.com,b.example.com,c.example.com;d.example.com" {
			t.Fatalf("%+v, %+v", w, no)
		}
		first[w.Hosts[0].Name]++
	}
	for name, n := range first { // 500 ± 5.5 standard deviations
		if n < 400 || n > 600 {
			t.Errorf("%s was first %d times of %d", name, n, rounds)
		}
	}
}

func TestEqualMXSetsAreOneDestination(t *testing.T) {
	o := ourselves
	o.Routes = []Route{{Domain: "example.net", TLS: Verify}}
	z := world()
	z.Add("example.net", "MX 10 mx1.example.com.", "MX 20 mx2.example.com.")
	f := finder(t, z, o)
	way := func(domain string) Way {
		w, no := f.Find(t.Context(), domain, "")
		if no != nil {
			t.Fatal(no)
		}
		return w
	}
	a, twin, turned, strict := way("example.com"), way("twin.example"), way("turned.example"), way("example.net")
	if a.Site != twin.Site || a.Lane != twin.Lane || a.Site != "mx:mx1.example.com;mx2.example.com" {
		t.Errorf("%q and %q", a.Site, twin.Site)
	}
	if turned.Site == a.Site {
		t.Error("another order of preference is another destination")
	}
	if strict.Site != a.Site || strict.Lane == a.Lane {
		t.Errorf("what must be verified shares connections with what need not: %q, %q", strict.Lane, a.Lane)
	}
	z.Fail("mx1.example.com", "", dns.Failed) // a site does not change with the weather
	if again := way("example.com"); again.Site != a.Site || len(again.Hosts) != 1 {
		t.Errorf("%+v", again)
	}
}

func TestTargetsFailOverInTheirOrder(t *testing.T) {
	z := world()
	z.Add("filter.example.org", "A 192.0.2.20")
	to := func(targets ...string) []Target {
		var ts []Target
		for _, s := range targets {
			target, err := ParseTarget(s)
			if err != nil {
				t.Fatal(err)
			}
			ts = append(ts, target)
		}
		return ts
	}
	for i, c := range []struct {
		domain string
		to     []Target
		want   string
		site   string
	}{
		{"example.com", to("smtp:filter.example.org:2526", "smtp:127.0.0.1:2526"), "filter.example.org:2526(192.0.2.20) 127.0.0.1:2526(127.0.0.1)", "smtp:filter.example.org:2526 then smtp:127.0.0.1:2526"},
		{"example.com", to("smtp:nx.example.org:25", "smtp:localhost"), "localhost:25(127.0.0.1,::1)", "smtp:localhost:25"},
		{"example.com", to("lmtp:unix:/run/lmtp"), "/run/lmtp:0()", "lmtp:unix:/run/lmtp"},
		{"example.com", to("lmtp:[::1]:24"), "::1:24(::1)", "lmtp:[::1]:24"},
		{"example.com", to("mx:2525"), "mx1.example.com:2525(192.0.2.1,2001:db8::1,192.0.2.2) mx2.example.com:2525(192.0.2.3)", "mx:mx1.example.com;mx2.example.com:2525"},
		{"mxfail.example", to("mx", "smtp:filter.example.org"), "filter.example.org:25(192.0.2.20)", "smtp:filter.example.org:25"},
		// The primary MX of a domain knows where it goes from here.
		{"primary.example", to("mx", "smtp:filter.example.org"), "filter.example.org:25(192.0.2.20)", "smtp:filter.example.org:25"},
		// What takes no mail takes none by another way.
		{"null.example", to("mx", "smtp:filter.example.org"), "never 5.1.10", ""},
		{"nx.example", to("mx", "smtp:filter.example.org"), "never 5.1.2", ""},
		// A next hop of our own that cannot be found is our fault, and waits.
		{"nx.example", to("smtp:nx.example.org"), "later 4.4.4", ""},
		{"nx.example", to("smtp:fails.example.com"), "later 4.4.3", ""},
		{"nx.example", to("smtp:fails.example.com", "mx"), "later 4.4.3", ""},
		{"gone.example", to("mx", "smtp:fails.example.com"), "later 4.4.3", ""},
	} {
		o := ourselves
		o.Routes = []Route{{Domain: "*", To: c.to, Rule: "postrider.toml:12 route"}}
		w, no := finder(t, z, o).Find(t.Context(), c.domain, "")
		if got := told(w, no); got != c.want || w.Site != c.site {
			t.Errorf("%d: %s at %q, want %s", i, got, w.Site, c.want)
		}
		if no != nil && no.Rule != "postrider.toml:12 route" {
			t.Errorf("%d: rule %q", i, no.Rule)
		}
	}
}

func TestAnOrderedHopNeverSeesThePassword(t *testing.T) {
	smart := Target{Kind: Relay, Host: "192.0.2.1", Port: 587}
	o := Options{Routes: []Route{{Domain: "*", To: []Target{smart}, TLS: Verify, Auth: Auth{"us", "/etc/pw"}, Rule: "postrider.toml:3 route"}}}
	f := finder(t, world(), o)
	for via, auth := range map[string]bool{"": true, "smtp:192.0.2.1:587": true, "smtp:192.0.2.2:587": false, "mx": false} {
		w, no := f.Find(t.Context(), "example.com", via)
		if no != nil || (w.Route.Auth != Auth{}) != auth || w.TLS != Verify {
			t.Errorf("via %q: %+v, %+v", via, w, no)
		}
		if !strings.Contains(w.Rule, "postrider.toml:3") || via != "" && !strings.Contains(w.Rule, via) {
			t.Errorf("via %q: rule %q", via, w.Rule)
		}
	}
	if f.Match("example.com").Auth.User != "us" {
		t.Error("the order changed the table")
	}
	if _, no := f.Find(t.Context(), "example.com", "gopher:x"); told(Way{}, no) != "later 4.3.5" {
		t.Errorf("%+v", no)
	}
}

// TestAnOrderedHopHasItsOwnLimits: mail of all domains waits for it in one lane.
func TestAnOrderedHopHasItsOwnLimits(t *testing.T) {
	smart := Target{Kind: Relay, Host: "192.0.2.1", Port: 587}
	small, smarts := Limits{Messages: 1, Per: time.Minute}, Limits{MaxConns: 2}
	f := finder(t, world(), Options{Routes: []Route{
		{Domain: "example.com", Limits: small},
		{Domain: "*", To: []Target{smart}, Limits: smarts},
	}})
	for _, c := range []struct {
		domain, via string
		want        Limits
	}{
		{"example.com", "", small},
		{"example.com", "mx", small},
		{"example.com", "smtp:192.0.2.9:10025", Limits{}},
		{"other.example", "smtp:192.0.2.9:10025", Limits{}},
		{"example.com", "smtp:192.0.2.1:587", smarts},
		{"other.example", "smtp:192.0.2.1:587", smarts},
	} {
		if w, no := f.Find(t.Context(), c.domain, c.via); no != nil || w.Route.Limits != c.want {
			t.Errorf("%s via %q: %+v, %+v", c.domain, c.via, w, no)
		}
	}
}

func TestFamiliesKeepTheirOrderAndTheirPlace(t *testing.T) {
	z := new(dns.Zone)
	z.Add("example.com", "MX 10 mx.example.com.")
	for i := range 6 {
		z.Add("mx.example.com", fmt.Sprintf("A 192.0.2.%d", i), fmt.Sprintf("AAAA 2001:db8::%d", i))
	}
	z.Add("six.example", "AAAA 2001:db8::6")
	for _, c := range []struct {
		route  Route
		domain string
		want   string // "4" and "6"
	}{
		{Route{}, "example.com", "46464"},
		{Route{Family: IPv4First}, "example.com", "44446"},
		{Route{Family: IPv6First}, "example.com", "66664"},
		{Route{Family: IPv4Only}, "example.com", "44444"},
		{Route{Family: IPv6Only}, "example.com", "66666"},
		{Route{Source: netip.MustParseAddr("192.0.2.77")}, "example.com", "44444"},
		{Route{Source: netip.MustParseAddr("2001:db8::77")}, "example.com", "66666"},
		{Route{Family: IPv4First}, "six.example", "6"},
		{Route{Family: IPv4Only}, "six.example", "later 4.4.4"}, // our configuration, not their fault
	} {
		c.route.Domain = "*"
		w, no := finder(t, z, Options{Routes: []Route{c.route}}).Find(t.Context(), c.domain, "")
		got := ""
		if no != nil {
			got = told(w, no)
		} else {
			for _, ip := range w.Hosts[0].IPs {
				got += map[bool]string{true: "4", false: "6"}[ip.Is4()]
			}
		}
		if got != c.want {
			t.Errorf("%+v: %s, want %s", c.route, got, c.want)
		}
	}
}

func TestAHundredMXHostsAreBounded(t *testing.T) {
	z := new(dns.Zone)
	for i := range 100 {
		z.Add("example.com", fmt.Sprintf("MX %d mx%d.example.com.", 100-i, i))
		z.Add(fmt.Sprintf("mx%d.example.com", i), "A 192.0.2.1")
	}
	w, no := finder(t, z, Options{}).Find(t.Context(), "example.com", "")
	if no != nil || len(w.Hosts) != maxHosts || w.Hosts[0].Name != "mx99.example.com" || len(w.Site) > maxSite+1 {
		t.Errorf("%d hosts, site of %d octets, %+v", len(w.Hosts), len(w.Site), no)
	}
	if n := z.Asked("mx0.example.com", "A"); n != 0 {
		t.Error("the worst host was looked up")
	}
}

func TestHostsAreLookedUpSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := world()
		z.Delay(time.Second)
		f := finder(t, z, ourselves)
		start := time.Now()
		if _, no := f.Find(t.Context(), "backup.example", ""); no != nil || time.Since(start) != 2*time.Second {
			t.Errorf("%+v after %v", no, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, no := f.Find(ctx, "example.com", ""); told(Way{}, no) != "later 4.4.3" {
			t.Errorf("cut short: %+v", no)
		}
	})
}

func TestReloadGovernsTheNextAttempt(t *testing.T) {
	f := finder(t, world(), ourselves)
	o := ourselves
	o.Routes = []Route{{Domain: "example.com", To: []Target{{Kind: LMTP, Unix: "/run/lmtp"}}, Schedule: "slow"}}
	if err := f.Reload(o); err != nil {
		t.Fatal(err)
	}
	w, no := f.Find(t.Context(), "example.com", "")
	if no != nil || w.Kind != LMTP || w.String() != "lmtp unix:/run/lmtp" || !w.Hosts[0].LMTP || f.Match("example.com").Schedule != "slow" {
		t.Errorf("%+v, %+v", w, no)
	}
	if err := f.Reload(Options{Routes: []Route{{Domain: "a..b"}}}); err == nil {
		t.Error("a bad table was taken")
	}
	if again, _ := f.Find(t.Context(), "example.com", ""); !cmp.Equal(again.Hosts, w.Hosts, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })) {
		t.Error("a bad table changed something")
	}
}

func BenchmarkFind(b *testing.B) {
	f := finder(b, world(), ourselves)
	for b.Loop() {
		f.Find(b.Context(), "example.com", "")
	}
}

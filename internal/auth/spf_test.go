package auth

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/mail"
)

var client = netip.MustParseAddr("192.0.2.1")

func address(local, domain string) mail.Address { return mail.Address{Local: local, Domain: domain} }

func TestSPFTellsWhoWasAskedAndWhatMatched(t *testing.T) {
	z := new(dns.Zone)
	z.Add("example.com", record("v=spf1 ip4:192.0.2.0/28 a:host.example.com include:sub.example.com -all exp=why.example.com"))
	z.Add("sub.example.com", record("v=spf1 mx -all"), "MX 10 mx.example.com")
	z.Add("host.example.com", "A 192.0.2.100")
	z.Add("mx.example.com", "A 192.0.2.101")
	z.Add("why.example.com", record("%{i} may not send for %{o}.\x07"))
	z.Add("xn--bcher-kva.example", record("v=spf1 +all"))
	z.Add("helo.example.com", record("v=spf1 a ~all"), "A 192.0.2.1")
	z.Add("broken.example.com", record("v=spf1 ip4:192.0.2.1 ipv4:192.0.2.1"))
	z.Add("both.example.com", record("v=spf1 +all"), record("v=spf1 -all"))
	z.Add("text.example.com", record("hello"))
	z.Fail("late.example.com", "TXT", dns.Failed)
	for _, c := range []struct {
		ip   string
		from mail.Address
		want SPF
	}{
		{"192.0.2.1", address("a", "Example.COM"), SPF{Result: Pass, Domain: "example.com", Mechanism: "ip"}},
		{"::ffff:192.0.2.1", address("a", "example.com"), SPF{Result: Pass, Domain: "example.com", Mechanism: "ip"}},
		{"192.0.2.100", address("a", "example.com"), SPF{Result: Pass, Domain: "example.com", Mechanism: "a"}},
		{"192.0.2.101", address("a", "example.com"), SPF{Result: Pass, Domain: "example.com", Mechanism: "mx"}},
		{"192.0.2.99", address("a", "example.com"), SPF{Result: Fail, Domain: "example.com", Mechanism: "all", Explanation: "192.0.2.99 may not send for example.com.?"}},
		{"192.0.2.1", address("a", "bücher.example"), SPF{Result: Pass, Domain: "xn--bcher-kva.example", Mechanism: "all"}},
		{"192.0.2.1", mail.Address{}, SPF{Result: Pass, Domain: "helo.example.com", Helo: true, Mechanism: "a"}},
		{"192.0.2.2", mail.Address{}, SPF{Result: SoftFail, Domain: "helo.example.com", Helo: true, Mechanism: "all"}},
		// The domain is the envelope's, whatever stands quoted before it.
		{"192.0.2.99", address(`"x@xn--bcher-kva.example"`, "example.com"), SPF{Result: Fail, Domain: "example.com", Mechanism: "all", Explanation: "192.0.2.99 may not send for example.com.?"}},
		{"192.0.2.1", address("a", "broken.example.com"), SPF{Result: PermError, Domain: "broken.example.com", Reason: "unknown field"}},
		{"192.0.2.1", address("a", "both.example.com"), SPF{Result: PermError, Domain: "both.example.com", Reason: "multiple matching DNS records"}},
		{"192.0.2.1", address("a", "text.example.com"), SPF{Result: None, Domain: "text.example.com", Reason: "no SPF record"}},
		{"192.0.2.1", address("a", "none.example.com"), SPF{Result: None, Domain: "none.example.com", Reason: "no SPF record"}},
		{"192.0.2.1", address("a", "late.example.com"), SPF{Result: TempError, Domain: "late.example.com", Reason: "lookup late.example.com: SERVFAIL"}},
		{"192.0.2.1", address("a", "[192.0.2.1]"), SPF{Result: None, Reason: "no domain name to ask about"}},
	} {
		got := Checker{Resolver: z}.SPF(t.Context(), netip.MustParseAddr(c.ip), "helo.example.com", c.from)
		if got != c.want {
			t.Errorf("%s %v: got %+v, want %+v", c.ip, c.from, got, c.want)
		}
	}
	if got := (Checker{Resolver: z}).SPF(t.Context(), netip.Addr{}, "helo.example.com", address("a", "example.com")); got.Result != PermError {
		t.Errorf("no client: %+v", got)
	}
}

// A passing fault of the look-up that decides is no word against the client.
func TestSPFWaitsForTheClientsFamily(t *testing.T) {
	z := new(dns.Zone)
	z.Add("a.example.com", record("v=spf1 a -all"), "A 192.0.2.1", "AAAA 2001:db8::1")
	z.Add("mx.example.com", record("v=spf1 mx -all"), "MX 10 a.example.com")
	for _, from := range []string{"a.example.com", "mx.example.com"} {
		for _, c := range []struct {
			fails, ip string
			want      Result
		}{
			{"A", "192.0.2.1", TempError}, {"A", "2001:db8::1", Pass}, {"A", "2001:db8::2", Fail},
			{"AAAA", "2001:db8::1", TempError}, {"AAAA", "192.0.2.1", Pass}, {"AAAA", "192.0.2.2", Fail},
		} {
			z.Fail("a.example.com", c.fails, dns.Failed)
			got := Checker{Resolver: z}.SPF(t.Context(), netip.MustParseAddr(c.ip), "helo.example.com", address("a", from))
			z.Fail("a.example.com", c.fails, 0)
			if got.Result != c.want {
				t.Errorf("%s fails, %s from %s: %+v, want %s", c.fails, c.ip, from, got, c.want)
			}
		}
	}
}

func TestSPFBombsAreBounded(t *testing.T) {
	z := new(dns.Zone)
	for i := range 100 {
		z.Add(fmt.Sprintf("c%d.example.com", i), record(fmt.Sprintf("v=spf1 include:c%d.example.com -all", i+1)))
		z.Add(fmt.Sprintf("r%d.example.com", i), record(fmt.Sprintf("v=spf1 redirect=r%d.example.com", i+1)))
		z.Add(fmt.Sprintf("t%d.example.com", i), record(fmt.Sprintf("v=spf1 include:t%d.example.com include:t%d.example.com -all", i+1, i+2)))
		z.Add(fmt.Sprintf("m%d.example.com", i%10), fmt.Sprintf("MX 10 h%d.example.com", i))
		z.Add(fmt.Sprintf("h%d.example.com", i), "A 203.0.113.1")
		z.Add("192.0.2.1", fmt.Sprintf("PTR h%d.example.com", i))
		z.Add("texts.example.com", record(fmt.Sprintf("text %d", i)))
	}
	for i := range 12 {
		z.Add("mx12.example.com", fmt.Sprintf("MX 10 h%d.example.com", i))
	}
	loop, ptr := "", ""
	for i := range 10 {
		loop += fmt.Sprintf(" mx:m%d.example.com", i)
		ptr += " ptr:x.example.com"
	}
	z.Add("self.example.com", record("v=spf1 include:self.example.com -all"))
	z.Add("again.example.com", record("v=spf1 redirect=again.example.com"))
	z.Add("mx.example.com", record("v=spf1"+loop+" -all"))
	z.Add("many.example.com", record("v=spf1 mx:mx12.example.com -all"))
	z.Add("ptr.example.com", record("v=spf1"+ptr+ptr+" -all"))
	z.Add("void.example.com", record("v=spf1 a:v1.example.com a:v2.example.com a:v3.example.com a:v4.example.com +all"))
	z.Add("macro.example.com", record("v=spf1 exists:"+strings.Repeat("%{s}.%{l1r}.", 400)+"example.com -all"))
	z.Add("huge.example.com", record("v=spf1"+strings.Repeat(" ip4:203.0.113.0/24 x=y", 2500)+" -all"))
	z.Add("say.example.com", record("v=spf1 -all exp=words.example.com"))
	z.Add("words.example.com", record(strings.Repeat("%{s}", 12000)))
	for _, c := range []struct {
		domain string
		want   Result
		most   int
	}{
		{"self.example.com", PermError, 11},
		{"again.example.com", PermError, 11},
		{"c0.example.com", PermError, 11},
		{"r0.example.com", PermError, 11},
		{"t0.example.com", PermError, 11},
		{"mx.example.com", PermError, maxSPFQuestions},
		{"many.example.com", PermError, 2},
		{"ptr.example.com", PermError, 12},
		{"void.example.com", PermError, 4},
		{"macro.example.com", Fail, 2},
		{"huge.example.com", Fail, 1},
		{"say.example.com", Fail, 2},
		{"texts.example.com", None, 1},
	} {
		r := count(z)
		began := time.Now()
		got := Checker{Resolver: r}.SPF(t.Context(), client, "h", address(strings.Repeat("l.", 30)+"x", c.domain))
		if got.Result != c.want || r.questions() > c.most || len(got.Explanation) > maxExplanation {
			t.Errorf("%s: %+v after %d questions, want %s after %d", c.domain, got, r.questions(), c.want, c.most)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s: took %v", c.domain, took)
		}
	}
}

func TestSPFEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := new(dns.Zone)
		z.Delay(8 * time.Second)
		z.Add("example.com", record("v=spf1 a:a.example.com a:b.example.com a:c.example.com -all"))
		for _, name := range []string{"a", "b", "c"} {
			z.Add(name+".example.com", "A 203.0.113.1")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		began := time.Now()
		got := Checker{Resolver: z}.SPF(ctx, client, "h", address("a", "example.com"))
		if took := time.Since(began); got.Result != TempError || took != 20*time.Second {
			t.Errorf("%+v after %v", got, took)
		}
	})
}

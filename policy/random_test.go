package policy

import (
	"fmt"
	"net/netip"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider/postrider/mail"
)

// Random tables and facts. The facts meet the tables' conditions often: both draw
// from the same few values.

func oneOf[T any](t *rapid.T, what string, vs ...T) T { return rapid.SampledFrom(vs).Draw(t, what) }

// some draws true once in n times.
func some(t *rapid.T, n int) bool { return rapid.IntRange(1, n).Draw(t, "some") == 1 }

var randomConditions = rapid.Custom(func(t *rapid.T) Conditions {
	var c Conditions
	for range rapid.IntRange(0, 2).Draw(t, "conditions") {
		switch rapid.IntRange(0, 18).Draw(t, "condition") {
		case 0:
			c.Client = prefixes(oneOf(t, "client", "192.0.2.0/24", "2001:db8::/32"))
		case 1:
			c.ClientName = []string{oneOf(t, "name", "none", "unconfirmed", "confirmed", "*.example.org")}
		case 2:
			c.Helo = []string{oneOf(t, "helo", "ours", "literal", "bare", "mismatch", "*.example.org")}
		case 3:
			c.TLS = new(rapid.Bool().Draw(t, "tls"))
		case 4:
			c.User = []string{"*"}
		case 5:
			c.From = []string{oneOf(t, "from", "null", "example.org", "ann@example.org")}
		case 6:
			c.To = []string{oneOf(t, "to", "postmaster", "bob@example.com", "example.com")}
		case 7:
			c.FromDomain = []Reach{oneOf(t, "reach", NoDomain, NullMX, Reachable)}
		case 8:
			c.Score = oneOf(t, "score", 1, 3, 5)
		case 9:
			c.Listed = []string{oneOf(t, "list", "a", "b")}
		case 10:
			c.SPF = []string{oneOf(t, "spf", "pass", "fail", "none")}
		case 11:
			c.DKIM = []string{oneOf(t, "dkim", "pass", "fail", "none")}
		case 12:
			c.DMARC = []string{oneOf(t, "dmarc", "pass", "fail", "reject", "none")}
		case 13:
			c.Early = new(rapid.Bool().Draw(t, "early"))
		case 14:
			c.Proven = new(rapid.Bool().Draw(t, "proven"))
		case 15:
			c.Rate = oneOf(t, "rate", &Rate{ByClient, 10, time.Hour}, &Rate{BySender, 10, time.Hour})
		case 16:
			c.SizeAbove = 1000
		case 17:
			c.RecipientsAbove = 1
		case 18:
			c.Own = new(rapid.Bool().Draw(t, "own"))
		}
	}
	return c
})

// randomRules draws rules of one stage.
func randomRules(t *rapid.T, at Stage) []Rule {
	rules := make([]Rule, rapid.IntRange(0, 6).Draw(t, "rules"))
	for i := range rules {
		for {
			r := Rule{
				Name: fmt.Sprint("r", i), At: at,
				If: randomConditions.Draw(t, "if"), Not: randomConditions.Draw(t, "not"),
				Then:    oneOf(t, "then", Accept, Defer, Refuse, Refuse, Greylist, Pass),
				OnFault: oneOf(t, "on_fault", FaultPass, FaultDefer), LogOnly: some(t, 5),
			}
			switch r.Then {
			case Greylist:
				r.Delay = oneOf(t, "delay", time.Minute, time.Hour)
			case Pass:
				r.Filter = oneOf(t, "filter", "f", "g")
			case Refuse, Defer:
				r.Text = oneOf(t, "text", "", "{client_name} {helo} {from} {to} {lists} {from_domain}")
			}
			if _, err := New([]Rule{r}); err == nil {
				rules[i] = r
				break
			}
		}
	}
	return rules
}

// fact draws a fact that was looked up, in vain once in four times where faults
// may be.
func fact[T any](t *rapid.T, faults bool, what string, vs ...T) Fact[T] {
	if faults && some(t, 4) {
		return Failed[T](what + " is silent")
	}
	return Known(oneOf(t, what, vs...))
}

// words draws a result, temperror for a fault.
func words(t *rapid.T, faults bool, ws ...string) string {
	if faults && some(t, 6) {
		return wordTempError
	}
	return oneOf(t, "word", ws...)
}

func why(t *rapid.T, faults bool) string {
	if faults && some(t, 4) {
		return "silent"
	}
	return ""
}

func randomListings(t *rapid.T, faults bool, what string) []Listing {
	var ls []Listing
	for _, name := range []string{"a", "b", "good"} {
		if rapid.Bool().Draw(t, name) {
			l := Listing{List: name, What: what, Weight: map[string]int{"a": 3, "b": 2, "good": -2}[name], Fault: why(t, faults)}
			ls = append(ls, l)
		}
	}
	return ls
}

// randomFacts draws facts with everything looked up.
func randomFacts(t *rapid.T, faults bool) *Facts {
	f := stranger()
	f.Client = oneOf(t, "client", f.Client, netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("203.0.113.9"), netip.Addr{})
	f.Helo = oneOf(t, "helo", "", "pc", "mx.example.org", "mx1.example.com", "[192.0.2.7]", "gr\u00fc\u00df\r\n")
	f.TLS, f.Early, f.Own = rapid.Bool().Draw(t, "tls"), some(t, 4), some(t, 4)
	f.User = oneOf(t, "user", "", "ann")
	f.From = oneOf(t, "from", f.From, mail.Address{}, addr("eve@sub.example.org"), mail.Address{Local: "a", Domain: "[192.0.2.7]"})
	f.Size = oneOf(t, "size", int64(0), 1000, 1001)
	f.To = oneOf(t, "to", f.To, []mail.Address{addr("postmaster@example.com")}, []mail.Address{addr("bob@example.com"), addr("eve@example.net")})
	f.Recipients = len(f.To)
	refill(t, faults, f)
	for range rapid.IntRange(0, 2).Draw(t, "overrides") {
		o := Override{ID: "x", Rule: fmt.Sprint("r", rapid.IntRange(0, 5).Draw(t, "rule")), Until: f.At.Add(oneOf(t, "until", time.Hour, 0))}
		switch rapid.IntRange(0, 2).Draw(t, "by") {
		case 0:
			o.Client = prefixes("192.0.2.0/24")[0]
		case 1:
			o.Name = "*.example.org"
		case 2:
			o.Domain = "example.org"
		}
		f.Overrides = append(f.Overrides, o)
	}
	return f
}

// refill draws everything that is looked up anew.
func refill(t *rapid.T, faults bool, f *Facts) {
	f.Name = fact(t, faults, "name", Name{}, Name{Name: "x.example.net"}, Name{Name: "mx.example.org", Confirmed: true})
	f.HeloName = fact(t, faults, "helo name", true, false)
	f.Lists = fact(t, faults, "lists", randomListings(t, faults, "192.0.2.7"))
	f.FromLists = fact(t, faults, "from lists", randomListings(t, faults, "example.org"))
	f.Proven = fact(t, faults, "proven", true, false)
	f.FromDomain = fact(t, faults, "from domain", Reachable, NoDomain, NullMX, NoMailHost)
	f.SPF = fact(t, faults, "spf", SPF{Word: words(t, faults, "pass", "fail", "none", "softfail")})
	f.Grey = fact(t, faults, "grey", time.Time{}, noon.Add(-time.Second), noon.Add(-30*time.Minute), noon.Add(-2*time.Hour))
	f.DKIM = fact(t, faults, "dkim", nil, []Signature{{Word: words(t, faults, "pass", "fail", "neutral")}})
	f.DMARC = fact(t, faults, "dmarc", DMARC{Word: words(t, faults, "pass", "fail", "none", "permerror"), Asks: oneOf(t, "asks", "", "none", "reject")})
	f.Rates, f.Opinions = nil, nil
	for _, b := range []By{ByClient, BySender} {
		f.Rates = append(f.Rates, Count{Rate: Rate{b, 10, time.Hour}, N: oneOf(t, "n", 10, 11), Fault: why(t, faults)})
	}
	for _, name := range []string{"f", "g"} {
		f.Opinions = append(f.Opinions, Opinion{Filter: name, Action: oneOf(t, "opinion", Pass, Accept, Defer, Refuse), Fault: why(t, faults),
			Reply: mail.Reply{Code: oneOf(t, "code", 0, 250, 451, 550), Text: oneOf(t, "words", "", "no\r\n250 yes")}})
	}
}

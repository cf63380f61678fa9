package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/mail"
)

// TestMistakes: what cannot work is refused, with the name of the rule.
func TestMistakes(t *testing.T) {
	refuse := func(change func(*Rule)) Rule {
		r := Rule{Name: "r", Then: Refuse}
		change(&r)
		return r
	}
	grey := func(change func(*Rule)) Rule {
		r := Rule{Name: "r", Then: Greylist, Delay: time.Minute}
		change(&r)
		return r
	}
	tests := []struct {
		rule Rule
		want string // "key: text", or its beginning
	}{
		{Rule{Then: Refuse}, "name: a rule wants a name"},
		{Rule{Name: "No Name", Then: Refuse}, "name: a name is up to 40 of a-z, 0-9 and -"},
		{Rule{Name: strings.Repeat("a", 41), Then: Refuse}, "name: a name is up to 40"},
		{Rule{Name: "relay", Then: Accept}, "name: relay is decided before any rule"},
		{Rule{Name: "r"}, "then: accept, defer, refuse or greylist"},
		{Rule{Name: "r", Then: 9}, "then: accept, defer, refuse or greylist"},
		{Rule{Name: "r", Filter: "rspamd", Then: Refuse}, "then: what filter rspamd says is done"},
		{refuse(func(r *Rule) { r.OnFault = 2 }), "on_fault: pass or defer"},

		{refuse(func(r *Rule) { r.At = 9 }), "at: there is no stage 9"},
		{refuse(func(r *Rule) { r.At, r.If.Helo = Connect, []string{"bare"} }), "helo: is known at hello, and the rule acts at connect"},
		{refuse(func(r *Rule) { r.At, r.If.Early = Connect, new(true) }), "early: is known at hello, and the rule acts at connect"},
		{refuse(func(r *Rule) { r.At, r.Not.From = Hello, []string{"null"} }), "not.from: is known at sender, and the rule acts at hello"},
		{refuse(func(r *Rule) { r.At, r.If.SPF = Hello, []string{"fail"} }), "spf: is known at sender, and the rule acts at hello"},
		{refuse(func(r *Rule) { r.At, r.If.SizeAbove = Hello, 1 }), "size_above: is known at sender, and the rule acts at hello"},
		{refuse(func(r *Rule) { r.At, r.If.To = Sender, []string{"postmaster"} }), "to: is known at recipient, and the rule acts at sender"},
		{refuse(func(r *Rule) { r.At, r.If.DMARC = Recipient, []string{"reject"} }), "dmarc: is known at content, and the rule acts at recipient"},
		{refuse(func(r *Rule) { r.At, r.If.DKIM = Recipient, []string{"fail"} }), "dkim: is known at content, and the rule acts at recipient"},
		{refuse(func(r *Rule) { r.At, r.If.Own = Connect, new(true) }), "own: is known at sender, and the rule acts at connect"},
		{Rule{Name: "r", At: Connect, If: Conditions{Own: new(false)}, Then: Accept}, "own: is known at sender, and the rule acts at connect"},
		{Rule{Name: "r", At: Connect, Not: Conditions{Own: new(true)}, Then: Accept}, "not.own: is known at sender, and the rule acts at connect"},
		{refuse(func(r *Rule) { r.At, r.If.Rate = Hello, &Rate{BySender, 1, time.Hour} }), "rate: is known at sender, and the rule acts at hello"},
		{refuse(func(r *Rule) { r.At, r.If.Rate = Sender, &Rate{ByRecipient, 1, time.Hour} }), "rate: is known at recipient, and the rule acts at sender"},
		{Rule{Name: "r", Filter: "f", At: Recipient}, "at: a filter is asked about the whole message: it acts at content"},
		{grey(func(r *Rule) { r.At = Content }), "at: greylisting is by client, sender and recipient"},
		{grey(func(r *Rule) { r.If.DMARC = []string{"fail"} }), "dmarc: is known at content, and the rule acts at recipient"},

		{grey(func(r *Rule) { r.Delay = 0 }), "delay: greylist wants a delay, like 5m"},
		{grey(func(r *Rule) { r.Delay = 13 * time.Hour }), "delay: 13h is too long: at most 12h"},
		{grey(func(r *Rule) { r.Delay = 24 * time.Hour }), "delay: 1d is too long: at most 12h, as a first visit is forgotten after 1d"},
		{grey(func(r *Rule) { r.Memory = time.Minute }), "memory: 1m is too short: whoever comes again after 1m is forgotten by then"},
		{refuse(func(r *Rule) { r.Delay = time.Minute }), "delay: delay and memory are for greylist"},
		{refuse(func(r *Rule) { r.Memory = time.Minute }), "delay: delay and memory are for greylist"},

		{refuse(func(r *Rule) { r.Code = 450 }), "code: 450 does not fit refuse, which answers 5yz"},
		{refuse(func(r *Rule) { r.Code = 250 }), "code: 250 does not fit refuse, which answers 5yz"},
		{refuse(func(r *Rule) { r.Code = 5500 }), "code: 5500 does not fit refuse, which answers 5yz"},
		{Rule{Name: "r", Then: Defer, Code: 550}, "code: 550 does not fit defer, which answers 4yz"},
		{grey(func(r *Rule) { r.Code = 550 }), "code: 550 does not fit greylist, which answers 4yz"},
		{refuse(func(r *Rule) { r.Status = mail.Status{4, 7, 1} }), "status: 4.7.1 does not fit refuse, which answers 5.y.z"},
		{refuse(func(r *Rule) { r.At, r.Code = Connect, 550 }), "code: before the greeting only 421, 521 and 554 can be answered"},
		{Rule{Name: "r", Then: Accept, Code: 250}, "code: leave it out: accepted mail is told no rule"},
		{Rule{Name: "r", Then: Accept, Text: "welcome"}, "text: leave it out: accepted mail is told no rule"},
		{Rule{Name: "r", Filter: "f", Status: mail.Status{5, 7, 1}}, "status: leave it out: the filter has words of its own"},

		{refuse(func(r *Rule) { r.Text = "go away {clint}" }), "text: has {clint}, which stands for nothing; {client} {client_name}"},
		{refuse(func(r *Rule) { r.Text = "go away {client" }), "text: has a { without }"},
		{refuse(func(r *Rule) { r.At, r.Text = Hello, "{from}" }), "text: has {from}, which is known at sender only"},
		{refuse(func(r *Rule) { r.Text = "{author}" }), "text: has {author}, which is known at content only"},
		{refuse(func(r *Rule) { r.Text = "{wait}" }), "text: has {wait}, which only greylisting knows"},
		{refuse(func(r *Rule) { r.Text = "{rate}" }), "text: has {rate}, which only a rule with a rate knows"},
		{refuse(func(r *Rule) { r.Text = "Grüße" }), "text: goes into replies: ASCII"},
		{refuse(func(r *Rule) { r.Text = "a\r\n250 b" }), "text: goes into replies: ASCII without control characters"},
		{refuse(func(r *Rule) { r.Text = strings.Repeat("a", 261) }), "text: has 261 octets, at most 260 fit"},

		{refuse(func(r *Rule) { r.If.ClientName = []string{"nobody"} }), `client_name: "nobody" is neither a name like mx.example.com or *.example.com nor one of none, unconfirmed, confirmed`},
		{refuse(func(r *Rule) { r.Not.Helo = []string{"mismtach"} }), `not.helo: "mismtach" is neither a name`},
		{refuse(func(r *Rule) { r.If.Helo = []string{"*.*.example"} }), `helo: "*.*.example" is neither`},
		{refuse(func(r *Rule) { r.If.From = []string{"nul"} }), `from: "nul" is neither an address like user@example.com nor a domain like example.com or *.example.com, nor "null"`},
		{refuse(func(r *Rule) { r.If.From = []string{"a b@example.com"} }), `from: "a b@example.com" is neither`},
		{refuse(func(r *Rule) { r.If.To = []string{"postmastr"} }), `to: "postmastr" is neither an address like user@example.com nor a domain like example.com or *.example.com, nor one of postmaster, abuse`},
		{refuse(func(r *Rule) { r.If.To = []string{""} }), `to: "" is neither`},
		{refuse(func(r *Rule) { r.If.SPF = []string{"hardfail"} }), `spf: "hardfail" is none of none, pass, fail`},
		{refuse(func(r *Rule) { r.If.DKIM = []string{"reject"} }), `dkim: "reject" is none of`},
		{refuse(func(r *Rule) { r.Not.DMARC = []string{"rejected"} }), `not.dmarc: "rejected" is none of`},
		{refuse(func(r *Rule) { r.If.SPF = []string{"temperror"} }), "spf: temperror is a look-up that failed: that may be deferred, not refused"},
		{refuse(func(r *Rule) { r.If.FromDomain = []Reach{9} }), "from_domain: none, null-mx, no-mail-host or reachable"},
		{refuse(func(r *Rule) { r.If.Client = []netip.Prefix{{}} }), "client: not a network"},
		{refuse(func(r *Rule) { r.If.Client = prefixes("::ffff:192.0.2.0/120") }), "client: ::ffff:192.0.2.0/120: write an IPv4 network as one"},
		{refuse(func(r *Rule) { r.If.Client = []netip.Prefix{} }), "client: an empty list holds for nobody"},
		{refuse(func(r *Rule) { r.If.SPF = []string{} }), "spf: an empty list holds for nobody"},
		{refuse(func(r *Rule) { r.If.FromDomain = []Reach{} }), "from_domain: an empty list holds for nobody"},
		{refuse(func(r *Rule) { r.If.Listed = []string{""} }), "listed: an empty name is none"},
		{refuse(func(r *Rule) { r.If.Score = -1 }), "score: -1 is reached by everyone"},
		{refuse(func(r *Rule) { r.If.SizeAbove = -1 }), "size_above: above -1 octets is every message"},
		{refuse(func(r *Rule) { r.If.RecipientsAbove = -1 }), "recipients_above: above -1 is every message"},
		{refuse(func(r *Rule) { r.If.Rate = &Rate{0, 1, time.Hour} }), "rate: by client, network, sender, recipient or user"},
		{refuse(func(r *Rule) { r.If.Rate = &Rate{ByClient, 0, time.Hour} }), "rate: most: at least 1"},
		{refuse(func(r *Rule) { r.If.Rate = &Rate{ByClient, 1, 0} }), "rate: in: from 1s to 24h"},
		{refuse(func(r *Rule) { r.If.Rate = &Rate{ByClient, 1, 25 * time.Hour} }), "rate: in: from 1s to 24h"},
	}
	for _, tt := range tests {
		tb, err := New([]Rule{{Name: "first", Then: Defer}, tt.rule})
		var ms Mistakes
		if tb != nil || !errors.As(err, &ms) || len(ms) != 1 {
			t.Errorf("want one mistake, %s: got %v", tt.want, err)
			continue
		}
		if got := ms[0].Key + ": " + ms[0].Text; !strings.HasPrefix(got, tt.want) || ms[0].Index != 1 || ms[0].Rule != tt.rule.Name {
			t.Errorf("got  %d %s\nwant %s", ms[0].Index, got, tt.want)
		}
	}
}

func TestAllMistakesAreTold(t *testing.T) {
	_, err := New([]Rule{
		{Name: "a", Then: Refuse, Code: 450, Text: "{x} {y}"},
		{Name: "b", Then: Defer},
		{Name: "b", Then: Defer},
	})
	want := "policy: rule a: code: 450 does not fit refuse, which answers 5yz\n" +
		"policy: rule a: text: has {x}, which stands for nothing; " + allPlaceholders() + " do\n" +
		"policy: rule a: text: has {y}, which stands for nothing; " + allPlaceholders() + " do\n" +
		"policy: rule b: name: there is another rule of that name above"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestBitsRunOut(t *testing.T) {
	var rules []Rule
	for i := range 33 {
		rules = append(rules, Rule{Name: fmt.Sprint("rate-", i), If: Conditions{Rate: &Rate{ByClient, i + 1, time.Hour}}, Then: Defer})
	}
	for i := range 17 {
		rules = append(rules, Rule{Name: fmt.Sprint("filter-", i), Filter: fmt.Sprint("f", i)})
	}
	_, err := New(rules)
	want := "policy: rule rate-32: rate: a table counts by at most 32 rates\npolicy: rule filter-16: filter: a table asks at most 16 filters"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	rules = append(rules[:32:32], rules[33:49]...)
	rules = append(rules, Rule{Name: "again", Filter: "f15", If: Conditions{Rate: &Rate{ByClient, 32, time.Hour}}})
	tb := table(t, rules...)
	if n := len(tb.Filters(^Need(0))); n != 16 {
		t.Errorf("%d filters", n)
	}
	if n := len(tb.Rates(^Need(0))); n != 32 {
		t.Errorf("%d rates", n)
	}
	_, need := tb.Decide(Content, &Facts{Client: netip.MustParseAddr("192.0.2.7")})
	if got := tb.Filters(need); len(got) != 16 || got[15] != "f15" || !need.Filter() {
		t.Errorf("filters %v", got)
	}
	if got := tb.Rates(need); len(got) != 1 || got[0].Most != 32 || !need.Rate() || need.String() != "name,filter,rate" {
		t.Errorf("rates %v of %v", got, need)
	}
}

func TestDefaultsAreFilledIn(t *testing.T) {
	rules := []Rule{
		{Name: "refuse", Then: Refuse},
		{Name: "at-connect", At: Connect, Then: Refuse},
		{Name: "later", At: Connect, Then: Defer, Place: "p.toml:3 rule later"},
		{Name: "defer", Then: Defer, Status: mail.Status{4, 7, 28}},
		{Name: "dkim", If: Conditions{DKIM: []string{"fail"}}, Then: Refuse, Code: 554, Status: mail.Status{0, 7, 20}},
		{Name: "class", Then: Defer, Status: mail.Status{0, 7, 25}},
		{Name: "not-dmarc", Not: Conditions{DMARC: []string{"pass"}}, Then: Accept},
		{Name: "own-early", At: Connect, If: Conditions{Own: new(true)}, Then: Accept},
		{Name: "filter", Filter: "rspamd"},
		{Name: "grey", Then: Greylist, Delay: time.Minute},
	}
	type filled struct {
		At     Stage
		Code   int
		Status string
		Place  string
		Memory time.Duration
	}
	want := []filled{
		{Recipient, 550, "5.7.1", "rule refuse", 0},
		{Connect, 554, "5.7.1", "rule at-connect", 0},
		{Connect, 421, "4.7.1", "p.toml:3 rule later", 0},
		{Recipient, 450, "4.7.28", "rule defer", 0},
		{Content, 554, "5.7.20", "rule dkim", 0},
		{Recipient, 450, "4.7.25", "rule class", 0},
		{Content, 0, "", "rule not-dmarc", 0},
		{Connect, 0, "", "rule own-early", 0},
		{Content, 0, "", "rule filter", 0},
		{Recipient, 451, "4.7.1", "rule grey", 36 * 24 * time.Hour},
	}
	var got []filled
	for _, r := range table(t, rules...).Rules() {
		got = append(got, filled{r.At, r.Code, r.Status.String(), r.Place, r.Memory})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What a stage's rules may ask can be looked up before it comes.
func TestNeedsOfAStage(t *testing.T) {
	tb := table(t, Internet()...)
	if got, want := tb.Needs(Recipient), NeedName|NeedLists|NeedFromLists|NeedProven|NeedFromDomain|NeedSPF|NeedGrey|1<<rateBit; got != want {
		t.Errorf("recipient: %v, want %v", got, want)
	}
	if got := tb.Needs(Content); got != NeedDMARC {
		t.Errorf("content: %v", got)
	}
	if got := tb.Needs(Connect) | tb.Needs(0) | tb.Needs(99); got != 0 {
		t.Errorf("connect: %v", got)
	}
}

func TestWords(t *testing.T) {
	type word interface {
		String() string
		MarshalText() ([]byte, error)
	}
	tests := []struct {
		v    word
		into interface{ UnmarshalText([]byte) error }
		want string
	}{
		{Connect, new(Stage), "connect"}, {Content, new(Stage), "content"},
		{Pass, new(Action), "pass"}, {Greylist, new(Action), "greylist"},
		{FaultDefer, new(OnFault), "defer"}, {NullMX, new(Reach), "null-mx"}, {ByUser, new(By), "user"},
	}
	for _, tt := range tests {
		b, err := tt.v.MarshalText()
		if err != nil || string(b) != tt.want || tt.v.String() != tt.want {
			t.Errorf("%v: %q %v", tt.v, b, err)
		}
		if err := tt.into.UnmarshalText(b); err != nil {
			t.Error(err)
		}
		if got := fmt.Sprint(tt.into); !strings.HasPrefix(got, "0x") && got != tt.want {
			t.Errorf("%q came back as %q", tt.want, got)
		}
		if err := tt.into.UnmarshalText([]byte("nonsense")); err == nil {
			t.Errorf("%T takes nonsense", tt.into)
		}
		if _, isStage := tt.into.(*Stage); isStage {
			if err := tt.into.UnmarshalText(nil); err == nil || !strings.Contains(err.Error(), "one of connect, hello") {
				t.Errorf("the empty word is a stage: %v", err)
			}
		}
	}
	if got := Stage(9).String(); got != "?9" {
		t.Error(got)
	}
	if got := (NeedName | NeedDMARC).String(); got != "name,dmarc" {
		t.Error(got)
	}
}

func TestFactIsOneOfThree(t *testing.T) {
	var f Fact[int]
	if _, ok := f.Value(); ok || !f.IsOpen() {
		t.Error("the zero fact is known")
	}
	f = Failed[int]("timeout")
	if why, ok := f.Fault(); !ok || why != "timeout" || f.IsOpen() {
		t.Errorf("failed: %q %v", why, ok)
	}
	f = Known(0)
	if v, ok := f.Value(); !ok || v != 0 || f.IsOpen() {
		t.Errorf("known: %v %v", v, ok)
	}
	if _, ok := f.Fault(); ok {
		t.Error("a known fact has failed")
	}
}

// A trace is shown as JSON, too.
func TestStepsAsJSON(t *testing.T) {
	tb := table(t, Rule{Name: "a", If: Conditions{TLS: new(true)}, Then: Accept}, Rule{Name: "b", Then: Defer})
	got, err := json.Marshal(tb.Trace(Recipient, stranger()))
	want := `[{"rule":"a","place":"rule a","stage":"recipient","ruling":"fails","action":"accept","condition":"tls","why":"the connection is not encrypted"},` +
		`{"rule":"b","place":"rule b","stage":"recipient","ruling":"decides","action":"defer","why":"the rule holds for everyone"}]`
	if err != nil || string(got) != want {
		t.Errorf("got  %s %v\nwant %s", got, err, want)
	}
}

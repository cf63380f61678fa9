package policy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/mail"
)

// TestInternet puts every default rule to the case it is for, with its exact words.
func TestInternet(t *testing.T) {
	tb := table(t, Internet()...)
	tests := []struct {
		rule  string
		stage Stage
		f     func(*Facts)
		line  string // "": let in
		why   string
	}{
		{"own-clients", Recipient, func(f *Facts) { f.Own, f.Early, f.Name = true, true, Known(Name{}) }, "", "the client may send to anyone"},
		{"own-clients", Content, func(f *Facts) { f.Accepted = "own-clients"; f.DMARC = Known(DMARC{Word: "fail", Asks: "reject"}) }, "", "accepted before"},
		{"postmaster", Recipient, func(f *Facts) { f.Early = true; f.To = []mail.Address{addr("abuse@example.com")} }, "", "the mail is for <abuse@example.com>"},
		{"listed", Recipient, func(f *Facts) {
			f.Lists = Known([]Listing{{List: "zen.spamhaus.org", What: "192.0.2.7", Weight: 5, Text: "https://check.spamhaus.org/query/ip/192.0.2.7"}})
		}, "550 5.7.1 listed: ask these lists why, mend it, and have the entry removed: 192.0.2.7 is on zen.spamhaus.org (https://check.spamhaus.org/query/ip/192.0.2.7)",
			"192.0.2.7 is on zen.spamhaus.org (https://check.spamhaus.org/query/ip/192.0.2.7)"},
		{"early-talker", Recipient, func(f *Facts) { f.Early = true },
			"550 5.5.1 early-talker: 192.0.2.7 spoke before our greeting; a mail server waits for the 220 (RFC 5321 4.3.1)",
			"the client spoke before the greeting"},
		{"too-fast", Recipient, func(f *Facts) { f.Rates[0].N = 601 },
			"450 4.7.1 too-fast: more than 600 messages in 1h from one client; keep the rest and send it more slowly",
			"client 192.0.2.7 has 601 messages in 1h, 600 are allowed"},
		{"no-reverse-name", Recipient, func(f *Facts) { f.Name = Known(Name{}) },
			"550 5.7.25 no-reverse-name: 192.0.2.7 has no name in the DNS; whoever owns the address can give it one (a PTR record), the name of your mail server",
			"192.0.2.7 has no name in the DNS"},
		{"our-name-in-helo", Recipient, func(f *Facts) { f.Helo = "mx1.example.com" },
			"550 5.7.1 our-name-in-helo: 192.0.2.7 calls itself mx1.example.com, but that is this server; let yours give its own name in EHLO (RFC 5321 4.1.1.1)",
			"the client calls itself mx1.example.com"},
		{"no-such-sender-domain", Recipient, func(f *Facts) { f.FromDomain = Known(NoDomain) },
			"550 5.1.8 no-such-sender-domain: no host takes mail for example.org, so <ann@example.org> could not be answered; correct the sender or the DNS of its domain",
			"there is no domain example.org"},
		{"null-mx-sender", Recipient, func(f *Facts) { f.FromDomain = Known(NullMX) },
			"550 5.7.27 null-mx-sender: example.org says that it takes no mail (null MX, RFC 7505), so <ann@example.org> could not be answered; send from a domain that does",
			"example.org says that it takes no mail (null MX)"},
		{"dmarc-reject", Content, func(f *Facts) {
			f.DMARC = Known(DMARC{Word: "fail", Asks: "reject", Domain: "example.net", Reason: "neither SPF nor a signature proves example.net"})
		}, "550 5.7.26 dmarc-reject: nothing proves that this is from example.net, and DMARC has such mail refused; sign it by DKIM for the domain in From, or put 192.0.2.7 into its SPF record",
			"DMARC is fail for example.net: neither SPF nor a signature proves example.net, which asks for reject"},
		{"greylist", Recipient, func(*Facts) {},
			"451 4.7.1 greylist: we do not know this sender at 192.0.2.7 yet; your server need only try again in 300 seconds or later",
			"192.0.2.7 has not proven itself yet; SPF is none of example.org; they come for the first time"},
		{"greylist", Recipient, func(f *Facts) { f.Grey = Known(noon.Add(-100*time.Second - time.Millisecond)) },
			"451 4.7.1 greylist: we do not know this sender at 192.0.2.7 yet; your server need only try again in 200 seconds or later",
			"192.0.2.7 has not proven itself yet; SPF is none of example.org; they came first 100s ago"},
		{"greylist", Recipient, func(f *Facts) { f.Proven, f.Name = Known(true), Known(Name{Name: "mx.example.org"}) },
			"451 4.7.1 greylist: we do not know this sender at 192.0.2.7 yet; your server need only try again in 300 seconds or later",
			"192.0.2.7 is called mx.example.org, which does not lead back to it; SPF is none of example.org; they come for the first time"},
		{"", Recipient, func(f *Facts) { f.Proven = Known(true) }, "", ""},
		{"", Recipient, func(f *Facts) { f.SPF = Known(SPF{Word: "pass"}) }, "", ""},
		{"", Recipient, func(f *Facts) { f.Grey = Known(noon.Add(-5 * time.Minute)) }, "", ""},
		{"", Recipient, func(f *Facts) { f.SPF = Known(SPF{Word: "fail"}); f.Proven = Known(true) }, "", ""},
		{"", Content, func(*Facts) {}, "", ""},
		{"", Connect, func(f *Facts) { f.Name = Known(Name{}) }, "", ""},
	}
	tried := map[string]bool{}
	for _, tt := range tests {
		f := with(tt.f)
		v := decide(t, tb, tt.stage, f)
		if v.Rule != tt.rule || v.Reply.Line() != tt.line || v.Why != tt.why {
			t.Errorf("%s: %s\n got  %s\n want %s\n because %s\n want    %s", tt.rule, v.Rule, v.Reply.Line(), tt.line, v.Why, tt.why)
		}
		if v.Rule != "" && v.Place != "built-in rule "+v.Rule {
			t.Errorf("%s stands at %q", v.Rule, v.Place)
		}
		if v.LetsIn() != (tt.line == "") {
			t.Errorf("%s: %s with %q", tt.rule, v.Action, tt.line)
		}
		tried[tt.rule] = true
	}
	for _, r := range Internet() {
		if !tried[r.Name] {
			t.Errorf("no case for %s", r.Name)
		}
	}
}

// What the other manager can mend is told in one line, however long his names are.
func TestInternetRepliesFit(t *testing.T) {
	long := strings.Repeat("a", 60)
	long = strings.Join([]string{long, long, long, long, "example"}, ".")
	f := with(func(f *Facts) {
		f.Helo, f.From = long, mail.Address{Local: long, Domain: long}
		f.To = []mail.Address{{Local: long, Domain: long}}
		f.DMARC = Known(DMARC{Word: "fail", Asks: "reject", Domain: long})
		for range 20 {
			ls := append(f.Lists.value, Listing{List: long, What: long, Weight: 1, Text: long})
			f.Lists = Known(ls)
		}
	})
	for _, r := range table(t, Internet()...).rules {
		if r.Then == Accept {
			continue
		}
		line := r.say(f, judgement{}).Reply.AppendWire(nil)
		if len(line) > 392 {
			t.Errorf("%s: %d octets", r.Name, len(line))
		}
	}
}

// The order of the set: those above spare those below.
func TestInternetOrder(t *testing.T) {
	tb := table(t, Internet()...)
	f := with(func(f *Facts) {
		f.Own, f.Early = true, true
		f.To = []mail.Address{addr("postmaster@example.com")}
		f.Lists = Known([]Listing{{List: "zen", What: "192.0.2.7", Weight: 9}})
		f.Rates[0].N = 1e6
		f.Name = Known(Name{})
		f.Helo = f.Hostname
		f.FromDomain = Known(NullMX)
	})
	mend := []func(){
		func() { f.Own = false },
		func() { f.To[0] = addr("bob@example.com") },
		func() { f.Lists = Known([]Listing(nil)) },
		func() { f.Early = false },
		func() { f.Rates[0].N = 1 },
		func() { f.Name = Known(Name{Name: "mx.example.org", Confirmed: true}) },
		func() { f.Helo = "mx.example.org" },
		func() { f.FromDomain = Known(Reachable) },
		func() { f.Proven = Known(true) },
	}
	var got []string
	for _, m := range mend {
		got = append(got, decide(t, tb, Recipient, f).Rule)
		m()
	}
	want := []string{"own-clients", "postmaster", "listed", "early-talker", "too-fast", "no-reverse-name", "our-name-in-helo", "null-mx-sender", "greylist"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if v := decide(t, tb, Recipient, f); v.Action != Pass {
		t.Errorf("all is mended, and yet %s", v.Rule)
	}
}

// Each call gives a set of its own, to be changed at will.
func TestInternetIsFresh(t *testing.T) {
	Internet()[2].Name = "changed"
	Internet()[2].If.Score = 99
	if r := Internet()[2]; r.Name != "listed" || r.If.Score != 5 {
		t.Error("changed for everyone")
	}
}

// An operator may defer what the set refuses, by that word alone.
func TestInternetActionsCanBeChanged(t *testing.T) {
	for _, r := range Internet() {
		if r.Then != Refuse {
			continue
		}
		status := table(t, r).Rules()[0].Status
		status[0] = 4
		r.Then = Defer
		if got := table(t, r).Rules()[0]; got.Code != 450 || got.Status != status {
			t.Errorf("%s answers %d %s, want 450 %s", r.Name, got.Code, got.Status, status)
		}
		r.Then, r.Delay = Greylist, time.Minute
		if r.If.DMARC == nil && table(t, r).Rules()[0].Code != 451 {
			t.Errorf("%s does not greylist with 451", r.Name)
		}
		r.Then, r.Delay, r.At = Refuse, 0, Connect
		if tb, err := New([]Rule{r}); err == nil && tb.Rules()[0].Code != 554 {
			t.Errorf("%s answers %d before the greeting", r.Name, tb.Rules()[0].Code)
		}
	}
}

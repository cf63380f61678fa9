package policy

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/mail"
)

// TestConditions asks each condition alone, as it must hold and as it must not.
// The words are the evidence, or what a log says of it.
func TestConditions(t *testing.T) {
	list := func(name, what string, weight int) Listing { return Listing{List: name, What: what, Weight: weight} }
	perClient := Rate{By: ByClient, Most: 10, In: time.Hour}
	by := func(b By) *Rate { return &Rate{By: b, Most: 10, In: time.Hour} }
	counts := func(n int) func(*Facts) {
		return func(f *Facts) {
			for b := ByClient; b <= ByUser; b++ {
				f.Rates = append(f.Rates, Count{Rate: *by(b), N: n})
			}
		}
	}
	unix := func(f *Facts) { f.Client = netip.Addr{} }
	null := func(f *Facts) { f.From = mail.Address{} }
	tests := []struct {
		name string
		ask  Conditions
		f    func(*Facts)
		want truth
		say  string // part of the evidence
	}{
		{"client in a network", Conditions{Client: prefixes("10.0.0.0/8", "192.0.2.0/24")}, nil, yes, "the client is 192.0.2.7"},
		{"client elsewhere", Conditions{Client: prefixes("10.0.0.0/8")}, nil, no, ""},
		{"client by a mapped address", Conditions{Client: prefixes("192.0.2.0/24")}, func(f *Facts) { f.Client = netip.MustParseAddr("::ffff:192.0.2.7") }, yes, "the client is 192.0.2.7"},
		{"IPv6 client", Conditions{Client: prefixes("2001:db8::/32")}, func(f *Facts) { f.Client = netip.MustParseAddr("2001:db8::7") }, yes, "2001:db8::7"},
		{"Unix socket is in no network", Conditions{Client: prefixes("0.0.0.0/0", "::/0")}, unix, no, "a Unix socket"},

		{"no name", Conditions{ClientName: []string{"none"}}, func(f *Facts) { f.Name = Known(Name{}) }, yes, "192.0.2.7 has no name in the DNS"},
		{"has a name", Conditions{ClientName: []string{"none"}}, nil, no, "192.0.2.7 is mx.example.org"},
		{"name not known", Conditions{ClientName: []string{"none"}}, func(f *Facts) { f.Name = Fact[Name]{} }, open, "not known yet"},
		{"name look-up failed", Conditions{ClientName: []string{"none"}}, func(f *Facts) { f.Name = Failed[Name]("SERVFAIL") }, fault, "the name of 192.0.2.7 could not be found out: SERVFAIL"},
		{"unconfirmed", Conditions{ClientName: []string{"unconfirmed"}}, func(f *Facts) { f.Name = Known(Name{Name: "mx.example.org"}) }, yes, "192.0.2.7 is called mx.example.org, which does not lead back to it"},
		{"none is not unconfirmed", Conditions{ClientName: []string{"unconfirmed"}}, func(f *Facts) { f.Name = Known(Name{}) }, no, ""},
		{"confirmed", Conditions{ClientName: []string{"confirmed"}}, nil, yes, ""},
		{"name by pattern", Conditions{ClientName: []string{"*.example.org"}}, nil, yes, ""},
		{"name in full, other case, final dot", Conditions{ClientName: []string{"MX.example.org."}}, func(f *Facts) { f.Name = Known(Name{Name: "mx.Example.org.", Confirmed: true}) }, yes, ""},
		{"pattern is for names below", Conditions{ClientName: []string{"*.mx.example.org"}}, nil, no, ""},
		{"pattern ends at a label", Conditions{ClientName: []string{"*.ample.org"}}, nil, no, ""},
		{"an unconfirmed name matches no pattern", Conditions{ClientName: []string{"*.example.org", "*"}}, func(f *Facts) { f.Name = Known(Name{Name: "mx.example.org"}) }, no, ""},
		{"Unix socket has no name to look up", Conditions{ClientName: []string{"none"}}, func(f *Facts) { unix(f); f.Name = Fact[Name]{} }, no, ""},

		{"helo ours by name", Conditions{Helo: []string{"ours"}}, func(f *Facts) { f.Helo = "MX1.Example.COM" }, yes, "the client calls itself MX1.Example.COM"},
		{"helo ours by address", Conditions{Helo: []string{"ours"}}, func(f *Facts) { f.Helo = "[198.51.100.1]" }, yes, ""},
		{"helo ours by bare address", Conditions{Helo: []string{"ours"}}, func(f *Facts) { f.Helo = "198.51.100.1" }, yes, ""},
		{"helo not ours", Conditions{Helo: []string{"ours"}}, nil, no, ""},
		{"helo literal", Conditions{Helo: []string{"literal"}}, func(f *Facts) { f.Helo = "[IPv6:2001:db8::1]" }, yes, ""},
		{"helo not literal", Conditions{Helo: []string{"literal"}}, nil, no, ""},
		{"helo bare", Conditions{Helo: []string{"bare"}}, func(f *Facts) { f.Helo = "localhost" }, yes, ""},
		{"an address is not bare", Conditions{Helo: []string{"bare"}}, func(f *Facts) { f.Helo = "[IPv6:2001:db8::1]" }, no, ""},
		{"helo mismatch", Conditions{Helo: []string{"mismatch"}}, func(f *Facts) { f.HeloName = Known(false) }, yes, "mx.example.org, which does not lead to it"},
		{"helo its own", Conditions{Helo: []string{"mismatch"}}, nil, no, "mx.example.org, which leads to it"},
		{"helo literal of another", Conditions{Helo: []string{"mismatch"}}, func(f *Facts) { f.Helo, f.HeloName = "[192.0.2.8]", Fact[bool]{} }, yes, ""},
		{"helo literal its own", Conditions{Helo: []string{"mismatch"}}, func(f *Facts) { f.Helo, f.HeloName = "[192.0.2.7]", Fact[bool]{} }, no, ""},
		{"helo bare leads nowhere", Conditions{Helo: []string{"mismatch"}}, func(f *Facts) { f.Helo, f.HeloName = "pc", Fact[bool]{} }, yes, ""},
		{"helo not looked up", Conditions{Helo: []string{"mismatch"}}, func(f *Facts) { f.HeloName = Fact[bool]{} }, open, ""},
		{"helo not looked up, but bare", Conditions{Helo: []string{"mismatch", "bare"}}, func(f *Facts) { f.Helo, f.HeloName = "pc", Fact[bool]{} }, yes, ""},
		{"helo look-up failed", Conditions{Helo: []string{"mismatch"}}, func(f *Facts) { f.HeloName = Failed[bool]("silent") }, fault, "mx.example.org, which could not be looked up: silent"},
		{"helo by pattern", Conditions{Helo: []string{"*.example.org"}}, nil, yes, ""},
		{"no helo", Conditions{Helo: []string{"bare", "ours", "mismatch", "literal", "*"}}, func(f *Facts) { f.Helo = "" }, no, "did not say"},

		{"listener", Conditions{Listener: []string{":587", ":25"}}, nil, yes, "it came by listener :25"},
		{"other listener", Conditions{Listener: []string{":587"}}, nil, no, ""},
		{"tls", Conditions{TLS: new(true)}, func(f *Facts) { f.TLS = true }, yes, "the connection is encrypted"},
		{"no tls", Conditions{TLS: new(true)}, nil, no, "the connection is not encrypted"},
		{"tls unwanted", Conditions{TLS: new(false)}, nil, yes, ""},
		{"early", Conditions{Early: new(true)}, func(f *Facts) { f.Early = true }, yes, "the client spoke before the greeting"},
		{"not early", Conditions{Early: new(true)}, nil, no, ""},
		{"own", Conditions{Own: new(true)}, func(f *Facts) { f.Own = true }, yes, "the client may send to anyone"},
		{"not own", Conditions{Own: new(true)}, nil, no, "the client may send to our domains only"},
		{"user", Conditions{User: []string{"ann", "bob"}}, func(f *Facts) { f.User = "bob" }, yes, "user bob has authenticated"},
		{"any user", Conditions{User: []string{"*"}}, func(f *Facts) { f.User = "bob" }, yes, ""},
		{"no user", Conditions{User: []string{"*"}}, nil, no, "nobody has authenticated"},

		{"from address", Conditions{From: []string{"Ann@Example.org"}}, nil, yes, "the sender is <ann@example.org>"},
		{"from address, quoted to evade", Conditions{From: []string{"ann@example.org"}}, func(f *Facts) { f.From.Local = `"a\nn"` }, yes, ""},
		{"from another address", Conditions{From: []string{"annie@example.org"}}, nil, no, ""},
		{"from domain", Conditions{From: []string{"example.org"}}, nil, yes, ""},
		{"from @domain", Conditions{From: []string{"@example.org"}}, nil, yes, ""},
		{"from domain is not what is below", Conditions{From: []string{"example.org"}}, func(f *Facts) { f.From.Domain = "a.example.org" }, no, ""},
		{"from below", Conditions{From: []string{"*.example.org"}}, func(f *Facts) { f.From.Domain = "a.EXAMPLE.org" }, yes, ""},
		{"from U-label", Conditions{From: []string{"bücher.example"}}, func(f *Facts) { f.From.Domain = "xn--bcher-kva.example" }, yes, ""},
		{"null sender", Conditions{From: []string{"null"}}, null, yes, "the sender is <>"},
		{"null matches no pattern", Conditions{From: []string{"*", "example.org"}}, null, no, ""},
		{"not null", Conditions{From: []string{"null"}}, nil, no, ""},
		{"from user at any domain", Conditions{From: []string{"ann@*"}}, nil, yes, ""},

		{"to postmaster", Conditions{To: []string{"postmaster"}}, func(f *Facts) { f.To = []mail.Address{addr("PostMaster@example.com")} }, yes, "the mail is for <PostMaster@example.com>"},
		{"to bare postmaster", Conditions{To: []string{"postmaster"}}, func(f *Facts) { f.To = []mail.Address{addr("Postmaster")} }, yes, ""},
		{"to abuse", Conditions{To: []string{"abuse"}}, func(f *Facts) { f.To = []mail.Address{addr("abuse@example.com")} }, yes, ""},
		{"to postmaster is not abuse", Conditions{To: []string{"postmaster"}}, func(f *Facts) { f.To = []mail.Address{addr("abuse@example.com")} }, no, ""},
		{"to domain", Conditions{To: []string{"example.com"}}, nil, yes, ""},
		{"to all of two", Conditions{To: []string{"example.com"}}, func(f *Facts) { f.To = append(f.To, addr("eve@example.com")) }, yes, "<bob@example.com> and 1 more"},
		{"to one of two is not all", Conditions{To: []string{"bob@example.com"}}, func(f *Facts) { f.To = append(f.To, addr("eve@example.com")) }, no, ""},
		{"to nobody yet", Conditions{To: []string{"*"}}, func(f *Facts) { f.To = nil }, no, ""},

		{"sender domain is not there", Conditions{FromDomain: []Reach{NoDomain}}, func(f *Facts) { f.FromDomain = Known(NoDomain) }, yes, "there is no domain example.org"},
		{"sender domain has a null MX", Conditions{FromDomain: []Reach{NullMX}}, func(f *Facts) { f.FromDomain = Known(NullMX) }, yes, "example.org says that it takes no mail (null MX)"},
		{"sender domain has no host", Conditions{FromDomain: []Reach{NoDomain, NoMailHost}}, func(f *Facts) { f.FromDomain = Known(NoMailHost) }, yes, "no host takes mail for example.org"},
		{"sender domain is reachable", Conditions{FromDomain: []Reach{NoDomain, NullMX, NoMailHost}}, nil, no, "example.org has hosts"},
		{"sender domain not known", Conditions{FromDomain: []Reach{NoDomain}}, func(f *Facts) { f.FromDomain = Fact[Reach]{} }, open, ""},
		{"sender domain look-up failed", Conditions{FromDomain: []Reach{NoDomain}}, func(f *Facts) { f.FromDomain = Failed[Reach]("SERVFAIL") }, fault, "who takes mail for example.org could not be found out: SERVFAIL"},
		{"null sender has no domain to look up", Conditions{FromDomain: []Reach{NoDomain}}, func(f *Facts) { null(f); f.FromDomain = Fact[Reach]{} }, no, ""},
		{"literal has none either", Conditions{FromDomain: []Reach{NoDomain}}, func(f *Facts) { f.From.Domain, f.FromDomain = "[192.0.2.7]", Fact[Reach]{} }, no, ""},

		{"too large", Conditions{SizeAbove: 3999}, nil, yes, "the message has 4000 octets"},
		{"not too large", Conditions{SizeAbove: 4000}, nil, no, ""},
		{"too many recipients", Conditions{RecipientsAbove: 50}, func(f *Facts) { f.Recipients = 51 }, yes, "the message has 51 recipients so far"},
		{"not too many recipients", Conditions{RecipientsAbove: 50}, func(f *Facts) { f.Recipients = 50 }, no, ""},

		{"score of one list", Conditions{Score: 5}, func(f *Facts) {
			f.Lists = Known([]Listing{{List: "zen", What: "192.0.2.7", Weight: 5, Text: "see there"}})
		}, yes, "192.0.2.7 is on zen (see there)"},
		{"score of client and domain", Conditions{Score: 5}, func(f *Facts) {
			f.Lists = Known([]Listing{list("a", "192.0.2.7", 3)})
			f.FromLists = Known([]Listing{list("b", "example.org", 2)})
		}, yes, "192.0.2.7 is on a, example.org is on b"},
		{"score not reached", Conditions{Score: 5}, func(f *Facts) { f.Lists = Known([]Listing{list("a", "192.0.2.7", 4)}) }, no, ""},
		{"a good list weighs against", Conditions{Score: 5}, func(f *Facts) {
			f.Lists = Known([]Listing{list("a", "192.0.2.7", 5), list("good", "192.0.2.7", -2)})
		}, no, ""},
		{"a silent list of the bad cannot lower it", Conditions{Score: 5}, func(f *Facts) {
			f.Lists = Known([]Listing{list("a", "192.0.2.7", 5), {List: "b", What: "192.0.2.7", Weight: 3, Fault: "timeout"}})
		}, yes, ""},
		{"a silent list of the good might", Conditions{Score: 5}, func(f *Facts) {
			f.Lists = Known([]Listing{list("a", "192.0.2.7", 5), {List: "good", What: "192.0.2.7", Weight: -2, Fault: "timeout"}})
		}, fault, "good could not be asked about 192.0.2.7: timeout"},
		{"a silent list might reach it", Conditions{Score: 5}, func(f *Facts) {
			f.Lists = Known([]Listing{{List: "b", What: "192.0.2.7", Weight: 5, Fault: "timeout"}})
		}, fault, ""},
		{"a silent list could not reach it", Conditions{Score: 5}, func(f *Facts) {
			f.Lists = Known([]Listing{{List: "b", What: "192.0.2.7", Weight: 4, Fault: "timeout"}})
		}, no, ""},
		{"lists not asked", Conditions{Score: 5}, func(f *Facts) { f.FromLists = Fact[[]Listing]{} }, open, "the lists are not asked yet"},
		{"lists failed", Conditions{Score: 5}, func(f *Facts) { f.Lists = Failed[[]Listing]("no resolver") }, fault, "the lists could not be asked: no resolver"},
		{"null sender is on no list", Conditions{Score: 5}, func(f *Facts) { null(f); f.FromLists = Fact[[]Listing]{} }, no, "192.0.2.7 is on none of the lists"},
		{"listed by name", Conditions{Listed: []string{"b"}}, func(f *Facts) { f.FromLists = Known([]Listing{list("b", "example.org", 0)}) }, yes, "example.org is on b"},
		{"listed by another", Conditions{Listed: []string{"c"}}, func(f *Facts) { f.FromLists = Known([]Listing{list("b", "example.org", 0)}) }, no, ""},
		{"that list is silent", Conditions{Listed: []string{"b"}}, func(f *Facts) {
			f.Lists = Known([]Listing{{List: "b", What: "192.0.2.7", Fault: "timeout"}})
		}, fault, ""},
		{"another list is silent", Conditions{Listed: []string{"c"}}, func(f *Facts) {
			f.Lists = Known([]Listing{{List: "b", What: "192.0.2.7", Fault: "timeout"}})
		}, no, ""},
		{"named by one, the other not asked", Conditions{Listed: []string{"a"}}, func(f *Facts) {
			f.Lists, f.FromLists = Known([]Listing{list("a", "192.0.2.7", 1)}), Fact[[]Listing]{}
		}, open, ""},
		{"named by one, the other failed", Conditions{Listed: []string{"a"}}, func(f *Facts) {
			f.Lists, f.FromLists = Known([]Listing{list("a", "192.0.2.7", 1)}), Failed[[]Listing]("no resolver")
		}, fault, ""},

		{"spf fail", Conditions{SPF: []string{"fail", "softfail"}}, func(f *Facts) { f.SPF = Known(SPF{Word: "fail", Domain: "example.org"}) }, yes, "SPF is fail of example.org"},
		{"spf pass", Conditions{SPF: []string{"fail"}}, func(f *Facts) { f.SPF = Known(SPF{Word: "pass"}) }, no, ""},
		{"spf not known", Conditions{SPF: []string{"fail"}}, func(f *Facts) { f.SPF = Fact[SPF]{} }, open, ""},
		{"spf temperror is a fault", Conditions{SPF: []string{"fail"}}, func(f *Facts) { f.SPF = Known(SPF{Word: "temperror", Domain: "example.org", Reason: "SERVFAIL"}) }, fault, "SPF is temperror of example.org: SERVFAIL"},
		{"spf permerror is none", Conditions{SPF: []string{"fail"}}, func(f *Facts) { f.SPF = Known(SPF{Word: "permerror"}) }, no, ""},
		{"no signature", Conditions{DKIM: []string{"none"}}, nil, yes, "DKIM is none"},
		{"one signature of two passes", Conditions{DKIM: []string{"fail"}}, func(f *Facts) {
			f.DKIM = Known([]Signature{{Word: "fail", Domain: "list.example"}, {Word: "pass", Domain: "example.org"}})
		}, no, "DKIM is pass by example.org"},
		{"all signatures fail", Conditions{DKIM: []string{"fail"}}, func(f *Facts) {
			f.DKIM = Known([]Signature{{Word: "neutral"}, {Word: "fail", Domain: "example.org", Reason: "body changed"}})
		}, yes, "DKIM is fail by example.org: body changed"},
		{"a key could not be fetched", Conditions{DKIM: []string{"fail"}}, func(f *Facts) {
			f.DKIM = Known([]Signature{{Word: "fail"}, {Word: "temperror"}})
		}, fault, ""},
		{"a word nobody knows proves nothing", Conditions{DKIM: []string{"none"}}, func(f *Facts) { f.DKIM = Known([]Signature{{Word: "splendid"}}) }, yes, ""},
		{"dmarc reject", Conditions{DMARC: []string{"reject"}}, func(f *Facts) { f.DMARC = Known(DMARC{Word: "fail", Asks: "reject", Domain: "example.org"}) }, yes, "DMARC is fail for example.org, which asks for reject"},
		{"dmarc fails, nothing asked", Conditions{DMARC: []string{"reject", "quarantine"}}, func(f *Facts) { f.DMARC = Known(DMARC{Word: "fail", Asks: "none"}) }, no, ""},
		{"dmarc fails, nothing asked, not none", Conditions{DMARC: []string{"none"}}, func(f *Facts) { f.DMARC = Known(DMARC{Word: "fail", Asks: "none"}) }, no, ""},
		{"dmarc fail, whatever is asked", Conditions{DMARC: []string{"fail"}}, func(f *Facts) { f.DMARC = Known(DMARC{Word: "fail", Asks: "none"}) }, yes, ""},
		{"dmarc quarantine", Conditions{DMARC: []string{"quarantine"}}, func(f *Facts) { f.DMARC = Known(DMARC{Word: "fail", Asks: "quarantine"}) }, yes, ""},
		{"dmarc passes, reject is asked", Conditions{DMARC: []string{"reject"}}, func(f *Facts) { f.DMARC = Known(DMARC{Word: "pass", Asks: "reject"}) }, no, ""},
		{"author unclear, reject is asked", Conditions{DMARC: []string{"reject"}}, func(f *Facts) { f.DMARC = Known(DMARC{Word: "permerror", Asks: "reject"}) }, yes, ""},
		{"dmarc temperror", Conditions{DMARC: []string{"reject"}}, func(f *Facts) { f.DMARC = Known(DMARC{Word: "temperror", Asks: "reject"}) }, fault, ""},
		{"dmarc not known", Conditions{DMARC: []string{"reject"}}, func(f *Facts) { f.DMARC = Fact[DMARC]{} }, open, ""},

		{"proven", Conditions{Proven: new(true)}, func(f *Facts) { f.Proven = Known(true) }, yes, "192.0.2.7 has proven itself before"},
		{"not proven", Conditions{Proven: new(true)}, nil, no, ""},
		{"wanted unproven", Conditions{Proven: new(false)}, nil, yes, "192.0.2.7 has not proven itself yet"},
		{"proven but unconfirmed", Conditions{Proven: new(true)}, func(f *Facts) { f.Proven, f.Name = Known(true), Known(Name{Name: "x.example.org"}) }, no, "does not lead back"},
		{"proven, name look-up failed", Conditions{Proven: new(true)}, func(f *Facts) { f.Proven, f.Name = Known(true), Failed[Name]("SERVFAIL") }, fault, "the name of 192.0.2.7 could not be found out: SERVFAIL"},
		{"proven, name not known", Conditions{Proven: new(true)}, func(f *Facts) { f.Proven, f.Name = Known(true), Fact[Name]{} }, open, ""},
		{"not proven, name not wanted", Conditions{Proven: new(true)}, func(f *Facts) { f.Name = Fact[Name]{} }, no, ""},
		{"memory failed", Conditions{Proven: new(true)}, func(f *Facts) { f.Proven = Failed[bool]("disk") }, fault, ""},

		{"rate by client", Conditions{Rate: &perClient}, counts(11), yes, "client 192.0.2.7 has 11 messages in 1h, 10 are allowed"},
		{"rate not above", Conditions{Rate: &perClient}, counts(10), no, ""},
		{"rate not counted", Conditions{Rate: &perClient}, nil, open, ""},
		{"rate failed", Conditions{Rate: &perClient}, func(f *Facts) { f.Rates = []Count{{Rate: perClient, Fault: "memory"}} }, fault, "could not be counted: memory"},
		{"rate by network", Conditions{Rate: by(ByNetwork)}, counts(11), yes, "network 192.0.2.0/24 has"},
		{"rate by IPv6 network", Conditions{Rate: by(ByNetwork)}, func(f *Facts) { counts(11)(f); f.Client = netip.MustParseAddr("2001:db8::7") }, yes, "network 2001:db8::/64 has"},
		{"rate by sender", Conditions{Rate: by(BySender)}, counts(11), yes, "sender ann@example.org has"},
		{"null sender is not counted", Conditions{Rate: by(BySender)}, null, no, "there is no sender to count by"},
		{"rate by recipient", Conditions{Rate: by(ByRecipient)}, counts(11), yes, "recipient <bob@example.com> has"},
		{"rate by user", Conditions{Rate: by(ByUser)}, func(f *Facts) { counts(11)(f); f.User = "ann" }, yes, "user ann has"},
		{"no user to count", Conditions{Rate: by(ByUser)}, counts(11), no, ""},
		{"Unix socket is not counted", Conditions{Rate: &perClient}, unix, no, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := stranger()
			if tt.f != nil {
				tt.f(f)
			}
			got, why := answer(t, Rule{If: tt.ask}, f)
			if got != tt.want || !strings.Contains(why, tt.say) {
				t.Errorf("must hold: %d, want %d: %s", got, tt.want, why)
			}
			if tt.ask.To != nil && len(f.To) > 1 {
				return // "all" and "none" are not opposites
			}
			if got, why := answer(t, Rule{Not: tt.ask}, f); got != opposite(tt.want) || !strings.Contains(why, tt.say) {
				t.Errorf("must not hold: %d, want %d: %s", got, opposite(tt.want), why)
			}
		})
	}
}

// answer tells what a rule that refuses makes of the facts, and its words.
func answer(t *testing.T, r Rule, f *Facts) (truth, string) {
	t.Helper()
	r.Name, r.Then, r.At = "r", Refuse, Content
	tb := table(t, r)
	v, need := tb.Decide(Content, f)
	step := tb.Trace(Content, f)[0]
	switch {
	case need != 0:
		return open, step.Why
	case v.Action == Refuse:
		if v.Why != step.Why || v.Reply.Text != "r: "+ascii(v.Why) {
			t.Errorf("verdict says %q, reply %q, trace %q", v.Why, v.Reply.Text, step.Why)
		}
		return yes, v.Why
	case v.Faults != nil:
		return fault, v.Faults[0]
	}
	return no, step.Why
}

// Who wants to defer what could not be checked can say so.
func TestTempErrorAskedFor(t *testing.T) {
	f := with(func(f *Facts) { f.SPF = Known(SPF{Word: "temperror", Domain: "example.org"}) })
	v := decide(t, table(t, Rule{Name: "r", If: Conditions{SPF: []string{"temperror"}}, Then: Defer}), Recipient, f)
	if v.Action != Defer || v.Faults != nil {
		t.Errorf("%s, faults %v", v.Action, v.Faults)
	}
	v = decide(t, table(t, Rule{Name: "r", Not: Conditions{SPF: []string{"temperror"}}, Then: Refuse}), Recipient, f)
	if v.Action != Pass || v.Faults != nil {
		t.Errorf("%s, faults %v", v.Action, v.Faults)
	}
}

// A content rule speaks for all recipients, so one that must not be there keeps
// it from acting.
func TestRecipientsAtContent(t *testing.T) {
	two := with(func(f *Facts) { f.To = append(f.To, addr("postmaster@example.com")) })
	only := table(t, Rule{Name: "r", If: Conditions{To: []string{"bob@example.com"}}, At: Content, Then: Refuse})
	if v := decide(t, only, Content, two); v.Action != Pass {
		t.Error("refused what is for others too")
	}
	spare := table(t, Rule{Name: "r", Not: Conditions{To: []string{"postmaster"}}, At: Content, Then: Refuse})
	if v := decide(t, spare, Content, two); v.Action != Pass {
		t.Error("refused what is for a recipient to be spared")
	}
	if v := decide(t, spare, Content, stranger()); v.Action != Refuse {
		t.Error("not refused")
	}
}

// At Connect nobody knows a sender, so its domain is on no list yet.
func TestListsAtConnect(t *testing.T) {
	tb := table(t, Rule{Name: "r", At: Connect, If: Conditions{Score: 5}, Then: Refuse})
	f := with(func(f *Facts) { f.FromLists = Fact[[]Listing]{} })
	if v, need := tb.Decide(Connect, f); need != 0 || v.Action != Pass {
		t.Errorf("%v %v", v.Action, need)
	}
	f.Lists = Known([]Listing{{List: "zen", What: "192.0.2.7", Weight: 5}})
	if v := decide(t, tb, Connect, f); v.Reply.Line() != "554 5.7.1 r: 192.0.2.7 is on zen" {
		t.Error(v.Reply.Line())
	}
}

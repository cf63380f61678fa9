package policy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/mail"
)

func TestPlaceholders(t *testing.T) {
	tests := []struct {
		text string
		f    func(*Facts)
		want string
	}{
		{"no words for them", nil, "no words for them"},
		{"{client}{client}", nil, "192.0.2.7192.0.2.7"},
		{"{client}", func(f *Facts) { f.Client = netip.Addr{} }, "a Unix socket"},
		{"a {client_name} b", nil, "a mx.example.org b"},
		{"{client_name}", func(f *Facts) { f.Name = Known(Name{}) }, "unknown"},
		{"{client_name}", func(f *Facts) { f.Name = Failed[Name]("x") }, "unknown"},
		{"{helo}", nil, "mx.example.org"},
		{"{helo}", func(f *Facts) { f.Helo = "a\r\n250 ok\x00\x7f\x1b[2J" }, "a??250 ok???[2J"},
		{"{helo}", func(f *Facts) { f.Helo = "{from}" }, "{from}"},
		{"{helo}", func(f *Facts) { f.Helo = "" }, "(none)"},
		{"{from} of {from_domain}", nil, "<ann@example.org> of example.org"},
		{"{from} of {from_domain}", func(f *Facts) { f.From = mail.Address{} }, "<> of (none)"},
		{"{from}", func(f *Facts) { f.From.Local = "grüße" }, "<gr??e@example.org>"},
		{"{to}", nil, "<bob@example.com>"},
		{"{to}", func(f *Facts) { f.To = append(f.To, f.To...) }, "<bob@example.com> and 1 more"},
		{"{lists}", func(f *Facts) {
			f.Lists = Known([]Listing{{List: "a", What: "192.0.2.7"}, {List: "silent", Fault: "x"}, {List: "good", Weight: -1}})
			f.FromLists = Known([]Listing{{List: "b", What: "example.org", Text: "why"}})
		}, "192.0.2.7 is on a, example.org is on b (why)"},
		{"{author}", func(f *Facts) { f.DMARC = Known(DMARC{Domain: "example.net"}) }, "example.net"},
		{"<{from_domain}>", func(f *Facts) { f.From.Domain = strings.Repeat("a", 300) }, "<" + strings.Repeat("a", 100) + ">"},
	}
	for _, tt := range tests {
		f := stranger()
		if tt.f != nil {
			tt.f(f)
		}
		v := decide(t, table(t, Rule{Name: "r", At: Content, Then: Refuse, Text: tt.text}), Content, f)
		if got, _ := strings.CutPrefix(v.Reply.Text, "r: "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.text, got, tt.want)
		}
	}
}

// A text that tells what its rule does not ask for has it looked up.
func TestPlaceholdersAskForTheirFacts(t *testing.T) {
	for text, want := range map[string]Need{
		"{client} {helo} {from} {to} {from_domain}": 0,
		"{client_name}": NeedName, "{lists}": NeedLists | NeedFromLists, "{author}": NeedDMARC,
	} {
		tb := table(t, Rule{Name: "r", At: Content, If: Conditions{Helo: []string{"*.example.org"}}, Then: Refuse, Text: text})
		f := unasked()
		if _, need := tb.Decide(Content, f); need != want || tb.Needs(Content) != want {
			t.Errorf("%s: %v", text, need)
		}
		if want != 0 {
			if s := tb.Trace(Content, f)[0]; s.Ruling != Open || s.Condition != "text" || s.Need != want {
				t.Errorf("%s: %+v", text, s)
			}
		}
		f.Helo = "pc"
		if _, need := tb.Decide(Content, f); need != 0 {
			t.Errorf("%s: %v for a rule that says nothing", text, need)
		}
	}
}

func TestSecondsAreRoundedUp(t *testing.T) {
	for _, tt := range []struct {
		first time.Time
		want  string
	}{
		{time.Time{}, "r: wait 60"},
		{noon.Add(-30 * time.Second), "r: wait 30"},
		{noon.Add(-59*time.Second - time.Millisecond), "r: wait 1"},
	} {
		v := decide(t, table(t, Rule{Name: "r", Then: Greylist, Delay: time.Minute, Text: "wait {wait}"}), Recipient, with(func(f *Facts) { f.Grey = Known(tt.first) }))
		if v.Reply.Text != tt.want {
			t.Errorf("got %q, want %q", v.Reply.Text, tt.want)
		}
	}
}

// TestTheDefaultTextTellsTheRateInForce, not that of the default set.
func TestTheDefaultTextTellsTheRateInForce(t *testing.T) {
	rules := Internet()
	fast := rules[slices.IndexFunc(rules, func(r Rule) bool { return r.Name == "too-fast" })]
	for _, tt := range []struct {
		rate Rate
		want string
	}{
		{*fast.If.Rate, "more than 600 messages in 1h from one client; "},
		{Rate{ByNetwork, 5000, 10 * time.Minute}, "more than 5000 messages in 10m from one network; "},
		{Rate{ByRecipient, 20, 90 * time.Second}, "more than 20 messages in 90s to one recipient; "},
	} {
		fast.If.Rate = &tt.rate
		v := decide(t, table(t, fast), Recipient, with(func(f *Facts) { f.Rates = []Count{{Rate: tt.rate, N: tt.rate.Most + 1}} }))
		if v.Action != Defer || !strings.HasPrefix(v.Reply.Text, "too-fast: "+tt.want) {
			t.Errorf("got %q, want %q", v.Reply.Text, tt.want)
		}
	}
}

// Whatever a rule and a client say, the reply is one line that fits.
func FuzzText(f *testing.F) {
	f.Add("{client} {client_name} {helo} {from} {to}", "mx.example.org", "ann", "bob", "no\r\n250 ok")
	f.Add("{lists}{lists}{lists}{lists}{author}{from_domain}", strings.Repeat("a", 400), "\x00", "ü", "\xff\xfe")
	f.Add("{", "}", "{from}", "{{to}}", "")
	f.Add(strings.Repeat("x", 260), "", "", "", "")
	f.Fuzz(func(t *testing.T, text, name, from, to, said string) {
		tb, err := New([]Rule{{Name: strings.Repeat("n", maxName), At: Content, Then: Refuse, Text: text, Status: mail.Status{5, 999, 999}}})
		if err != nil {
			if ascii(err.Error()) != strings.ReplaceAll(err.Error(), "\n", "?") && strings.ContainsAny(err.Error(), "\r\x00\x1b") {
				t.Fatalf("a mistake told with what it is about: %q", err)
			}
			return
		}
		fs := stranger()
		fs.Helo, fs.Name = name, Known(Name{Name: name})
		fs.From, fs.To = mail.Address{Local: from, Domain: name}, []mail.Address{{Local: to, Domain: said}, {}}
		fs.Lists, fs.FromLists = Known([]Listing{{List: name, What: said, Text: said}}), Known([]Listing{{List: to, What: from, Text: said}})
		fs.DMARC = Known(DMARC{Domain: said})
		v, need := tb.Decide(Content, fs)
		if need != 0 || v.Action != Refuse {
			t.Fatalf("%v %v", v.Action, need)
		}
		if text == "" {
			text = v.Why
		}
		if !strings.ContainsAny(text, "{}") && len(text) < 300 && !strings.HasSuffix(v.Reply.Text, ascii(text)) {
			t.Fatalf("%q became %q", text, v.Reply.Text)
		}
		checkReply(t, Said{Rule: v.Rule, Action: v.Action, Reply: v.Reply})
		if back, err := mail.ParseReply(strings.Split(v.Reply.String(), "\n")); err != nil || back != v.Reply {
			t.Fatalf("%+v comes over the wire as %+v, %v", v.Reply, back, err)
		}
	})
}

// Whatever a rule is to match, New says yes or no, and what it took is obeyed.
func FuzzPatterns(f *testing.F) {
	for _, s := range []string{"*", "*.example.org", "null", "ann@example.org", `"a b"@example.org`, "@x.example", "bücher.example", "*@*", "a@*.b.example", "[192.0.2.1]", "none", ".."} {
		f.Add(s, "ann", "example.org")
	}
	f.Fuzz(func(t *testing.T, word, local, domain string) {
		fs := stranger()
		fs.From, fs.Helo, fs.Name = mail.Address{Local: local, Domain: domain}, domain, Known(Name{Name: domain, Confirmed: true})
		for _, c := range []Conditions{{From: []string{word}}, {To: []string{word}}, {Helo: []string{word}}, {ClientName: []string{word}}} {
			if tb, err := New([]Rule{{Name: "r", If: c, Then: Refuse}}); err == nil {
				yes, _ := tb.Decide(Recipient, fs)
				tb = table(t, Rule{Name: "r", Not: c, Then: Refuse})
				if no, _ := tb.Decide(Recipient, fs); (yes.Action == Refuse) == (no.Action == Refuse) {
					t.Fatalf("%q is and is not in %+v", word, c)
				}
			}
		}
		o := Override{Rule: "r", Name: word, Domain: word, Until: noon.Add(1)}
		o.Match(fs)
	})
}

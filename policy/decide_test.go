package policy

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/mail"
)

// unasked is the stranger before anything was looked up.
func unasked() *Facts {
	f := stranger()
	return &Facts{At: f.At, Client: f.Client, Hostname: f.Hostname, Local: f.Local, Helo: f.Helo, From: f.From, To: f.To, Recipients: 1}
}

// TestLaziness: what a decision does not need is not asked for, what it may need
// is asked for at once.
func TestLaziness(t *testing.T) {
	bare := Conditions{Helo: []string{"bare"}}
	noName := Rule{Name: "no-name", If: Conditions{ClientName: []string{"none"}}, Then: Refuse}
	badSPF := Rule{Name: "spf", If: Conditions{SPF: []string{"fail"}}, Then: Refuse}
	grey := Rule{Name: "grey", Not: Conditions{Proven: new(true)}, Then: Greylist, Delay: time.Minute}
	tests := []struct {
		name  string
		rules []Rule
		f     func(*Facts)
		rule  string // decides; "": needs
		need  Need
	}{
		{"all at once", []Rule{noName, badSPF, grey}, nil, "", NeedName | NeedSPF | NeedProven | NeedGrey},
		{"a rule above decides", []Rule{{Name: "bare", If: bare, Then: Refuse}, noName, badSPF}, func(f *Facts) { f.Helo = "pc" }, "bare", 0},
		{"one below ends what may be reached", []Rule{noName, {Name: "bare", If: bare, Then: Refuse}, badSPF}, func(f *Facts) { f.Helo = "pc" }, "", NeedName},
		{"one that only tells does not end it", []Rule{noName, {Name: "bare", If: bare, Then: Refuse, LogOnly: true}, badSPF}, func(f *Facts) { f.Helo = "pc" }, "", NeedName | NeedSPF},
		{"one that is skipped does not either", []Rule{noName, {Name: "bare", If: bare, Then: Refuse}, badSPF}, func(f *Facts) {
			f.Helo = "pc"
			f.Overrides = []Override{{ID: "1", Rule: "bare", Client: prefixes("192.0.2.0/24")[0], Until: noon.Add(1)}}
		}, "", NeedName | NeedSPF},
		{"a cheap condition spares the dear one", []Rule{{Name: "r", If: Conditions{Helo: []string{"bare"}, SPF: []string{"fail"}}, Then: Refuse}, noName}, nil, "", NeedName},
		{"a cheap exemption spares the dear one", []Rule{{Name: "r", If: Conditions{SPF: []string{"fail"}}, Not: Conditions{Client: prefixes("192.0.2.0/24")}, Then: Refuse}, noName}, nil, "", NeedName},
		{"both halves of a list", []Rule{{Name: "r", If: Conditions{Score: 1}, Then: Refuse}}, nil, "", NeedLists | NeedFromLists},
		{"an override by name", []Rule{{Name: "bare", If: bare, Then: Refuse}, badSPF}, func(f *Facts) {
			f.Helo = "pc"
			f.Overrides = []Override{{ID: "1", Rule: "bare", Name: "mx.example.org", Until: noon.Add(1)}}
		}, "", NeedName | NeedSPF},
		{"an override by name of a rule that waits", []Rule{badSPF}, func(f *Facts) {
			f.Overrides = []Override{{ID: "1", Rule: "spf", Name: "mx.example.org", Until: noon.Add(1)}}
		}, "", NeedName | NeedSPF},
		{"an override by name of a rule that does not hold", []Rule{{Name: "bare", If: bare, Then: Refuse}, badSPF}, func(f *Facts) {
			f.Overrides = []Override{{ID: "1", Rule: "bare", Name: "mx.example.org", Until: noon.Add(1)}}
		}, "", NeedSPF},
		{"of three filters those that are wanted", []Rule{
			{Name: "a", Filter: "a", If: Conditions{From: []string{"null"}}},
			{Name: "b", Filter: "b"},
			{Name: "c", Filter: "c"},
		}, nil, "", NeedName | 0b110<<filterBit},
		{"nothing for the default set's own clients", Internet(), func(f *Facts) { f.Own = true }, "own-clients", 0},
		{"the default set", Internet(), nil, "", NeedName | NeedLists | NeedFromLists | NeedProven | NeedFromDomain | NeedSPF | NeedGrey | 1<<rateBit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := unasked()
			if tt.f != nil {
				tt.f(f)
			}
			tb := table(t, tt.rules...)
			v, need := tb.Decide(tb.Rules()[0].At, f)
			if v.Rule != tt.rule || need != tt.need {
				t.Errorf("%q decides and %v (%b) is needed, want %q and %v", v.Rule, need, need, tt.rule, tt.need)
			}
			if need != 0 && !cmp.Equal(v, Verdict{}) {
				t.Errorf("a void verdict says %+v", v)
			}
		})
	}
}

// TestFaults: a look-up that failed passes or defers, and never refuses.
func TestFaults(t *testing.T) {
	noName := Rule{Name: "no-name", If: Conditions{ClientName: []string{"none"}}, Then: Refuse}
	deferring := noName
	deferring.OnFault = FaultDefer
	friend := Rule{Name: "friend", If: Conditions{ClientName: []string{"*.example.org"}}, Then: Accept}
	bare := Rule{Name: "bare", If: Conditions{Helo: []string{"bare"}}, Then: Refuse, Status: mail.Status{5, 7, 3}, Text: "no full name"}
	grey := Rule{Name: "grey", Not: Conditions{SPF: []string{"pass"}}, Then: Greylist, Delay: time.Minute}
	greyAll := grey
	greyAll.OnFault = FaultDefer
	filter := Rule{Name: "rspamd", Filter: "rspamd"}
	fault := func(f *Facts) { f.Name = Failed[Name]("SERVFAIL from 10.0.0.1") }
	bareFault := func(f *Facts) { fault(f); f.Helo = "pc" }
	byName := Override{ID: "1", Rule: "bare", Name: "mx.example.org", Until: noon.Add(1)}
	tests := []struct {
		name   string
		rules  []Rule
		f      func(*Facts)
		want   string
		faults int
	}{
		{"passes", []Rule{noName}, fault, "pass ", 1},
		{"passes to the next rule", []Rule{noName, bare}, bareFault, "refuse 550 5.7.3 bare: no full name", 1},
		{"defers, and keeps our affairs to ourselves", []Rule{deferring, bare}, bareFault,
			"defer 451 4.4.3 no-name: a check of ours (client_name) has no answer for the moment; this is not your fault, please try again later", 1},
		{"is of no interest if the rule does not hold anyway", []Rule{{Name: "r", If: Conditions{ClientName: []string{"none"}, TLS: new(true)}, Then: Refuse, OnFault: FaultDefer}}, fault, "pass ", 0},
		{"might have accepted", []Rule{friend, bare}, bareFault, "defer 451 4.7.3 bare: no full name", 1},
		{"might have accepted, but only in a log", []Rule{{Name: "friend", If: friend.If, Then: Accept, LogOnly: true}, bare}, bareFault, "refuse 550 5.7.3 bare: no full name", 1},
		{"might have accepted, but for an override", []Rule{friend, bare}, func(f *Facts) {
			bareFault(f)
			f.Overrides = []Override{{ID: "2", Rule: "friend", Client: prefixes("192.0.2.7/32")[0], Until: noon.Add(1)}}
		}, "refuse 550 5.7.3 bare: no full name", 1},
		{"might have accepted at an earlier stage", []Rule{bare}, func(f *Facts) { f.Helo, f.Doubt = "pc", "friend" }, "defer 451 4.7.3 bare: no full name", 0},
		{"might have shown an override to fit", []Rule{bare}, func(f *Facts) { bareFault(f); f.Overrides = []Override{byName} }, "defer 451 4.7.3 bare: no full name", 1},
		{"does not matter where an override fits", []Rule{bare}, func(f *Facts) {
			bareFault(f)
			f.Overrides = []Override{byName, {ID: "2", Rule: "bare", Sender: addr("ann@example.org"), Until: noon.Add(1)}}
		}, "pass ", 0},
		{"lets greylisting pass", []Rule{grey}, func(f *Facts) { f.SPF = Failed[SPF]("timeout") }, "pass ", 1},
		{"does not spare greylisting", []Rule{greyAll}, func(f *Facts) { f.SPF = Failed[SPF]("timeout") },
			"defer 451 4.7.1 grey: we do not know this sender at 192.0.2.7 yet; your server need only try again in 60 seconds or later", 1},
		{"of the memory lets pass", []Rule{greyAll}, func(f *Facts) { f.Grey = Failed[time.Time]("disk") }, "pass ", 1},
		{"of a filter passes", []Rule{filter}, func(f *Facts) { f.Opinions = []Opinion{{Filter: "rspamd", Fault: "refused"}} }, "pass ", 1},
		{"of a filter defers", []Rule{{Name: "rspamd", Filter: "rspamd", OnFault: FaultDefer}}, func(f *Facts) { f.Opinions = []Opinion{{Filter: "rspamd", Fault: "refused"}} },
			"defer 451 4.3.0 rspamd: a check of ours (filter) has no answer for the moment; this is not your fault, please try again later", 1},
		{"is what no filter may say", []Rule{filter}, func(f *Facts) { f.Opinions = []Opinion{{Filter: "rspamd", Action: Greylist}} }, "pass ", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tb := table(t, tt.rules...)
			v := decide(t, tb, tb.Rules()[0].At, with(tt.f))
			if got := v.Action.String() + " " + v.Reply.Line(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if len(v.Faults) != tt.faults {
				t.Errorf("faults: %q", v.Faults)
			}
		})
	}
}

func TestDoubtIsTold(t *testing.T) {
	tb := table(t, Rule{Name: "friend", At: Connect, If: Conditions{ClientName: []string{"*.example.org"}}, Then: Accept})
	v := decide(t, tb, Connect, with(func(f *Facts) { f.Name = Failed[Name]("SERVFAIL") }))
	if v.Action != Pass || v.Doubt != "friend" {
		t.Errorf("%s, doubt %q", v.Action, v.Doubt)
	}
}

func TestFilterSpeaks(t *testing.T) {
	tests := []struct {
		name string
		o    Opinion
		want string
	}{
		{"has nothing against it", Opinion{Action: Accept}, "pass "},
		{"refuses", Opinion{Action: Refuse, Reply: mail.Reply{Code: 554, Status: mail.Status{5, 6, 0}, Text: "spam\r\n250 ok\nmore"}}, "refuse 554 5.6.0 r: spam? / 250 ok / more"},
		{"refuses without words", Opinion{Action: Refuse}, "refuse 550 5.7.1 r: the filter does not want it"},
		{"refuses with a code for later", Opinion{Action: Refuse, Reply: mail.Reply{Code: 451, Status: mail.Status{4, 7, 1}, Text: "no"}}, "refuse 550 5.7.1 r: no"},
		{"defers", Opinion{Action: Defer, Reply: mail.Reply{Code: 452, Text: "later"}}, "defer 452 4.7.1 r: later"},
		{"defers with a code for good", Opinion{Action: Defer, Reply: mail.Reply{Code: 550, Status: mail.Status{5, 7, 1}, Text: "later"}}, "defer 450 4.7.1 r: later"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Filter = "f"
			f := with(func(f *Facts) { f.Opinions = []Opinion{{Filter: "other", Action: Refuse}, tt.o} })
			v := decide(t, table(t, Rule{Name: "r", Filter: "f"}), Content, f)
			if got := v.Action.String() + " " + v.Reply.Line(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestAFilterAndTheRestOfItsRule is all that they can say together.
func TestAFilterAndTheRestOfItsRule(t *testing.T) {
	rests := [...]Fact[SPF]{Known(SPF{Word: "none"}), Known(SPF{Word: "pass"}), {}, Failed[SPF]("silent")}
	opinions := map[string][]Opinion{
		"objects": {{Filter: "f", Action: Refuse}}, "does not": {{Filter: "f"}}, "silent": {{Filter: "f", Fault: "silent"}}, "unasked": nil,
	}
	for _, tt := range []struct {
		onFault OnFault
		opinion string
		want    [len(rests)]string // if the rest holds, does not, is open, or failed
	}{
		{FaultPass, "objects", [...]string{"refuse", "pass", "open", "pass, fault"}},
		{FaultPass, "does not", [...]string{"pass, heeded", "pass", "open", "pass, fault"}},
		{FaultPass, "unasked", [...]string{"open", "pass", "open", "open"}},
		{FaultPass, "silent", [...]string{"pass, fault", "pass", "open", "pass, fault"}},
		{FaultDefer, "objects", [...]string{"refuse", "pass", "open", "defer, fault"}},
		{FaultDefer, "does not", [...]string{"pass, heeded", "pass", "open", "defer, fault"}},
		{FaultDefer, "unasked", [...]string{"open", "pass", "open", "open"}},
		{FaultDefer, "silent", [...]string{"defer, fault", "pass", "open", "defer, fault"}},
	} {
		tb := table(t, Rule{Name: "r", Filter: "f", If: Conditions{SPF: []string{"none"}}, OnFault: tt.onFault})
		for i, rest := range rests {
			v, need := tb.Decide(Content, with(func(f *Facts) { f.SPF, f.Opinions = rest, opinions[tt.opinion] }))
			got := v.Action.String()
			switch {
			case need != 0:
				got = "open"
			case len(v.Filters) > 0:
				got += ", heeded"
			case len(v.Faults) > 0:
				got += ", fault"
			}
			if got != tt.want[i] {
				t.Errorf("on_fault %s, the filter %s, the rest %d: %s, want %s", tt.onFault, tt.opinion, i, got, tt.want[i])
			}
		}
	}
}

// TestGreylisting follows one sender through the time.
func TestGreylisting(t *testing.T) {
	grey := Rule{Name: "g", Then: Greylist, Delay: 5 * time.Minute, Memory: 24 * time.Hour}
	dry := grey
	dry.Name, dry.LogOnly, dry.Delay = "dry", true, time.Hour
	first := Greylisting{Wait: 5 * time.Minute, Memory: 24 * time.Hour}
	tests := []struct {
		name  string
		rules []Rule
		first time.Time
		act   Action
		want  Greylisting
		would int
	}{
		{"first time", []Rule{grey}, time.Time{}, Defer, first, 0},
		{"too soon", []Rule{grey}, noon.Add(-2 * time.Minute), Defer, Greylisting{3 * time.Minute, 24 * time.Hour}, 0},
		{"in time", []Rule{grey}, noon.Add(-5 * time.Minute), Pass, Greylisting{0, 24 * time.Hour}, 0},
		{"forgotten", []Rule{grey}, noon.Add(-24 * time.Hour), Defer, first, 0},
		{"a clock that was put back", []Rule{grey}, noon.Add(time.Hour), Defer, first, 0},
		{"a dry run remembers", []Rule{dry}, time.Time{}, Pass, Greylisting{time.Hour, 24 * time.Hour}, 1},
		{"a dry run gives way", []Rule{dry, grey}, time.Time{}, Defer, first, 1},
		{"a dry run below is not asked", []Rule{grey, dry}, time.Time{}, Defer, first, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := decide(t, table(t, tt.rules...), Recipient, with(func(f *Facts) { f.Grey = Known(tt.first) }))
			if v.Action != tt.act || v.Grey != tt.want || len(v.Would) != tt.would {
				t.Errorf("%s %+v, would %v", v.Action, v.Grey, v.Would)
			}
		})
	}
}

func TestLogOnlyAndOverrideAreTold(t *testing.T) {
	rules := []Rule{
		{Name: "dry", LogOnly: true, If: Conditions{Helo: []string{"bare"}}, Then: Refuse, Place: "postrider.toml:7 rule dry", Text: "hello {helo}"},
		{Name: "dry-accept", LogOnly: true, Then: Accept},
		{Name: "bare", If: Conditions{Helo: []string{"bare"}}, Then: Refuse, Place: "postrider.toml:12 rule bare"},
		{Name: "rest", Then: Defer, Text: "come again"},
	}
	f := with(func(f *Facts) {
		f.Helo = "pc"
		f.Overrides = []Override{
			{ID: "a", Rule: "dry", Client: prefixes("192.0.2.7/32")[0], Until: noon}, // over
			{ID: "b", Rule: "bare", Client: prefixes("192.0.2.7/32")[0], Until: noon.Add(1)},
			{ID: "c", Rule: "bare", Sender: f.From, Until: noon.Add(1)},
		}
	})
	tb := table(t, rules...)
	want := Verdict{
		Action: Defer, Rule: "rest", Place: "rule rest", Why: "the rule holds for everyone",
		Reply: mail.Reply{Code: 450, Status: mail.Status{4, 7, 1}, Text: "rest: come again"},
		Would: []Said{
			{Rule: "dry", Place: "postrider.toml:7 rule dry", Action: Refuse, Why: "the client calls itself pc", Reply: mail.Reply{Code: 550, Status: mail.Status{5, 7, 1}, Text: "dry: hello pc"}},
			{Rule: "dry-accept", Place: "rule dry-accept", Action: Accept, Why: "the rule holds for everyone"},
		},
		Skipped: []Said{{Rule: "bare", Place: "postrider.toml:12 rule bare", Action: Refuse, Why: "the client calls itself pc", Override: "b", Reply: mail.Reply{Code: 550, Status: mail.Status{5, 7, 1}, Text: "bare: the client calls itself pc"}}},
	}
	if diff := cmp.Diff(want, decide(t, tb, Recipient, f)); diff != "" {
		t.Error(diff)
	}
	var rulings []Ruling
	for _, s := range tb.Trace(Recipient, f) {
		rulings = append(rulings, s.Ruling)
	}
	if want := []Ruling{Would, Would, Skipped, Decides}; !slices.Equal(rulings, want) {
		t.Errorf("trace: %v, want %v", rulings, want)
	}
}

// TestTrace is what check --explain-client shows.
func TestTrace(t *testing.T) {
	tb := table(t,
		Rule{Name: "a", If: Conditions{TLS: new(true)}, Then: Accept},
		Rule{Name: "b", Not: Conditions{Client: prefixes("192.0.2.0/24")}, Then: Refuse},
		Rule{Name: "c", If: Conditions{SPF: []string{"fail"}}, Then: Refuse},
		Rule{Name: "d", If: Conditions{ClientName: []string{"none"}}, Then: Refuse},
		Rule{Name: "e", If: Conditions{From: []string{"example.org"}, RecipientsAbove: 0}, Not: Conditions{TLS: new(true)}, Then: Refuse},
		Rule{Name: "f", Then: Defer},
		Rule{Name: "g", At: Sender, Then: Defer},
	)
	f := with(func(f *Facts) { f.SPF = Failed[SPF]("timeout"); f.Name = Fact[Name]{} })
	want := []Step{
		{Rule: "a", Ruling: Fails, Action: Accept, Condition: "tls", Why: "the connection is not encrypted"},
		{Rule: "b", Ruling: Fails, Action: Refuse, Condition: "not.client", Why: "the client is 192.0.2.7"},
		{Rule: "c", Ruling: Faulty, Action: Refuse, Condition: "spf", Why: "SPF could not be found out: timeout"},
		{Rule: "d", Ruling: Open, Action: Refuse, Condition: "client_name", Why: "the name of 192.0.2.7: not known yet", Need: NeedName},
		{Rule: "e", Ruling: Decides, Action: Refuse, Why: "the sender is <ann@example.org>; the connection is not encrypted"},
		{Rule: "f", Ruling: Beyond, Action: Defer},
	}
	for i := range want {
		want[i].Stage, want[i].Place = Recipient, "rule "+want[i].Rule
	}
	if diff := cmp.Diff(want, tb.Trace(Recipient, f)); diff != "" {
		t.Error(diff)
	}
	f.Accepted = "g"
	for _, s := range tb.Trace(Recipient, f) {
		if s.Ruling != Beyond {
			t.Errorf("%s %s although accepted before", s.Rule, s.Ruling)
		}
	}
	if v := decide(t, tb, Recipient, f); v.Action != Accept || v.Rule != "g" || v.Place != "rule g" {
		t.Errorf("%+v", v)
	}
}

func TestZeroTableAndUnknownStage(t *testing.T) {
	for _, s := range []Stage{0, Connect, Content, 77} {
		if v, need := new(Table).Decide(s, stranger()); v.Action != Pass || need != 0 || !v.LetsIn() {
			t.Errorf("%v: %v %v", s, v.Action, need)
		}
		if s == 0 || s == 77 {
			if v := decide(t, table(t, Rule{Name: "r", Then: Refuse}), s, stranger()); v.Action != Pass {
				t.Errorf("a rule acts at %v", s)
			}
		}
	}
}

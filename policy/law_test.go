package policy

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// check draws tables and facts, and puts each pair to a law at the stage that the
// rules are for.
func check(t *testing.T, faults bool, law func(*rapid.T, Stage, []Rule, *Table, *Facts)) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		at := oneOf(t, "stage", Recipient, Content)
		rules := randomRules(t, at)
		tb := must(t, rules)
		for range 5 {
			law(t, at, rules, tb, randomFacts(t, faults))
		}
	})
}

func must(t *rapid.T, rules []Rule) *Table {
	tb, err := New(rules)
	if err != nil {
		t.Fatal(err)
	}
	return tb
}

func verdict(t *rapid.T, tb *Table, at Stage, f *Facts) Verdict {
	v, need := tb.Decide(at, f)
	if need != 0 {
		t.Fatalf("all is looked up, and yet %v is needed", need)
	}
	return v
}

// TestAskingInRoundsIsKnowingAtOnce: a verdict does not depend on how the facts
// came; one round of look-ups is enough; and deciding changes nothing.
func TestAskingInRoundsIsKnowingAtOnce(t *testing.T) {
	check(t, true, func(t *rapid.T, at Stage, _ []Rule, tb *Table, f *Facts) {
		before := *f
		want := verdict(t, tb, at, f)
		if again := verdict(t, tb, at, f); !reflect.DeepEqual(want, again) {
			t.Fatalf("first\n%+v\nthen\n%+v", want, again)
		}
		if !reflect.DeepEqual(before, *f) {
			t.Fatal("deciding changed the facts")
		}
		lazy := forget(f)
		v, need := tb.Decide(at, lazy)
		if need != 0 {
			fill(lazy, f, tb, need)
			if v, need = tb.Decide(at, lazy); need != 0 {
				t.Fatalf("a second round for %v", need)
			}
		}
		if !reflect.DeepEqual(v, want) {
			t.Fatalf("in rounds\n%+v\nat once\n%+v", v, want)
		}
	})
}

// forget returns the facts before anything was looked up.
func forget(f *Facts) *Facts {
	g := *f
	g.Name, g.HeloName, g.Lists, g.FromLists, g.Proven = Fact[Name]{}, Fact[bool]{}, Fact[[]Listing]{}, Fact[[]Listing]{}, Fact[bool]{}
	g.FromDomain, g.SPF, g.DKIM, g.DMARC = Fact[Reach]{}, Fact[SPF]{}, Fact[[]Signature]{}, Fact[DMARC]{}
	g.Grey.state, g.Rates, g.Opinions = unknown, nil, nil
	return &g
}

// fill copies what is needed, and nothing else.
func fill(to, from *Facts, tb *Table, need Need) {
	for n, do := range map[Need]func(){
		NeedName: func() { to.Name = from.Name }, NeedHeloName: func() { to.HeloName = from.HeloName },
		NeedLists: func() { to.Lists = from.Lists }, NeedFromLists: func() { to.FromLists = from.FromLists },
		NeedProven: func() { to.Proven = from.Proven }, NeedFromDomain: func() { to.FromDomain = from.FromDomain },
		NeedSPF: func() { to.SPF = from.SPF }, NeedGrey: func() { to.Grey = from.Grey },
		NeedDKIM: func() { to.DKIM = from.DKIM }, NeedDMARC: func() { to.DMARC = from.DMARC },
	} {
		if need&n != 0 {
			do()
		}
	}
	for _, c := range from.Rates {
		if slices.Contains(tb.Rates(need), c.Rate) {
			to.Rates = append(to.Rates, c)
		}
	}
	for _, o := range from.Opinions {
		if slices.Contains(tb.Filters(need), o.Filter) {
			to.Opinions = append(to.Opinions, o)
		}
	}
}

// same compares what the other side feels of two verdicts, and which filters count.
func same(a, b Verdict) bool {
	return a.Action == b.Action && a.Reply == b.Reply && a.Rule == b.Rule && a.Why == b.Why && a.Doubt == b.Doubt && slices.Equal(a.Filters, b.Filters)
}

// TestAnOverrideTakesOneRuleAway: with an override that fits, the table decides as
// if that rule did not stand in it.
func TestAnOverrideTakesOneRuleAway(t *testing.T) {
	check(t, true, func(t *rapid.T, at Stage, rules []Rule, tb *Table, f *Facts) {
		for i, r := range rules {
			g := *f
			g.Overrides = append(slices.Clone(f.Overrides), Override{ID: "o", Rule: r.Name, Client: allOf(f), Sender: f.From, Until: f.At.Add(1)})
			if fits, _ := g.Overrides[len(g.Overrides)-1].Match(&g); !fits {
				continue // nothing to know this client by
			}
			v := verdict(t, tb, at, &g)
			if v.Rule == r.Name {
				t.Fatalf("%s decides although it is skipped", r.Name)
			}
			if want := verdict(t, must(t, slices.Delete(slices.Clone(rules), i, i+1)), at, &g); !same(v, want) {
				t.Fatalf("without %s\n%+v\nskipped\n%+v", r.Name, want, v)
			}
			before := verdict(t, tb, at, f)
			if before.Filters = v.Filters; before.Rule != r.Name && before.Doubt != r.Name && !same(v, before) {
				t.Fatalf("%s did not decide, and yet skipping it makes\n%+v\nof\n%+v", r.Name, v, before)
			}
		}
	})
}

// TestLogOnlyTakesOneRuleAway: a rule that only tells changes nothing else.
func TestLogOnlyTakesOneRuleAway(t *testing.T) {
	check(t, true, func(t *rapid.T, at Stage, rules []Rule, _ *Table, f *Facts) {
		for i := range rules {
			dry := slices.Clone(rules)
			dry[i].LogOnly = true
			v := verdict(t, must(t, dry), at, f)
			if want := verdict(t, must(t, slices.Delete(slices.Clone(rules), i, i+1)), at, f); !same(v, want) {
				t.Fatalf("without %s\n%+v\ndry\n%+v", rules[i].Name, want, v)
			}
		}
	})
}

// TestAFilterCountsOnlyIfItsRuleHolds: but for the filter, which has nothing against
// the message, the rule would have refused.
func TestAFilterCountsOnlyIfItsRuleHolds(t *testing.T) {
	check(t, false, func(t *rapid.T, at Stage, rules []Rule, tb *Table, f *Facts) {
		v := verdict(t, tb, at, f)
		for _, name := range []string{"f", "g"} {
			g := *f
			g.Opinions = slices.Clone(f.Opinions)
			i := slices.IndexFunc(g.Opinions, func(o Opinion) bool { return o.Filter == name })
			against := g.Opinions[i].Action == Defer || g.Opinions[i].Action == Refuse
			g.Opinions[i] = Opinion{Filter: name, Action: Refuse}
			decided := verdict(t, tb, at, &g).Rule
			of := slices.IndexFunc(rules, func(r Rule) bool { return r.Name == decided })
			if want := !against && of >= 0 && rules[of].Filter == name; slices.Contains(v.Filters, name) != want {
				t.Fatalf("%s counts: %t; if it objects %q decides", name, !want, decided)
			}
		}
	})
}

// TestAFaultNeverRefuses: who is refused while look-ups fail would not have been
// let in, whatever they had brought.
func TestAFaultNeverRefuses(t *testing.T) {
	check(t, true, func(t *rapid.T, at Stage, _ []Rule, tb *Table, f *Facts) {
		if verdict(t, tb, at, f).Action != Refuse {
			return
		}
		for range 10 {
			var g Facts
			refill(t, false, &g)
			repair(f, &g)
			if v := verdict(t, tb, at, &g); v.LetsIn() {
				t.Fatalf("refused\n%+v\nand yet with %+v\nlet in\n%+v", verdict(t, tb, at, f), g, v)
			}
		}
	})
}

// repair makes g the facts f with every fault replaced by what g holds.
func repair(f, g *Facts) {
	h := *f
	keep(&h.Name, g.Name)
	keep(&h.HeloName, g.HeloName)
	keep(&h.Proven, g.Proven)
	keep(&h.FromDomain, g.FromDomain)
	keep(&h.Grey, g.Grey)
	keep(&h.Lists, g.Lists)
	keep(&h.FromLists, g.FromLists)
	h.Lists, h.FromLists = mended(h.Lists, g.Lists), mended(h.FromLists, g.FromLists)
	if keep(&h.SPF, g.SPF); h.SPF.value.Word == wordTempError {
		h.SPF = g.SPF
	}
	if keep(&h.DKIM, g.DKIM); best(h.DKIM.value).Word == wordTempError {
		h.DKIM = g.DKIM
	}
	if keep(&h.DMARC, g.DMARC); h.DMARC.value.Word == wordTempError {
		h.DMARC = g.DMARC
	}
	h.Rates, h.Opinions = slices.Clone(h.Rates), slices.Clone(h.Opinions)
	for i := range h.Rates {
		if h.Rates[i].Fault != "" {
			h.Rates[i] = g.Rates[i]
		}
	}
	for i := range h.Opinions {
		if h.Opinions[i].Fault != "" {
			h.Opinions[i] = g.Opinions[i]
		}
	}
	*g = h
}

func keep[T any](x *Fact[T], mend Fact[T]) {
	if x.state == failed {
		*x = mend
	}
}

// mended answers for the lists that were silent as the other facts do.
func mended(x, by Fact[[]Listing]) Fact[[]Listing] {
	var ls []Listing
	for _, l := range x.value {
		if l.Fault != "" {
			if i := slices.IndexFunc(by.value, func(o Listing) bool { return o.List == l.List }); i >= 0 {
				ls = append(ls, by.value[i])
			}
			continue
		}
		ls = append(ls, l)
	}
	return Known(ls)
}

// TestTraceIsDecide: what is explained is what happens.
func TestTraceIsDecide(t *testing.T) {
	check(t, true, func(t *rapid.T, at Stage, rules []Rule, tb *Table, f *Facts) {
		if rapid.Bool().Draw(t, "lazy") {
			f = forget(f)
		}
		v, need := tb.Decide(at, f)
		steps := tb.Trace(at, f)
		if len(steps) != len(rules) {
			t.Fatalf("%d steps for %d rules", len(steps), len(rules))
		}
		var open Need
		var decided string
		var would, skipped []string
		for i, s := range steps {
			switch {
			case s.Rule != rules[i].Name || s.Stage != at:
				t.Fatalf("step %d is about %s at %s", i, s.Rule, s.Stage)
			case decided != "" && s.Ruling != Beyond || decided == "" && s.Ruling == Beyond:
				t.Fatalf("%s %s, decided by %q", s.Rule, s.Ruling, decided)
			case s.Ruling != Beyond && s.Why == "":
				t.Fatalf("%s does not say why", s.Rule)
			}
			switch s.Ruling {
			case Open:
				open |= s.Need
			case Would:
				would = append(would, s.Rule)
			case Skipped:
				if !rules[i].LogOnly {
					skipped = append(skipped, s.Rule)
				}
			case Decides:
				decided = s.Rule
				if need == 0 && (s.Action != v.Action || s.Why != v.Why) {
					t.Fatalf("step %+v, verdict %+v", s, v)
				}
			}
		}
		if open != need {
			t.Fatalf("needs %v, trace waits for %v", need, open)
		}
		if need == 0 && (decided != v.Rule || !slices.Equal(would, said(v.Would)) || !slices.Equal(skipped, said(v.Skipped))) {
			t.Fatalf("trace %+v\nverdict %+v", steps, v)
		}
	})
}

func said(ss []Said) (rules []string) {
	for _, s := range ss {
		rules = append(rules, s.Rule)
	}
	return rules
}

// TestRepliesAreReplies: each fits its action and the wire, the rule's name first.
func TestRepliesAreReplies(t *testing.T) {
	check(t, true, func(t *rapid.T, at Stage, _ []Rule, tb *Table, f *Facts) {
		v := verdict(t, tb, at, f)
		checkReply(t, Said{Rule: v.Rule, Action: v.Action, Reply: v.Reply})
		for _, s := range slices.Concat(v.Would, v.Skipped) {
			checkReply(t, s)
		}
	})
}

func checkReply(t interface{ Fatalf(string, ...any) }, s Said) {
	r := s.Reply
	wire := string(r.AppendWire(nil))
	fits := map[Action]bool{
		Pass: r.IsZero() && s.Rule == "", Accept: r.IsZero(),
		Defer:  r.Temporary() && r.Status[0] == 4,
		Refuse: r.Permanent() && r.Status[0] == 5,
	}
	switch {
	case !fits[s.Action]:
		t.Fatalf("%s says %q to %s", s.Rule, wire, s.Action)
	case r.IsZero():
	case !strings.HasPrefix(r.Text, s.Rule+": ") || len(r.Text) == len(s.Rule)+2:
		t.Fatalf("%s says %q", s.Rule, r.Text)
	case len(wire) > 392 || strings.Count(wire, "\r\n") != 1 || strings.TrimFunc(strings.TrimSuffix(wire, "\r\n"), func(c rune) bool { return ' ' <= c && c <= '~' }) != "":
		t.Fatalf("%d octets on the wire: %q", len(wire), wire)
	}
}

// allOf is a network that holds the client, if it has an address.
func allOf(f *Facts) (n netip.Prefix) {
	if f.Client.IsValid() {
		n = netip.PrefixFrom(f.Client, f.Client.BitLen())
	}
	return n
}

package chain

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/system"
)

// minutes draws a length of time that often meets another exactly.
func minutes(least, most int) *rapid.Generator[time.Duration] {
	return rapid.Map(rapid.IntRange(least, most), func(n int) time.Duration { return time.Duration(n) * time.Minute })
}

var randomPaces = rapid.Custom(func(t *rapid.T) []custody.Pace {
	p := custody.Pace{Gap: minutes(10, 120).Draw(t, "gap")}
	if rapid.Bool().Draw(t, "grows") {
		p.Grow, p.Max = 2, 8*p.Gap
	}
	return []custody.Pace{p}
})

var randomRetries = rapid.Custom(func(t *rapid.T) system.Retry {
	gap := minutes(10, 90).Draw(t, "gap")
	switch rapid.IntRange(0, 6).Draw(t, "pace") {
	case 0:
		return system.Growing{Known: []time.Duration{gap / 2, gap}, Max: 4 * gap}
	case 1:
		return system.Clamped{Min: gap, Max: 4 * gap}
	case 2:
		return system.Ladder{{Every: gap / 2, Times: 3}, {Every: gap, Until: 5 * time.Hour}, {}, {Every: 2 * gap}}
	case 3:
		return system.List{Gaps: []time.Duration{gap / 3, gap / 2, gap, 2 * gap, 3 * gap, 6 * time.Hour}}
	case 4:
		return system.Exim{Rules: []system.EximRule{{Until: 2 * time.Hour, Gap: gap}, {Until: 16 * time.Hour, Gap: gap, Factor: 1.5}, {Until: 4 * day, Gap: 6 * time.Hour}}}
	case 5:
		return nil
	}
	return system.Quadratic{Unit: gap / 2, Shifts: gap%2 == 0}
})

var randomPolicies = rapid.Custom(func(t *rapid.T) *system.Policy {
	p := system.Policy{
		Lifetime: minutes(60, 60*60).Draw(t, "lifetime"),
		Expiry:   system.Expiry(rapid.IntRange(0, int(system.LastAttempt)).Draw(t, "expiry")),
		Retry:    randomRetries.Draw(t, "retry"),
	}
	if p.Expiry == system.ByCount || rapid.IntRange(0, 3).Draw(t, "limited") == 0 {
		p.Limit = rapid.IntRange(1, 20).Draw(t, "limit")
		p.Conversations = p.Expiry != system.ByCount && rapid.Bool().Draw(t, "conversations")
	}
	switch rapid.IntRange(0, 7).Draw(t, "more") {
	case 0:
		p.Clock = system.FromFailure
	case 1:
		p.Scan = minutes(1, 40).Draw(t, "scan")
	case 2:
		p.Late = minutes(1, 40).Draw(t, "late")
	case 3:
		p.Deferred = randomRetries.Draw(t, "deferred")
	case 4:
		p.Silent, p.Sharp = rapid.Bool().Draw(t, "silent"), true
	case 5:
		p.Notices = minutes(60, 60*24).Draw(t, "notices")
	}
	p.Warn = system.Warnings{On: rapid.Bool().Draw(t, "warns"), NeedsReply: rapid.Bool().Draw(t, "needs a reply")}
	switch rapid.IntRange(0, 3).Draw(t, "when") {
	case 0:
		p.Warn.Try = rapid.IntRange(1, 5).Draw(t, "at try")
	case 1:
		p.Warn.Every = minutes(60, 600).Draw(t, "every")
	default:
		p.Warn.At = []time.Duration{minutes(10, 600).Draw(t, "at")}
	}
	return &p
})

var randomSchedules = rapid.Custom(func(t *rapid.T) *custody.Schedule {
	s := custody.Schedule{
		Retry: randomPaces.Draw(t, "retry"), Expire: minutes(60, 60*60).Draw(t, "expire"),
		Jitter:  rapid.SampledFrom([]float64{0, 0.05, 0.5}).Draw(t, "jitter"),
		Cleared: rapid.Bool().Draw(t, "cleared"),
	}
	if rapid.IntRange(0, 2).Draw(t, "apart") == 0 {
		s.Deferred, s.Greylisted = randomPaces.Draw(t, "deferred"), randomPaces.Draw(t, "greylisted")
	}
	if w := minutes(10, 600).Draw(t, "warn"); w < s.Expire {
		s.Warn = []time.Duration{w}
	}
	return &s
})

func randomHop(t *rapid.T, name string) Hop {
	h := Hop{Name: name}
	if rapid.IntRange(0, 2).Draw(t, "whose") == 0 {
		h.Schedule = randomSchedules.Draw(t, "schedule")
	} else {
		h.Policy = randomPolicies.Draw(t, "policy")
	}
	switch rapid.IntRange(0, 5).Draw(t, "else") {
	case 0:
		h.Delay = minutes(1, 90).Draw(t, "delay")
	case 1:
		h.Addresses = rapid.IntRange(2, 4).Draw(t, "addresses")
	case 2:
		h.Busy = true
	}
	return h
}

var randomResults = rapid.Custom(func(t *rapid.T) Result {
	r := Result{What: What(rapid.IntRange(0, int(resultCount)-1).Draw(t, "what"))}
	switch r.What {
	case Timeout:
		r.Took = minutes(1, 20).Draw(t, "took")
	case Says:
		r.Stage = rapid.SampledFrom([]mail.Stage{mail.Greeting, mail.Hello, mail.Mail, mail.Rcpt, mail.Dot}).Draw(t, "stage")
		r.Reply = mail.Reply{Code: rapid.SampledFrom([]int{421, 450, 451, 451, 550}).Draw(t, "code"), Text: "so it is"}
		if r.Reply.Temporary() && rapid.IntRange(0, 3).Draw(t, "hinted") == 0 {
			r.Hint = minutes(1, 300).Draw(t, "hint")
		}
	case Greylists:
		r.Delay = minutes(1, 60).Draw(t, "wait")
		if rapid.Bool().Draw(t, "forgets") {
			r.Life = r.Delay + minutes(1, 600).Draw(t, "life")
		}
		r.Network = rapid.Bool().Draw(t, "network")
	case TooBig:
		r.Limit = int64(rapid.IntRange(500, 1500).Draw(t, "limit"))
	}
	return r
})

var randomScenarios = rapid.Custom(func(t *rapid.T) Scenario {
	s := Scenario{Start: noon}
	n := rapid.IntRange(2, 4).Draw(t, "hops")
	for i := range n - 1 {
		s.Hops = append(s.Hops, randomHop(t, "hop"+strconv.Itoa(i)))
	}
	s.Hops = append(s.Hops, Hop{Name: "destination"})
	if rapid.IntRange(0, 2).Draw(t, "backup") == 0 {
		h := randomHop(t, "backup")
		h.Backup, h.Preference = "destination", 20
		s.Hops = append(s.Hops, h)
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "outages") {
		to := rapid.IntRange(0, len(s.Hops)-1).Draw(t, "to")
		o := Outage{To: s.Hops[to].Name, Result: randomResults.Draw(t, "result"), Line: i + 1}
		switch rapid.IntRange(0, 5).Draw(t, "when") {
		case 0: // for ever
		case 1:
			o.When.Calendar = Calendar{Every: Daily, Begins: Wall{Clock: minutes(0, 24*60).Draw(t, "from")}, Ends: Wall{Clock: minutes(0, 24*60).Draw(t, "until")}}
			if o.When.Calendar.Begins.Clock == o.When.Calendar.Ends.Clock {
				o.When.Calendar = Calendar{}
			}
		case 2:
			o.When.Start = -minutes(1, 60*90).Draw(t, "before")
			o.When.End = minutes(1, 60*60).Draw(t, "end")
		default:
			o.When.Start = minutes(0, 60*20).Draw(t, "start")
			o.When.End = o.When.Start + minutes(1, 60*60).Draw(t, "long")
		}
		s.Outages = append(s.Outages, o)
	}
	s.Message.Size = 1000
	switch rapid.IntRange(0, 9).Draw(t, "asks") {
	case 0:
		s.Message.Notify = rapid.SampledFrom([]mail.Notify{mail.NotifyNever, mail.NotifyDelay, mail.NotifyFailure, mail.NotifySuccess | mail.NotifyFailure}).Draw(t, "notify")
	case 1:
		s.Message.Null = true
	case 2:
		s.Message.Release = minutes(1, 600).Draw(t, "release")
	case 3:
		s.Message.By = mail.DeliverBy{Within: minutes(1, 60*40).Draw(t, "within"), Return: rapid.Bool().Draw(t, "return")}
		s.Message.By.Notify = !s.Message.By.Return
	case 4:
		s.Back.Direct = true
	}
	return s
})

// often runs a property so many times.
func often(t *testing.T, n int, law func(*rapid.T)) {
	if testing.Short() {
		n /= 20
	}
	checks := flag.Lookup("rapid.checks")
	was := checks.Value.String()
	if err := checks.Value.Set(strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = checks.Value.Set(was) }()
	rapid.Check(t, law)
}

func dump(s Scenario) string {
	out := ""
	for _, h := range s.Hops {
		out += fmt.Sprintf("%s policy %+v schedule %+v delay %v addr %d busy %v\n", h.Name, h.Policy, h.Schedule, h.Delay, h.Addresses, h.Busy)
	}
	for _, o := range s.Outages {
		out += fmt.Sprintf("%s: %s %+v %+v\n", o.To, o.When, o.Result, o.Result.What)
	}
	return out + fmt.Sprintf("%+v %+v", s.Message, s.Back)
}

func TestCustodyIsWholeInEveryChain(t *testing.T) {
	often(t, scenarios, func(t *rapid.T) {
		s := randomScenarios.Draw(t, "scenario")
		story, err := Run(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := lawful(s, story); err != nil {
			t.Fatalf("%v in\n%s", err, dump(s))
		}
	})
}

// lawful checks a story against the law of custody: one owner at any time, one end,
// a clock that starts with a 250 only, and times in order.
func lawful(s Scenario, story Story) error {
	owner, ended := "", false
	var before time.Duration
	handed := map[string]time.Duration{}
	for i, e := range story.Events {
		switch {
		case e.At < before:
			return fmt.Errorf("event %d at %v comes after one at %v", i, e.At, before)
		case e.Earliest > e.At || e.Latest < e.At && e.Latest != Unknown:
			return fmt.Errorf("event %d %s %s at %v is not between %v and %v", i, e.Hop, e.Kind, e.At, e.Earliest, e.Latest)
		case e.Letter == 0 && e.Kind != Told && ended:
			return fmt.Errorf("event %d %s %s at %v comes after the end", i, e.Hop, e.Kind, e.At)
		}
		before = e.At
		if e.Letter > 0 || e.Kind == Told {
			continue
		}
		switch e.Kind {
		case Accepts:
			if at, ok := handed[e.Hop]; i > 0 && (!ok || at != e.At || e.Peer != owner) {
				return fmt.Errorf("%s owns the message at %v without a 250", e.Hop, e.At)
			}
			owner = e.Hop
		case Attempts:
			if e.Hop != owner {
				return fmt.Errorf("%s tries at %v while %s owns the message", e.Hop, e.At, owner)
			}
			if e.Outcome == "accepted" {
				handed[e.Peer] = e.At
			}
		case Warns, GivesUp, Bounces, Delivered:
			if e.Hop != owner {
				return fmt.Errorf("%s %s at %v while %s owns the message", e.Hop, e.Kind, e.At, owner)
			}
			ended = e.Kind != Warns
		}
	}
	if !ended {
		return fmt.Errorf("it never ends")
	}
	var at time.Duration
	for _, t := range story.Tenures {
		if t.From != at || t.Until < t.From {
			return fmt.Errorf("at %v nobody owns the message, or two do: %v", at, story.Tenures)
		}
		at = t.Until
	}
	if at != story.Summary.Ended.At {
		return fmt.Errorf("custody ends at %v, the message at %v", at, story.Summary.Ended.At)
	}
	for _, h := range s.Hops {
		n := 0
		for _, t := range story.Tenures {
			if t.Hop == h.Name {
				n++
			}
		}
		if n > 1 {
			return fmt.Errorf("%s owns the message twice", h.Name)
		}
	}
	if told := slices.ContainsFunc(story.Letters, func(l Letter) bool { return l.Kind == custody.Failed && l.Arrived != nil }); told != (story.Summary.Outcome == WasBounced) {
		return fmt.Errorf("outcome %s, but the sender was told of a failure: %v", story.Summary.Outcome, told)
	}
	return nil
}

// Whatever a seed draws must lie within what Run has promised for all worlds.
func TestEveryPossibleWorldLiesWithinTheSpans(t *testing.T) {
	often(t, scenarios/4, func(t *rapid.T) {
		s := randomScenarios.Draw(t, "scenario")
		c, err := s.ready()
		if err != nil {
			t.Fatal(err)
		}
		all := &walk{c: c, mode: ranged, counted: 1002}
		if err := all.run(); err != nil {
			t.Skip(err) // allowed, if it is rare
		}
		for seed := range uint64(4) {
			w := &walk{c: c, mode: sampled, seed: seed, minutes: true}
			if err := w.run(); err != nil {
				t.Fatal(err)
			}
			for _, f := range w.facts {
				span, ok := all.hulls[f.key()]
				switch at := f.at.Least; {
				case !ok && f.n < all.counted/2:
					t.Fatalf("seed %d: %s of %s, number %d (letter %v) at %v is in no world in\n%s", seed, f.kind, c.hops[f.hop].Name, f.n, f.letter, at, dump(s))
				case ok && (at < span.Least-time.Microsecond || at > span.Most+time.Microsecond):
					t.Fatalf("seed %d: %s of %s, number %d (letter %v) at %v is not between %v and %v in\n%s", seed, f.kind, c.hops[f.hop].Name, f.n, f.letter, at, span.Least, span.Most, dump(s))
				}
			}
		}
	})
}

package chain

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/system"
)

// outcome is how the message ends if it ends by a fact.
func (w *walk) outcome(end fact) Outcome {
	if end.kind == Delivered {
		return WasDelivered
	}
	for _, l := range w.letters {
		if l.key.kind == custody.Failed && l.end.kind == Told {
			return WasBounced
		}
	}
	return WasLost
}

func (c *course) summary(w, all *walk, s *Story) Summary {
	end := w.ends[len(w.ends)-1]
	sum := Summary{
		Outcome: w.outcome(end), By: c.hops[end.hop].Name, Ended: all.time(end),
		Held: map[string]time.Duration{}, Attempts: map[string]int{}, Survives: map[string]Survival{},
	}
	for _, t := range s.Tenures {
		sum.Held[t.Hop] += t.Until - t.From
		if t.Attempts > 0 {
			sum.Attempts[t.Hop] += t.Attempts
		}
	}
	var news []time.Duration
	arrived := slices.DeleteFunc(slices.Clone(s.Letters), func(l Letter) bool { return l.Arrived == nil })
	slices.SortStableFunc(arrived, func(a, b Letter) int { return cmp.Compare(a.Arrived.At, b.Arrived.At) })
	for i, l := range arrived {
		if i == 0 {
			sum.FirstTold = l.Arrived
		}
		sum.LastTold = l.Arrived
		news = append(news, l.Arrived.At)
		reads := letterWord(l.Kind) + " from " + c.title(l.Hop)
		if l.Words != "" {
			reads += ": " + l.Words
		}
		sum.Reads = append(sum.Reads, reads)
	}
	if sum.Outcome == WasDelivered {
		news = append(news, end.at.Least)
	}
	slices.Sort(news)
	sum.SilentFrom, sum.SilentUntil = longestSilence(news, sum.Outcome)
	sum.Clock = c.clock(s, end)
	for _, h := range c.hops[:len(c.s.Hops)] {
		if h.keep == nil || len(c.out.next[h.i]) == 0 {
			continue
		}
		v := h.survives()
		sum.Survives[h.Name] = v
		sum.Longest += h.Delay + v.GivesUp
	}
	sum.Possible = c.possible(all, sum.Outcome, sum.By)
	return sum
}

func (c *course) title(name string) string {
	for _, h := range c.hops {
		if h.Name == name {
			return h.title()
		}
	}
	return name
}

// longestSilence returns the longest time without news. If the message is lost, it lasts
// for ever.
func longestSilence(news []time.Duration, o Outcome) (from, until time.Duration) {
	var last time.Duration
	for _, at := range news {
		if at-last > until-from {
			from, until = last, at
		}
		last = at
	}
	if o == WasLost {
		return last, Unknown
	}
	return from, until
}

// clock says what decided when the message ended.
func (c *course) clock(s *Story, end fact) string {
	h := c.hops[end.hop]
	switch end.kind {
	case GivesUp:
		if end.by {
			return h.title() + ": the sender asked for delivery within " + custody.FormatAge(c.s.Message.By.Within) + " (DELIVERBY)"
		}
		return h.title() + ": " + h.rule(end.expiry)
	case Bounces:
		who := c.title(end.outcome.Host)
		if !end.outcome.Theirs {
			who = "no host"
		}
		return "no clock: " + h.title() + " ended it at once, by a refusal for good; it was spoken by " + who
	}
	if n := len(s.Tenures); n > 1 {
		last := s.Tenures[n-2]
		return "no clock ran out: " + c.title(last.Hop) + " handed it on after " + when(last.Until-last.From)
	}
	return "no clock ran out"
}

// survives walks the hop's law alone, with attempts that all fail.
func (h *hop) survives() Survival {
	var v Survival
	switch k := h.keep.(type) {
	case *foreign:
		dead, deferred := k.p.Run(system.Unreachable, system.Reckoned), k.p.Run(system.Deferred, system.Reckoned)
		v.Unreachable, v.Deferred = dead.Attempts[len(dead.Attempts)-1], deferred.Attempts[len(deferred.Attempts)-1]
		v.GivesUp = dead.End.At.Pick(system.Reckoned)
	case *ours:
		e := k.even.Expire // the last try falls on the deadline
		v = Survival{e, e, e}
	}
	return v
}

// possible returns the ends that other worlds have.
func (c *course) possible(all *walk, outcome Outcome, by string) []Possible {
	if all == nil {
		return nil
	}
	var ends []Possible
	for k, s := range all.hulls {
		if k.letter != (letterKey{}) || k.kind != Delivered && k.kind != GivesUp && k.kind != Bounces {
			continue
		}
		for _, o := range all.outcomes(k) {
			p := Possible{o, c.hops[k.hop].Name, s.Least, s.Most}
			if s.Most >= never/2 {
				p.Latest = Unknown
			}
			if p.Outcome != outcome || p.By != by {
				ends = append(ends, p)
			}
		}
	}
	slices.SortFunc(ends, func(a, b Possible) int {
		return cmp.Or(cmp.Compare(a.Earliest, b.Earliest), cmp.Compare(a.By, b.By), cmp.Compare(a.Outcome, b.Outcome))
	})
	return slices.Compact(ends)
}

// outcomes returns what an end may mean to the sender.
func (w *walk) outcomes(end factKey) []Outcome {
	if end.kind == Delivered {
		return []Outcome{WasDelivered}
	}
	letter := letterKey{end.hop + 1, custody.Failed, 1}
	var found []Outcome
	for k := range maps.Keys(w.hulls) {
		switch {
		case k.letter != letter:
		case k.kind == Told:
			found = append(found, WasBounced)
		case k.kind == GivesUp || k.kind == Bounces:
			found = append(found, WasLost)
		}
	}
	if _, ok := w.posted[letter]; !ok {
		found = append(found, WasLost)
	}
	return found
}

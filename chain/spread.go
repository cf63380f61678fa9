package chain

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// MaxRuns bounds how many worlds a [Spread] may be made of.
const MaxRuns = 1_000_000

// Spread is what a scenario comes to in many possible worlds.
type Spread struct {
	Runs int
	Ends []Share // the likeliest first
	// Over those worlds in which it comes to it.
	Delivered, FirstTold, LastTold, Ended Percentiles[time.Duration]
	// Attempts are all that were made for the message, by all owners.
	Attempts Percentiles[int]
}

// Share is how many worlds end so.
type Share struct {
	Outcome Outcome
	By      string
	Runs    int
}

// Percentiles are values in their order: P5 is one that 5 in 100 do not exceed.
// N is how many there are; if there are none, the rest is zero.
type Percentiles[T cmp.Ordered] struct {
	N                                   int
	Least, P5, P25, P50, P75, P95, Most T
}

func percentiles[T cmp.Ordered](all []T) Percentiles[T] {
	n := len(all)
	if n == 0 {
		return Percentiles[T]{}
	}
	slices.Sort(all)
	at := func(percent int) T { return all[max((n*percent+99)/100-1, 0)] }
	return Percentiles[T]{n, all[0], at(5), at(25), at(50), at(75), at(95), all[n-1]}
}

// Distribution draws many worlds as [Sample] does, and says how they differ. The
// same seed gives the same worlds.
func Distribution(s Scenario, seed uint64, runs int) (Spread, error) {
	if runs < 1 || runs > MaxRuns {
		return Spread{}, fmt.Errorf("chain: draw worlds: %d are not between 1 and %d", runs, MaxRuns)
	}
	c, err := s.ready()
	if err != nil {
		return Spread{}, err
	}
	var delivered, first, last, ended []time.Duration
	var attempts []int
	ends := map[Share]int{}
	for i := range runs {
		w := &walk{c: c, mode: sampled, seed: mix(seed + uint64(i))}
		if err := w.run(); err != nil {
			return Spread{}, fmt.Errorf("chain: draw worlds: %w", err)
		}
		end := w.ends[len(w.ends)-1]
		o := w.outcome(end)
		ends[Share{Outcome: o, By: c.hops[end.hop].Name}]++
		ended = append(ended, end.at.Least)
		if o == WasDelivered {
			delivered = append(delivered, end.at.Least)
		}
		if from, to, ok := w.told(); ok {
			first, last = append(first, from), append(last, to)
		}
		n := 0
		for _, t := range w.held {
			n += t.attempts
		}
		attempts = append(attempts, n)
	}
	out := Spread{
		Runs: runs, Attempts: percentiles(attempts),
		Delivered: percentiles(delivered), FirstTold: percentiles(first), LastTold: percentiles(last), Ended: percentiles(ended),
	}
	for s, n := range ends {
		s.Runs = n
		out.Ends = append(out.Ends, s)
	}
	slices.SortFunc(out.Ends, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.Runs, a.Runs), cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.By, b.By))
	})
	return out, nil
}

// told returns when the first and the last letter reached the sender.
func (w *walk) told() (first, last time.Duration, ok bool) {
	for _, l := range w.letters {
		if l.end.kind != Told {
			continue
		}
		at := l.end.at.Least
		if !ok {
			first, last, ok = at, at, true
		}
		first, last = min(first, at), max(last, at)
	}
	return first, last, ok
}

// MarshalJSON writes the spread, times in seconds under names that end in _s.
func (s Spread) MarshalJSON() ([]byte, error) {
	type share struct {
		Outcome Outcome `json:"outcome"`
		By      string  `json:"by"`
		Runs    int     `json:"runs"`
	}
	ends := make([]share, len(s.Ends))
	for i, e := range s.Ends {
		ends[i] = share(e)
	}
	return json.Marshal(struct {
		Runs      int            `json:"runs"`
		Ends      []share        `json:"ends"`
		Delivered map[string]any `json:"delivered_s,omitempty"`
		FirstTold map[string]any `json:"first_told_s,omitempty"`
		LastTold  map[string]any `json:"last_told_s,omitempty"`
		Ended     map[string]any `json:"ended_s"`
		Attempts  map[string]any `json:"attempts"`
	}{s.Runs, ends, s.Delivered.json(), s.FirstTold.json(), s.LastTold.json(), s.Ended.json(), s.Attempts.json()})
}

func (p Percentiles[T]) json() map[string]any {
	if p.N == 0 {
		return nil
	}
	m := map[string]any{"n": p.N}
	for name, v := range map[string]T{"least": p.Least, "p5": p.P5, "p25": p.P25, "p50": p.P50, "p75": p.P75, "p95": p.P95, "most": p.Most} {
		m[name] = any(v)
		if d, ok := any(v).(time.Duration); ok {
			m[name] = seconds(d)
		}
	}
	return m
}

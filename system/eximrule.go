package system

import (
	"strconv"
	"strings"
	"time"
)

// Exim is a list of Exim's retry rules. Ages count from the first failure of
// the destination.
type Exim struct {
	Rules  []EximRule
	Max    time.Duration // retry_interval_max; 0: no bound
	Runner time.Duration // the queue runner's interval; 0: it runs all the time
}

// EximRule is one rule of the list. It paces the attempts until the cutoff; the
// last one goes on after it.
type EximRule struct {
	Until  time.Duration
	Gap    time.Duration
	Factor float64 // G: the gap before is multiplied by it, and Gap the least; 0: F, always Gap
}

// Next returns the age one gap on, at the next run of the queue.
//
// How a G rule grows depends on the gap before, which is taken from the attempts
// as the rules alone would have made them. With a runner it is reckoned that the
// gap as it was is what grows; Exim takes the planned one where that is shorter
// (retry.c, retry_update), which is Least.
func (e Exim) Next(_ int, began time.Duration) (Span, bool) {
	r, ok := e.rule(began)
	if !ok {
		return Span{}, false
	}
	if r.Factor == 0 {
		return exactly(e.run(began + e.most(r.Gap))), true
	}
	planned, was := e.before(began)
	s := exactly(e.run(began + e.grown(r, was)))
	s.Least = e.run(began + e.grown(r, min(planned, was)))
	return s, true
}

// rule returns the rule in force at that age.
func (e Exim) rule(at time.Duration) (EximRule, bool) {
	for i, r := range e.Rules {
		if at <= r.Until || i == len(e.Rules)-1 {
			return r, r.Gap > 0
		}
	}
	return EximRule{}, false
}

// before returns the gap, as it was planned and as it was, that led to the last
// attempt up to that age.
func (e Exim) before(until time.Duration) (planned, was time.Duration) {
	var at time.Duration
	for {
		r, _ := e.rule(at)
		gap := e.most(r.Gap)
		if r.Factor > 0 {
			gap = e.grown(r, was)
		}
		next := e.run(at + gap)
		if next > until {
			return planned, was
		}
		planned, was, at = gap, next-at, next
	}
}

// grown returns the gap after one of that length, in whole seconds as Exim
// counts them.
func (e Exim) grown(r EximRule, last time.Duration) time.Duration {
	if last < r.Gap {
		return e.most(r.Gap)
	}
	return e.most(time.Duration(float64(last) * r.Factor).Truncate(time.Second))
}

func (e Exim) most(gap time.Duration) time.Duration {
	if e.Max > 0 {
		return min(gap, e.Max)
	}
	return gap
}

// run returns the first run of the queue at or after that age.
func (e Exim) run(at time.Duration) time.Duration { return up(at, e.Runner) }

// up rounds an age up to the next multiple of a step; step 0: as it is.
func up(at, step time.Duration) time.Duration {
	if step <= 0 {
		return at
	}
	return (at + step - 1) / step * step
}

// String returns the rules: "every 15m until 2h, 1h growing 1.5 times until
// 16h, every 6h until 4d".
func (e Exim) String() string {
	parts := make([]string, len(e.Rules))
	for i, r := range e.Rules {
		parts[i] = every(r.Gap)
		if r.Factor > 0 {
			parts[i] = age(r.Gap) + " growing " + strconv.FormatFloat(r.Factor, 'g', 4, 64) + " times"
		}
		parts[i] += " until " + age(r.Until)
	}
	return strings.Join(parts, ", ")
}

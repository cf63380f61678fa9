package system

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fixed tries again after the same gap for ever.
type Fixed struct{ Every time.Duration }

// Next returns the age one gap on.
func (f Fixed) Next(_ int, began time.Duration) (Span, bool) {
	return exactly(began + f.Every), f.Every > 0
}

// String returns "every 15m".
func (f Fixed) String() string { return every(f.Every) }

// List tries again after each gap in turn.
type List struct {
	Gaps []time.Duration
	Then time.Duration // repeated after the last of Gaps; 0: no further attempt
}

// Next returns the age one gap on, ok false after the last gap of a list that
// ends.
func (l List) Next(n int, began time.Duration) (Span, bool) {
	if n >= 1 && n <= len(l.Gaps) {
		return exactly(began + l.Gaps[n-1]), true
	}
	return exactly(began + l.Then), l.Then > 0
}

// String returns the gaps, equal ones folded: "1m, 5m 6 times, then every 1h".
func (l List) String() string {
	var parts []string
	for i := 0; i < len(l.Gaps); {
		n := 1
		for i+n < len(l.Gaps) && l.Gaps[i+n] == l.Gaps[i] {
			n++
		}
		parts = append(parts, times(l.Gaps[i], n))
		i += n
	}
	if l.Then > 0 {
		parts = append(parts, "then "+every(l.Then))
	}
	return strings.Join(parts, ", ")
}

// times writes a gap that comes so often: "5m 6 times".
func times(gap time.Duration, n int) string {
	if n == 1 {
		return age(gap)
	}
	return age(gap) + " " + strconv.Itoa(n) + " times"
}

// Ladder climbs from one gap to the next, by count or by age. It ends with a
// rung that has a limit, and goes on for ever on one that has none.
type Ladder []Rung

// Rung is one step of a ladder. Times and Until zero: the last, without end.
type Rung struct {
	Every time.Duration // 0: not known, between the gaps of the rungs beside it
	Times int           // so many attempts are paced by it
	Until time.Duration // or: attempts that begin before this age are
}

// Next returns the age one gap of the rung on that attempt n stands on.
func (l Ladder) Next(n int, began time.Duration) (Span, bool) {
	for i, r := range l {
		switch {
		case r.Times > 0 && n > r.Times:
			n -= r.Times
		case r.Until > 0 && began >= r.Until:
		case r.Every == 0:
			return l.between(i, began), true
		default:
			return exactly(began + r.Every), true
		}
	}
	return Span{}, false
}

// between is the next attempt on a rung of unknown gaps. These are reckoned as
// doubling from the gap of the rung before up to that of the rung after; with
// nothing before, as one gap to the rung's end.
func (l Ladder) between(i int, began time.Duration) Span {
	var low, high, start time.Duration
	if i > 0 {
		low, start = l[i-1].Every, l[i-1].Until
	}
	if i+1 < len(l) {
		high = l[i+1].Every
	}
	s := Span{began + max(low, soonest), began + high, began + high}
	if high == 0 {
		s.Most, s.Model = Open, s.Least
	}
	if low == 0 {
		s.Model = max(s.Least, l[i].Until)
		s.Most = max(s.Most, s.Model)
		return s
	}
	gap := 2 * low
	for at := start; gap < high && at+gap <= began; gap *= 2 {
		at += gap
	}
	s.Model = began + min(gap, max(high, low))
	return s
}

// String returns the rungs: "1m 4 times, 5m 6 times, then every 10m".
func (l Ladder) String() string {
	var parts []string
	for _, r := range l {
		gap := age(r.Every)
		if r.Every == 0 {
			gap = "gaps not known"
		}
		switch {
		case r.Times > 0:
			parts = append(parts, times(r.Every, r.Times))
		case r.Until > 0:
			parts = append(parts, gap+" until "+age(r.Until))
		case len(l) > 1:
			parts = append(parts, "then every "+gap)
		default:
			parts = append(parts, "every "+gap)
		}
	}
	return strings.Join(parts, ", ")
}

// soonest is the least that is reckoned with where nobody knows how soon.
const soonest = time.Minute

// Observed is what a log of attempts showed: their ages, and no rule.
type Observed []time.Duration

// First returns the age of the first attempt.
func (o Observed) First() Span {
	if len(o) == 0 {
		return Span{}
	}
	return exactly(o[0])
}

// Next returns the age one seen gap on. Beyond the log nobody knows; the last
// gap is reckoned to repeat.
func (o Observed) Next(n int, began time.Duration) (Span, bool) {
	switch {
	case n < 1 || len(o) < 2:
		return Span{}, false
	case n < len(o):
		return exactly(began + o[n] - o[n-1]), true
	}
	gap := o[len(o)-1] - o[len(o)-2]
	return Span{began + min(gap, soonest), Open, began + gap}, true
}

// String returns the ages.
func (o Observed) String() string {
	ages := slices.Collect(func(yield func(string) bool) {
		for _, a := range o {
			if !yield(age(a)) {
				return
			}
		}
	})
	return "seen at " + strings.Join(ages, ", ")
}

// QueueRun tries all that waits at every run of the queue.
type QueueRun struct{ Every time.Duration }

// Next returns the next run. The first one after acceptance comes whenever its
// time is, at most one interval later, which is what is reckoned with.
func (q QueueRun) Next(n int, began time.Duration) (Span, bool) {
	s := exactly(began + q.Every)
	if n == 1 {
		s.Least = began
	}
	return s, q.Every > 0
}

// String returns "at every queue run, every 30m".
func (q QueueRun) String() string { return "at every queue run, " + every(q.Every) }

// Jittered varies another pace by chance.
type Jittered struct {
	Retry
	Early, Late time.Duration // at most so much before and after the pace's own time
}

// Next returns the other pace's span, widened. The pace's own time is reckoned
// with.
func (j Jittered) Next(n int, began time.Duration) (Span, bool) {
	s, ok := j.Retry.Next(n, began)
	s.Least, s.Most = max(s.Least-j.Early, began), s.Most+j.Late
	return s, ok
}

// String returns "every 10m, ±30s".
func (j Jittered) String() string {
	switch {
	case j.Early == 0:
		return j.Retry.String() + ", up to " + age(j.Late) + " later"
	case j.Early == j.Late:
		return j.Retry.String() + ", ±" + age(j.Late)
	}
	return j.Retry.String() + ", -" + age(j.Early) + " to +" + age(j.Late)
}

package system

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Geometric makes each gap so many times the one before.
type Geometric struct {
	First  time.Duration
	Factor float64
	Max    time.Duration // no gap is longer; 0: no bound
}

// Next returns the age one gap on.
func (g Geometric) Next(n int, began time.Duration) (Span, bool) {
	return exactly(began + g.gap(n)), g.First > 0 && n >= 1
}

// gap returns gap number n, counted from 1. None is longer than Open.
func (g Geometric) gap(n int) time.Duration {
	most := time.Duration(Open)
	if g.Max > 0 {
		most = g.Max
	}
	f := float64(g.First) * math.Pow(g.Factor, float64(n-1))
	if !(f < float64(most)) {
		return most
	}
	return time.Duration(f)
}

// String returns "20m, each 2 times the last, at most 1h".
func (g Geometric) String() string {
	s := age(g.First) + ", each " + strconv.FormatFloat(g.Factor, 'g', 4, 64) + " times the last"
	if g.Max > 0 {
		s += ", at most " + age(g.Max)
	}
	return s
}

// Growing has gaps that grow in a way that is not published.
type Growing struct {
	Known []time.Duration // the first gaps
	Max   time.Duration   // no gap is longer; 0: not known
}

// Next returns the age one gap on. A gap that is not known lies between the
// last known one and Max; it is reckoned as doubling from one to the other.
func (g Growing) Next(n int, began time.Duration) (Span, bool) {
	if n < 1 || len(g.Known) == 0 {
		return Span{}, false
	}
	if n <= len(g.Known) {
		return exactly(began + g.Known[n-1]), true
	}
	last := g.Known[len(g.Known)-1]
	double := Geometric{First: last, Factor: 2, Max: g.Max}.gap(n - len(g.Known) + 1)
	s := Span{began + last, Open, min(began+double, Open)}
	if g.Max > 0 {
		s.Most = began + g.Max
	}
	return s, true
}

// String returns "1m, then growing to 1h".
func (g Growing) String() string {
	s := List{Gaps: g.Known}.String() + ", then growing"
	if g.Max > 0 {
		s += " to " + age(g.Max)
	}
	return s
}

// Quadratic tries at Unit times 1, 4, 9, 16 … after acceptance.
type Quadratic struct {
	Unit time.Duration
	// Shifts: a late attempt moves the later ones off the curve, as qmail adds
	// to the square root of the age. Else they fall back onto it (OpenSMTPD).
	Shifts bool
}

// Next returns the next point of the curve after the attempt.
func (q Quadratic) Next(_ int, began time.Duration) (Span, bool) {
	if q.Unit < time.Second || began < 0 || began > Open {
		return Span{}, false
	}
	if q.Shifts {
		// notqmail qmail-send.c, squareroot and nextretry: whole seconds.
		step := math.Round(math.Sqrt(q.Unit.Seconds()))
		root := math.Floor(math.Sqrt(math.Floor(began.Seconds()))) + step
		return exactly(time.Duration(root*root) * time.Second), true
	}
	k := time.Duration(math.Sqrt(float64(began) / float64(q.Unit)))
	for k = max(k-1, 1); k*k*q.Unit <= began; k++ { // the root is not exact
	}
	return exactly(k * k * q.Unit), true
}

// String returns "6m40s after acceptance, then 4, 9, 16 … times that".
func (q Quadratic) String() string {
	return age(q.Unit) + " after acceptance, then 4, 9, 16 … times that"
}

// Clamped waits as long again as the message is old, within bounds (Postfix).
type Clamped struct{ Min, Max time.Duration }

// Next returns the age doubled, the gap within the bounds.
func (c Clamped) Next(_ int, began time.Duration) (Span, bool) {
	return exactly(began + max(c.Min, min(began, c.Max))), c.Min > 0
}

// String returns "as long again as the message is old, 5m to 1h6m40s".
func (c Clamped) String() string {
	return "as long again as the message is old, " + age(c.Min) + " to " + age(c.Max)
}

// Bursts tries some times in a row, then rests, each rest twice as long as the
// one before up to a bound (Courier).
type Bursts struct {
	Tries     int           // attempts of a burst
	Every     time.Duration // between them
	Rest      time.Duration // after the first burst
	Doublings int           // of Rest, at most
}

// Next returns the age one gap or one rest on.
func (b Bursts) Next(n int, began time.Duration) (Span, bool) {
	if n < 1 || b.Tries < 1 || b.Every <= 0 || b.Rest <= 0 {
		return Span{}, false
	}
	if n%b.Tries != 0 {
		return exactly(began + b.Every), true
	}
	return exactly(began + b.rest(n/b.Tries-1)), true
}

// mostDoublings keeps a rest within what a time.Duration holds.
const mostDoublings = 16

// rest returns the rest after that many rests.
func (b Bursts) rest(rests int) time.Duration {
	return b.Rest << max(0, min(rests, b.Doublings, mostDoublings))
}

// String returns "3 attempts 5m apart, between them rests of 15m, 30m, 1h, 2h
// and so on".
func (b Bursts) String() string {
	var rests []string
	for i := range min(b.Doublings, mostDoublings) + 1 {
		rests = append(rests, age(b.rest(i)))
	}
	return strconv.Itoa(b.Tries) + " attempts " + age(b.Every) + " apart, between them rests of " +
		strings.Join(rests, ", ") + " and so on"
}

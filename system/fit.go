package system

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Fit is a limit, as shipped, that explains how long a message was held.
type Fit struct {
	System System
	Limit  time.Duration // age at which the system gives up as shipped
	Over   time.Duration // held beyond Limit; 0 to the longest gap of its attempts, at least 15 min
	// Close: Over is no more than the system's own rule and 15 minutes explain,
	// so Limit is the likelier for it.
	Close bool
}

const (
	// quarter of an hour: what a busy queue, a slow attempt and two clocks may add
	// to any limit. Exchange was seen 13 minutes late.
	quarter = 15 * time.Minute
	// conversation is how long an attempt may take: several silent hosts, or the
	// 20 minutes of qmail's timeoutremote.
	conversation = 30 * time.Minute
	// longest is longer than anybody sets a lifetime: a stamp is wrong.
	longest = 365 * day
	// stamps are whole seconds, and there are two of them.
	stamps = 2 * time.Second
)

// Fits returns the forms of a system (its whole family) whose limit, as shipped,
// explains that a message was held so long: the system named first, then the
// closest. None: somebody set another limit, or the clock did not run with the
// message; see Policy.Infer. An ID that is not known fits nothing.
func Fits(id string, held time.Duration) []Fit {
	named, ok := Find(id)
	if !ok || held <= 0 {
		return nil
	}
	var fits []Fit
	for _, f := range families {
		for _, s := range f() {
			if s.Family != named.Family {
				continue
			}
			if fit, ok := s.fit(held); ok {
				fits = append(fits, fit)
			}
		}
	}
	slices.SortStableFunc(fits, func(a, b Fit) int {
		return cmp.Or(other(a, id)-other(b, id), cmp.Compare(a.Over, b.Over))
	})
	return fits
}

// other is 0 for the system of that ID and 1 for any other.
func other(f Fit, id string) int {
	if strings.EqualFold(f.System.ID, id) {
		return 0
	}
	return 1
}

// fit tells whether the system's own limit explains the time.
func (s System) fit(held time.Duration) (Fit, bool) {
	c := s.Policy.Run(Unreachable, Reckoned)
	if c.Endless {
		return Fit{}, false
	}
	limit, slack := s.Policy.Lifetime, max(c.Longest, quarter)
	if c.End.By == ByCount || c.End.By == NextTooLate || limit == 0 {
		limit, slack = c.End.At.Least, quarter
	}
	over := held - limit
	if over < -stamps || over > slack {
		return Fit{}, false
	}
	return Fit{s, limit, max(over, 0), held <= c.End.At.Most+quarter}, true
}

// Reading is what the time that a message was held tells of the setting that
// ended it: the lifetime is at least Least and at most Most.
type Reading struct {
	Least, Most time.Duration
	// Attempt is the number of the last attempt and Began its age by the
	// schedule, where every attempt has its fixed age (qmail, OpenSMTPD). 0: the
	// time does not tell.
	Attempt int
	Began   time.Duration
}

// Infer returns between what bounds the lifetime was set, if it was the clock
// that ended a message held so long. ok is false when the pace is not known, the
// clock is the destination's, the end comes by count, the time fits no attempt
// of a pace with fixed ages, or it is longer than a year.
func (p Policy) Infer(held time.Duration) (r Reading, ok bool) {
	if p.Retry == nil || p.Clock == FromFailure || p.Expiry == ByCount || held <= 0 || held > longest {
		return Reading{}, false
	}
	var before, last step
	for f := range p.walk(Unreachable, Reckoned) {
		if f.Began > held+stamps {
			break
		}
		before, last = last, f
	}
	_, fixed := p.Retry.(Quadratic)
	if fixed {
		r.Attempt, r.Began = last.Tries, last.Began
	}
	gap := max(before.next.Most-before.Began, last.next.Most-last.Began)
	switch {
	case max(before.next.Most, last.next.Most) >= Open || last.Next >= 0 && last.Next <= held: // or the walk was cut off
		return Reading{}, false
	case p.Expiry == LastAttempt && fixed:
		r.Least, r.Most = before.Began, last.Began
		return r, held-last.Began <= conversation
	case p.Expiry == NextTooLate:
		r.Least, r.Most = held-quarter, held+gap
	case p.Expiry == ByTimer:
		r.Least, r.Most = held-max(p.Late, quarter), held+stamps
	default:
		r.Least, r.Most = held-max(gap, 0)-quarter, held+stamps
	}
	r.Least = max(r.Least, 0)
	if last.Began > r.Least { // the limit may have fallen before or after that attempt
		r.Attempt, r.Began = 0, 0
	}
	return r, true
}

package system

import (
	"iter"
	"time"
)

// Trouble is why the attempts fail.
type Trouble uint8

// The troubles that systems pace apart.
const (
	Unreachable Trouble = iota // no connection is made, or nobody speaks
	Deferred                   // the host answers 4yz for the message
)

// Pace returns the pace of attempts under a trouble; nil: not known.
func (p Policy) Pace(t Trouble) Retry {
	if t == Deferred && p.Deferred != nil {
		return p.Deferred
	}
	return p.Retry
}

// First returns the age of the first attempt, 0 for nearly every system.
func (p Policy) First(t Trouble) Span {
	if f, ok := p.Pace(t).(interface{ First() Span }); ok {
		return f.First()
	}
	return Span{}
}

// Next returns the age at which attempt n+1 begins after attempt n, which began
// at the age given, failed by the trouble: the pace's time, and the wait for the
// next look at the queue. Looks are reckoned to fall on whole multiples of Scan
// after acceptance; really they come at any time, which is in the span. ok is
// false when there is no further attempt or the pace is not known.
//
// Whether the system still makes that attempt is told by Ends.
func (p Policy) Next(t Trouble, n int, began time.Duration) (Span, bool) {
	pace := p.Pace(t)
	if pace == nil {
		return Span{}, false
	}
	s, ok := pace.Next(n, began)
	if ok && p.Scan > 0 && s.Most < Open {
		s.Model = up(s.Pick(Reckoned), p.Scan)
		s.Most += p.Scan
	}
	return s, ok
}

// Failure is what a system knows when an attempt has failed.
type Failure struct {
	Tries         int           // attempts that failed so far, this one too
	Conversations int           // of these, attempts in which a host spoke
	Began         time.Duration // age of the message when this attempt began
	Next          time.Duration // age at which the next would begin; negative: there is none
	// Failing is how long the destination had been failing when this attempt
	// began, at least Began. It counts where the clock is FromFailure.
	Failing time.Duration
}

// End is when and by what a system gives a message up.
type End struct {
	At Span // age of the message
	By Expiry
}

// Ends applies the rule of giving up to a failed attempt: ok tells that the next
// attempt will not be made, and End when the message is given up. Every walk of
// a policy uses it, whatever else happens to the message on the way.
func (p Policy) Ends(f Failure) (end End, ok bool) {
	failures := f.Tries
	if p.Conversations {
		failures = f.Conversations
	}
	now := func(by Expiry) (End, bool) {
		return End{Span{f.Began, f.Began + p.Late, f.Began}, by}, true
	}
	switch {
	case p.Limit > 0 && failures >= p.Limit:
		return now(ByCount)
	case p.Lifetime == 0 || p.Expiry == ByCount:
		// A list that ends is an end; a pace that is not known is none.
		if f.Next < 0 && p.Retry != nil {
			return now(p.Expiry)
		}
		return End{}, false
	}
	elapsed := f.Began
	if p.Clock == FromFailure {
		elapsed = max(elapsed, f.Failing)
	}
	switch none := f.Next < 0; p.Expiry {
	case LastAttempt:
		if elapsed > p.Lifetime {
			return now(p.Expiry)
		}
	case AfterFailure:
		if elapsed >= p.Lifetime {
			return now(p.Expiry)
		}
	case NextTooLate:
		if none || f.Next > p.Lifetime {
			return now(p.Expiry)
		}
		return End{}, false
	case BeforeAttempt:
		if !none && f.Next > p.Lifetime {
			return End{Span{f.Next, f.Next + p.Late, f.Next}, p.Expiry}, true
		}
	default:
		if f.Next > p.Lifetime || p.Sharp && f.Next == p.Lifetime {
			return p.timer(f), true
		}
	}
	if f.Next < 0 { // nothing fails any more: only the clock can end it
		return p.timer(f), true
	}
	return End{}, false
}

// timer is the end that the clock brings between attempts. Where the rule is not
// known, it may as well be noticed at the next attempt.
func (p Policy) timer(f Failure) End {
	at := max(p.Lifetime, f.Began)
	s := Span{at, at + p.Late, at}
	if p.Expiry == ExpiryUnknown {
		s.Most = max(s.Most, f.Next)
	}
	return End{s, p.Expiry}
}

// Untried reports that a new message is given up at once, without an attempt of
// its own: its destination has failed, on the record of earlier mail, for longer
// than the limit, and its time to be tried again has not come. Exim alone does
// so (delay_after_cutoff).
func (p Policy) Untried(failing time.Duration) bool {
	return p.Clock == FromFailure && p.Lifetime > 0 && failing > p.Lifetime
}

// Course is what becomes of a message whose every attempt fails, with the
// destination failing since the message was accepted.
type Course struct {
	Attempts []time.Duration // ages; only the first where the pace is not known
	End      End             // meaningless if Endless
	Endless  bool            // nothing known ends it: Attempts are those of the first week
	// Longest is the longest gap between attempts, jitter included, the one that
	// the end cut off too if it would have been made but for a timer; 0: not known.
	Longest time.Duration
}

// mostAttempts bounds a walk: a try a second for twelve days.
const mostAttempts = 1 << 20

// Run walks the policy with attempts that always fail.
func (p Policy) Run(t Trouble, pick Pick) Course {
	var c Course
	for f := range p.walk(t, pick) {
		c.Attempts = append(c.Attempts, f.Began)
		end, over := p.Ends(f.Failure)
		if gap := f.next.Most - f.Began; f.Next >= 0 && f.next.Most < Open && !(over && end.At.Least <= f.Began) {
			c.Longest = max(c.Longest, gap)
		}
		if over {
			c.End = end
			return c
		}
		if !p.bounded(t) && f.Began > week {
			break
		}
	}
	c.Endless = true
	return c
}

// Attempts yields the attempts that are made while all fail: number and age.
func (p Policy) Attempts(t Trouble, pick Pick) iter.Seq2[int, time.Duration] {
	return func(yield func(int, time.Duration) bool) {
		for f := range p.walk(t, pick) {
			if !yield(f.Tries, f.Began) {
				return
			}
			if _, over := p.Ends(f.Failure); over {
				return
			}
		}
	}
}

// bounded reports that something ends the attempts under a trouble for sure.
func (p Policy) bounded(t Trouble) bool {
	return p.Lifetime > 0 || p.Limit > 0 && (!p.Conversations || t == Deferred)
}

// step is a failure with the whole span of its next attempt.
type step struct {
	Failure
	next Span
}

// walk yields failure after failure, with no regard to the end.
func (p Policy) walk(t Trouble, pick Pick) iter.Seq[step] {
	return func(yield func(step) bool) {
		began := p.First(t).Pick(pick)
		for n := 1; n <= mostAttempts; n++ {
			f := step{Failure: Failure{Tries: n, Began: began, Failing: began, Next: -1}}
			if t == Deferred {
				f.Conversations = n
			}
			next, ok := p.Next(t, n, began)
			if ok {
				f.next, f.Next = next, max(next.Pick(pick), began)
			}
			if !yield(f) || !ok {
				return
			}
			began = f.Next
		}
	}
}

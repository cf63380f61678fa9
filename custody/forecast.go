package custody

import (
	"iter"
	"time"

	"github.com/postrider/postrider/mail"
)

// End returns the deadline: the moment of the last try. DELIVERBY in return mode
// can only bring it forward (RFC 2852 4.1.2).
func End(d Delivery, s Schedule) time.Time {
	end := d.Accepted.Add(s.Expire)
	if !d.Deadline.IsZero() {
		end = d.Deadline
	}
	if d.ByReturn && d.By.Before(end) {
		end = d.By
	}
	return end
}

// spare is how long past its deadline a delivery is tried whose last try a fault of ours
// prevented: nobody was asked, and nobody's mail is returned for that alone.
const spare = day

// limit returns from when on an attempt that met a trouble ends a delivery: the
// deadline, but for a fault of ours. The time of DELIVERBY is the sender's own, and
// nothing is added to it.
func limit(d Delivery, s Schedule, t Trouble) time.Time {
	end := End(d, s)
	if t != Ours {
		return end
	}
	end = end.Add(spare)
	if d.ByReturn && d.By.Before(end) {
		end = d.By
	}
	return end
}

// SetBack is a delivery whose last step was written by a clock that was ahead of now: it
// counts from now on, and is due at once. It answers false for any other.
func SetBack(d Delivery, now time.Time) (Delivery, bool) {
	if !d.Accepted.After(now) && !d.Began.After(now) {
		return d, false
	}
	if d.Accepted.After(now) {
		d.Accepted = now
	}
	d.Began, d.Next, d.Resume = time.Time{}, now, time.Time{}
	return d, true
}

// Wake returns when Step must see Due: the next try or the next warning,
// whichever is first. Zero: only an order can move the delivery.
func Wake(d Delivery, s Schedule) time.Time {
	w := NextWarning(d, s)
	if !d.Held.IsZero() || !d.pending() {
		return w
	}
	if w.IsZero() || d.Next.Before(w) {
		return d.Next
	}
	return w
}

// NextWarning returns when the sender will next be told of the delay; zero if
// never. It is what wakes a delivery whose destination is blocked.
func NextWarning(d Delivery, s Schedule) time.Time {
	if d.From.IsNull() || len(d.pick(func(r Recipient) bool { return r.State == Pending && r.Notify.Delay() })) == 0 {
		return time.Time{}
	}
	var w time.Time
	for _, age := range s.Warn {
		if age > d.Warned {
			w = d.Accepted.Add(age)
			break
		}
	}
	if !d.By.IsZero() && !d.ByReturn && !d.ByTold && (w.IsZero() || d.By.Before(w)) {
		w = d.By
	}
	// What would be told at the end or later is told by the end itself, unless a
	// hold keeps the end away.
	if d.Held.IsZero() && !w.Before(End(d, s)) {
		return time.Time{}
	}
	return w
}

// Moment is something that will happen to a delivery.
type Moment struct {
	At   time.Time `json:"at"`
	What What      `json:"what"`
}

// What is the kind of a Moment.
type What uint8

const (
	WillTry What = iota + 1
	WillWarn
	WillEnd
)

var whatNames = [...]string{"", "try", "warning", "given up"}

// String returns the kind as written in JSON and lists.
func (w What) String() string { return nameOf(whatNames[:], int(w)) }

// MarshalText writes the kind as String does.
func (w What) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText reads what MarshalText wrote; an unknown word is no kind.
func (w *What) UnmarshalText(b []byte) error {
	*w = 0
	for i, n := range whatNames {
		if n == string(b) {
			*w = What(i)
		}
	}
	return nil
}

// Fate returns what a list shows of a delivery without walking its future: the
// next try, the next warning and the end. A moment that will not come has a zero
// At: no try while it is held, no warning, no end before a release, nothing once it
// has left.
func Fate(d Delivery, s Schedule) (next, warn, end Moment) {
	next, warn, end = Moment{d.Next, WillTry}, Moment{NextWarning(d, s), WillWarn}, Moment{End(d, s), WillEnd}
	if !d.Held.IsZero() || !d.pending() {
		next.At, end.At = time.Time{}, time.Time{}
	} else if end.At.Before(d.Next) {
		end.At = d.Next // only a true attempt ends it
	}
	return next, warn, end
}

// Because names the rule by which the end of a delivery is set.
func Because(d Delivery, s Schedule) string {
	spared := limit(d, s, d.Last)
	switch {
	case !d.Held.IsZero():
		return "held by " + d.Held.By + ": it does not end before it is released"
	case d.Last == Ours && d.Next.After(End(d, s)) && spared.After(End(d, s)):
		return "a fault of this server kept the last try from being made: it is made again, until " + FormatAge(spared.Sub(d.Accepted)) + " at most"
	case d.ByReturn && !d.By.After(End(d, s)):
		return "the sender asked for delivery within " + FormatAge(d.By.Sub(d.Accepted)) + " (DELIVERBY)"
	case !d.Deadline.IsZero():
		return "an operator set this end"
	}
	why := "expire " + FormatAge(s.Expire)
	if s.Rule != "" {
		why += ", " + s.Rule
	}
	return why
}

// Forecast yields what will happen to a delivery if every further attempt meets
// the trouble of the last one, made by Step itself: tries, warnings and the end. A
// fault of ours is taken to be mended by the next.
// What a host that comes back changes can only be an earlier delivery.
func Forecast(d Delivery, s Schedule) iter.Seq[Moment] {
	return func(yield func(Moment) bool) {
		trouble := d.Last
		switch trouble {
		case NoTrouble:
			trouble = Unreachable
		case Ours: // of the same pace
			trouble = Deferred
		}
		for at := Wake(d, s); !at.IsZero(); at = Wake(d, s) {
			var duties []Duty
			d, duties = Step(d, s, Due{At: at})
			if len(duties) == 1 {
				if _, try := duties[0].(Try); try {
					if !yield(Moment{at, WillTry}) {
						return
					}
					o := Outcome{At: at, Stage: mail.Connect, Trouble: trouble}
					d, duties = Step(d, s, Tried{at, Attempt{Began: at, Outcomes: []Outcome{o}}})
				}
			}
			for _, duty := range duties {
				m := Moment{At: at}
				switch t := duty.(type) {
				case Tell:
					if t.Kind == Delayed {
						m.What = WillWarn
					}
				case Close:
					m.What = WillEnd
				}
				if m.What != 0 && !yield(m) {
					return
				}
			}
			if !d.pending() {
				return
			}
		}
	}
}

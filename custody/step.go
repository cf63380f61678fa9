package custody

import (
	"slices"
	"time"

	"github.com/postrider/postrider/mail"
)

// Step is the law: what becomes of a delivery when something happens to it, and
// what is to be done about it. It changes nothing that d shares with others.
func Step(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
	if !d.pending() { // nothing is owed, whatever happens
		return d, []Duty{Close{}}
	}
	switch e := e.(type) {
	case Due:
		return due(d, s, e)
	case Tried:
		return tried(d, s, e)
	case Ordered:
		return ordered(d, s, e)
	}
	return d, nil
}

// due: a try whose time has come goes first, and a warning of the same moment
// waits for its outcome. Where no try may begin, the warning goes out alone.
func due(d Delivery, s Schedule, e Due) (Delivery, []Duty) {
	early := e.Early && (d.Last == Unreachable || d.Tries == 0)
	if d.Held.IsZero() && e.Blocked == "" && (early || !d.Next.After(e.At)) {
		return d, []Duty{Try{Last: !e.At.Before(End(d, s))}}
	}
	if e.Until.After(d.Next) && d.Held.IsZero() && !d.Next.After(e.At) {
		d.Next = e.Until
		if end := End(d, s); end.After(e.At) && end.Before(d.Next) {
			d.Next = end
		}
	}
	return warn(d, s, e.At)
}

// tried: recipients that were taken or refused are final. The others wait for
// the next try, or end if this one was made at the deadline or later, and a fault of
// ours did not prevent it.
func tried(d Delivery, s Schedule, e Tried) (Delivery, []Duty) {
	d.Rcpts = slices.Clone(d.Rcpts)
	heard, final, moved := settle(d.Rcpts, e.Attempt)
	d.Tries++
	d.Began = e.Attempt.Began
	var missed bool // some recipient had no outcome: too many for one transaction
	for i, r := range d.Rcpts {
		missed = missed || r.State == Pending && !heard[i]
	}
	for i, r := range d.Rcpts {
		if r.State == Pending && heard[i] && !e.At.Before(limit(d, s, r.Last.Trouble)) {
			d.Rcpts[i].State = Expired
			final = append(final, i)
			moved = true
		}
	}
	trouble, hint := worst(d.Rcpts, heard) // of those that are still ours
	d.Last = trouble
	slices.Sort(final)
	duties := news(d, s, final)
	if !d.pending() {
		d.Next, d.Resume = time.Time{}, time.Time{}
		return d, append(duties, Close{})
	}
	if missed && moved {
		d.Next = e.At
	} else { // a host that never comes to the end of them must not be hammered
		d = pace(d, s, e, hint)
	}
	d, told := warn(d, s, e.At)
	return d, append(duties, told...)
}

// settle writes the outcomes of an attempt to the recipients. It returns who had
// one, who is final by it, and whether it moved anything: it ended a recipient,
// or was the first to reach one.
func settle(rcpts []Recipient, a Attempt) (heard []bool, final []int, moved bool) {
	heard = make([]bool, len(rcpts))
	one := func(i int, o Outcome) {
		if i < 0 || i >= len(rcpts) || rcpts[i].State != Pending || heard[i] {
			return
		}
		heard[i] = true
		moved = moved || rcpts[i].Last.IsZero()
		o.Rcpts = nil
		rcpts[i].Last = o
		switch {
		case o.Taken != Nothing:
			rcpts[i].State = HandedOver
		// What one message heard is about that message and never ends another.
		case o.Refuses() && !a.Shared:
			rcpts[i].State = Refused
		default:
			return
		}
		final = append(final, i)
	}
	for _, o := range a.Outcomes {
		if o.Rcpts == nil {
			for i := range rcpts {
				one(i, o)
			}
		}
		for _, i := range o.Rcpts {
			one(i, o)
		}
	}
	return heard, final, moved || len(final) > 0
}

// rank orders troubles by what they say about the next try; one that this version
// does not know says least.
var rank = [256]uint8{Greylisted: 6, Deferred: 5, Ambiguous: 4, Unreachable: 3, Unrouted: 2, Ours: 1}

// worst returns the trouble that paces the next try, and the host's hint. A host
// that asked to come again is obeyed before one that merely deferred; what was
// said counts before silence.
func worst(rcpts []Recipient, heard []bool) (t Trouble, hint time.Duration) {
	for i, r := range rcpts {
		if r.State != Pending || !heard[i] {
			continue
		}
		if rank[r.Last.Trouble] > rank[t] {
			t = r.Last.Trouble
		}
		if h := r.Last.Hint; h > 0 && (hint == 0 || h < hint) {
			hint = h
		}
	}
	return t, hint
}

// Bounds on a host's hint: within them it replaces the schedule's gap. A shorter
// one than the schedule's is believed on the first three tries, so that no host
// makes us hammer it; a longer one always.
const (
	hintLeast = time.Second
	hintMost  = 4 * time.Hour
	hintTimes = 3
)

// pace sets the next try after a temporary outcome. An ordered try leaves the
// schedule where it was, and so does one before its time that met silence again.
func pace(d Delivery, s Schedule, e Tried, hint time.Duration) Delivery {
	next := d.Resume
	if next.IsZero() && e.Attempt.Began.Before(d.Next) && d.Last == Unreachable {
		next = d.Next
	}
	if next.IsZero() {
		d, next = onSchedule(d, s, e, hint)
	}
	// The last try falls on the deadline (RFC 5321 4.5.4.1), or on the end of spare.
	end := End(d, s)
	if !end.After(e.At) {
		end = limit(d, s, d.Last)
	}
	if end.After(e.At) && next.After(end) {
		next = end
	}
	d.Next, d.Resume = later(next, e.At), time.Time{}
	return d
}

// onSchedule counts a scheduled try and returns when the schedule, or the host,
// wants the next.
func onSchedule(d Delivery, s Schedule, e Tried, hint time.Duration) (Delivery, time.Time) {
	list, by := s.list(d.Last)
	n := int(d.Runs[by])
	d.Runs[inAll]++
	if by != inAll {
		d.Runs[by]++
	}
	next := e.Attempt.Began.Add(s.jitter(d.ID, n, gap(list, n)))
	if hint > 0 {
		short := hint < hintMost // a longer hint, cut, must not hasten the next try
		hint = min(max(hint, hintLeast), hintMost)
		// A little later than asked, never earlier: greylists count to the second.
		asked := e.At.Add(hint + time.Duration(float64(hint)*0.1*share(d.ID, d.Tries)))
		if asked.After(next) || short && d.Runs[inAll] <= hintTimes {
			next = asked
		}
	}
	return d, next
}

// Reschedule returns d as a changed schedule wants it: the next try where the new
// gaps put it, the last try on the new deadline. What a host or an operator asked
// for stays. It is no step: nothing has happened to the delivery.
func Reschedule(d Delivery, s Schedule, at time.Time) Delivery {
	if !d.pending() {
		return d
	}
	_, hint := worst(d.Rcpts, all(len(d.Rcpts)))
	if d.Runs[inAll] > 0 && d.Resume.IsZero() && hint == 0 {
		list, by := s.list(d.Last)
		n := max(int(d.Runs[by])-1, 0) // 0: a list that is new
		d.Next = d.Began.Add(s.jitter(d.ID, n, gap(list, n)))
	}
	if end := End(d, s); d.Next.After(end) {
		d.Next = end
	}
	d.Next = later(d.Next, at)
	return d
}

func all(n int) []bool {
	yes := make([]bool, n)
	for i := range yes {
		yes[i] = true
	}
	return yes
}

// warn tells of the delay if an age of Schedule.Warn, or DELIVERBY's time, has
// passed: one letter for all that were missed.
func warn(d Delivery, s Schedule, at time.Time) (Delivery, []Duty) {
	told := false
	for _, age := range s.Warn {
		if age > d.Warned && !d.Accepted.Add(age).After(at) {
			d.Warned, told = age, true
		}
	}
	if !d.By.IsZero() && !d.ByReturn && !d.ByTold && !d.By.After(at) {
		d.ByTold, told = true, true
	}
	if !told || d.From.IsNull() {
		return d, nil
	}
	rcpts := d.pick(func(r Recipient) bool { return r.State == Pending && r.Notify.Delay() })
	if len(rcpts) == 0 {
		return d, nil
	}
	return d, []Duty{Tell{Kind: Delayed, Rcpts: rcpts}}
}

// warnNow tells of the delay as an operator wants it; what was due by then is told by
// the same letter. The sender's own wish not to be told is kept (RFC 3461 5.2.4).
func warnNow(d Delivery, s Schedule, at time.Time) (Delivery, []Duty) {
	d, duties := warn(d, s, at)
	rcpts := d.pick(func(r Recipient) bool { return r.State == Pending && r.Notify.Delay() })
	if d.From.IsNull() || len(rcpts) == 0 {
		return d, duties
	}
	d.Warned = max(d.Warned, at.Sub(d.Accepted))
	return d, []Duty{Tell{Kind: Delayed, Rcpts: rcpts}}
}

// news returns the letter about recipients that have just become final, if
// someone wants it: one letter, of the kind of its worst news.
func news(d Delivery, s Schedule, final []int) []Duty {
	var t Tell
	for _, i := range final {
		if k := kindOf(d, s, d.Rcpts[i]); k != NoKind {
			t.Rcpts = append(t.Rcpts, i)
			if t.Kind == NoKind || k < t.Kind {
				t.Kind = k
			}
		}
	}
	if t.Kind == NoKind {
		return nil
	}
	if d.From.IsNull() {
		if t.Kind != Failed {
			return nil
		}
		t.Null = true
	}
	return []Duty{t}
}

// kindOf says what a final recipient's letter would tell, NoKind if it is not to
// be told (RFC 3461 5.2).
func kindOf(d Delivery, s Schedule, r Recipient) Kind {
	switch r.State {
	case Refused, Expired:
		if r.Notify.Failure() {
			return Failed
		}
	case HandedOver:
		switch {
		case r.Notify.Success() && r.Last.Taken == Mailbox:
			return Delivered
		case r.Notify.Success() && r.Last.Taken == Onward:
			return Relayed
		case s.Cleared && (d.Warned > 0 || d.ByTold) && r.Notify.Delay():
			return Cleared
		}
	}
	return NoKind
}

// ordered: an order changes when or whether, never the schedule behind it.
func ordered(d Delivery, s Schedule, e Ordered) (Delivery, []Duty) {
	switch e.Order {
	case OrderRetry:
		if d.Held.IsZero() {
			d = tryAt(d, e.At)
		}
	case OrderHold:
		if d.Held.IsZero() {
			d.Held = Hold{Since: e.At, By: e.By, Why: e.Why}
		}
	case OrderRelease:
		if !d.Held.IsZero() {
			d.Held = Hold{}
			d = tryAt(d, e.At)
		}
	case OrderReroute:
		d.Via = e.Via
		d = tryAt(d, e.At)
	case OrderLife:
		d.Deadline = e.Until
		if d.Held.IsZero() {
			d = Reschedule(d, s, e.At)
		}
	case OrderWarn:
		return warnNow(d, s, e.At)
	case OrderGiveUp:
		d, gone := end(d, Expired)
		return d, append(news(d, s, gone), Close{})
	case OrderRemove:
		d, _ = end(d, Removed)
		return d, []Duty{Close{}}
	}
	return d, nil
}

// tryAt puts one try in front of the schedule, which goes on behind it.
func tryAt(d Delivery, at time.Time) Delivery {
	if d.Resume.IsZero() && d.Next.After(at) {
		d.Resume = d.Next
	}
	d.Next = at
	return d
}

// end makes every pending recipient final and returns which they were.
func end(d Delivery, st State) (Delivery, []int) {
	d.Rcpts = slices.Clone(d.Rcpts)
	gone := d.Pending()
	for _, i := range gone {
		d.Rcpts[i].State = st
	}
	d.Next, d.Resume, d.Held = time.Time{}, time.Time{}, Hold{}
	return d, gone
}

// Split takes some recipients, by index, out of d into a delivery of their own
// with number n. An order on some recipients of a delivery begins with it. In
// each of the two the others stay in their places as Parted, so that an index
// in an entry from before the split means the same recipient in both.
func Split(d Delivery, rcpts []int, n uint16) (rest, part Delivery) {
	rest, part = d, d
	part.ID.N, part.Of = n, d.ID.N
	rest.Rcpts, part.Rcpts = slices.Clone(d.Rcpts), slices.Clone(d.Rcpts)
	for i := range d.Rcpts {
		if slices.Contains(rcpts, i) {
			rest.Rcpts[i].State = Parted
		} else {
			part.Rcpts[i].State = Parted
		}
	}
	return rest, part
}

// Own returns the recipients of the delivery, without those that have parted.
func (d Delivery) Own() []Recipient {
	return slices.DeleteFunc(slices.Clone(d.Rcpts), func(r Recipient) bool { return r.State == Parted })
}

// Pending returns the indices of the recipients that are still ours.
func (d Delivery) Pending() []int {
	return d.pick(func(r Recipient) bool { return r.State == Pending })
}

// TellsSender reports whether the return path is told of the end of a delivery: of what
// waits if it is given up, of what has ended if it was. It is not where it is null, nor
// where NOTIFY leaves failures out (RFC 5321 6.1, RFC 3461 4.1).
func (d Delivery) TellsSender() bool {
	waits := d.pending()
	return !d.From.IsNull() && slices.ContainsFunc(d.Rcpts, func(r Recipient) bool {
		ends := r.State == Pending || !waits && (r.State == Refused || r.State == Expired)
		return ends && r.Notify.Failure()
	})
}

func (d Delivery) pending() bool {
	return slices.ContainsFunc(d.Rcpts, func(r Recipient) bool { return r.State == Pending })
}

func (d Delivery) pick(want func(Recipient) bool) []int {
	var is []int
	for i, r := range d.Rcpts {
		if want(r) {
			is = append(is, i)
		}
	}
	return is
}

// NewDelivery opens the custody of a message for some recipients of one domain.
// Its first try is due at once.
func NewDelivery(m Message, n uint16, domain string, to []mail.Recipient) Delivery {
	d := Delivery{
		ID: DeliveryID{m.ID, n}, Domain: domain, From: m.Envelope.From,
		Accepted: m.Accepted, Next: m.Accepted, Rcpts: make([]Recipient, len(to)),
	}
	for i, r := range to {
		d.Rcpts[i].Recipient = r
	}
	if by := m.Envelope.By; !by.IsZero() {
		d.By, d.ByReturn = m.Accepted.Add(by.Within), by.Return
	}
	return d
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

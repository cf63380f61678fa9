package chain

import (
	"math"
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/system"
)

// ours is an owner whose law is custody, asked as the queue asks it. A ranged walk
// asks it twice for each turn: for the world in which everything is as early as
// can be, and for the one in which it is as late.
type ours struct {
	even      custody.Schedule // without jitter
	real      custody.Schedule
	low, high custody.Schedule // with the shortest and the longest gaps that the jitter makes
}

func newOurs(s custody.Schedule) *ours {
	k := &ours{even: s, real: s, low: s, high: s}
	k.even.Jitter, k.low.Jitter, k.high.Jitter = 0, 0, 0
	j := int64(math.Ceil(s.Jitter * 1000))
	for _, l := range []*[]custody.Pace{&k.low.Retry, &k.low.Unreachable, &k.low.Deferred, &k.low.Greylisted} {
		*l = scaled(*l, 1000-j)
	}
	for _, l := range []*[]custody.Pace{&k.high.Retry, &k.high.Unreachable, &k.high.Deferred, &k.high.Greylisted} {
		*l = scaled(*l, 1000+j)
	}
	return k
}

// scaled returns paces with gaps so many thousandths as long.
func scaled(list []custody.Pace, thousandths int64) []custody.Pace {
	list = slices.Clone(list)
	for i := range list {
		list[i].Gap = list[i].Gap / 1000 * time.Duration(thousandths)
		list[i].Max = list[i].Max / 1000 * time.Duration(thousandths)
	}
	return list
}

// schedules returns the laws of the earliest and of the latest world.
func (k *ours) schedules(m mode) (least, most custody.Schedule) {
	switch m {
	case ranged:
		return k.low, k.high
	case sampled:
		return k.real, k.real
	}
	return k.even, k.even
}

func (k *ours) open(w *walk, p *parcel, h *hop, accepted system.Span) []turn {
	at := w.c.start.Add(accepted.Least)
	m := message(w, p, h, at)
	if by := p.by; !by.IsZero() {
		by.Within -= accepted.Least
		m.Envelope.By = by
	}
	to := mail.Recipient{Address: w.c.s.to(), Notify: p.notify}
	if p.letter != (letterKey{}) {
		to.Address = w.c.s.from()
	}
	lo := custody.NewDelivery(m, 1, to.Address.Domain, []mail.Recipient{to})
	if h.i != p.from || p.letter == (letterKey{}) {
		lo.Next = at.Add(h.Delay)
	}
	hi := lo
	if !p.by.IsZero() { // ages of the same moment differ by when it was accepted
		lo.By = at.Add(p.by.Within - accepted.Most)
	}
	t := turn{accepted: accepted, held: -1, next: exactly(lo.Next.Sub(at)), lo: &lo, hi: &hi}
	if vague(&t) {
		by := system.Span{Least: p.by.Within, Most: p.by.Within + time.Duration(len(w.c.hops))*time.Hour} // an attempt may be under way
		for n := range len(k.low.Warn) + 1 {
			w.post(p, h, custody.Delayed, n+1, hull(by, accepted), nil)
		}
	}
	return []turn{t}
}

// vague reports whether nobody can say which comes first, a warning of the schedule
// or DELIVERBY's time, or whether one letter tells both: the acceptance, from which
// the one counts but not the other, is a span.
func vague(t *turn) bool { return !t.lo.ByReturn && !t.lo.By.Equal(t.hi.By) }

// message is the parcel as the hop stores it.
func message(w *walk, p *parcel, h *hop, at time.Time) custody.Message {
	m := custody.Message{
		ID:       custody.NewID(at, uint16(h.i), mix(w.seed^mix(uint64(p.letter.hop)<<32|uint64(p.letter.kind)<<24|uint64(p.letter.n)))),
		Envelope: mail.Envelope{From: w.c.s.from()}, Accepted: at, Size: p.size, Parts: 1,
	}
	if p.null {
		m.Envelope.From = mail.Address{}
	}
	m.Came = custody.Came{Protocol: "ESMTP", Notice: p.letter.kind}
	return m
}

// from and to are the addresses of the message; made up if the scenario names none.
func (s Scenario) from() mail.Address { return or(s.Message.From, "sender", "a.example") }
func (s Scenario) to() mail.Address   { return or(s.Message.To, "recipient", "b.example") }

func or(a mail.Address, local, domain string) mail.Address {
	if a.IsNull() {
		return mail.Address{Local: local, Domain: domain}
	}
	return a
}

func (k *ours) warning(p *parcel, t *turn) (at system.Span, maybe, ok bool) {
	lo, hi := custody.NextWarning(*t.lo, k.even), custody.NextWarning(*t.hi, k.even)
	switch {
	case lo.IsZero() && hi.IsZero():
		return at, false, false
	case lo.IsZero():
		lo, maybe = hi, true
	case hi.IsZero():
		hi, maybe = lo, true
	}
	if hi.Before(lo) {
		lo, hi = hi, lo
	}
	// DELIVERBY's time may have passed before the message came here.
	age := system.Span{Least: max(lo.Sub(t.lo.Accepted), 0), Most: max(hi.Sub(t.lo.Accepted), 0)}
	age.Model = age.Least
	return age, maybe, true
}

func (k *ours) warn(w *walk, p *parcel, h *hop, t turn, age system.Span) turn {
	lo, hi := *t.lo, *t.hi
	lo.Next, hi.Next = lo.Accepted.Add(t.next.Least), hi.Accepted.Add(t.next.Most)
	e := custody.Due{At: lo.Accepted.Add(age.Least)}
	lo, duties := custody.Step(lo, k.even, e)
	if w.mode != ranged {
		t.lo, t.hi = &lo, &lo
		k.record(w, p, h, &t, e, duties)
		return t
	}
	hi, _ = custody.Step(hi, k.even, custody.Due{At: hi.Accepted.Add(age.Most)})
	t.lo, t.hi = &lo, &hi
	k.tell(w, p, h, &t, age, duties)
	return t
}

func (k *ours) tried(w *walk, p *parcel, h *hop, t turn, a try) []turn {
	if w.mode == ranged {
		return k.triedRanged(w, p, h, t, a)
	}
	law, _ := k.schedules(w.mode)
	before := *t.lo
	e := triedAt(before, a.began.Least, a.ended.Least, a.outcome)
	d, duties := custody.Step(before, law, e)
	t.lo, t.hi = &d, &d
	k.record(w, p, h, &t, e, duties)
	if !k.gone(w, p, h, &t, a.ended) {
		t.next = exactly(d.Next.Sub(d.Accepted))
		return []turn{t}
	}
	return nil
}

// triedRanged steps both worlds. Where the deadline or a warning falls into the span
// of the attempt, some worlds come to it and others do not.
func (k *ours) triedRanged(w *walk, p *parcel, h *hop, t turn, a try) []turn {
	low, high := k.schedules(ranged)
	took := a.ended.Least - a.began.Least
	deadline := system.Span{Least: custody.End(*t.lo, low).Sub(t.lo.Accepted), Most: custody.End(*t.hi, high).Sub(t.hi.Accepted)}
	warning, _, ok := k.warning(p, &t)
	if !ok {
		warning = exactly(never)
	}
	var after []turn
	for i, part := range halves(a.ended, deadline) {
		for j, part := range halves(part, warning) {
			if part.Least > part.Most {
				continue
			}
			t := t
			lo, hi := *t.lo, *t.hi
			if lo.ByReturn && i == 0 || !lo.ByReturn && j == 0 {
				lo.By = hi.By // its moment has not come, whichever it is
			} else {
				hi.By = lo.By
			}
			// An attempt that begins before its time does not count for the schedule.
			lo.Next, hi.Next = lo.Accepted.Add(part.Least-took), hi.Accepted.Add(part.Most-took)
			least, duties := custody.Step(lo, low, triedAt(lo, part.Least-took, part.Least, a.outcome))
			most, _ := custody.Step(hi, high, triedAt(hi, part.Most-took, part.Most, a.outcome))
			least.By, most.By = t.lo.By, t.hi.By
			t.lo, t.hi = &least, &most
			k.tell(w, p, h, &t, part, duties)
			if k.gone(w, p, h, &t, part) {
				continue
			}
			t.next = system.Span{Least: least.Next.Sub(least.Accepted), Most: most.Next.Sub(most.Accepted)}
			if hint := a.outcome.Hint; hint > 0 { // custody adds up to a tenth
				t.next.Least -= hint/10 + 1
				t.next.Most = min(t.next.Most+hint/10+1, max(deadline.Most, part.Most))
			}
			t.next.Least = max(min(t.next.Least, deadline.Least), part.Least)
			after = append(after, t)
		}
	}
	return after
}

// halves cuts a span in two: before a moment, and from it on. A half that is empty
// ends before it begins. Where the moment itself is a span they overlap.
func halves(s, at system.Span) [2]system.Span {
	return [2]system.Span{
		{Least: s.Least, Most: min(s.Most, at.Most-1), Model: s.Model},
		{Least: max(s.Least, at.Least), Most: s.Most, Model: s.Model},
	}
}

// triedAt is the attempt as the queue reports it.
func triedAt(d custody.Delivery, began, ended time.Duration, o custody.Outcome) custody.Tried {
	o.At = d.Accepted.Add(ended)
	return custody.Tried{At: o.At, Attempt: custody.Attempt{
		Began: d.Accepted.Add(began), Took: ended - began, Way: "mx " + d.Domain, Outcomes: []custody.Outcome{o},
	}}
}

// gone reports whether the custody has ended, and notes how.
func (k *ours) gone(w *walk, p *parcel, h *hop, t *turn, age system.Span) bool {
	at := shift(t.accepted, age)
	switch r := t.lo.Rcpts[0]; r.State {
	case custody.Pending:
		return false
	case custody.Refused:
		w.end(p, fact{kind: Bounces, letter: p.letter, hop: h.i, peer: -1, at: at, outcome: &r.Last})
	case custody.Expired:
		w.end(p, fact{kind: GivesUp, letter: p.letter, hop: h.i, peer: -1, at: at, expiry: system.AfterFailure, by: t.lo.ByReturn && custody.End(*t.lo, k.even).Equal(t.lo.By)})
	}
	return true
}

// record keeps a step as the queue would store it, and sends its letters.
func (k *ours) record(w *walk, p *parcel, h *hop, t *turn, e custody.Event, duties []custody.Duty) {
	at := exactly(0)
	switch e := e.(type) {
	case custody.Due:
		at = exactly(e.At.Sub(t.lo.Accepted))
	case custody.Tried:
		at = exactly(e.At.Sub(t.lo.Accepted))
	}
	if w.minutes {
		entry := custody.Entry{At: w.c.start.Add(t.accepted.Least + at.Least), Delivery: t.lo.ID, Event: e, Duties: duties, Next: t.lo.Next}
		t.entries = append(t.entries, entry)
		if t.held >= 0 {
			w.held[t.held].ours = k.state(w, p, h, t)
		}
	}
	k.tell(w, p, h, t, at, duties)
}

// state is what is known of a delivery of ours, for whoever writes its notices.
func (k *ours) state(w *walk, p *parcel, h *hop, t *turn) *Ours {
	return &Ours{Message: message(w, p, h, t.lo.Accepted), Delivery: *t.lo, Schedule: k.real, Entries: slices.Clip(t.entries)}
}

// tell sends the letters that duties ask for.
func (k *ours) tell(w *walk, p *parcel, h *hop, t *turn, age system.Span, duties []custody.Duty) {
	for _, duty := range duties {
		tell, ok := duty.(custody.Tell)
		if !ok || tell.Null {
			continue
		}
		n := 1
		if tell.Kind == custody.Delayed {
			t.told++
			n = t.told
		}
		if tell.Kind == custody.Delayed && vague(t) {
			w.post(p, h, tell.Kind, n+1, shift(t.accepted, age), nil)
			w.post(p, h, tell.Kind, max(n-1, 1), shift(t.accepted, age), nil)
		}
		var o *Ours
		if w.minutes {
			o = k.state(w, p, h, t)
			o.Tell = tell
		}
		w.post(p, h, tell.Kind, n, shift(t.accepted, age), o)
	}
}

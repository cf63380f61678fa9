package chain

import (
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/system"
)

// foreign is an owner whose law is a policy of package system.
type foreign struct {
	p system.Policy
	// defers: a 5yz instead of a greeting is heard as "later".
	defers bool
	by     bool // it knows DELIVERBY
}

// open: a system that knows its destination to be dead for too long gives a new
// message up untried.
func (k *foreign) open(w *walk, p *parcel, h *hop, accepted system.Span) []turn {
	t := turn{accepted: accepted, held: -1, next: w.draw(k.p.First(system.Unreachable), h.i, 0, p.letter.hop)}
	if h.i != p.from || p.letter == (letterKey{}) {
		t.next = shift(t.next, exactly(h.Delay))
	}
	must, may := true, true
	for _, to := range p.route.next[h.i] {
		here := false
		for from, at := accepted.Least+t.next.Least, shift(accepted, t.next); from <= at.Most; {
			since, failing, until := w.c.down(h.i, to, from)
			from = until
			age := w.age(since, &t)
			must = must && failing && k.p.Untried(t.next.Least-age.Most)
			here = here || failing && k.p.Untried(t.next.Most-age.Least)
		}
		may = may && here
	}
	over := t
	over.over, over.expiry = true, k.p.Expiry
	switch {
	case must:
		return []turn{over}
	case may:
		return []turn{t, over}
	}
	return []turn{t}
}

func (k *foreign) warning(p *parcel, t *turn) (at system.Span, maybe, ok bool) {
	if k.p.Warn.Try > 0 || k.p.Warn.NeedsReply && t.spoken == 0 || !k.warns(p) {
		return at, false, false
	}
	age, ok := k.nextAge(t.warned)
	return exactly(age), false, ok
}

func (k *foreign) warns(p *parcel) bool { return k.p.Warn.On && !p.null && p.notify.Delay() }

// nextAge returns the age of the warning that follows so many others. What would be
// told at the end is told by the end.
func (k *foreign) nextAge(n int) (time.Duration, bool) {
	at, every := k.p.Warn.At, k.p.Warn.Every
	var age time.Duration
	switch {
	case n < len(at):
		age = at[n]
	case every <= 0:
		return 0, false
	case len(at) > 0:
		age = at[len(at)-1] + every*time.Duration(n-len(at)+1)
	default:
		age = every * time.Duration(n+1)
	}
	return age, k.p.Lifetime == 0 || k.p.Expiry == system.ByCount || age < k.p.Lifetime
}

// warn: where the queue is looked at now and then, the age may be noticed as late
// as that.
func (k *foreign) warn(w *walk, p *parcel, h *hop, t turn, age system.Span) turn {
	at := w.draw(system.Span{Least: age.Least, Most: age.Most + k.p.Scan, Model: age.Least}, h.i, t.warned, 3)
	at.Most = min(at.Most, t.next.Most)
	at.Least = min(at.Least, at.Most)
	t.warned++
	return k.tell(w, p, h, t, at)
}

func (k *foreign) tell(w *walk, p *parcel, h *hop, t turn, age system.Span) turn {
	t.told++
	w.post(p, h, custody.Delayed, t.told, shift(t.accepted, age), nil)
	return t
}

func (k *foreign) tried(w *walk, p *parcel, h *hop, t turn, a try) []turn {
	o := a.outcome
	early := o.Stage <= mail.Hello
	switch {
	case o.Taken != custody.Nothing:
		return nil
	case o.Refuses() && !(k.defers && early && o.Theirs):
		w.refuse(p, h, t.accepted, a.ended, &o)
		return nil
	}
	// What does not bear on the policy is not counted, so that turns become alike.
	if k.p.Deferred != nil {
		pace := system.Unreachable
		if o.Theirs && !early {
			pace = system.Deferred
		}
		if t.streak++; pace != t.pace {
			t.pace, t.streak = pace, 1
		}
	}
	if o.Theirs && (k.p.Conversations || t.spoken < 2) {
		t.spoken++
	}
	if !t.failing {
		t.failing, t.first = true, a.began
		if a.failing {
			t.first = system.Span{Least: min(a.since.Least, a.began.Least), Most: min(a.since.Most, a.began.Most), Model: min(a.since.Model, a.began.Model)}
		}
	}
	var after []turn
	for _, limit := range k.limits(p, &t) {
		after = append(after, k.goOn(w, p, h, t, a, limit)...)
	}
	if k.p.Warn.Try > 0 || k.p.Warn.NeedsReply {
		return k.warnLate(w, p, h, after, a, o.Theirs)
	}
	return after
}

// limits returns the lifetime, or the shortest and the longest that the parcel may
// have: DELIVERBY counts from its first acceptance, and when this one was is not
// known in a ranged walk (RFC 2852 4.1.2).
func (k *foreign) limits(p *parcel, t *turn) []time.Duration {
	all := []time.Duration{k.p.Lifetime}
	if k.by && p.by.Return {
		all[0] = min(orNever(k.p.Lifetime), max(p.by.Within-t.accepted.Least, 1))
		if least := min(all[0], max(p.by.Within-t.accepted.Most, 1)); least != all[0] {
			all = append(all, least)
		}
	}
	return all
}

// goOn returns what follows a failure: the next attempt, or the end.
func (k *foreign) goOn(w *walk, p *parcel, h *hop, t turn, a try, limit time.Duration) []turn {
	law := k.p
	law.Lifetime = limit
	byBy := limit != k.p.Lifetime
	n := t.n
	if law.Deferred != nil {
		n = t.streak
	}
	counts := system.Span{} // age 0 of the pace
	if law.Clock == system.FromFailure {
		counts = t.first
	}
	var after []turn
	for _, began := range pieces(a.began, limit, counts.Least+limit, counts.Most+limit) {
		ended := shift(began, system.Span{Least: a.ended.Least - a.began.Least, Most: a.ended.Most - a.began.Most, Model: a.ended.Model - a.began.Model})
		next, ok := k.next(w, h, &t, began, counts, n)
		if !ok {
			next = exactly(-1)
		} else {
			next.Least, next.Most = max(next.Least, ended.Least), max(next.Most, ended.Most)
		}
		for _, next := range pieces(next, limit) {
			end := func(began, next, first time.Duration) (system.End, bool) {
				return law.Ends(system.Failure{Tries: t.n, Conversations: t.spoken, Began: began, Next: next, Failing: max(began, began-first)})
			}
			least, soon := end(began.Least, next.Least, t.first.Most)
			most, late := end(began.Most, next.Most, t.first.Least)
			if !soon {
				on := t
				on.next = next
				after = append(after, on)
			}
			if late {
				if !soon {
					least = most
				}
				over := t
				over.over, over.expiry, over.by = true, most.By, byBy
				over.next = w.draw(system.Span{Least: least.At.Least, Most: most.At.Most, Model: least.At.Pick(system.Reckoned)}, h.i, t.n, 1, p.letter.hop)
				over.next.Least, over.next.Most = max(over.next.Least, ended.Least), max(over.next.Most, ended.Most)
				after = append(after, over)
			}
		}
	}
	return after
}

// next returns the age of the next attempt.
func (k *foreign) next(w *walk, h *hop, t *turn, began, counts system.Span, n int) (system.Span, bool) {
	law := k.p
	if w.mode == sampled {
		law.Scan = 0
	}
	least, most := began.Least-counts.Most, began.Most-counts.Least
	s, ok := law.Next(t.pace, n, least)
	if !ok {
		return s, false
	}
	if most > least {
		// Between two changes of a pace, what began earlier is tried again earlier.
		for _, age := range append(changes(law.Pace(t.pace)), most-1) {
			for _, age := range []time.Duration{age, age + 1} {
				if at, ok := law.Next(t.pace, n, age); ok && age > least && age <= most {
					s = hull(s, at)
				}
			}
		}
	}
	s = shift(s, counts)
	s.Least = max(s.Least, began.Least)
	if gap := s.Pick(system.Reckoned) - began.Most; s.Most-s.Least > gap/2 {
		s = w.draw(s, h.i, 2) // a pace that is not published, but always the same
	} else {
		s = w.draw(s, h.i, t.n, 2, t.told) // jitter
	}
	if w.mode == sampled && k.p.Scan > 0 {
		// The looks at the queue fall where they fall, for all attempts alike.
		phase := time.Duration(share(w.seed, h.i, 4) * float64(k.p.Scan))
		at := s.Least + t.accepted.Least - phase
		wait := (k.p.Scan - at%k.p.Scan) % k.p.Scan
		s = exactly(s.Least + wait)
	}
	return s, true
}

// changes returns the ages behind which a pace is another.
func changes(r system.Retry) []time.Duration {
	var ages []time.Duration
	switch r := r.(type) {
	case system.Exim:
		for _, rule := range r.Rules {
			ages = append(ages, rule.Until)
		}
	case system.Ladder:
		for _, rung := range r {
			if rung.Until > 0 {
				ages = append(ages, rung.Until-1)
			}
		}
	}
	return ages
}

// pieces cuts a span before and behind each of some moments.
func pieces(s system.Span, at ...time.Duration) []system.Span {
	all := []system.Span{s}
	if s.Exact() {
		return all
	}
	slices.Sort(at)
	for _, c := range at {
		for _, first := range []time.Duration{c, c + 1} { // of a later piece
			last := &all[len(all)-1]
			if first > last.Least && first <= last.Most {
				rest := *last
				rest.Least, last.Most = first, first-1
				all = append(all, rest)
			}
		}
	}
	return all
}

// warnLate sends the notices that wait for an attempt: the one of a certain number,
// unless all ends with it, or one whose host spoke only now. In a ranged walk both
// may be.
func (k *foreign) warnLate(w *walk, p *parcel, h *hop, after []turn, a try, spoke bool) []turn {
	if !k.warns(p) {
		return after
	}
	var all []turn
	for _, t := range after {
		switch {
		case k.p.Warn.Try > 0 && t.n == k.p.Warn.Try:
			if !t.over || t.next.Most > a.ended.Least {
				all = append(all, k.tell(w, p, h, t, a.ended))
			}
			if t.over && t.next.Least <= a.ended.Most {
				all = append(all, t)
			}
		case k.p.Warn.Try == 0 && spoke && t.spoken == 1:
			all = append(all, k.missed(w, p, h, t, a.ended)...)
		default:
			all = append(all, t)
		}
	}
	return all
}

// missed sends one notice for all ages that have passed while no host spoke. How
// many these are may differ from world to world.
func (k *foreign) missed(w *walk, p *parcel, h *hop, t turn, ended system.Span) []turn {
	var all []turn
	for none := true; ; {
		age, ok := k.nextAge(t.warned)
		if ok = ok && age <= ended.Most; !ok || age > ended.Least {
			if none {
				all = append(all, t)
			} else {
				all = append(all, k.tell(w, p, h, t, ended))
			}
		}
		if !ok {
			return all
		}
		t.warned++
		none = false
	}
}

package chain

import (
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/system"
)

// round is one attempt, host by host.
type round struct {
	w    *walk
	p    *parcel
	h    *hop
	keep keeper
	t    turn
	pile *pile
	hand func(to, by int, at system.Span)
}

// point is how far a round has come.
type point struct {
	age, at system.Span   // by the owner's clock and by the scenario's
	took    time.Duration // since the round began
	seen    []sighting
}

// later is the moment after so long.
func (m point) later(d time.Duration) point {
	m.age, m.at, m.took = shift(m.age, exactly(d)), shift(m.at, exactly(d)), m.took+d
	return m
}

// ask tries the hosts that are left, with the clearest of what was heard so far.
func (r *round) ask(hosts []int, m point, heard *try) {
	if len(hosts) == 0 {
		r.conclude(*heard, m)
		return
	}
	to := hosts[0]
	for _, met := range r.w.meet(r.p, r.h, to, &r.t, m) {
		f := fact{kind: Attempts, letter: r.p.letter, hop: r.h.i, peer: to, n: r.t.n, at: met.at, took: met.lasts, outcome: met.outcome}
		r.w.note(f)
		here := try{outcome: *met.outcome}
		if met.outcome.Taken != custody.Nothing {
			r.conclude(here, met.point)
			r.hand(to, r.h.i, met.at)
			continue
		}
		since, failing, _ := r.w.c.down(r.h.i, to, met.at.Least)
		here.since, here.failing = r.w.age(since, &r.t), failing
		after := met.later(met.lasts)
		switch {
		case met.outcome.Refuses() && met.outcome.Stage > mail.Hello:
			r.conclude(here, after)
			continue
		case heard != nil && clarity(heard.outcome) > clarity(here.outcome):
			here.outcome = heard.outcome
		}
		r.ask(hosts[1:], after, &here)
	}
}

// age is the owner's age at a moment of the scenario.
func (w *walk) age(at time.Duration, t *turn) system.Span {
	a := t.accepted
	return system.Span{Least: at - a.Most, Most: at - a.Least, Model: at - a.Least}
}

// clarity orders what was heard of several hosts as the carrier does: words tell
// more than silence; but while one host may still take it, another has not refused
// it for good.
func clarity(o custody.Outcome) int {
	switch {
	case o.Refuses():
		return 1
	case !o.Theirs:
		return 2
	}
	return 3
}

// conclude brings an attempt to the owner.
func (r *round) conclude(a try, m point) {
	a.ended = m.age
	a.began = shift(m.age, exactly(-m.took))
	t := r.t
	t.seen = m.seen
	for _, next := range r.keep.tried(r.w, r.p, r.h, t, a) {
		r.pile.add(next)
	}
}

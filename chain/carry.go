package chain

import (
	"fmt"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/system"
)

// keeper is the law of an owner: when it tries again, when it tells, when it gives
// up. Package system's policies and custody's schedules are the two.
type keeper interface {
	// open returns the turns that a parcel may take whose owner it has become.
	open(w *walk, p *parcel, h *hop, accepted system.Span) []turn
	// warning returns the age of the next notice of delay. It is due unless what the
	// turn says comes first; maybe: not in every world.
	warning(p *parcel, t *turn) (at system.Span, maybe, ok bool)
	// warn has reached that age.
	warn(w *walk, p *parcel, h *hop, t turn, at system.Span) turn
	// tried has made an attempt and returns the turns that may follow: none, if the
	// custody ends with it.
	tried(w *walk, p *parcel, h *hop, t turn, a try) []turn
}

// try is an attempt that was made, with the outcome of all hosts together.
type try struct {
	began, ended system.Span // ages
	outcome      custody.Outcome
	since        system.Span // age at which the destination began to fail, if that is known to be earlier
	failing      bool
}

// Bounds on a walk: the turns of a ranged one, those of another, which notes what
// comes of each, and the time of any.
const (
	mostWork  = 400_000
	mostTurns = 2 * MaxAttempts
	mostTime  = 50 * 365 * 24 * time.Hour
)

// carry follows a parcel until nobody owns it any more.
func (w *walk) carry(p *parcel, at system.Span) {
	type arrival struct {
		at system.Span
		by int
	}
	arrived := make([]*arrival, len(w.c.hops))
	arrived[p.from] = &arrival{at, -1}
	hand := func(to, by int, at system.Span) {
		if was := arrived[to]; was != nil {
			at = hull(was.at, at)
		}
		arrived[to] = &arrival{at, by}
	}
	for _, i := range p.route.order {
		a := arrived[i]
		if a == nil {
			continue
		}
		if i != p.from || p.letter == (letterKey{}) {
			w.note(fact{kind: Accepts, letter: p.letter, hop: i, peer: a.by, at: a.at})
		}
		if a.at.Least > mostTime {
			w.err = fmt.Errorf("the message would be on its way for more than %s", custody.FormatAge(mostTime))
			return
		}
		w.keep(p, w.c.hops[i], a.at, hand)
		if w.err != nil {
			return
		}
	}
}

// keep follows a parcel as long as one hop owns it.
func (w *walk) keep(p *parcel, h *hop, at system.Span, hand func(to, by int, at system.Span)) {
	own := -1
	if w.mode != ranged && p.letter == (letterKey{}) {
		own = len(w.held)
		w.held = append(w.held, tenure{hop: h.i, from: at.Least})
	}
	if p.route.ends(h.i) {
		w.arrive(p, h, at)
		return
	}
	keep := h.keep
	if p.letter != (letterKey{}) && h.letters != nil {
		keep = h.letters
	}
	accepted := at
	if h.i == p.from && p.letter == (letterKey{}) && w.c.s.Message.Release > 0 {
		accepted = shift(at, exactly(w.c.s.Message.Release))
		w.note(fact{kind: Released, hop: h.i, peer: -1, at: accepted})
	}
	pile := pile{merge: w.mode == ranged, counted: w.counted}
	for _, t := range keep.open(w, p, h, accepted) {
		t.held = own
		pile.add(t)
	}
	for {
		t, ok := pile.take()
		if !ok {
			return
		}
		w.work++
		switch {
		case w.mode == ranged && w.work > mostWork:
			w.err = errTooWide
		case w.mode != ranged && w.work > mostTurns:
			w.err = fmt.Errorf("more than %d attempts and notices would be made, with those for its letters: the tries are too close together, or the letters too many", mostTurns)
		case t.n > MaxAttempts:
			w.err = fmt.Errorf("%s would make more than %d attempts%s: its tries are too close together for the time that it keeps a message", h.title(), MaxAttempts, inLine(h.Line))
		}
		if w.err != nil {
			return
		}
		w.turn(p, h, keep, t, &pile, hand)
	}
}

// arrive: the parcel is where it was to go.
func (w *walk) arrive(p *parcel, h *hop, at system.Span) {
	kind := Delivered
	if p.letter != (letterKey{}) {
		kind = Told
	} else if !h.Bare() {
		at = shift(at, exactly(h.Delay))
	}
	w.end(p, fact{kind: kind, letter: p.letter, hop: h.i, peer: -1, at: at})
}

// end notes the end of a parcel.
func (w *walk) end(p *parcel, f fact) {
	w.note(f)
	if w.mode == ranged {
		return
	}
	if p.letter != (letterKey{}) {
		for _, l := range w.letters {
			if l.key == p.letter {
				l.end = f
			}
		}
		return
	}
	w.ends = append(w.ends, f)
	w.held[len(w.held)-1].until = f.at.Least
}

// turn takes one turn: a notice, the end, or an attempt, whichever comes first.
func (w *walk) turn(p *parcel, h *hop, keep keeper, t turn, pile *pile, hand func(to, by int, at system.Span)) {
	if at, maybe, ok := keep.warning(p, &t); ok {
		before, after := cut(t.next, at)
		if after != nil {
			late := t
			late.next = *after
			pile.again(keep.warn(w, p, h, late, at))
		}
		switch {
		case maybe: // or there is none
		case before == nil:
			return
		default:
			t.next = *before
		}
	}
	if t.over {
		w.giveUp(p, h, t.accepted, t.next, t.expiry, t.by)
		return
	}
	if t.n++; w.mode == ranged && t.n > w.counted {
		t.n = w.counted
	}
	if t.held >= 0 {
		w.held[t.held].attempts = t.n
	}
	r := round{w: w, p: p, h: h, keep: keep, t: t, pile: pile, hand: hand}
	r.ask(p.route.next[h.i], point{t.next, shift(t.accepted, t.next), 0, t.seen}, nil)
}

// cut parts a span at an age: what is not later than it, and what is. Where the
// age itself is a span, some moments are in both.
func cut(s, at system.Span) (before, after *system.Span) {
	if s.Least <= at.Most {
		before = &system.Span{Least: s.Least, Most: min(s.Most, at.Most), Model: s.Model}
	}
	if s.Most > at.Least {
		after = &system.Span{Least: max(s.Least, at.Least+1), Most: s.Most, Model: s.Model}
	}
	return before, after
}

// giveUp ends a custody by the owner's own rule, at an age.
func (w *walk) giveUp(p *parcel, h *hop, accepted, age system.Span, by system.Expiry, deliverBy bool) {
	at := shift(accepted, age)
	w.end(p, fact{kind: GivesUp, letter: p.letter, hop: h.i, peer: -1, at: at, expiry: by, by: deliverBy})
	if p.notify.Failure() && !h.system.Policy.Silent {
		w.post(p, h, custody.Failed, 1, at, nil)
	}
}

// refuse ends a custody by a refusal of the next hop, or of the way there.
func (w *walk) refuse(p *parcel, h *hop, accepted, age system.Span, o *custody.Outcome) {
	at := shift(accepted, age)
	w.end(p, fact{kind: Bounces, letter: p.letter, hop: h.i, peer: -1, at: at, outcome: o})
	if p.notify.Failure() {
		w.post(p, h, custody.Failed, 1, at, nil)
	}
}

// post sends a letter on its way back, if there is anybody to tell.
func (w *walk) post(p *parcel, h *hop, kind custody.Kind, n int, at system.Span, ours *Ours) {
	if p.null {
		return
	}
	key := letterKey{h.i + 1, kind, n}
	if kind == custody.Delayed {
		w.note(fact{kind: Warns, letter: p.letter, hop: h.i, peer: -1, n: n, at: at})
	}
	letter := parcel{letter: key, route: &w.c.back, from: h.i, null: true}
	if w.mode == ranged { // carried when all of the message's own fates are known
		if was, ok := w.posted[key]; ok {
			at = hull(was, at)
		}
		w.posted[key], w.about[key] = at, letter
		return
	}
	w.letters = append(w.letters, &sent{key: key, written: at.Least, ours: ours, parcel: letter})
}

package chain

import (
	"cmp"
	"container/heap"
	"math/bits"
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
)

// loadSite is a hop at work on what has entered it. Its groups stand among the timers
// until they are to be tried, and in ready while the hosts take mail and others go
// before.
type loadSite struct {
	r      *loadRun
	h      *hop
	ours   *custody.Schedule // nil: each message goes by its own schedule
	drain  float64
	timers timers
	ready  []*group
	free   time.Duration // when the next of ready may go
	window int           // connections

	// What a hop of ours knows of a destination that is silent.
	dead        bool
	fails       int           // attempts in a row
	last, knock time.Duration // the last attempt; none before
	first       time.Duration // the first of those that shared it is due again

	from, until  time.Duration // between these, down and silent hold
	down, silent bool
}

func (s *loadSite) run() {
	if k, ok := s.h.keep.(*ours); ok {
		law, _ := k.schedules(s.r.w.mode)
		s.ours = &law
	}
	for _, g := range s.r.coming[s.h.i] {
		s.open(g)
	}
	heap.Init(&s.timers)
	for s.r.err == nil && len(s.timers)+len(s.ready) > 0 {
		if len(s.ready) > 0 {
			g := s.ready[0]
			if at := max(s.free, g.at); len(s.timers) == 0 || at < s.timers[0].at {
				s.ready = s.ready[1:]
				s.serve(g, at)
				continue
			}
		}
		s.due(heap.Pop(&s.timers).(*group))
	}
}

// open gives a group to the hop's law.
func (s *loadSite) open(g *group) {
	r := s.r
	accepted := exactly(g.from)
	if s.h.i == 0 {
		accepted = exactly(g.from + r.c.s.Message.Release)
	}
	r.about(g)
	g.t = s.h.keep.open(r.w, r.p, s.h, accepted)[0]
	g.t.held = -1
	s.timers = append(s.timers, g)
	g.at = accepted.Least + g.t.next.Least
	g.last = g.at + g.spread()
}

// put lays a group by until its next before.
func (s *loadSite) put(g *group) {
	g.at = g.t.accepted.Least + g.t.next.Least
	g.last = max(g.last, g.at)
	heap.Push(&s.timers, g)
}

// move sets when a group is tried next.
func (g *group) move(at time.Duration) {
	g.at = at
	g.t.next = exactly(at - g.t.accepted.Least)
}

// look learns how the hosts are at a moment.
func (s *loadSite) look(at time.Duration) {
	if at < s.from || at >= s.until {
		s.from = at
		s.down, s.silent, s.until = s.r.c.stopped(s.h.i, s.r.c.out.next[s.h.i], at, s.r.p.size)
	}
}

// due: a group's time has come.
func (s *loadSite) due(g *group) {
	s.look(g.at)
	if s.ours != nil && s.dead {
		if until := s.blocked(g); until > g.at {
			g.move(until)
			g.blocked, g.late = true, true
			g.last = max(g.last, until)
			heap.Push(&s.timers, g)
			return
		}
		if !s.silent {
			s.answers(g)
			return
		}
	}
	if !s.down && !g.t.over {
		s.ready = append(s.ready, g)
		return
	}
	knock, silent := g.at, s.silent
	if s.try(g) && s.ours != nil && silent {
		s.fell(knock, g)
	}
}

// blocked returns when a group may be tried at a dead destination: what is due when
// that is knocked at shares the knock.
func (s *loadSite) blocked(g *group) time.Duration {
	if g.at == s.last {
		return g.at
	}
	until, end := s.knock, custody.End(*g.t.lo, *s.ours).Sub(g.t.lo.Accepted)+g.t.accepted.Least
	if g.at >= end {
		return min(until, s.last+knockLeast)
	}
	return min(until, end)
}

// fell: a knock brought nothing, and the group shared it.
func (s *loadSite) fell(at time.Duration, g *group) {
	if !s.dead || at != s.last {
		s.dead, s.last, s.first = true, at, never
		s.fails++
	}
	if g.n > 0 {
		s.first = min(s.first, g.at)
	}
	gap := s.ours.Gap(custody.Unreachable, s.fails-1)
	s.knock = at + gap - time.Duration(float64(gap)*s.ours.Jitter)
	if s.first < never {
		s.knock = max(s.knock, s.first)
	}
	s.knock = min(s.knock, at+knockMost)
}

// answers: a knock was heard, and all that has met only silence is poured out, in the
// order in which it was accepted. What a host said is obeyed as it was meant.
func (s *loadSite) answers(g *group) {
	s.dead, s.fails, s.window = false, 0, windowFirst
	at := g.at
	poured := []*group{g}
	s.timers = slices.DeleteFunc(s.timers, func(o *group) bool {
		waits := o.from <= at && (o.blocked || o.t.n > 0 && o.t.lo.Last == custody.Unreachable)
		if waits {
			poured = append(poured, o)
		}
		return waits
	})
	heap.Init(&s.timers)
	slices.SortStableFunc(poured, func(a, b *group) int { return cmp.Compare(a.from, b.from) })
	for _, o := range poured {
		o.move(at)
		o.last, o.late = max(at, o.until), true
	}
	s.ready = append(s.ready, poured...)
}

// serve tries a group that is to be taken.
func (s *loadSite) serve(g *group, at time.Duration) {
	s.look(at)
	if at > g.at {
		g.late = true
		g.move(at)
	}
	if s.down {
		s.due(g)
		return
	}
	s.try(g)
}

// try makes a group's attempt. It answers false if a host took it, in spite of all
// where the first one keeps it waiting until the next one answers.
func (s *loadSite) try(g *group) (failed bool) {
	at, before := g.at, *g
	f := s.r.try(s.h, g)
	if f.taken < 0 {
		s.settle(g, f)
		return true
	}
	if room := s.room(g); !s.down && room < g.n {
		s.part(g, &before, max(1, room))
	}
	s.settle(g, f)
	lasts := s.lasts(g.n)
	s.free = max(s.free, at) + lasts
	out := flow{g.n, f.at, max(f.at+lasts, g.last+f.at-at)}
	s.leave(g, &s.r.tallies[s.h.i].on, out)
	s.r.enter(f.taken, &group{n: g.n, birth: g.birth, from: out.from, until: out.until, seed: g.seed})
	return false
}

// room returns how many messages of a group can go before the hosts change: no more
// than the hop hands on, and no more than are due by then.
func (s *loadSite) room(g *group) int64 {
	left := s.until - g.at
	room := min(left.Seconds()*s.drain, float64(g.n))
	if due := g.last - g.at; due > left {
		room = min(room, float64(g.n)*float64(left)/float64(due))
	}
	return int64(room)
}

// part leaves only so many messages in a group; the others stay the next to go, or
// become due in their before.
func (s *loadSite) part(g, before *group, n int64) {
	share := func(d time.Duration) time.Duration {
		hi, lo := bits.Mul64(uint64(d), uint64(n))
		part, rest := bits.Div64(hi, lo, uint64(g.n))
		if rest > 0 {
			part++ // so that no more leave than have come
		}
		return time.Duration(part)
	}
	rest := *before
	rest.n -= n
	rest.from += share(g.spread())
	if before.last > before.at {
		rest.move(before.at + share(before.last-before.at))
	}
	g.n, g.until = n, rest.from
	g.last = max(g.at, min(g.last, g.until+g.at-g.from))
	if rest.at > before.at {
		heap.Push(&s.timers, &rest)
		return
	}
	s.ready = slices.Insert(s.ready, 0, &rest)
}

// lasts is how long so many messages take. The first ones after a silence go over few
// connections, one more with each that is taken.
func (s *loadSite) lasts(n int64) time.Duration {
	var whole float64
	for ; s.window < windowMost && n > 0; n-- {
		whole += windowMost / float64(s.window) / s.drain
		s.window++
	}
	return time.Duration((whole + float64(n)/s.drain) * 1e9)
}

// settle notes what a try brought: notices, the end, or when the next one is.
func (s *loadSite) settle(g *group, f fate) {
	t := &s.r.tallies[s.h.i]
	if !g.t.over {
		t.attempts += g.n
	}
	for i, n := range f.warns {
		t.notices += g.n
		if n == 1 {
			t.warned = append(t.warned, flow{g.n, f.when[i], f.when[i] + g.spread()})
		}
	}
	if f.taken >= 0 {
		return
	}
	g.late, g.blocked = true, false
	out := flow{g.n, f.at, f.at + g.spread()}
	switch f.ended {
	case GivesUp:
		s.leave(g, &t.gaveUp, out)
	case Bounces:
		s.leave(g, &t.refused, out)
	default:
		g.t = f.next
		g.last = 0
		s.put(g)
		g.last = g.at + g.spread()
		return
	}
	g.n = 0 // nothing of it is here any more
}

// leave notes that a group is here no more.
func (s *loadSite) leave(g *group, way *[]flow, out flow) {
	t := &s.r.tallies[s.h.i]
	*way = append(*way, out)
	t.visits = append(t.visits, visit{flow{g.n, g.from, g.until}, out, g.late})
}

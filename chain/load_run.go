package chain

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/system"
)

// errTooFine is met by a run whose groups must be fewer.
var errTooFine = errors.New("attempts so close together, or outages so many, that it takes too long to work out")

// mostLoadWork bounds the attempts of a run, each weighed by what it has to look at.
const mostLoadWork = 600_000

// mostCuts bounds the outages at whose ends the groups of arrivals are parted.
const mostCuts = 200

// group is messages that have had the same fate so far.
type group struct {
	n           int64
	birth       time.Duration // when its first message entered the chain
	from, until time.Duration // when its first and its last message entered the hop
	seed        uint64
	t           turn          // of the first message
	at          time.Duration // when that is tried next, or ended
	last        time.Duration // the same of the last message
	blocked     bool          // it waits for a knock
	late        bool          // it was not taken at its first try
}

// spread is how long after its first message its last one comes.
func (g *group) spread() time.Duration { return g.until - g.from }

// flow is messages that pass a point evenly between two moments.
type flow struct {
	n           int64
	from, until time.Duration
}

// passed returns how many have passed at a moment.
func (f flow) passed(at time.Duration) int64 {
	switch {
	case at >= f.until:
		return f.n
	case at < f.from:
		return 0
	}
	hi, lo := bits.Mul64(uint64(f.n), uint64(at-f.from))
	n, _ := bits.Div64(hi, lo, uint64(f.until-f.from))
	return int64(n)
}

// visit is the time of some messages in a hop.
type visit struct {
	in, out flow
	late    bool
}

// tally is what has been counted of a hop.
type tally struct {
	in, on, gaveUp, refused, warned []flow
	notices, attempts               int64
	visits                          []visit
}

// loadRun follows the groups of a load through a course, hop by hop: what a hop does
// depends on what came before it only.
type loadRun struct {
	c       *course
	l       Load
	w       *walk
	p       *parcel
	coming  [][]*group // by hop
	tallies []tally
	left    int // work
	arrived time.Duration
	err     error
}

func newLoadRun(c *course, l Load) *loadRun {
	m := c.s.Message
	r := &loadRun{
		c: c, l: l, left: mostLoadWork,
		// The ends of a walk are noted in a custody, which nobody reads here.
		w:      &walk{c: c, mode: sampled, held: []tenure{{}}},
		p:      &parcel{route: &c.out, notify: m.Notify, null: m.Null, size: m.Size},
		coming: make([][]*group, len(c.hops)), tallies: make([]tally, len(c.hops)),
	}
	if l.Messages == 1 {
		r.w.mode = reckoned // as Run tells it
	}
	return r
}

func (r *loadRun) run(groups int64) error {
	r.arrive(groups)
	for _, i := range r.c.out.order {
		slices.SortStableFunc(r.coming[i], func(a, b *group) int { return cmp.Compare(a.from, b.from) })
		if r.c.out.ends(i) {
			r.home(i)
			continue
		}
		s := &loadSite{r: r, h: r.c.hops[i], drain: r.l.drain(r.c.hops[i].Name), window: windowMost}
		if s.run(); r.err != nil {
			return r.err
		}
	}
	return nil
}

// arrive makes the groups of what enters the first hop.
func (r *loadRun) arrive(groups int64) {
	n := r.l.Messages
	groups = min(groups, n)
	cuts := make([]int64, 0, groups+mostCuts)
	for k := range groups + 1 {
		hi, lo := bits.Mul64(uint64(n), uint64(k))
		cut, _ := bits.Div64(hi, lo, uint64(groups))
		cuts = append(cuts, int64(cut))
	}
	if r.l.Rate > 0 {
		// None shall be part before the end of an outage and part behind it.
		whole := r.moment(n)
		changes := 0
		for from := range r.c.out.next {
			for at := time.Duration(0); at < whole && changes < mostCuts; changes++ {
				_, _, at = r.c.stopped(from, r.c.out.next[from], at, r.p.size)
				if at < whole {
					cuts = append(cuts, int64(math.Ceil(at.Seconds()*r.l.Rate)))
				}
			}
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	for k, first := range cuts[:len(cuts)-1] {
		next := min(cuts[k+1], n)
		if first >= next {
			continue
		}
		g := &group{n: next - first, from: r.moment(first), until: r.moment(next - 1), seed: uint64(k)}
		g.birth = g.from
		r.arrived = g.until
		r.enter(0, g)
	}
}

// moment is when message number n arrives, from 0.
func (r *loadRun) moment(n int64) time.Duration {
	if r.l.Rate == 0 {
		return 0
	}
	return time.Duration(float64(n) / r.l.Rate * 1e9)
}

// enter brings a group to a hop.
func (r *loadRun) enter(hop int, g *group) {
	r.coming[hop] = append(r.coming[hop], g)
	r.tallies[hop].in = append(r.tallies[hop].in, flow{g.n, g.from, g.until})
}

// home: what enters is delivered.
func (r *loadRun) home(i int) {
	h := r.c.hops[i]
	late := time.Duration(0)
	if !h.Bare() {
		late = h.Delay
	}
	t := &r.tallies[i]
	for _, g := range r.coming[i] {
		out := flow{g.n, g.from + late, g.until + late}
		t.on = append(t.on, out)
		t.visits = append(t.visits, visit{in: flow{g.n, g.from, g.until}, out: out})
	}
}

// about makes the parcel the first message of a group.
func (r *loadRun) about(g *group) {
	r.w.seed = g.seed
	if r.p.by = r.c.s.Message.By; !r.p.by.IsZero() {
		r.p.by.Within += g.birth
	}
}

// fate is what an attempt brought.
type fate struct {
	taken int           // the hop that took it; below 0: none
	at    time.Duration // when it was taken, or ended
	ended EventKind     // GivesUp or Bounces; "": it goes on
	next  turn
	warns []int // notices of delay that were written, by number
	when  []time.Duration
}

// try takes the next turn of a group's first message, and what notices come before it.
func (r *loadRun) try(h *hop, g *group) fate {
	w := r.w
	w.facts, w.ends, w.letters = w.facts[:0], w.ends[:0], w.letters[:0]
	r.about(g)
	f := fate{taken: -1}
	hand := func(to, _ int, at system.Span) { f.taken, f.at = to, at.Least }
	pile := pile{now: []turn{g.t}}
	for len(pile.now) > 0 {
		t, _ := pile.take()
		w.turn(r.p, h, h.keep, t, &pile, hand)
	}
	r.work(h, g.t.n)
	if len(pile.next) > 0 {
		f.next = pile.next[0]
	}
	if len(w.ends) > 0 {
		f.ended, f.at = w.ends[0].kind, w.ends[0].at.Least
	}
	for _, l := range w.letters {
		if l.key.kind == custody.Delayed {
			f.warns, f.when = append(f.warns, l.key.n), append(f.when, l.written)
		}
	}
	return f
}

// work counts an attempt by what it had to look at.
func (r *loadRun) work(h *hop, attempts int) {
	cost := 1
	for _, to := range r.c.out.next[h.i] {
		for _, o := range r.c.between(h.i, to) {
			if cost++; o.When.Calendar.Every > Once {
				cost += 20
			}
		}
	}
	if r.left -= cost; r.left < 0 {
		r.err = errTooFine
	}
	if attempts > MaxAttempts {
		r.err = fmt.Errorf("%s would make more than %d attempts%s: its tries are too close together for the time that it keeps a message", h.title(), MaxAttempts, inLine(h.Line))
	}
}

// stopped reports whether none of the hosts takes mail from a hop at a moment, whether
// they are all silent, and when that may change. Who is asked to come again, or has too
// large a message, is not stopped by an outage.
func (c *course) stopped(from int, hosts []int, at time.Duration, size int64) (down, silent bool, until time.Duration) {
	down, silent, until = len(hosts) > 0, len(hosts) > 0, never
	for _, to := range hosts {
		here, mute := false, false
		for _, o := range c.between(from, to) {
			in, _, change := o.When.at(c.start, at)
			until = min(until, change)
			if !in || o.Result.What == Greylists || o.Result.What == TooBig && size <= o.Result.Limit {
				continue
			}
			if !here {
				mute = o.outcome.Trouble == custody.Unreachable
			}
			here = true
		}
		down, silent = down && here, silent && mute
	}
	return down, silent, until
}

// timers are groups in the order in which they are tried.
type timers []*group

func (t timers) Len() int { return len(t) }
func (t timers) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(t[i].at, t[j].at), cmp.Compare(t[i].from, t[j].from)) < 0
}
func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(g any)   { *t = append(*t, g.(*group)) }
func (t *timers) Pop() any {
	old := *t
	g := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	return g
}

var _ heap.Interface = (*timers)(nil)

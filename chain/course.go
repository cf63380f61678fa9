package chain

import (
	"cmp"
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/system"
)

// course is a scenario made ready to be walked.
type course struct {
	s     Scenario
	start time.Time // of the message; made up if the scenario has none
	hops  []*hop    // the chain's, then those of Back
	out   route
	back  route
	links map[[2]int][]link // what can go wrong between two hops, by stage
	notes []string          // what had to be assumed
}

// hop is a hop with its law.
type hop struct {
	Hop
	i       int
	keep    keeper // nil: a destination
	letters keeper // of mail with a null return path; nil: as keep
	system  system.System
}

// ours reports whether the hop is run by custody.
func (h *hop) ours() bool { return h.Schedule != nil }

// route is a way through the hops.
type route struct {
	next  [][]int // whom each of them asks, in this order
	order []int   // one in which custody can only go forwards
	home  int     // with it the mail has arrived; below 0: with any that has nobody to ask
}

// ends reports whether mail has arrived with a hop.
func (r route) ends(i int) bool { return i == r.home || len(r.next[i]) == 0 }

// noon is the start of a scenario that names none.
var noon = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

// chart makes a sound scenario ready.
func chart(s Scenario) *course {
	c := &course{s: s, start: s.Start, links: map[[2]int][]link{}}
	if c.start.IsZero() {
		c.start = noon
	}
	for i, h := range slices.Concat(s.Hops, s.Back.Hops) {
		hop := &hop{Hop: h, i: i}
		c.engage(hop)
		c.hops = append(c.hops, hop)
	}
	chain := groups(c.hops[:len(s.Hops)])
	c.out = c.through(chain)
	switch {
	case s.Back.Hops != nil:
		own := groups(c.hops[len(s.Hops):])
		c.back = c.through(own)
		for i := 1; i < len(s.Hops); i++ {
			c.back.next[i] = indices(own[0])
		}
		c.back.order = slices.Concat(c.out.order, c.back.order)
		return c
	case s.Back.Direct:
		c.back.next = make([][]int, len(c.hops))
		for i := 1; i < len(c.hops); i++ {
			c.back.next[i] = []int{0}
		}
	default:
		c.back.next = make([][]int, len(c.hops))
		for g, members := range chain[1:] {
			for _, h := range members {
				c.back.next[h.i] = indices(chain[g])
			}
		}
	}
	c.back.order = slices.Clone(c.out.order)
	slices.Reverse(c.back.order)
	return c
}

// groups puts hops together that are asked one after the other for the same mail,
// in the order in which they are asked.
func groups(hops []*hop) [][]*hop {
	var gs [][]*hop
	for _, h := range hops {
		if h.Backup == "" || len(gs) == 0 {
			gs = append(gs, nil)
		}
		gs[len(gs)-1] = append(gs[len(gs)-1], h)
	}
	for _, g := range gs {
		slices.SortStableFunc(g, func(a, b *hop) int { return cmp.Compare(rank(a), rank(b)) })
	}
	return gs
}

// rank orders the hosts for the same mail: the preferred one and its equals first.
func rank(h *hop) int {
	if h.Backup == "" || h.Equal {
		return -1
	}
	return h.Preference
}

func indices(hops []*hop) []int {
	is := make([]int, len(hops))
	for i, h := range hops {
		is[i] = h.i
	}
	return is
}

// through is the route through groups of hops. A backup MX hands on to those that
// are preferred to it, whatever comes behind them (RFC 5321 5.1).
func (c *course) through(gs [][]*hop) route {
	r := route{next: make([][]int, len(c.hops)), home: -1}
	for g, members := range gs {
		for _, h := range slices.Backward(members) {
			r.order = append(r.order, h.i)
			switch {
			case rank(h) >= 0:
				r.next[h.i] = indices(slices.DeleteFunc(slices.Clone(members), func(o *hop) bool { return rank(o) >= rank(h) }))
			case g+1 < len(gs):
				r.next[h.i] = indices(gs[g+1])
			}
		}
	}
	return r
}

// link is an outage between two hops, and how an attempt hears of it.
type link struct {
	*Outage
	outcome *custody.Outcome
}

// between returns the outages that bear on what one hop sends to another, those
// that meet an attempt first in front.
func (c *course) between(from, to int) []link {
	key := [2]int{from, to}
	if l, ok := c.links[key]; ok {
		return l
	}
	var l []link
	for i := range c.s.Outages {
		o := &c.s.Outages[i]
		if (o.From == "" || o.From == c.hops[from].Name) && o.To == c.hops[to].Name {
			outcome := o.Result.outcome(o.To)
			l = append(l, link{o, &outcome})
		}
	}
	slices.SortStableFunc(l, func(a, b link) int { return cmp.Compare(a.Result.stage(), b.Result.stage()) })
	c.links[key] = l
	return l
}

// down returns since when one hop has been failing for another, as far as the
// other can know, and how long that may be so: of what was before the message came,
// only what the scenario says outright, unless other mail takes the same way.
func (c *course) down(from, to int, t time.Duration) (since time.Duration, failing bool, until time.Duration) {
	until = never
	for _, o := range c.between(from, to) {
		in, begun, change := o.When.at(c.start, t)
		until = min(until, change)
		if in && !failing && o.Result.stage() < mail.Mail && (c.hops[from].Busy || begun < 0) {
			since, failing = begun, true
		}
	}
	return since, failing, until
}

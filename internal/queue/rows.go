package queue

import (
	"maps"
	"time"

	"github.com/postrider/postrider/custody"
)

// row is a Site in the making.
type row struct {
	Site
	site   string // in full; "": not known
	alone  bool   // it is a lane, of those that lead to site
	lanes  []laneCount
	oldest []custody.DeliveryID
}

type laneCount struct {
	name string
	n    int
}

// trouble ranks a row: what an operator stopped may be forgotten, silence may end by
// itself.
func (r *row) trouble() int {
	switch {
	case r.Paused != nil:
		return 4
	case r.Health == Silent && r.Waiting > 0:
		return 3
	case r.Health == NoWay && r.Waiting > 0:
		return 2
	case r.Health == Deferring && r.Waiting > 0:
		return 1
	}
	return 0
}

// rows groups the lanes by where they lead. Also is a pause that is taken to be in
// force with the others; nil: none.
func (q *Queue) rows(c *count, also *Pause) []*row {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.book.mu.Lock()
	defer q.book.mu.Unlock()
	g := groups{book: q.book, pauses: maps.Clone(q.pauses), by: map[string]*row{}, names: map[string]string{}}
	if also != nil {
		g.pauses[also.Name] = also
	}
	under := map[string]int{}
	for _, it := range q.inflight {
		if it.aside == "" && it.d.Domain != "" {
			under[it.d.Lane()]++
		}
	}
	for name, w := range c.lanes {
		g.lane(name, w, under[name])
		delete(under, name)
	}
	for name, n := range under { // what has come since it was counted
		g.lane(name, queued{}, n)
	}
	for site, card := range q.book.cards {
		if card.way.None == nil {
			g.row(g.name(site), site)
		}
	}
	g.pause()
	out := make([]*row, 0, len(g.by))
	for _, r := range g.by {
		q.describe(r)
		out = append(out, r)
	}
	return out
}

// groups are the rows while lanes are filed in them. The lock of the book is held.
type groups struct {
	book   *book
	pauses map[string]*Pause
	by     map[string]*row   // by site, or by lane for one that stands alone
	names  map[string]string // of sites: worked out once
}

// row returns the row of a site, or with "" that of a lane alone.
func (g *groups) row(name, site string) *row {
	key := site
	if key == "" {
		key = name
	}
	r := g.by[key]
	if r == nil {
		r = &row{site: site, Site: Site{Name: name}}
		g.by[key] = r
	}
	return r
}

func (g *groups) name(site string) string {
	if _, ok := g.names[site]; !ok {
		g.names[site] = hostsOf(site)
	}
	return g.names[site]
}

// lane files a lane where it leads, or alone: where that is not known, or where it is
// paused by its own name.
func (g *groups) lane(name string, w queued, under int) {
	site := g.book.leads[name]
	card := g.book.cards[site]
	var r *row
	if p := g.pauses[name]; p != nil || card == nil || card.way.None != nil {
		r = g.row(name, "")
		r.alone, r.Paused = true, p
	} else {
		r = g.row(g.name(site), site)
	}
	if card != nil {
		r.site = site
	}
	r.Behind++
	r.Waiting += w.n
	r.UnderWay += under
	r.lanes = append(r.lanes, laneCount{name, w.n})
	r.oldest = append(r.oldest, w.oldest...)
}

// pause marks the sites that are paused, and adds what is paused and is not there.
func (g *groups) pause() {
	shown := map[string]bool{}
	for _, r := range g.by {
		if p := g.pauses[r.Name]; p != nil && p.Site && !r.alone {
			r.Paused = p
			shown[p.Name] = true
		}
	}
	for name, p := range g.pauses {
		if !shown[name] {
			g.row(name, "").Paused = p
		}
	}
}

// describe writes what is remembered of its site into a row. The locks of the queue
// and its book are held.
func (q *Queue) describe(r *row) {
	r.Most = q.o.PerSite
	if c := q.book.cards[r.site]; c != nil {
		r.Way, r.Rule, r.Gap, r.Last = c.way.Text, c.way.Rule, c.way.Gap, c.last
		if c.way.Parallel > 0 {
			r.Most = c.way.Parallel
		}
		if r.Waiting > 0 && !c.no.IsZero() {
			r.Last = c.no
		}
		switch {
		case c.way.None != nil:
			r.Health = NoWay
		case !c.silent.IsZero():
			r.Health, r.Since, r.Knocks = Silent, c.silent, c.knocks
		case !c.last.IsZero() && c.last.Taken == custody.Nothing:
			r.Health, r.Since = Deferring, c.lived
		case !c.lived.IsZero():
			r.Health, r.Since = Living, c.lived
		}
	}
	if s := q.sites[r.site]; s != nil {
		r.Connections, r.Window, r.Most = s.active, s.window, q.limit(s)
		if !s.knock.IsZero() && s.knock.After(time.Now()) {
			r.Knock = s.knock
		}
	}
}

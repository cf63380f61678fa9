package queue

import (
	"context"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// postpone puts off what is due in a lane whose destination is dead until that
// is next knocked at. Warnings go out meanwhile, and a delivery at its deadline
// may have the host knocked at out of turn. What was due at the last knock shares it: it
// was not known then that the lane leads there.
func (q *Queue) postpone(ctx context.Context, name string, l *lane, s *site) {
	var knocks *spool.Item
	q.each(ctx, name, l, func(now time.Time, it spool.Item) bool {
		sch := q.o.Rules.Schedule(it.Delivery)
		last := !now.Before(custody.End(it.Delivery, sch))
		q.mu.Lock()
		why, until := s.blocked(now, last)
		probing := s.probing()
		tried, shares := custody.Tried{At: s.down, Attempt: s.failed}, s.shares(it.Delivery, sch) && !q.spared(name, s.way.Site, s.failed.Began)
		if why != "" && !probing {
			s.waits(name)
		}
		q.mu.Unlock()
		if shares && wants(&item{d: it.Delivery}, sch, now) {
			q.shared <- q.result(it, tried)
			return true
		}
		if why == "" || probing {
			knocks = &it
			return false
		}
		q.shared <- q.result(it, custody.Due{At: now, Blocked: why, Until: until})
		return true
	})
	if knocks == nil {
		return
	}
	// Only now, when the lane is free: the knock is shared by all that is due in it.
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.probing() {
		q.untake(knocks.Delivery.ID)
	} else {
		q.ready(s, *knocks, nil)
	}
}

// unrouted concludes what is due in a lane whose way leads nowhere. For each
// delivery that is to be tried that is an attempt of its own: where mail goes is
// looked up for each. What only a warning has waked is warned of.
func (q *Queue) unrouted(ctx context.Context, name string, l *lane, w custody.Way) {
	q.each(ctx, name, l, func(now time.Time, it spool.Item) bool {
		q.mu.Lock()
		p := q.pauseOf(name, "")
		q.mu.Unlock()
		if p != nil { // since this began
			q.putBack(it.Delivery.ID)
			return false
		}
		if !wants(&item{d: it.Delivery}, q.o.Rules.Schedule(it.Delivery), now) {
			q.shared <- q.result(it, custody.Due{At: now})
			return true
		}
		o := *w.None
		o.At = now
		a := custody.Attempt{Began: now, Way: w.Text, Rule: w.Rule, Outcomes: []custody.Outcome{o}}
		q.shared <- q.result(it, custody.Tried{At: now, Attempt: a})
		return true
	})
}

// each gives f what is due in a lane when it begins, taken, until f has enough, then makes
// the lane visible again. What f has put off until after that is not read twice, however
// long it all takes. After each page it rests for as long as that took, unless something
// in it was at its end: a million deliveries that are put off leave the machine to others.
func (q *Queue) each(ctx context.Context, name string, l *lane, f func(time.Time, spool.Item) bool) {
	now := time.Now()
	for more := true; more && !q.stopping(); {
		began := time.Now()
		var items []spool.Item
		var err error
		items, more, err = q.due(ctx, name, time.Time{}, now, page)
		if err != nil {
			q.o.Log.Error("the queue cannot read what is due", "lane", name, "err", err)
		}
		enough, ends := false, false
		for _, it := range items {
			ends = ends || !now.Before(custody.End(it.Delivery, q.o.Rules.Schedule(it.Delivery)))
			if enough {
				q.putBack(it.Delivery.ID)
			} else if !f(now, it) {
				more, enough = false, true
			}
		}
		if more && !ends {
			sleep(ctx, time.Since(began))
		}
	}
	q.mu.Lock()
	l.busy, l.drained = false, time.Now()
	q.mu.Unlock()
	q.Wake()
}

// result is an event for a delivery that is taken.
func (q *Queue) result(it spool.Item, e custody.Event) result {
	q.mu.Lock()
	defer q.mu.Unlock()
	return result{message: it.Message, items: []*item{q.inflight[it.Delivery.ID]}, event: e}
}

// share makes an attempt that ended before MAIL the attempt of everything that
// was due at the site when it began (RFC 5321 4.5.4.1: a dead host is not tried
// item by item), and the last one of what reached its deadline meanwhile. It returns
// when the first of these is due again.
func (q *Queue) share(ctx context.Context, s *site, left []*load, a custody.Attempt, now time.Time) (first time.Time) {
	a.Shared = true
	e := custody.Tried{At: now, Attempt: a}
	tried := func(d custody.Delivery) {
		if d, _ := custody.Step(d, q.o.Rules.Schedule(d), e); !d.Next.IsZero() && (first.IsZero() || d.Next.Before(first)) {
			first = d.Next
		}
	}
	for _, l := range left {
		q.mu.Lock()
		q.held -= len(l.body)
		q.mu.Unlock()
		for _, it := range l.items {
			it.early = false // it was not due: the knock was none of its own
			q.mu.Lock()
			own := !q.spared(it.d.Lane(), s.way.Site, a.Began) && wants(it, q.o.Rules.Schedule(it.d), a.Began)
			q.mu.Unlock()
			if own {
				tried(it.d)
				q.shared <- result{message: l.message, items: []*item{it}, event: e}
			} else {
				q.shared <- result{message: l.message, items: []*item{it}, event: custody.Due{At: now}}
			}
		}
	}
	// What else fell due meanwhile, or is due again, waits for the next knock.
	putOff := func(now time.Time) custody.Due {
		q.mu.Lock()
		defer q.mu.Unlock()
		return custody.Due{At: now, Blocked: s.why, Until: later(s.knock, now.Add(again))}
	}
	seen := map[string]bool{}
	elsewhere := func(name string) bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		l := q.lanes[name]
		return l == nil || l.busy || l.finding || l.way.Site != s.way.Site || seen[name] || q.spared(name, s.way.Site, a.Began)
	}
	for !q.stopping() {
		lanes, err := q.o.Store.Lanes(ctx, a.Began, 100, elsewhere)
		if err != nil || len(lanes) == 0 {
			return first
		}
		for _, lane := range lanes {
			seen[lane.Name] = true
			q.mu.Lock()
			l := q.lanes[lane.Name]
			if l == nil || l.busy || l.finding { // since it was listed
				q.mu.Unlock()
				continue
			}
			l.busy = true
			s.waits(lane.Name)
			q.mu.Unlock()
			q.each(ctx, lane.Name, l, func(due time.Time, it spool.Item) bool {
				q.mu.Lock()
				spared := q.spared(lane.Name, s.way.Site, a.Began)
				q.mu.Unlock()
				if spared { // it is paused since this began
					q.putBack(it.Delivery.ID)
					return false
				}
				d := it.Delivery
				if d.Held.IsZero() && served(d, q.o.Rules.Schedule(d), a.Began, now) {
					tried(d)
					q.shared <- q.result(it, e)
				} else {
					q.shared <- q.result(it, putOff(due))
				}
				return true
			})
		}
	}
	return first
}

func (q *Queue) stopping() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stopped
}

package queue

import (
	"context"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// postpone puts off what is due in a lane whose destination is dead until that
// is next knocked at. Warnings go out meanwhile, and a delivery at its deadline
// may have the host knocked at out of turn.
func (q *Queue) postpone(ctx context.Context, name string, l *lane, s *site) {
	q.each(ctx, name, l, func(now time.Time, it spool.Item) bool {
		sch := q.o.Rules.Schedule(it.Delivery)
		last := !now.Before(custody.End(it.Delivery, sch))
		q.mu.Lock()
		why, until := s.blocked(now, last)
		if why == "" || s.probing() {
			if !s.probing() {
				q.take(s, it, nil)
			}
			q.mu.Unlock()
			return false
		}
		q.mu.Unlock()
		q.results <- q.taking(it, custody.Due{At: now, Blocked: why, Until: until})
		return true
	})
}

// unrouted concludes what is due in a lane that leads nowhere now. For each
// delivery that is an attempt of its own: where mail goes is looked up for each.
func (q *Queue) unrouted(ctx context.Context, name string, l *lane) {
	q.each(ctx, name, l, func(now time.Time, it spool.Item) bool {
		o := *l.way.None
		o.At = now
		a := custody.Attempt{Began: now, Way: l.way.Text, Rule: l.way.Rule, Outcomes: []custody.Outcome{o}}
		q.results <- q.taking(it, custody.Tried{At: now, Attempt: a})
		return true
	})
}

// each gives f what is due in a lane until f has enough, then makes the lane
// visible again.
func (q *Queue) each(ctx context.Context, name string, l *lane, f func(time.Time, spool.Item) bool) {
	for more := true; more && !q.stopping(); {
		now := time.Now()
		items, err := q.due(ctx, name, now, page)
		if err != nil {
			q.o.Log.Error("the queue cannot read what is due", "lane", name, "err", err)
		}
		more = len(items) == page
		for _, it := range items {
			if !f(now, it) {
				more = false
				break
			}
		}
	}
	q.mu.Lock()
	l.busy, l.drained = false, time.Now()
	q.mu.Unlock()
	q.Wake()
}

// taking marks a delivery as taken and makes the result of an event for it.
func (q *Queue) taking(it spool.Item, e custody.Event) result {
	i := &item{d: it.Delivery}
	q.mu.Lock()
	q.inflight[it.Delivery.ID] = i
	q.mu.Unlock()
	return result{message: it.Message, items: []*item{i}, event: e}
}

// share makes an attempt that ended before MAIL the attempt of everything that
// was due at the site when it began (RFC 5321 4.5.4.1: a dead host is not tried
// item by item). It returns when the first of these is due again.
func (q *Queue) share(ctx context.Context, s *site, loads []*load, a custody.Attempt, now time.Time) (first time.Time) {
	a.Shared = true
	e := custody.Tried{At: now, Attempt: a}
	tried := func(d custody.Delivery) {
		if d, _ := custody.Step(d, q.o.Rules.Schedule(d), e); !d.Next.IsZero() && (first.IsZero() || d.Next.Before(first)) {
			first = d.Next
		}
	}
	for _, l := range loads {
		q.mu.Lock()
		q.held -= len(l.body)
		q.mu.Unlock()
		for _, it := range l.items {
			if wants(it, q.o.Rules.Schedule(it.d), a.Began) {
				tried(it.d)
				q.results <- result{message: l.message, items: []*item{it}, event: e}
			} else {
				q.results <- result{message: l.message, items: []*item{it}, event: custody.Due{At: now}}
			}
		}
	}
	seen := map[string]bool{}
	elsewhere := func(name string) bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		l := q.lanes[name]
		return l == nil || l.busy || l.finding || l.way.Site != s.way.Site || seen[name]
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
			l.busy = true
			q.mu.Unlock()
			q.each(ctx, lane.Name, l, func(_ time.Time, it spool.Item) bool {
				if it.Delivery.Held.IsZero() && !it.Delivery.Next.After(a.Began) {
					tried(it.Delivery)
					q.results <- q.taking(it, e)
				} else {
					q.results <- q.taking(it, custody.Due{At: now, Blocked: s.why, Until: s.knock})
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

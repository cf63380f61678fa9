package queue

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
)

// waits notes that mail of a lane waits for the site in vain.
func (s *site) waits(lane string) {
	if s.waiting == nil {
		s.waiting = map[string]bool{}
	}
	if len(s.waiting) < lanesKept {
		s.waiting[lane] = true
	}
}

// revive begins to pour out what waits for a site if a load that got through is
// the first sign of its life: it was known to be dead, or the load itself had met
// only silence before, or been put off (after a restart nothing else tells).
func (q *Queue) revive(ctx context.Context, s *site, got *load) {
	for _, it := range got.items {
		l := q.lanes[it.d.Lane()]
		waited := it.d.Last == custody.Unreachable || it.d.Tries == 0 && time.Since(it.d.Accepted) > knockLeast
		if !it.early && waited && l != nil && time.Since(l.poured) > knockLeast {
			s.waits(it.d.Lane())
		}
	}
	if len(s.waiting) > 0 && !s.pouring {
		s.pouring = true
		q.aside(func() { q.pour(ctx, s) })
	}
}

// pour gives a site that answers again what waits for it, before its time: in the
// order in which it was accepted, as fast as the window of the site opens. The
// schedules are left as they are and nothing is written: what does not get its
// turn, because the site dies again or the queue stops, keeps its own time.
func (q *Queue) pour(ctx context.Context, s *site) {
	for {
		var ids []custody.DeliveryID
		names := q.pourable(s)
		for _, name := range names {
			waiting, err := q.o.Store.Queued(ctx, name)
			if err != nil {
				q.o.Log.Error("the queue cannot read what waits for a host that answers again", "lane", name, "err", err)
			}
			ids = append(ids, waiting...)
		}
		slices.SortFunc(ids, func(a, b custody.DeliveryID) int { return bytes.Compare(a.Message[:], b.Message[:]) })
		for _, id := range ids {
			if !q.roomAt(ctx, s) {
				break
			}
			q.early(ctx, s, id)
		}
		if !q.poured(s, names) {
			return
		}
	}
}

// poured ends a round of pour. It answers true if more has come to wait; lanes of
// a site that died again wait for its next sign of life.
func (q *Queue) poured(s *site, names []string) (again bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !s.knock.IsZero() {
		for _, name := range names {
			s.waits(name)
		}
	}
	s.pouring = s.knock.IsZero() && len(s.waiting) > 0 && !q.stopped
	return s.pouring
}

// pourable takes the lanes that are known to wait for a site.
func (q *Queue) pourable(s *site) (names []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for name := range s.waiting {
		names = append(names, name)
		if l := q.lanes[name]; l != nil {
			l.poured = time.Now()
		}
	}
	clear(s.waiting)
	return names
}

// roomAt waits until a site has room for one more load; false if it has died, or
// the queue stops.
func (q *Queue) roomAt(ctx context.Context, s *site) bool {
	for {
		q.mu.Lock()
		room, over := s.room() > 0, q.stopped || !s.knock.IsZero() || q.pauseOf("", s.way.Site) != nil
		q.mu.Unlock()
		if room || over {
			return !over
		}
		if !sleep(ctx, pourPause) {
			return false
		}
	}
}

// early puts a delivery before its destination although it is not due, if it may
// be tried and still goes there.
func (q *Queue) early(ctx context.Context, s *site, id custody.DeliveryID) {
	it, ok := q.takeOut(ctx, id)
	if !ok {
		return
	}
	taken := &item{d: it.Delivery, early: true}
	if !wants(taken, q.o.Rules.Schedule(it.Delivery), time.Now()) || !q.leads(ctx, it.Delivery, s) {
		q.putBack(id)
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inflight[id].d, q.inflight[id].early = it.Delivery, true
	q.ready(s, it, nil)
}

// leads reports whether the mail of a delivery's lane goes to a site now, and may.
func (q *Queue) leads(ctx context.Context, d custody.Delivery, s *site) bool {
	name, now := d.Lane(), time.Now()
	q.mu.Lock()
	l := q.lanes[name]
	known := l != nil && (l.finding || now.Sub(l.found) <= wayLife)
	q.mu.Unlock()
	if !known {
		w := q.way(ctx, d)
		q.mu.Lock()
		if l = q.lanes[name]; l == nil {
			l = q.lane(name)
			l.poured = now // by who asks
		}
		l.way, l.found = w, now
		q.book.found(name, w, now)
		q.mu.Unlock()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return l.way.None == nil && q.sites[l.way.Site] == s && q.pauseOf(name, l.way.Site) == nil
}

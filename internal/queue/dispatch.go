package queue

import (
	"context"
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

const (
	wayLife    = 10 * time.Second      // a way is looked up again after it
	lookUps    = 100                   // ways looked up at a time
	lanesKept  = 100_000               // lanes whose way is remembered
	bodiesHeld = 2 << 20               // octets of bodies kept in memory
	page       = 500                   // deliveries read at a time
	again      = time.Second           // a lane whose due mail is all taken is looked at again
	soon       = 20 * time.Millisecond // and one into which mail came meanwhile
	pourPause  = 10 * time.Millisecond
)

// lane is what the queue knows of a lane (custody.Delivery.Lane).
type lane struct {
	way     custody.Way
	found   time.Time // when way was found; zero: not yet
	read    time.Time // when its deliveries were last read in the store
	finding bool
	busy    bool      // somebody steps what is due in it
	drained time.Time // when all that was due in it had been taken
	lately  time.Time // when all that had fallen due lately had been (asks)
	more    bool      // but for what came at the same time
	poured  time.Time // when what waited in it was last tried before its time
}

// rests reports whether a lane has been drained so lately that it need not be looked at.
func (l *lane) rests(now time.Time) bool {
	if l.more {
		return now.Sub(l.drained) < soon
	}
	return now.Sub(l.drained) < again
}

// reader is a look at the store under way: what is put back meanwhile was perhaps
// read before its step was stored.
type reader struct{ passed map[custody.DeliveryID]bool }

// dispatch takes what is due from the store and puts it before its destination,
// until ctx ends.
func (q *Queue) dispatch(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	fresh, missed := q.o.Store.Fresh(), false
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-fresh:
			full := len(fresh)+1 >= cap(fresh) // then there may have been more
			missed = missed || full
			if all := q.fresh(f, full); all && (!missed || len(fresh) > 0) {
				continue
			}
			missed = false
		case <-q.kick:
		case <-timer.C:
		}
		next, err := q.fetch(ctx)
		if err != nil && ctx.Err() == nil {
			q.o.Log.Error("the queue cannot read what is due", "err", err)
			next = time.Now().Add(5 * time.Second)
		}
		timer.Reset(time.Until(next))
	}
}

// fresh takes deliveries that were stored just now and are still in memory. It
// answers false for what it leaves to fetch: a destination that must be looked
// up first, that is dead, or that has enough to do. There may have been others that
// were not handed on.
func (q *Queue) fresh(f spool.Fresh, others bool) (all bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	all = true
	now := time.Now()
	if others {
		q.missed = now
	}
	for _, it := range f.Items {
		l := q.lane(it.Delivery.Lane())
		s := q.siteOf(l, f.At, now)
		if s == nil || s.probing() {
			l.more = true
		}
		if s == nil || s.probing() || q.pauseOf(it.Delivery.Lane(), s.way.Site) != nil {
			all = false
			continue
		}
		if why, _ := s.blocked(now, false); why != "" {
			all = false
			continue
		}
		if s.roomForNew(now) <= 0 {
			l.drained, l.lately, l.more = time.Time{}, time.Time{}, true // a connection that falls idle has it fetched
			continue
		}
		if q.inflight[it.Delivery.ID] == nil {
			q.inflight[it.Delivery.ID] = &item{d: it.Delivery}
			body := f.Body
			if q.held+len(body) > bodiesHeld {
				body = nil // it is opened in the store
			}
			q.ready(s, it, body)
		}
	}
	return all
}

// siteOf returns the site of a delivery in a lane if its way is known well enough, and if
// it has not perhaps been read in the store already, tried and settled.
func (q *Queue) siteOf(l *lane, stored, now time.Time) *site {
	if l.busy || l.found.IsZero() || l.way.None != nil || now.Sub(l.found) > wayLife || !stored.After(l.read) {
		return nil
	}
	return q.site(l.way)
}

// lane answers what is known of a lane. One that was not known may have been read
// until now.
func (q *Queue) lane(name string) *lane {
	l := q.lanes[name]
	if l == nil {
		l = &lane{read: time.Now()}
		q.lanes[name] = l
	}
	return l
}

// sees notes that something of a lane has been read in the store: what stands in Fresh
// since before may be the same. Whoever reads calls it while that is taken. The lock is
// held.
func (q *Queue) sees(lane string) {
	if l := q.lanes[lane]; l != nil {
		l.read = time.Now()
	}
}

func (q *Queue) site(w custody.Way) *site {
	s := q.sites[w.Site]
	if s == nil {
		s = &site{window: 1, shared: map[custody.ID]*load{}}
		q.sites[w.Site] = s
	}
	s.way = w
	return s
}

// ready puts a delivery that is taken before its destination, unless something has been
// ordered since it was taken. The lock is held.
func (q *Queue) ready(s *site, it spool.Item, body []byte) {
	taken := q.inflight[it.Delivery.ID]
	if len(taken.orders) > 0 {
		q.untake(it.Delivery.ID)
		return
	}
	if s.shared[it.Message.ID] == nil {
		q.held += len(body)
	}
	s.put(it, taken, body, time.Now())
	q.feed(s)
}

// fetch goes through the lanes with something due. It returns when to look again
// if nothing happens before.
func (q *Queue) fetch(ctx context.Context) (time.Time, error) {
	for {
		now := time.Now()
		lanes, err := q.o.Store.Lanes(ctx, now, 100, q.skip(now))
		if err != nil {
			return now, err
		}
		moved := false
		for _, l := range lanes {
			ok, err := q.visit(ctx, l.Name, now)
			if err != nil {
				return now, err
			}
			moved = moved || ok
		}
		if moved {
			continue
		}
		next, err := q.o.Store.Lanes(ctx, time.Time{}, 1, q.skip(now))
		if err != nil {
			return now, err
		}
		tick := now.Add(q.prune(now))
		if len(next) > 0 && next[0].Wake.Before(tick) {
			tick = next[0].Wake
		}
		return tick, nil
	}
}

// skip answers which lanes need no look now: all those, and only those, for which
// visit could do nothing.
func (q *Queue) skip(now time.Time) func(string) bool {
	return func(name string) bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		l := q.lanes[name]
		if l == nil {
			return q.finding >= lookUps
		}
		if l.busy || l.finding || l.rests(now) {
			return true
		}
		if q.pauses[name] != nil {
			return false
		}
		if s := q.sites[l.way.Site]; s != nil && !l.found.IsZero() && l.way.None == nil && q.pauseOf(name, l.way.Site) == nil {
			_, n := q.asks(s, l, now)
			if why, _ := s.blocked(now, false); s.probing() || why == "" && n <= 0 {
				return true
			}
		}
		return now.Sub(l.found) > wayLife && q.finding >= lookUps
	}
}

// asks answers how many of the due deliveries of a lane its site takes, and from which
// moment on: any (zero), but if the site is behind and new mail of the lane is still to be
// read.
func (q *Queue) asks(s *site, l *lane, now time.Time) (from time.Time, n int) {
	unread := l.more || q.missed.After(l.lately)
	if n = s.roomForNew(now); n > 0 && unread && s.behind(now) && now.Sub(l.lately) >= soon {
		return s.since(now), n
	}
	return time.Time{}, s.roomForDue()
}

// prune forgets lanes and sites about which nothing is to be known, and returns how long
// to wait at most: some lane may wait only for what has been taken of it.
func (q *Queue) prune(now time.Time) (wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	wait = time.Hour
	for name, l := range q.lanes {
		if l.more && l.rests(now) || (l.more || q.missed.After(l.lately)) && now.Sub(l.lately) < soon {
			wait = soon
		} else if l.rests(now) {
			wait = min(wait, again)
		}
		old := now.Sub(l.found) > 10*wayLife && now.Sub(l.drained) > again
		if !l.busy && !l.finding && (old || len(q.lanes) > lanesKept) {
			delete(q.lanes, name)
		}
	}
	for name, s := range q.sites {
		if s.active == 0 && s.given() == 0 && s.away == 0 && !s.hungry && !s.pouring && s.knock.Before(now.Add(-2*knockMost)) && s.proven.Before(now.Add(-time.Minute)) && !s.paced.After(now) {
			delete(q.sites, name)
		}
	}
	return wait
}

// visit does what is to be done about a lane with something due: look its way up,
// put its mail before the destination, or tell it to wait. It answers false if
// that must wait itself.
func (q *Queue) visit(ctx context.Context, name string, now time.Time) (moved bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lane(name)
	if p := q.pauses[name]; p != nil {
		l.busy = true
		q.aside(func() { q.keep(ctx, name, l, p) })
		return true, nil
	}
	if now.Sub(l.found) > wayLife {
		if q.finding >= lookUps {
			return false, nil
		}
		l.finding = true
		q.finding++
		q.aside(func() { q.find(ctx, name, l, now) })
		return true, nil
	}
	if l.way.None != nil {
		l.busy = true
		w := l.way // pour may look it up meanwhile
		q.aside(func() { q.unrouted(ctx, name, l, w) })
		return true, nil
	}
	if p := q.pauseOf(name, l.way.Site); p != nil {
		l.busy = true
		q.aside(func() { q.keep(ctx, name, l, p) })
		return true, nil
	}
	s := q.site(l.way)
	if s.probing() {
		return false, nil
	}
	if why, _ := s.blocked(now, false); why != "" {
		l.busy = true
		q.aside(func() { q.postpone(ctx, name, l, s) })
		return true, nil
	}
	from, n := q.asks(s, l, now)
	if s.proven.IsZero() {
		n = min(n, 10) // a probe needs no more
	}
	if n <= 0 {
		return false, nil
	}
	q.mu.Unlock()
	items, more, err := q.due(ctx, name, from, now, n)
	q.mu.Lock()
	if !more {
		l.more = false
		if l.lately = now; from.IsZero() {
			l.drained = now
		}
	}
	why, _ := s.blocked(now, false) // it may have died meanwhile
	for _, it := range items {
		if why != "" {
			q.untake(it.Delivery.ID)
		} else {
			q.ready(s, it, nil)
		}
	}
	return true, err
}

// due reads deliveries of a lane that nobody has taken, n at most, and takes them. There
// may be more.
func (q *Queue) due(ctx context.Context, lane string, from, until time.Time, n int) (items []spool.Item, more bool, err error) {
	r := &reader{passed: map[custody.DeliveryID]bool{}}
	q.mu.Lock()
	q.readers = append(q.readers, r)
	q.mu.Unlock()
	items, err = q.o.Store.Due(ctx, lane, from, until, n, q.taken)
	more = len(items) == n
	q.mu.Lock()
	defer q.mu.Unlock()
	q.readers = slices.DeleteFunc(q.readers, func(other *reader) bool { return other == r })
	q.sees(lane)
	items = slices.DeleteFunc(items, func(it spool.Item) bool {
		return r.passed[it.Delivery.ID] || q.inflight[it.Delivery.ID] != nil
	})
	for _, it := range items {
		q.inflight[it.Delivery.ID] = &item{d: it.Delivery}
	}
	return items, more, err
}

// find looks up the way of a lane, aside: the DNS may take its time.
func (q *Queue) find(ctx context.Context, name string, l *lane, now time.Time) {
	first, err := q.o.Store.Due(ctx, name, time.Time{}, now, 1, q.taken)
	if err != nil && ctx.Err() == nil {
		q.o.Log.Error("the queue cannot read what is due", "lane", name, "err", err)
	}
	var w custody.Way
	if len(first) > 0 {
		w = q.way(ctx, first[0].Delivery)
	}
	q.mu.Lock()
	q.finding--
	l.finding = false
	if len(first) > 0 {
		l.way, l.found = w, time.Now()
		q.book.found(name, w, l.found)
	} else {
		l.drained = now
	}
	q.mu.Unlock()
	q.Wake()
}

// aside runs f beside the dispatcher.
func (q *Queue) aside(f func()) {
	q.work.Add(1)
	go func() {
		defer q.work.Done()
		f()
	}()
}

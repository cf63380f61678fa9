package queue

import (
	"context"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

const (
	turnsLook  = 5 * time.Minute // between two walks for warnings of what waits for its turn
	turnsShare = 100             // and at least so many times what the last took
	turnsLate  = time.Minute     // a warning so long overdue does not come with a try any more
)

// inTurn is why what a full destination has not taken yet is not tried.
const inTurn = "it waits for its turn: other mail to the same destination goes first"

// warnInTurn tells the senders of what waits for its turn at a destination of the delay,
// until ctx ends: nobody takes it before there is room, and a host that takes its time may
// have work for longer than the age of a warning.
func (q *Queue) warnInTurn(ctx context.Context) {
	wait := turnsLook
	for sleep(ctx, wait) {
		if wait = turnsLook; !q.delivering() {
			continue
		}
		began := time.Now()
		if err := q.warnOverdue(ctx, began); err != nil && ctx.Err() == nil {
			q.o.Log.Error("the queue cannot read what waits for its turn", "err", err)
		}
		wait = max(wait, turnsShare*time.Since(began))
	}
}

// delivering reports whether mail stands before a destination.
func (q *Queue) delivering() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.sites {
		if s.given() > 0 || s.active > 0 {
			return true
		}
	}
	return false
}

// warnOverdue has the warnings sent that were due some time ago. The mail stays due, in
// its place.
func (q *Queue) warnOverdue(ctx context.Context, now time.Time) error {
	for row, err := range q.o.Store.Find(ctx, spool.Query{}) {
		if err != nil || q.stopping() {
			return err
		}
		if !q.overdue(row.Delivery, now) {
			continue
		}
		if _, kept := q.Paused(row.Delivery); kept {
			continue
		}
		if r, ok := q.takeOverdue(ctx, row, now); ok {
			r.event = custody.Due{At: now, Blocked: q.inTheWay(r.items[0].d, now)}
			q.shared <- r
		}
	}
	return nil
}

// overdue reports whether a warning should have been sent some time ago.
func (q *Queue) overdue(d custody.Delivery, now time.Time) bool {
	w := custody.NextWarning(d, q.o.Rules.Schedule(d))
	return !w.IsZero() && now.Sub(w) > turnsLate
}

// inTheWay says what keeps a delivery from being tried that stands in the store or before
// its destination; "" if only a hold does, or its own time.
func (q *Queue) inTheWay(d custody.Delivery, now time.Time) string {
	if !isDue(d, now) {
		return ""
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if s := q.sites[q.book.led(d.Lane())]; s != nil && !s.knock.IsZero() {
		return s.why
	}
	return inTurn
}

// isDue reports whether a delivery is to be tried if nothing but itself is asked.
func isDue(d custody.Delivery, now time.Time) bool { return d.Held.IsZero() && !d.Next.After(now) }

// takeOverdue takes a delivery that is overdue, as it now is, from the store or from before
// its destination, where nobody else gets its place. False if it is not overdue any more,
// or is being worked on.
func (q *Queue) takeOverdue(ctx context.Context, row spool.Row, now time.Time) (r result, ok bool) {
	id := row.Delivery.ID
	it, ok := q.takeOut(ctx, id)
	if ok && !q.overdue(it.Delivery, now) {
		q.putBack(id)
		return result{}, false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	in := q.inflight[id]
	r = result{message: row.Message, items: []*item{in}}
	if ok {
		in.d = it.Delivery
		return r, true
	}
	if in == nil || len(in.orders) > 0 || !q.overdue(in.d, now) || !q.withdraw(in) {
		return result{}, false
	}
	in.site.away++
	r.settled = func() { q.comesBack(ctx, in) }
	return r, true
}

// comesBack puts a delivery that has been warned of where it stood before its destination,
// as it now is, unless something else has come of it.
func (q *Queue) comesBack(ctx context.Context, was *item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped {
		return
	}
	q.aside(func() {
		id, s := was.d.ID, was.site
		it, ok := q.takeOut(ctx, id)
		q.mu.Lock()
		defer q.mu.Unlock()
		s.away--
		switch {
		case !ok:
		case !s.knock.IsZero() || it.Delivery.Lane() != was.d.Lane():
			q.untake(id)
		default:
			in := q.inflight[id]
			in.d, in.early = it.Delivery, was.early
			q.ready(s, it, nil)
		}
	})
}

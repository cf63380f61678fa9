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
	overdue := func(it spool.Item) bool {
		w := custody.NextWarning(it.Delivery, q.o.Rules.Schedule(it.Delivery))
		return !w.IsZero() && now.Sub(w) > turnsLate
	}
	for row, err := range q.o.Store.Find(ctx, spool.Query{}) {
		if err != nil || q.stopping() {
			return err
		}
		if !overdue(row.Item) {
			continue
		}
		if _, kept := q.Paused(row.Delivery); kept {
			continue
		}
		it, ok := q.takeOut(ctx, row.Delivery.ID)
		if !ok {
			continue
		}
		if !overdue(it) {
			q.putBack(it.Delivery.ID)
			continue
		}
		q.mu.Lock()
		q.inflight[it.Delivery.ID].d = it.Delivery
		q.mu.Unlock()
		q.shared <- q.result(it, custody.Due{At: now, Blocked: inTurn})
	}
	return nil
}

package queue

import (
	"context"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// lookedAt is how many lanes are looked at for a clock that was wrong.
const lookedAt = 1000

// setBack makes due what the last process put off by a clock that was ahead: it would
// wait until that time comes.
func (q *Queue) setBack(ctx context.Context) {
	now := time.Now()
	lanes, err := q.o.Store.Lanes(ctx, time.Time{}, lookedAt, nil)
	for _, l := range lanes {
		first, err := q.o.Store.Due(ctx, l.Name, time.Time{}, 1, nil)
		if err != nil || len(first) == 0 {
			continue
		}
		if _, ahead := custody.SetBack(first[0].Delivery, now); !ahead {
			continue
		}
		q.o.Log.Warn("the clock was ahead when mail was last tried: what it put off is tried now", "accepted", first[0].Delivery.Accepted, "began", first[0].Delivery.Began)
		err = q.rewake(ctx, spool.Query{}, func(int, int) {}, func(it spool.Item) (custody.Delivery, time.Time, bool) {
			d, ahead := custody.SetBack(it.Delivery, now)
			return d, custody.Wake(d, q.o.Rules.Schedule(d)), ahead
		})
		if err != nil && !q.stopping() {
			q.o.Log.Error("what a wrong clock put off cannot be made due", "err", err)
		}
		return
	}
	if err != nil && ctx.Err() == nil {
		q.o.Log.Error("the queue cannot read for which destinations mail waits", "err", err)
	}
}

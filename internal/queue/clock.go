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
	lanes, err := q.o.Store.Lanes(ctx, time.Time{}, lookedAt, nil)
	if err != nil {
		if ctx.Err() == nil {
			q.o.Log.Error("the queue cannot read for which destinations mail waits", "err", err)
		}
		return
	}
	for _, l := range lanes {
		first, err := q.o.Store.Due(ctx, l.Name, time.Time{}, time.Time{}, 1, nil)
		if err != nil || len(first) == 0 {
			continue
		}
		d := first[0].Delivery
		if _, ahead := custody.SetBack(d, time.Now()); ahead {
			q.o.Log.Warn("the clock was ahead when mail was last tried: what it put off is tried now", "accepted", d.Accepted, "began", d.Began)
			q.setAllBack(ctx)
			return
		}
	}
}

// setAllBack does so for all that waits. What comes meanwhile came by the clock as it
// is now, and is left alone.
func (q *Queue) setAllBack(ctx context.Context) {
	err := q.rewake(ctx, spool.Query{}, func(int, int) {}, func(it spool.Item) (custody.Delivery, time.Time, bool) {
		d, ahead := custody.SetBack(it.Delivery, time.Now())
		return d, custody.Wake(d, q.o.Rules.Schedule(d)), ahead
	})
	if err != nil && !q.stopping() {
		q.o.Log.Error("what a wrong clock put off cannot be made due", "err", err)
	}
}

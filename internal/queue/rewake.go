package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// Reload forgets what is known of ways and rewrites the wakes that a changed
// configuration moves. It calls progress with the number of deliveries seen and
// moved so far, from time to time and at the end; nil: nobody asks.
func (q *Queue) Reload(ctx context.Context, progress func(seen, moved int)) error {
	q.mu.Lock()
	for _, l := range q.lanes {
		l.found = time.Time{}
	}
	q.mu.Unlock()
	if progress == nil {
		progress = func(int, int) {}
	}
	err := q.rewake(ctx, spool.Query{}, progress, func(it spool.Item) (custody.Delivery, time.Time, bool) {
		d, wake := q.rescheduled(it)
		return d, wake, !wake.Equal(it.Wake) || !d.Next.Equal(it.Delivery.Next)
	})
	if err != nil {
		return fmt.Errorf("queue: reload: %w", err)
	}
	return nil
}

// rescheduled is a delivery as the schedule now wants it, and its wake.
func (q *Queue) rescheduled(it spool.Item) (custody.Delivery, time.Time) {
	s := q.o.Rules.Schedule(it.Delivery)
	d := custody.Reschedule(it.Delivery, s, it.Delivery.Accepted)
	q.mu.Lock()
	p := q.pauses[d.Lane()] // a site may be another now: what it kept is looked at
	q.mu.Unlock()
	if p == nil || !d.Held.IsZero() {
		return d, custody.Wake(d, s)
	}
	wake := p.wake(d, s, time.Now())
	if it.Wake.Before(wake) {
		wake = it.Wake
	}
	return d, wake
}

const rewoken = 500 // deliveries that get another wake in one stroke

// rewake goes through what a query finds and stores what is to wait otherwise. Wants
// answers how, and whether it is otherwise at all; it is asked again of a delivery
// that has been taken for it. What is being tried is left alone: its own step sees to
// it. It ends early, without an error, when the queue stops.
func (q *Queue) rewake(ctx context.Context, what spool.Query, progress func(seen, moved int), wants func(spool.Item) (custody.Delivery, time.Time, bool)) error {
	var steps []spool.Step
	seen, moved := 0, 0
	flush := func() error {
		err := errors.Join(q.o.Store.Settle(ctx, steps)...)
		for _, s := range steps {
			q.putBack(s.Delivery.ID)
		}
		moved += len(steps)
		steps = steps[:0]
		progress(seen, moved)
		q.Wake()
		return err
	}
	for row, err := range q.o.Store.Find(ctx, what) {
		if err != nil {
			return errors.Join(err, flush())
		}
		if q.stopping() {
			break
		}
		seen++
		if _, _, other := wants(row.Item); !other {
			continue
		}
		it, ok := q.takeOut(ctx, row.Delivery.ID)
		if !ok {
			continue
		}
		d, wake, other := wants(it)
		if !other {
			q.putBack(d.ID)
			continue
		}
		if steps = append(steps, spool.Step{Delivery: d, Wake: wake}); len(steps) == rewoken {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// mark has the store remember an attempt by which a host took a message, before it is
// settled: a kill in between would have the message sent twice. It returns what is to
// be called when it is stored.
func (q *Queue) mark(d custody.Delivery, e custody.Tried) func() {
	m, ok := q.o.Store.(spool.Marker)
	if !ok || !slices.ContainsFunc(e.Attempt.Outcomes, func(o custody.Outcome) bool { return o.Taken != custody.Nothing }) {
		return func() {}
	}
	// Next tells the delivery as it was from the delivery as it is once that is settled.
	return m.Mark(custody.Entry{At: e.At, Delivery: d.ID, Event: e, Next: d.Next})
}

// recollect settles the attempts that the last process had made and not settled. What
// cannot be read stays marked, and is left alone.
func (q *Queue) recollect(ctx context.Context) {
	m, ok := q.o.Store.(spool.Marker)
	if !ok {
		return
	}
	all, settled := m.Marked()
	for i, e := range all {
		in := &item{}
		q.mu.Lock()
		taken := q.inflight[e.Delivery] != nil
		if !taken {
			q.inflight[e.Delivery] = in
		}
		q.mu.Unlock()
		if taken { // by an order; the next start knows whether it was stored
			continue
		}
		it, err := q.o.Store.Item(ctx, e.Delivery)
		if errors.Is(err, spool.ErrUnknown) || err == nil && !it.Delivery.Next.Equal(e.Next) {
			q.putBack(e.Delivery)
			settled[i]()
			continue
		}
		q.mu.Lock()
		if in.d = it.Delivery; err != nil {
			q.o.Log.Error("a delivery that a host has taken cannot be read; it is left alone until a restart", "delivery", e.Delivery, "err", err)
			in.aside = fmt.Sprintf("no try before a restart: a host has taken it, and it could not be read (%v)", err)
			in.answer(err)
		}
		q.mu.Unlock()
		if err == nil {
			q.results <- result{message: it.Message, items: []*item{in}, event: e.Event, stored: settled[i]}
		}
	}
}

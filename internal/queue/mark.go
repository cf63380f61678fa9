package queue

import (
	"context"
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

// recollect settles the attempts that the last process had made and not settled.
func (q *Queue) recollect(ctx context.Context) {
	m, ok := q.o.Store.(spool.Marker)
	if !ok {
		return
	}
	all, settled := m.Marked()
	for i, e := range all {
		it, ok := q.takeOut(ctx, e.Delivery)
		if !ok {
			settled[i]()
			continue
		}
		if !it.Delivery.Next.Equal(e.Next) {
			q.putBack(e.Delivery)
			settled[i]()
			continue
		}
		q.mu.Lock()
		in := q.inflight[e.Delivery]
		in.d = it.Delivery
		q.mu.Unlock()
		q.results <- result{message: it.Message, items: []*item{in}, event: e.Event, stored: settled[i]}
	}
}

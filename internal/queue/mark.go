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

// marked is an attempt that the last process had made and not settled.
type marked struct {
	entry   custody.Entry
	settled func() // called when it is
}

// claim takes what the last process had marked, until recollect has settled it: an order
// that comes before must not have it tried again.
func (q *Queue) claim() {
	m, ok := q.o.Store.(spool.Marker)
	if !ok {
		return
	}
	es, settled := m.Marked()
	for i, e := range es {
		q.marked[e.Delivery] = append(q.marked[e.Delivery], marked{e, settled[i]})
		q.inflight[e.Delivery] = &item{}
	}
}

// recollect settles the attempts that the last process had made and not settled. What
// cannot be read stays marked, and is left alone.
func (q *Queue) recollect(ctx context.Context) {
	for id, marks := range q.marked {
		it, err := q.o.Store.Item(ctx, id)
		if err != nil && !errors.Is(err, spool.ErrUnknown) {
			q.o.Log.Error("a delivery that a host has taken cannot be read; it is left alone until a restart", "delivery", id, "err", err)
			q.mu.Lock()
			in := q.inflight[id]
			in.aside = fmt.Sprintf("no try before a restart: a host has taken it, and it could not be read (%v)", err)
			in.answer(err)
			q.mu.Unlock()
			continue
		}
		var last *marked // that is not settled
		for _, m := range marks {
			if err == nil && it.Delivery.Next.Equal(m.entry.Next) {
				last = &m
			} else {
				m.settled()
			}
		}
		if last == nil {
			q.putBack(id)
			continue
		}
		q.mu.Lock()
		in := q.inflight[id]
		in.d = it.Delivery
		q.mu.Unlock()
		q.results <- result{message: it.Message, items: []*item{in}, event: last.entry.Event, stored: last.settled}
	}
	q.marked = nil
}

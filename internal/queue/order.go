package queue

import (
	"context"
	"errors"
	"time"

	"github.com/postrider/postrider/custody"
)

// ErrGone answers an order for a delivery that has left the queue.
var ErrGone = errors.New("queue: the delivery has left")

// order is an operator's order on its way into a step.
type order struct {
	event custody.Ordered
	rcpts []int // nil: all
	done  func(error)
}

// Order carries out an order on one delivery and returns when it is stored. An
// attempt under way is waited for: the order applies to what it leaves. Rcpts
// names the recipients it is for, by index; nil stands for all. An order for some
// splits the delivery. ErrGone if nothing is left to be ordered.
func (q *Queue) Order(ctx context.Context, id custody.DeliveryID, rcpts []int, e custody.Ordered) error {
	done := make(chan error, 1)
	o := order{e, rcpts, func(err error) { done <- err }}
	q.mu.Lock()
	if q.stopped {
		q.mu.Unlock()
		return errors.New("queue: stopping, no order is taken")
	}
	if it := q.inflight[id]; it != nil {
		it.orders = append(it.orders, o)
	} else {
		q.inflight[id] = &item{orders: []order{o}}
		q.carryOut(id, q.inflight[id])
	}
	q.mu.Unlock()
	select {
	case err := <-done:
		if err == nil && (e.Order == custody.OrderRetry || e.Order == custody.OrderRelease) {
			q.knock(ctx, id)
		}
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// knock lets a dead destination be tried now because an operator wants it.
func (q *Queue) knock(ctx context.Context, id custody.DeliveryID) {
	it, err := q.o.Store.Item(ctx, id)
	if err != nil {
		return
	}
	q.mu.Lock()
	if l := q.lanes[it.Delivery.Lane()]; l != nil {
		l.drained = time.Time{}
		if s := q.sites[l.way.Site]; s != nil && !s.knock.IsZero() {
			s.knock = time.Now()
		}
	}
	q.mu.Unlock()
	q.Wake()
}

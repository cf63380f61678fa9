package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
)

// ErrGone answers an order for a delivery that has left the queue.
var ErrGone = errors.New("queue: the delivery has left")

var errStopping = errors.New("queue: stopping, no order is taken")

// order is an operator's order on its way into a step.
type order struct {
	event custody.Ordered
	rcpts []mail.Address // nil: all. Not by index: an order before it may split the delivery.
	done  func(error)
}

// Order carries out an order on one delivery and returns when it is stored. An
// attempt under way is waited for: the order applies to what it leaves. One that has
// not begun is not. Rcpts names the recipients it is for, by index; nil stands for
// all. An order for some splits the delivery. ErrGone if nothing is left to be ordered.
func (q *Queue) Order(ctx context.Context, id custody.DeliveryID, rcpts []int, e custody.Ordered) error {
	done := make(chan error, 1)
	o := order{event: e, done: func(err error) { done <- err }}
	if rcpts != nil {
		it, err := q.o.Store.Item(ctx, id)
		if errors.Is(err, spool.ErrUnknown) {
			return ErrGone
		} else if err != nil {
			return fmt.Errorf("queue: order %s of %s: %w", e.Order, id, err)
		}
		o.rcpts = []mail.Address{}
		for _, i := range rcpts {
			if i >= 0 && i < len(it.Delivery.Rcpts) {
				o.rcpts = append(o.rcpts, it.Delivery.Rcpts[i].Address)
			}
		}
	}
	q.mu.Lock()
	if q.stopped {
		q.mu.Unlock()
		return errStopping
	}
	if it := q.inflight[id]; it != nil && it.aside != "" {
		q.mu.Unlock()
		return errors.New("queue: " + it.aside)
	} else if it != nil {
		it.orders = append(it.orders, o)
		if q.withdraw(it) {
			q.Wake() // there is room for others
			q.carryOut(id, it)
		}
	} else {
		q.inflight[id] = &item{orders: []order{o}}
		q.carryOut(id, q.inflight[id])
	}
	q.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// withdraw takes from its site what stands ready there and is not being tried yet; false
// if it does not. The lock is held.
func (q *Queue) withdraw(it *item) bool {
	if it.site == nil {
		return false
	}
	left, found := it.site.drop(it)
	q.held -= left
	return found
}

// answer answers all orders that wait for the item; it may be nil. The lock is held.
func (it *item) answer(err error) {
	if it == nil {
		return
	}
	for _, o := range it.orders {
		o.done(err)
	}
	it.orders = nil
}

// refuse answers every order that still waits when nothing more is carried out.
func (q *Queue) refuse(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range q.inflight {
		it.answer(err)
	}
}

// knock lets a dead destination be tried now because an operator wants it. It
// comes before the order is stored: afterwards the delivery is due, and would be
// put off as long as its destination counts as dead.
func (q *Queue) knock(c conclusion) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, o := range c.item.orders[:c.orders] {
		if o.event.Order != custody.OrderRetry && o.event.Order != custody.OrderRelease {
			continue
		}
		name := c.step.Delivery.Lane()
		if l := q.lanes[name]; l != nil {
			l.drained = time.Time{}
		}
		if s := q.sites[q.book.led(name)]; s != nil { // the queue forgets a lane before a dead site
			s.want(time.Now())
		}
	}
}

package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sourcegraph/conc/panics"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
)

// result is an event for deliveries that were taken, waiting to be stored.
type result struct {
	message custody.Message
	items   []*item
	event   custody.Event
	pause   *Pause // the destination is paused: nothing of the event may begin; nil: it is not
	body    []byte // if it is at hand
	settled func() // called when it is stored, or never can be; nil: nobody waits
	stored  func() // called for each item that is stored; nil: nobody wants to know
}

func (r result) end() {
	if r.settled != nil {
		r.settled()
	}
}

const (
	strokes = 256 // results concluded in one stroke, at most
	few     = 128 // …and beside these, of what many deliveries share: the others wait for it
)

// settle stores what came of deliveries, as many in one stroke as have come
// together, until there are no more. It returns an error if the store can keep
// no more promises.
func (q *Queue) settle() error {
	for {
		batch := q.gather()
		if len(batch) == 0 {
			return nil
		}
		if err := q.stroke(batch); err != nil {
			for _, r := range batch {
				r.end()
			}
			return err
		}
	}
}

// gather waits for something to conclude and returns what has come together; nothing
// when the queue has ended.
func (q *Queue) gather() (batch []result) {
	results, shared := q.results, q.shared
	for len(batch) == 0 && (results != nil || shared != nil) {
		var r result
		ok := false
		select {
		case r, ok = <-results:
			if !ok {
				results = nil
			}
		case r, ok = <-shared:
			if !ok {
				shared = nil
			}
		}
		if ok {
			batch = append(batch, r)
		}
	}
	return take(take(batch, q.results, strokes), q.shared, few)
}

// take adds what is there, most of it at most.
func take(batch []result, from <-chan result, most int) []result {
	for range most {
		select {
		case r, ok := <-from:
			if !ok {
				return batch
			}
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// stroke concludes one batch.
func (q *Queue) stroke(batch []result) error {
	n := 0
	for _, r := range batch {
		n += len(r.items)
	}
	all := make([]conclusion, 0, n)
	var steps []spool.Step
	q.tallies = map[custody.ID]*tally{}
	clear(q.splits)
	for _, r := range batch {
		for _, it := range r.items {
			all = append(all, q.concluded(r, it))
		}
	}
	compose(all)
	for _, c := range all {
		if c.caught == nil {
			steps = append(steps, c.step)
			q.knock(c)
		}
	}
	faults, err := q.store(steps)
	if err != nil {
		return err
	}
	soon := time.Now().Add(again)
	early := false
	for _, c := range all {
		s := c.step
		fault := faults[s.Delivery.ID]
		if c.caught != nil {
			q.report(c.caught, "delivery", s.Delivery.ID)
			fault = fmt.Errorf("a fault of this server: %v", c.caught.Value)
		}
		if fault != nil {
			q.setAside(c, fault)
			continue
		}
		for _, e := range s.Entries {
			q.o.Watch(spool.Item{Message: c.message, Delivery: s.Delivery, Wake: s.Wake}, e)
		}
		q.mu.Lock()
		done := c.item.orders[:c.orders]
		c.item.orders = c.item.orders[c.orders:]
		q.mu.Unlock()
		for i, o := range done {
			o.done(c.refused[i])
		}
		if c.stored != nil {
			c.stored()
		}
		q.putBack(s.Delivery.ID)
		early = early || !s.Wake.IsZero() && s.Wake.Before(soon) || len(s.Letters)+len(s.Split) > 0
	}
	for _, r := range batch {
		r.end()
	}
	if early {
		q.Wake()
	}
	return nil
}

// conclusion is what came of one delivery that was taken.
type conclusion struct {
	message custody.Message
	item    *item
	stored  func() // result.stored
	step    spool.Step
	orders  int               // how many of item.orders are in the step
	refused []error           // for each of these; nil: carried out
	letters []letter          // that the step wants, in their order
	caught  *panics.Recovered // why it could not be worked out; nil: it was
}

// concluded is conclude, and holds what goes wrong in it: what one message brings must not
// end the mail of all others, and again after each start.
func (q *Queue) concluded(r result, it *item) (c conclusion) {
	if fault := panics.Try(func() { c = q.conclude(r, it) }); fault != nil {
		c = conclusion{message: r.message, item: it, stored: r.stored, step: spool.Step{Delivery: it.d}, caught: fault}
	}
	return c
}

// conclude takes the steps that an event and the orders behind it ask for, and
// makes of their duties what is to be stored.
func (q *Queue) conclude(r result, it *item) conclusion {
	q.mu.Lock()
	orders := slices.Clone(it.orders)
	q.mu.Unlock()
	c := conclusion{
		message: r.message, item: it, stored: r.stored, orders: len(orders), refused: make([]error, len(orders)),
		step: spool.Step{Delivery: it.d},
	}
	sch := q.o.Rules.Schedule(it.d)
	paused, kept := q.kept(r, &c, it.d, sch)
	if r.event != nil && !kept {
		c.step.Delivery, c.step.Closed = q.step(r, &c, it.d, sch, r.event)
	}
	for i, o := range orders {
		rest, part, split := c.step.Delivery, c.step.Delivery, false
		switch {
		case c.step.Closed:
			c.refused[i] = ErrGone
			continue
		case o.rcpts != nil:
			if rest, part, split = q.split(c.step, o.rcpts); len(part.Pending()) == 0 {
				c.refused[i] = ErrGone
				continue
			}
		}
		part, closed := q.ordered(r, &c, part, sch, o.event)
		switch {
		case !split:
			c.step.Delivery, c.step.Closed = part, closed
		default:
			c.step.Delivery = rest
			c.step.Split = append(c.step.Split, spool.Split{Item: spool.Item{Message: r.message, Delivery: part, Wake: wake(part, sch, closed)}, Closed: closed})
		}
	}
	if c.step.Wake = paused; !kept || len(orders) > 0 {
		c.step.Wake = wake(c.step.Delivery, sch, c.step.Closed)
	}
	q.merge(r, &c)
	return c
}

func wake(d custody.Delivery, sch custody.Schedule, closed bool) time.Time {
	if closed {
		return time.Time{}
	}
	return custody.Wake(d, sch)
}

// step takes one step of custody and writes its entry and letters into c.
func (q *Queue) step(r result, c *conclusion, d custody.Delivery, sch custody.Schedule, e custody.Event) (_ custody.Delivery, closed bool) {
	d, duties := custody.Step(d, sch, e)
	duties = slices.DeleteFunc(duties, func(d custody.Duty) bool { _, try := d.(custody.Try); return try })
	if _, due := e.(custody.Due); due && len(duties) == 0 {
		return d, false // put off, or waked for nothing: no news
	}
	out := &c.step
	out.Entries = append(out.Entries, custody.Entry{At: at(e), Delivery: d.ID, Event: e, Duties: duties, Next: d.Next})
	for _, duty := range duties {
		switch t := duty.(type) {
		case custody.Tell:
			w := told{d, t, slices.Clone(out.Entries)}
			if to := q.reader(d, t); !q.enough(r.message, w) && (!t.Null || !to.IsNull()) {
				c.wants(q.letter(r, w, to, sch))
			}
		case custody.Close:
			closed = true
		}
	}
	return d, closed
}

// ordered takes the step of an order. A warning by order names a pause as one by age
// does.
func (q *Queue) ordered(r result, c *conclusion, d custody.Delivery, sch custody.Schedule, e custody.Ordered) (custody.Delivery, bool) {
	p, paused := q.Paused(d)
	if e.Order != custody.OrderWarn || !paused {
		return q.step(r, c, d, sch, e)
	}
	held := d.Held
	d, closed := q.step(r, c, p.Over(d), sch, e)
	d.Held = held
	return d, closed
}

// split takes the pending ones of some recipients out of a delivery, unless all
// that are pending are meant: then the delivery itself is.
func (q *Queue) split(s spool.Step, to []mail.Address) (rest, part custody.Delivery, split bool) {
	d := s.Delivery
	pending := d.Pending()
	rcpts := slices.DeleteFunc(slices.Clone(pending), func(i int) bool { return !slices.Contains(to, d.Rcpts[i].Address) })
	switch len(rcpts) {
	case 0:
		return d, custody.Delivery{}, false
	case len(pending):
		return d, d, false
	}
	n := max(d.ID.N, q.splits[d.ID.Message])
	if h, err := q.o.Store.History(context.Background(), d.ID.Message); err == nil {
		for _, row := range h.Deliveries {
			n = max(n, row.Delivery.ID.N)
		}
	}
	q.splits[d.ID.Message] = n + 1
	rest, part = custody.Split(d, rcpts, n+1)
	return rest, part, true
}

func at(e custody.Event) time.Time {
	switch e := e.(type) {
	case custody.Due:
		return e.At
	case custody.Tried:
		return e.At
	case custody.Ordered:
		return e.At
	}
	return time.Time{}
}

// store settles steps, and waits where the store has no room: what was done
// cannot be undone. It returns the faults of single steps, and an error only if
// the store can keep no more promises.
func (q *Queue) store(steps []spool.Step) (faults map[custody.DeliveryID]error, err error) {
	ctx := context.Background() // what happened is stored even while the queue stops
	for {
		var left []spool.Step // what is stored is not stored again
		var full error
		for i, err := range q.o.Store.Settle(ctx, steps) {
			switch {
			case err == nil:
			case errors.Is(err, spool.ErrFull):
				left, full = append(left, steps[i]), err
			case errors.Is(err, spool.ErrBroken):
				return nil, fmt.Errorf("settle: %w", err)
			default:
				if faults == nil {
					faults = map[custody.DeliveryID]error{}
				}
				faults[steps[i].Delivery.ID] = err
			}
		}
		if len(left) == 0 {
			return faults, nil
		}
		steps = left
		q.o.Log.Error("the store has no room: what became of mail cannot be stored; trying again in 1s", "err", full)
		if !sleep(q.ctx, time.Second) {
			return nil, fmt.Errorf("settle: %w", full)
		}
	}
}

// setAside leaves a delivery alone until a restart: what became of it cannot be
// stored, and to try it again could hand it over again.
func (q *Queue) setAside(c conclusion, fault error) {
	id := c.step.Delivery.ID
	q.o.Log.Error("what became of a delivery cannot be stored; it is left alone until a restart", "delivery", id, "err", fault)
	q.mu.Lock()
	defer q.mu.Unlock()
	c.item.aside = fmt.Sprintf("no try before a restart: what became of it could not be stored (%v)", fault)
	c.item.answer(fault)
}

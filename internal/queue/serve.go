package queue

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/sourcegraph/conc/panics"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

const (
	turn = 5 * time.Second // how long a worker serves one destination while others wait for one
	// A host costs nothing while it is waited for. An attempt that takes longer than
	// patience leaves its place among Connections to others; so many times Connections
	// may.
	patience = time.Second
	patients = 10
)

// worker serves one destination.
type worker struct {
	probe   bool // the destination has not answered yet: counted in Queue.unproven
	patient bool // counted in Queue.patient, no longer in Queue.active
}

// feed gives a destination the workers that its mail, its window and its pace ask for.
// Where the queue has none left it waits for its turn.
func (q *Queue) feed(s *site) {
	for !q.stopped && s.given() > 0 && s.active < s.window {
		probe := s.proven.IsZero()
		if q.active >= q.o.Connections || probe && q.unproven >= (q.o.Connections+1)/2 {
			if !s.hungry {
				s.hungry = true
				q.hungry = append(q.hungry, s)
			}
			return
		}
		if !q.pace(s) {
			return
		}
		s.active++
		q.active++
		if probe {
			q.unproven++
		}
		q.aside(func() { q.serve(q.ctx, s, &worker{probe: probe}) })
		if s.active >= s.given() {
			return // those under way will take what there is
		}
	}
}

// serve tries what is ready for a destination, one load after the other.
func (q *Queue) serve(ctx context.Context, s *site, w *worker) {
	began := time.Now()
	for {
		l := q.next(s)
		if l == nil {
			break
		}
		ended := false // Stop does not wait for a timer that has fired
		silence := time.AfterFunc(patience, func() { q.waits(w, &ended) })
		q.attempt(ctx, s, l)
		silence.Stop()
		q.mu.Lock()
		ended = true
		if w.probe {
			w.probe = false
			q.unproven--
		}
		q.feed(s)
		over := w.patient || l.way.Gap > 0 || len(q.hungry) > 0 && time.Since(began) > turn
		q.mu.Unlock()
		if over {
			break
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	s.active--
	if w.patient {
		q.patient--
	} else {
		q.active--
	}
	if w.probe {
		q.unproven--
	}
	if s.active == 0 && !s.knock.IsZero() {
		q.Wake() // what is due there was passed over during the knock
	}
	q.feedHungry()
	q.feed(s) // after those that have waited
}

// waits gives up the place of a worker whose host is silent, or slow, unless the attempt
// has ended.
func (q *Queue) waits(w *worker, ended *bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !*ended && q.patient < patients*q.o.Connections {
		if w.probe {
			w.probe = false
			q.unproven--
		}
		w.patient = true
		q.active--
		q.patient++
		q.feedHungry()
	}
}

// feedHungry gives destinations that wait for a place one, in turn.
func (q *Queue) feedHungry() {
	waiting := q.hungry
	q.hungry = nil
	for _, w := range waiting {
		w.hungry = false
		q.feed(w)
	}
}

// pace takes the turn of the next message to a site. False: it comes later, and the site
// is fed then; no worker waits for it.
func (q *Queue) pace(s *site) bool {
	if s.way.Gap == 0 {
		return true
	}
	now := time.Now()
	if wait := s.paced.Sub(now); wait > 0 {
		if !s.timed {
			s.timed = true
			time.AfterFunc(wait, func() {
				q.mu.Lock()
				defer q.mu.Unlock()
				s.timed = false
				q.feed(s)
			})
		}
		return false
	}
	s.paced = now.Add(s.way.Gap)
	return true
}

// next takes the next load whose deliveries may be tried now, and that custody wants
// to be tried. What else it asks for goes to be concluded.
func (q *Queue) next(s *site) *load {
	for {
		q.mu.Lock()
		if s.given() == 0 || q.stopped {
			q.mu.Unlock()
			return nil
		}
		now := time.Now()
		l, more := s.pop()
		l.way = s.way
		q.held -= len(l.body)
		q.mu.Unlock()
		if more {
			q.Wake()
		}
		if q.sift(l, now); len(l.items) > 0 {
			return l
		}
	}
}

// sift leaves in a load what is to be tried now.
func (q *Queue) sift(l *load, now time.Time) {
	var try []*item
	var not []result
	q.mu.Lock()
	for _, it := range l.items {
		p := q.pauseOf(it.d.Lane(), l.way.Site)
		if p == nil && wants(it, q.o.Rules.Schedule(it.d), now) {
			try = append(try, it)
		} else {
			not = append(not, result{message: l.message, items: []*item{it}, event: custody.Due{At: now}, pause: p})
		}
	}
	q.mu.Unlock()
	for _, r := range not {
		q.results <- r
	}
	l.items = try
}

// wants reports whether a delivery is to be tried now, orders that came since it
// was taken considered. The lock is held, unless nobody else knows the item.
func wants(it *item, sch custody.Schedule, now time.Time) bool {
	if len(it.orders) > 0 {
		return false
	}
	_, duties := custody.Step(it.d, sch, custody.Due{At: now, Early: it.early})
	if len(duties) == 0 {
		return false
	}
	_, try := duties[0].(custody.Try)
	return try
}

// attempt has a load tried and passes on what came of it.
func (q *Queue) attempt(ctx context.Context, s *site, l *load) {
	var body io.ReaderAt
	if l.body != nil {
		body = bytes.NewReader(l.body)
	} else {
		b, err := q.o.Store.Body(ctx, l.message.ID)
		if err != nil {
			q.o.Log.Error("the queue cannot read a message", "message", l.message.ID, "err", err)
			q.results <- result{message: l.message, items: l.items, event: custody.Tried{At: time.Now(), Attempt: ours("this server could not read the message from its own spool")}}
			return
		}
		defer b.Close()
		body = b
	}
	ds := make([]custody.Delivery, len(l.items))
	for i, it := range l.items {
		ds[i] = it.d
	}
	attempts := q.carry(ctx, l, ds, body)
	if len(attempts) != len(ds) { // cut short: it will be made again
		for _, it := range l.items {
			q.putBack(it.d.ID)
		}
		return
	}
	now := time.Now()
	// The next message goes out only when this one's fate is on disk: what a crash
	// can make us send twice is one message a connection.
	var settled sync.WaitGroup
	for i, it := range l.items {
		settled.Add(1)
		e := custody.Tried{At: now, Attempt: attempts[i]}
		q.results <- result{message: l.message, items: []*item{it}, event: e, body: l.body, settled: settled.Done, stored: q.mark(it.d, e)}
	}
	if i := slices.IndexFunc(attempts, asked); i >= 0 {
		q.judge(ctx, s, l, ds[i], attempts[i], now)
	}
	settled.Wait()
}

// carry makes the attempt. A fault of ours in it is what came of it: the message, or its
// host, must not end all others' mail, and again after each start.
func (q *Queue) carry(ctx context.Context, l *load, ds []custody.Delivery, body io.ReaderAt) (attempts []custody.Attempt) {
	began := time.Now()
	fault := panics.Try(func() { attempts = q.o.Courier.Carry(ctx, l.way, l.message, ds, body) })
	if fault == nil {
		return attempts
	}
	q.report(fault, "message", l.message.ID)
	a := ours("a fault in this server ended the attempt; its log says more")
	a.Began, a.Way, a.Rule = began, l.way.Text, l.way.Rule
	return slices.Repeat([]custody.Attempt{a}, len(ds))
}

// way finds where the mail of a delivery goes.
func (q *Queue) way(ctx context.Context, d custody.Delivery) (w custody.Way) {
	if fault := panics.Try(func() { w = q.o.Courier.Way(ctx, d.Domain, d.Via) }); fault != nil {
		q.report(fault, "domain", d.Domain)
		w = custody.Way{None: &ours("a fault in this server hindered the look-up; its log says more").Outcomes[0]}
	}
	return w
}

// report logs a fault of ours.
func (q *Queue) report(fault *panics.Recovered, about string, what any) {
	q.o.Log.Error("a fault of this server; please report it", about, what, "fault", fmt.Sprint(fault.Value), "stack", string(fault.Stack))
}

// judge learns from the attempt of a delivery of a load how the destination is. If it
// ended before MAIL, it was an attempt for all that was due there when it began.
func (q *Queue) judge(ctx context.Context, s *site, l *load, d custody.Delivery, a custody.Attempt, now time.Time) {
	q.mu.Lock()
	if reached(a) {
		if !s.knock.IsZero() {
			q.Wake() // what is due there was passed over during the knock
		}
		if !a.Began.Before(s.down) { // else it was connected before the death
			q.revive(ctx, s, l)
		}
		s.lives(a, now, q.limit(s))
		q.mu.Unlock()
		q.book.tried(l.way, a, now)
		return
	}
	if !s.fell(a, now) {
		q.mu.Unlock()
		return
	}
	q.book.tried(l.way, a, now)
	trouble := a.Outcomes[0].Trouble
	sch := q.o.Rules.Schedule(d)
	s.rest(a.Began, time.Time{}, sch, trouble) // nobody knocks meanwhile
	left := s.takeAll()
	q.mu.Unlock()

	d, _ = custody.Step(d, sch, custody.Tried{At: now, Attempt: a})
	first := q.share(ctx, s, left, a, now)
	if first.IsZero() || !d.Next.IsZero() && d.Next.Before(first) {
		first = d.Next
	}
	q.mu.Lock()
	if !s.knock.IsZero() { // else it lives again
		s.rest(a.Began, first, sch, trouble)
		// Lanes that were being looked up share this attempt too, before the next.
		s.knock = later(s.knock, time.Now().Add(again))
	}
	q.mu.Unlock()
	q.Wake()
}

func (q *Queue) limit(s *site) int {
	if s.way.Parallel > 0 {
		return s.way.Parallel
	}
	return q.o.PerSite
}

// ours is an attempt that a fault of our own ended. It says nothing of the host.
func ours(words string) custody.Attempt {
	now := time.Now()
	return custody.Attempt{Began: now, Outcomes: []custody.Outcome{{
		At: now, Stage: mail.Route, Trouble: custody.Ours,
		Reply: mail.Reply{Status: mail.Status{4, 3, 0}, Text: words},
	}}}
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

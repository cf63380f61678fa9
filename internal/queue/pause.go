package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
)

// Errors of Pause and Resume.
var (
	ErrPaused        = errors.New("is paused already")
	ErrNotPaused     = errors.New("is not paused")
	ErrNoDestination = errors.New("is no domain, and no destination that is known")
)

// pauseLook is how often a delivery whose destination is paused is looked at anyway:
// its way may lead elsewhere by now.
const pauseLook = 2 * time.Hour

// attemptMost is longer than any attempt takes to find out that a host is silent.
const attemptMost = time.Hour

const learners = 20 // ways looked up at a time in order to show what is paused

// Pause keeps a destination from being tried until an operator resumes it. By the
// law all that waits for it is held: its clock goes on, warnings go out at their
// ages and name the pause, and nothing ends before the resume, however long that
// takes. What fell due meanwhile is then tried at once, oldest first; the gaps between
// tries are as if there had been no pause.
type Pause struct {
	Name  string // the domain, the ordered next hop, or the site as Sites names it
	Site  bool   // Name is a site's: whatever leads there is meant
	Since time.Time
	By    string // who ordered it
	Why   string // in their words
	// Resumed is when it was taken back; what it kept is not yet all due again. Zero:
	// it is in force.
	Resumed time.Time
}

// String says it as it is shown: "paused by root: their server moves".
func (p Pause) String() string {
	s := "paused by " + p.By
	if p.Why != "" {
		s += ": " + p.Why
	}
	return s
}

// Over lays the pause over a delivery: as the law sees it, it is held.
func (p Pause) Over(d custody.Delivery) custody.Delivery {
	if d.Held.IsZero() {
		d.Held = custody.Hold{Since: later(p.Since, d.Accepted), By: p.By, Why: p.Why}
	}
	return d
}

// wake returns when a delivery that a pause keeps is to be looked at.
func (p Pause) wake(d custody.Delivery, sch custody.Schedule, now time.Time) time.Time {
	look := now.Add(pauseLook)
	if w := custody.NextWarning(p.Over(d), sch); !w.IsZero() && w.Before(look) {
		return w
	}
	return look
}

// pauseOf returns the pause that keeps the mail of a lane which leads to a site (""
// if that is not known) from being tried; nil: none does. The lock is held.
func (q *Queue) pauseOf(lane, site string) *Pause {
	if len(q.pauses) == 0 {
		return nil
	}
	if p := q.pauses[lane]; p != nil && lane != "" {
		return p
	}
	if p := q.pauses[hostsOf(site)]; p != nil && p.Site && site != "" {
		return p
	}
	return nil
}

// spared reports whether a lane was paused when an attempt at a site began, or is
// now: then that attempt was none of its own. The lock is held.
func (q *Queue) spared(lane, site string, began time.Time) bool {
	return q.pauseOf(lane, site) != nil || q.over[lane].After(began) || q.over[hostsOf(site)].After(began)
}

// pauseAt is pauseOf for a delivery, whose lane leads where it led when it was last
// looked up. The lock is held.
func (q *Queue) pauseAt(d custody.Delivery) *Pause {
	if len(q.pauses) == 0 {
		return nil
	}
	lane := d.Lane()
	return q.pauseOf(lane, q.book.led(lane))
}

// Paused returns the pause of the destination for which a delivery waits.
func (q *Queue) Paused(d custody.Delivery) (Pause, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p := q.pauseAt(d); p != nil {
		return *p, true
	}
	return Pause{}, false
}

// keep lets nothing begin of what is due in a lane that is paused: warnings go out,
// and what is due stays due.
func (q *Queue) keep(ctx context.Context, name string, l *lane, p *Pause) {
	q.each(ctx, name, l, func(now time.Time, it spool.Item) bool {
		r := q.result(it, custody.Due{At: now})
		r.pause = p
		q.results <- r
		return true
	})
}

// kept takes the step of a delivery that was due while its destination is paused,
// and says when it is to be looked at again. It answers false if there was no pause, or
// it has ended since.
func (q *Queue) kept(r result, c *conclusion, d custody.Delivery, sch custody.Schedule) (wake time.Time, ok bool) {
	if r.pause == nil {
		return time.Time{}, false
	}
	q.mu.Lock()
	ok = q.pauses[r.pause.Name] == r.pause
	q.mu.Unlock()
	if !ok {
		return time.Time{}, false
	}
	e := custody.Due{At: at(r.event), Blocked: r.pause.String()}
	out := &c.step
	out.Delivery, out.Closed = q.step(r, c, r.pause.Over(d), sch, e)
	out.Delivery.Held = d.Held
	if !d.Held.IsZero() {
		return custody.Wake(out.Delivery, sch), true
	}
	return r.pause.wake(out.Delivery, sch, e.At), true
}

// Pause orders that a destination is not tried, and returns what that means for it
// when it is on disk; with dry nothing is done. The name is a domain, an ordered next
// hop or a site as Sites names it; By and Why are the operator's. An attempt under
// way comes to its end. Errors: ErrPaused, ErrNoDestination, those of Options.Pauses.
func (q *Queue) Pause(ctx context.Context, p Pause, dry bool) ([]Site, error) {
	q.steer.Lock()
	defer q.steer.Unlock()
	var err error
	if p.Name, p.Site, err = q.named(p.Name); err != nil {
		return nil, err
	}
	p.Since, p.Resumed = time.Now().Round(0), time.Time{}
	if p.By == "" {
		p.By = "an operator"
	}
	q.mu.Lock()
	old, stopped := q.pauses[p.Name], q.stopped
	q.mu.Unlock()
	switch {
	case old != nil:
		return nil, fmt.Errorf("queue: %s %w: %s, since %s", p.Name, ErrPaused, old, old.Since.Format(time.RFC3339))
	case stopped:
		return nil, errStopping
	}
	sites, err := q.concerned(ctx, p)
	if dry || err != nil {
		return sites, err
	}
	if err := q.remember(p); err != nil {
		return nil, err
	}
	q.mu.Lock()
	q.pauses[p.Name] = &p
	q.mu.Unlock()
	q.o.Log.Info("a destination is paused", "destination", p.Name, "by", p.By, "why", p.Why)
	q.Wake()
	return sites, nil
}

// named returns a destination's name as the queue knows it, and whether it is a
// site's.
func (q *Queue) named(name string) (_ string, site bool, err error) {
	name = mail.Clean(name, 1000)
	domain, bad := mail.CanonicalDomain(name)
	if bad == nil {
		name = domain
	}
	q.book.mu.Lock()
	defer q.book.mu.Unlock()
	for s, c := range q.book.cards {
		site = site || c.way.None == nil && hostsOf(s) == name
	}
	_, lane := q.book.leads[name]
	if bad != nil && !site && !lane {
		return "", false, fmt.Errorf("queue: %q %w", name, ErrNoDestination)
	}
	return name, site, nil
}

// remember makes a pause outlive a restart.
func (q *Queue) remember(p Pause) error {
	if q.o.Pauses == nil {
		return nil
	}
	if err := q.o.Pauses.Put(p.Name, p); err != nil {
		return fmt.Errorf("queue: pause %s: %w", p.Name, err)
	}
	return nil
}

// Resume takes a pause back, and returns what that means when it is on disk; with
// dry nothing is done. A destination that was busy before is asked with one
// connection first, as one that is new. Errors: ErrNotPaused, those of Options.Pauses.
func (q *Queue) Resume(ctx context.Context, name, by string, dry bool) ([]Site, error) {
	q.steer.Lock()
	defer q.steer.Unlock()
	if domain, err := mail.CanonicalDomain(name); err == nil {
		name = domain
	}
	q.mu.Lock()
	p, stopped := q.pauses[name], q.stopped
	q.mu.Unlock()
	switch {
	case p == nil:
		return nil, fmt.Errorf("queue: %s %w", mail.Clean(name, 1000), ErrNotPaused)
	case stopped:
		return nil, errStopping
	}
	sites, err := q.concerned(ctx, *p)
	for i := range sites {
		sites[i].Paused = nil
	}
	if dry || err != nil {
		return sites, err
	}
	over := *p
	over.Resumed = time.Now().Round(0)
	if err := q.remember(over); err != nil {
		return nil, err
	}
	q.o.Log.Info("a destination is resumed", "destination", name, "by", by)
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.pauses, name)
	maps.DeleteFunc(q.over, func(_ string, at time.Time) bool { return time.Since(at) > attemptMost })
	q.over[name] = over.Resumed
	q.ask(over)
	if !q.stopped { // else the next start does it
		q.aside(func() { q.release(over) }) // it wakes the queue: what waits longest comes first
	}
	return sites, nil
}

// ask lets the destinations that a pause kept be tried at once, and as ones that are
// new. The lock is held.
func (q *Queue) ask(p Pause) {
	led := q.book.led(p.Name)
	for name, s := range q.sites {
		if name != led && !(p.Site && hostsOf(name) == p.Name) {
			continue
		}
		s.want(time.Now())
		if s.active == 0 {
			s.window, s.proven = 1, time.Time{}
		}
	}
}

// release makes due again what a pause kept, oldest message first. Until that is
// done the pause is remembered, so that a restart goes on with it.
func (q *Queue) release(p Pause) {
	// What was concluded under the pause is stored when this comes through.
	stored := make(chan struct{})
	q.results <- result{settled: func() { close(stored) }}
	<-stored
	what := spool.Query{Domain: p.Name}
	if _, err := mail.CanonicalDomain(p.Name); err != nil || p.Site {
		what.Domain = "" // it is not known which domains led there
	}
	for {
		err := q.rewake(q.ctx, what, func(int, int) {}, func(it spool.Item) (custody.Delivery, time.Time, bool) {
			d := it.Delivery
			w := custody.Wake(d, q.o.Rules.Schedule(d))
			q.mu.Lock()
			defer q.mu.Unlock()
			return d, w, !w.IsZero() && w.Before(it.Wake) && q.pauseAt(d) == nil
		})
		if err == nil || q.stopping() {
			break
		}
		q.o.Log.Error("what waited for a paused destination cannot be made due; trying again in 5s", "destination", p.Name, "err", err)
		sleep(q.ctx, 5*time.Second)
	}
	q.steer.Lock()
	defer q.steer.Unlock()
	q.mu.Lock()
	done := q.pauses[p.Name] == nil && !q.stopped
	q.mu.Unlock()
	if done && q.o.Pauses != nil {
		if err := q.o.Pauses.Forget(p.Name); err != nil {
			q.o.Log.Error("a pause that is over cannot be forgotten", "destination", p.Name, "err", err)
		}
	}
}

// recall takes up the pauses that were in force when the queue last ended.
func (q *Queue) recall(kept Pauses) {
	if kept == nil {
		return
	}
	all, err := kept.All()
	if err != nil {
		q.o.Log.Error("a destination that was paused is not any more", "err", err)
	}
	for name, p := range all {
		if p.Resumed.IsZero() {
			q.pauses[name] = &p
		} else {
			q.resumed = append(q.resumed, p)
		}
	}
}

// goOn finishes what a resume began before a restart, mends what a wrong clock did, and
// finds out which lanes lead to sites that are paused: what waits there may not be looked
// at for long.
func (q *Queue) goOn(ctx context.Context) {
	for _, p := range q.resumed {
		q.aside(func() { q.release(p) })
	}
	q.resumed = nil
	q.aside(func() { q.setBack(ctx) })
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.pauses {
		if p.Site {
			q.aside(func() { q.learn(ctx) })
			return
		}
	}
}

// learn looks up where the lanes with mail lead.
func (q *Queue) learn(ctx context.Context) {
	names, err := q.laneNames(ctx)
	if err != nil && ctx.Err() == nil {
		q.o.Log.Error("the queue cannot read for which destinations mail waits", "err", err)
	}
	turns := make(chan struct{}, learners)
	var all sync.WaitGroup
	for _, name := range names {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			first, err := q.o.Store.Due(ctx, name, time.Time{}, time.Time{}, 1, nil)
			if err != nil || len(first) == 0 {
				return
			}
			q.book.found(name, q.way(ctx, first[0].Delivery), time.Now())
		})
	}
	all.Wait()
}

package custody

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/postrider/postrider/mail"
)

// stepFunc is Step, or a broken one that the laws must catch.
type stepFunc func(Delivery, Schedule, Event) (Delivery, []Duty)

// act is one random thing that happens in a history. What it means depends on
// where the delivery stands; numbers are taken as far as they make sense there.
type act struct {
	what  what
	wait  time.Duration // from the last event, or from the wake
	took  time.Duration // by the attempt
	out   [6]result     // of an attempt, by recipient; the first stands for all if shared
	order Order
	until time.Duration // Blocked: until then from now; 0: not known
}

type what int

const (
	wake    what = iota // what Wake asked for, at that moment or late
	early               // Due before anything is due
	blocked             // Due while the destination is
	shared              // another delivery's attempt ended before MAIL
	order
	acts
)

// result is what a recipient hears in an attempt.
type result struct {
	what    reply
	trouble Trouble
	hint    time.Duration
}

type reply int

const (
	nothing reply = iota // no outcome
	temporary
	refused
	permanent // words of ours
	onward
	promised
	mailbox
	replies
)

// history is a delivery, its schedule and what happens to it.
type history struct {
	s    Schedule
	d    Delivery
	acts []act
}

// witness watches a delivery from step to step and knows what it was promised.
type witness struct {
	step    stepFunc
	s       Schedule
	d       Delivery
	now     time.Time
	warned  time.Duration // greatest age that was told, or could have been
	byTold  bool
	letters []int // final letters by recipient
	delays  int   // letters of delay
	closed  bool
}

// check lives through a history and returns the first law that was broken. When
// the acts are over, the destination stays dead until the delivery ends.
func (h history) check(step stepFunc) error {
	w := &witness{step: step, s: h.s, d: h.d, now: h.d.Accepted, letters: make([]int, len(h.d.Rcpts))}
	for _, a := range h.acts {
		if w.closed {
			return w.afterwards()
		}
		if err := w.act(a); err != nil {
			return err
		}
	}
	if !w.d.Held.IsZero() && !w.closed {
		if _, err := w.happen(Ordered{At: w.now, By: "root", Order: OrderRelease}); err != nil {
			return err
		}
	}
	for n := 0; !w.closed; n++ {
		if n > 5000 {
			return errors.New("it never ends")
		}
		dead := act{what: wake}
		for i := range dead.out {
			dead.out[i] = result{what: temporary, trouble: Unreachable}
		}
		if err := w.act(dead); err != nil {
			return err
		}
	}
	return w.afterwards()
}

// act lets one thing happen.
func (w *witness) act(a act) error {
	at := w.now.Add(a.wait)
	var e Event
	switch a.what {
	case wake:
		next := Wake(w.d, w.s)
		if next.IsZero() {
			next = w.now
		}
		at = later(next, w.now).Add(a.wait)
		e = Due{At: at}
	case early:
		e = Due{At: at}
	case blocked:
		due := Due{At: later(w.d.Next, w.now).Add(a.wait), Blocked: "dead"}
		if a.until > 0 {
			due.Until = due.At.Add(a.until)
		}
		e = due
	case shared:
		if !w.d.Held.IsZero() || w.d.Next.After(at) {
			return nil
		}
		return w.attempt(at, a, true)
	case order:
		o := Ordered{At: at, By: "root", Order: a.order, Via: "smtp:other.example"}
		if a.until > 0 {
			o.Until = w.d.Accepted.Add(a.until)
		}
		e = o
	}
	duties, err := w.happen(e)
	if err != nil {
		return err
	}
	for _, duty := range duties {
		if _, try := duty.(Try); try {
			return w.attempt(w.now, a, false)
		}
	}
	return nil
}

// attempt makes one, with what each recipient shall hear.
func (w *witness) attempt(at time.Time, a act, shared bool) error {
	t := Tried{At: at.Add(a.took), Attempt: Attempt{Began: at, Took: a.took, Shared: shared}}
	if shared {
		r := a.out[0]
		if r.what != refused && r.what != permanent {
			r.what = temporary
		}
		t.Attempt.Outcomes = []Outcome{r.outcome(t.At, nil)}
	} else {
		for i := range w.d.Rcpts {
			if r := a.out[i%len(a.out)]; r.what != nothing {
				t.Attempt.Outcomes = append(t.Attempt.Outcomes, r.outcome(t.At, []int{i}))
			}
		}
	}
	_, err := w.happen(t)
	return err
}

func (r result) outcome(at time.Time, rcpts []int) Outcome {
	o := Outcome{Rcpts: rcpts, At: at, Stage: mail.Rcpt, Theirs: true}
	switch r.what {
	case temporary:
		o.Reply, o.Trouble, o.Hint = mail.Reply{Code: 450, Text: "later"}, r.trouble, r.hint
	case refused:
		o.Reply = mail.Reply{Code: 550, Status: mail.Status{4, 4, 7}, Text: "class 4 in words, 5 in truth"}
	case permanent:
		o.Theirs, o.Permanent, o.Stage = false, true, mail.Route
	case onward:
		o.Reply, o.Taken = mail.Reply{Code: 250}, Onward
	case promised:
		o.Reply, o.Taken = mail.Reply{Code: 250}, Promised
	case mailbox:
		o.Reply, o.Taken = mail.Reply{Code: 250}, Mailbox
	}
	return o
}

// happen steps the delivery and holds the step against every law.
func (w *witness) happen(e Event) ([]Duty, error) {
	before := w.d
	copied := before
	copied.Rcpts = slices.Clone(before.Rcpts)
	d, duties := w.step(before, w.s, e)
	again, same := w.step(copied, w.s, e)
	if !reflect.DeepEqual(before, copied) {
		return nil, errors.New("a step changed what it was given")
	}
	if !reflect.DeepEqual(d, again) || !reflect.DeepEqual(duties, same) {
		return nil, errors.New("the same step had two results")
	}
	w.now, w.d = later(w.now, e.when()), d
	for _, law := range []func(Delivery, Event, []Duty) error{w.whoItIs, w.finality, w.tried, w.due, w.ordered, w.told, w.closing} {
		if err := law(before, e, duties); err != nil {
			return nil, fmt.Errorf("%w\nby %#v\nfrom %+v\nto %+v\nduties %+v", err, e, before, d, duties)
		}
	}
	return duties, nil
}

package custody

import (
	"slices"
	"testing"
	"time"

	"github.com/postrider/postrider/mail"
)

// mutants are laws with one fault each. Each was, or is, the way of some mail
// system; the laws must catch them all.
var mutants = []struct {
	name string
	step stepFunc
}{
	{"refuses on a shared attempt", onTried(func(t Tried) Tried {
		t.Attempt.Shared = false
		return t
	})},
	{"expires before an attempt", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		if e, ok := e.(Due); ok && d.Held.IsZero() && !e.At.Before(End(d, s)) {
			d, gone := end(d, Expired)
			return d, append(news(d, s, gone), Close{})
		}
		return Step(d, s, e)
	}},
	{"expires when the next try would be too late", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		n, duties := Step(d, s, e)
		if _, ok := e.(Tried); ok && n.pending() && n.Next.Equal(End(n, s)) {
			n, gone := end(n, Expired)
			return n, append(news(n, s, gone), Close{})
		}
		return n, duties
	}},
	{"returns mail for a fault of its own", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		n, duties := Step(d, s, e)
		if t, ok := e.(Tried); ok && n.pending() && n.Last == Ours && !t.At.Before(End(n, s)) {
			n, gone := end(n, Expired)
			return n, append(news(n, s, gone), Close{})
		}
		return n, duties
	}},
	{"skips a warning", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		if len(s.Warn) > 0 {
			s.Warn = s.Warn[1:]
		}
		return Step(d, s, e)
	}},
	{"warns at each try", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		if _, ok := e.(Tried); ok {
			d.Warned = 0
		}
		return Step(d, s, e)
	}},
	{"warns before the outcome", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		n, duties := Step(d, s, e)
		if due, ok := e.(Due); ok && len(duties) == 1 {
			n, told := warn(n, s, due.At)
			return n, append(told, duties...)
		}
		return n, duties
	}},
	{"one letter for each missed warning", onDuties(func(duty Duty, s Schedule) []Duty {
		if t, ok := duty.(Tell); ok && t.Kind == Delayed && len(s.Warn) > 1 {
			return []Duty{t, t}
		}
		return []Duty{duty}
	})},
	{"forgets the moment of DELIVERBY", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		n, duties := Step(d, s, e)
		n.ByTold = d.ByTold
		return n, duties
	}},
	{"tells of the end twice", onDuties(func(duty Duty, _ Schedule) []Duty {
		if t, ok := duty.(Tell); ok && t.Kind == Failed {
			return []Duty{t, t}
		}
		return []Duty{duty}
	})},
	{"tells only the first", onDuties(func(duty Duty, _ Schedule) []Duty {
		if t, ok := duty.(Tell); ok && t.Kind == Failed {
			t.Rcpts = t.Rcpts[:1]
			return []Duty{t}
		}
		return []Duty{duty}
	})},
	{"eats backoff on retry now", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		if _, ok := e.(Tried); ok {
			d.Resume = time.Time{}
		}
		return Step(d, s, e)
	}},
	{"counts a hold as an attempt", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		n, duties := Step(d, s, e)
		if o, ok := e.(Ordered); ok && o.Order == OrderHold {
			n.Runs[inAll]++
		}
		return n, duties
	}},
	{"stops the clock in a hold", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		n, duties := Step(d, s, e)
		if !d.Held.IsZero() && n.Held.IsZero() && n.pending() {
			n.Accepted = n.Accepted.Add(e.when().Sub(d.Held.Since))
		}
		return n, duties
	}},
	{"tries what is held", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		if due, ok := e.(Due); ok && !d.Held.IsZero() && !d.Next.After(due.At) {
			return d, []Duty{Try{Last: !due.At.Before(End(d, s))}}
		}
		return Step(d, s, e)
	}},
	{"tries where it is blocked", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		if due, ok := e.(Due); ok {
			due.Blocked, due.Until = "", time.Time{}
			e = due
		}
		return Step(d, s, e)
	}},
	{"puts off the last try", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		n, duties := Step(d, s, e)
		if due, ok := e.(Due); ok && due.Blocked != "" && n.Next != d.Next {
			n.Next = due.Until
		}
		return n, duties
	}},
	{"misses the last try", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		n, duties := Step(d, s, e)
		if t, ok := e.(Tried); ok && n.pending() && n.Next.Equal(End(n, s)) {
			n.Next = t.At.Add(s.Gap(n.Last, int(n.Runs[inAll])) + day)
		}
		return n, duties
	}},
	{"lets DELIVERBY lengthen the life", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		if d.ByReturn && d.By.Sub(d.Accepted) > s.Expire {
			d.ByReturn, s.Expire = false, d.By.Sub(d.Accepted)
			n, duties := Step(d, s, e)
			n.ByReturn = true
			return n, duties
		}
		return Step(d, s, e)
	}},
	{"changes a final state", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		n, duties := Step(d, s, e)
		if _, ok := e.(Tried); ok && d.pending() {
			for i, r := range n.Rcpts {
				if r.State == Refused && n.pending() {
					n.Rcpts[i].State = Pending
				}
			}
		}
		return n, duties
	}},
	{"tells the null path", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		from := d.From
		if from.IsNull() {
			d.From = mail.Address{Local: "postmaster"}
		}
		n, duties := Step(d, s, e)
		n.From = from
		return n, duties
	}},
	{"ignores NOTIFY=NEVER", notify(func(n mail.Notify) mail.Notify { return n &^ mail.NotifyNever })},
	{"tells delays to whom NOTIFY excludes them", notify(func(n mail.Notify) mail.Notify { return n | mail.NotifyDelay*(n&mail.NotifyFailure)/mail.NotifyFailure })},
	{"reports success unasked", notify(func(n mail.Notify) mail.Notify { return n | mail.NotifySuccess })},
	{"loses a recipient", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		n, duties := Step(d, s, e)
		if len(n.Rcpts) > 2 && n.pending() {
			n.Rcpts = slices.Clone(n.Rcpts[:2])
		}
		return n, duties
	}},
	{"believes the words and not the code", onTried(func(t Tried) Tried {
		t.Attempt.Outcomes = slices.Clone(t.Attempt.Outcomes)
		for i, o := range t.Attempt.Outcomes {
			if o.Reply.Status[0] == 4 {
				t.Attempt.Outcomes[i].Theirs = false
			}
		}
		return t
	})},
	{"makes a deferral final", onTried(func(t Tried) Tried {
		t.Attempt.Outcomes = slices.Clone(t.Attempt.Outcomes)
		for i, o := range t.Attempt.Outcomes {
			t.Attempt.Outcomes[i].Permanent = o.Permanent || o.Trouble == Deferred
		}
		return t
	})},
	{"expires whom the attempt did not reach", onTried(func(t Tried) Tried {
		t.Attempt.Outcomes = append(slices.Clone(t.Attempt.Outcomes), Outcome{At: t.At, Trouble: Deferred})
		return t
	})},
	{"believes every hint", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		runs := d.Runs
		d.Runs[inAll] = 0
		n, duties := Step(d, s, e)
		if n.Runs != d.Runs {
			runs[inAll]++
		}
		n.Runs[inAll] = runs[inAll]
		return n, duties
	}},
	{"counts gaps from the end of an attempt", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		n, duties := Step(d, s, e)
		if t, ok := e.(Tried); ok && n.pending() && d.Resume.IsZero() && n.Next.Before(End(n, s)) {
			n.Next = n.Next.Add(t.At.Sub(t.Attempt.Began))
		}
		return n, duties
	}},
	{"closes with a pending recipient", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		n, duties := Step(d, s, e)
		if n.pending() && len(n.Pending()) < len(n.Rcpts) {
			duties = append(duties, Close{})
		}
		return n, duties
	}},
	{"never closes", onDuties(func(duty Duty, _ Schedule) []Duty {
		if _, ok := duty.(Close); ok {
			return nil
		}
		return []Duty{duty}
	})},
	{"writes into what it was given", func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		n, duties := Step(d, s, e)
		copy(d.Rcpts, n.Rcpts)
		return n, duties
	}},
	{"throws dice", func() stepFunc {
		toss := 0
		return func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
			n, duties := Step(d, s, e)
			if toss++; n.pending() && n.Next.After(e.when()) {
				n.Next = n.Next.Add(time.Duration(toss % 2))
			}
			return n, duties
		}
	}()},
}

// onTried breaks what an attempt brought.
func onTried(f func(Tried) Tried) stepFunc {
	return func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		if t, ok := e.(Tried); ok {
			e = f(t)
		}
		return Step(d, s, e)
	}
}

// onDuties breaks what is to be done.
func onDuties(f func(Duty, Schedule) []Duty) stepFunc {
	return func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		n, duties := Step(d, s, e)
		var out []Duty
		for _, duty := range duties {
			out = append(out, f(duty, s)...)
		}
		return n, out
	}
}

// notify breaks what the sender asked for.
func notify(f func(mail.Notify) mail.Notify) stepFunc {
	return func(d Delivery, s Schedule, e Event) (Delivery, []Duty) {
		was := d.Rcpts
		d.Rcpts = slices.Clone(d.Rcpts)
		for i := range d.Rcpts {
			d.Rcpts[i].Notify = f(d.Rcpts[i].Notify)
		}
		n, duties := Step(d, s, e)
		n.Rcpts = slices.Clone(n.Rcpts)
		for i := range n.Rcpts {
			n.Rcpts[i].Notify = was[i].Notify
		}
		return n, duties
	}
}

func TestNoMutantSurvives(t *testing.T) {
	const most = 2000
	var lived []history
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			for i := range most {
				if i == len(lived) {
					lived = append(lived, histories.Example(i))
				}
				if err := lived[i].check(m.step); err != nil {
					first := err.Error()
					if end := slices.Index([]byte(first), '\n'); end > 0 {
						first = first[:end]
					}
					t.Logf("caught in history %d: %s", i+1, first)
					return
				}
			}
			t.Errorf("lived through %d histories", most)
		})
	}
}

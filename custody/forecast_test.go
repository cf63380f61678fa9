package custody

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider/postrider/mail"
)

// foretold drives a delivery as Forecast claims to: woken on time, with the same
// trouble at each try, but for a fault of ours, which is mended.
func foretold(d Delivery, s Schedule) (ms []Moment, trace []Delivery) {
	trouble := d.Last
	if trouble == NoTrouble {
		trouble = Unreachable
	} else if trouble == Ours {
		trouble = Deferred
	}
	for at := Wake(d, s); !at.IsZero() && len(trace) < 5000; at = Wake(d, s) {
		next, duties := Step(d, s, Due{At: at})
		if len(duties) > 0 && duties[0] == (Try{Last: !at.Before(End(d, s))}) {
			ms = append(ms, Moment{at, WillTry})
			next, duties = Step(next, s, Tried{At: at, Attempt: Attempt{Began: at, Outcomes: []Outcome{{At: at, Trouble: trouble}}}})
		}
		d = next
		trace = append(trace, d)
		for _, duty := range duties {
			switch duty := duty.(type) {
			case Tell:
				if duty.Kind == Delayed {
					ms = append(ms, Moment{at, WillWarn})
				}
			case Close:
				ms = append(ms, Moment{at, WillEnd})
			}
		}
	}
	return ms, trace
}

func first(ms []Moment, what What) Moment {
	for _, m := range ms {
		if m.What == what {
			return m
		}
	}
	return Moment{What: what}
}

// checkForecast holds what is foretold of a delivery against what then happens,
// and against the schedule.
func checkForecast(d Delivery, s Schedule) error {
	ms := slices.Collect(Forecast(d, s))
	driven, trace := foretold(d, s)
	if !slices.Equal(ms, driven) {
		return fmt.Errorf("foretold %v, came %v", ms, driven)
	}
	if !slices.IsSortedFunc(ms, func(a, b Moment) int { return a.At.Compare(b.At) }) {
		return fmt.Errorf("time runs backwards: %v", ms)
	}
	next, warning, end := Fate(d, s)
	if next != first(ms, WillTry) || warning != first(ms, WillWarn) || end != first(ms, WillEnd) {
		return fmt.Errorf("the fate is %v %v %v, foretold was %v", next, warning, end, ms)
	}
	if !d.pending() || !d.Held.IsZero() {
		if first(ms, WillTry).At.IsZero() && first(ms, WillEnd).At.IsZero() {
			return nil
		}
		return fmt.Errorf("held or gone, but foretold is %v", ms)
	}
	if last := ms[len(ms)-1]; last != (Moment{later(End(d, s), d.Next), WillEnd}) {
		return fmt.Errorf("the last moment is %v, the deadline %v", last, End(d, s))
	}
	if len(trace) == 0 || trace[len(trace)-1].pending() {
		return fmt.Errorf("it does not end: %v", ms)
	}
	return nil
}

func TestTheForecastComesTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := histories.Draw(t, "history")
		err := checkForecast(h.d, h.s)
		w := &witness{step: Step, s: h.s, d: h.d, now: h.d.Accepted, letters: make([]int, len(h.d.Rcpts))}
		for _, a := range h.acts {
			if err != nil || w.closed {
				break
			}
			if err = w.act(a); err == nil {
				err = checkForecast(w.d, w.s)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}

// The gaps that Postfix, Exchange, chasquid and others keep, from their sources.
func TestTheForecastKeepsTheGapsOfTheSchedule(t *testing.T) {
	for _, c := range []struct {
		name   string
		s      Schedule
		tries  []string // ages of the first tries
		n      int
		expire time.Duration
	}{
		{"the default", Schedule{Retry: paceList(t, "5m", "10m", "20m", "40m", "1h for 1d", "2h"), Expire: 5 * day},
			[]string{"0s", "5m", "15m", "35m", "1h15m", "2h15m", "3h15m"}, 77, 5 * day},
		{"Exchange hub", Schedule{Retry: paceList(t, "1m 4 times", "5m 6 times", "10m"), Expire: 2 * day},
			[]string{"0s", "1m", "2m", "3m", "4m", "9m", "14m"}, 296, 2 * day},
		{"Postfix", Schedule{Retry: paceList(t, "5m 2 times", "10m x2 to 4000s"), Expire: 5 * day},
			[]string{"0s", "5m", "10m", "20m", "40m", "1h20m", "2h26m40s"}, 113, 5 * day},
		{"Exchange Online", Schedule{Retry: paceList(t, "15m"), Expire: day},
			[]string{"0s", "15m", "30m", "45m"}, 97, day},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := delivery(1)
			ms := slices.Collect(Forecast(d, c.s))
			tries := slices.DeleteFunc(slices.Clone(ms), func(m Moment) bool { return m.What != WillTry })
			for i, want := range c.tries {
				if got := tries[i].At.Sub(accepted); got != age(t, want) {
					t.Errorf("try %d at %v, not %s", i+1, got, want)
				}
			}
			if len(tries) != c.n {
				t.Errorf("%d tries, not %d", len(tries), c.n)
			}
			end := Moment{accepted.Add(c.expire), WillEnd}
			if last := ms[len(ms)-1]; last != end || tries[len(tries)-1].At != end.At {
				t.Errorf("ends with %v", ms[len(ms)-2:])
			}
		})
	}
}

func TestTheFateOfWhatIsHeldNamesNoTryAndNoEnd(t *testing.T) {
	s := plain(t)
	d, _ := Step(delivery(1), s, Ordered{At: accepted, By: "anna", Order: OrderHold})
	next, warning, end := Fate(d, s)
	if !next.At.IsZero() || !end.At.IsZero() || warning.At != accepted.Add(4*time.Hour) {
		t.Errorf("%v %v %v", next, warning, end)
	}
	if got := Because(d, s); got != "held by anna: it does not end before it is released" {
		t.Error(got)
	}
}

func TestTheEndNamesItsRule(t *testing.T) {
	s := plain(t)
	s.Rule = "postrider.toml:31 schedule.default"
	by, ordered := delivery(1), delivery(1)
	by.By, by.ByReturn = accepted.Add(time.Hour), true
	ordered.Deadline = accepted.Add(9 * day)
	ours, _ := Step(delivery(1), s, try(accepted.Add(s.Expire), Outcome{Stage: mail.Route, Trouble: Ours}))
	long := by
	long.By = accepted.Add(10 * day)
	for _, c := range []struct {
		d    Delivery
		want string
	}{
		{delivery(1), "expire 5d, postrider.toml:31 schedule.default"},
		{by, "the sender asked for delivery within 1h (DELIVERBY)"},
		{long, "expire 5d, postrider.toml:31 schedule.default"},
		{ordered, "an operator set this end"},
		{ours, "a fault of this server kept the last try from being made: it is made again, until 6d at most"},
	} {
		if got := Because(c.d, s); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

package custody

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider/postrider/mail"
)

var accepted = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// seconds draws a length of time in whole seconds, often one of those that meet
// something else exactly.
func seconds(least, most time.Duration) *rapid.Generator[time.Duration] {
	return rapid.Map(rapid.Int64Range(int64(least/time.Second), int64(most/time.Second)), func(n int64) time.Duration {
		return time.Duration(n) * time.Second
	})
}

var paceLists = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Pace {
	p := Pace{Gap: seconds(time.Minute, 2*time.Hour).Draw(t, "gap")}
	switch rapid.IntRange(0, 3).Draw(t, "shape") {
	case 1:
		p.Times = rapid.IntRange(1, 4).Draw(t, "times")
	case 2:
		p.Grow = rapid.SampledFrom([]float64{1.5, 2, 4}).Draw(t, "grow")
		p.Max = p.Gap * time.Duration(rapid.IntRange(2, 16).Draw(t, "max"))
	}
	return p
}), 1, 3)

var schedules = rapid.Custom(func(t *rapid.T) Schedule {
	s := Schedule{
		Name: "default", Retry: paceLists.Draw(t, "retry"),
		Jitter:  rapid.SampledFrom([]float64{0, 0, 0.1, 0.5}).Draw(t, "jitter"),
		Cleared: rapid.Bool().Draw(t, "cleared"),
		Expire:  seconds(time.Hour, 48*time.Hour).Draw(t, "expire"),
	}
	for _, list := range []*[]Pace{&s.Unreachable, &s.Deferred, &s.Greylisted} {
		if rapid.IntRange(0, 3).Draw(t, "own") == 0 {
			*list = paceLists.Draw(t, "list")
		}
	}
	for range rapid.IntRange(0, 3).Draw(t, "warnings") {
		s.Warn = append(s.Warn, seconds(time.Minute, s.Expire-time.Second).Draw(t, "warn"))
	}
	slices.Sort(s.Warn)
	s.Warn = slices.Compact(s.Warn)
	return s
})

var deliveries = rapid.Custom(func(t *rapid.T) Delivery {
	m := Message{ID: NewID(accepted, 7, rapid.Uint64().Draw(t, "id")), Accepted: accepted}
	if rapid.IntRange(0, 4).Draw(t, "null") > 0 {
		m.Envelope.From = mail.Address{Local: "a", Domain: "example.org"}
	}
	if rapid.IntRange(0, 3).Draw(t, "by") == 0 {
		m.Envelope.By = mail.DeliverBy{Within: seconds(time.Minute, 60*time.Hour).Draw(t, "within"), Return: rapid.Bool().Draw(t, "return")}
		m.Envelope.By.Notify = !m.Envelope.By.Return
	}
	notify := rapid.SampledFrom([]mail.Notify{0, 0, mail.NotifyNever, mail.NotifySuccess, mail.NotifyFailure, mail.NotifyDelay,
		mail.NotifySuccess | mail.NotifyDelay, mail.NotifyFailure | mail.NotifyDelay})
	to := make([]mail.Recipient, rapid.IntRange(1, 4).Draw(t, "rcpts"))
	for i := range to {
		to[i] = mail.Recipient{Address: mail.Address{Local: string(rune('p' + i)), Domain: "example.com"}, Notify: notify.Draw(t, "notify")}
	}
	d := NewDelivery(m, 1, "example.com", to)
	if rapid.IntRange(0, 5).Draw(t, "deadline") == 0 {
		d.Deadline = accepted.Add(seconds(time.Minute, 60*time.Hour).Draw(t, "deadline"))
	}
	return d
})

var happenings = rapid.Custom(func(t *rapid.T) act {
	a := act{what: rapid.SampledFrom([]what{wake, wake, wake, wake, early, blocked, shared, order}).Draw(t, "what")}
	switch rapid.IntRange(0, 3).Draw(t, "late") {
	case 1:
		a.wait = seconds(0, time.Hour).Draw(t, "wait")
	case 2:
		a.wait = seconds(0, 24*time.Hour).Draw(t, "long wait")
	}
	if a.what == order {
		a.order = rapid.SampledFrom([]Order{OrderRetry, OrderRetry, OrderHold, OrderHold, OrderRelease, OrderRelease, OrderReroute, OrderGiveUp, OrderRemove, OrderLife, OrderLife, OrderWarn, NoOrder}).Draw(t, "order")
		if a.order == OrderLife && rapid.Bool().Draw(t, "until") {
			a.until = seconds(0, 70*time.Hour).Draw(t, "life")
		}
		return a
	}
	if a.what == blocked {
		a.until = seconds(0, 6*time.Hour).Draw(t, "until")
		return a
	}
	a.took = seconds(0, 10*time.Minute).Draw(t, "took")
	dull := rapid.Bool().Draw(t, "dull") // most attempts bring the same for all: nothing final
	for i := range a.out {
		r := result{what: temporary}
		if !dull {
			r.what = reply(rapid.IntRange(0, int(replies)-1).Draw(t, "out"))
		} else if i > 0 {
			a.out[i] = a.out[0]
			continue
		}
		if r.what == temporary {
			r.trouble = Trouble(rapid.IntRange(0, int(Ours)).Draw(t, "trouble"))
			if rapid.IntRange(0, 3).Draw(t, "hinted") == 0 {
				r.hint = seconds(0, 8*time.Hour).Draw(t, "hint")
			}
		}
		a.out[i] = r
	}
	return a
})

var histories = rapid.Custom(func(t *rapid.T) history {
	return history{schedules.Draw(t, "schedule"), deliveries.Draw(t, "delivery"), rapid.SliceOfN(happenings, 0, 25).Draw(t, "acts")}
})

func TestTheLawHoldsInEveryHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := histories.Draw(t, "history")
		if err := h.s.Check(); err != nil {
			t.Fatal(err)
		}
		if err := h.check(Step); err != nil {
			t.Fatal(err)
		}
	})
}

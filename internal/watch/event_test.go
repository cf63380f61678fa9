package watch

import (
	"slices"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// A timeline names, at each attempt, those whom it was still made for.
func TestAnAttemptNamesWhoWasStillOurs(t *testing.T) {
	began := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	to := func(name string) mail.Recipient {
		return mail.Recipient{Address: mail.Address{Local: name, Domain: "there.test"}}
	}
	m := custody.Message{Accepted: began, Envelope: mail.Envelope{From: mail.Address{Local: "ann", Domain: "author.test"}}}
	s := custody.Schedule{Retry: []custody.Pace{{Gap: time.Minute}}, Expire: time.Hour}
	d := custody.NewDelivery(m, 1, "there.test", []mail.Recipient{to("refused"), to("slow"), to("dropped")})
	later := mail.Reply{Code: 451, Text: "later"}
	events := []custody.Event{
		custody.Tried{At: began.Add(time.Second), Attempt: custody.Attempt{Began: began, Outcomes: []custody.Outcome{
			{Rcpts: []int{0}, At: began.Add(time.Second), Stage: mail.Rcpt, Theirs: true, Reply: mail.Reply{Code: 550, Text: "no"}},
			{Rcpts: []int{1, 2}, At: began.Add(time.Second), Stage: mail.Rcpt, Theirs: true, Reply: later, Trouble: custody.Deferred},
		}}},
		custody.Tried{At: began.Add(time.Minute + time.Second), Attempt: custody.Attempt{Began: began.Add(time.Minute), Outcomes: []custody.Outcome{
			{At: began.Add(time.Minute + time.Second), Stage: mail.Rcpt, Theirs: true, Reply: later, Trouble: custody.Deferred},
		}}},
	}
	var entries []custody.Entry
	for _, e := range events {
		var duties []custody.Duty
		d, duties = custody.Step(d, s, e)
		entries = append(entries, custody.Entry{At: began, Delivery: d.ID, Event: e, Duties: duties, Next: d.Next})
	}
	second := Events(entries[1], d.Rcpts)
	want := []string{"slow@there.test", "dropped@there.test"}
	if got := second[1].Recipients; !slices.Equal(got, want) || second[1].Kind != Deferred {
		t.Errorf("the second attempt was %s for %v, want deferred for %v", second[1].Kind, got, want)
	}
	if first := Events(entries[0], d.Rcpts); len(first) != 3 || first[1].Kind != Bounced || first[2].Kind != Deferred {
		t.Errorf("the first attempt reads %+v", first)
	}
}

package custody

import (
	"slices"
	"testing"
	"time"

	"github.com/postrider/postrider/mail"
)

func TestAWarningGoesOutAtItsExactAge(t *testing.T) {
	s := plain(t)
	d, _ := live(delivery(1), s, try(at(t, "3h30m"), dead))
	d.Next = at(t, "5h")
	same(t, "wake", Wake(d, s), at(t, "4h"))
	early, duties := Step(d, s, Due{At: at(t, "4h").Add(-1)})
	same(t, "a moment before", duties, []Duty(nil))
	d, duties = Step(early, s, Due{At: at(t, "4h")})
	same(t, "at its age", duties, []Duty{tell(Delayed, 0)})
	same(t, "the next", Wake(d, s), at(t, "5h"))
	_, duties = Step(d, s, Due{At: at(t, "4h1s")})
	same(t, "not again", duties, []Duty(nil))
}

func TestAWarningWaitsForTheOutcomeOfATry(t *testing.T) {
	s := plain(t)
	d := delivery(2)
	d.Next = at(t, "4h")
	d, duties := Step(d, s, Due{At: at(t, "4h")})
	same(t, "the try first", duties, []Duty{Try{}})
	_, duties = Step(d, s, try(at(t, "4h2m"), of(away, 0), of(later450, 1)))
	same(t, "then who is left", duties, []Duty{tell(Delayed, 1)})
	_, duties = Step(d, s, try(at(t, "4h2m"), away))
	same(t, "or nobody", duties, []Duty{Close{}})
}

func TestOneLetterForAllMissedWarnings(t *testing.T) {
	s := plain(t)
	d := delivery(1)
	d.Next = at(t, "4d")
	d, duties := Step(d, s, Due{At: at(t, "3d")})
	same(t, "duties", duties, []Duty{tell(Delayed, 0)})
	same(t, "warned", d.Warned, 2*day)
}

func TestAWarningAsLateAsTheEndIsTheEnd(t *testing.T) {
	s := plain(t)
	d := delivery(1)
	d.Deadline = at(t, "3h")
	same(t, "no warning", NextWarning(d, s), time.Time{})
	d.Held = Hold{Since: accepted}
	same(t, "but a hold keeps the end away", NextWarning(d, s), at(t, "4h"))
}

// RFC 3461 4.1, 5.2: requirements N-16, N-17.
func TestNotifyDecidesWhoIsTold(t *testing.T) {
	s := plain(t)
	const none, never, success, failure, delay = 0, mail.NotifyNever, mail.NotifySuccess, mail.NotifyFailure, mail.NotifyDelay
	for _, c := range []struct {
		name   string
		event  Tried
		kind   Kind
		notify []mail.Notify // who is told
	}{
		{"refused", try(accepted, no), Failed, []mail.Notify{none, failure, failure | delay, success | failure}},
		{"expired", try(at(t, "5d"), dead), Failed, []mail.Notify{none, failure, failure | delay, success | failure}},
		{"mailbox", try(accepted, box), Delivered, []mail.Notify{success, success | delay, success | failure}},
		{"onward", try(accepted, away), Relayed, []mail.Notify{success, success | delay, success | failure}},
		{"to a host that reports", try(accepted, theirs), NoKind, nil},
		{"delayed", try(at(t, "4h"), dead), Delayed, []mail.Notify{none, delay, failure | delay, success | delay}},
	} {
		for _, n := range []mail.Notify{none, never, success, failure, delay, failure | delay, success | delay, success | failure} {
			_, duties := Step(delivery(1, n), s, c.event)
			var want []Duty
			if slices.Contains(c.notify, n) {
				want = append(want, tell(c.kind, 0))
			}
			if c.kind != Delayed {
				want = append(want, Close{})
			}
			same(t, c.name+", NOTIFY="+n.String(), duties, want)
		}
	}
}

func TestWhoWillBeToldIsToldThen(t *testing.T) {
	for _, from := range []mail.Address{{}, {Local: "a", Domain: "example.org"}} {
		for n := range mail.NotifyDelay << 1 {
			d := delivery(2, n, mail.NotifyNever)
			d.From = from
			d.Rcpts[1].State = Refused
			ended, duties := Step(d, plain(t), try(accepted, of(no, 0)))
			told := len(duties) == 2 && !duties[0].(Tell).Null
			if d.TellsSender() != told || ended.TellsSender() != told {
				t.Errorf("from <%s>, NOTIFY=%s: foretold %t, said afterwards %t, was %t", from, n, d.TellsSender(), ended.TellsSender(), told)
			}
		}
	}
	d := delivery(2, mail.NotifyNever, mail.NotifyFailure)
	d.Rcpts[1].State = Refused // and has been told of
	if d.TellsSender() {
		t.Error("what was told before stands for what is to come")
	}
}

func TestOneLetterSaysTheWorst(t *testing.T) {
	d := delivery(4, mail.NotifySuccess|mail.NotifyFailure)
	_, duties := Step(d, plain(t), try(accepted, of(box, 0), of(no, 1), of(away, 2), of(theirs, 3)))
	same(t, "duties", duties, []Duty{tell(Failed, 0, 1, 2), Close{}})
	_, duties = Step(d, plain(t), try(at(t, "5d"), of(later450, 0), of(no, 1), of(dead, 2), of(theirs, 3)))
	same(t, "in the order of the recipients", duties, []Duty{tell(Failed, 0, 1, 2), Close{}})
}

func TestADelayThatClearsIsTold(t *testing.T) {
	s := plain(t)
	s.Cleared = true
	d, _ := live(delivery(3, 0, mail.NotifyFailure, mail.NotifySuccess|mail.NotifyDelay), s, try(at(t, "4h"), dead))
	_, duties := Step(d, s, try(at(t, "5h"), theirs))
	same(t, "who was told of the delay", duties, []Duty{tell(Cleared, 0, 2), Close{}})
	_, duties = Step(delivery(1), s, try(at(t, "3h"), away))
	same(t, "nobody was", duties, []Duty{Close{}})
	s.Cleared = false
	_, duties = Step(d, s, try(at(t, "5h"), theirs))
	same(t, "not configured", duties, []Duty{Close{}})
}

// RFC 5321 6.1: requirement Q-15.
func TestANullReturnPathIsNeverAnswered(t *testing.T) {
	s := plain(t)
	s.Cleared = true
	d := delivery(1, mail.NotifySuccess|mail.NotifyFailure|mail.NotifyDelay)
	d.From = mail.Address{}
	same(t, "no warning wakes it", NextWarning(d, s), time.Time{})
	late, duties := Step(d, s, try(at(t, "4h"), dead))
	same(t, "no delay", duties, []Duty(nil))
	_, duties = Step(late, s, try(at(t, "5h"), box))
	same(t, "no success", duties, []Duty{Close{}})
	_, duties = Step(late, s, try(at(t, "5h"), no))
	same(t, "a failure, for a postmaster who asked", duties, []Duty{Tell{Failed, []int{0}, true}, Close{}})
	never := delivery(1, mail.NotifyNever)
	never.From = mail.Address{}
	_, duties = Step(never, s, try(at(t, "5h"), no))
	same(t, "nor that with NEVER", duties, []Duty{Close{}})
}

package custody

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/mail"
)

// plain is the default schedule, without jitter.
func plain(t testing.TB) Schedule {
	return Schedule{
		Name: "default", Retry: paceList(t, "5m", "10m", "20m", "40m", "1h for 1d", "2h"),
		Warn: []time.Duration{4 * time.Hour, 2 * day}, Expire: 5 * day,
	}
}

func paceList(t testing.TB, list ...string) []Pace {
	var ps []Pace
	for _, s := range list {
		p, err := ParsePace(s)
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	return ps
}

func age(t testing.TB, s string) time.Duration {
	d, err := ParseAge(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// delivery is one to so many recipients, accepted but not tried.
func delivery(rcpts int, notify ...mail.Notify) Delivery {
	m := Message{ID: NewID(accepted, 1, 42), Accepted: accepted, Envelope: mail.Envelope{From: mail.Address{Local: "a", Domain: "example.org"}}}
	to := make([]mail.Recipient, rcpts)
	for i := range to {
		to[i].Address = mail.Address{Local: fmt.Sprint("r", i), Domain: "example.com"}
		if len(notify) > 0 {
			to[i].Notify = notify[i%len(notify)]
		}
	}
	return NewDelivery(m, 1, "example.com", to)
}

// at is the moment when the message is so old.
func at(t testing.TB, old string) time.Time { return accepted.Add(age(t, old)) }

// try is an attempt that took no time, with these outcomes.
func try(at time.Time, os ...Outcome) Tried {
	for i := range os {
		os[i].At = at
	}
	return Tried{At: at, Attempt: Attempt{Began: at, Outcomes: os}}
}

func shareOf(e Tried) Tried {
	e.Attempt.Shared = true
	return e
}

var (
	dead     = Outcome{Stage: mail.Connect, Trouble: Unreachable}
	later450 = Outcome{Stage: mail.Rcpt, Theirs: true, Reply: mail.Reply{Code: 450, Text: "later"}, Trouble: Deferred}
	grey     = Outcome{Stage: mail.Rcpt, Theirs: true, Reply: mail.Reply{Code: 451, Text: "greylisted"}, Trouble: Greylisted}
	no       = Outcome{Stage: mail.Rcpt, Theirs: true, Reply: mail.Reply{Code: 550, Text: "no such person"}}
	box      = Outcome{Stage: mail.Dot, Theirs: true, Reply: mail.Reply{Code: 250}, Taken: Mailbox}
	away     = Outcome{Stage: mail.Dot, Theirs: true, Reply: mail.Reply{Code: 250}, Taken: Onward}
	theirs   = Outcome{Stage: mail.Dot, Theirs: true, Reply: mail.Reply{Code: 250}, Taken: Promised}
)

func of(o Outcome, rcpts ...int) Outcome {
	o.Rcpts = rcpts
	return o
}

// live steps a delivery through events and returns the duties of the last.
func live(d Delivery, s Schedule, es ...Event) (Delivery, []Duty) {
	var duties []Duty
	for _, e := range es {
		d, duties = Step(d, s, e)
	}
	return d, duties
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func tell(k Kind, rcpts ...int) Tell { return Tell{Kind: k, Rcpts: rcpts} }

func states(d Delivery) string {
	s := ""
	for _, r := range d.Rcpts {
		s += r.State.String() + " "
	}
	return s
}

// "Delivery expired (message too old) … (delivery attempts: 0)" cannot happen.
func TestNoDeathWithoutAnAttempt(t *testing.T) {
	s := plain(t)
	d := delivery(1)
	d, duties := Step(d, s, Due{At: at(t, "30d")})
	same(t, "after a long stop", duties, []Duty{Try{Last: true}})
	same(t, "pending", states(d), "pending ")
	d, duties = Step(d, s, Due{At: at(t, "30d"), Blocked: "paused"})
	same(t, "paused", duties, []Duty{tell(Delayed, 0)})
	d, duties = Step(d, s, try(at(t, "31d"), dead))
	same(t, "tried", duties, []Duty{tell(Failed, 0), Close{}})
	same(t, "expired", states(d), "expired ")
}

func TestTheLastTryFallsOnTheDeadline(t *testing.T) {
	s := plain(t)
	d, _ := live(delivery(1), s, try(at(t, "4d23h"), dead))
	same(t, "next", d.Next, at(t, "4d23h5m"))
	d, _ = live(d, s, try(at(t, "4d23h55m"), dead))
	same(t, "next", d.Next, at(t, "5d"))
	_, duties := Step(d, s, Due{At: d.Next})
	same(t, "duties", duties, []Duty{Try{Last: true}})
	for _, order := range []Ordered{{At: at(t, "1h"), Order: OrderRetry}, {At: at(t, "1h"), Order: OrderReroute}} {
		d, _ := live(delivery(1), s, try(at(t, "0s"), dead), order)
		d.Resume = at(t, "4d") // of a longer schedule, before a reload
		s.Expire = 3 * day
		d, _ = Step(d, s, try(at(t, "2h"), dead))
		same(t, "after an ordered try and a reload", d.Next, at(t, "3d"))
	}
}

func TestAnAttemptThatSpansTheDeadlineEndsIt(t *testing.T) {
	s := plain(t)
	e := try(at(t, "5d"), dead)
	e.Attempt.Began = at(t, "4d23h56m")
	d, duties := Step(delivery(1), s, e)
	same(t, "duties", duties, []Duty{tell(Failed, 0), Close{}})
	same(t, "states", states(d), "expired ")
}

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

func TestASharedAttemptNeverRefuses(t *testing.T) {
	s := plain(t)
	for name, o := range map[string]Outcome{"theirs": no, "ours": {Stage: mail.Route, Permanent: true}} {
		d, duties := Step(delivery(1), s, shareOf(try(at(t, "1h"), o)))
		same(t, name, duties, []Duty(nil))
		same(t, name, states(d), "pending ")
		same(t, name+": counted", d.Tries, 1)
		same(t, name+": paced", d.Next, at(t, "1h5m"))
		same(t, name+": kept", d.Rcpts[0].Last.Reply, o.Reply)
		d, duties = Step(d, s, shareOf(try(at(t, "5d"), o)))
		same(t, name+": but it ends at the deadline", duties, []Duty{tell(Failed, 0), Close{}})
		same(t, name, states(d), "expired ")
	}
}

func TestTheClassComesFromTheCode(t *testing.T) {
	s := plain(t)
	exchange := Outcome{Theirs: true, Reply: mail.Reply{Code: 550, Status: mail.Status{4, 4, 7}, Text: "QUEUE.Expired; message expired"}}
	d, _ := Step(delivery(1), s, try(accepted, exchange))
	same(t, "550 4.4.7", states(d), "refused ")
	odd := Outcome{Theirs: true, Reply: mail.Reply{Code: 450, Status: mail.Status{5, 1, 1}}, Trouble: Deferred}
	d, _ = Step(delivery(1), s, try(accepted, odd))
	same(t, "450 5.1.1", states(d), "pending ")
	ours := Outcome{Reply: mail.Reply{Code: 550}, Trouble: Unreachable}
	d, _ = Step(delivery(1), s, try(accepted, ours))
	same(t, "a 550 that no host said", states(d), "pending ")
	d, _ = Step(delivery(1), s, try(accepted, Outcome{Permanent: true}))
	same(t, "no such domain", states(d), "refused ")
}

func TestAHoldNeitherEatsTheBackoffNorStopsTheClock(t *testing.T) {
	s := plain(t)
	d, _ := live(delivery(1), s, try(accepted, dead), try(at(t, "5m"), dead), Ordered{At: at(t, "6m"), By: "anna", Why: "asked to wait", Order: OrderHold})
	runs := d.Runs
	same(t, "hold", d.Held, Hold{Since: at(t, "6m"), By: "anna", Why: "asked to wait"})
	same(t, "wakes for the warning", Wake(d, s), at(t, "4h"))
	d, duties := Step(d, s, Due{At: at(t, "4h")})
	same(t, "warns", duties, []Duty{tell(Delayed, 0)})
	d, duties = Step(d, s, Due{At: at(t, "9d")})
	same(t, "warns again, does not end", duties, []Duty{tell(Delayed, 0)})
	same(t, "nothing left but an order", Wake(d, s), time.Time{})
	same(t, "runs", d.Runs, runs)
	again, _ := Step(d, s, Ordered{At: at(t, "9d"), By: "bert", Order: OrderHold})
	same(t, "a second hold is the first", again, d)
	d, _ = Step(d, s, Ordered{At: at(t, "10d"), Order: OrderRelease})
	_, duties = Step(d, s, Due{At: Wake(d, s)})
	same(t, "released", duties, []Duty{Try{Last: true}})
}

func TestReleaseThenOneTryAtOnce(t *testing.T) {
	s := plain(t)
	d, _ := live(delivery(1), s, try(accepted, dead), try(at(t, "5m"), dead)) // next: 15m
	d, _ = live(d, s, Ordered{At: at(t, "6m"), Order: OrderHold}, Ordered{At: at(t, "8m"), Order: OrderRelease})
	same(t, "at once", Wake(d, s), at(t, "8m"))
	d, _ = Step(d, s, try(at(t, "8m"), dead))
	same(t, "then as if nothing had been", d.Next, at(t, "15m"))
	d, _ = Step(d, s, try(at(t, "15m"), dead))
	same(t, "third gap", d.Next, at(t, "35m"))
	free, duties := Step(d, s, Ordered{At: at(t, "16m"), Order: OrderRelease})
	same(t, "what is not held", free, d)
	same(t, "no duties", duties, []Duty(nil))
}

func TestRetryNowDoesNotAdvanceTheSchedule(t *testing.T) {
	s := plain(t)
	d, _ := live(delivery(1), s, try(accepted, dead), try(at(t, "5m"), dead))
	runs := d.Runs
	for _, minute := range []string{"6m", "7m", "8m"} {
		d, _ = live(d, s, Ordered{At: at(t, minute), Order: OrderRetry}, Ordered{At: at(t, minute), Order: OrderRetry})
		same(t, "due", d.Next, at(t, minute))
		hint := grey
		hint.Hint = time.Hour
		d, _ = Step(d, s, try(at(t, minute), hint))
		same(t, "next", d.Next, at(t, "15m"))
	}
	same(t, "runs", d.Runs, runs)
	same(t, "but each is counted", d.Tries, 5)
	d, _ = live(d, s, Ordered{At: at(t, "14m"), Order: OrderRetry}, try(at(t, "18m"), dead))
	same(t, "the schedule's moment passed meanwhile", d.Next, at(t, "18m"))
	held, _ := live(d, s, Ordered{At: at(t, "19m"), Order: OrderHold})
	again, _ := live(held, s, Ordered{At: at(t, "20m"), Order: OrderRetry})
	same(t, "a hold stands", again, held)
}

func TestRecipientsWithoutAnOutcomeStayDue(t *testing.T) {
	s := plain(t)
	d, duties := Step(delivery(3), s, try(at(t, "1m"), of(away, 0), of(later450, 1)))
	same(t, "due", d.Next, at(t, "1m"))
	same(t, "runs", d.Runs, [paces]uint16{})
	same(t, "duties", duties, []Duty(nil))
	d, _ = Step(d, s, try(at(t, "2m"), of(later450, 1), of(grey, 2)))
	same(t, "paced when all were heard", d.Next, at(t, "7m"))
	late, duties := Step(d, s, try(at(t, "5d"), of(later450, 1)))
	same(t, "the end of one", duties, []Duty{tell(Failed, 1), tell(Delayed, 2)})
	same(t, "is not the end of the other", states(late), "handed-over expired pending ")
	same(t, "which is due", late.Next, at(t, "5d"))
	_, duties = Step(late, s, Due{At: late.Next})
	same(t, "for its own last try", duties, []Duty{Try{Last: true}})
}

// A host that defers the same hundred each time and never comes to the others
// would be tried without a pause.
func TestAHostThatNeverComesToTheRestIsNotHammered(t *testing.T) {
	s := plain(t)
	d, _ := Step(delivery(3), s, try(at(t, "1m"), of(later450, 0, 1)))
	same(t, "the first time at once", d.Next, at(t, "1m"))
	d, _ = Step(d, s, try(at(t, "2m"), of(later450, 0, 1)))
	same(t, "then by the schedule", d.Next, at(t, "7m"))
	d, _ = Step(delivery(1), s, try(at(t, "6d")))
	same(t, "an attempt without outcomes", d.Next, at(t, "6d5m"))
	same(t, "is no death", states(d), "pending ")
}

func TestDeliverByNeverLengthensTheLife(t *testing.T) {
	s := plain(t)
	by := func(within string, ret bool) Delivery {
		m := Message{ID: NewID(accepted, 1, 1), Accepted: accepted, Envelope: mail.Envelope{
			From: mail.Address{Local: "a", Domain: "example.org"},
			By:   mail.DeliverBy{Within: age(t, within), Return: ret, Notify: !ret},
		}}
		return NewDelivery(m, 1, "example.com", []mail.Recipient{{Address: mail.Address{Local: "b", Domain: "example.com"}}})
	}
	same(t, "R shorter", End(by("1h", true), s), at(t, "1h"))
	same(t, "R longer", End(by("10d", true), s), at(t, "5d"))
	same(t, "N", End(by("1h", false), s), at(t, "5d"))

	d, _ := Step(by("1h", true), s, try(at(t, "50m"), dead))
	d, _ = Step(d, s, try(at(t, "58m"), dead))
	same(t, "R: the last try", d.Next, at(t, "1h"))
	d, duties := Step(d, s, try(at(t, "1h"), dead))
	same(t, "R: failed", duties, []Duty{tell(Failed, 0), Close{}})
	same(t, "R: expired", states(d), "expired ")

	d, _ = Step(by("1h", false), s, try(at(t, "58m"), dead))
	same(t, "N: wake", Wake(d, s), at(t, "1h"))
	d, duties = Step(d, s, Due{At: at(t, "1h")})
	same(t, "N: delayed", duties, []Duty{tell(Delayed, 0)})
	d, duties = Step(d, s, Due{At: at(t, "1h1m")})
	same(t, "N: once, and goes on", duties, []Duty(nil))
	s.Cleared = true
	_, duties = Step(d, s, try(at(t, "2h"), away))
	same(t, "N: cleared", duties, []Duty{tell(Cleared, 0), Close{}})
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

func TestEachKindOfTroubleHasItsOwnList(t *testing.T) {
	s := plain(t)
	s.Unreachable, s.Deferred, s.Greylisted = paceList(t, "1m", "2m", "3m"), paceList(t, "10m", "20m"), paceList(t, "7m", "8m")
	d := delivery(1)
	for _, c := range []struct {
		o    Outcome
		want string
	}{
		{dead, "1m"}, {later450, "10m"}, {dead, "2m"}, {grey, "7m"}, {later450, "20m"}, {dead, "3m"}, {grey, "8m"}, {grey, "8m"},
		{Outcome{Trouble: Unrouted}, "3m"}, {Outcome{Trouble: Ambiguous}, "20m"}, {Outcome{Trouble: Ours}, "20m"},
	} {
		next := d.Next
		d, _ = Step(d, s, try(next, c.o))
		same(t, c.o.Trouble.String(), d.Next.Sub(next), age(t, c.want))
	}
	s.Greylisted = nil
	same(t, "greylisted by deferred", s.Gap(Greylisted, 1), 20*time.Minute)
	s.Deferred, s.Unreachable = nil, nil
	same(t, "all by retry", s.Gap(Greylisted, 1), 10*time.Minute)
	mixed, _ := Step(delivery(2), s, try(accepted, of(dead, 0), of(grey, 1)))
	same(t, "what was said counts before silence", mixed.Last, Greylisted)
}

func TestAHintIsBelievedWithinBounds(t *testing.T) {
	hinted := func(gap, hint string, runs uint16) time.Duration {
		s := Schedule{Retry: paceList(t, gap), Expire: 5 * day}
		d := delivery(1)
		d.Runs[inAll] = runs
		o := grey
		o.Hint = age(t, hint)
		d, _ = Step(d, s, try(accepted, o))
		return d.Next.Sub(accepted)
	}
	for _, c := range []struct {
		gap, hint   string
		runs        uint16
		least, most string
	}{
		{"15m", "5m", 0, "5m", "5m30s"},
		{"15m", "5m", 2, "5m", "5m30s"},
		{"15m", "5m", 3, "15m", "15m"}, // no host makes us hammer it
		{"15m", "1h", 0, "1h", "1h6m"},
		{"15m", "1h", 9, "1h", "1h6m"},
		{"15m", "30d", 0, "4h", "4h24m"}, // nor wait for ever
		{"6h", "30d", 0, "6h", "6h"},     // nor does a long one hasten
		{"15m", "0.001s", 0, "1s", "2s"},
	} {
		if got := hinted(c.gap, c.hint, c.runs); got < age(t, c.least) || got > age(t, c.most) {
			t.Errorf("gap %s, hint %s after %d: %v, not %s to %s", c.gap, c.hint, c.runs, got, c.least, c.most)
		}
	}
	s := Schedule{Retry: paceList(t, "15m"), Expire: time.Hour}
	o := grey
	o.Hint = 3 * time.Hour
	d, _ := Step(delivery(1), s, try(accepted, o))
	same(t, "not beyond the deadline", d.Next, at(t, "1h"))
	short := grey
	short.Hint = 10 * time.Minute
	d, _ = Step(delivery(2), s, try(accepted, of(o, 0), of(short, 1)))
	if d.Next.Before(at(t, "10m")) || d.Next.After(at(t, "11m")) {
		t.Errorf("of two hints the sooner: %v", d.Next)
	}
}

func TestJitterIsAHashWithinItsShare(t *testing.T) {
	s := Schedule{Retry: paceList(t, "1h"), Jitter: 0.25, Expire: 5 * day}
	sum, least, most := 0.0, math.Inf(1), math.Inf(-1)
	const n = 2000
	for i := range n {
		id := DeliveryID{NewID(accepted, 1, uint64(i)), 1}
		got := s.jitter(id, i%7, time.Hour)
		if got != s.jitter(id, i%7, time.Hour) {
			t.Fatal("it threw dice")
		}
		v := got.Minutes()
		sum, least, most = sum+v, min(least, v), max(most, v)
	}
	if least < 45 || most > 75 || least > 46 || most < 74 || math.Abs(sum/n-60) > 1 {
		t.Errorf("gaps of %v to %v minutes, %v on average", least, most, sum/n)
	}
	s.Jitter = 0
	same(t, "none", s.jitter(DeliveryID{}, 1, time.Hour), time.Hour)
}

func TestABlockedDestinationWarnsButDoesNotTry(t *testing.T) {
	s := plain(t)
	d, _ := Step(delivery(1), s, try(accepted, dead))
	d, duties := Step(d, s, Due{At: at(t, "10m"), Blocked: "known to be dead", Until: at(t, "30m")})
	same(t, "duties", duties, []Duty(nil))
	same(t, "put off", d.Next, at(t, "30m"))
	d, duties = Step(d, s, Due{At: at(t, "4h"), Blocked: "paused"})
	same(t, "warns", duties, []Duty{tell(Delayed, 0)})
	same(t, "until nobody knows", d.Next, at(t, "30m"))
	same(t, "no attempt", [2]int{d.Tries, int(d.Runs[inAll])}, [2]int{1, 1})
	d, _ = Step(d, s, Due{At: at(t, "4d23h"), Blocked: "dead", Until: at(t, "6d")})
	same(t, "the last try is not put off", d.Next, at(t, "5d"))
	_, duties = Step(d, s, Due{At: at(t, "5d")})
	same(t, "it is the last", duties, []Duty{Try{Last: true}})
}

func TestAnOrderOnSomeRecipientsSplitsTheDelivery(t *testing.T) {
	d, _ := Step(delivery(4), plain(t), try(at(t, "1m"), of(away, 0), of(later450, 1, 2, 3)))
	rest, part := Split(d, []int{1, 3}, 2)
	same(t, "the part", []string{part.ID.String(), part.Rcpts[0].Address.Local, part.Rcpts[1].Address.Local}, []string{d.ID.Message.String() + "-2", "r1", "r3"})
	same(t, "the rest", []string{rest.ID.String(), rest.Rcpts[0].Address.Local, rest.Rcpts[1].Address.Local}, []string{d.ID.String(), "r0", "r2"})
	same(t, "what is left of it", states(d), "handed-over pending pending pending ")
	same(t, "as it was", []any{part.Next, part.Tries, part.Runs}, []any{d.Next, d.Tries, d.Runs})
	part, _ = Step(part, plain(t), Ordered{At: at(t, "2m"), Order: OrderRemove})
	same(t, "the order", states(part), "removed removed ")
	same(t, "reaches no other", states(rest), "handed-over pending ")
}

func TestRerouteSendsItAnotherWayAtOnce(t *testing.T) {
	s := plain(t)
	d, _ := live(delivery(1), s, try(accepted, dead), try(at(t, "5m"), dead), Ordered{At: at(t, "6m"), Order: OrderReroute, Via: "smtp:relay.example"})
	same(t, "lane", d.Lane(), "smtp:relay.example")
	same(t, "due", Wake(d, s), at(t, "6m"))
	d, _ = Step(d, s, try(at(t, "6m"), dead))
	same(t, "then by the schedule", d.Next, at(t, "15m"))
	d, _ = Step(d, s, Ordered{At: at(t, "7m"), Order: OrderReroute})
	same(t, "back to the routes", d.Lane(), "example.com")
	held, _ := live(d, s, Ordered{At: at(t, "8m"), Order: OrderHold}, Ordered{At: at(t, "9m"), Order: OrderReroute, Via: "mx"})
	_, duties := Step(held, s, Due{At: at(t, "10m")})
	same(t, "a hold stands", duties, []Duty(nil))
}

func TestGiveUpTellsAndRemoveDoesNot(t *testing.T) {
	s := plain(t)
	d, _ := live(delivery(3, 0, mail.NotifyNever), s, try(at(t, "1m"), of(no, 0), of(later450, 1, 2)), Ordered{At: at(t, "2m"), Order: OrderHold})
	gone, duties := Step(d, s, Ordered{At: at(t, "3m"), Order: OrderGiveUp})
	same(t, "give up", duties, []Duty{tell(Failed, 2), Close{}})
	same(t, "states", states(gone), "refused expired expired ")
	gone, duties = Step(d, s, Ordered{At: at(t, "3m"), Order: OrderRemove})
	same(t, "remove", duties, []Duty{Close{}})
	same(t, "states", states(gone), "refused removed removed ")
	same(t, "nobody is waked", Wake(gone, s), time.Time{})
}

func TestWhatHasLeftIsNotMoved(t *testing.T) {
	s := plain(t)
	d, _ := Step(delivery(1), s, try(accepted, away))
	for _, e := range []Event{Due{At: at(t, "9d")}, try(at(t, "1m"), no), Ordered{At: at(t, "1m"), Order: OrderGiveUp}, Ordered{At: at(t, "1m"), Order: OrderRetry}} {
		again, duties := Step(d, s, e)
		same(t, "delivery", again, d)
		same(t, "duties", duties, []Duty{Close{}})
	}
	same(t, "reschedule", Reschedule(d, s, accepted), d)
}

func TestANewScheduleMovesWhatWaits(t *testing.T) {
	s := plain(t)
	d, _ := live(delivery(1), s, try(accepted, dead), try(at(t, "5m"), dead))
	faster := s
	faster.Retry = paceList(t, "1m", "2m")
	same(t, "new gaps", Reschedule(d, faster, accepted).Next, at(t, "7m"))
	same(t, "not into the past", Reschedule(d, faster, at(t, "9m")).Next, at(t, "9m"))
	same(t, "no change", Reschedule(d, s, at(t, "6m")), d)
	faster.Unreachable = paceList(t, "3m", "4m")
	same(t, "a list of its own that is new begins", Reschedule(d, faster, accepted).Next, at(t, "8m"))
	shorter := s
	shorter.Expire = 10 * time.Minute
	same(t, "a new deadline", Reschedule(d, shorter, accepted).Next, at(t, "10m"))
	asked, _ := live(d, s, Ordered{At: at(t, "6m"), Order: OrderRetry})
	same(t, "an operator's wish stays", Reschedule(asked, faster, accepted).Next, at(t, "6m"))
	hint := grey
	hint.Hint = time.Hour
	hinted, _ := Step(d, s, try(at(t, "15m"), hint))
	same(t, "a host's too", Reschedule(hinted, faster, accepted).Next, hinted.Next)
	fresh := delivery(1)
	same(t, "what was not tried is due", Reschedule(fresh, faster, accepted), fresh)
}

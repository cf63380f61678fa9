package custody

import (
	"fmt"
	"strings"
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

func TestAnOutcomeForNobodyIsForNobody(t *testing.T) {
	d, duties := Step(delivery(2), plain(t), try(accepted, of(no, -1, 2, 99), of(grey, 0, 1), of(no, 0)))
	same(t, "the first word about each counts", states(d), "pending pending ")
	same(t, "duties", duties, []Duty(nil))
	same(t, "next", d.Next, at(t, "5m"))
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

func TestAnOperatorSetsTheLife(t *testing.T) {
	s := plain(t)
	d, _ := live(delivery(1), s, try(accepted, dead), try(at(t, "5m"), dead)) // next: 15m
	long, duties := Step(d, s, Ordered{At: at(t, "6m"), Order: OrderLife, Until: at(t, "10d")})
	same(t, "longer", End(long, s), at(t, "10d"))
	same(t, "the schedule goes on", long.Next, at(t, "15m"))
	same(t, "no duties", duties, []Duty(nil))
	same(t, "whose end it is", Because(long, s), "an operator set this end")
	short, _ := Step(d, s, Ordered{At: at(t, "6m"), Order: OrderLife, Until: at(t, "10m")})
	same(t, "the last try falls on it", short.Next, at(t, "10m"))
	over, _ := Step(d, s, Ordered{At: at(t, "6m"), Order: OrderLife, Until: at(t, "1m")})
	same(t, "an end that is past: one true try now", over.Next, at(t, "6m"))
	_, duties = Step(over, s, Due{At: at(t, "6m")})
	same(t, "the last", duties, []Duty{Try{Last: true}})
	back, _ := Step(short, s, Ordered{At: at(t, "7m"), Order: OrderLife})
	same(t, "back to the schedule", End(back, s), at(t, "5d"))
	same(t, "and its gaps", back.Next, at(t, "15m"))
	held, _ := live(d, s, Ordered{At: at(t, "6m"), Order: OrderHold}, Ordered{At: at(t, "7m"), Order: OrderLife, Until: at(t, "8m")})
	same(t, "a hold keeps the end away, not the warning", Wake(held, s), at(t, "4h"))
}

func TestAnOperatorWarnsNow(t *testing.T) {
	s := plain(t) // warns after 4h and 2d
	d, _ := live(delivery(1), s, try(accepted, dead))
	d, duties := Step(d, s, Ordered{At: at(t, "1h"), By: "anna", Order: OrderWarn})
	same(t, "told", duties, []Duty{tell(Delayed, 0)})
	same(t, "the next warning stays", NextWarning(d, s), at(t, "4h"))
	d, duties = Step(d, s, Ordered{At: at(t, "5h"), Order: OrderWarn})
	same(t, "told again", duties, []Duty{tell(Delayed, 0)})
	same(t, "what was due is told by it", NextWarning(d, s), at(t, "2d"))
	never, duties := Step(delivery(1, mail.NotifyNever), s, Ordered{At: at(t, "1h"), Order: OrderWarn})
	same(t, "who does not want to know", duties, []Duty(nil))
	same(t, "is as before", never.Warned, time.Duration(0))
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

func TestATryBeforeItsTimeIsForSilenceAloneAndCostsNothing(t *testing.T) {
	s := plain(t)
	early := func(d Delivery, age string) []Duty {
		_, duties := Step(d, s, Due{At: at(t, age), Early: true})
		return duties
	}
	silent, _ := live(delivery(1), s, try(accepted, dead), try(at(t, "5m"), dead))
	same(t, "silence", early(silent, "6m"), []Duty{Try{}})
	same(t, "without the sign of life", must(Step(silent, s, Due{At: at(t, "6m")})), []Duty(nil))
	again, _ := Step(silent, s, try(at(t, "6m"), dead))
	same(t, "silence again", []any{again.Next, again.Runs, again.Tries}, []any{silent.Next, silent.Runs, 3})
	heard, _ := Step(silent, s, try(at(t, "6m"), later450))
	same(t, "a host that spoke is obeyed", []any{heard.Runs[inAll], early(heard, "7m")}, []any{silent.Runs[inAll] + 1, []Duty(nil)})
	held, _ := Step(silent, s, Ordered{At: at(t, "6m"), Order: OrderHold})
	same(t, "a hold stands", early(held, "7m"), []Duty(nil))
	put, _ := Step(delivery(1), s, Due{At: accepted, Blocked: "dead", Until: at(t, "30m")})
	same(t, "never tried", early(put, "6m"), []Duty{Try{}})
	past, _ := Step(silent, s, Due{At: at(t, "9d"), Early: true})
	same(t, "the end is where it was", End(past, s), End(silent, s))
}

func must(_ Delivery, duties []Duty) []Duty { return duties }

func TestAnOrderOnSomeRecipientsSplitsTheDelivery(t *testing.T) {
	d, _ := Step(delivery(4), plain(t), try(at(t, "1m"), of(away, 0), of(later450, 1, 2, 3)))
	rest, part := Split(d, []int{1, 3}, 2)
	same(t, "the part", []any{part.ID.String(), part.Of, states(part)}, []any{d.ID.Message.String() + "-2", d.ID.N, "parted pending parted pending "})
	same(t, "the rest", []any{rest.ID, rest.Of, states(rest)}, []any{d.ID, uint16(0), "handed-over parted pending parted "})
	same(t, "its own", []string{part.Own()[0].Address.Local, part.Own()[1].Address.Local}, []string{"r1", "r3"})
	same(t, "what is left of it", states(d), "handed-over pending pending pending ")
	same(t, "as it was", []any{part.Next, part.Tries, part.Runs}, []any{d.Next, d.Tries, d.Runs})
	part, _ = Step(part, plain(t), Ordered{At: at(t, "2m"), Order: OrderRemove})
	same(t, "the order", states(part), "parted removed parted removed ")
	same(t, "reaches no other", states(rest), "handed-over parted pending parted ")
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

func TestAFaultOfOursIsNoLastTry(t *testing.T) {
	ours := Outcome{Stage: mail.Route, Trouble: Ours}
	by := delivery(1)
	by.By, by.ByReturn = at(t, "5d"), true
	soon, late, life := by, by, by
	soon.By, late.By = at(t, "5d2h"), at(t, "7d")
	life.Deadline = at(t, "4d")
	for _, c := range []struct {
		what string
		d    Delivery
		at   string
		os   []Outcome
		want string
		next string // age; "": no more
	}{
		{"at the deadline", delivery(1), "5d", []Outcome{ours}, "pending ", "5d5m"},
		{"shared", delivery(1), "5d", []Outcome{ours}, "pending ", "5d5m"},
		{"shortly before the day is over", delivery(1), "5d23h58m", []Outcome{ours}, "pending ", "6d"},
		{"a day later", delivery(1), "6d", []Outcome{ours}, "expired ", ""},
		{"a true try after it", delivery(1), "5d5m", []Outcome{dead}, "expired ", ""},
		{"for one of two", delivery(2), "5d", []Outcome{of(ours, 0), of(dead, 1)}, "pending expired ", "5d5m"},
		{"by the sender's own time", by, "5d", []Outcome{ours}, "expired ", ""},
		{"before the sender's own time", soon, "5d1h58m", []Outcome{ours}, "pending ", "5d2h"},
		{"at the sender's own time, after the deadline", soon, "5d2h", []Outcome{ours}, "expired ", ""},
		{"before the sender's own time, which is later than the day", late, "5d23h58m", []Outcome{ours}, "pending ", "6d"},
		{"at the sender's own time, after an operator's end", life, "5d", []Outcome{ours}, "expired ", ""},
	} {
		e := try(at(t, c.at), c.os...)
		e.Attempt.Shared = c.what == "shared"
		d, _ := Step(c.d, plain(t), e)
		same(t, c.what, states(d), c.want)
		next := time.Time{}
		if c.next != "" {
			next = at(t, c.next)
		}
		same(t, c.what+": next", d.Next, next)
		if _, _, end := Fate(d, plain(t)); end.At != next && c.next != "" {
			t.Errorf("%s: given up at %v", c.what, end.At)
		}
	}
}

func TestWhatHasEndedDoesNotPaceTheRest(t *testing.T) {
	ours, asked := Outcome{Stage: mail.Data, Trouble: Ours}, later450
	asked.Hint = time.Hour
	for _, c := range []struct {
		at, next string
		o        Outcome // of the recipient that ends
	}{
		{"5d", "5d5m", later450},
		{"5d", "5d5m", asked},
		{"5d23h58m", "6d", later450},
		{"5d23h58m", "6d", dead},
	} {
		d, _ := Step(delivery(2), plain(t), try(at(t, c.at), of(ours, 0), of(c.o, 1)))
		same(t, "states", states(d), "pending expired ")
		same(t, "trouble", d.Last, Ours)
		same(t, "next", d.Next, at(t, c.next))
		if why := Because(d, plain(t)); !strings.Contains(why, "a fault of this server") {
			t.Errorf("it ends because %s", why)
		}
	}
}

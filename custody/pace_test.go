package custody

import (
	"math"
	"testing"
	"time"
)

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
		{"6h", "4h", 0, "6h", "6h"},
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
	d, _ = Step(delivery(3), s, try(accepted, of(o, 0), of(short, 1), of(grey, 2)))
	if d.Next.Before(at(t, "10m")) || d.Next.After(at(t, "11m")) {
		t.Errorf("of two hints the sooner, none is no hint: %v", d.Next)
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
	fresh.Next = at(t, "10m")
	same(t, "or was put off", Reschedule(fresh, faster, accepted), fresh)
}

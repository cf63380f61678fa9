package system

import (
	"testing"
	"time"
)

// TestEachRuleOfGivingUp has one failure before a limit of a day, one on it and
// one after it.
func TestEachRuleOfGivingUp(t *testing.T) {
	const h = time.Hour
	for _, c := range []struct {
		name        string
		policy      Policy
		began, next time.Duration
		at          time.Duration // -1: it goes on
	}{
		{"timer, next in time", Policy{Expiry: ByTimer}, 22 * h, 23 * h, -1},
		{"timer, next on the limit", Policy{Expiry: ByTimer}, 23 * h, 24 * h, -1},
		{"timer, next on a sharp limit", Policy{Expiry: ByTimer, Sharp: true}, 23 * h, 24 * h, 24 * h},
		{"timer, next past the limit", Policy{Expiry: ByTimer}, 20 * h, 30 * h, 24 * h},
		{"timer, no next", Policy{Expiry: ByTimer}, 20 * h, -1, 24 * h},
		{"timer, after an outage of its own", Policy{Expiry: ByTimer}, 40 * h, 41 * h, 40 * h},
		{"not known, next past the limit", Policy{}, 20 * h, 30 * h, 24 * h},
		{"a failure before the limit", Policy{Expiry: AfterFailure}, 23 * h, 30 * h, -1},
		{"a failure on the limit", Policy{Expiry: AfterFailure}, 24 * h, 30 * h, 24 * h},
		{"a failure after the limit", Policy{Expiry: AfterFailure}, 30 * h, 31 * h, 30 * h},
		{"no failure to come", Policy{Expiry: AfterFailure}, 23 * h, -1, 24 * h},
		{"before the next, on the limit", Policy{Expiry: BeforeAttempt}, 23 * h, 24 * h, -1},
		{"before the next, past the limit", Policy{Expiry: BeforeAttempt}, 23 * h, 25 * h, 25 * h},
		{"the next on the limit", Policy{Expiry: NextTooLate}, 12 * h, 24 * h, -1},
		{"the next too late", Policy{Expiry: NextTooLate}, 12 * h, 25 * h, 12 * h},
		{"no next at all", Policy{Expiry: NextTooLate}, 12 * h, -1, 12 * h},
		{"begun on the limit", Policy{Expiry: LastAttempt}, 24 * h, 30 * h, -1},
		{"begun after the limit", Policy{Expiry: LastAttempt}, 25 * h, 30 * h, 25 * h},
		{"the third failure", Policy{Expiry: ByCount, Limit: 3}, h, 2 * h, h},
		{"the third of four", Policy{Expiry: ByCount, Limit: 4}, 30 * h, 31 * h, -1},
		{"the third, time left", Policy{Expiry: BeforeAttempt, Limit: 3}, h, 2 * h, h},
		{"the end of a list", Policy{Expiry: ByCount, Retry: List{}}, h, -1, h},
	} {
		c.policy.Lifetime = day
		end, ok := c.policy.Ends(Failure{Tries: 3, Began: c.began, Next: c.next})
		if !ok {
			end.At.Model = -1
		}
		if end.At.Model != c.at {
			t.Errorf("%s: ends at %s, want %s", c.name, end.At.Model, c.at)
		}
	}
}

// TestADestinationsClockIsNotTheMessages is Exim's trap.
func TestADestinationsClockIsNotTheMessages(t *testing.T) {
	p := find(t, "exim")
	young := Failure{Tries: 1, Began: 0, Next: 6 * time.Hour, Failing: 4*day + time.Hour}
	if end, ok := p.Ends(young); !ok || end.At.Model != 0 {
		t.Errorf("a new message for a long dead destination: %v %v", end, ok)
	}
	young.Failing = day
	if _, ok := p.Ends(young); ok {
		t.Error("a destination dead for a day ends a new message")
	}
	old := Failure{Tries: 30, Began: 4*day + time.Hour, Next: 5 * day, Failing: time.Hour}
	if _, ok := p.Ends(old); !ok {
		t.Error("the message's own age is no backstop")
	}
	for id, want := range map[string]bool{"exim": true, "exim-debian": true, "spamexperts": true, "postfix": false, "qmail": false} {
		if got := find(t, id).Untried(5 * day); got != want {
			t.Errorf("%s: ends untried %t", id, got)
		}
		if find(t, id).Untried(3 * day) {
			t.Errorf("%s: ends untried after 3 days", id)
		}
	}
}

// TestTheFilterOfSixDays is the filter that keeps a message behind a closed port
// for 6 days, by a limit of its operator.
func TestTheFilterOfSixDays(t *testing.T) {
	p := find(t, "ironport-asyncos")
	p.Lifetime = 6 * day
	c := p.Run(Unreachable, Reckoned)
	if len(c.Attempts) != 149 || c.End.At.Model != 518_580*time.Second || c.End.By != BeforeAttempt {
		t.Errorf("%d attempts, %v; want 149 and the end just before the next, after 6d3m", len(c.Attempts), c.End)
	}
	// A host that answers is counted: a hundred retries are used up in 95 hours.
	c = p.Run(Deferred, Reckoned)
	if len(c.Attempts) != 101 || c.End.At.Model != 342_180*time.Second || c.End.By != ByCount {
		t.Errorf("%d attempts, %v; want 101 and the count, after 95h3m", len(c.Attempts), c.End)
	}
	if early := p.Run(Unreachable, Latest); early.End.At.Most > 6*day+time.Hour {
		t.Errorf("ends after %v at the latest", early.End)
	}
}

func TestExchangeMakesFewerAttemptsWhereItIsAnswered(t *testing.T) {
	p := find(t, "exchange-2007")
	if c := p.Run(Deferred, Reckoned); len(c.Attempts) != 192 || c.End.At.Model != 2*day {
		t.Errorf("%d attempts, ends after %v; want 192 and 2 days", len(c.Attempts), c.End)
	}
	if c := p.Run(Unreachable, Reckoned); c.End.At != (Span{2 * day, 2*day + 13*time.Minute, 2 * day}) {
		t.Errorf("ends within %v", c.End.At)
	}
}

// TestWhatIsNotKnownIsNotReckoned: no end is made up for a system of which
// nobody knows one.
func TestWhatIsNotKnownIsNotReckoned(t *testing.T) {
	for _, id := range []string{"halon", "yahoo", "postmark", "kerio", "mailenable"} {
		if c := find(t, id).Run(Unreachable, Reckoned); !c.Endless {
			t.Errorf("%s ends after %v", id, c.End)
		}
	}
	c := find(t, "gmail").Run(Unreachable, Reckoned)
	if len(c.Attempts) != 1 || c.End.At.Model != 3*day || c.Longest != 0 {
		t.Errorf("gmail, of which the end alone is known: %+v", c)
	}
	c = find(t, "icloud-2014").Run(Unreachable, Reckoned)
	if c.Attempts[0] != 191*time.Second || c.Attempts[7] != 91_528*time.Second || c.End.At.Model != 4*day {
		t.Errorf("icloud-2014, by its log: %+v", c)
	}
}

func TestAttemptsAreThoseOfTheCourse(t *testing.T) {
	for _, s := range All() {
		c := s.Policy.Run(Unreachable, Reckoned)
		if c.Endless {
			continue
		}
		n := 0
		for i, at := range s.Policy.Attempts(Unreachable, Reckoned) {
			if n++; i != n || at != c.Attempts[i-1] {
				t.Errorf("%s: attempt %d at %s", s.ID, i, at)
			}
		}
		if n != len(c.Attempts) {
			t.Errorf("%s: %d attempts, %d in its course", s.ID, n, len(c.Attempts))
		}
	}
}

func TestNoPolicyWalksForEver(t *testing.T) {
	p := Policy{Lifetime: 365 * day, Expiry: ByTimer, Retry: Fixed{time.Second}}
	n, last := 0, time.Duration(0)
	for n, last = range p.Attempts(Unreachable, Reckoned) { // to the bound
	}
	if n > mostAttempts || last > 13*day {
		t.Errorf("%d attempts, the last after %s", n, age(last))
	}
}

//go:build linux

package crash

import (
	"fmt"
	"testing"
	"time"
)

// TestTheJudgeFindsWhatMustNotBe keeps the other tests honest: a fault of each kind is
// planted in a ledger in which all is well.
func TestTheJudgeFindsWhatMustNotBe(t *testing.T) {
	const to, author = "good.0.1@d1.there.test", "s.1@home.test"
	mail, home := &sink{}, &sink{}
	take := func(l *ledger, m *message) {
		l.took(l.begin(l.now(), mail), m.id, true, m.sum, []string{m.to[0].address})
	}
	tell := func(l *ledger, name string) {
		l.told(l.begin(l.now(), home), name, author, []string{"no.0.1@d1.there.test"})
	}
	crash := func(l *ledger) { l.cut(anyTime); l.rise() }
	for _, c := range []struct {
		name string
		fate fate
		run  func(l *ledger, m *message)
		want kind
	}{
		{"all is well", good, func(l *ledger, m *message) { l.acked(m); take(l, m) }, ""},
		{"came before its 250 was read", good, func(l *ledger, m *message) { take(l, m); l.acked(m) }, ""},
		{"in doubt, and came", good, take, ""},
		{"in doubt, and did not come", good, func(*ledger, *message) {}, ""},
		{"acknowledged, and did not come", good, func(l *ledger, m *message) { l.acked(m) }, lost},
		{"came back", no, func(l *ledger, m *message) { l.acked(m); tell(l, "a") }, ""},
		{"did not come back", no, func(l *ledger, m *message) { l.acked(m) }, lost},
		{"the same bounce again after a crash", no, func(l *ledger, m *message) { l.acked(m); tell(l, "a"); crash(l); tell(l, "a") }, ""},
		{"the same bounce again", no, func(l *ledger, m *message) { l.acked(m); tell(l, "a"); tell(l, "a") }, again},
		{"another bounce", no, func(l *ledger, m *message) { l.acked(m); tell(l, "a"); crash(l); tell(l, "b") }, twice},
		{"a bounce of what is taken", good, func(l *ledger, m *message) {
			l.acked(m)
			l.told(l.begin(0, home), "a", author, []string{to})
		}, wrongly},
		{"a bounce for another sender", no, func(l *ledger, m *message) {
			l.acked(m)
			tell(l, "a")
			l.told(l.begin(0, home), "b", "s.2@home.test", []string{"no.0.1@d1.there.test"})
		}, ghost},
		{"again after a crash", good, func(l *ledger, m *message) { l.acked(m); take(l, m); crash(l); take(l, m) }, ""},
		{"again without a crash", good, func(l *ledger, m *message) { l.acked(m); take(l, m); take(l, m) }, again},
		{"again in the life after the crash", good, func(l *ledger, m *message) {
			l.acked(m)
			take(l, m)
			crash(l)
			take(l, m)
			take(l, m)
		}, again},
		{"again long after its answer", good, func(l *ledger, m *message) {
			l.acked(m)
			tx := l.begin(0, mail)
			l.took(tx, m.id, true, m.sum, []string{to})
			tx.answered = time.Now().Add(-time.Minute)
			crash(l)
			take(l, m)
		}, again},
		{"more of them than can be in flight", good, func(l *ledger, m *message) {
			l.acked(m)
			take(l, m)
			var more []*message
			for range perDestination {
				more = append(more, another(l, good))
				take(l, more[len(more)-1])
			}
			crash(l)
			for _, m := range append(more, m) {
				take(l, m)
			}
		}, again},
		{"changed", good, func(l *ledger, m *message) { l.acked(m); l.took(l.begin(0, mail), m.id, false, m.sum, []string{to}) }, changed},
		{"whole, but another's words", good, func(l *ledger, m *message) {
			l.acked(m)
			l.took(l.begin(0, mail), m.id, true, "0123", []string{to})
		}, changed},
		{"never heard of", good, func(l *ledger, m *message) {
			l.acked(m)
			take(l, m)
			l.took(l.begin(0, mail), 99, true, m.sum, []string{to})
		}, ghost},
		{"for another recipient", good, func(l *ledger, m *message) {
			l.acked(m)
			take(l, m)
			l.took(l.begin(0, mail), m.id, true, m.sum, []string{"good.7.1@d1.there.test"})
		}, ghost},
		{"not sent to its end", good, func(l *ledger, m *message) { m.client = begun; take(l, m) }, ghost},
		{"refused", good, func(l *ledger, m *message) { l.refusedBy(m, "451 4.3.0 no") }, unwanted},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLedger()
			m := another(l, c.fate)
			c.run(l, m)
			v := l.judge()
			switch {
			case c.want == "" && len(v.faults) > 0:
				t.Errorf("%v", v.faults)
			case c.want != "" && (len(v.faults) != 1 || v.faults[0].kind != c.want):
				t.Errorf("%v, want one of %q", v.faults, c.want)
			}
		})
	}
}

// another is a message that was sent to its end.
func another(l *ledger, f fate) *message {
	m, _ := l.compose(1000, func(id uint64) []*recipient {
		return []*recipient{{address: fmt.Sprintf("%s.0.%d@d1.there.test", f, id), fate: f}}
	})
	l.sent(m)
	return m
}

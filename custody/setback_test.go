package custody

import (
	"testing"
	"time"
)

func TestSetBack(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	later := now.Add(240 * time.Hour)
	for _, c := range []struct {
		name            string
		accepted, began time.Time
		ahead           bool
		want            time.Time // Accepted
	}{
		{"all is past", now.Add(-time.Hour), now.Add(-time.Minute), false, now.Add(-time.Hour)},
		{"just now", now, now, false, now},
		{"tried by a wrong clock", now.Add(-time.Hour), later, true, now.Add(-time.Hour)},
		{"accepted by a wrong clock", later, later.Add(time.Hour), true, now},
		{"not tried yet", later, time.Time{}, true, now},
	} {
		d := Delivery{Accepted: c.accepted, Began: c.began, Next: later.Add(2 * time.Hour), Resume: later}
		got, ahead := SetBack(d, now)
		if ahead != c.ahead || !got.Accepted.Equal(c.want) {
			t.Errorf("%s: %t, accepted %v", c.name, ahead, got.Accepted)
		}
		if ahead && (!got.Next.Equal(now) || got.Began.After(now) || !got.Resume.IsZero()) {
			t.Errorf("%s: next %v, began %v, resume %v", c.name, got.Next, got.Began, got.Resume)
		}
	}
}

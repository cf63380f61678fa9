package system

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestPacesAreHonest holds for every pace of every system at any age: the span
// is in order, lies ahead, and its model is inside.
func TestPacesAreHonest(t *testing.T) {
	var paces []Retry
	for _, s := range All() {
		for _, r := range []Retry{s.Policy.Retry, s.Policy.Deferred} {
			if r != nil {
				paces = append(paces, r)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.SampledFrom(paces).Draw(t, "pace")
		n := rapid.IntRange(1, 3000).Draw(t, "n")
		began := time.Duration(rapid.Int64Range(0, int64(40*day)).Draw(t, "began"))
		s, ok := r.Next(n, began)
		if !ok {
			return
		}
		if at := s.Pick(Reckoned); s.Least < began || at < s.Least || s.Most < at {
			t.Fatalf("%s: after attempt %d at %s: %+v", r, n, age(began), s)
		}
	})
}

// TestTheWalksOfAPolicyDoNotCross: reckoned early, it ends no later and tries no
// less.
func TestTheWalksOfAPolicyDoNotCross(t *testing.T) {
	for _, s := range All() {
		for _, trouble := range []Trouble{Unreachable, Deferred} {
			least, model, most := s.Policy.Run(trouble, Earliest), s.Policy.Run(trouble, Reckoned), s.Policy.Run(trouble, Latest)
			if model.Endless {
				continue
			}
			if s.Policy.Expiry == NextTooLate || s.Policy.Expiry == LastAttempt {
				continue // their end follows the attempts: earlier ones may make room for one more
			}
			if least.End.At.Least > model.End.At.Model || s.Policy.Expiry == ByCount && model.End.At.Model > most.End.At.Most {
				t.Errorf("%s: ends after %v, %v, %v", s.ID, least.End, model.End, most.End)
			}
			if len(least.Attempts) < len(model.Attempts) || len(model.Attempts) < len(most.Attempts) {
				t.Errorf("%s: %d, %d, %d attempts", s.ID, len(least.Attempts), len(model.Attempts), len(most.Attempts))
			}
		}
	}
}

func TestPacesReadAloud(t *testing.T) {
	for want, r := range map[string]Retry{
		"every 15m":                                                               Fixed{15 * time.Minute},
		"1m, 5m 2 times, then every 1h":                                           List{Gaps: []time.Duration{time.Minute, 5 * time.Minute, 5 * time.Minute}, Then: time.Hour},
		"1m 4 times, 5m 6 times, then every 10m":                                  Ladder{{Every: time.Minute, Times: 4}, {Every: 5 * time.Minute, Times: 6}, {Every: 10 * time.Minute}},
		"15m until 4h, gaps not known until 1d16h, 3h until 31d":                  find(t, "aa-net").Retry,
		"20m, each 2 times the last, ±30s":                                        find(t, "kumomta").Retry,
		"20m, each 2 times the last, at most 1h":                                  Geometric{First: 20 * time.Minute, Factor: 2, Max: time.Hour},
		"1m, then growing to 1h":                                                  find(t, "ironport-asyncos").Retry,
		"every 15m until 2h, 1h growing 1.5 times until 16h, every 6h until 4d":   find(t, "exim").Retry,
		"6m40s after acceptance, then 4, 9, 16 … times that":                      find(t, "qmail").Retry,
		"as long again as the message is old, 5m to 1h6m40s":                      find(t, "postfix").Retry,
		"3 attempts 5m apart, between them rests of 15m, 30m, 1h, 2h and so on":   find(t, "courier").Retry,
		"1m until 1m, 5m until 5m, 10m until 10m, then every 20m, up to 1m later": find(t, "chasquid").Retry,
		"at every queue run, every 30m":                                           find(t, "sendmail").Retry,
		"seen at 3m11s, 1h":                                                       Observed{191 * time.Second, time.Hour},
		"1m, -5s to +10s":                                                         Jittered{List{Gaps: []time.Duration{time.Minute}}, 5 * time.Second, 10 * time.Second},
	} {
		if got := r.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func find(t *testing.T, id string) Policy {
	t.Helper()
	s, ok := Find(id)
	if !ok {
		t.Fatalf("no system %s", id)
	}
	return s.Policy
}

func TestUnknownGrowthSpansWhatIsPossible(t *testing.T) {
	p := find(t, "ironport-asyncos")
	for _, c := range []struct {
		n    int
		want Span
	}{
		{1, Span{time.Minute, time.Minute, time.Minute}},
		{2, Span{time.Minute, time.Hour, 2 * time.Minute}},
		{6, Span{time.Minute, time.Hour, 32 * time.Minute}},
		{7, Span{time.Minute, time.Hour, time.Hour}},
		{500, Span{time.Minute, time.Hour, time.Hour}},
	} {
		if got, ok := p.Next(Unreachable, c.n, 0); !ok || got != c.want {
			t.Errorf("gap %d: %v, want %v", c.n, got, c.want)
		}
	}
	if got, _ := find(t, "domino").Next(Unreachable, 2, 0); got != (Span{15 * time.Minute, Open, 30 * time.Minute}) {
		t.Errorf("a bound that nobody knows: %v", got)
	}
	// Between known gaps of 15m and 3h, doubling.
	p = find(t, "aa-net")
	for began, gap := range map[time.Duration]time.Duration{
		4 * time.Hour: 30 * time.Minute, 4*time.Hour + 30*time.Minute: time.Hour, 20 * time.Hour: 3 * time.Hour,
	} {
		want := Span{began + 15*time.Minute, began + 3*time.Hour, began + gap}
		if got, ok := p.Next(Unreachable, 17, began); !ok || got != want {
			t.Errorf("at %s: %v, want %v", age(began), got, want)
		}
	}
	// The remote queue of MDaemon is worked who knows how often, for an hour.
	if got, _ := find(t, "mdaemon").Next(Unreachable, 1, 0); got != (Span{time.Minute, 4 * time.Hour, time.Hour}) {
		t.Errorf("two queues: %v", got)
	}
	if got, _ := find(t, "mdaemon").Next(Deferred, 20, 60*time.Minute); got != exactly(5*time.Hour) {
		t.Errorf("the retry queue: %v", got)
	}
}

func TestALateAttemptMovesTheCurveOfQmailAlone(t *testing.T) {
	late := 500 * time.Second // 400 s were due
	if got, _ := find(t, "qmail").Next(Unreachable, 2, late); got.Model != 42*42*time.Second {
		t.Errorf("qmail: %s, want the root of 500, cut, and 20, squared", got.Model)
	}
	if got, _ := find(t, "opensmtpd").Next(Unreachable, 2, late); got.Model != 1600*time.Second {
		t.Errorf("OpenSMTPD: %s, want the next point of the curve", got.Model)
	}
	for k := time.Duration(1); k < 3000; k++ {
		q := Quadratic{Unit: 400 * time.Second}
		if got, ok := q.Next(1, k*k*q.Unit); ok && got.Model != (k+1)*(k+1)*q.Unit {
			t.Fatalf("point %d: %s", k, got.Model)
		}
		if got, ok := q.Next(1, k*k*q.Unit-1); ok && got.Model != k*k*q.Unit {
			t.Fatalf("just before point %d: %s", k, got.Model)
		}
	}
}

func TestChanceWidensASpanAndNeverGoesBack(t *testing.T) {
	j := Jittered{Fixed{10 * time.Second}, time.Minute, 30 * time.Second}
	if got, _ := j.Next(1, time.Hour); got != (Span{time.Hour, time.Hour + 40*time.Second, time.Hour + 10*time.Second}) {
		t.Errorf("%v", got)
	}
}

// TestAQueueLookedAtRarelyWaits: Postfix with its scan, between no wait and a
// whole one.
func TestAQueueLookedAtRarelyWaits(t *testing.T) {
	got, _ := find(t, "postfix").Next(Unreachable, 7, 4800*time.Second)
	if want := (Span{8800 * time.Second, 9100 * time.Second, 9000 * time.Second}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	first, _ := find(t, "sendmail").Next(Unreachable, 1, 0)
	later, _ := find(t, "sendmail").Next(Unreachable, 2, 30*time.Minute)
	if first.Least != 0 || first.Most != 30*time.Minute || !later.Exact() {
		t.Errorf("first run %v, second %v", first, later)
	}
}

func TestEximGrowsTheSmallerGapAtLeast(t *testing.T) {
	p := find(t, "exim-debian")
	p.Scan = 0
	got, _ := p.Next(Unreachable, 9, 27000*time.Second)
	// Planned 8100 s, really 9000 s: the runs at 39,600 and 41,400 s.
	if want := (Span{39600 * time.Second, 41400 * time.Second, 41400 * time.Second}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

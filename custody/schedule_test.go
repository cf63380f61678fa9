package custody

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAScheduleUnfoldsAsItIsWritten(t *testing.T) {
	for _, c := range []struct{ list, gaps string }{
		{"5m", "5m 5m 5m"},
		{"5m, 10m", "5m 10m 10m 10m"},
		{"5m, 1h for 3h, 2h", "5m 1h 1h 1h 2h 2h"},
		{"1h for 90m, 2h", "1h 2h"},
		{"1m 4 times, 5m 2 times, 10m", "1m 1m 1m 1m 5m 5m 10m 10m"},
		{"1m 1 time, 2m", "1m 2m"},
		{"5m x2 to 4h", "5m 10m 20m 40m 1h20m 2h40m 4h 4h"},
		{"5m x2 to 40m, 2h", "5m 10m 20m 40m 2h 2h"},
		{"1m x5 to 125m, 1d", "1m 5m 25m 2h5m 1d"}, // log 125 / log 5 > 3 in floating point
		{"1s x10 to 1000s, 1d", "1s 10s 1m40s 16m40s 1d"},
		{"10m x1.5 to 30m, 1d", "10m 15m 22m30s 30m 1d"},
	} {
		list := paceList(t, strings.Split(c.list, ", ")...)
		for n, want := range strings.Fields(c.gaps) {
			if got := gap(list, n); FormatAge(got) != want || got != unfold(list, n) {
				t.Errorf("%s: gap %d is %v, not %s (%v)", c.list, n, got, want, unfold(list, n))
			}
		}
	}
	day24 := paceList(t, "1h for 1d", "2h")
	if gap(day24, 23) != time.Hour || gap(day24, 24) != 2*time.Hour {
		t.Error(`"1h for 1d" is not 24 gaps`)
	}
}

func TestEveryGapIsTheOneThatIsFoundByWalking(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list, n := paceLists.Draw(t, "list"), rapid.IntRange(0, 40).Draw(t, "n")
		if got, want := gap(list, n), unfold(list, n); (got - want).Abs() > 1 {
			t.Fatalf("%v, not %v", got, want)
		}
	})
}

func TestAPaceReadsBackAsItWasWritten(t *testing.T) {
	for in, want := range map[string]Pace{
		"5m":             {Gap: 5 * time.Minute},
		"1h for 1d":      {Gap: time.Hour, Times: 24},
		"15m 4 times":    {Gap: 15 * time.Minute, Times: 4},
		"5m x2 to 4h":    {Gap: 5 * time.Minute, Grow: 2, Max: 4 * time.Hour},
		"90s x1.5 to 1w": {Gap: 90 * time.Second, Grow: 1.5, Max: 7 * day},
		"1d2h3m4s":       {Gap: 26*time.Hour + 3*time.Minute + 4*time.Second},
	} {
		p, err := ParsePace(in)
		if err != nil || p != want {
			t.Errorf("%q: %+v, %v", in, p, err)
		}
		if again, err := ParsePace(p.String()); err != nil || again != p {
			t.Errorf("%q is written as %q: %+v, %v", in, p, again, err)
		}
	}
}

func TestABadPaceIsNamed(t *testing.T) {
	for in, want := range map[string]string{
		"":                "not a gap",
		"15":              `"15" is not a length of time`,
		"15m often":       "not a gap",
		"0s":              "shorter than 1s",
		"0.5s":            "shorter than 1s",
		"1h for 30m":      "no room",
		"0s for 1d":       "no room",
		"1h for ever":     "not a length of time",
		"15m 0 times":     "not a number of times",
		"15m -1 times":    "not a number of times",
		"15m x times":     "not a number of times",
		"5m x1 to 4h":     "does not grow",
		"5m x0.5 to 4h":   "does not grow",
		"5m x-2 to 4h":    "does not grow",
		"5m xNaN to 4h":   "not a factor",
		"5m xInf to 4h":   "not a factor",
		"5m x1000 to 4h":  "not a factor",
		"4h x2 to 5m":     "growth from 4h to 5m",
		"4h x2 to 4h":     "growth from 4h to 4h",
		"5m x2 to little": "not a length of time",
	} {
		if p, err := ParsePace(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, not %q", in, p, err, want)
		}
	}
}

func TestAnAgeReadsBackAsItWasWritten(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"0s": 0, "90s": 90 * time.Second, "15m": 15 * time.Minute, "2h": 2 * time.Hour, "5d": 5 * day, "1w": 7 * day,
		"1d12h": 36 * time.Hour, "1w2d3h4m5s": 9*day + 3*time.Hour + 4*time.Minute + 5*time.Second, "1.5h": 90 * time.Minute, ".5d": 12 * time.Hour,
	} {
		if got, err := ParseAge(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "5", "m", "5 m", "-5m", "+5m", "5m5m", "5m1h", "5x", "5M", "5mm", "1..5h", ".h", "1e3s", "Infs", "NaNs", "101w1",
		"99999w", "1000000d", "36500d876000h", "5214w36499d875999h52559999m3153599999s"} {
		if got, err := ParseAge(in); err == nil {
			t.Errorf("%q: %v", in, got)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", time.Millisecond: "0s", -time.Millisecond: "0s", 90 * time.Second: "1m30s", 4*time.Minute + 30*time.Second: "4m30s", 5 * day: "5d", 36 * time.Hour: "1d12h",
		25*time.Hour + time.Minute: "1d1h", 24*time.Hour + time.Minute: "1d", -time.Hour: "-1h", 7 * day: "7d", math.MinInt64: "-106751d23h",
	} {
		if got := FormatAge(d); got != want {
			t.Errorf("%v: %q, not %q", d, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := seconds(0, 90*365*day).Draw(t, "age")
		if got, err := ParseAge(formatAge(d, len(ageUnits))); err != nil || got != d {
			t.Fatalf("%q: %v, %v", formatAge(d, len(ageUnits)), got, err)
		}
		got, err := ParseAge(FormatAge(d))
		if err != nil || got > d || float64(got) < 0.95*float64(d) {
			t.Fatalf("%v is written %q: %v, %v", d, FormatAge(d), got, err)
		}
	})
}

func TestAScheduleThatMakesNoSenseIsNamed(t *testing.T) {
	for want, spoil := range map[string]func(*Schedule){
		"":                                func(*Schedule) {},
		"retry: needs at least one":       func(s *Schedule) { s.Retry = nil },
		"deferred: needs at least":        func(s *Schedule) { s.Deferred = []Pace{} },
		"greylisted: a gap of 500ms":      func(s *Schedule) { s.Greylisted = []Pace{{Gap: 500 * time.Millisecond}} },
		"unreachable: -1 gaps":            func(s *Schedule) { s.Unreachable = []Pace{{Gap: time.Hour, Times: -1}} },
		"retry: a growth of NaN":          func(s *Schedule) { s.Retry = []Pace{{Gap: time.Hour, Grow: math.NaN(), Max: day}} },
		"jitter: 0.6 is not":              func(s *Schedule) { s.Jitter = 0.6 },
		"jitter: -0.1 is not":             func(s *Schedule) { s.Jitter = -0.1 },
		"jitter: NaN is not":              func(s *Schedule) { s.Jitter = math.NaN() },
		"expire: must be":                 func(s *Schedule) { s.Expire, s.Warn = 0, nil },
		"warn: 4h does not come after 2d": func(s *Schedule) { s.Warn = []time.Duration{2 * day, 4 * time.Hour} },
		"warn: 0s does not come":          func(s *Schedule) { s.Warn = []time.Duration{0} },
		"warn: 5d is not before":          func(s *Schedule) { s.Warn = []time.Duration{5 * day} },
	} {
		s := plain(t)
		spoil(&s)
		err := s.Check()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %q", err, want)
		}
	}
}

func FuzzParsePace(f *testing.F) {
	for _, s := range []string{"5m", "1h for 1d", "15m 4 times", "5m x2 to 4h", "1.5h x1.0001 to 100w", "1w2d3h4m5s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		p, err := ParsePace(in)
		if err != nil {
			return
		}
		for _, n := range []int{0, 1, 2, 100, math.MaxInt32} {
			if g := gap([]Pace{p, {Gap: time.Hour}}, n); g < time.Second {
				t.Fatalf("gap %d of %q is %v", n, in, g)
			}
		}
		if _, err := ParsePace(p.String()); err != nil {
			t.Fatalf("%q is written as %q: %v", in, p, err)
		}
	})
}

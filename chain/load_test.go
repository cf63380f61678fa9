package chain

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/system"
)

// ourRelay hands on to a destination; its schedule tries every hour and keeps mail so
// long.
func ourRelay(expire time.Duration, outages ...Outage) Scenario {
	s := custody.Schedule{Retry: []custody.Pace{{Gap: time.Hour}}, Warn: []time.Duration{4 * time.Hour}, Expire: expire}
	return Scenario{Hops: []Hop{{Name: "relay", Schedule: &s}, {Name: "destination"}}, Outages: outages}
}

// theirRelay is the same of another system, without a warning.
func theirRelay(lifetime time.Duration, outages ...Outage) Scenario {
	p := system.Policy{Lifetime: lifetime, Retry: pace{custody.Schedule{Retry: []custody.Pace{{Gap: time.Hour}}}}, Expiry: system.AfterFailure}
	return Scenario{Hops: []Hop{{Name: "relay", Policy: &p}, {Name: "destination"}}, Outages: outages}
}

func runLoad(t *testing.T, s Scenario, l Load) LoadStory {
	t.Helper()
	story, err := RunLoad(s, l)
	if err != nil {
		t.Fatal(err)
	}
	return story
}

func near(got, want, within time.Duration) bool { return (got - want).Abs() <= within }

func TestAnOutageOfAWeekendPilesUpWhatArrivesInIt(t *testing.T) {
	const long, rate = 63 * time.Hour, 10
	n := int64(63 * 3600 * rate)
	s := runLoad(t, ourRelay(5*day, stops("relay", "destination", long, Result{})), Load{Messages: n, Rate: rate, Size: 50_000})
	h := s.Hops[0]
	if h.Peak != n || h.Disk != n*(50_000+OwnDisk) || s.Delivered != n {
		t.Errorf("at most %d wait, of %d that came in the outage, on %d octets; %d are delivered", h.Peak, n, h.Disk, s.Delivered)
	}
	// The first knock is made as the first message comes, and the gaps of an hour
	// are cut to half an hour: one falls on the end of the outage. 1,000 a second
	// then take 2,268 s.
	if len(h.Recoveries) != 1 {
		t.Fatalf("%d recoveries", len(h.Recoveries))
	}
	r := h.Recoveries[0]
	if r.At != long || r.Waiting != n || r.First != long || !near(r.Drained-long, 2268*time.Second, time.Second) || !near(r.Half-long, 1134*time.Second, 2*time.Second) {
		t.Errorf("recovery %+v", r)
	}
	// Message j comes after j/10 s and goes 63 h and j/1000 s after the first. It is
	// told of if four hours lie between: if j is less than 59 h/0.099 s.
	if want := int64(59 * 3600 * 1000 / 99); h.Warned < want-n/1000 || h.Warned > want+n/1000 {
		t.Errorf("%d are warned, not about %d", h.Warned, want)
	}
}

func TestWhatComesBeforeTheKnockWaitsForIt(t *testing.T) {
	const rate = 10
	s := runLoad(t, ourRelay(5*day, stops("relay", "destination", 63*time.Hour+10*time.Minute, Result{})), Load{Messages: 5_000_000, Rate: rate})
	h := s.Hops[0]
	if want := int64(63.5 * 3600 * rate); h.Peak < want-rate*300 || h.Peak > want+rate*300 || !near(h.PeakAt, 63*time.Hour+30*time.Minute, 5*time.Minute) {
		t.Errorf("at most %d wait, at %v; not about %d at the knock", h.Peak, h.PeakAt, want)
	}
	if r := h.Recoveries[0]; r.First != 63*time.Hour+30*time.Minute {
		t.Errorf("the first leaves at %v, not with the knock", r.First)
	} else if drains := 2309 * time.Second; !near(r.Drained-r.First, drains, 10*time.Minute) {
		t.Errorf("drained after %v, not after %v", r.Drained-r.First, drains)
	}
}

func TestAPolicyThatIsTooShortGivesUpTheOldest(t *testing.T) {
	const rate = 10
	n := int64(63 * 3600 * rate)
	for name, s := range map[string]Scenario{
		"ours":   ourRelay(2*day, stops("relay", "destination", 63*time.Hour, Result{})),
		"theirs": theirRelay(2*day, stops("relay", "destination", 63*time.Hour, Result{})),
	} {
		story := runLoad(t, s, Load{Messages: n, Rate: rate})
		// Whoever came in the first 15 hours is two days old before the end; the
		// other system's hourly try finds that up to an hour late.
		want := int64(15 * 3600 * rate)
		if got := story.GaveUp; got < want-3600*rate || got > want+n/1000 || story.Delivered != n-got {
			t.Errorf("%s: %d given up, not about %d; %d delivered", name, got, want, story.Delivered)
		}
		if h := story.Hops[0]; h.Peak < int64(47*3600*rate) || h.Peak > int64(49.1*3600*rate) {
			t.Errorf("%s: at most %d wait: two days of mail are %d", name, h.Peak, 48*3600*rate)
		}
	}
}

func TestAHopDrainsNoFasterThanItCan(t *testing.T) {
	for _, drain := range []float64{7, 100, 5000} {
		s := runLoad(t, ourRelay(5*day, stops("relay", "destination", 10*time.Hour, Result{})),
			Load{Messages: 1_000_000, Costs: map[string]Cost{"relay": {Drain: drain}}})
		h := s.Hops[0]
		step := (h.Series[1].At - h.Series[0].At).Seconds()
		for k := range h.Series[1:] {
			if passed := h.Series[k+1].HandedOn - h.Series[k].HandedOn; float64(passed) > drain*step+1 {
				t.Fatalf("%g a second: %d are handed on in %g s", drain, passed, step)
			}
		}
		want := time.Duration(1e6 / drain * 1e9)
		// 16 messages go over fewer connections than 20: they cost the time of 18 more.
		if r := h.Recoveries[0]; !near(r.Drained-r.First, want, time.Duration(20/drain*1e9)) || s.Delivered != 1_000_000 {
			t.Errorf("%g a second: drained in %v, not in %v", drain, r.Drained-r.First, want)
		}
	}
}

func TestAnOutageThatComesBackInterruptsTheDrain(t *testing.T) {
	back := Outage{From: "relay", To: "destination", When: Window{Start: 10*time.Hour + 10*time.Minute, End: 20 * time.Hour}}
	s := runLoad(t, ourRelay(5*day, stops("relay", "destination", 10*time.Hour, Result{}), back), Load{Messages: 1_000_000})
	r := s.Hops[0].Recoveries
	// 600 s at 1,000 a second, without the 18 that the few connections cost at first.
	if len(r) != 2 || r[1].Waiting < 400_000 || r[1].Waiting > 400_100 || s.Delivered != 1_000_000 {
		t.Errorf("%+v", r)
	}
}

func TestWhatAHostSaidIsObeyedAfterItsRecovery(t *testing.T) {
	for name, s := range map[string]Scenario{"ours": ourRelay(5 * day), "theirs": theirRelay(5 * day)} {
		s.Outages = []Outage{stops("relay", "destination", 10*time.Hour, says(451, "not now"))}
		h := runLoad(t, s, Load{Messages: 360_000, Rate: 10}).Hops[0]
		// They are due again evenly over the hour that follows.
		if r := h.Recoveries[0]; !near(r.Half-r.At, 30*time.Minute, 3*time.Minute) || !near(r.Drained-r.At, time.Hour, 3*time.Minute) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestOneMessageFaresAsRunTellsIt(t *testing.T) {
	often(t, scenarios/25, func(t *rapid.T) {
		s := randomScenarios.Draw(t, "scenario")
		want, err := Run(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := RunLoad(s, Load{Messages: 1})
		if err != nil {
			t.Fatal(err)
		}
		end := want.Events[0]
		warns := map[string]int64{}
		for _, e := range want.Events {
			switch {
			case e.Letter > 0 || e.Kind == Told:
			case e.Kind == Warns:
				warns[e.Hop]++
			case e.Kind == Delivered || e.Kind == GivesUp || e.Kind == Bounces:
				end = e
			}
		}
		ends := map[EventKind]int64{Delivered: got.Delivered, GivesUp: got.GaveUp, Bounces: got.Refused}
		if ends[end.Kind] != 1 || !near(got.Ended, end.At, time.Second) {
			t.Fatalf("%s at %v, but the load: %+v in\n%s", end.Kind, end.At, got, dump(s))
		}
		for _, h := range got.Hops {
			if h.Attempts != int64(want.Summary.Attempts[h.Name]) || h.Notices != warns[h.Name] || h.Peak > 1 {
				t.Fatalf("%s: %d attempts and %d notices, not %d and %d; at most %d waited, in\n%s",
					h.Name, h.Attempts, h.Notices, want.Summary.Attempts[h.Name], warns[h.Name], h.Peak, dump(s))
			}
		}
	})
}

func TestNoMessageIsLostOrMadeAtAnyMoment(t *testing.T) {
	often(t, scenarios/50, func(t *rapid.T) {
		s := randomScenarios.Draw(t, "scenario")
		l := Load{
			Messages: rapid.Int64Range(1, 1_000_000).Draw(t, "messages"),
			Rate:     rapid.SampledFrom([]float64{0, 3.7, 100, 5000}).Draw(t, "rate"),
			Costs:    map[string]Cost{s.Hops[0].Name: {Drain: rapid.SampledFrom([]float64{0, 13, 1e6}).Draw(t, "drain")}},
		}
		c, err := s.ready()
		if err != nil {
			t.Fatal(err)
		}
		r := newLoadRun(c, l)
		if err := r.run(100); err != nil {
			t.Fatal(err)
		}
		got := r.story()
		for k, p := range got.Hops[0].Series {
			var waiting, ended int64
			for _, h := range got.Hops {
				q := h.Series[k]
				if q.At != p.At || q.Waiting < 0 || q.Waiting > h.Peak+1 {
					t.Fatalf("%s: %d wait at %v, at most %d, in\n%s", h.Name, q.Waiting, q.At, h.Peak, dump(s))
				}
				waiting += q.Waiting
				ended += q.GaveUp + q.Refused
				if h.Home {
					ended += q.HandedOn
				}
			}
			if p.Entered != waiting+ended {
				t.Fatalf("at %v %d have come, %d wait and %d have ended, in\n%s", p.At, p.Entered, waiting, ended, dump(s))
			}
		}
		last := got.Hops[0].Series[len(got.Hops[0].Series)-1]
		if last.Entered != l.Messages || got.Delivered+got.GaveUp+got.Refused != l.Messages {
			t.Fatalf("%d enter, and %d, %d and %d have ended, of %d", last.Entered, got.Delivered, got.GaveUp, got.Refused, l.Messages)
		}
	})
}

func TestWorkDoesNotGrowWithTheMessages(t *testing.T) {
	s := exchangeAndFilter()
	s.Outages = []Outage{stops("", "destination", 5*day, Result{})}
	var work []int
	for _, n := range []int64{10_000, MaxMessages} {
		costs := map[string]Cost{"exchange": {Drain: MaxRate}, "filter": {Drain: MaxRate}}
		c, err := s.ready()
		if err != nil {
			t.Fatal(err)
		}
		r := newLoadRun(c, Load{Messages: n, Rate: float64(n) / (6 * 24 * 3600), Costs: costs})
		if err := r.run(200); err != nil {
			t.Errorf("%d messages: %v", n, err)
		}
		work = append(work, mostLoadWork-r.left)
		if story := r.story(); len(story.Hops[0].Series) > loadPoints+2 || story.Delivered+story.GaveUp != n {
			t.Errorf("%d messages: %d points, %d delivered, %d given up", n, len(story.Hops[0].Series), story.Delivered, story.GaveUp)
		}
	}
	if work[1] > work[0]+work[0]/10 {
		t.Errorf("%d attempts are looked at for ten thousand messages, %d for a million million", work[0], work[1])
	}
}

func TestAHostileScenarioEndsSoon(t *testing.T) {
	s := ourRelay(MaxTime / 100)
	s.Start = noon
	s.Hops[0].Schedule.Retry[0].Gap = time.Minute
	for range MaxOutages {
		s.Outages = append(s.Outages, Outage{To: "destination", Result: says(451, "later"), When: Window{Calendar: Calendar{Every: Daily, Ends: Wall{Clock: 23 * time.Hour}}}})
	}
	if _, err := RunLoad(s, Load{Messages: 1_000_000}); err != nil && !strings.Contains(err.Error(), "too long") {
		t.Error(err)
	}
}

func TestABadLoadIsNamed(t *testing.T) {
	cost := func(hop string, c Cost) Load { return Load{Messages: 1, Costs: map[string]Cost{hop: c}} }
	for _, c := range []struct {
		l    Load
		want string
	}{
		{Load{}, "0 messages"},
		{Load{Messages: -5}, "-5 messages"},
		{Load{Messages: 1e18}, "1000000000000000000 messages are not between 1 and 1000000000000"},
		{Load{Messages: 1, Rate: -1}, "a rate of -1"},
		{Load{Messages: 1, Rate: math.NaN()}, "a rate of NaN"},
		{Load{Messages: 1, Rate: math.Inf(1)}, "a rate of +Inf"},
		{Load{Messages: 1e9, Rate: 1e-3}, "take longer to come than"},
		{Load{Messages: 1, Size: -1}, "a size of -1"},
		{Load{Messages: 1, Size: math.MaxInt64}, "a size of 9223372036854775807"},
		{cost("rely", Cost{}), `hop "rely": there is no such hop; did you mean "relay"?`},
		{cost("relay", Cost{Drain: math.NaN()}), `hop "relay": a drain of NaN`},
		{cost("relay", Cost{Drain: -1}), "a drain of -1"},
		{cost("relay", Cost{Disk: -1}), "-1 octets of disk"},
		{cost("relay", Cost{Memory: -1}), "-1 octets of memory"},
		{cost("relay", Cost{Drain: 1e-300}), "their drain is too low"},
	} {
		_, err := RunLoad(ourRelay(5*day), c.l)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "chain: check load: load") {
			t.Errorf("%+v: %v", c.l, err)
		}
	}
	if _, err := RunLoad(Scenario{}, Load{Messages: 1}); err == nil || !strings.Contains(err.Error(), "hops") {
		t.Errorf("no scenario: %v", err)
	}
}

// ratherDown is a load that meets all there is to show: a weekend, a limit that is too
// short, and a name that is no markup.
func ratherDown(t *testing.T) LoadStory {
	s := theirRelay(day, stops("relay", "mx <b>&", 63*time.Hour, Result{}))
	s.Hops = []Hop{{Name: "relay", Schedule: ourRelay(2 * day).Hops[0].Schedule}, {Name: "mx <b>&", Policy: s.Hops[0].Policy}, {Name: "destination"}}
	s.Outages = append(s.Outages, Outage{From: "mx <b>&", To: "destination", When: Window{Start: 69 * time.Hour}})
	return runLoad(t, s, Load{Messages: 1_000_000, Rate: 4, Size: 75_000, Costs: map[string]Cost{"relay": {Drain: 200}}})
}

func TestTheTableOfALoad(t *testing.T) {
	var b strings.Builder
	if err := WriteLoad(&b, ratherDown(t)); err != nil {
		t.Fatal(err)
	}
	if *updateFindings {
		if err := os.WriteFile("testdata/load.txt", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/load.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestThePictureOfALoadIsMarkupWithoutForeignMarkup(t *testing.T) {
	var b strings.Builder
	if err := DrawLoad(&b, ratherDown(t)); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(b.String()))
	for {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "b" {
			t.Error("a hop's name has become markup")
		}
	}
	for _, want := range []string{"url(#away)", `class="area"`, `class="back"`, `class="dry"`, "prefers-color-scheme:dark", "mx &lt;b&gt;&amp;"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestALoadInJSONKeepsItsNumbers(t *testing.T) {
	s := ratherDown(t)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Messages int64
		GaveUp   int64   `json:"given_up"`
		Ended    float64 `json:"ended_s"`
		Hops     []struct {
			Hop        string
			Peak       int64
			PeakAt     float64 `json:"peak_at_s"`
			Memory     *int64  `json:"memory_octets"`
			Outages    []map[string]*float64
			Recoveries []map[string]float64
			Series     []map[string]float64
		}
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	ours, theirs := got.Hops[0], got.Hops[1]
	switch {
	case got.Messages != s.Messages || got.GaveUp != s.GaveUp || !near(time.Duration(got.Ended*1e9), s.Ended, time.Millisecond):
		t.Errorf("%+v", got)
	case ours.Peak != s.Hops[0].Peak || ours.Memory == nil || theirs.Memory != nil:
		t.Errorf("%+v, %+v", ours, theirs)
	case ours.Recoveries[0]["at_s"] != 63*3600 || theirs.Outages[0]["until_s"] != nil || ours.Series[1]["t_s"] == 0:
		t.Errorf("%+v, %+v", ours.Recoveries, theirs.Outages)
	}
}

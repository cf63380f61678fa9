package chain

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/system"
)

func TestTheSameSeedDrawsTheSameWorld(t *testing.T) {
	s := exchangeAndFilter()
	s.Outages = []Outage{stops("filter", "destination", 3*day, Result{})}
	one, err := Sample(s, 7)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := Sample(s, 7)
	other, _ := Sample(s, 8)
	if diff := cmp.Diff(one.Events, again.Events); diff != "" {
		t.Error("the same seed:", diff)
	}
	if one.Summary.Ended.At == other.Summary.Ended.At {
		t.Errorf("two seeds end the same wait of unknown gaps at the same moment, %v", other.Summary.Ended.At)
	}
}

// Near the filter's limit nobody can say which way it goes; the worlds do, and all
// of them lie between the earliest and the latest that Run tells.
func TestADistributionCountsTheWorldsThatRunCallsPossible(t *testing.T) {
	s := exchangeAndFilter()
	s.Outages = []Outage{stops("filter", "destination", 6*day-30*time.Minute, Result{})}
	story, err := Run(s)
	if err != nil {
		t.Fatal(err)
	}
	spread, err := Distribution(s, 1, 400)
	if err != nil {
		t.Fatal(err)
	}
	if len(spread.Ends) != 2 || len(story.Summary.Possible) != 1 || spread.Runs != 400 {
		t.Fatalf("ends %v, possible %v", spread.Ends, story.Summary.Possible)
	}
	sum := 0
	for _, e := range spread.Ends {
		sum += e.Runs
		if p := story.Summary.Possible[0]; (e.Outcome != story.Summary.Outcome || e.By != story.Summary.By) && (e.Outcome != p.Outcome || e.By != p.By) {
			t.Errorf("%v is not possible", e)
		}
	}
	if sum != 400 {
		t.Errorf("%d worlds of 400", sum)
	}
	for _, e := range []Percentiles[time.Duration]{spread.Delivered, spread.LastTold} {
		if e.N == 0 || e.Least > e.P5 || e.P5 > e.P50 || e.P50 > e.P95 || e.P95 > e.Most {
			t.Errorf("no order in %+v", e)
		}
	}
	if d := spread.Delivered; d.Least < 6*day-30*time.Minute || d.Most > 6*day {
		t.Errorf("delivered between %v and %v", d.Least, d.Most)
	}
	if l := spread.LastTold; l.Least < 6*day || l.Most > 6*day+time.Hour {
		t.Errorf("told between %v and %v", l.Least, l.Most)
	}
}

func TestEverySystemThatIsKnownHasAStory(t *testing.T) {
	for _, sys := range system.All() {
		t.Run(sys.ID, func(t *testing.T) {
			h := Hop{Name: "it", System: sys.ID}
			if sys.Policy.Lifetime == 0 && sys.Policy.Limit == 0 {
				h.Set.Expire = 5 * day
			}
			s := Scenario{Hops: []Hop{h, {Name: "destination"}}, Outages: []Outage{stops("it", "destination", 0, Result{})}}
			story, err := Run(s)
			if err != nil {
				t.Fatal(err)
			}
			if err := lawful(s, story); err != nil {
				t.Error(err)
			}
			if story.Summary.Outcome == WasDelivered {
				t.Error("delivered to a host that refuses for ever")
			}
			// What package system reckons for it alone is what comes out here.
			if p := sys.Policy; p.Retry != nil && h.Set.Expire == 0 {
				course := p.Run(system.Unreachable, system.Reckoned)
				if want := course.End.At.Pick(system.Reckoned); story.Summary.Ended.At != want || story.Summary.Attempts["it"] != len(course.Attempts) {
					t.Errorf("ended %v after %d attempts, want %v after %d", story.Summary.Ended.At, story.Summary.Attempts["it"], want, len(course.Attempts))
				}
			}
		})
	}
}

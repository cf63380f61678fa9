package api

import (
	"context"
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/queue"
)

// Survey is what waited when the queue was last looked through: the picture that
// metrics and top show, since nobody can count a million deliveries at each glance.
type Survey struct {
	At         time.Time // when the look began; zero: none has ended yet
	Took       time.Duration
	States     map[string]int // deliveries waiting, trying and held
	Ages       []int          // deliveries that are not held, by SurveyAges; one more for the older
	AgeSum     time.Duration  // of all of them
	Oldest     time.Time      // when the oldest that is not held was accepted; zero: none
	OldestHeld time.Time      // of those that are held
}

// SurveyAges are the bounds of Survey.Ages.
var SurveyAges = []time.Duration{
	time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour, 12 * time.Hour,
	24 * time.Hour, 2 * 24 * time.Hour, 3 * 24 * time.Hour, 5 * 24 * time.Hour, 7 * 24 * time.Hour,
}

const (
	sitesMost  = 20 // destinations with most mail that are told by name
	sitesIll   = 10 // and those that are worst off
	sitesShare = 20 // looking at them may use this part of one processor's time
)

func newSurvey(at time.Time) Survey {
	return Survey{At: at, States: map[string]int{"waiting": 0, "trying": 0, "held": 0}, Ages: make([]int, len(SurveyAges)+1)}
}

// add counts a delivery.
func (v *Survey) add(d *custody.Delivery, trying bool) {
	oldest := &v.Oldest
	if !d.Held.IsZero() {
		v.States["held"]++
		oldest = &v.OldestHeld
	}
	if oldest.IsZero() || d.Accepted.Before(*oldest) {
		*oldest = d.Accepted
	}
	if !d.Held.IsZero() {
		return
	}
	if trying {
		v.States["trying"]++
	} else {
		v.States["waiting"]++
	}
	age := v.At.Sub(d.Accepted)
	i, _ := slices.BinarySearch(SurveyAges, age)
	v.Ages[i]++
	v.AgeSum += age
}

// destinations are those that are told by name.
type destinations struct {
	seen bool
	most []queue.Site // those with most mail
	ill  []queue.Site // those in trouble, the worst first
	all  int          // deliveries, to any destination
}

func (m *Metrics) lookAtSites(ctx context.Context) (destinations, error) {
	most, err := m.o.Queue.Sites(ctx, queue.SitesQuery{Most: true, Limit: sitesMost})
	if err != nil {
		return destinations{}, err
	}
	ill, err := m.o.Queue.Sites(ctx, queue.SitesQuery{Limit: sitesIll})
	if err != nil {
		return destinations{}, err
	}
	return destinations{seen: true, most: most.List, ill: slices.DeleteFunc(ill.List, isWell), all: most.Waiting}, nil
}

func isWell(s queue.Site) bool {
	return s.Paused == nil && (s.Waiting == 0 || s.Health == queue.Living || s.Health == queue.Untried)
}

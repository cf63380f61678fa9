package api

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/internal/spool"
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

	after custody.DeliveryID // the last that was seen
}

// SurveyAges are the bounds of Survey.Ages.
var SurveyAges = []time.Duration{
	time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour, 12 * time.Hour,
	24 * time.Hour, 2 * 24 * time.Hour, 3 * 24 * time.Hour, 5 * 24 * time.Hour, 7 * 24 * time.Hour,
}

const (
	surveyPage  = 500                    // deliveries read in one go
	surveyShare = 20                     // it may use this part of one processor's time
	surveyLeast = 2 * time.Second        // from the end of one look to the next
	surveyWait  = 100 * time.Millisecond // for a look that takes no longer
	sitesMost   = 20                     // destinations with most mail that are told by name
	sitesIll    = 10                     // and those that are worst off
)

// lookout looks at something when somebody asks, never in haste, and shows what it
// saw last.
type lookout[T any] struct {
	look  func(context.Context) (T, error)
	share int // so many times as long as a look took, less one, it rests after it; 0: it has rested meanwhile
	ask   chan struct{}

	mu   sync.Mutex
	last T
	at   time.Time     // when that was seen; zero: nothing was yet
	took time.Duration // the look
	news chan struct{} // closed when something newer is seen
}

func newLookout[T any](share int, look func(context.Context) (T, error)) *lookout[T] {
	return &lookout[T]{look: look, share: share, ask: make(chan struct{}, 1), news: make(chan struct{})}
}

// run looks when it is asked, until ctx ends. A store that cannot be read says so
// elsewhere.
func (l *lookout[T]) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.ask:
		}
		began := time.Now()
		v, err := l.look(ctx)
		took := time.Since(began)
		if err == nil {
			l.show(v, took)
		}
		rest(ctx, max(surveyLeast, time.Duration(l.share-1)*took))
	}
}

func (l *lookout[T]) show(v T, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.at, l.took = v, time.Now(), took
	close(l.news)
	l.news = make(chan struct{})
}

// seen returns what was seen last, the zero T if nothing was yet, and has another
// look taken. One that is short is waited for.
func (l *lookout[T]) seen() T {
	l.mu.Lock()
	last, news := l.last, l.news
	fresh, short := time.Since(l.at) < surveyLeast, l.took < surveyWait
	l.mu.Unlock()
	if fresh {
		return last
	}
	select {
	case l.ask <- struct{}{}:
	default:
	}
	if !short {
		return last
	}
	late := time.NewTimer(surveyWait)
	defer late.Stop()
	select {
	case <-news:
	case <-late.C:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// surveyor looks through the queue.
type surveyor struct {
	store spool.Store
	queue MetricsQueue
	all   *lookout[Survey]
	sites *lookout[destinations]
}

func newSurveyor(store spool.Store, q MetricsQueue) *surveyor {
	s := &surveyor{store: store, queue: q}
	s.all = newLookout(0, s.look)
	s.sites = newLookout(surveyShare, s.lookAtSites)
	return s
}

// destinations are those that are told by name.
type destinations struct {
	seen bool
	most []queue.Site // those with most mail
	ill  []queue.Site // those in trouble, the worst first
	all  int          // deliveries, to any destination
}

func (s *surveyor) lookAtSites(ctx context.Context) (destinations, error) {
	most, err := s.queue.Sites(ctx, queue.SitesQuery{Most: true, Limit: sitesMost})
	if err != nil {
		return destinations{}, err
	}
	ill, err := s.queue.Sites(ctx, queue.SitesQuery{Limit: sitesIll})
	if err != nil {
		return destinations{}, err
	}
	return destinations{seen: true, most: most.List, ill: slices.DeleteFunc(ill.List, isWell), all: most.Waiting}, nil
}

func isWell(s queue.Site) bool {
	return s.Paused == nil && (s.Waiting == 0 || s.Health == queue.Living || s.Health == queue.Untried)
}

// look walks through all that waits, page by page, and rests after each so long
// that it does not take more than its share of the machine.
func (s *surveyor) look(ctx context.Context) (Survey, error) {
	v := Survey{At: time.Now(), States: map[string]int{"waiting": 0, "trying": 0, "held": 0}, Ages: make([]int, len(SurveyAges)+1)}
	for {
		began := time.Now()
		done, err := s.page(ctx, &v)
		if err != nil || done {
			v.Took = time.Since(v.At)
			return v, err
		}
		rest(ctx, (surveyShare-1)*time.Since(began))
	}
}

// page reads the next deliveries into a survey. It answers true behind the last.
func (s *surveyor) page(ctx context.Context, v *Survey) (done bool, err error) {
	n := 0
	for row, err := range s.store.Find(ctx, spool.Query{Limit: surveyPage, Before: v.At, After: v.after}) {
		if err != nil {
			return false, err
		}
		n++
		v.after = row.Delivery.ID
		v.add(row.Delivery, s.queue)
	}
	return n < surveyPage, ctx.Err()
}

func (v *Survey) add(d custody.Delivery, q MetricsQueue) {
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
	if trying, _ := q.Doing(d); trying {
		v.States["trying"]++
	} else {
		v.States["waiting"]++
	}
	age := v.At.Sub(d.Accepted)
	i, _ := slices.BinarySearch(SurveyAges, age)
	v.Ages[i]++
	v.AgeSum += age
}

func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

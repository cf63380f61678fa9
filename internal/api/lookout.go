package api

import (
	"context"
	"sync"
	"time"
)

const (
	lookLeast = 2 * time.Second        // from the end of one look to the next
	lookWait  = 100 * time.Millisecond // for a look that takes no longer
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
		rest(ctx, max(lookLeast, time.Duration(l.share-1)*took))
	}
}

func (l *lookout[T]) show(v T, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.at, l.took = v, time.Now(), took
	close(l.news)
	l.news = make(chan struct{})
}

// wake has another look taken, unless the last is fresh.
func (l *lookout[T]) wake() (fresh, short bool, news <-chan struct{}) {
	l.mu.Lock()
	fresh, short, news = time.Since(l.at) < lookLeast, l.took < lookWait, l.news
	l.mu.Unlock()
	if !fresh {
		select {
		case l.ask <- struct{}{}:
		default:
		}
	}
	return fresh, short, news
}

// seen returns what was seen last, the zero T if nothing was yet, and has another
// look taken. One that is short is waited for, as long as ctx allows.
func (l *lookout[T]) seen(ctx context.Context) T {
	if fresh, short, news := l.wake(); !fresh && short {
		late := time.NewTimer(lookWait)
		defer late.Stop()
		select {
		case <-news:
		case <-late.C:
		case <-ctx.Done():
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

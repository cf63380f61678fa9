package api

import (
	"context"
	"encoding/binary"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// long is a store of so many deliveries, each of which takes a while to be read.
type long struct {
	spool.Store
	n    int
	each time.Duration
	busy time.Duration // reading, in all
}

func (s *long) Find(_ context.Context, q spool.Query) iter.Seq2[spool.Row, error] {
	return func(yield func(spool.Row, error) bool) {
		if q.Departed {
			return
		}
		from := int(binary.BigEndian.Uint64(q.After.Message[8:]))
		for i := from + 1; i <= min(s.n, from+q.Limit); i++ {
			time.Sleep(s.each)
			s.busy += s.each
			var row spool.Row
			binary.BigEndian.PutUint64(row.Delivery.ID.Message[8:], uint64(i))
			row.Delivery.Accepted = q.Before.Add(-time.Hour)
			if !yield(row, nil) {
				return
			}
		}
	}
}

// A survey of much takes its time, and its share of the machine.
func TestASurveyIsNeverInHaste(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &long{n: 100_000, each: 10 * time.Microsecond}
		o := NewOutlooks(store, nil, func(custody.Delivery) custody.Schedule { return custody.Schedule{} })
		began := time.Now()
		l, err := o.look(t.Context())
		took := time.Since(began)
		if err != nil {
			t.Fatal(err)
		}
		if v := l.survey; v.States["waiting"] != store.n || v.Took != took || len(l.Hours) != 0 {
			t.Errorf("%+v after %v", v, took)
		}
		if share := float64(took) / float64(store.busy); store.busy != time.Second || share < outlookShare-1 || share > outlookShare+1 {
			t.Errorf("%v of reading took %v", store.busy, took)
		}
		// Who waits for it waits less; what left is counted for them alone.
		go func() { time.Sleep(5 * time.Second); o.now(t.Context()) }()
		if l, err = o.look(t.Context()); err != nil || len(l.Hours) == 0 || l.survey.Took < 5*time.Second || l.survey.Took > 9*time.Second {
			t.Errorf("with somebody waiting: %v, %v", l.survey.Took, err)
		}
		time.Sleep(outlookStares)
		began, took = time.Now(), 0
		ctx, cancel := context.WithCancel(t.Context())
		go func() { time.Sleep(time.Second); cancel() }()
		if _, err := o.look(ctx); err == nil || time.Since(began)-took > 2*time.Second {
			t.Errorf("it ends %v after it began, with %v", time.Since(began)-took, err)
		}
	})
}

// Nobody looks before somebody asks; what is soon seen is waited for, what is not is
// shown as it was.
func TestALookoutLooksWhenItIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks, takes atomic.Int64
		takes.Store(int64(10 * time.Millisecond))
		const share = 20
		l := newLookout(share, func(context.Context) (int, error) {
			time.Sleep(time.Duration(takes.Load()))
			return int(looks.Add(1)), nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go l.run(ctx)
		want := func(when string, n int, wait time.Duration) {
			t.Helper()
			began := time.Now()
			if got := l.seen(t.Context()); got != n || time.Since(began) != wait {
				t.Errorf("%s: look %d after %v, want %d after %v", when, got, time.Since(began), n, wait)
			}
		}
		time.Sleep(time.Hour)
		if n := looks.Load(); n != 0 {
			t.Errorf("%d looks that nobody asked for", n)
		}
		want("the first", 1, 10*time.Millisecond)
		want("at once again", 1, 0)
		time.Sleep(lookLeast)
		want("later", 2, 10*time.Millisecond)
		const slow = 10 * time.Second
		takes.Store(int64(slow))
		time.Sleep(time.Minute)
		want("when it has become slow", 2, lookWait)
		time.Sleep(slow)
		want("soon after that", 3, 0)
		time.Sleep(time.Minute)
		want("within its rest", 3, 0)
		time.Sleep(time.Minute)
		if n := looks.Load(); n != 3 {
			t.Errorf("%d looks: it does not rest", n)
		}
		time.Sleep(share * slow)
		want("after its rest", 4, 0)
		cancel()
		time.Sleep(slow) // the look that was asked for last
	})
}

package queue

import (
	"context"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/memory"
)

// late is a store from which something is read that is settled meanwhile.
type late struct {
	spool.Store
	settled func(custody.DeliveryID)
}

func (l *late) Due(ctx context.Context, lane string, from, until time.Time, n int, skip func(custody.DeliveryID) bool) ([]spool.Item, error) {
	items, err := l.Store.Due(ctx, lane, from, until, n, skip)
	if len(items) == page && l.settled != nil {
		l.settled(items[0].Delivery.ID)
		l.settled = nil
	}
	return items, err
}

func TestAKnockIsSharedByAllThatWasDueThoughSomeWasSettledMeanwhile(t *testing.T) {
	store := &late{}
	inWorldOver(t, func() (spool.Store, error) { store.Store = memory.New(1024); return store, nil }, Options{}, func(w *world) {
		w.be(refusing.in(30*time.Second), "a.example")
		w.schedule.Retry = []custody.Pace{{Gap: 30 * time.Second}}
		store.settled = func(id custody.DeliveryID) { w.q.putBack(id) }
		var ids []custody.DeliveryID
		for range 4 * page {
			ids = append(ids, w.accept("user@a.example")...)
		}
		time.Sleep(40 * time.Second)
		for _, id := range ids {
			if d, _ := w.now(id); d.Tries != 1 {
				t.Fatalf("%v has shared %d attempts, of %d", id, d.Tries, len(w.knocks))
			}
		}
	})
}

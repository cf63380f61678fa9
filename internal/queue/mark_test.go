package queue

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/memory"
)

// TestWhatWasTakenBeforeAKillIsNotSentAgain: a host took a message, and the process was
// killed before that was settled.
func TestWhatWasTakenBeforeAKillIsNotSentAgain(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(deferring, "a.example")
		one, two := w.accept("user@a.example")[0], w.accept("user@a.example")[0]
		time.Sleep(time.Second)
		if len(w.store.marked()) != 0 {
			t.Errorf("marked although nobody took anything: %+v", w.store.marked())
		}
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		taken := taking.o
		taken.Rcpts = []int{0}
		mark := func(id custody.DeliveryID, next func(time.Time) time.Time) {
			it, err := w.store.Item(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			w.store.Mark(custody.Entry{
				At: time.Now(), Delivery: id, Next: next(it.Delivery.Next),
				Event: custody.Tried{At: time.Now(), Attempt: custody.Attempt{Began: time.Now(), Outcomes: []custody.Outcome{taken}}},
			})
		}
		mark(one, func(n time.Time) time.Time { return n })
		mark(two, func(n time.Time) time.Time { return n.Add(-time.Minute) }) // settled since
		w.be(taking, "a.example")
		w.run()
		time.Sleep(time.Second)
		if d, left := w.now(one); left.IsZero() || d.Rcpts[0].State != custody.HandedOver || len(w.attempts(one)) != 2 {
			t.Errorf("taken: %v, left %v, %d attempts", d.Rcpts[0].State, left, len(w.attempts(one)))
		}
		if len(w.heard("a.example")) > 2 {
			t.Errorf("the host heard of it again: %+v", w.heard("a.example"))
		}
		if d, left := w.now(two); !left.IsZero() {
			t.Errorf("an old mark was believed: %v", d.Rcpts[0].State)
		}
		if n := len(w.store.marked()); n != 0 {
			t.Errorf("%d marks are left", n)
		}
	})
}

// The doors open before the queue runs. What was marked before, in the same file, has long
// that had marked before, in the same file, is none of that.
func TestAnOrderBeforeTheQueueRunsWaitsForWhatWasTaken(t *testing.T) {
	for name, stale := range map[string]int{"marked once": 0, "marked before, too": 2} {
		for _, order := range []custody.Order{custody.OrderRetry, custody.OrderGiveUp, custody.OrderReroute} {
			t.Run(name+", "+order.String(), func(t *testing.T) {
				inWorld(t, Options{}, func(w *world) {
					w.be(deferring, "a.example")
					id := w.accept("user@a.example")[0]
					time.Sleep(time.Second)
					if err := w.stop(); err != nil {
						t.Fatal(err)
					}
					d, _ := w.now(id)
					e := custody.Entry{
						At: time.Now(), Delivery: id, Next: d.Next,
						Event: custody.Tried{At: time.Now(), Attempt: custody.Attempt{Began: time.Now(), Outcomes: []custody.Outcome{taking.o}}},
					}
					for i := range stale {
						old := e
						old.Next = d.Next.Add(-time.Duration(i+1) * time.Minute)
						w.store.Mark(old)
					}
					w.store.Mark(e)
					w.be(taking, "a.example", "elsewhere.example")
					w.make()
					answer := make(chan error, 1)
					go func() { answer <- w.order(id, order) }()
					synctest.Wait()
					w.start()
					if err := <-answer; !errors.Is(err, ErrGone) {
						t.Errorf("the order was answered: %v", err)
					}
					time.Sleep(time.Hour)
					if n := w.handed(id); n != 0 {
						t.Errorf("it was sent again %d times", n)
					}
					if st := w.state(id); st != custody.HandedOver {
						t.Errorf("it is %v", st)
					}
					if n := len(w.store.marked()); n != 0 {
						t.Errorf("%d marks are left", n)
					}
				})
			})
		}
	}
}

// TestATakenMessageIsMarkedUntilItIsSettled: from the host's answer on.
func TestATakenMessageIsMarkedUntilItIsSettled(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(taking, "a.example")
		w.store.delay(time.Second)
		w.accept("user@a.example")
		time.Sleep(time.Second / 2)
		if m := w.store.marked(); len(m) != 1 || m[0].Next.IsZero() {
			t.Errorf("while it is being settled: %+v", m)
		}
		time.Sleep(2 * time.Second)
		if m := w.store.marked(); len(m) != 0 {
			t.Errorf("settled: %+v", m)
		}
	})
}

// TestWhatIsSetAsideStaysMarked: a host took a message, and that cannot be stored. The next
// start knows of it.
func TestWhatIsSetAsideStaysMarked(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(taking.in(time.Second), "a.example")
		id := w.accept("user@a.example")[0]
		w.store.refuse(id)
		for range 2 {
			time.Sleep(5 * time.Second)
			if n := len(w.store.marked()); n != 1 {
				t.Errorf("%d marks", n)
			}
			w.restart()
		}
		w.store.refuse(custody.DeliveryID{})
		w.restart()
		time.Sleep(time.Minute)
		if n := w.handed(id); n != 1 || w.state(id) != custody.HandedOver {
			t.Errorf("it is %v, handed over %d times", w.state(id), n)
		}
		if n := len(w.store.marked()); n != 0 {
			t.Errorf("%d marks are left", n)
		}
	})
}

var _ spool.Marker = (*watched)(nil)

// damaged is a store in which no delivery can be read by its id.
type damaged struct{ *watched }

func (damaged) Item(context.Context, custody.DeliveryID) (spool.Item, error) {
	return spool.Item{}, errors.New("damaged block")
}

func TestAMarkWhoseDeliveryCannotBeReadIsKept(t *testing.T) {
	s := &watched{Store: memory.New(16)}
	id := custody.DeliveryID{N: 1}
	s.Mark(custody.Entry{Delivery: id})
	q := New(Options{Store: damaged{s}, Log: slog.New(slog.DiscardHandler)})
	q.recollect(t.Context())
	if len(s.marked()) == 0 {
		t.Error("the mark is gone: what was taken is sent again")
	}
	if trying, why := q.Doing(custody.Delivery{ID: id}); trying || why == "" {
		t.Error("it may be tried")
	}
}

package queue

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/custody"
)

func TestAnOrderWaitsForTheAttempt(t *testing.T) {
	for _, c := range []struct {
		order custody.Order
		want  custody.State
	}{
		{custody.OrderGiveUp, custody.Expired},
		{custody.OrderRemove, custody.Removed},
	} {
		inWorld(t, Options{}, func(w *world) {
			w.be(deferring.in(2*time.Minute), "slow.example")
			id := w.accept("user@slow.example")[0]
			time.Sleep(time.Minute)
			began := time.Now()
			if err := w.order(id, c.order); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took != time.Minute {
				t.Errorf("%v took %v, the attempt another minute", c.order, took)
			}
			if st := w.state(id); st != c.want || len(w.attempts(id)) != 1 {
				t.Errorf("after %v it is %v after %d tries", c.order, st, len(w.attempts(id)))
			}
			if err := w.order(id, c.order); !errors.Is(err, ErrGone) {
				t.Errorf("an order for what is gone: %v", err)
			}
		})
	}
}

func TestAnOrderForWhatWasDeliveredMeanwhileIsGone(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(taking.in(2*time.Minute), "slow.example")
		id := w.accept("user@slow.example")[0]
		time.Sleep(time.Minute)
		if err := w.order(id, custody.OrderGiveUp); !errors.Is(err, ErrGone) {
			t.Errorf("error %v", err)
		}
		if st := w.state(id); st != custody.HandedOver {
			t.Errorf("it is %v", st)
		}
	})
}

func TestHoldAndRelease(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(deferring, "a.example")
		id := w.accept("user@a.example")[0]
		time.Sleep(time.Minute)
		if err := w.order(id, custody.OrderHold); err != nil {
			t.Fatal(err)
		}
		w.be(taking, "a.example")
		time.Sleep(24 * time.Hour)
		if n := len(w.heard("a.example")); n != 1 || w.state(id) != custody.Pending {
			t.Errorf("held: %d tries, %v", n, w.state(id))
		}
		if err := w.order(id, custody.OrderRelease); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if st := w.state(id); st != custody.HandedOver {
			t.Errorf("released: %v", st)
		}
	})
}

func TestRetryKnocksAtADeadHostAtOnce(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(refusing, "dead.example")
		id := w.accept("user@dead.example")[0]
		other := w.accept("user@dead.example")[0]
		time.Sleep(2*time.Hour + time.Minute)
		w.be(taking, "dead.example")
		n := len(w.heard("dead.example"))
		if err := w.order(id, custody.OrderRetry); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if len(w.heard("dead.example")) == n || w.state(id) != custody.HandedOver {
			t.Errorf("after retry it is %v", w.state(id))
		}
		time.Sleep(time.Hour)
		if w.state(other) != custody.HandedOver {
			t.Errorf("the other is %v", w.state(other))
		}
	})
}

func TestReroute(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(refusing, "dead.example")
		id := w.accept("user@dead.example")[0]
		time.Sleep(time.Minute)
		if err := w.order(id, custody.OrderReroute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if ks := w.heard("elsewhere.example"); len(ks) != 1 || w.state(id) != custody.HandedOver {
			t.Errorf("rerouted: %v, %v", ks, w.state(id))
		}
	})
}

func TestOrdersForSomeRecipientsSplit(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(deferring.in(2*time.Minute), "a.example", "b.example")
		ids := w.accept("0@a.example", "1@a.example", "2@a.example", "3@a.example", "0@b.example", "1@b.example")
		time.Sleep(time.Minute)
		// All at once, behind the attempt: names of parts must differ, and an index
		// means who it meant when the order was given.
		var all sync.WaitGroup
		for _, o := range []struct {
			id    custody.DeliveryID
			order custody.Order
			rcpt  int
		}{{ids[0], custody.OrderGiveUp, 0}, {ids[0], custody.OrderRemove, 1}, {ids[0], custody.OrderHold, 2}, {ids[1], custody.OrderRemove, 1}} {
			all.Go(func() {
				if err := w.order(o.id, o.order, o.rcpt); err != nil {
					t.Errorf("%v of %d: %v", o.order, o.rcpt, err)
				}
			})
			synctest.Wait()
		}
		all.Wait()
		h, err := w.store.History(t.Context(), ids[0].Message)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, row := range h.Deliveries {
			for _, c := range row.Delivery.Own() {
				got[c.Address.String()] = c.State.String()
				if !row.Delivery.Held.IsZero() {
					got[c.Address.String()] = "held"
				}
			}
		}
		for who, want := range map[string]string{
			"0@a.example": "expired", "1@a.example": "removed", "2@a.example": "held", "3@a.example": "pending",
			"0@b.example": "pending", "1@b.example": "removed",
		} {
			if got[who] != want {
				t.Errorf("%s is %s, want %s", who, got[who], want)
			}
		}
		if err := w.order(ids[0], custody.OrderRemove, 7); !errors.Is(err, ErrGone) {
			t.Errorf("an order for nobody: %v", err)
		}
	})
}

func TestALetterKnowsWhatCameBeforeTheSplit(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(deferring, "a.example")
		id := w.accept("0@a.example", "1@a.example", "2@a.example")[0]
		time.Sleep(time.Hour)
		before := len(w.attempts(id))
		if err := w.order(id, custody.OrderGiveUp, 1); err != nil {
			t.Fatal(err)
		}
		h, err := w.store.History(t.Context(), id.Message)
		if err != nil {
			t.Fatal(err)
		}
		part := custody.DeliveryID{Message: id.Message, N: 2}
		if es := h.Timeline(part); len(es) != before+1 || before < 3 {
			t.Errorf("%d entries, %d attempts before the split", len(es), before)
		}
		if es := h.Timeline(id); len(es) != before {
			t.Errorf("the rest has %d entries", len(es))
		}
		time.Sleep(time.Second)
		letter := w.letter(id.Message)
		if !strings.Contains(letter, "Final-Recipient: rfc822; 1@a.example") || strings.Contains(letter, "rfc822; 2@a.example") {
			t.Errorf("the letter is not about its recipient:\n%s", letter)
		}
		if n := strings.Count(letter, "come again"); n < before {
			t.Errorf("the letter tells %d of %d attempts:\n%s", n, before, letter)
		}
	})
}

func TestNoOrderHangs(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(tarpit, "tar.example")
		w.be(refusing, "dead.example")
		w.be(deferring.in(time.Second), "busy.example")
		w.store.delay(20 * time.Millisecond)
		var ids []custody.DeliveryID
		for range 60 {
			for _, d := range []string{"tar.example", "dead.example", "busy.example"} {
				ids = append(ids, w.accept("a@"+d, "b@"+d)...)
			}
		}
		var all sync.WaitGroup
		orders := []custody.Order{custody.OrderRetry, custody.OrderHold, custody.OrderRelease, custody.OrderReroute, custody.OrderRetry, custody.OrderGiveUp, custody.OrderRemove}
		for i := range 1500 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 11 * time.Millisecond)
				var rcpts []int
				if i%3 == 0 {
					rcpts = []int{i % 2}
				}
				_ = w.order(ids[i*7%len(ids)], orders[i*5%len(orders)], rcpts...)
			})
		}
		time.Sleep(12 * time.Second)
		if err := w.stop(); err != nil { // in the middle of them
			t.Errorf("Run: %v", err)
		}
		all.Wait()
		w.store.delay(0)
		w.run()
		time.Sleep(14 * time.Hour)
		for _, id := range ids {
			d, left := w.now(id)
			if left.IsZero() && d.Held.IsZero() {
				t.Errorf("%v still waits", id)
			}
			if w.handed(id) > 1 {
				t.Errorf("%v was delivered %d times", id, w.handed(id))
			}
		}
	})
}

// A lane is forgotten while what was taken of it stands before a destination that is full.
func TestAnOrderFindsWhatIsReadyThoughItsLaneIsForgotten(t *testing.T) {
	inWorld(t, Options{PerSite: 1}, func(w *world) {
		w.be(taking.in(time.Hour), "smarthost")
		var ids []custody.DeliveryID
		for i := range 40 {
			w.way(domain(i), custody.Way{Site: "smarthost"})
			ids = append(ids, w.accept("user@"+domain(i))...)
		}
		for range 20 {
			time.Sleep(wayLife)
			w.q.Wake() // as any other mail does
		}
		n := 0
		for i, id := range ids {
			w.q.mu.Lock()
			taken := w.q.inflight[id]
			l := w.q.lanes[domain(i)]
			ready := taken != nil && (l == nil || l.found.IsZero()) && w.q.sites["smarthost"].shared[id.Message] != nil
			w.q.mu.Unlock()
			if !ready {
				continue
			}
			n++
			began := time.Now()
			if err := w.order(id, custody.OrderHold); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > time.Second {
				t.Fatalf("the order took %v", took)
			}
		}
		if n == 0 {
			t.Error("no lane is forgotten of which something stands ready: the test tests nothing")
		}
	})
}

// What stood ready leaves by orders, and no attempt makes room for what waits in the store.
func TestWhatIsBehindWithdrawnMailIsFetched(t *testing.T) {
	inWorld(t, Options{PerSite: 1}, func(w *world) {
		w.be(taking.in(30*time.Second), "slow.example")
		var ids []custody.DeliveryID
		for range 40 {
			ids = append(ids, w.accept("user@slow.example")...)
		}
		time.Sleep(10 * time.Second)
		for _, id := range ids {
			w.q.mu.Lock()
			taken := w.q.inflight[id]
			ready := taken != nil && taken.site != nil && taken.site.shared[id.Message] != nil
			w.q.mu.Unlock()
			if ready {
				if err := w.order(id, custody.OrderRemove); err != nil {
					t.Error(err)
				}
			}
		}
		time.Sleep(30 * time.Minute)
		for _, id := range ids {
			if st := w.state(id); st == custody.Pending {
				t.Errorf("%v waits before an idle host", id)
			}
		}
	})
}

func TestRetryKnocksThoughTheLaneIsForgotten(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(refusing, "dead.example")
		id := w.accept("user@dead.example")[0]
		time.Sleep(80 * time.Minute) // the next knock is at 105
		for range 30 {
			time.Sleep(wayLife)
			w.q.Wake() // as any other mail does
		}
		w.be(taking, "dead.example")
		if err := w.order(id, custody.OrderRetry); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if st := w.state(id); st != custody.HandedOver {
			t.Errorf("after retry it is %v", st)
		}
	})
}

// The knock fails after a minute, and sharing that takes longer.
func TestARetryDuringAKnockIsMadeAfterIt(t *testing.T) {
	for _, c := range []struct {
		during string
		after  time.Duration // the beginning of the knock
	}{{"the dial", 30 * time.Second}, {"the sharing", 66 * time.Second}} {
		inWorld(t, Options{}, func(w *world) {
			w.be(refusing.in(time.Minute), "dead.example")
			var ids []custody.DeliveryID
			for range 1500 {
				ids = append(ids, w.accept("user@dead.example")...)
			}
			for !w.busy("dead.example") || len(w.heard("dead.example")) == 0 {
				time.Sleep(time.Second)
			}
			w.store.delay(2 * time.Second)
			time.Sleep(c.after)
			w.be(taking, "dead.example")
			began := time.Now()
			if err := w.order(ids[1499], custody.OrderRetry); err != nil {
				t.Fatal(err)
			}
			w.store.delay(0)
			for w.handed(ids[1499]) == 0 && time.Since(began) < time.Hour {
				time.Sleep(time.Second)
			}
			if took := time.Since(began); took > 2*time.Minute {
				t.Errorf("an order given during %s was carried out after %v", c.during, took)
			}
		})
	}
}

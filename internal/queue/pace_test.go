package queue

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/custody"
)

// paced makes a site one that takes a message in each gap, with much mail waiting for it.
func (w *world) paced(site string, gap time.Duration) (ids []custody.DeliveryID) {
	w.way(site, custody.Way{Site: site, Gap: gap})
	w.be(taking.in(100*time.Millisecond), site)
	for range 200 {
		ids = append(ids, w.accept("user@"+site)...)
	}
	return ids
}

func TestWhatWaitsForItsTurnTakesNobodysPlace(t *testing.T) {
	inWorld(t, Options{Connections: 20}, func(w *world) {
		w.paced("slow.example", 5*time.Minute)
		time.Sleep(2*time.Hour + time.Minute)
		if n := len(w.heard("slow.example")); n != 25 {
			t.Errorf("%d messages in two hours and a minute", n)
		}
		id := w.accept("user@b.example")[0]
		time.Sleep(time.Second)
		if w.handed(id) != 1 {
			t.Error("mail to an idle host waits")
		}
		began := time.Now()
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v to stop", took)
		}
	})
}

func TestWhatWaitsForItsTurnIsWarnedOf(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		ids := w.paced("slow.example", 5*time.Minute)
		time.Sleep(5*time.Hour + time.Minute) // between two turns
		said := 0
		for i, id := range ids {
			if w.state(id) != custody.Pending {
				continue
			}
			n := 0
			for _, e := range w.timeline(id) {
				if due, ok := e.Event.(custody.Due); ok && e.Warned() {
					n++
					if age := due.At.Sub(w.accepted[id].Accepted); age > 4*time.Hour+2*turnsLook || due.Blocked == "" {
						t.Errorf("delivery %d was warned of after %v, for %q", i, age, due.Blocked)
					}
				}
			}
			if n != 1 {
				t.Errorf("delivery %d: %d warnings", i, n)
			}
			d, _ := w.now(id)
			if _, why := w.q.Doing(d); why == inTurn {
				said++
			}
		}
		if said < 130 {
			t.Errorf("of %d deliveries is said that they wait for their turn", said)
		}
		if n := len(w.heard("slow.example")); n < 60 {
			t.Errorf("%d messages in five hours", n)
		}
	})
}

// An order need not wait for the turn of what it is for, nor for a connection to a slow host.
func TestAnOrderForWhatIsNotBegunIsCarriedOutAtOnce(t *testing.T) {
	for _, gap := range []time.Duration{5 * time.Minute, 2 * time.Second, 0} {
		inWorld(t, Options{PerSite: 2}, func(w *world) {
			ids := w.paced("slow.example", gap)
			time.Sleep(time.Second)
			if w.be(taking.in(time.Hour), "slow.example"); gap > 0 {
				w.be(taking, "slow.example")
			}
			time.Sleep(5 * time.Second)
			for i := 30; i < len(ids); i += 10 {
				began := time.Now()
				if err := w.order(ids[i], custody.OrderGiveUp); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > 100*time.Millisecond || w.state(ids[i]) != custody.Expired {
					t.Errorf("gap %v, delivery %d: after %v it is %v", gap, i, took, w.state(ids[i]))
				}
			}
			w.be(taking, "slow.example")
			time.Sleep(30 * time.Hour)
			for i, id := range ids {
				if n := w.handed(id); n != 1 && !(n == 0 && w.state(id) == custody.Expired) {
					t.Errorf("gap %v, delivery %d: delivered %d times, %v", gap, i, n, w.state(id))
				}
			}
		})
	}
}

func TestAHostThatDiesBetweenTwoTurnsIsKnockedOnce(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.paced("slow.example", 10*time.Second)
		time.Sleep(5*time.Minute + time.Second)
		w.be(refusing, "slow.example")
		before := len(w.heard("slow.example"))
		time.Sleep(4 * time.Minute)
		if n := len(w.heard("slow.example")) - before; n != 1 {
			t.Errorf("%d knocks in the first gap", n)
		}
	})
}

func TestATurnIsWaitedForThoughTheSiteWasIdle(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.way("slow.example", custody.Way{Site: "slow.example", Gap: time.Hour})
		for range 2 {
			w.accept("user@slow.example")
			time.Sleep(30 * time.Minute)
			w.accept("user@b.example")
		}
		time.Sleep(time.Hour)
		ks := w.heard("slow.example")
		if len(ks) != 2 {
			t.Fatalf("%d messages", len(ks))
		}
		if gap := ks[1].at.Sub(ks[0].at); gap != time.Hour {
			t.Errorf("the second came after %v", gap)
		}
	})
}

// What is read in the store stands nowhere until it is put before its destination; from
// there nobody would take it while the host is slow.
func TestAnOrderForWhatIsBeingFetchedIsCarriedOutAtOnce(t *testing.T) {
	inWorld(t, Options{PerSite: 1}, func(w *world) {
		way := custody.Way{Site: "slow.example"}
		w.way("a.example", way)
		w.be(taking.in(time.Hour), way.Site)
		w.accept("user@a.example")
		time.Sleep(time.Second)
		w.lookUp(time.Hour) // nobody fetches it but this test
		id := w.accept("user@b.example")[0]
		it, ok := w.q.takeOut(w.Context(), id)
		if !ok {
			t.Fatal("it is taken")
		}
		answered := make(chan error, 1)
		go func() { answered <- w.order(id, custody.OrderGiveUp) }()
		synctest.Wait()
		w.q.mu.Lock()
		w.q.inflight[id].d = it.Delivery
		w.q.ready(w.q.site(way), it, nil)
		w.q.mu.Unlock()
		began := time.Now()
		if err := <-answered; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Second || w.state(id) != custody.Expired {
			t.Errorf("after %v it is %v", took, w.state(id))
		}
	})
}

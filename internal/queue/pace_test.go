package queue

import (
	"slices"
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

// A rate leaves it in the store, a slow host much of it in memory.
func TestWhatWaitsForItsTurnIsWarnedOf(t *testing.T) {
	for name, c := range map[string]struct{ gap, takes time.Duration }{
		"a rate":      {gap: 5 * time.Minute, takes: 100 * time.Millisecond},
		"a slow host": {takes: 10 * time.Minute},
	} {
		inWorld(t, Options{PerSite: 2}, func(w *world) {
			w.schedule.Warn = []time.Duration{time.Hour}
			ids := w.paced("slow.example", c.gap)
			w.be(taking.in(c.takes), "slow.example")
			time.Sleep(2*time.Hour + time.Minute) // between two turns
			said := 0
			for i, id := range ids {
				if w.state(id) != custody.Pending {
					continue
				}
				at, why := w.warnings(id)
				if len(at) != 1 || at[0].Sub(w.accepted[id].Accepted) > time.Hour+2*turnsLook || why[0] != inTurn {
					t.Errorf("%s: delivery %d was warned of at %v for %q", name, i, at, why)
				}
				d, _ := w.now(id)
				if _, why := w.q.Doing(d); why == inTurn {
					said++
				}
			}
			if said < 120 {
				t.Errorf("%s: of %d deliveries is said that they wait for their turn", name, said)
			}
			before := len(w.heard("slow.example"))
			if before < 22 {
				t.Errorf("%s: %d messages in two hours", name, before)
			}
			time.Sleep(time.Hour)
			for turn, k := range w.heard("slow.example") {
				if i := slices.Index(ids, k.ids[0]); max(turn-i, i-turn) > 1 { // two connections
					t.Errorf("%s: delivery %d had turn %d", name, i, turn)
				}
			}
		})
	}
}

func TestWhatDoesNotWaitForItsTurnIsNotSaidTo(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.schedule.Retry = []custody.Pace{{Gap: 6 * time.Hour}}
		ids := w.paced("slow.example", 5*time.Minute)
		w.be(deferring, "slow.example")
		time.Sleep(6 * time.Minute)
		w.be(taking, "slow.example")
		deferred := slices.IndexFunc(ids, func(id custody.DeliveryID) bool { return len(w.attempts(id)) == 1 && w.state(id) == custody.Pending })
		held := ids[150]
		if err := w.order(held, custody.OrderHold); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Hour)
		for name, id := range map[string]custody.DeliveryID{"it is not due": ids[deferred], "it is held": held} {
			if at, why := w.warnings(id); len(at) != 1 || why[0] != "" {
				t.Errorf("%s, and was warned of at %v for %q", name, at, why)
			}
			d, _ := w.now(id)
			if _, why := w.q.Doing(d); why != "" {
				t.Errorf("%s, and is said to be blocked: %q", name, why)
			}
		}
	})
}

// The host takes the connection and is silent for longer than a walk takes to come by.
func TestWhatWaitsForAKnockIsNotSaidToWaitForItsTurn(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(refusing, "dead.example")
		w.schedule.Warn = []time.Duration{time.Hour}
		w.accept("user@dead.example")
		time.Sleep(time.Minute)
		w.be(tarpit.in(20*time.Minute), "dead.example")
		var ids []custody.DeliveryID
		for range 30 {
			ids = append(ids, w.accept("user@dead.example")...)
			time.Sleep(4 * time.Minute)
		}
		time.Sleep(time.Hour)
		for i, id := range ids {
			at, why := w.warnings(id)
			for j := range at {
				if why[j] == inTurn {
					t.Errorf("delivery %d was warned of after %v for %q", i, at[j].Sub(w.accepted[id].Accepted), why[j])
				}
			}
			if len(at) != 1 {
				t.Errorf("delivery %d: %d warnings", i, len(at))
			}
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

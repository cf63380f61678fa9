package queue

import (
	"testing"
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

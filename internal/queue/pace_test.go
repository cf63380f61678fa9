package queue

import (
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
)

// paced makes a site one that takes a message in each gap, with much mail waiting for it.
func (w *world) paced(site string, gap time.Duration) {
	w.way(site, custody.Way{Site: site, Gap: gap})
	w.be(taking.in(100*time.Millisecond), site)
	for range 200 {
		w.accept("user@" + site)
	}
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

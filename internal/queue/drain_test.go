package queue

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/memory"
)

// in lists the deliveries that a site heard of from a moment on, in the order in
// which their attempts began.
func (w *world) in(site string, from time.Time) (ids []custody.DeliveryID) {
	ks := slices.DeleteFunc(w.heard(site), func(k knock) bool { return k.at.Before(from) })
	slices.SortStableFunc(ks, func(a, b knock) int { return a.n - b.n })
	for _, k := range ks {
		ids = append(ids, k.ids...)
	}
	return ids
}

func TestWhatWaitsForASiteIsPouredOutInOrder(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		var all []custody.DeliveryID
		for i := range 40 { // many domains behind one smarthost
			w.way(domain(i), custody.Way{Site: "smarthost", Parallel: 5})
		}
		w.be(refusing, "smarthost")
		for i := range 1000 {
			all = append(all, w.accept("user@"+domain(i%40))...)
			time.Sleep(10 * time.Second)
		}
		time.Sleep(time.Hour)
		w.be(taking.in(time.Second), "smarthost")
		back := time.Now()
		time.Sleep(knockMost + time.Minute)
		got := w.in("smarthost", back)
		if len(got) != len(all) {
			t.Fatalf("%d of %d came within a minute of the first knock", len(got), len(all))
		}
		// What is due of itself at that moment may come before; the rest in order, give
		// or take what stands in memory at a time.
		out := 0
		for i, id := range got {
			if at := slices.Index(all, id); max(at-i, i-at) > 20*5 {
				out++
			}
		}
		if out > len(all)/10 {
			t.Errorf("%d of %d came out of turn", out, len(all))
		}
		t.Logf("%d of %d out of turn", out, len(all))
		for _, id := range all {
			for _, e := range w.timeline(id) {
				if o, ok := e.Event.(custody.Ordered); ok {
					t.Fatalf("an order nobody gave: %v", o)
				}
			}
		}
	})
}

// overrun is a store whose Fresh is full: what is stored is not handed on.
type overrun struct {
	spool.Store
	fresh chan spool.Fresh
}

func (o *overrun) Fresh() <-chan spool.Fresh { return o.fresh }

// TestOldAndNewMailTakeTurns: 1,000 messages wait for a host that takes five a second.
// What comes while they are delivered need not stand behind them; and they are all
// delivered in twice the time that they need alone, whatever comes.
func TestOldAndNewMailTakeTurns(t *testing.T) {
	for name, c := range map[string]struct {
		keep, free func(w *world)
		every      time.Duration // a new message
		wait       time.Duration // that it may wait
		overrun    bool
	}{
		"dead, less comes than half of what it takes": {
			func(w *world) { w.be(refusing, "smarthost") },
			func(w *world) { w.be(taking.in(time.Second), "smarthost") },
			time.Second, 10 * time.Second, false,
		},
		"dead, and the queue cannot follow": {
			func(w *world) { w.be(refusing, "smarthost") },
			func(w *world) { w.be(taking.in(time.Second), "smarthost") },
			time.Second, 10 * time.Second, true,
		},
		"paused, less comes than half of what it takes": {
			func(w *world) {
				w.accept("user@" + domain(0)) // a destination is known when mail has gone there
				time.Sleep(2 * time.Second)
				w.pause("smarthost")
			},
			func(w *world) { w.resume("smarthost") },
			time.Second, 10 * time.Second, false,
		},
		"dead, more comes than it takes": {
			func(w *world) { w.be(refusing, "smarthost") },
			func(w *world) { w.be(taking.in(time.Second), "smarthost") },
			100 * time.Millisecond, time.Hour, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			full := &overrun{}
			open := func() (spool.Store, error) {
				if !c.overrun {
					return memory.New(1024), nil
				}
				full.Store, full.fresh = memory.New(0), make(chan spool.Fresh, 1)
				return full, nil
			}
			inWorldOver(t, open, Options{}, func(w *world) {
				w.be(taking.in(time.Second), "smarthost")
				for i := range 40 {
					w.way(domain(i), custody.Way{Site: "smarthost", Parallel: 5})
				}
				var old, lately []custody.DeliveryID
				c.keep(w)
				for i := range 1000 {
					old = append(old, w.accept("user@"+domain(i%40))...)
					time.Sleep(time.Second)
				}
				c.free(w)
				for w.handed(old[0]) == 0 {
					time.Sleep(100 * time.Millisecond)
				}
				back := time.Now()
				for i := 0; time.Since(back) < 5*time.Minute; i++ {
					lately = append(lately, w.accept("user@"+domain(i%40))...)
					if c.overrun {
						full.fresh <- spool.Fresh{} // of other mail
					}
					time.Sleep(c.every)
				}
				time.Sleep(time.Hour)
				took := func(id custody.DeliveryID, from time.Time) time.Duration {
					if w.handed(id) != 1 {
						t.Fatalf("%v was delivered %d times", id, w.handed(id))
					}
					as := w.attempts(id)
					return as[len(as)-1].At.Sub(from)
				}
				var last, longest time.Duration
				for _, id := range old {
					last = max(last, took(id, back))
				}
				for _, id := range lately {
					longest = max(longest, took(id, w.accepted[id].Accepted))
				}
				t.Logf("1000 in %v, new ones in %v at most", last, longest)
				if last > 2*200*time.Second+30*time.Second {
					t.Errorf("what waited was delivered in %v", last)
				}
				if longest > c.wait {
					t.Errorf("a new message waited for %v", longest)
				}
			})
		})
	}
}

// Whoever takes it from the store, it does not stand behind all that waited.
func TestWhatFellDueLatelyTakesTurnsThoughItIsPouredOut(t *testing.T) {
	now := time.Now()
	for wake, lately := range map[time.Duration]int{0: 1, time.Hour: 0, -time.Hour: 0} {
		s := &site{window: windowFirst, proven: now, back: now.Add(-time.Minute), pouring: true, shared: map[custody.ID]*load{}}
		s.put(spool.Item{Message: custody.Message{ID: custody.NewID(now, 1, 1)}, Wake: now.Add(wake)}, &item{early: true}, nil, now)
		if len(s.lately) != lately || s.given() != 1 {
			t.Errorf("due in %v: %d of %d fell due lately", wake, len(s.lately), s.given())
		}
	}
}

func TestOnlySilenceIsForgivenBeforeItsTime(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(deferring, "a.example")
		deferred := w.accept("user@a.example")[0]
		time.Sleep(40 * time.Minute) // its next try is far off
		w.be(refusing, "a.example")
		silent, held := w.accept("user@a.example")[0], w.accept("user@a.example")[0]
		time.Sleep(8 * time.Minute)
		if err := w.order(held, custody.OrderHold); err != nil {
			t.Fatal(err)
		}
		w.be(taking, "a.example")
		next, _ := w.now(deferred)
		time.Sleep(time.Until(next.Next) - time.Minute)
		if w.state(silent) != custody.HandedOver {
			t.Errorf("what met silence is %v", w.state(silent))
		}
		if w.handed(deferred)+w.handed(held) > 0 {
			t.Errorf("deferred: %d, held: %d", w.handed(deferred), w.handed(held))
		}
		time.Sleep(2 * time.Minute)
		if w.state(deferred) != custody.HandedOver {
			t.Errorf("in its own time it is %v", w.state(deferred))
		}
	})
}

func TestASilentHostThatComesBackAfterARestartIsDrained(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(refusing, "dead.example")
		var all []custody.DeliveryID
		for range 100 {
			all = append(all, w.accept("user@dead.example")...)
			time.Sleep(time.Minute)
		}
		time.Sleep(2 * time.Hour)
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		w.be(taking, "dead.example")
		w.run()
		back := time.Now()
		time.Sleep(20 * time.Minute)
		got := w.in("dead.example", back)
		if len(got) != len(all) {
			t.Fatalf("%d of %d came", len(got), len(all))
		}
		if took := w.heard("dead.example")[len(w.heard("dead.example"))-1].end.Sub(w.heard("dead.example")[len(w.heard("dead.example"))-len(all)].at); took > time.Minute {
			t.Errorf("the last came %v after the first", took)
		}
	})
}

func TestMailThatWasNeverTriedIsDrainedTooAfterARestart(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(refusing, "dead.example")
		w.accept("user@dead.example")
		time.Sleep(5 * time.Second)
		var all []custody.DeliveryID
		for range 100 {
			all = append(all, w.accept("user@dead.example")...)
		}
		time.Sleep(2 * knockLeast)
		put := all[50]
		if d, _ := w.now(put); d.Tries != 0 {
			t.Errorf("%v was tried itself", put)
		}
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		w.be(taking, "dead.example")
		w.run()
		if err := w.order(put, custody.OrderRetry); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		for _, id := range all {
			if w.handed(id) != 1 {
				t.Errorf("%v waits on", id)
				break
			}
		}
	})
}

func TestADeadlineThatFallsIntoAFailingKnockIsKept(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(refusing, "dead.example")
		first := w.accept("user@dead.example")[0]
		time.Sleep(5 * time.Second)
		second := w.accept("user@dead.example")[0]
		// The last knock for the first takes ten seconds: the deadline of the second
		// falls into it.
		time.Sleep(time.Until(w.accepted[first].Accepted.Add(quick.Expire)) - time.Second)
		w.be(refusing.in(10*time.Second), "dead.example")
		time.Sleep(3 * time.Hour)
		for _, id := range []custody.DeliveryID{first, second} {
			_, left := w.now(id)
			if late := left.Sub(w.accepted[id].Accepted.Add(quick.Expire)); late < 0 || late > 10*time.Second {
				t.Errorf("%v left %v after its deadline", id, late)
			}
		}
	})
}

func TestWhatIsPutOffSaysWhy(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(refusing, "dead.example")
		w.accept("user@dead.example")
		time.Sleep(time.Minute)
		id := w.accept("user@dead.example")[0]
		time.Sleep(time.Minute)
		d, _ := w.now(id)
		if trying, why := w.q.Doing(d); trying || d.Tries != 0 || !strings.Contains(why, "connection refused") {
			t.Errorf("trying %v, %d tries, blocked because %q", trying, d.Tries, why)
		}
		w.be(taking, "dead.example")
		time.Sleep(10 * time.Minute)
		if trying, why := w.q.Doing(d); trying || why != "" {
			t.Errorf("afterwards: trying %v, blocked because %q", trying, why)
		}
	})
}

// TestAWayMayBeFoundAgainWhileItsMailIsConcluded: the network comes back. A long lane is
// stepped because the DNS did not answer for it; meanwhile mail of another gets through to
// its site, and what waits is poured out.
func TestAWayMayBeFoundAgainWhileItsMailIsConcluded(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		for _, lane := range []string{"a.example", "b.example"} {
			w.way(lane, custody.Way{Site: "smarthost"})
		}
		w.be(refusing, "smarthost")
		var ids []custody.DeliveryID
		for range 3 * page {
			ids = append(ids, w.accept("user@a.example")...)
		}
		other := w.accept("user@b.example")[0]
		time.Sleep(time.Hour)
		none := servfail(time.Time{})
		w.way("a.example", custody.Way{None: &none})
		w.store.delay(5 * time.Second)
		concluding := func() bool {
			w.q.mu.Lock()
			defer w.q.mu.Unlock()
			l := w.q.lanes["a.example"]
			return l != nil && l.busy && l.way.None != nil
		}
		for !concluding() {
			time.Sleep(time.Second)
		}
		time.Sleep(wayLife)
		w.be(taking, "smarthost")
		w.way("a.example", custody.Way{Site: "smarthost"})
		if err := w.order(other, custody.OrderRetry); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		if w.handed(other) != 1 {
			t.Fatal("the site is not back: the test tests nothing")
		}
		w.store.delay(0)
		time.Sleep(2 * time.Hour)
		for _, id := range append(ids, other) {
			if w.handed(id) != 1 {
				t.Fatalf("%v was delivered %d times", id, w.handed(id))
			}
		}
	})
}

// TestWhatIsPouredOutIsNotTakenFromFreshAgain: a message comes while its site is knocked
// at, and the dispatcher has much to look at before it reads Fresh.
func TestWhatIsPouredOutIsNotTakenFromFreshAgain(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(refusing, "a.example")
		w.accept("user@a.example")
		time.Sleep(time.Minute)
		w.be(taking.in(50*time.Millisecond), "a.example")
		w.store.mu.Lock()
		w.store.look = 200 * time.Millisecond
		w.store.mu.Unlock()
		for !w.busy("a.example") {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(10 * time.Millisecond)
		id := w.accept("user@a.example")[0]
		time.Sleep(5 * time.Second)
		if n := w.handed(id); n != 1 {
			t.Errorf("it was delivered %d times", n)
		}
	})
}

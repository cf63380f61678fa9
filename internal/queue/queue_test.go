package queue

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

func TestADeadHostHearsOneKnockPerInterval(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(refusing, "dead.example")
		quick := quick
		quick.Warn, quick.Expire = []time.Duration{time.Hour}, 5*time.Hour
		w.schedule = quick
		var ids []custody.DeliveryID
		began := time.Now()
		for range muchMail {
			ids = append(ids, w.accept("user@dead.example")...)
			time.Sleep(time.Hour / muchMail)
		}
		accepted := time.Since(began)
		time.Sleep(quick.Expire + 10*time.Minute)

		ks := w.heard("dead.example")
		for i := 1; i < len(ks); i++ {
			if gap := ks[i].at.Sub(ks[i-1].at); gap < knockLeast {
				t.Errorf("knock %d came %v after the one before", i, gap)
			}
		}
		t.Logf("%d knocks for %d messages", len(ks), muchMail)
		// Five in the first hour, then one each half hour, and in the last hour one a
		// minute as the deliveries reach their deadlines.
		if most := 5 + int((quick.Expire-time.Hour)/knockMost) + int(accepted/knockLeast) + 5; len(ks) > most {
			t.Errorf("the dead host heard %d knocks, not %d at most", len(ks), most)
		}
		at := map[int64]bool{}
		for _, k := range ks {
			at[k.at.UnixNano()] = true
		}
		for _, id := range ids {
			d, left := w.now(id)
			end := custody.End(d, quick)
			if late := left.Sub(end); left.IsZero() || late < 0 || late > time.Minute+time.Second {
				t.Fatalf("%v left %v after its deadline (%v)", id, late, left)
			}
			if d.Rcpts[0].State != custody.Expired {
				t.Errorf("%v is %v", id, d.Rcpts[0].State)
			}
			as := w.attempts(id)
			if last := as[len(as)-1]; last.At.Before(end) {
				t.Errorf("%v ended at %v without an attempt at its deadline %v", id, last.At, end)
			}
			if len(as) < 7 || d.Tries != len(as) {
				t.Errorf("%v: %d tries, %d in its timeline", id, d.Tries, len(as))
			}
			for _, a := range as {
				if !at[a.Attempt.Began.UnixNano()] {
					t.Errorf("%v: no knock began at %v", id, a.Attempt.Began)
				}
			}
		}
	})
}

func TestAQuietQueueIsQuiet(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(refusing, "dead.example")
		w.schedule.Retry = []custody.Pace{{Gap: time.Hour}, {Gap: 3 * time.Hour}}
		w.schedule.Expire = 5 * 24 * time.Hour
		for range muchMail {
			w.accept("user@dead.example")
		}
		time.Sleep(4 * time.Hour)
		before := w.store.looked()
		time.Sleep(24 * time.Hour)
		looks := w.store.looked() - before
		t.Logf("%d looks a day, %d knocks", looks, len(w.heard("dead.example")))
		if looks > 3000 {
			t.Errorf("the store was asked %d times a day what is due", looks)
		}
	})
}

func TestAWarningGoesOutAtItsExactAge(t *testing.T) {
	for name, how := range map[string]host{"refusing": refusing, "tarpit": tarpit} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				w.be(how, "dead.example")
				var ids []custody.DeliveryID
				for range 50 {
					ids = append(ids, w.accept("user@dead.example")...)
					time.Sleep(73 * time.Second)
				}
				time.Sleep(5 * time.Hour)
				var worst time.Duration
				for _, id := range ids {
					told := 0
					for _, e := range w.timeline(id) {
						for _, duty := range e.Duties {
							if tell, ok := duty.(custody.Tell); ok && tell.Kind == custody.Delayed {
								told++
								d, _ := w.now(id)
								worst = max(worst, e.At.Sub(d.Accepted.Add(4*time.Hour)))
							}
						}
					}
					if told != 1 {
						t.Errorf("%v: %d warnings", id, told)
					}
				}
				if worst > how.takes+time.Second {
					t.Errorf("a warning came %v late", worst)
				}
				t.Logf("at most %v late", worst)
			})
		})
	}
}

// healthy returns how long it took until the healthy half was delivered.
func healthy(t *testing.T, o Options, bad []host) (last time.Duration) {
	inWorld(t, o, func(w *world) {
		began := time.Now()
		good := map[custody.DeliveryID]bool{}
		for range 4 {
			for i := range halfSites {
				if len(bad) > 0 {
					w.be(bad[i%len(bad)], "bad"+domain(i))
					w.accept("user@bad" + domain(i))
				}
				w.be(taking.in(100*time.Millisecond), domain(i))
				good[w.accept("user@" + domain(i))[0]] = true
			}
		}
		time.Sleep(2 * time.Minute)
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, s := range w.seen {
			if good[s.item.Delivery.ID] && s.item.Delivery.Rcpts[0].State == custody.HandedOver {
				delete(good, s.item.Delivery.ID)
				last = max(last, s.entry.At.Sub(began))
			}
		}
		if len(good) > 0 {
			t.Errorf("%d were not delivered", len(good))
		}
		if most := w.peak(""); most > o.Connections*(1+patients) {
			t.Errorf("%d connections at a time", most)
		}
	})
	return last
}

func TestHostsThatFallSilentHoldUpNobody(t *testing.T) {
	const connections, silent = 20, 10
	inWorld(t, Options{Connections: connections}, func(w *world) {
		send := func(n int, to string) (ids []custody.DeliveryID) {
			for range n {
				ids = append(ids, w.accept("user@"+to)...)
			}
			return ids
		}
		for i := range silent { // each is known to live, and has all the connections it may
			send(100, domain(i))
		}
		time.Sleep(time.Minute)
		stuck := deferring.in(10 * time.Minute)
		stuck.o.Stage, stuck.o.Trouble, stuck.o.Theirs = mail.Data, custody.Unreachable, false
		for i := range silent {
			w.be(stuck, domain(i))
			send(100, domain(i))
		}
		time.Sleep(10 * time.Second)
		ids := send(20, "living.example")
		time.Sleep(5 * time.Second)
		for _, id := range ids {
			if w.handed(id) != 1 {
				t.Errorf("%v waits for hosts that are silent", id)
				break
			}
		}
		if most := w.peak(""); most <= connections || most > connections*(1+patients) {
			t.Errorf("%d connections at a time", most)
		}
	})
}

func TestTheHealthyHalfDoesNotWaitForTheDead(t *testing.T) {
	for _, connections := range []int{2 * halfSites, halfSites / 2, halfSites / 10} {
		t.Run(fmt.Sprint(connections), func(t *testing.T) {
			alone := healthy(t, Options{Connections: connections}, nil)
			mixed := healthy(t, Options{Connections: connections}, []host{refusing, tarpit, tarpit.in(30 * time.Second), refusing.in(75 * time.Second)})
			t.Logf("healthy alone %v, among the dead %v", alone, mixed)
			// Each silent host keeps one of the places for those that have not answered
			// until patience ends.
			silent := halfSites * 3 / 4
			if mixed > alone+time.Duration(silent/(connections/2)+4)*patience {
				t.Errorf("healthy mail took %v, %v without the dead", mixed, alone)
			}
		})
	}
}

// TestBodiesInMemoryHoldUpNobody: mail for a slow host takes all the room that there is for
// bodies.
func TestBodiesInMemoryHoldUpNobody(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(taking.in(time.Hour), "slow.example")
		w.accept("user@slow.example", "user@b.example")
		time.Sleep(5500 * time.Millisecond) // the ways are known now
		w.body = "A: b\r\n\r\n" + strings.Repeat("x", bodiesHeld/20-len(w.body))
		for range 20 {
			w.accept("user@slow.example")
		}
		time.Sleep(2 * time.Second)
		id := w.accept("user@b.example")[0]
		time.Sleep(2 * time.Second)
		if n := w.handed(id); n != 1 {
			t.Errorf("mail to an idle host was delivered %d times", n)
		}
	})
}

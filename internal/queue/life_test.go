package queue

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/local"
	"github.com/postrider/postrider/mail"
)

func TestAHostThatComesBackIsDrained(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(refusing, "back.example")
		var ids []custody.DeliveryID
		for range 300 {
			ids = append(ids, w.accept("user@back.example")...)
		}
		time.Sleep(2 * time.Hour)
		w.be(taking.in(time.Second), "back.example")
		back := time.Now()
		time.Sleep(time.Hour + time.Minute)
		for _, id := range ids {
			if st := w.state(id); st != custody.HandedOver {
				t.Errorf("%v is %v", id, st)
			}
			if n := w.handed(id); n != 1 {
				t.Errorf("%v was delivered %d times", id, n)
			}
		}
		ks := w.heard("back.example")
		ks = slices.DeleteFunc(ks, func(k knock) bool { return k.at.Before(back) })
		if ks[1].at.Before(ks[0].end) {
			t.Error("more than one knocked before the first was taken")
		}
		if most := w.peak("back.example"); most < windowFirst || most > 20 {
			t.Errorf("%d connections at a time", most)
		}
	})
}

func TestAHostThatDiesUnderManyConnectionsIsTriedAfterItsFirstGap(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(taking.in(10*time.Second), "dies.example")
		for range 400 {
			w.accept("user@dies.example")
		}
		time.Sleep(time.Minute)
		w.be(refusing.in(time.Second), "dies.example")
		died := time.Now()
		time.Sleep(4 * time.Minute)
		n := len(w.heard("dies.example"))
		w.be(taking.in(time.Second), "dies.example")
		time.Sleep(10 * time.Minute)
		if w.peak("dies.example") < 10 {
			t.Fatalf("only %d connections at a time: the test tests nothing", w.peak("dies.example"))
		}
		first := w.heard("dies.example")[n].at.Sub(died)
		if first > 6*time.Minute {
			t.Errorf("the first knock came %v after its death", first)
		}
	})
}

func TestDeliveriesWithTheSameWayShareACall(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		for _, lane := range []string{"a.example", "b.example", "c.example"} {
			w.way(lane, custody.Way{Site: "one"})
		}
		w.accept("user@a.example", "user@b.example", "user@c.example")
		time.Sleep(time.Second + time.Millisecond) // the ways are known now
		w.accept("user@a.example", "user@b.example", "user@c.example")
		time.Sleep(3 * time.Second)
		ks := w.heard("one")
		if last := ks[len(ks)-1]; len(last.ids) != 3 {
			t.Errorf("calls %v, want one for the three", ks)
		}
	})
}

func TestNothingIsDeliveredTwice(t *testing.T) {
	inWorld(t, Options{PerSite: 50}, func(w *world) {
		w.be(taking.in(3*time.Millisecond), "busy.example")
		w.store.delay(2 * time.Millisecond)
		var ids []custody.DeliveryID
		for i := range 3000 {
			ids = append(ids, w.accept("user@busy.example")...)
			if i%10 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		time.Sleep(time.Minute)
		for _, id := range ids {
			if n := w.handed(id); n != 1 || w.state(id) != custody.HandedOver {
				t.Errorf("%v was delivered %d times and is %v", id, n, w.state(id))
			}
		}
	})
}

func TestLimitsAreKept(t *testing.T) {
	inWorld(t, Options{Connections: 10, PerSite: 7}, func(w *world) {
		w.way("few.example", custody.Way{Site: "few.example", Parallel: 2})
		w.way("slow.example", custody.Way{Site: "slow.example", Gap: 10 * time.Second})
		for _, site := range []string{"few.example", "slow.example", "a.example", "b.example"} {
			w.be(taking.in(700*time.Millisecond), site)
			for range 50 {
				w.accept("user@" + site)
			}
		}
		time.Sleep(time.Hour)
		for site, most := range map[string]int{"": 10, "few.example": 2, "a.example": 7, "b.example": 7} {
			if w.peak(site) > most {
				t.Errorf("%q had %d connections at a time, not %d", site, w.peak(site), most)
			}
		}
		ks := w.heard("slow.example")
		if len(ks) != 50 {
			t.Errorf("slow.example heard %d messages", len(ks))
		}
		for i := 1; i < len(ks); i++ {
			if gap := ks[i].at.Sub(ks[i-1].at); gap < 10*time.Second {
				t.Errorf("message %d came %v after the one before", i, gap)
			}
		}
	})
}

func TestAWayThatIsNotThereIsTriedByScheduleOrRefusedAtOnce(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		o := custody.Outcome{Stage: mail.Route, Trouble: custody.Unrouted, Reply: mail.Reply{Text: "SERVFAIL"}}
		no := o
		no.Permanent = true
		w.way("later.example", custody.Way{None: &o})
		w.way("never.example", custody.Way{None: &no})
		later, never := w.accept("user@later.example")[0], w.accept("user@never.example")[0]
		time.Sleep(3 * time.Second)
		if st := w.state(never); st != custody.Refused {
			t.Errorf("never.example: %v", st)
		}
		time.Sleep(13 * time.Hour)
		if st := w.state(later); st != custody.Expired {
			t.Errorf("later.example: %v", st)
		}
		if n := len(w.attempts(later)); n != 16 { // at 0, 5, 15, 35, 75 minutes, then hourly, and at 12 h
			t.Errorf("later.example: %d tries", n)
		}
	})
}

func TestWhereThereIsNoWayAWarningIsNoTry(t *testing.T) {
	for name, permanent := range map[string]bool{"for now": false, "for good": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				w.be(deferring, "a.example")
				held, waits := w.accept("user@a.example")[0], w.accept("user@a.example")[0]
				time.Sleep(235*time.Minute + time.Second) // tried at 0, 5, 15, 35, 75, 135, 195 minutes, due again at 255
				if err := w.order(held, custody.OrderHold); err != nil {
					t.Fatal(err)
				}
				w.way("a.example", custody.Way{None: &custody.Outcome{Stage: mail.Route, Trouble: custody.Unrouted, Permanent: permanent, Reply: mail.Reply{Text: "no such domain"}}})
				time.Sleep(10 * time.Minute) // behind the warning, at 240 minutes
				for _, id := range []custody.DeliveryID{held, waits} {
					if at, _ := w.warnings(id); len(at) != 1 {
						t.Errorf("%v was warned %d times", id, len(at))
					}
					if n := len(w.attempts(id)); n != 7 || w.state(id) != custody.Pending {
						t.Errorf("%v is %v after %d tries: what was not due was tried", id, w.state(id), n)
					}
				}
				time.Sleep(20 * time.Hour)
				want := custody.Expired
				if permanent {
					want = custody.Refused
				}
				if w.state(held) != custody.Pending || w.state(waits) != want {
					t.Errorf("what is held is %v, the other %v", w.state(held), w.state(waits))
				}
			})
		})
	}
}

func TestAPermanentRefusalEndsAtOnce(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(rejecting, "no.example")
		id := w.accept("user@no.example")[0]
		time.Sleep(3 * time.Second)
		if st := w.state(id); st != custody.Refused {
			t.Errorf("it is %v", st)
		}
		if ks := w.heard("sender.example"); len(ks) != 1 {
			t.Errorf("the sender heard of it %d times", len(ks))
		}
	})
}

func TestManySlowLookUpsKeepNobodyBusy(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.lookUp(30 * time.Second)
		for i := range 3 * lookUps {
			w.accept("user@" + domain(i))
		}
		time.Sleep(3 * time.Minute)
		if w.store.looked() > 3000 {
			t.Errorf("%d looks", w.store.looked())
		}
		for i := range 3 * lookUps {
			if len(w.heard(domain(i))) != 1 {
				t.Errorf("%s heard nothing", domain(i))
			}
		}
	})
}

func TestManyDeadHostsWithMuchMailKeepNobodyBusy(t *testing.T) {
	inWorld(t, Options{Connections: 4}, func(w *world) {
		for i := range 60 {
			w.be(tarpit, domain(i))
			for range 30 {
				w.accept("user@" + domain(i))
			}
		}
		time.Sleep(3 * time.Hour)
		looks := w.store.looked()
		t.Logf("%d looks in three hours", looks)
		if looks > 60_000 {
			t.Errorf("%d looks", looks)
		}
	})
}

func TestStopLosesNothingAndReturnsInTime(t *testing.T) {
	open := func() (spool.Store, error) { return local.Open("/spool", local.Options{FS: vfs.NewMem()}) }
	inWorldOver(t, open, Options{}, func(w *world) {
		w.be(taking.in(3*time.Second), "slow.example")
		w.be(tarpit, "tar.example")
		var ids []custody.DeliveryID
		for range 40 {
			ids = append(ids, w.accept("user@slow.example")...)
			ids = append(ids, w.accept("user@tar.example")...)
		}
		time.Sleep(4 * time.Second)
		began := time.Now()
		if err := w.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("it took %v to stop", took)
		}
		cut := len(w.heard("tar.example"))
		if as := w.attempts(ids[1]); len(as) != 0 {
			t.Errorf("what was cut short counts: %v", as)
		}
		w.be(taking, "tar.example")
		w.run()
		time.Sleep(10 * time.Minute)
		for _, id := range ids {
			if n := w.handed(id); n != 1 || w.state(id) != custody.HandedOver {
				t.Errorf("%v was delivered %d times and is %v", id, n, w.state(id))
			}
		}
		if len(w.heard("tar.example")) < cut+40 {
			t.Errorf("what was cut short was not tried again")
		}
	})
}

func TestABrokenStoreEndsTheQueue(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(taking.in(time.Minute), "a.example")
		id := w.accept("user@a.example")[0]
		time.Sleep(time.Second)
		w.store.set(spool.ErrBroken)
		if err := w.order(id, custody.OrderHold); err == nil {
			t.Error("an order was carried out that cannot be stored")
		}
		if err := w.stop(); err == nil {
			t.Error("Run returned no error")
		}
		if err := w.order(id, custody.OrderHold); err == nil {
			t.Error("an order was taken by a queue that has ended")
		}
		w.store.set(nil)
		w.run()
		time.Sleep(time.Hour)
		if w.state(id) != custody.HandedOver || w.handed(id) != 1 {
			t.Errorf("after a restart it is %v, handed over %d times", w.state(id), w.handed(id))
		}
	})
}

func TestWhatCannotBeStoredIsSetAsideAndTheRestFlows(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(taking.in(time.Second), "odd.example")
		odd := w.accept("user@odd.example")[0]
		w.store.refuse(odd)
		even := w.accept("user@even.example")[0]
		time.Sleep(13 * time.Hour)
		if w.state(even) != custody.HandedOver {
			t.Errorf("its neighbour is %v", w.state(even))
		}
		d, _ := w.now(odd)
		if trying, why := w.q.Doing(d); w.handed(odd) != 1 || trying || why == "" {
			t.Errorf("handed over %d times, trying %v, blocked because %q", w.handed(odd), trying, why)
		}
		if err := w.order(odd, custody.OrderRetry); err == nil {
			t.Error("an order for it was carried out")
		}
	})
}

func TestAFullStoreIsWaitedFor(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.store.set(spool.ErrFull)
		var ids []custody.DeliveryID
		for range 20 {
			ids = append(ids, w.accept("user@a.example")...)
		}
		time.Sleep(10 * time.Minute)
		w.store.set(nil)
		time.Sleep(time.Minute)
		for _, id := range ids {
			if n := w.handed(id); n != 1 || w.state(id) != custody.HandedOver {
				t.Errorf("%v was delivered %d times and is %v", id, n, w.state(id))
			}
		}
	})
}

func TestAStoreThatStaysFullDoesNotHoldUpTheEnd(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.store.set(spool.ErrFull)
		w.accept("user@a.example")
		time.Sleep(time.Minute)
		began := time.Now()
		_ = w.stop()
		if took := time.Since(began); took > 12*time.Second {
			t.Errorf("it took %v to stop", took)
		}
		w.store.set(nil)
		w.run()
		time.Sleep(time.Minute)
	})
}

// A deadline that a shorter schedule puts into the past wants a try of its own: the
// last knock was none at a deadline.
func TestADeadlineThatAReloadBringsHasItsTry(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(refusing, "dead.example")
		id := w.accept("user@dead.example")[0]
		for len(w.heard("dead.example")) < 5 {
			time.Sleep(time.Minute)
		}
		time.Sleep(5 * time.Minute) // nobody is to knock for a while
		knocks := len(w.heard("dead.example"))
		w.mu.Lock()
		w.schedule.Expire = time.Hour
		w.mu.Unlock()
		if err := w.q.Reload(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(knockMost)
		if w.state(id) != custody.Expired || len(w.heard("dead.example")) == knocks {
			t.Errorf("it is %v, %d knocks since", w.state(id), len(w.heard("dead.example"))-knocks)
		}
	})
}

func TestReloadMovesWhatWaits(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(refusing, "dead.example", "other.example")
		w.be(deferring.in(2*time.Minute), "busy.example")
		dead, busy := w.accept("user@dead.example")[0], w.accept("user@busy.example")[0]
		time.Sleep(time.Minute)
		w.mu.Lock()
		w.schedule.Retry = []custody.Pace{{Gap: time.Hour}}
		w.schedule.Expire = 3 * time.Hour
		w.schedule.Warn = nil
		w.mu.Unlock()
		moved := 0
		if err := w.q.Reload(t.Context(), func(_, m int) { moved = m }); err != nil || moved != 1 {
			t.Errorf("reload: %d moved, %v", moved, err)
		}
		time.Sleep(4 * time.Hour)
		for _, id := range []custody.DeliveryID{dead, busy} {
			d, left := w.now(id)
			if late := left.Sub(d.Accepted.Add(3 * time.Hour)); late < 0 || late > 3*time.Minute {
				t.Errorf("%s left %v after its new deadline", d.Domain, late)
			}
			if n := len(w.attempts(id)); n < 3 || n > 4 {
				t.Errorf("%s: %d tries", d.Domain, n)
			}
		}
	})
}

func TestTheForecastIsWhatHappens(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := custody.Schedule{Name: "drawn", Jitter: rapid.SampledFrom([]float64{0, 0.1, 0.5}).Draw(r, "jitter")}
		for range rapid.IntRange(1, 4).Draw(r, "gaps") {
			s.Retry = append(s.Retry, custody.Pace{Gap: time.Duration(rapid.IntRange(5, 180).Draw(r, "minutes")) * time.Minute})
		}
		slices.SortFunc(s.Retry, func(a, b custody.Pace) int { return int(a.Gap - b.Gap) })
		s.Expire = time.Duration(rapid.IntRange(2, 40).Draw(r, "hours")) * time.Hour
		for _, w := range []time.Duration{s.Expire / 7, s.Expire / 2} {
			if rapid.Bool().Draw(r, "warn") {
				s.Warn = append(s.Warn, w)
			}
		}
		how := rapid.SampledFrom([]host{refusing, deferring}).Draw(r, "host")
		inWorld(t, Options{}, func(w *world) {
			w.schedule = s
			w.be(how, "dead.example")
			id := w.accept("user@dead.example")[0]
			d := w.accepted[id]
			d.Last = how.o.Trouble
			var want, got []custody.Moment
			for m := range custody.Forecast(d, s) {
				want = append(want, m)
			}
			time.Sleep(s.Expire + time.Hour)
			for _, e := range w.timeline(id) {
				if _, ok := e.Event.(custody.Tried); ok {
					got = append(got, custody.Moment{At: e.At, What: custody.WillTry})
				}
				for _, duty := range e.Duties {
					switch duty := duty.(type) {
					case custody.Tell:
						if duty.Kind == custody.Delayed {
							got = append(got, custody.Moment{At: e.At, What: custody.WillWarn})
						}
					case custody.Close:
						got = append(got, custody.Moment{At: e.At, What: custody.WillEnd})
					}
				}
			}
			if len(got) != len(want) {
				r.Errorf("%d moments, %d were foretold", len(got), len(want))
			}
			for i := range min(len(got), len(want)) {
				allowed := time.Second
				if !want[i].At.Before(custody.End(d, s)) {
					allowed = knockLeast // between the last two knocks
				}
				if late := got[i].At.Sub(want[i].At); got[i].What != want[i].What || late.Abs() > allowed {
					r.Errorf("moment %d: %v, foretold was %v", i, got[i], want[i])
				}
			}
		})
	})
}

// TestASiteIsJudgedByWhoeverWasAskedThere: three domains have the same hosts, and of one the
// way can no longer be found when its mail is tried.
func TestASiteIsJudgedByWhoeverWasAskedThere(t *testing.T) {
	for name, c := range map[string]struct {
		how  host
		to   string // beside the lost one; "": nobody
		want custody.State
		why  string // no mail may go there
	}{
		"nobody":              {taking, "", custody.HandedOver, ""},
		"another, who is out": {refusing, "b.example", custody.Pending, "connection refused"},
		"another, who is in":  {taking, "b.example", custody.HandedOver, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				lanes := []string{"a.example", "b.example", "c.example"}
				for _, lane := range lanes {
					w.way(lane, custody.Way{Site: "shared"})
				}
				w.accept("user@a.example", "user@b.example", "user@c.example")
				time.Sleep(2 * time.Second) // the ways are known now, and the site
				w.lose("a.example")
				w.be(c.how, "shared")
				to := []string{"user@a.example"}
				if c.to != "" {
					to = append(to, "user@"+c.to)
				}
				lost := w.accept(to...)[0]
				time.Sleep(time.Second)
				beside := w.accept("user@c.example")[0]
				time.Sleep(time.Second)
				if as := w.attempts(lost); len(as) != 1 || as[0].Attempt.Outcomes[0].Reply.Text != "SERVFAIL" {
					t.Errorf("of the lost one it is told: %+v", as)
				}
				d, _ := w.now(beside)
				if _, why := w.q.Doing(d); w.state(beside) != c.want || !strings.Contains(why, c.why) || (why == "") != (c.why == "") {
					t.Errorf("beside it mail is %v, kept back by %q", w.state(beside), why)
				}
			})
		})
	}
}

func TestAFaultOfOursAtTheDeadlineReturnsNothing(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(deferring, "a.example")
		id := w.accept("user@a.example")[0]
		time.Sleep(12*time.Hour - time.Minute)
		w.be(host{o: ours("").Outcomes[0]}, "a.example")
		time.Sleep(2 * time.Minute)
		if st := w.state(id); st != custody.Pending {
			t.Errorf("after the fault it is %v", st)
		}
		w.be(taking, "a.example")
		time.Sleep(2 * time.Hour)
		if st := w.state(id); st != custody.HandedOver {
			t.Errorf("after the fault was mended it is %v", st)
		}
	})
}

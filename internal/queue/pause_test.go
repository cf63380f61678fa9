package queue

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

func (w *world) pause(name string) {
	w.Helper()
	if _, err := w.q.Pause(w.Context(), Pause{Name: name, By: "root", Why: "their server moves"}, false); err != nil {
		w.Fatalf("pause %s: %v", name, err)
	}
}

func (w *world) resume(name string) {
	w.Helper()
	if _, err := w.q.Resume(w.Context(), name, "root", false); err != nil {
		w.Fatalf("resume %s: %v", name, err)
	}
}

// notes are Pauses in memory.
type notes map[string]Pause

func (n notes) All() (map[string]Pause, error) { return maps.Clone(n), nil }
func (n notes) Put(name string, p Pause) error { n[name] = p; return nil }
func (n notes) Forget(name string) error       { delete(n, name); return nil }

// restart ends the queue and begins anew.
func (w *world) restart() {
	w.Helper()
	if err := w.stop(); err != nil {
		w.Errorf("Run: %v", err)
	}
	w.run()
}

// told is the last letter about a delivery, in one line.
func (w *world) told(id custody.DeliveryID) string {
	return strings.Join(strings.Fields(w.letter(id.Message)), " ")
}

// warnings lists when the sender was told of a delay, with what was said to be in the
// way.
func (w *world) warnings(id custody.DeliveryID) (at []time.Time, why []string) {
	for _, e := range w.timeline(id) {
		for _, duty := range e.Duties {
			if tell, ok := duty.(custody.Tell); ok && tell.Kind == custody.Delayed {
				due, _ := e.Event.(custody.Due)
				at, why = append(at, e.At), append(why, due.Blocked)
			}
		}
	}
	return at, why
}

func TestAPauseKeepsTheMailLikeAHold(t *testing.T) {
	for name, how := range map[string]host{"deferring": deferring, "silent": refusing} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				w.be(how, "a.example")
				id := w.accept("user@a.example")[0]
				time.Sleep(time.Hour) // tried at 0, 5, 15, 35 minutes
				before := len(w.attempts(id))
				w.pause("A.example")
				d, _ := w.now(id)
				if trying, why := w.q.Doing(d); trying || why != "paused by root: their server moves" {
					t.Errorf("trying %v, blocked because %q", trying, why)
				}
				p, ok := w.q.Paused(d)
				if next, _, end := custody.Fate(p.Over(d), quick); !ok || !next.At.IsZero() || !end.At.IsZero() {
					t.Errorf("its fate is %v, %v", next, end)
				}
				late := w.accept("user@a.example")[0]
				time.Sleep(30 * time.Hour) // far behind the deadline of both
				for _, id := range []custody.DeliveryID{id, late} {
					at, why := w.warnings(id)
					if len(at) != 1 || at[0].Sub(w.accepted[id].Accepted.Add(4*time.Hour)) > time.Second || why[0] != "paused by root: their server moves" {
						t.Errorf("warned at %v because %q", at, why)
					}
					if letter := w.told(id); !strings.Contains(letter, "their server moves") || !strings.Contains(letter, "not while it is held") {
						t.Errorf("the warning does not name the pause:\n%s", letter)
					}
					if w.state(id) != custody.Pending {
						t.Errorf("during the pause it became %v", w.state(id))
					}
				}
				if n := len(w.heard("a.example")); n != before {
					t.Errorf("%d tries during the pause", n-before)
				}
				now, _ := w.now(id)
				if !now.Next.Equal(d.Next) || now.Runs != d.Runs || !now.Held.IsZero() {
					t.Errorf("the pause has changed the delivery: %+v", now)
				}
				w.resume("a.example")
				time.Sleep(2 * time.Minute)
				for _, id := range []custody.DeliveryID{id, late} {
					as := w.attempts(id)
					if last := as[len(as)-1].Attempt.Began; w.state(id) != custody.Expired || time.Since(last) > 2*time.Minute {
						t.Errorf("after the resume it is %v, last tried at %v", w.state(id), last)
					}
				}
				if n := len(w.attempts(id)); n != before+1 {
					t.Errorf("%d tries at the resume", n-before)
				}
			})
		})
	}
}

func TestAPauseDoesNotEatTheBackoff(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(deferring, "a.example")
		id := w.accept("user@a.example")[0]
		time.Sleep(16 * time.Minute) // tried at 0, 5, 15; due again at 35
		w.pause("a.example")
		time.Sleep(4 * time.Minute)
		w.resume("a.example") // at 20: nothing fell due
		time.Sleep(14 * time.Minute)
		if n := len(w.attempts(id)); n != 3 {
			t.Errorf("%d tries: what was not due was tried", n)
		}
		w.pause("a.example") // from 34
		time.Sleep(3 * time.Hour)
		w.resume("a.example") // at 214: the one of 35 is made now
		time.Sleep(2 * time.Hour)
		var got []time.Duration
		for _, a := range w.attempts(id)[3:] {
			got = append(got, a.Attempt.Began.Sub(w.accepted[id].Accepted).Round(time.Minute))
		}
		if want := []time.Duration{214 * time.Minute, 254 * time.Minute, 314 * time.Minute}; !slices.Equal(got, want) {
			t.Errorf("tried at %v, want %v", got, want)
		}
	})
}

func TestAfterAPauseMailGoesInOrderAndNotAllAtOnce(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(taking.in(time.Second), "a.example")
		for range 40 {
			w.accept("user@a.example")
		}
		time.Sleep(20 * time.Second) // by now it has many connections
		w.pause("a.example")
		var ids []custody.DeliveryID
		for range 300 { // not so long that the destination is forgotten
			time.Sleep(50 * time.Millisecond)
			ids = append(ids, w.accept("user@a.example")...)
		}
		time.Sleep(time.Second)
		w.resume("a.example")
		back := time.Now()
		time.Sleep(10 * time.Minute)
		got := w.in("a.example", back)
		if len(got) != len(ids) {
			t.Fatalf("%d of %d came", len(got), len(ids))
		}
		out := 0 // what came in the last second was not yet put aside
		for i, id := range got {
			if at := slices.Index(ids, id); max(at-i, i-at) > 20 {
				out++
			}
		}
		if out > 25 {
			t.Errorf("%d of %d came out of turn", out, len(ids))
		}
		ks := slices.DeleteFunc(w.heard("a.example"), func(k knock) bool { return k.at.Before(back) })
		slices.SortFunc(ks, func(a, b knock) int { return a.n - b.n })
		if ks[0].at.Sub(back) > time.Second || ks[1].at.Before(ks[0].end) {
			t.Errorf("resumed at %v, the first tries were %v", back, ks[:2])
		}
		for _, id := range ids {
			if w.handed(id) != 1 {
				t.Errorf("%v was delivered %d times", id, w.handed(id))
			}
		}
	})
}

func TestAPauseOfADomainLeavesItsNeighboursAlone(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		for _, lane := range []string{"a.example", "b.example"} {
			w.way(lane, custody.Way{Site: "smtp:filter"})
		}
		w.be(tarpit, "smtp:filter")
		a, b := w.accept("user@a.example")[0], w.accept("user@b.example")[0]
		var more []custody.DeliveryID
		for range 40 { // at any time of a knock
			time.Sleep(time.Minute)
			more = append(more, w.accept("user@a.example")...)
		}
		time.Sleep(10 * time.Minute)
		w.pause("a.example")
		before := len(w.attempts(a))
		both := w.accept("user@a.example", "user@b.example")
		time.Sleep(13 * time.Hour) // past the deadline
		if w.state(b) != custody.Expired || w.state(a) != custody.Pending || len(w.attempts(a)) != before {
			t.Errorf("a: %v after %d tries, b: %v", w.state(a), len(w.attempts(a)), w.state(b))
		}
		for _, id := range append(more, a, both[0]) {
			if at, _ := w.warnings(id); len(at) != 1 || at[0].Sub(w.accepted[id].Accepted.Add(4*time.Hour)) > time.Second {
				t.Errorf("%v: warned at %v, while its neighbours are tried", id, at)
			}
		}
		if len(w.attempts(both[0])) != 0 || len(w.attempts(both[1])) == 0 {
			t.Errorf("of one message: a tried %d times, b %d times", len(w.attempts(both[0])), len(w.attempts(both[1])))
		}
		w.be(taking, "smtp:filter")
		w.accept("user@b.example")
		w.resume("a.example")
		time.Sleep(2 * time.Minute)
		if w.state(a) != custody.HandedOver || w.state(both[0]) != custody.HandedOver {
			t.Errorf("after the resume: %v, %v", w.state(a), w.state(both[0]))
		}
	})
}

func TestAPauseOfASiteIsForAllThatLeadsThere(t *testing.T) {
	inWorld(t, Options{Pauses: notes{}}, func(w *world) {
		for i := range 50 {
			w.way(domain(i), custody.Way{Site: "smtp:filter limits=5/0/0/0s", Parallel: 5})
		}
		w.accept("user@" + domain(0))
		w.accept("user@else.example")
		time.Sleep(10 * time.Second)
		if _, err := w.q.Pause(w.Context(), Pause{Name: "smtp:other"}, false); !errors.Is(err, ErrNoDestination) {
			t.Errorf("a site that is not known: %v", err)
		}
		w.pause("smtp:filter")
		var ids []custody.DeliveryID
		for i := range 50 {
			ids = append(ids, w.accept("user@"+domain(i))...)
		}
		rerouted := w.accept("user@" + domain(7))[0]
		time.Sleep(time.Hour)
		w.restart()
		time.Sleep(time.Minute)
		for _, id := range ids {
			d, _ := w.now(id)
			if _, why := w.q.Doing(d); !strings.HasPrefix(why, "paused by root") || d.Tries > 0 {
				t.Errorf("%s after a restart: %d tries, %q", d.Domain, d.Tries, why)
			}
		}
		if err := w.order(rerouted, custody.OrderReroute); err != nil {
			t.Fatal(err)
		}
		if err := w.order(ids[3], custody.OrderRetry); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if w.state(rerouted) != custody.HandedOver || w.state(ids[3]) != custody.Pending {
			t.Errorf("rerouted: %v; retried: %v", w.state(rerouted), w.state(ids[3]))
		}
		w.resume("smtp:filter")
		time.Sleep(time.Minute)
		for _, id := range ids {
			if w.state(id) != custody.HandedOver {
				t.Errorf("after the resume %v is %v", id, w.state(id))
			}
		}
	})
}

func TestAResumeThatIsCutShortIsFinishedByTheNextStart(t *testing.T) {
	inWorld(t, Options{Pauses: notes{}}, func(w *world) {
		w.be(deferring, "a.example")
		var ids []custody.DeliveryID
		for range 20 {
			ids = append(ids, w.accept("user@a.example")...)
		}
		time.Sleep(time.Minute)
		w.pause("a.example")
		time.Sleep(time.Hour) // they fell due, and were put aside
		w.be(taking, "a.example")
		w.store.set(errors.New("no step can be stored")) // so that nothing is made due
		w.resume("a.example")
		time.Sleep(time.Second)
		if len(w.in("a.example", time.Now().Add(-time.Minute))) > 0 {
			t.Fatal("they were tried: the test tests nothing")
		}
		w.store.set(nil)
		w.restart()
		time.Sleep(time.Minute)
		for _, id := range ids {
			if w.state(id) != custody.HandedOver {
				t.Errorf("%v is %v", id, w.state(id))
			}
		}
		if all, err := w.o.Pauses.All(); err != nil || len(all) > 0 {
			t.Errorf("still remembered: %v, %v", all, err)
		}
	})
}

func TestAResumeKnocksAtADeadHostAtOnce(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(refusing, "dead.example")
		w.accept("user@dead.example")
		time.Sleep(36 * time.Minute) // knocked at 35; next at 65
		w.pause("dead.example")
		id := w.accept("user@dead.example")[0]
		time.Sleep(time.Minute)
		w.be(taking, "dead.example")
		w.resume("dead.example")
		time.Sleep(5 * time.Second)
		if w.state(id) != custody.HandedOver {
			t.Errorf("what came during the pause is %v", w.state(id))
		}
	})
}

func TestAResumeFindsWhatIsJustBeingPutAside(t *testing.T) {
	for _, n := range []int{1, 800} {
		inWorld(t, Options{}, func(w *world) {
			w.be(deferring, "a.example")
			var ids []custody.DeliveryID
			for range n {
				ids = append(ids, w.accept("user@a.example")...)
			}
			time.Sleep(2 * time.Minute)
			w.pause("a.example")
			time.Sleep(time.Until(w.accepted[ids[0]].Accepted.Add(5*time.Minute)) - time.Second)
			w.be(taking, "a.example")
			w.store.delay(10 * time.Second) // each stroke takes so long
			time.Sleep(5 * time.Second)
			w.resume("a.example")
			time.Sleep(time.Minute)
			w.store.delay(0)
			time.Sleep(10 * time.Minute)
			for _, id := range ids {
				if w.handed(id) != 1 {
					t.Fatalf("of %d one was delivered %d times", n, w.handed(id))
				}
			}
		})
	}
}

func TestAPauseStopsWhatIsReadyToBeTried(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(taking.in(10*time.Second), "a.example")
		var ids []custody.DeliveryID
		for range 200 {
			ids = append(ids, w.accept("user@a.example")...)
		}
		time.Sleep(25 * time.Second)
		w.pause("a.example")
		paused := time.Now()
		time.Sleep(time.Hour)
		ks := w.heard("a.example")
		if len(ks) == 0 || len(ks) > 100 {
			t.Fatalf("%d tries: the test tests nothing", len(ks))
		}
		for _, k := range ks {
			if k.at.After(paused) {
				t.Errorf("a try began %v after the pause", k.at.Sub(paused))
			}
		}
		w.resume("a.example")
		time.Sleep(10 * time.Minute)
		for _, id := range ids {
			if w.handed(id) != 1 {
				t.Errorf("%v was delivered %d times", id, w.handed(id))
			}
		}
	})
}

func TestMailWithoutAWayIsKeptByAPauseToo(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		no := custody.Outcome{Stage: mail.Route, Permanent: true, Reply: mail.Reply{Text: "no such domain"}}
		w.pause("no.example")
		w.way("no.example", custody.Way{None: &no})
		id := w.accept("user@no.example")[0]
		time.Sleep(13 * time.Hour)
		if w.state(id) != custody.Pending || len(w.attempts(id)) > 0 {
			t.Errorf("%v after %d tries", w.state(id), len(w.attempts(id)))
		}
		if at, _ := w.warnings(id); len(at) != 1 || at[0].Sub(w.accepted[id].Accepted.Add(4*time.Hour)) > time.Second {
			t.Errorf("warned at %v", at)
		}
		w.resume("no.example")
		time.Sleep(5 * time.Second)
		if w.state(id) != custody.Refused {
			t.Errorf("after the resume it is %v", w.state(id))
		}
	})
}

// A tarpit keeps a try that began in the pause until after the resume.
func TestAnAttemptOfANeighbourInAPauseIsNoneOfWhatWasPaused(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		for _, lane := range []string{"a.example", "b.example"} {
			w.way(lane, custody.Way{Site: "smtp:filter", Parallel: 1})
		}
		w.be(taking.in(10*time.Second), "smtp:filter")
		var ids []custody.DeliveryID
		for range 5 {
			w.accept("user@b.example")
		}
		for range 100 {
			ids = append(ids, w.accept("user@a.example")...)
		}
		time.Sleep(15 * time.Second)
		w.pause("a.example")
		from := time.Now()
		w.be(tarpit, "smtp:filter")
		time.Sleep(100 * time.Second)
		w.resume("a.example")
		to := time.Now()
		time.Sleep(time.Hour)
		shared := 0
		for _, id := range ids {
			for _, a := range w.attempts(id) {
				if began := a.Attempt.Began; began.After(from) && began.Before(to) {
					t.Errorf("%v was tried at %v, in the pause", id, began)
				} else if a.Attempt.Shared {
					shared++
				}
			}
		}
		if shared == 0 {
			t.Error("no knock was shared: the test tests nothing")
		}
	})
}

func TestWhichAttemptsAreNoneOfWhatWasPaused(t *testing.T) {
	began := time.Now()
	q := New(Options{})
	q.pauses = map[string]*Pause{"a.example": {}, "smtp:filter": {Site: true}, "smtp:domain": {}}
	q.over = map[string]time.Time{"b.example": began.Add(time.Second), "c.example": began, "mx:x": began.Add(time.Second)}
	for _, c := range []struct {
		lane, site string
		want       bool
	}{
		{"a.example", "mx:y", true}, {"d.example", "mx:y", false}, {"d.example", "smtp:filter", true}, {"d.example", "smtp:filter tls=verify", true},
		{"d.example", "smtp:filter then smtp:other", false}, {"d.example", "smtp:domain", false}, // a lane of that name is paused, no site
		{"b.example", "mx:y", true}, {"c.example", "mx:y", false}, {"d.example", "mx:x limits=1/0/0/0s", true},
	} {
		if got := q.spared(c.lane, c.site, began); got != c.want {
			t.Errorf("%s by %s: %v", c.lane, c.site, got)
		}
	}
}

func TestOrdersGoThroughAPause(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(deferring, "a.example")
		ids := w.accept("1@a.example", "2@a.example", "3@a.example")
		time.Sleep(time.Minute)
		w.pause("a.example")
		if err := w.order(ids[0], custody.OrderGiveUp, 0); err != nil {
			t.Error(err)
		}
		if err := w.order(ids[0], custody.OrderHold, 1); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if err := w.order(ids[0], custody.OrderWarn); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if letter := w.told(ids[0]); !strings.Contains(letter, "their server moves") {
			t.Errorf("an ordered warning does not name the pause:\n%s", letter)
		}
		w.be(taking, "a.example")
		time.Sleep(time.Hour)
		w.resume("a.example")
		time.Sleep(time.Minute)
		h, err := w.store.History(t.Context(), ids[0].Message)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, row := range h.Deliveries {
			for _, c := range row.Delivery.Own() {
				got[c.Address.Local] = fmt.Sprint(c.State, " held ", !row.Delivery.Held.IsZero())
			}
		}
		for who, want := range map[string]string{"1": "expired held false", "2": "pending held true", "3": "handed-over held false"} {
			if got[who] != want {
				t.Errorf("%s is %s, want %s", who, got[who], want)
			}
		}
	})
}

func TestReloadLeavesWhatIsPausedAlone(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(deferring, "a.example")
		id := w.accept("user@a.example")[0]
		time.Sleep(time.Minute)
		w.pause("a.example")
		time.Sleep(time.Hour)
		moved := -1
		if err := w.q.Reload(t.Context(), func(_, m int) { moved = m }); err != nil || moved != 0 {
			t.Errorf("nothing has changed, %d moved, %v", moved, err)
		}
		w.mu.Lock()
		w.schedule.Warn = []time.Duration{90 * time.Minute}
		w.mu.Unlock()
		if err := w.q.Reload(t.Context(), nil); err != nil {
			t.Error(err)
		}
		time.Sleep(30 * time.Minute)
		if at, _ := w.warnings(id); len(at) != 1 || at[0].Sub(w.accepted[id].Accepted) > 90*time.Minute+time.Second {
			t.Errorf("warned at %v by the new schedule", at)
		}
	})
}

func TestPausesThatCannotBe(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		order := func(name string) error {
			_, err := w.q.Pause(t.Context(), Pause{Name: name, By: "root"}, true)
			return err
		}
		if err := order("free.example"); err != nil {
			t.Errorf("a domain for which nothing waits: %v", err)
		}
		w.accept("user@a.example")
		time.Sleep(5 * time.Second)
		w.pause("a.example")
		for name, want := range map[string]error{"a.example": ErrPaused, "A.EXAMPLE": ErrPaused, "": ErrNoDestination, "no domain": ErrNoDestination, "mx:nobody;x": ErrNoDestination, "\x1b[31m": ErrNoDestination} {
			if err := order(name); !errors.Is(err, want) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("pause %q: %v", name, err)
			}
		}
		for _, name := range []string{"b.example", "", "\x1b[31m"} {
			if _, err := w.q.Resume(t.Context(), name, "root", false); !errors.Is(err, ErrNotPaused) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("resume %q: %v", name, err)
			}
		}
		if _, err := w.q.Resume(t.Context(), "a.example", "root", true); err != nil {
			t.Errorf("a dry resume: %v", err)
		}
		if d := (custody.Delivery{Domain: "a.example"}); w.pauses(d) != "paused by root: their server moves" || w.pauses(custody.Delivery{Domain: "free.example"}) != "" {
			t.Error("a dry run has done something")
		}
	})
}

// pauses is what a delivery's destination is paused by.
func (w *world) pauses(d custody.Delivery) string {
	if p, ok := w.q.Paused(d); ok {
		return p.String()
	}
	return ""
}

// act is one thing that happens in TestTheLawOfAPause, and how long before it nothing
// does.
type act struct {
	wait time.Duration
	what int // 0: a host changes; 1: restart; 2 to 5: pause, or resume; else: mail comes
	name string
	lane string
	host host
}

// TestTheLawOfAPause draws hosts, mail and pauses: nothing begins and nothing ends
// while a destination is paused, every warning goes out at its age, and what fell due
// meanwhile is tried when the pause is over.
func TestTheLawOfAPause(t *testing.T) {
	bad := rapid.SampledFrom([]host{refusing, deferring, tarpit})
	lanes := []string{"a.example", "b.example", "c.example"}
	acts := rapid.Custom(func(r *rapid.T) act {
		return act{
			wait: time.Duration(rapid.IntRange(1, 200).Draw(r, "minutes")) * time.Minute,
			what: rapid.IntRange(0, 9).Draw(r, "what"), host: bad.Draw(r, "host"),
			name: rapid.SampledFrom(append(lanes, "smtp:filter")).Draw(r, "name"),
			lane: rapid.SampledFrom(lanes).Draw(r, "lane"),
		}
	})
	rapid.Check(t, func(r *rapid.T) {
		script := rapid.SliceOfN(acts, 3, 18).Draw(r, "script")
		one, other := bad.Draw(r, "one"), bad.Draw(r, "other")
		last := time.Duration(rapid.IntRange(1, 1000).Draw(r, "minutes in the end")) * time.Minute
		inWorld(t, Options{Pauses: notes{}}, func(w *world) { w.live(script, one, other, last).check(r) })
	})
}

// span is a time during which something was paused.
type span struct{ from, to time.Time }

// lived is what a script has led to.
type lived struct {
	*world
	off      map[string][]span // by what was paused
	lane     map[custody.DeliveryID]string
	restarts []time.Time
}

// live plays a script, resumes what is paused in the end, and waits.
func (w *world) live(script []act, one, other host, last time.Duration) *lived {
	v := &lived{world: w, off: map[string][]span{}, lane: map[custody.DeliveryID]string{}}
	w.schedule.Warn = []time.Duration{2 * time.Hour, 5 * time.Hour}
	w.way("a.example", custody.Way{Site: "smtp:filter"})
	w.way("b.example", custody.Way{Site: "smtp:filter"})
	w.be(one, "smtp:filter")
	w.be(other, "c.example")
	since := map[string]time.Time{}
	resume := func(name string) {
		w.resume(name)
		v.off[name] = append(v.off[name], span{since[name], time.Now()})
		delete(since, name)
	}
	for _, a := range script {
		time.Sleep(a.wait)
		switch a.what {
		case 0:
			w.be(a.host, "smtp:filter", "c.example")
		case 1:
			v.restarts = append(v.restarts, time.Now())
			w.restart()
		case 2, 3, 4, 5:
			if _, ok := since[a.name]; ok {
				resume(a.name)
			} else if _, err := w.q.Pause(w.Context(), Pause{Name: a.name, By: "root"}, false); err == nil {
				since[a.name] = time.Now()
			} else if !errors.Is(err, ErrNoDestination) {
				w.Errorf("pause %s: %v", a.name, err)
			}
		default:
			v.lane[w.accept("user@" + a.lane)[0]] = a.lane
		}
	}
	time.Sleep(last)
	for name := range since {
		resume(name)
	}
	time.Sleep(20 * time.Hour)
	return v
}

// restartMost is how long a restart takes while an attempt is under way.
const restartMost = 11 * time.Second

// check compares what happened with the law.
func (v *lived) check(r *rapid.T) {
	behind := map[string][]string{"a.example": {"a.example", "smtp:filter"}, "b.example": {"b.example", "smtp:filter"}, "c.example": {"c.example"}}
	for id, lane := range v.lane {
		var off []span // when its destination was paused
		for _, name := range behind[lane] {
			off = append(off, v.off[name]...)
		}
		d, left := v.now(id)
		tries := v.attempts(id)
		if d.Rcpts[0].State != custody.Expired || d.Tries != len(tries) || len(tries) == 0 {
			r.Errorf("%v is %v, counts %d tries and made %d", id, d.Rcpts[0].State, d.Tries, len(tries))
			continue
		}
		for _, a := range tries {
			if slices.ContainsFunc(off, func(s span) bool { return a.Attempt.Began.After(s.from) && a.Attempt.Began.Before(s.to) }) {
				r.Errorf("%v was tried at %v, in a pause: %v", id, a.Attempt.Began, off)
			}
		}
		end := d.Accepted.Add(quick.Expire)
		if last := tries[len(tries)-1]; last.At.Before(end) {
			r.Errorf("%v ended by a try before its deadline", id)
		}
		// A last knock may take as long as a tarpit, the next one comes a minute later.
		// A restart cuts an attempt short, which is then made again.
		slack := 2*tarpit.takes + 2*knockLeast
		for _, at := range v.restarts {
			if at.After(end.Add(-restartMost)) && at.Before(left) {
				slack += restartMost
			}
		}
		over := end
		slices.SortFunc(off, func(a, b span) int { return a.from.Compare(b.from) })
		for _, s := range off {
			if s.to.After(over) && !s.from.After(over.Add(slack)) {
				over = s.to
			}
		}
		if late := left.Sub(over); late > slack {
			r.Errorf("%v ended %v after it was free to, accepted %v, paused %v", id, late, d.Accepted, off)
		}
		at, _ := v.warnings(id)
		if len(at) != 2 {
			r.Errorf("%v: %d warnings", id, len(at))
			continue
		}
		for i, at := range at {
			// An attempt under way is waited for, and one that a restart cuts short is
			// made again; in a pause there is none.
			want, most := d.Accepted.Add(v.schedule.Warn[i]), 3*tarpit.takes
			if slices.ContainsFunc(off, func(s span) bool { return want.After(s.from.Add(2*tarpit.takes)) && want.Before(s.to) }) {
				most = restartMost
			}
			if late := at.Sub(want); late < 0 || late > most {
				r.Errorf("%v: warning %d came %v late, paused %v", id, i, late, off)
			}
		}
	}
}

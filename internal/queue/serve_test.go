package queue

import (
	"testing"
	"time"
)

// idle fails where the counts of attempts under way are not those of an idle queue.
func (w *world) idle() {
	w.Helper()
	w.q.mu.Lock()
	defer w.q.mu.Unlock()
	if w.q.active != 0 || w.q.patient != 0 || w.q.unproven != 0 {
		w.Errorf("idle: %d active, %d patient, %d unproven", w.q.active, w.q.patient, w.q.unproven)
	}
}

// The end of an attempt and the end of patience may be the same moment.
func TestAWorkerIsCountedOnce(t *testing.T) {
	inWorld(t, Options{Connections: 20, PerSite: 2}, func(w *world) {
		for i := range 20 {
			w.be(taking.in(patience), domain(i))
			for range 50 {
				w.accept("user@" + domain(i))
			}
		}
		time.Sleep(30 * time.Minute)
		w.idle()
	})
}

func TestADestinationWaitsForOnePlaceAtATime(t *testing.T) {
	inWorld(t, Options{Connections: 4, PerSite: 4}, func(w *world) {
		for i := range 4 {
			w.be(taking.in(500*time.Millisecond), domain(i))
			for range 100 {
				w.accept("user@" + domain(i))
			}
		}
		for range 50 {
			time.Sleep(time.Second)
			w.q.mu.Lock()
			n := len(w.q.hungry)
			w.q.mu.Unlock()
			if n > 4 {
				t.Fatalf("four destinations stand in a line of %d", n)
			}
		}
		time.Sleep(time.Minute)
		w.idle()
	})
}

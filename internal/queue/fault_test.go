package queue

import (
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
)

func TestAFaultOfOursHoldsUpItsOwnMailOnly(t *testing.T) {
	for _, in := range []string{"look-up", "attempt"} {
		t.Run(in, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				w.be(host{fault: in}, "a.example")
				id, other := w.accept("user@a.example")[0], w.accept("user@b.example")[0]
				time.Sleep(time.Hour)
				if w.handed(other) != 1 {
					t.Error("other mail is held up")
				}
				tries := w.attempts(id)
				if len(tries) < 2 || w.state(id) != custody.Pending {
					t.Fatalf("after %d tries it is %v", len(tries), w.state(id))
				}
				if o := tries[0].Attempt.Outcomes[0]; o.Trouble != custody.Ours || !strings.Contains(o.Reply.Text, "fault") {
					t.Errorf("it met %+v", o)
				}
				w.be(taking, "a.example")
				if err := w.order(id, custody.OrderRetry); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Minute)
				if w.handed(id) != 1 {
					t.Error("it is not delivered when the fault is mended")
				}
			})
		})
	}
}

func TestALetterThatCannotBeWrittenHoldsUpItsOwnMailOnly(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(rejecting, "faulty.example", "b.example")
		id, other := w.accept("user@faulty.example")[0], w.accept("user@b.example")[0]
		time.Sleep(time.Minute)
		if w.letter(other.Message) == "" {
			t.Error("nobody is told of other mail")
		}
		if _, why := w.q.Doing(custody.Delivery{ID: id, Domain: "faulty.example"}); !strings.Contains(why, "a fault in a letter") || strings.Contains(why, "\n") {
			t.Errorf("it is left alone because: %q", why)
		}
		if n := len(w.attempts(id)); n != 0 || w.state(id) != custody.Pending {
			t.Errorf("%d tries are stored, it is %v: its sender is not told", n, w.state(id))
		}
		if err := w.order(id, custody.OrderRemove); err == nil {
			t.Error("an order is carried out on what is left alone")
		}
	})
}

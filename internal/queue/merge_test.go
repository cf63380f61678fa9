package queue

import (
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
)

// many are recipients at as many domains.
func many(n int) (to []string) {
	for i := range n {
		to = append(to, "user@"+domain(i))
	}
	return to
}

// TestTheMergedLetterLivesFromWhenItIsWritten: what it tells of may be older than
// a letter lives.
func TestTheMergedLetterLivesFromWhenItIsWritten(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		for i := range lettersMost + 1 {
			w.be(rejecting, domain(i))
		}
		w.be(deferring, domain(lettersMost+1))
		ids := w.accept(many(lettersMost + 2)...)
		last := ids[lettersMost+1]
		time.Sleep(time.Second)
		if err := w.order(last, custody.OrderHold); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Hour) // longer than the schedule keeps mail
		w.be(deferring, "sender.example")
		w.be(taking, domain(lettersMost+1))
		if err := w.order(last, custody.OrderRelease); err != nil {
			t.Fatal(err)
		}
		closed := time.Now()
		time.Sleep(time.Minute)
		w.be(taking, "sender.example")
		time.Sleep(time.Hour)
		if l := w.letter(last.Message); !strings.Contains(l, "\r\nDate: "+closed.Format(mail.DateTime)) {
			t.Errorf("the letter about what was saved:\n%s", l)
		}
	})
}

// TestTheMergedLetterTellsWhoEndedWhat, and what was long over when it was written.
func TestTheMergedLetterTellsWhoEndedWhat(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		for i := range lettersMost + 2 {
			w.be(deferring, domain(i))
		}
		ids := w.accept(many(lettersMost + 2)...)
		time.Sleep(time.Minute)
		for _, id := range ids[:lettersMost+1] {
			if err := w.order(id, custody.OrderGiveUp); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(13 * time.Hour)
		if l := w.letter(ids[0].Message); strings.Contains(l, "next server") {
			t.Errorf("the domains' own hosts are called others:\n%s", l)
		}
		l := strings.Join(strings.Fields(w.letter(ids[0].Message)), " ")
		for _, want := range []string{
			"An operator of this server (an operator) ended the delivery.", "Given up by order of an operator on ",
			"then gave up.", "Given up by this server's clock",
		} {
			if strings.Count(l, want) != 1 {
				t.Errorf("%d times %q in\n%s", strings.Count(l, want), want, w.letter(ids[0].Message))
			}
		}
	})
}

// TestNoWarningAfterTenLetters: but an operator's order is obeyed, and the timeline
// says what was not written.
func TestNoWarningAfterTenLetters(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		const n = lettersMost + 2
		for i := range n {
			w.be(deferring, domain(i))
		}
		ids := w.accept(many(n)...)
		time.Sleep(5 * time.Hour) // a warning is due after 4
		untold := map[custody.DeliveryID]bool{}
		letters := func() (written int) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, s := range w.seen {
				for _, e := range watch.Events(s.entry, s.item.Delivery.Rcpts) {
					switch {
					case e.Kind != watch.Warned:
					case e.Untold:
						untold[s.item.Delivery.ID] = true
						if e.Why == "" || len(e.Letters) > 0 {
							t.Errorf("not told, and the timeline says %+v", e)
						}
					default:
						written += len(e.Letters)
					}
				}
			}
			return written
		}
		if written := letters(); written != lettersMost || len(untold) != n-lettersMost {
			t.Errorf("%d warnings were written, %d were not", written, len(untold))
		}
		for _, id := range ids {
			if untold[id] {
				if err := w.order(id, custody.OrderWarn); err != nil {
					t.Fatal(err)
				}
			}
		}
		if written := letters(); written != n {
			t.Errorf("%d warnings after the order, want %d", written, n)
		}
	})
}

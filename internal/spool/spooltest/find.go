package spooltest

import (
	"slices"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
)

func findFilters(t *testing.T, w *world) {
	w.start(t)
	var held custody.DeliveryID
	for i := range 40 {
		m, ds := Message(i, []string{"a.example", "b.example"}[i%2], "c.example")
		w.commit(t, m, ds, nil)
		switch {
		case i%4 == 0:
			w.settle(t, tried(ds[0], Base.Add(time.Hour)))
		case i == 3:
			ds[0].Held = custody.Hold{Since: Base, By: "ann"}
			held = ds[0].ID
			w.settle(t, spool.Step{Delivery: ds[0]})
		case i%4 == 1:
			w.settle(t, handed(ds[0]))
		}
	}
	m7, _ := Message(7)
	one := custody.DeliveryID{Message: m7.ID, N: 2}
	for _, c := range []struct {
		name string
		q    spool.Query
		want int
	}{
		{"all", spool.Query{}, 70},
		{"departed too", spool.Query{Departed: true}, 80},
		{"message", spool.Query{ID: m7.ID.String()}, 2},
		{"delivery", spool.Query{ID: one.String()}, 1},
		{"Message-ID", spool.Query{MessageID: "ID5@example.org"}, 1},
		{"Message-ID, departed", spool.Query{MessageID: "id5@example.org", Departed: true}, 2},
		{"no Message-ID", spool.Query{MessageID: "id5"}, 0},
		{"from", spool.Query{From: "Sender3@Example.ORG", Departed: true}, 12},
		{"from domain", spool.Query{From: "@example.org", Departed: true}, 80},
		{"from none", spool.Query{From: "sender3@example.com"}, 0},
		{"to", spool.Query{To: "rcpt1@C.example", Departed: true}, 8},
		{"to domain", spool.Query{To: "@c.example"}, 40},
		{"domain", spool.Query{Domain: "b.example", Departed: true}, 20},
		{"domain, waiting", spool.Query{Domain: "b.example"}, 10},
		{"held", spool.Query{State: "held"}, 1},
		{"not held", spool.Query{State: "waiting", Departed: true}, 69},
		{"reply", spool.Query{Reply: "4.3.0 come again"}, 10},
		{"before", spool.Query{Before: Base.Add(10 * time.Second), Departed: true}, 20},
		{"limit", spool.Query{Limit: 5}, 5},
		{"together", spool.Query{From: "@example.org", To: "@a.example", Reply: "COME", Before: Base.Add(9 * time.Second)}, 3},
	} {
		rows := w.find(t, c.q)
		if len(rows) != c.want {
			t.Errorf("%s: %d found, want %d", c.name, len(rows), c.want)
		}
		inOrder(t, c.name, rows)
	}
	if rows := w.find(t, spool.Query{State: "held"}); len(rows) != 1 || rows[0].Delivery.ID != held {
		t.Errorf("held: %v", rows)
	}
	if rows := w.find(t, spool.Query{ID: one.String()}); len(rows) != 1 || rows[0].Delivery.ID != one {
		t.Errorf("delivery: %v", rows)
	}
	for _, err := range w.Find(ctx, spool.Query{ID: "nonsense"}) {
		if err == nil {
			t.Error("a query for nonsense found something")
		}
	}
}

// What was said to a recipient that is no longer ours finds nothing that waits.
func findReplies(t *testing.T, w *world) {
	w.start(t)
	m, _ := Message(1, "a.example")
	bob, carl := mail.Address{Local: "bob", Domain: "a.example"}, mail.Address{Local: "carl", Domain: "a.example"}
	d := custody.NewDelivery(m, 1, "a.example", []mail.Recipient{{Address: bob}, {Address: carl}})
	w.commit(t, m, []custody.Delivery{d}, nil)
	waits := tried(d, Base.Add(time.Hour))
	waits.Delivery.Rcpts[1].State = custody.Refused
	waits.Delivery.Rcpts[1].Last.Reply = mail.Reply{Code: 550, Status: mail.Status{5, 1, 1}, Text: "User unknown"}
	left := handed(d)
	left.Delivery.Rcpts[1] = waits.Delivery.Rcpts[1]
	for _, c := range []struct {
		name          string
		step          spool.Step
		come, unknown int
	}{{"one waits", waits, 1, 0}, {"all have left", left, 1, 1}} {
		w.settle(t, c.step)
		for reply, want := range map[string]int{"come again": c.come, "user unknown": c.unknown} {
			if rows := w.find(t, spool.Query{Reply: reply, Departed: true}); len(rows) != want {
				t.Errorf("%s, %q: %d found, want %d", c.name, reply, len(rows), want)
			}
		}
	}
}

func compare(a, b custody.DeliveryID) int {
	if c := slices.Compare(a.Message[:], b.Message[:]); c != 0 {
		return c
	}
	return int(a.N) - int(b.N)
}

// inOrder: waiting ones by id, then departed ones, newest first.
func inOrder(t *testing.T, name string, rows []spool.Row) {
	t.Helper()
	if !slices.IsSortedFunc(rows, func(a, b spool.Row) int {
		switch {
		case a.Left.IsZero() && b.Left.IsZero():
			return compare(a.Delivery.ID, b.Delivery.ID)
		case a.Left.IsZero() != b.Left.IsZero():
			if a.Left.IsZero() {
				return -1
			}
			return 1
		case !a.Left.Equal(b.Left):
			return b.Left.Compare(a.Left)
		}
		return compare(b.Delivery.ID, a.Delivery.ID)
	}) {
		t.Errorf("%s: not in order", name)
	}
}

func findPages(t *testing.T, w *world) {
	w.start(t)
	for i := range 30 {
		m, ds := Message(i, "a.example", "b.example")
		w.commit(t, m, ds, nil)
		if i%3 == 0 {
			w.settle(t, handed(ds[i%2]))
		}
	}
	for _, q := range []spool.Query{{}, {Departed: true}, {To: "@a.example", Departed: true}, {From: "sender1@example.org", Departed: true}} {
		want := w.find(t, q)
		var got []spool.Row
		for q.Limit = 7; ; {
			page := w.find(t, q)
			got = append(got, page...)
			if len(page) < 7 {
				break
			}
			q = behind(q, page)
		}
		same(t, "pages", got, want)
	}
	// Whoever stops reading gets no more.
	for range w.Find(ctx, spool.Query{}) {
		break
	}
}

// behind asks for the page that follows.
func behind(q spool.Query, page []spool.Row) spool.Query {
	last := page[len(page)-1]
	q.After, q.AfterLeft = last.Delivery.ID, last.Left
	return q
}

// What was shown last may leave before the next page is asked for: nothing that waits is
// passed over, and what had left is followed by what left before it.
func findPagesWhileMailLeaves(t *testing.T, w *world) {
	w.start(t)
	var all []custody.Delivery
	for i := range 12 {
		m, ds := Message(i, "a.example")
		w.commit(t, m, ds, nil)
		all = append(all, ds[0])
	}
	w.settle(t, handed(all[10]))
	w.settle(t, handed(all[11]))
	for i, q := range []spool.Query{{Departed: true}, {To: "@a.example", Departed: true}} {
		q.Limit = 4
		page := w.find(t, q)
		w.settle(t, handed(page[3].Delivery))
		got := page
		for len(page) == q.Limit {
			q = behind(q, page)
			page = w.find(t, q)
			got = append(got, page...)
		}
		waited := 0
		for _, r := range got {
			if r.Left.IsZero() {
				waited++
			}
		}
		if last := got[len(got)-1].Delivery.ID; waited != 10-i || last != all[10].ID {
			t.Errorf("%+v: of %d that waited %d are shown; the last is %s", q, 10-i, waited, last)
		}
	}
}

func prune(t *testing.T, w *world) {
	w.start(t)
	m, ds := Message(1, "a.example")
	half, halfDs := Message(2, "a.example", "b.example")
	w.commit(t, m, ds, nil)
	w.commit(t, half, halfDs, nil)
	w.settle(t, handed(ds[0]), handed(halfDs[0]))
	cut := time.Now()
	time.Sleep(time.Microsecond)
	late, lateDs := Message(3, "a.example", "b.example")
	w.commit(t, late, lateDs, nil)
	w.settle(t, handed(lateDs[0]), handed(lateDs[1]))
	for range 2 {
		if err := w.Prune(ctx, cut); err != nil {
			t.Fatal(err)
		}
		_, err := w.History(ctx, m.ID)
		isUnknown(t, "history", err)
		if es, err := w.Entries(ctx, m.ID); err != nil || len(es) != 0 {
			t.Errorf("entries %v, %v", es, err)
		}
		for _, id := range []custody.ID{half.ID, late.ID} {
			if h, err := w.History(ctx, id); err != nil || len(h.Deliveries) != 2 {
				t.Errorf("history %+v, %v", h, err)
			}
		}
		if n := len(w.find(t, spool.Query{Departed: true})); n != 4 {
			t.Errorf("%d found, want 4", n)
		}
		if n := len(w.find(t, spool.Query{MessageID: "id1@example.org", Departed: true})); n != 0 {
			t.Errorf("found what was pruned")
		}
		w.restart(t)
	}
	w.settle(t, handed(halfDs[1]))
	if err := w.Prune(ctx, time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	same(t, "all", w.find(t, spool.Query{Departed: true}), []spool.Row(nil))
	w.commit(t, m, ds, nil) // as if it had never been
}

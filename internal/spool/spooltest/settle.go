package spooltest

import (
	"errors"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

func settleMoves(t *testing.T, w *world) {
	w.start(t)
	m1, ds1 := Message(1, "a.example")
	m2, ds2 := Message(2, "a.example")
	w.commit(t, m1, ds1, nil)
	w.commit(t, m2, ds2, nil)
	st := tried(ds1[0], Base.Add(time.Hour))
	w.settle(t, st)
	same(t, "lanes", w.lanes(t, time.Time{}, 9), []spool.Lane{{Name: "a.example", Wake: ds2[0].Next}})
	st2 := tried(ds2[0], Base.Add(30*time.Minute))
	w.settle(t, st2)
	for range 2 {
		same(t, "lanes", w.lanes(t, time.Time{}, 9), []spool.Lane{{Name: "a.example", Wake: Base.Add(30 * time.Minute)}})
		same(t, "due", w.due(t, "a.example", Base.Add(time.Hour), 9), []spool.Item{
			{Message: m2, Delivery: st2.Delivery, Wake: st2.Wake}, {Message: m1, Delivery: st.Delivery, Wake: st.Wake},
		})
		w.restart(t)
	}
	// Another lane, and no wake at all.
	st.Delivery.Via, st.Entries = "filter:25", nil
	st2.Delivery.Held, st2.Wake, st2.Entries = custody.Hold{Since: Base, By: "ann", Why: "wait"}, time.Time{}, nil
	w.settle(t, st, st2)
	for range 2 {
		same(t, "lanes", w.lanes(t, time.Time{}, 9), []spool.Lane{{Name: "filter:25", Wake: st.Wake}})
		same(t, "due", w.due(t, "a.example", Base.Add(24*time.Hour), 9), []spool.Item(nil))
		it, err := w.Item(ctx, ds2[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "held", it, spool.Item{Message: m2, Delivery: st2.Delivery})
		w.restart(t)
	}
	w.settle(t, handed(st.Delivery), handed(st2.Delivery))
	same(t, "lanes", w.lanes(t, time.Time{}, 9), []spool.Lane(nil))
}

func closed(t *testing.T, w *world) {
	w.start(t)
	m, ds := Message(1, "a.example", "b.example")
	w.commit(t, m, ds, []byte("hello"))
	first := tried(ds[0], Base.Add(time.Hour))
	w.settle(t, first)
	last := handed(first.Delivery)
	before := time.Now()
	w.settle(t, last)
	equalBytes(t, "body", w.body(t, m.ID), []byte("hello"))
	other := handed(ds[1])
	w.settle(t, other)
	_, err := w.Body(ctx, m.ID)
	isUnknown(t, "body", err)
	_, err = w.Item(ctx, ds[0].ID)
	isUnknown(t, "item", err)
	for range 2 {
		h, err := w.History(ctx, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "entries", h.Entries, append(append(first.Entries, last.Entries...), other.Entries...))
		if len(h.Deliveries) != 2 {
			t.Fatalf("%d deliveries", len(h.Deliveries))
		}
		for i, want := range []custody.Delivery{last.Delivery, other.Delivery} {
			r := h.Deliveries[i]
			same(t, "delivery", r.Item, spool.Item{Message: m, Delivery: want})
			if r.Left.Before(before) || r.Left.After(time.Now()) {
				t.Errorf("left %v", r.Left)
			}
		}
		same(t, "waiting", w.find(t, spool.Query{}), []spool.Row(nil))
		same(t, "departed", w.find(t, spool.Query{Departed: true}), []spool.Row{h.Deliveries[1], h.Deliveries[0]})
		w.restart(t)
	}
}

func split(t *testing.T, w *world) {
	w.start(t)
	m, ds := Message(1, "a.example")
	ds[0].Rcpts = append(ds[0].Rcpts, ds[0].Rcpts[0])
	ds[0].Rcpts[1].Address.Local = "second"
	w.commit(t, m, ds, []byte("hello"))
	rest, part := custody.Split(ds[0], []int{1}, 2)
	part.Via = "filter:25"
	w.settle(t, spool.Step{Delivery: rest, Wake: rest.Next, Split: []spool.Split{{Item: spool.Item{Message: m, Delivery: part, Wake: Base.Add(time.Hour)}}}})
	for range 2 {
		same(t, "lanes", w.lanes(t, time.Time{}, 9), []spool.Lane{{Name: "a.example", Wake: rest.Next}, {Name: "filter:25", Wake: Base.Add(time.Hour)}})
		same(t, "part", w.due(t, "filter:25", Base.Add(time.Hour), 9), []spool.Item{{Message: m, Delivery: part, Wake: Base.Add(time.Hour)}})
		w.restart(t)
	}
	errs := w.Settle(ctx, []spool.Step{{Delivery: rest, Wake: Base, Split: []spool.Split{{Item: spool.Item{Message: m, Delivery: part, Wake: Base}}}}})
	if len(errs) != 1 || errs[0] == nil {
		t.Errorf("a split into a delivery that exists: %v", errs)
	}
	w.settle(t, handed(rest))
	equalBytes(t, "body", w.body(t, m.ID), []byte("hello"))
	w.settle(t, handed(part))
	_, err := w.Body(ctx, m.ID)
	isUnknown(t, "body", err)
	h, err := w.History(ctx, m.ID)
	if err != nil || len(h.Deliveries) != 2 || len(h.Entries) != 2 {
		t.Errorf("history %+v, %v", h, err)
	}
	// One that is settled in the same step goes to the history at once.
	m, ds = Message(2, "a.example")
	w.commit(t, m, ds, nil)
	part = ds[0]
	part.ID.N = 2
	w.settle(t, spool.Step{Delivery: ds[0], Wake: ds[0].Next, Split: []spool.Split{{Item: spool.Item{Message: m, Delivery: part}, Closed: true}}})
	_, err = w.Item(ctx, part.ID)
	isUnknown(t, "item", err)
	h, err = w.History(ctx, m.ID)
	if err != nil || len(h.Deliveries) != 2 || h.Deliveries[1].Left.IsZero() || w.Health(ctx).Waiting != 1 {
		t.Errorf("history %+v, %v, %+v", h, err, w.Health(ctx))
	}
}

func letters(t *testing.T, w *world) {
	w.start(t)
	m, ds := Message(1, "a.example")
	w.commit(t, m, ds, []byte("hello"))
	<-w.Fresh()
	lm, lds := Message(2, "example.org")
	lm.Envelope.From.Local, lm.Envelope.From.Domain = "", ""
	lm.Came = custody.Came{Notice: custody.Failed, About: m.ID}
	lds[0].From = lm.Envelope.From
	st := handed(ds[0])
	st.Entries[0].Letters = []custody.ID{lm.ID}
	notice := Bytes(40_000, 7)
	st.Letters = []spool.Letter{{Message: lm, Deliveries: lds, Body: notice}}
	w.settle(t, st)
	f := <-w.Fresh()
	same(t, "fresh", f.Items, []spool.Item{{Message: lm, Delivery: lds[0], Wake: lds[0].Next}})
	for range 2 {
		equalBytes(t, "letter", w.body(t, lm.ID), notice)
		same(t, "due", w.due(t, "example.org", lds[0].Next, 9), f.Items)
		w.restart(t)
	}
	w.settle(t, handed(lds[0]))
	_, err := w.Body(ctx, lm.ID)
	isUnknown(t, "body", err)
}

func unknownSteps(t *testing.T, w *world) {
	w.start(t)
	m, ds := Message(1, "a.example")
	gone, goneDs := Message(2, "a.example")
	w.commit(t, m, ds, nil)
	w.commit(t, gone, goneDs, nil)
	w.settle(t, handed(goneDs[0]))
	_, never := Message(3, "a.example")
	lm, lds := Message(4, "example.org")
	again := handed(goneDs[0])
	again.Letters = []spool.Letter{{Message: lm, Deliveries: lds, Body: []byte("x")}}
	errs := w.Settle(ctx, []spool.Step{again, tried(ds[0], Base.Add(time.Hour)), handed(never[0])})
	if len(errs) != 3 || !errors.Is(errs[0], spool.ErrUnknown) || errs[1] != nil || !errors.Is(errs[2], spool.ErrUnknown) {
		t.Errorf("errors %v", errs)
	}
	_, err := w.History(ctx, lm.ID)
	isUnknown(t, "letter", err)
	it, err := w.Item(ctx, ds[0].ID)
	if err != nil || !it.Wake.Equal(Base.Add(time.Hour)) {
		t.Errorf("item %+v, %v", it, err)
	}
	if h, err := w.History(ctx, gone.ID); err != nil || len(h.Entries) != 1 {
		t.Errorf("history %+v, %v", h, err)
	}
}

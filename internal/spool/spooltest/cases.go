package spooltest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

func commitFound(t *testing.T, w *world) {
	w.start(t)
	m, ds := Message(1, "a.example", "b.example")
	w.commit(t, m, ds, []byte("hello"))
	for _, d := range ds {
		it, err := w.Item(ctx, d.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "item", it, spool.Item{Message: m, Delivery: d, Wake: d.Next})
		same(t, "due", w.due(t, d.Domain, d.Next, 10), []spool.Item{it})
	}
	equalBytes(t, "body", w.body(t, m.ID), []byte("hello"))
	h, err := w.History(ctx, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := spool.History{Message: m}
	for _, d := range ds {
		want.Deliveries = append(want.Deliveries, spool.Row{Item: spool.Item{Message: m, Delivery: d, Wake: d.Next}})
	}
	same(t, "history", h, want)
	same(t, "find", w.find(t, spool.Query{}), want.Deliveries)
	health := w.Health(ctx)
	if health.Waiting != 2 || health.Messages != 1 || health.Fault != "" || health.Durability == "" {
		t.Errorf("health %+v", health)
	}
	other, otherDs := Message(2, "a.example")
	_, err = w.Item(ctx, otherDs[0].ID)
	isUnknown(t, "item", err)
	_, err = w.Body(ctx, other.ID)
	isUnknown(t, "body", err)
	_, err = w.History(ctx, other.ID)
	isUnknown(t, "history", err)
}

func commitTwice(t *testing.T, w *world) {
	w.start(t)
	m, ds := Message(1, "a.example")
	big := Bytes(3<<20, 1)
	w.commit(t, m, ds, []byte("hello"))
	w.settle(t, tried(ds[0], Base.Add(time.Hour)))
	w.commit(t, m, ds, []byte("again"))
	w.commit(t, m, ds, big)
	equalBytes(t, "body", w.body(t, m.ID), []byte("hello"))
	it, err := w.Item(ctx, ds[0].ID)
	if err != nil || it.Delivery.Tries != 1 {
		t.Errorf("the second commit changed the delivery: %+v, %v", it, err)
	}
	var group sync.WaitGroup
	m2, ds2 := Message(2, "a.example")
	for range 8 {
		group.Go(func() { w.commit(t, m2, ds2, big[:2000]) })
	}
	group.Wait()
	w.settle(t, handed(it.Delivery))
	w.commit(t, m, ds, []byte("hello")) // it has left, and is known all the same
	if h := w.Health(ctx); h.Waiting != 1 || h.Messages != 1 {
		t.Errorf("health %+v, want one message", h)
	}
	w.settle(t, handed(ds2[0]))
	if h := w.Health(ctx); h.Waiting != 0 || h.Messages != 0 {
		t.Errorf("health %+v, want none", h)
	}
}

func abort(t *testing.T, w *world) {
	w.start(t)
	for _, size := range []int{0, 10, 3 << 20} {
		d, err := w.Begin(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Write(Bytes(size, 1)); err != nil {
			t.Fatal(err)
		}
		d.Abort()
		d.Abort()
		m, ds := Message(1, "a.example")
		if err := d.Commit(ctx, m, ds); err == nil {
			t.Error("an aborted draft was committed")
		}
	}
	same(t, "find", w.find(t, spool.Query{Departed: true}), []spool.Row(nil))
	if h := w.Health(ctx); h.Messages != 0 {
		t.Errorf("health %+v", h)
	}
}

func badCommit(t *testing.T, w *world) {
	w.start(t)
	m, ds := Message(1, "a.example", "b.example")
	twice := []custody.Delivery{ds[0], ds[0]}
	_, foreign := Message(2, "a.example")
	for _, bad := range [][]custody.Delivery{nil, twice, foreign} {
		d, err := w.Begin(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Commit(ctx, m, bad); err == nil {
			t.Errorf("commit with deliveries %v succeeded", bad)
		}
	}
	_, err := w.History(ctx, m.ID)
	isUnknown(t, "history", err)
	w.commit(t, m, ds, nil)
}

func bodies(t *testing.T, w *world) {
	w.start(t)
	sizes := []int{0, 1, 4095, 70_000, 1<<20 - 1, 1 << 20, 1<<20 + 1, 5 << 20}
	for i, n := range sizes {
		m, ds := Message(i, "a.example")
		w.commit(t, m, ds, Bytes(n, uint64(i)))
	}
	for range 2 {
		for i, n := range sizes {
			m, _ := Message(i)
			equalBytes(t, fmt.Sprint(n), w.body(t, m.ID), Bytes(n, uint64(i)))
		}
		w.restart(t)
	}
	for i := range sizes {
		m, ds := Message(i, "a.example")
		b, err := w.Body(ctx, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		w.settle(t, handed(ds[0]))
		_, err = w.Body(ctx, m.ID)
		isUnknown(t, "body", err)
		// What was opened before can be read to its end.
		got := make([]byte, sizes[i])
		if _, err := b.ReadAt(got, 0); err != nil && sizes[i] > 0 {
			t.Error(err)
		}
		equalBytes(t, "open body", got, Bytes(sizes[i], uint64(i)))
		_ = b.Close()
	}
}

func freshDue(t *testing.T, w *world) {
	w.start(t)
	m, ds := Message(1, "a.example", "b.example", "c.example")
	ds[1].Next = time.Now().Add(time.Hour)
	ds[2].Held = custody.Hold{Since: Base, By: "ann"}
	w.commit(t, m, ds, []byte("hello"))
	f := <-w.Fresh()
	same(t, "items", f.Items, []spool.Item{{Message: m, Delivery: ds[0], Wake: ds[0].Next}})
	if f.Body != nil {
		equalBytes(t, "body", f.Body, []byte("hello"))
	}
	for i := range 100 { // bodies that are handed on stay as they are
		m, ds := Message(2+i, "a.example")
		w.commit(t, m, ds, Bytes(1000, uint64(i)))
	}
	for i := range 100 {
		f := <-w.Fresh()
		var n int
		if _, err := fmt.Sscanf(f.Items[0].Message.Subject, "Number %d", &n); err != nil {
			t.Fatal(err)
		}
		if n != 2+i {
			t.Errorf("message %d came as number %d", n, i)
		}
		if f.Body != nil {
			equalBytes(t, "body", f.Body, Bytes(1000, uint64(i)))
		}
	}
}

func freshFull(t *testing.T, w *world) {
	w.start(t)
	const n = 3000
	var group sync.WaitGroup
	for k := range 8 {
		group.Go(func() {
			for i := k; i < n; i += 8 {
				m, ds := Message(i, "a.example")
				w.commit(t, m, ds, []byte("hello"))
			}
		})
	}
	group.Wait()
	if got := len(w.due(t, "a.example", Base.Add(time.Hour), 2*n)); got != n {
		t.Errorf("%d are due, want %d", got, n)
	}
}

func dueOrder(t *testing.T, w *world) {
	w.start(t)
	var want []custody.DeliveryID
	for i := range 20 {
		m, ds := Message(i, "a.example", "b.example")
		ds[0].Next = Base.Add(-time.Duration(i) * time.Minute)
		ds[1].Next = Base.Add(time.Hour)
		w.commit(t, m, ds, nil)
		want = append([]custody.DeliveryID{ds[0].ID}, want...)
	}
	m, ds := Message(30, "c.example")
	ds[0].Via = "filter:25"
	ds[0].Next = Base.Add(time.Minute)
	w.commit(t, m, ds, nil)
	for range 2 {
		var got []custody.DeliveryID
		for _, it := range w.due(t, "a.example", Base, 100) {
			got = append(got, it.Delivery.ID)
		}
		same(t, "due", got, want)
		if n := len(w.due(t, "a.example", Base.Add(-5*time.Minute), 100)); n != 15 {
			t.Errorf("%d due until then, want 15", n)
		}
		items, err := w.Due(ctx, "a.example", Base, 3, func(id custody.DeliveryID) bool { return id == want[1] })
		if err != nil || len(items) != 3 || items[1].Delivery.ID != want[2] {
			t.Errorf("due with skip: %v, %v", items, err)
		}
		all := []spool.Lane{{Name: "a.example", Wake: Base.Add(-19 * time.Minute)}, {Name: "filter:25", Wake: Base.Add(time.Minute)}, {Name: "b.example", Wake: Base.Add(time.Hour)}}
		same(t, "lanes", w.lanes(t, time.Time{}, 10), all)
		same(t, "lanes until", w.lanes(t, Base.Add(time.Minute), 10), all[:2])
		same(t, "one lane", w.lanes(t, time.Time{}, 1), all[:1])
		ls, err := w.Lanes(ctx, time.Time{}, 10, func(l string) bool { return l == "a.example" })
		if err != nil {
			t.Fatal(err)
		}
		same(t, "lanes with skip", ls, all[1:])
		w.restart(t)
	}
}

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

func manyAtOnce(t *testing.T, w *world) {
	w.start(t)
	var group sync.WaitGroup
	for k := range 16 {
		group.Go(func() {
			for i := range 40 {
				n := k*1000 + i
				m, ds := Message(n, "a.example", fmt.Sprintf("lane%d.example", k))
				body := Bytes(n%9000, uint64(n))
				w.commit(t, m, ds, body)
				equalBytes(t, "body", w.body(t, m.ID), body)
				w.settle(t, tried(ds[0], Base.Add(time.Hour)), handed(ds[1]))
				if i%2 == 0 {
					w.settle(t, handed(ds[0]))
				}
				_ = w.due(t, "a.example", Base.Add(time.Hour), 5)
				_ = w.lanes(t, time.Time{}, 5)
			}
		})
	}
	group.Wait()
	if n := len(w.due(t, "a.example", Base.Add(time.Hour), 5000)); n != 16*20 {
		t.Errorf("%d are due, want %d", n, 16*20)
	}
	same(t, "lanes", w.lanes(t, time.Time{}, 50), []spool.Lane{{Name: "a.example", Wake: Base.Add(time.Hour)}})
	if n := len(w.find(t, spool.Query{Departed: true})); n != 16*40*2 {
		t.Errorf("%d found, want %d", n, 16*40*2)
	}
}

func reopen(t *testing.T, w *world) {
	if w.forgets {
		t.Skip("keeps nothing")
	}
	w.start(t)
	for i := range 50 {
		m, ds := Message(i, "a.example", "b.example")
		w.commit(t, m, ds, Bytes(i*100, uint64(i)))
		if i%2 == 0 {
			w.settle(t, tried(ds[0], Base.Add(time.Hour)), handed(ds[1]))
		}
		if i%10 == 0 {
			w.restart(t)
		}
	}
	want := w.find(t, spool.Query{Departed: true})
	health := w.Health(ctx)
	w.restart(t)
	same(t, "all", w.find(t, spool.Query{Departed: true}), want)
	if h := w.Health(ctx); h.Waiting != health.Waiting || h.Messages != health.Messages || h.Waiting != 75 || h.Messages != 50 {
		t.Errorf("health %+v, before %+v", h, health)
	}
}

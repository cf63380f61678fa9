package spooltest

import (
	"fmt"
	"io"
	"slices"
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

func readBack(t *testing.T, w *world) {
	w.start(t)
	for _, size := range []int{0, 1, 70_000, 1 << 20, 3<<20 + 77} {
		d, err := w.Begin(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		want := Bytes(size, 1)
		for part := range slices.Chunk(want, 300_001) {
			if _, err := d.Write(part); err != nil {
				t.Fatal(err)
			}
			half := d.Size() / 2
			got, err := io.ReadAll(io.NewSectionReader(d, half, d.Size()-half))
			if err != nil {
				t.Fatal(err)
			}
			equalBytes(t, fmt.Sprint(size), got, want[half:d.Size()])
		}
		if n, err := d.ReadAt(make([]byte, 10), d.Size()); n != 0 || err != io.EOF {
			t.Errorf("behind the end: %d octets, %v", n, err)
		}
		m, ds := Message(size, "a.example")
		if err := d.Commit(ctx, m, ds); err != nil {
			t.Fatal(err)
		}
		equalBytes(t, fmt.Sprint(size), w.body(t, m.ID), want)
		if _, err := d.ReadAt(make([]byte, 1), 0); err == nil {
			t.Error("a committed draft is read")
		}
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
		items, err := w.Due(ctx, "a.example", Base.Add(-5*time.Minute), Base, 100, nil)
		if err != nil || len(items) != 6 || items[0].Delivery.ID != want[14] {
			t.Errorf("due from then on: %v, %v", items, err)
		}
		items, err = w.Due(ctx, "a.example", time.Time{}, Base, 3, func(id custody.DeliveryID) bool { return id == want[1] })
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

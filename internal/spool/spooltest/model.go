package spooltest

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// model is the simplest store there can be: maps.
type model struct {
	waiting map[custody.DeliveryID]spool.Item
	left    map[custody.DeliveryID]custody.Delivery
	entries map[custody.ID][]custody.Entry
	bodies  map[custody.ID][]byte
	next    map[custody.ID]uint16
}

var domains = []string{"a.example", "b.example", "c.example", "d.example"}

// Histories runs random operations against a store and the model, each history
// in a store of its own, and compares everything that can be seen.
func Histories(t *testing.T, fresh Make, forgets bool) {
	rapid.Check(t, func(r *rapid.T) {
		w := &world{open: fresh(t), forgets: forgets}
		w.Store = w.open(t)
		defer func() {
			if err := w.Store.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}()
		m := &model{
			map[custody.DeliveryID]spool.Item{}, map[custody.DeliveryID]custody.Delivery{},
			map[custody.ID][]custody.Entry{}, map[custody.ID][]byte{}, map[custody.ID]uint16{},
		}
		for n := range rapid.IntRange(1, 40).Draw(r, "operations") {
			switch rapid.IntRange(0, 19).Draw(r, "operation") {
			case 0, 1, 2, 3, 4, 5, 6, 7:
				m.commit(t, w, r, n)
			case 8:
				w.restart(t)
			default:
				m.settle(t, w, r, n)
			}
		}
		m.compare(t, w)
		if t.Failed() {
			r.Fatal("the store and the model differ")
		}
	})
}

func (m *model) commit(t *testing.T, w *world, r *rapid.T, n int) {
	to := domains[:rapid.IntRange(1, len(domains)).Draw(r, "domains")]
	msg, ds := Message(n, to...)
	body := Bytes(rapid.SampledFrom([]int{0, 10, 3000, 9000, 100_000}).Draw(r, "size"), uint64(n))
	w.commit(t, msg, ds, body)
	m.add(msg, ds, body)
}

func (m *model) add(msg custody.Message, ds []custody.Delivery, body []byte) {
	for _, d := range ds {
		m.waiting[d.ID] = spool.Item{Message: msg, Delivery: d, Wake: d.Next}
	}
	m.bodies[msg.ID] = body
	m.next[msg.ID] = uint16(len(ds) + 1)
}

func (m *model) ids() []custody.DeliveryID {
	var ids []custody.DeliveryID
	for id := range m.waiting {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compare)
	return ids
}

func (m *model) settle(t *testing.T, w *world, r *rapid.T, n int) {
	ids := m.ids()
	if len(ids) == 0 {
		return
	}
	seen := map[custody.DeliveryID]bool{}
	var steps []spool.Step
	for range rapid.IntRange(1, 4).Draw(r, "steps") {
		id := rapid.SampledFrom(ids).Draw(r, "delivery")
		if seen[id] {
			continue
		}
		seen[id] = true
		d := m.waiting[id].Delivery
		st := tried(d, Base.Add(time.Duration(rapid.IntRange(0, 5).Draw(r, "hours"))*time.Hour))
		switch rapid.IntRange(0, 5).Draw(r, "kind") {
		case 0, 1, 2:
			st = handed(d)
		case 3:
			st.Delivery.Via = rapid.SampledFrom([]string{"", "filter:25"}).Draw(r, "via")
		case 4:
			st.Wake, st.Entries = time.Time{}, nil
		}
		if rapid.IntRange(0, 4).Draw(r, "split") == 0 {
			p := d
			p.ID.N = m.next[id.Message]
			m.next[id.Message]++
			it := spool.Item{Message: m.waiting[id].Message, Delivery: p, Wake: Base.Add(time.Minute)}
			st.Split = []spool.Split{{Item: it, Closed: rapid.Bool().Draw(r, "closed")}}
		}
		if rapid.IntRange(0, 4).Draw(r, "letter") == 0 {
			lm, lds := Message(1_000_000+10*n+len(steps), "example.org")
			st.Letters = []spool.Letter{{Message: lm, Deliveries: lds, Body: Bytes(2000, uint64(n))}}
		}
		steps = append(steps, st)
	}
	w.settle(t, steps...)
	for _, st := range steps {
		m.apply(st)
	}
}

func (m *model) apply(st spool.Step) {
	id := st.Delivery.ID
	it := m.waiting[id]
	if st.Closed {
		delete(m.waiting, id)
		m.left[id] = st.Delivery
	} else {
		m.waiting[id] = spool.Item{Message: it.Message, Delivery: st.Delivery, Wake: st.Wake}
	}
	for _, p := range st.Split {
		if p.Closed {
			m.left[p.Delivery.ID] = p.Delivery
		} else {
			m.waiting[p.Delivery.ID] = p.Item
		}
	}
	m.entries[id.Message] = append(m.entries[id.Message], st.Entries...)
	for _, l := range st.Letters {
		m.add(l.Message, l.Deliveries, l.Body)
	}
}

func (m *model) compare(t *testing.T, w *world) {
	t.Helper()
	var want []spool.Row
	lanes := map[string][]spool.Item{}
	alive := map[custody.ID]bool{}
	for _, id := range m.ids() {
		it := m.waiting[id]
		want = append(want, spool.Row{Item: it})
		alive[id.Message] = true
		if !it.Wake.IsZero() {
			lanes[it.Delivery.Lane()] = append(lanes[it.Delivery.Lane()], it)
		}
	}
	same(t, "waiting", w.find(t, spool.Query{}), want)
	got := w.lanes(t, time.Time{}, 1000)
	if len(got) != len(lanes) {
		t.Errorf("lanes %v, want %d", got, len(lanes))
	}
	for _, l := range got {
		items := lanes[l.Name]
		slices.SortFunc(items, func(a, b spool.Item) int {
			return cmp.Or(a.Wake.Compare(b.Wake), compare(a.Delivery.ID, b.Delivery.ID))
		})
		same(t, "due in "+l.Name, w.due(t, l.Name, time.Time{}, 1_000_000), items)
		var ids []custody.DeliveryID
		for _, it := range items {
			ids = append(ids, it.Delivery.ID)
		}
		slices.SortFunc(ids, compare)
		queued, err := w.Queued(ctx, l.Name)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "queued in "+l.Name, queued, ids)
		if len(items) > 0 && !l.Wake.Equal(items[0].Wake) {
			t.Errorf("lane %s wakes at %v, want %v", l.Name, l.Wake, items[0].Wake)
		}
	}
	if n := len(w.find(t, spool.Query{Departed: true})); n != len(m.waiting)+len(m.left) {
		t.Errorf("%d found, want %d and %d", n, len(m.waiting), len(m.left))
	}
	for id, body := range m.bodies {
		if !alive[id] {
			_, err := w.Body(ctx, id)
			isUnknown(t, "body", err)
		} else {
			equalBytes(t, "body", w.body(t, id), body)
		}
		h, err := w.History(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "entries of the history", h.Entries, m.entries[id])
		es, err := w.Entries(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "entries", es, m.entries[id])
	}
	if h := w.Health(ctx); h.Waiting != int64(len(m.waiting)) || h.Messages != int64(len(alive)) {
		t.Errorf("health %+v, want %d waiting of %d messages", h, len(m.waiting), len(alive))
	}
}

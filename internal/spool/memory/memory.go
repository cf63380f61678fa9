// Package memory keeps mail in memory alone: for tests of what stands on a spool.
// It keeps every promise of [spool.Store] but the one that matters, that what it
// acknowledged survives. What Close leaves behind is gone.
//
// Start reading at [Store].
package memory

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// Store is a spool.Store in memory. Make it with New.
type Store struct {
	fresh chan spool.Fresh

	mu       sync.Mutex
	messages map[custody.ID]*message
	lanes    map[string][]*delivery // those that wake, earliest first
	waiting  int
}

// message is one with all its deliveries and its timeline.
type message struct {
	m          custody.Message
	body       []byte
	deliveries []*delivery // by number
	entries    []custody.Entry
	waiting    int
}

type delivery struct{ spool.Row }

var _ spool.Store = (*Store)(nil)

// New makes an empty store whose Fresh holds that many messages.
func New(fresh int) *Store {
	return &Store{fresh: make(chan spool.Fresh, fresh), messages: map[custody.ID]*message{}, lanes: map[string][]*delivery{}}
}

// Begin opens a draft.
func (s *Store) Begin(ctx context.Context, _ int64) (spool.Draft, error) {
	return &draft{s: s}, ctx.Err()
}

// Fresh hands on what has just been stored.
func (s *Store) Fresh() <-chan spool.Fresh { return s.fresh }

// Lanes returns lanes that have something to wake, earliest first.
func (s *Store) Lanes(ctx context.Context, until time.Time, n int, skip func(string) bool) ([]spool.Lane, error) {
	s.mu.Lock()
	var all []spool.Lane
	for name, ds := range s.lanes {
		if until.IsZero() || !ds[0].Wake.After(until) {
			all = append(all, spool.Lane{Name: name, Wake: ds[0].Wake})
		}
	}
	s.mu.Unlock()
	if skip != nil {
		all = slices.DeleteFunc(all, func(l spool.Lane) bool { return skip(l.Name) })
	}
	slices.SortFunc(all, func(a, b spool.Lane) int { return cmp.Or(a.Wake.Compare(b.Wake), cmp.Compare(a.Name, b.Name)) })
	return all[:min(n, len(all))], ctx.Err()
}

// Due returns deliveries of a lane, earliest wake first.
func (s *Store) Due(ctx context.Context, lane string, from, until time.Time, n int, skip func(custody.DeliveryID) bool) ([]spool.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var items []spool.Item
	for _, d := range s.lanes[lane] {
		if len(items) == n || !until.IsZero() && d.Wake.After(until) {
			break
		}
		if !d.Wake.Before(from) && (skip == nil || !skip(d.Delivery.ID)) {
			items = append(items, d.Item)
		}
	}
	return items, ctx.Err()
}

// Queued names the deliveries of a lane that have a wake, oldest message first.
func (s *Store) Queued(ctx context.Context, lane string) ([]custody.DeliveryID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []custody.DeliveryID
	for _, d := range s.lanes[lane] {
		ids = append(ids, d.Delivery.ID)
	}
	slices.SortFunc(ids, compare)
	return ids, ctx.Err()
}

// Item returns a delivery that waits.
func (s *Store) Item(ctx context.Context, id custody.DeliveryID) (spool.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.find(id); d != nil && d.Left.IsZero() {
		return d.Item, ctx.Err()
	}
	return spool.Item{}, spool.ErrUnknown
}

// Body opens the bytes of a message of which a delivery waits.
func (s *Store) Body(ctx context.Context, id custody.ID) (spool.Body, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.messages[id]; m != nil && m.waiting > 0 {
		return body{bytes.NewReader(m.body)}, ctx.Err()
	}
	return nil, spool.ErrUnknown
}

type body struct{ *bytes.Reader }

func (body) Close() error { return nil }

// Settle carries out steps, each whole or not at all.
func (s *Store) Settle(ctx context.Context, steps []spool.Step) []error {
	errs := make([]error, len(steps))
	var fresh []spool.Fresh
	s.mu.Lock()
	for i, st := range steps {
		if errs[i] = ctx.Err(); errs[i] != nil {
			continue
		}
		if errs[i] = s.settle(st); errs[i] != nil {
			continue
		}
		for _, l := range st.Letters {
			if s.accept(l.Message, l.Deliveries, l.Body) {
				fresh = append(fresh, offer(l.Message, l.Deliveries, l.Body))
			}
		}
	}
	s.mu.Unlock()
	for _, f := range fresh {
		s.hand(f)
	}
	if errors.Join(errs...) == nil {
		return nil
	}
	return errs
}

func (s *Store) settle(st spool.Step) error {
	d := s.find(st.Delivery.ID)
	if d == nil || !d.Left.IsZero() {
		return spool.ErrUnknown
	}
	for _, p := range st.Split {
		if s.find(p.Delivery.ID) != nil {
			return fmt.Errorf("memory: settle %s: a split into %s, which exists", st.Delivery.ID, p.Delivery.ID)
		}
	}
	m := s.messages[st.Delivery.ID.Message]
	s.unfile(d)
	d.Delivery, d.Wake = st.Delivery, st.Wake
	s.file(m, d, st.Closed)
	for _, p := range st.Split {
		part := &delivery{spool.Row{Item: spool.Item{Message: m.m, Delivery: p.Delivery, Wake: p.Wake}}}
		m.deliveries = append(m.deliveries, part)
		s.file(m, part, p.Closed)
	}
	slices.SortFunc(m.deliveries, func(a, b *delivery) int { return compare(a.Delivery.ID, b.Delivery.ID) })
	m.entries = append(m.entries, st.Entries...)
	return nil
}

// file puts a delivery where it belongs: before its lane, or into the history.
func (s *Store) file(m *message, d *delivery, closed bool) {
	if closed {
		d.Wake, d.Left = time.Time{}, time.Now()
		return
	}
	m.waiting++
	s.waiting++
	if d.Wake.IsZero() {
		return
	}
	lane := d.Delivery.Lane()
	at, _ := slices.BinarySearchFunc(s.lanes[lane], d, order)
	s.lanes[lane] = slices.Insert(s.lanes[lane], at, d)
}

func (s *Store) unfile(d *delivery) {
	s.messages[d.Delivery.ID.Message].waiting--
	s.waiting--
	lane := d.Delivery.Lane()
	if at, ok := slices.BinarySearchFunc(s.lanes[lane], d, order); ok {
		s.lanes[lane] = slices.Delete(s.lanes[lane], at, at+1)
	}
	if len(s.lanes[lane]) == 0 {
		delete(s.lanes, lane)
	}
}

func order(a, b *delivery) int {
	return cmp.Or(a.Wake.Compare(b.Wake), compare(a.Delivery.ID, b.Delivery.ID))
}

func compare(a, b custody.DeliveryID) int {
	return cmp.Or(bytes.Compare(a.Message[:], b.Message[:]), cmp.Compare(a.N, b.N))
}

func (s *Store) find(id custody.DeliveryID) *delivery {
	if m := s.messages[id.Message]; m != nil {
		for _, d := range m.deliveries {
			if d.Delivery.ID == id {
				return d
			}
		}
	}
	return nil
}

// accept files a message. One that is or was here already changes nothing.
func (s *Store) accept(m custody.Message, ds []custody.Delivery, body []byte) bool {
	if s.messages[m.ID] != nil {
		return false
	}
	msg := &message{m: m, body: body}
	s.messages[m.ID] = msg
	for _, d := range ds {
		row := &delivery{spool.Row{Item: spool.Item{Message: m, Delivery: d, Wake: d.Next}}}
		msg.deliveries = append(msg.deliveries, row)
		s.file(msg, row, false)
	}
	return true
}

// offer makes what goes to Fresh: the deliveries whose first try is due at once.
func offer(m custody.Message, ds []custody.Delivery, body []byte) spool.Fresh {
	f := spool.Fresh{Body: body, At: time.Now()}
	for _, d := range ds {
		if d.Held.IsZero() && !d.Next.IsZero() && !d.Next.After(time.Now()) {
			f.Items = append(f.Items, spool.Item{Message: m, Delivery: d, Wake: d.Next})
		}
	}
	return f
}

func (s *Store) hand(f spool.Fresh) {
	if len(f.Items) > 0 {
		select {
		case s.fresh <- f:
		default:
		}
	}
}

// History returns all that is known of a message.
func (s *Store) History(ctx context.Context, id custody.ID) (spool.History, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.messages[id]
	if m == nil {
		return spool.History{}, spool.ErrUnknown
	}
	h := spool.History{Message: m.m, Entries: slices.Clone(m.entries)}
	for _, d := range m.deliveries {
		h.Deliveries = append(h.Deliveries, d.Row)
	}
	return h, ctx.Err()
}

// Entries returns the timeline of a message.
func (s *Store) Entries(ctx context.Context, id custody.ID) ([]custody.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.messages[id]
	if m == nil {
		return nil, ctx.Err()
	}
	return slices.Clone(m.entries), ctx.Err()
}

// Prune forgets the history of messages that left before.
func (s *Store) Prune(ctx context.Context, before time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, m := range s.messages {
		if m.waiting == 0 && !slices.ContainsFunc(m.deliveries, func(d *delivery) bool { return !d.Left.Before(before) }) {
			delete(s.messages, id)
		}
	}
	return ctx.Err()
}

// Health says how the store is.
func (s *Store) Health(context.Context) spool.Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := spool.Health{Durability: "kept in memory alone", Waiting: int64(s.waiting)}
	for _, m := range s.messages {
		if m.waiting > 0 {
			h.Messages++
			h.Bytes += int64(len(m.body))
		}
	}
	return h
}

// Close does nothing: the store lives as long as somebody holds it.
func (s *Store) Close() error { return nil }

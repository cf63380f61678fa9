package memo

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Override is an exception that an operator made for a while. T says for whom and
// from what, and goes through encoding/json.
type Override[T any] struct {
	ID     string
	Made   time.Time
	Until  time.Time // it holds before that
	Warned time.Time // when its end was announced; zero: it was not
	Value  T
}

// Overrides are what an operator ordered. A change is on disk before its call
// returns; if it cannot be written it is not made, and the error says why.
type Overrides[T any] struct {
	m    *Memo
	mu   sync.Mutex // one change at a time
	list atomic.Pointer[[]Override[T]]
}

// remembered is how long an override is listed after its end.
const remembered = 30 * 24 * time.Hour

// NewOverrides reads the overrides of the memory; there must be only one reader at
// a time. One that T cannot hold stays in the file until it ends: the error tells
// of each such, and the others are there all the same.
func NewOverrides[T any](m *Memo) (*Overrides[T], error) {
	o := &Overrides[T]{m: m}
	var list []Override[T]
	var bad []error
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.blobs[kindOverrides]
	t.each(1, t.len(), func(_ uint64, e *entry[blob]) {
		var v Override[T]
		if err := json.Unmarshal(e.v, &v); err != nil {
			bad = append(bad, fmt.Errorf("memo: override %q cannot be read: %w", v.ID, err))
			return
		}
		list = append(list, v)
	})
	o.set(list)
	return o, errors.Join(bad...)
}

// List returns the overrides that hold and those that ended in the last 30 days,
// by their end. It is not to be changed, nor what it leads to.
func (o *Overrides[T]) List(now time.Time) []Override[T] {
	return from(*o.list.Load(), now.Add(-remembered))
}

// Active returns the overrides that hold, the one that ends next first. It is not
// to be changed, nor what it leads to. It allocates nothing and waits for nobody.
func (o *Overrides[T]) Active(now time.Time) []Override[T] {
	return from(*o.list.Load(), now)
}

// from returns those that end after a moment.
func from[T any](list []Override[T], t time.Time) []Override[T] {
	i := slices.IndexFunc(list, func(v Override[T]) bool { return v.Until.After(t) })
	if i < 0 {
		return nil
	}
	return list[i:]
}

// Add makes a new override. It wants an ID and an end after its beginning. Errors:
// ErrExists, ErrFull, ErrTooLong, ErrClosed, or that of the disk.
func (o *Overrides[T]) Add(v Override[T]) error {
	v.Made, v.Until, v.Warned = v.Made.Round(0), v.Until.Round(0), v.Warned.Round(0)
	switch {
	case v.ID == "":
		return errors.New("memo: an override without an ID")
	case !v.Until.After(v.Made):
		return fmt.Errorf("memo: override %s ends before it begins", v.ID)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	list := o.List(v.Made)
	if o.index(v.ID) >= 0 {
		return fmt.Errorf("%w: override %s", ErrExists, v.ID)
	}
	if len(list) >= o.m.most {
		return fmt.Errorf("%w: there are %d overrides", ErrFull, len(list))
	}
	return o.write(v, append(slices.Clone(list), v))
}

// End lets an override end at a moment that is not after its own end; it goes on
// being listed for 30 days. Errors: ErrUnknown, ErrClosed, or that of the disk.
func (o *Overrides[T]) End(id string, at time.Time) error {
	return o.change(id, func(v *Override[T]) {
		if at.Before(v.Until) {
			v.Until = at.Round(0)
		}
	})
}

// Warn marks that the end of an override was announced. Errors as of End.
func (o *Overrides[T]) Warn(id string, at time.Time) error {
	return o.change(id, func(v *Override[T]) { v.Warned = at.Round(0) })
}

// Remove forgets an override, ended or not. Errors as of End.
func (o *Overrides[T]) Remove(id string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := o.index(id)
	if i < 0 {
		return fmt.Errorf("%w: override %s", ErrUnknown, id)
	}
	m, key := o.m, o.m.keyOf(kindOverrides, id)
	rec := appendRecord(nil, m.file.sum, kindOverrides, key, nobody, 0, blob(nil))
	return m.durably(rec, func() {
		m.blobs[kindOverrides].forget(key)
		o.set(slices.Delete(slices.Clone(*o.list.Load()), i, i+1))
	})
}

func (o *Overrides[T]) change(id string, f func(*Override[T])) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := o.index(id)
	if i < 0 {
		return fmt.Errorf("%w: override %s", ErrUnknown, id)
	}
	list := slices.Clone(*o.list.Load())
	f(&list[i])
	return o.write(list[i], list)
}

// write stores an override, and the list with it.
func (o *Overrides[T]) write(v Override[T], list []Override[T]) error {
	b, err := appendJSON(nil, v)
	if err != nil {
		return err
	}
	m, key, until := o.m, o.m.keyOf(kindOverrides, v.ID), seconds(v.Until.Add(remembered))
	rec := appendRecord(nil, m.file.sum, kindOverrides, key, nobody, until, blob(b))
	return m.durably(rec, func() {
		m.blobs[kindOverrides].sweep(m.told)
		m.blobs[kindOverrides].put(key, nobody, until, b)
		o.set(list)
	})
}

func (o *Overrides[T]) set(list []Override[T]) {
	slices.SortFunc(list, func(a, b Override[T]) int { return a.Until.Compare(b.Until) })
	o.list.Store(&list)
}

func (o *Overrides[T]) index(id string) int {
	return slices.IndexFunc(*o.list.Load(), func(v Override[T]) bool { return v.ID == id })
}

package memo

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
)

// Pauses are what an operator keeps from being tried, by name, until it is taken
// back: the one kind without an end. A change is on disk before its call returns;
// if it cannot be written it is not made, and the error says why. T goes through
// encoding/json.
type Pauses[T any] struct {
	m  *Memo
	mu sync.Mutex // one change at a time
}

// paused is a pause as it is kept.
type paused[T any] struct {
	Name  string
	Value T
}

// endless is the moment until which a pause is kept.
const endless = math.MaxUint32

// NewPauses is the one list of pauses of the memory. Every caller must use the same T.
func NewPauses[T any](m *Memo) *Pauses[T] { return &Pauses[T]{m: m} }

// All returns the pauses by name. One that T cannot hold stays in the file: the
// error tells of each such, and the others are there all the same.
func (p *Pauses[T]) All() (map[string]T, error) {
	all := map[string]T{}
	var bad []error
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	t := p.m.blobs[kindPauses]
	t.each(1, t.len(), func(_ uint64, e *entry[blob]) {
		var v paused[T]
		if err := json.Unmarshal(e.v, &v); err != nil {
			bad = append(bad, fmt.Errorf("memo: pause %q cannot be read: %w", v.Name, err))
			return
		}
		all[v.Name] = v.Value
	})
	return all, errors.Join(bad...)
}

// Put keeps a pause in the place of the one of that name. Errors: ErrFull,
// ErrTooLong, ErrClosed, or that of the disk.
func (p *Pauses[T]) Put(name string, value T) error {
	b, err := appendJSON(nil, paused[T]{name, value})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m, key := p.m, p.m.keyOf(kindPauses, name)
	m.mu.Lock()
	t := m.blobs[kindPauses]
	full := t.place(key) == 0 && t.len() >= m.mostPauses
	m.mu.Unlock()
	if full {
		return fmt.Errorf("%w: there are %d pauses", ErrFull, m.mostPauses)
	}
	rec := appendRecord(nil, m.file.sum, kindPauses, key, nobody, endless, blob(b))
	return m.durably(rec, func() { t.put(key, nobody, endless, b) })
}

// Forget takes a pause back; one that is not there is no error. Errors: ErrClosed,
// or that of the disk.
func (p *Pauses[T]) Forget(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, key := p.m, p.m.keyOf(kindPauses, name)
	rec := appendRecord(nil, m.file.sum, kindPauses, key, nobody, 0, blob(nil))
	return m.durably(rec, func() { m.blobs[kindPauses].forget(key) })
}

package memo

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// Subject is what a [Cache] is about.
type Subject kind

const (
	// CallForward: what the next hop says of a recipient.
	CallForward = Subject(kindCallForward)
	// Hosts: what a host said last.
	Hosts = Subject(kindHosts)
)

// Cache keeps answers of others, for a while as fresh and for longer as stale ones
// that help out when nobody answers. T goes through encoding/json.
type Cache[T any] struct {
	m *Memo
	k kind
}

// NewCache is the cache of a subject. Every caller must use the same T for it.
func NewCache[T any](m *Memo, about Subject) Cache[T] { return Cache[T]{m, kind(about)} }

// Answer is what a cache knows.
type Answer[T any] struct {
	Value T
	At    time.Time // when it was put, to the second
	Until time.Time // it is fresh before that, and stale from then on
}

// Fresh tells whether the answer may be used without asking again.
func (a Answer[T]) Fresh(now time.Time) bool { return now.Before(a.Until) }

// Age is how long ago the answer was put.
func (a Answer[T]) Age(now time.Time) time.Duration { return now.Sub(a.At) }

// Put keeps an answer, fresh for the first time given and then stale for the
// second. The client is who made us ask: its network's part of the memory is used;
// the zero Addr if nobody did. The error is ErrTooLong or that of encoding/json.
func (c Cache[T]) Put(key string, client netip.Addr, value T, fresh, stale time.Duration, now time.Time) error {
	b := binary.LittleEndian.AppendUint32(nil, seconds(now))
	b = binary.LittleEndian.AppendUint32(b, seconds(now.Add(fresh)))
	b, err := appendJSON(b, value)
	if err != nil {
		return err
	}
	m := c.m
	k := m.keyOf(c.k, key)
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.tell(now)
	t := m.blobs[c.k]
	t.sweep(at)
	until, network := seconds(now.Add(fresh+stale)), shareOf(client)
	t.put(k, network, until, b)
	note(m, c.k, k, network, until, blob(b))
	return nil
}

// Find returns what is known of a key, fresh or stale, and false if nothing is.
func (c Cache[T]) Find(key string, now time.Time) (Answer[T], bool) {
	m := c.m
	k := m.keyOf(c.k, key)
	m.mu.Lock()
	var b blob
	if e := m.blobs[c.k].find(k, seconds(now)); e != nil {
		b = e.v
		m.blobs[c.k].use(k)
	}
	m.mu.Unlock()
	var a Answer[T]
	if len(b) < 8 || json.Unmarshal(b[8:], &a.Value) != nil {
		return Answer[T]{}, false
	}
	a.At = moment(binary.LittleEndian.Uint32(b))
	a.Until = moment(binary.LittleEndian.Uint32(b[4:]))
	return a, true
}

// Forget drops what is known of a key.
func (c Cache[T]) Forget(key string) {
	k := c.m.keyOf(c.k, key)
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	gone(c.m, c.k, c.m.blobs[c.k], k)
}

// appendJSON appends a value that fits into a record with what stands before it.
func appendJSON(b []byte, value any) ([]byte, error) {
	j, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("memo: %w", err)
	}
	if len(b)+len(j) > maxValue {
		return nil, fmt.Errorf("%w: %d octets", ErrTooLong, len(b)+len(j))
	}
	return append(b, j...), nil
}

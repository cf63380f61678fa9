package memo

import (
	"hash/maphash"
	"math"
	"net/netip"
	"time"
)

// Rates counts how often something came within a sliding window. It lives in
// memory alone: after a restart everybody begins at 0.
//
// A window is kept as two buckets of its length, and the older one counts by the
// part of it that the window still covers, as if what is in it had come evenly.
// So nothing is wrong in the first window of a key; for what comes evenly the count
// is right but for rounding; and at worst, when all of the older bucket came at
// once, it is wrong by as many as that held: who is let through up to a limit may
// get in at most twice as many within one window.
type Rates struct{ m *Memo }

// Rates are the counters of the memory.
func (m *Memo) Rates() Rates { return Rates{m} }

type rateEntry struct {
	bucket     uint32 // number of the window since 1970
	now, older uint32
}

func (rateEntry) size() int                { return 0 }
func (rateEntry) appendTo(b []byte) []byte { return b }

// key keeps the windows of a caller's key apart.
func (r Rates) key(key string, window time.Duration) uint64 {
	var h maphash.Hash
	h.SetSeed(r.m.rates.seed)
	maphash.WriteComparable(&h, window)
	h.WriteString(key)
	return h.Sum64()
}

// Add counts n more of a key and returns how many there were within the window,
// these included. A window shorter than a second is taken for one. The client is whoever caused
// them: its network's part of the memory is used.
func (r Rates) Add(key string, client netip.Addr, n int, window time.Duration, now time.Time) int {
	m := r.m
	window = max(window, time.Second)
	k := r.key(key, window)
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.tell(now)
	var v rateEntry
	if e := m.rates.find(k, at); e != nil {
		v = e.v
	} else {
		m.rates.sweep(at)
	}
	v = v.at(window, now)
	v.now = uint32(min(int64(v.now)+int64(max(n, 0)), math.MaxUint32))
	end := time.Duration(v.bucket+2) * window
	m.rates.put(k, shareOf(client), seconds(time.Unix(0, int64(end))), v)
	return v.count(window, now)
}

// Count returns how many of a key there were within the window, and adds none.
func (r Rates) Count(key string, window time.Duration, now time.Time) int {
	m := r.m
	window = max(window, time.Second)
	k := r.key(key, window)
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.rates.find(k, seconds(now))
	if e == nil {
		return 0
	}
	return e.v.at(window, now).count(window, now)
}

// at moves the buckets on to the window of now. A clock that is set back adds to the
// bucket there is; where that lies further ahead than the next window it was a mistake
// of the clock's, and would gather all until its time comes.
func (v rateEntry) at(window time.Duration, now time.Time) rateEntry {
	b := uint32(now.UnixNano() / int64(window))
	switch {
	case b == v.bucket+1:
		return rateEntry{bucket: b, older: v.now}
	case b > v.bucket, b+1 < v.bucket:
		return rateEntry{bucket: b}
	}
	return v
}

func (v rateEntry) count(window time.Duration, now time.Time) int {
	gone := float64(now.UnixNano()%int64(window)) / float64(window)
	return int(v.now) + int(float64(v.older)*(1-gone))
}

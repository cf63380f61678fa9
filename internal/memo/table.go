package memo

import "hash/maphash"

// table is a bounded map from key to value. Entries belong to shares (networks).
// A share that holds its part forgets its own oldest; when the whole table is
// full, a share that holds more than the mean does so too, and for one that holds
// less the largest share gives way; where none holds more than one entry, that is
// the one unused for longest.
type table[V value] struct {
	most, part int
	seed       maphash.Seed
	keys       index // to entries
	entries    pool[entry[V]]
	networks   index // to shares
	shares     pool[share]
	bySize     []chain // the shares that hold n entries, the one that came to it first in front
	largest    int     // no share holds more
	hand       uint32  // where the search for expired entries goes on
	octets     int64   // what all entries take in the log
}

// value is what a table holds beside key, share and expiry.
type value interface {
	size() int // octets of appendTo
	appendTo([]byte) []byte
}

type entry[V value] struct {
	key          uint64
	share        uint32
	older, newer uint32 // within its share
	until        uint32 // seconds of Unix time; 0: the place is free
	v            V
}

type share struct {
	network        uint64
	held           uint32
	oldest, newest uint32 // entries
	prev, next     uint32 // shares that hold as many
}

type chain struct{ first, last uint32 }

// partOf is how many entries one network may have of n.
const partOf = 16

func newTable[V value](most int) *table[V] {
	return &table[V]{
		most: most, part: max(1, most/partOf), seed: maphash.MakeSeed(),
	}
}

func (t *table[V]) len() int { return t.keys.n }

func (t *table[V]) hash(n uint64) uint32 { return uint32(maphash.Comparable(t.seed, n)) }

// place returns where the entry of a key is, or 0.
func (t *table[V]) place(key uint64) uint32 {
	return t.keys.find(t.hash(key), func(i uint32) bool { return t.entries.at(i).key == key })
}

func (t *table[V]) share(network uint64) uint32 {
	return t.networks.find(t.hash(network), func(s uint32) bool { return t.shares.at(s).network == network })
}

// find returns the entry of a key that has not ended by now, or nil.
func (t *table[V]) find(key uint64, now uint32) *entry[V] {
	i := t.place(key)
	if i == 0 || t.entries.at(i).until <= now {
		return nil
	}
	return t.entries.at(i)
}

// put sets the value of a key and makes it the newest of its share.
func (t *table[V]) put(key, network uint64, until uint32, v V) {
	t.putAt(t.place(key), key, network, until, v)
}

// putAt is put for whoever knows the place of the key.
func (t *table[V]) putAt(i uint32, key, network uint64, until uint32, v V) {
	if i != 0 && t.shares.at(t.entries.at(i).share).network != network {
		t.remove(i)
		i = 0
	}
	if i == 0 {
		t.makeRoom(network)
		i = t.entries.take()
		*t.entries.at(i) = entry[V]{key: key}
		t.keys.add(t.hash(key), i)
		t.join(i, network)
	} else {
		t.octets -= t.entries.at(i).octets()
		t.touch(i)
	}
	e := t.entries.at(i)
	e.until, e.v = until, v
	t.octets += e.octets()
}

// use makes a key the newest of its share.
func (t *table[V]) use(key uint64) {
	if i := t.place(key); i != 0 {
		t.touch(i)
	}
}

func (t *table[V]) forget(key uint64) {
	if i := t.place(key); i != 0 {
		t.remove(i)
	}
}

// sweep frees the places of entries that have ended, two looked at for each one
// that is added.
func (t *table[V]) sweep(now uint32) {
	for range 2 {
		if t.hand++; t.hand > t.entries.n {
			t.hand = 1
		}
		if t.entries.n == 0 {
			return
		}
		if e := t.entries.at(t.hand); e.until != 0 && e.until <= now {
			t.remove(t.hand)
		}
	}
}

func (t *table[V]) makeRoom(network uint64) {
	held := 0
	s := t.share(network)
	if s != 0 {
		held = int(t.shares.at(s).held)
	}
	switch {
	case network != nobody && held >= t.part:
	case t.len() < t.most:
		return
	case network == nobody || held*t.networks.n <= t.len():
		for t.bySize[t.largest].first == 0 {
			t.largest--
		}
		s = t.bySize[t.largest].first
	}
	t.remove(t.shares.at(s).oldest)
}

func (t *table[V]) remove(i uint32) {
	e := t.entries.at(i)
	t.octets -= e.octets()
	t.keys.remove(t.hash(e.key), i)
	t.leave(i)
	*e = entry[V]{}
	t.entries.give(i)
}

// join puts an entry at the new end of a share.
func (t *table[V]) join(i uint32, network uint64) {
	s := t.share(network)
	if s != 0 {
		t.unrank(s)
	} else {
		s = t.shares.take()
		*t.shares.at(s) = share{network: network}
		t.networks.add(t.hash(network), s)
	}
	t.entries.at(i).share = s
	t.append(i)
	t.shares.at(s).held++
	t.rank(s)
}

func (t *table[V]) leave(i uint32) {
	s := t.entries.at(i).share
	t.unrank(s)
	t.cut(i)
	h := t.shares.at(s)
	if h.held--; h.held > 0 {
		t.rank(s)
		return
	}
	t.networks.remove(t.hash(h.network), s)
	t.shares.give(s)
}

func (t *table[V]) touch(i uint32) {
	s := t.entries.at(i).share
	if t.shares.at(s).newest != i {
		t.cut(i)
		t.append(i)
	}
	if t.shares.at(s).held == 1 && t.bySize[1].last != s {
		t.unrank(s)
		t.rank(s)
	}
}

// cut takes an entry out of the order of its share, append sets it at its end.
func (t *table[V]) cut(i uint32) {
	e := t.entries.at(i)
	h := t.shares.at(e.share)
	if e.older != 0 {
		t.entries.at(e.older).newer = e.newer
	} else {
		h.oldest = e.newer
	}
	if e.newer != 0 {
		t.entries.at(e.newer).older = e.older
	} else {
		h.newest = e.older
	}
}

func (t *table[V]) append(i uint32) {
	e := t.entries.at(i)
	h := t.shares.at(e.share)
	e.older, e.newer = h.newest, 0
	if h.newest != 0 {
		t.entries.at(h.newest).newer = i
	} else {
		h.oldest = i
	}
	h.newest = i
}

// rank sets a share behind those that hold as many as it does, unrank takes it out.
func (t *table[V]) rank(s uint32) {
	h := t.shares.at(s)
	n := int(h.held)
	for len(t.bySize) <= n {
		t.bySize = append(t.bySize, chain{})
	}
	c := &t.bySize[n]
	h.prev, h.next = c.last, 0
	if c.last != 0 {
		t.shares.at(c.last).next = s
	} else {
		c.first = s
	}
	c.last = s
	t.largest = max(t.largest, n)
}

func (t *table[V]) unrank(s uint32) {
	h := t.shares.at(s)
	c := &t.bySize[h.held]
	if h.prev != 0 {
		t.shares.at(h.prev).next = h.next
	} else {
		c.first = h.next
	}
	if h.next != 0 {
		t.shares.at(h.next).prev = h.prev
	} else {
		c.last = h.prev
	}
}

// each calls f for every entry of the shares from number s on, the oldest of each
// share first, and returns where to go on: after about n entries, or 0 at the end.
func (t *table[V]) each(s uint32, n int, f func(network uint64, e *entry[V])) uint32 {
	for ; s <= t.shares.n; s++ {
		if n <= 0 {
			return s
		}
		h := t.shares.at(s)
		if h.held == 0 {
			continue
		}
		for i := h.oldest; i != 0; i = t.entries.at(i).newer {
			f(h.network, t.entries.at(i))
			n--
		}
	}
	return 0
}

func (e *entry[V]) octets() int64 { return int64(recordSize(e.v.size())) }

// pool holds values in pages, so that growing moves none of them. Places count
// from 1.
type pool[T any] struct {
	pages [][]T
	n     uint32 // places given out ever
	free  []uint32
}

const pageSize = 512

func (p *pool[T]) at(i uint32) *T { return &p.pages[(i-1)/pageSize][(i-1)%pageSize] }

func (p *pool[T]) take() uint32 {
	if last := len(p.free) - 1; last >= 0 {
		i := p.free[last]
		p.free = p.free[:last]
		return i
	}
	if int(p.n) == len(p.pages)*pageSize {
		p.pages = append(p.pages, make([]T, pageSize))
	}
	p.n++
	return p.n
}

func (p *pool[T]) give(i uint32) { p.free = append(p.free, i) }

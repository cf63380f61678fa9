package memo

import (
	"encoding/binary"
	"math"
	"net/netip"
	"time"
)

// Proven remembers the networks whose mail was accepted before, or whose servers
// came again after they had been greylisted.
type Proven struct{ m *Memo }

// Proven is the one list of proven networks of the memory.
func (m *Memo) Proven() Proven { return Proven{m} }

// Proof is why a network is proven.
type Proof struct {
	Last  time.Time // when it proved itself last, to the second
	Times int       // how often it did
}

type provenEntry struct{ last, times uint32 }

func (provenEntry) size() int { return 8 }

func (v provenEntry) appendTo(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, v.last)
	return binary.LittleEndian.AppendUint32(b, v.times)
}

func parseProven(b []byte) (provenEntry, bool) {
	if len(b) < 8 {
		return provenEntry{}, false
	}
	return provenEntry{last: binary.LittleEndian.Uint32(b), times: binary.LittleEndian.Uint32(b[4:])}, true
}

// Add says that the network of the client proved itself now: mail from it was
// accepted. It counts as proven for the time given. A client without an address
// proves nothing.
func (p Proven) Add(client netip.Addr, memory time.Duration, now time.Time) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.m.prove(client, memory, now)
}

// Of returns the proof of the network of the client, and false if there is none.
func (p Proven) Of(client netip.Addr, now time.Time) (Proof, bool) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	e := p.m.proven.find(shareOf(client), seconds(now))
	if e == nil {
		return Proof{}, false
	}
	return Proof{Last: moment(e.v.last), Times: int(e.v.times)}, true
}

// Forget takes the proof from the network of the client.
func (p Proven) Forget(client netip.Addr) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	gone(p.m, kindProven, p.m.proven, shareOf(client))
}

// prove is Add with the lock held. A network is one entry, so no network can have
// more than its part: the share of all is nobody's.
func (m *Memo) prove(client netip.Addr, memory time.Duration, now time.Time) {
	key := shareOf(client)
	if key == nobody {
		return
	}
	at := m.tell(now)
	v := provenEntry{last: at, times: 1}
	until := seconds(now.Add(memory))
	old := m.proven.find(key, at)
	if old == nil {
		m.proven.sweep(at)
	} else {
		v.times = min(old.v.times, math.MaxUint32-1) + 1
		until = max(until, old.until)
	}
	same := old != nil && old.v.last == v.last && old.until == until
	m.proven.put(key, nobody, until, v)
	if !same { // one record a second is enough
		note(m, kindProven, key, nobody, until, v)
	}
}

// gone forgets an entry, in the log too. The lock is held.
func gone[V value](m *Memo, k kind, t *table[V], key uint64) {
	if t.place(key) != 0 {
		t.forget(key)
		note(m, k, key, nobody, 0, blob(nil))
	}
}

package memo

import (
	"encoding/binary"
	"math"
	"net/netip"
	"time"
)

// Greylist remembers who was asked to come again, and who did (RFC 6647). What is
// asked for is a key of the caller's making: the client's [Network], the sender and
// the recipient, as section 5 of the RFC advises.
type Greylist struct{ m *Memo }

// Greylist is the one greylist of the memory.
func (m *Memo) Greylist() Greylist { return Greylist{m} }

// Terms is what a greylist asks of those who come for the first time. Zero stands
// for the value in brackets.
type Terms struct {
	Delay  time.Duration // a return sooner than that does not pass, but up to a second less is enough [5 min]
	Window time.Duration // a return later than that is a first visit [24 h, RFC 6647 section 5]
	Memory time.Duration // how long a pass is remembered, counted from the last visit [36 days]
}

func (t Terms) complete() Terms {
	or := func(d, otherwise time.Duration) time.Duration {
		if d <= 0 {
			return otherwise
		}
		return d
	}
	const day = 24 * time.Hour
	return Terms{Delay: or(t.Delay, 5*time.Minute), Window: or(t.Window, day), Memory: or(t.Memory, 36*day)}
}

// Visit is what the greylist has to say of one that comes.
type Visit struct {
	First  time.Time     // when it came first, to the second
	Visits int           // that it made, this one included; at most 32,767 are counted
	Wait   time.Duration // still to go before it passes; 0: it has passed
	Came   bool          // it passes now, for the first time: it came again as a proper server does
}

type greyEntry struct {
	first  uint32
	visits uint16
	passed bool
}

func (greyEntry) size() int { return 6 }

func (v greyEntry) appendTo(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, v.first)
	n := v.visits << 1
	if v.passed {
		n |= 1
	}
	return binary.LittleEndian.AppendUint16(b, n)
}

func parseGrey(b []byte) (greyEntry, bool) {
	if len(b) < 6 {
		return greyEntry{}, false
	}
	n := binary.LittleEndian.Uint16(b[4:])
	return greyEntry{first: binary.LittleEndian.Uint32(b), visits: n >> 1, passed: n&1 != 0}, true
}

// Seen notes a visit and tells whether it passes. With the visit that passes for
// the first time the network of the client becomes proven for as long as the pass
// is remembered. It takes about a microsecond and never waits for the disk.
func (g Greylist) Seen(key string, client netip.Addr, t Terms, now time.Time) Visit {
	m, t := g.m, t.complete()
	k, network := m.keyOf(kindGreylist, key), shareOf(client)
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.tell(now)
	var old greyEntry
	var was uint32
	i := m.greylist.place(k)
	if i != 0 {
		if e := m.greylist.entries.at(i); e.until > at {
			old, was = e.v, e.until
		}
	}
	v, end, wait := old.visit(t, now, was)
	until := seconds(end)
	m.greylist.putAt(i, k, network, until, v)
	if v != old || until != was {
		note(m, kindGreylist, k, network, until, v)
	}
	if old.visits == 0 {
		m.greylist.sweep(at)
	}
	came := v.passed && !old.passed
	if came {
		m.prove(client, t.Memory, now)
	}
	return Visit{First: moment(v.first), Visits: int(v.visits), Wait: wait, Came: came}
}

// Look tells what Seen would, and notes nothing.
func (g Greylist) Look(key string, t Terms, now time.Time) Visit {
	m, t := g.m, t.complete()
	k := m.keyOf(kindGreylist, key)
	m.mu.Lock()
	defer m.mu.Unlock()
	var old greyEntry
	var until uint32
	if e := m.greylist.find(k, seconds(now)); e != nil {
		old, until = e.v, e.until
	}
	v, _, wait := old.visit(t, now, until)
	return Visit{First: moment(v.first), Visits: int(v.visits), Wait: wait, Came: v.passed && !old.passed}
}

// visit is the rule of greylisting: from what is known of earlier visits (nothing
// if visits is 0) to what is known after one more, and until when.
func (v greyEntry) visit(t Terms, now time.Time, until uint32) (_ greyEntry, end time.Time, wait time.Duration) {
	first := moment(v.first)
	if !v.passed && now.After(first.Add(t.Window)) || now.Before(first) {
		v = greyEntry{}
	}
	if v.visits == 0 {
		first = now
		v.first = seconds(now)
		end = now.Add(t.Window)
	} else {
		end = moment(until)
	}
	if v.visits < math.MaxInt16 {
		v.visits++
	}
	if wait = first.Add(t.Delay).Sub(now); wait > 0 && !v.passed {
		return v, end, wait
	}
	v.passed = true
	return v, now.Add(t.Memory), 0
}

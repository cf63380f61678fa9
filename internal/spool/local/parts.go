package local

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/postrider/postrider/custody"
)

// parts is what the index has of one message, as it stands there. Its slices are
// valid only while it is handed on.
type parts struct {
	id   custody.ID
	m, w []byte // nil: not there
	t, x []part
	e    []part
	bad  int // keys that make no sense
}

// clone keeps what was handed on.
func (p *parts) clone() *parts {
	c := &parts{id: p.id, m: bytes.Clone(p.m), w: bytes.Clone(p.w), bad: p.bad}
	keep := func(ps []part) (out []part) {
		for _, q := range ps {
			out = append(out, part{q.key, bytes.Clone(q.value)})
		}
		return out
	}
	c.t, c.x, c.e = keep(p.t), keep(p.x), keep(p.e)
	return c
}

// part is a key, from behind the id on, and its value.
type part struct{ key, value []byte }

// partKinds are the kinds of keys that hold what is known of a message. All others
// follow from them.
var partKinds = [...]byte{keyMessage, keyWhere, keyWaiting, keyLeft, keyEntry}

// partSize is the length of what follows the id in them.
var partSize = map[byte]int{keyMessage: 0, keyWhere: 0, keyWaiting: 2, keyLeft: 2, keyEntry: entryKeySize}

const entryKeySize = 4 + 4 + 2 // segment, offset, number

// messages hands on what the index has of each message, in the order of their ids.
func (r *indexReader) messages(each func(*parts) error) error {
	var ks []*keys
	for _, kind := range partKinds {
		if k := r.keysOf(kind); k.next() {
			ks = append(ks, k)
		}
	}
	for len(ks) > 0 {
		first := ks[0]
		for _, k := range ks[1:] {
			if bytes.Compare(idOf(k.key), idOf(first.key)) < 0 {
				first = k
			}
		}
		p := &parts{}
		copy(p.id[:], idOf(first.key))
		left := ks[:0]
		for _, k := range ks {
			more := true
			for more && bytes.Equal(idOf(k.key), p.id[:]) {
				p.take(k.key, k.value)
				more = k.next()
			}
			if more {
				left = append(left, k)
			}
		}
		ks = left
		if err := each(p); err != nil {
			return err
		}
	}
	return nil
}

// idOf returns the id in a key, filled up with zeros if the key is too short for it.
func idOf(key []byte) []byte {
	if n := len(custody.ID{}); len(key) > n {
		return key[1 : 1+n]
	}
	var id custody.ID
	copy(id[:], key[1:])
	return id[:]
}

func (p *parts) take(key, value []byte) {
	kind, rest := key[0], key[min(len(key), 1+len(p.id)):]
	if len(key) != 1+len(p.id)+partSize[kind] {
		p.bad++
		return
	}
	switch kind {
	case keyMessage:
		p.m = value
	case keyWhere:
		p.w = value
	case keyWaiting:
		p.t = append(p.t, part{bytes.Clone(rest), value})
	case keyLeft:
		p.x = append(p.x, part{bytes.Clone(rest), value})
	case keyEntry:
		p.e = append(p.e, part{bytes.Clone(rest), value})
	}
}

func (p part) number() uint16 { return binary.BigEndian.Uint16(p.key) }

// at returns where in the log the record of an entry stands.
func (p part) at() pos {
	return pos{binary.BigEndian.Uint32(p.key), binary.BigEndian.Uint32(p.key[4:])}
}

// entryKey is what follows the id in the key of an entry.
func entryKey(at pos, i int) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, entryKeySize), at.seg)
	b = binary.BigEndian.AppendUint32(b, at.off)
	return binary.BigEndian.AppendUint16(b, uint16(i))
}

// touched reports whether keys of a kind of that message may have been in what
// cannot be read of the index: what is there may be old, and what is not there lost.
func (r *indexReader) touched(kind byte, id custody.ID) bool {
	if len(r.gaps) == 0 {
		return false
	}
	from := appendID(nil, kind, id)
	return r.lostBetween(from, upper(from))
}

// lostBetween reports whether keys from one on and before another may be lost.
func (r *indexReader) lostBetween(from, to []byte) bool {
	return slices.ContainsFunc(r.gaps, func(g gap) bool { return g.meets(from, to) })
}

// meets reports whether keys from one on and before another may have been in it.
func (g *gap) meets(from, to []byte) bool {
	return (g.to == nil || bytes.Compare(g.to, from) >= 0) && (g.from == nil || bytes.Compare(g.from, to) < 0) && !g.hollow()
}

// hollow reports whether no key was in it.
func (g *gap) hollow() bool { return g.from != nil && g.to != nil && bytes.Compare(g.from, g.to) >= 0 }

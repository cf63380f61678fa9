package local

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
	"github.com/cockroachdb/pebble/v2/sstable/valblk"
)

// version is one version of a key: the highest seq counts.
type version struct {
	key, value []byte // until the next one is asked for
	seq        uint64
	gone       bool // the key was deleted
}

// tableCursor reads the keys of a table in order, from lower on and before upper, and
// leaves out what cannot be read.
type tableCursor struct {
	t            *table
	lower, upper []byte
	top          int     // the next one of t.top
	pieces       []piece // of data, from the block of the index that was read last
	last         []byte  // what follows lies behind it; nil: not known
	end          int64   // of the last block of data
	open         bool    // a block is being read
	fresh        bool    // and nothing of it was taken yet
	it           colblk.DataBlockIter
	d            colblk.DataBlockDecoder
	now          version
}

func (t *table) cursor(lower, upper []byte) *tableCursor {
	c := &tableCursor{t: t, lower: lower, upper: upper, last: before(t.low)}
	elsewhere := valblk.MakeReader(nil, nil, valblk.IndexHandle{}, nil)
	c.it.InitOnce(&keySchema, pebble.DefaultComparer, &elsewhere)
	return c
}

// next moves to the next version; false at the end.
func (c *tableCursor) next() bool {
	for {
		for c.open {
			if !c.take() {
				c.open = false
				break
			}
			if bytes.Compare(c.now.key, c.lower) < 0 {
				continue
			}
			return bytes.Compare(c.now.key, c.upper) < 0
		}
		p, ok := c.piece()
		if !ok {
			return false
		}
		c.begin(p)
	}
}

// piece returns the next block of data that may hold keys that are wanted.
func (c *tableCursor) piece() (piece, bool) {
	for c.last == nil || bytes.Compare(c.last, c.upper) < 0 {
		if len(c.pieces) == 0 && !c.more() {
			return piece{}, false
		}
		if len(c.pieces) == 0 {
			continue
		}
		p := c.pieces[0]
		c.pieces = c.pieces[1:]
		if p.upper != nil && bytes.Compare(p.upper, c.lower) < 0 {
			c.pass(p)
			continue
		}
		return p, true
	}
	return piece{}, false
}

func (c *tableCursor) pass(p piece) {
	c.end = p.off + p.size + block.TrailerLen
	if p.upper != nil {
		c.last = p.upper
	}
}

// more reads the next block of the index; false at the end.
func (c *tableCursor) more() bool {
	t := c.t
	if c.top == len(t.top) {
		if t.bare && (t.high == nil || bytes.Compare(c.last, t.high) < 0) {
			t.gap(gap{file: t.name, off: c.end, size: t.size - c.end, from: c.last, to: t.high, what: "no block that is whole follows"})
		}
		return false
	}
	if !t.level2 {
		c.pieces, c.top = t.top, len(t.top)
		return true
	}
	p := t.top[c.top]
	c.top++
	if bytes.Compare(p.upper, c.lower) < 0 {
		c.last, c.end = p.upper, -1
		return true
	}
	var err error
	if c.pieces, err = t.index(p); err == nil {
		return true
	}
	t.gap(gap{file: t.name, off: p.off, size: p.size, from: []byte{}, to: []byte{}, what: err.Error()})
	c.pieces = c.sought(p)
	if len(c.pieces) == 0 {
		c.last = p.upper
	}
	return true
}

// sought returns the blocks of data that a damaged block of the index named, as far
// as they are found.
func (c *tableCursor) sought(p piece) []piece {
	t := c.t
	if ps, ok := t.sought[p.off]; ok {
		return ps
	}
	from, to := c.around()
	ps := t.search(from, to)
	lost := to - from
	for _, q := range ps {
		lost -= q.size + block.TrailerLen
	}
	if lost > 0 {
		low := before(t.low)
		if c.top > 1 {
			low = t.top[c.top-2].upper
		}
		t.gap(gap{file: t.name, off: from, size: to - from, from: low, to: p.upper, what: fmt.Sprintf("%d octets of it are in no block that is whole", lost)})
	}
	if n := len(ps); n > 0 {
		ps[n-1].upper = p.upper
	}
	if t.sought == nil {
		t.sought = make(map[int64][]piece)
	}
	t.sought[p.off] = ps
	return ps
}

// around returns between which places the blocks of data stand that the block of the
// index before c.top named.
func (c *tableCursor) around() (from, to int64) {
	t := c.t
	from, to = c.end, t.top[0].off // the index follows the data
	if from < 0 {
		from = 0
		if i := c.top - 2; i >= 0 {
			if ps, err := t.index(t.top[i]); err == nil && len(ps) > 0 {
				from = ps[len(ps)-1].off + ps[len(ps)-1].size + block.TrailerLen
			}
		}
	}
	for _, p := range t.top[c.top:] {
		if ps, err := t.index(p); err == nil && len(ps) > 0 {
			return from, ps[0].off
		}
	}
	return from, to
}

// begin opens a block of data.
func (c *tableCursor) begin(p piece) {
	t := c.t
	b, err := t.read(p)
	if err == nil && !isData(b) {
		err = errTable
	}
	if err != nil {
		t.gap(gap{file: t.name, off: p.off, size: p.size, from: c.last, to: p.upper, what: err.Error()})
		c.pass(p)
		return
	}
	c.d.Init(&keySchema, b)
	if err := c.it.Init(&c.d, block.NoTransforms); err != nil {
		return
	}
	if t.bare && p.off > c.end { // what stood before it is lost
		kv := c.it.First()
		t.gap(gap{file: t.name, off: c.end, size: p.off - c.end, from: c.last, to: bytes.Clone(kv.K.UserKey), what: "no block that is whole"})
	}
	c.pass(p)
	c.open, c.fresh = true, true
}

// take moves within a block; false at its end.
func (c *tableCursor) take() bool {
	step := c.it.Next
	if c.fresh {
		step, c.fresh = c.it.First, false
	}
	kv := step()
	// An older version that somebody was reading when the table was written has its value
	// in another block: the newer one before it is what counts.
	for kv != nil && !kv.V.IsInPlaceValue() {
		kv = c.it.Next()
	}
	if kv == nil {
		if c.t.bare {
			c.last = bytes.Clone(c.now.key)
		}
		return false
	}
	c.now = version{key: kv.K.UserKey, seq: uint64(kv.K.SeqNum())}
	switch kv.K.Kind() {
	case pebble.InternalKeyKindSet, pebble.InternalKeyKindSetWithDelete:
		c.now.value = kv.InPlaceValue()
	default:
		c.now.gone = true
	}
	return true
}

package local

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// The records of the log. Each is a kind, the length of its payload and the
// payload; the bytes of a message stand last.
const (
	recordAccept = 'A' // Commit
	recordStep   = 'S' // one step of a Settle, with its letters
	recordMove   = 'M' // the body of a message carried forward out of an old segment
)

// record is one change of the store, as the log carries it and as it is applied.
type record struct {
	kind   byte
	head   []byte // the payload without the bytes of the message behind it
	body   []byte
	at     uint32 // where the payload begins in the segment
	accept *accept
	step   *step
	move   *move
	dup    bool          // an accept of what was there already
	fresh  []spool.Fresh // one for each message in it; none when read from the log
}

// parcel is a delivery on its way into the index.
type parcel struct {
	d    custody.Delivery
	wake int64
	blob []byte // d as stored
}

// accept is a message on its way into the index.
type accept struct {
	m    custody.Message
	blob []byte // m as stored
	ds   []parcel
	big  uint64 // name of the file that holds the body; 0: the log does
	size int64
	sum  uint32
	rel  uint32 // where the body begins in the payload of its record
}

type step struct {
	parcel
	closed  bool
	left    int64 // when it was closed
	split   []splinter
	entries [][]byte
	letters []accept
}

// splinter is a delivery taken out of another; closed: it is settled already.
type splinter struct {
	parcel
	closed bool
}

type move struct {
	id   custody.ID
	from pos // of the body
	sum  uint32
}

// size is the length of the payload.
func (r *record) size() int { return len(r.head) + len(r.body) }

// place says where the body of an accept of this record stands.
func (r *record) place(a *accept, seg uint32) place {
	p := place{big: a.big, size: a.size, sum: a.sum}
	if a.big == 0 {
		p.seg, p.off = seg, r.at+a.rel
	}
	return p
}

func newAccept(m custody.Message, ds []custody.Delivery, body []byte, big uint64, size int64, sum uint32) (*record, error) {
	head, err := appendAccept(make([]byte, 0, 768), m, ds, big, size, sum)
	if err != nil {
		return nil, err
	}
	r := &record{kind: recordAccept, head: head, body: body}
	if r.size() > maxRecord {
		return nil, fmt.Errorf("local: message %s has an envelope of %d octets, too long", m.ID, len(head))
	}
	if err := r.cut(); err != nil {
		return nil, err
	}
	r.accept.attach(m, ds)
	return r, nil
}

func newStep(s spool.Step, left int64) (*record, error) {
	b := make([]byte, 0, 768)
	b = appendBool(b, s.Closed)
	b = binary.AppendVarint(b, left)
	b = binary.AppendVarint(b, nanos(s.Wake))
	tmp := make([]byte, 0, 512)
	b = appendBlob(b, spool.AppendDelivery(tmp, s.Delivery))
	b = binary.AppendUvarint(b, uint64(len(s.Split)))
	for i, it := range s.Split {
		id := it.Delivery.ID
		again := func(o spool.Split) bool { return o.Delivery.ID == id }
		if id.Message != s.Delivery.ID.Message || id == s.Delivery.ID || slices.ContainsFunc(s.Split[:i], again) {
			return nil, fmt.Errorf("local: split of %s into %s", s.Delivery.ID, id)
		}
		b = appendBool(b, it.Closed)
		b = binary.AppendVarint(b, nanos(it.Wake))
		b = appendBlob(b, spool.AppendDelivery(tmp, it.Delivery))
	}
	b = binary.AppendUvarint(b, uint64(len(s.Entries)))
	for _, e := range s.Entries {
		b = appendBlob(b, spool.AppendEntry(tmp, e))
	}
	b = binary.AppendUvarint(b, uint64(len(s.Letters)))
	for _, l := range s.Letters {
		h, err := appendAccept(nil, l.Message, l.Deliveries, 0, int64(len(l.Body)), sum(l.Body))
		if err != nil {
			return nil, err
		}
		b = binary.AppendUvarint(b, uint64(len(h)+len(l.Body)))
		b = append(append(b, h...), l.Body...)
	}
	r := &record{kind: recordStep, head: b}
	if r.size() > maxRecord {
		return nil, fmt.Errorf("local: step of %s has %d octets, more than %d", s.Delivery.ID, r.size(), maxRecord)
	}
	if err := r.cut(); err != nil {
		return nil, err
	}
	r.step.d = s.Delivery
	for i := range r.step.split {
		r.step.split[i].d = s.Split[i].Delivery
	}
	for i := range r.step.letters {
		r.step.letters[i].attach(s.Letters[i].Message, s.Letters[i].Deliveries)
	}
	return r, r.checkLanes()
}

func newMove(id custody.ID, from place, body []byte) *record {
	b := append(make([]byte, 0, 40), id[:]...)
	b = binary.AppendUvarint(b, uint64(from.seg))
	b = binary.AppendUvarint(b, uint64(from.off))
	b = binary.BigEndian.AppendUint32(b, from.sum)
	return &record{kind: recordMove, head: b, body: body, move: &move{id, pos{from.seg, from.off}, from.sum}}
}

// maxLane bounds the name of a lane: a domain, or the next hop of a route.
const maxLane = 4096

func appendAccept(b []byte, m custody.Message, ds []custody.Delivery, big uint64, size int64, sum uint32) ([]byte, error) {
	if m.ID.IsZero() || len(ds) == 0 {
		return nil, fmt.Errorf("local: message %s with %d deliveries", m.ID, len(ds))
	}
	tmp := make([]byte, 0, 512)
	b = appendBlob(b, spool.AppendMessage(tmp, m))
	b = binary.AppendUvarint(b, uint64(len(ds)))
	for i, d := range ds {
		if d.ID.Message != m.ID || d.ID.N == 0 || i > 0 && d.ID.N <= ds[i-1].ID.N || len(d.Lane()) > maxLane {
			return nil, fmt.Errorf("local: message %s with delivery %s to %.100q", m.ID, d.ID, d.Lane())
		}
		b = appendBlob(b, spool.AppendDelivery(tmp, d))
	}
	b = binary.AppendUvarint(b, big)
	b = binary.AppendUvarint(b, uint64(size))
	return binary.BigEndian.AppendUint32(b, sum), nil
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendBlob(b, blob []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(blob)))
	return append(b, blob...)
}

func (a *accept) attach(m custody.Message, ds []custody.Delivery) {
	a.m = m
	for i, d := range ds {
		a.ds[i].d, a.ds[i].wake = d, nanos(d.Next)
	}
}

func (r *record) checkLanes() error {
	long := len(r.step.d.Lane()) > maxLane
	for _, p := range r.step.split {
		long = long || len(p.d.Lane()) > maxLane
	}
	if long {
		return fmt.Errorf("local: step of %s: a lane of more than %d octets", r.step.d.ID, maxLane)
	}
	return nil
}

// accept reads what appendAccept wrote.
func (c *cursor) accept() (a accept) {
	a.blob = c.blob()
	n := c.list()
	a.ds = make([]parcel, 0, min(n, len(c.b)/32))
	for range n {
		a.ds = append(a.ds, parcel{blob: c.blob()})
		if c.bad {
			return a
		}
	}
	a.big = c.uint()
	a.size = int64(c.uint())
	a.sum = c.u32()
	a.rel = uint32(c.full - len(c.b))
	return a
}

// cut takes the head of a record apart without decoding what is stored as it is.
func (r *record) cut() error {
	c := &cursor{b: r.head, full: len(r.head)}
	switch r.kind {
	case recordAccept:
		a := c.accept()
		r.accept = &a
	case recordStep:
		r.step = c.step()
	case recordMove:
		r.move = &move{}
		copy(r.move.id[:], c.take(uint64(len(r.move.id))))
		r.move.from = pos{uint32(c.uint()), uint32(c.uint())}
		r.move.sum = c.u32()
	default:
		return fmt.Errorf("%w: record of kind %q", spool.ErrVersion, r.kind)
	}
	if r.kind != recordStep && !c.bad {
		// What follows is the body: of a record just made it stands apart.
		if r.body == nil {
			r.body = c.b
			r.head = r.head[:len(r.head)-len(c.b)]
		}
		c.b = nil
		c.bad = r.kind == recordAccept && r.accept.big == 0 && r.accept.size != int64(len(r.body))
	}
	if c.bad || len(c.b) > 0 {
		return spool.ErrCorrupt
	}
	return nil
}

func (c *cursor) step() *step {
	s := &step{}
	s.closed = c.bool()
	s.left = c.int()
	s.wake = c.int()
	s.blob = c.blob()
	for range c.list() {
		s.split = append(s.split, splinter{closed: c.bool(), parcel: parcel{wake: c.int(), blob: c.blob()}})
		if c.bad {
			break
		}
	}
	for range c.list() {
		s.entries = append(s.entries, c.blob())
	}
	for range c.list() {
		n := c.uint()
		if c.bad || n > uint64(len(c.b)) {
			c.bad = true
			break
		}
		rest := c.b[n:]
		l := &cursor{b: c.b[:n], full: c.full - len(rest)}
		a := l.accept()
		if l.bad || uint64(a.size) != uint64(len(l.b)) {
			c.bad = true
			break
		}
		s.letters = append(s.letters, a)
		c.b = rest
	}
	return s
}

// decode fills in what a record just made has at hand.
func (r *record) decode() error {
	switch r.kind {
	case recordAccept:
		return r.accept.decode()
	case recordStep:
		s := r.step
		if err := s.parcel.decode(); err != nil {
			return err
		}
		for i := range s.split {
			if err := s.split[i].decode(); err != nil {
				return err
			}
		}
		for i := range s.letters {
			if err := s.letters[i].decode(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *accept) decode() (err error) {
	if a.m, err = spool.DecodeMessage(a.blob); err != nil {
		return err
	}
	for i := range a.ds {
		if err := a.ds[i].decode(); err != nil {
			return err
		}
		a.ds[i].wake = nanos(a.ds[i].d.Next)
	}
	return nil
}

func (p *parcel) decode() (err error) {
	p.d, err = spool.DecodeDelivery(p.blob)
	return err
}

// readRecords takes the payload of a frame apart that began at off.
func readRecords(payload []byte, off uint32) ([]*record, error) {
	var rs []*record
	c := &cursor{b: payload}
	for len(c.b) > 0 {
		kind := c.take(1)[0]
		n := c.uint()
		at := off + frameHead + uint32(len(payload)-len(c.b))
		r := &record{kind: kind, head: c.take(n), at: at}
		if c.bad {
			return nil, spool.ErrCorrupt
		}
		if err := r.cut(); err != nil {
			return nil, err
		}
		if err := r.decode(); err != nil {
			return nil, err
		}
		rs = append(rs, r)
	}
	return rs, nil
}

package local

import (
	"bytes"

	"github.com/postrider/postrider/custody"
)

// remains is what the log has of one message.
type remains struct {
	id      custody.ID
	blob    []byte // the message as stored; nil: only later records are there
	m       custody.Message
	at      pos // where it was accepted
	place   place
	carried place              // where its body was last carried forward to; of segment 0: nowhere
	states  map[uint16]remnant // of its deliveries, the last of each
	entries []part             // in the order of the log
}

// remnant is the state of a delivery that a record of the log tells.
type remnant struct {
	parcel
	at     pos
	left   int64 // when it was closed
	closed bool
}

// gleaner collects what the log has of some messages.
type gleaner struct {
	want func(id custody.ID, at pos) bool
	by   map[custody.ID]*remains
}

func newGleaner(want func(custody.ID, pos) bool) *gleaner {
	return &gleaner{want: want, by: make(map[custody.ID]*remains)}
}

// of returns the remains of a message; nil if they are not wanted.
func (g *gleaner) of(id custody.ID, at pos) *remains {
	if !g.want(id, at) {
		return nil
	}
	m := g.by[id]
	if m == nil {
		m = &remains{id: id, states: make(map[uint16]remnant)}
		g.by[id] = m
	}
	return m
}

// take looks at a record of a frame.
func (g *gleaner) take(frame pos, r *record) error {
	at := pos{frame.seg, r.at}
	switch r.kind {
	case recordAccept:
		g.accept(at, r, r.accept)
	case recordStep:
		g.step(at, r, r.step)
	case recordMove:
		if m := g.of(r.move.id, at); m != nil {
			m.carried = place{seg: at.seg, off: r.at + uint32(len(r.head)), size: int64(len(r.body)), sum: r.move.sum}
		}
	}
	return nil
}

func (g *gleaner) accept(at pos, r *record, a *accept) {
	m := g.of(a.m.ID, at)
	if m == nil || m.blob != nil { // the second time it is the same
		return
	}
	m.blob, m.m, m.at, m.place = bytes.Clone(a.blob), a.m, at, r.place(a, at.seg)
	for _, p := range a.ds {
		if _, ok := m.states[p.d.ID.N]; !ok {
			m.state(p, at)
		}
	}
}

func (m *remains) state(p parcel, at pos) {
	p.blob = bytes.Clone(p.blob)
	m.states[p.d.ID.N] = remnant{parcel: p, at: at}
}

func (g *gleaner) step(at pos, r *record, st *step) {
	if m := g.of(st.d.ID.Message, at); m != nil {
		m.state(st.parcel, at)
		m.close(st.d.ID.N, st.closed, st.left)
		for _, p := range st.split {
			m.state(p.parcel, at)
			m.close(p.d.ID.N, p.closed, st.left)
		}
		for i, e := range st.entries {
			m.entries = append(m.entries, part{entryKey(at, i), bytes.Clone(e)})
		}
	}
	for i := range st.letters {
		g.accept(at, r, &st.letters[i])
	}
}

func (m *remains) close(n uint16, closed bool, left int64) {
	if closed {
		s := m.states[n]
		s.closed, s.left = true, left
		m.states[n] = s
	}
}

// follow returns where a body is that was at a place, or would be if a place is not
// known. It is only ever carried forward in the log, and what says how it came to where
// it was carried from may be gone with a segment.
func (m *remains) follow(p place, known bool) (place, bool) {
	if c := m.carried; c.seg > 0 && (!known || p.big == 0 && (pos{p.seg, p.off}).before(pos{c.seg, c.off})) {
		return c, true
	}
	return p, known
}

package local

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
)

// holding is what a store has of one message, the index and the log taken together.
type holding struct {
	id      custody.ID
	m       custody.Message
	blob    []byte // m as stored
	body    place
	hasBody bool
	waits   []parcel
	left    []departed
	entries []part
	flaws   []string // what of it is lost, or may be other than it was
	unsound bool     // the index does not have all of it, as it should
}

// departed is a delivery that has left.
type departed struct {
	parcel
	at int64
}

func (h *holding) flaw(format string, args ...any) {
	h.flaws = append(h.flaws, fmt.Sprintf(format, args...))
}

// all returns all its deliveries.
func (h *holding) all() (ds []custody.Delivery) {
	for _, p := range h.waits {
		ds = append(ds, p.d)
	}
	for _, p := range h.left {
		ds = append(ds, p.d)
	}
	return ds
}

// joiner puts together what the index and the log have of messages.
type joiner struct {
	idx     *indexReader
	bodies  *bodyReader
	applied pos  // how far the index has followed the log
	behind  bool // see survey
	// exact is from where on nothing of the log is missing: what it says last of a
	// delivery from there on is how it is.
	exact pos
	// Asked of the index when they are needed, for the messages of wanted; nil: not yet.
	wanted func(custody.ID) bool
	bigs   map[custody.ID][]uint64
	rcpts  map[custody.ID][]mail.Address
}

// sound reports whether all that the index should have of a message is there.
func (r *indexReader) sound(p *parts) bool {
	if p.bad > 0 || p.m == nil || (p.w == nil) != (len(p.t) == 0) || len(p.t)+len(p.x) == 0 {
		return false
	}
	if p.w != nil {
		if w, err := readWhere(p.w); err != nil || int(w.waiting) != len(p.t) {
			return false
		}
	}
	for _, kind := range partKinds {
		if r.touched(kind, p.id) {
			return false
		}
	}
	return !slices.ContainsFunc(p.t, func(t part) bool { return find(p.x, t.number()) != nil })
}

func find(ps []part, n uint16) *part {
	if i := slices.IndexFunc(ps, func(p part) bool { return p.number() == n }); i >= 0 {
		return &ps[i]
	}
	return nil
}

// join puts one together; what it has of either side may be nil. It answers nil if
// there is no such message, but old entries of it, or a body that nobody wants.
func (o *joiner) join(p *parts, l *remains) *holding {
	if p == nil {
		p = &parts{id: l.id}
	}
	if l == nil {
		l = &remains{id: p.id}
	}
	h := &holding{id: p.id}
	if p.bad > 0 {
		h.flaw("%d keys of it make no sense", p.bad)
	}
	o.message(h, p, l)
	o.entries(h, p, l)
	o.states(h, p, l)
	h.part()
	slices.SortFunc(h.waits, func(a, b parcel) int { return cmp.Compare(a.d.ID.N, b.d.ID.N) })
	slices.SortFunc(h.left, func(a, b departed) int { return cmp.Compare(a.d.ID.N, b.d.ID.N) })
	if h.blob == nil && len(h.waits)+len(h.left) == 0 {
		return nil
	}
	o.place(h, p, l)
	if h.blob == nil {
		o.envelope(h)
	}
	return h
}

func (o *joiner) message(h *holding, p *parts, l *remains) {
	if p.m != nil {
		m, err := spool.DecodeMessage(p.m)
		if err == nil && m.ID == p.id {
			h.m, h.blob = m, p.m
			return
		}
		h.flaw("what the index says of the message makes no sense")
	}
	if l.blob != nil {
		h.m, h.blob = l.m, l.blob
	}
}

// entries takes the entries of both sides; one that stands in both has the same key.
func (o *joiner) entries(h *holding, p *parts, l *remains) {
	h.entries = slices.Concat(p.e, l.entries)
	byKey := func(a, b part) int { return slices.Compare(a.key, b.key) }
	slices.SortStableFunc(h.entries, byKey)
	h.entries = slices.CompactFunc(h.entries, func(a, b part) bool { return byKey(a, b) == 0 })
	if o.idx.touched(keyEntry, h.id) && (l.blob == nil || l.at.before(o.exact)) {
		h.flaw("entries of its timeline may be lost")
	}
}

// states finds out how each delivery is.
func (o *joiner) states(h *holding, p *parts, l *remains) {
	numbers := map[uint16]bool{}
	for _, q := range slices.Concat(p.t, p.x) {
		numbers[q.number()] = true
	}
	for n := range l.states {
		numbers[n] = true
	}
	waited := 0                 // as the index should count
	unsure := map[uint16]bool{} // not told by what is known to be the last word
	for _, n := range slices.Sorted(maps.Keys(numbers)) {
		r, logged := l.states[n]
		waits, left := find(p.t, n), find(p.x, n)
		switch {
		case logged && o.unseen(r.at) && left == nil: // what has left stays where it is
			if waits != nil {
				waited++
			}
			o.take(h, r)
			continue
		case logged && !r.at.before(o.exact) && o.torn(p.id): // the index is not needed
			o.take(h, r)
		default:
			s, sure, ok := o.state(h, n, waits, left, r, logged)
			if !ok {
				continue
			}
			r = s
			unsure[n] = !sure
			o.take(h, r)
		}
		if !r.closed {
			waited++
		}
	}
	o.balance(h, p, waited, unsure)
}

// unseen reports that the index had not seen what stands at a place of the log. Where
// nobody knows how far it had come, what stands before a hole may be old.
func (o *joiner) unseen(at pos) bool {
	if o.behind || o.idx.astray(o.applied) {
		return !at.before(o.exact)
	}
	return !at.before(o.applied)
}

// astray reports whether the index has lost how far it had followed the log.
func (r *indexReader) astray(applied pos) bool { return applied == pos{} && r.lost(appliedKey) }

// torn reports whether a delivery of a message may be lost in the index.
func (o *joiner) torn(id custody.ID) bool {
	return o.behind || o.idx.touched(keyWaiting, id) || o.idx.touched(keyLeft, id)
}

// take files a delivery as waiting or as having left.
func (o *joiner) take(h *holding, r remnant) {
	if r.closed {
		h.left = append(h.left, departed{r.parcel, r.left})
	} else {
		h.waits = append(h.waits, r.parcel)
	}
}

// balance compares what waits with what the index counts, as far as that can be
// relied on.
func (o *joiner) balance(h *holding, p *parts, waited int, unsure map[uint16]bool) {
	w, err := readWhere(p.w)
	if p.w != nil && err != nil {
		return
	}
	count := int(w.waiting)
	old := o.behind || o.idx.touched(keyWhere, h.id)
	if waited < count || old && o.torn(h.id) {
		o.rebuild(h, waited < count || len(h.waits)+len(h.left) == 0)
	}
	for i := len(h.waits) - 1; i >= 0 && waited > count && !old; i-- {
		d := h.waits[i]
		switch {
		case !unsure[d.d.ID.N]:
		case count == 0: // nothing of it waits any more
			h.waits = slices.Delete(h.waits, i, i+1)
			h.left = append(h.left, departed{d, nanos(d.d.Accepted)})
			h.flaw("its delivery %d has left, when and how is not known", d.d.ID.N)
			waited--
		default:
			h.flaw("its delivery %d may have left", d.d.ID.N)
			h.waits[i].hold(lostState)
		}
	}
}

// place finds the body of a message of which something waits.
func (o *joiner) place(h *holding, p *parts, l *remains) {
	if len(h.waits) == 0 {
		return
	}
	if p.w != nil {
		if w, err := readWhere(p.w); err == nil {
			h.body, h.hasBody = w.place, true
		} else {
			h.flaw("what the index says of its body makes no sense")
		}
	}
	if !h.hasBody && l.blob != nil {
		h.body, h.hasBody = l.place, true
	}
	if h.body, h.hasBody = l.follow(h.body, h.hasBody); h.hasBody {
		return
	}
	for _, name := range o.large(h.id) {
		if pl, err := o.bodies.measure(name); err == nil {
			h.body, h.hasBody = pl, true
			h.flaw("its large body was found again, and cannot be checked")
			return
		}
	}
	h.flaw("its body is lost")
}

// large returns which large bodies the index says belong to a message.
func (o *joiner) large(id custody.ID) []uint64 {
	if o.bigs == nil {
		o.bigs = map[custody.ID][]uint64{}
		for k := o.idx.keysOf(keyBig); k.next(); {
			if name, id, ok := readBig(k.key, k.value); ok {
				o.bigs[id] = append(o.bigs[id], name)
			}
		}
	}
	return o.bigs[id]
}

// envelope puts together again what the store knows of a message.
func (o *joiner) envelope(h *holding) {
	d := h.all()[0]
	m := custody.Message{ID: h.id, Accepted: d.Accepted, Size: h.body.size}
	m.Envelope.From = d.From
	m.Came.Rule = "put together again after damage on disk"
	if h.hasBody {
		o.look(h.body, &m)
	}
	h.m, h.blob = m, spool.AppendMessage(nil, m)
	h.flaw("what was known of the message was put together again from its deliveries")
}

const maxHead = 64 << 10

// look takes from a body what a message is found by, and which bytes are in it.
func (o *joiner) look(p place, m *custody.Message) {
	var head []byte
	eight := func(b []byte) bool { return slices.ContainsFunc(b, func(c byte) bool { return c >= 0x80 }) }
	_, err := o.bodies.scan(p, func(b []byte) error {
		head = append(head, b[:min(len(b), maxHead-len(head))]...)
		if eight(b) {
			m.Envelope.Body = mail.EightBit
		}
		return nil
	})
	if err != nil {
		return // it is told where the body is read for its own sake
	}
	header, _ := mail.SplitMessage(head)
	m.MessageID = mail.Clean(unbracketed(header.Get("Message-ID")), 250)
	m.Subject = mail.Clean(header.Get("Subject"), 250)
	for f := range header.Fields() {
		m.Envelope.UTF8 = m.Envelope.UTF8 || eight([]byte(f.Value()))
	}
}

func unbracketed(s string) string {
	if n := len(s); n > 1 && s[0] == '<' && s[n-1] == '>' {
		return s[1 : n-1]
	}
	return s
}

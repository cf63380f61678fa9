package local

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// accept files a message. One that is or was here already changes nothing.
func (a *applier) accept(r *record, m *accept, seg uint32) (bool, error) {
	if known, err := a.knows(m.m.ID); known || err != nil {
		return false, err
	}
	a.k = appendID(a.k[:0], keyMessage, m.m.ID)
	if err := a.b.Set(a.k, m.blob, nil); err != nil {
		return false, err
	}
	w := where{place: r.place(m, seg), once: true}
	for i := range m.ds {
		if err := a.put(&m.ds[i]); err != nil {
			return false, err
		}
		w.waiting++
	}
	if err := a.putWhere(m.m.ID, w); err != nil {
		return false, err
	}
	a.where[m.m.ID] = w
	a.body(w.place, m.m.ID, 1)
	return true, a.terms(m)
}

// knows reports whether a message is here or in the history.
func (a *applier) knows(id custody.ID) (bool, error) {
	if _, ok := a.where[id]; ok {
		return true, nil
	}
	_, c, err := a.s.db.Get(appendID(a.k[:0], keyMessage, id))
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("index: %w", err)
	}
	return true, c.Close()
}

// terms writes the keys by which Find finds the message.
func (a *applier) terms(m *accept) error {
	var err error
	messageTerms(m.m, func(k []byte) {
		if err == nil {
			err = a.b.Set(append(k, m.m.ID[:]...), nil, nil)
		}
	})
	for _, p := range m.ds {
		deliveryTerms(p.d, func(k []byte) {
			if err == nil {
				err = a.b.Set(append(k, m.m.ID[:]...), nil, nil)
			}
		})
	}
	return err
}

func messageTerms(m custody.Message, each func(key []byte)) {
	var buf [128]byte
	if m.MessageID != "" {
		each(appendTerm(buf[:0], keyHeader, m.MessageID))
	}
	from := m.Envelope.From.Key()
	each(appendTerm(buf[:0], keyFrom, from.Domain, from.Local))
}

func deliveryTerms(d custody.Delivery, each func(key []byte)) {
	var buf [128]byte
	for i := range d.Rcpts {
		each(appendTerm(buf[:0], keyTo, d.Domain, d.Rcpts[i].Address.Local))
	}
}

// put files a delivery that waits.
func (a *applier) put(p *parcel) error {
	lane := p.d.Lane()
	a.state[p.d.ID] = waiting{wake: p.wake, lane: lane, once: true}
	a.count++
	if err := a.setState(p, lane); err != nil {
		return err
	}
	return a.queue(lane, p.wake, p.d.ID, true)
}

func (a *applier) setState(p *parcel, lane string) error {
	a.k = appendDelivery(a.k[:0], keyWaiting, p.d.ID)
	a.v = appendWaiting(a.v[:0], p.wake, lane, p.blob)
	return a.b.Set(a.k, a.v, nil)
}

// queue writes or removes a key of the queue.
func (a *applier) queue(lane string, wake int64, id custody.DeliveryID, add bool) error {
	if wake == 0 {
		return nil
	}
	a.moved = append(a.moved, laneMove{lane, wake, add})
	a.k = appendQueue(a.k[:0], lane, wake, id)
	if add {
		return a.b.Set(a.k, nil, nil)
	}
	return a.drop(a.k, true)
}

// drop deletes a key. One that was written once since it was last not there
// takes its value with it out of the memtable, so that mail that leaves soon
// costs the disk none of the keys it had while it waited.
func (a *applier) drop(k []byte, once bool) error {
	if once {
		return a.b.SingleDelete(k, nil)
	}
	return a.b.Delete(k, nil)
}

func (a *applier) putWhere(id custody.ID, w where) error {
	once := w.once
	w.once = false
	a.where[id] = w
	a.k = appendID(a.k[:0], keyWhere, id)
	if w.waiting == 0 {
		a.past = append(a.past, id)
		return a.drop(a.k, once)
	}
	a.v = w.append(a.v[:0])
	return a.b.Set(a.k, a.v, nil)
}

// body counts a body that is wanted (n 1) or no more (n -1).
func (a *applier) body(p place, id custody.ID, n int64) {
	if p.big == 0 {
		d := a.segs[p.seg]
		a.segs[p.seg] = segDelta{d.count + n, d.live + n*p.size}
		return
	}
	a.bigs = big{a.bigs.count + n, a.bigs.live + n*p.size}
	a.k = binary.BigEndian.AppendUint64(append(a.k[:0], keyBig), p.big)
	if n > 0 {
		_ = a.b.Set(a.k, id[:], nil)
	} else {
		_ = a.b.Delete(a.k, nil)
		a.dead = append(a.dead, p.big)
	}
}

// lookup returns the state of a delivery that waits.
func (a *applier) lookup(id custody.DeliveryID) (waiting, error) {
	w, ok := a.state[id]
	if ok {
		if w.lane == "" && w.wake < 0 { // left in this very group
			return w, spool.ErrUnknown
		}
		return w, nil
	}
	a.k = appendDelivery(a.k[:0], keyWaiting, id)
	v, err := a.s.read(a.k)
	if err != nil {
		return w, err
	}
	w, err = readWaiting(v)
	w.blob = nil
	return w, err
}

func (a *applier) whereIs(id custody.ID) (where, error) {
	if w, ok := a.where[id]; ok {
		if w.waiting == 0 {
			return w, spool.ErrUnknown
		}
		return w, nil
	}
	return a.s.whereIs(id)
}

// step carries out one step of a delivery with all that belongs to it.
func (a *applier) step(r *record, st *step, seg uint32) error {
	id := st.d.ID
	old, err := a.lookup(id)
	if err != nil {
		return err
	}
	w, err := a.whereIs(id.Message)
	if err != nil {
		return err
	}
	for i := range st.split {
		if err := a.vacant(st.split[i].d.ID); err != nil {
			return err
		}
	}
	was := w.waiting
	lane := st.d.Lane()
	if st.closed || old.wake != st.wake || old.lane != lane {
		if err := a.queue(old.lane, old.wake, id, false); err != nil {
			return err
		}
		if !st.closed {
			if err := a.queue(lane, st.wake, id, true); err != nil {
				return err
			}
		}
	}
	if st.closed {
		w.waiting--
		a.count--
		a.k = appendDelivery(a.k[:0], keyWaiting, id)
		if err := a.drop(a.k, old.once); err != nil {
			return err
		}
		err = a.leave(&st.parcel, st.left)
	} else {
		a.state[id] = waiting{wake: st.wake, lane: lane}
		err = a.setState(&st.parcel, lane)
	}
	if err != nil {
		return err
	}
	n, err := a.split(st)
	if err != nil {
		return err
	}
	w.waiting += n
	if w.waiting != was {
		if err := a.putWhere(id.Message, w); err != nil {
			return err
		}
		if w.waiting == 0 {
			a.body(w.place, id.Message, -1)
		}
	}
	return a.attached(r, st, seg)
}

// errRefused is the error of a record that makes no sense: it changes nothing.
var errRefused = errors.New("local: refused")

// vacant answers errRefused if there is or was a delivery with that name.
func (a *applier) vacant(id custody.DeliveryID) error {
	_, err := a.lookup(id)
	if errors.Is(err, spool.ErrUnknown) {
		a.k = appendDelivery(a.k[:0], keyLeft, id)
		_, err = a.s.read(a.k)
	}
	switch {
	case err == nil:
		return fmt.Errorf("%w: a split into %s, which exists", errRefused, id)
	case errors.Is(err, spool.ErrUnknown):
		return nil
	}
	return err
}

// split files the deliveries that a step took out of its own, and returns how
// many of them wait.
func (a *applier) split(st *step) (n uint32, err error) {
	for i := range st.split {
		p := &st.split[i]
		if p.closed {
			err = a.leave(&p.parcel, st.left)
		} else {
			n++
			err = a.put(&p.parcel)
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// attached writes the entries of a step and its letters.
func (a *applier) attached(r *record, st *step, seg uint32) error {
	for i, e := range st.entries {
		a.k = appendID(a.k[:0], keyEntry, st.d.ID.Message)
		a.k = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(a.k, seg), r.at)
		a.k = binary.BigEndian.AppendUint16(a.k, uint16(i))
		if err := a.b.Set(a.k, e, nil); err != nil {
			return err
		}
	}
	for i := range st.letters {
		isNew, err := a.accept(r, &st.letters[i], seg)
		if err != nil {
			return err
		}
		if !isNew && i < len(r.fresh) {
			r.fresh[i].Items = nil
		}
	}
	return nil
}

// leave files a delivery in the history.
func (a *applier) leave(p *parcel, left int64) error {
	id := p.d.ID
	a.state[id] = waiting{wake: -1}
	a.gone = append(a.gone, id)
	a.k = appendDelivery(a.k[:0], keyLeft, id)
	a.v = appendWaiting(a.v[:0], left, "", p.blob)
	if err := a.b.Set(a.k, a.v, nil); err != nil {
		return err
	}
	a.k = appendDay(a.k[:0], left, id)
	return a.b.Set(a.k, nil, nil)
}

// move notes that a body was carried forward, if it is still wanted there.
func (a *applier) move(r *record, seg uint32) error {
	w, err := a.whereIs(r.move.id)
	if errors.Is(err, spool.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	if w.big != 0 || w.seg != r.move.from.seg || w.off != r.move.from.off {
		return nil
	}
	a.body(w.place, r.move.id, -1)
	w.seg, w.off = seg, r.at+uint32(len(r.head))
	a.body(w.place, r.move.id, 1)
	return a.putWhere(r.move.id, w)
}

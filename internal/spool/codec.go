package spool

import (
	"errors"
	"fmt"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// codecVersion stands first in every encoded record. A program reads its own
// version and the older ones.
const codecVersion = 2

// ErrCorrupt is returned by the Decode functions for bytes that Append did not
// write.
var ErrCorrupt = errors.New("spool: corrupt record")

// ErrVersion is returned by the Decode functions for a record that a newer
// program wrote.
var ErrVersion = errors.New("spool: record of a newer program")

// AppendMessage appends the stored form of m. Times keep their nanoseconds and
// lose their zone; they must lie between the years 1678 and 2262 or be zero.
func AppendMessage(b []byte, m custody.Message) []byte {
	w := writer{append(b, codecVersion)}
	w.id(m.ID)
	w.address(m.Envelope.From)
	w.uint(uint64(len(m.Envelope.To)))
	for _, r := range m.Envelope.To {
		w.recipient(r)
	}
	w.byte(byte(m.Envelope.Body))
	w.bool(m.Envelope.UTF8)
	w.byte(byte(m.Envelope.Return))
	w.string(m.Envelope.ID)
	w.int(int64(m.Envelope.By.Within))
	w.bool(m.Envelope.By.Return)
	w.bool(m.Envelope.By.Notify)
	w.bool(m.Envelope.By.Trace)
	w.time(m.Accepted)
	for _, s := range []string{m.Came.Client, m.Came.Helo, m.Came.Protocol, m.Came.User, m.Came.Listener, m.Came.Rule} {
		w.string(s)
	}
	w.byte(byte(m.Came.Notice))
	w.bool(!m.Came.About.IsZero())
	if !m.Came.About.IsZero() {
		w.id(m.Came.About)
	}
	w.int(m.Size)
	w.string(m.MessageID)
	w.string(m.Subject)
	w.uint(uint64(m.Parts))
	return w.b
}

// DecodeMessage reads what AppendMessage wrote.
func DecodeMessage(b []byte) (custody.Message, error) {
	r, err := open(b)
	if err != nil {
		return custody.Message{}, err
	}
	var m custody.Message
	m.ID = r.id()
	m.Envelope.From = r.address()
	if n := r.count(4); n > 0 {
		m.Envelope.To = make([]mail.Recipient, n)
		for i := range m.Envelope.To {
			m.Envelope.To[i] = r.recipient()
		}
	}
	m.Envelope.Body = mail.Body(r.byte())
	m.Envelope.UTF8 = r.bool()
	m.Envelope.Return = mail.Return(r.byte())
	m.Envelope.ID = r.string()
	m.Envelope.By.Within = time.Duration(r.int())
	m.Envelope.By.Return = r.bool()
	m.Envelope.By.Notify = r.bool()
	m.Envelope.By.Trace = r.bool()
	m.Accepted = r.time()
	for _, s := range []*string{&m.Came.Client, &m.Came.Helo, &m.Came.Protocol, &m.Came.User, &m.Came.Listener, &m.Came.Rule} {
		*s = r.string()
	}
	m.Came.Notice = custody.Kind(r.byte())
	if r.bool() {
		m.Came.About = r.id()
	}
	m.Size = r.int()
	m.MessageID = r.string()
	m.Subject = r.string()
	m.Parts = int(r.uint() & 0xffff)
	return m, r.end()
}

// AppendDelivery appends the stored form of d.
func AppendDelivery(b []byte, d custody.Delivery) []byte {
	w := writer{append(b, codecVersion)}
	w.deliveryID(d.ID)
	w.string(d.Domain)
	w.string(d.Via)
	w.address(d.From)
	w.time(d.Accepted)
	w.time(d.Deadline)
	w.time(d.By)
	w.bool(d.ByReturn)
	w.uint(uint64(len(d.Rcpts)))
	for _, r := range d.Rcpts {
		w.recipient(r.Recipient)
		w.byte(byte(r.State))
		w.bool(!r.Last.IsZero())
		if !r.Last.IsZero() {
			w.outcome(r.Last)
		}
	}
	w.int(int64(d.Tries))
	w.time(d.Began)
	w.uint(uint64(len(d.Runs)))
	for _, n := range d.Runs {
		w.uint(uint64(n))
	}
	w.time(d.Next)
	w.time(d.Resume)
	w.int(int64(d.Warned))
	w.bool(d.ByTold)
	w.time(d.Held.Since)
	if !d.Held.IsZero() {
		w.string(d.Held.By)
		w.string(d.Held.Why)
	}
	w.byte(byte(d.Last))
	w.uint(uint64(d.Of))
	return w.b
}

// DecodeDelivery reads what AppendDelivery wrote.
func DecodeDelivery(b []byte) (custody.Delivery, error) {
	r, err := open(b)
	if err != nil {
		return custody.Delivery{}, err
	}
	var d custody.Delivery
	d.ID = r.deliveryID()
	d.Domain = r.string()
	d.Via = r.string()
	d.From = r.address()
	d.Accepted = r.time()
	d.Deadline = r.time()
	d.By = r.time()
	d.ByReturn = r.bool()
	if n := r.count(6); n > 0 {
		d.Rcpts = make([]custody.Recipient, n)
		for i := range d.Rcpts {
			c := &d.Rcpts[i]
			c.Recipient = r.recipient()
			c.State = custody.State(r.byte())
			if r.bool() {
				c.Last = r.outcome()
			}
		}
	}
	d.Tries = int(r.int())
	d.Began = r.time()
	// A program with more lists of paces may have written more counters; those
	// that this one does not know are those of a newer version.
	n := r.count(1)
	if n > len(d.Runs) {
		r.bad = true
	}
	for i := range min(n, len(d.Runs)) {
		d.Runs[i] = uint16(r.uint())
	}
	d.Next = r.time()
	d.Resume = r.time()
	d.Warned = time.Duration(r.int())
	d.ByTold = r.bool()
	if d.Held.Since = r.time(); !d.Held.IsZero() {
		d.Held.By = r.string()
		d.Held.Why = r.string()
	}
	d.Last = custody.Trouble(r.byte())
	if r.version >= 2 {
		d.Of = uint16(r.uint())
	}
	return d, r.end()
}

// The tags of the unions custody.Event and custody.Duty.
const (
	tagNone = iota
	tagDue
	tagTried
	tagOrdered
	tagOrderedUntil
)

const (
	tagTry = iota + 1
	tagTell
	tagClose
)

// AppendEntry appends the stored form of e.
func AppendEntry(b []byte, e custody.Entry) []byte {
	w := writer{append(b, codecVersion)}
	w.time(e.At)
	w.deliveryID(e.Delivery)
	w.event(e.Event)
	w.uint(uint64(len(e.Duties)))
	for _, d := range e.Duties {
		w.duty(d)
	}
	w.time(e.Next)
	w.uint(uint64(len(e.Letters)))
	for _, id := range e.Letters {
		w.id(id)
	}
	return w.b
}

// DecodeEntry reads what AppendEntry wrote.
func DecodeEntry(b []byte) (custody.Entry, error) {
	r, err := open(b)
	if err != nil {
		return custody.Entry{}, err
	}
	var e custody.Entry
	e.At = r.time()
	e.Delivery = r.deliveryID()
	e.Event = r.event()
	if n := r.count(1); n > 0 {
		e.Duties = make([]custody.Duty, n)
		for i := range e.Duties {
			e.Duties[i] = r.duty()
		}
	}
	e.Next = r.time()
	if n := r.count(len(custody.ID{})); n > 0 {
		e.Letters = make([]custody.ID, n)
		for i := range e.Letters {
			e.Letters[i] = r.id()
		}
	}
	return e, r.end()
}

func open(b []byte) (*reader, error) {
	if len(b) == 0 || b[0] == 0 {
		return nil, ErrCorrupt
	}
	if b[0] > codecVersion {
		return nil, fmt.Errorf("%w: version %d, this one reads up to %d", ErrVersion, b[0], codecVersion)
	}
	return &reader{s: string(b[1:]), version: b[0]}, nil
}

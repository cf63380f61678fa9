package spool

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// writer appends fields: numbers as varints, strings with their length in front.
type writer struct{ b []byte }

func (w *writer) byte(v byte)   { w.b = append(w.b, v) }
func (w *writer) uint(v uint64) { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) int(v int64)   { w.b = binary.AppendVarint(w.b, v) }

func (w *writer) bool(v bool) {
	if v {
		w.b = append(w.b, 1)
	} else {
		w.b = append(w.b, 0)
	}
}

func (w *writer) string(s string) {
	w.uint(uint64(len(s)))
	w.b = append(w.b, s...)
}

// time writes 0 for the zero time, which UnixNano does not cover.
func (w *writer) time(t time.Time) {
	if t.IsZero() {
		w.byte(0)
		return
	}
	n := max(t.UnixNano(), math.MinInt64+1)
	w.uint((uint64(n)<<1 ^ uint64(n>>63)) + 1)
}

func (w *writer) id(id custody.ID) { w.b = append(w.b, id[:]...) }

func (w *writer) deliveryID(id custody.DeliveryID) {
	w.id(id.Message)
	w.uint(uint64(id.N))
}

func (w *writer) address(a mail.Address) {
	w.string(a.Local)
	w.string(a.Domain)
}

func (w *writer) recipient(r mail.Recipient) {
	w.address(r.Address)
	w.byte(byte(r.Notify))
	w.string(r.Original)
}

// ints keeps nil and empty apart: nil stands for all in an Outcome.
func (w *writer) ints(is []int) {
	if is == nil {
		w.byte(0)
		return
	}
	w.uint(uint64(len(is)) + 1)
	for _, i := range is {
		w.int(int64(i))
	}
}

func (w *writer) outcome(o custody.Outcome) {
	w.ints(o.Rcpts)
	w.time(o.At)
	w.string(o.Host)
	w.string(o.IP)
	w.byte(byte(o.Stage))
	w.int(int64(o.Reply.Code))
	w.bool(!o.Reply.Status.IsZero())
	if !o.Reply.Status.IsZero() {
		for _, n := range o.Reply.Status {
			w.uint(uint64(n))
		}
	}
	w.string(o.Reply.Text)
	w.bool(o.Theirs)
	w.byte(byte(o.Trouble))
	w.int(int64(o.Hint))
	w.byte(byte(o.Taken))
	w.bool(o.Permanent)
}

func (w *writer) event(e custody.Event) {
	switch e := e.(type) {
	case custody.Due:
		w.byte(tagDue)
		w.time(e.At)
		w.string(e.Blocked)
		w.time(e.Until)
	case custody.Tried:
		w.byte(tagTried)
		w.time(e.At)
		a := e.Attempt
		w.time(a.Began)
		w.int(int64(a.Took))
		w.string(a.Way)
		w.string(a.Rule)
		w.string(a.TLS)
		w.bool(a.Shared)
		w.uint(uint64(len(a.Outcomes)))
		for _, o := range a.Outcomes {
			w.outcome(o)
		}
	case custody.Ordered:
		tag := byte(tagOrdered)
		if !e.Until.IsZero() {
			tag = tagOrderedUntil
		}
		w.byte(tag)
		w.time(e.At)
		w.string(e.By)
		w.string(e.Why)
		w.byte(byte(e.Order))
		w.string(e.Via)
		if !e.Until.IsZero() {
			w.time(e.Until)
		}
	default:
		w.byte(tagNone)
	}
}

func (w *writer) duty(d custody.Duty) {
	switch d := d.(type) {
	case custody.Try:
		w.byte(tagTry)
		w.bool(d.Last)
	case custody.Tell:
		w.byte(tagTell)
		w.byte(byte(d.Kind))
		w.ints(d.Rcpts)
		w.bool(d.Null)
	case custody.Close:
		w.byte(tagClose)
	default:
		w.byte(tagNone)
	}
}

// reader reads what writer wrote. At the first thing that makes no sense it goes
// bad and yields zeros from then on. It reads a string, so that all the strings
// of a record share one piece of memory.
type reader struct {
	s       string
	version byte // of the record
	bad     bool
}

// end reports whether all was read and made sense.
func (r *reader) end() error {
	if r.bad || r.s != "" {
		return ErrCorrupt
	}
	return nil
}

func (r *reader) fail() {
	r.bad = true
	r.s = ""
}

func (r *reader) byte() byte {
	if r.s == "" {
		r.fail()
		return 0
	}
	v := r.s[0]
	r.s = r.s[1:]
	return v
}

func (r *reader) bool() bool {
	v := r.byte()
	if v > 1 {
		r.fail()
	}
	return v == 1
}

func (r *reader) uint() uint64 {
	var v uint64
	for i := range min(len(r.s), binary.MaxVarintLen64) {
		c := r.s[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if i == binary.MaxVarintLen64-1 && c > 1 {
				break
			}
			r.s = r.s[i+1:]
			return v
		}
	}
	r.fail()
	return 0
}

func (r *reader) int() int64 {
	v := r.uint()
	return int64(v>>1) ^ -int64(v&1)
}

func (r *reader) take(n uint64) string {
	if n > uint64(len(r.s)) {
		r.fail()
		return ""
	}
	s := r.s[:n]
	r.s = r.s[n:]
	return s
}

func (r *reader) string() string { return r.take(r.uint()) }

// count reads the length of a list whose elements have at least least octets
// each, so that a few bad bytes cannot ask for much memory.
func (r *reader) count(least int) int {
	n := r.uint()
	if n > uint64(len(r.s)/least) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) time() time.Time {
	z := r.uint()
	if z == 0 {
		return time.Time{}
	}
	z--
	return time.Unix(0, int64(z>>1)^-int64(z&1)).UTC()
}

func (r *reader) id() (id custody.ID) {
	copy(id[:], r.take(uint64(len(id))))
	return id
}

func (r *reader) deliveryID() custody.DeliveryID {
	id := custody.DeliveryID{Message: r.id()}
	n := r.uint()
	if n > math.MaxUint16 {
		r.fail()
	}
	id.N = uint16(n)
	return id
}

func (r *reader) address() mail.Address {
	return mail.Address{Local: r.string(), Domain: r.string()}
}

func (r *reader) recipient() mail.Recipient {
	return mail.Recipient{Address: r.address(), Notify: mail.Notify(r.byte()), Original: r.string()}
}

func (r *reader) ints() []int {
	n := r.uint()
	if n == 0 {
		return nil
	}
	if n-1 > uint64(len(r.s)) {
		r.fail()
		return nil
	}
	is := make([]int, n-1)
	for i := range is {
		is[i] = int(r.int())
	}
	return is
}

func (r *reader) outcome() custody.Outcome {
	var o custody.Outcome
	o.Rcpts = r.ints()
	o.At = r.time()
	o.Host = r.string()
	o.IP = r.string()
	o.Stage = mail.Stage(r.byte())
	o.Reply.Code = int(r.int())
	if r.bool() {
		for i := range o.Reply.Status {
			o.Reply.Status[i] = uint16(r.uint())
		}
	}
	o.Reply.Text = r.string()
	o.Theirs = r.bool()
	o.Trouble = custody.Trouble(r.byte())
	o.Hint = time.Duration(r.int())
	o.Taken = custody.Taken(r.byte())
	o.Permanent = r.bool()
	return o
}

func (r *reader) event() custody.Event {
	switch r.byte() {
	case tagNone:
	case tagDue:
		return custody.Due{At: r.time(), Blocked: r.string(), Until: r.time()}
	case tagTried:
		var e custody.Tried
		e.At = r.time()
		a := &e.Attempt
		a.Began = r.time()
		a.Took = time.Duration(r.int())
		a.Way = r.string()
		a.Rule = r.string()
		a.TLS = r.string()
		a.Shared = r.bool()
		if n := r.count(12); n > 0 {
			a.Outcomes = make([]custody.Outcome, n)
			for i := range a.Outcomes {
				a.Outcomes[i] = r.outcome()
			}
		}
		return e
	case tagOrdered:
		return custody.Ordered{At: r.time(), By: r.string(), Why: r.string(), Order: custody.Order(r.byte()), Via: r.string()}
	case tagOrderedUntil:
		return custody.Ordered{At: r.time(), By: r.string(), Why: r.string(), Order: custody.Order(r.byte()), Via: r.string(), Until: r.time()}
	default:
		r.fail()
	}
	return nil
}

func (r *reader) duty() custody.Duty {
	switch r.byte() {
	case tagNone:
	case tagTry:
		return custody.Try{Last: r.bool()}
	case tagTell:
		return custody.Tell{Kind: custody.Kind(r.byte()), Rcpts: r.ints(), Null: r.bool()}
	case tagClose:
		return custody.Close{}
	default:
		r.fail()
	}
	return nil
}

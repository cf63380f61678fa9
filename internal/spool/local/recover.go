package local

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
)

// state finds out how a delivery was when the index had last seen it, from what the
// index and an older record of the log say. sure: nothing later can have been lost.
func (o *joiner) state(h *holding, n uint16, waits, left *part, r remnant, logged bool) (s remnant, sure, ok bool) {
	if left != nil {
		s, err := left.state(h.id)
		if s.closed = true; err == nil {
			return s, true, true
		}
		h.flaw("its delivery %d, which has left, makes no sense", n)
	}
	torn := o.torn(h.id)
	known := false
	if waits != nil {
		s, err := waits.state(h.id)
		switch {
		case err != nil:
			h.flaw("its delivery %d makes no sense", n)
		case !torn:
			if left != nil {
				h.flaw("its delivery %d waits and has left", n)
			}
			return s, true, true
		case !logged || s.d.Tries >= r.d.Tries:
			r, known = s, true
		}
	}
	if !known && !logged {
		return r, false, false
	}
	later := r.replay(h.entries, n, known)
	whole := !o.behind && !o.idx.touched(keyEntry, h.id) // all that was done with it is known
	switch {
	case whole && later == 0:
		return r, true, true
	case whole:
		h.flaw("its delivery %d was put together again from its timeline", n)
	case known && later == 0:
		h.flaw("its delivery %d may be older than it was", n)
		if o.behind {
			r.hold(lostState)
		}
	default:
		h.flaw("its delivery %d is older than it was", n)
		r.hold(lostState)
	}
	return r, whole, true
}

// state reads what the index has of a delivery.
func (p part) state(id custody.ID) (r remnant, err error) {
	w, err := readWaiting(p.value)
	if err != nil {
		return r, err
	}
	r.wake, r.left, r.blob = w.wake, w.wake, w.blob
	if err = r.decode(); err == nil && r.d.ID != (custody.DeliveryID{Message: id, N: p.number()}) {
		err = errKey
	}
	return r, err
}

// patient is a schedule by which nothing ends: the entries say what did.
var patient = custody.Schedule{Retry: []custody.Pace{{Gap: time.Hour}}, Expire: 100 * 365 * 24 * time.Hour}

// replay takes the steps that the timeline has beyond a state, and returns how many
// those were. A state of the index says how many tries it knows, one of the log where
// in the log it stands.
func (r *remnant) replay(entries []part, n uint16, indexed bool) (later int) {
	tries := 0
	for _, p := range entries {
		e, err := spool.DecodeEntry(p.value)
		if err != nil || e.Delivery.N != n {
			continue
		}
		if _, tried := e.Event.(custody.Tried); tried {
			tries++
		}
		if indexed && tries <= r.d.Tries || !indexed && !r.at.before(p.at()) {
			continue
		}
		later++
		r.d, _ = custody.Step(r.d, patient, e.Event)
		r.d.Next = e.Next
		if slices.ContainsFunc(e.Duties, func(d custody.Duty) bool { _, ok := d.(custody.Close); return ok }) {
			r.closed, r.left = true, nanos(e.At)
			for i := range r.d.Rcpts {
				if r.d.Rcpts[i].State == custody.Pending {
					r.d.Rcpts[i].State = custody.Expired
				}
			}
		}
	}
	if later > 0 {
		r.store()
	}
	return later
}

// store encodes a delivery that was put together.
func (p *parcel) store() {
	p.wake = nanos(p.d.Next)
	if p.wake == 0 {
		p.wake = nanos(p.d.Accepted)
	}
	p.blob = spool.AppendDelivery(nil, p.d)
}

// lostState is why a delivery is held that is not as it was.
const lostState = "what became of it was lost by damage on disk: look at its timeline, then release or remove it"

// hold keeps a delivery from being tried before a person has looked at it.
func (p *parcel) hold(why string) {
	if p.d.Held.IsZero() {
		p.d.Held = custody.Hold{Since: time.Now().UTC(), By: "postrider", Why: why}
	}
	p.store()
}

// part takes recipients out of a delivery that have one of their own by now.
func (h *holding) part() {
	for _, d := range h.all() {
		i := slices.IndexFunc(h.waits, func(p parcel) bool { return d.Of != 0 && p.d.ID.N == d.Of })
		if i < 0 {
			continue
		}
		of := &h.waits[i]
		for k, r := range of.d.Rcpts {
			own := func(c custody.Recipient) bool { return c.State != custody.Parted && c.Address == r.Address }
			if r.State == custody.Pending && slices.ContainsFunc(d.Rcpts, own) {
				of.d.Rcpts = slices.Clone(of.d.Rcpts)
				of.d.Rcpts[k].State = custody.Parted
				of.blob = spool.AppendDelivery(nil, of.d)
				h.flaw("its delivery %d is older than it was", of.d.ID.N)
			}
		}
	}
}

// rebuild makes deliveries for the recipients that the index knows and no delivery
// has. They are held: who of them has got the message already, nobody knows. lost: it
// is known that there was one.
func (o *joiner) rebuild(h *holding, lost bool) {
	has := map[mail.Address]bool{}
	used := map[uint16]bool{}
	for _, d := range h.all() {
		used[d.ID.N] = true
		for _, r := range d.Own() {
			has[folded(r.Address)] = true
		}
	}
	domains := map[string][]mail.Recipient{}
	var order []string
	for _, a := range o.recipients(h.id) {
		if has[folded(a)] {
			continue
		}
		if domains[a.Domain] == nil {
			order = append(order, a.Domain)
		}
		domains[a.Domain] = append(domains[a.Domain], mail.Recipient{Address: a})
	}
	if len(order) == 0 || h.blob == nil {
		if lost {
			h.flaw("a delivery of it is lost")
		}
		return
	}
	n := uint16(0)
	for _, domain := range order {
		for n++; used[n]; n++ {
		}
		p := parcel{d: custody.NewDelivery(h.m, n, domain, domains[domain])}
		p.hold(lostState)
		h.waits = append(h.waits, p)
		h.flaw("its delivery %d was made again from its recipients, and is held", n)
	}
}

func folded(a mail.Address) mail.Address {
	return mail.Address{Local: strings.ToLower(a.Local), Domain: a.Key().Domain}
}

// recipients returns those by whom the index finds a message. They have lost their
// capital letters.
func (o *joiner) recipients(id custody.ID) []mail.Address {
	if o.rcpts == nil && o.wanted != nil {
		o.rcpts = map[custody.ID][]mail.Address{}
		for k := o.idx.keysOf(keyTo); k.next(); {
			if id, a, ok := readRecipient(k.key); ok && o.wanted(id) {
				o.rcpts[id] = append(o.rcpts[id], a)
			}
		}
	}
	return slices.SortedFunc(slices.Values(o.rcpts[id]), func(a, b mail.Address) int {
		return cmp.Or(strings.Compare(a.Domain, b.Domain), strings.Compare(a.Local, b.Local))
	})
}

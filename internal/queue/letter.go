package queue

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/sourcegraph/conc/panics"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/notice"
)

const (
	originalMost = 4 << 20 // octets of a message read for a letter
	headerMost   = 256 << 10
)

// letter is a letter of ours that is still to be written.
type letter struct {
	id    custody.ID
	write func() spool.Letter
}

func newLetter(now time.Time, write func(custody.ID) spool.Letter) letter {
	id := custody.NewID(now, 0, random())
	return letter{id, func() spool.Letter { return write(id) }}
}

// wants notes a letter in the last entry of a step.
func (c *conclusion) wants(l letter) {
	c.letters = append(c.letters, l)
	last := &c.step.Entries[len(c.step.Entries)-1]
	last.Letters = append(last.Letters, l.id)
}

// compose writes the letters of all conclusions, which takes most of the time where
// there are some, side by side.
func compose(all []conclusion) {
	var work sync.WaitGroup
	catchers := make([]panics.Catcher, len(all))
	places := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range all {
		c := &all[i]
		c.step.Letters = make([]spool.Letter, len(c.letters))
		for k, l := range c.letters {
			places <- struct{}{}
			work.Go(func() {
				catchers[i].Try(func() { c.step.Letters[k] = l.write() })
				<-places
			})
		}
	}
	work.Wait()
	for i := range all {
		all[i].caught = cmp.Or(all[i].caught, catchers[i].Recovered())
	}
}

// reader is who is to be told of a delivery; null: nobody.
func (q *Queue) reader(d custody.Delivery, t custody.Tell) mail.Address {
	if !t.Null {
		return d.From
	}
	if to := q.o.Rules.PostmasterCopy(); !addressed(d, to) {
		return to
	}
	return mail.Address{}
}

// letter is what a duty asks for.
func (q *Queue) letter(r result, w told, to mail.Address, sch custody.Schedule) letter {
	return newLetter(w.now(), func(id custody.ID) spool.Letter {
		w.entries = heard(q.timeline(w))
		return q.write(r, id, w.now(), w, to, sch)
	})
}

// now is when the last of the entries was made.
func (w told) now() time.Time { return w.entries[len(w.entries)-1].At }

// write has a letter composed that is asked for at a moment: its life counts from there.
func (q *Queue) write(r result, id custody.ID, now time.Time, w told, to mail.Address, sch custody.Schedule) spool.Letter {
	d, t, entries := w.delivery, w.tell, w.entries
	o := q.o.Rules.Notices()
	original, whole := q.original(r, o)
	var blocked string
	if due, ok := entries[len(entries)-1].Event.(custody.Due); ok {
		blocked = due.Blocked
	}
	l := notice.Compose(o, notice.News{
		Kind: t.Kind, Message: r.message, Delivery: d, Rcpts: t.Rcpts, Entries: entries,
		Schedule: sch, Now: now, To: to, Blocked: blocked, Original: original, Whole: whole, ID: id.String() + "@" + o.Hostname,
	})
	if signature := q.o.Rules.Sign(l.Bytes); len(signature) > 0 {
		l.Bytes = append(signature, l.Bytes...)
	}
	m := custody.Message{
		ID: id, Accepted: now, Size: int64(len(l.Bytes)), MessageID: id.String() + "@" + o.Hostname, Subject: l.Subject,
		Envelope: mail.Envelope{UTF8: l.UTF8},
		Came:     custody.Came{Protocol: "local", Notice: t.Kind, About: d.ID.Message, Rule: "written by this server"},
	}
	if l.EightBit {
		m.Envelope.Body = mail.EightBit
	}
	return spool.Letter{Message: m, Deliveries: q.o.Rules.Deliveries(m, to), Body: l.Bytes}
}

// addressed reports whether a delivery goes to that address: a postmaster who
// cannot be reached is not told so by mail.
func addressed(d custody.Delivery, a mail.Address) bool {
	for _, r := range d.Rcpts {
		if r.Address.Key() == a.Key() {
			return true
		}
	}
	return false
}

// timeline is the history of a delivery, its newest entries included.
func (q *Queue) timeline(w told) []custody.Entry {
	d, newest := w.delivery, w.entries
	if d.Of == 0 { // never split: it has no other past than its own
		es, _ := q.o.Store.Entries(context.Background(), d.ID.Message)
		es = slices.DeleteFunc(es, func(e custody.Entry) bool { return e.Delivery != d.ID })
		return append(es, newest...)
	}
	h, err := q.o.Store.History(context.Background(), d.ID.Message)
	if err != nil {
		h = spool.History{}
	}
	h.Deliveries = append(h.Deliveries, spool.Row{Item: spool.Item{Delivery: d}}) // perhaps just split
	h.Entries = append(h.Entries, newest...)
	return h.Timeline(d.ID)
}

// heard are entries without the warnings that were not written: a letter refers to
// what its reader has. The last entry is the one that asks for the letter.
func heard(es []custody.Entry) []custody.Entry {
	for i, e := range es[:len(es)-1] {
		if !e.Warned() {
			es[i].Duties = slices.DeleteFunc(slices.Clone(e.Duties), func(d custody.Duty) bool {
				t, ok := d.(custody.Tell)
				return ok && t.Kind == custody.Delayed
			})
		}
	}
	return es
}

// original reads what a letter may return of the message: all of it, or its
// header if it is too large.
func (q *Queue) original(r result, o notice.Options) (b []byte, whole bool) {
	body := r.body
	if body == nil {
		f, err := q.o.Store.Body(context.Background(), r.message.ID)
		if err != nil {
			q.o.Log.Error("a letter goes out without the message it is about", "message", r.message.ID, "err", err)
			return nil, false
		}
		defer f.Close()
		size := f.Size()
		if size > min(max(o.FullUpTo, headerMost), originalMost) {
			size = headerMost
		}
		body = make([]byte, size)
		n, err := f.ReadAt(body, 0)
		if err != nil && err != io.EOF {
			q.o.Log.Error("a letter goes out without the message it is about", "message", r.message.ID, "err", err)
			return nil, false
		}
		body = body[:n]
	}
	return body, int64(len(body)) == r.message.Size
}

func random() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}

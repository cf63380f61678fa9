package queue

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/notice"
)

const (
	originalMost = 4 << 20 // octets of a message read for a letter
	headerMost   = 256 << 10
)

// letter writes the message that a duty asks for. It answers nil if there is
// nobody to write to.
func (q *Queue) letter(r result, entries []custody.Entry, d custody.Delivery, t custody.Tell, sch custody.Schedule) *spool.Letter {
	to := d.From
	if t.Null {
		if to = q.o.Rules.PostmasterCopy(); to.IsNull() || addressed(d, to) {
			return nil
		}
	}
	return q.write(r, told{d, t, q.timeline(d, entries)}, to, sch)
}

// write has a letter composed.
func (q *Queue) write(r result, w told, to mail.Address, sch custody.Schedule) *spool.Letter {
	d, t, entries := w.delivery, w.tell, w.entries
	o := q.o.Rules.Notices()
	now := entries[len(entries)-1].At
	id := custody.NewID(now, 0, random())
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
	return &spool.Letter{Message: m, Deliveries: q.o.Rules.Deliveries(m, to), Body: l.Bytes}
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
func (q *Queue) timeline(d custody.Delivery, newest []custody.Entry) []custody.Entry {
	h, err := q.o.Store.History(context.Background(), d.ID.Message)
	if err != nil {
		h = spool.History{}
	}
	h.Deliveries = append(h.Deliveries, spool.Row{Item: spool.Item{Delivery: d}}) // perhaps just split
	h.Entries = append(h.Entries, newest...)
	return h.Timeline(d.ID)
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

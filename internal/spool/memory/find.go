package memory

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
)

// draft gathers the bytes of one message.
type draft struct {
	s    *Store
	b    bytes.Buffer
	done bool
}

var errDone = errors.New("memory: the draft has ended")

func (d *draft) Write(p []byte) (int, error) {
	if d.done {
		return 0, errDone
	}
	return d.b.Write(p)
}

func (d *draft) ReadAt(p []byte, off int64) (int, error) {
	if d.done {
		return 0, errDone
	}
	return bytes.NewReader(d.b.Bytes()).ReadAt(p, off)
}

func (d *draft) Size() int64 { return int64(d.b.Len()) }
func (d *draft) Abort()      { d.done = true }

func (d *draft) Commit(ctx context.Context, m custody.Message, ds []custody.Delivery) error {
	if d.done {
		return errDone
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	d.done = true
	if len(ds) == 0 {
		return fmt.Errorf("memory: commit %s: no delivery", m.ID)
	}
	seen := map[custody.DeliveryID]bool{}
	for _, one := range ds {
		if one.ID.Message != m.ID || seen[one.ID] {
			return fmt.Errorf("memory: commit %s: delivery %s does not belong", m.ID, one.ID)
		}
		seen[one.ID] = true
	}
	d.s.mu.Lock()
	isNew := d.s.accept(m, ds, d.b.Bytes())
	d.s.mu.Unlock()
	if isNew {
		d.s.hand(offer(m, ds, d.b.Bytes()))
	}
	return nil
}

// Find yields what fits the query as things stand at its beginning.
func (s *Store) Find(ctx context.Context, q spool.Query) iter.Seq2[spool.Row, error] {
	return func(yield func(spool.Row, error) bool) {
		if err := check(q); err != nil {
			yield(spool.Row{}, err)
			return
		}
		n := 0
		for _, r := range s.rows(q) {
			if err := ctx.Err(); err != nil {
				yield(spool.Row{}, err)
				return
			}
			if !yield(r, nil) {
				return
			}
			if n++; n == q.Limit {
				return
			}
		}
	}
}

func check(q spool.Query) error {
	if q.State != "" && q.State != "waiting" && q.State != "held" {
		return fmt.Errorf("memory: find: no state is called %q", q.State)
	}
	if _, err := custody.ParseDeliveryID(q.ID); q.ID != "" && err != nil {
		if _, err := custody.ParseID(q.ID); err != nil {
			return fmt.Errorf("memory: find: %w", err)
		}
	}
	return nil
}

// rows returns what fits behind q.After: waiting ones by id, then departed ones,
// newest first.
func (s *Store) rows(q spool.Query) []spool.Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	var waiting, left []spool.Row
	for _, m := range s.messages {
		for _, d := range m.deliveries {
			switch {
			case !fits(d.Row, q):
			case d.Left.IsZero():
				waiting = append(waiting, d.Row)
			case q.Departed:
				left = append(left, d.Row)
			}
		}
	}
	slices.SortFunc(waiting, func(a, b spool.Row) int { return compare(a.Delivery.ID, b.Delivery.ID) })
	slices.SortFunc(left, func(a, b spool.Row) int {
		return cmp.Or(b.Left.Compare(a.Left), compare(b.Delivery.ID, a.Delivery.ID))
	})
	if q.After == (custody.DeliveryID{}) {
		return append(waiting, left...)
	}
	if !q.AfterLeft.IsZero() {
		return slices.DeleteFunc(left, func(r spool.Row) bool {
			return cmp.Or(q.AfterLeft.Compare(r.Left), compare(q.After, r.Delivery.ID)) <= 0
		})
	}
	waiting = slices.DeleteFunc(waiting, func(r spool.Row) bool { return compare(r.Delivery.ID, q.After) <= 0 })
	return append(waiting, left...)
}

func fits(r spool.Row, q spool.Query) bool {
	d, m := r.Delivery, r.Message
	is := func(want, local, domain string) bool {
		wantLocal, wantDomain, _ := strings.Cut(want, "@")
		return (wantLocal == "" || strings.EqualFold(wantLocal, local)) && mail.Address{Domain: wantDomain}.Key().Domain == domain
	}
	anyone := func(f func(custody.Recipient) bool) bool { return slices.ContainsFunc(d.Own(), f) }
	switch {
	case q.ID != "" && q.ID != m.ID.String() && q.ID != d.ID.String(),
		q.MessageID != "" && !strings.EqualFold(q.MessageID, m.MessageID),
		q.From != "" && !is(q.From, m.Envelope.From.Local, m.Envelope.From.Key().Domain),
		q.To != "" && !anyone(func(c custody.Recipient) bool { return is(q.To, c.Address.Local, d.Domain) }),
		q.Domain != "" && !is("@"+q.Domain, "", d.Domain),
		q.State != "" && (!r.Left.IsZero() || d.Held.IsZero() != (q.State == "waiting")),
		q.Reply != "" && !anyone(func(c custody.Recipient) bool {
			return r.Concerns(c) && strings.Contains(strings.ToLower(c.Last.Reply.Line()), strings.ToLower(q.Reply))
		}),
		!q.Before.IsZero() && !m.Accepted.Before(q.Before):
		return false
	}
	return true
}

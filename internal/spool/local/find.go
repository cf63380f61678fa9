package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
)

var errStop = errors.New("stop")

// Find yields what fits the query from a picture of this moment.
func (s *Store) Find(ctx context.Context, q spool.Query) iter.Seq2[spool.Row, error] {
	return func(yield func(spool.Row, error) bool) {
		err := s.usable(ctx)
		if err == nil {
			snap := s.db.NewSnapshot()
			f := &finder{ctx: ctx, r: snap, q: q, yield: yield, n: q.Limit}
			err = errors.Join(f.run(), snap.Close())
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(spool.Row{}, fmt.Errorf("local: find: %w", err))
		}
	}
}

// finder carries out one query.
type finder struct {
	ctx   context.Context
	r     pebble.Reader
	q     spool.Query
	yield func(spool.Row, error) bool
	n     int // rows that may still be yielded; 0: any number
	test  []func(*spool.Row) bool
}

func (f *finder) run() error {
	terms, err := f.prepare()
	if err != nil {
		return err
	}
	after, gone := f.q.After, nanos(f.q.AfterLeft) // gone: After names what had left then
	ids, few, err := f.gather(terms)
	if err != nil {
		return err
	}
	if few {
		return f.among(ids, after, gone)
	}
	if gone == 0 {
		if err := f.waiting(after); err != nil {
			return err
		}
	}
	if !f.q.Departed {
		return nil
	}
	return f.departed(after, gone, 0)
}

// prepare turns the query into tests, and into keys of the index of which each
// alone leads to all that fits.
func (f *finder) prepare() (terms [][]byte, err error) {
	q := f.q
	add := func(t func(*spool.Row) bool) { f.test = append(f.test, t) }
	if q.MessageID != "" {
		terms = append(terms, appendTerm(nil, keyHeader, q.MessageID))
		add(func(r *spool.Row) bool { return strings.EqualFold(r.Message.MessageID, q.MessageID) })
	}
	if q.To != "" {
		local, domain, key := term(keyTo, q.To)
		terms = append(terms, key)
		add(func(r *spool.Row) bool {
			return r.Delivery.Domain == domain && (local == "" || slices.ContainsFunc(r.Delivery.Rcpts,
				func(c custody.Recipient) bool {
					return c.State != custody.Parted && strings.EqualFold(c.Address.Local, local)
				}))
		})
	}
	if q.From != "" {
		local, domain, key := term(keyFrom, q.From)
		terms = append(terms, key)
		add(func(r *spool.Row) bool {
			from := r.Message.Envelope.From
			return (local == "" || strings.EqualFold(from.Local, local)) && from.Key().Domain == domain
		})
	}
	if q.Domain != "" {
		_, domain, key := term(keyTo, "@"+q.Domain)
		terms = append(terms, key)
		add(func(r *spool.Row) bool { return r.Delivery.Domain == domain })
	}
	switch q.State {
	case "":
	case "waiting", "held":
		add(func(r *spool.Row) bool { return r.Left.IsZero() && r.Delivery.Held.IsZero() == (q.State == "waiting") })
	default:
		return nil, fmt.Errorf("no state is called %q", q.State)
	}
	if q.Reply != "" {
		words := strings.ToLower(q.Reply)
		add(func(r *spool.Row) bool {
			return slices.ContainsFunc(r.Delivery.Rcpts, func(c custody.Recipient) bool {
				return r.Concerns(c) && strings.Contains(strings.ToLower(c.Last.Reply.Line()), words)
			})
		})
	}
	if !q.Before.IsZero() {
		add(func(r *spool.Row) bool { return r.Message.Accepted.Before(q.Before) })
	}
	return terms, nil
}

// term reads "local@domain" or "@domain" and returns the key of the index that
// leads to it.
func term(kind byte, s string) (local, domain string, key []byte) {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return s, "", appendTerm(nil, kind, "", s)
	}
	local = s[:at]
	domain = mail.Address{Domain: s[at+1:]}.Key().Domain
	if local == "" {
		return "", domain, appendTerm(nil, kind, domain)
	}
	return local, domain, appendTerm(nil, kind, domain, local)
}

// read gives a row and its message.
func (f *finder) read(kind byte, k, v []byte, id custody.ID) error {
	r, err := readRow(kind, k, v)
	if err != nil {
		return err
	}
	if r.Message, err = f.message(id); errors.Is(err, spool.ErrUnknown) {
		return nil
	} else if err != nil {
		return err
	}
	return f.give(r)
}

// waiting reads everything that waits, by id.
func (f *finder) waiting(after custody.DeliveryID) (err error) {
	ms, err := f.r.NewIter(&pebble.IterOptions{LowerBound: []byte{keyMessage}, UpperBound: []byte{keyMessage + 1}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ms.Close()) }()
	o := pebble.IterOptions{LowerBound: []byte{keyWaiting}, UpperBound: []byte{keyWaiting + 1}}
	if !after.Message.IsZero() {
		o.LowerBound = append(appendDelivery(nil, keyWaiting, after), 0)
	}
	ts, err := f.r.NewIter(&o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ts.Close()) }()
	var m custody.Message
	var key []byte
	for ok := ts.First(); ok; ok = ts.Next() {
		if err := f.ctx.Err(); err != nil {
			return err
		}
		row, err := readRow(keyWaiting, ts.Key(), ts.Value())
		if err != nil {
			return err
		}
		if id := row.Delivery.ID.Message; m.ID != id {
			key = appendID(key[:0], keyMessage, id)
			if !ms.SeekGE(key) || string(ms.Key()) != string(key) {
				return fmt.Errorf("%w: delivery %s without its message", errKey, row.Delivery.ID)
			}
			if m, err = spool.DecodeMessage(ms.Value()); err != nil {
				return err
			}
		}
		row.Message = m
		if err := f.give(row); err != nil {
			return err
		}
	}
	return ts.Error()
}

// departed reads what has left, newest first, most of it at the most; 0: all.
func (f *finder) departed(after custody.DeliveryID, gone int64, most int) (err error) {
	o := pebble.IterOptions{LowerBound: []byte{keyDay}, UpperBound: []byte{keyDay + 1}}
	if gone != 0 {
		o.UpperBound = appendDay(nil, gone, after)
	}
	it, err := f.r.NewIter(&o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	n := 0
	for ok := it.Last(); ok; ok = it.Prev() {
		if err := f.ctx.Err(); err != nil {
			return err
		}
		if n++; n-1 == most && most > 0 {
			break
		}
		_, id, err := readDay(it.Key())
		if err != nil {
			return err
		}
		v, c, err := f.r.Get(appendDelivery(nil, keyLeft, id))
		if err != nil {
			return err
		}
		row, err := readRow(keyLeft, nil, v)
		if err = errors.Join(err, c.Close()); err != nil {
			return err
		}
		if row.Message, err = f.message(id.Message); err != nil {
			return err
		}
		if err := f.give(row); err != nil {
			return err
		}
	}
	return it.Error()
}

func (f *finder) message(id custody.ID) (m custody.Message, err error) {
	v, c, err := f.r.Get(appendID(nil, keyMessage, id))
	if errors.Is(err, pebble.ErrNotFound) {
		return m, spool.ErrUnknown
	}
	if err != nil {
		return m, err
	}
	m, err = spool.DecodeMessage(v)
	return m, errors.Join(err, c.Close())
}

// give yields a row that fits; errStop when no more are wanted.
func (f *finder) give(r spool.Row) error {
	for _, t := range f.test {
		if !t(&r) {
			return nil
		}
	}
	if !f.yield(r, nil) {
		return errStop
	}
	if f.n--; f.n == 0 {
		return errStop
	}
	return nil
}

func compareIDs(a, b custody.DeliveryID) int {
	return cmp.Or(slices.Compare(a.Message[:], b.Message[:]), cmp.Compare(a.N, b.N))
}

func sortRows(rows []spool.Row) {
	slices.SortFunc(rows, func(a, b spool.Row) int { return compareIDs(a.Delivery.ID, b.Delivery.ID) })
}

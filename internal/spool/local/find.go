package local

import (
	"bytes"
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

// maxGathered is how many messages a key of the index may have to be used: what
// has more is found sooner by reading everything in order.
const maxGathered = 100_000

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
	after, gone := f.q.After, int64(0) // gone: After names what left then
	if !after.Message.IsZero() && f.q.Departed {
		v, c, err := f.r.Get(appendDelivery(nil, keyLeft, after))
		if err == nil {
			w, err := readWaiting(v)
			if err = errors.Join(err, c.Close()); err != nil {
				return err
			}
			gone = w.wake
		} else if !errors.Is(err, pebble.ErrNotFound) {
			return err
		}
	}
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
				return c.State != custody.Parted && strings.Contains(strings.ToLower(c.Last.Reply.Line()), words)
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

// gather returns the messages that an ID or one of the keys leads to, if there
// is one that leads to few.
func (f *finder) gather(terms [][]byte) ([]custody.ID, bool, error) {
	if f.q.ID != "" {
		d, err := custody.ParseDeliveryID(f.q.ID)
		if err != nil {
			if d.Message, err = custody.ParseID(f.q.ID); err != nil {
				return nil, false, err
			}
		} else {
			f.test = append(f.test, func(r *spool.Row) bool { return r.Delivery.ID == d })
		}
		return []custody.ID{d.Message}, true, nil
	}
	for _, t := range terms {
		var ids []custody.ID
		err := scan(f.r, t, func(k, _ []byte) error {
			if len(ids) == maxGathered {
				return errStop
			}
			if len(k) < len(t)+16 {
				return errKey
			}
			ids = append(ids, custody.ID(k[len(k)-16:]))
			return nil
		})
		if errors.Is(err, errStop) {
			continue
		}
		slices.SortFunc(ids, func(a, b custody.ID) int { return slices.Compare(a[:], b[:]) })
		return slices.Compact(ids), true, err
	}
	return nil, false, nil
}

// among yields what fits of a few messages, in the order of their ids.
func (f *finder) among(ids []custody.ID, after custody.DeliveryID, gone int64) error {
	if gone == 0 {
		if err := f.amongWaiting(ids, after); err != nil {
			return err
		}
	}
	if !f.q.Departed {
		return nil
	}
	return f.amongLeft(ids, after, gone)
}

func (f *finder) amongWaiting(ids []custody.ID, after custody.DeliveryID) error {
	i, _ := slices.BinarySearchFunc(ids, after.Message, func(a, b custody.ID) int { return slices.Compare(a[:], b[:]) })
	ids = ids[i:]
	return f.each(keyWaiting, ids, func(k, v []byte) error {
		id, err := readDeliveryID(k[1:])
		if err != nil || !after.Message.IsZero() && compareIDs(id, after) <= 0 {
			return err
		}
		return f.read(keyWaiting, k, v, id.Message)
	})
}

// glance is how many of what left last are looked at before the index is asked where
// the others are: where a page is wanted of very many it is mostly full by then.
const glance = 4000

func (f *finder) amongLeft(ids []custody.ID, after custody.DeliveryID, gone int64) error {
	if f.n > 0 && len(ids) > glance {
		g := &finder{ctx: f.ctx, r: f.r, q: f.q, n: f.n, test: f.test}
		var page []spool.Row
		g.yield = func(r spool.Row, _ error) bool { page = append(page, r); return true }
		if err := g.departed(after, gone, glance); !errors.Is(err, errStop) && err != nil {
			return err
		}
		if len(page) == f.n {
			for _, r := range page {
				if !f.yield(r, nil) {
					break
				}
			}
			return errStop
		}
	}
	return f.sortedLeft(ids, after, gone)
}

// sortedLeft sorts by what stands in the index alone: of many only those that are
// wanted are read.
func (f *finder) sortedLeft(ids []custody.ID, after custody.DeliveryID, gone int64) error {
	type left struct {
		at int64
		id custody.DeliveryID
	}
	var all []left
	err := f.each(keyLeft, ids, func(k, v []byte) error {
		id, err := readDeliveryID(k[1:])
		if err != nil {
			return err
		}
		w, err := readWaiting(v)
		if gone == 0 || w.wake < gone || w.wake == gone && compareIDs(id, after) < 0 {
			all = append(all, left{w.wake, id})
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b left) int { return cmp.Or(cmp.Compare(b.at, a.at), compareIDs(b.id, a.id)) })
	for _, l := range all {
		v, c, err := f.r.Get(appendDelivery(nil, keyLeft, l.id))
		if err != nil {
			return err
		}
		if err := errors.Join(f.read(keyLeft, nil, v, l.id.Message), c.Close()); err != nil {
			return err
		}
	}
	return nil
}

// each calls do with the deliveries of these messages. It leaps from one side to the
// other, so that it costs as much as the smaller of the two.
func (f *finder) each(kind byte, ids []custody.ID, do func(k, v []byte) error) (err error) {
	it, err := f.r.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var key []byte
	for len(ids) > 0 {
		if err := f.ctx.Err(); err != nil {
			return err
		}
		key = appendID(key[:0], kind, ids[0])
		ok := it.SeekGE(key)
		for ; ok && bytes.HasPrefix(it.Key(), key); ok = it.Next() {
			v, err := it.ValueAndErr()
			if err != nil {
				return err
			}
			if err := do(it.Key(), v); err != nil {
				return err
			}
		}
		if !ok {
			break
		}
		next, err := readDeliveryID(it.Key()[1:])
		if err != nil {
			return err
		}
		n, _ := slices.BinarySearchFunc(ids[1:], next.Message, func(a, b custody.ID) int { return slices.Compare(a[:], b[:]) })
		ids = ids[1+n:]
	}
	return it.Error()
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

package local

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// maxGathered is how many messages a key of the index may have to be used: what
// has more is found sooner by reading everything in order.
const maxGathered = 100_000

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

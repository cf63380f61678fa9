package local

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"slices"
	"strconv"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// read returns a copy of the value of a key, spool.ErrUnknown if there is none.
func (s *Store) read(k []byte) ([]byte, error) {
	v, c, err := s.db.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, spool.ErrUnknown
	}
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	v = bytes.Clone(v)
	return v, c.Close()
}

func (s *Store) whereIs(id custody.ID) (where, error) {
	v, err := s.read(appendID(nil, keyWhere, id))
	if err != nil {
		return where{}, err
	}
	return readWhere(v)
}

func (s *Store) message(id custody.ID) (custody.Message, error) {
	v, err := s.read(appendID(nil, keyMessage, id))
	if err != nil {
		return custody.Message{}, err
	}
	return spool.DecodeMessage(v)
}

// Lanes returns lanes that have something to wake, earliest first.
func (s *Store) Lanes(ctx context.Context, until time.Time, n int, skip func(string) bool) ([]spool.Lane, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	return s.lanes.list(nanos(until), n, skip)
}

// earliest returns the first wake of a lane in the index.
func (s *Store) earliest(name string) (int64, bool, error) {
	prefix := appendLane(nil, name)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: upper(prefix)})
	if err != nil {
		return 0, false, err
	}
	if !it.First() {
		return 0, false, it.Close()
	}
	_, wake, _, err := readQueue(it.Key())
	return wake, true, errors.Join(err, it.Close())
}

// Due returns deliveries of a lane, earliest wake first.
func (s *Store) Due(ctx context.Context, name string, from, until time.Time, n int, skip func(custody.DeliveryID) bool) (items []spool.Item, err error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	prefix := appendLane(nil, name)
	first := prefix
	if !from.IsZero() {
		first = appendTime(bytes.Clone(prefix), from.UnixNano())
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: upper(prefix)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	// All of one moment, and side by side: the index is not searched anew for each.
	states, err := sameTime(it, keyWaiting)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, states.Close()) }()
	messages, err := sameTime(it, keyMessage)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, messages.Close()) }()
	for ok := it.First(); ok && len(items) < n && ctx.Err() == nil; ok = it.Next() {
		_, wake, id, err := readQueue(it.Key())
		if err != nil {
			return nil, err
		}
		if !until.IsZero() && wake > until.UnixNano() {
			break
		}
		if skip != nil && skip(id) {
			continue
		}
		item, err := item(id, lookIn(states), lookIn(messages))
		if errors.Is(err, spool.ErrUnknown) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if nanos(item.Wake) == wake {
			items = append(items, item)
		}
	}
	return items, cmp.Or(it.Error(), ctx.Err())
}

// sameTime looks at the keys of a kind as they are where it looks.
func sameTime(it *pebble.Iterator, kind byte) (*pebble.Iterator, error) {
	prefix := []byte{kind}
	return it.Clone(pebble.CloneOptions{IterOptions: &pebble.IterOptions{LowerBound: prefix, UpperBound: upper(prefix)}})
}

// lookIn is read in an iterator. The value is valid until the next call.
func lookIn(it *pebble.Iterator) func(k []byte) ([]byte, error) {
	return func(k []byte) ([]byte, error) {
		if !it.SeekPrefixGE(k) {
			return nil, cmp.Or(it.Error(), spool.ErrUnknown)
		}
		return it.ValueAndErr()
	}
}

// Queued names the deliveries of a lane that have a wake, oldest message first.
func (s *Store) Queued(ctx context.Context, lane string) (ids []custody.DeliveryID, err error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	err = scan(s.db, appendLane(nil, lane), func(k, _ []byte) error {
		_, _, id, err := readQueue(k)
		ids = append(ids, id)
		return cmp.Or(err, ctx.Err())
	})
	slices.SortFunc(ids, compareIDs)
	return ids, err
}

// Item returns a delivery that waits.
func (s *Store) Item(ctx context.Context, id custody.DeliveryID) (spool.Item, error) {
	if err := s.usable(ctx); err != nil {
		return spool.Item{}, err
	}
	return item(id, s.read, s.read)
}

// item reads a delivery that waits.
func item(id custody.DeliveryID, state, message func(k []byte) ([]byte, error)) (spool.Item, error) {
	v, err := state(appendDelivery(nil, keyWaiting, id))
	if err != nil {
		return spool.Item{}, err
	}
	w, err := readWaiting(v)
	if err != nil {
		return spool.Item{}, err
	}
	d, err := spool.DecodeDelivery(w.blob)
	if err != nil {
		return spool.Item{}, err
	}
	if v, err = message(appendID(nil, keyMessage, id.Message)); err != nil {
		return spool.Item{}, err
	}
	m, err := spool.DecodeMessage(v)
	return spool.Item{Message: m, Delivery: d, Wake: moment(w.wake)}, err
}

// Body opens the bytes of a message of which a delivery waits.
func (s *Store) Body(ctx context.Context, id custody.ID) (spool.Body, error) {
	for {
		if err := s.usable(ctx); err != nil {
			return nil, err
		}
		w, err := s.whereIs(id)
		if err != nil {
			return nil, err
		}
		b, err := s.openBody(id, w.place)
		if errors.Is(err, fs.ErrNotExist) {
			// It may have been carried to another segment since, or have left.
			if again, err2 := s.whereIs(id); err2 != nil || again.place != w.place {
				continue
			}
			err = fmt.Errorf("%w: the body of %s is gone: %w", spool.ErrCorrupt, id, err)
		}
		if errors.Is(err, spool.ErrCorrupt) {
			s.tellSpoiled(id, err)
		}
		return b, err
	}
}

// tellSpoiled reports that a message cannot be handed on any more.
func (s *Store) tellSpoiled(id custody.ID, err error) {
	s.o.Log.Error("spool: the disk has changed a message", "message", id.String(), "error", err)
}

func (s *Store) openBody(id custody.ID, p place) (spool.Body, error) {
	if p.big != 0 {
		b, err := s.openBig(id, p)
		if err != nil {
			return nil, err
		}
		return b, nil
	}
	return s.openLogged(id, p)
}

func sum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

func addSum(sum uint32, b []byte) uint32 { return crc32.Update(sum, castagnoli, b) }

// History returns all that is known of a message.
func (s *Store) History(ctx context.Context, id custody.ID) (h spool.History, err error) {
	if err := s.usable(ctx); err != nil {
		return h, err
	}
	if h.Message, err = s.message(id); err != nil {
		return spool.History{}, err
	}
	it, err := s.db.NewIter(nil)
	if err != nil {
		return spool.History{}, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for _, kind := range []byte{keyWaiting, keyLeft} {
		err := walk(it, appendID(nil, kind, id), func(k, v []byte) error {
			row, err := readRow(kind, k, v)
			row.Message = h.Message
			h.Deliveries = append(h.Deliveries, row)
			return err
		})
		if err != nil {
			return spool.History{}, err
		}
	}
	sortRows(h.Deliveries)
	h.Entries, err = entries(it, id)
	return h, err
}

// Entries returns the timeline of a message.
func (s *Store) Entries(ctx context.Context, id custody.ID) (es []custody.Entry, err error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	it, err := s.db.NewIter(nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	return entries(it, id)
}

func entries(it *pebble.Iterator, id custody.ID) (es []custody.Entry, err error) {
	err = walk(it, appendID(nil, keyEntry, id), func(_, v []byte) error {
		e, err := spool.DecodeEntry(v)
		es = append(es, e)
		return err
	})
	return es, err
}

// readRow reads a t or x key and its value, all but the message.
func readRow(kind byte, k, v []byte) (row spool.Row, err error) {
	w, err := readWaiting(v)
	if err != nil {
		return row, err
	}
	if row.Delivery, err = spool.DecodeDelivery(w.blob); err != nil {
		return row, err
	}
	if kind == keyWaiting {
		row.Wake = moment(w.wake)
	} else {
		row.Left = moment(w.wake)
	}
	return row, nil
}

// scan calls each with all keys that begin with prefix. Key and value are valid
// only during the call.
func scan(r pebble.Reader, prefix []byte, each func(k, v []byte) error) (err error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: upper(prefix)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	return walk(it, prefix, each)
}

// walk is scan with an iterator that is at hand.
func walk(it *pebble.Iterator, prefix []byte, each func(k, v []byte) error) error {
	it.SetBounds(prefix, upper(prefix))
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := each(it.Key(), v); err != nil {
			return err
		}
	}
	return it.Error()
}

func bigName(n uint64) string { return fmt.Sprintf("%016x", n) }

// bigNumber reads what bigName wrote.
func bigNumber(name string) (uint64, bool) {
	n, err := strconv.ParseUint(name, 16, 64)
	return n, err == nil && len(name) == 16
}

func appendApplied(b []byte, end pos, waiting int64, bigs big) []byte {
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, end.seg), end.off)
	for _, n := range []int64{waiting, bigs.count, bigs.live} {
		b = binary.AppendVarint(b, n)
	}
	return b
}

func readApplied(b []byte) (end pos, waiting int64, bigs big, err error) {
	if len(b) < 8 {
		return end, 0, bigs, errKey
	}
	end = pos{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
	b = b[8:]
	for _, p := range []*int64{&waiting, &bigs.count, &bigs.live} {
		v, n := binary.Varint(b)
		if n <= 0 {
			return end, 0, bigs, errKey
		}
		*p, b = v, b[n:]
	}
	return end, waiting, bigs, nil
}

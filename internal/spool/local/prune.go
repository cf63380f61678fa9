package local

import (
	"context"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// Prune forgets messages of which the last delivery left before a moment. It is
// not flushed: what a crash brings back is pruned the next time.
func (s *Store) Prune(ctx context.Context, before time.Time) error {
	const most = 1000 // messages in one batch
	from := []byte{keyDay}
	for {
		if err := s.usable(ctx); err != nil {
			return err
		}
		b := s.db.NewBatch()
		next, err := s.prune(b, from, before.UnixNano(), most)
		if err != nil {
			return errors.Join(err, b.Close())
		}
		if err := s.commit(b); err != nil || next == nil {
			return err
		}
		from = next
	}
}

// commit writes a batch and closes it. It does not wait for Pebble when the disk has
// failed: that may stand in the batch for ever.
func (s *Store) commit(b *pebble.Batch) error {
	done := make(chan error, 1)
	s.work.Go(func() { done <- errors.Join(b.Commit(pebble.NoSync), b.Close()) })
	select {
	case err := <-done:
		return err
	case <-s.broken:
		return s.fault
	}
}

// prune collects the keys of up to most messages that left before a moment,
// beginning with those that left at from. next is where to go on; nil: the end.
func (s *Store) prune(b *pebble.Batch, from []byte, before int64, most int) (next []byte, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: appendTime([]byte{keyDay}, before)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	seen := make(map[custody.ID]bool)
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n == most {
			return append([]byte(nil), it.Key()...), nil
		}
		_, id, err := readDay(it.Key())
		if err != nil {
			return nil, err
		}
		if seen[id.Message] {
			continue
		}
		seen[id.Message] = true
		gone, err := s.forget(b, id.Message, before)
		if err != nil {
			return nil, err
		}
		if gone {
			n++
		}
	}
	return nil, it.Error()
}

// forget deletes all keys of a message if none of it waits and all of it left
// before a moment.
func (s *Store) forget(b *pebble.Batch, id custody.ID, before int64) (bool, error) {
	if _, err := s.whereIs(id); !errors.Is(err, spool.ErrUnknown) {
		return false, err
	}
	m, err := s.message(id)
	if err != nil {
		return false, err
	}
	var keys [][]byte
	term := func(k []byte) { keys = append(keys, append(append([]byte(nil), k...), id[:]...)) }
	late := false
	err = scan(s.db, appendID(nil, keyLeft, id), func(k, v []byte) error {
		row, err := readRow(keyLeft, k, v)
		if err != nil {
			return err
		}
		late = late || nanos(row.Left) >= before
		keys = append(keys, append([]byte(nil), k...), appendDay(nil, nanos(row.Left), row.Delivery.ID))
		deliveryTerms(row.Delivery, term)
		return nil
	})
	if err != nil || late {
		return false, err
	}
	messageTerms(m, term)
	err = scan(s.db, appendID(nil, keyEntry, id), func(k, _ []byte) error {
		keys = append(keys, append([]byte(nil), k...))
		return nil
	})
	if err != nil {
		return false, err
	}
	for _, k := range append(keys, appendID(nil, keyMessage, id)) {
		if err := b.Delete(k, nil); err != nil {
			return false, err
		}
	}
	return true, nil
}

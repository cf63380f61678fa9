package local

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// applier writes into the index what the log has made durable, frame after
// frame, each as one batch with the note of how far it has come. What it does
// follows from the record and the index alone, so that it does the same again
// when the log is replayed. It owns the index: nobody else changes what waits.
type applier struct {
	s     *Store
	live  bool // not a replay: keep lanes, offer Fresh
	b     *pebble.Batch
	k, v  []byte // for one key and one value
	where map[custody.ID]where
	state map[custody.DeliveryID]waiting // without blobs
	gone  []custody.DeliveryID           // to be forgotten after the batch
	past  []custody.ID
	moved []laneMove // of the present batch
	segs  map[uint32]segDelta
	count int64 // change of the deliveries that wait
	bigs  big   // change
	dead  []uint64
}

type laneMove struct {
	lane string
	wake int64
	add  bool
}

type segDelta struct{ count, live int64 }

// maxKnown bounds what is remembered of recent messages so as not to read it.
const maxKnown = 16384

func newApplier(s *Store, live bool) *applier {
	return &applier{
		s: s, live: live, where: make(map[custody.ID]where),
		state: make(map[custody.DeliveryID]waiting), segs: make(map[uint32]segDelta),
	}
}

// apply is the goroutine that follows the log.
func (s *Store) apply(groups <-chan *group) {
	a := newApplier(s, true)
	for g := range groups {
		// After a fault nothing is applied: the note of how far the index has come
		// must never pass what is missing in it.
		err := s.usable(context.Background())
		if err == nil {
			err = a.group(g)
		}
		if err != nil {
			s.fail(err)
			for _, j := range g.jobs {
				j.done <- s.fault
			}
		}
	}
}

// group applies the records of one flush and tells their owners.
func (a *applier) group(g *group) error {
	a.begin()
	for _, j := range g.jobs {
		for i, r := range j.recs {
			err := a.record(r, g.at.seg)
			if err != nil && !errors.Is(err, spool.ErrUnknown) && !errors.Is(err, errRefused) {
				return err
			}
			j.results[i] = err
		}
	}
	at := time.Now()
	if err := a.commit(g.end); err != nil {
		return err
	}
	for _, j := range g.jobs {
		for _, r := range j.recs {
			for _, f := range r.fresh {
				if len(f.Items) == 0 {
					continue
				}
				f.At = at
				select {
				case a.s.fresh <- f:
					j.taken = true
				default:
				}
			}
		}
		j.done <- nil
	}
	return nil
}

func (a *applier) begin() {
	a.b = a.s.db.NewBatch()
	a.moved, a.gone, a.past, a.dead = a.moved[:0], a.gone[:0], a.past[:0], nil
	a.count, a.bigs = 0, big{}
	clear(a.segs)
}

// commit writes the batch. It is not flushed: the log is. What the janitor acts
// on changes only when the batch is in the index.
func (a *applier) commit(end pos) error {
	s := a.s
	next := make(map[uint32]segDelta, len(a.segs))
	s.mu.Lock()
	for num, d := range a.segs {
		if g := s.segs[num]; g != nil {
			next[num] = segDelta{g.count + d.count, g.live + d.live}
		}
	}
	waiting, bigs := s.waiting+a.count, big{s.bigs.count + a.bigs.count, s.bigs.live + a.bigs.live}
	s.mu.Unlock()
	for num := range a.segs {
		d, ok := next[num]
		if !ok && a.segs[num].count < 0 {
			continue // the disk has lost the segment
		}
		if !ok {
			return fmt.Errorf("index: %w: a body in segment %08x, which is not there", errKey, num)
		}
		a.k = binary.BigEndian.AppendUint32(append(a.k[:0], keySegment), num)
		a.v = binary.AppendVarint(binary.AppendVarint(a.v[:0], d.count), d.live)
		if err := a.b.Set(a.k, a.v, nil); err != nil {
			return err
		}
	}
	a.v = appendApplied(a.v[:0], end, waiting, bigs)
	if s.o.planted.earlyApplied {
		if err := s.db.Set(appliedKey, a.v, pebble.NoSync); err != nil {
			return err
		}
	}
	if err := a.b.Set(appliedKey, a.v, nil); err != nil {
		return err
	}
	if err := a.b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	if err := a.b.Close(); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	s.mu.Lock()
	for num, d := range next {
		s.segs[num].count, s.segs[num].live = d.count, d.live
	}
	s.waiting, s.bigs, s.applied = waiting, bigs, end
	s.dead = append(s.dead, a.dead...)
	tidy := a.live && (len(a.dead) > 0 || s.wantsTidy(a.segs))
	s.mu.Unlock()
	a.forget()
	if a.live {
		a.moveLanes()
	}
	if tidy {
		s.tidy()
	}
	return nil
}

// wantsTidy reports whether a sealed segment has become worth a visit; one that the
// disk has lost is none. The lock is held.
func (s *Store) wantsTidy(touched map[uint32]segDelta) bool {
	for num := range touched {
		if g := s.segs[num]; g != nil && g.sealed && (g.count == 0 || s.sparse(g, false)) {
			return true
		}
	}
	return false
}

func (a *applier) forget() {
	for _, id := range a.gone {
		delete(a.state, id)
	}
	for _, id := range a.past {
		delete(a.where, id)
	}
	if len(a.where) > maxKnown {
		clear(a.where)
	}
	if len(a.state) > maxKnown {
		clear(a.state)
	}
}

func (a *applier) moveLanes() {
	l := a.s.lanes
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range a.moved {
		if m.add {
			l.add(m.lane, m.wake)
		} else {
			l.remove(m.lane, m.wake)
		}
	}
}

func (a *applier) record(r *record, seg uint32) error {
	switch r.kind {
	case recordAccept:
		isNew, err := a.accept(r, r.accept, seg)
		if !isNew {
			r.dup, r.fresh = true, nil
		}
		return err
	case recordStep:
		err := a.step(r, r.step, seg)
		if err != nil {
			r.fresh = nil
		}
		return err
	default:
		return a.move(r, seg)
	}
}

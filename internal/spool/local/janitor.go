package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// sparse reports a segment of which so little is wanted that carrying it forward
// is worth its room. A young one is left alone: most mail leaves within minutes.
func (s *Store) sparse(g *segState, tight bool) bool {
	return g.live*10 < g.size*3 && (tight || time.Since(g.since) > s.o.carryAge)
}

// janitor is the goroutine that gives back room on the disk: it removes files
// that nobody wants any more, and carries the last few bodies out of segments
// that are otherwise dead. It sleeps until the log or the index pokes it.
func (s *Store) janitor() {
	for {
		select {
		case <-s.quit:
			return
		case <-s.broken:
			return
		case <-s.poke:
		}
		tight := s.tight.Swap(false)
		if tight {
			s.end()
			s.rest()
		}
		for again := true; again; {
			var err error
			if again, err = s.tidyOnce(tight); err != nil {
				if !errors.Is(err, spool.ErrBroken) && !errors.Is(err, spool.ErrFull) && !wanting(err) {
					s.o.Log.Error("spool: cannot give back room", "dir", s.dir, "error", err)
				}
				if errors.Is(err, spool.ErrFull) {
					s.rest()
				}
				break
			}
			select {
			case <-s.quit:
				return
			case <-s.broken:
				return
			default:
			}
		}
	}
}

// rest takes back the poke that the janitor's own want of room gave it: whoever else
// finds no room will poke it again, and it would never sleep.
func (s *Store) rest() {
	s.tight.Store(false)
	select {
	case <-s.poke:
	default:
	}
}

// end has the open segment ended if little in it is wanted, so that it can be
// removed.
func (s *Store) end() {
	s.mu.Lock()
	g := s.segs[s.applied.seg]
	little := g != nil && !g.sealed && s.sparse(g, true)
	s.mu.Unlock()
	if little {
		j := s.newJob()
		j.seal = true
		s.in.put(j)
		if s.wait(j) == nil {
			s.release(j)
		}
	}
}

// tidyOnce removes what is dead and empties one sparse segment. It reports
// whether there may be more to do.
func (s *Store) tidyOnce(tight bool) (bool, error) {
	if err := s.unlink(); err != nil {
		return false, err
	}
	s.mu.Lock()
	var sparse []uint32
	for num, g := range s.segs {
		if g.sealed && g.count > 0 && s.sparse(g, tight) && num < s.applied.seg && !s.damaged {
			sparse = append(sparse, num)
		}
	}
	s.mu.Unlock()
	if len(sparse) == 0 {
		return false, nil
	}
	return true, s.carry(slices.Min(sparse))
}

// unlink removes what nobody wants, after the index has durably seen that.
func (s *Store) unlink() error {
	s.mu.Lock()
	bigs := s.dead
	s.dead = nil
	var segs []uint32
	for num, g := range s.segs {
		if g.sealed && g.count == 0 && num < s.applied.seg {
			segs = append(segs, num)
		}
	}
	if s.damaged {
		bigs, segs = nil, nil
	}
	s.mu.Unlock()
	if len(bigs)+len(segs) == 0 {
		return nil
	}
	if !s.o.planted.earlyUnlink {
		if err := s.db.LogData(nil, pebble.Sync); err != nil {
			return err
		}
	}
	for _, n := range bigs {
		if err := s.fs.Remove(s.path("big", bigName(n))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, num := range segs {
		s.readers.forget(num)
		if err := s.fs.Remove(s.path("seg", segName(num))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := s.db.Delete(binary.BigEndian.AppendUint32([]byte{keySegment}, num), pebble.NoSync); err != nil {
			return err
		}
		s.mu.Lock()
		delete(s.segs, num)
		s.mu.Unlock()
	}
	return nil
}

// carry writes the bodies that are wanted of a segment to the end of the log.
func (s *Store) carry(num uint32) error {
	seg, err := openSegment(s.fs, s.path("seg", segName(num)), num)
	if wanting(err) {
		return fmt.Errorf("segment %08x: %w", num, err)
	}
	if err != nil {
		s.giveUp(num, err)
		return nil
	}
	defer seg.close()
	for off := uint32(headSize); ; {
		payload, next, err := seg.frame(off)
		var recs []*record
		if err == nil {
			recs, err = readRecords(payload, off)
		}
		if err != nil {
			s.giveUp(num, err)
			return nil
		}
		j := s.newJob()
		for _, r := range recs {
			if err := s.pick(j, r, num, payload, off); err != nil {
				return err
			}
		}
		if len(j.recs) > 0 {
			s.in.put(j)
			if err := s.wait(j); err != nil {
				return err
			}
			s.release(j)
		}
		off = next
	}
}

// giveUp leaves a segment alone if bodies in it could not be carried forward: the others
// can be. At the end of a segment there is no valid frame either.
func (s *Store) giveUp(num uint32, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.segs[num]; g != nil && g.count > 0 {
		g.size = g.live // never sparse again
		s.o.Log.Error("spool: bodies cannot be read, and their room is not given back",
			"file", s.path("seg", segName(num)), "bodies", g.count, "error", cause)
	}
}

// pick adds to j the bodies of a record that still stand here and are wanted.
func (s *Store) pick(j *job, r *record, num uint32, payload []byte, off uint32) error {
	add := func(id custody.ID, p place) error {
		if p.big != 0 {
			return nil
		}
		w, err := s.whereIs(id)
		if errors.Is(err, spool.ErrUnknown) || err == nil && w.place != p {
			return nil
		}
		if err != nil {
			return err
		}
		begin := p.off - off - frameHead
		j.add(newMove(id, p, payload[begin:begin+uint32(p.size)]), 0)
		return nil
	}
	switch r.kind {
	case recordAccept:
		return add(r.accept.m.ID, r.place(r.accept, num))
	case recordStep:
		for i := range r.step.letters {
			a := &r.step.letters[i]
			if err := add(a.m.ID, r.place(a, num)); err != nil {
				return err
			}
		}
	case recordMove:
		return add(r.move.id, place{seg: num, off: r.at + uint32(len(r.head)), size: int64(len(r.body)), sum: r.move.sum})
	}
	return nil
}

func pid() int { return os.Getpid() }

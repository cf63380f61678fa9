package local

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// A damaged index is made anew by the next start, out of what can be read of it and
// of the log:
//
//	index.new     it is being written; a crash here: it is removed and begun again
//	index.mended  it is complete; a crash here: the next start goes on with the rest
//	index.damaged the old one, for a person; never read, never removed
//	mend          a file that asks for it; the last to go

const markName = "mend"

// spoil notes that Pebble has met damage. While the store is being opened it is
// mended at once; else nothing is promised any more, so that a restart comes soon.
func (s *Store) spoil(file string, cause error) {
	s.o.Log.Error("spool: the index is damaged", "file", file, "error", cause)
	s.ruin.Store(true)
	if f, err := s.fs.Create(s.path(markName), vfs.WriteCategoryUnspecified); err == nil {
		_ = errors.Join(f.Sync(), f.Close(), s.syncDir(s.dir))
	}
	if !s.opening.Load() {
		s.fail(fmt.Errorf("index: %w: %s; the next start makes it anew", spool.ErrCorrupt, file))
	}
}

// suspect says why the index must not be opened as it is; nil: nothing speaks against
// it. One that is gone is not made by following a log of which segments have been removed:
// what had left in them would go out again. Pebble takes an index without a list of tables for a new one, and a damaged list
// for one that was not finished, and then removes the tables that it does not know.
func (s *Store) suspect() error {
	if _, err := s.fs.Stat(s.path(markName)); err == nil {
		return errors.New("it was found to be damaged")
	}
	names, err := s.fs.List(s.path("index"))
	if err != nil {
		return nil
	}
	has := func(part string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, part) })
	}
	if !has(listMarker) && has(tableSuffix) {
		return errors.New("its list of tables is lost")
	}
	r, l := &indexReader{fs: readOnlyFS{s.fs}, dir: s.path("index")}, roster{name: manifest(names)}
	if r.readRoster(&l) != nil || l.fault == "" {
		return nil
	}
	v, err := s.survey()
	if err != nil {
		return nil // it will be told by whoever opens it
	}
	defer v.close()
	if len(v.idx.gaps) > 0 {
		return errors.New(v.idx.gaps[0].what)
	}
	return nil
}

// ruined reports whether an error of the index tells of damage, and not of a disk that
// fails, of want, or of a newer program.
func (s *Store) ruined(err error) bool {
	switch {
	case s.ruin.Load(), pebble.IsCorruptionError(err), errors.Is(err, errKey), errors.Is(err, errOlder):
		return true
	case errors.Is(err, spool.ErrVersion), isFull(err), s.newer():
		return false
	}
	v, err := s.survey()
	if err != nil {
		return false
	}
	defer v.close()
	return len(v.idx.gaps) > 0 && v.idx.failed() == nil
}

// newer reports whether a newer program wrote the index.
func (s *Store) newer() bool {
	names, _ := s.fs.List(s.path("index"))
	return slices.ContainsFunc(names, func(n string) bool {
		if !strings.HasPrefix(n, "marker.format-version.") {
			return false
		}
		v, err := strconv.Atoi(n[strings.LastIndexByte(n, '.')+1:])
		return err == nil && v > int(pebble.FormatNewest)
	})
}

// failed returns the error of a disk that could not read a table.
func (r *indexReader) failed() error {
	for _, t := range r.tables {
		if t.failed != nil {
			return t.failed
		}
	}
	return r.failing
}

// unfollow lets go of an index that was opened in vain.
func (s *Store) unfollow() {
	if s.db != nil {
		_ = s.db.Close() // it may well complain
		s.db = nil
	}
	s.segs, s.lanes, s.log = make(map[uint32]*segState), newLanes(s.earliest), writerState{next: s.log.next}
	s.applied, s.waiting, s.bigs = pos{}, 0, big{}
	s.ruin.Store(false)
}

// dropOptions removes what Pebble wrote down of its options. This program says them
// anyway, and they have no checksum: damaged ones would keep the index shut.
func (s *Store) dropOptions() error {
	names, err := s.fs.List(s.path("index"))
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasPrefix(n, optionsPrefix) {
			if err := s.fs.Remove(s.path("index", n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// survey reads the store that this process owns.
func (s *Store) survey() (*survey, error) {
	last := time.Now()
	v := &survey{ctx: context.Background(), fs: s.fs, dir: s.dir, adrift: map[uint32]int{}, tell: func(what string, done, total int64) {
		if now := time.Now(); now.Sub(last) > 10*time.Second {
			last = now
			s.o.Log.Info("spool: making the index anew", "reading", what, "done", done, "of", total)
		}
	}}
	if err := v.open(); err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

// mend makes the index anew.
func (s *Store) mend(why error) error {
	s.o.Log.Error("spool: the index is damaged: it is made anew, the old one is kept as index.damaged", "dir", s.dir, "error", why)
	v, err := s.survey()
	if err != nil {
		return fmt.Errorf("mend the index: %w", err)
	}
	defer v.close()
	db, err := s.openIndex("index.new", false) // it counts when it is complete, or not at all
	if err != nil {
		return fmt.Errorf("mend the index: %w", err)
	}
	w := &mender{s: s, db: db, b: db.NewBatch(), segs: map[uint32]segDelta{}}
	err = v.each(v.applied.seg, w.message)
	if err == nil {
		err = v.idx.failed() // a disk that fails is to be copied, not to be mended
	}
	if v.behind || v.idx.astray(v.applied) {
		v.applied = v.end // all that the log says has been taken
	}
	if err == nil {
		err = w.finish(v.applied)
	}
	if err == nil && v.lossy() {
		err = w.keep(v)
	}
	if err = errors.Join(err, w.b.Close(), db.Close()); err != nil {
		return fmt.Errorf("mend the index: %w", err)
	}
	w.tell(v)
	if err := errors.Join(s.fs.Rename(s.path("index.new"), s.path("index.mended")), s.syncDir(s.dir)); err != nil {
		return err
	}
	return s.mended()
}

// mended puts an index that was made anew in its place.
func (s *Store) mended() error {
	if err := s.fs.RemoveAll(s.path("index.new")); err != nil {
		return err
	}
	if _, err := s.fs.Stat(s.path("index.mended")); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if names, err := s.fs.List(s.path("index")); err == nil && len(names) > 0 {
		kept := "index.damaged"
		for n := 2; ; n++ {
			if _, err := s.fs.Stat(s.path(kept)); errors.Is(err, fs.ErrNotExist) {
				break
			}
			kept = "index.damaged." + strconv.Itoa(n)
		}
		if err := errors.Join(s.fs.Rename(s.path("index"), s.path(kept)), s.syncDir(s.dir)); err != nil {
			return err
		}
	} else if err := s.fs.RemoveAll(s.path("index")); err != nil {
		return err
	}
	if err := errors.Join(s.fs.Rename(s.path("index.mended"), s.path("index")), s.syncDir(s.dir)); err != nil {
		return err
	}
	if err := s.fs.Remove(s.path(markName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.syncDir(s.dir)
}

// mender writes an index anew.
type mender struct {
	s       *Store
	db      *pebble.DB
	b       *pebble.Batch
	segs    map[uint32]segDelta
	bigs    big
	waiting int64
	all     int64
	hurt    int64  // messages that are not as they were
	lost    uint64 // large bodies that stand for lost ones
}

const toldOf = 1000 // messages that are told of one by one

// message writes all keys of a message.
func (w *mender) message(h *holding, _ *parts) error {
	if len(h.waits)+len(h.left) == 0 {
		return nil // nobody would ever remove it
	}
	if w.all++; len(h.flaws) > 0 {
		if w.hurt++; w.hurt <= toldOf {
			c := h.concerned(strings.Join(h.flaws, "; "))
			w.s.o.Log.Error("spool: a message was harmed by damage of the index", "message", h.id.String(), "from", c.From, "to", c.To, "what", c.What)
		}
	}
	if len(h.waits) > 0 && !h.hasBody {
		w.bodyless(h)
	}
	if err := w.keys(h); err != nil {
		return err
	}
	if w.b.Len() < 1<<20 {
		return nil
	}
	if err := errors.Join(w.b.Commit(pebble.NoSync), w.b.Close()); err != nil {
		return err
	}
	w.b = w.db.NewBatch()
	return nil
}

// bodyless holds what has no body any more: its sender can still be told.
func (w *mender) bodyless(h *holding) {
	w.lost++
	h.body = place{big: ^w.lost} // of a file that is not there
	for i := range h.waits {
		h.waits[i].d.Held = custody.Hold{}
		h.waits[i].hold("its body was lost by damage on disk: give it up, so that its sender is told")
	}
}

func (w *mender) keys(h *holding) (err error) {
	set := func(k, v []byte) {
		if err == nil {
			err = w.b.Set(k, v, nil)
		}
	}
	p := &parts{id: h.id, m: h.blob}
	set(appendID(nil, keyMessage, h.id), h.blob)
	for _, d := range h.waits {
		v := appendWaiting(nil, d.wake, d.d.Lane(), d.blob)
		set(appendDelivery(nil, keyWaiting, d.d.ID), v)
		p.t = append(p.t, part{binary.BigEndian.AppendUint16(nil, d.d.ID.N), v})
	}
	for _, d := range h.left {
		v := appendWaiting(nil, d.at, "", d.blob)
		set(appendDelivery(nil, keyLeft, d.d.ID), v)
		p.x = append(p.x, part{binary.BigEndian.AppendUint16(nil, d.d.ID.N), v})
	}
	for _, e := range h.entries {
		set(append(appendID(nil, keyEntry, h.id), e.key...), e.value)
	}
	if n := len(h.waits); n > 0 {
		p.w = where{place: h.body, waiting: uint32(n)}.append(nil)
		set(appendID(nil, keyWhere, h.id), p.w)
		w.count(h.body)
		w.waiting += int64(n)
	}
	p.derived(func(k []byte) {
		if k[0] == keyBig {
			set(k, h.id[:])
		} else {
			set(k, nil)
		}
	})
	return err
}

func (w *mender) count(p place) {
	if p.big != 0 {
		w.bigs = big{w.bigs.count + 1, w.bigs.live + p.size}
		return
	}
	d := w.segs[p.seg]
	w.segs[p.seg] = segDelta{d.count + 1, d.live + p.size}
}

// finish writes what is counted, and makes all of it durable.
func (w *mender) finish(applied pos) error {
	for num, d := range w.segs {
		v := binary.AppendVarint(binary.AppendVarint(nil, d.count), d.live)
		if err := w.b.Set(binary.BigEndian.AppendUint32([]byte{keySegment}, num), v, nil); err != nil {
			return err
		}
	}
	if err := w.b.Set(appliedKey, appendApplied(nil, applied, w.waiting, w.bigs), nil); err != nil {
		return err
	}
	if err := w.b.Commit(pebble.NoSync); err != nil {
		return err
	}
	return w.db.Flush()
}

// keep puts aside for a person what may be all that is left of messages that waited:
// bodies of which neither the index nor the log says whose they are. Later starts would
// remove them, since nobody wants them.
func (w *mender) keep(v *survey) error {
	for _, num := range slices.Sorted(maps.Keys(v.adrift)) {
		w.s.o.Log.Error("spool: bodies of mail that may be lost stand in a segment of the log", "file", w.s.keep(num), "bodies", v.adrift[num])
	}
	return errors.Join(w.s.syncDir(w.s.path("seg")), w.s.keepLarge(w.db))
}

// tell reports what was lost, and keeps all files where something was.
func (w *mender) tell(v *survey) {
	for _, g := range v.idx.gaps {
		w.s.o.Log.Error("spool: a part of the index cannot be read", "file", g.file, "offset", g.off, "octets", g.size, "what", g.what)
	}
	if w.hurt > 0 {
		w.s.damaged = true
	}
	w.s.o.Log.Error("spool: the index was made anew", "messages", w.all, "harmed", w.hurt, "deliveries", w.waiting)
}

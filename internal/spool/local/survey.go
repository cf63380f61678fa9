package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/custody"
)

// survey reads a store that nobody has open, and changes nothing: the log from its
// first segment to its end, and the index around its damage. What the log has and
// the index has not yet, or has no more, is put together again; see (*survey).each.
type survey struct {
	ctx  context.Context
	fs   vfs.FS
	dir  string
	lock io.Closer
	idx  *indexReader
	tell func(what string, done, total int64) // progress

	applied pos // how far the index has followed the log
	// behind: segments that the log went on in from there have been removed, as is done
	// when the index has passed them. It is older than it was, or the disk has lost them:
	// what it says of a delivery that waits may be old.
	behind  bool
	segs    []segmentFile
	holes   []hole
	exact   pos // from where on nothing of the log is missing
	end     pos // of the log
	records int64
	strays  int64          // messages of which so little is left that it is of no use
	adrift  map[uint32]int // bodies of them, by segment
	bodies  bodyReader
}

// segmentFile is a segment of the log as it lies there.
type segmentFile struct {
	num  uint32
	size int64
}

// hole is a part of the log that is not as it was written.
type hole struct {
	seg  uint32
	from int64
	to   int64
	what string
	// kept: the index had read it before it was damaged, so that nothing but the
	// bodies in it is lost.
	kept bool
}

// openSurvey takes a closed store into possession, for reading.
func openSurvey(ctx context.Context, dir string, fsys vfs.FS, tell func(string, int64, int64)) (*survey, error) {
	if fsys == nil {
		fsys = vfs.Default
	}
	if tell == nil {
		tell = func(string, int64, int64) {}
	}
	v := &survey{ctx: ctx, fs: fsys, dir: dir, tell: tell, adrift: map[uint32]int{}}
	if _, err := fsys.Stat(v.path("seg")); err != nil {
		return nil, fmt.Errorf("local: there is no store in %s: %w", dir, err)
	}
	if err := v.take(); err != nil {
		return nil, err
	}
	err := v.open()
	if err != nil {
		v.close()
		return nil, fmt.Errorf("local: survey %s: %w", dir, err)
	}
	return v, nil
}

func (v *survey) path(elem ...string) string {
	return v.fs.PathJoin(append([]string{v.dir}, elem...)...)
}

// take locks the store. A copy of one that has no lock belongs to nobody.
func (v *survey) take() (err error) {
	if _, err := v.fs.Stat(v.path("lock")); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	v.lock, err = v.fs.Lock(v.path("lock"))
	if err == nil || errors.Is(err, errReadOnly) { // a snapshot
		return nil
	}
	return fmt.Errorf("local: %w", lockFault(v.fs, v.dir, err))
}

func (v *survey) open() (err error) {
	v.bodies = bodyReader{fs: v.fs, path: v.path}
	names, err := v.fs.List(v.path("seg"))
	if err != nil {
		return err
	}
	for _, name := range names {
		num, ok := segNumber(name)
		if !ok {
			continue
		}
		st, err := v.fs.Stat(v.path("seg", name))
		if err != nil {
			return err
		}
		v.segs = append(v.segs, segmentFile{num: num, size: st.Size()})
	}
	slices.SortFunc(v.segs, func(a, b segmentFile) int { return cmp.Compare(a.num, b.num) })
	index := v.path("index")
	if _, err := v.fs.Stat(v.path("index.mended")); err == nil {
		index = v.path("index.mended") // it only waits to be put in its place
	}
	if v.idx, err = openIndexReader(v.fs, index, v.connects); err != nil {
		return err
	}
	if v.applied, err = v.idx.applied(); err != nil || v.idx.astray(v.applied) {
		return err
	}
	if v.behind = !v.leads(v.applied); v.behind {
		v.idx.miss(gap{file: "index", from: []byte{}, to: []byte{}, what: olderIndex})
	}
	return nil
}

const olderIndex = "it is older than the log, a part of which has been removed since: what may have left in it is held"

// leads reports whether no segment is gone in which the log went on from a place.
func (v *survey) leads(at pos) bool {
	for _, s := range v.segs {
		if s.num <= at.seg {
			continue
		}
		seg, err := openSegment(v.fs, v.path("seg", segName(s.num)), s.num)
		if err != nil {
			continue // it is told by whoever reads it
		}
		seg.close()
		if at.before(seg.prev) && !slices.ContainsFunc(v.segs, func(s segmentFile) bool { return s.num == seg.prev.seg }) {
			return false
		}
		at = pos{s.num, headSize}
	}
	return true
}

// connects reports whether the log goes on at a place: no segment behind it is missing.
func (v *survey) connects(at pos) bool {
	for _, s := range v.segs {
		if s.num <= at.seg {
			continue
		}
		seg, err := openSegment(v.fs, v.path("seg", segName(s.num)), s.num)
		if errors.Is(err, errTorn) {
			continue
		}
		if err != nil {
			return false
		}
		seg.close()
		if seg.prev.before(at) || seg.prev.seg != at.seg {
			return false
		}
		at = pos{s.num, headSize}
	}
	return true
}

func (v *survey) close() {
	v.bodies.close()
	if v.idx != nil {
		v.idx.close()
	}
	if v.lock != nil {
		_ = v.lock.Close()
	}
}

// walk reads the log from a segment on and hands on its records in order. It notes
// the holes.
func (v *survey) walk(from uint32, each func(at pos, r *record) error) error {
	v.holes, v.records, v.exact = nil, 0, pos{}
	var total, done int64
	for _, s := range v.segs {
		if s.num >= from {
			total += s.size
		}
	}
	var last pos // where the log before this segment ends; zero: not known
	for _, s := range v.segs {
		if s.num < from {
			continue
		}
		end, err := v.walkSegment(s, last, func(off uint32) { v.tell("the log", done+int64(off), total) }, each)
		if err != nil {
			return err
		}
		last, v.end = end, end
		if end == (pos{}) {
			v.end = pos{s.num, uint32(s.size)}
		}
		done += s.size
	}
	v.tell("the log", total, total)
	return nil
}

// due returns up to where a segment was promised to be whole: by the segment behind
// it, or by the index; 0 if nothing in it was promised. Passed says that the segment
// behind it knows of none: it was being begun in a crash, and is only not removed yet.
func (v *survey) due(num uint32) (end uint32, passed bool) {
	i := slices.IndexFunc(v.segs, func(s segmentFile) bool { return s.num == num })
	if i+1 < len(v.segs) {
		if next, err := openSegment(v.fs, v.path("seg", segName(v.segs[i+1].num)), v.segs[i+1].num); err == nil {
			next.close()
			if next.prev.seg == num {
				return next.prev.off, false
			}
			passed = next.prev.seg < num
		}
	}
	if num == v.applied.seg {
		return v.applied.off, false
	}
	return 0, passed
}

// walkSegment reads one segment and returns where it ends.
func (v *survey) walkSegment(s segmentFile, last pos, tell func(uint32), each func(pos, *record) error) (pos, error) {
	due, passed := v.due(s.num)
	seg, err := openSegment(v.fs, v.path("seg", segName(s.num)), s.num)
	if errors.Is(err, errTorn) {
		// One that was just begun is torn in a crash, and nothing in it was promised.
		if due > 0 || s.num < v.applied.seg && !passed || begunAt(v.fs, v.path("seg", segName(s.num))) {
			v.hole(s.num, 0, max(int64(due), s.size), "its beginning has changed on disk: nothing in it can be read")
			return pos{}, nil
		}
		return last, nil
	}
	if errors.Is(err, syscall.EIO) {
		v.hole(s.num, 0, s.size, "its beginning cannot be read: "+err.Error())
		return pos{}, nil
	}
	if err != nil {
		return pos{}, err
	}
	defer seg.close()
	if seg.prev != last {
		v.exact = pos{s.num, 0}
	}
	if s.num > v.applied.seg && (last != pos{}) && seg.prev != last {
		v.holes = append(v.holes, hole{seg: s.num, what: fmt.Sprintf("it follows on %s, which is not there", seg.prev)})
	}
	at := pos{s.num, headSize}
	for {
		if err := v.ctx.Err(); err != nil {
			return at, err
		}
		payload, next, err := seg.frame(at.off)
		if err != nil {
			what := "it has changed on disk"
			if !errors.Is(err, errTorn) {
				what = "it cannot be read: " + err.Error()
			}
			skip := v.nextFrame(seg, at.off)
			if skip == 0 {
				if at.off < due {
					v.hole(s.num, int64(at.off), int64(due), what)
					at.off = due
				}
				return at, nil
			}
			v.hole(s.num, int64(at.off), int64(skip), what)
			at.off = skip
			continue
		}
		recs, err := readRecords(payload, at.off)
		if err != nil {
			return at, fmt.Errorf("%s: %w", at, err)
		}
		for _, r := range recs {
			if err := each(at, r); err != nil {
				return at, err
			}
		}
		v.records += int64(len(recs))
		at.off = next
		tell(next)
	}
}

// nextFrame finds the next valid frame behind a place, around what cannot be read; 0
// if there is none.
func (v *survey) nextFrame(seg *segment, off uint32) uint32 {
	for at := int64(off); at < seg.size; at += sector {
		if next, err := seg.next(uint32(at)); err == nil {
			return next
		}
	}
	return 0
}

func (v *survey) hole(num uint32, from, to int64, what string) {
	v.exact = pos{num, uint32(to)}
	kept := num < v.applied.seg || num == v.applied.seg && to <= int64(v.applied.off)
	v.holes = append(v.holes, hole{seg: num, from: from, to: to, what: what, kept: kept})
}

// each hands on all messages that the store has: first those of which the index has
// all, with what it has, then those that had to be put together from the index and
// the log. The log is read from a segment on for what the index has not yet, and once
// more as a whole if something is lost.
func (v *survey) each(from uint32, do func(h *holding, p *parts) error) error {
	fresh := newGleaner(func(_ custody.ID, at pos) bool { return !at.before(v.applied) })
	if err := v.walk(from, fresh.take); err != nil {
		return err
	}
	aside := map[custody.ID]*parts{}
	o := &joiner{idx: v.idx, bodies: &v.bodies, applied: v.applied, behind: v.behind, exact: v.exact}
	known := map[custody.ID]bool{} // of those that the log may tell of, too
	err := v.idx.messages(func(p *parts) error {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		if !v.idx.sound(p) || v.behind && len(p.t) > 0 {
			aside[p.id] = p.clone()
			return nil
		}
		l := fresh.by[p.id]
		h := o.join(p, l)
		if len(h.flaws) > 0 { // the log may know better
			aside[p.id] = p.clone()
			return nil
		}
		if l != nil || v.idx.vanished(p.id) {
			known[p.id] = true
		}
		return do(h, p)
	})
	if err != nil {
		return err
	}
	o.wanted = func(id custody.ID) bool { return aside[id] != nil } // all are aside now
	lost := newGleaner(func(id custody.ID, at pos) bool {
		return aside[id] != nil || !known[id] && (!at.before(v.applied) || v.idx.vanished(id))
	})
	if v.lossy() || len(aside) > 0 {
		if err := v.walk(0, lost.take); err != nil {
			return err
		}
		o.exact = v.exact
	} else {
		lost.by = fresh.by
		maps.DeleteFunc(lost.by, func(id custody.ID, _ *remains) bool { return known[id] })
	}
	for id := range aside {
		if lost.by[id] == nil {
			lost.by[id] = &remains{id: id}
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(lost.by), compareMessages) {
		h := o.join(aside[id], lost.by[id])
		if h == nil {
			v.strays++
			if p, ok := lost.by[id].follow(place{}, false); ok {
				v.adrift[p.seg]++
			}
			continue
		}
		h.unsound = aside[id] != nil || lost.by[id].at.before(v.applied)
		if err := do(h, nil); err != nil {
			return err
		}
	}
	return nil
}

func compareMessages(a, b custody.ID) int { return slices.Compare(a[:], b[:]) }

// lossy reports whether messages may be lost.
func (v *survey) lossy() bool { return v.behind || v.idx.lossy() }

// lossy reports whether keys may be lost.
func (r *indexReader) lossy() bool {
	return slices.ContainsFunc(r.gaps, func(g gap) bool { return !g.hollow() })
}

// vanished reports whether all that the index had of a message may be lost.
func (r *indexReader) vanished(id custody.ID) bool {
	return r.touched(keyMessage, id) && r.touched(keyWhere, id) && r.touched(keyWaiting, id)
}

package local

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/internal/spool"
)

// open takes the directory into possession and brings the index up to the log.
func (s *Store) open() error {
	for _, d := range []string{"seg", "big", "index"} {
		if err := s.fs.MkdirAll(s.path(d), 0o700); err != nil {
			return err
		}
	}
	lock, err := s.fs.Lock(s.path("lock"))
	if err != nil {
		return lockFault(s.fs, s.dir, err)
	}
	s.lock = lock
	s.own()
	// The names of our directories must outlive what is written into them.
	for _, d := range []string{s.fs.PathDir(s.dir), s.dir} {
		if err := s.syncDir(d); err != nil && (d == s.dir || !errors.Is(err, fs.ErrPermission)) {
			return err
		}
	}
	if err := s.marks.load(s.fs, s.path); err != nil {
		return err
	}
	if err := s.mended(); err != nil {
		return err
	}
	s.opening.Store(true)
	defer s.opening.Store(false)
	why := s.suspect()
	if why == nil {
		err := s.follow()
		if err == nil && !s.ruin.Load() {
			return nil
		}
		if err != nil && !s.ruined(err) {
			return err
		}
		why = cmp.Or(err, errors.New("damage was met"))
		s.unfollow()
	}
	if err := s.mend(why); err != nil {
		return err
	}
	return s.follow()
}

// follow opens the index and brings it up to the log.
func (s *Store) follow() (err error) {
	if err := s.dropOptions(); err != nil {
		return err
	}
	if s.db, err = s.openIndex("index", true); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	nums, err := s.load()
	if err != nil {
		return err
	}
	if err := s.replay(nums); err != nil {
		return err
	}
	if err := s.loadLanes(); err != nil {
		return err
	}
	return s.sweep()
}

// load reads from the index how far it has come, and what the log's segments
// hold. It returns the numbers of the segments that there are.
func (s *Store) load() ([]uint32, error) {
	v, err := s.read(appliedKey)
	if err == nil {
		s.applied, s.waiting, s.bigs, err = readApplied(v)
	}
	if err != nil && !errors.Is(err, spool.ErrUnknown) {
		return nil, err
	}
	names, err := s.fs.List(s.path("seg"))
	if err != nil {
		return nil, err
	}
	var nums []uint32
	for _, name := range names {
		num, ok := segNumber(name)
		if !ok {
			continue
		}
		st, err := s.fs.Stat(s.path("seg", name))
		if err != nil {
			return nil, err
		}
		nums = append(nums, num)
		s.segs[num] = &segState{size: st.Size(), sealed: true}
	}
	slices.Sort(nums)
	if len(nums) > 0 {
		s.log.last = nums[len(nums)-1]
	}
	s.log.last = max(s.log.last, s.applied.seg)
	return nums, scan(s.db, []byte{keySegment}, func(k, v []byte) error {
		num, d, err := readSegment(k, v)
		if err != nil {
			return err
		}
		g := s.segs[num]
		if g == nil {
			return s.db.Delete(k, pebble.NoSync) // it was removed just before a crash
		}
		g.count, g.live = d.count, d.live
		return nil
	})
}

// replay applies what the log has beyond the index. What was written and not flushed
// when the program last ended is flushed first: else the next power cut could take
// from the log what the index has and stands upon.
func (s *Store) replay(nums []uint32) error {
	a := newApplier(s, false)
	if err := s.syncDir(s.path("seg")); err != nil {
		return err
	}
	at := s.applied
	from := at
	for _, num := range nums {
		if num < at.seg || s.o.planted.blindReplay {
			continue
		}
		seg, err := openSegment(s.fs, s.path("seg", segName(num)), num)
		if errors.Is(err, errTorn) {
			if num == at.seg && at.off > 0 || begunAt(s.fs, s.path("seg", segName(num))) {
				s.damage(pos{num, 0}, "its beginning is not valid")
			}
			continue // it was begun just before a crash, and nothing in it was promised
		}
		if err != nil {
			return err
		}
		if num == at.seg && seg.size < int64(at.off) {
			s.damage(pos{num, uint32(seg.size)}, fmt.Sprintf("it ends before %s, up to where it was read", at))
		}
		if num > at.seg {
			if at.before(seg.prev) && !slices.Contains(nums, seg.prev.seg) {
				seg.close()
				return fmt.Errorf("%w: it has come to %s, and %s follows on %s", errOlder, at, segName(num), seg.prev)
			}
			if seg.prev != at {
				s.damage(at, fmt.Sprintf("%s follows on %s", segName(num), seg.prev))
			}
			at = pos{num, headSize}
		}
		if err = seg.file.Sync(); err == nil {
			at, err = s.replaySegment(a, seg, at)
		} else {
			err = fmt.Errorf("flush %s: %w", segName(num), err)
		}
		seg.close()
		if err != nil {
			return err
		}
	}
	s.log.end = at
	if at == from {
		return nil
	}
	return s.db.LogData(nil, pebble.Sync)
}

// errOlder says that segments are gone that the index has not followed.
var errOlder = errors.New("local: the index is older than the log, a part of which has been removed since")

// replaySegment applies the frames of a segment from a place on and returns
// where they end.
func (s *Store) replaySegment(a *applier, seg *segment, at pos) (pos, error) {
	for {
		payload, next, err := seg.frame(at.off)
		if errors.Is(err, errTorn) {
			// Bytes behind a torn frame were never promised, unless a valid frame
			// or a later segment shows that the log had gone on.
			skip, err := seg.next(at.off)
			if err != nil {
				return at, err
			}
			if skip == 0 {
				return at, nil
			}
			s.damage(at, fmt.Sprintf("%d octets before a valid frame", skip-at.off))
			at.off = skip
			continue
		}
		if err != nil {
			return at, err
		}
		recs, err := readRecords(payload, at.off)
		if err != nil {
			return at, fmt.Errorf("replay %s: %w", at, err)
		}
		a.begin()
		for _, r := range recs {
			err := a.record(r, seg.num)
			if err != nil && !errors.Is(err, spool.ErrUnknown) && !errors.Is(err, errRefused) {
				return at, fmt.Errorf("replay %s: %w", at, err)
			}
		}
		at.off = next
		if err := a.commit(at); err != nil {
			return at, err
		}
	}
}

// damage reports that a part of the log is lost that may have been promised.
// From then on nothing is removed before the next start, so that a person can
// look at it.
func (s *Store) damage(at pos, what string) {
	s.mu.Lock()
	s.damaged = true
	s.mu.Unlock()
	s.o.Log.Error("spool: the log is damaged: mail that was accepted may be lost",
		"file", s.keep(at.seg), "offset", at.off, "what", what)
}

// keptSuffix marks what is kept for a person: it is never read, and never removed.
const keptSuffix = ".damaged"

// keep gives a segment a second name, under which it stays, and returns the path at
// which it is to be found.
func (s *Store) keep(num uint32) string {
	path := s.path("seg", segName(num))
	if err := s.fs.Link(path, path+keptSuffix); err != nil && !errors.Is(err, fs.ErrExist) {
		return path
	}
	return path + keptSuffix
}

// loadLanes reads the queue's keys.
func (s *Store) loadLanes() error {
	var last string
	return scan(s.db, []byte{keyQueue}, func(k, _ []byte) error {
		name, wake, _, err := readQueue(k)
		if err != nil {
			return err
		}
		if string(name) != last || len(s.lanes.by) == 0 {
			last = string(name)
		}
		s.lanes.add(last, wake)
		return nil
	})
}

// sweep removes large bodies that no message names: of drafts that were not
// committed, and of messages that left just before a crash. Where mail may be lost they
// may be all that is left of it, and are kept.
func (s *Store) sweep() error {
	s.names.Store(uint64(time.Now().UnixNano()))
	if s.damaged {
		return s.keepLarge(s.db)
	}
	return s.unnamed(s.db, func(name string) error { return s.fs.Remove(s.path("big", name)) })
}

// unnamed hands on the names of large bodies that no message of an index names.
func (s *Store) unnamed(db pebble.Reader, each func(name string) error) error {
	names, err := s.fs.List(s.path("big"))
	if err != nil {
		return err
	}
	for _, name := range names {
		n, ok := bigNumber(name)
		if !ok {
			continue
		}
		if n > s.names.Load() {
			s.names.Store(n)
		}
		_, c, err := db.Get(binary.BigEndian.AppendUint64([]byte{keyBig}, n))
		if err == nil {
			err = c.Close()
		} else if errors.Is(err, pebble.ErrNotFound) {
			err = each(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keepLarge gives large bodies that no message of an index names a name under which
// they stay.
func (s *Store) keepLarge(db pebble.Reader) error {
	err := s.unnamed(db, func(name string) error {
		path := s.path("big", name)
		s.o.Log.Error("spool: a large body that no message names is kept: its message may be lost", "file", path+keptSuffix)
		return s.fs.Rename(path, path+keptSuffix)
	})
	return errors.Join(err, s.syncDir(s.path("big")))
}

// own writes down who has the store, for the words of ErrInUse.
func (s *Store) own() {
	f, err := s.fs.Create(s.path("owner"), vfs.WriteCategoryUnspecified)
	if err != nil {
		return
	}
	_, _ = f.Write([]byte(strconv.Itoa(pid())))
	_ = f.Close()
}

// lockFault says why a store cannot be locked: a process has it, or the system does not
// let us.
func lockFault(fs vfs.FS, dir string, err error) error {
	var no syscall.Errno
	if errors.As(err, &no) && no != syscall.EAGAIN { // fcntl(2), F_SETLK
		return fmt.Errorf("lock %s: %w", fs.PathJoin(dir, "lock"), err)
	}
	return fmt.Errorf("%w: by %s: %w", spool.ErrInUse, ownerOf(fs, dir), err)
}

// ownerOf names the process that has a store, as it wrote it down.
func ownerOf(fs vfs.FS, dir string) string {
	lock := fs.PathJoin(dir, "lock")
	if num, err := readOwner(fs, dir); err == nil {
		return fmt.Sprintf("process %d, which holds %s", num, lock)
	}
	return "a process that holds " + lock // damaged, or just being written
}

func readOwner(fs vfs.FS, dir string) (uint64, error) {
	f, err := fs.Open(fs.PathJoin(dir, "owner"))
	if err != nil {
		return 0, err
	}
	b := make([]byte, 20)
	n, _ := f.Read(b)
	_ = f.Close()
	return strconv.ParseUint(string(b[:n]), 10, 32)
}

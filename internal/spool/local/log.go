package local

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// job is records that want to be durable together with whatever else waits.
type job struct {
	recs    []*record
	of      []int   // for its owner: which of its things each record is
	results []error // one for each record
	size    int
	seal    bool       // no record: end the open segment
	mail    bool       // a Commit: the first to go when room is short
	taken   bool       // Fresh has the body of the message now
	done    chan error // the fault that met the whole job, or nil
}

// newJob takes a job that has done its work, or makes one. They are kept by the
// store, since a channel made in a synctest bubble must stay in it.
func (s *Store) newJob() *job {
	if j, ok := s.jobs.Get().(*job); ok {
		return j
	}
	return &job{done: make(chan error, 1)}
}

// release gives back a job that was waited for to its end.
func (s *Store) release(j *job) {
	clear(j.recs)
	clear(j.results)
	*j = job{recs: j.recs[:0], of: j.of[:0], results: j.results[:0], done: j.done}
	s.jobs.Put(j)
}

func (j *job) add(r *record, of int) {
	j.recs = append(j.recs, r)
	j.of = append(j.of, of)
	j.results = append(j.results, nil)
	j.size += r.size()
}

// offer makes what goes to Fresh when a message is stored: the deliveries whose
// first try is due at once.
func offer(m custody.Message, ds []custody.Delivery, body []byte) spool.Fresh {
	now := time.Now()
	var f spool.Fresh
	for _, d := range ds {
		if d.Held.IsZero() && !d.Next.IsZero() && !d.Next.After(now) {
			f.Items = append(f.Items, spool.Item{Message: m, Delivery: d, Wake: d.Next})
		}
	}
	if len(body) <= maxFreshBody {
		f.Body = body
	}
	return f
}

// inbox holds the jobs that wait for the log.
type inbox struct {
	mu    sync.Mutex
	wake  sync.Cond
	jobs  []*job
	ended bool
}

var errClosed = fmt.Errorf("%w: the store is closed", spool.ErrBroken)

func (in *inbox) put(j *job) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.ended {
		j.done <- errClosed
		return
	}
	in.jobs = append(in.jobs, j)
	in.wake.Signal()
}

func (in *inbox) shut() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ended = true
	in.wake.Signal()
}

// take returns all that waits, as far as one flush takes it; nil at the end.
func (in *inbox) take(buf []*job) []*job {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.jobs) == 0 {
		if in.ended {
			return nil
		}
		in.wake.Wait()
	}
	n, size := 0, 0
	for n < len(in.jobs) && (n == 0 || size+in.jobs[n].size <= maxGroup) {
		size += in.jobs[n].size
		n++
	}
	buf = append(buf[:0], in.jobs[:n]...)
	rest := copy(in.jobs, in.jobs[n:])
	clear(in.jobs[rest:])
	in.jobs = in.jobs[:rest]
	return buf
}

// group is what one flush made durable, on its way into the index.
type group struct {
	at   pos // of the frame
	end  pos // behind it
	jobs []*job
}

// writerState is the open end of the log.
type writerState struct {
	file vfs.File // nil: no segment is open
	salt uint64
	end  pos
	last uint32 // highest number of a segment there ever was
	pre  int64  // octets that are allocated
	next frame
}

// write is the goroutine that owns the log: it takes everything that waits,
// writes it as one frame, flushes once and hands it on to be applied. While it
// flushes, the next group gathers.
func (s *Store) write(groups chan<- *group) {
	defer close(groups)
	for {
		jobs := s.in.take(nil)
		if jobs == nil {
			return
		}
		g, err := s.append(jobs)
		if errors.Is(err, spool.ErrFull) {
			// What is being settled must find room longer than new mail does.
			var rest []*job
			for _, j := range jobs {
				if j.mail {
					j.done <- err
				} else {
					rest = append(rest, j)
				}
			}
			if len(rest) > 0 && len(rest) < len(jobs) {
				jobs = rest
				g, err = s.append(jobs)
			} else {
				jobs = rest
			}
		}
		if err != nil {
			for _, j := range jobs {
				j.done <- err
			}
			continue
		}
		select {
		case groups <- g:
		case <-s.broken:
		}
	}
}

// append writes one frame and flushes it.
func (s *Store) append(jobs []*job) (*group, error) {
	if err := s.usable(context.Background()); err != nil {
		return nil, err
	}
	l := &s.log
	size, records, seal := frameHead, 0, false
	for _, j := range jobs {
		seal = seal || j.seal
		records += len(j.recs)
		size += j.size + len(j.recs)*(1+binary.MaxVarintLen32)
	}
	if err := s.room(s.o.MinFree / 4); err != nil && !seal {
		return nil, err
	}
	if l.file == nil || seal && l.end.off > headSize || int64(l.end.off)+int64(size) > s.o.SegmentSize && l.end.off > headSize {
		err := s.rotate()
		if wanting(err) && l.file != nil && !seal {
			err = nil // its size is no law: the next frame tries again
		}
		if err != nil {
			return nil, s.meet("begin a segment", err)
		}
	}
	f := &l.next
	f.begin()
	var head [1 + binary.MaxVarintLen32]byte
	for _, j := range jobs {
		for _, r := range j.recs {
			head[0] = r.kind
			f.copy(binary.AppendUvarint(head[:1], uint64(r.size())))
			r.at = l.end.off + uint32(f.size)
			f.add(r.head)
			f.add(r.body)
		}
	}
	f.seal(l.salt, l.end.off)
	at, began := l.end, time.Now()
	s.preallocate(int64(at.off) + int64(f.size))
	err := f.write(l.file, int64(at.off))
	if f.end(); err != nil {
		return nil, s.meet("write", err) // the next frame is written over what stands there
	}
	if !s.o.planted.noSegmentSync {
		if err := l.file.SyncData(); err != nil {
			s.fail(fmt.Errorf("flush %s: %w", at, err))
			return nil, s.fault
		}
	}
	s.o.Flushed(time.Since(began), records, f.size)
	s.freeWas.Add(-int64(f.size))
	l.end.off += uint32(f.size)
	s.mu.Lock()
	s.segs[at.seg].size = int64(l.end.off)
	s.mu.Unlock()
	return &group{at: at, end: l.end, jobs: jobs}, nil
}

// meet turns the error of a write into ErrFull if it passes when there is room,
// and poisons the store if it tells of a fault.
func (s *Store) meet(what string, err error) error {
	if isFull(err) {
		return fmt.Errorf("%w: %s: %w", spool.ErrFull, what, err)
	}
	s.fail(fmt.Errorf("%s: %w", what, err))
	return s.fault
}

// preallocate takes blocks in large pieces, so that a flush has less of the file
// system's own to write. It is a help and no promise.
func (s *Store) preallocate(end int64) {
	const piece = 4 << 20
	if end <= s.log.pre {
		return
	}
	next := max(s.log.pre, int64(s.log.end.off))
	want := min((end/piece+1)*piece, max(s.o.SegmentSize, end))
	_ = s.log.file.Preallocate(next, want-next)
	s.log.pre = want
}

// rotate ends the open segment and begins the next one. Its first frame says
// where the log before it ends, and is flushed together with the second.
func (s *Store) rotate() error {
	l := &s.log
	num := l.last + 1
	path := s.path("seg", segName(num))
	f, err := s.fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	salt := rand.Uint64()
	if _, err = f.WriteAt(headFrame(salt, l.end), 0); err == nil && !s.o.planted.noDirSync {
		err = s.syncDir(s.path("seg"))
	}
	if err != nil {
		_ = f.Close()
		_ = s.fs.Remove(path)
		return err
	}
	old, oldSeg := l.file, l.end.seg
	l.file, l.salt, l.end, l.last, l.pre = f, salt, pos{num, headSize}, num, 0
	s.mu.Lock()
	if g := s.segs[oldSeg]; g != nil {
		g.sealed, g.since = true, time.Now()
	}
	s.segs[num] = &segState{size: headSize}
	s.mu.Unlock()
	if old != nil {
		if err := old.Close(); err != nil {
			return err
		}
		s.tidy()
	}
	return nil
}

func (s *Store) syncDir(path string) error {
	d, err := s.fs.OpenDir(path)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		_ = d.Close()
		// Whatever the system calls it, a failed flush is never tried again.
		return fmt.Errorf("flush %s: %w", path, errSync{err})
	}
	return d.Close()
}

// errSync hides that a flush failed for want of room: it is a fault all the same.
type errSync struct{ cause error }

func (e errSync) Error() string { return e.cause.Error() }

func nowNanos() int64 { return time.Now().UnixNano() }

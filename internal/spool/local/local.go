// Package local keeps mail on one machine: a log that is flushed once for all
// who wait, and a Pebble index that is written behind it and never waited for.
//
// What Commit and Settle acknowledge stands in the log. The index holds
// everything else that is asked for, knows how far it has followed the log, and
// catches up from there when the store is opened. A segment of the log is
// removed when no delivery needs a body in it and the index has durably passed
// it. Large bodies are files of their own.
//
// It decides nothing, reads no message and repairs nothing by guessing: a torn
// end of the log was promised to nobody and is dropped, any other damage is
// reported. An index that is damaged is made anew from what can be read of it and
// from the log; what of it cannot be known for sure is held for a person.
// docs/states.md lists every state on disk and what a crash in it leads to.
//
// Start reading at [Open], then (*Store).write in log.go and (*applier).group in
// apply.go: the way of a message to the disk. How a store is read that is damaged
// begins at survey.go: [Verify], [Export] and mend.go stand on it.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/internal/spool"
)

// Options of a Store. The zero Options are good.
type Options struct {
	FS          vfs.FS       // nil: the file system of the operating system
	Fresh       int          // messages that wait on Fresh; 0: 256
	MinFree     int64        // octets that new mail leaves free on the disk; 0: 128 MiB, negative: it may fill it
	SegmentSize int64        // octets of a segment of the log; 0: 64 MiB
	InlineMax   int64        // longest body that stands in the log, others get a file; 0: 1 MiB, which is the most
	Log         *slog.Logger // what an operator must act on; nil: slog.Default
	Broken      func(error)  // is called once when the disk has failed; nil: Health tells
	// Flushed is told of each group of records that was written and flushed together:
	// how long that took, how many they are and how many octets. Nil: nobody is told.
	Flushed func(took time.Duration, records, octets int)

	carryAge  time.Duration // see carryAfter; tests: negative, at once
	largeBody int           // see largeBody; tests: less
	planted   faults
}

// faults are bugs that tests plant to see that they are found.
type faults struct {
	noSegmentSync bool // acknowledge before the log is flushed
	noDirSync     bool // do not flush the directory of a new segment
	noBigSync     bool // do not flush a large body
	earlyUnlink   bool // remove what is dead before the index has durably passed it
	earlyApplied  bool // note a frame as applied before its changes are in the index
	blindReplay   bool // do not replay the log
}

const (
	defaultFresh   = 256
	defaultMinFree = 128 << 20
	defaultSegment = 64 << 20
	maxInline      = 1 << 20
	maxRecord      = 8 << 20
	maxGroup       = 4 << 20 // octets of records that one flush takes
	carryAfter     = 10 * time.Minute
	closePatience  = time.Second // of Close, for what is under way in a broken store
	maxFreshBody   = 64 << 10    // longer bodies are not handed on in memory
)

// Store is a spool.Store in a directory.
type Store struct {
	dir  string
	o    Options
	fs   vfs.FS
	lock io.Closer
	db   *pebble.DB

	fresh chan spool.Fresh
	lanes *lanes
	names atomic.Uint64 // of big files

	marks   marks       // of attempts
	readers readers     // of segments
	spoiled spoiled     // large bodies found damaged
	opening atomic.Bool // damage of the index is mended now, not at the next start
	ruin    atomic.Bool // and there is some

	freeWas, freeAt atomic.Int64 // what free found, and when
	tight           atomic.Bool  // room was refused: the janitor shall be thorough

	in     inbox         // of the log
	jobs   sync.Pool     // of *job
	log    writerState   // owned by the log's goroutine
	broken chan struct{} // closed when nothing more can be promised
	once   sync.Once
	fault  error // why; set before broken is closed
	work   sync.WaitGroup
	poke   chan struct{} // wakes the janitor
	quit   chan struct{} // ends the janitor
	closed sync.Once
	ended  atomic.Bool // Close has returned

	mu      sync.Mutex
	segs    map[uint32]*segState
	applied pos      // end of what is in the index
	waiting int64    // deliveries
	bigs    big      // large bodies that are wanted
	dead    []uint64 // large bodies that nobody wants any more
	damaged bool     // the log has lost something: keep all files
}

type segState struct {
	size   int64 // of the file
	sealed bool
	since  time.Time // when it was sealed; zero: before the store was opened
	count  int64     // bodies that are wanted
	live   int64     // their octets
}

type big struct{ count, live int64 }

var _ spool.Store = (*Store)(nil)

// Open opens the store in dir and makes it if it is not there. It answers
// spool.ErrInUse if another process has it open.
func Open(dir string, o Options) (*Store, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Fresh == 0 {
		o.Fresh = defaultFresh
	}
	if o.MinFree == 0 {
		o.MinFree = defaultMinFree
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = defaultSegment
	}
	o.SegmentSize = min(o.SegmentSize, 1<<30)
	if o.InlineMax == 0 || o.InlineMax > maxInline {
		o.InlineMax = maxInline
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Store{
		dir: dir, o: o, fs: o.FS, fresh: make(chan spool.Fresh, o.Fresh),
		broken: make(chan struct{}), poke: make(chan struct{}, 1), quit: make(chan struct{}),
		segs: make(map[uint32]*segState),
	}
	if s.o.Flushed == nil {
		s.o.Flushed = func(time.Duration, int, int) {}
	}
	if s.o.carryAge == 0 {
		s.o.carryAge = carryAfter
	}
	s.log.next.least = s.o.largeBody
	s.in.wake.L = &s.in.mu
	s.lanes = newLanes(s.earliest)
	opened := make(chan error, 1)
	go func() {
		err := s.open()
		if err != nil {
			_ = s.shut()
			_ = s.unlock()
		}
		opened <- err
	}()
	var err error
	select {
	case err = <-opened:
	case <-s.broken: // the other goroutine stands inside Pebble for ever
		err = s.fault
	}
	if err != nil {
		return nil, fmt.Errorf("local: open %s: %w", dir, err)
	}
	groups := make(chan *group, 1)
	s.work.Go(func() { s.write(groups) })
	s.work.Go(func() { s.apply(groups) })
	s.work.Go(s.janitor)
	s.tidy()
	return s, nil
}

func (s *Store) path(elem ...string) string {
	return s.fs.PathJoin(append([]string{s.dir}, elem...)...)
}

// Fresh hands on what has just been stored.
func (s *Store) Fresh() <-chan spool.Fresh { return s.fresh }

// fail poisons the store: a write or a flush has failed, and nobody knows any
// more what the disk holds. A flush is never tried again, since the system may
// have dropped the pages that it could not write.
func (s *Store) fail(err error) {
	s.once.Do(func() {
		s.fault = fmt.Errorf("%w: %w", spool.ErrBroken, err)
		close(s.broken)
		s.in.shut()
		s.o.Log.Error("spool: the disk has failed: no mail is taken before a restart", "dir", s.dir, "error", err)
		if s.o.Broken != nil {
			s.o.Broken(s.fault)
		}
	})
}

// hasty reports that the store is being opened or closed: nobody waits then for what
// others would give back.
func (s *Store) hasty() bool {
	select {
	case <-s.quit:
		return true
	default:
		return s.opening.Load()
	}
}

// usable answers why the store takes nothing, nil if it does.
func (s *Store) usable(ctx context.Context) error {
	select {
	case <-s.broken:
		return s.fault
	default:
	}
	if s.ended.Load() {
		return errClosed
	}
	return ctx.Err()
}

// Close waits for what is under way and closes the store.
func (s *Store) Close() (err error) {
	s.closed.Do(func() {
		s.in.shut()
		defer s.ended.Store(true)
		close(s.quit)
		done := make(chan error, 1)
		go func() {
			s.work.Wait()
			done <- s.shut()
		}()
		select {
		case err = <-done:
		case <-s.broken:
			// A goroutine may stand for ever inside Pebble, which has met the fault.
			patience := time.NewTimer(closePatience)
			defer patience.Stop()
			select {
			case err = <-done:
			case <-patience.C:
			}
		}
		err = errors.Join(err, s.unlock())
		if s.fault != nil {
			err = s.fault
		}
	})
	return err
}

// shut closes what open opened, but for the lock.
func (s *Store) shut() (err error) {
	s.readers.close()
	s.marks.close()
	if s.log.file != nil {
		err = s.log.file.Close()
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	return err
}

func (s *Store) unlock() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

// Health says how the store is.
func (s *Store) Health(context.Context) spool.Health {
	h := spool.Health{Durability: "fsynced here"}
	s.mu.Lock()
	h.Waiting = s.waiting
	h.Messages, h.Bytes = s.bigs.count, s.bigs.live
	for _, g := range s.segs {
		h.Messages += g.count
		h.Bytes += g.size
	}
	s.mu.Unlock()
	if err := s.usable(context.Background()); err != nil {
		h.Fault = err.Error()
		return h
	}
	h.Bytes += int64(s.db.Metrics().DiskSpaceUsage())
	h.Free = max(s.free(), 0)
	if err := s.room(s.o.MinFree); err != nil {
		h.Fault = err.Error()
	}
	return h
}

// Settle carries out steps, each whole or not at all.
func (s *Store) Settle(ctx context.Context, steps []spool.Step) []error {
	errs := make([]error, len(steps))
	bad := false
	if err := s.usable(ctx); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	now := nowNanos()
	var jobs []*job
	var j *job
	for i, st := range steps {
		r, err := newStep(st, now)
		if err != nil {
			errs[i], bad = err, true
			continue
		}
		if j == nil || j.size+r.size() > maxGroup {
			j = s.newJob()
			jobs = append(jobs, j)
		}
		j.add(r, i)
		for _, l := range st.Letters {
			r.fresh = append(r.fresh, offer(l.Message, l.Deliveries, l.Body))
		}
	}
	for _, j := range jobs {
		s.in.put(j)
	}
	for _, j := range jobs {
		err := s.wait(j)
		for k, i := range j.of {
			if errs[i] = err; err == nil {
				errs[i] = j.results[k]
			}
			bad = bad || errs[i] != nil
		}
		if err == nil {
			s.release(j)
		}
	}
	if !bad {
		return nil
	}
	return errs
}

// wait returns when a job is durable and applied, or failed as a whole.
func (s *Store) wait(j *job) error {
	select {
	case err := <-j.done:
		return err
	case <-s.broken:
		return s.fault
	}
}

// tidy wakes the janitor.
func (s *Store) tidy() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

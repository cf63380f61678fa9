package local

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// indexFormat is what Pebble writes: pinned, so that a newer Pebble does not make
// the index unreadable for the program of yesterday.
const indexFormat = pebble.FormatValueSeparation

// openIndex opens the index in a folder of the store, and makes it if it is not there.
// durable: it has a log of its own.
func (s *Store) openIndex(name string, durable bool) (*pebble.DB, error) {
	var flushes, merges stubborn
	compactions := &compactions{CompactionScheduler: pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()}
	o := &pebble.Options{
		FS: indexFS{s.fs, func(err error) { s.fail(fmt.Errorf("index: %w", err)) }, s.hasty}, CacheSize: 8 << 20, MemTableSize: 2 << 20, MaxOpenFiles: 256,
		FormatMajorVersion: indexFormat, Logger: pebbleLog{s}, DisableWAL: !durable,
		EventListener: &pebble.EventListener{
			DataCorruption: func(i pebble.DataCorruptionInfo) { s.spoil(i.Path, i.Details) },
			FlushEnd:       func(i pebble.FlushInfo) { flushes.ended(s, i.Err) },
			CompactionEnd:  func(i pebble.CompactionInfo) { merges.ended(s, i.Err) },
		},
	}
	// Each write touches every kind of key, at few places of each. So that a compaction
	// does not rewrite all of the index tables are small and cut where others end, and more
	// of them come together first: their filters spare most of the reading. They are
	// merged into 8 MB, not into all that there is.
	o.FlushSplitBytes, o.L0CompactionThreshold, o.L0StopWritesThreshold = 64<<10, 12, 36
	o.TargetFileSizes = [7]int64{1 << 20, 1 << 20, 2 << 20}
	o.LBaseMaxBytes = 8 << 20
	o.Experimental.CompactionScheduler = compactions
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(s.path(name), o)
	if err == nil {
		compactions.begin()
	}
	return db, err
}

// stubborn counts what Pebble has failed at in a row. It would try for ever to write the
// same tables, and when it has no more memory nobody hears from the store: where not only
// room is wanting the disk has failed.
type stubborn struct{ atomic.Int32 }

const tableTries = 3

func (n *stubborn) ended(s *Store, err error) {
	switch {
	case err == nil:
		n.Store(0)
	case isFull(err), errors.Is(err, pebble.ErrCancelledCompaction):
	case n.Add(1) == tableTries:
		s.fail(fmt.Errorf("index: %w", err))
	}
}

// compactions lets Pebble compact one at a time, and none before the index is open:
// an opening waits for those that it has set off, and with it all who have mail for us.
// There is nothing to grant periodically: the usual scheduler wakes up ten times a second.
type compactions struct {
	pebble.CompactionScheduler
	db   pebble.DBForCompaction
	open atomic.Bool
}

func (c *compactions) Register(goroutines int, db pebble.DBForCompaction) {
	c.db = db
	c.CompactionScheduler.Register(goroutines, db)
}

func (c *compactions) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	if !c.open.Load() {
		return false, nil
	}
	return c.CompactionScheduler.TrySchedule()
}

// begin grants what the opening has asked for in vain: Pebble does not ask twice.
func (c *compactions) begin() {
	c.open.Store(true)
	ok, grant := c.CompactionScheduler.TrySchedule()
	if !ok {
		return
	}
	if waits, _ := c.db.GetWaitingCompaction(); !waits || !c.db.Schedule(grant) {
		grant.Done()
	}
}

// pebbleLog lets Pebble's words through when they are of use to an operator.
type pebbleLog struct{ s *Store }

func (pebbleLog) Infof(string, ...any) {}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.s.o.Log.Error("spool: index", "dir", l.s.dir, "error", fmt.Sprintf(format, args...))
}

// Fatalf must not return: Pebble has lost its footing, and what it would do next
// could only spread the damage.
func (l pebbleLog) Fatalf(format string, args ...any) {
	l.s.fail(fmt.Errorf("index: "+format, args...))
	select {}
}

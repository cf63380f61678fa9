package local

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// TestNobodyWaitsForACompactionAtAStart: an index that wants to be compacted when it
// is opened is open before, and compacted then.
func TestNobodyWaitsForACompactionAtAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flush := func(s *Store, n int) {
			mustCommit(t, s, n, 100)
			if err := s.db.Flush(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		s, few := openMem(t, vfs.NewMem(), Options{}), 0
		for ; s.db.Metrics().Compact.Count == 0; few++ {
			flush(s, few)
		}
		s.Close()

		disk := vfs.NewMem()
		s = openMem(t, disk, Options{})
		for n := range few - 1 {
			flush(s, n)
		}
		mustCommit(t, s, few, 100) // is flushed at the start, and is one too many
		s.Close()

		var tables atomic.Int32
		gate := make(chan struct{})
		s = openMem(t, errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") && tables.Add(1) == 2 {
				<-gate
			}
			return nil
		})), Options{})
		synctest.Wait()
		if n := tables.Load(); n != 2 {
			t.Errorf("%d tables were begun, want that of a flush and that of a compaction", n)
		}
		close(gate)
		synctest.Wait()
		if s.db.Metrics().Compact.Count == 0 {
			t.Error("nothing was compacted after the start")
		}
		s.Close()
	})
}

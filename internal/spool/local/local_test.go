package local

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/spooltest"
)

func TestStoreInMemory(t *testing.T) {
	spooltest.Run(t, func(testing.TB) spooltest.Open {
		fs := vfs.NewMem()
		return func(t testing.TB) spool.Store {
			s, err := Open("/spool", Options{FS: fs, SegmentSize: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	}, false)
}

func TestStoreOnDisk(t *testing.T) {
	spooltest.Cases(t, func(t testing.TB) spooltest.Open {
		dir := t.TempDir()
		return func(t testing.TB) spool.Store {
			s, err := Open(dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	}, false)
}

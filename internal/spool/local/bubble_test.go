package local

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/spooltest"
)

// TestLivesInABubble runs the store for days of virtual time.
func TestLivesInABubble(t *testing.T) {
	begin := time.Now()
	synctest.Test(t, func(t *testing.T) {
		s, err := Open("/spool", Options{FS: vfs.NewMem(), Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		for day := range 5 {
			for i := range 200 {
				m, ds := spooltest.Message(day*1000+i, "a.example")
				d, err := s.Begin(context.Background(), 0)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = d.Write(spooltest.Bytes(5000, 1))
				if err := d.Commit(context.Background(), m, ds); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if errs := s.Settle(context.Background(), []spool.Step{{Delivery: ds[0], Closed: true}}); errs != nil {
					t.Fatal(errs)
				}
			}
			time.Sleep(24*time.Hour - 200*time.Minute)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("five days took %v", time.Since(begin))
}

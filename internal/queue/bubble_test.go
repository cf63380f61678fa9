package queue

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/internal/spool/local"
)

func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := local.Open("/spool", local.Options{FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		b := time.Now()
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		t.Log(time.Since(b))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

package local

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

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

// TestABrokenStoreLeavesNothingBehind: where the index has met no fault, all of it is
// closed, and no goroutine is left.
func TestABrokenStoreLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{part: "/seg/", kind: []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData}, err: syscall.EIO}
		s := openMem(t, errorfs.Wrap(vfs.NewMem(), f), Options{})
		mustCommit(t, s, 1, 100)
		f.on.Store(true)
		if _, err := tryCommit(s, 2, 100); !errors.Is(err, spool.ErrBroken) {
			t.Errorf("commit: %v, want ErrBroken", err)
		}
		if err := s.Close(); !errors.Is(err, spool.ErrBroken) {
			t.Errorf("close: %v, want ErrBroken", err)
		}
	})
}

// cramped is a file system without room for mail, as long as it is told so.
type cramped struct {
	vfs.FS
	full  atomic.Bool
	whole bool         // there is not even room for a new file
	opens atomic.Int64 // of segments, meanwhile
}

func (c *cramped) GetDiskUsage(string) (vfs.DiskUsage, error) {
	if c.full.Load() {
		return vfs.DiskUsage{}, nil
	}
	return vfs.DiskUsage{AvailBytes: 1 << 40}, nil
}

func (c *cramped) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	if c.full.Load() && strings.Contains(name, "/seg/") && c.opens.Add(1) > 1000 {
		return nil, os.ErrPermission // or the clock of the bubble stands still for ever
	}
	return c.FS.Open(name, o...)
}

func (c *cramped) OpenReadWrite(name string, k vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	if c.full.Load() && c.opens.Add(1) > 1000 {
		return nil, os.ErrPermission
	}
	if c.full.Load() && c.whole {
		return nil, syscall.ENOSPC
	}
	return c.FS.OpenReadWrite(name, k, o...)
}

// TestWhereThereIsNoRoomTheJanitorRests: it tries to make some when somebody asks, not
// again and again because it finds none itself.
func TestWhereThereIsNoRoomTheJanitorRests(t *testing.T) {
	for _, c := range []struct {
		messages int  // 13 fill a segment
		whole    bool // there is no room for the next one
	}{{40, false}, {40, true}, {5, true}} {
		synctest.Test(t, func(t *testing.T) {
			fs := &cramped{FS: vfs.NewMem(), whole: c.whole}
			s := openMem(t, fs, Options{SegmentSize: 64 << 10})
			for n := range c.messages { // one of ten is still wanted
				if d := mustCommit(t, s, n, 5000); n%10 > 0 {
					if err := settleOne(s, spool.Step{Delivery: d, Closed: true}); err != nil {
						t.Fatal(err)
					}
				}
			}
			fs.full.Store(true)
			time.Sleep(time.Second) // what is known of the room is old
			if _, err := tryCommit(s, 100, 100); !errors.Is(err, spool.ErrFull) {
				t.Errorf("commit: %v, want ErrFull", err)
			}
			time.Sleep(time.Minute)
			if n := fs.opens.Load(); n == 0 || n > 10 {
				t.Errorf("segments were opened %d times for one that asked", n)
			}
			fs.full.Store(false)
			time.Sleep(time.Second)
			if _, err := tryCommit(s, 101, 100); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWhatIsReplayedIsFlushedFirst: a flush fails, the program starts again upon what was
// written, and then the power is cut: the log has what the index stands upon.
func TestWhatIsReplayedIsFlushedFirst(t *testing.T) {
	f := &failing{part: "/seg/", kind: []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData}, err: syscall.EIO}
	mem := vfs.NewCrashableMem()
	s := openMem(t, errorfs.Wrap(mem, f), Options{})
	mustCommit(t, s, 1, 100)
	f.on.Store(true)
	d, err := tryCommit(s, 2, 100)
	if !errors.Is(err, spool.ErrBroken) {
		t.Fatalf("commit: %v, want ErrBroken", err)
	}
	_ = s.Close()
	s = openMem(t, mem, Options{})
	if _, err := s.Item(ctx, d.ID); err != nil {
		t.Fatalf("what the log has is not replayed: %v", err)
	}
	cut := mem.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = openMem(t, cut, Options{})
	defer func() { _ = s.Close() }()
	if b, err := s.Body(ctx, d.ID.Message); err != nil {
		t.Errorf("the body: %v", err)
	} else {
		_ = b.Close()
	}
	if s.damaged {
		t.Error("the log counts as damaged")
	}
}

package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/spooltest"
)

var ctx = context.Background()

// failing injects an error into operations on files whose path has a part.
type failing struct {
	on   atomic.Bool
	part string
	kind []errorfs.OpKind
	err  error
}

func (f *failing) String() string { return "failing" }

func (f *failing) MaybeError(op errorfs.Op) error {
	if f.on.Load() && strings.Contains(op.Path, f.part) {
		for _, k := range f.kind {
			if op.Kind == k {
				return f.err
			}
		}
	}
	return nil
}

func openMem(t testing.TB, fs vfs.FS, o Options) *Store {
	t.Helper()
	o.FS = fs
	if o.Log == nil {
		o.Log = quiet()
	}
	s, err := Open("/spool", o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryCommit(s *Store, n int, size int) (custody.Delivery, error) {
	m, ds := spooltest.Message(n, "a.example")
	d, err := s.Begin(ctx, int64(size))
	if err != nil {
		return ds[0], err
	}
	defer d.Abort()
	if _, err := d.Write(spooltest.Bytes(size, uint64(n))); err != nil {
		return ds[0], err
	}
	return ds[0], d.Commit(ctx, m, ds)
}

func mustCommit(t testing.TB, s *Store, n, size int) custody.Delivery {
	t.Helper()
	d, err := tryCommit(s, n, size)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func count(t *testing.T, s *Store, q spool.Query) (n int) {
	t.Helper()
	for _, err := range s.Find(ctx, q) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func settleOne(s *Store, st spool.Step) error {
	if errs := s.Settle(ctx, []spool.Step{st}); errs != nil {
		return errs[0]
	}
	return nil
}

func TestNoRoomPasses(t *testing.T) {
	for _, part := range []string{"/seg/", "/big/"} {
		t.Run(part, func(t *testing.T) {
			f := &failing{part: part, kind: []errorfs.OpKind{errorfs.OpFileWriteAt, errorfs.OpFileWrite}, err: syscall.ENOSPC}
			mem := vfs.NewMem()
			s := openMem(t, errorfs.Wrap(mem, f), Options{InlineMax: 4096})
			old := mustCommit(t, s, 1, 100)
			f.on.Store(true)
			for _, size := range []int{100, 9000} {
				_, err := tryCommit(s, 2, size)
				if inLog := size < 4096; (inLog == (part == "/seg/")) && !errors.Is(err, spool.ErrFull) {
					t.Errorf("commit of %d: %v, want ErrFull", size, err)
				}
			}
			if err := settleOne(s, spool.Step{Delivery: old, Closed: true}); part == "/seg/" && !errors.Is(err, spool.ErrFull) {
				t.Errorf("settle: %v, want ErrFull", err)
			}
			f.on.Store(false)
			_ = settleOne(s, spool.Step{Delivery: old, Closed: true})
			mustCommit(t, s, 3, 100)
			mustCommit(t, s, 4, 9000)
			for range 2 {
				want := 2
				if part == "/big/" {
					want = 3 // the small one of those that were to fail
				}
				if n := count(t, s, spool.Query{}); n != want {
					t.Errorf("%d wait, want %d", n, want)
				}
				if h := s.Health(ctx); h.Fault != "" {
					t.Errorf("fault %q", h.Fault)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = openMem(t, mem, Options{InlineMax: 4096})
			}
			_ = s.Close()
		})
	}
}

// TestALargeBodyWithoutADescriptorPasses: there is none for its file, or its folder.
func TestALargeBodyWithoutADescriptorPasses(t *testing.T) {
	for _, kind := range []errorfs.OpKind{errorfs.OpCreate, errorfs.OpOpenDir} {
		f := &failing{part: "/big", kind: []errorfs.OpKind{kind}, err: syscall.EMFILE}
		s := openMem(t, errorfs.Wrap(vfs.NewMem(), f), Options{InlineMax: 4096})
		defer s.Close()
		f.on.Store(true)
		if _, err := tryCommit(s, 1, 9000); !errors.Is(err, spool.ErrFull) {
			t.Errorf("commit: %v, want ErrFull", err)
		}
		f.on.Store(false)
		mustCommit(t, s, 2, 9000)
		if n := count(t, s, spool.Query{}); n != 1 {
			t.Errorf("%d wait", n)
		}
	}
}

func TestFailedFlushPoisons(t *testing.T) {
	f := &failing{part: "/seg/", kind: []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData}, err: syscall.EIO}
	mem := vfs.NewCrashableMem()
	told := make(chan error, 2)
	s := openMem(t, errorfs.Wrap(mem, f), Options{Broken: func(err error) { told <- err }})
	old := mustCommit(t, s, 1, 100)
	f.on.Store(true)
	if _, err := tryCommit(s, 2, 100); !errors.Is(err, spool.ErrBroken) {
		t.Errorf("commit: %v, want ErrBroken", err)
	}
	f.on.Store(false) // the next flush would succeed, and prove nothing
	if _, err := tryCommit(s, 3, 100); !errors.Is(err, spool.ErrBroken) {
		t.Errorf("commit: %v, want ErrBroken", err)
	}
	if err := settleOne(s, spool.Step{Delivery: old}); !errors.Is(err, spool.ErrBroken) {
		t.Errorf("settle: %v, want ErrBroken", err)
	}
	if h := s.Health(ctx); h.Fault == "" {
		t.Errorf("health %+v", h)
	}
	<-told
	if err := s.Close(); !errors.Is(err, spool.ErrBroken) {
		t.Errorf("close: %v", err)
	}
	s = openMem(t, mem.CrashClone(vfs.CrashCloneCfg{}), Options{})
	defer s.Close()
	if _, err := s.Item(ctx, old.ID); err != nil {
		t.Error(err)
	}
}

func TestFailedIndexPoisons(t *testing.T) {
	f := &failing{part: "/index/", kind: []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData}, err: syscall.EIO}
	mem := vfs.NewCrashableMem()
	broken := make(chan error, 1)
	s := openMem(t, errorfs.Wrap(mem, f), Options{Broken: func(err error) { broken <- err }})
	acked := []custody.Delivery{mustCommit(t, s, 1, 100)}
	f.on.Store(true)
	var err error
	for n := 2; n < 20_000 && err == nil; n++ { // Pebble writes when a block is full
		var d custody.Delivery
		if d, err = tryCommit(s, n, 10); err == nil {
			acked = append(acked, d)
		}
	}
	if !errors.Is(err, spool.ErrBroken) {
		t.Fatalf("commit: %v, want ErrBroken", err)
	}
	<-broken
	if err := s.Close(); !errors.Is(err, spool.ErrBroken) {
		t.Errorf("close: %v", err)
	}
	s = openMem(t, mem.CrashClone(vfs.CrashCloneCfg{}), Options{})
	defer s.Close()
	for _, d := range acked {
		if _, err := s.Item(ctx, d.ID); err != nil {
			t.Fatalf("%s: %v", d.ID, err)
		}
	}
}

// TestPruneEndsWhenTheIndexHasFailed: Pebble stands in the batch for ever, and who prunes
// does not.
func TestPruneEndsWhenTheIndexHasFailed(t *testing.T) {
	f := &failing{part: ".log", kind: []errorfs.OpKind{errorfs.OpCreate, errorfs.OpReuseForWrite, errorfs.OpFileWrite}, err: syscall.EIO}
	s := openMem(t, errorfs.Wrap(vfs.NewMem(), f), Options{})
	for n := range 3000 { // to forget them takes more than a memtable holds
		if err := settleOne(s, benchStep(mustCommit(t, s, n, 10), true)); err != nil {
			t.Fatal(err)
		}
	}
	f.on.Store(true)
	if err := s.Prune(ctx, time.Now().Add(time.Hour)); !errors.Is(err, spool.ErrBroken) {
		t.Errorf("prune: %v, want ErrBroken", err)
	}
	if err := s.Close(); !errors.Is(err, spool.ErrBroken) {
		t.Errorf("close: %v, want ErrBroken", err)
	}
}

// TestTablesThatCannotBeWrittenEndTheStore, and none who has mail for it waits for ever.
func TestTablesThatCannotBeWrittenEndTheStore(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		broken bool
	}{"the disk fails": {syscall.EIO, true}, "there is no room": {syscall.ENOSPC, false}} {
		t.Run(name, func(t *testing.T) {
			f := &failing{part: ".sst", kind: []errorfs.OpKind{errorfs.OpFileWrite}, err: c.err}
			s := openMem(t, errorfs.Wrap(vfs.NewMem(), f), Options{})
			f.on.Store(true)
			var err error
			for n := 0; n < 2500 && err == nil; n++ { // more than a memtable holds
				_, err = tryCommit(s, n, 100)
			}
			if !c.broken {
				time.Sleep(100 * time.Millisecond) // Pebble tries again and again
				if _, err := tryCommit(s, 3000, 100); err != nil {
					t.Error(err)
				}
				f.on.Store(false)
			} else {
				<-s.broken
				if _, err := tryCommit(s, 3000, 100); !errors.Is(err, spool.ErrBroken) {
					t.Errorf("commit: %v, want ErrBroken", err)
				}
			}
			if err := s.Close(); errors.Is(err, spool.ErrBroken) != c.broken {
				t.Errorf("close: %v", err)
			}
		})
	}
}

func TestOneOwner(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(dir, Options{})
	if !errors.Is(err, spool.ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
}

// unlockable is a file system in which nothing can be locked.
type unlockable struct {
	vfs.FS
	err error
}

func (u unlockable) Lock(string) (io.Closer, error) { return nil, u.err }

// TestALockThatTheSystemRefusesIsNobodys: only one that another process has makes a store
// one that is in use.
func TestALockThatTheSystemRefusesIsNobodys(t *testing.T) {
	mem := vfs.NewMem()
	if err := openMem(t, mem, Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	for err, inUse := range map[error]bool{
		syscall.EAGAIN: true, errors.New("lock held by current process"): true, // as Pebble says it
		&fs.PathError{Op: "open", Path: "lock", Err: syscall.EACCES}: false, syscall.ENOLCK: false, syscall.EROFS: false,
	} {
		_, got := Open("/spool", Options{FS: unlockable{mem, err}, Log: quiet()})
		if !errors.Is(got, err) || errors.Is(got, spool.ErrInUse) != inUse {
			t.Errorf("open: %v", got)
		}
		_, got = Verify(ctx, "/spool", SurveyOptions{FS: unlockable{mem, err}})
		if snapshot := err == errReadOnly; (got == nil) != snapshot || errors.Is(got, spool.ErrInUse) != inUse {
			t.Errorf("verify: %v", got)
		}
	}
}

// TestSpaceComesBack: one message of each segment is deferred for days, and the
// disk does not fill up with the others.
func TestSpaceComesBack(t *testing.T) {
	mem := vfs.NewMem()
	s := openMem(t, mem, Options{SegmentSize: 64 << 10, carryAge: -1})
	defer func() { _ = s.Close() }()
	var late []custody.Delivery
	most := 0
	for n := range 1200 { // 94 segments if none were given back
		d := mustCommit(t, s, n, 5000)
		if n%24 == 0 {
			late = append(late, d)
		} else if err := settleOne(s, spool.Step{Delivery: d, Closed: true}); err != nil {
			t.Fatal(err)
		}
		names, err := mem.List("/spool/seg")
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, len(names))
	}
	if most > 40 {
		t.Errorf("%d segments for %d messages that wait", most, len(late))
	}
	for i, d := range late {
		b, err := s.Body(ctx, d.ID.Message)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, b.Size())
		if _, err := b.ReadAt(got, 0); err != nil || !bytes.Equal(got, spooltest.Bytes(5000, uint64(24*i))) {
			t.Errorf("body %d: %v", i, err)
		}
		_ = b.Close()
		if err := settleOne(s, spool.Step{Delivery: d, Closed: true}); err != nil {
			t.Fatal(err)
		}
	}
	s.tidy()
	for range 5000 {
		if names, _ := mem.List("/spool/seg"); len(names) <= 2 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	names, _ := mem.List("/spool/seg")
	t.Errorf("segments that nobody wants: %v", names)
}

// TestASegmentThatCannotBeReadKeepsNoOther: it is told once, and the others are emptied.
func TestASegmentThatCannotBeReadKeepsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		f := &failing{part: segName(1), err: syscall.EIO, kind: []errorfs.OpKind{errorfs.OpFileReadAt}}
		var log bytes.Buffer
		s := openMem(t, errorfs.Wrap(mem, f), Options{SegmentSize: 64 << 10, carryAge: -1, Log: slog.New(slog.NewTextHandler(&log, nil))})
		f.on.Store(true)
		for n := range 120 { // ten segments
			if d := mustCommit(t, s, n, 5000); n%24 != 0 {
				if err := settleOne(s, spool.Step{Delivery: d, Closed: true}); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		names, err := mem.List("/spool/seg")
		if _, missing := mem.Stat("/spool/seg/" + segName(1)); err != nil || missing != nil || len(names) > 4 {
			t.Errorf("%v, %v: segments %q", err, missing, names)
		}
		if err := s.Close(); err != nil || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("%v, and the log says\n%.2000s", err, &log)
		}
	})
}

func TestLargeBodyIsNotHeldInMemory(t *testing.T) {
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	chunk := spooltest.Bytes(32<<10, 1)
	m, ds := spooltest.Message(1, "a.example")
	d, err := s.Begin(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	before := totalAlloc()
	for range 1600 {
		if _, err := d.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Commit(ctx, m, ds); err != nil {
		t.Fatal(err)
	}
	if n := totalAlloc() - before; n > 8<<20 {
		t.Errorf("%d octets were allocated for a body of 50 MB", n)
	}
	if b, err := s.Body(ctx, m.ID); err != nil || b.Size() != 1600*32<<10 {
		t.Error(err)
	}
}

func totalAlloc() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// TestFullDisk fills a real one. Only root may make one small enough.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=96m"); err != nil {
		t.Skip(err)
	}
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	s, err := Open(dir+"/spool", Options{MinFree: 40 << 20, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var ds []custody.Delivery
	for n := 0; ; n++ {
		d, err := tryCommit(s, n, 500_000)
		if errors.Is(err, spool.ErrFull) {
			break
		}
		if err != nil || n > 1000 {
			t.Fatal(n, err)
		}
		ds = append(ds, d)
	}
	if h := s.Health(ctx); len(ds) == 0 || h.Free > 43<<20 {
		t.Errorf("full after %d: %+v", len(ds), h)
	}
	for _, d := range ds { // what is here can be brought to its end
		if err := settleOne(s, spool.Step{Delivery: d, Closed: true}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 100 {
		if _, err = tryCommit(s, 10_000+n, 500_000); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("no room although all has left: %v", err)
}

// A person who is told that a body is lost gives the message up: its sender is told.
func TestAMessageThatLostItsSegmentCanBeGivenUp(t *testing.T) {
	mem := vfs.NewMem()
	s := openMem(t, mem, Options{})
	d := mustCommit(t, s, 1, 100)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mem.Remove("/spool/seg/" + segName(1)); err != nil {
		t.Fatal(err)
	}
	s = openMem(t, mem, Options{Log: quiet()})
	defer s.Close()
	if err := settleOne(s, benchStep(d, true)); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, spool.Query{}); n != 0 {
		t.Errorf("%d wait", n)
	}
}

// Who has mail for us holds descriptors, and gives them back: until then the log goes on
// in its segment, and the index waits.
func TestWantOfDescriptorsPasses(t *testing.T) {
	for part, o := range map[string]Options{"/seg": {SegmentSize: 4096}, "/index/": {}} {
		t.Run(part, func(t *testing.T) {
			mem := vfs.NewMem()
			f := &failing{part: part, err: syscall.EMFILE, kind: []errorfs.OpKind{errorfs.OpOpen, errorfs.OpCreate, errorfs.OpReuseForWrite, errorfs.OpOpenDir}}
			s := openMem(t, errorfs.Wrap(mem, f), o)
			defer s.Close()
			first := mustCommit(t, s, 1, 100)
			f.on.Store(true)
			back := time.AfterFunc(time.Second, func() { f.on.Store(false) })
			defer back.Stop()
			for n := range 2000 {
				mustCommit(t, s, 10+n, 100)
			}
			if err := settleOne(s, benchStep(first, true)); err != nil {
				t.Error(err)
			}
			back.Stop()
			f.on.Store(false)
			mustCommit(t, s, 3000, 100)
			if names, _ := mem.List("/spool/seg"); len(names) < 2 && o.SegmentSize > 0 {
				t.Errorf("no segment was begun afterwards: %q", names)
			}
			if n := count(t, s, spool.Query{}); n != 2001 {
				t.Errorf("%d of 2001 wait", n)
			}
		})
	}
}

// A table is opened when it is asked for first, by whoever asks.
func TestATableIsOpenedWhenDescriptorsAreThereAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{part: ".sst", err: syscall.EMFILE, kind: []errorfs.OpKind{errorfs.OpOpen}}
		s := openMem(t, errorfs.Wrap(vfs.NewMem(), f), Options{})
		d := mustCommit(t, s, 1, 100)
		f.on.Store(true)
		if err := s.db.Flush(); err != nil { // into a table that nobody has opened yet
			t.Fatal(err)
		}
		time.AfterFunc(30*time.Second, func() { f.on.Store(false) })
		if err := errors.Join(settleOne(s, benchStep(d, true)), s.Prune(ctx, time.Now().Add(time.Hour))); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

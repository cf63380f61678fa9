package local

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postrider/postrider/custody"
)

func markNames(t *testing.T, fs vfs.FS) (names []string) {
	t.Helper()
	all, err := fs.List("/spool")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range all {
		if strings.HasPrefix(n, marksPrefix) {
			names = append(names, n)
		}
	}
	return names
}

// TestMarksOutliveAKill: what is not settled is told to the next process, and then the
// files go.
func TestMarksOutliveAKill(t *testing.T) {
	fs := vfs.NewMem()
	var m marks
	path := func(elem ...string) string { return fs.PathJoin(append([]string{"/spool"}, elem...)...) }
	if err := fs.MkdirAll("/spool", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := m.load(fs, path); err != nil {
		t.Fatal(err)
	}
	var settled []func()
	for n := range 3 {
		done, err := m.put(custody.Entry{At: time.Unix(int64(n), 0), Delivery: custody.DeliveryID{N: uint16(n)}, Event: custody.Tried{}})
		if err != nil {
			t.Fatal(err)
		}
		settled = append(settled, done)
	}
	settled[1]()
	names := markNames(t, fs)
	if len(names) != 1 {
		t.Fatalf("files: %q", names)
	}
	// A mark that was being written when the process was killed is not read.
	f, err := fs.OpenReadWrite(path(names[0]), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	st, _ := f.Stat()
	if _, err := f.WriteAt([]byte{0, 0, 0, 9, 1, 2, 3, 4, 5}, st.Size()); err != nil {
		t.Fatal(err)
	}
	f.Close()

	s := &Store{fs: fs, dir: "/spool"}
	if err := s.marks.load(fs, s.path); err != nil {
		t.Fatal(err)
	}
	es, done := s.Marked()
	if len(es) != 3 || es[2].Delivery.N != 2 || !es[2].At.Equal(time.Unix(2, 0)) {
		t.Fatalf("%+v", es)
	}
	if again, _ := s.Marked(); len(again) != 0 {
		t.Errorf("told twice: %+v", again)
	}
	later := s.Mark(custody.Entry{Delivery: custody.DeliveryID{N: 9}, Event: custody.Tried{}})
	for _, d := range done {
		if names := markNames(t, fs); len(names) != 2 {
			t.Errorf("files while some is not settled: %q", names)
		}
		d()
	}
	if names := markNames(t, fs); len(names) != 1 {
		t.Errorf("files: %q", names)
	}
	later()
	s.marks.close()
	if names := markNames(t, fs); len(names) != 0 {
		t.Errorf("left behind: %q", names)
	}
}

// TestMarksGoOnInTheNextFile: a file is not written for ever, and goes when all it
// names is settled.
func TestMarksGoOnInTheNextFile(t *testing.T) {
	fs := vfs.NewMem()
	s := openMem(t, fs, Options{})
	e := custody.Entry{Event: custody.Ordered{Why: strings.Repeat("w", 1000)}}
	first := s.Mark(e)
	for range 3 * marksSize / 1000 {
		s.Mark(e)()
	}
	if names := markNames(t, fs); len(names) != 2 {
		t.Errorf("files: %q", names)
	}
	first()
	if names := markNames(t, fs); len(names) != 1 {
		t.Errorf("files: %q", names)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if names := markNames(t, fs); len(names) != 0 {
		t.Errorf("left behind: %q", names)
	}
}

// TestALongMarkIsRead: one of many recipients with many words is longer than a file is
// to become.
func TestALongMarkIsRead(t *testing.T) {
	fs := vfs.NewMem()
	s := openMem(t, fs, Options{})
	defer s.Close()
	s.Mark(custody.Entry{Event: custody.Ordered{Why: strings.Repeat("w", 2*marksSize)}})
	s.Mark(custody.Entry{Event: custody.Ordered{Why: "w"}})
	var all []custody.Entry
	for _, name := range markNames(t, fs) {
		all = append(all, readMarks(fs, s.path(name))...)
	}
	if len(all) != 2 {
		t.Errorf("%d of 2 marks are read", len(all))
	}
}

// TestMarksAreWrittenAgainWhenThereIsRoom: a want is told once, and what was marked before
// it is read as well.
func TestMarksAreWrittenAgainWhenThereIsRoom(t *testing.T) {
	for _, c := range []struct {
		kind errorfs.OpKind
		err  error
	}{{errorfs.OpCreate, syscall.EMFILE}, {errorfs.OpFileWrite, syscall.ENOSPC}, {errorfs.OpFileWrite, syscall.EIO}} {
		fs := vfs.NewMem()
		f := &failing{part: marksPrefix, err: c.err, kind: []errorfs.OpKind{c.kind}}
		var log bytes.Buffer
		s := openMem(t, errorfs.Wrap(fs, f), Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		mark := func(n uint16) { s.Mark(custody.Entry{Delivery: custody.DeliveryID{N: n}, Event: custody.Tried{}}) }
		want := 1
		if c.kind == errorfs.OpFileWrite {
			mark(1)
			want = 2
		}
		f.on.Store(true)
		mark(2)
		mark(3)
		f.on.Store(false)
		mark(4)
		var all []custody.Entry
		for _, name := range slices.Sorted(slices.Values(markNames(t, fs))) {
			all = append(all, readMarks(fs, s.path(name))...)
		}
		if lines := strings.Count(log.String(), "not marked"); len(all) != want || all[want-1].Delivery.N != 4 || lines != 1 {
			t.Errorf("%v: %d marks are read, want %d, and the log says\n%s", c.err, len(all), want, &log)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

package local

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/spooltest"
)

// TestABodyInTheLogIsReadAsItWasWritten, or not at all: one octet of it changed, or its
// end cut off, is found before anybody gets the first, or where it happens while it is
// read, instead of the last. Who reads it reads on where its segment has left its place,
// and no segment stays open for a body that is closed.
func TestABodyInTheLogIsReadAsItWasWritten(t *testing.T) {
	for n, size := range []int{0, 1, 5000, largeBody - 1, largeBody, largeBody + 1, 3*largeBody + 5, 2 * largeBody} {
		mem := vfs.NewMem()
		s := openMem(t, mem, Options{})
		d := mustCommit(t, s, n, size)
		w, err := s.whereIs(d.ID.Message)
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Body(ctx, d.ID.Message)
		if err != nil {
			t.Fatal(err)
		}
		s.readers.forget(w.seg)
		path := "/spool/seg/" + segName(w.seg)
		if err := mem.Rename(path, "/spool/gone"); err != nil {
			t.Fatal(err)
		}
		for _, piece := range []int{7000, 64 << 10} {
			if got, err := readInOrder(b, piece); err != nil || !bytes.Equal(got, spooltest.Bytes(size, uint64(n))) {
				t.Errorf("%d octets: read %d, %v", size, len(got), err)
			}
		}
		if err := errors.Join(b.Close(), mem.Rename("/spool/gone", path)); err != nil {
			t.Error(err)
		}
		if size > 0 {
			at := int(w.off) + rand.IntN(size)
			for what, change := range map[string]func([]byte) []byte{
				"changed": func(b []byte) []byte { b = bytes.Clone(b); b[at] ^= 1 << rand.IntN(8); return b },
				"cut off": func(b []byte) []byte { return b[:at] },
			} {
				var was []byte
				rewrite(t, mem, path, func(b []byte) []byte { was = b; return change(b) })
				if _, err := s.Body(ctx, d.ID.Message); !errors.Is(err, spool.ErrCorrupt) {
					t.Errorf("%d octets, %s at %d: %v, want ErrCorrupt", size, what, at-int(w.off), err)
				}
				s.readers.forget(w.seg)
				rewrite(t, mem, path, func([]byte) []byte { return was })
			}
		}
		if size >= largeBody { // a smaller one is in memory
			b, err := s.Body(ctx, d.ID.Message)
			if err != nil {
				t.Fatal(err)
			}
			overwrite(t, mem, path, int64(w.off)+int64(size)/2)
			if got, err := readInOrder(b, 7000); !errors.Is(err, spool.ErrCorrupt) || len(got) >= size {
				t.Errorf("%d octets, changed while it was read: %d of them and %v", size, len(got), err)
			}
			_ = b.Close()
		}
		for _, r := range s.readers.open {
			if r.users != 0 {
				t.Errorf("%d octets: segment %d has %d readers", size, r.num, r.users)
			}
		}
		_ = s.Close()
	}
}

// overwrite changes one octet of a file that may be open.
func overwrite(t *testing.T, fs vfs.FS, path string, at int64) {
	t.Helper()
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
}

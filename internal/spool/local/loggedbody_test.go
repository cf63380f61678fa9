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
// end cut off, is found before anybody gets the first. Who reads it reads on where its
// segment has left the disk, and no segment stays open for a body that is closed.
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
		for _, piece := range []int{7000, 64 << 10} {
			if got, err := readInOrder(b, piece); err != nil || !bytes.Equal(got, spooltest.Bytes(size, uint64(n))) {
				t.Errorf("%d octets: read %d, %v", size, len(got), err)
			}
		}
		if err := b.Close(); err != nil {
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
		for _, r := range s.readers.open {
			if r.users != 0 {
				t.Errorf("%d octets: segment %d has %d readers", size, r.num, r.users)
			}
		}
		_ = s.Close()
	}
}

package local

import (
	"bytes"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/internal/spool/spooltest"
)

// TestAFrameHoldsWhatWasAdded, small and large, in order, and is valid only if its last
// octet is there too.
func TestAFrameHoldsWhatWasAdded(t *testing.T) {
	mem := vfs.NewMem()
	for _, sizes := range [][]int{{}, {1}, {largeBody}, {3, largeBody - 1, largeBody, 4}, {largeBody, 100 << 10, 0, 7, largeBody}} {
		const salt, off = 17, headSize
		var f frame
		f.begin()
		var want []byte
		for i, n := range sizes {
			b := spooltest.Bytes(n, uint64(i))
			want = append(want, b...)
			f.add(b)
		}
		f.seal(salt, off)
		for _, torn := range []bool{false, true} {
			disk, err := mem.Create("frame", vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.write(disk, off); err != nil {
				t.Fatal(err)
			}
			if torn && len(want) > 0 {
				if _, err := disk.WriteAt([]byte{^want[len(want)-1]}, int64(off+f.size-1)); err != nil {
					t.Fatal(err)
				}
			}
			seg := &segment{salt: salt, size: int64(off + f.size), file: disk}
			got, next, err := seg.frame(off)
			if whole := !torn || len(want) == 0; whole != (err == nil) || whole && (!bytes.Equal(got, want) || next != uint32(off+f.size)) {
				t.Errorf("%v, torn %v: %d octets, next at %d, %v", sizes, torn, len(got), next, err)
			}
		}
		if f.end(); slices.ContainsFunc(f.large[:cap(f.large)], func(in inset) bool { return in.body != nil }) {
			t.Errorf("%v: a body is held", sizes)
		}
	}
}

package local

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/spooltest"
)

// readInOrder reads a body as a carrier does and returns what it was handed.
func readInOrder(b spool.Body, piece int) (got []byte, err error) {
	buf := make([]byte, piece)
	for at := int64(0); at < b.Size(); {
		n, err := b.ReadAt(buf[:min(b.Size()-at, int64(piece))], at)
		got = append(got, buf[:n]...)
		at += int64(n)
		if err != nil && (!errors.Is(err, io.EOF) || at < b.Size()) {
			return got, err
		}
	}
	return got, nil
}

// rewrite changes the bytes of a file.
func rewrite(t *testing.T, fs vfs.FS, path string, change func([]byte) []byte) {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	w, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	// With the race detector a file in memory changes what it is given to write.
	if _, err := w.Write(bytes.Clone(change(b))); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Sync(), w.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestNoDamagedLargeBodyPassesForWhole(t *testing.T) {
	const size = 300_000
	for name, change := range map[string]func([]byte) []byte{
		"first octet":   func(b []byte) []byte { b[0] ^= 1; return b },
		"in the middle": func(b []byte) []byte { b[size/2] ^= 0x80; return b },
		"last octet":    func(b []byte) []byte { b[size-1] ^= 1; return b },
		"zeros":         func(b []byte) []byte { clear(b[4096:8192]); return b },
		"shorter":       func(b []byte) []byte { return b[:size-1] },
		"longer":        func(b []byte) []byte { return append(b, 'x') },
		"empty":         func(b []byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			s := openMem(t, mem, Options{InlineMax: 4096})
			defer s.Close()
			bad, good := mustCommit(t, s, 1, size), mustCommit(t, s, 2, size)
			w, err := s.whereIs(bad.ID.Message)
			if err != nil {
				t.Fatal(err)
			}
			path := "/spool/big/" + bigName(w.big)
			rewrite(t, mem, path, change)
			for range 2 {
				b, err := s.Body(ctx, bad.ID.Message)
				if err == nil {
					var got []byte
					if got, err = readInOrder(b, 32<<10); len(got) >= size {
						t.Errorf("%d octets of %d were handed out", len(got), size)
					}
					if _, again := b.ReadAt(make([]byte, 10), 0); !errors.Is(again, spool.ErrCorrupt) {
						t.Errorf("read once more: %v", again)
					}
					_ = b.Close()
				}
				if !errors.Is(err, spool.ErrCorrupt) {
					t.Fatalf("error %v, want ErrCorrupt", err)
				}
			}
			if _, err := s.Body(ctx, bad.ID.Message); !errors.Is(err, spool.ErrCorrupt) {
				t.Errorf("opened although it is known to be damaged: %v", err)
			}
			rewrite(t, mem, path, func([]byte) []byte { return spooltest.Bytes(size, 1) }) // out of a backup
			for i, d := range []int{1, 2} {
				id := bad.ID.Message
				if i == 1 {
					id = good.ID.Message
				}
				b, err := s.Body(ctx, id)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := readInOrder(b, 50_000); err != nil || !bytes.Equal(got, spooltest.Bytes(size, uint64(d))) {
					t.Errorf("body %d: %v", d, err)
				}
				_ = b.Close()
			}
		})
	}
}

func TestLostBodyIsCorrupt(t *testing.T) {
	for _, size := range []int{100, 9000} {
		mem := vfs.NewMem()
		s := openMem(t, mem, Options{InlineMax: 4096})
		d := mustCommit(t, s, 1, size)
		w, err := s.whereIs(d.ID.Message)
		if err != nil {
			t.Fatal(err)
		}
		path := "/spool/seg/" + segName(1)
		if w.big != 0 {
			path = "/spool/big/" + bigName(w.big)
		}
		if err := mem.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Body(ctx, d.ID.Message); !errors.Is(err, spool.ErrCorrupt) {
			t.Errorf("body of %d octets: %v", size, err)
		}
		_ = s.Close()
	}
}

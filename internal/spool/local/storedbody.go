package local

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// storedBody reads a body where it lies. Who reads it from its first octet to its last,
// as everybody does who hands it on, gets an error instead of the last piece if one
// octet of it is not as it was written: what was sent of it cannot be taken for the
// whole. Other ways of reading are not checked.
type storedBody struct {
	place
	from  io.ReaderAt
	close func() error
	found func(error) // is told of damage, once; nil: nobody is

	mu   sync.Mutex
	next int64  // where reading in order goes on
	sum  uint32 // of what stands before it
	bad  error
}

// openLogged opens a body that stands in the log, when it has found that it is as it
// was written. A small one is in memory then.
func (s *Store) openLogged(id custody.ID, p place) (spool.Body, error) {
	f, err := s.readers.take(p.seg, func() (vfs.File, error) { return s.fs.Open(s.path("seg", segName(p.seg))) })
	if err != nil {
		return nil, err
	}
	b := &storedBody{place: p, from: io.NewSectionReader(f, int64(p.off), p.size), close: func() error { s.readers.put(f); return nil }}
	if p.size < largeBody {
		defer b.Close()
		all := make([]byte, p.size)
		if _, err := b.ReadAt(all, 0); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return memBody{bytes.NewReader(all)}, nil
	}
	if err := b.readThrough(); err != nil {
		_ = b.Close()
		return nil, err
	}
	b.found = func(err error) { s.tellSpoiled(id, err) }
	return b, nil
}

func (b *storedBody) Size() int64 { return b.size }

func (b *storedBody) Close() error { return b.close() }

func (b *storedBody) String() string {
	if b.big != 0 {
		return "the large body " + bigName(b.big)
	}
	return "the body at " + pos{b.seg, b.off}.String()
}

func (b *storedBody) ReadAt(p []byte, off int64) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bad != nil {
		return 0, b.bad
	}
	n, err := b.from.ReadAt(p, off)
	if errors.Is(err, io.EOF) && off+int64(n) < b.size {
		return 0, b.damaged(fmt.Sprintf("ends at octet %d of %d", off+int64(n), b.size))
	}
	if off == 0 {
		b.next, b.sum = 0, 0
	}
	if off != b.next {
		return n, err
	}
	b.next += int64(n)
	if b.sum = addSum(b.sum, p[:n]); n > 0 && b.next >= b.size && b.sum != b.place.sum {
		return 0, b.damaged("has changed on disk")
	}
	return n, err
}

func (b *storedBody) damaged(what string) error {
	b.bad = fmt.Errorf("%w: %s %s", spool.ErrCorrupt, b, what)
	if b.found != nil {
		b.found(b.bad)
	}
	return b.bad
}

// pieces are what bodies are read through with.
var pieces = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// readThrough reads all of it, and answers what is wrong with it.
func (b *storedBody) readThrough() error {
	piece := pieces.Get().(*[32 << 10]byte)
	defer pieces.Put(piece)
	for at := int64(0); at < b.size; {
		n, err := b.ReadAt(piece[:min(b.size-at, int64(len(piece)))], at)
		if at += int64(n); err != nil && (!errors.Is(err, io.EOF) || at < b.size) {
			return err
		}
	}
	return nil
}

type memBody struct{ *bytes.Reader }

func (memBody) Close() error { return nil }

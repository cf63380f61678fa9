package local

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// spoiled remembers large bodies that were found damaged, so that nobody begins to
// hand one on again. A person may have mended one since: it is read through before
// the next reader gets it.
type spoiled struct {
	mu    sync.Mutex
	names map[uint64]bool
}

const maxSpoiled = 10_000

func (s *spoiled) has(name uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[name]
}

func (s *spoiled) set(name uint64, bad bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bad {
		delete(s.names, name)
	} else if len(s.names) < maxSpoiled {
		if s.names == nil {
			s.names = make(map[uint64]bool)
		}
		s.names[name] = true
	}
}

// bigBody reads a large body. Who reads it from its first octet to its last, as
// everybody does who hands it on, gets an error instead of the last piece if one
// octet of it is not as it was written: what was sent of it cannot be taken for the
// whole. Other ways of reading are not checked.
type bigBody struct {
	vfs.File
	place
	found func(error) // is told of damage, once

	mu   sync.Mutex
	next int64  // where reading in order goes on
	sum  uint32 // of what stands before it
	bad  error
}

// openBig opens a large body; spool.ErrCorrupt if it is known to be damaged.
func (s *Store) openBig(id custody.ID, p place) (*bigBody, error) {
	f, err := s.fs.Open(s.path("big", bigName(p.big)), vfs.SequentialReadsOption)
	if err != nil {
		return nil, err
	}
	b := &bigBody{File: f, place: p}
	st, err := f.Stat()
	if err == nil && st.Size() != p.size {
		err = fmt.Errorf("%w: the large body %s has %d octets of %d", spool.ErrCorrupt, bigName(p.big), st.Size(), p.size)
	}
	if err == nil && s.spoiled.has(p.big) {
		if err = b.readThrough(); err == nil {
			s.spoiled.set(p.big, false)
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	b.found = func(err error) {
		s.spoiled.set(p.big, true)
		s.tellSpoiled(id, err)
	}
	return b, nil
}

func (b *bigBody) Size() int64 { return b.size }

func (b *bigBody) ReadAt(p []byte, off int64) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bad != nil {
		return 0, b.bad
	}
	n, err := b.File.ReadAt(p, off)
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

func (b *bigBody) damaged(what string) error {
	b.bad = fmt.Errorf("%w: the large body %s %s", spool.ErrCorrupt, bigName(b.big), what)
	if b.found != nil {
		b.found(b.bad)
	}
	return b.bad
}

// readThrough reads all of it, and answers what is wrong with it.
func (b *bigBody) readThrough() error {
	buf := make([]byte, 256<<10)
	for at := int64(0); at < b.size; {
		n, err := b.ReadAt(buf[:min(b.size-at, int64(len(buf)))], at)
		if at += int64(n); err != nil && (!errors.Is(err, io.EOF) || at < b.size) {
			return err
		}
	}
	return nil
}

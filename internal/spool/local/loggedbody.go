package local

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/internal/spool"
)

// openLogged opens a body that stands in the log, when it has found that it is as it
// was written. A small one is in memory then.
func (s *Store) openLogged(p place) (spool.Body, error) {
	f, err := s.readers.take(p.seg, func() (vfs.File, error) { return s.fs.Open(s.path("seg", segName(p.seg))) })
	if err != nil {
		return nil, err
	}
	b := &loggedBody{io.NewSectionReader(f, int64(p.off), p.size), func() { s.readers.put(f) }}
	if p.size < largeBody {
		defer b.Close()
		all := make([]byte, p.size)
		if err := b.readThrough(p, all); err != nil {
			return nil, err
		}
		return memBody{bytes.NewReader(all)}, nil
	}
	piece := pieces.Get().(*[largeBody]byte)
	defer pieces.Put(piece)
	if err := b.readThrough(p, piece[:]); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// pieces are what large bodies are read through with.
var pieces = sync.Pool{New: func() any { return new([largeBody]byte) }}

// loggedBody is a large body in the log.
type loggedBody struct {
	*io.SectionReader
	put func()
}

func (b *loggedBody) Close() error { b.put(); return nil }

// readThrough reads all of it, piece by piece, and answers what is wrong with it.
func (b *loggedBody) readThrough(p place, piece []byte) error {
	got := uint32(0)
	for at := int64(0); at < p.size; at += int64(len(piece)) {
		piece = piece[:min(p.size-at, int64(len(piece)))]
		if n, err := b.ReadAt(piece, at); n < len(piece) {
			if errors.Is(err, io.EOF) {
				return fmt.Errorf("%w: the log ends in the body at %s", spool.ErrCorrupt, pos{p.seg, p.off})
			}
			return fmt.Errorf("local: read %s: %w", pos{p.seg, p.off}, err)
		}
		got = addSum(got, piece)
	}
	if got != p.sum {
		return fmt.Errorf("%w: the body at %s has changed on disk", spool.ErrCorrupt, pos{p.seg, p.off})
	}
	return nil
}

type memBody struct{ *bytes.Reader }

func (memBody) Close() error { return nil }

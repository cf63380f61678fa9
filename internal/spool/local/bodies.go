package local

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/internal/spool"
)

// bodyReader checks the bodies of messages, of one segment or large body at a time.
type bodyReader struct {
	fs   vfs.FS
	path func(...string) string
	seg  uint32
	file vfs.File
	buf  []byte
}

func (b *bodyReader) close() {
	if b.file != nil {
		_ = b.file.Close()
		b.file = nil
	}
}

const bodyPiece = 256 << 10

// open opens what holds a body.
func (b *bodyReader) open(p place) (err error) {
	if p.big == 0 && b.file != nil && b.seg == p.seg {
		return nil
	}
	b.close()
	if p.big != 0 {
		b.seg = 0
		b.file, err = b.fs.Open(b.path("big", bigName(p.big)), vfs.SequentialReadsOption)
	} else {
		b.seg = p.seg
		b.file, err = b.fs.Open(b.path("seg", segName(p.seg)), vfs.SequentialReadsOption)
	}
	if err != nil {
		b.file = nil
	}
	return err
}

// fileOf names the file that holds a body, below the store.
func fileOf(p place) string {
	if p.big != 0 {
		return "big/" + bigName(p.big)
	}
	return "seg/" + segName(p.seg)
}

// read hands on a body in pieces, and answers spool.ErrCorrupt at the end if it is
// not as it was written.
func (b *bodyReader) read(p place, each func([]byte) error) error {
	got, err := b.scan(p, each)
	if err == nil && got != p.sum {
		err = fmt.Errorf("%w: the body has changed on disk", spool.ErrCorrupt)
	}
	return err
}

// scan hands on a body in pieces and returns its checksum.
func (b *bodyReader) scan(p place, each func([]byte) error) (got uint32, err error) {
	err = b.open(p)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%w: %s is missing", spool.ErrCorrupt, fileOf(p))
	}
	if err != nil {
		return 0, err
	}
	if b.buf == nil {
		b.buf = make([]byte, bodyPiece)
	}
	for at := int64(0); at < p.size; {
		n, err := b.file.ReadAt(b.buf[:min(bodyPiece, p.size-at)], int64(p.off)+at)
		if n == 0 && errors.Is(err, io.EOF) {
			return got, fmt.Errorf("%w: %s ends %d octets too early", spool.ErrCorrupt, fileOf(p), p.size-at)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return got, fmt.Errorf("%w: %s cannot be read: %w", spool.ErrCorrupt, fileOf(p), err)
		}
		got = addSum(got, b.buf[:n])
		if err := each(b.buf[:n]); err != nil {
			return got, err
		}
		at += int64(n)
	}
	return got, nil
}

// measure reads a large body of which nothing but the name is known.
func (b *bodyReader) measure(name uint64) (p place, err error) {
	p.big = name
	if err := b.open(p); err != nil {
		return p, err
	}
	st, err := b.file.Stat()
	if err != nil {
		return p, err
	}
	p.size = st.Size()
	p.sum, err = b.scan(p, func([]byte) error { return nil })
	return p, err
}

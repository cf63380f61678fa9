package local

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// draft gathers a small body in memory, and writes one that grows beyond
// InlineMax to a file.
type draft struct {
	s    *Store
	buf  *[]byte
	size int64
	sum  uint32
	big  uint64 // name of the file; 0: none
	file vfs.File
	back vfs.File // the same, for reading; nil: not read
	err  error    // what ended it
	done bool
}

// buffers are reused up to this size; longer ones are rare.
const maxPooled = 256 << 10

// flushAt is how much of a large body is gathered before it is written.
const flushAt = 64 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 8<<10); return &b }}

// Begin opens a draft.
func (s *Store) Begin(ctx context.Context, size int64) (spool.Draft, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	// Half as much again, because what comes can be longer than announced.
	if err := s.room(s.o.MinFree + size + size/2); err != nil {
		return nil, err
	}
	return &draft{s: s, buf: buffers.Get().(*[]byte)}, nil
}

func (d *draft) Size() int64 { return d.size }

func (d *draft) Write(p []byte) (int, error) {
	if d.err != nil || d.done {
		return 0, errors.Join(d.err, errDone(d.done))
	}
	if d.file == nil && d.size+int64(len(p)) > d.s.o.InlineMax {
		if d.err = d.spill(); d.err != nil {
			return 0, d.err
		}
	}
	d.size += int64(len(p))
	if d.file == nil {
		*d.buf = append(grown(*d.buf, len(p)), p...)
		return len(p), nil
	}
	d.sum = crc32.Update(d.sum, castagnoli, p)
	*d.buf = append(grown(*d.buf, len(p)), p...)
	if len(*d.buf) >= flushAt {
		if d.err = d.flush(); d.err != nil {
			return 0, d.err
		}
	}
	return len(p), nil
}

// ReadAt reads what was written so far: of a large body the file, and behind it what
// is still gathered. The offset is not below 0.
func (d *draft) ReadAt(p []byte, off int64) (n int, err error) {
	if d.err != nil || d.done {
		return 0, errors.Join(d.err, errDone(d.done))
	}
	onDisk := int64(0)
	if d.file != nil {
		onDisk = d.size - int64(len(*d.buf))
	}
	if off < onDisk {
		if d.back == nil {
			if d.back, err = d.s.fs.Open(d.s.path("big", bigName(d.big))); err != nil {
				return 0, d.s.meet("read a large body", err)
			}
		}
		n, err = d.back.ReadAt(p[:min(int64(len(p)), onDisk-off)], off)
		if err != nil {
			return n, d.s.meet("read a large body", err)
		}
	}
	if rest := off + int64(n) - onDisk; n < len(p) && rest < int64(len(*d.buf)) {
		n += copy(p[n:], (*d.buf)[rest:])
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

// grown makes room for n octets more, and twice the room where there was too little:
// append makes a quarter more of it, which comes to four times as much garbage.
func grown(b []byte, n int) []byte {
	if cap(b)-len(b) < n {
		b = slices.Grow(b, max(n, 2*cap(b)-len(b)))
	}
	return b
}

func errDone(done bool) error {
	if done {
		return errors.New("local: the draft has ended")
	}
	return nil
}

// spill goes on in a file.
func (d *draft) spill() (err error) {
	if err := d.s.room(d.s.o.MinFree); err != nil {
		return err
	}
	d.big = d.s.names.Add(1)
	d.file, err = d.s.fs.Create(d.s.path("big", bigName(d.big)), vfs.WriteCategoryUnspecified)
	if err != nil {
		d.big = 0
		return d.s.meet("begin a large body", err)
	}
	d.sum = crc32.Checksum(*d.buf, castagnoli)
	return d.flush()
}

func (d *draft) flush() error {
	d.s.freeWas.Add(-int64(len(*d.buf)))
	_, err := d.file.Write(*d.buf)
	*d.buf = (*d.buf)[:0]
	if err != nil {
		return d.s.meet("write a large body", err)
	}
	if d.size%(8<<20) < flushAt { // now and then
		return d.s.room(d.s.o.MinFree / 2)
	}
	return nil
}

// Commit makes the message durable.
func (d *draft) Commit(ctx context.Context, m custody.Message, ds []custody.Delivery) error {
	if d.err != nil || d.done {
		return errors.Join(d.err, errDone(d.done))
	}
	err := d.commit(ctx, m, ds)
	if err != nil {
		d.Abort()
		return fmt.Errorf("local: commit %s: %w", m.ID, err)
	}
	return nil
}

func (d *draft) commit(ctx context.Context, m custody.Message, ds []custody.Delivery) error {
	if err := d.s.usable(ctx); err != nil {
		return err
	}
	body := *d.buf
	if d.file != nil {
		if err := d.finish(); err != nil {
			return err
		}
		body = nil
	} else {
		d.sum = sum(body)
	}
	r, err := newAccept(m, ds, body, d.big, d.size, d.sum)
	if err != nil {
		return err
	}
	f := offer(m, ds, body)
	keeps := len(f.Items) > 0 && f.Body != nil
	r.fresh = []spool.Fresh{f}
	j := d.s.newJob()
	j.mail = true
	j.add(r, 0)
	d.s.in.put(j)
	// From here on the context no longer counts: the message is on its way to
	// the disk, and only the disk knows whether it arrives.
	if err := d.s.wait(j); err != nil {
		d.buf = nil // the log may still be reading it
		if errors.Is(err, spool.ErrBroken) {
			d.big = 0 // a log that names the file may have reached the disk
		}
		return err
	}
	d.done = true
	if r.dup && d.big != 0 {
		_ = d.s.fs.Remove(d.s.path("big", bigName(d.big)))
	}
	if !keeps || !j.taken {
		d.recycle()
	}
	d.s.release(j)
	return nil
}

// finish makes the file of a large body durable, and its name.
func (d *draft) finish() error {
	if err := d.flush(); err != nil {
		return err
	}
	f := d.file
	d.file = nil
	if !d.s.o.planted.noBigSync {
		if err := f.Sync(); err != nil {
			_ = f.Close()
			d.s.fail(fmt.Errorf("flush a large body: %w", err))
			return d.s.fault
		}
	}
	if err := f.Close(); err != nil {
		return d.s.meet("close a large body", err)
	}
	if err := d.s.syncDir(d.s.path("big")); err != nil {
		return d.s.meet("large bodies", err)
	}
	return nil
}

// Abort drops the draft.
func (d *draft) Abort() {
	if d.done {
		return
	}
	d.done = true
	if d.file != nil {
		_ = d.file.Close()
		d.file = nil
	}
	if d.big != 0 {
		_ = d.s.fs.Remove(d.s.path("big", bigName(d.big)))
	}
	d.recycle()
}

func (d *draft) recycle() {
	if d.back != nil {
		_ = d.back.Close()
		d.back = nil
	}
	if d.buf != nil && cap(*d.buf) <= maxPooled {
		*d.buf = (*d.buf)[:0]
		buffers.Put(d.buf)
	}
	d.buf = nil
}

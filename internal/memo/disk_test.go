package memo

import (
	"bytes"
	"io"
	"io/fs"
	"maps"
	"sync"
	"syscall"
	"testing"
	"time"
)

// memDisk is a folder in memory that knows what a power cut would leave: what was
// flushed, under the names that were flushed.
type memDisk struct {
	mu      sync.Mutex
	names   map[string]*memInode
	kept    map[string]*memInode // the names as they were flushed last
	room    int                  // octets that all files together may have; 0: no end
	noSync  bool                 // flushes fail
	onSync  func()               // called before each flush of a file
	flushes int
}

type memInode struct {
	now, kept []byte
	dead      bool // a flush failed: like Linux, later ones succeed and keep nothing
}

type memFile struct {
	d  *memDisk
	n  *memInode
	at int
}

func newDisk() *memDisk {
	return &memDisk{names: map[string]*memInode{}, kept: map[string]*memInode{}}
}

// powerCut is the folder as it is found after the current failed.
func (d *memDisk) powerCut() *memDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := newDisk()
	for name, n := range d.kept {
		found.put(name, n.kept)
	}
	return found
}

// kill is the folder as it is found after the process was killed.
func (d *memDisk) kill() *memDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := newDisk()
	for name, n := range d.names {
		found.put(name, n.now)
	}
	return found
}

func (d *memDisk) put(name string, b []byte) {
	n := &memInode{now: bytes.Clone(b), kept: bytes.Clone(b)}
	d.names[name], d.kept[name] = n, n
}

func (d *memDisk) content(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.names[name]; n != nil {
		return bytes.Clone(n.now)
	}
	return nil
}

func (d *memDisk) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func (d *memDisk) open(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.names[name]
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &memFile{d: d, n: n}, nil
}

func (d *memDisk) create(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := &memInode{}
	d.names[name] = n
	return &memFile{d: d, n: n}, nil
}

func (d *memDisk) rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names[to] = d.names[from]
	delete(d.names, from)
	return nil
}

func (d *memDisk) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.noSync {
		return syscall.EIO
	}
	d.kept = maps.Clone(d.names)
	return nil
}

func (f *memFile) Read(b []byte) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.at >= len(f.n.now) {
		return 0, io.EOF
	}
	n := copy(b, f.n.now[f.at:])
	f.at += n
	return n, nil
}

func (f *memFile) Write(b []byte) (int, error) {
	n, err := f.WriteAt(b, int64(f.at))
	f.at += n
	return n, err
}

// WriteAt writes as much as there is room for, as a disk does.
func (f *memFile) WriteAt(b []byte, at int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	used := 0
	for _, n := range f.d.names {
		used += len(n.now)
	}
	grow := max(0, int(at)+len(b)-len(f.n.now))
	var err error
	if f.d.room > 0 && used+grow > f.d.room {
		b = b[:max(0, len(b)-(used+grow-f.d.room))]
		err = syscall.ENOSPC
	}
	if end := int(at) + len(b); end > len(f.n.now) {
		f.n.now = append(f.n.now, make([]byte, end-len(f.n.now))...)
	}
	return copy(f.n.now[at:], b), err
}

func (f *memFile) Sync() error {
	f.d.mu.Lock()
	hook := f.d.onSync
	f.d.mu.Unlock()
	if hook != nil {
		hook()
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.flushes++
	if f.d.noSync {
		f.n.dead = true
		return syscall.EIO
	}
	if !f.n.dead {
		f.n.kept = bytes.Clone(f.n.now)
	}
	return nil
}

func (f *memFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.n.now = f.n.now[:min(int(size), len(f.n.now))]
	return nil
}

func (f *memFile) Close() error { return nil }

// noon is when the stories of these tests begin.
var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, d *memDisk, o Options) *Memo {
	t.Helper()
	o.disk = d
	m, err := Open("memory", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

package main

import (
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// disk is the disk of a world: it counts what is open, and can be full, fail, or lose
// power with a given write.
type disk struct {
	vfs.FS // in memory
	mem    *vfs.MemFS

	mu     sync.Mutex
	open   map[*openFile]string
	locks  int
	full   bool // no room for mail
	usage  bool // and that is told
	liar   bool // planted: a flush does nothing
	after  int  // writes until trap; 0: none is set
	trap   func()
	broken int // writes until they fail, from then on all; 0: never
	flush  bool
	failed bool
	// failedAt is when the first one failed.
	failedAt time.Time
}

func newDisk(mem *vfs.MemFS) *disk { return &disk{FS: mem, mem: mem, open: map[*openFile]string{}} }

// afterCut is the disk as a power cut leaves it.
func (d *disk) afterCut(share int, seed uint64) *disk {
	n := newDisk(d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: share, RNG: rand.New(rand.NewPCG(seed, 3))}))
	n.liar = d.liar
	return n
}

// arm lets f be called before the nth write from now.
func (d *disk) arm(n int, f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.after, d.trap = n, f
}

// disarm reports whether a trap was still set, and takes it away.
func (d *disk) disarm() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	set := d.after > 0
	d.after, d.trap = 0, nil
	return set
}

// fail lets the nth write of mail from now fail, or the nth flush, and all behind it.
func (d *disk) fail(n int, flush bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken, d.flush = n, flush
}

func (d *disk) hasFailed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

func (d *disk) fill(full, told bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full, d.usage = full, told
}

// left names the files that are open.
func (d *disk) left() (names []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range d.open {
		names = append(names, name)
	}
	if d.locks > 0 {
		names = append(names, "LOCK")
	}
	return names
}

// writes is asked before each write or flush of a file.
func (d *disk) writes(name string, flush bool) error {
	d.mu.Lock()
	var trap func()
	if d.after > 0 {
		if d.after--; d.after == 0 {
			trap = d.trap
		}
	}
	var err error
	// The index meets no fault here: Pebble has no way back from one, and leaves
	// goroutines behind. Package local has tests of its own for that.
	if mail := strings.Contains(name, "/seg/") || strings.Contains(name, "/big/"); mail {
		if d.full && !flush {
			err = syscall.ENOSPC
		}
		if d.broken > 0 && (d.failed || flush == d.flush) {
			if d.broken > 1 {
				d.broken--
			} else {
				if err = syscall.EIO; !d.failed {
					d.failed, d.failedAt = true, time.Now()
				}
			}
		}
	}
	d.mu.Unlock()
	if trap != nil {
		trap()
	}
	return err
}

func (d *disk) opened(f vfs.File, name string, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	o := &openFile{File: f, d: d, name: name}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[o] = name
	return o, nil
}

func (d *disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := d.writes(name, false); err != nil {
		return nil, err
	}
	f, err := d.FS.Create(name, c)
	return d.opened(f, name, err)
}

func (d *disk) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.Open(name, o...)
	return d.opened(f, name, err)
}

func (d *disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.OpenReadWrite(name, c, o...)
	return d.opened(f, name, err)
}

func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	return d.opened(f, name+"/", err)
}

func (d *disk) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(old, name, c)
	return d.opened(f, name, err)
}

func (d *disk) Remove(name string) error {
	if err := d.writes(name, false); err != nil && err != syscall.ENOSPC {
		return err
	}
	return d.FS.Remove(name)
}

func (d *disk) Rename(old, name string) error {
	if err := d.writes(name, false); err != nil {
		return err
	}
	return d.FS.Rename(old, name)
}

func (d *disk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := vfs.DiskUsage{AvailBytes: 1 << 40, TotalBytes: 1 << 41, UsedBytes: 1 << 40}
	if d.full && d.usage {
		u.AvailBytes = 0
	}
	return u, nil
}

func (d *disk) Lock(name string) (io.Closer, error) {
	c, err := d.FS.Lock(name)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.locks++
	return closer(func() error {
		d.mu.Lock()
		d.locks--
		d.mu.Unlock()
		return c.Close()
	}), nil
}

func (d *disk) Unwrap() vfs.FS { return d.FS }

type closer func() error

func (c closer) Close() error { return c() }

type openFile struct {
	vfs.File
	d    *disk
	name string
}

func (f *openFile) Close() error {
	f.d.mu.Lock()
	delete(f.d.open, f)
	f.d.mu.Unlock()
	return f.File.Close()
}

func (f *openFile) Write(b []byte) (int, error) {
	if err := f.d.writes(f.name, false); err != nil {
		n, _ := f.File.Write(b[:len(b)/2]) // torn
		return n, err
	}
	return f.File.Write(b)
}

func (f *openFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.d.writes(f.name, false); err != nil {
		n, _ := f.File.WriteAt(b[:len(b)/2], at)
		return n, err
	}
	return f.File.WriteAt(b, at)
}

func (f *openFile) synced(sync func() error) error {
	if err := f.d.writes(f.name, true); err != nil {
		return err
	}
	if f.d.liar {
		return nil
	}
	return sync()
}

func (f *openFile) Sync() error     { return f.synced(f.File.Sync) }
func (f *openFile) SyncData() error { return f.synced(f.File.SyncData) }

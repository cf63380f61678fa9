package local

import (
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// indexFS is the file system as Pebble sees it. It differs in three things.
//
// An error of its log, its MANIFEST or a directory never reaches Pebble, which
// would panic, in goroutines of its own too: the store is poisoned, and the call
// does not return. Errors of tables do reach it: it makes the table anew (stubborn).
//
// The name of a new MANIFEST is durable before Pebble points to it. Pebble
// flushes the file, creates a marker with its name and only then flushes the
// directory, which both are in: a file system that keeps the marker and drops the
// MANIFEST leaves an index that cannot be opened. ext4 and XFS keep the order;
// POSIX does not promise it, and the crash test found it.
//
// Where descriptors are wanting it waits for one, as everybody does.
type indexFS struct {
	vfs.FS
	fail  func(error)
	hasty func() bool // nobody would give a descriptor back
}

// wanting reports whether an error tells that descriptors are.
func wanting(err error) bool { return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) }

// patiently opens a file, for a minute if descriptors are wanting.
func (f indexFS) patiently(open func() (vfs.File, error)) (file vfs.File, err error) {
	const pause = 100 * time.Millisecond
	for range time.Minute / pause {
		if file, err = open(); !wanting(err) || f.hasty() {
			break
		}
		time.Sleep(pause)
	}
	return file, err
}

// stop does not return if there is an error.
func (f indexFS) stop(err error) {
	if err != nil {
		f.fail(err)
		select {}
	}
}

func isTable(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

func (f indexFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.patiently(func() (vfs.File, error) { return f.FS.Create(name, c) })
	if isTable(name) {
		return file, err
	}
	f.stop(err)
	if strings.HasPrefix(f.PathBase(name), "MANIFEST-") {
		dir, err := f.OpenDir(f.PathDir(name))
		if err != nil {
			_ = file.Close()
			return nil, err
		}
		f.stop(dir.Sync())
		_ = dir.Close()
	}
	return guarded{file, f}, nil
}

func (f indexFS) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	return f.patiently(func() (vfs.File, error) { return f.FS.Open(name, o...) })
}

func (f indexFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.patiently(func() (vfs.File, error) { return f.FS.ReuseForWrite(old, name, c) })
	f.stop(err)
	return guarded{file, f}, nil
}

func (f indexFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.patiently(func() (vfs.File, error) { return f.FS.OpenDir(name) })
	if err != nil {
		return nil, err
	}
	return guarded{file, f}, nil
}

func (f indexFS) Unwrap() vfs.FS { return f.FS }

// guarded is a file whose failures end the store.
type guarded struct {
	vfs.File
	fs indexFS
}

func (g guarded) Write(p []byte) (int, error) {
	n, err := g.File.Write(p)
	g.fs.stop(err)
	return n, nil
}

func (g guarded) Sync() error {
	g.fs.stop(g.File.Sync())
	return nil
}

func (g guarded) SyncData() error {
	g.fs.stop(g.File.SyncData())
	return nil
}

func (g guarded) SyncTo(n int64) (bool, error) {
	full, err := g.File.SyncTo(n)
	g.fs.stop(err)
	return full, nil
}

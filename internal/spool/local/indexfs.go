package local

import (
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// indexFS is the file system as Pebble sees it. It differs in two things.
//
// An error of its log, its MANIFEST or a directory never reaches Pebble, which
// would panic, in goroutines of its own too: the store is poisoned, and the call
// does not return. Errors of tables do reach it: it makes the table anew.
//
// The name of a new MANIFEST is durable before Pebble points to it. Pebble
// flushes the file, creates a marker with its name and only then flushes the
// directory, which both are in: a file system that keeps the marker and drops the
// MANIFEST leaves an index that cannot be opened. ext4 and XFS keep the order;
// POSIX does not promise it, and the crash test found it.
type indexFS struct {
	vfs.FS
	fail func(error)
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
	file, err := f.FS.Create(name, c)
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

func (f indexFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(old, name, c)
	f.stop(err)
	return guarded{file, f}, nil
}

func (f indexFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
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

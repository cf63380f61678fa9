package local

import (
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// readOnlyFS is a file system in which nothing can be changed. The lock of the index
// is not taken: whoever reads holds the lock of the store.
type readOnlyFS struct{ vfs.FS }

var errReadOnly error = syscall.EROFS

func (readOnlyFS) Create(string, vfs.DiskWriteCategory) (vfs.File, error) { return nil, errReadOnly }
func (readOnlyFS) Link(string, string) error                              { return errReadOnly }
func (readOnlyFS) MkdirAll(string, os.FileMode) error                     { return errReadOnly }
func (readOnlyFS) Remove(string) error                                    { return errReadOnly }
func (readOnlyFS) RemoveAll(string) error                                 { return errReadOnly }
func (readOnlyFS) Rename(string, string) error                            { return errReadOnly }
func (readOnlyFS) Lock(string) (io.Closer, error)                         { return io.NopCloser(nil), nil }

func (readOnlyFS) OpenReadWrite(string, vfs.DiskWriteCategory, ...vfs.OpenOption) (vfs.File, error) {
	return nil, errReadOnly
}

func (readOnlyFS) ReuseForWrite(string, string, vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, errReadOnly
}

func (f readOnlyFS) Unwrap() vfs.FS { return f.FS }

// List leaves out what Pebble writes down of its options: it is what this program
// says anyway, and has no checksum.
func (f readOnlyFS) List(dir string) ([]string, error) { return listIndex(f.FS, dir) }

func listIndex(fs vfs.FS, dir string) ([]string, error) {
	names, err := fs.List(dir)
	kept := names[:0]
	for _, n := range names {
		if !strings.HasPrefix(n, optionsPrefix) {
			kept = append(kept, n)
		}
	}
	return kept, err
}

const optionsPrefix = "OPTIONS-"

package local

import (
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// readers keeps the segments open that bodies were read from last: most of what is
// read stands beside what was read before it.
type readers struct {
	mu   sync.Mutex
	open []*reader // the one that was used last is the last
}

const openReaders = 8

// reader is an open segment. Its fields are guarded by readers.mu.
type reader struct {
	vfs.File
	num   uint32
	users int
	old   bool // to be closed by its last user
}

// take returns a segment for reading, which is to be put back.
func (rs *readers) take(num uint32, open func() (vfs.File, error)) (*reader, error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for i, r := range rs.open {
		if r.num == num {
			copy(rs.open[i:], rs.open[i+1:])
			rs.open[len(rs.open)-1] = r
			r.users++
			return r, nil
		}
	}
	f, err := open()
	if err != nil {
		return nil, err
	}
	r := &reader{File: f, num: num, users: 1}
	if rs.open = append(rs.open, r); len(rs.open) > openReaders {
		rs.retire(0)
	}
	return r, nil
}

func (rs *readers) put(r *reader) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r.users--; r.users == 0 && r.old {
		_ = r.Close()
	}
}

// retire lets go of one that is open. The lock is held.
func (rs *readers) retire(i int) {
	r := rs.open[i]
	rs.open = append(rs.open[:i], rs.open[i+1:]...)
	if r.old = true; r.users == 0 {
		_ = r.Close()
	}
}

// forget lets go of a segment that is removed.
func (rs *readers) forget(num uint32) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for i, r := range rs.open {
		if r.num == num {
			rs.retire(i)
			return
		}
	}
}

// close lets go of all.
func (rs *readers) close() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for len(rs.open) > 0 {
		rs.retire(0)
	}
}

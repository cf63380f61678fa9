package local

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// Marks are attempts that a host has answered and that are not settled yet. Each is in
// the hands of the operating system before it is settled, so that a killed process
// knows of it when it starts again; a power cut may lose it, as nothing waits for a flush.
// They promise nothing: without one, a message goes out twice.
//
//	marks.<number>   length u32 | crc32c u32 | entry, and so on
//
// A file is removed when all that it names is settled.
type marks struct {
	mu   sync.Mutex
	fs   vfs.FS
	path func(...string) string
	cur  *markFile
	last uint64 // highest number of a file there ever was
	old  []custody.Entry
	of   []*markFile // of each of old
	told bool        // that marks cannot be written: they could not since
}

// markFile is one file of marks. Its fields are guarded by marks.mu.
type markFile struct {
	name string
	file vfs.File // nil: it is of a process that has ended
	size int
	open int // marks that are not settled
}

const (
	marksPrefix = "marks."
	marksSize   = 1 << 20 // octets, then the next file is begun
)

// load reads what the last process left.
func (m *marks) load(fs vfs.FS, path func(...string) string) error {
	m.fs, m.path = fs, path
	files, err := markFiles(fs, path())
	if err != nil {
		return err
	}
	for _, num := range slices.Sorted(maps.Keys(files)) {
		name := files[num]
		m.last = max(m.last, num)
		f := &markFile{name: name}
		for _, e := range readMarks(fs, path(name)) {
			m.old, m.of = append(m.old, e), append(m.of, f)
			f.open++
		}
		m.retire(f)
	}
	return nil
}

// markFiles returns the names of the files of marks in a folder, by their numbers.
func markFiles(fs vfs.FS, dir string) (map[uint64]string, error) {
	names, err := fs.List(dir)
	files := map[uint64]string{}
	for _, name := range names {
		digits, ok := strings.CutPrefix(name, marksPrefix)
		if num, err := strconv.ParseUint(digits, 10, 64); ok && err == nil {
			files[num] = name
		}
	}
	return files, err
}

// readMarks returns the marks of a file up to the first that is not whole.
func readMarks(fs vfs.FS, path string) (all []custody.Entry) {
	f, err := fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return nil
	}
	var h [8]byte
	for at := int64(0); at+int64(len(h)) <= st.Size(); {
		if _, err := f.ReadAt(h[:], at); err != nil {
			return all
		}
		n := int64(binary.BigEndian.Uint32(h[:]))
		if at += int64(len(h)); n == 0 || at+n > st.Size() {
			return all
		}
		b := make([]byte, n)
		if _, err := f.ReadAt(b, at); err != nil || sum(b) != binary.BigEndian.Uint32(h[4:]) {
			return all
		}
		e, err := spool.DecodeEntry(b)
		if err != nil {
			return all
		}
		all = append(all, e)
		at += n
	}
	return all
}

// retire removes a file that names nothing any more. The lock is held.
func (m *marks) retire(f *markFile) {
	if f.open > 0 || f == m.cur {
		return
	}
	if f.file != nil {
		_ = f.file.Close()
	}
	_ = m.fs.Remove(m.path(f.name)) // what it names is settled
}

// put writes a mark. What is returned is to be called when it is settled. Of the errors
// with which none can be written it answers the first: the next may find room again, and
// a descriptor.
func (m *marks) put(e custody.Entry) (settled func(), err error) {
	b := spool.AppendEntry(make([]byte, 8, 512), e)
	binary.BigEndian.PutUint32(b, uint32(len(b)-8))
	binary.BigEndian.PutUint32(b[4:], sum(b[8:]))
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.write(b)
	if err == nil {
		m.told = false
		return func() { m.done(f) }, nil
	}
	if m.told {
		return func() {}, nil
	}
	m.told = true
	return func() {}, fmt.Errorf("%s cannot be written: after a kill more mail may go out twice: %w", m.path(marksPrefix+"*"), err)
}

// write writes a mark into the file that is open, or the next one. The lock is held.
func (m *marks) write(b []byte) (*markFile, error) {
	if m.cur == nil || m.cur.size+len(b) > marksSize {
		if err := m.begin(); err != nil {
			return nil, err
		}
	}
	f := m.cur
	if _, err := f.file.Write(b); err != nil {
		m.end() // nothing behind half a mark would be read
		return nil, err
	}
	f.size += len(b)
	f.open++
	return f, nil
}

func (m *marks) begin() error {
	name := marksPrefix + strconv.FormatUint(m.last+1, 10)
	file, err := m.fs.Create(m.path(name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	m.last++
	old := m.cur
	m.cur = &markFile{name: name, file: file}
	if old != nil {
		m.retire(old)
	}
	return nil
}

func (m *marks) done(f *markFile) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f.open--
	m.retire(f)
}

// close removes the open file if nothing in it is wanted.
func (m *marks) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end()
}

// end lets go of the open file. The lock is held.
func (m *marks) end() {
	f := m.cur
	m.cur = nil
	switch {
	case f == nil:
	case f.open == 0:
		m.retire(f)
	default:
		_ = f.file.Close()
		f.file = nil
	}
}

// Mark remembers an attempt over a kill of this process until settled is called.
func (s *Store) Mark(e custody.Entry) (settled func()) {
	settled, err := s.marks.put(e)
	if err != nil {
		s.o.Log.Warn("spool: attempts are not marked at present", "error", err)
	}
	return settled
}

// Marked returns what was marked and not settled when the last process ended, oldest
// file first, each with what is to be called when it is settled.
func (s *Store) Marked() (es []custody.Entry, settled []func()) {
	s.marks.mu.Lock()
	defer s.marks.mu.Unlock()
	for _, f := range s.marks.of {
		settled = append(settled, func() { s.marks.done(f) })
	}
	es, s.marks.old, s.marks.of = s.marks.old, nil, nil
	return es, settled
}

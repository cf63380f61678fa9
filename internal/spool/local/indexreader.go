package local

import (
	"bytes"
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// indexReader reads an index that nobody has open, file by file, and changes nothing.
// Pebble refuses to go on where it meets damage; this goes around it and says in
// gaps what could not be read.
type indexReader struct {
	fs     vfs.FS
	dir    string
	tables []*table
	log    []version // of the index's own log, in the order of versions
	gaps   []gap
	known  map[string]bool // gaps
	notes  []gap           // what is odd and did no harm
	due    uint64          // the sequence number with which the index's log goes on
	broken bool            // it does not, somewhere

	empty   bool  // there is no index
	failing error // the disk could not read a file
	torn    *gap  // where its last file is torn in the middle, perhaps by a crash
}

// openIndexReader opens the index in a directory, its files as far as they belong to
// it. An index that is not there is empty. It asks connects whether the log goes on
// where the index has come to.
func openIndexReader(fs vfs.FS, dir string, connects func(pos) bool) (*indexReader, error) {
	r := &indexReader{fs: readOnlyFS{fs}, dir: dir, known: map[string]bool{}}
	names, err := fs.List(dir)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return nil, err
	}
	slices.Sort(names)
	r.empty = len(names) == 0
	if err := r.take(names, connects); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// take opens the tables that the list of tables names, and the index's log from where
// it says. If it is damaged and that does harm, all files are taken that there are.
func (r *indexReader) take(names []string, connects func(pos) bool) error {
	l, err := r.roster(names)
	if err != nil {
		return err
	}
	var others []string
	for _, name := range names {
		num, ok := tableNumber(name)
		if !ok {
			continue
		}
		b, ok := l.live[num]
		if delete(l.live, num); !ok {
			others = append(others, name)
		} else if err := r.open(name, b); err != nil {
			return err
		}
	}
	for num, b := range l.live {
		r.miss(gap{file: "index/" + tableName(num), from: before(b.low), to: b.high, what: "it is missing"})
	}
	if l.none {
		if !connects(pos{}) {
			r.miss(gap{file: "index", what: "it is gone, and a part of the log that it had followed"})
		}
		return nil
	}
	if l.known && len(l.live) == 0 {
		if err := r.readLog(l.log, false); err != nil {
			return err
		}
		at, err := r.applied()
		if err != nil {
			return err
		}
		goesOn := connects(at) // what is missing of the index stands in the log
		if r.torn != nil {
			r.note(*r.torn, goesOn)
		}
		if l.fault == "" {
			return nil
		}
		if goesOn && !r.broken {
			r.note(gap{file: "index/" + l.name, what: l.fault}, true)
			return nil
		}
	}
	if l.fault != "" {
		r.miss(gap{file: "index/" + l.name, from: []byte{}, to: []byte{}, what: l.fault})
	}
	for _, name := range others {
		if err := r.open(name, bounds{}); err != nil {
			return err
		}
	}
	r.log, r.torn = nil, nil
	err = r.readLog(0, true)
	if r.torn != nil {
		r.note(*r.torn, false)
	}
	return err
}

// open opens a table of the index.
func (r *indexReader) open(name string, b bounds) error {
	t, err := openTable(r.fs, r.fs.PathJoin(r.dir, name), "index/"+name, b.low, b.high, r.miss)
	if err == nil {
		r.tables = append(r.tables, t)
	}
	return err
}

func (r *indexReader) close() {
	for _, t := range r.tables {
		t.close()
	}
}

// note notes what is not whole, as damage or as what a crash may leave.
func (r *indexReader) note(g gap, harmless bool) {
	if harmless {
		g.what += ", perhaps since a crash; nothing is missing by it"
		r.notes = append(r.notes, g)
	} else {
		r.miss(g)
	}
}

// miss notes what cannot be read, once.
func (r *indexReader) miss(g gap) {
	if key := fmt.Sprint(g.file, " ", g.off, " ", g.hollow()); !r.known[key] {
		r.known[key] = true
		r.gaps = append(r.gaps, g)
	}
}

func compareVersions(a, b version) int {
	return cmp.Or(bytes.Compare(a.key, b.key), -cmp.Compare(a.seq, b.seq))
}

// logCursor reads the versions of the index's log.
type logCursor struct {
	rest []version
	now  version
}

func (c *logCursor) next() bool {
	if len(c.rest) == 0 {
		return false
	}
	c.now, c.rest = c.rest[0], c.rest[1:]
	return true
}

// source is what versions are read from, in order.
type source struct {
	next func() bool
	now  *version
}

type sources []source

func (s sources) Len() int           { return len(s) }
func (s sources) Less(i, j int) bool { return compareVersions(*s[i].now, *s[j].now) < 0 }
func (s sources) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *sources) Push(x any)        { *s = append(*s, x.(source)) }
func (s *sources) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}

// keys is a walk over the keys of one kind that can be read, in order.
type keys struct {
	s     sources
	last  []byte
	first bool
	key   []byte // of the present one; valid until next
	value []byte
}

// keysOf begins a walk over the keys that begin with a kind.
func (r *indexReader) keysOf(kind byte) *keys {
	lower, upper := []byte{kind}, []byte{kind + 1}
	k := &keys{first: true}
	for _, t := range r.tables {
		if t.high != nil && bytes.Compare(t.high, lower) < 0 || t.low != nil && bytes.Compare(t.low, upper) >= 0 {
			continue
		}
		c := t.cursor(lower, upper)
		k.s = append(k.s, source{c.next, &c.now})
	}
	from, _ := slices.BinarySearchFunc(r.log, lower, func(v version, k []byte) int { return bytes.Compare(v.key, k) })
	to, _ := slices.BinarySearchFunc(r.log, upper, func(v version, k []byte) int { return bytes.Compare(v.key, k) })
	c := &logCursor{rest: r.log[from:to]}
	k.s = append(k.s, source{c.next, &c.now})
	k.s = slices.DeleteFunc(k.s, func(s source) bool { return !s.next() })
	heap.Init(&k.s)
	return k
}

// next moves to the next key; false at the end.
func (k *keys) next() bool {
	for len(k.s) > 0 {
		if !k.first {
			if k.s[0].next() {
				heap.Fix(&k.s, 0)
			} else {
				heap.Pop(&k.s)
			}
			if len(k.s) == 0 {
				return false
			}
		}
		k.first = false
		v := k.s[0].now
		if bytes.Equal(v.key, k.last) {
			continue // an older version
		}
		k.last = append(k.last[:0], v.key...)
		if !v.gone {
			k.key, k.value = k.last, v.value
			return true
		}
	}
	return false
}

// applied says how far the index has followed the log.
func (r *indexReader) applied() (pos, error) {
	k := r.keysOf(keyApplied)
	if !k.next() {
		return pos{}, nil
	}
	at, _, _, err := readApplied(k.value)
	return at, err
}

// lost reports whether a key that is not there may have been in what cannot be read.
func (r *indexReader) lost(key []byte) bool {
	return slices.ContainsFunc(r.gaps, func(g gap) bool { return g.holds(key) })
}

package local

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	indexlog "github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"
)

const (
	tableSuffix = ".sst"
	listMarker  = "marker.manifest."
)

func tableName(num uint64) string { return fmt.Sprintf("%06d%s", num, tableSuffix) }

func tableNumber(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, tableSuffix)
	num, err := strconv.ParseUint(digits, 10, 64)
	return num, ok && err == nil
}

// manifest returns the name of the list of tables that is in force.
func manifest(names []string) string {
	last := ""
	for _, n := range names { // marker.manifest.000002.MANIFEST-000011, the highest counts
		if strings.HasPrefix(n, listMarker) {
			_, last, _ = strings.Cut(n[len(listMarker):], ".")
		}
	}
	return cmp.Or(last, "MANIFEST")
}

// bounds are the first and the last key of a table.
type bounds struct{ low, high []byte }

// roster is the list of the tables of an index, its MANIFEST.
type roster struct {
	name  string
	none  bool              // there is no index, or none yet
	known bool              // it could be read
	live  map[uint64]bounds // the tables
	log   uint64            // the first file of the index's log that is not in them
	fault string            // what is wrong with it; "": nothing
}

// roster reads the list of tables that is in force.
func (r *indexReader) roster(names []string) (l roster, err error) {
	if bare, err := r.bare(names); bare || err != nil {
		return roster{none: true, known: true}, err
	}
	l.name = manifest(names)
	if err := r.readRoster(&l); err != nil {
		return l, err
	}
	done := make(chan error, 1)
	go func() {
		err := errors.New("it cannot be read")
		defer func() { done <- err }() // after a Fatalf, too
		err = r.peek(&l)
	}()
	if err := <-done; err != nil {
		if !r.damage(err) {
			return l, err
		}
		l.known, l.live = false, nil
		l.fault = cmp.Or(l.fault, err.Error())
	}
	return l, nil
}

// bare reports whether nothing was ever written to an index: the first start may have been
// cut off while it was made.
func (r *indexReader) bare(names []string) (bool, error) {
	if len(names) == 0 {
		return true, nil
	}
	if slices.ContainsFunc(names, func(n string) bool {
		return strings.HasPrefix(n, listMarker) || strings.HasSuffix(n, tableSuffix)
	}) {
		return false, nil
	}
	logs, err := wal.Scan(wal.Dir{FS: r.fs, Dirname: r.dir})
	return !slices.ContainsFunc(logs, func(l wal.LogicalLog) bool { _, ok := firstBatch(l); return ok }), err
}

// damage reports whether an error of a file tells of damage, and not of want.
func (r *indexReader) damage(err error) bool {
	if errors.Is(err, syscall.EIO) {
		r.failing = err
	}
	return !errors.Is(err, fs.ErrPermission) && !wanting(err)
}

// readRoster reads the records of the list of tables for where the index's log begins,
// and for where it cannot be read on. Pebble takes what stands there for a write that
// was not finished.
func (r *indexReader) readRoster(l *roster) error {
	f, err := r.fs.Open(r.fs.PathJoin(r.dir, l.name))
	if errors.Is(err, fs.ErrNotExist) {
		l.fault = "it is missing"
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for rr := indexlog.NewReader(f, 0); ; {
		at := rr.Offset()
		rec, err := rr.Next()
		var b []byte
		if err == nil {
			b, err = io.ReadAll(rec)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			_ = r.damage(err)
			l.fault = fmt.Sprintf("a record at %d is not whole", at)
			return nil
		}
		if num := logNumber(b); num > 0 {
			l.log = num
		}
	}
}

// logNumber returns from which file on the index's log counts after an edit of the
// list of tables; 0: the edit does not say. It stands at its beginning.
func logNumber(edit []byte) uint64 {
	const comparer, log = 1, 2
	c := &cursor{b: edit}
	tag := c.uint()
	if tag == comparer {
		c.blob()
		tag = c.uint()
	}
	if tag != log {
		return 0
	}
	return c.uint()
}

// peek asks Pebble for the tables that belong to the index, without its log.
func (r *indexReader) peek(l *roster) error {
	db, err := pebble.Open(r.dir, &pebble.Options{
		FS: tablesFS{r.fs}, ReadOnly: true, DisableConsistencyCheck: true, FormatMajorVersion: indexFormat, Logger: muteLog{},
		EventListener: &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}},
	})
	if err != nil {
		return err
	}
	levels, err := db.SSTables()
	l.known, l.live = true, map[uint64]bounds{}
	for _, tables := range levels {
		for _, t := range tables {
			l.live[uint64(t.FileNum)] = bounds{bytes.Clone(t.Smallest.UserKey), bytes.Clone(t.Largest.UserKey)}
		}
	}
	return errors.Join(err, db.Close())
}

// tablesFS hides the index's own log.
type tablesFS struct{ vfs.FS }

func (f tablesFS) List(dir string) ([]string, error) {
	names, err := f.FS.List(dir)
	return slices.DeleteFunc(names, func(n string) bool { return strings.HasSuffix(n, ".log") }), err
}

func (f tablesFS) Unwrap() vfs.FS { return f.FS }

// muteLog says nothing, and ends the goroutine that can go no further.
type muteLog struct{}

func (muteLog) Infof(string, ...any)  {}
func (muteLog) Errorf(string, ...any) {}
func (muteLog) Fatalf(string, ...any) { runtime.Goexit() }

// readLog reads the index's own log from a file on, as far as it is whole: its batches
// build on one another. If that file is to be found, the log begins with the last one
// that follows on the tables.
func (r *indexReader) readLog(first uint64, find bool) error {
	logs, err := wal.Scan(wal.Dir{FS: r.fs, Dirname: r.dir})
	if err != nil {
		return err
	}
	last := uint64(0)
	if find {
		last = r.lastInTables()
		for _, l := range logs {
			if seq, ok := firstBatch(l); ok && seq <= last+1 {
				first = uint64(l.Num)
			}
		}
	}
	r.due = 0
	r.broken = !slices.ContainsFunc(logs, func(l wal.LogicalLog) bool { return uint64(l.Num) == first })
	for i, l := range logs {
		if uint64(l.Num) < first {
			continue
		}
		if whole, err := r.readBatches(l, i == len(logs)-1); err != nil {
			return err
		} else if !whole {
			break
		}
	}
	r.log = slices.DeleteFunc(r.log, func(v version) bool { return v.seq <= last })
	slices.SortFunc(r.log, compareVersions)
	return nil
}

// lastInTables returns the highest sequence number in the tables.
func (r *indexReader) lastInTables() (last uint64) {
	for _, t := range r.tables {
		for c := t.cursor(nil, []byte{0xff}); c.next(); {
			last = max(last, c.now.seq)
		}
	}
	return last
}

// firstBatch returns the sequence number with which a file of the index's log begins.
func firstBatch(l wal.LogicalLog) (uint64, bool) {
	rd := l.OpenForRead()
	defer rd.Close()
	rec, _, err := rd.NextRecord()
	if err != nil {
		return 0, false
	}
	b, err := io.ReadAll(rec)
	h, ok := batchrepr.ReadHeader(b)
	return uint64(h.SeqNum), err == nil && ok
}

// readBatches reads one file of the index's log; false if it is damaged. The end of
// the last one may be torn.
func (r *indexReader) readBatches(l wal.LogicalLog, last bool) (bool, error) {
	rd := l.OpenForRead()
	defer rd.Close()
	for {
		rec, at, err := rd.NextRecord()
		var b []byte
		if err == nil {
			b, err = io.ReadAll(rec)
		}
		g := gap{file: "index/" + r.fs.PathBase(at.PhysicalFile), off: at.Physical, from: []byte{}, to: []byte{}}
		switch {
		case errors.Is(err, io.EOF):
			return true, nil
		case last && errors.Is(err, indexlog.ErrUnexpectedEOF):
			if r.goesOn(l, at.Physical) {
				g.what = "a record is not whole"
				r.torn = &g
			}
			return true, nil
		case err == nil:
			err = r.takeBatch(b)
		}
		if err != nil {
			if !r.damage(err) {
				return false, err
			}
			g.what = "the index's log has changed on disk; what follows is taken from the log"
			r.miss(g)
			return false, nil
		}
	}
}

func (r *indexReader) takeBatch(b []byte) error {
	h, ok := batchrepr.ReadHeader(b)
	if !ok {
		return batchrepr.ErrInvalidBatch
	}
	seq := uint64(h.SeqNum)
	r.broken = r.broken || r.due != 0 && seq != r.due
	r.due = seq + uint64(h.Count)
	for rd := batchrepr.Read(b); ; {
		kind, key, value, ok, err := rd.Next()
		if err != nil || !ok {
			return err
		}
		v := version{key: key, seq: seq}
		switch kind {
		case pebble.InternalKeyKindLogData:
			continue
		case pebble.InternalKeyKindSet:
			v.value = value
		default:
			v.gone = true
		}
		r.log = append(r.log, v)
		seq++
	}
}

// goesOn reports whether a part of a record stands behind a place of the index's log:
// if none does, a write was not finished. It begins anew every 32 KiB.
//
//	checksum u32 | length u16 | kind | number of the file u32 | perhaps more | data
func (r *indexReader) goesOn(l wal.LogicalLog, at int64) bool {
	const step, head, kinds, perKind = 32 << 10, 11, 4, 8
	f, err := r.fs.Open(r.fs.PathJoin(r.dir, fmt.Sprintf("%06d.log", uint64(l.Num))))
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	b := make([]byte, step)
	for at = (at/step + 1) * step; ; at += step {
		n, err := f.ReadAt(b, at)
		if n < head || err != nil && !errors.Is(err, io.EOF) {
			return false
		}
		size, kind := int(binary.LittleEndian.Uint16(b[4:])), int(b[6])
		if kind <= kinds || kind > 3*kinds || binary.LittleEndian.Uint32(b[7:]) != uint32(l.Num) {
			continue
		}
		if size += head + perKind*((kind-1)/kinds-1); size <= n && cooked(sum(b[6:size])) == binary.LittleEndian.Uint32(b) {
			return true
		}
	}
}

package local

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble reads a table as a whole or not at all. A table that is damaged is read
// here block by block, each by its own checksum, so that a damaged block costs the
// keys in it and no other:
//
//	data blocks | index blocks | others | footer
//
// A block is followed by the kind of its compression, one octet, and a crc32c of both.
// The index names of each data block an upper bound of its keys; a large table has an
// index of the index. Where a part of the index is damaged, the blocks that it named
// are found by trying their checksums.

// gap is a part of the index that cannot be read.
type gap struct {
	file     string // below the store
	off      int64
	size     int64
	from, to []byte // its keys lie behind from and not behind to; nil: no bound
	what     string
}

// holds reports whether a key may have been in it.
func (g *gap) holds(key []byte) bool {
	return (g.from == nil || bytes.Compare(key, g.from) > 0) && (g.to == nil || bytes.Compare(key, g.to) <= 0)
}

// piece is a block of a table with a bound of the keys in it, or nil.
type piece struct {
	off, size int64
	upper     []byte
}

// table is one table of the index.
type table struct {
	name   string // of the file, below the store
	file   vfs.File
	size   int64
	top    []piece // the blocks of the index, or of data
	level2 bool    // top names blocks of the index
	bare   bool    // top was found by trying: the bounds are not known
	gap    func(gap)
	sought map[int64][]piece // what search found in place of a block of the index
	failed error             // the disk could not read it
	low    []byte            // bounds of its keys, as far as something is known; nil: nothing
	high   []byte
}

// openTable opens a table. What cannot be read of it is told to gap, now and by its
// cursors; low and high are what else is known of its keys.
func openTable(fs vfs.FS, path, name string, low, high []byte, found func(gap)) (*table, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	t := &table{name: name, file: f, size: st.Size(), gap: found, low: low, high: high}
	if err := t.readTop(); err != nil {
		// What is lost by it shows when the blocks are read that are found.
		t.gap(gap{file: name, size: t.size, from: []byte{}, to: []byte{}, what: err.Error()})
		t.top, t.level2, t.bare = t.search(0, t.size), false, true
	}
	return t, nil
}

// before returns a bound that lies before a key and before nothing else of ours.
func before(key []byte) []byte {
	if len(key) == 0 {
		return nil
	}
	b := bytes.Clone(key)
	if b[len(b)-1]--; key[len(key)-1] == 0 {
		return b[:len(b)-1]
	}
	return append(b, 0xff)
}

func (t *table) close() { _ = t.file.Close() }

var errTable = errors.New("it is not a table of the index")

const tableMagic = "\xf0\x9f\xaa\xb3\xf0\x9f\xaa\xb3"

// readTop reads the footer and the block that it names.
func (t *table) readTop() error {
	size := int64(sstable.TableFormatPebblev7.FooterSize())
	if t.size < size {
		return errTable
	}
	foot := make([]byte, size)
	if _, err := t.file.ReadAt(foot, t.size-size); err != nil && !errors.Is(err, io.EOF) {
		t.failed = err
		return err
	}
	// kind of checksum | two handles | … | attributes | checksum | version | magic
	end := foot[len(foot)-20:]
	if binary.LittleEndian.Uint32(end[8:]) != 7 || string(end[12:]) != tableMagic {
		return errTable
	}
	if cooked(addSum(sum(foot[:len(foot)-16]), end[8:])) != binary.LittleEndian.Uint32(end[4:]) {
		return errors.New("its footer has changed on disk")
	}
	_, skip := block.DecodeHandle(foot[1:])
	h, k := block.DecodeHandle(foot[1+skip:])
	if skip == 0 || k == 0 {
		return errTable
	}
	t.level2 = sstable.Attributes(binary.LittleEndian.Uint32(end)).Has(sstable.AttributeTwoLevelIndex)
	var err error
	t.top, err = t.index(piece{off: int64(h.Offset), size: int64(h.Length)})
	return err
}

// cooked is a crc32c as Pebble stores it.
func cooked(sum uint32) uint32 { return (sum>>15 | sum<<17) + 0xa282ead8 }

// read returns the bytes of a block, unpacked.
func (t *table) read(p piece) ([]byte, error) {
	if p.off < 0 || p.size < 0 || p.off+p.size+block.TrailerLen > t.size {
		return nil, fmt.Errorf("the table ends at %d, in a block", t.size)
	}
	b := make([]byte, p.size+block.TrailerLen, max(p.size+block.TrailerLen, 16)) // aligned, as columns are read
	if _, err := t.file.ReadAt(b, p.off); err != nil {
		t.failed = err
		return nil, err
	}
	n := int(p.size)
	if cooked(sum(b[:n+1])) != binary.LittleEndian.Uint32(b[n+1:]) {
		return nil, errors.New("a block has changed on disk")
	}
	return unpack(block.CompressionIndicator(b[n]), b[:n])
}

// packings are the kinds of compression that a block may have.
var packings = []block.CompressionIndicator{
	block.NoCompressionIndicator, block.SnappyCompressionIndicator, block.ZstdCompressionIndicator, block.MinLZCompressionIndicator,
}

const maxPacking = byte(block.MinLZCompressionIndicator)

const maxBlock = 64 << 20 // octets of a block, unpacked

func unpack(kind block.CompressionIndicator, b []byte) ([]byte, error) {
	switch {
	case kind == block.NoCompressionIndicator:
		return b, nil
	case !slices.Contains(packings, kind):
		return nil, fmt.Errorf("a block is packed in an unknown way, %d", kind)
	}
	n, err := block.DecompressedLen(kind, b)
	if err != nil || n > maxBlock {
		return nil, fmt.Errorf("a block cannot be unpacked: %w", err)
	}
	out := make([]byte, n, max(n, 16))
	return out, block.DecompressInto(kind, b, out)
}

// index reads what a block of the index names.
func (t *table) index(p piece) (ps []piece, err error) {
	b, err := t.read(p)
	if err != nil {
		return nil, err
	}
	if len(b) < 8 || colblk.DecodeHeader(b).Columns != 4 {
		return nil, errTable
	}
	var it colblk.IndexIter
	if err := it.Init(pebble.DefaultComparer, b, block.NoTransforms); err != nil {
		return nil, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		h, err := it.BlockHandleWithProperties()
		if err != nil {
			return nil, err
		}
		ps = append(ps, piece{int64(h.Offset), int64(h.Length), bytes.Clone(it.Separator())})
	}
	return ps, nil
}

// Octets within which a block must end to be found by trying: where one is expected,
// and behind damage. As a rule they have 4 KiB.
const (
	maxSought = 1 << 20
	maxAstray = 16 << 10
)

const sector = 4096

// search finds the blocks of data between two places by their checksums.
func (t *table) search(from, to int64) (ps []piece) {
	b := make([]byte, max(min(to, t.size)-from, 0))
	for piece := range slices.Chunk(b, sector) { // a sector that cannot be read stays empty
		_, _ = t.file.ReadAt(piece, from)
		from += int64(len(piece))
	}
	from -= int64(len(b))
	most := maxSought
	for at := 0; at < len(b); {
		n := -1
		if b[at] != 0 { // as no block of ours begins, packed or not
			n = blockAt(b[at:], most)
		}
		if n < 0 {
			at++
			most = maxAstray
			continue
		}
		p := piece{off: from + int64(at), size: int64(n)}
		if data, err := t.read(p); err == nil && isData(data) {
			ps = append(ps, p)
		}
		at += n + block.TrailerLen
		most = maxSought
	}
	return ps
}

// blockAt returns the length of the block that b begins with, less than 0 if none
// does that ends within most octets.
func blockAt(b []byte, most int) int {
	c := ^uint32(0)
	for n := 0; n+block.TrailerLen <= min(len(b), most); n++ {
		c = castagnoli[byte(c)^b[n]] ^ c>>8
		if b[n] <= maxPacking && n > 0 && cooked(^c) == binary.LittleEndian.Uint32(b[n+1:]) {
			return n
		}
	}
	return -1
}

var keySchema = colblk.DefaultKeySchema(pebble.DefaultComparer, 16)

// dataColumns are the columns of a data block: those of the keys, and five more.
var dataColumns = append(slices.Clone(keySchema.ColumnTypes),
	colblk.DataTypeUint, colblk.DataTypeBool, colblk.DataTypeBytes, colblk.DataTypeBool, colblk.DataTypeBool)

// isData reports whether a block holds data.
func isData(b []byte) bool {
	const own = 4 // the longest key, before the header
	if len(b) < own+7+5*len(dataColumns) {
		return false
	}
	h := colblk.DecodeHeader(b[own:])
	if h.Version != colblk.Version1 || int(h.Columns) != len(dataColumns) || h.Rows == 0 {
		return false
	}
	var d colblk.BlockDecoder
	d.Init(b, own)
	for i, kind := range dataColumns {
		if d.DataType(i) != kind {
			return false
		}
	}
	return true
}

// others checks the blocks of the tables that hold no keys: filters, and what is said
// of a table.
func (r *indexReader) others() {
	for _, t := range r.tables {
		if err := t.others(); err != nil {
			r.miss(gap{file: t.name, off: 0, size: t.size, from: []byte{}, to: []byte{}, what: err.Error()})
		}
	}
}

func (t *table) others() error {
	if t.bare {
		return nil // told already
	}
	f, err := sstable.NewSimpleReadable(shared{t.file})
	if err != nil {
		return err
	}
	r, err := sstable.NewReader(context.Background(), f, sstable.ReaderOptions{})
	if err != nil {
		return errors.New("a block that says what is in the table has changed on disk")
	}
	defer r.Close()
	l, err := r.Layout()
	if err != nil {
		return nil // a block of its index, told already
	}
	hs := []block.Handle{l.Properties, l.MetaIndex, l.RangeDel, l.RangeKey, l.ValueIndex, l.BlobReferenceIndex}
	for _, h := range l.Filter {
		hs = append(hs, h.Handle)
	}
	for _, h := range hs {
		p := piece{off: int64(h.Offset), size: int64(h.Length)}
		if _, err := t.read(p); h.Length > 0 && err != nil {
			t.gap(gap{file: t.name, off: p.off, size: p.size, from: []byte{}, to: []byte{}, what: err.Error()})
		}
	}
	return nil
}

// shared is a file that another one closes.
type shared struct{ vfs.File }

func (shared) Close() error { return nil }

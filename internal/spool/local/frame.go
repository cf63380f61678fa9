package local

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A segment file is a row of frames. A frame is what is written together, and is
// flushed before the next one is begun: so an invalid frame at the end is a group
// that nobody was told of, and an invalid one before a valid one is damage.
//
//	magic u32 | crc32c u32 | length u32 | zero u32 | payload
//
// The checksum covers a number that the segment's first frame holds, the offset,
// the length and the payload: bytes of a mail never pass for a frame, wherever a
// torn write leaves them. The first frame holds that number and where the log
// before it ends.
const (
	frameMagic = 0x70726d31 // "prm1"
	frameHead  = 16
	headSize   = frameHead + 16
	maxFrame   = 16 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// pos is a place in the log.
type pos struct {
	seg uint32
	off uint32
}

func (p pos) before(q pos) bool { return p.seg < q.seg || p.seg == q.seg && p.off < q.off }

func (p pos) String() string { return fmt.Sprintf("segment %08x offset %d", p.seg, p.off) }

// frame is one that is being made. Small things are gathered; a large body is written
// from where it lies.
type frame struct {
	b     []byte  // all but the large bodies
	large []inset // in their order
	size  int     // of all of it
	least int     // octets of a large body; 0: largeBody
}

// inset is a body that stands in a frame behind so many octets of what is gathered.
type inset struct {
	behind int
	body   []byte
}

// largeBody is from how many octets on a body is worth a write of its own, and is read
// where it lies.
const largeBody = 32 << 10

// begin leaves room for the header.
func (f *frame) begin() {
	*f = frame{b: append(f.b[:0], make([]byte, frameHead)...), large: f.large[:0], size: frameHead, least: f.least}
}

// add puts b, which must stay as it is until the frame has ended, behind what is there.
func (f *frame) add(b []byte) {
	if len(b) < cmp.Or(f.least, largeBody) {
		f.copy(b)
		return
	}
	f.size += len(b)
	f.large = append(f.large, inset{len(f.b), b})
}

// copy adds what will not stay as it is.
func (f *frame) copy(b []byte) {
	f.size += len(b)
	f.b = append(f.b, b...)
}

// pieces are what the frame consists of, in order.
func (f *frame) pieces(yield func([]byte) bool) {
	from := 0
	for _, in := range f.large {
		if !yield(f.b[from:in.behind]) || !yield(in.body) {
			return
		}
		from = in.behind
	}
	yield(f.b[from:])
}

// seal writes the header of the frame, which is to stand at off.
func (f *frame) seal(salt uint64, off uint32) {
	n, skip := uint32(f.size-frameHead), frameHead
	sum := beginSum(salt, off, n)
	for p := range f.pieces {
		sum, skip = addSum(sum, p[skip:]), 0
	}
	binary.BigEndian.PutUint32(f.b, frameMagic)
	binary.BigEndian.PutUint32(f.b[4:], sum)
	binary.BigEndian.PutUint32(f.b[8:], n)
	binary.BigEndian.PutUint32(f.b[12:], 0)
}

// write puts the frame at off. Until all of it is there it is not valid.
func (f *frame) write(to io.WriterAt, off int64) error {
	for p := range f.pieces {
		if _, err := to.WriteAt(p, off); err != nil {
			return err
		}
		off += int64(len(p))
	}
	return nil
}

// end lets go of the bodies, and of a buffer that is longer than most frames need.
func (f *frame) end() {
	clear(f.large)
	if f.large = f.large[:0]; cap(f.b) > maxGroup/2 {
		f.b = nil
	}
}

func checksum(payload []byte, salt uint64, off, n uint32) uint32 {
	return addSum(beginSum(salt, off, n), payload)
}

// beginSum is the checksum of what stands around a payload.
func beginSum(salt uint64, off, n uint32) uint32 {
	var h [16]byte
	binary.BigEndian.PutUint64(h[:], salt)
	binary.BigEndian.PutUint32(h[8:], off)
	binary.BigEndian.PutUint32(h[12:], n)
	return sum(h[:])
}

// headFrame makes the first frame of a segment.
func headFrame(salt uint64, prev pos) []byte {
	var payload [headSize - frameHead]byte
	binary.BigEndian.PutUint64(payload[:], salt)
	binary.BigEndian.PutUint32(payload[8:], prev.seg)
	binary.BigEndian.PutUint32(payload[12:], prev.off)
	var f frame
	f.begin()
	f.copy(payload[:])
	f.seal(0, 0)
	return f.b
}

// segment reads one file of the log.
type segment struct {
	num  uint32
	size int64
	salt uint64
	prev pos // where the log before it ends
	file vfs.File
}

var errTorn = errors.New("local: no valid frame")

// openSegment opens a segment for reading; errTorn if it has no valid beginning.
func openSegment(fs vfs.FS, path string, num uint32) (*segment, error) {
	f, err := fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return nil, err
	}
	s := &segment{num: num, file: f}
	st, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	s.size = st.Size()
	payload, _, err := s.frame(0)
	if err == nil && len(payload) != headSize-frameHead {
		err = errTorn
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	s.salt = binary.BigEndian.Uint64(payload)
	s.prev = pos{binary.BigEndian.Uint32(payload[8:]), binary.BigEndian.Uint32(payload[12:])}
	return s, nil
}

func (s *segment) close() { _ = s.file.Close() }

// frame returns the payload of the frame at off and where the next one begins;
// errTorn if none is there.
func (s *segment) frame(off uint32) ([]byte, uint32, error) {
	var h [frameHead]byte
	if int64(off)+frameHead > s.size {
		return nil, 0, errTorn
	}
	if _, err := s.file.ReadAt(h[:], int64(off)); err != nil {
		return nil, 0, err
	}
	n := binary.BigEndian.Uint32(h[8:])
	if binary.BigEndian.Uint32(h[:]) != frameMagic || n > maxFrame || int64(off)+frameHead+int64(n) > s.size {
		return nil, 0, errTorn
	}
	b := make([]byte, n)
	if _, err := s.file.ReadAt(b, int64(off)+frameHead); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	if binary.BigEndian.Uint32(h[4:]) != checksum(b, s.salt, off, n) {
		return nil, 0, errTorn
	}
	return b, off + frameHead + n, nil
}

// next finds the first valid frame behind off; 0 if there is none.
func (s *segment) next(off uint32) (uint32, error) {
	const window = 1 << 20
	buf := make([]byte, window+3)
	for at := int64(off) + 1; at < s.size; at += window {
		n, err := s.file.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for i := 0; i+4 <= n && i < window; i++ {
			if buf[i] != frameMagic>>24 || binary.BigEndian.Uint32(buf[i:]) != frameMagic {
				continue
			}
			if _, _, err := s.frame(uint32(at) + uint32(i)); err == nil {
				return uint32(at) + uint32(i), nil
			} else if !errors.Is(err, errTorn) {
				return 0, err
			}
		}
	}
	return 0, nil
}

// begunAt reports whether a frame was written to a segment that has no valid
// beginning, valid or not: both are flushed together.
func begunAt(fs vfs.FS, path string) bool {
	f, err := fs.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	var h [frameHead]byte
	_, err = f.ReadAt(h[:], headSize)
	return err == nil && binary.BigEndian.Uint32(h[:]) == frameMagic && binary.BigEndian.Uint32(h[12:]) == 0
}

const segSuffix = ".seg"

func segName(n uint32) string { return fmt.Sprintf("%08x%s", n, segSuffix) }

// segNumber reads what segName wrote.
func segNumber(name string) (uint32, bool) {
	hex, ok := strings.CutSuffix(name, segSuffix)
	if !ok || len(hex) != 8 {
		return 0, false
	}
	n, err := strconv.ParseUint(hex, 16, 32)
	return uint32(n), err == nil
}

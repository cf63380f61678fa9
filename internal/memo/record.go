package memo

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The log begins with a head and goes on with records, each the whole new state
// of one entry; the last one of an entry counts.
//
//	head    "postrider memo\n" version(1) salt(16) checksum(4)
//	record  0xD7 kind(1) length(uvarint) checksum(4) | key(8) network(8) until(4) value
//
// Numbers are little-endian. The length is that of what stands behind the bar; the
// checksum (CRC-32C) covers the salt, kind and length and all of that. An until of
// 0 says that the entry is gone. The salt keeps words of strangers, which stand in
// values, from ever passing for records when the way is lost behind a damaged one.
const (
	magic    = "postrider memo\n"
	version  = 1
	saltSize = 16
	headSize = len(magic) + 1 + saltSize + 4

	mark       = 0xD7
	fixedSize  = 8 + 8 + 4
	maxValue   = 16 << 10
	maxBody    = fixedSize + maxValue
	maxRecord  = 1 + 1 + 3 + 4 + maxBody
	recordHead = 1 + 1 + 1 + 4 // with a length below 128
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func recordSize(value int) int {
	n := recordHead + fixedSize + value
	if fixedSize+value >= 1<<7 {
		n++
	}
	if fixedSize+value >= 1<<14 {
		n++
	}
	return n
}

// record is one as read: the value aliases the reader's buffer.
type record struct {
	kind    kind
	key     uint64
	network uint64
	until   uint32
	value   []byte
}

func appendRecord[V value](b []byte, sum uint32, k kind, key, network uint64, until uint32, v V) []byte {
	start := len(b)
	b = append(b, mark, byte(k))
	b = binary.AppendUvarint(b, uint64(fixedSize+v.size()))
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, key)
	b = binary.LittleEndian.AppendUint64(b, network)
	b = binary.LittleEndian.AppendUint32(b, until)
	b = v.appendTo(b)
	binary.LittleEndian.PutUint32(b[at:], checksum(sum, b[start+1:at], b[at+4:]))
	return b
}

func checksum(sum uint32, parts ...[]byte) uint32 {
	for _, p := range parts {
		sum = crc32.Update(sum, castagnoli, p)
	}
	return sum
}

// parse reads the record at the beginning of b. It answers 0 where none stands.
func parse(b []byte, sum uint32) (r record, size int) {
	if len(b) < recordHead+fixedSize || b[0] != mark {
		return record{}, 0
	}
	n, w := binary.Uvarint(b[2:min(len(b), 5)])
	if w <= 0 || n < fixedSize || n > maxBody {
		return record{}, 0
	}
	at := 2 + w
	size = at + 4 + int(n)
	if len(b) < size {
		return record{}, 0
	}
	body := b[at+4 : size]
	if binary.LittleEndian.Uint32(b[at:]) != checksum(sum, b[1:at], body) {
		return record{}, 0
	}
	return record{
		kind:    kind(b[1]),
		key:     binary.LittleEndian.Uint64(body),
		network: binary.LittleEndian.Uint64(body[8:]),
		until:   binary.LittleEndian.Uint32(body[16:]),
		value:   body[fixedSize:],
	}, size
}

func head(salt [saltSize]byte) []byte {
	b := append(append([]byte(magic), version), salt[:]...)
	return binary.LittleEndian.AppendUint32(b, checksum(0, b))
}

var errHead = errors.New("its head is damaged")

// readHead returns the salt of a log.
func readHead(r io.Reader) (salt [saltSize]byte, err error) {
	b := make([]byte, headSize)
	if _, err := io.ReadFull(r, b); err == io.EOF || err == io.ErrUnexpectedEOF {
		return salt, errHead
	} else if err != nil {
		return salt, err
	}
	sealed := b[:headSize-4]
	if !bytes.HasPrefix(b, []byte(magic)) || binary.LittleEndian.Uint32(b[len(sealed):]) != checksum(0, sealed) {
		return salt, errHead
	}
	if v := b[len(magic)]; v != version {
		return salt, fmt.Errorf("its form is number %d, of a newer version of postrider; this one reads %d", v, version)
	}
	copy(salt[:], b[len(magic)+1:])
	return salt, nil
}

// damage is what a log holds that is no record.
type damage struct {
	octets, places int64
	first          int64 // where it begins, counted from the head's end
}

// readRecords calls apply for each record behind the head. It returns where the
// last sound one ends, counted from the head's end, and what stood between sound
// ones or behind them.
func readRecords(r io.Reader, sum uint32, apply func(record)) (end int64, d damage, err error) {
	in := bufio.NewReaderSize(r, 4*maxRecord)
	at, sound := int64(0), true
	for {
		b, err := in.Peek(maxRecord)
		if err != nil && err != io.EOF {
			return end, d, err
		}
		if len(b) == 0 {
			return end, d, nil
		}
		rec, n := parse(b, sum)
		switch {
		case n > 0:
			apply(rec)
			end, sound = at+int64(n), true
		default:
			if n = 1; sound {
				if d.places++; d.places == 1 {
					d.first = at
				}
				sound = false
			}
			if next := bytes.IndexByte(b[1:], mark); next >= 0 {
				n += next
			} else {
				n = len(b)
			}
			d.octets += int64(n)
		}
		if _, err := in.Discard(n); err != nil {
			return end, d, err
		}
		at += int64(n)
	}
}

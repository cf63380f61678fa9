package local

import (
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// The keys of the index, all numbers big-endian:
//
//	00                       how far the log is applied, and the counts
//	g <segment>              bodies in a segment that are still wanted: count, octets
//	m <id>                   message, until it is pruned
//	w <id>                   where its body is, how many deliveries wait; until the last has left
//	b <name>                 message whose body is that big file
//	t <id><n>                delivery that waits: wake, lane, delivery
//	x <id><n>                delivery that left: when, delivery
//	q <lane><wake><id><n>    what wakes when
//	e <id><log position><i>  entry of the timeline
//	z <left><id><n>          what left when
//	i <Message-ID><id>, f <sender><id>, r <recipient><id>   for Find
const (
	keyApplied = 0x00
	keySegment = 'g'
	keyMessage = 'm'
	keyWhere   = 'w'
	keyBig     = 'b'
	keyWaiting = 't'
	keyLeft    = 'x'
	keyQueue   = 'q'
	keyEntry   = 'e'
	keyDay     = 'z'
	keyHeader  = 'i'
	keyFrom    = 'f'
	keyTo      = 'r'
)

var appliedKey = []byte{keyApplied}

var errKey = errors.New("local: bad key or value in the index")

func appendID(b []byte, kind byte, id custody.ID) []byte {
	return append(append(b, kind), id[:]...)
}

func appendDeliveryID(b []byte, id custody.DeliveryID) []byte {
	b = append(b, id.Message[:]...)
	return binary.BigEndian.AppendUint16(b, id.N)
}

func appendDelivery(b []byte, kind byte, id custody.DeliveryID) []byte {
	return appendDeliveryID(append(b, kind), id)
}

const deliveryIDSize = 18

func readDeliveryID(b []byte) (id custody.DeliveryID, err error) {
	if len(b) != deliveryIDSize {
		return id, errKey
	}
	copy(id.Message[:], b)
	id.N = binary.BigEndian.Uint16(b[16:])
	return id, nil
}

// appendTime writes a moment so that keys order by it.
func appendTime(b []byte, ns int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(ns)^1<<63)
}

func readTime(b []byte) int64 { return int64(binary.BigEndian.Uint64(b) ^ 1<<63) }

func appendLane(b []byte, lane string) []byte {
	b = append(b, keyQueue)
	b = binary.BigEndian.AppendUint16(b, uint16(len(lane)))
	return append(b, lane...)
}

func appendQueue(b []byte, lane string, wake int64, id custody.DeliveryID) []byte {
	return appendDeliveryID(appendTime(appendLane(b, lane), wake), id)
}

// readQueue takes a key of the queue apart; lane is a part of it.
func readQueue(k []byte) (lane []byte, wake int64, id custody.DeliveryID, err error) {
	if len(k) < 3 {
		return nil, 0, id, errKey
	}
	n := int(binary.BigEndian.Uint16(k[1:]))
	if len(k) != 3+n+8+deliveryIDSize {
		return nil, 0, id, errKey
	}
	lane = k[3 : 3+n]
	wake = readTime(k[3+n:])
	id, err = readDeliveryID(k[3+n+8:])
	return lane, wake, id, err
}

func appendDay(b []byte, left int64, id custody.DeliveryID) []byte {
	return appendDeliveryID(appendTime(append(b, keyDay), left), id)
}

func readDay(k []byte) (left int64, id custody.DeliveryID, err error) {
	if len(k) != 1+8+deliveryIDSize {
		return 0, id, errKey
	}
	id, err = readDeliveryID(k[9:])
	return readTime(k[1:]), id, err
}

// appendTerm writes the key by which a Message-ID or an address is found, up to
// the id. A zero byte ends each part and is therefore never in one.
func appendTerm(b []byte, kind byte, parts ...string) []byte {
	b = append(b, kind)
	for _, p := range parts {
		b = append(b, strings.ReplaceAll(strings.ToLower(p), "\x00", "?")...)
		b = append(b, 0)
	}
	return b
}

// readBig reads the key of a large body and its value.
func readBig(k, v []byte) (name uint64, id custody.ID, ok bool) {
	if len(k) != 1+8 || len(v) != len(id) {
		return 0, id, false
	}
	return binary.BigEndian.Uint64(k[1:]), custody.ID(v), true
}

// readRecipient takes a key apart by which a recipient is found.
func readRecipient(k []byte) (id custody.ID, a mail.Address, ok bool) {
	if len(k) < 1+2+len(id) {
		return id, a, false
	}
	words := strings.Split(string(k[1:len(k)-len(id)]), "\x00")
	if len(words) != 3 {
		return id, a, false
	}
	return custody.ID(k[len(k)-len(id):]), mail.Address{Local: words[1], Domain: words[0]}, true
}

// upper returns the end of the keys that begin with prefix.
func upper(prefix []byte) []byte {
	b := append([]byte(nil), prefix...)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return b[:i+1]
		}
	}
	return nil
}

// nanos is a time as the index keeps it; 0: none.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func moment(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

// place says where the body of a message stands.
type place struct {
	seg  uint32 // segment; 0: a big file
	off  uint32
	big  uint64 // name of the big file; 0: in a segment
	size int64
	sum  uint32 // crc32c
}

// where is the value of a message's w key.
type where struct {
	place
	waiting uint32 // deliveries that wait
	once    bool   // in memory: written once since it was not there, see (*applier).drop
}

func (w where) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(w.waiting))
	b = binary.AppendUvarint(b, uint64(w.seg))
	b = binary.AppendUvarint(b, uint64(w.off))
	b = binary.AppendUvarint(b, w.big)
	b = binary.AppendUvarint(b, uint64(w.size))
	return binary.BigEndian.AppendUint32(b, w.sum)
}

func readWhere(b []byte) (w where, err error) {
	var v [5]uint64
	for i := range v {
		n := 0
		if v[i], n = binary.Uvarint(b); n <= 0 {
			return w, errKey
		}
		b = b[n:]
	}
	if len(b) != 4 {
		return w, errKey
	}
	return where{place{uint32(v[1]), uint32(v[2]), v[3], int64(v[4]), binary.BigEndian.Uint32(b)}, uint32(v[0]), false}, nil
}

// waiting is the value of a t key, and of an x key where wake is when it left.
type waiting struct {
	wake int64
	lane string
	blob []byte
	once bool // as in where
}

func appendWaiting(b []byte, wake int64, lane string, blob []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(wake))
	b = binary.AppendUvarint(b, uint64(len(lane)))
	b = append(b, lane...)
	return append(b, blob...)
}

// readWaiting reads a value; its blob is a part of b.
func readWaiting(b []byte) (w waiting, err error) {
	if len(b) < 9 {
		return w, errKey
	}
	w.wake = int64(binary.BigEndian.Uint64(b))
	n, k := binary.Uvarint(b[8:])
	if k <= 0 || n > uint64(len(b)-8-k) {
		return w, errKey
	}
	b = b[8+k:]
	return waiting{wake: w.wake, lane: string(b[:n]), blob: b[n:]}, nil
}

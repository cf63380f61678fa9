package local

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"

	"github.com/postrider/postrider/internal/spool"
)

// tallies compare the keys of the index that follow from others with what they
// should be, in little memory: both sides are summed up in buckets, and only those
// that differ are looked at key by key.
type tallies struct {
	seed     maphash.Seed
	should   map[byte]*buckets
	is       map[byte]*buckets
	segs     map[uint32]segDelta // bodies that are wanted
	bigs     big
	waiting  int64
	messages int64
}

const bucketCount = 1 << 12

type buckets [bucketCount]struct{ n, sum uint64 }

// derivedKinds are the kinds of keys that follow from others, and what they are for.
var derivedKinds = map[byte]string{
	keyQueue: "wake", keyDay: "leaving", keyBig: "large body", keyHeader: "Message-ID", keyFrom: "sender", keyTo: "recipient",
}

func newTallies() *tallies {
	t := &tallies{seed: maphash.MakeSeed(), segs: map[uint32]segDelta{}, should: map[byte]*buckets{}}
	for kind := range derivedKinds {
		t.should[kind] = &buckets{}
	}
	return t
}

func (t *tallies) bucket(key []byte) (i int, sum uint64) {
	h := maphash.Bytes(t.seed, key)
	return int(h % bucketCount), h | 1
}

func (b *buckets) add(i int, sum uint64) {
	b[i].n++
	b[i].sum += sum
}

// take sums up what should follow from a message.
func (t *tallies) take(p *parts) {
	t.messages++
	t.waiting += int64(len(p.t))
	if w, err := readWhere(p.w); err == nil {
		if w.big != 0 {
			t.bigs = big{t.bigs.count + 1, t.bigs.live + w.size}
		} else {
			d := t.segs[w.seg]
			t.segs[w.seg] = segDelta{d.count + 1, d.live + w.size}
		}
	}
	p.derived(func(key []byte) {
		i, sum := t.bucket(key)
		t.should[key[0]].add(i, sum)
	})
}

// derived calls each with the keys that follow from a message, each once. What makes
// no sense is told elsewhere.
func (p *parts) derived(each func(key []byte)) {
	seen := map[string]bool{}
	term := func(k []byte) {
		if key := string(k) + string(p.id[:]); !seen[key] {
			seen[key] = true
			each([]byte(key))
		}
	}
	if m, err := spool.DecodeMessage(p.m); err == nil {
		messageTerms(m, term)
	}
	for _, q := range p.t {
		if s, err := q.state(p.id); err == nil {
			deliveryTerms(s.d, term)
			if s.wake != 0 {
				each(appendQueue(nil, s.d.Lane(), s.wake, s.d.ID))
			}
		}
	}
	for _, q := range p.x {
		if s, err := q.state(p.id); err == nil {
			deliveryTerms(s.d, term)
			each(appendDay(nil, s.left, s.d.ID))
		}
	}
	if w, err := readWhere(p.w); err == nil && w.big != 0 {
		each(binary.BigEndian.AppendUint64([]byte{keyBig}, w.big))
	}
}

// read sums up what the index has.
func (t *tallies) read(f *verifier) error {
	t.is = map[byte]*buckets{}
	for kind := range t.should {
		is := &buckets{}
		t.is[kind] = is
		for k := f.idx.keysOf(kind); k.next(); {
			if err := f.ctx.Err(); err != nil {
				return err
			}
			is.add(t.bucket(k.key))
		}
	}
	return nil
}

// compare reports what the index says that does not follow, and what it does not say.
func (t *tallies) compare(f *verifier) error {
	t.counts(f)
	odd := map[byte]map[int]bool{}
	for kind, should := range t.should {
		for i := range should {
			if should[i] != t.is[kind][i] {
				if odd[kind] == nil {
					odd[kind] = map[int]bool{}
				}
				odd[kind][i] = true
			}
		}
	}
	if len(odd) == 0 {
		return nil
	}
	return t.name(f, odd)
}

// name finds the keys in buckets that differ.
func (t *tallies) name(f *verifier, odd map[byte]map[int]bool) error {
	is := map[string]bool{}
	for kind, buckets := range odd {
		for k := f.idx.keysOf(kind); k.next(); {
			if i, _ := t.bucket(k.key); buckets[i] {
				is[string(k.key)] = true
			}
		}
	}
	o := &joiner{idx: f.idx, bodies: &f.bodies, applied: f.applied, exact: f.exact}
	err := f.idx.messages(func(p *parts) error {
		p.derived(func(key []byte) {
			i, _ := t.bucket(key)
			if !odd[key[0]][i] || is[string(key)] {
				delete(is, string(key))
				return
			}
			x := Fault{File: "index", Offset: -1, What: fmt.Sprintf("the key of a %s is missing", derivedKinds[key[0]])}
			if h := o.join(p, nil); h != nil {
				x.concern(h.concerned("it is not found by it"))
			}
			f.fault(x)
		})
		return f.ctx.Err()
	})
	for key := range is {
		f.fault(Fault{File: "index", Offset: -1, What: fmt.Sprintf("a key of a %s leads to nothing: %x", derivedKinds[key[0]], key)})
	}
	return err
}

// counts compares what the index counts.
func (t *tallies) counts(f *verifier) {
	if k := f.idx.keysOf(keyApplied); k.next() {
		_, waiting, bigs, err := readApplied(k.value)
		if err != nil || waiting != t.waiting || bigs != t.bigs {
			f.fault(Fault{File: "index", Offset: -1, What: fmt.Sprintf(
				"it counts %d deliveries and %d large bodies where %d and %d are", waiting, bigs.count, t.waiting, t.bigs.count)})
		}
	}
	for k := f.idx.keysOf(keySegment); k.next(); {
		num, d, err := readSegment(k.key, k.value)
		if err != nil || d != t.segs[num] {
			f.fault(Fault{File: "index", Offset: -1, What: fmt.Sprintf(
				"it counts %d bodies in %s where %d are wanted", d.count, segName(num), t.segs[num].count)})
		}
		delete(t.segs, num)
	}
	for num, d := range t.segs {
		f.fault(Fault{File: "index", Offset: -1, What: fmt.Sprintf("it counts no bodies in %s where %d are wanted", segName(num), d.count)})
	}
}

// readSegment reads a key that counts the bodies in a segment, and its value.
func readSegment(k, v []byte) (num uint32, d segDelta, err error) {
	if len(k) != 5 {
		return 0, d, errKey
	}
	var n, m int
	if d.count, n = binary.Varint(v); n <= 0 {
		return 0, d, errKey
	}
	if d.live, m = binary.Varint(v[n:]); m <= 0 {
		return 0, d, errKey
	}
	return binary.BigEndian.Uint32(k[1:]), d, nil
}

package memo

// index finds the place of a key by the hash of the key: an open hash table of
// hash and place together, since at a million entries a map of Go takes more than twice
// the memory (measured: 38 octets an entry, this one 9 to 18).
type index struct {
	slots []uint64 // hash<<32 | place, at the hash or behind it; 0: empty
	n     int
}

// find returns the place with a hash of which is answers true, or 0.
func (x *index) find(hash uint32, is func(place uint32) bool) uint32 {
	if x.n == 0 {
		return 0
	}
	for at := x.home(hash); x.slots[at] != 0; at = x.after(at) {
		if s := x.slots[at]; uint32(s>>32) == hash && is(uint32(s)) {
			return uint32(s)
		}
	}
	return 0
}

// add takes in a place that is not there.
func (x *index) add(hash, place uint32) {
	if x.n >= len(x.slots)*7/8 {
		old := x.slots
		x.slots = make([]uint64, max(16, 2*len(old)))
		for _, s := range old {
			if s != 0 {
				x.insert(s)
			}
		}
	}
	x.insert(uint64(hash)<<32 | uint64(place))
	x.n++
}

func (x *index) insert(s uint64) {
	at := x.home(uint32(s >> 32))
	for x.slots[at] != 0 {
		at = x.after(at)
	}
	x.slots[at] = s
}

// remove takes out a place that is there, and moves up what stands behind it.
func (x *index) remove(hash, place uint32) {
	at := x.home(hash)
	for x.slots[at] != uint64(hash)<<32|uint64(place) {
		at = x.after(at)
	}
	x.n--
	x.slots[at] = 0
	for next := x.after(at); x.slots[next] != 0; next = x.after(next) {
		home := x.home(uint32(x.slots[next] >> 32))
		if mask := len(x.slots) - 1; (next-home)&mask >= (next-at)&mask {
			x.slots[at], x.slots[next] = x.slots[next], 0
			at = next
		}
	}
}

func (x *index) home(hash uint32) int { return int(hash) & (len(x.slots) - 1) }
func (x *index) after(at int) int     { return (at + 1) & (len(x.slots) - 1) }

package memo

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// check walks all of a table and tells what does not fit together.
func check[V value](t *testing.T, x *table[V]) {
	t.Helper()
	n, shares, largest := 0, 0, 0
	var octets int64
	for s := uint32(1); s <= x.shares.n; s++ {
		h := x.shares.at(s)
		if h.held == 0 {
			continue
		}
		shares++
		largest = max(largest, int(h.held))
		if x.share(h.network) != s {
			t.Fatalf("share %d of network %x is not found", s, h.network)
		}
		held, before := uint32(0), uint32(0)
		for i := h.oldest; i != 0; i = x.entries.at(i).newer {
			e := x.entries.at(i)
			if e.share != s || e.older != before || x.place(e.key) != i || e.until == 0 {
				t.Fatalf("entry %d in share %d behind %d: %+v", i, s, before, e)
			}
			octets += e.octets()
			held++
			before = i
		}
		if held != h.held || before != h.newest {
			t.Fatalf("share %d holds %d up to %d: %+v", s, held, before, h)
		}
		if h.network != nobody && int(held) > x.part {
			t.Fatalf("share %d holds %d, its part is %d", s, held, x.part)
		}
		n += int(held)
	}
	ranked := 0
	for size, c := range x.bySize {
		before := uint32(0)
		for s := c.first; s != 0; s = x.shares.at(s).next {
			if h := x.shares.at(s); int(h.held) != size || h.prev != before {
				t.Fatalf("share %d among those of %d: %+v", s, size, h)
			}
			ranked++
			before = s
		}
		if before != c.last {
			t.Fatalf("the last of %d is %d, not %d", size, before, c.last)
		}
	}
	if n != x.len() || n > x.most || shares != x.networks.n || ranked != shares || largest > x.largest || octets != x.octets {
		t.Fatalf("%d entries in %d shares (%d ranked), %d octets; the table says %d of %d, %d, %d", n, shares, ranked, octets, x.len(), x.most, x.networks.n, x.octets)
	}
}

func TestATableKeepsItsLaws(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 9))
		most := 1 + rnd.IntN(200)
		x := newTable[blob](most)
		model := map[uint64]uint32{} // what was put, until when
		now := uint32(1000)
		for range 3000 {
			key := uint64(rnd.IntN(2 * most))
			switch rnd.IntN(10) {
			case 0:
				x.forget(key)
				delete(model, key)
			case 1:
				x.use(key)
			case 2:
				now += uint32(rnd.IntN(10))
				x.sweep(now)
			default:
				network := min(uint64(rnd.ExpFloat64()*5), 40)
				until := now + 1 + uint32(rnd.IntN(100))
				x.put(key, network, until, make(blob, rnd.IntN(300)))
				model[key] = until
				if e := x.find(key, now); e == nil || e.until != until || x.shares.at(e.share).network != network {
					t.Fatalf("seed %d: put %d of network %d until %d, found %+v", seed, key, network, until, e)
				}
			}
			if e := x.find(key, now); e != nil && (model[key] != e.until || e.until <= now) {
				t.Fatalf("seed %d: found %+v, put %d", seed, e, model[key])
			}
		}
		check(t, x)
	}
}

func TestAFloodFromOneNetworkPushesNobodyOut(t *testing.T) {
	m := open(t, newDisk(), Options{Limits: Limits{Greylist: 16_000, Rates: 16_000, CallForward: 16_000, Refusals: 16_000}})
	g, cache, refused := m.Greylist(), NewCache[answer](m, CallForward), NewRefusals[evidence](m)
	visit := func(i int, client netip.Addr) {
		key := fmt.Sprint(i, client)
		g.Seen(key, client, Terms{}, noon)
		m.Rates().Add(key, client, 1, time.Hour, noon)
		if cache.Put(key, client, answer{}, time.Hour, day, noon) != nil || refused.Add(refusal(key, 0, client, "r"), key) != nil {
			t.Fatal("not taken")
		}
	}
	others := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}) }
	for i := range 15_000 {
		visit(i, others(i%3000))
	}
	for i := range 20_000 {
		visit(i, someone)
	}
	for i := range 15_000 {
		key := fmt.Sprint(i, others(i%3000))
		_, cached := cache.Find(key, noon)
		if g.Look(key, Terms{}, noon).Visits != 2 || m.Rates().Count(key, time.Hour, noon) != 1 || !cached {
			t.Fatalf("visit %d of another network is forgotten", i)
		}
	}
	n := 0
	for range refused.Find(Query{}) {
		n++
	}
	if n != 16_000 {
		t.Errorf("%d refusals", n)
	}
	if v := g.Look(fmt.Sprint(19_999, someone), Terms{}, noon); v.Visits != 2 {
		t.Error("the flood does not even know its own latest")
	}
	for _, s := range m.Sizes() {
		if s.Entries > s.Most {
			t.Errorf("%+v", s)
		}
	}
	check(t, m.greylist)
	check(t, m.rates)
}

// When all is full, who holds much makes room for who holds little.
func TestWhenAllIsFullTheLargestGivesWay(t *testing.T) {
	x := newTable[blob](160) // a part is 10
	key := uint64(0)
	put := func(network uint64, n int) {
		for range n {
			key++
			x.put(key, network, 1, nil)
		}
	}
	held := func(network uint64) int {
		s := x.share(network)
		if s == 0 {
			return 0
		}
		return int(x.shares.at(s).held)
	}
	for network := range uint64(13) {
		put(100+network, 10) // 130
	}
	for network := range uint64(30) {
		put(200+network, 1) // 160: full
	}
	put(300, 10)
	if n := held(300); n < 3 || n > 5 {
		t.Errorf("a new network got %d, where the mean is 4", n)
	}
	for network := range uint64(30) {
		if held(200+network) != 1 {
			t.Errorf("network %d lost its only entry", 200+network)
		}
	}
	check(t, x)
	for network := range uint64(1000) { // a flood from everywhere
		put(1000+network, 1)
	}
	check(t, x)
	if n := held(1999); n != 1 {
		t.Error("the latest is not there")
	}
	if n := held(1000); n != 0 {
		t.Error("the oldest of equals is still there")
	}
}

// Of networks that hold one entry each, those that come back stay.
func TestAmongEqualsTheLongestUnusedGoes(t *testing.T) {
	x := newTable[blob](160)
	for k := range uint64(160) {
		x.put(k, 1000+k, 1, nil)
	}
	x.use(0)
	x.put(1, 1001, 1, nil)
	for k := range uint64(158) {
		x.put(1000+k, 5000+k, 1, nil)
	}
	for k := range uint64(160) {
		if got := x.place(k) != 0; got != (k < 2) {
			t.Errorf("entry %d: %v", k, got)
		}
	}
}

// Entries that have ended give their places to new ones, and the log forgets them.
func TestWhatHasEndedMakesRoom(t *testing.T) {
	d := newDisk()
	m := open(t, d, Options{})
	for i := range 50_000 {
		m.Greylist().Seen(fmt.Sprint(i), netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), Terms{Window: time.Hour}, noon.Add(time.Duration(i)*10*time.Second))
		if n := m.greylist.len(); n > 800 {
			t.Fatalf("%d entries, where 360 have not ended", n)
		}
	}
	if n := m.greylist.entries.n; n > 800 {
		t.Errorf("%d places", n)
	}
	check(t, m.greylist)
	if n := len(dump(m)); n > 361 {
		t.Errorf("%d records of entries that have not ended", n)
	}
}

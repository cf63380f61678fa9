package memo

import (
	"net/netip"
	"testing"
	"time"
)

var (
	someone   = netip.MustParseAddr("192.0.2.7")
	neighbour = netip.MustParseAddr("192.0.2.99")
	stranger  = netip.MustParseAddr("198.51.100.7")
)

func TestAGreylistedClientPassesWhenItComesAgainInTime(t *testing.T) {
	terms := Terms{Delay: 5 * time.Minute, Window: 4 * time.Hour, Memory: 10 * 24 * time.Hour}
	type step struct {
		at     time.Duration // since the first visit
		wait   time.Duration
		visits int
		came   bool
	}
	const hour, day = time.Hour, 24 * time.Hour
	first := step{0, 5 * time.Minute, 1, false}
	for _, c := range []struct {
		name  string
		terms Terms
		steps []step
	}{
		{"once", terms, []step{first}},
		{"too early", terms, []step{first, {time.Minute, 4 * time.Minute, 2, false}, {299 * time.Second, time.Second, 3, false}}},
		{"on the second", terms, []step{first, {5 * time.Minute, 0, 2, true}}},
		{"hammering does not push the time away", terms, []step{first, {time.Minute, 4 * time.Minute, 2, false}, {5 * time.Minute, 0, 3, true}}},
		{"at the end of the window", terms, []step{first, {4*hour - time.Second, 0, 2, true}}},
		{"after the window it is new", terms, []step{first, {4*hour + time.Second, 5 * time.Minute, 1, false}, {4*hour + 6*time.Minute, 0, 2, true}}},
		{"passed stays passed, and comes only once", terms, []step{first, {hour, 0, 2, true}, {2 * hour, 0, 3, false}, {5 * day, 0, 4, false}}},
		{"memory counts from the last visit", terms, []step{first, {hour, 0, 2, true}, {9 * day, 0, 3, false}, {18 * day, 0, 4, false}, {28*day + hour, 5 * time.Minute, 1, false}}},
		{"a clock set back begins anew", terms, []step{{hour, 5 * time.Minute, 1, false}, {0, 5 * time.Minute, 1, false}, {6 * time.Minute, 0, 2, true}}},
		{"default terms", Terms{}, []step{first, {4 * time.Minute, time.Minute, 2, false}, {23 * hour, 0, 3, true}, {36 * day, 0, 4, false}, {73 * day, 5 * time.Minute, 1, false}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := open(t, newDisk(), Options{})
			g := m.Greylist()
			for i, s := range c.steps {
				now := noon.Add(s.at)
				look := g.Look("key", c.terms, now)
				v := g.Seen("key", someone, c.terms, now)
				if v.Wait != s.wait || v.Visits != s.visits || v.Came != s.came {
					t.Errorf("visit %d at %v: %+v, want %+v", i+1, s.at, v, s)
				}
				if look != v {
					t.Errorf("visit %d at %v: Look said %+v, Seen %+v", i+1, s.at, look, v)
				}
			}
		})
	}
}

func TestAFractionOfASecondIsNotHeldAgainstAClient(t *testing.T) {
	g := open(t, newDisk(), Options{}).Greylist()
	if v := g.Seen("key", someone, Terms{}, noon.Add(900*time.Millisecond)); v.Wait != 5*time.Minute {
		t.Errorf("first: %+v", v)
	}
	if v := g.Seen("key", someone, Terms{}, noon.Add(5*time.Minute)); v.Wait != 0 {
		t.Errorf("again: %+v", v)
	}
}

func TestWhoComesAgainProvesItsNetwork(t *testing.T) {
	m := open(t, newDisk(), Options{})
	terms := Terms{Memory: 10 * 24 * time.Hour}
	m.Greylist().Seen("key", someone, terms, noon)
	if _, ok := m.Proven().Of(someone, noon); ok {
		t.Error("proven by the first visit")
	}
	again := noon.Add(time.Hour)
	m.Greylist().Seen("key", neighbour, terms, again)
	for _, c := range []struct {
		who  netip.Addr
		at   time.Time
		want bool
	}{
		{someone, again, true},
		{neighbour, again, true},
		{netip.MustParseAddr("::ffff:192.0.2.1"), again, true},
		{stranger, again, false},
		{netip.Addr{}, again, false},
		{someone, again.Add(10*24*time.Hour - time.Second), true},
		{someone, again.Add(10 * 24 * time.Hour), false},
	} {
		if p, ok := m.Proven().Of(c.who, c.at); ok != c.want || ok && p != (Proof{Last: again, Times: 1}) {
			t.Errorf("%v at %v: %+v %v", c.who, c.at, p, ok)
		}
	}
}

func TestProof(t *testing.T) {
	d := newDisk()
	m := open(t, d, Options{})
	p := m.Proven()
	six := netip.MustParseAddr("2001:db8:1:2::3")
	for i := range 3 {
		p.Add(six, time.Hour, noon.Add(time.Duration(i)*time.Minute))
	}
	p.Add(someone, time.Hour, noon)
	p.Add(someone, time.Minute, noon.Add(time.Second)) // a shorter memory does not take what there is
	p.Add(stranger, time.Hour, noon)
	p.Forget(stranger)
	p.Forget(netip.MustParseAddr("203.0.113.1"))
	p.Add(netip.Addr{}, time.Hour, noon)
	check := func(m *Memo) {
		t.Helper()
		p := m.Proven()
		if got, _ := p.Of(netip.MustParseAddr("2001:db8:1:ffff::1"), noon.Add(time.Hour)); got != (Proof{Last: noon.Add(2 * time.Minute), Times: 3}) {
			t.Errorf("another subnet of the /48: %+v", got)
		}
		if _, ok := p.Of(netip.MustParseAddr("2001:db8:2:2::3"), noon); ok {
			t.Error("another /48 is proven")
		}
		if _, ok := p.Of(someone, noon.Add(time.Hour-time.Second)); !ok {
			t.Error("no longer proven")
		}
		if _, ok := p.Of(stranger, noon); ok {
			t.Error("forgotten, and still proven")
		}
	}
	check(m)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	check(open(t, d, Options{}))
}

func TestNetwork(t *testing.T) {
	for _, c := range [][2]string{
		{"192.0.2.7", "192.0.2.0/24"},
		{"::ffff:192.0.2.7", "192.0.2.0/24"},
		{"2001:db8:1:2::3", "2001:db8:1::/48"},
		{"fe80::1%eth0", "fe80::/48"},
		{"::", "::/48"},
	} {
		if got := Network(netip.MustParseAddr(c[0])); got.String() != c[1] {
			t.Errorf("%s: %v, want %s", c[0], got, c[1])
		}
	}
	if Network(netip.Addr{}).IsValid() {
		t.Error("no address has a network")
	}
	// The share is the network without loss: different exactly where that is.
	addrs := []string{"0.0.0.0", "::", "192.0.2.7", "192.0.3.7", "1.192.0.2", "2001:db8:1::", "2001:db8:2::", "2001:db8:1:ffff::1", "0:0:c000:200::"}
	for _, a := range addrs {
		for _, b := range addrs {
			x, y := netip.MustParseAddr(a), netip.MustParseAddr(b)
			if (Network(x) == Network(y)) != (shareOf(x) == shareOf(y)) {
				t.Errorf("%s and %s: shares %x and %x", a, b, shareOf(x), shareOf(y))
			}
		}
	}
}

package memo

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestRates(t *testing.T) {
	type add struct {
		at      time.Duration // since a bucket began
		n, want int
	}
	for _, c := range []struct {
		name string
		adds []add
	}{
		{"first window counts exactly", []add{{0, 1, 1}, {time.Minute, 1, 2}, {59 * time.Minute, 5, 7}}},
		{"the older bucket fades", []add{{0, 100, 100}, {time.Hour, 0, 100}, {75 * time.Minute, 0, 75}, {90 * time.Minute, 1, 51}, {119 * time.Minute, 0, 2}}},
		{"two windows on nothing is left", []add{{0, 100, 100}, {2 * time.Hour, 1, 1}}},
		{"a clock set back counts on", []add{{time.Hour, 10, 10}, {0, 5, 15}}},
		{"a clock that was far ahead counts anew", []add{{72 * time.Hour, 10, 10}, {0, 5, 5}, {time.Hour, 1, 6}, {3 * time.Hour, 1, 1}}},
		{"negative counts are none", []add{{0, -5, 0}, {0, 1, 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := open(t, newDisk(), Options{}).Rates()
			for _, a := range c.adds {
				now := noon.Add(a.at)
				before := r.Count("key", time.Hour, now)
				if got := r.Add("key", someone, a.n, time.Hour, now); got != a.want {
					t.Errorf("at %v: %d, want %d", a.at, got, a.want)
				}
				if got := r.Count("key", time.Hour, now); got != a.want || before != got-max(a.n, 0) {
					t.Errorf("at %v: Count %d before and %d after", a.at, before, got)
				}
			}
			if n := r.Count("key", time.Minute, noon); n != 0 {
				t.Errorf("another window of the same key counts %d", n)
			}
		})
	}
}

// The promise of the documentation: wrong by no more than the older bucket held,
// and nearly right for what comes evenly; no more than twice a limit gets in.
func TestRatesAreAsWrongAsTheySay(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name string
		gap  func() time.Duration
		even bool
	}{
		{"evenly", func() time.Duration { return time.Minute }, true},
		{"at random", func() time.Duration { return time.Duration(rnd.ExpFloat64() * float64(time.Minute)) }, false},
		{"in bursts", func() time.Duration {
			if rnd.IntN(60) == 0 {
				return time.Hour
			}
			return time.Second
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := open(t, newDisk(), Options{}).Rates()
			var all, let []time.Time
			now := noon
			for range 5000 {
				now = now.Add(c.gap())
				got := r.Add("key", someone, 1, time.Hour, now)
				all = append(all, now)
				exact := within(all, now)
				bucket := now.Truncate(time.Hour)
				older := within(all, bucket.Add(-1)) // all that came in the bucket before
				if off := max(got-exact, exact-got); off > older || c.even && off > 2 {
					t.Fatalf("at %v: counted %d, there were %d, the older bucket held %d", now, got, exact, older)
				}
				if r.Count("limited", time.Hour, now) < 30 {
					r.Add("limited", someone, 1, time.Hour, now)
					let = append(let, now)
				}
				if n := within(let, now); n > 60 {
					t.Fatalf("at %v: %d within an hour passed a limit of 30", now, n)
				}
			}
		})
	}
}

// within counts what lies in the hour up to a moment.
func within(times []time.Time, until time.Time) (n int) {
	for _, t := range slices.Backward(times) {
		if t.Before(until.Add(-time.Hour)) {
			break
		}
		if !t.After(until) {
			n++
		}
	}
	return n
}

type answer struct {
	Known bool
	Words string
}

func TestCache(t *testing.T) {
	d := newDisk()
	m := open(t, d, Options{})
	put := func(about Subject, key string, v answer) {
		t.Helper()
		if err := NewCache[answer](m, about).Put(key, someone, v, time.Hour, 24*time.Hour, noon); err != nil {
			t.Fatal(err)
		}
	}
	yes, no := answer{true, "250 fine"}, answer{false, "550 5.1.1 unknown"}
	put(CallForward, "a@example.com", no)
	put(CallForward, "a@example.com", yes)
	put(CallForward, "b@example.com", no)
	put(Hosts, "a@example.com", no)
	put(CallForward, "c@example.com", no)
	NewCache[answer](m, CallForward).Forget("c@example.com")
	check := func(m *Memo) {
		t.Helper()
		for _, c := range []struct {
			about Subject
			key   string
			at    time.Duration
			want  answer
			known bool
			fresh bool
		}{
			{CallForward, "a@example.com", 0, yes, true, true},
			{CallForward, "a@example.com", time.Hour - time.Second, yes, true, true},
			{CallForward, "a@example.com", time.Hour, yes, true, false},
			{CallForward, "a@example.com", 25*time.Hour - time.Second, yes, true, false},
			{CallForward, "a@example.com", 25 * time.Hour, answer{}, false, false},
			{CallForward, "b@example.com", 0, no, true, true},
			{CallForward, "c@example.com", 0, answer{}, false, false},
			{Hosts, "a@example.com", 0, no, true, true},
			{Hosts, "b@example.com", 0, answer{}, false, false},
		} {
			now := noon.Add(c.at)
			got, ok := NewCache[answer](m, c.about).Find(c.key, now)
			if got.Value != c.want || ok != c.known || ok && (got.Fresh(now) != c.fresh || got.Age(now) != c.at) {
				t.Errorf("%d %s at %v: %+v %v", c.about, c.key, c.at, got, ok)
			}
		}
	}
	check(m)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	check(open(t, d, Options{}))

	if err := NewCache[string](m, Hosts).Put("k", someone, strings.Repeat("x", maxValue), time.Hour, 0, noon); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long: %v", err)
	}
	if err := NewCache[func()](m, Hosts).Put("k", someone, nil, time.Hour, 0, noon); err == nil {
		t.Error("a func was taken")
	}
}

type evidence struct{ Helo, Said string }

func refusal(ref string, after time.Duration, client netip.Addr, rule string) Refusal[evidence] {
	return Refusal[evidence]{Ref: ref, At: noon.Add(after), Client: client, Rule: rule, Detail: evidence{"mail.example.net", "450 " + ref}}
}

func TestRefusalsAreFound(t *testing.T) {
	d := newDisk()
	m := open(t, d, Options{})
	s := NewRefusals[evidence](m)
	all := []Refusal[evidence]{
		refusal("A", 0, someone, "greylist"),
		refusal("B", time.Minute, someone, "no-reverse-name"),
		refusal("C", 2*time.Minute, neighbour, "greylist"),
		refusal("D", 3*time.Minute, netip.MustParseAddr("2001:db8::1"), "greylist"),
		refusal("E", 3*time.Minute+1, netip.Addr{}, "size"),
	}
	for _, i := range []int{3, 1, 0, 4, 2} { // as sessions end, not in order
		if err := s.Add(all[i], "mail"); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	s = NewRefusals[evidence](open(t, d, Options{}))
	for _, c := range []struct {
		name string
		q    Query
		want string
	}{
		{"all, newest first", Query{}, "EDCBA"},
		{"by reference", Query{Ref: "B"}, "B"},
		{"no such reference", Query{Ref: "X"}, ""},
		{"reference and another rule", Query{Ref: "B", Rule: "greylist"}, ""},
		{"by client", Query{Client: netip.PrefixFrom(someone, 32)}, "BA"},
		{"by network", Query{Client: netip.MustParsePrefix("192.0.2.0/24")}, "CBA"},
		{"by rule", Query{Rule: "greylist"}, "DCA"},
		{"by time", Query{Since: noon.Add(time.Minute), Before: noon.Add(3 * time.Minute)}, "CB"},
		{"all together", Query{Client: netip.MustParsePrefix("192.0.2.0/24"), Rule: "greylist", Since: noon.Add(1)}, "C"},
	} {
		var got string
		for r := range s.Find(c.q) {
			got += r.Ref
			want := all[r.Ref[0]-'A']
			if diff := cmp.Diff(want, r, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Error(diff)
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for range s.Find(Query{}) {
		break // stopping early is allowed
	}
	if err := s.Add(Refusal[evidence]{Detail: evidence{Said: strings.Repeat("x", maxValue)}}, ""); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long: %v", err)
	}
}

func TestGroupsTellWhoComesAgainAsAProperServer(t *testing.T) {
	type visit struct {
		minute float64
		client netip.Addr
		mail   string
	}
	for _, c := range []struct {
		name   string
		visits []visit
		want   []Group[evidence] // Count, Mails, Again, Hasty
		proper bool              // the first of them
	}{
		{"once", []visit{{0, someone, "a"}}, []Group[evidence]{{Count: 1, Mails: 1}}, false},
		{"different mail is no return", []visit{{0, someone, "a"}, {10, someone, "b"}}, []Group[evidence]{{Count: 2, Mails: 2}}, false},
		{"with patience", []visit{{0, someone, "a"}, {5, someone, "a"}, {20, someone, "a"}}, []Group[evidence]{{Count: 3, Mails: 1, Again: 2}}, true},
		{"hammering", []visit{{0, someone, "a"}, {0.2, someone, "a"}, {0.4, someone, "a"}, {10, someone, "a"}}, []Group[evidence]{{Count: 4, Mails: 1, Again: 1, Hasty: 2}}, false},
		{"from a neighbour", []visit{{0, someone, "a"}, {10, neighbour, "a"}}, []Group[evidence]{{Count: 1, Mails: 1, Again: 1}, {Count: 1, Mails: 1}}, true},
		{"from a stranger", []visit{{0, someone, "a"}, {10, stranger, "a"}}, []Group[evidence]{{Count: 1, Mails: 1}, {Count: 1, Mails: 1}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := open(t, newDisk(), Options{})
			s := NewRefusals[evidence](m)
			for i, v := range c.visits {
				r := refusal(string(rune('A'+i)), time.Duration(v.minute*float64(time.Minute)), v.client, "greylist")
				if err := s.Add(r, v.mail); err != nil {
					t.Fatal(err)
				}
			}
			got := s.Groups(Query{})
			last := c.visits[len(c.visits)-1]
			if got[0].Proper() != c.proper || got[0].Client != last.client || got[0].Latest.Ref != string(rune('A'+len(c.visits)-1)) ||
				got[0].Last != got[0].Latest.At || got[0].Rule != "greylist" {
				t.Errorf("the latest group is %+v", got[0])
			}
			ignore := cmpopts.IgnoreFields(Group[evidence]{}, "Client", "Rule", "First", "Last", "Latest")
			if diff := cmp.Diff(c.want, got, ignore); diff != "" {
				t.Error(diff)
			}
		})
	}
}

package memo

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// dump is all that a memory would still hold after a restart, in words.
func dump(m *Memo) map[string]string {
	all := map[string]string{}
	_, _, err := readRecords(bytes.NewReader(bytes.Join(collect(m), nil)), m.file.sum, func(r record) {
		all[fmt.Sprintf("%d %x", r.kind, r.key)] = fmt.Sprintf("%x %d %q", r.network, r.until, r.value)
	})
	if err != nil {
		panic(err)
	}
	return all
}

func collect(m *Memo) (parts [][]byte) {
	for b := range m.snapshot() {
		parts = append(parts, bytes.Clone(b))
	}
	return parts
}

// fill brings n of each kind that is written behind.
func fill(t testing.TB, m *Memo, n int) {
	t.Helper()
	cache, refused := NewCache[answer](m, CallForward), NewRefusals[evidence](m)
	for i := range n {
		key, client := triplet(i, n)
		now := noon.Add(time.Duration(i) * time.Second)
		m.Greylist().Seen(key, client, Terms{}, now)
		m.Greylist().Seen(key, client, Terms{}, now.Add(time.Duration(i%2)*time.Hour))
		m.Proven().Add(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i)}), day, now)
		if err := cache.Put(key, client, answer{true, "250 fine"}, time.Hour, day, now); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			cache.Forget(key)
		}
		if err := refused.Add(refusal(fmt.Sprint("R", i), time.Duration(i)*time.Second, client, "greylist"), key); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAllSurvivesAStop(t *testing.T) {
	dir := t.TempDir()
	m, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, m, 200)
	if err := overridesOf(t, m).Add(override("a", 3)); err != nil {
		t.Fatal(err)
	}
	want, sizes := dump(m), m.Sizes()
	if len(want) < 800 {
		t.Fatalf("only %d entries to look at", len(want))
	}
	for range 2 {
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		m, err = Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, dump(m)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(sizes, m.Sizes()); diff != "" {
			t.Error(diff)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if err := overridesOf(t, m).Add(override("b", 3)); !errors.Is(err, ErrClosed) {
		t.Errorf("an order after Close: %v", err)
	}
	m.Greylist().Seen("key", someone, Terms{}, noon) // goes on in memory
	if v := m.Greylist().Look("key", Terms{}, noon); v.Visits != 2 {
		t.Errorf("memory stopped: %+v", v)
	}
	if len(m.pending) > 0 || m.armed {
		t.Error("what nobody will write waits to be written")
	}
}

func TestACrashLosesASecondAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		m := open(t, d, Options{})
		flushes := d.flushes
		for i := range 40 {
			m.Greylist().Seen(fmt.Sprint(i), someone, Terms{}, noon)
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			found := open(t, d.powerCut(), Options{})
			if got := found.Sizes()[0].Entries; got < i-10 || i == 39 && got < 30 {
				t.Errorf("after %d visits in %v: %d are on disk", i+1, time.Duration(i+1)*100*time.Millisecond, got)
			}
		}
		if n := d.flushes - flushes; n < 3 || n > 4 {
			t.Errorf("%d flushes in four seconds", n)
		}
		idle := d.flushes
		time.Sleep(time.Minute)
		if n := d.flushes - idle; n > 1 {
			t.Errorf("%d flushes while nothing happens", n)
		}
	})
}

// book is a log handler that keeps what it is told.
type book struct{ bytes.Buffer }

func (b *book) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func TestALogCutAnywhereHoldsWhatCameBefore(t *testing.T) {
	d := newDisk()
	m := open(t, d, Options{})
	o := overridesOf(t, m)
	ends := []int{len(d.content(logName))}
	for i := range 12 {
		if err := o.Add(override(fmt.Sprint(i), 3+i)); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, len(d.content(logName)))
	}
	whole := d.content(logName)
	rnd := rand.New(rand.NewPCG(1, 1))
	for cut := headSize; cut <= len(whole); cut++ {
		if cut > ends[2]+1 && rnd.IntN(12) > 0 {
			continue // every octet of two records, some of the others
		}
		d, b := newDisk(), &book{}
		d.put(logName, whole[:cut])
		m := open(t, d, Options{Log: b.logger()})
		want, sound := 0, false
		for n, end := range ends {
			if end <= cut {
				want, sound = n, end == cut
			}
		}
		o := overridesOf(t, m)
		if got := len(o.List(noon)); got != want {
			t.Fatalf("cut at %d: %d overrides, want %d", cut, got, want)
		}
		if told := strings.Contains(b.String(), fmt.Sprintf("octets=%d at=%d", cut-ends[want], ends[want])); told == sound || sound && b.Len() > 0 {
			t.Fatalf("cut at %d: the log says %q", cut, b)
		}
		if err := o.Add(override("new", 1)); err != nil {
			t.Fatal(err)
		}
		if got := len(overridesOf(t, open(t, d.powerCut(), Options{})).List(noon)); got != want+1 {
			t.Fatalf("cut at %d: %d overrides after one more, want %d", cut, got, want+1)
		}
	}
}

func TestADamagedOctetCostsOneRecord(t *testing.T) {
	d := newDisk()
	m := open(t, d, Options{})
	fill(t, m, 8)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	whole := d.content(logName)
	all := records(t, whole)
	rnd := rand.New(rand.NewPCG(3, 4))
	for at := headSize; at < len(whole); at += 1 + rnd.IntN(12) {
		hurt := bytes.Clone(whole)
		hurt[at] ^= byte(1 + rnd.IntN(255))
		d, b := newDisk(), &book{}
		d.put(logName, hurt)
		m := open(t, d, Options{Log: b.logger()})
		if got := records(t, hurt); got != all-1 {
			t.Fatalf("octet %d: %d of %d records", at, got, all)
		}
		if !strings.Contains(b.String(), "damaged records were dropped") {
			t.Fatalf("octet %d: not told", at)
		}
		want := dump(m)
		m.flush()
		again := &book{}
		got := dump(open(t, d.powerCut(), Options{Log: again.logger()}))
		if !maps.Equal(want, got) || again.Len() > 0 {
			t.Fatalf("octet %d: opened again: %s%s", at, again, cmp.Diff(want, got))
		}
	}
}

// records counts the sound records of a log.
func records(t *testing.T, log []byte) (n int) {
	t.Helper()
	in := bytes.NewReader(log)
	salt, err := readHead(in)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := readRecords(in, checksum(0, salt[:]), func(record) { n++ }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWordsOfAStrangerNeverPassForRecords(t *testing.T) {
	d := newDisk()
	m := open(t, d, Options{})
	forged := appendRecord(nil, checksum(0), kindProven, shareOf(stranger), nobody, 1<<32-1, provenEntry{1, 1})
	s := NewRefusals[[]byte](m)
	if err := s.Add(Refusal[[]byte]{Ref: string(forged), At: noon, Client: stranger, Rule: string(forged)}, "mail"); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	log := d.content(logName)
	if n := bytes.Count(log, forged); n != 2 {
		t.Fatalf("the forged record stands in the log %d times", n)
	}
	log[headSize+20] ^= 1
	d.put(logName, log)
	if _, ok := open(t, d, Options{}).Proven().Of(stranger, noon); ok {
		t.Error("a stranger proved itself by its words")
	}
}

func TestHeads(t *testing.T) {
	salt := [saltSize]byte{1, 2, 3}
	newer := head(salt)
	newer[len(magic)] = version + 1
	newer = append(newer[:headSize-4], 0, 0, 0, 0)
	sum := checksum(0, newer[:headSize-4])
	for i := range 4 {
		newer[headSize-4+i] = byte(sum >> (8 * i))
	}
	hurt := head(salt)
	hurt[20] ^= 1
	for _, c := range []struct {
		name string
		log  []byte
		err  string // of Open; "": it begins anew and keeps the file
	}{
		{"empty", nil, ""},
		{"short", head(salt)[:10], ""},
		{"damaged", hurt, ""},
		{"another file", []byte(strings.Repeat("mail ", 20)), ""},
		{"newer", newer, "memo: open memory: memo.log: its form is number 2, of a newer version of postrider; this one reads 1"},
	} {
		d, b := newDisk(), &book{}
		d.put(logName, c.log)
		m, err := Open("memory", Options{Log: b.logger(), disk: d})
		if c.err != "" {
			if err == nil || err.Error() != c.err {
				t.Errorf("%s: %v", c.name, err)
			}
			if !bytes.Equal(d.content(logName), c.log) {
				t.Errorf("%s: the file was changed", c.name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !bytes.Equal(d.content(badName), c.log) || !strings.Contains(b.String(), "level=ERROR") {
			t.Errorf("%s: kept %q, told %q", c.name, d.content(badName), b)
		}
		if err := overridesOf(t, m).Add(override("a", 1)); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestKindsOfANewerVersionAreKept(t *testing.T) {
	d := newDisk()
	m := open(t, d, Options{})
	until := seconds(noon.Add(day))
	m.file.mu.Lock()
	var b []byte
	for _, k := range []kind{0, 99, 200} { // the same key in each
		b = appendRecord(b, m.file.sum, k, 7, 1, until, blob("of tomorrow"))
	}
	b = appendRecord(b, m.file.sum, kindGreylist, 7, 1, until, blob("abc"))             // too short to be one
	b = appendRecord(b, m.file.sum, kindGreylist, 8, 1, until, blob("longer than now")) // what a newer one added is not seen
	b = appendRecord(b, m.file.sum, 99, 8, 1, until, blob("ends"))
	b = appendRecord(b, m.file.sum, 99, 8, 1, 0, blob(""))
	if err := m.file.append(b); err != nil {
		t.Fatal(err)
	}
	m.file.mu.Unlock()
	said := &book{}
	d = d.powerCut()
	m = open(t, d, Options{Log: said.logger()})
	for _, want := range []string{
		"are kept\" file=memo.log records=3",
		"were dropped\" file=memo.log kind=1 records=1",
	} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("not told: %s, but %s", want, said)
		}
	}
	want := dump(m)
	m.file.mu.Lock()
	if err := m.rewrite(); err != nil {
		t.Fatal(err)
	}
	m.file.mu.Unlock()
	got := dump(open(t, d.powerCut(), Options{}))
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 4 {
		t.Errorf("%d records: %s", len(got), diff)
	}
}

func TestTheLogIsWrittenAnewBeforeItGrowsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // nothing is written but by what stands here
		d := newDisk()
		m := open(t, d, Options{})
		m.maxGarbage = 100_000
		fill(t, m, 100)
		if err := overridesOf(t, m).Add(override("a", 300)); err != nil {
			t.Fatal(err)
		}
		longest, shorter := 0, 0
		for i := range 20_000 {
			key, client := triplet(i%100, 100)
			m.Greylist().Seen(key, client, Terms{}, noon.Add(time.Hour+time.Duration(i)*time.Second))
			if i%500 == 0 {
				before := len(d.content(logName))
				m.flush()
				after := len(d.content(logName))
				if longest = max(longest, after); after < before {
					shorter++
				}
			}
		}
		if longest > 250_000 || shorter < 2 {
			t.Errorf("the log grew to %d octets and was written anew %d times", longest, shorter)
		}
		m.flush()
		if diff := cmp.Diff(dump(m), dump(open(t, d.powerCut(), Options{}))); diff != "" {
			t.Error(diff)
		}
	})
}

// What happens while the log is written anew is in the new one, and at any moment
// a power cut finds all that was there a second before.
func TestNothingIsLostWhileTheLogIsWrittenAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // nothing is written but by what stands here
		d := newDisk()
		m := open(t, d, Options{})
		fill(t, m, 2000)
		m.flush()
		before := dump(m)
		n := 0
		d.set(func() {
			d.onSync = func() {
				n++
				m.Greylist().Seen(fmt.Sprint("meanwhile", n), someone, Terms{}, noon)
				m.Proven().Forget(netip.AddrFrom4([4]byte{10, 0, byte(n)}))
				if got := len(dump(open(t, d.powerCut(), Options{}))); got < len(before)-n {
					t.Errorf("at flush %d a power cut leaves %d of %d entries", n, got, len(before))
				}
			}
		})
		m.file.mu.Lock()
		err := m.rewrite()
		m.file.mu.Unlock()
		if err != nil || n != 3 {
			t.Fatalf("%d flushes: %v", n, err)
		}
		d.set(func() { d.onSync = nil })
		m.flush()
		if diff := cmp.Diff(dump(m), dump(open(t, d.powerCut(), Options{}))); diff != "" {
			t.Error(diff)
		}
		if v := m.Greylist().Look("meanwhile1", Terms{}, noon); v.Visits != 2 {
			t.Error("nothing happened meanwhile")
		}
	})
}

func TestWhenTheDiskFailsMemoryGoesOn(t *testing.T) {
	for _, c := range []struct {
		name  string
		fail  func(*memDisk)
		mend  func(*memDisk)
		fault error
	}{
		{"full", func(d *memDisk) { d.room = len(d.names[logName].now) + 50 }, func(d *memDisk) { d.room = 0 }, syscall.ENOSPC},
		{"failing flushes", func(d *memDisk) { d.noSync = true }, func(d *memDisk) { d.noSync = false }, syscall.EIO},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, b := newDisk(), &book{}
				m := open(t, d, Options{Log: b.logger()})
				o := overridesOf(t, m)
				if err := o.Add(override("before", 3)); err != nil {
					t.Fatal(err)
				}
				d.set(func() { c.fail(d) })
				for i := range 300 {
					m.Greylist().Seen(fmt.Sprint(i), someone, Terms{}, noon)
					time.Sleep(time.Second)
				}
				if err := o.Add(override("during", 3)); !errors.Is(err, c.fault) {
					t.Errorf("an order while the disk fails: %v", err)
				}
				if err := o.End("before", noon.Add(time.Hour)); !errors.Is(err, c.fault) {
					t.Errorf("an order while the disk fails: %v", err)
				}
				if got := ids(o.Active(noon.Add(2 * day))); got != "before" {
					t.Errorf("in force: %q", got)
				}
				if v := m.Greylist().Look("0", Terms{}, noon); v.Visits != 2 {
					t.Errorf("memory stopped: %+v", v)
				}
				if n := strings.Count(b.String(), "level=ERROR"); n != 1 {
					t.Errorf("told %d times: %s", n, b)
				}
				d.set(func() { c.mend(d) })
				time.Sleep(slowest + time.Second)
				synctest.Wait()
				if !strings.Contains(b.String(), "writes again") {
					t.Errorf("not told that it writes again: %s", b)
				}
				found := open(t, d.powerCut(), Options{})
				if diff := cmp.Diff(dump(m), dump(found)); diff != "" {
					t.Error(diff)
				}
				if got := ids(overridesOf(t, found).List(noon)); got != "before" {
					t.Errorf("found: %q", got)
				}
			})
		})
	}
}

// A disk that fails for long while much happens: what waits is bounded, and all is
// there when it is mended.
func TestWhatWaitsForAFailingDiskIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // nothing is written but by what stands here
		d := newDisk()
		m := open(t, d, Options{Limits: Limits{Proven: 1000}})
		m.maxPending = 100_000
		d.set(func() { d.room = 1000 })
		for i := range 10_000 {
			m.Proven().Add(netip.AddrFrom4([4]byte{byte(i >> 8), byte(i), 1}), day, noon.Add(time.Duration(i)*time.Second))
			if i%500 == 0 {
				m.flush()
			}
			m.file.mu.Lock()
			m.mu.Lock()
			if n := len(m.pending) + len(m.file.unwritten); n > 2*m.maxPending+maxRecord {
				t.Errorf("%d octets wait", n)
			}
			m.mu.Unlock()
			m.file.mu.Unlock()
		}
		m.mu.Lock()
		lost := m.overflown
		m.mu.Unlock()
		if !lost {
			t.Fatal("this test fills too little")
		}
		d.set(func() { d.room = 0 })
		m.flush()
		m.Greylist().Seen("after", someone, Terms{}, noon)
		m.flush()
		if diff := cmp.Diff(dump(m), dump(open(t, d.powerCut(), Options{}))); diff != "" {
			t.Error(diff)
		}
	})
}

// Everything at once, for the race detector; nobody waits for the disk for ever.
func TestAllViewsMayBeUsedAtOnce(t *testing.T) {
	d := newDisk()
	m := open(t, d, Options{})
	m.maxGarbage = 10_000
	o := overridesOf(t, m)
	cache, refused := NewCache[answer](m, CallForward), NewRefusals[evidence](m)
	var all sync.WaitGroup
	for who := range byte(4) {
		all.Go(func() {
			client := netip.AddrFrom4([4]byte{192, 0, 2 + who%2, who})
			for i := range 200 {
				key := fmt.Sprint(who, i%50)
				now := noon.Add(time.Duration(i) * time.Minute)
				m.Greylist().Seen(key, client, Terms{}, now)
				m.Rates().Add(key, client, 1, time.Hour, now)
				m.Proven().Of(client, now)
				if cache.Put(key, client, answer{}, time.Hour, day, now) != nil || refused.Add(refusal(key, 0, client, "r"), key) != nil {
					t.Error("not taken")
				}
				cache.Find(key, now)
				switch i % 20 {
				case 0:
					if err := o.Add(override(fmt.Sprint(who, i), 3)); err != nil {
						t.Error(err)
					}
					m.flush()
				case 10:
					if err := o.Warn(fmt.Sprint(who, i-10), now); err != nil {
						t.Error(err)
					}
					refused.Groups(Query{})
					m.Sizes()
				}
				o.Active(now)
			}
		})
	}
	all.Wait()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(dump(m), dump(open(t, d.powerCut(), Options{}))); diff != "" {
		t.Error(diff)
	}
}

// Random histories with faults, kills and power cuts: an order that was confirmed
// holds; one that was not is nowhere, unless the power went before the log could be
// mended: what a failed flush left on the disk nobody knows.
func TestConfirmedOrdersOutliveEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // nothing is written but by what stands here
		for seed := range uint64(150) {
			rnd := rand.New(rand.NewPCG(seed, 5))
			d := newDisk()
			m := open(t, d, Options{})
			o := overridesOf(t, m)
			confirmed, doubtful := map[string]bool{}, map[string]bool{}
			for i := range 60 {
				id := fmt.Sprint(i)
				switch rnd.IntN(12) {
				case 0:
					d.set(func() { d.room = 1 + rnd.IntN(3000) })
				case 1:
					d.set(func() { d.noSync = true })
				case 2, 3:
					d.set(func() { d.room, d.noSync = 0, false })
				case 4:
					m.flush()
				case 5:
					m.file.mu.Lock()
					m.rewrite() // may fail
					m.file.mu.Unlock()
				case 6:
					if rnd.IntN(2) == 0 {
						d = d.powerCut()
					} else {
						d = d.kill()
						clear(doubtful)
					}
					m = open(t, d, Options{})
					o = overridesOf(t, m)
					for _, v := range o.List(noon) {
						if !confirmed[v.ID] && !doubtful[v.ID] {
							t.Fatalf("seed %d: override %s came from nowhere", seed, v.ID)
						}
						delete(confirmed, v.ID)
					}
					if len(confirmed) > 0 {
						t.Fatalf("seed %d: lost %v", seed, confirmed)
					}
					for _, v := range o.List(noon) {
						confirmed[v.ID] = true
					}
					clear(doubtful)
				case 7:
					m.Greylist().Seen(id, someone, Terms{}, noon)
				default:
					if o.Add(override(id, 3)) == nil {
						confirmed[id] = true
					} else {
						doubtful[id] = true
					}
				}
				if got := len(o.List(noon)); got != len(confirmed) {
					t.Fatalf("seed %d: %d in force, %d confirmed", seed, got, len(confirmed))
				}
			}
		}
	})
}

package local

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/spooltest"
	"github.com/postrider/postrider/mail"
)

// deferred is the step after an attempt that brought nothing.
func deferred(d custody.Delivery) spool.Step {
	at := d.Next.Add(time.Second)
	o := custody.Outcome{
		At: at, Host: "mx." + d.Domain, IP: "192.0.2.9", Stage: mail.Rcpt, Theirs: true,
		Reply: mail.Reply{Code: 451, Status: mail.Status{4, 3, 0}, Text: "Come again"}, Trouble: custody.Deferred,
	}
	e := custody.Tried{At: at, Attempt: custody.Attempt{Began: d.Next, Took: time.Second, Way: "mx " + d.Domain, Outcomes: []custody.Outcome{o}}}
	d, _ = custody.Step(d, custody.Schedule{Retry: []custody.Pace{{Gap: time.Hour}}, Expire: 100 * time.Hour}, e)
	return spool.Step{Delivery: d, Wake: d.Next, Entries: []custody.Entry{{At: at, Delivery: d.ID, Event: e, Next: d.Next}}}
}

// fill gives a store a history: messages that wait, were deferred, and have left.
func fill(t testing.TB, s *Store, from, to int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(from), 1))
	m, ds := spooltest.Message(from, "first.example")
	d, err := s.Begin(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(ctx, m, ds); err != nil {
		t.Fatal(err)
	}
	var waits []custody.Delivery
	st := spool.Step{Delivery: ds[0], Wake: ds[0].Next}
	for n := from + 1; n < to; n++ {
		lm, lds := spooltest.Message(n, fmt.Sprintf("d%d.example", n%97), "two.example")
		st.Letters = append(st.Letters, spool.Letter{Message: lm, Deliveries: lds, Body: spooltest.Bytes(50+rng.IntN(300), uint64(n))})
		waits = append(waits, lds...)
		if len(st.Letters) == 200 || n == to-1 {
			if err := settleOne(s, st); err != nil {
				t.Fatal(err)
			}
			st.Letters = nil
		}
	}
	var steps []spool.Step
	for _, d := range waits {
		switch rng.IntN(3) {
		case 0:
			steps = append(steps, benchStep(d, true))
		case 1:
			steps = append(steps, deferred(d))
		}
	}
	if errs := s.Settle(ctx, steps); errs != nil {
		t.Fatal(errs)
	}
}

// TestVersionsThatSomebodyReadsAreLeftOut: a table that is written while a reader holds
// older versions keeps them, with their values in a block of their own.
func TestVersionsThatSomebodyReadsAreLeftOut(t *testing.T) {
	mem := vfs.NewMem()
	s := openMem(t, mem, Options{})
	var steps []spool.Step
	for n := range 20 {
		steps = append(steps, deferred(mustCommit(t, s, n, 100)))
	}
	reader := s.db.NewSnapshot()
	if errs := s.Settle(ctx, steps); errs != nil {
		t.Fatal(errs)
	}
	if err := errors.Join(s.db.Flush(), reader.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, mem); len(r.Faults) > 0 || r.Deliveries != 20 {
		t.Errorf("%d deliveries, %+v", r.Deliveries, r.Faults)
	}
}

// TestIndexIsReadAsPebbleReadsIt: the reader that goes around damage sees the same
// keys where there is none, wherever they are in the life of the index.
func TestIndexIsReadAsPebbleReadsIt(t *testing.T) {
	alone(t)
	mem := vfs.NewCrashableMem()
	s := openMem(t, mem, Options{})
	same := func(state string) {
		t.Helper()
		if err := s.db.LogData(nil, pebble.Sync); err != nil {
			t.Fatal(err)
		}
		disk := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
		r, err := openIndexReader(disk, "/spool/index", anywhere)
		if err != nil {
			t.Fatal(state, err)
		}
		defer r.close()
		all := 0
		for kind := range 128 {
			it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{byte(kind)}, UpperBound: []byte{byte(kind) + 1}})
			if err != nil {
				t.Fatal(err)
			}
			n, k := 0, r.keysOf(byte(kind))
			for ok := it.First(); ok; ok = it.Next() {
				if !k.next() || !bytes.Equal(k.key, it.Key()) || !bytes.Equal(k.value, it.Value()) {
					t.Fatalf("%s: key %d of kind %d: got %x, want %x", state, n, kind, k.key, it.Key())
				}
				n++
			}
			if k.next() {
				t.Fatalf("%s: more than %d keys of kind %d", state, n, kind)
			}
			all += n
			_ = it.Close()
		}
		if len(r.gaps) > 0 || all < 1000 {
			t.Errorf("%s: %d keys, gaps %+v", state, all, r.gaps)
		}
	}
	fill(t, s, 0, 500)
	same("only in its log")
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	same("flushed")
	fill(t, s, 500, 1000)
	same("table and log")
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.Prune(ctx, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	same("pruned")
	if err := s.db.Compact(ctx, []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
	same("compacted")
	fill(t, s, 1000, 4000)
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 4000, 4500)
	same("several levels")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openMem(t, mem, Options{})
	same("opened again")
	_ = s.Close()
}

// damages are ways in which a disk changes a file.
var damages = []struct {
	name string
	do   func(b []byte, rng *rand.Rand) []byte
}{
	{"a bit", func(b []byte, rng *rand.Rand) []byte { b[rng.IntN(len(b))] ^= 1 << rng.IntN(8); return b }},
	{"some bits", func(b []byte, rng *rand.Rand) []byte {
		for range 1 + rng.IntN(6) {
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		}
		return b
	}},
	{"zeros", func(b []byte, rng *rand.Rand) []byte {
		at := rng.IntN(len(b))
		clear(b[at:min(len(b), at+1+rng.IntN(9000))])
		return b
	}},
	{"garbage", func(b []byte, rng *rand.Rand) []byte {
		at := rng.IntN(len(b))
		copy(b[at:], spooltest.Bytes(1+rng.IntN(9000), uint64(at)))
		return b
	}},
	{"a shorter file", func(b []byte, rng *rand.Rand) []byte { return b[:rng.IntN(len(b))] }},
}

// alone skips what takes minutes with the race detector, and in which nothing runs
// beside anything: damage is searched through octet by octet.
func alone(t *testing.T) {
	if raced {
		t.Skip("run without the race detector")
	}
}

// times returns how many damages are tried; DAMAGES in the environment says another
// number.
func times(t testing.TB, few uint64) uint64 {
	if v := os.Getenv("DAMAGES"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return few
}

// disk is the files of a store.
type disk map[string][]byte

// takeDisk copies the files below a directory.
func takeDisk(t testing.TB, fs vfs.FS, dirs ...string) disk {
	t.Helper()
	d := disk{}
	for _, dir := range dirs {
		names, err := fs.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			path := dir + "/" + name
			f, err := fs.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			st, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if !st.IsDir() {
				b := make([]byte, st.Size())
				if n, err := f.ReadAt(b, 0); n < len(b) {
					t.Fatal(err)
				}
				d[path] = b
			}
			_ = f.Close()
		}
	}
	return d
}

// put makes a file system of it, with one file changed.
func (d disk) put(t testing.TB, path string, b []byte) *vfs.MemFS {
	t.Helper()
	mem := vfs.NewCrashableMem()
	for _, dir := range []string{"/spool", "/spool/index", "/spool/seg", "/spool/big"} {
		if err := mem.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for p, old := range d {
		if p == path {
			old = b
		}
		f, err := mem.Create(p, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(old); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"/", "/spool", "/spool/index", "/spool/seg", "/spool/big"} {
		f, err := mem.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return mem
}

// files returns the paths with a part, in order.
func (d disk) files(part string) (paths []string) {
	for p := range d {
		if strings.Contains(p, part) && len(d[p]) > 0 {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	return paths
}

// TestIndexIsReadAroundDamage: whatever the disk changes in a table, each key that
// is not read as it was stood in what is named as unreadable.
func TestIndexIsReadAroundDamage(t *testing.T) {
	alone(t)
	mem := vfs.NewCrashableMem()
	s := openMem(t, mem, Options{})
	fill(t, s, 0, 1500)
	if err := s.db.Compact(ctx, []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 1500, 2500)
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	d := takeDisk(t, mem, "/spool/index")
	want := map[string]string{}
	read := func(fs vfs.FS, each func(k, v []byte)) *indexReader {
		r, err := openIndexReader(fs, "/spool/index", anywhere)
		if err != nil {
			t.Fatal(err)
		}
		for kind := range 128 {
			for k := r.keysOf(byte(kind)); k.next(); {
				each(k.key, k.value)
			}
		}
		r.close()
		return r
	}
	read(d.put(t, "", nil), func(k, v []byte) { want[string(k)] = string(v) })
	tables := d.files(".sst")
	lost := 0
	for seed := range times(t, 10) {
		rng := rand.New(rand.NewPCG(seed, 7))
		path := tables[rng.IntN(len(tables))]
		how := damages[rng.IntN(len(damages))]
		b := how.do(bytes.Clone(d[path]), rng)
		if bytes.Equal(b, d[path]) {
			continue
		}
		left := maps.Clone(want)
		var wrong []string
		r := read(d.put(t, path, b), func(k, v []byte) {
			if old, ok := left[string(k)]; !ok || old != string(v) {
				wrong = append(wrong, string(k))
			}
			delete(left, string(k))
		})
		for k := range left {
			wrong = append(wrong, k)
		}
		lost += len(wrong)
		for _, k := range wrong {
			if !r.lost([]byte(k)) {
				t.Fatalf("seed %d, %s in %s: key %x is not as it was and not in %+v", seed, how.name, path, k, r.gaps)
			}
		}
		if len(wrong) > 0 && len(r.gaps) == 0 {
			t.Errorf("seed %d: nothing is said", seed)
		}
		if how.name == "a bit" && len(wrong) > len(want)/20 {
			t.Errorf("seed %d: one bit in %s costs %d keys of %d", seed, path, len(wrong), len(want))
		}
	}
	if lost == 0 {
		t.Error("nothing was damaged")
	}
}

func custodyID(n int) custody.ID {
	m, _ := spooltest.Message(n, "a.example")
	return m.ID
}

func anywhere(pos) bool { return true }

package local

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/spooltest"
)

func verify(t testing.TB, fs vfs.FS) Report {
	t.Helper()
	r, err := Verify(ctx, "/spool", SurveyOptions{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSoundStoreIsFoundSound: in whatever state a store is left, what the power cut
// undid included, nothing of it is called damaged, and what waits is counted.
func TestSoundStoreIsFoundSound(t *testing.T) {
	alone(t)
	mem := vfs.NewCrashableMem()
	s := openMem(t, mem, Options{InlineMax: 4096, SegmentSize: 256 << 10, carryAge: -1})
	check := func(state string, disk vfs.FS) {
		t.Helper()
		r := verify(t, disk)
		if len(r.Faults) > 0 {
			t.Errorf("%s: %+v", state, r.Faults)
		}
		s := openMem(t, disk, Options{InlineMax: 4096, SegmentSize: 256 << 10})
		defer s.Close()
		h := s.Health(ctx)
		if left := count(t, s, spool.Query{Departed: true}) - int(h.Waiting); r.Deliveries != h.Waiting || r.Large != s.bigs.count || r.Departed != int64(left) {
			t.Errorf("%s: %+v, want %+v and %d large bodies, %d departed", state, r, h, s.bigs.count, left)
		}
	}
	cut := func(state string) {
		t.Helper()
		for share := range 2 {
			check(state, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: share * 60, RNG: rand.New(rand.NewPCG(uint64(share), 1))}))
		}
	}
	cut("empty")
	var ds []custody.Delivery
	for n := range 60 {
		size := 200
		if n%10 == 0 {
			size = 9000
		}
		ds = append(ds, mustCommit(t, s, 10_000+n, size))
	}
	cut("committed")
	for n, d := range ds {
		if n%3 > 0 {
			if err := settleOne(s, benchStep(d, n%3 == 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	cut("settled")
	fill(t, s, 0, 600)
	cut("letters")
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	cut("flushed")
	fill(t, s, 600, 1500)
	m, mds := spooltest.Message(20_000, "a.example")
	d, err := s.Begin(ctx, 9000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write(spooltest.Bytes(9000, 1)); err != nil {
		t.Fatal(err)
	}
	cut("a draft open")
	if err := d.Commit(ctx, m, mds); err != nil {
		t.Fatal(err)
	}
	if err := s.Prune(ctx, spooltest.Base.AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	cut("pruned")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check("closed", mem)
}

// told is what a survey says of a message that waits.
type told struct {
	item  []custody.Delivery
	m     custody.Message
	body  uint32
	flaws int
}

func survey1(t testing.TB, fs vfs.FS) map[custody.ID]told {
	t.Helper()
	v, err := openSurvey(ctx, "/spool", fs, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	all := map[custody.ID]told{}
	err = v.each(0, func(h *holding, _ *parts) error {
		if len(h.waits) == 0 {
			return nil
		}
		x := told{m: h.m, flaws: len(h.flaws)}
		for _, p := range h.waits {
			x.item = append(x.item, p.d)
		}
		sum := uint32(0)
		if err := v.bodies.read(h.body, func(b []byte) error { sum = addSum(sum, b); return nil }); err != nil || !h.hasBody {
			x.flaws++
		}
		x.body = sum
		all[h.id] = x
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// damagedStore is a store with something of everything in it, closed, or as a power
// cut leaves it: then the index is behind the log.
func damagedStore(t testing.TB, o Options, cut bool) disk {
	t.Helper()
	mem := vfs.NewCrashableMem()
	o.InlineMax, o.SegmentSize = 4096, 128<<10
	s := openMem(t, mem, o)
	fill(t, s, 0, 300)
	if err := s.db.Compact(ctx, []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
	for n := range 12 {
		d := mustCommit(t, s, 10_000+n, 9000)
		if n%4 == 3 {
			if err := settleOne(s, benchStep(d, true)); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(t, s, 300, 500)
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 500, 600)
	after := mem.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !cut {
		after = mem
	}
	return takeDisk(t, after, "/spool", "/spool/index", "/spool/seg", "/spool/big")
}

// damageable returns the files of a kind that are damaged in turn. After a power cut
// damage of the very last write cannot be told from a write that was not finished.
func (d disk) damageable(kind string, cut bool) []string {
	files := d.files(kind)
	if cut && kind == "/seg/" {
		files = files[:len(files)-1]
	}
	return files
}

// TestDamageIsNamed: whatever the disk changes in a file of a store, each message
// that is not whole any more is named, and all others are told as they were.
// TestASegmentThatWasJustBegunIsNoDamage: a crash can leave one without its beginning,
// and the log goes on behind it before it is removed.
func TestASegmentThatWasJustBegunIsNoDamage(t *testing.T) {
	for _, begun := range []string{"", "half a heading"} {
		mem := vfs.NewCrashableMem()
		s := openMem(t, mem, Options{})
		mustCommit(t, s, 1, 100)
		last := s.applied.seg
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		torn := "/spool/seg/" + segName(last+1)
		f, err := mem.Create(torn, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		f.Write([]byte(begun))
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
		s = openMem(t, mem, Options{})
		mustCommit(t, s, 2, 100)
		if err := s.db.Flush(); err != nil { // the index has seen the segment behind it
			t.Fatal(err)
		}
		disk := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := disk.Stat(torn); err != nil {
			t.Fatalf("the torn segment is not there: %v", err)
		}
		if r := verify(t, disk); len(r.Faults) > 0 {
			t.Errorf("%q: %+v", begun, r.Faults)
		}
	}
}

func TestDamageIsNamed(t *testing.T) {
	alone(t)
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprintf("cut %v", cut), func(t *testing.T) { damageIsNamed(t, damagedStore(t, Options{}, cut), cut) })
	}
}

func damageIsNamed(t *testing.T, d disk, cut bool) {
	want := survey1(t, d.put(t, "", nil))
	if len(want) < 300 {
		t.Fatalf("%d messages wait", len(want))
	}
	for _, kind := range []string{"/seg/", "/big/", ".sst", ".log", "MANIFEST", "owner"} {
		files := d.damageable(kind, cut)
		found, harmed := 0, 0
		for seed := range times(t, 2) {
			if len(files) == 0 {
				break
			}
			rng := rand.New(rand.NewPCG(seed, 3))
			path := files[(len(files)-1+max(0, rng.IntN(2*len(files))-len(files)))%len(files)] // the last one is what counts of the index's log
			how := damages[rng.IntN(len(damages))]
			b := how.do(bytes.Clone(d[path]), rng)
			if bytes.Equal(b, d[path]) {
				continue
			}
			disk := d.put(t, path, b)
			got := survey1(t, disk)
			r := verify(t, disk)
			if len(r.Faults) > 0 {
				found++
			}
			named := map[custody.ID]bool{}
			inFile := false
			for _, f := range r.Faults {
				inFile = inFile || strings.HasSuffix(path, "/"+f.File)
				for _, c := range f.Concerned {
					named[c.ID] = true
				}
			}
			for id, w := range want {
				g, ok := got[id]
				if ok && reflect.DeepEqual(g, w) {
					continue
				}
				harmed++
				if ok && !named[id] || !ok && len(r.Faults) == 0 {
					t.Errorf("%s seed %d, %s in %s: %s is not as it was (there: %v), and not named in %+v", kind, seed, how.name, path, id, ok, r.Faults)
				}
			}
			for id := range got {
				if _, ok := want[id]; !ok && !named[id] {
					t.Errorf("%s seed %d: %s waits again", kind, seed, id)
				}
			}
			if len(r.Faults) > 0 && !inFile {
				t.Errorf("%s seed %d, %s: %s is not named: %+v", kind, seed, how.name, path, r.Faults)
			}
		}
		t.Logf("%s: found %d, messages harmed %d", kind, found, harmed)
	}
}

// TestIndexIsComparedWithItself: what does not agree is found although every checksum
// is right, the message is named, and an index made anew agrees again.
func TestIndexIsComparedWithItself(t *testing.T) {
	m, ds := spooltest.Message(7, "a.example", "b.example")
	id := ds[0].ID
	item, queue := appendDelivery(nil, keyWaiting, id), appendQueue(nil, "a.example", nanos(ds[0].Next), id)
	for name, c := range map[string]struct {
		spoil func(b *pebble.Batch) error
		says  string
		names bool // the message
	}{
		"no wake":        {func(b *pebble.Batch) error { return b.Delete(queue, nil) }, "wake is missing", true},
		"another wake":   {func(b *pebble.Batch) error { return b.Set(appendQueue(nil, "c.example", 5, id), nil, nil) }, "wake leads to nothing", false},
		"no message":     {func(b *pebble.Batch) error { return b.Delete(appendID(nil, keyMessage, m.ID), nil) }, "does not agree", true},
		"no delivery":    {func(b *pebble.Batch) error { return b.Delete(item, nil) }, "does not agree", true},
		"no place":       {func(b *pebble.Batch) error { return b.Delete(appendID(nil, keyWhere, m.ID), nil) }, "does not agree", true},
		"a bad delivery": {func(b *pebble.Batch) error { return b.Set(item, []byte("bad"), nil) }, "does not agree", true},
		"waits and left": {func(b *pebble.Batch) error {
			return b.Set(appendDelivery(nil, keyLeft, id), appendWaiting(nil, 9, "", spool.AppendDelivery(nil, ds[0])), nil)
		}, "does not agree", true},
		"no recipient": {func(b *pebble.Batch) error {
			return b.Delete(append(appendTerm(nil, keyTo, "a.example", "rcpt2"), m.ID[:]...), nil)
		}, "recipient is missing", true},
		"another sender": {func(b *pebble.Batch) error {
			return b.Set(append(appendTerm(nil, keyFrom, "x.example", "y"), m.ID[:]...), nil, nil)
		}, "sender leads to nothing", false},
		"a wrong count": {func(b *pebble.Batch) error { return b.Set([]byte{keySegment, 0, 0, 0, 1}, []byte{8, 8}, nil) }, "it counts", false},
		"an entry alone": {func(b *pebble.Batch) error {
			return b.Set(append(appendID(nil, keyEntry, custodyID(99)), entryKey(pos{1, 1}, 0)...), []byte("x"), nil)
		}, "old entries", false},
		"a wrong large one": {func(b *pebble.Batch) error {
			return b.Set(append([]byte{keyBig}, 0, 0, 0, 0, 0, 0, 0, 9), m.ID[:], nil)
		}, "large body leads to nothing", false},
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			s := openMem(t, mem, Options{})
			mustCommit(t, s, 1, 100)
			d, err := s.Begin(ctx, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Commit(ctx, m, ds); err != nil {
				t.Fatal(err)
			}
			b := s.db.NewBatch()
			if err := errors.Join(c.spoil(b), b.Commit(pebble.Sync), b.Close(), s.Close()); err != nil {
				t.Fatal(err)
			}
			r := verify(t, mem)
			said, named := "", false
			for _, f := range append(r.Faults, r.Remarks...) {
				said += f.What + "\n"
				for _, x := range f.Concerned {
					named = named || x.ID == m.ID && x.From == m.Envelope.From.String() && x.Subject == m.Subject
				}
			}
			if !strings.Contains(said, c.says) || c.names && !named {
				t.Errorf("it says %q, named: %v", said, named)
			}
			f, err := mem.Create("/spool/"+markName, vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
			s = openMem(t, mem, Options{})
			want := 3
			if name == "waits and left" {
				want = 2
			}
			if n := count(t, s, spool.Query{}); n != want {
				t.Errorf("%d deliveries wait", n)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if r := verify(t, mem); len(r.Faults) > 0 {
				t.Errorf("made anew: %+v", r.Faults)
			}
		})
	}
}

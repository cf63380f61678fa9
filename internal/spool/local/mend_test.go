package local

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/spooltest"
	"github.com/postrider/postrider/mail"
)

// everything is what an open store says of what waits, by message. Bodies that are
// damaged are left out; any other error ends it.
func everything(s *Store) (map[custody.ID]told, error) {
	all := map[custody.ID]told{}
	for row, err := range s.Find(ctx, spool.Query{}) {
		if err != nil {
			return nil, err
		}
		x := all[row.Message.ID]
		x.m = row.Message
		x.item = append(x.item, row.Delivery)
		all[row.Message.ID] = x
	}
	for id, x := range all {
		if _, err := s.History(ctx, id); err != nil {
			return nil, err
		}
		b, err := s.Body(ctx, id)
		if errors.Is(err, spool.ErrCorrupt) {
			x.flaws++
			all[id] = x
			continue
		}
		if err != nil {
			return nil, err
		}
		got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		_ = b.Close()
		if x.body = sum(got); err != nil {
			if !errors.Is(err, spool.ErrCorrupt) {
				return nil, err
			}
			x.body = 0
			x.flaws++
		}
		all[id] = x
	}
	for row, err := range s.Find(ctx, spool.Query{Departed: true}) {
		if err != nil {
			return nil, err
		}
		_ = row
	}
	return all, nil
}

// TestStoreFlowsOnAfterDamage: whatever the disk changes in a file of a store, it is
// opened, at once or after it has met the damage; each message that was harmed is
// named, all others are as they were, and new mail comes and goes.
func TestStoreFlowsOnAfterDamage(t *testing.T) {
	alone(t)
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprintf("cut %v", cut), func(t *testing.T) { flowsOn(t, damagedStore(t, Options{}, cut), cut) })
	}
}

func flowsOn(t *testing.T, d disk, cut bool) {
	o := Options{InlineMax: 4096, SegmentSize: 128 << 10}
	want := survey1(t, d.put(t, "", nil))
	for _, kind := range []string{"/seg/", "/big/", ".sst", ".log", "MANIFEST-", "OPTIONS", "owner"} {
		files := d.damageable(kind, cut)
		mends, harmed := 0, 0
		for seed := range times(t, 2) {
			if len(files) == 0 {
				break
			}
			rng := rand.New(rand.NewPCG(seed, 5))
			path := files[(len(files)-1+max(0, rng.IntN(2*len(files))-len(files)))%len(files)]
			how := damages[rng.IntN(len(damages))]
			disk := d.put(t, path, how.do(bytes.Clone(d[path]), rng))
			var log bytes.Buffer
			o.Log = slog.New(slog.NewTextHandler(&log, nil))
			var got map[custody.ID]told
			for try := 0; got == nil; try++ {
				s := openMem(t, disk, o)
				all, err := everything(s)
				if err == nil {
					got = all
				} else if !errors.Is(err, spool.ErrBroken) && try > 0 || try > 2 {
					t.Fatalf("%s seed %d, %s in %s: %v\n%s", kind, seed, how.name, path, err, &log)
				}
				if err == nil {
					flows(t, s)
				}
				if s.Close() != nil { // the goroutines of the index stand where they are
					disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
				}
			}
			if strings.Contains(log.String(), "made anew") {
				mends++
			}
			for id, w := range want {
				g, ok := got[id]
				if ok && reflect.DeepEqual(g, w) {
					continue
				}
				harmed++
				if named := strings.Contains(log.String(), id.String()); ok && !named || !ok && !strings.Contains(log.String(), "lost") && !strings.Contains(log.String(), "cannot be read") {
					t.Errorf("%s seed %d, %s in %s: %s is not as it was (there: %v), and not named in\n%.3000s", kind, seed, how.name, path, id, ok, &log)
				}
			}
			for id := range got {
				if _, ok := want[id]; !ok && !strings.Contains(log.String(), id.String()) {
					t.Errorf("%s seed %d: %s waits again", kind, seed, id)
				}
			}
			if kind != "/seg/" && kind != "/big/" {
				for _, f := range verify(t, disk).Faults {
					if !strings.HasSuffix(path, f.File) || len(f.Concerned) > 0 { // else nobody has read it yet
						t.Errorf("%s seed %d, %s in %s: afterwards %+v", kind, seed, how.name, path, f)
					}
				}
			}
		}
		t.Logf("%s: made anew %d times, messages harmed %d", kind, mends, harmed)
	}
}

// picture takes a picture of the disk at a write, as a power cut would leave it.
type picture struct {
	fs   *vfs.MemFS
	at   int
	part string // of the path of what is written
	n    int
	rng  *rand.Rand
	was  *vfs.MemFS
	mu   sync.Mutex
}

func (p *picture) String() string { return "picture" }

func (p *picture) MaybeError(op errorfs.Op) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose || !strings.Contains(op.Path, p.part) {
		return nil
	}
	if p.n++; p.n == p.at {
		p.was = p.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: p.rng.IntN(101), RNG: p.rng})
	}
	return nil
}

// TestPowerCutsWhileTheIndexIsMadeAnew: wherever it is cut, the next start comes to
// the same end.
func TestPowerCutsWhileTheIndexIsMadeAnew(t *testing.T) {
	alone(t)
	o := Options{InlineMax: 4096, SegmentSize: 128 << 10, Log: quiet()}
	d := damagedStore(t, o, false)
	path := d.files(".sst")[0]
	b := bytes.Clone(d[path])
	b[len(b)/2] ^= 1
	d[path] = b
	d["/spool/mend"] = []byte("x")
	clean := d.put(t, "", nil)
	s := openMem(t, clean, o)
	want, err := everything(s)
	if err != nil || len(want) < 300 {
		t.Fatal(len(want), err)
	}
	_ = s.Close()
	cuts := 0
	for at := 1; ; at += 1 + at/4 {
		disk := d.put(t, "", nil)
		p := &picture{fs: disk, at: at, rng: rand.New(rand.NewPCG(uint64(at), 1))}
		o.FS = errorfs.Wrap(disk, p)
		s, err := Open("/spool", o)
		if err != nil {
			t.Fatal(at, err)
		}
		_ = s.Close()
		if p.was == nil {
			break
		}
		cuts++
		s = openMem(t, p.was, Options{InlineMax: 4096, SegmentSize: 128 << 10})
		got, err := everything(s)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("cut at write %d: %d messages, want %d: %v", at, len(got), len(want), err)
		}
		if _, err := p.was.Stat("/spool/index.damaged"); err != nil {
			t.Errorf("cut at write %d: %v", at, err)
		}
		_ = s.Close()
	}
	if cuts < 12 {
		t.Errorf("%d cuts", cuts)
	}
}

// TestWhatIsNoDamageIsNotMended: an index that cannot be read for want of a
// permission or of descriptors, on a disk that fails, or that a newer program wrote is
// left as it is.
func TestWhatIsNoDamageIsNotMended(t *testing.T) {
	alone(t)
	o := Options{InlineMax: 4096, SegmentSize: 128 << 10, Log: quiet()}
	d := damagedStore(t, o, false)
	for name, err := range map[string]error{"permission": syscall.EACCES, "descriptors": syscall.EMFILE, "disk": syscall.EIO} {
		for _, part := range []string{".sst", "MANIFEST-", ".log"} {
			disk := d.put(t, "", nil)
			f := &failing{part: part, err: err, kind: []errorfs.OpKind{errorfs.OpOpen}}
			if name == "disk" {
				f.kind = []errorfs.OpKind{errorfs.OpFileRead, errorfs.OpFileReadAt}
			}
			f.on.Store(true)
			o.FS = errorfs.Wrap(disk, f)
			s, err := Open("/spool", o)
			if err == nil { // it was not needed yet
				_ = s.Close()
			}
			if _, err := disk.Stat("/spool/index.damaged"); err == nil {
				t.Errorf("%s of %s: the index was put aside", name, part)
			}
		}
	}
	disk := d.put(t, "", nil)
	f, err := disk.Create("/spool/index/marker.format-version.000099.999", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	o.FS = disk
	if _, err := Open("/spool", o); err == nil {
		t.Error("an index of a newer program was opened")
	}
	if _, err := disk.Stat("/spool/index.damaged"); err == nil {
		t.Error("an index of a newer program was put aside")
	}
}

// A backup without its index, say: segments in which mail had left are removed, older ones
// with mail that waits are not. What may have left is held, and nothing else.
func TestWhatMayHaveLeftIsHeldWhenTheIndexIsGone(t *testing.T) {
	for _, removed := range []bool{true, false} {
		mem := vfs.NewMem()
		o := Options{SegmentSize: 16 << 10}
		s := openMem(t, mem, o)
		left := mustCommit(t, s, 1, 3000)
		for n := range 3 {
			mustCommit(t, s, 10+n, 3000)
		}
		if removed { // the segment in which it leaves is emptied before the next is full
			steps := []spool.Step{benchStep(left, true), benchStep(mustCommit(t, s, 100, 15_000), true)}
			if err := errors.Join(s.Settle(ctx, steps)...); err != nil {
				t.Fatal(err)
			}
		} else if err := settleOne(s, benchStep(left, true)); err != nil {
			t.Fatal(err)
		}
		last := mustCommit(t, s, 101, 15_000)
		if removed {
			awaitRemoval(t, s, mem, 2)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := mem.RemoveAll("/spool/index"); err != nil {
			t.Fatal(err)
		}
		s = openMem(t, mem, o)
		held := map[custody.ID]bool{}
		for row, err := range s.Find(ctx, spool.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			held[row.Delivery.ID.Message] = !row.Delivery.Held.IsZero()
		}
		want := map[custody.ID]bool{last.ID.Message: false}
		for n := range 3 {
			m, _ := spooltest.Message(10+n, "a.example")
			want[m.ID] = removed
		}
		if removed {
			want[left.ID.Message] = true
		}
		if !reflect.DeepEqual(held, want) {
			t.Errorf("removed %v: held %v, want %v", removed, held, want)
		}
		flows(t, s)
		_ = s.Close()
		s = openMem(t, mem, o)
		if n := count(t, s, spool.Query{State: "held"}); removed != (n == 4) {
			t.Errorf("removed %v: %d are held after another start", removed, n)
		}
		_ = s.Close()
	}
}

// The index's own log is damaged, and Pebble takes that for its end: what had left in a
// segment that is removed since waits as far as the index knows, and is held.
func TestWhatMayHaveLeftIsHeldWhenTheIndexIsOld(t *testing.T) {
	for name, known := range map[string]bool{"it had accepted it": true, "it knows nothing": false} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			o := Options{SegmentSize: 16 << 10}
			s := openMem(t, mem, o)
			before := mustCommit(t, s, 1, 100)
			if err := settleOne(s, benchStep(before, true)); err != nil {
				t.Fatal(err)
			}
			waits, left := mustCommit(t, s, 2, 10_000), mustCommit(t, s, 3, 3000)
			gone := mustCommit(t, s, 100, 15_000)
			if err := errors.Join(s.Settle(ctx, []spool.Step{benchStep(left, true), benchStep(gone, true)})...); err != nil {
				t.Fatal(err)
			}
			last := mustCommit(t, s, 101, 15_000)
			awaitRemoval(t, s, mem, 2)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			names, err := mem.List("/spool/index")
			if err != nil {
				t.Fatal(err)
			}
			key := appendDelivery(nil, keyLeft, left.ID)
			if !known {
				key = appendID(nil, keyMessage, left.ID.Message)
			}
			hit := false
			for _, n := range names {
				if strings.HasSuffix(n, ".log") {
					rewrite(t, mem, "/spool/index/"+n, func(b []byte) []byte {
						if at := bytes.Index(b, key); at >= 0 {
							b[at], hit = b[at]^0x55, true
						}
						return b
					})
				}
			}
			if !hit {
				t.Fatal("the index's log does not have it")
			}
			if faults := fmt.Sprint(verify(t, mem).Faults); !strings.Contains(faults, olderIndex) {
				t.Errorf("faults %s", faults)
			}
			var log bytes.Buffer
			o.Log = slog.New(slog.NewTextHandler(&log, nil))
			want := map[custody.ID]bool{left.ID.Message: true, waits.ID.Message: true, last.ID.Message: false}
			if known {
				want[gone.ID.Message] = true
			}
			for range 2 {
				s = openMem(t, mem, o)
				held := map[custody.ID]bool{}
				for row, err := range s.Find(ctx, spool.Query{}) {
					if err != nil {
						t.Fatal(err)
					}
					held[row.Delivery.ID.Message] = !row.Delivery.Held.IsZero()
				}
				if !reflect.DeepEqual(held, want) {
					t.Errorf("held %v, want %v\n%s", held, want, &log)
				}
				if h, err := s.History(ctx, before.ID.Message); err != nil || len(h.Deliveries) != 1 || h.Deliveries[0].Left.IsZero() {
					t.Errorf("what had left before is not in the history: %+v, %v", h, err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if n := strings.Count(log.String(), "made anew, the old one"); n != 1 {
				t.Errorf("made anew %d times:\n%s", n, &log)
			}
		})
	}
}

// TestAFirstStartThatIsCutOffIsNoDamage: wherever the power is cut while the index is made,
// the next start and check --data find nothing to say.
func TestAFirstStartThatIsCutOffIsNoDamage(t *testing.T) {
	for at := 1; ; at++ {
		disk := vfs.NewCrashableMem()
		p := &picture{fs: disk, at: at, rng: rand.New(rand.NewPCG(uint64(at), 1)), part: "/index"}
		if err := openMem(t, errorfs.Wrap(disk, p), Options{}).Close(); err != nil {
			t.Fatal(err)
		}
		if p.was == nil {
			if at < 10 {
				t.Errorf("%d writes", at)
			}
			return
		}
		if _, err := p.was.Stat("/spool/seg"); err == nil {
			if r := verify(t, p.was); len(r.Faults) > 0 {
				t.Errorf("cut at write %d: %+v", at, r.Faults)
			}
		}
		var log bytes.Buffer
		s := openMem(t, p.was, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		flows(t, s)
		if err := s.Close(); err != nil || log.Len() > 0 {
			t.Errorf("cut at write %d: %v\n%s", at, err, &log)
		}
	}
}

// awaitRemoval waits until the janitor has removed a segment.
func awaitRemoval(t *testing.T, s *Store, fs vfs.FS, num uint32) {
	t.Helper()
	for range 200 {
		if _, err := fs.Stat("/spool/seg/" + segName(num)); err != nil {
			return
		}
		s.tidy()
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the janitor did otherwise than this test needs")
}

// Neither the index nor the log says any more whose a body is: its message was accepted
// in a segment that is removed. It stays for a person, at this start and at later ones.
func TestABodyThatNobodyKnowsAnyMoreIsKeptWhenTheIndexIsGone(t *testing.T) {
	for name, size := range map[string]int{"large": 50_000, "carried forward": 1000} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			o := Options{SegmentSize: 16 << 10, InlineMax: 15_500, carryAge: -1}
			s := openMem(t, mem, o)
			m := mustCommit(t, s, 1, size).ID.Message
			if err := settleOne(s, benchStep(mustCommit(t, s, 2, 14_000), true)); err != nil {
				t.Fatal(err)
			}
			mustCommit(t, s, 3, 15_000)
			awaitRemoval(t, s, mem, 1)
			w, err := s.whereIs(m)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(s.Close(), mem.RemoveAll("/spool/index")); err != nil {
				t.Fatal(err)
			}
			file := fileOf(w.place)
			kept := file + keptSuffix
			if strings.HasPrefix(file, "big/") && !strings.Contains(fmt.Sprint(verify(t, mem).Remarks), "as "+kept[len("big/"):]) {
				t.Errorf("remarks before: %+v", verify(t, mem).Remarks)
			}
			var log bytes.Buffer
			o.Log = slog.New(slog.NewTextHandler(&log, nil))
			for range 3 {
				if err := openMem(t, mem, o).Close(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := mem.Stat("/spool/" + kept); err != nil || strings.Count(log.String(), kept) != 1 {
				t.Errorf("%v, and the log says\n%s", err, &log)
			}
			if !strings.Contains(fmt.Sprint(verify(t, mem).Remarks), kept) {
				t.Errorf("remarks: %+v", verify(t, mem).Remarks)
			}
		})
	}
}

// flows takes messages through a store, and reads what the log says of them.
func flows(t *testing.T, s *Store) {
	t.Helper()
	var steps []spool.Step
	for _, size := range []int{100, 9000} {
		d, err := tryCommit(s, 90_000+size, size)
		if err == nil {
			steps = append(steps, deferred(d), benchStep(d, true))
		}
		if err != nil {
			t.Errorf("a new message of %d: %v", size, err)
		}
	}
	if err := errors.Join(s.Settle(ctx, steps)...); err != nil {
		t.Error(err)
	}
	seg, err := openSegment(s.fs, s.path("seg", segName(s.log.end.seg)), s.log.end.seg)
	if err != nil {
		t.Error(err)
		return
	}
	defer seg.close()
	for off := uint32(headSize); off < s.log.end.off; {
		payload, next, err := seg.frame(off)
		if err == nil {
			_, err = readRecords(payload, off)
		}
		if err != nil {
			t.Errorf("segment %08x offset %d: %v", seg.num, off, err)
			return
		}
		off = next
	}
}

// putBack keeps a copy of the index; restore closes the store and puts the copy back.
func putBack(t *testing.T, mem *vfs.MemFS, s *Store) (restore func()) {
	t.Helper()
	if err := s.db.Checkpoint("/kept", pebble.WithFlushedWAL()); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := errors.Join(s.Close(), mem.RemoveAll("/spool/index"), mem.Rename("/kept", "/spool/index")); err != nil {
			t.Fatal(err)
		}
	}
}

// An order parted a delivery in a segment that is removed since: what the log says of the
// rest counts, and the recipient who was taken out of it is held.
func TestWhoWasPartedWaitsOnWhenTheIndexIsOld(t *testing.T) {
	mem := vfs.NewMem()
	o := Options{SegmentSize: 16 << 10}
	s := openMem(t, mem, o)
	if err := settleOne(s, benchStep(mustCommit(t, s, 1, 100), true)); err != nil { // it comes first in the index
		t.Fatal(err)
	}
	m, ds := spooltest.Message(2, "a.example")
	to := []mail.Recipient{ds[0].Rcpts[0].Recipient, {Address: mail.Address{Local: "other", Domain: "a.example"}}}
	d := custody.NewDelivery(m, 1, "a.example", to)
	draft, err := s.Begin(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = draft.Write(spooltest.Bytes(10_000, 2))
	if err := draft.Commit(ctx, m, []custody.Delivery{d}); err != nil {
		t.Fatal(err)
	}
	restore := putBack(t, mem, s)
	gone := mustCommit(t, s, 100, 15_000)
	d, other := custody.Split(d, []int{1}, 2)
	order := spool.Step{Delivery: d, Wake: d.Next, Split: []spool.Split{{Item: spool.Item{Delivery: other, Wake: other.Next}}}}
	if err := errors.Join(s.Settle(ctx, []spool.Step{order, benchStep(gone, true)})...); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, 101, 15_000)
	if err := settleOne(s, deferred(d)); err != nil {
		t.Fatal(err)
	}
	awaitRemoval(t, s, mem, 2)
	restore()
	s = openMem(t, mem, o)
	defer s.Close()
	held := map[string]bool{}
	h, err := s.History(ctx, m.ID)
	for _, row := range h.Deliveries {
		for _, r := range row.Delivery.Own() {
			held[strings.ToLower(r.Address.String())] = !row.Delivery.Held.IsZero()
		}
	}
	if want := map[string]bool{"rcpt2@a.example": false, "other@a.example": true}; err != nil || !reflect.DeepEqual(held, want) {
		t.Errorf("held %v, want %v, %v", held, want, err)
	}
}

// The index knows where a body was before it was carried forward twice, and the log knows
// the second time.
func TestABodyThatWasCarriedTwiceIsFoundWhenTheIndexIsOld(t *testing.T) {
	mem := vfs.NewMem()
	o := Options{SegmentSize: 16 << 10, carryAge: -1}
	s := openMem(t, mem, o)
	m := mustCommit(t, s, 1, 1000).ID.Message
	if err := settleOne(s, benchStep(mustCommit(t, s, 2, 14_000), true)); err != nil {
		t.Fatal(err)
	}
	restore := putBack(t, mem, s)
	n := 10
	for range 2 {
		w, err := s.whereIs(m)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := settleOne(s, benchStep(mustCommit(t, s, n, 14_000), true)); err != nil {
				t.Fatal(err)
			}
			n++
		}
		awaitRemoval(t, s, mem, w.seg)
	}
	restore()
	for range 2 {
		s = openMem(t, mem, o)
		b, err := s.Body(ctx, m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		if err != nil || !bytes.Equal(got, spooltest.Bytes(1000, 1)) {
			t.Errorf("the body: %d octets, %v", len(got), err)
		}
		if err := errors.Join(b.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

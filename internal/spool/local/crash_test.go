package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/spooltest"
	"github.com/postrider/postrider/mail"
)

// seeds is how many crashes a test run makes: CRASHES=5000 go test ...
func seeds(least int) int {
	if n, err := strconv.Atoi(os.Getenv("CRASHES")); err == nil {
		return n
	}
	if testing.Short() || raced {
		return least / 5
	}
	return least
}

// TestNothingIsLostInACrash cuts the power at a random write of the log, of the
// index or of a directory, keeps a random share of what was not flushed, and
// compares what is there after the next start with what was acknowledged.
func TestNothingIsLostInACrash(t *testing.T) {
	var ops int64
	for seed := range seeds(250) {
		n, err := crash(uint64(seed), faults{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		ops += n
	}
	t.Logf("%d crashes in %d writes", seeds(250), ops)
}

// TestCrashTestFindsPlantedBugs keeps the test above honest.
func TestCrashTestFindsPlantedBugs(t *testing.T) {
	for name, f := range map[string]faults{
		"no segment sync": {noSegmentSync: true},
		"no dir sync":     {noDirSync: true},
		"no big sync":     {noBigSync: true},
		"early unlink":    {earlyUnlink: true},
		"early applied":   {earlyApplied: true},
		"blind replay":    {blindReplay: true},
	} {
		t.Run(name, func(t *testing.T) {
			const most = 400
			for seed := range most {
				if _, err := crash(uint64(seed), f); err != nil {
					t.Logf("found with seed %d: %v", seed, err)
					return
				}
			}
			t.Errorf("not found in %d crashes", most)
		})
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// crash runs a history of its own, cuts the power in the middle and checks.
func crash(seed uint64, f faults) (int64, error) {
	rng := rand.New(rand.NewPCG(seed, 1))
	fs := vfs.NewCrashableMem()
	h := &ledger{is: make(map[custody.DeliveryID]claim)}
	c := &cut{at: 1 + rng.Int64N(1<<(3+rng.Int64N(9))), fs: fs, percent: rng.IntN(101), seed: seed, ledger: h}
	o := Options{
		FS: errorfs.Wrap(fs, c), SegmentSize: 24 << 10, InlineMax: 6 << 10, MinFree: -1, Log: quiet(), planted: f, carryAge: -1, largeBody: 2 << 10,
	}
	s, err := Open("/spool", o)
	if err != nil {
		return 0, err
	}
	var group sync.WaitGroup
	for k := range 3 {
		group.Go(func() { h.work(s, rand.New(rand.NewPCG(seed, uint64(10+k))), k, c) })
	}
	group.Wait()
	c.now() // if it has not happened yet
	if err := s.Close(); err != nil {
		return 0, err
	}
	disk := c.clone
	o.planted = faults{blindReplay: f.blindReplay}
	if rng.IntN(3) == 0 { // and once more while it starts
		again := &cut{at: 1 + rng.Int64N(40), fs: disk, percent: rng.IntN(101), seed: seed + 1, ledger: h}
		o.FS = errorfs.Wrap(disk, again)
		s, err := Open("/spool", o)
		if err != nil {
			return c.n, fmt.Errorf("second open: %w", err)
		}
		again.now()
		if err := s.Close(); err != nil {
			return c.n, err
		}
		disk = again.clone
	}
	o.FS = disk
	if s, err = Open("/spool", o); err != nil {
		return c.n, fmt.Errorf("open after the crash: %w", err)
	}
	err = errors.Join(c.seen.check(s), s.Close())
	return c.n, err
}

// cut takes a picture of the disk at a write, and of what was promised then.
type cut struct {
	mu      sync.Mutex
	n, at   int64
	fs      *vfs.MemFS
	percent int
	seed    uint64
	ledger  *ledger
	clone   *vfs.MemFS
	seen    *ledger
}

func (c *cut) String() string { return "cut" }

func (c *cut) MaybeError(op errorfs.Op) error {
	switch {
	case op.Kind.ReadOrWrite() != errorfs.OpIsWrite, op.Kind == errorfs.OpFileClose, op.Kind == errorfs.OpFilePreallocate:
		return nil
	}
	c.mu.Lock()
	c.n++
	hit := c.n == c.at
	c.mu.Unlock()
	if hit {
		c.now()
	}
	return nil
}

func (c *cut) now() {
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clone != nil {
		return
	}
	c.seen = &ledger{is: maps.Clone(c.ledger.is)}
	c.clone = c.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.percent, RNG: rand.New(rand.NewPCG(c.seed, 3))})
}

func (c *cut) happened() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clone != nil
}

// ledger remembers what the store has promised.
type ledger struct {
	mu sync.Mutex
	is map[custody.DeliveryID]claim
}

// claim is what a delivery must be: as acknowledged, or as it is about to be. A
// version is its number of tries; none: it is not there.
type claim struct {
	acked, pending int
	ackedEnd, end  bool // closed then
	child          bool // made by a step
	parent         custody.DeliveryID
	since          int // the version of the parent that made it
}

const none = -1

func (l *ledger) set(f func(is map[custody.DeliveryID]claim)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l.is)
}

func crashBody(m custody.Message) []byte { return spooltest.Bytes(int(m.Size), uint64(m.Size)) }

func (l *ledger) work(s *Store, rng *rand.Rand, worker int, c *cut) {
	var mine []custody.Delivery
	for i := 0; i < 30 && !c.happened(); i++ {
		n := worker*10_000 + i*10
		if len(mine) == 0 || rng.IntN(2) == 0 {
			if ds := l.commit(s, rng, n); ds != nil {
				mine = append(mine, ds...)
			}
			continue
		}
		k := rng.IntN(len(mine))
		d, end, more := l.settle(s, rng, mine[k], n)
		if mine[k] = d; end {
			mine = append(mine[:k], mine[k+1:]...)
		}
		mine = append(mine, more...)
	}
}

func (l *ledger) commit(s *Store, rng *rand.Rand, n int) []custody.Delivery {
	m, ds := spooltest.Message(n, []string{"a.example", "b.example"}[:1+rng.IntN(2)]...)
	m.Size = int64(rng.IntN(9000))
	d, err := s.Begin(context.Background(), m.Size)
	if err != nil {
		return nil
	}
	_, _ = d.Write(crashBody(m))
	if rng.IntN(8) == 0 {
		d.Abort()
		return nil
	}
	l.set(func(is map[custody.DeliveryID]claim) {
		for _, d := range ds {
			is[d.ID] = claim{acked: none}
		}
	})
	if d.Commit(context.Background(), m, ds) != nil {
		return nil
	}
	l.set(func(is map[custody.DeliveryID]claim) {
		for _, d := range ds {
			is[d.ID] = claim{}
		}
	})
	return ds
}

// settle steps a delivery, with letters and splits now and then.
func (l *ledger) settle(s *Store, rng *rand.Rand, d custody.Delivery, n int) (custody.Delivery, bool, []custody.Delivery) {
	d.Tries++
	st := spool.Step{Delivery: d, Wake: spooltest.Base.Add(time.Duration(rng.IntN(9)) * time.Hour), Closed: rng.IntN(2) == 0}
	st.Entries = []custody.Entry{{At: spooltest.Base, Delivery: d.ID, Event: custody.Due{At: spooltest.Base}}}
	var more []custody.Delivery
	if rng.IntN(4) == 0 {
		m, ds := spooltest.Message(n+1, "example.org")
		m.Size = int64(rng.IntN(3000))
		st.Letters = []spool.Letter{{Message: m, Deliveries: ds, Body: crashBody(m)}}
		more = append(more, ds...)
	}
	if rng.IntN(6) == 0 {
		p := d
		p.ID.N, p.Tries = uint16(n), 0
		st.Split = []spool.Split{{Item: spool.Item{Delivery: p, Wake: spooltest.Base}}}
		more = append(more, p)
	}
	l.set(func(is map[custody.DeliveryID]claim) {
		cl := is[d.ID]
		cl.pending, cl.end = d.Tries, st.Closed
		is[d.ID] = cl
		for _, m := range more {
			is[m.ID] = claim{acked: none, child: true, parent: d.ID, since: d.Tries}
		}
	})
	if s.Settle(context.Background(), []spool.Step{st}) != nil {
		return d, true, nil
	}
	l.set(func(is map[custody.DeliveryID]claim) {
		cl := is[d.ID]
		cl.acked, cl.ackedEnd = d.Tries, st.Closed
		is[d.ID] = cl
		for _, m := range more {
			cl := is[m.ID]
			cl.acked = 0
			is[m.ID] = cl
		}
	})
	return d, st.Closed, more
}

// check compares a store with what was promised.
func (l *ledger) check(s *Store) error {
	is := make(map[custody.DeliveryID]int)
	alive := make(map[custody.ID]bool)
	waiting := 0
	for row, err := range s.Find(context.Background(), spool.Query{Departed: true}) {
		if err != nil {
			return err
		}
		d := row.Delivery
		cl, ok := l.is[d.ID]
		end := !row.Left.IsZero()
		acked, pending := d.Tries == cl.acked && end == cl.ackedEnd, d.Tries == cl.pending && end == cl.end
		if !ok || !acked && !pending {
			return fmt.Errorf("%s has version %d, closed %v: %+v", d.ID, d.Tries, end, cl)
		}
		is[d.ID] = d.Tries
		if end {
			continue
		}
		waiting++
		if !alive[d.ID.Message] {
			alive[d.ID.Message] = true
			if err := sameBody(s, row.Message); err != nil {
				return err
			}
		}
		items, err := s.Due(context.Background(), d.Lane(), time.Time{}, time.Time{}, 10_000, func(id custody.DeliveryID) bool { return id != d.ID })
		if err != nil || len(items) != 1 {
			return fmt.Errorf("%s is due %d times: %v", d.ID, len(items), err)
		}
	}
	versions := make(map[custody.ID]int)
	for id, cl := range l.is {
		v, ok := is[id]
		if !ok {
			v = none
		}
		if v == none && cl.acked != none {
			return fmt.Errorf("%s is lost: %+v", id, cl)
		}
		if pv, ok := is[cl.parent]; cl.child && (v != none) != (ok && pv >= cl.since) {
			return fmt.Errorf("%s has version %d, but the step that made it is %v of %s at %d", id, v, cl.since, cl.parent, pv)
		}
		other, there := is[custody.DeliveryID{Message: id.Message, N: 1}]
		if !cl.child && there != (v != none) {
			return fmt.Errorf("%s has version %d, the first one of the message %d", id, v, other)
		}
		versions[id.Message] += max(v, 0)
	}
	for id, n := range versions {
		h, err := s.History(context.Background(), id)
		if errors.Is(err, spool.ErrUnknown) && n == 0 {
			continue
		}
		if err != nil || len(h.Entries) != n {
			return fmt.Errorf("%s has %d entries, want %d: %v", id, len(h.Entries), n, err)
		}
	}
	if h := s.Health(context.Background()); h.Waiting != int64(waiting) || h.Messages != int64(len(alive)) {
		return fmt.Errorf("health %+v, want %d waiting of %d messages", h, waiting, len(alive))
	}
	return errors.Join(l.tidy(s), goesOn(s))
}

func sameBody(s *Store, m custody.Message) error {
	b, err := s.Body(context.Background(), m.ID)
	if err != nil {
		return fmt.Errorf("body of %s: %w", m.ID, err)
	}
	got := make([]byte, b.Size())
	if _, err := b.ReadAt(got, 0); err != nil && len(got) > 0 && !errors.Is(err, io.EOF) {
		return fmt.Errorf("body of %s: %w", m.ID, err)
	}
	if string(got) != string(crashBody(m)) {
		return fmt.Errorf("body of %s is broken", m.ID)
	}
	return b.Close()
}

// tidy finds files that nobody wants.
func (l *ledger) tidy(s *Store) error {
	names, err := s.fs.List(s.path("big"))
	if err != nil {
		return err
	}
	if n := s.bigs.count; int64(len(names)) != n {
		return fmt.Errorf("%d large bodies on disk, %d are wanted", len(names), n)
	}
	return nil
}

// goesOn takes one more message and finds it after another start.
func goesOn(s *Store) error {
	m, ds := spooltest.Message(9_999_999, "z.example")
	m.Envelope.From = mail.Address{}
	d, err := s.Begin(context.Background(), 0)
	if err != nil {
		return err
	}
	if err := d.Commit(context.Background(), m, ds); err != nil {
		return err
	}
	if _, err := s.Item(context.Background(), ds[0].ID); err != nil {
		return err
	}
	if errs := s.Settle(context.Background(), []spool.Step{{Delivery: ds[0], Closed: true}}); errs != nil {
		return errs[0]
	}
	return nil
}

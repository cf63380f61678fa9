//go:build linux

package load

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"
)

const (
	lanes = 50 // domains behind the host
	// windowFirst is how many connections a host gets when it has answered once; it gets
	// one more with each message that it takes.
	windowFirst = 4
	// inMemory is for how many messages to a host there is room in memory, for each of
	// its connections.
	inMemory = 20
)

func lane(i int) string { return fmt.Sprintf("d%d.there.test", i%lanes) }

// A comeback is a host that comes back.
type comeback struct {
	name        string
	n           int // messages that wait for it
	retry       string
	connections int
	slow        time.Duration // before it answers a message
	rate        int           // new messages to it, a second
	overrun     bool          // more than it takes
}

// TestAHostThatComesBackGetsOldAndNew: 20,000 messages wait for a host that comes back.
// It gets one connection, then as many more as it takes messages. What waited is all
// delivered while new mail comes, even if more comes than the host takes. New mail to the
// host takes turns with it; new mail to others does not wait at all. LOAD says how many.
func TestAHostThatComesBackGetsOldAndNew(t *testing.T) {
	n := size(200, 20_000)
	for _, c := range []comeback{
		{name: "gaps of an hour", n: n, retry: "1h", connections: 20, slow: 5 * time.Millisecond, rate: 50},
		{name: "gaps of seconds", n: n, retry: "2s", connections: 20, slow: 5 * time.Millisecond, rate: 50},
		{name: "more comes than it takes", n: max(100, n/20), retry: "1h", connections: 4, slow: 20 * time.Millisecond, rate: 300, overrun: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.retry != "1h" && !long {
				t.Skip("takes seconds: -tags slow")
			}
			c.run(t)
		})
	}
}

func (c comeback) run(t *testing.T) {
	l := &ledger{}
	there, other := newSink(t, l), newSink(t, l)
	there.slow, other.beside = c.slow, there
	there.seats = func(taken int) int {
		if taken == 0 {
			return 1
		}
		return min(windowFirst-1+taken, c.connections)
	}
	other.open(t)
	r := newRider(t, fmt.Sprintf(`[[route]]
domain = "*.there.test"
to = ["smtp:%s"]
connections = %d
[[route]]
domain = "other.test"
to = ["smtp:%s"]
[schedule.default]
retry = [%q]
warn = []
`, there.addr, c.connections, other.addr, c.retry))
	l.fill(t, r.addr, c.n, lane)
	others := l.stream(t, r.addr, 50, there, always("other.test"))
	defer others()
	there.open(t)
	began := time.Now()
	if c.retry == "1h" { // an order is the first knock; else it comes by itself
		out, err := r.run("retry", "--to", "r.0@"+l.first(1)[0].domain, "--config", r.config())
		if err != nil {
			t.Fatalf("postrider retry: %v: %s", err, out)
		}
	}
	again := l.stream(t, r.addr, c.rate, there, lane)
	defer again()
	waits := func(x letter) bool { return x.copies == 0 }
	wait(t, "all that waited is delivered", 5*time.Minute, func() bool {
		return !slices.ContainsFunc(l.first(c.n), waits)
	})
	took := time.Since(began)
	meanwhile := there.count() - c.n
	again()
	others()
	wait(t, "all new mail is delivered", 5*time.Minute, func() bool { return l.count(underWay) == 0 })
	r.empty()
	l.judge(t)
	t.Logf("%d that waited were delivered in %v, and %d new ones with them; connection %d was open %v after the first",
		c.n, took.Round(time.Millisecond), meanwhile, len(there.ramp), (there.ramp[len(there.ramp)-1] - there.ramp[0]).Round(time.Millisecond))
	c.judge(t, l)
	r.close()
}

// first are the first letters.
func (l *ledger) first(n int) []letter {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.letters[:n])
}

// judge looks at the order in which mail came to the host, there.
func (c comeback) judge(t *testing.T, l *ledger) {
	t.Helper()
	between := func(x letter) int { return max(0, x.cameAt-x.ackedAt) }
	var same, others []letter
	for _, x := range l.letters[c.n:] {
		if x.domain == "other.test" {
			others = append(others, x)
		} else {
			same = append(same, x)
		}
	}
	passed := passedBy(slices.Concat(l.letters[:c.n], same))
	waited, came := passed[:c.n], passed[c.n:]
	slices.Sort(waited)
	slices.Sort(came)
	least, greatest := c.old(slices.Concat(l.letters[:c.n], same))
	// What came before the host had taken anything waited too.
	same = slices.DeleteFunc(same, func(x letter) bool { return x.ackedAt == 0 })
	t.Logf("new mail to it: %v; messages that it took in between: %v", spreadOf(same, latency), spreadOf(same, between))
	t.Logf("new mail to another: %v; messages that it took in between: %v", spreadOf(others, latency), spreadOf(others, between))
	t.Logf("younger messages that went first: before one that waited %v; before a new one %v", waited, came)
	t.Logf("of each tenth of what it took they that waited were %.0f to %.0f %%", 100*least, 100*greatest)
	// What is in memory for it, and on its connections.
	most := (inMemory + 1) * c.connections
	if worst := spreadOf(others, between).at(1); worst > most {
		t.Errorf("a message to another host waited for %d messages of this one, at most %d are wanted", worst, most)
	}
	// It takes turns with what waits, behind what is in memory of its kind.
	if worst := spreadOf(same, between).at(1); worst > 2*most && !c.overrun {
		t.Errorf("a new message to the host waited for %d that it took, at most %d are wanted", worst, 2*most)
	}
	if least < 0.1 {
		t.Errorf("of a tenth of what the host took only %.0f %% had waited for it", 100*least)
	}
	if greatest > 0.9 && c.overrun {
		t.Errorf("of a tenth of what the host took %.0f %% had waited for it", 100*greatest)
	}
	// New mail is found by its domain, so that its order is not strict; but as much as a
	// tenth may not overtake it.
	if worst := came.at(1); worst > most+c.n/10 && !c.overrun {
		t.Errorf("%d younger messages went before a new one, at most %d are wanted", worst, most+c.n/10)
	}
}

// old is the least and the greatest share that mail that waited had in what the host took,
// in a tenth of what it took until all that waited was there. New mail comes after it, so
// that the first half may be all old.
func (c comeback) old(all []letter) (least, greatest float64) {
	waited := make([]int, len(all)) // 1 for each arrival that had waited
	last := 0
	for i, x := range all[:c.n] {
		waited[x.cameAt], last = 1, max(last, all[i].cameAt)
	}
	least = 1
	for tenth := range 10 {
		n, part := 0, waited[tenth*last/10:(tenth+1)*last/10]
		for _, w := range part {
			n += w
		}
		share := float64(n) / float64(max(1, len(part)))
		if least = min(least, share); tenth >= 5 {
			greatest = max(greatest, share)
		}
	}
	return least, greatest
}

// passedBy is how many younger messages came before each one.
func passedBy(all []letter) spread[int] {
	age := make([]int, len(all))
	for i := range age {
		age[i] = i
	}
	slices.SortStableFunc(age, func(a, b int) int { return all[a].acked.Compare(all[b].acked) })
	rank := make([]int, len(all))
	for r, i := range age {
		rank[i] = r
	}
	came := slices.Clone(age)
	slices.SortStableFunc(came, func(a, b int) int { return cmp.Compare(all[a].cameAt, all[b].cameAt) })
	// A Fenwick tree of those that have come, by age.
	tree := make([]int, len(all)+1)
	passed := make(spread[int], len(all))
	for n, i := range came {
		older := 0
		for k := rank[i] + 1; k > 0; k -= k & -k {
			older += tree[k]
		}
		passed[i] = n - older
		for k := rank[i] + 1; k <= len(all); k += k & -k {
			tree[k]++
		}
	}
	return passed
}

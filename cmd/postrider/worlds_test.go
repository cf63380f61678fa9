package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestWorlds lives random worlds in virtual time: the whole program, and around it
// hosts, a DNS, senders, a disk and an operator that do what they like. A world is
// drawn from its seed. WORLDS=10000 lives more of them, WORLDS_FROM=5000 from
// that one on, WORLD=17 that one alone. All that happens from outside is the same each
// time; names of messages are not, nor is the turn of goroutines that could all run, so
// that a world in which a law is broken tells its story at once.
//
// The clock of a bubble runs forward only: what a clock does that is set back is not
// tried here. That it is set forward is a long night.
func TestWorlds(t *testing.T) {
	from, to := uint64(0), uint64(worlds())
	if n, err := strconv.ParseUint(os.Getenv("WORLDS_FROM"), 10, 64); err == nil {
		from, to = n, n+to
	}
	if s := os.Getenv("WORLD"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		from, to = n, n+1
	}
	var mu sync.Mutex
	lived := 0
	all, stops := &sums{twice: map[string]int{}}, map[deed]int{}
	t.Run("world", func(t *testing.T) {
		for _, seed := range seeds(from, to) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				if end, ok := t.Deadline(); ok && time.Until(end) < 30*time.Second {
					t.Skip("the time is up")
				}
				w, sum := live(t, seed, plant{})
				for _, f := range w.faults {
					t.Errorf("world %d: %s", seed, f)
				}
				if len(w.faults) > 0 {
					t.Log(w.told.String())
				}
				mu.Lock()
				defer mu.Unlock()
				lived++
				all.add(sum)
				for _, n := range slices.Concat(w.nights, w.full) {
					stops[n.what]++
				}
			})
		}
	})
	t.Logf("%d of %d worlds and those that were broken once: %d restarts, %d power cuts, %d times no room, %d failed disks", lived, to-from, stops[restart], stops[powerCut], stops[fullDisk], stops[badDisk])
	t.Logf("%d messages to %d recipients: %d delivered, %d refused or given up, %d removed; %d letters, of them %d warnings; %d fates shown", all.messages, all.recipients, all.delivered, all.failed, all.removed, all.letters, all.warnings, all.looks)
	t.Logf("delivered twice, by cause: %v; latest end %v, latest warning %v, slowest healthy host %v", all.twice, all.late, all.warned, all.slow)
}

// broken are worlds in which a law was broken once.
var broken = []uint64{700, 803, 3795, 4070, 4178, 5704, 6735, 7368, 9076, 9229}

// seeds are those of some worlds; of the first ones, those that were broken as well.
func seeds(from, to uint64) (all []uint64) {
	for s := from; s < to; s++ {
		all = append(all, s)
	}
	if from == 0 {
		all = append(all, slices.DeleteFunc(slices.Clone(broken), func(s uint64) bool { return s < to })...)
	}
	return all
}

// worlds is how many worlds a test run lives.
func worlds() int {
	if n, err := strconv.Atoi(os.Getenv("WORLDS")); err == nil {
		return n
	}
	if raced || testing.Short() {
		return 20
	}
	return 200
}

// live lives one world.
func live(t *testing.T, seed uint64, p plant) (w *universe, sum *sums) {
	memo, err := os.MkdirTemp(quickDisk(), "postrider-world")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(memo)
	synctest.Test(t, func(t *testing.T) {
		w = create(planOf(seed), memo, p)
		sum = w.run()
	})
	return w, sum
}

// quickDisk is a folder in memory where there is one: what is flushed there costs nothing.
func quickDisk() string {
	if _, err := os.Stat("/dev/shm"); err == nil {
		return "/dev/shm"
	}
	return ""
}

// law is the name of the law that a fault broke.
func law(fault string) string {
	name, _, _ := strings.Cut(fault, ":")
	return name
}

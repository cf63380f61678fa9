//go:build linux

// Package crash kills the program, as it is built, in the middle of a load and cuts
// the power of its disk, and shows that nothing it acknowledged is lost. Real clients
// bring mail, a next hop that is now slow, now unwilling takes it, another takes the
// bounces; a ledger holds what each of them saw, and a judge compares.
//
// Start reading at [TestKillsLoseNothing], then [judge].
package crash

import (
	"os"
	"strconv"
	"testing"
)

// TestKillsLoseNothing kills the program with SIGKILL: at random, and at the moments
// in which an answer is under way. `CRASHES=n` says how often.
func TestKillsLoseNothing(t *testing.T) {
	w := newWorld(t)
	r := newRider(t, t.TempDir(), w.next.addr, w.home.addr)
	w.play(r, crashes(usualKills), everyMoment)
	r.leavesNothing()
}

// crashes is how often a test crashes the program.
func crashes(usual int) int {
	if n, err := strconv.Atoi(os.Getenv("CRASHES")); err == nil && n > 0 {
		return n
	}
	return usual
}

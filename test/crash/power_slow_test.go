//go:build linux && slow

package crash

import "testing"

// TestPowerCutsLoseNothing cuts the power of the disk under the spool.
func TestPowerCutsLoseNothing(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			d := newDisk(t, kind)
			d.loses(t)
			w := newWorld(t)
			r := newRider(t, d.dir, w.next.addr, w.home.addr)
			r.power = d
			w.play(r, max(1, crashes(usualKills)/10), everyMoment)
			r.leavesNothing()
		})
	}
}

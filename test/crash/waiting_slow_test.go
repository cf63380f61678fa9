//go:build linux && slow

package crash

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestManyWait kills the program while 100,000 messages wait (or as many as WAITING
// says), and measures how long it is away. All of them arrive.
func TestManyWait(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("WAITING"))
	if err != nil {
		n = 100_000
	}
	w := newWorld(t)
	r := newRider(t, t.TempDir(), w.next.addr, w.home.addr)
	r.configure(w.next.addr, w.home.addr, "4m")
	w.killer.server = r
	w.next.away.Store(true)
	w.next.willing = true
	if err := w.killer.start(true); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	stop := w.load(client{
		size: func() int { return 1000 },
		to: func(id uint64) []*recipient {
			return []*recipient{{address: fmt.Sprintf("good.0.%d@d%d.there.test", id, id%5000), fate: good}}
		},
		wanted: func() bool { open, _ := w.ledger.waiting(); return open < n },
	})
	for open := 0; open < n; open, _ = w.ledger.waiting() {
		if time.Sleep(100 * time.Millisecond); time.Since(began) > 15*time.Minute {
			t.Fatalf("only %d messages were taken", open)
		}
	}
	stop()
	t.Logf("%d messages taken in %v", n, time.Since(began).Round(time.Second))
	w.killer.starts = nil
	w.killer.end(anyTime)
	if err := errors.Join(w.killer.over(), w.killer.run(10, []moment{anyTime})); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d messages wait; %s", n, w.killer.times())
	for _, took := range w.killer.starts {
		if took > 5*time.Second {
			t.Errorf("a start took %v", took)
		}
	}
	w.next.away.Store(false)
	began = time.Now()
	w.drain(r, 6*time.Minute)
	t.Logf("all of it delivered %v after the next hop came back", time.Since(began).Round(time.Second))
	w.close(r)
	r.leavesNothing()
}

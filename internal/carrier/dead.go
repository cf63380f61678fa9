package carrier

import (
	"maps"
	"sync"
	"time"
)

// dead remembers which addresses were silent lately, in memory only, so that a
// dead first MX does not cost every message the time of its silence.
type dead struct {
	mu sync.Mutex
	at map[string]time.Time
}

const (
	deadLife = 5 * time.Minute
	deadKept = 10_000
)

func (d *dead) add(addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at == nil {
		d.at = map[string]time.Time{}
	}
	if len(d.at) >= deadKept {
		maps.DeleteFunc(d.at, func(_ string, at time.Time) bool { return time.Since(at) >= deadLife })
		if len(d.at) >= deadKept {
			clear(d.at)
		}
	}
	d.at[addr] = time.Now()
}

func (d *dead) remove(addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.at, addr)
}

// order puts the places that were silent lately behind the others. Whose time is
// over is tried in its turn again, by one attempt: until that has an answer the
// others pass by.
func (d *dead) order(ps []place) []place {
	d.mu.Lock()
	defer d.mu.Unlock()
	var live, rest []place
	for _, p := range ps {
		at, ok := d.at[p.addr]
		switch {
		case ok && time.Since(at) < deadLife:
			rest = append(rest, p)
			continue
		case ok:
			d.at[p.addr] = time.Now()
		}
		live = append(live, p)
	}
	return append(live, rest...)
}

package dns

import (
	"sync"
	"time"
)

// How long what was heard is believed, whatever its sender wishes.
const (
	minTTL      = time.Second
	maxTTL      = 24 * time.Hour
	maxNegative = 5 * time.Minute  // "there is nothing": by the zone's SOA (RFC 2308 5), at most this
	noSOA       = 5 * time.Second  // "there is nothing", by a server that names no time
	failureTTL  = 10 * time.Second // a failure; RFC 9520 3.2 asks for 1 s to 5 min
)

type question struct {
	name  string
	qtype uint16
}

type entry struct {
	result
	until time.Time
}

// cache remembers results, a bounded number of them.
type cache struct {
	mu      sync.Mutex
	limit   int
	entries map[question]entry
}

// find returns what is known about q.
func (c *cache) find(q question) (result, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[q]
	return e.result, ok && time.Now().Before(e.until)
}

// keep remembers r for its time. A full cache forgets, of a few entries met by
// chance, the one that would end first.
func (c *cache) keep(q question, r result) {
	if r.ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.entries[q]; !known && len(c.entries) >= c.limit {
		var first question
		var until time.Time
		seen := 0
		for k, e := range c.entries {
			if until.IsZero() || e.until.Before(until) {
				first, until = k, e.until
			}
			if seen++; seen == 16 {
				break
			}
		}
		delete(c.entries, first)
	}
	c.entries[q] = entry{r, time.Now().Add(r.ttl)}
}

package dns

import (
	"sync"
	"time"

	wire "github.com/miekg/dns"
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
	until  time.Time
	weight int
}

// cache remembers results, as many as weigh so many octets together. Whoever sends
// mail chooses what is asked, and how much there is in the answer.
type cache struct {
	limit   int
	mu      sync.Mutex
	weight  int
	entries map[question]entry
}

// share is the part of the cache that one answer may fill. A larger one is asked for
// again each time: an honest one of a few octets is not forgotten for it.
const share = 64

// find returns what is known about q.
func (c *cache) find(q question) (result, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[q]
	return e.result, ok && time.Now().Before(e.until)
}

// keep remembers r for its time.
func (c *cache) keep(q question, r result) {
	w := weigh(q, r)
	if r.ttl <= 0 || w > c.limit/share {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(q)
	for c.weight+w > c.limit {
		c.forget()
	}
	c.entries[q] = entry{r, time.Now().Add(r.ttl), w}
	c.weight += w
}

// forget makes room: of a few entries met by chance, those whose time is over go, or
// else the one that would end first.
func (c *cache) forget() {
	var first question
	var until time.Time
	before, seen, now := c.weight, 0, time.Now()
	for q, e := range c.entries {
		if !now.Before(e.until) {
			c.drop(q)
		} else if until.IsZero() || e.until.Before(until) {
			first, until = q, e.until
		}
		if seen++; seen == 16 {
			break
		}
	}
	if c.weight == before {
		c.drop(first)
	}
}

func (c *cache) drop(q question) {
	c.weight -= c.entries[q].weight
	delete(c.entries, q)
}

// weigh returns about how many octets of memory it takes to remember an answer: no
// fewer than it does.
func weigh(q question, r result) int {
	n := 512 + len(q.name) + len(r.name)
	for _, rr := range r.rrs {
		n += 128 + wire.Len(rr)
		if txt, ok := rr.(*wire.TXT); ok {
			for _, s := range txt.Txt {
				n += 48 + len(s) // the library keeps `\034` for one octet
			}
		}
	}
	return n
}

package api

import (
	"net/netip"
	"sync"
	"time"
)

const (
	wrongMost  = 10              // wrong tokens from one network before none is looked at
	wrongEvery = 6 * time.Second // then one more is looked at
	wrongKept  = 10000           // networks that are remembered; the rest count together
)

// limiter counts wrong tokens by the network that they come from. The zero value is
// ready to use.
type limiter struct {
	mu   sync.Mutex
	seen map[netip.Prefix]tries
}

// tries are the wrong tokens of one network: level at that time, less with every
// wrongEvery that passes.
type tries struct {
	level float64
	at    time.Time
}

func (t tries) now(now time.Time) float64 {
	return max(0, t.level-float64(now.Sub(t.at))/float64(wrongEvery))
}

// wait returns how long a network must wait before what it presents is looked at.
func (l *limiter) wait(from netip.Prefix, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	over := l.seen[l.key(from)].now(now) - (wrongMost - 1)
	if over <= 0 {
		return 0
	}
	return time.Duration(over * float64(wrongEvery))
}

// count counts a wrong token, and reports whether it was the last that is looked at.
func (l *limiter) count(from netip.Prefix, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[netip.Prefix]tries{}
	}
	if len(l.seen) >= wrongKept {
		for k, t := range l.seen {
			if t.now(now) == 0 {
				delete(l.seen, k)
			}
		}
	}
	key := l.key(from)
	level := l.seen[key].now(now) + 1
	l.seen[key] = tries{level, now}
	return level > wrongMost-1 && level-1 <= wrongMost-1
}

// key is under what a network is counted.
func (l *limiter) key(from netip.Prefix) netip.Prefix {
	if _, known := l.seen[from]; !known && len(l.seen) >= wrongKept {
		return netip.Prefix{}
	}
	return from
}

// networkOf is the network that a remote address counts for: an IPv4 address, an
// IPv6 /64.
func networkOf(remote string) netip.Prefix {
	a, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	ip := a.Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // the bits are those of its kind
	return p
}

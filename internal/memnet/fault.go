package memnet

import "time"

// Mode is how an address answers a dial.
type Mode uint8

const (
	Up          Mode = iota // it connects where something listens
	Refused                 // ECONNREFUSED at once
	Silent                  // it swallows packets: a dial hangs, open connections stand still until the fault ends
	Unreachable             // EHOSTUNREACH at once
)

// Fault is how an address misbehaves. The zero Fault is a healthy host.
type Fault struct {
	Dial    Mode
	Latency time.Duration // by which a dial and every byte, in both directions, is late
	// ResetSent and ResetReceived reset a connection when so many bytes went to
	// the host, or came from it. Those bytes still arrive. 0: never.
	ResetSent, ResetReceived int
}

// window is a fault with a beginning and an end.
type window struct {
	addr     string
	from, to time.Time
	fault    Fault
}

// Set makes a fault the standing state of an address: "192.0.2.1" for all its
// ports, "192.0.2.1:25" for one, or the path of a Unix socket. One port's fault
// goes before its host's. The zero Fault heals.
func (n *Network) Set(addr string, f Fault) {
	n.mu.Lock()
	n.standing[addr] = f
	n.mu.Unlock()
	n.notify()
}

// Between makes an address misbehave from one moment until before another,
// whatever is set for other times. Of windows that overlap the one added last
// governs.
func (n *Network) Between(addr string, from, to time.Time, f Fault) {
	n.mu.Lock()
	n.windows = append(n.windows, window{addr, from, to, f})
	n.mu.Unlock()
	for _, t := range []time.Time{from, to} {
		if d := time.Until(t); d > 0 {
			time.AfterFunc(d, n.notify)
		}
	}
	n.notify()
}

// fault returns how the address behaves now. n.mu is held.
func (n *Network) fault(key string) Fault {
	host := hostOf(key)
	if len(n.windows) > 0 {
		now := time.Now()
		for i := len(n.windows) - 1; i >= 0; i-- {
			w := &n.windows[i]
			if (w.addr == key || w.addr == host) && !now.Before(w.from) && now.Before(w.to) {
				return w.fault
			}
		}
	}
	if f, ok := n.standing[key]; ok {
		return f
	}
	return n.standing[host]
}

// faultNow is fault for those who do not hold n.mu.
func (n *Network) faultNow(key string) Fault {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.windows)+len(n.standing) == 0 {
		return Fault{}
	}
	return n.fault(key)
}

// faultOrChange also returns a channel that is closed at the next change.
func (n *Network) faultOrChange(key string) (Fault, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.changed == nil {
		n.changed = make(chan struct{})
	}
	return n.fault(key), n.changed
}

// notify wakes everything that a fault may have kept waiting.
func (n *Network) notify() {
	n.mu.Lock()
	if n.changed != nil {
		close(n.changed)
		n.changed = nil
	}
	links := make([]*link, 0, len(n.links))
	for l := range n.links {
		links = append(links, l)
	}
	n.mu.Unlock()
	for _, l := range links {
		l.there.wake()
		l.back.wake()
	}
}

// hostOf returns the host of "192.0.2.1:25" or "[2001:db8::1]:25", and a path
// as it is.
func hostOf(key string) string {
	if ap, err := parse(key); err == nil {
		return ap.Addr().String()
	}
	return key
}

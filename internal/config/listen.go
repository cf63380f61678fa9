package config

import (
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

var (
	builtKinds   = []string{"smtp", "lmtp", "http"}
	unbuiltKinds = []string{"submission", "submissions"}
)

func (r *reader) readListen(all []section, c *Config) {
	var at []place
	for _, s := range all {
		l := Listen{Rule: s.rule()}
		read(s, "name", &l.Name, text)
		read(s, "kind", &l.Kind, listenKind)
		read(s, "address", &l.Address, func(v value) (string, bool) { return listenAddress(v, &l) })
		if s.find("kind").n == nil {
			r.wrong(s.place(), "listen without kind; it is %s", or(builtKinds))
		}
		v := s.find("address")
		if v.n == nil {
			r.wrong(s.place(), `listen without address; write address = ":25" for all addresses, or one like "127.0.0.1:25"`)
		}
		if l.Kind == "" || l.Address == "" {
			continue
		}
		for i, other := range c.Listen {
			if overlap(l, other) {
				v.bad("address: %q is taken by the listener in line %d", v.n.text, at[i].line)
				break
			}
		}
		if l.Kind == "http" && !isLoopback(l.Address) {
			r.guarded(v, c)
		}
		c.Listen, at = append(c.Listen, l), append(at, v.n.at)
	}
}

func listenKind(v value) (string, bool) {
	if slices.Contains(unbuiltKinds, v.n.text) {
		v.bad("listen kind %q is not built yet; there are %s", v.n.text, or(builtKinds))
		return "", false
	}
	return word(builtKinds...)(v)
}

// listenAddress reads "HOST:PORT", ":PORT" or, for LMTP, "unix:/path".
func listenAddress(v value, l *Listen) (string, bool) {
	s, ok := v.asText(`an address like ":25" or "127.0.0.1:25"`)
	if !ok {
		return "", false
	}
	l.Network = "tcp"
	if file, unix := strings.CutPrefix(s, "unix:"); unix {
		switch {
		case l.Kind != "lmtp" && l.Kind != "":
			v.bad("address: only lmtp can listen on a socket file; write an address like 127.0.0.1:25")
		case !filepath.IsAbs(file):
			v.bad("address: %q wants the full path of a socket, like unix:/run/postrider/lmtp", s)
		default:
			l.Network = "unix"
			return file, true
		}
		return "", false
	}
	if err := hostPort(s); err != nil {
		v.bad("address: %v", err)
		return "", false
	}
	if _, port, _ := net.SplitHostPort(s); port == "25" && l.Kind == "lmtp" {
		v.bad("address: LMTP must not use port 25 (RFC 2033 5); 24 is usual")
		return "", false
	}
	return s, true
}

// overlap reports whether the system would refuse the second of two listeners.
// Port 0 is another port each time.
func overlap(a, b Listen) bool {
	if a.Network != b.Network || a.Network == "unix" {
		return a.Network == b.Network && a.Address == b.Address
	}
	hostA, portA, _ := net.SplitHostPort(a.Address)
	hostB, portB, _ := net.SplitHostPort(b.Address)
	if portA != portB || portA == "0" {
		return false
	}
	return covers(hostA, hostB) || covers(hostB, hostA)
}

// covers reports whether listening on host takes other too. All of IPv6 is all
// of IPv4 besides, as Go listens.
func covers(host, other string) bool {
	if host == "" || strings.EqualFold(host, other) {
		return true
	}
	h, err := netip.ParseAddr(host)
	if err != nil || !h.IsUnspecified() {
		return false
	}
	if h.Is6() {
		return true
	}
	o, err := netip.ParseAddr(other)
	return err != nil || o.Is4()
}

package config

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// value is what a key says, while it is read.
type value struct {
	n    *node // nil: the key is not written
	r    *reader
	key  string
	path string // see section
}

func (v value) bad(format string, args ...any) { v.r.wrong(v.n.at, format, args...) }

// A parser reads a value, or reports why it cannot and returns false.
type parser[T any] func(v value) (T, bool)

// read stores the value of a key, if it is written and right.
func read[T any](s section, key string, to *T, parse parser[T]) {
	v := s.find(key)
	if v.n != nil {
		if t, ok := parse(v); ok {
			*to = t
		}
	}
	s.r.readings = append(s.r.readings, reading{s, key, v.n, *to})
}

// list reads a list and reports each bad element at its own place.
func list[T any](like string, parse parser[T]) parser[[]T] {
	return func(v value) ([]T, bool) {
		if v.n.kind != unstable.Array || v.n.many {
			v.bad("%s wants a list like %s, not %s", v.key, like, v.n.called())
			return nil, false
		}
		all, good := make([]T, 0, len(v.n.list)), true
		for _, n := range v.n.list {
			t, ok := parse(value{n, v.r, v.key, v.path})
			if ok {
				all = append(all, t)
			}
			good = good && ok
		}
		return all, good
	}
}

// someOf is list that refuses an empty one.
func someOf[T any](like string, parse parser[T]) parser[[]T] {
	return func(v value) ([]T, bool) {
		all, ok := list(like, parse)(v)
		if ok && len(all) == 0 {
			v.bad("%s is empty; write a list like %s", v.key, like)
			return nil, false
		}
		return all, ok
	}
}

// asText returns the text of a value; like is an example of what is wanted.
func (v value) asText(like string) (string, bool) {
	if v.n.kind != unstable.String {
		v.bad("%s wants %s, not %s", v.key, like, v.n.called())
		return "", false
	}
	if !utf8.ValidString(v.n.text) || strings.ContainsFunc(v.n.text, unicode.IsControl) {
		v.bad("%s holds a line end or another control character", v.key)
		return "", false
	}
	return v.n.text, true
}

func text(v value) (string, bool) {
	s, ok := v.asText("text in quotes")
	if ok && s == "" {
		v.bad("%s is empty; leave it out for the default", v.key)
		return "", false
	}
	return s, ok
}

// printable reads text of which so many letters fit into a reply with all else in it.
func printable(most int) parser[string] {
	return func(v value) (string, bool) {
		s, ok := text(v)
		if ok && (len(s) > most || strings.ContainsFunc(s, func(c rune) bool { return c >= 0x7f })) {
			v.bad("%s goes into replies: ASCII, at most %d letters, as a line has 512 octets at most (RFC 5321 4.5.3.1.5)", v.key, most)
			return "", false
		}
		return s, ok
	}
}

// path reads a file name; one that is relative is so to the folder of the
// configuration, so that the service and the commands mean the same file.
func path(v value) (string, bool) {
	s, ok := text(v)
	if ok && !filepath.IsAbs(s) {
		s = filepath.Join(v.r.dir, s)
	}
	return s, ok
}

func yesNo(v value) (bool, bool) {
	if v.n.kind != unstable.Bool {
		v.bad("%s wants true or false, not %s", v.key, v.n.called())
		return false, false
	}
	return v.n.text == "true", true
}

// number reads a whole number that is not below least.
func number(least int) parser[int] {
	return func(v value) (int, bool) {
		if v.n.kind != unstable.Integer {
			v.bad("%s wants a whole number like %d, not %s", v.key, max(least, 100), v.n.called())
			return 0, false
		}
		i, err := strconv.ParseInt(v.n.text, 0, 64)
		if err != nil || i > math.MaxInt32 {
			v.bad("%s: %s is too large", v.key, v.n.text)
			return 0, false
		}
		if i < int64(least) {
			v.bad("%s: %d is too small; at least %d", v.key, i, least)
			return 0, false
		}
		return int(i), true
	}
}

// upTo reads a number that is no larger than most.
func upTo(most int, p parser[int]) parser[int] {
	return func(v value) (int, bool) {
		i, ok := p(v)
		if ok && i > most {
			v.bad("%s: %d is too large; at most %d", v.key, i, most)
		}
		return i, ok && i <= most
	}
}

// share reads a number between 0 and most.
func share(most float64) parser[float64] {
	return func(v value) (float64, bool) {
		f, err := strconv.ParseFloat(strings.ReplaceAll(v.n.text, "_", ""), 64)
		if v.n.kind != unstable.Float && v.n.kind != unstable.Integer || err != nil {
			v.bad("%s wants a number like 0.1, not %s", v.key, v.n.called())
			return 0, false
		}
		if !(f >= 0 && f <= most) {
			v.bad("%s: %s is not between 0 and %v", v.key, v.n.text, most)
			return 0, false
		}
		return f, true
	}
}

// age reads a length of time that is not below least.
func age(least time.Duration) parser[time.Duration] {
	return func(v value) (time.Duration, bool) {
		s, ok := v.asText(`a length of time like "5m"`)
		if !ok {
			return 0, false
		}
		d, err := custody.ParseAge(s)
		if err != nil {
			v.bad("%s: %v", v.key, err)
			return 0, false
		}
		if d < least {
			v.bad("%s: %q is too short; at least %s", v.key, s, custody.FormatAge(least))
			return 0, false
		}
		return d, true
	}
}

func pace(v value) (custody.Pace, bool) {
	s, ok := v.asText(`gaps like "5m" or "1h for 1d"`)
	if !ok {
		return custody.Pace{}, false
	}
	p, err := custody.ParsePace(s)
	if err != nil {
		v.bad("%s: %v", v.key, err)
		return custody.Pace{}, false
	}
	return p, true
}

var sizeUnits = map[string]float64{
	"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

// size reads octets: "50MB" (50,000,000), "64kB", "1GiB", or a bare number.
func size(v value) (int64, bool) {
	const like = `a size like "50MB" or "64KiB"`
	if v.n.kind == unstable.Integer {
		n, ok := number(0)(v)
		return int64(n), ok
	}
	s, ok := v.asText(like)
	if !ok {
		return 0, false
	}
	i := strings.LastIndexAny(s, "0123456789.") + 1
	unit, known := sizeUnits[strings.ToLower(strings.TrimSpace(s[i:]))]
	f, err := strconv.ParseFloat(s[:i], 64)
	if !known || err != nil || f < 0 || f*unit > 1<<50 {
		v.bad("%s: %q is not %s", v.key, s, like)
		return 0, false
	}
	return int64(f * unit), true
}

// word reads one of some words.
func word(allowed ...string) parser[string] {
	return func(v value) (string, bool) {
		s, ok := v.asText(or(allowed))
		if ok && !slices.Contains(allowed, s) {
			v.bad("%s %q is unknown%s (%s)", v.key, s, didYouMean(s, allowed), or(allowed))
			return "", false
		}
		return s, ok
	}
}

// address reads a full mail address.
func address(v value) (mail.Address, bool) {
	s, ok := v.asText(`an address like "admin@example.com"`)
	if !ok {
		return mail.Address{}, false
	}
	a, err := mail.ParseAddress(s)
	if err != nil || a.Domain == "" {
		v.bad("%s: %q is not an address like admin@example.com", v.key, s)
		return mail.Address{}, false
	}
	return a, true
}

// hostName reads a domain and returns it in canonical form.
func hostName(v value) (string, bool) {
	s, ok := v.asText(`a host name like "mx1.example.com"`)
	if !ok {
		return "", false
	}
	d, err := mail.CanonicalDomain(strings.TrimSuffix(s, "."))
	if _, ip := netip.ParseAddr(s); err != nil || ip == nil || d[0] == '[' {
		v.bad("%s: %q is not a host name like mx1.example.com", v.key, s)
		return "", false
	}
	return d, true
}

// pattern reads a domain that may begin with "*.", in canonical form.
func pattern(v value) (string, bool) {
	s, ok := v.asText(`a domain like "example.com" or "*.example.com"`)
	if !ok {
		return "", false
	}
	name, star := strings.CutPrefix(s, "*.")
	d, err := mail.CanonicalDomain(strings.TrimSuffix(name, "."))
	if err != nil || star && d[0] == '[' {
		v.bad("%s: %q is not a domain like example.com or *.example.com", v.key, s)
		return "", false
	}
	return s[:len(s)-len(name)] + d, true
}

// network reads "10.0.0.0/8", or one address.
func network(v value) (netip.Prefix, bool) {
	s, ok := v.asText(`a network like "10.0.0.0/8"`)
	if !ok {
		return netip.Prefix{}, false
	}
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		v.bad("%s: %q is not a network like 10.0.0.0/8 or an address", v.key, s)
	case p.Addr().Is4In6():
		v.bad("%s: %q is an IPv4 network in IPv6 clothes; write it like 10.0.0.0/8", v.key, s)
	case p != p.Masked():
		v.bad("%s: %q has bits outside its network; did you mean %q?", v.key, s, p.Masked())
	default:
		return p, true
	}
	return netip.Prefix{}, false
}

// trusting reads a network whom something is allowed, and warns where that is
// everybody; so says what comes of it.
func trusting(so string) parser[netip.Prefix] {
	return func(v value) (netip.Prefix, bool) {
		p, ok := network(v)
		if ok && p.Bits() == 0 {
			v.r.doubt(v.n.at, "%s: %s %s", v.key, p, so)
		}
		return p, ok
	}
}

func ip(v value) (netip.Addr, bool) {
	s, ok := v.asText(`an IP address like "192.0.2.7"`)
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		v.bad("%s: %q is not an IP address", v.key, s)
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// server reads the address of a name server; without a port it is 53.
func server(v value) (netip.AddrPort, bool) {
	s, ok := v.asText(`an address like "127.0.0.1:53"`)
	if !ok {
		return netip.AddrPort{}, false
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 53), true
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil || a.Port() == 0 {
		v.bad("%s: %q is not an address like 127.0.0.1:53", v.key, s)
		return netip.AddrPort{}, false
	}
	return a, true
}

// hostPort checks "HOST:PORT". An empty host is every address of this machine.
func hostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is not an address like 127.0.0.1:25 or :25", s)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: %q is not a port between 0 and 65535", s, port)
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil {
		if _, err := mail.CanonicalDomain(host); err != nil || host[0] == '[' {
			return fmt.Errorf("%q: %q is not a host", s, host)
		}
	}
	return nil
}

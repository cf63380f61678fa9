package route

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/postrider/postrider/mail"
)

// Kind is the kind of a next hop.
type Kind uint8

const (
	MX    Kind = iota // the hosts the DNS names for the domain
	Relay             // one host, by SMTP: a smarthost, a filter, an inner server
	LMTP              // one host that delivers into mailboxes, by LMTP
)

// String returns "mx", "relay" or "lmtp".
func (k Kind) String() string { return [...]string{"mx", "relay", "lmtp"}[k] }

// smtpPort is where SMTP is spoken if nothing else is said.
const smtpPort = 25

// maxUnix is the longest path of a socket (sun_path of unix(7), less its NUL).
const maxUnix = 107

// Target is one next hop as a route names it. The zero Target is "mx".
type Target struct {
	Kind Kind
	Host string // name in canonical form, or address; "" with MX and Unix
	Port uint16 // 0: 25, or where MX hosts are expected
	Unix string // absolute path of a socket, with LMTP
}

// ParseTarget reads "mx", "mx:PORT", "smtp:HOST:PORT", "smtp:HOST" (port 25),
// "lmtp:HOST:PORT" or "lmtp:unix:/PATH". HOST is a name or an address, IPv6 in
// brackets; a name is looked up by address, never by MX.
func ParseTarget(s string) (Target, error) {
	t, wrong := parseTarget(s)
	if wrong != "" {
		return Target{}, fmt.Errorf("route: target %q: %s", s, wrong)
	}
	return t, nil
}

func parseTarget(s string) (t Target, wrong string) {
	scheme, rest, more := strings.Cut(s, ":")
	switch scheme {
	case "mx":
		if !more {
			return Target{}, ""
		}
		if t.Port, wrong = parsePort(rest); wrong != "" {
			wrong += `; a host is named with "smtp:HOST:PORT"`
		}
		return t, wrong
	case "smtp":
		t.Kind = Relay
	case "lmtp":
		t.Kind = LMTP
	default:
		return t, `want "mx", "mx:PORT", "smtp:HOST:PORT", "lmtp:HOST:PORT" or "lmtp:unix:/PATH"`
	}
	if path, ok := strings.CutPrefix(rest, "unix:"); ok {
		switch {
		case t.Kind != LMTP:
			return t, "only LMTP is spoken over a Unix socket"
		case !strings.HasPrefix(path, "/") || mail.Clean(path, len(path)) != path:
			return t, "the path of a socket begins with \"/\" and has no control characters"
		case len(path) > maxUnix:
			return t, fmt.Sprintf("the path of a socket has at most %d octets", maxUnix)
		}
		t.Unix = path
		return t, ""
	}
	host, port, wrong := splitHost(rest)
	if wrong != "" {
		return t, wrong
	}
	if t.Host = host; port != "" {
		t.Port, wrong = parsePort(port)
	} else if t.Kind == LMTP {
		wrong = "LMTP has no port of its own (and must not use 25, RFC 2033 5): write \"lmtp:HOST:PORT\""
	}
	if t.Kind == Relay && t.Port == smtpPort {
		t.Port = 0
	}
	return t, wrong
}

// splitHost reads "name:port", "192.0.2.1:port", "[2001:db8::1]:port", or those
// without a port.
func splitHost(s string) (host, port, wrong string) {
	if strings.HasPrefix(s, "[") {
		inner, after, ok := strings.Cut(s[1:], "]")
		ip, err := netip.ParseAddr(inner)
		switch {
		case !ok || after != "" && !strings.HasPrefix(after, ":") || after == ":":
			return "", "", "want \"[ADDRESS]:PORT\""
		case err != nil || ip.Is4() || !plainZone(ip):
			return "", "", "brackets are for an IPv6 address; a host named here is never looked up by MX and needs none"
		}
		return ip.String(), strings.TrimPrefix(after, ":"), ""
	}
	if strings.Count(s, ":") > 1 {
		return "", "", "write an IPv6 address in brackets: \"[2001:db8::1]:25\""
	}
	name, port, more := strings.Cut(s, ":")
	if more && port == "" {
		return "", "", "there is no port after the colon"
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.String(), port, ""
	}
	canonical, err := mail.CanonicalDomain(name)
	switch {
	case name == "":
		return "", "", "there is no host"
	case err != nil || strings.HasPrefix(name, "[") || numeric(canonical):
		return "", "", fmt.Sprintf("%q is neither a host name nor an address", name)
	case canonical == "unix":
		return "", "", "\"unix\" stands for a socket: name a host that is called so in full, or by its address"
	}
	return canonical, port, ""
}

// numeric reports whether the last label is a number: such a name looks like an
// address and can be none of the DNS's.
func numeric(name string) bool {
	_, err := strconv.Atoi(name[strings.LastIndexByte(name, '.')+1:])
	return err == nil
}

// plainZone reports whether an address has no zone, or an interface's name. For
// package netip a zone may hold anything.
func plainZone(ip netip.Addr) bool { return !strings.ContainsAny(ip.Zone(), "[]:% \x00/") }

func parsePort(s string) (uint16, string) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '0' {
		return 0, fmt.Sprintf("%q is not a port (1 to 65535)", s)
	}
	return uint16(n), ""
}

// String returns the target as ParseTarget reads it.
func (t Target) String() string {
	switch {
	case t.Kind == MX && t.Port == 0:
		return "mx"
	case t.Kind == MX:
		return fmt.Sprintf("mx:%d", t.Port)
	case t.Unix != "":
		return "lmtp:unix:" + t.Unix
	}
	scheme, port := "smtp:", t.Port
	if t.Kind == LMTP {
		scheme = "lmtp:"
	} else if port == 0 {
		port = smtpPort
	}
	return scheme + net.JoinHostPort(t.Host, strconv.Itoa(int(port)))
}

// MarshalText writes the target as String does.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what ParseTarget reads.
func (t *Target) UnmarshalText(b []byte) (err error) {
	*t, err = ParseTarget(string(b))
	return err
}

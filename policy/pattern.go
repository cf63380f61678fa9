package policy

import (
	"net/netip"
	"strings"

	"github.com/postrider/postrider/mail"
)

// pattern is a domain or host name, all names below one, or any name.
type pattern struct {
	name  string // canonical; with below beginning with "."
	below bool
	any   bool
}

// newPattern reads "mx.example.com", "*.example.com" or "*".
func newPattern(s string) (pattern, bool) {
	if s == "*" {
		return pattern{any: true}, true
	}
	rest, below := strings.CutPrefix(s, "*.")
	name, err := mail.CanonicalDomain(strings.TrimSuffix(rest, "."))
	if err != nil || below && name[0] == '[' {
		return pattern{}, false
	}
	if below {
		name = "." + name
	}
	return pattern{name: name, below: below}, true
}

// match takes a canonical name; "" is none.
func (p pattern) match(name string) bool {
	switch {
	case name == "":
		return false
	case p.any:
		return true
	case p.below:
		return strings.HasSuffix(name, p.name) && len(name) > len(p.name)
	}
	return name == p.name
}

// canonical returns a name as patterns want it, "" if it is no name.
func canonical(s string) string {
	c, err := mail.CanonicalDomain(strings.TrimSuffix(s, "."))
	if err != nil {
		return ""
	}
	return c
}

// addressPattern is one word of From or To.
type addressPattern struct {
	null   bool
	local  string // unquoted; "": any
	domain pattern
}

// newAddressPattern reads "null", "user@example.com", "user@*", "example.com",
// "@example.com" or "*.example.com".
func newAddressPattern(s string) (addressPattern, bool) {
	if s == "null" {
		return addressPattern{null: true}, true
	}
	at := strings.LastIndexByte(s, '@')
	d, ok := newPattern(s[at+1:])
	if !ok || at <= 0 {
		return addressPattern{domain: d}, ok
	}
	if _, err := mail.ParseAddress(s[:at] + "@example.com"); err != nil {
		return addressPattern{}, false
	}
	return addressPattern{local: unquoted(s[:at]), domain: d}, true
}

func (p addressPattern) match(a mail.Address) bool {
	if p.null || a.IsNull() {
		return p.null && a.IsNull()
	}
	return (p.local == "" || strings.EqualFold(p.local, unquoted(a.Local))) && p.domain.match(canonical(a.Domain))
}

// unquoted returns what a local part means: "a" and a are the same mailbox
// (RFC 5321 4.1.2), and who is refused as one shall not come in as the other.
func unquoted(local string) string {
	if len(local) < 2 || local[0] != '"' || local[len(local)-1] != '"' {
		return local
	}
	local = local[1 : len(local)-1]
	if strings.IndexByte(local, '\\') < 0 {
		return local
	}
	var b strings.Builder
	for i := 0; i < len(local); i++ {
		if local[i] == '\\' && i+1 < len(local) {
			i++
		}
		b.WriteByte(local[i])
	}
	return b.String()
}

// sameMailbox compares without regard to case: who writes a rule means every
// spelling.
func sameMailbox(a, b mail.Address) bool {
	return strings.EqualFold(unquoted(a.Local), unquoted(b.Local)) && canonical(a.Domain) == canonical(b.Domain)
}

// heloAddress returns the address that a client calls itself by, in brackets as
// RFC 5321 4.1.3 wants it, or without.
func heloAddress(helo string) (netip.Addr, bool) {
	if ip, ok := mail.Literal(helo); ok {
		return ip.Unmap(), true
	}
	if n := len(helo); n == 0 || strings.IndexByte(helo, ':') < 0 && (helo[n-1] < '0' || helo[n-1] > '9') {
		return netip.Addr{}, false // spares most names the making of an error
	}
	ip, err := netip.ParseAddr(helo)
	return ip.Unmap(), err == nil
}

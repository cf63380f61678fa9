package mail

import (
	"errors"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits on the parts of a path, in octets (RFC 5321 4.5.3.1.1 to 4.5.3.1.3).
// The longer local part is what real mail needs: VERP and SRS addresses exceed 64.
const (
	MaxLocal  = 255
	MaxDomain = 255
	MaxPath   = 512
)

// Address is a mailbox of an envelope (RFC 5321 4.1.2). Both parts are kept as
// they were written, quotes and case included: nobody but the domain that owns
// it may interpret a local part (RFC 5321 2.3.11). The zero Address is the null
// path "<>". A Local without Domain is the bare "postmaster" of RFC 5321 4.5.1.
type Address struct {
	Local  string
	Domain string
}

// IsNull reports whether a is the null path, which must never be answered
// (RFC 5321 6.1).
func (a Address) IsNull() bool { return a == Address{} }

// String returns local@domain without angle brackets; "" for the null path.
func (a Address) String() string {
	if a.Domain == "" {
		return a.Local
	}
	return a.Local + "@" + a.Domain
}

// Path returns the address as a path: in angle brackets.
func (a Address) Path() string { return "<" + a.String() + ">" }

// IsASCII reports whether a host without SMTPUTF8 can be given the address.
func (a Address) IsASCII() bool { return isASCII(a.Local) && isASCII(a.Domain) }

// Key returns a with its domain in canonical form: two addresses with the same
// Key are the same mailbox for everybody but its owner.
func (a Address) Key() Address {
	if d, err := CanonicalDomain(a.Domain); err == nil {
		a.Domain = d
	}
	return a
}

// MarshalText writes the address as String does.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (a *Address) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*a = Address{}
		return nil
	}
	*a, err = ParseAddress(string(b))
	return err
}

// The faults of a path, told apart because they are answered differently
// (RFC 3463: X.1.3 for a recipient, X.1.7 for a sender).
var (
	ErrSyntax   = errors.New("mail: malformed address")
	ErrTooLong  = errors.New("mail: address too long")
	ErrNoDomain = errors.New("mail: address without a domain")
)

// ParseAddress reads local@domain, or a bare "postmaster".
func ParseAddress(s string) (Address, error) {
	if len(s) > MaxPath {
		return Address{}, ErrTooLong
	}
	local, rest, err := parseLocal(s)
	if err != nil {
		return Address{}, err
	}
	if rest == "" {
		if isASCII(local) && strings.EqualFold(local, "postmaster") { // U+017F folds to 's'
			return Address{Local: local}, nil
		}
		return Address{}, ErrNoDomain
	}
	if rest[0] != '@' {
		return Address{}, ErrSyntax
	}
	a := Address{local, rest[1:]}
	if len(a.Local) > MaxLocal || len(a.Domain) > MaxDomain {
		return Address{}, ErrTooLong
	}
	if _, err := CanonicalDomain(a.Domain); err != nil {
		return Address{}, err
	}
	return a, nil
}

// ParsePath reads the path at the start of s, "<...>", and returns what follows
// it. A source route "<@a,@b:user@domain>" is read and dropped, as RFC 5321
// appendix C asks. "<>" gives the null Address.
func ParsePath(s string) (a Address, rest string, err error) {
	if !strings.HasPrefix(s, "<") {
		return a, s, ErrSyntax
	}
	end := pathEnd(s)
	if end < 0 {
		return a, s, ErrSyntax
	}
	inner, rest := s[1:end], s[end+1:]
	if rest != "" && rest[0] != ' ' {
		return a, s, ErrSyntax
	}
	if inner == "" {
		return Address{}, rest, nil
	}
	if inner[0] == '@' {
		route, box, ok := strings.Cut(inner, ":")
		if !ok {
			return a, s, ErrSyntax
		}
		for _, hop := range strings.Split(route, ",") {
			if !strings.HasPrefix(hop, "@") {
				return a, s, ErrSyntax
			}
			if _, err := CanonicalDomain(hop[1:]); err != nil {
				return a, s, err
			}
		}
		inner = box
	}
	a, err = ParseAddress(inner)
	return a, rest, err
}

// pathEnd finds the '>' that closes the path, quoted strings passed over.
func pathEnd(s string) int {
	quoted := false
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '>' && !quoted:
			return i
		}
	}
	return -1
}

// parseLocal splits the local part, a dot-string or a quoted string, from s.
func parseLocal(s string) (local, rest string, err error) {
	if s == "" {
		return "", "", ErrSyntax
	}
	if s[0] == '"' {
		for i := 1; i < len(s); i++ {
			switch c := s[i]; {
			case c == '\\':
				i++
				if i == len(s) || s[i] < ' ' || s[i] == 0x7f {
					return "", "", ErrSyntax
				}
			case c == '"':
				if !utf8.ValidString(s[:i+1]) {
					return "", "", ErrSyntax
				}
				return s[:i+1], s[i+1:], nil
			case c < ' ' || c == 0x7f:
				return "", "", ErrSyntax
			}
		}
		return "", "", ErrSyntax
	}
	i := 0
	for i < len(s) && (isAtext(s[i]) || s[i] == '.') {
		i++
	}
	local, rest = s[:i], s[i:]
	// Real addresses with two dots or a dot at the end exist (old mobile
	// carriers in Japan); only their owner may judge them. A leading dot too.
	if local == "" || !utf8.ValidString(local) {
		return "", "", ErrSyntax
	}
	return local, rest, nil
}

func isAtext(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c >= 0x80 || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// hostnames maps Unicode labels to their ASCII form. Underscores pass, and two
// hyphens in the third place: "r3---sn-4g5e6nsz.googlevideo.com" is a host.
var hostnames = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false), idna.CheckHyphens(false))

// CanonicalDomain returns the form of a domain or address literal by which
// postrider compares and files it: lower case, ASCII (A-labels). A literal
// "[192.0.2.1]" or "[IPv6:2001:db8::1]" is returned in its shortest spelling.
func CanonicalDomain(s string) (string, error) {
	if s == "" {
		return "", ErrNoDomain
	}
	if len(s) > MaxDomain {
		return "", ErrTooLong
	}
	if s[0] == '[' {
		return canonicalLiteral(s)
	}
	if isASCII(s) {
		s = strings.ToLower(s)
	}
	if !isASCII(s) || strings.Contains(s, "xn--") {
		if !utf8.ValidString(s) {
			return "", ErrSyntax
		}
		ascii, err := hostnames.ToASCII(s)
		if err != nil {
			return "", ErrSyntax
		}
		if len(ascii) > MaxDomain {
			return "", ErrTooLong
		}
		s = ascii
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", ErrSyntax
		}
		for i := 0; i < len(label); i++ {
			c := label[i]
			if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return "", ErrSyntax
			}
		}
	}
	return s, nil
}

func canonicalLiteral(s string) (string, error) {
	ip, ok := Literal(s)
	if !ok {
		return "", ErrSyntax
	}
	if ip.Is4() {
		return "[" + ip.String() + "]", nil
	}
	return "[IPv6:" + ip.String() + "]", nil
}

// Literal returns the address of an address literal (RFC 5321 4.1.3).
func Literal(domain string) (netip.Addr, bool) {
	if len(domain) < 2 || domain[0] != '[' || domain[len(domain)-1] != ']' {
		return netip.Addr{}, false
	}
	s := domain[1 : len(domain)-1]
	six := len(s) > 5 && strings.EqualFold(s[:5], "IPv6:")
	if six {
		s = s[5:]
	}
	ip, err := netip.ParseAddr(s)
	if err != nil || ip.Zone() != "" || ip.Is4() == six {
		return netip.Addr{}, false
	}
	return ip, true
}

func isASCII[T string | Header](s T) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

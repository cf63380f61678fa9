package explain

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// found is an address in a text and where it stands.
type found struct {
	addr       string
	start, end int // of it, with its angle brackets
	angled     bool
}

const maxAddresses = 50 // in one line

// addressesIn finds what is written like an address.
func addressesIn(s string) []found {
	var out []found
	for i := 0; i < len(s) && len(out) < maxAddresses; {
		k := strings.IndexByte(s[i:], '@')
		if k < 0 {
			return out
		}
		at := i + k
		start, end := localStart(s, i, at), domainEnd(s, at+1)
		if start == at && start > i && s[start-1] == '"' { // "john doe"@example.com
			if q := strings.LastIndexByte(s[i:start-1], '"'); q >= 0 {
				start = i + q
			}
		}
		if end < len(s) && s[end] == '[' && end == at+1 {
			if q := strings.IndexByte(s[end:], ']'); q > 0 {
				end += q + 1
			}
		}
		for end > at+1 && (s[end-1] == '.' || s[end-1] == '-') {
			end--
		}
		i = max(end, at+1)
		f := found{addr: s[start:end], start: start, end: end}
		for start > 0 && end < len(s) && s[start-1] == '<' && s[end] == '>' {
			f.angled = true
			start, end = start-1, end+1
			f.start, f.end = start, end
		}
		f.addr = strings.TrimPrefix(f.addr, "mailto:")
		if proper(f.addr, f.angled) {
			out = append(out, f)
		}
	}
	return out
}

// localStart returns where the local part begins that ends in front of at, at from
// or later. Scripts without blanks put words right beside an address, so that it
// ends where such a script begins or ends.
func localStart(s string, from, at int) int {
	start, last := at, rune(0)
	for start > from {
		r, n := utf8.DecodeLastRuneInString(s[from:start])
		if r < utf8.RuneSelf && !local(byte(r)) || foreignTo(r, last) {
			break
		}
		start, last = start-n, r
	}
	return start
}

// domainEnd returns where the domain ends that begins at from.
func domainEnd(s string, from int) int {
	end, last := from, rune(0)
	for end < len(s) {
		r, n := utf8.DecodeRuneInString(s[end:])
		if r < utf8.RuneSelf && !domain(byte(r)) || foreignTo(r, last) {
			break
		}
		end, last = end+n, r
	}
	return end
}

// foreignTo reports a letter that ends the address which last, its neighbour in
// it, belongs to.
func foreignTo(r, last rune) bool {
	switch {
	case r < utf8.RuneSelf:
		return unblanked(last)
	case unicode.IsPunct(r), unicode.IsSymbol(r), unicode.IsSpace(r):
		return true
	case last == 0:
		return false
	}
	return unblanked(r) != unblanked(last)
}

// unblanked reports the letters of scripts that put no blanks between words.
func unblanked(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

func local(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-/=?^_`{|}~.", c) >= 0
}

func domain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf || c == '.' || c == '-' || c == '_'
}

// proper drops what is no address: a Message-ID in words, a URL with a login.
func proper(a string, angled bool) bool {
	l, d, ok := strings.Cut(a, "@")
	if !ok || l == "" || d == "" || len(a) > 400 || strings.Contains(l, "://") || strings.HasPrefix(l, "//") {
		return false
	}
	return angled || strings.Contains(d, ".") || d[0] == '['
}

// same reports whether two addresses are the same mailbox for all that a report
// can tell: systems change the case of both parts.
func same(a, b string) bool { return strings.EqualFold(a, b) }

// addressOf takes the address out of a field's value: "rfc822; <bob@example.com>",
// "Bob <bob@example.com>", "bob@example.com (Bob)". A name without a domain
// comes back as it is.
func addressOf(s string) string {
	if kind, rest, ok := strings.Cut(s, ";"); ok && !strings.Contains(kind, "@") {
		s = rest
	}
	s = strings.TrimSpace(s)
	if i := strings.LastIndexByte(s, '<'); i >= 0 {
		if j := strings.IndexByte(s[i:], '>'); j > 0 {
			return strings.TrimSpace(s[i+1 : i+j])
		}
	}
	if fs := addressesIn(s); len(fs) > 0 && !strings.HasPrefix(s, "=?") && !strings.HasPrefix(s, `"`) {
		if fs[0].start == 0 || strings.ContainsAny(s, " (<") {
			return fs[0].addr
		}
	}
	return strings.Trim(s, "<>")
}

// addresses takes all addresses out of a To or Cc field.
func addresses(s string) []string {
	var out []string
	for _, f := range addressesIn(head(s, 20*maxLine)) {
		out = append(out, f.addr)
	}
	return out
}

// host is a name and an address as they stand together: "mx.example.com[192.0.2.1]".
type hostIP struct{ name, ip string }

// hostIn finds the first host with its network address in a text.
func hostIn(s string) hostIP {
	for i := 0; i < len(s); i++ {
		open := s[i]
		if open != '[' && open != '(' {
			continue
		}
		shut := byte(']')
		if open == '(' {
			shut = ')'
		}
		j := strings.IndexByte(s[i:], shut)
		if j < 0 || j > 60 {
			continue
		}
		ip := strings.TrimPrefix(s[i+1:i+j], "IPv6:")
		if !looksIP(ip) {
			continue
		}
		end := i
		for end > 0 && s[end-1] == ' ' {
			end--
		}
		start := end
		for start > 0 && (domain(s[start-1])) {
			start--
		}
		name := strings.Trim(s[start:end], ".")
		if name == "" && i-end > 1 || !strings.Contains(name, ".") {
			name = ""
		}
		return hostIP{lower(name), ip}
	}
	return hostIP{}
}

func looksIP(s string) bool {
	if len(s) < 3 || len(s) > 45 {
		return false
	}
	dots, colons := 0, 0
	for _, c := range []byte(s) {
		switch {
		case c == '.':
			dots++
		case c == ':':
			colons++
		case c >= '0' && c <= '9', colons > 0 && (c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'), c == 'x' || c == '#' || c == '*':
		case c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return dots == 3 || colons >= 2
}

// hostName reports whether s is written like the name of a host.
func hostName(s string) bool {
	if len(s) < 3 || len(s) > 255 || !strings.Contains(s, ".") || strings.Contains(s, "..") {
		return false
	}
	letter := false
	for _, c := range []byte(s) {
		if !domain(c) {
			return false
		}
		letter = letter || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	return letter && s[0] != '.' && s[0] != '-'
}

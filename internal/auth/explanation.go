package auth

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

const (
	maxExplanation = 300  // octets of an explanation that are kept
	maxExpanded    = 4096 // octets to which macros may grow a text
	maxName        = 253  // octets of a domain name in presentation form
)

// explanation returns what the domain that disowned the sender says about it
// (RFC 7208 6.2); "" where it says nothing that can be read. The library ignores
// exp=, so the records it was given are read again here.
func explanation(ctx context.Context, a *asker, m macros, domain string) string {
	m.domain = domain
	record := a.record[domain]
	for range maxSPFQuestions {
		// The words are those of the record at the end of the redirects that were
		// followed (RFC 7208 6.1): of those that were asked for.
		next, ok := m.expand(modifier(record, "redirect"), false)
		next = absolute(next)
		if !ok || next == "" || a.record[next] == "" || ends(record) {
			break
		}
		m.domain, record = next, a.record[next]
	}
	name, ok := m.expand(modifier(record, "exp"), false)
	if !ok || name == "" {
		return ""
	}
	for len(name) > maxName { // RFC 7208 7.3: labels are dropped from the left
		_, name, _ = strings.Cut(name, ".")
	}
	texts, err := a.LookupTXT(ctx, name)
	if err != nil || len(texts) != 1 {
		return ""
	}
	text, ok := m.expand(texts[0], true)
	if !ok || strings.ContainsFunc(text, func(r rune) bool { return r > '~' }) {
		return ""
	}
	return mail.Clean(text, maxExplanation)
}

// modifier returns the value of a modifier of an SPF record; "" if it is not there.
func modifier(record, name string) string {
	for term := range strings.FieldsSeq(record) {
		if k, v, ok := strings.Cut(term, "="); ok && strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

// ends reports whether a record has an "all": then its redirect is never followed.
func ends(record string) bool {
	return slices.ContainsFunc(strings.Fields(record), func(term string) bool {
		return strings.EqualFold(strings.TrimLeft(term, "+-~?"), "all")
	})
}

// macros are what the letters of RFC 7208 7.2 stand for.
type macros struct {
	client netip.Addr
	helo   string
	sender string // local@domain
	domain string // whose record is read
	now    time.Time
}

// expand replaces the macros in s. The letters c, r and t are known only in the
// text of an explanation.
func (m macros) expand(s string, text bool) (string, bool) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "%")
		b.WriteString(before)
		if !found {
			return b.String(), true
		}
		if after == "" || b.Len() > maxExpanded {
			return "", false
		}
		s = after[1:]
		switch after[0] {
		case '%':
			b.WriteByte('%')
		case '_':
			b.WriteByte(' ')
		case '-':
			b.WriteString("%20")
		case '{':
			macro, rest, closed := strings.Cut(s, "}")
			value, ok := m.value(macro, text)
			if !closed || !ok {
				return "", false
			}
			b.WriteString(value)
			s = rest
		default:
			return "", false
		}
	}
}

// value expands what stands between the braces: a letter, and how its value is
// cut, turned round and joined (RFC 7208 7.1).
func (m macros) value(macro string, text bool) (string, bool) {
	if macro == "" {
		return "", false
	}
	value, ok := m.letter(macro[0]|0x20, text)
	if !ok {
		return "", false
	}
	rest := strings.TrimLeft(macro[1:], "0123456789")
	keep, err := strconv.Atoi(macro[1 : len(macro)-len(rest)])
	if len(rest) < len(macro)-1 && (err != nil || keep == 0) {
		return "", false
	}
	reverse := rest != "" && rest[0]|0x20 == 'r'
	if reverse {
		rest = rest[1:]
	}
	if strings.Trim(rest, ".-+,/_=") != "" {
		return "", false
	}
	if rest == "" {
		rest = "."
	}
	parts := strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(rest, r) })
	if reverse {
		slices.Reverse(parts)
	}
	if keep > 0 {
		parts = parts[max(0, len(parts)-keep):]
	}
	value = strings.Join(parts, ".")
	if macro[0] < 'a' {
		value = escape(value)
	}
	return value, true
}

func (m macros) letter(c byte, text bool) (string, bool) {
	local, domain, _ := strings.Cut(m.sender, "@")
	switch c {
	case 's':
		return m.sender, true
	case 'l':
		return local, true
	case 'o':
		return domain, true
	case 'd':
		return m.domain, true
	case 'i':
		return dotted(m.client), true
	case 'p':
		return "unknown", true // RFC 7208 7.2 advises against asking
	case 'v':
		if m.client.Is4() {
			return "in-addr", true
		}
		return "ip6", true
	case 'h':
		return m.helo, true
	case 'c':
		return m.client.String(), text
	case 'r':
		return "unknown", text
	case 't':
		return strconv.FormatInt(m.now.Unix(), 10), text
	}
	return "", false
}

// dotted writes an IPv6 address as it stands in ip6.arpa, turned round.
func dotted(ip netip.Addr) string {
	if !ip.Is6() {
		return ip.String()
	}
	var digits []string
	for _, b := range ip.As16() {
		digits = append(digits, fmt.Sprintf("%X", b>>4), fmt.Sprintf("%X", b&15))
	}
	return strings.Join(digits, ".")
}

// escape writes a value as part of a URL (RFC 7208 7.3).
func escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

package auth

import (
	"strings"
)

// resultsField is the field of RFC 8601.
const resultsField = "Authentication-Results"

// foldAt is the length that a line should not exceed (RFC 5322 2.1.1).
const foldAt = 78

// maxValue is how much of a value is told in a header: a domain name fits.
const maxValue = 255

// Field returns the Authentication-Results field (RFC 8601 2.2), folded, CRLF
// included, that tells the results under our authserv-id, which is a host name.
// Methods that were not tried are left out. Nothing of a message gets in but
// domain names and a few letters of a signature, and they only as far as they are
// what they should be: no address and no foreign text.
func (r Results) Field(authserv string) string {
	var b strings.Builder
	b.WriteString(resultsField + ": " + value(authserv))
	if r.SPF.Result == "" && len(r.DKIM) == 0 && r.DMARC.Result == "" {
		b.WriteString("; none") // RFC 8601 2.2: no-result
	}
	who := "smtp.mailfrom"
	if r.SPF.Helo {
		who = "smtp.helo"
	}
	method(&b, "spf", r.SPF.Result, "", who, r.SPF.Domain)
	if len(r.DKIM) == 0 && r.DMARC.Result != "" {
		method(&b, "dkim", None, "")
	}
	for _, s := range r.DKIM {
		reason := s.Reason
		if s.Testing && reason == "" {
			reason = "the key is only being tested"
		}
		method(&b, "dkim", s.Result, reason,
			"header.d", s.Domain, "header.s", s.Selector, "header.a", s.Algorithm, "header.b", s.Prefix)
	}
	reason := r.DMARC.Reason
	if r.DMARC.Result == Fail {
		reason = "" // it says no more than "fail"
	}
	method(&b, "dmarc", r.DMARC.Result, reason, "header.from", r.DMARC.Domain, "policy.dmarc", string(r.DMARC.Asks))
	b.WriteString("\r\n")
	return b.String()
}

// method writes the result of one, beginning on a line of its own. Properties are
// names and values in turn; an empty value is left out.
func method(b *strings.Builder, name string, r Result, reason string, properties ...string) {
	if r == "" {
		return
	}
	line := "\t" + name + "=" + string(r)
	b.WriteString(";\r\n" + line)
	column := len(line)
	if reason != "" {
		properties = append([]string{"reason", quoted(reason)}, properties...)
	}
	for i := 0; i < len(properties); i += 2 {
		v := properties[i+1]
		if v == "" {
			continue
		}
		if properties[i] != "reason" {
			v = value(v)
		}
		word, sep := properties[i]+"="+v, " "
		if column += len(word) + 1; column > foldAt {
			sep, column = "\r\n\t", len(word)+1
		}
		b.WriteString(sep + word)
	}
}

// value writes a token where it can, and quotes what is none (RFC 2045 5.1).
func value(s string) string {
	s = s[:min(len(s), maxValue)]
	for i := 0; i < len(s); i++ {
		if c := s[i]; !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(".-_+", c) >= 0) {
			return quoted(s)
		}
	}
	if s == "" {
		return quoted(s)
	}
	return s
}

// quoted writes a quoted string that also a careless reader takes for one: what
// could end it, or begin a comment or another result, becomes "?".
func quoted(s string) string {
	s = s[:min(len(s), maxValue)]
	return `"` + strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`"\();`, r) {
			return '?'
		}
		return r
	}, s) + `"`
}

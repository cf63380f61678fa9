package auth

import (
	"strings"

	"github.com/postrider/postrider/mail"
)

// Strip returns a header without the Authentication-Results fields that could be
// taken for ours, and how many those were (RFC 8601 5): who reads our results must
// not find forged ones under our authserv-id.
//
// Taken for ours are fields that name us in any spelling, those that name nobody,
// and those whose name cannot be read; also where no field can stand. All others
// are left as they are, and h itself is returned where none is found.
func Strip(h mail.Header, authserv string) (mail.Header, int) {
	us := identity(authserv)
	var kept mail.Header
	removed, done := 0, 0 // done: octets of h that are in kept
	at := 0
	for name, raw := range lines(h) {
		if strings.EqualFold(name, resultsField) && claims(raw, us) {
			kept = append(kept, h[done:at]...)
			done = at + len(raw)
			removed++
		}
		at += len(raw)
	}
	if removed == 0 {
		return h, 0
	}
	return append(kept, h[done:]...), removed
}

// identity returns the form of an authserv-id by which it is compared.
func identity(s string) string {
	s = strings.TrimRight(s, ".")
	if c, err := mail.CanonicalDomain(s); err == nil {
		return c
	}
	return strings.ToLower(s)
}

// claims reports whether an Authentication-Results field could be taken for one
// of us. Readers differ in what they take for the end of the authserv-id: both
// its first word is compared, and all that stands before the first semicolon, the
// version left out.
func claims(raw []byte, us string) bool {
	_, head, _ := strings.Cut(string(raw), ":")
	words, ok := headWords(head)
	if !ok || len(words) == 0 {
		return true
	}
	if strings.Contains(words[0], "=") || len(words) > 1 && strings.HasPrefix(words[1], "=") {
		return true // a result where the name should be: it names nobody
	}
	first, _, _ := strings.Cut(words[0], "/")
	if n := len(words); n > 1 && strings.Trim(words[n-1], "0123456789") == "" {
		words = words[:n-1]
	}
	return identity(first) == us || identity(strings.Join(words, "")) == us
}

// headWords returns the words before the first semicolon of a field, without
// comments and quotes; false where one does not end, or there are characters that
// no reader agrees about.
func headWords(s string) (words []string, ok bool) {
	var word strings.Builder
	comment, quote, begun := 0, false, false
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		escaped := c == '\\' && (quote || comment > 0) && i+1 < len(s)
		if escaped {
			i++
			c = s[i]
		}
		switch {
		case c < ' ' && c != '\t' && c != '\r' && c != '\n', c == 0x7f:
			return nil, false
		case comment > 0:
			if !escaped && c == '(' {
				comment++
			} else if !escaped && c == ')' {
				comment--
			}
		case quote && !escaped && c == '"':
			quote = false
		case quote:
			word.WriteByte(c)
		case c == '(':
			end()
			comment++
		case c == '"':
			quote, begun = true, true
		case c == ';':
			end()
			return words, true
		case c == ' ', c == '\t', c == '\r', c == '\n':
			end()
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	end()
	return words, comment == 0 && !quote
}

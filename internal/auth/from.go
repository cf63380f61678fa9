package auth

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"mime"
	netmail "net/mail"
	"regexp"
	"slices"
	"strings"

	"github.com/postrider/postrider/mail"
)

// maxFrom is how many octets of a From field are read.
const maxFrom = 16 << 10

// authorship is who a message says it is from.
type authorship struct {
	domains []string // of the From field's addresses, canonical, each once
	fault   string   // why they cannot be relied on; "" if they can
	hides   bool     // who the author is cannot be found out within bounds: it could be anybody
}

// trouble says in words why the author is not one domain.
func (a authorship) trouble() string {
	if a.fault != "" {
		return a.fault
	}
	return fmt.Sprintf("From has addresses of %d domains", len(a.domains))
}

// authors reads the From field (RFC 9989 5.3.1). A reader of mail may show any
// address that it finds in something like a From field. So all of them are
// counted, also those behind a line at which our own scan of the header ends, and
// of a field that does not follow RFC 5322 every domain is taken that could be
// meant: a message must prove itself for each.
func authors(h mail.Header) authorship {
	var a authorship
	var fields [][]byte
	for name, raw := range lines(h) {
		if strings.EqualFold(name, "From") {
			fields = append(fields, raw)
		}
	}
	proper := h.Count("From")
	for _, raw := range fields {
		found, fault := addresses(raw)
		a.domains = append(a.domains, found...)
		if fault != "" {
			a.fault = fault
		}
		a.hides = a.hides || len(raw) > maxFrom
	}
	slices.Sort(a.domains)
	a.domains = slices.Compact(a.domains)
	switch {
	case len(fields) == 0:
		a.fault = "there is no From field"
	case len(fields) > 1:
		a.fault = fmt.Sprintf("there are %d From fields", len(fields))
	case proper != 1:
		a.fault = "the From field stands where no field can"
	}
	return a
}

// lines yields whatever in a header could be taken for a field: each line with
// those that continue it, and what stands before its colon without white space.
func lines(h mail.Header) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for rest := []byte(h); len(rest) > 0; {
			end := lineEnd(rest)
			for end < len(rest) && (rest[end] == ' ' || rest[end] == '\t') {
				end += lineEnd(rest[end:])
			}
			name, _, _ := bytes.Cut(rest[:end], []byte(":"))
			if !yield(string(bytes.TrimSpace(name)), rest[:end]) {
				return
			}
			rest = rest[end:]
		}
	}
}

func lineEnd(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}

// parser reads address lists; what a name means in its charset is of no interest.
var parser = netmail.AddressParser{WordDecoder: &mime.WordDecoder{
	CharsetReader: func(_ string, r io.Reader) (io.Reader, error) { return r, nil },
}}

// addresses returns the domains of the addresses in one From field.
func addresses(raw []byte) (domains []string, fault string) {
	if len(raw) > maxFrom {
		return nil, "the From field is too long"
	}
	value := mail.Field{Raw: raw}.Value()
	if strings.ContainsFunc(value, func(r rune) bool { return control(r) && r != '\t' }) {
		fault = "the From field has control characters in it"
	}
	if list, err := parser.ParseList(value); err == nil && fault == "" {
		for _, one := range list {
			domains = append(domains, one.Address[strings.LastIndexByte(one.Address, '@')+1:])
		}
	} else {
		domains = suspects(value)
	}
	known := domains[:0]
	for _, d := range domains {
		if c, err := mail.CanonicalDomain(strings.TrimSuffix(d, ".")); err == nil {
			known = append(known, c)
		} else if fault == "" {
			fault = "an address in From has no domain name"
		}
	}
	if len(known) == 0 && fault == "" {
		fault = "there is no address in From"
	}
	return known, fault
}

// suspects returns what follows each "@" of a field that cannot be parsed, in
// names, quotes and comments too, plain and decoded, and as it is without comments,
// where some honour quotes and some do not.
func suspects(value string) []string {
	var found []string
	decoded, err := parser.WordDecoder.DecodeHeader(value)
	if err != nil {
		decoded = ""
	}
	var forms []string
	for _, s := range []string{value, decoded} {
		forms = append(forms, s, bare(s), bare(strings.ReplaceAll(s, `"`, "")))
	}
	for _, s := range forms {
		for {
			_, after, ok := strings.Cut(s, "@")
			if !ok {
				break
			}
			after = strings.TrimLeft(after, " \t\"")
			end := strings.IndexFunc(after, func(r rune) bool {
				return control(r) || strings.ContainsRune(" <>()[]:;@\\,\"'=?", r)
			})
			if strings.HasPrefix(after, "[") {
				end = strings.IndexByte(after, ']') + 1
			}
			if end < 0 {
				end = len(after)
			}
			if end > 0 {
				found = append(found, after[:end])
			}
			s = after
		}
	}
	return found
}

// bare returns a field without comments (RFC 5322 3.2.2), and without the blanks that
// may stand around a dot and an "@" (RFC 5322 4.4). What is not closed is no comment.
func bare(s string) string {
	var kept []byte
	var opened []int // where in kept the comments begin that are not closed yet
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			kept = append(kept, c)
			i++
		case c == '"' && len(opened) == 0:
			quoted = !quoted
		case c == '(' && !quoted:
			opened = append(opened, len(kept))
		case c == ')' && len(opened) > 0:
			last := len(opened) - 1
			kept, opened = append(kept[:opened[last]], ' '), opened[:last]
			continue
		}
		kept = append(kept, s[i])
	}
	return string(gap.ReplaceAll(kept, []byte("$1")))
}

var gap = regexp.MustCompile(`[\x00-\x20\x7f]*([.@])[\x00-\x20\x7f]*`)

func control(r rune) bool { return r < ' ' || r == 0x7f }

package explain

import (
	"mime"
	"strings"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // reports come in every charset
)

// field is a field of a header, or of a part that is written like one.
type field struct {
	name  string
	lines []line // the first without the name
}

// line returns where the field begins.
func (f field) line() int { return f.lines[0].n }

// value returns the field's words, unfolded.
func (f field) value() string { return texts(f.lines) }

// header is the fields in order.
type header []field

// get returns the first field of that name.
func (h header) get(name string) (field, bool) {
	for _, f := range h {
		if strings.EqualFold(f.name, name) {
			return f, true
		}
	}
	return field{}, false
}

// value returns the words of the first field of that name, decoded; "" if there
// is none.
func (h header) value(name string) string {
	f, ok := h.get(name)
	if !ok {
		return ""
	}
	return decodeWords(f.value())
}

func (h header) has(name string) bool {
	_, ok := h.get(name)
	return ok
}

// readHeader reads fields up to a blank line, or to the first line that is none:
// reports exist whose blank line was lost.
func readHeader(ls []line) (h header, body []line) {
	for i, l := range ls {
		if l.text == "" || len(h) >= maxFields {
			if l.text == "" {
				i++
			}
			return h, ls[i:]
		}
		if c := l.text[0]; c == ' ' || c == '\t' {
			if l.blank() {
				return h, ls[i+1:]
			}
			if len(h) == 0 {
				return h, ls[i:]
			}
			f := &h[len(h)-1]
			f.lines = append(f.lines, l)
			continue
		}
		name, words, ok := cutField(l.text)
		if !ok {
			return h, ls[i:]
		}
		h = append(h, field{name, []line{{l.n, words}}})
	}
	return h, nil
}

// cutField splits "Name: words". What stands before the colon must look like
// the name of a field: "bob@example.com: unknown" is none.
func cutField(s string) (name, words string, ok bool) {
	i := strings.IndexByte(s, ':')
	if i <= 0 || i > 70 {
		return "", "", false
	}
	name = strings.TrimRight(s[:i], " \t")
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return "", "", false
		}
	}
	return name, strings.TrimLeft(s[i+1:], " \t"), name != ""
}

// messageFields are names by which the header of a message is told from other
// lines with a colon.
var messageFields = []string{"from", "to", "subject", "date", "received", "message-id", "return-path", "content-type", "mime-version", "delivered-to", "x-original-to"}

// ofMessage reports whether h is the header of a message.
func (h header) ofMessage() bool {
	for _, f := range h {
		for _, n := range messageFields {
			if strings.EqualFold(f.name, n) {
				return true
			}
		}
	}
	return false
}

// decodeWords decodes the encoded words of a header (RFC 2047).
func decodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		return s
	}
	d := mime.WordDecoder{CharsetReader: message.CharsetReader}
	if t, err := d.DecodeHeader(s); err == nil {
		return t
	}
	return s
}

// mediaType reads a Content-Type with all the faults it may have.
func mediaType(s string) (kind string, params map[string]string) {
	if s == "" {
		return "", nil
	}
	kind, params, err := mime.ParseMediaType(s)
	if err == nil {
		return kind, params
	}
	kind, rest, _ := strings.Cut(s, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	params = map[string]string{}
	for p := range strings.SplitSeq(rest, ";") {
		k, v, ok := strings.Cut(p, "=")
		if !ok {
			continue
		}
		v = strings.TrimSpace(v)
		if len(v) > 1 && v[0] == '"' {
			v, _, _ = strings.Cut(v[1:], `"`)
		}
		params[strings.ToLower(strings.TrimSpace(k))] = v
	}
	return kind, params
}

package mail

import (
	"bytes"
	"iter"
	"strings"
	"time"
)

// Header is the header of a message as its bytes stand (RFC 5322 2.2), without
// the blank line that ends it. It is read by hand and never rewritten: a strict
// parser refuses what real mail carries, and a signature covers these bytes.
type Header []byte

// Field is one field of a Header. Raw holds its lines with their ends.
type Field struct {
	Name string
	Raw  []byte
}

// SplitMessage finds the end of the header in msg. The body begins behind the
// blank line; a message without one is all header.
func SplitMessage(msg []byte) (Header, []byte) {
	if bytes.HasPrefix(msg, []byte("\r\n")) {
		return nil, msg[2:]
	}
	if i := bytes.Index(msg, []byte("\r\n\r\n")); i >= 0 {
		return Header(msg[:i+2]), msg[i+4:]
	}
	return Header(msg), nil
}

// Fields yields the fields in order. A line that is no field and continues none
// ends the header: what follows belongs to the body, whoever forgot the blank.
func (h Header) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		rest := []byte(h)
		for len(rest) > 0 {
			end := lineEnd(rest)
			for end < len(rest) && (rest[end] == ' ' || rest[end] == '\t') {
				end += lineEnd(rest[end:])
			}
			raw := rest[:end]
			rest = rest[end:]
			colon := bytes.IndexByte(raw, ':')
			if colon <= 0 {
				return
			}
			name := bytes.TrimRight(raw[:colon], " \t")
			if len(name) == 0 || bytes.ContainsAny(name, " \t\r\n") {
				return
			}
			if !yield(Field{string(name), raw}) {
				return
			}
		}
	}
}

func lineEnd(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}

// Value returns the field's body, unfolded and trimmed.
func (f Field) Value() string {
	_, v, _ := bytes.Cut(f.Raw, []byte(":"))
	return strings.TrimSpace(unfold.Replace(string(v)))
}

var unfold = strings.NewReplacer("\r\n", "", "\n", "")

// IsASCII reports whether a host without SMTPUTF8 can be given the header (RFC 6532 3).
func (h Header) IsASCII() bool { return isASCII(h) }

// Get returns the value of the first field of that name; "" if there is none.
func (h Header) Get(name string) string {
	for f := range h.Fields() {
		if strings.EqualFold(f.Name, name) {
			return f.Value()
		}
	}
	return ""
}

// Has reports whether a field of that name is there.
func (h Header) Has(name string) bool { return h.Count(name) > 0 }

// Count returns how many fields have that name.
func (h Header) Count(name string) int {
	n := 0
	for f := range h.Fields() {
		if strings.EqualFold(f.Name, name) {
			n++
		}
	}
	return n
}

// DateTime is the layout of every date in a header field (RFC 5322 3.3), with a
// numeric zone as RFC 3464 2.2.5 demands.
const DateTime = "Mon, 2 Jan 2006 15:04:05 -0700"

// Trace is what a Received field records of one hop (RFC 5321 4.4).
type Trace struct {
	Helo    string    // what the client called itself
	Client  string    // its address, "192.0.2.1"; "" for local submission
	Name    string    // its verified name in the DNS; "" if none
	By      string    // our host name
	With    string    // protocol keyword (RFC 3848): "ESMTPS"
	Cipher  string    // TLS version and cipher suite; "" for plain text
	ID      string    // our message id
	For     string    // the recipient, given only when it is the only one (blind copies!)
	Arrived time.Time // when the message was received
}

// AppendTo appends the Received field, folded, CRLF included.
func (t Trace) AppendTo(b []byte) []byte {
	b = append(b, "Received: from "...)
	b = append(b, traceWord(t.Helo)...)
	if t.Client != "" {
		lit := "[" + t.Client + "]"
		if strings.Contains(t.Client, ":") {
			lit = "[IPv6:" + t.Client + "]"
		}
		name := t.Name
		if name == "" {
			name = "unknown"
		}
		b = append(b, " ("+traceWord(name)+" "+lit+")"...)
	}
	b = append(b, "\r\n\tby "+traceWord(t.By)+" (postrider) with "+t.With...)
	if t.Cipher != "" {
		b = append(b, "\r\n\t("+t.Cipher+")"...)
	}
	b = append(b, "\r\n\tid "+t.ID...)
	if t.For != "" {
		b = append(b, "\r\n\tfor <"+Clean(t.For, MaxPath)+">"...)
	}
	b = append(b, "; "...)
	b = t.Arrived.AppendFormat(b, DateTime)
	return append(b, "\r\n"...)
}

// traceWord keeps a client's words from ending the field or its comment, and the
// field in ASCII: the next hop may know nothing else.
func traceWord(s string) string {
	if s == "" {
		return "unknown"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r <= ' ' || r > '~' || r == '(' || r == ')' || r == ';' || r == '\\' || r == '"' || r == '<' || r == '>':
			return '?'
		}
		return r
	}, Clean(s, MaxDomain))
}

package mail

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds on what is kept of a reply. A host that says more is not believed the
// rest: OpenSMTPD once let a remote reply write into its queue (CVE-2020-8794).
const (
	MaxReplyLines = 100  // lines kept of one reply
	MaxReplyLine  = 1000 // octets kept of one line
)

// Status is an enhanced status code (RFC 3463), class.subject.detail. The zero
// Status means that none was given.
type Status [3]uint16

// IsZero reports whether no status was given.
func (s Status) IsZero() bool { return s == Status{} }

// String returns "5.1.1", or "" for the zero Status.
func (s Status) String() string {
	if s.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", s[0], s[1], s[2])
}

// MarshalText writes the status as String does.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Status) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*s = Status{}
		return nil
	}
	st, rest := cutStatus(string(b))
	if st.IsZero() || rest != "" {
		return fmt.Errorf("mail: not a status: %q", b)
	}
	*s = st
	return nil
}

// cutStatus reads a status at the start of s, class 2, 4 or 5, and returns what
// follows it and one blank.
func cutStatus(s string) (Status, string) {
	var st Status
	rest := s
	for i := range st {
		n := 0
		for n < len(rest) && n < 3 && '0' <= rest[n] && rest[n] <= '9' {
			n++
		}
		if n == 0 || n > 1 && rest[0] == '0' { // no leading zeros: RFC 3463 2
			return Status{}, s
		}
		v, _ := strconv.Atoi(rest[:n])
		st[i], rest = uint16(v), rest[n:]
		if i < 2 {
			if !strings.HasPrefix(rest, ".") {
				return Status{}, s
			}
			rest = rest[1:]
		}
	}
	if c := st[0]; c != 2 && c != 4 && c != 5 {
		return Status{}, s
	}
	if rest == "" {
		return st, ""
	}
	if rest[0] != ' ' {
		return Status{}, s
	}
	return st, rest[1:]
}

// Reply is what a server says to a command (RFC 5321 4.2), kept word for word.
// Its class comes from Code and from nothing else: real hosts send "550 4.4.7".
// Code is 0 where nobody spoke and the words are ours.
type Reply struct {
	Code   int    `json:"code"`
	Status Status `json:"status,omitzero"` // zero: none given
	// Text holds the lines without code, separated by "\n". Where every line
	// carried the Status it is left out here; where only some did they keep it.
	Text string `json:"text"`
}

// IsZero reports whether r says nothing at all.
func (r Reply) IsZero() bool { return r == Reply{} }

// Success reports a code of 200 to 299.
func (r Reply) Success() bool { return r.Code/100 == 2 }

// Temporary reports a code of 400 to 499: the same command may succeed later.
func (r Reply) Temporary() bool { return r.Code/100 == 4 }

// Permanent reports a code of 500 to 599.
func (r Reply) Permanent() bool { return r.Code/100 == 5 }

// Lines yields each line of the reply as it stands behind its code.
func (r Reply) Lines() []string {
	lines := strings.Split(r.Text, "\n")
	if r.Status.IsZero() || r.inText(lines) {
		return lines
	}
	st := r.Status.String()
	for i, l := range lines {
		if l == "" {
			lines[i] = st
		} else {
			lines[i] = st + " " + l
		}
	}
	return lines
}

// inText reports whether some line of the text carries a status of its own.
func (r Reply) inText(lines []string) bool {
	for _, l := range lines {
		if st, _ := cutStatus(l); !st.IsZero() {
			return true
		}
	}
	return false
}

// AppendWire appends the reply as a server sends it, CRLF included. What would
// end a line within Text becomes '?', whoever wrote it there.
func (r Reply) AppendWire(b []byte) []byte {
	lines := r.Lines()
	for i, l := range lines {
		b = strconv.AppendInt(b, int64(r.Code), 10)
		switch {
		case i < len(lines)-1:
			b = append(b, '-')
		default:
			b = append(b, ' ')
		}
		b = append(append(b, Clean(l, len(l))...), '\r', '\n')
	}
	return b
}

// String returns the reply with its code on each line, lines separated by "\n";
// only the words where Code is 0.
func (r Reply) String() string {
	if r.Code == 0 {
		return strings.Join(r.Lines(), "\n")
	}
	return strings.TrimSuffix(strings.ReplaceAll(string(r.AppendWire(nil)), "\r\n", "\n"), "\n")
}

// Line returns the reply on one line, for logs and tables: "550 5.1.1 no such
// person / here".
func (r Reply) Line() string {
	words := strings.ReplaceAll(r.Text, "\n", " / ")
	if !r.Status.IsZero() && !r.inText(strings.Split(r.Text, "\n")) {
		words = strings.TrimSpace(r.Status.String() + " " + words)
	}
	if r.Code == 0 {
		return words
	}
	return strings.TrimSpace(strconv.Itoa(r.Code) + " " + words)
}

// ErrReply is returned for bytes that are no SMTP reply.
var ErrReply = errors.New("mail: not an SMTP reply")

// ParseReply reads the lines of one reply, each without its line end: all but
// the last have '-' behind the code. A code below 200 or above 599, or lines of
// different codes, is ErrReply: the peer speaks something else. Control
// characters become '?', and what exceeds the bounds is cut.
func ParseReply(lines []string) (Reply, error) {
	var r Reply
	var text []string
	for i, l := range lines {
		code, more, words, ok := CutReplyLine(l)
		if !ok || i > 0 && code != r.Code || more != (i < len(lines)-1) {
			return Reply{}, ErrReply
		}
		r.Code = code
		if i < MaxReplyLines {
			text = append(text, Clean(words, MaxReplyLine))
		}
	}
	if len(text) == 0 {
		return Reply{}, ErrReply
	}
	all := true
	bare := make([]string, len(text))
	for i, l := range text {
		st, rest := cutStatus(l)
		if again, _ := cutStatus(rest); st.IsZero() || !again.IsZero() || i > 0 && st != r.Status {
			all = false
		}
		if !st.IsZero() {
			r.Status = st
		}
		bare[i] = rest
	}
	if all {
		text = bare
	}
	r.Text = strings.Join(text, "\n")
	return r, nil
}

// CutReplyLine splits one line of a reply: its code, whether more lines follow,
// and its words.
func CutReplyLine(l string) (code int, more bool, words string, ok bool) {
	if len(l) < 3 {
		return
	}
	for i := range 3 {
		if l[i] < '0' || l[i] > '9' {
			return
		}
		code = code*10 + int(l[i]-'0')
	}
	if code < 200 || code > 599 {
		return
	}
	if len(l) == 3 {
		return code, false, "", true
	}
	switch l[3] {
	case '-':
		return code, true, l[4:], true
	case ' ':
		return code, false, l[4:], true
	}
	return
}

// Clean makes foreign words safe to store, log and mail on: control characters
// and bytes that are no UTF-8 become '?', a tab a blank; at most limit octets
// are kept.
func Clean(s string, limit int) string {
	clean := len(s) <= limit && utf8.ValidString(s)
	for i := 0; clean && i < len(s); i++ {
		clean = s[i] >= ' ' && s[i] != 0x7f && s[i] != 0xc2
	}
	if clean {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if r == '\t' {
			r = ' '
		}
		if r < ' ' || 0x7f <= r && r < 0xa0 || r == utf8.RuneError {
			r = '?'
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Straight makes clean words safe to be read: what turns the direction of writing, so
// that a text reads as another (UAX 9 2.1 and 2.2; CVE-2021-42574), and what some
// programs take for a line end becomes '?', and an octet that is no UTF-8 U+FFFD.
func Straight(s string) string {
	if strings.IndexByte(s, 0xe2) < 0 && utf8.ValidString(s) { // all of them begin with it
		return s
	}
	return strings.Map(func(r rune) rune {
		if 0x2028 <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}

package chain

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// mainCF is a main.cf before anything is made of its values.
type mainCF struct {
	name   string
	values map[string]written
	order  []string // the names, each where it first stood
	doubts []Doubt
}

// written is a value as it stands in a file.
type written struct {
	text string
	line int // of the name
}

// Doubt is something in a file that works, but perhaps not as was meant.
type Doubt struct {
	Line     int      `json:"line"` // from 1
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
}

func (m *mainCF) doubt(line int, s Severity, format string, args ...any) {
	m.doubts = append(m.doubts, Doubt{line, s, fmt.Sprintf(format, args...)})
}

func (m *mainCF) wrong(line int, format string, args ...any) error {
	return fmt.Errorf("chain: read %s:%d: %s", m.name, line, fmt.Sprintf(format, args...))
}

// readMainCF cuts a main.cf into names and values (postconf(5)): a line that
// starts with white space continues the one before it, comments and empty lines
// may stand between the two, and the last value of a name counts.
func readMainCF(name string, text []byte) (*mainCF, error) {
	m := &mainCF{name: name, values: map[string]written{}}
	var logical []string
	start := 0
	end := func() error {
		if logical == nil {
			return nil
		}
		line := strings.Join(logical, "")
		logical = nil
		return m.set(start, line)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSuffix(line, "\n")
		said := strings.TrimSpace(line)
		switch {
		case said == "" || said[0] == '#':
		case !space(line[0]):
			if err := end(); err != nil {
				return nil, err
			}
			logical, start = []string{line}, n
		case logical == nil:
			m.doubt(n, Wrong, "%s: stands before any parameter it could continue, and Postfix ignores it", quote(said))
		default:
			logical = append(logical, line)
		}
	}
	return m, end()
}

func (m *mainCF) set(line int, text string) error {
	key, value, found := strings.Cut(text, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	switch {
	case !found || strings.ContainsFunc(key, func(r rune) bool { return r < 0x80 && space(byte(r)) }):
		return m.wrong(line, "%s has no \"=\" behind the name; write name = value", quote(text))
	case key == "":
		return m.wrong(line, "%s has no name before the \"=\"", quote(text))
	}
	if before, ok := m.values[key]; !ok {
		m.order = append(m.order, key)
	} else if before.text != value {
		m.doubt(line, Warning, "%s = %s replaces the value of line %d (%s); the last one counts", quote(key), quote(value), before.line, quote(before.text))
	}
	m.values[key] = written{value, line}
	return nil
}

// Bounds on what a value may become: one that names others twice each grows
// without end, and one that names itself never ends.
const (
	maxReferences = 1000
	maxValue      = 4096 // octets; no value that is read here is longer
)

// expander replaces references in a value: $name, ${name}, $(name),
// ${name?text}, ${name:text}, ${name?{text}:{text}}.
type expander struct {
	value func(name string) (string, bool) // as written, or as shipped
	left  int                              // references that may still be followed
	path  []string                         // names being replaced
}

func (x *expander) expand(s string) (string, error) {
	var b strings.Builder
	for s != "" {
		if b.Len() > maxValue {
			return "", fmt.Errorf("is longer than %d octets when its references are replaced", maxValue)
		}
		before, rest, found := strings.Cut(s, "$")
		b.WriteString(before)
		if !found {
			break
		}
		if strings.HasPrefix(rest, "$") {
			b.WriteByte('$')
			s = rest[1:]
			continue
		}
		inside, after, err := reference(rest)
		if err != nil {
			return "", err
		}
		text, err := x.one(inside)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
		s = after
	}
	return b.String(), nil
}

// reference cuts what stands behind a "$" into the reference and the rest.
func reference(s string) (inside, rest string, err error) {
	n := 0
	switch {
	case s != "" && (s[0] == '{' || s[0] == '('):
		n = balanced(s)
		if n < 0 {
			return "", "", fmt.Errorf("has a reference without its end: %s", quote("$"+s))
		}
		inside, rest = s[1:n-1], s[n:]
	default:
		for n < len(s) && nameByte(s[n]) {
			n++
		}
		inside, rest = s[:n], s[n:]
	}
	if inside == "" {
		return "", "", fmt.Errorf("has a \"$\" without a name; write $$ for the sign itself")
	}
	return inside, rest, nil
}

// balanced returns the length of the group that s begins with, brackets
// included; below 0: it does not end.
func balanced(s string) int {
	left, right := s[0], byte('}')
	if left == '(' {
		right = ')'
	}
	level := 0
	for i := range len(s) {
		switch s[i] {
		case left:
			level++
		case right:
			if level--; level == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// one replaces a single reference.
func (x *expander) one(inside string) (string, error) {
	n := 0
	for n < len(inside) && nameByte(inside[n]) {
		n++
	}
	name, rest := inside[:n], inside[n:]
	if name == "" {
		return "", fmt.Errorf("holds %s, which is not understood here; write the value itself", quote("${"+inside+"}"))
	}
	yes, no, err := branches(rest)
	if err != nil {
		return "", fmt.Errorf("holds %s, which is not understood here: %w", quote("${"+inside+"}"), err)
	}
	value, err := x.named(name, rest != "")
	if err != nil || rest == "" {
		return value, err
	}
	if value != "" {
		return x.expand(yes)
	}
	return x.expand(no)
}

// branches reads "?text", ":text", "?{text}:{text}" and "?{text}:text".
func branches(s string) (yes, no string, err error) {
	if rest, ok := strings.CutPrefix(s, "?"); ok {
		group := strings.TrimLeft(rest, " \t\r\n")
		if !strings.HasPrefix(group, "{") {
			return rest, "", nil
		}
		n := balanced(group)
		if n < 0 {
			return "", "", fmt.Errorf("a brace is not closed")
		}
		yes, s = group[1:n-1], strings.TrimLeft(group[n:], " \t\r\n")
	}
	if s == "" {
		return yes, "", nil
	}
	rest, ok := strings.CutPrefix(s, ":")
	if !ok {
		return "", "", fmt.Errorf("%s where \"?\" or \":\" should be", quote(s))
	}
	group := strings.TrimSpace(rest)
	if strings.HasPrefix(group, "{") && balanced(group) == len(group) {
		rest = group[1 : len(group)-1]
	}
	return yes, rest, nil
}

// named returns the value of a parameter, its own references replaced. Where it
// is only asked whether it has one, none is no mistake.
func (x *expander) named(name string, asked bool) (string, error) {
	if x.left--; x.left < 0 {
		return "", fmt.Errorf("needs more than %d references to be replaced", maxReferences)
	}
	for _, p := range x.path {
		if p == name {
			return "", fmt.Errorf("refers to itself: %s", quote(strings.Join(append(x.path, name), ", ")))
		}
	}
	text, ok := x.value(name)
	switch {
	case !ok && asked:
		return "", nil
	case !ok:
		return "", fmt.Errorf("refers to %s, which this file does not set and whose default is not known here", quote("$"+name))
	}
	x.path = append(x.path, name)
	text, err := x.expand(text)
	x.path = x.path[:len(x.path)-1]
	return text, err
}

// parseTime reads a length of time as Postfix does: a whole number and at most
// one letter, else in the parameter's own unit (postconf(5)).
func parseTime(s string, unit byte) (time.Duration, error) {
	digits := strings.TrimRight(s, "smhdw")
	letter := s[len(digits):]
	switch {
	case s == "":
		return 0, fmt.Errorf("has no value; leave the line out for the default")
	case strings.Contains(s, "#"):
		return 0, fmt.Errorf("is %s, but a comment needs a line of its own", quote(s))
	case letter == "":
		letter = string(unit)
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || len(letter) != 1 || n < 0 {
		return 0, fmt.Errorf("is %s, not a whole number with s, m, h, d or w behind it", quote(s))
	}
	of := map[string]int64{"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}[letter]
	if n > (1<<31-1)/of {
		return 0, fmt.Errorf("is %s, more than Postfix can count", quote(s))
	}
	return time.Duration(n*of) * time.Second, nil
}

// formatTime writes a length of time as parseTime reads it, in the greatest unit
// that it fills.
func formatTime(d time.Duration) string {
	switch {
	case d >= 24*time.Hour && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

func space(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' }

func nameByte(b byte) bool {
	return b == '_' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}

// quote shows a stranger's words, bounded and without control characters.
func quote(s string) string { return strconv.Quote(mail.Clean(s, 60)) }

package explain

import "strings"

// page is text in the making, its lines no wider than its width. All words that
// are put on it go through shown.
type page struct {
	b     strings.Builder
	width int
	paint paint
}

// paint colours words for a terminal, if it is wanted.
type paint bool

// color is a parameter of the terminal's SGR sequence (ECMA-48 8.3.117). Only
// those are used that are readable on light and on dark.
type color string

const (
	plainly color = ""
	bold    color = "1"
	dim     color = "2"
	red     color = "31"
	green   color = "32"
	yellow  color = "33"
)

func (p paint) in(c color, s string) string {
	if !p || c == plainly || s == "" {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}

// blank ends a paragraph.
func (p *page) blank() {
	if s := p.b.String(); s != "" && !strings.HasSuffix(s, "\n\n") {
		p.b.WriteByte('\n')
	}
}

// line writes a line that is made ready: shown, coloured and short enough.
func (p *page) line(s string) {
	p.b.WriteString(strings.TrimRight(s, " "))
	p.b.WriteByte('\n')
}

// para writes a paragraph.
func (p *page) para(c color, s string) {
	p.hang(c, "", "", s)
	p.blank()
}

// title writes the words above a section.
func (p *page) title(s string) { p.hang(bold, "", "", s) }

// item writes one of a list.
func (p *page) item(s string) { p.hang(plainly, "  - ", "    ", s) }

// quote writes foreign words.
func (p *page) quote(s string) { p.hang(plainly, "  > ", "  > ", s) }

// hang writes s behind head; further lines begin with next, which is as wide.
// Words are kept whole where they can be.
func (p *page) hang(c color, head, next, s string) {
	room := max(p.width-columns(head), 1)
	lead := head
	for _, l := range wrapped(shown(s), room) {
		p.line(lead + p.paint.in(c, l))
		lead = next
	}
}

// field writes a name and its value, the values under one another.
func (p *page) field(column int, name, value string) {
	if value == "" {
		return
	}
	column = min(column, p.width/2)
	name, _ = cutColumns(shown(name), column-2)
	head := p.paint.in(dim, name) + strings.Repeat(" ", column-columns(name))
	for _, l := range wrapped(shown(value), p.width-column) {
		p.line(head + l)
		head = strings.Repeat(" ", column)
	}
}

// wrapped breaks a text at its blanks into lines of so many columns, and a word
// that is wider wherever it must be broken. It returns at least one line.
func wrapped(s string, room int) []string {
	var lines []string
	line, used := "", 0
	flush := func() {
		lines = append(lines, line)
		line, used = "", 0
	}
	for w := range strings.FieldsSeq(s) {
		n := columns(w)
		if used > 0 && used+1+n > room {
			flush()
		}
		if used > 0 {
			line += " "
			used++
		}
		for n > room {
			part, rest := cutColumns(w, room)
			if part == "" {
				break // a letter wider than the line
			}
			line = part
			flush()
			w, n = rest, columns(rest)
		}
		line += w
		used += n
	}
	if used > 0 || len(lines) == 0 {
		flush()
	}
	return lines
}

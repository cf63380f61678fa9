package notice

import (
	"strings"
	"unicode/utf8"
)

// width is how long a line may be, in letters.
const width = 74

// page is text in the making. Lines are broken at blanks.
type page struct{ b strings.Builder }

func (p *page) String() string { return p.b.String() }

// blank ends a paragraph.
func (p *page) blank() {
	if s := p.b.String(); s != "" && !strings.HasSuffix(s, "\n\n") {
		p.b.WriteByte('\n')
	}
}

func (p *page) line(s string) { p.b.WriteString(s + "\n") }

// rule draws a line across.
func (p *page) rule() {
	p.blank()
	p.line(strings.Repeat("-", width-2))
	p.blank()
}

// para writes a paragraph.
func (p *page) para(s string) {
	p.hang("", s)
	p.blank()
}

// label writes a paragraph that says first what it is about.
func (p *page) label(name, s string) { p.para(name + ": " + s) }

// item writes one of a list.
func (p *page) item(s string) { p.wrap("  - ", "    ", s) }

// quote writes foreign words line by line.
func (p *page) quote(s string) {
	for i, l := range strings.Split(s, "\n") {
		if i == maxQuoted {
			p.line("    > ...")
			break
		}
		p.wrap("    > ", "    >   ", l)
	}
	p.blank()
}

// field writes a name and its value, values under one another.
func (p *page) field(name, value string) {
	if value == "" {
		return
	}
	const column = 14
	p.wrap("  "+name+strings.Repeat(" ", max(column-len(name)-2, 1)), strings.Repeat(" ", column), value)
}

// hang writes s behind head, its further lines indented a little more than head.
func (p *page) hang(head, s string) {
	indent := len(head) - len(strings.TrimLeft(head, " "))
	if indent > 0 {
		indent += 4
	}
	p.wrap(head, strings.Repeat(" ", indent), s)
}

func (p *page) wrap(head, next, s string) {
	p.b.WriteString(head)
	at, bare := utf8.RuneCountInString(head), true
	for w := range strings.FieldsSeq(s) {
		n := utf8.RuneCountInString(w)
		switch {
		case bare:
		case at+1+n > width:
			p.b.WriteString("\n" + next)
			at = utf8.RuneCountInString(next)
		default:
			p.b.WriteByte(' ')
			at++
		}
		p.b.WriteString(w)
		at, bare = at+n, false
	}
	p.b.WriteByte('\n')
}

package explain

import "strings"

// glyphs are the letters of a picture.
type glyphs struct {
	marks [unheard + 1]string
	bar   []string // the parts of a letter that is not full, then the full one
	dots  string
}

var (
	drawn = glyphs{
		marks: [...]string{passed: "○", owner: "◆", refuser: "×", silent: "×", taker: "●", unheard: "?"},
		bar:   []string{"▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"},
		dots:  "…",
	}
	ascii = glyphs{
		marks: [...]string{passed: "o", owner: "#", refuser: "x", silent: "x", taker: "+", unheard: "?"},
		bar:   []string{"="},
		dots:  "..",
	}
)

// draw draws a part of room, at least so much that it can be seen.
func (g glyphs) draw(part float64, room int) string {
	steps := len(g.bar)
	n := min(max(int(part*float64(room*steps)+0.5), 1), room*steps)
	s := strings.Repeat(g.bar[steps-1], n/steps)
	if n%steps > 0 {
		s += g.bar[n%steps-1]
	}
	return s
}

// table is the picture in columns: host, bar, time held, note. Their rooms are in
// columns of the terminal; no room for bars: no time is told.
type table struct {
	names, holds           []string
	host, bar, held, notes int
}

const (
	margin   = 4 // in front of the names: blanks and the mark
	leastBar = 10
	mostBar  = 30
)

// draw draws the way of the message: a line for each host, with a bar as long as
// it held the message.
func (t *writer) draw(f Finding) {
	ps := way(f, t.language)
	if len(ps) == 0 {
		return
	}
	g := drawn
	if t.style.ASCII {
		g = ascii
	}
	s, c := scaleOf(ps), t.columns(ps)
	for i, p := range ps {
		hue := colorOf(p, f)
		name := g.marks[p.mark] + " " + clipMiddle(c.names[i], c.host, g.dots)
		if p.mark > owner || c.bar == 0 {
			note := clipMiddle(shown(p.note), t.width-margin-c.host-2, g.dots)
			if note != "" {
				name = pad(name, c.host+2) + "  " + note
			}
			t.line("  " + t.paint.in(hue, name))
			continue
		}
		l := "  " + t.paint.in(hue, pad(name, c.host+2)) + "  "
		bar := ""
		if p.told {
			bar = g.draw(s.of(p.held), c.bar)
		}
		l += t.paint.in(hue, pad(bar, c.bar)) + " " + strings.Repeat(" ", c.held-columns(c.holds[i])) + c.holds[i]
		if c.notes > 0 {
			l += "  " + t.paint.in(dim, clipMiddle(shown(p.note), c.notes, g.dots))
		}
		t.line(l)
	}
	if s.log && c.bar > 0 {
		t.hang(dim, strings.Repeat(" ", margin), strings.Repeat(" ", margin), t.say("picture.log"))
	}
	t.blank()
}

// columns shares the width out. What tells least gives way first: the software of
// the hosts, then the notes, then the ends of long names.
func (t *writer) columns(ps []place) table {
	var c table
	any := false
	for _, p := range ps {
		h := t.heldOf(p)
		c.holds = append(c.holds, h)
		c.held = max(c.held, columns(h))
		if p.mark <= owner {
			c.notes = max(c.notes, columns(shown(p.note)))
		}
		any = any || p.told
	}
	for _, software := range []bool{true, false} {
		c.names, c.host = nil, 0
		for _, p := range ps {
			n := t.nameOf(p, software)
			c.names = append(c.names, n)
			c.host = max(c.host, columns(n))
		}
		room := t.width - margin - c.host - 2
		if !any {
			if room >= c.notes {
				return c
			}
			continue
		}
		if c.bar = min(room-1-c.held-2-c.notes, mostBar); c.bar >= leastBar {
			return c
		}
	}
	if !any {
		c.host = min(c.host, t.width-margin-2-min(c.notes, t.width/3))
		return c
	}
	c.notes = 0
	c.host = min(c.host, t.width-margin-2-leastBar-1-c.held)
	c.bar = min(t.width-margin-c.host-2-1-c.held, mostBar)
	return c
}

func colorOf(p place, f Finding) color {
	switch p.mark {
	case owner:
		if ended(f.Kind) {
			return red
		}
		return green
	case refuser, silent:
		return yellow
	case taker:
		return green
	}
	return plainly
}

// ended reports the ways to end in which the message was given up or returned.
func ended(kind string) bool {
	switch kind {
	case StillTrying, HandedOn, Expanded, Arrived, NoBounce:
		return false
	}
	return true
}

// nameOf names the host of a place, with its software if that is wanted.
func (l *language) nameOf(p place, software bool) string {
	name, made := p.host, ""
	if software {
		made = p.software
	}
	switch {
	case p.folded > 0:
		return l.count("picture.folded", p.folded)
	case name == "" && p.mark > owner:
		return l.say("picture.other")
	case name == "" && p.mark == owner:
		name = l.say("picture.somebody")
	case name == "":
		name = "?"
	}
	return shown(l.say("picture.host", "host", name, "software", made))
}

// heldOf says how long a place held the message.
func (l *language) heldOf(p place) string {
	if !p.told {
		return l.say("picture.held not told")
	}
	return l.short(p.held)
}

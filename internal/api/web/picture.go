package web

import (
	"fmt"
	"html"
	"html/template"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
)

// Measures of a timeline, in its own units. It is drawn as package chain draws a
// story: custody as a bar, attempts as ticks below it, letters on their way up.
const (
	topHigh   = 34.0 // from the upper edge to the sender's line
	bandStep  = 62.0
	barHigh   = 20.0
	tickHigh  = 7.0
	axisHigh  = 44.0
	denseTick = 2.2  // ticks closer than that are one block
	leastBar  = 4.0  // so that custody of a second is seen
	nameSize  = 14.4 // of the bold letters of a name, as width reckons
)

// sheet is the room for a timeline.
type sheet struct {
	left, wide, right float64
	above             bool // names stand above the bands, not at their left
	steps             time.Duration
}

var (
	wideSheet   = sheet{left: 176, wide: 720, right: 40, steps: 8}
	narrowSheet = sheet{left: 6, wide: 348, right: 26, above: true, steps: 4}
)

// timeline is a delivery being drawn.
type timeline struct {
	strings.Builder
	sheet
	t       api.Trace
	host    string
	now     time.Time
	waiting bool
	whole   time.Duration // what the axis shows
}

// draw draws the timeline of a delivery as an SVG picture: what was, and in lighter
// ink what will be if nothing changes.
func draw(t api.Trace, host string, now time.Time, s sheet) template.HTML {
	p := &timeline{sheet: s, t: t, host: host, now: now, waiting: t.Left.IsZero()}
	p.whole = max(p.last()+p.last()/40, time.Minute)
	bottom := p.y(2) + barHigh + 14
	p.put(`<svg class="t" viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">`, s.left+s.wide+s.right, bottom+axisHigh, html.EscapeString(p.label()))
	p.axis(bottom)
	p.bands()
	p.custody()
	p.holds()
	p.attempts()
	p.coming()
	p.letters()
	p.end()
	p.names()
	p.put(`</svg>`)
	return template.HTML(p.String())
}

// last is the last moment of the picture, as an age.
func (p *timeline) last() time.Duration {
	end := p.t.Left
	if p.waiting {
		end = p.now
	}
	for _, m := range p.t.Forecast {
		if m.At.After(end) {
			end = m.At
		}
	}
	return end.Sub(p.t.Accepted)
}

// label says the picture in words.
func (p *timeline) label() string {
	if !p.waiting {
		return fmt.Sprintf("%s after %s and %d attempts", p.t.State, age(p.t.Left.Sub(p.t.Accepted)), p.t.Attempts)
	}
	s := fmt.Sprintf("%s for %s, %d attempts", p.t.State, age(p.now.Sub(p.t.Accepted)), p.t.Attempts)
	if e := p.t.Fate.GivesUp; e != nil {
		s += ", given up in " + age(e.Sub(p.now)) + " if nothing changes"
	}
	return s
}

// x is where a moment lies. What lies outside is put on the edge.
func (p *timeline) x(at time.Time) float64 {
	d := min(max(at.Sub(p.t.Accepted), 0), p.whole)
	return p.left + p.wide*float64(d)/float64(p.whole)
}

// y is the upper edge of a row: the sender, this server, the destination.
func (p *timeline) y(row int) float64 { return topHigh + bandStep*float64(row) }

func (p *timeline) put(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *timeline) text(x, y float64, class, s string) {
	p.put(`<text class="%s" x="%.1f" y="%.1f">%s</text>`, class, x, y, html.EscapeString(mail.Clean(s, 200)))
}

// width is about how wide a text of that size is.
func width(s string, size float64) float64 { return 0.56 * size * float64(len([]rune(s))) }

func short(s string, size, most float64) string {
	if r := []rune(s); width(s, size) > most {
		return string(r[:max(int(most/(0.56*size))-1, 1)]) + "…"
	}
	return s
}

// bands draws what lies behind the bars.
func (p *timeline) bands() {
	for row := 1; row <= 2; row++ {
		p.put(`<rect class="band" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="3"/>`, p.left, p.y(row), p.wide, barHigh)
	}
}

// names stand over everything else.
func (p *timeline) names() {
	names := []string{returnPath(p.t.From), p.host, p.t.Domain}
	under := []string{"sender", "this server", "destination"}
	for row := range names {
		y := p.y(row)
		if p.above {
			p.text(p.left, y-map[bool]float64{true: 18, false: 7}[row == 0], "dim", short(under[row]+" "+names[row], 11, p.wide))
			continue
		}
		p.text(0, y+8, "name", short(names[row], nameSize, p.left-18))
		p.text(0, y+22, "dim", under[row])
	}
}

// custody draws the bar of what was, and in lighter ink of what will be.
func (p *timeline) custody() {
	from, y := p.x(p.t.Accepted), p.y(1)
	until := p.t.Left
	if p.waiting {
		until = p.now
	}
	w := max(p.x(until)-from, leastBar)
	if p.waiting {
		to := p.left + p.wide
		if e := p.t.Fate.GivesUp; e != nil {
			to = p.x(*e)
		}
		p.put(`<rect class="later" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="3"/>`, from, y, max(to-from, w), barHigh)
	}
	p.put(`<rect class="own" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="3"/>`, from, y, w, barHigh)
	long := age(until.Sub(p.t.Accepted))
	for _, l := range []string{fmt.Sprintf("%s, %s", long, count(p.t.Attempts, "attempt")), long} {
		if width(l, 11)+14 < w {
			p.text(from+8, y+14, "inbar", l)
			break
		}
	}
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return num(n) + " " + noun + "s"
}

// holds draws the times in which an operator kept it from being tried.
func (p *timeline) holds() {
	var since time.Time
	flush := func(until time.Time) {
		if from, to := p.x(since), p.x(until); !since.IsZero() {
			p.put(`<rect class="held" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="3"><title>held</title></rect>`, from, p.y(1)-3, max(to-from, leastBar), barHigh+6)
		}
		since = time.Time{}
	}
	for _, e := range p.t.Events {
		switch e.Kind {
		case watch.Held:
			since = e.At
		case watch.Released:
			flush(e.At)
		}
	}
	if p.waiting {
		flush(p.now)
	}
}

// ink is the colour of what an attempt met.
func ink(e watch.Event) string {
	switch e.Kind {
	case watch.Delivered, watch.Relayed:
		return "good"
	case watch.Deferred:
		if e.Trouble == custody.Deferred.String() || e.Trouble == custody.Greylisted.String() {
			return "wait"
		}
	}
	return "bad"
}

// ticks draws moments as ticks; where they stand close, as a block.
func (p *timeline) ticks(class string, at []time.Time) {
	var from, to float64
	flush := func() {
		if from > 0 {
			p.put(`<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, class, from-.7, p.y(1)+barHigh, to-from+1.4, tickHigh)
		}
	}
	for _, m := range at {
		if x := p.x(m); from > 0 && x-to < denseTick {
			to = x
		} else {
			flush()
			from, to = x, x
		}
	}
	flush()
}

func (p *timeline) attempts() {
	byInk := map[string][]time.Time{}
	for _, e := range p.t.Events {
		switch e.Kind {
		case watch.Deferred, watch.Delivered, watch.Relayed, watch.Expired:
			byInk[ink(e)] = append(byInk[ink(e)], e.At)
		case watch.Bounced:
			if e.Order == custody.NoOrder {
				byInk["bad"] = append(byInk["bad"], e.At)
			}
		}
	}
	for _, class := range []string{"bad", "wait", "good"} {
		p.ticks(class, byInk[class])
	}
}

// coming draws the tries that are to come.
func (p *timeline) coming() {
	class := "bad"
	for _, e := range p.t.Events {
		if e.Kind == watch.Deferred {
			class = ink(e)
		}
	}
	var at []time.Time
	for _, m := range p.t.Forecast {
		if m.What == custody.WillTry {
			at = append(at, m.At)
		}
	}
	p.ticks(class+" coming", at)
}

// letters draws what the sender was told, and will be.
func (p *timeline) letters() {
	room := p.left - 100
	for _, e := range p.t.Events {
		switch {
		case e.Kind == watch.Warned && len(e.Letters) > 0:
			room = p.envelope(e.At, "delayed", "", room)
		case e.Kind == watch.Bounced && len(e.Letters) > 0, e.Kind == watch.Expired && len(e.Letters) > 0:
			room = p.envelope(e.At, "failed", "", room)
		case (e.Kind == watch.Delivered || e.Kind == watch.Relayed) && len(e.Letters) > 0:
			room = p.envelope(e.At, e.Kind, "", room)
		}
	}
	for _, m := range p.t.Forecast {
		switch {
		case m.What == custody.WillWarn:
			room = p.envelope(m.At, "delayed", "coming", room)
		case m.What == custody.WillEnd && p.t.From != "":
			room = p.envelope(m.At, "failed", "coming", room)
		}
	}
}

func (p *timeline) envelope(at time.Time, label, coming string, room float64) float64 {
	x, y := p.x(at), p.y(0)+8
	p.put(`<g class="%s"><path class="post" d="M%.1f %.1fV%.1f"/>`, coming, x, p.y(1), y+9)
	p.put(`<rect class="envelope" x="%.1f" y="%.1f" width="18" height="13" rx="2"/><path class="envelope" d="M%.1f %.1fl8 6 8-6"/></g>`, x-9, y-6.5, x-8, y-5)
	if half := width(label, 11) / 2; x-half > room && !p.above {
		p.text(x, y-12, "note mid "+coming, label)
		room = x + half + 4
	}
	return room
}

// end draws how it ended, or where it stands now and how it will end.
func (p *timeline) end() {
	y := p.y(1)
	if p.waiting {
		x := p.x(p.now)
		top := y - 12
		if p.above {
			top = y - 2
		}
		p.put(`<path class="now" d="M%.1f %.1fV%.1f"/>`, x, top, p.y(2)+barHigh+14)
		switch {
		case p.above:
			p.text(x+4, y+barHigh+tickHigh+13, "nowtext", "now")
		case x < p.left+16:
			p.text(x, y-16, "nowtext", "now")
		default:
			p.text(x, y-16, "nowtext mid", "now")
		}
		if e := p.t.Fate.GivesUp; e != nil {
			p.put(`<path class="cross coming" d="M%.1f %.1fl9 9m0-9l-9 9"/>`, p.x(*e)+8, y+5.5)
		}
		return
	}
	x := max(p.x(p.t.Left), p.left+leastBar)
	taken := p.t.State == watch.Delivered || p.t.State == watch.Relayed || p.t.State == "mixed"
	if taken {
		p.put(`<path class="hand" d="M%.1f %.1fV%.1f"/>`, x-1, y+barHigh, p.y(2))
		p.put(`<rect class="own" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="3"/>`, x-leastBar, p.y(2), leastBar+1, barHigh)
		p.put(`<path class="check" d="M%.1f %.1fl4 5 8-10"/>`, x+7, p.y(2)+barHigh/2)
	}
	if !taken || p.t.State == "mixed" {
		p.put(`<path class="cross" d="M%.1f %.1fl9 9m0-9l-9 9"/>`, x+7, y+5.5)
	}
}

// axis draws the time, in steps that a person counts in: ages, and the dates below.
func (p *timeline) axis(y float64) {
	step := axisStep(p.whole, p.steps)
	layout := "Mon 2 Jan"
	if step < 24*time.Hour {
		layout = "15:04"
		if p.whole > 24*time.Hour {
			layout = "Mon 15:04"
		}
	}
	if step < time.Minute {
		layout = "15:04:05"
	}
	for at := time.Duration(0); at <= p.whole; at += step {
		m := p.t.Accepted.Add(at)
		x, class := p.x(m), "mid"
		if p.above && at == 0 {
			class = ""
		}
		p.put(`<path class="grid" d="M%.1f %.1fV%.1f"/>`, x, p.y(0)-4, y)
		p.text(x, y+16, class, age(at))
		p.text(x, y+31, "dim "+class, m.Local().Format(layout))
	}
	p.put(`<path class="axis" d="M%.1f %.1fH%.1f"/>`, p.left, y, p.left+p.wide)
}

// axisStep is a step of which about so many fit into a time.
func axisStep(whole, most time.Duration) time.Duration {
	const day = 24 * time.Hour
	for _, s := range []time.Duration{
		10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 5 * day, 10 * day, 30 * day, 60 * day, 90 * day, 180 * day,
	} {
		if whole/s <= most {
			return s
		}
	}
	return 365 * day
}

package chain

import (
	"fmt"
	"html"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// Measures of the picture, in its own units.
const (
	pictureLeft  = 176.0 // of the names
	pictureWide  = 760.0 // of the time
	pictureRight = 44.0
	pictureTop   = 96.0
	senderHigh   = 46.0 // from the sender to the first band
	bandStep     = 74.0 // from one band to the next
	barHigh      = 20.0
	axisHigh     = 54.0
	leastBar     = 4.0 // so that custody of a second is seen
	denseTick    = 2.2 // ticks closer than that are one block
)

const pictureStyle = `<style>
text{font:12px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;fill:#1d2430}
.head{font-size:17px;font-weight:600}.name{font-size:13px;font-weight:600}.dim{fill:#667085;font-size:11px}.mid{text-anchor:middle}.end{text-anchor:end}
.paper{fill:#fff}.band{fill:#f4f6fa}.grid{stroke:#dfe4ec}.axis{stroke:#98a2b3}
.own{fill:#2f6fb3}.inbar{fill:#fff;font-size:11px;font-weight:600}.hand{stroke:#2f6fb3;stroke-width:2.5;fill:none}
.refused{fill:#c2410c}.deferred{fill:#c98a00}.accepted{fill:#15803d}
.hatch{stroke:#dc8a7c;stroke-width:1.6}.out{fill:#fdf1ee}.outage{fill:#9a3412;font-size:11px}
.halo{stroke:#fdf1ee;stroke-width:4;stroke-linejoin:round}
.letter{stroke:#8b5cf6;stroke-width:1.5;stroke-dasharray:4 3;fill:none}.paperclip{fill:#fff;stroke:#7c3aed;stroke-width:1.6}.note{fill:#6d28d9;font-size:11px}
.whisker{stroke:#667085;stroke-width:1.5;fill:none}
.silence{stroke:#98a2b3;stroke-width:1.5;stroke-dasharray:1 5;stroke-linecap:round}.bad{stroke:#c2410c;stroke-width:3;stroke-linecap:round;fill:none}
.good{stroke:#15803d;stroke-width:3;stroke-linecap:round;stroke-linejoin:round;fill:none}
@media (prefers-color-scheme:dark){text{fill:#e7eaf0}.dim{fill:#98a2b3}.paper{fill:#14171d}.band{fill:#1c212a}.grid{stroke:#2b313d}.axis{stroke:#667085}
.own{fill:#4f93dc}.inbar{fill:#0b1420}.hand{stroke:#4f93dc}.refused{fill:#fb7a4b}.deferred{fill:#eab308}.accepted{fill:#4ade80}
.hatch{stroke:#8a4a3c}.out{fill:#2a1d1b}.outage{fill:#fdba9c}.halo{stroke:#2a1d1b}.letter{stroke:#a78bfa}.paperclip{fill:#14171d;stroke:#a78bfa}.note{fill:#c4b5fd}
.whisker{stroke:#667085;stroke-width:1.5;fill:none}
.silence{stroke:#667085}.bad{stroke:#fb7a4b}.good{stroke:#4ade80}.whisker{stroke:#98a2b3}}
</style>`

// picture is a story being drawn.
type picture struct {
	strings.Builder
	s     Story
	row   map[string]int // of each hop; the sender's is 0
	whole time.Duration  // what the axis shows
}

// Draw draws the story as an SVG picture that needs nothing else: a band for each
// hop, its custody as a bar, attempts as ticks below it, outages hatched where they
// lie, and the letters on their way to the sender. It follows the reader's light or
// dark scheme.
func (s Story) Draw(w io.Writer) error {
	p := &picture{s: s, row: map[string]int{}}
	for i, h := range s.scenario.Hops {
		p.row[h.Name] = i + 1
	}
	p.whole = max(p.last()+p.last()/40, time.Minute)
	bottom := pictureTop + senderHigh + bandStep*float64(len(s.scenario.Hops)-1) + barHigh + 26
	width, height := pictureLeft+pictureWide+pictureRight, bottom+axisHigh
	headline := s.headline()
	fmt.Fprintf(p, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-label="%s">`+"\n%s\n", width, height, width, height, html.EscapeString(headline), pictureStyle)
	p.put(`<defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="out" width="7" height="7"/><path class="hatch" d="M0 0V7"/></pattern></defs>`)
	p.put(`<rect class="paper" width="%.0f" height="%.0f"/>`, width, height)
	p.text(16, 30, "head", headline)
	p.text(16, 50, "dim", s.subtitle())
	p.legend(width - 16)
	p.axis(bottom, pictureTop-16)
	p.bands()
	labels := p.outages()
	p.custody()
	p.attempts()
	p.letters()
	p.WriteString(labels) // above all lines
	p.WriteString("</svg>\n")
	_, err := io.WriteString(w, p.String())
	return err
}

// headline is the story in a line.
func (s Story) headline() string {
	sum := s.Summary
	switch {
	case sum.Outcome == WasDelivered && sum.Ended.At == 0:
		return "Delivered at once"
	case sum.Outcome == WasDelivered:
		return "Delivered after " + when(sum.Ended.At)
	case s.ended(Bounces):
		return fmt.Sprintf("Not delivered: ended by %s after %s, for it was refused for good", sum.By, when(sum.Ended.At))
	}
	return fmt.Sprintf("Not delivered: %s gives up after %s", sum.By, when(sum.Ended.At))
}

func (s Story) ended(by EventKind) bool {
	return slices.ContainsFunc(s.Events, func(e Event) bool { return e.Letter == 0 && e.Kind == by })
}

// subtitle says what the sender learns.
func (s Story) subtitle() string {
	sum := s.Summary
	words := ""
	if sum.Ended.certain() != "" {
		words = "It may end at any time from " + sum.Ended.between() + ". "
	}
	switch {
	case sum.FirstTold == nil && sum.Outcome == WasLost:
		return words + "The sender never learns of it."
	case sum.FirstTold == nil:
		return words + "The sender is told nothing on the way."
	case sum.FirstTold.At == sum.LastTold.At:
		return words + "The sender learns of it at " + when(sum.FirstTold.At) + ", and nothing before."
	}
	return words + "The sender is first told at " + when(sum.FirstTold.At) + ", last at " + when(sum.LastTold.At) + "."
}

// last is the last moment of the picture.
func (p *picture) last() time.Duration {
	end := p.s.Summary.Ended.At
	for _, e := range p.s.Events {
		end = max(end, e.At+e.Took)
	}
	if l := p.s.Summary.Ended.Latest; l != Unknown {
		end = max(end, min(l, end+end/3))
	}
	for _, o := range p.s.scenario.Outages { // one that ends soon after is seen to end
		if e := o.When.End; o.When.Calendar.Every == NoCalendar && e > end && e < end+end/3 {
			end = e
		}
	}
	return end
}

// x is where a moment lies. What lies outside is put on the edge.
func (p *picture) x(at time.Duration) float64 {
	return pictureLeft + pictureWide*float64(min(max(at, 0), p.whole))/float64(p.whole)
}

// y is the upper edge of a hop's bar.
func (p *picture) y(hop string) float64 {
	return pictureTop + senderHigh + bandStep*float64(p.row[hop]-1)
}

func (p *picture) put(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *picture) text(x, y float64, class, s string) {
	p.put(`<text class="%s" x="%.1f" y="%.1f">%s</text>`, class, x, y, html.EscapeString(mail.Clean(s, 400)))
}

// wide is about how wide a text of that size is.
func wide(s string, size float64) float64 { return 0.56 * size * float64(utf8.RuneCountInString(s)) }

// short cuts a text to a width.
func short(s string, size, most float64) string {
	if r := []rune(s); wide(s, size) > most {
		return string(r[:max(int(most/(0.56*size))-1, 1)]) + "…"
	}
	return s
}

// bands draws the names and what lies behind the bars.
func (p *picture) bands() {
	p.text(16, pictureTop+14, "name", "sender")
	for _, h := range p.s.scenario.Hops {
		y := p.y(h.Name)
		p.put(`<rect class="band" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="3"/>`, pictureLeft, y, pictureWide, barHigh)
		p.text(16, y+9, "name", short(h.Name, 13, pictureLeft-30))
		what := h.System
		switch {
		case h.Schedule != nil:
			what = "postrider"
		case h.Bare():
			what = "mailbox"
		case what == "":
			what = "a policy of its own"
		}
		if h.Backup != "" && !h.Equal {
			what = "backup MX, " + what
		}
		p.text(16, y+23, "dim", short(what, 11, pictureLeft-30))
	}
}

// tickHigh is how far a tick reaches towards the next hop.
const tickHigh = 7.0

// attempts draws a tick for each attempt; where they stand close, a block.
func (p *picture) attempts() {
	type tick struct{ from, to float64 }
	blocks := map[string]map[string]*tick{} // by hop and outcome, the last
	draw := func(hop, class string, t *tick) {
		p.put(`<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, class, t.from-0.7, p.y(hop)+barHigh, t.to-t.from+1.4, tickHigh)
	}
	for _, e := range p.s.Events {
		if e.Kind != Attempts || e.Letter > 0 {
			continue
		}
		class := e.Outcome
		if class == "unreachable" {
			class = "refused"
		}
		if blocks[e.Hop] == nil {
			blocks[e.Hop] = map[string]*tick{}
		}
		at := p.x(e.At)
		switch t := blocks[e.Hop][class]; {
		case t != nil && at-t.to < denseTick:
			t.to = at
		default:
			if t != nil {
				draw(e.Hop, class, t)
			}
			blocks[e.Hop][class] = &tick{at, at}
		}
	}
	for _, h := range p.s.scenario.Hops {
		for _, class := range []string{"refused", "deferred", "accepted"} {
			if t := blocks[h.Name][class]; t != nil {
				draw(h.Name, class, t)
			}
		}
	}
}

// custody draws the bars, how it moves from one to the next, and its end.
func (p *picture) custody() {
	for i, t := range p.s.Tenures {
		from, to, y := p.x(t.From), p.x(t.Until), p.y(t.Hop)
		w := max(to-from, leastBar)
		if i > 0 {
			before := p.y(p.s.Tenures[i-1].Hop)
			p.put(`<path class="hand" d="M%.1f %.1fV%.1f"/>`, from+1, min(before, y)+barHigh, max(before, y))
		}
		p.put(`<rect class="own" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="3"/>`, from, y, w, barHigh)
		long := when(t.Until - t.From)
		for _, label := range []string{fmt.Sprintf("%s, %d attempts", long, t.Attempts), long} {
			if wide(label, 11)+14 < w && (t.Attempts > 1 || label == long) {
				p.text(from+8, y+14, "inbar", label)
				break
			}
		}
	}
	last := p.s.Tenures[len(p.s.Tenures)-1]
	x, y := p.x(last.Until)+13, p.y(last.Hop)+barHigh/2
	good := p.s.Summary.Outcome == WasDelivered
	if e := p.s.Summary.Ended; e.certain() != "" {
		from, to := p.x(e.Earliest), p.x(e.Latest)
		if e.Latest == Unknown {
			to = pictureLeft + pictureWide
		}
		p.put(`<path class="whisker" d="M%.1f %.1fv7m0 -3.5H%.1fm0 -3.5v7"><title>possible: %s</title></path>`, from, y+barHigh/2+10, to, html.EscapeString(e.between()))
	}
	if good {
		p.put(`<path class="good" d="M%.1f %.1fl4 5 8-10"/>`, x-5, y)
		return
	}
	p.put(`<path class="bad" d="M%.1f %.1fl10 10m0-10l-10 10"/>`, x-5, y-5)
}

// letters draws the notices on their way, and how long the sender hears nothing.
func (p *picture) letters() {
	y := pictureTop + barHigh/2
	if sum := p.s.Summary; sum.SilentUntil == Unknown || sum.SilentUntil > sum.SilentFrom {
		until := sum.SilentUntil
		if until == Unknown {
			until = p.whole
		}
		from, to := p.x(sum.SilentFrom), p.x(until)
		p.put(`<path class="silence" d="M%.1f %.1fH%.1f"/>`, from+12, y, to-12)
		label := "silence for " + when(until-sum.SilentFrom)
		if sum.SilentUntil == Unknown {
			label = "silence for ever"
		}
		if to-from > wide(label, 11)+40 {
			p.text((from+to)/2, y-6, "dim mid", label)
		}
	}
	room := 0.0
	for _, l := range p.s.Letters {
		from := p.x(l.Written.At)
		hop := p.y(l.Hop)
		if l.Arrived == nil {
			p.put(`<path class="letter" d="M%.1f %.1fv-18"/>`, from, hop)
			p.put(`<path class="bad" d="M%.1f %.1fl6 6m0-6l-6 6"/>`, from-3, hop-26)
			continue
		}
		at := p.x(l.Arrived.At)
		p.put(`<path class="letter" d="M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f"/>`, from, hop, from, hop-30, at, y+44, at, y+9)
		p.put(`<g transform="translate(%.1f %.1f)"><title>%s</title><rect class="paperclip" x="-9" y="-6.5" width="18" height="13" rx="2"/><path class="paperclip" d="M-8 -5l8 6 8-6"/></g>`, at, y, html.EscapeString(letterWord(l.Kind)+" from "+l.Hop+" at "+l.Arrived.when()))
		label := map[custody.Kind]string{custody.Delayed: "delayed", custody.Failed: "failed"}[l.Kind]
		if label == "" {
			label = l.Kind.String()
		}
		if at-room > wide(label, 11)/2 {
			p.text(at, y-11, "note mid", label)
			room = at + wide(label, 11)/2 + 4
		}
	}
}

package explain

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
	"time"
)

// Measures of the picture, in its own units; a browser shows one as a pixel.
const (
	svgWidth   = 800
	svgMargin  = 28
	svgRail    = svgMargin + 8 // where the hosts stand under one another
	svgNames   = svgRail + 24
	svgBars    = 372 // where the bars begin
	svgBarRoom = 300
	svgRow     = 52
	svgFates   = 12 // fates that are drawn; of more, the rest is counted
)

// svgStyle colours the picture for light and for dark surroundings. The class at
// the root keeps the rules from a page around it.
const svgStyle = `<style>
.postrider-way text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;direction:ltr;unicode-bidi:isolate}
.postrider-way .mono{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"Noto Sans Mono",monospace}
.postrider-way .bg{fill:#fdfdfc}
.postrider-way .ink{fill:#1c2430}
.postrider-way .muted{fill:#68717f}
.postrider-way .track{fill:#eef0f3}
.postrider-way .grid{stroke:#dfe3e8}
.postrider-way .rail{stroke:#c3cad4}
.postrider-way .hop{fill:#7f9cc4}
.postrider-way .owner{fill:#cf3f52}
.postrider-way .no{fill:#b7791f}
.postrider-way .ok{fill:#24936a}
.postrider-way .ring{stroke:#cf3f52}
.postrider-way .ring-ok{stroke:#24936a}
.postrider-way .cross{stroke:#b7791f}
.postrider-way .hole{fill:#fdfdfc}
@media (prefers-color-scheme:dark){
.postrider-way .bg,.postrider-way .hole{fill:#151a21}
.postrider-way .ink{fill:#e9edf3}
.postrider-way .muted{fill:#98a3b3}
.postrider-way .track{fill:#222a35}
.postrider-way .grid{stroke:#303a48}
.postrider-way .rail{stroke:#465264}
.postrider-way .hop{fill:#6d8fc2}
.postrider-way .owner{fill:#f2707f}
.postrider-way .no{fill:#eab053}
.postrider-way .ok{fill:#4fc796}
.postrider-way .ring{stroke:#f2707f}
.postrider-way .ring-ok{stroke:#4fc796}
.postrider-way .cross{stroke:#eab053}
}
</style>
`

// SVG draws a report as a picture for a page: for each fate the verdict, the
// hosts that had the message with the time each held it, the one whose clock
// counted, and what the next host said. It has no scripts and loads nothing; what
// the message said can only be read in it. It follows the reader's choice of light
// or dark.
func SVG(r Report) string {
	d := &drawing{language: r.language()}
	fates := gather(r.Recipients)
	label := r.Says
	if r.Says != "" {
		d.paragraph("ink", 16, 600, r.Says, 78)
		d.y += 10
	}
	for i, g := range fates {
		if i == svgFates {
			d.paragraph("muted", 13, 400, d.count("and more fates", len(fates)-i), 100)
			break
		}
		if i > 0 {
			d.y += 14
			fmt.Fprintf(&d.b, `<line class="grid" x1="%d" y1="%d" x2="%d" y2="%d"/>`+"\n", svgMargin, d.y, svgWidth-svgMargin, d.y)
			d.y += 14
		}
		d.fate(g)
		label = strings.TrimSpace(label + " " + g.Verdict)
	}
	height := d.y + svgMargin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="postrider-way" role="img" viewBox="0 0 %d %d" width="%d" height="%d">`+"\n", svgWidth, height, svgWidth, height)
	fmt.Fprintf(&b, "<title>%s</title>\n", escaped(label))
	b.WriteString(svgStyle)
	fmt.Fprintf(&b, `<rect class="bg" width="%d" height="%d" rx="14"/>`+"\n", svgWidth, height)
	b.WriteString(d.b.String())
	b.WriteString("</svg>\n")
	return b.String()
}

// drawing is a picture in the making; y is where its next part begins.
type drawing struct {
	*language
	b strings.Builder
	y int
}

// escaped makes words harmless in XML, whoever wrote them.
func escaped(s string) string {
	var b strings.Builder
	// A strings.Builder takes whatever is written.
	_ = xml.EscapeText(&b, []byte(shown(s)))
	return b.String()
}

// words writes one line of text at a place; anchor is where of the text the
// place is.
func (d *drawing) words(class string, x, y, size, weight int, anchor, s string) {
	if s == "" {
		return
	}
	fmt.Fprintf(&d.b, `<text class="%s" x="%d" y="%d" font-size="%d" font-weight="%d" text-anchor="%s">%s</text>`+"\n", class, x, y, size, weight, anchor, escaped(s))
}

// paragraph writes text below what is there, in lines of so many columns.
func (d *drawing) paragraph(class string, size, weight int, s string, room int) {
	for _, l := range wrapped(shown(s), room) {
		d.y += size * 3 / 2
		d.words(class, svgMargin, d.y, size, weight, "start", l)
	}
}

// fate draws what became of some recipients.
func (d *drawing) fate(g gathered) {
	if d.y == 0 {
		d.y = svgMargin - 10
	}
	if who := d.names(g.rcpts); who != "" {
		d.paragraph("muted", 13, 500, clipMiddle(shown(who), 200, "…"), 104)
		d.y += 2
	}
	first, rest, more := strings.Cut(g.Verdict, ". ")
	if more {
		first += "."
	}
	d.paragraph("ink", 16, 600, first, 78)
	if rest != "" {
		d.paragraph("muted", 14, 400, rest, 100)
	}
	ps := way(g.Finding, d.language)
	if len(ps) == 0 {
		return
	}
	d.y += 22
	s := scaleOf(ps)
	top := d.y
	d.rails(ps, top)
	rows := 0
	for _, p := range ps {
		if p.mark <= owner {
			rows++
		}
	}
	d.grid(s, top, rows)
	for i, p := range ps {
		d.place(p, g.Finding, s, top+i*svgRow)
	}
	d.y = top + len(ps)*svgRow
}

// rails join the hosts; where nobody spoke the line is broken.
func (d *drawing) rails(ps []place, top int) {
	for i := range ps[1:] {
		dash := ""
		if ps[i+1].mark == silent || ps[i+1].mark == unheard {
			dash = ` stroke-dasharray="3 5"`
		}
		y := top + i*svgRow + svgRow/2
		fmt.Fprintf(&d.b, `<line class="rail" x1="%d" y1="%d" x2="%d" y2="%d" stroke-width="2"%s/>`+"\n", svgRail, y, svgRail, y+svgRow, dash)
	}
}

// grid draws the scale behind the bars.
func (d *drawing) grid(s scale, top, rows int) {
	if s.most <= 0 {
		return
	}
	bottom := top + rows*svgRow
	var last = -100
	for _, t := range s.ticks() {
		x := svgBars + int(math.Round(s.of(t)*svgBarRoom))
		if x-last < 34 {
			continue
		}
		last = x
		fmt.Fprintf(&d.b, `<line class="grid" x1="%d" y1="%d" x2="%d" y2="%d"/>`+"\n", x, top+4, x, bottom-4)
		d.words("muted", x, top, 10, 400, "middle", d.short(t))
	}
}

// ticks are the times that are named on the scale.
func (s scale) ticks() []time.Duration {
	const day = 24 * time.Hour
	var out []time.Duration
	if !s.log {
		for _, unit := range []time.Duration{time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, day, 5 * day, 30 * day} {
			if n := s.most / unit; n >= 1 && n <= 6 {
				for i := time.Duration(1); i <= n; i++ {
					out = append(out, i*unit)
				}
				break
			}
		}
		return out
	}
	for _, t := range []time.Duration{time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, day, 5 * day, 30 * day, 365 * day} {
		if t <= s.most {
			out = append(out, t)
		}
	}
	return out
}

// place draws one host.
func (d *drawing) place(p place, f Finding, s scale, top int) {
	mid := top + svgRow/2
	d.node(p, f, mid)
	const room = 42 // columns for a name
	under := p.note
	if p.software != "" {
		under = strings.Trim(p.software+" · "+p.note, " ·")
	}
	name := p.host
	if name == "" {
		name = d.nameOf(place{mark: p.mark, folded: p.folded}, false)
	}
	name = clipMiddle(shown(name), room-4, "…")
	if p.mark > owner {
		d.words("ink", svgNames, mid+5, 14, 600, "start", name)
		class, note := "no", clipMiddle(shown(p.note), 56, "…")
		if p.mark == taker {
			class = "ok"
		}
		if p.mark != refuser || f.Refused.Text == "" {
			d.words(class, svgBars, mid+5, 13, 600, "start", note)
			return
		}
		d.words(class, svgBars, mid-4, 13, 600, "start", note)
		d.quoted(f.Refused.Text, mid+12)
		return
	}
	if under == "" {
		mid += 8
	}
	d.words("ink", svgNames, mid-3, 14, 600, "start", name)
	if under == "" {
		mid -= 8
	}
	d.words("muted", svgNames, mid+14, 12, 400, "start", clipMiddle(shown(under), room+6, "…"))
	if !p.told {
		if p.folded == 0 && s.most > 0 || p.mark == owner {
			d.words("muted", svgBars, mid+4, 12, 400, "start", d.say("picture.held unknown"))
		}
		return
	}
	bar := max(int(math.Round(s.of(p.held)*svgBarRoom)), 2)
	fmt.Fprintf(&d.b, `<rect class="track" x="%d" y="%d" width="%d" height="14" rx="3"/>`, svgBars, mid-8, svgBarRoom)
	fmt.Fprintf(&d.b, `<rect class="%s" x="%d" y="%d" width="%d" height="14" rx="3"/>`+"\n", barClass(p, f), svgBars, mid-8, bar)
	d.words("ink", svgBars+svgBarRoom+12, mid+4, 13, 600, "start", d.short(p.held))
	if v := time.Duration(f.Clock.Value); p.mark == owner && v > 0 && ranOut(f) {
		x := svgBars + min(int(math.Round(s.of(v)*svgBarRoom)), svgBarRoom)
		fmt.Fprintf(&d.b, `<line class="ring" x1="%d" y1="%d" x2="%d" y2="%d" stroke-width="2"/>`+"\n", x, mid-12, x, mid+10)
		d.words("owner", x, mid+21, 11, 500, "middle", d.say("picture.limit", "limit", d.short(v)))
	}
}

func barClass(p place, f Finding) string {
	switch {
	case p.mark == owner && ranOut(f):
		return "owner"
	case p.mark == owner && !ended(f.Kind):
		return "ok"
	}
	return "hop"
}

// node draws the mark of a host on the rail.
func (d *drawing) node(p place, f Finding, y int) {
	x := svgRail
	switch {
	case p.folded > 0:
		for _, dy := range []int{-6, 0, 6} {
			fmt.Fprintf(&d.b, `<circle class="hop" cx="%d" cy="%d" r="2"/>`, x, y+dy)
		}
		d.b.WriteByte('\n')
	case p.mark == passed:
		fmt.Fprintf(&d.b, `<circle class="hop" cx="%d" cy="%d" r="6"/>`+"\n", x, y)
	case p.mark == owner:
		ring := "ring"
		if !ended(f.Kind) {
			ring = "ring-ok"
		}
		fmt.Fprintf(&d.b, `<circle class="hole %s" cx="%d" cy="%d" r="9" stroke-width="2.5"/>`, ring, x, y)
		if ranOut(f) || f.Kind == StillTrying { // the hands of its clock
			fmt.Fprintf(&d.b, `<path class="%s" d="M%d %dv-5.5M%d %dh4" fill="none" stroke-width="2" stroke-linecap="round"/>`, ring, x, y, x, y)
		}
		d.b.WriteByte('\n')
	case p.mark == taker:
		fmt.Fprintf(&d.b, `<circle class="ok" cx="%d" cy="%d" r="7"/>`+"\n", x, y)
	case p.mark == unheard:
		fmt.Fprintf(&d.b, `<circle class="hole cross" cx="%d" cy="%d" r="8" stroke-width="2" stroke-dasharray="3 3"/>`, x, y)
		d.words("no", x, y+4, 11, 700, "middle", "?")
	default:
		fmt.Fprintf(&d.b, `<circle class="hole cross" cx="%d" cy="%d" r="8" stroke-width="2"/>`, x, y)
		fmt.Fprintf(&d.b, `<path class="cross" d="M%d %dl6 6M%d %dl-6 6" stroke-width="2" stroke-linecap="round"/>`+"\n", x-3, y-3, x+3, y-3)
	}
}

// quoted writes the beginning of a host's words.
func (d *drawing) quoted(s string, y int) {
	const room, most = 58, 2
	ls := wrapped(shown(s), room)
	for i, l := range ls {
		if i == most-1 && len(ls) > most {
			l, _ = cutColumns(l, room-1)
			l += "…"
		}
		if i == most {
			return
		}
		d.words("muted mono", svgBars, y+i*14, 11, 400, "start", l)
	}
}

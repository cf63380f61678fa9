package chain

import (
	"fmt"
	"html"
	"io"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// Measures of the picture of a load, beside those of the receivers.
const (
	loadTop, loadRow, loadHigh = 66, 112, 80
	mostMarks                  = 40 // of recoveries in one row
)

const loadStyle = `<style>
text{font:12px system-ui,sans-serif;fill:#222}.head{font-size:15px;font-weight:600}.dim{fill:#667}.bad{fill:#b3261e}
.paper{fill:#fff}.down{fill:#f3e3e0}.hatch{stroke:#d9aea8;stroke-width:2}.line{stroke:#dde}.base{stroke:#889}
.area{fill:#3b78b5;fill-opacity:.55;stroke:#2a5f96}.back{stroke:#2e7d4f;stroke-width:2}.dry{fill:#2e7d4f}
@media (prefers-color-scheme:dark){text{fill:#e6e6ea}.dim{fill:#a0a3b0}.bad{fill:#ff7b70}.paper{fill:#16181d}.down{fill:#38262a}
.hatch{stroke:#6b4247}.line{stroke:#2c313c}.base{stroke:#8a8fa0}.area{fill:#5b9bd8;stroke:#9cc3e6}.back{stroke:#6fcf97}.dry{fill:#6fcf97}}
</style>
<defs><pattern id="away" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="down" width="8" height="8"/><path class="hatch" d="M0 0V8"/></pattern></defs>`

// DrawLoad draws what waits in each hop over the time as an SVG picture, with the
// outages hatched, and marks where mail is taken again and where the hop is empty. It
// follows the reader's light or dark scheme.
func DrawLoad(w io.Writer, s LoadStory) error {
	d := &drawing{whole: max(s.Ended, time.Minute)}
	var hops []LoadHop
	for _, h := range s.Hops {
		if !h.Home {
			hops = append(hops, h)
		}
	}
	width, height := svgLeft+svgWide+svgRight, loadTop+loadRow*len(hops)+24
	title := s.title()
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n%s\n", width, height, html.EscapeString(title), loadStyle)
	fmt.Fprintf(d, `<rect class="paper" width="%d" height="%d"/>`+"\n", width, height)
	d.text(12, 22, "head", title)
	d.loadLegend()
	d.loadAxis(height)
	for i, h := range hops {
		d.loadHop(h, loadTop+i*loadRow)
	}
	d.WriteString("</svg>\n")
	_, err := io.WriteString(w, d.String())
	return err
}

func (d *drawing) loadLegend() {
	const y = 34
	d.WriteString(`<rect class="area" x="12" y="34" width="14" height="10"/><rect fill="url(#away)" x="92" y="34" width="14" height="10"/>`)
	fmt.Fprintf(d, `<path class="back" d="M252 %dv12"/>`, y-1)
	d.dry(357, y+6)
	d.text(30, y+9, "dim", "waiting")
	d.text(110, y+9, "dim", "nobody takes its mail")
	d.text(259, y+9, "dim", "taken again")
	d.text(367, y+9, "dim", "nothing is late any more")
}

func (d *drawing) dry(x float64, y int) {
	fmt.Fprintf(d, `<path class="dry" d="M%.1f %dl5 5l-5 5l-5 -5z"/>`+"\n", x, y-5)
}

// loadAxis draws lines at lengths of time that people count in.
func (d *drawing) loadAxis(height int) {
	const day = 24 * time.Hour
	step := 365 * day
	for _, s := range []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour,
		6 * time.Hour, 12 * time.Hour, day, 2 * day, 7 * day, 30 * day, 90 * day} {
		if d.whole/s <= 8 {
			step = s
			break
		}
	}
	for at := time.Duration(0); at <= d.whole; at += step {
		fmt.Fprintf(d, `<path class="line" d="M%.1f %dV%d"/>`, d.x(at), loadTop-10, height-22)
		d.text(d.x(at)-8, height-8, "dim", custody.FormatAge(at))
	}
}

// loadHop draws what waits in a hop.
func (d *drawing) loadHop(h LoadHop, top int) {
	base := top + loadHigh
	fmt.Fprintf(d, "<g><title>%s</title>\n", html.EscapeString(mail.Clean(h.Title, 100)))
	for _, o := range h.Outages {
		until := o.Until
		if until == Unknown {
			until = d.whole
		}
		fmt.Fprintf(d, `<rect fill="url(#away)" x="%.1f" y="%d" width="%.1f" height="%d"/>`+"\n", d.x(o.From), top, max(d.x(until)-d.x(o.From), 0.5), loadHigh)
	}
	if h.Peak > 0 {
		fmt.Fprintf(d, `<path class="area" d="M%d %d`, svgLeft, base)
		put := func(at time.Duration, waiting int64) {
			fmt.Fprintf(d, "L%.1f %.1f", d.x(at), float64(base)-loadHigh*float64(min(waiting, h.Peak))/float64(h.Peak))
		}
		shown := false
		for _, p := range h.Series {
			if !shown && p.At >= h.PeakAt {
				put(h.PeakAt, h.Peak)
				shown = true
			}
			put(p.At, p.Waiting)
		}
		fmt.Fprintf(d, "V%dz\"/>\n", base)
	}
	fmt.Fprintf(d, `<path class="base" d="M%d %dh%d"/>`+"\n", svgLeft, base, svgWide)
	for _, r := range h.Recoveries[:min(len(h.Recoveries), mostMarks)] {
		fmt.Fprintf(d, `<path class="back" d="M%.1f %dv%d"/>`, d.x(r.At), top-4, loadHigh+4)
		d.dry(d.x(r.Drained), base)
	}
	d.text(12, top+14, "", mail.Clean(h.Name, 26))
	d.text(12, top+30, "dim", thousands(h.Entered)+" entered")
	d.text(12, top+46, "dim", "hands on "+thousands(int64(h.Drain))+"/s")
	d.loadWords(h, top)
	d.WriteString("</g>\n")
}

// loadWords writes beside a row what it comes to.
func (d *drawing) loadWords(h LoadHop, top int) {
	const x = svgLeft + svgWide + 10
	y := top + 14
	line := func(class, words string) {
		d.text(x, y, class, words)
		y += 16
	}
	if h.Peak == 0 {
		line("dim", "nothing waits")
	} else {
		line("", thousands(h.Peak)+" wait after "+custody.FormatAge(h.PeakAt))
		line("dim", h.disk()+" of disk")
	}
	if n := len(h.Recoveries); n > 0 {
		last := h.Recoveries[n-1]
		line("dim", "empty "+custody.FormatAge(last.Drained-last.At)+" after the recovery")
	}
	if h.Warned > 0 {
		line("dim", thousands(h.Warned)+" senders are warned")
	}
	if lost := h.GaveUp + h.Refused; lost > 0 {
		line("bad", thousands(lost)+" given up or refused")
	}
}

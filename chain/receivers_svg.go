package chain

import (
	"fmt"
	"html"
	"io"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/system"
)

// Measures of the picture, in its own units.
const (
	svgLeft, svgWide, svgRight = 190, 560, 250
	svgTop, svgRow, svgBar     = 70, 20, 12
)

const svgStyle = `<style>
text{font:12px system-ui,sans-serif;fill:#222}.head{font-size:15px;font-weight:600}.dim{fill:#667}
.paper{fill:#fff}.down{fill:#f3e3e0}.line{stroke:#bbc}.held{fill:#3b78b5}.late{fill:#9cc3e6}.open{fill:none;stroke:#889;stroke-dasharray:3 3}
.warn{fill:#e0a100;stroke:#7a5800}.end{stroke:#b3261e;stroke-width:3}
@media (prefers-color-scheme:dark){text{fill:#e6e6ea}.dim{fill:#a0a3b0}.paper{fill:#16181d}.down{fill:#38262a}.line{stroke:#444a58}
.held{fill:#5b9bd8}.late{fill:#2f557a}.open{stroke:#8a8fa0}.warn{fill:#f0bd3a;stroke:#ffe5a0}.end{stroke:#ff7b70}}
</style>`

// drawing is a picture being made.
type drawing struct {
	strings.Builder
	outage, whole time.Duration
}

// DrawReceivers draws the rows of ReceiverDown as an SVG picture: for each system
// a bar along the outage, of a message sent as it began. It follows the reader's
// light or dark scheme.
func DrawReceivers(w io.Writer, outage time.Duration, rows []Row) error {
	outage = min(max(0, outage), system.Open)
	d := &drawing{outage: outage, whole: max(outage+outage/2, time.Minute)}
	width, height := svgLeft+svgWide+svgRight, svgTop+svgRow*len(rows)+30
	title := "Mail for a receiver that is down for " + custody.FormatAge(outage)
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n%s\n", width, height, title, svgStyle)
	fmt.Fprintf(d, `<rect class="paper" width="%d" height="%d"/><rect class="down" x="%d" y="%d" width="%.1f" height="%d"/>`+"\n",
		width, height, svgLeft, svgTop-6, d.x(outage)-svgLeft, svgRow*len(rows)+6)
	d.text(12, 22, "head", title)
	d.legend()
	d.axis(height)
	for i, r := range rows {
		d.row(r, svgTop+i*svgRow)
	}
	d.WriteString("</svg>\n")
	_, err := io.WriteString(w, d.String())
	return err
}

// x is where a moment lies, counted from the beginning of the outage. What lies
// beyond the picture is put on its edge.
func (d *drawing) x(at time.Duration) float64 {
	return svgLeft + svgWide*float64(min(max(at, 0), d.whole))/float64(d.whole)
}

func (d *drawing) text(x float64, y int, class, s string) {
	fmt.Fprintf(d, `<text class="%s" x="%.1f" y="%d">%s</text>`+"\n", class, x, y, html.EscapeString(s))
}

func (d *drawing) bar(class string, from, to time.Duration, y int) {
	if to > from {
		fmt.Fprintf(d, `<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d" rx="2"/>`+"\n", class, d.x(from), y, d.x(to)-d.x(from), svgBar)
	}
}

func (d *drawing) mark(at time.Duration, y int) {
	x := d.x(at)
	fmt.Fprintf(d, `<path class="warn" d="M%.1f %dl4 8h-8z"/>`+"\n", x, y+2)
}

func (d *drawing) end(at time.Duration, y int) {
	x := d.x(at)
	fmt.Fprintf(d, `<path class="end" d="M%.1f %dv%d"/>`+"\n", x, y-2, svgBar+4)
}

func (d *drawing) legend() {
	const y = 34
	x := 12.0
	for _, l := range []struct {
		class, words string
		wide         float64
	}{
		{"held", "held", 50}, {"late", "may still wait", 110}, {"open", "not known", 85}, {"warn", "sender is warned", 120}, {"end", "given up", 70},
	} {
		switch l.class {
		case "warn":
			fmt.Fprintf(d, `<path class="warn" d="M%.1f %dl4 8h-8z"/>`, x+7, y)
		case "end":
			fmt.Fprintf(d, `<path class="end" d="M%.1f %dv10"/>`, x+7, y)
		default:
			fmt.Fprintf(d, `<rect class="%s" x="%.1f" y="%d" width="14" height="10" rx="2"/>`, l.class, x, y)
		}
		d.text(x+18, y+9, "dim", l.words)
		x += l.wide
	}
}

// axis draws about six lines, at lengths of time that people count in.
func (d *drawing) axis(height int) {
	step := 365 * 24 * time.Hour
	for _, s := range []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
		24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour} {
		if d.whole/s <= 9 {
			step = s
			break
		}
	}
	for at := time.Duration(0); at <= d.whole && at/step < 20; at += step {
		fmt.Fprintf(d, `<path class="line" d="M%.1f %dV%d"/>`, d.x(at), svgTop-6, height-24)
		d.text(d.x(at)-8, height-10, "dim", custody.FormatAge(at))
	}
	d.text(d.x(d.outage)+4, svgTop-10, "dim", "back")
}

// row draws the fate of a message of one system.
func (d *drawing) row(r Row, y int) {
	name := mail.Clean(r.ID, 28)
	fmt.Fprintf(d, "<g><title>%s</title>\n", html.EscapeString(mail.Clean(r.Name, 100)+": "+r.first()+"; warned: "+r.warned()))
	d.text(12, y+10, "", name)
	switch {
	case r.GaveUp != nil:
		end := r.GaveUp.Pick(system.Reckoned)
		d.bar("held", 0, end, y)
		d.end(end, y)
	case r.Delivered != nil:
		d.bar("held", 0, d.outage, y)
		last := r.Delivered.Most
		if last >= system.Open {
			last = r.Delivered.Pick(system.Reckoned)
		}
		d.bar("late", d.outage, d.outage+last, y)
	case r.Fate == Holds:
		d.bar("held", 0, d.outage, y)
		d.bar("open", d.outage, d.whole, y)
	default:
		d.bar("open", 0, d.whole, y)
	}
	for _, w := range r.Warned {
		d.mark(w, y)
	}
	d.text(svgLeft+svgWide+10, y+10, "dim", r.first())
	d.WriteString("</g>\n")
}

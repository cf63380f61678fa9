package chain

import (
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// outages draws what lies between two bands, and returns its labels.
func (p *picture) outages() (labels string) {
	chain := chart(p.s.scenario)
	gaps := map[float64][]Outage{} // by their upper edge
	for _, o := range p.s.scenario.Outages {
		seen := map[float64]bool{}
		for from, next := range chain.out.next {
			for _, to := range next {
				if chain.hops[to].Name != o.To || o.From != "" && chain.hops[from].Name != o.From {
					continue
				}
				y := p.y(o.To) - bandStep + barHigh // the gap above it, or below it for who hands up
				if from > to {
					y = p.y(o.To) + barHigh
				}
				if !seen[y] && p.touches(o) {
					gaps[y] = append(gaps[y], o)
				}
				seen[y] = true
			}
		}
	}
	for _, y := range slices.Sorted(maps.Keys(gaps)) {
		const inset = 9.0
		high := (bandStep - barHigh - 2*inset) / float64(len(gaps[y]))
		for i, o := range gaps[y] {
			labels += p.outage(o, y+inset+float64(i)*high, high-1)
		}
	}
	return labels
}

// touches reports whether an outage is on at any time that the picture shows.
func (p *picture) touches(o Outage) bool {
	in, _, until := o.When.at(p.s.scenario.Start, 0)
	return in || until < p.whole
}

// outage hatches the times of an outage, and returns its label. Those that lie too
// close together for the eye are drawn as one.
func (p *picture) outage(o Outage, y, high float64) (label string) {
	var from, to, widest, at float64
	flush := func() {
		if w := to - from; w > 0 {
			p.put(`<rect fill="url(#hatch)" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="3"/>`, from, y, max(w, 1), high)
			if w > widest {
				widest, at = w, from
			}
		}
	}
	for t := time.Duration(0); t < p.whole; {
		in, _, until := o.When.at(p.s.scenario.Start, t)
		if begins, ends := p.x(t), p.x(until); in && to > 0 && begins-to < 1 {
			to = ends
		} else if in {
			flush()
			from, to = begins, ends
		}
		t = until
	}
	flush()
	words := o.Result.words()
	if o.From != "" && p.row[o.From]+1 != p.row[o.To] {
		words = "from " + o.From + ": " + words
	}
	words = html.EscapeString(mail.Clean(short(words, 11, widest-16), 400))
	if widest < 60 || high < 11 {
		return ""
	}
	for _, class := range []string{"outage halo", "outage"} {
		label += fmt.Sprintf(`<text class="%s" x="%.1f" y="%.1f">%s</text>`+"\n", class, at+8, y+high/2+4, words)
	}
	return label
}

// axis draws the time, in steps that a person counts in.
func (p *picture) axis(y, top float64) {
	step := axisStep(p.whole)
	for at := time.Duration(0); at <= p.whole; at += step {
		x := p.x(at)
		p.put(`<path class="grid" d="M%.1f %.1fV%.1f"/>`, x, top, y)
		p.text(x, y+17, "mid", when(at))
		if start := p.s.Start; !start.IsZero() {
			p.text(x, y+32, "dim mid", start.Add(at).Format(axisLayout(step)))
		}
	}
	p.put(`<path class="axis" d="M%.1f %.1fH%.1f"/>`, pictureLeft, y, pictureLeft+pictureWide)
}

// axisStep is a step of which about eight fit into a time.
func axisStep(whole time.Duration) time.Duration {
	const day = 24 * time.Hour
	for _, s := range []time.Duration{
		10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 5 * day, 10 * day, 30 * day, 60 * day, 90 * day, 180 * day,
	} {
		if whole/s <= 8 {
			return s
		}
	}
	return 365 * day
}

func axisLayout(step time.Duration) string {
	switch {
	case step < 24*time.Hour:
		return "Mon 15:04"
	case step < 60*24*time.Hour:
		return "Mon 2 Jan"
	}
	return "Jan 2006"
}

// legend says what the marks mean, from the right edge on.
func (p *picture) legend(right float64) {
	for _, k := range slices.Backward([]struct{ mark, words string }{
		{`<rect class="own" x="%.1f" y="%.1f" width="12" height="9" rx="2"/>`, "owns the message"},
		{`<rect class="refused" x="%.1f" y="%.1f" width="2" height="9"/>`, "no connection, or 5yz"},
		{`<rect class="deferred" x="%.1f" y="%.1f" width="2" height="9"/>`, "4yz"},
		{`<rect class="accepted" x="%.1f" y="%.1f" width="2" height="9"/>`, "250"},
		{`<rect fill="url(#hatch)" x="%.1f" y="%.1f" width="14" height="9" rx="2"/>`, "outage"},
	}) {
		right -= wide(k.words, 11) + 19
		p.put(k.mark, right, 62.0)
		mark := 18.0
		if strings.Contains(k.mark, `width="2"`) {
			mark = 7
		}
		p.text(right+mark, 70.5, "dim", k.words)
		right -= 10
	}
}

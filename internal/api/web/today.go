package web

import (
	"cmp"
	"context"
	"fmt"
	"html"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/watch"
)

func (d *desk) todayRoutes(mux *http.ServeMux) {
	d.add("Today", "/")
	mux.HandleFunc("GET /{$}", d.today)
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, r *http.Request) { d.Live(w, r, watch.Filter{}) })
}

// today is what the first page shows.
type today struct {
	Health  spool.Health
	Now     *api.Now // nil: nobody counts
	Outlook *api.Outlook
	Came    int // deliveries of the last day
	Left    int
	Back    int
	Day     template.HTML
	Narrow  template.HTML
	Most    int // of the commonest reason
	Trouble []api.Trouble
	More    int            // destinations in trouble that are not shown
	Soon    []api.Delivery // what ends first
}

const (
	troubleMost = 12
	soonMost    = 10
)

func (d *desk) today(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	soon, cancel := context.WithTimeout(r.Context(), patience) // for all that is waited for
	defer cancel()
	t := today{Health: d.Health(soon), Now: d.Now(soon), Outlook: d.Outlook(soon)}
	if o := t.Outlook; o != nil {
		for _, h := range o.Hours {
			t.Came, t.Left, t.Back = t.Came+h.Came, t.Left+h.Left, t.Back+h.Returned
		}
		t.Soon = o.Ending[:min(len(o.Ending), soonMost)]
		t.Day, t.Narrow = day(o.Hours, 700), day(o.Hours, 350)
		if len(o.Reasons) > 0 {
			t.Most = o.Reasons[0].Count
		}
	}
	if t.Now != nil {
		t.Trouble = t.Now.Queue.Trouble
		t.More = max(len(t.Trouble)-troubleMost, 0)
		t.Trouble = t.Trouble[:len(t.Trouble)-t.More]
	}
	d.show(w, r, http.StatusOK, "today.html", view{Title: "Today", Place: "/", Now: now, Data: t})
}

// storyOf tells of a destination in trouble in one line.
func storyOf(t api.Trouble) string {
	switch {
	case t.Paused != "":
		return t.Paused
	case t.Health == "silent" && t.Knocks == 0:
		return "does not answer"
	case t.Health == "silent":
		return fmt.Sprintf("does not answer; %s since", count(t.Knocks, "attempt"))
	case t.Health == "no way":
		return "no way there is known"
	case t.Health == "deferring":
		return "answers, and takes nothing now"
	}
	return t.Health
}

// healthInk is the colour of a destination's health.
func healthInk(health, paused string) string {
	return cmp.Or(map[bool]string{true: "wait"}[paused != ""], map[string]string{"silent": "bad", "no way": "bad", "deferring": "wait", "living": "good"}[health])
}

// day draws what came and left in each hour: came upwards, left and returned downwards.
func day(hours []api.Hour, wide float64) template.HTML {
	const high, foot = 64.0, 22.0
	most := 1
	for _, h := range hours {
		most = max(most, h.Came, h.Left+h.Returned)
	}
	var b strings.Builder
	label := "What came and left in each of the last 24 hours"
	fmt.Fprintf(&b, `<svg class="day" viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">`+"\n", wide, 2*high+foot+8, html.EscapeString(label))
	step := wide / float64(max(len(hours), 1))
	bar := step * .62
	column := func(class string, x, from, n float64) float64 {
		tall := n / float64(most) * high
		if n > 0 {
			tall = max(tall, 1.5)
			fmt.Fprintf(&b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="1.5"/>`, class, x, from, bar, tall)
		}
		return tall
	}
	for i, h := range hours {
		x := step*float64(i) + (step-bar)/2
		fmt.Fprintf(&b, `<g><title>%s: %s came, %s left, %s returned</title>`, h.From.Local().Format("15:04"), num(h.Came), num(h.Left), num(h.Returned))
		tall := float64(h.Came) / float64(most) * high
		if h.Came > 0 {
			tall = max(tall, 1.5)
			column("came", x, high-tall, float64(h.Came))
		}
		down := column("left", x, high+2, float64(h.Left))
		column("back", x, high+2+down, float64(h.Returned))
		b.WriteString("</g>\n")
	}
	fmt.Fprintf(&b, `<path class="axis" d="M0 %.1fH%.1f"/>`+"\n", high+1, wide)
	every := 3
	if wide < 500 {
		every = 6
	}
	for i, h := range hours {
		if at := h.From.Local(); at.Hour()%every == 0 && i > 0 && i < len(hours)-1 {
			fmt.Fprintf(&b, `<text class="mid" x="%.1f" y="%.1f">%s</text>`, step*(float64(i)), 2*high+foot, at.Format("15:04"))
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

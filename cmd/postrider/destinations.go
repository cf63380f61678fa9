package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/memo"
	"github.com/postrider/postrider/internal/queue"
)

// pausesOf is where the queue keeps what is paused; nil: a restart forgets it.
func pausesOf(m *memo.Memo) queue.Pauses {
	if m == nil {
		return nil
	}
	return memo.NewPauses[queue.Pause](m)
}

type sitesCmd struct {
	Name  string `arg:"" optional:"" help:"A part of the name, or of a domain behind it."`
	Sort  string `enum:"trouble,waiting" default:"trouble" help:"Those in trouble first, or those with most mail (waiting)."`
	Idle  bool   `help:"Also those for which nothing waits."`
	Limit int    `default:"50" placeholder:"N" help:"How many are shown; 0: all."`
	JSON  bool   `name:"json" help:"One object a line."`
}

const sitesAsked = 500 // destinations in one answer

func (x sitesCmd) Run(c *cli, s streams) error {
	cl, err := connect(c.Config)
	if err != nil {
		return err
	}
	var all []api.Site
	var page api.SitePage
	for more := true; more; {
		n := sitesAsked
		if x.Limit > 0 {
			n = min(n, x.Limit-len(all))
		}
		q := url.Values{"sort": {x.Sort}, "limit": {strconv.Itoa(n)}, "from": {strconv.Itoa(len(all))}, "name": {x.Name}, "idle": {strconv.FormatBool(x.Idle)}}
		page = api.SitePage{}
		if err := cl.get("/api/v1/destinations", q, &page); err != nil {
			return err
		}
		all = append(all, page.Destinations...)
		more = len(page.Destinations) == n && len(all) < page.All && (x.Limit == 0 || len(all) < x.Limit)
	}
	if x.JSON {
		for _, d := range all {
			if err := writeJSON(s.out, d); err != nil {
				return err
			}
		}
		return nil
	}
	if err := writeSites(s.out, all, palette(colours(s.out))); err != nil {
		return err
	}
	fmt.Fprintln(s.out, tally(page, len(all)))
	return nil
}

// tally says of how much a list shows how much.
func tally(p api.SitePage, shown int) string {
	t := fmt.Sprintf("%d %s, %d %s wait", p.All, plural(p.All, "destination", "destinations"), p.Waiting, plural(p.Waiting, "delivery", "deliveries"))
	if shown < p.All {
		t = fmt.Sprintf("the first %d of %s", shown, t)
	}
	if p.More {
		t += "; there are more destinations than can be listed"
	}
	if age := time.Since(p.Counted); age > 2*time.Second {
		t += ", counted " + custody.FormatAge(age.Round(time.Second)) + " ago"
	}
	return t
}

const nameMost = 44 // columns of a destination's name

// writeSites shows destinations, one a line, and below what there is to say of each.
func writeSites(w io.Writer, all []api.Site, ink ink) error {
	if len(all) == 0 {
		return nil
	}
	name, state := len("DESTINATION"), len("STATE")
	for _, d := range all {
		name = max(name, min(nameMost, utf8.RuneCountInString(plain(d.Name))))
		state = max(state, utf8.RuneCountInString(siteState(d)))
	}
	var b strings.Builder
	fmt.Fprintln(&b, ink.bold(fmt.Sprintf("%s  %s  WAITING  TRYING  %-7s  GIVES UP", pad("DESTINATION", name), pad("STATE", state), "OLDEST")))
	for _, d := range all {
		oldest, ends := "-", "-"
		if !d.Oldest.IsZero() {
			oldest = custody.FormatAge(time.Since(d.Oldest).Round(time.Second))
		}
		if d.GivesUp != nil {
			ends = at(&d.GivesUp.At)
		}
		fmt.Fprintf(&b, "%s  %s  %7d  %6d  %-7s  %s\n", pad(cut(plain(d.Name), nameMost), name), siteInk(d, ink)(pad(siteState(d), state)), d.Waiting, d.UnderWay, oldest, ends)
		writeSite(&b, d)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// siteState says in a few words how a destination is.
func siteState(d api.Site) string {
	since := ""
	if !d.Since.IsZero() {
		since = " " + custody.FormatAge(time.Since(d.Since).Round(time.Second))
	}
	switch {
	case d.Paused != nil:
		return "paused " + custody.FormatAge(time.Since(d.Paused.Since).Round(time.Second))
	case d.Health == queue.Silent.String() && d.Knocks > 0:
		return fmt.Sprintf("silent%s, %d %s", since, d.Knocks, plural(d.Knocks, "knock", "knocks"))
	case d.Health == queue.Silent.String():
		return "silent" + since
	}
	return d.Health
}

func siteInk(d api.Site, ink ink) func(string) string {
	switch {
	case d.Paused != nil, d.Health == queue.Deferring.String():
		return ink.warn
	case d.Health == queue.Silent.String(), d.Health == queue.NoWay.String():
		return ink.bad
	case d.Health == queue.Living.String():
		return ink.good
	}
	return ink.none
}

// writeSite says what does not stand in the line of a destination.
func writeSite(b *strings.Builder, d api.Site) {
	if p := d.Paused; p != nil {
		why := ""
		if p.Why != "" {
			why = ": " + p.Why
		}
		fmt.Fprintf(b, "  paused by %s%s; nothing is tried and nothing ends before: postrider resume %s\n", plain(p.By), plain(why), shellWord(p.Name))
	}
	if len(d.Domains) > 0 && (d.Behind > 1 || d.Domains[0] != d.Name) {
		const few = 5
		behind := strings.Join(d.Domains[:min(len(d.Domains), few)], ", ")
		if more := d.Behind - min(len(d.Domains), few); more > 0 {
			behind += fmt.Sprintf(" and %d more", more)
		}
		fmt.Fprintf(b, "  for %s\n", plain(behind))
	}
	if l := d.Last; l != nil {
		next := ""
		switch {
		case d.Paused != nil || d.Health != queue.Silent.String():
		case d.NextKnock.IsZero():
			next = "; next knock when mail is due"
		default:
			next = "; next knock " + at(&d.NextKnock)
		}
		fmt.Fprintf(b, "  %s: %s%s\n", stamp(l.At), plain(words(l.Host, l.IP, l.Stage, l.Code, l.Status, l.Text)), next)
	}
	if d.Connections > 0 || d.GapS > 0 {
		fmt.Fprintf(b, "  %d of %d connections, %d at most", d.Connections, max(d.Window, d.Connections), d.Most)
		if d.GapS > 0 {
			fmt.Fprintf(b, ", one message in %s", custody.FormatAge(time.Duration(d.GapS*float64(time.Second))))
		}
		b.WriteString("\n")
	}
}

// shellWord is a name as a shell reads it.
func shellWord(s string) string {
	s = plain(s)
	if strings.ContainsFunc(s, func(r rune) bool { return strings.ContainsRune(" ;,&|<>()$`\\\"'*?[#~%{}!", r) }) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

// steering is what pause and resume have in common.
type steering struct {
	Destination []string `arg:"" help:"Domains, or destinations as \"destinations\" lists them."`
	DryRun      bool     `help:"Show what it would do."`
	JSON        bool     `name:"json" help:"One object a line."`
}

type (
	pauseCmd struct {
		steering
		Why string `required:"" placeholder:"REASON" help:"The reason: it stands in lists, and in the warnings to senders."`
	}
	resumeCmd struct{ steering }
)

func (p pauseCmd) Run(c *cli, s streams) error  { return p.run(c, s, "pause", p.Why) }
func (r resumeCmd) Run(c *cli, s streams) error { return r.run(c, s, "resume", "") }

func (x steering) run(c *cli, s streams, order, why string) error {
	cl, err := connect(c.Config)
	if err != nil {
		return err
	}
	var refused []error
	for _, name := range x.Destination {
		var done []api.Site
		err := cl.post("/api/v1/destinations/"+order, api.Steer{Destination: name, By: me(), Why: why, DryRun: x.DryRun}, &done)
		if err != nil {
			refused = append(refused, err)
			continue
		}
		if x.JSON {
			for _, d := range done {
				if err := writeJSON(s.out, d); err != nil {
					return err
				}
			}
			continue
		}
		waiting, trying := 0, 0
		for _, d := range done {
			waiting, trying = waiting+d.Waiting, trying+d.UnderWay
		}
		fmt.Fprintln(s.out, steered(order, plain(name), x.DryRun, waiting, trying))
	}
	return errors.Join(refused...)
}

// steered says what an order about a destination did, or would do.
func steered(order, name string, dry bool, waiting, trying int) string {
	n := fmt.Sprintf("%d %s", waiting, plural(waiting, "delivery waits", "deliveries wait"))
	is, will := "is", "is"
	if dry {
		is, will = "would be", "would be"
	}
	if order == "resume" {
		return fmt.Sprintf("%s %s resumed: %s; what fell due %s tried at once, in order", name, is, n, will)
	}
	under := ""
	if trying > 0 {
		under = fmt.Sprintf("; %d under way or about to be are not broken off", trying)
	}
	return fmt.Sprintf("%s %s paused: %s, warned as ever, and not given up before the resume%s", name, is, n, under)
}

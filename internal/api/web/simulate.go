package web

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/chain"
	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/system"
)

const (
	hopsMost    = 12
	outagesMost = 8
	ours        = "postrider" // a hop run by this program, as its configuration says
	box         = "mailbox"   // a destination that keeps nothing
)

func (d *desk) simulateRoutes(mux *http.ServeMux) {
	d.add("Simulate", "/simulate")
	mux.HandleFunc("GET /simulate", d.simulate)
	mux.HandleFunc("GET /simulate/receiver", d.receiver)
}

// hop and outage are rows of the form.
type hop struct{ Name, System, Keep string }

type outage struct{ To, What, From, Until string }

// play is what the page of simulations shows.
type play struct {
	Hops    []hop
	Outages []outage
	Systems []systemGroup
	Wrong   string
	Stories []preset
	played
}

// played is what comes of a chain.
type played struct {
	Picture template.HTML
	Words   string
	Summary chain.Summary
	Notes   []string
}

// systemGroup is one kind of known systems.
type systemGroup struct {
	Name    string
	Systems []system.System
}

// preset is a chain to begin with.
type preset struct{ Name, Link string }

var presets = []preset{
	{"The founding story", story([]hop{{"exchange", "exchange-2007", ""}, {"filter", "ironport-asyncos", "6d"}, {"destination", box, ""}}, outage{"2", "refused", "", ""})},
	{"The filter defers", story([]hop{{"exchange", "exchange-2007", ""}, {"filter", "ironport-asyncos", "6d"}, {"destination", box, ""}}, outage{"1", "451 4.7.1 try later", "", ""})},
	{"Down for a weekend", story([]hop{{"our server", ours, ""}, {"destination", box, ""}}, outage{"1", "timeout 30s", "0s", "63h"})},
	{"Greylisted", story([]hop{{"sender", "postfix", ""}, {"destination", box, ""}}, outage{"1", "greylist 5m", "", ""})},
}

// story is the address of a page that shows a chain.
func story(hops []hop, outages ...outage) string {
	return "/simulate?" + form(hops, outages).Encode()
}

func form(hops []hop, outages []outage) url.Values {
	q := url.Values{}
	for _, h := range hops {
		q["name"], q["system"], q["keep"] = append(q["name"], h.Name), append(q["system"], h.System), append(q["keep"], h.Keep)
	}
	for _, o := range outages {
		q["to"], q["what"], q["from"], q["until"] = append(q["to"], o.To), append(q["what"], o.What), append(q["from"], o.From), append(q["until"], o.Until)
	}
	return q
}

func (d *desk) simulate(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if len(q) == 0 {
		http.Redirect(w, r, presets[0].Link, http.StatusSeeOther)
		return
	}
	p := play{Systems: systems(), Stories: presets}
	p.Hops, p.Outages = asked(q)
	p.edit(q.Get("do"))
	status := http.StatusOK
	if s, err := d.scenario(&p); err != nil {
		p.Wrong, status = err.Error(), http.StatusUnprocessableEntity
	} else if p.played, err = api.Work(r.Context(), d.Desk, func() (played, error) { return run(s) }); err != nil {
		p.Wrong, status = err.Error(), statusOf(err, http.StatusUnprocessableEntity)
	}
	d.show(w, r, status, "simulate.html", view{Title: "Simulate", Place: "/simulate", Data: p})
}

// asked reads the rows of the form.
func asked(q url.Values) (hops []hop, outages []outage) {
	at := func(name string, i int) string {
		if v := q[name]; i < len(v) {
			return strings.TrimSpace(v[i])
		}
		return ""
	}
	for i := range min(len(q["system"]), hopsMost) {
		hops = append(hops, hop{at("name", i), at("system", i), at("keep", i)})
	}
	for i := range min(len(q["what"]), outagesMost) {
		outages = append(outages, outage{at("to", i), at("what", i), at("from", i), at("until", i)})
	}
	return hops, outages
}

// edit does what a button of the form asks for: "add-hop", "drop-hop-1".
func (p *play) edit(do string) {
	what, number, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(do, "drop-"), "add-"), "-")
	i, err := strconv.Atoi(number)
	drop := strings.HasPrefix(do, "drop-") && err == nil && i >= 0
	switch {
	case do == "add-hop" && len(p.Hops) < hopsMost && len(p.Hops) > 0:
		at := len(p.Hops) - 1 // before the destination
		p.Hops = slices.Insert(p.Hops, at, hop{System: "postfix", Name: fmt.Sprintf("hop %d", len(p.Hops))})
		for j, o := range p.Outages { // what lay before the destination still does
			if o.To == strconv.Itoa(at) {
				p.Outages[j].To = strconv.Itoa(at + 1)
			}
		}
	case do == "add-outage" && len(p.Outages) < outagesMost:
		p.Outages = append(p.Outages, outage{To: strconv.Itoa(len(p.Hops) - 1), What: "timeout 30s", From: "0s", Until: "1d"})
	case drop && what == "hop" && i < len(p.Hops) && len(p.Hops) > 2:
		p.Hops = slices.Delete(p.Hops, i, i+1)
		var left []outage // the hop that is not reached stays the same
		for _, o := range p.Outages {
			switch to, err := strconv.Atoi(o.To); {
			case err == nil && (to == i || to == 1 && i == 0):
				continue
			case err == nil && to > i:
				o.To = strconv.Itoa(to - 1)
			}
			left = append(left, o)
		}
		p.Outages = left
	case drop && what == "outage" && i < len(p.Outages):
		p.Outages = slices.Delete(p.Outages, i, i+1)
	}
}

// run runs a chain and draws it.
func run(s chain.Scenario) (played, error) {
	story, err := chain.Run(s)
	if err != nil {
		return played{}, err
	}
	var picture, words bytes.Buffer
	err = errors.Join(story.Draw(&picture), story.WriteText(&words))
	return played{inline(picture.String()), words.String(), story.Summary, story.Notes}, err
}

// scenario is the chain that the form describes. Hops without a name are given one.
func (d *desk) scenario(p *play) (s chain.Scenario, err error) {
	for i, h := range p.Hops {
		if h.Name == "" {
			h.Name = fmt.Sprintf("hop %d", i+1)
			p.Hops[i].Name = h.Name
		}
		c := chain.Hop{Name: h.Name}
		var keep time.Duration
		if h.Keep != "" {
			if keep, err = custody.ParseAge(h.Keep); err != nil {
				return s, fmt.Errorf("%s: keeps mail for: %w", h.Name, err)
			}
		}
		switch h.System {
		case box:
		case ours:
			own, notices := d.ownClock(keep)
			if err := own.Check(); err != nil {
				return s, fmt.Errorf("%s: %w", h.Name, err)
			}
			c.Schedule, c.Notices = &own, &notices
		default:
			if _, ok := system.Find(h.System); !ok {
				return s, fmt.Errorf("no system is known as %q", h.System)
			}
			c.System, c.Set.Expire = h.System, keep
		}
		s.Hops = append(s.Hops, c)
	}
	for i, o := range p.Outages {
		c, err := p.outage(o)
		if err != nil {
			return s, fmt.Errorf("outage %d: %w", i+1, err)
		}
		s.Outages = append(s.Outages, c)
	}
	return s, s.Check()
}

// outage reads a row of the form: To is the place of the hop that is not reached.
func (p *play) outage(o outage) (c chain.Outage, err error) {
	to, err := strconv.Atoi(o.To)
	if err != nil || to < 1 || to >= len(p.Hops) {
		return c, errors.New("it lies between two neighbours of the chain")
	}
	c.From, c.To = p.Hops[to-1].Name, p.Hops[to].Name
	if c.Result, err = chain.ParseResult(o.What); err != nil {
		return c, err
	}
	c.When, err = chain.ParseWindow(o.From, o.Until)
	return c, err
}

// ownClock is the schedule of this server for the mail of the world, with another
// end if one is given, and that of its own letters.
func (d *desk) ownClock(keep time.Duration) (own, notices custody.Schedule) {
	somebody := mail.Address{Local: "sender", Domain: "example.org"}
	own = d.Options().Schedule(custody.Delivery{Domain: "example.com", From: somebody})
	notices = d.Options().Schedule(custody.Delivery{Domain: "example.com"})
	if keep > 0 {
		own.Expire = keep
		own.Warn = slices.DeleteFunc(slices.Clone(own.Warn), func(w time.Duration) bool { return w >= keep })
	}
	return own, notices
}

// systems are the known systems, by kind.
func systems() []systemGroup {
	groups := []systemGroup{{Name: "Servers"}, {Name: "Filters"}, {Name: "Mailboxes as a service"}, {Name: "Senders for others"}}
	for _, s := range system.All() {
		g := &groups[min(int(s.Kind), len(groups)-1)]
		g.Systems = append(g.Systems, s)
	}
	return groups
}

// away is what the page about a receiver that is down shows.
type away struct {
	Down    string
	Picture template.HTML
	Words   string
	Wrong   string
}

func (d *desk) receiver(w http.ResponseWriter, r *http.Request) {
	a := away{Down: strings.TrimSpace(r.URL.Query().Get("down"))}
	if a.Down == "" {
		a.Down = "2d"
	}
	status := http.StatusOK
	down, err := custody.ParseAge(a.Down)
	if err == nil && down > chain.MaxTime {
		err = errors.New("more than 10 years are not reckoned")
	}
	if err != nil {
		a.Wrong, status = err.Error(), http.StatusUnprocessableEntity
	} else {
		rows := chain.ReceiverDown(down, system.All())
		var picture, words bytes.Buffer
		_ = errors.Join(chain.DrawReceivers(&picture, down, rows), chain.WriteReceivers(&words, down, rows)) // into memory
		a.Picture, a.Words = inline(picture.String()), words.String()
	}
	d.show(w, r, status, "receiver.html", view{Title: "A receiver is down", Place: "/simulate", Data: a})
}

package web

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/postrider/postrider/internal/api"
)

func (d *desk) orderRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /message/{id}/order", d.orderAsk)
	mux.HandleFunc("POST /message/{id}/order", d.orderGive)
}

// command is an order as a page offers it.
type command struct {
	Word, Name, Does string
	Final            bool // it cannot be taken back
}

var commands = []command{
	{"retry", "Try now", "One attempt is made at once. The schedule goes on as if it had not been.", false},
	{"hold", "Hold", "It is not tried, and does not end, before it is released. Its clock goes on: the sender is still warned, and the warning names the hold.", false},
	{"release", "Release", "The hold ends, and one attempt is made at once.", false},
	{"life", "Set its life", "It is kept until another moment than the schedule says.", false},
	{"warn", "Tell the sender now", "The sender gets a notice of the delay now, with its whole history.", false},
	{"reroute", "Send another way", "It goes by another next hop from now on.", false},
	{"giveup", "Return to the sender", "It goes back to the sender now, with its whole history. Nothing more is tried.", true},
	{"remove", "Remove", "It is dropped, and nobody is told.", true},
}

func commandOf(word string) (command, bool) {
	for _, c := range commands {
		if c.Word == word {
			return c, true
		}
	}
	return command{}, false
}

// of is the command for mail whose sender is told if it is given up, or not.
func (c command) of(told bool) command {
	if c.Word == "giveup" && !told {
		c.Name, c.Does = "Give up", "It is given up now, and the sender is not told. Nothing more is tried."
	}
	return c
}

// commandsFor are the orders that make sense for a delivery.
func commandsFor(d api.Delivery) (out []command) {
	for _, c := range commands {
		held := d.State == "held"
		if c.Word == "release" && !held || (c.Word == "hold" || c.Word == "retry") && held || c.Word == "warn" && d.From == "" {
			continue
		}
		out = append(out, c.of(d.Told))
	}
	return out
}

// ordering is what the page shows that asks before an order is given.
type ordering struct {
	command
	ID         string
	Via        string
	Life       string
	More       string
	Why        string
	Would      []api.Done
	All        int  // deliveries that it is for, of which Would are shown
	Schedule   bool // back to what the schedule says
	Incomplete bool // fields are to be filled in first
	Wrong      string
	Back       string
}

// order reads the form as an order for what the path names.
func (o ordering) order(r *http.Request, dry bool) api.Order {
	return api.Order{
		Order: o.Word, Filter: api.Filter{ID: o.ID}, DryRun: dry, Via: o.Via, Life: o.Life, More: o.More, Why: o.Why,
		By: cmp.Or(api.CallerOf(r.Context()).Name, "the desk"),
	}
}

func (d *desk) asked(w http.ResponseWriter, r *http.Request) (o ordering, ok bool) {
	id := r.PathValue("id")
	c, known := commandOf(r.FormValue("order"))
	switch {
	case !known:
		d.problem(w, r, http.StatusUnprocessableEntity, "There is no such order", "The page that you came from may be out of date.")
		return o, false
	case api.CallerOf(r.Context()).Role < api.Operate:
		d.problem(w, r, http.StatusForbidden, "Orders are not given here", "Who came by this way only sees. Use the command: postrider "+c.Word+" "+id)
		return o, false
	}
	field := func(name string) string { return strings.TrimSpace(r.FormValue(name)) }
	message, _, _ := strings.Cut(id, "-")
	return ordering{
		command: c, ID: id, Via: field("via"), Life: field("life"), More: field("more"), Why: field("why"), Schedule: r.FormValue("schedule") != "",
		Back: "/message/" + url.PathEscape(message),
	}, true
}

// orderAsk says what an order would do, and asks.
func (d *desk) orderAsk(w http.ResponseWriter, r *http.Request) {
	o, ok := d.asked(w, r)
	if !ok {
		return
	}
	o.Incomplete = o.Word == "life" && o.Life+o.More == "" && !o.Schedule || o.Word == "reroute" && o.Via == "" && !o.Schedule
	status := http.StatusOK
	if !o.Incomplete {
		var err error
		if o.Would, o.All, err = d.Order(r.Context(), o.order(r, true)); err != nil {
			status, o.Wrong, o.Incomplete = statusOf(err, http.StatusInternalServerError), err.Error(), o.Word == "life" || o.Word == "reroute"
		} else if len(o.Would) == 0 {
			d.gone(w, r, o)
			return
		}
		o.command = o.of(slices.ContainsFunc(o.Would, func(d api.Done) bool { return d.Told }))
	}
	d.show(w, r, status, "order.html", view{Title: o.Name, Place: "/find", Data: o})
}

// orderGive gives the order.
func (d *desk) orderGive(w http.ResponseWriter, r *http.Request) {
	o, ok := d.asked(w, r)
	if !ok {
		return
	}
	done, _, err := d.Order(r.Context(), o.order(r, false))
	switch {
	case err != nil:
		d.problem(w, r, statusOf(err, http.StatusInternalServerError), "The order was not carried out", err.Error())
		return
	case len(done) == 0:
		d.gone(w, r, o)
		return
	}
	for _, one := range done {
		if one.Fault != "" {
			d.problem(w, r, http.StatusConflict, "The order was not carried out for all", one.Fault)
			return
		}
	}
	http.Redirect(w, r, o.Back, http.StatusSeeOther)
}

// gone says that nothing waits any more for which the order was meant.
func (d *desk) gone(w http.ResponseWriter, r *http.Request, o ordering) {
	text := "It left before the order came. Its page says what became of it."
	if _, err := d.History(r.Context(), o.ID, 1, time.Now()); err != nil {
		text = "No message with this id waits here."
	}
	d.show(w, r, http.StatusConflict, "problem.html", view{Title: "It has just left", Data: text})
}

// statusOf is the status of an error of the API; another error has the one given.
func statusOf(err error, otherwise int) int {
	var s huma.StatusError
	if errors.As(err, &s) {
		return s.GetStatus()
	}
	return otherwise
}

// same reports whether two moments of a fate are one.
func same(a, b *time.Time) bool { return a == nil && b == nil || a != nil && b != nil && a.Equal(*b) }

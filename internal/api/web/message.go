package web

import (
	"cmp"
	"context"
	"errors"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/watch"
)

const (
	deliveriesMost = 12 // timelines on a page; of more, the page says how many
	linesMost      = 8  // lines of a timeline that are shown at once
	comingMost     = 3  // tries to come that are named
)

func (d *desk) messageRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /message/{id}", d.message)
	mux.HandleFunc("GET /message/{id}/live", func(w http.ResponseWriter, r *http.Request) {
		id, err := custody.ParseID(r.PathValue("id"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		d.Live(w, r, watch.Filter{Message: id})
	})
}

// message is what the page of a message shows.
type message struct {
	ID       string
	Asked    string // what was asked for: the message, or one of its deliveries
	Waits    bool   // some of it does
	M        custody.Message
	From     string
	Told     []delivery
	More     int
	Headers  string
	Whole    bool
	Gone     bool // no delivery waits: the header is not kept
	NotFound bool
}

// delivery is one delivery on its page.
type delivery struct {
	api.Trace
	Wide, Narrow  template.HTML
	First, Middle []line // Middle is folded away
	Last          []line
	Coming        []custody.Moment // the next tries, then warnings and the end
	MoreTries     int
	Forward       string // for the user who asked
	Letter        string // as the sender would get it now
	Waits         bool
}

func (d *desk) message(w http.ResponseWriter, r *http.Request) {
	id, now := r.PathValue("id"), time.Now()
	h, err := d.History(r.Context(), id, deliveriesMost, now)
	switch {
	case errors.Is(err, spool.ErrUnknown):
		d.problem(w, r, http.StatusNotFound, "No message has this id", "It was never here, or it left so long ago that it is forgotten.")
		return
	case err != nil && strings.HasPrefix(err.Error(), "custody: "):
		d.problem(w, r, http.StatusNotFound, "This is no id of a message", "Ids have 26 letters and digits; that of a delivery ends with a hyphen and a number. Search for an address, a Message-ID or a domain in the box above.")
		return
	case err != nil:
		d.problem(w, r, http.StatusInternalServerError, "The store could not be read", err.Error())
		return
	}
	m := message{ID: h.Message.ID.String(), Asked: id, M: h.Message, From: h.Message.Envelope.From.String(), More: h.More}
	for _, t := range h.Traces {
		m.Told = append(m.Told, d.tell(r.Context(), t, now))
		m.Waits = m.Waits || t.Left.IsZero()
	}
	m.Headers, m.Whole, err = d.Headers(r.Context(), h.Message.ID)
	m.Gone = errors.Is(err, spool.ErrUnknown)
	if err != nil && !m.Gone {
		m.Headers = err.Error()
	}
	title := cmp.Or(api.SubjectOf(h.Message.Subject), "(no subject)")
	d.show(w, r, http.StatusOK, "message.html", view{Title: title, Place: "/find", Now: now, Data: m})
}

// tell puts a delivery into pictures and words.
func (d *desk) tell(ctx context.Context, t api.Trace, now time.Time) delivery {
	host := d.Options().Hostname()
	v := delivery{Trace: t, Wide: draw(t, host, now, wideSheet), Narrow: draw(t, host, now, narrowSheet), Waits: t.Left.IsZero(), Forward: forward(t, host)}
	all := lines(t)
	v.First = all
	if len(all) > linesMost {
		const head = linesMost / 3
		tail := len(all) - (linesMost - head)
		v.First, v.Middle, v.Last = all[:head], all[head:tail], all[tail:]
	}
	tries := 0
	for _, m := range t.Forecast {
		if m.What == custody.WillTry {
			if tries++; tries > comingMost {
				continue
			}
		}
		v.Coming = append(v.Coming, m)
	}
	v.MoreTries = max(tries-comingMost, 0)
	if id, err := custody.ParseDeliveryID(t.ID); err == nil {
		v.Letter, _ = d.Letter(ctx, id, now) // without it the page says the rest
	}
	return v
}

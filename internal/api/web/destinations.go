package web

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/internal/api"
)

const sitesShown = 50

func (d *desk) destinationRoutes(mux *http.ServeMux) {
	if d.Options().Destinations == nil {
		return
	}
	d.add("Destinations", "/destinations")
	mux.HandleFunc("GET /destinations", d.destinations)
	mux.HandleFunc("GET /destinations/{order}", d.steerAsk)
	mux.HandleFunc("POST /destinations/{order}", d.steerGive)
}

// destinations is what the page of destinations shows.
type destinations struct {
	api.SitePage
	Name       string
	Most, Idle bool
	From, Next int // Next is 0 on the last page
	Link       func(set ...string) string
}

func (d *desk) destinations(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	v := destinations{Name: strings.TrimSpace(q.Get("name")), Most: q.Get("sort") == "waiting", Idle: q.Get("idle") != "", Link: linker(r.URL)}
	v.From, _ = strconv.Atoi(q.Get("from")) // what is no number is the beginning
	v.From = max(v.From, 0)
	var err error
	if v.SitePage, err = d.Sites(r.Context(), v.Name, v.Most, v.Idle || v.Name != "", v.From, sitesShown); err != nil {
		d.problem(w, r, statusOf(err, http.StatusInternalServerError), "The destinations could not be read", err.Error())
		return
	}
	if end := v.From + len(v.Destinations); end < v.All {
		v.Next = end
	}
	d.show(w, r, http.StatusOK, "destinations.html", view{Title: "Destinations", Place: "/destinations", Data: v})
}

// steering is what the page shows that asks before a destination is paused.
type steering struct {
	Order, Name, Why string
	Sites            []api.Site
	Wrong            string
}

func (d *desk) steering(w http.ResponseWriter, r *http.Request) (s steering, ok bool) {
	s = steering{Order: r.PathValue("order"), Name: strings.TrimSpace(r.FormValue("name")), Why: strings.TrimSpace(r.FormValue("why"))}
	if s.Order != "pause" && s.Order != "resume" {
		d.nowhere(w, r)
		return s, false
	}
	return s, d.mayOrder(w, r, "postrider "+s.Order+" "+s.Name)
}

func (d *desk) steer(r *http.Request, s steering, dry bool) ([]api.Site, error) {
	o := api.Steer{Destination: s.Name, By: cmp.Or(api.CallerOf(r.Context()).Name, "the desk"), Why: s.Why, DryRun: dry}
	if s.Order == "pause" {
		return d.Pause(r.Context(), o)
	}
	return d.Resume(r.Context(), o)
}

func (d *desk) steerAsk(w http.ResponseWriter, r *http.Request) {
	s, ok := d.steering(w, r)
	if !ok {
		return
	}
	var err error
	status := http.StatusOK
	if s.Sites, err = d.steer(r, s, true); err != nil {
		s.Wrong, status = err.Error(), statusOf(err, http.StatusInternalServerError)
	}
	title := map[string]string{"pause": "Pause ", "resume": "Resume "}[s.Order] + s.Name
	d.show(w, r, status, "steer.html", view{Title: title, Place: "/destinations", Data: s})
}

func (d *desk) steerGive(w http.ResponseWriter, r *http.Request) {
	s, ok := d.steering(w, r)
	if !ok {
		return
	}
	if _, err := d.steer(r, s, false); err != nil {
		d.problem(w, r, statusOf(err, http.StatusInternalServerError), "The order was not carried out", err.Error())
		return
	}
	http.Redirect(w, r, "/destinations", http.StatusSeeOther)
}

// siteStory tells of a destination in one line.
func siteStory(s api.Site, now time.Time) string {
	switch s.Health {
	case "silent":
		words := "does not answer"
		if !s.Since.IsZero() {
			words += " for " + age(now.Sub(s.Since))
		}
		if s.Knocks > 0 {
			words += ", " + count(s.Knocks, "attempt")
		}
		if s.NextKnock.After(now) {
			words += ", next " + in(&s.NextKnock, now)
		}
		return words
	case "no way":
		return "no way there is known"
	case "deferring":
		return "answers, and took nothing last"
	case "untried":
		return "nothing was tried there yet"
	}
	return "takes mail"
}

// Package web is the pages of the desk: where an administrator sees and steers the
// mail in a browser. They are made on the server from what package api answers, work
// without a script, and load nothing from elsewhere; htmx makes them live.
//
// It decides nothing and keeps nothing about mail: every word of a fate, an
// explanation or a letter comes from the packages that the queue and the commands
// use. Whatever a stranger wrote is shown as text.
//
// Start reading at [Routes]; the pages stand in pages, their looks in static.
package web

import (
	"bytes"
	"embed"
	"net/http"
	"strings"
	"time"

	"github.com/postrider/postrider/internal/api"
)

//go:embed pages/*.html
var pageFiles embed.FS

//go:embed static
var staticFiles embed.FS

// csp allows what the pages bring themselves, and no script or style within them.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"

// desk serves the pages.
type desk struct {
	*api.Desk
	places []place
}

// place is an entry of the list of pages.
type place struct{ Name, Path string }

// Routes serves the pages on a listener's mux.
func Routes(a *api.Desk, mux *http.ServeMux) {
	d := &desk{Desk: a}
	staticRoutes(mux)
	d.todayRoutes(mux)
	d.findRoutes(mux)
	d.messageRoutes(mux)
	d.orderRoutes(mux)
	d.destinationRoutes(mux)
	d.rulesRoutes(mux)
	d.bounceRoutes(mux)
	d.simulateRoutes(mux)
	d.configurationRoutes(mux)
	mux.HandleFunc("GET /", d.nowhere)
}

// add puts a page into the list of pages.
func (d *desk) add(name, path string) { d.places = append(d.places, place{name, path}) }

// view is what every page is given.
type view struct {
	Title    string
	Place    string // its path in the list of pages
	Places   []place
	Hostname string
	Version  string
	Seek     string // what stands in the search box
	Caller   api.Caller
	Now      time.Time
	Data     any
}

// show writes a page.
func (d *desk) show(w http.ResponseWriter, r *http.Request, status int, file string, v view) {
	o := d.Options()
	v.Places, v.Hostname, v.Version = d.places, o.Hostname(), o.Version
	v.Caller = api.CallerOf(r.Context())
	if v.Now.IsZero() {
		v.Now = time.Now()
	}
	var b bytes.Buffer
	if err := templates()[file].ExecuteTemplate(&b, "frame", v); err != nil {
		http.Error(w, "the page could not be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", csp)
	w.WriteHeader(status)
	w.Write(harmless(b.Bytes()))
}

// problem is a page that says why there is no other.
func (d *desk) problem(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	d.show(w, r, status, "problem.html", view{Title: title, Data: text})
}

func (d *desk) nowhere(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, "/static/") {
		http.NotFound(w, r)
		return
	}
	d.problem(w, r, http.StatusNotFound, "There is no such page", "Perhaps its address was cut off on the way here.")
}

// Orders reports whether whoever looks may give orders.
func (v view) Orders() bool { return v.Caller.Role >= api.Operate }

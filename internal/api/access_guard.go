package api

import (
	"context"
	"encoding/json"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// strict is what every answer allows a browser to do: nothing. Pages allow
// themselves a little more.
const strict = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"

// open are the requests that need no role: they tell nothing of the mail.
var open = map[string]bool{"GET /healthz": true, "GET /readyz": true, "GET /login": true, "POST /login": true}

// questions are the requests that change nothing although they bring something along:
// whoever may see may send them.
var questions = map[string]bool{
	"POST /api/v1/explain": true, "POST /api/v1/simulate": true, "POST /api/v1/lint": true,
	"POST /explain": true, "POST /simulate": true,
}

// leaving is for every role, but for whoever it concerns alone.
const leaving = "POST /logout"

// guard lets through whoever may do what they ask for, and sets the headers that keep
// a browser from doing more than showing. With all, whoever comes may do everything.
func (s *server) guard(mux *http.ServeMux, next http.Handler, all bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", strict)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		c := Caller{Role: Operate}
		if !all {
			var no *denial
			if c, no = s.admit(w, r, mux); no != nil {
				no.write(w, r)
				return
			}
		}
		ctx := context.WithValue(r.Context(), callerKey{}, c)
		if s.o.Stopping != nil && safe(r.Method) { // a list or a stream need not come to its end
			reading, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(s.o.Stopping, cancel)()
			ctx = reading
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// admit returns who sends a request, or why it is not let through.
func (s *server) admit(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) (Caller, *denial) {
	_, pattern := mux.Handler(r)
	c, no := s.caller(r)
	isOpen := open[pattern] || strings.HasPrefix(pattern, "GET /static/")
	if no != nil && !(isOpen && no.status == http.StatusUnauthorized) {
		return c, no
	}
	if safe(r.Method) {
		return c, nil
	}
	if err := sameOrigin.Check(r); err != nil {
		return c, &denial{status: http.StatusForbidden, detail: "the order comes from a page of another site: " + err.Error()}
	}
	if !strings.HasPrefix(r.URL.Path, "/api/") {
		r.Body = http.MaxBytesReader(w, r.Body, explainMost+formMost)
	}
	switch {
	case isOpen, pattern == "", questions[pattern]: // without a pattern the mux says what it thinks of it
		return c, nil
	case c.Role < Operate && pattern != leaving:
		why := "the role " + c.Role.String() + " gives no orders"
		if c.Name == "" {
			why = "without tokens this listener only shows; orders come by the socket, or with a [[token]] of role operate"
		}
		return c, &denial{status: http.StatusForbidden, detail: why}
	case c.CSRF != "" && !c.bears(r):
		return c, &denial{status: http.StatusForbidden, detail: "the page is out of date: load it again (the order bears no token against forgery)"}
	}
	return c, nil
}

// sameOrigin refuses orders that a page of another site has a browser send.
var sameOrigin = http.NewCrossOriginProtection()

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// caller returns who sends a request by a listener that others reach.
func (s *server) caller(r *http.Request) (Caller, *denial) {
	a := s.o.Access
	switch {
	case a == nil:
		return Caller{Role: View}, nil
	case len(*a.tokens.Load()) == 0 && !s.o.Loopback:
		return Caller{}, &denial{status: http.StatusForbidden, detail: "nobody may use this listener: the configuration has no [[token]]"}
	case len(*a.tokens.Load()) == 0 && !toItself(r.Host):
		// A page elsewhere whose name suddenly leads here reads with the eyes of
		// whoever looks at it (DNS rebinding).
		return Caller{}, &denial{status: http.StatusMisdirectedRequest, detail: "without tokens this listener answers to 127.0.0.1, [::1] and localhost alone"}
	case len(*a.tokens.Load()) == 0:
		still := func() bool { return len(*a.tokens.Load()) == 0 }
		return Caller{Role: View, still: still}, nil
	}
	if given := r.Header.Get("Authorization"); given != "" {
		return a.fromHeader(r, given)
	}
	if c, ok := a.fromCookie(r); ok {
		return c, nil
	}
	return Caller{}, &denial{status: http.StatusUnauthorized, detail: "a token is wanted: Authorization: Bearer …, or log in at /login"}
}

// fromHeader returns who presents a token (RFC 6750 2.1).
func (a *Access) fromHeader(r *http.Request, given string) (Caller, *denial) {
	kind, secret, _ := strings.Cut(given, " ")
	if !strings.EqualFold(kind, "Bearer") {
		return Caller{}, &denial{status: http.StatusUnauthorized, detail: "a bearer token is wanted: Authorization: Bearer …"}
	}
	t, wait := a.present(r, strings.TrimSpace(secret))
	switch {
	case wait > 0:
		return Caller{}, &denial{status: http.StatusTooManyRequests, detail: "too many wrong tokens came from there", wait: wait}
	case t.role == Nobody:
		return Caller{}, &denial{status: http.StatusUnauthorized, detail: "that is no token of this server", wrong: true}
	}
	return Caller{Role: t.role, Name: t.name, still: func() bool { return a.holds(t) }}, nil
}

// toItself reports whether a Host header names this machine to itself.
func toItself(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}

// denial says why a request is not let through.
type denial struct {
	status int
	detail string
	wrong  bool          // a token was presented, and is none
	wait   time.Duration // before the next one is looked at
}

// write answers: a browser that looks for a page is led to the form.
func (d *denial) write(w http.ResponseWriter, r *http.Request) {
	if d.wait > 0 {
		retryAfter(w, d.wait)
	}
	if d.status == http.StatusUnauthorized {
		challenge := `Bearer realm="postrider"`
		if d.wrong {
			challenge += `, error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
		form := "/login?next=" + url.QueryEscape(localPath(r.URL.RequestURI()))
		switch {
		case r.Header.Get("HX-Request") != "":
			w.Header().Set("HX-Redirect", "/login")
		case r.Method == http.MethodGet && r.Header.Get("Authorization") == "" && strings.Contains(r.Header.Get("Accept"), "text/html"):
			http.Redirect(w, r, form, http.StatusSeeOther)
			return
		}
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(d.status)
	_ = json.NewEncoder(w).Encode(huma.ErrorModel{Title: http.StatusText(d.status), Status: d.status, Detail: d.detail}) // or they went away
}

// retryAfter says when to come again, in whole seconds (RFC 9110 10.2.3).
func retryAfter(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
}

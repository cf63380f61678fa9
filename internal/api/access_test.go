package api

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/postrider/postrider/chain"
	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/watch"
)

const (
	viewSecret    = "view-secret-0123456789"
	operateSecret = "operate-secret-0123456789"
)

// options are those of a listener that others reach.
func (w *world) options(a *Access, loopback bool) Options {
	o := w.plainOptions()
	o.Access, o.Loopback, o.Events = a, loopback, watch.NewFeed()
	o.Hooks = func() []watch.HookState { return []watch.HookState{} }
	o.Tools = NewTools(ToolsOptions{
		Scenario: func([]byte) (chain.Scenario, error) {
			return chain.Scenario{}, Mistakes{{Line: 3, Col: 1, Text: "no hop"}}
		},
		Schedules: func([]byte) ([]custody.Schedule, error) { return nil, nil },
		Config:    func() Configuration { return Configuration{} },
	})
	return o
}

func newAccess(t *testing.T, log *bytes.Buffer) *Access {
	t.Helper()
	a := NewAccess(slog.New(slog.NewTextHandler(log, nil)))
	err := a.Use([]Token{{Name: "monitor", Role: View, Secret: viewSecret}, {Name: "ann", Role: Operate, Secret: operateSecret}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ask sends a request with headers "Name: value".
func ask(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.RemoteAddr = "192.0.2.7:4711"
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if r.Header.Set(name, value); name == "Host" {
			r.Host = value
		}
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

const (
	jsonBody = "Content-Type: application/json"
	aForm    = "Content-Type: application/x-www-form-urlencoded"
	asView   = "Authorization: Bearer " + viewSecret
	asOp     = "Authorization: Bearer " + operateSecret
)

const holdAll = `{"order":"hold","filter":{},"all":true,"by":"carl"}`

func TestRoles(t *testing.T) {
	w := newWorld(t, "hello", "bob@there.test")
	var log bytes.Buffer
	h := New(w.options(newAccess(t, &log), false), false)
	for _, c := range []struct {
		method, target, body  string
		nobody, view, operate int
	}{
		{"GET", "/api/v1/queue", "", 401, 200, 200},
		{"HEAD", "/api/v1/queue", "", 401, 200, 200},
		{"GET", "/api/v1/trace?find=bob@there.test", "", 401, 200, 200},
		{"GET", "/api/v1/health", "", 401, 200, 200},
		{"GET", "/api/v1/config", "", 401, 200, 200},
		{"GET", "/api/v1/webhooks", "", 401, 200, 200},
		{"GET", "/api/v1/openapi.json", "", 401, 200, 200},
		{"GET", "/healthz", "", 200, 200, 200},
		{"GET", "/login", "", 200, 200, 200},
		{"GET", "/nowhere", "", 401, 404, 404},
		{"POST", "/api/v1/orders", holdAll, 401, 403, 200},
		{"POST", "/api/v1/messages?to=a@b.test", "x", 401, 403, 200},
		{"POST", "/api/v1/explain", "550 5.1.1 no such user", 401, 200, 200},
		{"POST", "/api/v1/simulate", "x", 401, 422, 422},
		{"POST", "/api/v1/lint?system=postfix", "", 401, 200, 200},
		{"POST", "/logout", "", 401, 303, 303},
		{"DELETE", "/api/v1/queue", "", 401, 405, 405},
		{"PATCH", "/api/v1/orders", "", 401, 405, 405},
	} {
		for _, as := range []struct {
			header string
			want   int
		}{{"X: y", c.nobody}, {asView, c.view}, {asOp, c.operate}} {
			w.queue.got = nil
			rec := ask(h, c.method, c.target, c.body, as.header, jsonBody)
			if rec.Code != as.want {
				t.Errorf("%s %s with %s: %d %s, want %d", c.method, c.target, as.header, rec.Code, rec.Body, as.want)
			}
			if ordered := len(w.queue.got) > 0; ordered != (c.body == holdAll && as.want == 200) {
				t.Errorf("%s %s with %s: ordered %v", c.method, c.target, as.header, w.queue.got)
			}
			if got := rec.Header().Get("WWW-Authenticate"); (got != "") != (rec.Code == 401) {
				t.Errorf("%s %s: %d with challenge %q", c.method, c.target, rec.Code, got)
			}
		}
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("the log shows a token:\n%s", &log)
	}
}

func TestAnOrderBearsTheNameOfItsToken(t *testing.T) {
	for _, c := range []struct{ said, want string }{
		{"carl", "by carl by token ann: "}, {"ann", "by ann: "}, {"", "by ann: "},
	} {
		w := newWorld(t, "hello", "bob@there.test")
		h := New(w.options(newAccess(t, new(bytes.Buffer)), false), false)
		ask(h, "POST", "/api/v1/orders", fmt.Sprintf(`{"order":"hold","filter":{},"all":true,"by":%q}`, c.said), asOp, jsonBody)
		if len(w.queue.got) != 1 || !strings.HasSuffix(w.queue.got[0], c.want) {
			t.Errorf("by %q: %q, want %q", c.said, w.queue.got, c.want)
		}
	}
}

func TestBadTokens(t *testing.T) {
	w := newWorld(t, "hello")
	for _, c := range []struct {
		name, target, header string
		want                 int
	}{
		{"none", "/api/v1/queue", "X: y", 401},
		{"wrong", "/api/v1/queue", "Authorization: Bearer wrong-secret-0123456789", 401},
		{"empty", "/api/v1/queue", "Authorization: Bearer ", 401},
		{"cut off", "/api/v1/queue", asView[:len(asView)-1], 401},
		{"too long", "/api/v1/queue", asView + "x", 401},
		{"basic", "/api/v1/queue", "Authorization: Basic " + viewSecret, 401},
		{"in the URL", "/api/v1/queue?access_token=" + viewSecret + "&token=" + viewSecret, "X: y", 401},
		{"a name", "/api/v1/queue", "Authorization: Bearer monitor", 401},
		{"a session that never was", "/api/v1/queue", "Cookie: postrider=" + strings.Repeat("x", 43), 401},
		{"huge", "/api/v1/queue", "Authorization: Bearer " + strings.Repeat("x", 1<<20), 401},
		{"the scheme in capitals", "/api/v1/queue", "Authorization: BEARER " + viewSecret, 200},
	} {
		var log bytes.Buffer
		h := New(w.options(newAccess(t, &log), false), false)
		rec := ask(h, "GET", c.target, "", c.header)
		if rec.Code != c.want || strings.Contains(rec.Body.String()+log.String(), viewSecret) {
			t.Errorf("%s: %d %s, want %d\n%s", c.name, rec.Code, rec.Body, c.want, &log)
		}
	}
}

// Whoever tries many tokens is stopped, whatever comes next from there, and nobody else.
func TestWrongTokensAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		a := newAccess(t, &log)
		h := New(paged(Options{Access: a}, new(Caller)), false)
		from := func(remote, header string) *httptest.ResponseRecorder {
			r := httptest.NewRequest("GET", "/page", nil)
			r.RemoteAddr = remote
			r.Header.Set("Authorization", header)
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			return rec
		}
		const right, wrong = "Bearer " + viewSecret, "Bearer wrong-secret-0123456789"
		for i := range 10 {
			if rec := from("[2001:db8::1]:1", wrong); rec.Code != 401 {
				t.Fatalf("try %d: %d", i, rec.Code)
			}
		}
		rec := from("[2001:db8::2]:1", right) // the same /64
		if rec.Code != 429 || rec.Header().Get("Retry-After") != "6" {
			t.Errorf("then the right one: %d, come again after %s", rec.Code, rec.Header().Get("Retry-After"))
		}
		if rec := from("192.0.2.9:1", right); rec.Code != 200 {
			t.Errorf("somebody else: %d", rec.Code)
		}
		time.Sleep(6 * time.Second)
		if rec := from("[2001:db8::1]:1", right); rec.Code != 200 {
			t.Errorf("later: %d", rec.Code)
		}
		if n := strings.Count(log.String(), "too many wrong tokens"); n != 1 || strings.Contains(log.String(), "secret") {
			t.Errorf("the log:\n%s", &log)
		}
		for i := range wrongKept + 10 {
			from(fmt.Sprintf("10.%d.%d.1:1", i/256, i%256), wrong)
		}
		if n := len(a.wrong.seen); n > wrongKept+1 {
			t.Errorf("%d networks are remembered", n)
		}
	})
}

func TestWithoutTokensOnlyLoopbackShows(t *testing.T) {
	w := newWorld(t, "hello", "bob@there.test")
	for _, c := range []struct {
		loopback     bool
		host, method string
		target       string
		headers      []string
		want         int
	}{
		{true, "127.0.0.1:8025", "GET", "/api/v1/queue", nil, 200},
		{true, "[::1]:8025", "GET", "/api/v1/queue", nil, 200},
		{true, "localhost:8025", "GET", "/api/v1/queue", nil, 200},
		{true, "127.0.0.1", "GET", "/api/v1/queue", []string{"Authorization: Bearer of-old-times"}, 200},
		{true, "evil.test:8025", "GET", "/api/v1/queue", nil, 421}, // DNS rebinding
		{true, "127.0.0.1.evil.test", "GET", "/api/v1/queue", nil, 421},
		{true, "127.0.0.1:8025", "POST", "/api/v1/orders", nil, 403},
		{true, "127.0.0.1:8025", "POST", "/api/v1/explain", nil, 200},
		{true, "127.0.0.1:8025", "POST", "/api/v1/explain", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{true, "127.0.0.1:8025", "GET", "/login?next=/queue", nil, 303},
		{false, "127.0.0.1:8025", "GET", "/api/v1/queue", nil, 403},
		{false, "mx.test", "GET", "/", []string{"Accept: text/html"}, 403},
		{false, "mx.test", "POST", "/api/v1/orders", nil, 403},
	} {
		h := New(w.options(NewAccess(nil), c.loopback), false)
		rec := ask(h, c.method, c.target, holdAll, append(c.headers, "Host: "+c.host, jsonBody)...)
		if rec.Code != c.want {
			t.Errorf("loopback %t, %s %s at %s %v: %d %s, want %d", c.loopback, c.method, c.target, c.host, c.headers, rec.Code, rec.Body, c.want)
		}
	}
	if len(w.queue.got) > 0 {
		t.Errorf("ordered %q", w.queue.got)
	}
}

// login logs in and returns the cookie, and what orders must bear.
func login(t *testing.T, h http.Handler, seen *Caller) (cookie, csrf string) {
	t.Helper()
	rec := ask(h, "POST", "/login", url.Values{"token": {operateSecret}, "next": {"/queue?x=1"}}.Encode(), aForm)
	if rec.Code != 303 || rec.Header().Get("Location") != "/queue?x=1" {
		t.Fatalf("login: %d to %q", rec.Code, rec.Header().Get("Location"))
	}
	cookie = rec.Header().Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie %s has no %s", cookie, want)
		}
	}
	cookie = "Cookie: " + cookie[:strings.IndexByte(cookie, ';')]
	ask(h, "GET", "/page", "", cookie)
	return cookie, seen.CSRF
}

// paged adds a page to options that notes who asks for it.
func paged(o Options, seen *Caller) Options {
	o.Pages = func(_ *Desk, mux *http.ServeMux) {
		mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) { *seen = CallerOf(r.Context()) })
	}
	return o
}

func TestOrdersFromPages(t *testing.T) {
	w := newWorld(t, "hello", "bob@there.test")
	var seen Caller
	h := New(paged(w.options(newAccess(t, new(bytes.Buffer)), false), &seen), false)
	cookie, csrf := login(t, h, &seen)
	if seen.Role != Operate || seen.Name != "ann" || len(csrf) < 32 {
		t.Fatalf("the page is seen by %+v", seen)
	}
	for _, c := range []struct {
		name    string
		headers []string
		body    string
		want    int
	}{
		{"header", []string{"X-CSRF-Token: " + csrf, "Sec-Fetch-Site: same-origin"}, holdAll, 200},
		{"form", []string{aForm}, "csrf=" + csrf, 200},
		{"no token", nil, holdAll, 403},
		{"a wrong token", []string{"X-CSRF-Token: " + csrf[1:] + "x"}, holdAll, 403},
		{"an empty token", []string{"X-CSRF-Token: "}, holdAll, 403},
		{"a form without", []string{aForm}, "x=y", 403},
		{"another site", []string{"X-CSRF-Token: " + csrf, "Sec-Fetch-Site: cross-site"}, holdAll, 403},
		{"another port of this machine", []string{"X-CSRF-Token: " + csrf, "Sec-Fetch-Site: same-site"}, holdAll, 403},
		{"another origin", []string{"X-CSRF-Token: " + csrf, "Origin: https://evil.test"}, holdAll, 403},
		{"the token in the URL", []string{"Referer: /?csrf=" + csrf}, holdAll, 403},
	} {
		w.queue.got = nil
		target := "/api/v1/orders?csrf=" + csrf
		if c.headers = append([]string{cookie, jsonBody}, c.headers...); c.body != holdAll {
			target = "/page?csrf=" + csrf
		}
		rec := ask(h, "POST", target, c.body, c.headers...)
		if rec.Code != c.want || (len(w.queue.got) > 0) != (c.want == 200 && c.body == holdAll) {
			t.Errorf("%s: %d %s, ordered %q, want %d", c.name, rec.Code, rec.Body, w.queue.got, c.want)
		}
	}
	huge := ask(h, "POST", "/page", "x="+strings.Repeat("x", explainMost+2<<20)+"&csrf="+csrf, cookie, aForm)
	if huge.Code != 403 {
		t.Errorf("a huge form: %d", huge.Code)
	}
}

func TestSessionsEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(h http.Handler, a *Access, cookie, csrf string)
		over bool
	}{
		{"at once", func(http.Handler, *Access, string, string) {}, false},
		{"by logging out", func(h http.Handler, _ *Access, cookie, csrf string) {
			if rec := ask(h, "POST", "/logout", "csrf="+csrf, cookie, aForm); rec.Code != 303 || !strings.Contains(rec.Header().Get("Set-Cookie"), "Max-Age=0") {
				panic(rec)
			}
		}, true},
		{"not when another site says so", func(h http.Handler, _ *Access, cookie, _ string) { ask(h, "POST", "/logout", "", cookie, aForm) }, false},
		{"with another secret", func(_ http.Handler, a *Access, _, _ string) {
			a.Use([]Token{{Name: "ann", Role: Operate, Secret: "another" + operateSecret}})
		}, true},
		{"with another role", func(_ http.Handler, a *Access, _, _ string) {
			a.Use([]Token{{Name: "ann", Role: View, Secret: operateSecret}})
		}, true},
		{"not with another token", func(_ http.Handler, a *Access, _, _ string) {
			a.Use([]Token{{Name: "ann", Role: Operate, Secret: operateSecret}, {Name: "x", Role: View, Secret: "another" + viewSecret}})
		}, false},
		{"not within hours", func(http.Handler, *Access, string, string) { time.Sleep(11 * time.Hour) }, false},
		{"after a day", func(http.Handler, *Access, string, string) { time.Sleep(24 * time.Hour) }, true},
		{"after a week of work", func(h http.Handler, _ *Access, cookie, _ string) {
			for range 7 * 24 {
				time.Sleep(time.Hour + time.Minute)
				ask(h, "GET", "/page", "", cookie)
			}
		}, true},
		{"when others crowd", func(h http.Handler, a *Access, _, _ string) {
			time.Sleep(time.Second)
			for range sessionMost {
				a.sessions.open(a.find(viewSecret), time.Now())
			}
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, seen := newAccess(t, new(bytes.Buffer)), Caller{}
				h := New(paged(Options{Access: a}, &seen), false)
				cookie, csrf := login(t, h, &seen)
				caller := seen
				c.end(h, a, cookie, csrf)
				rec := ask(h, "GET", "/page", "", cookie)
				if (rec.Code == 401) != c.over || caller.stays() == c.over {
					t.Errorf("%d, stays %t", rec.Code, caller.stays())
				}
				if n := len(a.sessions.all); n > sessionMost {
					t.Errorf("%d sessions are kept", n)
				}
			})
		})
	}
}

func TestTheWayToTheForm(t *testing.T) {
	w := newWorld(t, "hello")
	h := New(w.options(newAccess(t, new(bytes.Buffer)), false), false)
	rec := ask(h, "GET", "/message/x?y=1", "", "Accept: text/html,*/*")
	if rec.Code != 303 || rec.Header().Get("Location") != "/login?next=%2Fmessage%2Fx%3Fy%3D1" {
		t.Errorf("a browser: %d to %s", rec.Code, rec.Header().Get("Location"))
	}
	if rec := ask(h, "GET", "/part", "", "HX-Request: true", "Accept: text/html"); rec.Code != 401 || rec.Header().Get("HX-Redirect") != "/login" {
		t.Errorf("htmx: %d %v", rec.Code, rec.Header())
	}
	for next, want := range map[string]string{
		"/queue?x=1": "/queue?x=1", "": "/", "https://evil.test/": "/", "//evil.test/": "/", `/\evil.test`: "/", "queue": "/", "javascript:alert(1)": "/",
		"/%2f/x": "/", "/a\r\nX: y": "/", "///x": "/",
	} {
		rec := ask(h, "POST", "/login", url.Values{"token": {viewSecret}, "next": {next}}.Encode(), aForm)
		if got := rec.Header().Get("Location"); rec.Code != 303 || got != want {
			t.Errorf("then to %q: %d to %q, want %q", next, rec.Code, got, want)
		}
	}
	rec = ask(h, "POST", "/login", url.Values{"token": {"<b>wrong"}, "next": {`"><script>`}}.Encode(), aForm)
	if body := rec.Body.String(); rec.Code != 401 || strings.Contains(body, "<script") || strings.Contains(body, "wrong-") || !strings.Contains(body, "no token of this server") {
		t.Errorf("a wrong one: %d %s", rec.Code, body)
	}
	if rec := ask(h, "POST", "/login", "token="+viewSecret, aForm, "Sec-Fetch-Site: cross-site"); rec.Code != 403 {
		t.Errorf("from another site: %d", rec.Code)
	}
	if rec := ask(h, "GET", "/login?token="+operateSecret, ""); rec.Code != 200 || rec.Header().Get("Set-Cookie") != "" {
		t.Errorf("the token in the URL: %d %v", rec.Code, rec.Header())
	}
}

func TestTheCookieOfTLS(t *testing.T) {
	w := newWorld(t, "hello")
	s := httptest.NewTLSServer(New(w.options(newAccess(t, new(bytes.Buffer)), false), false))
	defer s.Close()
	c := s.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := c.PostForm(s.URL+"/login", url.Values{"token": {viewSecret}})
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if got := res.Header.Get("Set-Cookie"); !strings.HasPrefix(got, "__Host-postrider=") || !strings.Contains(got, "; Secure") {
		t.Errorf("the cookie is %s", got)
	}
}

func TestEveryAnswerIsStrict(t *testing.T) {
	w := newWorld(t, "hello")
	h := New(w.options(newAccess(t, new(bytes.Buffer)), false), false)
	for _, target := range []string{"/login", "/healthz", "/api/v1/queue", "/nowhere", "/api/v1/openapi.json"} {
		for _, as := range []string{"X: y", asView} {
			head := ask(h, "GET", target, "", as).Header()
			csp := head.Get("Content-Security-Policy")
			if !strings.HasPrefix(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") ||
				head.Get("X-Content-Type-Options") != "nosniff" || head.Get("X-Frame-Options") != "DENY" || head.Get("Referrer-Policy") != "no-referrer" ||
				head.Get("Cache-Control") != "no-store" || head.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: %v", target, head)
			}
		}
	}
}

func TestTokensThatAreNone(t *testing.T) {
	for _, c := range []struct {
		tokens []Token
		want   string
	}{
		{[]Token{{Name: "a", Role: View, Secret: "short"}}, "token a: a token has 16 to 200 letters, this one has 5"},
		{[]Token{{Name: "a", Role: View, Secret: strings.Repeat("x", 201)}}, "token a: a token has 16 to 200 letters, this one has 201"},
		{[]Token{{Name: "a", Role: View, Secret: "two words of text"}}, "token a: a token is one word of ASCII, without blanks"},
		{[]Token{{Name: "a", Role: View, Secret: viewSecret}, {Name: "b", Role: Operate, Secret: viewSecret}}, "token b: its secret is that of token a"},
	} {
		a := newAccess(t, new(bytes.Buffer))
		if err := a.Use(c.tokens); err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
		if a.find(operateSecret).name != "ann" {
			t.Error("the tokens are others although there is something wrong")
		}
	}
}

// noSites are destinations of which nothing is asked.
type noSites struct{ Destinations }

// The document describes every route of the mux but the pages, and itself.
func TestEveryRouteIsInTheDocument(t *testing.T) {
	w := newWorld(t, "hello")
	o := w.options(newAccess(t, new(bytes.Buffer)), false)
	o.Metrics, o.Door, o.Outlooks = w.metrics(&told{}), &told{}, NewOutlooks(w.store, nil, o.Schedule)
	o.Destinations = &places{}
	o.Destinations = noSites{}
	_, mux, a := build(o)
	patterns := patternsOf(t, mux)
	for field := range reflect.ValueOf(o).Type().Fields() { // or its routes are not looked at
		if v := reflect.ValueOf(o).FieldByIndex(field.Index); slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Interface, reflect.Func}, v.Kind()) &&
			v.IsNil() && field.Name != "Pages" && field.Name != "Notices" {
			t.Errorf("option %s is not set", field.Name)
		}
	}
	if len(patterns) < 15 {
		t.Fatalf("the mux has only %v", patterns)
	}
	described := map[string]string{}
	for path, item := range a.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "DELETE": item.Delete, "PATCH": item.Patch} {
			if op != nil {
				described[method+" "+path] = op.Description
			}
		}
	}
	for _, p := range patterns {
		if strings.Contains(p, "/api/v1/openapi") {
			continue
		}
		if described[p] == "" {
			t.Errorf("%s is not in the document", p)
		}
	}
	for pattern, text := range described {
		if !regexp.MustCompile(`(Role: (view|operate)|Open to all)\.$`).MatchString(text) {
			t.Errorf("%s does not say which role it wants", pattern)
		}
	}
}

// patternsOf returns what a mux serves, which it does not tell by itself.
func patternsOf(t *testing.T, mux *http.ServeMux) (all []string) {
	t.Helper()
	index := reflect.ValueOf(mux).Elem().FieldByName("index")
	if !index.IsValid() {
		t.Fatal("net/http keeps its patterns elsewhere now: look for them")
	}
	add := func(list reflect.Value) {
		for i := range list.Len() {
			all = append(all, list.Index(i).Elem().FieldByName("str").String())
		}
	}
	for it := index.FieldByName("segments").MapRange(); it.Next(); {
		add(it.Value())
	}
	add(index.FieldByName("multis"))
	slices.Sort(all)
	return slices.Compact(all)
}

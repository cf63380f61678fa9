package api

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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

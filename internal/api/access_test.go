package api

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
		{"GET", "/readyz", "", 200, 200, 200},
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

func TestHugeBodiesAreNotRead(t *testing.T) {
	w := newWorld(t, "hello", "bob@there.test")
	h := New(w.options(newAccess(t, new(bytes.Buffer)), false), false)
	for _, c := range []struct {
		target, kind string
		size, want   int
	}{
		{"/api/v1/orders", jsonBody, 2 << 20, 413},
		{"/api/v1/explain", jsonBody, 64 << 20, 413},
		{"/api/v1/lint", jsonBody, 64 << 20, 413},
		{"/login", aForm, 64 << 20, 401},
	} {
		body := &counted{}
		r := httptest.NewRequest("POST", c.target, io.LimitReader(body, int64(c.size)))
		r.RemoteAddr = "192.0.2.7:4711"
		for _, line := range []string{asOp, c.kind} {
			name, value, _ := strings.Cut(line, ": ")
			r.Header.Set(name, value)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != c.want || body.n > explainMost+1<<20 {
			t.Errorf("%s: %d after %d octets, want %d", c.target, rec.Code, body.n, c.want)
		}
	}
}

// counted is a body without end that counts what is read of it.
type counted struct{ n int }

func (c *counted) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	c.n += len(p)
	return len(p), nil
}

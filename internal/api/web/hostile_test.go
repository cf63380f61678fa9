package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

// sting is what a stranger may write wherever there is room: a script, an escape of
// a terminal, and what turns the direction of writing.
const sting = `<script>alert(1)</script>"'><img src=x onerror=alert(2)> ` + "\u202egnp.exe\u2066 \x1b]0;title\x07\u009b31m"

// stung are the ways in which a page must not contain it.
var stung = []string{"<script>alert", "<img src=x", "onerror=alert(2)> \u202e", "\u202e", "\u2066", "\x1b", "\x07", "\u009b"}

func notStung(t *testing.T, where string, rec *httptest.ResponseRecorder, code int) {
	t.Helper()
	page := rec.Body.String()
	for _, bad := range stung {
		if strings.Contains(page, bad) {
			t.Errorf("%s: %q is in the page", where, bad)
		}
	}
	if rec.Code != code {
		t.Errorf("%s: %d, want %d", where, rec.Code, code)
	}
	for _, wrong := range faults(t, page) {
		t.Errorf("%s: %s", where, wrong)
	}
}

// TestWhereverAStrangerWritesItStaysText stings all pages at once: by the header, also
// encoded, by replies, by names and reasons, and by what a request brings along.
func TestWhereverAStrangerWritesItStaysText(t *testing.T) {
	w := newWorld(t)
	encoded := "=?utf-8?q?" + strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(sting), "+", "_"), "%", "=") + "?="
	d := w.comes(time.Hour, encoded, "ann@author.test", "bob@there.test")
	o := says(451, mail.Status{4, 7, 1}, sting)
	o.Host = sting
	d = w.tried(d, d.Accepted.Add(time.Minute), o)
	e := custody.Ordered{At: time.Now(), By: sting, Why: sting, Order: custody.OrderHold}
	held, duties := custody.Step(d, schedule, e)
	w.settle(held, e.At, e, duties)
	rec := policy.Record{Ref: "K7X50JK9", At: time.Now(), Client: "192.0.2.7", Name: sting, Helo: sting, From: sting, To: []string{sting}, Rule: "no-reverse-name", Place: sting, Why: sting, Reply: mail.Reply{Code: 550, Text: sting}}
	w.door.records = []policy.Record{rec}
	w.door.groups = []policy.Group{{Client: "192.0.2.7", Rule: "no-reverse-name", Count: 3, Last: time.Now(), Latest: rec, Honest: []string{sting}}}
	w.door.allowed = []policy.Allowed{{Override: policy.Override{ID: "ZZ11YY", Rule: "greylist", Name: sting, Until: time.Now().Add(time.Hour), By: sting, Because: sting}, Made: time.Now()}}
	q := url.QueryEscape(sting)
	id := d.ID.String()
	for target, code := range map[string]int{
		"/": 200, "/find": 200, "/find?q=" + q: 200, "/find?q=there.test": 200, "/find?q=alert": 200, "/find?q=K7X50JK9": 200, "/message/" + d.ID.Message.String(): 200,
		"/find?domain=" + q: 200, "/find?older=" + q: 422, "/find?state=" + q: 422, "/find?why=" + q: 200, "/find?after=" + q: 422,
		"/message/" + url.PathEscape(sting): 404, "/message/" + id + "/order?order=release": 200, "/message/" + id + "/order?order=life&more=" + q: 422,
		"/message/" + id + "/order?order=reroute&via=" + q: 422, "/message/" + id + "/order?order=" + q: 422, "/message/" + id + "/order?order=giveup&why=" + q: 200,
		"/rules": 200, "/rules/refusals": 200, "/rules/refusals?client=" + q: 422, "/rules/allow?client=" + q + "&name=" + q + "&because=" + q: 200, "/rules/allow/ZZ11YY": 200,
		"/rules/try?client=" + q: 422, "/rules/try?client=192.0.2.7&helo=" + q: 200, "/rules?within=" + q: 422,
		"/simulate?name=" + q + "&system=postfix&keep=&name=b&system=mailbox&keep=&to=1&what=" + q + "&from=&until=": 422,
		"/simulate?name=a&system=postfix&keep=" + q + "&name=b&system=mailbox&keep=":                                 422,
		"/simulate/receiver?down=" + q: 422, "/" + url.PathEscape(sting): 404,
	} {
		notStung(t, target[:min(len(target), 40)], w.get(true, target), code)
	}
	notStung(t, "explain", w.post(true, "/explain", url.Values{"text": {"550 5.1.1 <" + sting + "@there.test>: User unknown " + sting}}), 200)
	notStung(t, "let in", w.post(true, "/rules/allow", url.Values{"rule": {sting}, "client": {sting}, "because": {sting}}), 422)
	if got := text(t, w.get(true, "/find")); !strings.Contains(got, "<script>alert(1)</script>") || !strings.Contains(got, "‹U+202E›gnp.exe") {
		t.Errorf("it is not shown:\n%s", got)
	}
}

// TestHugeQuestionsAreAnswered asks more than anybody needs.
func TestHugeQuestionsAreAnswered(t *testing.T) {
	w, _ := full(t)
	huge := strings.Repeat("x", 60_000)
	many := strings.Repeat("why=held&state=held&", 3000)
	for target, code := range map[string]int{
		"/find?domain=" + huge: 200, "/find?older=" + huge: 422, "/find?state=" + huge: 422, "/find?why=" + huge: 200, "/find?after=" + huge: 422, "/find?as=" + huge + "&q=x": 200,
		"/find?q=" + strings.Repeat("a.", 30_000) + "test": 200, "/find?q=" + strings.Repeat("%3C", 20_000): 200, "/find?" + many: 200,
		"/simulate?" + strings.Repeat("name=a&system=postfix&keep=&", 2000): 422,
	} {
		began := time.Now()
		rec := w.get(true, target)
		if took := time.Since(began); rec.Code != code || took > 10*time.Second {
			t.Errorf("%.30s…: %d after %v, want %d", target, rec.Code, took, code)
		}
	}
}

// TestPagesThatAreOutOfDateSaySo asks for what was there when the page was made.
func TestPagesThatAreOutOfDateSaySo(t *testing.T) {
	w, _ := full(t)
	d := w.comes(time.Hour, "Soon gone", "ann@author.test", "bob@there.test")
	w.comes(time.Minute, "It came later", "ann@author.test", "bob@there.test")
	order := "/message/" + d.ID.String() + "/order"
	if got := w.get(true, order+"?order=hold"); got.Code != http.StatusOK {
		t.Fatalf("before: %d", got.Code)
	}
	w.tried(d, time.Now(), says(250, mail.Status{2, 0, 0}, "taken"))
	for _, c := range []struct {
		name string
		rec  *httptest.ResponseRecorder
		code int
		want string
	}{
		{"the question before an order", w.get(true, order+"?order=hold"), 409, "It has just left"},
		{"an order", w.post(true, order, url.Values{"order": {"giveup"}}), 409, "Its page says what became of it"},
		{"the life of it", w.post(true, order, url.Values{"order": {"life"}, "more": {"2d"}}), 409, "It has just left"},
		{"another way", w.post(true, order, url.Values{"order": {"reroute"}, "via": {"mx"}}), 409, "It has just left"},
		{"its page", w.get(true, "/message/"+d.ID.Message.String()), 200, "its header is no longer here"},
		{"an order for what was never here", w.post(true, "/message/"+custody.ID{}.String()+"-1/order", url.Values{"order": {"remove"}}), 409, "No message with this id waits here"},
		{"the page behind it", w.get(true, "/find?after="+d.ID.String()), 200, "It came later"},
		{"an override that is over", w.get(true, "/rules/allow/GONE22"), 404, "There is no such override"},
		{"a button that there was", w.post(true, order, url.Values{"order": {"requeue"}}), 422, "may be out of date"},
	} {
		if got := text(t, c.rec); c.rec.Code != c.code || !strings.Contains(got, c.want) {
			t.Errorf("%s: %d, %q is not in\n%s", c.name, c.rec.Code, c.want, got)
		}
	}
	if rec := w.get(true, "/static/desk-00000000.css"); rec.Code != http.StatusNotFound {
		t.Errorf("a style of another version: %d", rec.Code)
	}
}

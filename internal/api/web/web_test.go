package web

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// TestEveryPageIsSound reads every page as a browser with strict rules and a person
// without eyes would.
func TestEveryPageIsSound(t *testing.T) {
	w, pages := full(t)
	for _, p := range pages {
		rec := w.get(true, p)
		if want := map[bool]int{true: 404, false: 200}[p == "/no/such/page"]; rec.Code != want {
			t.Errorf("%s: %d, want %d\n%s", p, rec.Code, want, rec.Body)
			continue
		}
		if got := rec.Header().Get("Content-Security-Policy"); got != csp || strings.Contains(got, "unsafe") {
			t.Errorf("%s: policy %q", p, got)
		}
		for _, wrong := range faults(t, rec.Body.String()) {
			t.Errorf("%s: %s", p, wrong)
		}
	}
}

func TestForeignTextIsShownAsText(t *testing.T) {
	w := newWorld(t)
	d := w.comes(time.Hour, "<script>alert(1)</script> \u202egnp.exe \x1b[31m", `"<b>x</b>"@author.test`, `"<img src=x onerror=alert(1)>"@there.test`)
	w.tried(d, d.Accepted.Add(time.Minute), says(451, mail.Status{4, 7, 1}, "</blockquote><script>alert(2)</script>\u2066 \x1b]0;title\x07"))
	for _, p := range []string{"/find", "/find?q=%3Cscript%3E%E2%80%AE", "/message/" + d.ID.Message.String(), "/message/" + d.ID.String() + "/order?order=giveup"} {
		rec := w.get(true, p)
		page := rec.Body.String()
		for _, bad := range []string{"<script>", "<b>x", "<img", "\u202e", "\u2066", "\x1b", "\x07"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: %q is in the page", p, bad)
			}
		}
		if rec.Code != http.StatusOK || !strings.Contains(page, "&lt;") {
			t.Errorf("%s: %d\n%s", p, rec.Code, page)
		}
	}
}

func TestWhatSteersIsNamed(t *testing.T) {
	for in, want := range map[string]string{
		"plain text, größer, 漢字, 👨‍👩‍👧": "plain text, größer, 漢字, 👨‍👩‍👧",
		"a\u202eb":             "a‹U+202E›b",
		"\x1b[31mred":          "‹U+001B›[31mred",
		"line\r\nline\rcr":     "line\nline‹U+000D›cr",
		"bad \xff utf8":        "bad \uFFFD utf8",
		"\u061c\u2069\ufeff.":  "‹U+061C›‹U+2069›‹U+FEFF›.",
		"next\u2028line\u0085": "next‹U+2028›line‹U+0085›",
	} {
		if got := string(harmless([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestABoxFindsWhatItIsGiven(t *testing.T) {
	w, _ := full(t)
	wait := w.comes(time.Hour, "Needle", "zoe@far.test", "yan@away.test")
	for _, c := range []struct{ q, want, not string }{
		{"yan@away.test", "Needle", "It waits"},
		{"zoe@far.test", "Needle", "It waits"},
		{"<" + strings.ToUpper("m6@author.test") + ">", "Needle", "It waits"},
		{"away.test", "Needle", "It waits"},
		{"@far.test", "Needle", "It waits"},
		{"there.test", "It has left", "Needle"},
		{"needle", "Needle", "It waits"},
		{"TRY LATER", "It waits", "Needle"},
		{"queued as x1", "It has left", "Needle"},
		{"<>", "A report", "Needle"},
		{"k7x50jk9", "", ""},
		{"K7X50JK9", "no-reverse-name: no", "Needle"},
		{"no such thing", "Nothing is found", "Needle"},
	} {
		got := text(t, w.get(false, "/find?q="+url.QueryEscape(c.q)))
		if !strings.Contains(got, c.want) || c.not != "" && strings.Contains(got, c.not) {
			t.Errorf("%q: want %q and not %q in\n%s", c.q, c.want, c.not, got)
		}
	}
	for _, id := range []string{wait.ID.String(), wait.ID.Message.String()} {
		if rec := w.get(false, "/find?q="+id); rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != "/message/"+id {
			t.Errorf("%s: %d %v", id, rec.Code, rec.Header())
		}
	}
}

func TestPagesOfFindsFollowOneAnother(t *testing.T) {
	for _, c := range []struct{ waiting, left int }{{2*pageRows + 7, 0}, {pageRows, pageRows + 7}, {pageRows - 7, 2*pageRows + 7}} {
		w := newWorld(t)
		for i := range c.waiting + c.left {
			d := w.comes(time.Duration(200-i)*time.Minute, fmt.Sprintf("Message %03d.", i), "ann@author.test", "bob@there.test")
			if i >= c.waiting {
				w.tried(d, time.Now(), says(250, mail.Status{2, 0, 0}, "ok"))
			}
		}
		for first, all := range map[string]int{
			"/find": c.waiting, "/find?state=waiting": c.waiting, "/find?q=there.test": c.waiting + c.left, "/find?q=message": c.waiting + c.left,
		} {
			if seen, next := pagesFrom(t, w, first); len(seen) != all || next != "" {
				t.Errorf("%s: %d of %d seen, then %q", first, len(seen), all, next)
			}
		}
	}
}

// pagesFrom goes through at most four pages, and returns the messages on them and what
// follows.
func pagesFrom(t *testing.T, w *world, next string) (seen map[string]bool, _ string) {
	seen = map[string]bool{}
	for range 4 {
		root, err := html.Parse(w.get(false, next).Body)
		if err != nil {
			t.Fatal(err)
		}
		next = ""
		for n := range root.Descendants() {
			if n.Type != html.ElementNode || n.Data != "a" {
				continue
			}
			if s := textOf(n); strings.HasPrefix(s, "Message ") {
				seen[s] = true
			} else if s == "Next page" || s == "Look further" {
				next = n.Attr[slices.IndexFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "href" })].Val
			}
		}
		if next == "" {
			break
		}
	}
	return seen, next
}

func TestWhatMakesNoSenseIsSaid(t *testing.T) {
	w, _ := full(t)
	for target, want := range map[string]int{
		"/find?after=nonsense": 422,
		"/find?q=there.test&after=" + custody.DeliveryID{Message: custody.NewID(time.Now(), 0, 1), N: 1}.String() + "_x": 422,
		"/find?older=5x":                                    422,
		"/find?state=asleep":                                422,
		"/find?q=" + strings.Repeat("x", 30000):             200,
		"/message/nonsense":                                 404,
		"/message/" + custody.ID{}.String():                 404,
		"/message/" + custody.ID{}.String() + "-1":          404,
		"/simulate?system=postfix&system=nosuch":            422,
		"/simulate?system=postfix":                          422,
		"/simulate?system=postfix&system=mailbox&what=what": 422,
		"/simulate?system=postfix&keep=5x&system=mailbox":   422,
		"/simulate/receiver?down=900y":                      422,
		"/simulate/receiver?down=soon":                      422,
		"/rules?within=ever":                                422,
		"/rules/refusals?client=nobody":                     422,
		"/rules/allow/nosuch":                               404,
	} {
		rec := w.get(true, target)
		if rec.Code != want {
			t.Errorf("%.60s: %d, want %d", target, rec.Code, want)
		}
		for _, wrong := range faults(t, rec.Body.String()) {
			t.Errorf("%.60s: %s", target, wrong)
		}
	}
}

func TestAnOrderIsShownBeforeItIsGiven(t *testing.T) {
	w, _ := full(t)
	d := w.comes(time.Hour, "Steer me", "ann@author.test", "bob@there.test")
	page := "/message/" + d.ID.String() + "/order"
	held := func() bool {
		it, err := w.store.Item(t.Context(), d.ID)
		return err == nil && !it.Delivery.Held.IsZero()
	}
	if got := text(t, w.get(true, page+"?order=hold")); !strings.Contains(got, "held") || !strings.Contains(got, "never") || held() {
		t.Errorf("shown: %s\nheld: %v", got, held())
	}
	if got := text(t, w.get(true, page+"?order=life&more=10d")); !strings.Contains(got, "an operator set this end") {
		t.Errorf("life: %s", got)
	}
	if got := text(t, w.get(true, page+"?order=reroute&via=nonsense")); !strings.Contains(got, "no next hop") {
		t.Errorf("reroute: %s", got)
	}
	rec := w.post(true, page, url.Values{"order": {"hold"}, "why": {"he moves"}})
	if rec.Code != http.StatusSeeOther || !held() {
		t.Fatalf("%d, held: %v\n%s", rec.Code, held(), rec.Body)
	}
	if got := text(t, w.get(true, rec.Header().Get("Location"))); !strings.Contains(got, "he moves") || !strings.Contains(got, "Release") {
		t.Errorf("afterwards: %s", got)
	}
	if rec := w.post(true, page, url.Values{"order": {"explode"}}); rec.Code != http.StatusUnprocessableEntity {
		t.Errorf("no order: %d", rec.Code)
	}
	w.gone = true
	if rec := w.post(true, page, url.Values{"order": {"remove"}}); rec.Code != http.StatusConflict || !strings.Contains(rec.Body.String(), "just left") {
		t.Errorf("gone: %d %s", rec.Code, rec.Body)
	}
}

// Of what is given up nobody is promised a report who gets none.
func TestAReturnIsOnlyPromisedWhereThereIsOne(t *testing.T) {
	w := newWorld(t)
	never := w.comes(time.Hour, "Hello", "ann@author.test", "bob@there.test")
	never.Rcpts[0].Notify = mail.NotifyNever
	never = w.tried(never, time.Now().Add(-time.Minute), says(452, mail.Status{4, 2, 2}, "full"))
	for _, c := range []struct {
		name string
		d    custody.Delivery
		told bool
	}{
		{"who asked for nothing", w.comes(time.Hour, "Hello", "ann@author.test", "bob@there.test"), true},
		{"NOTIFY=NEVER", never, false},
		{"a null return path", w.comes(time.Hour, "Hello", "", "bob@there.test"), false},
	} {
		page, order := "/message/"+c.d.ID.Message.String(), "/message/"+c.d.ID.String()+"/order?order=giveup"
		for target, words := range map[string][2]string{page: {"given up and returned", "given up, and the sender is not told"}, order: {"goes back to the sender now", "given up, and the sender is not told"}} {
			got := text(t, w.get(true, target))
			if strings.Contains(got, words[0]) != c.told || strings.Contains(got, words[1]) == c.told {
				t.Errorf("%s: %s says\n%s", c.name, target, got)
			}
		}
		if got := w.get(true, page).Body.String(); strings.Contains(got, "It goes back to the sender now") != c.told {
			t.Errorf("%s: what the order does", c.name)
		}
	}
}

func TestWhoOnlySeesIsOfferedNoOrder(t *testing.T) {
	w, pages := full(t)
	for _, p := range pages {
		if page := w.get(false, p).Body.String(); strings.Contains(page, `name="order" value=`) || strings.Contains(page, `action="/rules/allow"`) {
			t.Errorf("%s offers an order", p)
		}
	}
	d := w.comes(time.Hour, "Steer me", "ann@author.test", "bob@there.test")
	for _, c := range []struct {
		target string
		form   url.Values
	}{
		{"/message/" + d.ID.String() + "/order", url.Values{"order": {"remove"}}},
		{"/rules/allow", url.Values{"rule": {"greylist"}, "because": {"x"}}},
		{"/rules/allow/ZZ11YY/end", nil},
	} {
		if rec := w.post(false, c.target, c.form); rec.Code != http.StatusForbidden {
			t.Errorf("%s: %d", c.target, rec.Code)
		}
	}
	if _, err := w.store.Item(t.Context(), d.ID); err != nil || len(w.door.allowed) != 1 {
		t.Errorf("%v, overrides %v", err, w.door.allowed)
	}
}

func TestSomebodyIsLetIn(t *testing.T) {
	w, _ := full(t)
	form := url.Values{"rule": {"no-reverse-name"}, "client": {"192.0.2.7"}, "for": {"30d"}}
	if rec := w.post(true, "/rules/allow", form); rec.Code != http.StatusUnprocessableEntity || !strings.Contains(rec.Body.String(), "no reason") {
		t.Errorf("without a reason: %d", rec.Code)
	}
	form.Set("because", "their DNS is being mended")
	rec := w.post(true, "/rules/allow", form)
	if rec.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	if got := text(t, w.get(true, rec.Header().Get("Location"))); !strings.Contains(got, "192.0.2.7") || !strings.Contains(got, "Ready to forward") {
		t.Errorf("%s", got)
	}
	w.post(true, "/rules/allow/AB12CD/end", nil)
	if len(w.door.allowed) != 1 {
		t.Errorf("overrides: %v", w.door.allowed)
	}
}

func TestHeadersAreShownAndNeverTheBody(t *testing.T) {
	w := newWorld(t)
	d := w.comes(time.Hour, "Hello", "ann@author.test", "bob@there.test")
	got := w.get(true, "/message/"+d.ID.Message.String()).Body.String()
	if !strings.Contains(got, "X-Odd: ‹U+001B›[31m") || strings.Contains(got, "secret body") {
		t.Errorf("%s", got)
	}
}

func TestABounceIsExplained(t *testing.T) {
	w := newWorld(t)
	const line = "5.4.7 - Delivery expired (message too old) '[Errno 61] Connection refused' (delivery attempts: 0)"
	rec := w.post(false, "/explain", url.Values{"text": {line}, "language": {"de"}})
	page := rec.Body.String()
	if rec.Code != http.StatusOK || !strings.Contains(page, "postrider-way") || !strings.Contains(page, "What to do now") || !strings.Contains(page, "letter-0-sender") {
		t.Errorf("%d\n%s", rec.Code, page)
	}
	for _, wrong := range faults(t, page) {
		t.Error(wrong)
	}
	for text, want := range map[string]string{"": "Nothing was handed in", "Subject: hi\n\nhello\n": "ordinary message"} {
		if got := w.post(false, "/explain", url.Values{"text": {text}}).Body.String(); !strings.Contains(got, want) {
			t.Errorf("%q: %s", text, got)
		}
	}
	r := httptest.NewRequest("POST", "/explain", io.LimitReader(endless{}, bounceMost+100))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if rec := ask(w.handler(false), r); rec.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("too much: %d", rec.Code)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestAnOutageChangesThePicture(t *testing.T) {
	w := newWorld(t)
	link := func(what string) string {
		return story([]hop{{"ours", ours, ""}, {"there", box, ""}}, outage{"1", what, "0s", "1d"})
	}
	for what, want := range map[string]string{"refused": "Delivered after 1d", "550 5.1.1 no such user": "Not delivered", "greylist 5m": "Delivered after 1h"} {
		if got := w.get(false, link(what)).Body.String(); !strings.Contains(got, want) {
			t.Errorf("%s: %q is not in\n%s", what, want, got)
		}
	}
	q := form([]hop{{"a", "postfix", ""}, {"b", box, ""}}, []outage{{"1", "refused", "", ""}})
	q.Set("do", "add-hop")
	got := w.get(false, "/simulate?"+q.Encode()).Body.String()
	if strings.Count(got, `name="system"`) != 3 || !strings.Contains(got, "hop 2 → b") {
		t.Errorf("a hop more: %s", got)
	}
	q.Set("do", "drop-outage-0")
	if got := w.get(false, "/simulate?"+q.Encode()).Body.String(); strings.Contains(got, `name="what"`) || !strings.Contains(got, "Delivered at once") {
		t.Errorf("an outage less: %s", got)
	}
}

func TestTodayTellsTheStory(t *testing.T) {
	w, _ := full(t)
	ends := w.comes(119*time.Hour, "Soon over", "ann@author.test", "bob@there.test")
	w.tried(ends, ends.Accepted.Add(118*time.Hour), custody.Outcome{Stage: mail.Connect, Trouble: custody.Unreachable, Reply: mail.Reply{Text: "connection refused"}})
	got := text(t, w.get(false, "/"))
	for _, want := range []string{"4 deliveries wait", "1 will be given up in the next 24 hours", "Soon over", "refuses the connection", "An operator holds it", "It was not tried yet"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

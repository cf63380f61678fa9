package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/memory"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

// world is a desk over a store in memory. Its queue carries orders out by the law
// alone: there is nobody to deliver to.
type world struct {
	t     *testing.T
	store spool.Store
	gone  bool // what is ordered has just left
	door  door
	n     uint64
}

var schedule = custody.Schedule{
	Name: "default", Rule: "test.toml:9 schedule.default", Retry: []custody.Pace{{Gap: time.Hour}}, Warn: []time.Duration{4 * time.Hour}, Expire: 120 * time.Hour,
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s := memory.New(0)
	t.Cleanup(func() { s.Close() })
	return &world{t: t, store: s}
}

func (w *world) Order(ctx context.Context, id custody.DeliveryID, _ []int, e custody.Ordered) error {
	if w.gone {
		return queue.ErrGone
	}
	it, err := w.store.Item(ctx, id)
	if err != nil {
		return err
	}
	d, duties := custody.Step(it.Delivery, schedule, e)
	w.settle(d, e.At, e, duties)
	return nil
}

func (w *world) Doing(custody.Delivery) (bool, string) { return false, "" }

// settle stores a step.
func (w *world) settle(d custody.Delivery, at time.Time, e custody.Event, duties []custody.Duty) {
	closed := slices.ContainsFunc(duties, func(d custody.Duty) bool { _, is := d.(custody.Close); return is })
	entry := custody.Entry{At: at, Delivery: d.ID, Event: e, Duties: duties, Next: d.Next}
	for _, err := range w.store.Settle(context.Background(), []spool.Step{{Delivery: d, Wake: custody.Wake(d, schedule), Closed: closed, Entries: []custody.Entry{entry}}}) {
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// comes has a message come in some time ago.
func (w *world) comes(ago time.Duration, subject, from, to string) custody.Delivery {
	w.t.Helper()
	w.n++
	at := time.Now().Add(-ago)
	m := custody.Message{
		ID: custody.NewID(at, 0, w.n), Accepted: at, Subject: subject, MessageID: fmt.Sprintf("m%d@author.test", w.n),
		Came: custody.Came{Client: "192.0.2.7", Helo: "client.test", Protocol: "ESMTP", Rule: "test.toml:1 relay"},
	}
	if from != "" {
		m.Envelope.From = w.address(from)
	}
	a := w.address(to)
	d := custody.NewDelivery(m, 1, a.Domain, []mail.Recipient{{Address: a}})
	draft, err := w.store.Begin(w.t.Context(), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	fmt.Fprintf(draft, "Subject: %s\r\nX-Odd: \x1b[31m\r\n\r\nthe secret body\r\n", subject)
	m.Size = draft.Size()
	if err := draft.Commit(w.t.Context(), m, []custody.Delivery{d}); err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) address(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// tried has an attempt be made for a delivery.
func (w *world) tried(d custody.Delivery, at time.Time, o custody.Outcome) custody.Delivery {
	d, _ = custody.Step(d, schedule, custody.Due{At: at})
	o.At = at
	e := custody.Tried{At: at, Attempt: custody.Attempt{Began: at, Way: "mx " + d.Domain, Outcomes: []custody.Outcome{o}}}
	d, duties := custody.Step(d, schedule, e)
	w.settle(d, at, e, duties)
	return d
}

func says(code int, status mail.Status, text string) custody.Outcome {
	o := custody.Outcome{Host: "mx.there.test", IP: "192.0.2.25", Stage: mail.Rcpt, Reply: mail.Reply{Code: code, Status: status, Text: text}, Theirs: true}
	switch code / 100 {
	case 2:
		o.Stage, o.Taken = mail.Dot, custody.Onward
	case 4:
		o.Trouble = custody.Deferred
	}
	return o
}

// handler serves the desk to who may give orders, or to who only sees.
func (w *world) handler(orders bool) http.Handler {
	o := api.Options{
		Store: w.store, Queue: w, Hostname: "mx.test", Version: "test", Pages: Routes, Door: &w.door,
		Schedule: func(custody.Delivery) custody.Schedule { return schedule },
		Via: func(s string) error {
			if s != "mx" {
				return fmt.Errorf("%q is no next hop", s)
			}
			return nil
		},
		Outlooks: api.NewOutlooks(w.store, nil, func(custody.Delivery) custody.Schedule { return schedule }),
		Tools: api.NewTools(api.ToolsOptions{
			Schedules: func([]byte) ([]custody.Schedule, error) { return []custody.Schedule{schedule}, nil },
			Config: func() api.Configuration {
				return api.Configuration{File: "test.toml", Rules: policy.Internet(), Settings: []api.Setting{
					{Key: "hostname", Value: "mx.test", File: "test.toml", Line: 1}, {Key: "token[0].file", Hidden: true, File: "test.toml", Line: 4},
				}}
			},
		}),
	}
	ctx, stop := context.WithCancel(context.Background())
	w.t.Cleanup(stop)
	go o.Outlooks.Run(ctx)
	return api.New(o, orders)
}

func (w *world) get(orders bool, target string) *httptest.ResponseRecorder {
	return ask(w.handler(orders), httptest.NewRequest("GET", target, nil))
}

func (w *world) post(orders bool, target string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return ask(w.handler(orders), r)
}

func ask(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// door is a door that remembers what a test puts there.
type door struct {
	allowed []policy.Allowed
	records []policy.Record
	groups  []policy.Group
}

func (d *door) Allowed(time.Time) []policy.Allowed { return d.allowed }
func (d *door) Allow(o policy.Override, now time.Time) (policy.Allowed, error) {
	if o.Because == "" {
		return policy.Allowed{}, errors.New("policy: override: no reason is given")
	}
	a := policy.Allowed{Override: o, Made: now}
	a.ID = "AB12CD"
	d.allowed = append(d.allowed, a)
	return a, nil
}
func (d *door) Disallow(id string, _ time.Time) error {
	d.allowed = slices.DeleteFunc(d.allowed, func(a policy.Allowed) bool { return a.ID == id })
	return nil
}
func (d *door) Refusals(_ netip.Prefix, _, ref string, _ time.Time, _ int) []policy.Record {
	return slices.DeleteFunc(slices.Clone(d.records), func(r policy.Record) bool { return ref != "" && r.Ref != ref })
}
func (d *door) RefusedGroups(netip.Prefix, string, time.Time) []policy.Group { return d.groups }
func (d *door) Explain(context.Context, policy.Visit) []policy.Judged {
	return []policy.Judged{{Stage: policy.Recipient, Action: policy.Refuse, Rule: "no-reverse-name", Why: "192.0.2.7 has no name in the DNS"}}
}

// full is a world with mail in every state, and where each of its pages is.
func full(t *testing.T) (*world, []string) {
	w := newWorld(t)
	waits := w.comes(5*time.Hour, "It waits", "ann@author.test", "bob@there.test")
	for i := range 4 {
		waits = w.tried(waits, waits.Accepted.Add(time.Duration(i)*time.Hour+time.Minute), says(451, mail.Status{4, 7, 1}, "try later"))
	}
	held := w.comes(time.Hour, "It is held", "ann@author.test", "carl@there.test")
	e := custody.Ordered{At: time.Now(), By: "maria", Why: "he moves", Order: custody.OrderHold}
	held, duties := custody.Step(held, schedule, e)
	w.settle(held, e.At, e, duties)
	left := w.comes(time.Hour, "It has left", "ann@author.test", "dora@there.test")
	left = w.tried(left, left.Accepted.Add(time.Second), says(250, mail.Status{2, 0, 0}, "queued as X1"))
	back := w.comes(time.Hour, "It came back", "ann@author.test", "nobody@there.test")
	back = w.tried(back, back.Accepted.Add(time.Second), says(550, mail.Status{5, 1, 1}, "no such user"))
	null := w.comes(time.Minute, "A report", "", "eve@there.test")
	w.door.records = []policy.Record{{Ref: "K7X50JK9", At: time.Now(), Client: "192.0.2.7", From: "<x@y.test>", Rule: "no-reverse-name", Reply: mail.Reply{Code: 550, Text: "no-reverse-name: no"}}}
	w.door.groups = []policy.Group{{Client: "192.0.2.7", Rule: "no-reverse-name", Count: 3, Last: time.Now(), Latest: w.door.records[0], Honest: []string{"it comes again as a server does"}}}
	w.door.allowed = []policy.Allowed{{Override: policy.Override{ID: "ZZ11YY", Rule: "greylist", Domain: "friend.test", Until: time.Now().Add(time.Hour), By: "maria", Because: "they are slow"}, Made: time.Now()}}
	pages := []string{
		"/", "/find", "/find?q=there.test", "/find?q=K7X50JK9", "/find?q=nothing+like+it", "/explain", "/simulate/receiver?down=63h",
		"/rules", "/rules/refusals", "/rules/allow?client=192.0.2.7", "/rules/allow/ZZ11YY", "/rules/try?client=192.0.2.7", "/configuration", "/no/such/page",
		presets[0].Link, presets[2].Link, "/message/" + waits.ID.String() + "/order?order=hold", "/message/" + waits.ID.String() + "/order?order=life",
	}
	for _, d := range []custody.Delivery{waits, held, left, back, null} {
		pages = append(pages, "/message/"+d.ID.Message.String())
	}
	return w, pages
}

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

// faults are what is wrong with a page: scripts and styles within it, controls that
// have no name, ids that are not single, headings that are missing.
func faults(t *testing.T, page string) (wrong []string) {
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	ids, labelled, seen := map[string]int{}, map[string]bool{}, map[string]int{}
	var controls []map[string]string
	var walk func(n *html.Node, inLabel bool)
	walk = func(n *html.Node, inLabel bool) {
		at := map[string]string{}
		for _, a := range n.Attr {
			at[a.Key] = a.Val
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				say("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
			if u, err := url.Parse(a.Val); (a.Key == "href" || a.Key == "src" || a.Key == "action") && (err != nil || u.Host != "" || u.Scheme != "") {
				say("<%s> leads elsewhere: %q", n.Data, a.Val)
			}
		}
		if n.Type == html.ElementNode {
			seen[n.Data]++
			if id, ok := at["id"]; ok {
				ids[id]++
			}
			switch n.Data {
			case "style":
				say("a style within the page")
			case "script":
				if at["src"] == "" || n.FirstChild != nil {
					say("a script within the page")
				}
			case "label":
				labelled[at["for"]], inLabel = true, true
			case "input", "select", "textarea":
				if at["type"] != "hidden" && !inLabel {
					controls = append(controls, at)
				}
			case "button", "a":
				if strings.TrimSpace(textOf(n)) == "" {
					say("<%s> without a name", n.Data)
				}
			case "th":
				if at["scope"] == "" {
					say("<th> without scope")
				}
			case "svg":
				if at["role"] != "img" && at["aria-hidden"] != "true" || at["role"] == "img" && at["aria-label"] == "" && !strings.Contains(textOf(n), " ") {
					say("a picture without a name")
				}
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c, inLabel)
		}
	}
	walk(root, false)
	for id, n := range ids {
		if n > 1 {
			say("id %q stands %d times", id, n)
		}
	}
	for _, c := range controls {
		if !labelled[c["id"]] && c["aria-label"] == "" {
			say("a control without a label: %v", c)
		}
	}
	for _, one := range []string{"h1", "main", "nav", "footer", "title"} {
		if seen[one] != 1 && !(one == "title" && seen[one] > 0) {
			say("%d <%s>", seen[one], one)
		}
	}
	return wrong
}

func textOf(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var b strings.Builder
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		b.WriteString(textOf(c))
	}
	return b.String()
}

// text is a page as a reader sees it.
func text(t *testing.T, rec *httptest.ResponseRecorder) string {
	t.Helper()
	root, err := html.Parse(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(textOf(root)), " ")
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
	w := newWorld(t)
	const all = 2*pageRows + 7
	for i := range all {
		w.comes(time.Duration(all-i)*time.Minute, fmt.Sprintf("Message %03d.", i), "ann@author.test", "bob@there.test")
	}
	for _, first := range []string{"/find", "/find?q=there.test", "/find?q=message", "/find?state=waiting"} {
		seen, next := map[string]bool{}, first
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
		if len(seen) != all || next != "" {
			t.Errorf("%s: %d of %d seen, then %q", first, len(seen), all, next)
		}
	}
}

func TestWhatMakesNoSenseIsSaid(t *testing.T) {
	w, _ := full(t)
	for target, want := range map[string]int{
		"/find?after=nonsense":                              422,
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

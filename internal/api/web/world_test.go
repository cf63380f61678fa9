package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
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
		Store: w.store, Queue: w, Hostname: func() string { return "mx.test" }, Version: "test", Pages: Routes, Door: &w.door,
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
func (d *door) Refusals(client netip.Prefix, _, ref string, _ time.Time, _ int) []policy.Record {
	return slices.DeleteFunc(slices.Clone(d.records), func(r policy.Record) bool {
		ip, err := netip.ParseAddr(r.Client)
		return ref != "" && r.Ref != ref || client.IsValid() && (err != nil || !client.Contains(ip))
	})
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

// historyOf is a message as the API tells it to the pages.
func historyOf(t *testing.T, w *world, d custody.Delivery) (h api.History) {
	t.Helper()
	api.New(api.Options{
		Store: w.store, Queue: w, Hostname: func() string { return "mx.test" }, Schedule: func(custody.Delivery) custody.Schedule { return schedule },
		Pages: func(a *api.Desk, _ *http.ServeMux) {
			var err error
			if h, err = a.History(t.Context(), d.ID.String(), 1, time.Now()); err != nil {
				t.Fatal(err)
			}
		},
	}, true)
	return h
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

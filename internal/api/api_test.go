package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/local"
	"github.com/postrider/postrider/mail"
)

// orders is a queue that only notes what it is ordered.
type orders struct {
	got    []string
	answer error
}

func (o *orders) Order(_ context.Context, id custody.DeliveryID, rcpts []int, e custody.Ordered) error {
	o.got = append(o.got, fmt.Sprint(e.Order, " ", id.N, " ", rcpts, " by ", e.By, ": ", e.Why))
	return o.answer
}

func (o *orders) Doing(custody.Delivery) (bool, string) { return false, "" }

// world is an API over a store with one message for each list of recipients, which are
// ann's unless "zoe> " stands before them.
type world struct {
	t     *testing.T
	store spool.Store
	queue orders
	ids   []custody.ID
	taken error
}

func newWorld(t *testing.T, subject string, to ...string) *world {
	t.Helper()
	store, err := local.Open(t.TempDir(), local.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	w := &world{t: t, store: store}
	for i, list := range to {
		at := time.Now().Add(-time.Hour)
		m := custody.Message{
			ID: custody.NewID(at, 0, uint64(i+1)), Accepted: at, Subject: subject, MessageID: fmt.Sprintf("m%d@author.test", i+1),
			Envelope: mail.Envelope{From: mail.Address{Local: "ann", Domain: "author.test"}},
			Came:     custody.Came{Client: "192.0.2.7", Helo: "client.test", Protocol: "ESMTP", Rule: "test.toml:1 relay"},
		}
		if to, is := strings.CutPrefix(list, "zoe> "); is {
			list, m.Envelope.From = to, mail.Address{Local: "zoe", Domain: "else.test"}
		}
		var rcpts []mail.Recipient
		for a := range strings.SplitSeq(list, " ") {
			addr, err := mail.ParseAddress(a)
			if err != nil {
				t.Fatal(err)
			}
			rcpts = append(rcpts, mail.Recipient{Address: addr})
		}
		d := custody.NewDelivery(m, 1, rcpts[0].Address.Domain, rcpts)
		draft, err := store.Begin(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(draft, "Subject: x\r\n\r\nbody\r\n")
		m.Size = draft.Size()
		if err := draft.Commit(t.Context(), m, []custody.Delivery{d}); err != nil {
			t.Fatal(err)
		}
		w.ids = append(w.ids, m.ID)
	}
	return w
}

func (w *world) handler(orders bool) http.Handler { return New(w.plainOptions(), orders) }

func (w *world) plainOptions() Options {
	return Options{
		Store: w.store, Queue: &w.queue, Hostname: func() string { return "mx.test" }, Version: "test",
		Schedule: func(custody.Delivery) custody.Schedule {
			return custody.Schedule{Name: "default", Rule: "test.toml:9 schedule.default", Retry: []custody.Pace{{Gap: time.Hour}}, Expire: 120 * time.Hour}
		},
		Via: func(s string) error {
			if s != "mx" {
				return fmt.Errorf("%q is no next hop", s)
			}
			return nil
		},
		Submit: func(_ context.Context, env mail.Envelope, _ string, body io.Reader) (custody.Message, error) {
			_, err := io.Copy(io.Discard, body)
			if w.taken != nil {
				err = w.taken
			}
			return custody.Message{ID: custody.NewID(time.Now(), 0, 1)}, err
		},
	}
}

func (w *world) ask(orders bool, method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	rec := httptest.NewRecorder()
	w.handler(orders).ServeHTTP(rec, r)
	return rec
}

func TestWhoCanOnlyReachTheWebCanOnlyLook(t *testing.T) {
	w := newWorld(t, "hello", "bob@there.test")
	for _, c := range []struct {
		method, target string
		want           int
	}{
		{"GET", "/healthz", 200}, {"GET", "/api/v1/queue", 200}, {"GET", "/api/v1/trace?find=bob@there.test", 200},
		{"GET", "/api/v1/health", 200}, {"GET", "/api/v1/openapi.json", 200}, {"GET", "/nowhere", 404}, {"GET", "/docs", 404},
		{"POST", "/api/v1/orders", 403}, {"POST", "/api/v1/messages?to=a@b.test", 403},
		{"POST", "/api/v1/queue", 405}, {"DELETE", "/api/v1/queue", 405}, {"PUT", "/healthz", 405},
	} {
		body := ""
		if c.method == "POST" {
			body = `{"order":"remove","filter":{},"all":true,"by":"eve"}`
		}
		rec := w.ask(false, c.method, c.target, body)
		if rec.Code != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.target, rec.Code, c.want)
		}
		if h := rec.Header(); h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s %s: headers %v", c.method, c.target, h)
		}
	}
	if len(w.queue.got) != 0 {
		t.Errorf("ordered: %q", w.queue.got)
	}
}

func TestQuestionsThatMakeNoSenseAreTheClients(t *testing.T) {
	w := newWorld(t, "hello", "bob@there.test")
	for _, target := range []string{
		"/api/v1/queue?id=nonsense", "/api/v1/queue?older_than=5x", "/api/v1/queue?state=asleep", "/api/v1/queue?after=x",
		"/api/v1/queue?limit=0", "/api/v1/trace?id=nonsense",
	} {
		if rec := w.ask(false, "GET", target, ""); rec.Code != 422 {
			t.Errorf("%s: %d %s", target, rec.Code, rec.Body)
		}
	}
	for _, find := range []string{"nonsense", "nobody@there.test", "<>", "@nowhere.test"} {
		rec := w.ask(false, "GET", "/api/v1/trace?find="+url.QueryEscape(find), "")
		if rec.Code != 200 || strings.TrimSpace(rec.Body.String()) != "[]" {
			t.Errorf("trace of %s: %d %s", find, rec.Code, rec.Body)
		}
	}
}

func TestAMessageIsFoundByWhateverIsKnownOfIt(t *testing.T) {
	w := newWorld(t, "hello", "bob@there.test", "carl@else.test")
	for _, find := range []string{w.ids[0].String(), w.ids[0].String() + "-1", "m1@author.test", "<m1@author.test>", "bob@there.test", "BOB@THERE.TEST", "@there.test"} {
		var got []Trace
		json.Unmarshal(w.ask(false, "GET", "/api/v1/trace?find="+url.QueryEscape(find), "").Body.Bytes(), &got)
		if len(got) != 1 || got[0].Message != w.ids[0].String() || len(got[0].Events) == 0 || len(got[0].Forecast) == 0 {
			t.Errorf("%s finds %+v", find, got)
		}
	}
	var got []Trace
	json.Unmarshal(w.ask(false, "GET", "/api/v1/trace?find=ann@author.test", "").Body.Bytes(), &got)
	if len(got) != 2 {
		t.Errorf("the sender finds %d", len(got))
	}
}

func TestATraceSaysThatThereIsMore(t *testing.T) {
	w := newWorld(t, "hello", "bob@there.test", "bob@there.test", "bob@there.test")
	for limit, more := range map[int]string{1: "true", 2: "true", 3: "", 4: ""} {
		rec := w.ask(false, "GET", fmt.Sprint("/api/v1/trace?find=bob@there.test&limit=", limit), "")
		var got []Trace
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || len(got) != min(limit, 3) || rec.Header().Get("Postrider-More") != more {
			t.Errorf("of 3 at most %d: %d and more %q, %v", limit, len(got), rec.Header().Get("Postrider-More"), err)
		}
	}
}

func TestAnAddressFindsWhatItSentAndWhatItGets(t *testing.T) {
	w := newWorld(t, "hello", "bob@there.test", "zoe> ann@author.test", "ann@author.test", "zoe> bob@there.test")
	finds := func(query string, more string, want ...int) {
		t.Helper()
		rec := w.ask(false, "GET", "/api/v1/trace?find="+query, "")
		var got []Trace
		err := json.Unmarshal(rec.Body.Bytes(), &got)
		var is []int
		for _, tr := range got {
			is = append(is, slices.IndexFunc(w.ids, func(id custody.ID) bool { return id.String() == tr.Message }))
		}
		if err != nil || !slices.Equal(is, want) || rec.Header().Get("Postrider-More") != more {
			t.Errorf("%s finds %v and more %q, want %v and %q; %v", query, is, rec.Header().Get("Postrider-More"), want, more, err)
		}
	}
	finds("ann@author.test", "", 0, 1, 2)
	finds("ann@author.test&limit=3", "", 0, 1, 2)
	finds("ann@author.test&limit=2", "true", 0, 1)
	finds("@author.test", "", 0, 1, 2)
	finds("bob@there.test", "", 0, 3)
	finds("ann@author.test&from=zoe@else.test", "", 1)
	finds("ann@author.test&to=bob@there.test", "", 0)
	finds("ann@author.test&to=@author.test", "", 1, 2)
	finds("ann@author.test&from=@author.test", "", 0, 2)
	it, err := w.store.Item(t.Context(), custody.DeliveryID{Message: w.ids[0], N: 1})
	if err != nil {
		t.Fatal(err)
	}
	it.Delivery.Rcpts[0].State = custody.Removed
	if err := errors.Join(w.store.Settle(t.Context(), []spool.Step{{Delivery: it.Delivery, Closed: true}})...); err != nil {
		t.Fatal(err)
	}
	finds("ann@author.test", "", 1, 2, 0) // what waits comes first
	finds("ann@author.test&limit=2", "true", 1, 2)
}

func TestWhatWaitsIsShownWithWhatItWasTold(t *testing.T) {
	w := newWorld(t, "hello", "ann@there.test bob@there.test")
	w.settle(0, func(d *custody.Delivery) {
		d.Tries = 1
		d.Rcpts[0].State = custody.Refused
		d.Rcpts[0].Last = custody.Outcome{At: d.Accepted.Add(time.Second), Stage: mail.Rcpt, Reply: mail.Reply{Code: 550, Text: "User unknown"}, Theirs: true}
		d.Rcpts[1].Last = custody.Outcome{At: d.Accepted, Stage: mail.Rcpt, Reply: mail.Reply{Code: 451, Text: "Greylisted"}, Theirs: true}
	})
	var page struct{ Deliveries []Delivery }
	json.Unmarshal(w.ask(false, "GET", "/api/v1/queue", "").Body.Bytes(), &page)
	if len(page.Deliveries) != 1 || page.Deliveries[0].Last == nil || page.Deliveries[0].Last.Text != "Greylisted" {
		t.Errorf("%+v", page.Deliveries)
	}
}

func TestListsComeInPages(t *testing.T) {
	w := newWorld(t, "hello", "a@there.test", "b@there.test", "c@there.test")
	var ids []string
	after := ""
	for range 5 {
		var page struct {
			Deliveries []Delivery
			After      string
		}
		json.Unmarshal(w.ask(false, "GET", "/api/v1/queue?limit=2&after="+after, "").Body.Bytes(), &page)
		for _, d := range page.Deliveries {
			ids = append(ids, d.Message)
		}
		if after = page.After; after == "" {
			break
		}
	}
	want := []string{w.ids[0].String(), w.ids[1].String(), w.ids[2].String()}
	if !slices.Equal(ids, want) {
		t.Errorf("pages show %v, want %v", ids, want)
	}
}

func TestOrdersReachWhomTheyName(t *testing.T) {
	for _, c := range []struct {
		body string
		code int
		want []string
	}{
		{`{"order":"hold","filter":{},"by":"ann"}`, 422, nil},
		{`{"order":"hold","filter":{},"all":true,"by":"ann","why":"audit"}`, 200, []string{"hold 1 [] by ann: audit", "hold 1 [] by ann: audit"}},
		{`{"order":"hold","filter":{"domain":"THERE.test"},"by":"ann"}`, 200, []string{"hold 1 [] by ann: "}},
		{`{"order":"giveup","filter":{"to":"Carl@there.TEST"},"by":"ann"}`, 200, []string{"giveup 1 [1] by ann: "}},
		{`{"order":"giveup","filter":{"to":"@there.test"},"by":"ann"}`, 200, []string{"giveup 1 [] by ann: "}},
		{`{"order":"remove","filter":{"to":"dora@else.test"},"by":"ann"}`, 200, []string{"remove 1 [] by ann: "}},
		{`{"order":"remove","filter":{"to":"nobody@there.test"},"by":"ann"}`, 200, nil},
		{`{"order":"remove","filter":{"id":"nonsense"},"by":"ann"}`, 422, nil},
		{`{"order":"remove","filter":{"to":"bob@there.test"},"dry_run":true,"by":"ann"}`, 200, nil},
		{`{"order":"reroute","filter":{"to":"bob@there.test"},"via":"tin:can","by":"ann"}`, 422, nil},
		{`{"order":"remove","filter":{"message_id":"<>"},"by":"ann"}`, 422, nil},
		{`{"order":"remove","filter":{"domain":"there.test","from":""},"by":"ann"}`, 422, nil},
		{`{"order":"remove","filter":{"from":"@"},"by":"ann"}`, 422, nil},
		{`{"order":"remove","filter":{"from":"<>"},"by":"ann"}`, 200, nil},
		{`{"order":"dance","filter":{"to":"bob@there.test"},"by":"ann"}`, 422, nil},
	} {
		w := newWorld(t, "hello", "bob@there.test carl@there.test", "dora@else.test")
		rec := w.ask(true, "POST", "/api/v1/orders", c.body)
		if rec.Code != c.code || !slices.Equal(w.queue.got, c.want) {
			t.Errorf("%s: %d, ordered %q, want %d %q\n%s", c.body, rec.Code, w.queue.got, c.code, c.want, rec.Body)
		}
	}
}

func TestAnOrderByReplyReachesWhomItWasSaidTo(t *testing.T) {
	said := func(d *custody.Delivery, i int, st custody.State, code int, text string) {
		d.Rcpts[i].State = st
		d.Rcpts[i].Last = custody.Outcome{At: d.Accepted, Host: "mx.there.test", Stage: mail.Rcpt, Theirs: true, Reply: mail.Reply{Code: code, Text: text}}
	}
	for _, c := range []struct {
		filter string
		want   []string
	}{
		{`{"reply":"user UNKNOWN"}`, nil}, // ann was told so, and has been reported
		{`{"reply":"greylisted"}`, []string{"remove 1 [1] by root: "}},
		{`{"reply":"mailbox full"}`, []string{"remove 1 [2] by root: "}},
		{`{"reply":"45"}`, []string{"remove 1 [] by root: "}},
		{`{"reply":"greylisted","to":"carl@there.test"}`, nil},
		{`{"reply":"full","to":"carl@there.test"}`, []string{"remove 1 [2] by root: "}},
	} {
		w := newWorld(t, "hello", "ann@there.test bob@there.test carl@there.test", "dora@else.test")
		w.settle(0, func(d *custody.Delivery) {
			d.Next = time.Now().Add(time.Hour)
			said(d, 0, custody.Refused, 550, "User unknown")
			said(d, 1, custody.Pending, 451, "Greylisted")
			said(d, 2, custody.Pending, 452, "Mailbox full")
		})
		rec := w.ask(true, "POST", "/api/v1/orders", `{"order":"remove","filter":`+c.filter+`,"by":"root"}`)
		if rec.Code != 200 || !slices.Equal(w.queue.got, c.want) {
			t.Errorf("%s: %d, ordered %q, want %q", c.filter, rec.Code, w.queue.got, c.want)
		}
	}
}

// What ends by an order is shown with those whom it was for, as gone.
func TestWhatAnOrderEndsIsShown(t *testing.T) {
	for order, state := range map[string]string{"giveup": "expired", "remove": "removed"} {
		for _, c := range []struct{ filter, want string }{
			{`{"to":"ann@there.test"}`, "ann@there.test"},
			{`{"domain":"there.test"}`, "ann@there.test, bob@there.test"},
		} {
			w := newWorld(t, "hello", "ann@there.test bob@there.test")
			rec := w.ask(true, "POST", "/api/v1/orders", `{"order":"`+order+`","dry_run":true,"filter":`+c.filter+`,"by":"root"}`)
			var got []Done
			if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || len(got) != 1 || got[0].State != state || strings.Join(got[0].Recipients, ", ") != c.want {
				t.Errorf("%s %s: %v, %s", order, c.filter, err, rec.Body)
			}
		}
	}
}

// Also of a field that there will be.
func TestNothingThatIsGivenStandsForAllMail(t *testing.T) {
	kind := reflect.TypeFor[Filter]()
	for i := range kind.NumField() {
		for _, given := range []string{"<>", "<<>>", "@", ".", "@.", " ", "\t", "0s", "waiting"} {
			var f Filter
			reflect.ValueOf(&f).Elem().Field(i).SetString(given)
			if q, err := f.Query(time.Now()); err == nil && q == (spool.Query{}) {
				t.Errorf("%s %q finds all mail", kind.Field(i).Name, given)
			}
		}
	}
}

func TestADryRunShowsOnlyWhatItNames(t *testing.T) {
	w := newWorld(t, "hello", "bob@there.test carl@there.test")
	var done []Done
	json.Unmarshal(w.ask(true, "POST", "/api/v1/orders", `{"order":"hold","filter":{"to":"carl@there.test"},"dry_run":true,"by":"ann"}`).Body.Bytes(), &done)
	if len(done) != 1 || !slices.Equal(done[0].Recipients, []string{"carl@there.test"}) || done[0].State != "held" || done[0].Held != "ann" {
		t.Errorf("the dry run shows %+v", done)
	}
}

func TestAnOrderSaysWhyItWasNotCarriedOut(t *testing.T) {
	w := newWorld(t, "hello", "bob@there.test")
	w.queue.answer = spool.ErrFull
	var done []Done
	json.Unmarshal(w.ask(true, "POST", "/api/v1/orders", `{"order":"hold","filter":{},"all":true,"by":"ann"}`).Body.Bytes(), &done)
	if len(done) != 1 || done[0].Fault != spool.ErrFull.Error() {
		t.Errorf("%+v", done)
	}
	w.queue.answer = queue.ErrGone
	done = nil
	json.Unmarshal(w.ask(true, "POST", "/api/v1/orders", `{"order":"hold","filter":{},"all":true,"by":"ann"}`).Body.Bytes(), &done)
	if len(done) != 0 {
		t.Errorf("of what has left: %+v", done)
	}
}

type refusal struct{}

func (refusal) Error() string { return "refused" }
func (refusal) Refused() mail.Reply {
	return mail.Reply{Code: 552, Status: mail.Status{5, 3, 4}, Text: "too large"}
}

func TestASubmissionTellsWhoseFaultItIs(t *testing.T) {
	w := newWorld(t, "hello")
	for _, c := range []struct {
		target string
		taken  error
		want   int
	}{
		{"/api/v1/messages?from=ann@author.test&to=bob@there.test", nil, 200},
		{"/api/v1/messages?to=bob@there.test", nil, 200}, // a null return path
		{"/api/v1/messages?from=ann@author.test", nil, 422},
		{"/api/v1/messages?to=bob@", nil, 422},
		{"/api/v1/messages?from=x&to=bob@there.test", nil, 422},
		{"/api/v1/messages?to=bob@there.test&ret=some", nil, 422},
		{"/api/v1/messages?to=bob@there.test&notify=often", nil, 422},
		{"/api/v1/messages?to=bob@there.test&notify=never&ret=hdrs", nil, 200},
		{"/api/v1/messages?to=bob@there.test", fmt.Errorf("intake: submit: %w", refusal{}), 422},
		{"/api/v1/messages?to=bob@there.test", spool.ErrFull, 500},
	} {
		w.taken = c.taken
		if rec := w.ask(true, "POST", c.target, "Subject: x\n\nbody\n"); rec.Code != c.want {
			t.Errorf("%s: %d %s, want %d", c.target, rec.Code, rec.Body, c.want)
		}
	}
}

func TestAForecastAlwaysShowsTheEnd(t *testing.T) {
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	m := custody.Message{ID: custody.NewID(at, 0, 1), Accepted: at, Envelope: mail.Envelope{From: mail.Address{Local: "ann", Domain: "author.test"}}}
	d := custody.NewDelivery(m, 1, "there.test", []mail.Recipient{{Address: mail.Address{Local: "bob", Domain: "there.test"}}})
	for _, gap := range []time.Duration{time.Second, time.Minute, time.Hour} {
		s := custody.Schedule{Retry: []custody.Pace{{Gap: gap}}, Warn: []time.Duration{4 * time.Hour}, Expire: 120 * time.Hour}
		all := future(d, s)
		end := all[len(all)-1]
		if end.What != custody.WillEnd || !end.At.Equal(at.Add(120*time.Hour)) {
			t.Errorf("every %s: the last of %d moments is %v", gap, len(all), end)
		}
		warns := slices.ContainsFunc(all, func(m custody.Moment) bool { return m.What == custody.WillWarn })
		if !warns || len(all) > forecastMost+10 {
			t.Errorf("every %s: %d moments, a warning among them: %t", gap, len(all), warns)
		}
	}
}

// ailing is a store that takes nothing.
type ailing struct {
	spool.Store
	fault string
}

func (a ailing) Health(context.Context) spool.Health { return spool.Health{Fault: a.fault} }

func TestWhatSendsMailHereIsToldWhenItIsTaken(t *testing.T) {
	w := newWorld(t, "hello")
	ready := func(store spool.Store, ctx context.Context, token string) string {
		o := w.options(newAccess(t, new(bytes.Buffer)), false)
		o.Store, o.Stopping = store, ctx
		r := httptest.NewRequest("GET", "/readyz", nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		rec := httptest.NewRecorder()
		New(o, false).ServeHTTP(rec, r)
		return fmt.Sprint(rec.Code, " ", strings.TrimSpace(rec.Body.String()))
	}
	stopping, stop := context.WithCancel(t.Context())
	stop()
	full := ailing{w.store, "spool: no room: 7 octets free in /var/spool"}
	for _, c := range []struct{ name, got, want string }{
		{"it works", ready(w.store, t.Context(), ""), "200 ready"},
		{"it stops", ready(w.store, stopping, ""), "503 postrider is stopping"},
		{"no room, for a stranger", ready(full, t.Context(), ""), "503 no mail is taken now"},
		{"no room, for who may know", ready(full, t.Context(), viewSecret), "503 " + full.fault},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}
}

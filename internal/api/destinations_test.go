package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/mail"
)

// places are destinations that do as they are told.
type places struct {
	asked  queue.SitesQuery
	list   []queue.Site
	got    []string
	err    error
	paused map[string]queue.Pause
}

func (p *places) Sites(_ context.Context, what queue.SitesQuery) (queue.Sites, error) {
	p.asked = what
	return queue.Sites{List: p.list, All: len(p.list), Waiting: 7, Counted: time.Now()}, p.err
}

func (p *places) Pause(_ context.Context, o queue.Pause, dry bool) ([]queue.Site, error) {
	p.got = append(p.got, fmt.Sprintf("pause %s by %s: %s, dry %v", o.Name, o.By, o.Why, dry))
	return p.list, p.err
}

func (p *places) Resume(_ context.Context, name, by string, dry bool) ([]queue.Site, error) {
	p.got = append(p.got, fmt.Sprintf("resume %s by %s, dry %v", name, by, dry))
	return p.list, p.err
}

func (p *places) Paused(d custody.Delivery) (queue.Pause, bool) {
	o, ok := p.paused[d.Domain]
	return o, ok
}

func (w *world) askPlaces(p *places, all bool, method, target, body string) (int, string) {
	o := w.plainOptions()
	o.Destinations = p
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	rec := httptest.NewRecorder()
	New(o, all).ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

func TestDestinationsAreShownWordForWord(t *testing.T) {
	w := newWorld(t, "hello", "bob@there.test")
	now := time.Now().Truncate(time.Second).UTC()
	id := custody.DeliveryID{Message: w.ids[0], N: 1}
	p := &places{list: []queue.Site{{
		Name: "smtp:filter\x1b[31m", Way: "relay filter:25", Domains: []string{"a.test"}, Behind: 30, Waiting: 5, UnderWay: 1, Oldest: now,
		End: queue.End{At: now, Delivery: id, Because: "expire 5d"}, Connections: 1, Window: 4, Most: 20, Gap: 1500 * time.Millisecond,
		Health: queue.Silent, Since: now, Knocks: 3, Knock: now,
		Last:   custody.Outcome{At: now, Host: "filter", Stage: mail.Rcpt, Theirs: true, Reply: mail.Reply{Code: 451, Status: mail.Status{4, 7, 1}, Text: "<later>"}},
		Paused: &queue.Pause{Name: "smtp:filter", By: "root", Why: "it moves", Since: now},
	}, {Name: "new.test"}}}
	code, body := w.askPlaces(p, false, "GET", "/api/v1/destinations?sort=waiting&name=fil&idle=true&limit=7&from=3", "")
	if want := (queue.SitesQuery{Name: "fil", Idle: true, Most: true, Limit: 7, From: 3}); code != 200 || p.asked != want {
		t.Fatalf("%d, asked %+v: %s", code, p.asked, body)
	}
	var page SitePage
	if err := json.Unmarshal([]byte(body), &page); err != nil || page.All != 2 || page.Waiting != 7 || page.Counted.IsZero() {
		t.Errorf("%+v, %v", page, err)
	}
	s := page.Destinations[0]
	if s.Health != "silent" || s.Last.Text != "<later>" || s.Last.Code != 451 || s.GapS != 1.5 || s.GivesUp.Delivery != id.String() || s.Paused.Why != "it moves" || !s.NextKnock.Equal(now) || strings.Contains(s.Name, "\x1b") {
		t.Errorf("%s", body)
	}
	if strings.Contains(strings.SplitN(body, "new.test", 2)[1], "0001-01-01") || page.Destinations[1].Domains == nil {
		t.Errorf("what is not known is not left out: %s", body)
	}
}

func TestOrdersAboutDestinations(t *testing.T) {
	w := newWorld(t, "hello", "bob@there.test")
	for _, c := range []struct {
		target, body string
		err          error
		code         int
		want         string // what the queue is asked, or is said
	}{
		{"pause", `{"destination":"a.test","by":"ann","why":"it moves\u001b"}`, nil, 200, "pause a.test by ann: it moves"},
		{"pause", `{"destination":"a.test","by":"ann","dry_run":true}`, nil, 200, "dry true"},
		{"resume", `{"destination":"a.test","by":"ann"}`, nil, 200, "resume a.test by ann, dry false"},
		{"pause", `{"destination":"x"}`, fmt.Errorf("queue: x %w", queue.ErrNoDestination), 404, "x is no domain"},
		{"pause", `{"destination":"x"}`, fmt.Errorf("queue: x %w: by root", queue.ErrPaused), 409, "x is paused already: by root"},
		{"resume", `{"destination":"x"}`, fmt.Errorf("queue: x %w", queue.ErrNotPaused), 409, "x is not paused"},
		{"resume", `{"destination":"x"}`, errors.New("memo: write: no space"), 500, "no space"},
		{"pause", `{}`, nil, 422, "destination"},
		{"pause", `{"destination":"x","dry":true}`, nil, 422, "dry"},
	} {
		p := &places{err: c.err}
		code, body := w.askPlaces(p, true, "POST", "/api/v1/destinations/"+c.target, c.body)
		said := strings.Join(p.got, "") + body
		if code != c.code || !strings.Contains(said, c.want) || strings.Contains(said, "\x1b") {
			t.Errorf("%s %s: %d %s", c.target, c.body, code, said)
		}
	}
	p := &places{}
	for _, target := range []string{"pause", "resume"} {
		if code, _ := w.askPlaces(p, false, "POST", "/api/v1/destinations/"+target, `{"destination":"a.test"}`); code < 401 || code > 403 || len(p.got) > 0 {
			t.Errorf("%s by whoever comes: %d, %q", target, code, p.got)
		}
	}
	for _, target := range []string{"?limit=0", "?limit=1001", "?from=-1", "?sort=age"} {
		if code, body := w.askPlaces(p, false, "GET", "/api/v1/destinations"+target, ""); code != 422 {
			t.Errorf("%s: %d %s", target, code, body)
		}
	}
}

func TestAPauseIsTheFateOfWhatWaits(t *testing.T) {
	w := newWorld(t, "hello", "bob@there.test", "carl@else.test")
	p := &places{paused: map[string]queue.Pause{"there.test": {Name: "there.test", By: "root", Why: "it moves", Since: time.Now()}}}
	for _, c := range []struct{ method, target, body string }{
		{"GET", "/api/v1/queue", ""},
		{"POST", "/api/v1/orders", `{"order":"retry","filter":{},"all":true,"by":"ann","dry_run":true}`},
	} {
		_, body := w.askPlaces(p, true, c.method, c.target, c.body)
		var list []Delivery
		var page struct{ Deliveries []Delivery }
		if json.Unmarshal([]byte(body), &page) == nil {
			list = page.Deliveries
		} else if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatal(err)
		}
		if len(list) != 2 {
			t.Fatalf("%s: %s", c.target, body)
		}
		for _, d := range list {
			paused := d.Domain == "there.test"
			if f := d.Fate; (f.GivesUp == nil) != paused || (f.NextTry == nil) != paused || (f.Blocked == "paused by root: it moves") != paused || (f.Paused != nil) != paused || d.State != "waiting" {
				t.Errorf("%s: %s waits with %+v", c.target, d.Domain, f)
			}
		}
	}
	for domain, want := range map[string]int{"there": 0, "else": 1} {
		_, body := w.askPlaces(p, true, "GET", "/api/v1/trace?find=@"+domain+".test", "")
		var traces []Trace
		if err := json.Unmarshal([]byte(body), &traces); err != nil || len(traces) != 1 {
			t.Fatalf("%v: %s", err, body)
		}
		ends := 0
		for _, m := range traces[0].Forecast {
			if m.What == custody.WillEnd {
				ends++
			}
		}
		if ends != want {
			t.Errorf("the forecast of %s: %v", domain, traces[0].Forecast)
		}
	}
}

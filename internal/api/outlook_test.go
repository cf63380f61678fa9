package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
)

// looking makes Outlooks that look, and returns what they see next.
func looking(t *testing.T, w *world) func() *looked {
	o := NewOutlooks(w.store, nil, w.plainOptions().Schedule)
	o.now(stopped())
	return func() *looked {
		t.Helper()
		v, err := o.look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// stopped is a context that waits for nothing.
func stopped() context.Context {
	ctx, stop := context.WithCancel(context.Background())
	stop()
	return ctx
}

// step stores what comes of an attempt.
func (w *world) step(i int, at time.Time, o custody.Outcome) {
	w.t.Helper()
	it, err := w.store.Item(w.t.Context(), custody.DeliveryID{Message: w.ids[i], N: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	sch := w.plainOptions().Schedule(it.Delivery)
	d, _ := custody.Step(it.Delivery, sch, custody.Due{At: at})
	o.At = at
	e := custody.Tried{At: at, Attempt: custody.Attempt{Began: at, Outcomes: []custody.Outcome{o}}}
	d, duties := custody.Step(d, sch, e)
	closed := false
	for _, duty := range duties {
		_, c := duty.(custody.Close)
		closed = closed || c
	}
	st := spool.Step{Delivery: d, Wake: custody.Wake(d, sch), Closed: closed, Entries: []custody.Entry{{At: at, Delivery: d.ID, Event: e, Duties: duties}}}
	for _, err := range w.store.Settle(w.t.Context(), []spool.Step{st}) {
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestTheOutlookTellsWhy(t *testing.T) {
	w := newWorld(t, "hello", "a@one.test", "b@one.test", "c@two.test", "d@three.test", "e@four.test")
	now := time.Now()
	full := custody.Outcome{Host: "mx.one.test", Stage: mail.Rcpt, Reply: mail.Reply{Code: 452, Status: mail.Status{4, 2, 2}, Text: "mailbox full"}, Theirs: true, Trouble: custody.Deferred}
	w.step(0, now.Add(-50*time.Minute), full)
	w.step(1, now.Add(-40*time.Minute), full)
	w.step(3, now.Add(-30*time.Minute), custody.Outcome{Host: "mx.three.test", Stage: mail.Dot, Reply: mail.Reply{Code: 250}, Theirs: true, Taken: custody.Onward})
	w.step(4, now.Add(-30*time.Minute), custody.Outcome{Host: "mx.four.test", Stage: mail.Rcpt, Reply: mail.Reply{Code: 550, Status: mail.Status{5, 1, 1}}, Theirs: true})
	look := looking(t, w)
	for range 2 { // the second look counts nothing twice
		v := look()
		got := map[string]int{}
		for _, r := range v.Reasons {
			got[r.Why] = r.Count
		}
		if len(got) != 2 || got["mailbox-full"] != 2 || got["new"] != 1 {
			t.Errorf("reasons: %v", got)
		}
		if r := v.Reasons[0]; r.Domain != "one.test" || r.Last.Code != 452 || r.Meaning == "" {
			t.Errorf("%+v", r)
		}
		var came, left, back int
		for _, h := range v.Hours {
			came, left, back = came+h.Came, left+h.Left, back+h.Returned
		}
		if came != 5 || left != 1 || back != 1 || len(v.Hours) != 25 {
			t.Errorf("came %d, left %d, returned %d in %d hours", came, left, back, len(v.Hours))
		}
		if v.Ends != 0 {
			t.Errorf("%d end", v.Ends)
		}
	}
}

func TestTheOutlookTellsWhatEndsSoon(t *testing.T) {
	w := newWorld(t, "hello", "a@one.test", "b@paused.test")
	o := NewOutlooks(w.store, paused("paused.test"), func(d custody.Delivery) custody.Schedule {
		return custody.Schedule{Retry: []custody.Pace{{Gap: time.Hour}}, Expire: 5 * time.Hour}
	})
	v, err := o.look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if v.Ends != 1 || len(v.ending) != 1 || v.ending[0].Delivery.Domain != "one.test" {
		t.Errorf("%d end: %+v", v.Ends, v.ending)
	}
	for _, r := range v.Reasons {
		if r.Why == "paused" && r.Count == 1 {
			return
		}
	}
	t.Errorf("the pause is no reason: %+v", v.Reasons)
}

// paused is a queue in which one domain is.
type paused string

func (paused) Doing(custody.Delivery) (bool, string) { return false, "" }
func (p paused) Paused(d custody.Delivery) (queue.Pause, bool) {
	return queue.Pause{Name: string(p), By: "root", Since: time.Now()}, d.Domain == string(p)
}

func TestTheOutlookIsOfTheAPI(t *testing.T) {
	w := newWorld(t, "hello", "a@one.test")
	o := w.plainOptions()
	o.Outlooks = NewOutlooks(w.store, nil, o.Schedule)
	h := New(o, false)
	ask := func() *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", "/api/v1/outlook", nil))
		return rec
	}
	if rec := ask(); rec.Code != http.StatusServiceUnavailable {
		t.Errorf("before the first look: %d", rec.Code)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- o.Outlooks.Run(ctx) }()
	for deadline := time.Now().Add(10 * time.Second); o.Outlooks.now(ctx) == nil; {
		if time.Now().After(deadline) {
			t.Fatal("nothing is seen")
		}
	}
	if rec := ask(); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), `"why":"new"`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestAPageIsToldOfWhatHappens counts how often: at once, and then no more often than
// a person can look.
func TestAPageIsToldOfWhatHappens(t *testing.T) {
	w := newWorld(t, "hello", "a@one.test")
	o := w.plainOptions()
	o.Events = watch.NewFeed()
	o.Pages = func(d *Desk, mux *http.ServeMux) {
		mux.HandleFunc("GET /live", func(w http.ResponseWriter, r *http.Request) { d.Live(w, r, watch.Filter{}) })
	}
	server := httptest.NewServer(New(o, true))
	defer server.Close()
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	buf := make([]byte, 1024)
	read := func() string {
		n, err := res.Body.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	if got := read(); !strings.Contains(got, "event: mail") {
		t.Errorf("at the beginning: %q", got)
	}
	began := time.Now()
	for range 200 {
		o.Events.Accepted(custody.Message{ID: w.ids[0]}, []custody.Delivery{{Domain: "one.test"}})
	}
	first := read()
	second := read()
	if took := time.Since(began); strings.Count(first+second, "event: mail") != 2 || took < liveEvery {
		t.Errorf("%q, %q after %v", first, second, took)
	}
}

package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

// told is a queue and a door that tell what they are given.
type told struct {
	mu     sync.Mutex
	trying custody.ID
	sites  queue.Sites
	allow  []policy.Allowed
}

func (q *told) Doing(d custody.Delivery) (bool, string) { return d.ID.Message == q.trying, "" }

func (q *told) Sites(_ context.Context, what queue.SitesQuery) (queue.Sites, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.sites
	s.List = slices.Clone(s.List)
	if what.Most {
		slices.SortStableFunc(s.List, func(a, b queue.Site) int { return b.Waiting - a.Waiting })
	}
	s.List = s.List[:min(len(s.List), what.Limit)]
	return s, nil
}

func (q *told) Paused(custody.Delivery) (queue.Pause, bool)                  { return queue.Pause{}, false }
func (q *told) Allowed(time.Time) []policy.Allowed                           { return q.allow }
func (q *told) Allow(policy.Override, time.Time) (a policy.Allowed, _ error) { return }
func (q *told) Disallow(string, time.Time) error                             { return nil }
func (q *told) Refusals(netip.Prefix, string, string, time.Time, int) []policy.Record {
	return nil
}
func (q *told) RefusedGroups(netip.Prefix, string, time.Time) []policy.Group { return nil }
func (q *told) Explain(context.Context, policy.Visit) []policy.Judged        { return nil }

// metrics are those of a world.
func (w *world) metrics(q *told) *Metrics {
	return NewMetrics(MetricsOptions{
		Watch: watch.NewMetrics(watch.MetricsOptions{Version: "test"}), Store: w.store, Queue: q, Door: q, Outlooks: NewOutlooks(w.store, q, w.plainOptions().Schedule),
		Connections: func() (int, int, int) { return 1, 2, 3 },
	})
}

// scraped are the numbers of ours that a scrape tells, without buckets.
func scraped(t *testing.T, m *Metrics) map[string]string {
	t.Helper()
	h := New(Options{Metrics: m, Store: m.o.Store}, false)
	r := httptest.NewRecorder()
	h.ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
	if r.Code != 200 {
		t.Fatalf("%d %s", r.Code, r.Body)
	}
	all := map[string]string{}
	for line := range strings.Lines(r.Body.String()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if value != "" {
			name += "}"
		} else {
			name, value, _ = strings.Cut(name, " ")
		}
		if short, ours := strings.CutPrefix(name, "postrider_"); ours && !strings.Contains(name, "_bucket") {
			all[short] = value
		}
	}
	return all
}

// What waits is told by state and age, and the oldest with it, held mail apart.
func TestMetricsTellWhatWaits(t *testing.T) {
	w := newWorld(t, "x", "a@one.test", "b@two.test", "c@three.test", "d@four.test")
	ctx := t.Context()
	for i, change := range []func(*custody.Delivery){
		func(d *custody.Delivery) {},
		func(d *custody.Delivery) { d.Accepted = d.Accepted.Add(-30 * time.Hour) },
		func(d *custody.Delivery) {
			d.Accepted = d.Accepted.Add(-99 * time.Hour)
			d.Held = custody.Hold{Since: d.Accepted, By: "root"}
		},
	} {
		w.settle(i, change)
	}
	q := &told{trying: w.ids[3], allow: []policy.Allowed{
		{Override: policy.Override{Until: time.Unix(2e9, 0)}}, {Override: policy.Override{Until: time.Unix(3e9, 0)}}, {Override: policy.Override{Until: time.Unix(1e9, 0)}, Ended: true},
	}}
	m := w.metrics(q)
	before := scraped(t, m)
	if _, ok := before["queue_state_deliveries{state=\"waiting\"}"]; ok || before["queue_deliveries"] != "4" {
		t.Errorf("before the first survey: %v", before)
	}
	l, err := m.o.Outlooks.look(ctx)
	if err != nil {
		t.Fatal(err)
	}
	v := l.survey
	if want := map[string]int{"waiting": 2, "trying": 1, "held": 1}; !maps.Equal(v.States, want) {
		t.Errorf("states %v, want %v", v.States, want)
	}
	if want := []int{0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0}; !slices.Equal(v.Ages, want) && !slices.Equal(v.Ages, []int{0, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 0}) {
		t.Errorf("ages %v, want %v", v.Ages, want)
	}
	m.o.Outlooks.all.show(l, 0)
	got := scraped(t, m)
	for name, want := range map[string]string{
		`queue_deliveries`: "4", `queue_messages`: "4", `store_fault`: "0", `queue_age_seconds_count`: "3",
		`queue_state_deliveries{state="held"}`: "1", `queue_state_deliveries{state="trying"}`: "1", `queue_state_deliveries{state="waiting"}`: "2",
		`connections{state="opening"}`: "1", `connections{state="busy"}`: "2", `connections{state="idle"}`: "3",
		`overrides`: "2", `override_ends_timestamp_seconds`: "2e+09",
		`http_requests_total{code="200",route="GET /metrics"}`: "1",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %s", name, got[name], want)
		}
	}
	for state, hours := range map[string]float64{"waiting": 31, "held": 100} {
		var s float64
		fmt.Sscan(got[`queue_oldest_age_seconds{state="`+state+`"}`], &s)
		if s < hours*3600 || s > hours*3600+60 {
			t.Errorf("the oldest %s is %v s old, want %v h", state, s, hours)
		}
	}
}

// settle changes a delivery of the world.
func (w *world) settle(i int, change func(*custody.Delivery)) {
	w.t.Helper()
	it, err := w.store.Item(w.t.Context(), custody.DeliveryID{Message: w.ids[i], N: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	change(&it.Delivery)
	for _, err := range w.store.Settle(w.t.Context(), []spool.Step{{Delivery: it.Delivery, Wake: it.Wake}}) {
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// However many destinations there are and whatever they are called, a scrape has
// only so many series, and no delivery is lost in them.
func TestMetricsNameOnlySoManyDestinations(t *testing.T) {
	w := newWorld(t, "x")
	q := &told{}
	now := time.Now()
	site := func(s queue.Site) {
		q.sites.List = append(q.sites.List, s)
		q.sites.Waiting += s.Waiting
	}
	site(queue.Site{Name: "mx paused.test", Waiting: 1, Paused: &queue.Pause{By: "root", Why: "they move"}})
	site(queue.Site{Name: "mx dead.test", Waiting: 2, Health: queue.Silent, Since: now.Add(-5 * time.Hour), Oldest: now.Add(-9 * time.Hour),
		Last: custody.Outcome{At: now, Stage: mail.Connect, Reply: mail.Reply{Text: "nobody answered"}}})
	site(queue.Site{Name: "other", Waiting: 4, Health: queue.Living})
	site(queue.Site{Name: "evil\n\xff\"", Waiting: 5000, Health: queue.Living})
	site(queue.Site{Name: "evil?\x00\"", Waiting: 4000, Health: queue.Living})
	for i := range 3000 {
		site(queue.Site{Name: fmt.Sprintf("mx %d.test", i), Waiting: 10, Health: queue.Living})
	}
	m := w.metrics(q)
	d, err := m.lookAtSites(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m.sites.show(d, 0)
	got, n, sum := scraped(t, m), 0, 0
	for name, value := range got {
		if strings.HasPrefix(name, "destination_deliveries{") {
			var v float64
			fmt.Sscan(value, &v)
			n, sum = n+1, sum+int(v)
		}
	}
	if n > sitesMost+sitesIll+1 || sum != q.sites.Waiting {
		t.Errorf("%d series with %d deliveries, %d wait", n, sum, q.sites.Waiting)
	}
	for name, want := range map[string]string{
		`destination_deliveries{destination="mx dead.test"}`: "2", `destination_paused{destination="mx paused.test"}`: "1",
		`destination_paused{destination="mx dead.test"}`: "0", `destination_silent_seconds{destination="mx paused.test"}`: "0",
		`destination_deliveries{destination="evil??\""}`: "5000",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %s", name, got[name], want)
		}
	}
	if s := got[`destination_silent_seconds{destination="mx dead.test"}`]; !strings.HasPrefix(s, "180") {
		t.Errorf("it is silent for %q", s)
	}
	trouble := m.Now(t.Context(), 0).Queue.Trouble
	if len(trouble) != 2 || trouble[0].Paused != "paused by root: they move" || trouble[1].Health != "silent" || trouble[1].Last.Text != "nobody answered" {
		t.Errorf("in trouble: %+v", trouble)
	}
}

func TestNowTellsPrograms(t *testing.T) {
	w := newWorld(t, "x", "a@one.test")
	m := w.metrics(&told{})
	msg := custody.Message{ID: w.ids[0], Accepted: time.Now(), Came: custody.Came{Protocol: "ESMTP"}}
	m.o.Watch.Accepted(msg, []custody.Delivery{custody.NewDelivery(msg, 1, "one.test", []mail.Recipient{{Address: mail.Address{Local: "a", Domain: "one.test"}}})})
	r := httptest.NewRecorder()
	New(Options{Metrics: m, Store: w.store, Hostname: func() string { return "mx.test" }, Version: "7"}, false).ServeHTTP(r, httptest.NewRequest("GET", "/api/v1/now?newest=1", nil))
	var n Now
	if err := json.Unmarshal(r.Body.Bytes(), &n); err != nil {
		t.Fatalf("%v: %s", err, r.Body)
	}
	if n.Hostname != "mx.test" || n.Version != "7" || n.Store.Deliveries != 1 || n.Flows[0].Total != 1 || *n.Conns != (Conns{1, 2, 3}) ||
		len(n.Newest) != 1 || n.Newest[0].Kind != watch.Accepted || n.Newest[0].Recipients[0] != "a@one.test" {
		t.Errorf("%s", r.Body)
	}
	r = httptest.NewRecorder()
	New(Options{Metrics: m, Store: w.store}, false).ServeHTTP(r, httptest.NewRequest("GET", "/nowhere", nil))
	if got := scraped(t, m)[`http_requests_total{code="404",route="other"}`]; got != "1" {
		t.Errorf("%q requests for what is nowhere", got)
	}
}

// A live feed must be flushed through what counts the requests.
func TestCountedAnswersCanBeFlushed(t *testing.T) {
	r := httptest.NewRecorder()
	c := &coded{ResponseWriter: r}
	c.Flush()
	if !r.Flushed || c.Unwrap() != r {
		t.Error("it is not flushed")
	}
}

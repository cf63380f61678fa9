//go:build slow

package api

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/local"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
)

type slowRules struct{ queue.Rules }

func (slowRules) Schedule(custody.Delivery) custody.Schedule {
	return custody.Schedule{Retry: []custody.Pace{{Gap: time.Hour}}, Expire: 120 * time.Hour}
}

// fill puts n messages into a store, to so many domains, all ages from none to four days.
func fill(t *testing.T, store *local.Store, n, domains int) {
	var all sync.WaitGroup
	const at = 512
	for k := range at {
		all.Go(func() {
			for i := k; i < n; i += at {
				accepted := time.Now().Add(-time.Duration(i) * (4 * 24 * time.Hour / time.Duration(n)))
				m := custody.Message{ID: custody.NewID(accepted, 0, uint64(i)), Accepted: accepted, Envelope: mail.Envelope{From: mail.Address{Local: "ann", Domain: "author.test"}}}
				domain := fmt.Sprintf("d%d.test", i%domains)
				d := custody.NewDelivery(m, 1, domain, []mail.Recipient{{Address: mail.Address{Local: "bob", Domain: domain}}})
				d.Tries, d.Next, d.Last = 3, time.Now().Add(time.Hour), custody.Unreachable
				d.Rcpts[0].Last = custody.Outcome{At: time.Now(), Host: "mx." + domain, Stage: mail.Connect, Trouble: custody.Unreachable, Reply: mail.Reply{Text: "cannot connect to mx: no answer within 20s"}}
				draft, err := store.Begin(context.Background(), 0)
				if err != nil {
					t.Error(err)
					return
				}
				io.WriteString(draft, "Subject: x\r\n\r\nbody\r\n")
				m.Size = draft.Size()
				if err := draft.Commit(context.Background(), m, []custody.Delivery{d}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// cpu is the processor time that this process has used.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// With a million deliveries a scrape costs what it costs with none.
func TestAScrapeOfAMillionDeliveriesCostsLittle(t *testing.T) {
	const n = 1_000_000
	store, err := local.Open(t.TempDir(), local.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	q := queue.New(queue.Options{Store: store, Rules: slowRules{}})
	looks := NewOutlooks(store, q, slowRules{}.Schedule)
	m := NewMetrics(MetricsOptions{Watch: watch.NewMetrics(watch.MetricsOptions{}), Store: store, Queue: q, Outlooks: looks})
	h := New(Options{Metrics: m, Store: store}, false)
	scrape := func() time.Duration {
		best := time.Hour
		for range 20 {
			began := time.Now()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil))
			best = min(best, time.Since(began))
		}
		return best
	}
	looks.all.show(&looked{survey: newSurvey(time.Now())}, 0)
	m.sites.show(destinations{seen: true}, 0)
	empty := scrape()
	fill(t, store, n, 2000)
	used := cpu(t)
	d, err := m.lookAtSites(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sites := cpu(t) - used
	m.sites.show(d, sites)
	walk := func(each func(*spool.Row)) time.Duration {
		used := cpu(t)
		for row, err := range store.Find(t.Context(), spool.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			each(&row)
		}
		return cpu(t) - used
	}
	c := census{o: looks, now: time.Now(), reasons: map[string]*Reason{}, came: map[time.Time]int{}, survey: newSurvey(time.Now())}
	walk(func(*spool.Row) {}) // so that both find it in memory
	read := walk(func(*spool.Row) {})
	both := walk(func(r *spool.Row) { c.add(r) })
	looks.all.show(c.looked(), both)
	full := scrape()
	t.Logf("a scrape: %v empty, %v full; of the processor: reading what waits %v, with counting it %v; the destinations: %v", empty, full, read, both, sites)
	if c.survey.States["waiting"] != n || d.all != n {
		t.Errorf("%v were seen, and %d to destinations", c.survey.States, d.all)
	}
	if full > empty+20*time.Millisecond {
		t.Errorf("a scrape takes %v, %v when nothing waits", full, empty)
	}
}

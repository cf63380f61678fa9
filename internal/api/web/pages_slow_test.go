//go:build slow

package web

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/local"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

// much is how many deliveries are in the store; POSTRIDER_PAGES=50000 tries with fewer.
func much() int {
	if n, err := strconv.Atoi(os.Getenv("POSTRIDER_PAGES")); err == nil {
		return n
	}
	return 1_000_000
}

const (
	pageCPU = 200 * time.Millisecond // of the processor for a page
	leftOf  = 10                     // one of so many deliveries has left
)

type slowRules struct{ queue.Rules }

func (slowRules) Schedule(custody.Delivery) custody.Schedule { return schedule }

var slowOutcomes = []custody.Outcome{
	{Stage: mail.Connect, Trouble: custody.Unreachable, Reply: mail.Reply{Text: "cannot connect: no answer within 20s"}},
	{Stage: mail.Rcpt, Trouble: custody.Deferred, Theirs: true, Reply: mail.Reply{Code: 452, Status: mail.Status{4, 2, 2}, Text: "Mailbox full"}},
	{Stage: mail.Rcpt, Trouble: custody.Greylisted, Theirs: true, Reply: mail.Reply{Code: 451, Status: mail.Status{4, 7, 1}, Text: "Greylisted, come again"}},
}

// fill puts n messages into a store, a third of them to one domain, all ages from none
// to five days; one in leftOf has left.
func fill(t *testing.T, store *local.Store, n int) (some []custody.DeliveryID) {
	var all sync.WaitGroup
	var mu sync.Mutex
	const at = 512
	for k := range at {
		all.Go(func() {
			var left []spool.Step
			for i := k; i < n; i += at {
				now := time.Now()
				accepted := now.Add(-time.Duration(i) * (5 * 24 * time.Hour / time.Duration(n)))
				domain := fmt.Sprintf("d%d.test", i%3*(i%2000))
				m := custody.Message{
					ID: custody.NewID(accepted, 0, uint64(i)), Accepted: accepted, Subject: fmt.Sprintf("=?utf-8?q?Gr=C3=BC=C3=9Fe?= number %d", i), MessageID: fmt.Sprintf("m%d@author.test", i),
					Envelope: mail.Envelope{From: mail.Address{Local: fmt.Sprintf("ann%d", i%50), Domain: "author.test"}},
				}
				d := custody.NewDelivery(m, 1, domain, []mail.Recipient{{Address: mail.Address{Local: fmt.Sprintf("bob%d", i%1000), Domain: domain}}})
				o := slowOutcomes[i%len(slowOutcomes)]
				o.At, o.Host = now, "mx."+domain
				d.Tries, d.Next, d.Last, d.Rcpts[0].Last = 3, now.Add(time.Hour), o.Trouble, o
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
				if i%leftOf == 1 {
					d, duties := custody.Step(d, schedule, custody.Due{At: now.Add(time.Hour)})
					d, duties = custody.Step(d, schedule, custody.Tried{At: now, Attempt: custody.Attempt{Began: now, Outcomes: []custody.Outcome{says(250, mail.Status{2, 0, 0}, "queued as "+fmt.Sprint(i))}}})
					left = append(left, spool.Step{Delivery: d, Closed: true, Entries: []custody.Entry{{At: now, Delivery: d.ID, Duties: duties,
						Event: custody.Tried{At: now, Attempt: custody.Attempt{Began: now, Outcomes: []custody.Outcome{{At: now, Stage: mail.Dot, Reply: mail.Reply{Code: 250}}}}}}}})
				} else if i < 3*at && i%2 == 0 {
					mu.Lock()
					some = append(some, d.ID)
					mu.Unlock()
				}
				if len(left) == 100 || i+at >= n {
					for _, err := range store.Settle(context.Background(), left) {
						if err != nil {
							t.Error(err)
							return
						}
					}
					left = left[:0]
				}
			}
		})
	}
	all.Wait()
	return some
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

// Every page is made in time however much is in the store.
func TestEveryPageIsMadeInTimeWithAMillionDeliveries(t *testing.T) {
	store, err := local.Open(t.TempDir(), local.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	began := time.Now()
	n := much()
	some := fill(t, store, n)
	t.Logf("%d deliveries, 1 in %d of them left, stored in %v", n, leftOf, time.Since(began).Round(time.Second))
	w := &world{t: t, store: store}
	q := queue.New(queue.Options{Store: store, Rules: slowRules{}})
	o := api.Options{
		Store: store, Queue: q, Destinations: q, Door: &w.door, Hostname: func() string { return "mx.test" }, Version: "test", Pages: Routes,
		Schedule: func(custody.Delivery) custody.Schedule { return schedule },
		Tools: api.NewTools(api.ToolsOptions{
			Schedules: func([]byte) ([]custody.Schedule, error) { return []custody.Schedule{schedule}, nil },
			Config:    func() api.Configuration { return api.Configuration{File: "test.toml", Rules: policy.Internet()} },
		}),
	}
	o.Outlooks = api.NewOutlooks(store, q, o.Schedule)
	o.Metrics = api.NewMetrics(api.MetricsOptions{Watch: watch.NewMetrics(watch.MetricsOptions{}), Store: store, Queue: q, Outlooks: o.Outlooks})
	h := api.New(o, true)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { q.Run(ctx) })
	running.Go(func() { o.Metrics.Run(ctx) })
	running.Go(func() { o.Outlooks.Run(ctx) })
	get := func(target string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", target, nil))
		return rec
	}
	began, used := time.Now(), cpu(t)
	first := get("/")
	t.Logf("the first look at %-40s %8.1f ms", "/", float64(time.Since(began).Microseconds())/1000)
	for ; !strings.Contains(get("/api/v1/outlook").Body.String(), `"hours":[{`); time.Sleep(time.Second) {
		if time.Since(began) > 10*time.Minute {
			t.Fatalf("nothing is told of the day: %s", first.Body)
		}
	}
	t.Logf("all is looked through after %v, with %v of the processor", time.Since(began).Round(time.Second), (cpu(t) - used).Round(time.Millisecond))
	id := some[0]
	for _, target := range []string{
		"/", "/find", "/find?state=waiting", "/find?state=held", "/find?why=mailbox-full", "/find?why=held", "/find?older=4d", "/find?domain=d0.test", "/find?domain=d7.test", "/find?domain=none.test",
		"/find?q=d0.test", "/find?q=d0.test&left=all", "/find?q=bob7@d0.test", "/find?q=ann7@author.test", "/find?q=m4242@author.test", "/find?q=none@none.test",
		"/find?q=number+" + fmt.Sprint(n/2), "/find?q=mailbox+full", "/find?q=such+words+are+nowhere", "/find?after=" + id.String(),
		"/message/" + id.String(), "/message/" + id.String() + "/order?order=hold", "/destinations", "/destinations?sort=waiting", "/destinations?name=d7", "/destinations?from=1500",
		"/destinations/pause?name=d0.test", "/rules", "/rules/refusals", "/rules/allow", "/explain", "/simulate", "/simulate/receiver?down=2d", "/configuration",
		"/api/v1/now", "/api/v1/outlook", "/metrics", "/api/v1/queue", "/api/v1/queue?domain=d7.test",
	} {
		best, wall, code := time.Hour, time.Hour, 0
		for range 5 {
			used, began := cpu(t), time.Now()
			rec := get(target)
			best, wall, code = min(best, cpu(t)-used), min(wall, time.Since(began)), rec.Code
		}
		t.Logf("%-60.60s %d %8.1f ms of the processor %8.1f ms", target, code, float64(best.Microseconds())/1000, float64(wall.Microseconds())/1000)
		if code != http.StatusOK && code != http.StatusSeeOther {
			t.Errorf("%s: %d", target, code)
		}
		if best > pageCPU {
			t.Errorf("%s takes %v of the processor", target, best)
		}
	}
}

package local

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/spooltest"
	"github.com/postrider/postrider/mail"
)

// cpu is the processor time of this program so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchStore(b *testing.B) *Store {
	s, err := Open(b.TempDir(), Options{Log: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

// share runs f for 0 to n-1 in several goroutines and reports CPU seconds for a
// thousand of them, the fast figure that does not depend on the disk.
func share(b *testing.B, writers, n int, f func(i int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	b.ResetTimer()
	begin, used := time.Now(), cpu()
	for range writers {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	group.Wait()
	b.StopTimer()
	b.ReportMetric((cpu()-used).Seconds()*1000/float64(n), "cpu-s/1k")
	b.ReportMetric(float64(n)/time.Since(begin).Seconds(), "msg/s")
	b.ReportMetric(0, "ns/op")
}

func benchCommit(b *testing.B, s *Store, i int, body []byte) custody.Delivery {
	m, ds := spooltest.Message(i, fmt.Sprintf("domain%d.example", i%1000))
	d, err := s.Begin(context.Background(), int64(len(body)))
	if err != nil {
		b.Fatal(err)
	}
	_, _ = d.Write(body)
	if err := d.Commit(context.Background(), m, ds); err != nil {
		b.Fatal(err)
	}
	return ds[0]
}

func benchStep(d custody.Delivery, end bool) spool.Step {
	o := custody.Outcome{
		At: d.Next, Host: "mx1.domain.example", IP: "192.0.2.77", Stage: mail.Dot, Theirs: true, Taken: custody.Onward,
		Reply: mail.Reply{Code: 250, Status: mail.Status{2, 0, 0}, Text: "Ok: queued as 4VzXQb6kFJz9rxH"},
	}
	d.Rcpts = []custody.Recipient{{Recipient: d.Rcpts[0].Recipient, State: custody.HandedOver, Last: o}}
	d.Tries++
	a := custody.Attempt{Began: d.Next, Took: time.Second, Way: "mx domain.example", TLS: "TLS1.3 TLS_AES_128_GCM_SHA256, not verified", Outcomes: []custody.Outcome{o}}
	e := custody.Entry{At: d.Next, Delivery: d.ID, Event: custody.Tried{At: d.Next, Attempt: a}, Duties: []custody.Duty{custody.Close{}}}
	d.Next = d.Next.Add(time.Hour)
	return spool.Step{Delivery: d, Wake: d.Next, Closed: end, Entries: []custody.Entry{e}}
}

func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("5KB/%d", writers), func(b *testing.B) {
			s, body := benchStore(b), spooltest.Bytes(5000, 1)
			go drain(s)
			share(b, writers, b.N, func(i int) { benchCommit(b, s, i, body) })
		})
	}
}

// BenchmarkSettle closes deliveries that wait, 1 or 16 in a call.
func BenchmarkSettle(b *testing.B) {
	for _, many := range []int{1, 16} {
		b.Run(fmt.Sprintf("%d", many), func(b *testing.B) {
			s, body := benchStore(b), spooltest.Bytes(5000, 1)
			go drain(s)
			ds := make([]custody.Delivery, b.N+many)
			share(b, 64, len(ds), func(i int) { ds[i] = benchCommit(b, s, i, body) })
			share(b, 16, b.N/many+1, func(i int) {
				var steps []spool.Step
				for _, d := range ds[i*many : min(len(ds), (i+1)*many)] {
					steps = append(steps, benchStep(d, true))
				}
				if errs := s.Settle(context.Background(), steps); errs != nil {
					b.Fatal(errs)
				}
			})
		})
	}
}

func drain(s *Store) {
	for range s.Fresh() {
	}
}

// BenchmarkLife takes a message through the store: Commit, Fresh, Settle.
func BenchmarkLife(b *testing.B) {
	for _, end := range []bool{true, false} {
		name := "delivered"
		if !end {
			name = "deferred once"
		}
		b.Run(name, func(b *testing.B) {
			s, body := benchStore(b), spooltest.Bytes(5000, 1)
			var group sync.WaitGroup
			for range 16 {
				group.Go(func() {
					for f := range s.fresh {
						d := f.Items[0].Delivery
						if !end {
							st := benchStep(d, false)
							if errs := s.Settle(context.Background(), []spool.Step{st}); errs != nil {
								b.Error(errs)
							}
							d = st.Delivery
						}
						if errs := s.Settle(context.Background(), []spool.Step{benchStep(d, true)}); errs != nil {
							b.Error(errs)
						}
					}
				})
			}
			share(b, 64, b.N, func(i int) {
				for len(s.fresh) > 900 {
					time.Sleep(time.Millisecond)
				}
				benchCommit(b, s, i, body)
			})
			close(s.fresh)
			group.Wait()
			if h := s.Health(context.Background()); h.Waiting != 0 {
				b.Logf("%d wait", h.Waiting)
			}
		})
	}
}

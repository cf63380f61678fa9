//go:build slow

package queue

import (
	"context"
	"io"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool/local"
	"github.com/postrider/postrider/mail"
)

// TestAMillionDeliveriesToTenThousandDestinationsAreListedAtOnce tells how long it
// takes, with -v; what it demands leaves room for a busy machine.
func TestAMillionDeliveriesToTenThousandDestinationsAreListedAtOnce(t *testing.T) {
	const messages, parts, lanes = 20_000, 50, 10_000
	store, err := local.Open(t.TempDir(), local.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	go func() {
		for range store.Fresh() {
		}
	}()
	began := time.Now()
	for i := range messages {
		at := began.Add(time.Duration(i-messages) * time.Second)
		m := custody.Message{
			ID: custody.NewID(at, 0, uint64(i)), Accepted: at, Size: 8, Parts: parts,
			Envelope: mail.Envelope{From: mail.Address{Local: "sender", Domain: "sender.example"}},
		}
		var ds []custody.Delivery
		for n := range parts {
			to := mail.Address{Local: "user", Domain: domain((i*parts + n) % lanes)}
			d := custody.NewDelivery(m, uint16(n+1), to.Domain, []mail.Recipient{{Address: to}})
			d.Next = began.Add(time.Duration(i%3600+3600) * time.Second)
			ds = append(ds, d)
		}
		draft, err := store.Begin(t.Context(), 8)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(draft, "A: b\r\n\r\n")
		if err := draft.Commit(t.Context(), m, ds); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("filled in %v", time.Since(began))
	w := &world{T: t, schedule: quick}
	w.hosts.init()
	q := New(Options{Store: store, Courier: &w.hosts, Rules: w})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- q.Run(ctx) }()
	for i := range lanes { // as if all had been tried, behind half as many sites
		q.book.tried(custody.Way{Site: domain(i / 2)}, custody.Attempt{Began: began, Outcomes: []custody.Outcome{refusing.o}}, began)
		q.book.found(domain(i), custody.Way{Site: domain(i / 2)}, began)
	}
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for _, what := range []SitesQuery{{}, {}, {Most: true, Limit: 50}, {Name: "d77"}, {Idle: true, From: 4900}, {}} {
		at, cpu := time.Now(), used()
		page, err := q.Sites(t.Context(), what)
		if err != nil || page.Waiting != messages*parts {
			t.Errorf("%d wait, %v", page.Waiting, err)
		}
		took, cpu := time.Since(at), used()-cpu
		t.Logf("%+v: %d of %d in %v (%v of processor time), counted %v before", what, len(page.List), page.All, took, cpu, at.Sub(page.Counted))
		if most := 200 * time.Millisecond; page.Counted.Before(at) && cpu > most {
			t.Errorf("it took %v of processor time", cpu)
		}
	}
	at := time.Now()
	if _, err := q.Pause(t.Context(), Pause{Name: domain(7), By: "root"}, false); err != nil {
		t.Error(err)
	}
	t.Logf("paused in %v", time.Since(at))
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

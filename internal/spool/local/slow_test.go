//go:build slow

package local

import (
	"fmt"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/spooltest"
)

// TestAMillionWait: opening, listing and waking with a full queue.
func TestAMillionWait(t *testing.T) {
	const n, lanes = 1_000_000, 20_000
	dir := t.TempDir()
	s, err := Open(dir, Options{Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	m, ds := spooltest.Message(0, "a.example")
	d, err := s.Begin(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(ctx, m, ds); err != nil {
		t.Fatal(err)
	}
	// The waiting ones come in as letters: a Commit alone would wait for the disk.
	for i := 1; i < n; i += 1000 {
		st := spool.Step{Delivery: ds[0], Wake: ds[0].Next}
		for k := range 1000 {
			lm, lds := spooltest.Message(i+k, fmt.Sprintf("d%d.example", (i+k)%lanes))
			st.Letters = append(st.Letters, spool.Letter{Message: lm, Deliveries: lds, Body: []byte("x")})
		}
		if err := settleOne(s, st); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d stored in %v", n, time.Since(begin))
	took := func(what string, most time.Duration, f func()) {
		begin := time.Now()
		f()
		d := time.Since(begin)
		t.Logf("%s: %v", what, d)
		if d > most {
			t.Errorf("%s took %v, more than %v", what, d, most)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	took("open", 4*time.Second, func() {
		if s, err = Open(dir, Options{Log: quiet()}); err != nil {
			t.Fatal(err)
		}
	})
	defer s.Close()
	took("100 lanes", time.Second, func() {
		if ls, err := s.Lanes(ctx, time.Time{}, 100, nil); err != nil || len(ls) != 100 {
			t.Error(err)
		}
	})
	took("1,000 of 100 lanes", time.Second, func() {
		got := 0
		for i := range 100 {
			items, err := s.Due(ctx, fmt.Sprintf("d%d.example", i), time.Time{}, time.Time{}, 10, func(custody.DeliveryID) bool { return false })
			if err != nil {
				t.Fatal(err)
			}
			got += len(items)
		}
		if got != 1000 {
			t.Error(got)
		}
	})
	took("find everything", 20*time.Second, func() {
		if got := count(t, s, spool.Query{}); got < n {
			t.Error(got)
		}
	})
	took("find a recipient", time.Second, func() {
		if got := count(t, s, spool.Query{To: "rcpt3@d123.example"}); got == 0 {
			t.Error(got)
		}
	})
	took("find a Message-ID", time.Second, func() {
		if got := count(t, s, spool.Query{MessageID: "id77777@example.org"}); got != 1 {
			t.Error(got)
		}
	})
}

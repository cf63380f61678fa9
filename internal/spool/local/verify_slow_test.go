//go:build slow

package local

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/spooltest"
)

// TestManyAreVerified: a spool in which WAITING deliveries (100,000 unless the
// environment says so) wait is verified in reasonable time and bounded memory.
func TestManyAreVerified(t *testing.T) {
	n := 100_000
	if v, err := strconv.Atoi(os.Getenv("WAITING")); err == nil {
		n = v
	}
	dir := t.TempDir()
	s, err := Open(dir, Options{Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	go drain(s)
	m, ds := spooltest.Message(0, "a.example")
	d, err := s.Begin(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(ctx, m, ds); err != nil {
		t.Fatal(err)
	}
	body := spooltest.Bytes(5000, 1)
	for i := 1; i < n; i += 500 { // as letters: a Commit alone would wait for the disk
		st := spool.Step{Delivery: ds[0], Wake: ds[0].Next}
		var later []spool.Step
		for k := range 500 {
			lm, lds := spooltest.Message(i+k, fmt.Sprintf("d%d.example", (i+k)%20_000))
			st.Letters = append(st.Letters, spool.Letter{Message: lm, Deliveries: lds, Body: body})
			later = append(later, deferred(lds[0]))
		}
		if err := settleOne(s, st); err != nil {
			t.Fatal(err)
		}
		if errs := s.Settle(ctx, later); errs != nil {
			t.Fatal(errs)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	most := uint64(0)
	watch := func(string, int64, int64) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapAlloc)
	}
	began := time.Now()
	r, err := Verify(ctx, dir, SurveyOptions{Progress: rarely(watch)})
	if err != nil || len(r.Faults) > 0 || r.Deliveries < int64(n) {
		t.Fatal(err, r)
	}
	took := time.Since(began)
	t.Logf("verified: %d deliveries, %d MB in %v, at most %d MB of memory", r.Deliveries, r.Octets>>20, took, most>>20)
	if took > time.Duration(n)*100*time.Microsecond || most > 500<<20 {
		t.Error("that is too much")
	}
	began = time.Now()
	all := 0
	err = Export(ctx, dir, spool.Query{}, SurveyOptions{}, func(e Exported) error { all++; return e.WriteBody(io.Discard) })
	if err != nil || all < n {
		t.Fatal(err, all)
	}
	t.Logf("exported: %d messages in %v", all, time.Since(began))
}

// rarely calls f a few hundred times.
func rarely(f func(string, int64, int64)) func(string, int64, int64) {
	calls := 0
	return func(what string, done, total int64) {
		if calls++; calls%50 == 0 {
			f(what, done, total)
		}
	}
}

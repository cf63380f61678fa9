package explain

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/dsn"
)

// TestReadsOurOwnLettersWhole: whatever notice writes is read back: each
// recipient, what became of it, the clock, the attempts and the cause, and all
// of it is sure where the letter is.
func TestReadsOurOwnLettersWhole(t *testing.T) {
	files, err := filepath.Glob("../notice/testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no letters of package notice: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Explain(bytes.NewReader(b), Options{})
			if err != nil {
				t.Fatal(err)
			}
			want, _, err := dsn.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Recipients) != len(want.Recipients) {
				t.Fatalf("%d recipients, want %d", len(r.Recipients), len(want.Recipients))
			}
			for i, f := range r.Recipients {
				checkOwn(t, f, want, want.Recipients[i])
			}
		})
	}
}

func checkOwn(t *testing.T, f Finding, r dsn.Report, w dsn.Recipient) {
	t.Helper()
	kinds := map[dsn.Action][]string{
		dsn.Failed:    {RefusedAtOnce, PolicyRefusal, DeferredUntilExpired, PolicyDeferred, Unreachable, Misrouted, MisroutedExpired, Loop, Size, DeliverByExpired, EndedByOrder},
		dsn.Delayed:   {StillTrying},
		dsn.Delivered: {Arrived},
		dsn.Relayed:   {HandedOn},
	}
	found := false
	for _, k := range kinds[w.Action] {
		found = found || k == f.Kind
	}
	switch {
	case f.Recipient != w.Final.Value:
		t.Errorf("recipient %q, want %q", f.Recipient, w.Final.Value)
	case !found:
		t.Errorf("%s: %s became %s", f.Recipient, w.Action, f.Kind)
	case f.Status != w.Status.String():
		t.Errorf("%s: status %s, want %s", f.Recipient, f.Status, w.Status)
	case f.GaveUp.Software != "postrider" || f.GaveUp.Confidence != cause.Sure || f.GaveUp.Host != r.ReportingMTA.Value:
		t.Errorf("%s: gave up: %+v", f.Recipient, f.GaveUp)
	case !f.Clock.Started.Equal(r.Arrival):
		t.Errorf("%s: clock started %s, want %s", f.Recipient, f.Clock.Started, r.Arrival)
	case !w.LastAttempt.IsZero() && !f.Attempts.Last.Equal(w.LastAttempt):
		t.Errorf("%s: last attempt %s, want %s", f.Recipient, f.Attempts.Last, w.LastAttempt)
	}
	for _, x := range w.Extra {
		switch x.Name {
		case "X-Postrider-Attempts":
			if f.Attempts.Told == nil || *f.Attempts.Told != number(x.Value) || f.Attempts.First.IsZero() {
				t.Errorf("%s: attempts %+v, want %s", f.Recipient, f.Attempts, x.Value)
			}
		case "X-Postrider-Cause":
			if got := f.Cause.Kind.String() + " (" + f.Cause.Confidence.String() + ")"; got != x.Value {
				t.Errorf("%s: cause %s, want %s", f.Recipient, got, x.Value)
			}
		}
	}
	for _, x := range r.Extra {
		switch x.Name {
		case "X-Postrider-Held":
			held, _, _ := strings.Cut(x.Value, ";")
			want, err := custody.ParseAge(held)
			if got := time.Duration(f.Clock.Held); err != nil || got != want {
				t.Errorf("%s: held %s, want %s", f.Recipient, got, held)
			}
		case "X-Postrider-Limit":
			if strings.HasPrefix(x.Value, "expire ") && (expired(f.Kind) || f.Kind == StillTrying) && f.Clock.Value == 0 {
				t.Errorf("%s: no limit out of %q", f.Recipient, x.Value)
			}
		}
	}
}

// Package spooltest is the test that every spool.Store passes: what the words of
// the interface promise, one by one, and random histories against a model.
//
// It says nothing about crashes; those are the business of each store. Start
// reading at [Run].
package spooltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
)

// Open opens a store. Each call of Make makes a new one with nothing in it; each
// call of Open opens it again after it was closed.
type Open func(t testing.TB) spool.Store

// Make makes an empty store that can be closed and opened again.
type Make func(t testing.TB) Open

// Run runs the whole suite. Stores that keep nothing when closed set forgets.
func Run(t *testing.T, fresh Make, forgets bool) {
	Cases(t, fresh, forgets)
	t.Run("RandomHistories", func(t *testing.T) { Histories(t, fresh, forgets) })
}

// Cases runs the part of the suite that goes through the promises one by one.
func Cases(t *testing.T, fresh Make, forgets bool) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *world)
	}{
		{"CommitIsFoundAgain", commitFound},
		{"CommitTwiceIsOnce", commitTwice},
		{"AbortLeavesNothing", abort},
		{"DraftsAreReadBack", readBack},
		{"BadCommitStoresNothing", badCommit},
		{"BodiesOfAllSizes", bodies},
		{"FreshHandsOnWhatIsDue", freshDue},
		{"FullFreshLosesNothing", freshFull},
		{"LanesAndDueAreInOrder", dueOrder},
		{"SettleMovesTheWake", settleMoves},
		{"ClosedGoesToHistory", closed},
		{"SplitIsADeliveryOfItsOwn", split},
		{"LettersComeWithTheStep", letters},
		{"UnknownStepsChangeNothing", unknownSteps},
		{"FindFilters", findFilters},
		{"FindReplies", findReplies},
		{"FindPages", findPages},
		{"FindPagesWhileMailLeaves", findPagesWhileMailLeaves},
		{"PruneForgets", prune},
		{"ManyAtOnce", manyAtOnce},
		{"ReopenKeepsAll", reopen},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(t, &world{open: fresh(t), forgets: forgets})
		})
	}
}

// world is a store under test.
type world struct {
	open    Open
	forgets bool
	spool.Store
}

func (w *world) start(t testing.TB) {
	t.Helper()
	w.Store = w.open(t)
	t.Cleanup(func() {
		if err := w.Store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

func (w *world) restart(t testing.TB) {
	t.Helper()
	if w.forgets {
		return
	}
	if err := w.Store.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	w.Store = w.open(t)
}

var ctx = context.Background()

// Base is the moment at which the messages of the suite are accepted.
var Base = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// Message makes a message and one delivery for each domain, due at once.
func Message(n int, domains ...string) (custody.Message, []custody.Delivery) {
	m := custody.Message{
		ID:       custody.NewID(Base.Add(time.Duration(n)*time.Millisecond), 1, uint64(n)),
		Envelope: mail.Envelope{From: mail.Address{Local: fmt.Sprintf("sender%d", n%7), Domain: "example.org"}},
		Accepted: Base.Add(time.Duration(n) * time.Second),
		Came:     custody.Came{Client: "192.0.2.1", Helo: "client.example", Protocol: "ESMTPS"},
		Size:     5, MessageID: fmt.Sprintf("id%d@example.org", n), Subject: fmt.Sprintf("Number %d", n),
	}
	var ds []custody.Delivery
	for i, domain := range domains {
		to := []mail.Recipient{{Address: mail.Address{Local: fmt.Sprintf("Rcpt%d", n%5), Domain: domain}}}
		ds = append(ds, custody.NewDelivery(m, uint16(i+1), domain, to))
	}
	return m, ds
}

func (w *world) commit(t testing.TB, m custody.Message, ds []custody.Delivery, body []byte) {
	t.Helper()
	d, err := w.Begin(ctx, int64(len(body)))
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	for rest := body; len(rest) > 0; {
		n := min(len(rest), 100_000)
		if k, err := d.Write(rest[:n]); k != n || err != nil {
			t.Fatalf("write: %d, %v", k, err)
		}
		rest = rest[n:]
	}
	if d.Size() != int64(len(body)) {
		t.Errorf("size %d, want %d", d.Size(), len(body))
	}
	if err := d.Commit(ctx, m, ds); err != nil {
		t.Fatalf("commit: %v", err)
	}
	d.Abort() // does nothing
}

func (w *world) body(t testing.TB, id custody.ID) []byte {
	t.Helper()
	b, err := w.Body(ctx, id)
	if err != nil {
		t.Fatalf("body: %v", err)
	}
	got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil {
		t.Fatalf("read body: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("close body: %v", err)
	}
	return got
}

func (w *world) settle(t testing.TB, steps ...spool.Step) {
	t.Helper()
	if errs := w.Settle(ctx, steps); errs != nil {
		t.Fatalf("settle: %v", errs)
	}
}

func (w *world) find(t testing.TB, q spool.Query) []spool.Row {
	t.Helper()
	var rows []spool.Row
	for r, err := range w.Find(ctx, q) {
		if err != nil {
			t.Fatalf("find: %v", err)
		}
		rows = append(rows, r)
	}
	return rows
}

func (w *world) due(t testing.TB, lane string, until time.Time, n int) []spool.Item {
	t.Helper()
	items, err := w.Due(ctx, lane, time.Time{}, until, n, nil)
	if err != nil {
		t.Fatalf("due: %v", err)
	}
	return items
}

func (w *world) lanes(t testing.TB, until time.Time, n int) []spool.Lane {
	t.Helper()
	ls, err := w.Lanes(ctx, until, n, nil)
	if err != nil {
		t.Fatalf("lanes: %v", err)
	}
	return ls
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if reflect.DeepEqual(got, want) {
		return
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func isUnknown(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, spool.ErrUnknown) {
		t.Errorf("%s: error %v, want ErrUnknown", what, err)
	}
}

// Bytes are n octets that follow from the seed.
func Bytes(n int, seed uint64) []byte {
	var s [32]byte
	s[0], s[1] = byte(seed), byte(seed>>8)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(s).Read(b)
	return b
}

// tried is a step after an attempt that was deferred until next.
func tried(d custody.Delivery, next time.Time) spool.Step {
	at := d.Next.Add(time.Second)
	o := custody.Outcome{
		At: at, Host: "mx." + d.Domain, IP: "192.0.2.9", Stage: mail.Rcpt, Theirs: true, Trouble: custody.Deferred,
		Reply: mail.Reply{Code: 451, Status: mail.Status{4, 3, 0}, Text: "Come Again"},
	}
	e := custody.Entry{
		At: at, Delivery: d.ID, Next: next,
		Event: custody.Tried{At: at, Attempt: custody.Attempt{Began: d.Next, Took: time.Second, Way: "mx " + d.Domain, Outcomes: []custody.Outcome{o}}},
	}
	d.Rcpts = append([]custody.Recipient(nil), d.Rcpts...)
	for i := range d.Rcpts {
		d.Rcpts[i].Last = o
	}
	d.Tries++
	d.Last = custody.Deferred
	d.Next = next
	return spool.Step{Delivery: d, Wake: next, Entries: []custody.Entry{e}}
}

// handed is a step that ends a delivery.
func handed(d custody.Delivery) spool.Step {
	st := tried(d, time.Time{})
	for i := range st.Delivery.Rcpts {
		st.Delivery.Rcpts[i].State = custody.HandedOver
	}
	st.Entries[0].Duties = []custody.Duty{custody.Close{}}
	st.Closed = true
	return st
}

func equalBytes(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %d octets differ from the %d that were written", what, len(got), len(want))
	}
}

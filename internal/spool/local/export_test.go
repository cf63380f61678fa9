package local

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// TestExportHandsOnAllThatWaits: what Export says of a message is what the open store
// says, in each state that a crash leaves.
func TestExportHandsOnAllThatWaits(t *testing.T) {
	mem := vfs.NewCrashableMem()
	o := Options{InlineMax: 4096, SegmentSize: 128 << 10}
	s := openMem(t, mem, o)
	fill(t, s, 0, 150)
	for n := range 5 {
		mustCommit(t, s, 10_000+n, 9000)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 150, 250)
	for name, q := range map[string]spool.Query{
		"all": {}, "domain": {Domain: "d5.example"}, "from": {From: "sender3@example.org"}, "reply": {Reply: "come again"},
		"id": {ID: custodyID(10_002).String()}, "to": {To: "@two.example"}, "none": {To: "nobody@two.example"},
	} {
		disk := mem.CrashClone(vfs.CrashCloneCfg{})
		type told struct {
			spool.History
			body string
		}
		got := map[custody.ID]told{}
		err := Export(ctx, "/spool", q, SurveyOptions{FS: disk}, func(e Exported) error {
			var b bytes.Buffer
			if len(e.Flaws) > 0 {
				t.Errorf("%s: %s: %q", name, e.Message.ID, e.Flaws)
			}
			err := e.WriteBody(&b)
			got[e.Message.ID] = told{e.History, b.String()}
			return err
		})
		if err != nil {
			t.Fatal(name, err)
		}
		s := openMem(t, disk, o)
		want := map[custody.ID]told{}
		for row, err := range s.Find(ctx, q) {
			if err != nil {
				t.Fatal(err)
			}
			h, err := s.History(ctx, row.Message.ID)
			if err != nil {
				t.Fatal(err)
			}
			b, err := s.Body(ctx, row.Message.ID)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
			if err != nil {
				t.Fatal(err)
			}
			_ = b.Close()
			want[row.Message.ID] = told{h, string(body)}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) || (len(want) == 0) != (name == "none") {
			t.Errorf("%s: %d messages, want %d", name, len(got), len(want))
		}
		for id, w := range want {
			if !reflect.DeepEqual(got[id], w) {
				t.Errorf("%s: %s: got %+v, want %+v", name, id, got[id].History, w.History)
			}
		}
	}
	_ = s.Close()
}

// TestExportTellsWhatAHostHasTaken: of deliveries whose attempt was marked and not
// settled, unless they were settled since.
func TestExportTellsWhatAHostHasTaken(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := openMem(t, mem, Options{})
	marked := map[custody.ID]bool{}
	for n := range 3 {
		d := mustCommit(t, s, n, 100)
		next := d.Next
		if n == 1 { // marked before the try that is due now
			next = next.Add(-time.Hour)
		}
		if n > 0 {
			s.Mark(custody.Entry{At: time.Unix(1e9, 0), Delivery: d.ID, Event: custody.Tried{}, Next: next})
			marked[d.ID.Message] = n == 2
		}
	}
	disk := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	_ = s.Close()
	seen := 0
	err := Export(ctx, "/spool", spool.Query{}, SurveyOptions{FS: disk}, func(e Exported) error {
		seen++
		if told := len(e.Flaws) == 1 && strings.Contains(e.Flaws[0], "2001-09-09T01:46:40Z"); told != marked[e.Message.ID] {
			t.Errorf("%s, marked %v: %q", e.Message.ID, marked[e.Message.ID], e.Flaws)
		}
		return nil
	})
	if err != nil || seen != 3 {
		t.Errorf("%d messages, %v", seen, err)
	}
}

func TestExportNeedsAClosedStore(t *testing.T) {
	mem := vfs.NewMem()
	s := openMem(t, mem, Options{})
	none := func(Exported) error { return nil }
	if err := Export(ctx, "/spool", spool.Query{}, SurveyOptions{FS: mem}, none); !errors.Is(err, spool.ErrInUse) {
		t.Errorf("export: %v", err)
	}
	if _, err := Verify(ctx, "/spool", SurveyOptions{FS: mem}); !errors.Is(err, spool.ErrInUse) {
		t.Errorf("verify: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := takeDisk(t, mem, "/spool", "/spool/index", "/spool/seg", "/spool/big")
	verify(t, mem)
	if err := Export(ctx, "/spool", spool.Query{}, SurveyOptions{FS: mem}, none); err != nil {
		t.Error(err)
	}
	if after := takeDisk(t, mem, "/spool", "/spool/index", "/spool/seg", "/spool/big"); !reflect.DeepEqual(before, after) {
		t.Error("the store was changed")
	}
	if _, err := Verify(ctx, "/nowhere", SurveyOptions{FS: mem}); err == nil {
		t.Error("a store that is not there was verified")
	}
}

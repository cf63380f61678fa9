package local

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/spooltest"
)

// spoil returns the disk after a power cut that left nothing but the log, with
// bytes of a frame of it changed.
func spoil(t *testing.T, frame int) (*vfs.MemFS, []custody.Delivery) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	s := openMem(t, mem, Options{})
	var ds []custody.Delivery
	var at []uint32
	for n := range 5 {
		at = append(at, s.log.end.off)
		ds = append(ds, mustCommit(t, s, n, 100))
	}
	disk := mem.CrashClone(vfs.CrashCloneCfg{RNG: rand.New(rand.NewPCG(1, 1))})
	_ = s.Close()
	w, err := disk.OpenReadWrite("/spool/seg/00000001.seg", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteAt([]byte("spoiled"), int64(at[frame])+40); err != nil {
		t.Fatal(err)
	}
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
	return disk, ds
}

func TestTornTailIsDropped(t *testing.T) {
	disk, ds := spoil(t, 4)
	var log bytes.Buffer
	s := openMem(t, disk, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	defer s.Close()
	if n := count(t, s, spool.Query{}); n != 4 || log.Len() > 0 {
		t.Errorf("%d of %d are there, the log says %q", n, len(ds), &log)
	}
}

func TestDamageIsReported(t *testing.T) {
	disk, ds := spoil(t, 2)
	var log bytes.Buffer
	s := openMem(t, disk, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	defer s.Close()
	for i, d := range ds {
		if _, err := s.Item(ctx, d.ID); (err == nil) == (i == 2) {
			t.Errorf("delivery %d: %v", i, err)
		}
	}
	if !strings.Contains(log.String(), "00000001.seg.damaged") || !strings.Contains(log.String(), "may be lost") {
		t.Errorf("the log says %q", &log)
	}
	if _, err := disk.Stat("/spool/seg/00000001.seg.damaged"); err != nil {
		t.Error(err)
	}
}

// FuzzRecords: whatever a frame holds, it is read or refused.
func FuzzRecords(f *testing.F) {
	m, ds := spooltest.Message(1, "a.example", "b.example")
	a, err := newAccept(m, ds, []byte("hello"), 0, 5, sum([]byte("hello")))
	if err != nil {
		f.Fatal(err)
	}
	lm, lds := spooltest.Message(2, "c.example")
	part := ds[0]
	part.ID.N = 3
	st, err := newStep(spool.Step{
		Delivery: ds[0], Closed: true, Split: []spool.Split{{Item: spool.Item{Delivery: part}}},
		Entries: []custody.Entry{{Delivery: ds[0].ID}}, Letters: []spool.Letter{{Message: lm, Deliveries: lds, Body: []byte("x")}},
	}, 7)
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range []*record{a, st, newMove(m.ID, place{seg: 1, off: 9}, []byte("hello"))} {
		b := append([]byte{r.kind}, binary.AppendUvarint(nil, uint64(r.size()))...)
		f.Add(append(append(b, r.head...), r.body...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		recs, err := readRecords(b, 0)
		if err != nil {
			return
		}
		for _, r := range recs {
			if r.size() > len(b) || r.accept != nil && r.accept.big == 0 && r.accept.size != int64(len(r.body)) {
				t.Errorf("record %+v in %d octets", r, len(b))
			}
		}
	})
}

package local

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// Exported is a message as Export hands it on.
type Exported struct {
	spool.History          // its deliveries, those that left too, and its timeline
	Flaws         []string // what of it is lost, or may be other than it was

	body func(io.Writer) error
}

// WriteBody writes the message as it is stored. It answers spool.ErrCorrupt, when it
// has written what there is, if that is not what was stored. It works only while the
// message is handed on.
func (e Exported) WriteBody(w io.Writer) error { return e.body(w) }

// Export reads a store that nobody has open and hands on each message of which a
// delivery waits that fits the query, whatever else of the store is damaged; Departed,
// Limit and After of the query do not count. It changes nothing. Its errors are those
// of Verify, and those of each, which end it.
func Export(ctx context.Context, dir string, q spool.Query, o SurveyOptions, each func(Exported) error) error {
	fits, err := fitting(q)
	if err != nil {
		return fmt.Errorf("local: export %s: %w", dir, err)
	}
	v, err := openSurvey(ctx, dir, o.FS, o.Progress)
	if err != nil {
		return err
	}
	defer v.close()
	taken, err := v.marked()
	if err != nil {
		return fmt.Errorf("local: export %s: %w", dir, err)
	}
	n := int64(0)
	return v.each(v.applied.seg, func(h *holding, _ *parts) error {
		if n++; n%1000 == 0 {
			v.tell("messages", n, 0)
		}
		e, ok := h.exported(fits)
		if !ok {
			return nil
		}
		for _, p := range h.waits {
			if m, ok := taken[p.d.ID]; ok && m.Next.Equal(p.d.Next) {
				e.Flaws = append(e.Flaws, fmt.Sprintf("a host took delivery %d at %s, and then the service was killed: handed over again it comes twice",
					p.d.ID.N, m.At.UTC().Format(time.RFC3339)))
			}
		}
		e.body = func(w io.Writer) error {
			if !h.hasBody {
				return fmt.Errorf("%w: the body is lost", spool.ErrCorrupt)
			}
			return v.bodies.read(h.body, func(b []byte) error {
				if err := ctx.Err(); err != nil {
					return err
				}
				_, err := w.Write(b)
				return err
			})
		}
		return each(e)
	})
}

// marked are the attempts that the last process had made and not settled (marks.go).
func (v *survey) marked() (map[custody.DeliveryID]custody.Entry, error) {
	files, err := markFiles(v.fs, v.dir)
	all := map[custody.DeliveryID]custody.Entry{}
	for _, num := range slices.Sorted(maps.Keys(files)) {
		for _, e := range readMarks(v.fs, v.path(files[num])) {
			all[e.Delivery] = e
		}
	}
	return all, err
}

// fitting returns what tells whether a delivery fits a query.
func fitting(q spool.Query) (func(*spool.Row) bool, error) {
	f := &finder{q: q}
	if _, err := f.prepare(); err != nil {
		return nil, err
	}
	if q.ID != "" {
		d, err := custody.ParseDeliveryID(q.ID)
		if err != nil {
			if d.Message, err = custody.ParseID(q.ID); err != nil {
				return nil, err
			}
		}
		f.test = append(f.test, func(r *spool.Row) bool {
			return r.Delivery.ID.Message == d.Message && (d.N == 0 || r.Delivery.ID.N == d.N)
		})
	}
	return func(r *spool.Row) bool {
		for _, t := range f.test {
			if !t(r) {
				return false
			}
		}
		return true
	}, nil
}

// exported is a holding as it is handed on; false if nothing of it waits that fits.
func (h *holding) exported(fits func(*spool.Row) bool) (e Exported, ok bool) {
	e.Message, e.Flaws = h.m, h.flaws
	for _, p := range h.waits {
		row := spool.Row{Item: spool.Item{Message: h.m, Delivery: p.d, Wake: moment(p.wake)}}
		ok = ok || fits(&row)
		e.Deliveries = append(e.Deliveries, row)
	}
	if !ok {
		return e, false
	}
	for _, p := range h.left {
		e.Deliveries = append(e.Deliveries, spool.Row{Item: spool.Item{Message: h.m, Delivery: p.d}, Left: moment(p.at)})
	}
	sortRows(e.Deliveries)
	for _, p := range h.entries {
		if v, err := spool.DecodeEntry(p.value); err == nil {
			e.Entries = append(e.Entries, v)
		} else {
			e.Flaws = append(e.Flaws, "an entry of its timeline makes no sense")
		}
	}
	return e, true
}

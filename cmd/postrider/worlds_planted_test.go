package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// TestWorldsFindPlantedFaults keeps the laws honest: each fault is planted where the
// program meets its store or its disk, and must be found by the law that it breaks.
func TestWorldsFindPlantedFaults(t *testing.T) {
	settles := func(f func(*spool.Step) bool) plant {
		return plant{store: func(s spool.Store) spool.Store { return &crooked{Store: s, step: f} }}
	}
	for name, c := range map[string]struct {
		law string
		plant
	}{
		"an acknowledged message is dropped":   {"nothing is lost", plant{store: func(s spool.Store) spool.Store { return &crooked{Store: s, drops: true} }}},
		"the disk does not flush":              {"nothing is lost", plant{liar: true}},
		"an octet of a body changes":           {"bytes are intact", plant{store: func(s spool.Store) spool.Store { return &crooked{Store: s, spoils: true} }}},
		"a body is not closed":                 {"nothing open", plant{store: func(s spool.Store) spool.Store { return &crooked{Store: s, leaks: true} }}},
		"what was delivered is forgotten":      {"nothing is delivered twice", settles(forgets())},
		"a failure is not told":                {"the sender is told once", settles(drops(custody.Failed))},
		"a failure is told twice":              {"the sender is told once", settles(doubles)},
		"a warning is dropped":                 {"warnings are due", settles(drops(custody.Delayed))},
		"a delivery sleeps through its end":    {"nothing waits beyond its end", settles(sleeps(30 * time.Hour))},
		"a delivery is never waked":            {"nothing stays", settles(neverWakes)},
		"what is deferred is given up at once": {"nothing is given up", settles(givesUp)},
		"a try comes late":                     {"what is shown holds", settles(sleeps(4 * time.Hour))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const most = 200
			for seed := range uint64(most) {
				w, _ := live(t, seed, c.plant)
				if slices.ContainsFunc(w.faults, func(f string) bool { return law(f) == c.law }) {
					t.Logf("found in world %d", seed)
					return
				}
			}
			t.Errorf("not found in %d worlds", most)
		})
	}
}

// crooked is a store with a fault.
type crooked struct {
	spool.Store
	step   func(*spool.Step) bool // changes a step; false: it is not stored
	drops  bool                   // the third message is acknowledged and forgotten
	spoils bool
	leaks  bool
	n      atomic.Int64
}

func (c *crooked) Begin(ctx context.Context, size int64) (spool.Draft, error) {
	d, err := c.Store.Begin(ctx, size)
	if err == nil && c.drops && c.n.Add(1) == 3 {
		return forgetful{d}, nil
	}
	return d, err
}

// forgetful acknowledges what it does not keep.
type forgetful struct{ spool.Draft }

func (f forgetful) Commit(context.Context, custody.Message, []custody.Delivery) error {
	f.Abort()
	return nil
}

func (c *crooked) Body(ctx context.Context, id custody.ID) (spool.Body, error) {
	b, err := c.Store.Body(ctx, id)
	switch {
	case err == nil && c.spoils:
		return spoiled{b}, nil
	case err == nil && c.leaks:
		return unclosed{b}, nil
	}
	return b, err
}

type unclosed struct{ spool.Body }

func (unclosed) Close() error { return nil }

// spoiled changes an octet near the end of what it reads.
type spoiled struct{ spool.Body }

func (s spoiled) ReadAt(b []byte, at int64) (int, error) {
	n, err := s.Body.ReadAt(b, at)
	if i := strings.LastIndexByte(string(b[:n]), 'a'); i >= 0 && (err == nil || err == io.EOF) {
		b[i] = 'b'
	}
	return n, err
}

// Fresh hands on nothing at hand where bodies are to be read from the disk.
func (c *crooked) Fresh() <-chan spool.Fresh {
	if c.spoils || c.leaks || c.drops {
		return nil
	}
	return c.Store.Fresh()
}

func (c *crooked) Settle(ctx context.Context, steps []spool.Step) []error {
	if c.step == nil {
		return c.Store.Settle(ctx, steps)
	}
	var kept []spool.Step
	var at []int
	for i, s := range steps {
		if c.step(&s) {
			kept, at = append(kept, s), append(at, i)
		}
	}
	errs := c.Store.Settle(ctx, kept)
	if errs == nil {
		return nil
	}
	all := make([]error, len(steps))
	for k, i := range at {
		all[i] = errs[k]
	}
	return all
}

// forgets drops the third step that ends a delivery as handed over.
func forgets() func(*spool.Step) bool {
	var n atomic.Int64
	return func(s *spool.Step) bool {
		return !(s.Closed && len(s.Letters) == 0 && s.Delivery.Rcpts[0].State == custody.HandedOver && n.Add(1) == 3)
	}
}

// drops drops the letters of a kind.
func drops(k custody.Kind) func(*spool.Step) bool {
	return func(s *spool.Step) bool {
		s.Letters = slices.DeleteFunc(slices.Clone(s.Letters), func(l spool.Letter) bool { return l.Message.Came.Notice == k })
		return true
	}
}

// doubles stores each letter about a failure twice.
func doubles(s *spool.Step) bool {
	for _, l := range slices.Clone(s.Letters) {
		if l.Message.Came.Notice != custody.Failed {
			continue
		}
		m, old := l, l.Message.ID.String()
		m.Message.ID[15]++
		m.Message.MessageID = m.Message.ID.String() + "@mx.world.test"
		m.Body = []byte(strings.ReplaceAll(string(l.Body), old, m.Message.ID.String()))
		m.Deliveries = slices.Clone(l.Deliveries)
		for i := range m.Deliveries {
			m.Deliveries[i].ID.Message = m.Message.ID
		}
		s.Letters = append(s.Letters, m)
	}
	return true
}

func sleeps(d time.Duration) func(*spool.Step) bool {
	return func(s *spool.Step) bool {
		if !s.Wake.IsZero() {
			s.Wake = s.Wake.Add(d)
		}
		return true
	}
}

func neverWakes(s *spool.Step) bool {
	s.Wake = time.Time{}
	return true
}

// givesUp ends what was deferred as if its time were over, and has nobody told.
func givesUp(s *spool.Step) bool {
	if s.Closed || s.Delivery.Last != custody.Deferred {
		return true
	}
	s.Closed, s.Wake = true, time.Time{}
	s.Delivery.Rcpts = slices.Clone(s.Delivery.Rcpts)
	for i := range s.Delivery.Rcpts {
		if s.Delivery.Rcpts[i].State == custody.Pending {
			s.Delivery.Rcpts[i].State = custody.Expired
		}
	}
	return true
}

package queue

import (
	"context"
	"slices"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// lettersMost is how many letters tell of the end of deliveries of one message.
// What more there is to tell waits until all of them have ended, and is then told
// in one letter. A warning that falls due when the message has had as many letters,
// of either kind, is not written: a sender who would be told of a delay need not be
// (RFC 3461 4.1). So a message to a thousand domains with a forged sender brings
// that sender eleven letters if they refuse it, and ten warnings before these at
// most if they keep silent.
const lettersMost = 10

// told is what a letter is to tell of a delivery.
type told struct {
	delivery custody.Delivery
	tell     custody.Tell
	entries  []custody.Entry
}

// tally counts the letters about one message.
type tally struct {
	ends     int // letters that tell of an end, and what was saved
	warnings int
	saved    []told
	open     map[custody.DeliveryID]bool // deliveries that have not ended
}

// tally returns the count of a message. It holds for the stroke under way.
func (q *Queue) tally(m custody.Message) *tally {
	if t := q.tallies[m.ID]; t != nil {
		return t
	}
	t := &tally{open: map[custody.DeliveryID]bool{}}
	q.tallies[m.ID] = t
	h, err := q.o.Store.History(context.Background(), m.ID)
	if err != nil {
		return t
	}
	ds := map[custody.DeliveryID]custody.Delivery{}
	timelines := map[custody.DeliveryID][]custody.Entry{}
	for _, row := range h.Deliveries {
		ds[row.Delivery.ID] = row.Delivery
		if row.Left.IsZero() {
			t.open[row.Delivery.ID] = true
		}
	}
	for _, e := range h.Entries {
		timelines[e.Delivery] = append(timelines[e.Delivery], e)
	}
	for id, entries := range timelines {
		for _, e := range entries {
			for _, d := range e.Duties {
				switch tell, ok := d.(custody.Tell); {
				case !ok || tell.Null:
				case tell.Kind == custody.Delayed:
					if e.Warned() {
						t.warnings++
					}
				default:
					if t.ends++; len(e.Letters) == 0 {
						t.saved = append(t.saved, told{ds[id], tell, h.Timeline(id)})
					}
				}
			}
		}
	}
	return t
}

// enough reports a letter that is not written because the message has had its
// letters. An end is kept for the one letter about the rest; a delay, which would be
// no news there, only if no operator wants it told.
func (q *Queue) enough(m custody.Message, w told) bool {
	if m.Parts <= 1 || w.tell.Null {
		return false
	}
	t := q.tally(m)
	if w.tell.Kind == custody.Delayed {
		if _, ordered := w.entries[len(w.entries)-1].Event.(custody.Ordered); !ordered && t.ends+t.warnings >= lettersMost {
			return true
		}
		t.warnings++
		return false
	}
	if t.ends++; m.Parts <= lettersMost || t.ends <= lettersMost {
		return false
	}
	w.entries = q.timeline(w)
	t.saved = append(t.saved, w)
	return true
}

// merge adds to the step that ends the last delivery of a message the letter
// about all that was saved.
func (q *Queue) merge(r result, c *conclusion) {
	s := &c.step
	if r.message.Parts <= lettersMost || len(s.Entries) == 0 || !s.Closed && len(s.Split) == 0 {
		return
	}
	t := q.tally(r.message)
	for _, p := range s.Split {
		t.open[p.Delivery.ID] = !p.Closed
	}
	t.open[s.Delivery.ID] = !s.Closed
	for _, open := range t.open {
		if open {
			return
		}
	}
	if len(t.saved) == 0 {
		return
	}
	now, news, first := s.Entries[len(s.Entries)-1].At, all(t.saved), t.saved[0].delivery
	c.wants(newLetter(now, func(id custody.ID) spool.Letter {
		return q.write(r, id, now, news, first.From, q.o.Rules.Schedule(first))
	}))
	t.saved = nil
}

// all joins pieces of news into one, as if they were of one delivery.
func all(news []told) told {
	sum := told{delivery: news[0].delivery, tell: custody.Tell{Kind: news[0].tell.Kind}}
	sum.delivery.Domain, sum.delivery.Rcpts = "those domains", nil
	for _, w := range news {
		base := len(sum.delivery.Rcpts)
		sum.delivery.Rcpts = append(sum.delivery.Rcpts, w.delivery.Rcpts...)
		sum.delivery.Tries = max(sum.delivery.Tries, w.delivery.Tries)
		sum.tell.Kind = min(sum.tell.Kind, w.tell.Kind)
		for _, i := range w.tell.Rcpts {
			sum.tell.Rcpts = append(sum.tell.Rcpts, base+i)
		}
		for _, e := range w.entries {
			if e, counts := moved(e, base, len(w.delivery.Rcpts)); counts {
				sum.entries = append(sum.entries, e)
			}
		}
	}
	slices.SortStableFunc(sum.entries, func(a, b custody.Entry) int { return a.At.Compare(b.At) })
	return sum
}

// moved is an entry whose n recipients stand base places further back, if it is an
// attempt or tells of something.
func moved(e custody.Entry, base, n int) (_ custody.Entry, counts bool) {
	duties := e.Duties
	e.Duties = nil
	for _, duty := range duties {
		if t, ok := duty.(custody.Tell); ok {
			t.Rcpts = further(t.Rcpts, base)
			e.Duties = append(e.Duties, t)
		}
	}
	tried, ok := e.Event.(custody.Tried)
	if !ok {
		return e, len(e.Duties) > 0
	}
	tried.Attempt.Outcomes = slices.Clone(tried.Attempt.Outcomes)
	for i := range tried.Attempt.Outcomes {
		o := &tried.Attempt.Outcomes[i]
		if o.Rcpts == nil {
			for j := range n {
				o.Rcpts = append(o.Rcpts, base+j)
			}
		} else {
			o.Rcpts = further(o.Rcpts, base)
		}
	}
	e.Event = tried
	return e, true
}

// further are indices, base places further back.
func further(rcpts []int, base int) []int {
	rcpts = slices.Clone(rcpts)
	for i := range rcpts {
		rcpts[i] += base
	}
	return rcpts
}

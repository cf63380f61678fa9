package api

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/internal/spool"
)

// Outlook is why mail waits, what will be given up soon if nothing changes, and what
// came and left in the last day.
type Outlook struct {
	At      time.Time  `json:"at" doc:"when it was worked out"`
	Reasons []Reason   `json:"reasons" doc:"why mail waits, the commonest first"`
	Ending  []Delivery `json:"ending" doc:"what will be given up within a day if nothing changes, the soonest first, at most 25"`
	Ends    int        `json:"ends" doc:"how many will be"`
	Hours   []Hour     `json:"hours" doc:"the last 24 and the one that runs, the oldest first; none: they are being counted"`
	Since   time.Time  `json:"since" doc:"from when on what left is counted: later than a day ago where much left"`
}

// Reason is why some of the mail waits.
type Reason struct {
	Why     string    `json:"why" doc:"held, new, or the cause in a word"`
	Meaning string    `json:"meaning"`
	Count   int       `json:"count" doc:"deliveries"`
	Oldest  time.Time `json:"oldest" doc:"when the oldest of them was accepted"`
	Domain  string    `json:"domain" doc:"of the one that was tried last"`
	Last    *Last     `json:"last" doc:"what that met; null: no attempt was made"`
}

// Hour counts deliveries.
type Hour struct {
	From     time.Time `json:"from"`
	Came     int       `json:"came"`
	Left     int       `json:"left" doc:"delivered or handed on"`
	Returned int       `json:"returned" doc:"bounced, expired or removed"`
}

const (
	outlookDay    = 24 * time.Hour
	outlookEnding = 25      // deliveries that are named
	outlookPage   = 500     // deliveries read in one go
	outlookLeft   = 200_000 // departed deliveries that the first count goes back

	// Looking may use one part of so many of a processor's time: more of it while a
	// person looks, who waits for it, than when numbers are collected.
	outlookShare  = 20
	watchedShare  = 3
	outlookStares = time.Minute // for so long after somebody asked they are looking
)

// Outlooks looks through all that waits, a little at a time, while somebody wants to
// know: one walk for the outlook, and for the survey of metrics and top. Make it with
// NewOutlooks; one serves all listeners.
type Outlooks struct {
	store    spool.Store
	queue    OutlookQueue // nil: nothing is tried or paused
	schedule func(custody.Delivery) custody.Schedule
	all      *lookout[*looked]
	watched  atomic.Int64 // when somebody asked for an outlook, in Unix nanoseconds

	// What the looks remember of what left, by hour; theirs alone.
	came, left, returned map[time.Time]int
	seen                 time.Time // the newest that was counted left then
	since                time.Time // zero: nothing was counted yet
	whys                 whys
}

// OutlookQueue is what looks ask of the queue.
type OutlookQueue interface {
	Doing(d custody.Delivery) (trying bool, blocked string)
	Paused(d custody.Delivery) (queue.Pause, bool)
}

// looked is what one look found. Ending is filled in when it is told.
type looked struct {
	Outlook
	survey Survey
	ending []spool.Row
}

// NewOutlooks makes Outlooks; q says what is tried and paused, nil: nothing. Nothing
// is looked at before Run.
func NewOutlooks(store spool.Store, q OutlookQueue, schedule func(custody.Delivery) custody.Schedule) *Outlooks {
	o := &Outlooks{
		store: store, queue: q, schedule: schedule,
		came: map[time.Time]int{}, left: map[time.Time]int{}, returned: map[time.Time]int{}, whys: whys{},
	}
	o.all = newLookout(2, o.look)
	return o
}

// Run looks when it is asked, until ctx ends.
func (o *Outlooks) Run(ctx context.Context) error {
	o.all.run(ctx)
	return nil
}

// now returns the last look, and asks for another. Nil: the first is not done yet; it
// is waited for a moment.
func (o *Outlooks) now(ctx context.Context) *looked {
	o.watched.Store(time.Now().UnixNano())
	return o.all.seen(ctx)
}

// survey returns what the last look counted.
func (o *Outlooks) survey(ctx context.Context) Survey {
	if l := o.all.seen(ctx); l != nil {
		return l.survey
	}
	return Survey{}
}

// isWatched reports whether somebody has asked for an outlook lately.
func (o *Outlooks) isWatched() bool {
	return time.Since(time.Unix(0, o.watched.Load())) < outlookStares
}

// look reads all that waits, and for whoever watches what left since it was counted
// last. As long as that was never, what waits is told as soon as it is known.
func (o *Outlooks) look(ctx context.Context) (*looked, error) {
	now := time.Now()
	c := census{o: o, now: now, reasons: map[string]*Reason{}, came: map[time.Time]int{}, survey: newSurvey(now)}
	if err := o.pages(ctx, spool.Query{Before: now}, func(r *spool.Row) bool { c.add(r); return true }); err != nil {
		return nil, err
	}
	c.survey.Took = time.Since(now)
	if !o.isWatched() {
		return c.looked(), nil
	}
	if o.since.IsZero() {
		o.all.show(c.looked(), c.survey.Took)
	}
	if err := o.departed(ctx, now); err != nil {
		return nil, err
	}
	v := c.looked()
	v.Since = o.since
	for h := hour(now).Add(-outlookDay); !h.After(now); h = h.Add(time.Hour) {
		v.Hours = append(v.Hours, Hour{h, c.came[h] + o.came[h], o.left[h], o.returned[h]})
	}
	return v, nil
}

// looked is what was found of what waits.
func (c *census) looked() *looked {
	v := &looked{Outlook: Outlook{At: c.now, Ends: c.ends, Reasons: []Reason{}, Hours: []Hour{}}, survey: c.survey}
	for _, r := range c.reasons {
		v.Reasons = append(v.Reasons, *r)
	}
	slices.SortFunc(v.Reasons, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), a.Oldest.Compare(b.Oldest), cmp.Compare(a.Why, b.Why))
	})
	for _, e := range c.soon {
		v.ending = append(v.ending, e.row)
	}
	return v
}

// pages reads what a query finds, a page at a time, and rests after each so long that
// it does not take more than its share of the machine.
func (o *Outlooks) pages(ctx context.Context, q spool.Query, each func(*spool.Row) bool) error {
	q.Limit = outlookPage
	for {
		began, n := time.Now(), 0
		for row, err := range o.store.Find(ctx, q) {
			if err != nil {
				return err
			}
			if !each(&row) {
				return nil
			}
			n++
			q.After, q.AfterLeft = row.Delivery.ID, row.Left
		}
		if n < outlookPage {
			return ctx.Err()
		}
		share := time.Duration(outlookShare)
		if o.isWatched() {
			share = watchedShare
		}
		if rest(ctx, (share-1)*time.Since(began)); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// BehindAll comes after every delivery that waits: what has left follows it.
var BehindAll = custody.DeliveryID{Message: custody.ID(bytes.Repeat([]byte{math.MaxUint8}, 16)), N: math.MaxUint16}

// departed counts what left since the look before, the newest first.
func (o *Outlooks) departed(ctx context.Context, now time.Time) error {
	until, newest, n := now.Add(-outlookDay), o.seen, 0
	if o.seen.IsZero() {
		o.since = hour(until)
	} else if o.seen.After(until) {
		until = o.seen
	}
	for _, m := range []map[time.Time]int{o.came, o.left, o.returned} {
		maps.DeleteFunc(m, func(h time.Time, _ int) bool { return h.Before(hour(now).Add(-outlookDay)) })
	}
	return o.pages(ctx, spool.Query{Departed: true, After: BehindAll}, func(r *spool.Row) bool {
		if !r.Left.After(until) {
			return false
		}
		if n++; n > outlookLeft {
			o.since = r.Left
			return false
		}
		if r.Left.After(newest) {
			newest = r.Left
			o.seen = newest
		}
		o.came[hour(r.Delivery.Accepted)]++
		switch became(r.Delivery) {
		case "delivered", "relayed", "mixed":
			o.left[hour(r.Left)]++
		default:
			o.returned[hour(r.Left)]++
		}
		return true
	})
}

func hour(t time.Time) time.Time { return t.UTC().Truncate(time.Hour) }

// census is a look under way.
type census struct {
	o       *Outlooks
	now     time.Time
	reasons map[string]*Reason
	survey  Survey
	came    map[time.Time]int
	soon    []ending // in order
	ends    int
}

type ending struct {
	at  time.Time
	row spool.Row
}

func (c *census) add(row *spool.Row) {
	d, trying := row.Delivery, false
	c.came[hour(d.Accepted)]++
	why, o := c.o.whys.of(d)
	if q := c.o.queue; q != nil {
		trying, _ = q.Doing(d)
	}
	c.survey.add(&d, trying)
	if q := c.o.queue; q != nil {
		if p, ok := q.Paused(d); ok {
			why, d = whyPaused, p.Over(d)
		}
	}
	r := c.reasons[why]
	if r == nil {
		r = &Reason{Why: why, Meaning: WhyText(why), Oldest: d.Accepted}
		c.reasons[why] = r
	}
	r.Count++
	if d.Accepted.Before(r.Oldest) {
		r.Oldest = d.Accepted
	}
	if !o.IsZero() && (r.Last == nil || o.At.After(r.Last.At)) {
		r.Domain, r.Last = d.Domain, &Last{o.At, o.Host, o.IP, o.Stage, o.Reply.Code, o.Reply.Status, o.Reply.Text}
	}
	_, _, end := custody.Fate(d, c.o.schedule(d))
	if end.At.IsZero() || end.At.Sub(c.now) > outlookDay {
		return
	}
	c.ends++
	i, _ := slices.BinarySearchFunc(c.soon, end.At, func(e ending, at time.Time) int { return e.at.Compare(at) })
	if i == outlookEnding {
		return
	}
	c.soon = slices.Insert(c.soon, i, ending{end.At, *row})
	c.soon = c.soon[:min(len(c.soon), outlookEnding)]
}

type outlookOutput struct{ Body Outlook }

func (s *server) outlookRoutes(a huma.API) {
	if s.o.Outlooks == nil {
		return
	}
	huma.Register(a, huma.Operation{
		OperationID: "outlook", Method: "GET", Path: "/api/v1/outlook", Summary: "Why mail waits, what will be given up within a day, what came and left",
		Description: "Worked out by looking through the store while somebody asks; at says when. While the first look is under way the answer is 503.",
	}, func(ctx context.Context, _ *struct{}) (*outlookOutput, error) {
		v := s.outlook(ctx)
		if v == nil {
			return nil, huma.Error503ServiceUnavailable("the queue is being looked through; ask again")
		}
		return &outlookOutput{*v}, nil
	})
}

// outlook is the last look as it is told; nil: there is none yet.
func (s *server) outlook(ctx context.Context) *Outlook {
	l := s.o.Outlooks.now(ctx)
	if l == nil {
		return nil
	}
	now, v := time.Now(), l.Outlook
	v.Ending = []Delivery{}
	for _, row := range l.ending {
		v.Ending = append(v.Ending, s.show(row, now))
	}
	return &v
}

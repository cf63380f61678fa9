package queue

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// Health is how a destination is, as far as the queue has heard since it started.
type Health uint8

const (
	Untried   Health = iota // nothing was tried there yet
	Living                  // it answers, and takes mail
	Deferring               // it answers, and did not take what it was offered last
	Silent                  // it does not answer
	NoWay                   // it is not known how to get there
)

var healthNames = [...]string{"untried", "living", "deferring", "silent", "no way"}

// String returns the health as written in JSON and lists.
func (h Health) String() string {
	if int(h) < len(healthNames) {
		return healthNames[h]
	}
	return "?" + strconv.Itoa(int(h))
}

// MarshalText writes the health as String does.
func (h Health) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// Site is a destination at a moment: the domains whose mail goes the same way. A
// lane whose way has not been looked up yet, or that is paused by its own name, is
// one by itself.
type Site struct {
	Name    string   // what Pause takes
	Way     string   // "mx example.com"; "" if it has not been looked up
	Rule    string   // what decided it: "postrider.toml:12 route"
	Domains []string // domains and ordered next hops behind it for which mail waits, at most DomainsShown, those with most of it first
	Behind  int      // how many there are

	Waiting  int       // deliveries in the queue, those that are held for good left out
	UnderWay int       // of these, those that are being tried or are about to be
	Oldest   time.Time // when the oldest of them was accepted, to the millisecond; zero: none waits
	// End is what will be given up next, if every attempt fails: of the oldest that
	// wait and of those that are looked at next. Zero: nothing will be.
	End End

	Connections int           // attempts under way
	Window      int           // attempts allowed at a time now; 0: it is not known well enough
	Most        int           // and at most, however well it goes
	Gap         time.Duration // least time between two messages; 0: none

	Health Health
	Since  time.Time // Silent: when the first attempt of those began; else when it last answered; zero: not known
	Knocks int       // Silent: attempts since
	Knock  time.Time // Silent: no attempt before; zero: whenever mail is due
	// Last is what it said last; while mail waits, to what it did not take. Zero:
	// nothing is known.
	Last custody.Outcome

	Paused *Pause // nil: it is not
}

// End is the end of a delivery.
type End struct {
	At       time.Time
	Delivery custody.DeliveryID
	Because  string // the rule that sets it
}

// SitesQuery says which destinations, and in which order.
type SitesQuery struct {
	Name  string // a part of the name, or of a domain behind it; "": all
	Idle  bool   // also those for which nothing waits
	Most  bool   // those with most mail first; else those in trouble
	Limit int    // 0: 100
	From  int    // how many are passed over
}

// Sites is one page of destinations.
type Sites struct {
	List    []Site
	All     int       // how many there are in all pages
	Waiting int       // deliveries in the queue, to all destinations
	Counted time.Time // when what waits was counted: a little ago where much does
	More    bool      // there are more than can be shown
}

// DomainsShown is how many domains behind a destination are named.
const DomainsShown = 20

// Sites returns the destinations that the queue knows, or for which mail waits.
func (q *Queue) Sites(ctx context.Context, what SitesQuery) (Sites, error) {
	c, err := q.counted(ctx)
	if err != nil {
		return Sites{}, err
	}
	rows := q.rows(c, nil)
	out := Sites{Waiting: c.all, Counted: c.at, More: c.more}
	what.Name = strings.ToLower(what.Name)
	led := q.book.leading(what.Name)
	rows = slices.DeleteFunc(rows, func(r *row) bool { return !what.wants(r, led) })
	out.All = len(rows)
	slices.SortFunc(rows, func(a, b *row) int {
		if !what.Most {
			if n := cmp.Compare(b.trouble(), a.trouble()); n != 0 {
				return n
			}
		}
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), cmp.Compare(a.Name, b.Name), cmp.Compare(a.site, b.site))
	})
	rows = rows[min(max(what.From, 0), len(rows)):]
	if what.Limit <= 0 {
		what.Limit = 100
	}
	out.List, err = q.fill(ctx, rows[:min(what.Limit, len(rows))])
	return out, err
}

// concerned returns the destinations that a pause is about, as if it were in force.
func (q *Queue) concerned(ctx context.Context, p Pause) ([]Site, error) {
	c, err := q.counted(ctx)
	if err != nil {
		return nil, err
	}
	rows := slices.DeleteFunc(q.rows(c, &p), func(r *row) bool { return r.Paused == nil || r.Paused.Name != p.Name })
	return q.fill(ctx, rows)
}

// wants reports whether a row is asked for; led are the sites behind which there is a
// domain with that name.
func (what SitesQuery) wants(r *row, led map[string]bool) bool {
	if !what.Idle && r.Waiting == 0 && r.UnderWay == 0 && r.Paused == nil {
		return false
	}
	return what.Name == "" || strings.Contains(strings.ToLower(r.Name), what.Name) || !r.alone && led[r.site]
}

// itemsRead is how many deliveries are read for a page, to know what was said to the
// mail that waits, and what will be given up next.
const itemsRead = 600

// fill reads in the store what rows have to show.
func (q *Queue) fill(ctx context.Context, rows []*row) ([]Site, error) {
	out := make([]Site, 0, len(rows))
	most := max(4, itemsRead/max(1, len(rows)))
	for _, r := range rows {
		slices.SortFunc(r.lanes, func(a, b laneCount) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.name, b.name)) })
		for _, l := range r.lanes[:min(len(r.lanes), DomainsShown)] {
			r.Domains = append(r.Domains, mail.Clean(l.name, mail.MaxDomain))
		}
		slices.SortFunc(r.oldest, func(a, b custody.DeliveryID) int { return bytes.Compare(a.Message[:], b.Message[:]) })
		if len(r.oldest) > 0 {
			r.Oldest = born(r.oldest[0].Message)
		}
		if err := q.read(ctx, r, most); err != nil {
			return nil, err
		}
		out = append(out, r.Site)
	}
	return out, nil
}

// read looks at so many of the deliveries of a row at most: the oldest, and of those
// lanes with most mail those that are looked at next.
func (q *Queue) read(ctx context.Context, r *row, most int) error {
	var heard custody.Outcome
	see := func(d custody.Delivery) {
		for i := range d.Rcpts {
			if o := d.Rcpts[i].Last; o.At.After(heard.At) && d.Rcpts[i].State == custody.Pending {
				heard = o
			}
		}
		if r.Paused != nil {
			return
		}
		sch := q.o.Rules.Schedule(d)
		if _, _, end := custody.Fate(d, sch); !end.At.IsZero() && (r.End.At.IsZero() || end.At.Before(r.End.At)) {
			r.End = End{end.At, d.ID, custody.Because(d, sch)}
		}
	}
	if r.Waiting > min(most, oldestKept) {
		most /= 2
	}
	for _, id := range r.oldest[:min(len(r.oldest), oldestKept, most)] {
		if it, err := q.o.Store.Item(ctx, id); err == nil { // else it has left since
			see(it.Delivery)
		} else if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for _, l := range r.lanes {
		if r.Waiting <= oldestKept || most <= 0 {
			break
		}
		items, err := q.o.Store.Due(ctx, l.name, time.Time{}, time.Time{}, min(most, oldestKept), nil)
		if err != nil {
			return err
		}
		for _, it := range items {
			see(it.Delivery)
		}
		most -= max(1, len(items))
	}
	heard.Rcpts = nil
	if r.Last.IsZero() || heard.At.After(r.Last.At) {
		r.Last = heard
	}
	if r.Health == Untried && !heard.IsZero() { // by an earlier run of the program
		r.Health = Deferring
		if heard.Trouble == custody.Unreachable {
			r.Health = Silent
		}
	}
	return nil
}

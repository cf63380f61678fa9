package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/dsn"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/notice"
	"github.com/postrider/postrider/policy"
)

// Desk is what pages are made of: the answers of the API before they are written
// as JSON. It is handed to Options.Pages.
type Desk struct{ s *server }

// Options are those that the API was made with.
func (d *Desk) Options() Options { return d.s.o }

// Health says how the store is.
func (d *Desk) Health(ctx context.Context) spool.Health { return d.s.o.Store.Health(ctx) }

// Now is what comes, leaves and waits; nil: nobody counts.
func (d *Desk) Now(ctx context.Context) *Now {
	if d.s.o.Metrics == nil {
		return nil
	}
	n := d.s.o.Metrics.Now(ctx, 0)
	return &n
}

// Outlook is why mail waits and what will be given up soon; nil: it is not worked out
// yet.
func (d *Desk) Outlook(ctx context.Context) *Outlook {
	if d.s.o.Outlooks == nil {
		return nil
	}
	return d.s.outlook(ctx)
}

// Order gives an order, or with DryRun says what it would do. Of very many deliveries
// it names some; all says for how many it was.
func (d *Desk) Order(ctx context.Context, o Order) (done []Done, all int, err error) {
	out, err := d.s.order(ctx, &orderInput{o})
	if err != nil {
		return nil, 0, err
	}
	return out.Body, out.Total, nil
}

// Sites returns a page of destinations.
func (d *Desk) Sites(ctx context.Context, name string, most, idle bool, from, limit int) (SitePage, error) {
	sort := "trouble"
	if most {
		sort = "waiting"
	}
	out, err := d.s.destinations(ctx, &destinationsInput{Name: name, Sort: sort, Idle: idle, From: from, Limit: limit})
	if err != nil {
		return SitePage{}, err
	}
	return out.Body, nil
}

// Pause has a destination left alone, or with DryRun says which that would be.
func (d *Desk) Pause(ctx context.Context, o Steer) ([]Site, error) {
	return steeredSites(d.s.pause(ctx, &steerInput{o}))
}

// Resume has it tried again.
func (d *Desk) Resume(ctx context.Context, o Steer) ([]Site, error) {
	return steeredSites(d.s.resume(ctx, &steerInput{o}))
}

func steeredSites(out *steerOutput, err error) ([]Site, error) {
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}

// Configuration is what is in force; false: it is not told.
func (d *Desk) Configuration() (Configuration, bool) {
	if d.s.o.Tools == nil {
		return Configuration{}, false
	}
	return d.s.o.Tools.o.Config(), true
}

// Lint looks for traps in the schedules in force.
func (d *Desk) Lint(ctx context.Context) ([]Linted, error) {
	out, err := d.s.o.Tools.lint(ctx, &lintInput{})
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}

// Work does something that takes the processor when its turn has come, and does not
// wait for it too long.
func Work[T any](ctx context.Context, d *Desk, do func() (T, error)) (T, error) {
	if d.s.o.Tools == nil {
		return do()
	}
	return work(ctx, d.s.o.Tools, do)
}

// Allow lets somebody past one rule for a while.
func (d *Desk) Allow(ctx context.Context, a Allow) (policy.Allowed, error) {
	out, err := d.s.allow(ctx, &allowInput{a})
	if err != nil {
		return policy.Allowed{}, err
	}
	return out.Body, nil
}

// Show shows a row as lists do, and what the queue is doing about it.
func (d *Desk) Show(row spool.Row, now time.Time) Delivery { return d.s.show(row, now) }

// Whys says in a word why a delivery waits; it remembers what replies mean, and is
// for one goroutine.
func (d *Desk) Whys() func(custody.Delivery) string {
	w := whys{}
	return func(c custody.Delivery) string {
		if sites := d.s.o.Destinations; sites != nil {
			if _, ok := sites.Paused(c); ok {
				return whyPaused
			}
		}
		why, _ := w.of(c)
		return why
	}
}

// Trying reports whether an attempt of a delivery is under way.
func (d *Desk) Trying(c custody.Delivery) bool {
	trying, _ := d.s.o.Queue.Doing(c)
	return trying
}

// History is a message with all that is known of it.
type History struct {
	Message custody.Message
	Traces  []Trace // those that wait first, then by number
	More    int     // deliveries that are not among Traces
}

// History returns a message with the timelines of at most n of its deliveries; of
// a delivery's id that one alone. spool.ErrUnknown if it was never here, or so long
// ago that it is forgotten.
func (d *Desk) History(ctx context.Context, id string, n int, now time.Time) (h History, err error) {
	m, one, err := named1(id)
	if err != nil {
		return h, err
	}
	all, err := d.s.o.Store.History(ctx, m)
	if err != nil {
		return h, err
	}
	h.Message = all.Message
	rows := all.Deliveries
	if !one.Message.IsZero() {
		rows = slices.DeleteFunc(slices.Clone(rows), func(r spool.Row) bool { return r.Delivery.ID != one })
		if len(rows) == 0 {
			return h, spool.ErrUnknown
		}
	}
	slices.SortStableFunc(rows, func(a, b spool.Row) int {
		return bit(!a.Left.IsZero()) - bit(!b.Left.IsZero())
	})
	h.More = max(len(rows)-n, 0)
	for _, row := range rows[:len(rows)-h.More] {
		h.Traces = append(h.Traces, trace(all, row, d.s.show(row, now), d.s.o.Schedule(row.Delivery)))
	}
	return h, nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// named1 reads the id of a message or of a delivery; one is zero for a message.
func named1(id string) (m custody.ID, one custody.DeliveryID, err error) {
	if m, err = custody.ParseID(id); err == nil {
		return m, one, nil
	}
	one, err = custody.ParseDeliveryID(id)
	return one.Message, one, err
}

// headersMost bounds the header that is shown, in octets.
const headersMost = 64 << 10

// Headers returns the header of a message that still waits, as it came, without the
// body. spool.ErrUnknown once it has left.
func (d *Desk) Headers(ctx context.Context, id custody.ID) (head string, whole bool, err error) {
	b, err := d.s.o.Store.Body(ctx, id)
	if err != nil {
		return "", false, err
	}
	defer b.Close()
	buf := make([]byte, min(b.Size(), headersMost))
	n, err := b.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", false, fmt.Errorf("api: header of %s: %w", id, err)
	}
	h, _, whole := bytes.Cut(buf[:n], []byte("\r\n\r\n"))
	return string(h), whole || int64(n) == b.Size(), nil
}

// Letter is what the sender would be told of a delivery as it stands: the words of
// our notices, without what is for administrators.
func (d *Desk) Letter(ctx context.Context, id custody.DeliveryID, now time.Time) (string, error) {
	h, err := d.s.o.Store.History(ctx, id.Message)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(h.Deliveries, func(r spool.Row) bool { return r.Delivery.ID == id })
	if i < 0 {
		return "", spool.ErrUnknown
	}
	del := d.s.over(h.Deliveries[i].Delivery)
	n := notice.News{
		Message: h.Message, Delivery: del, Entries: h.Timeline(id), Schedule: d.s.o.Schedule(del), Now: now.Local(), ID: "1@" + d.s.o.Hostname(),
	}
	for i, r := range del.Rcpts {
		if r.State != custody.Parted && r.State != custody.Removed {
			n.Rcpts = append(n.Rcpts, i)
		}
	}
	n.Kind = kindOf(del)
	if len(n.Rcpts) == 0 || n.Kind == custody.NoKind {
		return "", nil
	}
	if n.Kind == custody.Delayed {
		n.Rcpts = del.Pending()
		_, n.Blocked = d.s.o.Queue.Doing(del)
	}
	o := notice.Options{Hostname: d.s.o.Hostname()}
	if d.s.o.Notices != nil {
		o = d.s.o.Notices()
	}
	r, _, err := dsn.Read(notice.Compose(o, n).Bytes)
	if err != nil {
		return "", fmt.Errorf("api: letter about %s: %w", id, err)
	}
	text, _, _ := strings.Cut(r.Text, "\n---")
	return strings.TrimSpace(text), nil
}

// kindOf is the kind of letter that tells how a delivery stands.
func kindOf(d custody.Delivery) custody.Kind {
	if len(d.Pending()) > 0 {
		return custody.Delayed
	}
	kind := custody.NoKind
	for _, r := range d.Own() {
		switch r.State {
		case custody.Refused, custody.Expired:
			return custody.Failed
		case custody.HandedOver:
			kind = custody.Relayed
			if r.Last.Taken == custody.Mailbox {
				kind = custody.Delivered
			}
		}
	}
	return kind
}

package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider/postrider/custody"
)

// Happening is an event and the mail that it happened to.
type Happening struct {
	// ID names it in the feed: of all that one entry brought, the last one bears it.
	ID        string `json:"-"`
	Message   string `json:"message"`
	MessageID string `json:"message_id,omitempty"`
	From      string `json:"from"`             // the return path; empty: null
	Domain    string `json:"domain,omitempty"` // of the recipients; empty: a message for several came in
	Event
}

const (
	feedRecords = 4096     // entries kept for those who come back
	feedWeight  = 16 << 20 // octets that they may hold, roughly
	feedRest    = 5 * time.Minute
	feedMost    = 64 // who may listen at a time
	feedAtOnce  = 64 // entries handed out at a time
)

// Errors of the feed.
var (
	ErrCrowded = fmt.Errorf("watch: %d listen already", feedMost)
	errNoID    = errors.New("watch: not an id of this feed")
)

// Slow ends a Listener that was too slow for what happens: the entries that it
// had still to read are no longer kept.
type Slow struct{ Missed uint64 }

// Error says how much was missed.
func (s Slow) Error() string {
	return fmt.Sprintf("watch: listener too slow: %d entries are no longer kept", s.Missed)
}

// Feed hands entries to whoever listens, as they happen. It keeps the last of them
// so that who comes back misses nothing, and nothing at all while nobody has
// listened for five minutes: then a step costs it one look at a flag.
//
// Nobody who reads slowly holds up a step: each Listener has its own place in what
// is kept, and is ended when that is gone.
type Feed struct {
	live atomic.Bool

	mu        sync.Mutex
	epoch     string // of the ids: another one each time that keeping begins
	epochs    int64
	kept      []*record
	first     uint64 // number of kept[0]
	weight    int
	listeners []*Listener
	rest      *time.Timer // nil: somebody listens, or nothing is kept
}

// record is one entry, or one message that came in.
type record struct {
	message  custody.Message
	came     []custody.Delivery // nil: a step
	delivery custody.Delivery
	entry    custody.Entry
}

// NewFeed makes a Feed that nobody listens to.
func NewFeed() *Feed { return &Feed{epochs: time.Now().UnixMilli()} }

// Accepted notes a message that came in.
func (f *Feed) Accepted(m custody.Message, ds []custody.Delivery) {
	if f.live.Load() {
		f.keep(&record{message: m, came: ds})
	}
}

// Stepped notes a step of a delivery.
func (f *Feed) Stepped(m custody.Message, d custody.Delivery, e custody.Entry) {
	if f.live.Load() {
		f.keep(&record{message: m, delivery: d, entry: e})
	}
}

// size is roughly how many octets a record holds.
func (r *record) size() int {
	n := 1<<10 + 400*len(r.delivery.Rcpts)
	for _, d := range r.came {
		n += 1<<10 + 400*len(d.Rcpts)
	}
	return n
}

func (f *Feed) keep(r *record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epoch == "" { // it came to rest meanwhile
		return
	}
	f.kept = append(f.kept, r)
	f.weight += r.size()
	for len(f.kept) > feedRecords || f.weight > feedWeight && len(f.kept) > 1 {
		f.weight -= f.kept[0].size()
		f.kept[0] = nil
		f.kept = f.kept[1:]
		f.first++
	}
	for _, l := range f.listeners {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Filter chooses happenings; the zero value takes all.
type Filter struct {
	Message  custody.ID
	Delivery custody.DeliveryID // with it, what happened to the whole message as well
	Domain   string             // of the recipients, in canonical form
	Kinds    []string
}

// Listener reads a Feed from one place on. Close it.
type Listener struct {
	f      *Feed
	filter Filter
	epoch  string // while somebody listens it stays the same
	at     uint64
	wake   chan struct{}
}

// Listen begins to read: behind the happening of that id, or with what happens
// next if it is empty. Gap reports that entries between that id and now may be
// missing: it is too long ago. ErrCrowded: too many listen.
func (f *Feed) Listen(after string, filter Filter) (l *Listener, gap bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.listeners) >= feedMost {
		return nil, false, ErrCrowded
	}
	if f.rest != nil {
		f.rest.Stop()
		f.rest = nil
	}
	if f.epoch == "" {
		f.epochs++
		f.epoch = strconv.FormatInt(f.epochs, 36)
		f.live.Store(true)
	}
	l = &Listener{f: f, filter: filter, epoch: f.epoch, at: f.next(), wake: make(chan struct{}, 1)}
	if after != "" {
		n, err := f.number(after)
		if err == nil && n+1 >= f.first && n < f.next() {
			l.at = n + 1
		} else {
			gap = true
		}
	}
	f.listeners = append(f.listeners, l)
	return l, gap, nil
}

func (f *Feed) next() uint64 { return f.first + uint64(len(f.kept)) }

// number reads an id that was given since keeping began.
func (f *Feed) number(id string) (uint64, error) {
	epoch, n, ok := strings.Cut(id, "-")
	if !ok || epoch != f.epoch {
		return 0, errNoID
	}
	return strconv.ParseUint(n, 10, 64)
}

// Next waits for what is to be read and returns it, with the id of the place
// reached. It may return nothing but a new place, where the filter took nothing.
// The error is ctx's, or Slow.
func (l *Listener) Next(ctx context.Context) (all []Happening, id string, err error) {
	for {
		batch, from, err := l.take()
		if err != nil {
			return nil, "", err
		}
		for i, r := range batch {
			id = l.epoch + "-" + strconv.FormatUint(from+uint64(i), 10)
			all = append(all, r.read(l.filter, id)...)
		}
		if len(batch) > 0 {
			return all, id, nil
		}
		select {
		case <-l.wake:
		case <-ctx.Done():
			return nil, "", context.Cause(ctx)
		}
	}
}

// take takes what there is, as far as one answer goes.
func (l *Listener) take() (batch []*record, from uint64, err error) {
	f := l.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if l.at < f.first {
		return nil, 0, Slow{f.first - l.at}
	}
	from = l.at
	rest := f.kept[l.at-f.first:]
	batch = slices.Clone(rest[:min(len(rest), feedAtOnce)])
	l.at += uint64(len(batch))
	return batch, from, nil
}

// Close ends the reading. When nobody else reads, what is kept is soon forgotten.
func (l *Listener) Close() {
	f := l.f
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners = slices.DeleteFunc(f.listeners, func(o *Listener) bool { return o == l })
	if len(f.listeners) > 0 || f.rest != nil || f.epoch == "" {
		return
	}
	f.rest = time.AfterFunc(feedRest, f.settleDown)
}

// settleDown stops keeping, if nobody has come meanwhile.
func (f *Feed) settleDown() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rest == nil {
		return
	}
	f.live.Store(false)
	f.rest, f.epoch, f.kept, f.first, f.weight = nil, "", nil, 0, 0
}

// read returns what a filter takes of a record.
func (r *record) read(f Filter, id string) []Happening {
	if !f.Message.IsZero() && r.message.ID != f.Message || !f.Delivery.Message.IsZero() && r.message.ID != f.Delivery.Message {
		return nil
	}
	var all []Happening
	if r.came != nil {
		all = happened(f, r.message, r.came, Accept(r.message))
	} else if f.Delivery.Message.IsZero() || r.delivery.ID == f.Delivery {
		all = happened(f, r.message, []custody.Delivery{r.delivery}, Events(r.entry, r.delivery.Rcpts)...)
	}
	if len(all) > 0 {
		all[len(all)-1].ID = id
	}
	return all
}

// happened tells of the events of a message that a filter takes; ds is where it goes.
func happened(f Filter, m custody.Message, ds []custody.Delivery, events ...Event) []Happening {
	if f.Domain != "" && !slices.ContainsFunc(ds, func(d custody.Delivery) bool { return d.Domain == f.Domain }) {
		return nil
	}
	var all []Happening
	for _, e := range events {
		if len(f.Kinds) > 0 && !slices.Contains(f.Kinds, e.Kind) {
			continue
		}
		h := Happening{Message: m.ID.String(), MessageID: m.MessageID, From: m.Envelope.From.String(), Event: e}
		if len(ds) == 1 {
			h.Domain = ds[0].Domain
		}
		if e.Kind == Accepted {
			for _, d := range ds {
				for _, r := range d.Rcpts {
					h.Recipients = append(h.Recipients, r.Address.String())
				}
			}
		}
		all = append(all, h)
	}
	return all
}

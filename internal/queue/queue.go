// Package queue is the half that delivers: it takes what is due from the spool,
// asks custody what to do, has it carried out, and stores what followed.
//
// It decides nothing about a message: each decision is custody.Step's, and what
// it asks for is written in one stroke with the new state. What the queue does
// decide is when a destination is spoken to: how many connections at a time, and
// how often a dead one is knocked at. It never writes before an attempt, keeps
// in memory only what is being tried, and lets no destination wait for another.
//
// A delivery's way through the package: fetch (dispatch.go) takes it from the
// spool, serve (serve.go) has it tried, conclude (conclude.go) stores the end of
// it. What is known of a destination stands in site.go, what an operator keeps from
// being tried in pause.go, what waits for its turn and is warned of in turns.go, and
// what is shown of it all in sites.go and rows.go. Start reading at [Queue.Run], then
// serve.
package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/notice"
)

// Courier finds the way and makes the attempts.
type Courier interface {
	// Way finds where the mail of a lane goes now. It may ask the DNS.
	Way(ctx context.Context, domain, via string) custody.Way
	// Carry makes one attempt to hand a message on for the pending recipients of
	// some of its deliveries, all of which have this way. It answers one attempt
	// for each of them, in their order; after ctx has ended it may answer nil.
	Carry(ctx context.Context, w custody.Way, m custody.Message, ds []custody.Delivery, body io.ReaderAt) []custody.Attempt
}

// Rules are what the configuration says about mail; they are asked at each step,
// so that a changed configuration governs mail already queued.
type Rules interface {
	// Schedule is the clock of a delivery.
	Schedule(d custody.Delivery) custody.Schedule
	// Notices says how our letters are written.
	Notices() notice.Options
	// PostmasterCopy is who is told of failures that nobody else can be told of;
	// null: nobody.
	PostmasterCopy() mail.Address
	// Deliveries opens the deliveries of a letter of ours: aliases resolved, one
	// for each domain.
	Deliveries(m custody.Message, to mail.Address) []custody.Delivery
	// Sign returns the fields by which we vouch for a letter, to be put before it;
	// none if there is no key for them.
	Sign(letter []byte) []byte
}

// Pauses keeps over a restart which destinations are paused. What it answered
// without an error is on disk.
type Pauses interface {
	All() (map[string]Pause, error) // by name; those that can be read, also with an error
	Put(name string, p Pause) error
	Forget(name string) error
}

// Options of a Queue.
type Options struct {
	Store   spool.Store
	Courier Courier
	Rules   Rules
	// Connections bounds the attempts under way at a time; 0: 500. Destinations
	// that have not answered yet get at most half of them, and an attempt that takes
	// longer than a second is waited for outside of them, so that no number of dead
	// or slow hosts holds up the living. Ten times as many may be waited for.
	Connections int
	// PerSite bounds those to one destination, unless its Way says otherwise; 0: 20.
	PerSite int
	// Grace is how long attempts under way may go on when the queue stops; 0: 10 s.
	Grace  time.Duration
	Pauses Pauses // nil: a restart forgets them
	// Watch sees each step when it is stored; nil: nobody does.
	Watch func(spool.Item, custody.Entry)
	Log   *slog.Logger // what an operator must act on; nil: slog.Default
}

// Queue delivers what the store holds. Make it with New.
type Queue struct {
	o Options

	book    *book
	counter counter
	steer   sync.Mutex // one pause or resume at a time
	resumed []Pause    // before the last end, and not finished; New's and Run's

	marked map[custody.DeliveryID][]marked // by the last process, until recollect; New's and Run's

	kick    chan struct{}  // something may be due
	results chan result    // attempts to be concluded
	shared  chan result    // the same, of what many deliveries share: nobody waits for it
	work    sync.WaitGroup // workers and helpers

	mu       sync.Mutex
	sites    map[string]*site
	lanes    map[string]*lane
	inflight map[custody.DeliveryID]*item
	pauses   map[string]*Pause    // in force, by name
	over     map[string]time.Time // when others were lately taken back
	readers  []*reader
	splits   map[custody.ID]uint16 // highest numbers given in the stroke under way; settle's alone
	missed   time.Time             // when there was mail, perhaps, that the store did not hand on
	finding  int                   // look-ups of ways under way
	hungry   []*site               // destinations with mail and room for one more connection, in turn
	active   int                   // attempts under way
	unproven int                   // of these, to destinations that have not answered yet
	patient  int                   // attempts beside these: that take long
	held     int                   // octets of bodies kept in memory
	ctx      context.Context
	stopped  bool // nothing new is begun, no order taken

	tallies map[custody.ID]*tally // of the stroke under way; settle's alone
}

// item is a delivery that has been taken from the store and is not settled yet.
type item struct {
	d      custody.Delivery
	site   *site   // before which it was put; nil: before none
	early  bool    // its destination answers again: it need not be due (custody.Due.Early)
	aside  string  // why it is left alone until a restart; "": it is not
	orders []order // given meanwhile; they wait for the outcome
}

// load is what shares one transaction: deliveries of one message with the same way.
type load struct {
	message custody.Message
	items   []*item
	body    []byte      // nil: open it in the store
	due     time.Time   // the wake of its first item
	way     custody.Way // of its site when it was taken from there
}

// New makes a Queue; Run starts it.
func New(o Options) *Queue {
	if o.Connections == 0 {
		o.Connections = 500
	}
	if o.Grace == 0 {
		o.Grace = 10 * time.Second
	}
	if o.PerSite == 0 {
		o.PerSite = 20
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Watch == nil {
		o.Watch = func(spool.Item, custody.Entry) {}
	}
	q := &Queue{
		o:        o,
		book:     newBook(),
		pauses:   map[string]*Pause{},
		over:     map[string]time.Time{},
		kick:     make(chan struct{}, 1),
		results:  make(chan result, strokes),
		shared:   make(chan result, few),
		sites:    map[string]*site{},
		lanes:    map[string]*lane{},
		inflight: map[custody.DeliveryID]*item{},
		splits:   map[custody.ID]uint16{},
		marked:   map[custody.DeliveryID][]marked{},
	}
	q.recall(o.Pauses)
	q.claim()
	return q
}

// Run delivers until ctx ends, then waits for the attempts under way, but no
// longer than Grace: what is cut short then will be made again. It returns an
// error only if the store can keep no more promises.
func (q *Queue) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	q.mu.Lock()
	q.ctx = work
	q.mu.Unlock()

	var broken error
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		if broken = q.settle(); broken != nil {
			stop()
			cut()
			for batch := q.gather(); len(batch) > 0; batch = q.gather() {
				for _, r := range batch { // nobody may be left waiting
					r.end()
				}
			}
		}
	}()
	q.recollect(work)
	q.goOn(work)
	q.aside(func() { q.warnInTurn(ctx) })
	q.dispatch(ctx)
	q.mu.Lock()
	q.stopped = true
	q.mu.Unlock()
	grace := time.AfterFunc(q.o.Grace, cut)
	defer grace.Stop()
	q.work.Wait()
	close(q.results)
	close(q.shared)
	<-settled
	if broken != nil {
		q.refuse(broken)
		return fmt.Errorf("queue: %w", broken)
	}
	q.refuse(errStopping)
	return nil
}

// Wake makes the queue look for due mail now.
func (q *Queue) Wake() {
	select {
	case q.kick <- struct{}{}:
	default:
	}
}

// takeOut takes a delivery as it now is, so that nobody else steps it; false if
// it is taken already, has left, or cannot be read.
func (q *Queue) takeOut(ctx context.Context, id custody.DeliveryID) (spool.Item, bool) {
	q.mu.Lock()
	if q.inflight[id] != nil {
		q.mu.Unlock()
		return spool.Item{}, false
	}
	q.inflight[id] = &item{}
	q.mu.Unlock()
	it, err := q.o.Store.Item(ctx, id)
	if err != nil {
		q.putBack(id)
		return spool.Item{}, false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sees(it.Delivery.Lane())
	return it, true
}

// putBack ends what takeOut or due began. Orders that came meanwhile are carried
// out before anything else is.
func (q *Queue) putBack(id custody.DeliveryID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.untake(id)
}

// untake is putBack under the lock.
func (q *Queue) untake(id custody.DeliveryID) {
	for _, r := range q.readers {
		r.passed[id] = true
	}
	it := q.inflight[id]
	if it == nil || len(it.orders) == 0 || q.stopped {
		delete(q.inflight, id)
		it.answer(errStopping)
		return
	}
	q.carryOut(id, it)
}

// carryOut has the orders for a delivery, which is taken, carried out on it as it
// is stored now.
func (q *Queue) carryOut(id custody.DeliveryID, it *item) {
	q.aside(func() {
		now, err := q.o.Store.Item(context.Background(), id)
		q.mu.Lock()
		if err != nil {
			defer q.mu.Unlock()
			if errors.Is(err, spool.ErrUnknown) {
				err = ErrGone
			}
			delete(q.inflight, id)
			it.answer(err)
			return
		}
		it.d = now.Delivery
		q.sees(it.d.Lane())
		q.mu.Unlock()
		q.results <- result{message: now.Message, items: []*item{it}}
	})
}

// taken reports whether a delivery is being worked on.
func (q *Queue) taken(id custody.DeliveryID) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.inflight[id] != nil
}

// Doing reports whether an attempt for the delivery is under way or about to
// begin, and else why none may although nobody holds it; "" if one may.
func (q *Queue) Doing(d custody.Delivery) (trying bool, blocked string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it := q.inflight[d.ID]; it != nil {
		return it.aside == "", it.aside
	}
	if p := q.pauseAt(d); p != nil {
		return false, p.String()
	}
	l := q.lanes[d.Lane()]
	if l == nil || l.way.None != nil {
		return false, ""
	}
	if s := q.sites[l.way.Site]; s != nil {
		now := time.Now()
		if blocked, _ = s.blocked(now, false); blocked == "" && s.room() <= 0 && isDue(d, now) {
			blocked = inTurn
		}
	}
	return false, blocked
}

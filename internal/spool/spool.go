// Package spool is the safe keeping of mail: the one place where the half that
// receives and the half that delivers meet. What Commit or Settle acknowledged
// survives the next kill and the next power cut; what they did not acknowledge
// leaves no trace.
//
// A Store keeps messages, their deliveries, the order in which these want to be
// woken, and the timeline of each message until some days after it left. It
// decides nothing: which delivery is tried, and what follows from it, is said by
// package custody and carried out by package queue.
//
// Package local is the default store, package spooltest the test that every
// store passes. Start reading at [Store].
package spool

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
)

// Errors of a Store, to be asked for by errors.Is.
var (
	// ErrFull: there is no room, on the disk or for one more open file, and nothing was
	// stored. Answer 452 4.3.1; it passes when there is.
	ErrFull = errors.New("spool: no room")
	// ErrBroken: the store met a fault (a failed write or fsync) after which it
	// promises nothing more before it is opened again. Answer 451 4.3.0.
	ErrBroken = errors.New("spool: broken")
	// ErrUnknown: no such message or delivery, or it is gone from the history.
	ErrUnknown = errors.New("spool: unknown")
	// ErrInUse: another process owns the store.
	ErrInUse = errors.New("spool: in use")
)

// Store keeps mail. All methods may be called from several goroutines at once.
type Store interface {
	// Begin opens a draft of a message of about size octets, 0 if unknown. It
	// answers ErrFull if the store has no room for it.
	Begin(ctx context.Context, size int64) (Draft, error)

	// Fresh hands on deliveries that Commit or Settle has just stored and whose
	// first try is due at once, with the body while it is at hand. When the
	// channel is full they simply wait in the index, to be found by Due.
	Fresh() <-chan Fresh

	// Lanes returns up to n lanes (custody.Delivery.Lane) that hold a delivery
	// whose wake is not after until, earliest wake first, those for which skip
	// answers true left out (nil: none). A zero until stands for all time: then
	// the first lane tells when there is something to do next.
	Lanes(ctx context.Context, until time.Time, n int, skip func(lane string) bool) ([]Lane, error)

	// Due returns up to n deliveries of a lane whose wake is not before from and not
	// after until (zero: any), earliest first, those for which skip answers true left
	// out (nil: none). It writes nothing.
	Due(ctx context.Context, lane string, from, until time.Time, n int, skip func(custody.DeliveryID) bool) ([]Item, error)

	// Queued names the deliveries of a lane that have a wake, in the order in which
	// their messages were accepted.
	Queued(ctx context.Context, lane string) ([]custody.DeliveryID, error)

	// Item returns a delivery that waits. ErrUnknown if it has left.
	Item(ctx context.Context, id custody.DeliveryID) (Item, error)

	// Body opens the bytes of a message. ErrUnknown once no delivery of it waits.
	Body(ctx context.Context, id custody.ID) (Body, error)

	// Settle carries out steps: for each the delivery's new state, its wake, its
	// entries and the letters they asked for, all or nothing. It returns when
	// they are durable; several calls share one flush. The errors stand in the
	// order of the steps; nil if all went well. After ErrFull a step may be settled
	// again; any other error than that, ErrBroken and that of ctx is about the step
	// itself (it is too long, its delivery has left) and comes again with it. Only the
	// queue settles, and never one delivery twice at a time.
	Settle(ctx context.Context, steps []Step) []error

	// Find yields what fits the query, waiting deliveries by id, then departed
	// ones if asked for, newest first.
	Find(ctx context.Context, q Query) iter.Seq2[Row, error]

	// History returns a message with all its deliveries, waiting and departed,
	// and its timeline in order. ErrUnknown if it was never here or its history
	// has been pruned.
	History(ctx context.Context, id custody.ID) (History, error)

	// Entries returns the timeline of a message alone, in order. One that was never
	// here, or has been pruned, has none.
	Entries(ctx context.Context, id custody.ID) ([]custody.Entry, error)

	// Prune forgets the history of messages that left before the given moment.
	Prune(ctx context.Context, before time.Time) error

	Health(ctx context.Context) Health
	Close() error
}

// Marker is a Store that remembers attempts over a kill of the process before they are
// settled. It promises nothing beyond that: a power cut may lose them.
type Marker interface {
	// Mark remembers an attempt at once, without waiting for a disk, until settled is
	// called.
	Mark(e custody.Entry) (settled func())
	// Marked returns, once, what the last process had marked and not settled, each
	// with what is to be called when it is.
	Marked() (es []custody.Entry, settled []func())
}

// Draft receives the bytes of one message. It never holds a large one in memory.
type Draft interface {
	io.Writer
	// ReadAt reads what was written so far, before Commit and Abort.
	io.ReaderAt
	// Size is the number of octets written so far.
	Size() int64
	// Commit stores the message with its deliveries and returns when both are
	// durable: then, and only then, 250 may be answered. After an error nothing
	// of it is stored. Committing the same ID again is no error and changes
	// nothing.
	Commit(ctx context.Context, m custody.Message, ds []custody.Delivery) error
	// Abort drops the draft. After Commit it does nothing.
	Abort()
}

// Fresh is a message just stored, on its way to the first try.
type Fresh struct {
	Items []Item
	Body  []byte    // the whole message if it was small; nil: open it with Store.Body
	At    time.Time // no look at the store that had ended by then has seen it
}

// Item is a delivery with the message that it carries.
type Item struct {
	Message  custody.Message
	Delivery custody.Delivery
	Wake     time.Time // when the index wakes it; zero: never by itself
}

// Lane is a destination with something to wake.
type Lane struct {
	Name string
	Wake time.Time // of its earliest delivery
}

// Body is the stored bytes of one message.
type Body interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Step is one or more steps of custody taken with a delivery, to be stored.
type Step struct {
	Delivery custody.Delivery // as it is after them
	Wake     time.Time        // when it wants to be woken; zero: never by itself
	Closed   bool             // nothing is owed any more: it leaves the queue for the history
	Split    []Split          // new deliveries of the same message, taken out of this one
	Entries  []custody.Entry  // may be empty: a new wake alone
	Letters  []Letter
}

// Split is a delivery taken out of another.
type Split struct {
	Item
	Closed bool // it is settled already
}

// Letter is a message of our own, stored by the step that caused it.
type Letter struct {
	Message    custody.Message
	Deliveries []custody.Delivery
	Body       []byte
}

// Query says what to find. The zero Query finds every waiting delivery.
type Query struct {
	ID        string             // message or delivery id, whole
	MessageID string             // header Message-ID, without angle brackets
	From, To  string             // address, or "@domain"; compared without regard to case
	Domain    string             // of the recipients
	State     string             // "waiting" or "held"; "": both
	Reply     string             // words of the last reply to a recipient that [Row.Concerns], without regard to case
	Before    time.Time          // accepted before it
	Departed  bool               // also what has left, as far as the history goes
	Limit     int                // 0: no limit
	After     custody.DeliveryID // start behind this one, whether it still waits or not
	AfterLeft time.Time          // Left of its row, where it had left when it was found: what waits is passed over
}

// Row is one find.
type Row struct {
	Item
	Left time.Time // when it left the queue; zero: it waits
}

// Concerns reports whether a row is about a recipient: while it waits about those that
// are still ours, once it has left about all that did not part.
func (r *Row) Concerns(c custody.Recipient) bool {
	return c.State == custody.Pending || !r.Left.IsZero() && c.State != custody.Parted
}

// History is all that is known of one message.
type History struct {
	Message    custody.Message
	Deliveries []Row
	Entries    []custody.Entry // in the order of the steps
}

// Timeline returns the entries about a delivery: those filed under it and, if it
// was split from another, those of that one from before the split.
func (h History) Timeline(id custody.DeliveryID) []custody.Entry {
	of := map[custody.DeliveryID]custody.DeliveryID{}
	for _, row := range h.Deliveries {
		if d := row.Delivery; d.Of != 0 {
			of[d.ID] = custody.DeliveryID{Message: d.ID.Message, N: d.Of}
		}
	}
	first := map[custody.DeliveryID]int{}
	for i, e := range slices.Backward(h.Entries) {
		first[e.Delivery] = i
	}
	var es []custody.Entry
	for i, e := range slices.Backward(h.Entries) {
		// Its first entry is the order that split it: before that it was its parent.
		if parent, split := of[id]; split && i < first[id] {
			id = parent
		}
		if e.Delivery == id {
			es = append(es, e)
		}
	}
	slices.Reverse(es)
	return es
}

// Health says how the store is, in words for people.
type Health struct {
	Durability string // what 250 means here: "fsynced here"
	Waiting    int64  // deliveries in the queue
	Messages   int64  // messages in the queue
	Bytes      int64  // octets on disk
	Free       int64  // octets that are free
	Fault      string // why the store takes nothing; "" if it does
}

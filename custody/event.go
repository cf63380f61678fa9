package custody

import "time"

// Event is what happens to a delivery: [Due], [Tried] or [Ordered]. Nothing
// steps a delivery while an attempt of it is under way; warnings and orders wait
// for its outcome.
type Event interface{ when() time.Time }

// Due says that the time has come which Wake named.
type Due struct {
	At time.Time
	// Blocked says why no try may begin now although one is due: the destination
	// is paused, or it is known to be dead and was tried for others just now. A
	// try is postponed by it, a warning never. "": not blocked.
	Blocked string
	// Until is when a blocked try may begin, as far as that is known. It never
	// puts off a try past a deadline that is still ahead.
	Until time.Time
	// Early lets a try begin before its time: the destination answers again. It is
	// for what met only silence there, and for what was never tried: the words of a
	// host are obeyed as they were meant.
	Early bool
}

// Tried says what an attempt brought.
type Tried struct {
	At      time.Time // when it ended
	Attempt Attempt
}

// Ordered says what an operator wants.
type Ordered struct {
	At    time.Time
	By    string // who
	Why   string // in their words
	Order Order
	Via   string // Reroute: the next hop as in a route's "to"; "": back to the routes
	// Until is the deadline that Life sets; zero: back to that of the schedule.
	Until time.Time
}

func (e Due) when() time.Time     { return e.At }
func (e Tried) when() time.Time   { return e.At }
func (e Ordered) when() time.Time { return e.At }

// Order is what an operator may want of a delivery.
type Order uint8

const (
	NoOrder      Order = iota
	OrderRetry         // try now; the schedule goes on as if nothing had been
	OrderHold          // keep it, do not try
	OrderRelease       // end the hold, then one try at once
	OrderGiveUp        // return it to the sender now
	OrderRemove        // drop it, tell nobody
	OrderReroute       // send it by another next hop
	OrderLife          // keep it until another deadline
	OrderWarn          // tell the sender of the delay now
)

var orderNames = [...]string{"", "retry", "hold", "release", "giveup", "remove", "reroute", "life", "warn"}

// String returns the order as the command that gives it is called.
func (o Order) String() string { return nameOf(orderNames[:], int(o)) }

// MarshalText writes the order as String does.
func (o Order) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads what MarshalText wrote; an unknown word is NoOrder.
func (o *Order) UnmarshalText(b []byte) error {
	*o = NoOrder
	for i, n := range orderNames {
		if n == string(b) {
			*o = Order(i)
		}
	}
	return nil
}

// Duty is what Step asks to be done: [Try], [Tell] or [Close]. Tell and Close
// are carried out in one stroke with the new delivery, or not at all.
type Duty interface{ duty() }

// Try asks for an attempt for the recipients that are pending.
type Try struct {
	Last bool // at or after the deadline: if it is not taken now, it ends, unless by a fault of ours
}

// Tell asks for a letter to the return path about some recipients.
type Tell struct {
	Kind  Kind
	Rcpts []int // indices into Delivery.Rcpts
	// Null: the return path is null, so the letter may only go to a postmaster
	// who asked for what cannot be told (RFC 5321 6.1).
	Null bool
}

// Close says that nothing is owed any more: the delivery leaves the queue.
type Close struct{}

func (Try) duty()   {}
func (Tell) duty()  {}
func (Close) duty() {}

// Kind is the kind of a letter. A letter about several recipients has the kind
// of the worst news in it.
type Kind uint8

const (
	NoKind    Kind = iota
	Delayed        // not yet delivered, still trying
	Failed         // given up or refused
	Relayed        // handed to a host that will not report further
	Delivered      // in the mailbox
	Cleared        // handed over after a delay was told
)

var kindNames = [...]string{"", "delayed", "failed", "relayed", "delivered", "cleared"}

// String returns the kind as written in JSON and logs.
func (k Kind) String() string { return nameOf(kindNames[:], int(k)) }

// MarshalText writes the kind as String does.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText wrote; an unknown word is NoKind.
func (k *Kind) UnmarshalText(b []byte) error {
	*k = NoKind
	for i, n := range kindNames {
		if n == string(b) {
			*k = Kind(i)
		}
	}
	return nil
}

// Entry is one step of a delivery as it was taken. The timeline of a message is
// the list of its entries.
type Entry struct {
	At       time.Time
	Delivery DeliveryID
	Event    Event
	Duties   []Duty
	Next     time.Time // when the next try is due after the step; zero: none is
	// Letters are the messages that told what the duties asked for, in their order. A
	// message that has had many has fewer: see Warned.
	Letters []ID
}

// Warned reports whether a letter told of the delay that the duties ask to tell of. A
// warning is the last of them, and what is not written has no letter.
func (e Entry) Warned() bool {
	tells, delayed := 0, false
	for _, d := range e.Duties {
		if t, ok := d.(Tell); ok {
			tells++
			delayed = delayed || t.Kind == Delayed
		}
	}
	return delayed && len(e.Letters) >= tells
}

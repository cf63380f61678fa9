// Package chain foretells what a chain of mail systems does with a message: who
// owns it when, who tries how often, who tells the sender what, and when, if the
// ways between them are broken for a while.
//
// It judges nothing and knows no system by itself: what another system does comes
// from package system, what a hop of ours does from package custody, whose Step it
// runs as the live queue does. The package is pure: no clock, disk, network or
// chance; a sampled world is a hash of its seed.
//
// Beside one message it foretells a load of many ([RunLoad]), what every known sender
// does while a receiver is down ([ReceiverDown]), and the traps in a policy ([Lint]).
//
// Start reading at [Scenario], then [Run].
package chain

import (
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/system"
)

// Scenario is a chain of hops, a message that enters it, and what goes wrong.
// Lengths of time count from the moment at which the first hop accepts the
// message. The zero Line of a part is not reported.
type Scenario struct {
	// Start is the moment at which the first hop accepts the message, in the zone
	// that windows on the calendar mean. Zero: no such window may be used.
	Start   time.Time
	Message Message
	// Hops are in the order in which the message passes them. The first one is the
	// sender's own; the last may be bare, with neither System nor Schedule: it
	// accepts and has the mailbox.
	Hops    []Hop
	Outages []Outage
	Back    Return
	// Words returns what a letter of one of our own hops says; nil, or "": its
	// words are not told.
	Words func(Letter) string
}

// Message is what bears on the fate of the message.
type Message struct {
	From, To mail.Address // zero: made up
	Null     bool         // the return path is null: nobody is told (RFC 5321 6.1)
	Size     int64        // octets; 0: it exceeds no limit
	Notify   mail.Notify
	// By is DELIVERBY. Hops of ours know it; of others only sendmail, and it only mode
	// R. The rest lose it, and are handed no message in mode R by who knows it (RFC
	// 2852 4.1.4).
	By mail.DeliverBy
	// Release is FUTURERELEASE: the first hop holds the message that long, and its
	// clock starts then (RFC 4865).
	Release time.Duration
}

// Hop is one mail system of the chain.
type Hop struct {
	Name string
	// System is an ID of package system. Policy, if it is not nil, counts in its
	// place: one that was read from a configuration, say.
	System string
	Policy *system.Policy
	// Schedule makes the hop ours: custody runs it. Notices is the schedule of its
	// own letters; nil: Schedule.
	Schedule, Notices *custody.Schedule
	Set               Settings
	// Backup names the hop whose backup MX this one is. It stands behind that hop
	// in the list, is asked after it, in the order of Preference, lowest first, and
	// hands on to those that are preferred to it (RFC 5321 5.1). An Equal one is
	// asked at once if the other does not answer, and hands on as the other does.
	Backup     string
	Preference int
	Equal      bool
	Delay      time.Duration // from accepting a message to the first attempt: a filter at work
	// Addresses is how many outgoing addresses the hop uses in turn; 0: one.
	// Greylisting takes each for a stranger.
	Addresses int
	// Busy: other mail takes the same way all the time. A system that counts from
	// a destination's first failure has then seen it before this message came.
	Busy bool
	Line int // of the scenario's file
}

// Bare reports whether the hop keeps nothing: it is a destination.
func (h Hop) Bare() bool {
	return h.System == "" && h.Policy == nil && h.Schedule == nil && h.Set.Expire == 0 && h.Set.Limit <= 0
}

// Settings are what an operator has changed of a system. Zero fields are as
// shipped.
type Settings struct {
	Expire   time.Duration   // how long a message is kept
	Limit    int             // failed attempts until it is given up; below 0: not counted
	Warn     []time.Duration // ages of the delay notices; empty but not nil: none
	Retry    []custody.Pace  // gaps from one attempt to the next
	Deferred []custody.Pace  // the same after a 4yz
	Notices  time.Duration   // how long its own bounces are kept
}

// Outage is a time in which one hop does not take mail from another as it should.
// Of several at the same time the one that meets the attempt first counts.
type Outage struct {
	// From and To are neighbours. From may be "": whoever comes. The letters that
	// travel back meet the outages of the other direction.
	From, To string
	When     Window
	Result   Result
	Line     int
}

// Return is the way of notices and bounces back to the sender: by default the
// chain itself, backwards.
type Return struct {
	Direct bool // from whoever writes them straight to the first hop
	// Hops is a chain of its own; its last hop has the sender's mailbox.
	Hops []Hop
}

// Limits on a scenario, so that none can hang whoever runs it.
const (
	MaxHops     = 64
	MaxOutages  = 1000
	MaxTime     = 10 * 365 * 24 * time.Hour // no length of time is longer
	MaxAttempts = 50_000                    // that one hop makes for one message; all hops with all letters twice as many
)

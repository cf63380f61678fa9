// Package watch reads the entries of the timeline for people and machines: as
// events, as log lines and as numbers. It changes nothing and keeps nothing that
// must outlive the program; everything it says is derived from entries as they were
// stored.
//
// Start reading at [Events]; [Metrics] counts them.
package watch

import (
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// Event is one thing that happened to a message, as shown in a trace.
type Event struct {
	At         time.Time     `json:"at"`
	Kind       string        `json:"kind"` // see the constants
	Delivery   string        `json:"delivery,omitempty"`
	Recipients []string      `json:"recipients,omitempty"`
	Host       string        `json:"host,omitempty"`
	IP         string        `json:"ip,omitempty"`
	Stage      mail.Stage    `json:"stage,omitzero"`
	Code       int           `json:"code,omitempty"` // 0: nobody spoke, the text is ours
	Status     mail.Status   `json:"status,omitzero"`
	Text       string        `json:"text,omitempty"` // word for word
	Trouble    string        `json:"trouble,omitempty"`
	Way        string        `json:"way,omitempty"`
	Rule       string        `json:"rule,omitempty"`
	TLS        string        `json:"tls,omitempty"`
	TookMS     int64         `json:"took_ms,omitempty"`
	Shared     bool          `json:"shared,omitempty"` // an attempt led by other mail for the same host
	Next       time.Time     `json:"next_try,omitzero"`
	Order      custody.Order `json:"order,omitzero"`
	Until      time.Time     `json:"until,omitzero"` // the deadline that an order set
	By         string        `json:"by,omitempty"`   // who gave the order
	Why        string        `json:"why,omitempty"`
	Letters    []custody.ID  `json:"letters,omitempty"` // our messages that tell of it
	Untold     bool          `json:"untold,omitempty"`  // a warning that was due and not written, for the reason in Why
}

// The kinds of events. Attempt stands before the outcomes that it brought.
const (
	Accepted  = "accepted"
	Attempt   = "attempt"
	Deferred  = "deferred"  // still ours
	Warned    = "warned"    // the sender was told of the delay, unless Untold
	Delivered = "delivered" // in the mailbox
	Relayed   = "relayed"   // the next hop has custody
	Bounced   = "bounced"   // refused, or given up by an operator
	Expired   = "expired"   // given up by the clock
	Held      = "held"
	Released  = "released"
	Removed   = "removed"
	Rerouted  = "rerouted"
	Ordered   = "ordered"
)

// Kinds are all of them, in the order in which they may come about.
func Kinds() []string {
	return []string{Accepted, Attempt, Deferred, Warned, Delivered, Relayed, Bounced, Expired, Held, Released, Removed, Rerouted, Ordered}
}

// Accept is the first event of every message.
func Accept(m custody.Message) Event {
	e := Event{At: m.Accepted, Kind: Accepted, IP: m.Came.Client, Host: m.Came.Helo, Rule: m.Came.Rule, By: m.Came.User, Way: m.Came.Protocol}
	if m.Came.Notice != custody.NoKind {
		e.By, e.Why = "postrider", m.Came.Notice.String()+" notice about "+m.Came.About.String()
	}
	return e
}

// Events reads one entry of a delivery. Rcpts are the delivery's recipients: an
// entry names them by index.
func Events(e custody.Entry, rcpts []custody.Recipient) []Event {
	base := Event{At: e.At, Delivery: e.Delivery.String(), Next: e.Next, Letters: e.Letters}
	var out []Event
	closed := false
	for _, d := range e.Duties {
		_, c := d.(custody.Close)
		closed = closed || c
	}
	switch ev := e.Event.(type) {
	case custody.Tried:
		out = tried(base, ev, rcpts, closed)
	case custody.Ordered:
		out = ordered(base, ev, rcpts, closed)
	}
	for _, d := range e.Duties {
		if t, ok := d.(custody.Tell); ok && t.Kind == custody.Delayed {
			w := base
			w.Kind, w.Recipients = Warned, names(rcpts, t.Rcpts)
			if due, ok := e.Event.(custody.Due); ok {
				w.Why = due.Blocked
			}
			if !e.Warned() {
				w.Untold, w.Letters, w.Why = true, nil, enough
			}
			out = append(out, w)
		}
	}
	return out
}

// enough is why a warning was not written.
const enough = "the sender has had ten letters about this message"

func tried(base Event, ev custody.Tried, rcpts []custody.Recipient, closed bool) []Event {
	a := ev.Attempt
	head := base
	head.At, head.Kind, head.Letters, head.Next = a.Began, Attempt, nil, time.Time{}
	head.Way, head.Rule, head.TLS, head.TookMS, head.Shared = a.Way, a.Rule, a.TLS, a.Took.Milliseconds(), a.Shared
	out := []Event{head}
	for _, o := range a.Outcomes {
		v := base
		v.At = ev.At
		v.Host, v.IP, v.Stage, v.Code, v.Status, v.Text = o.Host, o.IP, o.Stage, o.Reply.Code, o.Reply.Status, o.Reply.Text
		to := o.Rcpts
		if to == nil {
			to = open(rcpts, a.Began)
		}
		v.Recipients = names(rcpts, to)
		if v.Kind = kindOf(o, a.Shared, closed); v.Kind == Expired || v.Kind == Deferred {
			v.Trouble = o.Trouble.String()
		}
		out = append(out, v)
	}
	return out
}

// kindOf is what an outcome means for its recipients. Shared: the attempt was led by
// other mail; closed: the delivery ended with it.
func kindOf(o custody.Outcome, shared, closed bool) string {
	switch {
	case o.Taken == custody.Mailbox:
		return Delivered
	case o.Taken != custody.Nothing:
		return Relayed
	case o.Refuses() && !shared:
		return Bounced
	case closed:
		return Expired
	}
	return Deferred
}

func ordered(base Event, ev custody.Ordered, rcpts []custody.Recipient, closed bool) []Event {
	v := base
	v.Kind, v.Order, v.By, v.Why, v.Until = Ordered, ev.Order, ev.By, ev.Why, ev.Until
	switch ev.Order {
	case custody.OrderHold:
		v.Kind = Held
	case custody.OrderRelease:
		v.Kind = Released
	case custody.OrderRemove:
		v.Kind = Removed
	case custody.OrderReroute:
		v.Kind, v.Way = Rerouted, ev.Via
	case custody.OrderGiveUp:
		b := v
		b.Kind, b.Recipients = Bounced, names(rcpts, open(rcpts, ev.At))
		return []Event{v, b}
	}
	return []Event{v}
}

// open returns the recipients that were still ours at that moment.
func open(rcpts []custody.Recipient, at time.Time) []int {
	var is []int
	for i, r := range rcpts {
		if wasOpen(r, at) {
			is = append(is, i)
		}
	}
	return is
}

// wasOpen reports whether a recipient was still ours at that moment: it is now, or
// its last word came later. An operator's order leaves none.
func wasOpen(r custody.Recipient, at time.Time) bool {
	byOrder := r.State == custody.Removed || r.State == custody.Expired
	return r.State == custody.Pending || byOrder || !r.Last.At.Before(at)
}

func names(rcpts []custody.Recipient, is []int) []string {
	var out []string
	for _, i := range is {
		if i < len(rcpts) && rcpts[i].State != custody.Parted {
			out = append(out, rcpts[i].Address.String())
		}
	}
	return out
}

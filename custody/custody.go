// Package custody is the law: what becomes of a message whose final dot was
// answered with 250, from that moment until nobody owes it anything more.
//
// Whoever answered 250 owns the message, and its clock alone runs. A permanent
// refusal ends custody at once; a deferral or a dead connection only means
// "again later", until the owner's limit. One function says all of this, [Step];
// [Wake] says when it must be asked again, [Fate] and [Forecast] what it will
// answer. The queue, the simulator, every promise in a notice and the fate line
// run this same code, so they cannot disagree.
//
// The package is pure: no clock, disk, network, random number or goroutine. Times
// come in as arguments, and even jitter is a hash of the delivery.
//
// Start reading at [Step].
package custody

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// ID names a message: 48 bits of milliseconds since 1970, 16 bits of the node
// that accepted it, 64 random bits. It orders by time and is the idempotency key
// of its acceptance.
type ID [16]byte

var idText = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID makes the ID of a message accepted at that moment by that node.
func NewID(at time.Time, node uint16, random uint64) ID {
	var id ID
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16|uint64(node))
	binary.BigEndian.PutUint64(id[8:], random)
	return id
}

// IsZero reports whether the ID names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// String returns the ID in 26 characters without 'i', 'l', 'o' and 'u'.
func (id ID) String() string { return idText.EncodeToString(id[:]) }

// MarshalText writes the ID as String does.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *ID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseID(string(b))
	return err
}

// ParseID reads what String wrote.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 26 {
		return id, fmt.Errorf("custody: not a message id: %q", s)
	}
	// Base32 passes over line ends and the last character's spare bits.
	if _, err := idText.Decode(id[:], []byte(strings.ToLower(s))); err != nil || id.String() != strings.ToLower(s) {
		return ID{}, fmt.Errorf("custody: not a message id: %q", s)
	}
	return id, nil
}

// DeliveryID names one delivery of a message.
type DeliveryID struct {
	Message ID
	N       uint16 // from 1; a split takes the next free number
}

// String returns the message's ID, "-" and the number.
func (id DeliveryID) String() string { return id.Message.String() + "-" + strconv.Itoa(int(id.N)) }

// MarshalText writes the ID as String does.
func (id DeliveryID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *DeliveryID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseDeliveryID(string(b))
	return err
}

// ParseDeliveryID reads what DeliveryID.String wrote.
func ParseDeliveryID(s string) (DeliveryID, error) {
	m, n, ok := strings.Cut(s, "-")
	id, err := ParseID(m)
	if err != nil || !ok {
		return DeliveryID{}, fmt.Errorf("custody: not a delivery id: %q", s)
	}
	v, err := strconv.ParseUint(n, 10, 16)
	if err != nil {
		return DeliveryID{}, fmt.Errorf("custody: not a delivery id: %q", s)
	}
	return DeliveryID{id, uint16(v)}, nil
}

// Message is what was accepted. It never changes.
type Message struct {
	ID       ID            `json:"id"`
	Envelope mail.Envelope `json:"envelope"` // without To: recipients live in the deliveries
	Accepted time.Time     `json:"accepted"` // our 250; every age counts from here
	Came     Came          `json:"came"`
	Size     int64         `json:"size"` // octets as stored, our trace lines included
	// Told by the message's own header, cleaned, for finding it again.
	MessageID string `json:"message_id,omitempty"`
	Subject   string `json:"subject,omitempty"`
	// Parts is how many deliveries it was split into when it was accepted.
	Parts int `json:"parts,omitempty"`
}

// Came says how a message reached us.
type Came struct {
	Client   string `json:"client,omitempty"`   // address; "" if made here
	Helo     string `json:"helo,omitempty"`     // what the client called itself
	Protocol string `json:"protocol,omitempty"` // as in the Received field: ESMTP, ESMTPS, LMTP, local
	User     string `json:"user,omitempty"`     // who authenticated, or the local user
	Listener string `json:"listener,omitempty"` // the address it came in by
	Rule     string `json:"rule,omitempty"`     // the rule that let it in
	// Notice is the kind of letter if we wrote the message ourselves, About the
	// message it tells of.
	Notice Kind `json:"notice,omitempty"`
	About  ID   `json:"about,omitzero"`
}

// Delivery is one message on its way to one domain: the unit of custody.
type Delivery struct {
	ID       DeliveryID
	Of       uint16       // number of the delivery it was split from: what came before the split is filed under that; 0: none
	Domain   string       // of its recipients, in canonical form
	Via      string       // next hop ordered by an operator, as in a route's "to"; "": by the routes
	From     mail.Address // the return path; null: nobody is told
	Accepted time.Time    // ages count from here
	Deadline time.Time    // by an operator's order; zero: Accepted plus Schedule.Expire
	By       time.Time    // DELIVERBY's time; zero: none was asked for
	ByReturn bool         // at By it ends (mode R); else it is told and goes on (mode N)
	Rcpts    []Recipient
	Tries    int           // attempts that were made
	Began    time.Time     // when the last of them began
	Runs     [paces]uint16 // of these, the scheduled ones: in all, then by the list that paced them
	Next     time.Time     // when the next try is due
	Resume   time.Time     // during an ordered try: where the schedule goes on; else zero
	Warned   time.Duration // greatest age of Schedule.Warn that was told; 0: none
	ByTold   bool          // that By has passed was told
	Held     Hold          // zero: not held
	Last     Trouble       // what the last attempt met
}

// Recipient is one recipient of a delivery and what became of it.
type Recipient struct {
	mail.Recipient
	State State
	Last  Outcome // zero: not tried yet
}

// State is what became of a recipient. All but Pending are final.
type State uint8

const (
	Pending    State = iota // ours
	HandedOver              // the next hop answered 250: theirs now
	Refused                 // a permanent refusal
	Expired                 // given up by the clock, or by an operator
	Removed                 // taken out by an operator, nobody told
	Parted                  // now a recipient of another delivery, split from this one or that this one was split from
)

var stateNames = [...]string{"pending", "handed-over", "refused", "expired", "removed", "parted"}

// String returns the state as written in JSON and logs.
func (s State) String() string { return nameOf(stateNames[:], int(s)) }

// MarshalText writes the state as String does.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Hold keeps a delivery from being tried until an operator releases it. Its
// clock goes on, and warnings name the hold.
type Hold struct {
	Since time.Time // zero: not held
	By    string    // who ordered it
	Why   string    // in the operator's words
}

// IsZero reports whether there is no hold.
func (h Hold) IsZero() bool { return h.Since.IsZero() }

// Trouble is the kind of what went wrong, as far as it decides the pace of
// retries and the words of a notice.
type Trouble uint8

const (
	NoTrouble   Trouble = iota
	Unreachable         // no connection, or it broke before anything was said about this message
	Deferred            // a host answered 4yz
	Greylisted          // a host asked to come again
	Unrouted            // no next hop known for now: DNS, or configuration
	Ambiguous           // the message went out and its answer was lost: perhaps delivered
	Ours                // a fault on our side
)

var troubleNames = [...]string{"", "unreachable", "deferred", "greylisted", "unrouted", "ambiguous", "ours"}

// String returns the trouble as written in JSON and logs.
func (t Trouble) String() string { return nameOf(troubleNames[:], int(t)) }

// MarshalText writes the trouble as String does.
func (t Trouble) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return "?" + strconv.Itoa(i)
}

// Outcome is what one attempt brought for some recipients, in the words of
// whoever spoke. An attempt does not fail: it has outcomes.
type Outcome struct {
	// Rcpts are indices into Delivery.Rcpts; nil stands for all that were
	// pending when the attempt began.
	Rcpts   []int
	At      time.Time
	Host    string        // name of the next hop's host; "" if none was found
	IP      string        // address that was tried; "" if none was
	Stage   mail.Stage    // how far it came
	Reply   mail.Reply    // the words; Code 0 where nobody spoke and the words are ours
	Theirs  bool          // the host said Reply
	Trouble Trouble       // of a temporary outcome: its kind
	Hint    time.Duration // "try again in 300 seconds"; 0: none given
	Taken   Taken         // what the next hop took on with its 2yz to the final dot
	// Permanent marks words of ours that waiting will not change: no such
	// domain, null MX, a loop. A host's own words need no mark: see Reply.
	Permanent bool
}

// IsZero reports whether there was no outcome yet.
func (o Outcome) IsZero() bool { return o.At.IsZero() }

// Refuses reports a permanent refusal: the host's 5yz, or words of ours that
// waiting will not change (RFC 5321 4.2.1). A 5yz to STARTTLS or AUTH speaks of
// the connection and of us, never of the message.
func (o Outcome) Refuses() bool {
	return o.Permanent || o.Theirs && o.Reply.Permanent() && o.Stage != mail.TLS && o.Stage != mail.Auth
}

// Taken says what the next hop took on together with the message.
type Taken uint8

const (
	Nothing  Taken = iota // it did not take the message
	Onward                // custody, by a host that knows no DSN: we report "relayed" if asked (RFC 3461 5.2.2)
	Promised              // custody and the wishes of RFC 3461: it reports
	Mailbox               // final delivery (LMTP): we report "delivered" if asked
)

// Attempt is one try of one or more deliveries at one next hop.
type Attempt struct {
	Began    time.Time
	Took     time.Duration
	Way      string // kind and next hop: "mx example.com", "relay filter:25"
	Rule     string // what decided the way: "postrider.toml:12 route"
	TLS      string // version, cipher suite and how far the peer was proven; "": plain text
	Shared   bool   // another delivery of the lane led it and it ended before MAIL
	Outcomes []Outcome
}

// Lane is the key of the destination a delivery waits for: the next hop that was
// ordered for it, else its domain.
func (d Delivery) Lane() string {
	if d.Via != "" {
		return d.Via
	}
	return d.Domain
}

// Way is where the mail of a lane goes now. It is looked up at every attempt, so
// that a changed configuration governs mail already queued.
type Way struct {
	// Site names the destination: lanes with the same way in have the same Site
	// (equal MX sets are one destination) and share its connections and limits.
	Site     string
	Text     string        // for people: "mx example.com", "smtp filter:25"
	Rule     string        // what decided it: "postrider.toml:12 route"
	Parallel int           // connections to the site at a time; 0: the queue's default
	Gap      time.Duration // least time between two messages to the site; 0: none
	None     *Outcome      // why there is no way; nil: there is one
}

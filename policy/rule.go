package policy

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/postrider/postrider/mail"
)

// Rule is one entry of a table: all conditions of If must hold and none of Not
// may; then it does what Then says. A rule without conditions always holds.
type Rule struct {
	// Name is on the wire, in logs, and what an override names: 1 to 40 of a to z,
	// 0 to 9 and "-". It is unique in a table and none of [Reserved].
	Name  string
	Place string // where it stands, for logs: "postrider.toml:41 rule NAME"; "": the name alone

	If  Conditions
	Not Conditions
	// Filter is a filter that is asked too, about the whole message. If the rest holds, what it answers is
	// done; where it has nothing against the mail, the table goes on, and what it
	// wants done to the mail is told by Verdict.Filters. Then must be Pass. "":
	// none.
	Filter string

	// At is the stage at which the rule acts; not before all that it asks for is
	// known. Zero: Recipient, so that everyone is told who was refused to whom,
	// and Content for what needs the message, a Filter among them.
	At   Stage
	Then Action // Pass only with a Filter

	// OnFault says what becomes of the rule where a look-up that it needs has
	// failed: it does not hold (FaultPass), or it defers (FaultDefer); with
	// FaultDefer greylisting goes on as if the condition held.
	OnFault OnFault

	// What is said to the client, the rule's name in front. Text is ASCII, up to
	// 260 octets, and may hold {client}, {client_name}, {helo}, {from},
	// {from_domain}, {to}, {lists}, {author} (the domain that DMARC is about), {wait}
	// (seconds of greylisting) and {rate} (that of If: "600 messages in 1h from one
	// client"), each of them "(none)" where there is none; "": the evidence in words.
	// A zero Code is 550, 450, or 451 of greylisting, at Connect 554 or 421. A zero
	// Status is X.7.1; one whose class alone is zero takes the action's, and so does
	// the Code with it.
	Code   int
	Status mail.Status
	Text   string

	LogOnly bool // never decides, only tells what it would have said

	// Of Greylist: how long someone new must stay away (up to 12 h: half of
	// GreyWindow), and for how long they are remembered; 0: 36 days.
	Delay, Memory time.Duration
}

// OnFault is what becomes of a rule that a failed look-up leaves undecided.
type OnFault uint8

const (
	FaultPass OnFault = iota
	FaultDefer
)

var onFaultNames = [...]string{"pass", "defer"}

// String returns the word as written in the configuration.
func (o OnFault) String() string { return nameOf(onFaultNames[:], int(o)) }

// MarshalText writes the word as String does.
func (o OnFault) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (o *OnFault) UnmarshalText(b []byte) error { return read(onFaultNames[:], b, o, "on_fault") }

// Conditions are what a rule asks. A zero field asks nothing; a list holds if one
// of its elements does. Names and domains are given as such, or as
// "*.example.com" for all below, or "*" for any there is; case does not count.
type Conditions struct {
	Client []netip.Prefix
	// ClientName: names, which only a confirmed one matches, or "none" (no PTR
	// record), "unconfirmed" (a name that does not lead back) or "confirmed".
	ClientName []string
	// Helo: names, or "ours" (this host's own name or address), "literal" (an
	// address), "bare" (a name without a dot), "mismatch" (not the client's own:
	// no address of the name is the client's). RFC 5321 4.1.4 forbids to refuse
	// mail for a mismatch alone.
	Helo     []string
	Listener []string
	TLS      *bool
	User     []string // who has authenticated; "*": anyone
	Own      *bool    // the client may send to anyone

	// From: addresses, domains, or "null". To: addresses, domains, or
	// "postmaster" and "abuse" for these at any domain (RFC 5321 4.5.1, RFC 2142).
	// At Content, To holds if it does for every recipient.
	From       []string
	To         []string
	FromDomain []Reach // never holds for the null path and for an address literal
	SizeAbove  int64   // octets
	// RecipientsAbove counts those of the message so far.
	RecipientsAbove int

	// Score is reached by the weights of the lists that name the client and, from
	// Sender on, the return path's domain; above 0.
	Score  int
	Listed []string // named by one of these lists

	// SPF: the words of RFC 7208. DKIM: the best word of any signature, "none" if
	// there is no signature. DMARC: the words of RFC 9989, and "reject" or
	// "quarantine" for what fails and is to be treated so. A temperror counts as a
	// failed look-up unless it is in the list.
	SPF   []string
	DKIM  []string
	DMARC []string

	Early *bool // spoke before the greeting
	// Proven: had mail let in here on its own merit, or came again after greylisting. A
	// client whose name is unconfirmed never is.
	Proven *bool
	Rate   *Rate
}

// Rate holds when more messages than Most would be let In a time, with the one that is
// asked about; by recipient at Content for one of those that are asked about. What it
// counts by and is not there (no user, the null sender) is not counted.
type Rate struct {
	By   By
	Most int
	In   time.Duration
}

// words is a rate as replies tell it: "600 messages in 1h from one client".
func (r *Rate) words() string {
	way := "from"
	if r.By == ByRecipient {
		way = "to"
	}
	return fmt.Sprintf("%d messages in %s %s one %s", r.Most, mailDuration(r.In), way, r.By)
}

// By is whose messages a rate counts. One that is refused or deferred is not counted.
type By uint8

const (
	ByClient  By = iota + 1 // the address
	ByNetwork               // its network: /24 of IPv4, /64 of IPv6
	BySender                // the return path
	ByRecipient
	ByUser // who has authenticated
)

var byNames = [...]string{"", "client", "network", "sender", "recipient", "user"}

// String returns the word as written in the configuration.
func (b By) String() string { return nameOf(byNames[:], int(b)) }

// MarshalText writes the word as String does.
func (b By) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (b *By) UnmarshalText(t []byte) error { return read(byNames[:], t, b, "rate by") }

// Reserved are the rules outside every table. They are always obeyed; no rule may
// bear their names, and no override may skip them.
var Reserved = [...]string{"relay", "recipient", "grammar", "size", "loop"}

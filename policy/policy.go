// Package policy is the law of the door: what is answered to a client that wants
// to come in, to a sender, to a recipient, to a message. Facts go in, a verdict
// comes out, and with it the rule that gave it.
//
// A [Table] is a list of rules, read from the top; the first that decides wins.
// What a rule must know and nobody has looked up yet, it asks for: [Table.Decide]
// then returns a [Need], everything that the rules it may come to will want, so
// that all of it can be looked up side by side. A look-up that failed makes a rule
// pass or defer, as it is told to, and never refuse.
//
// What no rule can change stands outside the table and is obeyed before it is
// asked: who may relay, which names there are, grammar, size and loops; see
// [Reserved].
//
// The package is pure: no clock, disk, network, random number or goroutine. It
// looks nothing up and remembers nothing; package intake does, and obeys.
//
// Start reading at [Table.Decide], then [Rule] and [Internet], the default set.
package policy

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// Stage is a moment of a client's visit at which rules act, in the order in which
// they come. The zero Stage is no such moment: of a [Rule] it means the default.
type Stage uint8

const (
	Connect   Stage = iota + 1 // before the greeting: who connects, and to which door
	Hello                      // after EHLO or HELO: what the client calls itself, and whether by TLS
	Sender                     // at MAIL: the return path, and who has authenticated
	Recipient                  // at RCPT, asked for each recipient
	Content                    // when the message is whole, before the reply to the final dot
)

var stageNames = [...]string{"", "connect", "hello", "sender", "recipient", "content"}

// Stages are all of them, in order.
var Stages = [...]Stage{Connect, Hello, Sender, Recipient, Content}

// String returns the stage as written in the configuration and logs.
func (s Stage) String() string { return nameOf(stageNames[:], int(s)) }

// MarshalText writes the stage as String does.
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Stage) UnmarshalText(b []byte) error { return read(stageNames[:], b, s, "stage") }

// Action is what becomes of a client, a recipient or a message, and what a rule
// does.
type Action uint8

const (
	Pass     Action = iota // no rule decided: it is taken. Of a rule that asks a filter: what the filter says
	Accept                 // taken, and no rule below or of a later stage is asked
	Defer                  // 4yz: come again, perhaps it is mended then
	Refuse                 // 5yz: never
	Greylist               // of a rule only: Defer to who comes for the first time (RFC 6647)
)

var actionNames = [...]string{"pass", "accept", "defer", "refuse", "greylist"}

// String returns the action as written in the configuration and logs.
func (a Action) String() string { return nameOf(actionNames[:], int(a)) }

// MarshalText writes the action as String does.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (a *Action) UnmarshalText(b []byte) error { return read(actionNames[:], b, a, "action") }

// Verdict is what the rules say. Pass and Accept both let in: the former leaves
// the later stages to their rules, the latter spares them.
//
// An Accept at Connect, Hello or Sender holds for the rest of the visit or
// message, one at Recipient for that recipient: tell Decide by [Facts.Accepted].
// The rules of Content are asked if any recipient was not accepted by a rule, and
// what they say holds for the whole message, because a message has one reply.
type Verdict struct {
	Action Action
	// Reply is what the client is told, complete, on one line, the rule's name
	// first: "550 5.7.25 no-reverse-name: …". In ASCII, and at most 390 octets on
	// the wire, so that 120 can be added to its Text and the line stays within
	// the 512 of RFC 5321 4.5.3.1.5. Zero where the action lets in.
	Reply mail.Reply
	Rule  string // its name; "" where none decided
	Place string // where it stands: "postrider.toml:41 rule no-reverse-name". Never for the client
	Why   string // the evidence in words, cleaned: "192.0.2.7 has no name in the DNS"

	// Filters are those that have nothing against the message and whose rule was
	// reached, acts and, but for that, holds, in the order of the table: what they
	// want done to a message that is let in is done. What any other filter wants is
	// not.
	Filters []string

	Grey    Greylisting // what greylisting has to remember
	Would   []Said      // rules with LogOnly that would have decided
	Skipped []Said      // rules that would have decided, but for an override
	Faults  []string    // look-ups that failed and were wanted, with the rule that wanted them
	// Doubt is a rule that might have accepted, had a look-up not failed. Where it
	// is set, and in later stages by [Facts.Doubt], what would be refused is only
	// deferred. "": none.
	Doubt string
}

// LetsIn reports whether the action takes what was asked about.
func (v Verdict) LetsIn() bool { return v.Action == Pass || v.Action == Accept }

// Said is what one rule would have said, had it decided.
type Said struct {
	Rule     string     `json:"rule"`
	Place    string     `json:"place"`
	Action   Action     `json:"action"`
	Reply    mail.Reply `json:"reply,omitzero"`
	Why      string     `json:"why"`
	Override string     `json:"override,omitempty"` // ID of the override that skipped it
}

// GreyWindow is how long a first visit is to be remembered for greylisting: who has not
// come again by then is new (RFC 6647 5).
const GreyWindow = 24 * time.Hour

// Greylisting is what a verdict wants remembered of client, sender and recipient.
// The zero Greylisting wants nothing.
type Greylisting struct {
	// Wait is how long they are to stay away yet. If it is their first time, the
	// time of the question is to be remembered as [Facts.Grey].
	Wait time.Duration
	// Memory is for how long they are to be remembered. With a Wait of zero they
	// came again and may be remembered as proven.
	Memory time.Duration
}

// Need is a set of look-ups, those that Decide asks for.
type Need uint64

const (
	NeedName       Need = 1 << iota // Facts.Name
	NeedHeloName                    // Facts.HeloName
	NeedLists                       // Facts.Lists
	NeedProven                      // Facts.Proven
	NeedFromDomain                  // Facts.FromDomain
	NeedFromLists                   // Facts.FromLists
	NeedSPF                         // Facts.SPF
	NeedGrey                        // Facts.Grey
	NeedDKIM                        // Facts.DKIM
	NeedDMARC                       // Facts.DMARC

	needNamed = iota // how many there are
)

// Bits of a Need that stand for the filters and rates of one table, in the order
// in which it names them: see [Table.Filters] and [Table.Rates].
const (
	filterBit, maxFilters = 16, 16
	rateBit, maxRates     = 32, 32

	needFilters = Need(1<<maxFilters-1) << filterBit
	needRates   = Need(1<<maxRates-1) << rateBit
)

var needNames = [needNamed]string{"name", "helo-name", "lists", "proven", "from-domain", "from-lists", "spf", "grey", "dkim", "dmarc"}

// Filter reports whether any filter is to be asked; Table.Filters says which.
func (n Need) Filter() bool { return n&needFilters != 0 }

// Rate reports whether anything is to be counted; Table.Rates says what.
func (n Need) Rate() bool { return n&needRates != 0 }

// String returns the look-ups, separated by commas: "name,spf".
func (n Need) String() string {
	var names []string
	for rest := n &^ (needFilters | needRates); rest != 0; rest &= rest - 1 {
		names = append(names, nameOf(needNames[:], bits.TrailingZeros64(uint64(rest))))
	}
	if n.Filter() {
		names = append(names, "filter")
	}
	if n.Rate() {
		names = append(names, "rate")
	}
	return strings.Join(names, ",")
}

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return "?" + strconv.Itoa(i)
}

// read finds a word among names; "" is no word.
func read[T ~uint8](names []string, b []byte, to *T, what string) error {
	for i, n := range names {
		if n == string(b) && n != "" {
			*to = T(i)
			return nil
		}
	}
	return fmt.Errorf("policy: no %s %q; one of %s", what, b, strings.TrimPrefix(strings.Join(names, ", "), ", "))
}

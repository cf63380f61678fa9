package policy

import (
	"net/netip"
	"time"

	"github.com/postrider/postrider/mail"
)

// Fact is something that must be looked up to be known. It is one of three: not
// known yet (the zero Fact), looked up in vain ([Failed]), or a value ([Known]).
type Fact[T any] struct {
	value T
	fault string
	state factState
}

type factState uint8

const (
	unknown factState = iota
	failed
	known
)

// Known returns the fact that was found.
func Known[T any](v T) Fact[T] { return Fact[T]{value: v, state: known} }

// Failed returns a fact that could not be found out, and why, in words for an
// operator. "There is none" is a value and no failure.
func Failed[T any](why string) Fact[T] { return Fact[T]{fault: why, state: failed} }

// IsOpen reports whether the fact was not looked up yet.
func (f Fact[T]) IsOpen() bool { return f.state == unknown }

// Value returns the value, if there is one.
func (f Fact[T]) Value() (T, bool) { return f.value, f.state == known }

// Fault returns why the fact could not be found out, if it was looked up in vain.
func (f Fact[T]) Fault() (string, bool) { return f.fault, f.state == failed }

// Facts are what is known of a client, its sender, its recipients and its message
// when a question is put. The stage says which of the plain fields are known by
// then; each has those of the stages before it. The other side's words are as they
// came: they are cleaned where they are shown.
type Facts struct {
	At time.Time // when the question is put

	// From Connect on.
	Client   netip.Addr // who connects; invalid for a Unix socket
	Listener string     // the name of the door
	Hostname string     // what this host is called
	Local    netip.Addr // this host's end of the connection

	// From Hello on.
	Early bool   // spoke before the greeting (RFC 5321 4.3.1)
	Helo  string // what the client calls itself; "": it did not say
	TLS   bool

	// Own says that the client may send to anyone: a relay client, a Unix socket or
	// who has authenticated, which is known from Sender on.
	Own bool

	// From Sender on.
	User string       // who has authenticated; "": nobody
	From mail.Address // the return path
	Size int64        // octets: what SIZE announced, 0 if nothing; at Content the message's own

	// From Recipient on. To holds the recipient that is asked about; at Content
	// those that were taken and that no rule has accepted.
	To         []mail.Address
	Recipients int // of the message so far, this one included

	// Accepted is the rule that has accepted this client, message or recipient
	// already: no other is asked. "": none.
	Accepted string
	// Doubt is the Doubt of an earlier verdict on the same visit, message or
	// recipient.
	Doubt string

	// What takes a look-up. Each may be filled in before it is asked for.

	Name       Fact[Name]        // of the client
	HeloName   Fact[bool]        // whether an address of the name Helo is the client's
	Lists      Fact[[]Listing]   // what the lists say of the client
	Proven     Fact[bool]        // had mail let in here on its own merit, or came again after greylisting
	FromDomain Fact[Reach]       // whether the return path's domain can be answered
	FromLists  Fact[[]Listing]   // what the lists say of the return path's domain
	SPF        Fact[SPF]         //
	Grey       Fact[time.Time]   // when client, sender and recipient came first; zero: never. Looking must not remember them
	DKIM       Fact[[]Signature] // the message's signatures
	DMARC      Fact[DMARC]       //
	Rates      []Count           // those of Table.Rates that are known
	Opinions   []Opinion         // those of Table.Filters that are known

	// Overrides are those in force that may concern this visit. Decide asks
	// Override.Match itself, so that there may be too many of them but not too few.
	Overrides []Override
}

// Name is what the DNS calls a client.
type Name struct {
	Name string // from its PTR record; "": it has none
	// Confirmed: the name leads back to the client. Of several names one that
	// does is taken.
	Confirmed bool
}

// Reach says whether mail to a domain could be delivered, so that its senders can
// be answered.
type Reach uint8

const (
	Reachable  Reach = iota // some host takes its mail, as far as the DNS says
	NoDomain                // there is no such domain
	NullMX                  // the domain says that it takes none (RFC 7505)
	NoMailHost              // it has neither MX nor address, or its MX leads nowhere
)

var reachNames = [...]string{"reachable", "none", "null-mx", "no-mail-host"}

// String returns the word as written in the configuration.
func (r Reach) String() string { return nameOf(reachNames[:], int(r)) }

// MarshalText writes the word as String does.
func (r Reach) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (r *Reach) UnmarshalText(b []byte) error { return read(reachNames[:], b, r, "sender domain") }

// Listing is one list's answer about a client or a domain. What a list does not
// name has none; a list that could not be asked has one with a Fault, or two where
// its answers weigh in both directions.
type Listing struct {
	List   string // the list's name in the configuration
	Weight int    // what it adds to the score; below zero for a list of the good. With a Fault: what it might have added
	What   string // what is listed: the address or the domain
	Text   string // what the list says of it: often where to read why
	Fault  string // why the list could not be asked; "": it names What
}

// SPF is what the return path's domain, or HELO's if that is null, says of the
// client (RFC 7208).
type SPF struct {
	Word        string // none, pass, fail, softfail, neutral, temperror or permerror
	Domain      string
	Explanation string // the domain's own words to those it disowns (RFC 7208 6.2)
	Reason      string // why there is no better word; of temperror: what failed
}

// Signature is what a DKIM signature proves (RFC 6376).
type Signature struct {
	Word     string // pass, fail, neutral, policy, temperror or permerror
	Domain   string // who signs
	Selector string
	Reason   string // why it is no pass
}

// DMARC says whether the author's domain vouches for the message (RFC 9989).
type DMARC struct {
	Word   string // none, pass, fail, temperror or permerror
	Asks   string // what the domain wants done with what fails: none, quarantine or reject; "": it has no say
	Domain string // of the author
	Reason string // why there is no better word
}

// Count is how many messages a rate has let in within its time, and this one.
type Count struct {
	Rate  Rate
	N     int
	Fault string // why it could not be counted; "": N holds
}

// Opinion is what a filter says. Accept and Pass mean that it has nothing against
// the message; any other action than these, Defer and Refuse is a fault.
type Opinion struct {
	Filter string
	Action Action
	Reply  mail.Reply // its words to a Defer or Refuse; zero: none
	Fault  string     // why it could not be asked; "": the rest holds
}

package cause

import (
	"fmt"
	"strconv"
)

// Kind is the kind of a trouble.
type Kind uint8

// The kinds. Where the contract of `explain` has a word for one, String returns
// that word; see Reason for the rest.
const (
	Unknown        Kind = iota // not recognised: quote the host
	UserUnknown                // no such mailbox
	BadAddress                 // not written as an address must be
	HostUnknown                // no such domain
	NotMailHost                // the domain or host states that it takes no mail
	NoAddress                  // the domain exists and names no mail server
	Moved                      // the recipient has another address
	Disabled                   // the mailbox is switched off
	MailboxFull                // the mailbox is full
	SystemFull                 // the receiving system is full
	TooLarge                   // the message is too large
	RelayDenied                // the host does not take mail for this domain from this client
	SenderRefused              // the sender's address is not liked
	Reputation                 // the sending host has a bad name, or is on a blocklist
	NoReverse                  // the sending host has no proper name in the DNS
	Authentication             // SPF, DKIM or DMARC did not pass
	Policy                     // a rule of the receiving side, not told which
	Spam                       // taken for spam
	Virus                      // taken for malware
	Content                    // something in the message is not accepted
	NotCompliant               // the message is not formed as the standards ask
	Rate                       // too much mail in too short a time
	Greylisted                 // asked to come again, as every stranger is
	NotNow                     // the address is not taken for now, not told why
	Security                   // a login was missing, wrong or not possible
	TLS                        // no encrypted connection as the rules demand it
	Syntax                     // the servers did not understand each other
	NoUTF8                     // the host cannot take addresses or headers beyond ASCII
	Refused                    // the connection was refused
	Timeout                    // nobody answered
	NoRoute                    // the network has no way to the host
	Broken                     // the connection broke
	DNS                        // the name service gave no answer
	Loop                       // the message goes round in a circle
	System                     // the receiving system has trouble of its own
	Program                    // the program that files the mail failed
	Suppressed                 // the sending service no longer sends to this address
	Expired                    // given up by a clock; the cause was not told
	Late                       // not delivered within the time the sender asked for
	Ambiguous                  // sent whole, and the answer was lost
	Unreachable                // no connection, not told why
	Ours                       // a fault of the server that has the message
)

var kindWords = [...]string{
	"unknown", "user-unknown", "bad-address", "host-unknown", "not-a-mail-host", "no-address", "user-moved",
	"mailbox-disabled", "mailbox-full", "system-full", "too-large", "relay-denied", "sender-refused",
	"bad-reputation", "no-reverse-name", "authentication", "policy", "spam", "virus", "content",
	"not-compliant", "rate", "greylisted", "not-now", "security", "tls", "syntax", "no-utf8", "refused",
	"timeout", "no-route", "broken", "dns", "loop", "system", "delivery-program", "suppressed", "expired",
	"late", "ambiguous", "unreachable", "ours",
}

// String returns the kind as written in JSON and logs.
func (k Kind) String() string {
	if int(k) < len(kindWords) {
		return kindWords[k]
	}
	return "?" + strconv.Itoa(int(k))
}

// MarshalText writes the kind as String does.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (k *Kind) UnmarshalText(b []byte) error {
	for i, w := range kindWords {
		if w == string(b) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("cause: read kind %q: no such word", b)
}

// Reason returns the word for the kind in the contract of `explain`, which has
// fewer of them.
func (k Kind) Reason() string {
	switch k {
	case BadAddress:
		return "user-unknown"
	case NoAddress:
		return "not-a-mail-host"
	case Refused, Timeout, NoRoute, Broken, DNS, Unreachable:
		return "network"
	case Late:
		return "expired"
	case NoUTF8:
		return "content"
	case Ours:
		return "system"
	case NotNow, Ambiguous:
		return "unknown"
	}
	return k.String()
}

// End is a place where a trouble can sit.
type End uint8

const (
	AtUnknown   End = iota
	AtSender        // what the sender wrote: the address, the message
	AtOurs          // the sending side's systems, the owner's among them
	AtNetwork       // between the two
	AtHost          // the receiving host
	AtPolicy        // a decision of the receiving side
	AtMailbox       // the recipient's mailbox
	AtDNS           // the name service
	endsInTotal     // not an end
)

var endWords = [...]string{"unknown", "sender", "our-side", "network", "receiving-host", "receiving-policy", "mailbox", "dns"}

// String returns the end as written in JSON and logs.
func (e End) String() string {
	if e < endsInTotal {
		return endWords[e]
	}
	return "?" + strconv.Itoa(int(e))
}

// MarshalText writes the end as String does.
func (e End) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// Who is someone who can mend a trouble.
type Who uint8

const (
	Nobody        Who = iota
	Sender            // who wrote the message
	SenderAdmin       // who runs the sending side's mail
	ReceiverAdmin     // who runs the receiving side's mail
	Recipient         // who should have got it
)

var whoWords = [...]string{"nobody", "sender", "sender-admin", "receiver-admin", "recipient"}

// String returns who it is as written in JSON and logs.
func (w Who) String() string {
	if int(w) < len(whoWords) {
		return whoWords[w]
	}
	return "?" + strconv.Itoa(int(w))
}

// MarshalText writes who it is as String does.
func (w Who) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// Confidence says how far a statement may be believed.
type Confidence uint8

const (
	None Confidence = iota
	Guess
	Likely
	Sure
)

// UnmarshalText reads what MarshalText wrote.
func (c *Confidence) UnmarshalText(b []byte) error {
	for i, w := range confidenceWords {
		if w == string(b) {
			*c = Confidence(i)
			return nil
		}
	}
	return fmt.Errorf("cause: read confidence %q: no such word", b)
}

var confidenceWords = [...]string{"unknown", "guess", "likely", "sure"}

// String returns the confidence as written in JSON.
func (c Confidence) String() string {
	if int(c) < len(confidenceWords) {
		return confidenceWords[c]
	}
	return "?" + strconv.Itoa(int(c))
}

// MarshalText writes the confidence as String does.
func (c Confidence) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Explain returns what is to be said of a kind of trouble.
func Explain(k Kind, sure Confidence) Cause {
	f := factOf(k)
	if k == Unknown {
		sure = None
	}
	return Cause{Kind: k, End: f.end, Meaning: f.meaning, Fix: f.fix, DoNow: f.doNow, Confidence: sure}
}

// End returns where a trouble of this kind mostly sits.
func (k Kind) End() End { return factOf(k).end }

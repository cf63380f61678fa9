// Package dsn writes and reads reports about the delivery of mail, as RFC 3464
// defines them, in the frame of RFC 6522 and with the addresses of RFC 6533.
//
// It knows their form and nothing of their meaning: whether a delivery failed,
// what to say about it and to whom is decided by custody and notice, what a
// foreign report means by explain. Everything in a [Report] is taken as foreign:
// whatever its values hold, what is written has no line, field or part that was
// not meant. The package reads no clock and draws no random number; even the
// boundary is derived from the Message-ID.
//
// Start reading at [Report], then [Write] and [Read].
package dsn

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// Report is one report: what stands in the header of the letter, the words for
// people, and the fields for programs. Absent fields are zero.
type Report struct {
	// The letter.
	From      mail.Address
	To        mail.Address // the return path of the message that the report is about
	Subject   string       // decoded
	Date      time.Time
	MessageID string // with angle brackets
	InReplyTo string // the Message-ID of the message that the report is about, with angle brackets
	Text      string // for people; lines end with "\n"

	// The fields about the message (RFC 3464 2.2).
	EnvelopeID   string    // ENVID, decoded
	ReportingMTA Typed     // who reports: "dns" and a name
	Gateway      Typed     // DSN-Gateway; we are none and write it only if it was read
	ReceivedFrom Typed     // who handed it the message
	Arrival      time.Time // when it took custody
	Extra        []Field   // fields that RFC 3464 does not define

	Recipients []Recipient
}

// Recipient is what a report says of one recipient (RFC 3464 2.3).
type Recipient struct {
	Original       Typed // ORCPT, decoded
	Final          Typed // "rfc822" or "utf-8" and the address
	Action         Action
	Status         mail.Status
	RemoteMTA      Typed     // who said Diagnostic, if another host spoke at all
	Diagnostic     Typed     // "smtp" and a reply word for word, its lines separated by "\n"; or a type of the reporter's own
	LastAttempt    time.Time // zero: not known
	WillRetryUntil time.Time // only with Delayed; left out otherwise (RFC 3464 2.3.9)
	LogID          string    // Final-Log-ID
	Extra          []Field
}

// Typed is a value with the name of its kind in front: "dns; mx.example.com".
type Typed struct {
	Type  string
	Value string
}

// IsZero reports whether the value is absent.
func (t Typed) IsZero() bool { return t == Typed{} }

// String returns the value as it stands in a field.
func (t Typed) String() string {
	if t.IsZero() {
		return ""
	}
	return t.Type + "; " + t.Value
}

// Field is a field without a meaning here.
type Field struct{ Name, Value string }

// Action is what the reporter did (RFC 3464 2.3.3).
type Action uint8

const (
	NoAction Action = iota
	Failed
	Delayed
	Delivered
	Relayed
	Expanded
)

var actionWords = [...]string{"", "failed", "delayed", "delivered", "relayed", "expanded"}

// String returns the action as written in a report.
func (a Action) String() string {
	if int(a) < len(actionWords) {
		return actionWords[a]
	}
	return "?" + strconv.Itoa(int(a))
}

// MarshalText writes the action as String does.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (a *Action) UnmarshalText(b []byte) error {
	for i, w := range actionWords {
		if strings.EqualFold(w, string(b)) {
			*a = Action(i)
			return nil
		}
	}
	return fmt.Errorf("dsn: unknown action %q", b)
}

// Original is what a report returns of the message it is about.
type Original struct {
	Header mail.Header // nil: nothing is returned
	Body   []byte
	Whole  bool // Body is the body; else only the header is returned
	UTF8   bool // it came with SMTPUTF8; else bytes above 127 in Header are nobody's promise
}

// Needs says what the way of a written report must be able to carry.
type Needs struct {
	EightBit bool // BODY=8BITMIME (RFC 6152)
	UTF8     bool // SMTPUTF8 (RFC 6531): an address of the letter is not ASCII
}

// Address returns the Typed form of a recipient's address (RFC 6533 3).
func Address(a mail.Address) Typed {
	if a.IsNull() {
		return Typed{}
	}
	if a.IsASCII() {
		return Typed{"rfc822", a.String()}
	}
	return Typed{"utf-8", a.String()}
}

// Host returns the Typed form of a host. A name without a dot is no name of the
// DNS and must not be called one (RFC 3461 6.3(b)).
func Host(name string) Typed {
	switch {
	case name == "":
		return Typed{}
	case strings.Contains(name, ".") || strings.HasPrefix(name, "["):
		return Typed{"dns", name}
	}
	return Typed{"x-local-hostname", name}
}

// EnvelopeID decodes an ENVID as it was sent. What is no xtext is kept as it is.
func EnvelopeID(sent string) string {
	if s, err := mail.DecodeXText(sent); err == nil {
		return s
	}
	return sent
}

// OriginalRecipient decodes an ORCPT as it was sent: xtext (RFC 3461 4.2), or
// for the address type utf-8 the \x{…} of RFC 6533 3. The zero Typed for "".
func OriginalRecipient(orcpt string) Typed {
	kind, value, ok := strings.Cut(orcpt, ";")
	if !ok {
		return Typed{}
	}
	kind = strings.ToLower(strings.TrimSpace(kind))
	if s, err := mail.DecodeXText(value); err == nil {
		value = s
	}
	switch {
	case kind == "utf-8":
		value = decodeUniText(value)
	case kind == "rfc822" && !isASCII(value): // Postfix 3.7 calls it so
		kind = "utf-8"
	}
	return Typed{kind, value}
}

// decodeUniText reads each \x{HEXPOINT} of RFC 6533 3.
func decodeUniText(s string) string {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(s, `\x{`)
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		hex, rest, closed := strings.Cut(after, "}")
		n, err := strconv.ParseUint(hex, 16, 21)
		if !closed || err != nil || len(hex) > 6 {
			b.WriteString(`\x{`)
			s = after
			continue
		}
		b.WriteRune(rune(n)) // a surrogate becomes U+FFFD, and Clean a '?'
		s = rest
	}
}

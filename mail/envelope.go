package mail

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Envelope is what MAIL and RCPT say of a message (RFC 5321 2.3.1), with the
// parameters that must survive until it is handed on.
type Envelope struct {
	From   Address     `json:"from"` // the return path; null: never answer it
	To     []Recipient `json:"to,omitempty"`
	Body   Body        `json:"body,omitempty"`
	UTF8   bool        `json:"utf8,omitempty"`  // SMTPUTF8 (RFC 6531)
	Return Return      `json:"ret,omitempty"`   // RET (RFC 3461 4.3)
	ID     string      `json:"envid,omitempty"` // ENVID as sent, in xtext (RFC 3461 4.4)
	By     DeliverBy   `json:"by,omitzero"`     // DELIVERBY (RFC 2852)
}

// IsASCII reports whether a host without SMTPUTF8 can be given the envelope.
func (e *Envelope) IsASCII() bool {
	return e.From.IsASCII() && !slices.ContainsFunc(e.To, func(r Recipient) bool {
		return !r.Address.IsASCII() || !isASCII(r.Original)
	})
}

// Recipient is one RCPT of an envelope.
type Recipient struct {
	Address Address `json:"address"`
	Notify  Notify  `json:"notify,omitempty"`
	// Original is ORCPT as sent: type, ";" and the address in xtext
	// (RFC 3461 4.2). "": none was given.
	Original string `json:"orcpt,omitempty"`
}

// Body is the BODY parameter of MAIL.
type Body uint8

const (
	SevenBit   Body = iota // BODY=7BIT, or none given
	EightBit               // BODY=8BITMIME (RFC 6152)
	BinaryMIME             // BODY=BINARYMIME (RFC 3030)
)

// String returns the keyword of the BODY parameter.
func (b Body) String() string { return [...]string{"7BIT", "8BITMIME", "BINARYMIME"}[b%3] }

// Return is the RET parameter: how much of a message a failure report returns.
type Return uint8

const (
	ReturnAny     Return = iota // none given: our choice
	ReturnFull                  // RET=FULL
	ReturnHeaders               // RET=HDRS
)

// String returns the keyword of the RET parameter, "" for ReturnAny.
func (r Return) String() string { return [...]string{"", "FULL", "HDRS"}[r%3] }

// Notify is the NOTIFY parameter of RCPT (RFC 3461 4.1), a set. The zero Notify
// means that none was given: failures are told, delays may be.
type Notify uint8

const (
	NotifySuccess Notify = 1 << iota
	NotifyFailure
	NotifyDelay
	NotifyNever // stands alone
)

// Failure reports whether a failure must be told (RFC 3461 5.2.6).
func (n Notify) Failure() bool { return n == 0 || n&NotifyFailure != 0 }

// Delay reports whether a delay may be told (RFC 3461 5.2.5).
func (n Notify) Delay() bool { return n == 0 || n&NotifyDelay != 0 }

// Success reports whether success must be told.
func (n Notify) Success() bool { return n&NotifySuccess != 0 }

// String returns the parameter's value: "SUCCESS,DELAY"; "" if none was given.
func (n Notify) String() string {
	if n&NotifyNever != 0 {
		return "NEVER"
	}
	var words []string
	for i, w := range []string{"SUCCESS", "FAILURE", "DELAY"} {
		if n&(1<<i) != 0 {
			words = append(words, w)
		}
	}
	return strings.Join(words, ",")
}

// ParseNotify reads the value of NOTIFY.
func ParseNotify(s string) (Notify, error) {
	var n Notify
	for w := range strings.SplitSeq(s, ",") {
		switch strings.ToUpper(w) {
		case "SUCCESS":
			n |= NotifySuccess
		case "FAILURE":
			n |= NotifyFailure
		case "DELAY":
			n |= NotifyDelay
		case "NEVER":
			n |= NotifyNever
		default:
			return 0, fmt.Errorf("mail: NOTIFY has no word %q", w)
		}
	}
	if n&NotifyNever != 0 && n != NotifyNever {
		return 0, errors.New("mail: NOTIFY=NEVER stands alone")
	}
	return n, nil
}

// MarshalText writes n as String does.
func (n Notify) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (n *Notify) UnmarshalText(b []byte) (err error) {
	if *n = 0; len(b) > 0 {
		*n, err = ParseNotify(string(b))
	}
	return err
}

// DeliverBy is the BY parameter of MAIL (RFC 2852): the time within which the
// message is wanted, counted from its arrival, and what to do when it passes.
// The zero DeliverBy means that none was asked for.
type DeliverBy struct {
	Within time.Duration `json:"within,omitempty"` // may be zero or negative in Notify mode: already late
	Return bool          `json:"return,omitempty"` // mode R: return it then; else (N) tell and go on
	Notify bool          `json:"notify,omitempty"` // mode N
	Trace  bool          `json:"trace,omitempty"`  // T: each relay is to be reported
}

// IsZero reports whether no time was asked for.
func (d DeliverBy) IsZero() bool { return d == DeliverBy{} }

// EncodeXText writes s in the xtext of RFC 3461 4.
func EncodeXText(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < '!' || c > '~' || c == '+' || c == '=' {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// DecodeXText reads the xtext of RFC 3461 4. The result may hold any byte:
// clean it before showing it to anyone (CVE-2020-28026 was a line end in ORCPT).
func DecodeXText(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			if i+2 >= len(s) {
				return "", errors.New("mail: xtext ends inside +XX")
			}
			hi, lo := hexDigit(s[i+1]), hexDigit(s[i+2])
			if hi < 0 || lo < 0 {
				return "", fmt.Errorf("mail: xtext has %q", s[i:i+3])
			}
			b.WriteByte(byte(hi<<4 | lo))
			i += 2
		case c < '!' || c == 0x7f || c == '=':
			return "", fmt.Errorf("mail: xtext has %q", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

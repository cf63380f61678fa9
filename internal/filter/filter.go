// Package filter asks others what they think of a message: mail filters that speak
// the milter protocol of Sendmail and Postfix, as rspamd and OpenDKIM do, and
// policy services that take a JSON document by HTTP. It carries out nothing: the
// answer is an Opinion, and whoever asked decides. A filter that is silent, gone or
// talks nonsense gives a Fault, never a refusal.
//
// Every question is bounded: in time, in connections, and in what is read of the
// answer. Start reading at Message and Opinion, then Milter.Ask and talk.ask.
package filter

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// Filter is somebody who can be asked about a message. Ask may be called by many
// at once. It ends in the time that the filter was given, or when ctx does. Every
// error it returns is a *Fault.
type Filter interface {
	Ask(ctx context.Context, m *Message) (Opinion, error)
}

// Message is what is known of a message and of the client that brings it. A filter
// is told what belongs to the stages up to Stage.
type Message struct {
	// Stage is how far the dialogue has come: mail.Connect, Hello, Mail or Rcpt.
	// Any other value, and the zero one, is the whole message.
	Stage mail.Stage

	Host     string         // our own name
	Listener string         // the name of the listener, for people
	Local    netip.AddrPort // our end of the connection
	Client   netip.AddrPort // invalid: mail handed over on this machine, told to a milter as 127.0.0.1
	Name     string         // the client's name in the DNS, forward-confirmed; "" if none is
	PTR      string         // the name its address points to, confirmed or not
	Helo     string
	TLS      TLS
	User     string // who authenticated; "" nobody
	Method   string // by which SASL mechanism

	ID     string // our id of the message; "" while it has none
	From   mail.Address
	Params []string // of MAIL, as they were sent: "SIZE=1000"
	To     []mail.Address

	// Header is what the client sent, without the trace fields that we put on top.
	Header mail.Header
	// Body is what follows the blank line, Size its octets. Nil only if Size is 0.
	Body io.ReaderAt
	Size int64

	// Macros are more milter macros, or other values for ours, by their names with
	// braces: "{client_connections}". They are sent at the stages at which
	// Postfix sends them, or at which the filter wishes to have them.
	Macros map[string]string
	// Proof is more for a Hook to know, such as "spf": "pass".
	Proof map[string]string
}

// TLS says how the client's connection is protected. The zero value is plain text.
type TLS struct {
	Version string `json:"version"` // "TLSv1.3"
	Cipher  string `json:"cipher"`  // "TLS_AES_128_GCM_SHA256"
	Subject string `json:"subject,omitempty"`
	Issuer  string `json:"issuer,omitempty"` // of the client's verified certificate
}

// whole reports whether the message itself is known.
func (m *Message) whole() bool {
	switch m.Stage {
	case mail.Connect, mail.Hello, mail.Mail, mail.Rcpt:
		return false
	}
	return true
}

// client returns the address to name to a filter.
func (m *Message) client() netip.AddrPort {
	if !m.Client.IsValid() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	}
	return netip.AddrPortFrom(m.Client.Addr().Unmap(), m.Client.Port())
}

// Action is what a filter wants done.
type Action uint8

const (
	Pass    Action = iota // nothing to say against it: ask the next one
	Accept                // take it
	Defer                 // refuse it for now, with Opinion.Reply
	Refuse                // refuse it for good, with Opinion.Reply
	Discard               // say yes and throw it away
)

// String returns the action as a Hook writes it.
func (a Action) String() string {
	return [...]string{"pass", "accept", "defer", "refuse", "discard"}[a]
}

// Opinion is a filter's answer.
type Opinion struct {
	Action Action
	// Reply is what to say to the client: with Defer a code of 400 to 499, with
	// Refuse of 500 to 599, else zero. Its words are clean.
	Reply mail.Reply
	// Changes is what shall become of header and envelope, in this order, if the
	// message is taken. They have been checked: Apply takes them.
	Changes []Change
	// Quarantine is why the message shall be held for a person to look at; "" not.
	Quarantine string
	// Refused are recipients that the filter will not have while it takes the
	// message for others.
	Refused []Refused
}

// Refused is a recipient that a filter refuses or defers, and in which words.
type Refused struct {
	To    mail.Address
	Reply mail.Reply
}

// Fault says that a filter could not be asked or gave no sensible answer.
type Fault struct {
	Filter string        // its name in the configuration
	Of     string        // where it was asked: "unix:/run/x.sock", "127.0.0.1:11332", an address without its query
	Asked  string        // "connection", "MAIL", "end of message", "POST"
	Took   time.Duration // from the beginning of the question until then
	Err    error
}

// Error returns the fault on one line, safe for a log.
func (f *Fault) Error() string {
	return fmt.Sprintf("filter: %s at %s: %s, after %v: %s",
		f.Filter, f.Of, f.Asked, f.Took.Round(time.Millisecond), mail.Clean(f.Err.Error(), 300))
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// checkReply reports what is wrong with a reply that shall refuse a message. The
// status of another class than the code is a contradiction (RFC 3463 2, RFC 2034 4).
func checkReply(r mail.Reply) error {
	switch {
	case !r.Temporary() && !r.Permanent():
		return fmt.Errorf("reply %d neither defers nor refuses", r.Code)
	case !r.Status.IsZero() && int(r.Status[0]) != r.Code/100:
		return fmt.Errorf("reply %d with status %v", r.Code, r.Status)
	}
	return nil
}

// action returns what a checked reply does.
func action(r mail.Reply) Action {
	if r.Temporary() {
		return Defer
	}
	return Refuse
}

// cstring makes s fit for a protocol whose strings end at a NUL.
func cstring(s string) string { return strings.ReplaceAll(s, "\x00", "?") }

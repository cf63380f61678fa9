// Package smtpd is the wire in: it speaks SMTP and LMTP to those who bring mail
// and puts every decision to a [Host].
//
// It holds the grammar, the order of the commands, the framing of the message,
// the clocks and the limits of RFC 5321 and its extensions PIPELINING, SIZE,
// 8BITMIME, SMTPUTF8, ENHANCEDSTATUSCODES, DSN, CHUNKING, STARTTLS, LIMITS and
// DELIVERBY. It never stores a message, never judges a client or a recipient,
// never looks up a name and knows no queue. It never answers 250 to a message
// unless the Host has read it to the end and said so, and never takes an octet
// of a message for a command: what it cannot frame for certain ends the
// connection.
//
// Start reading at [Host]; then (*visit).obey, which is the order of the
// commands, and (*decoder).next, which is the framing of a message.
package smtpd

import (
	"context"
	"crypto/tls"
	"io"
	"net/netip"

	"github.com/postrider/postrider/mail"
)

// Host decides what a server answers. Its methods are called from many
// connections at once.
//
// In all replies of a Host and its Sessions: a zero Reply means yes, with the
// engine's words; code 421 ends the connection; a missing enhanced status is
// filled in with the class alone ("5.0.0"); anything that is no reply of class
// 2, 4 or 5 is a fault of ours and answered 451.
type Host interface {
	// Greet is asked once a connection, before the banner. A nil Session turns
	// the client away with the reply (554, 521 or 421), and the connection ends.
	Greet(ctx context.Context, c Client) (Session, mail.Reply)
}

// Client is who came, and to which door.
type Client struct {
	Addr     netip.AddrPort // zero for a Unix socket
	Local    netip.AddrPort // our end; zero for a Unix socket
	Listener string         // Options.Listener
	Back     bool           // Options.Back
	LMTP     bool
	// Early: it spoke before the banner (RFC 5321 4.3.1 lets nobody do so). It is
	// caught only where Options.GreetDelay holds the banner back.
	Early bool
}

// Hello is how the client introduced itself.
type Hello struct {
	Name     string // as sent: ASCII, no control characters; anything but a proven name
	Extended bool   // EHLO or LHLO, not HELO
	// TLS is nil on a plain connection. After STARTTLS the client introduces
	// itself again, and only what it says then counts (RFC 3207 4.2).
	TLS *tls.ConnectionState
}

// Session is one client's visit. Its methods are called one after the other;
// every Mail that was answered yes is followed by exactly one Data or Reset.
type Session interface {
	// Hello is asked at each EHLO, HELO or LHLO.
	Hello(ctx context.Context, h Hello) mail.Reply
	// Mail is asked at MAIL. The envelope holds no recipient yet; it is made
	// for this message and may be kept. Size is the SIZE parameter in octets,
	// 0 if none was given, never above Options.MaxSize.
	Mail(ctx context.Context, env *mail.Envelope, size int64) mail.Reply
	// Rcpt is asked at RCPT; env.To holds those accepted so far.
	Rcpt(ctx context.Context, env *mail.Envelope, r mail.Recipient) mail.Reply
	// Data takes the message. It reads m.Body to io.EOF and returns a success
	// only once the message is safe. It may stop reading at any time and
	// refuse: the engine swallows what is left. On a *BodyError of m.Body it
	// refuses in words of its own, or gives a zero Reply and leaves them to the
	// engine. On any other error it drops what it has; its reply is then of no
	// interest. Under LMTP the reply is given once for each accepted recipient.
	Data(ctx context.Context, m Transfer) mail.Reply
	// Reset ends a transaction that came to no Data.
	Reset()
	// Close ends the visit.
	Close()
}

// Forwarder is a Session that takes the word of a client about the client that it
// stands for. Only those whom Options.Trusts names are heard.
type Forwarder interface {
	// Forward is asked at XFORWARD, and with the zero Forwarded where that is taken
	// back by RSET or a hello. What it says counts for the message that follows,
	// and ends with it.
	Forward(Forwarded)
}

// Forwarded is what a proxy or a content filter says about the client from which it
// has a message. All of it is as sent, without control characters; "" is not known.
type Forwarded struct {
	Addr  netip.Addr // zero: not known, or no IP address
	Port  uint16
	Name  string // of the client
	Helo  string
	Proto string
	Ident string // how the host before called the message
}

// Starter is a Session that starts the delivery of what waits for a domain.
type Starter interface {
	// Start is asked at ETRN with a canonical domain; under is set for "@domain",
	// all below it. The reply is one of RFC 1985 5.3.
	Start(ctx context.Context, domain string, under bool) mail.Reply
}

// Transfer is a message as it arrives.
type Transfer struct {
	Envelope *mail.Envelope
	// Body gives the message with dot-stuffing undone. It implements
	// io.WriterTo, so that io.Copy allocates nothing. Its errors, io.EOF apart:
	// a *BodyError, ErrAborted and ErrCutOff. It must not be read once Data has
	// returned.
	Body     io.Reader
	Protocol string // the keyword for Received: "ESMTPS" (RFC 3848, RFC 6531 4.3)
}

// BodyError says that a message must not be kept, and what the client is told
// unless the Host has better words.
type BodyError struct{ Reply mail.Reply }

// Error returns the reply on one line.
func (e *BodyError) Error() string { return "smtpd: message refused: " + e.Reply.Line() }

// The faults of a message. They are all found by the engine.
var (
	// ErrBareNewline: a CR or LF that is no part of a CRLF (RFC 5321 2.3.8).
	// What one server takes for a line end and the next does not is how
	// messages are smuggled (CVE-2023-51764, -51765, -51766).
	ErrBareNewline error = &BodyError{mail.Reply{Code: 550, Status: mail.Status{5, 6, 11}, Text: "The message has a bare CR or LF; lines end with CRLF (RFC 5321 2.3.8)"}}
	// ErrNUL: a NUL octet (RFC 5321 4.5.2, RFC 5322 4). Postfix 3.7 and Exim
	// 4.96 pass one on inside an end sequence.
	ErrNUL error = &BodyError{mail.Reply{Code: 550, Status: mail.Status{5, 6, 0}, Text: "The message has a NUL octet"}}
	// ErrLongLine: a line above Options.MaxBodyLine.
	ErrLongLine error = &BodyError{mail.Reply{Code: 550, Status: mail.Status{5, 6, 0}, Text: "The message has too long a line"}}
	// ErrTooBig: more than Options.MaxSize (RFC 1870 6.3).
	ErrTooBig error = &BodyError{mail.Reply{Code: 552, Status: mail.Status{5, 3, 4}, Text: "The message exceeds the size limit"}}
)

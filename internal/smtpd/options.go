package smtpd

import (
	"crypto/tls"
	"log/slog"
	"math"
	"net/netip"
	"time"

	"github.com/postrider/postrider/mail"
)

// BareNewline is what becomes of a message with a CR or LF that is no part of a
// CRLF, or with a NUL. Whatever it says, only CRLF.CRLF ends DATA, and a dot is
// taken off a line only behind a CRLF.
type BareNewline uint8

const (
	// Refuse swallows the message and answers 550. A command that ends with a
	// bare LF is answered 500.
	Refuse BareNewline = iota
	// Normalize makes a CRLF of each bare CR and each bare LF and drops NUL. A
	// line of one dot may come of it: to stuff it again is the sender's duty,
	// so that the message cannot end there at the next host either. A command
	// may end with a bare LF.
	Normalize
)

// Options of a server. In limits and times zero means the default, and negative
// means none, where that is sensible.
type Options struct {
	Hostname string // how the server calls itself; "": "localhost"
	Banner   string // what follows the host name in the greeting; "": "ESMTP postrider" or "LMTP postrider"
	Listener string // handed to the Host in Client
	Back     bool   // likewise: a content filter hands back here what it has seen
	LMTP     bool   // speak LMTP (RFC 2033)

	// TLSConfig is asked at each handshake, so that certificates can be
	// replaced at any time. Nil: STARTTLS is not offered. For TLS from the
	// first octet (RFC 8314) hand Serve a tls.NewListener.
	TLSConfig func() *tls.Config

	BareNewline BareNewline

	// GreetDelay is how long the banner is held back. A client that speaks in
	// that time is no mail server (RFC 5321 4.3.1), and the Host is told. Those
	// whom Spare names do not wait. Zero or less: no delay, and nobody is caught.
	GreetDelay time.Duration
	Spare      func(netip.Addr) bool

	// Trusts says whose XFORWARD and XCLIENT are believed; they are offered to
	// nobody else. Nil: nobody's.
	Trusts func(netip.Addr) bool
	// Starts offers ETRN (RFC 1985); the Sessions are Starters then.
	Starts bool

	DeliverBy    bool          // offer DELIVERBY (RFC 2852)
	MinDeliverBy time.Duration // the least time taken in mode R, whole seconds; zero: none is told

	MaxSize     int64 // octets of a message; default 50 MiB
	MaxLine     int   // octets of a command, CRLF included; default 2048, which has room for DSN and long addresses
	MaxBodyLine int   // octets of a line of a message without CRLF; default and negative: no limit
	MaxRcpts    int   // recipients of a message; default 1000, never below 100 (RFC 5321 4.5.3.1.8)
	MaxMessages int   // messages of a connection; default 10,000

	MaxConns          int // connections at once; default 1000
	MaxConnsPerClient int // of them from one IPv4 address or IPv6 /64, loopback apart; default 50
	// MaxConnsPerNetwork of them from one IPv4 /24 or IPv6 /48, so that no network
	// takes all there are; default a quarter of MaxConns, and MaxConnsPerClient at least.
	MaxConnsPerNetwork int

	SoftErrors int           // refused commands after which each further one is delayed; default 10
	HardErrors int           // refused commands after which the connection ends; default 20
	ErrorDelay time.Duration // default 1 s
	MaxJunk    int           // NOOP, RSET, VRFY, EHLO and their like between two messages; default 100

	Times Times

	// Log hears what an operator must act on: nothing else is logged here.
	// Nil: nobody.
	Log *slog.Logger
	// Refused is told of each refusal that was the engine's own and that the
	// Host therefore does not know of. Code 0: no reply was given, the text is
	// what happened (a failed TLS handshake, a message cut off). It may be called from many
	// connections at once. Nil: nobody.
	Refused func(c Client, s mail.Stage, r mail.Reply)
}

// Times bound every wait of a server (RFC 5321 4.5.3.2). None can be unbounded.
type Times struct {
	Command   time.Duration // for the next command, from end to end; default 5 min (4.5.3.2.7)
	Block     time.Duration // for the next octets of a message; default 3 min (4.5.3.2.5)
	Visit     time.Duration // from the greeting or the last message to the next one's body; default 30 min
	Write     time.Duration // for the client to take our replies; default 1 min
	Handshake time.Duration // for TLS; default 1 min
	Drain     time.Duration // for messages under way when the server stops; default 30 s
	// MinRate is the least octets a second of a message on average, once
	// Block is used up by waiting: who sends an octet a minute to keep a
	// connection busy is cut off. Default 100.
	MinRate int
}

// withDefaults fills in what was left zero.
func (o Options) withDefaults() Options {
	def(&o.Hostname, "localhost")
	if o.LMTP {
		def(&o.Banner, "LMTP postrider")
	}
	def(&o.Banner, "ESMTP postrider")
	limit(&o.MaxSize, 50<<20)
	limit(&o.MaxLine, 2048)
	limit(&o.MaxBodyLine, -1)
	limit(&o.MaxRcpts, 1000)
	o.MaxRcpts = max(o.MaxRcpts, 100)
	limit(&o.MaxMessages, 10_000)
	limit(&o.MaxConns, 1000)
	limit(&o.MaxConnsPerClient, 50)
	limit(&o.MaxConnsPerNetwork, max(o.MaxConns/4, min(o.MaxConnsPerClient, o.MaxConns)))
	limit(&o.SoftErrors, 10)
	limit(&o.HardErrors, 20)
	limit(&o.MaxJunk, 100)
	def(&o.ErrorDelay, time.Second)
	// RFC 5321 4.5.3.1.4 grants a command 512 octets; above 64 KiB a line
	// would be skipped anyway.
	o.MaxLine = min(max(o.MaxLine, 512), maxSkip)
	t := &o.Times
	for _, p := range []struct {
		d *time.Duration
		v time.Duration
	}{
		{&t.Command, 5 * time.Minute}, {&t.Block, 3 * time.Minute}, {&t.Visit, 30 * time.Minute},
		{&t.Write, time.Minute}, {&t.Handshake, time.Minute}, {&t.Drain, 30 * time.Second},
	} {
		if *p.d <= 0 {
			*p.d = p.v
		}
	}
	if t.MinRate <= 0 {
		t.MinRate = 100
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Refused == nil {
		o.Refused = func(Client, mail.Stage, mail.Reply) {}
	}
	return o
}

func def[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// never is a limit that is not there: larger than anything that can come, and
// small enough to be added to.
const never = math.MaxInt / 4

// limit sets the default of a limit, or removes it.
func limit[T int | int64](p *T, v T) {
	def(p, v)
	if *p < 0 {
		*p = never
	}
}

// Package smtpc is the wire out: an SMTP and LMTP client on a connection that
// its caller has dialled.
//
// It speaks to one host, keeps what the host says word for word, and gives one
// outcome per recipient. It never dials, never looks up a name, never retries and
// never decides what an outcome means for a message: that is package custody's.
// No bare CR, bare LF or NUL ever leaves by DATA, whatever was stored, and nothing
// a host says costs more than a bounded piece of memory.
//
// The body is sent as it is. A message with 8-bit bytes goes to a host without
// 8BITMIME unchanged and undeclared: every host met in practice passes them, and
// a re-encoding would break its signatures.
//
// Start reading at [Open], then [Conn.Send]. [Conn.Ask] is a transaction without a
// message, for the sake of the answer to RCPT.
package smtpc

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"

	"github.com/postrider/postrider/mail"
)

// TLSPolicy says how far the connection must be protected.
type TLSPolicy uint8

const (
	MayTLS     TLSPolicy = iota // encrypt if the host offers it, whoever it is (RFC 7435)
	RequireTLS                  // encrypt or send nothing, whoever it is
	VerifyTLS                   // encrypt, and the host proves its name to TLSConfig
	NoTLS                       // plain text
)

// Options says how to speak to a host. The zero Options is opportunistic SMTP
// with the time-outs of RFC 5321, but Helo must be given.
type Options struct {
	Helo string // our name in EHLO
	LMTP bool
	TLS  TLSPolicy
	// TLSConfig carries at least ServerName for VerifyTLS. A caller with a proof of
	// its own (DANE) sets InsecureSkipVerify and VerifyConnection. Nil: the defaults.
	TLSConfig *tls.Config
	Implicit  bool // TLS from the first byte (port 465, RFC 8314)
	// User and Password are given by AUTH, over a verified connection only. "": none.
	User, Password string
	// Chunking sends by BDAT where the host offers it, which saves a small message a
	// round trip. A BINARYMIME body always goes by BDAT.
	Chunking bool
	Timeouts Timeouts
}

// Timeouts bounds each wait; 0 is the minimum of RFC 5321 4.5.3.2 or, where it
// names none, the value behind the field.
type Timeouts struct {
	Greeting time.Duration // 5 min
	Hello    time.Duration // EHLO, HELO, LHLO; 5 min
	TLS      time.Duration // STARTTLS, and again the handshake; 2 min
	Auth     time.Duration // each step of it; 2 min
	Mail     time.Duration // MAIL and RSET; 5 min
	Rcpt     time.Duration // 5 min
	Data     time.Duration // DATA; 2 min
	Block    time.Duration // each piece of the message, while none of it moves; 3 min
	Dot      time.Duration // the answer to the final dot, for LMTP each one; 10 min
	Quit     time.Duration // 20 s
}

func (t Timeouts) filled() Timeouts {
	for _, f := range []struct {
		d    *time.Duration
		zero time.Duration
	}{
		{&t.Greeting, 5 * time.Minute}, {&t.Hello, 5 * time.Minute}, {&t.TLS, 2 * time.Minute},
		{&t.Auth, 2 * time.Minute}, {&t.Mail, 5 * time.Minute}, {&t.Rcpt, 5 * time.Minute},
		{&t.Data, 2 * time.Minute}, {&t.Block, 3 * time.Minute}, {&t.Dot, 10 * time.Minute},
		{&t.Quit, 20 * time.Second},
	} {
		if *f.d <= 0 {
			*f.d = f.zero
		}
	}
	return t
}

// Conn is an open connection to one host. It belongs to one goroutine at a time.
type Conn struct {
	raw net.Conn // what was dialled
	nc  net.Conn // raw, or TLS upon it
	br  *bufio.Reader
	o   Options

	greeting, hello mail.Reply
	ext             Extensions
	tls             string // for people; "": plain text
	secure, proven  bool

	armed   bool        // the read deadline of the reply now read is set
	heard   int         // replies read since the current Send began
	sends   int         // transactions begun
	dirty   bool        // the host may still hold a transaction: RSET first
	broken  bool        // nothing more can be said
	last    time.Time   // end of the last transaction
	stopped atomic.Bool // the context ended
}

// Open greets the host on nc: greeting, EHLO, STARTTLS and a second EHLO, AUTH, as
// o demands. It owns nc from here on and closes it if it returns a Failure, or as
// soon as ctx ends while it runs.
func Open(ctx context.Context, nc net.Conn, o Options) (*Conn, *Failure) {
	o.Timeouts = o.Timeouts.filled()
	c := &Conn{raw: nc, nc: nc, br: bufio.NewReaderSize(nc, 4096), o: o}
	end := c.watch(ctx)
	f := c.open(ctx)
	end()
	if f == nil && c.broken {
		f = c.failed(step{mail.Hello, "EHLO"}, context.Cause(ctx), 0)
	}
	if f != nil {
		c.Close()
		return nil, f
	}
	return c, nil
}

func (c *Conn) open(ctx context.Context) *Failure {
	if c.o.Implicit {
		if f := c.handshake(ctx); f != nil {
			return f
		}
	}
	var f *Failure
	if c.greeting, f = c.reply(step{mail.Greeting, ""}); f != nil {
		return f
	}
	if c.greeting.Code != 220 {
		return c.refused(step{mail.Greeting, ""}, c.greeting)
	}
	if f := c.greet(); f != nil {
		return f
	}
	if !c.secure && c.o.TLS != NoTLS {
		if f := c.startTLS(ctx); f != nil {
			return f
		}
	}
	if c.o.User != "" {
		return c.authenticate()
	}
	return nil
}

// watch closes the connection when ctx ends; the function it returns ends the watch.
func (c *Conn) watch(ctx context.Context) func() {
	stop := context.AfterFunc(ctx, func() {
		c.stopped.Store(true)
		c.raw.Close()
	})
	return func() {
		if !stop() {
			c.broken = true
		}
	}
}

// Greeting returns the host's first words.
func (c *Conn) Greeting() mail.Reply { return c.greeting }

// Hello returns the host's reply to EHLO, the one after STARTTLS if there was one.
func (c *Conn) Hello() mail.Reply { return c.hello }

// Extensions returns what the host offers.
func (c *Conn) Extensions() Extensions { return c.ext }

// TLS returns how the connection is protected, for people: "TLS1.3
// TLS_AES_128_GCM_SHA256 verified"; "" for plain text.
func (c *Conn) TLS() string { return c.tls }

// Verified reports whether the host proved its name.
func (c *Conn) Verified() bool { return c.proven }

// Reusable reports whether another transaction may be tried: nothing broke, the
// host said nothing unasked that we know of, and its MAILMAX is not reached. A host
// that went away while nothing was said is found out by the next Send (Stale).
func (c *Conn) Reusable() bool {
	return !c.broken && c.br.Buffered() == 0 && (c.ext.MailMax == 0 || c.sends < c.ext.MailMax)
}

// Quit says good-bye, waits a short while for the answer and closes.
func (c *Conn) Quit(ctx context.Context) {
	if !c.broken {
		end := c.watch(ctx)
		at := step{mail.NoStage, "QUIT"}
		if f := c.write(at, []byte("QUIT\r\n")); f == nil {
			c.reply(at)
		}
		end()
	}
	c.Close()
}

// Close ends the connection without a word.
func (c *Conn) Close() {
	c.broken = true
	if c.secure {
		// The close alert must not wait on a host that no longer reads.
		c.raw.SetWriteDeadline(time.Now().Add(time.Second))
		c.nc.Close()
		return
	}
	c.raw.Close()
}

package smtpc

import (
	"context"
	"time"

	"github.com/postrider/postrider/mail"
)

// Answer is what a host said when it was asked about a recipient.
type Answer struct {
	Reply mail.Reply // to RCPT, with a code of 2yz, 4yz or 5yz; zero: see Failure
	// Failure says why the host gave no word about the recipient; nil: it did.
	Failure *Failure
	// Broken: the connection can serve no more; the caller closes it.
	Broken bool
	// Stale: the connection had served before and was gone when the question began, or
	// the host refused to forget what came before. Open a new one and ask again, once.
	Stale bool
}

// Ask asks whether the host takes mail for an address: MAIL with the null path, RCPT,
// and RSET in place of a message. It counts as a transaction of the connection, which
// can be used again. When ctx ends, the connection is closed; what the host had said of
// the recipient by then is the answer. A Failure that is Permanent speaks of an address
// that this host cannot be given, and nothing was said to it.
func (c *Conn) Ask(ctx context.Context, to mail.Address) Answer {
	if !c.Reusable() {
		words := "connection can serve no more"
		if c.sends == 0 && !c.broken {
			words = "host spoke before it was spoken to"
		}
		return Answer{Failure: own(mail.Hello, mail.Status{4, 5, 0}, words), Broken: true, Stale: c.sends > 0}
	}
	if f := c.unwritable(to); f != nil {
		return Answer{Failure: f}
	}
	var a Answer
	c.heard = 0
	end := c.watch(ctx)
	a.Reply, a.Failure = c.inquire(to)
	end()
	a.Stale = a.Failure != nil && c.stale(a.Failure)
	c.sends++
	c.last = time.Now()
	a.Broken = c.broken
	return a
}

// inquire speaks the transaction, in one write where the host lets us (RFC 2920 3.1).
func (c *Conn) inquire(to mail.Address) (mail.Reply, *Failure) {
	from := "MAIL FROM:<>"
	if c.ext.UTF8 && !to.IsASCII() {
		from += " SMTPUTF8"
	}
	rcpt := string(append(c.appendAddress([]byte("RCPT TO:<"), to), '>'))
	say, ahead := c.ask, c.ext.Pipelining
	if ahead {
		all := from + "\r\n" + rcpt + "\r\nRSET\r\n"
		if c.dirty {
			all = "RSET\r\n" + all
		}
		if f := c.write(atMail, []byte(all)); f != nil {
			return mail.Reply{}, f
		}
		say = func(at step, _ string) (mail.Reply, *Failure) { return c.reply(at) }
	}
	if c.dirty {
		if f := c.forget(say); f != nil {
			return mail.Reply{}, f
		}
	}
	r, f := say(atMail, from)
	if f == nil && !r.Success() {
		f = c.refused(atMail, r)
	}
	if f != nil && (c.broken || !ahead) {
		return mail.Reply{}, f
	}
	answer, lost := say(atRcpt, rcpt)
	switch {
	case f != nil: // without MAIL it is no word about the recipient
	case lost != nil:
		f = lost
	case !answer.Success() && !answer.Temporary() && !answer.Permanent():
		f = c.refused(atRcpt, answer)
	}
	if !c.broken {
		c.forget(say) // the answer stands, whatever comes of this
	}
	if f != nil {
		return mail.Reply{}, f
	}
	return answer, nil
}

// forget has the host drop the transaction that it holds.
func (c *Conn) forget(say func(step, string) (mail.Reply, *Failure)) *Failure {
	r, f := say(atReset, "RSET")
	if f == nil && !r.Success() {
		f = c.unreset(r)
	}
	if f == nil {
		c.dirty = false
	}
	return f
}

package smtpd

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sourcegraph/conc/panics"

	"github.com/postrider/postrider/mail"
)

// serve is the visit from its first octet to its last.
func (v *visit) serve() {
	err := v.contain(v.talk)
	err = cmp.Or(v.contain(v.depart), err)
	v.farewell(err)
}

// contain does a part of the visit. A fault of ours in it ends this visit, and no other's.
func (v *visit) contain(part func() error) (err error) {
	if fault := panics.Try(func() { err = part() }); fault != nil {
		v.terms().opt.Log.Error("smtpd: a fault of this server ended a visit; please report it",
			"client", v.client.Addr, "fault", fmt.Sprint(fault.Value), "stack", string(fault.Stack))
		return errFault
	}
	return err
}

// talk obeys until the visit ends.
func (v *visit) talk() error {
	err := v.open()
	for err == nil {
		var l []byte
		var fit bool
		if l, fit, err = v.line(true); fit {
			err = v.obey(l)
		}
	}
	return err
}

// depart tells the host that the client goes.
func (v *visit) depart() error {
	if v.host != nil {
		defer v.host.Close()
	}
	v.reset()
	return nil
}

// open brings the visit to its banner.
func (v *visit) open() error {
	if c, ok := v.nc.(*tls.Conn); ok {
		if err := v.handshake(c); err != nil {
			return err
		}
	}
	if err := v.wait(); err != nil {
		return err
	}
	return v.welcome()
}

// wait holds the banner back, to see who speaks before it.
func (v *visit) wait() error {
	o := &v.terms().opt
	if o.GreetDelay <= 0 || o.Spare != nil && o.Spare(v.client.Addr.Addr()) {
		return nil
	}
	err := v.fill(time.Now().Add(o.GreetDelay), true)
	v.client.Early = err == nil
	if err != nil && (v.stops() || !errors.Is(err, os.ErrDeadlineExceeded)) {
		return err
	}
	return nil
}

// welcome asks the host whether the client may come in, and says the banner.
func (v *visit) welcome() error {
	host, no := v.s.host.Greet(v.ctx, v.client)
	if host == nil {
		v.say(v.settle(no, ourFault))
		return errEnd
	}
	v.host = host
	v.until = time.Now().Add(v.terms().opt.Times.Visit)
	v.out = append(v.out, v.terms().banner...)
	return nil
}

// stops reports whether the server stops.
func (v *visit) stops() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.draining
}

// obey carries out one command. An error ends the visit.
func (v *visit) obey(l []byte) error {
	verb, arg := cutCommand(l)
	switch verb {
	case rset, noop, vrfy, expn, helpMe, helo, ehlo, lhlo, startTLS, xclient, etrn:
		if v.junk++; v.junk > v.terms().opt.MaxJunk {
			return v.refuse(mail.NoStage, tooMuchJunk)
		}
	}
	switch verb {
	case data, rset, quit, startTLS:
		if len(arg) > 0 {
			return v.refuse(stageOf(verb), noParameters)
		}
	}
	switch verb {
	case mailFrom:
		return v.mail(string(arg))
	case rcptTo:
		return v.rcpt(string(arg))
	case data:
		return v.data()
	case bdat:
		return v.bdat(string(arg))
	case helo, ehlo, lhlo:
		return v.greet(verb, string(arg))
	case rset:
		v.reset()
		return v.say(ok)
	case noop:
		return v.say(ok)
	case quit:
		v.say(bye)
		return errQuit
	case vrfy:
		return v.say(vrfyMaybe)
	case helpMe:
		return v.say(help)
	case startTLS:
		return v.startTLS()
	case xforward:
		return v.forward(string(arg))
	case xclient:
		return v.become(string(arg))
	case etrn:
		return v.start(string(arg))
	case expn, unmade:
		return v.refuse(mail.NoStage, notMade)
	case http:
		return v.refuse(mail.NoStage, talksHTTP)
	}
	return v.refuse(mail.NoStage, syntax("Unknown command"))
}

func stageOf(c verb) mail.Stage {
	switch c {
	case data, bdat:
		return mail.Data
	case startTLS:
		return mail.TLS
	}
	return mail.NoStage
}

// reset ends the transaction, if there is one.
func (v *visit) reset() {
	if v.forwarded != (Forwarded{}) { // it counts for one message (XFORWARD_README)
		v.forwarded = Forwarded{}
		v.host.(Forwarder).Forward(v.forwarded)
	}
	if v.env != nil {
		v.env = nil
		v.host.Reset()
	}
}

// greet is EHLO, HELO and LHLO. All of them reset (RFC 5321 4.1.4).
func (v *visit) greet(c verb, name string) error {
	if (c == lhlo) != v.terms().opt.LMTP {
		text := "This is SMTP; say EHLO"
		if v.terms().opt.LMTP {
			text = "This is LMTP; say LHLO"
		}
		return v.refuse(mail.Hello, mail.Reply{Code: 502, Status: mail.Status{5, 5, 1}, Text: text})
	}
	if name == "" || len(name) > mail.MaxDomain || !ascii(name) {
		return v.refuse(mail.Hello, badParameter("Say your host name"))
	}
	v.reset()
	h := Hello{Name: name, Extended: c != helo, TLS: v.hello.TLS}
	if no := v.settle(v.host.Hello(v.ctx, h), ok); !no.Success() {
		v.greeted = false
		return v.answer(no)
	}
	v.hello, v.greeted = h, true
	switch {
	case c == helo:
		v.out = append(append(append(v.out, "250 "...), v.terms().opt.Hostname...), "\r\n"...)
	case v.trusted():
		v.out = append(v.out, v.terms().ehloTrusted...)
	case h.TLS != nil:
		v.out = append(v.out, v.terms().ehloTLS...)
	default:
		v.out = append(v.out, v.terms().ehlo...)
	}
	return nil
}

// startTLS begins anew on a protected connection (RFC 3207). Octets that came
// behind the command in plain text may be another's: they end the visit
// (CVE-2011-0411, CVE-2021-38371).
func (v *visit) startTLS() error {
	switch {
	case v.hello.TLS != nil:
		return v.refuse(mail.TLS, tlsAlready)
	case v.terms().opt.TLSConfig == nil:
		return v.refuse(mail.TLS, notMade)
	case !v.greeted:
		return v.refuse(mail.TLS, helloFirst)
	case len(v.pending()) > 0:
		return v.refuse(mail.TLS, plainAfterTLS)
	}
	v.reset()
	v.say(readyForTLS)
	if err := v.flush(); err != nil {
		return err
	}
	v.greeted = false
	return v.handshake(tls.Server(v.nc, v.terms().opt.TLSConfig()))
}

// handshake takes c for the connection once it is safe.
func (v *visit) handshake(c *tls.Conn) error {
	ctx, cancel := context.WithTimeout(v.ctx, v.terms().opt.Times.Handshake)
	defer cancel()
	if err := v.arm(time.Time{}, false); err != nil {
		return err
	}
	if err := c.HandshakeContext(ctx); err != nil {
		v.terms().opt.Refused(v.client, mail.TLS, mail.Reply{Text: mail.Clean(err.Error(), mail.MaxReplyLine)})
		return errGone
	}
	state := c.ConnectionState()
	v.hello = Hello{TLS: &state}
	v.mu.Lock()
	v.nc = c
	v.mu.Unlock()
	return nil
}

// mail is MAIL.
func (v *visit) mail(arg string) error {
	switch {
	case !v.greeted:
		return v.refuse(mail.Mail, helloFirst)
	case v.env != nil:
		return v.refuse(mail.Mail, nested)
	case v.messages >= v.terms().opt.MaxMessages:
		return v.refuse(mail.Mail, tooManyMails)
	}
	m, no := parseMail(arg, &v.terms().opt)
	if !no.IsZero() {
		return v.refuse(mail.Mail, no)
	}
	env := &m.env
	r := v.settle(v.host.Mail(v.ctx, env, m.size), senderOK)
	if r.Success() {
		v.env, v.tries = env, 0
	}
	return v.answer(r)
}

// rcpt is RCPT.
func (v *visit) rcpt(arg string) error {
	if v.env == nil {
		return v.refuse(mail.Rcpt, mailFirst)
	}
	if v.tries++; v.tries > 2*v.terms().opt.MaxRcpts {
		return v.refuse(mail.Rcpt, rcptFlood)
	}
	if len(v.env.To) >= v.terms().opt.MaxRcpts {
		return v.refuse(mail.Rcpt, tooManyRcpts)
	}
	to, no := parseRcpt(arg, v.env.UTF8)
	if !no.IsZero() {
		return v.refuse(mail.Rcpt, no)
	}
	r := v.settle(v.host.Rcpt(v.ctx, v.env, to), recipientOK)
	if r.Success() {
		v.env.To = append(v.env.To, to)
	}
	return v.answer(r)
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

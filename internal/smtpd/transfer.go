package smtpd

import (
	"errors"
	"io"
	"time"

	"github.com/postrider/postrider/mail"
)

// data is DATA.
func (v *visit) data() error {
	switch {
	case v.env == nil:
		return v.refuse(mail.Data, mailFirst)
	case len(v.env.To) == 0:
		return v.refuse(mail.Data, v.nobody())
	}
	v.say(goAhead)
	if err := v.flush(); err != nil {
		return err
	}
	return v.transfer(&body{v: v, dec: v.decoder(true)})
}

// nobody is the answer to a message without recipients: 503 under LMTP
// (RFC 2033 4.2), and where none was named; 554 where all were refused.
func (v *visit) nobody() mail.Reply {
	if v.tries == 0 || v.terms().opt.LMTP {
		return rcptFirst
	}
	return noRecipients
}

func (v *visit) decoder(dots bool) decoder {
	d := decoder{dots: dots, bol: true, maxLine: v.terms().opt.MaxBodyLine}
	if v.terms().opt.BareNewline == Normalize {
		d.mode = repair
	}
	return d
}

// bdat is the first BDAT of a message, or one that belongs to none: its chunk
// is swallowed before it is refused (RFC 3030 2).
func (v *visit) bdat(arg string) error {
	size, last, ok := parseChunk(arg)
	if !ok {
		return v.badChunk()
	}
	b := &body{v: v, dec: v.decoder(false), left: size, last: last}
	no := mailFirst
	if v.env != nil {
		if len(v.env.To) > 0 {
			return v.transfer(b)
		}
		no = v.nobody()
	}
	v.until = farOff()
	err := b.swallow()
	v.until = time.Now().Add(v.terms().opt.Times.Visit)
	if err != nil && err != errSwallow {
		return err
	}
	if no := v.refuse(mail.Data, no); no != nil {
		return no
	}
	if err == errSwallow {
		return errEnd
	}
	return nil
}

// badChunk ends the visit: where the chunk ends, nobody knows, and its octets
// must not become commands.
func (v *visit) badChunk() error {
	if err := v.refuse(mail.Data, badChunk); err != nil {
		return err
	}
	return errEnd
}

// farOff is a deadline that does not matter.
func farOff() time.Time { return time.Now().Add(365 * 24 * time.Hour) }

// transfer hands the Host a message and answers it.
func (v *visit) transfer(b *body) error {
	env := v.env
	v.env, v.forwarded = nil, Forwarded{}
	v.until = farOff()
	v.grow()
	r := v.host.Data(v.ctx, Transfer{Envelope: env, Body: b, Protocol: v.protocol(env)})
	v.until = time.Now().Add(v.terms().opt.Times.Visit)
	found := b.err
	if errors.Is(found, ErrCutOff) {
		return found
	}
	if found == ErrAborted {
		v.messages++
		return v.obey(b.again)
	}
	var end error
	if found != io.EOF {
		if end = b.swallow(); wireFault(end) && end != errSwallow {
			return end
		}
	}
	return v.conclude(env, b, found, r, end)
}

// conclude answers a message whose octets are all taken, or given up.
func (v *visit) conclude(env *mail.Envelope, b *body, found error, r mail.Reply, end error) error {
	var fault *BodyError
	own := true
	switch {
	case errors.As(found, &fault) && !r.Temporary() && !r.Permanent():
		r = fault.Reply
	case r.IsZero() || r.Success() && found != io.EOF:
		v.terms().opt.Log.Error("smtpd: the host took a message without reading it to its end", "reply", r.Line())
		r = ourFault
	default:
		r, own = v.settle(r, ourFault), false
	}
	v.messages++
	if r.Success() {
		v.errors, v.junk = 0, 0
	}
	times := 1
	if v.terms().opt.LMTP && (b.dec.dots || b.last) {
		times = len(env.To)
	}
	if own {
		v.terms().opt.Refused(v.client, mail.Dot, r)
	}
	for range times - 1 {
		if err := v.say(r); err != nil {
			return err
		}
	}
	if err := v.answer(r); err != nil {
		return err
	}
	if end == errSwallow {
		return errEnd
	}
	return nil
}

// protocol is the keyword of RFC 3848 and RFC 6531 4.3 for how a message came.
func (v *visit) protocol(env *mail.Envelope) string {
	i := 0
	if v.hello.TLS != nil {
		i = 1
	}
	switch {
	case v.terms().opt.LMTP && env.UTF8:
		return [...]string{"UTF8LMTP", "UTF8LMTPS"}[i]
	case v.terms().opt.LMTP:
		return [...]string{"LMTP", "LMTPS"}[i]
	case env.UTF8:
		return [...]string{"UTF8SMTP", "UTF8SMTPS"}[i]
	case v.hello.Extended || i == 1:
		return [...]string{"ESMTP", "ESMTPS"}[i]
	}
	return "SMTP"
}

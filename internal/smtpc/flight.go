package smtpc

import (
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

var (
	atReset = step{mail.Mail, "RSET"}
	atMail  = step{mail.Mail, "MAIL"}
	atRcpt  = step{mail.Rcpt, "RCPT"}
	atData  = step{mail.Data, "DATA"}
	atBdat  = step{mail.Data, "BDAT"}
)

// flightSize bounds the commands sent before their replies are read: a host whose
// replies nobody reads stops reading too (RFC 2920 3.1).
const flightSize = 16 << 10

// inTurn says the envelope command by command. It reports whether the message's
// bytes may follow.
func (t *transaction) inTurn(data bool) bool {
	c := t.c
	if c.dirty && !t.oneReply(atReset, "RSET\r\n", t.onReset) {
		return false
	}
	if !t.forward() {
		return false
	}
	t.buf.cmd = t.appendMail(t.buf.cmd[:0])
	if !t.oneReply(atMail, "", t.onMail) {
		return false
	}
	for n, i := range t.live {
		t.buf.cmd = t.appendRcpt(t.buf.cmd[:0], i)
		if !t.oneReply(atRcpt, "", func(r mail.Reply) bool { return t.onRcpt(i, r) }) {
			return false
		}
		if t.res.Outcomes[i].Skipped {
			for _, j := range t.live[n+1:] {
				t.res.Outcomes[j].Skipped = true
			}
			break
		}
	}
	if len(t.accepted) == 0 {
		return false
	}
	return !data || t.oneReply(atData, "DATA\r\n", t.onData)
}

// oneReply sends line, or what is in the command buffer, and hands on its reply.
func (t *transaction) oneReply(at step, line string, on func(mail.Reply) bool) bool {
	if line != "" {
		t.buf.cmd = append(t.buf.cmd[:0], line...)
	}
	if f := t.c.write(at, t.buf.cmd); f != nil {
		t.settle(f)
		return false
	}
	return t.hear(at, on)
}

func (t *transaction) hear(at step, on func(mail.Reply) bool) bool {
	r, f := t.c.reply(at)
	if f != nil {
		t.settle(f)
		return false
	}
	if r.Code == 421 { // "may be a reply to any command" (RFC 5321 4.2.3)
		t.settle(t.c.refused(at, r))
		return false
	}
	return on(r)
}

// pipelined says the envelope in as few writes as may be, DATA at the end of the
// last (RFC 2920 3.1). It reports whether the message's bytes may follow.
func (t *transaction) pipelined(data bool) bool {
	reset := t.c.dirty
	b := t.start()
	for next := 0; ; {
		from := next
		for next < len(t.live) && len(b) < flightSize {
			b = t.appendRcpt(b, t.live[next])
			next++
		}
		last := next == len(t.live)
		if last && data {
			b = append(b, "DATA\r\n"...)
		}
		t.buf.cmd = b
		first := atRcpt
		if from == 0 {
			first = atMail
		}
		if f := t.c.write(first, b); f != nil {
			t.settle(f)
			return false
		}
		if from == 0 && !t.started(reset) {
			return false
		}
		refused := from == 0 && !t.hear(atMail, t.onMail)
		for _, i := range t.live[from:next] {
			if t.c.broken || !t.hear(atRcpt, func(r mail.Reply) bool { return refused || t.onRcpt(i, r) }) {
				return false
			}
		}
		switch {
		case t.c.broken:
			return false
		case last && data && len(t.accepted) == 0:
			t.idleData()
			return false
		case refused || last && len(t.accepted) == 0:
			return false
		case last:
			return !data || t.hear(atData, t.onData)
		}
		b = b[:0]
	}
}

// start begins a group of commands: RSET where a transaction is left over, XFORWARD,
// MAIL.
func (t *transaction) start() []byte {
	b := t.buf.cmd[:0]
	if t.c.dirty {
		b = append(b, "RSET\r\n"...)
	}
	return t.appendMail(t.appendForward(b))
}

// started hears the replies to what start put in front of MAIL.
func (t *transaction) started(reset bool) bool {
	if reset && !t.hear(atReset, t.onReset) {
		return false
	}
	for range t.forwards {
		if !t.hear(atForward, t.onForward) {
			return false
		}
	}
	return true
}

// idleData hears the reply to a DATA that no recipient was accepted for. A host that
// says 354 all the same gets the dot at once (RFC 2920 3.1).
func (t *transaction) idleData() {
	c := t.c
	r, f := c.reply(atData)
	if f != nil || r.Code/100 != 3 {
		return
	}
	if c.o.LMTP { // for no recipient there is no reply to wait for
		c.broken = true
		return
	}
	if f := c.write(atData, []byte(".\r\n")); f == nil {
		c.reply(step{mail.Data, "the final dot"})
	}
	c.dirty = t.forwards > 0
}

func (t *transaction) onReset(r mail.Reply) bool {
	if r.Success() {
		t.c.dirty = false
		return true
	}
	t.settle(t.c.unreset(r))
	return false
}

// unreset makes a failure of a refused RSET. A host that does not forget is not to be
// trusted with more, and what it says is no word about the message that is to come:
// Exim, after ten that were deferred, "554 Too many nonmail commands".
func (c *Conn) unreset(r mail.Reply) *Failure {
	f := c.refused(atReset, r)
	f.spent, c.broken = true, true
	return f
}

func (t *transaction) onMail(r mail.Reply) bool {
	t.res.Mail = r
	if r.Success() {
		t.c.dirty = true
		return true
	}
	t.settle(t.c.refused(atMail, r))
	return false
}

// onRcpt notes the reply to one recipient; false only if the connection is lost.
func (t *transaction) onRcpt(i int, r mail.Reply) bool {
	o := &t.res.Outcomes[i]
	switch {
	case r.Success():
		o.Rcpt = r
		t.accepted = append(t.accepted, i)
	case len(t.accepted) > 0 && tooMany(r):
		o.Skipped, o.Reply, o.Theirs = true, r, true
	default:
		f := t.c.refused(atRcpt, r)
		if t.c.broken {
			t.settle(f)
			return false
		}
		*o = outcome(f)
	}
	return true
}

// tooMany reports whether a refusal is about the number of recipients and not about
// this one: 452, by old hosts 552 (RFC 5321 4.5.3.1.10), or whatever code with
// X.5.3. But Gmail says "452 4.2.2 … over quota" of one mailbox.
func tooMany(r mail.Reply) bool {
	if r.Status[1] == 5 && r.Status[2] == 3 {
		return true
	}
	return (r.Code == 452 || r.Code == 552) && r.Status[1] != 1 && r.Status[1] != 2
}

func (t *transaction) onData(r mail.Reply) bool {
	t.res.Data = r
	if r.Code/100 == 3 {
		return true
	}
	t.settle(t.c.refused(atData, r))
	return false
}

// appendMail appends the MAIL command.
func (t *transaction) appendMail(b []byte) []byte {
	x, m, env := &t.c.ext, &t.m, t.m.Envelope
	b = append(b, "MAIL FROM:<"...)
	b = t.c.appendAddress(b, env.From)
	b = append(b, '>')
	if x.Size {
		b = append(b, " SIZE="...)
		b = strconv.AppendInt(b, t.size, 10)
	}
	switch {
	case env.Body == mail.BinaryMIME:
		b = append(b, " BODY=BINARYMIME"...)
	case x.EightBit && (m.EightBit || env.Body == mail.EightBit):
		b = append(b, " BODY=8BITMIME"...)
	}
	if x.UTF8 && t.utf8() {
		b = append(b, " SMTPUTF8"...)
	}
	if x.DSN {
		if env.Return != mail.ReturnAny {
			b = append(append(b, " RET="...), env.Return.String()...)
		}
		if env.ID != "" && xtext(env.ID, false) {
			b = append(append(b, " ENVID="...), env.ID...)
		}
	}
	// In mode N the time may be up already: "BY=-120;N" (RFC 2852 4).
	if by := m.By; x.DeliverBy && !by.IsZero() {
		b = append(b, " BY="...)
		b = strconv.AppendInt(b, int64(by.Within/time.Second), 10)
		b = append(b, ';', 'N')
		if by.Return {
			b[len(b)-1] = 'R'
		}
		if by.Trace {
			b = append(b, 'T')
		}
	}
	return append(b, '\r', '\n')
}

// utf8 reports whether the transaction is internationalized (RFC 6531 3.1).
func (t *transaction) utf8() bool {
	env := t.m.Envelope
	if env.UTF8 || t.m.UTF8 || !env.From.IsASCII() {
		return true
	}
	for _, i := range t.live {
		if !env.To[i].Address.IsASCII() {
			return true
		}
	}
	return false
}

// appendRcpt appends the RCPT command of one recipient.
func (t *transaction) appendRcpt(b []byte, i int) []byte {
	x, to := &t.c.ext, &t.m.Envelope.To[i]
	b = append(b, "RCPT TO:<"...)
	b = t.c.appendAddress(b, to.Address)
	b = append(b, '>')
	if x.DSN {
		if to.Notify != 0 {
			b = append(append(b, " NOTIFY="...), to.Notify.String()...)
		}
		if to.Original != "" && xtext(to.Original, x.UTF8) {
			b = append(append(b, " ORCPT="...), to.Original...)
		}
	}
	return append(b, '\r', '\n')
}

// appendAddress appends the address as this host can read it: without SMTPUTF8 a
// domain goes out in A-labels (RFC 5891).
func (c *Conn) appendAddress(b []byte, a mail.Address) []byte {
	b = append(b, a.Local...)
	if a.Domain == "" {
		return b
	}
	d := a.Domain
	if !c.ext.UTF8 && !a.IsASCII() {
		d, _ = mail.CanonicalDomain(d)
	}
	return append(append(b, '@'), d...)
}

// unwritable says why this host cannot be given the address as a recipient; nil if it
// can.
func (c *Conn) unwritable(a mail.Address) *Failure {
	switch {
	case !safe(a):
		return own(mail.Rcpt, mail.Status{5, 1, 3}, "address cannot be written in a command")
	case !c.ext.UTF8 && !wireASCII(a):
		return own(mail.Rcpt, mail.Status{5, 6, 7}, "address is not ASCII and the host does not offer SMTPUTF8")
	}
	return nil
}

// wireASCII reports whether a host without SMTPUTF8 can be given the address.
func wireASCII(a mail.Address) bool {
	if a.IsASCII() {
		return true
	}
	_, err := mail.CanonicalDomain(a.Domain)
	return err == nil && mail.Address{Local: a.Local}.IsASCII()
}

// safe is the last defence against an address that ends its path or its command.
func safe(a mail.Address) bool {
	quoted := strings.HasPrefix(a.Local, `"`)
	for i := range len(a.Local) {
		if c := a.Local[i]; c < ' ' || c == 0x7f || !quoted && (c == ' ' || c == '<' || c == '>') {
			return false
		}
	}
	for i := range len(a.Domain) {
		if c := a.Domain[i]; c <= ' ' || c == 0x7f || c == '<' || c == '>' || c == '@' {
			return false
		}
	}
	return true
}

// xtext reports whether s can stand in a command as the value of a parameter. A line
// end in ORCPT once was a hole (CVE-2020-28026).
func xtext(s string, utf8 bool) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f || c == '=' && !utf8 || c > 0x7f && !utf8 {
			return false
		}
	}
	return true
}

package smtpc

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// Message is what one transaction sends.
type Message struct {
	// Envelope holds the return path, its parameters, and as To the recipients of
	// this transaction. Its By is not sent: see By below.
	Envelope *mail.Envelope
	// Bytes is the message if it is at hand; else Body is read, Size octets of it.
	Bytes []byte
	Body  io.ReaderAt
	Size  int64
	// EightBit says that it holds bytes above 127, UTF8 that its header does. A host
	// is asked to be ready for them where it offers to be.
	EightBit, UTF8 bool
	// By is DELIVERBY with the time that is left (RFC 2852 4.1.4); zero: not asked.
	By mail.DeliverBy
	// Forward is told to a host that offers XFORWARD, in front of MAIL. Whether it wants
	// to hear it is no matter of the message. Nil: nothing is told.
	Forward *Forward
}

// Taken says what the host took on. The values are those of custody.Taken.
type Taken uint8

const (
	Nothing  Taken = iota // it did not take the message
	Onward                // custody, by a host that knows no DSN
	Promised              // custody and the wishes of RFC 3461, which were passed on
	Mailbox               // final delivery (LMTP)
)

// Outcome is what became of one recipient in one transaction.
type Outcome struct {
	Stage     mail.Stage // how far it came
	Reply     mail.Reply // the host's words, or ours with Code 0
	Theirs    bool       // the host said Reply
	Permanent bool       // words of ours that waiting will not change
	Taken     Taken      // Nothing unless the host took the message
	// Ambiguous: the whole message went out and the answer to it was lost. The host
	// may have it.
	Ambiguous bool
	Ours      bool // the fault is on our side: the stored message could not be read
	// Skipped: nothing was tried for this recipient, who wants another transaction.
	// Reply is what the host said, if it said that there are too many.
	Skipped bool
	Rcpt    mail.Reply // the host's acceptance of the recipient, if it came to that
	Err     error      // the cause behind words of ours; for logs
}

// Result is what a transaction brought.
type Result struct {
	Outcomes []Outcome // one for each of Envelope.To, in its order
	// Broken: the connection can serve no more; the caller closes it.
	Broken bool
	// Stale: the connection had served before and was gone when this transaction
	// began, or the host refused to forget the one before. Nothing was tried: open a
	// new one and send again, once.
	Stale bool
	Mail  mail.Reply // the reply to MAIL
	Data  mail.Reply // the reply to DATA
}

// Send runs one transaction. It never fails: each recipient has its outcome. When
// ctx ends, the connection is closed and what has no outcome yet gets one that
// says so.
func (c *Conn) Send(ctx context.Context, m Message) Result {
	t := &transaction{c: c, m: m, size: m.Size}
	if m.Body == nil {
		t.size = int64(len(m.Bytes))
	}
	t.res.Outcomes = make([]Outcome, len(m.Envelope.To))
	if !c.Reusable() {
		for i := range t.res.Outcomes {
			t.res.Outcomes[i].Skipped = true
		}
		t.res.Broken, t.res.Stale = true, c.sends > 0
		return t.res
	}
	if t.admit(); len(t.live) == 0 {
		return t.res
	}
	c.heard = 0
	end := c.watch(ctx)
	t.buf = pool.Get().(*buffers)
	t.run()
	pool.Put(t.buf)
	end()
	c.sends++
	c.last = time.Now()
	t.res.Broken = c.broken
	return t.res
}

// transaction is one Send under way. A recipient of live has its outcome as soon as
// its Stage is set.
type transaction struct {
	c        *Conn
	m        Message
	size     int64
	buf      *buffers
	live     []int // recipients that are sent, as indices of Envelope.To
	accepted []int // those the host said 2yz to
	sent     bool  // the message's last byte is out
	chunked  bool  // it goes by BDAT
	forwards uint8 // XFORWARD commands in front of MAIL
	res      Result
}

// admit settles what needs no host to be refused, and picks the recipients that
// this transaction can hold (RFC 9422 6).
func (t *transaction) admit() {
	x, env := &t.c.ext, t.m.Envelope
	t.live = make([]int, 0, len(env.To))
	if f := t.unfit(); f != nil {
		for i := range env.To {
			t.live = append(t.live, i)
		}
		t.settle(f)
		t.live = nil
		return
	}
	var domains []string
	for i := range env.To {
		a := env.To[i].Address
		out := &t.res.Outcomes[i]
		if f := t.c.unwritable(a); f != nil {
			*out = outcome(f)
			continue
		}
		if x.RcptMax > 0 && len(t.live) >= x.RcptMax {
			out.Skipped = true
			continue
		}
		if x.RcptDomainMax > 0 {
			d := strings.ToLower(a.Domain)
			if !slices.Contains(domains, d) {
				if len(domains) >= x.RcptDomainMax {
					out.Skipped = true
					continue
				}
				domains = append(domains, d)
			}
		}
		t.live = append(t.live, i)
	}
}

// unfit says why this host cannot take this message at all; nil if it can.
func (t *transaction) unfit() *Failure {
	x, m := &t.c.ext, &t.m
	from := m.Envelope.From
	switch {
	case x.SizeMax > 0 && t.size > x.SizeMax:
		return own(mail.Mail, mail.Status{5, 3, 4}, fmt.Sprintf("message of %d octets exceeds the limit of %d octets announced by the host", t.size, x.SizeMax))
	case !safe(from):
		return own(mail.Mail, mail.Status{5, 1, 7}, "return path cannot be written in a command")
	case !x.UTF8 && (m.UTF8 || !wireASCII(from)):
		return own(mail.Mail, mail.Status{5, 6, 7}, "message is internationalized and the host does not offer SMTPUTF8")
	case m.Envelope.Body == mail.BinaryMIME && !x.Binary:
		return own(mail.Mail, mail.Status{5, 6, 3}, "message is binary and the host does not offer BINARYMIME")
	// RFC 2852 4.1.4.1: mode R must not go where nobody keeps its promise.
	case m.By.Return && !x.DeliverBy:
		return own(mail.Mail, mail.Status{5, 3, 3}, "message asks to be returned if late and the host does not offer DELIVERBY")
	case m.By.Return && m.By.Within < max(x.ByMin, time.Second):
		return own(mail.Mail, mail.Status{5, 4, 7}, "too little time is left for what DELIVERBY asks of the host")
	}
	return nil
}

// run speaks the transaction.
func (t *transaction) run() {
	c := t.c
	binary := t.m.Envelope.Body == mail.BinaryMIME
	bdat := binary || c.o.Chunking && c.ext.Chunking
	t.chunked = bdat
	switch {
	// RFC 3030 4.2: the chunk may follow the recipients unasked. Not where the host
	// may have gone since: its silence would look like an answer lost. Nor behind RSET:
	// one that refuses it might take the message all the same.
	case bdat && c.ext.Pipelining && t.size <= inSize && !c.dirty && (c.sends == 0 || time.Since(c.last) < 2*time.Second):
		t.oneFlight(binary)
	case c.ext.Pipelining:
		if t.pipelined(!bdat) {
			t.body(bdat, binary)
		}
	default:
		if t.inTurn(!bdat) {
			t.body(bdat, binary)
		}
	}
}

func (t *transaction) body(bdat, binary bool) {
	if bdat {
		t.chunks(binary)
	} else {
		t.data()
	}
}

// conclude reads the host's answer to the message: one, or with LMTP one for each
// accepted recipient, in their order (RFC 2033 4.2).
func (t *transaction) conclude() {
	c := t.c
	at := step{mail.Dot, "the final dot"}
	t.sent = true
	for n, i := range t.accepted {
		r, f := c.reply(at)
		if f != nil {
			t.settle(f)
			return
		}
		if !r.Success() && (r.Code < 400 || c.broken) {
			t.settle(c.refused(at, r))
			return
		}
		// RFC 3030 2: after a refused chunk the host keeps the transaction.
		c.dirty = t.chunked && !r.Success()
		if c.o.LMTP {
			t.answer(i, r)
			continue
		}
		for _, i := range t.accepted[n:] {
			t.answer(i, r)
		}
		break
	}
}

func (t *transaction) answer(i int, r mail.Reply) {
	o := &t.res.Outcomes[i]
	o.Stage, o.Reply, o.Theirs = mail.Dot, r, true
	switch {
	case !r.Success():
	case t.c.o.LMTP:
		o.Taken = Mailbox
	case t.c.ext.DSN:
		o.Taken = Promised
	default:
		o.Taken = Onward
	}
}

// settle gives f to every recipient without an outcome.
func (t *transaction) settle(f *Failure) {
	if !t.sent {
		t.res.Stale = t.c.stale(f)
	}
	for _, i := range t.live {
		o := &t.res.Outcomes[i]
		if o.Stage != mail.NoStage || o.Skipped {
			continue
		}
		rcpt := o.Rcpt
		*o = outcome(f)
		o.Rcpt = rcpt
		if t.sent && !f.Theirs {
			o.Stage, o.Ambiguous = mail.Dot, true
		}
	}
}

// stale reports whether a failure only means that a kept connection ended before we
// spoke: its first sign of life is its end, or it is of no more use.
func (c *Conn) stale(f *Failure) bool {
	return c.sends > 0 && (f.gone && c.heard == 0 || f.Reply.Code == 421 && c.heard == 1 || f.spent)
}

func outcome(f *Failure) Outcome {
	return Outcome{Stage: f.Stage, Reply: f.Reply, Theirs: f.Theirs, Permanent: f.Permanent, Err: f.Err}
}

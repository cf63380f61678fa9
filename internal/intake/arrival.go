package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/auth"
	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
)

// arrival is a message on its way into a draft. It holds the header back until
// it is whole, looks at it, and lets the rest pass through.
type arrival struct {
	r        *Rules
	draft    spool.Draft
	trace    mail.Trace
	id       custody.ID
	at       time.Time
	complete bool // add Message-ID and Date where they are missing: the client is ours
	foreign  bool // what only we may say is taken out: the client is not ours
	whole    bool // it is judged before it gets its own fields: what is written is as it came

	head    []byte // the header so far; nil once it is in the draft
	passed  bool
	msgid   string
	subject string
	ascii   bool // the header as it is stored holds nothing else

	// Of one that is read as a whole: our own fields, its header without the blank
	// line, and where in the draft the body begins.
	front  []byte
	header mail.Header
	bodyAt int64
}

// refusal is an error with words for the client.
type refusal struct{ reply mail.Reply }

func (e *refusal) Error() string { return "intake: refused: " + e.reply.Line() }

// Refused returns the words: the message will never be taken.
func (e *refusal) Refused() mail.Reply { return e.reply }

func (in *Intake) arrival(r *Rules, d spool.Draft, t mail.Trace) *arrival {
	a := &arrival{r: r, draft: d, trace: t, at: time.Now()}
	a.id = NewID(a.at)
	a.trace.ID, a.trace.Arrived = a.id.String(), a.at
	return a
}

func (a *arrival) Write(b []byte) (int, error) {
	if a.passed {
		return a.draft.Write(b)
	}
	if from := max(0, len(a.head)-3); len(a.head) == 0 && headerEnds(b, 0) {
		a.head = b // most come as a whole
	} else if a.head = append(a.head, b...); !headerEnds(a.head, from) {
		if len(a.head) > a.r.MaxHeader {
			return 0, a.tooLong()
		}
		return len(b), nil
	}
	err := a.pass()
	a.head = nil
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

// headerEnds reports whether a message's header ends within b, behind from.
func headerEnds(b []byte, from int) bool {
	return bytes.Contains(b[from:], []byte("\r\n\r\n")) || bytes.HasPrefix(b, []byte("\r\n"))
}

// end is called when the message is whole.
func (a *arrival) end() error {
	if a.passed {
		return nil
	}
	return a.pass()
}

func (a *arrival) tooLong() error {
	return &refusal{mail.Reply{Code: 552, Status: mail.Status{5, 3, 4}, Text: fmt.Sprintf("The header exceeds %d octets", a.r.MaxHeader)}}
}

// pass looks at the header and writes it, our trace line in front.
func (a *arrival) pass() error {
	h, _ := mail.SplitMessage(a.head)
	if len(h) > a.r.MaxHeader {
		return a.tooLong()
	}
	hops, length := 0, 0
	date := false
	for f := range h.Fields() {
		length += len(f.Raw)
		switch {
		case strings.EqualFold(f.Name, "Received"):
			hops++
		case strings.EqualFold(f.Name, "Message-ID") && a.msgid == "":
			a.msgid = mail.Clean(strings.Trim(f.Value(), "<>"), 998)
		case strings.EqualFold(f.Name, "Subject") && a.subject == "":
			a.subject = mail.Clean(f.Value(), 200)
		case strings.EqualFold(f.Name, "Date"):
			date = true
		}
	}
	if hops > a.r.MaxHops {
		return &refusal{mail.Reply{Code: 554, Status: mail.Status{5, 4, 6}, Text: fmt.Sprintf("The message has passed %d hosts: it goes in a circle", hops)}}
	}
	front := a.trace.AppendTo(make([]byte, 0, 512))
	if a.complete && a.msgid == "" {
		a.msgid = a.id.String() + "@" + a.r.Hostname
		front = append(front, "Message-ID: <"+a.msgid+">\r\n"...)
	}
	if a.complete && !date {
		front = append(a.at.AppendFormat(append(front, "Date: "...), mail.DateTime), '\r', '\n')
	}
	a.passed = true
	unparted := length < len(h) // the blank line is missing: what is no field is body
	if a.whole {
		a.front = front
		a.header, front = slices.Clone(h[:length]), nil
	} else if a.foreign {
		if kept := a.r.unclaimed(h[:length]); len(kept) < length {
			a.head = append(slices.Clip(kept), a.head[length:]...)
			length = len(kept)
		}
	}
	a.ascii = mail.Header(front).IsASCII() && mail.Header(a.head[:length]).IsASCII()
	if _, err := a.draft.Write(front); err != nil {
		return err
	}
	if unparted {
		if _, err := a.draft.Write(append(a.head[:length:length], '\r', '\n')); err != nil {
			return err
		}
		a.head = a.head[length:]
	}
	a.bodyAt = int64(length + len("\r\n"))
	if !unparted && length == len(a.head) { // not even a blank line
		a.bodyAt = int64(length)
	}
	_, err := a.draft.Write(a.head)
	a.head = nil
	return err
}

// letInField names in a message the override that let it in.
const letInField = "Postrider-Let-In"

// unclaimed returns a stranger's header without what only we may say of a message:
// what was proved of it, and that an override let it in.
func (r *Rules) unclaimed(h mail.Header) mail.Header {
	h, _ = auth.Strip(h, r.Hostname)
	if !h.Has(letInField) {
		return h
	}
	var kept mail.Header
	for f := range h.Fields() {
		if !strings.EqualFold(f.Name, letInField) {
			kept = append(kept, f.Raw...)
		}
	}
	return kept
}

// message is what has arrived. Clients say SMTPUTF8 of any message wherever it is
// offered (Go's net/smtp), and only one that needs it must not go to a host without
// (RFC 6531 3.2, 3.6). The fields of MIME parts are body here, which needs no more
// than 8BITMIME.
func (a *arrival) message(env mail.Envelope, came custody.Came) custody.Message {
	env.UTF8 = env.UTF8 && !(a.ascii && env.IsASCII())
	env.To = nil
	return custody.Message{
		ID: a.id, Envelope: env, Accepted: a.at, Came: came, Size: a.draft.Size(),
		MessageID: a.msgid, Subject: a.subject,
	}
}

func (s *session) trace(r *Rules, t smtpd.Transfer) mail.Trace {
	tr := mail.Trace{Helo: s.hello.Name, By: r.Hostname, With: t.Protocol, Cipher: cipher(s.hello.TLS)}
	if ip := s.client.Addr.Addr(); ip.IsValid() {
		tr.Client = ip.Unmap().String()
	}
	if n, ok := s.facts.Name.Value(); ok && n.Confirmed {
		tr.Name = n.Name
	}
	if len(t.Envelope.To) == 1 {
		tr.For = t.Envelope.To[0].Address.String()
	}
	return tr
}

func (s *session) came(r *Rules, t smtpd.Transfer) custody.Came {
	c := custody.Came{Helo: s.hello.Name, Protocol: t.Protocol, Listener: s.client.Listener}
	if ip := s.client.Addr.Addr(); ip.IsValid() {
		c.Client = ip.Unmap().String()
	}
	switch {
	case s.back != "":
		return s.cameBack(r, c)
	case s.facts.Own:
		c.Rule = r.RelayRule
	case s.message != "":
		c.Rule = r.Door.place(s.message)
	case len(s.open) == 0:
		var places []string
		for _, rule := range s.by {
			places = append(places, r.Door.place(rule))
		}
		c.Rule = strings.Join(places, ", ")
	}
	for _, skip := range s.skipped {
		c.Rule = strings.TrimPrefix(c.Rule+fmt.Sprintf("; %s skipped by override %s", skip.Place, skip.Override), "; ")
	}
	return c
}

// cameBack is how a message came that a filter hands back: from the client that the
// filter names, if it does.
func (s *session) cameBack(r *Rules, c custody.Came) custody.Came {
	for _, t := range r.Door.Through {
		if t.Name == s.back {
			c.Rule = t.Rule + ": handed back"
		}
	}
	f := s.forwarded
	if f.Ident != "" {
		c.Rule += ", was " + mail.Clean(f.Ident, 100)
	}
	if f.Addr.IsValid() {
		c.Client, c.Helo = f.Addr.String(), mail.Clean(f.Helo, 255)
	}
	return c
}

// Submit takes a message that was made on this machine, as sendmail does: lines
// may end with LF alone, and what the header lacks is added. User is who made it.
func (in *Intake) Submit(ctx context.Context, env mail.Envelope, user string, body io.Reader) (custody.Message, error) {
	r := in.rules.Load()
	draft, err := in.store.Begin(ctx, 0)
	if err != nil {
		return custody.Message{}, fmt.Errorf("intake: submit: %w", err)
	}
	defer func() { draft.Abort() }()
	a := in.arrival(r, draft, mail.Trace{Helo: user, By: r.Hostname, With: "local"})
	a.complete, a.whole = true, r.Door.Signer != nil
	if len(env.To) == 1 {
		a.trace.For = env.To[0].Address.String()
	}
	text := &lineEnds{w: a}
	n, err := io.Copy(text, io.LimitReader(body, r.MaxSize+1))
	if n > r.MaxSize {
		err = &refusal{mail.Reply{Code: 552, Status: mail.Status{5, 3, 4}, Text: fmt.Sprintf("The message exceeds %d octets", r.MaxSize)}}
	}
	if err = errors.Join(err, text.close()); err != nil {
		return custody.Message{}, fmt.Errorf("intake: submit: %w", err)
	}
	if err := a.end(); err != nil {
		return custody.Message{}, fmt.Errorf("intake: submit: %w", err)
	}
	if a.whole {
		signed, err := in.anew(ctx, r, a, edit{header: a.header, sign: true})
		if err != nil {
			return custody.Message{}, fmt.Errorf("intake: submit: %w", err)
		}
		draft.Abort()
		draft, a.draft = signed, signed
	}
	to := env.To
	m := a.message(env, custody.Came{Protocol: "local", User: user, Rule: "made on this machine"})
	ds := in.Deliveries(m, to)
	m.Parts = len(ds)
	if err := draft.Commit(ctx, m, ds); err != nil {
		return custody.Message{}, fmt.Errorf("intake: submit: %w", err)
	}
	in.watch.Accepted(m, ds)
	return m, nil
}

// lineEnds makes every line end CRLF and drops NUL, so that local text is what
// the wire wants.
type lineEnds struct {
	w  io.Writer
	cr bool // the last octet was a CR, whose line end is not written yet
}

// close writes the line end that a CR at the very end stands for.
func (l *lineEnds) close() error {
	if !l.cr {
		return nil
	}
	_, err := l.w.Write([]byte("\r\n"))
	return err
}

func (l *lineEnds) Write(b []byte) (int, error) {
	out := make([]byte, 0, len(b)+len(b)/16+2)
	for _, c := range b {
		if l.cr && c != '\n' {
			out = append(out, '\r', '\n')
		}
		l.cr = c == '\r'
		switch c {
		case '\r', 0:
		case '\n':
			out = append(out, '\r', '\n')
		default:
			out = append(out, c)
		}
	}
	_, err := l.w.Write(out)
	return len(b), err
}

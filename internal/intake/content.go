package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/auth"
	"github.com/postrider/postrider/internal/filter"
	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

// paper is a message that is whole, while it is judged.
type paper struct {
	draft  spool.Draft
	header mail.Header // as it came: what signatures are about
	kept   mail.Header // without what only we may say: what filters see and change
	at     int64       // where the body begins
	id     custody.ID
	author *auth.Results // what was proved of it; nil: nobody asked
}

// body reads the body from its beginning.
func (p *paper) body() *io.SectionReader {
	return io.NewSectionReader(p.draft, p.at, p.draft.Size()-p.at)
}

// readsWhole reports whether the message must be read as a whole before it can be
// stored as it will be.
func (s *session) readsWhole(to []mail.Recipient) bool {
	d := &s.rules.Door
	return d.Table != nil && len(s.open) > 0 && d.Table.Acts(policy.Content) || len(s.skipped) > 0 || s.signs(to)
}

// signs reports whether we vouch for the message. What a filter will change is not
// signed before it comes back, and then if it was from a client of ours.
func (s *session) signs(to []mail.Recipient) bool {
	switch {
	case s.rules.Door.Signer == nil:
		return false
	case s.back != "":
		from := s.forwarded.Addr
		return from.IsValid() && s.rules.relays(netip.AddrPortFrom(from, 0))
	case !s.facts.Own:
		return false
	}
	return slices.ContainsFunc(to, func(r mail.Recipient) bool {
		_, is := s.through(r.Address.Key().Domain)
		return !is
	})
}

// judgeWhole judges a message by its content and writes it anew as it is to be
// stored: with what was proved of it, what filters want changed, and our signature.
// A reply that is not zero refuses it; hold is why it must wait for a person.
func (s *session) judgeWhole(ctx context.Context, a *arrival, t smtpd.Transfer) (next spool.Draft, hold string, no mail.Reply) {
	p := &paper{draft: a.draft, header: a.header, kept: a.header, at: a.bodyAt, id: a.id}
	if a.foreign {
		p.kept = s.rules.unclaimed(p.header)
	}
	s.paper = p
	defer func() { s.paper = nil }()
	if len(s.open) > 0 && s.rules.Door.Table != nil {
		s.facts.To, s.facts.Size, s.facts.Rates, s.facts.Accepted, s.facts.Doubt = s.open, p.draft.Size(), nil, "", s.doubts[1]
		v := s.judge(ctx, policy.Content)
		if !v.LetsIn() {
			return nil, "", s.refused(policy.Content, v)
		}
		for _, name := range v.Filters {
			s.opinions = append(s.opinions, s.said[name])
		}
		if s.rules.Door.Table.Needs(policy.Content)&(policy.NeedDKIM|policy.NeedDMARC) != 0 && p.author == nil {
			s.gather(ctx, policy.NeedDMARC) // spared by a rule, but those behind us want to know
		}
	}
	hold = s.obey(t.Envelope)
	next, err := s.in.anew(ctx, s.rules, a, s.edit(p, t.Envelope.To))
	if err != nil {
		s.fault("store a message", err)
		return nil, "", s.refuse(mail.Data, storeReply(err))
	}
	return next, hold, mail.Reply{}
}

// edit is what becomes of a message's header.
type edit struct {
	own     []byte      // fields of ours below the trace
	header  mail.Header // what is kept of its own
	changes []filter.Change
	sign    bool
}

func (s *session) edit(p *paper, to []mail.Recipient) edit {
	e := edit{header: p.kept, sign: s.signs(to)}
	if p.author != nil {
		e.own = append(e.own, p.author.Field(s.rules.Hostname)...)
	}
	for _, skip := range s.skipped {
		e.own = fmt.Appendf(e.own, letInField+": rule=%s; override=%s\r\n", skip.Rule, skip.Override)
	}
	for _, o := range s.opinions {
		e.changes = append(e.changes, o.Changes...)
	}
	return e
}

// anew writes a message as it is to be stored into a new draft.
func (in *Intake) anew(ctx context.Context, r *Rules, a *arrival, e edit) (spool.Draft, error) {
	body := io.NewSectionReader(a.draft, a.bodyAt, a.draft.Size()-a.bodyAt)
	whole, err := filter.Apply(append(slices.Clone(a.front), e.own...), e.header, e.changes)
	if err != nil {
		return nil, err
	}
	if e.sign && r.Door.Signer != nil {
		signature, err := r.Door.Signer.Sign(whole, body)
		if err != nil {
			in.log.Warn("a message goes out unsigned", "message", a.id.String(), "err", err)
		}
		whole = append(signature, whole...)
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
	}
	a.ascii = mail.Header(whole).IsASCII()
	next, err := in.store.Begin(ctx, a.draft.Size())
	if err != nil {
		return nil, err
	}
	_, err = next.Write(append(whole, "\r\n"...))
	if err == nil {
		_, err = io.Copy(next, body)
	}
	if err != nil {
		next.Abort()
		return nil, err
	}
	return next, nil
}

// Sign returns the fields by which we vouch for a message of our own, to be put
// before it; none without a key.
func (in *Intake) Sign(message []byte) []byte {
	signer := in.rules.Load().Door.Signer
	if signer == nil {
		return nil
	}
	h, body := mail.SplitMessage(message)
	fields, err := signer.Sign(h, bytes.NewReader(body))
	if err != nil {
		in.log.Warn("a letter of ours goes out unsigned", "err", err)
	}
	return fields
}

// findAuthor finds what the message proves of its author. SPF has time of its own: it
// is about a domain that the sender has chosen, and that may be slow on purpose.
func (s *session) findAuthor(ctx context.Context) func(*policy.Facts) {
	c, spf := s.checker(), s.spf
	if spf.Result == "" {
		spf = c.SPF(ctx, s.facts.Client, s.facts.Helo, s.facts.From)
	}
	found := c.Check(ctx, spf, s.paper.header, s.paper.body())
	return func(f *policy.Facts) {
		s.spf, s.paper.author = spf, &found
		var signatures []policy.Signature
		for _, g := range found.DKIM {
			signatures = append(signatures, policy.Signature{Word: string(g.Result), Domain: g.Domain, Selector: g.Selector, Reason: g.Reason})
		}
		f.DKIM = policy.Known(signatures)
		m := found.DMARC
		f.DMARC = policy.Known(policy.DMARC{Word: string(m.Result), Asks: string(m.Asks), Domain: m.Domain, Reason: m.Reason})
	}
}

// askFilter asks a filter about the message.
func (s *session) askFilter(name string) lookup {
	return func(ctx context.Context) func(*policy.Facts) {
		o := policy.Opinion{Filter: name}
		var said filter.Opinion
		var err error
		switch asked := s.rules.Door.Filters[name]; {
		case asked == nil:
			err = fmt.Errorf("there is no filter %s", name)
		case s.paper == nil:
			err = errors.New("the message is not whole yet")
		default:
			said, err = asked.Ask(ctx, s.question())
		}
		if err != nil {
			o.Fault = err.Error()
		}
		o.Reply = said.Reply
		switch said.Action {
		case filter.Accept:
			o.Action = policy.Accept
		case filter.Defer:
			o.Action = policy.Defer
		case filter.Refuse:
			o.Action = policy.Refuse
		}
		return func(f *policy.Facts) {
			f.Opinions = append(f.Opinions, o)
			if o.Fault == "" {
				s.said[name] = said
			}
		}
	}
}

// question is what a filter is told.
func (s *session) question() *filter.Message {
	f, p := &s.facts, s.paper
	m := &filter.Message{
		Host: s.rules.Hostname, Listener: s.client.Listener, Local: s.client.Local, Client: s.client.Addr, Helo: f.Helo, User: f.User,
		ID: p.id.String(), From: f.From, To: f.To, Header: p.kept, Body: p.body(), Size: p.draft.Size() - p.at,
	}
	if n, ok := f.Name.Value(); ok {
		if m.PTR = n.Name; n.Confirmed {
			m.Name = n.Name
		}
	}
	if t := s.hello.TLS; t != nil {
		version, suite, _ := strings.Cut(cipher(t), " TLS_")
		m.TLS = filter.TLS{Version: version, Cipher: "TLS_" + suite}
	}
	if spf, ok := f.SPF.Value(); ok {
		m.Proof = map[string]string{"spf": spf.Word}
	}
	return m
}

// obey does to the envelope what filters want. What one would throw away, and a
// recipient that it will not have when others are taken, waits for a person instead:
// what was answered with 250 is not lost.
func (s *session) obey(env *mail.Envelope) (hold string) {
	s.aside = nil
	to := slices.Clone(env.To)
	for _, o := range s.opinions {
		if o.Quarantine != "" {
			hold = "a filter wants a person to look at it: " + mail.Clean(o.Quarantine, 200)
		}
		if o.Action == filter.Discard {
			hold = "a filter would throw it away"
		}
		for _, r := range o.Refused {
			if s.aside == nil {
				s.aside = map[mail.Address]string{}
			}
			s.aside[r.To.Key()] = fmt.Sprintf("a filter refuses it for <%s>: %s", r.To, r.Reply.Line())
		}
		for _, c := range o.Changes {
			switch c.Kind {
			case filter.ChangeFrom:
				env.From = c.Address
			case filter.AddRecipient:
				to = append(to, mail.Recipient{Address: c.Address})
			case filter.DeleteRecipient:
				to = slices.DeleteFunc(to, func(r mail.Recipient) bool { return r.Address.Key() == c.Address.Key() })
			}
		}
	}
	if len(to) == 0 {
		return "a filter takes away its last recipient"
	}
	env.To = to
	return hold
}

// deliveries opens the custody of a message. Recipients that a filter will not have
// are set aside, each with a delivery of its own that is held.
func (s *session) deliveries(m custody.Message, to []mail.Recipient) []custody.Delivery {
	if len(s.aside) == 0 {
		return s.in.Deliveries(m, to)
	}
	var ds []custody.Delivery
	for _, r := range to {
		why := s.aside[r.Address.Key()]
		if why == "" {
			continue
		}
		for _, d := range s.in.Deliveries(m, []mail.Recipient{r}) {
			d.Held = custody.Hold{Since: m.Accepted, By: "postrider", Why: why}
			ds = append(ds, d)
		}
	}
	to = slices.DeleteFunc(slices.Clone(to), func(r mail.Recipient) bool { return s.aside[r.Address.Key()] != "" })
	ds = append(s.in.Deliveries(m, to), ds...)
	for i := range ds {
		ds[i].ID.N = uint16(i + 1)
	}
	return ds
}

// direct sends deliveries through the content filter that has not seen them, and
// holds those that must wait for a person.
func (s *session) direct(ds []custody.Delivery, at time.Time, hold string) {
	for i := range ds {
		d := &ds[i]
		if hold != "" && d.Held.IsZero() {
			d.Held = custody.Hold{Since: at, By: "postrider", Why: hold}
		}
		if t, ok := s.through(d.Domain); ok && d.Via == "" {
			d.Via = t.To
		}
	}
}

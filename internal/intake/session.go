package intake

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"

	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
)

// session is one client's visit.
type session struct {
	in     *Intake
	client smtpd.Client
	hello  smtpd.Hello
	draft  spool.Draft // opened at MAIL, where a full disk can still be told cheaply
}

func (s *session) Hello(_ context.Context, h smtpd.Hello) mail.Reply {
	s.hello = h
	return mail.Reply{}
}

func (s *session) Mail(ctx context.Context, env *mail.Envelope, size int64) mail.Reply {
	draft, err := s.in.store.Begin(ctx, size)
	if err != nil {
		s.fault("begin a message", err)
		return s.refuse(mail.Mail, env.From.String(), storeReply(err))
	}
	s.draft = draft
	return mail.Reply{}
}

// Rcpt is relay control: our own domains from anyone, everything from our own
// clients. Others are told so for good: a 4yz would make them try for days.
func (s *session) Rcpt(_ context.Context, _ *mail.Envelope, to mail.Recipient) mail.Reply {
	r := s.in.rules.Load()
	if _, known := r.alias(to.Address); known {
		return mail.Reply{}
	}
	if r.local(to.Address) {
		return s.refuse(mail.Rcpt, to.Address.String(), mail.Reply{Code: 550, Status: mail.Status{5, 1, 1}, Text: fmt.Sprintf("<%s>: no such local name", to.Address)})
	}
	domain, err := mail.CanonicalDomain(to.Address.Domain)
	if err != nil {
		return s.refuse(mail.Rcpt, to.Address.String(), mail.Reply{Code: 553, Status: mail.Status{5, 1, 3}, Text: "Not an address"})
	}
	if r.Ours(domain) || r.relays(s.client.Addr) {
		return mail.Reply{}
	}
	return s.refuse(mail.Rcpt, to.Address.String(), mail.Reply{Code: 550, Status: mail.Status{5, 7, 1}, Text: fmt.Sprintf("<%s>: relaying denied: this server takes mail for that domain only from its own clients", to.Address)})
}

// Data puts the message into the spool as it arrives. The 250 is the transfer of
// custody: it is given when the message and its deliveries are on disk.
func (s *session) Data(ctx context.Context, t smtpd.Transfer) mail.Reply {
	draft := s.draft
	s.draft = nil
	defer draft.Abort()
	r := s.in.rules.Load()
	a := s.in.arrival(r, draft, s.trace(r, t))
	a.complete = r.relays(s.client.Addr)
	if _, err := io.Copy(a, t.Body); err != nil {
		return s.refuse(mail.Data, t.Envelope.From.String(), s.broken(err))
	}
	if err := a.end(); err != nil {
		return s.refuse(mail.Data, t.Envelope.From.String(), s.broken(err))
	}
	m := a.message(*t.Envelope, s.came(r, t))
	ds := s.in.Deliveries(m, t.Envelope.To)
	m.Parts = len(ds)
	if err := draft.Commit(ctx, m, ds); err != nil {
		s.fault("store a message", err)
		return s.refuse(mail.Dot, t.Envelope.From.String(), storeReply(err))
	}
	s.in.watch.Accepted(m, ds)
	return mail.Reply{Code: 250, Status: mail.Status{2, 0, 0}, Text: "Ours now, queued as " + m.ID.String()}
}

func (s *session) Reset() {
	if s.draft != nil {
		s.draft.Abort()
		s.draft = nil
	}
}

func (s *session) Close() { s.Reset() }

// broken is the answer to a message that could not be read or kept. Where the
// fault is the client's, smtpd answers in its own words.
func (s *session) broken(err error) mail.Reply {
	var refused *refusal
	var body *smtpd.BodyError
	switch {
	case errors.As(err, &refused):
		return refused.reply
	case errors.As(err, &body):
		return body.Reply
	case errors.Is(err, spool.ErrFull), errors.Is(err, spool.ErrBroken):
		s.fault("store a message", err)
	}
	return storeReply(err)
}

func (s *session) refuse(stage mail.Stage, who string, r mail.Reply) mail.Reply {
	s.in.watch.Refused(s.client, stage, who, r)
	return r
}

// fault logs what an operator must act on.
func (s *session) fault(what string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	s.in.log.Error("cannot "+what, "client", s.client.Addr, "err", err)
}

func cipher(c *tls.ConnectionState) string {
	if c == nil {
		return ""
	}
	return tls.VersionName(c.Version) + " " + tls.CipherSuiteName(c.CipherSuite)
}

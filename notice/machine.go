package notice

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/dsn"
	"github.com/postrider/postrider/mail"
)

// report tells programs.
func (s *story) report() dsn.Report {
	n, m := s.n, s.n.Message
	r := dsn.Report{
		From:         mail.Address{Local: "MAILER-DAEMON", Domain: s.o.Hostname},
		To:           s.to,
		Subject:      s.subject(),
		Date:         n.Now,
		MessageID:    n.ID,
		InReplyTo:    m.MessageID,
		EnvelopeID:   dsn.EnvelopeID(m.Envelope.ID),
		ReportingMTA: dsn.Host(s.o.Hostname),
		ReceivedFrom: s.receivedFrom(),
		Arrival:      m.Accepted.In(n.Now.Location()),
	}
	add := func(name, value string) { r.Extra = append(r.Extra, dsn.Field{Name: name, Value: value}) }
	add("X-Postrider-Message-ID", m.ID.String())
	if n.Kind == custody.Failed || n.Kind == custody.Delayed {
		add("X-Postrider-Held", fmt.Sprintf("%s; since %s", custody.FormatAge(s.held()), s.date(s.since())))
		add("X-Postrider-Limit", s.words(custody.Because(n.Delivery, n.Schedule)))
	}
	for _, f := range s.fates {
		r.Recipients = append(r.Recipients, s.recipient(f))
	}
	return r
}

func (s *story) receivedFrom() dsn.Typed {
	c := s.n.Message.Came
	switch {
	case c.Client == "" || s.hidden(c.Client) || s.hidden(c.Helo):
		return dsn.Typed{}
	case c.Helo == "":
		return dsn.Host("[" + c.Client + "]")
	}
	t := dsn.Host(c.Helo)
	t.Value += " ([" + c.Client + "])"
	return t
}

func (s *story) recipient(f fate) dsn.Recipient {
	rc := s.n.Delivery.Rcpts[f.rcpt]
	r := dsn.Recipient{
		Original:    dsn.OriginalRecipient(rc.Original),
		Final:       dsn.Address(rc.Address),
		Action:      actionOf(f),
		Status:      s.status(f),
		LastAttempt: f.at.In(s.n.Now.Location()),
		LogID:       s.n.Delivery.ID.String(),
	}
	if f.at.IsZero() {
		r.LastAttempt = f.at
	}
	if f.end == waiting {
		_, _, end := custody.Fate(s.n.Delivery, s.n.Schedule)
		if r.WillRetryUntil = end.At; !end.At.IsZero() {
			r.WillRetryUntil = end.At.In(s.n.Now.Location())
		}
	}
	switch o := f.last; {
	case o.Theirs:
		r.RemoteMTA = s.remote(o)
		r.Diagnostic = dsn.Typed{Type: "smtp", Value: s.words(o.Reply.String())}
	case !o.IsZero():
		r.Diagnostic = dsn.Typed{Type: "x-postrider", Value: stageWord(o.Stage) + ": " + s.saidIn(o)}
	default:
		r.Diagnostic = dsn.Typed{Type: "x-postrider", Value: "not tried yet"}
	}
	if f.tries > 0 {
		r.Extra = append(r.Extra, dsn.Field{Name: "X-Postrider-Attempts", Value: fmt.Sprintf("%d; a host answered in %d", f.tries, f.spoke)})
	}
	if f.end == handed || f.end == arrived {
		return r
	}
	r.Extra = append(r.Extra, dsn.Field{Name: "X-Postrider-Cause", Value: f.cause.Kind.String() + " (" + f.cause.Confidence.String() + ")"})
	return r
}

// remote names the host that spoke, and only then is there one: a report without
// it says that the words are ours (RFC 3464 2.3.6).
func (s *story) remote(o custody.Outcome) dsn.Typed {
	p := s.peer(o)
	if p == internal {
		return dsn.Typed{Type: "x-local-hostname", Value: "internal"}
	}
	if _, err := netip.ParseAddr(p); err == nil {
		p = "[" + p + "]"
	}
	return dsn.Host(p)
}

func actionOf(f fate) dsn.Action {
	switch f.end {
	case waiting:
		return dsn.Delayed
	case handed:
		return dsn.Relayed
	case arrived:
		return dsn.Delivered
	}
	return dsn.Failed
}

// status says how the last attempt went, not what we did: Action says that. A
// delivery given up by the clock or by an operator keeps the 4.x.x of its last
// real trouble (RFC 3464 2.3.3, RFC 3463 3.5): nobody refused it, and a program
// that reads 5.x.x would strike the address off its list.
func (s *story) status(f fate) mail.Status {
	switch {
	case s.late(f):
		return mail.Status{5, 4, 7} // RFC 2852 4.1.3
	case f.end == waiting && s.byAlone:
		return mail.Status{4, 4, 7} // RFC 2852 4.1.3
	}
	class := map[end]uint16{waiting: 4, expired: 4, ended: 4, refused: 5, handed: 2, arrived: 2}[f.end]
	said := f.last.Reply.Status
	switch {
	case f.end == ended && f.last.IsZero():
		return mail.Status{4, 3, 0}
	case !said.IsZero():
		// The class is the code's, whatever the words say: "550 4.4.7" is a refusal.
		return mail.Status{class, said[1], said[2]}
	case class == 2:
		return mail.Status{2, 0, 0}
	}
	subject, detail := statusOf(f.cause, f.last)
	return mail.Status{class, subject, detail}
}

// statusOf gives a status to a host that sent none, where its words leave no
// doubt; else x.0.0 (RFC 3461 6.3(g)).
func statusOf(c cause.Cause, o custody.Outcome) (subject, detail uint16) {
	if o.Theirs && c.Confidence < cause.Likely {
		return 0, 0
	}
	switch c.Kind {
	case cause.UserUnknown:
		return 1, 1
	case cause.HostUnknown:
		return 1, 2
	case cause.BadAddress:
		return 1, 3
	case cause.Moved:
		return 1, 6
	case cause.NotMailHost:
		return 1, 10
	case cause.Disabled:
		return 2, 1
	case cause.MailboxFull:
		return 2, 2
	case cause.SystemFull:
		return 3, 1
	case cause.TooLarge:
		return 3, 4
	case cause.Refused, cause.Timeout, cause.NoRoute:
		return 4, 1
	case cause.Broken, cause.Ambiguous:
		return 4, 2
	case cause.DNS:
		return 4, 3
	case cause.NoAddress:
		return 4, 4
	case cause.Loop:
		return 4, 6
	case cause.NoUTF8:
		return 6, 7
	case cause.TLS:
		return 7, 5
	case cause.NoReverse:
		return 7, 25
	case cause.RelayDenied, cause.Policy, cause.Spam, cause.Reputation, cause.Authentication, cause.Greylisted:
		return 7, 1
	case cause.System, cause.Ours:
		return 3, 0
	}
	return 0, 0
}

// stageWord names a stage for people and tables.
func stageWord(st mail.Stage) string {
	switch st {
	case mail.NoStage:
		return "attempt"
	case mail.Route:
		return "finding the way"
	case mail.Dot:
		return "end of message"
	case mail.Mail, mail.Rcpt, mail.Data, mail.TLS, mail.Auth:
		return strings.ToUpper(st.String())
	}
	return st.String()
}

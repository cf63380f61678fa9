package intake

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/postrider/postrider/internal/auth"
	"github.com/postrider/postrider/internal/filter"
	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

// session is one client's visit.
type session struct {
	in        *Intake
	rules     *Rules // those in force at the command under way
	client    smtpd.Client
	hello     smtpd.Hello
	back      string // the filter that hands mail back at this door
	forwarded smtpd.Forwarded
	draft     spool.Draft // opened at MAIL, where a full disk can still be told cheaply

	facts    policy.Facts
	spf      auth.SPF
	accepted string                    // the rule that accepted this visit
	message  string                    // the rule that accepted this message
	doubts   [2]string                 // rules that might have accepted the visit, and the message, but for a fault
	open     []mail.Address            // recipients that no rule accepted
	by       []string                  // the rules that accepted the others
	skipped  []policy.Said             // of this message, by overrides
	before   int                       // how many of them of this visit, before its first message
	counts   bool                      // a message has begun, so that rates count it
	rated    map[rated]bool            // by what they count this one
	paper    *paper                    // the message, while it is judged
	said     map[string]filter.Opinion // of the message, by each filter that was asked
	opinions []filter.Opinion          // those that count
	aside    map[mail.Address]string   // recipients that a filter will not have, and why
}

// Greet asks the rules for who connects.
func (in *Intake) Greet(ctx context.Context, c smtpd.Client) (smtpd.Session, mail.Reply) {
	s := &session{in: in, client: c}
	s.begin()
	if c.Back {
		s.back = c.Listener
	}
	s.facts = policy.Facts{
		Own: s.facts.Own, Client: c.Addr.Addr().Unmap().WithZone(""), Listener: c.Listener, Hostname: s.rules.Hostname,
		Local: c.Local.Addr().Unmap(), Early: c.Early,
	}
	v := s.judge(ctx, policy.Connect)
	if !v.LetsIn() {
		return nil, s.refused(policy.Connect, v)
	}
	s.accept(v, &s.accepted, &s.doubts[0])
	s.before = len(s.skipped)
	return s, mail.Reply{}
}

// begin takes the rules in force for a command.
func (s *session) begin() {
	s.rules = s.in.rules.Load()
	s.facts.Own = s.rules.relays(s.client.Addr)
}

// accept notes the rule that accepts, or might have.
func (s *session) accept(v policy.Verdict, by, doubt *string) {
	if v.Action == policy.Accept {
		*by = v.Rule
	}
	if v.Doubt != "" {
		*doubt = v.Doubt
	}
	s.facts.Accepted, s.facts.Doubt = *by, *doubt
}

func (s *session) Hello(ctx context.Context, h smtpd.Hello) mail.Reply {
	s.begin()
	s.hello = h
	s.counts, s.skipped = false, s.skipped[:s.before:s.before]
	s.facts.Helo, s.facts.TLS, s.facts.HeloName, s.facts.Rates = h.Name, h.TLS != nil, policy.Fact[bool]{}, nil
	v := s.judge(ctx, policy.Hello)
	if !v.LetsIn() {
		return s.refused(policy.Hello, v)
	}
	s.accept(v, &s.accepted, &s.doubts[0])
	s.before = len(s.skipped)
	return mail.Reply{}
}

// Forward is what a filter says of the client from whom it has a message.
func (s *session) Forward(f smtpd.Forwarded) { s.forwarded = f }

func (s *session) Mail(ctx context.Context, env *mail.Envelope, size int64) mail.Reply {
	s.begin()
	f := &s.facts
	f.From, f.Size, f.To, f.Recipients = env.From, size, nil, 0
	f.FromDomain, f.FromLists, f.SPF, f.Rates = policy.Fact[policy.Reach]{}, policy.Fact[[]policy.Listing]{}, policy.Fact[policy.SPF]{}, nil
	f.DKIM, f.DMARC, f.Opinions, f.Proven = policy.Fact[[]policy.Signature]{}, policy.Fact[policy.DMARC]{}, nil, policy.Fact[bool]{}
	f.Accepted, f.Doubt, s.doubts[1] = s.accepted, s.doubts[0], s.doubts[0]
	s.aside = nil
	s.spf, s.open, s.by, s.skipped, s.opinions, s.message = auth.SPF{}, nil, nil, s.skipped[:s.before:s.before], nil, s.accepted
	s.said, s.counts = map[string]filter.Opinion{}, true
	v := s.judge(ctx, policy.Sender)
	if !v.LetsIn() {
		return s.refused(policy.Sender, v)
	}
	s.accept(v, &s.message, &s.doubts[1])
	draft, err := s.in.store.Begin(ctx, size)
	if err != nil {
		s.fault("begin a message", err)
		return s.refuse(mail.Mail, storeReply(err))
	}
	s.draft = draft
	return mail.Reply{}
}

// Rcpt is relay control, then the names that there are, then the rules. Who may not
// come is told so for good: a 4yz would make him try for days.
func (s *session) Rcpt(ctx context.Context, env *mail.Envelope, to mail.Recipient) mail.Reply {
	s.begin()
	f := &s.facts
	f.To, f.Recipients, f.Grey = []mail.Address{to.Address}, len(env.To)+1, policy.Fact[time.Time]{}
	f.Proven = policy.Fact[bool]{} // the recipient before may have been the proof
	f.Accepted, f.Doubt = s.message, s.doubts[1]
	if s.back != "" {
		return mail.Reply{}
	}
	known, no := s.reachable(to.Address)
	if !no.IsZero() {
		return s.refuse(mail.Rcpt, no)
	}
	f.Rates = slices.DeleteFunc(f.Rates, func(c policy.Count) bool { return c.Rate.By == policy.ByRecipient })
	v := s.judge(ctx, policy.Recipient)
	if !v.LetsIn() {
		return s.refused(policy.Recipient, v)
	}
	if known == unsure {
		if no, why := s.askNextHop(ctx, to.Address); !no.IsZero() {
			return s.refuseFor(mail.Rcpt, no, why)
		}
	}
	s.rate(to.Address)
	if v.Action != policy.Accept {
		s.open = append(s.open, to.Address)
	} else if !slices.Contains(s.by, v.Rule) {
		s.by = append(s.by, v.Rule)
	}
	if v.Doubt != "" {
		s.doubts[1] = v.Doubt // for the message: it has one reply
	}
	return mail.Reply{}
}

// reachable is relay control: our own domains from anyone, everything from our own
// clients.
func (s *session) reachable(to mail.Address) (knowledge, mail.Reply) {
	r := s.rules
	if _, known := r.alias(to); known {
		return there, mail.Reply{}
	}
	if r.local(to) {
		return missing, unknownName(to)
	}
	domain, err := mail.CanonicalDomain(to.Domain)
	if err != nil {
		return missing, mail.Reply{Code: 553, Status: mail.Status{5, 1, 3}, Text: "Not an address"}
	}
	if !s.facts.Own && r.Ours(domain) && r.routed(to, domain) {
		return missing, mail.Reply{Code: 550, Status: mail.Status{5, 7, 1}, Text: fmt.Sprintf("<%s>: relaying denied: a local part that names another host is no mailbox here", to)}
	}
	if !r.Ours(domain) && !s.facts.Own {
		return missing, mail.Reply{Code: 550, Status: mail.Status{5, 7, 1}, Text: fmt.Sprintf("<%s>: relaying denied: this server takes mail for that domain only from its own clients", to)}
	}
	return s.known(to, domain)
}

func unknownName(to mail.Address) mail.Reply {
	return mail.Reply{Code: 550, Status: mail.Status{5, 1, 1}, Text: fmt.Sprintf("<%s>: no such recipient here", to)}
}

// Data puts the message into the spool as it arrives. The 250 is the transfer of
// custody: it is given when the message and its deliveries are on disk.
func (s *session) Data(ctx context.Context, t smtpd.Transfer) mail.Reply {
	s.begin()
	env := *t.Envelope // filters may change ours, and not what the client is answered about
	t.Envelope = &env
	draft := s.draft
	s.draft = nil
	defer func() {
		draft.Abort()
		s.forwarded = smtpd.Forwarded{}
		s.unrate(false)
	}()
	r := s.rules
	a := s.in.arrival(r, draft, s.trace(r, t))
	ours := r.relays(s.client.Addr)
	a.complete, a.foreign = ours && s.back == "", !ours && s.back == ""
	a.whole = s.readsWhole(env.To)
	_, err := io.Copy(a, t.Body)
	if err == nil {
		err = a.end()
	}
	switch {
	case errors.Is(err, smtpd.ErrAborted), errors.Is(err, smtpd.ErrCutOff):
		return mail.Reply{} // nobody would hear it
	case err != nil:
		return s.refuse(mail.Data, s.broken(err))
	}
	hold := ""
	if a.whole {
		next, why, no := s.judgeWhole(ctx, a, t)
		if !no.IsZero() {
			return no
		}
		draft.Abort()
		draft, a.draft, hold = next, next, why
	}
	m := a.message(*t.Envelope, s.came(r, t))
	ds := s.deliveries(m, t.Envelope.To)
	s.direct(ds, m.Accepted, hold)
	m.Parts = len(ds)
	if err := draft.Commit(ctx, m, ds); err != nil {
		s.fault("store a message", err)
		return s.refuse(mail.Dot, storeReply(err))
	}
	if s.proves(hold) {
		s.in.memory.prove(s.facts.Client, m.Accepted)
	}
	s.unrate(true)
	s.in.watch.Accepted(m, ds)
	return mail.Reply{Code: 250, Status: mail.Status{2, 0, 0}, Text: "Ours now, queued as " + m.ID.String()}
}

// proves reports whether a message that is stored speaks for its client: some recipient
// was let in by no rule that accepts and no override, and no filter has it held.
func (s *session) proves(hold string) bool {
	return !s.facts.Own && s.back == "" && len(s.open) > 0 && len(s.skipped) == 0 && hold == ""
}

func (s *session) Reset() {
	s.unrate(false)
	if s.draft != nil {
		s.draft.Abort()
		s.draft = nil
	}
}

func (s *session) Close() { s.Reset() }

// Start is ETRN: only who is served by us as a backup has a reason to ask.
func (s *session) Start(ctx context.Context, domain string, under bool) mail.Reply {
	s.begin()
	if s.in.start == nil || !s.rules.Ours(domain) {
		return s.refuse(mail.NoStage, mail.Reply{Code: 459, Status: mail.Status{4, 7, 1}, Text: "No mail is held here for " + domain})
	}
	n, err := s.in.start(ctx, domain, under)
	switch {
	case err != nil:
		s.fault("start the queue of "+domain, err)
		return mail.Reply{Code: 458, Status: mail.Status{4, 3, 0}, Text: "Unable to queue messages for " + domain}
	case n == 0:
		return mail.Reply{Code: 251, Status: mail.Status{2, 0, 0}, Text: "No messages waiting for " + domain}
	}
	return mail.Reply{Code: 253, Status: mail.Status{2, 0, 0}, Text: fmt.Sprintf("%d pending messages for %s started", n, domain)}
}

// broken is the answer to a message that must not or could not be kept.
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

// refuse answers in our own name, outside the table: by the rules that always hold.
func (s *session) refuse(at mail.Stage, r mail.Reply) mail.Reply { return s.refuseFor(at, r, "") }

// refuseFor keeps a reason with the record.
func (s *session) refuseFor(at mail.Stage, r mail.Reply, why string) mail.Reply {
	s.facts.At = time.Now()
	v := policy.Verdict{Action: policy.Refuse, Reply: r, Rule: reserved(r.Status), Why: why}
	if r.Temporary() {
		v.Action = policy.Defer
	}
	stage := map[mail.Stage]policy.Stage{mail.Mail: policy.Sender, mail.Rcpt: policy.Recipient}[at]
	if stage == 0 {
		stage = policy.Content
	}
	if v.Rule == "" {
		s.in.watch.Refused(v.Record(stage, &s.facts))
		return r
	}
	return s.refused(stage, v)
}

// reserved names the rule behind a status of our own.
func reserved(st mail.Status) string {
	switch st {
	case mail.Status{5, 7, 1}:
		return "relay"
	case mail.Status{5, 1, 1}, mail.Status{4, 1, 1}, mail.Status{5, 2, st[2]}:
		return "recipient"
	case mail.Status{5, 1, 3}, mail.Status{5, 6, 0}, mail.Status{5, 6, 11}:
		return "grammar"
	case mail.Status{5, 3, 4}:
		return "size"
	case mail.Status{5, 4, 6}:
		return "loop"
	}
	return ""
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

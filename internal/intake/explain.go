package intake

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

// Explain asks the rules about a visit that nobody makes, with all look-ups, as far as
// RCPT: what a message says of itself nobody can know before it comes. Nothing is
// remembered. It ends with the stage that does not let in.
func (in *Intake) Explain(ctx context.Context, q policy.Visit) []policy.Judged {
	s := &session{in: in, client: smtpd.Client{Addr: netip.AddrPortFrom(q.Client, 25), Listener: q.Listener}}
	s.begin()
	own := s.facts.Own
	s.facts = policy.Facts{
		At: time.Now(), Client: q.Client.Unmap().WithZone(""), Listener: q.Listener, Hostname: s.rules.Hostname,
		Helo: q.Helo, TLS: q.TLS, Own: own, From: q.From, Size: q.Size, To: []mail.Address{q.To}, Recipients: 1,
	}
	s.facts.Overrides = in.memory.overrides(s.facts.At)
	var all []policy.Judged
	for _, stage := range policy.Stages {
		if stage == policy.Content {
			break
		}
		if stage == policy.Sender { // with MAIL a message begins
			s.counts, s.facts.Rates = true, nil
		}
		e := s.explain(ctx, stage)
		if stage == policy.Recipient {
			s.outside(ctx, &e, q.To)
		}
		if all = append(all, e); e.Action == policy.Defer || e.Action == policy.Refuse {
			break
		}
		if e.Action == policy.Accept {
			s.facts.Accepted = e.Rule
		}
	}
	return all
}

// explain asks the rules of one stage, and notes nothing.
func (s *session) explain(ctx context.Context, stage policy.Stage) policy.Judged {
	e := policy.Judged{Stage: stage}
	t := s.rules.Door.Table
	if t == nil {
		return e
	}
	for range maxRounds {
		v, need := t.Decide(stage, &s.facts)
		if need == 0 {
			s.facts.Doubt = cmp.Or(s.facts.Doubt, v.Doubt)
			e.Action, e.Rule, e.Place, e.Reply, e.Why, e.Faults = v.Action, v.Rule, v.Place, v.Reply, v.Why, v.Faults
			break
		}
		s.gather(ctx, need)
	}
	e.Steps = t.Trace(stage, &s.facts)
	return e
}

// outside is what stands outside the table: whether the recipient can be reached at
// all.
func (s *session) outside(ctx context.Context, e *policy.Judged, to mail.Address) {
	known, no := s.reachable(to)
	why := ""
	if known == unsure && no.IsZero() && e.Action != policy.Defer && e.Action != policy.Refuse {
		no, why = s.askNextHop(ctx, to)
	}
	if no.IsZero() {
		return
	}
	e.Action, e.Rule, e.Place, e.Reply, e.Why = policy.Refuse, reserved(no.Status), "", no, why
	if no.Temporary() {
		e.Action = policy.Defer
	}
}

package intake

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/postrider/postrider/internal/auth"
	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/internal/filter"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

// Door says who is asked about those who want to come in. The zero Door asks
// nobody.
type Door struct {
	Table    *policy.Table // nil: no rules
	Resolver dns.Resolver
	Lists    []List
	Filters  map[string]filter.Filter // by the name that rules use
	Through  []Through                // the first that has the recipient's domain
	Names    []Names                  // the first that has the recipient's domain
	Signer   *auth.Signer             // nil: nothing is signed
	Lookups  time.Duration            // for each look-up of a stage, side by side; 0: 20 s
	Help     string                   // where a refused client's manager finds help, at most policy.MaxHelp octets; "": the postmaster
}

// List is a DNS list (RFC 5782).
type List struct {
	Name, Zone string
	Domains    bool
	Weight     int
	Replies    []Answer // empty: Weight for any
}

// Answer is what one answer of a list weighs.
type Answer struct {
	In     netip.Prefix
	Weight int
}

// Through is a content filter that takes mail by SMTP and hands back at a door of its
// own what it has seen.
type Through struct {
	Name    string // also of the listener at which it hands back
	To      string // next hop, as in a route
	Domains []string
	Rule    string
}

// maxRounds bounds how often a table may ask for more: each round must bring all that
// was asked for.
const maxRounds = 8

// judge asks the rules of a stage, with all look-ups that they want.
func (s *session) judge(ctx context.Context, stage policy.Stage) policy.Verdict {
	d := &s.rules.Door
	if d.Table == nil || s.back != "" {
		return policy.Verdict{}
	}
	s.facts.At = time.Now()
	s.facts.Overrides = s.in.memory.overrides(s.facts.At)
	for range maxRounds {
		v, need := d.Table.Decide(stage, &s.facts)
		if need == 0 {
			s.judged(stage, v)
			return v
		}
		s.gather(ctx, need)
	}
	s.in.log.Error("the rules of the door ask without end", "stage", stage.String())
	return policy.Verdict{}
}

// judged keeps what a verdict wants remembered, and what it says of those let in.
func (s *session) judged(stage policy.Stage, v policy.Verdict) {
	if v.Grey.Memory > 0 || v.Grey.Wait > 0 {
		s.in.memory.greylist(s.greyKey(), s.facts.Client, v.Grey, s.facts.At)
	}
	for _, skip := range v.Skipped {
		same := func(other policy.Said) bool { return other.Rule == skip.Rule && other.Override == skip.Override }
		if v.LetsIn() && !slices.ContainsFunc(s.skipped, same) {
			s.skipped = append(s.skipped, skip)
		}
	}
	if v.LetsIn() && len(v.Would)+len(v.Skipped)+len(v.Faults) > 0 {
		s.in.watch.Noted(v.Record(stage, &s.facts))
	}
}

// refused answers a verdict that does not let in: with a reference by which the
// operator finds the record, and whom to ask.
func (s *session) refused(stage policy.Stage, v policy.Verdict) mail.Reply {
	r := v.Record(stage, &s.facts)
	r.Ref = newRef()
	r.Reply.Text += fmt.Sprintf(" (ref %s, help: %s)", r.Ref, s.rules.help())
	s.in.memory.refused(r, s.facts.Client)
	s.in.watch.Refused(r)
	return r.Reply
}

// place is where a rule stands, for logs and timelines.
func (d *Door) place(rule string) string {
	if d.Table != nil {
		for _, r := range d.Table.Rules() {
			if r.Name == rule {
				return r.Place
			}
		}
	}
	return "rule " + rule
}

// help is where a refused client's manager finds help.
func (r *Rules) help() string {
	if r.Door.Help != "" {
		return r.Door.Help
	}
	return "postmaster@" + r.Hostname
}

// newRef makes a reference that can be read out over the telephone.
func newRef() string {
	var b [5]byte
	rand.Read(b[:])
	return crockford.EncodeToString(b[:])
}

var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// through returns the filter that mail for a domain goes through, if it has not been
// there already.
func (s *session) through(domain string) (Through, bool) {
	if s.back != "" {
		return Through{}, false
	}
	for _, t := range s.rules.Door.Through {
		if len(t.Domains) == 0 || slices.ContainsFunc(t.Domains, func(d string) bool { return covers(d, domain) }) {
			return t, true
		}
	}
	return Through{}, false
}

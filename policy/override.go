package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// Override lets some mail past one rule for a time, by an operator's order. All of
// Client, Name, Sender and Domain that are given must fit; one that gives none
// fits nothing. A sender is what anyone may claim: where Client or Name can be
// given, they are the safer ones.
type Override struct {
	ID      string       `json:"id"`
	Rule    string       `json:"rule"`            // the rule it skips
	Client  netip.Prefix `json:"client,omitzero"` // the client's address or network
	Name    string       `json:"name,omitempty"`  // the client's confirmed name, or "*.example.com"
	Sender  mail.Address `json:"sender,omitzero"` // the return path
	Domain  string       `json:"domain,omitempty"`
	Until   time.Time    `json:"until"`   // it is over then; zero: it never holds
	Because string       `json:"because"` // why, in the operator's words
	By      string       `json:"by"`      // who gave the order
}

// Match reports whether the override fits the facts and is still in force. Where
// that takes a look-up, need says which. It does not look at the rule.
func (o *Override) Match(f *Facts) (fits bool, need Need) {
	t, need := o.match(f)
	return t == yes, need
}

func (o *Override) match(f *Facts) (truth, Need) {
	if !f.At.Before(o.Until) || o.Client == (netip.Prefix{}) && o.Name == "" && o.Sender.IsNull() && o.Domain == "" {
		return no, 0
	}
	if o.Client != (netip.Prefix{}) && !o.Client.Contains(f.Client.Unmap()) {
		return no, 0
	}
	if !o.Sender.IsNull() && !sameMailbox(o.Sender, f.From) {
		return no, 0
	}
	if o.Domain != "" {
		if p, ok := newPattern(o.Domain); !ok || !p.match(canonical(f.From.Domain)) {
			return no, 0
		}
	}
	if o.Name == "" {
		return yes, 0
	}
	p, ok := newPattern(o.Name)
	if !ok || !f.Client.IsValid() {
		return no, 0
	}
	return ask(&f.Name, NeedName, func(n Name) bool { return n.Confirmed && p.match(canonical(n.Name)) })
}

// Check says what is wrong with an override for this table: a rule that there is
// not or that no override may skip, nothing that it fits, no end, no reason.
func (t *Table) Check(o Override) error {
	var wrong []error
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf("policy: "+format, args...)) }
	switch {
	case slices.Contains(Reserved[:], o.Rule):
		say("rule %s holds for everyone and cannot be skipped", o.Rule)
	case !slices.ContainsFunc(t.rules, func(r *rule) bool { return r.Name == o.Rule }):
		say("there is no rule %q; the rules are %s", mail.Clean(o.Rule, maxName), strings.Join(t.names(), ", "))
	}
	if o.Client == (netip.Prefix{}) && o.Name == "" && o.Sender.IsNull() && o.Domain == "" {
		say("an override wants a host, a network, a sender or a domain")
	}
	for _, s := range []string{o.Name, o.Domain} {
		if _, ok := newPattern(s); s != "" && !ok {
			say("%q is no domain name", mail.Clean(s, maxValue))
		}
	}
	if o.Until.IsZero() {
		say("an override wants an end")
	}
	if o.Because == "" || o.By == "" {
		say("an override wants a reason, and who gives it")
	}
	return errors.Join(wrong...)
}

package intake

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/postrider/postrider/internal/memo"
	"github.com/postrider/postrider/policy"
)

// errForgets is the answer of an intake that remembers nothing.
var errForgets = errors.New("intake: this server remembers nothing")

// Allowed lists the overrides, those that ended in the last 30 days too.
func (in *Intake) Allowed(now time.Time) []policy.Allowed {
	if in.memory == nil {
		return nil
	}
	var all []policy.Allowed
	for _, o := range in.memory.Allowed.List(now) {
		all = append(all, allowed(o, now))
	}
	return all
}

func allowed(o memo.Override[policy.Override], now time.Time) policy.Allowed {
	a := policy.Allowed{Override: o.Value, Made: o.Made, Warned: o.Warned, Ended: !now.Before(o.Until)}
	a.ID, a.Until = o.ID, o.Until
	return a
}

// Allow makes an override. It is on disk when Allow returns.
func (in *Intake) Allow(o policy.Override, now time.Time) (policy.Allowed, error) {
	table := in.rules.Load().Door.Table
	if in.memory == nil || table == nil {
		return policy.Allowed{}, errForgets
	}
	if !o.Until.After(now) {
		return policy.Allowed{}, fmt.Errorf("intake: an override wants an end that is to come")
	}
	if err := table.Check(o); err != nil {
		return policy.Allowed{}, err
	}
	o.ID = newRef()[:6]
	m := memo.Override[policy.Override]{ID: o.ID, Made: now, Until: o.Until, Value: o}
	return allowed(m, now), in.memory.Allowed.Add(m)
}

// Disallow ends an override now.
func (in *Intake) Disallow(id string, now time.Time) error {
	if in.memory == nil {
		return errForgets
	}
	err := in.memory.Allowed.End(strings.ToUpper(id), now)
	if errors.Is(err, memo.ErrUnknown) {
		return fmt.Errorf("intake: there is no override %q that could end", id)
	}
	return err
}

// Ending returns the overrides that end before a moment and whose end was not
// announced yet, and notes that it is now.
func (in *Intake) Ending(before, now time.Time) (all []policy.Allowed, err error) {
	if in.memory == nil {
		return nil, nil
	}
	for _, o := range in.memory.Allowed.Active(now) {
		if o.Warned.IsZero() && o.Until.Before(before) {
			if err := in.memory.Allowed.Warn(o.ID, now); err != nil {
				return all, err
			}
			all = append(all, allowed(o, now))
		}
	}
	return all, nil
}

// Refusals returns the latest refusals that fit, newest first, at most n. A zero
// client, rule or ref asks nothing.
func (in *Intake) Refusals(client netip.Prefix, rule, ref string, since time.Time, n int) (all []policy.Record) {
	if in.memory == nil {
		return nil
	}
	q := memo.Query{Ref: strings.ToUpper(ref), Client: client, Rule: rule, Since: since}
	for r := range in.memory.Refusals.Find(q) {
		if len(all) == n {
			break
		}
		all = append(all, r.Detail)
	}
	return all
}

// RefusedGroups sums the refusals up by client and rule, the latest first.
func (in *Intake) RefusedGroups(client netip.Prefix, rule string, since time.Time) (all []policy.Group) {
	if in.memory == nil {
		return nil
	}
	for _, g := range in.memory.Refusals.Groups(memo.Query{Client: client, Rule: rule, Since: since}) {
		p := policy.Group{Rule: g.Rule, Count: g.Count, Mails: g.Mails, Again: g.Again, Hasty: g.Hasty, First: g.First, Last: g.Last, Latest: g.Latest.Detail}
		if g.Client.IsValid() {
			p.Client = g.Client.String()
		}
		p.Judge()
		all = append(all, p)
	}
	return all
}

package chain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/system"
)

// engage gives a hop its law.
func (c *course) engage(h *hop) {
	switch {
	case h.Schedule != nil:
		s := h.Set.schedule(*h.Schedule)
		h.keep = newOurs(s)
		if h.Notices != nil {
			h.letters = newOurs(*h.Notices)
		}
		return
	case h.Bare():
		return
	}
	if h.System != "" {
		h.system, _ = system.Find(h.System)
	}
	if h.Policy != nil {
		h.system.Policy = *h.Policy
	}
	p := h.Set.policy(h.system.Policy)
	if p.Retry == nil {
		p.Retry = unknownPace{}
		c.notes = append(c.notes, fmt.Sprintf("how often %s tries is not known: it is taken to try every half hour, as RFC 5321 4.5.4.1 has it, give or take 25 minutes", h.title()))
	}
	if p.Expiry == system.ExpiryUnknown && p.Lifetime > 0 {
		c.notes = append(c.notes, fmt.Sprintf("at which moment %s gives up is not known: between its limit and the next attempt", h.title()))
	}
	h.system.Policy = p
	k := &foreign{p: p, by: h.knowsBy(), defers: defersGreeting(h.system.Family)}
	h.keep = k
	if p.Notices > 0 {
		letters := *k
		letters.p.Lifetime = p.Notices
		h.letters = &letters
	}
}

// defersGreeting reports whether a system takes a 5yz instead of a greeting for a
// trouble of that host, and keeps the message. Postfix does (smtp_skip_5xx_greeting),
// and Exchange was seen to.
func defersGreeting(family string) bool {
	return family == "postfix" || family == "zimbra" || strings.HasPrefix(family, "exchange")
}

// limit is the rule by which a hop gives up, in few words.
func (h *hop) limit(by system.Expiry) string {
	p := h.system.Policy
	switch {
	case h.ours():
		return "expire " + custody.FormatAge(h.keep.(*ours).real.Expire)
	case by == system.ByCount && p.Conversations:
		return fmt.Sprintf("it gives up with the failure of %d attempts in which a host spoke", p.Limit)
	case by == system.ByCount:
		return fmt.Sprintf("it gives up with the failure of %d attempts", p.Limit)
	}
	if p.Lifetime == 0 {
		return "it has no further attempt"
	}
	return "it keeps a message for " + custody.FormatAge(p.Lifetime)
}

// rule is the same with where it is written, or what is special in it.
func (h *hop) rule(by system.Expiry) string {
	why := h.system.Policy.Rule
	if h.ours() {
		why = h.keep.(*ours).real.Rule
	}
	if why == "" {
		return h.limit(by)
	}
	return h.limit(by) + " (" + why + ")"
}

// policy returns a policy as it is with the settings.
func (s Settings) policy(p system.Policy) system.Policy {
	if s.Expire > 0 {
		p.Lifetime = s.Expire
		if p.Expiry == system.ByCount {
			p.Expiry = system.AfterFailure
		}
	}
	if s.Limit != 0 {
		p.Limit = max(s.Limit, 0)
		if s.Limit < 0 && p.Expiry == system.ByCount {
			p.Expiry = system.AfterFailure
		}
	}
	if s.Warn != nil {
		p.Warn.Known, p.Warn.On, p.Warn.At, p.Warn.Every, p.Warn.Try = true, len(s.Warn) > 0, s.Warn, 0, 0
	}
	if s.Retry != nil {
		p.Retry = pace{custody.Schedule{Retry: s.Retry}}
		if s.Deferred == nil {
			p.Deferred = nil
		}
	}
	if s.Deferred != nil {
		p.Deferred = pace{custody.Schedule{Retry: s.Deferred}}
	}
	if s.Notices > 0 {
		p.Notices = s.Notices
	}
	return p
}

// schedule returns a schedule of ours as it is with the settings.
func (s Settings) schedule(c custody.Schedule) custody.Schedule {
	if s.Expire > 0 {
		c.Expire = s.Expire
		c.Warn = slices.DeleteFunc(slices.Clone(c.Warn), func(w time.Duration) bool { return w >= c.Expire })
	}
	if s.Warn != nil {
		c.Warn = s.Warn
	}
	if s.Retry != nil {
		c.Retry, c.Unreachable, c.Deferred, c.Greylisted = s.Retry, nil, nil, nil
	}
	if s.Deferred != nil {
		c.Deferred = s.Deferred
	}
	return c
}

// pace is a list of our own gaps as another system's pace.
type pace struct{ s custody.Schedule }

// Next returns the age one gap on.
func (p pace) Next(n int, began time.Duration) (system.Span, bool) {
	return exactly(began + p.s.Gap(custody.NoTrouble, n-1)), true
}

// String returns the gaps.
func (p pace) String() string {
	words := make([]string, len(p.s.Retry))
	for i, r := range p.s.Retry {
		words[i] = r.String()
	}
	return strings.Join(words, ", ")
}

// unknownPace stands in for a pace that nobody has published. RFC 5321 4.5.4.1 wants
// at least half an hour between attempts; real systems try sooner at first.
type unknownPace struct{}

// Next returns the age half an hour on, more or less.
func (unknownPace) Next(_ int, began time.Duration) (system.Span, bool) {
	return system.Span{Least: began + 5*time.Minute, Most: began + 55*time.Minute, Model: began + 30*time.Minute}, true
}

// String says that it is a guess.
func (unknownPace) String() string { return "not known" }

// title is how a person is told of the hop: its name, and what it runs.
func (h *hop) title() string {
	switch {
	case h.ours():
		return h.Name + " (postrider)"
	case h.system.Name != "":
		return h.Name + " (" + h.system.Name + ")"
	}
	return h.Name
}

// inLine names a line of the scenario's file.
func inLine(line int) string {
	if line == 0 {
		return ""
	}
	return fmt.Sprintf(" (line %d)", line)
}

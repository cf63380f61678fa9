package chain

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/system"
)

// Flaw is what makes no sense in a scenario, and where it stands.
type Flaw struct {
	Part string // "hop \"filter\"", "outage 2", "message"
	Line int    // of the scenario's file; 0: not known
	Text string
}

// Error returns the flaw as a person reads it: "hop "filter" (line 7): …".
func (f *Flaw) Error() string {
	return f.Part + inLine(f.Line) + ": " + f.Text
}

func flaw(part string, line int, format string, args ...any) error {
	return &Flaw{part, line, fmt.Sprintf(format, args...)}
}

// Check reports the first thing in the scenario that makes no sense, as a [*Flaw]
// inside.
func (s Scenario) Check() error {
	_, err := s.ready()
	return err
}

// ready makes a scenario ready to be walked.
func (s Scenario) ready() (*course, error) {
	if err := s.checkHops(); err != nil {
		return nil, fmt.Errorf("chain: check scenario: %w", err)
	}
	c := chart(s)
	if err := c.checkOutages(); err != nil {
		return nil, fmt.Errorf("chain: check scenario: %w", err)
	}
	return c, nil
}

func (s Scenario) checkHops() error {
	if err := s.Message.check(); err != nil {
		return err
	}
	names := map[string]bool{}
	for _, chain := range []struct {
		hops  []Hop
		least int
	}{{s.Hops, 2}, {s.Back.Hops, 0}} {
		if n := len(chain.hops); n < chain.least || n > MaxHops {
			return flaw("hops", 0, "a chain has %d to %d hops, this one %d", max(chain.least, 1), MaxHops, n)
		}
		for i, h := range chain.hops {
			last := !slices.ContainsFunc(chain.hops[i+1:], func(h Hop) bool { return h.Backup == "" })
			if err := h.check(last); err != nil {
				return err
			}
			if names[h.Name] {
				return flaw("hop "+quote(h.Name), h.Line, "another hop has this name")
			}
			names[h.Name] = true
		}
		if err := backups(chain.hops); err != nil {
			return err
		}
	}
	if len(s.Outages) > MaxOutages {
		return flaw("outages", 0, "%d are more than %d", len(s.Outages), MaxOutages)
	}
	return nil
}

func (m Message) check() error {
	switch {
	case m.Size < 0:
		return flaw("message", 0, "a size of %d octets", m.Size)
	case m.Notify&mail.NotifyNever != 0 && m.Notify != mail.NotifyNever:
		return flaw("message", 0, "NOTIFY=%s: NEVER stands alone (RFC 3461 4.1)", m.Notify)
	case m.Release < 0 || m.Release > MaxTime:
		return flaw("message", 0, "a release after %s is not within %s", custody.FormatAge(m.Release), custody.FormatAge(MaxTime))
	case m.By.Within > MaxTime || m.By.Within < -MaxTime:
		return flaw("message", 0, "DELIVERBY's time of %s is not within %s", custody.FormatAge(m.By.Within), custody.FormatAge(MaxTime))
	case m.By.Return && m.By.Within <= 0:
		return flaw("message", 0, "DELIVERBY in mode R needs a time that is still to come (RFC 2852 4)")
	case m.By.Return && m.By.Notify:
		return flaw("message", 0, "DELIVERBY has one mode, R or N (RFC 2852 4)")
	}
	return nil
}

// check looks at a hop by itself.
func (h Hop) check(last bool) error {
	bad := func(format string, args ...any) error { return flaw("hop "+quote(h.Name), h.Line, format, args...) }
	var sys system.System
	if h.System != "" && h.Policy == nil {
		var ok bool
		if sys, ok = system.Find(h.System); !ok && h.Schedule == nil {
			if strings.EqualFold(h.System, "postrider") {
				return bad("a hop of postrider's needs a schedule")
			}
			return bad("there is no system %s%s", quote(h.System), didYouMean(system.Nearest(h.System)))
		}
	}
	if h.Policy != nil {
		sys.Policy = *h.Policy
	}
	switch {
	case h.Name == "":
		return bad("it needs a name")
	case len(h.Name) > 100 || strings.ContainsFunc(h.Name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return bad("its name is longer than 100 octets, or holds a control character")
	case h.Delay < 0 || h.Delay > MaxTime:
		return bad("its delay of %s is not between 0 and %s", custody.FormatAge(h.Delay), custody.FormatAge(MaxTime))
	case h.Addresses < 0 || h.Addresses > 1000:
		return bad("%d outgoing addresses are not between 1 and 1000", h.Addresses)
	case h.Preference < 0 || h.Preference > math.MaxUint16:
		return bad("its preference %d is not between 0 and %d", h.Preference, math.MaxUint16)
	case h.Schedule != nil && (h.Policy != nil || h.System != "" && !strings.EqualFold(h.System, "postrider")):
		return bad("it has both a system and a schedule")
	case h.Bare() && !last && h.Backup == "":
		return bad("it hands mail on, but has neither system nor schedule: only the last hop may be bare")
	}
	if err := h.Set.check(); err != nil {
		return bad("%v", err)
	}
	if h.Schedule != nil {
		for _, s := range []*custody.Schedule{h.Schedule, h.Notices} {
			if s == nil {
				continue
			}
			set := *s
			if s == h.Schedule {
				set = h.Set.schedule(set)
			}
			switch err := set.Check(); {
			case err != nil:
				return bad("schedule: %v", err)
			case set.Expire > MaxTime:
				return bad("schedule: expire %s is longer than %s", custody.FormatAge(set.Expire), custody.FormatAge(MaxTime))
			}
		}
		return nil
	}
	p := h.Set.policy(sys.Policy)
	switch timed := p.Lifetime > 0 && p.Expiry != system.ByCount; {
	case h.Bare():
	case p.Lifetime < 0 || p.Lifetime > MaxTime:
		return bad("it keeps mail for %s, which is not between 0 and %s", custody.FormatAge(p.Lifetime), custody.FormatAge(MaxTime))
	case !timed && p.Limit <= 0:
		return bad("nobody knows how long %s keeps a message: say so (expire)", cmp.Or(sys.Name, "it"))
	case !timed && p.Conversations:
		return bad("it counts only attempts in which a host spoke, and would keep a message for ever if none does: set its expire")
	}
	return nil
}

func (s Settings) check() error {
	for _, d := range []struct {
		name string
		d    time.Duration
	}{{"expire", s.Expire}, {"notices", s.Notices}} {
		if d.d < 0 || d.d > MaxTime {
			return fmt.Errorf("%s: %s is not between 0 and %s", d.name, custody.FormatAge(d.d), custody.FormatAge(MaxTime))
		}
	}
	for _, list := range [][]custody.Pace{s.Retry, s.Deferred} {
		for _, p := range list {
			if p.Gap > MaxTime || p.Max > MaxTime {
				return fmt.Errorf("retry: a gap of %s is longer than %s", custody.FormatAge(max(p.Gap, p.Max)), custody.FormatAge(MaxTime))
			}
		}
	}
	probe := custody.Schedule{Retry: []custody.Pace{{Gap: time.Hour}}, Expire: MaxTime + time.Hour, Warn: s.Warn, Deferred: s.Deferred}
	if s.Retry != nil {
		probe.Retry = s.Retry
	}
	if s.Warn == nil {
		probe.Warn = nil
	}
	return probe.Check()
}

// backups checks that each backup MX stands behind the hop that it stands in for.
func backups(hops []Hop) error {
	leader := 0
	for i, h := range hops {
		if h.Backup == "" {
			leader = i
			continue
		}
		bad := func(format string, args ...any) error { return flaw("hop "+quote(h.Name), h.Line, format, args...) }
		of := slices.IndexFunc(hops, func(o Hop) bool { return o.Name == h.Backup })
		switch {
		case of < 0:
			return bad("it is a backup of %s, which is no hop%s", quote(h.Backup), didYouMean(nearest(h.Backup, namesOf(hops))))
		case of == 0 || i == 0:
			return bad("the first hop is the sender's own and has no backup")
		case hops[of].Backup != "":
			return bad("it is a backup of %s, which is one itself", quote(h.Backup))
		case of != leader:
			return bad("it must stand behind %s, whose backup it is", quote(h.Backup))
		case h.Bare() && !h.Equal:
			return bad("a backup MX hands mail on, but this one has neither system nor schedule")
		case h.Equal && h.Bare() != hops[of].Bare():
			return bad("it is an equal of %s, but only one of them has the mailbox", quote(h.Backup))
		}
	}
	return nil
}

func (c *course) checkOutages() error {
	names := namesOf(slices.Concat(c.s.Hops, c.s.Back.Hops))
	for i, o := range c.s.Outages {
		bad := func(format string, args ...any) error {
			return flaw(fmt.Sprintf("outage %d", i+1), o.Line, format, args...)
		}
		from, to := slices.Index(names, o.From), slices.Index(names, o.To)
		switch {
		case to < 0:
			return bad("to: there is no hop %s%s", quote(o.To), didYouMean(nearest(o.To, names)))
		case o.From != "" && from < 0:
			return bad("from: there is no hop %s%s", quote(o.From), didYouMean(nearest(o.From, names)))
		}
		if !slices.ContainsFunc(c.hops, func(h *hop) bool {
			return (o.From == "" || h.i == from) && (slices.Contains(c.out.next[h.i], to) || slices.Contains(c.back.next[h.i], to))
		}) {
			if o.From == "" {
				return bad("no hop hands anything to %s", quote(o.To))
			}
			return bad("%s hands nothing to %s: an outage lies between neighbours", quote(o.From), quote(o.To))
		}
		if err := o.When.check(c.s.Start); err != nil {
			return bad("%v", err)
		}
		if err := o.Result.check(); err != nil {
			return bad("%v", err)
		}
	}
	return nil
}

func (r Result) check() error {
	switch {
	case r.What >= resultCount:
		return fmt.Errorf("its result is not known")
	case r.Took < 0 || r.Took > time.Hour:
		return fmt.Errorf("an attempt that takes %s is not between 0 and 1h", custody.FormatAge(r.Took))
	case r.Hint < 0 || r.Hint > MaxTime:
		return fmt.Errorf("a hint of %s", custody.FormatAge(r.Hint))
	case r.What == Says && (r.Stage == mail.Route || r.Stage == mail.Connect || r.Stage > mail.Dot):
		return fmt.Errorf("no host says anything at stage %s", r.Stage)
	case r.What == Greylists && (r.Delay <= 0 || r.Delay > MaxTime || r.Life < 0 || r.Life > MaxTime):
		return fmt.Errorf("a greylist that asks for %s and remembers for %s", custody.FormatAge(r.Delay), custody.FormatAge(r.Life))
	case r.What == Greylists && r.Life > 0 && r.Life <= r.Delay:
		return fmt.Errorf("a greylist that forgets after %s whom it asked to wait %s", custody.FormatAge(r.Life), custody.FormatAge(r.Delay))
	case r.What == TooBig && r.Limit < 0:
		return fmt.Errorf("a limit of %d octets", r.Limit)
	}
	if r.Reply.IsZero() || r.What != Says && r.What != Greylists && r.What != TooBig {
		return nil
	}
	switch {
	case r.Reply.Code < 400 || r.Reply.Code > 599:
		return fmt.Errorf("a reply of %d neither defers nor refuses", r.Reply.Code)
	case r.What == Greylists && !r.Reply.Temporary():
		return fmt.Errorf("a greylist does not say %d", r.Reply.Code)
	}
	return nil
}

func namesOf(hops []Hop) []string {
	names := make([]string, len(hops))
	for i, h := range hops {
		names[i] = h.Name
	}
	return names
}

// nearest returns the word that was most likely meant, "" if none comes near.
func nearest(word string, known []string) string {
	best, least := "", len(word)/2+1
	for _, k := range known {
		if d := differ(strings.ToLower(word), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

func didYouMean(word string) string {
	if word == "" {
		return ""
	}
	return "; did you mean " + quote(word) + "?"
}

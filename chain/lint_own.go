package chain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/system"
)

// bounces finds letters that are kept too long, or not at all. What a schedule of
// ours keeps of them stands in another schedule.
func (l *linter) bounces() {
	if l.schedule != nil && !l.notices() {
		return
	}
	if l.postfix != nil && l.postfix.Setting("bounce_queue_lifetime").Time == 0 {
		l.add(Finding{
			Code: "bounces-tried-once", Severity: Warning,
			What: "a bounce is tried once: a sender whose host is down for a moment never hears that mail was lost",
			How:  "bounce_queue_lifetime is 0", Why: mustTell, Instead: l.set(noticeLife, goodNotices),
		}, "bounce_queue_lifetime")
		return
	}
	c := l.stays[0]
	if !l.notices() {
		p := l.policy()
		if p.Lifetime = p.Notices; p.Lifetime == 0 {
			return
		}
		c = policyStay(p, system.Unreachable)
	}
	if !c.known || c.gaveUp() < mostNotices {
		return
	}
	l.add(Finding{
		Code: "bounces-kept-long",
		What: "a bounce that nobody takes is kept and tried for " + c.about() + ", and nobody is told of its end",
		How:  c.how(), Why: fewerForBounces, Instead: l.set(noticeLife, goodNotices),
	}, l.key(noticeLife), l.key(life))
}

// neverReached finds gaps of our own lists that the end comes before.
func (l *linter) neverReached() {
	if l.schedule == nil {
		return
	}
	for _, c := range l.stays {
		all := paces(*l.schedule, c.key)
		n := len(all)
		for n > 1 && all[n-1] != all[n-2] && slices.Equal(l.with(c.key, all[:n-1]).tries, c.tries) {
			n--
		}
		if n == len(all) {
			continue
		}
		_, never, _ := strings.Cut(list("", all[n:]), " = ")
		l.add(Finding{
			Code: "never-reached",
			What: fmt.Sprintf("the end comes before these gaps of %s: %s", c.key, strings.Trim(never, "[]")),
			How:  "without them every attempt is made at the same moment; " + c.how(), Instead: list(c.key, all[:n]),
		})
	}
}

// with is the stay under a list of gaps in place of the one under that key.
func (l *linter) with(key string, gaps []custody.Pace) stay {
	s := *l.schedule
	switch key {
	case "unreachable":
		s.Unreachable = gaps
		return scheduleStay(s, custody.Unreachable)
	case "deferred":
		s.Deferred = gaps
		return scheduleStay(s, custody.Deferred)
	case "greylisted":
		s.Greylisted = gaps
		return scheduleStay(s, custody.Greylisted)
	}
	s.Retry, s.Unreachable = gaps, nil
	return scheduleStay(s, custody.Unreachable)
}

// countedLast finds a number of times where it counts for nothing.
func (l *linter) countedLast() {
	if l.schedule == nil {
		return
	}
	for _, c := range l.stays {
		all := paces(*l.schedule, c.key)
		end := all[len(all)-1]
		if end.Times < 2 {
			continue
		}
		once := end
		once.Times = 0
		l.add(Finding{
			Code: "last-gap-repeats",
			What: fmt.Sprintf("the last gap of %s repeats until the end, not %d times", c.key, end.Times),
			How:  fmt.Sprintf("the list runs out and its last gap goes on; %s", c.how()), Instead: list(c.key, append(slices.Clone(all[:len(all)-1]), once)),
		})
	}
}

// unknown says what of a system nobody knows, and what is odd in it that no run
// shows.
func (l *linter) unknown() {
	if l.system == nil || l.postfix != nil {
		return
	}
	p, c := l.system.Policy, l.stays[0]
	var not []string
	for _, q := range []struct {
		known bool
		what  string
	}{
		{c.known, "how long it keeps mail"},
		{c.paced, "when it tries again"},
		{p.Expiry != system.ExpiryUnknown, "at which moment it gives up"},
		{p.Warn.Known, "whether it tells of a delay"},
		{!p.Warn.On || p.Warn.Try > 0 || len(p.Warn.At) > 0, "when it tells of a delay"},
		{p.Notices > 0, "how long it keeps its bounces"},
	} {
		if !q.known {
			not = append(not, q.what)
		}
	}
	if len(not) > 0 {
		l.add(Finding{Code: "not-known", What: "not known: " + strings.Join(not, "; "), How: "nothing is guessed of it"})
	}
	if l.system.Notes != "" {
		l.add(Finding{Code: "remark", What: strings.TrimSuffix(l.system.Notes, "."), How: "not worked out here"})
	}
}

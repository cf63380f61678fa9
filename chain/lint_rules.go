package chain

import (
	"fmt"
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/system"
)

const (
	sendingStrategy = "RFC 5321 4.5.4.1: the give-up time generally needs to be at least 4 to 5 days"
	twoOrThreeHours = "RFC 5321 4.5.4.1: after the first hour, one attempt every two or three hours"
	halfHour        = "RFC 5321 4.5.4.1: in general the retry interval should be at least 30 minutes; shorter ones want a reason"
	greylistWindow  = "RFC 6647 5: a greylist should take mail that comes again after one minute at the earliest, 24 hours at the latest"
	mayWarn         = "RFC 3461 5.2.5 lets a notice of delay be sent to whoever did not ask for none"
	mustTell        = "RFC 5321 6.1: who has accepted a message and cannot deliver it must tell its sender"
	fewerForBounces = "RFC 5321 4.5.4.1: fewer retries may be right for notices than for mail"
)

// givesUpEarly finds a life too short for an outage that can be expected.
func (l *linter) givesUpEarly() {
	for _, c := range l.stays {
		if l.notices() || !c.known || c.gaveUp() >= leastLife {
			continue
		}
		f := Finding{
			Code: "gives-up-early", Severity: Warning,
			What: "mail is given up after " + c.about() + "; hosts can be down for longer",
			How:  c.how(), Why: sendingStrategy, Instead: l.outlive(c),
		}
		if c.end.Most == 0 {
			f.Severity, f.What = Wrong, "mail is given up when its first attempt fails, whatever the cause"
		}
		l.add(f, l.key(life))
		return
	}
}

// endsBeforeLifetime finds a lifetime that is not what it says.
func (l *linter) endsBeforeLifetime() {
	says := l.lifetime()
	for _, c := range l.stays {
		if says == 0 || !c.known || c.end.Most >= says-says/10 || says-c.end.Most < time.Hour {
			continue
		}
		f := Finding{
			Code: "ends-before-lifetime", Severity: Wrong,
			What: fmt.Sprintf("it is set to keep mail for %s and gives it up after %s", custody.FormatAge(says), c.about()),
			How:  c.how(), Instead: l.outlive(c),
		}
		if l.policy().Expiry == system.NextTooLate && c.last() > 0 {
			f.How += fmt.Sprintf("; the attempt after the one at %s would be later than %s", custody.FormatAge(c.last()), custody.FormatAge(says))
			f.Instead = l.set(longestGap, goodGap)
		}
		l.add(f, l.key(life))
		return
	}
}

// counted tells what a bound on the number of attempts means in time.
func (l *linter) counted() {
	p := l.policy()
	if p.Limit == 0 || l.postfix != nil {
		return
	}
	both := p.Lifetime > 0 && p.Expiry != system.ByCount
	t := system.Unreachable
	if p.Conversations {
		t = system.Deferred
	}
	p.Lifetime, p.Expiry = 0, system.ByCount
	c := policyStay(p, t)
	switch {
	case !c.known || !c.paced:
	case both:
		l.add(Finding{
			Code: "counted",
			What: fmt.Sprintf("however long its lifetime is made, attempt number %d ends it after %s", len(c.tries), c.about()),
			How:  c.how(), Instead: l.setCount(attemptsFor(p, 2*goodLife)),
		})
	default:
		l.add(Finding{
			Code: "counted",
			What: fmt.Sprintf("no length of time bounds it: %d attempts come to %s", len(c.tries), c.about()),
			How:  c.how(),
		})
	}
}

// hostClock finds the clock that runs out for mail which has not come yet.
func (l *linter) hostClock() {
	p := l.policy()
	if !p.Untried(p.Lifetime + time.Minute) {
		return
	}
	long := custody.FormatAge(p.Lifetime)
	f := Finding{
		Code: "host-clock", Severity: Warning,
		What: "mail can come back within seconds: once a host has failed for " + long + ", a new message for it is given up without an attempt of its own",
		How: fmt.Sprintf("the %s count from the host's first failure, for all its mail; a message accepted %s after it has no time left",
			long, custody.FormatAge(p.Lifetime+time.Minute)),
		Why: sendingStrategy,
	}
	if l.system.Family == "exim" {
		f.Instead = "delay_after_cutoff = false on the smtp transport gives each message one attempt at least"
	}
	l.add(f)
}

// longGap finds a gap that takes too much of the time that was left: a host may
// come back just after it began.
func (l *linter) longGap() {
	for _, c := range l.stays {
		if !c.known || !c.paced || c.gaveUp() <= 0 {
			continue
		}
		var from, gap, left time.Duration
		for i := range len(c.tries) - 1 {
			if c.cut && i == len(c.tries)-2 {
				break // what follows was not walked
			}
			began, g := c.tries[i], l.gap(c, i)
			// Near the end every gap is a large share of what is left.
			if rest := c.gaveUp() - began; rest >= c.gaveUp()/4 && g > goodGap && float64(g) > gapShare*float64(rest) && g > gap {
				from, gap, left = began, g, rest
			}
		}
		if gap == 0 {
			continue
		}
		l.add(Finding{
			Code: "long-gap", Severity: Warning,
			What: fmt.Sprintf("while %s, there is a gap of %s when %s are left: a host that comes back meanwhile waits for its mail",
				c.meets, custody.FormatAge(gap), custody.FormatAge(left)),
			How: fmt.Sprintf("after the attempt at %s the next comes at %s; %s", custody.FormatAge(from), custody.FormatAge(from+gap), c.how()),
			Why: twoOrThreeHours, Instead: l.shorter(c),
		}, l.key(longestGap))
	}
}

// gap is the time between two attempts that is sure.
func (l *linter) gap(c stay, i int) time.Duration {
	if !c.guessed {
		return c.tries[i+1] - c.tries[i]
	}
	next, _ := l.system.Policy.Next(c.trouble, i+1, c.tries[i])
	return next.Least - c.tries[i]
}

// shorter says how to make the gaps of a list no longer than good ones.
func (l *linter) shorter(c stay) string {
	switch {
	case l.schedule != nil:
		return list(c.key, shortened(paces(*l.schedule, c.key), 2*time.Hour))
	case l.postfix != nil && l.postfix.Setting("queue_run_delay").Time > goodGap:
		return "queue_run_delay = 300s\nminimal_backoff_time = 300s\nmaximal_backoff_time = 4000s"
	case l.postfix != nil:
		return "minimal_backoff_time = 300s\nmaximal_backoff_time = 2h"
	}
	return l.set(longestGap, 2*time.Hour)
}

// silentEnd finds time after the last attempt in which mail only waits to be
// given up.
func (l *linter) silentEnd() {
	c := l.stays[0]
	if !c.known || !c.paced || l.schedule == nil && l.policy().Expiry == system.ExpiryUnknown {
		return
	}
	still := c.gaveUp() - c.last()
	if still <= silence {
		return
	}
	f := Finding{
		Code: "silent-end",
		What: fmt.Sprintf("for the last %s nothing is tried any more, and then mail is given up: a host that comes back meanwhile is not asked", custody.FormatAge(still)),
		How:  fmt.Sprintf("the last attempt begins at %s, the end comes at %s; %s", custody.FormatAge(c.last()), custody.FormatAge(c.gaveUp()), c.how()),
		Why:  twoOrThreeHours, Instead: l.shorter(c),
	}
	if still > longSilence {
		f.Severity = Warning
	}
	l.add(f, l.key(longestGap))
}

// tellsNobody finds a system that loses mail without a word.
func (l *linter) tellsNobody() {
	if !l.policy().Silent {
		return
	}
	l.add(Finding{
		Code: "tells-nobody", Severity: Wrong,
		What: "at the end nobody is told: the sender believes that the message arrived",
		How:  l.policy().Rule,
		Why:  mustTell,
	})
}

// warnings finds what the sender does not hear in time.
func (l *linter) warnings() {
	c := l.stays[0]
	w := l.policy().Warn
	if l.notices() || l.schedule == nil && !w.Known {
		return
	}
	told, never := l.warned()
	off := l.schedule != nil && len(l.schedule.Warn) == 0 || l.schedule == nil && !w.On
	long := "an unknown time"
	if c.known {
		long = c.about()
	}
	key := l.key(warnAges)
	switch {
	case off && c.known && c.gaveUp() <= 4*time.Hour: // the end itself comes as soon
	case off:
		f := Finding{
			Code: "no-warning", Severity: Warning,
			What: "the sender hears nothing for " + long + ", and then that it is too late",
			How:  "no notice of delay is sent before the end; " + c.ends(),
			Why:  mayWarn, Instead: l.warn(),
		}
		if w.NeedsReply {
			f.How += "; and were notices switched on, none would come while nobody answers"
		}
		l.add(f, key)
	case w.NeedsReply:
		l.add(Finding{
			Code: "warning-needs-reply", Severity: Warning,
			What: "while the other side does not answer, no notice of delay is sent: the sender hears nothing for " + long,
			How:  "a notice needs a reply of the host, and nobody speaks; " + c.ends(), Why: mayWarn,
		}, key)
	case len(never) > 0:
		f := Finding{
			Code: "warning-never", Severity: Wrong,
			What: fmt.Sprintf("the notice of delay after %s is never sent", ages(never)),
			How:  "by then the message has been given up: " + c.ends(), Instead: l.warn(),
		}
		if l.schedule == nil && c.gaveUp() <= 4*time.Hour {
			f.Instead = l.outlive(c)
		}
		switch {
		case w.Try > 0:
			f.What = fmt.Sprintf("the notice of delay with attempt number %d is never sent", w.Try)
		case never[0] < c.gaveUp():
			f.How = "the ages are not in order, and one notice tells of all that have passed"
		}
		l.add(f, key, l.key(life))
	case len(told) > 0 && told[0] > warnPatience:
		l.add(Finding{
			Code: "warns-late",
			What: "the sender hears nothing of a delay before " + custody.FormatAge(told[0]) + " have passed",
			How:  "notices of delay are sent after " + ages(told), Why: mayWarn, Instead: l.warn(),
		}, key)
	}
}

// warn is a setting under which the sender hears in time.
func (l *linter) warn() string {
	const first, second = 4 * time.Hour, 2 * 24 * time.Hour
	if l.schedule == nil {
		return l.set(warnAges, first)
	}
	switch e := l.schedule.Expire; {
	case e > second:
		return `warn = ["4h", "2d"]`
	case e > first:
		return `warn = ["4h"]`
	default:
		return "warn = []"
	}
}

// greylisted finds retries that greylisting hurts.
func (l *linter) greylisted() {
	c := l.grey
	if _, seen := l.policy().Pace(c.trouble).(system.Observed); seen || !c.paced {
		return // what a log shows is no rule
	}
	passes, ok := c.after(greyLeast)
	usual, later := c.after(greyUsual)
	key := l.key(firstGap)
	switch {
	case !ok || passes > greyMost:
		f := Finding{
			Code: "never-passes-greylist", Severity: Wrong,
			What: "mail that a host greylists is never delivered to it",
			How:  "no attempt comes between 1m and 1d after the first; " + c.how(),
			Why:  greylistWindow, Instead: l.sooner(c),
		}
		if c.known && c.gaveUp() < greyUsual {
			f.Instead = l.outlive(c)
		}
		l.add(f, key)
	case !later || usual > greyPatience:
		f := Finding{
			Code: "late-after-greylist", Severity: Warning,
			What: fmt.Sprintf("mail that a host greylists for 5 minutes waits for %s", custody.FormatAge(usual)),
			How:  "the first attempt after 5m comes at " + custody.FormatAge(usual) + "; " + c.how(),
			Why:  greylistWindow, Instead: l.sooner(c),
		}
		if !later {
			f.What, f.How = "mail that a host greylists for 5 minutes is never delivered to it", "no attempt comes after 5m; "+c.how()
			f.Instead = l.outlive(c)
		}
		l.add(f, key)
	}
	if len(c.tries) > 1 && c.tries[1] < greyLeast {
		l.add(Finding{
			Code: "retry-too-soon",
			What: fmt.Sprintf("the second attempt comes %s after the first, before any greylist lets it pass", custody.FormatAge(c.tries[1])),
			How:  c.how(), Why: greylistWindow, Instead: l.sooner(c),
		}, key)
	}
}

// sooner is a list of gaps whose first ones suit a greylist.
func (l *linter) sooner(c stay) string {
	switch {
	case l.schedule != nil:
		return list(c.key, goodGaps)
	case l.postfix != nil:
		return "queue_run_delay = 300s\nminimal_backoff_time = 300s\nmaximal_backoff_time = 4000s"
	}
	return l.set(firstGap, greyUsual)
}

// goodGaps are gaps that nothing is found in.
var goodGaps = []custody.Pace{
	{Gap: 5 * time.Minute}, {Gap: 10 * time.Minute}, {Gap: 20 * time.Minute}, {Gap: 40 * time.Minute}, {Gap: time.Hour},
}

// tooOften finds attempts that come faster than anything can mend.
func (l *linter) tooOften() {
	for _, c := range l.stays {
		if !c.paced {
			continue
		}
		hour, _ := slices.BinarySearch(c.tries, time.Hour)
		day, _ := slices.BinarySearch(c.tries, 24*time.Hour+1)
		f := Finding{Code: "too-often", Severity: Warning, How: c.how(), Why: halfHour, Instead: l.sooner(c)}
		later := len(c.tries) - day
		mid := day + later/2
		switch {
		case hour > busyHour:
			f.What = fmt.Sprintf("while %s, %d attempts are made in the first hour", c.meets, hour)
		case later > 2 && (c.last()-24*time.Hour)/time.Duration(later) < leastGap:
			f.What = fmt.Sprintf("while %s, an attempt is still made every %s after the first day, %d in all",
				c.meets, custody.FormatAge(c.tries[mid]-c.tries[mid-1]), len(c.tries))
		default:
			continue
		}
		if l.schedule == nil && l.postfix == nil {
			key := l.key(longestGap)
			if c.trouble == system.Deferred && l.system.Policy.Deferred != nil {
				key = l.key(firstGap)
			}
			f.Instead = l.wish("gaps of 1h after the first hour", key)
		}
		l.add(f, l.key(firstGap), l.key(longestGap))
	}
}

// noJitter finds attempts that stay together.
func (l *linter) noJitter() {
	c := l.stays[0]
	if !c.paced || len(c.tries) < 2 {
		return
	}
	f := Finding{
		Code: "no-jitter",
		What: "the gaps are not varied: what failed in one moment is tried again in one moment, each time",
		How:  "two messages of the same second are tried at the same ages: " + ages(c.tries[1:]),
	}
	if l.schedule != nil {
		if l.schedule.Jitter > 0 {
			return
		}
		f.Instead = "jitter = 0.1"
	} else if l.system.Confidence < system.High || l.varied(c) {
		return
	}
	l.add(f)
}

// varied reports that the times of a system's attempts are not known to be
// exact, its scans left out of account.
func (l *linter) varied(c stay) bool {
	p := l.system.Policy
	for i, at := range c.tries[:min(len(c.tries), 10)] {
		next, ok := p.Pace(system.Unreachable).Next(i+1, at)
		if _, run := p.Retry.(system.QueueRun); ok && !next.Exact() && !run {
			return true
		}
	}
	return false
}

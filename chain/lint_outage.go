package chain

import (
	"fmt"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/system"
)

// The outage that every policy is measured by: a host that fails after the last
// one has gone home on Friday and is mended when the first one comes on Monday.
var weekendBegins = time.Date(2026, time.March, 6, 18, 0, 0, 0, time.UTC)

const weekendLasts = 63 * time.Hour

// toll is what an outage of a destination costs the mail of one system.
type toll struct {
	// Lost is for how long from the beginning of the outage the mail accepted is
	// given up. Mail accepted later is delivered, if anything of it is known.
	lost time.Duration
	// Sure: the attempts are known. Else lost is what the end alone tells, the
	// least, and whether mail is tried in time is not known.
	sure bool
}

// tollOf reckons with messages that fare alike. One that the host's clock ends
// dies with all others of its destination.
func tollOf(c stay, clock system.Clock, outage time.Duration) toll {
	switch {
	case !c.known:
		return toll{sure: c.paced}
	case !c.paced:
		return toll{lost: max(0, outage-c.end.Most)}
	case clock == system.FromFailure && c.gaveUp() < outage:
		return toll{lost: outage, sure: true}
	case clock == system.FromFailure:
		return toll{sure: true}
	}
	return toll{lost: max(0, outage-c.last()), sure: true}
}

// weekend says what an outage over a weekend costs, and which is the longest that
// costs nothing.
func (l *linter) weekend() {
	c := l.stays[0]
	if !c.known && !c.paced {
		return
	}
	t := tollOf(c, l.policy().Clock, weekendLasts)
	f := Finding{
		Code: "weekend",
		How: fmt.Sprintf("a message is delivered if one of its attempts comes after the host is back; the last one begins %s after acceptance",
			custody.FormatAge(c.last())),
	}
	if c.guessed {
		f.How += ", as far as its gaps are known"
	}
	const when = "a host that is down from Friday 18:00 to Monday 09:00, 63 hours,"
	switch {
	case !t.sure && t.lost == 0:
		f.What = fmt.Sprintf("mail for %s is still held when the host is back; when it is tried then is not known", when)
		f.How = c.ends()
	case t.lost == 0 && !c.known:
		f.What = fmt.Sprintf("%s loses nothing; nothing known ends the attempts", when)
		f.How = c.how()
	case t.lost == 0:
		f.What = fmt.Sprintf("%s loses nothing; an outage may last %s before mail is given up", when, custody.FormatAge(c.last()))
	case t.lost == weekendLasts && l.policy().Clock == system.FromFailure:
		f.Severity = Warning
		f.What = fmt.Sprintf("%s loses all mail of that time: the clock is the host's, and it has run out for every message", when)
		f.How = c.how()
	default:
		f.Severity = Warning
		loses := "loses"
		if c.guessed {
			loses = "may lose"
		}
		f.What = fmt.Sprintf("%s %s what is accepted for it from Friday 18:00 to %s, %s of mail%s",
			when, loses, weekendBegins.Add(t.lost).Format("Monday 15:04"), custody.FormatAge(t.lost), l.told())
		f.How += fmt.Sprintf(", and of what is accepted first the host comes back %s later than that; an outage of %s loses nothing",
			custody.FormatAge(t.lost), custody.FormatAge(c.last()))
		if c.gaveUp() > weekendLasts {
			f.How += fmt.Sprintf("; what is accepted first is given up after %s, untried for the last %s, although the host has been back for %s",
				custody.FormatAge(c.gaveUp()), custody.FormatAge(c.gaveUp()-c.last()), custody.FormatAge(c.gaveUp()-weekendLasts))
		}
		if !t.sure {
			f.How = c.ends()
		}
	}
	if l.notices() { // that they end sooner is right
		f.Severity = Note
	}
	if f.Severity == Warning {
		f.Why = "RFC 5321 4.5.4.1: failures are usually transient; the give-up time needs to be at least 4 to 5 days"
		f.Instead = l.outlive(c)
	}
	l.add(f, l.key(life))
}

// told says what the sender hears of a loss.
func (l *linter) told() string {
	if l.policy().Silent {
		return ", and tells nobody"
	}
	return ", which goes back to its senders"
}

// outlive says how to keep mail for 5 days: by the lifetime where that is what
// ends it, else by what does.
func (l *linter) outlive(c stay) string {
	p := l.policy()
	switch {
	case l.schedule != nil || l.postfix != nil:
		return l.set(life, goodLife)
	case p.Expiry == system.ByCount || p.Limit > 0 && p.Limit == len(c.tries):
		return l.setCount(attemptsFor(p, goodLife))
	case l.lifetime() >= goodLife:
		return l.set(longestGap, goodGap)
	}
	return l.set(life, goodLife)
}

// attemptsFor is how many attempts a policy that counts them needs to last that
// long; 0: its list of gaps ends before.
func attemptsFor(p system.Policy, long time.Duration) int {
	p.Limit, p.Lifetime, p.Expiry = 0, long, system.AfterFailure
	r := p.Run(system.Unreachable, system.Reckoned)
	if r.Endless || r.Attempts[len(r.Attempts)-1] < long {
		return 0
	}
	return len(r.Attempts)
}

package chain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/system"
)

// stay is what becomes of a message whose every attempt meets the same
// trouble, in a form that schedules of ours and systems of others share.
type stay struct {
	key   string          // of a schedule of ours: the list of gaps that paces it
	meets string          // what every attempt meets, for people
	tries []time.Duration // ages at which attempts begin, as reckoned
	end   system.Span     // age at which it is given up
	known bool            // the end is known
	paced bool            // so are the attempts after the first
	cut   bool            // tries is only the beginning of them, and the last
	by    string          // what ends it, for people
	// Guessed: some gaps are not known, and reckoned with as package system does.
	// Wild: their bounds are not known either.
	guessed, wild bool
	trouble       system.Trouble // of a system: what paces it
}

// last is the age of the last attempt. There is always one, the first.
func (c stay) last() time.Duration { return c.tries[len(c.tries)-1] }

// gaveUp is the age at the end, as reckoned.
func (c stay) gaveUp() time.Duration { return c.end.Pick(system.Reckoned) }

// after is the age of the first attempt that begins at that age or later.
func (c stay) after(age time.Duration) (time.Duration, bool) {
	i, _ := slices.BinarySearch(c.tries, age)
	if i == len(c.tries) {
		return 0, false
	}
	return c.tries[i], true
}

// how tells a stay in numbers: "108 attempts while nobody answers, at 0s, 5m, 10m,
// 20m, 40m … 5d; given up after 5d, after a failed attempt".
func (c stay) how() string {
	var b strings.Builder
	if len(c.tries) == 1 {
		b.WriteString("one attempt, at 0s")
	} else {
		const shown = 5
		fmt.Fprintf(&b, "%d attempts while %s, at ", len(c.tries), c.meets)
		for i, t := range c.tries {
			switch {
			case i < shown && i > 0:
				b.WriteString(", ")
			case i == shown && len(c.tries) > shown+1:
				b.WriteString(" … ")
				continue
			case i == len(c.tries)-1 && i == shown:
				b.WriteString(", ")
			case i >= shown && i < len(c.tries)-1:
				continue
			}
			b.WriteString(custody.FormatAge(t))
		}
	}
	if !c.paced {
		return "the times of its attempts are not known; " + c.ends()
	}
	if c.cut {
		b.WriteString(" and so on")
	}
	if c.guessed {
		b.WriteString(", some of them reckoned from what is known of the gaps")
	}
	return b.String() + "; " + c.ends()
}

func (c stay) ends() string {
	if !c.known {
		return "nothing known ends it"
	}
	return "given up after " + span(c.end) + ", " + c.by
}

// moment is a time that is known.
func moment(d time.Duration) system.Span { return system.Span{Least: d, Most: d, Model: d} }

// about writes the end in a word: "2d", "about 2d4h", "2d or later".
func (c stay) about() string {
	exact, reckoned := span(c.end), custody.FormatAge(c.gaveUp())
	if exact == reckoned || c.end.Most >= system.Open {
		return exact
	}
	return "about " + reckoned
}

// span writes a time that is not known exactly.
func span(s system.Span) string {
	reckoned := custody.FormatAge(s.Pick(system.Reckoned))
	least, most := custody.FormatAge(s.Least), custody.FormatAge(s.Most)
	switch {
	case s.Most >= system.Open:
		return reckoned + " or later"
	case least == most || s.Most-s.Least <= s.Most/100:
		return reckoned
	}
	return reckoned + " (" + least + " to " + most + ")"
}

// run walks the policy under every trouble that it paces apart.
func (l *linter) run() {
	if l.schedule != nil {
		l.runSchedule()
		return
	}
	p := l.system.Policy
	l.stays = []stay{policyStay(p, system.Unreachable)}
	l.grey = l.stays[0]
	if p.Deferred != nil || p.Conversations {
		l.grey = policyStay(p, system.Deferred)
		l.stays = append(l.stays, l.grey)
	}
}

// policyStay walks a policy of others with attempts that all meet a trouble.
func policyStay(p system.Policy, t system.Trouble) stay {
	c := stay{meets: "nobody answers", trouble: t}
	if t == system.Deferred {
		c.meets = "every attempt is deferred"
	}
	r := p.Run(t, system.Reckoned)
	c.tries, c.cut = r.Attempts, r.Endless
	_, c.paced = p.Next(t, 1, 0)
	c.guessed, c.wild = guessed(p, t, c.tries)
	c.end, c.known, c.by = r.End.At, !r.Endless, r.End.By.String()
	switch r.End.By {
	case system.ByCount:
		c.by = fmt.Sprintf("with failure number %d", len(c.tries))
	case system.ExpiryUnknown:
		c.by = "at which moment of its work is not known"
	}
	if r.Endless && p.Lifetime > 0 && p.Expiry != system.ByCount { // more attempts than are walked
		c.end, c.known, c.by = moment(p.Lifetime), true, p.Expiry.String()
		c.tries[len(c.tries)-1] = p.Lifetime
	}
	if c.wild {
		return c
	}
	if early := p.Run(t, system.Earliest); !early.Endless {
		c.end.Least = min(c.end.Least, early.End.At.Least)
	}
	if late := p.Run(t, system.Latest); !late.Endless {
		c.end.Most = max(c.end.Most, late.End.At.Most)
	}
	return c
}

// guessed reports that the gaps between some of the first attempts are not known.
// Jitter and the wait for a queue run are no such thing.
func guessed(p system.Policy, t system.Trouble, tries []time.Duration) (guessed, wild bool) {
	pace := p.Pace(t)
	if pace == nil {
		return false, false
	}
	for i, at := range tries[:min(len(tries), 30)] {
		next, ok := pace.Next(i+1, at)
		if wide := next.Most - next.Least; ok && wide > 30*time.Minute && wide > (next.Pick(system.Reckoned)-at)/2 {
			guessed, wild = true, wild || next.Least <= at || next.Most >= system.Open
		}
	}
	return guessed, wild
}

// runSchedule asks custody what it will do, with every list of gaps in turn.
func (l *linter) runSchedule() {
	s := *l.schedule
	for _, t := range []struct {
		trouble custody.Trouble
		key     string
		list    []custody.Pace
		meets   string
	}{
		{custody.Unreachable, "unreachable", s.Unreachable, "nobody answers"},
		{custody.Deferred, "deferred", s.Deferred, "every attempt is deferred"},
		{custody.Greylisted, "greylisted", s.Greylisted, "every attempt is greylisted"},
	} {
		key := t.key
		if t.list == nil {
			key = "retry"
			if t.trouble == custody.Greylisted && s.Deferred != nil {
				key = "deferred"
			}
		}
		i := slices.IndexFunc(l.stays, func(c stay) bool { return c.key == key })
		if i < 0 {
			i = len(l.stays)
			l.stays = append(l.stays, scheduleStay(s, t.trouble))
			l.stays[i].key, l.stays[i].meets = key, t.meets
		}
		l.grey = l.stays[i] // the last one is that of a greylist
	}
}

// mostTries bounds how far a schedule is followed: a try a minute for six weeks.
const mostTries = 1 << 16

// scheduleStay is the forecast of a message of ours, in ages. Jitter is left
// out: what is said of a schedule must hold for every message.
func scheduleStay(s custody.Schedule, t custody.Trouble) stay {
	s.Jitter, s.Warn = 0, nil
	d := anyDelivery()
	d.Last = t
	end := custody.End(d, s).Sub(d.Accepted)
	c := stay{end: moment(end), known: true, paced: true, by: "with the attempt on the deadline"}
	for m := range custody.Forecast(d, s) {
		if m.What != custody.WillTry {
			continue
		}
		c.tries = append(c.tries, m.At.Sub(d.Accepted))
		if len(c.tries) == mostTries {
			c.tries[mostTries-1], c.cut = end, true // the last try falls on the deadline
			break
		}
	}
	return c
}

// anyDelivery is a delivery of somebody to somebody.
func anyDelivery() custody.Delivery {
	m := custody.Message{
		Envelope: mail.Envelope{From: mail.Address{Local: "sender", Domain: "example.com"}},
		Accepted: weekendBegins,
	}
	to := mail.Recipient{Address: mail.Address{Local: "recipient", Domain: "example.net"}}
	return custody.NewDelivery(m, 1, "example.net", []mail.Recipient{to})
}

// warned returns the ages at which the sender is told of the delay while the
// destination does not answer, and those of the policy at which it would be but
// for the end.
func (l *linter) warned() (told, never []time.Duration) {
	if l.schedule == nil {
		return warnedAt(l.system.Policy, l.stays[0])
	}
	s := *l.schedule
	s.Jitter, s.Retry = 0, []custody.Pace{{Gap: s.Expire}} // only the warnings are asked for
	s.Unreachable = nil
	d := anyDelivery()
	for m := range custody.Forecast(d, s) {
		if m.What == custody.WillWarn {
			told = append(told, m.At.Sub(d.Accepted))
		}
	}
	for _, w := range s.Warn {
		if !slices.Contains(told, w) {
			never = append(never, w)
		}
	}
	return told, never
}

// mostWarnings bounds the repeated warnings that are listed.
const mostWarnings = 100

// warnedAt is when a system tells the sender of a message that fares like that,
// while nobody answers.
func warnedAt(p system.Policy, c stay) (told, never []time.Duration) {
	w := p.Warn
	if !w.Known || !w.On || w.NeedsReply {
		return nil, nil
	}
	ages := slices.Clone(w.At)
	switch {
	case w.Try > 0 && w.Try <= len(c.tries):
		ages = append(ages, c.tries[w.Try-1])
	case w.Try > 0:
		never = append(never, c.gaveUp())
	}
	if n := len(w.At); n > 0 && w.Every > 0 && c.known {
		for at := w.At[n-1] + w.Every; at < c.gaveUp() && len(ages) < mostWarnings; at += w.Every {
			ages = append(ages, at)
		}
	}
	for _, at := range ages {
		if c.known && at >= c.end.Most {
			never = append(never, at)
		} else {
			told = append(told, at)
		}
	}
	return told, never
}

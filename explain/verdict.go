package explain

import (
	"strings"

	"github.com/postrider/postrider/cause"
)

// advise fills in who can mend it and what is open.
func (f *Finding) advise(j judged, told *facts) {
	f.DoNow = j.cause.DoNow
	for _, x := range j.cause.Fix {
		f.Fix = append(f.Fix, Fix{x.Who.String(), x.What})
	}
	switch f.Kind {
	case Arrived, HandedOn, Expanded:
		f.Fix, f.DoNow = []Fix{}, "Nothing: this is good news."
		return
	case StillTrying:
		f.DoNow = "Nothing: the server goes on trying. If it is urgent, reach the recipient another way."
	}
	f.open(j)
	f.roles(j, told)
}

// open lists what the report leaves open, and what would decide it.
func (f *Finding) open(j judged) {
	ask := func(s string) { f.NotKnown = append(f.NotKnown, s) }
	if f.GaveUp.Host == "" {
		ask("Which server wrote this, and whose it is: the header of the letter around these lines tells it.")
	}
	if f.Kind == ExpiredUnknown {
		ask("Why it could not be delivered: the report gives only the end of the clock. The last error stands in the log of the server that gave up, in its queue as last error, or in an earlier notice of delay.")
	}
	if f.Refused.How == notTold && j.cause.Kind == cause.Unknown && f.Kind != ExpiredUnknown {
		ask("Who said no, and why: look into the log of the server that wrote the report.")
	}
	if f.Kind == Unreachable && f.Attempts.Told == nil {
		ask("How often it was tried: the report does not tell.")
	}
	if expired(f.Kind) && f.Clock.Value == 0 && f.Clock.Least == 0 {
		ask("What the limit was: it is set on the server that gave up.")
	}
	if expired(f.Kind) && f.Clock.Held == 0 {
		ask("How long it was held: the report has no dates to tell it.")
	}
}

// roles says what each part did. The hosts on the way are told by the trace of
// the returned message; whose they are it does not tell.
func (f *Finding) roles(j judged, told *facts) {
	owner := f.GaveUp.Host
	if owner == "" {
		owner = "the server that wrote the report"
	}
	f.Roles.Sender = "handed the message on to " + owner
	f.Roles.Between = owner + " had it and answered for it"
	var before []string
	for _, h := range f.Hops {
		if h.Role == "gave up" || sameHost(h.Host, f.GaveUp.Host) {
			break
		}
		if len(before) == 0 || before[len(before)-1] != h.Host {
			before = append(before, h.Host)
		}
	}
	if len(before) > 0 && len(before) < len(f.Hops)+1 {
		f.Roles.Sender = strings.Join(before, ", then ") + " handed the message on to " + owner
		if h := f.Hops[0]; !h.Accepted.IsZero() && !f.Clock.Started.IsZero() {
			if d := f.Clock.Started.Sub(h.Accepted); d >= 0 {
				f.Roles.Sender += " within " + Seconds(d).String() + "; there its own clock ended"
			}
		}
	}
	switch {
	case f.Kind == StillTrying:
		f.Roles.Between += ", and goes on trying"
	case expired(f.Kind) || told.retried():
		f.Roles.Between += "; its clock decided when it was over"
	case j.spoke:
		f.Roles.Between += "; it returned it as it must when it is refused for good"
	}
	switch {
	case j.contact == "none":
		f.Roles.Receiver = "never said a word: it has not seen the message"
	case j.contact == "broken":
		f.Roles.Receiver = "broke the connection off"
	case j.spoke && j.class == 4:
		f.Roles.Receiver = "answered that it would not take it yet"
	case j.spoke:
		f.Roles.Receiver = "answered, and refused it"
	case f.Refused.How == notTried:
		f.Roles.Receiver = "was not asked for this message"
	default:
		f.Roles.Receiver = "not told"
	}
}

// verdict says it in one sentence.
func verdict(f *Finding, j judged) string {
	var b strings.Builder
	owner := f.GaveUp.Host
	if owner == "" {
		owner = "A mail server"
	}
	other := f.Refused.Host
	if other == "" {
		other = f.Refused.IP
	}
	if other == "" {
		other = "the other side"
	}
	held := ""
	if f.Clock.Held > 0 {
		held = " after " + f.Clock.Held.String()
	}
	b.WriteString(owner)
	switch f.Kind {
	case Arrived:
		return owner + " delivered the message."
	case HandedOn:
		return owner + " handed the message on to " + other + "."
	case Expanded:
		return owner + " passed the message on to the members of a list."
	case StillTrying:
		b.WriteString(" has not delivered the message yet and goes on trying")
	case ExpiredUntried:
		b.WriteString(" returned the message without trying it, because its destination had been failing for long")
	case RefusedAtOnce, PolicyRefusal, Loop, Size, Misrouted:
		if j.spoke {
			b.WriteString(" returned the message because " + other + " refused it for good")
		} else {
			b.WriteString(" returned the message")
		}
	default:
		b.WriteString(" gave the message up" + held + ", on its own limit")
		if j.contact == "none" {
			b.WriteString("; no server there said a word")
		} else if j.spoke {
			b.WriteString("; " + other + " had put it off")
		}
	}
	b.WriteString(".")
	if j.cause.Kind != cause.Unknown {
		b.WriteString(" " + j.cause.Meaning)
	}
	return b.String()
}

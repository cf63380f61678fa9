package explain

import (
	"cmp"
	"time"

	"github.com/postrider/postrider/cause"
)

// advise fills in who can mend it, what to do, what is open and what each side did.
func (v *view) advise(f *Finding, j judged, told *facts) {
	switch f.Kind {
	case Arrived, HandedOn, Expanded:
		f.DoNow = v.say("do.nothing")
		v.roles(f, j)
		return
	case StillTrying:
		f.DoNow = v.say("do.wait")
	case ExpiredUntried:
		f.DoNow = v.say("do.untried")
		f.Fix = append(f.Fix, Fix{mender(cause.SenderAdmin, cause.Expired, f.GaveUp.Side), v.say("fix.untried")})
	default:
		f.DoNow = v.of(j.cause.DoNow)
	}
	for _, x := range j.cause.Fix {
		f.Fix = append(f.Fix, Fix{mender(x.Who, j.cause.Kind, f.GaveUp.Side), v.of(x.What)})
	}
	v.open(f, j, told)
	v.roles(f, j)
}

// operator is who runs the server that gave up, where that is neither known to be
// the sender's side nor the receiver's.
const operator = "operator"

// mender is who can mend it. Package cause takes the owner of a message for the
// sender's side; where it stood elsewhere, what is to be done there falls to
// others.
func mender(who cause.Who, k cause.Kind, side string) string {
	if who != cause.SenderAdmin || side == sideSender {
		return who.String()
	}
	switch k {
	case cause.Expired, cause.Ours, cause.Refused, cause.Timeout, cause.Unreachable, cause.NoRoute, cause.Broken, cause.DNS, cause.Loop, cause.TLS, cause.Security, cause.Syntax, cause.Suppressed:
	default:
		return who.String() // it is about who sent the message
	}
	if side == sideReceiver {
		return cause.ReceiverAdmin.String()
	}
	return operator
}

// open lists what the report leaves open, and what would decide it.
func (v *view) open(f *Finding, j judged, told *facts) {
	ask := func(s string) { f.NotKnown = append(f.NotKnown, s) }
	switch {
	case v.listed:
	case f.GaveUp.Host == "":
		ask(v.say("open.server"))
	case f.GaveUp.Side == "":
		ask(v.say("open.side", "owner", f.GaveUp.Host))
	}
	if f.GaveUp.Host == "" && expired(f.Kind) {
		ask(v.say("open.accepted"))
	}
	if f.Kind == ExpiredUnknown {
		ask(v.say("open.last error"))
	}
	if f.Kind == ExpiredUnknown && told.frame.system == "exim" {
		ask(v.say("open.tried"))
	}
	if f.Refused.How == notTold && j.cause.Kind == cause.Unknown && f.Kind != ExpiredUnknown {
		ask(v.say("open.who"))
	}
	if f.Kind == Unreachable && (f.Attempts.Told == nil || *f.Attempts.Told == 0) {
		ask(v.say("open.attempts"))
	}
	if f.Kind == Unreachable && f.Clock.Held > 0 && f.Attempts.First.IsZero() {
		ask(v.say("open.since"))
	}
	if expired(f.Kind) && f.Clock.Value == 0 && f.Clock.Least == 0 {
		ask(v.say("open.limit"))
	}
	if expired(f.Kind) && f.Clock.Held == 0 {
		ask(v.say("open.held"))
	}
}

// verdict says it in one sentence, and what it means in another.
func (v *view) verdict(f *Finding, j judged) string {
	owner := cmp.Or(f.GaveUp.Host, v.say("verdict.somebody"))
	other := cmp.Or(f.Refused.Host, f.Refused.IP, v.say("verdict.other"))
	held := ""
	if f.Clock.Held > 0 {
		held = v.length(time.Duration(f.Clock.Held))
	}
	s := ""
	switch {
	case f.Kind == Arrived:
		return v.say("verdict.delivered", "owner", owner)
	case f.Kind == HandedOn:
		return v.say("verdict.relayed", "owner", owner, "other", other)
	case f.Kind == Expanded:
		return v.say("verdict.expanded", "owner", owner)
	case f.Kind == StillTrying:
		s = v.say("verdict.delayed", "owner", owner)
	case f.Kind == ExpiredUntried:
		s = v.say("verdict.untried", "owner", owner)
	case f.Kind == EndedByOrder:
		s = v.say("verdict.ordered", "owner", owner, "held", held)
	case expired(f.Kind) && j.contact == "none":
		s = v.say("verdict.unheard", "owner", owner, "held", held)
	case expired(f.Kind) && j.spoke:
		s = v.say("verdict.put off", "owner", owner, "held", held, "other", other)
	case expired(f.Kind):
		s = v.say("verdict.gave up", "owner", owner, "held", held)
	case j.retried:
		s = v.say("verdict.retried", "owner", owner, "held", held, "other", other)
	case j.spoke:
		s = v.say("verdict.refused", "owner", owner, "other", other)
	default:
		s = v.say("verdict.returned", "owner", owner)
	}
	switch j.cause.Kind {
	case cause.Unknown:
		return s
	case cause.Expired:
		return s + " " + v.say("verdict.not told")
	}
	return s + " " + v.of(j.cause.Meaning)
}

// joined names hosts one behind the other.
func (l *language) joined(hosts []string) string {
	s := ""
	for _, h := range hosts {
		if s == "" {
			s = h
		} else {
			s = l.say("part.then", "first", s, "next", h)
		}
	}
	return s
}

package explain

import (
	"strings"

	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/mail"
)

// judged is what the facts about one recipient come to.
type judged struct {
	cause   cause.Cause
	kind    string
	sure    Confidence // of kind
	how     string     // Refusal.How
	contact string
	spoke   bool // a host of the other side was heard
	retried bool // refused for good, and tried on all the same
	class   int  // 4 or 5 of the last real error; 0: not told
}

// How somebody said no.
const (
	byReply     = "smtp"
	tcpRefused  = "tcp refused"
	timedOut    = "timed out"
	nobodyThere = "nobody answered"
	notTold     = "not told"
	notTried    = "not tried"
	itself      = "itself" // the server that had the message, by a rule of its own
)

// judge weighs the facts about one recipient.
func (f *facts) judge(k Kind) judged {
	j := judged{cause: f.why(), sure: cause.Likely, retried: f.retried()}
	j.class = f.class()
	j.contacted(f)
	switch {
	case f.action == "delivered":
		j.kind, j.sure = Arrived, cause.Sure
	case f.action == "relayed":
		j.kind, j.sure, j.contact = HandedOn, cause.Sure, "reply"
	case f.action == "expanded":
		j.kind, j.sure = Expanded, cause.Sure
	case f.action == "delayed" || f.action == "" && k == Delay:
		j.kind, j.sure = StillTrying, cause.Sure
		if f.action == "" {
			j.sure = cause.Likely
		}
	default:
		j.failed(f)
	}
	if f.presumed {
		j.sure = min(j.sure, cause.Likely)
	}
	if strings.Contains(f.said.text, "delivery temporarily suspended") {
		// Postfix quotes what another message met at the same host.
		j.how, j.contact, j.spoke = notTried, "", false
		j.sure = min(j.sure, cause.Likely)
	}
	return j
}

// why returns the cause of the last real error, or what is left of it.
func (f *facts) why() cause.Cause {
	if c, ok := f.ownCause(); ok {
		return c
	}
	s := f.said
	if s.status.IsZero() && (s.code == 0 || int(f.field[0]) == s.code/100) {
		s = s.anew()
		s.status = f.field // its own words first
		if f.field[1] == 4 && f.field[2] == 7 && f.frame.expired {
			s.status = mail.Status{}
		}
	}
	c := s.cause()
	if f.deliverBy() {
		return cause.Explain(cause.Late, cause.Likely)
	}
	if c.Kind == cause.Unknown || c.Kind == cause.Expired {
		for _, o := range f.others {
			if oc := o.cause(); (o.code == 0 || o.code == f.said.code) && oc.Kind != cause.Unknown && oc.Kind != cause.Expired && oc.Confidence >= cause.Likely {
				return oc
			}
		}
	}
	if c.Kind == cause.UserUnknown && s.code == 0 && hasFold(s.text, "unrouteable address") {
		// Exim has no way to it: of its own domains the mailbox is missing, of others
		// the domain.
		if f.foreign {
			return cause.Explain(cause.HostUnknown, cause.Likely)
		}
		return cause.Explain(c.Kind, cause.Guess)
	}
	if f.program && (c.Kind == cause.Unknown || c.Kind == cause.System || c.Confidence <= cause.Guess) {
		return cause.Explain(cause.Program, cause.Likely)
	}
	if c.Kind == cause.Unknown && f.frame.expired {
		return cause.Explain(cause.Expired, cause.Sure)
	}
	if c.Kind == cause.Unknown && f.action == "expired" {
		return cause.Explain(cause.Expired, cause.Likely)
	}
	return c
}

// deliverBy reports words about a time that the sender set (RFC 2852).
func (f *facts) deliverBy() bool {
	low := lower(f.said.text)
	return outOfTime(low) || strings.Contains(low, "delivery time expired -") || strings.Contains(low, "deliver by time") || strings.Contains(low, "support deliver by")
}

// outOfTime reports sendmail's words for the end of that time.
func outOfTime(low string) bool {
	return strings.Contains(low, "delivery time (") && strings.Contains(low, "expired")
}

// class returns the class of the last real error. The code of a host counts
// before any status (RFC 5321 4.2.1), the status of its words before the field.
func (f *facts) class() int {
	switch {
	case f.said.code >= 400:
		return f.said.code / 100
	case !f.said.status.IsZero():
		return int(f.said.status[0])
	case f.frame.expired:
		return 4
	case !f.field.IsZero():
		return int(f.field[0])
	}
	return 0
}

// contacted works out how far the last attempt came.
func (j *judged) contacted(f *facts) {
	switch k := j.cause.Kind; {
	case f.frame.untried:
		j.how = notTried
	case k == cause.Refused:
		j.how, j.contact = tcpRefused, "none"
	case k == cause.Timeout && f.said.stage <= mail.Connect:
		j.how, j.contact = nobodyThere, "none"
		if low := lower(f.said.text); strings.Contains(low, "timed out") || strings.Contains(low, "timeout") {
			j.how = timedOut
		}
	case k == cause.Unreachable && f.said.stage <= mail.Connect:
		j.how, j.contact = nobodyThere, "none"
		switch e := cause.Errno(f.said.text); {
		case e == cause.Refused:
			j.how = tcpRefused
		case e == cause.Timeout:
			j.how = timedOut
		case j.cause.Confidence <= cause.Guess:
			j.how, j.contact = notTold, "" // words for any failure of a connection, early or late
		}
	case k == cause.NoRoute || k == cause.Timeout && f.said.stage > mail.Connect && f.heard() == 0:
		j.how, j.contact = nobodyThere, "none"
		if k == cause.Timeout {
			j.contact = "broken"
		}
	case k == cause.Broken && f.heard() == 0:
		j.how, j.contact = nobodyThere, "broken"
	case (k == cause.DNS || k == cause.HostUnknown || k == cause.NoAddress || k == cause.NotMailHost) && f.heard() == 0:
		j.how, j.contact = nobodyThere, "none"
	case k == cause.Loop && f.circled:
		j.how, j.contact = itself, "none"
	case f.heard() == 0 && !f.said.told && contains(lower(f.said.text), lacks):
		j.how, j.contact = itself, "reply" // it had heard what the host offers
	case f.heard() >= 400:
		j.how, j.contact, j.spoke = byReply, "reply", true
		if f.said.stage == mail.Greeting {
			j.contact = "greeting"
		}
	case f.said.told && !f.own:
		j.how, j.contact, j.spoke = byReply, "reply", true
	case f.decided(k):
		j.how = itself
		switch low := lower(f.said.text); {
		case k == cause.TLS || k == cause.NoUTF8 || k == cause.TooLarge && (strings.Contains(low, "peer") || strings.Contains(low, "server")):
			j.contact = "reply"
		case k == cause.Loop && (strings.Contains(low, "mx") || strings.Contains(low, "to myself")):
			j.contact = "none"
		}
	default:
		j.how = notTold
	}
}

// lacks are the words of a server about what the next one does not offer.
var lacks = []string{"does not support", "doesn't support", "was not offered", "not offered by"}

// decided reports a trouble that the server which had the message met by itself:
// its own words, of what no host needs to say.
func (f *facts) decided(k cause.Kind) bool {
	if f.said.isZero() || !f.own && !f.program && !f.said.ours && (f.said.code != 0 || f.remote != (hostIP{})) {
		return false
	}
	switch k {
	case cause.UserUnknown, cause.MailboxFull, cause.Disabled, cause.TooLarge, cause.TLS, cause.NoUTF8, cause.Loop, cause.Program:
		return true
	case cause.System:
		return f.program
	}
	return false
}

// failed finds how a delivery ended that did not succeed.
func (j *judged) failed(f *facts) {
	k := j.cause.Kind
	gaveUp := f.frame.expired || f.action == "expired" || j.class == 4
	switch {
	case k == cause.Late || f.late:
		j.kind = DeliverByExpired
	case f.frame.untried:
		j.kind, j.sure = ExpiredUntried, cause.Sure
	case k == cause.Loop:
		j.kind = Loop
	case k == cause.TooLarge:
		j.kind = Size
	case j.contact == "none" && (k == cause.DNS || k == cause.HostUnknown || k == cause.NoAddress || k == cause.NotMailHost):
		j.kind = Misrouted
		if k == cause.DNS || gaveUp && f.frame.expired { // a name service that is silent is asked again
			j.kind = MisroutedExpired
		}
	case j.contact == "none" || j.contact == "broken" || k == cause.Unreachable && !j.spoke:
		j.kind = Unreachable
	case f.said.code < 400 && (k == cause.Expired || k == cause.Unknown && gaveUp):
		j.kind = ExpiredUnknown
	case gaveUp && j.class == 4 && policy(k):
		j.kind = PolicyDeferred
	case gaveUp && j.class == 4:
		j.kind = DeferredUntilExpired
	case policy(k):
		j.kind = PolicyRefusal
	default:
		j.kind = RefusedAtOnce
		if j.class == 0 && k == cause.Unknown {
			j.sure = cause.Guess
		}
	}
	if j.class != 0 && (f.action != "" || f.frame.expired) && j.cause.Confidence == cause.Sure {
		j.sure = cause.Sure
	}
}

// policy reports the kinds that are a decision of the receiving side about who
// sends or what.
func policy(k cause.Kind) bool {
	switch k {
	case cause.Reputation, cause.NoReverse, cause.Authentication, cause.Policy, cause.Spam, cause.Virus, cause.Content, cause.NotCompliant, cause.Rate, cause.Greylisted, cause.RelayDenied, cause.SenderRefused, cause.Security, cause.TLS:
		return true
	}
	return false
}

// reason returns the word of the contract for a cause, which has fewer words than
// there are causes. Where nobody answered at all, nothing but time passed: that is
// called expired, and Kind says on what. Others call it the network, and call a
// refused connection expired where the clock ended on it: such a word is never sure.
func reason(c cause.Cause) string {
	if c.Kind == cause.Timeout {
		return cause.Expired.Reason()
	}
	return c.Kind.Reason()
}

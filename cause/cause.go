// Package cause says what a reply, a status, an error number or an outcome
// means: which kind of trouble it is, at which end it sits, who can mend it and
// how, and what the sender should do now. Our notices and the explanation of
// other systems' bounces share it.
//
// Being surely wrong is the one unforgivable fault: what is not recognised is
// [Unknown], and then the host's own words are all there is to tell. The
// package never decides what becomes of a message (that is custody), never
// looks anything up, and knows no clock, disk or network.
//
// Start reading at [Of]. The wordings of the world are in wording.go, the
// statuses of RFC 3463 and its successors in status.go, what each kind means
// for people in kinds.go.
package cause

import (
	"slices"
	"strings"

	"github.com/postrider/postrider/mail"
)

// Cause is what something said or seen means.
type Cause struct {
	Kind       Kind
	End        End        // where the trouble sits
	Meaning    string     // one plain sentence
	Fix        []Fix      // who can change it and how, the likeliest first
	DoNow      string     // what the sender of an undelivered message should do
	Confidence Confidence // of Kind; None goes with Unknown
}

// Fix says who can mend a trouble, and how.
type Fix struct {
	Who  Who
	What string // in the imperative: "correct the address"
}

// Sign is what is known of a trouble. The zero Sign means nothing.
type Sign struct {
	Stage mail.Stage
	Reply mail.Reply
	// Theirs: the remote host said Reply. Else the words are those of the server
	// that had the message.
	Theirs bool
	// Trouble is the kind of a temporary trouble where the owner knows it, in
	// the words of custody.Trouble: "unreachable", "greylisted", "ambiguous",
	// "ours"… "": not known.
	Trouble string
}

// Of returns what a sign means. The host's code is believed for the class, its
// wording before its status, its status before its code: hosts exist that send
// 5.1.1 for "too many recipients this hour" and 5.0.0 for everything.
func Of(s Sign) Cause {
	switch {
	case s.Trouble == "ambiguous":
		return Explain(Ambiguous, Sure)
	case s.Theirs:
		return theirs(s)
	}
	return ours(s)
}

// manyWords: a text longer than this mentions so much beside its matter that no
// phrase in it is proof (Google's lists SPF and DKIM as hints behind anything).
const manyWords = 500

// theirs reads the reply of a remote host.
func theirs(s Sign) Cause {
	said := newWords(s.Reply.Text)
	byText, strong := wording(said, s.Reply)
	byStatus, exact := statusKind(s.Reply)
	if len(said.plain) > manyWords {
		strong = false
	}
	if exact && narrow(s.Reply.Status) || denied(said, byText, byStatus) {
		byText, strong = byStatus, false
	}
	switch {
	case byText != Unknown && strong, byText != Unknown && byText == byStatus && exact:
		return temper(mild(byText, s), byText, sureness(strong, byStatus, byText))
	case s.Trouble == "greylisted":
		return Explain(Greylisted, Likely)
	case byText != Unknown && !exact:
		return atGreeting(s, Explain(mild(byText, s), weak(byStatus, byText)))
	case byStatus != Unknown && exact:
		return Explain(mild(byStatus, s), Likely)
	case byText != Unknown:
		return Explain(mild(byText, s), Guess)
	case byStatus != Unknown:
		return atGreeting(s, Explain(mild(byStatus, s), Guess))
	}
	if k := codeKind(s.Reply, s.Stage); k != Unknown {
		return atGreeting(s, Explain(k, Guess))
	}
	if said.bare() && s.Reply.Permanent() {
		return Explain(UserUnknown, Guess) // an address, and no word but "rejected"
	}
	return atGreeting(s, Explain(Unknown, None))
}

// narrow reports the statuses that were registered for one check each (RFC 7372):
// who sends them means them, whatever else his words mention.
func narrow(st mail.Status) bool { return st[1] == 7 && st[2] >= 20 && st[2] <= 26 }

// denied reports Postfix's "Recipient address rejected: Access denied" beside a
// status of policy: a rule keeps the mail out. Others say it of unknown users, with
// a status for that.
func denied(said words, byText, byStatus Kind) bool {
	return byText == UserUnknown && byStatus == Policy && strings.Contains(said.plain, "access denied")
}

// atGreeting reads a refusal to talk at all: who is turned away before he has
// said a word is mostly turned away for who he is, whatever the words. Nobody
// has named a mailbox yet.
func atGreeting(s Sign, c Cause) Cause {
	if s.Stage == mail.Greeting && s.Reply.Code >= 400 && strings.Trim(s.Reply.Text, " .") != "" && c.Confidence <= Guess && (c.Kind == Unknown || c.Kind == System || c.Kind == UserUnknown || c.End == AtMailbox) {
		return Explain(Reputation, Guess)
	}
	return c
}

// mild takes back what a reply cannot mean: a 4yz for an address that "does not
// exist" is often a greylist or a directory that is down, and in reply to MAIL
// nobody has named the recipient yet.
func mild(k Kind, s Sign) Kind {
	if s.Stage == mail.Mail && (k == UserUnknown || k == HostUnknown || k == NoAddress || k == BadAddress) {
		return SenderRefused
	}
	if s.Reply.Temporary() && (k == UserUnknown || k == HostUnknown && s.Stage >= mail.Rcpt) {
		return NotNow
	}
	return k
}

// sureness weighs a wording against the status beside it. Words alone are sure
// only where nobody says them for anything else: hosts exist that call "unknown
// user" whom their owner's filter keeps out.
func sureness(strong bool, byStatus, byText Kind) Confidence {
	switch {
	case byStatus == byText, strong && byStatus != Unknown && related(byStatus, byText):
		return Sure
	case strong && byStatus == Unknown && outspoken(byText):
		return Sure
	case strong:
		return Likely
	}
	return Guess
}

func outspoken(k Kind) bool {
	switch k {
	case Greylisted, RelayDenied, NoReverse, Authentication, Refused, Timeout, NoRoute:
		return true
	}
	return false
}

// temper believes less what mild had to take back.
func temper(k, was Kind, c Confidence) Cause {
	if k != was {
		c = min(c, Likely)
	}
	return Explain(k, c)
}

// weak is the confidence in a wording that several kinds share.
func weak(byStatus, byText Kind) Confidence {
	if byStatus != Unknown && related(byStatus, byText) {
		return Likely
	}
	return Guess
}

// related reports kinds that one status stands for in the wild.
func related(status, text Kind) bool {
	if status == Policy {
		return text.End() == AtPolicy || text == RelayDenied || text == Virus || text == Security || text == TLS
	}
	return status == text || status.Reason() == text.Reason()
}

// ours reads the words of the server that had the message, about what it met.
func ours(s Sign) Cause {
	text := strings.ToLower(s.Reply.Text)
	if s.Trouble == "ours" {
		return Explain(Ours, Sure)
	}
	switch s.Stage {
	case mail.Route:
		return Explain(routeKind(s.Reply.Status, text))
	case mail.TLS:
		return Explain(TLS, Sure)
	case mail.Auth:
		return Explain(Security, Likely)
	}
	if k := Errno(text); k != Unknown {
		if k == Refused && s.Stage > mail.Connect {
			k = Broken
		}
		return Explain(k, Sure)
	}
	if k := socketKind(text, s.Stage); k != Unknown {
		return Explain(k, Sure)
	}
	if k, exact := statusKind(s.Reply); k != Unknown {
		if exact {
			return Explain(k, Sure)
		}
		return Explain(k, Likely)
	}
	if s.Stage == mail.Connect || s.Trouble == "unreachable" {
		return Explain(Timeout, Guess)
	}
	if s.Trouble == "unrouted" {
		return Explain(DNS, Guess)
	}
	return Explain(Unknown, None)
}

// routeKind reads why no next hop was found. What may be a name says nothing:
// "sloop.example" is no loop.
func routeKind(st mail.Status, text string) (Kind, Confidence) {
	text = strings.Join(slices.DeleteFunc(strings.Fields(text), func(w string) bool {
		return strings.Contains(strings.Trim(w, `.,:;()"'`), ".")
	}), " ")
	switch {
	case st[1] == 1 && st[2] == 10, strings.Contains(text, "null mx"):
		return NotMailHost, Sure
	case st[1] == 4 && st[2] == 6:
		return Loop, Sure
	case st[0] == 4 && st[1] == 4 && (st[2] == 3 || st[2] == 4):
		return DNS, Sure
	case strings.Contains(text, "loop"):
		return Loop, Sure
	case st[1] == 1 && st[2] == 2, strings.Contains(text, "nxdomain"), strings.Contains(text, "no such domain"):
		if st[0] == 4 {
			return DNS, Likely
		}
		return HostUnknown, Sure
	case st[1] == 4 && st[2] == 4:
		return NoAddress, Sure
	case st[1] == 1 && st[2] == 3:
		return BadAddress, Sure
	case st[1] == 7 && (st[2] == 4 || st[2] == 5 || st[2] == 10 || st[2] == 30):
		return TLS, Likely
	case st[0] == 4:
		return DNS, Guess
	}
	return Unknown, None
}

// socketKind reads words about a connection in which nobody was quoted.
func socketKind(text string, stage mail.Stage) Kind {
	has := func(list ...string) bool {
		for _, w := range list {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("connection refused", "actively refused"):
		return Refused
	case has("no route to host", "network is unreachable", "host is unreachable", "network unreachable", "host unreachable", "no route"):
		return NoRoute
	case has("reset by peer", "connection reset", "broken pipe", "closed the connection", "connection closed", "hung up", "lost connection", "unexpected eof", "connection lost", "conversation with"):
		return Broken
	case has("timed out", "timeout", "no greeting within", "no reply to", "no answer within", "no reply within", "deadline exceeded", "took nothing for"):
		if stage > mail.Greeting {
			return Broken
		}
		return Timeout
	}
	return Unknown
}

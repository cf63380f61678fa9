// Package explain reads the report of any mail system and says what happened:
// who gave up, who refused, whose clock and whose policy it was, what each end
// did, who can mend it and what the sender should do now.
//
// Every statement cites the lines it rests on and says how sure it is. A
// statement without evidence is not made: being surely wrong is the one
// unforgivable fault, and what would decide the open points is listed. The
// package reads only what it is given; it knows no clock, disk or network.
//
// Start reading at Explain. From there it goes from the bytes to the answer: lines
// and parts of a message (lines.go, part.go), the message seen as a report (view.go),
// what it tells of each recipient (facts.go, choose.go), what that comes to (fate.go,
// clock.go, roles.go), and the finding (finding.go). The sentences stand in texts;
// WriteText, WriteFor and SVG put a finding before people.
package explain

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/postrider/postrider/cause"
)

// Options are what a caller knows beside the message.
type Options struct {
	// Line is the number of the message's first line in the file that it was
	// taken from, as Messages tells it. 0: 1.
	Line int
	// Language is the tag of the language in which sentences are worded, one of
	// Languages. "": English.
	Language string
}

// Explain reads one message, or lines of one, and says what it tells. It returns
// an error only where reading fails, or for a language that is not known:
// whatever the bytes are, a report says what they were taken for.
func Explain(r io.Reader, o Options) (Report, error) {
	l, err := languageOf(o.Language)
	if err != nil {
		return Report{}, err
	}
	text, cut, err := read(r)
	if err != nil {
		return Report{}, fmt.Errorf("explain: read message: %w", err)
	}
	report := explain(text, max(o.Line, 1), cut, l)
	if l.tag != native {
		report.Language = l.tag
	}
	return report, nil
}

// Kind says what a message is.
type Kind string

const (
	Bounce     Kind = "bounce"       // not delivered, for good
	Delay      Kind = "delay"        // not yet delivered
	Delivered  Kind = "delivered"    // in the mailbox
	Relayed    Kind = "relayed"      // handed on
	Feedback   Kind = "feedback"     // somebody complained of it (RFC 5965)
	AutoReply  Kind = "autoreply"    // a vacation note, a read receipt
	NotABounce Kind = "not-a-bounce" // an ordinary message
)

// Report is what a message tells.
type Report struct {
	Kind       Kind      `json:"kind"`
	Recipients []Finding `json:"recipients"`
	// Says is what the message is when it is no report of a delivery: one sentence.
	Says string `json:"says,omitempty"`
	// Language is the one that the sentences are in; "": English.
	Language string `json:"language,omitempty"`
}

// Confidence of a statement: none, guess, likely, sure.
type Confidence = cause.Confidence

// Finding is what became of one recipient.
type Finding struct {
	Recipient  string     `json:"recipient"` // local@domain; "" if nothing tells it
	Status     string     `json:"status"`    // the true enhanced status: "5.1.1"; "" if nothing tells it
	Code       string     `json:"code"`      // the reply code: "550"; "" if nobody said one
	Reason     string     `json:"reason"`    // the cause, in the words of cause.Kind.Reason
	Verdict    string     `json:"verdict"`   // one sentence for a person
	Kind       string     `json:"kind"`      // how it ended: see the Fate constants
	GaveUp     Host       `json:"gave_up"`
	Refused    Refusal    `json:"refused"`
	Contact    string     `json:"contact"` // none, broken, greeting, reply; "" if not told
	Clock      Clock      `json:"clock"`
	Attempts   Attempts   `json:"attempts"`
	Hops       []Hop      `json:"hops"` // oldest first
	Roles      Roles      `json:"roles"`
	Fix        []Fix      `json:"fix"`
	DoNow      string     `json:"do_now"`
	NotKnown   []string   `json:"not_known"` // what is open, and what would decide it
	Evidence   []Evidence `json:"evidence"`
	Confidence Confidence `json:"confidence"` // of Kind and Reason
	Warnings   []string   `json:"warnings"`

	// Cause is Reason in full.
	Cause cause.Cause `json:"-"`
}

// How the mail for a recipient ended.
const (
	RefusedAtOnce        = "refused-at-once"
	PolicyRefusal        = "policy-refusal"
	DeferredUntilExpired = "deferred-until-expired"
	PolicyDeferred       = "policy-deferred-until-expired"
	Unreachable          = "unreachable-until-expired"
	Misrouted            = "dns/misrouted"
	MisroutedExpired     = "dns/misrouted-until-expired"
	Loop                 = "loop"
	Size                 = "size"
	ExpiredUnknown       = "expired-cause-unknown"
	ExpiredUntried       = "expired-without-try"
	DeliverByExpired     = "deliver-by-expired"
	EndedByOrder         = "ended-by-order" // an operator ended it before its limit
	StillTrying          = "delayed"
	HandedOn             = "relayed"
	Expanded             = "expanded"
	Arrived              = "delivered"
	NoBounce             = "not-a-bounce"
)

// Host is who gave up.
type Host struct {
	Host       string     `json:"host"`
	Software   string     `json:"software"` // an ID of package system, or the name it gives itself
	Side       string     `json:"side"`     // "sender", "between", "receiver": where it stood; "" if nothing proves it
	Confidence Confidence `json:"confidence"`
}

// Refusal is who said no, and how.
type Refusal struct {
	Host       string     `json:"host"`
	IP         string     `json:"ip,omitempty"`
	How        string     `json:"how"`  // "smtp", "tcp refused", "timed out", "nobody answered", "itself", "not told", "not tried"
	Code       string     `json:"code"` // of its reply
	Text       string     `json:"text"` // its words
	Confidence Confidence `json:"confidence"`
}

// Clock is the limit that ended it.
type Clock struct {
	Owner      string     `json:"owner"`
	Setting    string     `json:"setting"`           // the owner's name for the limit
	Value      Seconds    `json:"value_s"`           // stated or inferred; 0: not known
	Least      Seconds    `json:"least_s,omitempty"` // an inferred setting lies between Least
	Most       Seconds    `json:"most_s,omitempty"`  // and Most
	Default    Seconds    `json:"default_s"`         // as the software is shipped; 0: not known
	Held       Seconds    `json:"held_s"`            // how long the owner had it; 0: not known
	Started    time.Time  `json:"started,omitzero"`
	Ended      time.Time  `json:"ended,omitzero"`
	Confidence Confidence `json:"confidence"`
}

// Seconds is a length of time, in whole seconds in JSON.
type Seconds time.Duration

// MarshalJSON writes whole seconds.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, int64(time.Duration(s)/time.Second), 10), nil
}

// String writes the length in words: "4 days 9 hours".
func (s Seconds) String() string { return languages()[native].length(time.Duration(s)) }

// Attempts is what is known of the tries.
type Attempts struct {
	Told    *int      `json:"told"` // nil: not told
	Meaning string    `json:"meaning"`
	First   time.Time `json:"first,omitzero"`
	Last    time.Time `json:"last,omitzero"`
}

// Hop is a host that the message passed.
type Hop struct {
	Host     string    `json:"host"`
	Software string    `json:"software"`
	Accepted time.Time `json:"accepted,omitzero"`
	Handed   time.Time `json:"handed_on,omitzero"`
	Held     Seconds   `json:"held_s"`
	Role     string    `json:"role"` // "author's host", "relay", "filter", "forwarder", "gave up"
	Line     int       `json:"line"`
}

// Roles is what each part did, and did not do.
type Roles struct {
	Sender   string `json:"sender_side"`
	Between  string `json:"between"`
	Receiver string `json:"receiver_side"`
}

// Fix says who can mend it, and how.
type Fix struct {
	Who  string `json:"who"` // a cause.Who, or "operator": who runs the server that gave up
	What string `json:"what"`
}

// Evidence is a line and what it supports.
type Evidence struct {
	Line     int      `json:"line"` // from 1, in the message as it was given
	Text     string   `json:"text"`
	Supports []string `json:"supports"` // fields of the finding: "gave_up", "kind"
}

// Package system knows the mail systems of the world: how long each keeps a
// message, when it tries again, whether it warns, how it gives up, and by which
// words its reports are known, each with the source of the fact and how far it
// may be believed.
//
// It holds facts and no opinions: what a chain of systems does is computed by
// package chain, what a report means by package explain. What is not known is
// left zero and never filled in. It knows no clock, disk or network.
//
// Start reading at System, then Policy and Policy.Ends, the one place where the
// rules of giving up are worked out. The systems themselves stand in the files
// named after their families, the marks of their reports in reporters.go and
// wordings.go.
package system

import "time"

// System is one mail system as it is shipped, or as its operator runs it.
type System struct {
	ID string // as scenarios and findings name it: "exchange-2007"
	// Family is shared by the forms of one software or service: a report tells
	// the family rather than the form.
	Family  string
	Name    string // as people name it
	Version string // the versions that the facts are about; "": not told
	Kind    Kind
	Policy  Policy
	// Settings are the system's own names for what can be changed, first the one
	// that sets the end.
	Settings []Setting
	Where    string // where the settings are made; "": not known
	// Reports is how its reports of an expiry read; "": not known.
	Reports    string
	Notes      string
	Sources    []string
	Confidence Confidence
}

// Kind is what a system is for.
type Kind uint8

// The kinds of systems.
const (
	MTA     Kind = iota // runs on its owner's machines
	Gateway             // filters what passes to another system
	Hosted              // mailboxes as a service
	Mailer              // sends for others: an ESP
)

// String returns the kind as lists show it.
func (k Kind) String() string { return word(k, "mta", "gateway", "hosted", "mailer") }

// Confidence says how far the facts of a system may be believed.
type Confidence uint8

// The degrees of confidence.
const (
	Unknown Confidence = iota // nobody has looked
	Memory                    // remembered, not verified
	Low
	Medium // one sample, or a page at second hand
	High   // documentation or source code read, or measured on real reports
)

// String returns the degree as lists show it.
func (c Confidence) String() string { return word(c, "unknown", "memory", "low", "medium", "high") }

// Setting is a key of a system's configuration that bears on its policy.
type Setting struct {
	Key   string
	Value string // as shipped; "": only the name is known
}

// Policy is how a system keeps what it cannot deliver.
type Policy struct {
	// Lifetime is how long it keeps a message; 0: not known, or not bounded by
	// time. Under ByCount it is only what the count comes to.
	Lifetime time.Duration
	Limit    int // failed attempts until it gives up; 0: not bounded by count
	// Conversations: Limit counts only attempts in which a host spoke.
	Conversations bool
	Expiry        Expiry           // at which moment of its work it gives up
	Rule          string           // the same in words, with what is special
	Clock         Clock            // from when Lifetime counts
	Range         [2]time.Duration // what Lifetime may be set to; 0: not known
	Notices       time.Duration    // lifetime of its own bounces; 0: not known
	Silent        bool             // at the end it tells nobody

	Retry    Retry         // the attempts when no connection is made; nil: not known
	Deferred Retry         // when the host answers 4yz for one message; nil: as Retry
	Scan     time.Duration // its queue is looked at this often: an attempt waits for the next look; 0: at its exact moment
	// Late is how much later than the rule it may give up, as seen or as its
	// source shows; 0: not seen.
	Late time.Duration
	// Sharp: an attempt that is due at the very moment of the limit is not made.
	// Nobody has measured which comes first; it decides one attempt in the count
	// and never the end.
	Sharp bool

	// Apart says how it treats a dead connection as against a 4yz; "": not known.
	// Alike: it treats them alike.
	Apart string
	Alike bool

	Warn Warnings
}

// Expiry is the moment at which a system notices that a limit has passed.
type Expiry uint8

// The moments of giving up. Whichever it is, Policy.Limit ends the custody with
// the failure of that number.
const (
	ExpiryUnknown Expiry = iota // reckoned with as ByTimer
	ByTimer                     // between attempts, when the limit falls
	AfterFailure                // the first attempt that fails at or after the limit
	BeforeAttempt               // when the next attempt would begin past the limit, without making it
	NextTooLate                 // the failure after which the next attempt would be past the limit
	ByCount                     // the failure number Limit; age does not matter
	LastAttempt                 // an attempt begun after the limit is the last (qmail)
)

// String returns the moment in words.
func (e Expiry) String() string {
	return word(e, "not known", "by timer", "after a failed attempt", "before the next attempt",
		"when the next attempt would be too late", "by count", "after one last attempt")
}

// Clock is where a lifetime starts.
type Clock uint8

// The clocks.
const (
	FromAcceptance Clock = iota // the system's own 250
	FromFailure                 // the destination's first failure, shared by all its mail (Exim)
)

// String returns where the clock starts.
func (c Clock) String() string {
	return word(c, "from acceptance", "from the destination's first failure")
}

// Warnings is when a system tells the sender of a delay.
type Warnings struct {
	Known bool            // false: nobody has looked; the rest is zero
	On    bool            // as shipped
	At    []time.Duration // ages
	Every time.Duration   // repeated after the last of At; 0: not
	// Try: with the failure of this attempt, not at an age. 0: by age.
	Try int
	// NeedsReply: only when a host answered; one that never did gives no warning.
	NeedsReply bool
	Note       string
}

// Span is a time that is not known exactly.
type Span struct {
	Least, Most time.Duration
	// Model is the one to reckon with, between them; below Least: Least.
	Model time.Duration
}

// Pick is which end of a span to reckon with.
type Pick uint8

// The ends of a span.
const (
	Reckoned Pick = iota // its Model
	Earliest
	Latest
)

// Pick returns one time of the span.
func (s Span) Pick(p Pick) time.Duration {
	switch p {
	case Earliest:
		return s.Least
	case Latest:
		return s.Most
	}
	return max(s.Model, s.Least)
}

// Exact reports that the span is a single moment.
func (s Span) Exact() bool { return s.Least == s.Most }

// exactly is the span of a time that is known.
func exactly(d time.Duration) Span { return Span{d, d, d} }

// Open stands in Span.Most for "nobody knows how late": 100 years.
const Open = 100 * 365 * day

// Retry is a pace of attempts. Ages count from acceptance, and the first attempt
// begins at 0; a pace of which that is not true has a method First as well. For
// a system with the clock FromFailure ages count from the destination's first
// failure.
type Retry interface {
	// Next returns the age at which attempt n+1 begins when attempt n, counted
	// from 1, began at the age given and failed. ok is false when there is none.
	// The queue's own scan is not in it: see Policy.Scan.
	Next(n int, began time.Duration) (next Span, ok bool)
	// String describes the pace for people: "1m 4 times, then 10m".
	String() string
}

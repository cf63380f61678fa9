package chain

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// Result is what an attempt meets during an outage.
type Result struct {
	What  What
	Took  time.Duration // how long an attempt is busy with it; 0: no time, for Timeout 30s
	Stage mail.Stage    // Says: the command that is answered so; 0: RCPT
	Reply mail.Reply    // Says, Greylists, TooBig: the words; zero: usual ones
	// Hint is the time that a temporary reply names for the next try, where the
	// host names one; a hop of ours goes by it.
	Hint time.Duration
	// Greylists: the first attempt of a stranger is deferred, and any other before
	// Delay has passed. Life is how long a stranger is remembered; 0: for ever.
	Delay, Life time.Duration
	Network     bool  // Greylists: neighbouring addresses are one stranger, so that a pool is not hurt
	Limit       int64 // TooBig: octets that are still taken
}

// What is the kind of a [Result].
type What uint8

const (
	Refused     What = iota // nothing listens: the connection is refused
	Timeout                 // nobody answers
	Reset                   // the connection is cut before a word
	NoDNS                   // the names cannot be looked up at the moment
	NoDomain                // the name service says that there is no such domain
	Says                    // the host says Reply at Stage
	Greylists               // the host asks strangers to come again
	TooBig                  // the host takes no message larger than Limit
	resultCount = iota
)

// The words of a scenario's file for the kinds, as [ParseResult] takes them.
var whatNames = [resultCount]string{"refused", "timeout", "reset", "dns", "nxdomain", "reply", "greylist", "size"}

// String returns the kind as scenarios name it.
func (w What) String() string {
	if int(w) < len(whatNames) {
		return whatNames[w]
	}
	return "?" + strconv.Itoa(int(w))
}

// ParseResult reads what a scenario says of an outage: "refused", "timeout 30s",
// "reset", "dns", "nxdomain", "greylist 5m", "size 10000000", or a reply: "451
// 4.7.1 try later". The stage of a reply is RCPT until the caller sets another.
func ParseResult(s string) (Result, error) {
	word, rest, _ := strings.Cut(strings.TrimSpace(s), " ")
	rest = strings.TrimSpace(rest)
	if len(word) >= 3 && word[0] >= '0' && word[0] <= '9' {
		r, err := mail.ParseReply([]string{strings.TrimSpace(s)})
		if err != nil || r.Code < 400 {
			return Result{}, fmt.Errorf("%q is no reply that refuses or defers", s)
		}
		return Result{What: Says, Stage: mail.Rcpt, Reply: r}, nil
	}
	r := Result{What: resultCount}
	for i, n := range whatNames {
		if What(i) != Says && strings.EqualFold(word, n) {
			r.What = What(i)
		}
	}
	var err error
	switch {
	case r.What == resultCount:
		return Result{}, fmt.Errorf("%s is no result of an attempt%s; there are refused, timeout, reset, dns, nxdomain, greylist, size, or a reply like \"451 4.7.1 try later\"", quote(word), didYouMean(nearest(word, whatNames[:])))
	case rest == "":
		r.Delay = 5 * time.Minute // what most greylists ask for; only they look at it
	case r.What == Timeout:
		r.Took, err = custody.ParseAge(rest)
	case r.What == Greylists:
		r.Delay, err = custody.ParseAge(rest)
	case r.What == TooBig:
		r.Limit, err = strconv.ParseInt(rest, 10, 64)
	default:
		err = fmt.Errorf("%q says nothing after %q", rest, word)
	}
	if r.What != Greylists {
		r.Delay = 0
	}
	return r, err
}

// stage is how far an attempt comes.
func (r Result) stage() mail.Stage {
	switch r.What {
	case NoDNS, NoDomain:
		return mail.Route
	case Refused, Timeout:
		return mail.Connect
	case Reset:
		return mail.Greeting
	case TooBig:
		return mail.Mail
	case Greylists:
		return mail.Rcpt
	}
	if r.Stage == mail.NoStage {
		return mail.Rcpt
	}
	return r.Stage
}

func (r Result) took() time.Duration {
	if r.Took == 0 && r.What == Timeout {
		return 30 * time.Second
	}
	return r.Took
}

// outcome is the result in custody's words, as the queue would hear them.
func (r Result) outcome(host string) custody.Outcome {
	o := custody.Outcome{Host: host, Stage: r.stage(), Trouble: custody.Unreachable}
	switch r.What {
	case Refused:
		o.Reply.Text = "cannot connect to " + host + ": connection refused"
	case Timeout:
		o.Reply.Text = "cannot connect to " + host + ": connection timed out"
	case Reset:
		o.Reply.Text = "connection to " + host + " was reset before the greeting"
	case NoDNS:
		o.Trouble = custody.Unrouted
		o.Reply = mail.Reply{Status: mail.Status{4, 4, 3}, Text: "the name of " + host + " cannot be looked up at present"}
	case NoDomain:
		o.Trouble, o.Permanent = custody.NoTrouble, true
		o.Reply = mail.Reply{Status: mail.Status{5, 1, 2}, Text: "there is no such domain as that of " + host}
	default:
		o.Theirs, o.Reply, o.Hint = true, r.reply(), r.Hint
		o.Trouble = custody.Deferred
		switch {
		case o.Reply.Permanent():
			o.Trouble = custody.NoTrouble
		case r.What == Greylists:
			o.Trouble = custody.Greylisted
		}
	}
	return o
}

func (r Result) reply() mail.Reply {
	switch {
	case !r.Reply.IsZero():
		return r.Reply
	case r.What == Greylists:
		return mail.Reply{Code: 450, Status: mail.Status{4, 2, 0}, Text: "greylisted, come again later"}
	case r.What == TooBig:
		return mail.Reply{Code: 552, Status: mail.Status{5, 3, 4}, Text: "message size exceeds the limit of " + strconv.FormatInt(r.Limit, 10) + " octets"}
	}
	return mail.Reply{Code: 451, Status: mail.Status{4, 3, 0}, Text: "try again later"}
}

// words is what a person reads of the result.
func (r Result) words() string {
	switch r.What {
	case Refused:
		return "connection refused"
	case Timeout:
		return "connection timed out after " + custody.FormatAge(r.took())
	case Reset:
		return "connection reset"
	case NoDNS:
		return "its name cannot be looked up"
	case NoDomain:
		return "no such domain"
	}
	return r.reply().Line()
}

package smtpc

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// greylisted finds the words by which hosts name greylisting (RFC 6647 5.2 fixes
// none). "come back in" is milter-greylist's, TEMPGREY one of its descendants'.
var greylisted = regexp.MustCompile(`(?i)gr[ea]y[-_ ]?list|gr[ea]ylst|tempgrey|postgrey|come back in [0-9]`)

// Greylisted reports whether a 4yz reply says that the host asks every stranger to
// come again, and so will take the message when we do.
func Greylisted(r mail.Reply) bool {
	return r.Temporary() && greylisted.MatchString(r.Text)
}

// Three shapes of a hint. The words between the verb and the number are few: of "too
// many messages, limit 100 in 3600 seconds, try again later" nothing is to be learnt.
const (
	amount = `(?:about |approximately |approx\.? |another |at least |around )?(\d{1,2}:\d{2}:\d{2}|\d{1,2}:\d{2}|[0-9][0-9hms]*[hms]\b|\d{1,7}|an?|one|two|five|ten|half an)`
	unit   = `\s?-?(seconds?|secs?|minutes?|mins?|hours?|hrs?|s|m|h)?\b`
)

var (
	// "try again in 300 seconds", "come back in 00:04:59", "retry after 5 min",
	// "Please wait 5 minutes", "Greylisted for 5 minutes", "retry-after: 300".
	hintAfter = regexp.MustCompile(`(?:` +
		`(?:(?:try(?:ing)?|again|back|later|resend|send|retry|connect|resubmit|return|delivery|deliver|message|it|attempt|mail)[,.:;]? ?(?:in|after|for)|` +
		`retry[-_ ]after|retry[-_ ](?:time|delay|interval)(?: is| of)?|` +
		`wait(?: for)?|(?:gr[ea]y[-_ ]?list(?:ed|ing)|delayed|deferred|blocked|throttled|suspended)[,.:;]?(?: (?:in effect|in action|active|temporarily))?,? (?:for|wait))[:=]? ?` +
		`)` + amount + unit)
	// "Greylisted, 287 seconds remaining", "greylisting: 5 minutes left".
	hintLeft = regexp.MustCompile(`(\d{1,7})\s?(seconds?|secs?|minutes?|mins?|hours?|s|m|h) (?:remaining|left|to go|before (?:retry|trying))`)
	// "try again later (600 seconds)".
	hintAside = regexp.MustCompile(`(?:again|later|retry|back)\W{1,3}(\d{1,7})\s?(seconds?|secs?|minutes?|mins?|hours?|s|m|h)\b`)
)

// longestHint is the most that a host may ask for; more is no advice to a queue.
const longestHint = 24 * time.Hour

// Hint returns how long a 4yz reply asks us to wait before the next try: "please try
// again in 300 seconds". 0: it names no time. It is advice, and foreign: the caller
// bounds it by its schedule.
func Hint(r mail.Reply) time.Duration {
	if !r.Temporary() {
		return 0
	}
	text := strings.ToLower(strings.Join(strings.Fields(r.Text), " "))
	for _, shape := range []*regexp.Regexp{hintAfter, hintLeft, hintAside} {
		for _, m := range shape.FindAllStringSubmatch(text, 4) {
			if d := span(m[1], m[2]); d > 0 && d <= longestHint {
				return d
			}
		}
	}
	return 0
}

var numbers = map[string]float64{"a": 1, "an": 1, "one": 1, "two": 2, "five": 5, "ten": 10, "half an": 0.5}

// span reads a number and its unit, or a time like 00:05:00 or 4m59s.
func span(n, unit string) time.Duration {
	if strings.Contains(n, ":") {
		var d time.Duration
		for part := range strings.SplitSeq(n, ":") {
			v, _ := strconv.Atoi(part)
			d = d*60 + time.Duration(v)
		}
		return d * time.Second
	}
	if n[0] >= '0' && n[0] <= '9' && strings.ContainsAny(n, "hms") {
		d, err := time.ParseDuration(n)
		if err != nil {
			return 0
		}
		return d
	}
	v, ok := numbers[n]
	if !ok {
		f, err := strconv.ParseFloat(n, 64)
		if err != nil {
			return 0
		}
		v = f
	}
	switch {
	case unit == "":
		if ok || v < 10 { // "try again in a while", "after 3 attempts"
			return 0
		}
		unit = "s"
	}
	switch unit[0] {
	case 'h':
		v *= 3600
	case 'm':
		v *= 60
	}
	return time.Duration(v * float64(time.Second))
}

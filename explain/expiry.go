package explain

import (
	"strconv"
	"strings"
)

// frame is what a system wraps around the last error when its clock ends.
type frame struct {
	expired bool   // given up by a clock or a count
	untried bool   // without a try for this message
	inner   string // the real error, where the words keep it
	counted bool   // tries is told
	tries   int
	limit   string // the limit as told: "5 days"
	by      string // the words that prove it
	system  string // whose words these are, in package system; "": several
}

// side is where a frame keeps the real error.
type side uint8

const (
	nowhere side = iota
	before
	behind
	within // in the words of the frame themselves
)

// frames are the words by which systems say that they gave up by themselves,
// the longer before the shorter.
var frames = []struct {
	words  string
	real   side
	system string
}{
	{"delivery expired (message too old)", behind, "ironport-asyncos"}, // AsyncOS
	{"message expired, ", within, "exchange-online"},                   // Microsoft 365
	{"queue.expired", nowhere, "exchange-2007"},                        // Exchange
	{"message expired: unable to deliver in", behind, "amazon-ses"},    // Amazon SES
	{"i'm not going to try again", before, "qmail"},                    // qmail
	{"this message has been in the queue too long", before, "qmail"},
	{"message could not be delivered for", before, "sendmail"}, // sendmail
	{"cannot send message for", before, "sendmail"},            // sendmail 5
	{"retry timeout exceeded", before, "exim"},                 // Exim
	{"retry time not reached for any host", before, "exim"},    // Exim
	{"have been failing for a long time", nowhere, "exim"},     // Exim
	{"could not deliver for the last", nowhere, "dma"},         // DragonFly
	{"too many failures (", behind, "haraka"},                  // Haraka
	{"failed repeatedly and timed out, last error:", behind, "chasquid"},
	{"exceeded max time without delivery", nowhere, "momentum"}, // Momentum
	{"next delivery time would be", nowhere, "kumomta"},         // KumoMTA
	{"envelope expired", nowhere, "opensmtpd"},                  // OpenSMTPD
	{"time(s)", before, "hmailserver"},                          // hMailServer
	{" attempts", before, "imail"},                              // IMail: "Delivery failed 20 attempts"
	{"within the allowed queue period", before, ""},
	{"message was not delivered within", nowhere, ""},
	{"unable to deliver message after multiple retries", behind, ""},
	{"after multiple retries", before, ""},
	{"unable to deliver this message after", behind, ""},
	{"could not be delivered within", behind, ""},
	{"delivery time expired", before, ""},
	{"message timed out", before, ""},
	{"timed out in the queue", before, ""},
	{"timeout in queue", before, ""},
	{"in the queue too long", before, ""},
	{"too long in the queue", before, ""},
	{"been in the system too long", before, ""},
	{"maximum number of attempts", before, ""},
	{"maximum delivery attempts", before, ""},
	{"retries exceeded", before, ""},
	{"retry limit exceeded", before, ""},
	{"retry limit reached", before, ""},
	{"too many delivery attempts", before, ""},
	{"message is too old", before, ""},
	{"message too old", before, ""},
	{"message expired", before, ""},
	{"delivery expired", before, ""},
	{"has expired in the queue", before, ""},
	{"queue lifetime exceeded", before, ""},
	{"zu lange in der warteschlange", before, ""},
}

// unframe finds the words of an expiry in a text.
func unframe(text string) frame {
	low := lower(text)
	var f frame
	for _, fr := range frames {
		i := strings.Index(low, fr.words)
		if i < 0 || fr.words == "time(s)" && !triedTimes(low, &f) || fr.words == " attempts" && !failedTimes(low[:i], &f) {
			continue
		}
		f.expired, f.by, f.system = true, fr.words, fr.system
		end := i + len(fr.words)
		switch fr.real {
		case before:
			f.inner = strings.TrimRight(text[:i], " :;,.-/(")
		case behind:
			f.inner = strings.Trim(quoted(fr.words, text[end:]), " .")
		case within:
			f.inner = text[end:]
		}
		f.limit = limitIn(low[end:])
		break
	}
	if strings.Contains(low, "retry time not reached") {
		f.expired, f.untried = true, true
		f.inner = ""
	}
	if i := strings.Index(low, "(delivery attempts: "); i >= 0 { // AsyncOS
		f.tries, f.counted = number(low[i+20:]), true
		if !f.expired {
			f.inner = asyncInner(text[:i])
		}
	}
	return f
}

// asyncInner unwraps "5.1.0 - Unknown address error 550-'5.1.1 no such user'".
func asyncInner(s string) string {
	a, b := strings.IndexByte(s, '\''), strings.LastIndexByte(s, '\'')
	if a < 0 || b <= a {
		return s
	}
	code := ""
	if a >= 4 && s[a-1] == '-' {
		if n, err := strconv.Atoi(s[a-4 : a-1]); err == nil && n >= 200 && n < 600 {
			code = s[a-4:a-1] + " "
		}
	}
	return code + s[a+1:b]
}

// quoted takes the real error that stands behind the words of a frame.
func quoted(words, s string) string {
	switch words[len(words)-1] {
	case '(':
		if i := strings.LastIndexByte(s, ')'); i >= 0 {
			return s[:i]
		}
		return s
	case ':':
		return s
	}
	i := strings.IndexAny(s, "'\"<")
	if i < 0 {
		_, after, ok := strings.Cut(s, ":")
		if ok {
			return after
		}
		return s
	}
	shut := s[i]
	if shut == '<' {
		shut = '>'
	}
	j := strings.LastIndexByte(s, shut)
	if j <= i {
		return s[i+1:]
	}
	return s[i+1 : j]
}

// triedTimes reads hMailServer's "Tried 5 time(s)".
func triedTimes(low string, f *frame) bool {
	i := strings.Index(low, "tried ")
	if i < 0 {
		return false
	}
	n := number(low[i+6:])
	if n < 0 || !strings.Contains(low[i:min(len(low), i+30)], "time(s)") {
		return false
	}
	f.tries, f.counted = n, true
	return true
}

// failedTimes reads IMail's "Delivery failed 20 attempts" up to the number.
func failedTimes(low string, f *frame) bool {
	_, n, ok := strings.Cut(low, "delivery failed ")
	if !ok || number(n) < 0 || strings.TrimLeft(n, "0123456789") != "" {
		return false
	}
	f.tries, f.counted = number(n), true
	return true
}

// number reads the digits that s begins with; -1 if there are none.
func number(s string) int {
	n, k := 0, 0
	for k < len(s) && k < 9 && digit(s[k]) {
		n = n*10 + int(s[k]-'0')
		k++
	}
	if k == 0 {
		return -1
	}
	return n
}

// limitIn reads "5 days" or "840 minutes".
func limitIn(s string) string {
	s = strings.TrimLeft(s, " :")
	n := number(s)
	if n < 0 {
		return ""
	}
	w := strings.Fields(s)
	if len(w) < 2 {
		return ""
	}
	unit := strings.Trim(w[1], ".,;()<")
	for _, u := range []string{"second", "minute", "hour", "day", "week"} {
		if strings.HasPrefix(unit, u) {
			return strconv.Itoa(n) + " " + unit
		}
	}
	return ""
}

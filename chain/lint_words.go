package chain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/system"
)

// knob is something that retry policies let one set, whatever each calls it.
type knob uint8

const (
	life       knob = iota // how long mail is kept
	count                  // how many attempts are made
	warnAges               // when the sender is told of a delay
	longestGap             // between attempts
	firstGap
	noticeLife // how long bounces are kept
)

// keysOf are pieces of the names that systems give to a knob, lower case, the
// surest first.
var keysOf = [...][]string{
	life: {"maximal_queue_lifetime", "maximalqueuelifetime", "queuelifetime", "max-queue-lifetime", "messageexpiration", "message_expiration", "max_age",
		"queuereturn", "queuetime", "seconds in queue", "queue ttl", "give_up", "bounce-after", "mailtimeout", "failed message lifetime",
		"expiry", "begin retry", "notices", "timeout"},
	count:      {"maxtempfailures", "max_tries", "maxattempts", "maxretries", "number of retries", "retry count", "retrylimit count", "queue.defertimes"},
	warnAges:   {"delaynotificationtimeout", "delay_warning", "delaywarning", "queuewarn", "warntime", "warn-interval", "warning", "delayemail", "notify", "notices"},
	longestGap: {"maximal_backoff", "maximalbackoff", "max_retry_interval", "seconds before retrying", "temp_fail_intervals", "defertimes", "begin retry", "outboundconnectionfailureretryinterval", "delaytime", "retry-after", "retry"},
	firstGap:   {"minimal_backoff", "minimalbackoff", "messageretryinterval", "initial", "retry_interval", "temp_fail_intervals", "defertimes", "delaytime", "minutes between", "begin retry", "retry"},
	noticeLife: {"bounce_queue_lifetime", "bouncequeuelifetime", "dsn_timeout", "ignore_bounce_errors_after"},
}

// key is what the subject calls a knob; "": it has none, or none is known.
func (l *linter) key(k knob) string {
	if l.schedule != nil {
		return [...]string{life: "expire", warnAges: "warn", longestGap: "retry", firstGap: "retry", noticeLife: "expire"}[k]
	}
	for _, piece := range keysOf[k] {
		for _, s := range l.system.Settings {
			if strings.Contains(strings.ToLower(s.Key), piece) {
				return s.Key
			}
		}
	}
	return ""
}

// set says how a knob is set to a length of time, in the language of the subject.
func (l *linter) set(k knob, to time.Duration) string {
	key, text := l.key(k), custody.FormatAge(to)
	switch {
	case l.schedule != nil:
		return fmt.Sprintf("%s = %q", key, text)
	case (l.postfix != nil || l.system.ID == "postfix") && strings.Contains(key, "_"):
		return key + " = " + text
	case key == "" && k != life && k != longestGap:
		return "" // perhaps it cannot be set at all
	}
	return l.wish(fmt.Sprintf(wants[k], text), key)
}

// setCount says how a system is made to try so often; 0: its list of gaps ends
// before.
func (l *linter) setCount(attempts int) string {
	if attempts == 0 {
		return l.wish("a longer list of gaps", l.key(count))
	}
	return l.wish(fmt.Sprintf("make %d attempts", attempts), l.key(count))
}

// wish says what a system should be made to do, by which of its settings.
func (l *linter) wish(what, key string) string {
	if key == "" && (l.system.Kind == system.Hosted || l.system.Kind == system.Mailer) {
		return "only its operator can set this; let a system that keeps mail for 5 days send what must not be lost"
	}
	if key != "" {
		what += ", by " + key
	}
	if l.system.Where != "" {
		what += " (" + l.system.Where + ")"
	}
	return what
}

// wants says what a value is for.
var wants = [...]string{
	life: "keep mail for %s", warnAges: "tell of a delay after %s", longestGap: "no gap longer than %s",
	firstGap: "a first gap of %s", noticeLife: "keep bounces for %s",
}

// list writes a list of gaps as our configuration has it.
func list(key string, paces []custody.Pace) string {
	said := make([]string, len(paces))
	for i, p := range paces {
		said[i] = fmt.Sprintf("%q", p)
	}
	return key + " = [" + strings.Join(said, ", ") + "]"
}

// paces is the list of a schedule that stands under a key.
func paces(s custody.Schedule, key string) []custody.Pace {
	switch key {
	case "unreachable":
		return s.Unreachable
	case "deferred":
		return s.Deferred
	case "greylisted":
		return s.Greylisted
	}
	return s.Retry
}

// source says where the numbers of a finding come from. What was only read or
// remembered of a system is not passed off as seen.
func (l *linter) source(keys []string) string {
	switch {
	case l.schedule != nil:
		from := l.schedule.Rule
		if from == "" {
			from = "the schedule " + l.schedule.Name
		}
		return from + ", run by the same code that runs the queue"
	case l.postfix == nil:
		return believed(*l.system)
	}
	var said []string
	for _, k := range keys {
		switch s := l.postfix.Setting(k); {
		case s.Set():
			said = append(said, fmt.Sprintf("%s:%d %s = %s", l.postfix.Name, s.Line, s.Key, s.Value))
		case s.Key != "":
			said = append(said, fmt.Sprintf("%s is not set, as shipped: %s", s.Key, s.Value))
		}
	}
	return strings.Join(append(said, "what Postfix does with it: "+believed(*l.system)), "; ")
}

// believed says how a system's facts are known.
func believed(s system.System) string {
	seen, read := []string{}, []string{}
	for _, src := range s.Sources {
		if strings.Contains(src, "measured") {
			seen = append(seen, src)
		} else {
			read = append(read, src)
		}
	}
	var said []string
	switch s.Confidence {
	case system.Unknown:
		said = append(said, "nothing is known of it")
	case system.Memory:
		said = append(said, "remembered, not verified")
	case system.Low:
		said = append(said, "of low confidence")
	}
	if len(seen) > 0 {
		said = append(said, "seen on real mail: "+strings.Join(seen, ", "))
	}
	if len(read) > 0 {
		said = append(said, "read in its source or documentation, not observed: "+strings.Join(read, ", "))
	}
	return strings.Join(said, "; ")
}

// ages lists ages for people: "4h and 2d".
func ages(ds []time.Duration) string {
	const shown = 4
	said := make([]string, 0, shown)
	for _, d := range ds[:min(len(ds), shown)] {
		said = append(said, custody.FormatAge(d))
	}
	if len(ds) > shown {
		return strings.Join(said, ", ") + " and so on"
	}
	if len(said) < 2 {
		return strings.Join(said, "")
	}
	return strings.Join(said[:len(said)-1], ", ") + " and " + said[len(said)-1]
}

// shortened is a list with no gap longer than the given one.
func shortened(list []custody.Pace, most time.Duration) []custody.Pace {
	var short []custody.Pace
	for _, p := range list {
		p.Gap = min(p.Gap, most)
		if p.Max = min(p.Max, most); p.Max <= p.Gap {
			p.Grow, p.Max = 0, 0
		}
		if n := len(short); n > 0 && short[n-1] == p {
			continue
		}
		short = append(short, p)
	}
	return slices.Clip(short)
}

package chain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
)

// mainCF finds what only a main.cf can have.
func (l *linter) mainCF() {
	p := l.postfix
	if p == nil {
		return
	}
	for _, d := range p.Doubts {
		l.add(Finding{Code: "doubt", Severity: d.Severity, What: d.Text, How: fmt.Sprintf("line %d of %s", d.Line, p.Name)})
	}
	c := l.stays[0]
	if on(p.Setting("soft_bounce")) {
		l.add(Finding{
			Code: "soft-bounce", Severity: Wrong,
			What: "a refusal for good is taken for a deferral: such mail is tried again until it is given up after " + c.about(),
			How:  fmt.Sprintf("a 5yz is read as a 4yz; %s", c.how()),
			Why:  "RFC 5321 4.2.1: what was answered 5yz should not be repeated in the same form", Instead: "soft_bounce = no",
		}, "soft_bounce")
	}
	least, most, scan := p.Setting("minimal_backoff_time"), p.Setting("maximal_backoff_time"), p.Setting("queue_run_delay")
	switch {
	case least.Time > most.Time:
		l.noEffect(most, fmt.Sprintf("maximal_backoff_time is less than minimal_backoff_time, which wins: every gap is %s or more", custody.FormatAge(least.Time)),
			c.how(), fmt.Sprintf("minimal_backoff_time = %s\nmaximal_backoff_time = %s", most.Value, least.Value), least, most)
	case least.Set() && scan.Time > least.Time && len(c.tries) > 1:
		l.noEffect(least, fmt.Sprintf("minimal_backoff_time is shorter than the time between two looks at the queue: the second attempt comes after %s", custody.FormatAge(c.tries[1])),
			"what is due waits for the next look; "+c.how(), "queue_run_delay = "+formatTime(least.Time), scan)
	}
	if warn := p.Setting("delay_warning_time"); warn.Time == 0 {
		if s := p.Setting("notify_classes"); slices.Contains(strings.FieldsFunc(s.Value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }), "delay") {
			l.noEffect(s, "notify_classes asks for a copy of each notice of delay, and none is sent", "delay_warning_time is 0", "delay_warning_time = 4h", warn)
		}
		if s := p.Setting("confirm_delay_cleared"); on(s) {
			l.noEffect(s, "confirm_delay_cleared tells of the end of a delay, and only to whom the delay was told: to nobody", "delay_warning_time is 0", "delay_warning_time = 4h", warn)
		}
	}
	if bounce, mail := p.Setting("bounce_queue_lifetime"), p.Setting("maximal_queue_lifetime"); bounce.Set() && bounce.Time > mail.Time {
		l.noEffect(bounce, fmt.Sprintf("bounce_queue_lifetime is longer than maximal_queue_lifetime; bounces are kept for %s", custody.FormatAge(mail.Time)),
			"Postfix takes the shorter of the two", "bounce_queue_lifetime = "+mail.Value, mail)
	}
	l.timeouts()
}

func on(s PostfixSetting) bool { return strings.EqualFold(s.Value, "yes") }

// noEffect reports a setting that does not do what is written.
func (l *linter) noEffect(s PostfixSetting, what, how, instead string, others ...PostfixSetting) {
	keys := []string{s.Key}
	for _, o := range others {
		if o.Key != s.Key {
			keys = append(keys, o.Key)
		}
	}
	l.add(Finding{Code: "no-effect", Severity: Wrong, What: what, How: how, Instead: instead}, keys...)
}

// patience is how long a client should wait for each reply (RFC 5321 4.5.3.2).
var patience = [...]struct {
	key, section string
	least        time.Duration
}{
	{"smtp_helo_timeout", "4.5.3.2.1", 5 * time.Minute},
	{"smtp_mail_timeout", "4.5.3.2.2", 5 * time.Minute},
	{"smtp_rcpt_timeout", "4.5.3.2.3", 5 * time.Minute},
	{"smtp_data_init_timeout", "4.5.3.2.4", 2 * time.Minute},
	{"smtp_data_xfer_timeout", "4.5.3.2.5", 3 * time.Minute},
	{"smtp_data_done_timeout", "4.5.3.2.6", 10 * time.Minute},
}

// timeouts finds attempts that are broken off too soon.
func (l *linter) timeouts() {
	for _, t := range patience {
		s := l.postfix.Setting(t.key)
		if s.Time >= t.least {
			continue
		}
		f := Finding{
			Code: "impatient", Severity: Warning,
			What:    fmt.Sprintf("%s is %s: an attempt at a slow host is broken off that would have succeeded", t.key, custody.FormatAge(s.Time)),
			How:     fmt.Sprintf("less than %s", custody.FormatAge(t.least)),
			Why:     "RFC 5321 " + t.section + ": a client should wait at least " + custody.FormatAge(t.least),
			Instead: t.key + " = " + formatTime(t.least),
		}
		if t.key == "smtp_data_done_timeout" {
			f.What += ", or had succeeded: then the message arrives twice"
		}
		l.add(f, t.key)
	}
}

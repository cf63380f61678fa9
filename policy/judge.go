package policy

import (
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// judgement is whether a rule holds, and what settled it.
type judgement struct {
	holds truth // fault: it does not, because a look-up failed
	need  Need
	by    *condition // what settled it; nil where all hold
	not   bool       // that is one which must not hold
	// fault is the look-up that failed, nil if none was wanted that did; with
	// defers the rule holds for that, as a deferral.
	fault  *condition
	defers bool
	doubt  string // why the rule may hold and yet not refuse; "": nothing
	// heeds: all holds but that the filter objects, so what else it wants is done.
	heeds bool
	grey  Greylisting
}

// key names what settled it as the configuration does.
func (j judgement) key() string {
	switch {
	case j.by == nil:
		return ""
	case j.not:
		return "not." + j.by.key
	}
	return j.by.key
}

// judge asks a rule's conditions. One that does not hold settles it, whatever
// else is open or failed; and what is open may still turn out not to hold, so a
// fault counts only when nothing is. What a filter has nothing against settles nothing
// before the rest holds: what it wants done to the message is done only then, and where
// that cannot be found out, on_fault says what becomes of the message.
func (r *rule) judge(f *Facts) judgement {
	j := judgement{holds: yes}
	for i := range r.ifs {
		t, n := r.ifs[i].test(f)
		if j.add(t, n, &r.ifs[i], false); t == no {
			return j
		}
	}
	for i := range r.nots {
		t, n := r.nots[i].test(f)
		t = opposite(t)
		if j.add(t, n, &r.nots[i], true); t == no {
			return j
		}
	}
	if r.Filter != "" {
		switch t, n := r.opinion.test(f); {
		case t != no:
			j.add(t, n, &r.opinion, false)
		case j.holds == yes:
			return judgement{holds: no, by: &r.opinion, heeds: true}
		}
	}
	words := r.words.need(f)
	switch {
	case j.holds == open:
		j.fault, j.need = nil, j.need|words
		if r.Then == Greylist && f.Grey.IsOpen() {
			j.need |= NeedGrey
		}
		return j
	case j.fault == nil || r.Then == Greylist && r.OnFault == FaultDefer:
		j.holds = yes
	case r.OnFault == FaultDefer:
		j.holds, j.defers = yes, true
	}
	if r.Then == Greylist && j.holds == yes {
		r.greylist(f, &j)
	}
	if words != 0 && (j.holds == yes || j.holds == open) {
		j.holds, j.need, j.by, j.not = open, j.need|words, &ownText, false
	}
	return j
}

// ownText stands for what a rule's text lacks to be told.
var ownText = condition{key: "text", say: func(*Facts) string { return "what it says is not looked up yet" }}

// add takes in the answer of one condition.
func (j *judgement) add(t truth, n Need, c *condition, not bool) {
	switch {
	case t == no:
		*j = judgement{holds: no, by: c, not: not}
	case t == open:
		if j.need |= n; j.holds != open {
			j.holds, j.by, j.not = open, c, not
		}
	case t == fault && j.holds == yes:
		j.holds, j.by, j.not, j.fault = fault, c, not, c
	}
}

// greylist asks when client, sender and recipient came first (RFC 6647).
func (r *rule) greylist(f *Facts, j *judgement) {
	c := &r.grey
	t, n := ask(&f.Grey, NeedGrey, func(first time.Time) bool { return r.wait(f.At, first) > 0 })
	switch t {
	case no:
		j.holds, j.by, j.not, j.grey = no, c, false, Greylisting{Memory: r.Memory}
	case open:
		j.holds, j.by, j.not, j.need = open, c, false, n|j.need
	case fault:
		j.holds, j.by, j.not, j.fault = fault, c, false, c
	case yes:
		j.by, j.grey = nil, Greylisting{Wait: r.wait(f.At, f.Grey.value), Memory: r.Memory}
	}
}

// wait is how long someone who came first at that time must stay away yet.
func (r *rule) wait(at, first time.Time) time.Duration {
	age := at.Sub(first)
	if first.IsZero() || age < 0 || age >= r.Memory {
		return r.Delay
	}
	return max(0, r.Delay-age)
}

// greyCondition is the last condition of a rule that greylists.
func greyCondition() condition {
	return condition{key: "greylist", say: func(f *Facts) string {
		return tell(&f.Grey, "when they came first", func(first time.Time) string {
			if first.IsZero() {
				return "they come for the first time"
			}
			return "they came first " + mailDuration(max(0, f.At.Sub(first).Round(time.Second))) + " ago"
		})
	}}
}

// fitsOverride stands for the question whether an override by name fits.
var fitsOverride = condition{key: "override", say: sayName}

// action is what a rule does when it holds.
func (r *rule) action(f *Facts) Action {
	switch r.Then {
	case Greylist:
		return Defer
	case Pass:
		if o := f.opinion(r.Filter); o != nil {
			return o.Action
		}
	}
	return r.Then
}

// say is what a rule that holds says.
func (r *rule) say(f *Facts, j judgement) Said {
	s := Said{Rule: r.Name, Place: r.Place, Action: r.action(f)}
	if j.defers {
		s.Action, s.Why = Defer, j.fault.say(f)
		s.Reply = r.failed(j.fault.key)
		return s
	}
	s.Why = r.evidence(f)
	switch {
	case s.Action == Accept:
		return s
	case r.Filter != "":
		s.Reply = r.quote(s.Action, f.opinion(r.Filter).Reply)
	case r.Text == "":
		s.Reply = reply(r.Code, r.Status, r.Name, s.Why)
	default:
		s.Reply = reply(r.Code, r.Status, r.Name, r.words.fill(f, j.grey.Wait))
	}
	if s.Action == Refuse && j.doubt != "" {
		s.Action, s.Why = Defer, s.Why+"; but "+j.doubt
		s.Reply.Code = r.later()
		s.Reply.Status[0] = 4
	}
	return s
}

// evidence tells the facts that make a rule hold.
func (r *rule) evidence(f *Facts) string {
	var s string
	for _, cs := range [...][]condition{r.ifs, r.nots} {
		for i := range cs {
			if said := cs[i].say(f); s == "" {
				s = said
			} else if !strings.Contains(s, said) {
				s += "; " + said
			}
		}
	}
	switch {
	case r.Filter != "":
		s = strings.TrimPrefix(s+"; "+r.opinion.say(f), "; ")
	case r.Then == Greylist:
		s = strings.TrimPrefix(s+"; "+r.grey.say(f), "; ")
	}
	if s == "" {
		return "the rule holds for everyone"
	}
	return s
}

// failed is the reply where a look-up failed and the rule defers for it. What
// failed, and how, is our own affair.
func (r *rule) failed(key string) mail.Reply {
	status := mail.Status{4, 4, 3}
	if key == "filter" {
		status = mail.Status{4, 3, 0}
	}
	return reply(r.later(), status, r.Name, "a check of ours ("+key+") has no answer for the moment; this is not your fault, please try again later")
}

// later is the code of a deferral for a fault.
func (r *rule) later() int {
	if r.At == Connect {
		return 421
	}
	return 451
}

// quote is a filter's own reply, as far as it fits what it wants done.
func (r *rule) quote(a Action, said mail.Reply) mail.Reply {
	code, status := defaultReply(a, r.At)
	class := uint16(code / 100)
	if said.Code/100 == int(class) {
		code = said.Code
	}
	if said.Status[0] == class {
		status = said.Status
	}
	words := strings.ReplaceAll(said.Text, "\n", " / ")
	if words == "" {
		words = "the filter does not want it"
	}
	return reply(code, status, r.Name, words)
}

// defaultReply is the code and status of an action where a rule gives none.
func defaultReply(a Action, at Stage) (int, mail.Status) {
	switch {
	case a == Refuse && at == Connect:
		return 554, mail.Status{5, 7, 1} // RFC 5321 3.1
	case a == Refuse:
		return 550, mail.Status{5, 7, 1}
	case a == Accept || a == Pass:
		return 0, mail.Status{}
	case at == Connect:
		return 421, mail.Status{4, 7, 1}
	case a == Greylist:
		return 451, mail.Status{4, 7, 1} // some come back too soon and give up on a 450
	}
	return 450, mail.Status{4, 7, 1}
}

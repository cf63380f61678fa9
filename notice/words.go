package notice

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// text tells people: first what matters to the sender, then all that an
// administrator may look for.
func (s *story) text() string {
	var p page
	if s.nobody {
		p.para("This goes to you as postmaster of " + s.o.Hostname + ": the message has an empty return path, so nobody else may be told.")
	}
	if len(s.groups) > 1 {
		p.para(fmt.Sprintf(s.your("Y")+" had different fates. This letter tells of %d recipients.", len(s.fates)))
	}
	for i, g := range s.groups {
		if i == maxGroups {
			p.para(fmt.Sprintf("And %d more, whom only the second part of this letter names.", s.count(s.groups[i:])))
			break
		}
		if i > 0 {
			p.rule()
		}
		s.tell(&p, g)
	}
	s.signature(&p)
	s.details(&p)
	return mail.Straight(p.String())
}

// Bounds on what is told one by one.
const (
	maxGroups    = 20
	maxAddresses = 20
	maxQuoted    = 12 // lines of a reply
)

func (s *story) count(gs []group) (n int) {
	for _, g := range gs {
		n += len(g.rcpts)
	}
	return n
}

// subject tells the matter in a list of letters.
func (s *story) subject() string {
	about := subjectOf(s.n)
	if about == "" && len(s.n.Rcpts) > 0 && len(s.fates) > 0 {
		about = "your message to " + s.n.Delivery.Rcpts[s.fates[0].rcpt].Address.String()
	}
	what := "Not delivered"
	perhaps := func(g group) bool { return g.end >= refused && !g.ambiguous.IsZero() }
	switch s.n.Kind {
	case custody.Delayed:
		what = "Delayed, still trying"
		if !s.n.Delivery.Held.IsZero() {
			what = "Delayed, held here"
		}
	case custody.Relayed:
		what = "Handed on"
	case custody.Delivered:
		what = "Delivered"
	case custody.Cleared:
		what = "No longer delayed"
	default:
		switch {
		case len(s.groups) > 0 && s.groups[len(s.groups)-1].end < refused:
			what = "Not delivered to all"
		case len(s.groups) > 0 && !slices.ContainsFunc(s.groups, func(g group) bool { return !perhaps(g) }):
			what = "Perhaps not delivered"
		}
	}
	return what + ": " + about
}

// tell says to a person what became of some recipients, and what to do.
func (s *story) tell(p *page, g group) {
	p.para(s.opening(g))
	for i, r := range g.rcpts {
		if i == maxAddresses {
			p.line(fmt.Sprintf("    and %d more, named in the second part of this letter", len(g.rcpts)-i))
			break
		}
		p.line("    " + mail.Clean(s.n.Delivery.Rcpts[r].Address.String(), mail.MaxPath))
	}
	p.blank()
	switch g.end {
	case handed, arrived:
		s.tellHanded(p, g)
	case waiting:
		s.tellWaiting(p, g)
	default:
		s.tellFailed(p, g)
	}
}

func (s *story) opening(g group) string {
	switch g.end {
	case waiting:
		return s.your("Y") + " is still on its way to"
	case handed:
		return s.your("Y") + " was handed on for"
	case arrived:
		return s.your("Y") + " has arrived for"
	}
	if !g.ambiguous.IsZero() {
		return "We do not know whether " + s.your("y") + " was delivered to"
	}
	return s.your("Y") + " was not delivered to"
}

// your names the message; y is the first letter, large or small. A postmaster
// reads of someone else's.
func (s *story) your(y string) string {
	switch {
	case !s.nobody:
		return y + "our message"
	case y == "Y":
		return "A message"
	}
	return "a message"
}

// answered quotes the host that spoke.
func (s *story) answered(p *page, o custody.Outcome) {
	host := s.peer(o)
	if host == internal {
		host = "An internal server"
	}
	if s.detour() {
		host += ", the next server on the way,"
	}
	p.para(host + " answered:")
	p.quote(s.words(o.Reply.String()))
}

func (s *story) tellFailed(p *page, g group) {
	meaning := s.meaning(g)
	why := meaning
	if g.last.IsZero() {
		why = "It was not tried."
	}
	switch {
	case s.late(g.fate):
		why = "It was to be delivered within " + spell(s.n.Delivery.By.Sub(s.since())) + ", as you asked, and that time has passed. " + why
	case g.end == ended:
		by := ""
		if g.order.By != "" {
			by = " (" + s.words(g.order.By) + ")"
		}
		why = "An operator of this server" + by + " ended the delivery"
		if g.order.Why != "" {
			why += `, saying: "` + s.words(g.order.Why) + `"`
		}
		if why += "."; !g.last.IsZero() {
			why += " Until then: " + meaning
		}
	}
	if g.end == expired {
		why += fmt.Sprintf(" We, the mail server %s, tried %s in %s, then gave up.", s.o.Hostname, times(g.tries), spell(g.over.Sub(s.since())))
	}
	if !g.ambiguous.IsZero() {
		p.label("Careful", fmt.Sprintf("On %s the whole message was sent, but the connection broke before the other server confirmed it. It may have arrived.", s.date(g.ambiguous)))
	}
	p.label("Why"+doubt(g.cause), why)
	if g.last.Theirs {
		s.answered(p, g.last)
	}
	do := g.cause.DoNow
	if e := g.cause.End; s.detour() && (e == cause.AtHost || e == cause.AtNetwork) {
		do = "Show this letter to your mail administrator; meanwhile reach the recipient another way."
	}
	if !g.ambiguous.IsZero() {
		do = cause.Explain(cause.Ambiguous, cause.Sure).DoNow
	} else if s.late(g.fate) {
		do = cause.Explain(cause.Late, cause.Sure).DoNow
	}
	if !s.nobody {
		p.label("What you should do now", do)
	}
	s.tellFix(p, g)
}

// meaning words the cause; on a detour it is not the recipient's server that the
// words are about.
func (s *story) meaning(g group) string {
	if !s.detour() {
		return g.cause.Meaning
	}
	return strings.ReplaceAll(g.cause.Meaning, "receiving server", "next server")
}

// doubt marks a reason that the host's words, quoted below it, leave open.
func doubt(c cause.Cause) string {
	switch c.Confidence {
	case cause.Guess:
		return " (only a guess)"
	case cause.Likely:
		return ", most likely"
	}
	return ""
}

// tellFix says who can mend it and how, naming whom the words mean.
func (s *story) tellFix(p *page, g group) {
	held := g.end == waiting && !s.n.Delivery.Held.IsZero()
	if g.last.IsZero() && !held {
		return
	}
	p.line("Who can mend it:")
	if held {
		p.item("The operator of " + s.o.Hostname + ": release it.")
	}
	if g.last.IsZero() {
		p.blank()
		return
	}
	for _, f := range g.cause.Fix {
		p.item(s.who(f.Who, g.last) + ": " + f.What + ".")
	}
	p.blank()
}

func (s *story) who(w cause.Who, o custody.Outcome) string {
	switch w {
	case cause.Sender:
		if s.nobody {
			return "The sender"
		}
		return "You"
	case cause.SenderAdmin:
		return "Your own mail administrator"
	case cause.Recipient:
		return "The recipient"
	}
	if host := s.peer(o); s.detour() && host != "" {
		// Which of the two it is cannot be told from here.
		return "Whoever runs " + host + ", the next server on the way to " + mail.Clean(s.n.Delivery.Domain, mail.MaxDomain)
	}
	return "The administrator of " + mail.Clean(s.n.Delivery.Domain, mail.MaxDomain)
}

func (s *story) tellWaiting(p *page, g group) {
	d, sch := s.n.Delivery, s.n.Schedule
	next, warn, end := custody.Fate(d, sch)
	keep := " keep it and go on trying."
	if !d.Held.IsZero() {
		keep = " keep it."
	}
	p.para("You need not send it again: we, the mail server " + s.o.Hostname + "," + keep)
	meaning := s.meaning(g)
	why := meaning
	switch {
	case !d.Held.IsZero():
		why = fmt.Sprintf("An operator of this server (%s) has held it since %s", s.words(d.Held.By), s.date(d.Held.Since))
		if d.Held.Why != "" {
			why += `, saying: "` + s.words(d.Held.Why) + `"`
		}
		why += "."
		if !g.last.IsZero() {
			why += " Before that: " + meaning
		}
	case s.n.Blocked != "":
		why = "No try is made at present: " + strings.TrimRight(s.words(s.n.Blocked), ".") + "."
		if !g.last.IsZero() {
			why += " At the last one: " + meaning
		}
	case g.last.IsZero():
		why = "It has not been tried yet."
	}
	if s.byAlone {
		why = "The time of " + spell(d.By.Sub(s.since())) + " that you asked for has passed. " + why
	}
	if g.tries > 0 {
		why += fmt.Sprintf(" So far we have tried %s in %s.", times(g.tries), spell(s.held()))
	}
	p.label("Why it takes so long"+doubt(g.cause), why)
	if g.last.Theirs {
		s.answered(p, g.last)
	}
	if !g.ambiguous.IsZero() {
		p.label("Careful", fmt.Sprintf("On %s the whole message was sent, but the connection broke before the other server confirmed it. It may have arrived, and may arrive twice.", s.date(g.ambiguous)))
	}
	p.line("What happens next:")
	switch {
	case next.At.IsZero():
		p.line("    next try      when it is released")
	case !next.At.After(s.n.Now) && s.n.Blocked != "":
		p.line("    next try      as soon as nothing stands in the way")
	case !next.At.After(s.n.Now):
		p.line("    next try      now")
	default:
		p.line("    next try      " + s.date(next.At) + " (or a little later)")
	}
	if !warn.At.IsZero() {
		p.wrap("    next letter   ", strings.Repeat(" ", 18), s.date(warn.At)+", if it still waits then"+unless(s.n.Message))
	}
	if !end.At.IsZero() {
		p.wrap("    last try      ", strings.Repeat(" ", 18), fmt.Sprintf("%s, %s after it came; if that fails, it goes back to you", s.date(end.At), spell(end.At.Sub(s.since()))))
	} else {
		p.line("    last try      not while it is held")
	}
	p.blank()
	p.label("What you should do now", "Nothing. If it is urgent, reach the recipient another way.")
	s.tellFix(p, g)
}

// unless names what may keep a warning back: of a message to many domains not each
// delay is told.
func unless(m custody.Message) string {
	if m.Parts <= 1 {
		return ""
	}
	return " and you have not had many letters about this message"
}

func (s *story) tellHanded(p *page, g group) {
	host := s.peer(g.last)
	if s.n.Kind == custody.Cleared && !s.warned.IsZero() {
		p.para("We wrote to you on " + s.date(s.warned) + " that it was late. That is over.")
	}
	p.para(fmt.Sprintf("%s took it on %s and answered:", host, s.date(g.last.At)))
	p.quote(s.words(g.last.Reply.String()))
	switch {
	case g.end == arrived:
		p.para("It is in the mailbox; whether it has been read, nobody can tell from here.")
	case g.last.Taken == custody.Promised:
		p.para("That server has it now, and reports to you what becomes of it.")
	default:
		p.para("That server has it now, and its administrator can find it by this answer. It sends no reports of delivery, so this is the last you hear from us.")
	}
	p.label("What you should do now", "Nothing.")
}

// signature says whose letter this is: nobody shall take our verdict for another
// host's.
func (s *story) signature(p *page) {
	p.blank()
	line := "This letter is from " + s.o.Hostname + ", the mail server that had your message."
	if s.n.Kind == custody.Failed && len(s.groups) > 0 {
		switch g := s.groups[0]; {
		case len(s.groups) > 1:
		case g.end == refused && g.last.Theirs:
			line += " The refusal is not its own: it comes from " + s.peer(g.last) + "."
		case g.end == refused:
			line += " It found this out itself; no other server has refused the message."
		case g.end == expired && !s.reached():
			line += " The decision to give up is its own; no other server has spoken."
		case g.end == expired:
			line += " The decision to give up is its own."
		}
	}
	if !s.o.Contact.IsNull() {
		line += " Questions about it: " + s.o.Contact.String()
	}
	p.para(line)
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

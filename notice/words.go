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
	if !s.n.To.IsNull() && s.n.Message.Envelope.From.IsNull() {
		p.para("This goes to you as postmaster of " + s.o.Hostname + ": the message has an empty return path, so nobody else may be told.")
	}
	if len(s.groups) > 1 {
		p.para(fmt.Sprintf("Your message had different fates. This letter tells of %d recipients.", len(s.fates)))
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
	return p.String()
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
		return "Your message is still on its way to"
	case handed:
		return "Your message was handed on for"
	case arrived:
		return "Your message has arrived for"
	}
	if !g.ambiguous.IsZero() {
		return "We do not know whether your message was delivered to"
	}
	return "Your message was not delivered to"
}

func (s *story) tellFailed(p *page, g group) {
	host := s.peer(g.last)
	why := g.cause.Meaning
	if g.last.IsZero() {
		why = "It was not tried."
	}
	switch {
	case s.late(g.fate):
		why = "It was to be delivered within " + spell(s.n.Delivery.By.Sub(s.since())) + ", as you asked, and that time has passed. " + why
	case g.end == ended:
		by := ""
		if s.order.By != "" {
			by = " (" + s.words(s.order.By) + ")"
		}
		why = "An operator of this server" + by + " ended the delivery"
		if s.order.Why != "" {
			why += `, saying: "` + s.words(s.order.Why) + `"`
		}
		if why += "."; !g.last.IsZero() {
			why += " Until then: " + g.cause.Meaning
		}
	}
	if g.end == expired {
		why += fmt.Sprintf(" We, the mail server %s, tried %s in %s, then gave up.", s.o.Hostname, times(g.tries), spell(s.held()))
	}
	p.label("Why", why)
	if g.last.Theirs {
		p.para(host + " answered:")
		p.quote(s.words(g.last.Reply.String()))
	}
	do := g.cause.DoNow
	if !g.ambiguous.IsZero() {
		p.label("Careful", fmt.Sprintf("On %s the whole message was sent, but the connection broke before the other server confirmed it. It may have arrived.", s.date(g.ambiguous)))
		do = cause.Explain(cause.Ambiguous, cause.Sure).DoNow
	} else if s.late(g.fate) {
		do = cause.Explain(cause.Late, cause.Sure).DoNow
	}
	p.label("What you should do now", do)
	s.tellFix(p, g)
}

// tellFix says who can mend it and how, naming whom the words mean.
func (s *story) tellFix(p *page, g group) {
	if len(g.cause.Fix) == 0 || g.last.IsZero() {
		return
	}
	p.line("Who can mend it:")
	for _, f := range g.cause.Fix {
		p.item(s.who(f.Who) + ": " + f.What + ".")
	}
	p.blank()
}

func (s *story) who(w cause.Who) string {
	switch w {
	case cause.Sender:
		return "You"
	case cause.SenderAdmin:
		return "Your own mail administrator"
	case cause.Recipient:
		return "The recipient"
	}
	return "The administrator of " + mail.Clean(s.n.Delivery.Domain, mail.MaxDomain)
}

func (s *story) tellWaiting(p *page, g group) {
	d, sch := s.n.Delivery, s.n.Schedule
	next, warn, end := custody.Fate(d, sch)
	p.para("You need not send it again: we, the mail server " + s.o.Hostname + ", keep it and go on trying.")
	why := g.cause.Meaning
	switch {
	case !d.Held.IsZero():
		why = fmt.Sprintf("An operator of this server (%s) has held it since %s", s.words(d.Held.By), s.date(d.Held.Since))
		if d.Held.Why != "" {
			why += `, saying: "` + s.words(d.Held.Why) + `"`
		}
		why += "."
		if !g.last.IsZero() {
			why += " Before that: " + g.cause.Meaning
		}
	case s.n.Blocked != "":
		why = "No try is made at present: " + strings.TrimRight(s.words(s.n.Blocked), ".") + "."
		if !g.last.IsZero() {
			why += " At the last one: " + g.cause.Meaning
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
	p.label("Why it takes so long", why)
	if g.last.Theirs {
		p.para(s.peer(g.last) + " answered:")
		p.quote(s.words(g.last.Reply.String()))
	}
	if !g.ambiguous.IsZero() {
		p.label("Careful", fmt.Sprintf("On %s the whole message was sent, but the connection broke before the other server confirmed it. It may have arrived, and may arrive twice.", s.date(g.ambiguous)))
	}
	p.line("What happens next:")
	if !next.At.IsZero() {
		p.line("    next try      " + s.date(next.At) + " (or a little later)")
	} else {
		p.line("    next try      when it is released")
	}
	if !warn.At.IsZero() {
		p.line("    next letter   " + s.date(warn.At) + ", if it still waits then")
	}
	if !end.At.IsZero() {
		p.line("    last try      " + s.date(end.At) + "; if that fails, it comes")
		p.line("                  back to you")
	} else {
		p.line("    last try      not while it is held")
	}
	p.blank()
	p.label("What you should do now", "Nothing. If it is urgent, reach the recipient another way.")
	s.tellFix(p, g)
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
			line += " It found the fault itself; no other server has spoken."
		case g.end == expired && g.spoke == 0:
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

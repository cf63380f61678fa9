package explain

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postrider/postrider/cause"
)

// Reader is for whom a report is worded.
type Reader uint8

const (
	Sender         Reader = iota // who wrote the message, and need not know mail
	SendingAdmin                 // who runs the mail of the sending side
	ReceivingAdmin               // who runs the mail of the receiving side
)

// letterWidth is how wide the lines of a letter may be (RFC 3676 4.2 for text
// that is quoted again).
const letterWidth = 72

// WriteFor words a report for one reader, as the body of a letter that can be sent
// on as it is: to the sender what happened, what to do and whom to tell what; to
// an administrator the hosts, replies word for word, limits and times that are
// needed to find it in a log and to mend it. What the message said is made
// harmless as WriteText does.
func WriteFor(w io.Writer, r Report, to Reader) error {
	t := letter{writer{language: r.language()}}
	t.width = letterWidth
	if r.Says != "" {
		t.para(plainly, r.Says)
	}
	for i, g := range gather(r.Recipients) {
		if i > 0 {
			t.line(strings.Repeat("-", letterWidth))
			t.blank()
		}
		if i == maxTold {
			t.para(plainly, t.count("and more fates", len(r.Recipients)-i))
			break
		}
		switch {
		case g.Kind == NoBounce:
			t.para(plainly, g.Verdict)
			t.section("letter.do", g.DoNow)
		case to == SendingAdmin:
			t.toSendingAdmin(g)
		case to == ReceivingAdmin:
			t.toReceivingAdmin(g)
		default:
			t.toSender(g)
		}
	}
	if _, err := io.WriteString(w, strings.TrimRight(t.b.String(), "\n")+"\n"); err != nil {
		return fmt.Errorf("explain: write letter: %w", err)
	}
	return nil
}

// letter is a page that is sent to somebody.
type letter struct{ writer }

// section writes a title and a paragraph, if it says anything.
func (t *letter) section(title, s string) {
	if s == "" {
		return
	}
	t.title(t.say(title))
	t.para(plainly, s)
}

// outcome is the part of a key that tells the three ends of a message apart.
func outcome(f Finding) string {
	switch f.Kind {
	case StillTrying:
		return "late"
	case Arrived, HandedOn, Expanded:
		return "done"
	}
	return "failed"
}

func (t *letter) toSender(g gathered) {
	f := g.Finding
	t.para(plainly, t.say("letter.sender "+outcome(f), "rcpts", cmp.Or(t.names(g.rcpts), t.say("letter.somebody"))))
	if outcome(f) == "done" {
		t.section("letter.happened", f.Verdict)
		t.section("letter.do", f.DoNow)
		return
	}
	t.section("letter.happened", t.happened(f))
	if f.Refused.How == byReply && f.Refused.Text != "" {
		t.hang(plainly, "", "", t.say("letter.it said", "host", t.next(f)))
		t.quote(f.Refused.Text)
		t.blank()
	}
	t.section("letter.do", f.DoNow)
	var mend []string
	for _, x := range f.Fix {
		mend = append(mend, t.say("fix", "who", t.you(x.Who, f), "what", x.What))
	}
	t.list("title.fix", mend)
	t.tell(g)
}

// happened tells the story in words that need no knowledge of mail.
func (t *letter) happened(f Finding) string {
	held := ""
	if f.Clock.Held > 0 {
		held = t.length(time.Duration(f.Clock.Held))
	}
	var said []string
	host := t.server(f.GaveUp.Host)
	switch {
	case f.Kind == StillTrying:
		said = append(said, t.say("letter.keeps trying", "host", host, "held", held))
	case f.Kind == ExpiredUntried:
		said = append(said, t.say("letter.untried", "host", host))
	case f.Kind == EndedByOrder:
		said = append(said, t.say("letter.ordered", "host", host))
	case ranOut(f):
		said = append(said, t.say("letter.expired", "host", host, "held", held))
	default:
		said = append(said, t.say("letter.returned", "host", host))
	}
	if f.Cause.Meaning != "" && f.Cause.Kind != cause.Expired {
		said = append(said, t.of(f.Cause.Meaning))
	}
	if f.Confidence < cause.Likely && f.Cause.Kind != cause.Unknown {
		said = append(said, t.say("letter.guess"))
	}
	return strings.Join(said, " ")
}

// server names a host as the subject of a sentence.
func (l *language) server(host string) string {
	if host == "" {
		return l.say("letter.a server")
	}
	return l.say("letter.server", "host", host)
}

// next names the server that was to have the message next, as server does.
func (l *language) next(f Finding) string {
	if name := nameIP(f.Refused); name != "" {
		return l.server(name)
	}
	return l.say("letter.next server")
}

// you is who, where the sender reads it.
func (t *letter) you(who string, f Finding) string {
	switch who {
	case cause.Sender.String():
		return t.say("letter.you")
	case cause.SenderAdmin.String():
		return t.say("letter.your admin")
	}
	return t.who(who, f)
}

// whatOf is what somebody can do to mend it.
func whatOf(f Finding, who string) (what []string) {
	for _, x := range f.Fix {
		if x.Who == who {
			what = append(what, x.What)
		}
	}
	return what
}

// tell hands the sender the words for those who can mend it.
func (t *letter) tell(g gathered) {
	f := g.Finding
	theirs := len(whatOf(f, cause.ReceiverAdmin.String()))+len(whatOf(f, cause.Recipient.String())) > 0
	ours := len(whatOf(f, cause.SenderAdmin.String()))+len(whatOf(f, operator)) > 0
	if !theirs && !ours || f.Kind == StillTrying {
		return
	}
	t.title(t.say("letter.tell"))
	if theirs {
		t.hang(plainly, "", "", t.say("letter.tell recipient"))
		for _, l := range []string{
			t.say("letter.for recipient", "rcpts", t.names(g.rcpts)),
			t.say("letter.for server", "host", nameIP(f.Refused)),
			t.say("letter.for time", "ended", instant(f.Clock.Ended, nil)),
			t.say("letter.for words", "words", f.Refused.Text),
			t.say("letter.for fix", "fix", strings.Join(whatOf(f, cause.ReceiverAdmin.String()), "; ")),
		} {
			if l != "" {
				t.quote(l)
			}
		}
		t.blank()
	}
	if ours {
		t.para(plainly, t.say("letter.tell admin"))
	}
}

func (t *letter) toSendingAdmin(g gathered) {
	f := g.Finding
	t.para(plainly, f.Verdict)
	t.field(labelRoom, t.say("label.recipient"), t.names(g.rcpts))
	t.facts(f)
	t.way(f)
	var ours, others []string
	for _, x := range f.Fix {
		if x.Who == cause.SenderAdmin.String() {
			ours = append(ours, t.say("fix alone", "what", x.What))
		} else {
			others = append(others, t.say("fix", "who", t.who(x.Who, f), "what", x.What))
		}
	}
	if ranOut(f) && f.Clock.Setting != "" {
		set := t.say("letter.setting", "setting", f.Clock.Setting, "host", cmp.Or(f.Clock.Owner, t.say("letter.that server")))
		if f.GaveUp.Side == sideSender {
			ours = append(ours, set)
		} else {
			others = append(others, set)
		}
	}
	t.list("letter.you can", ours)
	t.list("letter.others can", others)
	t.section("letter.sender should", f.DoNow)
	t.list("title.open", f.NotKnown)
	t.list("title.careful", f.Warnings)
	t.evidence(f.Evidence)
}

// facts are what an administrator looks for first.
func (t *letter) facts(f Finding) {
	t.field(labelRoom, t.say("label.result"), t.result(f))
	words := f.Refused.Text
	f.Refused.Text = ""
	t.hosts(f)
	t.clock(f.Clock)
	t.field(labelRoom, t.say("label.attempts"), t.attempts(f.Attempts))
	t.field(labelRoom, t.say("label.sender side"), f.Roles.Sender)
	t.field(labelRoom, t.say("label.between"), f.Roles.Between)
	t.field(labelRoom, t.say("label.receiver side"), f.Roles.Receiver)
	t.blank()
	if words != "" {
		t.title(t.say("letter.words"))
		t.quote(words)
		t.blank()
	}
}

// way lists the hosts that had the message.
func (t *letter) way(f Finding) {
	var hops []string
	for i, h := range f.Hops {
		if i == maxTold {
			hops = append(hops, t.count("picture.folded", len(f.Hops)-i))
			break
		}
		held := ""
		switch {
		case !h.Handed.IsZero():
			held = t.length(time.Duration(h.Held))
		case h.Role == roleGaveUp && f.Clock.Held > 0:
			held = t.length(time.Duration(f.Clock.Held))
		}
		hops = append(hops, t.say("letter.hop", "host", cmp.Or(h.Host, "?"), "software", softwareName(h.Software), "role", t.code("role.", h.Role), "accepted", instant(h.Accepted, nil), "held", held))
	}
	t.list("letter.way", hops)
}

func (t *letter) toReceivingAdmin(g gathered) {
	f := g.Finding
	if d := domainOf(f.Recipient); d != "" {
		t.para(plainly, t.say("letter.dear", "domain", d))
	}
	t.para(plainly, t.say("letter.receiver "+outcome(f), "rcpts", cmp.Or(t.names(g.rcpts), t.say("letter.somebody"))))
	t.seen(f)
	var ask, others []string
	for _, x := range f.Fix {
		switch x.Who {
		case cause.ReceiverAdmin.String():
			ask = append(ask, t.say("fix alone", "what", x.What))
		default:
			others = append(others, t.say("fix", "who", t.who(x.Who, f), "what", x.What))
		}
	}
	if outcome(f) != "done" {
		switch {
		case len(ask) == 0 && f.Refused.How == notTold:
			t.para(plainly, t.say("letter.open ask"))
		case len(ask) == 0:
			t.para(plainly, t.say("letter.no ask"))
		}
		t.list("letter.ask", ask)
		t.list("letter.others do", others)
	}
	t.title(t.say("letter.find"))
	t.field(labelRoom, t.say("label.recipient"), t.names(g.rcpts))
	words := f.Refused.Text
	f.Refused.Text = ""
	t.field(labelRoom, t.say("label.result"), t.result(f))
	t.hosts(f)
	f.Refused.Text = words
	t.clock(Clock{Started: f.Clock.Started, Ended: f.Clock.Ended, Held: f.Clock.Held})
	t.field(labelRoom, t.say("label.attempts"), t.attempts(f.Attempts))
	t.blank()
	t.way(f)
	t.list("title.careful", f.Warnings)
}

// seen tells what the receiving side said or did, word for word.
func (t *letter) seen(f Finding) {
	r := f.Refused
	key := "letter.seen " + r.How
	if f.Contact == "broken" {
		key = "letter.seen broken"
	}
	t.hang(plainly, "", "", t.say(key, "host", t.next(f), "last", instant(f.Attempts.Last, nil)))
	if r.Text != "" {
		t.quote(r.Text)
	}
	t.blank()
	if f.Cause.Meaning != "" && f.Cause.Kind != cause.Unknown {
		t.para(plainly, t.say("letter.sender is told", "meaning", t.of(f.Cause.Meaning), "sure", t.code("confidence.", f.Confidence.String())))
	}
}

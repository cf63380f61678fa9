package web

import (
	"fmt"
	"strings"
	"time"

	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
)

// forward tells the user who asked, in one paragraph, how their message stands, why,
// what happens next and what to do.
func forward(t api.Trace, host string) string {
	var b strings.Builder
	name := "Your message"
	if t.Subject != "" {
		name += " “" + mail.Clean(t.Subject, 200) + "”"
	}
	fmt.Fprintf(&b, "%s to %s was taken by our mail server %s on %s", name, people(t.Recipients, t.Domain), host, date(t.Accepted))
	why := meaning(t)
	switch {
	case t.Held != "":
		fmt.Fprintf(&b, " and is held there by an operator (%s). It is not lost, and you need not send it again. ", t.Held)
	case t.Fate.Paused != nil:
		fmt.Fprintf(&b, " and waits there: mail to %s is %s. It is not lost, and you need not send it again. ", t.Domain, t.Fate.Blocked)
	case t.Left.IsZero() && t.Attempts == 0:
		b.WriteString(" and is on its way. ")
	case t.Left.IsZero():
		fmt.Fprintf(&b, " and has not been delivered yet. %s%s", why.Meaning, quoted(t))
		fmt.Fprintf(&b, " We have tried %s and go on trying", times(t.Attempts))
		if e := t.Fate.GivesUp; e != nil {
			then := "you get it back with an explanation"
			if !t.Told {
				then = "it is given up, and you are not told"
			}
			fmt.Fprintf(&b, " until %s; if it cannot be delivered by then, %s", date(*e), then)
		}
		b.WriteString(". You need not send it again; if it is urgent, reach the recipient another way.")
	case t.State == watch.Delivered:
		fmt.Fprintf(&b, " and delivered into the mailbox on %s.", date(t.Left))
	case t.State == watch.Relayed:
		fmt.Fprintf(&b, " and handed to the server %s on %s, which took it over%s. From then on it is theirs: if it is not found, ask those who run that server, and name this answer and its time.", theirs(t), date(t.Left), quotedAs(t, ", answering"))
	case t.State == watch.Removed:
		fmt.Fprintf(&b, " and was removed by an operator on %s.", date(t.Left))
	case t.State == "mixed" && !t.Told:
		fmt.Fprintf(&b, ". Not everybody got it, and no report of that was sent to you; it left on %s.", date(t.Left))
	case t.State == "mixed":
		fmt.Fprintf(&b, ". Not everybody got it; the reports that you were sent on %s say who did not, and why.", date(t.Left))
	default:
		became, told := "returned to you", ""
		if !t.Told {
			became, told = "given up", ", and no report was sent to you"
		}
		fmt.Fprintf(&b, " and could not be delivered: it was %s on %s, after %s%s. %s%s %s", became, date(t.Left), count(t.Attempts, "attempt"), told, why.Meaning, quoted(t), why.DoNow)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// meaning is what the last outcome means.
func meaning(t api.Trace) cause.Cause {
	s := cause.Sign{}
	for _, e := range t.Events {
		if e.Stage != mail.NoStage {
			s = cause.Sign{Stage: e.Stage, Reply: mail.Reply{Code: e.Code, Status: e.Status, Text: e.Text}, Theirs: e.Code != 0, Trouble: e.Trouble}
		}
	}
	return cause.Of(s)
}

func quoted(t api.Trace) string {
	if s := quotedAs(t, " The server "+theirs(t)+" said:"); s != "" {
		return s + "."
	}
	return ""
}

// quotedAs is what the host said last, word for word; "" if nobody spoke.
func quotedAs(t api.Trace, lead string) string {
	if t.Last == nil || t.Last.Code == 0 {
		return ""
	}
	return lead + " “" + mail.Clean(mail.Reply{Code: t.Last.Code, Status: t.Last.Status, Text: t.Last.Text}.Line(), 400) + "”"
}

func theirs(t api.Trace) string {
	switch {
	case t.Last == nil:
		return "of " + t.Domain
	case t.Last.Host != "":
		return t.Last.Host
	}
	return t.Last.IP
}

// people names recipients, a few of many.
func people(all []string, domain string) string {
	const most = 3
	switch n := len(all); {
	case n == 0:
		return domain
	case n > most:
		return fmt.Sprintf("%s and %d more", strings.Join(all[:most-1], ", "), n-most+1)
	}
	return strings.Join(all, " and ")
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// date is a moment as a letter tells it.
func date(t time.Time) string { return t.Local().Format("Monday 2 January 2006 at 15:04 MST") }

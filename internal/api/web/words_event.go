package web

import (
	"fmt"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
)

// line is one thing of a timeline in words.
type line struct {
	At      time.Time
	Dot     string // its colour
	Title   string
	Detail  string
	Who     string // who spoke
	Said    string // word for word
	Ours    bool   // Said are words of ours: nobody spoke
	Next    time.Time
	Letters []string // ids of our messages that tell of it
}

// lines tells the events of a delivery. An attempt stands with what it brought.
func lines(t api.Trace) []line {
	var out []line
	var tried watch.Event
	for _, e := range t.Events {
		if e.Kind == watch.Attempt {
			tried = e
			continue
		}
		l := line{At: e.At, Title: title(e, t), Dot: dot(e), Next: e.Next}
		for _, id := range e.Letters {
			l.Letters = append(l.Letters, id.String())
		}
		if e.Stage != mail.NoStage {
			l.Who, l.Ours = spoke(e), e.Code == 0
			l.Said = mail.Reply{Code: e.Code, Status: e.Status, Text: e.Text}.String()
			l.Detail = how(tried, e)
		} else {
			l.Detail = orderWords(e)
		}
		out = append(out, l)
	}
	return out
}

func dot(e watch.Event) string {
	switch e.Kind {
	case watch.Accepted, watch.Rerouted, watch.Ordered, watch.Released:
		return "own"
	case watch.Warned:
		return "letter"
	case watch.Held:
		return "wait"
	case watch.Removed:
		return ""
	}
	return ink(e)
}

func title(e watch.Event, t api.Trace) string {
	whom := ""
	if len(e.Recipients) > 0 && len(t.Recipients) > 1 && len(e.Recipients) < len(t.Recipients) {
		whom = " for " + strings.Join(e.Recipients, ", ")
	}
	switch e.Kind {
	case watch.Accepted:
		return "Accepted: from here our clock runs"
	case watch.Deferred:
		return map[string]string{
			custody.Unreachable.String(): "Not reached", custody.Greylisted.String(): "Asked to come again", custody.Unrouted.String(): "No way known",
			custody.Ambiguous.String(): "Sent whole, but its answer was lost: perhaps delivered", custody.Ours.String(): "A fault of ours",
		}[e.Trouble] + map[bool]string{true: "Deferred"}[e.Trouble == custody.Deferred.String()] + whom
	case watch.Warned:
		if e.Untold {
			return "The sender was not told of the delay" + whom
		}
		return "The sender was told of the delay"
	case watch.Delivered:
		return "Delivered into the mailbox" + whom
	case watch.Relayed:
		return "Handed on: the next host has custody now" + whom
	case watch.Bounced:
		if e.Order != custody.NoOrder {
			return "Returned to the sender" + whom
		}
		return "Refused for good" + whom
	case watch.Expired:
		return "Given up: the time was over" + whom
	case watch.Held:
		return "Held"
	case watch.Released:
		return "Released"
	case watch.Removed:
		return "Removed, and nobody told"
	case watch.Rerouted:
		if e.Way == "" {
			return "Back to the routes"
		}
		return "Sent by another way: " + e.Way
	case watch.Ordered:
		return "Ordered: " + e.Order.String()
	}
	return e.Kind
}

func spoke(e watch.Event) string {
	switch {
	case e.Host != "" && e.IP != "" && e.Host != e.IP:
		return e.Host + " [" + e.IP + "]"
	case e.Host != "":
		return e.Host
	case e.IP != "":
		return "[" + e.IP + "]"
	}
	return ""
}

// how tells of the attempt: its way, how far it came, how long it took.
func how(a, e watch.Event) string {
	var words []string
	if a.Way != "" {
		words = append(words, "by "+a.Way)
	}
	if a.Rule != "" {
		words = append(words, a.Rule)
	}
	words = append(words, "at "+e.Stage.String())
	if a.TLS != "" {
		words = append(words, a.TLS)
	}
	if a.TookMS > 0 {
		words = append(words, fmt.Sprintf("took %s", (time.Duration(a.TookMS)*time.Millisecond).String()))
	}
	if a.Shared {
		words = append(words, "an attempt led by other mail for the same host")
	}
	return strings.Join(words, " · ")
}

func orderWords(e watch.Event) string {
	var words []string
	if e.Kind == watch.Accepted {
		if s := spoke(e); s != "" {
			words = append(words, "from "+s)
		}
		if e.Way != "" {
			words = append(words, "by "+e.Way)
		}
		if e.Rule != "" {
			words = append(words, e.Rule)
		}
	}
	if e.By != "" {
		words = append(words, "by "+e.By)
	}
	if e.Why != "" {
		words = append(words, e.Why)
	}
	return strings.Join(words, " · ")
}

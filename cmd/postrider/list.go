package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
)

// filter is what the commands that find mail have in common.
type filter struct {
	Domain    string `help:"Domain of the recipients."`
	From      string `help:"Sender, or @domain."`
	To        string `help:"Recipient, or @domain."`
	ID        string `name:"id" help:"Message or delivery id, as queue shows it."`
	MessageID string `name:"message-id" help:"Message-ID of the header."`
	OlderThan string `placeholder:"AGE" help:"Waiting for longer than this, like 4h or 2d."`
	State     string `enum:",waiting,trying,held" default:"" help:"waiting, trying or held."`
	Reply     string `placeholder:"WORDS" help:"Words of the last reply."`
}

func (f filter) api() api.Filter {
	return api.Filter{ID: f.ID, MessageID: f.MessageID, From: f.From, To: f.To, Domain: f.Domain, State: f.State, Reply: f.Reply, OlderThan: f.OlderThan}
}

func (f filter) values() url.Values {
	q := url.Values{}
	for k, v := range map[string]string{"id": f.ID, "message_id": f.MessageID, "from": f.From, "to": f.To, "domain": f.Domain, "state": f.State, "reply": f.Reply, "older_than": f.OlderThan} {
		if v != "" {
			q.Set(k, v)
		}
	}
	return q
}

type queueCmd struct {
	filter
	JSON bool `name:"json" help:"One object a line."`
}

func (q queueCmd) Run(c *cli, s streams) error {
	cl, err := connect(c.Config)
	if err != nil {
		return err
	}
	n := 0
	v := q.values()
	for {
		var page struct {
			Deliveries []api.Delivery
			After      string
		}
		if err := cl.get("/api/v1/queue", v, &page); err != nil {
			return err
		}
		for _, d := range page.Deliveries {
			n++
			if q.JSON {
				err = writeJSON(s.out, d)
			} else {
				err = writeDelivery(s.out, d)
			}
			if err != nil {
				return err
			}
		}
		if page.After == "" {
			break
		}
		v.Set("after", page.After)
	}
	if !q.JSON {
		fmt.Fprintf(s.out, "%d %s\n", n, plural(n, "delivery", "deliveries"))
	}
	return nil
}

type traceCmd struct {
	filter
	Find string `arg:"" optional:"" help:"Message or delivery id, Message-ID, sender or recipient."`
	JSON bool   `name:"json" help:"One object a line."`
}

func (t traceCmd) Run(c *cli, s streams) error {
	cl, err := connect(c.Config)
	if err != nil {
		return err
	}
	v := t.values()
	if t.Find != "" {
		v.Set("find", t.Find)
	}
	if len(v) == 0 {
		return fmt.Errorf("trace what? Give an id, a Message-ID, a sender or a recipient")
	}
	var traces []api.Trace
	if err := cl.get("/api/v1/trace", v, &traces); err != nil {
		return err
	}
	for i, tr := range traces {
		if t.JSON {
			err = writeJSON(s.out, tr)
		} else {
			if i > 0 {
				fmt.Fprintln(s.out)
			}
			err = writeTrace(s.out, tr)
		}
		if err != nil {
			return err
		}
	}
	if len(traces) == 0 {
		return errNothing
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// writeDelivery shows a delivery in a few lines: who, why, and what will be.
func writeDelivery(w io.Writer, d api.Delivery) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %s, %s, %d %s\n", d.ID, sender(d.From), d.State, age(d.AgeS), d.Attempts, plural(d.Attempts, "attempt", "attempts"))
	fmt.Fprintf(&b, "  to %s\n", strings.Join(d.Recipients, ", "))
	if d.Via != "" {
		fmt.Fprintf(&b, "  by order via %s\n", d.Via)
	}
	if d.Held != "" {
		fmt.Fprintf(&b, "  held: %s\n", d.Held)
	}
	if l := d.Last; l != nil {
		fmt.Fprintf(&b, "  last: %s\n", words(l.Host, l.Code, l.Status, l.Text))
	}
	if d.Left.IsZero() {
		fmt.Fprintf(&b, "  next try %s; sender warned %s; given up %s (%s)\n", at(d.Fate.NextTry), at(d.Fate.NextWarning), at(d.Fate.GivesUp), d.Fate.Because)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeTrace(w io.Writer, t api.Trace) error {
	if err := writeDelivery(w, t.Delivery); err != nil {
		return err
	}
	var b strings.Builder
	if t.MessageID != "" {
		fmt.Fprintf(&b, "  Message-ID <%s>\n", t.MessageID)
	}
	var way string
	for _, e := range t.Events {
		if e.Kind == watch.Attempt {
			way = e.Way
			if e.Shared {
				way += ", tried for other mail too"
			}
			continue
		}
		fmt.Fprintf(&b, "  %s  %-9s  %s\n", stamp(e.At), e.Kind, event(e, way))
		way = ""
	}
	for i, m := range t.Forecast {
		if i == 5 && len(t.Forecast) > 8 {
			fmt.Fprintf(&b, "  …\n")
		}
		if i >= 5 && i < len(t.Forecast)-3 && m.What == custody.WillTry {
			continue
		}
		fmt.Fprintf(&b, "  %s  will be    %s, if nothing changes\n", stamp(m.At), m.What)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// event says in one line what happened.
func event(e watch.Event, way string) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch e.Kind {
	case watch.Accepted:
		if e.Why != "" {
			add("%s", e.Why)
			break
		}
		add("from %s [%s] by %s", e.Host, e.IP, e.Way)
		if e.Rule != "" {
			add("let in by %s", e.Rule)
		}
	case watch.Warned:
		add("the sender was told of the delay")
	case watch.Relayed:
		add("%s has it now, and its clock runs", e.Host)
	}
	if e.Stage != mail.NoStage {
		add("%s at %s: %s", e.IP, e.Stage, words(e.Host, e.Code, e.Status, e.Text))
	}
	if way != "" {
		add("(%s)", way)
	}
	if e.By != "" && e.Kind != watch.Accepted {
		add("by %s", e.By)
	}
	if e.Why != "" && e.Kind != watch.Accepted {
		add("%s", e.Why)
	}
	return strings.Join(parts, "; ")
}

func words(host string, code int, st mail.Status, text string) string {
	w := mail.Reply{Code: code, Status: st, Text: text}.Line()
	if code != 0 && host != "" {
		return host + " said " + w
	}
	return w
}

func sender(from string) string { return "<" + from + ">" }

func age(s int64) string { return custody.FormatAge(time.Duration(s) * time.Second) }

func at(t *time.Time) string {
	if t == nil {
		return "never"
	}
	d := time.Until(*t)
	if d < time.Second {
		return "now"
	}
	return "in " + custody.FormatAge(d) + " (" + stamp(*t) + ")"
}

func stamp(t time.Time) string { return t.Local().Format("2 Jan 15:04:05") }

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

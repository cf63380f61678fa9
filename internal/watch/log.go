package watch

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// Log writes events as log lines, one an event.
type Log struct{ l *slog.Logger }

// NewLog logs to l.
func NewLog(l *slog.Logger) *Log { return &Log{l} }

// NewLogger makes the logger of the program: as JSON, or as text.
func NewLogger(w io.Writer, json bool, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if json {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// Accepted logs a message that came in.
func (g *Log) Accepted(m custody.Message, ds []custody.Delivery) {
	rcpts := 0
	for _, d := range ds {
		rcpts += len(d.Rcpts)
	}
	g.l.LogAttrs(context.Background(), slog.LevelInfo, Accepted,
		slog.String("message", m.ID.String()), slog.String("from", m.Envelope.From.Path()), slog.Int("recipients", rcpts),
		slog.Int64("size", m.Size), slog.String("client", m.Came.Client), slog.String("helo", m.Came.Helo),
		slog.String("with", m.Came.Protocol), slog.String("message_id", m.MessageID))
}

// Refusal is what the door said to somebody, and by which rule.
type Refusal struct {
	Ref                string // what the reply names
	Client, Helo, From string
	To                 []string
	Stage, Rule, Place string
	Reply              mail.Reply // zero: it let in
	Why                string
	Would, Skipped     []string // rules that would have decided, but are dry, or were skipped
	Faults             []string // look-ups that failed
}

// Refused logs what was not let in.
func (g *Log) Refused(r Refusal) { g.judged("refused", r) }

// Noted logs what rules have to say of what was let in.
func (g *Log) Noted(r Refusal) { g.judged("noted", r) }

func (g *Log) judged(event string, r Refusal) {
	attrs := []slog.Attr{slog.String("client", r.Client), slog.String("stage", r.Stage)}
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	add("helo", r.Helo)
	add("from", r.From)
	add("to", strings.Join(r.To, " "))
	add("reply", r.Reply.Line())
	add("rule", r.Rule)
	add("place", r.Place)
	add("why", r.Why)
	add("ref", r.Ref)
	add("would", strings.Join(r.Would, "; "))
	add("skipped", strings.Join(r.Skipped, "; "))
	add("fault", strings.Join(r.Faults, "; "))
	g.l.LogAttrs(context.Background(), slog.LevelInfo, event, attrs...)
}

// Stepped logs a step of a delivery. Attempts stand in the line of their outcome.
func (g *Log) Stepped(m custody.Message, d custody.Delivery, e custody.Entry) {
	var attempt Event
	for _, v := range Events(e, d.Rcpts) {
		if v.Kind == Attempt {
			attempt = v
			continue
		}
		attrs := []slog.Attr{slog.String("delivery", v.Delivery), slog.String("from", d.From.Path())}
		if len(v.Recipients) == 1 {
			attrs = append(attrs, slog.String("to", v.Recipients[0]))
		} else {
			attrs = append(attrs, slog.String("domain", d.Domain), slog.Int("recipients", len(v.Recipients)))
		}
		if v.Stage != mail.NoStage {
			attrs = append(attrs, slog.String("way", attempt.Way), slog.String("host", v.Host), slog.String("ip", v.IP), slog.String("stage", v.Stage.String()),
				slog.String("reply", mail.Reply{Code: v.Code, Status: v.Status, Text: v.Text}.Line()), slog.Int64("took_ms", attempt.TookMS))
		}
		if attempt.TLS != "" {
			attrs = append(attrs, slog.String("tls", attempt.TLS))
		}
		if attempt.Shared {
			attrs = append(attrs, slog.Bool("shared", true))
		}
		if v.Order != custody.NoOrder {
			attrs = append(attrs, slog.String("order", v.Order.String()), slog.String("by", v.By), slog.String("why", v.Why))
		}
		if !v.Next.IsZero() {
			attrs = append(attrs, slog.String("next_try", v.Next.Format(time.RFC3339)))
		}
		attrs = append(attrs, slog.String("age", custody.FormatAge(v.At.Sub(d.Accepted))))
		g.l.LogAttrs(context.Background(), slog.LevelInfo, v.Kind, attrs...)
	}
}

package api

import (
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
)

// Delivery is a delivery as lists show it.
type Delivery struct {
	ID         string    `json:"id"`
	Message    string    `json:"message"`
	MessageID  string    `json:"message_id"`
	From       string    `json:"from" doc:"the return path; empty: null"`
	Domain     string    `json:"domain"`
	Recipients []string  `json:"recipients" doc:"those that are still ours; of a departed delivery all"`
	Subject    string    `json:"subject,omitempty"`
	Accepted   time.Time `json:"accepted"`
	AgeS       int64     `json:"age_s"`
	Size       int64     `json:"size" doc:"octets"`
	Attempts   int       `json:"attempts"`
	State      string    `json:"state" doc:"waiting, trying or held; of a departed delivery what became of it: delivered, relayed, bounced, expired, removed or mixed"`
	Held       string    `json:"held" doc:"who holds it and why; empty: not held"`
	Via        string    `json:"via,omitempty" doc:"next hop ordered by an operator"`
	Told       bool      `json:"told" doc:"whether the sender is told if it is given up, and of what was given up or refused whether they were: not where the return path is null, nor where NOTIFY says so"`
	Last       *Last     `json:"last" doc:"what the last attempt brought for one of the recipients; null: none was made yet"`
	Fate       Fate      `json:"fate"`
	Left       time.Time `json:"left,omitzero" doc:"when it left the queue"`
}

// Last is what the last attempt brought, word for word.
type Last struct {
	At     time.Time   `json:"at"`
	Host   string      `json:"host"`
	IP     string      `json:"ip"`
	Stage  mail.Stage  `json:"stage"`
	Code   int         `json:"code" doc:"0: nobody spoke, the text is ours"`
	Status mail.Status `json:"status"`
	Text   string      `json:"text"`
}

// Fate is what will become of a delivery if every further attempt fails.
type Fate struct {
	NextTry     *time.Time `json:"next_try"`
	NextWarning *time.Time `json:"next_warning"`
	GivesUp     *time.Time `json:"gives_up"`
	Because     string     `json:"because"`
	Blocked     string     `json:"blocked,omitempty" doc:"why it is not tried now although nobody holds it"`
	Paused      *Paused    `json:"paused,omitempty" doc:"that its destination is paused: no try and no end before the resume"`
}

// Trace is a delivery with its timeline.
type Trace struct {
	Delivery
	Events   []watch.Event    `json:"events"`
	Forecast []custody.Moment `json:"forecast"`
}

// show shows a row, and what the queue is doing about it.
func (s *server) show(row spool.Row, now time.Time) Delivery {
	v := view(row, s.o.Schedule(row.Delivery), now)
	if v.State == "waiting" {
		trying, blocked := s.o.Queue.Doing(row.Delivery)
		if v.Fate.Blocked = blocked; trying {
			v.State = "trying"
		}
	}
	return s.rests(v, row.Delivery, s.o.Schedule(row.Delivery))
}

// view shows a row as it is at that moment.
func view(row spool.Row, s custody.Schedule, now time.Time) Delivery {
	d, m := row.Delivery, row.Message
	v := Delivery{
		ID: d.ID.String(), Message: m.ID.String(), MessageID: m.MessageID, From: d.From.String(), Domain: d.Domain,
		Subject: SubjectOf(m.Subject), Accepted: d.Accepted, AgeS: int64(now.Sub(d.Accepted).Seconds()), Size: m.Size,
		Attempts: d.Tries, State: "waiting", Via: d.Via, Left: row.Left, Recipients: []string{},
		Told: d.TellsSender(),
	}
	for _, r := range d.Rcpts {
		if !row.Concerns(r) {
			continue
		}
		v.Recipients = append(v.Recipients, r.Address.String())
		if o := r.Last; !o.IsZero() && (v.Last == nil || o.At.After(v.Last.At)) {
			v.Last = &Last{o.At, o.Host, o.IP, o.Stage, o.Reply.Code, o.Reply.Status, o.Reply.Text}
		}
	}
	if !row.Left.IsZero() {
		v.AgeS = int64(row.Left.Sub(d.Accepted).Seconds())
		v.State, v.Fate.Because = became(d), "it has left"
		return v
	}
	if !d.Held.IsZero() {
		v.State, v.Held = "held", d.Held.By
		if d.Held.Why != "" {
			v.Held += ": " + d.Held.Why
		}
	}
	next, warn, end := custody.Fate(d, s)
	v.Fate = Fate{NextTry: when(next), NextWarning: when(warn), GivesUp: when(end), Because: custody.Because(d, s)}
	return v
}

func when(m custody.Moment) *time.Time {
	if m.At.IsZero() {
		return nil
	}
	return &m.At
}

// became says in one word what became of a departed delivery.
func became(d custody.Delivery) string {
	word := ""
	for _, r := range d.Own() {
		w := map[custody.State]string{custody.Refused: "bounced", custody.Expired: "expired", custody.Removed: "removed", custody.HandedOver: "relayed"}[r.State]
		if r.State == custody.HandedOver && r.Last.Taken == custody.Mailbox {
			w = "delivered"
		}
		if word != "" && w != word {
			return "mixed"
		}
		word = w
	}
	return word
}

const (
	forecastMost = 200   // moments shown of a future, warnings and the end aside
	forecastFar  = 20000 // moments walked through to see its end
)

// future is what will happen to a delivery. What the sender is told and the end
// are always in it.
func future(d custody.Delivery, s custody.Schedule) []custody.Moment {
	all, n := []custody.Moment{}, 0
	for m := range custody.Forecast(d, s) {
		if n++; n > forecastFar { // gaps of seconds, and an end in days
			_, _, end := custody.Fate(d, s)
			return append(all, end)
		}
		if len(all) < forecastMost || m.What != custody.WillTry {
			all = append(all, m)
		}
	}
	return all
}

// trace adds the timeline to what is shown of a row.
func trace(h spool.History, row spool.Row, shown Delivery, s custody.Schedule) Trace {
	t := Trace{Delivery: shown, Events: []watch.Event{watch.Accept(h.Message)}, Forecast: []custody.Moment{}}
	for _, e := range h.Timeline(row.Delivery.ID) {
		t.Events = append(t.Events, watch.Events(e, row.Delivery.Rcpts)...)
	}
	slices.SortStableFunc(t.Events, func(a, b watch.Event) int { return a.At.Compare(b.At) })
	if last := t.Events[len(t.Events)-1]; t.State == "expired" && last.Kind == watch.Bounced {
		t.State = watch.Bounced // given up by an operator, not by the clock
	}
	if p := shown.Fate.Paused; p != nil {
		row.Delivery = queue.Pause{By: p.By, Why: p.Why, Since: p.Since}.Over(row.Delivery)
	}
	if row.Left.IsZero() {
		t.Forecast = future(row.Delivery, s)
	}
	return t
}

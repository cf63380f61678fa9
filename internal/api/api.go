// Package api is what programs and pages see of a running postrider, and how an
// operator's orders reach it: HTTP with JSON, described by an OpenAPI document at
// /api/v1/openapi.json. The same API on the socket in the data folder serves the
// commands.
//
// The socket takes everything, its file permissions say who may use it. On a TCP
// listener tokens say who may see and who may give orders: see [Access].
//
// It holds no state: what it shows is read from the spool and worked out by
// package custody at that moment. Start reading at [New].
package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/notice"
)

// Queue is what the API asks of the queue.
type Queue interface {
	Order(ctx context.Context, id custody.DeliveryID, rcpts []int, e custody.Ordered) error
	Doing(d custody.Delivery) (trying bool, blocked string)
}

// Options of the API.
type Options struct {
	Store spool.Store
	Queue Queue
	Door  Door // nil: nothing is told of it
	// Destinations are shown and steered; nil: they are not.
	Destinations Destinations
	Schedule     func(custody.Delivery) custody.Schedule
	// Submit takes a message made on this machine.
	Submit func(ctx context.Context, env mail.Envelope, user string, body io.Reader) (custody.Message, error)
	// Via checks a next hop that an operator orders.
	Via      func(string) error
	Hostname func() string
	Version  string
	Metrics  *Metrics // nil: no numbers are told
	// Access says who may do what; nil: everybody may see all, nobody gives orders.
	Access *Access
	// Loopback says that only this machine reaches the listener.
	Loopback bool
	// Stopping ends when postrider is about to: so does the context of each request that
	// changes nothing. Nil: it is never told.
	Stopping context.Context
	Events   *watch.Feed              // nil: nobody is told what happens
	Hooks    func() []watch.HookState // nil: nothing is told of webhooks
	Tools    *Tools                   // nil: there are none
	Outlooks *Outlooks                // nil: nobody looks ahead

	// Notices says how letters are written; nil: plainly.
	Notices func() notice.Options
	// Pages serves the web pages on the listener's mux; nil: there are none.
	Pages func(d *Desk, mux *http.ServeMux)
}

type server struct{ o Options }

// New makes the API. With all, whoever reaches the listener may do everything: only
// for one that not everybody can reach. Else Options.Access says who may do what.
func New(o Options, all bool) http.Handler {
	s, mux, _ := build(o)
	return s.guard(mux, s.counted(mux), all)
}

// build makes the routes, and the document that describes them.
func build(o Options) (*server, *http.ServeMux, huma.API) {
	mux := http.NewServeMux()
	a := humago.New(mux, specification(o.Version))
	s := &server{o}
	huma.Register(a, huma.Operation{OperationID: "queue", Method: "GET", Path: "/api/v1/queue", Summary: "Deliveries that wait, with their fate"}, s.queue)
	s.linesRoute(a)
	huma.Register(a, huma.Operation{OperationID: "trace", Method: "GET", Path: "/api/v1/trace", Summary: "The timeline of a message, also after it left"}, s.trace)
	huma.Register(a, huma.Operation{OperationID: "health", Method: "GET", Path: "/api/v1/health", Summary: "How the store is"}, s.health)
	huma.Register(a, huma.Operation{OperationID: "order", Method: "POST", Path: "/api/v1/orders", Summary: "Give an order for the deliveries that a filter finds"}, s.order)
	plain(a, mux, submitOperation(), s.submit)
	if o.Door != nil {
		s.doorRoutes(a)
	}
	s.destinationRoutes(a)
	s.accessRoutes(a, mux)
	s.eventRoutes(a)
	s.toolRoutes(a)
	s.metricsRoutes(a, mux)
	s.outlookRoutes(a)
	plain(a, mux, huma.Operation{OperationID: "healthz", Method: "GET", Path: "/healthz", Summary: "Whether mail is taken", Responses: words("200", "ok", "text/plain")}, s.healthz)
	plain(a, mux, huma.Operation{
		OperationID: "readyz", Method: "GET", Path: "/readyz", Summary: "Whether mail would be taken now, for what sends it here",
		Description: "200 and ready, or 503 and why not: it is stopping, or its store takes nothing, as where the disk is full. Who has no role is not told why the store does not.",
		Responses:   words("200", "ready", "text/plain"),
	}, s.readyz)
	if o.Pages != nil {
		o.Pages(&Desk{s: s}, mux)
	}
	rolesTold(a)
	return s, mux, a
}

// Filter finds deliveries. All that is given must fit; "" is not given.
type Filter struct {
	ID        string `query:"id" json:"id,omitempty" minLength:"1" doc:"message or delivery id"`
	MessageID string `query:"message_id" json:"message_id,omitempty" minLength:"1" doc:"Message-ID of the header, without angle brackets"`
	From      string `query:"from" json:"from,omitempty" minLength:"1" doc:"sender, or @domain; <> is the null return path"`
	To        string `query:"to" json:"to,omitempty" minLength:"1" doc:"recipient, or @domain"`
	Domain    string `query:"domain" json:"domain,omitempty" minLength:"1" doc:"domain of the recipients"`
	State     string `query:"state" json:"state,omitempty" enum:"waiting,trying,held"`
	Reply     string `query:"reply" json:"reply,omitempty" minLength:"1" doc:"words of the last reply to a recipient that is still ours; an order is for those alone to whom it was said"`
	OlderThan string `query:"older_than" json:"older_than,omitempty" minLength:"1" doc:"age such as 4h or 2d"`
}

// Query is the filter as the store reads it. What is given becomes a condition there
// or is an error: "<>" as a Message-ID names no mail, and must not stand for all.
func (f Filter) Query(now time.Time) (spool.Query, error) {
	q := spool.Query{ID: f.ID, MessageID: strings.Trim(f.MessageID, "<>"), From: f.From, To: f.To, Domain: f.Domain, State: f.State, Reply: f.Reply}
	for _, c := range []struct{ name, given, is string }{
		{"id", f.ID, q.ID}, {"message_id", f.MessageID, q.MessageID}, {"from", f.From, q.From}, {"to", f.To, q.To},
		{"domain", f.Domain, q.Domain}, {"reply", f.Reply, q.Reply},
	} {
		null := c.name == "from" && c.given == "<>"
		if c.given != "" && !null && strings.Trim(c.is, "<>@. \t\r\n") == "" {
			return q, fmt.Errorf("%s %q names nothing", c.name, c.given)
		}
	}
	if f.State == "trying" {
		q.State = "waiting"
	}
	if f.OlderThan != "" {
		age, err := custody.ParseAge(f.OlderThan)
		if err != nil {
			return q, err
		}
		q.Before = now.Add(-age)
	}
	if f.From == "<>" {
		q.From = "@" // of no domain: the null return path
	}
	if f.ID != "" && !isID(f.ID) {
		return q, fmt.Errorf("%q is no message or delivery id", f.ID)
	}
	if d, err := mail.CanonicalDomain(f.Domain); err == nil {
		q.Domain = d
	}
	return q, nil
}

// isID reports whether a word can name a message or a delivery.
func isID(s string) bool {
	_, err := custody.ParseID(s)
	if err != nil {
		_, err = custody.ParseDeliveryID(s)
	}
	return err == nil
}

type queueInput struct {
	Filter
	Limit int    `query:"limit" default:"1000" minimum:"1" maximum:"10000"`
	After string `query:"after" doc:"start behind this delivery"`
}

type queueOutput struct {
	Body struct {
		Deliveries []Delivery `json:"deliveries"`
		After      string     `json:"after,omitempty" doc:"ask again with it: there may be more"`
	}
}

func (s *server) queue(ctx context.Context, in *queueInput) (*queueOutput, error) {
	now := time.Now()
	q, err := in.Query(now)
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	if in.After != "" {
		if q.After, err = custody.ParseDeliveryID(in.After); err != nil {
			return nil, huma.Error422UnprocessableEntity(err.Error())
		}
	}
	q.Limit = in.Limit
	out := &queueOutput{}
	out.Body.Deliveries = []Delivery{}
	last, more, err := s.find(ctx, q, in.State, now, func(d Delivery) error {
		out.Body.Deliveries = append(out.Body.Deliveries, d)
		return nil
	})
	if err != nil {
		return nil, fault(err)
	}
	if more {
		out.Body.After = last.String()
	}
	return out, nil
}

type traceInput struct {
	Filter
	Find  string `query:"find" doc:"message or delivery id, Message-ID, sender or recipient"`
	Limit int    `query:"limit" default:"20" minimum:"1" maximum:"1000" doc:"deliveries shown"`
}

type traceOutput struct {
	More string `header:"Postrider-More" doc:"true where there are more deliveries than are shown"`
	Body []Trace
}

func (s *server) trace(ctx context.Context, in *traceInput) (*traceOutput, error) {
	now := time.Now()
	q, err := in.Query(now)
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	out := &traceOutput{Body: []Trace{}}
	for _, meant := range readings(q, in.Find) {
		rows, err := s.either(ctx, meant, in.Limit+1)
		if err != nil {
			return nil, fault(err)
		}
		if len(rows) > in.Limit {
			rows, out.More = rows[:in.Limit], "true"
		}
		for _, row := range rows {
			h, err := s.o.Store.History(ctx, row.Message.ID)
			if errors.Is(err, spool.ErrUnknown) {
				continue
			} else if err != nil {
				return nil, fault(err)
			}
			out.Body = append(out.Body, trace(h, row, s.show(row, now), s.o.Schedule(row.Delivery)))
		}
		if len(out.Body) > 0 {
			break
		}
	}
	return out, nil
}

// either returns what any of the queries finds, also of what has left, in the order of
// [spool.Store.Find] and once each: at most so many.
func (s *server) either(ctx context.Context, qs []spool.Query, most int) (rows []spool.Row, err error) {
	seen := map[custody.DeliveryID]bool{}
	for _, q := range qs {
		q.Departed, q.Limit = true, most
		for row, err := range s.o.Store.Find(ctx, q) {
			if err != nil {
				return nil, err
			}
			if id := row.Delivery.ID; !seen[id] {
				seen[id], rows = true, append(rows, row)
			}
		}
	}
	if len(qs) > 1 {
		slices.SortFunc(rows, inOrder)
	}
	return rows[:min(len(rows), most)], nil
}

// inOrder: what waits by id, then what has left, newest first.
func inOrder(a, b spool.Row) int {
	byID := func(a, b custody.DeliveryID) int {
		return cmp.Or(slices.Compare(a.Message[:], b.Message[:]), cmp.Compare(a.N, b.N))
	}
	if a.Left.IsZero() || b.Left.IsZero() {
		return cmp.Or(bit(!a.Left.IsZero())-bit(!b.Left.IsZero()), byID(a.Delivery.ID, b.Delivery.ID))
	}
	return cmp.Or(b.Left.Compare(a.Left), byID(b.Delivery.ID, a.Delivery.ID))
}

// readings are what a word may mean, likeliest first, each as the queries of which any
// may find it. The sender or a recipient is one: what a filter gives of the two stays.
func readings(q spool.Query, find string) [][]spool.Query {
	if find == "" {
		return [][]spool.Query{{q}}
	}
	byID, byMessageID, byFrom, byTo := q, q, q, q
	word := strings.Trim(find, "<>")
	byID.ID, byMessageID.MessageID, byFrom.From, byTo.To = word, word, word, word
	switch {
	case word == "": // "<>" is no name
		return nil
	case isID(word):
		return [][]spool.Query{{byID}, {byMessageID}}
	case !strings.Contains(word, "@"):
		return [][]spool.Query{{byMessageID}}
	}
	fits := func(filter string) bool {
		return filter == "" || strings.EqualFold(filter, word) || strings.EqualFold(filter, word[strings.LastIndexByte(word, '@'):])
	}
	var either []spool.Query
	if fits(q.From) {
		either = append(either, byFrom)
	}
	if fits(q.To) {
		either = append(either, byTo)
	}
	return [][]spool.Query{{byMessageID}, either}
}

// fault is the answer where the store could not be read.
func fault(err error) error { return huma.Error500InternalServerError(err.Error()) }

type healthOutput struct{ Body spool.Health }

func (s *server) health(ctx context.Context, _ *struct{}) (*healthOutput, error) {
	return &healthOutput{s.o.Store.Health(ctx)}, nil
}

func (s *server) healthz(w http.ResponseWriter, r *http.Request) {
	if f := s.takesNothing(r.Context()); f != "" {
		http.Error(w, f, http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, "ok\n")
}

// readyz answers on behalf of whoever would send mail here.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	f := s.takesNothing(r.Context())
	if s.stopping() {
		f = "postrider is stopping"
	}
	if f != "" {
		http.Error(w, f, http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, "ready\n")
}

// stopping reports whether postrider is about to end.
func (s *server) stopping() bool { return s.o.Stopping != nil && s.o.Stopping.Err() != nil }

// takesNothing says why the store takes nothing, to strangers without the reason; "" if it
// does.
func (s *server) takesNothing(ctx context.Context) string {
	f := s.o.Store.Health(ctx).Fault
	if f != "" && CallerOf(ctx).Role == Nobody {
		return "no mail is taken now"
	}
	return f
}

var _ Queue = (*queue.Queue)(nil)

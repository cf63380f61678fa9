package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
)

// Order is an operator's order.
type Order struct {
	Order  string `json:"order" enum:"retry,hold,release,giveup,remove,reroute,life,warn"`
	Filter Filter `json:"filter"`
	All    bool   `json:"all,omitempty" doc:"needed where the filter is empty"`
	DryRun bool   `json:"dry_run,omitempty"`
	Via    string `json:"via,omitempty" doc:"reroute: the next hop as in a route's \"to\"; empty: back to the routes"`
	Life   string `json:"life,omitempty" doc:"life: the age at which it is given up, such as 10d"`
	More   string `json:"more,omitempty" doc:"life: how long from now it is kept, such as 2d; without either: as the schedule says"`
	By     string `json:"by,omitempty" doc:"who orders it; with a token its name stands for it, or behind it"`
	Why    string `json:"why,omitempty"`
}

// Done says what an order did, or would do, to one delivery.
type Done struct {
	Delivery
	Was   Fate   `json:"was" doc:"the fate before"`
	Fault string `json:"fault,omitempty" doc:"why it was not carried out"`
}

type orderInput struct{ Body Order }

// doneMost is how many deliveries the answer to an order names, and of how many more it
// says why it was not carried out: with a million waiting all take 1.8 GB.
const doneMost = 1000

type orderOutput struct {
	Total  int `header:"Postrider-Total" doc:"deliveries that the order was for; the first 1000 are named"`
	Faults int `header:"Postrider-Faults" doc:"those of them for which it was not carried out; the first 1000 are named"`
	Body   []Done
}

// count counts a delivery, and reports whether it is to be named.
func (o *orderOutput) count(fault error) bool {
	o.Total++
	if fault == nil {
		return o.Total-o.Faults <= doneMost
	}
	o.Faults++
	return o.Faults <= doneMost
}

func (s *server) order(ctx context.Context, in *orderInput) (*orderOutput, error) {
	o := in.Body
	now := time.Now()
	q, err := o.Filter.Query(now)
	switch {
	case err != nil:
		return nil, huma.Error422UnprocessableEntity(err.Error())
	case q == spool.Query{} && !o.All:
		return nil, huma.Error422UnprocessableEntity("the filter is empty: say all if all mail is meant")
	case o.Order == "reroute" && o.Via != "":
		if err := s.o.Via(o.Via); err != nil {
			return nil, huma.Error422UnprocessableEntity(err.Error())
		}
	}
	e := custody.Ordered{At: now, By: by(ctx, o.By), Why: mail.Clean(o.Why, 500), Via: o.Via}
	e.Order.UnmarshalText([]byte(o.Order))
	until, err := o.until(now)
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	out := &orderOutput{Body: []Done{}}
	for row, err := range s.o.Store.Find(ctx, q) {
		if err != nil {
			return nil, fault(err)
		}
		id := row.Delivery.ID
		was := s.show(row, now)
		if o.Filter.State == "trying" && was.State != "trying" {
			continue
		}
		rcpts := named(row.Delivery, o.Filter)
		if len(rcpts) == 0 {
			continue // those that are meant have left
		}
		sch := s.o.Schedule(row.Delivery)
		e.Until = until(row.Delivery)
		part := len(rcpts) < len(row.Delivery.Pending())
		var no error
		if !o.DryRun {
			no = s.give(ctx, id, some(rcpts, part), e)
		}
		if errors.Is(no, queue.ErrGone) || !out.count(no) {
			continue
		}
		done := Done{Was: was.Fate}
		it, lost := spool.Item{}, error(spool.ErrUnknown)
		if !o.DryRun && no == nil {
			it, lost = s.waits(ctx, id, part, row.Delivery.Rcpts[rcpts[0]].Address)
		}
		switch {
		case no != nil:
			done.Fault = no.Error()
		case lost == nil:
			row.Item = it
		default:
			if row.Delivery = after(row.Delivery, sch, e, rcpts); len(row.Delivery.Pending()) == 0 {
				row.Left = now
			}
		}
		done.Delivery = s.rests(view(row, sch, now), row.Delivery, sch)
		out.Body = append(out.Body, done)
	}
	return out, nil
}

// until reads the deadline that an order sets, which may depend on the delivery.
func (o Order) until(now time.Time) (func(custody.Delivery) time.Time, error) {
	none := func(custody.Delivery) time.Time { return time.Time{} }
	switch {
	case o.Order != "life" && o.Life+o.More != "":
		return nil, errors.New("only the order life sets a deadline")
	case o.Life != "" && o.More != "":
		return nil, errors.New("either life, an age, or more, from now")
	case o.Life != "":
		age, err := custody.ParseAge(o.Life)
		return func(d custody.Delivery) time.Time { return d.Accepted.Add(age) }, err
	case o.More != "":
		age, err := custody.ParseAge(o.More)
		return func(custody.Delivery) time.Time { return now.Add(age) }, err
	}
	return none, nil
}

const orderPatience = 20 * time.Second // for an attempt under way, and for the disk

// give gives the queue an order. One that it cannot carry out now, because the
// disk is full or a host is slow, is carried out later.
func (s *server) give(ctx context.Context, id custody.DeliveryID, rcpts []int, e custody.Ordered) error {
	late := fmt.Errorf("not done within %s, it will be when the attempt under way ends and the disk has room", orderPatience)
	ctx, cancel := context.WithTimeoutCause(ctx, orderPatience, late)
	defer cancel()
	return s.o.Queue.Order(ctx, id, rcpts, e)
}

// named returns the recipients that are still ours and that a filter means: of a
// delivery that it found, those with the name and the words of the last reply, where
// it gives them.
func named(d custody.Delivery, f Filter) []int {
	local, _, _ := strings.Cut(f.To, "@")
	if at := strings.LastIndexByte(f.To, '@'); at > 0 {
		local = f.To[:at]
	}
	words := strings.ToLower(f.Reply)
	return slices.DeleteFunc(d.Pending(), func(i int) bool {
		r := d.Rcpts[i]
		return local != "" && !strings.EqualFold(r.Address.Local, local) || !strings.Contains(strings.ToLower(r.Last.Reply.Line()), words)
	})
}

// some are the recipients to be split off; nil: the order is for all.
func some(rcpts []int, part bool) []int {
	if part {
		return rcpts
	}
	return nil
}

// after is what an order makes of these recipients of a delivery.
func after(d custody.Delivery, sch custody.Schedule, e custody.Ordered, rcpts []int) custody.Delivery {
	if len(rcpts) < len(d.Rcpts) {
		_, d = custody.Split(d, rcpts, d.ID.N)
	}
	d, _ = custody.Step(d, sch, e)
	return d
}

// waits finds the delivery that an order was for: after a split it has a number
// of its own.
func (s *server) waits(ctx context.Context, id custody.DeliveryID, part bool, to mail.Address) (spool.Item, error) {
	if !part {
		return s.o.Store.Item(ctx, id)
	}
	for row, err := range s.o.Store.Find(ctx, spool.Query{ID: id.Message.String(), To: to.String()}) {
		if err != nil {
			return spool.Item{}, err
		}
		if row.Delivery.ID != id {
			return row.Item, nil
		}
	}
	return spool.Item{}, spool.ErrUnknown
}

// submit takes a message by the socket: the envelope in the query (from, to once
// for each recipient, and the parameters of RFC 3461), the message as body.
func (s *server) submit(w http.ResponseWriter, r *http.Request) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	var env mail.Envelope
	if err == nil {
		env, err = Envelope(q)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	m, err := s.o.Submit(r.Context(), env, mail.Clean(q.Get("user"), 100), r.Body)
	var refused interface{ Refused() mail.Reply }
	if errors.As(err, &refused) {
		http.Error(w, refused.Refused().Line(), http.StatusUnprocessableEntity)
		return
	} else if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{"message": m.ID.String()})
}

const (
	// MaxRecipients is the most that one submission may have. They stand in a query,
	// of which net/url reads 10,000 values.
	MaxRecipients = 8000
	// MaxEnvelope is how many octets its envelope may fill as it is handed over: room
	// for that many recipients of 1,000 octets each.
	MaxEnvelope = 8 << 20
)

// Envelope reads the envelope of a submission: from, to once for each recipient, at
// most [MaxRecipients], notify, ret and envid.
func Envelope(q url.Values) (mail.Envelope, error) {
	env := mail.Envelope{Body: mail.EightBit, ID: q.Get("envid")}
	var err error
	if f := q.Get("from"); f != "" {
		if env.From, err = mail.ParseAddress(f); err != nil {
			return env, fmt.Errorf("sender %q: %w", f, err)
		}
	}
	var notify mail.Notify
	if n := q.Get("notify"); n != "" {
		if notify, err = mail.ParseNotify(n); err != nil {
			return env, err
		}
	}
	switch ret := strings.ToUpper(q.Get("ret")); ret {
	case "":
	case "FULL":
		env.Return = mail.ReturnFull
	case "HDRS":
		env.Return = mail.ReturnHeaders
	default:
		return env, fmt.Errorf("ret %q is neither FULL nor HDRS", ret)
	}
	if n := len(q["to"]); n > MaxRecipients {
		return env, fmt.Errorf("%d recipients: at most %d", n, MaxRecipients)
	}
	for _, t := range q["to"] {
		a, err := mail.ParseAddress(t)
		if err != nil {
			return env, fmt.Errorf("recipient %q: %w", t, err)
		}
		env.UTF8 = env.UTF8 || !a.IsASCII()
		env.To = append(env.To, mail.Recipient{Address: a, Notify: notify})
	}
	if len(env.To) == 0 {
		return env, errors.New("no recipient")
	}
	return env, nil
}

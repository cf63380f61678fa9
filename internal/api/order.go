package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/mail"
)

// Order is an operator's order.
type Order struct {
	Order  string `json:"order" enum:"retry,hold,release,giveup,remove,reroute"`
	Filter Filter `json:"filter"`
	All    bool   `json:"all,omitempty" doc:"needed where the filter is empty"`
	DryRun bool   `json:"dry_run,omitempty"`
	Via    string `json:"via,omitempty" doc:"reroute: the next hop as in a route's \"to\"; empty: back to the routes"`
	By     string `json:"by" doc:"who orders it"`
	Why    string `json:"why,omitempty"`
}

// Done says what an order did, or would do, to one delivery.
type Done struct {
	Delivery
	Was   Fate   `json:"was" doc:"the fate before"`
	Fault string `json:"fault,omitempty" doc:"why it was not carried out"`
}

type orderInput struct{ Body Order }

type orderOutput struct{ Body []Done }

func (s *server) order(ctx context.Context, in *orderInput) (*orderOutput, error) {
	o := in.Body
	now := time.Now()
	q, err := o.Filter.Query(now)
	switch {
	case err != nil:
		return nil, huma.Error422UnprocessableEntity(err.Error())
	case o.Filter == Filter{} && !o.All:
		return nil, huma.Error422UnprocessableEntity("the filter is empty: say all if all mail is meant")
	case o.Order == "reroute" && o.Via != "":
		if err := s.o.Via(o.Via); err != nil {
			return nil, huma.Error422UnprocessableEntity(err.Error())
		}
	}
	e := custody.Ordered{At: now, By: mail.Clean(o.By, 100), Why: mail.Clean(o.Why, 500), Via: o.Via}
	e.Order.UnmarshalText([]byte(o.Order))
	out := &orderOutput{Body: []Done{}}
	for row, err := range s.o.Store.Find(ctx, q) {
		if err != nil {
			return nil, fault(err)
		}
		id := row.Delivery.ID
		trying := s.o.Queue.Trying(id)
		if o.Filter.State == "trying" && !trying {
			continue
		}
		sch := s.o.Schedule(row.Delivery)
		done := Done{Was: view(row, sch, trying, now).Fate}
		if o.DryRun {
			row.Delivery, _ = custody.Step(row.Delivery, sch, e)
		} else if err := s.o.Queue.Order(ctx, id, named(row.Delivery, o.Filter.To), e); errors.Is(err, queue.ErrGone) {
			continue
		} else if err != nil {
			done.Fault = err.Error()
		} else if it, err := s.o.Store.Item(ctx, id); err == nil {
			row.Item = it
		} else {
			row.Delivery, _ = custody.Step(row.Delivery, sch, e)
		}
		done.Delivery = view(row, sch, false, now)
		out.Body = append(out.Body, done)
	}
	return out, nil
}

// named returns the recipients that a filter names one by one; nil: all.
func named(d custody.Delivery, to string) []int {
	if to == "" || strings.HasPrefix(to, "@") {
		return nil
	}
	var is []int
	for i, r := range d.Rcpts {
		if strings.EqualFold(r.Address.String(), to) {
			is = append(is, i)
		}
	}
	return is
}

// submit takes a message by the socket: the envelope in the query (from, to once
// for each recipient, and the parameters of RFC 3461), the message as body.
func (s *server) submit(w http.ResponseWriter, r *http.Request) {
	env, err := Envelope(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	m, err := s.o.Submit(r.Context(), env, mail.Clean(r.URL.Query().Get("user"), 100), r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{"message": m.ID.String()})
}

// Envelope reads the envelope of a submission: from, to once for each recipient,
// notify, ret and envid.
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

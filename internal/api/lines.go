package api

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

const (
	linesPage  = 200              // deliveries read before they are sent: they find room in a socket
	linesWrite = 10 * time.Minute // a reader may stand still for so long: it may be a person
	asLines    = "application/x-ndjson"
)

type linesInput struct{ Filter }

func (s *server) linesRoute(a huma.API) {
	data := a.OpenAPI().Components.Schemas.Schema(typeOf[Delivery](), true, "Delivery")
	huma.Register(a, huma.Operation{
		OperationID: "queue-lines", Method: "GET", Path: "/api/v1/queue/lines", Summary: "All deliveries that wait, one a line",
		Description: "What a line holds is what the queue holds of a delivery. The list is cut off, not ended, where it cannot be read any further.",
		Responses:   map[string]*huma.Response{"200": {Description: "One JSON object a line", Content: map[string]*huma.MediaType{asLines: {Schema: data}}}},
		Errors:      []int{http.StatusUnprocessableEntity},
	}, s.lines)
}

// lines sends what a filter finds while it is being read.
func (s *server) lines(ctx context.Context, in *linesInput) (*huma.StreamResponse, error) {
	now := time.Now()
	q, err := in.Query(now)
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	q.Limit = linesPage
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		_, w := humago.Unwrap(hc)
		w.Header().Set("Content-Type", asLines)
		control := http.NewResponseController(w)
		defer func() { _ = control.SetWriteDeadline(time.Time{}) }()
		var page bytes.Buffer
		// What is no UTF-8 is shown as U+FFFD, and U+2028, which ends a line for some programs, by its number.
		line := jsontext.NewEncoder(&page, jsontext.AllowInvalidUTF8(true), jsontext.EscapeForJS(true))
		for more := true; more; {
			q.After, more, err = s.find(ctx, q, in.State, now, func(d Delivery) error { return jsonv2.MarshalEncode(line, &d) })
			if late := control.SetWriteDeadline(time.Now().Add(linesWrite)); !errors.Is(late, http.ErrNotSupported) {
				err = errors.Join(err, late)
			}
			if err == nil {
				_, err = page.WriteTo(w)
			}
			if err != nil {
				panic(http.ErrAbortHandler) // so that nobody takes it for all
			}
		}
	}}, nil
}

// find shows what a query finds, as far as its limit. It returns where it ended, and
// whether there may be more.
func (s *server) find(ctx context.Context, q spool.Query, state string, now time.Time, show func(Delivery) error) (last custody.DeliveryID, more bool, err error) {
	n := 0
	for row, err := range s.o.Store.Find(ctx, q) {
		if err != nil {
			return last, false, err
		}
		n++
		last = row.Delivery.ID
		d := s.show(row, now)
		if state == "trying" && d.State != state {
			continue
		}
		if err := show(d); err != nil {
			return last, false, err
		}
	}
	return last, n == q.Limit, nil
}

package api

import (
	"context"
	"encoding/json"
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
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
)

const (
	eventsBeat  = 15 * time.Second // so often something is sent, though nothing happens
	eventsWrite = 10 * time.Second // a reader that takes nothing for so long is cut off
	eventsAgain = 3 * time.Second  // a client that is cut off comes back after that
)

type eventsInput struct {
	Message     string   `query:"message" doc:"message or delivery id"`
	Domain      string   `query:"domain" doc:"domain of the recipients"`
	Kind        []string `query:"kind" doc:"kinds of events, with commas between them; none: all"`
	LastEventID string   `header:"Last-Event-ID" doc:"where to go on: the id that came last"`
}

// filter reads the query.
func (in *eventsInput) filter() (f watch.Filter, err error) {
	if f.Domain = in.Domain; in.Domain != "" {
		if f.Domain, err = mail.CanonicalDomain(in.Domain); err != nil {
			return f, fmt.Errorf("domain: %w", err)
		}
	}
	if in.Message != "" {
		if f.Message, err = custody.ParseID(in.Message); err != nil {
			if f.Delivery, err = custody.ParseDeliveryID(in.Message); err != nil {
				return f, fmt.Errorf("message: %q is no message or delivery id", in.Message)
			}
		}
	}
	for _, k := range in.Kind {
		if !slices.Contains(watch.Kinds(), k) {
			return f, fmt.Errorf("kind: %q is none; there are %s", k, strings.Join(watch.Kinds(), ", "))
		}
	}
	f.Kinds = in.Kind
	return f, nil
}

// eventRoutes serves what happens, and how those are who are told of it.
func (s *server) eventRoutes(a huma.API) {
	if s.o.Events != nil {
		data := a.OpenAPI().Components.Schemas.Schema(typeOf[watch.Happening](), true, "Happening")
		huma.Register(a, huma.Operation{
			OperationID: "events", Method: "GET", Path: "/api/v1/events", Summary: "What happens to mail, as it happens",
			Description: "Server-sent events. Each bears as data one object; its kind stands in it. Of those that one step brought the last bears an id, " +
				"which a client sends as Last-Event-ID to go on where it was. An event named gap says that some may be missing since then, " +
				"cut that the client was too slow, end that its token is no longer good; all three say why. A comment comes every 15 seconds.",
			Responses: map[string]*huma.Response{"200": {Description: "A stream without end", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: data}}}},
			Errors:    []int{http.StatusUnprocessableEntity, http.StatusServiceUnavailable},
		}, s.events)
	}
	if s.o.Hooks != nil {
		huma.Register(a, huma.Operation{OperationID: "webhooks", Method: "GET", Path: "/api/v1/webhooks", Summary: "How the webhooks are: what waits, what was told, what is lost"}, s.webhooks)
	}
}

func (s *server) events(ctx context.Context, in *eventsInput) (*huma.StreamResponse, error) {
	f, err := in.filter()
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	l, gap, err := s.o.Events.Listen(in.LastEventID, f)
	if errors.Is(err, watch.ErrCrowded) {
		return nil, huma.Error503ServiceUnavailable(err.Error())
	} else if err != nil {
		return nil, fault(err)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer l.Close()
		_, w := humago.Unwrap(hc)
		out := &stream{w: w, control: http.NewResponseController(w)}
		defer func() { _ = out.control.SetWriteDeadline(time.Time{}) }()
		out.run(ctx, l, gap)
	}}, nil
}

// stream is what is written to one listener.
type stream struct {
	w       io.Writer
	control *http.ResponseController
	buf     []byte
}

// run tells a listener what happens until it goes away, is too slow, or may no
// longer listen.
func (o *stream) run(ctx context.Context, l *watch.Listener, gap bool) {
	if w, ok := o.w.(http.ResponseWriter); ok {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Accel-Buffering", "no") // else nginx keeps it back
	}
	o.buf = fmt.Appendf(o.buf, "retry: %d\n\n", eventsAgain.Milliseconds())
	if gap {
		o.say("gap", map[string]any{"why": "what happened since then is no longer kept"})
	}
	place := "" // reached, and not told yet
	for caller := CallerOf(ctx); o.flush() == nil; {
		beat, cancel := context.WithTimeout(ctx, eventsBeat)
		all, id, err := l.Next(beat)
		cancel()
		var slow watch.Slow
		switch {
		case errors.As(err, &slow):
			o.say("cut", map[string]any{"why": "read faster: what happened meanwhile is no longer kept", "missed": slow.Missed})
			_ = o.flush() // it is over in any case
			return
		case ctx.Err() != nil:
			return
		case !caller.stays():
			o.say("end", map[string]any{"why": "the token or the session is no longer good"})
			_ = o.flush()
			return
		case err != nil: // nothing happened
			if o.buf = append(o.buf, ":\n"...); place != "" {
				o.buf = fmt.Appendf(o.buf, "id: %s\n", place)
				place = ""
			}
			o.buf = append(o.buf, '\n')
		case len(all) == 0:
			place = id
		default:
			place = id
			for _, h := range all {
				o.happened(h)
				if h.ID == id {
					place = ""
				}
			}
		}
	}
}

// happened adds one event.
func (o *stream) happened(h watch.Happening) {
	b, err := json.Marshal(h)
	if err != nil { // it is of plain values
		return
	}
	if h.ID != "" {
		o.buf = fmt.Appendf(o.buf, "id: %s\n", h.ID)
	}
	o.buf = fmt.Appendf(o.buf, "data: %s\n\n", b)
}

// say adds an event that is about the stream.
func (o *stream) say(name string, data map[string]any) {
	b, err := json.Marshal(data)
	if err != nil {
		return
	}
	o.buf = fmt.Appendf(o.buf, "event: %s\ndata: %s\n\n", name, b)
}

// flush sends what was added. An error means that the listener takes nothing more.
func (o *stream) flush() error {
	if len(o.buf) == 0 {
		return nil
	}
	if err := o.control.SetWriteDeadline(time.Now().Add(eventsWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	_, err := o.w.Write(o.buf)
	if o.buf = o.buf[:0]; err != nil {
		return err
	}
	return o.control.Flush()
}

type webhooksOutput struct{ Body []watch.HookState }

func (s *server) webhooks(context.Context, *struct{}) (*webhooksOutput, error) {
	return &webhooksOutput{s.o.Hooks()}, nil
}

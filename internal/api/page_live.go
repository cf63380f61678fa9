package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/postrider/postrider/internal/watch"
)

// liveEvery is how often a page is told at most that something happened: it then
// reads itself anew.
const liveEvery = 1500 * time.Millisecond

// Live tells a page, as a server-sent event "mail", that something happened which a
// filter takes: never more often than a person can look.
func (d *Desk) Live(w http.ResponseWriter, r *http.Request, f watch.Filter) {
	if d.s.o.Events == nil {
		http.NotFound(w, r)
		return
	}
	l, _, err := d.s.o.Events.Listen("", f)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer l.Close()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // else nginx keeps it back
	out := &stream{w: w, control: http.NewResponseController(w)}
	defer func() { _ = out.control.SetWriteDeadline(time.Time{}) }()
	caller := CallerOf(r.Context())
	out.say("mail", map[string]any{}) // what happened since the page was made
	for out.flush() == nil && caller.stays() {
		beat, cancel := context.WithTimeout(r.Context(), eventsBeat)
		all, _, err := l.Next(beat)
		cancel()
		switch {
		case r.Context().Err() != nil, errors.As(err, new(watch.Slow)): // the page comes back
			return
		case err != nil:
			out.buf = append(out.buf, ":\n\n"...)
		}
		for happened := len(all) > 0; happened; happened = drained(l) {
			out.say("mail", map[string]any{})
			if out.flush() != nil {
				return
			}
			rest(r.Context(), liveEvery)
		}
	}
}

// drained takes all that happened meanwhile, and reports whether anything did.
func drained(l *watch.Listener) (some bool) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		all, _, err := l.Next(now)
		if err != nil {
			return some || errors.As(err, new(watch.Slow))
		}
		some = some || len(all) > 0
	}
}

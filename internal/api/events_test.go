package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
)

// happen makes n messages come in for a domain.
func happen(f *watch.Feed, n int, domain string) (last custody.Message) {
	for i := range n {
		at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
		last = custody.Message{ID: custody.NewID(at, 0, uint64(i+1)), Accepted: at, Envelope: mail.Envelope{From: mail.Address{Local: "ann", Domain: "author.test"}}}
		to := []mail.Recipient{{Address: mail.Address{Local: "bob", Domain: domain}}}
		f.Accepted(last, []custody.Delivery{custody.NewDelivery(last, 1, domain, to)})
	}
	return last
}

// listener reads a stream of events over a pipe, in virtual time.
type eventReader struct {
	*bufio.Reader
	t     *testing.T
	close func()
}

// blockWriter is a ResponseWriter whose other end may be slow.
type blockWriter struct {
	io.Writer
	header   http.Header
	deadline time.Time
}

func (b *blockWriter) Header() http.Header                { return b.header }
func (b *blockWriter) WriteHeader(int)                    {}
func (b *blockWriter) Flush()                             {}
func (b *blockWriter) SetWriteDeadline(t time.Time) error { b.deadline = t; return nil }

func (b *blockWriter) Write(p []byte) (int, error) {
	if !b.deadline.IsZero() {
		b.Writer.(net.Conn).SetWriteDeadline(b.deadline)
	}
	return b.Writer.Write(p)
}

// listen asks for events.
func listen(t *testing.T, h http.Handler, query string, headers ...string) *eventReader {
	ctx, cancel := context.WithCancel(t.Context())
	near, far := net.Pipe()
	r := httptest.NewRequest("GET", "/api/v1/events"+query, nil).WithContext(ctx)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	done := make(chan bool)
	go func() {
		h.ServeHTTP(&blockWriter{Writer: far, header: http.Header{}}, r)
		far.Close()
		close(done)
	}()
	return &eventReader{bufio.NewReader(near), t, func() { cancel(); near.Close(); <-done }}
}

// next returns the next block of the stream, without its empty line; "" at its end.
func (e *eventReader) next() string {
	var b strings.Builder
	for {
		line, err := e.ReadString('\n')
		if err != nil || line == "\n" {
			return b.String()
		}
		b.WriteString(line)
	}
}

func feedHandler() (http.Handler, *watch.Feed) {
	f := watch.NewFeed()
	return New(Options{Events: f}, false), f
}

func TestEventsComeAsTheyHappen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, f := feedHandler()
		e := listen(t, h, "?domain=THERE.test&kind=accepted,bounced")
		if got := e.next(); got != "retry: 3000\n" {
			t.Errorf("it begins with %q", got)
		}
		happen(f, 1, "else.test")
		m := happen(f, 1, "there.test")
		got := e.next()
		id, data, _ := strings.Cut(strings.TrimPrefix(got, "id: "), "\ndata: ")
		var v map[string]any
		if err := json.Unmarshal([]byte(data), &v); err != nil || v["kind"] != "accepted" || v["domain"] != "there.test" || v["message"] != m.ID.String() || v["id"] != nil {
			t.Errorf("it says %q: %v", got, err)
		}
		happen(f, 1, "else.test")
		if got := e.next(); !strings.HasPrefix(got, ":\nid: ") || got == ":\nid: "+id+"\n" {
			t.Errorf("then %q, and not the place that was reached", got)
		}
		if got := e.next(); got != ":\n" {
			t.Errorf("then %q", got)
		}
		e.close()

		happen(f, 2, "there.test") // while it is away
		e = listen(t, h, "?domain=there.test", "Last-Event-ID: "+id)
		e.next()
		for range 2 {
			if got := e.next(); !strings.Contains(got, `"kind":"accepted"`) {
				t.Errorf("it missed something: %q", got)
			}
		}
		e.close()
		e = listen(t, h, "", "Last-Event-ID: xyz-1")
		e.next()
		if got := e.next(); !strings.HasPrefix(got, "event: gap\ndata: {") {
			t.Errorf("from a place that never was: %q", got)
		}
		e.close()
		time.Sleep(time.Hour)
	})
}

func TestASlowReaderIsCutOffAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, f := feedHandler()
		e := listen(t, h, "")
		synctest.Wait()             // it writes its first line, and nobody reads
		happen(f, 5000, "a.test")   // more than is kept
		time.Sleep(2 * time.Second) // not so long that its connection is given up
		e.next()
		last := ""
		for got := e.next(); got != ""; got = e.next() {
			last = got
		}
		if !strings.HasPrefix(last, "event: cut\n") || !strings.Contains(last, `"missed":904`) {
			t.Errorf("the last word is %q", last)
		}
		e.close()

		e = listen(t, h, "")
		time.Sleep(eventsWrite + time.Second) // it takes nothing at all
		if got := e.next(); got != "" {
			t.Errorf("one that takes nothing still gets %q", got)
		}
		e.close()
		time.Sleep(time.Hour)
	})
}

func TestAStreamEndsWithItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccess(t, new(bytes.Buffer))
		h := New(Options{Events: watch.NewFeed(), Access: a}, false)
		e := listen(t, h, "", asView)
		e.next()
		if got := e.next(); got != ":\n" {
			t.Errorf("first %q", got)
		}
		a.Use([]Token{{Name: "monitor", Role: View, Secret: "another" + viewSecret}})
		if got := e.next(); !strings.HasPrefix(got, "event: end\n") {
			t.Errorf("then %q", got)
		}
		if got := e.next(); got != "" {
			t.Errorf("and after the end %q", got)
		}
		e.close()
		time.Sleep(time.Hour)
	})
}

func TestQuestionsForEventsThatMakeNoSense(t *testing.T) {
	h, f := feedHandler()
	for _, query := range []string{"?message=x", "?domain=a..b", "?kind=bounced,dance", "?kind=" + strings.Repeat("x,", 1000)} {
		if rec := ask(h, "GET", "/api/v1/events"+query, ""); rec.Code != 422 {
			t.Errorf("%s: %d %s", query[:10], rec.Code, rec.Body)
		}
	}
	for range 64 {
		l, _, err := f.Listen("", watch.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	if rec := ask(h, "GET", "/api/v1/events", ""); rec.Code != 503 {
		t.Errorf("one too many: %d %s", rec.Code, rec.Body)
	}
}

// Over a real connection the head comes at once, and leaving ends the listening.
func TestEventsOverTheWire(t *testing.T) {
	h, f := feedHandler()
	s := httptest.NewUnstartedServer(h)
	s.Config.ReadTimeout, s.Config.WriteTimeout = 100*time.Millisecond, 100*time.Millisecond // for one request, and this one has no end
	s.Start()
	defer s.Close()
	res, err := http.Get(s.URL + "/api/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" || res.StatusCode != 200 {
		t.Errorf("%s: %s", res.Status, got)
	}
	time.Sleep(300 * time.Millisecond)
	happen(f, 1, "there.test")
	e := &eventReader{Reader: bufio.NewReader(res.Body), t: t}
	e.next()
	if got := e.next(); !strings.Contains(got, "there.test") {
		t.Errorf("it says %q", got)
	}
	res.Body.Close()
	for end := time.Now().Add(5 * time.Second); ; {
		var all []*watch.Listener
		for {
			l, _, err := f.Listen("", watch.Filter{})
			if err != nil {
				break
			}
			all = append(all, l)
		}
		for _, l := range all {
			l.Close()
		}
		if len(all) == 64 {
			break
		}
		if time.Now().After(end) {
			t.Fatal(fmt.Sprint("it still listens: room for ", len(all)))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

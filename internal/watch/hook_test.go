package watch

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/custody"
)

const hookSecret = "0123456789abcdef-secret"

// receiver is the other end of a webhook: what it got, and what it answers.
type receiver struct {
	mu      sync.Mutex
	answers []int // the next ones; then 200
	header  http.Header
	reach   error // not nil: it cannot be reached
	at      []time.Time
	got     []*http.Request
	bodies  [][]byte
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at = append(r.at, time.Now()); r.reach != nil {
		return nil, r.reach
	}
	r.got, r.bodies = append(r.got, req), append(r.bodies, b)
	status := 200
	if len(r.answers) > 0 {
		status, r.answers = r.answers[0], r.answers[1:]
	}
	return &http.Response{StatusCode: status, Header: r.header, Body: io.NopCloser(strings.NewReader("so"))}, nil
}

// batch returns what came with a request.
func (r *receiver) batch(t *testing.T, i int) (b Batch, kinds []string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if i >= len(r.bodies) {
		t.Fatalf("%d requests came", len(r.bodies))
	}
	if err := json.Unmarshal(r.bodies[i], &b); err != nil {
		t.Fatal(err)
	}
	for _, e := range b.Events {
		var h Happening
		if err := json.Unmarshal(e, &h); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, h.Kind)
	}
	return b, kinds
}

// hooked runs a test in virtual time with one webhook whose other end is r.
func hooked(t *testing.T, r *receiver, kinds []string, test func(t *testing.T, h *Hooks, log *bytes.Buffer)) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := NewHooks(slog.New(slog.NewTextHandler(&log, nil)))
		h.client.Transport = r
		h.Use([]HookOptions{{Rule: "test.toml:1 webhook", URL: "https://hook.test/secret-path", Kinds: kinds, Key: []byte(hookSecret)}})
		test(t, h, &log)
		h.Close(t.Context())
		if strings.Contains(log.String(), "secret") {
			t.Errorf("the log tells a secret:\n%s", &log)
		}
	})
}

func TestAWebhookIsToldOfItsEventsSigned(t *testing.T) {
	r := &receiver{}
	hooked(t, r, []string{Bounced, Accepted}, func(t *testing.T, h *Hooks, _ *bytes.Buffer) {
		l := newLetter(t, 1, "bob@there.test")
		h.Accepted(l.m, []custody.Delivery{l.d})
		synctest.Wait()
		h.Stepped(l.tried(450))
		h.Stepped(l.tried(550))
		synctest.Wait()
		for i, want := range []string{Accepted, Bounced} {
			b, kinds := r.batch(t, i)
			if !slices.Equal(kinds, []string{want}) || b.Lost != 0 {
				t.Errorf("batch %d holds %v and lost %d", i, kinds, b.Lost)
			}
			head := r.got[i].Header
			mac := hmac.New(sha256.New, []byte(hookSecret))
			io.WriteString(mac, b.ID+"."+head.Get("Webhook-Timestamp")+"."+string(r.bodies[i]))
			if sign := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); head.Get("Webhook-Signature") != sign || head.Get("Webhook-Id") != b.ID {
				t.Errorf("signed %v, want %s", head, sign)
			}
		}
		if s := h.States()[0]; s.Told != 2 || s.Waiting != 0 || s.Lost != 0 || s.Host != "hook.test" || s.Fault != "" {
			t.Errorf("%+v", s)
		}
	})
}

func TestAWebhookIsToldAgainUntilItTakesTheBatch(t *testing.T) {
	r := &receiver{answers: []int{500, 302, 404, 503}, header: http.Header{"Location": {"https://elsewhere.test/"}}}
	hooked(t, r, []string{Bounced}, func(t *testing.T, h *Hooks, log *bytes.Buffer) {
		l := newLetter(t, 1, "bob@there.test")
		h.Stepped(l.tried(550))
		synctest.Wait()
		if s := h.States()[0]; s.Waiting != 1 || s.Fault == "" || s.Failing.IsZero() {
			t.Errorf("while it fails: %+v", s)
		}
		for range 3 { // mail goes on meanwhile
			h.Stepped(l.tried(550))
		}
		time.Sleep(20 * time.Second)
		first, _ := r.batch(t, 0)
		for i := range 5 {
			if b, kinds := r.batch(t, i); b.ID != first.ID || len(kinds) != 1 {
				t.Errorf("request %d is %s with %v", i, b.ID, kinds)
			}
			if i > 0 {
				least, most := hookFirst<<(i-1)*3/4, hookFirst<<(i-1)
				r.mu.Lock()
				gap := r.at[i].Sub(r.at[i-1])
				r.mu.Unlock()
				if gap < least || gap > most {
					t.Errorf("request %d came after %s, want %s to %s", i, gap, least, most)
				}
			}
		}
		if _, kinds := r.batch(t, 5); len(kinds) != 3 {
			t.Errorf("what came meanwhile: %v", kinds)
		}
		if s := h.States()[0]; s.Told != 4 || s.Lost != 0 || !s.Failing.IsZero() {
			t.Errorf("%+v", s)
		}
		if got := log.String(); strings.Count(got, "takes nothing") != 1 || strings.Count(got, "works again") != 1 {
			t.Errorf("the log:\n%s", got)
		}
	})
}

func TestAReceiverMayAskForAPause(t *testing.T) {
	r := &receiver{answers: []int{429}, header: http.Header{"Retry-After": {"600"}}}
	hooked(t, r, []string{Bounced}, func(t *testing.T, h *Hooks, _ *bytes.Buffer) {
		h.Stepped(newLetter(t, 1, "bob@there.test").tried(550))
		time.Sleep(time.Hour)
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.at) != 2 || r.at[1].Sub(r.at[0]) != 10*time.Minute {
			t.Errorf("asked at %v", r.at)
		}
	})
}

func TestWhatAWebhookIsNeverToldIsCountedAndSaid(t *testing.T) {
	away := errors.New("connection refused")
	for _, c := range []struct {
		name string
		r    *receiver
		n    int
		lost uint64
	}{
		{"refused", &receiver{answers: []int{422}}, 1, 1},
		{"more than is kept", &receiver{reach: away}, hookEvents + 51, 50}, // one is on its way
		{"a day is over", &receiver{reach: away}, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			hooked(t, c.r, []string{Bounced}, func(t *testing.T, h *Hooks, log *bytes.Buffer) {
				l := newLetter(t, 1, "bob@there.test")
				h.Stepped(l.tried(550))
				synctest.Wait()
				for range c.n - 1 {
					h.Stepped(l.tried(550))
				}
				if c.n == 1 {
					time.Sleep(hookPatience + hookLongest)
				}
				if s := h.States()[0]; s.Lost != c.lost || s.Told != 0 || s.Waiting != c.n-int(c.lost) {
					t.Errorf("%+v", s)
				}
				if !strings.Contains(log.String(), "loses events") {
					t.Errorf("the log:\n%s", log)
				}
				c.r.mu.Lock()
				c.r.reach, c.r.bodies = nil, nil
				c.r.mu.Unlock()
				h.Stepped(l.tried(550))
				time.Sleep(time.Hour)
				said, told := uint64(0), 0
				c.r.mu.Lock()
				defer c.r.mu.Unlock()
				for _, body := range c.r.bodies {
					var b Batch
					if err := json.Unmarshal(body, &b); err != nil || len(b.Events) > batchEvents {
						t.Errorf("a batch of %d: %v", len(b.Events), err)
					}
					said, told = said+b.Lost, told+len(b.Events)
				}
				// The event that came last pushes out another where more waits than is kept.
				if s := h.States()[0]; said != s.Lost || told != int(s.Told) || int(s.Lost)+told != c.n+1 || s.Waiting != 0 {
					t.Errorf("it was told %d and that %d are lost: %+v", told, said, s)
				}
			})
		})
	}
}

func TestTheEndOfAWebhook(t *testing.T) {
	t.Run("what waits is told", func(t *testing.T) {
		r := &receiver{answers: []int{500}}
		hooked(t, r, []string{Bounced}, func(t *testing.T, h *Hooks, log *bytes.Buffer) {
			h.Stepped(newLetter(t, 1, "bob@there.test").tried(550))
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			h.Close(ctx)
			if s := h.States()[0]; s.Told != 1 || strings.Contains(log.String(), "lost") {
				t.Errorf("%+v\n%s", s, log)
			}
		})
	})
	t.Run("or is said to be lost", func(t *testing.T) {
		r := &receiver{reach: errors.New("away")}
		hooked(t, r, []string{Bounced}, func(t *testing.T, h *Hooks, log *bytes.Buffer) {
			l := newLetter(t, 1, "bob@there.test")
			h.Stepped(l.tried(550))
			h.Stepped(l.tried(550))
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			began := time.Now()
			h.Close(ctx)
			if time.Since(began) > 3*time.Second {
				t.Errorf("it took %s", time.Since(began))
			}
			h.Stepped(l.tried(550))
			if s := h.States()[0]; s.Lost != 3 || !strings.Contains(log.String(), "events=2 because=\"postrider stops\"") {
				t.Errorf("%+v\n%s", s, log)
			}
		})
	})
	t.Run("other options, the same URL", func(t *testing.T) {
		r := &receiver{answers: []int{401}}
		hooked(t, r, []string{Bounced}, func(t *testing.T, h *Hooks, log *bytes.Buffer) {
			h.Stepped(newLetter(t, 1, "bob@there.test").tried(550))
			synctest.Wait()
			h.Use([]HookOptions{
				{Rule: "test.toml:9 webhook", URL: "https://other.test/", Kinds: []string{Expired}, Key: []byte(hookSecret)},
				{Rule: "test.toml:1 webhook", URL: "https://hook.test/secret-path", Kinds: []string{Expired}, Key: []byte("another" + hookSecret)},
			})
			synctest.Wait() // it does not wait for its next turn
			if s := h.States(); len(s) != 2 || s[1].Told != 1 || s[1].Events[0] != Expired {
				t.Errorf("%+v", s)
			}
			h.Use(nil)
			if len(h.States()) != 0 {
				t.Error("it is still there")
			}
		})
	})
}

// A request goes to the configured address and nowhere else.
func TestAWebhookFollowsNobody(t *testing.T) {
	asked := make(chan string, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		if r.URL.Path == "/hook" {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}
	}))
	defer s.Close()
	h := NewHooks(slog.New(slog.DiscardHandler))
	h.Use([]HookOptions{{URL: s.URL + "/hook", Kinds: []string{Bounced}, Key: []byte(hookSecret)}})
	h.Stepped(newLetter(t, 1, "bob@there.test").tried(550))
	if got := <-asked; got != "/hook" {
		t.Errorf("asked for %s", got)
	}
	for len(h.States()) > 0 && h.States()[0].Fault == "" {
		time.Sleep(time.Millisecond)
	}
	if got := h.States()[0].Fault; !strings.Contains(got, "307") {
		t.Errorf("the fault is %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.Close(ctx)
	if len(asked) > 0 {
		t.Errorf("then asked for %s", <-asked)
	}
}

func TestSecretsOfWebhooks(t *testing.T) {
	for _, c := range []struct{ secret, want string }{
		{"0123456789abcdef\n", "0123456789abcdef"},
		{"whsec_MDEyMzQ1Njc4OWFiY2RlZg==", "0123456789abcdef"},
		{"whsec_not base64 at all", ""},
		{"whsec_c2hvcnQ=", ""},
		{"x-marks", ""},
		{"", ""},
	} {
		got, err := ParseSecret(c.secret)
		if string(got) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q: %q %v", c.secret, got, err)
		}
		if err != nil && c.secret != "" && strings.Contains(err.Error(), c.secret) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	// The example of the specification (standardwebhooks.com).
	key, err := ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	if got := Signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`)); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("the signature is %s", got)
	}
}

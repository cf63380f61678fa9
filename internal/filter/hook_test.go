package filter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/internal/memnet"
	"github.com/postrider/postrider/mail"
)

// hooked lets serve answer at an address in memory and returns a hook that asks it.
func hooked(t *testing.T, serve http.HandlerFunc, change func(*HookOptions)) *Hook {
	t.Helper()
	n := memnet.New()
	l, err := n.Listen("192.0.2.9:80")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: serve}
	go s.Serve(l)
	o := HookOptions{Name: "fake", URL: "http://192.0.2.9/policy?key=hidden", Dial: n.DialContext}
	if change != nil {
		change(&o)
	}
	h, err := NewHook(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.Close()
		s.Close()
	})
	return h
}

func says(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, answer)
	}
}

func TestEveryAnswerOfAHookIsUnderstood(t *testing.T) {
	for answer, want := range map[string]Opinion{
		`{"action":"pass"}`:   {},
		`{"action":"accept"}`: {Action: Accept},
		`{"action":"accept","code":0,"status":"","text":"","headers":null}` + "\n": {Action: Accept},
		`{"action":"defer"}`:                              {Action: Defer, Reply: tempfail},
		`{"action":"refuse"}`:                             {Action: Refuse, Reply: rejected},
		`{"action":"refuse","code":554,"text":"no\nway"}`: {Action: Refuse, Reply: mail.Reply{Code: 554, Status: mail.Status{5, 7, 1}, Text: "no?way"}},
		`{"action":"defer","code":450,"status":"4.7.25","text":"later"}`: {Action: Defer,
			Reply: mail.Reply{Code: 450, Status: mail.Status{4, 7, 25}, Text: "later"}},
		`{"action":"pass","headers":[{"name":"X-A","value":"a\r\n b"},{"name":"X-B","value":"b"}]}`: {Changes: []Change{
			{Kind: InsertHeader, Index: 0, Name: "X-A", Value: " a\r\n b"}, {Kind: InsertHeader, Index: 1, Name: "X-B", Value: " b"}}},
	} {
		op, err := hooked(t, says(answer), nil).Ask(t.Context(), letter(""))
		if err != nil {
			t.Errorf("%s: %v", answer, err)
		} else if d := cmp.Diff(want, op); d != "" {
			t.Errorf("%s: %s", answer, d)
		}
	}
}

func TestHeadersOfAHookAreOnTop(t *testing.T) {
	op, err := hooked(t, says(`{"action":"pass","headers":[{"name":"X-A","value":"a"},{"name":"X-B","value":"b"}]}`), nil).Ask(t.Context(), letter(""))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Apply([]byte("Received: us\r\n"), []byte("X-A: forged\r\n"), op.Changes)
	if want := "X-A: a\r\nX-B: b\r\nReceived: us\r\nX-A: forged\r\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
}

func TestNonsenseOfAHookIsAFault(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/policy")
			w.WriteHeader(code)
			io.WriteString(w, `{"action":"refuse"}`)
		}
	}
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		words string
	}{
		"nothing":              {says(""), "EOF"},
		"cut":                  {says(`{"action":"refuse"`), "unexpected EOF"},
		"no JSON":              {says("<html>"), "invalid character"},
		"no object":            {says(`"refuse"`), "cannot unmarshal"},
		"more behind it":       {says(`{"action":"refuse"} {}`), "more behind"},
		"no action":            {says(`{}`), `unknown action ""`},
		"an unknown action":    {says(`{"action":"kill\u001b"}`), `unknown action "kill?"`},
		"an unknown key":       {says(`{"action":"pass","actoin":"refuse"}`), "unknown field"},
		"a code of the other":  {says(`{"action":"refuse","code":450,"status":"4.7.1"}`), "refuse with code 450"},
		"a status of another":  {says(`{"action":"refuse","status":"4.7.1"}`), "reply 550 with status 4.7.1"},
		"a code that says yes": {says(`{"action":"defer","code":250}`), "reply 250 neither"},
		"no status":            {says(`{"action":"refuse","status":"5.x"}`), "not a status"},
		"yes with a code":      {says(`{"action":"accept","code":250}`), "accept with code 250"},
		"an injected header":   {says(`{"action":"pass","headers":[{"name":"X-A","value":"a\r\nBcc: b"}]}`), "line of its own"},
		"too much":             {says(`{"action":"pass","text":"` + strings.Repeat("a", maxHookAnswer) + `"}`), "more than 65536 octets"},
		"a fault of its own":   {status(500), "it answered 500"},
		"no content":           {status(204), "it answered 204"},
		"created":              {status(201), "it answered 201"},
		"a redirect":           {status(307), "it answered 307"},
		"a cut connection": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, `{"action":"refuse"}`)
		}, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			op, err := hooked(t, c.serve, nil).Ask(t.Context(), letter(""))
			isFault(t, err, "POST")
			if !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "hidden") || op.Action != Pass || op.Changes != nil {
				t.Errorf("%+v, %v", op, err)
			}
		})
	}
}

func TestWhatAHookIsTold(t *testing.T) {
	var told string
	h := hooked(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		told = fmt.Sprintf("%s %s %s %s\n%s", r.Method, r.URL, r.Header.Get("Content-Type"), r.Header.Get("Authorization"), b)
		io.WriteString(w, `{"action":"pass"}`)
	}, nil)
	const head = "POST /policy?key=hidden application/json \n"
	const start = `"id":"7K3M9Q","host":"mx1.example.com","listener":"smtp",` +
		`"client":{"address":"192.0.2.7","port":40000,"name":"client.example.net","ptr":"client.example.net"}`
	const tls = `,"tls":{"version":"TLSv1.3","cipher":"TLS_AES_128_GCM_SHA256"}`
	const proof = `,"proof":{"spf":"pass"}}`
	m := letter("Hello\r\n")
	m.From, m.Proof = mail.Address{}, map[string]string{"spf": "pass"}
	m.Header = mail.Header("Subject: in the\r\n park\r\n")
	for stage, want := range map[mail.Stage]string{
		mail.Connect: `{"stage":"connect",` + start + tls + proof,
		mail.Hello:   `{"stage":"hello",` + start + `,"helo":"client.example.net"` + tls + proof,
		mail.Mail:    `{"stage":"mail",` + start + `,"helo":"client.example.net"` + tls + `,"from":""` + proof,
		mail.Rcpt: `{"stage":"rcpt",` + start + `,"helo":"client.example.net"` + tls +
			`,"from":"","to":["bob@example.com","eve@example.com"]` + proof,
		mail.NoStage: `{"stage":"data",` + start + `,"helo":"client.example.net"` + tls +
			`,"from":"","to":["bob@example.com","eve@example.com"],"size":33,"header":[{"name":"Subject","value":"in the park"}]` + proof,
	} {
		m.Stage = stage
		if _, err := h.Ask(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(head+want, told); d != "" {
			t.Errorf("%v: %s", stage, d)
		}
	}

	m.Stage, m.Header = mail.NoStage, mail.Header(strings.Repeat("X-A: "+strings.Repeat("a", 993)+"\r\n", 200))
	if _, err := h.Ask(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var f struct {
		Header []any
		Cut    bool `json:"header_cut"`
	}
	_, body, _ := strings.Cut(told, "\n")
	if err := json.Unmarshal([]byte(body), &f); err != nil || len(f.Header) != 65 || !f.Cut {
		t.Errorf("%d fields, cut %v, %v", len(f.Header), f.Cut, err)
	}
}

func TestTheTokenIsSentAndNeverShown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	var got string
	h := hooked(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		io.WriteString(w, `{"action":"pass"}`)
	}, func(o *HookOptions) { o.TokenFile = file })
	for _, c := range []struct{ token, want string }{{"s3cret\n", "Bearer s3cret"}, {"n3w", "Bearer n3w"}} { // changed under way
		if err := os.WriteFile(file, []byte(c.token), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Ask(t.Context(), letter("")); err != nil || got != c.want {
			t.Errorf("sent %q, want %q, %v", got, c.want, err)
		}
	}
	for _, bad := range []string{"", "\n", "s3cret two", "s3cret\r\nX-A: b", "s3cret\x00", strings.Repeat("s3cret", 1000)} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := h.Ask(t.Context(), letter(""))
		isFault(t, err, "POST")
		if strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), file) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	os.Remove(file)
	if _, err := h.Ask(t.Context(), letter("")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: %v", err)
	}
}

func TestAHookIsNotFollowedElsewhere(t *testing.T) {
	var asked atomic.Int32
	h := hooked(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Redirect(w, r, "http://192.0.2.9/elsewhere", http.StatusPermanentRedirect)
	}, nil)
	if _, err := h.Ask(t.Context(), letter("")); err == nil || asked.Load() != 1 {
		t.Errorf("asked %d times, %v", asked.Load(), err)
	}
}

func TestAHookHasOnlyItsTime(t *testing.T) {
	for name, slow := range map[string]func(http.ResponseWriter, *http.Request){
		"silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"slow": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				io.WriteString(w, " ")
				w.(http.Flusher).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := hooked(t, func(w http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					slow(w, r)
				}, nil)
				began := time.Now()
				_, err := h.Ask(t.Context(), letter(""))
				isFault(t, err, "POST")
				if took := time.Since(began); took != 10*time.Second || !strings.Contains(err.Error(), "no answer within 10s") {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}

func TestHookConnectionsAreBoundedAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials, now, most atomic.Int32
		h := hooked(t, func(w http.ResponseWriter, r *http.Request) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			io.WriteString(w, `{"action":"pass"}`)
		}, func(o *HookOptions) {
			o.Connections = 2
			dial := o.Dial
			o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				dials.Add(1)
				return dial(ctx, network, addr)
			}
		})
		errs := make(chan error)
		for range 10 {
			go func() {
				_, err := h.Ask(t.Context(), letter(""))
				errs <- err
			}()
		}
		for range 10 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if dials.Load() != 2 || most.Load() != 2 {
			t.Errorf("%d connections, %d questions at a time", dials.Load(), most.Load())
		}
	})
}

func TestAddressesOfHooks(t *testing.T) {
	for u, ok := range map[string]bool{
		"http://127.0.0.1:9/x": true, "https://policy.example.com": true,
		"": false, "policy.example.com": false, "ftp://x/": false, "http:///x": false, "http://u:hidden@x/": false, "http://x/%zz?hidden": false,
	} {
		if _, err := NewHook(HookOptions{Name: "fake", URL: u}); (err == nil) != ok || err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("%q: %v", u, err)
		}
	}
}

// FuzzHookAnswer answers anything at all: what is obeyed can be carried out, and says
// nothing that is more than words.
func FuzzHookAnswer(f *testing.F) {
	for _, s := range []string{`{"action":"accept"}`, `{"action":"refuse","code":550,"status":"5.7.1","text":"no\r\n250 yes"}`,
		`{"action":"pass","headers":[{"name":"X-A","value":"a\n b"},{"name":"X\r\nB","value":"\u0000"}]}`, `{"action":"defer","code":250}`, `[]`, `{}{}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		op, err := hookOpinion(answer)
		if err != nil {
			if s := err.Error(); len(s) > 1000 && len(answer) < 1000 {
				t.Errorf("%q: %q", answer, s)
			}
			return
		}
		code := op.Reply.Code / 100
		if op.Action == Defer && code != 4 || op.Action == Refuse && code != 5 || op.Action != Defer && op.Action != Refuse && code != 0 {
			t.Errorf("%q: %+v", answer, op)
		}
		for _, c := range op.Changes {
			if err := c.check(); err != nil {
				t.Errorf("%q: %v", answer, err)
			}
		}
		if text := op.Reply.Text; strings.ContainsAny(text, "\r\x00") {
			t.Errorf("%q: %q", answer, text)
		}
	})
}

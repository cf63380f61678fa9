package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/postrider/postrider/chain"
	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/policy"
)

// tools is an API with tools whose configuration is a test's.
func tools() *Tools {
	story := chain.Scenario{Hops: []chain.Hop{{Name: "us", System: "postfix"}, {Name: "them"}}}
	return NewTools(ToolsOptions{
		Scenario: func(text []byte) (chain.Scenario, error) {
			switch string(text) {
			case "good":
				return story, nil
			case "no chain":
				return chain.Scenario{}, nil
			}
			return chain.Scenario{}, Mistakes{{Line: 3, Col: 7, Text: "there is no system \"postfx\"; did you mean \"postfix\"?"}, {Text: "no hop"}}
		},
		Schedules: func(text []byte) ([]custody.Schedule, error) {
			switch {
			case text == nil:
				return []custody.Schedule{{Name: "default", Retry: []custody.Pace{{Gap: time.Hour}}, Expire: time.Hour}}, nil
			case string(text) == "good":
				return []custody.Schedule{{Name: "mine", Retry: []custody.Pace{{Gap: time.Hour}}, Expire: 2 * time.Hour}}, nil
			}
			return nil, Mistakes{{Line: 1, Col: 1, Text: "unknown key"}}
		},
		Config: func() Configuration {
			return Configuration{
				File:     "/etc/postrider/postrider.toml",
				Settings: []Setting{{Key: "smtp.max_size", Value: "20MB", File: "/etc/postrider/postrider.toml", Line: 9}},
				Rules:    []policy.Rule{{Name: "partner", Place: "postrider.toml:66 rule partner", At: policy.Recipient, Then: policy.Accept}},
			}
		},
	})
}

const bounce = "550 5.1.1 <bob@there.test>: Recipient address rejected: User unknown"

func TestTheToolsAnswerAsTheCommandsDo(t *testing.T) {
	h := New(Options{Tools: tools()}, false)
	for _, c := range []struct {
		target, body string
		code         int
		kind         string
		want         []string
	}{
		{"/api/v1/explain", bounce, 200, "application/json", []string{`"recipients":[{`, `"status":"5.1.1"`, "bob@there.test"}},
		{"/api/v1/explain?language=de", bounce, 200, "application/json", []string{`"status":"5.1.1"`}},
		{"/api/v1/explain?language=xx", bounce, 422, "application/problem+json", []string{"no texts in language"}},
		{"/api/v1/explain?svg", bounce, 200, "image/svg+xml", []string{"<svg"}},
		{"/api/v1/explain?svg=false", bounce, 200, "application/json", []string{`"5.1.1"`}},
		{"/api/v1/explain", "From a\nSubject: x\n\n" + bounce + "\n\nFrom b@c.test Tue Nov 24 12:00:00 2026\nSubject: y\n\n" + bounce + "\n", 200, "application/x-ndjson", []string{"}\n{", `"line":6`}},
		{"/api/v1/explain", "\x00\xff<script>", 200, "application/json", []string{`"kind":"not-a-bounce"`}},
		{"/api/v1/explain", "", 400, "application/problem+json", []string{"body is required"}},
		{"/api/v1/explain", strings.Repeat("x", explainMost+1), 413, "application/problem+json", []string{"too large"}},
		{"/api/v1/simulate", "good", 200, "application/json", []string{`"events":[`, `"summary":`}},
		{"/api/v1/simulate?svg", "good", 200, "image/svg+xml", []string{"<svg"}},
		{"/api/v1/simulate", "bad", 422, "application/problem+json", []string{"2 mistakes", `"location":"body:3:7"`, "did you mean", `"location":"body"`}},
		{"/api/v1/simulate", "no chain", 422, "application/problem+json", []string{"a chain has 2 to"}},
		{"/api/v1/simulate", strings.Repeat("x", textMost+1), 413, "application/problem+json", []string{"too large"}},
		{"/api/v1/lint", "", 200, "application/json", []string{`"subject":"schedule default"`, `"severity":`}},
		{"/api/v1/lint", "good", 200, "application/json", []string{`"subject":"schedule mine"`}},
		{"/api/v1/lint", "bad", 422, "application/problem+json", []string{`"location":"body:1:1"`, "unknown key"}},
		{"/api/v1/lint?system=postfix", "", 200, "application/json", []string{`"subject":"`}},
		{"/api/v1/lint?system=postfx", "", 422, "application/problem+json", []string{`did you mean \"postfix\"?`}},
		{"/api/v1/lint?postfix", "maximal_queue_lifetime = 1h\nbounce_queue_lifetime = 5d\n", 200, "application/json", []string{`"subject":"main.cf"`}},
	} {
		rec := ask(h, "POST", c.target, c.body)
		got := rec.Body.String()
		if rec.Code != c.code || rec.Header().Get("Content-Type") != c.kind {
			t.Errorf("%s: %d %s, want %d %s\n%.300s", c.target, rec.Code, rec.Header().Get("Content-Type"), c.code, c.kind, got)
		}
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %s in\n%.600s", c.target, want, got)
			}
		}
		if csp := rec.Header().Values("Content-Security-Policy"); len(csp) != 1 || strings.Contains(csp[0], "unsafe") != (c.kind == "image/svg+xml") {
			t.Errorf("%s: %q", c.target, csp)
		}
	}
}

func TestTheConfigurationIsShown(t *testing.T) {
	rec := ask(New(Options{Tools: tools()}, false), "GET", "/api/v1/config", "")
	var got Configuration
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || len(got.Settings) != 1 || got.Settings[0].Line != 9 || got.Settings[0].Value != "20MB" ||
		len(got.Door) != 1 || got.Door[0].Rule != "partner" || got.Door[0].Then != policy.Accept {
		t.Errorf("%s: %v", rec.Body, err)
	}
}

// What brings its body slowly holds up neither mail nor, for long, other questions.
func TestQuestionsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{Tools: tools()}, false)
		ctx, cancel := context.WithCancel(t.Context())
		for range toolsAtOnce {
			go func() {
				r := httptest.NewRequest("POST", "/api/v1/explain", slow{ctx})
				h.ServeHTTP(httptest.NewRecorder(), r)
			}()
		}
		synctest.Wait()
		began := time.Now()
		rec := ask(h, "POST", "/api/v1/lint", "good")
		if rec.Code != 503 || time.Since(began) != toolsWait {
			t.Errorf("after %s: %d %s", time.Since(began), rec.Code, rec.Body)
		}
		if rec := ask(h, "GET", "/api/v1/config", ""); rec.Code != 200 {
			t.Errorf("what needs no turn: %d", rec.Code)
		}
		cancel()
		synctest.Wait()
		if rec := ask(h, "POST", "/api/v1/lint", "good"); rec.Code != 200 {
			t.Errorf("then: %d %s", rec.Code, rec.Body)
		}
	})
}

func TestAFaultInAQuestionEndsThatAlone(t *testing.T) {
	k, log := tools(), &strings.Builder{}
	k.o.Log = slog.New(slog.NewTextHandler(log, nil))
	for range 2 * toolsAtOnce { // it gives its turn back
		_, err := work(t.Context(), k, func() (int, error) { panic("a fault in a question") })
		var status huma.StatusError
		if !errors.As(err, &status) || status.GetStatus() != 500 || strings.Contains(err.Error(), "in a question") {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "a fault in a question"); n != 2*toolsAtOnce || !strings.Contains(log.String(), "tools_test.go") {
		t.Errorf("%d faults are logged, or not where: %.1000s", n, log)
	}
	if n, err := work(t.Context(), k, func() (int, error) { return 7, nil }); n != 7 || err != nil {
		t.Errorf("then: %d, %v", n, err)
	}
}

// slow is a body that does not come.
type slow struct{ ctx context.Context }

func (s slow) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, errors.New("gone")
}

package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// TestHugeFiltersAreAnsweredOrRefused asks with every parameter more than there can be.
func TestHugeFiltersAreAnsweredOrRefused(t *testing.T) {
	w := newWorld(t, "hello", "bob@there.test")
	h := New(w.options(newAccess(t, new(bytes.Buffer)), false), false)
	huge := strings.Repeat("x", 60_000)
	for name, code := range map[string]int{
		"id": 422, "message_id": 200, "from": 200, "to": 200, "domain": 200, "state": 422, "reply": 200, "older_than": 422, "after": 422, "limit": 422, "nothing": 200,
	} {
		for _, path := range []string{"/api/v1/queue", "/api/v1/trace"} {
			want := code
			if path == "/api/v1/trace" && name == "after" {
				want = 200 // it has none
			}
			began := time.Now()
			rec := ask(h, "GET", path+"?"+name+"="+huge, "", asView)
			if took := time.Since(began); rec.Code != want || took > 5*time.Second {
				t.Errorf("%s?%s: %d after %v, want %d: %.200s", path, name, rec.Code, took, want, rec.Body)
			}
			if rec.Code != http.StatusOK && (!json.Valid(rec.Body.Bytes()) || rec.Body.Len() > 200_000) {
				t.Errorf("%s?%s: %.200s", path, name, rec.Body)
			}
		}
	}
	for _, c := range []struct {
		name, body string
		code       int
	}{
		{"a huge filter", fmt.Sprintf(`{"order":"hold","filter":{"from":%q},"by":"x"}`, huge), 200},
		{"a larger one than any", fmt.Sprintf(`{"order":"hold","filter":{"from":%q},"by":"x"}`, strings.Repeat("x", 2<<20)), 413},
		{"a reason without end", fmt.Sprintf(`{"order":"hold","filter":{"domain":"there.test"},"why":%q}`, huge), 200},
		{"very deep", strings.Repeat(`{"filter":`, 20_000), 400},
		{"another kind", `{"order":["hold"],"filter":"all"}`, 422},
		{"no JSON", `order=hold`, 400},
		{"what nobody knows", `{"order":"hold","filter":{"whom":"x"}}`, 422},
		{"everything, without saying so", `{"order":"hold","filter":{}}`, 422},
	} {
		w.queue.got = nil
		rec := ask(h, "POST", "/api/v1/orders", c.body, asOp, jsonBody)
		if rec.Code != c.code {
			t.Errorf("%s: %d, want %d: %.300s", c.name, rec.Code, c.code, rec.Body)
		}
		for _, got := range w.queue.got {
			if len(got) > 1000 {
				t.Errorf("%s: the timeline gets %d octets", c.name, len(got))
			}
		}
	}
}

// TestOrdersForWhatHasJustLeftFindNothing gives each order for mail that is gone.
func TestOrdersForWhatHasJustLeftFindNothing(t *testing.T) {
	w := newWorld(t, "hello", "bob@there.test")
	id := custody.DeliveryID{Message: w.ids[0], N: 1}.String()
	w.step(0, time.Now(), custody.Outcome{Host: "mx.there.test", Stage: mail.Dot, Reply: mail.Reply{Code: 250}, Theirs: true, Taken: custody.Onward})
	for _, order := range []string{`"order":"retry"`, `"order":"hold"`, `"order":"release"`, `"order":"giveup"`, `"order":"remove"`, `"order":"warn"`, `"order":"life","more":"2d"`, `"order":"reroute","via":"mx"`} {
		for _, dry := range []string{"true", "false"} {
			for _, one := range []string{id, w.ids[0].String()} {
				rec := w.ask(true, "POST", "/api/v1/orders", `{`+order+`,"filter":{"id":"`+one+`"},"by":"ann","dry_run":`+dry+`}`)
				if rec.Code != http.StatusOK || strings.TrimSpace(rec.Body.String()) != "[]" || len(w.queue.got) > 0 {
					t.Errorf("%s of %s, dry %s: %d %s, ordered %q", order, one, dry, rec.Code, rec.Body, w.queue.got)
				}
			}
		}
	}
	if got := w.ask(false, "GET", "/api/v1/queue?after="+id, "").Body.String(); !strings.Contains(got, `"deliveries":[]`) {
		t.Errorf("behind it: %s", got)
	}
	if got := w.ask(false, "GET", "/api/v1/trace?find="+id, "").Body.String(); !strings.Contains(got, `"state":"relayed"`) {
		t.Errorf("its trace: %s", got)
	}
}

// TestForeignWordsCannotSteerWhoReadsTheAnswers looks for control characters in what
// programs are told: what shows it as it is must not be steered by it.
func TestForeignWordsCannotSteerWhoReadsTheAnswers(t *testing.T) {
	encoded := "=?utf-8?q?=1B]0;x=07_=C2=9B31m_=0D=0AX?="
	w := newWorld(t, encoded, "bob@there.test")
	w.step(0, time.Now(), custody.Outcome{Host: "mx.there.test", Stage: mail.Rcpt, Reply: mail.Reply{Code: 451, Text: mail.Clean("later \x1b[2J\u009b", 200)}, Theirs: true, Trouble: custody.Deferred})
	for _, target := range []string{"/api/v1/queue", "/api/v1/trace?find=bob@there.test", "/api/v1/queue?reply=" + url.QueryEscape("\x1b")} {
		rec := w.ask(false, "GET", target, "")
		var v any
		if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		if said := fmt.Sprint(v); strings.ContainsAny(said, "\x1b\x07\r\u009b") {
			t.Errorf("%s: %q", target, said)
		}
	}
}

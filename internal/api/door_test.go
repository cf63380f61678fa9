package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/policy"
)

// gate is a door that notes whom it is to let in.
type gate struct {
	told
	got policy.Override
}

func (g *gate) Allow(o policy.Override, now time.Time) (policy.Allowed, error) {
	g.got = o
	o.ID = "AB12CD"
	return policy.Allowed{Override: o, Made: now}, nil
}

// What the server knows better need not be given, and what is given of it changes
// nothing: programs that were written before still work.
func TestWhoIsLetInNeedNotBeNumbered(t *testing.T) {
	w, g := newWorld(t, "hello"), &gate{}
	o := w.options(newAccess(t, new(bytes.Buffer)), false)
	o.Door = g
	h := New(o, false)
	const least = `"rule":"greylist","client":"192.0.2.7/32","for":"30d","because":"they are slow"`
	for _, c := range []struct {
		name, body string
		code       int
		by         string
	}{
		{"the least", `{` + least + `}`, 200, "ann"},
		{"all", `{` + least + `,"id":"mine","until":"2001-01-01T00:00:00Z","by":"carl"}`, 200, "carl by token ann"},
		{"no time", `{"rule":"greylist","client":"192.0.2.7/32","because":"x"}`, 422, ""},
		{"no reason", `{"rule":"greylist","client":"192.0.2.7/32","for":"30d"}`, 422, ""},
		{"what nobody knows", `{` + least + `,"whom":"x"}`, 422, ""},
	} {
		g.got = policy.Override{}
		rec := ask(h, "POST", "/api/v1/allow", c.body, asOp, jsonBody)
		if rec.Code != c.code || g.got.By != c.by {
			t.Errorf("%s: %d by %q %s", c.name, rec.Code, g.got.By, rec.Body)
		}
		if c.code != http.StatusOK {
			continue
		}
		left := time.Until(g.got.Until)
		if left < 29*24*time.Hour || left > 30*24*time.Hour || !strings.Contains(rec.Body.String(), `"id":"AB12CD"`) {
			t.Errorf("%s: for %v, %s", c.name, left, rec.Body)
		}
	}
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Required   []string
				Properties map[string]struct{ ReadOnly bool }
			}
		}
	}
	if err := json.Unmarshal(ask(h, "GET", "/api/v1/openapi.json", "", asView).Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	s := doc.Components.Schemas["Allow"]
	slices.Sort(s.Required)
	if want := []string{"because", "for", "rule"}; !slices.Equal(s.Required, want) || !s.Properties["id"].ReadOnly || !s.Properties["until"].ReadOnly {
		t.Errorf("the document wants %v: %+v", s.Required, s.Properties)
	}
	if s := doc.Components.Schemas["Allowed"]; !slices.Contains(s.Required, "until") {
		t.Errorf("what is answered has no end: %v", s.Required)
	}
}

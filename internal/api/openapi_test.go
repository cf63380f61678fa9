package api

import (
	"bytes"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

// The document describes every route of the mux but the pages, and itself.
func TestEveryRouteIsInTheDocument(t *testing.T) {
	w := newWorld(t, "hello")
	o := w.options(newAccess(t, new(bytes.Buffer)), false)
	o.Metrics, o.Door, o.Outlooks = w.metrics(&told{}), &told{}, NewOutlooks(w.store, nil, o.Schedule)
	o.Destinations, o.Stopping = &places{}, t.Context()
	_, mux, a := build(o)
	patterns := patternsOf(t, mux)
	for field := range reflect.ValueOf(o).Type().Fields() { // or its routes are not looked at
		if v := reflect.ValueOf(o).FieldByIndex(field.Index); slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Interface, reflect.Func}, v.Kind()) &&
			v.IsNil() && field.Name != "Pages" && field.Name != "Notices" {
			t.Errorf("option %s is not set", field.Name)
		}
	}
	if len(patterns) < 15 {
		t.Fatalf("the mux has only %v", patterns)
	}
	described := map[string]string{}
	for path, item := range a.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "DELETE": item.Delete, "PATCH": item.Patch} {
			if op != nil {
				described[method+" "+path] = op.Description
			}
		}
	}
	for _, p := range patterns {
		if strings.Contains(p, "/api/v1/openapi") {
			continue
		}
		if described[p] == "" {
			t.Errorf("%s is not in the document", p)
		}
	}
	for pattern, text := range described {
		if !regexp.MustCompile(`(Role: (view|operate)|Open to all)\.$`).MatchString(text) {
			t.Errorf("%s does not say which role it wants", pattern)
		}
	}
}

// patternsOf returns what a mux serves, which it does not tell by itself.
func patternsOf(t *testing.T, mux *http.ServeMux) (all []string) {
	t.Helper()
	index := reflect.ValueOf(mux).Elem().FieldByName("index")
	if !index.IsValid() {
		t.Fatal("net/http keeps its patterns elsewhere now: look for them")
	}
	add := func(list reflect.Value) {
		for i := range list.Len() {
			all = append(all, list.Index(i).Elem().FieldByName("str").String())
		}
	}
	for it := index.FieldByName("segments").MapRange(); it.Next(); {
		add(it.Value())
	}
	add(index.FieldByName("multis"))
	slices.Sort(all)
	return slices.Compact(all)
}

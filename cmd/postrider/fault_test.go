package main

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/sourcegraph/conc/panics"
)

func TestAFaultInARequestIsLoggedAndEndsNothingElse(t *testing.T) {
	log := &strings.Builder{}
	n := &node{log: slog.New(slog.NewTextHandler(log, nil))}
	if err := n.contain(func() {}); err != nil {
		t.Error(err)
	}
	if err := n.contain(func() { panic("a fault in a page") }); err == nil || err.Error() != "a fault of this server: a fault in a page" {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(log.String(), "a fault in a page") || !strings.Contains(log.String(), "fault_test.go") {
		t.Errorf("the log does not say where: %s", log)
	}
	// How an answer that was begun is broken off, on purpose.
	if fault := panics.Try(func() { n.contain(func() { panic(http.ErrAbortHandler) }) }); fault == nil || fault.Value != http.ErrAbortHandler {
		t.Errorf("fault %v", fault)
	}
}

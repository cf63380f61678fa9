package watch

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// slowly is a writer that waits to be told before each write.
type slowly struct {
	mu   sync.Mutex
	b    bytes.Buffer
	n    int
	goOn chan struct{}
}

func (s *slowly) Write(b []byte) (int, error) {
	<-s.goOn
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	return s.b.Write(b)
}

// TestLinesGoOutTogether: nothing is lost or torn, one writer waits, and what comes
// meanwhile goes out in one piece.
func TestLinesGoOutTogether(t *testing.T) {
	s := &slowly{goOn: make(chan struct{}, 1000)}
	l := NewLines(s)
	first := make(chan struct{})
	go func() {
		defer close(first)
		fmt.Fprintln(l, "first")
	}()
	for !l.waits() {
	}
	for i := range 100 { // nobody waits for the writer
		fmt.Fprintf(l, "line %d\n", i)
	}
	for range 3 {
		s.goOn <- struct{}{}
	}
	<-first
	l.Flush()
	lines := strings.Split(strings.TrimSuffix(s.b.String(), "\n"), "\n")
	if len(lines) != 101 || lines[0] != "first" || lines[100] != "line 99" || s.n != 2 {
		t.Errorf("%d lines in %d writes: %q", len(lines), s.n, lines)
	}
	fmt.Fprintln(l, "last")
	if !strings.HasSuffix(s.b.String(), "last\n") {
		t.Error("a line alone is not written at once")
	}
}

func (l *Lines) waits() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy
}

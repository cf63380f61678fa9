package main

import (
	"bufio"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

func nextHop(t *testing.T, s *sink) string {
	t.Helper()
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { at.Close() })
	go s.serve(at)
	return at.Addr().String()
}

// The shortest way: the sink is the server.
func TestWhatComesThroughIsTimed(t *testing.T) {
	for name, l := range map[string]load{
		"one alone":          {sessions: 1, messages: 1},
		"several sessions":   {sessions: 4, messages: 40},
		"several recipients": {sessions: 2, messages: 10, recipients: 3, domains: 2},
		"at a rate":          {sessions: 2, messages: 10, rate: 200},
		"beside a large one": {sessions: 2, messages: 10, large: 1_000_000},
		"beside one to many": {sessions: 2, messages: 10, many: 2500},
		"for a time":         {sessions: 1, length: 20 * time.Millisecond, rate: 100},
	} {
		t.Run(name, func(t *testing.T) {
			book := newLedger()
			l.server, l.size, l.wait = nextHop(t, &sink{book: book}), 2000, 10*time.Second
			l.recipients, l.domains = max(l.recipients, 1), max(l.domains, 1)
			r := l.send(book)
			if r.SourceErr != "" || r.Twice != 0 {
				t.Fatalf("%+v", r)
			}
			if r.Messages == 0 || r.Messages != r.Through || l.messages > 0 && r.Messages != l.messages {
				t.Errorf("%d taken, %d through, %d wanted", r.Messages, r.Through, l.messages)
			}
			if r.Median <= 0 || r.Median > r.P99 || r.P99 > r.Max || r.Max > r.Wall*1000 {
				t.Errorf("times out of order: %+v", r)
			}
			if beside := l.large > 0 || l.many > 0; beside != (r.Beside > 0) || beside != (r.BesideMed > 0) {
				t.Errorf("beside: %+v", r)
			}
		})
	}
}

func TestWhatDoesNotComeIsMissing(t *testing.T) {
	book := newLedger()
	p := book.sent("<lost>", 2, time.Now())
	book.came("<lost>", 1, time.Now())
	s := &sending{load: load{wait: time.Millisecond}, book: book, began: time.Now()}
	s.accept(p)
	if r := s.result(); r.Messages != 1 || r.Through != 0 || !strings.Contains(r.SourceErr, "1 of 1 did not come") {
		t.Errorf("half of its recipients came, and it counts as through: %+v", r)
	}
}

func TestWhatComesTwiceIsCounted(t *testing.T) {
	book := newLedger()
	p := book.sent("<a>", 1, time.Now())
	book.came("<a>", 1, time.Now())
	book.came("<a>", 1, time.Now())
	s := &sending{book: book, began: time.Now()}
	s.accept(p)
	if r := s.result(); r.Through != 1 || r.Twice != 1 {
		t.Errorf("%+v", r)
	}
}

func TestARefusalIsTold(t *testing.T) {
	book := newLedger()
	l := load{server: nextHop(t, &sink{book: book, deferrals: 1}), sessions: 1, messages: 3, recipients: 1, domains: 1}
	if r := l.send(book); !strings.Contains(r.SourceErr, "RCPT TO:<u0-0@d1.test>: 450") || r.Messages != 0 {
		t.Errorf("%+v", r)
	}
}

func TestEachRecipientIsDeferredThatOften(t *testing.T) {
	c, err := net.Dial("tcp", nextHop(t, &sink{book: newLedger(), deferrals: 2}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := textproto.NewReader(bufio.NewReader(c))
	if _, _, err := in.ReadResponse(220); err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		rcpt string
		code int
	}{{"a@b.c", 450}, {"a@b.c", 450}, {"d@b.c", 450}, {"a@b.c", 250}, {"d@b.c", 450}, {"d@b.c", 250}} {
		fmt.Fprintf(c, "RCPT TO:<%s>\r\n", want.rcpt)
		if _, _, err := in.ReadResponse(want.code); err != nil {
			t.Fatalf("RCPT %d: %v", i, err)
		}
	}
}

//go:build linux

package load

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
)

// A sink takes mail as a next hop does. What it gets with a null return path it reads
// as a bounce.
type sink struct {
	addr   string
	ledger *ledger
	slow   time.Duration // before it answers the final dot

	beside *sink               // whose messages are counted when one arrives; nil: its own
	seats  func(taken int) int // connections that may be open when it has taken so many; nil: any

	work     sync.WaitGroup
	mu       sync.Mutex
	listener net.Listener // nil: it is away
	conns    map[net.Conn]bool
	taken    int // messages answered 250
	opened   time.Time
	ramp     []time.Duration // when each more connection was open at a time, from opened on
}

// newSink makes a sink that is away.
func newSink(t *testing.T, l *ledger) *sink {
	s := &sink{addr: ownAddress(), ledger: l, conns: map[net.Conn]bool{}}
	t.Cleanup(func() {
		s.mu.Lock()
		if s.listener != nil {
			s.listener.Close()
		}
		for c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		s.work.Wait()
	})
	return s
}

// open makes the sink listen.
func (s *sink) open(t *testing.T) *sink {
	t.Helper()
	listener, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.listener, s.opened = listener, time.Now()
	s.mu.Unlock()
	s.work.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			s.enter(c)
			s.work.Go(func() { s.serve(c) })
		}
	})
	return s
}

func (s *sink) enter(c net.Conn) {
	s.mu.Lock()
	s.conns[c] = true
	n, taken := len(s.conns), s.taken
	if n > len(s.ramp) {
		s.ramp = append(s.ramp, time.Since(s.opened))
	}
	s.mu.Unlock()
	if s.seats != nil && n > s.seats(taken) {
		s.ledger.wrongly("connection %d to a host that has taken %d messages, at most %d may be open", n, taken, s.seats(taken))
	}
}

func (s *sink) serve(c net.Conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	v := &visit{sink: s, r: bufio.NewReaderSize(c, 16<<10), c: c}
	if v.say("220 sink.test ESMTP") != nil {
		return
	}
	for {
		line, err := v.r.ReadSlice('\n')
		if err != nil || !v.command(line) {
			return
		}
	}
}

// A visit is a connection to a sink.
type visit struct {
	*sink
	r    *bufio.Reader
	c    net.Conn
	null bool // the return path
	to   string
}

func (v *visit) say(line string) error {
	_, err := v.c.Write([]byte(line + "\r\n"))
	return err
}

// command answers a line, and reports whether the connection goes on.
func (v *visit) command(line []byte) bool {
	_, rest, _ := bytes.Cut(line, []byte("<"))
	address, _, _ := bytes.Cut(rest, []byte(">"))
	verb := bytes.ToUpper(line[:min(4, len(line))])
	switch string(verb) {
	case "EHLO":
		return v.say("250-sink.test\r\n250-8BITMIME\r\n250 PIPELINING") == nil
	case "MAIL":
		v.null, v.to = len(address) == 0, ""
	case "RCPT":
		if v.to != "" {
			return v.say("452 4.5.3 one is enough") == nil
		}
		v.to = string(address)
	case "DATA":
		return v.say("354 go on") == nil && v.data() == nil
	case "QUIT":
		v.say("221 2.0.0 bye")
		return false
	}
	return v.say("250 2.0.0 ok") == nil
}

// data reads a message and answers it.
func (v *visit) data() error {
	failed := false
	for {
		line, err := v.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if string(line) == ".\r\n" {
			break
		}
		failed = failed || v.null && bytes.HasPrefix(line, []byte("Action: failed"))
	}
	if v.slow > 0 {
		time.Sleep(v.slow)
	}
	v.mu.Lock()
	taken := v.taken
	v.taken++
	v.mu.Unlock()
	if v.beside != nil {
		taken = v.beside.count()
	}
	now := time.Now()
	v.ledger.with(v.to, func(x *letter) {
		switch {
		case !v.null:
			if x.copies++; x.copies == 1 {
				x.came, x.cameAt = now, taken
			}
		case failed:
			if x.bounces++; x.bounces == 1 {
				x.bounced = now
			}
		default:
			v.ledger.wrong = append(v.ledger.wrong, fmt.Sprintf("<%s> got a notice that is no bounce", v.to))
		}
	})
	return v.say("250 2.0.0 taken")
}

// count is how many messages the sink has taken.
func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

//go:build linux

package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// A scanner is a content filter: it takes mail at one address, puts "[seen]" before
// its Subject, and hands it on to another before it answers. What it is told of the
// client it tells on (XFORWARD).
type scanner struct {
	back  string
	log   io.Writer // of commands
	l     net.Listener
	wait  sync.WaitGroup
	mu    sync.Mutex
	conns map[net.Conn]bool
}

// scriptScanner is scanner: one at $FILTER that hands back at $BACK; all it hears
// stands in scanner.log. "scanner off" ends it.
func scriptScanner(ts *testscript.TestScript, neg bool, args []string) {
	all := ts.Value(scannerKey{}).(map[string]*scanner)
	if len(args) > 0 {
		all[""].close()
		return
	}
	log, err := os.OpenFile(ts.MkAbs("scanner.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	ts.Check(err)
	s, err := newScanner(ts.Getenv("FILTER"), ts.Getenv("BACK"), log)
	ts.Check(err)
	all[""] = s
	ts.Defer(func() { s.close(); log.Close() })
}

func newScanner(at, back string, log io.Writer) (*scanner, error) {
	l, err := net.Listen("tcp", at)
	if err != nil {
		return nil, err
	}
	s := &scanner{back: back, log: log, l: l, conns: map[net.Conn]bool{}}
	s.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			s.mu.Unlock()
			s.wait.Go(func() { s.take(c) })
		}
	})
	return s, nil
}

type scannerKey struct{}

func (s *scanner) close() {
	s.l.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wait.Wait()
}

func (s *scanner) take(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	text := textproto.NewConn(c)
	text.PrintfLine("220 scanner.test ESMTP")
	var told []string // XFORWARD, MAIL, RCPT
	for {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		s.mu.Lock()
		fmt.Fprintln(s.log, line)
		s.mu.Unlock()
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch verb {
		case "EHLO":
			told = nil
			text.PrintfLine("250-scanner.test\r\n250-8BITMIME\r\n250 XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE")
		case "XFORWARD", "MAIL", "RCPT":
			if verb == "MAIL" {
				line, _, _ = strings.Cut(line, "> ")
				line = strings.TrimSuffix(line, ">") + ">"
			}
			told = append(told, line)
			text.PrintfLine("250 ok")
		case "DATA":
			text.PrintfLine("354 go on")
			data, err := unstuff(text.R)
			if err != nil {
				return
			}
			text.PrintfLine("%s", s.hand(told, data))
			told = nil
		case "QUIT":
			text.PrintfLine("221 bye")
			return
		default:
			text.PrintfLine("250 ok")
		}
	}
}

// hand hands a message back and returns the answer.
func (s *scanner) hand(told []string, data []byte) string {
	conn, err := net.DialTimeout("tcp", s.back, 5*time.Second)
	if err != nil {
		return "451 " + err.Error()
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(conn)
	say := func(line string) string {
		if line != "" {
			fmt.Fprintf(conn, "%s\r\n", line)
		}
		for {
			reply, err := r.ReadString('\n')
			if err != nil || len(reply) < 4 || reply[3] != '-' {
				return strings.TrimSpace(reply)
			}
		}
	}
	say("")
	for _, line := range append(append([]string{"EHLO scanner.test"}, told...), "DATA") {
		if reply := say(line); reply == "" || reply[0] > '3' {
			return reply
		}
	}
	w := bufio.NewWriter(conn)
	stuff(w, []byte(strings.Replace(string(data), "\r\nSubject: ", "\r\nSubject: [seen] ", 1)))
	return say("")
}

package main

import (
	"bufio"
	"bytes"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"time"
)

// sink is the next hop: it takes all, and notes in the ledger when.
type sink struct {
	book      *ledger
	deferrals int // answers of 450 to each recipient before it is taken

	mu    sync.Mutex
	asked map[string]int // by recipient, while it is deferred
}

func (s *sink) serve(at net.Listener) {
	for {
		c, err := at.Accept()
		if err != nil {
			return
		}
		go s.session(c)
	}
}

// session ends with the connection; what went wrong in it is seen as a message that
// does not come.
func (s *sink) session(c net.Conn) {
	defer c.Close()
	in, out := textproto.NewReader(bufio.NewReaderSize(c, 64<<10)), bufio.NewWriter(c)
	out.WriteString("220 sink.test ESMTP\r\n")
	recipients := 0
	for {
		if in.R.Buffered() == 0 && out.Flush() != nil {
			return
		}
		line, err := in.ReadLine()
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.ToUpper(line), " "); verb {
		case "EHLO", "HELO":
			out.WriteString("250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n")
		case "RCPT":
			if s.defers(line) {
				out.WriteString("450 4.2.0 later\r\n")
				continue
			}
			recipients++
			out.WriteString("250 2.1.5 ok\r\n")
		case "DATA":
			if recipients == 0 {
				out.WriteString("554 5.5.1 no recipient was taken\r\n")
				continue
			}
			out.WriteString("354 go on\r\n")
			if out.Flush() != nil || s.text(in.R, recipients) != nil {
				return
			}
			recipients = 0
			out.WriteString("250 2.0.0 ok\r\n")
		case "QUIT":
			out.WriteString("221 2.0.0 bye\r\n")
			out.Flush()
			return
		default: // MAIL, RSET, NOOP
			recipients = 0
			out.WriteString("250 2.0.0 ok\r\n")
		}
	}
}

// text reads up to the final dot, lines as they are: what the stopwatch sends has none
// that is longer than the buffer.
func (s *sink) text(in *bufio.Reader, recipients int) error {
	id := ""
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 3 && string(line) == ".\r\n" {
			s.book.came(id, recipients, time.Now())
			return nil
		}
		if id != "" {
			continue
		}
		if name, value, ok := bytes.Cut(line, []byte(": ")); ok && strings.EqualFold(string(name), "Message-Id") {
			id = string(bytes.TrimSpace(value))
		}
	}
}

func (s *sink) defers(rcpt string) bool {
	if s.deferrals == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil {
		s.asked = map[string]int{}
	}
	if s.asked[rcpt] < s.deferrals {
		s.asked[rcpt]++
		return true
	}
	delete(s.asked, rcpt)
	return false
}

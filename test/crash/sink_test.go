//go:build linux

package crash

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A sink takes mail as a next hop does, in its own time. What it gets with a null
// return path it reads as a bounce.
type sink struct {
	addr    string
	away    atomic.Bool // says 421 to all
	willing bool        // takes at once what it takes
	ledger  *ledger
	reached func(moment)

	listener net.Listener
	work     sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]bool
}

func newSink(t *testing.T, l *ledger, reached func(moment)) *sink {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{addr: listener.Addr().String(), ledger: l, reached: reached, listener: listener, conns: map[net.Conn]bool{}}
	s.work.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			s.mu.Unlock()
			s.work.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		s.mu.Lock()
		for c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		s.work.Wait()
	})
	return s
}

// A visit is a connection to a sink.
type visit struct {
	*sink
	conn net.Conn
	text *textproto.Conn
	life int
	tx   *transaction // the last one
	null bool         // its return path
	to   []string
}

func (s *sink) serve(c net.Conn) {
	v := &visit{sink: s, conn: c, text: textproto.NewConn(c), life: s.ledger.now()}
	v.text.R = bufio.NewReaderSize(c, 64<<10)
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		v.over(false)
	}()
	if s.away.Load() {
		v.say("421 4.3.2 not now")
		return
	}
	v.say("220 sink.test ESMTP")
	for {
		line, err := v.text.ReadLine()
		if err != nil || !v.command(line) {
			return
		}
	}
}

// over ends the transaction under way, if there is one.
func (v *visit) over(taken bool) {
	if v.tx != nil {
		v.ledger.end(v.tx, taken)
	}
}

func (v *visit) say(format string, args ...any) error { return v.text.PrintfLine(format, args...) }

// command answers a line, and reports whether the connection goes on.
func (v *visit) command(line string) bool {
	_, rest, _ := strings.Cut(line, "<")
	address, _, _ := strings.Cut(rest, ">")
	verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
	switch verb {
	case "EHLO":
		v.say("250-sink.test\r\n250-8BITMIME\r\n250 PIPELINING")
	case "MAIL":
		v.over(false)
		v.tx, v.null, v.to = v.ledger.begin(v.life, v.sink), address == "", nil
		v.say("250 2.1.0 ok")
	case "RCPT":
		v.rcpt(address)
	case "DATA":
		if len(v.to) == 0 {
			v.say("554 5.5.1 no valid recipients")
			break
		}
		v.say("354 go on")
		return v.data() == nil
	case "QUIT":
		v.say("221 2.0.0 bye")
		return false
	case "RSET":
		v.over(false)
		fallthrough
	default:
		v.say("250 2.0.0 ok")
	}
	return true
}

func (v *visit) rcpt(address string) {
	if !v.null {
		switch f, tries := v.ledger.rcpt(address); {
		case f == no:
			v.say("550 5.1.1 nobody of that name")
			return
		case f == late && tries <= 2:
			v.say("450 4.2.1 later")
			return
		}
	}
	v.to = append(v.to, address)
	v.say("250 2.1.5 ok")
}

// content is a message while it is read.
type content struct {
	id    uint64
	sum   string // as it stands in the message
	hash  hash.Hash
	name  string   // the first Message-ID
	about []string // the recipients that a bounce tells of
}

// data reads a message and answers it.
func (v *visit) data() error {
	c, err := v.read()
	if err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(v.to[0], string(never)+"."):
		v.over(false)
		return v.say("554 5.7.1 not with us")
	case !v.willing && rand.IntN(70) == 0:
		v.over(false)
		return v.say("451 4.3.0 not now")
	}
	// It has the message from here on: what becomes of the answer is not its trouble.
	if v.null {
		v.ledger.told(v.tx, c.name, v.to[0], c.about)
		v.reached(reported)
	} else {
		whole := c.hash != nil && fmt.Sprintf("%x", c.hash.Sum(nil)[:8]) == c.sum
		v.ledger.took(v.tx, c.id, whole, c.sum, v.to)
		v.reached(unanswered)
	}
	if !v.willing && rand.IntN(50) == 0 {
		time.Sleep(time.Duration(50+rand.IntN(350)) * time.Millisecond)
	}
	if err := v.say("250 2.0.0 taken"); err != nil {
		return err
	}
	v.over(true)
	v.reached(answered)
	return nil
}

// read reads a message to its end, now and then slowly.
func (v *visit) read() (*content, error) {
	c := &content{}
	slow := !v.willing && rand.IntN(50) == 0
	for n := 1; ; n++ {
		line, err := v.text.R.ReadSlice('\n')
		switch {
		case err != nil:
			return nil, io.ErrUnexpectedEOF
		case string(line) == ".\r\n":
			return c, nil
		}
		c.line(bytes.TrimPrefix(line, []byte(".")), v.null)
		if n%1000 == 20 && !v.null {
			v.reached(receiving)
			if slow {
				time.Sleep(time.Duration(20+rand.IntN(80)) * time.Millisecond)
			}
		}
	}
}

func (c *content) line(line []byte, null bool) {
	if c.hash != nil {
		c.hash.Write(line)
		return
	}
	name, value, _ := strings.Cut(string(bytes.TrimRight(line[:min(len(line), 500)], "\r\n")), ": ")
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Message-Id":
		if c.name == "" {
			c.name = value
		}
	case "Final-Recipient":
		if _, address, ok := strings.Cut(value, ";"); ok && null {
			c.about = append(c.about, strings.TrimSpace(address))
		}
	case "X-Crash":
		id, sum, _ := strings.Cut(value, " ")
		if n, err := strconv.ParseUint(id, 10, 64); err == nil && !null {
			c.id, c.sum, c.hash = n, sum, sha256.New()
		}
	}
}

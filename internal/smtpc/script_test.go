package smtpc

import (
	"bufio"
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/mail"
)

// A script is what a host does, a line each: "S words" it says a line, "C words" it
// waits for that line, "B words" the same line to the byte without an end, "W 5m"
// it waits, "X" it closes, "D" it reads and drops all until "CRLF.CRLF". A blank
// script line is nothing.
type script string

// play runs the host's side; what it hears that it does not expect is an error.
func (s script) play(t *testing.T, nc net.Conn) {
	r := bufio.NewReaderSize(nc, 64<<10)
	for l := range strings.SplitSeq(strings.TrimSpace(string(s)), "\n") {
		l = strings.TrimLeft(l, " \t")
		if l == "" {
			continue
		}
		verb, words := l[0], strings.TrimPrefix(l[1:], " ")
		switch verb {
		case 'S':
			nc.Write([]byte(words + "\r\n"))
		case 'B':
			for i := range len(words) {
				nc.Write([]byte(words[i : i+1]))
			}
			nc.Write([]byte("\n"))
		case 'W':
			d, err := time.ParseDuration(words)
			if err != nil {
				panic(err)
			}
			time.Sleep(d)
		case 'X':
			nc.Close()
		case 'C':
			got, err := r.ReadString('\n')
			if err != nil {
				t.Errorf("host waits for %q: %v", words, err)
				return
			}
			if got != words+"\r\n" {
				t.Errorf("host waits for %q, hears %q", words, got)
			}
		case 'D':
			for {
				got, err := r.ReadString('\n')
				if err != nil || got == ".\r\n" {
					break
				}
			}
		default:
			panic(l)
		}
	}
}

const plainHello = `
	S 220 mx.example ready
	C EHLO us.example
	S 250 mx.example
`

const pipeHello = `
	S 220 mx.example ready
	C EHLO us.example
	S 250-mx.example
	S 250 PIPELINING
`

const fromA = "C MAIL FROM:<a@from.example>\n"

// letter is a message to the recipients b0@to.example, b1@…
func letter(n int) Message {
	env := &mail.Envelope{From: mail.Address{Local: "a", Domain: "from.example"}}
	for i := range n {
		env.To = append(env.To, mail.Recipient{Address: mail.Address{Local: "b" + string(rune('0'+i)), Domain: "to.example"}})
	}
	return Message{Envelope: env, Bytes: []byte("Subject: x\r\n\r\n.hello\r\n")}
}

// converse opens and sends each message in turn against the script, in virtual time.
func converse(t *testing.T, s script, o Options, ms ...Message) (f *Failure, rs []Result) {
	t.Helper()
	f = talk(t, s, o, func(c *Conn) {
		for _, m := range ms {
			rs = append(rs, c.Send(context.Background(), m))
		}
	})
	return f, rs
}

// talk opens a connection to the script's host and lends it, in virtual time.
func talk(t *testing.T, s script, o Options, use func(c *Conn)) (f *Failure) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		done := make(chan bool)
		go func() {
			s.play(t, theirs)
			close(done)
		}()
		if o.Helo == "" {
			o.Helo = "us.example"
		}
		var c *Conn
		if c, f = Open(context.Background(), ours, o); f == nil {
			use(c)
			c.Close()
		}
		<-done
		theirs.Close()
	})
	return f
}

// tell shows outcomes as text, one a line.
func tell(r Result) string {
	var b strings.Builder
	for _, o := range r.Outcomes {
		if o.Skipped {
			b.WriteString("skipped\n")
			continue
		}
		b.WriteString(o.Stage.String() + ": " + o.Reply.Line())
		for _, w := range []struct {
			is   bool
			word string
		}{
			{o.Theirs, "theirs"}, {o.Permanent, "permanent"}, {o.Taken == Onward, "onward"}, {o.Taken == Promised, "promised"},
			{o.Taken == Mailbox, "mailbox"}, {o.Ambiguous, "ambiguous"}, {o.Ours, "ours"},
		} {
			if w.is {
				b.WriteString(" +" + w.word)
			}
		}
		b.WriteString("\n")
	}
	if r.Broken {
		b.WriteString("broken\n")
	}
	if r.Stale {
		b.WriteString("stale\n")
	}
	return b.String()
}

func same(t *testing.T, got, want string) {
	t.Helper()
	var lines []string
	for l := range strings.SplitSeq(strings.TrimSpace(want), "\n") {
		lines = append(lines, strings.TrimSpace(l))
	}
	if d := cmp.Diff(strings.Join(lines, "\n"), strings.TrimSpace(got)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

package smtpc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/postrider/postrider/mail"
)

// Failure says why a connection could not be used or a transaction broke off.
type Failure struct {
	Stage     mail.Stage
	Reply     mail.Reply // the host's words, or ours with Code 0 where nobody spoke
	Theirs    bool       // the host said Reply
	Permanent bool       // words of ours that waiting will not change
	// InPlain says that TLS failed where the policy does not demand it: a new
	// connection with NoTLS may be tried at once.
	InPlain bool
	Err     error // the cause behind words of ours, if any; for logs

	gone  bool // the host closed or reset the connection
	spent bool // the host refused to forget an earlier transaction
}

// Error returns the failure on one line.
func (f *Failure) Error() string { return f.Stage.String() + ": " + f.Reply.Line() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// step is the command that is being sent or answered.
type step struct {
	stage mail.Stage
	verb  string // "EHLO"; "" for the greeting
}

// wait returns how long the host may take for its answer.
func (c *Conn) wait(at step) time.Duration {
	t := &c.o.Timeouts
	switch at.stage {
	case mail.Greeting:
		return t.Greeting
	case mail.Hello:
		return t.Hello
	case mail.TLS:
		return t.TLS
	case mail.Auth:
		return t.Auth
	case mail.Mail:
		return t.Mail
	case mail.Rcpt:
		return t.Rcpt
	case mail.Data:
		return t.Data
	case mail.Dot:
		return t.Dot
	}
	return t.Quit
}

// maxReply bounds the octets of one reply. A host that says more is cut off.
const maxReply = 64 << 10

var errTooLong = errors.New("smtpc: reply too long")

// reply reads the answer to a step. The whole reply must come within the step's
// time, so that a host cannot hold us with a byte a minute.
func (c *Conn) reply(at step) (mail.Reply, *Failure) { return c.replyWithin(at, c.wait(at)) }

func (c *Conn) replyWithin(at step, wait time.Duration) (mail.Reply, *Failure) {
	var lines []string
	var one [1]string // most replies are one line
	lines = one[:0]
	budget := maxReply
	c.armed = false
	for {
		l, err := c.line(&budget, wait)
		if err != nil && !lastLine(l, err) {
			c.broken = true
			if err == errTooLong {
				return mail.Reply{}, own(at.stage, mail.Status{4, 5, 0}, "reply too long")
			}
			return mail.Reply{}, c.failed(at, err, wait)
		}
		_, more, _, ok := mail.CutReplyLine(l)
		if len(lines) == mail.MaxReplyLines {
			lines = lines[:mail.MaxReplyLines-1] // keep the last line: it ends the reply
		}
		if lines = append(lines, l); ok && more {
			continue
		}
		r, err := mail.ParseReply(lines)
		if err != nil && len(lines) > 1 {
			// Lines of different codes: the last one counts (Postfix reads it so).
			r, err = mail.ParseReply(lines[len(lines)-1:])
		}
		if err != nil {
			c.broken = true
			return mail.Reply{}, own(at.stage, mail.Status{4, 5, 0}, fmt.Sprintf("not an SMTP reply: %q", mail.Clean(l, 200)))
		}
		c.heard++
		if r.Code == 421 {
			c.broken = true
		}
		return r, nil
	}
}

// lastLine reports whether a line that the end of the connection cut short is
// still a whole refusal. Hosts exist that close right behind "421 too many
// connections" without a line end; a "250" might be the beginning of "250-".
func lastLine(l string, err error) bool {
	code, more, _, ok := mail.CutReplyLine(l)
	return err == io.EOF && ok && !more && code >= 400
}

// line reads one line without its end, keeping no more than a reply may hold.
func (c *Conn) line(budget *int, wait time.Duration) (string, error) {
	if !c.armed {
		if b, _ := c.br.Peek(c.br.Buffered()); bytes.IndexByte(b, '\n') < 0 {
			c.nc.SetReadDeadline(time.Now().Add(wait))
			c.armed = true
		}
	}
	var kept []byte
	for {
		b, err := c.br.ReadSlice('\n')
		if *budget -= len(b); *budget < 0 {
			return "", errTooLong
		}
		if kept == nil && err == nil {
			return cut(b), nil
		}
		kept = append(kept, b[:min(len(b), max(0, maxLine-len(kept)))]...)
		if err != bufio.ErrBufferFull {
			return cut(kept), err
		}
	}
}

const maxLine = mail.MaxReplyLine + len("250-\r\n")

func cut(b []byte) string {
	return string(bytes.TrimRight(b[:min(len(b), maxLine)], "\r\n"))
}

// own makes a failure of words of ours; the class of st says whether waiting helps.
func own(stage mail.Stage, st mail.Status, words string) *Failure {
	return &Failure{Stage: stage, Reply: mail.Reply{Status: st, Text: words}, Permanent: st[0] == 5}
}

// refused makes a failure of a reply that does not let us go on. A code that
// neither refuses nor belongs here means that we are out of step with the host.
func (c *Conn) refused(at step, r mail.Reply) *Failure {
	if r.Temporary() || r.Permanent() {
		return &Failure{Stage: at.stage, Reply: r, Theirs: true}
	}
	c.broken = true
	if at.verb == "" {
		return own(at.stage, mail.Status{4, 5, 0}, fmt.Sprintf("unexpected greeting: %q", r.Line()))
	}
	return own(at.stage, mail.Status{4, 5, 0}, fmt.Sprintf("unexpected reply to %s: %q", at.verb, r.Line()))
}

// failed words the end of a read.
func (c *Conn) failed(at step, err error, wait time.Duration) *Failure {
	c.broken = true
	where := "before it replied to " + at.verb
	if at.verb == "" {
		where = "before the greeting"
	}
	words, gone := manner(err)
	words += " " + where
	switch {
	case c.stopped.Load():
		words, gone = "attempt stopped by us while waiting for the host's reply to "+at.verb, false
		if at.verb == "" {
			words = "attempt stopped by us while waiting for the greeting"
		}
	case errors.Is(err, os.ErrDeadlineExceeded) && at.verb == "":
		words = fmt.Sprintf("no greeting within %s", wait)
	case errors.Is(err, os.ErrDeadlineExceeded):
		words = fmt.Sprintf("no reply to %s within %s", at.verb, wait)
	}
	f := own(at.stage, mail.Status{4, 4, 2}, words)
	f.Err, f.gone = err, gone
	return f
}

// unsent words the end of a write. The host may have said why before it hung up:
// then its words are the failure, and they are worth a moment's wait.
func (c *Conn) unsent(at step, err error) *Failure {
	c.broken = true
	what := at.verb
	if at.stage == mail.Data && at.verb == "" {
		what = "data"
	}
	if !c.stopped.Load() {
		if r, f := c.replyWithin(at, time.Second); f == nil && r.Code >= 400 {
			return &Failure{Stage: at.stage, Reply: r, Theirs: true, Err: err}
		}
	}
	words, gone := manner(err)
	switch {
	case c.stopped.Load():
		words, gone = "attempt stopped by us", false
	case errors.Is(err, os.ErrDeadlineExceeded):
		wait := c.wait(at)
		if what == "data" {
			wait = c.o.Timeouts.Block
		}
		words = fmt.Sprintf("host took nothing for %s", wait)
	}
	f := own(at.stage, mail.Status{4, 4, 2}, words+" while sending "+what)
	f.Err, f.gone = err, gone
	return f
}

// manner says how a connection ended, and whether the host ended it.
func manner(err error) (words string, gone bool) {
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		return "connection reset by the host", true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, syscall.EPIPE):
		return "connection closed by the host", true
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled):
		return "connection closed by us", false
	case errors.As(err, &op):
		err = op.Err
	}
	return "connection lost (" + mail.Clean(strings.TrimSpace(err.Error()), 200) + ")", true
}

package smtpc

import (
	"bytes"
	"net"
	"testing"
	"time"
)

// deaf is a host that says what it was given to say, whatever it hears, and then
// closes, a few octets a read.
type deaf struct {
	words *bytes.Reader
	step  int
}

func (d *deaf) Read(b []byte) (int, error)         { return d.words.Read(b[:min(len(b), d.step)]) }
func (d *deaf) Write(b []byte) (int, error)        { return len(b), nil }
func (d *deaf) Close() error                       { return nil }
func (d *deaf) LocalAddr() net.Addr                { return nil }
func (d *deaf) RemoteAddr() net.Addr               { return nil }
func (d *deaf) SetDeadline(t time.Time) error      { return nil }
func (d *deaf) SetReadDeadline(t time.Time) error  { return nil }
func (d *deaf) SetWriteDeadline(t time.Time) error { return nil }

// Whatever a host says, the client ends, keeps little of it, and every recipient has
// an outcome that does not contradict itself.
func FuzzReplies(f *testing.F) {
	for _, s := range []string{
		"220 hi\r\n250-mx\r\n250-PIPELINING\r\n250 DSN\r\n250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n250 ok\r\n",
		"220 hi\r\n250-mx\r\n250-CHUNKING\r\n250 PIPELINING\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n",
		"220-hi\n220 x\n500 what\n250 ok\n250 ok\n250 ok\n452 4.5.3 too many\n354 go\n421 4.3.2 bye\n",
		"220 hi\r\n250-mx\r\n250 STARTTLS\r\n220 go\r\n\x16\x03\x01",
		"220 hi\r\n250-mx\r\n250-PIPELINING\r\n250 XFORWARD NAME ADDR PORT\r\n250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n501 no\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n",
		"220 hi\r\n250-mx\r\n250 LIMITS RCPTMAX=1\r\n250 ok\r\n250 ok\r\n354\r\n999 x\r\n",
		"HTTP/1.1 400 Bad Request\r\n",
	} {
		f.Add([]byte(s), byte(0))
		f.Add([]byte(s), byte(7))
		f.Add([]byte(s), byte(12))
	}
	f.Fuzz(func(t *testing.T, words []byte, mode byte) {
		o := Options{Helo: "us.example", LMTP: mode&1 != 0, Chunking: mode&2 != 0}
		nc := &deaf{bytes.NewReader(words), 1 + int(mode)*16}
		c, fail := Open(t.Context(), nc, o)
		if fail != nil {
			sane(t, Outcome{Stage: fail.Stage, Reply: fail.Reply, Theirs: fail.Theirs})
			return
		}
		m := letter(3)
		if mode&4 != 0 {
			m.Forward = &Forward{Helo: string(words[:min(len(words), 400)]), Ident: "1"}
		}
		if mode&8 != 0 {
			a := c.Ask(t.Context(), m.Envelope.To[0].Address)
			if a.Failure != nil {
				a.Reply = a.Failure.Reply
				sane(t, Outcome{Stage: a.Failure.Stage, Reply: a.Reply, Theirs: a.Failure.Theirs})
			} else if c := a.Reply.Code / 100; c != 2 && c != 4 && c != 5 {
				t.Errorf("no answer: %+v", a)
			}
			if a.Stale || a.Broken != !c.Reusable() && c.br.Buffered() == 0 && c.ext.MailMax == 0 {
				t.Errorf("broken? %+v", a)
			}
		}
		for range 2 {
			r := c.Send(t.Context(), m)
			for _, o := range r.Outcomes {
				sane(t, o)
			}
			if r.Broken {
				break
			}
		}
		c.Close()
	})
}

func sane(t *testing.T, o Outcome) {
	t.Helper()
	switch {
	case o.Skipped:
		return
	case o.Stage == 0:
		t.Errorf("no stage: %+v", o)
	case o.Theirs != (o.Reply.Code != 0), o.Theirs && o.Reply.Code < 200, o.Theirs && o.Reply.Code/100 == 3:
		t.Errorf("whose words? %+v", o)
	case (o.Taken != Nothing) != o.Reply.Success():
		t.Errorf("taken? %+v", o)
	case o.Ambiguous && (o.Theirs || o.Taken != Nothing):
		t.Errorf("ambiguous? %+v", o)
	case len(o.Reply.Text) > 110_000:
		t.Errorf("%d octets kept", len(o.Reply.Text))
	}
	if d := Hint(o.Reply); d < 0 || d > longestHint {
		t.Errorf("hint of %v in %q", d, o.Reply.Text)
	}
	for _, c := range []byte(o.Reply.Text) {
		if c < ' ' && c != '\n' || c == 0x7f {
			t.Errorf("control character in %q", o.Reply.Text)
		}
	}
}

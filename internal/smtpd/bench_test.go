package smtpd

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/mail"
)

// line78 is a line of text as most are.
var line78 = strings.Repeat("The quick brown fox jumps over the lazy dog. ", 2)[:76] + "\r\n"

// sink is a Host that reads messages and keeps nothing.
type sink struct{ buf [64 << 10]byte }

func (*sink) Greet(context.Context, Client) (Session, mail.Reply) { return new(sink), mail.Reply{} }
func (*sink) Hello(context.Context, Hello) mail.Reply             { return mail.Reply{} }
func (*sink) Mail(context.Context, *mail.Envelope, int64) mail.Reply {
	return mail.Reply{}
}
func (*sink) Rcpt(context.Context, *mail.Envelope, mail.Recipient) mail.Reply { return mail.Reply{} }
func (s *sink) Data(_ context.Context, m Transfer) mail.Reply {
	for {
		if _, err := m.Body.Read(s.buf[:]); err == io.EOF {
			return messageOK
		} else if err != nil {
			return mail.Reply{}
		}
	}
}
func (*sink) Reset() {}
func (*sink) Close() {}

// BenchmarkDecoder is the framing alone.
func BenchmarkDecoder(b *testing.B) {
	for _, bb := range []struct{ name, text string }{
		{"text", line78}, {"base64", strings.Repeat("A", 76) + "\r\n"}, {"short", "hi\r\n"}, {"blank", "\r\n"}, {"dots", "..\r\n"},
		{"long", strings.Repeat("x", 10_000) + "\r\n"}, {"bareCR", "\r"}, {"bareLF", "\n"}, {"NUL", "\x00"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			src := []byte(strings.Repeat(bb.text, largeBuffer/len(bb.text)))
			v := &visit{s: New(Options{BareNewline: Normalize}, nil)}
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				d := v.decoder(true)
				for have := src; len(have) > 0; {
					s := d.next(have)
					if s.stuck() {
						break
					}
					have = have[s.n:]
				}
			}
		})
	}
}

// repeating is a connection that says the same for ever.
type repeating struct {
	reading
	text []byte
	at   int
}

func (c *repeating) Read(p []byte) (int, error) {
	n := copy(p, c.text[c.at:])
	c.at = (c.at + n) % len(c.text)
	return n, nil
}

// BenchmarkBody is a message of 16 MiB from a connection in memory to a Host.
func BenchmarkBody(b *testing.B) {
	text := []byte(strings.Repeat(line78, 16<<20/len(line78)) + ".\r\n")
	v := &visit{s: New(Options{}, &sink{}), host: &sink{}, nc: &repeating{text: text}}
	v.small = make([]byte, smallBuffer)
	v.buf = v.small
	v.grow()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		v.env = &mail.Envelope{To: make([]mail.Recipient, 1)}
		v.r, v.w = 0, 0
		if err := v.data(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMessages is the accept path without a store: 5 KB messages, each a
// pipelined batch, on one connection in memory.
func BenchmarkMessages(b *testing.B) {
	text := []byte("MAIL FROM:<sender@example.com> SIZE=5000\r\nRCPT TO:<someone@example.net>\r\nDATA\r\n" + strings.Repeat(line78, 65) + ".\r\n")
	s := New(Options{MaxMessages: -1}, &sink{})
	v := &visit{s: s, host: &sink{}, nc: &repeating{text: text}, greeted: true, until: time.Now().Add(time.Hour)}
	v.small = make([]byte, smallBuffer)
	v.buf = v.small
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		for n := v.messages; v.messages == n; {
			l, _, err := v.line(true)
			if err == nil {
				err = v.obey(l)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkLoopback is the same over TCP, a round trip a batch, client included.
func BenchmarkLoopback(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := New(Options{MaxMessages: -1}, &sink{})
	go s.Serve(context.Background(), l)
	defer s.Shutdown(context.Background())
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	hear := func(lines int) {
		for range lines {
			if _, err := r.ReadSlice('\n'); err != nil {
				b.Fatal(err)
			}
		}
	}
	hear(1)
	io.WriteString(c, "HELO x\r\n")
	hear(1)
	head := []byte("MAIL FROM:<sender@example.com> SIZE=5000\r\nRCPT TO:<someone@example.net>\r\nDATA\r\n")
	body := []byte(strings.Repeat(line78, 65) + ".\r\n")
	b.SetBytes(int64(len(head) + len(body)))
	b.ReportAllocs()
	for b.Loop() {
		c.Write(head)
		hear(3)
		c.Write(body)
		hear(1)
	}
}

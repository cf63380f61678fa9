package filter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/internal/memnet"
)

func TestNonsenseIsAFault(t *testing.T) {
	for _, c := range []struct {
		name  string
		at    byte
		say   string
		asked string
		words string
	}{
		{"no milter", 'O', "220 mx ESMTP\r\n", "negotiation", "a packet of 842149920 octets"},
		{"an empty packet", 'C', u32(0), "connect", "an empty packet"},
		{"too large a packet", 'C', u32(maxPacket+1) + "c", "connect", "a packet of 1048577 octets"},
		{"the largest length", 'E', u32(1<<32-1) + "c", "end of message", "a packet of 4294967295 octets"},
		{"an unknown answer", 'M', packet('Z'), "MAIL", `answers "Z"`},
		{"the answer of another step", 'R', packet('h', "X-A\x00b\x00"), "RCPT", `answers "h"`},
		{"skip without being asked", 'C', packet('s'), "connect", `answers "s"`},
		{"shutdown", 'C', packet('4'), "connect", `answers "4"`},
		{"a reply that says yes", 'H', packet('y', "250 2.0.0 fine\x00"), "HELO", "reply 250 neither"},
		{"a reply without a code", 'E', packet('y', "go away\x00"), "end of message", "not an SMTP reply"},
		{"a reply without words", 'E', packet('y'), "end of message", "without its NUL"},
		{"a reply of two codes", 'E', packet('y', "550-5.7.1 a\r\n450 4.7.1 b\x00"), "end of message", "not an SMTP reply"},
		{"a reply that contradicts itself", 'E', packet('y', "550 4.7.1 a\x00"), "end of message", "reply 550 with status 4.7.1"},
		{"a reply with more", 'E', packet('y', "550 5.7.1 a\x00b\x00"), "end of message", "more behind"},
		{"a reply without an end", 'E', packet('y', "550 5.7.1 a"), "end of message", "NUL"},
		{"another body", 'E', packet('b', "new") + packet('a'), "end of message", errBody.Error()},
		{"a field without a value", 'E', packet('h', "X-A") + packet('a'), "end of message", "without its NUL"},
		{"a field with too much", 'E', packet('h', "X-A\x00a\x00b\x00") + packet('a'), "end of message", "without name and value"},
		{"a field without a position", 'E', packet('i', "\x00\x00\x00") + packet('a'), "end of message", "without a position"},
		{"a field without a name", 'E', packet('h', "\x00a\x00") + packet('a'), "end of message", `"" is no name`},
		{"a name of two words", 'E', packet('h', "X A\x00a\x00") + packet('a'), "end of message", `"X A" is no name`},
		{"an injected field", 'E', packet('h', "X-A\x00a\nBcc: x\x00") + packet('a'), "end of message", "line 2"},
		{"an injected body", 'E', packet('i', u32(0), "X-A\x00a\r\n\r\nx\x00") + packet('a'), "end of message", "line 2"},
		{"a bare CR", 'E', packet('m', u32(1), "X-A\x00a\rb\x00") + packet('a'), "end of message", "bare CR"},
		{"a far position", 'E', packet('i', u32(1<<31), "X-A\x00a\x00") + packet('a'), "end of message", "no position 2147483648"},
		{"no address", 'E', packet('+', "<a@b@c>\x00") + packet('a'), "end of message", "malformed address"},
		{"two addresses", 'E', packet('-', "<a@b><c@d>\x00") + packet('a'), "end of message", "malformed address"},
		{"an address and more", 'E', packet('-', "<a@b> SIZE=1\x00") + packet('a'), "end of message", "more than one"},
		{"an injected address", 'E', packet('e', "<a@b>\r\nRCPT TO:<c@d>\x00") + packet('a'), "end of message", "malformed address"},
		{"the null recipient", 'E', packet('+', "<>\x00") + packet('a'), "end of message", "null path"},
		{"endless changes", 'E', strings.Repeat(packet('h', "X-A\x00"+strings.Repeat("a", 1<<19)+"\x00"), 10) + packet('a'),
			"end of message", "an answer of more than 4194304 octets"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{says: map[byte][]string{c.at: {c.say}}}
			if c.at == 'O' {
				f.negotiation = c.say
			}
			op, err := f.start(t, nil).Ask(t.Context(), letter("Hello\r\n"))
			isFault(t, err, c.asked)
			if op.Action != Pass || !op.Reply.IsZero() || op.Changes != nil {
				t.Errorf("a fault with an opinion: %+v", op)
			}
			if !strings.Contains(err.Error(), c.words) {
				t.Errorf("%v: no %q", err, c.words)
			}
		})
	}
}

func TestBadNegotiationIsAFault(t *testing.T) {
	for name, say := range map[string]string{
		"version 1":       packet('O', u32(1), u32(0), u32(0)),
		"version 7":       packet('O', u32(7), u32(0), u32(0)),
		"unknown actions": packet('O', u32(6), u32(1<<20), u32(0)),
		"macros":          packet('O', u32(6), u32(0), u32(0), u32(1), "j"),
		"short":           packet('O', u32(6)),
		"refused":         packet('r'),
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{negotiation: say}
			_, err := f.start(t, nil).Ask(t.Context(), letter(""))
			isFault(t, err, "negotiation")
		})
	}
}

// talkative is a milter that has something to say at every step.
func talkative(cut int) *fake {
	return &fake{cut: cut, says: map[byte][]string{'R': {packet('r')}, 'E': {packet('p') + packet('h', "X-A\x00b\x00") +
		packet('i', u32(1), "X-B\x00c\x00") + packet('q', "odd\x00") + packet('y', "550 5.7.1 no\x00")}}}
}

func TestACutAtAnyOctetIsAFault(t *testing.T) {
	whole := talkative(0)
	if op, err := whole.start(t, nil).Ask(t.Context(), letter("Hello\r\n")); err != nil || op.Action != Refuse {
		t.Fatalf("%+v, %v", op, err)
	}
	<-whole.ended
	for n := 1; n < whole.written; n++ {
		op, err := talkative(n).start(t, nil).Ask(t.Context(), letter("Hello\r\n"))
		var f *Fault
		if !errors.As(err, &f) || !errors.Is(err, io.ErrUnexpectedEOF) || op.Action != Pass {
			t.Fatalf("cut after %d of %d octets: %+v, %v", n, whole.written, op, err)
		}
	}
}

func TestAClosedConnectionIsAFault(t *testing.T) {
	for cmd, asked := range map[byte]string{'O': "negotiation", 'C': "connect", 'H': "HELO", 'M': "MAIL", 'R': "RCPT",
		'T': "DATA", 'L': "header", 'N': "end of header", 'B': "body", 'E': "end of message"} {
		f := &fake{hangup: cmd}
		_, err := f.start(t, nil).Ask(t.Context(), letter("Hello\r\n"))
		isFault(t, err, asked)
	}
}

func TestSilenceIsAFault(t *testing.T) {
	for cmd, asked := range map[byte]string{'C': "connect", 'H': "HELO", 'M': "MAIL", 'R': "RCPT",
		'T': "DATA", 'L': "header", 'N': "end of header", 'B': "body", 'E': "end of message"} {
		synctest.Test(t, func(t *testing.T) {
			want := 30 * time.Second
			if cmd == 'E' {
				want = 2 * time.Minute
			}
			f := &fake{says: map[byte][]string{cmd: {""}}}
			began := time.Now()
			_, err := f.start(t, nil).Ask(t.Context(), letter("Hello\r\n"))
			isFault(t, err, asked)
			if took := time.Since(began); took != want || !strings.Contains(err.Error(), "no answer within "+want.String()) {
				t.Errorf("after %v: %v", took, err)
			}
		})
	}
}

func TestAFilterHasOnlyItsTime(t *testing.T) {
	for _, c := range []struct {
		name string
		say  func(c net.Conn) // after the negotiation, which it must do itself
		took time.Duration
		why  string
	}{
		{"silent from the first", func(net.Conn) {}, 30 * time.Second, "no answer within 30s"},
		{"an octet now and then", func(c net.Conn) {
			for {
				time.Sleep(10 * time.Second)
				if _, err := c.Write([]byte{0}); err != nil {
					return
				}
			}
		}, 30 * time.Second, "no answer within 30s"},
		{"at work for ever", func(c net.Conn) {
			io.WriteString(c, packet('O', u32(6), u32(0), u32(0)))
			for {
				time.Sleep(20 * time.Second)
				if _, err := io.WriteString(c, packet('p')); err != nil {
					return
				}
			}
		}, 5 * time.Minute, errWhole.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := pipe(t)
				var peer sync.WaitGroup
				peer.Go(func() { io.Copy(io.Discard, far) })
				peer.Go(func() { c.say(far) })
				m := dialing(t, func(context.Context, string, string) (net.Conn, error) { return near, nil })
				began := time.Now()
				_, err := m.Ask(t.Context(), letter(""))
				if took := time.Since(began); err == nil || took != c.took || !strings.Contains(err.Error(), c.why) {
					t.Errorf("after %v: %v", took, err)
				}
				far.Close()
				peer.Wait()
			})
		})
	}
}

// pipe returns the two ends of a connection.
func pipe(t *testing.T) (near, far net.Conn) {
	n := memnet.New()
	l, err := n.Listen(fakeAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = n.DialContext(t.Context(), "tcp", fakeAddr); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

func dialing(t *testing.T, dial func(context.Context, string, string) (net.Conn, error)) *Milter {
	m, err := NewMilter(MilterOptions{Name: "fake", Address: fakeAddr, Dial: dial})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWhoCannotBeReachedIsAFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		m := dialing(t, n.DialContext)
		_, err := m.Ask(t.Context(), letter(""))
		isFault(t, err, "connection")
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Error(err)
		}
		n.Set(fakeAddr, memnet.Fault{Dial: memnet.Silent})
		began := time.Now()
		_, err = m.Ask(t.Context(), letter(""))
		isFault(t, err, "connection")
		if took := time.Since(began); took != 10*time.Second || !strings.Contains(err.Error(), "no connection within 10s") {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// TestAMilterGoesByTheTimeItWasGiven: from the dial on, and for as long as it says.
func TestAMilterGoesByTheTimeItWasGiven(t *testing.T) {
	for _, end := range []time.Duration{4 * time.Second, 8 * time.Minute} {
		for cmd, want := range map[byte]time.Duration{
			0: min(end, 10*time.Second), 'C': min(end, 30*time.Second), 'B': min(end, 30*time.Second), 'E': end,
		} {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{says: map[byte][]string{cmd: {""}}}
				m := f.start(t, func(o *MilterOptions) {
					o.End = end
					if cmd == 0 {
						o.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
							<-ctx.Done()
							return nil, ctx.Err()
						}
					}
				})
				began := time.Now()
				_, err := m.Ask(t.Context(), letter("Hello\r\n"))
				if took := time.Since(began); err == nil || took != want {
					t.Errorf("silent at %q with %v: %v after %v, want %v", cmd, end, err, took, want)
				}
			})
		}
	}
}

func TestAnEndedQuestionEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{says: map[byte][]string{'E': {""}}}
		m := f.start(t, nil)
		gone := errors.New("the client has gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(gone) })
		began := time.Now()
		_, err := m.Ask(ctx, letter(""))
		isFault(t, err, "end of message")
		if !errors.Is(err, gone) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := &fake{says: map[byte][]string{'E': {""}}}
		m := silent.start(t, func(o *MilterOptions) { o.Connections, o.Whole = 2, time.Minute })
		errs := make(chan error)
		ask := func(ctx context.Context) {
			_, err := m.Ask(ctx, letter(""))
			errs <- err
		}
		go ask(t.Context())
		go ask(t.Context())
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go ask(ctx)
		var all []string
		for range 3 {
			all = append(all, (<-errs).(*Fault).Asked)
		}
		slices.Sort(all)
		if want := []string{"end of message", "end of message", "wait for one of 2 connections"}; !slices.Equal(all, want) {
			t.Errorf("%q", all)
		}
	})
}

func TestABodyThatCannotBeReadIsAFault(t *testing.T) {
	f := new(fake)
	m := letter("short")
	m.Size = 100
	_, err := f.start(t, nil).Ask(t.Context(), m)
	isFault(t, err, "body")
	if !strings.Contains(err.Error(), "cannot read the message") {
		t.Error(err)
	}
}

// FuzzAnswer lets a filter answer anything at all.
func FuzzAnswer(f *testing.F) {
	negotiation := packet('O', u32(6), u32(0x1ff), u32(skip))
	steps := strings.Repeat(packet('c'), 12)
	f.Add([]byte(negotiation + steps + packet('h', "X-A\x00b\x00") + packet('y', "550 5.7.1 no\x00")))
	f.Add([]byte(negotiation + packet('y', "450-4.1.1 a\r\n450 4.1.1 b\x00")))
	f.Add([]byte(packet('O', u32(6), u32(0x1ff), u32(0xfffff), u32(0), "j i\x00") + packet('m', u32(1), "A\x00\x00") + packet('e', "<>\x00") + packet('d')))
	f.Add([]byte(u32(0)))
	f.Fuzz(func(t *testing.T, answer []byte) {
		m := dialing(t, func(context.Context, string, string) (net.Conn, error) {
			return &deaf{Reader: bytes.NewReader(answer)}, nil
		})
		msg := letter("Hello\r\n")
		op, err := m.Ask(t.Context(), msg)
		if err != nil {
			var fault *Fault
			if !errors.As(err, &fault) || op.Action != Pass {
				t.Fatalf("%+v, %v", op, err)
			}
			return
		}
		if (op.Action == Defer) != op.Reply.Temporary() || (op.Action == Refuse) != op.Reply.Permanent() {
			t.Fatalf("%+v", op)
		}
		out, err := Apply(nil, msg.Header, op.Changes)
		if err != nil || bytes.Contains(out, []byte("\r\n\r\n")) {
			t.Fatalf("%q, %v of %+v", out, err, op.Changes)
		}
	})
}

// deaf is a peer that has said all it will before it is told anything.
type deaf struct {
	io.Reader
	net.Conn
}

func (d *deaf) Read(p []byte) (int, error)       { return d.Reader.Read(p) }
func (d *deaf) Write(p []byte) (int, error)      { return len(p), nil }
func (d *deaf) Close() error                     { return nil }
func (d *deaf) SetReadDeadline(time.Time) error  { return nil }
func (d *deaf) SetWriteDeadline(time.Time) error { return nil }

func TestAFaultIsOneCleanLine(t *testing.T) {
	f := &Fault{"rspamd", "unix:/run/x.sock", "MAIL", 1500 * time.Millisecond, fmt.Errorf("said %s", "a\r\nb\x1b[2J")}
	if got, want := f.Error(), "filter: rspamd at unix:/run/x.sock: MAIL, after 1.5s: said a??b?[2J"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

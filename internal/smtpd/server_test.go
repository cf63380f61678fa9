package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/mail"
)

func TestRepliesToABatchAreOneWrite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, l := start(t, Options{}, &recorder{})
		c := l.dial("192.0.2.9:1025")
		defer c.Close()
		c.say(hello).say("MAIL FROM:<>\r\n" + strings.Repeat("RCPT TO:<b@example.net>\r\n", 50) + "DATA\r\n")
		if c.listen(); c.writes != 3 { // the banner, EHLO, the batch
			t.Errorf("%d writes", c.writes)
		}
		c.say("hi\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
		if got, _ := c.listen(); codes(got) != "250 2.0.0, 250 2.1.0, 250 2.1.5, 354" || c.writes != 4 {
			t.Errorf("%d writes: %s", c.writes, got)
		}
	})
}

// TestASlowClientHasItsTimeAndNoMore: RFC 5321 4.5.3.2, and a bound on those
// who send an octet a minute.
func TestASlowClientHasItsTimeAndNoMore(t *testing.T) {
	const batch = hello + envelope + "DATA\r\n"
	tests := []struct {
		name         string
		begin        string
		drip         string
		every        time.Duration
		least, above time.Duration
		last         string
	}{
		{name: "no command", least: 5 * time.Minute, above: 5*time.Minute + time.Second, last: "421 4.4.2"},
		{name: "a command in drops", drip: "N", every: time.Minute, least: 5 * time.Minute, above: 5*time.Minute + time.Second, last: "421 4.4.2"},
		{name: "commands and no message", drip: "NOOP\r\n", every: 4 * time.Minute, least: 30 * time.Minute, above: 31 * time.Minute, last: "421 4.4.2"},
		{name: "silence in DATA", begin: batch, least: 3 * time.Minute, above: 3*time.Minute + time.Second, last: "421 4.4.2"},
		{name: "DATA in drops", begin: batch, drip: "x", every: time.Minute, least: 3 * time.Minute, above: 4 * time.Minute, last: "421 4.4.2"},
		{name: "BDAT in drops", begin: hello + envelope + "BDAT 1000 LAST\r\n", drip: "x", every: time.Minute, least: 3 * time.Minute, above: 4 * time.Minute, last: "421 4.4.2"},
		{name: "chunks in drops", begin: hello + envelope, drip: "BDAT 1\r\nx", every: 2 * time.Minute, least: 5 * time.Minute, above: 8 * time.Minute, last: "421 4.4.2"},
		{name: "slow but steady", begin: batch, drip: strings.Repeat("x", 20_000) + "\r\n", every: 2 * time.Minute, least: 2 * time.Hour, above: 3 * time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := &recorder{}
				_, l := start(t, Options{}, h)
				c := l.dial("192.0.2.9:1025")
				defer c.Close()
				c.say(tt.begin)
				began := time.Now()
				next := began
				var heard string
				for time.Since(began) < tt.above {
					if tt.drip != "" && !time.Now().Before(next) {
						c.say(tt.drip)
						next = time.Now().Add(tt.every)
					}
					time.Sleep(time.Second)
					s, gone := c.listen()
					if heard += s; gone {
						break
					}
				}
				took := time.Since(began)
				if took < tt.least || tt.last != "" && took > tt.above || !strings.HasSuffix(codes(heard), tt.last) {
					t.Errorf("took %v: %s", took, codes(heard))
				}
				if len(h.taken()) != 0 {
					t.Error("a message was taken")
				}
			})
		})
	}
}

func TestAServerThatStopsTellsIdleClientsAndEndsMessages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := &recorder{}
		s, l := start(t, Options{}, h)
		idle, busy, chunky := l.dial("192.0.2.8:1"), l.dial("192.0.2.9:1"), l.dial("192.0.2.7:1")
		idle.say(hello + envelope)
		busy.say(hello + envelope + "DATA\r\nhi\r\n")
		chunky.say(hello + envelope + "BDAT 2\r\nhi")
		idle.listen()
		busy.listen()
		chunky.listen()
		done := make(chan error, 1)
		go func() { done <- s.Shutdown(context.Background()) }()
		if got, gone := idle.listen(); codes(got) != "421 4.3.2" || !gone {
			t.Errorf("idle: %v %s", gone, got)
		}
		if got, gone := busy.listen(); got != "" || gone {
			t.Errorf("busy: %v %s", gone, got)
		}
		busy.say(".\r\nMAIL FROM:<>\r\n")
		chunky.say("BDAT 0 LAST\r\n")
		if got, gone := busy.listen(); codes(got) != "250 2.0.0, 250 2.1.0, 421 4.3.2" || !gone {
			t.Errorf("busy: %v %s", gone, got)
		}
		if got, gone := chunky.listen(); codes(got) != "250 2.0.0, 421 4.3.2" || !gone {
			t.Errorf("chunky: %v %s", gone, got)
		}
		if err := <-done; err != nil || len(h.taken()) != 2 {
			t.Errorf("Shutdown: %v, %d messages", err, len(h.taken()))
		}
	})
}

func TestAServerStopsInTimeWhateverItsClientsDo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := &recorder{}
		l := newListener()
		s := New(Options{Times: Times{Drain: 7 * time.Second}}, h)
		ctx, cancel := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx, l) }()
		c := l.dial("192.0.2.9:1")
		c.say(hello + envelope + "DATA\r\nhi\r\n")
		began := time.Now()
		cancel()
		if err := <-served; err != nil || time.Since(began) != 7*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if _, gone := c.listen(); !gone || h.story() != "greet hello mail rcpt dropped close" {
			t.Errorf("%v %s", gone, h.story())
		}
		if err := s.Serve(context.Background(), newListener()); err != nil {
			t.Errorf("Serve after the end: %v", err)
		}
	})
}

func TestConnectionsAreCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, l := start(t, Options{MaxConns: 4, MaxConnsPerClient: 2}, &recorder{})
		for _, tt := range []struct{ addr, want string }{
			{"192.0.2.1:1", "220"}, {"192.0.2.1:2", "220"}, {"192.0.2.1:3", "421 4.7.0"}, {"[::ffff:192.0.2.1]:3", "421 4.7.0"},
			{"[2001:db8::1]:1", "220"}, {"[2001:db8::2]:1", "220"}, {"[2001:db8::3]:1", "421 4.7.0"}, {"192.0.2.7:1", "421 4.7.0"},
		} {
			c := l.dial(tt.addr)
			got, gone := c.listen()
			if codes(got) != tt.want || gone != (tt.want != "220") {
				t.Errorf("%s: %v %s", tt.addr, gone, got)
			}
			defer c.Close()
			if tt.addr == "[2001:db8::3]:1" {
				defer func() {
					c := l.dial(tt.addr)
					defer c.Close()
					if got, _ := c.listen(); codes(got) != "421 4.7.0" {
						t.Errorf("full: %s", got)
					}
				}()
			}
		}
	})
	bubble(t, func(t *testing.T) {
		_, l := start(t, Options{MaxConnsPerClient: 1}, &recorder{})
		for _, a := range []addr{"127.0.0.1:1", "127.0.0.1:1", "[::1]:1", "[::1]:1", "@unix", "@unix", "192.0.2.1:1"} {
			c := l.dial(string(a))
			if got, _ := c.listen(); codes(got) != "220" {
				t.Errorf("%s: %s", a, got)
			}
			c.Close()
			synctest.Wait()
		}
		c := l.dial("192.0.2.1:1") // the one before has left
		defer c.Close()
		if got, _ := c.listen(); codes(got) != "220" {
			t.Errorf("again: %s", got)
		}
	})
}

func TestWhoSpeaksFirstIsNoMailServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := &recorder{}
		spare := func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.3") }
		_, l := start(t, Options{GreetDelay: 5 * time.Second, Spare: spare}, h)
		known := l.dial("192.0.2.3:1")
		if got, _ := known.say("NOOP\r\n").listen(); codes(got) != "220, 250 2.0.0" {
			t.Errorf("who is spared waits: %s", got)
		}
		known.Close()
		synctest.Wait()
		h.forget()
		early, polite := l.dial("192.0.2.1:1"), l.dial("192.0.2.2:1")
		defer polite.Close()
		early.say(hello)
		if got, gone := early.listen(); codes(got) != "554 5.5.1" || !gone {
			t.Errorf("early: %v %s", gone, got)
		}
		if got, _ := polite.listen(); got != "" || strings.Contains(h.story(), "greet greet") {
			t.Errorf("polite, at once: %s", got)
		}
		time.Sleep(5 * time.Second)
		first, _ := polite.listen()
		second, _ := polite.say("NOOP\r\n").listen()
		if codes(first+second) != "220, 250 2.0.0" {
			t.Errorf("polite: %s%s", first, second)
		}
	})
}

// TestAClientThatDoesNotReadIsLeft: replies must not pile up behind it.
func TestAClientThatDoesNotReadIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := &recorder{}
		_, l := start(t, Options{}, h)
		near, far := net.Pipe()
		defer near.Close()
		l.conns <- from{far, "192.0.2.1:1"}
		time.Sleep(time.Minute + time.Second)
		if h.story() != "greet close" {
			t.Error(h.story())
		}
	})
}

// TestNothingAcknowledgedIsLostWhenTheServerStops: whoever heard 250 is kept,
// whenever the end comes.
func TestNothingAcknowledgedIsLostWhenTheServerStops(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := &recorder{}
		s, l := start(t, Options{MaxConnsPerClient: -1}, h)
		var acked atomic.Int32
		for i := range 30 {
			c := l.dial("192.0.2.1:" + itoa(1000+i))
			defer c.Close()
			go func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				io.WriteString(c, hello)
				for {
					if _, err := io.WriteString(c, envelope+"DATA\r\n"); err != nil {
						break
					}
					time.Sleep(7 * time.Millisecond)
					if _, err := io.WriteString(c, "hi\r\n.\r\n"); err != nil {
						break
					}
					time.Sleep(5 * time.Millisecond)
				}
				c.mu.Lock()
				defer c.mu.Unlock()
				acked.Add(int32(strings.Count(c.heard.String(), "Kept")))
			}()
		}
		time.Sleep(200 * time.Millisecond)
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if n := len(h.taken()); n < 100 || int(acked.Load()) != n {
			t.Errorf("%d acknowledged, %d kept", acked.Load(), n)
		}
	})
}

func TestTheProtocolIsNamedAsRegistered(t *testing.T) {
	for _, tt := range []struct {
		lmtp, extended, safe, utf8 bool
		want                       string
	}{
		{want: "SMTP"}, {extended: true, want: "ESMTP"}, {extended: true, safe: true, want: "ESMTPS"}, {safe: true, want: "ESMTPS"},
		{extended: true, utf8: true, want: "UTF8SMTP"}, {extended: true, safe: true, utf8: true, want: "UTF8SMTPS"},
		{lmtp: true, extended: true, want: "LMTP"}, {lmtp: true, safe: true, want: "LMTPS"},
		{lmtp: true, utf8: true, want: "UTF8LMTP"}, {lmtp: true, utf8: true, safe: true, want: "UTF8LMTPS"},
	} {
		v := &visit{s: New(Options{LMTP: tt.lmtp}, nil), hello: Hello{Extended: tt.extended}}
		if tt.safe {
			v.hello.TLS = new(tls.ConnectionState)
		}
		if got := v.protocol(&mail.Envelope{UTF8: tt.utf8}); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

func TestAHostMayTurnClientsAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := &recorder{greet: reply(554, "not you")}
		_, l := start(t, Options{}, h)
		c := l.dial("192.0.2.1:1")
		if got, gone := c.listen(); got != "554 5.0.0 not you\r\n" || !gone || h.story() != "greet" {
			t.Errorf("%v %q %s", gone, got, h.story())
		}
	})
	bubble(t, func(t *testing.T) {
		got, gone := dialog(t, Options{}, &recorder{hello: reply(550, "bad name")}, hello+"MAIL FROM:<>\r\n")
		if codes(got) != "550 5.0.0, 503 5.5.1" || gone {
			t.Errorf("%v %q", gone, got)
		}
	})
	bubble(t, func(t *testing.T) {
		h := &recorder{rcpt: func(mail.Recipient) mail.Reply { return reply(421, "enough") }}
		got, gone := dialog(t, Options{}, h, hello+envelope+"NOOP\r\n")
		if codes(got) != "250, 250 2.1.0, 421 4.0.0" || !gone {
			t.Errorf("%v %q", gone, got)
		}
	})
}

func TestErrorsAreMadeSlow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, l := start(t, Options{}, &recorder{})
		c := l.dial("192.0.2.1:1")
		began := time.Now()
		c.say(strings.Repeat("FOO\r\n", 20))
		for {
			if _, gone := c.listen(); gone {
				break
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// failing fails to accept a few times before it hands out connections.
type failing struct {
	*listener
	fails int
}

func (l *failing) Accept() (net.Conn, error) {
	if l.fails > 0 {
		l.fails--
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.listener.Accept()
}

func TestServeSurvivesWantOfDescriptors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &failing{newListener(), 20}
		s := New(Options{}, &recorder{})
		served := make(chan error, 1)
		go func() { served <- s.Serve(context.Background(), l) }()
		c := l.dial("192.0.2.1:1")
		if got, _ := c.listen(); codes(got) != "220" {
			t.Errorf("%s", got)
		}
		c.Close()
		l.Close()
		if err := <-served; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a listener closed by others: %v", err)
		}
	})
}

// TestALongLineCostsNoMemory: a line of a megabyte is skipped as it comes.
func TestALongLineCostsNoMemory(t *testing.T) {
	v := &visit{s: New(Options{}, nil), buf: make([]byte, smallBuffer)}
	v.small, v.until = v.buf, time.Now().Add(time.Hour)
	v.nc = reading{strings.NewReader(strings.Repeat("x", 60_000) + "\r\n")}
	if n := testing.AllocsPerRun(1, func() { v.line(true) }); n > 20 || len(v.buf) != smallBuffer {
		t.Errorf("%v allocations, buffer of %d", n, len(v.buf))
	}
}

// reading is a connection that only reads.
type reading struct{ io.Reader }

func (reading) Write(p []byte) (int, error)      { return len(p), nil }
func (reading) Close() error                     { return nil }
func (reading) LocalAddr() net.Addr              { return nil }
func (reading) RemoteAddr() net.Addr             { return nil }
func (reading) SetDeadline(time.Time) error      { return nil }
func (reading) SetReadDeadline(time.Time) error  { return nil }
func (reading) SetWriteDeadline(time.Time) error { return nil }

// faulty is a Host that fails one client in one of its calls.
type faulty struct {
	recorder
	in string
}

type faultySession struct{ *faulty }

func (h *faulty) fail(in string) {
	if in == h.in {
		panic("a fault in " + in)
	}
}

func (h *faulty) Greet(ctx context.Context, c Client) (Session, mail.Reply) {
	if c.Addr.Addr() != netip.MustParseAddr("192.0.2.9") {
		return h.recorder.Greet(ctx, c)
	}
	h.fail("greet")
	return faultySession{h}, mail.Reply{}
}

func (s faultySession) Hello(context.Context, Hello) mail.Reply {
	s.fail("hello")
	return mail.Reply{}
}

func (s faultySession) Rcpt(context.Context, *mail.Envelope, mail.Recipient) mail.Reply {
	s.fail("rcpt")
	return mail.Reply{}
}

func (s faultySession) Data(_ context.Context, m Transfer) mail.Reply {
	io.CopyN(io.Discard, m.Body, 1)
	s.fail("data")
	return mail.Reply{}
}

func (s faultySession) Reset() { s.fail("reset") }

func (s faultySession) Close() {
	s.note("faulty close")
	s.fail("close")
}

func TestAFaultOfOursEndsOneVisit(t *testing.T) {
	for _, in := range []string{"greet", "hello", "rcpt", "data", "reset", "close"} {
		t.Run(in, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				log, h := &strings.Builder{}, &faulty{in: in}
				s, l := start(t, Options{MaxConnsPerClient: 1, Log: slog.New(slog.NewTextHandler(log, nil))}, h)
				other := l.dial("192.0.2.8:1025").say(hello + envelope + "DATA\r\n")
				defer other.Close()

				for range 3 { // that of a client who has left does not count
					c := l.dial("192.0.2.9:1025").say(hello + envelope + "RSET\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n")
					defer c.Close()
					time.Sleep(10 * time.Second)
					got, gone := c.listen()
					if !gone || !strings.HasSuffix(codes(got), ", 421 4.3.0") && got[:3] != "421" || strings.Contains(got, "fault in") {
						t.Errorf("gone: %t\n%s", gone, got)
					}
				}
				if !strings.Contains(log.String(), "a fault in "+in) || !strings.Contains(log.String(), "server_test.go") {
					t.Errorf("the log does not say where:\n%s", log)
				}
				if n := strings.Count(h.story(), "faulty close"); n != 3 && in != "greet" {
					t.Errorf("%d of 3 sessions are closed", n)
				}

				other.listen()
				other.say("hi\r\n.\r\n")
				if got, gone := other.listen(); codes(got) != "250 2.0.0" || gone {
					t.Errorf("another visit: %s", got)
				}
				if err := s.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

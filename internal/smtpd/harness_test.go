package smtpd

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/mail"
)

// recorder is a Host that keeps what it is given. A reply set for a stage is
// what it answers there.
type recorder struct {
	mu        sync.Mutex
	calls     []string
	messages  []message
	hellos    []Hello
	client    Client
	forwarded Forwarded
	greet     mail.Reply
	hello     mail.Reply
	mail      func(*mail.Envelope, int64) mail.Reply
	rcpt      func(mail.Recipient) mail.Reply
	data      func(context.Context, Transfer) mail.Reply
}

// message is one that a recorder took.
type message struct {
	env      mail.Envelope
	body     string
	protocol string
}

func (h *recorder) note(call string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, call)
}

func (h *recorder) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = nil
}

func (h *recorder) story() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.calls, " ")
}

func (h *recorder) taken() []message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.messages)
}

func (h *recorder) Greet(_ context.Context, c Client) (Session, mail.Reply) {
	h.note("greet")
	if c.Early {
		return nil, mail.Reply{Code: 554, Status: mail.Status{5, 5, 1}, Text: "You spoke before the greeting"}
	}
	h.mu.Lock()
	h.client = c
	h.mu.Unlock()
	if !h.greet.IsZero() {
		return nil, h.greet
	}
	return h, mail.Reply{}
}

func (h *recorder) Hello(_ context.Context, hello Hello) mail.Reply {
	h.note("hello")
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hellos = append(h.hellos, hello)
	return h.hello
}

func (h *recorder) Mail(_ context.Context, env *mail.Envelope, size int64) (r mail.Reply) {
	h.note("mail")
	if h.mail != nil {
		r = h.mail(env, size)
	}
	return r
}

func (h *recorder) Rcpt(_ context.Context, _ *mail.Envelope, to mail.Recipient) (r mail.Reply) {
	h.note("rcpt")
	if h.rcpt != nil {
		r = h.rcpt(to)
	}
	return r
}

func (h *recorder) Data(ctx context.Context, m Transfer) mail.Reply {
	if h.data != nil {
		r := h.data(ctx, m)
		h.note("data")
		return r
	}
	b, err := io.ReadAll(m.Body)
	if err != nil {
		h.note("dropped")
		return mail.Reply{}
	}
	h.note("data")
	h.mu.Lock()
	defer h.mu.Unlock()
	h.messages = append(h.messages, message{*m.Envelope, string(b), m.Protocol})
	return mail.Reply{Code: 250, Text: "Kept"}
}

func (h *recorder) Forward(f Forwarded) {
	h.note("forward")
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forwarded = f
}

func (h *recorder) Start(_ context.Context, domain string, under bool) mail.Reply {
	h.note(fmt.Sprintf("start %s %t", domain, under))
	return mail.Reply{}
}

func (h *recorder) Reset() { h.note("reset") }
func (h *recorder) Close() { h.note("close") }

// listener hands out the far ends of the connections it is asked for.
type listener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newListener() *listener {
	return &listener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *listener) Addr() net.Addr { return addr("192.0.2.1:25") }

type addr string

func (a addr) Network() string { return "mem" }
func (a addr) String() string  { return string(a) }

// from is a connection that says where it comes from.
type from struct {
	net.Conn
	remote addr
}

func (c from) RemoteAddr() net.Addr { return c.remote }
func (c from) LocalAddr() net.Addr  { return addr("192.0.2.1:25") }

// client is the near end of a connection. All that the server says is read at
// once and kept: one Read takes one Write of the server.
type client struct {
	net.Conn
	mu     sync.Mutex
	heard  strings.Builder
	writes int
	gone   bool
}

func (l *listener) dial(remote string) *client {
	near, far := net.Pipe()
	c := &client{Conn: near}
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := near.Read(buf)
			c.mu.Lock()
			if n > 0 {
				c.heard.Write(buf[:n])
				c.writes++
			}
			if err != nil {
				c.gone = true
				c.mu.Unlock()
				return
			}
			c.mu.Unlock()
		}
	}()
	l.conns <- from{far, addr(remote)}
	return c
}

// listen returns what the server said since it was last asked, and whether it
// hung up, once there is nothing more to come without time passing.
func (c *client) listen() (string, bool) {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.heard.String()
	c.heard.Reset()
	return s, c.gone
}

// say writes without waiting for the server to read.
func (c *client) say(s string) *client {
	go io.WriteString(c.Conn, s)
	synctest.Wait()
	return c
}

// start serves on a new listener until the test ends.
func start(t testing.TB, o Options, h Host) (*Server, *listener) {
	l := newListener()
	s := New(o, h)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, l
}

// bubble runs f in virtual time.
func bubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

// dialog says all of input at once to a new server, waits a minute, and returns
// all that was answered behind the banner.
func dialog(t *testing.T, o Options, h *recorder, input string) (answer string, hungUp bool) {
	t.Helper()
	_, l := start(t, o, h)
	c := l.dial("192.0.2.9:1025")
	defer c.Close()
	c.listen()
	c.say(input)
	time.Sleep(time.Minute)
	return c.listen()
}

// codes are the codes of the replies in s, with the status where there is one.
func codes(s string) string {
	var all []string
	for l := range strings.Lines(s) {
		l = strings.TrimSuffix(l, "\r\n")
		if len(l) > 3 && l[3] == '-' {
			continue
		}
		words := strings.Fields(l)
		if len(words) > 1 && strings.Count(words[1], ".") == 2 && l[0] != '3' {
			all = append(all, words[0]+" "+words[1])
		} else if len(words) > 0 {
			all = append(all, words[0])
		}
	}
	return strings.Join(all, ", ")
}

const hello = "EHLO client.example\r\n"
const envelope = "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n"
const greeted = "250, "
const enveloped = greeted + "250 2.1.0, 250 2.1.5, "

func reply(code int, text string) mail.Reply { return mail.Reply{Code: code, Text: text} }

func itoa(n int) string { return strconv.Itoa(n) }

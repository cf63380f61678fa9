package carrier

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/internal/memnet"
	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/mail"
)

// world is a network in memory with a carrier in it.
type world struct {
	*testing.T
	net     *memnet.Network
	zone    dns.Zone
	carrier *Carrier
	log     bytes.Buffer
	dialled []string // addresses, in order
	mu      sync.Mutex
}

// inWorld runs f in virtual time. It fails if a goroutine outlives the carrier.
func inWorld(t *testing.T, o Options, routes []route.Route, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, net: memnet.New()}
		finder, err := route.New(&w.zone, route.Options{Routes: routes, Shuffle: func(int, func(i, j int)) {}})
		if err != nil {
			t.Fatal(err)
		}
		o.Finder, o.Helo, o.Log = finder, func() string { return "us.example" }, slog.New(slog.NewTextHandler(&w.log, nil))
		o.Dial = func(ctx context.Context, network, address string, from net.Addr) (net.Conn, error) {
			w.mu.Lock()
			w.dialled = append(w.dialled, address)
			w.mu.Unlock()
			var src netip.Addr
			if from != nil {
				src = from.(*net.TCPAddr).AddrPort().Addr()
			}
			return w.net.DialFrom(ctx, src, network, address)
		}
		w.carrier = New(o)
		t.Cleanup(w.carrier.Close)
		w.zone.Add("a.example", "MX 10 mx1.a.example", "MX 20 mx2.a.example")
		w.zone.Add("mx1.a.example", "A 192.0.2.1")
		w.zone.Add("mx2.a.example", "A 192.0.2.2")
		f(w)
	})
}

// host is a mail server that keeps what it takes; what it answers to RCPT can be set.
type host struct {
	mu      sync.Mutex
	visits  atomic.Int32
	ended   atomic.Int32
	secure  bool
	taken   []string // recipients of each message
	bodies  []string
	answers map[string]mail.Reply // by local part

	forwarded []smtpd.Forwarded
}

func (h *host) Greet(context.Context, smtpd.Client) (smtpd.Session, mail.Reply) {
	h.visits.Add(1)
	return h, h.answers["greet"]
}
func (h *host) Hello(_ context.Context, hello smtpd.Hello) mail.Reply {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.secure = hello.TLS != nil
	return mail.Reply{}
}
func (h *host) Mail(context.Context, *mail.Envelope, int64) mail.Reply { return h.answers["mail"] }
func (h *host) Rcpt(_ context.Context, _ *mail.Envelope, r mail.Recipient) mail.Reply {
	return h.answers[r.Address.Local]
}
func (h *host) Data(_ context.Context, m smtpd.Transfer) mail.Reply {
	b, err := io.ReadAll(m.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	var to []string
	for _, r := range m.Envelope.To {
		to = append(to, r.Address.String())
	}
	if err == nil {
		h.taken, h.bodies = append(h.taken, strings.Join(to, " ")), append(h.bodies, string(b))
	}
	return mail.Reply{Code: 250, Status: mail.Status{2, 0, 0}, Text: "Kept"}
}
func (h *host) Forward(f smtpd.Forwarded) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forwarded = append(h.forwarded, f)
}
func (h *host) Reset() {}
func (h *host) Close() { h.ended.Add(1) }

// serve makes h listen until the test ends.
func (w *world) serve(h *host, address string, o smtpd.Options) *host {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	l := w.listen(address)
	go func() { done <- smtpd.New(o, h).Serve(ctx, l) }()
	w.Cleanup(func() { cancel(); <-done })
	return h
}

func (w *world) listen(address string) net.Listener {
	w.Helper()
	l, err := w.net.Listen(address)
	if err != nil {
		w.Fatal(err)
	}
	return l
}

// script serves word for word: say answers a command on connection n (from 1), ""
// for the greeting and "." for the message. "" is the usual answer, "hang" none, ever,
// "close" the end of the connection.
func (w *world) script(address string, say func(n int, line string) string) {
	l := w.listen(address)
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer c.Close(); follow(c, n, say) })
		}
	})
	w.Cleanup(func() { w.carrier.Close(); l.Close(); wg.Wait() })
}

func follow(c net.Conn, n int, say func(int, string) string) {
	usual := map[string]string{"": "220 host ready", ".": "250 kept", "DATA": "354 go on", "QUIT": "221 bye"}
	r := bufio.NewReader(c)
	for line := ""; ; {
		verb, _, _ := strings.Cut(line, " ")
		answer := say(n, line)
		switch {
		case answer == "close":
			return
		case answer == "hang":
			io.Copy(io.Discard, r)
			return
		case answer == "" && usual[verb] != "":
			answer = usual[verb]
		case answer == "":
			answer = "250 ok"
		}
		fmt.Fprintf(c, "%s\r\n", answer)
		data := strings.HasPrefix(answer, "354")
		for {
			s, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if line = strings.TrimRight(s, "\r\n"); !data || line == "." {
				break
			}
		}
	}
}

// letter is a message, and its deliveries to some addresses, one for each domain.
func letter(to ...string) (custody.Message, []custody.Delivery) {
	m := custody.Message{
		ID: custody.NewID(time.Now(), 1, 7), Accepted: time.Now(), Size: int64(len(text)),
		Envelope: mail.Envelope{From: mail.Address{Local: "me", Domain: "us.example"}},
	}
	by := map[string][]mail.Recipient{}
	var domains []string
	for _, a := range to {
		local, domain, _ := strings.Cut(a, "@")
		if by[domain] == nil {
			domains = append(domains, domain)
		}
		by[domain] = append(by[domain], mail.Recipient{Address: mail.Address{Local: local, Domain: domain}})
	}
	var ds []custody.Delivery
	for i, d := range domains {
		ds = append(ds, custody.NewDelivery(m, uint16(i+1), d, by[d]))
	}
	return m, ds
}

const text = "Subject: hello\r\n\r\nhello\r\n"

// carry sends a letter and tells what became of it, an outcome a line.
func (w *world) carry(to ...string) string {
	w.Helper()
	m, ds := letter(to...)
	return w.tell(w.carrier.Carry(w.Context(), custody.Way{}, m, ds, strings.NewReader(text)))
}

// tell writes attempts: the number of the delivery if there are several, its
// recipients unless all, who spoke, when, and what.
func (w *world) tell(as []custody.Attempt) string {
	w.Helper()
	var lines []string
	for i, a := range as {
		for _, o := range a.Outcomes {
			var b strings.Builder
			if len(as) > 1 {
				fmt.Fprintf(&b, "%d ", i)
			}
			if o.Rcpts != nil {
				fmt.Fprintf(&b, "%v ", o.Rcpts)
			}
			fmt.Fprintf(&b, "%s[%s] %s: %s", o.Host, o.IP, o.Stage, o.Reply.Line())
			for _, mark := range []struct {
				on   bool
				word string
			}{
				{o.Taken != custody.Nothing, "taken"}, {o.Refuses(), "refused"}, {!o.Theirs, "ours"},
				{o.Trouble != custody.NoTrouble, o.Trouble.String()}, {o.Hint != 0, o.Hint.String()},
			} {
				if mark.on {
					b.WriteString(" +" + mark.word)
				}
			}
			lines = append(lines, b.String())
			if o.At.IsZero() || !slices.IsSorted(o.Rcpts) {
				w.Errorf("outcome without a time or order: %+v", o)
			}
		}
	}
	return strings.Join(lines, "\n")
}

func (w *world) want(got string, want ...string) {
	w.Helper()
	if d := cmp.Diff(strings.Join(want, "\n"), got); d != "" {
		w.Error(d)
	}
}

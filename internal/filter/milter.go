package filter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// MilterOptions says how a milter is asked. The zero values of the times and bounds
// stand for those given.
type MilterOptions struct {
	Name    string // in the configuration; for faults and logs
	Address string // see ParseAddress

	// Version is the highest protocol version to offer: 6 (zero) as spoken since
	// Sendmail 8.14 and Postfix 2.6, down to 2.
	Version int

	Connect time.Duration // until the connection stands; 10 s, or End if that is shorter
	Step    time.Duration // for each answer but the last; 30 s, or End if that is shorter
	// End is the time for the answer to the end of the message, at which most
	// filters do their work; 2 min. A filter that says that it is still at
	// work gets it again.
	End time.Duration
	// Whole is for the whole question, waiting for a connection included; 5 min, or
	// twice End if that is longer.
	// The client waits for our answer, ten minutes if it obeys RFC 5321 4.5.3.2.6.
	Whole time.Duration

	// Connections is how many there may be at a time, one for each question; 20.
	// Further questions wait.
	Connections int

	// Dial replaces net.Dialer.DialContext.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// A Milter is a filter that speaks the milter protocol. Use NewMilter.
//
// Each question has a connection of its own. The protocol can keep one for the next
// client (SMFIC_QUIT_NC), but neither Sendmail nor Postfix does so, and filters
// that were made for those forget with the client what they negotiated: OpenDKIM
// 2.11 on libmilter 8.17 never answered such a client.
//
// Of a header field it is told as much as libmilter takes, name and value and a NUL
// behind each in 65,535 octets: the end of a longer value is cut off, and a name that
// long too. The field is counted all the same, so that positions are right.
type Milter struct {
	o             MilterOptions
	network, addr string
	slots         chan struct{} // one in it for each connection in use
}

var errWhole = errors.New("the time for the whole question is over")

// NewMilter returns a filter that asks a milter. It dials nothing yet. The error is
// about the options.
func NewMilter(o MilterOptions) (*Milter, error) {
	network, addr, err := ParseAddress(o.Address)
	if err != nil {
		return nil, err
	}
	if o.Version == 0 {
		o.Version = 6
	}
	if o.Version < 2 || o.Version > 6 {
		return nil, fmt.Errorf("filter: %s: there is no milter protocol version %d, only 2 to 6", o.Name, o.Version)
	}
	if o.End <= 0 {
		o.End = 2 * time.Minute
	}
	for v, def := range map[*time.Duration]time.Duration{
		&o.Connect: min(10*time.Second, o.End), &o.Step: min(30*time.Second, o.End), &o.Whole: max(5*time.Minute, 2*o.End),
	} {
		if *v <= 0 {
			*v = def
		}
	}
	if o.Connections <= 0 {
		o.Connections = 20
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	return &Milter{o: o, network: network, addr: addr, slots: make(chan struct{}, o.Connections)}, nil
}

// Ask tells the filter what is known of the message and returns its opinion.
func (m *Milter) Ask(ctx context.Context, msg *Message) (Opinion, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, m.o.Whole, errWhole)
	defer cancel()
	fault := func(asked string, err error) error {
		if ctx.Err() != nil { // whatever it looked like from below
			err = context.Cause(ctx)
		}
		return &Fault{m.o.Name, m.o.Address, asked, time.Since(began), err}
	}
	select {
	case m.slots <- struct{}{}:
		defer func() { <-m.slots }()
	case <-ctx.Done():
		return Opinion{}, fault(fmt.Sprintf("wait for one of %d connections", m.o.Connections), ctx.Err())
	}
	conn, err := m.dial(ctx)
	if err != nil {
		return Opinion{}, fault("connection", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	t := &talk{wire: wire{conn: conn, step: m.o.Step}, end: m.o.End}
	if t.agreed, err = negotiate(&t.wire, uint32(m.o.Version)); err != nil {
		return Opinion{}, fault("negotiation", err)
	}
	op, err := t.ask(msg)
	if err != nil {
		return Opinion{}, fault(t.asked, err)
	}
	t.leave()
	return op, nil
}

// dial makes a connection.
func (m *Milter) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, m.o.Connect, fmt.Errorf("no connection within %v", m.o.Connect))
	defer cancel()
	conn, err := m.o.Dial(ctx, m.network, m.addr)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return conn, err
}

// ParseAddress reads where a milter listens: "unix:/run/rspamd.sock", "host:port",
// or as Postfix writes it "inet:host:port".
func ParseAddress(s string) (network, addr string, err error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return "", "", fmt.Errorf("filter: %q names no socket", s)
		}
		return "unix", path, nil
	}
	addr = strings.TrimPrefix(s, "inet:")
	host, port, err := net.SplitHostPort(addr)
	if n, e := strconv.ParseUint(port, 10, 16); err != nil || e != nil || n == 0 || host == "" {
		return "", "", fmt.Errorf("filter: %q is neither \"unix:/path\" nor \"host:port\"", s)
	}
	return "tcp", addr, nil
}

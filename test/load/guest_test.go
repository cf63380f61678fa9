//go:build linux

package load

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A crowd is connections that stay and hardly move: a third idle behind EHLO, a third
// writing a message octet by octet, a third reading what they asked for as slowly.
type crowd struct {
	guests []*guest
	cancel context.CancelFunc
	work   sync.WaitGroup
	told   atomic.Int64 // of the idle: heard 421
}

type guest struct {
	conn net.Conn
	r    *bufio.Reader
	kind int
}

const (
	idle = iota
	writer
	reader
	kinds

	step = 5 * time.Second // between two octets of a writer, or two reads of a reader
)

// asks is what a reader asks for: as much as somebody may who sends no mail.
var asks = strings.Repeat("EHLO reader.test\r\n", 90)

// gather opens n connections and brings each to its place.
func gather(t *testing.T, addr string, n int) *crowd {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &crowd{guests: make([]*guest, n), cancel: cancel}
	t.Cleanup(c.leave)
	var next atomic.Int64
	var doors sync.WaitGroup
	faults := make(chan error, 32)
	for range 32 {
		doors.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				g, err := arrive(addr, i%kinds)
				if err != nil {
					faults <- fmt.Errorf("connection %d: %w", i, err)
					return
				}
				c.guests[i] = g
			}
		})
	}
	doors.Wait()
	close(faults)
	if err := <-faults; err != nil { // nil: there is none
		t.Fatal(err)
	}
	for i, g := range c.guests {
		// Not all in the same moment.
		c.work.Go(func() { c.stay(ctx, g, time.Duration(i)*step/time.Duration(n)) })
	}
	return c
}

// arrive connects a guest; nobody of the crowd's letters is sent to its end.
func arrive(addr string, kind int) (*guest, error) {
	d := net.Dialer{Timeout: patience}
	if kind == reader {
		d.Control = func(_, _ string, c syscall.RawConn) (err error) {
			if fault := c.Control(func(fd uintptr) {
				err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
			}); fault != nil {
				return fault
			}
			return err
		}
	}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := sender{conn: conn, r: bufio.NewReaderSize(conn, 256)}
	conn.SetDeadline(time.Now().Add(patience))
	say, codes := "EHLO guest.test\r\n", []string{"250"}
	switch kind {
	case writer:
		say += "MAIL FROM:<crowd@home.test>\r\nRCPT TO:<crowd@there.test>\r\nDATA\r\n"
		codes = append(codes, "250", "250", "354")
	case reader:
		say, codes = asks, nil
	}
	if err = s.answers("220"); err == nil {
		_, err = conn.Write([]byte(say))
	}
	if err == nil {
		err = s.answers(codes...)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return &guest{conn, s.r, kind}, nil
}

// stay does what a guest does until the crowd leaves, or the program hangs up.
func (c *crowd) stay(ctx context.Context, g *guest, first time.Duration) {
	if g.kind == idle {
		if line, err := g.r.ReadString('\n'); err == nil && strings.HasPrefix(line, "421 ") {
			c.told.Add(1)
		}
		return
	}
	few := make([]byte, 16)
	for wait := first; ; wait = step {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		var err error
		if g.kind == writer {
			_, err = g.conn.Write([]byte("x"))
		} else {
			_, err = g.r.Read(few)
		}
		if err != nil {
			return
		}
	}
}

// leave hangs up.
func (c *crowd) leave() {
	c.cancel()
	for _, g := range c.guests {
		if g != nil {
			g.conn.Close()
		}
	}
	c.work.Wait()
}

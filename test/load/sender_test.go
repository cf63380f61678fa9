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
	"testing"
	"time"
)

// A sender brings letters to the program over one connection at a time.
type sender struct {
	addr   string
	ledger *ledger
	host   *sink // where its letters go; its arrivals are counted beside them. nil: not counted
	conn   net.Conn
	r      *bufio.Reader
}

var body = "Subject: load\r\n\r\n" + strings.Repeat("A line like any other, of sixty octets with its end.....\r\n", 16) + ".\r\n"

// dial connects and greets.
func (s *sender) dial() (err error) {
	if s.conn, err = net.DialTimeout("tcp", s.addr, patience); err != nil {
		return err
	}
	s.r = bufio.NewReader(s.conn)
	s.conn.SetDeadline(time.Now().Add(patience))
	if err := s.answers("220"); err != nil {
		return err
	}
	if _, err := fmt.Fprint(s.conn, "EHLO client.test\r\n"); err != nil {
		return err
	}
	return s.answers("250")
}

func (s *sender) close() {
	if s.conn != nil {
		fmt.Fprint(s.conn, "QUIT\r\n")
		s.conn.Close()
		s.conn = nil
	}
}

// answers reads replies that begin with these codes.
func (s *sender) answers(codes ...string) error {
	for i := 0; i < len(codes); {
		line, err := s.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) < 4 || string(line[:3]) != codes[i] {
			return fmt.Errorf("answered %s where %s is wanted", strings.TrimSpace(string(line)), codes[i])
		}
		if line[3] != '-' {
			i++
		}
	}
	return nil
}

// send sends one letter. After an error the next one has a connection of its own.
func (s *sender) send(domain string) (err error) {
	if s.conn == nil {
		if err := s.dial(); err != nil {
			return err
		}
	}
	defer func() {
		if err != nil {
			s.conn.Close()
			s.conn = nil
		}
	}()
	s.conn.SetDeadline(time.Now().Add(patience))
	n := s.ledger.write(domain)
	fmt.Fprintf(s.conn, "MAIL FROM:<s.%d@home.test>\r\nRCPT TO:<r.%d@%s>\r\nDATA\r\n", n, n, domain)
	if err := s.answers("250", "250", "354"); err != nil {
		return err
	}
	fmt.Fprint(s.conn, body)
	if err := s.answers("250"); err != nil {
		return err
	}
	taken := 0
	if s.host != nil {
		taken = s.host.count()
	}
	s.ledger.with(fmt.Sprintf("s.%d@", n), func(x *letter) { x.acked, x.ackedAt = time.Now(), taken })
	return nil
}

// fill sends n letters as fast as the program takes them.
func (l *ledger) fill(t *testing.T, addr string, n int, domain func(i int) string) {
	t.Helper()
	var next atomic.Int64
	var work sync.WaitGroup
	faults := make(chan error, 16)
	for range 16 {
		work.Go(func() {
			s := sender{addr: addr, ledger: l}
			defer s.close()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := s.send(domain(i)); err != nil {
					faults <- err
					return
				}
			}
		})
	}
	work.Wait()
	close(faults)
	if err := <-faults; err != nil { // nil: there is none
		t.Fatalf("only %d of %d letters were taken: %v", next.Load(), n, err)
	}
}

// stream sends letters at an even pace, so many a second, until it is told to stop or
// the program hangs up. One that takes long delays those behind it, not their number.
func (l *ledger) stream(t *testing.T, addr string, rate int, host *sink, domain func(i int) string) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	const lines = 4 // a wait for one acknowledgement holds up a quarter at most
	began := time.Now()
	for k := range lines {
		work.Go(func() {
			s := sender{addr: addr, ledger: l, host: host}
			defer s.close()
			for i := k; ; i += lines {
				select {
				case <-ctx.Done():
					return
				case <-time.After(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(rate)))):
				}
				if err := s.send(domain(i)); err != nil {
					l.wrongly("a letter of the stream: %v", err)
					return
				}
			}
		})
	}
	return sync.OnceFunc(func() { cancel(); work.Wait() })
}

// always is one domain for all.
func always(domain string) func(int) string { return func(int) string { return domain } }

package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

func TestDialFailsAsTheRealOneDoes(t *testing.T) {
	bubble(t, nil, func(t *testing.T, n *Network) {
		start := time.Now()
		for _, c := range []struct {
			name, addr string
			fault      Fault
			ctx        time.Duration
			want       error
			after      time.Duration
		}{
			{"no listener", "192.0.2.1:26", Fault{}, 0, syscall.ECONNREFUSED, 0},
			{"no host", "192.0.2.2:25", Fault{}, 0, syscall.ECONNREFUSED, 0},
			{"refused", at, Fault{Dial: Refused}, 0, syscall.ECONNREFUSED, 0},
			{"refused far away", at, Fault{Dial: Refused, Latency: time.Second}, 0, syscall.ECONNREFUSED, time.Second},
			{"unreachable", at, Fault{Dial: Unreachable}, 0, syscall.EHOSTUNREACH, 0},
			{"silent until the deadline", at, Fault{Dial: Silent}, 30 * time.Second, context.DeadlineExceeded, 30 * time.Second},
			{"silent until the kernel gives up", at, Fault{Dial: Silent}, 0, syscall.ETIMEDOUT, dialGiveUp},
		} {
			n.Set(host, c.fault)
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if c.ctx > 0 {
				ctx, cancel = context.WithTimeout(ctx, c.ctx)
			}
			_, err := n.DialContext(ctx, "tcp", c.addr)
			cancel()
			var op *net.OpError
			if !errors.Is(err, c.want) || !errors.As(err, &op) || op.Op != "dial" {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
			}
			if wantTimeout := c.after >= 30*time.Second; op.Timeout() != wantTimeout {
				t.Errorf("%s: Timeout() = %t", c.name, op.Timeout())
			}
			if took := time.Since(start); took != c.after {
				t.Errorf("%s: took %v, want %v", c.name, took, c.after)
			}
			start = time.Now()
		}
		ctx, cancel := context.WithCancel(t.Context())
		n.Set(host, Fault{Dial: Silent})
		time.AfterFunc(time.Minute, cancel)
		if _, err := n.DialContext(ctx, "tcp", at); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if _, err := n.DialContext(t.Context(), "tcp", "mx.example:25"); err == nil {
			t.Error("a name was dialled")
		}
		if _, err := n.Listen(at); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("second listener: %v", err)
		}
	})
}

func TestFaultsKeepTheirHours(t *testing.T) {
	bubble(t, echo, func(t *testing.T, n *Network) {
		start := time.Now()
		n.Between(host, start.Add(time.Hour), start.Add(2*time.Hour), Fault{Dial: Refused})
		n.Between(at, start.Add(3*time.Hour), start.Add(3*time.Hour+time.Minute), Fault{Dial: Silent})
		for _, c := range []struct {
			when time.Duration
			want error
			took time.Duration
		}{
			{0, nil, 0},
			{time.Hour, syscall.ECONNREFUSED, 0},
			{2*time.Hour - 1, syscall.ECONNREFUSED, 0},
			{2 * time.Hour, nil, 0},
			{3 * time.Hour, nil, time.Minute}, // the SYN is sent again and answered
		} {
			time.Sleep(time.Until(start.Add(c.when)))
			conn, err := n.DialContext(t.Context(), "tcp", at)
			if !errors.Is(err, c.want) || time.Since(start) != c.when+c.took {
				t.Errorf("at %v: %v after %v", c.when, err, time.Since(start)-c.when)
			}
			if err == nil {
				conn.Close()
			}
		}
	})
}

func TestLatencyDelaysEveryByteOnce(t *testing.T) {
	bubble(t, echo, func(t *testing.T, n *Network) {
		n.Set(at, Fault{Latency: time.Second})
		start := time.Now()
		c := dial(t, n)
		if time.Since(start) != time.Second {
			t.Errorf("dial took %v", time.Since(start))
		}
		start = time.Now()
		c.Write([]byte("a"))
		c.Write([]byte("b"))
		b := make([]byte, 2)
		if _, err := io.ReadFull(c, b); err != nil || time.Since(start) != 2*time.Second {
			t.Errorf("%q, %v after %v", b, err, time.Since(start))
		}
		start = time.Now()
		c.(interface{ CloseWrite() error }).CloseWrite()
		if _, err := c.Read(b); err != io.EOF || time.Since(start) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		c.Close()
	})
}

func TestSilenceHoldsAnOpenConnection(t *testing.T) {
	bubble(t, echo, func(t *testing.T, n *Network) {
		c := dial(t, n)
		defer c.Close()
		now := time.Now()
		n.Between(host, now.Add(time.Minute), now.Add(time.Hour), Fault{Dial: Silent})
		time.Sleep(2 * time.Minute)
		c.Write([]byte("x"))
		c.SetReadDeadline(now.Add(10 * time.Minute))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("in silence: %v", err)
		}
		c.SetReadDeadline(time.Time{})
		if k, err := c.Read(make([]byte, 1)); k != 1 || err != nil || time.Since(now) != time.Hour {
			t.Errorf("after it: %d, %v at %v", k, err, time.Since(now))
		}
	})
}

func TestResetAfterSoManyBytes(t *testing.T) {
	heard := make(chan string, 1)
	bubble(t, func(c net.Conn) {
		b, err := io.ReadAll(c)
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("server: %v", err)
		}
		heard <- string(b)
	}, func(t *testing.T, n *Network) {
		n.Set(at, Fault{ResetSent: 5})
		c := dial(t, n)
		defer c.Close()
		if k, err := c.Write([]byte("hello world")); k != 5 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("client wrote %d: %v", k, err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("client: %v", err)
		}
		if got := <-heard; got != "hello" {
			t.Errorf("server heard %q", got)
		}
	})
	bubble(t, func(c net.Conn) { c.Write([]byte("220 mx ESMTP\r\n")) }, func(t *testing.T, n *Network) {
		n.Set(at, Fault{ResetReceived: 4})
		c := dial(t, n)
		defer c.Close()
		if b, err := io.ReadAll(c); string(b) != "220 " || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("client heard %q: %v", b, err)
		}
	})
}

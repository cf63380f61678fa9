package memnet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

const host, at = "192.0.2.1", "192.0.2.1:25"

// bubble runs f in virtual time with a network on which serve answers each
// connection to the host; nil: nobody accepts.
func bubble(t *testing.T, serve func(net.Conn), f func(t *testing.T, n *Network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := New()
		l, err := n.Listen(at)
		if err != nil {
			t.Fatal(err)
		}
		if serve != nil {
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						serve(c)
					}()
				}
			}()
		}
		f(t, n)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if left := len(n.links); left != 0 {
			t.Errorf("%d connections were left open", left)
		}
	})
}

func dial(t *testing.T, n *Network) net.Conn {
	t.Helper()
	c, err := n.DialContext(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func echo(c net.Conn) { io.Copy(c, c) }

func TestBothEndsKnowEachOther(t *testing.T) {
	seen := make(chan string, 2)
	bubble(t, func(c net.Conn) { seen <- c.RemoteAddr().String() }, func(t *testing.T, n *Network) {
		c := dial(t, n)
		defer c.Close()
		if got := <-seen; got != c.LocalAddr().String() || c.RemoteAddr().String() != at {
			t.Errorf("server saw %s; client is %s at %s", got, c.LocalAddr(), c.RemoteAddr())
		}
		d, err := n.DialFrom(t.Context(), netip.MustParseAddr("192.0.2.77"), "tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if got := <-seen; got != d.LocalAddr().String() || d.LocalAddr().(*net.TCPAddr).IP.String() != "192.0.2.77" {
			t.Errorf("server saw %s; client is %s", got, d.LocalAddr())
		}
		if c.LocalAddr().String() == d.LocalAddr().String() {
			t.Error("two connections share a port")
		}
	})
}

func TestPipeliningDoesNotDeadlock(t *testing.T) {
	bubble(t, echo, func(t *testing.T, n *Network) {
		c := dial(t, n)
		defer c.Close()
		sent := bytes.Repeat([]byte("RCPT TO:<a@example.com>\r\n"), 40000)
		go func() {
			c.Write(sent)
			c.(interface{ CloseWrite() error }).CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d of %d bytes came back: %v", len(got), len(sent), err)
		}
	})
}

func TestWritesBlockBeyondTheBuffer(t *testing.T) {
	bubble(t, func(c net.Conn) { time.Sleep(time.Hour); io.Copy(io.Discard, c) }, func(t *testing.T, n *Network) {
		c := dial(t, n)
		defer c.Close()
		c.SetWriteDeadline(time.Now().Add(time.Minute))
		start := time.Now()
		k, err := c.Write(make([]byte, bufferSize+1))
		if k != bufferSize || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("wrote %d: %v after %v", k, err, time.Since(start))
		}
		c.SetWriteDeadline(time.Time{})
		if _, err := c.Write([]byte("x")); err != nil || time.Since(start) != time.Hour {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestDeadlinesFireToTheInstant(t *testing.T) {
	bubble(t, func(c net.Conn) { io.Copy(io.Discard, c) }, func(t *testing.T, n *Network) {
		c := dial(t, n)
		defer c.Close()
		start := time.Now()
		c.SetReadDeadline(start.Add(5 * time.Minute))
		_, err := c.Read(make([]byte, 1))
		var ne net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() || time.Since(start) != 5*time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		c.SetDeadline(time.Time{})
		time.AfterFunc(time.Minute, func() { c.SetDeadline(time.Unix(1, 0)) }) // how a context is made to end a read
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 6*time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestCloseIsHeardOnBothSides(t *testing.T) {
	bubble(t, func(c net.Conn) { c.Write([]byte("bye")) }, func(t *testing.T, n *Network) {
		c := dial(t, n)
		if b, err := io.ReadAll(c); string(b) != "bye" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write to a closed peer: %v", err)
		}
		c.Close()
		if _, err := c.Read(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after Close: %v", err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second Close: %v", err)
		}
		d := dial(t, n)
		n.Set(host, Fault{Dial: Silent})
		time.AfterFunc(time.Second, func() { d.Close() })
		if _, err := d.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read that was waiting at Close: %v", err)
		}
	})
}

func TestBacklogIsResetWithItsListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		l, _ := n.Listen(":25")
		var conns []net.Conn
		for range backlog {
			conns = append(conns, dial(t, n))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := n.DialContext(ctx, "tcp", at); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("full backlog: %v", err)
		}
		l.Close()
		if _, err := conns[0].Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("not accepted: %v", err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
	})
}

func TestUnixSocketsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		l, err := n.Listen("unix:/run/dovecot/lmtp")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := n.DialContext(t.Context(), "unix", "/run/dovecot/lmtp")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		n.Set("/run/dovecot/lmtp", Fault{Dial: Refused})
		if _, err := n.DialContext(t.Context(), "unix", "/run/dovecot/lmtp"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Error(err)
		}
	})
}

func TestTLSOverIt(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		n := New()
		n.Set(host, Fault{Latency: 50 * time.Millisecond})
		l, _ := n.Listen(at)
		defer l.Close()
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example.com"},
			NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		leaf, _ := x509.ParseCertificate(der)
		roots.AddCert(leaf)
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
			defer s.Close()
			io.Copy(s, s)
		}()
		c := tls.Client(dial(t, n), &tls.Config{ServerName: "mx.example.com", RootCAs: roots})
		defer c.Close()
		// First, and alone: a Read and a Write that both want the handshake meet
		// at a mutex, and a goroutine that waits for one stops virtual time.
		if err := c.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		sent := bytes.Repeat([]byte("postrider "), 30000)
		go func() {
			c.Write(sent)
			c.CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d of %d bytes: %v", len(got), len(sent), err)
		}
		if v := c.ConnectionState().Version; v != tls.VersionTLS13 {
			t.Errorf("TLS version %x", v)
		}
	})
}

func TestEveryByteArrivesInOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(1, 3*bufferSize), 1, 4).Draw(rt, "writes")
		delays := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 6).Draw(rt, "seconds of latency")
		chunk := rapid.IntRange(5000, 2*bufferSize).Draw(rt, "read")
		pause := rapid.IntRange(0, 2).Draw(rt, "seconds between reads")
		bubble(t, func(c net.Conn) {
			next := byte(0)
			for i, size := range sizes {
				c.(*conn).link.net.Set(host, Fault{Latency: time.Duration(delays[i%len(delays)]) * time.Second})
				b := make([]byte, size)
				for j := range b {
					b[j] = next
					next++
				}
				if n, err := c.Write(b); n != size || err != nil {
					t.Errorf("wrote %d of %d: %v", n, size, err)
				}
			}
		}, func(t *testing.T, n *Network) {
			c := dial(t, n)
			defer c.Close()
			want, next := 0, byte(0)
			for _, size := range sizes {
				want += size
			}
			b := make([]byte, chunk)
			for {
				k, err := c.Read(b)
				for _, got := range b[:k] {
					if got != next {
						t.Fatalf("byte %d instead of %d, %d before the end", got, next, want)
					}
					next++
					want--
				}
				if err == io.EOF && want == 0 {
					return
				}
				if err != nil {
					t.Fatalf("%v, %d bytes before the end", err, want)
				}
				time.Sleep(time.Duration(pause) * time.Second)
			}
		})
	})
}

func BenchmarkSingleByteReads(b *testing.B) {
	n := New()
	l, _ := n.Listen(at)
	go func() {
		c, _ := l.Accept()
		for buf := make([]byte, 32<<10); ; {
			if _, err := c.Write(buf); err != nil {
				return
			}
		}
	}()
	c, _ := n.DialContext(b.Context(), "tcp", at)
	buf := make([]byte, 1)
	for b.Loop() {
		c.Read(buf)
	}
	c.Close()
	l.Close()
}

func BenchmarkThroughput(b *testing.B) {
	n := New()
	l, _ := n.Listen(at)
	go func() {
		c, _ := l.Accept()
		io.Copy(io.Discard, c)
	}()
	c, _ := n.DialContext(b.Context(), "tcp", at)
	buf := make([]byte, 32<<10)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		c.Write(buf)
	}
	c.Close()
	l.Close()
}

//go:build linux

package test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/textproto"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// A client speaks SMTP, one command at a time.
type client struct {
	conn  net.Conn
	text  *textproto.Conn
	whole bool // the last message was sent to its end, whatever the answer
}

// dial connects and says EHLO.
func dial(addr string) (*client, error) { return dialFrom("127.0.0.1", addr) }

// dialFrom does so from another address of this machine.
func dialFrom(source, addr string) (*client, error) {
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, text: textproto.NewConn(conn)}
	conn.SetDeadline(time.Now().Add(patience))
	if _, _, err = c.text.ReadResponse(220); err == nil {
		_, err = c.say(250, "EHLO client.test")
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *client) close() { c.conn.Close() }

func (c *client) say(want int, format string, args ...any) (string, error) {
	if err := c.text.PrintfLine(format, args...); err != nil {
		return "", err
	}
	_, words, err := c.text.ReadResponse(want)
	return words, err
}

// send hands over a message; what stands behind the addresses in from and to goes
// with them: "<ann@home.test> RET=HDRS". Only nil is an acknowledgement.
func (c *client) send(from string, to []string, message []byte) error {
	c.whole = false
	c.conn.SetDeadline(time.Now().Add(patience))
	if _, err := c.say(250, "MAIL FROM:%s", from); err != nil {
		return err
	}
	for _, rcpt := range to {
		if _, err := c.say(250, "RCPT TO:%s", rcpt); err != nil {
			return err
		}
	}
	if _, err := c.say(354, "DATA"); err != nil {
		return err
	}
	if err := stuff(c.text.W, message); err != nil {
		return err
	}
	c.whole = true
	_, _, err := c.text.ReadResponse(250)
	return err
}

// stuff writes a message as DATA wants it (RFC 5321 4.5.2). The writer of
// net/textproto would change line ends.
func stuff(w *bufio.Writer, message []byte) error {
	for line := range bytes.Lines(message) {
		if line[0] == '.' {
			w.WriteByte('.')
		}
		w.Write(line)
	}
	w.WriteString(".\r\n")
	return w.Flush()
}

// submit sends one message, or ends the test.
func submit(t *testing.T, addr, from string, to []string, message []byte) {
	t.Helper()
	c, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.send(from, to, message); err != nil {
		t.Fatalf("%s does not take it: %v", addr, err)
	}
}

// A sink takes every message of every client.
type sink struct {
	Addr   string
	strict bool // only CRLF.CRLF ends a message; else any line end does

	listener net.Listener
	done     sync.WaitGroup
	mu       sync.Mutex
	got      []taken
	conns    map[net.Conn]bool
}

// taken is a message as the sink was given it, with CRLF.
type taken struct {
	From string
	To   []string
	Data []byte
}

func newSink(t *testing.T) *sink {
	t.Helper()
	return openSink(t, &sink{})
}

func openSink(t *testing.T, s *sink) *sink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr, s.listener, s.conns = l.Addr().String(), l, map[net.Conn]bool{}
	s.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			s.mu.Unlock()
			s.done.Go(func() { s.talk(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		s.done.Wait()
	})
	return s
}

func (s *sink) talk(c net.Conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	text := textproto.NewConn(c)
	text.PrintfLine("220 sink.test ESMTP")
	var m taken
	for {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, ":")
		addr, _, _ := strings.Cut(strings.TrimPrefix(rest, "<"), ">")
		word, _, _ := strings.Cut(verb, " ")
		switch strings.ToUpper(word) {
		case "EHLO":
			text.PrintfLine("250-sink.test\r\n250-8BITMIME\r\n250 PIPELINING")
		case "MAIL":
			m = taken{From: addr}
			text.PrintfLine("250 ok")
		case "RCPT":
			m.To = append(m.To, addr)
			text.PrintfLine("250 ok")
		case "DATA":
			text.PrintfLine("354 go on")
			read := unstuff
			if s.strict {
				read = readStrict
			}
			if m.Data, err = read(text.R); err != nil {
				return
			}
			s.mu.Lock()
			s.got = append(s.got, m)
			s.mu.Unlock()
			text.PrintfLine("250 taken")
		case "QUIT":
			text.PrintfLine("221 bye")
			return
		default:
			text.PrintfLine("250 ok")
		}
	}
}

func unstuff(r *bufio.Reader) ([]byte, error) {
	var b bytes.Buffer
	for {
		line, err := r.ReadBytes('\n')
		switch {
		case err != nil:
			return nil, io.ErrUnexpectedEOF
		case string(line) == ".\r\n":
			return b.Bytes(), nil
		}
		b.Write(bytes.TrimPrefix(line, []byte(".")))
	}
}

// mail is what came so far.
func (s *sink) mail() []taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got[:len(s.got):len(s.got)]
}

// wait waits for n messages.
func (s *sink) wait(t *testing.T, n int) []taken {
	t.Helper()
	await(t, fmt.Sprintf("%d messages at the sink", n), func() bool { return len(s.mail()) >= n })
	return s.mail()
}

// certify writes a certificate for rider.test, its own issuer, and its key; it
// returns the certificate in DER.
func certify(t *testing.T, certFile, keyFile string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "rider.test"},
		DNSNames:     []string{"rider.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	// The certificate last: until it is there, the two do not fit, as when an
	// ACME client writes one after the other.
	write(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	write(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return der
}

// write replaces a file at once.
func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

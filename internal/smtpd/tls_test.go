package smtpd

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/mail"
)

// identity is the certificate of the tests' server, and who trusts it.
var identity = sync.OnceValues(func() (*tls.Config, *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: pool, ServerName: "mx.example"}
})

func serverTLS() *tls.Config { c, _ := identity(); return c }
func clientTLS() *tls.Config { _, c := identity(); return c }

// ask says a line and returns the last line of the answer.
func ask(t *testing.T, c net.Conn, r *bufio.Reader, line string) string {
	t.Helper()
	if line != "" {
		if _, err := io.WriteString(c, line+"\r\n"); err != nil {
			return err.Error()
		}
	}
	for {
		l, err := r.ReadString('\n')
		if err != nil {
			return err.Error()
		}
		if len(l) > 3 && l[3] == ' ' {
			return strings.TrimSpace(l)
		}
	}
}

// pipe connects to l without reading ahead.
func pipe(l *listener) net.Conn {
	near, far := net.Pipe()
	l.conns <- from{far, "192.0.2.9:1"}
	return near
}

// RFC 3207 4.2.
func TestSTARTTLSForgetsAllThatWasSaidBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := &recorder{}
		_, l := start(t, Options{TLSConfig: serverTLS}, h)
		c := pipe(l)
		defer c.Close()
		r := bufio.NewReader(c)
		for _, tt := range []struct{ say, want string }{
			{"", "220"}, {"STARTTLS", "503 5.5.1"}, {"EHLO plain", "250"}, {"MAIL FROM:<>", "250 2.1.0"}, {"STARTTLS x", "501 5.5.4"}, {"STARTTLS", "220 2.0.0"},
		} {
			if got := ask(t, c, r, tt.say); !strings.HasPrefix(got, tt.want) {
				t.Fatalf("%s: %s", tt.say, got)
			}
		}
		s := tls.Client(c, clientTLS())
		if err := s.Handshake(); err != nil {
			t.Fatal(err)
		}
		r = bufio.NewReader(s)
		for _, tt := range []struct{ say, want string }{
			{"RCPT TO:<a@b.c>", "503 5.5.1"}, {"MAIL FROM:<>", "503 5.5.1"}, {"EHLO safe", "250"}, {"STARTTLS", "503 5.5.1"},
			{"MAIL FROM:<>", "250 2.1.0"}, {"RCPT TO:<a@b.c>", "250 2.1.5"}, {"DATA", "354"}, {"hi\r\n.", "250 2.0.0"}, {"QUIT", "221 2.0.0"},
		} {
			if got := ask(t, s, r, tt.say); !strings.HasPrefix(got, tt.want) {
				t.Fatalf("%s: %s", tt.say, got)
			}
		}
		if h.story() != "greet hello mail reset hello mail rcpt data close" {
			t.Error(h.story())
		}
		if h.hellos[0].TLS != nil || h.hellos[1].TLS == nil || h.hellos[1].Name != "safe" || h.taken()[0].protocol != "ESMTPS" {
			t.Errorf("%+v %v", h.hellos, h.taken()[0].protocol)
		}
	})
}

// CVE-2011-0411 Postfix, CVE-2021-38371 Exim.
func TestPlainTextBehindSTARTTLSEndsTheVisit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := &recorder{}
		got, gone := dialog(t, Options{TLSConfig: serverTLS}, h, hello+"STARTTLS\r\nMAIL FROM:<evil@example.com>\r\n")
		if codes(got) != "250, 421 4.7.0" || !gone || strings.Contains(h.story(), "mail") {
			t.Errorf("%v %s %s", gone, got, h.story())
		}
	})
}

func TestAFailedHandshakeIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told []string
		o := Options{TLSConfig: serverTLS, Refused: func(_ Client, s mail.Stage, r mail.Reply) { told = append(told, s.String()+" "+r.Line()) }}
		_, l := start(t, o, &recorder{})
		c := l.dial("192.0.2.1:1")
		c.say(hello).say("STARTTLS\r\n").say("this is no handshake\r\n")
		if _, gone := c.listen(); !gone || len(told) != 1 || !strings.HasPrefix(told[0], "tls tls: first record") {
			t.Errorf("%v %q", gone, told)
		}
		silent := l.dial("192.0.2.1:2")
		silent.say(hello).say("STARTTLS\r\n")
		time.Sleep(time.Minute + time.Second)
		if _, gone := silent.listen(); !gone || len(told) != 2 {
			t.Errorf("silent: %v %q", gone, told)
		}
	})
}

// CVE-2019-15846: a backslash at the end of the name that the handshake asks for.
func TestABackslashEndsANameLikeAnyOtherOctet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, l := start(t, Options{TLSConfig: serverTLS}, &recorder{})
		c := pipe(l)
		defer c.Close()
		r := bufio.NewReader(c)
		for _, say := range []string{"", `EHLO plain\`, "STARTTLS"} {
			ask(t, c, r, say)
		}
		s := tls.Client(c, &tls.Config{ServerName: `mx.example\`, InsecureSkipVerify: true})
		if err := s.Handshake(); err != nil {
			t.Fatal(err)
		}
		r = bufio.NewReader(s)
		for _, say := range []string{`EHLO safe\`, "MAIL FROM:<>"} {
			if got := ask(t, s, r, say); !strings.HasPrefix(got, "250 ") {
				t.Errorf("%s: %s", say, got)
			}
		}
	})
}

func TestTLSFromTheFirstOctet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := &recorder{}
		inner := newListener()
		s := New(Options{TLSConfig: serverTLS}, h)
		served := make(chan error, 1)
		go func() { served <- s.Serve(context.Background(), tls.NewListener(inner, serverTLS())) }()
		c := tls.Client(pipe(inner), clientTLS())
		r := bufio.NewReader(c)
		if got := ask(t, c, r, ""); !strings.HasPrefix(got, "220 ") {
			t.Error(got)
		}
		if got := ask(t, c, r, "EHLO x"); !strings.HasPrefix(got, "250 ") || h.hellos[0].TLS == nil {
			t.Error(got)
		}
		if got := ask(t, c, r, "QUIT"); !strings.HasPrefix(got, "221 ") {
			t.Error(got)
		}
		go io.Copy(io.Discard, c) // takes the server's close_notify
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-served
		c.Close()
	})
}

// A client may put each octet into a TLS record of its own: it is slow for itself, and
// nothing is read otherwise than in one piece.
func TestRecordsOfOneOctetAreRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := &recorder{}
		_, l := start(t, Options{TLSConfig: serverTLS}, h)
		c := pipe(l)
		defer c.Close()
		r := bufio.NewReader(c)
		for _, say := range []string{"", "EHLO plain", "STARTTLS"} {
			ask(t, c, r, say)
		}
		s := tls.Client(c, clientTLS())
		if err := s.Handshake(); err != nil {
			t.Fatal(err)
		}
		said := make(chan string)
		go func() {
			b, _ := io.ReadAll(s)
			said <- string(b)
		}()
		for _, octet := range []byte(hello + envelope + "DATA\r\n" + strings.Repeat("..dot\r\n", 100) + ".\r\nQUIT\r\n") {
			if _, err := s.Write([]byte{octet}); err != nil {
				t.Fatal(err)
			}
		}
		if got := codes(<-said); got != enveloped+"354, 250 2.0.0, 221 2.0.0" {
			t.Error(got)
		}
		if got := h.taken(); len(got) != 1 || got[0].body != strings.Repeat(".dot\r\n", 100) {
			t.Errorf("%+v", got)
		}
	})
}

// TestGoSMTPIsUnderstood lets another's client speak to us on loopback.
func TestGoSMTPIsUnderstood(t *testing.T) {
	h := &recorder{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Hostname: "mx.example", TLSConfig: serverTLS}, h)
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := smtp.NewClientStartTLS(conn, clientTLS())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Mail("jürgen@example.com", &smtp.MailOptions{Body: smtp.Body8BitMIME, Size: 5, UTF8: true, Return: smtp.DSNReturnHeaders, EnvelopeID: "q+1"}); err != nil {
			t.Fatal(err)
		}
		if err := c.Rcpt("b@example.net", &smtp.RcptOptions{Notify: []smtp.DSNNotify{smtp.DSNNotifyFailure}, OriginalRecipientType: smtp.DSNAddressTypeRFC822, OriginalRecipient: "o=b@example.net"}); err != nil {
			t.Fatal(err)
		}
		w, err := c.Data()
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, "Subject: ü\r\n\r\n.dot\r\n")
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Quit(); err != nil {
		t.Error(err)
	}
	want := message{mail.Envelope{
		From: mail.Address{Local: "jürgen", Domain: "example.com"}, Body: mail.EightBit, UTF8: true, Return: mail.ReturnHeaders, ID: "q+2B1",
		To: []mail.Recipient{{Address: mail.Address{Local: "b", Domain: "example.net"}, Notify: mail.NotifyFailure, Original: "RFC822;o+3Db@example.net"}},
	}, "Subject: ü\r\n\r\n.dot\r\n", "UTF8SMTPS"}
	if diff := cmp.Diff([]message{want, want}, h.taken(), cmp.AllowUnexported(message{})); diff != "" {
		t.Error(diff)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

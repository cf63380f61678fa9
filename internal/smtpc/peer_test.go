package smtpc

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/postrider/postrider/mail"
)

// certificate makes one for mx.example and the pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// peer is a go-smtp server: an implementation that is not ours.
type peer struct {
	mu    sync.Mutex
	heard []string
}

func (p *peer) note(f string, a ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = append(p.heard, fmt.Sprintf(f, a...))
}

func (p *peer) NewSession(*smtp.Conn) (smtp.Session, error) { return &peerSession{p: p}, nil }

type peerSession struct {
	p  *peer
	to []string
}

func (s *peerSession) Reset()        { s.to = nil }
func (s *peerSession) Logout() error { return nil }
func (s *peerSession) Mail(from string, o *smtp.MailOptions) error {
	s.p.note("mail %s %s %d %v %s %s", from, o.Body, o.Size, o.UTF8, o.Return, o.EnvelopeID)
	return nil
}
func (s *peerSession) Rcpt(to string, o *smtp.RcptOptions) error {
	if to == "b1@to.example" {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "who?"}
	}
	s.to = append(s.to, to)
	s.p.note("rcpt %s %v %s", to, o.Notify, o.OriginalRecipient)
	return nil
}
func (s *peerSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.p.note("data %q", b)
	return nil
}
func (s *peerSession) LMTPData(r io.Reader, sc smtp.StatusCollector) error {
	b, _ := io.ReadAll(r)
	s.p.note("data %q", b)
	for i, to := range s.to {
		var err error
		if i == 1 {
			err = &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2}, Message: "full"}
		}
		sc.SetStatus(to, err)
	}
	return nil
}
func (s *peerSession) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *peerSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "u" || password != "p w" {
			return errors.New("no")
		}
		s.p.note("auth %s", user)
		return nil
	}), nil
}

// serve runs the peer and dials it.
func (p *peer) serve(t *testing.T, change func(*smtp.Server)) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := smtp.NewServer(p)
	srv.Domain, srv.EnableDSN, srv.EnableSMTPUTF8, srv.EnableBINARYMIME = "mx.example", true, true, true
	srv.ErrorLog = quiet{}
	change(srv)
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func TestForeignServerTakesAMessageOverTLS(t *testing.T) {
	cert, roots := certificate(t)
	p := new(peer)
	nc := p.serve(t, func(s *smtp.Server) { s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}} })
	c, f := Open(t.Context(), nc, Options{Helo: "us.example", TLS: VerifyTLS, TLSConfig: &tls.Config{ServerName: "mx.example", RootCAs: roots}, User: "u", Password: "p w"})
	if f != nil {
		t.Fatal(f)
	}
	if got, want := c.TLS(), "TLS1.3 TLS_AES_128_GCM_SHA256 verified"; got != want || !c.Verified() {
		t.Errorf("%s, want %s", got, want)
	}
	m := letter(3)
	m.Envelope.Return, m.Envelope.ID = mail.ReturnFull, "id"
	m.Envelope.To[0].Notify, m.Envelope.To[0].Original = mail.NotifyFailure, "rfc822;x@y.example"
	r := c.Send(t.Context(), m)
	ok := r.Outcomes[0].Reply.Line()
	same(t, tell(r), "dot: "+ok+" +theirs +promised\nrcpt: 550 5.1.1 who? +theirs\ndot: "+ok+" +theirs +promised")
	r = c.Send(t.Context(), letter(1))
	same(t, tell(r), "dot: "+ok+" +theirs +promised")
	c.Quit(t.Context())
	want := []string{
		"auth u", "mail a@from.example  22 false FULL id", "rcpt b0@to.example [FAILURE] x@y.example", "rcpt b2@to.example [] ", `data "Subject: x\r\n\r\n.hello\r\n"`,
		"mail a@from.example  22 false  ", "rcpt b0@to.example [] ", `data "Subject: x\r\n\r\n.hello\r\n"`,
	}
	if fmt.Sprint(p.heard) != fmt.Sprint(want) {
		t.Errorf("the peer heard %q", p.heard)
	}
}

func TestForeignServerAnswersForEachLMTPRecipient(t *testing.T) {
	p := new(peer)
	nc := p.serve(t, func(s *smtp.Server) { s.LMTP = true })
	c, f := Open(t.Context(), nc, Options{Helo: "us.example", LMTP: true})
	if f != nil {
		t.Fatal(f)
	}
	r := c.Send(t.Context(), letter(3))
	if r.Outcomes[0].Taken != Mailbox || r.Outcomes[1].Reply.Code != 550 || r.Outcomes[2].Reply.Code != 452 {
		t.Error(tell(r))
	}
	c.Quit(t.Context())
}

// By BDAT a binary body arrives to the octet, large and small, and everything else clean.
func TestForeignServerTakesChunks(t *testing.T) {
	p := new(peer)
	nc := p.serve(t, func(s *smtp.Server) { s.MaxMessageBytes = 1 << 20 })
	c, f := Open(t.Context(), nc, Options{Helo: "us.example", Chunking: true})
	if f != nil {
		t.Fatal(f)
	}
	for i, m := range []struct {
		body   string
		binary bool
		want   string
	}{
		{"a\x00b\nc\r.\r\n", true, "a\x00b\nc\r.\r\n"},
		{"a\x00b\nc\r.\r\n.", false, "a b\r\nc .\r\n.\r\n"},
		{string(bytes.Repeat([]byte("x\x00\n"), 100_000)), true, string(bytes.Repeat([]byte("x\x00\n"), 100_000))},
		{string(bytes.Repeat([]byte("0123\r\n"), 50_000)), false, string(bytes.Repeat([]byte("0123\r\n"), 50_000))},
		{"", false, ""},
	} {
		l := letter(1)
		l.Bytes, l.Body, l.Size = nil, bytes.NewReader([]byte(m.body)), int64(len(m.body))
		if m.binary {
			l.Envelope.Body = mail.BinaryMIME
		}
		r := c.Send(t.Context(), l)
		if r.Outcomes[0].Taken != Promised || r.Broken {
			t.Fatalf("%d: %s", i, tell(r))
		}
		if got := p.heard[len(p.heard)-1]; got != fmt.Sprintf("data %q", m.want) {
			t.Errorf("%d: other octets arrived, %d long", i, len(got))
		}
	}
	c.Quit(t.Context())
}

func TestTLSFailureIsToldApart(t *testing.T) {
	cert, _ := certificate(t)
	for _, c := range []struct {
		name    string
		o       Options
		want    string
		inPlain bool
	}{
		{"stranger under verify", Options{TLS: VerifyTLS, TLSConfig: &tls.Config{ServerName: "mx.example", RootCAs: x509.NewCertPool()}}, "tls: 4.7.5 TLS handshake failed: x509: certificate signed by unknown authority", false},
		{"skipped check is not verify", Options{TLS: VerifyTLS, TLSConfig: &tls.Config{ServerName: "mx.example", RootCAs: x509.NewCertPool(), InsecureSkipVerify: true}}, "tls: 4.7.5 TLS handshake failed: x509: certificate signed by unknown authority", false},
		{"no common version, may", Options{TLSConfig: &tls.Config{MaxVersion: tls.VersionTLS12}}, "tls: 4.7.5 TLS handshake failed: remote error: tls: protocol version not supported", true},
		{"no common version, require", Options{TLS: RequireTLS, TLSConfig: &tls.Config{MaxVersion: tls.VersionTLS12}}, "tls: 4.7.5 TLS handshake failed: remote error: tls: protocol version not supported", false},
		{"stranger under may", Options{TLSConfig: &tls.Config{RootCAs: x509.NewCertPool()}}, "", false},
		{"stranger under require", Options{TLS: RequireTLS}, "", false},
	} {
		nc := new(peer).serve(t, func(s *smtp.Server) {
			s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}
		})
		c.o.Helo = "us.example"
		conn, f := Open(t.Context(), nc, c.o)
		if f == nil {
			if same(t, conn.TLS(), "TLS1.3 TLS_AES_128_GCM_SHA256 unverified"); c.want != "" {
				t.Errorf("%s: no failure", c.name)
			}
			conn.Quit(t.Context())
			continue
		}
		if f.Error() != c.want || f.InPlain != c.inPlain {
			t.Errorf("%s: %v, in plain %v", c.name, f, f.InPlain)
		}
	}
}

func TestCallersOwnProofIsRespected(t *testing.T) {
	cert, _ := certificate(t)
	for _, verdict := range []error{nil, errors.New("dane: no record matches")} {
		nc := new(peer).serve(t, func(s *smtp.Server) { s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}} })
		c, f := Open(t.Context(), nc, Options{Helo: "us.example", TLS: VerifyTLS, TLSConfig: &tls.Config{InsecureSkipVerify: true,
			VerifyConnection: func(tls.ConnectionState) error { return verdict }}})
		if (f == nil) != (verdict == nil) {
			t.Errorf("%v: %v", verdict, f)
		}
		if c != nil {
			c.Quit(t.Context())
		}
	}
}

// host runs play on a loopback connection, whose buffers a pipe does not have.
func host(t *testing.T, play func(net.Conn)) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		nc, err := l.Accept()
		if err != nil {
			return
		}
		play(nc)
		nc.Close()
	}()
	t.Cleanup(func() { l.Close(); <-done })
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// The client side of CVE-2011-0411 (RFC 3207 4.2, "NO STARTTLS" of 2021).
func TestWordsSentAheadOfTheHandshakeAreAnInjection(t *testing.T) {
	nc := host(t, func(nc net.Conn) {
		script("S 220 hi\nC EHLO us.example\nS 250-mx\nS 250 STARTTLS\nC STARTTLS\n").play(t, nc)
		nc.Write([]byte("220 go\r\n250 I was here before\r\n"))
		io.Copy(io.Discard, nc)
	})
	_, f := Open(t.Context(), nc, Options{Helo: "us.example"})
	if f == nil {
		t.Fatal("believed")
	}
	if same(t, f.Error(), "tls: 4.7.5 host sent 23 octets in plain text behind its reply to STARTTLS: refused as an injection"); f.InPlain {
		t.Error("plain text would be worse")
	}
}

// What was offered in plain text may be of somebody else: only what is offered behind
// the handshake counts (RFC 3207 4.2; CVE-2011-0411 and its kin).
func TestOnlyTheOfferBehindTheHandshakeIsBelieved(t *testing.T) {
	cert, roots := certificate(t)
	heard := make(chan string, 1)
	nc := host(t, func(nc net.Conn) {
		script("S 220 hi\nC EHLO us.example\nS 250-mx\nS 250-SIZE 1\nS 250-DSN\nS 250-PIPELINING\nS 250-AUTH PLAIN\nS 250-LIMITS RCPTMAX=1\nS 250 STARTTLS\nC STARTTLS\nS 220 go\n").play(t, nc)
		s := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert}})
		script("C EHLO us.example\nS 250 mx\n").play(t, s)
		b := make([]byte, 200)
		n, _ := s.Read(b)
		heard <- string(b[:n])
	})
	c, f := Open(t.Context(), nc, Options{Helo: "us.example", TLS: VerifyTLS, TLSConfig: &tls.Config{ServerName: "mx.example", RootCAs: roots}})
	if f != nil {
		t.Fatal(f)
	}
	m := letter(3)
	m.Envelope.Return, m.Envelope.ID = mail.ReturnFull, "id"
	c.Send(t.Context(), m)
	c.Close()
	same(t, <-heard, "MAIL FROM:<a@from.example>\r\n")
}

func TestHostThatAnswersStartTLSInPlainTextMayBeTriedWithout(t *testing.T) {
	nc := host(t, func(nc net.Conn) {
		script("S 220 hi\nC EHLO us.example\nS 250-mx\nS 250 STARTTLS\nC STARTTLS\nS 220 go\n").play(t, nc)
		nc.Read(make([]byte, 1))
		nc.Write([]byte("500 what is this\r\n"))
		io.Copy(io.Discard, nc)
	})
	_, f := Open(t.Context(), nc, Options{Helo: "us.example"})
	if f == nil {
		t.Fatal("no failure")
	}
	if same(t, f.Error(), "tls: 4.7.5 TLS handshake failed: host does not answer in TLS"); !f.InPlain {
		t.Error("not to be tried in plain text")
	}
}

func TestRefusedStartTLSGoesOnInPlainTextUnderMay(t *testing.T) {
	f, rs := converse(t, "S 220 hi\nC EHLO us.example\nS 250-mx\nS 250 STARTTLS\nC STARTTLS\nS 454 no\n"+fromA+"S 550 no\n", Options{}, letter(1))
	if f != nil {
		t.Fatal(f)
	}
	same(t, tell(rs[0]), "mail: 550 no +theirs")
}

// A host that has had enough says so and closes while we still send.
func TestLastWordsOfAHostThatClosesInTheMiddleAreKept(t *testing.T) {
	nc := host(t, func(nc net.Conn) {
		script(plainHello+upTo0+"S 354 go\n").play(t, nc)
		io.ReadFull(nc, make([]byte, 1000))
		nc.Write([]byte("552 5.3.4 enough\r\n"))
		nc.(*net.TCPConn).CloseWrite()
		time.Sleep(20 * time.Millisecond)
	})
	c, f := Open(t.Context(), nc, Options{Helo: "us.example"})
	if f != nil {
		t.Fatal(f)
	}
	m := letter(1)
	m.Bytes = bytes.Repeat([]byte("0123456789\r\n"), 1<<20)
	r := c.Send(t.Context(), m)
	same(t, tell(r), "data: 552 5.3.4 enough +theirs\nbroken")
	c.Close()
}

// On a real socket the first write to a closed host still succeeds.
func TestHostThatClosedWhileIdleIsStaleOnARealSocket(t *testing.T) {
	closed := make(chan bool)
	nc := host(t, func(nc net.Conn) {
		script(plainHello+upTo0+"S 354 go\nD\nS 250 ok\nX").play(t, nc)
		close(closed)
	})
	c, f := Open(t.Context(), nc, Options{Helo: "us.example"})
	if f != nil {
		t.Fatal(f)
	}
	c.Send(t.Context(), letter(1))
	<-closed
	if r := c.Send(t.Context(), letter(1)); !r.Stale || !r.Broken {
		t.Error(tell(r))
	}
	c.Close()
}

func TestLoginIsSpokenWherePlainIsNot(t *testing.T) {
	cert, roots := certificate(t)
	nc := host(t, func(nc net.Conn) {
		tc := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert}})
		script("S 220 hi\nC EHLO us.example\nS 250-mx\nS 250 AUTH=LOGIN\nC AUTH LOGIN\nS 334 VXNlcm5hbWU6\nC dQ==\nS 334 UGFzc3dvcnQ6\nC cA==\nS 535 5.7.8 no\n").play(t, tc)
		io.Copy(io.Discard, tc)
	})
	_, f := Open(context.Background(), nc, Options{Helo: "us.example", Implicit: true, TLS: VerifyTLS, TLSConfig: &tls.Config{ServerName: "mx.example", RootCAs: roots}, User: "u", Password: "p"})
	if f == nil {
		t.Fatal("no failure")
	}
	same(t, f.Error(), "auth: 535 5.7.8 no")
}

// A thousand recipients do not stop both ends waiting for each other.
func TestManyRecipientsArePipelinedWithoutDeadlock(t *testing.T) {
	p := new(peer)
	nc := p.serve(t, func(s *smtp.Server) {})
	nc.(*net.TCPConn).SetReadBuffer(4096)
	c, f := Open(t.Context(), nc, Options{Helo: "us.example"})
	if f != nil {
		t.Fatal(f)
	}
	m := letter(0)
	for i := range 600 {
		m.Envelope.To = append(m.Envelope.To, mail.Recipient{Address: mail.Address{Local: fmt.Sprint("rcpt", i), Domain: "to.example"}})
	}
	r := c.Send(t.Context(), m)
	for i, o := range r.Outcomes {
		if o.Taken != Promised {
			t.Fatalf("%d: %+v", i, o)
		}
	}
	c.Quit(t.Context())
}

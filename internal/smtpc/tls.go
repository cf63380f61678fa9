package smtpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/postrider/postrider/mail"
)

var statusTLS = mail.Status{4, 7, 5} // RFC 3463: cryptographic failure

// startTLS encrypts the connection as the policy wants, and greets again: what the
// host said before is forgotten (RFC 3207 4.2).
func (c *Conn) startTLS(ctx context.Context) *Failure {
	at := step{mail.TLS, "STARTTLS"}
	if !c.ext.StartTLS {
		if c.o.TLS == MayTLS {
			return nil
		}
		return own(mail.TLS, statusTLS, "host does not offer STARTTLS, and the route demands it")
	}
	r, f := c.ask(at, "STARTTLS")
	switch {
	case f != nil:
		f.InPlain = c.inPlain()
		return f
	case r.Code == 220:
	case c.o.TLS == MayTLS && (r.Temporary() || r.Permanent()) && !c.broken:
		return nil // "454 TLS not available": the host goes on in plain text, and so do we
	default:
		f = c.refused(at, r)
		f.InPlain = c.inPlain() && r.Code != 421 // a host that closes does not want us at all
		return f
	}
	// Words sent ahead of the handshake would be believed behind it (CVE-2011-0411
	// turned round; the NO STARTTLS study found it in clients).
	if n := c.br.Buffered(); n > 0 {
		return own(mail.TLS, statusTLS, fmt.Sprintf("host sent %d octets in plain text behind its reply to STARTTLS: refused as an injection", n))
	}
	if f := c.handshake(ctx); f != nil {
		return f
	}
	c.hello, c.ext = mail.Reply{}, Extensions{}
	return c.greet()
}

// inPlain reports whether a TLS failure may be answered by a connection without.
func (c *Conn) inPlain() bool {
	return c.o.TLS == MayTLS && !c.o.Implicit && c.o.User == "" && !c.stopped.Load()
}

func (c *Conn) handshake(ctx context.Context) *Failure {
	config := c.tlsConfig()
	wait := c.o.Timeouts.TLS
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tc := tls.Client(c.raw, config)
	if err := tc.HandshakeContext(limited); err != nil {
		words := "TLS handshake failed: " + handshakeWords(err)
		switch {
		case c.stopped.Load():
			words = "attempt stopped by us during the TLS handshake"
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
			words = fmt.Sprintf("TLS handshake not done within %s", wait)
		}
		c.broken = true
		f := own(mail.TLS, statusTLS, words)
		f.Err, f.InPlain = err, c.inPlain()
		return f
	}
	c.nc, c.secure = tc, true
	c.br.Reset(tc)
	s := tc.ConnectionState()
	c.proven = c.o.TLS == VerifyTLS
	proof := "unverified"
	if c.proven {
		proof = "verified"
	}
	c.tls = strings.ReplaceAll(tls.VersionName(s.Version), " ", "") + " " + tls.CipherSuiteName(s.CipherSuite) + " " + proof
	return nil
}

// tlsConfig is the caller's with the policy applied.
func (c *Conn) tlsConfig() *tls.Config {
	config := c.o.TLSConfig
	if config == nil {
		config = &tls.Config{}
	}
	verify := c.o.TLS == VerifyTLS
	if verify && (config.VerifyConnection != nil || !config.InsecureSkipVerify) || !verify && config.InsecureSkipVerify {
		return config
	}
	config = config.Clone()
	config.InsecureSkipVerify = !verify
	return config
}

// handshakeWords says what went wrong, without Go's way of stacking prefixes.
func handshakeWords(err error) string {
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return mail.Clean(cert.Err.Error(), 300)
	}
	var header tls.RecordHeaderError
	if errors.As(err, &header) {
		return "host does not answer in TLS"
	}
	if words, gone := manner(err); gone && !strings.HasPrefix(words, "connection lost") {
		return words
	}
	return mail.Clean(err.Error(), 300)
}

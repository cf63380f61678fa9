package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/config"
)

// abroad is a listener on loopback that says it is reached from elsewhere.
type abroad struct{ net.Listener }

func (abroad) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8025} }

// certify writes a certificate for mx.author.test and returns who believes it.
func certify(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{"mx.author.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	c, err = x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return pool
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Where other machines come, the listener speaks TLS and wants a token; and if the
// last token goes while it listens, it tells nobody anything.
func TestAListenerThatOthersReach(t *testing.T) {
	dir, err := os.MkdirTemp("", "desk") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	pool := certify(t, dir)
	const token = "0123456789abcdef"
	write(t, filepath.Join(dir, "token"), token+"\n")
	file := filepath.Join(dir, "postrider.toml")
	const head = "hostname = \"mx.author.test\"\ndata = \"data\"\n"
	write(t, file, head+"[[listen]]\nkind = \"http\"\naddress = \"mx.author.test:8025\"\n[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n[[token]]\nname = \"ann\"\nrole = \"view\"\nfile = \"token\"\n")
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	var inner net.Listener
	n, err := open(c, world{listen: func(network, address string) (net.Listener, error) {
		if network == "unix" {
			return listen(network, address)
		}
		var err error
		inner, err = net.Listen("tcp", "127.0.0.1:0")
		return abroad{inner}, err
	}}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done, ready := make(chan error, 1), make(chan bool)
	go func() { done <- n.serve(ctx, func() { close(ready) }) }()
	<-ready
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if strings.Contains(log.String(), token) {
			t.Errorf("the log shows the token:\n%s", &log)
		}
	}()
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "mx.author.test"}, ForceAttemptHTTP2: true, DisableKeepAlives: true,
	}}
	ask := func(scheme, secret string) string {
		req, err := http.NewRequest("GET", fmt.Sprintf("%s://%s/api/v1/queue", scheme, inner.Addr()), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "mx.author.test:8025"
		if secret != "" {
			req.Header.Set("Authorization", "Bearer "+secret)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		io.Copy(io.Discard, res.Body)
		return fmt.Sprint(res.Proto, " ", res.StatusCode)
	}
	for _, c := range []struct{ scheme, secret, want string }{
		{"https", token, "HTTP/2.0 200"}, {"https", "", "HTTP/2.0 401"}, {"https", token + "x", "HTTP/2.0 401"}, {"http", token, "HTTP/1.0 400"},
	} {
		if got := ask(c.scheme, c.secret); got != c.want {
			t.Errorf("%s with %q: %s, want %s", c.scheme, c.secret, got, c.want)
		}
	}
	write(t, file, head+"[[listen]]\nkind = \"http\"\naddress = \"127.0.0.1:8025\"\n[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n")
	n.reload(ctx, file)
	for _, secret := range []string{"", token} {
		if got := ask("https", secret); got != "HTTP/2.0 403" {
			t.Errorf("when the tokens are gone, with %q: %s", secret, got)
		}
	}
}

func TestSecretsInFiles(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ name, text, token, hook string }{
		{"good", "0123456789abcdef\n", "", ""},
		{"short", "hunter2\n", "p.toml:1 token ann: a token has 16 to 200 letters, this one has 7", "p.toml:5 webhook: watch: the secret is shorter than 16 octets"},
		{"empty", "\n", "not one line with a secret", "not one line with a secret"},
		{"two-lines", "0123456789abcdef\n0123456789abcdef\n", "not one line with a secret", "not one line with a secret"},
		{"huge", strings.Repeat("x", 10000), "not one line with a secret", "not one line with a secret"},
		{"blank", "0123456789 abcdef\n", "p.toml:1 token ann: a token is one word", ""},
		{"base64", "whsec_hunter2!!\n", "this one has 15", "no base64 follows whsec_"},
	} {
		file := filepath.Join(dir, c.name)
		write(t, file, c.text)
		_, token := keysOf(&config.Config{Tokens: []config.Token{{Rule: "p.toml:1 token", Name: "ann", Role: "view", File: file}}})
		_, hook := keysOf(&config.Config{Webhooks: []config.Webhook{{Rule: "p.toml:5 webhook", URL: "https://a.test/", SecretFile: file}}})
		for _, got := range []struct {
			err  error
			want string
		}{{token, c.token}, {hook, c.hook}} {
			switch {
			case got.err == nil && got.want == "":
			case got.err == nil || got.want == "" || !strings.Contains(got.err.Error(), got.want):
				t.Errorf("%s: %v, want %q", c.name, got.err, got.want)
			case strings.Contains(got.err.Error(), "hunter2"), strings.Contains(got.err.Error(), "0123"):
				t.Errorf("%s: the error shows it: %v", c.name, got.err)
			}
		}
	}
	one := config.Token{Rule: "p.toml:1 token", Name: "ann", Role: "view", File: filepath.Join(dir, "good")}
	two := one
	two.Name = "ben"
	if _, err := keysOf(&config.Config{Tokens: []config.Token{one, two}}); err == nil || !strings.Contains(err.Error(), "token ben: its secret is that of token ann") {
		t.Errorf("the same twice: %v", err)
	}
}

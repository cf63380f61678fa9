package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/mail"
)

func armor(t *testing.T, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestKeysInPEM(t *testing.T) {
	pkcs8, err8 := x509.MarshalPKCS8PrivateKey(rsaKey())
	ed, errEd := x509.MarshalPKCS8PrivateKey(edKey())
	curve, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ec, errEc := x509.MarshalPKCS8PrivateKey(curve)
	pkix, errPkix := x509.MarshalPKIXPublicKey(rsaKey().Public())
	pkcs1 := x509.MarshalPKCS1PrivateKey(rsaKey().(*rsa.PrivateKey))
	for _, c := range []struct {
		name string
		text []byte
		want string // of the error
	}{
		{"PKCS #1", armor(t, "RSA PRIVATE KEY", pkcs1, nil), ""},
		{"PKCS #8", armor(t, "PRIVATE KEY", pkcs8, err8), ""},
		{"with words around", append([]byte("our key\n"), armor(t, "PRIVATE KEY", pkcs8, err8)...), ""},
		{"Ed25519", armor(t, "PRIVATE KEY", ed, errEd), ""},
		{"elliptic curve", armor(t, "PRIVATE KEY", ec, errEc), "neither RSA nor Ed25519"},
		{"public", armor(t, "PUBLIC KEY", pkix, errPkix), `"PUBLIC KEY" is no private key`},
		{"encrypted", armor(t, "ENCRYPTED PRIVATE KEY", []byte{1}, nil), "encrypted"},
		{"encrypted PKCS #1", []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"), "encrypted"},
		{"damaged", armor(t, "PRIVATE KEY", pkcs8[:50], nil), "asn1"},
		{"no PEM", []byte("MIIEvQ"), "no PEM block"},
		{"nothing", nil, "no PEM block"},
		{"endless", []byte(strings.Repeat("x", 100<<10)), "no PEM block"},
	} {
		file := write600(t, filepath.Join(t.TempDir(), "key.pem"), string(c.text))
		k, err := LoadKey("Example.com", "s1", file)
		switch {
		case c.want == "" && (err != nil || k.Private == nil || k.Domain != "example.com" || k.Selector != "s1"):
			t.Errorf("%s: %+v, %v", c.name, k, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "auth: load key: "+file+": ")):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := LoadKey("example.com", "s1", "no/such/key.pem"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "no/such/key.pem") {
		t.Errorf("no file: %v", err)
	}
}

func TestKeysThatCannotSign(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	small := *short
	small.N = weakModulus()
	curve, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s := signer(t, Key{"example.org", "before", edKey()})
	for _, c := range []struct {
		keys []Key
		want string
	}{
		{[]Key{{"", "s", edKey()}}, `"": not a domain name`},
		{[]Key{{"[192.0.2.1]", "s", edKey()}}, "not a domain name"},
		{[]Key{{"example.com", "a b", edKey()}}, `"a b" is no selector`},
		{[]Key{{"example.com", "s", nil}}, "neither"},
		{[]Key{{"example.com", "s", curve}}, "neither"},
		{[]Key{{"example.com", "s", &small}}, "512 bits"},
		{[]Key{{"example.com", "s", edKey()}, {"EXAMPLE.com", "s", rsaKey()}}, "given twice"},
	} {
		if err := s.Use(c.keys...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: want %q", err, c.want)
		}
	}
	if keys := s.keysFor("example.org"); len(keys) != 1 || keys[0].Selector != "before" || s.keysFor("example.com") != nil {
		t.Errorf("after an error the keys are others: %+v", keys)
	}
	if err := s.Use(Key{"example.com", "s", short}); err != nil {
		t.Errorf("1024 bits: %v", err)
	}
}

// Keys can be replaced while others sign.
func TestKeysAreReplaced(t *testing.T) {
	z := new(dns.Zone)
	older, newer := Key{"example.com", "older", edKey()}, Key{"example.com", "newer", rsaKey()}
	publish(z, older, newer)
	s := signer(t, older)
	h, body := mail.SplitMessage([]byte(letter))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				fields, err := s.Sign(h, bytes.NewReader(body))
				sigs := verify(t, z, string(fields)+letter)
				if err != nil || len(sigs) != 1 || sigs[0].Result != Pass {
					t.Errorf("%+v, %v", sigs, err)
				}
			}
		})
	}
	for _, k := range []Key{newer, older, newer} {
		if err := s.Use(k); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if sigs := verify(t, z, sealedBy(t, s, letter)); len(sigs) != 1 || sigs[0].Selector != "newer" {
		t.Errorf("the newer key is not used: %+v", sigs)
	}
	if err := s.Use(); err != nil || sealedBy(t, s, letter) != letter {
		t.Errorf("without keys it still signs, or %v", err)
	}
}

func TestMailIsSignedForItsAuthor(t *testing.T) {
	s := signer(t, Key{"example.com", "s", edKey()}, Key{"sub.example.com", "t", edKey()})
	for _, c := range []struct {
		header string
		want   string // selector and domain of the signature, or a part of the error
	}{
		{"From: a@example.com\r\n", "s example.com"},
		{"From: a@EXAMPLE.com\r\n", "s example.com"},
		{"From: a@www.example.com\r\n", "s example.com"},
		{"From: a@sub.example.com\r\n", "t sub.example.com"},
		{"From: a@x.sub.example.com", "t sub.example.com"},
		{"From: a@badexample.com\r\n", ""},
		{"From: a@com\r\n", ""},
		{"From: a@example.com\r\nFrom: b@example.com\r\n", "there are 2 From fields"},
		{"From: a@example.com, b@example.net\r\n", "2 domains"},
		{"Subject: x\r\n", "no From field"},
		{"From: a@example.com\r\n" + strings.Repeat("To: b@example.net\r\n", 400), "too many"},
	} {
		fields, err := s.Sign(mail.Header(c.header), strings.NewReader("x\r\n"))
		var got string
		for f := range mail.Header(fields).Fields() {
			sig := readSignature(f, time.Now())
			got += sig.Selector + " " + sig.Domain
		}
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%.60q: got %q, want %q", c.header, got, c.want)
		}
	}
	if fields, err := new(Signer).Sign(mail.Header("From: a@example.com\r\n"), strings.NewReader("")); err != nil || fields != nil {
		t.Errorf("without keys: %q, %v", fields, err)
	}
}

func TestASignatureThatCannotBeMadeIsAnError(t *testing.T) {
	s := signer(t, exampleKeys()...)
	broken := errors.New("disk")
	if _, err := s.Sign(mail.Header("From: a@example.com\r\n"), &endless{unit: []byte("\r\n")}); !errors.Is(err, errBlank) {
		t.Errorf("blank lines without end: %v", err)
	}
	if _, err := s.Sign(mail.Header("From: a@example.com\r\n"), iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// The longest h= that we write fits on a line, and is one that we accept.
func TestTheLongestSignatureIsAccepted(t *testing.T) {
	z := new(dns.Zone)
	publish(z, exampleKeys()...)
	msg := sealed(t, strings.Repeat("To: b@example.net\r\n", 79)+letter, exampleKeys()...)
	for line := range strings.Lines(msg) {
		if len(line) > 1000 || !strings.HasSuffix(line, "\r\n") {
			t.Errorf("%d octets: %q", len(line), line)
		}
	}
	for _, sig := range verify(t, z, msg) {
		if sig.Result != Pass {
			t.Errorf("%+v", sig)
		}
	}
}

// FuzzKey reads anything at all as a private key.
func FuzzKey(f *testing.F) {
	for _, s := range []string{"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: x\n\nAAAA\n-----END RSA PRIVATE KEY-----\n", "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if k, err := parseKey(text); err == nil && algorithm(k) == "" {
			t.Errorf("%q: %T", text, k)
		}
	})
}

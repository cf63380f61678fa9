package auth

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/postrider/postrider/mail"
)

// Key is a private key with which a domain signs.
type Key struct {
	Domain   string
	Selector string
	Private  crypto.Signer // *rsa.PrivateKey of at least 1024 bits (RFC 8301 3.2), or ed25519.PrivateKey
}

// maxKeyFile is how many octets of a key file are read.
const maxKeyFile = 64 << 10

// LoadKey reads the private key of a domain and selector from a PEM file: RSA in
// PKCS #1 or #8, Ed25519 in PKCS #8, without a pass phrase. Its errors name the
// file and never what is in it.
func LoadKey(domain, selector, file string) (Key, error) {
	f, err := os.Open(file)
	if err != nil {
		return Key{}, fmt.Errorf("auth: load key: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return Key{}, fmt.Errorf("auth: load key: %w", err)
	}
	private, err := parseKey(text)
	if err != nil {
		return Key{}, fmt.Errorf("auth: load key: %s: %w", file, err)
	}
	return canonical(Key{domain, selector, private})
}

// canonical checks a key and gives its names the form by which they are compared.
func canonical(k Key) (Key, error) {
	domain, err := mail.CanonicalDomain(k.Domain)
	if err != nil || domain[0] == '[' {
		return k, fmt.Errorf("auth: sign for %q: not a domain name", k.Domain)
	}
	selector, err := mail.CanonicalDomain(k.Selector)
	if err != nil || selector[0] == '[' {
		return k, fmt.Errorf("auth: sign for %s: %q is no selector", domain, k.Selector)
	}
	if k.Private == nil || algorithm(k.Private) == "" {
		return k, fmt.Errorf("auth: sign for %s: selector %s has neither an RSA nor an Ed25519 key", domain, selector)
	}
	if r, ok := k.Private.Public().(*rsa.PublicKey); ok && r.N.BitLen() < minRSA {
		return k, fmt.Errorf("auth: sign for %s: the RSA key of selector %s has %d bits: nobody accepts less than %d (RFC 8301)",
			domain, selector, r.N.BitLen(), minRSA)
	}
	return Key{domain, selector, k.Private}, nil
}

// Record returns what must stand in the DNS for the key: the name, and the text
// of its TXT record (RFC 6376 3.6.1, RFC 8463 4.2).
func (k Key) Record() (name, text string) {
	public, _ := k.Private.Public().(ed25519.PublicKey)
	der := []byte(public)
	if public == nil {
		der, _ = x509.MarshalPKIXPublicKey(k.Private.Public()) // no RSA key fails
	}
	return k.Selector + "._domainkey." + k.Domain,
		"v=DKIM1; k=" + algorithm(k.Private) + "; p=" + base64.StdEncoding.EncodeToString(der)
}

// parseKey reads a private key in PEM.
func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New(`no PEM block ("-----BEGIN PRIVATE KEY-----")`)
	}
	var parsed any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		if block.Headers["DEK-Info"] != "" {
			return nil, errors.New("it is encrypted: store it without a pass phrase")
		}
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("it is encrypted: store it without a pass phrase")
	default:
		return nil, fmt.Errorf("%q is no private key that DKIM knows", block.Type)
	}
	if err != nil {
		return nil, err
	}
	private, ok := parsed.(crypto.Signer)
	if !ok || algorithm(private) == "" {
		return nil, fmt.Errorf("%T is neither RSA nor Ed25519", parsed)
	}
	return private, nil
}

// algorithm returns the k= of a key; "" if DKIM does not know its kind.
func algorithm(private crypto.Signer) string {
	switch private.Public().(type) {
	case *rsa.PublicKey:
		return "rsa"
	case ed25519.PublicKey:
		return "ed25519"
	}
	return ""
}

package auth

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"slices"
	"strings"
)

// Bounds on the keys of others: below, a signature proves nothing (RFC 8301 3.2);
// above, checking it costs more than a message is worth.
const (
	minRSA       = 1024 // bits
	maxRSA       = 8192
	maxKeyRecord = 4096 // octets
)

// key is what a domain says about a key, beyond what the library tells.
type key struct {
	testing bool // t=y
	exact   bool // t=s: i= must be of d= itself
}

// readKey reads a key record (RFC 6376 3.6.1) and says why it is not accepted:
// with Policy, if the key itself is sound. What is malformed is left to the
// library to refuse.
func readKey(txt string) (k key, refused Result, reason string) {
	if len(txt) > maxKeyRecord {
		return k, PermError, "the key record is too long"
	}
	tags, ok := readTags(txt)
	if !ok {
		return k, "", ""
	}
	flags := strings.Split(squeeze(tags["t"]), ":")
	k.testing, k.exact = slices.Contains(flags, "y"), slices.Contains(flags, "s")
	if kind := tags["k"]; kind != "" && kind != "rsa" {
		return k, "", ""
	}
	der, err := base64.StdEncoding.DecodeString(squeeze(tags["p"]))
	if err != nil {
		return k, "", ""
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		public, _ = x509.ParsePKCS1PublicKey(der)
	}
	if r, ok := public.(*rsa.PublicKey); ok && r != nil {
		switch bits := r.N.BitLen(); {
		case bits < minRSA:
			return k, Policy, "the RSA key is shorter than 1024 bits"
		case bits > maxRSA:
			return k, Policy, "the RSA key is longer than 8192 bits"
		}
	}
	return k, "", ""
}

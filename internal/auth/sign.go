package auth

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/postrider/postrider/mail"
)

// Signer signs for the domains whose keys it has. It may be used by many
// goroutines. The zero Signer has no keys and signs nothing.
type Signer struct {
	keys atomic.Pointer[map[string][]Key] // by domain
}

// Use replaces all keys at once; a message that is being signed keeps those it
// began with. A domain with several selectors signs with each of them: RSA for
// all, Ed25519 for those who know it (RFC 8463 3). After an error, which names the
// domain and selector, the keys are those from before.
func (s *Signer) Use(keys ...Key) error {
	all := map[string][]Key{}
	for _, k := range keys {
		k, err := canonical(k)
		if err != nil {
			return err
		}
		for _, other := range all[k.Domain] {
			if other.Selector == k.Selector {
				return fmt.Errorf("auth: sign for %s: selector %s is given twice", k.Domain, k.Selector)
			}
		}
		all[k.Domain] = append(all[k.Domain], k)
	}
	s.keys.Store(&all)
	return nil
}

// keysFor returns the keys for mail of an author's domain: its own, or those of
// the nearest domain above it, whose signature counts for it too (RFC 9989 4.4.1).
func (s *Signer) keysFor(author string) []Key {
	all := s.keys.Load()
	for all != nil && author != "" {
		if keys := (*all)[author]; keys != nil {
			return keys
		}
		_, author, _ = strings.Cut(author, ".")
	}
	return nil
}

// Fields that are signed once more often than they are there, so that nobody can
// add another (RFC 6376 5.4, 8.15): what a reader is shown, and what tells how to
// show the body.
var oversigned = []string{"From", "Reply-To", "Subject", "Date", "To", "Cc", "Message-ID",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding"}

// Fields that are signed if they are there. A mailing list may add its own.
var signed = []string{"Sender", "In-Reply-To", "References", "List-Id", "List-Help", "List-Post", "List-Archive",
	"List-Owner", "List-Subscribe", "List-Unsubscribe", "List-Unsubscribe-Post", "Autocrypt"}

// maxSignedNames bounds h=, which the library writes on one line of at most 998
// octets (RFC 5322 2.1.1).
const maxSignedNames = 900

// Sign returns the DKIM-Signature fields to be put before the header, CRLF
// included, one for each key of the author's domain or the nearest domain above it
// (RFC 6376 5); none if there is no key. It reads the body, what follows the blank
// line, to its end: who sends it afterwards must read it again, and change nothing.
//
// It fails where the body cannot be read, and for a message that must not be
// signed: one whose author is not clear, one with too many fields for a signature,
// or with more than 64 KiB of white space in a row. It may go out unsigned.
func (s *Signer) Sign(h mail.Header, body io.Reader) ([]byte, error) {
	if all := s.keys.Load(); all == nil || len(*all) == 0 {
		return nil, nil
	}
	a := authors(h)
	if a.fault != "" || len(a.domains) > 1 {
		return nil, fmt.Errorf("auth: sign: %s", a.trouble())
	}
	keys := s.keysFor(a.domains[0])
	if len(keys) == 0 {
		return nil, nil
	}
	names, header := toSign(h)
	if len(names) > maxSigned || len(strings.Join(names, ":")) > maxSignedNames {
		return nil, fmt.Errorf("auth: sign: %d fields are too many for one signature", len(names))
	}
	writers := make([]io.Writer, len(keys))
	signers := make([]*dkim.Signer, len(keys))
	for i, k := range keys {
		one, err := dkim.NewSigner(&dkim.SignOptions{
			Domain: k.Domain, Selector: k.Selector, Signer: k.Private, HeaderKeys: names,
			HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
		})
		if err != nil {
			return nil, fmt.Errorf("auth: sign for %s: %w", k.Domain, err)
		}
		defer one.Close() // ends its goroutine, whatever happens
		signers[i], writers[i] = one, one
	}
	to := io.MultiWriter(writers...)
	if _, err := to.Write(header); err != nil {
		return nil, fmt.Errorf("auth: sign: %w", err)
	}
	if _, err := io.Copy(to, &octets{r: body}); err != nil {
		return nil, fmt.Errorf("auth: sign: read the body: %w", err)
	}
	var fields []byte
	for i, one := range signers {
		if err := one.Close(); err != nil {
			return nil, fmt.Errorf("auth: sign for %s: selector %s: %w", keys[i].Domain, keys[i].Selector, err)
		}
		fields = append(fields, one.Signature()...)
	}
	return fields, nil
}

// toSign returns the names for h= and a header of just those fields.
func toSign(h mail.Header) (names []string, header []byte) {
	count := map[string]int{}
	for f := range h.Fields() {
		count[strings.ToLower(f.Name)]++
	}
	for _, name := range oversigned {
		for range count[strings.ToLower(name)] + 1 {
			names = append(names, name)
		}
	}
	for _, name := range signed {
		for range count[strings.ToLower(name)] {
			names = append(names, name)
		}
	}
	var found []mail.Field
	in := map[string]bool{}
	for _, name := range names {
		in[strings.ToLower(name)] = true
	}
	for f := range h.Fields() {
		if in[strings.ToLower(f.Name)] {
			found = append(found, f)
		}
	}
	return names, write(found)
}

// write returns a header of these fields, with the blank line that ends it.
func write(fields []mail.Field) []byte {
	var b []byte
	for _, f := range fields {
		b = append(b, f.Raw...)
		if !bytes.HasSuffix(f.Raw, []byte("\n")) {
			b = append(b, "\r\n"...)
		}
	}
	return append(b, "\r\n"...)
}

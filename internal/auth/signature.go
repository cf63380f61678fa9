package auth

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// Bounds on one DKIM-Signature field. Real ones have some 30 names in h=.
const (
	maxSignatureField = 16 << 10
	maxSigned         = 100
)

// Signature is what was found out about one DKIM-Signature field.
type Signature struct {
	Result    Result
	Domain    string // d=, in A-labels: who signs. "" if it is no domain name
	Selector  string // s=: which of the domain's keys
	Algorithm string // a=, as it stands if it is known: "rsa-sha256"
	Prefix    string // the first eight characters of b=, which tell signatures apart (RFC 6008)
	Testing   bool   // the key says t=y: the domain only tries this out (RFC 6376 3.6.1)
	Reason    string // why it is no pass; "" if it is
}

// taken is a signature field as it was read, before its key is known.
type taken struct {
	Signature
	signed map[string]int // names in h=, lower case, and how often each is there
	author string         // the domain of i=
}

// refuse ends the check of a signature.
func (t *taken) refuse(w Result, reason string) { t.Result, t.Reason = w, reason }

// algorithms are those that can be named; rsa-sha1 only to refuse it.
var algorithms = []string{"rsa-sha256", "ed25519-sha256", "rsa-sha1"}

// readSignature reads a DKIM-Signature field (RFC 6376 3.5). A field that is not
// worth a look-up has a Result already.
func readSignature(f mail.Field, now time.Time) taken {
	t := taken{signed: map[string]int{}}
	if len(f.Raw) > maxSignatureField {
		t.refuse(Neutral, "the field is too long")
		return t
	}
	tags, ok := readTags(f.Value())
	if !ok {
		t.refuse(Neutral, "the field is no list of tags")
		return t
	}
	b := squeeze(tags["b"])
	if _, err := base64.StdEncoding.DecodeString(b); err == nil {
		t.Prefix = b[:min(len(b), 8)]
	}
	if a := squeeze(tags["a"]); slices.Contains(algorithms, a) {
		t.Algorithm = a
	}
	for name := range strings.SplitSeq(squeeze(tags["h"]), ":") {
		t.signed[strings.ToLower(name)]++
	}
	if reason := t.name(tags); reason != "" {
		t.refuse(Neutral, reason)
		return t
	}
	t.judge(tags, now)
	return t
}

// name reads who signed, and says what is wrong with it. Only what can stand in
// the DNS gets in: a NUL in d= or s= once made checkers ask for one domain and
// show another.
func (t *taken) name(tags map[string]string) string {
	domain, err := mail.CanonicalDomain(squeeze(tags["d"]))
	if err != nil || domain[0] == '[' {
		return "d= is no domain name"
	}
	t.Domain, t.author = domain, domain
	selector, err := mail.CanonicalDomain(squeeze(tags["s"]))
	if err != nil || selector[0] == '[' {
		return "s= is no selector"
	}
	t.Selector = selector
	if i, ok := tags["i"]; ok {
		i = squeeze(i)
		t.author, err = mail.CanonicalDomain(i[strings.LastIndexByte(i, '@')+1:])
		if err != nil || !within(t.author, domain) {
			return "i= is not of d="
		}
	}
	return ""
}

// judge says what is wrong with how it was signed.
func (t *taken) judge(tags map[string]string, now time.Time) {
	names := 0
	for _, n := range t.signed {
		names += n
	}
	expires, err := strconv.ParseInt(squeeze(tags["x"]), 10, 64)
	_, expiring := tags["x"]
	_, short := tags["l"]
	switch {
	case t.Algorithm == "":
		t.refuse(Neutral, "a= is no algorithm that is known")
	case t.Algorithm == "rsa-sha1":
		t.refuse(Policy, "SHA-1 proves nothing any more")
	case t.Prefix == "":
		t.refuse(Neutral, "b= is no signature")
	case names > maxSigned:
		t.refuse(Neutral, "h= is too long")
	case confusing(tags):
		t.refuse(Neutral, "another tag looks like b=, which the check cannot tell apart")
	case t.signed["from"] == 0:
		t.refuse(PermError, "From is not signed")
	case short:
		// What is appended behind l= octets would look signed (RFC 6376 8.2).
		t.refuse(Policy, "l= leaves a part of the body unsigned")
	case expiring && err != nil:
		t.refuse(Neutral, "x= is no time")
	case expiring && now.Unix() > expires:
		t.refuse(Policy, "the signature has expired")
	}
}

// likeB is what the library takes for the signature, and leaves out of what is
// signed, wherever in the field it stands: in "z=Subject:job=20offer" too.
var likeB = regexp.MustCompile(`b\s*=.`)

// confusing reports whether a true signature would look wrong to the library.
func confusing(tags map[string]string) bool {
	for name, value := range tags {
		if name != "b" && (strings.HasSuffix(name, "b") || likeB.MatchString(value)) {
			return true
		}
	}
	return false
}

// readTags reads a list of tags (RFC 6376 3.2). A tag that is there twice spoils
// the list.
func readTags(s string) (map[string]string, bool) {
	tags := map[string]string{}
	for tag := range strings.SplitSeq(s, ";") {
		if strings.TrimSpace(tag) == "" {
			continue
		}
		name, value, ok := strings.Cut(tag, "=")
		name = strings.TrimSpace(name)
		if _, twice := tags[name]; !ok || name == "" || twice {
			return nil, false
		}
		tags[name] = strings.TrimSpace(value)
	}
	return tags, true
}

// squeeze takes out the white space with which a value may be folded.
func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, s)
}

// within reports whether a name is a domain or below it.
func within(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}

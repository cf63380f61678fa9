package auth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/mail"
)

var rsaKey = sync.OnceValue(func() crypto.Signer {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

var edKey = sync.OnceValue(func() crypto.Signer {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
})

const letter = "Received: from x by y; Mon, 2 Jan 2006 15:04:05 +0000\r\n" +
	"From: Alice <alice@example.com>\r\nTo: bob@example.net\r\nSubject: a  walk\r\n\tin the park\r\n" +
	"Date: Mon, 2 Jan 2006 15:04:05 +0000\r\nMessage-ID: <1@example.com>\r\n\r\nHello,\r\n\r\n  how are you? \r\n\r\n\r\n"

// publish puts the records of keys into a zone.
func publish(z *dns.Zone, keys ...Key) {
	for _, k := range keys {
		name, text := k.Record()
		z.Add(name, record(text))
	}
}

// record writes a text as a TXT record, in strings of at most 255 octets.
func record(text string) string {
	r := "TXT"
	for len(text) > 255 {
		r += " " + quote(text[:255])
		text = text[255:]
	}
	return r + " " + quote(text)
}

func signer(t testing.TB, keys ...Key) *Signer {
	t.Helper()
	s := new(Signer)
	if err := s.Use(keys...); err != nil {
		t.Fatal(err)
	}
	return s
}

// sealed returns a message with our signatures on top.
func sealed(t testing.TB, msg string, keys ...Key) string {
	t.Helper()
	return sealedBy(t, signer(t, keys...), msg)
}

func sealedBy(t testing.TB, s *Signer, msg string) string {
	t.Helper()
	h, body := mail.SplitMessage([]byte(msg))
	fields, err := s.Sign(h, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return string(fields) + msg
}

func verify(t testing.TB, r dns.Resolver, msg string) []Signature {
	t.Helper()
	h, body := mail.SplitMessage([]byte(msg))
	sigs, _ := Checker{Resolver: r}.signatures(t.Context(), h, bytes.NewReader(body))
	return sigs
}

func exampleKeys() []Key {
	return []Key{{"example.com", "rsa", rsaKey()}, {"example.com", "ed", edKey()}}
}

func TestEachKeyOfADomainSignsAndIsVerified(t *testing.T) {
	z := new(dns.Zone)
	publish(z, exampleKeys()...)
	sigs := verify(t, z, sealed(t, letter, exampleKeys()...))
	if len(sigs) != 2 {
		t.Fatalf("%d signatures, want 2", len(sigs))
	}
	for i, want := range []Signature{
		{Result: Pass, Domain: "example.com", Selector: "rsa", Algorithm: "rsa-sha256"},
		{Result: Pass, Domain: "example.com", Selector: "ed", Algorithm: "ed25519-sha256"},
	} {
		if len(sigs[i].Prefix) != 8 {
			t.Errorf("prefix %q", sigs[i].Prefix)
		}
		sigs[i].Prefix = ""
		if sigs[i] != want {
			t.Errorf("got %+v, want %+v", sigs[i], want)
		}
	}
}

// What a reader is shown cannot be changed, added to or taken away; what a mailing
// list or the next hop adds can.
func TestASignatureHoldsWhatAReaderSees(t *testing.T) {
	z := new(dns.Zone)
	publish(z, exampleKeys()...)
	msg := sealed(t, letter, exampleKeys()...)
	for _, c := range []struct {
		name     string
		old, new string
		want     Result
	}{
		{"unchanged", "", "", Pass},
		{"body", "how are you", "who are you", Fail},
		{"blank lines at the end", "? \r\n\r\n\r\n", "?\r\n", Pass},
		{"white space", "a  walk\r\n\tin", "a walk in", Pass},
		{"subject", "park", "dark", Fail},
		{"second From", "From:", "From: mallory@example.org\r\nFrom:", Fail},
		{"second Subject", "Subject:", "Subject: win\r\nSubject:", Fail},
		{"second To", "To:", "To: eve@example.org\r\nTo:", Fail},
		{"first Cc", "To:", "Cc: eve@example.org\r\nTo:", Fail},
		{"first Reply-To", "To:", "Reply-To: eve@example.org\r\nTo:", Fail},
		{"first Content-Type", "To:", "Content-Type: text/html\r\nTo:", Fail},
		{"no Date", "Date: Mon, 2 Jan 2006 15:04:05 +0000\r\n", "", Fail},
		{"Received", "Received:", "Received: from z by x; Mon, 2 Jan 2006 15:04:05 +0000\r\nReceived:", Pass},
		{"List-Id", "Received:", "List-Id: <l.example.org>\r\nReceived:", Pass},
	} {
		if !strings.Contains(msg, c.old) {
			t.Fatalf("%s: %q is not in the message", c.name, c.old)
		}
		i := strings.LastIndex(msg, "\r\n"+c.old)
		changed := strings.Replace(msg, c.old, c.new, 1)
		if i >= 0 && c.old != "" { // not in h=
			changed = msg[:i+2] + c.new + msg[i+2+len(c.old):]
		}
		for _, s := range verify(t, z, changed) {
			if s.Result != c.want {
				t.Errorf("%s: %s: %s (%s), want %s", c.name, s.Selector, s.Result, s.Reason, c.want)
			}
		}
	}
}

// The tags of a signature are not believed before they can be.
func TestSignaturesThatAreNotAccepted(t *testing.T) {
	short, _ := rsa.GenerateKey(rand.Reader, 1024)
	weak, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: weakModulus(), E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	z := new(dns.Zone)
	publish(z, exampleKeys()...)
	name, text := Key{"example.com", "short", short}.Record()
	z.Add(name, record(text))
	z.Add("weak._domainkey.example.com", record("v=DKIM1; p="+base64.StdEncoding.EncodeToString(weak)))
	z.Add("gone._domainkey.example.com", record("v=DKIM1; p="))
	z.Add("two._domainkey.example.com", record(text), record(text+" "))
	z.Add("huge._domainkey.example.com", record("v=DKIM1; n="+strings.Repeat("x", 5000)+"; p=AAAA"))
	z.Add("junk._domainkey.example.com", record("v=spf1 -all"))
	_, ed := exampleKeys()[1].Record()
	z.Add("try._domainkey.example.com", record(ed+"; t=y"))
	z.Add("exact._domainkey.example.com", record(ed+"; t=s"))
	z.Add("chat._domainkey.example.com", record(ed+"; s=chat"))
	z.Fail("late._domainkey.example.com", "TXT", dns.Silent)
	msg := sealed(t, letter, exampleKeys()[1])
	for _, c := range []struct {
		name     string
		old, new string
		want     Result
		reason   string
	}{
		{"a part of the body", "d=", "l=10; d=", Policy, "l="},
		{"expired", "d=", "x=1000000000; d=", Policy, "expired"},
		{"no time", "d=", "x=soon; d=", Neutral, "x="},
		{"SHA-1", "ed25519-sha256", "rsa-sha1", Policy, "SHA-1"},
		{"unknown algorithm", "ed25519-sha256", "rot13", Neutral, "a="},
		{"From not signed", "h=From:From:", "h=", PermError, "From"},
		{"NUL in d=", "d=example.com", "d=example.com\x00.example.net", Neutral, "d="},
		{"NUL in s=", "s=ed", "s=ed\x00", Neutral, "s="},
		{"blank in d=", "d=example.com", "d=example.com(.example.net", Neutral, "d="},
		{"literal", "d=example.com", "d=[192.0.2.1]", Neutral, "d="},
		{"i= of another domain", "d=", "i=@example.net; d=", Neutral, "i="},
		{"i= of a look-alike", "d=", "i=@badexample.com; d=", Neutral, "i="},
		{"twice the same tag", "d=", "d=example.net; d=", Neutral, "list of tags"},
		{"version", "v=1", "v=2", PermError, "version"},
		{"no b=", "b=", "b=!", Neutral, "b="},
		{"wrong canonicalization", "relaxed/relaxed", "tidy/tidy", PermError, "canonicalization"},
		{"no key", "s=ed", "s=none", PermError, "NXDOMAIN"},
		{"revoked", "s=ed", "s=gone", PermError, "revoked"},
		{"two keys", "s=ed", "s=two", PermError, "multiple"},
		{"short key", "s=ed", "s=weak", Policy, "1024"},
		{"other kind of key", "s=ed", "s=short", PermError, "algorithm"},
		{"huge record", "s=ed", "s=huge", PermError, "too long"},
		{"no key record", "s=ed", "s=junk", PermError, ""},
		{"not for mail", "s=ed", "s=chat", PermError, "service"},
		{"no answer", "s=ed", "s=late", TempError, "no answer"},
		{"tested", "s=ed", "s=try", Fail, "verify"},
		{"i= below d= against t=s", "s=ed", "i=@sub.example.com; s=exact", PermError, "itself"},
		{"h= without end", "h=From:", "h=" + strings.Repeat("x:", 150) + "From:", Neutral, "too long"},
		{"a copied field", "d=", "z=Subject:job=20offer; d=", Neutral, "b="},
		{"endless field", "d=", "z=" + strings.Repeat("x", 20000) + "; d=", Neutral, "too long"},
	} {
		changed := strings.Replace(msg, c.old, c.new, 1)
		sigs := verify(t, z, changed)
		if changed == msg || len(sigs) != 1 {
			t.Fatalf("%s: nothing changed, or %d signatures", c.name, len(sigs))
		}
		if s := sigs[0]; s.Result != c.want || !strings.Contains(s.Reason, c.reason) {
			t.Errorf("%s: %s (%s), want %s (%s)", c.name, s.Result, s.Reason, c.want, c.reason)
		}
	}
	if s := verify(t, z, strings.Replace(msg, "s=ed", "s=try", 1))[0]; !s.Testing {
		t.Error("a key with t=y is not marked")
	}
}

// weakModulus returns one of 512 bits: Go makes no such keys.
func weakModulus() *big.Int {
	n := rsaKey().Public().(*rsa.PublicKey).N
	return new(big.Int).Rsh(n, uint(n.BitLen()-512))
}

func TestASignatureExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := new(dns.Zone)
		publish(z, exampleKeys()...)
		var b bytes.Buffer
		err := dkim.Sign(&b, strings.NewReader(letter), &dkim.SignOptions{
			Domain: "example.com", Selector: "ed", Signer: edKey(), Expiration: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if s := verify(t, z, b.String()); s[0].Result != Pass {
			t.Errorf("before: %+v", s)
		}
		time.Sleep(2 * time.Hour)
		if s := verify(t, z, b.String()); s[0].Result != Policy {
			t.Errorf("afterwards: %+v", s)
		}
	})
}

func TestTwoThousandSignaturesCostEight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := new(dns.Zone)
		z.Delay(time.Second)
		var b strings.Builder
		for i := range 2000 {
			fmt.Fprintf(&b, "DKIM-Signature: v=1; a=rsa-sha256; d=d%d.example.com; s=s; h=From; bh=AAAA; b=AAAA\r\n", i)
		}
		b.WriteString(letter)
		h, body := mail.SplitMessage([]byte(b.String()))
		began := time.Now()
		sigs, skipped := Checker{Resolver: z}.signatures(t.Context(), h, bytes.NewReader(body))
		if len(sigs) != maxSignatures || skipped != 2000-maxSignatures {
			t.Errorf("%d checked, %d skipped", len(sigs), skipped)
		}
		asked := 0
		for i := range 2000 {
			asked += z.Asked(fmt.Sprintf("s._domainkey.d%d.example.com", i), "TXT")
		}
		if took := time.Since(began); asked != maxSignatures || took != time.Second {
			t.Errorf("%d questions in %v, want %d side by side", asked, took, maxSignatures)
		}
	})
}

// A signature whose h= and header multiply must not cost more than they are long.
func TestManyNamesTimesManyFieldsAreCheap(t *testing.T) {
	z := new(dns.Zone)
	z.Add("s._domainkey.example.com", record("p="+base64.StdEncoding.EncodeToString(der(t))))
	var b strings.Builder
	for range maxSignatures {
		b.WriteString("DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=s; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA;\r\n h=" +
			strings.Repeat("From:", 99) + "a\r\n")
	}
	b.WriteString("From: a@example.com\r\n" + strings.Repeat("a: b\r\n", 100_000) + "\r\n")
	began := time.Now()
	for _, s := range verify(t, z, b.String()) {
		if s.Result != Fail {
			t.Errorf("%+v", s)
		}
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}

func der(t *testing.T) []byte {
	b, err := x509.MarshalPKIXPublicKey(rsaKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestABodyThatCannotBeReadIsNoVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails on goroutines that are left over
		z := new(dns.Zone)
		publish(z, exampleKeys()...)
		h, _ := mail.SplitMessage([]byte(sealed(t, letter, exampleKeys()...)))
		sigs, _ := Checker{Resolver: z}.signatures(t.Context(), h, iotest.ErrReader(errors.New("disk")))
		for _, s := range sigs {
			if s.Result != TempError {
				t.Errorf("%+v", s)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		sigs, _ = Checker{Resolver: z}.signatures(ctx, h, strings.NewReader(strings.Repeat("x\r\n", 1<<20)))
		for _, s := range sigs {
			if s.Result != TempError {
				t.Errorf("without time: %+v", s)
			}
		}
	})
}

// The library keeps blank lines until it knows what follows.
func TestAnEndlessBlankBodyIsNotHeld(t *testing.T) {
	z := new(dns.Zone)
	publish(z, exampleKeys()...)
	msg := sealed(t, letter, exampleKeys()...)
	h, _ := mail.SplitMessage([]byte(msg))
	for _, unit := range []string{"\r\n", " \r\n", "\n", " "} {
		body := &endless{unit: []byte(unit)}
		sigs, _ := Checker{Resolver: z}.signatures(t.Context(), h, body)
		for _, s := range sigs {
			if s.Result != Policy {
				t.Errorf("%q: %+v", unit, s)
			}
		}
		if body.read > 1<<20 {
			t.Errorf("%q: %d octets were read", unit, body.read)
		}
	}
}

type endless struct {
	unit []byte
	read int
}

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = e.unit[e.read%len(e.unit)]
		e.read++
	}
	return len(b), nil
}

func TestABodyStreamsThrough(t *testing.T) {
	z := new(dns.Zone)
	publish(z, exampleKeys()...)
	s := signer(t, exampleKeys()...)
	const size = 4 << 20
	h, _ := mail.SplitMessage([]byte(letter))
	body := &watched{r: io.LimitReader(&endless{unit: []byte("what stands in a line of text\r\n")}, size)}
	fields, err := s.Sign(h, body)
	if err != nil {
		t.Fatal(err)
	}
	again := &watched{r: io.LimitReader(&endless{unit: []byte("what stands in a line of text\r\n")}, size)}
	sigs, _ := Checker{Resolver: z}.signatures(t.Context(), append(mail.Header(fields), h...), again)
	for _, s := range sigs {
		if s.Result != Pass {
			t.Errorf("%+v", s)
		}
	}
	if most := max(body.most, again.most); most > 1<<20 {
		t.Errorf("%d octets held for a body of %d", most, size)
	}
}

// watched notes how much memory is in use while it is read.
type watched struct {
	r     io.Reader
	reads int
	first uint64
	most  uint64 // beyond what it was at first
}

func (w *watched) Read(b []byte) (int, error) {
	if w.reads%20 == 0 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if w.first == 0 {
			w.first = m.HeapAlloc
		}
		w.most = max(w.most, m.HeapAlloc-min(w.first, m.HeapAlloc))
	}
	w.reads++
	return w.r.Read(b)
}

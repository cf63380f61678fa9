package auth

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/authres"

	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/mail"
)

// words are all that a result may say.
var allWords = map[Result]bool{None: true, Pass: true, Fail: true, SoftFail: true, Neutral: true, Policy: true, TempError: true, PermError: true}

func FuzzDMARCRecord(f *testing.F) {
	for _, s := range []string{"v=DMARC1; p=reject", "v=DMARC1;p=none;sp=quarantine;np=reject;psd=y;t=y;adkim=s;aspf=s;rua=mailto:a@b",
		"v = DMARC1 ;; p", "v=DMARC1; p=x; p=reject", "v=spf1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, ok := readDMARC(s)
		if !ok {
			return
		}
		for _, below := range []bool{false, true} {
			for _, exists := range []bool{false, true} {
				if h := r.asks(below, exists); h != NoHandling && h != Quarantine && h != Reject {
					t.Errorf("%q asks for %q", s, h)
				}
			}
		}
		if again, ok := readDMARC(s + "; p=none; sp=none; np=none"); r.p != NoHandling && (!ok || again.p != r.p) {
			t.Errorf("%q: a second p= counts", s)
		}
	})
}

func FuzzAuthors(f *testing.F) {
	for _, s := range []string{"From: a@example.com\r\n", "From: =?utf-8?q?a?= <a@example.com>, b@example.net\r\n", "From : x\r\nfrom:@@\r\n", "From: \"a@b\"@c (d@e)\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a := authors(mail.Header(s))
		if len(a.domains) == 0 && a.fault == "" {
			t.Errorf("%q: neither an author nor a fault", s)
		}
		for _, d := range a.domains {
			if c, err := mail.CanonicalDomain(d); err != nil || c != d {
				t.Errorf("%q: %q is not canonical", s, d)
			}
		}
	})
}

// Whatever is taken out, what is left has none that an independent reader would
// take for ours, and the rest is as it was.
func FuzzStrip(f *testing.F) {
	for _, s := range []string{"Authentication-Results: us.test; spf=pass\r\nX: y\r\n", "authentication-results : (a(b)) \"us.test\" 1;\r\n",
		"junk\r\nAuthentication-Results:us.test\r\n ; x", "Authentication-Results: other.test; none\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, n := Strip(mail.Header(s), "us.test")
		if n == 0 && string(got) != s || n > 0 && len(got) >= len(s) {
			t.Errorf("%q: %d taken out, left %q", s, n, got)
		}
		if _, again := Strip(got, "us.test"); again != 0 {
			t.Errorf("%q: another one in %q", s, got)
		}
		for field := range got.Fields() {
			id, _, _ := authres.Parse(field.Value())
			if strings.EqualFold(field.Name, resultsField) && strings.EqualFold(id, "us.test") {
				t.Errorf("%q: left %q", s, field.Raw)
			}
		}
	})
}

func FuzzSignature(f *testing.F) {
	h, _ := mail.SplitMessage([]byte(sealed(f, letter, exampleKeys()...)))
	name, text := exampleKeys()[1].Record()
	f.Add(string(h), "body\r\n", text)
	f.Add("DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=ed; h=from:from; bh=; b=AA==; x=1\r\nFrom: a@example.com\r\n", "", "k=rsa; p=AAAA")
	f.Fuzz(func(t *testing.T, header, body, key string) {
		z := new(dns.Zone)
		z.Add(name, record(key))
		sigs, _ := Checker{Resolver: z}.signatures(t.Context(), mail.Header(header), strings.NewReader(body))
		for _, s := range sigs {
			if !allWords[s.Result] || (s.Reason == "") != (s.Result == Pass) {
				t.Errorf("%+v", s)
			}
		}
		field := Results{DKIM: sigs, DMARC: DMARC{Result: None}}.Field("us.test")
		if mail.Header(field).Count(resultsField) != 1 || strings.Count(field, "dkim=") != max(1, len(sigs)) {
			t.Errorf("%q", field)
		}
	})
}

func FuzzSPF(f *testing.F) {
	f.Add("v=spf1 a mx ip4:192.0.2.1/24 include:example.com exists:%{ir}.example.com redirect=example.com exp=example.com", "a", "%{i} %{h} %{S}")
	f.Add("v=spf1 -all exp=%{l}.example.com", "x", "%")
	f.Fuzz(func(t *testing.T, rec, local, text string) {
		z := new(dns.Zone)
		z.Add("example.com", record(rec), "A 203.0.113.1", "MX 10 example.com")
		z.Add("x.example.com", record(text))
		r := count(z)
		got := Checker{Resolver: r}.SPF(t.Context(), netip.MustParseAddr("192.0.2.1"), "h", address(local, "example.com"))
		if !allWords[got.Result] || r.questions() > maxSPFQuestions+1 || len(got.Explanation) > maxExplanation {
			t.Errorf("%+v after %d questions", got, r.questions())
		}
		if bytes.ContainsAny([]byte(got.Explanation), "\r\n\x00") {
			t.Errorf("explanation %q", got.Explanation)
		}
	})
}

package auth

import (
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/authres"

	"github.com/postrider/postrider/mail"
)

func TestTheResultsAreToldInOneField(t *testing.T) {
	r := Results{
		SPF: SPF{Result: Pass, Domain: "bounce.example.com"},
		DKIM: []Signature{
			{Result: Pass, Domain: "example.com", Selector: "s1", Algorithm: "rsa-sha256", Prefix: "aB/cd+=x"},
			{Result: Fail, Domain: "example.net", Selector: "s2", Algorithm: "ed25519-sha256", Prefix: "ABCDEFGH", Reason: "body hash did not verify"},
			{Result: Neutral, Reason: "d= is no domain name"},
		},
		DMARC: DMARC{Result: Pass, Domain: "example.com", Record: "example.com", Asks: Reject},
	}
	want := "Authentication-Results: mx1.example.org;\r\n" +
		"\tspf=pass smtp.mailfrom=bounce.example.com;\r\n" +
		"\tdkim=pass header.d=example.com header.s=s1 header.a=rsa-sha256\r\n" +
		"\theader.b=\"aB/cd+=x\";\r\n" +
		"\tdkim=fail reason=\"body hash did not verify\" header.d=example.net header.s=s2\r\n" +
		"\theader.a=ed25519-sha256 header.b=ABCDEFGH;\r\n" +
		"\tdkim=neutral reason=\"d= is no domain name\";\r\n" +
		"\tdmarc=pass header.from=example.com policy.dmarc=reject\r\n"
	if got := r.Field("mx1.example.org"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, c := range []struct {
		r    Results
		want string
	}{
		{Results{}, "; none"},
		{Results{SPF: SPF{Result: SoftFail, Domain: "mx.example.com", Helo: true}}, ";\r\n\tspf=softfail smtp.helo=mx.example.com"},
		{Results{SPF: SPF{Result: None}, DMARC: DMARC{Result: None, Domain: "example.com"}},
			";\r\n\tspf=none;\r\n\tdkim=none;\r\n\tdmarc=none header.from=example.com"},
		{Results{DMARC: DMARC{Result: PermError, Unclear: true, Reason: "there are 2 From fields"}},
			";\r\n\tdkim=none;\r\n\tdmarc=permerror reason=\"there are 2 From fields\""},
	} {
		if got, want := c.r.Field("mx1.example.org"), "Authentication-Results: mx1.example.org"+c.want+"\r\n"; got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

// An independent reader understands the field, and nothing that a sender chose
// makes it find a result that is not there.
func TestNothingForeignMakesAResult(t *testing.T) {
	for _, evil := range []string{
		"example.com", "x;\tdkim=pass header.d=example.com", "x\r\n\tspf=pass", "x\r\nSubject: win", "x\"; spf=pass smtp.mailfrom=\"y",
		`x\"; spf=pass`, "x(", "x) spf=pass (", "x\x00", "ex ample", "bücher.example", "=?utf-8?q?x?=", strings.Repeat("x", 5000),
	} {
		r := Results{
			SPF:   SPF{Result: Fail, Domain: evil, Helo: true, Explanation: evil, Reason: evil},
			DKIM:  []Signature{{Result: Fail, Domain: evil, Selector: evil, Algorithm: evil, Prefix: evil, Reason: evil}},
			DMARC: DMARC{Result: Fail, Domain: evil, Record: evil, Asks: Reject, Unclear: true, Reason: evil},
		}
		got := r.Field("mx1.example.org")
		h := mail.Header(got)
		if n := len(strings.Split(strings.TrimSuffix(got, "\r\n"), "\r\n\t")); h.Count(resultsField) != 1 || strings.Count(got, "\n") != n {
			t.Fatalf("%.40q: not one folded field: %q", evil, got)
		}
		for line := range strings.SplitSeq(got, "\r\n") {
			if len(line) > 998 || strings.ContainsFunc(line, func(r rune) bool { return r > '~' || r < ' ' && r != '\t' }) {
				t.Errorf("%.40q: line %q", evil, line)
			}
		}
		id, results, err := authres.Parse(h.Get(resultsField))
		if err != nil || id != "mx1.example.org" || len(results) != 3 {
			t.Fatalf("%.40q: read as %q, %d results, %v: %q", evil, id, len(results), err, got)
		}
		if results[0].(*authres.SPFResult).Value != authres.ResultFail ||
			results[1].(*authres.DKIMResult).Value != authres.ResultFail || results[2].(*authres.DMARCResult).Value != authres.ResultFail {
			t.Errorf("%.40q: %q", evil, got)
		}
		if _, removed := Strip(h, "MX1.example.org."); removed != 1 {
			t.Errorf("%.40q: our own field is not known to be ours", evil)
		}
	}
}

func TestForgedResultsAreTakenOut(t *testing.T) {
	for _, c := range []struct {
		field string
		ours  bool
	}{
		{"Authentication-Results: mx1.example.org; spf=pass", true},
		{"authentication-results: MX1.Example.ORG; spf=pass", true},
		{"Authentication-Results : mx1.example.org; spf=pass", true},
		{"Authentication-Results\t:mx1.example.org;spf=pass", true},
		{"Authentication-Results:mx1.example.org", true},
		{"Authentication-Results: mx1.example.org 1; spf=pass", true},
		{"Authentication-Results: mx1.example.org/1; spf=pass", true},
		{"Authentication-Results: mx1.example.org.; spf=pass", true},
		{"Authentication-Results:\r\n\tmx1.example.org;\r\n\tspf=pass", true},
		{"Authentication-Results\r\n : mx1.example.org; spf=pass", true},
		{"Authentication-Results: (a comment) mx1.example.org (x (y) \\) z); spf=pass", true},
		{"Authentication-Results: (x;y) mx1.example.org; spf=pass", true},
		{"Authentication-Results: (mx2.example.org) mx1.example.org spf=pass", true},
		{"Authentication-Results: \"mx1.example.org\"; spf=pass", true},
		{"Authentication-Results: \"mx1.\\example.org\"; spf=pass", true},
		{"Authentication-Results: mx1(x).example.org; spf=pass", true},
		{"Authentication-Results: mx1 . example . org 1; spf=pass", true},
		{"Authentication-Results: mx1.\r\n\texample.org; spf=pass", true},
		{"Authentication-Results: mx1.example.org spf=pass", true},
		// Nobody's.
		{"Authentication-Results: spf=pass smtp.mailfrom=example.com; dkim=pass", true},
		{"Authentication-Results: spf = pass", true},
		{"Authentication-Results:", true},
		{"Authentication-Results: ; spf=pass", true},
		{"Authentication-Results: (mx1.example.org; spf=pass", true},
		{"Authentication-Results: \"mx2.example.org; spf=pass", true},
		{"Authentication-Results: mx1.example.org\x00.example.net; spf=pass", true},
		// Of others.
		{"Authentication-Results: mx2.example.org; spf=pass", false},
		{"Authentication-Results: mx1.example.org.example.net; spf=pass", false},
		{"Authentication-Results: mx1.example.or; spf=pass", false},
		{"Authentication-Results: amx1.example.org; spf=pass", false},
		{"Authentication-Results: example.org; spf=pass reason=\"mx1.example.org\"", false},
		{"Authentication-Results: mx2.example.org (mx1.example.org); spf=pass", false},
		{"ARC-Authentication-Results: i=1; mx1.example.org; spf=pass", false},
		{"X-Authentication-Results: mx1.example.org; spf=pass", false},
		{"Subject: Authentication-Results: mx1.example.org; spf=pass", false},
	} {
		field := c.field + "\r\n"
		for _, around := range [][2]string{{"", ""}, {"Received: x\r\n", "From: a@example.com\r\n"}, {"no field\r\n", "\r\nnor this"}} {
			h := mail.Header(around[0] + field + around[1])
			before := string(h)
			got, n := Strip(h, "mx1.example.org")
			want := before
			if c.ours {
				want = around[0] + around[1]
			}
			if string(got) != want || (n == 1) != c.ours || string(h) != before {
				t.Errorf("%q: %d taken out, left %q", before, n, got)
			}
		}
	}
	h := mail.Header(strings.Repeat("Authentication-Results: b\u00fccher.example; spf=pass\r\nX: y\r\n", 3))
	if got, n := Strip(h, "xn--bcher-kva.example"); n != 3 || string(got) != "X: y\r\nX: y\r\nX: y\r\n" {
		t.Errorf("U-label: %d taken out, left %q", n, got)
	}
}

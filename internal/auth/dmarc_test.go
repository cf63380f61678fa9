package auth

import (
	"fmt"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/mail"
)

// world is the DNS of these tests.
func world() *dns.Zone {
	z := new(dns.Zone)
	for name, policy := range map[string]string{
		"example.com":        "p=reject; sp=quarantine; np=reject",
		"strict.example":     "p=reject; adkim=s; aspf=s",
		"half.example":       "p=reject; adkim=s",
		"news.example.net":   "p=none",
		"example.net":        "p=quarantine",
		"suffix":             "p=none; sp=reject; psd=y",
		"owner.suffix":       "p=quarantine",
		"uni.example":        "p=reject",
		"cs.uni.example":     "p=none; psd=n",
		"try.example":        "p=reject; sp=quarantine; t=y",
		"sloppy.example":     "p=rejct",
		"careful.example":    "p=rejct; rua=mailto:d@careful.example",
		"bare.example":       "rua=mailto:d@bare.example",
		"old.example":        "p=reject; pct=0; ri=3600; rf=afrf; x=y",
		"a.b.c.long.example": "p=reject",
	} {
		z.Add("_dmarc."+name, record("v=DMARC1; "+policy))
	}
	z.Add("_dmarc.two.example", record("v=DMARC1; p=reject"), record("v=DMARC1; p=none"))
	z.Add("_dmarc.other.example", record("v=spf1 -all"), record("V=DMARC1; p=reject"), record("v=dmarc1; p=reject"), record("p=reject; v=DMARC1"))
	z.Add("mail.example.com", "A 192.0.2.1")
	z.Fail("_dmarc.late.example", "TXT", dns.Silent)
	return z
}

func from(author string) mail.Header { return mail.Header("From: <" + author + ">\r\n") }

func TestAlignmentAndPolicy(t *testing.T) {
	for _, c := range []struct {
		author    string
		spf, dkim string // domains that pass
		word      Result
		record    string
		asks      Handling
	}{
		{"a@example.com", "", "", Fail, "example.com", Reject},
		{"a@example.com", "example.com", "", Pass, "example.com", Reject},
		{"a@EXAMPLE.com", "", "example.com", Pass, "example.com", Reject},
		{"a@example.com", "bounce.example.com", "", Pass, "example.com", Reject},
		{"a@example.com", "", "k.l.example.com", Pass, "example.com", Reject},
		{"a@example.com", "example.net", "example.org", Fail, "example.com", Reject},
		{"a@example.com", "badexample.com", "example.com.evil.example", Fail, "example.com", Reject},
		{"a@example.com", "com", "com", Fail, "example.com", Reject},
		// Below the organization: sp if the name exists, np if it does not.
		{"a@mail.example.com", "", "", Fail, "example.com", Quarantine},
		{"a@none.example.com", "", "", Fail, "example.com", Reject},
		{"a@mail.example.com", "example.com", "", Pass, "example.com", Quarantine},
		{"a@mail.example.com", "", "none.example.com", Pass, "example.com", Quarantine},
		// A record of its own counts first, but does not make an organization.
		{"a@news.example.net", "", "", Fail, "news.example.net", NoHandling},
		{"a@news.example.net", "example.net", "", Pass, "news.example.net", NoHandling},
		{"a@x.news.example.net", "", "", Fail, "example.net", Quarantine},
		// Strict alignment.
		{"a@strict.example", "x.strict.example", "x.strict.example", Fail, "strict.example", Reject},
		{"a@strict.example", "strict.example", "", Pass, "strict.example", Reject},
		{"a@half.example", "x.half.example", "", Pass, "half.example", Reject},
		{"a@half.example", "", "x.half.example", Fail, "half.example", Reject},
		// A public suffix: its record is for those who have none, and it divides.
		{"a@shop.suffix", "", "", Fail, "suffix", Reject},
		{"a@shop.suffix", "mail.shop.suffix", "", Pass, "suffix", Reject},
		{"a@shop.suffix", "owner.suffix", "owner.suffix", Fail, "suffix", Reject},
		{"a@shop.suffix", "suffix", "", Fail, "suffix", Reject},
		{"a@owner.suffix", "", "shop.suffix", Fail, "owner.suffix", Quarantine},
		{"a@suffix", "", "suffix", Pass, "suffix", NoHandling},
		{"a@suffix", "shop.suffix", "", Fail, "suffix", NoHandling},
		// psd=n makes an organization within another.
		{"a@cs.uni.example", "uni.example", "", Fail, "cs.uni.example", NoHandling},
		{"a@uni.example", "cs.uni.example", "", Fail, "uni.example", Reject},
		{"a@www.cs.uni.example", "cs.uni.example", "", Pass, "cs.uni.example", NoHandling},
		{"a@law.uni.example", "uni.example", "", Pass, "uni.example", Reject},
		// Only a test: one step milder.
		{"a@try.example", "", "", Fail, "try.example", Quarantine},
		{"a@x.try.example", "", "", Fail, "try.example", NoHandling},
		// Records with faults.
		{"a@sloppy.example", "sloppy.example", "", PermError, "sloppy.example", ""},
		{"a@careful.example", "", "", Fail, "careful.example", NoHandling},
		{"a@bare.example", "", "", Fail, "bare.example", NoHandling},
		{"a@old.example", "", "", Fail, "old.example", Reject},
		{"a@two.example", "", "", None, "", ""},
		{"a@other.example", "", "", None, "", ""},
		{"a@nothing.example", "nothing.example", "", None, "", ""},
		{"a@[192.0.2.1]", "", "", None, "", ""},
		{"a@late.example", "late.example", "", TempError, "", ""},
		{"a@x.late.example", "", "", TempError, "", ""},
	} {
		spf := SPF{Result: Pass, Domain: c.spf}
		if c.spf == "" {
			spf.Result = Fail
		}
		sigs := []Signature{{Result: Fail, Domain: "example.com"}, {Result: Pass, Domain: c.dkim}}
		got := discover(t.Context(), world(), from(c.author)).judge(t.Context(), spf, sigs[:1+min(1, len(c.dkim))])
		if got.Result != c.word || got.Record != c.record || got.Asks != c.asks || got.Unclear {
			t.Errorf("%s, SPF %q, DKIM %q: %+v, want %s by %q, %s", c.author, c.spf, c.dkim, got, c.word, c.record, c.asks)
		}
	}
}

// What could not be checked might have passed: mail is not refused for it.
func TestAProofThatWasLateIsNoFailure(t *testing.T) {
	for _, c := range []struct {
		spf  SPF
		sigs []Signature
		want Result
	}{
		{SPF{Result: TempError, Domain: "example.com"}, nil, TempError},
		{SPF{Result: Fail, Domain: "example.com"}, []Signature{{Result: TempError, Domain: "m.example.com"}}, TempError},
		{SPF{Result: TempError, Domain: "example.org"}, []Signature{{Result: TempError, Domain: "example.net"}}, Fail},
		{SPF{Result: TempError, Domain: "example.com"}, []Signature{{Result: Pass, Domain: "example.com"}}, Pass},
	} {
		if got := discover(t.Context(), world(), from("a@example.com")).judge(t.Context(), c.spf, c.sigs); got.Result != c.want {
			t.Errorf("%+v %+v: %+v, want %s", c.spf, c.sigs, got, c.want)
		}
	}
}

// Each way to show a reader another author than the one that is checked. The
// attacker proves attacker.example; the victim is example.com, with p=reject.
func TestEvasionsDoNotPass(t *testing.T) {
	z := world()
	z.Add("_dmarc.attacker.example", record("v=DMARC1; p=none"))
	spf := SPF{Result: Pass, Domain: "attacker.example"}
	sigs := []Signature{{Result: Pass, Domain: "attacker.example"}}
	for _, header := range []string{
		"From: a@attacker.example\r\nFrom: ceo@example.com\r\n",
		"From: ceo@example.com\r\nFrom: a@attacker.example\r\n",
		"From: a@attacker.example\r\nfROM: ceo@example.com\r\n",
		"From: a@attacker.example\r\nFrom : ceo@example.com\r\n",
		"From: a@attacker.example\r\nFrom\t: ceo@example.com\r\n",
		" From: ceo@example.com\r\nFrom: a@attacker.example\r\n",
		"From: a@attacker.example\r\nno field\r\nFrom: ceo@example.com\r\n",
		"From: a@attacker.example\r\nFrom\r\n : ceo@example.com\r\n",
		"From: a@attacker.example, ceo@example.com\r\n",
		"From: ceo@example.com,\r\n\ta@attacker.example\r\n",
		"From: x: a@attacker.example, ceo@example.com;\r\n",
		"From: <ceo@example.com> <a@attacker.example>\r\n",
		"From: <a@attacker.example> ceo@example.com\r\n",
		"From: ceo@example.com <a@attacker.example>\r\n",
		"From: <@attacker.example:ceo@example.com>\r\n",
		"From: <ceo@example.com\r\n",
		"From: <ceo@example.com.>\r\n",
		"From: ceo@example.com\x00@attacker.example\r\n",
		"From: <ceo@example.com>(x@attacker.example\r\n",
		"From: \"ceo@example.com\" <a@attacker.example>, \"\r\n",
		"From: =?utf-8?b?Y2VvQGV4YW1wbGUuY29t?=\r\n",
		"From: =?utf-8?b?PGNlb0BleGFtcGxlLmNvbT4=?=, <a@attacker.example> x\r\n",
		"From: a@attacker.example <\\ceo@example.com>\r\n",
		"From: Boss <ceo@example .com>, a@attacker.example\r\n",
		"From: Boss <ceo@example .com>\r\n",
		"From: Boss <ceo@example. com>\r\n",
		"From: ceo@example\r\n\t.com\r\n",
		"From: Boss <ceo@example(x).com>\r\n",
		"From: Boss <ceo@example.(x)com>\r\n",
		"From: ceo@example(x) . (y) com\r\n",
		"From: Boss <ceo@((a)b)example.com>\r\n",
		"From: Boss <ceo@(\\)x)example.com>\r\n",
		"From: Boss <ceo@example(\\()(().).com>\r\n",
		"From: Boss (x <ceo@example(y).com>\r\n",
		"From: \"(\" <ceo@example .com> \")\"\r\n",
		"From: \"(\" <ceo@example(x).com>\r\n",
		"From: \" <ceo@example(x).com>\r\n",
		"From: (\") <ceo@example(x).com>\r\n",
		"From: ceo@example\x00.com\r\n",
		"From: =?utf-8?q?ceo=40example_=2Ecom?= .\r\n",
		"From:\r\n",
		"From: nobody\r\n",
		"From: undisclosed:;\r\n",
		"Subject: no author\r\n",
		"",
		"From: " + strings.Repeat("a@attacker.example, ", 4000) + "ceo@example.com\r\n",
	} {
		got := discover(t.Context(), z, mail.Header(header)).judge(t.Context(), spf, sigs)
		if got.Result == Pass || got.Result == None {
			t.Errorf("%.80q: %+v", header, got)
		}
		if got.Unclear != (got.Result == PermError) {
			t.Errorf("%.80q: unclear %v: %+v", header, got.Unclear, got)
		}
		names := strings.Contains(header, "ceo") && len(header) < 1000
		if names && got.Asks != Reject {
			t.Errorf("%.80q: asks for %q: %+v", header, got.Asks, got)
		}
	}
}

// Who hides among more authors than are asked, or behind a comment, could be anybody.
func TestWhoHidesIsTakenForTheStrictest(t *testing.T) {
	for _, value := range []string{
		"a@a1.test, a@a2.test, a@a3.test, a@a4.test, ceo@example.com",
		"ceo@(x)example.com", "ceo@ (x) (y)example.com, nobody",
		strings.Repeat("a@a1.test, ", 2000) + "ceo@example.com",
	} {
		got := discover(t.Context(), world(), from(value)).judge(t.Context(), SPF{Result: Pass, Domain: "a1.test"}, nil)
		if got.Result == Pass || got.Asks != Reject {
			t.Errorf("%.60q: %+v", value, got)
		}
	}
}

// What mail really has in From is no evasion.
func TestUsualAuthorsAreOneDomain(t *testing.T) {
	for _, value := range []string{
		"ceo@example.com", "<ceo@example.com>", "The Boss <ceo@example.com>", "ceo@example.com (The Boss)",
		"\"Boss, The\" <ceo@example.com>", "Boss, Inc. <ceo@example.com>", "J. R. Boss <ceo@EXAMPLE.com>",
		"ceo@example.com <ceo@example.com>", "\"x@attacker.example\" <ceo@example.com>", "<ceo@example.com.>",
		"=?iso-8859-15?q?B=F6ss?= <ceo@example.com>", "=?gb2312?b?xOO6ww==?= <ceo@example.com>", "=?x-odd?q?a?= <ceo@example.com>",
		"\"a@b\"@example.com", "ceo@example.com, cfo@example.com", "Boss\r\n\t<ceo@example.com>",
	} {
		a := authors(mail.Header("Subject: x\r\nFrom: " + value + "\r\n"))
		if a.fault != "" || len(a.domains) != 1 || a.domains[0] != "example.com" {
			t.Errorf("%q: %+v", value, a)
		}
	}
	if a := authors(from("ceo@bücher.example")); len(a.domains) != 1 || a.domains[0] != "xn--bcher-kva.example" {
		t.Errorf("U-label: %+v", a)
	}
}

func TestAWalkAsksEightTimes(t *testing.T) {
	z := world()
	discover(t.Context(), z, from("x@a.b.c.d.e.f.g.h.i.j.mail.long.test")).judge(t.Context(), SPF{}, nil)
	asked := 0
	for _, name := range []string{"a.b.c.d.e.f.g.h.i.j.mail.long.test", "g.h.i.j.mail.long.test", "h.i.j.mail.long.test", "i.j.mail.long.test",
		"j.mail.long.test", "mail.long.test", "long.test", "test"} {
		asked += z.Asked("_dmarc."+name, "TXT")
	}
	for _, name := range []string{"b.c.d.e.f.g.h.i.j.mail.long.test", "f.g.h.i.j.mail.long.test"} {
		if z.Asked("_dmarc."+name, "TXT") != 0 {
			t.Errorf("asked for %s", name)
		}
	}
	if asked != 8 {
		t.Errorf("asked %d times", asked)
	}
}

func TestDMARCBombsAreBounded(t *testing.T) {
	deep := func(i int) string { return fmt.Sprintf("%d.a.b.c.d.e.f.g.h.i.example.com", i) }
	var sigs []Signature
	for i := range maxSignatures {
		sigs = append(sigs, Signature{Result: Pass, Domain: deep(i) + ".example"})
	}
	var list []string
	for i := range 2000 {
		list = append(list, "a@"+deep(i))
	}
	for _, header := range []mail.Header{
		mail.Header("From: " + strings.Join(list[:300], ", ") + "\r\n"),
		mail.Header("From: " + strings.Join(list, ", ") + "\r\n"),
		mail.Header(strings.Repeat("From: a@x.example.com\r\n", 20000)),
		from("a@" + deep(0) + ".example"),
	} {
		c := count(world())
		got := discover(t.Context(), c, header).judge(t.Context(), SPF{}, sigs)
		if c.questions() > maxDMARCQuestions || got.Result == Pass && len(header) > 200 {
			t.Errorf("%.60q: %d questions: %+v", header, c.questions(), got)
		}
	}
}

package dsn

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/postrider/postrider/mail"
)

func example() Report {
	at := time.Date(2026, 11, 24, 4, 3, 11, 0, time.FixedZone("", 3600))
	return Report{
		From: mail.Address{Local: "MAILER-DAEMON", Domain: "mx1.example.com"}, To: mail.Address{Local: "ann", Domain: "author.test"},
		Subject: "Not delivered: Größe und mehr", Date: at, MessageID: "<n1@mx1.example.com>", InReplyTo: "<m1@author.test>",
		Text:       "Your message was not delivered.\n\n    bob@there.test\n",
		EnvelopeID: "QQ 314", ReportingMTA: Host("mx1.example.com"), ReceivedFrom: Host("client.example.com"), Arrival: at.Add(-time.Hour),
		Extra: []Field{{"X-Postrider-Message-ID", "0123"}},
		Recipients: []Recipient{{
			Original: OriginalRecipient("rfc822;Bob+2BX@there.test"), Final: Typed{"rfc822", "bob@there.test"}, Action: Failed,
			Status: mail.Status{5, 1, 1}, RemoteMTA: Host("mx.there.test"),
			Diagnostic:  Typed{"smtp", "550-5.1.1 No such\n550-5.1.1 " + strings.Repeat("a long reply with many words ", 8) + "550 in it\n550 5.1.1 person <nobody> here"},
			LastAttempt: at, LogID: "xyz-1",
		}, {
			Final: Typed{"rfc822", "slow@there.test"}, Action: Delayed, Status: mail.Status{4, 4, 1},
			Diagnostic: Typed{"x-postrider", "connection refused"}, WillRetryUntil: at.Add(5 * 24 * time.Hour),
		}},
	}
}

func TestReadsWhatItWrites(t *testing.T) {
	for name, o := range map[string]Original{
		"nothing": {},
		"header":  {Header: mail.Header("Subject: x\r\nFrom: a\r\n")},
		"whole":   {Header: mail.Header("Subject: x\r\n"), Body: []byte("hällo\r\n\r\n--=_x\r\n"), Whole: true},
		"empty":   {Header: mail.Header("Subject: x\r\n"), Body: []byte{}, Whole: true},
		"global":  {Header: mail.Header("Subject: größer\r\n"), Body: []byte("x"), Whole: true, UTF8: true},
	} {
		msg, needs := Write(example(), o)
		r, back, err := Read(msg)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(example().normal(), r); d != "" {
			t.Errorf("%s: report (-written +read)\n%s", name, d)
		}
		if d := cmp.Diff(o, back); d != "" {
			t.Errorf("%s: original (-written +read)\n%s", name, d)
		}
		if want := (Needs{EightBit: name == "whole"}); needs != want {
			t.Errorf("%s: needs %+v", name, needs)
		}
	}
}

// TestAReportNeedsSMTPUTF8OnlyForItsAddresses: a host without it would refuse the
// report for good, and nobody would be told.
func TestAReportNeedsSMTPUTF8OnlyForItsAddresses(t *testing.T) {
	const utf8, latin = "Subject: größer\r\n", "Subject: gr\xf6\xdfer\r\n"
	jürgen := mail.Address{Local: "jürgen", Domain: "author.test"}
	for _, c := range []struct {
		name           string
		to             mail.Address
		o              Original
		w              Way
		kind, encoding string
		needs          Needs
	}{
		{name: "8 bits nobody declared", o: Original{Header: mail.Header(utf8), Whole: true}, kind: "message/rfc822", encoding: "8bit", needs: Needs{EightBit: true}},
		{name: "…their header alone", o: Original{Header: mail.Header(latin)}, kind: "text/rfc822-headers", encoding: "8bit", needs: Needs{EightBit: true}},
		{name: "…by a narrow way", o: Original{Header: mail.Header(latin), Whole: true}, w: Way{SevenBit: true}, kind: "text/rfc822-headers", encoding: "quoted-printable"},
		{name: "SMTPUTF8, sender in ASCII", o: Original{Header: mail.Header(utf8), Whole: true, UTF8: true}, kind: "message/global", encoding: "quoted-printable"},
		{name: "…its header alone", o: Original{Header: mail.Header(utf8), UTF8: true}, kind: "message/global-headers", encoding: "quoted-printable"},
		{name: "SMTPUTF8, sender in UTF-8", to: jürgen, o: Original{Header: mail.Header(utf8), UTF8: true}, kind: "message/global-headers", encoding: "8bit", needs: Needs{EightBit: true, UTF8: true}},
		{name: "SMTPUTF8, header in Latin-1", o: Original{Header: mail.Header(latin), Whole: true, UTF8: true}, kind: "message/rfc822", encoding: "8bit", needs: Needs{EightBit: true}},
		{name: "SMTPUTF8, header in ASCII", o: Original{Header: mail.Header("Subject: x\r\n"), Whole: true, UTF8: true}, kind: "message/rfc822"},
	} {
		r := example()
		if !c.to.IsNull() {
			r.To = c.to
		}
		msg, needs := AppendTo(nil, r, c.o, c.w)
		part := "\r\nContent-Type: " + c.kind + "\r\n"
		if c.encoding != "" {
			part += "Content-Transfer-Encoding: " + c.encoding + "\r\n"
		}
		if !bytes.Contains(msg, []byte(part+"\r\n")) || needs != c.needs {
			t.Errorf("%s: needs %+v\n%s", c.name, needs, msg)
		}
		if _, back, err := Read(msg); err != nil || !bytes.Equal(back.Header, c.o.Header) {
			t.Errorf("%s: %v, read back %q", c.name, err, back.Header)
		}
	}
}

// TestUnfoldingRestoresTheWords: a reader that joins lines gets them back.
func TestUnfoldingRestoresTheWords(t *testing.T) {
	msg, _ := Write(example(), Original{})
	s := string(msg)
	for l := range strings.SplitSeq(s, "\r\n") {
		if len(l) > 78 {
			t.Errorf("line of %d octets: %s", len(l), l)
		}
	}
	unfolded := strings.ReplaceAll(s, "\r\n ", " ")
	for _, want := range []string{
		"\r\nDiagnostic-Code: smtp; 550-5.1.1 No such 550-5.1.1 a long reply", "550 5.1.1 person <nobody> here\r\n",
		"\r\nOriginal-Recipient: rfc822; Bob+X@there.test\r\n", "\r\nReporting-MTA: dns; mx1.example.com\r\n",
		"\r\nAuto-Submitted: auto-replied\r\n", "\r\nIn-Reply-To: <m1@author.test>\r\n",
		"From: Mail Delivery System <MAILER-DAEMON@mx1.example.com>\r\n",
	} {
		if !strings.Contains(unfolded, want) {
			t.Errorf("no %q in\n%s", want, unfolded)
		}
	}
	if strings.Count(s, "Will-Retry-Until") != 1 {
		t.Error("Will-Retry-Until belongs to what is delayed, and only there")
	}
}

// TestNothingIsInjected: CVE-2020-28026 was a line end in ORCPT.
func TestNothingIsInjected(t *testing.T) {
	evil := "x\r\nBcc: victim@example.org\r\n\r\n--b\n\x00\x1b[31m\r"
	r := example()
	r.Subject, r.EnvelopeID, r.MessageID, r.InReplyTo = evil, EnvelopeID("a+0D+0ABcc: y"), evil, evil
	r.ReportingMTA, r.ReceivedFrom = Typed{evil, evil}, Typed{"dns", evil}
	r.To = mail.Address{Local: "a\r\nBcc: z", Domain: "b"}
	r.Extra = []Field{{evil, evil}, {"Status", "2.0.0"}}
	r.Recipients[0].Original = OriginalRecipient("rfc822;a+0D+0ABcc:+20y@z")
	r.Recipients[0].Diagnostic = Typed{"smtp", "550 " + evil + "\n" + evil}
	r.Recipients[0].LogID = evil
	msg, _ := Write(r, Original{Header: mail.Header("Subject: a\nBcc: b\r\x00\r\n")})
	if bytes.ContainsAny(msg, "\x00\x1b") {
		t.Error("a control character came through")
	}
	for _, l := range strings.Split(string(msg), "\r\n") {
		if strings.ContainsAny(l, "\r\n") {
			t.Errorf("bare CR or LF in %q", l)
		}
		if strings.HasPrefix(l, "Bcc: v") || strings.HasPrefix(l, "Bcc: y") || strings.HasPrefix(l, "Bcc: z") {
			t.Errorf("injected: %q", l)
		}
	}
	if got, _, err := Read(msg); err != nil || len(got.Recipients) != 2 {
		t.Errorf("%v, %d recipients", err, len(got.Recipients))
	}
}

func TestUTF8AddressesMakeAGlobalReport(t *testing.T) {
	r := example()
	r.Recipients = r.Recipients[:1]
	r.Recipients[0].Final = Address(mail.Address{Local: "jürgen", Domain: "bücher.test"})
	r.Recipients[0].Original = OriginalRecipient(`utf-8;j\x{FC}rgen@b\x{fc}cher.test`)
	msg, needs := Write(r, Original{})
	if !bytes.Contains(msg, []byte("message/global-delivery-status")) || !needs.EightBit || needs.UTF8 {
		t.Errorf("needs %+v\n%s", needs, msg)
	}
	got, _, err := Read(msg)
	if err != nil || got.Recipients[0].Final.Value != "jürgen@bücher.test" || got.Recipients[0].Original != got.Recipients[0].Final {
		t.Errorf("%v %+v", err, got.Recipients)
	}
	if got := OriginalRecipient("rfc822;j+C3+BCrgen@there.test"); got != (Typed{"utf-8", "jürgen@there.test"}) {
		t.Errorf("as Postfix sends it: %v", got)
	}
	narrow, needs := AppendTo(nil, example(), Original{Header: mail.Header("Subject: ö\r\n"), Body: []byte("ö"), Whole: true}, Way{SevenBit: true})
	if needs != (Needs{}) || bytes.ContainsFunc(narrow, func(r rune) bool { return r >= 0x80 }) {
		t.Errorf("8 bits on a way for 7: %+v", needs)
	}
}

func TestHostWithoutADotIsNoDNSName(t *testing.T) {
	if h := Host("mailer"); h.Type != "x-local-hostname" {
		t.Error(h)
	}
	if h := Host("mx.example.com"); h.Type != "dns" {
		t.Error(h)
	}
}

// TestForgivesWhatRealReportsGetWrong: quirks seen in the wild.
func TestForgivesWhatRealReportsGetWrong(t *testing.T) {
	msg := strings.ReplaceAll(`From: MAILER-DAEMON <postmaster@x.test>
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b

Hi
--b
Content-Type: message/delivery-status

Reporting-MTA: mail.x.test
Arrival-Date: Wed, 29 Apr 2009 16:03:11 +0900 (JST)

Final-Recipient: RFC822;bob@y.test
Action: expired
Status: 5.0.0 (permanent failure)
this line is junk
Remote-MTA: dns; y.test (192.0.2.1)

Diagnostic-Code: smtp;
	550 5.1.1
    no such user
Last-Attempt-Date: yesterday

--b
`, "\n", "\n")
	r, _, err := Read([]byte(msg))
	if err != nil || len(r.Recipients) != 1 {
		t.Fatalf("%v %+v", err, r)
	}
	rc := r.Recipients[0]
	if r.ReportingMTA != (Typed{"dns", "mail.x.test"}) || r.Arrival.Unix() != 1240988591 || rc.Final != (Typed{"rfc822", "bob@y.test"}) || rc.Status != (mail.Status{5, 0, 0}) ||
		rc.Diagnostic != (Typed{"smtp", "550 5.1.1 no such user"}) || rc.RemoteMTA.Value != "y.test (192.0.2.1)" || !cmp.Equal(rc.Extra, []Field{{"X-Action", "expired"}}) {
		t.Errorf("%+v", r)
	}
}

func reports(t *rapid.T) Report {
	word := rapid.OneOf(rapid.StringMatching(`[a-zA-Z0-9<>;:,. =?()"-]{0,40}`), rapid.String(), rapid.SampledFrom([]string{"", "550 x", "550-y", "a  b", strings.Repeat("long word ", 30), strings.Repeat("w", 1500)}))
	typed := rapid.Custom(func(t *rapid.T) Typed {
		return Typed{rapid.SampledFrom([]string{"dns", "rfc822", "smtp", "X-Y", "", "utf-8"}).Draw(t, "type"), word.Draw(t, "value")}
	})
	at := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(-1<<33, 1<<36).Draw(t, "at"), 5).In(time.FixedZone("", 60*rapid.IntRange(-720, 840).Draw(t, "zone")))
	})
	fields := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Field { return Field{"X-" + word.Draw(t, "n"), word.Draw(t, "v")} }), 0, 3)
	lines := rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(word, 0, 4).Draw(t, "lines"), "\n") })
	rcpt := rapid.Custom(func(t *rapid.T) Recipient {
		d := typed.Draw(t, "diag")
		d.Value = lines.Draw(t, "words")
		f := typed.Draw(t, "final")
		if f.normal(true).IsZero() {
			f = Typed{"rfc822", "a@b"} // without it there is no recipient to read
		}
		return Recipient{typed.Draw(t, "orig"), f, Action(rapid.IntRange(0, 6).Draw(t, "action")), mail.Status{uint16(rapid.IntRange(0, 6).Draw(t, "c")), uint16(rapid.IntRange(0, 1001).Draw(t, "s")), 1},
			typed.Draw(t, "remote"), d, at.Draw(t, "last"), at.Draw(t, "until"), word.Draw(t, "log"), fields.Draw(t, "extra")}
	})
	a := rapid.SampledFrom([]mail.Address{{}, {Local: "ann", Domain: "a.test"}, {Local: `"a b>"`, Domain: "a.test"}, {Local: "ö", Domain: "ü.test"}})
	return Report{a.Draw(t, "from"), a.Draw(t, "to"), word.Draw(t, "subject"), at.Draw(t, "date"), word.Draw(t, "id"), word.Draw(t, "re"), lines.Draw(t, "text"),
		word.Draw(t, "envid"), typed.Draw(t, "mta"), typed.Draw(t, "gw"), typed.Draw(t, "from"), at.Draw(t, "arrival"), fields.Draw(t, "extra"), rapid.SliceOfN(rcpt, 1, 3).Draw(t, "rcpts")}
}

func TestAnyReportSurvivesItsWriting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := reports(t)
		w := Way{SevenBit: rapid.Bool().Draw(t, "narrow")}
		msg, needs := AppendTo(nil, r, Original{}, w)
		want := r.normal()
		got, _, err := Read(msg)
		if err != nil {
			t.Fatalf("%v\n%q", err, msg)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("(-written +read)\n%s\n%s", d, msg)
		}
		if !needs.EightBit && !needs.UTF8 && high(msg) {
			t.Fatalf("needs nothing and has 8 bits: %q", msg)
		}
		for l := range bytes.SplitSeq(msg, []byte("\r\n")) {
			if len(l) > 998 || bytes.ContainsAny(l, "\r\n\x00") {
				t.Fatalf("bad line %q", l)
			}
		}
	})
}

// TestReadsTheCorpus: every real report that names a recipient is read.
func TestReadsTheCorpus(t *testing.T) {
	files, _ := filepath.Glob("../../shared/corpora/bounces/mails/*")
	if len(files) == 0 {
		t.Skip("the corpus of bounces is not here: ../../shared/corpora/bounces")
	}
	with, read := 0, 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte("\nFinal-Recipient:")) && !bytes.Contains(b, []byte("\nOriginal-Recipient:")) {
			continue
		}
		with++
		if r, _, err := Read(b); err == nil && len(r.Recipients) > 0 {
			read++
		} else {
			t.Logf("%s: %v", filepath.Base(f), err)
		}
	}
	t.Logf("%d of %d reports with fields read", read, with)
	if read*100 < with*85 {
		t.Errorf("%d of %d", read, with)
	}
}

func FuzzRead(f *testing.F) {
	msg, _ := Write(example(), Original{Header: mail.Header("Subject: x\r\n"), Body: []byte("b"), Whole: true})
	f.Add(msg)
	f.Add([]byte("Content-Type: message/delivery-status\n\nFinal-Recipient: a\n\nDiagnostic-Code: smtp; 550-a\n 550 b\n"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		r, _, err := Read(msg)
		if err != nil || len(r.Recipients) == 0 {
			return
		}
		again, _ := Write(r, Original{})
		r2, _, err := Read(again)
		if err != nil {
			t.Fatal(err)
		}
		for i := range r.Recipients {
			if r.Recipients[i].Final.IsZero() && r.Recipients[i].Original.IsZero() {
				return // without a name its fields join those before
			}
		}
		if d := cmp.Diff(r, r2); d != "" {
			t.Errorf("(-first +second)\n%s\n%s", d, again)
		}
	})
}

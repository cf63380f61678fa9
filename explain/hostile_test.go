package explain

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"
)

// endless gives the same octets for ever, up to n.
type endless struct {
	text string
	n    int
}

func (e *endless) Read(b []byte) (int, error) {
	if e.n <= 0 {
		return 0, io.EOF
	}
	k := 0
	for k < len(b) && k < e.n {
		k += copy(b[k:min(len(b), e.n)], e.text)
	}
	e.n -= k
	return k, nil
}

func nested(n int, open func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(open(i))
	}
	return b.String()
}

// The beginning of a report up to its words, and from behind them.
const (
	wordless   = "From: mailer-daemon@a.test\nSubject: failure notice\nContent-Type: multipart/report; boundary=b\n\n--b\n\n"
	statusPart = "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; a.test\n\n"
)

// wordy is the beginning of a report with very many words and a field about the
// message.
func wordy(field string) string {
	return wordless + strings.Repeat("Deferred delivery relayed to non-DSN-aware mailer "+strings.Repeat("word ", 100)+"\n", 4000) + strings.TrimSuffix(statusPart, "\n") + field + "\n"
}

// manyRecipients writes as many recipients as are told apart.
func manyRecipients(format string) string {
	var b strings.Builder
	for i := range maxRecipients {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// reasonless names many recipients, and says much that is no reason.
func reasonless() string {
	return manyRecipients("<bob%d@b.test>\n") + strings.Repeat("\n"+strings.Repeat("Words about what was not delivered, and 5.5 of them. ", 100)+"\n", 200)
}

// TestBadInputCostsLittle: whatever the bytes, reading ends soon, takes bounded
// memory and says what they are.
func TestBadInputCostsLittle(t *testing.T) {
	noise := make([]byte, 1<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	status := "From: mailer-daemon@a.test\nSubject: failure notice\nContent-Type: message/delivery-status\n\n"
	text := "From: mailer-daemon@a.test\nSubject: failure notice\n\n"
	const big = 100 << 20
	began := time.Now()
	if _, err := Explain(&endless{"a", big}, Options{}); err != nil {
		t.Fatal(err)
	}
	plain := time.Since(began) // what 100 MB cost on this machine, with nothing in them
	for _, c := range []struct {
		name string
		in   io.Reader
	}{
		{"nothing", strings.NewReader("")},
		{"blank lines", strings.NewReader("\n\n\n")},
		{"noise", bytes.NewReader(noise)},
		{"100 MB of one letter", &endless{"a", big}},
		{"100 MB of line ends", &endless{"\n", big}},
		{"100 MB of carriage returns", &endless{"\r", big}},
		{"100 MB of zeros", &endless{"\x00", big}},
		{"a report and 100 MB", io.MultiReader(strings.NewReader(text+"<bob@b.test>:\n550 no such user\n\n"), &endless{"attached words\n", big})},
		{"a million header fields", io.MultiReader(strings.NewReader("From: a@b.test\n"), &endless{"X-A: b\n", 1_000_000 * 7})},
		{"a million trace lines", io.MultiReader(strings.NewReader("From: a@b.test\n"), &endless{"Received: from a by b; Tue, 24 Nov 2026 05:03:11 +0000\n", 50 << 20})},
		{"one folded field", io.MultiReader(strings.NewReader("From: a@b.test\nSubject: x\n"), &endless{" y\n", 50 << 20})},
		{"a million recipients", io.MultiReader(strings.NewReader(status), &endless{"Final-Recipient: rfc822; bob@b.test\nAction: failed\nStatus: 5.1.1\n\n", 50 << 20})},
		{"a million addresses", io.MultiReader(strings.NewReader(text), &endless{"<bob@b.test>: 550 5.1.1 no such user\n", 50 << 20})},
		{"many words and many recipients", io.MultiReader(strings.NewReader(wordy("")), &endless{"Final-Recipient: rfc822; bob@b.test\nAction: delivered\nDiagnostic-Code: smtp; 250 ok\n\n", 50 << 20})},
		{"a letter as if ours", io.MultiReader(strings.NewReader(wordy("X-Postrider-Message-ID: x\n")), &endless{"Final-Recipient: rfc822; bob@b.test\nAction: failed\nStatus: 4.4.1\nX-Postrider-Attempts: 3\n\n", 50 << 20})},
		{"recipients without a reason, and many paragraphs", strings.NewReader(text + reasonless())},
		{"recipients with one long reason", strings.NewReader(text + manyRecipients("<bob%d@b.test>\n") + strings.Repeat(strings.Repeat("something went wrong here ", 30)+"\n", 60))},
		{"a transcript and many recipients", strings.NewReader(wordless + strings.Repeat("<<< 550 "+strings.Repeat("word b.test ", 80)+"\n", 2000) + statusPart + manyRecipients("Final-Recipient: rfc822; bob%d@b.test\nAction: failed\n\n"))},
		{"addresses on one line", io.MultiReader(strings.NewReader(text), &endless{"bob@b.test,", 50 << 20})},
		{"at signs", io.MultiReader(strings.NewReader(text), &endless{"@", 20 << 20})},
		{"codes", io.MultiReader(strings.NewReader(text+"<bob@b.test>:\n"), &endless{"550 5.1.1 ", 20 << 20})},
		{"open brackets", io.MultiReader(strings.NewReader(text+"<bob@b.test>:\n"), &endless{"[", 20 << 20})},
		{"quotes in a header", io.MultiReader(strings.NewReader("From: a@b.test\nContent-Type: multipart/mixed; boundary="), &endless{"\"", 1 << 20})},
		{"encoded words", io.MultiReader(strings.NewReader("From: mailer-daemon@b.test\nSubject: "), &endless{"=?utf-8?q?=41?= ", 10 << 20})},
		{"quoted lines", io.MultiReader(strings.NewReader("From: a@b.test\n\n"), &endless{"> From: mailer-daemon@b.test\n> \n> > x\n", 20 << 20})},
		{"a transcript", io.MultiReader(strings.NewReader(text), &endless{">>> RCPT TO:<bob@b.test>\n<<< 550 no\n", 20 << 20})},
		{"unfinished marks", io.MultiReader(strings.NewReader(text), &endless{"<<< 550-no\n", 20 << 20})},
		{"half an HTML page", io.MultiReader(strings.NewReader("From: mailer-daemon@b.test\nContent-Type: text/html\n\n"), &endless{"<b", 20 << 20})},
		{"base64", io.MultiReader(strings.NewReader("From: mailer-daemon@b.test\nContent-Transfer-Encoding: base64\n\n"), &endless{"QUFBQUFBQUFBQUFBQUFBQUFB\n", 20 << 20})},
		{"quoted-printable", io.MultiReader(strings.NewReader("From: mailer-daemon@b.test\nContent-Transfer-Encoding: quoted-printable\n\n"), &endless{"=41=0D=0A=\n", 20 << 20})},
		{"a thousand multiparts deep", strings.NewReader(nested(1000, func(i int) string {
			return fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\nFrom: a@b.test\n\n--b%d\n", i, i)
		}))},
		{"a thousand messages deep", strings.NewReader(nested(1000, func(i int) string { return "From: a@b.test\nContent-Type: message/rfc822\n\n" }))},
		{"a thousand quotes deep", strings.NewReader(nested(1000, func(i int) string {
			return strings.Repeat(">", i) + " From: mailer-daemon@b.test\n" + strings.Repeat(">", i) + "\n"
		}))},
		{"a hundred thousand parts", io.MultiReader(strings.NewReader("From: a@b.test\nContent-Type: multipart/mixed; boundary=b\n\n"), &endless{"--b\nContent-Type: text/plain\n\nx\n", 100_000 * 32})},
		{"headers in the words", io.MultiReader(strings.NewReader(text), &endless{"From: a\nx\n", 20 << 20})},
		{"a queue of a million", io.MultiReader(strings.NewReader("-Queue ID-\n"), &endless{"A1B2C3D4E5  1234 Tue Nov 24 04:03:11  ann@a.test\n(connect to a: Connection refused)\n      bob@b.test\n\n", 50 << 20})},
		{"deep JSON", io.MultiReader(strings.NewReader("From: a@b.test\n\n{\"notificationType\":"), &endless{"[", 10 << 20})},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			rep, err := Explain(c.in, Options{})
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Fatal(err)
			}
			if rep.Kind == "" || len(rep.Recipients) > maxRecipients || rep.Kind == NotABounce && rep.Says == "" {
				t.Errorf("kind %q, %d recipients, says %q", rep.Kind, len(rep.Recipients), rep.Says)
			}
			mb := (after.TotalAlloc - before.TotalAlloc) >> 20
			if took > 15*plain || mb > 400 {
				t.Errorf("%v, %.1f times what reading costs, %d MB", took, took.Seconds()/plain.Seconds(), mb)
			}
			t.Logf("%-12s %v, %d MB in all: %s %.80s", rep.Kind, took.Round(time.Millisecond), mb, c.name, rep.Says)
		})
	}
}

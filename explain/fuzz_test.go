package explain

import (
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// seeds gives reports of all forms to start from.
func seeds(f *testing.F) {
	b, err := os.ReadFile("testdata/reports.txt")
	if err != nil {
		f.Fatal(err)
	}
	for story := range strings.SplitSeq(string(b), "\n=== ") {
		if _, m, ok := strings.Cut(story, "\nFrom:"); ok {
			f.Add("From:" + m)
		}
	}
	f.Add("Diagnostic-Code: smtp;550 4.4.7 QUEUE.Expired; message expired\n")
	f.Add("From: x\nDate: Fri, 31 Dec 9999 23:59:59 -0800\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; a.test\nX-Postrider-Message-ID: x\nX-Postrider-Held: 5000w; since Fri, 31 Dec 9999 23:59:59 -0800\n\nFinal-Recipient: rfc822; b@c.test\nAction: failed\nStatus: 4.4.1\n")
	f.Add("{\"queue_name\": \"deferred\", \"arrival_time\": 1e17, \"recipients\": [{\"address\": \"b@c.test\"}]}\n{\"queue_name\": \"deferred\", \"arrival_time\": 999999999999999, \"recipients\": [{\"address\": \"b@c.test\"}]}\n")
	f.Add("smtp; 5.4.7 - Delivery expired (message too old) '[Errno 61] Connection refused' (delivery attempts: 0)")
	f.Add("A1B2C3D4E5  1234 Tue Nov 24 04:03:11  ann@a.test\n(connect to a: Connection refused)\n      bob@b.test\n")
}

// FuzzExplain: whatever the bytes, an answer that keeps its promises: lists are
// lists, words are words, and evidence stands in the file.
func FuzzExplain(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Explain(strings.NewReader(s), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Recipients == nil || r.Kind == "" {
			t.Fatalf("%+v", r)
		}
		lines := strings.Count(s, "\n") + strings.Count(s, "\r") + 1
		for _, x := range r.Recipients {
			if x.Hops == nil || x.Fix == nil || x.NotKnown == nil || x.Evidence == nil || x.Warnings == nil || x.Kind == "" || x.Reason == "" {
				t.Fatalf("%+v", x)
			}
			for _, e := range x.Evidence {
				if e.Line < 1 || e.Line > lines || !utf8.ValidString(e.Text) || len(e.Text) > maxEvidence+3 {
					t.Fatalf("of %d lines: %+v", lines, e)
				}
			}
			if x.Clock.Held < 0 || len(x.Code) != 0 && len(x.Code) != 3 {
				t.Fatalf("%+v", x)
			}
		}
	})
}

// FuzzTold: whatever the bytes, what they come to can be written in every form.
func FuzzTold(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Explain(strings.NewReader(s), Options{Language: "de"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Fatal(err)
		}
		if err := WriteText(io.Discard, r, Style{}); err != nil {
			t.Fatal(err)
		}
		for _, to := range []Reader{Sender, SendingAdmin, ReceivingAdmin} {
			if err := WriteFor(io.Discard, r, to); err != nil {
				t.Fatal(err)
			}
		}
		SVG(r)
	})
}

// FuzzReply: a reply that is found stands in the text.
func FuzzReply(f *testing.F) {
	f.Add("host mx[192.0.2.1] said: 550-5.1.1 no 550 5.1.1 such user (in reply to RCPT TO command)")
	f.Add("5.1.0 - Unknown address error 550-'5.1.1 <x>' (delivery attempts: 0)")
	f.Add("(#4.4.1) I'm not going to try again; this message has been in the queue too long.")
	f.Fuzz(func(t *testing.T, s string) {
		r := readSaid(s)
		if r.code != 0 && (r.code < 200 || r.code > 599 || !strings.Contains(s, num(r.code))) {
			t.Fatalf("%d in %q", r.code, s)
		}
		if st := r.status; !st.IsZero() && (st[0] != 2 && st[0] != 4 && st[0] != 5) {
			t.Fatalf("%v in %q", st, s)
		}
		unframe(s)
		r.cause()
	})
}

func num(n int) string {
	return string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)})
}

// FuzzMessages: the messages of a file are its bytes, all of them and in order.
func FuzzMessages(f *testing.F) {
	f.Add("From a@b Tue Nov 24 04:03:11 2026\nFrom: x\n\nhi\n\nFrom c@d Tue Nov 24 04:03:12 2026\nFrom: y\n\nho\n")
	f.Add("From: x\n\nFrom now on: 12:30\n")
	f.Fuzz(func(t *testing.T, s string) {
		var b strings.Builder
		last := 0
		for m, err := range Messages(strings.NewReader(s)) {
			if err != nil {
				t.Fatal(err)
			}
			if m.Line <= last {
				t.Fatalf("line %d after %d", m.Line, last)
			}
			last = m.Line
			if got := strings.Count(b.String(), "\n") + 1; got != m.Line {
				t.Fatalf("begins in line %d, told %d", got, m.Line)
			}
			b.Write(m.Raw)
		}
		if b.String() != s {
			t.Fatalf("%q became %q", s, b.String())
		}
	})
}

// FuzzDate: a date is read or not, and one that is has a year of four digits.
func FuzzDate(f *testing.F) {
	for _, s := range []string{"Tue, 24 Nov 2026 05:03:11 +0100 (CET)", "24 Jun 2024 08:50:01 -0000", "Thu Apr 29 23:34:45 2010", "2013-07-08 18-21-01", "Tue, 23 Nov 21 07:04:16 UTC"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d := date(s); !d.IsZero() && (d.Year() < 0 || d.Year() > lastYear+1) {
			t.Fatalf("%q is %v", s, d)
		}
	})
}

// FuzzDecode: decoding keeps each line at a number of the input, in order.
func FuzzDecode(f *testing.F) {
	f.Add("QUFB\nQg==", "base64", "utf-8")
	f.Add("=41=\nb=0Ac", "quoted-printable", "iso-2022-jp")
	f.Add("\x1b$B%K\x1b(B", "", "")
	f.Fuzz(func(t *testing.T, s, encoding, charset string) {
		ls := splitLines(s, 1)
		last := 0
		for _, l := range decode(ls, encoding, charset) {
			if l.n < last || len(ls) > 0 && l.n > ls[len(ls)-1].n {
				t.Fatalf("line %d after %d", l.n, last)
			}
			last = l.n
		}
		unHTML(ls)
	})
}

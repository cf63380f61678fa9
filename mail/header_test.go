package mail

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheHeaderEndsAtTheBlankLine(t *testing.T) {
	for in, want := range map[string][2]string{
		"A: 1\r\nB: 2\r\n\r\nbody\r\n\r\nmore": {"A: 1\r\nB: 2\r\n", "body\r\n\r\nmore"},
		"\r\nbody":                             {"", "body"},
		"A: 1\r\n\r\n":                         {"A: 1\r\n", ""},
		"A: 1\r\n":                             {"A: 1\r\n", ""},
		"":                                     {"", ""},
	} {
		h, body := SplitMessage([]byte(in))
		if string(h) != want[0] || string(body) != want[1] {
			t.Errorf("%q: %q, %q", in, h, body)
		}
	}
}

func TestFieldsAreReadAsTheyStand(t *testing.T) {
	for in, want := range map[string]string{
		"A: 1\r\nB: 2\r\n":                      "A=1 B=2",
		"Subject: a\r\n b\r\n\tc\r\nTo: x\r\n":  "Subject=a b\tc To=x",
		"Subject : old style\r\n":               "Subject=old style",
		"A:\r\n":                                "A=",
		"A: 1\nB: 2\n":                          "A=1 B=2",
		"A: 1\nB: 2":                            "A=1 B=2",
		"A: 1\r\nno field\r\nB: 2\r\n":          "A=1",
		"A: 1\r\n\r\nB: 2\r\n":                  "A=1",
		"A: 1\r\nwords before: x\r\nB: 2\r\n":   "A=1",
		" A: 1\r\n":                             "",
		": 1\r\n":                               "",
		" : 1\r\nA: 1\r\n":                      "",
		"From x@example.com Mon\r\nA: 1\r\n":    "",
		"A\r\n : folded name\r\n":               "",
		"A: b: c\r\n":                           "A=b: c",
		"Received: x\r\nReceived: y\r\nA: \xff": "Received=x Received=y A=\xff",
	} {
		var got []string
		for f := range Header(in).Fields() {
			got = append(got, f.Name+"="+f.Value())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, not %q", in, got, want)
		}
	}
	h := Header("X: 1\r\nreceived: a\r\nRECEIVED: b\r\n")
	if h.Get("Received") != "a" || h.Count("Received") != 2 || !h.Has("x") || h.Has("y") || h.Get("y") != "" {
		t.Error("names are told apart by case")
	}
	for range h.Fields() {
		break
	}
}

var arrived = time.Date(2026, 3, 2, 9, 0, 0, 0, time.FixedZone("", 3600))

func TestATraceLineSaysWhoCameHow(t *testing.T) {
	for want, tr := range map[string]Trace{
		"Received: from mail.example (host.example [192.0.2.7])\r\n\tby mx.example (postrider) with ESMTPS\r\n\t(TLS1.3 AES)\r\n\tid 06e\r\n\tfor <a@example.com>; Mon, 2 Mar 2026 09:00:00 +0100\r\n": {
			Helo: "mail.example", Client: "192.0.2.7", Name: "host.example", By: "mx.example", With: "ESMTPS", Cipher: "TLS1.3 AES", ID: "06e", For: "a@example.com", Arrived: arrived},
		"Received: from [192.0.2.7] (unknown [IPv6:2001:db8::1])\r\n\tby mx.example (postrider) with SMTP\r\n\tid 06e; Mon, 2 Mar 2026 09:00:00 +0100\r\n": {
			Helo: "[192.0.2.7]", Client: "2001:db8::1", By: "mx.example", With: "SMTP", ID: "06e", Arrived: arrived},
		"Received: from unknown\r\n\tby mx.example (postrider) with local\r\n\tid 06e; Mon, 2 Mar 2026 09:00:00 +0100\r\n": {
			By: "mx.example", With: "local", ID: "06e", Arrived: arrived},
	} {
		if got := string(tr.AppendTo(nil)); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

func FuzzTraceCannotBeEscaped(f *testing.F) {
	f.Add("evil\r\nBcc: x", "a) (b", `"a\r\n"@example.com`)
	f.Add("é\u0085\u2028", "x;y", "a@b>\r\n\r\nbody")
	f.Fuzz(func(t *testing.T, helo, name, to string) {
		plain := Trace{Helo: "x", Client: "192.0.2.7", Name: "x", By: "mx", With: "ESMTP", ID: "1", Arrived: arrived}
		if to != "" {
			plain.For = "x"
		}
		evil := plain
		evil.Helo, evil.Name = helo, name
		if to != "" {
			evil.For = to
		}
		got, want := evil.AppendTo(nil), plain.AppendTo(nil)
		for _, s := range []string{"\r", "\n", "\x00"} {
			if bytes.Count(got, []byte(s)) != bytes.Count(want, []byte(s)) {
				t.Fatalf("%q", got)
			}
		}
		clause, _, _ := bytes.Cut(got, []byte("\r\n\tby ")) // what the client chose, but for the address
		if bytes.Count(clause, []byte("(")) != 1 || bytes.Count(clause, []byte(")")) != 1 || bytes.ContainsAny(clause, `;"<>\`) || !isASCII(string(clause)) {
			t.Fatalf("%q", clause)
		}
		if fields := slices.Collect(Header(got).Fields()); len(fields) != 1 || fields[0].Name != "Received" || len(fields[0].Raw) != len(got) {
			t.Fatalf("%q", got)
		}
	})
}

func FuzzFields(f *testing.F) {
	f.Add([]byte("A: 1\r\nSubject : a\r\n b\r\nno\r\n\r\nbody"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		h, body := SplitMessage(msg)
		if !bytes.HasPrefix(msg, h) || !bytes.HasSuffix(msg, body) || len(h)+len(body) > len(msg) {
			t.Fatalf("%q: %q, %q", msg, h, body)
		}
		at := 0
		for f := range h.Fields() {
			if !bytes.HasPrefix(h[at:], f.Raw) || !bytes.HasPrefix(f.Raw, []byte(f.Name)) || f.Name == "" || strings.ContainsAny(f.Name, ": \t\r\n") {
				t.Fatalf("%q: %q", h, f)
			}
			if strings.Contains(f.Value(), "\n") {
				t.Fatalf("%q is not unfolded: %q", f.Raw, f.Value())
			}
			at += len(f.Raw)
		}
	})
}

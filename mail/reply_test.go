package mail

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// What hosts of the world say comes back word for word.
func TestAReplyComesBackWordForWord(t *testing.T) {
	for _, c := range []struct {
		wire   string
		status string
		text   string // as it is stored
		line   string
	}{
		{"250 OK", "", "OK", "250 OK"},
		{"250", "", "", "250"},
		{"550 5.1.1 No such person <nobody> here", "5.1.1", "No such person <nobody> here", "550 5.1.1 No such person <nobody> here"},
		// every line has the status
		{"550-5.1.1 No such\n550 5.1.1 person <nobody> here", "5.1.1", "No such\nperson <nobody> here", "550 5.1.1 No such / person <nobody> here"},
		{"550-5.7.26 This mail has been blocked\n550-5.7.26  DKIM = did not pass\n550 5.7.26", "5.7.26",
			"This mail has been blocked\n DKIM = did not pass\n", "550 5.7.26 This mail has been blocked /  DKIM = did not pass /"},
		// only some have it
		{"550-5.1.1 first\n550 second", "5.1.1", "5.1.1 first\nsecond", "550 5.1.1 first / second"},
		{"550-first\n550 5.1.1 second", "5.1.1", "first\n5.1.1 second", "550 first / 5.1.1 second"},
		// different ones
		{"452-4.2.2 full\n452 4.3.1 or so", "4.3.1", "4.2.2 full\n4.3.1 or so", "452 4.2.2 full / 4.3.1 or so"},
		{"550 5.1.1 5.1.1 twice", "5.1.1", "5.1.1 5.1.1 twice", "550 5.1.1 5.1.1 twice"},
		// classes that contradict
		{"550 4.4.7 QUEUE.Expired; message expired", "4.4.7", "QUEUE.Expired; message expired", "550 4.4.7 QUEUE.Expired; message expired"},
		{"451 5.7.1 odd", "5.7.1", "odd", "451 5.7.1 odd"},
		// no status, though it looks like one
		{"550 5.1.1: user unknown", "", "5.1.1: user unknown", "550 5.1.1: user unknown"},
		{"550 #5.1.0 Address rejected.", "", "#5.1.0 Address rejected.", "550 #5.1.0 Address rejected."},
		{"550 5.01.1 zeros", "", "5.01.1 zeros", "550 5.01.1 zeros"},
		{"550 3.1.1 class", "", "3.1.1 class", "550 3.1.1 class"},
		{"550 5.1.1000 digits", "", "5.1.1000 digits", "550 5.1.1000 digits"},
		{"550 55.1.1 class", "", "55.1.1 class", "550 55.1.1 class"},
		{"550 192.0.2.1 is listed", "", "192.0.2.1 is listed", "550 192.0.2.1 is listed"},
		{"250-mx.example\n250-SIZE 1000\n250 HELP", "", "mx.example\nSIZE 1000\nHELP", "250 mx.example / SIZE 1000 / HELP"},
		{"550 Benutzer unbekannt: müller", "", "Benutzer unbekannt: müller", "550 Benutzer unbekannt: müller"},
	} {
		r, err := ParseReply(strings.Split(c.wire, "\n"))
		if err != nil || r.Status.String() != c.status || r.Text != c.text {
			t.Errorf("%q: %+v, %v", c.wire, r, err)
		}
		wire := strings.ReplaceAll(c.wire, "\n", "\r\n") + "\r\n"
		if c.wire == "250" {
			wire = "250 \r\n" // RFC 5321 4.2: a server SHOULD send the blank
		}
		if got := string(r.AppendWire(nil)); got != wire {
			t.Errorf("%q is sent as %q", c.wire, got)
		}
		if got := r.Line(); got != c.line {
			t.Errorf("%q on one line: %q", c.wire, got)
		}
		var again Reply
		b, err := json.Marshal(r)
		if err == nil {
			err = json.Unmarshal(b, &again)
		}
		if err != nil || again != r {
			t.Errorf("%s: %+v, %v", b, again, err)
		}
	}
}

func TestTheClassOfAReplyIsItsCode(t *testing.T) {
	r := Reply{Code: 550, Status: Status{4, 4, 7}}
	if !r.Permanent() || r.Temporary() || r.Success() {
		t.Error("550 4.4.7")
	}
	if r := (Reply{Text: "550 in words"}); r.Permanent() || r.String() != "550 in words" || r.Line() != "550 in words" {
		t.Error("words of ours")
	}
}

func TestWhatIsNoReplyIsRefused(t *testing.T) {
	for _, s := range []string{
		"", "25", "2500", "HTTP/1.1 400 Bad Request", "SSH-2.0-OpenSSH", "999 what", "199 what", "250OK", "250\tOK", "25O OK", "-50 OK", "٢٥٠ OK",
		"250-first\n550 second", "250 first\n250 second", "250-first", "250-first\n\n250 last", "250-a\n250",
	} {
		if s == "250-a\n250" { // the only one of these that is
			if r, err := ParseReply(strings.Split(s, "\n")); err != nil || r.Text != "a\n" {
				t.Errorf("%q: %+v, %v", s, r, err)
			}
			continue
		}
		if r, err := ParseReply(strings.Split(s, "\n")); !errors.Is(err, ErrReply) {
			t.Errorf("%q: %+v, %v", s, r, err)
		}
	}
	if _, err := ParseReply(nil); !errors.Is(err, ErrReply) {
		t.Error("no lines")
	}
}

// OpenSMTPD CVE-2020-8794: a remote reply must not write into a queue or a DSN.
//
// CVE-2020-8794: OpenSMTPD ran what a host had answered.
func TestAReplyIsCleanedAndBounded(t *testing.T) {
	r, err := ParseReply([]string{"550 a\rb\nc\x00d\x1b[2Je\x7ff\u0085g\tz\xffy"})
	if err != nil || r.Text != "a?b?c?d?[2Je?f?g z?y" {
		t.Errorf("%q, %v", r.Text, err)
	}
	lines, long := make([]string, 20000), "550-5.1.1 "+strings.Repeat("é", 5000)
	for i := range lines {
		lines[i] = long
	}
	lines[len(lines)-1] = "550 last"
	r, err = ParseReply(lines)
	if err != nil || len(r.Lines()) != MaxReplyLines || len(r.Text) > MaxReplyLines*(MaxReplyLine+1) || !utf8.ValidString(r.Text) {
		t.Errorf("%d lines, %d octets, %v", len(r.Lines()), len(r.Text), err)
	}
	ours := Reply{Code: 550, Text: "no <a@b\r\n250 yes>\x00\nhere"}
	if got := string(ours.AppendWire(nil)); got != "550-no <a@b?\r\n550-250 yes>?\r\n550 here\r\n" {
		t.Errorf("%q", got)
	}
}

func TestCleanKeepsWhatIsClean(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain": "plain", "müller ☃": "müller ☃", "a\tb": "a b", "\xc2": "?", "\u0080": "?", "\u00a0": "\u00a0", "x\xf0\x9f": "x??",
	} {
		if got := Clean(in, 100); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	if got := Clean("aé", 2); got != "a" {
		t.Errorf("cut inside a letter: %q", got)
	}
}

// A text must not read as another (CVE-2021-42574).
func TestStraightTurnsNothing(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "m\u00fcller\n\t\u05d0\u200f": "m\u00fcller\n\t\u05d0\u200f", "a\u202egpj.exe\u202c": "a?gpj.exe?", "\u2066x\u2069": "?x?", "a\u2028b\u2029": "a?b?", "\u202f": "\u202f", "a\x9bb": "a\ufffdb",
	} {
		if got := Straight(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestAStatusReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := Status{rapid.SampledFrom([]uint16{2, 4, 5}).Draw(t, "class"), rapid.Uint16Range(0, 999).Draw(t, "subject"), rapid.Uint16Range(0, 999).Draw(t, "detail")}
		got, rest := cutStatus(st.String() + " words")
		if got != st || rest != "words" {
			t.Fatalf("%v: %v, %q", st, got, rest)
		}
	})
	for _, s := range []string{"5", "5.1", "5.1.", "5.1.1 x", "5.1.1.1", "6.1.1", "5..1", " 5.1.1", "5.1.1x"} {
		var st Status
		if st.UnmarshalText([]byte(s)) == nil {
			t.Errorf("%q: %v", s, st)
		}
	}
}

func FuzzParseReply(f *testing.F) {
	for _, s := range []string{"250 OK", "550-5.1.1 No such\n550 5.1.1 person", "550-5.1.1 a\n550 b", "452-4.2.2 a\n452 4.3.1 b", "550 5.1.1 5.1.1", "421\n", "550-5.1.1\n550 5.1.1 "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		lines := strings.Split(in, "\n")
		r, err := ParseReply(lines)
		if err != nil {
			return
		}
		if Clean(strings.ReplaceAll(r.Text, "\n", " "), len(r.Text)) != strings.ReplaceAll(r.Text, "\n", " ") {
			t.Fatalf("%q is not clean: %q", in, r.Text)
		}
		wire := string(r.AppendWire(nil))
		again, err := ParseReply(strings.Split(strings.TrimSuffix(wire, "\r\n"), "\r\n"))
		if err != nil || again != r {
			t.Fatalf("%q\nis %+v\nsent %q\nis %+v, %v", in, r, wire, again, err)
		}
		for i, l := range lines[:min(len(lines), MaxReplyLines)] {
			if len(l) > 3 && len(l) <= MaxReplyLine && l == Clean(l, len(l)) && strings.TrimRight(l, " ") != strings.TrimRight(strings.Split(wire, "\r\n")[i], " ") && len(lines) <= MaxReplyLines {
				t.Fatalf("%q was sent as %q", l, strings.Split(wire, "\r\n")[i])
			}
		}
	})
}

func FuzzClean(f *testing.F) {
	f.Add("a\r\nb\xff\u0085\ufffd", 5)
	f.Fuzz(func(t *testing.T, in string, limit int) {
		limit = min(max(limit, 0), 1000)
		got := Clean(in, limit)
		if len(got) > limit || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 }) {
			t.Fatalf("%q: %q", in, got)
		}
		if Clean(got, limit) != got {
			t.Fatalf("%q is cleaned again: %q", in, Clean(got, limit))
		}
	})
}

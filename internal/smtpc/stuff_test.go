package smtpc

import (
	"bytes"
	"testing"
)

// normal says octet by octet what may go out of b: the rule of stuffer again, told
// in the slow and plain way.
func normal(b []byte) []byte {
	var out []byte
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\r' && i+1 == len(b):
			return append(out, '\r', '\n') // completed, like any last line without its end
		case c == '\r' && b[i+1] == '\n':
			out = append(out, '\r', '\n')
			i++
		case c == '\r', c == 0:
			out = append(out, ' ')
		case c == '\n':
			out = append(out, '\r', '\n')
		default:
			out = append(out, c)
		}
	}
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, '\r', '\n')
	}
	return out
}

// unstuff reads DATA as the strictest host would; ok is false if it sees anything
// that a laxer one could read in another way.
func unstuff(b []byte) (out []byte, ok bool) {
	for {
		i := bytes.Index(b, []byte("\r\n"))
		if i < 0 {
			return nil, false
		}
		line := b[:i]
		b = b[i+2:]
		if bytes.ContainsAny(line, "\r\n\x00") {
			return nil, false
		}
		if len(line) > 0 && line[0] == '.' {
			if len(line) == 1 {
				return out, len(b) == 0
			}
			line = line[1:]
		}
		out = append(append(out, line...), '\r', '\n')
	}
}

func stuffed(b []byte, piece int) []byte {
	s := stuffer{dots: true, start: true}
	var out []byte
	for len(b) > 0 {
		n := min(piece, len(b))
		before := len(out)
		out = s.append(out, b[:n])
		if len(out)-before > 2*n+2 {
			panic("more than promised")
		}
		b = b[n:]
	}
	return s.finish(out)
}

// The 20 sequences of the smuggling tests (CVE-2023-51764 and its kin), and more.
func TestNothingInABodyLooksLikeItsEnd(t *testing.T) {
	for _, end := range []string{
		"\n.\n", "\n.\r\n", "\n.\r", "\r.\r", "\r.\n", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\r\n.\r\r\n", "\r\r\n.\r\r\n", "\r\n\x00.\r\n",
		"\r\x00\n.\r\n", "\r\n.\x00\r\n", "\r\n.\r\x00\n", "\r\n. \r\n", "\r\n.\t\r\n", "\n\n.\n\n", "\r\n.\v\r\n", "\r\n.\u0085\r\n", "\r\n.\u2028\r\n",
		"\r\n.\r\n", ".\r\n", "\r", "\n", ".", "", "\r\n", "\r\r", "\x00",
	} {
		body := []byte("a" + end + "MAIL FROM:<evil@example.com>\r\n")
		for _, b := range [][]byte{body, []byte(end), body[1:]} {
			for piece := 1; piece < 8; piece++ {
				got, ok := unstuff(stuffed(b, piece))
				if !ok || !bytes.Equal(got, normal(b)) {
					t.Fatalf("%q in pieces of %d goes out as %q", b, piece, stuffed(b, piece))
				}
			}
		}
	}
}

func TestWellFormedTextGoesOutUnchanged(t *testing.T) {
	b := bytes.Repeat([]byte("From: a\r\n\r\n.dot\r\nline é\r\n"), 100)
	if got, ok := unstuff(stuffed(b, 1000)); !ok || !bytes.Equal(got, b) {
		t.Error("changed")
	}
}

func FuzzDotStuff(f *testing.F) {
	f.Add([]byte("a\r\n.\r\nb\n.\n\x00\r"), 3)
	f.Add([]byte(".\r\r\n..\n"), 1)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		if piece <= 0 {
			piece = len(b) + 1
		}
		got, ok := unstuff(stuffed(b, piece))
		if !ok || !bytes.Equal(got, normal(b)) {
			t.Fatalf("%q in pieces of %d: %q, want %q", b, piece, got, normal(b))
		}
		s := stuffer{start: true} // as by BDAT
		if got := s.finish(s.append(nil, b)); !bytes.Equal(got, normal(b)) {
			t.Fatalf("BDAT: %q goes out as %q", b, got)
		}
	})
}

func BenchmarkStuff(b *testing.B) {
	text := bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog, and then it goes home.\r\n"), 230)
	out := make([]byte, 0, 3*len(text))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		s := stuffer{dots: true, start: true}
		s.append(out, text)
	}
}

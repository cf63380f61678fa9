package explain

import (
	"encoding/base64"
	"html"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message"
)

// maxDecoded bounds what is decoded of one part, in octets.
const maxDecoded = 1 << 20

// decode undoes a transfer encoding and a charset. Each line keeps the number of
// the line in the input that it begins in.
func decode(ls []line, encoding, charset string) []line {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "quoted-printable":
		ls = unquote(ls)
	case "base64":
		ls = unbase64(ls)
	}
	return toUTF8(ls, charset)
}

// unquote decodes quoted-printable (RFC 2045 6.7). What is no escape stays as
// it is.
func unquote(ls []line) []line {
	out := make([]line, 0, len(ls))
	var b strings.Builder
	n, open, total := 0, false, 0
	for _, l := range ls {
		if !open {
			n = l.n
			b.Reset()
		}
		s := strings.TrimRight(l.text, " \t")
		open = strings.HasSuffix(s, "=")
		if open {
			s = s[:len(s)-1]
		}
		unescape(&b, s)
		if total += len(s); total > maxDecoded {
			break
		}
		if !open {
			out = appendSplit(out, n, b.String())
		}
	}
	if open {
		out = append(out, line{n, b.String()})
	}
	return out
}

// appendSplit appends what may hold an encoded line end.
func appendSplit(out []line, n int, s string) []line {
	for strings.ContainsAny(s, "\r\n") && len(out) < maxLines {
		i := strings.IndexAny(s, "\r\n")
		out = append(out, line{n, s[:i]})
		s = strings.TrimPrefix(s[i:], "\r")
		s = strings.TrimPrefix(s, "\n")
	}
	return append(out, line{n, s})
}

func unescape(b *strings.Builder, s string) {
	for {
		i := strings.IndexByte(s, '=')
		if i < 0 {
			b.WriteString(s)
			return
		}
		b.WriteString(s[:i])
		s = s[i:]
		hi, ok1 := hex(s, 1)
		lo, ok2 := hex(s, 2)
		if ok1 && ok2 {
			b.WriteByte(hi<<4 | lo)
			s = s[3:]
			continue
		}
		b.WriteByte('=')
		s = s[1:]
	}
}

func hex(s string, i int) (byte, bool) {
	if i >= len(s) {
		return 0, false
	}
	switch c := s[i]; {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// unbase64 decodes base64. Foreign letters and a broken end are passed over.
func unbase64(ls []line) []line {
	var (
		clean  []byte
		starts []int // number of letters before each line
	)
	for i, l := range ls {
		starts = append(starts, len(clean))
		for _, c := range []byte(l.text) {
			if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/' {
				clean = append(clean, c)
			}
		}
		if len(clean) > maxDecoded {
			ls = ls[:i+1]
			break
		}
	}
	if len(clean)%4 == 1 {
		clean = clean[:len(clean)-1]
	}
	raw := make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
	k, err := base64.RawStdEncoding.Decode(raw, clean)
	if err != nil && k == 0 {
		return ls
	}
	var out []line
	at, pos := 0, 0
	text := string(raw[:k])
	for len(text) > 0 && len(out) < maxLines {
		for at+1 < len(starts) && starts[at+1]*3/4 <= pos {
			at++
		}
		l, rest, _ := strings.Cut(text, "\n")
		out = append(out, line{ls[at].n, strings.TrimRight(l, "\r")})
		pos += len(text) - len(rest)
		text = rest
	}
	return out
}

// toUTF8 decodes a charset. Without one, or with an unknown one, what is no
// UTF-8 is read as Windows-1252, which every mail program means by Latin-1.
func toUTF8(ls []line, charset string) []line {
	charset = strings.ToLower(strings.TrimSpace(charset))
	odd := -1
	for i, l := range ls {
		if strings.IndexByte(l.text, 0x1b) >= 0 {
			charset = "iso-2022-jp" // it is often not declared
			odd = i
			break
		}
		if odd < 0 && !plain(l.text) {
			odd = i
		}
	}
	if odd < 0 || charset == "utf-8" && valid(ls) {
		return ls
	}
	if charset == "" || charset == "us-ascii" || charset == "utf-8" {
		if valid(ls) {
			return ls
		}
		charset = "windows-1252"
	}
	out := make([]line, len(ls))
	copy(out, ls)
	if !convert(out, charset) {
		convert(out, "windows-1252")
	}
	return out
}

// convert decodes lines in place, all at once: a reader for each would cost more
// than the rest.
func convert(ls []line, charset string) bool {
	var b strings.Builder
	for i, l := range ls {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(l.text)
	}
	r, err := message.CharsetReader(charset, strings.NewReader(b.String()))
	if err != nil {
		return false
	}
	t, err := io.ReadAll(io.LimitReader(r, 4*maxDecoded))
	if err != nil {
		return false
	}
	ts := strings.Split(string(t), "\n")
	if len(ts) != len(ls) {
		return false
	}
	for i := range ls {
		ls[i].text = ts[i]
	}
	return true
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func valid(ls []line) bool {
	for _, l := range ls {
		if !utf8.ValidString(l.text) {
			return false
		}
	}
	return true
}

// breaks are the elements of HTML behind which a new line begins.
var breaks = []string{"br", "p", "/p", "div", "/div", "tr", "/tr", "li", "h1", "h2", "h3", "/h1", "/h2", "/h3", "table", "/table", "pre", "/pre"}

// unHTML returns the words of a page, line by line.
func unHTML(ls []line) []line {
	var out []line
	var b strings.Builder
	tag, skip := false, ""
	var name strings.Builder
	for _, l := range ls {
		n := l.n
		for _, c := range []byte(head(l.text, 20*maxLine)) {
			switch {
			case !tag && c == '<':
				tag = true
				name.Reset()
			case tag && c == '>':
				tag = false
				e, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(name.String())), " ")
				e = strings.TrimSuffix(e, "/")
				switch {
				case skip != "" && e == "/"+skip:
					skip = ""
				case e == "style" || e == "script" || e == "title":
					skip = e
				}
				for _, w := range breaks {
					if e == w && b.Len() > 0 {
						out = appendWords(out, n, b.String())
						b.Reset()
					}
				}
			case tag:
				if name.Len() < 200 {
					name.WriteByte(c)
				}
			case skip == "":
				b.WriteByte(c)
			}
		}
		if !tag && b.Len() > 0 {
			b.WriteByte(' ')
		}
		if b.Len() > maxLine || len(out) > maxText {
			out = appendWords(out, n, b.String())
			b.Reset()
		}
		if len(out) > maxText {
			return out
		}
	}
	return appendWords(out, lastLine(ls), b.String())
}

func appendWords(out []line, n int, s string) []line {
	s = strings.Join(strings.Fields(html.UnescapeString(s)), " ")
	if s == "" {
		return out
	}
	return append(out, line{n, s})
}

func lastLine(ls []line) int {
	if len(ls) == 0 {
		return 0
	}
	return ls[len(ls)-1].n
}

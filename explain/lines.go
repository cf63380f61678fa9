package explain

import (
	"bytes"
	"errors"
	"io"
	"strings"
)

// Bounds of what is read of one message. A report stands in front of what it
// returns, so that what lies beyond them is hardly ever missed.
const (
	maxInput  = 4 << 20 // octets
	maxLines  = 100_000
	maxLine   = 4000 // octets of one line that are looked at
	maxText   = 4000 // lines of words for people
	maxFields = 3000 // of one header
	maxParts  = 200
	maxDepth  = 12
)

// line is a line of what was given: its number there, and its words, decoded.
type line struct {
	n    int
	text string
}

// read takes in a message, and says whether there was more than it takes.
func read(r io.Reader) (text string, cut bool, err error) {
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(r, maxInput+1))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", false, err
	}
	if n > maxInput {
		b.Truncate(maxInput)
		cut = true
	}
	return b.String(), cut, nil
}

// splitLines splits at LF, at CR, and at any number of CR before an LF: files
// that went through several systems have them mixed. Lines are counted as
// editors do, by LF, or by CR where there is no LF.
func splitLines(s string, first int) []line {
	byLF := strings.IndexByte(s, '\n') >= 0
	ls := make([]line, 0, min(len(s)/40+1, maxLines))
	n := first
	for len(s) > 0 && len(ls) < maxLines {
		end := byte('\n')
		if !byLF {
			end = '\r'
		}
		i := strings.IndexByte(s, end)
		var l string
		if i < 0 {
			l, s = s, ""
		} else {
			l, s = s[:i], s[i+1:]
		}
		if byLF {
			l = strings.TrimRight(l, "\r")
		}
		for byLF && len(ls) < maxLines {
			head, tail, more := strings.Cut(l, "\r")
			if !more {
				break
			}
			ls = append(ls, line{n, head})
			l = tail
		}
		ls = append(ls, line{n, l})
		n++
	}
	return ls
}

// blank reports a line without words.
func (l line) blank() bool { return strings.TrimSpace(l.text) == "" }

// texts joins the words of lines with blanks.
func texts(ls []line) string {
	switch len(ls) {
	case 0:
		return ""
	case 1:
		return strings.TrimSpace(ls[0].text)
	}
	var b strings.Builder
	for _, l := range ls {
		if w := strings.TrimSpace(l.text); w != "" {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(w)
		}
	}
	return b.String()
}

// head returns at most n octets of s, on the border of a letter.
func head(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}

// hasFold reports whether s begins with prefix, which is in lower case, in
// letters of any case.
func hasFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// lower returns s with its plain letters in lower case; each octet stays at its
// place, so that what is found in it is found in s.
func lower(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b := []byte(s)
			for k := i; k < len(b); k++ {
				if b[k] >= 'A' && b[k] <= 'Z' {
					b[k] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

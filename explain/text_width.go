package explain

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/width"

	"github.com/postrider/postrider/mail"
)

// maxShown bounds the octets of one thing that is shown.
const maxShown = 4000

// shown makes foreign words harmless for a screen: no control character, no mark
// that turns the direction of what follows or hides in it, no more marks on a
// letter than any script needs.
func shown(s string) string {
	marks := 0
	return strings.Map(func(r rune) rune {
		switch {
		case r < 0x300 && r != '\u00ad':
			marks = 0
			return r
		case r == '\u200c' || r == '\u200d': // joiners: Persian and others need them
			return r
		case unicode.In(r, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp):
			return '?'
		case unicode.In(r, unicode.Mn, unicode.Me):
			if marks++; marks > 4 {
				return -1
			}
		default:
			marks = 0
		}
		return r
	}, mail.Clean(s, maxShown))
}

// columns returns how many columns of a terminal a text takes.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case wide(r):
		return 2
	}
	return 1
}

// wide reports the letters that take two columns (UAX 11).
func wide(r rune) bool {
	k := width.LookupRune(r).Kind()
	return k == width.EastAsianWide || k == width.EastAsianFullwidth
}

// cutColumns parts a text behind as many letters as fit.
func cutColumns(s string, room int) (fits, rest string) {
	n := 0
	for i, r := range s {
		if n += runeColumns(r); n > room {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

// clipMiddle shortens a host's name: its beginning and its domain tell most.
func clipMiddle(s string, room int, dots string) string {
	if columns(s) <= room {
		return s
	}
	room -= columns(dots)
	front, _ := cutColumns(s, (room+1)/2)
	back := ""
	for _, r := range slices.Backward([]rune(s)) {
		if columns(back)+runeColumns(r) > room-columns(front) {
			break
		}
		back = string(r) + back
	}
	return front + dots + back
}

// pad fills a text up with blanks.
func pad(s string, room int) string { return s + strings.Repeat(" ", max(room-columns(s), 0)) }

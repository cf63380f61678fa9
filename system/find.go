package system

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
)

// families are the files of this package; each call makes its systems anew, so
// nobody can change them for others.
var families = [...]func() []System{
	microsoft, postfixes, sendmails, exims, unix, newer, bulk, windows, gateways, hosted, mailers,
}

// All returns every known system, by kind, then family, then ID. It is the
// caller's own copy.
func All() []System {
	var all []System
	for _, f := range families {
		all = append(all, f()...)
	}
	slices.SortFunc(all, func(a, b System) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Family, b.Family), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// Find returns the system of that ID, in whatever case it is written.
func Find(id string) (System, bool) {
	for _, f := range families {
		for _, s := range f() {
			if strings.EqualFold(s.ID, id) {
				return s, true
			}
		}
	}
	return System{}, false
}

// Nearest returns the ID of the system that was most likely meant, for an error
// message: one whose ID or name holds the word ("messagelabs"), else one that
// differs, whole or in its beginning, by few letters. "" if none comes near.
func Nearest(id string) string {
	word := letters(id)
	if len(word) < 3 || len(word) > 64 {
		return ""
	}
	best, least := "", len(word)/2+1
	for _, s := range All() {
		for i, name := range []string{letters(s.ID), letters(s.Name)} {
			// The whole name, or its beginning: "exchnage" is meant for an Exchange.
			far := min(distance(word, name), 1+distance(word, name[:min(len(word), len(name))])) + i
			if strings.Contains(name, word) {
				far = i - 1 // nearer than any slip: first the IDs that hold it
			}
			if far < least {
				best, least = s.ID, far
			}
		}
	}
	return best
}

// letters returns the letters and digits of a name, in lower case.
func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

// distance counts the insertions, deletions and changes that make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

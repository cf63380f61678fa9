package system

import (
	"regexp"
	"regexp/syntax"
	"strings"
)

// pattern is a regular expression with words to look for first: looking for a
// word is some hundred times cheaper, and most patterns match nowhere. Only the
// two letters beyond ASCII that fold into it, the long s and the Kelvin sign,
// are overlooked by it.
type pattern struct {
	re *regexp.Regexp
	// needs: a match holds one of these words, which are in lower case. Empty:
	// nothing is known.
	needs []string
	// inLine: a match lies within one line.
	inLine bool
}

// newPattern compiles one of this package's own patterns, which a test has
// compiled before.
func newPattern(s string) pattern {
	p := pattern{re: regexp.MustCompile(s)}
	if tree, err := syntax.Parse(s, syntax.Perl); err == nil {
		tree = tree.Simplify()
		p.needs, p.inLine = musts(tree), inLine(tree)
	}
	if shortest(p.needs) < 3 { // found nearly everywhere
		p.needs = nil
	}
	return p
}

// text is a text that patterns are looked for in, as it is and in lower case.
type text struct{ as, low string }

func newText(s string) text { return text{s, lower(s)} }

// lower puts ASCII letters in lower case and leaves every offset where it is.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// find returns the place of the first match and of its groups, nil if there is
// none.
func (t text) find(p pattern) (first []int) {
	if len(p.needs) == 0 {
		return p.re.FindStringSubmatchIndex(t.as)
	}
	for _, w := range p.needs {
		var m []int
		switch at := strings.Index(t.low, w); {
		case at < 0:
			continue
		case p.inLine:
			m = t.findInLines(p.re, w, at)
		default:
			return p.re.FindStringSubmatchIndex(t.as)
		}
		if m != nil && (first == nil || m[0] < first[0]) {
			first = m
		}
	}
	return first
}

// findInLines looks at the lines that hold a word, the first of them at that
// offset.
func (t text) findInLines(re *regexp.Regexp, word string, at int) []int {
	for at < len(t.low) {
		begin := strings.LastIndexByte(t.low[:at], '\n') + 1
		end := len(t.low)
		if i := strings.IndexByte(t.low[at:], '\n'); i >= 0 {
			end = at + i
		}
		if m := re.FindStringSubmatchIndex(t.as[begin:end]); m != nil {
			for i := range m {
				if m[i] >= 0 {
					m[i] += begin
				}
			}
			return m
		}
		next := strings.Index(t.low[end:], word)
		if next < 0 {
			return nil
		}
		at = end + next
	}
	return nil
}

// musts returns words of which a match of the expression holds at least one; of
// the parts that all must match, those whose shortest word is the longest.
func musts(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		return []string{lower(string(re.Rune))}
	case syntax.OpCapture, syntax.OpPlus:
		return musts(re.Sub[0])
	case syntax.OpConcat:
		var best []string
		for _, sub := range re.Sub {
			if words := musts(sub); shortest(words) > shortest(best) {
				best = words
			}
		}
		return best
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			words := musts(sub)
			if len(words) == 0 {
				return nil
			}
			all = append(all, words...)
		}
		return all
	}
	return nil
}

// shortest returns the length of the shortest of some words, 0 if there is none.
func shortest(words []string) int {
	least := 0
	for i, w := range words {
		if i == 0 || len(w) < least {
			least = len(w)
		}
	}
	return least
}

// inLine reports that no match of the expression holds the end of a line, nor
// depends on where the text begins and ends.
func inLine(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpAnyChar, syntax.OpBeginText, syntax.OpEndText:
		return false
	case syntax.OpLiteral:
		return !strings.ContainsRune(string(re.Rune), '\n')
	case syntax.OpCharClass:
		for i := 0; i < len(re.Rune); i += 2 {
			if re.Rune[i] <= '\n' && '\n' <= re.Rune[i+1] {
				return false
			}
		}
	}
	for _, sub := range re.Sub {
		if !inLine(sub) {
			return false
		}
	}
	return true
}

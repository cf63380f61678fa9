package explain

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/cause"
)

// TestEveryLanguageSaysEverything: each file has every key and no other, and each
// text the same placeholders.
func TestEveryLanguageSaysEverything(t *testing.T) {
	texts := languages()[native].texts
	for tag, l := range languages() {
		want := maps.Clone(texts)
		if tag != native {
			for _, s := range causeSentences() {
				want[s] = text{form{piece{letters: s}}}
			}
		}
		for key, w := range want {
			got, ok := l.texts[key]
			if !ok {
				t.Errorf("texts/%s.txt: no text for %q", tag, key)
				continue
			}
			if a, b := placeholders(w), placeholders(got); !slices.Equal(a, b) {
				t.Errorf("texts/%s.txt: %s: placeholders %v, want %v", tag, key, b, a)
			}
		}
		for key := range l.texts {
			if _, ok := want[key]; !ok {
				t.Errorf("texts/%s.txt: %q: nobody says this", tag, key)
			}
		}
	}
}

// causeSentences are those of package cause, which each language but English
// translates.
func causeSentences() []string {
	all := map[string]bool{}
	for k := cause.Unknown; !strings.HasPrefix(k.String(), "?"); k++ {
		c := cause.Explain(k, cause.Sure)
		all[c.Meaning], all[c.DoNow] = true, true
		for _, f := range c.Fix {
			all[f.What] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func placeholders(t text) []string {
	names := map[string]bool{}
	var collect func(f form)
	collect = func(f form) {
		for _, p := range f {
			if p.name != "" && p.name != "n" { // the form for one may spell it
				names[p.name] = true
			}
			collect(p.maybe)
		}
	}
	for _, f := range t {
		collect(f)
	}
	return slices.Sorted(maps.Keys(names))
}

// source is what the package's own files say: the constants by the block that
// holds them, and all string literals.
type source struct {
	literals map[string]bool
	blocks   [][]string
}

func readSource(t *testing.T) source {
	t.Helper()
	s := source{literals: map[string]bool{}}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if l := literal(n); l != "" {
				s.literals[l] = true
			}
			if g, ok := n.(*ast.GenDecl); ok && g.Tok == token.CONST {
				var block []string
				for _, spec := range g.Specs {
					for _, v := range spec.(*ast.ValueSpec).Values {
						block = append(block, literal(v))
					}
				}
				s.blocks = append(s.blocks, block)
			}
			return true
		})
	}
	return s
}

func literal(n ast.Node) string {
	l, ok := n.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return ""
	}
	s, err := strconv.Unquote(l.Value)
	if err != nil {
		return ""
	}
	return s
}

// block returns the constants of the block that holds one.
func (s source) block(t *testing.T, one string) []string {
	t.Helper()
	for _, b := range s.blocks {
		if slices.Contains(b, one) {
			return b
		}
	}
	t.Fatalf("no block of constants holds %q", one)
	return nil
}

// TestEveryTextIsUsed: no key stands in the files that the code does not say, and
// each word for programs that people are shown has its text.
func TestEveryTextIsUsed(t *testing.T) {
	src := readSource(t)
	texts := languages()[native].texts
	fates, hows := src.block(t, RefusedAtOnce), src.block(t, byReply)
	ends := []string{"failed", "late", "done"}
	families := map[string][]string{
		"unit.": {"day", "hour", "minute", "second"}, "short.": {"day", "hour", "minute", "second"},
		"kind.": fates, "owner.": without(fates, NoBounce), "how.": hows, "letter.seen ": append(slices.Clone(hows), "broken"),
		"role.":          {"author's host", "relay", "filter", "forwarder", "gave up"},
		"confidence.":    {"sure", "likely", "guess", "unknown"},
		"who.":           {"nobody", "sender", "sender-admin", "receiver-admin", "recipient", operator},
		"letter.sender ": ends, "letter.receiver ": ends,
	}
	used := map[string]bool{}
	for family, words := range families {
		if !src.literals[family] {
			t.Errorf("%q: the code asks for no text of this family", family)
		}
		for _, w := range words {
			used[family+w] = true
			if _, ok := texts[family+w]; !ok {
				t.Errorf("texts/%s.txt: no text for %q", native, family+w)
			}
		}
	}
	for key := range texts {
		if !used[key] && !src.literals[key] {
			t.Errorf("texts/%s.txt: %q: the code does not use it", native, key)
		}
	}
}

func without(words []string, one string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == one })
}

// TestTheCodeSaysOnlyWhatHasAText: a key that is written out in the code stands in
// the files, with the placeholders that the code fills.
func TestTheCodeSaysOnlyWhatHasAText(t *testing.T) {
	texts := languages()[native].texts
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			c, ok := n.(*ast.CallExpr)
			if !ok || len(c.Args) == 0 {
				return true
			}
			sel, ok := c.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"say", "count", "list", "section"}, sel.Sel.Name) {
				return true
			}
			key := literal(c.Args[0])
			if key == "" {
				return true
			}
			calls++
			w, ok := texts[key]
			if !ok {
				t.Errorf("%s: no text for %q", fset.Position(n.Pos()), key)
				return true
			}
			if sel.Sel.Name != "say" {
				return true
			}
			var filled []string
			for i := 1; i < len(c.Args); i += 2 {
				filled = append(filled, literal(c.Args[i]))
			}
			slices.Sort(filled)
			if want := placeholders(w); !slices.Equal(filled, want) && len(filled)+len(want) > 0 {
				t.Errorf("%s: %s: filled are %v, the text has %v", fset.Position(n.Pos()), key, filled, want)
			}
			return true
		})
	}
	if calls < 50 {
		t.Errorf("only %d calls were found: the test looks for the wrong ones", calls)
	}
}

func TestTextsAreTakenApart(t *testing.T) {
	ts, err := readTexts("t.txt", "# remark\nplain = said\nlong = begun\n  and ended\nopt = {who} left[ at {when}][, {why}].\nmany = one day | {n} days\nkey with blanks = x = y\n")
	if err != nil {
		t.Fatal(err)
	}
	l := &language{"t", ts}
	for _, c := range []struct{ got, want string }{
		{l.say("plain"), "said"},
		{l.say("long"), "begun and ended"},
		{l.say("opt", "who", "He", "when", "noon"), "He left at noon."},
		{l.say("opt", "who", "{when} [x", "why", "so"), "{when} [x left, so."},
		{l.count("many", 1), "one day"},
		{l.count("many", 0), "0 days"},
		{l.say("key with blanks"), "x = y"},
		{l.say("missing"), "missing"},
		{l.code("opt.", "new-word"), "new-word"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestABadTextIsNamedByItsLine(t *testing.T) {
	for src, want := range map[string]string{
		"a = b\nno equals\n":   "t.txt:2: no",
		"  early\n":            "t.txt:1: continues no text",
		"a = b\n\na = c\n":     "t.txt:3: a: stands there twice",
		"a = {open\n":          "t.txt:1: a: a { without its }",
		"a = shut}\n":          "t.txt:1: a: a } without its {",
		"a = [open\n":          "t.txt:1: a: a [ without its ]",
		"a = shut]\n":          "t.txt:1: a: a ] without its [",
		"a = [x [y] z]\n":      "t.txt:1: a: a [ inside of a [",
		"a = [[[[[[[[[[[]\n":   "t.txt:1: a: a [ inside of a [",
		"a = \n":               "t.txt:1: a: says nothing",
		"a = one | {two | }\n": "t.txt:1: a: a { without its }",
	} {
		_, err := readTexts("t.txt", src)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", src, err, want)
		}
	}
}

func TestLanguagesAreFoundByTheirTags(t *testing.T) {
	if got := Languages(); !slices.Contains(got, "en") || !slices.Contains(got, "de") || !slices.IsSorted(got) {
		t.Errorf("languages %v", got)
	}
	for tag, want := range map[string]string{"": "en", "en": "en", "EN-gb": "en", "de_AT.UTF-8": "de", "de": "de"} {
		if l, err := languageOf(tag); err != nil || l.tag != want {
			t.Errorf("%q: %v, want %s", tag, err, want)
		}
	}
	for _, tag := range []string{"tlh", "\x1b[31m", "../en"} {
		if _, err := languageOf(tag); err == nil || !strings.Contains(err.Error(), "there are de, en") || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: %v", tag, err)
		}
	}
}

func TestLengthsAreNeverRoundedUp(t *testing.T) {
	l := languages()[native]
	for d, want := range map[time.Duration]string{
		0:                               "0 seconds",
		999 * time.Millisecond:          "0 seconds",
		time.Second:                     "1 second",
		61 * time.Second:                "1 minute 1 second",
		48*time.Hour + 13*time.Minute:   "2 days 13 minutes",
		105*time.Hour - time.Nanosecond: "4 days 8 hours",
		24 * time.Hour:                  "1 day",
	} {
		if got := l.length(d); got != want {
			t.Errorf("%d s: %q, want %q", d/time.Second, got, want)
		}
	}
	if got := l.short(98*time.Hour + 58*time.Minute); got != "4 d 2 h" {
		t.Errorf("short: %q", got)
	}
}

// TestAReportIsInOneLanguage: what is worded in German has no English sentence in
// it; what servers said is nobody's to translate.
func TestAReportIsInOneLanguage(t *testing.T) {
	english := causeSentences()
	for key, forms := range languages()[native].texts {
		for _, family := range []string{"verdict.", "says.", "do.", "fix.", "part.", "open.", "warn.", "attempts."} {
			if !strings.HasPrefix(key, family) {
				continue
			}
			for _, f := range forms {
				for _, p := range f {
					if len(p.letters) > 12 {
						english = append(english, strings.TrimSpace(p.letters))
					}
				}
			}
		}
	}
	told := 0
	for _, r := range everyReport(t) {
		if r.Language != "de" {
			continue
		}
		said := []string{r.Says}
		for _, f := range r.Recipients {
			said = append(said, f.Verdict, f.DoNow, f.Roles.Sender, f.Roles.Between, f.Roles.Receiver, f.Attempts.Meaning)
			said = append(append(said, f.NotKnown...), f.Warnings...)
			for _, x := range f.Fix {
				said = append(said, x.What)
			}
		}
		for _, s := range said {
			told++
			for _, e := range english {
				if strings.Contains(s, e) {
					t.Errorf("%q says %q", s, e)
				}
			}
		}
	}
	if told < 50 {
		t.Errorf("only %d sentences were looked at", told)
	}
}

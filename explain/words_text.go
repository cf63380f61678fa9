package explain

import (
	"fmt"
	"strings"
)

// text is what stands for a key, in the forms that a number may ask for.
type text []form

// form is a text in pieces.
type form []piece

// piece is letters, a placeholder, or a part that is left out when a placeholder
// in it has nothing to say.
type piece struct {
	letters string
	name    string
	maybe   form
}

// with puts values into a text; the pairs are names and values. Values are never
// read as texts, whoever wrote them.
func (f form) with(pairs []string) string {
	var b strings.Builder
	f.write(&b, pairs)
	return b.String()
}

// write reports whether all placeholders had something to say.
func (f form) write(b *strings.Builder, pairs []string) (full bool) {
	full = true
	for _, p := range f {
		switch {
		case p.maybe != nil:
			var part strings.Builder
			if p.maybe.write(&part, pairs) {
				b.WriteString(part.String())
			}
		case p.name != "":
			v := valueOf(p.name, pairs)
			full = full && v != ""
			b.WriteString(v)
		default:
			b.WriteString(p.letters)
		}
	}
	return full
}

func valueOf(name string, pairs []string) string {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == name {
			return pairs[i+1]
		}
	}
	return ""
}

// readTexts reads a file of texts: "key = text", a line that begins with a blank
// continuing the one above, "#" in front of remarks. An error names the line.
func readTexts(file, src string) (map[string]text, error) {
	type raw struct {
		line       int
		key, words string
	}
	var all []raw
	for i, l := range strings.Split(src, "\n") {
		trimmed := strings.TrimSpace(l)
		switch {
		case trimmed == "" || l[0] == '#':
		case l[0] == ' ' || l[0] == '\t':
			if len(all) == 0 {
				return nil, fmt.Errorf("%s:%d: continues no text", file, i+1)
			}
			last := &all[len(all)-1]
			last.words = strings.TrimSpace(last.words + " " + trimmed)
		default:
			key, words, ok := strings.Cut(l+" ", " = ")
			if !ok {
				return nil, fmt.Errorf("%s:%d: no \" = \" behind the key", file, i+1)
			}
			all = append(all, raw{i + 1, strings.TrimSpace(key), strings.TrimSpace(words)})
		}
	}
	out := make(map[string]text, len(all))
	for _, r := range all {
		if _, twice := out[r.key]; twice {
			return nil, fmt.Errorf("%s:%d: %s: stands there twice", file, r.line, r.key)
		}
		t, err := readText(r.words)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", file, r.line, r.key, err)
		}
		out[r.key] = t
	}
	return out, nil
}

// readText takes a text apart: {name}, [left out when a name in it is empty],
// "one | many".
func readText(s string) (text, error) {
	if s == "" {
		return nil, fmt.Errorf("says nothing")
	}
	var t text
	for one := range strings.SplitSeq(s, " | ") {
		f, rest, err := readForm(one, false)
		if err != nil {
			return nil, err
		}
		if rest != "" {
			return nil, fmt.Errorf("a ] without its [")
		}
		t = append(t, f)
	}
	return t, nil
}

// readForm reads to the end, or inside of brackets to the one that shuts them.
func readForm(s string, inside bool) (f form, rest string, err error) {
	for s != "" {
		i := strings.IndexAny(s, "{[]}")
		if i != 0 {
			if i < 0 {
				i = len(s)
			}
			f = append(f, piece{letters: s[:i]})
			s = s[i:]
			continue
		}
		switch s[0] {
		case '{':
			name, after, ok := strings.Cut(s[1:], "}")
			if !ok || name == "" || strings.ContainsAny(name, "{[] ") {
				return nil, "", fmt.Errorf("a { without its }")
			}
			f = append(f, piece{name: name})
			s = after
		case '[':
			if inside {
				return nil, "", fmt.Errorf("a [ inside of a [")
			}
			part, after, err := readForm(s[1:], true)
			if err != nil {
				return nil, "", err
			}
			f = append(f, piece{maybe: part})
			s = after
		case ']':
			if inside && len(f) > 0 {
				return f, s[1:], nil
			}
			return f, s, nil
		default:
			return nil, "", fmt.Errorf("a } without its {")
		}
	}
	if inside {
		return nil, "", fmt.Errorf("a [ without its ]")
	}
	return f, "", nil
}

package chain

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const lineWidth = 78

// WriteFindings writes the findings about a subject for people.
func WriteFindings(w io.Writer, s Subject, found []Finding) error {
	var b strings.Builder
	var n [len(severityNames)]int
	for _, f := range found {
		n[f.Severity]++
	}
	fmt.Fprintf(&b, "%s: %d wrong, %s, %s\n", s.Name, n[Wrong], plural(n[Warning], "warning"), plural(n[Note], "note"))
	own, common := sources(found)
	for i, f := range found {
		fmt.Fprintf(&b, "\n%s: %s\n", f.Severity, f.Code)
		wrap(&b, "  ", "  ", sentence(f.What))
		field(&b, "How", f.How)
		field(&b, "Why", f.Why)
		for i, line := range strings.Split(f.Instead, "\n") {
			if i == 0 {
				field(&b, "Instead", line)
			} else {
				field(&b, "", line)
			}
		}
		field(&b, "Source", own[i])
	}
	if common != "" {
		b.WriteString("\n")
		wrap(&b, "Source of all: ", "  ", common)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// sentence ends a text with a stop, if nothing else ends it.
func sentence(s string) string {
	if strings.HasSuffix(s, "?") || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

// sources parts what all findings share of their sources, at the end, from what
// each has of its own.
func sources(found []Finding) (own []string, common string) {
	const between = "; "
	parts := make([][]string, len(found))
	shared := 0
	for i, f := range found {
		parts[i] = strings.Split(f.Source, between)
		if i == 0 {
			shared = len(parts[0])
		}
		n := 0
		for n < min(shared, len(parts[i])) && parts[i][len(parts[i])-1-n] == parts[0][len(parts[0])-1-n] {
			n++
		}
		shared = n
	}
	for _, p := range parts {
		own = append(own, strings.Join(p[:len(p)-shared], between))
	}
	if shared > 0 {
		common = strings.Join(parts[0][len(parts[0])-shared:], between)
	}
	return own, common
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// field writes a labelled text, nothing if it is empty.
func field(b *strings.Builder, label, text string) {
	if label != "" {
		label += ":"
	}
	if text != "" {
		wrap(b, fmt.Sprintf("    %-8s ", label), strings.Repeat(" ", 13), text)
	}
}

// wrap writes words in lines of a readable width.
func wrap(b *strings.Builder, first, next, text string) {
	line := first
	for i, word := range strings.Fields(text) {
		if i > 0 && utf8.RuneCountInString(line)+utf8.RuneCountInString(word) > lineWidth {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = next
		}
		line += word + " "
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}

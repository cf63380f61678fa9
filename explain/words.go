package explain

import (
	"embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/mail"
)

// The sentences that people read stand in texts, a file for each language, named
// after its tag. Words that programs read are never translated.
//
//go:embed texts/*.txt
var textFiles embed.FS

// native is the language in which the others are checked, and whose sentences of
// package cause need no text of their own.
const native = "en"

// language is the texts of one language by their keys.
type language struct {
	tag   string
	texts map[string]text
}

var languages = sync.OnceValue(func() map[string]*language {
	files, err := textFiles.ReadDir("texts")
	if err != nil {
		panic(err)
	}
	all := map[string]*language{}
	for _, f := range files {
		b, err := textFiles.ReadFile("texts/" + f.Name())
		if err != nil {
			panic(err)
		}
		ts, err := readTexts(f.Name(), string(b))
		if err != nil {
			panic(err) // a file of ours; the tests read each
		}
		tag := strings.TrimSuffix(f.Name(), ".txt")
		all[tag] = &language{tag, ts}
	}
	return all
})

// Languages returns the tags of the languages that reports can be worded in
// (BCP 47): "de", "en".
func Languages() []string { return slices.Sorted(maps.Keys(languages())) }

// languageOf finds the language of a tag; "de-AT" and "de_AT.UTF-8" are "de", ""
// is English.
func languageOf(tag string) (*language, error) {
	base := strings.ToLower(tag)
	if i := strings.IndexAny(base, "-_.@"); i >= 0 {
		base = base[:i]
	}
	if tag == "" {
		base = native
	}
	if l, ok := languages()[base]; ok {
		return l, nil
	}
	return nil, fmt.Errorf("explain: language %q: not known; there are %s", mail.Clean(tag, 40), strings.Join(Languages(), ", "))
}

// language is the one that the report was worded in.
func (r Report) language() *language {
	l, err := languageOf(r.Language)
	if err != nil {
		l, _ = languageOf(native)
	}
	return l
}

// say words what a key stands for. The pairs are the names of placeholders and
// what goes into them.
func (l *language) say(key string, pairs ...string) string {
	t, ok := l.texts[key]
	if !ok {
		return key
	}
	return t[0].with(pairs)
}

// code words what a word for programs means; the word itself where no text does,
// so that a new one is shown rather than lost.
func (l *language) code(family, word string) string {
	if t, ok := l.texts[family+word]; ok {
		return t[0].with(nil)
	}
	return word
}

// of words a sentence of package cause, which is its own key.
func (l *language) of(sentence string) string { return l.code("", sentence) }

// count words a number of things: "1 day", "2 days". Of the forms that a text
// has the first is for one, the last for all else; a language that tells more
// apart needs its rule here.
func (l *language) count(key string, n int) string {
	t, ok := l.texts[key]
	if !ok {
		return strconv.Itoa(n)
	}
	form := t[len(t)-1]
	if n == 1 {
		form = t[0]
	}
	return form.with([]string{"n", strconv.Itoa(n)})
}

// length words a length of time by its largest unit and the next one that is not
// zero: "4 days 9 hours". What is cut off is never rounded up: nothing was held
// longer than is said.
func (l *language) length(d time.Duration) string { return l.units("unit.", d) }

// short is length in the letters of a picture: "4 d 9 h".
func (l *language) short(d time.Duration) string { return l.units("short.", d) }

func (l *language) units(family string, d time.Duration) string {
	var parts []string
	for _, u := range []struct {
		d    time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		n := int(d / u.d)
		d %= u.d
		if n > 0 && len(parts) < 2 {
			parts = append(parts, l.count(family+u.name, n))
		}
	}
	if len(parts) == 0 {
		return l.count(family+"second", 0)
	}
	return strings.Join(parts, " ")
}

// instant words a moment: the date as people and machines of any country read
// it, in the zone given.
func instant(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	if zone == nil {
		zone = time.UTC
	}
	return t.In(zone).Format("2006-01-02 15:04:05 MST")
}

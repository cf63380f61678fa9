package web

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/mail"
)

// words are what templates can say.
var words = template.FuncMap{
	"age":         age,
	"ages":        func(s int64) string { return age(time.Duration(s) * time.Second) },
	"at":          at,
	"exactly":     exactly,
	"in":          in,
	"num":         num,
	"size":        size,
	"brief":       func(s string) string { s, _, _ = strings.Cut(s, " ("); return s },
	"fixer":       func(who string) string { return cmp.Or(fixers[who], who) },
	"language":    func(tag string) string { return cmp.Or(map[string]string{"en": "English", "de": "Deutsch"}[tag], tag) },
	"plus":        func(a, b int) int { return a + b },
	"ago":         ago,
	"dayAgo":      func(now time.Time) time.Time { return now.Add(-24 * time.Hour) },
	"people":      people,
	"story":       storyOf,
	"healthInk":   healthInk,
	"destination": func(name string) string { return "/destinations?name=" + url.QueryEscape(name) },
	"siteStory":   siteStory,
	"siteInk": func(s api.Site) string {
		if s.Paused != nil {
			return "wait"
		}
		return healthInk(s.Health, "")
	},
	"domainOf":    func(s api.Site) string { return cmp.Or(strings.Join(s.Domains[:min(len(s.Domains), 1)], ""), s.Name) },
	"same":        same,
	"lower":       strings.ToLower,
	"commands":    commandsFor,
	"severityInk": severityInk,
	"moment":      func(t time.Time) *time.Time { return &t },
	"within":      func() []string { return []string{"24h", "7d", "30d"} },
	"minus":       func(a, b int) int { return a - b },
	"dict":        dict,
	"states":      func() []string { return []string{"", "waiting", "trying", "held"} },
	"reasons":     api.WhyWords,
	"whyText":     api.WhyText,
	"coming": func(w custody.What, told bool) string {
		end := "the last try; if it fails too, it is given up and returned"
		if !told {
			end = "the last try; if it fails too, it is given up, and the sender is not told"
		}
		return map[custody.What]string{custody.WillTry: "a try", custody.WillWarn: "the sender is told of the delay", custody.WillEnd: end}[w]
	},
	"list":  func(s []string) string { return strings.Join(s, ", ") },
	"asset": func(name string) string { return statics()[name].path },
	"from":  returnPath,
	"state": stateOf,
	"reply": func(l api.Last) string { return mail.Reply{Code: l.Code, Status: l.Status, Text: l.Text}.String() },
	"host": func(l api.Last) string { // unless its words name it
		if strings.Contains(l.Text, l.Host) {
			return ""
		}
		return l.Host
	},
}

// age is a length of time for people: "2h 14m".
func age(d time.Duration) string {
	s := custody.FormatAge(d)
	for i := 1; i < len(s)-1; i++ {
		if s[i] > '9' && s[i+1] <= '9' {
			return s[:i+1] + " " + s[i+1:]
		}
	}
	return s
}

// at is a moment, short in the page and whole under the pointer. Its day is left
// out where it is today's.
func at(t any, now time.Time) template.HTML { return moment(t, now, "15:04") }

// exactly is one to the second.
func exactly(t any, now time.Time) template.HTML { return moment(t, now, "15:04:05") }

func moment(t any, now time.Time, today string) template.HTML {
	var m time.Time
	switch v := t.(type) {
	case time.Time:
		m = v
	case *time.Time:
		if v != nil {
			m = *v
		}
	}
	if m.IsZero() {
		return "never"
	}
	m, now = m.Local(), now.Local()
	layout := "2 Jan 2006"
	switch days := m.Sub(now).Hours() / 24; {
	case m.YearDay() == now.YearDay() && m.Year() == now.Year():
		layout = today
	case -6 < days && days < 6:
		layout = "Mon 15:04"
	case -180 < days && days < 180:
		layout = "Mon 2 Jan 15:04"
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, m.Format(time.RFC3339), m.Format("Monday 2 January 2006 15:04:05 MST"), m.Format(layout)))
}

// in is how far off a moment is: "in 12m", "now", "never".
func in(t *time.Time, now time.Time) string {
	switch {
	case t == nil || t.IsZero():
		return "never"
	case t.Sub(now) < time.Second:
		return "now"
	}
	return "in " + age(t.Sub(now))
}

// ago is how long ago a moment was.
func ago(t any, now time.Time) string {
	m, _ := t.(time.Time)
	if p, ok := t.(*time.Time); ok {
		m = *p
	}
	return age(now.Sub(m)) + " ago"
}

// num writes a number with its thousands apart.
func num(n any) string {
	s := fmt.Sprint(n)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 && c != '-' && s[i-1] != '-' {
			b.WriteRune('\u202f')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// size is a number of octets for people.
func size(n int64) string {
	for _, u := range []struct {
		name string
		size int64
	}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if n >= u.size {
			return strconv.FormatFloat(float64(n)/float64(u.size), 'f', 1, 64) + " " + u.name
		}
	}
	return strconv.FormatInt(n, 10) + " octets"
}

func returnPath(from string) string {
	if from == "" {
		return "<>"
	}
	return from
}

// stateOf is the colour of a state.
func stateOf(state string) string {
	switch state {
	case "delivered", "relayed":
		return "good"
	case "bounced", "expired":
		return "bad"
	case "held", "mixed":
		return "wait"
	case "trying":
		return "own"
	}
	return ""
}

// harmless replaces what could steer a terminal or turn the direction of writing in
// a page, by the name of the character. Nothing of ours uses such characters.
func harmless(page []byte) []byte {
	if !bytes.ContainsFunc(page, steers) {
		return page
	}
	var b bytes.Buffer
	for len(page) > 0 {
		r, n := utf8.DecodeRune(page)
		switch {
		case r == '\r' && n < len(page) && page[n] == '\n':
		case r == utf8.RuneError && n == 1:
			b.WriteString("\uFFFD")
		case steers(r):
			fmt.Fprintf(&b, "\u2039U+%04X\u203a", r)
		default:
			b.Write(page[:n])
		}
		page = page[n:]
	}
	return b.Bytes()
}

// steers reports characters that do something instead of being seen.
func steers(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r < ' ', 0x7f <= r && r < 0xa0, r == utf8.RuneError:
		return true
	case r == 0x200b, r == 0x200e, r == 0x200f, 0x2028 <= r && r <= 0x202e, 0x2060 <= r && r <= 0x206f, r == 0x061c, r == 0xfeff, r == 0x180e:
		return true
	case 0xfff9 <= r && r <= 0xfffb, 0xe0000 <= r && r <= 0xe007f:
		return true
	}
	return false
}

// dict makes one thing of names and values in turn, for a part of a page.
func dict(pairs ...any) (map[string]any, error) {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("web: %v is no name", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

package explain

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/cause"
)

var update = flag.Bool("update", false, "write what is shown to testdata/texts")

// stories are the reports in testdata/texts, by name.
func stories(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/texts/*.eml")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d stories, %v", len(files), err)
	}
	out := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".eml")] = string(b)
	}
	return out
}

func reportOn(t *testing.T, text, language string) Report {
	t.Helper()
	r, err := Explain(strings.NewReader(text), Options{Language: language})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func shownAs(t *testing.T, r Report, s Style) string {
	t.Helper()
	var b strings.Builder
	if err := WriteText(&b, r, s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func wordedFor(t *testing.T, r Report, to Reader) string {
	t.Helper()
	var b strings.Builder
	if err := WriteFor(&b, r, to); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestStoriesAreToldLikeThis: what people see of the two founding lines, of these
// in their whole letters, and of reports made after real ones.
func TestStoriesAreToldLikeThis(t *testing.T) {
	for name, text := range stories(t) {
		r, de := reportOn(t, text, ""), reportOn(t, text, "de")
		for file, got := range map[string]string{
			name + ".txt":                 shownAs(t, r, Style{}),
			name + ".de.txt":              shownAs(t, de, Style{}),
			name + ".sender.txt":          wordedFor(t, r, Sender),
			name + ".sender.de.txt":       wordedFor(t, de, Sender),
			name + ".sending-admin.txt":   wordedFor(t, r, SendingAdmin),
			name + ".receiving-admin.txt": wordedFor(t, r, ReceivingAdmin),
			name + ".svg":                 SVG(r),
		} {
			path := filepath.Join("testdata/texts", file)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("%s (write with -update, then read it):\n%s", file, d)
			}
		}
	}
}

// everyReport yields all real reports at hand, and the stories.
func everyReport(t *testing.T) []Report {
	t.Helper()
	var out []Report
	for _, text := range stories(t) {
		out = append(out, reportOn(t, text, ""), reportOn(t, text, "de"))
	}
	files, err := filepath.Glob(corpus + "mails/*.eml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Logf("no real reports in %s: only the stories are shown", corpus)
	}
	for i, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, reportOn(t, string(b), []string{"", "de"}[i%2]))
	}
	return append(out, hostile(Bounce), Report{})
}

var sgr = regexp.MustCompile("\x1b\\[[0-9]+m")

func TestNothingExceedsTheWidth(t *testing.T) {
	for i, r := range everyReport(t) {
		widths := []int{40 + i%60, 80}
		if r.Says == trap {
			widths = []int{1, 40, 57, 80, 132, 10_000}
		}
		for _, width := range widths {
			limit := min(max(width, leastWidth), greatestWidth)
			for _, s := range []Style{{Width: width}, {Width: width, Color: true, ASCII: true}} {
				got := shownAs(t, r, s)
				checkLines(t, sgr.ReplaceAllString(got, ""), limit)
			}
		}
		for _, to := range []Reader{Sender, SendingAdmin, ReceivingAdmin} {
			checkLines(t, wordedFor(t, r, to), letterWidth)
		}
	}
}

func checkLines(t *testing.T, s string, limit int) {
	t.Helper()
	if !strings.HasSuffix(s, "\n") || !utf8.ValidString(s) {
		t.Errorf("does not end with a line end, or is no UTF-8: %q", s)
	}
	for l := range strings.Lines(s) {
		l = strings.TrimSuffix(l, "\n")
		if n := columns(l); n > limit {
			t.Errorf("%d columns, at most %d: %q", n, limit, l)
		}
		if strings.HasSuffix(l, " ") {
			t.Errorf("blanks at the end: %q", l)
		}
	}
}

// trap is what a hostile server might say: sequences that steer a terminal, marks
// that turn the direction of what follows, markup, and no end.
var trap = "\x1b[2J\x1b]0;owned\x07\u009b31m\u202egnp.exe\u2066\u200b\ufeff\u2028</text><script>alert(1)</script>]]>&\"'{verdict}[x]" +
	"\r\n250 OK\x00\x7f\xff\xfe" + strings.Repeat("\u0300", 50) + strings.Repeat("m", 300) + strings.Repeat("漢", 200)

// hostile is a report in which everything that can be foreign is.
func hostile(k Kind) Report {
	var f Finding
	spoil(reflect.ValueOf(&f).Elem())
	f.Kind = Unreachable
	n := 1 << 40
	f.Attempts.Told = &n
	f.Hops = slices.Repeat(f.Hops, 60)
	f.NotKnown = slices.Repeat(f.NotKnown, 5)
	f.Evidence = slices.Repeat(f.Evidence, 40)
	f.Clock.Held, f.Clock.Value, f.Clock.Default = 1<<63-1, 1<<63-1, -1
	return Report{Kind: k, Recipients: []Finding{f, {Kind: trap}, {}}, Says: trap, Language: trap}
}

func spoil(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(trap)
	case reflect.Int, reflect.Int64:
		v.SetInt(1 << 60)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		spoil(v.Index(0))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1<<50, 0)))
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				spoil(v.Field(i))
			}
		}
	}
}

// harmless reports words that no terminal obeys and no reader is fooled by.
func harmless(s string) bool {
	for _, r := range s {
		if r != '\n' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)) || r == utf8.RuneError {
			return false
		}
	}
	return !strings.Contains(s, strings.Repeat("\u0300", 5))
}

func TestWhatAMessageSaysCannotSteerATerminal(t *testing.T) {
	r := hostile(Bounce)
	outputs := []string{shownAs(t, r, Style{}), shownAs(t, r, Style{ASCII: true, Width: 40})}
	for _, to := range []Reader{Sender, SendingAdmin, ReceivingAdmin} {
		outputs = append(outputs, wordedFor(t, r, to))
	}
	outputs = append(outputs, sgr.ReplaceAllString(shownAs(t, r, Style{Color: true}), ""))
	for _, s := range outputs {
		if !harmless(s) {
			t.Errorf("not harmless: %q", s)
		}
		if !strings.Contains(s, "owned") {
			t.Errorf("the words are hidden: %q", s)
		}
		if strings.Contains(s, "\n250 OK") {
			t.Errorf("a foreign line end is believed: %q", s)
		}
		if len(s) > 200_000 {
			t.Errorf("%d octets", len(s))
		}
	}
}

func TestThePictureHoldsNothingButAPicture(t *testing.T) {
	for _, r := range everyReport(t) {
		svg := SVG(r)
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			tok, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("no XML: %v\n%s", err, svg)
			}
			switch x := tok.(type) {
			case xml.StartElement:
				if !slices.Contains([]string{"svg", "title", "style", "rect", "line", "circle", "path", "text"}, x.Name.Local) {
					t.Fatalf("holds a %s", x.Name.Local)
				}
				for _, a := range x.Attr {
					if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" || strings.Contains(a.Value, "url(") {
						t.Fatalf("holds %s=%q", a.Name.Local, a.Value)
					}
				}
			case xml.CharData:
				if !harmless(string(x)) {
					t.Fatalf("not harmless: %q", x)
				}
			case xml.Directive, xml.ProcInst:
				t.Fatalf("holds %v", x)
			}
		}
	}
}

func TestWithoutColoursNoEscapeIsWritten(t *testing.T) {
	r := reportOn(t, stories(t)["several"], "")
	if s := shownAs(t, r, Style{}); strings.Contains(s, "\x1b") {
		t.Errorf("%q", s)
	}
	color := shownAs(t, r, Style{Color: true})
	if !strings.Contains(color, "\x1b[31m") {
		t.Error("nothing is red")
	}
	if got := sgr.ReplaceAllString(color, ""); got != shownAs(t, r, Style{}) {
		t.Errorf("colours change more than colours:\n%s", got)
	}
}

func TestPlainLettersAreEnoughWhereTheyMustBe(t *testing.T) {
	for name, text := range stories(t) {
		for _, c := range shownAs(t, reportOn(t, text, ""), Style{ASCII: true}) {
			if c > 0x7e {
				t.Errorf("%s: %q", name, c)
			}
		}
	}
}

func TestRecipientsOfOneFateAreToldTogether(t *testing.T) {
	s := shownAs(t, reportOn(t, stories(t)["several"], ""), Style{})
	if !strings.Contains(s, "bob@there.test, carla@there.test ──") || strings.Count(s, "5.1.1") == 0 {
		t.Errorf("not told together:\n%s", s)
	}
	if n := strings.Count(s, "The lines that this rests on"); n != 2 {
		t.Errorf("%d fates are told, want 2", n)
	}
	fs := []Finding{{Recipient: "a@x.test", Refused: Refusal{Text: "<a@x.test>: no such user"}}, {Recipient: "b@x.test", Refused: Refusal{Text: "<b@x.test>: no such user"}}, {Recipient: "c@x.test", Refused: Refusal{Text: "<c@x.test>: mailbox full"}}}
	if g := gather(fs); len(g) != 2 || !slices.Equal(g[0].rcpts, []string{"a@x.test", "b@x.test"}) {
		t.Errorf("gathered %v", g)
	}
	many := make([]Finding, 300)
	for i := range many {
		many[i] = Finding{Recipient: strings.Repeat("x", i+1) + "@x.test", Kind: RefusedAtOnce, Verdict: "No."}
	}
	if s := shownAs(t, Report{Recipients: many}, Style{}); strings.Count(s, "No.") != 1 || !strings.Contains(s, "and 280 more") {
		t.Errorf("300 of one fate:\n%s", s)
	}
}

func TestDatesAreShownInTheZoneAskedFor(t *testing.T) {
	r := reportOn(t, stories(t)["filter"], "")
	if s := shownAs(t, r, Style{}); !strings.Contains(s, "2026-11-24 07:05:31 UTC") {
		t.Errorf("not in UTC:\n%s", s)
	}
	zone := time.FixedZone("CET", 3600)
	if s := shownAs(t, r, Style{Zone: zone}); !strings.Contains(s, "2026-11-24 08:05:31 CET") {
		t.Errorf("not in the zone:\n%s", s)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestAnErrorOfWritingIsTold(t *testing.T) {
	r := reportOn(t, stories(t)["filter"], "")
	if err := WriteText(broken{}, r, Style{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	if err := WriteFor(broken{}, r, Sender); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

func TestWordsAreBrokenByTheColumnsTheyTake(t *testing.T) {
	for _, c := range []struct {
		s    string
		room int
		want []string
	}{
		{"", 10, []string{""}},
		{"one two", 10, []string{"one two"}},
		{"one two", 6, []string{"one", "two"}},
		{"abcdefghij kl", 4, []string{"abcd", "efgh", "ij", "kl"}},
		{"漢字漢字", 5, []string{"漢字", "漢字"}},
		{"e\u0301e\u0301 e\u0301", 4, []string{"e\u0301e\u0301 e\u0301"}},
		{"漢", 1, []string{"漢"}},
	} {
		if got := wrapped(c.s, c.room); !slices.Equal(got, c.want) {
			t.Errorf("%q in %d: %q, want %q", c.s, c.room, got, c.want)
		}
	}
	if got := clipMiddle("mail7.outbound.example.com", 16, "…"); got != "mail7.ou…ple.com" || columns(got) > 16 {
		t.Errorf("%q", got)
	}
}

// The unsure is said to be unsure, and the sure is not hedged.
func TestHowSureIsSaid(t *testing.T) {
	f := Finding{Kind: RefusedAtOnce, Recipient: "a@x.test", GaveUp: Host{Host: "h.test", Confidence: cause.Guess}, Confidence: cause.Sure}
	s := shownAs(t, Report{Recipients: []Finding{f}}, Style{})
	if !strings.Contains(s, "h.test, a guess") || !strings.Contains(s, "refused at once (sure)") {
		t.Errorf("%s", s)
	}
}

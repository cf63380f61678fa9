package system

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const corpus = "../../shared/corpora/bounces/mails"

// reports returns real bounces by the name of their file, cut before the
// returned message. They are not decoded.
func reports(t testing.TB) map[string]string {
	t.Helper()
	files, err := filepath.Glob(corpus + "/*.eml")
	if err != nil || len(files) == 0 {
		t.Skipf("the corpus of bounces is not here: %v", err)
	}
	returned := regexp.MustCompile(`(?i)content-type: *(message/rfc822|text/rfc822-headers)|\n--- Below this line is a copy`)
	m := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s := strings.ReplaceAll(string(b), "\r\n", "\n")
		if cut := returned.FindStringIndex(s); cut != nil {
			s = s[:cut[0]]
		}
		m[filepath.Base(f)] = s
	}
	return m
}

// recognized names the system of each family of the corpus whose own MTA is one
// of ours.
var recognized = map[string]string{
	"lhost-amazonses": "amazon-ses", "lhost-amazonworkmail": "amazon-ses", "lhost-receivingses": "amazon-ses",
	"lhost-exchange2003": "ms-smtpsvc", "lhost-outlook": "ms-smtpsvc", "lhost-office365": "exchange-online",
	"lhost-exim": "exim", "lhost-postfix": "postfix", "lhost-sendmail": "sendmail", "lhost-v5sendmail": "sendmail",
	"lhost-qmail": "qmail", "lhost-opensmtpd": "opensmtpd", "lhost-gmail": "gmail", "lhost-googlegroups": "gmail",
	"lhost-googleworkspace": "gmail", "rhost-gsuite": "gmail", "lhost-sendgrid": "sendgrid", "lhost-yandex": "yandex",
	"rhost-messagelabs": "symantec-cloud",
}

func TestRealReportsAreRecognizedAndNeverMistaken(t *testing.T) {
	right, unknown := 0, 0
	for file, report := range reports(t) {
		want, ours := recognized[file[:strings.LastIndex(file, "-")]]
		if !ours {
			continue
		}
		switch proofs := Recognize(report); {
		case len(proofs) == 0:
			unknown++
		case proofs[0].System != want:
			t.Errorf("%s is %s, taken for %s by %v", file, want, proofs[0].System, proofs[0].Marks)
		default:
			right++
			for _, m := range proofs[0].Marks {
				if !strings.HasPrefix(report[m.At:], m.Text) || m.Text == "" {
					t.Errorf("%s: %q is not at %d", file, m.Text, m.At)
				}
			}
		}
	}
	t.Logf("%d recognized, %d not", right, unknown)
	if right < 40*unknown {
		t.Errorf("%d recognized, %d not", right, unknown)
	}
}

func TestReportersAreKnownSystems(t *testing.T) {
	place := map[string]int{}
	for i, r := range Reporters() {
		if _, ok := Find(r.System); !ok {
			t.Errorf("%s reports and is no system", r.System)
		}
		if _, twice := place[r.System]; twice {
			t.Errorf("%s stands twice", r.System)
		}
		place[r.System] = i
		if len(r.Strong) == 0 {
			t.Errorf("%s has no strong mark", r.System)
		}
	}
	if len(place) != 30 {
		t.Errorf("%d reporters, want 30", len(place))
	}
	for _, pair := range [][2]string{
		{"exchange-online", "exchange-2007"}, {"gmail", "exim"}, {"amazon-ses", "ironport-asyncos"}, {"yandex", "postfix"},
		{"zoho", "postfix"}, {"sendgrid", "postfix"}, {"symantec-cloud", "qmail"}, {"haraka", "qmail"}, {"james", "qmail"},
		{"chasquid", "exim"}, {"kumomta", "sendmail"}, {"maddy", "postfix"}, {"zonemta", "postfix"},
	} {
		if place[pair[0]] >= place[pair[1]] {
			t.Errorf("%s took over the words of %s and stands after it", pair[0], pair[1])
		}
	}
}

func TestTheOneWhoKeptTheWordsIsBelieved(t *testing.T) {
	for report, want := range map[string]string{
		"Subject: failure notice\n\nI've given up. Sorry it didn't work out.\n":                                               "qmail",
		"Subject: failure notice\n\nHi. This is the Haraka Mailer program at mx.\nI've given up. Sorry it didn't work out.\n": "haraka",
		"\nI've given up. Sorry it didn't work out.\n":                                                                        "",
		"X-Yandex-Queue-ID: 1\nThis is the mail system at host yandex.ru.\n":                                                  "yandex",
		"Reporting-MTA: dns; host\n": "",
		"Diagnostic-Code: smtp; 5.4.7 - Delivery expired (message too old) '[Errno 61] Connection refused' (delivery attempts: 0)\n": "ironport-asyncos",
	} {
		got := ""
		if p := Recognize(report); len(p) > 0 {
			got = p[0].System
		}
		if got != want {
			t.Errorf("%q: taken for %q, want %q", report, got, want)
		}
	}
}

func TestWordingsAreToldInTheirOrderWithTheirParts(t *testing.T) {
	got := Sayings("host mx.example[192.0.2.1] said: 451 4.7.0 [TSS04] later\n" +
		"5.4.7 - Delivery expired (message too old) '[Errno 61] Connection refused' (delivery attempts: 0)\n")
	var ids []string
	for _, s := range got {
		ids = append(ids, s.Wording.ID)
	}
	if want := []string{"postfix-said", "tss04", "ironport-expired"}; !slices.Equal(ids, want) {
		t.Fatalf("got %q, want %q", ids, want)
	}
	if p := got[0].Parts; p["h"] != "mx.example" || p["ip"] != "192.0.2.1" || p["code"] != "451" {
		t.Errorf("%q", p)
	}
	if p := got[2].Parts; p["last"] != "[Errno 61] Connection refused" || p["n"] != "0" {
		t.Errorf("%q", p)
	}
	got[2].Wording.Parts[0].Text = "changed"
	if Sayings(got[2].Text)[0].Wording.Parts[0].Text == "changed" {
		t.Error("a caller changed the wordings for others")
	}
}

func TestWordingsAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range Wordings() {
		if w.ID == "" || seen[w.ID] || w.Kind == "" {
			t.Errorf("%+v", w)
		}
		seen[w.ID] = true
	}
	if len(seen) != 41 {
		t.Errorf("%d wordings, want 41", len(seen))
	}
}

// TestLookingForWordsFirstHidesNoMatch compares every pattern with itself, used
// without the words to look for, on texts made to match it and on real ones.
func TestLookingForWordsFirstHidesNoMatch(t *testing.T) {
	same := func(t interface{ Errorf(string, ...any) }, p pattern, s string) {
		if got, want := newText(s).find(p), p.re.FindStringSubmatchIndex(s); !slices.Equal(got, want) {
			t.Errorf("%s: found %v, want %v in %q", p.re, got, want, s)
		}
	}
	all := patterns()
	for _, p := range all {
		made := rapid.StringMatching(strings.NewReplacer("(?m)^", "", "(?mi)^", "", "$", "").Replace(p.re.String()))
		for i := range 20 {
			s := strings.NewReplacer("ſ", "s", "\u212a", "k").Replace(made.Example(i)) // see pattern
			same(t, p, s)
			same(t, p, "first line\n"+s+"\nand once more: "+s+"\nthen\n"+s)
			same(t, p, strings.ToUpper(s)+"\nİ "+s)
		}
	}
	if testing.Short() {
		return
	}
	n := 0
	for _, report := range reports(t) {
		if n++; n > 15 {
			break
		}
		for _, p := range all {
			same(t, p, report)
		}
	}
}

func patterns() []pattern {
	var all []pattern
	for _, r := range reporters() {
		all = append(all, slices.Concat(r.strong, r.weak)...)
	}
	for _, w := range wordings() {
		all = append(all, w.pattern)
	}
	return all
}

func TestNearlyAllPatternsHaveAWordToLookFor(t *testing.T) {
	all, without := patterns(), 0
	for _, p := range all {
		if len(p.needs) == 0 {
			without++
		}
	}
	if without > len(all)/100 {
		t.Errorf("%d of %d patterns are tried on every text", without, len(all))
	}
}

func BenchmarkReport(b *testing.B) {
	rs := reports(b)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for _, s := range rs {
			Recognize(s)
			Sayings(s)
			n++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/report")
}

package chain

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/system"
)

// Every row must be what comes of following single messages, each sent at
// another moment of the outage.
func TestReceiverDownAgreesWithEachMessage(t *testing.T) {
	for _, outage := range []time.Duration{20 * time.Minute, 9 * time.Hour, 63 * time.Hour, 100 * time.Hour, 8 * 24 * time.Hour} {
		for _, r := range ReceiverDown(outage, system.All()) {
			s, _ := system.Find(r.ID)
			if s.Policy.Retry == nil || s.Policy.Clock == system.FromFailure {
				continue
			}
			run := s.Policy.Run(system.Unreachable, system.Reckoned)
			kept, n, latest := 0, 2000, time.Duration(0)
			for i := range n {
				sent := outage * time.Duration(i) / time.Duration(n)
				at := slices.IndexFunc(run.Attempts, func(age time.Duration) bool { return sent+age >= outage })
				delivered := at >= 0 || run.Endless
				if delivered {
					kept++
				}
				if at >= 0 {
					latest = max(latest, sent+run.Attempts[at]-outage)
				}
				if i > 0 {
					continue
				}
				if (r.GaveUp == nil) != delivered {
					t.Errorf("%s, %s: the first message delivered %v, given up %v", r.ID, outage, delivered, r.GaveUp)
				}
				if at >= 0 && (r.Delivered == nil || r.Delivered.Pick(system.Reckoned) != run.Attempts[at]-outage ||
					r.Delivered.Least > r.Delivered.Pick(system.Reckoned) || r.Delivered.Most < r.Delivered.Pick(system.Reckoned)) {
					t.Errorf("%s, %s: the first message comes %s after the return, not %+v", r.ID, outage, run.Attempts[at]-outage, r.Delivered)
				}
			}
			if got := r.Kept(outage); math.Abs(got-float64(kept)/float64(n)) > 0.002 {
				t.Errorf("%s, %s: keeps %.3f, but of %d messages %d", r.ID, outage, got, n, kept)
			}
			if r.Latest >= 0 && (latest > r.Latest || kept == n && latest < r.Latest/3 && outage > 24*time.Hour && !r.Guessed) {
				t.Errorf("%s, %s: the latest comes %s after the return, not %s", r.ID, outage, latest, r.Latest)
			}
		}
	}
}

func TestRowsAreSortedFromTheBest(t *testing.T) {
	rows := ReceiverDown(weekendLasts, system.All())
	if len(rows) != len(system.All()) {
		t.Fatalf("%d rows", len(rows))
	}
	for i := range rows[1:] {
		if a, b := rows[i], rows[i+1]; a.Fate > b.Fate || a.Fate == b.Fate && a.Lost > b.Lost {
			t.Errorf("%s (%s, %s) before %s (%s, %s)", a.ID, a.Fate, a.Lost, b.ID, b.Fate, b.Lost)
		}
	}
}

func row(t *testing.T, outage time.Duration, id string) Row {
	t.Helper()
	s, ok := system.Find(id)
	if !ok {
		t.Fatalf("no system %s", id)
	}
	return ReceiverDown(outage, []system.System{s})[0]
}

func TestTheHostsClockEndsAllItsMailAtOnce(t *testing.T) {
	if r := row(t, 4*24*time.Hour, "exim"); r.Fate != Delivers || r.Lost != 0 {
		t.Errorf("4 days: %+v", r)
	}
	if r := row(t, 5*24*time.Hour, "exim"); r.Fate != Returns || r.Kept(5*24*time.Hour) != 0 || r.GaveUp == nil {
		t.Errorf("5 days: %+v", r)
	}
}

func TestAMessageCanBeReturnedAfterTheReceiverIsBack(t *testing.T) {
	r := row(t, weekendLasts, "stalwart")
	if r.Fate != Part || r.GaveUp == nil || r.GaveUp.Least <= weekendLasts || r.Delivered != nil {
		t.Errorf("%+v", r)
	}
}

func TestWarningsAreThoseOfTheWait(t *testing.T) {
	for _, tt := range []struct {
		id     string
		outage time.Duration
		want   string
	}{
		{"exchange-2007", time.Hour, "no"},
		{"exchange-2007", 5 * time.Hour, "after 4h"},
		{"exim", 63 * time.Hour, "after 1d and 2d"},
		{"stalwart", 63 * time.Hour, "after 1d"},
		{"mox", 63 * time.Hour, "after 1h52m"},
		{"postfix", 63 * time.Hour, "no"},
		{"ironport-asyncos", 63 * time.Hour, "no"},
		{"oracle-ums", 63 * time.Hour, "no"},
		{"oracle-ums", 80 * time.Hour, "after 3d"},
		{"proofpoint-essentials", 63 * time.Hour, "yes, when is not known"},
		{"yahoo", 63 * time.Hour, "not known"},
	} {
		if got := row(t, tt.outage, tt.id).warned(); got != tt.want {
			t.Errorf("%s, %s: %s, want %s", tt.id, tt.outage, got, tt.want)
		}
	}
}

func TestWhatIsNotKnownOfASystemIsNotShownAsKnown(t *testing.T) {
	for _, s := range system.All() {
		r := ReceiverDown(weekendLasts, []system.System{s})[0]
		p := s.Policy
		if p.Lifetime == 0 && p.Limit == 0 && p.Retry == nil && (r.Fate != NotKnown || r.kept(weekendLasts) != "?" || r.first() != "not known") {
			t.Errorf("%s: %+v", s.ID, r)
		}
		if p.Retry == nil && (r.Delivered != nil || r.Latest >= 0) {
			t.Errorf("%s: its attempts are not known, and yet %+v", s.ID, r)
		}
	}
	if r := row(t, weekendLasts, "censornet"); !r.Silent {
		t.Errorf("%+v", r)
	}
	if r := row(t, 10*24*time.Hour, "censornet"); !strings.HasPrefix(r.first(), "lost without a word") {
		t.Error(r.first())
	}
}

func TestNoOutageIsTooShortOrTooLong(t *testing.T) {
	for _, outage := range []time.Duration{-time.Hour, 0, 1, time.Second, system.Open, math.MaxInt64} {
		rows := ReceiverDown(outage, system.All())
		var b bytes.Buffer
		if err := errors.Join(WriteReceivers(&b, outage, rows), DrawReceivers(&b, outage, rows)); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b.Bytes(), []byte("NaN")) || bytes.Contains(b.Bytes(), []byte("Inf")) {
			t.Errorf("%s: a picture with no numbers", outage)
		}
		for _, r := range rows {
			if k := r.Kept(outage); k < 0 || k > 1 {
				t.Errorf("%s, %s: keeps %v", r.ID, outage, k)
			}
		}
	}
}

// few are systems of every fate.
func few(t *testing.T) []system.System {
	var few []system.System
	for _, id := range []string{"postfix", "kumomta", "gmail", "stalwart", "exchange-2007", "mox", "symantec-mg", "halon"} {
		s, ok := system.Find(id)
		if !ok {
			t.Fatalf("no system %s", id)
		}
		few = append(few, s)
	}
	return few
}

func TestTheTableOfReceiversReadsTheSame(t *testing.T) {
	var b bytes.Buffer
	if err := WriteReceivers(&b, weekendLasts, ReceiverDown(weekendLasts, few(t))); err != nil {
		t.Fatal(err)
	}
	sameAsFile(t, filepath.Join("testdata", "findings", "receivers.txt"), b.Bytes())
}

func TestThePictureOfReceiversLooksTheSame(t *testing.T) {
	var b bytes.Buffer
	if err := DrawReceivers(&b, weekendLasts, ReceiverDown(weekendLasts, few(t))); err != nil {
		t.Fatal(err)
	}
	sameAsFile(t, filepath.Join("testdata", "findings", "receivers.svg"), b.Bytes())
}

func TestNamesCannotBreakThePicture(t *testing.T) {
	hostile := "</text><script>alert(1)</script>&\"'\x00\xff\x1b[31m"
	s := one(func(s *system.System) { s.ID, s.Name, s.Sources = hostile, hostile, []string{hostile} })
	var b bytes.Buffer
	if err := DrawReceivers(&b, time.Hour, ReceiverDown(time.Hour, []system.System{s})); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(bytes.NewReader(b.Bytes()))
	for {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, b.String())
		}
		if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "script" {
			t.Error("a script")
		}
	}
	b.Reset()
	if err := WriteReceivers(&b, time.Hour, ReceiverDown(time.Hour, []system.System{s})); err != nil || bytes.ContainsAny(b.Bytes(), "\x00\x1b") {
		t.Errorf("%v: %q", err, b.String())
	}
}

func TestRowsAreObjectsInSeconds(t *testing.T) {
	for id, want := range map[string]string{
		"exchange-2007": `"fate":"part","delivered_after_return_s":null,"gives_up_s":{"least":172800,"most":173580,"reckoned":172800},"warned_s":[14400],` +
			`"warnings_known":true,"warns_at_unknown_time":false,"lost_first_s":54360,"latest_after_return_s":600,"silent":false,"guessed":false,"confidence":"high"`,
		"halon": `"fate":"not-known","delivered_after_return_s":null,"gives_up_s":null,"warned_s":[],` +
			`"warnings_known":false,"warns_at_unknown_time":false,"lost_first_s":null,"latest_after_return_s":null,"silent":false,"guessed":false,"confidence":"unknown"`,
	} {
		text, err := json.Marshal(row(t, weekendLasts, id))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), want) {
			t.Errorf("%s:\ngot  %s\nwant %s", id, text, want)
		}
	}
}

package system

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestASystemIsFoundInWhateverCase(t *testing.T) {
	for _, id := range []string{"exchange-2016-2019-SE", "exchange-2016-2019-se", "POSTFIX"} {
		if s, ok := Find(id); !ok || !strings.EqualFold(s.ID, id) {
			t.Errorf("%s: %v", id, ok)
		}
	}
	if _, ok := Find(""); ok {
		t.Error("a system without an ID")
	}
}

func TestNearestIsWhatAPersonMeant(t *testing.T) {
	for word, want := range map[string]string{
		"exchange2010": "exchange-2010", "exchange-2012": "exchange-2010", "postfx": "postfix", "Postfix": "postfix", "ironport": "ironport-asyncos",
		"asyncos": "ironport-asyncos", "messagelabs": "symantec-cloud", "opensmptd": "opensmtpd", "send mail": "sendmail",
		"office365": "", "x": "", "": "", "an mta of our own": "", strings.Repeat("postfix", 1000): "",
	} {
		if got := Nearest(word); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

func TestTheListIsOrderedAndEachIDStandsOnce(t *testing.T) {
	seen := map[string]bool{}
	var last System
	for i, s := range All() {
		id := strings.ToLower(s.ID)
		if seen[id] || s.Family == "" || s.Name == "" {
			t.Errorf("%q stands twice, or is not whole", s.ID)
		}
		seen[id] = true
		if i > 0 && (s.Kind < last.Kind || s.Kind == last.Kind && s.Family < last.Family) {
			t.Errorf("%s stands after %s", s.ID, last.ID)
		}
		last = s
	}
}

// TestWhatIsBelievedHasASource: only what is remembered or not known has none.
func TestWhatIsBelievedHasASource(t *testing.T) {
	for _, s := range All() {
		if s.Confidence > Memory && len(s.Sources) == 0 {
			t.Errorf("%s: %s, and no source", s.ID, s.Confidence)
		}
		if s.Confidence <= Memory && s.Notes == "" {
			t.Errorf("%s: %s, and nothing says so", s.ID, s.Confidence)
		}
		if s.Confidence == Unknown && s.Policy.Lifetime != 0 {
			t.Errorf("%s: nobody has looked, and it keeps mail for %s", s.ID, s.Policy.Lifetime)
		}
	}
}

func TestCallersCannotChangeTheSystems(t *testing.T) {
	s, _ := Find("mimecast")
	s.Policy.Retry.(List).Gaps[0] = time.Hour
	s.Sources[0], s.Policy.Warn.At[0] = "", 0
	e, _ := Find("exchange-2007")
	e.Settings[0].Value = ""
	e.Policy.Retry.(Ladder)[0].Every = 0
	for _, s := range All() {
		if slices.Contains(s.Sources, "") || slices.Contains(s.Policy.Warn.At, 0) {
			t.Errorf("%s was changed", s.ID)
		}
	}
	if p := find(t, "mimecast"); p.Retry.(List).Gaps[0] != time.Minute {
		t.Error("mimecast was changed")
	}
	if p := find(t, "exchange-2010"); p.Retry.(Ladder)[0].Every != time.Minute {
		t.Error("exchange was changed")
	}
}

func TestNamesOfValuesAreWhole(t *testing.T) {
	for got, want := range map[string]string{
		MTA.String(): "mta", Mailer.String(): "mailer", Unknown.String(): "unknown", High.String(): "high",
		ByTimer.String(): "by timer", LastAttempt.String(): "after one last attempt", FromFailure.String(): "from the destination's first failure",
		NoContact.String(): "none", ContactMade.String(): "reply", Kind(9).String(): "?9",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

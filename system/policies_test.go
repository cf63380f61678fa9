package system

import (
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rows returns the fields of each line of a file in testdata, comments left out.
func rows(t *testing.T, file string) [][]string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for l := range strings.Lines(string(b)) {
		if f := strings.Fields(l); len(f) > 0 && f[0] != "#" {
			all = append(all, f)
		}
	}
	return all
}

// TestEachSystemHasItsNumbers reads the numbers of all systems a second time, so
// that a slip in a literal shows.
func TestEachSystemHasItsNumbers(t *testing.T) {
	table := rows(t, "policies.txt")
	if got := len(All()); got != len(table) || got != 63 {
		t.Errorf("%d systems, %d in the table, want 63", got, len(table))
	}
	for _, row := range table {
		s, ok := Find(row[0])
		if !ok {
			t.Errorf("%s: no such system", row[0])
			continue
		}
		want := map[string]string{"kind": row[1], "confidence": row[2]}
		for _, f := range row[3:] {
			key, value, _ := strings.Cut(f, "=")
			want[key] = value
		}
		got := numbers(s)
		for _, key := range []string{"first", "gap"} { // they follow from the pace and are not always told
			if want[key] == "" {
				delete(got, key)
			} else if o := differing[s.ID]; o.key == key && o.pace == got[key] && o.table == want[key] {
				delete(got, key)
				delete(want, key)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s:\n%s", s.ID, d)
		}
	}
}

// differing are the gaps that the table states and the pace does not have.
var differing = map[string]struct{ key, pace, table string }{
	// The last step of the growing rule is longer than the rule after it.
	"exim":        {"gap", "7h35m37s", "6h"},
	"spamexperts": {"gap", "6h24m18s", "6h"},
	// The eighth gap of its list is longer than the one that repeats.
	"symantec-cloud": {"gap", "14h13m50s", "12h"},
	// The table has it without the jitter.
	"mox": {"gap", "8h5s", "8h"},
	// The table has the age of a first attempt, 5 s before that in the log.
	"icloud-2014": {"first", "1h6m22s", "3m6s"},
}

// numbers returns what the table has of a system, told by its policy alone.
func numbers(s System) map[string]string {
	p := s.Policy
	n := map[string]string{"kind": s.Kind.String(), "confidence": s.Confidence.String()}
	if p.Lifetime > 0 {
		n["life"] = age(p.Lifetime)
	}
	switch {
	case p.Limit > 0 && (s.ID == "ironport-asyncos" || s.ID == "symantec-cloud"):
		n["retries"] = strconv.Itoa(p.Limit - 1)
	case p.Limit > 0:
		n["limit"] = strconv.Itoa(p.Limit)
	}
	if p.Range[1] > 0 {
		n["range"] = age(p.Range[0]) + "-" + age(p.Range[1])
	}
	if p.Notices > 0 {
		n["report"] = age(p.Notices)
	}
	if p.Retry != nil {
		n["pace"] = pace(p.Retry)
		trouble := Unreachable
		if s.ID == "mdaemon" { // its first gap is told for 4yz only
			trouble = Deferred
		}
		if second, ok := p.Next(trouble, 1, p.First(trouble).Pick(Reckoned)); ok {
			n["first"] = age(second.Pick(Reckoned))
		}
		p.Scan = 0 // the table has the pace's own gaps
		n["gap"] = age(p.Run(Unreachable, Reckoned).Longest)
	}
	if p.Warn.Known {
		n["warn"] = warned(p)
	}
	switch {
	case p.Alike:
		n["alike"] = ""
	case p.Apart != "":
		n["apart"] = ""
	}
	return n
}

// pace names the kind of a pace, jitter left out.
func pace(r Retry) string {
	if j, ok := r.(Jittered); ok {
		return pace(j.Retry)
	}
	return reflect.TypeOf(r).Name()
}

// warned writes the warnings of a policy: "off", "4h", or "on" where no age is
// told. One that comes with an attempt comes at its age.
func warned(p Policy) string {
	switch at := p.Warn.At; {
	case !p.Warn.On:
		return "off"
	case p.Warn.Try > 0:
		return age(p.Run(Unreachable, Reckoned).Attempts[p.Warn.Try-1])
	case len(at) == 0:
		return "on"
	default:
		ages := make([]string, len(at))
		for i, a := range at {
			ages[i] = age(a)
		}
		return strings.Join(ages, ",")
	}
}

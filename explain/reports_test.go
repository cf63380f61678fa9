package explain

import (
	"os"
	"strings"
	"testing"
)

// TestReadsTheReportsOfManySystems: what the reports of systems tell, most of
// which write nothing for programs.
func TestReadsTheReportsOfManySystems(t *testing.T) {
	b, err := os.ReadFile("testdata/reports.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, all, _ := strings.Cut(string(b), "\n=== ")
	for story := range strings.SplitSeq(all, "\n=== ") {
		name, rest, _ := strings.Cut(story, "\n")
		t.Run(name, func(t *testing.T) {
			var wants []string
			for {
				l, more, _ := strings.Cut(rest, "\n")
				if strings.Contains(l, ":") {
					break
				}
				wants, rest = append(wants, l), more
			}
			r, err := Explain(strings.NewReader(rest), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Kind == NotABounce {
				if wants[0] != "not-a-bounce" {
					t.Fatalf("taken for no report, want %s", wants[0])
				}
				return
			}
			if len(r.Recipients) != len(wants) {
				t.Errorf("%d recipients, want %d", len(r.Recipients), len(wants))
			}
			for i, f := range r.Recipients {
				if i >= len(wants) {
					break
				}
				got := strings.Join([]string{string(r.Kind), f.Recipient, orDash(f.Code), orDash(f.Status), f.Reason, f.Kind}, " ")
				if want := wants[i]; got != want {
					t.Errorf("\n got %s (%s)\nwant %s\n%s", got, f.Confidence, want, f.Refused.Text)
				}
			}
		})
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

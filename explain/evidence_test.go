package explain

import (
	"os"
	"strings"
	"testing"
)

// TestEvidenceStandsInTheFile: every cited line of a real bounce is there, at
// its number, except where the file has it encoded.
func TestEvidenceStandsInTheFile(t *testing.T) {
	cited, elsewhere := 0, 0
	for _, o := range opinions(t) {
		raw, err := os.ReadFile(corpus + "mails/" + o.File)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(raw), "\n")
		for _, f := range explainFile(t, o.File).Recipients {
			if len(f.Evidence) == 0 {
				t.Errorf("%s: %s: no evidence at all", o.File, f.Recipient)
			}
			for _, e := range f.Evidence {
				cited++
				if e.Line < 1 || e.Line > len(lines) || e.Text == "" || len(e.Supports) == 0 {
					t.Errorf("%s: %+v", o.File, e)
					continue
				}
				begin := strings.TrimSpace(e.Text[:min(len(e.Text), 16)])
				if !strings.Contains(lines[e.Line-1], begin) {
					elsewhere++
					t.Logf("%s:%d: cites %.60q, has %.60q", o.File, e.Line, e.Text, lines[e.Line-1])
				}
			}
		}
	}
	t.Logf("%d lines cited, %d not as they stand", cited, elsewhere)
	if elsewhere*100 > cited {
		t.Errorf("%d of %d cited lines are not as they stand", elsewhere, cited)
	}
}

package cause

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postrider/postrider/mail"
)

const corpus = "../../shared/corpora/bounces/"

// readerWords maps the independent reader's words to ours, as reasons.txt does.
func readerWords(t *testing.T) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(corpus + "reasons.txt")
	if err != nil {
		t.Skipf("the corpus of bounces is not here: %v", err)
	}
	m := map[string][]string{}
	for l := range strings.Lines(string(b)) {
		ours, theirs, ok := strings.Cut(strings.TrimSpace(l), ": ")
		if !ok || strings.HasPrefix(l, "#") {
			continue
		}
		for w := range strings.FieldsSeq(theirs) {
			m[w] = append(m[w], ours)
		}
	}
	return m
}

type opinion struct {
	File       string
	Recipients []struct {
		Status, Reason string
		ReplyCode      string `json:"reply_code"`
		ReaderSays     struct {
			DiagnosticCode string
		} `json:"reader_says"`
	}
}

// TestAgreesWithAnotherReader measures, on real bounces, how often the kind is
// the one that another reader found, and how often a sure one is not.
func TestAgreesWithAnotherReader(t *testing.T) {
	words := readerWords(t)
	b, err := os.ReadFile(corpus + "expected.json")
	if err != nil {
		t.Skipf("the corpus of bounces is not here: %v", err)
	}
	var all []opinion
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	var total, agreed, sureWrong, silent, realCause int
	for _, o := range all {
		for _, r := range o.Recipients {
			if slices.Contains([]string{"", "feedback", "vacation", "delivered"}, r.Reason) {
				continue
			}
			total++
			c := Of(Sign{Reply: replyIn(r.ReaderSays.DiagnosticCode, r.ReplyCode, r.Status), Theirs: true, Stage: mail.Rcpt})
			switch {
			case slices.Contains(words[r.Reason], c.Kind.Reason()):
				agreed++
			case r.Reason == "expired" && c.Kind.End() != AtUnknown && c.Kind != Unknown:
				realCause++ // the other reader names the clock, we what it ran out on
			case c.Kind == Unknown:
				silent++
				t.Logf("silent: %s %s %s: %.300s", o.File, r.Reason, r.Status, r.ReaderSays.DiagnosticCode)
			default:
				if c.Confidence == Sure {
					sureWrong++
				}
				t.Logf("differs: %s: %s, we say %s (%s): %s %s %.300s", o.File, r.Reason, c.Kind, c.Confidence, r.ReplyCode, r.Status, r.ReaderSays.DiagnosticCode)
			}
		}
	}
	t.Logf("%d of %d agree (%.0f%%), %d unknown, %d differ though sure; %d more name the trouble behind an expiry", agreed, total, 100*float64(agreed)/float64(total), silent, sureWrong, realCause)
	if agreed*100 < total*72 {
		t.Errorf("only %d of %d agree", agreed, total)
	}
}

// replyIn makes a reply of what the reader extracted.
func replyIn(text, code, status string) mail.Reply {
	r := mail.Reply{Text: text}
	r.Code, _ = strconv.Atoi(code)
	_ = r.Status.UnmarshalText([]byte(status))
	if r.Status.IsZero() && len(status) > 1 {
		_ = r.Status.UnmarshalText([]byte(status[:1] + ".0.0"))
	}
	if r.Code == 0 && status != "" {
		r.Code = int(status[0]-'0')*100 + 50
	}
	return r
}

package explain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/cause"
)

const corpus = "../../shared/corpora/bounces/"

// opinion is what an independent reader says of a real bounce.
type opinion struct {
	File, Family string
	Recipients   []struct {
		Recipient, Status, Reason string
		ReplyCode                 string                  `json:"reply_code"`
		ReaderSays                struct{ Action string } `json:"reader_says"`
	}
}

func opinions(t testing.TB) []opinion {
	t.Helper()
	b, err := os.ReadFile(corpus + "expected.json")
	if err != nil {
		t.Skipf("the corpus of bounces is not here: %v", err)
	}
	var all []opinion
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func explainFile(t testing.TB, name string) Report {
	t.Helper()
	b, err := os.ReadFile(corpus + "mails/" + name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Explain(bytes.NewReader(b), Options{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return r
}

// readerWords maps the independent reader's words to ours.
func readerWords(t testing.TB) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(corpus + "reasons.txt")
	if err != nil {
		t.Skipf("the corpus of bounces is not here: %v", err)
	}
	m := map[string][]string{"": nil}
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

// exceptions are the opinions that the file itself contradicts, or that differ
// among themselves: what is excepted, and the line that shows it.
var exceptions = map[string]struct{ what, why string }{
	"arf-24.eml":                   {"recipient", `line 28 names the recipient, "X-HmXmrOriginalRecipient"; the reader finds none`},
	"lhost-amavis-03.eml":          {"reason", `line 63, "Reject, id=… - SPAM": taken for spam; the reader calls it a fault of form`},
	"lhost-dragonfly-18.eml":       {"reason", `line 17, "Policy violation" is policy; the reader calls it security`},
	"lhost-exim-03.eml":            {"reason", `line 26, "Header error" is a fault of form; the reader calls it policy`},
	"lhost-exim-38.eml":            {"kind", `line 15, "has not yet been delivered": a delay; the reader says failed`},
	"lhost-exim-41.eml":            {"kind", `as lhost-exim-38.eml`},
	"lhost-exim-56.eml":            {"reason", `line 24, "You've reached your daily relay quota" limits the rate; the reader says blocked`},
	"lhost-googleworkspace-01.eml": {"recipient", `line 74, X-Failed-Recipients names another than the To of the returned message, which the reader takes`},
	"lhost-office365-08.eml":       {"reason", `line 184, the last error: "Connection refused"; the reader names the clock`},
	"lhost-opensmtpd-12.eml":       {"kind", `line 42, "Action: delayed"; the reader says failed`},
	"lhost-opensmtpd-13.eml":       {"kind", `as lhost-opensmtpd-12.eml`},
	"lhost-postfix-74.eml":         {"reason", `line 56, [TSS04]: about the sending address, as the reader says of lhost-qmail-19.eml; here it says that the sender was refused`},
	"lhost-receivingses-03.eml":    {"reason", `line 43, "450 4.0.0 Temporary failure" tells nothing; ours is a guess`},
	"lhost-receivingses-07.eml":    {"reason", `line 43, "Message Filtered": a rule looked at the message; the reader says unknown user`},
	"lhost-sendmail-21.eml":        {"reason", `line 32, "Connection refused": nobody spoke, so nobody blocked`},
	"lhost-sendmail-38.eml":        {"reason", `line 43, "message content rejected" says content, not spam`},
	"lhost-sendmail-54.eml":        {"reason", `line 19, the last error: "Connection refused"; the reader names the clock`},
	"lhost-v5sendmail-05.eml":      {"reason", `line 18, "Your E-Mail is redundant" is none of the kinds; ours is unknown`},
	"lhost-x2-05.eml":              {"reason", `line 25, the last error: "Resources temporarily unavailable"; the reader names the clock`},
	"rfc3464-01.eml":               {"reason recipient code status", `line 33, "550 5.1.1 … User Unknown", against "Not enough disk space" in the words; and the reader finds a second recipient without a name`},
	"rfc3464-07.eml":               {"reason", `line 55, "Status: 4.4.0", and no word why; the reader names the clock of a message that is still tried`},
	"rhost-aol-06.eml":             {"reason", `line 69, "Malformed or unexpected name server reply": trouble with the DNS, as the reader says of lhost-postfix-17.eml`},
	"rhost-franceptt-12.eml":       {"reason", `line 58, "Client host rejected" is about the sending host`},
	"rhost-gsuite-13.eml":          {"reason", `line 100, "had no relevant answers": the domain exists and names no mail server; the reader calls it the network`},
	"rhost-nttdocomo-02.eml":       {"reason", `line 53, "550 Unknown user", where the reader says of rhost-nttdocomo-01.eml what it says`},
	"rhost-nttdocomo-03.eml":       {"reason", `as rhost-nttdocomo-02.eml`},
	"rhost-yahooinc-02.eml":        {"reason", `as lhost-postfix-74.eml`},
}

// excused reports whether the opinion on one thing is an exception.
func excused(file, what string) bool {
	return slices.Contains(strings.Fields(exceptions[file].what), what)
}

// tally counts for one family, or for all.
type tally struct {
	total, rcpt, code, status, reason, kind, software, unsure, sureWrong int
	excused                                                              map[string]int
	used                                                                 []string // exceptions: file and what
}

// TestScore measures what is read of real bounces against the opinion of an
// independent reader, family by family.
func TestScore(t *testing.T) {
	words := readerWords(t)
	only := os.Getenv("SCORE_FILES") // a file with names, to measure a part
	var part []string
	if only != "" {
		b, err := os.ReadFile(only)
		if err != nil {
			t.Fatal(err)
		}
		part = strings.Fields(string(b))
	}
	by := map[string]*tally{}
	all := &tally{}
	var wrong []string
	for _, o := range opinions(t) {
		if part != nil && !slices.Contains(part, o.File) {
			continue
		}
		r := explainFile(t, o.File)
		if by[o.Family] == nil {
			by[o.Family] = &tally{}
		}
		wrong = append(wrong, compare(o, r, words, all, by[o.Family])...)
	}
	families := make([]string, 0, len(by))
	for f := range by {
		families = append(families, f)
	}
	slices.Sort(families)
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-24s %5s %5s %5s %6s %6s %5s %4s %6s %6s\n", "family", "all", "rcpt", "code", "status", "reason", "kind", "soft", "unsure", "surely wrong")
	for _, f := range append(families, "all") {
		c := by[f]
		if f == "all" {
			c = all
		}
		fmt.Fprintf(&b, "%-24s %5d %5d %5d %6d %6d %5d %4d %6d %6d\n", f, c.total, c.rcpt, c.code, c.status, c.reason, c.kind, c.software, c.unsure, c.sureWrong)
	}
	t.Log(b.String())
	for _, w := range wrong {
		t.Log(w)
	}
	if part != nil {
		return
	}
	for file, e := range exceptions {
		for what := range strings.FieldsSeq(e.what) {
			if !slices.Contains(all.used, file+" "+what) {
				t.Errorf("%s: %s: this exception is not needed", file, what)
			}
		}
	}
	// As the reader sees it, its slips included.
	floor(t, "recipient, raw", all.rcpt, all.total, 985)
	floor(t, "code, raw", all.code, all.total, 990)
	floor(t, "reason, raw", all.reason, all.total, 920)
	floor(t, "kind, raw", all.kind, all.total, 980)
	// With the exceptions above.
	floor(t, "recipient", all.rcpt+all.excused["recipient"], all.total, 990)
	floor(t, "code", all.code+all.excused["code"], all.total, 990)
	floor(t, "status", all.status+all.excused["status"], all.total, 990)
	floor(t, "reason", all.reason+all.excused["reason"], all.total, 950)
	floor(t, "kind", all.kind+all.excused["kind"], all.total, 950)
	if all.sureWrong > 0 {
		t.Errorf("%d surely wrong", all.sureWrong)
	}
}

// floor demands a share, in thousandths.
func floor(t *testing.T, what string, n, of, least int) {
	t.Helper()
	t.Logf("%-16s %d of %d, %.1f %%", what, n, of, 100*float64(n)/float64(of))
	if n*1000 < of*least {
		t.Errorf("%s: %d of %d", what, n, of)
	}
}

// compare holds a report against an opinion, and lists what differs.
func compare(o opinion, r Report, words map[string][]string, sums ...*tally) []string {
	var wrong []string
	used := make([]bool, len(r.Recipients))
	for _, want := range o.Recipients {
		addr := want.Recipient
		if strings.HasSuffix(addr, ".invalid") {
			addr = ""
		}
		k := slices.IndexFunc(r.Recipients, func(f Finding) bool { return strings.EqualFold(f.Recipient, addr) })
		for i, f := range r.Recipients {
			if strings.EqualFold(f.Recipient, addr) && !used[i] {
				k = i
				break
			}
		}
		got := Finding{}
		if k >= 0 {
			got = r.Recipients[k]
			used[k] = true
		} else if len(o.Recipients) == 1 && len(r.Recipients) == 1 {
			got = r.Recipients[0]
		}
		okR := k >= 0
		okC := want.ReplyCode == "" || want.ReplyCode == got.Code
		okS := fits(want.Status, got.Status)
		okW := want.Reason == "" || slices.Contains(words[want.Reason], got.Reason)
		okK := kindFits(want.Reason, want.ReaderSays.Action, r.Kind)
		for _, s := range sums {
			s.total++
			add(&s.rcpt, okR)
			add(&s.code, okC)
			add(&s.status, okS)
			add(&s.reason, okW)
			add(&s.kind, okK)
			add(&s.software, got.GaveUp.Software != "")
			add(&s.unsure, got.Confidence < cause.Likely)
			add(&s.sureWrong, !okW && got.Confidence == cause.Sure)
			for what, ok := range map[string]bool{"recipient": okR, "code": okC, "status": okS, "reason": okW, "kind": okK} {
				if !ok && excused(o.File, what) {
					if s.excused == nil {
						s.excused = map[string]int{}
					}
					s.excused[what]++
					s.used = append(s.used, o.File+" "+what)
				}
			}
		}
		if okR && okC && okS && okW && okK {
			continue
		}
		var what []string
		for _, x := range []struct {
			ok        bool
			name      string
			want, got string
		}{{okR, "recipient", want.Recipient, got.Recipient}, {okC, "code", want.ReplyCode, got.Code}, {okS, "status", want.Status, got.Status},
			{okW, "reason", want.Reason, got.Reason + " (" + got.Cause.Kind.String() + ", " + got.Confidence.String() + ")"}, {okK, "kind", want.Reason + " " + want.ReaderSays.Action, string(r.Kind)}} {
			if !x.ok {
				what = append(what, fmt.Sprintf("%s: reader %q, we %q", x.name, x.want, x.got))
			}
		}
		if e, ok := exceptions[o.File]; ok {
			what = append(what, "excepted: "+e.why)
		}
		wrong = append(wrong, fmt.Sprintf("%s: %s | %d found | %s | %.220s", o.File, strings.Join(what, "; "), len(r.Recipients), got.Kind, got.Refused.Text))
	}
	if n := len(r.Recipients); n > len(o.Recipients) {
		wrong = append(wrong, fmt.Sprintf("%s: %d recipients where the reader has %d", o.File, n, len(o.Recipients)))
	}
	return wrong
}

func add(n *int, ok bool) {
	if ok {
		*n++
	}
}

// fits compares a status in which "?" stands for a number that nobody told.
func fits(want, got string) bool {
	if want == "" || strings.Contains(want, "?") {
		return true
	}
	return want == got
}

// kindFits compares what the message is.
func kindFits(reason, action string, k Kind) bool {
	switch {
	case reason == "feedback":
		return k == Feedback
	case reason == "vacation":
		return k == AutoReply
	case reason == "delivered":
		return k == Delivered || k == Relayed
	case action == "delayed":
		return k == Delay || k == Bounce
	case action == "failed":
		return k == Bounce
	}
	return true
}

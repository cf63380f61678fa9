package explain

import (
	"strings"

	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/custody"
)

// Postrider's own letters tell everything, in fields of their own and in the
// table of attempts; package notice writes them.

// ownCause reads "X-Postrider-Cause: refused (sure)".
func (f *facts) ownCause() (cause.Cause, bool) {
	x, ok := f.g.get("x-postrider-cause")
	if !ok {
		return cause.Cause{}, false
	}
	word, sure, _ := strings.Cut(x.value(), " ")
	var k cause.Kind
	var c Confidence
	if k.UnmarshalText([]byte(word)) != nil || c.UnmarshalText([]byte(strings.Trim(sure, "() "))) != nil {
		return cause.Cause{}, false
	}
	return cause.Explain(k, c), true
}

// ownEnd tells what ended it, where that is not the reply: an operator, or the
// sender's own limit.
func (v *view) ownEnd() (kind string, at line) {
	if !v.own() {
		return "", line{}
	}
	if x, ok := header(v.about).get("X-Postrider-Limit"); ok && strings.Contains(x.value(), "DELIVERBY") {
		return DeliverByExpired, line{x.line(), x.name + ": " + x.value()}
	}
	for _, l := range first(v.words, maxText) {
		if strings.HasPrefix(strings.TrimSpace(l.text), "Given up    by order of ") {
			return EndedByOrder, l
		}
	}
	return "", line{}
}

// ownAttempts finds the first attempt in the table, and whether one of them lost
// the answer to the whole message.
func (v *view) ownAttempts() (began when, at line, ambiguous bool) {
	if !v.own() {
		return began, at, false
	}
	table := false
	for _, l := range first(v.words, maxText) {
		t := strings.TrimSpace(l.text)
		switch {
		case t == "Every attempt":
			table = true
		case table && began.IsZero() && len(t) > 0 && digit(t[0]):
			began, at = date(head(t, 26)), l
		}
		ambiguous = ambiguous || table && strings.Contains(t, "(perhaps delivered)")
	}
	return began, at, ambiguous
}

// ownHeld reads "X-Postrider-Held: 30m; since Tue, 24 Nov 2026 04:03:11 +0000".
func (v *view) ownHeld() (held Seconds, since when, at line) {
	x, ok := header(v.about).get("X-Postrider-Held")
	if !ok || !v.own() {
		return 0, when{}, line{}
	}
	age, rest, _ := strings.Cut(x.value(), ";")
	d, err := custody.ParseAge(strings.TrimSpace(age))
	if err != nil {
		return 0, when{}, line{}
	}
	_, rest, _ = strings.Cut(rest, "since ")
	return Seconds(d), date(rest), line{x.line(), x.name + ": " + x.value()}
}

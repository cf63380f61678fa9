package explain

import (
	"strings"

	"github.com/postrider/postrider/mail"
)

// maxRecipients bounds the recipients that are told apart.
const maxRecipients = 2000

// group is the fields about the message, or about one recipient (RFC 3464 2.1).
type group []field

// get returns the first field of that name, which is in lower case.
func (g group) get(name string) (field, bool) { return header(g).get(name) }

// words returns the words of the first field of that name.
func (g group) words(name string) string {
	f, ok := g.get(name)
	if !ok {
		return ""
	}
	return f.value()
}

// statusFields are the fields of RFC 3464; true: about one recipient.
var statusFields = map[string]bool{
	"reporting-mta": false, "original-envelope-id": false, "dsn-gateway": false, "received-from-mta": false, "arrival-date": false,
	"original-recipient": true, "final-recipient": true, "action": true, "status": true, "remote-mta": true, "diagnostic-code": true,
	"last-attempt-date": true, "final-log-id": true, "will-retry-until": true, "x-actual-recipient": true,
}

// readStatus reads the fields of a delivery-status part. A group belongs to a
// recipient if one of its fields does; a group without a recipient of its own
// continues the one before it, since systems exist that put a blank line into
// the middle. Lines that are no fields are passed over.
func readStatus(ls []line) (about group, rcpts []group) {
	for len(ls) > 0 && len(rcpts) < maxRecipients {
		var g group
		g, ls = nextGroup(ls)
		for len(g) > 0 {
			var one group
			one, g = cutGroup(g)
			switch {
			case !one.ofRecipient():
				about = append(about, one...)
			case one.names() || len(rcpts) == 0:
				rcpts = append(rcpts, one)
			default:
				last := &rcpts[len(rcpts)-1]
				*last = append(*last, one...)
			}
		}
	}
	return about, rcpts
}

// nextGroup reads fields up to a blank line.
func nextGroup(ls []line) (g group, rest []line) {
	for i, l := range ls {
		t := strings.TrimRight(l.text, " \t")
		switch {
		case t == "":
			if len(g) > 0 {
				return g, ls[i+1:]
			}
		case t[0] == ' ' || t[0] == '\t':
			if len(g) > 0 {
				f := &g[len(g)-1]
				f.lines = append(f.lines, l)
			}
		default:
			name, words, ok := cutField(t)
			if ok && len(g) < maxFields {
				g = append(g, field{name, []line{{l.n, words}}})
			} else if len(g) > 0 && known(g[len(g)-1].name) && len(g[len(g)-1].lines) < maxWhy {
				f := &g[len(g)-1] // a folded line that lost its blank
				f.lines = append(f.lines, l)
			}
		}
	}
	return g, nil
}

func known(name string) bool {
	_, ok := statusFields[lower(name)]
	return ok
}

// cutGroup parts fields that a blank line should have parted: the fields about
// the message from those about a recipient, and two recipients.
func cutGroup(g group) (one, rest group) {
	seen := map[string]bool{}
	inRcpt := false
	for i, f := range g {
		name := lower(f.name)
		about, ok := statusFields[name]
		if !ok {
			continue
		}
		if inRcpt && (!about || seen[name] && (name == "final-recipient" || name == "original-recipient" && !seen["diagnostic-code"] || name == "action" && seen["final-recipient"])) {
			return g[:i], g[i:]
		}
		if about && !inRcpt && i > 0 && hasAbout(g[:i]) {
			return g[:i], g[i:]
		}
		inRcpt = inRcpt || about
		seen[name] = true
	}
	return g, nil
}

func hasAbout(g group) bool {
	for _, f := range g {
		if about, ok := statusFields[lower(f.name)]; ok && !about {
			return true
		}
	}
	return false
}

// ofRecipient reports whether a field of the group is about a recipient.
func (g group) ofRecipient() bool {
	for _, f := range g {
		if statusFields[lower(f.name)] {
			return true
		}
	}
	return false
}

// names reports whether the group names its recipient.
func (g group) names() bool {
	return header(g).has("Final-Recipient") || header(g).has("Original-Recipient")
}

// status reads the Status field: "5.0.0 (permanent failure)".
func (g group) status() (mail.Status, int) {
	f, ok := g.get("status")
	if !ok {
		return mail.Status{}, 0
	}
	st, ok := statusAt(strings.TrimSpace(f.value()))
	if !ok {
		st, _ = findStatus(f.value())
	}
	return st, f.line()
}

// typed splits "dns; mx.example.com".
func typed(s string) (kind, value string) {
	kind, value, ok := strings.Cut(s, ";")
	if !ok || strings.ContainsAny(strings.TrimSpace(kind), " @<:") {
		return "", strings.TrimSpace(s)
	}
	return lower(strings.TrimSpace(kind)), strings.TrimSpace(value)
}

// looseStatus finds fields of a report that stand among other lines: a frame
// that was lost, a report pasted into a letter. Fields that name neither a
// recipient nor what was said are some other system's notes.
func looseStatus(ls []line) []line {
	start, tells := -1, false
	for i, l := range ls {
		name, _, ok := cutField(l.text)
		if !ok || !known(name) {
			continue
		}
		switch lower(name) {
		case "status", "action":
			continue // other letters have such lines too
		case "final-recipient", "original-recipient", "diagnostic-code":
			tells = true
		}
		if start < 0 {
			start = i
		}
		if tells {
			break
		}
	}
	if !tells {
		return nil
	}
	for start > 0 { // fields of the same group
		n, _, ok := cutField(ls[start-1].text)
		if !ok || !known(n) && !hasFold(n, "x-") {
			break
		}
		start--
	}
	return ls[start:]
}

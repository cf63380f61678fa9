package explain

import (
	"slices"
	"strconv"
	"strings"

	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/mail"
)

// maxEvidence bounds the octets of a line that is cited.
const maxEvidence = 300

func clip(s string) string { return mail.Clean(strings.TrimSpace(s), maxEvidence) }

// emptyFinding has its lists, so that each is written as one.
func emptyFinding() Finding {
	return Finding{Hops: []Hop{}, Fix: []Fix{}, NotKnown: []string{}, Evidence: []Evidence{}, Warnings: []string{}}
}

// cite adds a line to the evidence, or what more it supports. The line stands as
// it was read; l.text is what it was made into, where it is not among the lines.
func (v *view) cite(f *Finding, l line, supports ...string) {
	if l.n == 0 || l.text == "" {
		return
	}
	if t, ok := v.lineAt(l.n); ok {
		l.text = t
	}
	for i := range f.Evidence {
		if f.Evidence[i].Line == l.n {
			for _, s := range supports {
				if !slices.Contains(f.Evidence[i].Supports, s) {
					f.Evidence[i].Supports = append(f.Evidence[i].Supports, s)
				}
			}
			return
		}
	}
	f.Evidence = append(f.Evidence, Evidence{l.n, clip(l.text), supports})
}

// lineAt returns a line of the words or fields, decoded.
func (v *view) lineAt(n int) (string, bool) {
	for _, ls := range [][]line{v.words, v.status} {
		i, ok := slices.BinarySearchFunc(ls, n, func(l line, n int) int { return l.n - n })
		if ok && !ls[i].blank() {
			return ls[i].text, true
		}
	}
	return "", false
}

// finding weighs the facts about one recipient and says what they come to.
func (v *view) finding(f *facts, k Kind, ts []stamp) Finding {
	out := emptyFinding()
	j := f.judge(k)
	if kind, at := v.ownEnd(); kind != "" && f.action == "failed" && f.said.code < 500 {
		j.kind, j.sure = kind, cause.Sure
		v.cite(&out, at, "kind")
	}
	t := v.clock(f, j, ts)
	out.Recipient, out.Cause, out.Kind = f.addr, j.cause, j.kind
	out.Reason = reason(j.cause)
	switch j.kind {
	case Arrived, HandedOn, Expanded:
		out.Reason = "delivered"
		out.Cause = cause.Cause{}
	}
	out.Confidence = min(j.sure, j.confidence())
	if f.sure < cause.Likely && f.addr != "" {
		out.Confidence = min(out.Confidence, cause.Likely)
	}
	out.Status, out.Code = f.numbers(j)
	out.GaveUp = v.gaveUp(t)
	out.Refused = v.refused(f, j)
	out.Contact = j.contact
	out.Clock = t.Clock
	out.Attempts = v.attempts(f)
	if t.attempt > 0 && out.Attempts.Told == nil {
		out.Attempts.Meaning = "not told; by the fixed schedule of this system the last one was number " + strconv.Itoa(t.attempt)
	}
	hs, warn := hops(ts, out.GaveUp.Host)
	out.Hops = append(out.Hops, hs...)
	out.Warnings = append(append(append(out.Warnings, v.warnings...), t.warnings...), warn...)
	if f.disputed.n > 0 {
		out.Confidence = min(out.Confidence, cause.Likely)
	}
	v.doubts(&out, f, j)
	out.advise(j, f)
	v.evidence(&out, f, j, t)
	out.Verdict = verdict(&out, j)
	return out
}

// confidence returns how sure the reason is.
func (j judged) confidence() Confidence {
	switch {
	case j.kind == Arrived || j.kind == HandedOn || j.kind == Expanded:
		return cause.Sure
	case j.cause.Kind == cause.Unknown:
		return cause.None
	}
	return j.cause.Confidence
}

// numbers returns the true status and code: those of the last real error, else
// those of the frame around it, else the field's.
func (f *facts) numbers(j judged) (status, code string) {
	st := f.said.status
	if st.IsZero() && f.said.code == 0 {
		st = f.outer.status
	}
	if st.IsZero() || st[1] == 0 && st[2] == 0 && st[0] == f.field[0] {
		st = f.field
	}
	n := f.said.code
	if n == 0 {
		n = f.outer.code
	}
	if f.frame.expired && f.outer.code != 0 && !f.outer.status.IsZero() && !j.spoke {
		// What the owner wrote of itself is all that there is.
		st, n = f.outer.status, f.outer.code
	}
	if n != 0 {
		code = strconv.Itoa(n)
	}
	return st.String(), code
}

// gaveUp says who ended it, or goes on.
func (v *view) gaveUp(t timed) Host {
	h := v.software
	h.Host = v.host
	if t.form != "" { // the report tells the family, the clock the form
		h.Software, h.Confidence = t.form, min(h.Confidence, cause.Likely)
	}
	if h.Confidence == cause.None && h.Host != "" {
		h.Confidence = cause.Likely
	}
	return h
}

// refused says who said no.
func (v *view) refused(f *facts, j judged) Refusal {
	r := Refusal{How: j.how, Confidence: cause.Likely}
	r.Host, r.IP = f.remote.name, f.remote.ip
	if h := f.said.host; r.Host == "" && r.IP == "" || r.IP == "" && (sameHost(h.name, r.Host) || h.name == "") {
		r.Host, r.IP = first2(r.Host, h.name), h.ip
	}
	if h := f.outer.host; r.Host == "" && r.IP == "" && !f.frame.expired {
		r.Host, r.IP = h.name, h.ip
	}
	switch j.kind {
	case Arrived, HandedOn, Expanded:
		return Refusal{Host: r.Host, IP: r.IP, How: byReply, Confidence: cause.Likely}
	}
	if j.how == notTold {
		r.Confidence = cause.None
		if !f.said.isZero() {
			r.Text, r.Confidence = clip(f.said.text), cause.Guess
		}
		return r
	}
	if j.spoke && r.Host == "" && r.IP == "" && strings.HasPrefix(v.software.Software, "exchange") {
		r.Host = v.host // without a Remote-MTA the reporter itself said it (RFC 3464 2.3.5)
	}
	if j.spoke && f.said.code != 0 {
		r.Code = strconv.Itoa(f.said.code)
	}
	r.Text = clip(f.said.text)
	if (r.Host != "" || r.IP != "") && (f.said.told || f.remote != (hostIP{})) && j.how != notTried {
		r.Confidence = cause.Sure
	}
	return r
}

func first2(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// attempts says what is told of the tries.
func (v *view) attempts(f *facts) Attempts {
	var a Attempts
	if f.frame.counted {
		n := f.frame.tries
		a.Told = &n
		a.Meaning = "tries"
		if strings.Contains(f.outer.text, "(delivery attempts: ") || strings.Contains(f.said.text, "(delivery attempts: ") {
			a.Meaning = "conversations in which a host deferred this recipient, not tries to connect"
		}
	}
	if x, ok := f.g.get("x-postrider-attempts"); ok {
		if n := number(strings.TrimSpace(x.value())); n >= 0 {
			a.Told, a.Meaning = &n, "tries: "+strings.TrimSpace(x.value())
		}
	}
	if a.Told == nil {
		for _, l := range first(v.words, 80) {
			low := strings.ToLower(head(l.text, 500))
			for _, w := range []string{"number of attempts made: ", "this condition occurred after "} {
				if i := strings.Index(low, w); i >= 0 {
					if n := number(low[i+len(w):]); n >= 0 {
						a.Told, a.Meaning = &n, "tries"
					}
				}
			}
		}
	}
	if !f.last.odd {
		a.Last = f.last.Time
	}
	if began, _, _ := v.ownAttempts(); !began.IsZero() {
		a.First = began.Time
	}
	return a
}

// doubts tells what contradicts itself.
func (v *view) doubts(out *Finding, f *facts, j judged) {
	if f.action == "failed" && f.field[0] == 4 && j.kind != EndedByOrder && !f.retried() {
		out.Warnings = append(out.Warnings, "The status is of the temporary class: nobody refused it for good, the owner's own limit ended it.")
	}
	if f.retried() {
		out.Warnings = append(out.Warnings, "The other side refused it for good; the server that had it took that for a trouble of the moment and tried on until its own limit.")
	}
	if f.said.code >= 500 && f.said.status[0] == 4 || f.said.code >= 400 && f.said.code < 500 && f.said.status[0] == 5 {
		out.Warnings = append(out.Warnings, "The code and the status are of different classes; the code is believed.")
	}
	if _, at, ambiguous := v.ownAttempts(); ambiguous {
		out.Warnings = append(out.Warnings, "The message may have arrived: once it was sent whole, and the answer was lost.")
		v.cite(out, at, "attempts")
	}
	if f.disputed.n > 0 {
		out.Warnings = append(out.Warnings, "The words for people tell another reason than the fields for programs, which are believed.")
		v.cite(out, f.disputed, "warnings")
	}
	if f.sure < cause.Likely && f.addr != "" {
		out.Warnings = append(out.Warnings, "The report does not name the recipient; it was taken from the message that came back.")
	}
}

// evidence cites the lines that the finding rests on.
func (v *view) evidence(out *Finding, f *facts, j judged, t timed) {
	v.cite(out, f.at, "recipient")
	if f.acted > 0 {
		a, _ := f.g.get("action")
		v.cite(out, line{f.acted, "Action: " + a.value()}, "kind")
	}
	v.cite(out, line{f.said.line, f.said.text}, "reason", "kind", "refused", "contact", "status")
	if f.frame.expired {
		v.cite(out, line{f.outer.line, f.outer.text}, "kind", "clock")
	}
	if f.fielded > 0 {
		v.cite(out, line{f.fielded, "Status: " + f.field.String()}, "status")
	}
	if f.remoteAt > 0 {
		r, _ := f.g.get("remote-mta")
		v.cite(out, line{f.remoteAt, "Remote-MTA: " + r.value()}, "refused")
	}
	v.cite(out, v.hostAt, "gave_up")
	if out.Clock.Held > 0 || out.Clock.Value > 0 {
		v.cite(out, t.startedAt, "clock")
		v.cite(out, t.endedAt, "clock")
		v.cite(out, t.toldAt, "clock")
	}
}

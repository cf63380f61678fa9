package explain

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/mail"
)

// Bounds of the evidence.
const (
	maxEvidence = 300 // octets of a line
	maxTraced   = 6   // trace lines
)

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

// lineAt returns a line of the words, or a field with its further lines, decoded.
func (v *view) lineAt(n int) (string, bool) {
	for k, ls := range [][]line{v.words, v.status} {
		i, ok := slices.BinarySearchFunc(ls, n, func(l line, n int) int { return l.n - n })
		if !ok || ls[i].blank() {
			continue
		}
		end := i + 1
		for k == 1 && end < len(ls) && end-i < maxWhy && folded(ls[end].text) {
			end++
		}
		return texts(ls[i:end]), true
	}
	return "", false
}

// folded reports a line that continues a field.
func folded(s string) bool { return s != "" && (s[0] == ' ' || s[0] == '\t') }

// finding weighs the facts about one recipient and says what they come to.
func (v *view) finding(f *facts, k Kind, ts []stamp) Finding {
	out := emptyFinding()
	f.foreign = organisation(v.host) != "" && organisation(v.host) != organisation(domainOf(f.addr))
	f.circled = f.remote == (hostIP{}) && f.said.host == (hostIP{}) && v.twice(ts)
	j := f.judge(k)
	if kind, at := v.ownEnd(); kind != "" && f.action == "failed" && f.said.code < 500 {
		j.kind, j.sure = kind, cause.Sure
		v.cite(&out, at, "kind")
	}
	t := v.clock(f, j, ts)
	f.perhapsUntried(&j, t.Clock)
	out.Recipient, out.Cause, out.Kind = f.addr, j.cause, j.kind
	out.Reason = reason(j.cause)
	switch j.kind {
	case Arrived, HandedOn, Expanded:
		out.Reason = "delivered"
		out.Cause = cause.Cause{}
	}
	out.Confidence = v.confidence(f, j)
	out.Status, out.Code = f.numbers(j)
	out.GaveUp = v.gaveUp(t)
	out.Refused = v.refused(f, j)
	out.Contact = j.contact
	out.Clock = t.Clock
	out.Attempts = v.attempts(f)
	if t.attempt > 0 && out.Attempts.Told == nil {
		out.Attempts.Meaning = v.say("attempts.derived", "number", strconv.Itoa(t.attempt))
	}
	hs, skewed := hops(ts, out.GaveUp.Host)
	out.Hops = append(out.Hops, hs...)
	out.GaveUp.Side = v.side(&out, f.original)
	out.Warnings = append(append(out.Warnings, v.warnings...), t.warnings...)
	if skewed {
		out.Warnings = append(out.Warnings, v.say("warn.skew"))
	}
	v.doubts(&out, f, j)
	v.advise(&out, j, f)
	v.evidence(&out, f, t, ts)
	out.Verdict = v.verdict(&out, j)
	return out
}

// twice reports that the reporter had the message last from itself.
func (v *view) twice(ts []stamp) bool {
	n := len(ts)
	return n > 1 && sameHost(ts[n-1].by, v.host) && sameHost(ts[n-2].by, v.host)
}

// moments is less than any system waits before it tries again.
const moments = 3 * time.Second

// perhapsUntried weighs Exim's "retry timeout exceeded", which counts from when the
// host first failed, for whatever message: this one may have been tried once, or
// not at all.
func (f *facts) perhapsUntried(j *judged, c Clock) {
	if j.kind != ExpiredUnknown || f.frame.system != "exim" {
		return
	}
	j.sure = min(j.sure, cause.Likely)
	if held := c.Ended.Sub(c.Started); !c.Started.IsZero() && held >= 0 && held < moments {
		j.kind, j.how = ExpiredUntried, notTried
	}
}

// confidence returns how sure kind and reason are, the less sure of the two.
func (v *view) confidence(f *facts, j judged) Confidence {
	c := min(j.sure, j.cause.Confidence)
	switch {
	case j.kind == Arrived || j.kind == HandedOn || j.kind == Expanded:
		c = j.sure
	case j.cause.Kind == cause.Unknown:
		return cause.None
	case j.cause.Kind == cause.Timeout, j.cause.Kind == cause.NoUTF8, f.frame.expired && j.contact == "none" && !v.own():
		c = min(c, cause.Likely) // the one word for it is a choice: see reason
	}
	if f.sure < cause.Likely && f.addr != "" || f.disputed.n > 0 {
		c = min(c, cause.Likely)
	}
	return c
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
	if st.IsZero() {
		st = f.outer.status
	}
	n := f.said.code
	if n == 0 {
		n = f.outer.code
	}
	if f.frame.expired && f.outer.code != 0 && !f.outer.status.IsZero() && !j.spoke {
		// What the owner wrote of itself is all that there is.
		st, n = f.outer.status, f.outer.code
	}
	if f.said.ours && f.field[1] != 0 && f.field[2] != 0 {
		st = f.field
	}
	if low := lower(f.said.text); f.said.ours && contains(low, selfWords) && !contains(low, halfReplies) {
		n = 0 // nobody said it
	}
	if n >= 400 || n > 0 && j.kind == Arrived {
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
	h := f.said.host
	if sameHost(h.name, v.host) {
		h = hostIP{} // the host that refused names its client
	}
	if r.Host == "" && r.IP == "" || r.IP == "" && (sameHost(h.name, r.Host) || h.name == "") {
		r.Host, r.IP = cmp.Or(r.Host, h.name), h.ip
	}
	if h := f.outer.host; r.Host == "" && r.IP == "" && !f.frame.expired {
		r.Host, r.IP = h.name, h.ip
	}
	switch j.kind {
	case Arrived, HandedOn, Expanded:
		return Refusal{Host: r.Host, IP: r.IP, How: byReply, Confidence: cause.Likely}
	}
	if j.how == itself {
		return Refusal{Host: v.host, How: itself, Text: clip(f.said.text), Confidence: cause.Likely}
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
	if f.said.ours {
		r.Confidence = cause.Guess
	} else if (r.Host != "" || r.IP != "") && (f.said.told || f.remote != (hostIP{})) && j.how != notTried {
		r.Confidence = cause.Sure
	}
	return r
}

// attempts says what is told of the tries.
func (v *view) attempts(f *facts) Attempts {
	var a Attempts
	if f.frame.counted {
		n := f.frame.tries
		a.Told = &n
		a.Meaning = v.say("attempts.tries")
		if strings.Contains(f.outer.text, "(delivery attempts: ") || strings.Contains(f.said.text, "(delivery attempts: ") {
			a.Meaning = v.say("attempts.conversations")
		}
	}
	if x, ok := f.g.get("x-postrider-attempts"); ok {
		if n := number(strings.TrimSpace(x.value())); n >= 0 {
			_, more, _ := strings.Cut(x.value(), ";")
			a.Told, a.Meaning = &n, v.say("attempts.own", "more", strings.TrimSpace(more))
		}
	}
	if a.Told == nil {
		for _, l := range first(v.words, 80) {
			low := strings.ToLower(head(l.text, 500))
			for _, w := range []string{"number of attempts made: ", "this condition occurred after "} {
				if i := strings.Index(low, w); i >= 0 {
					if n := number(low[i+len(w):]); n >= 0 {
						a.Told, a.Meaning = &n, v.say("attempts.tries")
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
		out.Warnings = append(out.Warnings, v.say("warn.temporary"))
	}
	if f.presumed {
		out.Warnings = append(out.Warnings, v.say("warn.presumed"))
	}
	if f.retried() {
		out.Warnings = append(out.Warnings, v.say("warn.retried"))
	}
	if f.said.code >= 500 && f.said.status[0] == 4 || f.said.code >= 400 && f.said.code < 500 && f.said.status[0] == 5 {
		out.Warnings = append(out.Warnings, v.say("warn.classes"))
	}
	if _, at, ambiguous := v.ownAttempts(); ambiguous {
		out.Warnings = append(out.Warnings, v.say("warn.ambiguous"))
		v.cite(out, at, "attempts")
	}
	if f.disputed.n > 0 {
		out.Warnings = append(out.Warnings, v.say("warn.disputed"))
		v.cite(out, f.disputed, "warnings")
	}
	if f.sure < cause.Likely && f.addr != "" {
		out.Warnings = append(out.Warnings, v.say("warn.recipient"))
	}
}

// evidence cites the lines that the finding rests on.
func (v *view) evidence(out *Finding, f *facts, t timed, ts []stamp) {
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
	for i := len(ts) - 1; i >= 0 && i >= len(ts)-maxTraced; i-- {
		v.cite(out, line{ts[i].line, ts[i].text}, "hops", "roles")
	}
	if out.Clock.Held > 0 || out.Clock.Value > 0 {
		v.cite(out, t.startedAt, "clock")
		v.cite(out, t.endedAt, "clock")
		v.cite(out, t.toldAt, "clock")
	}
}

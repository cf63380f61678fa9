package explain

import (
	"strings"

	"github.com/postrider/postrider/cause"
)

// maxHeld bounds the messages inside a message that are looked into.
const maxHeld = 10

// explain reads the text of a message.
func explain(text string, first int, cut bool, l *language) Report {
	w := &walker{language: l}
	ls := splitLines(text, first)
	if blankAll(ls) {
		return Report{Kind: NotABounce, Recipients: []Finding{}, Says: l.say("says.nothing")}
	}
	v, fs, k := examine(w, w.parse(skipEnvelope(ls), 0), 0)
	if cut {
		v.warnings = append(v.warnings, v.say("warn.long"))
	}
	return v.report(k, fs)
}

func blankAll(ls []line) bool {
	for _, l := range ls {
		if !l.blank() {
			return false
		}
	}
	return true
}

// examine sees a message as a report, and if it is none, what it holds: a report
// that somebody forwarded, attached or quoted.
func examine(w *walker, p *part, depth int) (*view, []facts, Kind) {
	v := see(w, p)
	fs := v.recipients()
	k := v.kind(fs)
	if v.status != nil && !v.loose || k == Feedback || v.receipt != nil || depth > 3 {
		return v, fs, k
	}
	if k != NotABounce && k != AutoReply && !v.passedOn() && (len(v.holds) == 0 || named(fs)) {
		return v, fs, k
	}
	for i, h := range v.holds {
		if i == maxHeld {
			break
		}
		in, infs, ink := examine(w, h.message(w), depth+1)
		if ink != NotABounce && (ink != AutoReply || k == NotABounce) {
			in.warnings = append(in.warnings, in.say("warn.inside"))
			return in, infs, ink
		}
	}
	if len(v.below) > 3 && !v.bare() {
		in, infs, ink := examine(w, w.parse(v.below, p.depth+1), depth+1)
		if ink != NotABounce && ink != AutoReply {
			in.warnings = append(in.warnings, in.say("warn.inside"))
			return in, infs, ink
		}
	}
	if ls, ok := unquoted(v.text); ok {
		in, infs, ink := examine(w, w.parse(skipEnvelope(ls), p.depth+1), depth+1)
		if ink != NotABounce && ink != AutoReply {
			in.warnings = append(in.warnings, in.say("warn.quoted"))
			return in, infs, ink
		}
	}
	return v, fs, k
}

// named reports whether the words name a recipient, so that the report is the
// letter's own. A filter may have wrapped another system's report, and then what
// it holds is no returned message.
func named(fs []facts) bool {
	for _, f := range fs {
		if f.sure > cause.Guess {
			return true
		}
	}
	return false
}

// passedOn reports a letter of a person around a report.
func (v *view) passedOn() bool {
	s := v.lowered("subject")
	for _, p := range []string{"fwd:", "fw:", "wg:", "tr:", "rv:"} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	if !strings.HasPrefix(s, "re:") && !strings.HasPrefix(s, "aw:") {
		return false
	}
	_, quotes := unquoted(v.text)
	return quotes || len(v.below) > 0 || len(v.holds) > 0
}

// report makes what the message tells of its parts.
func (v *view) report(k Kind, fs []facts) Report {
	r := Report{Kind: k, Recipients: []Finding{}}
	switch k {
	case NotABounce:
		r.Says = v.ordinary()
	case AutoReply:
		r.Says = v.say("says.answer")
		if v.receipt != nil {
			r.Says = v.say("says.receipt")
		}
		if f, ok := v.author(); ok {
			r.Recipients = append(r.Recipients, f)
		}
	case Feedback:
		r.Says = v.say("says.feedback")
		r.Recipients = v.complained()
	default:
		ts := trace(v.returned)
		v.host, v.hostAt = v.reporter(ts)
		v.recognize(fs, ts)
		for i := range fs {
			r.Recipients = append(r.Recipients, v.finding(&fs[i], k, ts))
		}
		v.mixed(r.Recipients)
		if len(fs) == 0 {
			r.Says = v.say("says.nobody")
			r.Recipients = append(r.Recipients, v.finding(&facts{}, k, ts))
		}
	}
	return r
}

func (v *view) ordinary() string {
	switch {
	case v.bare():
		return v.say("says.lines")
	case len(v.holds) > 0:
		return v.say("says.holds")
	}
	return v.say("says.ordinary")
}

// author makes the finding of an answer: who sent it.
func (v *view) author() (Finding, bool) {
	f, ok := v.letter.head.get("From")
	if v.receipt != nil {
		if r, has := header(receiptFields(v.receipt)).get("Final-Recipient"); has {
			f, ok = r, true
		}
	}
	if !ok {
		return Finding{}, false
	}
	a := addressOf(decodeWords(f.value()))
	out := emptyFinding()
	out.Recipient, out.Reason, out.Kind, out.Confidence = a, "auto-reply", NoBounce, cause.Likely
	out.Verdict = v.say("verdict.answered", "author", a)
	out.DoNow = v.say("do.answered")
	v.cite(&out, line{f.line(), f.name + ": " + f.value()}, "recipient")
	for _, n := range []string{"Auto-Submitted", "X-Auto-Response-Suppress", "Precedence", "Subject"} {
		if s, ok := v.letter.head.get(n); ok {
			v.cite(&out, line{s.line(), n + ": " + s.value()}, "kind")
			break
		}
	}
	return out, true
}

func receiptFields(ls []line) group {
	g, _ := nextGroup(ls)
	return g
}

// complained makes the findings of a feedback report: whose mail it was.
func (v *view) complained() []Finding {
	g, _ := nextGroup(v.feedback)
	out := []Finding{}
	add := func(a string, l line, c Confidence) {
		f := emptyFinding()
		f.Recipient, f.Reason, f.Kind, f.Confidence = a, "feedback", NoBounce, c
		f.Verdict = v.say("verdict.complained")
		f.DoNow = v.say("do.complained")
		v.cite(&f, l, "recipient", "kind")
		out = append(out, f)
	}
	for _, name := range []string{"Original-Rcpt-To", "Removal-Recipient", "Redacted-Address"} {
		for _, f := range g {
			if !strings.EqualFold(f.name, name) || len(out) >= maxRecipients {
				continue
			}
			if as := addresses(f.value()); len(as) > 0 {
				add(as[0], line{f.line(), f.name + ": " + f.value()}, cause.Sure)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	if to := v.returnedTo(); len(to) > 0 {
		add(to[0], v.toLine(to[0]), cause.Likely)
		return out
	}
	if f, ok := v.letter.head.get("From"); ok && v.feedback == nil {
		add(addressOf(decodeWords(f.value())), line{f.line(), "From: " + f.value()}, cause.Likely)
		return out
	}
	n := 0
	if len(v.feedback) > 0 {
		n = v.feedback[0].n
	}
	add("", line{n, texts(first(v.feedback, 3))}, cause.Likely)
	return out
}

// mixed warns where one report tells different fates.
func (v *view) mixed(fs []Finding) {
	for i := range fs {
		if i > 0 && (fs[i].Kind != fs[0].Kind || fs[i].Reason != fs[0].Reason) {
			for k := range fs {
				fs[k].Warnings = append(fs[k].Warnings, v.say("warn.several"))
			}
			return
		}
	}
}

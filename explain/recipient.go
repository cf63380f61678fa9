package explain

import (
	"cmp"
	"slices"
	"strings"

	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/mail"
)

// ofWords finds the recipients of a report that has no fields for programs.
func (v *view) ofWords(es []entry, turns []turn) []facts {
	var out []facts
	for _, e := range v.plausible(es) {
		k := slices.IndexFunc(out, func(f facts) bool { return same(f.addr, e.addr) })
		if k < 0 {
			out = append(out, facts{addr: e.addr, at: line{e.line, e.addr}, sure: v.sureness(e)})
		}
	}
	if len(out) == 0 {
		out = v.fallback(es, turns)
	}
	if len(out) == 0 && v.bare() {
		out = append(out, facts{sure: cause.Guess})
	}
	for i := range out {
		f := &out[i]
		// What a host said in the transcript counts before what the reporter made of
		// it below.
		f.choose(f.told(es, false), f.quoted(turns, len(out)), f.told(es, true), v)
		if f.action = arrived(lower(f.said.text)); f.action != "" {
			continue
		}
		if f.said.isZero() && !f.frame.expired || f.said.code == 0 && f.said.cause().Kind == cause.Unknown {
			f.fromAll(v)
		}
	}
	return out
}

// arrived returns what words say that became of the message, where it arrived; in
// the words of RFC 3464.
func arrived(low string) string {
	switch {
	case strings.HasPrefix(low, "successfully delivered"), strings.HasPrefix(low, "delivered successfully"):
		return "delivered"
	case strings.HasPrefix(low, "expanded to multiple addresses"):
		return "expanded"
	case strings.HasPrefix(low, "relayed"):
		return "relayed"
	}
	return ""
}

func (v *view) sureness(e entry) Confidence {
	if v.isTo(e.addr) || e.rank == explained {
		return cause.Likely
	}
	return cause.Guess
}

// plausible keeps the entries that name recipients: not the sender, nor whom to
// ask.
func (v *view) plausible(es []entry) []entry {
	not := v.senders()
	keep := func(ok func(entry) bool) []entry {
		var out []entry
		for _, e := range es {
			if ok(e) && !contact(e) && !slices.ContainsFunc(not, func(a string) bool { return same(a, e.addr) }) {
				out = append(out, e)
			}
		}
		return out
	}
	out := keep(func(e entry) bool { return e.rank == explained })
	if len(out) == 0 {
		return keep(func(e entry) bool { return e.rank == listed })
	}
	// A list above, explained below for some.
	return append(out, keep(func(e entry) bool { return e.rank == listed && v.isTo(e.addr) })...)
}

// contact reports an address that readers are sent to.
func contact(e entry) bool {
	low := lower(e.addr)
	if hasFold(low, "mailer-daemon@") {
		return true
	}
	return e.rank < explained && (hasFold(low, "postmaster@") || hasFold(low, "support@") || hasFold(low, "abuse@"))
}

// senders are the addresses that stand for who sent the message.
func (v *view) senders() []string {
	out := addresses(v.letter.head.value("To"))
	for _, n := range []string{"Return-Path", "From", "Sender", "Reply-To", "Errors-To"} {
		if v.returned != nil {
			out = append(out, addresses(v.returned.value(n))...)
		}
	}
	return append(out, addresses(v.letter.head.value("From"))...)
}

// returnedTo returns the recipients that the returned message names: those of
// its To and Cc, and only without them those that hosts wrote down on the way.
func (v *view) returnedTo() []string {
	if v.to != nil {
		return v.to
	}
	v.to = []string{}
	for _, names := range [][]string{{"To"}, {"Cc"}, {"X-Original-To", "Envelope-To", "X-HmXmrOriginalRecipient", "Delivered-To"}} {
		for _, f := range v.returned {
			if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, f.name) }) {
				continue
			}
			for _, a := range addresses(f.value()) {
				if !slices.ContainsFunc(v.to, func(b string) bool { return same(a, b) }) && len(v.to) < maxRecipients {
					v.to = append(v.to, a)
				}
			}
		}
		if names[0] == "Cc" && len(v.to) > 0 {
			break
		}
	}
	return v.to
}

// isTo reports whether the returned message bears the address as one that it
// was going to.
func (v *view) isTo(a string) bool {
	if v.bears == nil {
		v.bears = map[string]bool{}
		for _, f := range v.returned {
			switch lower(f.name) {
			case "to", "cc", "bcc", "x-original-to", "envelope-to", "delivered-to", "resent-to", "apparently-to":
				for _, b := range addresses(f.value()) {
					v.bears[lower(b)] = true
				}
			case "received":
				if s, ok := stampOf(f); ok && s.rcpt != "" {
					v.bears[lower(s.rcpt)] = true
				}
			}
			if len(v.bears) > maxRecipients {
				break
			}
		}
	}
	return v.bears[lower(a)]
}

// fallback finds recipients where no line is an entry: by the first of these ways
// that finds any.
func (v *view) fallback(es []entry, turns []turn) []facts {
	not := v.senders()
	sender := func(a string) bool { return slices.ContainsFunc(not, func(b string) bool { return same(a, b) }) }
	for _, way := range []func(func(string, line, Confidence)){
		func(add func(string, line, Confidence)) { // whom the transcript refused
			for _, t := range turns {
				if t.rcpt != "" && (t.said.stage == mail.Rcpt || len(turns) == 1) {
					add(t.rcpt, line{t.said.line, t.said.text}, cause.Likely)
				}
			}
		},
		func(add func(string, line, Confidence)) { // whom both the words and the message name
			for _, m := range v.mentions() {
				if v.isTo(m.addr) && !sender(m.addr) {
					add(m.addr, line{m.line, m.addr}, cause.Likely)
				}
			}
		},
		v.failedField,
		func(add func(string, line, Confidence)) { // who writes to himself is both
			for _, e := range es {
				if e.rank == explained && !contact(e) && explains(e) {
					add(e.addr, line{e.line, e.addr}, cause.Likely)
				}
			}
		},
		func(add func(string, line, Confidence)) { // the first that a sentence names
			for _, m := range v.mentions() {
				if !sender(m.addr) && !contact(m) {
					add(m.addr, line{m.line, m.addr}, cause.Likely)
					return
				}
			}
		},
		func(add func(string, line, Confidence)) { // whom the message was to; if several, which is not told
			to := v.returnedTo()
			for _, a := range to {
				if len(to) == 1 || !sender(a) {
					add(a, v.toLine(a), cause.Guess)
					return
				}
			}
		},
		v.summary,
	} {
		var out []facts
		way(func(a string, l line, c Confidence) {
			if !slices.ContainsFunc(out, func(f facts) bool { return same(f.addr, a) }) && len(out) < maxRecipients {
				out = append(out, facts{addr: a, at: l, sure: c})
			}
		})
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// failedField finds the recipients in a field that systems put into the letter's
// header.
func (v *view) failedField(add func(string, line, Confidence)) {
	for _, f := range v.letter.head {
		switch lower(f.name) {
		case "x-failed-recipients", "x-failed-recipient", "x-bounced-address":
			for _, a := range addresses(f.value()) {
				add(a, line{f.line(), f.name + ": " + f.value()}, cause.Likely)
			}
		}
	}
}

// toLine finds the line of the returned header that names the address.
func (v *view) toLine(a string) line {
	for _, f := range v.returned {
		if lower(f.name) != "received" && strings.Contains(lower(f.value()), lower(a)) {
			return line{f.line(), f.name + ": " + f.value()}
		}
	}
	return line{}
}

// explains reports an entry that tells a reply or a reason.
func explains(e entry) bool {
	s := readSaid(texts(e.why))
	return s.code >= 400 || !s.status.IsZero() || s.cause().Confidence >= cause.Likely || unframe(s.text).expired
}

// summary finds the recipient in lines about the message, where nothing else of it
// came back: "  To: bob@example.com".
func (v *view) summary(add func(string, line, Confidence)) {
	for _, l := range v.words {
		t := strings.TrimSpace(l.text)
		if as := addresses(t); hasFold(t, "to:") && len(as) > 0 {
			add(as[0], l, cause.Guess)
			return
		}
	}
}

// fromAll takes over the reason out of all words, where none stands with the
// address.
func (f *facts) fromAll(v *view) {
	a := v.reasons()
	if a.frame.expired {
		if !f.frame.expired {
			f.frame, f.outer = a.frame, a.outer
		}
		f.frame.limit = cmp.Or(f.frame.limit, a.frame.limit)
	}
	if !a.said.isZero() && (f.said.isZero() || better(a.said, f.said)) {
		f.said = a.said
	}
}

// reasons is what all words come to, whoever they are about.
type reasons struct {
	said  said
	frame frame
	outer said
}

// reasons reads them once.
func (v *view) reasons() *reasons {
	if v.overall != nil {
		return v.overall
	}
	a := &reasons{}
	for _, para := range paragraphs(v.words) {
		s := readSaid(texts(para))
		s.line = para[0].n
		if s.code == 0 && s.status.IsZero() && strings.HasSuffix(s.text, ":") {
			continue // it only says what comes below
		}
		if fr := unframe(s.text); fr.expired {
			if !a.frame.expired {
				a.frame, a.outer = fr, s
			}
			a.frame.limit = cmp.Or(a.frame.limit, fr.limit)
		}
		if s = unwrap(s); !s.isZero() && (a.said.isZero() || better(s, a.said)) {
			a.said = s
		}
	}
	v.overall = a
	return a
}

// paragraphs parts lines at blank ones and at rules.
func paragraphs(ls []line) [][]line {
	var out [][]line
	start := 0
	for i := 0; i <= len(ls) && len(out) < 200; i++ {
		if i < len(ls) && !ls[i].blank() && !rule(strings.TrimSpace(ls[i].text)) {
			continue
		}
		if i > start {
			out = append(out, ls[start:i])
		}
		start = i + 1
	}
	return out
}

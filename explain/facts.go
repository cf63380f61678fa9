package explain

import (
	"strings"

	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/mail"
)

// facts is what a report tells of one recipient, before it is weighed.
type facts struct {
	addr            string
	original        string     // whom the author wrote to, from Original-Recipient
	at              line       // where the address stands
	sure            Confidence // that this is the recipient
	action          string     // in the words of RFC 3464; "" if not told
	acted           int        // where action stands
	field           mail.Status
	fielded         int
	remote          hostIP // from Remote-MTA
	remoteAt        int
	own             bool // the words are said to be the reporter's own
	program         bool // they are those of a program that files mail
	late            bool // the time that the sender set ran out
	presumed        bool // given up, though the report says that it goes on
	foreign         bool // its domain is another than the reporter's
	circled         bool // the reporter had the message from itself, and nobody else is named
	said            said // the last real error
	outer           said // the reporter's own frame around it
	frame           frame
	began           when // when it came, where a listing tells it
	last            when
	until           when
	lastAt, untilAt int
	g               group
	disputed        line   // words for people that tell another reason
	others          []said // what else was said for this recipient
}

// recipients returns what is told of each recipient.
func (v *view) recipients() []facts {
	if fs := v.listing(); len(fs) > 0 {
		return fs
	}
	es := entries(v.words)
	turns := transcript(v.words)
	if v.status != nil {
		v.about, v.groups = readStatus(v.status)
	}
	var out []facts
	for _, g := range v.groups {
		f := v.ofGroup(g, es, turns)
		if f.addr == "" && f.action == "" && f.field.IsZero() && f.said.isZero() && !f.frame.expired {
			continue
		}
		out = append(out, f)
	}
	if len(out) > 0 {
		return out
	}
	return v.ofWords(es, turns)
}

// ofGroup reads the fields about one recipient, and what the words add.
func (v *view) ofGroup(g group, es []entry, turns []turn) facts {
	f := facts{g: g, sure: cause.Sure}
	f.address(g, v)
	if o, ok := g.get("original-recipient"); ok {
		f.original = addressOf(o.value())
	}
	if x, ok := g.get("action"); ok {
		w, _, _ := strings.Cut(strings.TrimSpace(x.value()), " ")
		f.action, f.acted = lower(strings.Trim(w, ";,.")), x.line()
	}
	f.field, f.fielded = g.status()
	if r, ok := g.get("remote-mta"); ok {
		_, name := typed(r.value())
		f.remote, f.remoteAt = remoteHost(name), r.line()
	}
	if d, ok := g.get("last-attempt-date"); ok {
		f.last, f.lastAt = date(d.value()), d.line()
	}
	if d, ok := g.get("will-retry-until"); ok {
		f.until, f.untilAt = date(d.value()), d.line()
	}
	diag := f.saidOf(g)
	told := append(f.told(es, false), f.told(es, true)...)
	quoted := f.quoted(turns, len(v.groups))
	if len(v.groups) == 1 {
		quoted = append(quoted, remarks(v.words)...)
	}
	f.choose(diag, told, quoted, v)
	if len(v.groups) == 1 && len(told) == 0 {
		f.compare(v)
	}
	f.whose(turns)
	f.amend(v.asides())
	return f
}

// saidOf reads what the fields say was said.
func (f *facts) saidOf(g group) []said {
	d, ok := g.get("diagnostic-code")
	if !ok {
		return nil
	}
	kind, text := typed(d.value())
	f.own = strings.HasPrefix(kind, "x-") && kind != "x-unix"
	f.program = kind == "x-unix"
	if text == "" {
		return nil
	}
	s := readSaid(text)
	if kind == "smtp" && s.code == 0 && !unframe(text).expired {
		s = readReply(text)
	}
	s.line = d.line()
	return []said{s}
}

// amend corrects the action where the words say more than the field.
func (f *facts) amend(a *asides) {
	switch {
	case f.action == "delayed" && f.frame.system == "opensmtpd":
		f.action = "expired" // it writes the last report by the form of the warning
	case f.action == "delayed" && a.neverWarns:
		f.action, f.presumed = "expired", true
	case f.action == "delivered" && f.addr != "" && strings.Contains(a.relayed, lower(f.addr)):
		f.action = "relayed"
	}
	f.late = f.action != "delayed" && a.late
}

// asides are what the words say beside the recipients.
type asides struct {
	// late: the time ran out that the sender set.
	late bool
	// neverWarns: a letter of nullmailer, which knows no notice of delay. It writes
	// one letter, when it gives up, and says there of a temporary trouble that a
	// final one will come.
	neverWarns bool
	// relayed is the lines about hosts that took the message and send no reports.
	// Exim calls that delivered in the field for programs.
	relayed string
	// frame is an expiry of the whole message, told in outer.
	frame frame
	outer said
}

// asides reads them once.
func (v *view) asides() *asides {
	if v.beside != nil {
		return v.beside
	}
	a := &asides{neverWarns: strings.Contains(lower(texts(first(v.words, 5))), "this is the nullmailer delivery system")}
	var b strings.Builder
	for _, l := range first(v.words, maxText) {
		low := lower(head(l.text, maxLine))
		a.late = a.late || outOfTime(low)
		if !a.frame.expired && contains(low, general) {
			a.frame, a.outer = unframe(l.text), said{text: l.text, line: l.n}
			a.frame.inner = ""
		}
		if b.Len() < maxMarked && strings.Contains(low, "relayed to non-dsn-aware mailer") {
			b.WriteString(low + "\n")
		}
	}
	a.relayed = b.String()
	v.beside = a
	return a
}

// general are the words of an expiry that stand for all recipients: "Message could
// not be delivered for 5 days".
var general = []string{"message could not be delivered for", "cannot send message for", "queue too long"}

// address finds the recipient that the fields name.
func (f *facts) address(g group, v *view) {
	for _, name := range []string{"final-recipient", "original-recipient", "x-actual-recipient"} {
		r, ok := g.get(name)
		if !ok {
			continue
		}
		a := addressOf(r.value())
		if strings.HasPrefix(lower(r.value()), "utf-8;") {
			a = uniText(a)
		}
		if a == "" || f.addr != "" && !strings.Contains(a, "@") {
			continue
		}
		if f.addr == "" || !strings.Contains(f.addr, "@") {
			f.addr, f.at = a, line{r.line(), r.name + ": " + r.value()}
		}
		if strings.Contains(f.addr, "@") {
			return
		}
	}
	if !strings.Contains(f.addr, "@") { // a file, a program, or nothing
		for _, x := range v.letter.head {
			if !strings.EqualFold(x.name, "X-Failed-Recipients") {
				continue
			}
			if as := addresses(x.value()); len(as) == 1 {
				f.addr, f.at, f.sure = as[0], line{x.line(), x.name + ": " + x.value()}, cause.Likely
				return
			}
		}
	}
	if f.addr == "" {
		f.sure = cause.Guess
		if to := v.returnedTo(); len(to) == 1 {
			f.addr = to[0]
		}
		return
	}
	f.sure = cause.Likely
}

// uniText decodes the \x{…} of RFC 6533 3.
func uniText(s string) string {
	for range 100 {
		head, rest, ok := strings.Cut(s, `\x{`)
		if !ok {
			return s
		}
		n, tail, ok := strings.Cut(rest, "}")
		r := rune(0)
		for _, c := range []byte(n) {
			d, isHex := hex(string(c), 0)
			if !isHex || len(n) > 6 {
				return s
			}
			r = r<<4 | rune(d)
		}
		if !ok || r < 0x20 {
			return s
		}
		s = head + string(r) + tail
	}
	return s
}

// remoteHost reads the value of a Remote-MTA field.
func remoteHost(s string) hostIP {
	s = strings.TrimSpace(strings.Trim(s, "<>"))
	if h := hostIn(s); h.ip != "" {
		return h
	}
	w, _, _ := strings.Cut(s, " ")
	w = lower(strings.Trim(w, "[]().,"))
	if looksIP(w) {
		return hostIP{"", w}
	}
	if w == "" || !hostName(w) && w != "localhost" && strings.Contains(w, "@") {
		return hostIP{}
	}
	return hostIP{w, ""}
}

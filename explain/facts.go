package explain

import (
	"strings"

	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/mail"
)

// facts is what a report tells of one recipient, before it is weighed.
type facts struct {
	addr            string
	at              line       // where the address stands
	sure            Confidence // that this is the recipient
	action          string     // in the words of RFC 3464; "" if not told
	acted           int        // where action stands
	field           mail.Status
	fielded         int
	remote          hostIP // from Remote-MTA
	remoteAt        int
	own             bool // the words are said to be the reporter's own
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
	if a, ok := g.get("action"); ok {
		w, _, _ := strings.Cut(strings.TrimSpace(a.value()), " ")
		f.action, f.acted = lower(strings.Trim(w, ";,.")), a.line()
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
	var diag []said
	if d, ok := g.get("diagnostic-code"); ok {
		kind, text := typed(d.value())
		f.own = strings.HasPrefix(kind, "x-") && kind != "x-unix"
		if text != "" {
			s := readSaid(text)
			s.line = d.line()
			diag = append(diag, s)
		}
	}
	told := append(f.told(es, false), f.told(es, true)...)
	f.choose(diag, told, f.quoted(turns, len(v.groups)), v)
	if len(v.groups) == 1 && len(told) == 0 {
		f.compare(v)
	}
	return f
}

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

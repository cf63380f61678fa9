package explain

import (
	"slices"
	"strconv"
	"strings"

	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/mail"
)

// told returns what the words for people say of the recipient; of entries that
// are lines of a transcript, or of those that are none.
func (f *facts) told(es []entry, transcribed bool) []said {
	var out []said
	for _, e := range es {
		if e.transcribed != transcribed || !same(e.addr, f.addr) && (f.original == "" || !same(e.addr, f.original)) && (e.from == "" || !same(e.from, f.addr)) {
			continue
		}
		out = append(out, e.says()...)
	}
	return out
}

// says reads what stands with an address, once for all entries that share it.
func (e entry) says() []said {
	if *e.read == nil {
		*e.read = parted(e.why)
	}
	return *e.read
}

// parted parts what stands with an address: a system that gives up says so on one
// line, and the last error of the host on the next.
func parted(why []line) []said {
	out := []said{}
	from := 0
	for i := 1; i <= len(why); i++ {
		if i < len(why) && !begins(why[i].text) {
			continue
		}
		text := texts(why[from:i])
		if hasFold(text, "(reason:") {
			text = strings.TrimSuffix(text, ")") // sendmail's brackets, no part of what was said
		}
		s := readSaid(text)
		s.line = why[from].n
		out = append(out, s)
		from = i
	}
	return out
}

// begins reports a line that starts something said anew, as Exchange does.
func begins(s string) bool {
	low := lower(head(s, 200))
	return strings.Contains(low, " returned '") || strings.HasPrefix(low, "remote server returned") || strings.HasPrefix(low, "remote server at") || strings.HasPrefix(low, "(reason:") || strings.HasPrefix(low, "diagnostic-code:")
}

// quoted returns the replies that a transcript holds for the recipient, or, if
// it is the only one, for nobody by name.
func (f *facts) quoted(turns []turn, recipients int) []said {
	var out []said
	addr := lower(f.addr)
	for _, t := range turns {
		if t.rcpt != "" && same(t.rcpt, addr) || t.rcpt == "" && recipients > 1 && inDomain(t.said.host.name, domainOf(addr)) || slices.Contains(t.named, addr) {
			out = append(out, t.said)
		}
	}
	if len(out) > 0 || recipients > 1 {
		return out
	}
	for _, t := range turns {
		out = append(out, t.said)
	}
	return out
}

// inDomain reports whether a host is a domain, or in it.
func inDomain(host, domain string) bool {
	rest, ok := strings.CutSuffix(host, domain)
	return ok && domain != "" && (rest == "" || strings.HasSuffix(rest, "."))
}

// choose weighs what was said: the field for programs before the words, the
// words before the transcript, each only as far as it says anything.
func (f *facts) choose(diag, told, quoted []said, v *view) {
	all := append(append(append([]said{}, diag...), told...), quoted...)
	for _, s := range all {
		if f.frame.expired {
			break
		}
		if fr := unframe(s.text); fr.expired || fr.counted {
			was := f.frame
			f.frame, f.outer = fr, s
			if !fr.counted {
				f.frame.counted, f.frame.tries = was.counted, was.tries
			}
		}
	}
	if !f.frame.expired {
		f.generalFrame(v)
	}
	for _, s := range all {
		s = unwrap(s)
		if s.isZero() {
			continue
		}
		if f.said.isZero() || better(s, f.said) {
			f.said = s
		}
		f.others = append(f.others, s)
	}
	for _, s := range f.others {
		if s.code == f.said.code && s.code != 0 && len(s.words) > len(f.said.words) && strings.HasPrefix(s.words, head(f.said.words, 60)) {
			f.said = f.said.anew()
			f.said.words = s.words
			if f.said.stage == mail.NoStage {
				f.said.stage = s.stage
			}
		}
		if f.said.stage == mail.NoStage && s.stage != mail.NoStage && s.code != 0 && s.code == f.said.code {
			f.said = f.said.anew()
			f.said.stage = s.stage
		}
		if f.said.host == (hostIP{}) && f.remote == (hostIP{}) {
			f.said.host, f.said.told = s.host, s.told || f.said.told
		}
	}
}

// whose settles whose words the last error is: what a host is quoted with is its
// own, whatever the words.
func (f *facts) whose(turns []turn) {
	for _, o := range f.others {
		if o.told && o.code == f.said.code && o.code != 0 {
			f.said.ours = false
			return
		}
	}
	if f.program && f.said.code != 0 && len(turns) == 0 && f.remote == (hostIP{}) {
		f.said.ours = true
	}
}

// heard returns the code that a host of the other side said; 0: none did.
func (f *facts) heard() int {
	if f.own || f.said.ours {
		return 0
	}
	return f.said.code
}

// generalFrame takes over the words of an expiry that stand for all recipients.
func (f *facts) generalFrame(v *view) {
	a := v.asides()
	switch f.action {
	case "delayed", "delivered", "relayed", "expanded":
	default:
		if a.frame.expired {
			f.frame, f.outer = a.frame, a.outer
		}
	}
}

// unwrap returns the real error inside what a system says when it gives up, and
// the zero value if nothing else is in it.
func unwrap(s said) said {
	fr := unframe(s.text)
	inner := fr.inner
	switch {
	case fr.expired && inner == "":
		return said{}
	case fr.expired || fr.counted && inner != "":
		r := readSaid(inner)
		r.line = s.line
		r = r.anew()
		if r.host == (hostIP{}) {
			r.host, r.told = s.host, s.told
		}
		if r.stage == mail.NoStage {
			r.stage = s.stage
		}
		return r
	}
	if q, ok := responded(s); ok { // Exchange quotes the host
		r := readSaid(q)
		r.line, r.told = s.line, true
		r.host, r.stage = s.host, s.stage
		if r.code != 0 {
			return r
		}
	}
	return s
}

// responded takes the reply out of Exchange's "Primary target IP address
// responded with: "421 4.2.1 Unable to connect."".
func responded(s said) (string, bool) {
	_, after, ok := strings.Cut(s.text, "responded with: \"")
	if !ok {
		_, after, ok = strings.Cut(s.text, "responded with: '")
	}
	if !ok {
		return "", false
	}
	for _, w := range []string{"\" Attempted", "\"\" The last endpoint", "\".\" The last endpoint"} {
		if i := strings.Index(after, w); i > 0 {
			after = after[:i]
		}
	}
	if s.code != 0 { // its own code stands before each line of the reply
		for _, sep := range []string{"-", " "} {
			after = strings.ReplaceAll(after, " "+strconv.Itoa(s.code)+sep+s.status.String()+" ", " ")
		}
	}
	return strings.TrimRight(after, "\"' ."), true
}

// compare holds what the fields say against the words for people, where these
// do not quote it.
func (f *facts) compare(v *view) {
	c := f.said.cause()
	if f.said.isZero() || c.Kind == cause.Unknown {
		if !f.frame.expired || f.said.isZero() {
			f.fromAll(v)
		}
		return
	}
	for _, para := range paragraphs(first(v.words, 60)) {
		s := readSaid(texts(para))
		if o := s.cause(); o.Confidence >= cause.Likely && o.Kind != cause.Expired && o.Kind.Reason() != c.Kind.Reason() && s.code == 0 && o.End != c.End {
			f.disputed = line{para[0].n, s.text}
			return
		}
	}
}

// better reports whether a tells more than b, which came first.
func better(a, b said) bool {
	weight := func(s said) int {
		n := 0
		if s.code >= 400 {
			n += 4
		}
		if c := s.cause(); c.Kind != cause.Unknown {
			n += 1 + int(c.Confidence)
		}
		return n
	}
	if b.code != 0 || !b.status.IsZero() {
		return b.code == 0 && a.code != 0 && (a.status == b.status || b.status.IsZero())
	}
	return weight(a) > weight(b)
}

// cause returns what was said means. It is worked out once: a value whose status,
// stage or words are changed needs a new place for it, see anew.
func (s said) cause() cause.Cause {
	if s.means != nil && s.means.Meaning != "" {
		return *s.means
	}
	r := mail.Reply{Code: s.code, Status: s.status, Text: s.words}
	if r.Code == 0 && !r.Status.IsZero() {
		r.Code = int(r.Status[0])*100 + 50 // the class alone counts
	}
	c := cause.Of(cause.Sign{Stage: s.stage, Reply: r, Theirs: true})
	if s.means != nil {
		*s.means = c
	}
	return c
}

// anew returns s with its meaning not yet worked out.
func (s said) anew() said {
	s.means = new(cause.Cause)
	return s
}

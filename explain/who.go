package explain

import (
	"cmp"
	"strings"

	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/system"
)

// maxMarked bounds the octets in which the marks of systems are looked for.
const maxMarked = 16 << 10

// recognize finds the system that wrote the report: by the name of its host where
// a service runs it, by its marks, by its own trace line, by its words for an
// expiry. Words alone are never sure: gateways keep the sentences of the system
// that they were made after.
func (v *view) recognize(fs []facts, ts []stamp) {
	if v.own() {
		v.software = Host{Software: "postrider", Confidence: cause.Sure}
		return
	}
	if v.software.Software != "" {
		return // a listing, a service's notice
	}
	owner := ownerOf(v.host)
	traced := v.traced(ts)
	text, words, status := v.marked()
	if ps := system.Recognize(text); len(ps) > 0 {
		p := ps[0]
		c := weigh(p, words, status)
		if p.Strong && (owner != "" && related(owner, p.System) || traced != "" && related(traced, p.System) || p.System == "sendmail" && v.shouts()) {
			c = cause.Sure
		}
		switch {
		case owner != "" && owner != p.System && !related(owner, p.System):
			v.software = Host{Software: owner, Confidence: cause.Likely}
		case c < cause.Sure && traced != "" && traced != p.System && !related(traced, p.System):
			v.software = Host{Software: traced, Confidence: cause.Likely}
		case strings.HasPrefix(p.System, "exchange") && strings.HasPrefix(traced, "exchange-"):
			v.software = Host{Software: traced, Confidence: c} // the trace line tells the version
		default:
			v.software = Host{Software: p.System, Confidence: c}
		}
		return
	}
	for _, f := range fs {
		if f.frame.system != "" {
			v.software = Host{Software: f.frame.system, Confidence: cause.Likely}
			return
		}
	}
	if s := cmp.Or(owner, traced); s != "" {
		v.software = Host{Software: s, Confidence: cause.Likely}
	}
}

// weigh says how far the marks of a system prove it. Those in the header and in
// the machine's part, which lie before words and from status on, prove more than
// words for people.
func weigh(p system.Proof, words, status int) cause.Confidence {
	c := cause.Guess
	if len(p.Marks) > 1 {
		c = cause.Likely
	}
	for _, m := range p.Marks {
		if m.At >= words && m.At < status || hasFold(m.Text, "subject:") {
			continue
		}
		c = max(c, cause.Likely)
		if p.Strong && len(p.Marks) > 1 {
			return cause.Sure
		}
	}
	return c
}

// shouts reports the upper case in which only sendmail writes the types of its
// fields.
func (v *view) shouts() bool {
	for _, g := range v.groups {
		if strings.HasPrefix(g.words("final-recipient"), "RFC822;") {
			return true
		}
	}
	return false
}

// related reports two names of which one may stand for the other.
func related(a, b string) bool {
	x, ok := system.Find(a)
	y, ok2 := system.Find(b)
	return a == b || ok && ok2 && x.Family == y.Family || strings.HasPrefix(a, "exchange") && strings.HasPrefix(b, "exchange")
}

// traced finds what software the reporter's own trace line names: in the
// returned message, or the one that the letter began with.
func (v *view) traced(ts []stamp) string {
	for i := len(ts) - 1; i >= 0; i-- {
		if sameHost(ts[i].by, v.host) {
			return ts[i].software
		}
	}
	h := v.letter.head
	for i := len(h) - 1; i >= 0; i-- {
		if strings.EqualFold(h[i].name, "Received") {
			if s, ok := stampOf(h[i]); ok && (sameHost(s.by, v.host) || !hostName(s.from)) {
				return s.software
			}
			return ""
		}
	}
	return ""
}

// owners are the services that run the hosts under a domain.
var owners = []struct{ domain, id string }{
	{"outlook.com", "exchange-online"}, {"exchangelabs.com", "exchange-online"}, {"hotmail.com", "ms-smtpsvc"}, {"googlemail.com", "gmail"}, {"google.com", "gmail"}, {"amazonses.com", "amazon-ses"}, {"amazonaws.com", "amazon-ses"},
	{"yahoo.com", "yahoo"}, {"yahoo.co.jp", "yahoo"}, {"yahoodns.net", "yahoo"}, {"yandex.net", "yandex"}, {"yandex.ru", "yandex"}, {"messagelabs.com", "symantec-cloud"}, {"mimecast.com", "mimecast"}, {"pphosted.com", "proofpoint-pps"}, {"ppe-hosted.com", "proofpoint-essentials"},
	{"iphmx.com", "ironport-asyncos"}, {"sendgrid.net", "sendgrid"}, {"mailgun.net", "mailgun"}, {"mailgun.org", "mailgun"}, {"zoho.com", "zoho"}, {"messagingengine.com", "fastmail"}, {"mtasv.net", "postmark"}, {"sparkpostmail.com", "sparkpost"}, {"icloud.com", "icloud"}, {"me.com", "icloud-2014"}, {"mx.aol.com", "aol"}, {"facebook.com", "facebook"},
}

// ownerOf returns the service that runs a host; "" if none is known.
func ownerOf(host string) string {
	for _, o := range owners {
		if host == o.domain || strings.HasSuffix(host, "."+o.domain) {
			return o.id
		}
	}
	return ""
}

// own reports a letter of postrider's.
func (v *view) own() bool { return header(v.about).has("X-Postrider-Message-ID") }

// marked is the text that bears the marks of the system that wrote the report:
// its words and fields, and those of the letter's header that no later host put
// in. What was received on the way back tells of others. It also returns where in
// it the words begin, and the fields for programs.
func (v *view) marked() (text string, words, status int) {
	var b strings.Builder
	h := v.letter.head
	last := -1
	for i, f := range h {
		if strings.EqualFold(f.name, "Received") {
			last = i
		}
	}
	for i, f := range h {
		low := lower(f.name)
		if i < last && low != "from" && low != "subject" && low != "content-type" && low != "x-failed-recipients" || foreign(low) {
			continue
		}
		b.WriteString(f.name)
		b.WriteString(": ")
		b.WriteString(head(f.value(), 500))
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	words = b.Len()
	for i, ls := range [][]line{v.words, v.status} {
		if i == 1 {
			status = b.Len()
		}
		for _, l := range ls {
			if b.Len()+len(l.text) > maxMarked*(i+1)/2 {
				break
			}
			b.WriteString(head(l.text, 1000))
			b.WriteByte('\n')
		}
		b.WriteByte('\n')
	}
	return b.String(), words, status
}

// foreign reports fields that hosts on the way back put at the end of a header.
func foreign(name string) bool {
	for _, p := range []string{"x-ms-exchange-crosstenant", "x-ms-exchange-organization", "x-ms-exchange-transport", "x-ms-exchange-processed", "x-ms-exchange-antispam", "x-ironport", "ironport-", "x-forefront", "x-microsoft", "authentication-results", "arc-", "dkim-", "received-spf", "x-spam", "x-virus", "x-amavis", "x-google", "x-gm-", "x-mimecast"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// generating finds the line of an Exchange report that names the server, in whatever
// language: a label and a host, and below it a recipient.
func (v *view) generating() (string, line) {
	ls := first(v.words, 200)
	for i, l := range ls {
		label, host, ok := strings.Cut(head(l.text, 300), ": ")
		host = lower(strings.TrimSpace(host))
		if !ok || len(label) < 4 || strings.Count(host, ".") < 2 || !hostName(host) {
			continue
		}
		for _, below := range ls[i+1 : min(i+3, len(ls))] {
			if fs := addressesIn(below.text); len(fs) == 1 && strings.Trim(below.text, " <>") == fs[0].addr {
				return host, l
			}
		}
	}
	return "", line{}
}

// hostMarks are the words in front of the name of the host that reports.
var hostMarks = []string{"generating server: ", "qmail-send program at ", "mail system at host ", "postfix program at host ", "mail delivery agent at ", "mail server on ", "the mail server at ", "smtp relay on ", "mail delivery system at ", "mail server at ", "queue on ", "james mail server at ", "mail agent v0.", "message from "}

// reporter finds the host that reports, and where it is told.
func (v *view) reporter(ts []stamp) (string, line) {
	if f, ok := header(v.about).get("Reporting-MTA"); ok {
		_, name := typed(f.value())
		name, _, _ = strings.Cut(strings.TrimSpace(name), " ")
		name = lower(strings.Trim(name, "<>[]()."))
		if name != "" {
			l := line{f.line(), f.name + ": " + f.value()}
			if n := len(ts); n > 0 && strings.HasSuffix(ts[n-1].by, "."+name) {
				return ts[n-1].by, l // it names its domain there, and itself in its trace line
			}
			return name, l
		}
	}
	for _, l := range first(v.words, 200) {
		low := lower(head(l.text, 500))
		for _, m := range hostMarks {
			i := strings.Index(low, m)
			if i < 0 {
				continue
			}
			rest := low[i+len(m):]
			if strings.HasSuffix(m, "v0.") {
				_, rest, _ = strings.Cut(rest, " at ")
			}
			w, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
			if w = strings.Trim(w, ".,;:<>()"); hostName(w) {
				return w, l
			}
		}
	}
	if host, l := v.generating(); host != "" {
		return host, l
	}
	h := v.letter.head
	var oldest field
	for _, f := range h {
		if strings.EqualFold(f.name, "Received") {
			oldest = f
		}
	}
	if oldest.name != "" {
		if s, ok := stampOf(oldest); ok {
			l := line{oldest.line(), "Received: " + oldest.value()}
			names := []string{s.from, s.helo}
			if !hostName(s.from) && s.helo == "" {
				names = append(names, s.by) // its own first line
			}
			for _, n := range names {
				if hostName(n) && n != "localhost.localdomain" {
					return n, l
				}
			}
		}
	}
	if f, ok := h.get("From"); ok {
		if as := addresses(f.value()); len(as) > 0 {
			_, d, _ := strings.Cut(as[0], "@")
			if hostName(d) {
				return lower(d), line{f.line(), "From: " + f.value()}
			}
		}
	}
	return "", line{}
}

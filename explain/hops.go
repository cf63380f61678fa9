package explain

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// maxHops bounds the trace lines that are read.
const maxHops = 60

// stamp is a trace line (RFC 5321 4.4).
type stamp struct {
	from, by, helo, software, rcpt string
	at                             when
	line                           int
	text                           string // as it stands, unfolded
}

// trace reads the trace lines of a header, the oldest first.
func trace(h header) []stamp {
	var out []stamp
	for _, f := range h {
		if !strings.EqualFold(f.name, "Received") {
			continue
		}
		if s, ok := stampOf(f); ok {
			out = append(out, s)
		}
		if len(out) == maxHops {
			break
		}
	}
	slices.Reverse(out)
	return out
}

func stampOf(f field) (stamp, bool) {
	v := head(f.value(), maxLine)
	s := stamp{line: f.line(), text: f.name + ": " + v}
	semi := strings.LastIndexByte(v, ';')
	if semi < 0 {
		return s, false
	}
	s.at = date(v[semi+1:])
	v = v[:semi]
	s.from = wordAfter(v, "from ")
	for _, w := range []string{"(EHLO ", "(HELO ", "helo="} {
		if h := wordAfter(v, w); s.helo == "" && h != "" {
			s.helo = h
		}
	}
	rest := " " + v
	for s.by == "" {
		var ok bool
		if _, rest, ok = strings.Cut(rest, " by "); !ok {
			break
		}
		w, tail, _ := strings.Cut(rest, " ")
		if w == "host" {
			w, _, _ = strings.Cut(tail, " ")
		}
		if w = lower(strings.Trim(w, "[]();,")); w != "uid" && w != "alias" {
			s.by = strings.Trim(w, ".")
		}
	}
	if fs := addressesIn(afterWord(v, " for ")); len(fs) > 0 {
		s.rcpt = fs[0].addr
	}
	s.software = madeBy(v)
	return s, !s.at.IsZero() || s.by != ""
}

func afterWord(s, w string) string {
	if _, rest, ok := strings.Cut(s, w); ok {
		return rest
	}
	return ""
}

func wordAfter(s, w string) string {
	rest := afterWord(s, w)
	if w == "from " && !hasFold(s, w) {
		return ""
	}
	word, _, _ := strings.Cut(rest, " ")
	return lower(strings.Trim(word, "[]().;,"))
}

// marks are the names by which software calls itself in trace lines, and the ID
// in package system where it has one.
var marks = []struct{ mark, id string }{
	{"(postfix", "postfix"}, {"with microsoft smtp server", "exchange"}, {"with microsoft smtpsvc", "ms-smtpsvc"}, {"(exim ", "exim"}, {"(opensmtpd", "opensmtpd"}, {"(qmail ", "qmail"}, {"with qmail", "qmail"}, {"(postrider", "postrider"}, {"(nullmailer", "nullmailer"},
	{"dragonfly mail agent", "dma"}, {"(haraka", "haraka"}, {"(james", "james"}, {"(hcl domino", "domino"}, {"lotus domino", "domino"}, {"ibm domino", "domino"}, {"by mx.google.com", "gmail"}, {"with internet mail service", "exchange-2003"}, {"amavisd", "amavis"}, {"mailscanner", "mailscanner"}, {"(/8.", "sendmail"}, {"/8.", "sendmail"}, {"(v8/cf)", "sendmail"}, {"interscan", "interscan"}, {"barracuda", "barracuda-esg"}, {"active!hunter", "active-hunter"}, {"(mos ", "mirapoint"}, {"(mailenable", "mailenable"}, {"mailenable esmtp", "mailenable"}, {"(icewarp", "icewarp"}, {"(kerio", "kerio"}, {"(ecelerity", "momentum"}, {"(powermta", "powermta"}, {"mail.protection.outlook.com", "exchange-online"}, {"messagelabs.com", "symantec-cloud"}, {"mimecast", "mimecast"}, {"pphosted.com", "proofpoint-pps"}, {"iphmx.com", "ironport-asyncos"}, {"mxlogic.net", "mxlogic"}, {"(zimbra", "zimbra"}, {"(mdaemon", "mdaemon"}, {"with courier", "courier"},
}

func madeBy(v string) string {
	low := lower(v)
	for _, m := range marks {
		if strings.Contains(low, m.mark) {
			return cmp.Or(edition(low, m.id), m.id)
		}
	}
	return ""
}

// editions are the versions by which Exchange's forms are told apart, as it writes
// them into trace lines: "with Microsoft SMTP Server id 15.0.775.38".
var editions = []struct{ version, id string }{
	{"8.", "exchange-2007"}, {"14.", "exchange-2010"}, {"15.0.", "exchange-2013"}, {"15.20.", "exchange-online"}, {"15.1.", "exchange-2016-2019-SE"}, {"15.2.", "exchange-2016-2019-SE"},
}

func edition(low, id string) string {
	_, version, ok := strings.Cut(low, " id ")
	if !ok || id != "exchange" {
		return ""
	}
	for _, e := range editions {
		if strings.HasPrefix(version, e.version) {
			return e.id
		}
	}
	return ""
}

// filters are what looks at mail and hands it on.
var filters = []string{"amavis", "mailscanner", "interscan", "barracuda-esg", "ironport-asyncos", "symantec-cloud", "mimecast", "proofpoint-pps", "mxlogic"}

// What a host on the way was. Whether one was a backup MX no trace line tells.
const (
	roleAuthor  = "author's host"
	roleRelay   = "relay"
	roleFilter  = "filter"
	roleForward = "forwarder"
	roleGaveUp  = "gave up"
)

// hops makes the way of the message to whom it came to last, and reports clocks
// that do not agree.
func hops(ts []stamp, reporter string) (out []Hop, skewed bool) {
	if len(ts) == 0 {
		return nil, false
	}
	author := ts[0].from
	apart := hostName(author) && !looksIP(author) && !hasFold(author, "localhost") && !sameHost(author, ts[0].by) && !sameHost(author, reporter)
	if apart {
		out = append(out, Hop{Host: author, Role: roleAuthor, Line: ts[0].line})
	}
	for i, s := range ts {
		h := Hop{Host: s.by, Software: s.software, Role: roleRelay, Line: s.line}
		if !s.at.odd {
			h.Accepted = s.at.Time
		}
		if h.Host == "" && i+1 == len(ts) {
			h.Host = reporter // qmail does not name itself
		}
		if h.Host == "" {
			h.Host = s.from
		}
		if i+1 < len(ts) && !ts[i+1].at.IsZero() && !h.Accepted.IsZero() && !ts[i+1].at.odd {
			if h.Handed = ts[i+1].at.Time; h.Handed.Before(h.Accepted) {
				h.Handed, skewed = time.Time{}, true
			} else {
				h.Held = Seconds(h.Handed.Sub(h.Accepted))
			}
		}
		switch {
		case i == 0 && len(ts) > 1 && !apart:
			h.Role = roleAuthor
		case slices.Contains(filters, s.software):
			h.Role = roleFilter
		case s.rcpt != "" && slices.ContainsFunc(ts[i+1:], func(t stamp) bool { return t.rcpt != "" && !same(t.rcpt, s.rcpt) }):
			h.Role = roleForward
		}
		out = append(out, h)
	}
	for i := len(out) - 1; i >= 0; i-- {
		if sameHost(out[i].Host, reporter) {
			out[i].Role = roleGaveUp
			break
		}
	}
	return out, skewed
}

// sameHost compares the names of hosts; a short name is the beginning of a long
// one.
func sameHost(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	return strings.EqualFold(a, b) || hasFold(a, lower(b)+".") || hasFold(b, lower(a)+".")
}

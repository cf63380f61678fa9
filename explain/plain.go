package explain

import "strings"

// entry is an address in the words of a report, and what is said of it there.
type entry struct {
	addr     string
	line     int
	from     string // the address it was made from by an alias or a list; ""
	why      []line
	read     *[]said // see says
	rank     rank
	indented int
	// transcribed: a line of a transcript, "550 5.1.1 <bob@example.com>... User unknown".
	transcribed bool
}

// rank says how plainly words call an address the recipient.
type rank uint8

const (
	mentioned rank = iota + 1 // in a sentence
	listed                    // on a line of its own
	explained                 // with what was said of it
)

// maxWhy bounds the lines that may belong to one entry.
const maxWhy = 60

// entries finds the recipients and reasons in the words of a report.
func entries(ls []line) []entry {
	var out []entry
	if len(ls) > maxText {
		ls = ls[:maxText]
	}
	for i := 0; i < len(ls) && len(out) < maxRecipients; i++ {
		e, rest, ok := lead(ls, i)
		if !ok {
			continue
		}
		e.why = collect(ls, i, e, rest)
		if i > 0 && e.transcribed && introduces(ls[i-1].text) {
			e.why = append([]line{ls[i-1]}, e.why...)
		}
		e.from = expanded(&e)
		e.rank, e.read = listed, new([]said)
		if len(e.why) > 0 {
			e.rank = explained
		}
		out = append(out, e)
	}
	share(out)
	return out
}

// introduces reports a line that names the host whose reply stands below it: "mx
// [192.0.2.1] did not like our RCPT TO:".
func introduces(s string) bool {
	s = strings.TrimSpace(head(s, maxLine))
	return strings.HasSuffix(s, ":") && hostIn(s).ip != ""
}

// share gives what is said below a list of addresses to all of them.
func share(es []entry) {
	for i := len(es) - 2; i >= 0; i-- {
		if len(es[i].why) == 0 && len(es[i+1].why) > 0 && es[i].line+1 == es[i+1].line && !single(es[i+1].why, es[i+1].line) {
			es[i].why, es[i].read, es[i].rank = es[i+1].why, es[i+1].read, explained
		}
	}
}

// single reports whether all was said on the address's own line.
func single(why []line, n int) bool { return why[0].n == n }

// lead reads a line that begins with an address, or with a word for it.
func lead(ls []line, i int) (e entry, rest string, ok bool) {
	full := head(ls[i].text, maxLine)
	if strings.IndexByte(full, '@') < 0 {
		return e, "", false
	}
	t := strings.TrimLeft(full, " \t")
	e.indented = len(full) - len(t)
	e.line = ls[i].n
	t = strings.TrimLeft(t, "*•·>- \t")
	if i := strings.Index(t, "SMTP="); i >= 0 && i < strings.IndexByte(t, '@') { // inside an X.400 address
		t = t[i+5:]
	}
	fs := addressesIn(t)
	if len(fs) == 0 {
		return e, "", false
	}
	f := fs[0]
	e.addr = strings.Trim(f.addr, "'")
	pre := strings.TrimRight(strings.TrimSpace(t[:f.start]), "\"'[( ")
	rest = again(t[f.end:], f.addr)
	switch {
	case pre == "":
		return e, rest, follows(rest, f, ls, i)
	case numbers(pre):
		// "550 5.1.1 <bob@example.com>... User unknown"
		if f.angled || strings.HasPrefix(rest, "...") {
			e.transcribed = true
			return e, t, strings.TrimSpace(rest) != "" && strings.ContainsAny(rest[:1], ".:")
		}
		return e, "", false
	case strings.HasSuffix(pre, ":"):
		return e, rest, labelled(pre) && (len(rest) < 4 || follows(rest, f, ls, i))
	case f.angled && displayed(pre):
		return e, rest, follows(rest, f, ls, i) && strings.TrimSpace(rest) != "."
	}
	return e, "", false
}

// again drops an address that is repeated at once, as HTML made into text has it.
func again(rest, addr string) string {
	for range 3 {
		t := strings.TrimLeft(rest, " \t\"'])>;")
		t = strings.TrimLeft(t, "(<")
		if !hasFold(t, "mailto:") && !(len(t) >= len(addr) && strings.EqualFold(t[:len(addr)], addr)) {
			break
		}
		k := strings.IndexAny(t, ">)")
		if k < 0 {
			break
		}
		rest = t[k+1:]
	}
	return strings.TrimLeft(rest, "\"'>")
}

// follows reports whether what stands behind an address lets it be an entry.
func follows(rest string, f found, ls []line, i int) bool {
	t := strings.TrimSpace(rest)
	if t == "" || t == "." || t == ":" {
		return true
	}
	switch {
	case strings.ContainsRune(":(;", rune(t[0])), strings.HasPrefix(t, "..."), strings.HasPrefix(rest, "\t"), strings.HasPrefix(rest, "  "):
		return true
	case strings.HasPrefix(t, "- "), strings.HasPrefix(t, "-> "), strings.HasPrefix(t, ", "), strings.HasPrefix(t, "on ") && len(t) > 12:
		return true
	case strings.HasPrefix(t, "#"):
		return true
	}
	// A sentence that begins with the address, behind a blank line or a heading.
	before := ""
	if i > 0 {
		before = strings.TrimSpace(ls[i-1].text)
	}
	return f.start <= 1 && (before == "" || strings.HasSuffix(before, ":") || strings.HasPrefix(before, "---"))
}

func numbers(s string) bool {
	for _, c := range []byte(s) {
		if !digit(c) && c != '.' && c != ' ' && c != '-' {
			return false
		}
	}
	return len(s) >= 3
}

// displayed reports whether words may be the name of a mailbox's owner, or what
// a system writes for it.
func displayed(s string) bool {
	if s[0] == '"' {
		return true
	}
	if !strings.Contains(s, " ") {
		return len(s) < 40 && strings.Contains(s, ":") == strings.HasSuffix(s, ":") || strings.Count(s, ":") == 2
	}
	if strings.Count(s, " ") > 3 {
		return false
	}
	for w := range strings.FieldsSeq(s) {
		if c := w[0]; c >= 'a' && c <= 'z' || strings.HasSuffix(w, ":") {
			return false
		}
	}
	return true
}

// labels are words in front of a colon that call what follows the recipient.
var labels = []string{"recipient", "deliver", "fail", "rcpt", "addressed to", "undeliver", "empfänger", "destinat", "адрес", "bounced", "user", "mailbox", "宛先"}

// notLabels are words that call it something else.
var notLabels = []string{"from", "sender", "reply", "contact", "return", "cc", "subject", "by", "support", "received", "message-id", "help", "absender", "x-", "http", "delivered-to", "sent", "question", "postmaster", "assist"}

func labelled(pre string) bool {
	low := lower(pre)
	if len(low) > 70 {
		return false
	}
	for _, w := range notLabels {
		if strings.Contains(low, w) {
			return false
		}
	}
	for _, w := range labels {
		if strings.Contains(low, w) {
			return true
		}
	}
	return false
}

// collect takes the lines that belong to an entry.
func collect(ls []line, i int, e entry, rest string) []line {
	var why []line
	rest = strings.TrimLeft(strings.TrimSpace(rest), ":-,; \t")
	if strings.Trim(rest, ". ") != "" {
		why = append(why, line{ls[i].n, strings.TrimPrefix(rest, "... ")})
	}
	gap := false
	for j := i + 1; j < len(ls) && j-i < maxWhy; j++ {
		l := ls[j]
		t := strings.TrimSpace(l.text)
		switch {
		case t == "":
			if len(why) > 0 && !onlyOrigin(why) || gap {
				return why
			}
			gap = true
			continue
		case rule(t), dialogue(t), e.transcribed && begun(t):
			return why
		}
		if next, _, ok := lead(ls, j); ok && !same(next.addr, e.addr) && (next.indented <= e.indented || gap) {
			return why
		}
		if gap && !tells(l.text) {
			return why
		}
		gap = false
		why = append(why, line{l.n, t})
	}
	return why
}

// onlyOrigin reports whether all that was found is from which address this one
// was made.
func onlyOrigin(why []line) bool {
	return len(why) == 1 && strings.HasPrefix(why[0].text, "(") && origin(why[0].text) >= 0
}

// tells reports whether a line behind a gap says why.
func tells(s string) bool {
	code, st, _ := findReply(s)
	return code != 0 || !st.IsZero()
}

// rule reports a line that parts a report: "-----".
func rule(t string) bool {
	return len(t) > 2 && (strings.HasPrefix(t, "---") || strings.HasPrefix(t, "***") || strings.HasPrefix(t, "===") || strings.HasPrefix(t, "___") || strings.HasPrefix(t, "###"))
}

// originWords stand in front of the address that another was made from.
var originWords = []string{"expanded from", "generated from", "originally addressed to", "forwarded from"}

func origin(s string) int {
	low := lower(s)
	for _, w := range originWords {
		if i := strings.Index(low, w); i >= 0 {
			return i
		}
	}
	return -1
}

// expanded takes "(expanded from <list@example.com>)" out of what is said.
func expanded(e *entry) string {
	for i, l := range e.why {
		at := origin(l.text)
		if at < 0 || i > 2 {
			continue
		}
		text, joined := l.text, false
		if strings.IndexByte(text[at:], '@') < 0 && i+1 < len(e.why) {
			text, joined = text+" "+e.why[i+1].text, true
		}
		fs := addressesIn(text[at:])
		if len(fs) == 0 {
			continue
		}
		from := fs[0].addr
		rest := strings.TrimLeft(text[at+fs[0].end:], "): \t")
		e.why = append([]line{}, e.why...)
		k := i
		if joined {
			k++
		}
		if rest != "" {
			e.why[k].text = rest
			e.why = append(e.why[:i:i], e.why[k:]...)
		} else {
			e.why = append(e.why[:i:i], e.why[k+1:]...)
		}
		return from
	}
	return ""
}

// mentions finds addresses in sentences about a delivery, and those that the
// message was going to in any sentence.
func (v *view) mentions() []entry {
	ls := first(v.words, maxText)
	var out []entry
	for i, l := range ls {
		if strings.IndexByte(l.text, '@') < 0 {
			continue
		}
		before := ""
		if i > 0 {
			before = ls[i-1].text
		}
		low := lower(before + " " + head(l.text, maxLine))
		speaks := about(low)
		for _, f := range addressesIn(head(l.text, maxLine)) {
			if !speaks && !v.isTo(f.addr) {
				continue
			}
			out = append(out, entry{addr: strings.Trim(f.addr, "'"), line: l.n, rank: mentioned})
		}
		if len(out) > maxRecipients {
			return out
		}
	}
	return out
}

// about reports whether a sentence speaks of a delivery, and not of whom to ask.
func about(low string) bool {
	if contains(low, []string{"contact", "assist", "question", "for help", "support@", "abuse@"}) {
		return false
	}
	return contains(low, []string{"deliver", "reach", "your message to", "your mail to", "your email to", "message to", "mail to", "recipient", "address", "rejected", "rcpt", "bounce", "could not be sent", "undeliv",
		"empfänger", "zugestellt", "zustell", "destinat", "remis", "distribu", "adresse", "consegna", "indirizzo", "direcci", "entreg", "endereço", "ontvanger", "bezorg", "odbiorc", "доставлен", "адрес", "получател", "收件人", "收信人", "送达", "退信", "宛先", "配信", "配送", "送信"})
}

package dsn

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postrider/postrider/mail"
)

// Bounds of what a report carries, in octets. An address is at most 512 and its
// encoded form was bounded at the door.
const (
	maxValue      = longestWord
	maxDiagnostic = 8 << 10
	maxExtra      = 50
)

// normal returns r as it can be written: bounded, without a line end where none
// may be, and without what may not stand beside the rest. Read(Write(r)) gives
// the normal report.
func (r Report) normal() Report {
	r.From, r.To = address(r.From), address(r.To)
	r.Subject = strings.ReplaceAll(line(r.Subject, maxValue), "=?", "= ?")
	r.Text = text(r.Text)
	r.MessageID, r.InReplyTo = angled(r.MessageID), angled(r.InReplyTo)
	r.Date, r.Arrival = moment(r.Date), moment(r.Arrival)
	r.EnvelopeID = line(r.EnvelopeID, maxValue)
	r.Recipients = slices.Clone(r.Recipients)
	for i, rc := range r.Recipients {
		r.Recipients[i].Original, r.Recipients[i].Final = rc.Original.normal(true), rc.Final.normal(true)
	}
	global := r.global()
	for _, t := range []*Typed{&r.ReportingMTA, &r.Gateway, &r.ReceivedFrom} {
		*t = t.normal(global)
	}
	if !global {
		r.EnvelopeID = ascii(r.EnvelopeID)
	}
	r.Extra = extra(r.Extra, global)
	for i, rc := range r.Recipients {
		r.Recipients[i] = rc.normal(global)
	}
	return r
}

func (r Recipient) normal(global bool) Recipient {
	for _, t := range []*Typed{&r.Original, &r.Final, &r.RemoteMTA} {
		*t = t.normal(global)
	}
	if r.Action > Expanded {
		r.Action = NoAction
	}
	if r.Action != Delayed {
		r.WillRetryUntil = time.Time{}
	}
	if c := r.Status[0]; c != 2 && c != 4 && c != 5 || max(r.Status[1], r.Status[2]) > 999 {
		r.Status = mail.Status{}
	}
	r.LastAttempt, r.WillRetryUntil = moment(r.LastAttempt), moment(r.WillRetryUntil)
	r.LogID = line(r.LogID, maxValue)
	if !global {
		r.LogID = ascii(r.LogID)
	}
	r.Diagnostic = diagnostic(r.Diagnostic, global)
	r.Extra = extra(r.Extra, global)
	return r
}

func (t Typed) normal(global bool) Typed {
	kind := atom(t.Type)
	value := line(t.Value, maxValue)
	if !global {
		value = ascii(value)
	}
	if kind == "" || value == "" {
		return Typed{}
	}
	return Typed{kind, value}
}

// diagnostic keeps the lines of a reply apart where each begins with its code;
// all else stands on one line.
func diagnostic(t Typed, global bool) Typed {
	var lines []string
	for l := range strings.SplitSeq(t.Value, "\n") {
		l = foldable(l, maxDiagnostic)
		if !global {
			l = ascii(l)
		}
		switch {
		case l == "":
		case len(lines) > 0 && !continues(lines[0], l):
			lines[len(lines)-1] += " " + l
		default:
			lines = append(lines, l)
		}
	}
	for i, sum := 0, 0; i < len(lines); i++ {
		if sum += len(lines[i]); sum > maxDiagnostic && i > 0 {
			lines = lines[:i]
		}
	}
	kind := atom(t.Type)
	if kind == "" || len(lines) == 0 {
		return Typed{}
	}
	for i, l := range lines {
		lines[i] = foldable(l, maxDiagnostic)
	}
	return Typed{kind, strings.Join(lines, "\n")}
}

// continues reports whether l is a line of the reply that begins with first.
func continues(first, l string) bool {
	code, _, _, ok := mail.CutReplyLine(l)
	began, _, _, is := mail.CutReplyLine(first)
	return ok && is && code == began
}

// longestWord is what may stand without a place to fold: a line holds 998 octets
// (RFC 5322 2.1.1).
const longestWord = 900

// breakable gives a value places to fold where it has none.
func breakable(s string) string {
	if len(s) <= longestWord {
		return s
	}
	var words []string
	for w := range strings.FieldsSeq(s) {
		for len(w) > longestWord {
			n := longestWord
			for n > 0 && !utf8.RuneStart(w[n]) {
				n--
			}
			words, w = append(words, w[:n]), w[n:]
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

// foldable makes s fit for a field of several lines.
func foldable(s string, limit int) string { return line(breakable(line(s, limit)), limit) }

// line makes s fit for one line: line ends become blanks, other control
// characters '?'.
func line(s string, limit int) string {
	return strings.TrimSpace(mail.Clean(joinLines.Replace(s), limit))
}

var (
	joinLines = strings.NewReplacer("\r\n", " ", "\r", " ", "\n", " ")
	onlyLF    = strings.NewReplacer("\r\n", "\n", "\r", "\n")
)

func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 0x80 {
			return '?'
		}
		return r
	}, s)
}

func isASCII(s string) bool { return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 }) }

// atom keeps of the name of a type what may stand in one (RFC 5322 atext).
func atom(s string) string {
	if len(s) > 60 {
		s = s[:60]
	}
	return strings.ToLower(strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>[]:;@\,."`, r) {
			return -1
		}
		return r
	}, s))
}

// address drops what is no address: a field must not be ended by one.
func address(a mail.Address) mail.Address {
	if got, err := mail.ParseAddress(a.String()); err != nil || got != a {
		return mail.Address{}
	}
	return a
}

// angled returns a Message-ID in its angle brackets.
func angled(s string) string {
	s = strings.Trim(line(s, maxValue), "<>")
	s = ascii(strings.ReplaceAll(strings.ReplaceAll(s, " ", "?"), ">", "?"))
	if s = s[:min(len(s), longestWord-100)]; s == "" {
		return ""
	}
	return "<" + s + ">"
}

// moment keeps of a time what a date field can say.
func moment(t time.Time) time.Time {
	if t.IsZero() || t.Year() < 1000 || t.Year() > 9998 {
		return time.Time{}
	}
	if _, off := t.Zone(); off%60 != 0 || off < -12*3600 || off > 14*3600 {
		t = t.UTC()
	}
	return t.Truncate(time.Second)
}

// text ends every line with "\n", and nothing else.
func text(s string) string {
	lines := strings.Split(onlyLF.Replace(s), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(mail.Clean(l, 10000), " ")
	}
	s = strings.Trim(strings.Join(lines, "\n"), "\n")
	if s == "" {
		return ""
	}
	return s + "\n"
}

// extra keeps the fields whose names are names, and not ours.
func extra(fs []Field, global bool) []Field {
	var out []Field
	for _, f := range fs {
		f.Name = strings.Map(func(r rune) rune {
			if r <= ' ' || r >= 0x7f || r == ':' {
				return -1
			}
			return r
		}, f.Name)
		f.Value = foldable(f.Value, maxDiagnostic)
		if !global {
			f.Value = ascii(f.Value)
		}
		if f.Name == "" || len(f.Name) > 60 || f.Value == "" || len(out) == maxExtra || messageField(f.Name) || recipientField(f.Name) {
			continue
		}
		out = append(out, f)
	}
	return out
}

// global reports whether an address needs the forms of RFC 6533.
func (r Report) global() bool {
	for _, rc := range r.Recipients {
		if !isASCII(rc.Original.Value) || !isASCII(rc.Final.Value) {
			return true
		}
	}
	return !r.To.IsASCII()
}

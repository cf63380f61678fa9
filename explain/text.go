package explain

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/cause"
)

// Style is how a report is shown in a terminal. The zero Style is 80 columns,
// no colours, dates in UTC.
type Style struct {
	Width int            // columns, 40 to 200; 0: 80
	Color bool           // ANSI colours; without, no escape sequence is ever written
	ASCII bool           // draw with plain letters, for terminals without UTF-8
	Zone  *time.Location // of the dates; nil: UTC
}

// Widths of a terminal that are of use.
const (
	usualWidth    = 80
	leastWidth    = 40
	greatestWidth = 200
)

// Bounds on what is shown of one report.
const (
	maxTold   = 20 // fates, or recipients of one fate
	maxCited  = 15 // lines of evidence
	labelRoom = 18 // columns for the name of a field
)

// WriteText writes a report for people at a terminal: for each fate the verdict,
// a picture of the way with the time each host held the message, what each side
// did, what to do and who can mend it, what is open, and the lines it rests on.
// Recipients of one fate are told together. What the message said can neither
// steer the terminal nor exceed its width.
func WriteText(w io.Writer, r Report, s Style) error {
	t := writer{language: r.language(), style: s}
	t.width = s.Width
	if t.width == 0 {
		t.width = usualWidth
	}
	t.width = min(max(t.width, leastWidth), greatestWidth)
	t.paint = paint(s.Color)
	if r.Says != "" {
		t.para(bold, r.Says)
	}
	fates := gather(r.Recipients)
	for i, g := range fates {
		if i == maxTold {
			t.para(plainly, t.count("and more fates", len(fates)-i))
			break
		}
		t.fate(g, len(fates) > 1)
	}
	if _, err := io.WriteString(w, strings.TrimRight(t.b.String(), "\n")+"\n"); err != nil {
		return fmt.Errorf("explain: write text: %w", err)
	}
	return nil
}

// writer puts the findings of a report on a page, in a language.
type writer struct {
	page
	*language
	style Style
}

// fate tells what became of some recipients; named says whose first, where there
// are others.
func (t *writer) fate(g gathered, named bool) {
	f := g.Finding
	who := t.names(g.rcpts)
	if named && who != "" {
		t.title(t.rule(who))
	}
	t.para(bold, f.Verdict)
	t.draw(f)
	if !named && who != "" {
		t.field(labelRoom, t.say("label.recipient"), who)
	}
	t.field(labelRoom, t.say("label.result"), t.result(f))
	if f.Kind != NoBounce {
		t.hosts(f)
		t.clock(f.Clock)
		t.field(labelRoom, t.say("label.attempts"), t.attempts(f.Attempts))
		t.field(labelRoom, t.say("label.sender side"), f.Roles.Sender)
		t.field(labelRoom, t.say("label.between"), f.Roles.Between)
		t.field(labelRoom, t.say("label.receiver side"), f.Roles.Receiver)
	}
	t.blank()
	if f.DoNow != "" {
		t.title(t.say("title.do now"))
		t.hang(plainly, "  ", "  ", f.DoNow)
		t.blank()
	}
	t.list("title.fix", t.fixes(f))
	t.list("title.open", f.NotKnown)
	t.list("title.careful", f.Warnings)
	t.evidence(f.Evidence)
}

// rule is a heading with a line behind it, to part fates.
func (t *writer) rule(s string) string {
	dash := "─"
	if t.style.ASCII {
		dash = "-"
	}
	s = shown(s)
	if room := t.width - columns(s) - 1; room > 2 {
		return s + " " + strings.Repeat(dash, room)
	}
	return s
}

// names lists recipients.
func (l *language) names(rcpts []string) string {
	var some []string
	for i, a := range rcpts {
		if i == maxTold {
			some = append(some, l.count("and more", len(rcpts)-i))
			break
		}
		if a != "" {
			some = append(some, a)
		}
	}
	return strings.Join(some, ", ")
}

// result says how it ended in the words that programs read too, since those are
// what people search for.
func (l *language) result(f Finding) string {
	return l.say("result", "kind", l.code("kind.", f.Kind), "reason", f.Reason, "reply", strings.TrimSpace(f.Code+" "+f.Status), "sure", l.code("confidence.", f.Confidence.String()))
}

// hosts names who gave up and who said no, as far as they are told.
func (t *writer) hosts(f Finding) {
	if h := f.GaveUp; h.Host != "" || h.Software != "" {
		label, host, software := "label.gave up", h.Host, softwareName(h.Software)
		if host == "" {
			host, software = software, ""
		}
		if !ended(f.Kind) {
			label = "label.reported"
		}
		t.field(labelRoom, t.say(label), t.say("host", "host", host, "software", software, "sure", t.unsure(h.Confidence)))
	}
	r := f.Refused
	if name := nameIP(r); name != "" {
		label := "label.not reached"
		switch {
		case !ended(f.Kind) && f.Kind != StillTrying:
			label = "label.took it"
		case r.How == byReply:
			label = "label.refused"
		}
		t.field(labelRoom, t.say(label), t.say("host", "host", name, "software", "", "sure", t.unsure(r.Confidence)))
	}
	t.field(labelRoom, t.say("label.words"), r.Text)
}

// unsure is how sure a statement is, where it is not.
func (l *language) unsure(c Confidence) string {
	if c == cause.Sure || c == cause.None {
		return ""
	}
	return l.code("confidence.", c.String())
}

// clock tells the limit, and how long the message was held.
func (t *writer) clock(c Clock) {
	limit := ""
	if c.Value > 0 {
		limit = t.length(time.Duration(c.Value))
	} else if c.Most > 0 {
		limit = t.say("clock.between", "least", t.length(time.Duration(c.Least)), "most", t.length(time.Duration(c.Most)))
	}
	usual, held := "", ""
	if c.Default > 0 {
		usual = t.length(time.Duration(c.Default))
	}
	if c.Held > 0 {
		held = t.length(time.Duration(c.Held))
	}
	if limit != "" || c.Setting != "" || usual != "" {
		t.field(labelRoom, t.say("label.limit"), t.say("clock.limit", "limit", cmp.Or(limit, t.say("clock.not told")), "setting", c.Setting, "usual", usual, "sure", t.unsure(c.Confidence)))
	}
	t.field(labelRoom, t.say("label.held"), held)
	if !c.Started.IsZero() {
		t.field(labelRoom, t.say("label.started"), instant(c.Started, t.style.Zone))
	}
	if !c.Ended.IsZero() {
		t.field(labelRoom, t.say("label.ended"), instant(c.Ended, t.style.Zone))
	}
}

// attempts tells what is known of the tries.
func (t *writer) attempts(a Attempts) string {
	told := ""
	if a.Told != nil {
		told = strconv.Itoa(*a.Told)
	}
	if told == "" && a.Meaning == "" && a.First.IsZero() && a.Last.IsZero() {
		return ""
	}
	return t.say("attempts", "told", cmp.Or(told, t.say("attempts.not told")), "meaning", a.Meaning, "first", instant(a.First, t.style.Zone), "last", instant(a.Last, t.style.Zone))
}

func (l *language) fixes(f Finding) []string {
	var out []string
	for _, x := range f.Fix {
		out = append(out, l.say("fix", "who", l.who(x.Who, f), "what", x.What))
	}
	return out
}

// who names somebody who can mend it, by the domain where it tells more.
func (l *language) who(who string, f Finding) string {
	if d := domainOf(f.Recipient); d != "" && who == cause.ReceiverAdmin.String() {
		return l.say("who.receiver-admin of", "domain", d)
	}
	if h := f.GaveUp.Host; h != "" && who == operator {
		return l.say("who.operator of", "host", h)
	}
	return l.code("who.", who)
}

// list writes a section of items, if there are any.
func (t *writer) list(title string, items []string) {
	if len(items) == 0 {
		return
	}
	t.title(t.say(title))
	for _, s := range items {
		t.item(s)
	}
	t.blank()
}

// evidence writes the lines that the finding rests on, and for what.
func (t *writer) evidence(es []Evidence) {
	if len(es) == 0 {
		return
	}
	t.title(t.say("title.evidence"))
	es = slices.SortedStableFunc(slices.Values(es), func(a, b Evidence) int { return a.Line - b.Line })
	for i, e := range es {
		if i == maxCited {
			t.hang(dim, "  ", "  ", t.count("and more lines", len(es)-i))
			break
		}
		n := strconv.Itoa(e.Line)
		if e.Line <= 0 {
			n = "-"
		}
		indent := strings.Repeat(" ", max(8, len(n)+4))
		t.hang(plainly, pad(strings.Repeat(" ", max(6-len(n), 2))+n, columns(indent)), indent, e.Text)
		t.hang(dim, indent, indent, t.say("evidence.for", "fields", strings.Join(e.Supports, ", ")))
	}
	t.blank()
}

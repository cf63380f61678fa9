package chain

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postrider/postrider/mail"
)

// WriteText writes the story for people: what happens, line by line, and what it
// means. Attempts that meet the same are told as one, with their number.
func (s Story) WriteText(w io.Writer) error {
	var b strings.Builder
	s.writeEvents(&b)
	b.WriteString("\n")
	s.writeSummary(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeEvents writes a table of the events.
func (s Story) writeEvents(b *strings.Builder) {
	var rows [][3]string
	for i := 0; i < len(s.Events); {
		e := s.Events[i]
		if l := e.Letter; l > 0 && e.Kind != Told && s.Letters[l-1].flew() {
			i++
			continue
		}
		who, what := e.Hop, e.line()
		if e.Kind == Told {
			who, what = "sender", "reads "+strings.TrimSuffix(e.Words, " has reached the sender")+", from "+e.Hop
		}
		if t := (Time{e.At, e.Earliest, e.Latest}); t.certain() == "" || e.attempt() {
			rows = append(rows, [3]string{s.moment(e), who, what})
		} else {
			rows = append(rows, [3]string{s.moment(e), who, what + " " + t.certain()})
		}
		n := e.alike(s.Events[i:])
		if last := s.Events[i+n-1]; n == 2 {
			rows = append(rows, [3]string{s.moment(last), who, last.line()})
		} else if n > 2 {
			rows = append(rows, [3]string{s.moment(last), who, fmt.Sprintf("… %d more, the last is attempt %d", n-1, last.Attempt)})
		}
		i += n
	}
	var wide [2]int
	for _, r := range rows {
		for i := range wide {
			wide[i] = max(wide[i], utf8.RuneCountInString(r[i]))
		}
	}
	for _, r := range rows {
		first := fmt.Sprintf("%-*s  %-*s  ", wide[0], r[0], wide[1], r[1])
		wrapTo(b, first, strings.Repeat(" ", wide[0]+wide[1]+4), r[2], 110)
	}
}

// alike counts the events from e on that are attempts like it, without others in
// between but those of other parcels.
func (e Event) alike(from []Event) int {
	if !e.attempt() {
		return 1
	}
	n := 1
	for n < len(from) {
		o := from[n]
		if o.Kind != e.Kind || o.Hop != e.Hop || o.Peer != e.Peer || o.Letter != e.Letter || o.Outcome != e.Outcome || o.Words != e.Words {
			break
		}
		n++
	}
	return n
}

func (e Event) attempt() bool { return e.Kind == Attempts || e.Kind == "letter_"+Attempts }

// flew reports whether the letter took no time on its way.
func (l Letter) flew() bool { return l.Arrived != nil && *l.Arrived == l.Written }

// moment is when an event is.
func (s Story) moment(e Event) string {
	at := when(e.At)
	if !s.Start.IsZero() {
		at += s.Start.Add(e.At).Format(" (Mon 2 Jan 15:04)")
	}
	return at
}

// certain says how far a time is certain: "" if it is.
func (t Time) certain() string {
	if t.Earliest == t.At && t.Latest == t.At {
		return ""
	}
	return "[" + t.between() + "]"
}

// between is from when to when a time may be.
func (t Time) between() string {
	switch {
	case t.Latest == Unknown:
		return when(t.Earliest) + " or later"
	case t.Earliest == t.Latest:
		return when(t.Earliest)
	}
	return when(t.Earliest) + " to " + when(t.Latest)
}

// line is an event as a person reads it.
func (e Event) line() string {
	words := mail.Clean(e.Words, 500)
	about := ""
	if e.Letter > 0 && e.Kind != Told {
		about = fmt.Sprintf(" (letter %d)", e.Letter)
	}
	switch EventKind(strings.TrimPrefix(string(e.Kind), "letter_")) {
	case Accepts:
		from := "the sender"
		if e.Peer != "" {
			from = e.Peer
		}
		line := "answers 250: accepts it from " + from
		if words != "" {
			line += "; " + words
		}
		return line + about
	case Released:
		return "releases it: its clock starts"
	case Attempts:
		line := fmt.Sprintf("attempt %d%s at %s: ", e.Attempt, about, e.Peer)
		if e.Outcome != "unreachable" && e.Outcome != "accepted" {
			line += e.Outcome + ", "
		}
		if line += words; e.Took > 0 {
			line += " (after " + when(e.Took) + ")"
		}
		return line
	case Warns:
		return "writes a notice of delay: " + words
	case GivesUp:
		return fmt.Sprintf("GIVES UP%s after %d attempts: %s", about, e.Attempt, words)
	case Bounces:
		return fmt.Sprintf("ENDS it%s, refused for good: %s", about, words)
	case Delivered:
		return "DELIVERED: it has the mailbox"
	}
	return string(e.Kind) + " " + words
}

// writeSummary writes what it means.
func (s Story) writeSummary(b *strings.Builder) {
	sum := s.Summary
	line := func(label, text string) {
		wrapTo(b, fmt.Sprintf("%-10s ", label), strings.Repeat(" ", 11), mail.Clean(text, 4000), 100)
	}
	end := "delivered to " + sum.By
	if sum.Outcome != WasDelivered {
		end = fmt.Sprintf("%s by %s", sum.Outcome, sum.By)
	}
	line("Outcome", end+" at "+sum.Ended.when())
	switch {
	case sum.FirstTold == nil && sum.Outcome == WasLost:
		line("Told", "the sender never learns of it")
	case sum.FirstTold == nil:
		line("Told", "the sender is told nothing")
	default:
		line("Told", "first at "+sum.FirstTold.when()+", last at "+sum.LastTold.when())
	}
	if sum.SilentUntil == Unknown {
		line("Silence", "from "+when(sum.SilentFrom)+" on, for ever")
	} else {
		line("Silence", fmt.Sprintf("the longest lasts %s, until %s", when(sum.SilentUntil-sum.SilentFrom), when(sum.SilentUntil)))
	}
	line("Clock", sum.Clock)
	var held, outlasts []string
	for _, t := range s.Tenures {
		if t.Until > t.From || t.Attempts > 0 {
			held = append(held, fmt.Sprintf("%s %s (%s)", t.Hop, when(t.Until-t.From), plural(t.Attempts, "attempt")))
		}
	}
	for _, h := range s.scenario.Hops {
		v, ok := sum.Survives[h.Name]
		if !ok {
			continue
		}
		o := fmt.Sprintf("%s %s", h.Name, when(v.Unreachable))
		if v.Deferred != v.Unreachable {
			o += fmt.Sprintf(" (%s if the host answers 4yz)", when(v.Deferred))
		}
		outlasts = append(outlasts, o)
	}
	line("Held", strings.Join(held, ", "))
	line("Outlasts", "an outage of "+strings.Join(outlasts, ", ")+"; all limits together are "+when(sum.Longest))
	for _, p := range sum.Possible {
		line("Perhaps", fmt.Sprintf("%s by %s, %s", p.Outcome, p.By, Time{Earliest: p.Earliest, Latest: p.Latest}.between()))
	}
	for _, r := range sum.Reads {
		line("Reads", r)
	}
	for _, l := range s.Letters {
		if l.Arrived == nil {
			line("Lost", letterWord(l.Kind)+" from "+l.Hop+": "+l.Lost)
		}
	}
	for _, n := range slices.Compact(slices.Clone(s.Notes)) {
		line("Assumed", n)
	}
}

// when is the time, and how far it is certain.
func (t Time) when() string {
	return strings.TrimRight(when(t.At)+" "+t.certain(), " ")
}

// wrapTo writes words in lines of at most so many characters.
func wrapTo(b *strings.Builder, first, next, text string, width int) {
	line, words := first, 0
	for _, word := range strings.Fields(text) {
		if words > 0 && utf8.RuneCountInString(line)+utf8.RuneCountInString(word) > width {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line, words = next, 0
		}
		line += word + " "
		words++
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}

// WriteText writes the spread as a table.
func (s Spread) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d possible worlds\n", s.Runs)
	for _, e := range s.Ends {
		fmt.Fprintf(&b, "  %5.1f %%  %s by %s\n", 100*float64(e.Runs)/float64(s.Runs), e.Outcome, e.By)
	}
	fmt.Fprintf(&b, "\n%-12s %7s  %-15s %-15s %-15s %-15s %-15s\n", "", "worlds", "least", "5 %", "half", "95 %", "most")
	for _, r := range []struct {
		name string
		p    Percentiles[time.Duration]
	}{{"delivered", s.Delivered}, {"first told", s.FirstTold}, {"last told", s.LastTold}, {"ended", s.Ended}} {
		if r.p.N > 0 {
			fmt.Fprintf(&b, "%-12s %7d  %-15s %-15s %-15s %-15s %-15s\n", r.name, r.p.N, when(r.p.Least), when(r.p.P5), when(r.p.P50), when(r.p.P95), when(r.p.Most))
		}
	}
	fmt.Fprintf(&b, "%-12s %7d  %-15d %-15d %-15d %-15d %-15d\n", "attempts", s.Attempts.N, s.Attempts.Least, s.Attempts.P5, s.Attempts.P50, s.Attempts.P95, s.Attempts.Most)
	_, err := io.WriteString(w, trimLines(b.String()))
	return err
}

func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

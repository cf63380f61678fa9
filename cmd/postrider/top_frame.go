package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
)

// size is how many columns and lines a picture may have.
type size struct{ w, h int }

const (
	leftColumns = 44 // of the table of rates
	barMost     = 16 // columns of the longest bar
	fixedLines  = 15 // all but the two lists
	listLeast   = 2  // lines of a list, if there is so much to show
)

// frame is the picture of a moment, line by line: what flows and how old what waits
// is, side by side; then where mail waits in vain; then the newest events.
func frame(n api.Now, s size, ink ink) []string {
	s.w = max(s.w, 40)
	lines := []string{header(n, s.w, ink), condition(n, s.w, ink), ""}
	left, right := flows(n, ink), bars(n, ink)
	for i := range max(len(left), len(right)) {
		l, r := strings.Repeat(" ", leftColumns), ""
		if i < len(left) {
			l = left[i]
		}
		if i < len(right) && s.w >= leftColumns+barMost+19 {
			r = "   " + right[i]
		}
		lines = append(lines, l+r)
	}
	lines = append(lines, "", queued(n, s.w, ink))
	troubles, events := n.Queue.Trouble, n.Newest
	room := max(0, s.h-fixedLines-len("\n\n"))
	forEvents := max(room/2, room-len(troubles), min(room, listLeast))
	forEvents = min(forEvents, max(len(events), 1))
	lines = append(lines, ink.head(pad("destinations in trouble", s.w)))
	lines = append(lines, inTrouble(n, troubles, room-forEvents, s.w, ink)...)
	lines = append(lines, ink.head(pad("newest", s.w)))
	for _, e := range events[max(0, len(events)-forEvents):] {
		lines = append(lines, newsLine(e, s.w, ink))
	}
	lines = lines[:min(len(lines), s.h)]
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

func header(n api.Now, w int, ink ink) string {
	left := "postrider on " + plain(n.Hostname)
	right := n.At.Local().Format("2 Jan 15:04:05") + "  up " + custody.FormatAge(n.At.Sub(n.Since).Round(time.Second))
	if gap := w - utf8.RuneCountInString(left+right); gap > 1 {
		return ink.head(left + strings.Repeat(" ", gap) + right)
	}
	return ink.head(pad(cut(left, w), w))
}

// condition says how the store is.
func condition(n api.Now, w int, ink ink) string {
	if n.Store.Fault != "" {
		return ink.bad(cut("Nothing is taken now: "+plain(n.Store.Fault), w))
	}
	s := "A 250 from here means: " + n.Store.Durability + "; " + octets(n.Store.Free) + " free"
	if c := n.Conns; c != nil {
		s += fmt.Sprintf("; %d connections out, %d opening", c.Busy+c.Idle, c.Opening)
	}
	return cut(s, w)
}

// flows is the table of rates.
func flows(n api.Now, ink ink) []string {
	by := map[string]watch.Flow{}
	for _, f := range n.Flows {
		by[f.What] = f
	}
	sum := func(a, b watch.Flow) watch.Flow {
		return watch.Flow{Total: a.Total + b.Total, S10: a.S10 + b.S10, M1: a.M1 + b.M1, M5: a.M5 + b.M5}
	}
	lines := []string{ink.dim(fmt.Sprintf("%-14s%7s%7s%7s%9s", "a second", "10 s", "1 min", "5 min", "total"))}
	for _, row := range []struct {
		name string
		f    watch.Flow
		ink  func(string) string
	}{
		{"in: accepted", by["accepted"], ink.none},
		{"in: refused", by["refused"], ink.none},
		{"in: deferred", by["deferred-at-door"], ink.none},
		{"out: delivered", sum(by[watch.Delivered], by[watch.Relayed]), ink.good},
		{"out: deferred", by[watch.Deferred], ink.warn},
		{"warned", by[watch.Warned], ink.warn},
		{"bounced", by[watch.Bounced], ink.bad},
		{"expired", by[watch.Expired], ink.bad},
	} {
		line := fmt.Sprintf("%-14s%7s%7s%7s%9s", row.name, perSecond(row.f.S10), perSecond(row.f.M1), perSecond(row.f.M5), number(row.f.Total))
		if row.f.M5 > 0 {
			line = row.ink(line)
		}
		lines = append(lines, line)
	}
	return lines
}

// bars is the picture of the ages of what waits.
func bars(n api.Now, ink ink) []string {
	head := "age of what waits"
	if old := n.At.Sub(n.Queue.Surveyed); n.Queue.Surveyed.IsZero() {
		head += ", not seen yet"
	} else if old > time.Minute {
		head += ", " + custody.FormatAge(old) + " ago"
	}
	lines := []string{ink.dim(head)}
	groups := []struct {
		name string
		upTo int64
		n    int
	}{{"1m", 60, 0}, {"15m", 900, 0}, {"1h", 3600, 0}, {"4h", 4 * 3600, 0}, {"12h", 12 * 3600, 0}, {"1d", 86400, 0}, {"2d", 2 * 86400, 0}, {"more", 0, 0}}
	for _, a := range n.Queue.Ages {
		for i := range groups {
			if g := &groups[i]; g.upTo == 0 || a.UpTo > 0 && a.UpTo <= g.upTo {
				g.n += a.Count
				break
			}
		}
	}
	most := 1
	for _, g := range groups {
		most = max(most, g.n)
	}
	for i, g := range groups {
		bar := bar(g.n, most)
		switch {
		case i >= 6:
			bar = ink.bad(bar)
		case i >= 3:
			bar = ink.warn(bar)
		default:
			bar = ink.good(bar)
		}
		name := "to " + g.name
		if g.upTo == 0 {
			name = g.name
		}
		lines = append(lines, fmt.Sprintf("%-7s%8s %s", name, number(int64(g.n)), bar))
	}
	return lines
}

// bar is n as a length; what is not nothing is seen.
func bar(n, most int) string {
	eighths := n * barMost * 8 / most
	if n > 0 {
		eighths = max(eighths, 1)
	}
	b := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		b += string([]rune(" ▏▎▍▌▋▊▉")[rest])
	}
	return b
}

// queued says what waits, in words.
func queued(n api.Now, w int, ink ink) string {
	s := fmt.Sprintf("queue: %s %s of %s %s", number(n.Store.Deliveries), plural(int(n.Store.Deliveries), "delivery", "deliveries"),
		number(n.Store.Messages), plural(int(n.Store.Messages), "message", "messages"))
	if q := n.Queue; !q.Surveyed.IsZero() {
		s += fmt.Sprintf("; %s trying, %s held", number(int64(q.States["trying"])), number(int64(q.States["held"])))
		if q.Oldest != nil {
			s += "; oldest " + custody.FormatAge(n.At.Sub(*q.Oldest))
		}
	}
	return ink.bold(cut(s, w))
}

// inTrouble names destinations whose mail waits in vain, and what they said last.
func inTrouble(n api.Now, all []api.Trouble, room, w int, ink ink) []string {
	if len(all) == 0 {
		return []string{ink.dim("none")}[:min(1, room)]
	}
	var lines []string
	for i, t := range all {
		if len(lines) == room {
			break
		}
		if len(lines) == room-1 && i < len(all)-1 {
			lines = append(lines, ink.dim(fmt.Sprintf("and %d more: postrider destinations", len(all)-i)))
			break
		}
		since := ""
		switch {
		case t.Health == "silent" && !t.Since.IsZero():
			since = "silent " + custody.FormatAge(n.At.Sub(t.Since))
		case !t.Oldest.IsZero():
			since = "waits " + custody.FormatAge(n.At.Sub(t.Oldest))
		}
		said := t.Paused
		if l := t.Last; said == "" && l != nil {
			said = mail.Reply{Code: l.Code, Status: l.Status, Text: l.Text}.Line()
		}
		name := t.Destination
		if t.Behind == 1 && len(t.Domains) == 1 {
			name = t.Domains[0]
		}
		line := fmt.Sprintf("%-24s %6s  %-14s ", cut(plain(name), 24), number(int64(t.Waiting)), since)
		rest := cut(plain(said), w-utf8.RuneCountInString(line))
		if t.Health == "silent" || t.Health == "no way" {
			rest = ink.bad(rest)
		} else {
			rest = ink.warn(rest)
		}
		lines = append(lines, cut(line, w)+rest)
	}
	return lines
}

// newsLine tells of one event: to whom it happened, and in whose words.
func newsLine(e watch.Happening, w int, ink ink) string {
	what := fmt.Sprintf("%s %-9s ", e.At.Local().Format("15:04:05"), e.Kind)
	who := cmp.Or(strings.Join(e.Recipients, ", "), e.Domain)
	said := e.Why
	switch {
	case e.Kind == watch.Accepted:
		who = "<" + e.From + "> to " + who
	case e.Stage != mail.NoStage:
		said = mail.Reply{Code: e.Code, Status: e.Status, Text: e.Text}.Line()
	}
	who, said = plain(who), plain(said)
	room := w - utf8.RuneCountInString(what)
	if said != "" {
		who = cut(who, max(room/2, room-len(": ")-utf8.RuneCountInString(said)))
		said = cut(": "+said, room-utf8.RuneCountInString(who))
	}
	line := what
	switch e.Kind {
	case watch.Delivered, watch.Relayed:
		line = ink.good(what)
	case watch.Bounced, watch.Expired:
		line = ink.bad(what)
	case watch.Deferred, watch.Warned, watch.Held:
		line = ink.warn(what)
	}
	return line + cut(who+said, room)
}

// plain makes foreign words safe to be drawn: no control characters, nothing that
// turns the direction of writing or hides.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) || unicode.Is(unicode.Bidi_Control, r) || unicode.Is(unicode.Cf, r) {
			return '?'
		}
		return r
	}, mail.Clean(s, 1000))
}

// cut shortens a text to so many columns.
func cut(s string, w int) string {
	if w <= 0 {
		return ""
	}
	if utf8.RuneCountInString(s) <= w {
		return s
	}
	return string([]rune(s)[:w-1]) + "…"
}

func pad(s string, w int) string { return s + strings.Repeat(" ", max(0, w-utf8.RuneCountInString(s))) }

// number writes a count so that six columns hold it: 12,345, then 123k, then 1.23M.
func number(n int64) string {
	switch {
	case n >= 100_000_000:
		return strconv.FormatInt(n/1_000_000, 10) + "M"
	case n >= 1_000_000:
		return strconv.FormatFloat(float64(n/10_000)/100, 'f', 2, 64) + "M"
	case n >= 100_000:
		return strconv.FormatInt(n/1000, 10) + "k"
	case n >= 1000:
		return fmt.Sprintf("%d,%03d", n/1000, n%1000)
	}
	return strconv.FormatInt(n, 10)
}

func perSecond(f float64) string {
	switch {
	case f == 0:
		return "0"
	case f >= 99.95:
		return number(int64(f + .5))
	case f >= 9.995:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'f', 2, 64)
}

func octets(n int64) string {
	for _, u := range []struct {
		of   int64
		name string
	}{{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n >= u.of {
			return strconv.FormatFloat(float64(n)/float64(u.of), 'f', 1, 64) + " " + u.name
		}
	}
	return strconv.FormatInt(n, 10) + " B"
}

// ink colours words, where there are colours.
type ink struct{ on bool }

func palette(on bool) ink { return ink{on} }

func (i ink) paint(code, s string) string {
	if !i.on || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (i ink) none(s string) string { return s }
func (i ink) bold(s string) string { return i.paint("1", s) }
func (i ink) dim(s string) string  { return i.paint("2", s) }
func (i ink) head(s string) string { return i.paint("7", s) }
func (i ink) good(s string) string { return i.paint("32", s) }
func (i ink) warn(s string) string { return i.paint("33", s) }
func (i ink) bad(s string) string  { return i.paint("31", s) }

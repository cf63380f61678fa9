package policy

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// MaxHelp is the most octets of where a refused client's manager finds help, which
// intake tells with each refusal and room is left for.
const MaxHelp = 100

// Bounds on a reply. A line has at most 512 octets (RFC 5321 4.5.3.1.5), with what
// intake adds.
const (
	maxLine  = 512 - len(" (ref 7K3M9QXB, help: )") - MaxHelp - len("\r\n")
	maxValue = 100 // octets of one foreign value
	maxLists = 200 // octets of what lists say, who often give a place to read on
	maxText  = 260 // octets of a rule's own text
	maxName  = 40  // octets of a rule's name
)

// placeholder is a value that a text may hold.
type placeholder struct {
	name  string
	since Stage
	value func(*Facts) string
	need  func(*Facts) Need // what is not looked up yet; nil: nothing ever
}

var placeholders = []placeholder{
	{"client", Connect, client, nil},
	{"client_name", Connect, calledBy, func(f *Facts) Need { return missing(&f.Name, NeedName, f.Client.IsValid()) }},
	{"helo", Hello, func(f *Facts) string { return f.Helo }, nil},
	{"from", Sender, func(f *Facts) string { return f.From.Path() }, nil},
	{"from_domain", Sender, func(f *Facts) string { return f.From.Domain }, nil},
	{"to", Recipient, recipients, nil},
	{"lists", Connect, namedBy, func(f *Facts) Need {
		_, _, need := listings(f, f.From.Domain != "")
		return need
	}},
	{"author", Content, author, func(f *Facts) Need { return missing(&f.DMARC, NeedDMARC, true) }},
	{"wait", Recipient, nil, nil}, // of greylisting, so not of the facts alone
	{"rate", Connect, nil, nil},   // of the rule
}

func missing[T any](x *Fact[T], n Need, wanted bool) Need {
	if wanted && x.IsOpen() {
		return n
	}
	return 0
}

// calledBy is what the DNS calls the client, confirmed or not.
func calledBy(f *Facts) string {
	if n, ok := f.Name.Value(); ok && n.Name != "" && f.Client.IsValid() {
		return n.Name
	}
	return "unknown"
}

// author is the domain that DMARC is about, which not every From field shows.
func author(f *Facts) string {
	return cmp.Or(f.DMARC.value.Domain, "whoever its From field means")
}

// namedBy tells which lists name the client or the sender's domain, those of the
// good left out.
func namedBy(f *Facts) string {
	var said []string
	all, _, _ := listings(f, f.From.Domain != "")
	for _, l := range all {
		if l.Fault == "" && l.Weight >= 0 {
			said = append(said, on(l))
		}
	}
	return strings.Join(said, ", ")
}

// text is a rule's text, taken apart: words, and placeholders by their index.
type text []part

type part struct {
	words string
	value int // -1: none
}

// readText takes a rule's text apart. What is wrong with it comes back in words.
func readText(r *Rule) (t text, wrong []string) {
	s := r.Text
	if len(s) > maxText {
		wrong = append(wrong, fmt.Sprintf("has %d octets, at most %d fit into a reply", len(s), maxText))
	}
	if ascii(s) != s {
		wrong = append(wrong, "goes into replies: ASCII without control characters")
	}
	for s != "" {
		words, rest, found := strings.Cut(s, "{")
		t = append(t, part{words, -1})
		if !found {
			break
		}
		name, rest, found := strings.Cut(rest, "}")
		i := slices.IndexFunc(placeholders, func(p placeholder) bool { return p.name == name })
		switch {
		case !found:
			return t, append(wrong, "has a { without }")
		case i < 0:
			wrong = append(wrong, fmt.Sprintf("has {%s}, which stands for nothing; %s do", mail.Clean(name, maxName), allPlaceholders()))
		case placeholders[i].since > r.At:
			wrong = append(wrong, fmt.Sprintf("has {%s}, which is known at %s only", name, placeholders[i].since))
		case name == "rate" && r.If.Rate == nil:
			wrong = append(wrong, "has {rate}, which only a rule with a rate knows")
		case name == "rate":
			t = append(t, part{r.If.Rate.words(), -1})
		case placeholders[i].value == nil && r.Then != Greylist:
			wrong = append(wrong, fmt.Sprintf("has {%s}, which only greylisting knows", name))
		default:
			t = append(t, part{"", i})
		}
		s = rest
	}
	return t, wrong
}

func allPlaceholders() string {
	names := make([]string, len(placeholders))
	for i, p := range placeholders {
		names[i] = "{" + p.name + "}"
	}
	return strings.Join(names, " ")
}

// need is what the text lacks to be told.
func (t text) need(f *Facts) (n Need) {
	for _, p := range t {
		if p.value >= 0 && placeholders[p.value].need != nil {
			n |= placeholders[p.value].need(f)
		}
	}
	return n
}

// fill puts the facts into a text. Foreign words stay within their bounds; where there are
// none the text says so.
func (t text) fill(f *Facts, wait time.Duration) string {
	var b strings.Builder
	for _, p := range t {
		switch {
		case p.value < 0:
			b.WriteString(p.words)
		case placeholders[p.value].value == nil:
			b.WriteString(strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		default:
			most := maxValue
			if placeholders[p.value].name == "lists" {
				most = maxLists
			}
			b.WriteString(cmp.Or(mail.Clean(placeholders[p.value].value(f), most), "(none)"))
		}
	}
	return b.String()
}

// reply makes the words of a rule a reply that fits on a line.
func reply(code int, status mail.Status, rule, words string) mail.Reply {
	s := rule + ": " + ascii(words)
	if room := maxLine - len("550 ") - len(status.String()) - len(" "); len(s) > room {
		s = s[:room-len("...")] + "..."
	}
	return mail.Reply{Code: code, Status: status, Text: s}
}

// ascii makes words fit for a client that was not promised SMTPUTF8: anything but
// printable ASCII becomes "?".
func ascii(s string) string {
	plain := true
	for i := 0; plain && i < len(s); i++ {
		plain = ' ' <= s[i] && s[i] <= '~'
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// mailDuration writes a length of time as the configuration does: 1h, 5m, 90s.
func mailDuration(d time.Duration) string {
	for _, u := range [...]struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d >= u.unit && d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.name
		}
	}
	return d.String()
}

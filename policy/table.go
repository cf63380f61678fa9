package policy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/postrider/postrider/mail"
)

// Table is a list of rules that were found sound. It is not changed and may be
// used by many at once. The zero Table has no rule and lets everything pass.
type Table struct {
	rules   []*rule
	at      [len(stageNames)][]*rule // by stage, in order
	filters []string                 // the bits of a Need from filterBit on
	rates   []Rate                   // and from rateBit on
}

// rule is a Rule, ready to be asked.
type rule struct {
	Rule
	ifs, nots []condition
	opinion   condition // of the filter, if there is one
	words     text
	grey      condition
}

// New makes a table. Its error is of type [Mistakes] and holds all of them.
func New(rules []Rule) (*Table, error) {
	t := &Table{}
	var ms Mistakes
	for i, r := range rules {
		b := builder{t: t, r: r, report: func(key, text string) {
			ms = append(ms, Mistake{Index: i, Rule: r.Name, Key: key, Text: text})
		}}
		if slices.ContainsFunc(t.rules, func(o *rule) bool { return o.Name == r.Name }) {
			b.report("name", "there is another rule of that name above")
		}
		c := b.build()
		t.rules = append(t.rules, c)
		t.at[c.At] = append(t.at[c.At], c)
	}
	if len(ms) > 0 {
		return nil, ms
	}
	return t, nil
}

// Mistake is one thing that is wrong with a rule.
type Mistake struct {
	Index int    // of the rule among those given to New
	Rule  string // its name
	Key   string // what is wrong, as it is called in the configuration: "at", "not.spf", "text"
	Text  string
}

// Error names the rule, its key and what is wrong.
func (m Mistake) Error() string { return "policy: rule " + m.Rule + ": " + m.Key + ": " + m.Text }

// Mistakes are all that is wrong with a table, in its order.
type Mistakes []Mistake

// Error returns one line per mistake.
func (ms Mistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

// Rules returns the rules in order, with the defaults of At, Code, Status and
// Memory filled in.
func (t *Table) Rules() []Rule {
	rs := make([]Rule, len(t.rules))
	for i, r := range t.rules {
		rs[i] = r.Rule
	}
	return rs
}

func (t *Table) names() []string {
	names := make([]string, len(t.rules))
	for i, r := range t.rules {
		names[i] = r.Name
	}
	return names
}

// Needs returns everything that the rules of a stage may ask for, so that look-ups
// can begin before the stage comes.
func (t *Table) Needs(s Stage) Need {
	var n Need
	anyone := Facts{Client: netip.IPv4Unspecified(), From: mail.Address{Local: "a", Domain: "example"}}
	for _, r := range t.rulesAt(s) {
		for _, cs := range [...][]condition{r.ifs, r.nots} {
			for _, c := range cs {
				n |= c.need
			}
		}
		if r.Then == Greylist {
			n |= NeedGrey
		}
		n |= r.opinion.need | r.words.need(&anyone)
	}
	return n
}

// Acts reports whether any rule stands at a stage: it is to be asked, also where it
// needs nothing that must be looked up.
func (t *Table) Acts(s Stage) bool { return len(t.rulesAt(s)) > 0 }

func (t *Table) rulesAt(s Stage) []*rule {
	if int(s) < len(t.at) {
		return t.at[s]
	}
	return nil
}

// Filters returns the names of the filters in a Need; ^Need(0) gives all of the
// table.
func (t *Table) Filters(n Need) []string { return pick(t.filters, n>>filterBit) }

// Rates returns the rates in a Need. All of them, ^Need(0), are to be counted for
// each message that is let in, whether they are asked for or not.
func (t *Table) Rates(n Need) []Rate { return pick(t.rates, n>>rateBit) }

func pick[T any](all []T, bits Need) []T {
	var some []T
	for i, x := range all {
		if bits>>i&1 != 0 {
			some = append(some, x)
		}
	}
	return some
}

// bit returns the bit of x among all, which takes it up if there is room.
func bit[T comparable](all *[]T, x T, first, most int) (Need, bool) {
	i := slices.Index(*all, x)
	if i < 0 {
		if len(*all) == most {
			return 0, false
		}
		i = len(*all)
		*all = append(*all, x)
	}
	return 1 << (first + i), true
}

package config

import (
	"bytes"
	"errors"
	"sort"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// place is a line and a column, both from 1, the column in bytes.
type place struct{ line, col int }

// node is a value of the file and where it stands.
type node struct {
	kind   unstable.Kind // a table, however written, is a Table; an array of tables an Array
	at     place         // of the value; of a table or an array, of its key
	key    place         // of its key
	text   string        // of a scalar, quotes and escapes resolved
	list   []*node       // of an Array
	many   bool          // the Array was written [[name]]
	inline bool          // the Table was written { … }
	names  []string      // of a Table: its keys in the order of the file
	sub    map[string]*node
}

// kindNames are the kinds as people call them.
var kindNames = map[unstable.Kind]string{
	unstable.Table: "a table", unstable.Array: "a list", unstable.String: "text",
	unstable.Bool: "true or false", unstable.Integer: "a number", unstable.Float: "a number with a point",
}

func (n *node) called() string {
	if s := kindNames[n.kind]; s != "" {
		return s
	}
	return "a date or time"
}

// child returns the value of a key, made by fresh if there is none yet.
func (n *node) child(name string, fresh func() *node) *node {
	if c := n.sub[name]; c != nil {
		return c
	}
	c := fresh()
	if n.sub == nil {
		n.sub = map[string]*node{}
	}
	n.sub[name] = c
	n.names = append(n.names, name)
	return c
}

// syntax returns what is no TOML in the text. A line with a mistake is blanked
// and the rest read again, so that several are found at once; where that does
// not help, the first is all that can be said with certainty.
func syntax(file string, text []byte) []Problem {
	var found []Problem
	text = bytes.Clone(text)
	for range 10 {
		var into map[string]any
		err := toml.Unmarshal(text, &into)
		if err == nil {
			return found
		}
		var d *toml.DecodeError
		if !errors.As(err, &d) {
			found = append(found, Problem{File: file, Text: strings.TrimPrefix(err.Error(), "toml: ")})
			break
		}
		line, col := d.Position()
		found = append(found, Problem{File: file, Line: line, Col: col, Text: syntaxText(d)})
		if !blank(text, line) {
			break
		}
	}
	return found[:1]
}

// blank overwrites a line. It refuses a table's header: the keys below it would
// fall to the table above.
func blank(text []byte, line int) bool {
	for range line - 1 {
		text = text[bytes.IndexByte(text, '\n')+1:]
	}
	if end := bytes.IndexByte(text, '\n'); end >= 0 {
		text = text[:end]
	}
	if t := bytes.TrimSpace(text); len(t) == 0 || t[0] == '[' {
		return false
	}
	for i := range text {
		text[i] = ' '
	}
	return true
}

// syntaxText says in an administrator's words what go-toml says in its own.
func syntaxText(d *toml.DecodeError) string {
	t := strings.TrimPrefix(d.Error(), "toml: ")
	switch {
	case strings.Contains(t, "at start of value"), strings.HasPrefix(t, "expected keyword"), t == "strings must be quoted":
		return `not a value; text is written in quotes: "5m"`
	case strings.HasPrefix(t, "basic strings cannot have new lines"), strings.HasPrefix(t, "literal strings cannot have new lines"):
		return "text without its closing quote"
	case strings.HasPrefix(t, "expected newline"):
		return t + "; one key and one value stand on a line, text in quotes"
	}
	return t
}

// builder makes the tree. The text has passed syntax.
type builder struct {
	p     unstable.Parser
	lines []int // where each line begins
}

func parseTree(text []byte) *node {
	b := &builder{lines: []int{0}}
	for i, c := range text {
		if c == '\n' {
			b.lines = append(b.lines, i+1)
		}
	}
	root := &node{kind: unstable.Table, at: place{1, 1}, key: place{1, 1}}
	here := root
	b.p.Reset(text)
	for b.p.NextExpression() {
		switch e := b.p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			here = b.header(root, e)
		case unstable.KeyValue:
			b.pair(here, e)
		}
	}
	return root
}

// header finds or makes the table that the lines below a [header] fill.
func (b *builder) header(root *node, e *unstable.Node) *node {
	here := root
	for it := e.Key(); it.Next(); {
		k := it.Node()
		here = b.descend(here, k)
		if !it.IsLast() {
			continue
		}
		here.key, here.at = b.place(k.Raw), b.place(k.Raw)
		if e.Kind == unstable.ArrayTable {
			if here.kind != unstable.Array {
				here.kind, here.many = unstable.Array, true
			}
			here.list = append(here.list, &node{kind: unstable.Table, at: here.at, key: here.key})
		}
		here = last(here)
	}
	return here
}

// pair files one key and its value in the table.
func (b *builder) pair(here *node, e *unstable.Node) {
	for it := e.Key(); it.Next(); {
		k := it.Node()
		if !it.IsLast() {
			here = b.descend(here, k)
			continue
		}
		at := b.place(k.Raw)
		v := b.value(e.Value(), b.after(k.Raw))
		v.key = at
		here.child(string(k.Data), func() *node { return v })
	}
}

func (b *builder) descend(here *node, k *unstable.Node) *node {
	return last(here).child(string(k.Data), func() *node {
		return &node{kind: unstable.Table, at: b.place(k.Raw), key: b.place(k.Raw)}
	})
}

// last returns the table that [[name]] began last, or the table itself.
func last(n *node) *node {
	if n.kind == unstable.Array && len(n.list) > 0 {
		return n.list[len(n.list)-1]
	}
	return n
}

// value makes the node of a value; at is where it stands if go-toml does not tell.
func (b *builder) value(v *unstable.Node, at place) *node {
	if v.Raw.Length > 0 {
		at = b.place(v.Raw)
	}
	n := &node{kind: v.Kind, at: at, key: at}
	switch v.Kind {
	case unstable.Array:
		for it := v.Children(); it.Next(); {
			n.list = append(n.list, b.value(it.Node(), at))
		}
	case unstable.InlineTable:
		n.kind, n.inline = unstable.Table, true
		for it := v.Children(); it.Next(); {
			b.pair(n, it.Node())
		}
	default:
		n.text = string(v.Data)
	}
	return n
}

// after returns where the value of a key stands: behind the equals sign. go-toml
// does not tell it of a list.
func (b *builder) after(key unstable.Range) place {
	i := key.Offset + key.Length
	for text := b.p.Data(); int(i) < len(text)-1 && strings.IndexByte(" \t=", text[i]) >= 0; {
		i++
	}
	return b.place(unstable.Range{Offset: i})
}

func (b *builder) place(r unstable.Range) place {
	i := sort.SearchInts(b.lines, int(r.Offset)+1) - 1
	return place{i + 1, int(r.Offset) - b.lines[i] + 1}
}

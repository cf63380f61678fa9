package main

import (
	_ "embed"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Each script hands the words of its line to "postrider complete", which answers from
// the declaration of the commands: what may stand there is written once.
var (
	//go:embed completion/postrider.bash
	bashScript string
	//go:embed completion/postrider.zsh
	zshScript string
	//go:embed completion/postrider.fish
	fishScript string
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"${enum}."`
}

func (x completionCmd) Run(s streams) error {
	_, err := io.WriteString(s.out, map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}[x.Shell])
	return err
}

// completeCmd is for the scripts.
type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:""`
}

func (x completeCmd) Run(ctx *kong.Context, s streams) error {
	words := x.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) == 0 {
		words = []string{""}
	}
	return complete(ctx.Model.Node, words, askService).write(s.out)
}

// candidate is a word that may stand there, and what it means.
type candidate struct{ word, help string }

// Kinds of words that a shell completes by itself.
const (
	ownWordsOnly = "words"
	fileNames    = "files"
	folderNames  = "folders"
)

// candidates are all words that may stand somewhere.
type candidates struct {
	kind string // one of the kinds: what the shell is to add
	all  []candidate
}

// shellSafe are the words that no shell reads as anything else: what strangers name
// otherwise is not offered.
var shellSafe = regexp.MustCompile(`^[\pL\pN._+@:=/,%-]+$`)

const helpMost = 72 // columns of the help to a candidate

// write answers a script: the kind, then a word with its help a line.
func (c candidates) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintln(&b, c.kind)
	for _, one := range c.all {
		if shellSafe.MatchString(one.word) {
			fmt.Fprintf(&b, "%s\t%s\n", one.word, cut(plain(one.help), helpMost))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// line is what stands before the word that is completed.
type line struct {
	node   *kong.Node
	at     int        // positional arguments that are given
	wants  *kong.Flag // a flag whose value comes next; nil: none
	plain  bool       // after "--": no flags any more
	config string
	given  map[string]bool // flags
}

// complete says what the last of these words may become. Ask tells what the running
// service knows.
func complete(root *kong.Node, words []string, ask asker) candidates {
	l := line{node: root, given: map[string]bool{}}
	last := len(words) - 1
	for _, w := range words[:last] {
		l.read(w)
	}
	word := words[last]
	name, value, assigned := strings.Cut(word, "=")
	var out candidates
	switch f := l.flag(name); {
	case l.wants != nil:
		out = l.values(l.wants.Value, word, ask)
	case assigned && f != nil && !l.plain:
		out = l.values(f.Value, value, ask)
		for i := range out.all {
			out.all[i].word = name + "=" + out.all[i].word
		}
	case strings.HasPrefix(word, "-") && !l.plain:
		out = candidates{ownWordsOnly, l.flags()}
	default:
		out = l.words(word, ask)
	}
	out.all = slices.DeleteFunc(out.all, func(c candidate) bool { return !strings.HasPrefix(c.word, word) })
	return out
}

// read goes past one word.
func (l *line) read(w string) {
	name, value, assigned := strings.Cut(w, "=")
	switch f := l.flag(name); {
	case l.wants != nil:
		l.set(l.wants, w)
		l.wants = nil
	case l.plain:
		l.at++
	case w == "--":
		l.plain = true
	case f != nil && (assigned || f.IsBool()):
		l.set(f, value)
	case f != nil:
		l.wants = f
	case strings.HasPrefix(w, "-") && len(w) > 1:
	case l.at == 0 && l.child(w) != nil:
		l.node = l.child(w)
	default:
		if d := l.node.DefaultCmd; d != nil {
			l.node = d
		}
		l.at++
	}
}

func (l *line) set(f *kong.Flag, value string) {
	l.given[f.Name] = true
	if f.Name == "config" {
		l.config = value
	}
}

func (l *line) child(name string) *kong.Node {
	for _, c := range l.node.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// flag finds a flag as it is written, with its dashes.
func (l *line) flag(word string) *kong.Flag {
	for _, group := range l.node.AllFlags(true) {
		for _, f := range group {
			if word == "--"+f.Name || f.Short != 0 && word == "-"+string(f.Short) || f.Tag.Negatable != "" && word == "--no-"+f.Name {
				return f
			}
		}
	}
	return nil
}

// flags are those that may still be given.
func (l *line) flags() (out []candidate) {
	for _, group := range l.node.AllFlags(true) {
		for _, f := range group {
			if l.given[f.Name] && !f.IsCumulative() {
				continue
			}
			out = append(out, candidate{"--" + f.Name, f.Help})
			if f.Tag.Negatable != "" {
				out = append(out, candidate{"--no-" + f.Name, "Not: " + f.Help})
			}
		}
	}
	return out
}

// words are commands and arguments.
func (l *line) words(word string, ask asker) candidates {
	out := candidates{kind: ownWordsOnly}
	node := l.node
	if l.at == 0 {
		for _, c := range node.Children {
			if !c.Hidden {
				out.all = append(out.all, candidate{c.Name, c.Help})
			}
		}
		if node.DefaultCmd != nil {
			node = node.DefaultCmd
		}
	}
	if n := len(node.Positional); n > 0 {
		p := node.Positional[min(l.at, n-1)]
		if l.at < n || p.IsCumulative() {
			more := l.valuesIn(node, p, word, ask)
			out.kind, out.all = more.kind, append(out.all, more.all...)
		}
	}
	return out
}

func (l *line) values(v *kong.Value, word string, ask asker) candidates {
	return l.valuesIn(l.node, v, word, ask)
}

// valuesIn are the values that a flag or an argument of a command may have.
func (l *line) valuesIn(node *kong.Node, v *kong.Value, word string, ask asker) candidates {
	if v.Enum != "" {
		out := candidates{kind: ownWordsOnly}
		for _, e := range v.EnumSlice() {
			out.all = append(out.all, candidate{e, ""})
		}
		return out
	}
	what, ok := completed[strings.TrimSpace(node.Path())+" "+v.Name]
	if !ok {
		what = completed[v.Name]
	}
	switch {
	case what == nil:
		return candidates{kind: ownWordsOnly}
	case what.kind != "":
		return candidates{kind: what.kind}
	}
	return candidates{ownWordsOnly, what.list(ask(l.config), word)}
}

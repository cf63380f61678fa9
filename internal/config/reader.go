package config

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// builtIn is the rule of what no file says.
const builtIn = "built-in default"

// reader turns one tree into a Config and gathers what is wrong with it.
type reader struct {
	file     string // as in problems; "": built in
	dir      string // what relative paths are relative to
	hostname func() (string, error)

	errs, warns []Problem
	sections    []section
	asked       map[string][]string // kind of section → the keys it may hold
	rules       map[string]string   // dotted key → where it is written
	disk        []mention
	readings    []reading
	root        *node
	keys        func() map[string][]string // every key there is, by kind of section
}

func newReader(file string) *reader {
	return &reader{
		file: file, dir: filepath.Dir(file), hostname: os.Hostname,
		asked: map[string][]string{}, rules: map[string]string{}, keys: keysOf,
	}
}

func (r *reader) wrong(at place, format string, args ...any) {
	r.errs = append(r.errs, r.problem(at, format, args...))
}

func (r *reader) doubt(at place, format string, args ...any) {
	r.warns = append(r.warns, r.problem(at, format, args...))
}

func (r *reader) problem(at place, format string, args ...any) Problem {
	return Problem{cmp.Or(r.file, builtIn), at.line, at.col, fmt.Sprintf(format, args...)}
}

// section is one table while it is read: each call names a key, and what no
// call named is unknown.
type section struct {
	r    *reader
	kind string // which keys it may hold: "schedule"; "" the top
	name string // "schedule.default"
	path string // the same, but of those that may stand several times with their number: "listen[0]"
	n    *node  // nil: not in the file
}

func (r *reader) section(kind, name string, n *node) section {
	return r.add(section{r, kind, name, name, n})
}

func (r *reader) add(s section) section {
	r.sections = append(r.sections, s)
	return s
}

// find returns the value of a key; its node is nil if it is not written.
func (s section) find(key string) value {
	if !slices.Contains(s.r.asked[s.kind], key) {
		s.r.asked[s.kind] = append(s.r.asked[s.kind], key)
	}
	v := value{r: s.r, key: key, path: dotted(s.path, key)}
	if s.n != nil {
		v.n = s.n.sub[key]
	}
	if v.n != nil {
		name := dotted(s.name, key)
		s.r.rules[name] = rule(s.r.file, v.n.key, name)
	}
	return v
}

// place is where a message about the whole section belongs.
func (s section) place() place {
	if s.n == nil {
		return place{}
	}
	return s.n.at
}

func (s section) rule() string { return rule(s.r.file, s.place(), s.name) }

// table returns the section below a key; its node is nil if it is not there.
func (s section) table(key string) section {
	v := s.find(key)
	switch {
	case v.n == nil, v.n.kind == unstable.Table:
	case v.n.many:
		v.bad("%s stands once; write [%s] in single brackets", key, key)
		v.n = nil
	default:
		v.bad("%s wants a table, [%s], not %s", key, key, v.n.called())
		v.n = nil
	}
	return s.r.add(section{s.r, dotted(s.kind, key), dotted(s.name, key), dotted(s.path, key), v.n})
}

// tables returns the sections of [[key]], in the order of the file.
func (s section) tables(key string) []section {
	v := s.find(key)
	if v.n == nil {
		return nil
	}
	if v.n.kind != unstable.Array {
		v.bad("%s may stand several times; write [[%s]] in double brackets", key, key)
		return nil
	}
	var all []section
	for i, n := range v.n.list {
		if n.kind != unstable.Table {
			value{n: n, r: s.r, key: key}.bad("%s wants tables, [[%s]], not %s", key, key, n.called())
			continue
		}
		all = append(all, s.r.add(section{s.r, dotted(s.kind, key), dotted(s.name, key), fmt.Sprintf("%s[%d]", dotted(s.path, key), i), n}))
	}
	return all
}

// named returns the sections of [key.NAME], in the order of the file.
func (s section) named(key string) map[string]section {
	v := s.find(key)
	if v.n == nil {
		return nil
	}
	if v.n.kind != unstable.Table {
		v.bad("%s wants a table with a name; write [%s.default]", key, key)
		return nil
	}
	all := map[string]section{}
	for _, name := range v.n.names {
		n := v.n.sub[name]
		if n.kind != unstable.Table {
			s.r.wrong(n.key, "%q stands in no %s; write it below a name, like [%s.default]", name, key, key)
			continue
		}
		all[name] = s.r.add(section{s.r, dotted(s.kind, key), dotted(s.name, key) + "." + name, dotted(s.path, key) + "." + name, n})
	}
	return all
}

// unknown reports the keys that nobody asked for.
func (r *reader) unknown() {
	var schema map[string][]string
	for _, s := range r.sections {
		if s.n == nil {
			continue
		}
		for _, key := range s.n.names {
			if slices.Contains(r.asked[s.kind], key) {
				continue
			}
			if schema == nil {
				schema = r.keys()
			}
			s.unknown(key, schema)
		}
	}
}

func (s section) unknown(key string, schema map[string][]string) {
	n, known := s.n.sub[key], schema[s.kind]
	what, where := "key", ""
	if n.kind == unstable.Table || n.many {
		what = "table"
	}
	if s.name != "" {
		where = " in " + s.name
	}
	hint := home(key, schema)
	if hint == "" {
		hint = didYouMean(key, known)
	}
	if hint == "" {
		known = slices.Sorted(slices.Values(known))
		hint = "; known are " + strings.Join(known, ", ")
	}
	s.r.wrong(n.key, "unknown %s %q%s%s", what, key, where, hint)
}

// home tells where a key that stands in the wrong table belongs. A key written
// below a [header] belongs to that table, which is easily forgotten.
func home(key string, schema map[string][]string) string {
	for _, kind := range slices.Sorted(maps.Keys(schema)) {
		if !slices.Contains(schema[kind], key) {
			continue
		}
		switch kind {
		case "":
			return "; it belongs at the top, above the first [table]"
		case "listen", "token", "webhook", "route", "hop", "outage", "list", "filter", "recipients", "sign", "rule":
			return fmt.Sprintf("; it belongs in [[%s]]", kind)
		case "schedule":
			return "; it belongs in [schedule.NAME]"
		}
		return fmt.Sprintf("; it belongs in [%s]", kind)
	}
	return ""
}

// keysOf returns every key there is, by kind of section: it has a reader read
// one of each.
func keysOf() map[string][]string {
	r := newReader("")
	r.read(parseTree([]byte("[[listen]]\n[[token]]\n[[webhook]]\n[[route]]\nauth = {}\n[schedule.x]\n[[list]]\n[[filter]]\n[[recipients]]\n[[sign]]\n[[rule]]\nrate = {}\nnot = { rate = {} }\n")))
	return r.asked
}

func dotted(name, key string) string {
	if name == "" {
		return key
	}
	return name + "." + key
}

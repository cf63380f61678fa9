package config

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/mail"
)

// Setting is one key as it is in force, and where that is written.
type Setting struct {
	Key     string `json:"key" doc:"dotted; of tables that may stand several times with their number: listen[0].address"`
	Value   any    `json:"value" doc:"null: not set, or hidden"`
	File    string `json:"file,omitempty" doc:"empty: a default"`
	Line    int    `json:"line,omitempty"`
	Default bool   `json:"default,omitempty"`
	Hidden  bool   `json:"hidden,omitempty" doc:"it names a secret"`
}

// reading is what came of one key that was asked for.
type reading struct {
	s   section
	key string
	n   *node // nil: it is not written
	to  any   // what is in force
}

// Settings returns every key in force in the order of the file, defaults behind
// what is written in the same table. Of tables that may stand several times, those
// keys are left out that are neither written nor have a default. No secret is in it,
// nor the name of a file that holds one: people write the secret itself there.
func (c *Config) Settings() []Setting {
	r := c.reader
	if r == nil {
		return nil
	}
	hidden := map[*node]bool{}
	for _, m := range r.disk {
		hidden[m.v.n] = hidden[m.v.n] || m.secret
	}
	seen, keys := map[*node]bool{}, map[string]bool{}
	var all []Setting
	for _, rd := range append(slices.Clone(r.readings), c.unwritten()...) {
		set, ok := rd.setting(r.file, hidden[rd.n] && rd.n != nil)
		if seen[rd.n] = true; ok && !keys[set.Key] {
			keys[set.Key] = true
			all = append(all, set)
		}
	}
	all = append(all, r.others(r.root, "", seen)...)
	for i := range all {
		if all[i].Key == "hostname" {
			all[i].Value = c.Hostname
		}
		if r.file == "" { // the built-in default has lines that nobody sees
			all[i].Default, all[i].Line = true, 0
		}
	}
	return inOrder(all)
}

// setting returns what a reading says, false if there is nothing to say.
func (rd reading) setting(file string, hidden bool) (Setting, bool) {
	set := Setting{Key: dotted(rd.s.path, rd.key)}
	if rd.n == nil {
		set.Default = true
		set.Value = plain(reflect.ValueOf(rd.to))
		_, once := onlyOnce[rd.s.kind]
		return set, once || !isZero(rd.to) && set.Value != nil
	}
	if rd.n.kind == unstable.Table { // its keys are read for themselves
		return set, false
	}
	set.File, set.Line = file, rd.n.key.line
	if set.Hidden = hidden; hidden {
		return set, true
	}
	set.Value = rd.n.value()
	if s, ok := rd.to.(string); ok && s != "" { // a path is whole, a name canonical
		set.Value = s
	}
	if s, ok := set.Value.(string); ok {
		set.Value = withoutSecret(rd.s.kind, rd.key, s)
	}
	return set, true
}

// onlyOnce are the tables all of whose keys are shown.
var onlyOnce = map[string]bool{"": true, "log": true, "tls": true, "smtp": true, "relay": true, "door": true, "dns": true, "notices": true, "queue": true}

// withoutSecret shortens a URL, part of which may be a secret.
func withoutSecret(kind, key, s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return s
	case kind == "webhook":
		return u.Scheme + "://" + u.Host + "/…"
	case kind == "filter":
		return u.Scheme + "://" + u.Host + u.Path
	}
	return s
}

// unwritten are the readings of tables that stand in no file but in the program:
// schedules, and the route where there is none.
func (c *Config) unwritten() []reading {
	r := newReader("")
	for _, name := range slices.Sorted(maps.Keys(c.Schedules)) {
		if s := c.Schedules[name]; strings.HasPrefix(s.Rule, "built-in") {
			r.scheduleKeys(r.section("schedule", "schedule."+name, nil), &s)
		}
	}
	for i, t := range c.Routes {
		if strings.HasPrefix(t.Rule, "built-in") {
			s := section{path: fmt.Sprintf("route[%d]", i), kind: "route"}
			r.readings = append(r.readings, reading{s, "domain", nil, t.Domain}, reading{s, "to", nil, t.To}, reading{s, "tls", nil, t.TLS})
		}
	}
	return r.readings
}

// others are the keys below a node that were not read one by one: tables whose keys
// are names.
func (r *reader) others(n *node, path string, seen map[*node]bool) (all []Setting) {
	if n == nil {
		return nil
	}
	for _, key := range n.names {
		sub, at := n.sub[key], dotted(path, key)
		switch {
		case sub.kind == unstable.Table:
			all = append(all, r.others(sub, at, seen)...)
		case sub.kind == unstable.Array && sub.many:
			for i, one := range sub.list {
				all = append(all, r.others(one, at+"["+strconv.Itoa(i)+"]", seen)...)
			}
		case !seen[sub]:
			all = append(all, Setting{Key: at, Value: sub.value(), File: r.file, Line: sub.key.line})
		}
	}
	return all
}

// value is what is written, as JSON has it.
func (n *node) value() any {
	switch n.kind {
	case unstable.Bool:
		return n.text == "true"
	case unstable.Integer:
		if i, err := strconv.ParseInt(n.text, 0, 64); err == nil {
			return i
		}
	case unstable.Float:
		if f, err := strconv.ParseFloat(strings.ReplaceAll(n.text, "_", ""), 64); err == nil {
			return f
		}
	case unstable.Array:
		list := []any{}
		for _, e := range n.list {
			list = append(list, e.value())
		}
		return list
	case unstable.Table:
		table := map[string]any{}
		for k, e := range n.sub {
			table[k] = e.value()
		}
		return table
	}
	return n.text
}

// plain is a value of ours as the file would have it; nil if it is not set.
func plain(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	switch t := v.Interface().(type) {
	case time.Duration:
		return custody.FormatAge(t)
	case route.Target: // the zero value is a way
		return t.String()
	case mail.Status:
		if t[0] == 0 { // it takes the class of the code
			return nil
		}
		return t.String()
	case fmt.Stringer:
		if k := v.Kind(); k != reflect.Struct && k != reflect.Slice || !v.IsZero() {
			return t.String()
		}
		return nil
	}
	switch v.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		return v.Interface()
	case reflect.String:
		if v.Len() > 0 {
			return v.String()
		}
	case reflect.Pointer:
		return plain(v.Elem())
	case reflect.Slice:
		list := []any{}
		for i := range v.Len() {
			list = append(list, plain(v.Index(i)))
		}
		return list
	}
	return nil
}

func isZero(v any) bool {
	r := reflect.ValueOf(v)
	return !r.IsValid() || r.IsZero() || r.Kind() == reflect.Slice && r.Len() == 0
}

// inOrder sorts settings by table in the order of the file, then by line; what no
// file says stands behind what is written in its table.
func inOrder(all []Setting) []Setting {
	table := func(s Setting) string {
		if i := strings.LastIndexByte(s.Key, '.'); i >= 0 {
			return s.Key[:i]
		}
		return ""
	}
	first := map[string]int{} // line where a table begins
	for _, s := range all {
		if at, ok := first[table(s)]; s.Line > 0 && (!ok || s.Line < at) {
			first[table(s)] = s.Line
		}
	}
	const behind = 1 << 30
	line := func(at int) int {
		if at == 0 {
			return behind
		}
		return at
	}
	slices.SortStableFunc(all, func(a, b Setting) int {
		ta, tb := table(a), table(b)
		if ta == "" || tb == "" {
			if ta != tb {
				return cmp.Compare(ta, tb)
			}
		}
		return cmp.Or(cmp.Compare(line(first[ta]), line(first[tb])), cmp.Compare(ta, tb), cmp.Compare(line(a.Line), line(b.Line)))
	})
	return all
}

package config

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

// defaultRules is what [[rule]] use = "defaults" stands for.
const defaultRules = "defaults"

// readRules reads the table of the door, in order. Without any [[rule]] it is the
// default set.
func (r *reader) readRules(all []section, c *Config) {
	if len(all) == 0 {
		c.Door.Rules = policy.Internet()
	}
	var from []section           // where each rule stands
	written := map[string]bool{} // names of rules that stand in the file by themselves
	for _, s := range all {
		for _, key := range []string{"use", "name"} {
			if v := s.find(key); v.n != nil {
				written[v.n.text] = true
			}
		}
	}
	for _, s := range all {
		before := len(c.Door.Rules)
		c.Door.Rules = append(c.Door.Rules, r.readRule(s, written)...)
		for range c.Door.Rules[before:] {
			from = append(from, s)
		}
	}
	for i := range c.Door.Rules {
		if d := &c.Door.Rules[i]; d.Place == "" {
			d.Place = builtIn + " rule " + d.Name
		}
	}
	table, err := policy.New(c.Door.Rules)
	var wrong policy.Mistakes
	if errors.As(err, &wrong) && len(r.errs) == 0 {
		for _, m := range wrong {
			at, name := place{}, m.Rule
			if m.Index < len(from) {
				at = from[m.Index].placeOf(m.Key)
			}
			r.wrong(at, "rule %s: %s: %s", cmp.Or(name, "without a name"), m.Key, m.Text)
		}
	}
	if c.Door.Table = table; table != nil {
		r.knownToRules(from, c)
	}
}

// placeOf is where a dotted key of the section stands, else where the section does.
func (s section) placeOf(key string) place {
	n, at := s.n, s.place()
	for part := range strings.SplitSeq(key, ".") {
		if n == nil || n.sub[part] == nil {
			return at
		}
		n = n.sub[part]
		at = n.at
	}
	return at
}

// readRule reads one [[rule]]: one of its own, or some of the default set, whose
// keys it may change. Of the whole default set those are left out that are written
// elsewhere.
func (r *reader) readRule(s section, written map[string]bool) []policy.Rule {
	use, name := "", ""
	defaults := policy.Internet()
	names := make([]string, len(defaults))
	for i, d := range defaults {
		names[i] = d.Name
	}
	read(s, "use", &use, word(append(names, defaultRules)...))
	read(s, "name", &name, text)
	d := policy.Rule{}
	switch {
	case use == defaultRules && len(s.n.names) > 1:
		r.wrong(s.place(), `use = "defaults" stands for several rules; to change one write use = "%s" with other keys`, names[0])
		return nil
	case use == defaultRules:
		return slices.DeleteFunc(defaults, func(d policy.Rule) bool { return written[d.Name] })
	case use != "":
		d = defaults[slices.Index(names, use)]
	case name == "":
		r.wrong(s.place(), `rule without name; write name = "a-word", which clients and allow --skip will see, or use = "defaults"`)
	}
	if name != "" {
		d.Name = name
	}
	d.Place = rule(r.file, s.place(), "rule "+d.Name)
	r.readConditions(s, &d.If)
	if v := s.find("not"); v.n != nil && v.n.kind != unstable.Table {
		v.bad(`not wants conditions like { client_name = "none" }, not %s`, v.n.called())
	} else {
		r.readConditions(s.table("not"), &d.Not)
	}
	read(s, "filter", &d.Filter, text)
	read(s, "at", &d.At, named[policy.Stage](policy.Stages[:]...))
	read(s, "then", &d.Then, named[policy.Action](policy.Accept, policy.Defer, policy.Refuse, policy.Greylist))
	read(s, "on_fault", &d.OnFault, named[policy.OnFault](policy.FaultPass, policy.FaultDefer))
	read(s, "code", &d.Code, number(400))
	read(s, "status", &d.Status, status)
	read(s, "text", &d.Text, text)
	read(s, "log_only", &d.LogOnly, yesNo)
	read(s, "delay", &d.Delay, age(time.Second))
	read(s, "memory", &d.Memory, age(time.Minute))
	return []policy.Rule{d}
}

// readConditions reads what a rule asks, or what it asks not to be.
func (r *reader) readConditions(s section, c *policy.Conditions) {
	read(s, "client", &c.Client, oneOrMore(network))
	read(s, "client_name", &c.ClientName, oneOrMore(text))
	read(s, "helo", &c.Helo, oneOrMore(text))
	read(s, "listener", &c.Listener, oneOrMore(text))
	read(s, "tls", &c.TLS, maybe(yesNo))
	read(s, "user", &c.User, oneOrMore(text))
	read(s, "own", &c.Own, maybe(yesNo))
	read(s, "from", &c.From, oneOrMore(text))
	read(s, "to", &c.To, oneOrMore(text))
	read(s, "from_domain", &c.FromDomain, oneOrMore(named[policy.Reach](policy.Reachable, policy.NoDomain, policy.NullMX, policy.NoMailHost)))
	read(s, "size_above", &c.SizeAbove, size)
	read(s, "recipients_above", &c.RecipientsAbove, number(1))
	read(s, "score", &c.Score, number(1))
	read(s, "listed", &c.Listed, oneOrMore(text))
	read(s, "spf", &c.SPF, oneOrMore(text))
	read(s, "dkim", &c.DKIM, oneOrMore(text))
	read(s, "dmarc", &c.DMARC, oneOrMore(text))
	read(s, "early", &c.Early, maybe(yesNo))
	read(s, "proven", &c.Proven, maybe(yesNo))
	read(s, "rate", &c.Rate, ruleRate)
}

// oneOrMore reads a value or a list of them.
func oneOrMore[T any](parse parser[T]) parser[[]T] {
	return func(v value) ([]T, bool) {
		if v.n.kind == unstable.Array {
			return someOf("of values", parse)(v)
		}
		t, ok := parse(v)
		return []T{t}, ok
	}
}

// maybe reads a value that may be left out.
func maybe[T any](parse parser[T]) parser[*T] {
	return func(v value) (*T, bool) {
		t, ok := parse(v)
		return &t, ok
	}
}

// named reads one of some values by its name.
func named[T interface{ String() string }](all ...T) parser[T] {
	names := make([]string, len(all))
	for i, t := range all {
		names[i] = t.String()
	}
	return func(v value) (t T, ok bool) {
		w, ok := word(names...)(v)
		if !ok {
			return t, false
		}
		return all[slices.Index(names, w)], true
	}
}

// ruleRate reads { by = "client", most = 100, in = "1h" }.
func ruleRate(v value) (*policy.Rate, bool) {
	if v.n.kind != unstable.Table {
		v.bad(`rate wants { by = "client", most = 100, in = "1h" }, not %s`, v.n.called())
		return nil, false
	}
	r := &policy.Rate{}
	s := v.r.add(section{v.r, "rule.rate", "rule.rate", v.path, v.n})
	read(s, "by", &r.By, named(policy.ByClient, policy.ByNetwork, policy.BySender, policy.ByRecipient, policy.ByUser))
	read(s, "most", &r.Most, number(1))
	read(s, "in", &r.In, age(time.Second))
	for _, key := range []string{"by", "most", "in"} {
		if s.find(key).n == nil {
			v.bad(`rate without %s; write { by = "client", most = 100, in = "1h" }`, key)
		}
	}
	return r, true
}

// knownToRules reports the lists, filters and listeners that rules name and that are
// not there.
func (r *reader) knownToRules(from []section, c *Config) {
	var lists, filters, doors []string
	for _, l := range c.Door.Lists {
		lists = append(lists, l.Name)
	}
	for _, f := range c.Door.Filters {
		if f.Kind != "smtp" {
			filters = append(filters, f.Name)
		}
	}
	for _, l := range c.Listen {
		doors = append(doors, cmp.Or(l.Name, l.Address))
	}
	for i, s := range from {
		d := c.Door.Rules[i]
		for _, known := range []struct {
			key   string
			names []string
			all   []string
		}{
			{"listed", slices.Concat(d.If.Listed, d.Not.Listed), lists},
			{"filter", slices.DeleteFunc([]string{d.Filter}, func(f string) bool { return f == "" }), filters},
			{"listener", slices.Concat(d.If.Listener, d.Not.Listener), doors},
		} {
			for _, name := range known.names {
				if !slices.Contains(known.all, name) {
					r.wrong(s.placeOf(known.key), "rule %s: there is no %s %q%s", d.Name, map[string]string{"listed": "[[list]]", "filter": "milter or http [[filter]]", "listener": "listener"}[known.key], name, didYouMean(name, known.all))
				}
			}
		}
	}
}

// status reads "5.7.25".
func status(v value) (st mail.Status, ok bool) {
	s, ok := v.asText(`an enhanced status like "5.7.25"`)
	if !ok {
		return st, false
	}
	if err := st.UnmarshalText([]byte(s)); err != nil || st.IsZero() {
		v.bad("%s: %q is not an enhanced status like 5.7.25 (RFC 3463)", v.key, s)
		return st, false
	}
	return st, true
}

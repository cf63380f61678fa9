package config

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

// Door says who may come in, and who is asked about it.
type Door struct {
	Rules []policy.Rule // in order; the default set if the file has none
	Table *policy.Table // made of them
	Help  string        // where a refused client's manager finds help, at most policy.MaxHelp octets; "": postmaster at the host name
	// GreetDelay is how long a stranger's banner is held back; 0: not at all.
	GreetDelay time.Duration
	Trusted    []netip.Prefix // whose XCLIENT and XFORWARD are believed
	Turn       bool           // ETRN is offered
	Lookups    time.Duration  // for each look-up, side by side with the others of its stage

	Lists      []List
	Filters    []Filter
	Recipients []Recipients
	Sign       []Sign
}

// List is a DNS list that is asked about clients or domains.
type List struct {
	Name, Zone string
	Domains    bool           // it lists domains of senders, not addresses of clients (RFC 5782 2.1, 2.4)
	Weight     int            // of an answer; below 0: a list of the good
	Replies    map[string]int // weight by answer, "127.0.0.2" or "127.0.0.0/28"; empty: Weight for any
}

// Filter is who is asked for an opinion, or through whom mail goes.
type Filter struct {
	Name, Kind string // Kind: milter, http or smtp
	Rule       string
	To         string // where it is: "inet:HOST:PORT", "unix:/path", a URL, or "smtp:HOST:PORT"
	Timeout    time.Duration
	TokenFile  string // of http
	// Of smtp: where it hands back what it has seen, and the domains of recipients
	// whose mail goes through it; none: all.
	Back    string
	Domains []string
}

// Recipients says which names there are in a domain.
type Recipients struct {
	Rule   string
	Domain string // or "*.example.com"
	File   string // of addresses or local parts, one a line; "": none
	// Ask is the next hop that is asked by RCPT, "route" for the one of the routes.
	Ask  string
	Keep time.Duration // how long a yes is believed, also while the next hop is away
	Lose time.Duration // how long it is believed that there is no such recipient
}

// Sign is a key with which mail of a domain is signed (RFC 6376).
type Sign struct {
	Rule, Domain, Selector, Key string
}

func (r *reader) readDoor(s section, top section, c *Config) {
	d := &c.Door
	read(s, "help", &d.Help, printable(policy.MaxHelp))
	read(s, "greet_delay", &d.GreetDelay, age(0))
	read(s, "trusted", &d.Trusted, list(`["127.0.0.1"]`, trusting("lets everybody pass for any client, for those in relay.clients too: an open relay")))
	read(s, "etrn", &d.Turn, yesNo)
	read(s, "lookup_timeout", &d.Lookups, age(time.Second))
	lists, filters := top.tables("list"), top.tables("filter")
	r.readLists(lists, c)
	r.readFilters(filters, c)
	for _, s := range top.tables("recipients") {
		r.readRecipients(s, c)
	}
	for _, s := range top.tables("sign") {
		r.readSign(s, c)
	}
	r.readRules(top.tables("rule"), c)
	r.unasked(lists, filters, c)
}

// unasked warns of lists and filters that no rule asks: who wrote them believes that
// mail is checked. An smtp filter needs no rule.
func (r *reader) unasked(lists, filters []section, c *Config) {
	for i, l := range c.Door.Lists {
		if !slices.ContainsFunc(c.Door.Rules, l.askedBy) {
			r.doubt(lists[i].place(), `no rule asks list %q; write a [[rule]] with listed = %q, or with a score to add up what all lists say`, l.Name, l.Name)
		}
	}
	for i, f := range c.Door.Filters {
		if f.Kind != "smtp" && !slices.ContainsFunc(c.Door.Rules, func(d policy.Rule) bool { return d.Filter == f.Name }) {
			r.doubt(filters[i].place(), `no rule asks filter %q, so it sees no mail; write a [[rule]] with filter = %q`, f.Name, f.Name)
		}
	}
}

// askedBy reports whether a rule depends on the list. Before MAIL there is no sender
// whose domain could be on one.
func (l List) askedBy(d policy.Rule) bool {
	if l.Domains && 0 < d.At && d.At < policy.Sender {
		return false
	}
	return slices.ContainsFunc([]policy.Conditions{d.If, d.Not}, func(c policy.Conditions) bool {
		return c.Score != 0 || slices.Contains(c.Listed, l.Name)
	})
}

// wants reports keys that a section must have.
func (s section) wants(what string, keys ...string) {
	for _, key := range keys {
		if s.find(key).n == nil {
			s.r.wrong(s.place(), "%s without %s", what, key)
		}
	}
}

// unique reports a name that was given before.
func (s section) unique(name string, before []string) {
	if name != "" && slices.Contains(before, name) {
		s.find("name").bad("name: another %s is called %q", s.kind, name)
	}
}

func (r *reader) readLists(all []section, c *Config) {
	var names []string
	for _, s := range all {
		l := List{Weight: 5}
		read(s, "name", &l.Name, text)
		read(s, "zone", &l.Zone, hostName)
		of := ""
		read(s, "of", &of, word("client", "domain"))
		l.Domains = of == "domain"
		read(s, "weight", &l.Weight, weight)
		r.readReplies(s, &l)
		s.wants("list", "name", "zone")
		s.unique(l.Name, names)
		names = append(names, l.Name)
		c.Door.Lists = append(c.Door.Lists, l)
	}
}

// readReplies reads { "127.0.0.2" = 5, "127.0.0.10/31" = 1 }.
func (r *reader) readReplies(s section, l *List) {
	t := s.table("replies")
	if t.n == nil {
		return
	}
	l.Replies = map[string]int{}
	for _, key := range t.n.names {
		v := t.find(key)
		p, err := netip.ParsePrefix(key)
		if ip, bad := netip.ParseAddr(key); bad == nil {
			p, err = netip.PrefixFrom(ip, ip.BitLen()), nil
		}
		if err != nil || !p.Addr().Is4() || !p.Addr().IsLoopback() {
			r.wrong(v.n.key, "replies: %q is not an answer of a list, like 127.0.0.2 or 127.0.0.0/28 (RFC 5782 2.1)", key)
			continue
		}
		if w, ok := weight(v); ok {
			l.Replies[p.Masked().String()] = w
		}
	}
}

// weight reads a number that may be negative, and is not 0.
func weight(v value) (int, bool) {
	n, ok := number(-1000)(v)
	if ok && n == 0 {
		v.bad("%s: 0 says nothing; write a number above 0, or below it for a list of the good", v.key)
		return 0, false
	}
	return n, ok
}

func (r *reader) readFilters(all []section, c *Config) {
	var names []string
	for _, s := range all {
		f := Filter{Timeout: 30 * time.Second, Rule: s.rule()}
		read(s, "name", &f.Name, text)
		read(s, "kind", &f.Kind, word("milter", "http", "smtp"))
		read(s, "to", &f.To, func(v value) (string, bool) { return filterPlace(v, f.Kind) })
		read(s, "timeout", &f.Timeout, age(time.Second))
		read(s, "token_file", &f.TokenFile, path)
		r.mention(s.find("token_file"), f.TokenFile, true)
		read(s, "back", &f.Back, func(v value) (string, bool) {
			t, ok := v.asText(`an address like "127.0.0.1:10026"`)
			if ok && hostPort(t) != nil {
				v.bad("back: %v", hostPort(t))
			}
			return t, ok && hostPort(t) == nil
		})
		read(s, "domains", &f.Domains, list(`["example.com"]`, pattern))
		s.wants("filter", "name", "kind", "to")
		s.unique(f.Name, names)
		names = append(names, f.Name)
		r.checkFilter(s, f, c)
		c.Door.Filters = append(c.Door.Filters, f)
	}
}

// checkFilter reports keys that do not belong to the kind, and opens the door by which
// an smtp filter hands mail back.
func (r *reader) checkFilter(s section, f Filter, c *Config) {
	for _, k := range []struct{ key, kind string }{{"back", "smtp"}, {"domains", "smtp"}, {"token_file", "http"}} {
		if v := s.find(k.key); v.n != nil && f.Kind != "" && f.Kind != k.kind {
			v.bad("%s belongs to a filter of kind %s", k.key, k.kind)
		}
	}
	if f.Kind != "smtp" {
		return
	}
	if f.Back == "" {
		r.wrong(s.place(), `filter without back; write the address at which %s hands back what it has seen, like "127.0.0.1:10026"`, f.To)
		return
	}
	l := Listen{Kind: "smtp", Network: "tcp", Address: f.Back, Name: f.Name, Back: true, Rule: f.Rule}
	for _, other := range c.Listen {
		if !other.Back && f.Name != "" && cmp.Or(other.Name, other.Address) == f.Name {
			s.find("name").bad("name: a listener is called %q, and so would be the door at which this filter hands back; give one of them another name", f.Name)
		}
		if overlap(l, other) {
			s.find("back").bad("back: %q is taken by a listener", f.Back)
		}
	}
	if !isLoopback(f.Back) {
		r.doubt(s.find("back").n.at, "back: whoever reaches %s can send anywhere past all rules; only the hosts in door.trusted may be able to", f.Back)
	}
	c.Listen = append(c.Listen, l)
}

// filterPlace reads where a filter is.
func filterPlace(v value, kind string) (string, bool) {
	s, ok := v.asText(`a place like "inet:127.0.0.1:11332"`)
	if !ok {
		return "", false
	}
	switch kind {
	case "smtp":
		if t, err := route.ParseTarget(s); err != nil || t.String() == "mx" {
			v.bad(`to: %q is not a next hop like "smtp:127.0.0.1:10024"`, s)
			return "", false
		}
	case "http":
		if !strings.HasPrefix(s, "http://") && !strings.HasPrefix(s, "https://") {
			v.bad(`to: %q is not a URL like "http://127.0.0.1:9000/judge"`, s)
			return "", false
		}
	case "milter":
		place, unix := strings.CutPrefix(s, "unix:")
		host, isHost := strings.CutPrefix(s, "inet:")
		if _, _, err := net.SplitHostPort(host); unix && !strings.HasPrefix(place, "/") || !unix && (!isHost || err != nil) {
			v.bad(`to: %q is not a place like "inet:127.0.0.1:11332" or "unix:/run/opendkim/socket"`, s)
			return "", false
		}
	}
	return s, true
}

func (r *reader) readRecipients(s section, c *Config) {
	n := Recipients{Rule: s.rule(), Keep: 7 * 24 * time.Hour, Lose: 2 * time.Hour}
	read(s, "domain", &n.Domain, pattern)
	read(s, "file", &n.File, path)
	r.mention(s.find("file"), n.File, false)
	read(s, "ask", &n.Ask, func(v value) (string, bool) {
		if v.n.text == "route" {
			return "route", true
		}
		t, ok := target(v)
		return t.String(), ok
	})
	read(s, "keep", &n.Keep, age(time.Minute))
	read(s, "lose", &n.Lose, age(time.Minute))
	s.wants("recipients", "domain")
	if (n.File == "") == (n.Ask == "") && len(r.errs) == 0 {
		r.wrong(s.place(), `recipients wants either file = "…", a list of names, or ask = "route", the host to ask`)
	}
	c.Door.Recipients = append(c.Door.Recipients, n)
}

func (r *reader) readSign(s section, c *Config) {
	k := Sign{Rule: s.rule()}
	read(s, "domain", &k.Domain, hostName)
	read(s, "selector", &k.Selector, func(v value) (string, bool) {
		t, ok := text(v)
		if d, err := mail.CanonicalDomain(t); ok && (err != nil || d[0] == '[') {
			v.bad("selector: %q cannot be part of a domain name", t)
			return "", false
		}
		return t, ok
	})
	read(s, "key", &k.Key, path)
	r.mention(s.find("key"), k.Key, true)
	s.wants("sign", "domain", "selector", "key")
	c.Door.Sign = append(c.Door.Sign, k)
}

package config

import (
	"bytes"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/postrider/postrider/mail"
)

// defaults are what stands where the file says nothing, but for schedules and
// routes.
func (r *reader) defaults() *Config {
	return &Config{
		File:    r.file,
		Data:    "/var/lib/postrider",
		History: 14 * 24 * time.Hour,
		SMTP: SMTP{
			MaxSize: 50e6, MaxRecipients: 1000, MaxConnections: 1000, MaxConnectionsPerClient: 50, MaxConnectionsPerNet: 250,
			MaxErrors: 20, MaxHops: 100, CommandTimeout: 5 * time.Minute, DataTimeout: 3 * time.Minute,
		},
		Door:    Door{Lookups: 20 * time.Second},
		Notices: Notices{ReturnFull: 50e3},
		Queue:   Queue{MaxConnections: 500, MinFree: 64e6},
		rules:   r.rules,
	}
}

// config reads a text. What it returns is worth something only if r.errs stays
// empty.
func (r *reader) config(b []byte) *Config {
	root := r.tree(b)
	if root == nil {
		return nil
	}
	c := r.read(root)
	r.unknown()
	return c
}

// tree returns the text as a tree; nil if it is no TOML, and said so.
func (r *reader) tree(b []byte) *node {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")) // some editors write it
	if len(b) > maxFile {
		r.wrong(place{}, "larger than %d bytes: no configuration", maxFile)
		return nil
	}
	if r.errs = syntax(r.file, b); r.errs != nil {
		return nil
	}
	return parseTree(b)
}

func (r *reader) result(c *Config) (*Config, error) {
	if len(r.errs) > 0 {
		sortProblems(r.errs)
		return nil, Errors(r.errs)
	}
	sortProblems(r.warns)
	c.Warnings = r.warns
	return c, nil
}

func (r *reader) read(root *node) *Config {
	c := r.defaults()
	top := r.section("", "", root)
	r.root, c.reader = root, r
	r.readTop(top, c)
	r.readLog(top.table("log"), c)
	r.readTLS(top.table("tls"), c)
	r.readTokens(top.tables("token"), c)
	r.readListen(top.tables("listen"), c)
	r.readSMTP(top.table("smtp"), c)
	r.readRelay(top.table("relay"), c)
	r.readDoor(top.table("door"), top, c)
	r.readAliases(top, c)
	schedules := top.named("schedule")
	r.readSchedules(schedules, c)
	r.readRoutes(top.tables("route"), c)
	r.unused(schedules, c)
	s := top.table("dns")
	read(s, "servers", &c.DNS.Servers, list(`["127.0.0.1:53"]`, server))
	r.readNotices(top.table("notices"), c)
	r.readWebhooks(top.tables("webhook"), c)
	s = top.table("queue")
	read(s, "max_connections", &c.Queue.MaxConnections, number(1))
	read(s, "min_free", &c.Queue.MinFree, size)
	r.doubts(c)
	return c
}

func (r *reader) readTop(s section, c *Config) {
	read(s, "data", &c.Data, path)
	read(s, "history", &c.History, age(0))
	read(s, "postmaster", &c.Postmaster, address)
	if read(s, "hostname", &c.Hostname, hostName); c.Hostname != "" || s.find("hostname").n != nil {
		return
	}
	c.Hostname = "localhost.localdomain"
	name, err := r.hostname()
	if d, bad := mail.CanonicalDomain(strings.TrimSuffix(name, ".")); err == nil && bad == nil && strings.Contains(d, ".") {
		c.Hostname = d
		return
	}
	r.doubt(place{}, "no hostname is given, and this machine has no full name; many hosts refuse mail from %s", c.Hostname)
}

func (r *reader) readLog(s section, c *Config) {
	format, level := "text", "info"
	read(s, "format", &format, word("text", "json"))
	read(s, "level", &level, word("debug", "info", "warn", "error"))
	c.Log.JSON = format == "json"
	c.Log.Level = map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}[level]
}

func (r *reader) readTLS(s section, c *Config) {
	read(s, "cert", &c.TLS.Cert, path)
	read(s, "key", &c.TLS.Key, path)
	cert, key := s.find("cert"), s.find("key")
	switch {
	case cert.n != nil && key.n == nil:
		r.wrong(cert.n.key, "cert without key; the file of its private key is needed too")
	case cert.n == nil && key.n != nil:
		r.wrong(key.n.key, "key without cert; the file of the certificate is needed too")
	}
	r.mention(cert, c.TLS.Cert, false)
	r.mention(key, c.TLS.Key, true)
}

func (r *reader) readSMTP(s section, c *Config) {
	m := &c.SMTP
	read(s, "banner", &m.Banner, printable(512-len("220  \r\n")-255)) // a name has 255 octets at most (RFC 5321 4.5.3.1.2)
	read(s, "max_size", &m.MaxSize, size)
	read(s, "max_recipients", &m.MaxRecipients, upTo(30_000, number(100))) // RFC 5321 4.5.3.1.8; deliveries have a number of 16 bits
	read(s, "max_connections", &m.MaxConnections, number(1))
	read(s, "max_connections_per_client", &m.MaxConnectionsPerClient, number(1))
	read(s, "max_connections_per_network", &m.MaxConnectionsPerNet, number(1))
	read(s, "max_errors", &m.MaxErrors, number(1))
	read(s, "max_hops", &m.MaxHops, number(1))
	read(s, "command_timeout", &m.CommandTimeout, age(time.Second))
	read(s, "data_timeout", &m.DataTimeout, age(time.Second))
	newline := "refuse"
	read(s, "bare_newline", &newline, word("refuse", "normalize"))
	m.Normalize = newline == "normalize"
	if v := s.find("max_size"); v.n != nil && m.MaxSize < 64<<10 {
		v.bad("max_size: %d octets are too few; every host must take 64 KiB (RFC 5321 4.5.3.1.7)", m.MaxSize)
	}
	if v := s.find("max_hops"); v.n != nil && m.MaxHops < 100 {
		r.doubt(v.n.at, "max_hops below 100 takes a long way for a loop (RFC 5321 6.3)")
	}
}

func (r *reader) readRelay(s section, c *Config) {
	c.Relay.Rule = c.Rule("relay")
	read(s, "clients", &c.Relay.Clients, list(`["127.0.0.0/8"]`, trusting("lets everybody send anywhere: an open relay")))
	read(s, "domains", &c.Relay.Domains, list(`["example.com"]`, func(v value) (string, bool) {
		if v.n.text == "*" {
			v.bad(`domains: "*" would take mail from anybody to anybody; name the domains, or name who may send anywhere in clients`)
			return "", false
		}
		return pattern(v)
	}))
}

// readAliases reads a table whose keys are names. The names that every host must
// or should take (RFC 5321 4.5.1, RFC 2142) go to the postmaster unless told
// otherwise.
func (r *reader) readAliases(top section, c *Config) {
	c.Aliases = map[string]Alias{}
	if !c.Postmaster.IsNull() {
		for _, name := range []string{"postmaster", "abuse", "root"} {
			c.Aliases[name] = Alias{[]mail.Address{c.Postmaster}, c.Rule("postmaster")}
		}
	}
	v := top.find("aliases")
	if v.n == nil {
		return
	}
	if v.n.kind != unstable.Table {
		v.bad("aliases wants a table, [aliases], not %s", v.n.called())
		return
	}
	written := map[string]string{}
	for _, name := range v.n.names {
		n := v.n.sub[name]
		key, ok := aliasKey(name)
		if !ok {
			r.wrong(n.key, "%q is not a local name like root, nor an address in quotes", name)
			continue
		}
		if other := written[key]; other != "" {
			r.wrong(n.key, "alias %q is the same as %q above", name, other)
		}
		written[key] = name
		s := dotted("aliases", name)
		r.rules[s] = rule(r.file, n.key, s)
		to, ok := someOf(`["admin@example.com"]`, address)(value{n: n, r: r, key: "alias " + name})
		if ok {
			c.Aliases[key] = Alias{to, r.rules[s]}
		}
	}
}

// aliasKey returns the canonical form of what stands left in [aliases].
func aliasKey(name string) (string, bool) {
	full := strings.Contains(name, "@")
	s := name
	if !full {
		s += "@localhost"
	}
	a, err := mail.ParseAddress(s)
	if err != nil || a.Domain == "" {
		return "", false
	}
	a = a.Key()
	if a.Local = strings.ToLower(a.Local); full {
		return a.String(), true
	}
	return a.Local, true
}

func (r *reader) readNotices(s section, c *Config) {
	n := &c.Notices
	read(s, "postmaster_copy", &n.PostmasterCopy, address)
	read(s, "return_full", &n.ReturnFull, size)
	var hidden []string
	read(s, "hide_hosts", &hidden, list(`["*.internal", "10.0.0.0/8"]`, func(v value) (string, bool) {
		if _, err := netip.ParseAddr(v.n.text); err == nil || strings.Contains(v.n.text, "/") {
			p, ok := network(v)
			if ok {
				n.HideNets = append(n.HideNets, p)
			}
			return "", ok
		}
		return pattern(v)
	}))
	n.HideHosts = slices.DeleteFunc(hidden, func(h string) bool { return h == "" })
}

// doubts warns of what the file as a whole leaves open.
func (r *reader) doubts(c *Config) {
	var smtp, public bool
	for _, l := range c.Listen {
		if l.Kind == "smtp" {
			smtp, public = true, public || !isLoopback(l.Address)
		}
	}
	if len(c.Listen) == 0 {
		r.doubt(place{}, `nothing listens; write [[listen]] with kind = "smtp" and an address`)
	}
	if smtp && len(c.Relay.Clients)+len(c.Relay.Domains) == 0 {
		r.doubt(place{}, "no mail would be accepted; write relay.clients (who may send anywhere) or relay.domains (whom anybody may send to)")
	}
	if public && c.TLS.Cert == "" {
		r.doubt(place{}, "no certificate in [tls]; mail comes in over the network in plain text")
	}
	if _, ok := c.Aliases["postmaster"]; public && !ok {
		r.doubt(place{}, "no postmaster; every mail host must have one, whose mail is read (RFC 5321 4.5.1)")
	}
}

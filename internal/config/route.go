package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/route"
)

// tlsWords and preferences are what a route may say, in the order of the values
// that they stand for.
var (
	tlsWords     = []string{route.May.String(), route.Require.String(), route.Verify.String()}
	preferences  = []string{"any", "ipv4", "ipv6", "ipv4-only", "ipv6-only"}
	byPreference = []route.Family{route.AnyFamily, route.IPv4First, route.IPv6First, route.IPv4Only, route.IPv6Only}
)

// readRoutes needs the schedules.
func (r *reader) readRoutes(all []section, c *Config) {
	before := map[string]int{} // domain → line of its first route
	for _, s := range all {
		t := r.readRoute(s, c)
		if d := shadow(before, t.Domain); d != "" {
			r.doubt(s.find("domain").n.at, "this route is never reached; the one in line %d for %q takes its mail first", before[d], d)
		} else if t.Domain != "" {
			before[t.Domain] = s.place().line
		}
		c.Routes = append(c.Routes, t)
	}
	if len(all) == 0 {
		c.Routes = []route.Route{{Rule: builtIn + " route", Domain: "*", To: []route.Target{{}}, Schedule: "default"}}
	}
}

func (r *reader) readRoute(s section, c *Config) route.Route {
	t := route.Route{Rule: s.rule(), Schedule: "default"}
	read(s, "domain", &t.Domain, func(v value) (string, bool) {
		if v.n.text == "*" {
			return "*", true
		}
		return pattern(v)
	})
	read(s, "to", &t.To, someOf(`["mx"]`, target))
	if s.find("domain").n == nil {
		r.wrong(s.place(), `route without domain; write domain = "example.com", "*.example.com" or "*"`)
	}
	if s.find("to").n == nil {
		r.wrong(s.place(), `route without to; write to = ["mx"] or ["smtp:HOST:PORT"]`)
	}
	read(s, "schedule", &t.Schedule, func(v value) (string, bool) { return scheduleName(v, c) })
	read(s, "tls", &t.TLS, func(v value) (route.TLS, bool) {
		w, ok := word(tlsWords...)(v)
		return route.TLS(max(0, slices.Index(tlsWords, w))), ok
	})
	r.readAuth(s, &t)
	read(s, "source", &t.Source, ip)
	read(s, "helo", &t.Helo, hostName)
	read(s, "prefer", &t.Family, func(v value) (route.Family, bool) {
		w, ok := word(preferences...)(v)
		return byPreference[max(0, slices.Index(preferences, w))], ok
	})
	read(s, "connections", &t.Limits.MaxConns, number(1))
	read(s, "messages_per_connection", &t.Limits.MaxMessages, number(1))
	read(s, "rate", &t.Limits, func(v value) (route.Limits, bool) { return rate(v, t.Limits) })
	four := t.Family == route.IPv4First || t.Family == route.IPv4Only
	if t.Source.IsValid() && t.Family != route.AnyFamily && t.Source.Is4() != four {
		s.find("source").bad("source: from %s no address of the preferred kind can be reached; leave out one of the two", t.Source)
	}
	return t
}

// readAuth reads who we are to a smarthost. A password is given only to a host
// that has proved its name, so that tls = "verify" goes without saying.
func (r *reader) readAuth(s section, t *route.Route) {
	if v := s.find("auth"); v.n != nil && v.n.kind != unstable.Table {
		v.bad(`auth wants { user = "…", password_file = "…" }, not %s`, v.n.called())
		return
	}
	a := s.table("auth")
	read(a, "user", &t.Auth.User, text)
	read(a, "password_file", &t.Auth.PasswordFile, path)
	r.mention(a.find("password_file"), t.Auth.PasswordFile, true)
	if a.n == nil {
		return
	}
	for _, key := range []string{"user", "password_file"} {
		if a.find(key).n == nil {
			r.wrong(a.place(), `auth without %s; write auth = { user = "…", password_file = "…" }`, key)
		}
	}
	if v := s.find("tls"); v.n != nil && t.TLS != route.Verify {
		v.bad(`tls = %q would send no password; auth needs tls = "verify": a host that proves its name`, t.TLS)
	}
	t.TLS = route.Verify
}

func scheduleName(v value, c *Config) (string, bool) {
	s, ok := v.asText("the name of a schedule")
	if _, known := c.Schedules[s]; ok && !known {
		names := slices.Sorted(maps.Keys(c.Schedules))
		v.bad("there is no schedule %q%s (%s)", s, didYouMean(s, names), or(names))
		return "", false
	}
	return s, ok
}

// target reads one next hop.
func target(v value) (route.Target, bool) {
	s, ok := v.asText(`next hops like "mx" or "smtp:HOST:PORT"`)
	if !ok {
		return route.Target{}, false
	}
	t, err := route.ParseTarget(s)
	if err != nil {
		v.bad("to: %s", strings.TrimPrefix(err.Error(), "route: target "))
	}
	return t, err == nil
}

// rate reads "100/1m" into the limits.
func rate(v value, l route.Limits) (route.Limits, bool) {
	s, ok := v.asText(`messages in a time, like "100/1m"`)
	if !ok {
		return l, false
	}
	n, per, _ := strings.Cut(s, "/")
	messages, err := strconv.ParseUint(n, 10, 31)
	d, err2 := custody.ParseAge(per)
	if err != nil || err2 != nil || messages == 0 || d <= 0 {
		v.bad(`rate: %q is not messages in a time, like "100/1m"`, s)
		return l, false
	}
	l.Messages, l.Per = int(messages), d
	return l, true
}

// shadow returns the domain of an earlier route that matches all that this one
// would; "" if none does.
func shadow(before map[string]int, domain string) string {
	candidates := []string{"*", domain}
	for rest := strings.TrimPrefix(domain, "*."); ; {
		_, above, more := strings.Cut(rest, ".")
		if !more {
			break
		}
		candidates, rest = append(candidates, "*."+above), above
	}
	for _, d := range candidates {
		if before[d] > 0 && domain != "" {
			return d
		}
	}
	return ""
}

// unused warns of schedules that govern nothing, mostly a forgotten word.
func (r *reader) unused(written map[string]section, c *Config) {
	for name, s := range written {
		named := slices.ContainsFunc(c.Routes, func(t route.Route) bool { return t.Schedule == name })
		if !named && name != "default" && name != "notice" {
			r.doubt(s.place(), "no route names schedule %q; it governs nothing", name)
		}
	}
}

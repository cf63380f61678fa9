package route

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postrider/postrider/mail"
)

// Table finds the route of a domain. Of those that match, the first wins; a
// domain that none matches goes by MX. The zero Table sends everything by MX.
type Table struct {
	routes []Route
	exact  map[string]int // domain → index of its first route
	below  map[string]int // "example.com" of "*.example.com" → index
	any    int            // index of the first "*"; len(routes): none
	rest   *Route         // of what no route matches
}

// NewTable makes a table. It fails on a Domain that no domain could match.
func NewTable(routes []Route) (*Table, error) {
	t := &Table{
		routes: append([]Route(nil), routes...),
		exact:  make(map[string]int),
		below:  make(map[string]int),
		any:    len(routes),
		rest:   byMX(),
	}
	for i := range t.routes {
		r := &t.routes[i]
		if len(r.To) == 0 {
			r.To = []Target{{}}
		}
		if r.Domain == "*" {
			t.any = min(t.any, i)
			continue
		}
		name, sub := strings.CutPrefix(r.Domain, "*.")
		canonical, err := mail.CanonicalDomain(name)
		if err != nil || sub && name[0] == '[' {
			return nil, fmt.Errorf("route: %s: domain %q: want \"example.com\", \"*.example.com\" or \"*\"", r.Rule, r.Domain)
		}
		index := t.exact
		if sub {
			index, r.Domain = t.below, "*."+canonical
		} else {
			r.Domain = canonical
		}
		if _, ok := index[canonical]; !ok {
			index[canonical] = i
		}
	}
	return t, nil
}

func byMX() *Route { return &Route{Domain: "*", To: []Target{{}}, Rule: "by MX (no route matches)"} }

// Match returns the route of a domain in canonical form; never nil.
func (t *Table) Match(domain string) *Route {
	first := t.any
	if i, ok := t.exact[domain]; ok {
		first = min(first, i)
	}
	if len(t.below) > 0 && !strings.HasPrefix(domain, "[") {
		for rest := domain; ; {
			dot := strings.IndexByte(rest, '.')
			if dot < 0 {
				break
			}
			rest = rest[dot+1:]
			if i, ok := t.below[rest]; ok {
				first = min(first, i)
			}
		}
	}
	switch {
	case first < len(t.routes):
		return &t.routes[first]
	case t.rest == nil:
		return byMX()
	}
	return t.rest
}

// limits returns what a host is asked to bear, whatever the domain: the limits of
// the first route that leads to it, zero if none does.
func (t *Table) limits(to Target) Limits {
	for _, r := range t.routes {
		if slices.Contains(r.To, to) {
			return r.Limits
		}
	}
	return Limits{}
}

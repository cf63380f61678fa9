package route

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTheFirstMatchWins(t *testing.T) {
	table, err := NewTable([]Route{
		{Domain: "a.example.com", Rule: "0"},
		{Domain: "*.Example.COM", Rule: "1"},
		{Domain: "b.example.com", Rule: "2"}, // never reached
		{Domain: "bücher.example", Rule: "3"},
		{Domain: "[192.0.2.1]", Rule: "4"},
		{Domain: "*", Rule: "5"},
		{Domain: "*.net", Rule: "6"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]string{
		"a.example.com": "0", "b.example.com": "1", "x.y.example.com": "1", "example.com": "5", "notexample.com": "5",
		"xn--bcher-kva.example": "3", "[192.0.2.1]": "4", "[192.0.2.2]": "5", "example.net": "5", "": "5",
	} {
		if got := table.Match(domain).Rule; got != want {
			t.Errorf("%s: route %s, want %s", domain, got, want)
		}
	}
	for _, bad := range []string{"", "*.", "*.*", "*foo.com", "a..b", "*.[192.0.2.1]", "a b"} {
		if _, err := NewTable([]Route{{Domain: bad, Rule: "postrider.toml:7 route"}}); err == nil || !strings.Contains(err.Error(), "postrider.toml:7") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestWithoutARouteMailGoesByMX(t *testing.T) {
	some, _ := NewTable([]Route{{Domain: "example.com"}})
	for _, table := range []*Table{new(Table), some} {
		if r := table.Match("example.net"); len(r.To) != 1 || r.To[0] != (Target{}) || r.Rule == "" {
			t.Errorf("%+v", r)
		}
	}
	if r := some.Match("example.com"); len(r.To) != 1 || r.To[0].Kind != MX {
		t.Errorf("%+v", r)
	}
}

// naive is Match as the manual puts it.
func naive(routes []Route, domain string) string {
	for _, r := range routes {
		below, sub := strings.CutPrefix(r.Domain, "*.")
		if r.Domain == "*" || r.Domain == domain || sub && strings.HasSuffix(domain, "."+below) {
			return r.Rule
		}
	}
	return byMX().Rule
}

func TestMatchIsTheNaiveLoopMadeFast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		domain := rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab"}), 1, 4).Draw(t, "labels"), ".")
		})
		pattern := rapid.Custom(func(t *rapid.T) string {
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 0:
				return "*"
			case 1, 2, 3, 4:
				return "*." + domain.Draw(t, "below")
			}
			return domain.Draw(t, "exact")
		})
		var routes []Route
		for i, p := range rapid.SliceOfN(pattern, 0, 12).Draw(t, "patterns") {
			routes = append(routes, Route{Domain: p, Rule: fmt.Sprint(i)})
		}
		table, err := NewTable(routes)
		if err != nil {
			t.Fatal(err)
		}
		d := domain.Draw(t, "domain")
		if got, want := table.Match(d).Rule, naive(routes, d); got != want {
			t.Fatalf("%s: route %s, want %s", d, got, want)
		}
	})
}

func BenchmarkMatchOf10000(b *testing.B) {
	var routes []Route
	for i := range 5000 {
		routes = append(routes, Route{Domain: fmt.Sprintf("d%d.example.com", i)}, Route{Domain: fmt.Sprintf("*.s%d.example.com", i)})
	}
	t, _ := NewTable(append(routes, Route{Domain: "*"}))
	for b.Loop() {
		t.Match("a.b.s4999.example.com")
	}
}

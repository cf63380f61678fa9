package auth

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/mail"
)

// scenario is a zone of the RFC 7208 suite with the checks made in it.
type scenario struct {
	Description string
	Tests       map[string]struct {
		Helo, Host, MailFrom, Explanation string
		Result                            many
	}
	ZoneData map[string][]map[string]many
}

// many is one word or a list of them.
type many []string

func (m *many) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.SequenceNode {
		return n.Decode((*[]string)(m))
	}
	*m = many{n.Value}
	return nil
}

// deviations are the cases of the suite in which we differ, with the reason.
var deviations = map[string]string{
	"a-colon-domain":            "the library takes no \"/\" or \":\" within a domain",
	"a-colon-domain-ip4mapped":  "the same",
	"mx-colon-domain":           "the same",
	"mx-colon-domain-ip4mapped": "the same",
	"macro-mania-in-domain":     "our resolver asks for no name with a blank in it",
	"p-macro-ip4-valid":         "%{p} is \"unknown\": RFC 7208 7.2 advises against it",
	"p-macro-ip6-valid":         "the same",
	"p-macro-multiple":          "the same",
}

func TestTheSPFSuiteOfRFC7208(t *testing.T) {
	f, err := os.Open("../../../shared/corpora/spf/rfc7208-tests.yml")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the RFC 7208 test suite is not here (shared/corpora/spf/rfc7208-tests.yml beside the project)")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ran := 0
	for d := yaml.NewDecoder(f); ; {
		var s scenario
		if err := d.Decode(&s); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		zone := s.zone()
		for name, c := range s.Tests {
			ran++
			t.Run(name, func(t *testing.T) {
				got := Checker{Resolver: zone}.SPF(t.Context(), netip.MustParseAddr(c.Host), c.Helo, sender(c.MailFrom))
				want := strings.Replace(c.Explanation, "DEFAULT", "", 1)
				same := slices.Contains(c.Result, string(got.Result)) && got.Explanation == want
				if why := deviations[name]; why != "" {
					if same {
						t.Errorf("is right, though listed as a deviation: %s", why)
					}
				} else if !same {
					t.Errorf("%s from %s, %q: %+v, want %v %q", c.Host, c.Helo, c.MailFrom, got, c.Result, want)
				}
			})
		}
	}
	if ran != 203 {
		t.Errorf("%d cases, want 203", ran)
	}
}

// sender splits at the last "@", as the envelope's parser does.
func sender(s string) mail.Address {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return mail.Address{Local: s}
	}
	return mail.Address{Local: s[:i], Domain: s[i+1:]}
}

// zone returns the records of a scenario. SPF stands for a TXT record where none
// is given, and TIMEOUT answers for every type that the name does not have.
func (s scenario) zone() *dns.Zone {
	z := new(dns.Zone)
	for name, records := range s.ZoneData {
		if strings.Contains(name, " ") {
			continue // our resolver asks for no such name
		}
		has := map[string]bool{}
		for _, r := range records {
			for typ, v := range r {
				has[typ] = true
				switch {
				case typ == "TIMEOUT", typ == "SPF", typ == "TXT" && v[0] == "NONE":
				case typ == "CNAMELOOP":
					z.Add(name, "CNAME "+name)
				case typ == "MX":
					z.Add(name, "MX "+v[0]+" "+v[1]+".")
				case typ == "TXT":
					z.Add(name, text(v))
				default:
					z.Add(name, typ+" "+strings.Join(v, " "))
				}
			}
		}
		for _, r := range records {
			if v, ok := r["SPF"]; ok && !has["TXT"] {
				z.Add(name, text(v))
			}
		}
		for _, typ := range []string{"A", "AAAA", "MX", "TXT", "PTR"} {
			none := slices.ContainsFunc(records, func(r map[string]many) bool { return slices.Equal(r[typ], many{"NONE"}) })
			if has["TIMEOUT"] && (!has[typ] || none) {
				z.Fail(name, typ, dns.Silent)
			}
		}
	}
	return z
}

func text(v many) string {
	quoted := "TXT"
	for _, s := range v {
		quoted += " " + quote(s)
	}
	if len(v) == 0 {
		quoted += ` ""`
	}
	return quoted
}

// quote writes a text as a zone file has it.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			fmt.Fprintf(&b, "\\%03d", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String() + `"`
}

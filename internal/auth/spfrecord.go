package auth

import (
	"net/netip"
	"regexp"
	"strings"
)

// The grammar of RFC 7208 12, without ip4 and ip6.
const (
	spfMacro  = `%(?:\{[slodiphv][0-9]*r?[-.+,/_=]*\}|[%_-])`
	spfString = `(?:` + spfMacro + `|[!-$&-~])*`
	spfTop    = `(?:[a-z0-9]*[a-z][a-z0-9]*|[a-z0-9]+-[a-z0-9-]*[a-z0-9])`
	spfDomain = spfString + `(?:\.` + spfTop + `\.?|` + spfMacro + `)`
	spfMask   = `(?:/(?:0|[1-9]|[12][0-9]|3[0-2]))?(?://(?:0|[1-9][0-9]?|1[01][0-9]|12[0-8]))?`
)

var (
	spfMechanism = regexp.MustCompile(`(?i)^[-+~?]?(?:all|(?:include|exists):` + spfDomain +
		`|ptr(?::` + spfDomain + `)?|(?:a|mx)(?::` + spfDomain + `)?` + spfMask + `)$`)
	spfModifier = regexp.MustCompile(`(?i)^[a-z][a-z0-9._-]*=` + spfString + `$`)
	spfTarget   = regexp.MustCompile(`(?i)^(?:redirect|exp)=` + spfDomain + `$`)
)

// isSPF reports whether a text is an SPF record (RFC 7208 4.5).
func isSPF(txt string) bool {
	version, _, _ := strings.Cut(txt, " ")
	return strings.EqualFold(version, "v=spf1")
}

// wellFormed reports whether each term of an SPF record follows the grammar. One
// that does not makes the record a permerror even behind the term that matches
// (RFC 7208 4.6); the library reads no further than that, and takes much for a
// domain.
func wellFormed(record string) bool {
	seen := map[string]bool{}
	for term := range strings.SplitSeq(record[len("v=spf1"):], " ") {
		if term == "" || spfMechanism.MatchString(term) || spfNetwork(term) {
			continue
		}
		if !spfModifier.MatchString(term) {
			return false
		}
		name, _, _ := strings.Cut(strings.ToLower(term), "=")
		if name == "redirect" || name == "exp" {
			if seen[name] || !spfTarget.MatchString(term) {
				return false
			}
			seen[name] = true
		}
	}
	return true
}

// spfNetwork reports whether a term is an ip4 or ip6 mechanism.
func spfNetwork(term string) bool {
	if strings.IndexByte("+-~?", term[0]) >= 0 {
		term = term[1:]
	}
	kind, network, _ := strings.Cut(term, ":")
	six := strings.EqualFold(kind, "ip6")
	if !six && !strings.EqualFold(kind, "ip4") {
		return false
	}
	prefix, err := netip.ParsePrefix(network)
	ip := prefix.Addr()
	if err != nil {
		ip, err = netip.ParseAddr(network)
	}
	return err == nil && ip.Is6() == six && ip.Zone() == ""
}

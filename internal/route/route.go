// Package route says where a message goes next: to the MX hosts of its domain,
// to a smarthost or a content filter, or into a mailbox by LMTP; in which order
// the hosts are tried; and, where there is none, in words of ours why.
//
// It never connects: it reads a table and asks the DNS. It is asked anew at
// every attempt, so that a changed configuration governs mail already queued;
// the resolver's memory makes that cheap. It never decides when to try or when
// to give up: that is custody's law, to which it only says whether waiting can
// help (see [NoWay]).
//
// Start reading at [Finder.Find], then [Route].
package route

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// Route is how mail for some domains leaves. The zero Route sends by MX.
type Route struct {
	// Domain is "example.com", "*.example.com" (every name below it, not the
	// name itself) or "*".
	Domain   string
	To       []Target // in order, with failover; empty: by MX
	Schedule string   // its name; "": the default one
	Rule     string   // where this is configured: "postrider.toml:12 route"

	TLS    TLS
	Auth   Auth       // zero: no AUTH
	Helo   string     // what we call ourselves; "": the host name
	Source netip.Addr // we connect from it, so only to addresses of its family; zero: the system decides
	Family Family
	Limits Limits
}

// Auth is how a smarthost knows us.
type Auth struct {
	User         string
	PasswordFile string
}

// Limits bound what one destination is asked to bear. A zero field means the
// carrier's default.
type Limits struct {
	MaxConns    int // connections at a time
	MaxMessages int // messages over one connection
	// At most Messages are begun in each Per.
	Messages int
	Per      time.Duration
}

// TLS is how well the next hop must prove itself.
type TLS uint8

const (
	May     TLS = iota // encrypt where offered, trust any certificate (RFC 7435)
	Require            // encrypt, trust any certificate
	Verify             // encrypt, the certificate must be valid for the host
)

// Family is which addresses of a host are tried first, or at all.
type Family uint8

const (
	// AnyFamily takes turns, IPv4 first: some large hosts refuse for good what
	// comes over IPv6 from an address without a name.
	AnyFamily Family = iota
	IPv4First
	IPv6First
	IPv4Only
	IPv6Only
)

var (
	tlsNames    = []string{"may", "require", "verify"}
	familyNames = []string{"any", "ipv4-first", "ipv6-first", "ipv4-only", "ipv6-only"}
)

// String returns the word of the configuration.
func (t TLS) String() string { return tlsNames[t] }

// MarshalText writes the word of the configuration.
func (t TLS) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads "may", "require" or "verify".
func (t *TLS) UnmarshalText(b []byte) error {
	i, err := wordOf(tlsNames, string(b))
	*t = TLS(i)
	return err
}

// String returns the word of the configuration.
func (f Family) String() string { return familyNames[f] }

// MarshalText writes the word of the configuration.
func (f Family) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads "any", "ipv4-first", "ipv6-first", "ipv4-only" or "ipv6-only".
func (f *Family) UnmarshalText(b []byte) error {
	i, err := wordOf(familyNames, string(b))
	*f = Family(i)
	return err
}

func wordOf(words []string, s string) (int, error) {
	i := slices.Index(words, s)
	if i < 0 {
		return 0, fmt.Errorf("%q is none of %s", s, strings.Join(words, ", "))
	}
	return i, nil
}

// Way is where a message goes next.
type Way struct {
	Kind   Kind // of the first host
	Domain string
	Hosts  []Host // in the order in which they are to be tried; at least one
	// Site names the destination: domains with equal MX sets are one, and what
	// one learns of its hosts is true for the other.
	Site string
	// Lane is the Site plus what the route demands of a connection: what may
	// share connections and limits.
	Lane  string
	Route *Route // the settings; never nil, never to be changed
	TLS   TLS
	Rule  string // what decided: "postrider.toml:12 route"
}

// String returns the way as an attempt records it: "mx example.com",
// "relay filter.example.com:25", "lmtp unix:/run/dovecot/lmtp".
func (w Way) String() string {
	if w.Kind == MX {
		return "mx " + w.Domain
	}
	_, where, _ := strings.Cut(w.Site, ":")
	return w.Kind.String() + " " + where
}

// Host is a host to try.
type Host struct {
	Name string // as configured or as its MX record says, lower case
	Port uint16 // 0 with Unix
	IPs  []netip.Addr
	Unix string // path of a socket; then there are no IPs
	Pref uint16 // of its MX record
	LMTP bool   // it speaks LMTP
}

// NoWay says why there is no next hop.
type NoWay struct {
	Reply     mail.Reply // Code 0: the words are ours
	Permanent bool       // waiting will not help
	Rule      string     // what decided
	ends      bool       // no other target may be tried: the domain itself takes no mail
}

// maxWords bounds our words: names in them come from the DNS.
const maxWords = 500

func (s search) later(detail uint16, words string, args ...any) *NoWay {
	return s.no(mail.Status{4, 4, detail}, words, args...)
}

func (s search) never(subject, detail uint16, words string, args ...any) *NoWay {
	return s.no(mail.Status{5, subject, detail}, words, args...)
}

func (s search) no(status mail.Status, words string, args ...any) *NoWay {
	text := mail.Clean(fmt.Sprintf(words, args...), maxWords)
	return &NoWay{Reply: mail.Reply{Status: status, Text: text}, Permanent: status[0] == 5, Rule: s.route.Rule}
}

// end marks a refusal that no other target of the route can mend.
func (n *NoWay) end() *NoWay {
	n.ends = true
	return n
}

// Package dns answers the questions a mail system asks of the DNS: who takes
// mail for a domain, at which addresses, what a domain says in its TXT records,
// and what an address is called.
//
// It keeps apart what must be answered apart: a name that does not exist, a name
// without such a record, a server that failed and a server that said nothing
// (see [Kind]). It never decides what an answer means for a message, never reads
// /etc/hosts or search lists (a domain in an envelope is absolute), and never
// validates DNSSEC itself: it believes the AD bit of a server it was told to
// trust. Its library, github.com/miekg/dns, is seen nowhere outside.
//
// Start reading at [Resolver], then [Client]; [Zone] answers in tests.
package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
)

// Resolver answers questions about absolute names, given in ASCII without the
// final dot. A name is followed through its aliases (CNAME). An answer without
// records is an *[Error].
type Resolver interface {
	MX(ctx context.Context, domain string) (Answer[MX], error)
	// IPs asks for A and AAAA side by side; where one fails and the other
	// answers, the answer stands, for a host is reached by either. Who asks whether
	// an address is among them wants IPsLike. IPv4 comes first.
	IPs(ctx context.Context, host string) (Answer[netip.Addr], error)
	TXT(ctx context.Context, name string) (Answer[string], error)
	PTR(ctx context.Context, ip netip.Addr) (Answer[string], error)
}

// IPsLike asks for the addresses of a host to look for one among them. Unlike IPs it
// is an error if those of ip's family could not be had: that ip is not there would
// be no word of the DNS's. Where there are none at all the error is that of ip's family.
func IPsLike(ctx context.Context, r Resolver, host string, ip netip.Addr) (Answer[netip.Addr], error) {
	a, err := r.IPs(ctx, host)
	e := a.missing[0]
	if ip.Unmap().Is6() {
		e = a.missing[1]
	}
	if e != nil && (err != nil || e.Temporary()) {
		return Answer[netip.Addr]{}, e
	}
	return a, err
}

// Answer is a set of records of one type.
type Answer[T any] struct {
	Records []T    // at least one
	Name    string // where they were found: the name asked for, or what it is an alias of
	Secure  bool   // a trusted server said that it validated them (the AD bit, RFC 4035 3.2.3)

	missing [2]*Error // of IPs: why there are none of IPv4, and of IPv6; nil: there are
}

// Missing returns why one family is not among the addresses that IPs found: there are
// none, or its look-up failed. It is nil if both are.
func (a Answer[T]) Missing() *Error { return cmp.Or(a.missing[0], a.missing[1]) }

// MX is a host that takes mail for a domain. An empty Host is the null MX "."
// of a domain that takes none (RFC 7505).
type MX struct {
	Pref uint16
	Host string // lower case, without the final dot
}

// Kind tells the ways a question can go without an answer.
type Kind uint8

const (
	NoName   Kind = iota + 1 // no such name (NXDOMAIN)
	NoData                   // the name has no such record
	BadName                  // not a name the DNS could hold
	Failed                   // the server tried and failed (SERVFAIL)
	Bogus                    // the server failed because DNSSEC signatures are wrong (RFC 8914)
	Refused                  // the server does not answer us
	Lame                     // the server only refers to others: it is no resolver, or not for this name
	Garbled                  // the answer cannot be used: malformed, or about something else
	Loop                     // aliases that lead to each other, or too many of them
	Silent                   // no answer in time
	NoServer                 // there is no server to ask, or none that can be reached
)

var kindNames = [...]string{"no error", "NXDOMAIN", "no such record", "not a domain name", "SERVFAIL", "bogus DNSSEC signatures",
	"REFUSED", "lame server", "garbled answer", "endless alias", "no answer", "no DNS server configured or reachable"}

// String returns the kind in the words of those who run name servers.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Error is a question that had no answer.
type Error struct {
	Name   string // the name that was asked for
	Type   string // "MX"
	Kind   Kind
	Server string // who said so, or did not; "" if nobody was asked
	Secure bool   // a trusted server validated that the record does not exist
	Err    error  // what lies beneath; nil where the server's word is all
}

// Error says which question met what, and from whom.
func (e *Error) Error() string {
	s := fmt.Sprintf("dns: %s %s: %v", e.Type, e.Name, e.Kind)
	if e.Server != "" {
		s += " from " + e.Server
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns what lies beneath.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether the same question may be answered later. Only the
// DNS's own word that there is nothing is final (RFC 5321 5.1).
func (e *Error) Temporary() bool {
	return e.Kind != NoName && e.Kind != NoData && e.Kind != BadName
}

// KindOf returns the kind of an error of this package, 0 for any other.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return 0
}

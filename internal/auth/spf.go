package auth

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"blitiri.com.ar/go/spf"

	"github.com/postrider/postrider/mail"
)

// maxSPFQuestions bounds what one SPF check asks, beyond the ten terms of RFC
// 7208 4.6.4: ten mx terms of ten hosts each would ask 110 times.
const maxSPFQuestions = 30

// SPF says whether the client may use the domain of the return path (RFC 7208).
type SPF struct {
	Result Result
	Domain string // whose record was asked for, in A-labels; "" if there is no domain
	Helo   bool   // the return path is null, and Domain the one of HELO (RFC 7208 2.4)

	// Mechanism is the kind of the one that matched: "all", "ip", "a", "mx",
	// "ptr" or "exists"; "" if none did.
	Mechanism string
	// Explanation is what the domain has to say to those it disowns (RFC 7208
	// 6.2). These are foreign words: show them as such. "": it has none.
	Explanation string
	Reason      string // why there is no better Result; "" for pass, fail, softfail and neutral
}

// SPF checks whether client may send with the return path from, or call itself
// helo if that is the zero Address, the null path (RFC 7208 2.3, 2.4). It asks at
// most 30 questions: 10 terms and 2 empty answers as RFC 7208 4.6.4 wants, the
// rest is left for hosts of mx terms.
func (c Checker) SPF(ctx context.Context, client netip.Addr, helo string, from mail.Address) SPF {
	ctx, cancel := context.WithTimeout(ctx, c.time())
	defer cancel()
	out := SPF{Result: None}
	given, local := from.Domain, from.Local
	if given == "" { // the null path; "postmaster" without a domain is no identity either
		given, out.Helo = helo, true
	}
	domain, err := mail.CanonicalDomain(strings.TrimSuffix(given, "."))
	if err != nil || domain[0] == '[' || !strings.Contains(domain, ".") {
		out.Reason = "no domain name to ask about" // RFC 7208 4.3
		return out
	}
	out.Domain = domain
	if local == "" || out.Helo {
		local = "postmaster" // RFC 7208 4.3
	}
	// The library finds the domain behind the first "@"; a quoted one in the local
	// part would choose another domain's record.
	sender := strings.ReplaceAll(local, "@", "%40") + "@" + domain
	ip := client.Unmap().WithZone("")
	a := newAsker(c.Resolver, maxSPFQuestions)
	a.client = ip
	result, err := spf.CheckHostWithSender(ip.AsSlice(), helo, sender,
		spf.WithContext(ctx), spf.WithResolver(a))
	out.Result = Result(result)
	if a.exhausted() {
		out.Result, err = PermError, spf.ErrLookupLimitReached
	}
	switch out.Result {
	case None:
		out.Reason = "no SPF record"
	case TempError, PermError:
		out.Reason = spfReason(err)
	default:
		if err != nil {
			out.Mechanism = mechanisms[err]
		}
	}
	if out.Result == Fail {
		m := macros{client: ip, helo: helo, sender: sender, now: time.Now()}
		out.Explanation = explanation(ctx, a, m, domain)
	}
	return out
}

var mechanisms = map[error]string{
	spf.ErrMatchedAll: "all", spf.ErrMatchedIP: "ip", spf.ErrMatchedA: "a", spf.ErrMatchedMX: "mx",
	spf.ErrMatchedPTR: "ptr", spf.ErrMatchedExists: "exists",
}

// spfReason puts the library's errors into words for people.
func spfReason(err error) string {
	switch {
	case err == nil:
		return "the record cannot be used"
	case errors.Is(err, spf.ErrLookupLimitReached):
		return "the record takes too many look-ups"
	case errors.Is(err, spf.ErrVoidLookupLimitReached):
		return "the record names too much that does not exist"
	case errors.Is(err, spf.ErrNoResult):
		return "a domain that the record includes has none"
	}
	return mail.Clean(err.Error(), 200)
}

// Package auth finds out who sent a message, and signs what we send: SPF (RFC
// 7208), DKIM (RFC 6376, 8301, 8463), DMARC (RFC 9989), and the field that tells
// the results to those behind us (RFC 8601).
//
// It never decides what becomes of a message: [Results] are plain values for the
// rules of package policy, and a look-up that fails is [TempError], never a
// [Fail]. It believes nothing that a message says about itself, asks the DNS only
// through the resolver it is given, and bounds every look-up, so that no message
// makes it ask much or wait long. It never holds a body in memory, and never
// rewrites a header but to take out forged results (see [Strip]).
//
// Start reading at [Checker]; [Signer] is the other direction.
package auth

import (
	"cmp"
	"context"
	"io"
	"time"

	"github.com/sourcegraph/conc"

	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/mail"
)

// Result is what one method found, in the words of RFC 8601 2.7. The empty
// Result means that the method was not tried.
type Result string

const (
	None      Result = "none"      // there was nothing to check
	Pass      Result = "pass"      // the domain vouches for the message
	Fail      Result = "fail"      // the domain disowns it, or the signature is wrong
	SoftFail  Result = "softfail"  // SPF: probably disowned
	Neutral   Result = "neutral"   // SPF: the domain says nothing; DKIM: the field cannot be read
	Policy    Result = "policy"    // DKIM: signed in a way that is not accepted, whether true or not
	TempError Result = "temperror" // a look-up failed: the same check may succeed later
	PermError Result = "permerror" // what the domain publishes, or the message says, cannot be used
)

// longest is the time for the look-ups of one call unless another is given (RFC 7208
// 4.6.4 wants at least 20 s for SPF).
const longest = 20 * time.Second

// Checker finds out who sent a message. What has no answer in time, or when the
// context of a call ends, is a TempError. It may be used by many goroutines.
type Checker struct {
	Resolver dns.Resolver
	Time     time.Duration // for the look-ups of one call; 0: 20 s
}

// time is that of one call.
func (c Checker) time() time.Duration { return cmp.Or(c.Time, longest) }

// Results are what was found out about a message.
type Results struct {
	SPF     SPF
	DKIM    []Signature // those that were checked, in the order of the header
	Skipped int         // DKIM signatures beyond the first eight, unread
	DMARC   DMARC
}

// Check verifies the DKIM signatures of a message (RFC 6376 6), the first eight
// from the top, and weighs them and what SPF found against the author that the
// message names (RFC 9989 5.3). The look-ups run side by side, and who sends can slow
// down his own: one half of the time is for keys and for the records of the authors,
// the other for whether what passed stands for them.
//
// The header must be as it was received. The body is what follows the blank line;
// it is read once, as a stream, and only while a signature wants it: nil is an
// empty one. Check returns when the body is read: a body that is still on its way
// may keep it longer than its look-ups.
func (c Checker) Check(ctx context.Context, spf SPF, h mail.Header, body io.Reader) Results {
	r := Results{SPF: spf}
	var wg conc.WaitGroup
	wg.Go(func() { r.DKIM, r.Skipped = c.signatures(ctx, h, body) })
	records, cancel := context.WithTimeout(ctx, c.time()/2)
	defer cancel()
	e := discover(records, c.Resolver, h)
	wg.Wait()
	rest, cancel := context.WithTimeout(ctx, c.time()/2)
	defer cancel()
	r.DMARC = e.judge(rest, r.SPF, r.DKIM)
	return r
}

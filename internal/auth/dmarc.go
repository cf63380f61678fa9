package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/mail"
)

// maxAuthors is how many domains of a From field are asked about.
const maxAuthors = 4

// DMARC says whether the domain that a reader sees vouches for the message (RFC
// 9989).
type DMARC struct {
	// Result is pass only if every domain in From does, none if one has no record
	// and no other fails, and permerror if the author is Unclear or the record has
	// no policy that can be read.
	Result  Result
	Domain  string   // the domain in From that decided it; "" if there is none
	Record  string   // the domain whose record applies; "" if there is none
	Asks    Handling // what that record asks for if the mail fails; "": there is none
	Testing bool     // t=y: Asks is one step milder than what is published
	SPF     bool     // the SPF domain passes and is aligned
	DKIM    bool     // a signature passes and is aligned

	// Unclear says that nobody can tell who the author is: there is no From field,
	// or two, or an address that cannot be read. Such mail asks no domain's leave,
	// and Asks is the strictest that any domain in it wants (RFC 9989 11.5).
	Unclear bool
	Reason  string // why there is no better Result; "" for pass and none
}

// evaluation is a DMARC check whose records are known and whose proofs are not. It
// asks at most 32 questions, and at most eight for one domain.
type evaluation struct {
	walker *walker
	from   authorship
	record []place // of each domain of from; zero: none
	err    []error
}

// discover finds the records that apply. Of several domains in From one may be slow on
// purpose: each has its part of the time.
func discover(ctx context.Context, r dns.Resolver, h mail.Header) *evaluation {
	e := &evaluation{walker: newWalker(r), from: authors(h)}
	if n := len(e.from.domains); n > maxAuthors {
		e.from.domains = e.from.domains[:maxAuthors]
		e.from.fault, e.from.hides = fmt.Sprintf("From has addresses of %d domains", n), true
	}
	for i, d := range e.from.domains {
		var p place
		var err error
		if d[0] != '[' {
			done := e.walker.within(ctx, len(e.from.domains)-i)
			p, err = e.walker.policy(d)
			done()
		}
		e.record = append(e.record, p)
		e.err = append(e.err, err)
	}
	return e
}

// judge weighs the proofs. Of several author domains the one counts that comes off
// worst.
func (e *evaluation) judge(ctx context.Context, spf SPF, sigs []Signature) DMARC {
	var out DMARC
	var strictest Handling
	for i, d := range e.from.domains {
		done := e.walker.within(ctx, len(e.from.domains)-i)
		r := e.one(d, e.record[i], e.err[i], spf, sigs)
		done()
		strictest = stricter(strictest, r.Asks)
		if i == 0 || weight(r) > weight(out) {
			out = r
		}
	}
	if e.from.fault != "" {
		out.Result, out.Unclear, out.Reason = PermError, true, e.from.fault
		out.Asks, out.SPF, out.DKIM = strictest, false, false
		if e.from.hides {
			out.Asks = Reject // the one it pretends to be from may be among those not asked
		}
	}
	return out
}

// weight orders results by how much they ask for: of several domains the strictest
// handling among those that fail counts (RFC 9989 11.5).
func weight(r DMARC) int {
	if r.Result == Fail && r.Asks != NoHandling {
		return len(verdicts) + slices.Index(handlings, r.Asks)
	}
	return slices.Index(verdicts, r.Result)
}

var verdicts = []Result{Pass, None, PermError, Fail, TempError}

// one judges the proofs for one author domain.
func (e *evaluation) one(author string, p place, err error, spf SPF, sigs []Signature) DMARC {
	out := DMARC{Result: None, Domain: author}
	switch {
	case err != nil:
		out.Result, out.Reason = TempError, err.Error()
		return out
	case p.record == nil:
		return out
	}
	out.Record, out.Testing = p.domain, p.record.testing
	if p.record.broken {
		out.Result, out.Reason = PermError, fmt.Sprintf("the DMARC record of %s has no policy that can be read", p.domain)
		return out
	}
	out.Asks = e.walker.asks(author, p)
	var late string // what may align later
	proves := func(id string, w Result, strict bool) bool {
		if w != Pass && w != TempError || id == "" {
			return false
		}
		same, err := e.walker.aligned(author, id, strict)
		switch {
		case err != nil && !errors.Is(err, errTooMany):
			late = err.Error()
		case same && w == TempError:
			late = fmt.Sprintf("what %s says could not be checked", id)
		}
		return same && w == Pass
	}
	out.SPF = proves(spf.Domain, spf.Result, p.record.strictSPF)
	for _, s := range sigs {
		out.DKIM = proves(s.Domain, s.Result, p.record.strictDKIM) || out.DKIM
	}
	switch {
	case out.SPF || out.DKIM:
		out.Result = Pass
	case late != "":
		out.Result, out.Reason = TempError, late
	default:
		out.Result, out.Reason = Fail, fmt.Sprintf("neither SPF nor a signature proves %s", author)
	}
	return out
}

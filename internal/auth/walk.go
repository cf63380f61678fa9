package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postrider/postrider/internal/dns"
)

// maxDMARCQuestions bounds what the DMARC check of one message asks: a walk takes
// at most eight (RFC 9989 4.10), and each signature may want another.
const maxDMARCQuestions = 32

// maxLabels is the length to which a walk cuts a long name after its first question.
const maxLabels = 7

var errTooMany = errors.New("too many look-ups")

// walker walks up the DNS tree and remembers what it saw.
type walker struct {
	ctx  context.Context // of the walk under way
	dns  dns.Resolver
	left int
	seen map[string]sight
}

// sight is what was found at a name.
type sight struct {
	record *dmarcRecord // nil: none
	err    error
}

// place is a record and where it was found.
type place struct {
	domain string
	record *dmarcRecord
}

func newWalker(r dns.Resolver) *walker {
	return &walker{dns: r, left: maxDMARCQuestions, seen: map[string]sight{}}
}

// within gives what is asked next, until done, one of n equal parts of the time that
// ctx has left.
func (w *walker) within(ctx context.Context, n int) (done func()) {
	end, ok := ctx.Deadline()
	if !ok {
		w.ctx = ctx
		return func() {}
	}
	w.ctx, done = context.WithTimeout(ctx, time.Until(end)/time.Duration(n))
	return done
}

// at returns the DMARC record of a domain. Several records are none (RFC 9989
// 4.10, step 2).
func (w *walker) at(domain string) (*dmarcRecord, error) {
	if s, ok := w.seen[domain]; ok {
		return s.record, s.err
	}
	if w.left == 0 {
		return nil, errTooMany
	}
	w.left--
	var s sight
	got, err := w.dns.TXT(w.ctx, "_dmarc."+domain)
	switch dns.KindOf(err) {
	case dns.NoName, dns.NoData, dns.BadName:
		err = nil
	}
	if err != nil {
		s.err = fmt.Errorf("no answer about the DMARC record of %s: %s", domain, words(err))
	}
	found := 0
	for _, txt := range got.Records {
		if r, ok := readDMARC(txt); ok {
			found++
			s.record = &r
		}
	}
	if found > 1 {
		s.record = nil
	}
	if w.ctx.Err() == nil { // else another may have time for it
		w.seen[domain] = s
	}
	return s.record, s.err
}

// walk returns the records at a domain and above it, the longest name first (RFC
// 9989 4.10).
func (w *walker) walk(domain string) ([]place, error) {
	var found []place
	for name := domain; name != ""; name = above(name) {
		r, err := w.at(name)
		if err != nil {
			return nil, err
		}
		if r != nil {
			found = append(found, place{name, r})
			if r.psd != "u" {
				break
			}
		}
	}
	return found, nil
}

// above returns the name that a walk asks for after another; "" behind the last.
func above(name string) string {
	_, parent, _ := strings.Cut(name, ".")
	for n := strings.Count(parent, "."); n >= maxLabels; n-- {
		_, parent, _ = strings.Cut(parent, ".")
	}
	return parent
}

// organization returns the organizational domain of a domain from what a walk
// found (RFC 9989 4.10.2).
func organization(domain string, found []place) string {
	org := domain
	for _, p := range found { // the one with the fewest labels comes last
		switch {
		case p.record.psd == "n":
			return p.domain
		case p.record.psd == "y" && p.domain != domain:
			return below(p.domain, domain)
		}
		org = p.domain
	}
	return org
}

// below returns the name one label below a parent on the way to a domain.
func below(parent, domain string) string {
	head := strings.TrimSuffix(domain, "."+parent)
	return head[strings.LastIndexByte(head, '.')+1:] + "." + parent
}

// org walks from a domain to its organizational domain.
func (w *walker) org(domain string) (string, error) {
	found, err := w.walk(domain)
	return organization(domain, found), err
}

// policy returns the record that applies to mail of a domain (RFC 9989 4.10.1):
// its own, else that of its organizational domain, else that of the public suffix.
func (w *walker) policy(domain string) (place, error) {
	if r, err := w.at(domain); err != nil || r != nil {
		return place{domain, r}, err
	}
	found, err := w.walk(domain)
	if err != nil || len(found) == 0 {
		return place{}, err
	}
	org := organization(domain, found)
	for _, p := range found {
		if p.domain == org {
			return p, nil
		}
	}
	return found[len(found)-1], nil // the public suffix, where the walk ended
}

// aligned reports whether an identifier that proved itself stands for the author
// (RFC 9989 4.4): it is the same domain or, unless that is wanted, of the same
// organization.
func (w *walker) aligned(author, id string, strict bool) (bool, error) {
	if id == author || strict {
		return id == author, nil
	}
	org, err := w.org(author)
	if err != nil || !within(id, org) {
		return false, err
	}
	other, err := w.org(id)
	return other == org && err == nil, err
}

// asks returns what the record that applies asks for mail of the author. Whether a
// domain exists is asked only where it matters; not to know is the stricter of both.
func (w *walker) asks(author string, p place) Handling {
	below := author != p.domain
	there, gone := p.record.asks(below, true), p.record.asks(below, false)
	if there == gone || w.left == 0 {
		return stricter(there, gone)
	}
	w.left--
	_, err := w.dns.MX(w.ctx, author)
	switch kind := dns.KindOf(err); {
	case kind == dns.NoName:
		return gone
	case err == nil, kind == dns.NoData:
		return there
	}
	return stricter(there, gone)
}

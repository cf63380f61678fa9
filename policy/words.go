package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// bounds sees that numbers and lists can hold at all.
func (b *builder) bounds(c *Conditions) {
	if c.Score < 0 {
		b.bad("score", "%d is reached by everyone; a score is above 0", c.Score)
	}
	if c.SizeAbove < 0 {
		b.bad("size_above", "above %d octets is every message", c.SizeAbove)
	}
	if c.RecipientsAbove < 0 {
		b.bad("recipients_above", "above %d is every message", c.RecipientsAbove)
	}
	for _, n := range c.Client {
		if !n.IsValid() {
			b.bad("client", "not a network")
		} else if n.Addr().Is4In6() {
			b.bad("client", "%s: write an IPv4 network as one, like 192.0.2.0/24", n)
		}
	}
	for _, r := range c.FromDomain {
		if int(r) >= len(reachNames) {
			b.bad("from_domain", "none, null-mx, no-mail-host or reachable")
		}
	}
	type list struct {
		key   string
		words []string
	}
	for _, l := range []list{{"listener", c.Listener}, {"listed", c.Listed}, {"user", c.User}} {
		if slices.Contains(l.words, "") {
			b.bad(l.key, "an empty name is none")
		}
	}
	for _, l := range []list{{"client_name", c.ClientName}, {"helo", c.Helo}, {"listener", c.Listener}, {"user", c.User}, {"from", c.From},
		{"to", c.To}, {"listed", c.Listed}, {"spf", c.SPF}, {"dkim", c.DKIM}, {"dmarc", c.DMARC}} {
		b.empty(l.key, l.words != nil, len(l.words))
	}
	b.empty("client", c.Client != nil, len(c.Client))
	b.empty("from_domain", c.FromDomain != nil, len(c.FromDomain))
}

func (b *builder) empty(key string, given bool, n int) {
	if given && n == 0 {
		b.bad(key, "an empty list holds for nobody; leave it out")
	}
}

// names parts a list of words and of names. A name has a dot, so that a word that
// is mistyped is not taken for one.
func names(b *builder, key string, list []string, words ...string) (are []string, ps []pattern) {
	for _, s := range list {
		if slices.Contains(words, s) {
			are = append(are, s)
			continue
		}
		p, ok := newPattern(s)
		if !ok || !p.any && strings.IndexByte(s, '.') < 0 {
			b.bad(key, "%q is neither a name like mx.example.com or *.example.com nor one of %s", mail.Clean(s, maxValue), strings.Join(words, ", "))
			continue
		}
		ps = append(ps, p)
	}
	return are, ps
}

// addresses does so for addresses and domains.
func addresses(b *builder, key string, list []string, words ...string) (are []string, ps []addressPattern) {
	for _, s := range list {
		if slices.Contains(words, s) {
			are = append(are, s)
			continue
		}
		p, ok := newAddressPattern(s)
		if !ok || !p.null && !p.domain.any && p.local == "" && strings.IndexByte(s, '.') < 0 {
			b.bad(key, "%q is neither an address like user@example.com nor a domain like example.com or *.example.com%s", mail.Clean(s, maxValue), or(words))
			continue
		}
		ps = append(ps, p)
	}
	return are, ps
}

func or(words []string) string {
	if len(words) == 0 {
		return `, nor "null"`
	}
	return ", nor one of " + strings.Join(words, ", ")
}

// words sees that a list has only words that there are, and that no fault refuses.
func (b *builder) words(key string, list, known []string) []string {
	if b.prefix == "" && b.r.Then == Refuse && slices.Contains(list, wordTempError) {
		b.bad(key, "temperror is a look-up that failed: that may be deferred, not refused")
	}
	for _, w := range list {
		if !slices.Contains(known, w) {
			b.bad(key, "%q is none of %s", mail.Clean(w, maxValue), strings.Join(known, ", "))
		}
	}
	return list
}

func (b *builder) rate(r Rate) condition {
	if r.By == 0 || int(r.By) >= len(byNames) {
		b.bad("rate", "by client, network, sender, recipient or user")
		r.By = ByClient
	}
	if r.Most < 1 {
		b.bad("rate", "most: at least 1")
	}
	if r.In < time.Second || r.In > 24*time.Hour {
		b.bad("rate", "in: from 1s to 24h")
	}
	need, ok := bit(&b.t.rates, r, rateBit, maxRates)
	if !ok {
		b.bad("rate", "a table counts by at most %d rates", maxRates)
	}
	return rate(r, need)
}

func (b *builder) filter() condition {
	need, ok := bit(&b.t.filters, b.r.Filter, filterBit, maxFilters)
	if !ok {
		b.bad("filter", "a table asks at most %d filters", maxFilters)
	}
	return opinion(b.r.Filter, need)
}

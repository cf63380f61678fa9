package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// defaultMemory is for how long greylisting remembers who came again: a month
// and some days, so that monthly mail is not put off.
const defaultMemory = 36 * 24 * time.Hour

// maxDelay leaves half of the window to come again in: who tries twice a day gets in.
const maxDelay = GreyWindow / 2

// greyText is said by greylisting without a text. Many servers look for the
// number of seconds.
const greyText = "we do not know this sender at {client} yet; your server need only try again in {wait} seconds or later"

// builder makes one Rule ready, and reports what is wrong with it.
type builder struct {
	t      *Table
	r      Rule
	report func(key, text string)
	prefix string // "not." for what must not hold
}

func (b *builder) bad(key, format string, args ...any) {
	b.report(b.prefix+key, fmt.Sprintf(format, args...))
}

func (b *builder) build() *rule {
	b.name()
	c := &rule{}
	domain := b.r.At == 0 || b.r.At >= Sender
	own := Sender
	if b.r.Then == Accept {
		own = Connect // who is ours already then is let in
	}
	c.ifs = b.conditions(&b.r.If, domain, false, own)
	b.prefix = "not."
	c.nots = b.conditions(&b.r.Not, domain, true, Sender)
	b.prefix = ""
	if b.r.Filter != "" {
		c.opinion = b.filter()
	}
	b.stage(c)
	b.action()
	b.reply(c)
	c.grey = greyCondition()
	if b.r.Place == "" {
		b.r.Place = "rule " + b.r.Name
	}
	c.Rule = b.r
	return c
}

func (b *builder) name() {
	bad := func(c rune) bool { return !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') }
	switch n := b.r.Name; {
	case n == "":
		b.bad("name", "a rule wants a name: it is told to whom it refuses")
	case len(n) > maxName || strings.ContainsFunc(n, bad):
		b.bad("name", "a name is up to %d of a-z, 0-9 and -", maxName)
	case slices.Contains(Reserved[:], n):
		b.bad("name", "%s is decided before any rule; take another name", n)
	}
}

// stage puts the rule where all that it asks for is known.
func (b *builder) stage(c *rule) {
	if int(b.r.At) >= len(stageNames) {
		b.bad("at", "there is no stage %d", b.r.At)
		b.r.At = Content
	}
	if b.r.At == 0 {
		b.r.At = Recipient
		for _, cs := range [...][]condition{c.ifs, c.nots} {
			for _, x := range cs {
				b.r.At = max(b.r.At, x.since)
			}
		}
		if b.r.Filter != "" {
			b.r.At = Content
		}
		if b.r.Then == Greylist {
			b.r.At = Recipient
		}
	}
	for i, cs := range [...][]condition{c.ifs, c.nots} {
		for _, x := range cs {
			if x.since > b.r.At {
				b.report([...]string{"", "not."}[i]+x.key, fmt.Sprintf("is known at %s, and the rule acts at %s", x.since, b.r.At))
			}
		}
	}
	if b.r.Then == Greylist && b.r.At != Recipient {
		b.bad("at", "greylisting is by client, sender and recipient: it acts at recipient")
	}
	if b.r.Filter != "" && b.r.At != Content {
		b.bad("at", "a filter is asked about the whole message: it acts at content")
	}
}

func (b *builder) action() {
	r := &b.r
	switch {
	case r.Filter != "" && r.Then != Pass:
		b.bad("then", "what filter %s says is done; leave then out", mail.Clean(r.Filter, maxValue))
	case r.Filter == "" && (r.Then == Pass || r.Then > Greylist):
		b.bad("then", "accept, defer, refuse or greylist")
	}
	if r.OnFault > FaultDefer {
		b.bad("on_fault", "pass or defer: what could not be checked is never refused")
	}
	if r.Then != Greylist {
		if r.Delay != 0 || r.Memory != 0 {
			b.bad("delay", "delay and memory are for greylist")
		}
		return
	}
	if r.Memory == 0 {
		r.Memory = defaultMemory
	}
	switch {
	case r.Delay <= 0:
		b.bad("delay", "greylist wants a delay, like 5m")
	case r.Delay > maxDelay:
		b.bad("delay", "%s is too long: at most %s, as a first visit is forgotten after %s (RFC 6647 5)", mailDuration(r.Delay), mailDuration(maxDelay), mailDuration(GreyWindow))
	case r.Memory <= r.Delay:
		b.bad("memory", "%s is too short: whoever comes again after %s is forgotten by then", mailDuration(r.Memory), mailDuration(r.Delay))
	}
}

// reply reads what is said to the client, and sees that it fits what is done.
func (b *builder) reply(c *rule) {
	r := &b.r
	if r.Then == Accept || r.Filter != "" {
		why := "accepted mail is told no rule"
		if r.Filter != "" {
			why = "the filter has words of its own"
		}
		for i, given := range [...]bool{r.Code != 0, !r.Status.IsZero(), r.Text != ""} {
			if given {
				b.bad([...]string{"code", "status", "text"}[i], "leave it out: %s", why)
			}
		}
		return
	}
	code, status := defaultReply(r.Then, r.At)
	class := code / 100
	loose := r.Status[0] == 0 && !r.Status.IsZero() // of a rule whose Then may have been changed
	switch {
	case r.Code == 0, loose && (r.Code/100 != class || r.At == Connect):
		r.Code = code
	case r.Code/100 != class:
		b.bad("code", "%d does not fit %s, which answers %dyz", r.Code, r.Then, class)
	case r.At == Connect && r.Code != 421 && r.Code != 521 && r.Code != 554:
		b.bad("code", "before the greeting only 421, 521 and 554 can be answered (RFC 5321 3.1, RFC 7504)")
	}
	switch {
	case r.Status.IsZero():
		r.Status = status
	case loose:
		r.Status[0] = uint16(class)
	case int(r.Status[0]) != class:
		b.bad("status", "%s does not fit %s, which answers %d.y.z", r.Status, r.Then, class)
	}
	if r.Text == "" && r.Then == Greylist {
		r.Text = greyText
	}
	var wrong []string
	c.words, wrong = readText(r)
	for _, w := range wrong {
		b.bad("text", "%s", w)
	}
}

// conditions makes those that are given ready, what costs nothing first.
func (b *builder) conditions(c *Conditions, domain, not bool, owns Stage) []condition {
	var cs []condition
	add := func(given bool, make func() condition) {
		if given {
			cs = append(cs, make())
		}
	}
	add(c.Own != nil, func() condition { return own(*c.Own, since(*c.Own, owns)) })
	add(c.Client != nil, func() condition { return clientIn(c.Client) })
	add(c.Listener != nil, func() condition { return listener(c.Listener) })
	add(c.TLS != nil, func() condition { return tls(*c.TLS) })
	add(c.Early != nil, func() condition { return early(*c.Early) })
	add(c.User != nil, func() condition { return user(c.User) })
	add(c.From != nil, func() condition {
		_, ps := addresses(b, "from", c.From)
		return from(ps)
	})
	add(c.To != nil, func() condition {
		words, ps := addresses(b, "to", c.To, "postmaster", "abuse")
		return to(words, ps, not)
	})
	add(c.SizeAbove != 0, func() condition { return sizeAbove(c.SizeAbove) })
	add(c.RecipientsAbove != 0, func() condition { return recipientsAbove(c.RecipientsAbove) })
	add(c.Helo != nil, func() condition {
		words, ps := names(b, "helo", c.Helo, heloOurs, heloLiteral, heloBare, heloMismatch)
		return helo(words, ps)
	})
	add(c.ClientName != nil, func() condition {
		words, ps := names(b, "client_name", c.ClientName, nameNone, nameUnconfirmed, nameConfirmed)
		return clientName(words, ps)
	})
	add(c.Proven != nil, func() condition { return proven(*c.Proven) })
	add(c.Rate != nil, func() condition { return b.rate(*c.Rate) })
	add(c.FromDomain != nil, func() condition { return fromDomain(c.FromDomain) })
	add(c.Score != 0, func() condition { return score(c.Score, domain) })
	add(c.Listed != nil, func() condition { return listed(c.Listed, domain) })
	add(c.SPF != nil, func() condition { return spf(b.words("spf", c.SPF, spfWords)) })
	add(c.DKIM != nil, func() condition { return dkim(b.words("dkim", c.DKIM, dkimWords)) })
	add(c.DMARC != nil, func() condition { return dmarc(b.words("dmarc", c.DMARC, dmarcWords)) })
	b.bounds(c)
	return cs
}

// since is when it is known who is ours: from Sender on, but that someone is may
// be so from the start.
func since(want bool, early Stage) Stage {
	if want {
		return early
	}
	return Sender
}

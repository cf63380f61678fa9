package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postrider/postrider/mail"
)

// The conditions on sender, recipients and message, and on what others say of
// them.

func from(ps []addressPattern) condition {
	return condition{key: "from", since: Sender,
		test: func(f *Facts) (truth, Need) {
			return is(slices.ContainsFunc(ps, func(p addressPattern) bool { return p.match(f.From) }))
		},
		say: sayFrom,
	}
}

func sayFrom(f *Facts) string { return "the sender is " + path(f) }

// path shows the return path.
func path(f *Facts) string { return shown(f.From.Path()) }

// to holds if it does for every recipient; where it must not hold, it may for
// none.
func to(words []string, ps []addressPattern, not bool) condition {
	return condition{key: "to", since: Recipient,
		test: func(f *Facts) (truth, Need) {
			n := 0
			for _, a := range f.To {
				if named(words, ps, a) {
					n++
				}
			}
			return is(n > 0 && (not || n == len(f.To)))
		},
		say: func(f *Facts) string { return "the mail is for " + recipients(f) },
	}
}

// named reports whether a recipient is one of these.
func named(words []string, ps []addressPattern, a mail.Address) bool {
	for _, w := range words {
		if strings.EqualFold(unquoted(a.Local), w) {
			return true
		}
	}
	for _, p := range ps {
		if p.match(a) {
			return true
		}
	}
	return false
}

// recipients shows whom a question is about.
func recipients(f *Facts) string {
	switch n := len(f.To); n {
	case 0:
		return "nobody yet"
	case 1:
		return shown(f.To[0].Path())
	default:
		return fmt.Sprintf("%s and %d more", shown(f.To[0].Path()), n-1)
	}
}

func fromDomain(words []Reach) condition {
	asked := func(f *Facts) bool { return f.From.Domain != "" && f.From.Domain[0] != '[' }
	return condition{key: "from_domain", since: Sender, need: NeedFromDomain,
		test: func(f *Facts) (truth, Need) {
			if !asked(f) {
				return no, 0
			}
			return ask(&f.FromDomain, NeedFromDomain, func(r Reach) bool { return slices.Contains(words, r) })
		},
		say: func(f *Facts) string {
			if !asked(f) {
				return sayFrom(f)
			}
			d := shown(f.From.Domain)
			return tell(&f.FromDomain, "who takes mail for "+d, func(r Reach) string {
				switch r {
				case NoDomain:
					return "there is no domain " + d
				case NullMX:
					return d + " says that it takes no mail (null MX)"
				case NoMailHost:
					return "no host takes mail for " + d
				}
				return d + " has hosts that take its mail"
			})
		},
	}
}

func sizeAbove(most int64) condition {
	return condition{key: "size_above", since: Sender,
		test: func(f *Facts) (truth, Need) { return is(f.Size > most) },
		say:  func(f *Facts) string { return fmt.Sprintf("the message has %d octets", f.Size) },
	}
}

func recipientsAbove(most int) condition {
	return condition{key: "recipients_above", since: Recipient,
		test: func(f *Facts) (truth, Need) { return is(f.Recipients > most) },
		say:  func(f *Facts) string { return fmt.Sprintf("the message has %d recipients so far", f.Recipients) },
	}
}

// score is sure of its answer only if no list that could not be asked would
// change it: a silent list of the good must not cost anyone his mail.
func score(least int, domain bool) condition {
	return onLists("score", domain, nil, func(all []Listing) truth {
		low, high := 0, 0
		for _, l := range all {
			if l.Fault == "" || l.Weight < 0 {
				low += l.Weight
			}
			if l.Fault == "" || l.Weight > 0 {
				high += l.Weight
			}
		}
		switch {
		case low >= least:
			return yes
		case high < least:
			return no
		}
		return fault
	})
}

func listed(names []string, domain bool) condition {
	return onLists("listed", domain, names, func(all []Listing) truth {
		t := no
		for _, l := range all {
			switch {
			case !slices.Contains(names, l.List):
			case l.Fault == "":
				return yes
			default:
				t = fault
			}
		}
		return t
	})
}

// onLists is a condition on what the lists say: of those named, or of all.
func onLists(key string, domain bool, names []string, holds func([]Listing) truth) condition {
	c := condition{key: key, since: Connect, need: NeedLists}
	if domain {
		c.need |= NeedFromLists
	}
	c.test = func(f *Facts) (truth, Need) {
		all, t, need := listings(f, domain)
		if t == yes {
			t = holds(all)
		}
		return t, need
	}
	c.say = func(f *Facts) string {
		t, _ := c.test(f)
		return sayLists(f, domain, names, t)
	}
	return c
}

// lists is what one look-up brings.
type lists struct {
	need Need
	fact *Fact[[]Listing] // nil: there is nothing to look up
}

// askedLists are those that a condition looks at: about the client and, with
// domain, about the sender's domain.
func askedLists(f *Facts, domain bool) (both [2]lists) {
	if f.Client.IsValid() {
		both[0] = lists{NeedLists, &f.Lists}
	}
	if domain && f.From.Domain != "" {
		both[1] = lists{NeedFromLists, &f.FromLists}
	}
	return both
}

// listings gathers what they say; yes if all of it is known.
func listings(f *Facts, domain bool) (all []Listing, t truth, need Need) {
	t = yes
	for _, l := range askedLists(f, domain) {
		switch x := l.fact; {
		case x == nil:
		case x.IsOpen():
			t, need = open, need|l.need
		case x.state == failed && t == yes:
			t = fault
		case all == nil:
			all = x.value
		default:
			all = slices.Concat(all, x.value)
		}
	}
	return all, t, need
}

// sayLists tells who is on which list; what could not be found out only where it
// counts.
func sayLists(f *Facts, domain bool, names []string, t truth) string {
	if t == open {
		return "the lists are not asked yet"
	}
	var said []string
	all, _, _ := listings(f, domain)
	for _, l := range all {
		switch {
		case names != nil && !slices.Contains(names, l.List):
		case l.Fault == "":
			said = append(said, on(l))
		case t == fault:
			said = append(said, fmt.Sprintf("%s could not be asked about %s: %s", shown(l.List), shown(l.What), shown(l.Fault)))
		}
	}
	if t == fault {
		for _, l := range askedLists(f, domain) {
			if l.fact != nil && l.fact.state == failed {
				why := l.fact.fault
				said = append(said, "the lists could not be asked: "+shown(why))
			}
		}
	}
	if said == nil {
		return client(f) + " is on none of the lists"
	}
	return strings.Join(said, ", ")
}

func on(l Listing) string {
	s := shown(l.What) + " is on " + shown(l.List)
	if l.Text != "" {
		s += " (" + shown(l.Text) + ")"
	}
	return s
}

// The words of RFC 7208, 8601 and 9989 that conditions may want.
var (
	spfWords   = []string{"none", "pass", "fail", "softfail", "neutral", wordTempError, "permerror"}
	dkimWords  = []string{"pass", wordTempError, "fail", "policy", "permerror", "neutral", "none"} // best first
	dmarcWords = []string{"none", "pass", "fail", wordTempError, "permerror", "reject", "quarantine"}
)

const wordTempError = "temperror"

// word asks for one of several words; that a look-up of it failed is a fault,
// unless that is what is asked for.
func word[T any](x *Fact[T], n Need, words []string, of func(T) string) (truth, Need) {
	t, n := ask(x, n, func(v T) bool { return slices.Contains(words, of(v)) })
	if t == no && of(x.value) == wordTempError {
		return fault, 0
	}
	return t, n
}

func spf(words []string) condition {
	return condition{key: "spf", since: Sender, need: NeedSPF,
		test: func(f *Facts) (truth, Need) {
			return word(&f.SPF, NeedSPF, words, func(s SPF) string { return s.Word })
		},
		say: func(f *Facts) string {
			return tell(&f.SPF, "SPF", func(s SPF) string {
				return "SPF is " + of(s.Word, "of", s.Domain, s.Reason)
			})
		},
	}
}

// of puts a result into words: "fail of example.org: why".
func of(word, by, domain, reason string) string {
	s := shown(word)
	if domain != "" {
		s += " " + by + " " + shown(domain)
	}
	if reason != "" {
		s += ": " + shown(reason)
	}
	return s
}

func dkim(words []string) condition {
	return condition{key: "dkim", since: Content, need: NeedDKIM,
		test: func(f *Facts) (truth, Need) {
			return word(&f.DKIM, NeedDKIM, words, func(all []Signature) string { return best(all).Word })
		},
		say: func(f *Facts) string {
			return tell(&f.DKIM, "DKIM", func(all []Signature) string {
				s := best(all)
				return "DKIM is " + of(s.Word, "by", s.Domain, s.Reason)
			})
		},
	}
}

// best returns the signature that proves most.
func best(all []Signature) Signature {
	b := Signature{Word: "none"}
	for _, s := range all {
		if i := slices.Index(dkimWords, s.Word); i >= 0 && i < slices.Index(dkimWords, b.Word) {
			b = s
		}
	}
	return b
}

func dmarc(words []string) condition {
	return condition{key: "dmarc", since: Content, need: NeedDMARC,
		test: func(f *Facts) (truth, Need) {
			t, n := word(&f.DMARC, NeedDMARC, words, func(d DMARC) string { return d.Word })
			// An author that cannot be told asks for what the strictest domain
			// wants (RFC 9989 11.5).
			if d := f.DMARC.value; t == no && (d.Word == "fail" || d.Word == "permerror") && d.Asks != "none" && slices.Contains(words, d.Asks) {
				return yes, 0
			}
			return t, n
		},
		say: func(f *Facts) string {
			return tell(&f.DMARC, "DMARC", func(d DMARC) string {
				s := "DMARC is " + of(d.Word, "for", d.Domain, d.Reason)
				if d.Asks != "" {
					s += ", which asks for " + shown(d.Asks)
				}
				return s
			})
		},
	}
}

// opinion is what a filter says: it holds if the filter objects. A filter is told what
// the DNS calls the client.
func opinion(name string, need Need) condition {
	return condition{key: "filter", since: Content, need: need | NeedName,
		test: func(f *Facts) (truth, Need) {
			switch o := f.opinion(name); {
			case o == nil && f.Client.IsValid() && f.Name.IsOpen():
				return open, need | NeedName
			case o == nil:
				return open, need
			case o.Fault != "" || o.Action > Refuse:
				return fault, 0
			default:
				return is(o.Action == Defer || o.Action == Refuse)
			}
		},
		say: func(f *Facts) string {
			switch o := f.opinion(name); {
			case o == nil:
				return "filter " + name + " is not asked yet"
			case o.Fault != "":
				return "filter " + name + " could not be asked: " + shown(o.Fault)
			case o.Action == Defer || o.Action == Refuse:
				return "filter " + name + " says " + o.Action.String() + ": " + shown(o.Reply.Line())
			case o.Action > Refuse:
				return "filter " + name + " says " + o.Action.String() + ", which is nothing to do"
			default:
				return "filter " + name + " has nothing against it"
			}
		},
	}
}

func (f *Facts) opinion(filter string) *Opinion {
	for i := range f.Opinions {
		if f.Opinions[i].Filter == filter {
			return &f.Opinions[i]
		}
	}
	return nil
}

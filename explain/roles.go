package explain

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

// Sides on which the server that gave up can stand. Where nothing proves one, none
// is named.
const (
	sideSender   = "sender"
	sideBetween  = "between"
	sideReceiver = "receiver"
)

// side finds on whose side the server stood that gave up: by the domains that its
// name, the recipient and the sender share, and by who had the message before.
func (v *view) side(f *Finding, original string) string {
	if f.GaveUp.Host == "" || v.bare() && len(v.returned) == 0 {
		return ""
	}
	o := organisation(f.GaveUp.Host)
	if o == "" {
		return ""
	}
	senders := v.organisations()
	before := earlier(f)
	switch {
	case o == organisation(domainOf(f.Recipient)):
		if slices.Contains(senders, o) {
			return sideSender // one organisation is both
		}
		return sideReceiver
	case o == organisation(domainOf(original)):
		return sideBetween // it passed the message on to another address
	case len(before) > 0 && slices.Contains(filters, f.GaveUp.Software):
		return sideBetween
	case slices.Contains(senders, o):
		return sideSender
	case slices.ContainsFunc(f.Hops, func(h Hop) bool { return h.Role != roleGaveUp && slices.Contains(senders, organisation(h.Host)) }):
		return sideBetween // a host of the sender's handed it on
	case len(before) == 0 && len(f.Hops) > 0, len(before) > 0 && organisation(before[0]) == o:
		return sideSender // its author handed it in there
	}
	return ""
}

// organisation is the part of a host's name that an organisation registers:
// "example.co.uk" of "mx1.example.co.uk".
func organisation(host string) string {
	d, err := publicsuffix.EffectiveTLDPlusOne(strings.Trim(lower(host), "."))
	if err != nil || looksIP(host) {
		return ""
	}
	return d
}

// organisations are those of the sender: whom the report is sent to, and who wrote
// the message.
func (v *view) organisations() []string {
	if v.sending != nil {
		return v.sending
	}
	v.sending = []string{}
	as := addresses(v.letter.head.value("To"))
	for _, n := range []string{"Return-Path", "From"} {
		as = append(as, addresses(v.returned.value(n))...)
	}
	for _, a := range as {
		if o := organisation(domainOf(a)); o != "" && !slices.Contains(v.sending, o) {
			v.sending = append(v.sending, o)
		}
	}
	return v.sending
}

// earlier are the hosts that had the message before the server that gave up, the
// oldest first; the author's own machine is none of them.
func earlier(f *Finding) []string {
	var out []string
	for _, h := range f.Hops {
		if h.Role == roleGaveUp || sameHost(h.Host, f.GaveUp.Host) {
			break
		}
		if h.Accepted.IsZero() && h.Role == roleAuthor {
			continue
		}
		if len(out) == 0 || !sameHost(out[len(out)-1], h.Host) {
			out = append(out, h.Host)
		}
	}
	return out
}

// roles says what each side did. A side that nothing is known of is not spoken
// for.
func (v *view) roles(f *Finding, j judged) {
	owner := cmp.Or(f.GaveUp.Host, v.say("part.this server"))
	did, met := v.didOwner(f, j, owner), v.didOther(f, j)
	before := earlier(f)
	r := Roles{Sender: v.say("part.not told"), Between: v.say("part.nobody"), Receiver: met}
	switch f.GaveUp.Side {
	case sideSender:
		r.Sender = v.handed(f, before, owner, did)
	case sideReceiver:
		org := organisation(f.GaveUp.Host)
		k := slices.IndexFunc(before, func(h string) bool { return organisation(h) == org })
		if k < 0 {
			k = len(before)
		}
		if k > 0 {
			next := owner
			if k < len(before) {
				next = before[k]
			}
			r.Sender = v.handed(f, before[:k], next, "")
		}
		r.Receiver = v.handed(f, before[k:], owner, did)
		if met != v.say("part.not told") {
			r.Receiver = v.both(r.Receiver, met)
		}
	default:
		r.Between = did
		if len(before) > 0 {
			r.Sender = v.handed(f, before, owner, "")
		}
		if f.GaveUp.Side == "" {
			r.Between = v.both(did, v.say("part.whose"))
		}
	}
	f.Roles = r
}

// both says two things of one side.
func (v *view) both(a, b string) string { return v.say("part.both", "a", a, "b", b) }

// handed says that hosts passed the message on, within what time, and what was done
// with it then on the same side.
func (v *view) handed(f *Finding, hosts []string, to, then string) string {
	if len(hosts) == 0 {
		return then
	}
	within := ""
	if d, ok := took(f, hosts[0], to); ok {
		within = v.length(d)
	}
	if then != "" {
		return v.both(v.say("part.handed", "hosts", v.joined(hosts), "to", to, "within", within), then)
	}
	return v.say("part.handed and done", "hosts", v.joined(hosts), "to", to, "within", within)
}

// took is the time from when one host accepted the message to when another did.
func took(f *Finding, from, to string) (time.Duration, bool) {
	var a, b time.Time
	for _, h := range f.Hops {
		if a.IsZero() && h.Host == from {
			a = h.Accepted
		}
		if b.IsZero() && h.Host == to {
			b = h.Accepted
		}
	}
	if b.IsZero() && to == f.GaveUp.Host {
		b = f.Clock.Started
	}
	return b.Sub(a), !a.IsZero() && !b.IsZero() && !b.Before(a)
}

// didOwner says what the server did that had the message last.
func (v *view) didOwner(f *Finding, j judged, owner string) string {
	switch {
	case f.Kind == StillTrying:
		return v.say("part.trying", "owner", owner)
	case f.Kind == Arrived:
		return v.say("part.delivered", "owner", owner)
	case f.Kind == HandedOn, f.Kind == Expanded:
		return v.say("part.passed on", "owner", owner)
	case f.Kind == EndedByOrder:
		return v.say("part.ordered", "owner", owner)
	case f.Kind == ExpiredUntried:
		return v.say("part.untried", "owner", owner)
	case expired(f.Kind), j.retried:
		return v.say("part.expired", "owner", owner)
	case j.spoke:
		return v.say("part.returned", "owner", owner)
	case j.how == itself:
		return v.say("part.decided", "owner", owner)
	}
	return v.say("part.owner", "owner", owner)
}

// didOther says what the server did that was to have the message next.
func (v *view) didOther(f *Finding, j judged) string {
	other := cmp.Or(nameIP(f.Refused), v.say("part.next server"))
	switch {
	case f.Kind == Arrived:
		return v.say("part.has it")
	case f.Kind == HandedOn:
		return v.say("part.took it", "other", other)
	case f.Kind == Expanded:
		return v.say("part.not told")
	case j.how == notTried:
		return v.say("part.not asked", "other", other)
	case j.how == itself, j.how == notTold:
		return v.say("part.not told")
	case j.how == tcpRefused:
		return v.say("part.connection refused", "other", other)
	case j.contact == "broken":
		return v.say("part.broke off", "other", other)
	case j.contact == "none" && nameIP(f.Refused) == "":
		return v.say("part.nobody there")
	case j.contact == "none":
		return v.say("part.silent", "other", other)
	case j.spoke && j.class == 4:
		return v.say("part.deferred", "other", other)
	case j.spoke:
		return v.say("part.refused", "other", other)
	}
	return v.say("part.not told")
}

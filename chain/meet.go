package chain

import (
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/system"
)

// met is what an attempt meets at one host, in a part of the worlds.
type met struct {
	point
	outcome *custody.Outcome
	lasts   time.Duration
}

// meet returns what an attempt meets at a host: one thing, unless its moment is a
// span in which that changes.
func (w *walk) meet(p *parcel, h *hop, to int, t *turn, m point) []met {
	if o := w.refusedByUs(p, h, to); o != nil {
		return []met{{m, o, 0}}
	}
	links := w.c.between(h.i, to)
	if len(links) == 0 {
		return []met{w.accepts(p, to, m)}
	}
	var all []met
	for from := m.at.Least; from <= m.at.Most; {
		until := time.Duration(never)
		var active []link
		for _, o := range links {
			in, _, change := o.When.at(w.c.start, from)
			until = min(until, change)
			if in {
				active = append(active, o)
			}
		}
		part := m
		part.at = system.Span{Least: from, Most: min(m.at.Most, until-1), Model: from}
		// Ages that belong to these moments: all of them, if the acceptance is a span.
		part.age.Least = max(m.age.Least, part.at.Least-t.accepted.Most)
		part.age.Most = min(m.age.Most, part.at.Most-t.accepted.Least)
		all = append(all, w.hears(p, h, to, t, active, part)...)
		from = until
	}
	return all
}

// hears returns what the host says while some outages are on.
func (w *walk) hears(p *parcel, h *hop, to int, t *turn, active []link, m point) []met {
	if len(active) == 0 {
		return []met{w.accepts(p, to, m)}
	}
	o, rest := active[0], active[1:]
	switch o.Result.What {
	case TooBig:
		if p.size <= o.Result.Limit {
			return w.hears(p, h, to, t, rest, m)
		}
	case Greylists:
		return w.greylisted(p, h, to, t, o, rest, m)
	}
	return []met{{m, o.outcome, o.Result.took()}}
}

// greylisted: an address that comes for the first time is deferred, and so it is
// until its time has passed (RFC 6647 2.2). One that is forgotten is a stranger.
func (w *walk) greylisted(p *parcel, h *hop, to int, t *turn, o link, rest []link, m point) []met {
	r := o.Result
	address := 0
	if h.Addresses > 1 && !r.Network {
		address = (t.n - 1) % h.Addresses
	}
	i := slices.IndexFunc(m.seen, func(s sighting) bool { return s.outage == o.Outage && s.address == address })
	if i < 0 {
		m.seen = append(slices.Clip(m.seen), sighting{o.Outage, address, m.age})
		return []met{{m, o.outcome, r.took()}}
	}
	var all []met
	first := m.seen[i].at
	early, due := cut(m.age, shift(first, exactly(r.Delay-1)))
	if early != nil {
		all = append(all, met{m.during(*early, t), o.outcome, r.took()})
	}
	if due == nil {
		return all
	}
	passes := due
	if r.Life > 0 {
		var forgotten *system.Span
		if passes, forgotten = cut(*due, shift(first, exactly(r.Life))); forgotten != nil {
			part := m.during(*forgotten, t)
			part.seen = slices.Clone(part.seen)
			part.seen[i].at = part.age
			all = append(all, met{part, o.outcome, r.took()})
		}
	}
	if passes != nil {
		all = append(all, w.hears(p, h, to, t, rest, m.during(*passes, t))...)
	}
	return all
}

// during is the part of a moment in which the owner's clock shows a span.
func (m point) during(age system.Span, t *turn) point {
	m.age = age
	m.at.Least = max(m.at.Least, age.Least+t.accepted.Least)
	m.at.Most = min(m.at.Most, age.Most+t.accepted.Most)
	return m
}

// accepts is the host's 250 to the final dot. Whether it knows RFC 3461 is not
// known of a destination.
func (w *walk) accepts(p *parcel, to int, m point) met {
	o := custody.Outcome{
		Host: w.c.hops[to].Name, Stage: mail.Dot, Theirs: true, Taken: custody.Promised,
		Reply: mail.Reply{Code: 250, Status: mail.Status{2, 0, 0}, Text: "accepted"},
	}
	if p.route.ends(to) {
		o.Taken = custody.Onward
	}
	return met{m, &o, 0}
}

// refusedByUs: a message that is to be returned if it is late goes to no host that
// knows nothing of that (RFC 2852 4.1.4). A destination is taken to know it.
func (w *walk) refusedByUs(p *parcel, h *hop, to int) *custody.Outcome {
	next := w.c.hops[to]
	if !p.by.Return || !h.knowsBy() || next.knowsBy() || next.keep == nil {
		return nil
	}
	return &custody.Outcome{
		Host: next.Name, Stage: mail.Mail, Permanent: true,
		Reply: mail.Reply{Status: mail.Status{5, 3, 3}, Text: "message asks to be returned if late and the host does not offer DELIVERBY"},
	}
}

// knowsBy reports whether the hop knows DELIVERBY: ours does, and sendmail.
func (h *hop) knowsBy() bool { return h.ours() || h.system.Family == "sendmail" }

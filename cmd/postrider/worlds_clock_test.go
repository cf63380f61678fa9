package main

import (
	"context"
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/memnet"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/local"
	"github.com/postrider/postrider/mail"
)

// What the law allows, beyond the times at which the program could do nothing.
const (
	slackOfEnd     = time.Hour
	slackOfWarning = time.Hour
	slackOfTry     = 90 * time.Minute // a silent host is knocked at every 30 minutes
	slackOfHealthy = 2 * time.Minute
)

// free is the first moment from which on a delivery was not kept back: by a night, for
// want of room, and, where a try is meant, by a hold or a pause.
func (j *judge) free(k *kept, row spool.Row, from time.Time, try bool) time.Time {
	var kept []night
	kept = append(append(kept, j.w.nights...), j.w.full...)
	if try {
		kept = append(kept, j.held(k, row)...)
		for _, p := range j.w.paused { // of a site nobody knows any more what led there
			if domain, err := mail.CanonicalDomain(p.name); err != nil || domain == row.Delivery.Domain || p.name == row.Delivery.Via || !isOurs(p.name) {
				kept = append(kept, night{from: p.from, to: p.to})
			}
		}
	}
	slices.SortFunc(kept, func(a, b night) int { return a.from.Compare(b.from) })
	for range 2 {
		for _, n := range kept {
			if n.to.After(from) && !n.from.After(from.Add(slackOfEnd)) {
				from = n.to
			}
		}
	}
	return from
}

func isOurs(name string) bool {
	return len(name) > 5 && name[0] == 'd' && name[len(name)-5:] == ".test"
}

// held are the times during which an operator held a delivery.
func (j *judge) held(k *kept, row spool.Row) (all []night) {
	var since time.Time
	for _, e := range k.history.Timeline(row.Delivery.ID) {
		o, ok := e.Event.(custody.Ordered)
		switch {
		case !ok:
		case o.Order == custody.OrderHold && since.IsZero():
			since = e.At
		case o.Order == custody.OrderRelease && !since.IsZero():
			all = append(all, night{from: since, to: e.At})
			since = time.Time{}
		}
	}
	if !since.IsZero() { // an order ended it
		all = append(all, night{from: since, to: row.Left})
	}
	return all
}

// clock: nothing waits beyond its end, a healthy host gets its mail at once, and each
// order in a timeline was given.
func (j *judge) clock(k *kept, row spool.Row) {
	d := row.Delivery
	if row.Left.IsZero() {
		return
	}
	end := custody.End(d, j.w.process.n.settings.Schedule(d))
	late := row.Left.Sub(j.free(k, row, end, true))
	if j.sum.late = max(j.sum.late, late); late > j.slack(slackOfEnd) {
		j.w.breaks("nothing waits beyond its end", "%s to %s ended %v late, accepted %v, its end %v, left %v, %d tries", d.ID, d.Domain, late, j.age(d.Accepted), j.age(end), j.age(row.Left), d.Tries)
	}
	for _, e := range k.history.Timeline(d.ID) {
		if o, ok := e.Event.(custody.Ordered); ok && !slices.ContainsFunc(j.w.orders, func(g command) bool { return g.by == o.By && g.word == o.Order.String() }) {
			j.w.breaks("orders are given", "%s has an order %s by %s", d.ID, o.Order, o.By)
		}
	}
	if k.sent == nil || !j.healthy(d.Domain) || j.stalls() || d.Held.Since.After(d.Accepted) || j.ordered(k, row, custody.OrderHold) || j.ordered(k, row, custody.OrderReroute) || d.ByReturn {
		return
	}
	took := row.Left.Sub(j.free(k, row, d.Accepted, true))
	if j.sum.slow = max(j.sum.slow, took); took > slackOfHealthy {
		j.w.breaks("the healthy are served", "%s to %s, accepted %v, took %v, %d tries", d.ID, d.Domain, j.age(d.Accepted), took, d.Tries)
	}
}

// healthy reports whether all hosts of a domain are well all the time, and its names.
func (j *judge) healthy(domain string) bool {
	for i, p := range j.w.plan.domains {
		if domainName(i) != domain || len(p.turns) > 0 {
			continue
		}
		return !slices.ContainsFunc(p.hosts, func(h int) bool {
			phases := j.w.plan.hosts[h].phases
			return len(phases) != 1 || phases[0].manner != manner{}
		})
	}
	return false
}

// stalls reports whether hosts that answer to MAIL and then fall silent may take up all
// connections: the queue gives the places of those alone to others that have not
// answered at all, and any one living destination may have twenty.
func (j *judge) stalls() bool {
	if j.w.plan.connections > 20*(len(j.w.plan.hosts)+1) {
		return false
	}
	return slices.ContainsFunc(j.w.plan.hosts, func(h hostPlan) bool {
		return slices.ContainsFunc(h.phases, func(p phase) bool {
			return p.at >= mail.Mail && (p.how == silent || p.how == swallows || p.how == drips) || p.fault.Dial == memnet.Silent
		})
	})
}

// slack is what the law allows, and longer where every message may have to wait for
// others to be tried in vain.
func (j *judge) slack(d time.Duration) time.Duration {
	if j.stalls() {
		return d + time.Duration(len(j.w.plan.posts))*20*time.Minute
	}
	return d
}

// fates: what was shown of a delivery came true, unless something changed it.
func (j *judge) fates() {
	for _, s := range j.w.looks {
		id, err := custody.ParseDeliveryID(s.ID)
		if err != nil || s.Fate.GivesUp == nil && s.State != "held" && s.Fate.Paused == nil {
			j.w.breaks("what is shown holds", "%q: %v, %+v", s.ID, err, s.Fate)
			continue
		}
		k := j.kept[id.Message.String()]
		i := -1
		if k != nil {
			i = slices.IndexFunc(k.rows, func(r spool.Row) bool { return r.Delivery.ID == id })
		}
		if i < 0 {
			j.w.breaks("what is shown holds", "%s is not there any more", s.ID)
			continue
		}
		if j.sum.looks++; !k.rows[i].Left.IsZero() {
			j.fate(k, k.rows[i], s)
		}
	}
}

// trying reports whether an attempt was under way from one time to another.
func trying(timeline []custody.Entry, from, to time.Time) bool {
	return slices.ContainsFunc(timeline, func(e custody.Entry) bool {
		t, ok := e.Event.(custody.Tried)
		return ok && t.Attempt.Began.Before(from) && e.At.After(to)
	})
}

func (j *judge) fate(k *kept, row spool.Row, s seen) {
	var first custody.Tried // after the look
	timeline := k.history.Timeline(row.Delivery.ID)
	for _, e := range timeline {
		// It was changed, perhaps in the same moment, or as soon as an attempt had ended.
		if _, ok := e.Event.(custody.Ordered); ok && (!e.At.Before(s.at) || trying(timeline, e.At, s.at)) {
			return
		}
		if !e.At.After(s.at) {
			continue
		}
		if t, ok := e.Event.(custody.Tried); ok && first.At.IsZero() && t.Attempt.Began.After(s.at) {
			first = t
		}
	}
	ended := row.Delivery.Rcpts[0].State == custody.Expired
	if up := s.Fate.GivesUp; up != nil && ended {
		if row.Left.Before(*up) {
			j.w.breaks("what is shown holds", "%s was given up at %v, shown was %v", s.ID, j.age(row.Left), j.age(*up))
		}
		if late := row.Left.Sub(j.free(k, row, *up, true)); late > j.slack(slackOfEnd) {
			j.w.breaks("what is shown holds", "%s was given up %v later than shown", s.ID, late)
		}
	}
	next := s.Fate.NextTry
	if next == nil || first.At.IsZero() || s.State == "trying" {
		return
	}
	// A host that comes back is tried early; words of a host are obeyed to the letter.
	silent := s.Last == nil || s.Last.Code == 0
	if first.Attempt.Began.Before(*next) && !silent {
		j.w.breaks("what is shown holds", "%s was tried at %v, shown was %v", s.ID, j.age(first.Attempt.Began), j.age(*next))
	}
	if late := first.Attempt.Began.Sub(j.free(k, row, *next, true)); late > j.slack(slackOfTry) {
		j.w.breaks("what is shown holds", "%s was tried %v later than shown (%v)", s.ID, late, j.age(*next))
	}
}

// sound: what the program left on disk is whole, and nothing is left over.
func (w *universe) sound() {
	r, err := local.Verify(context.Background(), "/spool", local.SurveyOptions{FS: w.disk})
	if err != nil {
		w.breaks("the disk is sound", "%v", err)
		return
	}
	for _, f := range r.Faults {
		w.breaks("the disk is sound", "%+v", f)
	}
	if names, err := w.disk.List("/spool/big"); err != nil || len(names) > 0 {
		w.breaks("the disk is sound", "large bodies are left: %v %v", names, err)
	}
}

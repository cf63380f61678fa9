package main

import (
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/dsn"
	"github.com/postrider/postrider/internal/memnet"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
)

// account: each recipient ended once: delivered, or refused or given up and told of, or
// removed by order.
func (j *judge) account(k *kept) {
	w, id := j.w, k.ID.String()
	k.all(func(row spool.Row, r custody.Recipient) {
		to := r.Address.String()
		takes := j.takes[key(id, to)]
		switch r.State {
		case custody.HandedOver:
			if j.sum.delivered++; len(takes) == 0 {
				w.breaks("nothing is lost", "%s to %s is said to be delivered, and nobody has it", id, to)
			}
		case custody.Refused:
			j.sum.failed++
			j.wasRefused(row, r)
		case custody.Expired:
			j.sum.failed++
			j.wasOver(k, row, r)
		case custody.Removed:
			if j.sum.removed++; !j.ordered(k, row, custody.OrderRemove) {
				w.breaks("nothing is lost", "%s to %s was removed, and nobody ordered it", id, to)
			}
		case custody.Pending:
			return // it is told that it stays
		}
		over := len(takes)
		if r.State == custody.HandedOver {
			over-- // the last one is known
		}
		for _, t := range takes[:max(0, over)] {
			why := j.unknown(k, t)
			if why == "" {
				w.breaks("nothing is delivered twice", "%s to %s is %s, and %s took it after %v (answered %v); all: %s; nights %v", id, to, r.State, t.host, j.age(t.at), t.replied, j.times(takes), j.dark())
			}
			j.sum.twice[why]++
		}
		j.told(k, row, r)
	})
}

func (j *judge) times(ts []*take) (all []time.Duration) {
	for _, t := range ts {
		all = append(all, j.age(t.at))
	}
	return all
}

func (j *judge) dark() (all [][2]time.Duration) {
	for _, n := range j.w.nights {
		all = append(all, [2]time.Duration{j.age(n.from), j.age(n.to)})
	}
	return all
}

// unknown says why the program may not know that a host took a message; "": it must.
func (j *judge) unknown(k *kept, t *take) string {
	if !t.replied || j.silent(t.host, t.at, t.done.Add(5*time.Second)) {
		return "the answer to the dot was lost"
	}
	// What became of a message is written when the whole attempt is over.
	known := t.done.Add(5 * time.Second)
	if len(k.sent.recipients()) > 1 {
		known = t.done.Add(30 * time.Minute)
	}
	for _, f := range j.w.full {
		if f.from.Before(known) && f.to.After(t.at) {
			known = f.to.Add(5 * time.Second)
		}
	}
	for _, n := range j.w.nights {
		if n.what != restart && !n.from.After(known) && !n.to.Before(t.at) {
			return map[deed]string{powerCut: "a power cut", badDisk: "a failed disk"}[n.what]
		}
	}
	return ""
}

func (s *sent) recipients() []mail.Recipient {
	if s == nil {
		return nil
	}
	return s.to
}

// silent reports whether a host's packets were swallowed at some time.
func (j *judge) silent(host string, from, to time.Time) bool {
	for i, h := range j.w.plan.hosts {
		for n, p := range h.phases {
			begins, ends := j.w.began.Add(p.from), to.Add(1)
			if n+1 < len(h.phases) {
				ends = j.w.began.Add(h.phases[n+1].from)
			}
			if hostName(i) == host && p.fault.Dial == memnet.Silent && !begins.After(to) && ends.After(from) {
				return true
			}
		}
	}
	return false
}

// ordered reports whether an operator gave such an order, and the timeline tells it.
func (j *judge) ordered(k *kept, row spool.Row, what custody.Order) bool {
	for _, e := range k.history.Timeline(row.Delivery.ID) {
		o, ok := e.Event.(custody.Ordered)
		if ok && o.Order == what && slices.ContainsFunc(j.w.orders, func(g command) bool { return g.by == o.By && g.word == what.String() }) {
			return true
		}
	}
	return false
}

// wasRefused: a host said so for good, of this recipient; or the DNS did; or we cannot
// send it as it is.
func (j *judge) wasRefused(row spool.Row, r custody.Recipient) {
	o := r.Last
	if o.Theirs {
		said, ok := j.w.words[o.Reply.Text]
		about := len(said.to) == 0 || slices.ContainsFunc(said.to, func(to string) bool { return strings.EqualFold(to, r.Address.String()) })
		if !ok || said.code != o.Reply.Code || !about || said.code < 500 {
			j.w.breaks("nothing is given up", "%s to %s was refused by %q at %s, which nobody said of it", row.Delivery.ID, r.Address, o.Reply.Line(), o.Stage)
		}
		return
	}
	if strings.Contains(o.Reply.Text, "DELIVERBY") && row.Delivery.ByReturn {
		return
	}
	var now answer
	for _, t := range j.w.names[row.Delivery.Domain] {
		if !t.at.After(o.At) {
			if now.final() && o.At.Sub(t.at) < time.Minute {
				return // looked up just before
			}
			now = t.what
		}
	}
	if !now.final() || !o.Permanent || row.Delivery.Via != "" {
		j.w.breaks("nothing is given up", "%s to %s was refused by %q at %v, and the DNS said %d", row.Delivery.ID, r.Address, o.Reply.Line(), j.age(o.At), now)
	}
}

// wasOver: what is given up was ordered so, or a try at its end or later was in vain.
func (j *judge) wasOver(k *kept, row spool.Row, r custody.Recipient) {
	if j.ordered(k, row, custody.OrderGiveUp) {
		return
	}
	end := custody.End(row.Delivery, j.w.process.n.settings.Schedule(row.Delivery))
	var last time.Time
	for _, e := range k.history.Timeline(row.Delivery.ID) {
		if t, ok := e.Event.(custody.Tried); ok {
			last = t.At
		}
	}
	if row.Left.Before(end) || last.Before(end) || r.Last.At.Before(end) {
		j.w.breaks("nothing is given up", "%s to %s was given up at %v, last tried at %v; its end is %v", row.Delivery.ID, r.Address, j.age(row.Left), j.age(last), j.age(end))
	}
}

// told: the sender hears of a failure once, of a delay when it is due, and of nothing
// that they do not want to hear of.
func (j *judge) told(k *kept, row spool.Row, r custody.Recipient) {
	if k.sent == nil {
		return
	}
	id, to, anyone := k.ID.String(), r.Address.String(), k.sent.from != ""
	fails := j.names(id, to, dsn.Failed)
	want := 0
	if (r.State == custody.Refused || r.State == custody.Expired) && anyone && r.Notify.Failure() {
		want = 1
	}
	if len(fails) != want && !(len(fails) < want && j.undelivered(k, row)) {
		j.w.breaks("the sender is told once", "%s to %s is %s, %d letters tell of it, want %d (notify %s, from %q, left %v)", id, to, r.State, len(fails), want, r.Notify, k.sent.from, j.age(row.Left))
	}
	sch := j.w.process.n.settings.Schedule(row.Delivery)
	good := len(j.names(id, to, dsn.Relayed)) + len(j.names(id, to, dsn.Delivered))
	wish := r.Notify.Success() && r.State == custody.HandedOver && r.Last.Taken == custody.Onward && anyone
	if wish && good != 1 && !j.undelivered(k, row) || !wish && good > 0 && !sch.Cleared {
		j.w.breaks("the sender is told once", "%s to %s is %s, %d letters tell of success (notify %s)", id, to, r.State, good, r.Notify)
	}
	j.warnings(k, row, r, sch)
}

// undelivered reports whether a letter about a message was written and could not be
// delivered in its own time: nobody is told of that.
func (j *judge) undelivered(k *kept, row spool.Row) bool {
	for _, l := range j.kept {
		if l.Came.About == k.ID && !j.letters[l.ID.String()] && !l.rows[0].Left.IsZero() && l.rows[0].Delivery.Rcpts[0].State == custody.Expired &&
			!l.Accepted.Before(row.Left.Add(-time.Second)) {
			return true
		}
	}
	return false
}

// warnings come when they are due, no more often than the schedule says, and not after
// the end.
func (j *judge) warnings(k *kept, row spool.Row, r custody.Recipient, sch custody.Schedule) {
	id, to, d := k.ID.String(), r.Address.String(), row.Delivery
	warned := j.names(id, to, dsn.Delayed)
	j.sum.warnings += len(warned)
	ages := slices.Clone(sch.Warn)
	if !d.By.IsZero() && !d.ByReturn {
		ages = append(ages, d.By.Sub(d.Accepted))
	}
	slices.Sort(ages)
	ended := row.Left
	if r.State != custody.Removed && r.Last.At.Before(ended) && !(r.State == custody.Expired && j.ordered(k, row, custody.OrderGiveUp)) {
		ended = r.Last.At // before others of the delivery
	}
	byOrder := 0
	for _, e := range k.history.Timeline(d.ID) {
		if o, ok := e.Event.(custody.Ordered); ok && o.Order == custody.OrderWarn {
			byOrder++
		}
	}
	if n := len(warned); n > len(ages)+byOrder || n > 0 && (k.sent.from == "" || !r.Notify.Delay()) {
		j.w.breaks("warnings are due", "%s to %s: %d warnings, the schedule has %d, orders %d (notify %s)", id, to, n, len(ages), byOrder, r.Notify)
	}
	for i, l := range warned {
		if l.at.After(ended.Add(time.Second)) {
			j.w.breaks("no warning after the end", "%s to %s ended at %v, warned at %v", id, to, j.age(ended), j.age(l.at))
		}
		if byOrder == 0 && i < len(ages) && l.at.Before(d.Accepted.Add(ages[i]).Truncate(time.Second)) {
			j.w.breaks("warnings are due", "%s to %s: warning %d after %v", id, to, i, l.at.Sub(d.Accepted))
		}
	}
	if k.sent.from == "" || !r.Notify.Delay() || byOrder > 0 {
		return
	}
	for _, age := range ages {
		due := d.Accepted.Add(age)
		free := j.free(k, row, due, false)
		if ended.Before(free.Add(j.slack(slackOfWarning))) {
			continue // it may have left before
		}
		i := slices.IndexFunc(warned, func(l *report) bool { return !l.at.Before(due.Truncate(time.Second)) })
		if i < 0 {
			if !j.undelivered(k, spool.Row{Left: due}) {
				j.w.breaks("warnings are due", "%s to %s was not warned at the age of %v; it ended at that of %v", id, to, age, ended.Sub(d.Accepted))
			}
			continue
		}
		late := warned[i].at.Sub(free)
		if j.sum.warned = max(j.sum.warned, late); late > j.slack(slackOfWarning) {
			j.w.breaks("warnings are due", "%s to %s: the warning of %v came %v late", id, to, age, late)
		}
	}
}

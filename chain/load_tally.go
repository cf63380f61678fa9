package chain

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
)

const (
	loadPoints    = 500 // of a series, about
	mostStretches = 200 // of a hop that are told
)

// story puts what a run has counted together.
func (r *loadRun) story() LoadStory {
	s := LoadStory{Messages: r.l.Messages, Rate: r.l.Rate, Size: r.p.size, Arrived: r.arrived, Notes: slices.Clone(r.c.notes)}
	for _, t := range r.tallies {
		for _, v := range t.visits {
			s.Ended = max(s.Ended, v.out.until)
		}
	}
	for i := range r.c.s.Hops {
		h := r.hop(i, s.Ended)
		s.Hops = append(s.Hops, h)
		s.GaveUp += h.GaveUp
		s.Refused += h.Refused
		if h.Home {
			s.Delivered += h.HandedOn
		}
	}
	r.notes(&s)
	return s
}

// hop is what the tally of a hop comes to.
func (r *loadRun) hop(i int, ended time.Duration) LoadHop {
	c, t := r.c.hops[i], &r.tallies[i]
	h := LoadHop{
		Name: c.Name, Title: c.title(), Home: r.c.out.ends(i), Drain: r.l.drain(c.Name),
		Entered: total(t.in), HandedOn: total(t.on), GaveUp: total(t.gaveUp), Refused: total(t.refused),
		Warned: total(t.warned), Notices: t.notices, Attempts: t.attempts,
	}
	h.Peak, h.PeakAt = t.peak()
	disk := r.disk(c)
	h.DiskLeast = !c.ours() && r.l.Costs[c.Name].Disk == 0 && !h.Home
	h.Disk, h.Memory = times(h.Peak, disk), r.memory(c, h.Peak)
	if h.Home {
		h.Disk, h.Drain = 0, 0
	}
	h.Outages = r.stretches(i, ended)
	for _, o := range h.Outages {
		if o.Until != Unknown {
			h.recovers(t, o.Until)
		}
	}
	h.Series = t.series(ended, disk)
	return h
}

func total(flows []flow) (n int64) {
	for _, f := range flows {
		n += f.n
	}
	return n
}

// disk is how many octets a waiting message takes.
func (r *loadRun) disk(h *hop) int64 {
	more := r.l.Costs[h.Name].Disk
	if more == 0 && h.ours() {
		more = OwnDisk
	}
	return r.p.size + more
}

// memory is how many octets the hop takes at its peak; below 0: not known.
func (r *loadRun) memory(h *hop, peak int64) int64 {
	switch each := r.l.Costs[h.Name].Memory; {
	case each > 0:
		return times(peak, each)
	case h.ours():
		return OwnMemory + min(times(min(peak, OwnInFlight), r.p.size), OwnBodies) + times(peak, OwnName)
	case r.c.out.ends(h.i):
		return 0
	}
	return -1
}

// times multiplies as far as a number goes.
func times(n, each int64) int64 {
	if n > 0 && each > math.MaxInt64/n {
		return math.MaxInt64
	}
	return n * each
}

// peak returns the most that waited, and when. What enters and leaves at the same
// moment has not waited.
func (t *tally) peak() (most int64, at time.Duration) {
	type change struct {
		at        time.Duration
		jump, per float64 // messages, and messages in a nanosecond
	}
	var all []change
	add := func(f flow, sign float64) {
		n := sign * float64(f.n)
		if f.from == f.until {
			all = append(all, change{f.from, n, 0})
			return
		}
		per := n / float64(f.until-f.from)
		all = append(all, change{f.from, 0, per}, change{f.until, 0, -per})
	}
	for _, v := range t.visits {
		if v.in != v.out {
			add(v.in, 1)
			add(v.out, -1)
		}
	}
	slices.SortFunc(all, func(a, b change) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.jump, a.jump)) })
	var now, per, best float64
	var last time.Duration
	for _, c := range all {
		now += per * float64(c.at-last)
		last = c.at
		if now > best+0.5 {
			best, at = now, c.at
		}
		now += c.jump
		per += c.per
		if now > best+0.5 {
			best, at = now, c.at
		}
	}
	return int64(math.Round(best)), at
}

// series counts at moments evenly over the time until the end.
func (t *tally) series(ended time.Duration, disk int64) []LoadPoint {
	step := ended / loadPoints
	for _, even := range []time.Duration{time.Minute, time.Second, time.Millisecond, 1} {
		if step >= even {
			step = (step + even - 1) / even * even
			break
		}
	}
	step = max(step, 1)
	n := int((ended+step-1)/step) + 1
	sums := func(flows []flow) []int64 {
		all := make([]int64, n+1)
		for _, f := range flows {
			k := int((f.from + step - 1) / step)
			var before int64
			for ; k < n; k++ {
				now := f.passed(time.Duration(k) * step)
				all[k] += now - before
				if before = now; now == f.n {
					break
				}
			}
		}
		for k := 1; k < n; k++ {
			all[k] += all[k-1]
		}
		return all
	}
	in, on, gaveUp, refused, warned := sums(t.in), sums(t.on), sums(t.gaveUp), sums(t.refused), sums(t.warned)
	points := make([]LoadPoint, n)
	for k := range points {
		p := LoadPoint{At: time.Duration(k) * step, Entered: in[k], HandedOn: on[k], GaveUp: gaveUp[k], Refused: refused[k], Warned: warned[k]}
		p.Waiting = p.Entered - p.HandedOn - p.GaveUp - p.Refused
		p.Disk = times(p.Waiting, disk)
		points[k] = p
	}
	return points
}

// stretches returns when none of the hosts takes the hop's mail.
func (r *loadRun) stretches(i int, ended time.Duration) []Stretch {
	var all []Stretch
	for at := time.Duration(0); at <= ended && len(all) < mostStretches; {
		down, _, until := r.c.stopped(i, r.c.out.next[i], at, r.p.size)
		switch n := len(all); {
		case down && n > 0 && all[n-1].Until == at:
			all[n-1].Until = until
		case down:
			all = append(all, Stretch{at, until})
		}
		at = until
	}
	if n := len(all); n > 0 && all[n-1].Until >= never {
		all[n-1].Until = Unknown
	}
	return all
}

// recovers notes how a hop empties after an outage.
func (h *LoadHop) recovers(t *tally, at time.Duration) {
	rec := Recovery{At: at, First: never, Drained: at}
	var waited []flow
	for _, v := range t.visits {
		left := v.out.passed(at - 1)
		if rec.Waiting += v.in.passed(at-1) - left; v.in.passed(at-1) > left {
			waited = append(waited, v.out)
			rec.First = min(rec.First, max(v.out.from, at))
		}
	}
	if rec.Waiting == 0 {
		return
	}
	rec.Half = half(waited, at, rec.Waiting)
	late := slices.DeleteFunc(slices.Clone(t.visits), func(v visit) bool { return !v.late || v.out.until < at })
	slices.SortFunc(late, func(a, b visit) int { return cmp.Compare(a.in.from, b.in.from) })
	for _, v := range late {
		if v.in.from > rec.Drained {
			break
		}
		rec.Drained = max(rec.Drained, v.out.until)
	}
	h.Recoveries = append(h.Recoveries, rec)
}

// half returns when half of what waited at a moment had left.
func half(waited []flow, at time.Duration, n int64) time.Duration {
	least, most := at, at
	for _, f := range waited {
		most = max(most, f.until)
	}
	var before int64
	for _, f := range waited {
		before += f.passed(at - 1)
	}
	for least < most {
		mid := least + (most-least)/2
		var left int64
		for _, f := range waited {
			left += f.passed(mid)
		}
		if 2*(left-before) >= n {
			most = mid
		} else {
			least = mid + 1
		}
	}
	return most
}

// notes says what was assumed.
func (r *loadRun) notes(s *LoadStory) {
	note := func(format string, args ...any) { s.Notes = append(s.Notes, fmt.Sprintf(format, args...)) }
	if r.l.Size == 0 && s.Size == DefaultSize {
		note("each message is taken to have %d octets: nothing says how large they are", DefaultSize)
	}
	ours := false
	for _, h := range s.Hops {
		c := r.c.hops[slices.IndexFunc(r.c.hops, func(o *hop) bool { return o.Name == h.Name })]
		if h.Home {
			continue
		}
		if r.l.Costs[h.Name].Drain == 0 {
			note("%s is taken to hand on %d messages a second: an assumption, give what it really does", c.title(), DefaultDrain)
		}
		if ours = ours || c.ours(); c.ours() {
			continue
		}
		if h.DiskLeast {
			note("of the disk of %s only the messages themselves are counted: what it takes beside them is not known", c.title())
		}
		if h.Memory < 0 {
			note("how much memory %s takes for what waits is not known", c.title())
		}
		note("%s tries each message by its own schedule, and what it learns of a host by one is not reckoned with for others", c.title())
	}
	if ours {
		note("a silent destination is tried by postrider once for all that waits, at least every %s; when it answers, what waited is handed on at once and in order, over %d connections at first, and up to %d",
			custody.FormatAge(knockMost), windowFirst, windowMost)
		note("the disk of postrider is reckoned at %d octets a message beside its own, its memory at %d MB and what is under way: measured with up to 10 million that wait", OwnDisk, OwnMemory/1_000_000)
	}
	note("attempts that fail cost no time, no hop refuses mail because it is full, and the letters to the senders are counted, not carried")
}

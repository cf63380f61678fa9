package chain

import (
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/system"
)

// pile is the turns that are still to be taken. In a ranged walk those of which
// the same follows are taken as one.
type pile struct {
	merge     bool
	counted   int // attempts
	now, next []turn
	known     map[turnKey]int
	done      map[turnKey]system.Span // of those whose attempts are no longer counted
}

// turnKey tells apart turns of which different things follow.
type turnKey struct {
	over, by, failing bool
	expiry            system.Expiry
	n, streak, spoken int
	pace              system.Trouble
	warned, told      int
	seen              int
	runs              [4]uint16
	last              custody.Trouble
	age               time.Duration
	byTold            bool
}

func (t *turn) key(counted int) turnKey {
	k := turnKey{over: t.over, by: t.by, failing: t.failing, expiry: t.expiry, n: t.n, streak: t.streak, spoken: t.spoken,
		pace: t.pace, warned: t.warned, told: t.told, seen: len(t.seen)}
	if t.lo != nil {
		k.runs, k.last, k.age, k.byTold = t.lo.Runs, t.lo.Last, t.lo.Warned, t.lo.ByTold
	}
	if t.n >= counted {
		k.runs, k.streak, k.spoken = [4]uint16{}, 0, min(k.spoken, 1)
	}
	return k
}

// again lays back a turn of which only a notice was sent.
func (p *pile) again(t turn) {
	if p.merge {
		k := t.key(p.counted)
		for i := range p.now {
			if p.now[i].key(p.counted) == k && p.now[i].join(&t) {
				return
			}
		}
	}
	p.now = append(p.now, t)
}

func (p *pile) add(t turn) {
	if !p.merge {
		p.next = append(p.next, t)
		return
	}
	k := t.key(p.counted)
	if t.n >= p.counted {
		was, ok := p.done[k]
		if ok && was.Least <= t.next.Least && t.next.Most <= was.Most {
			return // all that follows has been walked
		}
		if p.done == nil {
			p.done = map[turnKey]system.Span{}
		}
		if ok {
			t.next = hull(was, t.next)
		}
		p.done[k] = t.next
	}
	if i, ok := p.known[k]; ok && p.next[i].join(&t) {
		return
	}
	if p.known == nil {
		p.known = map[turnKey]int{}
	}
	p.known[k] = len(p.next)
	p.next = append(p.next, t)
}

func (p *pile) take() (turn, bool) {
	if len(p.now) == 0 {
		p.now, p.next = p.next, p.now[:0]
		clear(p.known)
	}
	if len(p.now) == 0 {
		return turn{}, false
	}
	// Those with the fewest notices first: they become like others by the next.
	i := len(p.now) - 1
	for j := range p.now {
		if p.now[j].told < p.now[i].told {
			i = j
		}
	}
	t := p.now[i]
	p.now = slices.Delete(p.now, i, i+1)
	return t, true
}

// join widens t so that it stands for o too, unless their greylists differ.
func (t *turn) join(o *turn) bool {
	for i, s := range t.seen {
		if s.outage != o.seen[i].outage || s.address != o.seen[i].address {
			return false
		}
	}
	seen := slices.Clone(t.seen)
	for i := range seen {
		seen[i].at = hull(seen[i].at, o.seen[i].at)
	}
	t.seen = seen
	t.next = hull(t.next, o.next)
	t.first = hull(t.first, o.first)
	return true
}

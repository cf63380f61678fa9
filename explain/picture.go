package explain

import (
	"cmp"
	"math"
	"strings"
	"time"

	"github.com/postrider/postrider/system"
)

// place is a host in the picture of a message's way, and what came of the
// message there.
type place struct {
	host     string // as the report names it; "" if it does not
	software string // as people name it
	mark     mark
	held     time.Duration
	told     bool // held is known
	note     string
	folded   int // stands for so many hosts that are not drawn
}

// mark is what a host did with the message.
type mark uint8

const (
	passed  mark = iota // had it, and handed it on
	owner               // has it, or had it last: its clock runs, or ran
	refuser             // said no
	silent              // never said a word
	taker               // took it
	unheard             // whether it was asked is not told, or it was not
)

// maxPlaces bounds the hosts that are drawn; of more, those in the middle are
// counted.
const maxPlaces = 16

// way makes the picture of a finding: who had the message, the oldest first, and
// what the next host said. A finding that is about no delivery has none.
func way(f Finding, l *language) []place {
	if f.Kind == NoBounce {
		return nil
	}
	var out []place
	owned := false
	for i, h := range f.Hops {
		p := place{host: h.Host, software: softwareName(h.Software), note: l.code("role.", h.Role), held: time.Duration(h.Held), told: !h.Accepted.IsZero() && !h.Handed.IsZero()}
		if h.Role == roleGaveUp && !owned {
			owned = true
			p = theOwner(f, l)
			p.host = cmp.Or(h.Host, p.host)
		} else if i == len(f.Hops)-1 {
			p.told = false // it handed on to whom no line tells of
		}
		out = append(out, p)
	}
	out = fold(out)
	if !owned {
		out = append(out, theOwner(f, l))
	}
	if p, ok := otherOf(f, l); ok {
		out = append(out, p)
	}
	return out
}

// fold counts the hosts in the middle where there are too many to draw. Whoever
// gave up is always drawn.
func fold(ps []place) []place {
	if len(ps) <= maxPlaces {
		return ps
	}
	const lead, tail = 5, maxPlaces - 5 - 3
	var out []place
	var left place
	for i, p := range ps {
		if i >= lead && i < len(ps)-tail && p.mark != owner {
			left.folded++
			left.held = max(left.held+p.held, left.held) // sums of hostile dates run over
			left.told = left.told || p.told
			continue
		}
		if left.folded > 0 {
			out = append(out, left)
			left = place{}
		}
		out = append(out, p)
	}
	return out
}

// ranOut reports whether a limit ended it: also where a refusal for good was
// tried again until then.
func ranOut(f Finding) bool {
	return expired(f.Kind) || ended(f.Kind) && f.Kind != EndedByOrder && (f.Clock.Value > 0 || f.Clock.Most > 0)
}

// theOwner is the host whose clock counted.
func theOwner(f Finding, l *language) place {
	did := f.Kind
	if ranOut(f) && !expired(did) {
		did = DeferredUntilExpired // refused for good, and tried on all the same
	}
	return place{host: f.GaveUp.Host, software: softwareName(f.GaveUp.Software), mark: owner, note: l.code("owner.", did), held: time.Duration(f.Clock.Held), told: f.Clock.Held > 0}
}

// otherOf is the host that was to have the message next.
func otherOf(f Finding, l *language) (place, bool) {
	r := f.Refused
	p := place{host: nameIP(r), mark: unheard, note: l.code("how.", r.How)}
	switch {
	case f.Kind == Arrived || f.Kind == HandedOn || f.Kind == Expanded:
		p.mark, p.note = taker, l.say("took it")
		return p, p.host != ""
	case r.How == byReply:
		p.mark, p.note = refuser, l.say("said no", "code", r.Code)
	case r.How == tcpRefused || r.How == timedOut || r.How == nobodyThere:
		p.mark = silent
	}
	if f.Contact == "broken" {
		p.note = l.say("contact.broken")
	}
	return p, true
}

func nameIP(r Refusal) string {
	switch {
	case r.Host == "":
		return r.IP
	case r.IP == "" || r.IP == r.Host:
		return r.Host
	}
	return r.Host + " [" + r.IP + "]"
}

// softwareName is a software as people name it, without its forms and its makers' other
// names.
func softwareName(id string) string {
	s, ok := system.Find(id)
	if !ok {
		return id
	}
	name, _, _ := strings.Cut(s.Name, ",")
	name, _, _ = strings.Cut(name, ":")
	if i := strings.LastIndex(name, " ("); i > 0 && strings.HasSuffix(name, ")") {
		name = name[:i]
	}
	return name
}

// scale says how long the bar of a held time is: 0 to 1. Times that differ so
// much that the short ones could not be seen are drawn by their logarithm.
type scale struct {
	most time.Duration
	log  bool
}

// visible is the part of the longest bar below which a bar is too short to see.
const visible = 20

func scaleOf(ps []place) scale {
	var s scale
	for _, p := range ps {
		s.most = max(s.most, p.held)
	}
	for _, p := range ps {
		s.log = s.log || p.told && p.held < s.most/visible
	}
	return s
}

func (s scale) of(d time.Duration) float64 {
	switch {
	case s.most <= 0 || d <= 0:
		return 0
	case s.log:
		return math.Log1p(d.Seconds()) / math.Log1p(s.most.Seconds())
	}
	return d.Seconds() / s.most.Seconds()
}

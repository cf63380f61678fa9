package chain

import (
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/system"
)

// mode is which of the possible worlds a walk goes through.
type mode uint8

const (
	reckoned mode = iota // the one that is likeliest
	sampled              // one that a seed draws
	ranged               // all of them at once: every time is a span
)

// walk is one way through a course. In a world that is reckoned or sampled every
// span is a single moment, and a message has one fate. A ranged walk goes through
// all fates that differ; those that have become alike again go on as one, so that
// the spans it notes hold for every world, and may be somewhat too wide.
type walk struct {
	c       *course
	mode    mode
	seed    uint64
	minutes bool // of single attempts and of custody's own entries too

	facts   []fact                  // in a single world
	ends    []fact                  // of the message itself
	held    []tenure                // in a single world, of the message itself
	letters []*sent                 // in a single world, as they are written
	hulls   map[factKey]system.Span // in all worlds
	posted  map[letterKey]system.Span
	about   map[letterKey]parcel
	work    int
	// A ranged walk counts attempts exactly so far; behind that, paces are taken not
	// to change any more.
	counted int
	err     error
}

// fact is something that happens. Its span is a moment but in a ranged walk.
type fact struct {
	kind    EventKind
	letter  letterKey // zero: of the message itself
	hop     int
	peer    int // attempt: who is asked; accept: from whom; below 0: nobody
	n       int // number of the attempt, or of the notice
	at      system.Span
	took    time.Duration
	outcome *custody.Outcome // of an attempt
	expiry  system.Expiry
	by      bool // DELIVERBY's time ended it
}

// factKey says which facts of different worlds are the same.
type factKey struct {
	kind   EventKind
	letter letterKey
	hop    int
	peer   int
	n      int
}

func (f fact) key() factKey {
	k := factKey{f.kind, f.letter, f.hop, f.peer, f.n}
	if f.kind == Accepts {
		k.peer = -1
	}
	return k
}

// letterKey names a letter: who wrote it, of what kind, and which of that kind.
type letterKey struct {
	hop  int // from 1, so that none is zero
	kind custody.Kind
	n    int
}

// parcel is what is carried: the message, or a letter about it.
type parcel struct {
	letter letterKey
	route  *route
	from   int
	notify mail.Notify
	null   bool
	by     mail.DeliverBy // Within from the start of the scenario
	size   int64
}

// sent is a letter in a single world.
type sent struct {
	key     letterKey
	parcel  parcel
	written time.Duration
	end     fact // of its own way
	ours    *Ours
}

// tenure is a time of custody.
type tenure struct {
	hop         int
	from, until time.Duration
	attempts    int
	ours        *Ours
}

// turn is where a parcel stands with its owner, and what comes next. Ages count
// from the acceptance.
type turn struct {
	accepted system.Span
	next     system.Span // of the next attempt, or of the end
	over     bool        // it is the end
	expiry   system.Expiry
	by       bool
	n        int            // attempts made
	streak   int            // of the last of them, those that one pace counts, where there are two
	pace     system.Trouble // that pace
	spoken   int            // attempts in which a host spoke, as far as that matters
	warned   int            // ages of a warning that have passed
	told     int            // warnings that were sent
	failing  bool
	first    system.Span // age at which the destination first failed
	seen     []sighting
	lo, hi   *custody.Delivery // of ours: the earliest and the latest possible
	entries  []custody.Entry
	held     int // index into walk.held
}

// sighting is when a greylist first saw an address, as an age.
type sighting struct {
	outage  *Outage
	address int
	at      system.Span
}

// exactly is the span of a moment.
func exactly(d time.Duration) system.Span { return system.Span{Least: d, Most: d, Model: d} }

func shift(s system.Span, by system.Span) system.Span {
	return system.Span{Least: s.Least + by.Least, Most: min(s.Most+by.Most, never), Model: s.Model + by.Model}
}

func hull(a, b system.Span) system.Span {
	return system.Span{Least: min(a.Least, b.Least), Most: max(a.Most, b.Most), Model: min(a.Model, b.Model)}
}

// draw picks the time of a span that is so in the walk's world.
func (w *walk) draw(s system.Span, salt ...int) system.Span {
	switch w.mode {
	case ranged:
		return s
	case reckoned:
		return exactly(s.Pick(system.Reckoned))
	}
	return exactly(s.Least + w.quantile(s, share(w.seed, salt...)))
}

// quantile is how far behind its earliest a time of a span is, if so large a share
// of the worlds has it earlier. Half of them have it before the one to reckon with.
func (w *walk) quantile(s system.Span, q float64) time.Duration {
	model := s.Pick(system.Reckoned) - s.Least
	most := s.Most - s.Least
	if s.Most >= system.Open { // nobody knows how late: as much later as earlier
		most = 2 * model
	}
	if q < 0.5 {
		return time.Duration(2 * q * float64(model))
	}
	return model + time.Duration((2*q-1)*float64(most-model))
}

// share is a number in [0, 1) that depends on nothing but its arguments.
func share(seed uint64, salt ...int) float64 {
	v := seed + 0x9e3779b97f4a7c15
	for _, s := range salt {
		v ^= uint64(s)
		v = mix(v)
	}
	return float64(mix(v)>>11) / (1 << 53)
}

// mix is SplitMix64's: near inputs have nothing in common afterwards.
func mix(v uint64) uint64 {
	v += 0x9e3779b97f4a7c15
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}

// note writes down a fact.
func (w *walk) note(f fact) {
	if w.mode != ranged {
		if w.minutes || f.kind != Attempts && f.kind != Accepts {
			w.facts = append(w.facts, f)
		}
		return
	}
	k := f.key()
	if k.n > w.counted/2 && k.kind == Attempts {
		return // nobody will ask
	}
	if was, ok := w.hulls[k]; ok {
		f.at = hull(was, f.at)
	}
	w.hulls[k] = f.at
}

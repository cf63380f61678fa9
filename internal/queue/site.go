package queue

import (
	"bytes"
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
)

// Bounds on what is known of a destination.
const (
	// A dead host is knocked at least this often while mail waits for it, however
	// long the gaps of that mail have become: its return should not go unseen.
	knockMost = 30 * time.Minute
	// A last try that falls due between two knocks may knock too, but no sooner
	// than this after the one before.
	knockLeast = 30 * time.Second
	// How many connections a destination gets at first after it has answered; one
	// more with each message it takes. Until then it has one: a probe.
	windowFirst = 4
	// A site is behind when what it is given next fell due so long ago, or waited and
	// is poured out. What falls due now takes turns with that: it shall not stand behind
	// all of a backlog.
	lateBy = 5 * time.Second
)

// site is what the queue knows of one destination, in memory only: it is
// forgotten when nothing waits for it here and it is well, and after a restart.
type site struct {
	way    custody.Way
	ready  loads
	lately loads                // of a site that is behind: what fell due lately
	turn   bool                 // that of lately, if there is any
	shared map[custody.ID]*load // those of both, by message: to be joined
	away   int                  // taken from those to be warned of: their places are kept
	active int                  // attempts under way
	window int                  // attempts allowed at a time
	hungry bool                 // stands in Queue.hungry

	proven time.Time       // when it last answered to MAIL or later; zero: not yet
	back   time.Time       // when the attempt began to which it first did, or did again
	fails  int             // attempts in a row that ended before MAIL
	knock  time.Time       // dead: no attempt before; zero: not dead
	last   time.Time       // dead: when the last attempt began
	down   time.Time       // when it was last found dead
	wanted time.Time       // when an operator last wanted it tried
	why    string          // dead: what the last attempt met
	failed custody.Attempt // dead: the last attempt, as others share it
	paced  time.Time       // Way.Gap: no attempt before
	timed  bool            // it is fed then

	waiting map[string]bool // lanes whose mail waits for it in vain
	pouring bool            // what waited is given to it before its time
}

// loads stand in the order in which their messages were accepted.
type loads []*load

func (ls *loads) put(l *load) {
	at, _ := slices.BinarySearchFunc(*ls, l.message.ID, func(l *load, id custody.ID) int {
		return bytes.Compare(l.message.ID[:], id[:])
	})
	*ls = slices.Insert(*ls, at, l)
}

// most is how many loads of a kind the site takes into memory: enough to keep its
// connections busy while the next are read, and no more where each waits for its turn.
func (s *site) most() int {
	const ahead = 10 * time.Second
	if gap := s.way.Gap; gap > 0 {
		return max(2, min(20*s.window, int(ahead/gap)))
	}
	return max(10, 20*s.window)
}

// room is how many more it takes.
func (s *site) room() int { return s.most() - len(s.ready) - s.away }

// roomForDue is the part of it for what is due by itself. While what waited is poured out
// half is kept for that: more new mail than the host takes would leave it none.
func (s *site) roomForDue() int {
	if s.pouring {
		return s.room() - s.most()/2
	}
	return s.room()
}

// behind reports that what the site is given fell due long ago. A probe takes what is
// the oldest.
func (s *site) behind(now time.Time) bool {
	return !s.proven.IsZero() && (s.pouring || len(s.ready) > 0 && now.Sub(s.ready[0].due) > lateBy)
}

// since is from when on something has fallen due lately: not at the knock by which the site
// came back, until which all had been put off.
func (s *site) since(now time.Time) time.Time { return later(s.back.Add(1), now.Add(-lateBy)) }

// roomForNew is how much more mail that has just fallen due the site takes.
func (s *site) roomForNew(now time.Time) int {
	if s.behind(now) {
		return s.most() - len(s.lately)
	}
	return s.roomForDue()
}

// put adds an item to the loads of the site, joined with those of its message.
func (s *site) put(it spool.Item, taken *item, body []byte, now time.Time) {
	taken.site = s
	id := it.Message.ID
	if l := s.shared[id]; l != nil {
		l.items = append(l.items, taken)
		return
	}
	l := &load{message: it.Message, items: []*item{taken}, body: body, due: it.Wake}
	lately := !it.Wake.Before(s.since(now)) && !it.Wake.After(now) // also if it is poured out with the rest of its lane
	if s.shared[id] = l; lately && s.behind(now) && len(s.lately) < s.most() {
		s.lately.put(l)
	} else {
		s.ready.put(l)
	}
}

// given is how many loads it has.
func (s *site) given() int { return len(s.ready) + len(s.lately) }

// pop takes the load of the oldest message, or in its turn of what fell due lately. It
// reports whether there is room for half as many again.
func (s *site) pop() (l *load, half bool) {
	from := &s.ready
	if len(s.lately) > 0 && (s.turn || len(s.ready) == 0) {
		from = &s.lately
	}
	s.turn = from == &s.ready
	l = (*from)[0]
	(*from)[0] = nil
	*from = (*from)[1:]
	delete(s.shared, l.message.ID)
	return l, len(*from) < s.most()/2
}

// drop takes an item out of the load that it stands ready in. It returns how many octets
// of a body are not held any more.
func (s *site) drop(it *item) (octets int, found bool) {
	l := s.shared[it.d.ID.Message]
	if l == nil {
		return 0, false
	}
	i := slices.Index(l.items, it)
	if i < 0 {
		return 0, false
	}
	if l.items = slices.Delete(l.items, i, i+1); len(l.items) > 0 {
		return 0, true
	}
	same := func(o *load) bool { return o == l }
	s.ready, s.lately = slices.DeleteFunc(s.ready, same), slices.DeleteFunc(s.lately, same)
	delete(s.shared, l.message.ID)
	return len(l.body), true
}

// takeAll leaves it without any.
func (s *site) takeAll() []*load {
	all := slices.Concat(s.ready, s.lately)
	s.ready, s.lately = nil, nil
	clear(s.shared)
	return all
}

// probing reports that a dead site is being knocked at: what else is due there
// waits for what that brings.
func (s *site) probing() bool { return !s.knock.IsZero() && s.active > 0 }

// blocked says why the site may not be tried now, and until when; "" if it may.
// A delivery at its deadline may knock at a dead host out of turn.
func (s *site) blocked(now time.Time, last bool) (why string, until time.Time) {
	until = s.knock
	if soon := s.last.Add(knockLeast); last && soon.Before(until) {
		until = soon
	}
	if !now.Before(until) { // also if it is not dead: knock is zero
		return "", time.Time{}
	}
	return s.why, until
}

// asked reports whether an attempt says anything of the site: not that of a domain whose
// way could not be found when it was looked up once more.
func asked(a custody.Attempt) bool {
	return slices.ContainsFunc(a.Outcomes, func(o custody.Outcome) bool { return o.Stage > mail.Route })
}

// reached reports whether an attempt came so far that the host said something
// about the message: it lives.
func reached(a custody.Attempt) bool {
	for _, o := range a.Outcomes {
		if o.Stage >= mail.Mail {
			return true
		}
	}
	return false
}

// lives notes that the site answered to an attempt.
func (s *site) lives(a custody.Attempt, now time.Time, limit int) {
	if s.proven.IsZero() || !s.knock.IsZero() {
		s.window, s.back = min(windowFirst, limit), a.Began
		s.ready = slices.DeleteFunc(s.ready, func(l *load) bool { // what came meanwhile
			lately := l.due.After(a.Began)
			if lately {
				s.lately.put(l)
			}
			return lately
		})
	} else {
		s.window = min(s.window+1, limit) // a changed configuration may have lowered it
	}
	s.proven, s.fails, s.knock, s.why, s.failed = now, 0, time.Time{}, "", custody.Attempt{}
}

// fell notes an attempt that ended before MAIL. It answers false where that says
// nothing new of the host: another attempt has got through since, so it only
// has enough connections; or another of the same time has told already.
func (s *site) fell(a custody.Attempt, now time.Time) bool {
	if s.proven.After(a.Began) {
		s.window = max(1, s.window-1)
		return false
	}
	if a.Began.Before(s.down) {
		return false
	}
	s.window, s.proven = 1, time.Time{}
	s.fails++
	s.last, s.down, s.failed = a.Began, now, a
	s.failed.Shared = true
	s.why = "no try now: " + a.Way + " did not answer when it was last tried for other mail"
	for _, o := range a.Outcomes {
		s.why += " (" + o.Reply.Line() + ")"
		break
	}
	return true
}

// shares reports whether the last attempt at the dead site was one for a delivery too.
func (s *site) shares(d custody.Delivery, sch custody.Schedule) bool {
	return !s.knock.IsZero() && served(d, sch, s.failed.Began, s.down)
}

// served reports whether an attempt that ended before MAIL was one for a delivery, and has
// not been counted for it: it was due when that began, or reached its deadline while that
// was under way.
func served(d custody.Delivery, sch custody.Schedule, began, ended time.Time) bool {
	deadline := custody.End(d, sch)
	return d.Began.Before(began) && (!d.Next.After(began) || deadline.After(began) && !ended.Before(deadline))
}

// want has the site knocked at now if it is dead, because an operator wants it: after an
// attempt that is under way, if that fails.
func (s *site) want(now time.Time) {
	s.wanted = now
	if !s.knock.IsZero() {
		s.knock = now
	}
}

// rest sets when the dead site is next knocked at: when the first of the
// deliveries that were tried is due again (zero: not known), but no sooner than
// suits a host that failed so often, and no later than knockMost. An order given since
// the attempt began asks for the next one now.
func (s *site) rest(began, first time.Time, sch custody.Schedule, t custody.Trouble) {
	gap := sch.Gap(t, s.fails-1)
	s.knock = later(first, began.Add(gap-time.Duration(float64(gap)*sch.Jitter)))
	if most := began.Add(knockMost); most.Before(s.knock) {
		s.knock = most
	}
	if s.wanted.After(began) {
		s.knock = s.wanted
	}
}

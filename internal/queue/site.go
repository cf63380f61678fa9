package queue

import (
	"bytes"
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
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
)

// site is what the queue knows of one destination, in memory only: it is
// forgotten when nothing waits for it here and it is well, and after a restart.
type site struct {
	way    custody.Way
	ready  []*load
	shared map[custody.ID]*load // those of ready, by message: to be joined
	active int                  // attempts under way
	window int                  // attempts allowed at a time
	hungry bool                 // stands in Queue.hungry

	proven time.Time       // when it last answered to MAIL or later; zero: not yet
	fails  int             // attempts in a row that ended before MAIL
	knock  time.Time       // dead: no attempt before; zero: not dead
	last   time.Time       // dead: when the last attempt began
	down   time.Time       // when it was last found dead
	why    string          // dead: what the last attempt met
	failed custody.Attempt // dead: the last attempt, as others share it
	paced  time.Time       // Way.Gap: no attempt before

	waiting map[string]bool // lanes whose mail waits for it in vain
	pouring bool            // what waited is given to it before its time
}

// room is how many more loads the site takes into memory: enough to keep its
// connections busy while the next are read.
func (s *site) room() int { return max(10, 20*s.window) - len(s.ready) }

// roomForDue is the part of it for what is due by itself. While what waited is poured out
// half is kept for that: more new mail than the host takes would leave it none.
func (s *site) roomForDue() int {
	if s.pouring {
		return s.room() - max(10, 20*s.window)/2
	}
	return s.room()
}

// put adds an item to the loads of the site, which stand in the order in which
// their messages were accepted, joined with those of its message.
func (s *site) put(m custody.Message, it *item, body []byte) {
	if l := s.shared[m.ID]; l != nil {
		l.items = append(l.items, it)
		return
	}
	l := &load{message: m, items: []*item{it}, body: body}
	at, _ := slices.BinarySearchFunc(s.ready, m.ID, func(l *load, id custody.ID) int {
		return bytes.Compare(l.message.ID[:], id[:])
	})
	s.ready = slices.Insert(s.ready, at, l)
	s.shared[m.ID] = l
}

// pop takes the load of the oldest message.
func (s *site) pop() *load {
	l := s.ready[0]
	s.ready[0] = nil
	s.ready = s.ready[1:]
	delete(s.shared, l.message.ID)
	return l
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

// lives notes that the site answered to an attempt that began then.
func (s *site) lives(now time.Time, limit int) {
	if s.proven.IsZero() || !s.knock.IsZero() {
		s.window = min(windowFirst, limit)
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

// rest sets when the dead site is next knocked at: when the first of the
// deliveries that were tried is due again (zero: not known), but no sooner than
// suits a host that failed so often, and no later than knockMost.
func (s *site) rest(began, first time.Time, sch custody.Schedule, t custody.Trouble) {
	gap := sch.Gap(t, s.fails-1)
	s.knock = later(first, began.Add(gap-time.Duration(float64(gap)*sch.Jitter)))
	if most := began.Add(knockMost); most.Before(s.knock) {
		s.knock = most
	}
}

package chain

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/postrider/postrider/system"
)

// Row is what the mail of one system suffers while a receiver is down: the view
// of whoever runs the receiver and asks what comes when it is back.
type Row struct {
	ID, Name string
	Fate     Fate
	// Of a message sent as the outage begins, the one that waits longest. Delivered
	// counts from the receiver's return, GaveUp from the beginning of the outage;
	// nil: it is not, or nobody knows when.
	Delivered, GaveUp *system.Span
	// Warned are the ages at which its sender is told of the delay; none: never.
	// Unless WarnKnown, nobody has looked; if Sometime, it tells, and nobody knows
	// when.
	Warned              []time.Duration
	WarnKnown, Sometime bool
	// Of mail sent evenly over the outage: for how long from its beginning mail is
	// given up, and how long after the return the last of the rest may come; below
	// 0: not known.
	Lost, Latest time.Duration
	Silent       bool // mail that is given up vanishes: its sender hears nothing
	Guessed      bool // some gaps are not known and were reckoned
	Confidence   system.Confidence
	Source       string
}

// Fate says what becomes of the mail of an outage.
type Fate uint8

// The fates, from the best.
const (
	Delivers Fate = iota // all of it is delivered after the return
	Holds                // it is held longer than the outage; when it is tried is not known
	Part                 // what was sent first is given up, the rest delivered or held
	Returns              // all of it is given up
	NotKnown             // how long it is held is not known
)

var fateNames = [...]string{"delivers", "holds", "part", "returns", "not-known"}

// String returns the fate as written in JSON.
func (f Fate) String() string {
	if int(f) < len(fateNames) {
		return fateNames[f]
	}
	return "?" + strconv.Itoa(int(f))
}

// ReceiverDown says of every system what becomes of its mail for a receiver that
// does not answer for so long, the best first.
func ReceiverDown(outage time.Duration, systems []system.System) []Row {
	outage = max(0, outage)
	rows := make([]Row, 0, len(systems))
	for _, s := range systems {
		rows = append(rows, receiverRow(outage, s))
	}
	slices.SortStableFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Fate, b.Fate), cmp.Compare(a.Lost, b.Lost),
			cmp.Compare(uint64(a.Latest), uint64(b.Latest)), // what is not known comes last
			cmp.Compare(a.ID, b.ID))
	})
	return rows
}

func receiverRow(outage time.Duration, s system.System) Row {
	p := s.Policy
	c := policyStay(p, system.Unreachable)
	r := Row{
		ID: s.ID, Name: s.Name, Silent: p.Silent, Guessed: c.guessed, Latest: -1,
		WarnKnown: p.Warn.Known, Sometime: p.Warn.On && len(p.Warn.At) == 0 && p.Warn.Try == 0,
		Confidence: s.Confidence, Source: believed(s),
	}
	t := tollOf(c, p.Clock, outage)
	r.Lost = t.lost
	switch at, comes := c.after(outage); {
	case !c.known && !c.paced:
		r.Fate = NotKnown
		return r
	case t.lost >= outage && outage > 0:
		r.Fate = Returns
	case t.lost > 0:
		r.Fate = Part
		r.Latest = latest(p, c, outage)
	case !c.paced || !comes:
		r.Fate = Holds
	default:
		r.Latest = latest(p, c, outage)
		r.Delivered = delivered(p, c, outage, at)
		if p.Clock == system.FromFailure { // all its mail is tried when the host's time comes
			r.Latest = r.Delivered.Most
		}
	}
	wait := system.Open
	if r.Fate == Part || r.Fate == Returns {
		end := c.end
		r.GaveUp, wait = &end, c.gaveUp()
	} else if r.Delivered != nil {
		wait = outage + r.Delivered.Pick(system.Reckoned)
	}
	told, _ := warnedAt(p, c)
	for _, w := range told {
		if w < wait && (r.Delivered != nil || w < outage || r.GaveUp != nil) {
			r.Warned = append(r.Warned, w)
		}
	}
	return r
}

// delivered is how long after its return the receiver gets a message that was
// sent as the outage began, and is reckoned to be tried at that age.
func delivered(p system.Policy, c stay, outage, at time.Duration) *system.Span {
	s := system.Span{Model: at - outage}
	s.Most = latest(p, c, outage)
	if s.Most < 0 {
		s.Most = system.Open
	}
	if c.guessed {
		return &s
	}
	early, late := p.Run(system.Unreachable, system.Earliest).Attempts, p.Run(system.Unreachable, system.Latest).Attempts
	n, _ := slices.BinarySearch(c.tries, outage)
	i, _ := slices.BinarySearch(early, outage)
	j, _ := slices.BinarySearch(late, outage)
	if i == n && j == n && i < len(early) && j < len(late) { // the same attempt, whatever chance does
		s.Least, s.Most = early[i]-outage, late[j]-outage
	}
	return &s
}

// latest is how long after its return a receiver may have to wait for mail that
// is tried again: the longest gap that can lie across the return.
func latest(p system.Policy, c stay, outage time.Duration) time.Duration {
	longest := time.Duration(-1)
	for i := 0; i+1 < len(c.tries) && c.tries[i] < outage; i++ {
		next, ok := p.Next(system.Unreachable, i+1, c.tries[i])
		if ok {
			longest = max(longest, next.Most-c.tries[i])
		}
		if next.Most >= system.Open {
			return -1
		}
	}
	return longest
}

// Kept is the share of evenly sent mail that is not given up, 0 to 1.
func (r Row) Kept(outage time.Duration) float64 {
	if outage <= 0 {
		return 1
	}
	return 1 - float64(r.Lost)/float64(outage)
}

// MarshalJSON writes lengths of time in seconds, what is not known as null.
func (r Row) MarshalJSON() ([]byte, error) {
	type span struct {
		Least    int64  `json:"least"`
		Most     *int64 `json:"most"`
		Reckoned int64  `json:"reckoned"`
	}
	seconds := func(d time.Duration) *int64 {
		if n := int64(d / time.Second); d >= 0 && d < system.Open {
			return &n
		}
		return nil
	}
	spanOf := func(s *system.Span) *span {
		if s == nil {
			return nil
		}
		return &span{int64(s.Least / time.Second), seconds(s.Most), int64(s.Pick(system.Reckoned) / time.Second)}
	}
	v := struct {
		ID         string  `json:"system"`
		Name       string  `json:"name"`
		Fate       string  `json:"fate"`
		Delivered  *span   `json:"delivered_after_return_s"`
		GaveUp     *span   `json:"gives_up_s"`
		Warned     []int64 `json:"warned_s"`
		WarnKnown  bool    `json:"warnings_known"`
		Sometime   bool    `json:"warns_at_unknown_time"`
		Lost       *int64  `json:"lost_first_s"`
		Latest     *int64  `json:"latest_after_return_s"`
		Silent     bool    `json:"silent"`
		Guessed    bool    `json:"guessed"`
		Confidence string  `json:"confidence"`
		Source     string  `json:"source"`
	}{
		r.ID, r.Name, r.Fate.String(), spanOf(r.Delivered), spanOf(r.GaveUp), []int64{}, r.WarnKnown, r.Sometime,
		nil, seconds(r.Latest), r.Silent, r.Guessed, r.Confidence.String(), r.Source,
	}
	for _, w := range r.Warned {
		v.Warned = append(v.Warned, int64(math.Round(w.Seconds())))
	}
	if r.Fate != NotKnown {
		v.Lost = seconds(r.Lost)
	}
	return json.Marshal(v)
}

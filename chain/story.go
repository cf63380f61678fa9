package chain

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// Story is what a scenario comes to. Its times are those of the likeliest world;
// where a time is not certain, the earliest and the latest possible stand beside
// it. All of them count from the acceptance by the first hop.
type Story struct {
	Start   time.Time // as the scenario has it
	Events  []Event   // in order; those of letters on their way back among them
	Summary Summary
	Letters []Letter // to the sender, in the order in which they were written
	Tenures []Tenure // who owned the message, one after the other
	// Notes say what had to be assumed.
	Notes []string

	scenario Scenario // of the picture's lanes
}

// Event is one thing that happens.
type Event struct {
	At               time.Duration
	Earliest, Latest time.Duration // Unknown: nobody knows
	Kind             EventKind
	Hop              string
	Peer             string // Attempts: who is asked. Accepts: from whom; "": the sender
	// Attempt is the number of the attempt, from 1; of several hosts that are asked
	// in the same one each has its own event. Accepts, GivesUp, Bounces: how many
	// were made.
	Attempt int
	Took    time.Duration // Attempts: how long it lasted
	Outcome string        // Attempts: "accepted", "deferred", "refused" or "unreachable"
	Words   string        // what was said, or why
	Letter  int           // 0: the message itself; else number of the letter that it is about, from 1
}

// Unknown is a time that nobody knows: a system whose pace is not published.
const Unknown time.Duration = -1

// EventKind is the kind of an [Event].
type EventKind string

// The kinds of events, as the output of the simulator names them. What happens to a
// letter on its way back has "letter_" in front: letter_accept, letter_attempt,
// letter_give_up, letter_refused.
const (
	Accepts   EventKind = "accept"    // the hop answers 250: it owns the message now
	Released  EventKind = "release"   // FUTURERELEASE's time has come, and the clock starts
	Attempts  EventKind = "attempt"   // the hop tries to hand on
	Warns     EventKind = "warn"      // the hop writes a notice of delay
	GivesUp   EventKind = "give_up"   // the hop's own limit ends it
	Bounces   EventKind = "refused"   // the next hop, or the way to it, refused for good: the owner ends it
	Delivered EventKind = "delivered" // it is in the mailbox
	Told      EventKind = "told"      // a letter has reached the sender; Hop is who wrote it
)

// Outcome is how a message ends.
type Outcome string

// The outcomes.
const (
	WasDelivered Outcome = "delivered"
	WasBounced   Outcome = "bounced" // not delivered, and the sender was told
	WasLost      Outcome = "lost"    // not delivered, and the sender never learnt of it
)

// Summary is the story in short.
type Summary struct {
	Outcome Outcome
	By      string // the owner who ended it; of a delivery, who had the mailbox
	// FirstTold and LastTold are when the sender learnt of it by letter for the first
	// and for the last time; nil: never.
	FirstTold, LastTold *Time
	Ended               Time                     // the message itself
	Held                map[string]time.Duration // by each hop that owned it
	// SilentUntil is when the longest silence ended, by a letter or by the delivery;
	// SilentFrom is when it began.
	SilentFrom, SilentUntil time.Duration // SilentUntil: Unknown if it never ended
	// Clock is what decided when it ended, in words: whose limit, or who refused.
	Clock string
	// Survives is the longest outage that each owner's policy outlasts, one that
	// begins with its custody: the age of its last attempt.
	Survives map[string]Survival
	// Longest is how long the message could lie on the way, all limits used up one
	// after the other.
	Longest  time.Duration
	Attempts map[string]int // of the message, by hop
	// Possible are the other ends that it may have, if the times that are not
	// certain fall otherwise.
	Possible []Possible
	Reads    []string // what the sender reads of it, letter by letter
}

// Time is a time with the earliest and the latest possible.
type Time struct{ At, Earliest, Latest time.Duration }

// Survival is what an owner's policy outlasts.
type Survival struct {
	Unreachable time.Duration // no connection can be made
	Deferred    time.Duration // the host answers 4yz
	GivesUp     time.Duration // age at which it gives up what it cannot connect for
}

// Possible is an end that a message may have.
type Possible struct {
	Outcome          Outcome
	By               string
	Earliest, Latest time.Duration
}

// Letter is a letter to the sender.
type Letter struct {
	Kind    custody.Kind
	Hop     string // who wrote it
	Written Time
	Arrived *Time  // nil: it never reached the sender
	Lost    string // why not
	Words   string // what it says as far as that is known
	// Ours is there if the hop is one of ours: all that package notice needs.
	Ours *Ours
}

// Ours is a delivery of a hop of ours.
type Ours struct {
	Message  custody.Message
	Delivery custody.Delivery
	Schedule custody.Schedule
	Entries  []custody.Entry
	Tell     custody.Tell // of a letter: what it is to tell
}

// Tenure is a time of custody.
type Tenure struct {
	Hop         string
	From, Until time.Duration
	Attempts    int
	Ours        *Ours // if the hop is one of ours
}

// MarshalJSON writes {"events": […], "summary": {…}}, times in seconds under names
// that end in _s, and after them what else the story holds.
func (s Story) MarshalJSON() ([]byte, error) {
	type letter struct {
		Kind     custody.Kind `json:"kind"`
		Hop      string       `json:"hop"`
		Written  seconds      `json:"written_s"`
		Arrived  *seconds     `json:"arrived_s"`
		Earliest *seconds     `json:"earliest_s,omitempty"`
		Latest   *seconds     `json:"latest_s,omitempty"`
		Lost     string       `json:"lost,omitempty"`
		Words    string       `json:"words,omitempty"`
	}
	letters := make([]letter, len(s.Letters))
	for i, l := range s.Letters {
		letters[i] = letter{Kind: l.Kind, Hop: l.Hop, Written: seconds(l.Written.At), Lost: l.Lost, Words: l.Words}
		if a := l.Arrived; a != nil {
			letters[i].Arrived, letters[i].Earliest, letters[i].Latest = some(a.At), some(a.Earliest), some(a.Latest)
		}
	}
	return json.Marshal(struct {
		Start   *time.Time `json:"start,omitempty"`
		Events  []Event    `json:"events"`
		Summary Summary    `json:"summary"`
		Letters []letter   `json:"letters"`
		Notes   []string   `json:"notes,omitempty"`
	}{nonzero(s.Start), s.Events, s.Summary, letters, s.Notes})
}

// MarshalJSON writes the event. earliest_s and latest_s are always there; null
// stands for a time that nobody knows.
func (e Event) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		At       seconds   `json:"t_s"`
		Hop      string    `json:"hop"`
		Kind     EventKind `json:"event"`
		Earliest *seconds  `json:"earliest_s"`
		Latest   *seconds  `json:"latest_s"`
		Peer     string    `json:"peer,omitempty"`
		Attempt  int       `json:"attempt,omitempty"`
		Took     seconds   `json:"took_s,omitempty"`
		Outcome  string    `json:"outcome,omitempty"`
		Words    string    `json:"words,omitempty"`
		Letter   int       `json:"letter,omitempty"`
	}{seconds(e.At), e.Hop, e.Kind, some(e.Earliest), some(e.Latest), e.Peer, e.Attempt, seconds(e.Took), e.Outcome, e.Words, e.Letter})
}

// MarshalJSON writes the summary; first_told_s and last_told_s are null if the
// sender was never told.
func (s Summary) MarshalJSON() ([]byte, error) {
	type possible struct {
		Outcome  Outcome  `json:"outcome"`
		By       string   `json:"by"`
		Earliest *seconds `json:"earliest_s"`
		Latest   *seconds `json:"latest_s"`
	}
	type survival struct {
		Unreachable seconds `json:"unreachable_s"`
		Deferred    seconds `json:"deferred_s"`
		GivesUp     seconds `json:"gives_up_s"`
	}
	ends := make([]possible, len(s.Possible))
	for i, p := range s.Possible {
		ends[i] = possible{p.Outcome, p.By, some(p.Earliest), some(p.Latest)}
	}
	held, survives := map[string]seconds{}, map[string]survival{}
	for h, d := range s.Held {
		held[h] = seconds(d)
	}
	for h, v := range s.Survives {
		survives[h] = survival{seconds(v.Unreachable), seconds(v.Deferred), seconds(v.GivesUp)}
	}
	return json.Marshal(struct {
		Outcome     Outcome             `json:"outcome"`
		By          string              `json:"by"`
		FirstTold   *seconds            `json:"first_told_s"`
		LastTold    *seconds            `json:"last_told_s"`
		Held        map[string]seconds  `json:"held_s"`
		SilentUntil *seconds            `json:"silent_until_s"`
		SilentFrom  seconds             `json:"silent_from_s"`
		Ended       seconds             `json:"ended_s"`
		Earliest    *seconds            `json:"ended_earliest_s"`
		Latest      *seconds            `json:"ended_latest_s"`
		Clock       string              `json:"clock"`
		Attempts    map[string]int      `json:"attempts"`
		Survives    map[string]survival `json:"survives_s"`
		Longest     seconds             `json:"longest_possible_s"`
		Possible    []possible          `json:"possible"`
		Reads       []string            `json:"reads,omitempty"`
	}{s.Outcome, s.By, s.FirstTold.seconds(), s.LastTold.seconds(), held, some(s.SilentUntil), seconds(s.SilentFrom),
		seconds(s.Ended.At), some(s.Ended.Earliest), some(s.Ended.Latest), s.Clock, s.Attempts, survives, seconds(s.Longest), ends, s.Reads})
}

func (t *Time) seconds() *seconds {
	if t == nil {
		return nil
	}
	return some(t.At)
}

// seconds is a length of time as JSON has it: a number of seconds, whole ones
// without a point.
type seconds time.Duration

func (s seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(s).Round(time.Millisecond).Seconds(), 'f', -1, 64), nil
}

// some is a time that may be unknown.
func some(d time.Duration) *seconds {
	if d == Unknown {
		return nil
	}
	s := seconds(d)
	return &s
}

func nonzero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// outcomeWord is how an attempt came out, in one word.
func outcomeWord(o *custody.Outcome) string {
	switch {
	case o.Taken != custody.Nothing:
		return "accepted"
	case o.Refuses():
		return "refused"
	case o.Theirs && o.Stage >= mail.Greeting:
		return "deferred"
	}
	return "unreachable"
}

// when writes a time or a length of time whole: "7d 23h 7m", "14m", "5d 0h 13m 20s".
func when(d time.Duration) string {
	if d == Unknown {
		return "nobody knows when"
	}
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	d = d.Round(time.Second)
	words := ""
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if n := d / u.unit; n > 0 || words != "" && d > 0 {
			words += " " + strconv.FormatInt(int64(n), 10) + u.name
			d -= n * u.unit
		}
	}
	if words == "" {
		return "0s"
	}
	return sign + words[1:]
}

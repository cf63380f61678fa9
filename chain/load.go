package chain

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
)

// Load is many messages, one like the other, that enter a scenario: what a chain
// must hold while its destination is away, and how it empties afterwards.
type Load struct {
	Messages int64   // 1 to MaxMessages
	Rate     float64 // a second that arrive at the first hop, evenly; 0: all at once
	Size     int64   // octets of each; 0: the size of the scenario's message, else DefaultSize
	// Costs are what the hops take and give, by name. A hop that is missing is taken
	// to be as Cost's zero value says.
	Costs map[string]Cost
}

// Cost is what a hop takes and gives for a message.
type Cost struct {
	// Drain is how many messages a second the hop hands on when it is taken all it
	// offers; 0: DefaultDrain, an assumption that the notes tell.
	Drain float64
	// Disk is how many octets a waiting message takes beyond its own; 0: OwnDisk for
	// a hop of ours. Of other systems it is not known, so that theirs is the least.
	Disk int64
	// Memory is how many octets of it a waiting message takes; 0: OwnMemory and what
	// belongs to it for a hop of ours, and not known of other systems.
	Memory int64
}

// Bounds and assumptions of a [Load].
const (
	MaxMessages = 1_000_000_000_000
	MaxRate     = 1e9 // messages a second, of Load.Rate and Cost.Drain
	MaxSize     = 1 << 40

	DefaultSize  = 50_000 // octets
	DefaultDrain = 1_000  // messages a second

	// OwnDisk is what a waiting message of ours takes on disk beyond its own octets:
	// its envelope and delivery in the log, about 300, its places in the index, 113
	// (measured with 10 million) to 235 (with one), and what the log has not yet
	// cleared away.
	OwnDisk = 1_200
	// OwnMemory is the memory of the index, measured with 10 million waiting. To it
	// come the bodies in flight, at most OwnInFlight to one destination and no more
	// than OwnBodies, and OwnName for each that waits, while what waited is poured
	// out in order.
	OwnMemory   = 80_000_000
	OwnInFlight = 400
	OwnBodies   = 64 << 20 // octets, all bodies together
	OwnName     = 18
)

// How a hop of ours behaves to a destination, as the live queue does.
const (
	knockMost   = 30 * time.Minute // a dead one is tried at least this often while mail waits for it
	knockLeast  = time.Minute      // a last try may be made between, but not sooner than this
	windowFirst = 4                // connections after it has answered again; one more with each message
	windowMost  = 20
)

// LoadStory is what becomes of a load. Its times count from the first arrival at the
// first hop.
type LoadStory struct {
	Messages int64
	Rate     float64 // 0: all at once
	Size     int64
	// The ends of the messages; together they are Messages.
	Delivered, GaveUp, Refused int64
	Arrived                    time.Duration // when the last of them entered
	Ended                      time.Duration // nobody owns any of them any more
	Hops                       []LoadHop     // in the order of the scenario
	// Notes say what had to be assumed.
	Notes []string
}

// LoadHop is what a hop has to do with a load.
type LoadHop struct {
	Name  string
	Title string // its name, and what it runs
	Home  bool   // it has the mailboxes: what enters is delivered, and it holds nothing
	Drain float64
	// What has entered it and how it left: HandedOn, GaveUp and Refused together are
	// Entered in the end. Home has delivered what it was handed.
	Entered, HandedOn, GaveUp, Refused int64
	Warned                             int64 // messages of which the sender was told at least once that they are late
	Notices                            int64 // notices of delay in all
	Attempts                           int64 // for single messages; of ours, many of them share one knock
	Peak                               int64 // the most that waited
	PeakAt                             time.Duration
	Disk                               int64 // octets at the peak
	DiskLeast                          bool  // only the messages themselves were counted
	Memory                             int64 // octets at the peak; below 0: nobody knows
	Outages                            []Stretch
	Recoveries                         []Recovery
	Series                             []LoadPoint // evenly over the time from 0 to the end
}

// Stretch is a time in which none of the hosts that a hop hands on to takes its mail.
type Stretch struct{ From, Until time.Duration } // Until: Unknown if it never ends

// Recovery is how a hop empties when an outage is over.
type Recovery struct {
	At      time.Duration // the outage is over
	Waiting int64         // at that moment
	First   time.Duration // the first of these left
	Half    time.Duration // half of these had left
	Drained time.Duration // nothing is late any more, arrivals since then included
}

// LoadPoint is how a hop stands at a moment. All but Waiting are totals since the
// beginning.
type LoadPoint struct {
	At                                         time.Duration
	Entered, HandedOn, GaveUp, Refused, Warned int64
	Waiting                                    int64
	Disk                                       int64 // octets
}

// check reports what makes no sense in the load.
func (l Load) check(s Scenario) error {
	bad := func(format string, args ...any) error { return flaw("load", 0, format, args...) }
	switch {
	case l.Messages < 1 || l.Messages > MaxMessages:
		return bad("%d messages are not between 1 and %d", l.Messages, int64(MaxMessages))
	case math.IsNaN(l.Rate) || l.Rate < 0 || l.Rate > MaxRate:
		return bad("a rate of %g messages a second is not between 0 and %g", l.Rate, MaxRate)
	case l.Rate > 0 && float64(l.Messages)/l.Rate > MaxTime.Seconds():
		return bad("at a rate of %g messages a second %d messages take longer to come than %s", l.Rate, l.Messages, custody.FormatAge(MaxTime))
	case l.Size < 0 || l.Size > MaxSize:
		return bad("a size of %d octets is not between 0 and %d", l.Size, int64(MaxSize))
	case s.Message.Size > MaxSize:
		return bad("a message of %d octets is larger than %d", s.Message.Size, int64(MaxSize))
	}
	names := namesOf(s.Hops)
	for _, name := range slices.Sorted(maps.Keys(l.Costs)) {
		c := l.Costs[name]
		bad := func(format string, args ...any) error {
			return flaw("load: hop "+quote(name), 0, format, args...)
		}
		switch {
		case !slices.Contains(names, name):
			return bad("there is no such hop%s", didYouMean(nearest(name, names)))
		case math.IsNaN(c.Drain) || c.Drain < 0 || c.Drain > MaxRate:
			return bad("a drain of %g messages a second is not between 0 and %g", c.Drain, MaxRate)
		case c.Disk < 0 || c.Disk > MaxSize:
			return bad("%d octets of disk for a message are not between 0 and %d", c.Disk, int64(MaxSize))
		case c.Memory < 0 || c.Memory > MaxSize:
			return bad("%d octets of memory for a message are not between 0 and %d", c.Memory, int64(MaxSize))
		}
	}
	var whole float64
	for _, name := range names {
		whole += float64(l.Messages) / l.drain(name)
	}
	if whole > MaxTime.Seconds() {
		return bad("%d messages take the hops longer to hand on than %s: their drain is too low", l.Messages, custody.FormatAge(MaxTime))
	}
	return nil
}

// drain is how many messages a second a hop hands on.
func (l Load) drain(hop string) float64 {
	if d := l.Costs[hop].Drain; d > 0 {
		return d
	}
	return DefaultDrain
}

// RunLoad returns what becomes of a load in a scenario, or why that makes no sense.
//
// Messages that come one after the other are taken together in at most some
// thousands of groups, whatever their number; each group has the fate of its first
// message, worked out by the same laws as in [Run], and enters and leaves evenly. A
// hop of ours treats a destination as the live queue does: while it is silent it is
// tried once for all that waits, and what waits is handed on in order as soon as it
// answers. Of other systems each message goes by its own schedule. The letters that
// go back to the sender are counted and not carried.
func RunLoad(s Scenario, l Load) (LoadStory, error) {
	if err := l.check(s); err != nil {
		return LoadStory{}, fmt.Errorf("chain: check load: %w", err)
	}
	switch {
	case l.Size > 0:
		s.Message.Size = l.Size
	case s.Message.Size == 0:
		s.Message.Size = DefaultSize
	}
	c, err := s.ready()
	if err != nil {
		return LoadStory{}, err
	}
	for _, groups := range []int64{2000, 500, 125, 32, 8} {
		r := newLoadRun(c, l)
		err = r.run(groups)
		if err == nil {
			return r.story(), nil
		}
		if !errors.Is(err, errTooFine) {
			break
		}
	}
	return LoadStory{}, fmt.Errorf("chain: run load: %w", err)
}

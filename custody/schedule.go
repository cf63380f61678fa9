package custody

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"strconv"
	"strings"
	"time"
)

// Schedule is the owner's clock for a kind of mail: when to try again, when to
// tell the sender of a delay, when to give up.
type Schedule struct {
	Name string // "default"
	Rule string // where it is written: "postrider.toml:31 schedule.default"

	// Retry paces the tries: gaps from one attempt's beginning to the next.
	Retry []Pace
	// Lists of their own for kinds of trouble; nil: Retry. Each counts only the
	// tries that it paced itself.
	Unreachable, Deferred, Greylisted []Pace

	Jitter  float64         // share of a gap by which it is varied, 0 to 0.5, by a hash of the delivery
	Warn    []time.Duration // ages at which the sender is told of the delay, ascending; none: never
	Cleared bool            // tell too when a message goes through after a warning
	Expire  time.Duration   // age at which the last try is made
}

// Pace is a run of gaps.
type Pace struct {
	Gap   time.Duration
	Times int           // how many gaps; 0: one, or without end if it stands last
	Grow  float64       // each gap is this many times the one before; 0: all alike
	Max   time.Duration // what Grow leads to; the run ends with the first gap of this length
}

// The lists of a schedule; Delivery.Runs counts by them.
const (
	inAll = iota
	byUnreachable
	byDeferred
	byGreylisted
	paces
)

// list returns the paces that follow a trouble, and which counter they use.
func (s Schedule) list(t Trouble) ([]Pace, int) {
	switch {
	case t == Greylisted && s.Greylisted != nil:
		return s.Greylisted, byGreylisted
	case (t == Unreachable || t == Unrouted) && s.Unreachable != nil:
		return s.Unreachable, byUnreachable
	case (t == Deferred || t == Greylisted || t == Ambiguous || t == Ours) && s.Deferred != nil:
		return s.Deferred, byDeferred
	}
	return s.Retry, inAll
}

// Gap returns the schedule's gap number n, from 0, after a trouble, without
// jitter: how long a destination is left alone that failed n+1 times.
func (s Schedule) Gap(t Trouble, n int) time.Duration {
	list, _ := s.list(t)
	return gap(list, n)
}

// gap returns gap number n of a list, from 0. The last pace repeats for ever.
func gap(list []Pace, n int) time.Duration {
	for i, p := range list {
		last := i == len(list)-1
		if p.Grow > 1 {
			// Less a hair: the logarithms of 125 and 5 have no exact quotient.
			steps := int(math.Ceil(math.Log(float64(p.Max)/float64(p.Gap))/math.Log(p.Grow) - 1e-9))
			if n < steps {
				return time.Duration(float64(p.Gap) * math.Pow(p.Grow, float64(n)))
			}
			if n -= steps; n == 0 || last {
				return p.Max
			}
			n--
			continue
		}
		if times := max(p.Times, 1); n < times || last {
			return p.Gap
		} else {
			n -= times
		}
	}
	return time.Hour // an empty list: Check refuses it
}

// jitter varies a gap by a hash of the delivery and the number of the gap, so
// that the same question always has the same answer.
func (s Schedule) jitter(id DeliveryID, n int, gap time.Duration) time.Duration {
	if s.Jitter == 0 {
		return gap
	}
	return gap + time.Duration(float64(gap)*s.Jitter*(2*share(id, n)-1))
}

// share is a number in [0, 1) that depends on nothing but its arguments.
func share(id DeliveryID, n int) float64 {
	h := fnv.New64a()
	h.Write(id.Message[:])
	h.Write([]byte{byte(id.N >> 8), byte(id.N), byte(n >> 16), byte(n >> 8), byte(n)})
	v := h.Sum64()
	v ^= v >> 33
	v *= 0xff51afd7ed558ccd // MurmurHash3's last mix: FNV alone leaves near inputs alike
	v ^= v >> 33
	return float64(v>>11) / (1 << 53)
}

// Check reports the first thing in the schedule that makes no sense.
func (s Schedule) Check() error {
	for _, l := range []struct {
		name string
		list []Pace
	}{{"retry", s.Retry}, {"unreachable", s.Unreachable}, {"deferred", s.Deferred}, {"greylisted", s.Greylisted}} {
		if len(l.list) == 0 && (l.name == "retry" || l.list != nil) {
			return fmt.Errorf("%s: needs at least one gap", l.name)
		}
		for _, p := range l.list {
			if err := p.check(); err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
		}
	}
	if math.IsNaN(s.Jitter) || s.Jitter < 0 || s.Jitter > 0.5 {
		return fmt.Errorf("jitter: %v is not between 0 and 0.5", s.Jitter)
	}
	if s.Expire <= 0 {
		return errors.New("expire: must be longer than 0")
	}
	var before time.Duration
	for _, w := range s.Warn {
		switch {
		case w <= before:
			return fmt.Errorf("warn: %s does not come after %s", FormatAge(w), FormatAge(before))
		case w >= s.Expire:
			return fmt.Errorf("warn: %s is not before expire (%s): the sender would be told of the end, not of a delay", FormatAge(w), FormatAge(s.Expire))
		}
		before = w
	}
	return nil
}

func (p Pace) check() error {
	switch {
	case p.Gap < time.Second:
		return fmt.Errorf("a gap of %v is shorter than 1s", p.Gap)
	case p.Times < 0:
		return fmt.Errorf("%d gaps", p.Times)
	case p.Grow != 0 && !(p.Grow > 1): // NaN too
		return fmt.Errorf("a growth of %v does not grow", p.Grow)
	case p.Grow > 1 && p.Max <= p.Gap:
		return fmt.Errorf("growth from %s to %s", FormatAge(p.Gap), FormatAge(p.Max))
	}
	return nil
}

// ParsePace reads "5m" (one gap, or for ever if it stands last), "1h for 1d" (24
// gaps of an hour), "15m 4 times", "5m x2 to 4h" (5m, 10m, … and at last 4h).
func ParsePace(s string) (Pace, error) {
	w := strings.Fields(s)
	if len(w) == 0 {
		return Pace{}, fmt.Errorf("%q is not a gap like 15m or \"1h for 1d\"", s)
	}
	gap, err := ParseAge(w[0])
	if err != nil {
		return Pace{}, err
	}
	p := Pace{Gap: gap}
	switch {
	case len(w) == 1:
	case len(w) == 3 && w[1] == "for":
		long, err := ParseAge(w[2])
		if err != nil {
			return Pace{}, err
		}
		if gap <= 0 || long < gap {
			return Pace{}, fmt.Errorf("%q: %s has no room for a gap of %s", s, w[2], w[0])
		}
		p.Times = int(long / gap)
	case len(w) == 3 && (w[2] == "times" || w[2] == "time"):
		if p.Times, err = strconv.Atoi(w[1]); err != nil || p.Times < 1 {
			return Pace{}, fmt.Errorf("%q: %q is not a number of times", s, w[1])
		}
	case len(w) == 4 && strings.HasPrefix(w[1], "x") && w[2] == "to":
		if p.Grow, err = strconv.ParseFloat(w[1][1:], 64); err != nil || math.IsNaN(p.Grow) || p.Grow > 100 {
			return Pace{}, fmt.Errorf("%q: %q is not a factor like x1.5", s, w[1])
		}
		if p.Max, err = ParseAge(w[3]); err != nil {
			return Pace{}, err
		}
	default:
		return Pace{}, fmt.Errorf("%q is not a gap like 15m, \"1h for 1d\", \"15m 4 times\" or \"5m x2 to 4h\"", s)
	}
	if err := p.check(); err != nil {
		return Pace{}, fmt.Errorf("%q: %w", s, err)
	}
	return p, nil
}

// String returns the pace as ParsePace reads it.
func (p Pace) String() string {
	switch {
	case p.Grow > 1:
		return fmt.Sprintf("%s x%v to %s", formatAge(p.Gap, len(ageUnits)), p.Grow, formatAge(p.Max, len(ageUnits)))
	case p.Times > 1:
		return fmt.Sprintf("%s %d times", formatAge(p.Gap, len(ageUnits)), p.Times)
	}
	return formatAge(p.Gap, len(ageUnits))
}

const (
	day     = 24 * time.Hour
	century = 100 * 365 * day // no length of time is longer: it would overflow
)

var ageUnits = []struct {
	name string
	unit time.Duration
}{{"w", 7 * day}, {"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}

// ParseAge reads a length of time as configurations write it: 90s, 15m, 2h, 5d,
// 1w, or several together: 1d12h. Not a bare number, and nothing below 0.
func ParseAge(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a length of time like 90s, 15m, 2h or 5d", s)
	var sum time.Duration
	rest := s
	for i, u := 0, 0; rest != "" || i == 0; i++ {
		n := 0
		for n < len(rest) && (rest[n] >= '0' && rest[n] <= '9' || rest[n] == '.') {
			n++
		}
		if n == 0 || n == len(rest) {
			return 0, bad
		}
		v, err := strconv.ParseFloat(rest[:n], 64)
		if err != nil {
			return 0, bad
		}
		for u < len(ageUnits) && ageUnits[u].name != rest[n:n+1] {
			u++
		}
		if u == len(ageUnits) || v > float64(century/ageUnits[u].unit) {
			return 0, bad
		}
		if sum += time.Duration(v * float64(ageUnits[u].unit)); sum > century {
			return 0, bad
		}
		u++
		rest = rest[n+1:]
	}
	return sum, nil
}

// FormatAge writes a length of time in at most two units that differ from zero,
// as ParseAge reads it: "5d", "1d12h", "4m30s". Less than a second is "0s".
func FormatAge(d time.Duration) string { return formatAge(d, 2) }

func formatAge(d time.Duration, most int) string {
	if d <= -time.Second {
		return "-" + formatAge(-max(d, -math.MaxInt64), most)
	}
	b := make([]byte, 0, 24)
	units := 0
	for _, u := range ageUnits[1:] {
		if n := d / u.unit; n > 0 {
			b = append(strconv.AppendInt(b, int64(n), 10), u.name...)
			d -= n * u.unit
			units++
		} else if units > 0 {
			units++
		}
		if units == most {
			break
		}
	}
	if len(b) == 0 {
		return "0s"
	}
	return string(b)
}

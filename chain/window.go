package chain

import (
	"fmt"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
)

// Window is when an outage is: from Start until just before End, counted from the
// acceptance of the message, or the times of Calendar.
type Window struct {
	Start    time.Duration // below 0: it had begun before the message came
	End      time.Duration // 0: it never ends
	Calendar Calendar
}

// Calendar is a time by the clock on the wall, once or again and again. The zero
// Calendar is none.
type Calendar struct {
	Begins, Ends Wall
	// Every is how often it comes back: by the day, or by the week if both ends
	// name their day.
	Every Repeat
}

// Repeat is how often a time on the calendar comes back.
type Repeat uint8

// The repeats.
const (
	NoCalendar Repeat = iota
	Once              // both ends have a date; the end may be missing: for ever
	Daily
	Weekly
)

// Wall is a time as a clock and a calendar on the wall show it.
type Wall struct {
	Year    int
	Month   time.Month
	Day     int
	Weekday time.Weekday
	Clock   time.Duration // since midnight, 24 hours at most
}

// ParseWindow reads when an outage is. Both ends are lengths of time from the
// acceptance ("47h"), dates ("2026-03-06 18:00"), days of the week ("Friday
// 18:00") or times of the day ("18:00"). An empty start is the acceptance, an
// empty end never comes. A start may name both: "Friday 18:00 to Monday 09:00".
func ParseWindow(start, end string) (Window, error) {
	if a, b, ok := strings.Cut(start, " to "); ok && end == "" {
		start, end = a, b
	}
	from, kind, err := parseEnd(start)
	if err != nil {
		return Window{}, err
	}
	to, other, err := parseEnd(end)
	if err != nil {
		return Window{}, err
	}
	switch {
	case start == "":
		kind = other
	case end == "":
		other = kind
	}
	switch {
	case kind != other:
		return Window{}, fmt.Errorf("%q and %q: both ends of a window must be of one form", start, end)
	case kind == NoCalendar:
		return Window{Start: from.Clock, End: to.Clock}, nil
	case start == "":
		return Window{}, fmt.Errorf("a window that ends at %q needs a start on the calendar", end)
	case end == "" && kind != Once:
		return Window{}, fmt.Errorf("a window that begins every %q needs an end", start)
	}
	return Window{Calendar: Calendar{from, to, kind}}, nil
}

// parseEnd reads one end of a window, and says of which form it is.
func parseEnd(s string) (Wall, Repeat, error) {
	s = strings.TrimSpace(s)
	if age, negative := strings.CutPrefix(s, "-"); s == "" || !strings.Contains(s, ":") && !strings.Contains(age, "-") {
		if s == "" || s == "0" {
			return Wall{}, NoCalendar, nil
		}
		d, err := custody.ParseAge(age)
		if negative {
			d = -d
		}
		return Wall{Clock: d}, NoCalendar, err
	}
	day, clock, both := strings.Cut(s, " ")
	if !both {
		day, clock = "", s
	}
	t, err := time.Parse("15:04", clock)
	if clock != "24:00" && err != nil {
		return Wall{}, 0, fmt.Errorf("%q is neither a length of time like 47h nor a time like \"Friday 18:00\", \"18:00\" or \"2026-03-06 18:00\"", s)
	}
	w := Wall{Clock: time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute}
	if clock == "24:00" {
		w.Clock = 24 * time.Hour
	}
	if day == "" {
		return w, Daily, nil
	}
	if d, err := time.Parse(time.DateOnly, day); err == nil {
		w.Year, w.Month, w.Day = d.Date()
		return w, Once, nil
	}
	for d := time.Sunday; d <= time.Saturday; d++ {
		if name := strings.ToLower(d.String()); len(day) >= 2 && strings.HasPrefix(name, strings.ToLower(day)) {
			w.Weekday = d
			return w, Weekly, nil
		}
	}
	return Wall{}, 0, fmt.Errorf("%q is no day of the week and no date like 2026-03-06", day)
}

// never is a time that does not come: later than all that a scenario can ask for.
const never = 250 * 365 * 24 * time.Hour

// In reports whether a time after the start of a scenario lies in the window.
func (w Window) In(start time.Time, t time.Duration) bool {
	in, _, _ := w.at(start, t)
	return in
}

// at reports whether a time lies in the window, when the one began in which it
// lies, and when that changes: never, if it does not.
func (w Window) at(start time.Time, t time.Duration) (in bool, since, until time.Duration) {
	c := w.Calendar
	switch c.Every {
	case NoCalendar:
		return within(t, w.Start, orNever(w.End))
	case Once:
		ends := never
		if c.Ends.Year != 0 {
			ends = c.Ends.on(start.Location(), c.Ends.Year, c.Ends.Month, c.Ends.Day).Sub(start)
		}
		return within(t, c.Begins.on(start.Location(), c.Begins.Year, c.Begins.Month, c.Begins.Day).Sub(start), ends)
	}
	long := c.days()
	// One that is under way began at most a week ago, and the next one begins
	// within a week.
	y, m, d := start.Add(t).Date()
	until = never
	for i := d - 8; i <= d+8; i++ {
		begins := c.Begins.on(start.Location(), y, m, i)
		if c.Every == Weekly && time.Date(y, m, i, 12, 0, 0, 0, time.UTC).Weekday() != c.Begins.Weekday {
			continue
		}
		in, since, change := within(t, begins.Sub(start), c.Ends.on(start.Location(), y, m, i+long).Sub(start))
		if in {
			return true, since, change
		}
		until = min(until, change)
	}
	return false, 0, until
}

// days is how many days after the one on which it begins it ends.
func (c Calendar) days() int {
	over := 0
	if c.Ends.Clock <= c.Begins.Clock {
		over = 1
	}
	if c.Every == Daily {
		return over
	}
	long := (int(c.Ends.Weekday) - int(c.Begins.Weekday) + 7) % 7
	if long == 0 {
		long = 7 * over
	}
	return long
}

func within(t, begins, ends time.Duration) (in bool, since, until time.Duration) {
	switch {
	case t < begins && begins < ends:
		return false, 0, begins
	case t < begins || t >= ends:
		return false, 0, never
	}
	return true, begins, ends
}

func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return never
	}
	return d
}

// on returns the moment at which the wall shows the time on a day. A clock that is
// put forward or back changes the moment, not the time of day.
func (w Wall) on(zone *time.Location, y int, m time.Month, d int) time.Time {
	return time.Date(y, m, d, int(w.Clock/time.Hour), int(w.Clock/time.Minute)%60, 0, 0, zone)
}

// check reports what makes no sense in the window.
func (w Window) check(start time.Time) error {
	if w.Calendar.Every == NoCalendar {
		switch {
		case w.Start > MaxTime || w.Start < -MaxTime || w.End > MaxTime || w.End < -MaxTime:
			return fmt.Errorf("its times are not within %s", custody.FormatAge(MaxTime))
		case w.End != 0 && w.End <= w.Start:
			return fmt.Errorf("it ends at %s, and that is not after its start at %s", custody.FormatAge(w.End), custody.FormatAge(w.Start))
		}
		return nil
	}
	if start.IsZero() {
		return fmt.Errorf("its times are on the calendar, but nothing says when the message comes")
	}
	c := w.Calendar
	for _, e := range []Wall{c.Begins, c.Ends} {
		if e.Clock < 0 || e.Clock > 24*time.Hour || e.Weekday < 0 || e.Weekday > time.Saturday || e.Year < 0 || e.Year > 9999 || c.Every > Weekly {
			return fmt.Errorf("its times are none that a clock and a calendar show")
		}
	}
	if c.Every == Once && c.Ends.Year != 0 {
		begins := c.Begins.on(time.UTC, c.Begins.Year, c.Begins.Month, c.Begins.Day)
		if ends := c.Ends.on(time.UTC, c.Ends.Year, c.Ends.Month, c.Ends.Day); !ends.After(begins) {
			return fmt.Errorf("it ends on %s, and that is not after its start on %s", ends.Format("2006-01-02 15:04"), begins.Format("2006-01-02 15:04"))
		}
	}
	if c.Every == Daily && c.Begins.Clock == c.Ends.Clock {
		return fmt.Errorf("it lasts the whole day, every day: leave out its times")
	}
	return nil
}

// String returns the window as a person reads it.
func (w Window) String() string {
	c := w.Calendar
	switch {
	case c.Every == Daily:
		return "daily " + c.Begins.clock() + " to " + c.Ends.clock()
	case c.Every == Weekly:
		return c.Begins.Weekday.String() + " " + c.Begins.clock() + " to " + c.Ends.Weekday.String() + " " + c.Ends.clock()
	case c.Every == Once && c.Ends.Year == 0:
		return "from " + c.Begins.date() + " for ever"
	case c.Every == Once:
		return c.Begins.date() + " to " + c.Ends.date()
	case w.End == 0 && w.Start == 0:
		return "for ever"
	case w.End == 0:
		return "from " + custody.FormatAge(w.Start) + " for ever"
	}
	return custody.FormatAge(w.Start) + " to " + custody.FormatAge(w.End)
}

func (w Wall) clock() string {
	return fmt.Sprintf("%02d:%02d", w.Clock/time.Hour, w.Clock/time.Minute%60)
}

func (w Wall) date() string {
	return fmt.Sprintf("%04d-%02d-%02d %s", w.Year, w.Month, w.Day, w.clock())
}

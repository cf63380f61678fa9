package system

import (
	"strconv"
	"time"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// word returns the name of a small enumeration's value, "?9" for one without.
func word[T ~uint8](v T, names ...string) string {
	if int(v) < len(names) {
		return names[v]
	}
	return "?" + strconv.Itoa(int(v))
}

// age writes a length of time as custody.FormatAge does, and whole: "1h6m40s".
func age(d time.Duration) string {
	if d < time.Second {
		return "0s"
	}
	s := ""
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if n := d / u.unit; n > 0 {
			s += strconv.FormatInt(int64(n), 10) + u.name
			d -= n * u.unit
		}
	}
	return s
}

// every writes a gap that goes on: "every 30m".
func every(d time.Duration) string { return "every " + age(d) }

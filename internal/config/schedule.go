package config

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/chain"
	"github.com/postrider/postrider/custody"
)

const day = 24 * time.Hour

// defaultSchedule is the schedule where none is written, and what a written one
// has in the keys that it leaves out. Give up late, tell early: RFC 5321 4.5.4.1
// asks for 4 to 5 days and for hours, later, between tries.
func defaultSchedule() custody.Schedule {
	return custody.Schedule{
		Name: "default", Rule: builtIn,
		Retry: []custody.Pace{
			{Gap: 5 * time.Minute}, {Gap: 10 * time.Minute}, {Gap: 20 * time.Minute}, {Gap: 40 * time.Minute},
			{Gap: time.Hour, Times: 24}, {Gap: 2 * time.Hour},
		},
		Jitter: 0.1,
		Warn:   []time.Duration{4 * time.Hour, 2 * day},
		Expire: 5 * day,
	}
}

// noticeSchedule is for our own notices and other mail with a null return path:
// nobody can be warned, and whom it tells of a failure should not hear of it
// weeks late. It keeps the paces of the default.
func noticeSchedule(d custody.Schedule) custody.Schedule {
	d.Name, d.Rule = "notice", "built-in notice"
	d.Warn, d.Cleared = nil, false
	d.Expire = min(d.Expire, 2*day)
	return d
}

func (r *reader) readSchedules(written map[string]section, c *Config) {
	d := defaultSchedule()
	if s, ok := written["default"]; ok {
		d = r.readSchedule(s, d)
	}
	c.Schedules = map[string]custody.Schedule{"default": d, "notice": noticeSchedule(d)}
	for _, name := range slices.Sorted(maps.Keys(written)) {
		switch s := written[name]; name {
		case "default":
		case "notice":
			c.Schedules[name] = r.readSchedule(s, c.Schedules[name])
		default:
			c.Schedules[name] = r.readSchedule(s, defaultSchedule())
		}
	}
}

// readSchedule reads one schedule over what it inherits.
func (r *reader) readSchedule(s section, c custody.Schedule) custody.Schedule {
	before := len(r.errs)
	c.Name, c.Rule = strings.TrimPrefix(s.name, "schedule."), s.rule()
	r.scheduleKeys(s, &c)
	if err := c.Check(); err != nil && len(r.errs) == before {
		r.wrong(s.at(err.Error()), "%v", err)
	}
	if len(r.errs) == before {
		r.doubtSchedule(s, c)
	}
	return c
}

// scheduleKeys reads the keys of a schedule.
func (r *reader) scheduleKeys(s section, c *custody.Schedule) {
	const gaps = `["5m", "1h for 1d", "2h"]`
	read(s, "retry", &c.Retry, someOf(gaps, pace))
	read(s, "unreachable", &c.Unreachable, someOf(gaps, pace))
	read(s, "deferred", &c.Deferred, someOf(gaps, pace))
	read(s, "greylisted", &c.Greylisted, someOf(gaps, pace))
	read(s, "jitter", &c.Jitter, share(0.5))
	read(s, "expire", &c.Expire, age(time.Second))
	read(s, "cleared", &c.Cleared, yesNo)
	if v := s.find("warn"); v.n == nil {
		// Inherited warnings that such a short life has no room for.
		c.Warn = slices.DeleteFunc(slices.Clone(c.Warn), func(w time.Duration) bool { return w >= c.Expire })
		r.readings = append(r.readings, reading{s, "warn", nil, c.Warn})
	} else {
		read(s, "warn", &c.Warn, list(`["4h", "2d"]`, r.warning(c)))
	}
}

// warning reads the ages of warn, each against the one before it and the end.
func (r *reader) warning(c *custody.Schedule) parser[time.Duration] {
	var last time.Duration
	return func(v value) (time.Duration, bool) {
		w, ok := age(time.Second)(v)
		switch {
		case !ok:
		case w <= last:
			v.bad("warn: %s does not come after %s; write the ages in order", custody.FormatAge(w), custody.FormatAge(last))
			return 0, false
		case w >= c.Expire:
			v.bad("warn: %s is not before expire (%s); the sender would be told of the end, not of a delay", custody.FormatAge(w), custody.FormatAge(c.Expire))
			return 0, false
		default:
			last = w
		}
		return w, ok
	}
}

// at returns the place of the key with which a message of Schedule.Check begins.
func (s section) at(message string) place {
	if s.n == nil {
		return place{}
	}
	key, _, _ := strings.Cut(message, ":")
	if n := s.n.sub[key]; n != nil {
		return n.at
	}
	return s.place()
}

// doubtSchedule repeats what the linter of package chain has to say of a schedule.
func (r *reader) doubtSchedule(s section, c custody.Schedule) {
	for _, f := range chain.Lint(chain.OfSchedule(c)) {
		if f.Severity == chain.Note {
			continue
		}
		key, _, _ := strings.Cut(f.Instead, " ")
		r.doubt(s.at(key), "%s (\"postrider lint\" tells more)", f.What)
	}
}

package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/chain"
	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/system"
)

// Ours is the name by which a scenario calls a hop that is run by postrider.
const Ours = "postrider"

// LoadScenario reads a scenario for package chain. The error is Errors if the file
// was read but is wrong.
func LoadScenario(file string) (chain.Scenario, error) {
	f, err := os.Open(file)
	if err != nil {
		return chain.Scenario{}, fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return chain.Scenario{}, fmt.Errorf("config: read %s: %w", file, err)
	}
	return ParseScenario(file, b)
}

// ParseScenario reads a text as LoadScenario reads a file of that name.
func ParseScenario(file string, b []byte) (chain.Scenario, error) {
	r := newReader(file)
	r.keys = scenarioKeys
	var c chain.Scenario
	if root := r.tree(b); root != nil {
		c = r.scenario(root)
		r.unknown()
	}
	if err := c.Check(); err != nil && len(r.errs) == 0 {
		at, text := place{}, err.Error()
		if f := new(chain.Flaw); errors.As(err, &f) {
			text = f.Part + ": " + f.Text
			if f.Line > 0 {
				at = place{f.Line, 1}
			}
		}
		r.wrong(at, "%s", text)
	}
	if len(r.errs) > 0 {
		sortProblems(r.errs)
		return chain.Scenario{}, Errors(r.errs)
	}
	return c, nil
}

// scenarioKeys returns every key of a scenario, as keysOf does of a configuration.
func scenarioKeys() map[string][]string {
	r := newReader("")
	r.scenario(parseTree([]byte("[[hop]]\n[[back]]\n[[outage]]\n[schedule.x]\n")))
	return r.asked
}

func (r *reader) scenario(root *node) (c chain.Scenario) {
	top := r.section("", "", root)
	read(top, "start", &c.Start, moment)
	r.readMessage(top.table("message"), &c.Message)
	schedules := r.scenarioSchedules(top.named("schedule"))
	for _, s := range top.tables("hop") {
		c.Hops = append(c.Hops, r.readHop(s, schedules))
	}
	if len(c.Hops) == 0 && len(r.errs) == 0 {
		r.wrong(place{}, "no [[hop]]; a chain needs the sender's system and a destination at least")
	}
	read(top, "direct", &c.Back.Direct, yesNo)
	for _, s := range top.tables("back") {
		c.Back.Hops = append(c.Back.Hops, r.readHop(s, schedules))
	}
	for _, s := range top.tables("outage") {
		c.Outages = append(c.Outages, r.readOutage(s))
	}
	return c
}

func (r *reader) scenarioSchedules(written map[string]section) map[string]custody.Schedule {
	c := &Config{}
	r.readSchedules(written, c)
	return c.Schedules
}

func (r *reader) readMessage(s section, m *chain.Message) {
	read(s, "from", &m.From, address)
	read(s, "to", &m.To, address)
	read(s, "null", &m.Null, yesNo)
	read(s, "size", &m.Size, size)
	read(s, "notify", &m.Notify, func(v value) (mail.Notify, bool) {
		t, ok := v.asText(`"never", or some of success, failure and delay like "failure,delay"`)
		if !ok {
			return 0, false
		}
		n, err := mail.ParseNotify(strings.ToUpper(strings.ReplaceAll(t, " ", "")))
		if err != nil {
			v.bad("notify: %v", err)
		}
		return n, err == nil
	})
	read(s, "deliver_by", &m.By.Within, age(time.Second))
	mode := "return"
	read(s, "by_mode", &mode, word("return", "notify"))
	if m.By.Within > 0 {
		m.By.Return, m.By.Notify = mode == "return", mode == "notify"
	}
	read(s, "release", &m.Release, age(0))
}

func (r *reader) readHop(s section, schedules map[string]custody.Schedule) chain.Hop {
	h := chain.Hop{Line: s.place().line}
	read(s, "name", &h.Name, text)
	read(s, "system", &h.System, knownSystem)
	read(s, "backup", &h.Backup, text)
	read(s, "preference", &h.Preference, number(0))
	read(s, "equal", &h.Equal, yesNo)
	read(s, "delay", &h.Delay, age(0))
	read(s, "addresses", &h.Addresses, number(1))
	read(s, "busy", &h.Busy, yesNo)
	name := ""
	if h.System == Ours {
		h.System, name = "", "default"
	}
	read(s, "schedule", &name, word(slices.Sorted(maps.Keys(schedules))...))
	if name == "" {
		h.Set = readSettings(s)
		return h
	}
	if h.System != "" {
		r.wrong(s.find("schedule").n.at, "schedule is for a hop of ours; %q has a clock of its own", h.System)
	}
	own, notices := schedules[name], schedules["notice"]
	own = r.over(s, own)
	h.Schedule, h.Notices = &own, &notices
	return h
}

// over reads the settings of a hop of ours over its schedule.
func (r *reader) over(s section, c custody.Schedule) custody.Schedule {
	set := readSettings(s)
	switch {
	case set.Limit != 0:
		r.wrong(s.find("limit").n.at, "limit: a hop of ours counts time, not attempts; write expire")
	case set.Notices != 0:
		r.wrong(s.find("notices").n.at, "notices: write [schedule.notice]")
	}
	if set.Expire > 0 {
		c.Expire = set.Expire
		c.Warn = slices.DeleteFunc(slices.Clone(c.Warn), func(w time.Duration) bool { return w >= c.Expire })
	}
	if set.Warn != nil {
		c.Warn = set.Warn
	}
	if set.Retry != nil {
		c.Retry = set.Retry
	}
	if set.Deferred != nil {
		c.Deferred = set.Deferred
	}
	c.Rule = rule(r.file, s.place(), "hop")
	if err := c.Check(); err != nil && len(r.errs) == 0 {
		r.wrong(s.at(err.Error()), "%v", err)
	}
	return c
}

func readSettings(s section) (set chain.Settings) {
	const gaps = `["5m", "1h for 1d", "2h"]`
	read(s, "expire", &set.Expire, age(time.Second))
	read(s, "limit", &set.Limit, number(-1))
	read(s, "warn", &set.Warn, list(`["4h", "2d"]`, age(time.Second)))
	read(s, "retry", &set.Retry, someOf(gaps, pace))
	read(s, "deferred", &set.Deferred, someOf(gaps, pace))
	read(s, "notices", &set.Notices, age(time.Second))
	return set
}

func knownSystem(v value) (string, bool) {
	name, ok := text(v)
	if !ok || strings.EqualFold(name, Ours) {
		return Ours, ok
	}
	known, ok := system.Find(name)
	if !ok {
		hint := "; `postrider simulate --systems` lists them"
		if near := system.Nearest(name); near != "" {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		v.bad("system %q is not known%s", name, hint)
	}
	return known.ID, ok
}

func (r *reader) readOutage(s section) chain.Outage {
	o := chain.Outage{Line: s.place().line}
	read(s, "from", &o.From, text)
	read(s, "to", &o.To, text)
	var start, end string
	when := s.find("start")
	read(s, "start", &start, text)
	read(s, "end", &end, text)
	var err error
	if o.When, err = chain.ParseWindow(start, end); err != nil {
		at := s.place()
		if when.n != nil {
			at = when.n.at
		}
		r.wrong(at, "%v", err)
	}
	read(s, "result", &o.Result, func(v value) (chain.Result, bool) {
		t, ok := v.asText(`what an attempt meets, like "refused" or "451 4.7.1 try later"`)
		if !ok {
			return chain.Result{}, false
		}
		res, err := chain.ParseResult(t)
		if err != nil {
			v.bad("result: %v", err)
		}
		return res, err == nil
	})
	read(s, "took", &o.Result.Took, age(0))
	read(s, "hint", &o.Result.Hint, age(0))
	read(s, "life", &o.Result.Life, age(0))
	read(s, "network", &o.Result.Network, yesNo)
	read(s, "stage", &o.Result.Stage, func(v value) (mail.Stage, bool) {
		t, ok := word("greeting", "hello", "mail", "rcpt", "data", "dot")(v)
		var st mail.Stage
		if ok {
			_ = st.UnmarshalText([]byte(t)) // one of its words
		}
		return st, ok
	})
	return o
}

// moment reads a time on the calendar, by the clock of this machine.
func moment(v value) (time.Time, bool) {
	t, ok := v.asText(`a moment like "2026-03-06 17:30"`)
	if !ok {
		return time.Time{}, false
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04"} {
		if at, err := time.ParseInLocation(layout, t, time.Local); err == nil {
			return at, true
		}
	}
	v.bad("start: %q is not a moment like \"2026-03-06 17:30\" or \"2026-03-06T17:30:00+01:00\"", t)
	return time.Time{}, false
}

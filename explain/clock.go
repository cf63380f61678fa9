package explain

import (
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/system"
)

// timed is what the dates of a report tell of its clock.
type timed struct {
	Clock
	startedAt, endedAt, toldAt line
	form                       string // the form of the system whose limit fits
	attempt                    int    // the number of the last one, where a fixed schedule tells it
	warnings                   []string
}

// clock works out whose limit ended it, how long the owner had the message, and
// what the limit was. A date that cannot be is told, and nothing is computed
// from it.
func (v *view) clock(f *facts, j judged, ts []stamp) timed {
	var t timed
	started, at := v.started(ts)
	if !f.began.IsZero() {
		started, at = f.began, f.at
	}
	ended, until := v.ended(f)
	if started.odd || ended.odd {
		t.warnings = append(t.warnings, v.say("warn.weekday"))
	}
	if !started.IsZero() && !started.odd {
		t.Started, t.startedAt = started.Time, at
	}
	if !ended.IsZero() && !ended.odd {
		t.Ended, t.endedAt = ended.Time, until
	}
	if !t.Started.IsZero() && !t.Ended.IsZero() {
		switch d := t.Ended.Sub(t.Started); {
		case d < -time.Minute:
			t.warnings = append(t.warnings, v.say("warn.backwards"))
		case d > 366*24*time.Hour:
			t.warnings = append(t.warnings, v.say("warn.year"))
		case d > 0:
			t.Held = Seconds(d)
		}
	}
	if held, since, at := v.ownHeld(); held > 0 {
		t.Held, t.startedAt = held, at
		if !since.IsZero() {
			t.Started = since.Time
			t.Ended = since.Add(time.Duration(held))
		}
	}
	if expired(j.kind) || j.kind == StillTrying || j.kind == EndedByOrder || f.retried() {
		v.limit(f, &t, j)
	}
	return t
}

// retried reports a refusal for good that the owner took for a trouble of the
// moment, and tried on until its own limit: Postfix and Exchange do so where a
// host refuses the connection or the greeting.
func (f *facts) retried() bool {
	return f.said.code >= 500 && (f.frame.expired || f.action == "failed" && f.field[0] == 4)
}

// expired reports the kinds that a clock ended.
func expired(kind string) bool {
	switch kind {
	case DeferredUntilExpired, PolicyDeferred, Unreachable, MisroutedExpired, ExpiredUnknown, ExpiredUntried, DeliverByExpired:
		return true
	}
	return false
}

// started finds when the reporter took the message: as it says, by its own trace
// line in the returned message, else by the newest one there.
func (v *view) started(ts []stamp) (when, line) {
	n := len(ts)
	if f, ok := header(v.about).get("Arrival-Date"); ok {
		d := date(f.value())
		written := date(v.letter.head.value("Date"))
		// A report exists whose Arrival-Date is the moment it was written in.
		late := n > 0 && (ts[n-1].by == "" || sameHost(ts[n-1].by, v.host)) && !written.IsZero() && !d.Before(written.Time) && ts[n-1].at.Before(d.Time)
		if !d.IsZero() && !late {
			return d, line{f.line(), f.name + ": " + f.value()}
		}
	}
	for _, l := range first(v.words, 60) {
		if i := strings.Index(l.text, "message was received at "); i >= 0 {
			if d := date(l.text[i+24:]); !d.IsZero() {
				return d, l
			}
		}
	}
	for i := n - 1; i >= 0; i-- {
		if sameHost(ts[i].by, v.host) && !ts[i].at.IsZero() {
			return ts[i].at, line{ts[i].line, ts[i].text}
		}
	}
	if n > 0 && !ts[n-1].at.IsZero() {
		return ts[n-1].at, line{ts[n-1].line, ts[n-1].text}
	}
	return when{}, line{}
}

// ended finds when it was given up: the last attempt, else the report's date.
func (v *view) ended(f *facts) (when, line) {
	if v.listed {
		return when{}, line{} // it goes on
	}
	d, ok := v.letter.head.get("Date")
	if ok && f.last.IsZero() {
		return date(d.value()), line{d.line(), "Date: " + d.value()}
	}
	if ok && !f.last.odd {
		// A letter is written at the moment of giving up; what was tried last may
		// have been well before.
		if t := date(d.value()); !t.IsZero() && !t.odd && t.After(f.last.Time) && t.Sub(f.last.Time) < 24*time.Hour {
			return t, line{d.line(), "Date: " + d.value()}
		}
	}
	return f.last, line{f.lastAt, "Last-Attempt-Date"}
}

// A hold that exceeds whole days by less than half, and is no longer than anyone
// sets a limit, shows a limit of so many days.
const (
	half   = 30 * time.Minute
	maxSet = 14 * 24 * time.Hour
)

// limit finds the limit that ended it, or will.
func (v *view) limit(f *facts, t *timed, j judged) {
	t.Owner = v.host
	s, known := system.Find(v.software.Software)
	if known {
		t.Default = Seconds(s.Policy.Lifetime)
		if len(s.Settings) > 0 {
			t.Setting = s.Settings[0].Key
		}
	}
	if told, l := v.toldLimit(f, t); told > 0 {
		t.Value, t.toldAt, t.Confidence = Seconds(told), l, cause.Sure
		if t.Held > 0 && expired(j.kind) && differ(time.Duration(t.Held), told) {
			t.warnings = append(t.warnings, v.say("warn.limit", "limit", v.length(told), "held", v.length(time.Duration(t.Held))))
		}
		return
	}
	if t.Held == 0 || !known || j.kind == StillTrying {
		return
	}
	held := time.Duration(t.Held)
	if fits := system.Fits(s.ID, held); len(fits) > 0 {
		t.Value, t.Default, t.Confidence = Seconds(fits[0].Limit), Seconds(fits[0].Limit), cause.Likely
		if fits[0].System.ID != s.ID {
			t.form = fits[0].System.ID
		}
		return
	}
	r, ok := s.Policy.Infer(held)
	if !ok || s.Policy.Clock != system.FromAcceptance || j.kind == DeliverByExpired {
		return
	}
	t.Least, t.Most, t.Confidence = Seconds(r.Least), Seconds(r.Most), cause.Likely
	t.attempt = r.Attempt
	if days := held.Truncate(24 * time.Hour); r.Attempt == 0 && days > 0 && days <= maxSet && days >= r.Least && held-days < half {
		t.Value = Seconds(days) // people set limits in whole days
		return
	}
	if s.Policy.Lifetime > 0 && held > 2*s.Policy.Lifetime {
		t.Confidence = cause.Guess
		t.warnings = append(t.warnings, v.say("warn.far longer"))
	}
}

// toldLimit finds the limit in the words of the report.
func (v *view) toldLimit(f *facts, t *timed) (time.Duration, line) {
	if x, ok := header(v.about).get("X-Postrider-Limit"); ok {
		for w := range strings.FieldsSeq(x.value()) {
			if d, err := custody.ParseAge(strings.TrimRight(w, ",;")); err == nil && d > 0 {
				t.Setting = x.value()
				return d, line{x.line(), x.name + ": " + x.value()}
			}
		}
	}
	if d := longLength(f.frame.limit); d > 0 {
		return d, line{f.outer.line, f.outer.text}
	}
	if !f.until.IsZero() && !f.until.odd && !t.Started.IsZero() {
		if d := f.until.Sub(t.Started); d > time.Hour && d < 60*24*time.Hour {
			return d.Round(time.Minute), line{f.untilAt, "Will-Retry-Until"}
		}
	}
	for _, l := range first(v.words, 100) {
		low := lower(head(l.text, 500))
		for _, w := range []string{"until it is ", "until message is "} {
			if i := strings.Index(low, w); i >= 0 {
				if d := longLength(limitIn(low[i+len(w):])); d > 0 {
					return d, l
				}
			}
		}
	}
	return 0, line{}
}

// differ reports a hold that a limit does not explain.
func differ(held, limit time.Duration) bool {
	return held > limit+limit/2+time.Hour || held < limit-limit/10-time.Minute
}

// longLength reads "5 days".
func longLength(s string) time.Duration {
	n, unit, ok := strings.Cut(s, " ")
	k, err := strconv.Atoi(n)
	if !ok || err != nil || k > 100_000_000 {
		return 0
	}
	for _, u := range []struct {
		name string
		d    time.Duration
	}{{"second", time.Second}, {"minute", time.Minute}, {"hour", time.Hour}, {"day", 24 * time.Hour}, {"week", 7 * 24 * time.Hour}} {
		if strings.HasPrefix(unit, u.name) && int64(k) < int64(200*365*24*time.Hour/u.d) {
			return time.Duration(k) * u.d
		}
	}
	return 0
}

package chain

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/system"
)

// Finding is one thing to know of a retry policy.
type Finding struct {
	Code     string   `json:"code"` // a stable word: "gives-up-early"
	Severity Severity `json:"severity"`
	What     string   `json:"what"`
	How      string   `json:"how"`               // how it was worked out, with the numbers
	Source   string   `json:"source"`            // where the numbers come from, and how far they may be believed
	Why      string   `json:"why,omitempty"`     // the rule behind it; "": none speaks
	Instead  string   `json:"instead,omitempty"` // what to write, in the subject's own language; "": nothing, or nothing can be
}

// Severity says how much a finding matters.
type Severity uint8

// The severities.
const (
	Note    Severity = iota // worth knowing
	Warning                 // it does as it is written, and mail or people will suffer from it
	Wrong                   // it does not do what is written, or no mail system may do so
)

var severityNames = [...]string{"note", "warning", "wrong"}

// String returns the severity as written in JSON and lists.
func (s Severity) String() string {
	if int(s) < len(severityNames) {
		return severityNames[s]
	}
	return fmt.Sprintf("?%d", uint8(s))
}

// MarshalText writes the severity as String does.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote; an unknown word is a note.
func (s *Severity) UnmarshalText(b []byte) error {
	*s = Note
	for i, n := range severityNames {
		if n == string(b) {
			*s = Severity(i)
		}
	}
	return nil
}

// Subject is a retry policy to be looked at: see [OfSchedule], [OfSystem] and
// [OfPostfix].
type Subject struct {
	Name string // for the head of a list: "schedule default", "Postfix", "main.cf"

	// Ours, or a system of others; a main.cf is both itself and a system.
	schedule *custody.Schedule
	system   *system.System
	postfix  *Postfix
}

// OfSchedule makes a schedule of ours a subject. One of the name "notice" is
// judged as what it is: for our own letters, of which nobody is told.
func OfSchedule(s custody.Schedule) Subject {
	return Subject{Name: "schedule " + s.Name, schedule: &s}
}

// OfSystem makes a known system a subject, as it is shipped.
func OfSystem(s system.System) Subject { return Subject{Name: s.Name, system: &s} }

// OfPostfix makes a main.cf a subject.
func OfPostfix(p Postfix) Subject { return Subject{Name: p.Name, system: &p.System, postfix: &p} }

// Bounds of what is found good.
const (
	// RFC 5321 4.5.4.1: the give-up time "generally needs to be at least 4-5 days".
	leastLife = 4 * 24 * time.Hour
	goodLife  = 5 * 24 * time.Hour
	// RFC 5321 4.5.4.1: after the first hour one attempt "every two or three hours".
	goodGap = 3 * time.Hour
	// RFC 5321 4.5.4.1: in general the retry interval should be at least 30 min.
	leastGap = 30 * time.Minute
	// RFC 6647 5: whoever greylists should take mail that comes again after one
	// minute at the earliest and 24 hours at the latest. Within that, greylists
	// commonly ask for 5 minutes.
	greyLeast, greyUsual, greyMost = time.Minute, 5 * time.Minute, 24 * time.Hour
	// What a sender should not wait longer for: for mail that a greylist holds up,
	// and for the first word of a delay.
	greyPatience, warnPatience = time.Hour, 24 * time.Hour
	// A bounce that nobody takes for so long will not be taken (RFC 5321 4.5.4.1
	// allows fewer retries for it).
	goodNotices, mostNotices = 2 * 24 * time.Hour, leastLife
	// A gap is long if it takes more than this share of the time that was left.
	gapShare = 1.0 / 3
	// Silence before the end that is worth a word, and a warning.
	silence, longSilence = time.Hour, 6 * time.Hour
	// More attempts than this in the first hour are no patience.
	busyHour = 30
)

// linter collects the findings about one subject.
type linter struct {
	Subject
	stays []stay // that differ; the first is of a destination that does not answer
	grey  stay   // what mail meets that is greylisted
	found []Finding
}

// Lint says which traps lie in a retry policy, the worst first. It runs the
// policy, with attempts that all fail, and judges what comes of it.
func Lint(s Subject) []Finding {
	l := &linter{Subject: s}
	if s.schedule != nil && l.senseless() {
		return l.found
	}
	l.run()
	for _, rule := range []func(*linter){
		(*linter).givesUpEarly, (*linter).endsBeforeLifetime, (*linter).counted, (*linter).hostClock,
		(*linter).weekend, (*linter).longGap, (*linter).silentEnd, (*linter).tellsNobody,
		(*linter).warnings, (*linter).greylisted, (*linter).tooOften, (*linter).noJitter,
		(*linter).bounces, (*linter).neverReached, (*linter).countedLast, (*linter).mainCF, (*linter).unknown,
	} {
		rule(l)
	}
	slices.SortStableFunc(l.found, func(a, b Finding) int { return cmp.Compare(b.Severity, a.Severity) })
	return l.found
}

// add files a finding. The keys are the settings it rests on.
func (l *linter) add(f Finding, keys ...string) {
	f.Source = l.source(keys)
	l.found = append(l.found, f)
}

// notices reports that the subject is for our own letters alone.
func (l *linter) notices() bool { return l.schedule != nil && l.schedule.Name == "notice" }

// senseless reports a schedule that cannot be run. Warnings that come too late
// are no such thing: they are found by running it.
func (l *linter) senseless() bool {
	s := *l.schedule
	s.Warn = nil
	err := s.Check()
	if err != nil {
		l.add(Finding{
			Code: "makes-no-sense", Severity: Wrong,
			What: "the schedule makes no sense: " + err.Error(),
			How:  "it was not run",
		})
	}
	return err != nil
}

// policy is that of a system, the zero value for a schedule of ours.
func (l *linter) policy() system.Policy {
	if l.system == nil {
		return system.Policy{}
	}
	return l.system.Policy
}

// lifetime is how long the subject says that it keeps mail; 0: it names no time.
func (l *linter) lifetime() time.Duration {
	if l.schedule != nil {
		return l.schedule.Expire
	}
	if l.system.Policy.Expiry == system.ByCount {
		return 0
	}
	return l.system.Policy.Lifetime
}

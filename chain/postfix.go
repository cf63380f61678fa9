package chain

import (
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/system"
)

// Postfix is what a main.cf says about keeping mail: a policy of its own, and
// where each part of it is written.
type Postfix struct {
	Name     string // of the file, as it was given
	System   system.System
	Settings []PostfixSetting // what bears on the policy, in the order of postfixTimes
	Doubts   []Doubt          // what works, but perhaps not as was meant, and what was not read
}

// PostfixSetting is a parameter as it is in force.
type PostfixSetting struct {
	Key   string        `json:"key"`
	Value string        `json:"value"` // its references replaced
	Time  time.Duration `json:"-"`     // of a length of time
	Line  int           `json:"line,omitempty"`
}

// Set reports that the file sets it; else it is as Postfix ships it.
func (s PostfixSetting) Set() bool { return s.Line > 0 }

// postfixTime is a parameter that is a length of time, with its own unit,
// default and bounds (postconf(5); the tables of qmgr.c, cleanup_init.c and
// smtp_params.c).
type postfixTime struct {
	key         string
	unit        byte
	shipped     string
	least, most time.Duration // 0: no bound
}

const longest = 100 * 24 * time.Hour // 8640000 s, the bound of both lifetimes

var postfixTimes = [...]postfixTime{
	{"maximal_queue_lifetime", 'd', "5d", 0, longest},
	{"bounce_queue_lifetime", 'd', "5d", 0, longest},
	{"minimal_backoff_time", 's', "300s", time.Second, 0},
	{"maximal_backoff_time", 's', "4000s", time.Second, 0},
	{"queue_run_delay", 's', "300s", time.Second, 0},
	{"delay_warning_time", 'h', "0h", 0, 0},
	// Up to here they are the queue's; the rest is the client's.
	{"smtp_connect_timeout", 's', "30s", 0, 0},
	{"smtp_helo_timeout", 's', "300s", time.Second, 0},
	{"smtp_mail_timeout", 's', "300s", time.Second, 0},
	{"smtp_rcpt_timeout", 's', "300s", time.Second, 0},
	{"smtp_data_init_timeout", 's', "120s", time.Second, 0},
	{"smtp_data_xfer_timeout", 's', "180s", time.Second, 0},
	{"smtp_data_done_timeout", 's', "600s", time.Second, 0},
}

// queueTimes is how many of postfixTimes, from the first, are the queue's.
const queueTimes = 6

// postfixWords are the other parameters that bear on who is told what, when.
var postfixWords = [...]struct{ key, shipped string }{
	{"notify_classes", "resource, software"},
	{"soft_bounce", "no"},
	{"confirm_delay_cleared", "no"},
}

// ReadPostfix reads a main.cf as far as it decides how long mail is kept, when it
// is tried and what the sender hears. Parameters that the file leaves out are as
// Postfix ships them; what master.cf changes by -o, and what tables say, is not
// known to it. The error names the line that Postfix itself would stop at, or that
// could not be understood.
func ReadPostfix(name string, text []byte) (Postfix, error) {
	m, err := readMainCF(name, text)
	if err != nil {
		return Postfix{}, err
	}
	p := Postfix{Name: name}
	for _, t := range postfixTimes {
		s, err := m.time(t)
		if err != nil {
			return Postfix{}, err
		}
		p.Settings = append(p.Settings, s)
	}
	for _, w := range postfixWords {
		s, err := m.setting(w.key, w.shipped)
		if err != nil {
			return Postfix{}, err
		}
		p.Settings = append(p.Settings, s)
	}
	for _, key := range []string{"soft_bounce", "confirm_delay_cleared"} {
		if s := p.Setting(key); !slices.Contains([]string{"yes", "no"}, strings.ToLower(s.Value)) {
			return Postfix{}, m.wrong(s.Line, "%s is %s, which is neither yes nor no", key, quote(s.Value))
		}
	}
	m.doubtNames()
	p.System = p.system()
	p.Doubts = m.doubts
	return p, nil
}

// Setting returns a parameter that bears on the policy, the zero value for any
// other.
func (p Postfix) Setting(key string) PostfixSetting {
	for _, s := range p.Settings {
		if s.Key == key {
			return s
		}
	}
	return PostfixSetting{}
}

func (m *mainCF) time(t postfixTime) (PostfixSetting, error) {
	s, err := m.setting(t.key, t.shipped)
	if err != nil {
		return s, err
	}
	s.Time, err = parseTime(s.Value, t.unit)
	switch {
	case err != nil:
		return s, m.wrong(s.Line, "%s %v", t.key, err)
	case s.Time < t.least:
		return s, m.wrong(s.Line, "%s is %s; Postfix takes no less than %s", t.key, quote(s.Value), formatTime(t.least))
	case t.most > 0 && s.Time > t.most:
		return s, m.wrong(s.Line, "%s is %s; Postfix takes no more than %s, and a number without a letter counts in %q", t.key, quote(s.Value), formatTime(t.most), t.unit)
	}
	return s, nil
}

// setting returns a parameter with its references replaced.
func (m *mainCF) setting(key, shipped string) (PostfixSetting, error) {
	w, ok := m.values[key]
	if !ok {
		return PostfixSetting{Key: key, Value: shipped}, nil
	}
	x := expander{value: m.value, left: maxReferences, path: []string{key}}
	value, err := x.expand(w.text)
	if err != nil {
		return PostfixSetting{}, m.wrong(w.line, "%s %v", key, err)
	}
	return PostfixSetting{Key: key, Value: strings.TrimSpace(value), Line: w.line}, nil
}

// value returns a parameter as the file sets it, else as Postfix ships it.
func (m *mainCF) value(key string) (string, bool) {
	if w, ok := m.values[key]; ok {
		return w.text, true
	}
	for _, t := range postfixTimes {
		if t.key == key {
			return t.shipped, true
		}
	}
	for _, w := range postfixWords {
		if w.key == key {
			return w.shipped, true
		}
	}
	return "", false
}

// system is Postfix with the policy of this file.
func (p Postfix) system() system.System {
	s, _ := system.Find("postfix")
	s.ID, s.Name = p.Name, "Postfix as "+p.Name+" sets it"
	s.Policy.Lifetime = p.Setting("maximal_queue_lifetime").Time
	if s.Policy.Lifetime == 0 { // "when mail delivery should be tried only once"
		s.Policy.Limit, s.Policy.Expiry = 1, system.ByCount
	}
	// qmgr_post_init: a bounce is never kept longer than other mail.
	s.Policy.Notices = min(p.Setting("bounce_queue_lifetime").Time, s.Policy.Lifetime)
	s.Policy.Retry = system.Clamped{Min: p.Setting("minimal_backoff_time").Time, Max: p.Setting("maximal_backoff_time").Time}
	s.Policy.Deferred = nil
	s.Policy.Scan = p.Setting("queue_run_delay").Time
	s.Policy.Warn = system.Warnings{Known: true}
	if w := p.Setting("delay_warning_time").Time; w > 0 {
		s.Policy.Warn.On, s.Policy.Warn.At = true, []time.Duration{w}
	}
	s.Settings = nil
	for _, v := range p.Settings {
		s.Settings = append(s.Settings, system.Setting{Key: v.Key, Value: v.Value})
	}
	return s
}

// perTransport are endings of parameters that pace one transport apart from the
// others (postconf(5), "transport_…"). They say who waits for whom, never how
// long mail is kept, and are not read.
var perTransport = []string{
	"_destination_rate_delay", "_transport_rate_delay", "_destination_concurrency_limit",
	"_destination_concurrency_failed_cohort_limit", "_destination_concurrency_negative_feedback",
	"_initial_destination_concurrency",
}

// doubtNames says which settings were not read although they bear on when mail
// is tried, and which are probably misspelt: Postfix ignores what it does not
// know.
func (m *mainCF) doubtNames() {
	for _, key := range m.order {
		line := m.values[key].line
		for _, end := range perTransport {
			if of, ok := strings.CutSuffix(key, end); ok && of != "default" && of != "" {
				m.doubt(line, Note, "%s paces the transport %s apart from the others; it is not read", quote(key), quote(of))
			}
		}
		if known := meant(key); known != "" && !m.used(key) {
			m.doubt(line, Wrong, "%s is nothing that Postfix knows, so it has no effect; did you mean %s?", quote(key), known)
		}
	}
}

// used reports that a value of the file refers to the name: then it is a variable
// of the operator's own.
func (m *mainCF) used(name string) bool {
	for _, w := range m.values {
		for _, before := range []string{"$", "${", "$("} {
			if strings.Contains(w.text, before+name) {
				return true
			}
		}
	}
	return false
}

// meant returns the parameter of the queue that an unknown name was probably
// meant to be; "": none, or it is one. Nothing else that Postfix knows is as near.
func meant(name string) string {
	if len(name) > 64 {
		return ""
	}
	plain := strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
	best, least := "", 5
	for _, t := range postfixTimes[:queueTimes] {
		if name == t.key {
			return ""
		}
		if d := differ(plain, strings.ReplaceAll(t.key, "_", "")); d < least && d <= len(plain)/4 {
			best, least = t.key, d
		}
	}
	return best
}

// differ counts the letters to insert, delete or change to make b of a.
func differ(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		corner := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := corner
			if a[i-1] != b[j-1] {
				cost++
			}
			corner, row[j] = row[j], min(row[j]+1, row[j-1]+1, cost)
		}
	}
	return row[len(b)]
}

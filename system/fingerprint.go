package system

import (
	"slices"
	"sync"
)

// Reporter is how the reports of one system are known.
type Reporter struct {
	System string   // its ID
	Strong []string // RE2: any one of them names the system
	Weak   []string // RE2: two of them do
	// What else is typical, for people; "": not known.
	ReportingMTA string // how it writes that field
	Subject      string
	From         string
	Shape        string   // what its delivery-status part is like
	Expiry       []string // its words for an expiry
	Note         string   // what to mind when reading it
	Sources      []string
	Confidence   Confidence
}

// Mark is a place in a report that speaks for a system.
type Mark struct {
	At   int // offset in bytes
	Text string
}

// Proof is why a report is believed to be a system's.
type Proof struct {
	System string // its ID
	Strong bool   // one mark was enough; else two weak ones
	// Marks are the first place of each pattern that matches, the strong before
	// the weak.
	Marks []Mark
}

// Recognize returns the systems whose marks a report bears, the one to believe
// first. Give it the report alone, decoded, with lines that end in "\n": the
// returned message bears the marks of others.
func Recognize(report string) []Proof {
	t := newText(report)
	var strong, weak []Proof
	for _, r := range reporters() {
		var p Proof
		p.System = r.system
		for _, m := range r.strong {
			p.Marks = t.mark(m, p.Marks)
		}
		p.Strong = len(p.Marks) > 0
		for _, m := range r.weak {
			p.Marks = t.mark(m, p.Marks)
		}
		switch {
		case p.Strong:
			strong = append(strong, p)
		case len(p.Marks) >= 2:
			weak = append(weak, p)
		}
	}
	return slices.Concat(strong, weak)
}

// mark adds the first place that the pattern matches.
func (t text) mark(p pattern, marks []Mark) []Mark {
	if m := t.find(p); m != nil {
		return append(marks, Mark{m[0], t.as[m[0]:m[1]]})
	}
	return marks
}

// reporter is a Reporter's patterns, compiled.
type reporter struct {
	system       string
	strong, weak []pattern
}

var reporters = sync.OnceValue(func() []reporter {
	var all []reporter
	for _, r := range Reporters() {
		all = append(all, reporter{r.System, compile(r.Strong), compile(r.Weak)})
	}
	return all
})

// Wording is a phrase whose meaning is known.
type Wording struct {
	ID      string
	Pattern string // RE2; what its named groups hold is told in Saying.Parts
	Kind    Word
	GaveUp  string  // who gave up; "": the phrase does not tell
	Refused string  // who said no, or where to look; "": the phrase does not tell
	Clock   string  // the limit that ended it; "": the phrase does not tell
	Contact Contact // how far the connection came
	// CauseLost: the phrase stands in place of the real error, which may be told
	// elsewhere in the report or nowhere.
	CauseLost bool
	Means     string // what else it says; "": nothing
	Parts     []Part // what its inner words mean
}

// Part is a word inside a wording and its meaning.
type Part struct {
	Text, Means string
	Contact     Contact // ContactNotTold: as the wording's
}

// Word is the kind of thing that a wording tells.
type Word string

// What wordings tell.
const (
	Expired            Word = "expired" // given up by a clock, the cause told elsewhere or nowhere
	ExpiredUnreachable Word = "unreachable-until-expired"
	ExpiredUntried     Word = "expired-without-try"
	ExpiredByCount     Word = "expired-by-count"
	ExpiredDeliverBy   Word = "deliver-by-expired"
	Delayed            Word = "delayed" // not given up
	DelayedOrExpired   Word = "delayed-or-expired"
	NoConnection       Word = "unreachable"
	BrokenOff          Word = "broken-off"
	HostSpoke          Word = "refused-or-deferred" // by the remote host, as its reply says
	GreetingRefused    Word = "refused-at-greeting" // for now, even where by 5yz
	NotTried           Word = "deferred-without-try"
	PolicyDeferral     Word = "deferred-by-policy"
	ReputationDeferral Word = "deferred-by-reputation"
	RelayRefused       Word = "relay-refused"
	GoesRound          Word = "loop"
	TooBig             Word = "size"
	Detail             Word = "detail" // of what another wording tells
)

// Contact is how far the connection to the next hop came.
type Contact uint8

// The contacts.
const (
	ContactNotTold Contact = iota
	NoContact              // not one word of SMTP
	ContactBroken          // begun and broken off
	ContactMade            // a host replied
)

// String returns the contact as findings write it.
func (c Contact) String() string { return word(c, "", "none", "broken", "reply") }

// Saying is a wording found in a text.
type Saying struct {
	Wording Wording
	Mark
	Parts map[string]string // what its named groups hold; nil: it has none
}

// Sayings returns the wordings that a text holds, the first place of each, in
// the order of the text.
func Sayings(words string) []Saying {
	t := newText(words)
	var all []Saying
	for _, w := range wordings() {
		m := t.find(w.pattern)
		if m == nil {
			continue
		}
		s := Saying{Wording: w.Wording, Mark: Mark{m[0], words[m[0]:m[1]]}}
		s.Wording.Parts = slices.Clone(w.Parts)
		for i, name := range w.re.SubexpNames() {
			if name != "" && m[2*i] >= 0 {
				if s.Parts == nil {
					s.Parts = map[string]string{}
				}
				s.Parts[name] = words[m[2*i]:m[2*i+1]]
			}
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b Saying) int { return a.At - b.At })
	return all
}

// phrase is a Wording with its pattern compiled.
type phrase struct {
	Wording
	pattern
}

var wordings = sync.OnceValue(func() []phrase {
	var all []phrase
	for _, w := range Wordings() {
		all = append(all, phrase{w, newPattern(w.Pattern)})
	}
	return all
})

func compile(patterns []string) []pattern {
	all := make([]pattern, len(patterns))
	for i, p := range patterns {
		all[i] = newPattern(p)
	}
	return all
}

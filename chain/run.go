package chain

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/system"
)

// errTooWide is met by a ranged walk only.
var errTooWide = errors.New("the possible worlds are too many to be walked")

// Run returns what a scenario comes to, or why it makes no sense.
func Run(s Scenario) (Story, error) {
	c, err := s.ready()
	if err != nil {
		return Story{}, err
	}
	w := &walk{c: c, mode: reckoned, minutes: true}
	err = w.run()
	if err != nil {
		return Story{}, fmt.Errorf("chain: run scenario: %w", err)
	}
	all := &walk{c: c, mode: ranged, counted: w.wanted()}
	err = all.run()
	if errors.Is(err, errTooWide) {
		c.notes = append(c.notes, "the possible worlds are too many to be walked: no earliest and latest times are given")
		all = nil
	} else if err != nil {
		return Story{}, fmt.Errorf("chain: run scenario: %w", err)
	}
	return c.story(w, all), nil
}

// Sample returns the story of one possible world, which the seed draws: every time
// that is not certain falls somewhere between its earliest and its latest. The
// same seed draws the same world.
func Sample(s Scenario, seed uint64) (Story, error) {
	c, err := s.ready()
	if err != nil {
		return Story{}, err
	}
	w := &walk{c: c, mode: sampled, seed: seed, minutes: true}
	if err := w.run(); err != nil {
		return Story{}, fmt.Errorf("chain: sample scenario: %w", err)
	}
	return c.story(w, nil), nil
}

// run carries the message, and then its letters.
func (w *walk) run() error {
	c := w.c
	if w.mode == ranged {
		w.hulls, w.posted, w.about = map[factKey]system.Span{}, map[letterKey]system.Span{}, map[letterKey]parcel{}
	}
	message := &parcel{route: &c.out, notify: c.s.Message.Notify, null: c.s.Message.Null, by: c.s.Message.By, size: c.s.Message.Size}
	w.carry(message, exactly(0))
	for i := 0; i < len(w.letters) && w.err == nil; i++ {
		w.carry(&w.letters[i].parcel, exactly(w.letters[i].written))
	}
	for key, at := range w.posted {
		letter := w.about[key]
		if w.err == nil {
			w.carry(&letter, at)
		}
	}
	return w.err
}

// wanted is how far a ranged walk must count attempts, to give each of this walk's a
// span and to come to every limit.
func (w *walk) wanted() int {
	n := 500
	for _, f := range w.facts {
		n = max(n, f.n)
	}
	for _, h := range w.c.hops {
		n = max(n, h.system.Policy.Limit)
	}
	return 2*n + 2
}

// story puts what a walk noted into words, with the spans of all worlds; nil: every
// time stands for itself.
func (c *course) story(w, all *walk) Story {
	s := Story{Start: c.s.Start, Notes: c.notes, scenario: c.s}
	number := map[letterKey]int{}
	for i, l := range w.letters {
		number[l.key] = i + 1
	}
	for _, f := range w.facts {
		s.Events = append(s.Events, c.event(f, all, number))
	}
	slices.SortStableFunc(s.Events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	for _, t := range w.held {
		s.Tenures = append(s.Tenures, Tenure{c.hops[t.hop].Name, t.from, t.until, t.attempts, t.ours})
	}
	for i := range s.Tenures[1:] {
		s.Tenures[i].Until = s.Tenures[i+1].From
	}
	c.tellEvents(&s)
	for _, l := range w.letters {
		s.Letters = append(s.Letters, c.letter(w, l, all))
	}
	s.Summary = c.summary(w, all, &s)
	return s
}

// event is a fact in words.
func (c *course) event(f fact, all *walk, number map[letterKey]int) Event {
	h := c.hops[f.hop]
	e := Event{At: f.at.Least, Kind: f.kind, Hop: h.Name, Took: f.took, Letter: number[f.letter]}
	if f.letter != (letterKey{}) && f.kind != Told {
		e.Kind = "letter_" + f.kind
	}
	t := all.time(f)
	e.Earliest, e.Latest = t.Earliest, t.Latest
	if f.peer >= 0 {
		e.Peer = c.hops[f.peer].Name
	}
	switch f.kind {
	case Attempts:
		e.Attempt, e.Outcome = f.n, outcomeWord(f.outcome)
		e.Words = mailWords(f.outcome)
	case Accepts:
		if f.letter == (letterKey{}) && !c.out.ends(f.hop) {
			e.Words = "owns it now, and gives it up at " + when(e.At+h.Delay+h.survives().GivesUp) + " if nobody takes it"
		}
	case Told:
		e.Hop = c.hops[f.letter.hop-1].Name
		e.Words = letterWord(f.letter.kind) + " has reached the sender"
	case GivesUp:
		e.Words = h.limit(f.expiry)
		if f.by {
			e.Words = "the sender asked for delivery within " + custody.FormatAge(c.s.Message.By.Within) + " (DELIVERBY)"
		}
	case Bounces:
		e.Words = mailWords(f.outcome)
	}
	return e
}

// tellEvents writes into events what those before them say.
func (c *course) tellEvents(s *Story) {
	type of struct {
		hop    string
		letter int
	}
	attempts, last, since := map[of]int{}, map[of]string{}, map[of]time.Duration{}
	for i := range s.Events {
		e := &s.Events[i]
		key := of{e.Hop, e.Letter}
		switch EventKind(strings.TrimPrefix(string(e.Kind), "letter_")) {
		case Attempts:
			attempts[key] = e.Attempt
			last[key] = e.Words
		case Accepts:
			since[key] = e.At
			e.Attempt = attempts[of{e.Peer, e.Letter}]
		case Released:
			since[key] = e.At
		case Warns:
			e.Words = "not delivered after " + when(e.At-since[key])
		case GivesUp, Bounces:
			switch e.Attempt = attempts[key]; {
			case e.Kind == GivesUp && e.Attempt == 0:
				e.Words += "; it was not tried, for earlier mail has failed for longer"
			case e.Kind == GivesUp:
				e.Words += "; the last attempt: " + last[key]
			}
		}
	}
}

// time is when a fact can be.
func (w *walk) time(f fact) Time {
	t := Time{f.at.Least, f.at.Least, f.at.Least}
	if w == nil {
		return t
	}
	if s, ok := w.hulls[f.key()]; ok {
		t.Earliest, t.Latest = s.Least, s.Most
		if s.Most >= never/2 {
			t.Latest = Unknown
		}
	}
	return t
}

func mailWords(o *custody.Outcome) string {
	if o.Theirs {
		return o.Reply.Line()
	}
	return o.Reply.Text
}

func letterWord(k custody.Kind) string {
	switch k {
	case custody.Delayed:
		return "a notice of delay"
	case custody.Failed:
		return "the report of the failure"
	}
	return "a report that it was " + k.String()
}

// letter is a letter in words.
func (c *course) letter(w *walk, l *sent, all *walk) Letter {
	h := c.hops[l.key.hop-1]
	out := Letter{Kind: l.key.kind, Hop: h.Name, Ours: l.ours, Written: Time{l.written, l.written, l.written}}
	if all != nil {
		if s, ok := all.posted[l.key]; ok {
			out.Written.Earliest, out.Written.Latest = s.Least, s.Most
			if s.Most >= never/2 {
				out.Written.Latest = Unknown
			}
		}
	}
	switch l.end.kind {
	case Told:
		t := all.time(l.end)
		out.Arrived = &t
	case GivesUp, Bounces:
		out.Lost = c.hops[l.end.hop].title() + " could not hand it on, and nobody is told of that: a report has no return path (RFC 5321 6.1)"
	}
	switch {
	case h.ours() && c.s.Words != nil:
		out.Words = c.s.Words(out)
	case l.key.kind == custody.Failed && !h.ours():
		out.Words = reportOf(h, w)
	}
	return out
}

// reportOf is what a report of another system says, as far as it is known.
func reportOf(h *hop, w *walk) string {
	end := w.ends[len(w.ends)-1]
	if end.kind == Bounces {
		return mailWords(end.outcome)
	}
	words := h.system.Reports
	if words == "" {
		return ""
	}
	last, attempts, spoken := "", 0, 0
	for _, f := range w.facts {
		if f.kind == Attempts && f.hop == h.i && f.letter == (letterKey{}) {
			last, attempts = quoted(h, f.outcome), f.n
			if f.outcome.Theirs {
				spoken++
			}
		}
	}
	if h.system.Policy.Conversations {
		words = strings.ReplaceAll(words, "attempts: N", "attempts: "+strconv.Itoa(spoken))
	}
	words = strings.ReplaceAll(words, "N attempt(s)", strconv.Itoa(attempts)+" attempt(s)")
	words = strings.ReplaceAll(words, "N hour(s)", strconv.Itoa(int((end.at.Least-w.held[len(w.held)-1].from)/time.Hour))+" hour(s)")
	for _, q := range []string{"''", "<>", "()"} {
		words = strings.ReplaceAll(words, q[:1]+"last error"+q[1:], q[:1]+last+q[1:])
	}
	return words
}

// quoted is what a system's report quotes of an outcome.
func quoted(h *hop, o *custody.Outcome) string {
	if o.Theirs {
		return o.Reply.Line()
	}
	_, why, ok := strings.Cut(o.Reply.Text, ": ")
	switch {
	case !ok:
		return o.Reply.Text
	case h.system.Family == "ironport-asyncos" && why == "connection refused":
		return "[Errno 61] Connection refused" // as it was seen: the words of its Python, on BSD
	}
	return why
}

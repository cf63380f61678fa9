package policy

import (
	"cmp"
	"slices"
)

// Decide asks the rules of one stage, from the top. If need is not 0, the verdict
// is void: look up what it names, write it into the facts, and ask again. Every
// round asks for all that the rules it may come to want, and a rule that decides
// by what is known already spares those below it their look-ups.
func (t *Table) Decide(s Stage, f *Facts) (Verdict, Need) {
	w := walk{f: f}
	w.run(t, s)
	return w.verdict, w.need
}

// Trace tells of each rule of a stage, in order, why it did or did not decide. It
// is Decide itself, watched. With look-ups open it tells how far it came.
func (t *Table) Trace(s Stage, f *Facts) []Step {
	steps := make([]Step, 0, len(t.rulesAt(s)))
	w := walk{f: f, steps: &steps}
	w.run(t, s)
	return steps
}

// Step is what became of one rule.
type Step struct {
	Rule      string `json:"rule"`
	Place     string `json:"place,omitempty"`
	Stage     Stage  `json:"stage"`
	Ruling    Ruling `json:"ruling"`
	Action    Action `json:"action"`              // what it does, or would do
	Condition string `json:"condition,omitempty"` // key of the condition that settled it, "not.spf"; "": all hold
	Why       string `json:"why,omitempty"`       // the facts in words
	Need      Need   `json:"-"`                   // of Open: what it waits for
	Override  string `json:"override,omitempty"`  // ID of the one that skipped it
}

// Ruling is what became of a rule.
type Ruling uint8

const (
	Fails   Ruling = iota // a condition does not hold
	Decides               // its word is the verdict
	Would                 // it would have decided, but it only tells
	Skipped               // it would have decided, but for an override
	Open                  // a look-up is wanted first
	Faulty                // a look-up failed, so it did not decide
	Beyond                // one above has decided
)

var rulingNames = [...]string{"fails", "decides", "would", "skipped", "open", "faulty", "beyond"}

// String returns the ruling as written in JSON.
func (r Ruling) String() string { return nameOf(rulingNames[:], int(r)) }

// MarshalText writes the ruling as String does.
func (r Ruling) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (r *Ruling) UnmarshalText(b []byte) error { return read(rulingNames[:], b, r, "ruling") }

// walk is one way down the table.
type walk struct {
	f       *Facts
	steps   *[]Step // nil: nobody watches
	verdict Verdict
	need    Need
}

// run asks the rules of a stage until one decides.
func (w *walk) run(t *Table, s Stage) {
	decided := w.accepted(t)
	for _, r := range t.rulesAt(s) {
		if decided {
			w.step(r, Step{Ruling: Beyond, Action: r.Then})
			continue
		}
		decided = w.ask(r)
	}
	if w.need != 0 {
		w.verdict = Verdict{}
	}
}

// accepted reports whether a rule of an earlier question has settled this one.
func (w *walk) accepted(t *Table) bool {
	if w.f.Accepted == "" {
		return false
	}
	w.verdict = Verdict{Action: Accept, Rule: w.f.Accepted, Why: "accepted before"}
	for _, r := range t.rules {
		if r.Name == w.f.Accepted {
			w.verdict.Place = r.Place
		}
	}
	return true
}

// ask asks one rule, and reports whether it decides, or will if those above it do
// not.
func (w *walk) ask(r *rule) bool {
	j := r.judge(w.f)
	o := w.override(r, &j)
	if o != nil && j.holds == yes {
		w.skip(r, j, o.ID)
		return false
	}
	if j.fault != nil {
		w.verdict.Faults = append(w.verdict.Faults, r.Name+": "+j.fault.say(w.f))
	}
	switch j.holds {
	case no:
		w.remember(r, j.grey)
		if j.heeds && !r.LogOnly && o == nil && !slices.Contains(w.verdict.Filters, r.Filter) {
			w.verdict.Filters = append(w.verdict.Filters, r.Filter)
		}
		w.explain(r, j, Fails)
		return false
	case fault:
		if r.Then == Accept && !r.LogOnly && o == nil {
			w.verdict.Doubt = r.Name
		}
		w.explain(r, j, Faulty)
		return false
	case open:
		w.need |= j.need
		w.explain(r, j, Open)
		return false
	}
	return w.decide(r, j)
}

// override looks for one that skips the rule. Where that takes a look-up, the
// judgement waits for it. Where the look-up failed, the client may be one that was
// let in: the rule does not refuse then.
func (w *walk) override(r *rule, j *judgement) *Override {
	if j.holds == no && !j.heeds {
		return nil
	}
	late := false
	for i := range w.f.Overrides {
		o := &w.f.Overrides[i]
		if o.Rule != r.Name {
			continue
		}
		switch t, n := o.match(w.f); {
		case t == yes && j.holds != open:
			return o
		case t == open:
			late = true
			j.need |= n
		case t == fault && j.holds == yes && !j.defers:
			j.fault, j.doubt = &fitsOverride, fitsOverride.say(w.f)
		}
	}
	if late && (j.holds == yes || j.heeds || r.Then == Accept) {
		j.holds, j.by, j.fault = open, &fitsOverride, nil
	}
	return nil
}

// decide lets a rule speak that holds.
func (w *walk) decide(r *rule, j judgement) bool {
	ruling := Decides
	if r.LogOnly {
		ruling = Would
	}
	if w.need == 0 || w.steps != nil {
		if d := cmp.Or(w.verdict.Doubt, w.f.Doubt); d != "" && j.doubt == "" {
			j.doubt = "whether rule " + d + " accepts it could not be found out"
		}
		said := r.say(w.f, j)
		w.step(r, Step{Ruling: ruling, Action: said.Action, Why: said.Why})
		w.remember(r, j.grey)
		switch v := &w.verdict; {
		case r.LogOnly:
			v.Would = append(v.Would, said)
		default:
			v.Action, v.Reply, v.Rule, v.Place, v.Why = said.Action, said.Reply, said.Rule, said.Place, said.Why
		}
	}
	return !r.LogOnly
}

// skip passes over a rule that would decide.
func (w *walk) skip(r *rule, j judgement, id string) {
	said := r.say(w.f, j)
	said.Override = id
	if !r.LogOnly { // else nobody was let in by it
		w.verdict.Skipped = append(w.verdict.Skipped, said)
	}
	w.step(r, Step{Ruling: Skipped, Action: said.Action, Why: said.Why, Override: id})
}

// remember keeps what greylisting wants. What only tells gives way to what acts.
func (w *walk) remember(r *rule, g Greylisting) {
	if g != (Greylisting{}) && (!r.LogOnly || w.verdict.Grey == Greylisting{}) {
		w.verdict.Grey = g
	}
}

// explain tells the watcher, if there is one, what settled a rule.
func (w *walk) explain(r *rule, j judgement, what Ruling) {
	if w.steps != nil {
		w.step(r, Step{Ruling: what, Action: r.Then, Condition: j.key(), Why: j.by.say(w.f), Need: j.need})
	}
}

func (w *walk) step(r *rule, s Step) {
	if w.steps != nil {
		s.Rule, s.Place, s.Stage = r.Name, r.Place, r.At
		*w.steps = append(*w.steps, s)
	}
}

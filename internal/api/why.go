package api

import (
	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// Words for why a delivery waits that are not a cause.
const (
	whyHeld   = "held"
	whyPaused = "paused"
	whyNew    = "new"
)

// whys remembers what replies mean: the same few are said again and again.
type whys map[sign]string

// sign is what a cause is read from.
type sign struct {
	stage   mail.Stage
	reply   mail.Reply
	theirs  bool
	trouble custody.Trouble
}

const whysMost = 10_000 // that are remembered

// of says in a word why a delivery waits, and by which outcome.
func (w whys) of(d custody.Delivery) (why string, last custody.Outcome) {
	for i := range d.Rcpts {
		if r := &d.Rcpts[i]; r.State == custody.Pending && r.Last.At.After(last.At) {
			last = r.Last
		}
	}
	switch {
	case !d.Held.IsZero():
		return whyHeld, last
	case last.IsZero():
		return whyNew, last
	}
	s := sign{last.Stage, last.Reply, last.Theirs, last.Trouble}
	why, ok := w[s]
	if !ok {
		if len(w) >= whysMost {
			clear(w)
		}
		why = cause.Of(cause.Sign{Stage: s.stage, Reply: s.reply, Theirs: s.theirs, Trouble: s.trouble.String()}).Kind.String()
		w[s] = why
	}
	return why, last
}

// WhyText says what such a word means.
func WhyText(why string) string {
	switch why {
	case whyHeld:
		return "An operator holds it."
	case whyPaused:
		return "An operator paused the destination."
	case whyNew:
		return "It was not tried yet."
	}
	var k cause.Kind
	if err := k.UnmarshalText([]byte(why)); err != nil {
		return ""
	}
	return cause.Explain(k, cause.Sure).Meaning
}

// WhyWords are all words for why a delivery waits.
func WhyWords() []string {
	words := []string{whyNew, whyHeld, whyPaused}
	for k := cause.Unknown; k <= cause.Ours; k++ {
		words = append(words, k.String())
	}
	return words
}

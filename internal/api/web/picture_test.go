package web

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/mail"
)

// pictured is the timeline of a delivery as the API tells it, and drawn.
func pictured(t *testing.T, w *world, d custody.Delivery) (api.Trace, string) {
	t.Helper()
	tr := historyOf(t, w, d).Traces[0]
	return tr, string(draw(tr, "mx.test", time.Now(), wideSheet))
}

// TestATimelineIsDrawn counts what is in the picture: it must tell what the words do.
func TestATimelineIsDrawn(t *testing.T) {
	w := newWorld(t)
	waits := w.comes(5*time.Hour, "waits", "ann@author.test", "bob@there.test")
	for i := range 5 {
		waits = w.tried(waits, waits.Accepted.Add(time.Duration(i)*time.Hour+time.Minute), says(451, mail.Status{4, 7, 1}, "later"))
	}
	null := w.comes(time.Hour, "null", "", "bob@there.test")
	left := w.comes(time.Hour, "left", "ann@author.test", "bob@there.test")
	left = w.tried(left, left.Accepted.Add(time.Second), says(250, mail.Status{2, 0, 0}, "taken"))
	back := w.comes(time.Hour, "back", "ann@author.test", "bob@there.test")
	back = w.tried(back, back.Accepted.Add(time.Second), says(550, mail.Status{5, 1, 1}, "nobody"))
	held := w.comes(time.Hour, "held", "ann@author.test", "bob@there.test")
	e := custody.Ordered{At: held.Accepted.Add(time.Minute), By: "maria", Order: custody.OrderHold}
	held, duties := custody.Step(held, schedule, e)
	w.settle(held, e.At, e, duties)
	for _, c := range []struct {
		name             string
		d                custody.Delivery
		has              map[string]int // how often a class stands in the picture; -1: at least once
		labelled, absent string
	}{
		{"waits", waits, map[string]int{`"own"`: 1, `"later"`: 1, `"wait"`: 5, `wait coming`: -1, `"now"`: 1, "cross coming": 1, `"coming"`: 1, "check": 0}, "waiting for 5h", "given up in 0s"},
		{"nobody is told", null, map[string]int{`"coming"`: 0, "cross coming": 1}, "waiting for 1h", "delayed"},
		{"left", left, map[string]int{"check": 1, `"hand"`: 1, `"good"`: 1, `"later"`: 0, `"now"`: 0, "cross": 0}, "relayed after", "given up"},
		{"back", back, map[string]int{"cross": 1, `"bad"`: 1, "check": 0, `"later"`: 0}, "bounced after", "given up"},
		{"held", held, map[string]int{`"held"`: 1, "cross": 0, `"now"`: 1}, "held for 1h", "given up"},
	} {
		_, svg := pictured(t, w, c.d)
		for class, want := range c.has {
			got := strings.Count(svg, class)
			if class[0] != '"' {
				got = len(regexp.MustCompile(`class="`+class).FindAllString(svg, -1))
			}
			if got != want && !(want < 0 && got > 0) {
				t.Errorf("%s: %s stands %d times, want %d\n%s", c.name, class, got, want, svg)
			}
		}
		if !strings.Contains(svg, c.labelled) || strings.Contains(svg, c.absent) {
			t.Errorf("%s: want %q and not %q in\n%s", c.name, c.labelled, c.absent, svg)
		}
	}
}

// TestNothingIsDrawnOutside looks at where things lie, on both sheets.
func TestNothingIsDrawnOutside(t *testing.T) {
	w := newWorld(t)
	place := regexp.MustCompile(` x="(-?[\d.]+)"`)
	for _, ago := range []time.Duration{0, time.Second, time.Hour, 119 * time.Hour, 400 * time.Hour} {
		d := w.comes(ago, "it", "ann@author.test", "bob@there.test")
		tr, _ := pictured(t, w, d)
		for _, s := range []sheet{wideSheet, narrowSheet} {
			svg := string(draw(tr, "mx.test", time.Now(), s))
			if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
				t.Errorf("%v: %s", ago, svg)
			}
			most := s.left + s.wide + s.right
			for _, m := range place.FindAllStringSubmatch(svg, -1) {
				if x := number(t, m[1]); x < -10 || x > most {
					t.Errorf("%v: something lies at %s of %.0f", ago, m[1], most)
				}
			}
		}
	}
}

// TestWhatIsForwardedTellsTheState reads the paragraph for the user who asked.
func TestWhatIsForwardedTellsTheState(t *testing.T) {
	w := newWorld(t)
	fresh := w.comes(time.Minute, "Plans", "ann@author.test", "bob@there.test")
	waits := w.tried(w.comes(time.Hour, "Plans", "ann@author.test", "bob@there.test"), time.Now().Add(-time.Hour), says(452, mail.Status{4, 2, 2}, "mailbox full"))
	left := w.tried(w.comes(time.Hour, "Plans", "ann@author.test", "bob@there.test"), time.Now().Add(-time.Minute), says(250, mail.Status{2, 0, 0}, "queued as Q7"))
	back := w.tried(w.comes(time.Hour, "Plans", "ann@author.test", "bob@there.test"), time.Now().Add(-time.Minute), says(550, mail.Status{5, 1, 1}, "no such user"))
	untold := func(code int) custody.Delivery {
		d := w.comes(time.Hour, "Plans", "ann@author.test", "bob@there.test")
		d.Rcpts[0].Notify = mail.NotifyNever
		return w.tried(d, time.Now().Add(-time.Minute), says(code, mail.Status{uint16(code / 100), 0, 0}, "no"))
	}
	never, neverBack := untold(452), untold(550)
	null := w.tried(w.comes(time.Hour, "Plans", "", "bob@there.test"), time.Now().Add(-time.Minute), says(550, mail.Status{5, 1, 1}, "no such user"))
	tr, _ := pictured(t, w, waits)
	tr.Fate.Paused, tr.Fate.Blocked = &api.Paused{By: "maria"}, "paused by maria: they are moving"
	if got := forward(tr, "mx.test"); !strings.Contains(got, "mail to there.test is paused by maria: they are moving.") || strings.Contains(got, "go on trying") {
		t.Errorf("paused: %q", got)
	}
	for _, c := range []struct {
		name string
		d    custody.Delivery
		want []string
	}{
		{"waits untold", never, []string{"not been delivered yet", "it is given up, and you are not told"}},
		{"back untold", neverBack, []string{"it was given up on", "after 1 attempt, and no report was sent to you."}},
		{"null", null, []string{"it was given up on", "no report was sent to you."}},
		{"fresh", fresh, []string{"“Plans” to bob@there.test", "is on its way"}},
		{"waits", waits, []string{"not been delivered yet", "mailbox is full", "“452 4.2.2 mailbox full”", "We have tried once", "You need not send it again"}},
		{"left", left, []string{"handed to the server mx.there.test", "“250 2.0.0 queued as Q7”", "From then on it is theirs"}},
		{"back", back, []string{"could not be delivered", "after 1 attempt", "“550 5.1.1 no such user”", "does not know this address"}},
	} {
		tr, _ := pictured(t, w, c.d)
		got := forward(tr, "mx.test")
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q is not in %q", c.name, want, got)
			}
		}
		if strings.Contains(got, "  ") || strings.Contains(got, "\n") {
			t.Errorf("%s: no single paragraph: %q", c.name, got)
		}
	}
}

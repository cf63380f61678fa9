package chain

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/system"
)

const day = 24 * time.Hour

// exchangeAndFilter is the chain that the package was written to explain.
func exchangeAndFilter(more ...Hop) Scenario {
	filter := Settings{Expire: 6 * day}
	return Scenario{Hops: append([]Hop{
		{Name: "exchange", System: "exchange-2007"},
		{Name: "filter", System: "ironport-asyncos", Set: filter},
		{Name: "destination"},
	}, more...)}
}

// stops is an outage between two hops, for so long; 0: for ever.
func stops(from, to string, long time.Duration, r Result) Outage {
	return Outage{From: from, To: to, When: Window{End: long}, Result: r}
}

func says(code int, text string) Result {
	return Result{What: Says, Reply: mail.Reply{Code: code, Text: text}}
}

func TestTheChainsThatWereWorkedOutByHandComeOutAlike(t *testing.T) {
	refused := Result{}
	postfix, _ := system.Find("postfix")
	unlooked := postfix.Policy
	unlooked.Scan = 0 // G was worked out with attempts at their exact moments
	backup := Hop{Name: "backup-mx", Policy: &unlooked, Backup: "destination", Preference: 20}
	shipped := Hop{Name: "backup-mx", System: "postfix", Backup: "destination", Preference: 20}
	dead := stops("", "destination", 0, refused)
	// F's filter has no limit on conversations, as the model that made F had none:
	// AsyncOS as shipped would give up after 101 of them, on the fifth day.
	talks := exchangeAndFilter()
	talks.Hops[1].Set.Limit = -1
	talks.Hops[1].Set.Warn = []time.Duration{4 * time.Hour}
	with := func(s Scenario, outages ...Outage) Scenario {
		s.Outages = outages
		return s
	}
	scenarios := map[string]Scenario{
		"A":  with(exchangeAndFilter(), dead),
		"B":  with(exchangeAndFilter(), stops("exchange", "filter", 0, refused)),
		"B2": with(exchangeAndFilter(), stops("exchange", "filter", 0, says(451, "try later"))),
		"C":  with(exchangeAndFilter(), stops("exchange", "filter", 47*time.Hour, refused), dead),
		"D":  with(exchangeAndFilter(), stops("filter", "destination", 3*day, refused)),
		"D2": with(exchangeAndFilter(), stops("filter", "destination", 6*day+time.Hour, refused)),
		"E":  with(exchangeAndFilter(), stops("filter", "destination", 0, Result{What: Greylists, Delay: 5 * time.Minute})),
		"F":  with(talks, stops("filter", "destination", 0, says(450, "busy"))),
		"F2": with(talks, dead),
		"G":  with(exchangeAndFilter(backup), dead),
		"G2": with(exchangeAndFilter(shipped), dead),
		"H":  with(exchangeAndFilter(), stops("filter", "destination", 0, says(550, "relay denied"))),
		"I":  with(exchangeAndFilter(), stops("exchange", "filter", 10*time.Minute, refused)),
	}
	text, err := os.ReadFile("testdata/chains.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(text), "== ")[1:] {
		name, want, _ := strings.Cut(strings.TrimSpace(block), "\n")
		t.Run(name, func(t *testing.T) {
			id, _, _ := strings.Cut(name, " ")
			story, err := Run(scenarios[id])
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(want, "\n"), course0(story)); diff != "" {
				t.Error(diff)
			}
			delete(scenarios, id)
		})
	}
	if len(scenarios) > 0 {
		t.Errorf("%d scenarios have no course", len(scenarios))
	}
}

// course0 is what happens to the message itself, as testdata/chains.txt has it.
func course0(s Story) []string {
	var lines []string
	for _, e := range s.Events {
		if e.Letter > 0 || e.Kind == Attempts || e.Kind == Told {
			continue
		}
		line := fmt.Sprintf("%s: %s %s", when(e.At), e.Hop, e.Kind)
		if e.Peer != "" {
			line += " from " + e.Peer
		}
		if e.Attempt > 0 {
			line += fmt.Sprintf(", %d", e.Attempt)
		}
		lines = append(lines, line)
	}
	return lines
}

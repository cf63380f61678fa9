package web

import (
	"slices"
	"strconv"
	"testing"
)

func TestAnOutageStaysWithTheHopThatIsNotReached(t *testing.T) {
	for _, c := range []struct {
		do   string
		want []string // the places of the outages at B, C and D
	}{
		{"drop-hop-0", []string{"1", "2"}}, {"drop-hop-1", []string{"1", "2"}}, {"drop-hop-2", []string{"1", "2"}}, {"drop-hop-3", []string{"1", "2"}},
		{"drop-outage-0", []string{"2", "3"}}, {"add-hop", []string{"1", "2", "4"}}, {"drop-hop-4", []string{"1", "2", "3"}},
	} {
		p := play{Hops: []hop{{Name: "A"}, {Name: "B"}, {Name: "C"}, {Name: "D"}}, Outages: []outage{{To: "1", What: "B"}, {To: "2", What: "C"}, {To: "3", What: "D"}}}
		p.edit(c.do)
		var got []string
		for _, o := range p.Outages {
			got = append(got, o.To)
			if at, _ := strconv.Atoi(o.To); p.Hops[at].Name != o.What {
				t.Errorf("%s: %s is not reached in place of %s", c.do, p.Hops[at].Name, o.What)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: outages at %q, want %q", c.do, got, c.want)
		}
	}
}

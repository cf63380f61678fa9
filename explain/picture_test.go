package explain

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// longWay is a finding with so many hosts; the one at an index gave up.
func longWay(hosts, gaveUp int) Finding {
	f := Finding{Kind: Unreachable, GaveUp: Host{Host: fmt.Sprintf("h%d.test", gaveUp)}, Refused: Refusal{How: timedOut, Host: "mx.far.test"}}
	at := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	for i := range hosts {
		h := Hop{Host: fmt.Sprintf("h%d.test", i), Accepted: at, Role: "relay"}
		at = at.Add(time.Duration(i+1) * time.Second)
		if i+1 < hosts {
			h.Handed, h.Held = at, Seconds(time.Duration(i+1)*time.Second)
		}
		if i == gaveUp {
			h.Role = "gave up"
		}
		f.Hops = append(f.Hops, h)
	}
	f.Clock.Held = Seconds(50 * time.Hour)
	return f
}

func TestALongWayIsFoldedInTheMiddle(t *testing.T) {
	for _, c := range []struct{ hosts, gaveUp int }{{60, 59}, {60, 30}, {17, 16}, {16, 15}, {60, 2}, {3, 2}, {1, 0}} {
		f := longWay(c.hosts, c.gaveUp)
		ps := way(f, languages()[native])
		if len(ps) > maxPlaces+2 {
			t.Errorf("%d hosts: %d are drawn", c.hosts, len(ps))
		}
		owners, told := 0, 0
		for _, p := range ps {
			if p.mark == owner {
				owners++
				if p.host != f.GaveUp.Host || p.held != 50*time.Hour {
					t.Errorf("%d hosts: the owner is %v", c.hosts, p)
				}
			}
			told += max(p.folded, 1)
		}
		if owners != 1 {
			t.Errorf("%d hosts, %d gave up: %d owners", c.hosts, c.gaveUp, owners)
		}
		if want := c.hosts + 1; told != want {
			t.Errorf("%d hosts, %d gave up: %d are told, want %d", c.hosts, c.gaveUp, told, want)
		}
		if last := ps[len(ps)-1]; last.host != "mx.far.test" || last.mark != silent {
			t.Errorf("the last is %v", last)
		}
	}
}

// TestALongerHoldHasALongerBar: in the terminal and on the page, whichever scale
// is chosen.
func TestALongerHoldHasALongerBar(t *testing.T) {
	for _, unit := range []time.Duration{time.Second, time.Minute, 20 * time.Hour} {
		f := longWay(4, 3)
		for i := range f.Hops {
			f.Hops[i].Held = Seconds(time.Duration(i+1) * unit)
		}
		r := Report{Kind: Bounce, Recipients: []Finding{f}}
		var inText []float64
		for l := range strings.Lines(shownAs(t, r, Style{Width: 120, ASCII: true})) {
			if n := strings.Count(l, "="); n > 0 && strings.Contains(l, ".test") {
				inText = append(inText, float64(n))
			}
		}
		var onPage []float64
		for _, m := range regexp.MustCompile(`<rect class="(?:hop|owner)" [^>]* width="(\d+)"`).FindAllStringSubmatch(SVG(r), -1) {
			n, err := strconv.ParseFloat(m[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			onPage = append(onPage, n)
		}
		held := []float64{1, 2, 3, (50 * time.Hour).Seconds() / unit.Seconds()}
		for _, bars := range [][]float64{inText, onPage} {
			if len(bars) != 4 {
				t.Fatalf("unit %s: bars %v", unit, bars)
			}
			for i := range bars {
				for k := range bars {
					if held[i] < held[k] && bars[i] > bars[k] {
						t.Errorf("unit %s: held %v, bars %v", unit, held, bars)
					}
				}
			}
			if bars[0] >= slices.Max(bars) || bars[0] < 1 {
				t.Errorf("unit %s: the shortest hold is not seen to be shorter: %v", unit, bars)
			}
		}
	}
}

func TestTheScaleIsLinearWhereThatShowsAll(t *testing.T) {
	s := scaleOf([]place{{held: time.Hour, told: true}, {held: 2 * time.Hour, told: true}})
	if s.log || s.of(time.Hour) != 0.5 || s.of(2*time.Hour) != 1 || s.of(0) != 0 {
		t.Errorf("%v %v", s, s.of(time.Hour))
	}
	s = scaleOf([]place{{held: time.Second, told: true}, {held: 48 * time.Hour, told: true}})
	if !s.log || s.of(time.Second) < 0.03 || s.of(48*time.Hour) != 1 {
		t.Errorf("%v %v", s, s.of(time.Second))
	}
}

// TestTheMarksTellWhoEndedIt: whoever's clock ran, and what the next host said.
func TestTheMarksTellWhoEndedIt(t *testing.T) {
	for _, c := range []struct {
		kind, how, contact string
		want               []mark
		note               string
	}{
		{Unreachable, tcpRefused, "none", []mark{owner, silent}, "connection refused"},
		{Unreachable, nobodyThere, "broken", []mark{owner, silent}, "the connection broke off"},
		{PolicyDeferred, byReply, "reply", []mark{owner, refuser}, "said no: 421"},
		{ExpiredUntried, notTried, "", []mark{owner, unheard}, "was not tried for this message"},
		{ExpiredUnknown, notTold, "", []mark{owner, unheard}, "not told"},
		{HandedOn, byReply, "reply", []mark{owner, taker}, "took it"},
		{NoBounce, "", "", nil, ""},
	} {
		f := Finding{Kind: c.kind, Contact: c.contact, GaveUp: Host{Host: "a.test"}, Refused: Refusal{How: c.how, Host: "b.test", Code: "421"}}
		ps := way(f, languages()[native])
		var got []mark
		for _, p := range ps {
			got = append(got, p.mark)
		}
		if !slices.Equal(got, c.want) || len(ps) > 0 && ps[len(ps)-1].note != c.note {
			t.Errorf("%s: %v, want %v %q", c.kind, ps, c.want, c.note)
		}
	}
}

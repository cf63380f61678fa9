package chain

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider/postrider/custody"
)

// draw returns the picture, if it is well-formed and harmless.
func draw(t interface{ Fatalf(string, ...any) }, s Story) string {
	var b strings.Builder
	if err := s.Draw(&b); err != nil {
		t.Fatalf("%v", err)
	}
	d := xml.NewDecoder(strings.NewReader(b.String()))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Fatalf("%v in %s", err, b.String())
		}
		if e, ok := tok.(xml.StartElement); ok {
			switch e.Name.Local {
			case "svg", "style", "defs", "pattern", "rect", "path", "text", "g", "title":
			default:
				t.Fatalf("an element %s", e.Name.Local)
			}
			for _, a := range e.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Fatalf("<%s %s=%q>", e.Name.Local, a.Name.Local, a.Value)
				}
			}
		}
	}
}

func TestThePictureQuotesWhatIsForeign(t *testing.T) {
	s := exchangeAndFilter()
	s.Hops[1].Name = `<script>alert("1")</script>&`
	s.Outages = []Outage{stops("", "destination", 0, says(451, `<b onload="x">]]>&amp;`))}
	got := draw(t, run(t, s))
	if strings.Contains(got, "<script") || strings.Contains(got, "<b ") || !strings.Contains(got, "&lt;script&gt;") || !strings.Contains(got, "&lt;b onload=") {
		t.Error(got)
	}
}

func TestThePictureShowsWhoOwnsItWhenAndWhatTheSenderHears(t *testing.T) {
	s := exchangeAndFilter()
	s.Outages = []Outage{stops("exchange", "filter", 47*time.Hour, Result{}), stops("filter", "destination", 0, Result{})}
	got := draw(t, run(t, s))
	for _, want := range []string{
		"Not delivered: filter gives up after 7d 23h 7m", "1d 23h 4m, 290 attempts", "6d 0h 3m, 149 attempts",
		"silence for 7d 19h 7m", ">delayed<", ">failed<", ">connection refused<", ">8d<", "prefers-color-scheme:dark", "possible: 7d 23h 4m to 8d 0h 4m",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
	if bars := strings.Count(got, `<rect class="own"`); bars != 3 { // one of them in the legend
		t.Errorf("%d bars", bars)
	}
}

// However long the story, the picture is as large as the eye can tell apart.
func TestThePictureStaysSmall(t *testing.T) {
	s := oursThenDestination()
	s.Hops[0].Schedule = &custody.Schedule{Retry: []custody.Pace{{Gap: time.Minute}}, Expire: 30 * day}
	s.Outages = []Outage{stops("ours", "destination", 0, Result{})}
	story := run(t, s)
	if got := draw(t, story); len(story.Events) < 40_000 || len(got) > 20_000 {
		t.Errorf("%d events, %d octets", len(story.Events), len(got))
	}
	s.Start = noon
	s.Outages[0].When.Calendar = Calendar{Every: Daily, Begins: Wall{Clock: time.Hour}, Ends: Wall{}}
	s.Hops[0].Schedule.Retry[0].Gap = 3 * time.Hour
	s.Hops[0].Schedule.Expire = 5 * 365 * day
	if got := draw(t, run(t, s)); len(got) > 20_000 {
		t.Errorf("%d octets", len(got))
	}
}

func TestEveryStoryCanBeDrawnAndWritten(t *testing.T) {
	often(t, 1000, func(t *rapid.T) {
		story, err := Run(randomScenarios.Draw(t, "scenario"))
		if err != nil {
			t.Fatal(err)
		}
		draw(t, story)
		var b strings.Builder
		if err := story.WriteText(&b); err != nil || strings.Contains(b.String(), "%!") {
			t.Fatalf("%v\n%s", err, b.String())
		}
		if _, err := story.MarshalJSON(); err != nil {
			t.Fatal(err)
		}
	})
}

package queue

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// sites lists destinations by name.
func (w *world) sites(what SitesQuery) (all []Site, names []string) {
	w.Helper()
	page, err := w.q.Sites(w.Context(), what)
	if err != nil {
		w.Fatal(err)
	}
	for _, s := range page.List {
		names = append(names, s.Name)
	}
	return page.List, names
}

func TestADestinationIsShownAsItIs(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		start := time.Now()
		no := custody.Outcome{Stage: mail.Route, Trouble: custody.Unrouted, Reply: mail.Reply{Text: "SERVFAIL"}}
		w.way("lost.example", custody.Way{None: &no})
		for _, lane := range []string{"one.example", "two.example"} {
			w.way(lane, custody.Way{Site: "smtp:filter limits=3/0/10/1m0s", Rule: "test.toml:7 route", Parallel: 3, Gap: 6 * time.Second})
		}
		w.be(refusing, "smtp:filter limits=3/0/10/1m0s")
		w.be(deferring, "busy.example")
		first := w.accept("user@one.example")[0]
		for range 3 {
			w.accept("user@two.example")
		}
		for _, domain := range []string{"busy.example", "lost.example", "good.example"} {
			w.accept("user@" + domain)
		}
		w.be(taking.in(time.Hour), "slow.example")
		w.accept("user@slow.example")
		time.Sleep(30 * time.Minute)
		w.accept("user@two.example")
		w.pause("later.example")
		time.Sleep(time.Second)

		got, names := w.sites(SitesQuery{})
		if want := []string{"later.example", "smtp:filter", "lost.example", "busy.example", "slow.example"}; !slices.Equal(names, want) {
			t.Fatalf("listed %q, want %q", names, want)
		}
		filter := got[1]
		end := End{w.accepted[first].Accepted.Add(quick.Expire), first, "expire 12h"}
		if filter.Health != Silent || filter.Waiting != 5 || filter.Behind != 2 || !slices.Equal(filter.Domains, []string{"two.example", "one.example"}) ||
			!filter.Oldest.Equal(start) || filter.End.Because != end.Because || !filter.End.At.Equal(end.At) || filter.Most != 3 || filter.Gap != 6*time.Second ||
			filter.Rule != "test.toml:7 route" || filter.Last.Reply.Text != "connection refused" || !filter.Since.Equal(start) {
			t.Errorf("%+v", filter)
		}
		if ks := w.heard("smtp:filter limits=3/0/10/1m0s"); filter.Knocks != len(ks) || !filter.Knock.After(time.Now()) {
			t.Errorf("%d knocks, %d were heard; the next at %v", filter.Knocks, len(ks), filter.Knock)
		}
		if lost := got[2]; lost.Health != NoWay || lost.Waiting != 1 || lost.Last.Reply.Text != "SERVFAIL" {
			t.Errorf("%+v", lost)
		}
		if busy := got[3]; busy.Health != Deferring || busy.Last.Reply.Text != "come again" || !busy.Last.Theirs || busy.Most != 20 {
			t.Errorf("%+v", busy)
		}
		if slow := got[4]; slow.UnderWay != 1 || slow.Connections != 1 || slow.Health != Untried {
			t.Errorf("%+v", slow)
		}
		if later := got[0]; later.Paused == nil || later.Paused.By != "root" || later.Waiting != 0 {
			t.Errorf("%+v", later)
		}
		_, names = w.sites(SitesQuery{Idle: true, Most: true})
		if want := []string{"smtp:filter", "busy.example", "lost.example", "slow.example", "good.example", "later.example"}; !slices.Equal(names, want) {
			t.Errorf("by mail %q, want %q", names, want)
		}
		if _, names = w.sites(SitesQuery{Name: "TWO"}); !slices.Equal(names, []string{"smtp:filter"}) {
			t.Errorf("found %q by a domain behind it", names)
		}
		if page, err := w.q.Sites(w.Context(), SitesQuery{From: 1, Limit: 2}); err != nil || page.All != 5 || len(page.List) != 2 || page.List[0].Name != "smtp:filter" || page.Waiting != 8 {
			t.Errorf("a page: %+v, %v", page, err)
		}
		if page, err := w.q.Sites(w.Context(), SitesQuery{From: 99}); err != nil || len(page.List) != 0 || page.All != 5 {
			t.Errorf("a page behind the last: %+v, %v", page, err)
		}
	})
}

func TestADestinationLivesAgainWhenItAnswers(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(refusing, "a.example")
		w.accept("user@a.example")
		time.Sleep(2 * time.Hour)
		if got, _ := w.sites(SitesQuery{}); len(got) != 1 || got[0].Health != Silent || got[0].Knocks < 5 {
			t.Errorf("silent: %+v", got)
		}
		w.be(taking, "a.example")
		time.Sleep(45 * time.Minute)
		got, _ := w.sites(SitesQuery{Idle: true, Name: "a.example"})
		if len(got) != 1 || got[0].Health != Living || got[0].Knocks != 0 || got[0].Last.Reply.Code != 250 || got[0].Waiting != 0 {
			t.Errorf("living: %+v", got)
		}
		time.Sleep(2 * cardLife)
		w.sites(SitesQuery{}) // counts, and forgets
		if _, names := w.sites(SitesQuery{Idle: true}); len(names) != 0 {
			t.Errorf("still remembered: %q", names)
		}
	})
}

func TestAfterARestartTheMailTellsWhatWasSaid(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.be(refusing, "a.example")
		w.be(deferring, "b.example")
		w.accept("user@a.example")
		w.accept("user@b.example")
		time.Sleep(16 * time.Minute) // nothing is due for long
		w.restart()
		time.Sleep(time.Second)
		got, names := w.sites(SitesQuery{})
		if len(got) != 2 || got[0].Health != Silent || got[1].Health != Deferring || got[0].Last.Reply.Text != "connection refused" || got[1].Last.Reply.Text != "come again" {
			t.Errorf("%q: %+v", names, got)
		}
	})
}

func TestAPauseIsShownAloneAndDryRunsShowIt(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		for i := range 3 {
			w.way(domain(i), custody.Way{Site: "smtp:filter"})
			w.be(refusing, "smtp:filter")
			for range i + 1 {
				w.accept("user@" + domain(i))
			}
		}
		time.Sleep(10 * time.Second)
		show := func(sites []Site, err error) string {
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, s := range sites {
				fmt.Fprintf(&b, "%s %d %q %v; ", s.Name, s.Waiting, s.Domains, s.Paused != nil)
			}
			return b.String()
		}
		p := Pause{Name: domain(1), By: "root"}
		for _, c := range []struct {
			name string
			got  string
			want string
		}{
			{"before", show(w.q.Pause(w.Context(), p, true)), `d1.example 2 ["d1.example"] true; `},
			{"all of a site", show(w.q.Pause(w.Context(), Pause{Name: "smtp:filter"}, true)), `smtp:filter 6 ["d2.example" "d1.example" "d0.example"] true; `},
			{"one for which nothing waits", show(w.q.Pause(w.Context(), Pause{Name: "free.example"}, true)), `free.example 0 [] true; `},
			{"done", show(w.q.Pause(w.Context(), p, false)), `d1.example 2 ["d1.example"] true; `},
			{"resume", show(w.q.Resume(w.Context(), domain(1), "root", true)), `d1.example 2 ["d1.example"] false; `},
		} {
			if c.got != c.want {
				t.Errorf("%s: %s, want %s", c.name, c.got, c.want)
			}
		}
		got, _ := w.sites(SitesQuery{})
		if s := show(got, nil); s != `d1.example 2 ["d1.example"] true; smtp:filter 4 ["d2.example" "d0.example"] false; ` {
			t.Errorf("listed %s", s)
		}
		if !got[0].End.At.IsZero() || got[1].End.At.IsZero() || got[0].Health != Silent {
			t.Errorf("ends: %+v, %+v", got[0], got[1])
		}
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	b := newBook()
	now := time.Now()
	for i := range lanesKept - cardsKept {
		b.leads[fmt.Sprint(i)] = ""
	}
	for i := range cardsKept + 1000 {
		b.found(domain(i), custody.Way{Site: domain(i)}, now.Add(time.Duration(i)))
	}
	if len(b.leads) > lanesKept || len(b.cards) > cardsKept {
		t.Errorf("%d lanes, %d destinations", len(b.leads), len(b.cards))
	}
	last := domain(cardsKept + 999)
	b.forget(func(lane string) bool { return lane == last }, now.Add(2*cardLife))
	if len(b.leads) != 1 || len(b.cards) != 1 || b.led(last) != last {
		t.Errorf("where nothing waits: %d lanes, %d destinations", len(b.leads), len(b.cards))
	}
}

func TestASitesNameIsWhomItSpeaksTo(t *testing.T) {
	for site, want := range map[string]string{
		"mx:a.example,b.example;c.example":                  "mx:a.example,b.example;c.example",
		"smtp:filter tls=verify limits=5/0/0/0s":            "smtp:filter",
		`smtp:a then smtp:b auth="\"u=x\":\"/p w\"" helo=x`: "smtp:a then smtp:b",
		"lmtp:unix:/run/a":                                  "lmtp:unix:/run/a",
		"":                                                  "",
	} {
		if got := hostsOf(site); got != want {
			t.Errorf("%q is %q, want %q", site, got, want)
		}
	}
}

package chain

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

func run(t *testing.T, s Scenario) Story {
	t.Helper()
	story, err := Run(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := lawful(s, story); err != nil {
		t.Error(err)
	}
	return story
}

func is(t *testing.T, s Scenario, want ...string) Story {
	t.Helper()
	story := run(t, s)
	if diff := cmp.Diff(want, course0(story)); diff != "" {
		t.Error(diff)
	}
	return story
}

// ourSchedule is one of our own, without jitter.
func ourSchedule() *custody.Schedule {
	return &custody.Schedule{
		Name: "default", Rule: "postrider.toml:31 schedule.default",
		Retry: []custody.Pace{{Gap: 5 * time.Minute}, {Gap: 20 * time.Minute}, {Gap: time.Hour, Times: 24}, {Gap: 2 * time.Hour}},
		Warn:  []time.Duration{4 * time.Hour, 2 * day}, Expire: 5 * day,
	}
}

func oursThenDestination() Scenario {
	return Scenario{Hops: []Hop{{Name: "ours", Schedule: ourSchedule()}, {Name: "destination"}}}
}

// What the simulator says of a hop of ours is what its notices and its fate line
// promise: custody's own forecast.
func TestAHopOfOursDoesWhatCustodyForecasts(t *testing.T) {
	s := oursThenDestination()
	s.Outages = []Outage{stops("ours", "destination", 0, Result{})}
	story := run(t, s)
	var got []custody.Moment
	for _, e := range story.Events {
		what := map[EventKind]custody.What{Attempts: custody.WillTry, Warns: custody.WillWarn, GivesUp: custody.WillEnd}[e.Kind]
		if what != 0 && e.Letter == 0 {
			got = append(got, custody.Moment{At: noon.Add(e.At), What: what})
		}
	}
	d := custody.NewDelivery(custody.Message{Accepted: noon, Envelope: mail.Envelope{From: mail.Address{Local: "a", Domain: "b"}}}, 1, "b.example", []mail.Recipient{{}})
	if diff := cmp.Diff(slices.Collect(custody.Forecast(d, *ourSchedule())), got); diff != "" {
		t.Error(diff)
	}
	kept := story.Tenures[0].Ours
	if kept == nil || len(kept.Entries) != len(got)-1 || kept.Delivery.Rcpts[0].State != custody.Expired {
		t.Errorf("what is kept of the delivery: %+v", kept)
	}
}

func TestALetterOfOursHasAllThatItsWriterNeeds(t *testing.T) {
	s := oursThenDestination()
	s.Outages = []Outage{stops("ours", "destination", 0, says(451, "later"))}
	s.Words = func(l Letter) string {
		last := l.Ours.Entries[len(l.Ours.Entries)-1]
		if last.At != noon.Add(l.Written.At) || l.Ours.Tell.Kind != l.Kind || len(l.Ours.Tell.Rcpts) != 1 || l.Ours.Schedule.Rule == "" {
			t.Errorf("letter %s: %+v", l.Kind, l.Ours)
		}
		return l.Kind.String() + ": " + l.Ours.Delivery.Rcpts[0].Last.Reply.Line()
	}
	story := run(t, s)
	var words []string
	for _, l := range story.Letters {
		words = append(words, l.Words)
	}
	if diff := cmp.Diff([]string{"delayed: 451 later", "delayed: 451 later", "failed: 451 later"}, words); diff != "" {
		t.Error(diff)
	}
}

func TestABackupMXPutsItsOwnClockInPlaceAndHandsToThePreferredHost(t *testing.T) {
	s := exchangeAndFilter(
		Hop{Name: "backup", Schedule: ourSchedule(), Backup: "destination", Preference: 20},
		Hop{Name: "last resort", System: "postfix", Backup: "destination", Preference: 30})
	s.Outages = []Outage{stops("", "destination", time.Hour, Result{}), stops("filter", "backup", 0, Result{What: Timeout})}
	is(t, s,
		"0s: exchange accept",
		"0s: filter accept from exchange, 1",
		"30s: last resort accept from filter, 1",
		"30s: backup accept from last resort, 1",
		"1h 25m 30s: destination accept from backup, 4",
		"1h 25m 30s: destination delivered")
}

func TestAnEqualOfAHopHandsOnAsTheOtherDoes(t *testing.T) {
	s := Scenario{Hops: []Hop{{Name: "out", System: "postfix"}, {Name: "mx1", System: "exim"},
		{Name: "mx2", System: "exim", Backup: "mx1", Equal: true}, {Name: "mailbox"}}}
	s.Outages = []Outage{stops("", "mx1", 0, Result{})}
	is(t, s,
		"0s: out accept",
		"0s: mx2 accept from out, 1",
		"0s: mailbox accept from mx2, 1",
		"0s: mailbox delivered")
}

func TestABounceIsAMessageAndGetsLostInSilence(t *testing.T) {
	s := exchangeAndFilter()
	s.Outages = []Outage{stops("filter", "destination", 0, says(550, "no relaying")), stops("filter", "exchange", 0, Result{})}
	story := is(t, s,
		"0s: exchange accept",
		"0s: filter accept from exchange, 1",
		"0s: filter refused, 1")
	if sum := story.Summary; sum.Outcome != WasLost || sum.FirstTold != nil || sum.SilentUntil != Unknown || !strings.Contains(story.Letters[0].Lost, "filter") {
		t.Errorf("%+v %+v", sum, story.Letters)
	}
	last := story.Events[len(story.Events)-1]
	if last.Kind != "letter_give_up" || last.Hop != "filter" || last.At != 6*day+3*time.Minute {
		t.Errorf("the bounce ends by %+v", last)
	}
	s.Back.Direct = true
	s.Outages[1].When.End = time.Hour
	if sum := run(t, s).Summary; sum.Outcome != WasBounced || sum.LastTold.At != time.Hour+3*time.Minute {
		t.Errorf("with a way back after an hour: %+v", sum)
	}
	s.Back = Return{Hops: []Hop{{Name: "inbound", System: "postfix", Delay: time.Minute}, {Name: "mailbox"}}}
	s.Outages[1] = stops("filter", "inbound", 2*time.Hour, Result{})
	if sum := run(t, s).Summary; sum.LastTold.At != 2*time.Hour+4*time.Minute {
		t.Errorf("by a chain of its own: %+v", sum.LastTold)
	}
}

func TestNobodyIsToldWhatNobodyWantsToKnow(t *testing.T) {
	for name, c := range map[string]struct {
		notify      mail.Notify
		null        bool
		outcome     Outcome
		first, last time.Duration
	}{
		"nothing asked": {0, false, WasBounced, 4 * time.Hour, 2 * day},
		"NEVER":         {mail.NotifyNever, false, WasLost, 0, 0},
		"FAILURE":       {mail.NotifyFailure, false, WasBounced, 2 * day, 2 * day},
		"DELAY":         {mail.NotifyDelay, false, WasLost, 4 * time.Hour, 4 * time.Hour},
		"null path":     {0, true, WasLost, 0, 0},
	} {
		s := exchangeAndFilter()
		s.Message = Message{Notify: c.notify, Null: c.null}
		s.Outages = []Outage{stops("exchange", "filter", 0, Result{})}
		sum := run(t, s).Summary
		if sum.Outcome != c.outcome || (sum.FirstTold == nil) != (c.first == 0) {
			t.Errorf("%s: %+v", name, sum)
		} else if sum.FirstTold != nil && (sum.FirstTold.At != c.first || sum.LastTold.At != c.last) {
			t.Errorf("%s: told at %v and %v", name, sum.FirstTold.At, sum.LastTold.At)
		}
	}
}

func TestDeliverByIsKeptByWhoKnowsIt(t *testing.T) {
	s := oursThenDestination()
	s.Outages = []Outage{stops("ours", "destination", 0, Result{})}
	s.Message.By = mail.DeliverBy{Within: 90 * time.Minute, Return: true}
	story := is(t, s, "0s: ours accept", "1h 30m: ours give_up, 5")
	if !strings.Contains(story.Summary.Clock, "DELIVERBY") {
		t.Error(story.Summary.Clock)
	}
	s.Message.By = mail.DeliverBy{Within: 90 * time.Minute, Notify: true}
	if sum := run(t, s).Summary; sum.FirstTold.At != 90*time.Minute || sum.Ended.At != 5*day {
		t.Errorf("mode N: %+v", sum)
	}
	s.Hops[0] = Hop{Name: "ours", System: "sendmail-debian"}
	s.Message.By = mail.DeliverBy{Within: 90 * time.Minute, Return: true}
	if sum := run(t, s).Summary; sum.Ended.At < 90*time.Minute || sum.Ended.At > 2*time.Hour {
		t.Errorf("sendmail: %+v", sum.Ended)
	}
	s.Hops[0] = Hop{Name: "ours", System: "exchange-2007"}
	if sum := run(t, s).Summary; sum.Ended.At != 2*day {
		t.Errorf("Exchange knows nothing of it: %+v", sum.Ended)
	}
	s.Hops = []Hop{{Name: "ours", Schedule: ourSchedule()}, {Name: "filter", System: "ironport-asyncos"}, {Name: "destination"}}
	s.Outages = nil
	if sum := run(t, s).Summary; sum.By != "ours" || sum.Ended.At != 0 || !strings.Contains(sum.Clock, "refusal") {
		t.Errorf("to a host that knows nothing of it: %+v", sum)
	}
}

func TestTheClockStartsWithTheRelease(t *testing.T) {
	s := exchangeAndFilter()
	s.Message.Release = 10 * time.Hour
	s.Outages = []Outage{stops("exchange", "filter", 0, Result{})}
	story := is(t, s, "0s: exchange accept", "10h: exchange release", "14h: exchange warn", "2d 10h: exchange give_up, 295")
	if held := story.Summary.Held["exchange"]; held != 58*time.Hour {
		t.Errorf("held %v", held)
	}
}

// Exim remembers a dead host for all mail: a message may come back at once, for the
// time that others have waited.
func TestEximGivesUpOnTheStrengthOfEarlierMail(t *testing.T) {
	s := Scenario{Hops: []Hop{{Name: "exim", System: "exim"}, {Name: "destination"}}}
	s.Outages = []Outage{{To: "destination", When: Window{Start: -5 * day}}}
	untried := is(t, s, "0s: exim accept", "0s: exim give_up")
	if words := untried.Events[1].Words; !strings.Contains(words, "not tried") {
		t.Error(words)
	}
	s.Outages[0].When.Start = -2 * day
	if sum := run(t, s).Summary; sum.Ended.At > 2*day+6*time.Hour {
		t.Errorf("after two days of failures: %v", sum.Ended.At)
	}
	s.Hops = []Hop{{Name: "first", System: "postfix"}, {Name: "exim", System: "exim"}, {Name: "destination"}}
	s.Outages = []Outage{stops("first", "exim", 3*day, Result{}), stops("exim", "destination", 0, Result{})}
	alone := run(t, s)
	s.Hops[1].Busy = true
	busy := run(t, s)
	if a, b := alone.Summary.Held["exim"], busy.Summary.Held["exim"]; a < 4*day || b > 2*day {
		t.Errorf("alone %v, with other mail %v", a, b)
	}
}

// A 5yz instead of a greeting is kept by some, and the sender learns in days what
// was said in the first second.
func TestARefusalInPlaceOfAGreetingIsKeptByExchange(t *testing.T) {
	r := says(554, "listed")
	r.Stage = mail.Greeting
	for _, c := range []struct {
		hop  Hop
		want time.Duration
	}{
		{Hop{Name: "out", System: "exchange-2007"}, 2 * day},
		{Hop{Name: "out", System: "postfix"}, 5*day + 20*time.Minute},
		{Hop{Name: "out", System: "qmail"}, 0},
		{Hop{Name: "out", Schedule: ourSchedule()}, 0},
	} {
		s := Scenario{Hops: []Hop{c.hop, {Name: "destination"}}, Outages: []Outage{stops("", "destination", 0, r)}}
		if sum := run(t, s).Summary; sum.Ended.At != c.want {
			t.Errorf("%s: ended at %v, want %v", c.hop.System, sum.Ended.At, c.want)
		}
	}
}

func TestALargeMessageMeetsALimitThatASmallOneDoesNot(t *testing.T) {
	s := exchangeAndFilter()
	s.Outages = []Outage{stops("filter", "destination", 0, Result{What: TooBig, Limit: 1 << 20})}
	s.Message.Size = 1 << 20
	if sum := run(t, s).Summary; sum.Outcome != WasDelivered {
		t.Errorf("%+v", sum)
	}
	s.Message.Size++
	if sum := run(t, s).Summary; sum.Outcome != WasBounced || sum.Ended.At != 0 {
		t.Errorf("%+v", sum)
	}
}

// A sender with many addresses is a new stranger with each, unless the greylist
// takes neighbours for one.
func TestAPoolOfAddressesIsAStrangerManyTimes(t *testing.T) {
	s := Scenario{Hops: []Hop{{Name: "out", System: "haraka"}, {Name: "destination"}}}
	grey := Result{What: Greylists, Delay: 5 * time.Minute}
	s.Outages = []Outage{stops("", "destination", 0, grey)}
	attempts := func(addresses int, network bool) int {
		s.Hops[0].Addresses, s.Outages[0].Result.Network = addresses, network
		return run(t, s).Summary.Attempts["out"]
	}
	if one, pool, near := attempts(1, false), attempts(6, false), attempts(6, true); one != 4 || pool != 7 || near != 4 {
		t.Errorf("one address: %d attempts, six: %d, six neighbours: %d", one, pool, near)
	}
	s.Outages[0].Result.Life = 10 * time.Minute
	if n := attempts(6, false); n != 13 {
		t.Errorf("forgotten before each comes again: %d attempts", n)
	}
}

func TestTheStoryIsWrittenInTheWordsOfTheContract(t *testing.T) {
	s := exchangeAndFilter()
	s.Outages = []Outage{stops("exchange", "filter", 0, Result{})}
	b, err := json.Marshal(run(t, s))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Events []struct {
			T     *float64 `json:"t_s"`
			Hop   string   `json:"hop"`
			Event string   `json:"event"`
		} `json:"events"`
		Summary struct {
			Outcome     string             `json:"outcome"`
			By          string             `json:"by"`
			First       *float64           `json:"first_told_s"`
			Last        *float64           `json:"last_told_s"`
			Held        map[string]float64 `json:"held_s"`
			SilentUntil *float64           `json:"silent_until_s"`
		} `json:"summary"`
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	sum := got.Summary
	if sum.Outcome != "bounced" || sum.By != "exchange" || *sum.First != 14400 || *sum.Last != 172800 || sum.Held["exchange"] != 172800 || *sum.SilentUntil != 172800 {
		t.Errorf("%s", b[len(b)-1500:])
	}
	known := []string{"accept", "attempt", "warn", "told", "give_up"}
	for _, e := range got.Events {
		if e.T == nil || e.Hop != "exchange" || !slices.Contains(known, e.Event) {
			t.Errorf("%+v", e)
		}
	}
	s.Outages = nil
	b, _ = json.Marshal(run(t, s))
	if !strings.Contains(string(b), `"first_told_s":null,"last_told_s":null`) {
		t.Errorf("%s", b)
	}
}

func TestEqualAttemptsAreToldAsOne(t *testing.T) {
	s := exchangeAndFilter()
	s.Outages = []Outage{stops("filter", "destination", 0, Result{})}
	var b strings.Builder
	if err := run(t, s).WriteText(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n > 30 || !strings.Contains(b.String(), "… 148 more, the last is attempt 149") {
		t.Errorf("%d lines:\n%s", n, b.String())
	}
}

// What one letter may be tried for, thirty thousand may not.
func TestNoScenarioFillsMemoryWithItsLetters(t *testing.T) {
	story := func(letters int) (Story, error) {
		s := Scenario{
			Hops: []Hop{
				{Name: "us", System: "postfix"},
				{Name: "relay", System: "postfix", Set: Settings{Expire: 10 * time.Hour, Retry: []custody.Pace{{Gap: time.Hour}}}},
				{Name: "them"},
			},
			Back: Return{Hops: []Hop{
				{Name: "back", System: "postfix", Set: Settings{Expire: 2 * time.Hour, Retry: []custody.Pace{{Gap: time.Second}}}},
				{Name: "home"},
			}},
			Outages: []Outage{{From: "relay", To: "them"}, {From: "back", To: "home"}},
		}
		for i := range letters {
			s.Hops[1].Set.Warn = append(s.Hops[1].Set.Warn, time.Duration(i+1)*time.Second)
		}
		return Run(s)
	}
	if st, err := story(5); err != nil || len(st.Letters) != 6 { // with the report
		t.Errorf("five notices of delay: %d letters, %v", len(st.Letters), err)
	}
	if st, err := story(30_000); err == nil || !strings.Contains(err.Error(), "more than 100000 attempts") {
		t.Errorf("of thirty thousand: %d letters with %d events, %v", len(st.Letters), len(st.Events), err)
	}
}

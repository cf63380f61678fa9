package chain

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/system"
)

func TestAScenarioThatMakesNoSenseIsToldWhereAndWhy(t *testing.T) {
	for _, c := range []struct {
		spoil func(*Scenario)
		line  int
		want  string
	}{
		{func(s *Scenario) { s.Hops[1].System = "ironprot-asyncos" }, 2, `hop "filter" (line 2): there is no system "ironprot-asyncos"; did you mean "ironport-asyncos"?`},
		{func(s *Scenario) { s.Hops[1].System = "postrider" }, 2, "needs a schedule"},
		{func(s *Scenario) { s.Hops[1].System = "halon"; s.Hops[1].Set = Settings{} }, 2, "nobody knows how long Halon"},
		{func(s *Scenario) { s.Hops[1].Name = "exchange" }, 2, `hop "exchange" (line 2): another hop has this name`},
		{func(s *Scenario) { s.Hops[1].Name = "" }, 2, "needs a name"},
		{func(s *Scenario) { s.Hops[1].Name = "a\nb" }, 2, "control character"},
		{func(s *Scenario) { s.Hops[0].System = "" }, 1, "only the last hop may be bare"},
		{func(s *Scenario) { s.Hops = s.Hops[:1] }, 0, "2 to 64 hops, this one 1"},
		{func(s *Scenario) { s.Hops = append(make([]Hop, 64), s.Hops...) }, 0, "this one 67"},
		{func(s *Scenario) { s.Hops[0].Delay = -time.Second }, 1, "delay"},
		{func(s *Scenario) { s.Hops[0].Delay = 11 * 365 * day }, 1, "delay"},
		{func(s *Scenario) { s.Hops[1].Set.Expire = 20 * 365 * day }, 2, "expire: 7300d is not between 0 and 3650d"},
		{func(s *Scenario) { s.Hops[1].Set.Expire = -day }, 2, "expire: -1d"},
		{func(s *Scenario) { s.Hops[1].Set.Retry = []custody.Pace{{Gap: time.Millisecond}} }, 2, "shorter than 1s"},
		{func(s *Scenario) { s.Hops[1].Set.Warn = []time.Duration{time.Hour, time.Hour} }, 2, "does not come after"},
		{func(s *Scenario) { s.Hops[1].Schedule = ourSchedule() }, 2, "both a system and a schedule"},
		{func(s *Scenario) { s.Hops[0] = Hop{Name: "ours", Schedule: &custody.Schedule{}, Line: 1} }, 1, "schedule: retry: needs at least one gap"},
		{func(s *Scenario) { s.Hops[1].Backup = "exchange" }, 2, "the first hop is the sender's own"},
		{func(s *Scenario) { s.Hops[2].Backup = "fliter" }, 3, `did you mean "filter"?`},
		{func(s *Scenario) { s.Hops[2].Backup = "filter" }, 3, "a backup MX hands mail on"},
		{func(s *Scenario) { s.Outages[0].From = "exchange" }, 9, `outage 1 (line 9): "exchange" hands nothing to "destination": an outage lies between neighbours`},
		{func(s *Scenario) { s.Outages[0].To = "destinatoin" }, 9, `there is no hop "destinatoin"; did you mean "destination"?`},
		{func(s *Scenario) { s.Outages[0].From = "filer" }, 9, `did you mean "filter"?`},
		{func(s *Scenario) { s.Outages[0].To = "" }, 9, `there is no hop ""`},
		{func(s *Scenario) { s.Outages[0].When = Window{Start: 3 * day, End: day} }, 9, "not after its start"},
		{func(s *Scenario) { s.Outages[0].When.Start = 11 * 365 * day }, 9, "not within 3650d"},
		{func(s *Scenario) { s.Outages[0].When.Calendar.Every = Weekly }, 9, "nothing says when the message comes"},
		{func(s *Scenario) { s.Outages[0].Result = Result{What: Says, Reply: mail.Reply{Code: 250}} }, 9, "neither defers nor refuses"},
		{func(s *Scenario) { s.Outages[0].Result = Result{What: Says, Stage: mail.Connect} }, 9, "no host says anything"},
		{func(s *Scenario) { s.Outages[0].Result = Result{What: Greylists} }, 9, "a greylist that asks for 0s"},
		{func(s *Scenario) { s.Outages[0].Result = Result{What: Greylists, Delay: time.Hour, Life: time.Minute} }, 9, "forgets"},
		{func(s *Scenario) { s.Outages[0].Result = Result{What: Timeout, Took: 2 * time.Hour} }, 9, "takes 2h"},
		{func(s *Scenario) { s.Outages[0].Result = Result{What: 99} }, 9, "not known"},
		{func(s *Scenario) { s.Outages = make([]Outage, 2000) }, 0, "2000 are more than 1000"},
		{func(s *Scenario) { s.Message.Size = -1 }, 0, "message: a size of -1"},
		{func(s *Scenario) { s.Message.Notify = mail.NotifyNever | mail.NotifyDelay }, 0, "NEVER stands alone"},
		{func(s *Scenario) { s.Message.Release = -1 }, 0, "release"},
		{func(s *Scenario) { s.Message.By.Return = true }, 0, "mode R"},
		{func(s *Scenario) { s.Back.Hops = []Hop{{Name: "exchange"}} }, 0, "another hop has this name"},
	} {
		s := exchangeAndFilter()
		for i := range s.Hops {
			s.Hops[i].Line = i + 1
		}
		s.Outages = []Outage{{From: "filter", To: "destination", Line: 9}}
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		c.spoil(&s)
		err := s.Check()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
			continue
		}
		var f *Flaw
		if !errors.As(err, &f) || f.Line != c.line {
			t.Errorf("%v: line %d, want %d", err, f.Line, c.line)
		}
		if _, other := Run(s); other == nil || other.Error() != err.Error() {
			t.Errorf("Run: %v, want %v", other, err)
		}
	}
}

func TestTriesWithoutEndAreRefusedAndHangNobody(t *testing.T) {
	second := []custody.Pace{{Gap: time.Second}}
	for name, h := range map[string]Hop{
		"ours":   {Name: "it", Schedule: &custody.Schedule{Retry: second, Expire: MaxTime}, Line: 4},
		"theirs": {Name: "it", Set: Settings{Expire: MaxTime, Retry: second}, Line: 4},
		"still":  {Name: "it", Policy: &system.Policy{Lifetime: day, Retry: system.Fixed{Every: 1}}, Line: 4},
	} {
		s := Scenario{Hops: []Hop{h, {Name: "destination"}}, Outages: []Outage{stops("it", "destination", 0, Result{})}}
		began := time.Now()
		for _, f := range []func() error{
			func() error { _, err := Run(s); return err },
			func() error { _, err := Sample(s, 1); return err },
			func() error { _, err := Distribution(s, 1, 10); return err },
		} {
			if err := f(); err == nil || !strings.Contains(err.Error(), `it`) || !strings.Contains(err.Error(), "more than 50000 attempts (line 4)") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: it took %v to say so", name, took)
		}
		s.Outages = nil // and a message that is taken at once needs no tries
		if _, err := Run(s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

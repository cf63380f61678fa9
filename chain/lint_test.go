package chain

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/system"
)

var updateFindings = flag.Bool("update-findings", false, "write the findings of testdata anew")

// codes are the findings by name, a mark before each for its severity.
func codes(found []Finding) string {
	var said []string
	for _, f := range found {
		said = append(said, map[Severity]string{Wrong: "!", Warning: "+", Note: "-"}[f.Severity]+f.Code)
	}
	return strings.Join(said, " ")
}

func TestAGoodScheduleHasNoTraps(t *testing.T) {
	standard, notice := shipped(t)
	for _, s := range []custody.Schedule{standard, notice} {
		if got := codes(Lint(OfSchedule(s))); got != "-weekend" {
			t.Errorf("%s: %s", s.Name, got)
		}
	}
}

// traps are changes of the good schedule and what is found in them.
var traps = []struct{ name, lines, want string }{
	{"nothing", "", "-weekend"},
	{"four days are enough", `expire = "4d"`, "-weekend"},
	{"just not four days", `expire = "95h"`, "+gives-up-early -weekend"},
	{"two days lose a weekend", "expire = \"2d\"\nwarn = [\"4h\"]", "+gives-up-early +weekend"},
	{"less than its first gap", "expire = \"3m\"\nwarn = []", "+gives-up-early +weekend +late-after-greylist -never-reached"},
	{"no warning", `warn = []`, "+no-warning -weekend"},
	{"a warning after the end", `warn = ["4h", "6d"]`, "!warning-never -weekend"},
	{"a warning at the end", `warn = ["4h", "5d"]`, "!warning-never -weekend"},
	{"a warning just before the end", `warn = ["4h", "119h"]`, "-weekend"},
	{"warnings out of order", `warn = ["2d", "4h"]`, "!warning-never -weekend"},
	{"a late warning", `warn = ["25h"]`, "-weekend -warns-late"},
	{"a warning within a day", `warn = ["24h"]`, "-weekend"},
	{"a long gap", `retry = ["5m", "1h", "2d"]`, "+long-gap -weekend"},
	{"doubling for ever", `retry = ["20m x2 to 10d"]`, "+long-gap -weekend"},
	{"six hours at last", `retry = ["5m", "1h for 1d", "6h"]`, "-weekend"},
	{"four hours of twelve", "retry = [\"5m\", \"1h\", \"4h\"]\nexpire = \"12h\"\nwarn = [\"2h\"]", "+gives-up-early +weekend +long-gap"},
	{"three hours of nine", "retry = [\"5m\", \"1h\", \"3h\"]\nexpire = \"9h\"\nwarn = [\"2h\"]", "+gives-up-early +weekend"},
	{"too long for whom is away", `unreachable = ["5m", "1h", "2d"]`, "+long-gap -weekend"},
	{"never for whom is away", `unreachable = ["5m", "1h for 6d", "2h"]`, "-weekend -never-reached"},
	{"too long for whom defers", `deferred = ["5m", "1h", "2d"]`, "+long-gap -weekend"},
	{"one minute for ever", `retry = ["1m"]`, "+too-often -weekend"},
	{"five minutes for whom greylists", `greylisted = ["5m"]`, "+too-often -weekend"},
	{"half an hour for ever", `retry = ["30m"]`, "-weekend"},
	{"29 minutes for ever", `retry = ["29m"]`, "+too-often -weekend"},
	{"no jitter", `jitter = 0.0`, "-weekend -no-jitter"},
	{"a first gap of three hours", `retry = ["3h"]`, "+late-after-greylist -weekend"},
	{"a first gap of an hour", `retry = ["1h"]`, "-weekend"},
	{"just under a minute", `retry = ["50s", "10m", "1h"]`, "-weekend -retry-too-soon"},
	{"soon, then late", `retry = ["2m", "3h"]`, "+late-after-greylist -weekend"},
	{"the first gap is too long for any greylist", `greylisted = ["30h"]`, "!never-passes-greylist +long-gap -weekend"},
	{"a gap that never comes", `retry = ["5m", "1h for 6d", "3h"]`, "-weekend -never-reached"},
	{"the same gap twice", `retry = ["5m", "1h", "1h"]`, "-weekend"},
	{"a number of times that does not count", `retry = ["5m", "20m", "1h 10 times"]`, "-weekend -last-gap-repeats"},
	{"no sense", `expire = "0s"`, "!makes-no-sense"},
}

func TestEachTrapIsFoundAndOnlyThere(t *testing.T) {
	standard, _ := shipped(t)
	for _, tt := range traps {
		t.Run(tt.name, func(t *testing.T) {
			s := parseSchedule(t, tt.lines, standard)
			if got := codes(Lint(OfSchedule(s))); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestWhatIsProposedMendsASchedule(t *testing.T) {
	standard, _ := shipped(t)
	mended := 0
	for _, tt := range traps {
		s := parseSchedule(t, tt.lines, standard)
		for _, f := range Lint(OfSchedule(s)) {
			if f.Instead == "" {
				continue
			}
			mended++
			again := Lint(OfSchedule(parseSchedule(t, f.Instead, s)))
			if slices.ContainsFunc(again, func(g Finding) bool { return g.Code == f.Code && g.Severity == f.Severity && g.What == f.What }) {
				t.Errorf("%s: %s is still there with %s", tt.name, f.Code, f.Instead)
			}
		}
	}
	if mended < 20 {
		t.Errorf("only %d proposals", mended)
	}
}

func TestALongLifeForNoticesIsFound(t *testing.T) {
	_, notice := shipped(t)
	notice.Expire = 5 * 24 * time.Hour
	found := Lint(OfSchedule(notice))
	if got := codes(found); got != "-weekend -bounces-kept-long" {
		t.Error(got)
	}
	if f := found[1]; f.Instead != `expire = "2d"` || f.Why == "" {
		t.Errorf("%+v", f)
	}
}

// one is a system that keeps mail for 5 days and does everything well.
func one(change func(*system.System)) system.System {
	s := system.System{
		ID: "one", Name: "One", Confidence: system.High, Sources: []string{"a page"},
		Policy: system.Policy{
			Lifetime: 5 * 24 * time.Hour, Expiry: system.AfterFailure, Notices: 24 * time.Hour,
			Retry: system.Jittered{Retry: system.List{Gaps: []time.Duration{10 * time.Minute}, Then: time.Hour}, Late: time.Minute},
			Warn:  system.Warnings{Known: true, On: true, At: []time.Duration{4 * time.Hour}},
		},
	}
	change(&s)
	return s
}

func TestTrapsOfOtherSystemsAreFound(t *testing.T) {
	hours := func(hs ...float64) system.List {
		var l system.List
		for _, h := range hs {
			l.Gaps = append(l.Gaps, time.Duration(h*float64(time.Hour)))
		}
		return l
	}
	for _, tt := range []struct {
		name   string
		change func(*system.System)
		want   string
	}{
		{"a good one", func(*system.System) {}, "-weekend"},
		{"counted", func(s *system.System) { s.Policy.Lifetime, s.Policy.Limit, s.Policy.Expiry = 0, 3, system.ByCount },
			"!warning-never +gives-up-early +weekend -counted"},
		{"a count that comes before the lifetime", func(s *system.System) { s.Policy.Limit = 50 },
			"!ends-before-lifetime +gives-up-early +weekend -counted"},
		{"a count of answers, and nobody answers", func(s *system.System) { s.Policy.Limit, s.Policy.Conversations = 50, true },
			"!ends-before-lifetime +gives-up-early -counted -weekend"},
		{"the next one is too late", func(s *system.System) {
			s.Policy.Expiry = system.NextTooLate
			s.Policy.Retry = system.Jittered{Retry: system.Geometric{First: 10 * time.Minute, Factor: 2}, Late: time.Minute}
		}, "!ends-before-lifetime +gives-up-early +long-gap -weekend"},
		{"a timer after the last attempt", func(s *system.System) {
			s.Policy.Expiry = system.ByTimer
			s.Policy.Retry = hours(.2, 1, 2, 2, 2)
		}, "+weekend +silent-end -no-jitter"},
		{"an hour and a half of silence", func(s *system.System) {
			s.Policy.Expiry, s.Policy.Retry = system.ByTimer, system.Jittered{Retry: system.List{Gaps: []time.Duration{10 * time.Minute}, Then: 100 * time.Minute}, Late: time.Minute}
		}, "-weekend -silent-end"},
		{"not after a limit of unknown kind", func(s *system.System) {
			s.Policy.Expiry = system.ExpiryUnknown
			s.Policy.Retry = hours(.2, 1, 2, 2, 2)
		}, "+weekend -no-jitter -not-known"},
		{"the host's clock", func(s *system.System) { s.Policy.Clock = system.FromFailure }, "+host-clock -weekend"},
		{"the host's clock runs out on Sunday", func(s *system.System) {
			s.Policy.Clock, s.Policy.Lifetime = system.FromFailure, 2*24*time.Hour
		}, "+gives-up-early +host-clock +weekend"},
		{"a warning that needs a reply", func(s *system.System) { s.Policy.Warn.NeedsReply = true }, "+warning-needs-reply -weekend"},
		{"a warning with an attempt that is not made", func(s *system.System) { s.Policy.Warn = system.Warnings{Known: true, On: true, Try: 500} },
			"!warning-never -weekend"},
		{"a warning with the third attempt", func(s *system.System) { s.Policy.Warn = system.Warnings{Known: true, On: true, Try: 3} }, "-weekend"},
		{"no warning", func(s *system.System) { s.Policy.Warn = system.Warnings{Known: true} }, "+no-warning -weekend"},
		{"nobody knows whether it warns", func(s *system.System) { s.Policy.Warn = system.Warnings{} }, "-weekend -not-known"},
		{"it tells nobody", func(s *system.System) { s.Policy.Silent = true }, "!tells-nobody -weekend"},
		{"no jitter", func(s *system.System) {
			s.Policy.Retry = system.List{Gaps: []time.Duration{10 * time.Minute}, Then: time.Hour}
		}, "-weekend -no-jitter"},
		{"no jitter, from memory", func(s *system.System) {
			s.Policy.Retry, s.Confidence = system.List{Gaps: []time.Duration{10 * time.Minute}, Then: time.Hour}, system.Memory
		}, "-weekend"},
		{"bounces for ever", func(s *system.System) { s.Policy.Notices = 30 * 24 * time.Hour }, "-weekend -bounces-kept-long"},
		{"another pace for 4yz", func(s *system.System) { s.Policy.Deferred = system.Fixed{Every: 6 * time.Hour} }, "+late-after-greylist -weekend"},
		{"gaps that grow nobody knows how", func(s *system.System) { s.Policy.Retry = system.Growing{Known: []time.Duration{10 * time.Minute}} }, "-weekend"},
		{"what a log shows is no rule", func(s *system.System) { s.Policy.Retry = system.Observed{0, 6 * time.Hour, 9 * time.Hour} }, "-weekend"},
		{"only a lifetime", func(s *system.System) { s.Policy.Retry = nil }, "-weekend -not-known"},
		{"only a short lifetime", func(s *system.System) { s.Policy.Retry, s.Policy.Lifetime = nil, 24*time.Hour }, "+gives-up-early +weekend -not-known"},
		{"nothing", func(s *system.System) { s.Policy = system.Policy{} }, "-not-known"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := codes(Lint(OfSystem(one(tt.change)))); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestKnownTrapsOfKnownSystemsAreFoundWithTheirNumbers(t *testing.T) {
	for _, tt := range []struct{ id, code, what string }{
		{"kumomta", "ends-before-lifetime", "set to keep mail for 7d and gives it up after 3d13h"},
		{"stalwart", "silent-end", "for the last 1d19h nothing is tried"},
		{"stalwart", "warning-never", "the notice of delay after 3d is never sent"},
		{"mox", "gives-up-early", "after 15h52m"},
		{"mox", "remark", "28h"},
		{"ironport-asyncos", "counted", "attempt number 101 ends it"},
		{"exchange-2007", "weekend", "from Friday 18:00 to Saturday 09:06, 15h6m of mail"},
		{"postfix", "no-warning", "hears nothing for 5d"},
		{"exim", "host-clock", "within seconds"},
		{"censornet", "tells-nobody", "nobody is told"},
		{"james", "late-after-greylist", "waits for 6h"},
	} {
		s, ok := system.Find(tt.id)
		if !ok {
			t.Fatalf("no system %s", tt.id)
		}
		found := Lint(OfSystem(s))
		i := slices.IndexFunc(found, func(f Finding) bool { return f.Code == tt.code })
		if i < 0 || !strings.Contains(found[i].What, tt.what) {
			t.Errorf("%s: no %s with %q in %s", tt.id, tt.code, tt.what, codes(found))
		}
	}
}

func TestEveryKnownSystemIsLookedAtAndNothingIsGuessed(t *testing.T) {
	for _, s := range system.All() {
		found := Lint(OfSystem(s))
		unknown := ""
		for _, f := range found {
			if f.Code == "not-known" {
				unknown = f.What
			}
			if f.What == "" || f.How == "" || f.Source == "" {
				t.Errorf("%s: %+v", s.ID, f)
			}
		}
		if p := s.Policy; p.Lifetime == 0 && p.Limit == 0 {
			if !strings.Contains(unknown, "how long it keeps mail") {
				t.Errorf("%s: its unknown lifetime is not said to be unknown: %q", s.ID, unknown)
			}
			if slices.ContainsFunc(found, func(f Finding) bool { return f.Code == "gives-up-early" || f.Code == "ends-before-lifetime" }) {
				t.Errorf("%s: %s, of a lifetime nobody knows", s.ID, codes(found))
			}
		}
		if s.Confidence == system.Memory && !strings.Contains(found[0].Source, "remembered, not verified") {
			t.Errorf("%s: what is remembered is said to be known: %s", s.ID, found[0].Source)
		}
	}
}

// What is only read of a system must not be passed off as seen.
func TestTheSourceSaysWhatWasSeenAndWhatWasRead(t *testing.T) {
	s := one(func(s *system.System) { s.Sources = []string{"a page", "a mail (2 d, measured)"} })
	if got, want := believed(s), "seen on real mail: a mail (2 d, measured); read in its source or documentation, not observed: a page"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The weekend's toll is that of every single message, each followed on its own.
func TestTheTollIsThatOfEachMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		minutes := rapid.IntRange(1, 3000)
		s := custody.Schedule{Expire: time.Duration(minutes.Draw(t, "expire")) * time.Minute}
		for range rapid.IntRange(1, 4).Draw(t, "paces") {
			s.Retry = append(s.Retry, custody.Pace{Gap: time.Duration(minutes.Draw(t, "gap")) * time.Minute, Times: rapid.IntRange(0, 5).Draw(t, "times")})
		}
		outage := time.Duration(minutes.Draw(t, "outage")) * time.Minute
		c := scheduleStay(s, custody.Unreachable)
		lost := tollOf(c, system.FromAcceptance, outage).lost
		for sent := time.Duration(0); sent < outage; sent += time.Minute {
			delivered := slices.ContainsFunc(c.tries, func(age time.Duration) bool { return sent+age >= outage })
			if delivered != (sent >= lost) {
				t.Fatalf("a message of %s: delivered %v, lost until %s; tries %v", sent, delivered, lost, c.tries)
			}
		}
	})
}

func TestNoScheduleTakesLongToLookAt(t *testing.T) {
	standard, _ := shipped(t)
	for _, lines := range []string{
		`retry = ["1s"]` + "\n" + `expire = "5200w"`,
		`retry = ["1s 1000000 times", "2s"]` + "\n" + `greylisted = ["1s"]` + "\n" + `expire = "5200w"`,
		`retry = ["1s x1.0001 to 5200w"]` + "\n" + `expire = "5200w"`,
	} {
		began := time.Now()
		found := Lint(OfSchedule(parseSchedule(t, lines, standard)))
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %s", lines, took)
		}
		if got := codes(found); !strings.Contains(got, "too-often") || strings.Contains(got, "long-gap") {
			t.Errorf("%s: %s", lines, got)
		}
	}
	if !strings.Contains(codes(Lint(OfSchedule(custody.Schedule{Jitter: math.NaN(), Expire: time.Hour, Retry: []custody.Pace{{Gap: time.Hour}}}))), "!makes-no-sense") {
		t.Error("a jitter that is no number makes sense")
	}
}

func TestFindingsReadTheSame(t *testing.T) {
	standard, _ := shipped(t)
	hasty := parseSchedule(t, "retry = [\"20s\", \"5m\", \"20h\", \"1d\"]\ngreylisted = [\"1m 20 times\"]\nwarn = [\"4h\", \"3d\"]\nexpire = \"3d\"\njitter = 0.0", standard)
	hasty.Name, hasty.Rule = "hasty", "postrider.toml:12 schedule.hasty"
	mainCF, err := os.ReadFile("testdata/findings/main.cf")
	if err != nil {
		t.Fatal(err)
	}
	p, err := ReadPostfix("main.cf", mainCF)
	if err != nil {
		t.Fatal(err)
	}
	stalwart, _ := system.Find("stalwart")
	for name, s := range map[string]Subject{"schedule": OfSchedule(hasty), "main.cf": OfPostfix(p), "stalwart": OfSystem(stalwart)} {
		var b bytes.Buffer
		if err := WriteFindings(&b, s, Lint(s)); err != nil {
			t.Fatal(err)
		}
		sameAsFile(t, filepath.Join("testdata", "findings", name+".txt"), b.Bytes())
	}
}

// sameAsFile compares what is shown with what stands in testdata.
func sameAsFile(t *testing.T, file string, got []byte) {
	t.Helper()
	if *updateFindings {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got); write anew with -update-findings, then read it\n%s", file, d)
	}
}

func TestFindingsAreObjects(t *testing.T) {
	standard, _ := shipped(t)
	found := Lint(OfSchedule(parseSchedule(t, `warn = []`, standard)))
	text, err := json.Marshal(found[0])
	if err != nil {
		t.Fatal(err)
	}
	var back Finding
	if err := json.Unmarshal(text, &back); err != nil || back != found[0] {
		t.Errorf("%v: %s", err, text)
	}
	if !strings.HasPrefix(string(text), `{"code":"no-warning","severity":"warning","what":"the sender hears nothing for 5d`) {
		t.Error(string(text))
	}
}

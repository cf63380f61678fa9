package chain

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/system"
)

func TestMainCFIsReadAsPostfixReadsIt(t *testing.T) {
	const min, hour, day = time.Minute, time.Hour, 24 * time.Hour
	for _, tt := range []struct {
		name, text, key string
		time            time.Duration
		line            int
	}{
		{"nothing: as shipped", "", "maximal_queue_lifetime", 5 * day, 0},
		{"nothing: as shipped", "", "maximal_backoff_time", 4000 * time.Second, 0},
		{"nothing: as shipped", "", "delay_warning_time", 0, 0},
		{"days without a letter", "maximal_queue_lifetime = 3\n", "maximal_queue_lifetime", 3 * day, 1},
		{"seconds without a letter", "minimal_backoff_time=600", "minimal_backoff_time", 10 * min, 1},
		{"hours without a letter", "delay_warning_time = 4\n", "delay_warning_time", 4 * hour, 1},
		{"weeks", "maximal_queue_lifetime = 1w\n", "maximal_queue_lifetime", 7 * day, 1},
		{"minutes", "queue_run_delay = 2m\n", "queue_run_delay", 2 * min, 1},
		{"hours", "maximal_queue_lifetime = 36h\n", "maximal_queue_lifetime", 36 * hour, 1},
		{"the last value wins", "maximal_queue_lifetime = 3d\n\nmaximal_queue_lifetime = 1d\n", "maximal_queue_lifetime", day, 3},
		{"a comment", "#maximal_queue_lifetime = 3d\n  # maximal_queue_lifetime = 4d\n", "maximal_queue_lifetime", 5 * day, 0},
		{"a value on the next line", "maximal_queue_lifetime =\n\t2d\n", "maximal_queue_lifetime", 2 * day, 1},
		{"the name and the value on three lines, with comments between", "maximal_queue_lifetime\n# so long\n\n   =\n#\n  # too\n 2d\n", "maximal_queue_lifetime", 2 * day, 1},
		{"a list that goes on does not swallow what follows", "mynetworks = 127.0.0.0/8\n  192.0.2.0/24\nmaximal_queue_lifetime = 2d", "maximal_queue_lifetime", 2 * day, 3},
		{"what looks like a setting but continues another", "mynetworks = 127.0.0.0/8\n  maximal_queue_lifetime = 2d\n", "maximal_queue_lifetime", 5 * day, 0},
		{"lines of Windows", "mynetworks = 127.0.0.0/8\r\nmaximal_queue_lifetime = 2d\r\n", "maximal_queue_lifetime", 2 * day, 2},
		{"a reference", "bounce_queue_lifetime = $maximal_queue_lifetime\nmaximal_queue_lifetime = 2d\n", "bounce_queue_lifetime", 2 * day, 1},
		{"a reference to what is shipped", "bounce_queue_lifetime = ${maximal_queue_lifetime}\n", "bounce_queue_lifetime", 5 * day, 1},
		{"the old form of a reference", "bounce_queue_lifetime = $(life)\nlife = 4d", "bounce_queue_lifetime", 4 * day, 1},
		{"a reference through a reference", "a = $b\nb = ${c}d\nc = 4\nmaximal_queue_lifetime = $a", "maximal_queue_lifetime", 4 * day, 4},
		{"a number here, its unit there", "n = 4\nmaximal_queue_lifetime = ${n}h", "maximal_queue_lifetime", 4 * hour, 2},
		{"a condition that holds", "relay = yes\nmaximal_queue_lifetime = ${relay?{10d}:{2d}}", "maximal_queue_lifetime", 10 * day, 2},
		{"a condition that does not", "maximal_queue_lifetime = ${relay?{10d}:{2d}}", "maximal_queue_lifetime", 2 * day, 1},
		{"a default", "maximal_queue_lifetime = ${mine:3d}", "maximal_queue_lifetime", 3 * day, 1},
		{"a default that is not needed", "mine = 6d\nmaximal_queue_lifetime = $mine${mine:3d}", "maximal_queue_lifetime", 6 * day, 2},
		{"a reference that nobody looks at may go nowhere", "virtual_alias_maps = $nothing ${nor this", "maximal_queue_lifetime", 5 * day, 0},
		{"a plus sign", "maximal_queue_lifetime = +2d", "maximal_queue_lifetime", 2 * day, 1},
		{"the longest", "maximal_queue_lifetime = 100d", "maximal_queue_lifetime", 100 * day, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ReadPostfix("main.cf", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if s := p.Setting(tt.key); s.Time != tt.time || s.Line != tt.line {
				t.Errorf("%s = %s in line %d, want %s in line %d", tt.key, s.Time, s.Line, tt.time, tt.line)
			}
		})
	}
}

func TestAMistakeInMainCFNamesItsLine(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"\n\nmyhostname\n", `main.cf:3: "myhostname" has no "="`},
		{"myhostname mx1 = yes", `main.cf:1: "myhostname mx1 = yes" has no "="`},
		{"# one\n= two", `main.cf:2: "= two" has no name`},
		{"maximal_queue_lifetime = 5 d", `main.cf:1: maximal_queue_lifetime is "5 d", not a whole number`},
		{"maximal_queue_lifetime = 5D", `main.cf:1: maximal_queue_lifetime is "5D", not a whole number`},
		{"maximal_queue_lifetime = 1d12h", "not a whole number"},
		{"maximal_queue_lifetime = 1.5d", "not a whole number"},
		{"maximal_queue_lifetime = -1d", "not a whole number"},
		{"maximal_queue_lifetime = five days", "not a whole number"},
		{"maximal_queue_lifetime =\n", "maximal_queue_lifetime has no value"},
		{"maximal_queue_lifetime = 5d # five days", "a comment needs a line of its own"},
		{"x = y\nmaximal_queue_lifetime = 432000\n", "main.cf:2: maximal_queue_lifetime is \"432000\", more than Postfix can count"},
		{"maximal_queue_lifetime = 3600", `no more than 100d, and a number without a letter counts in 'd'`},
		{"minimal_backoff_time = 0", "Postfix takes no less than 1s"},
		{"minimal_backoff_time = 99999999999999999999", "not a whole number"},
		{"queue_run_delay = 4000w", "more than Postfix can count"},
		{"maximal_queue_lifetime = $nothing", `refers to "$nothing", which this file does not set`},
		{"maximal_queue_lifetime = ${life\n", "has a reference without its end"},
		{"maximal_queue_lifetime = 5$", `has a "$" without a name`},
		{"maximal_queue_lifetime = ${}", `has a "$" without a name`},
		{"maximal_queue_lifetime = $maximal_queue_lifetime", "refers to itself"},
		{"a = $b\nb = $c\nc = $a\nmaximal_queue_lifetime = $a", `main.cf:4: maximal_queue_lifetime refers to itself: "maximal_queue_lifetime, a, b, c, a"`},
		{"maximal_queue_lifetime = ${{$x} == {y} ? {1d} : {2d}}", "is not understood here"},
		{"maximal_queue_lifetime = ${x!y}", "is not understood here"},
		{"maximal_queue_lifetime = ${x?{1d}{2d}}", "is not understood here"},
		{"soft_bounce = maybe", `main.cf:1: soft_bounce is "maybe", which is neither yes nor no`},
		{"a = " + strings.Repeat("$b", 900) + "\nb = " + strings.Repeat("1", 900) + "\nmaximal_queue_lifetime = $a", "is longer than 4096 octets"},
		{doubling(40) + "maximal_queue_lifetime = $v40", "needs more than 1000 references"},
	} {
		_, err := ReadPostfix("main.cf", []byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q: %v, want %q", tt.text, err, tt.want)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "chain: read main.cf:") {
			t.Errorf("%.60q: %v names no line", tt.text, err)
		}
	}
}

// doubling is a value that refers to another twice, and so on.
func doubling(n int) string {
	b := strings.Builder{}
	b.WriteString("v0 =\n")
	for i := 1; i <= n; i++ {
		v := "v" + string(rune('0'+(i-1)/10)) + string(rune('0'+(i-1)%10))
		if i == 1 {
			v = "v0"
		}
		name := "v" + string(rune('0'+i/10)) + string(rune('0'+i%10))
		b.WriteString(name + " = $" + v + "$" + v + "\n")
	}
	return b.String()
}

func TestWhatIsDoubtfulInMainCFIsSaid(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "myhostname = a\nmaximal_queue_lifetime = 5d\nsmtp_rset_timeout = 20s\nlmtp_connect_timeout = 5s\nqueue_directory = /q\n", nil},
		{"a value that is replaced", "queue_run_delay = 1m\nqueue_run_delay = 2m", []string{"2 warning"}},
		{"the same value twice", "queue_run_delay = 1m\nqueue_run_delay = 1m", nil},
		{"a line that continues nothing", "  queue_run_delay = 1m\nmyhostname = a", []string{"1 wrong"}},
		{"a misspelt name", "maximal_queue_livetime = 1d", []string{"1 wrong maximal_queue_lifetime?"}},
		{"a shortened name", "max_queue_lifetime = 1d\nmaximum_backoff_time = 1h", []string{"1 wrong maximal_queue_lifetime?", "2 wrong maximal_backoff_time?"}},
		{"other separators", "Queue-Run-Delay = 1h", []string{"1 wrong queue_run_delay?"}},
		{"a variable of one's own", "max_queue_lifetime = 1d\nmaximal_queue_lifetime = ${max_queue_lifetime}", nil},
		{"a transport of its own", "slow_destination_rate_delay = 1s\ndefault_destination_rate_delay = 1s", []string{`1 note "slow"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ReadPostfix("main.cf", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Doubts) != len(tt.want) {
				t.Fatalf("%+v, want %d", p.Doubts, len(tt.want))
			}
			for i, d := range p.Doubts {
				words := strings.SplitN(tt.want[i], " ", 3)
				if string(rune('0'+d.Line)) != words[0] || d.Severity.String() != words[1] || len(words) > 2 && !strings.Contains(d.Text, words[2]) {
					t.Errorf("%+v, want %s", d, tt.want[i])
				}
			}
		})
	}
}

var postfixTraps = []struct{ name, text, want string }{
	{"as shipped", "", "+no-warning -weekend -no-jitter -bounces-kept-long"},
	{"well set", wellSet, "-weekend -no-jitter"},
	{"a day", wellSet + "maximal_queue_lifetime = 1d\nbounce_queue_lifetime = 1d", "+gives-up-early +weekend +doubt -no-jitter"},
	{"one attempt", wellSet + "maximal_queue_lifetime = 0", "!gives-up-early !warning-never !never-passes-greylist !no-effect +weekend"},
	{"bounces once", wellSet + "bounce_queue_lifetime = 0", "+bounces-tried-once +doubt -weekend -no-jitter"},
	{"soft", wellSet + "soft_bounce = yes", "!soft-bounce -weekend -no-jitter"},
	{"crossed", wellSet + "minimal_backoff_time = 2h\nmaximal_backoff_time = 1h", "!no-effect +late-after-greylist -weekend -no-jitter"},
	{"slower than set", wellSet + "minimal_backoff_time = 1m", "!no-effect -weekend -no-jitter"},
	{"copies of nothing", "delay_warning_time = 0\nnotify_classes = delay, bounce\nbounce_queue_lifetime = 2d", "!no-effect +no-warning -weekend -no-jitter"},
	{"the end of nothing", "confirm_delay_cleared = yes\nbounce_queue_lifetime = 2d", "!no-effect +no-warning -weekend -no-jitter"},
	{"bounces outlive mail", "delay_warning_time = 4h\nmaximal_queue_lifetime = 4d\nbounce_queue_lifetime = 9d", "!no-effect -weekend -no-jitter -bounces-kept-long"},
	{"a warning after the end", wellSet + "delay_warning_time = 6d", "!warning-never +doubt -weekend -no-jitter"},
	{"every second", wellSet + "minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s", "+too-often -weekend -retry-too-soon -no-jitter"},
	{"more attempts than are walked", wellSet + "minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\nmaximal_queue_lifetime = 100d", "+too-often -weekend -retry-too-soon -no-jitter"},
	{"a look each day", wellSet + "queue_run_delay = 2d", "!never-passes-greylist +long-gap -weekend -no-jitter"},
	{"impatient", wellSet + "smtp_helo_timeout = 30s\nsmtp_data_done_timeout = 30s", "+impatient +impatient -weekend -no-jitter"},
}

const wellSet = "delay_warning_time = 4h\nbounce_queue_lifetime = 2d\n"

func TestEachTrapOfAMainCFIsFoundAndOnlyThere(t *testing.T) {
	for _, tt := range postfixTraps {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ReadPostfix("main.cf", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := codes(Lint(OfPostfix(p))); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestWhatIsProposedMendsAMainCF(t *testing.T) {
	mended := 0
	for _, tt := range postfixTraps {
		p, err := ReadPostfix("main.cf", []byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range Lint(OfPostfix(p)) {
			if f.Instead == "" {
				continue
			}
			mended++
			p, err := ReadPostfix("main.cf", []byte(tt.text+"\n"+f.Instead+"\n"))
			if err != nil {
				t.Fatalf("%s: %s: %v", tt.name, f.Instead, err)
			}
			if slices.ContainsFunc(Lint(OfPostfix(p)), func(g Finding) bool { return g.Code == f.Code && g.What == f.What }) {
				t.Errorf("%s: %s is still there with\n%s", tt.name, f.Code, f.Instead)
			}
		}
	}
	if mended < 15 {
		t.Errorf("only %d proposals", mended)
	}
}

func TestAFindingNamesTheLineOfItsSetting(t *testing.T) {
	p, err := ReadPostfix("/etc/postfix/main.cf", []byte("# short\nmaximal_queue_lifetime = 12h\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Lint(OfPostfix(p)) {
		switch f.Code {
		case "gives-up-early":
			if !strings.HasPrefix(f.Source, "/etc/postfix/main.cf:2 maximal_queue_lifetime = 12h; ") {
				t.Error(f.Source)
			}
		case "no-warning":
			if !strings.HasPrefix(f.Source, "delay_warning_time is not set, as shipped: 0h; ") {
				t.Error(f.Source)
			}
		}
	}
}

// The parameters as they are shipped must make the Postfix that package system
// knows, or one of the two is wrong.
func TestAnEmptyMainCFIsThePostfixThatIsKnown(t *testing.T) {
	p, err := ReadPostfix("main.cf", nil)
	if err != nil {
		t.Fatal(err)
	}
	known, ok := system.Find("postfix")
	if !ok {
		t.Fatal("no system postfix")
	}
	got, want := p.System.Policy.Run(system.Unreachable, system.Reckoned), known.Policy.Run(system.Unreachable, system.Reckoned)
	if !slices.Equal(got.Attempts, want.Attempts) || got.End != want.End || p.System.Policy.Notices != known.Policy.Notices {
		t.Errorf("%d attempts, %+v; want %d, %+v", len(got.Attempts), got.End, len(want.Attempts), want.End)
	}
}

// qmgr: "bounce_queue_lifetime is larger than maximal_queue_lifetime - adjusting".
func TestABounceIsNeverKeptLongerThanMail(t *testing.T) {
	p, err := ReadPostfix("main.cf", []byte("maximal_queue_lifetime = 2d"))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.System.Policy.Notices; got != 48*time.Hour {
		t.Errorf("bounces are kept for %s", got)
	}
}

func FuzzReadPostfix(f *testing.F) {
	for _, tt := range postfixTraps {
		f.Add([]byte(tt.text))
	}
	sample, err := os.ReadFile("testdata/findings/main.cf")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample)
	f.Add([]byte("a = ${b?{$c}:{${d:$(e)}}}\nmaximal_queue_lifetime = $a\n\t$$\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ReadPostfix("main.cf", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "chain: read main.cf:") || strings.ContainsAny(err.Error(), "\r\n\x00") {
				t.Errorf("%q", err)
			}
			return
		}
		for _, s := range p.Settings {
			if s.Time < 0 || s.Set() && s.Line > strings.Count(string(text), "\n")+1 {
				t.Errorf("%+v", s)
			}
		}
		if len(text) > 200 { // running it is tried often enough on short ones
			return
		}
		for _, found := range Lint(OfPostfix(p)) {
			if found.Code == "" || found.What == "" || found.Source == "" {
				t.Errorf("%+v", found)
			}
		}
	})
}

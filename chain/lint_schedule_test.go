package chain

import (
	"os"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/postrider/postrider/custody"
)

// tomlSchedule is a schedule in our own configuration.
type tomlSchedule struct {
	Retry, Unreachable, Deferred, Greylisted, Warn []string
	Expire                                         string
	Jitter                                         *float64
}

// over reads it over another schedule.
func (w tomlSchedule) over(t testing.TB, s custody.Schedule) custody.Schedule {
	t.Helper()
	age := func(text string) time.Duration {
		d, err := custody.ParseAge(text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, l := range []struct {
		said []string
		list *[]custody.Pace
	}{{w.Retry, &s.Retry}, {w.Unreachable, &s.Unreachable}, {w.Deferred, &s.Deferred}, {w.Greylisted, &s.Greylisted}} {
		if l.said == nil {
			continue
		}
		*l.list = nil
		for _, text := range l.said {
			p, err := custody.ParsePace(text)
			if err != nil {
				t.Fatal(err)
			}
			*l.list = append(*l.list, p)
		}
	}
	if w.Warn != nil {
		s.Warn = nil
		for _, text := range w.Warn {
			s.Warn = append(s.Warn, age(text))
		}
	}
	if w.Expire != "" {
		s.Expire = age(w.Expire)
	}
	if w.Jitter != nil {
		s.Jitter = *w.Jitter
	}
	return s
}

// parseSchedule reads lines of our configuration over a schedule.
func parseSchedule(t testing.TB, lines string, over custody.Schedule) custody.Schedule {
	t.Helper()
	var w tomlSchedule
	if err := toml.Unmarshal([]byte(lines), &w); err != nil {
		t.Fatalf("%v in\n%s", err, lines)
	}
	return w.over(t, over)
}

// shipped returns the schedules of our example configuration, which are the
// defaults.
func shipped(t testing.TB) (standard, notice custody.Schedule) {
	t.Helper()
	text, err := os.ReadFile("../internal/config/example.toml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Schedule map[string]tomlSchedule }
	if err := toml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	standard = file.Schedule["default"].over(t, custody.Schedule{Name: "default", Rule: "built-in default"})
	notice = file.Schedule["notice"].over(t, standard)
	notice.Name, notice.Warn = "notice", nil
	return standard, notice
}

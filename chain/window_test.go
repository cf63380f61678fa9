package chain

import (
	"strings"
	"testing"
	"time"
)

func TestAWindowOnTheCalendarIsWhereTheWallShowsIt(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	start := time.Date(2026, 3, 5, 12, 0, 0, 0, berlin) // a Thursday
	for _, c := range []struct {
		begins, ends string
		at           string // from start on
		in           bool
		until        time.Duration
	}{
		{"Friday 18:00", "Monday 09:00", "0s", false, 30 * time.Hour},
		{"Friday 18:00", "Monday 09:00", "30h", true, 93 * time.Hour},
		{"Friday 18:00 to Monday 09:00", "", "92h", true, 93 * time.Hour},
		{"Fri 18:00", "Mon 09:00", "93h", false, 198 * time.Hour},
		{"Mo 09:00", "Mo 08:00", "0s", true, 92 * time.Hour},
		{"Sunday 24:00", "Monday 09:00", "84h", true, 93 * time.Hour},
		{"22:00", "06:00", "0s", false, 10 * time.Hour},
		{"22:00", "06:00", "17h", true, 18 * time.Hour},
		{"22:00", "24:00", "11h", true, 12 * time.Hour},
		{"2026-03-06 18:00", "2026-03-09 09:00", "31h", true, 93 * time.Hour},
		{"2026-03-06 18:00", "", "10000h", true, never},
		{"2026-02-01 18:00", "2026-02-02 09:00", "0s", false, never},
		{"", "", "5h", true, never},
		{"47h", "", "46h", false, 47 * time.Hour},
		{"-2d", "3d", "0s", true, 72 * time.Hour},
	} {
		w, err := ParseWindow(c.begins, c.ends)
		if err != nil {
			t.Errorf("%q %q: %v", c.begins, c.ends, err)
			continue
		}
		at, _ := time.ParseDuration(c.at)
		if err := w.check(start); err != nil {
			t.Errorf("%s: %v", w, err)
		}
		if in, since, until := w.at(start, at); in != c.in || until != c.until || in && since > at {
			t.Errorf("%s at %s: %v since %v until %v, want %v until %v", w, c.at, in, since, until, c.in, c.until)
		}
	}
}

// A clock that is put forward makes that weekend an hour shorter.
func TestAWindowKeepsToTheWallWhenClocksChange(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	w, err := ParseWindow("Fri 18:00", "Mon 09:00")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 3, 27, 18, 0, 0, 0, zone) // clocks change on the 29th
	if in, _, until := w.at(start, 0); !in || until != 62*time.Hour {
		t.Errorf("%v until %v", in, until)
	}
}

func TestAWindowThatMakesNoSenseIsSaidToMakeNone(t *testing.T) {
	for _, c := range [][3]string{
		{"soon", "", "not a length of time"},
		{"Friyay 18:00", "Monday 09:00", "no day of the week"},
		{"Friday 25:00", "Monday 09:00", "neither a length of time"},
		{"Friday 18:00", "3d", "of one form"},
		{"Friday 18:00", "", "needs an end"},
		{"", "Monday 09:00", "needs a start"},
		{"3d", "2d", "not after its start"},
		{"100000d", "", "length of time"},
		{"2026-03-09 18:00", "2026-03-06 09:00", "not after its start"},
		{"18:00", "18:00", "the whole day"},
	} {
		w, err := ParseWindow(c[0], c[1])
		if err == nil {
			err = w.check(noon)
		}
		if err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%q %q: %v, want %q", c[0], c[1], err, c[2])
		}
	}
	w, _ := ParseWindow("18:00", "19:00")
	if err := w.check(time.Time{}); err == nil || !strings.Contains(err.Error(), "nothing says when the message comes") {
		t.Errorf("on the calendar without a start: %v", err)
	}
}

func TestAResultIsReadAsItIsWritten(t *testing.T) {
	for in, want := range map[string]string{
		"refused": "refused ", "timeout": "timeout ", "timeout 90s": "timeout 1m30s", "reset": "reset ", "dns": "dns ", "nxdomain": "nxdomain ",
		"greylist": "greylist 5m", "Greylist 10m": "greylist 10m", "size 1000": "size 1000", "451 4.7.1 try later": "reply 451 4.7.1 try later",
	} {
		r, err := ParseResult(in)
		got := r.What.String() + " "
		switch r.What {
		case Timeout:
			if r.Took > 0 {
				got += when(r.Took)
				got = strings.ReplaceAll(got, "m 3", "m3")
			}
		case Greylists:
			got += when(r.Delay)
		case TooBig:
			got += "1000"
		case Says:
			got += r.Reply.Line()
		}
		if err != nil || got != want {
			t.Errorf("%q: %q %v, want %q", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"refsued": `did you mean "refused"?`, "250 fine": "no reply that", "999 x": "no reply that", "timeout soon": "length of time",
		"size big": "parsing", "refused utterly": "says nothing", "": "no result",
	} {
		if _, err := ParseResult(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

// Whatever is written, a window that is read has a next change, so that no walk
// through it stands still.
func FuzzParseWindow(f *testing.F) {
	for _, s := range [][2]string{{"Friday 18:00", "Monday 09:00"}, {"22:00", "06:00"}, {"2026-03-06 18:00", ""}, {"-2d", "3d"}, {"Mo 24:00 to Mo 00:00", ""}} {
		f.Add(s[0], s[1], int64(12345))
	}
	f.Fuzz(func(t *testing.T, start, end string, seconds int64) {
		w, err := ParseWindow(start, end)
		if err != nil || w.check(noon) != nil {
			return
		}
		at := time.Duration(seconds%(20*365*86400)) * time.Second
		for range 20 {
			in, since, until := w.at(noon, at)
			if until <= at || in && since > at {
				t.Fatalf("%s at %v: %v since %v until %v", w, at, in, since, until)
			}
			if until >= never {
				return
			}
			at = until
		}
	})
}

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
)

// busy is a bad day, with hostile words in it.
func busy() api.Now {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.Local)
	oldest := at.Add(-76 * time.Hour)
	n := api.Now{
		At: at, Since: at.Add(-50 * time.Hour), Hostname: "mx1.author.test",
		Store: api.Stored{Deliveries: 1_234_567, Messages: 1_200_000, Free: 79_900_000_000, Durability: "fsynced here"},
		Conns: &api.Conns{Opening: 3, Busy: 12, Idle: 4},
		Flows: []watch.Flow{
			{What: "accepted", Total: 98_765_432, S10: 1234.5, M1: 99.94, M5: 0.004}, {What: "refused", Total: 7, M5: 0.02},
			{What: watch.Relayed, Total: 40, S10: 1, M1: 2, M5: 3}, {What: watch.Delivered, Total: 2, S10: 0.5, M1: 1, M5: 1.5}, {What: watch.Bounced, Total: 12_345, M5: 1},
		},
		Queue: api.Waiting{
			Surveyed: at.Add(-5 * time.Minute), States: map[string]int{"waiting": 1_234_000, "trying": 500, "held": 67}, Oldest: &oldest,
			Ages: []api.Age{{UpTo: 60, Count: 1000}, {UpTo: 300, Count: 1}, {UpTo: 900, Count: 1}, {UpTo: 3600}, {UpTo: 14400, Count: 500}, {UpTo: 0, Count: 7}},
			Trouble: []api.Trouble{
				{Destination: "mx dead.test", Domains: []string{"dead.test"}, Behind: 1, Health: "silent", Waiting: 4000, Oldest: oldest, Since: at.Add(-30 * time.Hour),
					Last: &api.Last{Text: "cannot connect to mx.dead.test[192.0.2.7]:25: no answer within 20s, and many more words"}},
				{Destination: "smtp:relay.test:25", Behind: 9, Health: "deferring", Waiting: 3, Oldest: at.Add(-time.Minute),
					Last: &api.Last{Code: 451, Text: "\x1b[2Jevil\u202e later\nplease"}},
				{Destination: "mx moving.test", Waiting: 1, Paused: "paused by root: they move"},
			},
		},
	}
	for i := range 50 {
		n.Newest = append(n.Newest, watch.Happening{From: "ann@author.test", Event: watch.Event{
			At: at, Kind: watch.Bounced, Recipients: []string{fmt.Sprintf("bob%d@there.test", i), strings.Repeat("x", 60) + "@there.test"},
			Stage: mail.Rcpt, Code: 550, Status: mail.Status{5, 1, 1}, Text: "no such \x07user\u2066, and long words about it all",
		}})
	}
	return n
}

// A picture fits its terminal, and shows what an operator must see first.
func TestTopFitsTheTerminal(t *testing.T) {
	many := busy()
	for len(many.Queue.Trouble) < 10 {
		many.Queue.Trouble = append(many.Queue.Trouble, many.Queue.Trouble[0])
	}
	for _, n := range []api.Now{{}, busy(), many} {
		for _, s := range []size{{80, 24}, {132, 50}, {40, 10}, {200, 3}, {80, 1}} {
			lines := frame(n, s, palette(false))
			if len(lines) > s.h || len(lines) == 0 {
				t.Errorf("%v: %d lines", s, len(lines))
			}
			for _, l := range lines {
				if utf8.RuneCountInString(l) > max(s.w, leftColumns) {
					t.Errorf("%v: too wide: %q", s, l)
				}
				if strings.ContainsFunc(l, func(r rune) bool { return r < ' ' || r == '\u202e' || r == '\u2066' }) {
					t.Errorf("%v: not plain: %q", s, l)
				}
			}
		}
	}
	all := frame(busy(), size{80, 24}, palette(false))
	picture := strings.Join(all, "\n")
	for _, want := range []string{
		"postrider on mx1.author.test", "24 Nov 12:00:00  up 2d2h", "79.9 GB free; 16 connections out, 3 opening",
		"in: accepted    1,235   99.9   0.00   98.76M", "out: delivered   1.50   3.00   4.50       42", "bounced             0      0   1.00   12,345",
		"to 1m     1,000 ████████████████", "to 15m        2 ▏", "to 4h       500 ████████", "more          7 ▏",
		"queue: 1.23M deliveries of 1.20M messages; 500 trying, 67 held; oldest 3d4h", "age of what waits, 5m ago",
		"dead.test                 4,000  silent 1d6h    cannot connect to mx.dead.test",
		"smtp:relay.test:25            3  waits 1m       451 ?[2Jevil? later / please",
		"mx moving.test                1                 paused by root: they move",
		"12:00:00 bounced   bob49@there.test, xxxxxxxxxxx…: 550 5.1.1 no such ?user?, an…",
	} {
		if !strings.Contains(picture, want) {
			t.Errorf("%q is missing in\n%s", want, picture)
		}
	}
	if got := strings.Join(frame(many, size{80, 24}, palette(false)), "\n"); !strings.Contains(got, "and 7 more: postrider destinations") && !strings.Contains(got, "and 8 more: postrider destinations") {
		t.Errorf("nothing tells that there are more\n%s", got)
	}
}

func TestTopSaysFirstThatNothingIsTaken(t *testing.T) {
	n := busy()
	n.Store.Fault = "spool: no room\x1b[31m"
	lines := frame(n, size{80, 24}, palette(false))
	if lines[1] != "Nothing is taken now: spool: no room?[31m" {
		t.Errorf("%q", lines[1])
	}
}

// Colours stand around words, and change nothing else.
func TestTopColoursChangeNoWord(t *testing.T) {
	for _, s := range []size{{80, 24}, {60, 20}} {
		plain, coloured := frame(busy(), s, palette(false)), frame(busy(), s, palette(true))
		if !strings.Contains(strings.Join(coloured, ""), "\x1b[31m") {
			t.Error("no colour")
		}
		for i, l := range coloured {
			for _, code := range []string{"0", "1", "2", "7", "31", "32", "33"} {
				l = strings.ReplaceAll(l, "\x1b["+code+"m", "")
			}
			coloured[i] = strings.TrimRight(l, " ")
		}
		if !slices.Equal(plain, coloured) {
			t.Errorf("%v:\n%s\n%s", s, strings.Join(plain, "\n"), strings.Join(coloured, "\n"))
		}
	}
}

func TestNumbersHaveRoom(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 99_999: "99,999", 100_000: "100k", 1_234_567: "1.23M", 99_999_999: "99.99M", 100_000_000: "100M"} {
		if got := number(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	for f, want := range map[float64]string{0: "0", 0.004: "0.00", 1.234: "1.23", 99.94: "99.9", 99.99: "100", 1234.5: "1,235"} {
		if got := perSecond(f); got != want {
			t.Errorf("%v is %q, want %q", f, got, want)
		}
	}
}

package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/internal/memnet"
	"github.com/postrider/postrider/internal/smtpd"
)

// life is one run of a server that keeps mail for two days, warns after four hours and
// tries again every ten minutes.
type life struct {
	clock time.Duration // what the clock says when it starts, after some day
	lasts time.Duration
	alive bool // the next hop takes mail
	posts int  // messages that come at its start
}

// lives runs one after the other on the same disk, and returns how many messages the
// next hop took and how many letters the author got in each. Virtual time begins anew in
// each bubble, so the clock may say anything at a start; it cannot be set while the
// program runs.
func lives(t *testing.T, all ...life) (taken, letters []int) {
	disk := vfs.NewMem()
	for _, l := range all {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(l.clock)
			c := &founding{t: t, net: memnet.New(), zone: &dns.Zone{}, letters: &mailbox{letters: make(chan string, 64)}, disk: disk}
			ctx, stop := context.WithCancel(context.Background())
			c.stop = stop
			defer c.end()
			c.serve(ctx, boxAt, smtpd.Options{Hostname: "author.test", LMTP: true}, c.letters)
			c.author = c.node(ctx, "mx.author.test", authorAt, "smtp:"+filterAt, "warn = [\"4h\"]\nexpire = \"2d\"\nretry = [\"10m\"]", nil)
			there := &mailbox{letters: make(chan string, 64)}
			if l.alive {
				c.serve(ctx, filterAt, smtpd.Options{Hostname: "filter.test"}, there)
			}
			for range l.posts {
				c.post()
			}
			time.Sleep(l.lasts)
			taken, letters = append(taken, len(there.letters)), append(letters, len(c.letters.letters))
		})
	}
	return taken, letters
}

// A clock that is days ahead when the program starts again ends no message without a
// try, and tells a sender once, not of each warning that it seems to have missed.
func TestAClockThatJumpsAheadEndsNothingUntried(t *testing.T) {
	const ahead = 10 * 24 * time.Hour
	taken, letters := lives(t, life{lasts: time.Hour, posts: 3}, life{clock: ahead, lasts: time.Minute, alive: true})
	if taken[1] != 3 || letters[0]+letters[1] != 0 {
		t.Errorf("a host that is back took %d of 3, letters %v", taken[1], letters)
	}
	if _, letters = lives(t, life{lasts: time.Hour, posts: 3}, life{clock: ahead, lasts: time.Hour}); letters[0] != 0 || letters[1] != 3 {
		t.Errorf("letters %v, want one each after a last try", letters)
	}
}

// A clock that was days ahead and is right again stops no mail.
func TestAClockThatWasAheadStopsNoMail(t *testing.T) {
	taken, letters := lives(t, life{clock: 10 * 24 * time.Hour, lasts: time.Hour, posts: 3}, life{lasts: time.Hour, alive: true})
	if taken[1] != 3 || letters[0]+letters[1] != 0 {
		t.Errorf("%d of 3 went out within an hour, letters %v", taken[1], letters)
	}
}

package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/internal/smtpd"
)

// Mail that waits for a host with hours to its next try goes out when the host has
// taken one message, not hours later.
func TestAHostThatComesBackGetsAllThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFounding(t, nil)
		defer c.end()
		const n = 40
		for range n {
			c.post()
			time.Sleep(7 * time.Minute)
		}
		time.Sleep(24 * time.Hour)
		there := &mailbox{letters: make(chan string, n)}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		c.serve(ctx, destinationAt, smtpd.Options{Hostname: "mx.destination.test"}, there)
		<-there.letters
		first := time.Now()
		for range n - 1 {
			<-there.letters
		}
		if took := time.Since(first); took > 10*time.Second {
			t.Errorf("the last of %d came %s after the first", n, took)
		}
		time.Sleep(time.Minute)
		if len(there.letters) > 0 {
			t.Errorf("%d came twice", len(there.letters))
		}
	})
}

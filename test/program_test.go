//go:build linux

package test

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestKillLosesNothingAcknowledged kills the program three times in the middle of
// a load. What was answered with 250 must arrive; what was in flight may arrive
// twice (RFC 5321 4.5.4.1, docs/states.md).
func TestKillLosesNothingAcknowledged(t *testing.T) {
	r := newRider(t)
	ours, _ := load(t, r, 5000, []int64{1250, 2500, 3750}, r.kill)
	// A destination gets 20 connections, and none of them its next message before
	// the settling of the last one is on disk.
	if most := 3 * 20; ours > most {
		t.Errorf("%d duplicates, but at most %d answers were in flight", ours, most)
	}
}

// TestStopRepeatsNothing tells the program to stop in the middle of a load: what is
// under way, in and out, comes to its end.
func TestStopRepeatsNothing(t *testing.T) {
	r := newRider(t)
	if ours, theirs := load(t, r, 1500, []int64{500, 1000}, r.stop); ours+theirs > 0 {
		t.Errorf("%d duplicates of ours, %d of the clients", ours, theirs)
	}
}

// load has clients send messages and interrupts the program when so many of them
// are acknowledged. It returns how many came twice once all have come: because an
// answer of the next hop was in flight, or because ours to a client was, which
// sent it again then, as clients do.
func load(t *testing.T, r *rider, messages int64, when []int64, interrupt func()) (ours, theirs int) {
	t.Helper()
	out := newSink(t)
	r.serve(route("*", "smtp:"+out.Addr))
	began := time.Now()
	var next, acknowledged atomic.Int64
	var doubtful sync.Map // messages that a client sent again, having sent them to their end
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			var c *client
			for id := next.Add(1); id <= messages; id = next.Add(1) {
				if c = deliver(t, r.Addr, c, id, &doubtful); c == nil {
					return
				}
				acknowledged.Add(1)
			}
			c.close()
		})
	}
	var away time.Duration
	for _, n := range when {
		r.until(fmt.Sprintf("%d acknowledged", n), func() bool { return acknowledged.Load() >= n })
		interrupt()
		down := time.Now()
		r.start()
		away += time.Since(down)
	}
	clients.Wait()
	taken := time.Since(began)
	for deadline := time.Now().Add(patience); len(count(t, out)) < int(acknowledged.Load()); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d acknowledged messages have come", len(count(t, out)), acknowledged.Load())
		}
	}
	delivered := time.Since(began)
	await(t, "empty queue", func() bool { return len(r.queue()) == 0 })
	for id, n := range count(t, out) {
		if _, again := doubtful.Load(id); again {
			theirs += n - 1
		} else {
			ours += n - 1
		}
	}
	t.Logf("%d messages taken in %v, delivered after %v, %v of it to start again; duplicates: %d where an answer of the next hop was in flight, %d where ours was",
		messages, taken.Round(time.Millisecond), delivered.Round(time.Millisecond), away.Round(time.Millisecond), ours, theirs)
	return ours, theirs
}

// deliver sends a message until it is acknowledged, and returns the connection for
// the next one; nil if it gave up.
func deliver(t *testing.T, addr string, c *client, id int64, doubtful *sync.Map) *client {
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) { // the server is away
		var err error
		if c == nil {
			c, err = dial(addr)
		}
		if err == nil {
			if err = c.send("<ann@home.test>", []string{fmt.Sprintf("<bob%d@there.test>", id)}, numbered(id)); err == nil {
				return c
			}
			if c.whole {
				doubtful.Store(id, true)
			}
			c.close()
			c = nil
		}
		if time.Now().After(deadline) {
			t.Errorf("message %d: %v", id, err)
			return nil
		}
	}
}

// count says how often each message is at the sink.
func count(t *testing.T, s *sink) map[int64]int {
	t.Helper()
	copies := map[int64]int{}
	for _, m := range s.mail() {
		id, whole := numberOf(m.Data)
		if !whole {
			t.Fatalf("a message was changed:\n%s", m.Data)
		}
		copies[id]++
	}
	return copies
}

// numbered is a message that numberOf knows whether it is whole.
func numbered(id int64) []byte {
	return message(fmt.Sprintf("%d@home.test", id), "load", fmt.Sprintf("%d\r\n%s.end\r\n", id, bytes.Repeat([]byte("some words that make a message\r\n"), 60)))
}

func numberOf(data []byte) (id int64, whole bool) {
	_, body, _ := bytes.Cut(data, []byte("\r\n\r\n"))
	first, _, _ := bytes.Cut(body, []byte("\r\n"))
	id, err := strconv.ParseInt(string(first), 10, 64)
	return id, err == nil && bytes.HasSuffix(numbered(id), append([]byte("\r\n\r\n"), body...))
}

package carrier

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Every connection is counted from its dial to its end, in one state at a time.
func TestConnectionsAreCountedByState(t *testing.T) {
	inWorld(t, Options{Idle: 5 * time.Second}, nil, func(w *world) {
		want := func(when string, opening, busy, idle int) {
			t.Helper()
			synctest.Wait()
			if o, b, i := w.carrier.Connections(); o != opening || b != busy || i != idle {
				t.Errorf("%s: %d opening, %d busy, %d idle; want %d, %d, %d", when, o, b, i, opening, busy, idle)
			}
		}
		w.script("192.0.2.1:25", func(n int, line string) string {
			switch {
			case line == "", strings.HasPrefix(line, "MAIL"):
				time.Sleep(time.Second)
			case n == 2 && line == "DATA":
				return "close"
			}
			return ""
		})
		want("before anything", 0, 0, 0)
		carry := func() { w.carry("u@a.example") }
		go carry()
		want("before the greeting", 1, 0, 0)
		time.Sleep(1500 * time.Millisecond)
		want("after MAIL", 0, 1, 0)
		go carry()
		want("with another that begins", 1, 1, 0)
		time.Sleep(time.Second)
		want("after the first message", 0, 1, 1)
		time.Sleep(time.Second)
		want("after the second was broken off", 0, 0, 1)
		time.Sleep(5 * time.Second)
		want("when nobody wanted it any more", 0, 0, 0)
		carry()
		want("after one more message", 0, 0, 1)
		w.carrier.Close()
		want("at the end", 0, 0, 0)
	})
}

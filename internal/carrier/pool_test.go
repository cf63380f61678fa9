package carrier

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/internal/smtpd"
)

const taken = "mx1.a.example[192.0.2.1] dot: 250 2.0.0 Kept +taken"

func TestTheNextMessageGoesOverTheSameConnection(t *testing.T) {
	inWorld(t, Options{Idle: 5 * time.Second}, nil, func(w *world) {
		h := w.serve(&host{}, "192.0.2.1:25", smtpd.Options{})
		for range 3 {
			w.want(w.carry("u@a.example"), taken)
			time.Sleep(5*time.Second - time.Nanosecond)
		}
		if h.visits.Load() != 1 || h.ended.Load() != 0 {
			t.Errorf("%d visits, %d ended", h.visits.Load(), h.ended.Load())
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if h.ended.Load() != 1 {
			t.Error("the connection lives longer than it may be idle")
		}
		w.want(w.carry("u@a.example"), taken)
		if h.visits.Load() != 2 {
			t.Errorf("%d visits", h.visits.Load())
		}
	})
}

// On a connection that never ends, mail would go to a backup long after the first
// host is back.
func TestAConnectionEndsAtABoundedAge(t *testing.T) {
	inWorld(t, Options{Idle: 2 * time.Minute}, nil, func(w *world) {
		h := w.serve(&host{}, "192.0.2.2:25", smtpd.Options{})
		for range 5 {
			w.carry("u@a.example")
			time.Sleep(time.Minute)
		}
		first := w.serve(&host{}, "192.0.2.1:25", smtpd.Options{})
		w.carry("u@a.example") // the last one over it
		w.want(w.carry("u@a.example"), taken)
		if h.visits.Load() != 1 || first.visits.Load() != 1 {
			t.Errorf("%d visits, %d at the first host", h.visits.Load(), first.visits.Load())
		}
	})
}

func TestARouteLimitsTheMessagesOfAConnection(t *testing.T) {
	routes := []route.Route{{Domain: "*", Limits: route.Limits{MaxMessages: 2}}}
	inWorld(t, Options{}, routes, func(w *world) {
		h := w.serve(&host{}, "192.0.2.1:25", smtpd.Options{})
		for range 5 {
			w.want(w.carry("u@a.example"), taken)
		}
		synctest.Wait()
		if h.visits.Load() != 3 || h.ended.Load() != 2 {
			t.Errorf("%d visits, %d ended", h.visits.Load(), h.ended.Load())
		}
	})
}

func TestAHostThatNamesAMostOfMessagesIsObeyed(t *testing.T) {
	inWorld(t, Options{}, nil, func(w *world) {
		h := w.serve(&host{}, "192.0.2.1:25", smtpd.Options{MaxMessages: 2})
		for range 4 {
			w.want(w.carry("u@a.example"), taken)
		}
		synctest.Wait()
		if h.visits.Load() != 2 || h.ended.Load() != 2 {
			t.Errorf("%d visits, %d ended", h.visits.Load(), h.ended.Load())
		}
	})
}

// A kept connection that the host has closed meanwhile is no outcome.
func TestAStaleConnectionIsReplacedUnseen(t *testing.T) {
	for name, end := range map[string]string{"closed": "close", "421": "421 4.4.2 idle too long"} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{Idle: time.Minute}, nil, func(w *world) {
				alone(w)
				w.script("192.0.2.9:25", perConn(func(n int) func(string) string {
					mails := 0
					return func(line string) string {
						if strings.HasPrefix(line, "MAIL") {
							if mails++; n == 1 && mails == 2 {
								return end
							}
						}
						return ""
					}
				}))
				for range 3 {
					w.want(w.carry(lone), "lone.example[192.0.2.9] dot: 250 kept +taken")
				}
				if len(w.dialled) != 2 {
					t.Errorf("dialled %q", w.dialled)
				}
			})
		})
	}
}

// Exim's smtp_accept_max_nonmail counts RSET.
func TestAMessageIsNotRefusedForTheSakeOfThoseBefore(t *testing.T) {
	for name, most := range map[string]int{"the eleventh RSET refused": 10, "every RSET refused": 0} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, nil, func(w *world) {
				alone(w)
				w.script("192.0.2.9:25", perConn(func(int) func(string) string {
					resets, good := 0, false
					return func(line string) string {
						switch {
						case strings.HasPrefix(line, "EHLO"):
							return "250-host\r\n250 PIPELINING"
						case strings.HasPrefix(line, "RCPT"):
							if good = strings.Contains(line, lone); !good {
								return "451 4.7.1 greylisted"
							}
						case line == "DATA" && !good:
							return "503 Valid RCPT command must precede DATA"
						case line == "RSET":
							if resets++; resets > most {
								return "554 Too many nonmail commands"
							}
						}
						return ""
					}
				}))
				for range 11 {
					w.want(w.carry("grey@lone.example"), "lone.example[192.0.2.9] rcpt: 451 4.7.1 greylisted +greylisted")
				}
				w.want(w.carry(lone), "lone.example[192.0.2.9] dot: 250 kept +taken")
				if want := 11 - most + 1; len(w.dialled) != want {
					t.Errorf("dialled %d times, want %d", len(w.dialled), want)
				}
			})
		})
	}
}

// After a restart of the host every kept connection is stale. One of them tells, and
// a new one is opened.
func TestAfterOneStaleConnectionANewOneIsOpened(t *testing.T) {
	inWorld(t, Options{Idle: time.Minute}, nil, func(w *world) {
		alone(w)
		var restarted atomic.Bool
		w.script("192.0.2.9:25", func(n int, line string) string {
			switch {
			case restarted.Load() && n <= 3 && strings.HasPrefix(line, "MAIL"):
				return "close"
			case !restarted.Load() && line == ".":
				time.Sleep(time.Second) // so that three are open at a time
			}
			return ""
		})
		for range 3 {
			go w.carry(lone)
		}
		time.Sleep(2 * time.Second)
		restarted.Store(true)
		w.want(w.carry(lone), "lone.example[192.0.2.9] dot: 250 kept +taken")
		if len(w.dialled) != 4 || w.carrier.pool.count != 3 {
			t.Errorf("dialled %q, %d kept", w.dialled, w.carrier.pool.count)
		}
	})
}

func TestAFullPoolEndsWhatItCannotKeep(t *testing.T) {
	inWorld(t, Options{Kept: 1, Idle: time.Hour}, nil, func(w *world) {
		w.zone.Add("b.example", "A 192.0.2.9")
		one := w.serve(&host{}, "192.0.2.1:25", smtpd.Options{})
		two := w.serve(&host{}, "192.0.2.9:25", smtpd.Options{})
		for range 3 {
			w.carry("u@a.example")
		}
		w.carry("u@b.example")
		synctest.Wait()
		if one.visits.Load() != 1 || one.ended.Load() != 0 || two.ended.Load() != 1 {
			t.Errorf("ended: %d, %d", one.ended.Load(), two.ended.Load())
		}
	})
}

func TestClosingEndsWhatIsKeptAndWhatComesLater(t *testing.T) {
	inWorld(t, Options{Idle: time.Hour}, nil, func(w *world) {
		h := w.serve(&host{}, "192.0.2.1:25", smtpd.Options{})
		w.carry("u@a.example")
		w.carrier.Close()
		synctest.Wait()
		if h.ended.Load() != 1 {
			t.Error("a kept connection outlived Close")
		}
		w.want(w.carry("u@a.example"), taken)
		synctest.Wait()
		if h.visits.Load() != 2 || h.ended.Load() != 2 {
			t.Errorf("%d visits, %d ended", h.visits.Load(), h.ended.Load())
		}
	})
}

// A host that is slow to answer QUIT holds up neither the message nor the end.
func TestNobodyWaitsForAGoodBye(t *testing.T) {
	routes := []route.Route{{Domain: "*", Limits: route.Limits{MaxMessages: 1}}}
	inWorld(t, Options{}, routes, func(w *world) {
		answering("QUIT", "hang")(w)
		began := time.Now()
		w.want(w.carry("u@a.example"), "mx1.a.example[192.0.2.1] dot: 250 kept +taken")
		if d := time.Since(began); d != 0 {
			t.Errorf("waited %v", d)
		}
		w.carrier.Close()
		if d := time.Since(began); d > goodBye {
			t.Errorf("closing took %v", d)
		}
	})
}

// ctx may end between the last answer and the giving back.
func TestAConnectionWhoseContextEndedIsNotKept(t *testing.T) {
	inWorld(t, Options{Idle: time.Hour}, nil, func(w *world) {
		w.serve(&host{}, "192.0.2.1:25", smtpd.Options{})
		f := w.carrier.find(w.Context(), "a.example", "")
		cn, o := w.carrier.open(w.Context(), f.hop, "")
		if cn == nil {
			t.Fatal(o)
		}
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		w.carrier.release(ctx, f.hop, cn)
		if w.carrier.pool.take(f.hop.Lane) != nil || cn.Reusable() {
			t.Error("kept")
		}
	})
}

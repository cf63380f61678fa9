package carrier

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/memnet"
	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/mail"
)

// The single host of the tests that need one.
const lone = "u@lone.example"

func alone(w *world) { w.zone.Add("lone.example", "A 192.0.2.9") }

// T-04: who reads the outcome knows whether nobody listens, nobody answers, or
// somebody is slow to speak.
func TestEachSilenceHasItsOwnWords(t *testing.T) {
	for _, tt := range []struct {
		name  string
		world func(*world)
		took  time.Duration
		want  string
	}{
		{"nobody listens", func(w *world) {}, 0, "lone.example[192.0.2.9] connect: 4.4.1 cannot connect to lone.example[192.0.2.9]:25: connection refused +ours +unreachable"},
		{"packets vanish", func(w *world) { w.net.Set("192.0.2.9", memnet.Fault{Dial: memnet.Silent}) }, 20 * time.Second,
			"lone.example[192.0.2.9] connect: 4.4.1 cannot connect to lone.example[192.0.2.9]:25: connection timed out, no answer within 20s +ours +unreachable"},
		{"no route", func(w *world) { w.net.Set("192.0.2.9", memnet.Fault{Dial: memnet.Unreachable}) }, 0,
			"lone.example[192.0.2.9] connect: 4.4.1 cannot connect to lone.example[192.0.2.9]:25: no route to host +ours +unreachable"},
		{"no greeting", func(w *world) { w.script("192.0.2.9:25", func(int, string) string { return "hang" }) }, 5 * time.Minute,
			"lone.example[192.0.2.9] greeting: 4.4.2 no greeting within 5m0s +ours +unreachable"},
		{"closed at once", func(w *world) { w.script("192.0.2.9:25", func(int, string) string { return "close" }) }, 0,
			"lone.example[192.0.2.9] greeting: 4.4.2 connection closed by the host before the greeting +ours +unreachable"},
		{"reset", func(w *world) {
			w.script("192.0.2.9:25", func(int, string) string { return "" })
			w.net.Set("192.0.2.9", memnet.Fault{ResetReceived: 5})
		}, 0, "lone.example[192.0.2.9] greeting: 4.4.2 connection reset by the host before the greeting +ours +unreachable"},
		{"no SMTP", func(w *world) {
			w.script("192.0.2.9:25", func(int, string) string { return "HTTP/1.1 400 Bad Request" })
		}, 0, `lone.example[192.0.2.9] greeting: 4.5.0 not an SMTP reply: "HTTP/1.1 400 Bad Request" +ours +unreachable`},
		{"deferred at the door", func(w *world) {
			w.script("192.0.2.9:25", func(int, string) string { return "450 4.7.1 too busy, try again in 10 minutes" })
		}, 0, "lone.example[192.0.2.9] greeting: 450 4.7.1 too busy, try again in 10 minutes +deferred +10m0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{}, nil, func(w *world) {
				alone(w)
				tt.world(w)
				began := time.Now()
				w.want(w.carry(lone), tt.want)
				if took := time.Since(began); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

func TestWordsOfADialThatFailed(t *testing.T) {
	p := place{host: "h.example", ip: "2001:db8::1", port: "25", addr: "[2001:db8::1]:25"}
	wrap := func(e error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", e)}
	}
	for _, tt := range []struct {
		err  error
		want string
		ours bool
	}{
		{wrap(syscall.ENETUNREACH), "network is unreachable", false},
		{wrap(syscall.ETIMEDOUT), "connection timed out", false},
		{wrap(syscall.ECONNRESET), "connection reset", false},
		{wrap(syscall.EADDRNOTAVAIL), "cannot assign requested address", true},
		{wrap(syscall.EMFILE), "too many open files", true},
		{&net.OpError{Op: "dial", Err: &net.AddrError{Err: "odd\r\naddress", Addr: "x"}}, "address x: odd??address", false},
	} {
		if got := dialWords(tt.err, p); got != "cannot connect to h.example[2001:db8::1]:25: "+tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
		if ownFault(tt.err) != tt.ours {
			t.Errorf("%v: ours %v", tt.err, !tt.ours)
		}
	}
}

func TestTheNextHostTakesWhatTheFirstWillNot(t *testing.T) {
	const taken = "mx2.a.example[192.0.2.2] dot: 250 2.0.0 Kept +taken"
	for name, first := range map[string]func(*world){
		"refused": func(w *world) {},
		"silent":  func(w *world) { w.net.Set("192.0.2.1", memnet.Fault{Dial: memnet.Silent}) },
		"421 at the door": func(w *world) {
			w.script("192.0.2.1:25", func(int, string) string { return "421 4.3.2 busy" })
		},
		"554 at the door": func(w *world) {
			w.script("192.0.2.1:25", func(int, string) string { return "554 no SMTP service here" })
		},
		"450 to EHLO":  answering("EHLO", "450 4.3.0 not now"),
		"421 to MAIL":  answering("MAIL", "421 4.3.2 shutting down"),
		"421 to RCPT":  answering("RCPT", "421 4.3.2 shutting down"),
		"mute to EHLO": answering("EHLO", "hang"),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, nil, func(w *world) {
				first(w)
				w.serve(&host{}, "192.0.2.2:25", smtpd.Options{})
				w.want(w.carry("u@a.example"), taken)
			})
		})
	}
}

// answering makes the first host give one answer to one verb.
func answering(verb, answer string) func(*world) {
	return func(w *world) {
		w.script("192.0.2.1:25", func(_ int, line string) string {
			if strings.HasPrefix(line, verb) {
				return answer
			}
			return ""
		})
	}
}

// What is about the message is the outcome: another host would say the same, or
// the greylist of another host would begin to count anew.
func TestAnAnswerAboutTheMessageIsTheOutcome(t *testing.T) {
	for _, tt := range []struct{ verb, answer, want string }{
		{"MAIL", "451 4.7.0 later", "mx1.a.example[192.0.2.1] mail: 451 4.7.0 later +deferred"},
		{"RCPT", "450 4.2.0 Greylisted, try again in 300 seconds", "mx1.a.example[192.0.2.1] rcpt: 450 4.2.0 Greylisted, try again in 300 seconds +greylisted +5m0s"},
		{"RCPT", "550 5.1.1 no such person", "mx1.a.example[192.0.2.1] rcpt: 550 5.1.1 no such person +refused"},
		{"DATA", "421 4.3.2 shutting down", "mx1.a.example[192.0.2.1] data: 421 4.3.2 shutting down +deferred"},
		{".", "452 4.3.1 no room", "mx1.a.example[192.0.2.1] dot: 452 4.3.1 no room +deferred"},
	} {
		inWorld(t, Options{}, nil, func(w *world) {
			answering(tt.verb, tt.answer)(w)
			second := w.serve(&host{}, "192.0.2.2:25", smtpd.Options{})
			w.want(w.carry("u@a.example"), tt.want)
			if second.visits.Load() != 0 {
				t.Errorf("%s: the second host was asked", tt.answer)
			}
		})
	}
}

func TestTheClearestOfTheHostsIsTheOutcome(t *testing.T) {
	const (
		refusal = "554 5.3.2 no mail here"
		never   = "521 5.3.2 no mail ever"
		later   = "450 4.3.2 later"
		dead    = ""
	)
	for _, tt := range []struct{ first, second, want string }{
		{refusal, refusal, "mx2.a.example[192.0.2.2] greeting: " + refusal + " +refused"},
		{refusal, later, "mx2.a.example[192.0.2.2] greeting: " + later + " +deferred"},
		{later, refusal, "mx1.a.example[192.0.2.1] greeting: " + later + " +deferred"},
		{later, dead, "mx1.a.example[192.0.2.1] greeting: " + later + " +deferred"},
		{refusal, dead, "mx2.a.example[192.0.2.2] connect: 4.4.1 cannot connect to mx2.a.example[192.0.2.2]:25: connection refused +ours +unreachable"},
		{dead, refusal, "mx1.a.example[192.0.2.1] connect: 4.4.1 cannot connect to mx1.a.example[192.0.2.1]:25: connection refused +ours +unreachable"},
		{never, later, "mx1.a.example[192.0.2.1] greeting: " + never + " +refused"},
		{dead, never, "mx1.a.example[192.0.2.1] connect: 4.4.1 cannot connect to mx1.a.example[192.0.2.1]:25: connection refused +ours +unreachable"},
	} {
		inWorld(t, Options{}, nil, func(w *world) {
			for i, s := range []string{tt.first, tt.second} {
				if s != dead {
					w.script(fmt.Sprintf("192.0.2.%d:25", i+1), func(int, string) string { return s })
				}
			}
			w.want(w.carry("u@a.example"), tt.want)
			w.want(w.carry("u@a.example"), tt.want) // also when the dead one is tried last
		})
	}
}

func TestANetworkWeDoNotHaveSaysNothing(t *testing.T) {
	p := place{host: "h"}
	no := p.outcome(smtpcOwn(mail.Connect, "cannot connect to h: "+noNetwork))
	refused := p.outcome(smtpcTheirs(mail.Greeting, 554))
	if got := clearer(refused, no); !got.Refuses() {
		t.Errorf("%+v", got)
	}
	if got := clearer(no, p.outcome(smtpcOwn(mail.Connect, "connection refused"))); strings.HasSuffix(got.Reply.Text, noNetwork) {
		t.Errorf("%+v", got)
	}
}

func TestADeadFirstHostCostsOneMessageItsTimeOut(t *testing.T) {
	inWorld(t, Options{Idle: time.Second}, nil, func(w *world) {
		w.net.Set("192.0.2.1", memnet.Fault{Dial: memnet.Silent})
		w.serve(&host{}, "192.0.2.2:25", smtpd.Options{})
		took := func() time.Duration {
			began := time.Now()
			w.want(w.carry("u@a.example"), "mx2.a.example[192.0.2.2] dot: 250 2.0.0 Kept +taken")
			d := time.Since(began)
			time.Sleep(2 * time.Second) // no connection is kept
			return d
		}
		if d := took(); d != 20*time.Second {
			t.Errorf("the first message waited %v", d)
		}
		for range 3 {
			if d := took(); d != 0 {
				t.Errorf("a later one waited %v", d)
			}
		}
		time.Sleep(deadLife)
		if d := took(); d != 20*time.Second {
			t.Errorf("the dead host was not tried again: %v", d)
		}
		w.net.Set("192.0.2.1", memnet.Fault{})
		time.Sleep(deadLife)
		first := w.serve(&host{}, "192.0.2.1:25", smtpd.Options{})
		w.want(w.carry("u@a.example"), "mx1.a.example[192.0.2.1] dot: 250 2.0.0 Kept +taken")
		if first.visits.Load() != 1 {
			t.Error("the first host is back and was not asked first")
		}
		time.Sleep(2 * time.Second)
		w.want(w.carry("u@a.example"), "mx1.a.example[192.0.2.1] dot: 250 2.0.0 Kept +taken")
	})
}

func TestOneAttemptAtATimeFindsOutWhetherAHostIsBack(t *testing.T) {
	inWorld(t, Options{}, nil, func(w *world) {
		w.net.Set("192.0.2.1", memnet.Fault{Dial: memnet.Silent})
		w.serve(&host{}, "192.0.2.2:25", smtpd.Options{})
		w.carry("u@a.example")
		time.Sleep(deadLife)
		w.dialled = nil
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { w.carry("u@a.example") })
		}
		wg.Wait()
		if n := strings.Count(strings.Join(w.dialled, " "), "192.0.2.1:25"); n != 1 {
			t.Errorf("%d waited for the dead host", n)
		}
	})
}

func TestAChangedWayIsTaken(t *testing.T) {
	inWorld(t, Options{}, nil, func(w *world) {
		w.serve(&host{}, "192.0.2.1:25", smtpd.Options{})
		w.serve(&host{}, "192.0.2.9:25", smtpd.Options{})
		w.carry("u@a.example")
		w.zone.Remove("a.example")
		w.zone.Add("a.example", "MX 10 lone.example")
		alone(w)
		time.Sleep(wayLife)
		w.want(w.carry("u@a.example"), "lone.example[192.0.2.9] dot: 250 2.0.0 Kept +taken")
	})
}

func TestWhereAllAreDeadTheirOrderIsKept(t *testing.T) {
	inWorld(t, Options{}, nil, func(w *world) {
		w.carry("u@a.example")
		w.carry("u@a.example")
		w.want(strings.Join(w.dialled, " "), "192.0.2.1:25 192.0.2.2:25 192.0.2.1:25 192.0.2.2:25")
	})
}

func TestTheMemoryOfTheDeadIsBounded(t *testing.T) {
	var d dead
	for i := range deadKept + 10 {
		d.add(fmt.Sprint(i))
	}
	if len(d.at) > deadKept {
		t.Errorf("%d kept", len(d.at))
	}
}

func TestAnAttemptKnocksAtABoundedNumberOfAddresses(t *testing.T) {
	inWorld(t, Options{}, nil, func(w *world) {
		for i := range 12 {
			w.zone.Add("many.example", fmt.Sprintf("MX %d mx%d.many.example", i, i))
			w.zone.Add(fmt.Sprintf("mx%d.many.example", i), fmt.Sprintf("A 192.0.2.%d", 100+i))
		}
		w.serve(&host{}, "192.0.2.111:25", smtpd.Options{})
		w.carry("u@many.example")
		if len(w.dialled) != mostPlaces {
			t.Errorf("dialled %q", w.dialled)
		}
		w.want(w.carry("u@many.example"), "mx11.many.example[192.0.2.111] dot: 250 2.0.0 Kept +taken")
	})
}

func TestNoWayIsAnOutcomeToo(t *testing.T) {
	routes := []route.Route{{Domain: "own.example", To: []route.Target{{Kind: route.Relay, Host: "gone.example"}}, Rule: "p.toml:3"}}
	inWorld(t, Options{}, routes, func(w *world) {
		w.want(w.carry("u@none.example"), "[] route: 5.1.2 none.example: no such domain (NXDOMAIN from zone) +refused +ours")
		w.want(w.carry("u@own.example"), "[] route: 4.4.4 next hop smtp:gone.example:25: NXDOMAIN from zone +ours +unrouted")
		if way := w.carrier.Way(w.Context(), "own.example", ""); way.None == nil || way.Rule != "p.toml:3" || way.Text != "no way to own.example" {
			t.Errorf("%+v", way)
		}
	})
}

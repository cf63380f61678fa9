package carrier

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/memnet"
	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/mail"
)

func smarthost(domain string) route.Route {
	return route.Route{Domain: domain, To: []route.Target{{Kind: route.Relay, Host: "192.0.2.50"}}, Rule: "p.toml:7 route"}
}

func TestTwoInOneDomainMayHaveDifferentFates(t *testing.T) {
	inWorld(t, Options{}, nil, func(w *world) {
		h := w.serve(&host{answers: map[string]mail.Reply{
			"gone": {Code: 550, Status: mail.Status{5, 1, 1}, Text: "no such person"},
			"full": {Code: 452, Status: mail.Status{4, 2, 2}, Text: "mailbox full"},
		}}, "192.0.2.1:25", smtpd.Options{})
		w.want(w.carry("gone@a.example", "ok@a.example", "full@a.example", "fine@a.example"),
			"[0] mx1.a.example[192.0.2.1] rcpt: 550 5.1.1 no such person +refused",
			"[1 3] mx1.a.example[192.0.2.1] dot: 250 2.0.0 Kept +taken",
			"[2] mx1.a.example[192.0.2.1] rcpt: 452 4.2.2 mailbox full +deferred")
		if d := cmp.Diff([]string{text}, h.bodies); d != "" {
			t.Error(d)
		}
	})
}

// A host that says much to each of many recipients does not make an attempt that is too
// long to be stored (internal/spool/local bounds a step).
func TestManyLongRepliesAreCut(t *testing.T) {
	inWorld(t, Options{}, nil, func(w *world) {
		answers, to := map[string]mail.Reply{}, []string{"ok@a.example"}
		for i := range 40 {
			name := fmt.Sprintf("gone%02d", i)
			to = append(to, name+"@a.example")
			answers[name] = mail.Reply{Code: 550, Status: mail.Status{5, 1, 1}, Text: strings.TrimSuffix(strings.Repeat(strings.Repeat("ä", 400)+"\n", 60), "\n")}
		}
		w.serve(&host{answers: answers}, "192.0.2.1:25", smtpd.Options{})
		m, ds := letter(to...)
		a := w.carrier.Carry(w.Context(), custody.Way{}, m, ds, strings.NewReader(text))[0]
		words := 0
		for _, o := range a.Outcomes {
			words += len(o.Reply.Text)
			if o.Reply.Code == 550 && (!strings.HasSuffix(o.Reply.Text, "ä …") || !utf8.ValidString(o.Reply.Text)) {
				t.Errorf("cut to %q", o.Reply.Text[len(o.Reply.Text)-20:])
			}
		}
		if len(a.Outcomes) != 2 || words > maxWords {
			t.Errorf("%d outcomes, %d octets of words", len(a.Outcomes), words)
		}
	})
}

func TestDeliveriesOfOneMessageShareATransaction(t *testing.T) {
	inWorld(t, Options{}, []route.Route{smarthost("*")}, func(w *world) {
		h := w.serve(&host{answers: map[string]mail.Reply{"gone": {Code: 550, Text: "who?"}}}, "192.0.2.50:25", smtpd.Options{})
		m, ds := letter("a@x.example", "b@x.example", "gone@y.example", "c@y.example", "d@y.example", "e@z.example")
		ds[0].Rcpts[0].State = custody.HandedOver
		ds[1].Rcpts[1].State = custody.Refused
		as := w.carrier.Carry(w.Context(), custody.Way{}, m, ds, strings.NewReader(text))
		w.want(w.tell(as),
			"0 192.0.2.50[192.0.2.50] dot: 250 2.0.0 Kept +taken",
			"1 [0] 192.0.2.50[192.0.2.50] rcpt: 550 5.0.0 who? +refused",
			"1 [2] 192.0.2.50[192.0.2.50] dot: 250 2.0.0 Kept +taken",
			"2 192.0.2.50[192.0.2.50] dot: 250 2.0.0 Kept +taken")
		if d := cmp.Diff([]string{"b@x.example d@y.example e@z.example"}, h.taken); d != "" {
			t.Error(d)
		}
		if h.visits.Load() != 1 || as[0].Way != "relay 192.0.2.50:25" || as[0].Rule != "p.toml:7 route" {
			t.Errorf("%d visits, %+v", h.visits.Load(), as[0])
		}
	})
}

// Thousands of domains have the same hosts. What happened to the mail for one must
// not be told in the name of another.
func TestAnAttemptNamesItsOwnDomain(t *testing.T) {
	inWorld(t, Options{}, nil, func(w *world) {
		w.zone.Add("b.example", "MX 10 mx1.a.example", "MX 20 mx2.a.example")
		h := w.serve(&host{}, "192.0.2.1:25", smtpd.Options{})
		m, ds := letter("u@a.example", "u@b.example")
		site := w.carrier.Way(w.Context(), "a.example", "").Site
		if other := w.carrier.Way(w.Context(), "b.example", ""); other.Site != site {
			t.Errorf("%q is not %q", other.Site, site)
		}
		as := w.carrier.Carry(w.Context(), custody.Way{Site: site, Text: "mx b.example"}, m, ds, strings.NewReader(text))
		if as[0].Way != "mx a.example" || as[1].Way != "mx b.example" || len(h.taken) != 1 {
			t.Errorf("%+v %q", as, h.taken)
		}
	})
}

// An operator's order changes the next hop, not what the domain's route demands.
func TestMailByAnOrderedHopKeepsTheDemandsOfItsDomain(t *testing.T) {
	careful := smarthost("careful.example")
	careful.TLS = route.Require
	inWorld(t, Options{}, []route.Route{careful}, func(w *world) {
		h := w.serve(&host{}, "192.0.2.60:25", smtpd.Options{})
		m, ds := letter("u@plain.example", "u@careful.example")
		ds[0].Via, ds[1].Via = "smtp:192.0.2.60", "smtp:192.0.2.60"
		as := w.carrier.Carry(w.Context(), custody.Way{}, m, ds, strings.NewReader(text))
		w.want(w.tell(as),
			"0 192.0.2.60[192.0.2.60] dot: 250 2.0.0 Kept +taken",
			"1 192.0.2.60[192.0.2.60] tls: 4.7.5 host does not offer STARTTLS, and the route demands it +ours +unreachable")
		if d := cmp.Diff([]string{"u@plain.example"}, h.taken); d != "" {
			t.Error(d)
		}
	})
}

func TestAHostsLimitOnRecipientsMakesSeveralTransactions(t *testing.T) {
	to := []string{"a@lone.example", "b@lone.example", "c@lone.example", "d@lone.example", "e@lone.example"}
	for name, say := range map[string]func(n int) func(line string) string{
		"announced": func(int) func(string) string {
			return func(line string) string {
				if strings.HasPrefix(line, "EHLO") {
					return "250-host\r\n250 LIMITS RCPTMAX=2"
				}
				return ""
			}
		},
		"by 452": func(int) func(string) string {
			n := 0
			return func(line string) string {
				switch verb, _, _ := strings.Cut(line, " "); verb {
				case "MAIL":
					n = 0
				case "RCPT":
					if n++; n > 2 {
						return "452 4.5.3 too many recipients"
					}
				}
				return ""
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, nil, func(w *world) {
				alone(w)
				dots := 0
				w.script("192.0.2.9:25", perConn(func(n int) func(string) string {
					next := say(n)
					return func(line string) string {
						if line == "." {
							dots++
						}
						return next(line)
					}
				}))
				w.want(w.carry(to...), "lone.example[192.0.2.9] dot: 250 kept +taken")
				if dots != 3 || len(w.dialled) != 1 {
					t.Errorf("%d transactions, %d connections", dots, len(w.dialled))
				}
			})
		})
	}
}

// perConn gives each connection a memory of its own.
func perConn(begin func(n int) func(line string) string) func(int, string) string {
	var mu sync.Mutex
	conns := map[int]func(string) string{}
	return func(n int, line string) string {
		mu.Lock()
		if conns[n] == nil {
			conns[n] = begin(n)
		}
		say := conns[n]
		mu.Unlock()
		return say(line)
	}
}

// Who is silent in the middle is not asked again for the rest: a thousand recipients
// at a tarpit that takes one at a time would hold a connection for days.
func TestAConnectionLostInTheMiddleIsHeardByAll(t *testing.T) {
	inWorld(t, Options{}, nil, func(w *world) {
		alone(w)
		w.script("192.0.2.9:25", func(_ int, line string) string {
			switch {
			case strings.HasPrefix(line, "EHLO"):
				return "250-host\r\n250 LIMITS RCPTMAX=1"
			case line == ".":
				return "hang"
			}
			return ""
		})
		w.want(w.carry("a@lone.example", "b@lone.example", "c@lone.example"),
			"[0] lone.example[192.0.2.9] dot: 4.4.2 no reply to the final dot within 10m0s +ours +ambiguous",
			"[1 2] lone.example[192.0.2.9] mail: 4.4.2 no reply to the final dot within 10m0s +ours +unreachable")
		if len(w.dialled) != 1 {
			t.Errorf("dialled %q", w.dialled)
		}
	})
}

func TestAHostThatSpeaksUnaskedIsHeard(t *testing.T) {
	inWorld(t, Options{}, nil, func(w *world) {
		alone(w)
		w.script("192.0.2.9:25", func(_ int, line string) string {
			if strings.HasPrefix(line, "EHLO") {
				return "250 host\r\n250 and more"
			}
			return ""
		})
		w.want(w.carry(lone), "lone.example[192.0.2.9] hello: 4.5.0 host spoke before it was spoken to +ours +unreachable")
	})
}

// 421 to the first recipients and no other host: what was said is the outcome, and
// a refusal heard before it stands.
func TestAClosingHostWithoutASecondIsTheOutcome(t *testing.T) {
	closes := func(_ int, line string) string {
		switch {
		case strings.Contains(line, "gone@"):
			return "550 5.1.1 no such person"
		case strings.HasPrefix(line, "RCPT"):
			return "421 4.3.2 shutting down"
		}
		return ""
	}
	inWorld(t, Options{}, nil, func(w *world) {
		alone(w)
		w.script("192.0.2.9:25", closes)
		w.want(w.carry("gone@lone.example", "b@lone.example"),
			"[0] lone.example[192.0.2.9] rcpt: 550 5.1.1 no such person +refused",
			"[1] lone.example[192.0.2.9] rcpt: 421 4.3.2 shutting down +deferred")
	})
	inWorld(t, Options{}, nil, func(w *world) { // the second host is dead: words tell more
		w.script("192.0.2.1:25", closes)
		w.want(w.carry("gone@a.example", "b@a.example"),
			"[0] mx1.a.example[192.0.2.1] rcpt: 550 5.1.1 no such person +refused",
			"[1] mx1.a.example[192.0.2.1] rcpt: 421 4.3.2 shutting down +deferred")
	})
	inWorld(t, Options{}, nil, func(w *world) { // both close: each is asked once
		w.script("192.0.2.1:25", closes)
		w.script("192.0.2.2:25", closes)
		w.want(w.carry("b@a.example"), "mx2.a.example[192.0.2.2] rcpt: 421 4.3.2 shutting down +deferred")
		w.want(strings.Join(w.dialled, " "), "192.0.2.1:25 192.0.2.2:25")
	})
}

func TestALostAnswerToTheDotIsAmbiguous(t *testing.T) {
	inWorld(t, Options{}, nil, func(w *world) {
		answering(".", "close")(w)
		second := w.serve(&host{}, "192.0.2.2:25", smtpd.Options{})
		w.want(w.carry("u@a.example"), "mx1.a.example[192.0.2.1] dot: 4.4.2 connection closed by the host before it replied to the final dot +ours +ambiguous")
		if second.visits.Load() != 0 {
			t.Error("a message that may have been taken went to a second host at once")
		}
	})
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, errors.New("disk /var/lib gone") }

func TestAMessageThatCannotBeReadIsOurFault(t *testing.T) {
	inWorld(t, Options{}, nil, func(w *world) {
		h := w.serve(&host{}, "192.0.2.1:25", smtpd.Options{})
		m, ds := letter("u@a.example")
		got := w.tell(w.carrier.Carry(w.Context(), custody.Way{}, m, ds, broken{}))
		w.want(got, "mx1.a.example[192.0.2.1] data: 4.3.0 stored message could not be read +ours +ours")
		if !strings.Contains(w.log.String(), "disk /var/lib gone") || len(h.taken) != 0 {
			t.Errorf("log %q, taken %q", w.log.String(), h.taken)
		}
	})
}

func TestAnAttemptCutShortBeforeAnythingWasKnownIsNone(t *testing.T) {
	for name, begin := range map[string]func(*world){
		"in the DNS":      func(w *world) { w.zone.Delay(time.Hour) },
		"connecting":      func(w *world) { w.net.Set("192.0.2.1", memnet.Fault{Dial: memnet.Silent}) },
		"at the greeting": func(w *world) { w.script("192.0.2.1:25", func(int, string) string { return "hang" }) },
		"at MAIL":         answering("MAIL", "hang"),
		"at RCPT":         answering("RCPT", "hang"),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, nil, func(w *world) {
				begin(w)
				ctx, cancel := context.WithCancel(w.Context())
				time.AfterFunc(10*time.Second, cancel) // as the end of the program does
				m, ds := letter("u@a.example")
				if as := w.carrier.Carry(ctx, custody.Way{}, m, ds, strings.NewReader(text)); as != nil {
					t.Errorf("%+v", as)
				}
				if len(w.carrier.pool.idle) > 0 || len(w.carrier.dead.at) > 0 {
					t.Errorf("kept %v, thought dead %v", w.carrier.pool.idle, w.carrier.dead.at)
				}
			})
		})
	}
}

func TestWhatWasKnownWhenAnAttemptWasCutShortIsTold(t *testing.T) {
	inWorld(t, Options{}, nil, func(w *world) {
		w.script("192.0.2.1:25", func(_ int, line string) string {
			switch {
			case strings.Contains(line, "gone@"):
				return "550 5.1.1 no such person"
			case line == "DATA":
				return "hang"
			}
			return ""
		})
		ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
		defer cancel()
		m, ds := letter("gone@a.example", "b@a.example")
		as := w.carrier.Carry(ctx, custody.Way{}, m, ds, strings.NewReader(text))
		w.want(w.tell(as), "[0] mx1.a.example[192.0.2.1] rcpt: 550 5.1.1 no such person +refused")
	})
	inWorld(t, Options{}, nil, func(w *world) { // after the dot the host may have it
		answering(".", "hang")(w)
		ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
		defer cancel()
		m, ds := letter("b@a.example")
		as := w.carrier.Carry(ctx, custody.Way{}, m, ds, strings.NewReader(text))
		w.want(w.tell(as), "mx1.a.example[192.0.2.1] dot: 4.4.2 attempt stopped by us while waiting for the host's reply to the final dot +ours +ambiguous")
	})
}

func TestTheWayCarriesTheLimitsOfItsRoute(t *testing.T) {
	r := smarthost("a.example")
	r.Limits = route.Limits{MaxConns: 3, Messages: 10, Per: time.Minute}
	inWorld(t, Options{}, []route.Route{r}, func(w *world) {
		way := w.carrier.Way(w.Context(), "a.example", "")
		if way.Parallel != 3 || way.Gap != 6*time.Second || way.Text != "relay 192.0.2.50:25" || way.Rule != r.Rule || way.None != nil {
			t.Errorf("%+v", way)
		}
	})
}

func TestASourceAddressIsUsed(t *testing.T) {
	r := smarthost("*")
	r.Source, r.Helo = netip.MustParseAddr("198.51.100.77"), "other.example"
	inWorld(t, Options{}, []route.Route{r}, func(w *world) {
		var heard, from string
		l := w.listen("192.0.2.50:25")
		done := make(chan struct{})
		go func() {
			defer close(done)
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			from = c.RemoteAddr().String()
			follow(c, 1, func(_ int, line string) string {
				if strings.HasPrefix(line, "EHLO") {
					heard = line
				}
				return ""
			})
		}()
		w.want(w.carry("u@a.example"), "192.0.2.50[192.0.2.50] dot: 250 kept +taken")
		w.carrier.Close()
		<-done
		l.Close()
		if heard != "EHLO other.example" || !strings.HasPrefix(from, "198.51.100.77:") {
			t.Errorf("%q from %s", heard, from)
		}
		synctest.Wait()
	})
}

func TestTimeLeftForDeliverByIsToldToTheHost(t *testing.T) {
	inWorld(t, Options{}, nil, func(w *world) {
		alone(w)
		var said string
		w.script("192.0.2.9:25", func(_ int, line string) string {
			switch {
			case strings.HasPrefix(line, "EHLO"):
				return "250-host\r\n250 DELIVERBY"
			case strings.HasPrefix(line, "MAIL"):
				said = line
			}
			return ""
		})
		m, ds := letter(lone)
		m.Envelope.By = mail.DeliverBy{Within: time.Hour, Notify: true}
		time.Sleep(20 * time.Minute)
		w.want(w.tell(w.carrier.Carry(w.Context(), custody.Way{}, m, ds, strings.NewReader(text))), "lone.example[192.0.2.9] dot: 250 kept +taken")
		if said != "MAIL FROM:<me@us.example> BY=2400;N" {
			t.Error(said)
		}
	})
}

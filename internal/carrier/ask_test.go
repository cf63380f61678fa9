package carrier

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/internal/memnet"
	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/mail"
)

// ask asks about an address and tells what came of it.
func (w *world) ask(to, via string) string {
	w.Helper()
	return w.askWithin(time.Hour, to, via)
}

func (w *world) askWithin(d time.Duration, to, via string) string {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), d)
	defer cancel()
	local, domain, _ := strings.Cut(to, "@")
	r, err := w.carrier.Ask(ctx, mail.Address{Local: local, Domain: domain}, via)
	switch {
	case err != nil && !r.IsZero():
		w.Errorf("a reply and an error: %+v, %v", r, err)
	case err != nil && errors.Is(err, context.DeadlineExceeded) != (ctx.Err() != nil):
		w.Errorf("the context has %v, the error is %v", ctx.Err(), err)
	case err != nil:
		return err.Error()
	}
	return r.Line()
}

// names answers by the local part.
func names() *host {
	return &host{answers: map[string]mail.Reply{
		"gone": {Code: 550, Status: mail.Status{5, 1, 1}, Text: "no such person\nin this house"},
		"full": {Code: 452, Status: mail.Status{4, 2, 2}, Text: "mailbox full"},
	}}
}

func TestANextHopSaysWhetherItTakesARecipient(t *testing.T) {
	for _, tt := range []struct {
		name, listen, via string
		routes            []route.Route
		o                 smtpd.Options
	}{
		{name: "by MX", listen: "192.0.2.1:25"},
		{name: "by a route", listen: "192.0.2.50:25", routes: []route.Route{smarthost("*")}},
		{name: "by an order", listen: "192.0.2.60:2525", via: "smtp:192.0.2.60:2525", routes: []route.Route{smarthost("*")}},
		{name: "LMTP", listen: "unix:/run/lmtp", via: "lmtp:unix:/run/lmtp", o: smtpd.Options{LMTP: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{}, tt.routes, func(w *world) {
				h := w.serve(names(), tt.listen, tt.o)
				w.want(w.ask("gone@A.example", tt.via), "550 5.1.1 no such person / in this house")
				w.want(w.ask("full@a.example", tt.via), "452 4.2.2 mailbox full")
				if got := w.ask("ok@a.example", tt.via); !strings.HasPrefix(got, "250 2.1.5") {
					t.Error(got)
				}
				synctest.Wait()
				if h.visits.Load() != 1 || len(h.taken) != 0 {
					t.Errorf("%d visits, %q taken", h.visits.Load(), h.taken)
				}
			})
		})
	}
}

// Questions and messages share connections, and leave them clean.
func TestAQuestionUsesTheConnectionsThatAreKept(t *testing.T) {
	inWorld(t, Options{}, nil, func(w *world) {
		h := w.serve(names(), "192.0.2.1:25", smtpd.Options{})
		const gone = "550 5.1.1 no such person / in this house"
		w.want(w.ask("gone@a.example", ""), gone)
		w.want(w.carry("u@a.example"), taken)
		w.want(w.ask("gone@a.example", ""), gone)
		w.want(w.carry("gone@a.example"), "mx1.a.example[192.0.2.1] rcpt: 550 5.1.1 no such person / in this house +refused")
		w.want(w.ask("full@a.example", ""), "452 4.2.2 mailbox full")
		w.want(w.carry("u@a.example"), taken)
		if h.visits.Load() != 1 || len(h.taken) != 2 {
			t.Errorf("%d visits, %q taken", h.visits.Load(), h.taken)
		}
	})
}

func TestAStaleConnectionIsNoAnswer(t *testing.T) {
	for name, end := range map[string]string{"closed": "close", "421": "421 4.4.2 idle too long"} {
		for _, first := range []string{"a question", "a message"} {
			t.Run(name+" after "+first, func(t *testing.T) {
				inWorld(t, Options{Idle: time.Minute}, nil, func(w *world) {
					alone(w)
					w.script("192.0.2.9:25", perConn(func(n int) func(string) string {
						mails := 0
						return func(line string) string {
							switch {
							case strings.HasPrefix(line, "MAIL"):
								if mails++; n == 1 && mails == 2 {
									return end
								}
							case strings.HasPrefix(line, "RCPT TO:<gone"):
								return "550 5.1.1 who?"
							}
							return ""
						}
					}))
					if first == "a message" {
						w.carry(lone)
					} else {
						w.ask(lone, "")
					}
					w.want(w.ask("gone@lone.example", ""), "550 5.1.1 who?")
					w.want(w.carry(lone), "lone.example[192.0.2.9] dot: 250 kept +taken")
					if len(w.dialled) != 2 {
						t.Errorf("dialled %q", w.dialled)
					}
				})
			})
		}
	}
}

// Of several kept connections that are stale, or lead to a host that closes, one is
// enough to know.
func TestOneKeptConnectionTellsOfAll(t *testing.T) {
	for _, tt := range []struct {
		verb, end string
		dialled   string
	}{
		{"MAIL", "close", "192.0.2.1:25 192.0.2.1:25 192.0.2.1:25"},
		{"RCPT", "421 4.3.2 shutting down", "192.0.2.1:25 192.0.2.1:25 192.0.2.2:25"},
	} {
		inWorld(t, Options{Idle: time.Minute}, nil, func(w *world) {
			var restarted atomic.Bool
			ended := 0
			w.script("192.0.2.1:25", func(n int, line string) string {
				switch {
				case restarted.Load() && n <= 2 && strings.HasPrefix(line, tt.verb):
					ended++
					return tt.end
				case line == ".":
					time.Sleep(time.Second) // so that two are open at a time
				}
				return ""
			})
			w.serve(&host{}, "192.0.2.2:25", smtpd.Options{})
			for range 2 {
				go w.carry("u@a.example")
			}
			time.Sleep(2 * time.Second)
			restarted.Store(true)
			if got := w.ask("u@a.example", ""); !strings.HasPrefix(got, "250") {
				t.Error(got)
			}
			if w.want(strings.Join(w.dialled, " "), tt.dialled); ended != 1 {
				t.Errorf("%d were asked in vain", ended)
			}
		})
	}
}

// Whatever is no word about the recipient is an error that says what was heard.
func TestNobodyCouldBeAsked(t *testing.T) {
	const asked = "carrier: ask lone.example[192.0.2.9] about <u@lone.example>: "
	says := func(verb, answer string) func(*world) {
		return func(w *world) {
			w.script("192.0.2.9:25", func(_ int, line string) string {
				if strings.HasPrefix(line, verb) && (verb != "" || line == "") {
					return answer
				}
				return ""
			})
		}
	}
	secret := route.Route{
		Domain: "*", To: []route.Target{{Kind: route.Relay, Host: "192.0.2.9"}},
		Auth: route.Auth{User: "us", PasswordFile: filepath.Join(t.TempDir(), "password")},
	}
	require := []route.Route{{Domain: "*", TLS: route.Require}}
	for _, tt := range []struct {
		name   string
		world  func(*world)
		routes []route.Route
		file   bool // there is a password
		to     string
		want   string
	}{
		{name: "no domain", to: "u", want: "carrier: ask about <u>: mail: address without a domain"},
		{name: "null path", to: "", want: "carrier: ask about <>: mail: address without a domain"},
		{name: "no such domain", to: "u@none.example", want: "carrier: ask about <u@none.example>: route: 5.1.2 none.example: no such domain (NXDOMAIN from zone)"},
		{name: "nobody listens", want: asked + "connect: 4.4.1 cannot connect to lone.example[192.0.2.9]:25: connection refused"},
		{name: "refused at the door", world: says("", "554 5.7.1 you are listed"), want: asked + "greeting: 554 5.7.1 you are listed"},
		{name: "closed at the door", world: says("", "close"), want: asked + "greeting: 4.4.2 connection closed by the host before the greeting"},
		{name: "hello refused", world: says("EHLO", "450 4.7.1 not now"), want: asked + "hello: 450 4.7.1 not now"},
		{name: "closed at hello", world: says("EHLO", "close"), want: asked + "hello: 4.4.2 connection closed by the host before it replied to EHLO"},
		{name: "no TLS", world: says("QUIT", ""), routes: require, want: asked + "tls: 4.7.5 host does not offer STARTTLS, and the route demands it"},
		{name: "no password", routes: []route.Route{secret}, want: "carrier: ask 192.0.2.9 about <u@lone.example>: auth: 4.3.5 this server cannot read its own password for the next hop"},
		{name: "no verified TLS for the password", routes: []route.Route{secret}, file: true, world: says("QUIT", ""),
			want: strings.Replace(asked, "lone.example[", "192.0.2.9[", 1) + `auth: 4.7.0 password not sent: the host has not proven its name (tls = "verify" is needed with auth)`},
		{name: "MAIL refused", world: says("MAIL", "550 5.7.1 no null paths"), want: asked + "mail: 550 5.7.1 no null paths"},
		{name: "MAIL deferred", world: says("MAIL", "451 4.3.0 later"), want: asked + "mail: 451 4.3.0 later"},
		{name: "closing at MAIL", world: says("MAIL", "421 4.3.2 closing"), want: asked + "mail: 421 4.3.2 closing"},
		{name: "closed at MAIL", world: says("MAIL", "close"), want: asked + "mail: 4.4.2 connection closed by the host before it replied to MAIL"},
		{name: "silent at MAIL", world: says("MAIL", "hang"), want: asked + "mail: 4.4.2 no reply to MAIL within 5m0s"},
		{name: "closed at RCPT", world: says("RCPT", "close"), want: asked + "rcpt: 4.4.2 connection closed by the host before it replied to RCPT"},
		{name: "silent at RCPT", world: says("RCPT", "hang"), want: asked + "rcpt: 4.4.2 no reply to RCPT within 5m0s"},
		{name: "no words at RCPT", world: says("RCPT", "huh"), want: asked + `rcpt: 4.5.0 not an SMTP reply: "huh"`},
		{name: "hello with a second reply", world: says("EHLO", "250 host\r\n250 and more"), want: asked + "hello: 4.5.0 host spoke before it was spoken to"},
		{name: "no SMTPUTF8", world: says("QUIT", ""), to: "ü@lone.example", want: strings.Replace(asked, "<u@", "<ü@", 1) + "rcpt: 5.6.7 address is not ASCII and the host does not offer SMTPUTF8"},
		{name: "closed at RSET", world: says("RSET", "close"), want: "250 ok"},
		{name: "RSET refused", world: says("RSET", "500 what?"), want: "250 ok"},
		{name: "silent at RSET", world: says("RSET", "hang"), want: "250 ok"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{Idle: time.Second}, tt.routes, func(w *world) {
				alone(w)
				if tt.file {
					if err := os.WriteFile(secret.Auth.PasswordFile, []byte("s3cret"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if tt.world != nil {
					tt.world(w)
				}
				if tt.to == "" && tt.name != "null path" {
					tt.to = lone
				}
				w.want(w.ask(tt.to, ""), tt.want)
				w.want(w.ask(tt.to, ""), tt.want) // and nothing is left of it
			})
		})
	}
}

// SMTPUTF8 is asked of hosts that offer it.
func TestAForeignAddressIsAskedAboutInFull(t *testing.T) {
	inWorld(t, Options{}, nil, func(w *world) {
		w.zone.Add("xn--bcher-kva.example", "A 192.0.2.9")
		var heard []string
		w.script("192.0.2.9:25", func(_ int, line string) string {
			if heard = append(heard, line); strings.HasPrefix(line, "EHLO") {
				return "250-host\r\n250 SMTPUTF8"
			}
			return ""
		})
		w.want(w.ask("ü@bücher.example", ""), "250 ok")
		w.want(strings.Join(heard[2:], ", "), "MAIL FROM:<> SMTPUTF8, RCPT TO:<ü@bücher.example>, RSET")
	})
}

// A host that closes has not answered: another of the way is asked, once.
func TestAHostThatClosesGivesWayToAnother(t *testing.T) {
	for _, verb := range []string{"MAIL", "RCPT"} {
		inWorld(t, Options{}, nil, func(w *world) {
			answering(verb, "421 4.3.2 shutting down")(w)
			second := w.serve(names(), "192.0.2.2:25", smtpd.Options{})
			w.want(w.ask("gone@a.example", ""), "550 5.1.1 no such person / in this house")
			if second.visits.Load() != 1 || len(w.dialled) != 2 {
				t.Errorf("dialled %q", w.dialled)
			}
		})
	}
	for name, second := range map[string]func(*world){
		"dead": func(*world) {},
		"refuses": func(w *world) {
			w.script("192.0.2.2:25", func(int, string) string { return "554 5.7.1 not you" })
		},
	} {
		t.Run(name, func(t *testing.T) { // then what was said stands
			inWorld(t, Options{}, nil, func(w *world) {
				answering("RCPT", "421 4.3.2 shutting down")(w)
				second(w)
				w.want(w.ask("u@a.example", ""), "421 4.3.2 shutting down")
				w.want(strings.Join(w.dialled, " "), "192.0.2.1:25 192.0.2.2:25")
			})
		})
	}
	inWorld(t, Options{}, nil, func(w *world) { // both close
		answering("RCPT", "421 4.3.2 first closes")(w)
		w.script("192.0.2.2:25", func(_ int, line string) string {
			if strings.HasPrefix(line, "RCPT") {
				return "421 4.3.2 second closes"
			}
			return ""
		})
		w.want(w.ask("u@a.example", ""), "421 4.3.2 second closes")
		w.want(strings.Join(w.dialled, " "), "192.0.2.1:25 192.0.2.2:25")
	})
}

func TestAQuestionIsBoundedByItsContext(t *testing.T) {
	for name, begin := range map[string]func(*world){
		"in the DNS":      func(w *world) { w.zone.Delay(time.Hour) },
		"connecting":      func(w *world) { w.net.Set("192.0.2.9", memnet.Fault{Dial: memnet.Silent}) },
		"at the greeting": func(w *world) { w.script("192.0.2.9:25", func(int, string) string { return "hang" }) },
		"at MAIL":         hanging("MAIL"),
		"at RCPT":         hanging("RCPT"),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, nil, func(w *world) {
				alone(w)
				begin(w)
				began := time.Now()
				w.want(w.askWithin(10*time.Second, lone, ""), "carrier: ask about <u@lone.example>: context deadline exceeded")
				if d := time.Since(began); d != 10*time.Second {
					t.Errorf("took %v", d)
				}
				if len(w.carrier.pool.idle) > 0 || len(w.carrier.dead.at) > 0 {
					t.Errorf("kept %v, thought dead %v", w.carrier.pool.idle, w.carrier.dead.at)
				}
			})
		})
	}
	inWorld(t, Options{}, nil, func(w *world) { // what was said by then counts
		alone(w)
		hanging("RSET")(w)
		ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
		defer cancel()
		r, err := w.carrier.Ask(ctx, mail.Address{Local: "u", Domain: "lone.example"}, "")
		if err != nil || r.Line() != "250 ok" || len(w.carrier.pool.idle) > 0 {
			t.Errorf("%+v, %v, kept %v", r, err, w.carrier.pool.idle)
		}
	})
}

// hanging makes the single host give no answer to one verb.
func hanging(verb string) func(*world) {
	return func(w *world) {
		w.script("192.0.2.9:25", func(_ int, line string) string {
			if strings.HasPrefix(line, verb) {
				return "hang"
			}
			return ""
		})
	}
}

// The client waits for its answer: a silent first host must not use up its patience,
// nor is it thought dead for being asked in haste.
func TestASilentHostLeavesTimeForTheNext(t *testing.T) {
	for name, first := range map[string]func(*world){
		"packets vanish": func(w *world) { w.net.Set("192.0.2.1", memnet.Fault{Dial: memnet.Silent}) },
		"no greeting":    func(w *world) { w.script("192.0.2.1:25", func(int, string) string { return "hang" }) },
		"mute to EHLO":   answering("EHLO", "hang"),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, nil, func(w *world) {
				first(w)
				w.serve(names(), "192.0.2.2:25", smtpd.Options{})
				began := time.Now()
				w.want(w.askWithin(20*time.Second, "gone@a.example", ""), "550 5.1.1 no such person / in this house")
				if d := time.Since(began); d != 10*time.Second {
					t.Errorf("took %v", d)
				}
				if len(w.carrier.dead.at) > 0 {
					t.Errorf("thought dead %v", w.carrier.dead.at)
				}
			})
		})
	}
	inWorld(t, Options{}, nil, func(w *world) { // it is said how long was waited
		w.net.Set("192.0.2.1", memnet.Fault{Dial: memnet.Silent})
		w.script("192.0.2.2:25", func(int, string) string { return "554 5.7.1 not you" })
		w.want(w.askWithin(20*time.Second, "u@a.example", ""), "carrier: ask mx1.a.example[192.0.2.1] about <u@a.example>: connect: 4.4.1 cannot connect to mx1.a.example[192.0.2.1]:25: connection timed out, no answer within 10s")
	})
}

func TestAQuestionCountsAsAMessageOfItsConnection(t *testing.T) {
	routes := []route.Route{{Domain: "*", Limits: route.Limits{MaxMessages: 2}}}
	inWorld(t, Options{}, routes, func(w *world) {
		h := w.serve(names(), "192.0.2.1:25", smtpd.Options{})
		for range 3 {
			w.ask("u@a.example", "")
			w.want(w.carry("u@a.example"), taken)
		}
		synctest.Wait()
		if h.visits.Load() != 3 || h.ended.Load() != 3 {
			t.Errorf("%d visits, %d ended", h.visits.Load(), h.ended.Load())
		}
	})
}

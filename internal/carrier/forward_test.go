package carrier

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/mail"
)

const (
	filterHop = "smtp:192.0.2.60:10025"
	filterAt  = "192.0.2.60:10025"
	came      = "XFORWARD NAME=[UNAVAILABLE] ADDR=203.0.113.9 PORT=[UNAVAILABLE] PROTO=ESMTPS HELO=client.test IDENT="
)

// listening serves a host that offers XFORWARD and notes all that it hears of it.
func (w *world) listening(address, reply string) *[]string {
	heard := new([]string)
	w.script(address, func(_ int, line string) string {
		switch verb, _, _ := strings.Cut(line, " "); verb {
		case "EHLO", "LHLO":
			return "250-host\r\n250 XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"
		case "XFORWARD":
			*heard = append(*heard, line)
			return reply
		case "MAIL", "RSET":
			*heard = append(*heard, verb)
		}
		return ""
	})
	return heard
}

// by sends the deliveries of a letter each by its own next hop.
func (w *world) by(m custody.Message, ds []custody.Delivery, vias ...string) string {
	for i, v := range vias {
		ds[i].Via = v
	}
	return w.tell(w.carrier.Carry(w.Context(), custody.Way{}, m, ds, strings.NewReader(text)))
}

func fromClient(to ...string) (custody.Message, []custody.Delivery) {
	m, ds := letter(to...)
	m.Came = custody.Came{Client: "203.0.113.9", Helo: "client.test", Protocol: "ESMTPS"}
	return m, ds
}

// A filter, and nobody else, is told from whom we have a message.
func TestAFilterIsToldWhereAMessageCameFrom(t *testing.T) {
	for _, tt := range []struct {
		name string
		via  string
		came custody.Came
		want string // in front of MAIL; "": nothing
	}{
		{"an ordered hop", filterHop, custody.Came{Client: "203.0.113.9", Helo: "client.test", Protocol: "ESMTPS"}, came + "* SOURCE=REMOTE"},
		{"IPv6", filterHop, custody.Came{Client: "2001:db8::9", Helo: "[IPv6:2001:db8::9]", Protocol: "ESMTP"},
			"XFORWARD NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::9 PORT=[UNAVAILABLE] PROTO=ESMTP HELO=[IPv6:2001:db8::9] IDENT=* SOURCE=REMOTE"},
		{"made here", filterHop, custody.Came{Protocol: "local", User: "me"},
			"XFORWARD NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE] PROTO=local HELO=[UNAVAILABLE] IDENT=* SOURCE=LOCAL"},
		{"no address", filterHop, custody.Came{Client: "x ADDR=192.0.2.66", Helo: "a\r\nRSET", Protocol: "ESMTP"},
			"XFORWARD NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE] PROTO=ESMTP HELO=a??RSET IDENT=* SOURCE=REMOTE"},
		{"LMTP", "lmtp:" + filterAt, custody.Came{Client: "203.0.113.9", Helo: "client.test", Protocol: "ESMTPS"}, came + "* SOURCE=REMOTE"},
		{"by the route", "", custody.Came{Client: "203.0.113.9", Helo: "client.test", Protocol: "ESMTPS"}, ""},
		{"ordered to the MX hosts", "mx:10025", custody.Came{Client: "203.0.113.9", Helo: "client.test", Protocol: "ESMTPS"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plain := route.Route{Domain: "*", To: []route.Target{{Kind: route.Relay, Host: "192.0.2.60", Port: 10025}}}
			inWorld(t, Options{}, []route.Route{plain}, func(w *world) {
				w.zone.Add("x.example", "MX 10 filter.example")
				w.zone.Add("filter.example", "A 192.0.2.60")
				heard := w.listening(filterAt, "")
				m, ds := letter("u@x.example")
				m.Came = tt.came
				if got := w.by(m, ds, tt.via); !strings.HasSuffix(got, "dot: 250 kept +taken") {
					t.Error(got)
				}
				want := []string{"MAIL"}
				if tt.want != "" {
					want = []string{strings.Replace(tt.want, "*", m.ID.String(), 1), "MAIL"}
				}
				if d := cmp.Diff(want, *heard); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

// The same host, by an order and by a route, over the same connection: what is told of
// one message is told of no other.
func TestWhatAFilterIsToldGoesNoFurther(t *testing.T) {
	plain := route.Route{Domain: "plain.example", To: []route.Target{{Kind: route.Relay, Host: "192.0.2.60", Port: 10025}}}
	inWorld(t, Options{}, []route.Route{plain}, func(w *world) {
		heard := w.listening(filterAt, "")
		m, ds := fromClient("u@plain.example", "u@x.example", "u@y.example")
		forward := came + m.ID.String() + " SOURCE=REMOTE"
		w.want(w.by(m, ds, "", filterHop, filterHop),
			"0 192.0.2.60[192.0.2.60] dot: 250 kept +taken",
			"1 192.0.2.60[192.0.2.60] dot: 250 kept +taken",
			"2 192.0.2.60[192.0.2.60] dot: 250 kept +taken")
		w.carry("u@plain.example")
		w.ask("u@plain.example", filterHop)
		if d := cmp.Diff([]string{"MAIL", forward, "MAIL", "MAIL", "MAIL", "RSET"}, *heard); d != "" || len(w.dialled) != 1 {
			t.Errorf("dialled %q, %s", w.dialled, d)
		}
	})
}

// What a host thinks of XFORWARD is no matter of the message.
func TestARefusedXFORWARDStopsNothing(t *testing.T) {
	for _, reply := range []string{"550 5.7.1 not you", "501 5.5.4 bad HELO", "450 4.7.1 not now"} {
		inWorld(t, Options{}, nil, func(w *world) {
			heard := w.listening(filterAt, reply)
			m, ds := fromClient("u@x.example")
			w.want(w.by(m, ds, filterHop), "192.0.2.60[192.0.2.60] dot: 250 kept +taken")
			if len(*heard) != 2 {
				t.Errorf("heard %q", *heard)
			}
		})
	}
	inWorld(t, Options{}, nil, func(w *world) { // nor is it said where it is not offered
		w.serve(&host{}, filterAt, smtpd.Options{})
		m, ds := fromClient("u@x.example")
		w.want(w.by(m, ds, filterHop), "192.0.2.60[192.0.2.60] dot: 250 2.0.0 Kept +taken")
	})
}

// A line that is cut at XFORWARD is an outcome on a new connection, and none on a kept
// one.
func TestAFilterThatCutsTheLineAtXFORWARD(t *testing.T) {
	for _, end := range []string{"close", "421 4.3.2 busy"} {
		inWorld(t, Options{Idle: time.Minute}, nil, func(w *world) {
			w.script(filterAt, perConn(func(n int) func(string) string {
				forwards := 0
				return func(line string) string {
					switch verb, _, _ := strings.Cut(line, " "); verb {
					case "EHLO":
						return "250-host\r\n250-PIPELINING\r\n250 XFORWARD ADDR"
					case "XFORWARD":
						if forwards++; forwards == 2 || n == 3 {
							return end
						}
					}
					return ""
				}
			}))
			m, ds := fromClient("u@x.example")
			for range 2 {
				w.want(w.by(m, ds, filterHop), "192.0.2.60[192.0.2.60] dot: 250 kept +taken")
			}
			got := w.by(m, ds, filterHop) // the second is stale, the third cuts
			if !strings.HasPrefix(got, "192.0.2.60[192.0.2.60] mail: 4") || strings.Contains(got, "taken") || len(w.dialled) != 3 {
				t.Errorf("%s, dialled %q", got, w.dialled)
			}
		})
	}
}

// Both ends of ours understand each other.
func TestOurOwnServerReadsWhatWeForward(t *testing.T) {
	inWorld(t, Options{}, nil, func(w *world) {
		h := w.serve(&host{answers: map[string]mail.Reply{"gone": {Code: 550, Text: "who?"}}}, filterAt,
			smtpd.Options{Trusts: func(netip.Addr) bool { return true }})
		m, ds := fromClient("u@x.example")
		m.Came.Client, m.Came.Helo = "2001:db8::9", "a+b=c <d>"
		w.want(w.by(m, ds, filterHop), "192.0.2.60[192.0.2.60] dot: 250 2.0.0 Kept +taken")
		want := []smtpd.Forwarded{{Addr: netip.MustParseAddr("2001:db8::9"), Helo: "a+b=c??d?", Proto: "ESMTPS", Ident: m.ID.String()}}
		if d := cmp.Diff(want, h.forwarded, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Error(d)
		}
	})
}

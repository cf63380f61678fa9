package smtpd

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/mail"
)

func filterIs(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.5") }

func TestAFilterSaysFromWhomItHasTheMessage(t *testing.T) {
	for _, c := range []struct {
		name, from, say, codes string
		want                   Forwarded
	}{
		{"all there is", "192.0.2.5:1", hello + "XFORWARD NAME=a+2Btag.test ADDR=203.0.113.9 PORT=77 HELO=a.test PROTO=ESMTPS IDENT=42\r\n", "250, 250 2.0.0",
			Forwarded{netip.MustParseAddr("203.0.113.9"), 77, "a+tag.test", "a.test", "ESMTPS", "42"}},
		{"in two commands", "192.0.2.5:1", hello + "XFORWARD ADDR=IPV6:2001:db8::9\r\nxforward NAME=[UNAVAILABLE] HELO=b\r\n", "250, 250 2.0.0, 250 2.0.0",
			Forwarded{Addr: netip.MustParseAddr("2001:db8::9"), Helo: "b"}},
		{"what is not known yet", "192.0.2.5:1", hello + "XFORWARD SOURCE=LOCAL NEWER=1 HELO=c\r\n", "250, 250 2.0.0", Forwarded{Helo: "c"}},
		{"taken back by RSET", "192.0.2.5:1", hello + "XFORWARD ADDR=203.0.113.9\r\nRSET\r\n", "250, 250 2.0.0, 250 2.0.0", Forwarded{}},
		{"taken back by EHLO", "192.0.2.5:1", hello + "XFORWARD ADDR=203.0.113.9\r\n" + hello, "250, 250 2.0.0, 250", Forwarded{}},
		{"a message taken back", "192.0.2.5:1", hello + "XFORWARD ADDR=203.0.113.9\r\nMAIL FROM:<a@b.test>\r\nRSET\r\n", "250, 250 2.0.0, 250 2.1.0, 250 2.0.0", Forwarded{}},
		{"a stranger", "192.0.2.6:1", hello + "XFORWARD ADDR=203.0.113.9\r\n", "250, 550 5.7.1", Forwarded{}},
		{"before hello", "192.0.2.5:1", "XFORWARD ADDR=203.0.113.9\r\n", "503 5.5.1", Forwarded{}},
		{"in a transaction", "192.0.2.5:1", hello + "MAIL FROM:<a@b.test>\r\nXFORWARD ADDR=203.0.113.9\r\n", "250, 250 2.1.0, 503 5.5.1", Forwarded{}},
		{"no address", "192.0.2.5:1", hello + "XFORWARD ADDR=here\r\n", "250, 501 5.5.4", Forwarded{}},
		{"a line end in it", "192.0.2.5:1", hello + "XFORWARD HELO=a+0D+0ARCPT\r\n", "250, 501 5.5.4", Forwarded{}},
		{"nothing", "192.0.2.5:1", hello + "XFORWARD\r\n", "250, 501 5.5.4", Forwarded{}},
		{"no pair", "192.0.2.5:1", hello + "XFORWARD ADDR\r\n", "250, 501 5.5.4", Forwarded{}},
	} {
		bubble(t, func(t *testing.T) {
			h := &recorder{}
			_, l := start(t, Options{Trusts: filterIs}, h)
			conn := l.dial(c.from)
			defer conn.Close()
			conn.listen()
			got, _ := conn.say(c.say).listen()
			if codes(got) != c.codes || h.forwarded != c.want {
				t.Errorf("%s: %s, and %+v is known", c.name, got, h.forwarded)
			}
			if offered := strings.Contains(got, "XFORWARD NAME"); strings.Contains(c.say, "EHLO") && offered != filterIs(netip.MustParseAddrPort(c.from).Addr()) {
				t.Errorf("%s: offered %t", c.name, offered)
			}
		})
	}
}

func TestAProxySaysWhoItsClientIs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := &recorder{}
		_, l := start(t, Options{Trusts: filterIs}, h)
		proxy, stranger := l.dial("192.0.2.5:1"), l.dial("192.0.2.6:1")
		defer proxy.Close()
		defer stranger.Close()
		stranger.listen()
		if got, _ := stranger.say("XCLIENT ADDR=127.0.0.1\r\n").listen(); codes(got) != "550 5.7.1" {
			t.Errorf("a stranger: %s", got)
		}
		proxy.listen()
		got, _ := proxy.say(hello + "XCLIENT ADDR=203.0.113.9 PORT=12 NAME=c.test\r\n").listen()
		if codes(got) != "250, 220" || h.client.Addr != netip.MustParseAddrPort("203.0.113.9:12") {
			t.Errorf("%s, and the client is %v", got, h.client.Addr)
		}
		if got, _ := proxy.say("MAIL FROM:<a@b.test>\r\n").listen(); codes(got) != "503 5.5.1" {
			t.Errorf("no hello of the new client: %s", got)
		}
		if got, _ := proxy.say("XCLIENT NAME=x\r\n").listen(); codes(got) != "501 5.5.4" {
			t.Errorf("without an address: %s", got)
		}
	})
}

func TestAHostThatWasAwayAsksForItsMail(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := &recorder{}
		_, l := start(t, Options{Starts: true}, h)
		c := l.dial("192.0.2.1:1")
		defer c.Close()
		c.listen()
		got, _ := c.say("ETRN a.test\r\n" + hello + "ETRN A.test\r\nETRN @b.test\r\nETRN #q\r\nETRN\r\n").listen()
		if codes(got) != "503 5.5.1, 250, 250 2.0.0, 250 2.0.0, 501 5.5.4, 501 5.5.4" || !strings.Contains(got, "ETRN") {
			t.Error(got)
		}
		if h.story() != "greet hello start a.test false start b.test true" {
			t.Error(h.story())
		}
	})
}

// TestOneNetworkDoesNotTakeAllThereIs: who comes from elsewhere is served while a
// network floods, and most of the flood is told why it is not.
func TestOneNetworkDoesNotTakeAllThereIs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := &recorder{}
		s, l := start(t, Options{MaxConns: 100, MaxConnsPerClient: 2}, h)
		said := map[string]int{}
		for i := range 1000 {
			c := l.dial(fmt.Sprintf("192.0.2.%d:%d", i%250, 1+i))
			defer c.Close()
			got, _ := c.listen()
			said[codes(got)]++
		}
		if said["220"] != 25 || said["421 4.7.0"] < maxTurnedAway {
			t.Errorf("the flood heard %v", said)
		}
		other := l.dial("198.51.100.1:1")
		defer other.Close()
		if got, _ := other.listen(); codes(got) != "220" {
			t.Errorf("another heard %s", got)
		}
		time.Sleep(5 * time.Second)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.visits) != 26 || s.surplus != 0 {
			t.Errorf("%d visits, %d of them surplus", len(s.visits), s.surplus)
		}
	})
}

// FuzzAttributes says anything at all of another client: what is believed is clean
// (CVE-2023-42117: a proxy's words were not checked).
func FuzzAttributes(f *testing.F) {
	for _, s := range []string{"NAME=a+2Btag.test ADDR=203.0.113.9 PORT=77 HELO=a.test PROTO=ESMTPS IDENT=42", "ADDR=IPV6:fe80::1%25eth0 NAME=[UNAVAILABLE]", "HELO=a+0D+0Ab PORT=-1", "="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		var got Forwarded
		if no := attributes(arg, &got); !no.IsZero() {
			return
		}
		for _, s := range []string{got.Name, got.Helo, got.Proto, got.Ident} {
			if len(s) > 255 || mail.Clean(s, 255) != s {
				t.Errorf("%q: %q", arg, s)
			}
		}
		if got.Addr.Zone() != "" || got.Addr.Is4In6() {
			t.Errorf("%q: %v", arg, got.Addr)
		}
	})
}

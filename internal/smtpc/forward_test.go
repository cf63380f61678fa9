package smtpc

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/postrider/postrider/mail"
)

const allOfIt = "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"

// forwardHello is a host that offers all attributes, by turns or pipelined.
var (
	turnsForward = swap("PIPELINING", allOfIt, pipeHello)
	pipeForward  = swap("250 PIPELINING", "250-PIPELINING\nS 250 "+allOfIt, pipeHello)
)

const sample = "C XFORWARD NAME=c.test ADDR=203.0.113.9 PORT=77 PROTO=ESMTPS HELO=he.test IDENT=01abc SOURCE=REMOTE\n"

func forwarded() Message {
	m := letter(1)
	m.Forward = &Forward{Name: "c.test", Addr: netip.MustParseAddr("203.0.113.9"), Port: 77, Proto: "ESMTPS", Helo: "he.test", Ident: "01abc"}
	return m
}

// Each answer to XFORWARD, and each end of the line, for hosts that take commands in
// turn, pipelined and in one flight.
func TestAHostIsToldWhereAMessageCameFrom(t *testing.T) {
	const (
		rest   = fromA + okLine + rcpt0 + okLine + "C DATA\nS 354 go\nD\nS 250 taken\n"
		flight = sample + fromA + rcpt0 + "C BDAT 22 LAST\nC Subject: x\nC \nC .hello\n"
		taken  = "dot: 250 taken +theirs +onward"
	)
	chunkForward := swap("250-PIPELINING", "250-PIPELINING\nS 250-CHUNKING", pipeForward)
	for _, c := range []struct {
		name   string
		script script
		want   string
	}{
		{"in turn", turnsForward + sample + okLine + rest, taken},
		{"in turn, refused", turnsForward + sample + "S 550 5.7.1 not you\n" + rest, taken},
		{"in turn, deferred", turnsForward + sample + "S 450 4.7.1 not now\n" + rest, taken},
		{"in turn, bad value", turnsForward + sample + "S 501 5.5.4 bad HELO\n" + rest, taken},
		{"in turn, 421", turnsForward + sample + "S 421 4.3.2 closing\n", "mail: 421 4.3.2 closing +theirs\nbroken"},
		{"in turn, 354", turnsForward + sample + "S 354 go\n", "mail: 4.5.0 unexpected reply to XFORWARD: \"354 go\"\nbroken"},
		{"in turn, closed before", turnsForward + "X", "mail: 4.4.2 connection closed by the host while sending XFORWARD\nbroken"},
		{"in turn, closed at it", turnsForward + sample + "X", "mail: 4.4.2 connection closed by the host before it replied to XFORWARD\nbroken"},
		{"in turn, closed behind it", turnsForward + sample + okLine + "X", "mail: 4.4.2 connection closed by the host while sending MAIL\nbroken"},
		{"in turn, silent", turnsForward + sample + "W 6m", "mail: 4.4.2 no reply to XFORWARD within 5m0s\nbroken"},

		{"pipelined", pipeForward + sample + piped0 + "S 250 ok\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 taken\n", taken},
		{"pipelined, refused", pipeForward + sample + piped0 + "S 550 5.7.1 not you\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 taken\n", taken},
		{"pipelined, unknown", pipeForward + sample + piped0 + "S 502 5.5.1 what?\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 taken\n", taken},
		{"pipelined, MAIL refused", pipeForward + sample + piped0 + "S 250 ok\nS 550 no\nS 503 no\nS 503 no\n", "mail: 550 no +theirs"},
		{"pipelined, 421", pipeForward + sample + piped0 + "S 421 4.3.2 closing\nX", "mail: 421 4.3.2 closing +theirs\nbroken"},
		{"pipelined, 354", pipeForward + sample + piped0 + "S 354 go\n", "mail: 4.5.0 unexpected reply to XFORWARD: \"354 go\"\nbroken"},
		{"pipelined, closed at it", pipeForward + sample + piped0 + "X", "mail: 4.4.2 connection closed by the host before it replied to XFORWARD\nbroken"},
		{"pipelined, closed behind it", pipeForward + sample + piped0 + okLine + "X", "mail: 4.4.2 connection closed by the host before it replied to MAIL\nbroken"},

		{"in one flight", chunkForward + flight + "S 250 ok\nS 250 ok\nS 250 ok\nS 250 taken\n", taken},
		{"in one flight, refused", chunkForward + flight + "S 550 no\nS 250 ok\nS 250 ok\nS 250 taken\n", taken},
		{"in one flight, closed at it", chunkForward + flight + "X", "dot: 4.4.2 connection closed by the host before it replied to XFORWARD +ambiguous\nbroken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, rs := converse(t, c.script, Options{Chunking: true}, forwarded())
			if f != nil {
				t.Fatal(f)
			}
			same(t, tell(rs[0]), c.want)
		})
	}
}

func TestAHostIsToldNoMoreThanItOffers(t *testing.T) {
	const no = fromA + okLine + rcpt0 + "S 550 no\n"
	for _, c := range []struct{ name, offer, line string }{
		{"some of it", "xforward helo Addr", "C XFORWARD ADDR=203.0.113.9 HELO=he.test\n"},
		{"and what we do not know", "XFORWARD COLOUR IDENT", "C XFORWARD IDENT=01abc\n"},
		{"twice", "XFORWARD PORT PORT", "C XFORWARD PORT=77\n"},
		{"no attributes", "XFORWARD", ""},
		{"another extension", "XCLIENT NAME ADDR", ""},
		{"nothing", "DSN", ""},
	} {
		hello := swap("PIPELINING", c.offer, pipeHello)
		if c.line != "" {
			c.line += okLine
		}
		_, rs := converse(t, hello+script(c.line+no), Options{}, forwarded())
		same(t, tell(rs[0]), "rcpt: 550 no +theirs")
		_, rs = converse(t, hello+no, Options{}, letter(1)) // a message that is not forwarded
		same(t, tell(rs[0]), "rcpt: 550 no +theirs")
	}
}

// What clients say of themselves ends up in these values.
func TestForwardedValuesCannotSmuggleACommand(t *testing.T) {
	const none = "NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE] PROTO=[UNAVAILABLE] HELO=[UNAVAILABLE] IDENT=[UNAVAILABLE] SOURCE=REMOTE"
	long := strings.Repeat("a", 300)
	set := func(name, value string) string {
		return strings.Replace(none, name+"=[UNAVAILABLE]", name+"="+value, 1)
	}
	for _, c := range []struct {
		name  string
		f     Forward
		lines []string
	}{
		{"nothing is known", Forward{}, []string{none}},
		{"made here", Forward{Local: true}, []string{strings.Replace(none, "REMOTE", "LOCAL", 1)}},
		{"IPv6", Forward{Addr: netip.MustParseAddr("2001:db8::9")}, []string{set("ADDR", "IPV6:2001:db8::9")}},
		{"IPv6 with a zone", Forward{Addr: netip.MustParseAddr("fe80::1%eth0")}, []string{set("ADDR", "IPV6:fe80::1")}},
		{"IPv4 in IPv6", Forward{Addr: netip.MustParseAddr("::ffff:192.0.2.1")}, []string{set("ADDR", "192.0.2.1")}},
		{"line end", Forward{Helo: "a\r\nMAIL FROM:<evil@example.com>"}, []string{set("HELO", "a??MAIL?FROM:?evil?example.com?")}},
		{"blank and another attribute", Forward{Helo: "a ADDR=192.0.2.66"}, []string{set("HELO", "a?ADDR+3D192.0.2.66")}},
		{"plus and equals", Forward{Ident: "a+b=c"}, []string{set("IDENT", "a+2Bb+3Dc")}},
		{"what looks encoded", Forward{Name: "a+0D+0Ab"}, []string{set("NAME", "a+2B0D+2B0Ab")}},
		{"not ASCII, not UTF-8, NUL", Forward{Name: "bücher\xff\x00\x7f"}, []string{set("NAME", "b?cher???")}},
		{"special in a header", Forward{Helo: `(c)<d>;"e"\@[192.0.2.1]`}, []string{set("HELO", "?c??d???e???[192.0.2.1]")}},
		{"long protocol", Forward{Proto: long}, []string{set("PROTO", long[:64])}},
		{"long value, in two commands", Forward{Helo: long}, []string{
			"NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE] PROTO=[UNAVAILABLE] HELO=" + long[:255] + " IDENT=[UNAVAILABLE] SOURCE=REMOTE"}},
		{"long values, in three commands", Forward{Name: long, Helo: long, Ident: long}, []string{
			"NAME=" + long[:255] + " ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE] PROTO=[UNAVAILABLE]", "HELO=" + long[:255], "IDENT=" + long[:255] + " SOURCE=REMOTE"}},
		{"as much as one command holds", Forward{Name: long[:199], Helo: long[:199]}, []string{
			strings.Replace(set("NAME", long[:199]), "HELO=[UNAVAILABLE]", "HELO="+long[:199], 1)}},
		{"an octet more", Forward{Name: long[:200], Helo: long[:199]}, []string{
			strings.Replace(strings.TrimSuffix(set("NAME", long[:200]), " SOURCE=REMOTE"), "HELO=[UNAVAILABLE]", "HELO="+long[:199], 1), "SOURCE=REMOTE"}},
		{"cut in front of an escape", Forward{Helo: long[:253] + "+b"}, []string{set("HELO", long[:253])}},
		{"cut behind an escape", Forward{Helo: long[:252] + "+bc"}, []string{set("HELO", long[:252]+"+2B")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := letter(1)
			m.Forward = &c.f
			s, p := turnsForward, pipeForward
			for _, l := range c.lines {
				if s += script("C XFORWARD " + l + "\n" + okLine); len(l) > 512-len("XFORWARD \r\n") {
					t.Errorf("%d octets", len(l))
				}
				p += script("C XFORWARD " + l + "\n")
			}
			_, rs := converse(t, s+fromA+"S 550 no\n", Options{}, m)
			same(t, tell(rs[0]), "mail: 550 no +theirs")
			p += piped0 + script(strings.Repeat(okLine, len(c.lines)))
			_, rs = converse(t, p+"S 550 no\nS 503 no\nS 503 no\n", Options{}, m)
			same(t, tell(rs[0]), "mail: 550 no +theirs")
		})
	}
}

// What a host was told for one message must not be held for the next one.
func TestWhatWasForwardedIsForgottenWithItsMessage(t *testing.T) {
	const (
		takenTurn = fromA + okLine + rcpt0 + okLine + "C DATA\nS 354 go\nD\nS 250 taken\n"
		takenPipe = piped0 + "S 250 ok\nS 250 ok\nS 354 go\nD\nS 250 taken\n"
	)
	for _, c := range []struct {
		name   string
		script script
		first  string
	}{
		{"taken", turnsForward + sample + okLine + takenTurn + takenTurn, "dot: 250 taken +theirs +onward"},
		{"in turn, MAIL refused", turnsForward + sample + okLine + fromA + "S 550 no\n" + reset + okLine + takenTurn, "mail: 550 no +theirs"},
		{"in turn, nothing said", turnsForward + sample + "S 550 not you\n" + fromA + "S 550 no\n" + takenTurn, "mail: 550 no +theirs"},
		{"pipelined, MAIL refused", pipeForward + sample + piped0 + "S 250 ok\nS 550 no\nS 503 no\nS 503 no\n" + reset + piped0 + "S 250 ok\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 taken\n", "mail: 550 no +theirs"},
		{"pipelined, nothing said", pipeForward + sample + piped0 + "S 550 not you\nS 550 no\nS 503 no\nS 503 no\n" + takenPipe, "mail: 550 no +theirs"},
		{"pipelined, all refused but 354", pipeForward + sample + piped0 + "S 250 ok\nS 250 ok\nS 550 no\nS 354 go\nC .\nS 554 nobody\n" + reset + piped0 + "S 250 ok\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 taken\n", "rcpt: 550 no +theirs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, rs := converse(t, c.script, Options{}, forwarded(), letter(1))
			same(t, tell(rs[0]), c.first)
			same(t, tell(rs[1]), "dot: 250 taken +theirs +onward")
		})
	}
	// A question is not asked in the name of a client either.
	talk(t, turnsForward+sample+okLine+fromA+"S 550 no\n"+reset+okLine+nullA+okLine+rcpt0+"S 550 who?\n"+reset+okLine, Options{}, func(c *Conn) {
		same(t, tell(c.Send(context.Background(), forwarded())), "mail: 550 no +theirs")
		same(t, told(c.Ask(context.Background(), b0)), "550 who?")
	})
}

// A host that does not let us is not asked at each message: its patience with errors
// is limited.
func TestARefusalOfUsIsRemembered(t *testing.T) {
	const taken = fromA + okLine + rcpt0 + "S 550 no\n"
	for _, c := range []struct {
		reply string
		again bool
	}{
		{"550 5.7.1 not you", false}, {"502 5.5.1 what?", false}, {"501 5.5.4 bad HELO", true}, {"450 4.7.1 not now", true},
	} {
		second := script("")
		if c.again {
			second = sample + okLine
		}
		_, rs := converse(t, turnsForward+sample+script("S "+c.reply+"\n"+taken)+reset+okLine+second+taken, Options{}, forwarded(), forwarded())
		same(t, tell(rs[1]), "rcpt: 550 no +theirs")
	}
}

func TestAConnectionGoneBeforeXFORWARDIsStale(t *testing.T) {
	first := script(piped0 + "S 250 ok\nS 250 ok\nS 354 go\nD\nS 250 ok\n")
	for name, c := range map[string]struct {
		script script
		want   string
	}{
		"closed": {pipeForward + first + sample + piped0 + "X", "mail: 4.4.2 connection closed by the host before it replied to XFORWARD\nbroken\nstale"},
		"421":    {pipeForward + first + sample + piped0 + "S 421 4.4.2 idle too long\nX", "mail: 421 4.4.2 idle too long +theirs\nbroken\nstale"},
		"later":  {pipeForward + first + sample + piped0 + "S 250 ok\nX", "mail: 4.4.2 connection closed by the host before it replied to MAIL\nbroken"},
	} {
		t.Run(name, func(t *testing.T) {
			_, rs := converse(t, c.script, Options{}, letter(1), forwarded())
			same(t, tell(rs[1]), c.want)
		})
	}
}

// Recipients that need several writes are of one message.
func TestManyRecipientsAreForwardedOnce(t *testing.T) {
	for _, c := range []struct {
		chunking bool
		want     string
	}{
		{false, "map[.:1 DATA:1 EHLO:1 MAIL:1 RCPT:1000 XFORWARD:1]"},
		{true, "map[BDAT:1 EHLO:1 MAIL:1 RCPT:1000 XFORWARD:1]"},
	} {
		heard := make(chan string, 1)
		nc := host(t, func(nc net.Conn) { heard <- fmt.Sprint(count(nc)) })
		conn, f := Open(t.Context(), nc, Options{Helo: "us.example", Chunking: c.chunking})
		if f != nil {
			t.Fatal(f)
		}
		m := forwarded()
		for i := range 999 {
			m.Envelope.To = append(m.Envelope.To, mail.Recipient{Address: mail.Address{Local: fmt.Sprint("rcpt", i), Domain: "to.example"}})
		}
		if got := tell(conn.Send(t.Context(), m)); strings.Count(got, "dot: 250 ok +theirs +onward\n") != 1000 {
			t.Error(got)
		}
		conn.Close()
		same(t, <-heard, c.want)
	}
}

// count takes everything and counts the commands.
func count(nc net.Conn) map[string]int {
	verbs, data := map[string]int{}, false
	fmt.Fprint(nc, "220 hi\r\n")
	for r := bufio.NewReader(nc); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return verbs
		}
		verb, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if data && verb != "." {
			continue
		}
		verbs[verb]++
		data = verb == "DATA"
		switch verb {
		case "EHLO":
			fmt.Fprint(nc, "250-mx\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 "+allOfIt+"\r\n")
		case "DATA":
			fmt.Fprint(nc, "354 go\r\n")
		case "BDAT":
			r.Discard(len(forwarded().Bytes))
			fallthrough
		default:
			fmt.Fprint(nc, "250 ok\r\n")
		}
	}
}

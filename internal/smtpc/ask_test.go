package smtpc

import (
	"bytes"
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/mail"
)

const (
	nullA  = "C MAIL FROM:<>\n"
	reset  = "C RSET\n"
	askedA = nullA + rcpt0 + reset // in one write
)

var b0 = mail.Address{Local: "b0", Domain: "to.example"}

// told shows an answer as text.
func told(a Answer) string {
	words := a.Reply.Line()
	if a.Failure != nil {
		words = a.Failure.Error()
	}
	for _, w := range []struct {
		is   bool
		word string
	}{
		{a.Failure != nil && a.Failure.Theirs, "theirs"}, {a.Failure != nil && a.Failure.Permanent, "permanent"},
		{a.Broken, "broken"}, {a.Stale, "stale"}, {a.Failure != nil && !a.Reply.IsZero(), "and a reply"},
	} {
		if w.is {
			words += " +" + w.word
		}
	}
	return words
}

// Each way a question can go, for hosts that take commands in turn and pipelined.
func TestAHostSaysWhetherItTakesARecipient(t *testing.T) {
	for _, c := range []struct {
		name   string
		script script
		o      Options
		want   string
	}{
		{"in turn, taken", plainHello + nullA + okLine + rcpt0 + "S 250 2.1.5 fine\n" + reset + okLine, Options{}, "250 2.1.5 fine"},
		{"in turn, refused", plainHello + nullA + okLine + rcpt0 + "S 550-5.1.1 who\nS 550 5.1.1 is that\n" + reset + okLine, Options{}, "550 5.1.1 who / is that"},
		{"in turn, deferred", plainHello + nullA + okLine + rcpt0 + "S 450 4.2.0 greylisted\n" + reset + okLine, Options{}, "450 4.2.0 greylisted"},
		{"in turn, MAIL refused", plainHello + nullA + "S 550 5.7.1 no null paths\n", Options{}, "mail: 550 5.7.1 no null paths +theirs"},
		{"in turn, MAIL deferred", plainHello + nullA + "S 451 4.3.0 later\n", Options{}, "mail: 451 4.3.0 later +theirs"},
		{"pipelined, taken", pipeHello + askedA + "S 250 ok\nS 250 2.1.5 fine\nS 250 ok\n", Options{}, "250 2.1.5 fine"},
		{"pipelined, refused", pipeHello + askedA + "S 250 ok\nS 550 5.1.1 who?\nS 250 ok\n", Options{}, "550 5.1.1 who?"},
		{"pipelined, MAIL refused", pipeHello + askedA + "S 550 5.7.1 no null paths\nS 503 5.5.1 MAIL first\nS 250 ok\n", Options{}, "mail: 550 5.7.1 no null paths +theirs"},
		{"pipelined, MAIL refused and RCPT taken", pipeHello + askedA + "S 451 4.3.0 later\nS 250 fine\nS 250 ok\n", Options{}, "mail: 451 4.3.0 later +theirs"},
		{"LMTP", swap("EHLO", "LHLO", pipeHello) + askedA + "S 250 ok\nS 550 5.1.1 no mailbox\nS 250 ok\n", Options{LMTP: true}, "550 5.1.1 no mailbox"},
		{"251", plainHello + nullA + okLine + rcpt0 + "S 251 will forward\n" + reset + okLine, Options{}, "251 will forward"},

		{"421 to MAIL", plainHello + nullA + "S 421 4.3.2 closing\n", Options{}, "mail: 421 4.3.2 closing +theirs +broken"},
		{"421 to RCPT", pipeHello + askedA + "S 250 ok\nS 421 4.3.2 closing\nX", Options{}, "421 4.3.2 closing +broken"},
		{"354 to MAIL", plainHello + nullA + "S 354 go\n", Options{}, "mail: 4.5.0 unexpected reply to MAIL: \"354 go\" +broken"},
		{"354 to RCPT", plainHello + nullA + okLine + rcpt0 + "S 354 go\n", Options{}, "rcpt: 4.5.0 unexpected reply to RCPT: \"354 go\" +broken"},
		{"garbage to RCPT", plainHello + nullA + okLine + rcpt0 + "S whatever\n", Options{}, "rcpt: 4.5.0 not an SMTP reply: \"whatever\" +broken"},
		{"RSET refused", plainHello + nullA + okLine + rcpt0 + "S 550 who?\n" + reset + "S 502 what?\n", Options{}, "550 who? +broken"},

		{"closed before MAIL", plainHello + "X", Options{}, "mail: 4.4.2 connection closed by the host while sending MAIL +broken"},
		{"in turn, closed at MAIL", plainHello + nullA + "X", Options{}, "mail: 4.4.2 connection closed by the host before it replied to MAIL +broken"},
		{"in turn, closed after MAIL", plainHello + nullA + okLine + "X", Options{}, "rcpt: 4.4.2 connection closed by the host while sending RCPT +broken"},
		{"in turn, closed at RCPT", plainHello + nullA + okLine + rcpt0 + "X", Options{}, "rcpt: 4.4.2 connection closed by the host before it replied to RCPT +broken"},
		{"in turn, closed after RCPT", plainHello + nullA + okLine + rcpt0 + "S 550 who?\nX", Options{}, "550 who? +broken"},
		{"in turn, closed at RSET", plainHello + nullA + okLine + rcpt0 + "S 550 who?\n" + reset + "X", Options{}, "550 who? +broken"},
		{"pipelined, closed at MAIL", pipeHello + askedA + "X", Options{}, "mail: 4.4.2 connection closed by the host before it replied to MAIL +broken"},
		{"pipelined, closed at RCPT", pipeHello + askedA + "S 250 ok\nX", Options{}, "rcpt: 4.4.2 connection closed by the host before it replied to RCPT +broken"},
		{"pipelined, closed after a refused MAIL", pipeHello + askedA + "S 550 no\nX", Options{}, "mail: 550 no +theirs +broken"},
		{"pipelined, closed at RSET", pipeHello + askedA + "S 250 ok\nS 250 fine\nX", Options{}, "250 fine +broken"},
		{"silent at RCPT", plainHello + nullA + okLine + rcpt0 + "W 6m", Options{}, "rcpt: 4.4.2 no reply to RCPT within 5m0s +broken"},
		{"silent at RSET", pipeHello + askedA + "S 250 ok\nS 250 fine\nW 6m", Options{}, "250 fine +broken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := talk(t, c.script, c.o, func(conn *Conn) {
				a := conn.Ask(context.Background(), b0)
				same(t, told(a), c.want)
				if a.Broken == conn.Reusable() {
					t.Errorf("broken %v, reusable %v", a.Broken, conn.Reusable())
				}
			})
			if f != nil {
				t.Fatal(f)
			}
		})
	}
}

// A question leaves nothing behind, and is not put off by what was left.
func TestAConnectionServesQuestionsAndMessages(t *testing.T) {
	for _, c := range []struct {
		name   string
		script script
	}{
		{"in turn", plainHello + nullA + okLine + rcpt0 + "S 550 who?\n" + reset + okLine +
			upTo0 + "S 354 go\nD\nS 250 taken\n" +
			nullA + okLine + rcpt0 + "S 550 who?\n" + reset + okLine +
			fromA + okLine + rcpt0 + "S 450 later\n" +
			reset + okLine + nullA + okLine + rcpt0 + "S 550 who?\n" + reset + okLine +
			upTo0 + "S 354 go\nD\nS 250 taken\n"},
		{"pipelined", pipeHello + askedA + "S 250 ok\nS 550 who?\nS 250 ok\n" +
			piped0 + "S 250 ok\nS 250 ok\nS 354 go\nD\nS 250 taken\n" +
			askedA + "S 250 ok\nS 550 who?\nS 250 ok\n" +
			piped0 + "S 250 ok\nS 450 later\nS 554 nobody\n" +
			reset + askedA + "S 250 ok\nS 250 ok\nS 550 who?\nS 250 ok\n" +
			piped0 + "S 250 ok\nS 250 ok\nS 354 go\nD\nS 250 taken\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			talk(t, c.script, Options{}, func(conn *Conn) {
				for _, sent := range []string{"dot: 250 taken +theirs +onward", "rcpt: 450 later +theirs", "dot: 250 taken +theirs +onward"} {
					same(t, told(conn.Ask(context.Background(), b0)), "550 who?")
					same(t, tell(conn.Send(context.Background(), letter(1))), sent)
				}
			})
		})
	}
}

func TestAQuestionOnAConnectionGoneWhileIdleIsStale(t *testing.T) {
	asked := script(askedA + "S 250 ok\nS 250 fine\nS 250 ok\n")
	refused := script(piped0 + "S 250 ok\nS 550 no\nS 554 nobody\n")
	for _, c := range []struct {
		name   string
		first  func(c *Conn)
		script script
		want   string
	}{
		{"closed", ask, pipeHello + asked + "X", "mail: 4.4.2 connection closed by the host while sending MAIL +broken +stale"},
		{"closed at MAIL", ask, pipeHello + asked + askedA + "X", "mail: 4.4.2 connection closed by the host before it replied to MAIL +broken +stale"},
		{"421", ask, pipeHello + asked + askedA + "S 421 4.4.2 idle too long\nX", "mail: 421 4.4.2 idle too long +theirs +broken +stale"},
		{"421 to RSET", send, pipeHello + refused + reset + askedA + "S 421 4.4.2 idle too long\nX", "mail: 421 4.4.2 idle too long +theirs +broken +stale"},
		{"RSET refused", send, pipeHello + refused + reset + askedA + "S 502 what?\n", "mail: 502 what? +theirs +broken +stale"},
		{"421 later", ask, pipeHello + asked + askedA + "S 250 ok\nS 421 closing\nX", "421 closing +broken"},
		{"closed later", ask, pipeHello + asked + askedA + "S 250 ok\nX", "rcpt: 4.4.2 connection closed by the host before it replied to RCPT +broken"},
		{"MAILMAX", ask, swap("250 PIPELINING", "250-PIPELINING\nS 250 LIMITS MAILMAX=1", pipeHello) + asked, "hello: 4.5.0 connection can serve no more +broken +stale"},
	} {
		t.Run(c.name, func(t *testing.T) {
			talk(t, c.script, Options{}, func(conn *Conn) {
				c.first(conn)
				same(t, told(conn.Ask(context.Background(), b0)), c.want)
			})
		})
	}
}

func TestAHostThatSpokeUnaskedIsAskedNothing(t *testing.T) {
	const answered = "250 ok\r\n550 who?\r\n250 ok\r\n"
	for _, c := range []struct {
		name    string
		replies [2]string // to EHLO, to a question
		want    []string  // of one question, and of the next
	}{
		{"behind EHLO", [2]string{"250-mx\r\n250 PIPELINING\r\n250 and more\r\n"}, []string{"hello: 4.5.0 host spoke before it was spoken to +broken"}},
		{"behind an answer", [2]string{"250-mx\r\n250 PIPELINING\r\n", answered + "250 and more\r\n"}, []string{"550 who?", "hello: 4.5.0 connection can serve no more +broken +stale"}},
	} {
		conn, f := Open(t.Context(), &answers{deaf: deaf{bytes.NewReader([]byte("220 hi\r\n")), 4096}, replies: c.replies}, Options{Helo: "us.example"})
		if f != nil {
			t.Fatal(f)
		}
		for _, want := range c.want {
			same(t, told(conn.Ask(t.Context(), b0)), want)
		}
	}
}

func ask(c *Conn)  { c.Ask(context.Background(), b0) }
func send(c *Conn) { c.Send(context.Background(), letter(1)) }

func TestAnAddressIsAskedAboutAsTheHostCanReadIt(t *testing.T) {
	const no = "550 who?"
	asked := func(offer, mailLine, rcptLine string) script {
		return swap("PIPELINING", offer, pipeHello) + script("C MAIL FROM:<>"+mailLine+"\n"+okLine+"C RCPT TO:<"+rcptLine+">\nS "+no+"\n"+reset+okLine)
	}
	for _, c := range []struct {
		name   string
		script script
		to     mail.Address
		want   string
	}{
		{"domain in A-labels", asked("DSN", "", "b@xn--bcher-kva.example"), mail.Address{Local: "b", Domain: "bücher.example"}, no},
		{"SMTPUTF8", asked("SMTPUTF8", " SMTPUTF8", "bé@bücher.example"), mail.Address{Local: "bé", Domain: "bücher.example"}, no},
		{"SMTPUTF8 not needed", asked("SMTPUTF8", "", "b@to.example"), mail.Address{Local: "b", Domain: "to.example"}, no},
		{"no parameters", asked("SIZE 1000", "", "b@to.example"), mail.Address{Local: "b", Domain: "to.example"}, no},
		{"no SMTPUTF8", plainHello, mail.Address{Local: "bé", Domain: "to.example"}, "rcpt: 5.6.7 address is not ASCII and the host does not offer SMTPUTF8 +permanent"},
		{"a second command", plainHello, mail.Address{Local: "b> NOTIFY=NEVER <", Domain: "to.example"}, "rcpt: 5.1.3 address cannot be written in a command +permanent"},
		{"a line end", plainHello, mail.Address{Local: "\"b\r\nDATA\"", Domain: "to.example"}, "rcpt: 5.1.3 address cannot be written in a command +permanent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			talk(t, c.script, Options{}, func(conn *Conn) {
				same(t, told(conn.Ask(context.Background(), c.to)), c.want)
				if !conn.Reusable() {
					t.Error("not reusable")
				}
			})
		})
	}
}

func TestEndOfContextEndsAQuestion(t *testing.T) {
	for _, c := range []struct {
		name   string
		script script
		want   string
	}{
		{"at MAIL", plainHello + nullA, "mail: 4.4.2 attempt stopped by us while waiting for the host's reply to MAIL +broken"},
		{"at RCPT", plainHello + nullA + okLine + rcpt0, "rcpt: 4.4.2 attempt stopped by us while waiting for the host's reply to RCPT +broken"},
		{"at RSET", plainHello + nullA + okLine + rcpt0 + "S 550 who?\n" + reset, "550 who? +broken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				done := make(chan bool)
				go func() { (c.script + "W 1h").play(t, theirs); close(done) }()
				conn, f := Open(t.Context(), ours, Options{Helo: "us.example"})
				if f != nil {
					t.Fatal(f)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				same(t, told(conn.Ask(ctx, b0)), c.want)
				if d := time.Since(began); d != time.Second {
					t.Errorf("took %v", d)
				}
				<-done
			})
		})
	}
}

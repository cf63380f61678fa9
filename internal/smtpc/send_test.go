package smtpc

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/mail"
)

const (
	rcpt0  = "C RCPT TO:<b0@to.example>\n"
	rcpt1  = "C RCPT TO:<b1@to.example>\n"
	rcpt2  = "C RCPT TO:<b2@to.example>\n"
	okLine = "S 250 ok\n"
	upTo0  = fromA + okLine + rcpt0 + okLine + "C DATA\n"
	piped0 = fromA + rcpt0 + "C DATA\n"
)

// Each way a transaction can go, for hosts that take commands in turn and pipelined.
func TestEveryRecipientHasItsOutcome(t *testing.T) {
	for _, c := range []struct {
		name   string
		script script
		o      Options
		n      int // recipients
		want   string
	}{
		{"in turn, MAIL refused", plainHello + fromA + "S 550 5.1.8 no\n", Options{}, 2, "mail: 550 5.1.8 no +theirs\nmail: 550 5.1.8 no +theirs"},
		{"pipelined, MAIL refused", pipeHello + fromA + rcpt0 + "C DATA\nS 451 4.3.0 no\nS 503 5.5.1 MAIL?\nS 503 5.5.1 RCPT?\n", Options{}, 1, "mail: 451 4.3.0 no +theirs"},
		{"pipelined, MAIL refused but 354", pipeHello + piped0 + "S 550 no\nS 503 no\nS 354 go\nC .\nS 554 no valid recipients\n", Options{}, 1, "mail: 550 no +theirs"},
		{"in turn, all refused", plainHello + fromA + okLine + rcpt0 + "S 550 5.1.1 no\n" + rcpt1 + "S 450 4.2.1 later\n", Options{}, 2, "rcpt: 550 5.1.1 no +theirs\nrcpt: 450 4.2.1 later +theirs"},
		{"pipelined, all refused", pipeHello + piped0 + "S 250 ok\nS 550 5.1.1 no\nS 554 no valid recipients\n", Options{}, 1, "rcpt: 550 5.1.1 no +theirs"},
		{"pipelined, all refused but 354", pipeHello + piped0 + "S 250 ok\nS 550 5.1.1 no\nS 354 go\nC .\nS 554 no valid recipients\n", Options{}, 1, "rcpt: 550 5.1.1 no +theirs"},
		{"some refused", pipeHello + fromA + rcpt0 + rcpt1 + rcpt2 + "C DATA\nS 250 ok\nS 250 ok\nS 550-5.1.1 no\nS 550 5.1.1 such\nS 250 ok\nS 354 go\nD\nS 250 2.0.0 queued\n", Options{}, 3,
			"dot: 250 2.0.0 queued +theirs +onward\nrcpt: 550 5.1.1 no / such +theirs\ndot: 250 2.0.0 queued +theirs +onward"},
		{"DATA refused", plainHello + upTo0 + "S 451 4.7.1 not you\n", Options{}, 1, "data: 451 4.7.1 not you +theirs"},
		{"354, then 5yz", plainHello + upTo0 + "S 354 go\nD\nS 554 5.7.1 spam\n", Options{}, 1, "dot: 554 5.7.1 spam +theirs"},
		{"354, then 4yz", plainHello + upTo0 + "S 354 go\nD\nS 452 4.3.1 full\n", Options{}, 1, "dot: 452 4.3.1 full +theirs"},
		{"250 to DATA", plainHello + upTo0 + "S 250 fine\n", Options{}, 1, "data: 4.5.0 unexpected reply to DATA: \"250 fine\"\nbroken"},
		{"354 to MAIL", plainHello + fromA + "S 354 go\n", Options{}, 1, "mail: 4.5.0 unexpected reply to MAIL: \"354 go\"\nbroken"},
		{"421 to MAIL", plainHello + fromA + "S 421 4.3.2 closing\n", Options{}, 2, "mail: 421 4.3.2 closing +theirs\nmail: 421 4.3.2 closing +theirs\nbroken"},
		{"421 to RCPT", pipeHello + fromA + rcpt0 + rcpt1 + rcpt2 + "C DATA\nS 250 ok\nS 550 no\nS 250 ok\nS 421 closing\nX\n", Options{}, 3,
			"rcpt: 550 no +theirs\nrcpt: 421 closing +theirs\nrcpt: 421 closing +theirs\nbroken"},
		{"421 to the dot", plainHello + upTo0 + "S 354 go\nD\nS 421 4.3.0 closing\n", Options{}, 1, "dot: 421 4.3.0 closing +theirs\nbroken"},
		{"code 999", plainHello + upTo0 + "S 999 huh\n", Options{}, 1, "data: 4.5.0 not an SMTP reply: \"999 huh\"\nbroken"},
		{"250 without text", plainHello + fromA + "S 250\n" + rcpt0 + "S 250 \nC DATA\nS 354\nD\nS 250\n", Options{}, 1, "dot: 250 +theirs +onward"},
		{"closed at RCPT", plainHello + fromA + okLine + rcpt0 + "X", Options{}, 1, "rcpt: 4.4.2 connection closed by the host before it replied to RCPT\nbroken"},
		{"silent at MAIL", plainHello + fromA + "W 6m", Options{}, 1, "mail: 4.4.2 no reply to MAIL within 5m0s\nbroken"},
		{"silent at DATA", plainHello + upTo0 + "W 6m", Options{}, 1, "data: 4.4.2 no reply to DATA within 2m0s\nbroken"},
		{"takes no bytes", plainHello + upTo0 + "S 354 go\nW 6m", Options{}, 1, "data: 4.4.2 host took nothing for 3m0s while sending data\nbroken"},
		{"closed after 354", plainHello + upTo0 + "S 354 go\nX", Options{}, 1, "data: 4.4.2 connection closed by the host while sending data\nbroken"},
		{"cut after the dot", plainHello + upTo0 + "S 354 go\nD\nX", Options{}, 1, "dot: 4.4.2 connection closed by the host before it replied to the final dot +ambiguous\nbroken"},
		{"silent after the dot", plainHello + upTo0 + "S 354 go\nD\nW 11m", Options{}, 1, "dot: 4.4.2 no reply to the final dot within 10m0s +ambiguous\nbroken"},
		{"garbage after the dot", plainHello + upTo0 + "S 354 go\nD\nS whatever\n", Options{}, 1, "dot: 4.5.0 not an SMTP reply: \"whatever\" +ambiguous\nbroken"},
		{"354 after the dot", plainHello + upTo0 + "S 354 go\nD\nS 354 more\n", Options{}, 1, "dot: 4.5.0 unexpected reply to the final dot: \"354 more\" +ambiguous\nbroken"},
		{"too many, in turn", plainHello + fromA + okLine + rcpt0 + okLine + rcpt1 + "S 452 4.5.3 too many\nC DATA\nS 354 go\nD\nS 250 ok\n", Options{}, 3, "dot: 250 ok +theirs +onward\nskipped\nskipped"},
		{"too many, pipelined", pipeHello + fromA + rcpt0 + rcpt1 + rcpt2 + "C DATA\nS 250 ok\nS 250 ok\nS 552 too many\nS 452 too many\nS 354 go\nD\nS 250 ok\n", Options{}, 3, "dot: 250 ok +theirs +onward\nskipped\nskipped"},
		{"452 to the first is a deferral", plainHello + fromA + okLine + rcpt0 + "S 452 4.3.1 full\n", Options{}, 1, "rcpt: 452 4.3.1 full +theirs"},
		{"452 about a mailbox is a deferral", pipeHello + fromA + rcpt0 + rcpt1 + "C DATA\nS 250 ok\nS 250 ok\nS 452-4.2.2 over\nS 452 4.2.2 quota\nS 354 go\nD\nS 250 ok\n", Options{}, 2, "dot: 250 ok +theirs +onward\nrcpt: 452 4.2.2 over / quota +theirs"},
		{"LMTP, one reply each", swap("EHLO", "LHLO", pipeHello) + fromA + rcpt0 + rcpt1 + rcpt2 + "C DATA\nS 250 ok\nS 250 ok\nS 550 no\nS 250 ok\nS 354 go\nD\nS 250 2.0.0 stored\nS 452 4.2.2 full\n", Options{LMTP: true}, 3,
			"dot: 250 2.0.0 stored +theirs +mailbox\nrcpt: 550 no +theirs\ndot: 452 4.2.2 full +theirs"},
		{"LMTP, second reply lost", swap("EHLO", "LHLO", pipeHello) + fromA + rcpt0 + rcpt1 + "C DATA\nS 250 ok\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 stored\nX", Options{LMTP: true}, 2,
			"dot: 250 stored +theirs +mailbox\ndot: 4.4.2 connection closed by the host before it replied to the final dot +ambiguous\nbroken"},
		{"LMTP, 421 to the second", swap("EHLO", "LHLO", pipeHello) + fromA + rcpt0 + rcpt1 + "C DATA\nS 250 ok\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 stored\nS 421 closing\n", Options{LMTP: true}, 2,
			"dot: 250 stored +theirs +mailbox\ndot: 421 closing +theirs\nbroken"},
		{"DSN", swap("PIPELINING", "DSN", pipeHello) + upTo0 + "S 354 go\nD\nS 250 ok\n", Options{}, 1, "dot: 250 ok +theirs +promised"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, rs := converse(t, c.script, c.o, letter(c.n))
			if f != nil {
				t.Fatal(f)
			}
			same(t, tell(rs[0]), c.want)
		})
	}
}

func swap(old, new string, s script) script {
	return script(strings.ReplaceAll(string(s), old, new))
}

func TestEqualRecipientsDoNotCollapse(t *testing.T) {
	m := letter(2)
	m.Envelope.To[1] = m.Envelope.To[0]
	_, rs := converse(t, swap("EHLO", "LHLO", pipeHello)+fromA+rcpt0+rcpt0+"C DATA\nS 250 ok\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 first\nS 550 second\n", Options{LMTP: true}, m)
	same(t, tell(rs[0]), "dot: 250 first +theirs +mailbox\ndot: 550 second +theirs")
}

func TestLeftOverTransactionIsReset(t *testing.T) {
	refused := fromA + "S 250 ok\n" + rcpt0 + "S 550 no\n"
	_, rs := converse(t, plainHello+script(refused)+"C RSET\nS 250 ok\n"+upTo0+"S 354 go\nD\nS 250 ok\n", Options{}, letter(1), letter(1))
	same(t, tell(rs[1]), "dot: 250 ok +theirs +onward")

	_, rs = converse(t, pipeHello+piped0+"S 250 ok\nS 550 no\nS 554 none\nC RSET\n"+piped0+"S 250 ok\nS 250 ok\nS 250 ok\nS 354 go\nD\nS 250 ok\n"+
		piped0+"S 250 ok\nS 250 ok\nS 354 go\nD\nS 250 again\n", Options{}, letter(1), letter(1), letter(1))
	same(t, tell(rs[1]), "dot: 250 ok +theirs +onward")
	same(t, tell(rs[2]), "dot: 250 again +theirs +onward")
}

func TestConnectionGoneWhileIdleIsStale(t *testing.T) {
	first := script(piped0 + "S 250 ok\nS 250 ok\nS 354 go\nD\nS 250 ok\n")
	for _, c := range []struct {
		name   string
		script script
		want   string
	}{
		{"closed", pipeHello + first + "X", "mail: 4.4.2 connection closed by the host while sending MAIL\nbroken\nstale"},
		{"421 at the next", pipeHello + first + fromA + "S 421 4.4.2 idle too long\nX", "mail: 421 4.4.2 idle too long +theirs\nbroken\nstale"},
	} {
		_, rs := converse(t, c.script, Options{}, letter(1), letter(1))
		same(t, tell(rs[1]), c.want)
	}
	// The same on a fresh connection is an outcome.
	_, rs := converse(t, pipeHello+"X", Options{}, letter(1))
	same(t, tell(rs[0]), "mail: 4.4.2 connection closed by the host while sending MAIL\nbroken")
	// And so is a connection that ends later in a transaction.
	_, rs = converse(t, pipeHello+first+piped0+"S 250 ok\nX", Options{}, letter(1), letter(1))
	same(t, tell(rs[1]), "rcpt: 4.4.2 connection closed by the host before it replied to RCPT\nbroken")
}

// What a host says to RSET is no word about the message that is to come. No byte of
// that goes out behind it.
func TestARefusedRSETIsStale(t *testing.T) {
	const nonmail = "S 554 Too many nonmail commands\n"
	for _, c := range []struct {
		name   string
		script script
		o      Options
	}{
		{"in turn", plainHello + fromA + okLine + rcpt0 + "S 451 grey\nC RSET\n" + nonmail, Options{}},
		{"pipelined", pipeHello + piped0 + "S 250 ok\nS 451 grey\nS 554 none\nC RSET\n" + piped0 + nonmail, Options{}},
		{"by chunks", chunkHello + fromA + rcpt0 + "C BDAT 22 LAST\nC Subject: x\nC \nC .hello\nS 250 ok\nS 451 grey\nS 503 none\nC RSET\n" + fromA + rcpt0 + nonmail, Options{Chunking: true}},
		{"LMTP", swap("EHLO", "LHLO", plainHello) + fromA + okLine + rcpt0 + "S 451 grey\nC RSET\n" + nonmail, Options{LMTP: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, rs := converse(t, c.script, c.o, letter(1), letter(1))
			same(t, tell(rs[0]), "rcpt: 451 grey +theirs")
			same(t, tell(rs[1]), "mail: 554 Too many nonmail commands +theirs\nbroken\nstale")
		})
	}
}

func TestWordsNobodyAskedForEndTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		go func() {
			script(pipeHello+piped0+"S 250 ok\nS 250 ok\nS 354 go\nD\n").play(t, theirs)
			theirs.Write([]byte("250 ok\r\n250 for you too\r\n"))
		}()
		c, f := Open(t.Context(), ours, Options{Helo: "us.example"})
		if f != nil {
			t.Fatal(f)
		}
		c.Send(t.Context(), letter(1))
		if c.Reusable() {
			t.Error("a host out of step is reusable")
		}
		same(t, tell(c.Send(t.Context(), letter(1))), "skipped\nbroken\nstale")
		c.Close()
	})
}

func TestParametersGoOnlyWhereTheyAreOffered(t *testing.T) {
	m := letter(1)
	m.Envelope.Body, m.EightBit = mail.EightBit, true
	m.Envelope.Return, m.Envelope.ID = mail.ReturnHeaders, "QQ+2B1"
	m.Envelope.To[0].Notify, m.Envelope.To[0].Original = mail.NotifySuccess|mail.NotifyDelay, "rfc822;B+40x"
	m.By = mail.DeliverBy{Within: 90 * time.Second, Notify: true, Trace: true}
	_, rs := converse(t, `
		S 220 hi
		C EHLO us.example
		S 250-mx
		S 250-SIZE 1000
		S 250-8BITMIME
		S 250-DSN
		S 250-DELIVERBY 60
		S 250-SMTPUTF8
		S 250 ENHANCEDSTATUSCODES
		C MAIL FROM:<a@from.example> SIZE=22 BODY=8BITMIME RET=HDRS ENVID=QQ+2B1 BY=90;NT
		S 250 ok
		C RCPT TO:<b0@to.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;B+40x
		S 550 no`, Options{}, m)
	same(t, tell(rs[0]), "rcpt: 550 no +theirs")
	_, rs = converse(t, plainHello+fromA+okLine+rcpt0+"S 550 no\n", Options{}, m)
	same(t, tell(rs[0]), "rcpt: 550 no +theirs")
	late := letter(1)
	late.By = mail.DeliverBy{Within: -2 * time.Minute, Notify: true}
	_, rs = converse(t, swap("PIPELINING", "DELIVERBY 60", pipeHello)+"C MAIL FROM:<a@from.example> BY=-120;N\nS 550 no\n", Options{}, late)
	same(t, tell(rs[0]), "mail: 550 no +theirs")
}

// The sending side of CVE-2020-28021 and CVE-2020-28026.
func TestParameterCannotSmuggleACommand(t *testing.T) {
	m := letter(2)
	m.Envelope.ID = "x\r\nRSET"
	m.Envelope.To[0].Original = "rfc822;x\r\nRCPT TO:<evil@example.com>"
	m.Envelope.To[1].Address.Local = "b1> NOTIFY=NEVER <"
	_, rs := converse(t, swap("PIPELINING", "DSN", pipeHello)+fromA+okLine+rcpt0+"S 550 no\n", Options{}, m)
	same(t, tell(rs[0]), "rcpt: 550 no +theirs\nrcpt: 5.1.3 address cannot be written in a command +permanent")
}

func TestWhatTheHostCannotTakeIsNotSent(t *testing.T) {
	with := func(change func(*Message)) Message {
		m := letter(1)
		change(&m)
		return m
	}
	for _, c := range []struct {
		name, offer string
		m           Message
		want        string
	}{
		{"size", "SIZE 10", letter(1), "mail: 5.3.4 message of 22 octets exceeds the limit of 10 octets announced by the host +permanent"},
		{"utf8 header", "DSN", with(func(m *Message) { m.UTF8 = true }), "mail: 5.6.7 message is internationalized and the host does not offer SMTPUTF8 +permanent"},
		{"utf8 recipient", "DSN", with(func(m *Message) { m.Envelope.To[0].Address.Local = "bé" }), "rcpt: 5.6.7 address is not ASCII and the host does not offer SMTPUTF8 +permanent"},
		{"binary", "CHUNKING", with(func(m *Message) { m.Envelope.Body = mail.BinaryMIME }), "mail: 5.6.3 message is binary and the host does not offer BINARYMIME +permanent"},
		{"deliver by", "DSN", with(func(m *Message) { m.By = mail.DeliverBy{Within: time.Hour, Return: true} }), "mail: 5.3.3 message asks to be returned if late and the host does not offer DELIVERBY +permanent"},
		{"deliver by too soon", "DELIVERBY 7200", with(func(m *Message) { m.By = mail.DeliverBy{Within: time.Hour, Return: true} }), "mail: 5.4.7 too little time is left for what DELIVERBY asks of the host +permanent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, rs := converse(t, swap("PIPELINING", c.offer, pipeHello), Options{}, c.m)
			same(t, tell(rs[0]), c.want)
		})
	}
}

func TestForeignDomainGoesInALabelsToOldHosts(t *testing.T) {
	m := letter(1)
	m.Envelope.To[0].Address.Domain = "bücher.example"
	_, rs := converse(t, plainHello+fromA+okLine+"C RCPT TO:<b0@xn--bcher-kva.example>\nS 550 no\n", Options{}, m)
	same(t, tell(rs[0]), "rcpt: 550 no +theirs")
	_, rs = converse(t, swap("PIPELINING", "SMTPUTF8", pipeHello)+"C MAIL FROM:<a@from.example> SMTPUTF8\nS 250 ok\nC RCPT TO:<b0@bücher.example>\nS 550 no\n", Options{}, m)
	same(t, tell(rs[0]), "rcpt: 550 no +theirs")
}

func TestLimitsOfTheHostAreObeyed(t *testing.T) {
	_, rs := converse(t, swap("PIPELINING", "LIMITS RCPTMAX=2 MAILMAX=1", pipeHello)+fromA+okLine+rcpt0+okLine+rcpt1+okLine+"C DATA\nS 354 go\nD\nS 250 ok\n", Options{}, letter(3), letter(1))
	same(t, tell(rs[0]), "dot: 250 ok +theirs +onward\ndot: 250 ok +theirs +onward\nskipped")
	same(t, tell(rs[1]), "skipped\nbroken\nstale")
	m := letter(3)
	m.Envelope.To[1].Address.Domain = "other.example"
	_, rs = converse(t, swap("PIPELINING", "LIMITS RCPTDOMAINMAX=1", pipeHello)+fromA+okLine+rcpt0+"S 550 no\n"+rcpt2+"S 550 no\n", Options{}, m)
	same(t, tell(rs[0]), "rcpt: 550 no +theirs\nskipped\nrcpt: 550 no +theirs")
}

// brokenDisk fails behind some octets.
type brokenDisk int64

func (d brokenDisk) ReadAt(b []byte, at int64) (int, error) {
	if at+int64(len(b)) > int64(d) {
		return 0, errors.New("EIO")
	}
	return copy(b, bytes.Repeat([]byte("x"), len(b))), nil
}

func TestUnreadableMessageIsOurFaultAndNotEnded(t *testing.T) {
	m := letter(1)
	m.Body, m.Size = brokenDisk(40000), 100000
	var heard bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		done := make(chan bool)
		go func() {
			script(plainHello+upTo0+"S 354 go\n").play(t, theirs)
			heard.ReadFrom(theirs)
			close(done)
		}()
		c, f := Open(t.Context(), ours, Options{Helo: "us.example"})
		if f != nil {
			t.Fatal(f)
		}
		r := c.Send(t.Context(), m)
		same(t, tell(r), "data: 4.3.0 stored message could not be read +ours\nbroken")
		if r.Outcomes[0].Err == nil {
			t.Error("the cause is lost")
		}
		c.Close()
		<-done
	})
	if bytes.HasSuffix(heard.Bytes(), []byte(".\r\n")) {
		t.Error("half a message was ended")
	}
}

func TestEndOfContextEndsASend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		done := make(chan bool)
		go func() { script(plainHello+fromA+"W 1h").play(t, theirs); close(done) }()
		c, f := Open(t.Context(), ours, Options{Helo: "us.example"})
		if f != nil {
			t.Fatal(f)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		same(t, tell(c.Send(ctx, letter(1))), "mail: 4.4.2 attempt stopped by us while waiting for the host's reply to MAIL\nbroken")
		<-done
	})
}

// A host that takes some octets every two minutes is slow, not dead.
func TestSlowLineIsNotCutOff(t *testing.T) {
	m := letter(1)
	m.Bytes = bytes.Repeat([]byte("0123456789\r\n"), 200)
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		done := make(chan bool)
		go func() {
			defer close(done)
			script(plainHello+upTo0+"S 354 go\n").play(t, theirs)
			b := make([]byte, 200)
			for n := 0; n < len(m.Bytes)+3; {
				time.Sleep(2 * time.Minute)
				k, err := theirs.Read(b)
				if err != nil {
					t.Error(err)
					return
				}
				n += k
			}
			theirs.Write([]byte("250 at last\r\n"))
		}()
		c, f := Open(t.Context(), ours, Options{Helo: "us.example"})
		if f != nil {
			t.Fatal(f)
		}
		same(t, tell(c.Send(t.Context(), m)), "dot: 250 at last +theirs +onward")
		c.Close()
		<-done
	})
}

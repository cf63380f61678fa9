package smtpc

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/mail"
)

// Each host that never lets us in: what is reported is what it said, or what we saw.
func TestHostThatDoesNotLetUsInIsReportedInItsWords(t *testing.T) {
	long := "550-" + strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		name   string
		script script
		o      Options
		want   string // stage: reply
		theirs bool
		after  time.Duration
	}{
		{name: "5yz greeting", script: "S 554 5.7.1 you are listed\n", want: "greeting: 554 5.7.1 you are listed", theirs: true},
		{name: "521 greeting", script: "S 521 no mail here\n", want: "greeting: 521 no mail here", theirs: true},
		{name: "421 greeting", script: "S 421-busy\nS 421 come back later\n", want: "greeting: 421 busy / come back later", theirs: true},
		{name: "421 without a line end", script: "B 421 too many\nX", want: "greeting: 421 too many", theirs: true},
		{name: "silence", script: "W 6m\n", want: "greeting: 4.4.2 no greeting within 5m0s", after: 5 * time.Minute},
		{name: "a digit", script: "B 2\n", want: `greeting: 4.5.0 not an SMTP reply: "2"`},
		{name: "closed", script: "X", want: "greeting: 4.4.2 connection closed by the host before the greeting"},
		{name: "HTTP", script: "S HTTP/1.1 400 Bad Request\nS\n", want: `greeting: 4.5.0 not an SMTP reply: "HTTP/1.1 400 Bad Request"`},
		{name: "code 999", script: "S 999 what\n", want: `greeting: 4.5.0 not an SMTP reply: "999 what"`},
		{name: "250 for a greeting", script: "S 250 ok\n", want: `greeting: 4.5.0 unexpected greeting: "250 ok"`},
		{name: "long line", script: script("S " + long + "\n"), want: "greeting: 4.5.0 reply too long"},
		{name: "20,000 lines", script: script(strings.Repeat("S 220-x\n", 20000)), want: "greeting: 4.5.0 reply too long"},
		{name: "control characters", script: "S 554 \x1b[2J\x00bell\x07\rx\n", want: "greeting: 554 ?[2J?bell??x", theirs: true},
		{name: "EHLO deferred", script: "S 220 hi\nC EHLO us.example\nS 451 4.3.2 later\n", want: "hello: 451 4.3.2 later", theirs: true},
		{name: "EHLO, HELO refused", script: "S 220 hi\nC EHLO us.example\nS 550 no\nC HELO us.example\nS 550 5.7.1 bad name\n", want: "hello: 550 5.7.1 bad name", theirs: true},
		{name: "521 to EHLO", script: "S 220 hi\nC EHLO us.example\nS 521 no mail\n", want: "hello: 521 no mail", theirs: true},
		{name: "LHLO refused", script: "S 220 hi\nC LHLO us.example\nS 500 what\n", o: Options{LMTP: true}, want: "hello: 500 what", theirs: true},
		{name: "no reply to EHLO", script: "S 220 hi\nC EHLO us.example\nW 6m\n", want: "hello: 4.4.2 no reply to EHLO within 5m0s", after: 5 * time.Minute},
		{name: "closed at EHLO", script: "S 220 hi\nC EHLO us.example\nX\n", want: "hello: 4.4.2 connection closed by the host before it replied to EHLO"},
		{name: "mixed drip", script: "S 220 hi\nC EHLO us.example\nS 250-mx\nW 3m\nS 250-A\nW 3m\n", want: "hello: 4.4.2 no reply to EHLO within 5m0s", after: 5 * time.Minute},
		{name: "no STARTTLS", script: plainHello, o: Options{TLS: RequireTLS}, want: "tls: 4.7.5 host does not offer STARTTLS, and the route demands it"},
		{name: "STARTTLS refused", script: "S 220 hi\nC EHLO us.example\nS 250-mx\nS 250 STARTTLS\nC STARTTLS\nS 454 4.7.0 not now\n", o: Options{TLS: VerifyTLS}, want: "tls: 454 4.7.0 not now", theirs: true},
		{name: "password in plain text", script: "S 220 hi\nC EHLO us.example\nS 250-mx\nS 250 AUTH PLAIN\n", o: Options{User: "u", Password: "p"}, want: `auth: 4.7.0 password not sent: the host has not proven its name (tls = "verify" is needed with auth)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				done := make(chan bool)
				go func() { c.script.play(t, theirs); close(done) }()
				began := time.Now()
				if c.o.Helo = "us.example"; true {
					_, f := Open(context.Background(), ours, c.o)
					if f == nil {
						t.Fatal("no failure")
					}
					same(t, f.Error(), c.want)
					if f.Theirs != c.theirs || f.Permanent || f.Theirs == (f.Reply.Code == 0) {
						t.Errorf("theirs %v permanent %v code %d", f.Theirs, f.Permanent, f.Reply.Code)
					}
				}
				if got := time.Since(began).Truncate(time.Minute); c.after > 0 && got != c.after {
					t.Errorf("after %v, want %v", got, c.after)
				}
				theirs.Close()
				<-done
			})
		})
	}
}

func TestSlowGreetingIsWaitedFor(t *testing.T) {
	if f, _ := converse(t, "W 4m\nS 220 hi\nC EHLO us.example\nS 250 mx\n", Options{}); f != nil {
		t.Error(f)
	}
}

func TestRepliesSplitPerByteAndWithBareLFAreRead(t *testing.T) {
	f, rs := converse(t, `
		B 220-mx
		B 220 ready
		C EHLO us.example
		B 250-mx
		B 250 size 99
		C MAIL FROM:<a@from.example> SIZE=22
		B 250
		C RCPT TO:<b0@to.example>
		B 250
		C DATA
		B 354
		D
		B 250
	`, Options{}, letter(1))
	if f != nil {
		t.Fatal(f)
	}
	same(t, tell(rs[0]), "dot: 250 +theirs +onward")
}

func TestOldHostIsGreetedWithHelo(t *testing.T) {
	f, rs := converse(t, `
		S 220 old
		C EHLO us.example
		S 502 unknown command
		C HELO us.example
		S 250 old, hello
		`+fromA+`
		S 250 ok
		C RCPT TO:<b0@to.example>
		S 250 ok
		C DATA
		S 354 go
		C Subject: x
		C 
		C ..hello
		C .
		S 250 taken`, Options{}, letter(1))
	if f != nil {
		t.Fatal(f)
	}
	same(t, tell(rs[0]), "dot: 250 taken +theirs +onward")
}

func TestExtensionsAreReadInAnyCase(t *testing.T) {
	r, err := mail.ParseReply([]string{
		"250-mx at your service", "250-Size 1000", "250-dsn", "250-Pipelining", "250-8bitmime", "250-smtputf8", "250-chunking",
		"250-BinaryMIME", "250-StartTls", "250-deliverby 3600", "250-AUTH=LOGIN", "250-auth Plain login", "250-", "250 limits rcptmax=20 MAILMAX=5 RCPTDOMAINMAX=1",
	})
	if err != nil {
		t.Fatal(err)
	}
	x := parseExtensions(r)
	if x.SizeMax != 1000 || !x.Size || !x.DSN || !x.Pipelining || !x.EightBit || !x.UTF8 || !x.Chunking || !x.Binary || !x.StartTLS ||
		x.ByMin != time.Hour || strings.Join(x.Auth, " ") != "LOGIN PLAIN LOGIN" || x.RcptMax != 20 || x.MailMax != 5 || x.RcptDomainMax != 1 {
		t.Errorf("%+v", x)
	}
}

func TestEndOfContextClosesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 7*time.Second)
		defer cancel()
		began := time.Now()
		_, f := Open(ctx, ours, Options{Helo: "us.example"})
		if f == nil || time.Since(began) != 7*time.Second {
			t.Fatalf("%v after %v", f, time.Since(began))
		}
		same(t, f.Error(), "greeting: 4.4.2 attempt stopped by us while waiting for the greeting")
		if _, err := theirs.Read(make([]byte, 1)); err == nil {
			t.Error("connection still open")
		}
	})
}

package smtpd

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/mail"
)

// TestEveryCommandIsAnsweredAsTheRFCsSay says each input at once.
func TestEveryCommandIsAnsweredAsTheRFCsSay(t *testing.T) {
	long := strings.Repeat("x", 3000)
	tests := []struct {
		name, input, want string
		o                 Options
		hungUp            bool
	}{
		{name: "a message", input: hello + envelope + "DATA\r\nhi\r\n.\r\nQUIT\r\n", want: enveloped + "354, 250 2.0.0, 221 2.0.0", hungUp: true},
		{name: "lower case", input: "ehlo x\r\nmail from:<>\r\nrcpt to:<b@example.net>\r\ndata\r\n.\r\n", want: enveloped + "354, 250 2.0.0"},
		{name: "helo", input: "HELO x\r\nMAIL FROM:<>\r\n", want: "250, 250 2.1.0"},
		{name: "hello needs a name", input: "EHLO\r\nHELO \r\nEHLO \xff\r\n", want: "501 5.5.4, 501 5.5.4, 501 5.5.4"},
		{name: "no LMTP on SMTP", input: "LHLO x\r\n", want: "502 5.5.1"},
		{name: "LMTP", o: Options{LMTP: true}, input: "EHLO x\r\nHELO x\r\nLHLO x\r\nMAIL FROM:<>\r\nDATA\r\nRCPT TO:<a@b.c>\r\nRCPT TO:<b@b.c>\r\nDATA\r\n.\r\n",
			want: "502 5.5.1, 502 5.5.1, 250, 250 2.1.0, 503 5.5.1, 250 2.1.5, 250 2.1.5, 354, 250 2.0.0, 250 2.0.0"},
		{name: "MAIL before EHLO", input: "MAIL FROM:<>\r\n", want: "503 5.5.1"},
		{name: "RCPT before MAIL", input: hello + "RCPT TO:<a@b.c>\r\nDATA\r\n", want: greeted + "503 5.5.1, 503 5.5.1"},
		{name: "DATA before RCPT", input: hello + "MAIL FROM:<>\r\nDATA\r\n", want: greeted + "250 2.1.0, 503 5.5.1"},
		{name: "DATA after refused RCPT", input: hello + "MAIL FROM:<>\r\nRCPT TO:<bad>\r\nDATA\r\n", want: greeted + "250 2.1.0, 553 5.1.3, 554 5.5.1"},
		{name: "second MAIL", input: hello + "MAIL FROM:<>\r\nMAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\n", want: greeted + "250 2.1.0, 503 5.5.1, 250 2.0.0, 250 2.1.0"},
		{name: "EHLO resets", input: hello + envelope + hello + "DATA\r\n", want: enveloped + greeted + "503 5.5.1"},
		{name: "the small ones", input: "NOOP\r\nNOOP x y\r\nRSET\r\nVRFY a\r\nEXPN a\r\nHELP\r\nHELP x\r\nAUTH PLAIN\r\nETRN x\r\nSTARTTLS\r\n",
			want: "250 2.0.0, 250 2.0.0, 250 2.0.0, 252 2.5.0, 502 5.5.1, 214 2.0.0, 214 2.0.0, 502 5.5.1, 502 5.5.1, 502 5.5.1"},
		{name: "unknown", input: "FOO\r\n\r\n \r\nVERYLONGCOMMAND x\r\n", want: "500 5.5.2, 500 5.5.2, 500 5.5.2, 500 5.5.2"},
		{name: "needless arguments", input: "RSET x\r\nDATA x\r\nQUIT now\r\nQUIT  \r\n", want: "501 5.5.4, 501 5.5.4, 501 5.5.4, 221 2.0.0", hungUp: true},
		{name: "a browser", input: "POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO x\r\n", want: "421 4.7.0", hungUp: true},
		{name: "bare LF ends no command", input: "NOOP\nNOOP\r\n", want: "500 5.5.2, 250 2.0.0"},
		{name: "bare LF tolerated", o: Options{BareNewline: Normalize}, input: "NOOP\nNOOP\r\n", want: "250 2.0.0, 250 2.0.0"},
		{name: "control characters", input: "NOOP \x00\r\nNOOP\r \r\nNOOP\t\r\nNOOP \x7f\r\nNOOP\r\n", want: "500 5.5.2, 500 5.5.2, 500 5.5.2, 500 5.5.2, 250 2.0.0"},
		{name: "long line", input: "NOOP " + long + "\r\nNOOP\r\n", want: "500 5.5.2, 250 2.0.0"},
		{name: "long line of many buffers", input: "NOOP " + strings.Repeat(long, 20) + "\r\nNOOP\r\n", want: "500 5.5.2, 250 2.0.0"},
		{name: "line at the limit", input: "NOOP " + strings.Repeat("x", 2048-7) + "\r\n", want: "250 2.0.0"},
		{name: "line above the limit", input: "NOOP " + strings.Repeat("x", 2048-6) + "\r\n", want: "500 5.5.2"},
		{name: "line without end", input: "NOOP " + strings.Repeat(long, 400), want: "421 4.7.0", hungUp: true},
		{name: "SIZE above the limit", o: Options{MaxSize: 1000}, input: hello + "MAIL FROM:<> SIZE=1001\r\nMAIL FROM:<> SIZE=99999999999999999999\r\nMAIL FROM:<> SIZE=1000\r\n", want: greeted + "552 5.3.4, 552 5.3.4, 250 2.1.0"},
		{name: "too many recipients", o: Options{MaxRcpts: 100}, input: hello + "MAIL FROM:<>\r\n" + strings.Repeat("RCPT TO:<a@b.c>\r\n", 101),
			want: greeted + "250 2.1.0" + strings.Repeat(", 250 2.1.5", 100) + ", 452 4.5.3"},
		{name: "RCPT flood", o: Options{MaxRcpts: 100}, input: hello + "MAIL FROM:<>\r\n" + strings.Repeat("RCPT TO:<a@b.c>\r\n", 300),
			want: greeted + "250 2.1.0" + strings.Repeat(", 250 2.1.5", 100) + strings.Repeat(", 452 4.5.3", 100) + ", 421 4.5.3", hungUp: true},
		{name: "too many messages", o: Options{MaxMessages: 1}, input: hello + envelope + "DATA\r\n.\r\nMAIL FROM:<>\r\n", want: enveloped + "354, 250 2.0.0, 421 4.7.0", hungUp: true},
		{name: "too many errors", input: strings.Repeat("FOO\r\n", 30), want: strings.Repeat("500 5.5.2, ", 20) + "421 4.7.0", hungUp: true},
		{name: "too much junk", o: Options{MaxJunk: 3}, input: strings.Repeat("NOOP\r\n", 5), want: "250 2.0.0, 250 2.0.0, 250 2.0.0, 421 4.7.0", hungUp: true},
		{name: "a message forgives", o: Options{MaxJunk: 3}, input: "NOOP\r\n" + hello + "NOOP\r\n" + envelope + "DATA\r\n.\r\nNOOP\r\nNOOP\r\nNOOP\r\n",
			want: "250 2.0.0, 250, 250 2.0.0, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0, 250 2.0.0, 250 2.0.0, 250 2.0.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				got, hungUp := dialog(t, tt.o, &recorder{}, tt.input)
				if diff := cmp.Diff(tt.want, codes(got)); diff != "" || hungUp != tt.hungUp {
					t.Errorf("hung up: %v\n%s\n%s", hungUp, diff, got)
				}
			})
		})
	}
}

// Of other servers: CVE-2020-7247 (a command in MAIL), CVE-2020-28021 (a line end in
// AUTH=), CVE-2020-28026 (a line end in ORCPT).
func TestPathsAndParametersAreReadStrictly(t *testing.T) {
	by := Options{DeliverBy: true, MinDeliverBy: time.Minute}
	tests := []struct {
		line, want string
		o          Options
	}{
		{line: "MAIL FROM:<a@b.c>", want: "250 2.1.0"},
		{line: "MAIL FROM: <a@b.c>", want: "250 2.1.0"},
		{line: "MAIL FROM:a@b.c", want: "501 5.1.7"},
		{line: "MAIL FROM <a@b.c>", want: "501 5.5.4"},
		{line: "MAIL", want: "501 5.5.4"},
		{line: "MAIL TO:<a@b.c>", want: "501 5.5.4"},
		{line: "MAIL FROM:", want: "501 5.5.4"},
		{line: "MAIL FROM:<;id;>", want: "501 5.1.7"},
		{line: "MAIL FROM:<a>", want: "553 5.1.7"},
		{line: "MAIL FROM:<postmaster>", want: "553 5.1.7"},
		{line: "MAIL FROM:<a@b.c>SIZE=1", want: "501 5.1.7"},
		{line: "MAIL FROM:<" + strings.Repeat("a", 300) + "@b.c>", want: "501 5.1.7"},
		{line: "MAIL FROM:<ü@b.c>", want: "553 5.6.7"},
		{line: "MAIL FROM:<a@ü.c>", want: "553 5.6.7"},
		{line: "MAIL FROM:<ü@b.c> SMTPUTF8", want: "250 2.1.0"},
		{line: "MAIL FROM:<\xff@b.c> SMTPUTF8", want: "501 5.1.7"},
		{line: "MAIL FROM:<> SMTPUTF8=1", want: "501 5.5.4"},
		{line: "MAIL FROM:<> FOO=1", want: "555 5.5.4"},
		{line: "MAIL FROM:<> =1", want: "555 5.5.4"},
		{line: "MAIL FROM:<> AUTH=<>", want: "555 5.5.4"},
		{line: "MAIL FROM:<>  SIZE=5  BODY=8BITMIME ", want: "250 2.1.0"},
		{line: "MAIL FROM:<> size=5 body=7bit ret=hdrs envid=x", want: "250 2.1.0"},
		{line: "MAIL FROM:<> SIZE=5 SIZE=6", want: "501 5.5.4"},
		{line: "MAIL FROM:<> SIZE=-1", want: "501 5.5.4"},
		{line: "MAIL FROM:<> SIZE=", want: "501 5.5.4"},
		{line: "MAIL FROM:<> SIZE", want: "501 5.5.4"},
		{line: "MAIL FROM:<> SIZE=999999999999999999999", want: "501 5.5.4"},
		{line: "MAIL FROM:<> BODY=BINARYMIME", want: "555 5.5.4"},
		{line: "MAIL FROM:<> BODY=9BIT", want: "501 5.5.4"},
		{line: "MAIL FROM:<> RET=ALL", want: "501 5.5.4"},
		{line: "MAIL FROM:<> ENVID=a+20b", want: "250 2.1.0"},
		{line: "MAIL FROM:<> ENVID=a+0Ab", want: "501 5.5.4"},
		{line: "MAIL FROM:<> ENVID=a+2", want: "501 5.5.4"},
		{line: "MAIL FROM:<> ENVID=" + strings.Repeat("a", 101), want: "501 5.5.4"},
		{line: "MAIL FROM:<> BY=120;R", want: "555 5.5.4"},
		{line: "MAIL FROM:<> BY=120;R", o: by, want: "250 2.1.0"},
		{line: "MAIL FROM:<> BY=59;R", o: by, want: "555 5.5.4"},
		{line: "MAIL FROM:<> BY=-5;NT", o: by, want: "250 2.1.0"},
		{line: "MAIL FROM:<> BY=0;R", o: by, want: "501 5.5.4"},
		{line: "MAIL FROM:<> BY=-5;R", o: by, want: "501 5.5.4"},
		{line: "MAIL FROM:<> BY=5;X", o: by, want: "501 5.5.4"},
		{line: "MAIL FROM:<> BY=5;NX", o: by, want: "501 5.5.4"},
		{line: "MAIL FROM:<> BY=5", o: by, want: "501 5.5.4"},
		{line: "MAIL FROM:<> BY=1234567890;R", o: by, want: "501 5.5.4"},
		{line: "RCPT TO:<a@b.c>", want: "250 2.1.5"},
		{line: "RCPT TO:<Postmaster>", want: "250 2.1.5"},
		{line: "RCPT TO:<@x.y,@z:a@b.c>", want: "250 2.1.5"},
		{line: `RCPT TO:<"a > b"@b.c> NOTIFY=NEVER`, want: "250 2.1.5"},
		{line: "RCPT TO:<>", want: "501 5.1.3"},
		{line: "RCPT TO:<a@b.c", want: "501 5.1.3"},
		{line: `RCPT TO:<"a\`, want: "501 5.1.3"},
		{line: `RCPT TO:<"a\">`, want: "501 5.1.3"},
		{line: `RCPT TO:<"a\"@b.c>`, want: "501 5.1.3"},
		{line: `RCPT TO:<"a\\"@b.c>`, want: "250 2.1.5"},
		{line: `RCPT TO:<a@b.c\>`, want: "501 5.1.3"},
		{line: `RCPT TO:<a@b.c>\`, want: "501 5.1.3"},
		{line: `RCPT TO:<a@b.c> ORCPT=rfc822;a\`, want: "250 2.1.5"},
		{line: "RCPT TO:<ü@b.c>", want: "553 5.6.7"},
		{line: "RCPT TO:<a@b.c> SIZE=1", want: "555 5.5.4"},
		{line: "RCPT TO:<a@b.c> BY=120;R", o: by, want: "555 5.5.4"},
		{line: "RCPT TO:<a@b.c> NOTIFY=SUCCESS,DELAY", want: "250 2.1.5"},
		{line: "RCPT TO:<a@b.c> NOTIFY=NEVER,DELAY", want: "501 5.5.4"},
		{line: "RCPT TO:<a@b.c> NOTIFY=", want: "501 5.5.4"},
		{line: "RCPT TO:<a@b.c> NOTIFY=NEVER NOTIFY=NEVER", want: "501 5.5.4"},
		{line: "RCPT TO:<a@b.c> ORCPT=rfc822;a+2Bb@b.c", want: "250 2.1.5"},
		{line: "RCPT TO:<a@b.c> ORCPT=x400;/C=DE/S=X", want: "250 2.1.5"},
		{line: "RCPT TO:<a@b.c> ORCPT=rfc822;a+0D+0Ab@b.c", want: "501 5.5.4"},
		{line: "RCPT TO:<a@b.c> ORCPT=rfc822;j+C3+BCrgen@b.c", want: "250 2.1.5"},
		{line: "RCPT TO:<a@b.c> ORCPT=rfc822;j+FCrgen@b.c", want: "501 5.5.4"},
		{line: "RCPT TO:<a@b.c> ORCPT=rfc822;a+C2+85b@b.c", want: "501 5.5.4"},
		{line: "RCPT TO:<a@b.c> ORCPT=rfc822", want: "501 5.5.4"},
		{line: "RCPT TO:<a@b.c> ORCPT=;x", want: "501 5.5.4"},
		{line: "RCPT TO:<a@b.c> ORCPT=utf-8;ü@b.c", want: "501 5.5.4"},
		{line: "RCPT TO:<a@b.c> ORCPT=rfc822;" + strings.Repeat("a", 500), want: "501 5.5.4"},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				input, before := hello+tt.line+"\r\n", greeted
				if strings.HasPrefix(tt.line, "RCPT") {
					input, before = hello+"MAIL FROM:<>\r\n"+tt.line+"\r\n", greeted+"250 2.1.0, "
				}
				got, _ := dialog(t, tt.o, &recorder{}, input)
				if diff := cmp.Diff(before+tt.want, codes(got)); diff != "" {
					t.Errorf("%s\n%s", diff, got)
				}
			})
		})
	}
}

func TestTheEnvelopeKeepsWhatWasSaid(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := &recorder{}
		var size int64
		h.mail = func(_ *mail.Envelope, n int64) mail.Reply { size = n; return mail.Reply{} }
		dialog(t, Options{DeliverBy: true}, h, hello+
			"MAIL FROM:<ü@Example.com> SIZE=77 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=q+2B1 BY=-90;nt\r\n"+
			"RCPT TO:<@x.y:B@Example.NET> NOTIFY=success,failure ORCPT=rfc822;B+40x\r\n"+
			"RCPT TO:<c@example.net> ORCPT=x400;/C=DE\r\nRCPT TO:<d@example.net> ORCPT=utf-8;ü@x.y\r\n"+
			"DATA\r\nhi\r\n.\r\n")
		want := message{mail.Envelope{
			From: mail.Address{Local: "ü", Domain: "Example.com"}, Body: mail.EightBit, UTF8: true,
			Return: mail.ReturnFull, ID: "q+2B1", By: mail.DeliverBy{Within: -90 * time.Second, Notify: true, Trace: true},
			To: []mail.Recipient{
				{Address: mail.Address{Local: "B", Domain: "Example.NET"}, Notify: mail.NotifySuccess | mail.NotifyFailure, Original: "rfc822;B+40x"},
				{Address: mail.Address{Local: "c", Domain: "example.net"}, Original: "x400;/C+3DDE"},
				{Address: mail.Address{Local: "d", Domain: "example.net"}, Original: "utf-8;ü@x.y"},
			},
		}, "hi\r\n", "UTF8SMTP"}
		if diff := cmp.Diff([]message{want}, h.taken(), cmp.AllowUnexported(message{})); diff != "" || size != 77 {
			t.Errorf("size %d\n%s", size, diff)
		}
	})
}

func TestEHLOOffersWhatIsThere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		got, _ := dialog(t, Options{Hostname: "mx.example", MaxSize: 10, DeliverBy: true, MinDeliverBy: time.Minute, MaxMessages: 7}, &recorder{}, hello+"HELO x\r\n")
		want := "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 10\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n" +
			"250-CHUNKING\r\n250-DELIVERBY 60\r\n250 LIMITS RCPTMAX=1000 MAILMAX=7\r\n250 mx.example\r\n"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAHostsWordsAreSaidAndMadeSafe(t *testing.T) {
	tests := []struct {
		reply mail.Reply
		want  string
	}{
		{mail.Reply{}, "250 2.1.0 Sender ok\r\n"},
		{reply(550, "no"), "550 5.0.0 no\r\n"},
		{mail.Reply{Code: 450, Status: mail.Status{4, 7, 1}, Text: "later"}, "450 4.7.1 later\r\n"},
		{mail.Reply{Code: 550, Status: mail.Status{5, 7, 1}, Text: "one\ntwo"}, "550-5.7.1 one\r\n550 5.7.1 two\r\n"},
		{reply(550, "x\r\n250 2.0.0 y\x00z"), "550-5.0.0 x?\r\n550 5.0.0 250 2.0.0 y?z\r\n"},
		{reply(354, "go"), "451 4.3.0 Local fault, try again later\r\n"},
		{reply(999, "?"), "451 4.3.0 Local fault, try again later\r\n"},
	}
	for _, tt := range tests {
		bubble(t, func(t *testing.T) {
			h := &recorder{mail: func(*mail.Envelope, int64) mail.Reply { return tt.reply }}
			got, _ := dialog(t, Options{}, h, "HELO x\r\nMAIL FROM:<>\r\n")
			if diff := cmp.Diff("250 localhost\r\n"+tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEveryAcceptedMailEndsInOneDataOrReset(t *testing.T) {
	tests := []struct{ name, input, want string }{
		{"data", hello + envelope + "DATA\r\n.\r\nRSET\r\nQUIT\r\n", "greet hello mail rcpt data close"},
		{"rset", hello + envelope + "RSET\r\nRSET\r\nQUIT\r\n", "greet hello mail rcpt reset close"},
		{"ehlo", hello + envelope + hello + "QUIT\r\n", "greet hello mail rcpt reset hello close"},
		{"quit", hello + envelope + "QUIT\r\n", "greet hello mail rcpt reset close"},
		{"chunks", hello + envelope + "BDAT 2\r\nhiRSET\r\nQUIT\r\n", "greet hello mail rcpt dropped close"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := &recorder{}
				dialog(t, Options{}, h, tt.input)
				if got := h.story(); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			})
		})
	}
}

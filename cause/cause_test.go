package cause

import (
	"strings"
	"testing"

	"github.com/postrider/postrider/mail"
)

// TestRepliesOfTheWorld: what hosts say, mostly word for word, and what it means.
func TestRepliesOfTheWorld(t *testing.T) {
	for _, c := range []struct {
		reply string
		kind  Kind
		least Confidence
	}{
		{"550 5.1.1 <bob@example.com>: Recipient address rejected: User unknown in virtual mailbox table", UserUnknown, Sure},
		{"550-5.1.1 The email account that you tried to reach does not exist. Please try\n550 5.1.1 double-checking the recipient's email address - gsmtp", UserUnknown, Sure},
		{"550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient bob@example.com not found by SMTP address lookup", UserUnknown, Likely},
		{"550 5.4.1 Recipient address rejected: Access denied. AS(201806281)", UserUnknown, Likely},
		{"550 5.5.0 Requested action not taken: mailbox unavailable", UserUnknown, Guess},
		{"550 Unrouteable address", UserUnknown, Likely},
		{"550 sorry, no mailbox here by that name (#5.1.1 - chkusr)", UserUnknown, Likely},
		{"553 5.3.0 <bob@example.com>... User unknown", UserUnknown, Likely},
		{"551 User not local; please try <bob@example.org>", UserUnknown, Guess},
		{"550 <spam@example.com>: user unknown", UserUnknown, Likely},
		{"511 5.1.1 unknown address or alias", UserUnknown, Sure},
		{"450 4.1.1 <bob@example.com>: Recipient address rejected: unverified address: Address lookup failure", NotNow, Likely},
		{"450 4.1.1 <bob@example.com>: Recipient address rejected: User unknown", NotNow, Likely},
		{"550 5.2.1 The email account that you tried to reach is disabled. - gsmtp", Disabled, Sure},
		{"550 5.7.1 Account is suspended", Disabled, Likely},
		{"525 5.7.13 Disabled recipient address", Disabled, Likely},
		{"550 Mailbox is frozen. See http://mail.i.ua/err/3/", Disabled, Likely},
		{"450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages", Rate, Likely},
		{"452-4.2.2 The email account that you tried to reach is over quota. Please direct\n452-4.2.2 the recipient to\n452 4.2.2  https://support.google.com/mail/?p=OverQuotaTemp - gsmtp", MailboxFull, Sure},
		{"552 5.2.2 <bob@icloud.com>: user is over quota", MailboxFull, Sure},
		{"554 Mailbox full", MailboxFull, Likely},
		{"452 4.3.1 Insufficient system storage", SystemFull, Sure},
		{"452 4.3.1 Out of memory", SystemFull, Likely},
		{"552 5.3.4 Message size exceeds fixed limit", TooLarge, Sure},
		{"552 5.2.3 Message exceeds maximum size", TooLarge, Sure},
		{"552 5.3.4 Error: message file too big", TooLarge, Sure},
		{"554 5.7.1 <bob@example.com>: Relay access denied", RelayDenied, Sure},
		{"550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", RelayDenied, Likely},
		{"553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", RelayDenied, Likely},
		{"550 relay not permitted", RelayDenied, Likely},
		{"451 4.7.1 Greylisting in action, please come back in 00:05:00", Greylisted, Likely},
		{"450 4.2.0 <bob@example.com>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/example.com.html", Greylisted, Likely},
		{"451 4.7.1 Please try again later", System, Guess},
		{"450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]", NoReverse, Sure},
		{"550 5.7.25 [192.0.2.1] The IP address sending this message does not have a PTR record setup", NoReverse, Sure},
		{"550 5.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.1]", NoReverse, Sure},
		{"450 4.7.1 Client host rejected: may not be mail exchanger", NoReverse, Likely},
		{"554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1", Reputation, Sure},
		{"550 5.7.606 Access denied, banned sending IP [192.0.2.1]. To request removal from this list please visit https://sender.office.com/", Reputation, Sure},
		{"550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140).", Reputation, Sure},
		{"554 5.7.1 Your access to this mail system has been rejected due to the sending MTA's poor reputation. (senderbase)", Reputation, Sure},
		{"553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list", Reputation, Sure},
		{"421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints", Reputation, Likely},
		{"421-4.7.28 Our system has detected an unusual rate of unsolicited mail originating\n421 4.7.28 from your IP address.", Rate, Likely},
		{"451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation.", Reputation, Guess},
		{"421 4.7.66 Too many connections from your host", Rate, Likely},
		{"452 4.5.3 Too many recipients", Rate, Sure},
		{"432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded", System, Guess},
		{"550 5.1.1 <bob@example.com> - 192.0.2.1 has sent to too many recipients this hour. IB607", Rate, Likely},
		{"550-5.7.26 Unauthenticated email from example.com is not accepted due to\n550 5.7.26 domain's DMARC policy.", Authentication, Sure},
		{"550-5.7.26 This message does not have authentication information or fails to pass\n550 5.7.26 authentication checks.", Authentication, Sure},
		{"550 5.7.509 Access denied, sending domain example.com does not pass DMARC verification", Authentication, Sure},
		{"550 5.7.515 Access denied, sending domain EXAMPLE.COM doesn't meet the required authentication level.", Authentication, Sure},
		{"550 5.7.23 Message rejected due to SPF policy", Authentication, Sure},
		{"550 SPF check failed: example.com does not designate 192.0.2.1 as permitted sender", Authentication, Sure},
		{"550 5.7.20 No passing DKIM signature found", Authentication, Likely},
		{"550-5.7.1 Our system has detected that this message is likely unsolicited mail.\n550 5.7.1 To reduce the amount of spam sent to Gmail, this message has been blocked.", Spam, Likely},
		{"554 5.7.1 Message rejected as spam by Content Filtering.", Spam, Sure},
		{"550 High probability of spam", Spam, Likely},
		{"550 5.7.1 This message contains a virus (Eicar-Test-Signature)", Virus, Sure},
		{"552 5.7.0 This message was blocked because its content presents a potential security issue: executable", Content, Guess},
		{"550 5.7.1 Messages with multiple addresses in From: header are not accepted.", NotCompliant, Likely},
		{"550 5.7.1 Message not accepted for policy reasons", Policy, Likely},
		{"550 5.7.1 still no", Policy, Guess},
		{"550 OU-001 Mail rejected by Outlook.com for policy reasons. The mail server IP connecting to Outlook.com has exhibited namespace mining behavior.", Reputation, Likely},
		{"550 5.7.511 Access denied, banned sender[192.0.2.1]. To request removal from this list forward this message", Reputation, Likely},
		{"554 RLY:B1 http://postmaster.info.provider.test/errors/554rlyb1.html", Reputation, Likely},
		{"550 5.7.1 Message contains spam or virus or sender is blocked : 192.0.2.1", Spam, Guess},
		{"554 5.6.0 Message contains NUL characters", NotCompliant, Likely},
		{"550 5.7.1 Messages missing a valid messageId header are not accepted.", NotCompliant, Likely},
		{"451 4.3.0 This message could not be delivered due to a recipient error. Please try again later.", NotNow, Guess},
		{"554 5.7.1 <bob@example.com>: Recipient address rejected: Access denied", Policy, Guess},
		{"550 5.1.8 <ann@example.com>: Sender address rejected: Domain not found", SenderRefused, Sure},
		{"450 4.1.8 <ann@example.com>: Sender address rejected: Domain not found", SenderRefused, Sure},
		{"550 Sender verify failed", SenderRefused, Likely},
		{"553 5.1.8 Domain of sender address ann@example.com does not exist", SenderRefused, Likely},
		{"550 5.4.6 Hop count exceeded - possible mail loop", Loop, Sure},
		{"554 5.4.14 Hop count exceeded - possible mail loop ATTR34", Loop, Likely},
		{"554 5.4.6 Too many hops", Loop, Sure},
		{"556 5.1.10 Recipient address has null MX", NotMailHost, Sure},
		{"521 5.3.2 mx.example.com does not accept mail (see RFC7504)", NotMailHost, Likely},
		{"521 no", NotMailHost, Guess},
		{"530 5.7.0 Authentication required", Security, Likely},
		{"535 5.7.8 Authentication credentials invalid", Security, Sure},
		{"530 5.7.0 Must issue a STARTTLS command first", TLS, Likely},
		{"550 5.6.7 SMTPUTF8 is required", NoUTF8, Sure},
		{"501 5.5.4 Syntax: RCPT TO:<address>", Syntax, Guess},
		{"503 5.5.1 Bad sequence of commands", Syntax, Guess},
		{"421 4.3.2 System not accepting network messages", NotMailHost, Guess},
		{"451 4.3.0 Temporary lookup failure", System, Likely},
		{"451 4.3.5 Server configuration error", System, Likely},
		{"421 Service not available, closing transmission channel", System, Guess},
		{"550 5.1.6 recipient no longer on server: bob@icloud.com", Moved, Sure},
		{"550 4.4.7 QUEUE.Expired; message expired", Expired, Likely},
		{"550 5.4.316 Message expired, connection refused(Socket error code 10061)", Refused, Sure},
		{"550 5.1.2 Host unknown (Name server: host not found)", HostUnknown, Sure},
		{"554 5.7.1 [CS01] Message rejected due to local policy", Policy, Likely},
		{"550 5.7.1 RESOLVER.RST.AuthRequired; authentication required", Security, Likely},
		{"550 5.7.1 RESOLVER.RST.NotAuthorized; not authorized", Policy, Likely},
		{"550 5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this recipient", TooLarge, Sure},
		{"550 User bob (bob@example.com) not listed in Domino Directory", UserUnknown, Likely},
		{"550 4.4.1 Host not responding", Timeout, Likely},
		{"421 4.2.1 Unable to connect", Unreachable, Likely},
		{"451 Unable to contact LDAP server", System, Likely},
		{"550 5.7.1 rejected due to spam classification. Set up SPF records for your domain", Spam, Sure},
		{"550 relay through this server without authentication: please turn on SMTP Authentication", Security, Likely},
		{"550 <bob@example.com> Rejected", UserUnknown, Guess},
		{"451 Could not load the domain's data", System, Guess},
		{"554 Message rejected: contains a virus", Virus, Likely},
		{"550 5.7.1 Mail content denied", Spam, Likely},
		{"550 Ip frequency limited", Rate, Likely},
		{"550 zork", Unknown, None},
		{"554 5.0.0 no", Unknown, None},
		{"550 nein, danke", Unknown, None},
	} {
		r, err := mail.ParseReply(strings.Split(c.reply, "\n"))
		if err != nil {
			t.Fatalf("%q: %v", c.reply, err)
		}
		got := Of(Sign{Stage: mail.Rcpt, Reply: r, Theirs: true})
		if got.Kind != c.kind || got.Confidence < c.least {
			t.Errorf("%s\n\tmeans %s (%s), want %s (%s)", r.Line(), got.Kind, got.Confidence, c.kind, c.least)
		}
	}
}

// TestWordsOfOurs: what we say ourselves when nobody spoke.
func TestWordsOfOurs(t *testing.T) {
	for _, c := range []struct {
		stage   mail.Stage
		status  mail.Status
		text    string
		trouble string
		want    Kind
	}{
		{mail.Connect, mail.Status{4, 4, 1}, "connection refused", "unreachable", Refused},
		{mail.Connect, mail.Status{4, 4, 1}, "dial tcp 192.0.2.1:25: connect: no route to host", "unreachable", NoRoute},
		{mail.Connect, mail.Status{4, 4, 1}, "no answer within 30s", "unreachable", Timeout},
		{mail.Connect, mail.Status{4, 4, 1}, "", "unreachable", Timeout},
		{mail.Greeting, mail.Status{4, 4, 2}, "no greeting within 5m0s", "unreachable", Timeout},
		{mail.Rcpt, mail.Status{4, 4, 2}, "no reply to RCPT within 5m0s", "unreachable", Broken},
		{mail.Mail, mail.Status{4, 4, 2}, "host closed the connection before it replied to MAIL", "unreachable", Broken},
		{mail.Dot, mail.Status{4, 4, 2}, "host closed the connection before it replied to the final dot", "ambiguous", Ambiguous},
		{mail.TLS, mail.Status{4, 7, 5}, "TLS handshake failed: certificate has expired", "unreachable", TLS},
		{mail.Auth, mail.Status{4, 7, 0}, "host does not offer AUTH", "ours", Ours},
		{mail.Auth, mail.Status{4, 7, 0}, "host does not offer AUTH, and the route has a password for it", "deferred", Security},
		{mail.Route, mail.Status{5, 1, 2}, "domain does not exist", "", HostUnknown},
		{mail.Route, mail.Status{5, 1, 10}, "null MX", "", NotMailHost},
		{mail.Route, mail.Status{4, 4, 3}, "SERVFAIL from 127.0.0.1:53", "unrouted", DNS},
		{mail.Route, mail.Status{5, 4, 4}, "no address of any mail server", "", NoAddress},
		{mail.Route, mail.Status{5, 4, 6}, "the best mail exchanger is this server", "", Loop},
		{mail.Route, mail.Status{}, "mail for there.example loops back to myself", "", Loop},
		{mail.Route, mail.Status{4, 4, 3}, "MX lookup of sloop.example: SERVFAIL from 192.0.2.53:53", "unrouted", DNS},
		{mail.Route, mail.Status{4, 4, 3}, "MX lookup of loop: SERVFAIL from 192.0.2.53:53", "unrouted", DNS},
		{mail.Route, mail.Status{5, 1, 2}, "bloopers.example: no such domain (NXDOMAIN from 192.0.2.53:53)", "", HostUnknown},
		{mail.Route, mail.Status{5, 4, 4}, "nxdomain.example has neither an MX nor an address record", "", NoAddress},
		{mail.Rcpt, mail.Status{5, 6, 7}, "address is not ASCII and the host does not offer SMTPUTF8", "", NoUTF8},
		{mail.Mail, mail.Status{5, 3, 4}, "message of 9 octets exceeds the limit of 5 octets announced by the host", "", TooLarge},
		{mail.Hello, mail.Status{4, 5, 0}, "not an SMTP reply: \"HTTP/1.1 400\"", "unreachable", Syntax},
	} {
		got := Of(Sign{Stage: c.stage, Reply: mail.Reply{Status: c.status, Text: c.text}, Trouble: c.trouble})
		if got.Kind != c.want {
			t.Errorf("%s %v %q: %s, want %s", c.stage, c.status, c.text, got.Kind, c.want)
		}
	}
}

func TestErrorNumbers(t *testing.T) {
	for text, want := range map[string]Kind{
		"[Errno 61] Connection refused":               Refused,
		"[Errno 111] ECONNREFUSED":                    Refused,
		"Winsock error code: 10060, Win32 error":      Timeout,
		"connection refused(Socket error code 10061)": Refused,
		"[Errno 65] No route to host":                 NoRoute,
		"read ECONNRESET":                             Broken,
		"errno 99999":                                 Unknown,
		"no number at all, errno ":                    Unknown,
	} {
		if got := Errno(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// TestEveryKindIsExplained: no kind without a word, a sentence and advice.
func TestEveryKindIsExplained(t *testing.T) {
	if len(kindWords) != int(Ours)+1 || len(endWords) != int(endsInTotal) {
		t.Fatal("a kind or an end has no word")
	}
	seen := map[string]Kind{}
	for k := Unknown; k <= Ours; k++ {
		c := Explain(k, Sure)
		if !strings.HasSuffix(c.Meaning, ".") || !strings.HasSuffix(c.DoNow, ".") || len(c.Fix) == 0 {
			t.Errorf("%s: %+v", k, c)
		}
		if was, ok := seen[c.Meaning]; ok {
			t.Errorf("%s has the meaning of %s", k, was)
		}
		seen[c.Meaning] = k
	}
	if Explain(Unknown, Sure).Confidence != None {
		t.Error("sure of what is unknown")
	}
}

// TestStatusFallsBackToItsSubject: RFC 5248 asks for it where a detail is new.
func TestStatusFallsBackToItsSubject(t *testing.T) {
	if m, ok := Status(mail.Status{5, 2, 2}); !ok || m.Kind != MailboxFull || !m.Exact {
		t.Errorf("5.2.2: %+v", m)
	}
	if m, ok := Status(mail.Status{4, 7, 500}); !ok || m.Kind != Policy || m.Exact || m.Detail != 500 {
		t.Errorf("4.7.500: %+v", m)
	}
	if _, ok := Status(mail.Status{5, 9, 9}); ok {
		t.Error("5.9.9 is known")
	}
	seen := map[[2]uint16]bool{}
	for _, m := range statuses() {
		key := [2]uint16{m.Subject, m.Detail}
		if seen[key] || m.Name == "" {
			t.Errorf("X.%d.%d twice or without a name", m.Subject, m.Detail)
		}
		seen[key] = true
	}
}

func FuzzOf(f *testing.F) {
	f.Add("mailbox full", 550, true)
	f.Add("errno 61", 0, false)
	f.Fuzz(func(t *testing.T, text string, code int, theirs bool) {
		c := Of(Sign{Stage: mail.Rcpt, Reply: mail.Reply{Code: code, Text: text}, Theirs: theirs})
		if c.Meaning == "" || (c.Kind == Unknown) != (c.Confidence == None) {
			t.Errorf("%+v", c)
		}
	})
}

// TestTheStageLimitsWhatAReplyCanMean: at the greeting nobody has named a
// mailbox, and in reply to MAIL nobody has named the recipient.
func TestTheStageLimitsWhatAReplyCanMean(t *testing.T) {
	for _, c := range []struct {
		stage mail.Stage
		reply string
		kind  Kind
	}{
		{mail.Greeting, "421 Service not available", Reputation},
		{mail.Greeting, "421 4.2.1 Service refused, please try later", Reputation},
		{mail.Greeting, "554 No SMTP service. Bad DNS PTR resource record", NoReverse},
		{mail.Mail, "550 5.1.7 No such domain example.com", SenderRefused},
		{mail.Rcpt, "550 5.1.2 No such domain example.com", HostUnknown},
	} {
		r, err := mail.ParseReply([]string{c.reply})
		if err != nil {
			t.Fatal(err)
		}
		if got := Of(Sign{Stage: c.stage, Reply: r, Theirs: true}); got.Kind != c.kind {
			t.Errorf("%s: %s means %s, want %s", c.stage, c.reply, got.Kind, c.kind)
		}
	}
}

// TestKindsAreReadBack: what is written is read, and nothing else.
func TestKindsAreReadBack(t *testing.T) {
	for k := Unknown; k <= Ours; k++ {
		b, _ := k.MarshalText()
		var got Kind
		if err := got.UnmarshalText(b); err != nil || got != k {
			t.Errorf("%s is read as %s: %v", b, got, err)
		}
		if f := factOf(k); f.meaning == "" || f.doNow == "" || len(f.fix) == 0 {
			t.Errorf("%s: nothing to say", k)
		}
	}
	for c := None; c <= Sure; c++ {
		b, _ := c.MarshalText()
		var got Confidence
		if err := got.UnmarshalText(b); err != nil || got != c {
			t.Errorf("%s is read as %s: %v", b, got, err)
		}
	}
	var k Kind
	if k.UnmarshalText([]byte("nonsense")) == nil {
		t.Error("a word that is none was read")
	}
}

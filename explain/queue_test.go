package explain

import (
	"strings"
	"testing"
)

// TestReadsListingsOfQueues: who waits, and why, as the tools of five systems
// print it.
func TestReadsListingsOfQueues(t *testing.T) {
	for _, c := range []struct{ name, listing, want string }{
		{"postfix", `-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------
A1B2C3D4E5*     1234 Tue Nov 24 04:03:11  ann@author.test
                                         bob@there.test

B1B2C3D4E5      1234 Tue Nov 24 04:03:11  ann@author.test
(connect to mx.there.test[192.0.2.9]:25: Connection refused)
                                         bob@there.test
                                         carl@there.test
(host mx.other.test[192.0.2.10] said: 450 4.7.1 <dave@other.test>: Recipient address rejected: Greylisted (in reply to RCPT TO command))
                                         dave@other.test

-- 3 Kbytes in 3 Requests.
`, "postfix: bob@there.test unknown; bob@there.test network; carl@there.test network; dave@other.test greylisted"},
		{"postqueue -j", `{"queue_name": "deferred", "queue_id": "4F2C81A03B", "arrival_time": 1795492991, "sender": "ann@author.test", "recipients": [{"address": "bob@there.test", "delay_reason": "connect to mx.there.test[192.0.2.9]:25: Connection timed out"}]}
`, "postfix: bob@there.test expired"},
		{"exim", `25m  2.9K 0t5C4K-000ZZZ-00 <ann@author.test>
          bob@there.test

 4d  2.9K 0t5C4K-000ZZY-00 <> *** frozen ***
        D carl@other.test
          dave@there.test
`, "exim: bob@there.test unknown; dave@there.test unknown"},
		{"sendmail", `		/var/spool/mqueue (2 requests)
-----Q-ID----- --Size-- -----Q-Time----- ------------Sender/Recipient-----------
x15GrRRK009751      123 Wed Feb  6 01:55 <ann@author.test>
                 (Deferred: Connection refused by mx.there.test.)
					 <bob@there.test>
x15GrRRK009752  8BITMIME  123 Wed Feb  6 01:55 <ann@author.test>
                 (host map: lookup (there.test): deferred)
					 <carl@there.test>
		Total requests: 2
`, "sendmail: bob@there.test network; carl@there.test unknown"},
		{"qmail", `24 Jun 2024 08:54:02 GMT  #1234  567  <ann@author.test>
	remote	bob@there.test
	done	remote	carl@there.test
`, "qmail: bob@there.test unknown"},
		{"exchange", `Identity     : hub1\3\12345
Status       : Retry
LastError    : 451 4.4.0 Primary target IP address responded with: "421 4.4.2 Connection dropped." Attempted failover to alternate host, but that did not succeed.
`, "exchange-2013:  network"},
		{"exchange, newer", `LastError : [{LED=441 4.4.1 Error encountered while communicating with primary target IP address: "Failed to connect. Winsock error code: 10061, Win32 error code: 10061." Attempted failover to alternate host, but that did not succeed.};{MSG=};{FQDN=mx.there.test};{IP=192.0.2.9}]
`, "exchange-2013:  network"},
	} {
		r, err := Explain(strings.NewReader(c.listing), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		software := ""
		for _, f := range r.Recipients {
			all = append(all, f.Recipient+" "+f.Reason)
			software = f.GaveUp.Software
			if r.Kind != Delay || f.Kind != StillTrying {
				t.Errorf("%s: %s, %s", c.name, r.Kind, f.Kind)
			}
		}
		if got := software + ": " + strings.Join(all, "; "); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestEachMessageOfAMailboxBeginsAtItsLine: evidence of the second message of a
// file cites the lines of the file.
func TestEachMessageOfAMailboxBeginsAtItsLine(t *testing.T) {
	const one = "From MAILER-DAEMON Tue Nov 24 04:03:11 2026\nFrom: MAILER-DAEMON@q.test\nSubject: failure notice\n\nHi. This is the qmail-send program at q.test.\n\n<bob@there.test>:\n550 no such user\n\nFrom now on, 12:30 is noon: this begins no message.\n\n"
	file := one + one
	n := 0
	for m, err := range Messages(strings.NewReader(file)) {
		if err != nil {
			t.Fatal(err)
		}
		r, err := Explain(strings.NewReader(string(m.Raw)), Options{Line: m.Line})
		if err != nil || len(r.Recipients) != 1 {
			t.Fatalf("%v: %+v", err, r)
		}
		if want := 8 + n*11; r.Recipients[0].Evidence[1].Line != want {
			t.Errorf("message %d: %+v, want line %d", n+1, r.Recipients[0].Evidence, want)
		}
		n++
	}
	if n != 2 {
		t.Errorf("%d messages", n)
	}
}

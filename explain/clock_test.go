package explain

import (
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/cause"
)

// TestClocksOfRealBounces: how long the owner held it and by which limit, worked
// out by hand from the dates of each file.
func TestClocksOfRealBounces(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		file, kind  string
		held, value time.Duration
		least, most time.Duration
		software    string
	}{
		{"lhost-office365-08.eml", Unreachable, 2*day + 28*time.Second, 2 * day, 0, 0, "exchange-online-2018"},
		{"lhost-qmail-19.eml", PolicyDeferred, 102_402 * time.Second, 0, 90_000 * time.Second, 102_402 * time.Second, "qmail"},
		{"lhost-sendmail-10.eml", PolicyDeferred, 4*day + 8*time.Hour + 58*time.Minute + 17*time.Second, 12 * time.Hour, 0, 0, "sendmail"},
		{"lhost-sendmail-54.eml", Unreachable, 5*day + 12*time.Hour + 44*time.Minute + 55*time.Second, 5 * day, 0, 0, "sendmail"},
		{"lhost-yandex-03.eml", Unreachable, 3*day + 5*time.Minute + 17*time.Second, 3 * day, 0, 0, "yandex"},
		{"lhost-dragonfly-29.eml", ExpiredUnknown, 5*day + 2*time.Minute + 53*time.Second, 432_000 * time.Second, 0, 0, "dma"},
		{"rfc3464-55.eml", StillTrying, day + 46*time.Minute + 16*time.Second, 3 * day, 0, 0, "gmail"},
		{"lhost-outlook-06.eml", StillTrying, 12*time.Hour + 2*time.Minute + 13*time.Second, 2 * day, 0, 0, "ms-smtpsvc"},
		{"lhost-exim-03.eml", PolicyRefusal, time.Second, 0, 0, 0, "exim"},
	} {
		opinions(t) // skips where the corpus is missing
		f := explainFile(t, c.file).Recipients[0]
		if f.Kind != c.kind || f.GaveUp.Software != c.software || time.Duration(f.Clock.Held) != c.held {
			t.Errorf("%s: %s by %s, held %s (%d s); want %s by %s, %s", c.file, f.Kind, f.GaveUp.Software, f.Clock.Held, f.Clock.Held/Seconds(time.Second), c.kind, c.software, c.held)
		}
		if d := time.Duration(f.Clock.Value) - c.value; d < -2*time.Minute || d > 2*time.Minute {
			t.Errorf("%s: limit %s, want %s", c.file, f.Clock.Value, c.value)
		}
		if near := 5 * time.Second; (time.Duration(f.Clock.Least)-c.least).Abs() > near || (time.Duration(f.Clock.Most)-c.most).Abs() > near {
			t.Errorf("%s: limit between %d and %d s", c.file, f.Clock.Least/Seconds(time.Second), f.Clock.Most/Seconds(time.Second))
		}
	}
}

// TestImpossibleDatesAreToldAndNotComputedFrom: a date that cannot be makes a
// warning and no length of time.
func TestImpossibleDatesAreToldAndNotComputedFrom(t *testing.T) {
	const letter = `From: MAILER-DAEMON@pf.test (Mail Delivery System)
To: ann@author.test
Date: DATE
Content-Type: message/delivery-status

Reporting-MTA: dns; pf.test
Arrival-Date: ARRIVAL

Final-Recipient: rfc822; bob@there.test
Action: failed
Status: 4.4.1
Diagnostic-Code: X-Postfix; connect to mx.there.test[192.0.2.9]:25: Connection refused
`
	for _, c := range []struct {
		arrival, date string
		held          time.Duration
		warns         string
	}{
		{"Tue, 24 Nov 2026 05:03:11 +0100", "Sun, 29 Nov 2026 05:08:11 +0100", 5*24*time.Hour + 5*time.Minute, ""},
		{"Thu, 24 Nov 2026 05:03:11 +0100", "Sun, 29 Nov 2026 05:08:11 +0100", 0, "weekday"},
		{"Sun, 29 Nov 2026 05:08:11 +0100", "Tue, 24 Nov 2026 05:03:11 +0100", 0, "ended before it came"},
		{"Fri, 24 Nov 2006 05:03:11 +0100", "Tue, 24 Nov 2026 05:03:11 +0100", 0, "more than a year"},
		{"yesterday", "Tue, 24 Nov 2026 05:03:11 +0100", 0, ""},
	} {
		r, err := Explain(strings.NewReader(strings.NewReplacer("DATE", c.date, "ARRIVAL", c.arrival).Replace(letter)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		f := r.Recipients[0]
		if got := time.Duration(f.Clock.Held); got != c.held {
			t.Errorf("%s to %s: held %s", c.arrival, c.date, got)
		}
		if all := strings.Join(f.Warnings, " "); c.warns != "" && !strings.Contains(all, c.warns) {
			t.Errorf("%s to %s: warns %q", c.arrival, c.date, all)
		}
	}
}

// TestTheFoundingBounces: the two lines that the project began with, bare, and
// the second in the letter that it came in.
func TestTheFoundingBounces(t *testing.T) {
	one := only(t, "Diagnostic-Code: smtp;550 4.4.7 QUEUE.Expired; message expired\n")
	if one.Kind != ExpiredUnknown || !strings.HasPrefix(one.GaveUp.Software, "exchange") || one.Refused.How != notTold || one.Contact != "" || len(one.NotKnown) < 2 || one.Confidence != cause.Sure {
		t.Errorf("the first: %+v", one)
	}
	const line = "Diagnostic-Code: smtp; 5.4.7 - Delivery expired (message too old) '[Errno 61] Connection refused' (delivery attempts: 0)\n"
	for _, s := range []string{line, strings.TrimPrefix(line, "Diagnostic-Code: ")} {
		two := only(t, s)
		if two.Kind != Unreachable || two.Contact != "none" || two.Refused.How != tcpRefused || two.GaveUp.Software != "ironport-asyncos" || two.Status != "5.4.7" || two.Attempts.Told == nil || *two.Attempts.Told != 0 || two.Clock.Value != 0 {
			t.Errorf("the second: %+v", two)
		}
	}
	whole := only(t, `From: "Mail Delivery System" <MAILER-DAEMON@filter.test>
To: ann@author.test
Subject: Delivery Status Notification (Failure)
Date: Mon, 30 Nov 2026 05:06:19 +0100
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
content-type: message/delivery-status

Reporting-MTA: dns; filter.test

Final-Recipient: rfc822;bob@there.test
Action: failed
Status: 5.0.0 (permanent failure)
`+line+`
--b
content-type: message/rfc822

Received: from hub.author.test ([192.0.2.8]) by filter.test with ESMTP; 24 Nov 2026 05:03:19 +0100
Received: from pc.author.test (192.0.2.7) by hub.author.test (192.0.2.8) with Microsoft SMTP Server id 8.2.176.0; Tue, 24 Nov 2026 05:03:12 +0100
From: ann@author.test
To: bob@there.test

x
--b--
`)
	if got := time.Duration(whole.Clock.Held); got != 6*24*time.Hour+3*time.Minute || whole.Clock.Owner != "filter.test" || whole.Clock.Default != Seconds(72*time.Hour) {
		t.Errorf("the second, whole: %+v", whole.Clock)
	}
	if len(whole.Hops) != 3 || whole.Hops[0].Host != "pc.author.test" || whole.Hops[1].Host != "hub.author.test" || time.Duration(whole.Hops[1].Held) != 7*time.Second || whole.Hops[2].Role != "gave up" {
		t.Errorf("the second, whole: %+v", whole.Hops)
	}
}

// only explains a text that is about one recipient.
func only(t *testing.T, s string) Finding {
	t.Helper()
	r, err := Explain(strings.NewReader(s), Options{})
	if err != nil || len(r.Recipients) != 1 {
		t.Fatalf("%v: %+v", err, r)
	}
	return r.Recipients[0]
}

package explain

import (
	"slices"
	"strings"
	"testing"
)

const (
	exchangeLine = "Diagnostic-Code: smtp;550 4.4.7 QUEUE.Expired; message expired\n"
	filterLine   = "smtp; 5.4.7 - Delivery expired (message too old) '[Errno 61] Connection refused' (delivery attempts: 0)"
)

// TestABareLineSpeaksForNoSide: neither of the founding lines says whose server
// wrote it, nor who else had the message; what is open is listed.
func TestABareLineSpeaksForNoSide(t *testing.T) {
	for _, s := range []string{exchangeLine, filterLine, "Diagnostic-Code: " + filterLine} {
		f := only(t, s)
		if f.GaveUp.Side != "" || f.GaveUp.Host != "" || len(f.Hops) != 0 {
			t.Errorf("%q: %+v %+v", s, f.GaveUp, f.Hops)
		}
		if all := f.Roles.Sender + f.Roles.Between + f.Roles.Receiver; strings.Contains(all, "handed") || !strings.Contains(f.Roles.Between, "on whose side it stands is not told") {
			t.Errorf("%q: %+v", s, f.Roles)
		}
		if f.Roles.Sender != "not told" {
			t.Errorf("%q: speaks for the sender: %s", s, f.Roles.Sender)
		}
		for _, want := range []string{"on whose side it stands", "Whether the next server had accepted the message", "What the limit was", "How long it was held"} {
			if !slices.ContainsFunc(f.NotKnown, func(o string) bool { return strings.Contains(o, want) }) {
				t.Errorf("%q: does not leave open: %s\n%q", s, want, f.NotKnown)
			}
		}
		for _, x := range f.Fix {
			if x.Who == "sender-admin" {
				t.Errorf("%q: takes the server for the sender's: %+v", s, x)
			}
		}
	}
}

// letterAround is a report about mail from ann@author.test to bob@there.test that a
// host wrote around a line, with the trace of what it returns.
func letterAround(line, host, trace string) string {
	return `From: postmaster@` + host + `
To: ann@author.test
Subject: Delivery Status Notification (Failure)
Date: Mon, 30 Nov 2026 05:06:19 +0100
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; ` + host + `

Final-Recipient: rfc822;bob@there.test
Action: failed
Status: 4.4.7
` + line + `
--b
Content-Type: message/rfc822

` + trace + `From: ann@author.test
To: bob@there.test

x
--b--
`
}

// TestHeadersProveTheSide: with headers around the founding lines the owner, what
// each side did and who can mend it follow from where the server stood.
func TestHeadersProveTheSide(t *testing.T) {
	const (
		pc     = "Received: from pc.author.test ([192.0.2.7]) by hub.author.test with ESMTP; Sat, 28 Nov 2026 05:03:12 +0100\n"
		filter = "Received: from hub.author.test ([192.0.2.8]) by mx7.filter.test with ESMTP; Sat, 28 Nov 2026 05:03:19 +0100\n"
		mx     = "Received: from mx7.filter.test ([192.0.2.9]) by ex1.there.test with ESMTP; Sat, 28 Nov 2026 05:03:20 +0100\n"
	)
	for _, c := range []struct {
		name, line, host, trace string
		side, who               string
		sender, between, recv   string
	}{
		{"the sender's Exchange", exchangeLine, "hub.author.test", pc, sideSender, "sender-admin",
			"hub.author.test had it and answered for it", "nobody else is named", "not told"},
		{"the receiver's Exchange", exchangeLine, "ex1.there.test", mx + filter + pc, sideReceiver, "receiver-admin",
			"hub.author.test, then mx7.filter.test handed it on to ex1.there.test within 8 seconds; no limit ran out there", "nobody else is named", "ex1.there.test had it and answered for it; its own limit"},
		{"a filter in between", "Diagnostic-Code: " + filterLine + "\n", "mx7.filter.test", filter + pc, sideBetween, "receiver-admin",
			"hub.author.test handed it on to mx7.filter.test within 7 seconds", "mx7.filter.test had it and answered for it", "refused the connection"},
		{"the sender's provider", "Diagnostic-Code: " + filterLine + "\n", "mx7.filter.test", strings.Replace(filter, "hub.author.test", "pc", 1), sideSender, "receiver-admin",
			"mx7.filter.test had it and answered for it", "nobody else is named", "refused the connection"},
		{"a filter that the sender's host spoke to", "Diagnostic-Code: " + filterLine + "\n", "mx7.filter.test", filter, sideBetween, "receiver-admin",
			"not told", "mx7.filter.test had it and answered for it", "refused the connection"},
		{"a filter, and no trace", "Diagnostic-Code: " + filterLine + "\n", "mx7.filter.test", "", "", "receiver-admin",
			"not told", "on whose side it stands is not told", "refused the connection"},
	} {
		f := only(t, letterAround(c.line, c.host, c.trace))
		if f.GaveUp.Host != c.host || f.GaveUp.Side != c.side {
			t.Errorf("%s: gave up: %+v, want side %q", c.name, f.GaveUp, c.side)
		}
		if !strings.HasPrefix(f.Roles.Sender, c.sender) || !strings.Contains(f.Roles.Between, c.between) || !strings.Contains(f.Roles.Receiver, c.recv) {
			t.Errorf("%s: %+v", c.name, f.Roles)
		}
		if len(f.Fix) == 0 || f.Fix[0].Who != c.who {
			t.Errorf("%s: to be mended by %+v, want %s", c.name, f.Fix, c.who)
		}
		if open := strings.Join(f.NotKnown, "\n"); strings.Contains(open, "On whose side") != (c.side == "") || strings.Contains(open, "had accepted the message") {
			t.Errorf("%s: open: %s", c.name, open)
		}
	}
}

// TestAForwarderIsNamed: a host that passed the message on to another address.
func TestAForwarderIsNamed(t *testing.T) {
	f := only(t, letterAround("Diagnostic-Code: smtp; 550 5.1.1 no such user\n", "mx.there.test",
		"Received: from fwd.lists.test by mx.there.test with ESMTP for <bob@there.test>; Sat, 28 Nov 2026 05:03:20 +0100\n"+
			"Received: from hub.author.test by fwd.lists.test with ESMTP for <robert@lists.test>; Sat, 28 Nov 2026 05:03:19 +0100\n"))
	if len(f.Hops) != 3 || f.Hops[1].Host != "fwd.lists.test" || f.Hops[1].Role != roleForward {
		t.Errorf("%+v", f.Hops)
	}
}

// TestTheClientThatAReplyNamesDidNotRefuse: hosts quote who spoke to them.
func TestTheClientThatAReplyNamesDidNotRefuse(t *testing.T) {
	f := only(t, letterAround("Diagnostic-Code: smtp; 550 JunkMail rejected - hub.author.test [192.0.2.8] is in an RBL\n", "hub.author.test", ""))
	if f.Refused.Host != "" || f.Refused.IP != "" || f.Refused.How != byReply {
		t.Errorf("%+v", f.Refused)
	}
}

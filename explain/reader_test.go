package explain

import (
	"strings"
	"testing"
)

func unfolded(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(s, "\n  > ", " ")), " ")
}

func has(t *testing.T, s string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(unfolded(s), w) {
			t.Errorf("does not say %q:\n%s", w, s)
		}
	}
}

func hasNot(t *testing.T, s string, not ...string) {
	t.Helper()
	for _, w := range not {
		if strings.Contains(unfolded(s), w) {
			t.Errorf("says %q:\n%s", w, s)
		}
	}
}

func TestTheSenderIsToldWithoutTheWordsOfMail(t *testing.T) {
	s := wordedFor(t, reportOn(t, stories(t)["limiter"], ""), Sender)
	has(t, s, "Your message to bob@big.test was not delivered.", "1 day 4 hours", "What you can do now", "Your own mail administrator: find out why", "To the recipient, by telephone", "Server: 203.0.113.74")
	hasNot(t, s, "policy-deferred-until-expired", "queuelifetime", "Evidence", "supports", "MTA")
}

func TestTheSendingAdminIsToldWhatToLookFor(t *testing.T) {
	s := wordedFor(t, reportOn(t, stories(t)["limiter"], ""), SendingAdmin)
	has(t, s, "out.author.test", "203.0.113.74", "421 4.7.0 [TSS04] Messages from 192.0.2.25 temporarily deferred", "control/queuelifetime", "2024-06-24 06:10:02 UTC", "What you can change", "What only others can change", "bad-reputation")
}

func TestTheReceivingAdminIsAskedOnlyForWhatIsTheirs(t *testing.T) {
	s := wordedFor(t, reportOn(t, stories(t)["filter"], ""), ReceivingAdmin)
	has(t, s, "To the postmaster of there.test", "refused the connection", "[Errno 61] Connection refused", "What we ask of you - start the mail service", "2026-11-24 07:05:31 UTC")
	hasNot(t, s, "What the sender should do", "The lines that this rests on")

	s = wordedFor(t, reportOn(t, stories(t)["exchange-line"], ""), ReceivingAdmin)
	has(t, s, "Whether your side must change anything, the report does not tell", "a recipient whom the report does not name")
	hasNot(t, s, "What we ask of you", "To the postmaster of", "nothing that your side must change")

	s = wordedFor(t, reportOn(t, "Diagnostic-Code: smtp; 550 5.6.7 SMTPUTF8 is required, but was not offered by host mx.there.test[192.0.2.9]\n", ""), ReceivingAdmin)
	has(t, s, "What we ask of you - offer SMTPUTF8")
	s = wordedFor(t, reportOn(t, "<bob@there.test>: host mx.there.test[192.0.2.9] said: 552 5.3.4 x (in reply to RCPT TO command)\nFinal-Recipient: rfc822; bob@there.test\nAction: failed\nStatus: 5.1.3\nDiagnostic-Code: smtp; 501 5.1.3 Bad recipient address syntax\n", ""), ReceivingAdmin)
	has(t, s, "nothing that your side must change")
}

func TestGoodNewsAsksForNothing(t *testing.T) {
	f := Finding{Kind: HandedOn, Recipient: "bob@there.test", Verdict: "a.test handed it on.", DoNow: "Nothing.", GaveUp: Host{Host: "a.test"}, Fix: []Fix{}}
	for _, to := range []Reader{Sender, ReceivingAdmin} {
		s := wordedFor(t, Report{Kind: Relayed, Recipients: []Finding{f}}, to)
		hasNot(t, s, "not delivered", "What we ask of you", "What to tell whom", "did not get through")
	}
}

func TestWhatIsNoReportIsSaidToEachReader(t *testing.T) {
	r := reportOn(t, "From: ann@author.test\nTo: bob@there.test\nSubject: lunch\n\nAt one?\n", "")
	for _, to := range []Reader{Sender, SendingAdmin, ReceivingAdmin} {
		if s := wordedFor(t, r, to); strings.TrimSpace(unfolded(s)) != r.Says || r.Says == "" {
			t.Errorf("%q, want %q", s, r.Says)
		}
	}
}

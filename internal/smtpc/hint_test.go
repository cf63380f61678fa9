package smtpc

import (
	"testing"
	"time"

	"github.com/postrider/postrider/mail"
)

// Wordings of real hosts: the defaults of greylisting programs, and replies quoted in
// mailing lists and bounces.
func TestHintIsReadFromRealWordings(t *testing.T) {
	for _, c := range []struct {
		code int
		text string
		want time.Duration
		grey bool
	}{
		// postgrey --greylist-text
		{450, "<a@example.com>: Recipient address rejected: Greylisted for 300 seconds (see http://isg.ee.ethz.ch/tools/postgrey/help/foo.tld.html)", 5 * time.Minute, true},
		{450, "<a@example.com>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/example.com.html", 0, true},
		// sqlgrey
		{450, "<a@example.com>: Recipient address rejected: Greylisted for 5 minutes", 5 * time.Minute, true},
		{450, "<a@example.com>: Recipient address rejected: Greylisted for 5 minutes (12)", 5 * time.Minute, true},
		// milter-greylist
		{451, "Greylisting in action, please come back in 00:05:00", 5 * time.Minute, true},
		{451, "Greylisting in action, please come back in 00:04:59", 299 * time.Second, true},
		{451, "Greylisting in action, please come back in 01:00:00", time.Hour, true},
		// gld, policyd, cbpolicyd
		{450, "<a@example.com>: Recipient address rejected: Greylisting in effect, please come back later", 0, true},
		{450, "Policy Rejection- Please try later.", 0, false},
		{451, "Greylisted, please try again in 180 seconds", 3 * time.Minute, true},
		{451, "Temporarily rejected. Try again in 60 secs.", time.Minute, false},
		// rspamd, Haraka, OpenSMTPD and others
		{451, "Try again later", 0, false},
		{451, "Greylisted; try again later", 0, true},
		{451, "Temporary failure, please try again later (TEMPGREY)", 0, true},
		{450, "This mail host has been graylisted. Please try again in 1 minute.", time.Minute, true},
		{451, "You have been greylisted, please retry in 5 min", 5 * time.Minute, true},
		{450, "Graylisted, retry after 00:05:00", 5 * time.Minute, true},
		{450, "Grey-listed. Please wait 300 seconds before retrying", 5 * time.Minute, true},
		{451, "greylisting: 287 seconds remaining", 287 * time.Second, true},
		{451, "grey listed, 5 minutes left", 5 * time.Minute, true},
		{451, "Please try again later (600 seconds)", 10 * time.Minute, false},
		{451, "retry in 4m59s", 299 * time.Second, false},
		{451, "please retry after 300s", 5 * time.Minute, false},
		{421, "Too many connections, please try again in 5 minutes", 5 * time.Minute, false},
		{421, "Resources temporarily unavailable.\nPlease try again in 1 hour.", time.Hour, false},
		{450, "Requested mail action not taken; try again in an hour", time.Hour, false},
		{450, "Try again in half an hour", 30 * time.Minute, false},
		{450, "rate limit exceeded, retry after 3600", time.Hour, false},
		{452, "Too many recipients received this hour, please try sending again after 15 mins", 15 * time.Minute, false},
		{451, "Deferred for 10 minutes", 10 * time.Minute, false},
		{451, "please try again\nin 300\nseconds", 5 * time.Minute, false},
		// No time is named, or it is about something else.
		{421, "Timeout after 300 seconds, closing connection", 0, false},
		{421, "idle for 300 seconds", 0, false},
		{450, "Too many messages: limit 100 in 3600 seconds, try again later", 0, false},
		{452, "Mailbox has been full for 7 days", 0, false},
		{451, "Server busy. Please try again later from [192.0.2.1]. (AS77713)", 0, false},
		{421, "[TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; see https://postmaster.example", 0, false},
		{450, "The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered. Please resend your message at a later time.", 0, false},
		{451, "try again in a few minutes", 0, false},
		{451, "come back in a while", 0, false},
		{451, "try again in 99999999 hours", 0, false},
		{451, "try again after 3 attempts", 0, false},
		// A refusal for good is neither.
		{550, "Greylisted? No: rejected. Try again in 300 seconds", 0, false},
	} {
		r := mail.Reply{Code: c.code, Text: c.text}
		if got := Hint(r); got != c.want {
			t.Errorf("Hint(%d %q) = %v, want %v", c.code, c.text, got, c.want)
		}
		if got := Greylisted(r); got != c.grey {
			t.Errorf("Greylisted(%d %q) = %v, want %v", c.code, c.text, got, c.grey)
		}
	}
}

package system

import "time"

// sendmails returns Sendmail and what is built on it.
func sendmails() []System { return []System{sendmail(), sendmailDebian(), proofpointServer()} }

func sendmail() System {
	return System{
		ID: "sendmail", Family: "sendmail", Name: "Sendmail", Version: "8.17.1.9", Kind: MTA,
		Policy: Policy{
			Lifetime: 5 * day,
			Expiry:   AfterFailure,
			Rule:     "looked at when a queue run has tried the message: the first run past Timeout.queuereturn",
			Notices:  5 * day,
			Retry:    QueueRun{30 * time.Minute},
			Apart:    "one clock; a host found dead is passed over for Timeout.hoststatus, 30 min",
			Warn: Warnings{Known: true, On: true, At: []time.Duration{4 * time.Hour},
				Note: "not for bounces, owner- and -request senders and bulk precedence; under NOTIFY only where it names DELAY"},
		},
		Settings: []Setting{
			{"Timeout.queuereturn", "5d (the template's comments: urgent 2d, non-urgent 7d, dsn 5d)"},
			{"Timeout.queuewarn", "4h (the template's comments: urgent 1h, non-urgent 12h, dsn 4h)"},
			{"Timeout.hoststatus", "30m"},
			{"MinQueueAge", "unset: every run tries all"},
			{"-q", "the interval of the daemon's queue runs; 30m is a usual one"},
		},
		Where:   "sendmail.cf, from confTO_QUEUERETURN and confTO_QUEUEWARN in sendmail.mc",
		Reports: "Status 4.4.7; 5.4.7 only for DELIVERBY; \"Message could not be delivered for 5 days\", \"Message will be deleted from queue\"",
		Notes: "It never backs off unless MinQueueAge or MaxQueueAge is set. The time its report states is the setting and not the time held: " +
			"one said 12 hours and was sent after 4d 8h 58m.",
		Sources: []string{
			"sendmail 8.17.1.9 cf/m4/cfhead.m4:310-311, cf/m4/proto.m4:404-452, sendmail/envelope.c:300-410",
			"sendmail 8.17.1.9 doc/op/op.me:2715-2800",
			"sisimai/set-of-emails@18e585c maildir/bsd/lhost-sendmail-10.eml",
		},
		Confidence: High,
	}
}

func sendmailDebian() System {
	return System{
		ID: "sendmail-debian", Family: "sendmail", Name: "Sendmail on Debian", Version: "8.17.1.9-2+deb12u2", Kind: MTA,
		Policy: Policy{
			Lifetime: 5 * day,
			Expiry:   AfterFailure,
			Rule:     "looked at when a queue run has tried the message: the first run past Timeout.queuereturn",
			Retry:    QueueRun{10 * time.Minute},
			Warn:     Warnings{Known: true, On: true, At: []time.Duration{4 * time.Hour}},
		},
		Settings:   []Setting{{"Timeout.queuereturn", "5d"}, {"QUEUE_INTERVAL", "10m"}},
		Where:      "/etc/mail/sendmail.cf; the interval in /etc/mail/sendmail.conf",
		Sources:    []string{"debian/local/Parse_conf.pm.in:73"},
		Confidence: High,
	}
}

func proofpointServer() System {
	return System{
		ID: "proofpoint-pps", Family: "proofpoint-pps", Name: "Proofpoint Protection Server, PoD", Kind: Gateway,
		Policy:     Policy{Lifetime: 5 * day},
		Notes:      "Remembered, not verified: made from Sendmail, with its 5 days and its words.",
		Confidence: Memory,
	}
}

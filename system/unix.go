package system

import "time"

// unix returns the other MTAs of the older kind.
func unix() []System {
	return []System{qmail(), openSMTPD(), courier(), oracleMessaging(), cssmtp()}
}

func qmail() System {
	return System{
		ID: "qmail", Family: "qmail", Name: "qmail, netqmail, notqmail", Version: "notqmail 1.09 and later", Kind: MTA,
		Policy: Policy{
			Lifetime: 7 * day,
			Expiry:   LastAttempt,
			Rule:     "an attempt that begins when the message is older than queuelifetime is the last: its temporary failure is made permanent",
			Notices:  7 * day,
			Retry:    Quadratic{Unit: 400 * time.Second, Shifts: true},
			Apart: "connections that time out (not those refused) enter tcpto: after two of them the address is passed over " +
				"for 64 to 97 min; one clock",
			Warn: Warnings{Known: true, Note: "it never warns"},
		},
		Settings: []Setting{
			{"control/queuelifetime", "604800"},
			{"control/timeoutconnect", "60"},
			{"control/timeoutremote", "1200"},
		},
		Where:   "/var/qmail/control",
		Reports: "no fields of RFC 3464; the last error and \"I'm not going to try again; this message has been in the queue too long.\"",
		Notes:   "Attempt k is made (20k)² seconds after acceptance for remote mail, (10k)² for local.",
		Sources: []string{
			"notqmail/notqmail@a7012e4 qmail-send.c:47,70,905-925,1026-1081",
			"notqmail/notqmail@a7012e4 tcpto.c:36-130, qmail-remote.c:60-110,392-402",
		},
		Confidence: High,
	}
}

func openSMTPD() System {
	return System{
		ID: "opensmtpd", Family: "opensmtpd", Name: "OpenSMTPD", Version: "7.8.0-portable", Kind: MTA,
		Policy: Policy{
			Lifetime: 4 * day,
			Expiry:   ByTimer,
			Rule:     "a timer in the scheduler, at creation plus ttl; \"Envelope expired\" takes the place of the last error",
			Notices:  4 * day,
			Retry:    Quadratic{Unit: 400 * time.Second},
			Apart:    "a route that fails gets a growing penalty, 15·p² s, at most 3600 s",
			Warn: Warnings{Known: true, On: true, At: []time.Duration{4 * time.Hour},
				Note: "up to four ages can be set"},
		},
		Settings: []Setting{{"queue ttl", "4d"}, {"bounce warn-interval", "4h"}},
		Where:    "smtpd.conf",
		Reports:  "Action: error, Status 5.4.7, \"Envelope expired\"; the cause is lost",
		Notes: "Local mail is tried at 10·k² s. The timer runs while the daemon does: a sample expired 38d 5h after arrival, " +
			"its machine having been off.",
		Sources: []string{
			"OpenSMTPD/OpenSMTPD@3153385 usr.sbin/smtpd/smtpd.h:62, config.c:57,75-76, scheduler_ramqueue.c:161-177, queue.c:213-218, bounce.c",
		},
		Confidence: High,
	}
}

func courier() System {
	return System{
		ID: "courier", Family: "courier", Name: "Courier", Version: "fe506cc (2026)", Kind: MTA,
		Policy: Policy{
			Lifetime: 7 * day,
			Expiry:   ByTimer,
			Rule:     "when queuetime has elapsed",
			Notices:  7 * day,
			Retry:    Bursts{Tries: 3, Every: 5 * time.Minute, Rest: 15 * time.Minute, Doublings: 3},
			Apart:    "after a failed connection the whole domain waits esmtpdelay, 5 min, untried",
			Warn:     Warnings{Known: true, On: true, At: []time.Duration{4 * time.Hour}},
		},
		Settings: []Setting{
			{"queuetime", "1w"}, {"warntime", "4h"}, {"retryalpha", "5m"}, {"retrybeta", "3"},
			{"retrygamma", "15m"}, {"retrymaxdelta", "3"}, {"esmtpdelay", "5m"},
		},
		Where: "one file for each in Courier's configuration directory",
		Sources: []string{
			"svarshavchik/courier@fe506cc courier/courier/libs/comreadtime.c:74-106, comconfig.c",
			"svarshavchik/courier@fe506cc doc/courier.sgml:895-920,2168-2240",
		},
		Confidence: High,
	}
}

func oracleMessaging() System {
	return System{
		ID: "oracle-ums", Family: "oracle-ums", Name: "Oracle (Sun, iPlanet) Messaging Server", Version: "iMS 5 to OUCS 7", Kind: MTA,
		Policy: Policy{
			Lifetime: 12 * day,
			Rule:     "the last age in the list of notices is the end",
			Warn:     Warnings{Known: true, On: true, At: []time.Duration{3 * day, 6 * day, 9 * day}},
		},
		Settings: []Setting{
			{"notices", "3 6 9 12 (days; hours with RETURN_UNITS=1)"},
			{"backoff", "per channel; worked off by an hourly job"},
		},
		Where:      "channel keywords in imta.cnf",
		Notes:      "Old iCloud ran on it.",
		Sources:    []string{"docs.oracle.com/cd/E19957-01/816-6072-10/imta_config.doc42.html"},
		Confidence: High,
	}
}

func cssmtp() System {
	return System{
		ID: "zos-cssmtp", Family: "zos-cssmtp", Name: "z/OS CSSMTP", Version: "2.1 to 3.2", Kind: MTA,
		Policy: Policy{
			Lifetime: 5 * time.Minute,
			Limit:    6,
			Expiry:   ByCount,
			Rule:     "the 6th failure: Count retries after the first attempt",
			Retry:    Fixed{time.Minute},
		},
		Settings: []Setting{
			{"RetryLimit Count", "5"},
			{"RetryLimit Interval", "1 (minutes; all retries together at most 7200)"},
			{"ExtendedRetry", "apart from these"},
		},
		Sources:    []string{"ibm.com/docs, CSSMTP RetryLimit statement"},
		Confidence: Medium,
	}
}

package system

import "time"

// windows returns the mail and groupware servers of offices, other than
// Microsoft's.
func windows() []System {
	return []System{hMailServer(), mailEnable(), mDaemon(), iceWarp(), kerio(), domino()}
}

func hMailServer() System {
	return System{
		ID: "hmailserver", Family: "hmailserver", Name: "hMailServer", Version: "4d11f81 (2025-04)", Kind: MTA,
		Policy: Policy{
			Limit:  5,
			Expiry: ByCount,
			Rule:   "the 5th failure: 4 retries after the first attempt",
			Retry:  Fixed{time.Hour},
			Apart:  "one counter",
			Alike:  true,
			Warn:   Warnings{Known: true},
		},
		Settings: []Setting{{"Number of retries", "4"}, {"Minutes between every retry", "60"}},
		Where:    "SMTP, Delivery of e-mail; per route",
		Reports:  "plain text that ends in \"Tried 5 time(s)\", without a delivery-status part",
		Sources: []string{
			"hmailserver/hmailserver@4d11f81 source/DBScripts/CreateTablesMYSQL.sql (smtpnoofretries 4, smtpminutesbetweenretries 60)",
			"hmailserver/hmailserver@4d11f81 source/Server/SMTP/ExternalDelivery.cpp:505-610, SMTPDeliverer.cpp",
		},
		Confidence: High,
	}
}

func mailEnable() System {
	return System{
		ID: "mailenable", Family: "mailenable", Name: "MailEnable", Kind: MTA,
		Policy: Policy{
			Rule:  "the most retries or Failed Message Lifetime, whichever comes first; neither default is told",
			Retry: List{Gaps: []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour}, Then: 4 * time.Hour},
			Warn: Warnings{Known: true, On: true, Try: 1,
				Note: "at the first failure, at every failure, or after a set time"},
		},
		Settings:   []Setting{{Key: "Failed Message Lifetime"}},
		Sources:    []string{"mailenable.com/Help/Files/smtpdelivery.htm"},
		Confidence: High,
	}
}

func mDaemon() System {
	const queue, later = time.Hour, 4 * time.Hour
	return System{
		ID: "mdaemon", Family: "mdaemon", Name: "MDaemon", Kind: MTA,
		Policy: Policy{
			Lifetime: 5 * day,
			Rule:     "still undeliverable after so many days in the retry queue",
			// Two queues: the remote queue, how often it is worked is not told, then
			// the retry queue.
			Retry:    Ladder{{Until: queue}, {Every: later}},
			Deferred: Ladder{{Every: 3 * time.Minute, Until: queue}, {Every: later}},
			Apart:    "the wait of 3 min in the remote queue is for 4yz only",
			Warn: Warnings{Known: true, On: true, At: []time.Duration{time.Hour},
				Note: "at each retry, if so set"},
		},
		Notes:      "Remembered, not verified: an hour in the remote queue, then every 4 hours in the retry queue, 5 days in all. The manual tells the two queues, the 3 min and that the sender is told of the delay.",
		Sources:    []string{"help.mdaemon.com/MDaemon/en/pdc--delivery--retry_queue_settings.html"},
		Confidence: Memory,
	}
}

func iceWarp() System {
	return System{
		ID: "icewarp", Family: "icewarp", Name: "IceWarp", Version: "a page of 2014", Kind: MTA,
		Policy:     Policy{Lifetime: 4 * day},
		Notes:      "For some errors at the first attempt: tried again after 6 h, a notice, then 4 days.",
		Sources:    []string{"support.icewarp.com, article 115000406568"},
		Confidence: Medium,
	}
}

func kerio() System {
	return System{
		ID: "kerio", Family: "kerio", Name: "Kerio Connect", Kind: MTA,
		Notes: "Nothing found. Remembered: a try every 30 min, a warning after 4 h, the end after 2 to 4 days.",
	}
}

func domino() System {
	return System{
		ID: "domino", Family: "domino", Name: "HCL (IBM, Lotus) Domino", Version: "10 to 14", Kind: MTA,
		Policy: Policy{
			Lifetime: day,
			Retry:    Growing{Known: []time.Duration{15 * time.Minute}},
			Warn:     Warnings{Known: true, Note: "reports of delay exist for mail of low priority"},
		},
		Settings: []Setting{
			{"MailTimeout", "unset: 1 day (counts days)"},
			{"MailTimeoutMinutes", "unset (for less than a day)"},
		},
		Where:      "notes.ini",
		Notes:      "The first gap is remembered, not verified.",
		Sources:    []string{"help.hcl-software.com/domino/10.0.1/conf_mailtimeout_r.html"},
		Confidence: High,
	}
}

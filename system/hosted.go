package system

import "time"

// hosted returns the mailbox services, other than Microsoft's and Yandex'.
func hosted() []System {
	return []System{gmail(), iCloud2014(), zoho(), yahoo(), fastmail(), andrewsArnold()}
}

func gmail() System {
	return System{
		ID: "gmail", Family: "gmail", Name: "Gmail, Google Workspace", Version: "samples of 2010 to 2017", Kind: Hosted,
		Policy: Policy{
			Lifetime: 3 * day,
			Apart:    "one clock; for a dead connection it has words of its own: \"The recipient server did not accept our requests to connect\"",
			Alike:    true,
			Warn: Warnings{Known: true, On: true, At: []time.Duration{day},
				Note: "seen 24 to 25 h after sending; a second one after 48 h is remembered, not verified"},
		},
		Reports: "Action failed, Status 4.4.1",
		Sources: []string{
			"sisimai/set-of-emails@18e585c maildir/bsd/rfc3464-55.eml (Will-Retry-Until 72 h after Arrival-Date, notice after 24 h 46 m, measured)",
			"sisimai/set-of-emails@18e585c maildir/bsd/lhost-gmail-06, -08, -17.eml (notice after 24 to 25 h, \"2 more day(s)\")",
		},
		Confidence: High,
	}
}

func iCloud2014() System {
	return System{
		ID: "icloud-2014", Family: "icloud", Name: "Apple iCloud, on Oracle Messaging Server", Version: "a sample of 2014", Kind: Hosted,
		Policy: Policy{
			Lifetime: 4 * day,
			Retry: Observed{
				191 * time.Second, 3982 * time.Second, 11373 * time.Second, 18764 * time.Second,
				33355 * time.Second, 47946 * time.Second, 62537 * time.Second, 91528 * time.Second,
			},
			Warn: Warnings{Known: true, On: true, At: []time.Duration{day}},
		},
		Notes: "Attempts 3 min and 1 h after arrival, then two 2 h, three 4 h and one 8 h apart.",
		Sources: []string{
			"sisimai/set-of-emails@18e585c maildir/bsd/lhost-messagingserver-07.eml (notice after 1 day, \"additional 3 days\", log of attempts, measured)",
		},
		Confidence: Medium,
	}
}

func zoho() System {
	return System{
		ID: "zoho", Family: "zoho", Name: "Zoho Mail", Version: "a sample of 2014", Kind: Hosted,
		Policy: Policy{
			Lifetime: 5 * day,
			Warn:     Warnings{Known: true, On: true, At: []time.Duration{time.Hour}},
		},
		Sources: []string{
			"sisimai/set-of-emails@18e585c maildir/bsd/lhost-zoho-04.eml (notice 59 min after sending, \"retried for 4 more day(s)\")",
		},
		Confidence: Low,
	}
}

func yahoo() System {
	return System{
		ID: "yahoo", Family: "yahoo", Name: "Yahoo Mail", Kind: Hosted,
		Notes: "Nothing found.",
	}
}

func fastmail() System {
	return System{
		ID: "fastmail", Family: "fastmail", Name: "Fastmail", Kind: Hosted,
		Policy:     Policy{Lifetime: 5 * day, Rule: "as Postfix (remembered)"},
		Notes:      "Remembered, not verified: it runs on Postfix and sends a notice of delay after some hours.",
		Confidence: Memory,
	}
}

func andrewsArnold() System {
	return System{
		ID: "aa-net", Family: "aa-net", Name: "Andrews & Arnold, outbound", Version: "a revision of its wiki", Kind: Hosted,
		Policy: Policy{
			Lifetime: 31 * day,
			Retry: Ladder{
				{Every: 15 * time.Minute, Until: 4 * time.Hour},
				{Until: 40 * time.Hour},
				{Every: 3 * time.Hour, Until: 31 * day},
			},
		},
		Notes:      "Between 4 h and 40 h the gaps grow; how is not told.",
		Sources:    []string{"support.aa.net.uk, Sending Email"},
		Confidence: Medium,
	}
}

package system

import "time"

// gateways returns the filters that are not forms of an MTA of this package.
func gateways() []System {
	return []System{
		asyncOS(), symantecCloud(), mimecast(), proofpointEssentials(), barracuda(), censornet(),
		everyCloud(), duoCircle(), fortiMail(), imsva(), trellix(),
	}
}

func asyncOS() System {
	return System{
		ID: "ironport-asyncos", Family: "ironport-asyncos", Name: "Cisco (IronPort) AsyncOS: ESA, Secure Email",
		Version: "7.5 to 10.0, documentation", Kind: Gateway,
		Policy: Policy{
			Lifetime: 3 * day,
			// "Maximum number of retries" is 100: these come after the first attempt.
			Limit: 101,
			// A message that waited 6 days behind refused connections, with
			// "(delivery attempts: 0)", shows that they are not counted.
			Conversations: true,
			Expiry:        BeforeAttempt,
			Rule: "immediately before the next attempt once the message is older than max seconds in queue; " +
				"or after 100 retries, which count conversations and not connections",
			Retry: Growing{Known: []time.Duration{time.Minute}, Max: time.Hour},
			Apart: "warnings and the counter belong to a conversation about a recipient; a refused or silent connection marks the host down " +
				"and the host is tried again: \"(delivery attempts: 0)\" is normal even after days",
			Warn: Warnings{Known: true, NeedsReply: true,
				Note: "interval and number can be set; the first comes with the second attempt that a host answered by 4yz: " +
					"a destination that never answers gives none"},
		},
		Settings: []Setting{
			{"maximum number of seconds in queue", "259200"},
			{"maximum number of retries", "100"},
			{"initial number of seconds before retrying", "60"},
			{"maximum number of seconds before retrying", "3600"},
			{"maximum copied into a bounce", "10k"},
		},
		Where:   "Network, Bounce Profiles (bounceconfig); chosen per listener, per destination (destconfig) or by a message filter",
		Reports: "Status 5.0.0 (permanent failure); smtp; 5.4.7 - Delivery expired (message too old) 'last error' (delivery attempts: N)",
		Notes: "How the gaps grow is not published. With 100 retries at most an hour apart a message would be given up after 4 days; " +
			"one held longer shows that its attempts were not counted or the number was raised.",
		Sources: []string{
			"yumpu.com/en/document/view/4422783 (AsyncOS advanced configuration guide OL-25137-01, p. 2-41, table 2-5)",
			"manualsbrain.com/pt/manuals/1716227/?page=654 (AsyncOS 9.1: immediately before the next attempt)",
			"manualsbrain.com/ko/manuals/1716216/?page=94 (time or retries, whichever comes first)",
			"cisco.com/c/en/us/support/docs/security/email-security-appliance/212837 (warnings)",
			"cisco.com, 118287-technote-esa-00 (60 s, 3600 s)",
		},
		Confidence: High,
	}
}

func symantecCloud() System {
	return System{
		ID: "symantec-cloud", Family: "symantec-cloud", Name: "Symantec Email Security.cloud (MessageLabs)",
		Version: "an article of the 2020s", Kind: Gateway,
		Policy: Policy{
			Lifetime: 7 * day,
			Limit:    22,
			Rule:     "7 d or 21 retries, whichever comes first",
			Range:    [2]time.Duration{0, 8 * day},
			Retry: Jittered{List{Gaps: []time.Duration{
				400 * time.Second, 800 * time.Second, 1600 * time.Second, 3200 * time.Second,
				6400 * time.Second, 12800 * time.Second, 25600 * time.Second, 51200 * time.Second,
			}, Then: 12 * time.Hour}, 30 * time.Second, 30 * time.Second},
			Warn: Warnings{Known: true, Note: "the customer may list up to 50 hours"},
		},
		Settings: []Setting{{"Delivery Status Notifications", "the age, for inbound and outbound apart; the pace is fixed"}},
		Where:    "ClientNet portal, Services, Platform",
		Reports:  "554 5.4.7 [internal] exceeded max time without delivery",
		Sources: []string{
			"knowledge.broadcom.com/external/article/221539 (pace, 7 d, 21 retries, words)",
			"knowledge.broadcom.com/external/article?articleId=161414 (notices, up to 8 d)",
		},
		Confidence: High,
	}
}

func mimecast() System {
	gaps := []time.Duration{time.Minute, 5 * time.Minute, 9 * time.Minute, 15 * time.Minute, 30 * time.Minute}
	for _, run := range []struct {
		n   int
		gap time.Duration
	}{{9, time.Hour}, {6, 4 * time.Hour}, {9, 8 * time.Hour}} {
		for range run.n {
			gaps = append(gaps, run.gap)
		}
	}
	return System{
		ID: "mimecast", Family: "mimecast", Name: "Mimecast", Version: "pages of 2015 to 2024", Kind: Gateway,
		Policy: Policy{
			Lifetime: 4 * day,
			Limit:    30,
			Rule:     "96 h or 30 attempts, whichever comes first",
			Retry:    List{Gaps: gaps},
			Apart:    "one schedule",
			Alike:    true,
			Warn: Warnings{Known: true, On: true, At: []time.Duration{time.Hour},
				Note: "to senders inside, after 6 attempts or 1 h"},
		},
		Settings: []Setting{{"Delivery Failure Retry Count", "a policy of its own; else by Mimecast's support"}},
		Reports:  "\"This condition occurred after N attempt(s) to deliver over a period of N hour(s).\"",
		Notes:    "The sums in the vendor's table are 4 h apart between its rows 16 to 21 and 22 to 30.",
		Sources: []string{
			"mimecastsupport.zendesk.com/hc/en-us/articles/34000735764115",
			"community.mimecast.com/docs/DOC-1349",
			"mimecastsupport.zendesk.com/hc/en-us/articles/34000527409939 (retry count by policy)",
		},
		Confidence: High,
	}
}

func proofpointEssentials() System {
	gaps := []time.Duration{0, time.Minute, time.Minute, time.Minute, time.Minute, time.Minute,
		10 * time.Minute, 10 * time.Minute, 10 * time.Minute, 30 * time.Minute, 30 * time.Minute}
	for range 24 {
		gaps = append(gaps, time.Hour)
	}
	return System{
		ID: "proofpoint-essentials", Family: "proofpoint-essentials", Name: "Proofpoint Essentials",
		Version: "a reseller's page", Kind: Gateway,
		Policy: Policy{
			Lifetime: 30 * day,
			Retry:    List{Gaps: gaps, Then: day},
			Apart:    "a delivery to the same customer sets its waiting mail back to the hourly step",
			Warn:     Warnings{Known: true, On: true, Note: "when is not told; they cannot be turned off"},
		},
		Notes:      "The same page also speaks of 7 days and of 24 hours for some cases.",
		Sources:    []string{"support.vircom.com/support/solutions/articles/48001200960"},
		Confidence: Medium,
	}
}

func barracuda() System {
	return System{
		ID: "barracuda-esg", Family: "barracuda-esg", Name: "Barracuda Email Security Gateway", Kind: Gateway,
		Policy:     Policy{Lifetime: 2 * day},
		Where:      "by Barracuda's support only",
		Sources:    []string{"vikschaatcorner.com, quoting Barracuda: the outbound queue is emptied after 48 h"},
		Confidence: Low,
	}
}

func censornet() System {
	return System{
		ID: "censornet", Family: "censornet", Name: "Censornet (USS), Bitdefender GravityZone Email", Kind: Gateway,
		Policy: Policy{
			Lifetime: 6 * day,
			Silent:   true,
			Rule:     "inbound mail after 6 d, and the remote sender is told nothing; outbound mail after 4 h, with a report",
			Retry:    Fixed{30 * time.Minute},
			Apart:    "one retention for both",
			Alike:    true,
		},
		Where:      "the service provider, per customer",
		Notes:      "The policy here is that of inbound mail.",
		Sources:    []string{"help.clouduss.com/email-security/queue-retention-and-retry-times", "bitdefender.com/business/support/en/77209-295116"},
		Confidence: High,
	}
}

func everyCloud() System {
	return System{
		ID: "everycloud", Family: "everycloud", Name: "EveryCloud", Kind: Gateway,
		Policy: Policy{
			Lifetime: 2 * day,
			Retry: Ladder{
				{Every: time.Minute, Times: 3},
				{Every: 10 * time.Minute, Until: day},
				{Every: 45 * time.Minute, Until: 2 * day},
			},
			Warn: Warnings{Known: true, On: true, At: []time.Duration{4 * time.Hour}},
		},
		Reports:    "#550 4.4.7 QUEUE.Expired; message expired ##: the words of Exchange",
		Sources:    []string{"support.everycloud.com, article 4000041760"},
		Confidence: High,
	}
}

func duoCircle() System {
	return System{
		ID: "duocircle", Family: "duocircle", Name: "DuoCircle (phishprotection) queueing", Kind: Gateway,
		Policy:     Policy{Lifetime: 30 * day},
		Notes:      "45 d can be bought. Waiting mail that looks like spam is dropped after 5 d.",
		Sources:    []string{"support.phishprotection.com, article 5000798499"},
		Confidence: Medium,
	}
}

func fortiMail() System {
	return System{
		ID: "fortimail", Family: "fortimail", Name: "FortiMail", Version: "3.0 MR4", Kind: Gateway,
		Policy: Policy{
			Lifetime: 5 * day,
			Notices:  5 * day,
			Retry:    Fixed{27 * time.Minute},
			Warn:     Warnings{Known: true, On: true, At: []time.Duration{4 * time.Hour}},
		},
		Settings: []Setting{
			{"timeout", "5 days"}, {"dsn_timeout", "5 days"}, {"retry", "27 minutes"}, {"warning", "4 hours"},
		},
		Where:      "set mailserver smtp queue …",
		Sources:    []string{"manualsdir.com/manuals/101236, p. 241"},
		Confidence: High,
	}
}

func imsva() System {
	return System{
		ID: "imsva", Family: "imsva", Name: "Trend Micro IMSVA", Version: "8.5 SP1", Kind: Gateway,
		Policy: Policy{
			Lifetime: day,
			Retry:    List{Gaps: []time.Duration{15 * time.Minute, 30 * time.Minute}, Then: time.Hour},
		},
		Sources:    []string{"docs.trendmicro.com imsva_8.5_sp1_olh/mailque_abt.html"},
		Confidence: High,
	}
}

func trellix() System {
	return System{
		ID: "trellix-eta", Family: "trellix-eta", Name: "Trellix Email Security", Version: "8.3 and later", Kind: Gateway,
		Policy:     Policy{Lifetime: 5 * day, Range: [2]time.Duration{day, 15 * day}},
		Settings:   []Setting{{"max-queue-lifetime", "5 days (1 to 15)"}},
		Sources:    []string{"docs.trellix.com, email-analysis mta max-queue-lifetime"},
		Confidence: High,
	}
}

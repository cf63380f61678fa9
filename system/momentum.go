package system

import "time"

// bulk returns the MTAs made for mass mail, and what is built on them.
func bulk() []System {
	return []System{kumoMTA(), momentum(), sparkPost(), symantecGateway(), powerMTA(), halon()}
}

func kumoMTA() System {
	return System{
		ID: "kumomta", Family: "kumomta", Name: "KumoMTA", Version: "source of 2026-08-04", Kind: MTA,
		Policy: Policy{
			Lifetime: 7 * day,
			Expiry:   NextTooLate,
			Rule:     "the failure after which the next attempt would be later than max_age: as shipped after 85 h, although max_age says 168 h",
			// A fortieth of retry_interval either way, at most 30 s.
			Retry: Jittered{Geometric{First: 20 * time.Minute, Factor: 2}, 30 * time.Second, 30 * time.Second},
			Apart: "a failed connection counts as an attempt of the message; throttling of a whole site is apart from it",
			Alike: true,
			Warn:  Warnings{Known: true},
		},
		Settings: []Setting{
			{"max_age", "7 days"}, {"retry_interval", "20 minutes"}, {"max_retry_interval", "none"},
		},
		Where:   "get_queue_config in the policy script",
		Reports: "551 5.4.7 Next delivery time would be … after creation, which exceeds max_age=…; only if the policy calls generate_rfc3464_message",
		Sources: []string{
			"KumoCorp/kumomta@3ebc1e8 crates/kumod/src/queue/config.rs:162-245, queue.rs:768-890",
			"KumoCorp/kumomta@3ebc1e8 docs/reference/kumo/make_queue_config/{max_age,retry_interval,max_retry_interval}.md",
		},
		Confidence: High,
	}
}

func momentum() System {
	return System{
		ID: "momentum", Family: "momentum", Name: "Momentum (Ecelerity)", Version: "3 and 4, documentation", Kind: MTA,
		Policy: Policy{
			Lifetime: 7 * day,
			Expiry:   ByTimer,
			Rule: "when message_expiration has passed; a message that comes to the head of its queue over age is still tried once " +
				"(never_attempt_expired_messages is false)",
			Retry: Geometric{First: 20 * time.Minute, Factor: 2},
			Warn:  Warnings{Known: true, Note: "remembered, not verified"},
		},
		Settings: []Setting{
			{"message_expiration", "604800 in the shipped ecelerity.conf, 86400 built in"},
			{"retry_interval", "1200, by the documentation's example"},
			{"max_retry_interval", ""},
			{"max_retries", "auto"},
			{"never_attempt_expired_messages", "false"},
		},
		Where:   "ecelerity.conf",
		Reports: "554 5.4.7 [internal] exceeded max time without delivery",
		Notes:   "That the gaps double is taken from the page on max_retries.",
		Sources: []string{
			"support.sparkpost.com/momentum/4/config/ref-message-expiration",
			"support.sparkpost.com/momentum/3, ref-max-retries",
			"sparkpost.com/momentum/3, never-attempt-expired-messages",
		},
		Confidence: High,
	}
}

func sparkPost() System {
	return System{
		ID: "sparkpost", Family: "sparkpost", Name: "SparkPost", Version: "a page of 2017", Kind: Mailer,
		Policy: Policy{
			Lifetime: 3 * day,
			Expiry:   ByTimer,
			Rule:     "72 h of message expiration; it runs on Momentum",
			Retry:    Geometric{First: 20 * time.Minute, Factor: 2},
		},
		Sources:    []string{"sparkpost.com/docs/faq/how-are-messages-retried"},
		Confidence: High,
	}
}

func symantecGateway() System {
	return System{
		ID: "symantec-mg", Family: "symantec-mg", Name: "Symantec (Broadcom) Messaging Gateway", Version: "10.x", Kind: Gateway,
		Policy: Policy{
			Lifetime: 5 * day,
			Notices:  day,
			Retry:    Growing{Known: []time.Duration{15 * time.Minute}},
			Warn:     Warnings{Known: true, On: true, At: []time.Duration{4 * time.Hour}, Every: 4 * time.Hour},
		},
		Where:      "SMTP Advanced settings, tab Delivery",
		Reports:    "554 5.4.7 [internal] exceeded max time without delivery: the words of the Ecelerity engine inside",
		Notes:      "The gaps grow exponentially; by what factor and up to what length is not told.",
		Sources:    []string{"knowledge.broadcom.com/external/article/156314", "knowledge.broadcom.com/external/article/152083"},
		Confidence: High,
	}
}

func powerMTA() System {
	return System{
		ID: "powermta", Family: "powermta", Name: "PowerMTA", Kind: MTA,
		Policy: Policy{
			Lifetime: 4*day + 12*time.Hour,
			Retry:    Fixed{10 * time.Minute},
		},
		Settings:   []Setting{{"bounce-after", "4d12h (remembered)"}, {"retry-after", "10m (remembered)"}},
		Where:      "<domain *> in /etc/pmta/config",
		Notes:      "Remembered, not verified: the pages found about it are advertising with invented directives.",
		Confidence: Memory,
	}
}

func halon() System {
	return System{
		ID: "halon", Family: "halon", Name: "Halon", Kind: MTA,
		Notes: "Nothing found. The schedule is set in the transport groups of its configuration (remembered).",
	}
}

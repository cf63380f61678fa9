package system

import "time"

// postfixes returns Postfix and what is built on it.
func postfixes() []System { return []System{postfix(), zimbra(), yandex()} }

// postfixPolicy is Postfix as shipped since 2.4.
func postfixPolicy() Policy {
	return Policy{
		Lifetime: 5 * day,
		Expiry:   AfterFailure,
		Rule: "the first attempt that fails at or after the limit (or postsuper -f); " +
			"the report repeats the error of that attempt with its 4.x.x status",
		Notices: 5 * day,
		Retry:   Clamped{Min: 300 * time.Second, Max: 4000 * time.Second},
		Scan:    300 * time.Second,
		Apart: "one clock; a destination whose connections fail is taken for dead for minimal_backoff_time, " +
			"and other mail for it is deferred untried: \"delivery temporarily suspended\"",
		Warn: Warnings{Known: true},
	}
}

func postfix() System {
	return System{
		ID: "postfix", Family: "postfix", Name: "Postfix", Version: "3.12-20260821; the same since 2.4", Kind: MTA,
		Policy: postfixPolicy(),
		Settings: []Setting{
			{"maximal_queue_lifetime", "5d"},
			{"bounce_queue_lifetime", "5d"},
			{"minimal_backoff_time", "300s (1000s before 2.4, remembered)"},
			{"maximal_backoff_time", "4000s"},
			{"queue_run_delay", "300s"},
			{"delay_warning_time", "0h (no warnings)"},
		},
		Where:   "main.cf",
		Reports: "Action failed with the status of the last error, 4.4.1 and the like; nothing says \"expired\" but its log: status=expired, returned to sender",
		Sources: []string{
			"vdukhovni/postfix@17830e5 postfix/src/global/mail_params.h:797-824",
			"vdukhovni/postfix@17830e5 postfix/src/qmgr/qmgr_active.c:441-600",
			"vdukhovni/postfix@17830e5 postfix/src/bounce/bounce_notify_util.c:690-815",
		},
		Confidence: High,
	}
}

func zimbra() System {
	return System{
		ID: "zimbra", Family: "postfix", Name: "Zimbra (Postfix inside)", Version: "8.5 to 10", Kind: MTA,
		Policy: postfixPolicy(),
		Settings: []Setting{
			{"zimbraMtaMaximalQueueLifetime", "5d"},
			{"zimbraMtaBounceQueueLifetime", "5d"},
			{"zimbraMtaMinimalBackoffTime", "300s"},
			{"zimbraMtaMaximalBackoffTime", "4000s"},
			{"zimbraMtaDelayWarningTime", "0h (no warnings)"},
		},
		Sources:    []string{"Zimbra/zm-mailbox store/conf/attrs/zimbra-attrs.xml"},
		Confidence: High,
	}
}

func yandex() System {
	return System{
		ID: "yandex", Family: "yandex", Name: "Yandex Mail (made from Postfix)", Version: "a sample of 2014", Kind: Hosted,
		Policy: Policy{
			Lifetime: 3 * day,
			Expiry:   AfterFailure,
			Rule:     "the first attempt that fails at or after the limit",
		},
		Reports:    "Status 4.4.1 and the like, with X-Yandex-Queue-ID",
		Sources:    []string{"sisimai/set-of-emails@18e585c maildir/bsd/lhost-yandex-03.eml (held 3 d 0 h 5 m 17 s, measured)"},
		Confidence: Medium,
	}
}

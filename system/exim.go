package system

import "time"

// exims returns Exim and what is built on it.
func exims() []System { return []System{exim(), eximDebian(), spamExperts()} }

// eximPolicy is Exim with the retry rule of its shipped configuration. A runner
// is the interval of the queue runs; 0: all the time.
func eximPolicy(runner time.Duration) Policy {
	return Policy{
		Lifetime: 4 * day,
		Expiry:   AfterFailure,
		Rule: "the first attempt that fails after the destination has been failing for longer than the last rule's cutoff, or when the " +
			"message is older than that; while all hosts of a destination are past it, a new message is given up at once (delay_after_cutoff)",
		Clock: FromFailure,
		Retry: Exim{
			Rules: []EximRule{
				{Until: 2 * time.Hour, Gap: 15 * time.Minute},
				{Until: 16 * time.Hour, Gap: time.Hour, Factor: 1.5},
				{Until: 4 * day, Gap: 6 * time.Hour},
			},
			Max:    day,
			Runner: runner,
		},
		Scan: runner,
		Warn: Warnings{Known: true, On: true, At: []time.Duration{day}, Every: day,
			Note: "not for bulk, list and junk precedence or Auto-Submitted mail (delay_warning_condition)"},
	}
}

func exim() System {
	p := eximPolicy(0)
	p.Apart = "a refused or silent host gets a retry time that all messages share; a 4yz to MAIL or DATA belongs to the message, " +
		"one to RCPT to the address; rules may name refused_A, refused_MX, timeout_connect"
	return System{
		ID: "exim", Family: "exim", Name: "Exim", Version: "4.99.1", Kind: MTA,
		Policy: p,
		Settings: []Setting{
			{"begin retry", "* * F,2h,15m; G,16h,1h,1.5; F,4d,6h"},
			{"retry_interval_max", "24h"},
			{"retry_data_expire", "7d"},
			{"delay_warning", "24h"},
			{"ignore_bounce_errors_after", "10w built in, 2d in the shipped configuration"},
			{"timeout_frozen_after", "0 built in, 7d in the shipped configuration"},
			{"bounce_return_size_limit", "100k"},
		},
		Where:   "the Exim configuration file",
		Reports: "\"retry timeout exceeded\" or \"all hosts for … have been failing for a long time (and retry time not reached)\"; status of the last error or 5.0.0 (remembered)",
		Notes:   "A report can come seconds after the message was sent, on the strength of earlier messages' failures.",
		Sources: []string{
			"Exim/exim@13835a3 (4.99.1+148) src/src/configure.default, retry section",
			"Exim/exim@13835a3 src/src/retry.c:77-1000, src/src/globals.c:704,865,1213,1385",
			"Exim/exim@13835a3 doc/doc-docbook/spec.xfpt:27560-27810",
		},
		Confidence: High,
	}
}

func eximDebian() System {
	p := eximPolicy(30 * time.Minute)
	p.Rule += "; seen only at the queue runs, every 30 min"
	return System{
		ID: "exim-debian", Family: "exim", Name: "Exim on Debian", Version: "4.96-15+deb12u10", Kind: MTA,
		Policy: p,
		Settings: []Setting{
			{"begin retry", "* * F,2h,15m; G,16h,1h,1.5; F,4d,6h"},
			{"QUEUEINTERVAL", "30m"},
			{"ignore_bounce_errors_after", "2d"},
			{"timeout_frozen_after", "7d"},
		},
		Where: "/etc/default/exim4, /etc/exim4/conf.d",
		Sources: []string{
			"debian/debconf/conf.d/retry/30_exim4-config",
			"debian/update-exim4defaults (QUEUEINTERVAL)",
			"debian/debconf/conf.d/main/02_exim4-config_options",
		},
		Confidence: High,
	}
}

func spamExperts() System {
	return System{
		ID: "spamexperts", Family: "spamexperts", Name: "SpamExperts, N-able Mail Assure", Kind: Gateway,
		Policy: Policy{
			Lifetime: 4 * day,
			Expiry:   AfterFailure,
			Rule:     "as Exim, which it is made from",
			Clock:    FromFailure,
			Retry: Exim{
				Rules: []EximRule{
					{Until: 2 * time.Hour, Gap: 15 * time.Minute},
					{Until: 16 * time.Hour, Gap: 15 * time.Minute, Factor: 1.5},
					{Until: 4 * day, Gap: 6 * time.Hour},
				},
				Max: day,
			},
			Apart: "it queues only for recipients it knows to be valid (remembered for 4 d); for others it defers the sender, whose own clock then runs",
		},
		Notes:      "For a recipient it does not know the filter never takes custody.",
		Sources:    []string{"mydashboard.webhostingm.com/knowledgebase/556"},
		Confidence: High,
	}
}

package system

import "time"

// newer returns the MTAs of the newer kind.
func newer() []System {
	return []System{haraka(), zoneMTA(), stalwart(), maddy(), mox(), chasquid(), james()}
}

func haraka() System {
	return System{
		ID: "haraka", Family: "haraka", Name: "Haraka", Version: "3.1.6", Kind: MTA,
		Policy: Policy{
			Limit:  13,
			Expiry: ByCount,
			Rule:   "the 13th failure; a 4.x status is rewritten to 5.x",
			Retry: List{Gaps: []time.Duration{
				64 * time.Second, 128 * time.Second, 256 * time.Second, 512 * time.Second,
				1024 * time.Second, 2048 * time.Second, 4096 * time.Second, 8192 * time.Second,
				16384 * time.Second, 32768 * time.Second, 65536 * time.Second, 131072 * time.Second,
			}},
			Apart: "one counter for DNS trouble, refused connections and 4yz",
			Alike: true,
			Warn:  Warnings{Known: true},
		},
		Settings: []Setting{
			{"maxTempFailures", "13"},
			{"temp_fail_intervals", "64 s doubling; written as 1m,5m*2,1h*3"},
		},
		Where:      "config/outbound.ini",
		Reports:    "\"Too many failures (last error)\", \"Tried all MXs\"",
		Sources:    []string{"haraka/Haraka@0bf10cb outbound/config.js:51-131, outbound/hmail.js:1325-1345"},
		Confidence: High,
	}
}

func zoneMTA() System {
	return System{
		ID: "zonemta", Family: "zonemta", Name: "ZoneMTA", Version: "3.10.18", Kind: MTA,
		Policy: Policy{
			Lifetime: 2 * day,
			Limit:    18,
			Expiry:   ByCount,
			Rule:     "the 18th failure; what lies in the queue for 30 d is dropped without a word",
			Retry: List{Gaps: []time.Duration{
				5 * time.Minute, 7 * time.Minute, 8 * time.Minute, 25 * time.Minute, 75 * time.Minute, 2 * time.Hour,
				4 * time.Hour, 4 * time.Hour, 4 * time.Hour, 4 * time.Hour, 4 * time.Hour, 4 * time.Hour,
				4 * time.Hour, 4 * time.Hour, 4 * time.Hour, 4 * time.Hour, 4 * time.Hour,
			}},
			Apart: "one counter; rules on the words of a reply decide what is a bounce",
			Alike: true,
			Warn:  Warnings{Known: true, Note: "delayEmail.enabled turns them on"},
		},
		Settings: []Setting{
			{"queue.deferTimes", "the list of gaps"},
			{"queue.maxQueueTime", "30 d"},
			{"delayEmail.enabled", "false"},
		},
		Reports: "Status 5.0.0 in every failure and 4.0.0 in every delay",
		Sources: []string{
			"zone-eu/zone-mta@cf94b99 lib/sender.js:44-50,863-880, config/default.js:49-50, plugins/core/email-bounce.js",
		},
		Confidence: High,
	}
}

func stalwart() System {
	return System{
		ID: "stalwart", Family: "stalwart", Name: "Stalwart", Version: "0.16.19", Kind: MTA,
		Policy: Policy{
			Lifetime: 3 * day,
			Expiry:   ByTimer,
			Rule:     "a timer: the expiry is an event of its own and makes the temporary failure permanent",
			Retry: List{Gaps: []time.Duration{
				2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, day,
			}, Then: 3 * day},
			Apart: "one schedule; limits of rate and concurrency are apart from it",
			Alike: true,
			Warn:  Warnings{Known: true, On: true, At: []time.Duration{day, 3 * day}},
		},
		Settings: []Setting{
			{"expiry", "ttl 3d; or attempts, 5"},
			{"retry", "2m 5m 10m 15m 30m 1h 2h 1d 3d"},
			{"notify", "1d 3d"},
		},
		Where: "Delivery Schedules",
		Notes: "Between the attempt after 28h 2m and the end after 72h nothing is tried.",
		Sources: []string{
			"stalwartlabs/stalwart@d72608f crates/common/src/config/smtp/queue.rs:275-320",
			"stalwartlabs/stalwart@d72608f crates/registry/src/schema/structs_impl.rs:25965-25970",
			"stalwartlabs/stalwart@d72608f crates/smtp/src/outbound/delivery.rs:1505-1600, queue/dsn.rs",
		},
		Confidence: High,
	}
}

func maddy() System {
	return System{
		ID: "maddy", Family: "maddy", Name: "maddy", Version: "837b1b8 (2026-05)", Kind: MTA,
		Policy: Policy{
			Limit:  20,
			Expiry: ByCount,
			Rule:   "the 20th failure",
			// 15m·⌊1.25^(n-1)⌋: the code drops the fraction of the factor, so the
			// first four gaps are alike.
			Retry: List{Gaps: []time.Duration{
				15 * time.Minute, 15 * time.Minute, 15 * time.Minute, 15 * time.Minute, 30 * time.Minute,
				45 * time.Minute, 45 * time.Minute, time.Hour, 75 * time.Minute, 105 * time.Minute,
				135 * time.Minute, 165 * time.Minute, 210 * time.Minute, 270 * time.Minute, 330 * time.Minute,
				7 * time.Hour, 525 * time.Minute, 11 * time.Hour, 825 * time.Minute,
			}},
			Apart: "one counter",
			Alike: true,
			Warn:  Warnings{Known: true},
		},
		Settings: []Setting{
			{"max_tries", "20"}, {"initial_retry_time", "15m"}, {"retry_time_scale", "1.25"},
		},
		Where:      "the target.queue block",
		Reports:    "X-Maddy-MsgID, Diagnostic-Code: X-Maddy; …",
		Sources:    []string{"foxcpp/maddy@837b1b8 internal/target/queue/queue.go:132-218,395-460"},
		Confidence: High,
	}
}

func mox() System {
	return System{
		ID: "mox", Family: "mox", Name: "mox", Version: "1c95876 (2026-08)", Kind: MTA,
		Policy: Policy{
			Limit:  8,
			Expiry: ByCount,
			Rule:   "the 8th failed attempt",
			Retry:  Jittered{Geometric{First: 450 * time.Second, Factor: 2}, 5 * time.Second, 5 * time.Second},
			Apart:  "one counter",
			Alike:  true,
			Warn:   Warnings{Known: true, On: true, Try: 5},
		},
		Settings: []Setting{{"MaxAttempts", "8, per message"}},
		Notes: "By its code, the time until which a notice promises to retry (28h after the attempt) is later than the real end " +
			"(14h after it).",
		Sources:    []string{"mjl-/mox@1c95876 queue/queue.go:1372-1395, queue/dsn.go:98-130"},
		Confidence: High,
	}
}

func chasquid() System {
	return System{
		ID: "chasquid", Family: "chasquid", Name: "chasquid", Version: "ca2538b (2026-06)", Kind: MTA,
		Policy: Policy{
			Lifetime: 20 * time.Hour,
			Expiry:   ByTimer,
			Rule:     "when the message is older than give_up_send_after; noticed when the wait for the next attempt is over, up to 21 min later",
			Retry: Jittered{Ladder{
				{Every: time.Minute, Until: time.Minute},
				{Every: 5 * time.Minute, Until: 5 * time.Minute},
				{Every: 10 * time.Minute, Until: 10 * time.Minute},
				{Every: 20 * time.Minute},
			}, 0, time.Minute},
			Late:  21 * time.Minute,
			Apart: "one clock",
			Alike: true,
			Warn:  Warnings{Known: true},
		},
		Settings:   []Setting{{"give_up_send_after", "20h"}},
		Where:      "chasquid.conf",
		Reports:    "Action failed, Status 4.0.0 for recipients that were still pending, \"failed repeatedly and timed out, last error:\"",
		Sources:    []string{"albertito/chasquid@ca2538b internal/queue/queue.go:506-525, internal/config/config.go:36, internal/queue/dsn.go:96-150"},
		Confidence: High,
	}
}

func james() System {
	return System{
		ID: "james", Family: "james", Name: "Apache James", Version: "20bf808 (2026-08)", Kind: MTA,
		Policy: Policy{
			Limit:  6,
			Expiry: ByCount,
			Rule:   "the 6th failure: maxRetries after the first attempt",
			Retry:  Fixed{6 * time.Hour},
			Apart:  "a failed DNS look-up is final at once, as shipped (maxDnsProblemRetries 0)",
			Warn:   Warnings{Known: true},
		},
		Settings: []Setting{
			{"maxRetries", "5"},
			{"delayTime", "6 hours; the last one repeats until maxRetries"},
			{"maxDnsProblemRetries", "0"},
		},
		Where: "the RemoteDelivery mailet in mailetcontainer.xml",
		Notes: "These are the defaults of the code. The sample configuration that ships with it tries after 5 s, 100 s and 500 s and gives up after 10m 5s.",
		Sources: []string{
			"apache/james-project@20bf808 server/mailet/mailets/…/remote/delivery/RemoteDeliveryConfiguration.java:92-96, Delay.java",
			"apache/james-project@20bf808 docs/modules/servers/partials/RemoteDelivery.adoc",
			"apache/james-project@20bf808 server/apps/distributed-app/sample-configuration/mailetcontainer.xml:113-121",
		},
		Confidence: High,
	}
}

package system

// newerReporters are the newer MTAs, some of which took over the words of the
// older.
func newerReporters() []Reporter {
	return []Reporter{
		{
			System: "haraka",
			Strong: []string{
				`\(Haraka \S+ invoked for bounce\)`,
				`Haraka Mailer program at`,
				`Too many failures \(`,
			},
			ReportingMTA: "dns;host",
			Subject:      "failure notice: the words of qmail",
			Expiry:       []string{"Too many failures (<last error>)", "Tried all MXs"},
			Sources:      []string{"haraka/Haraka config/outbound.bounce_message, outbound/hmail.js"},
			Confidence:   High,
		},
		{
			System: "james",
			Strong: []string{
				`Hi\. This is the James mail server at`,
				`(?m)^Received: from .*\(James|with SMTP \(JAMES`,
				`(?m)^Message details:\s+Subject:`,
			},
			Weak:       []string{`\[BOUNCE\]`},
			Subject:    "[BOUNCE], Re:…",
			Expiry:     []string{"too many failures (remembered)"},
			Sources:    []string{"apache/james-project Bouncer.java", samples("lhost-apachejames-*")},
			Confidence: High,
		},
		{
			System: "chasquid",
			Strong: []string{
				`postmaster-dsn@`,
				`failed repeatedly and timed out, last error:`,
			},
			Subject:    "Mail delivery failed: returning message to sender: the words of Exim",
			From:       "Mail Delivery System <postmaster-dsn@domain>",
			Shape:      "message/global-delivery-status, utf-8 recipients",
			Expiry:     []string{"failed repeatedly and timed out, last error:"},
			Sources:    []string{"albertito/chasquid internal/queue/dsn.go"},
			Confidence: High,
		},
		{
			System: "kumomta",
			Strong: []string{
				`Next delivery time would be .* (exceeds|which exceeds)`,
				`No further attempts will be made to deliver it\.`,
			},
			Weak:         []string{`(?m)^Subject: Returned mail\s*$`},
			ReportingMTA: "dns; host",
			Subject:      "Returned mail",
			From:         "Mail Delivery Subsystem <mailer-daemon@host>",
			Expiry:       []string{"551 5.4.7 Next delivery time would be <age> after creation, which exceeds max_age=<t>"},
			Sources:      []string{"KumoCorp/kumomta crates/kumo-log-types/src/rfc3464.rs"},
			Confidence:   High,
		},
		{
			System: "maddy",
			Strong: []string{
				`(?m)^X-Maddy-(MsgID|Sender):`,
				`Diagnostic-Code: X-Maddy;`,
				`This is the mail delivery system at \S+\.`,
			},
			Subject:    "Undelivered Mail Returned to Sender: the words of Postfix",
			Sources:    []string{"foxcpp/maddy internal/dsn/dsn.go"},
			Confidence: High,
		},
		{
			System: "zonemta",
			Strong: []string{
				`(?m)^X-ZoneMTA-(Queue-ID|Sender):`,
				`(?m)^X-Sending-Zone:`,
			},
			Weak:         []string{`Delivery Status Notification \((Failure|Delay): `},
			ReportingMTA: "dns; host",
			Subject:      "Delivery Status Notification (Failure: <recipient>)",
			Shape:        "Status always 5.0.0 or 4.0.0: read the Diagnostic-Code",
			Sources:      []string{"zone-eu/zone-mta plugins/core/email-bounce.js"},
			Confidence:   High,
		},
		{
			System: "stalwart",
			Strong: []string{
				`----- Delivery to the following addresses failed -----`,
				`There was a temporary problem delivering your message to the following`,
			},
			Weak: []string{
				`(?m)^Subject: (Failed to deliver message|Warning: Delay in message delivery)`,
				`\(connection to '[^']+' failed: `,
			},
			ReportingMTA: "dns;host, without a space",
			Subject:      "Failed to deliver message, Warning: Delay in message delivery",
			Sources:      []string{"stalwartlabs/stalwart crates/smtp/src/queue/dsn.rs"},
			Confidence:   Medium,
		},
		{
			System:     "mox",
			Strong:     []string{`(?m)^Subject: mail delivery (failed|delayed)\s*$`},
			Subject:    "mail delivery failed, mail delivery delayed",
			Sources:    []string{"mjl-/mox queue/dsn.go"},
			Confidence: Medium,
		},
		{
			System: "opensmtpd",
			Strong: []string{
				`This is the MAILER-DAEMON, please DO NOT REPLY to this e-?mail`,
				`\(OpenSMTPD\) with E?SMTP[A-Z]* id`,
			},
			Weak: []string{
				`(?m)^Subject: Delivery status notification: (error|delayed|success|warning)`,
				`Envelope expired`,
			},
			ReportingMTA: "dns; host",
			Subject:      "Delivery status notification: error, warning, delayed",
			From:         "Mailer Daemon <MAILER-DAEMON@host>",
			Shape:        "Action: error, which is no value of RFC 3464; Status 5.4.7 for an expiry; no Diagnostic-Code, no Remote-MTA",
			Expiry:       []string{"Envelope expired"},
			Sources:      []string{"OpenSMTPD/OpenSMTPD usr.sbin/smtpd/bounce.c", samples("lhost-opensmtpd-*")},
			Confidence:   High,
		},
		{
			System: "powermta",
			Strong: []string{
				`Hello, this is the mail server on \S+`,
				`PowerMTA\(TM\)`,
				`delivery failed; will not continue trying`,
			},
			Weak:         []string{`(?m)^Subject: Delivery report`, `X-PowerMTA-`},
			ReportingMTA: "dns;host",
			Subject:      "Delivery report",
			From:         "postmaster@host",
			Shape:        "Status with a comment: 5.2.1 (mailbox disabled, not accepting messages); X-PowerMTA-BounceCategory",
			Sources:      []string{samples("lhost-powermta-*")},
			Confidence:   High,
		},
	}
}

// olderReporters are the MTAs whose words the others took over.
func olderReporters() []Reporter {
	return []Reporter{
		{
			System: "courier",
			Strong: []string{
				`running the Courier mail server`,
				`(?m)^Message-Id: <courier\.`,
			},
			Weak: []string{
				`(?m)^Subject: (NOTICE: mail delivery status\.|WARNING: delayed mail\.)`,
				`DELAYS IN DELIVERING YOUR MESSAGE|UNDELIVERABLE MAIL`,
			},
			ReportingMTA: "dns; host",
			Subject:      "NOTICE: mail delivery status., WARNING: delayed mail.",
			From:         "postmaster",
			Shape:        "X-Network-Error: <text> where the connection failed; Remote-MTA: dns; host [ip]; Diagnostic-Code: smtp or unknown; always Received-From-MTA",
			Sources:      []string{"svarshavchik/courier module.dsn/dsn.C", samples("lhost-courier-*")},
			Confidence:   High,
		},
		{
			System: "sendmail",
			Strong: []string{
				`----- Transcript of session follows -----`,
				`----- The following addresses had (permanent fatal errors|transient non-fatal errors|delivery problems) -----`,
				`(?m)^\*\*\s+THIS IS A WARNING MESSAGE ONLY`,
			},
			Weak: []string{
				`(?m)^Subject: (Returned mail: |Warning: could not send message for past |Postmaster notify: )`,
				`(?m)^Received: from \S+ .*\(8\.\d+\.\d+/8`,
				`The original message was received at `,
			},
			ReportingMTA: "dns; host",
			Subject:      "Returned mail: see transcript for details, Warning: could not send message for past 4 hours",
			From:         "Mail Delivery Subsystem <MAILER-DAEMON@host>",
			Shape:        "RFC822;, SMTP; and DNS; in capitals; always Last-Attempt-Date",
			Expiry: []string{
				"Message could not be delivered for 5 days",
				"Message will be deleted from queue",
				"Cannot send message for 5 days",
				"Delivery time (Ns) expired",
			},
			Note: "Status 4.4.7 is queuereturn, 5.4.7 is DELIVERBY. \"Deferred: Connection refused by X\" and \"Connection timed out with X\" are a dead host, " +
				"\"Deferred: <reply>\" is one that answered.",
			Sources:    []string{"sendmail 8.17.1.9 sendmail/envelope.c, savemail.c", samples("lhost-sendmail-*")},
			Confidence: High,
		},
		{
			System: "exim",
			Strong: []string{
				`This message was created automatically by mail delivery software\.?\s+A message (that you sent|sent by)`,
				`boundary=\"?\d+-eximdsn-\d+`,
				`retry timeout exceeded`,
				`have been failing for a long time`,
			},
			Weak: []string{
				`(?m)^Subject: (Mail delivery failed: returning message to sender|Mail delivery failed|Warning: message \S+ delayed \d+ (hours|minutes)|Message frozen|Delivery Status Notification)`,
				`SMTP error from remote mail server after `,
			},
			ReportingMTA: "dns; host (from 4.86 on)",
			Subject:      "Mail delivery failed: returning message to sender, Warning: message <id> delayed 24 hours",
			From:         "Mail Delivery System <Mailer-Daemon@host>",
			Shape:        "boundary <time>-eximdsn-<n>; Remote-MTA: dns; host and Diagnostic-Code: smtp; <text> where a host answered",
			Expiry: []string{
				"retry timeout exceeded",
				"all hosts for '<domain>' have been failing for a long time (and retry time not reached)",
				"all hosts for '<domain>' have been failing for a long time and were last tried after this message arrived",
				"retry time not reached for any host after a long failure period (older releases)",
			},
			Note: "\"retry timeout exceeded\": this destination failed for more than the cutoff. \"and retry time not reached\": given up untried, " +
				"on the record of earlier mail. \"were last tried after this message arrived\": tried.",
			Sources:    []string{"Exim/exim src/src/deliver.c, src/src/retry.c, src/src/transports/smtp.c:6493", samples("lhost-exim-*")},
			Confidence: High,
		},
		{
			System: "postfix",
			Strong: []string{
				`(?m)^X-Postfix-(Queue-ID|Sender):`,
				`(?m)^Diagnostic-Code: X-Postfix;`,
				`This is the (Postfix program|mail system) at host `,
			},
			Weak: []string{
				`(?m)^Subject: (Undelivered Mail Returned to Sender|Delayed Mail \(still being retried\)|Postmaster Copy: Undelivered Mail)`,
				`\(in reply to (end of )?\S+( \S+)? command\)`,
				`(?m)^X-[A-Za-z0-9_-]+-Queue-ID: `,
			},
			ReportingMTA: "dns; host",
			Subject:      "Undelivered Mail Returned to Sender, Delayed Mail (still being retried)",
			From:         "MAILER-DAEMON@host (Mail Delivery System)",
			Shape: "X-<mail_name>-Queue-ID, X-<mail_name>-Sender, Arrival-Date; always Original-Recipient; Remote-MTA and Diagnostic-Code: smtp; where the remote answered, " +
				"else Diagnostic-Code: X-<mail_name>; and no Remote-MTA",
			Expiry: []string{
				"Status 4.x.x with Action: failed: an expiry has no words of its own",
				"delivery temporarily suspended: <error>: this message was not even tried",
			},
			Note: "mail_name may be another: X-Yandex-, X-mPOP-Fallback_MX, X-Outbound-Mail-Relay, X-Symantec-Messaging-Gateway-Queue-ID. \"host X said:\" is a refusal by X, " +
				"\"connect to X[ip]:25: …\" no answer, \"lost connection with\" and \"conversation with X timed out while\" broken off.",
			Sources:    []string{"vdukhovni/postfix src/bounce/*.c, src/smtp/*.c", samples("lhost-postfix-*")},
			Confidence: High,
		},
		{
			System: "qmail",
			Strong: []string{
				`This is the (qmail-send program|qmail-send program at|mail delivery agent at messagelabs)`,
				`I'm not going to try again; this\s+message has been in the queue too long`,
				`\(qmail \d+ invoked (for bounce|from network|by uid)`,
			},
			Weak: []string{
				`(?m)^Subject: failure notice`,
				`Hi\. This is the `,
				`I've given up\. Sorry it didn't work out`,
			},
			Subject: "failure notice",
			From:    "MAILER-DAEMON@host",
			Shape:   "no MIME and no delivery-status; \"<recipient>:\", then the reason, the status in brackets: (#5.1.1); \"Remote host said:\" are the remote's words",
			Expiry:  []string{"I'm not going to try again; this message has been in the queue too long."},
			Note:    "Haraka and James copied \"I've given up. Sorry it didn't work out\": alone it proves nothing.",
			Sources: []string{"notqmail/notqmail qmail-send.c, qmail-remote.c", samples("lhost-qmail-*")},

			Confidence: High,
		},
	}
}

package system

// Reporters returns the known reporters in the order of proof: a hosted service
// and a gateway stand before the MTA whose words they kept, and who copied a
// phrase before whom it was copied from. Every one of them is a system of this
// package.
func Reporters() []Reporter {
	all := serviceReporters()
	all = append(all, officeReporters()...)
	all = append(all, newerReporters()...)
	return append(all, olderReporters()...)
}

// Samples of a system's reports in the collection sisimai/set-of-emails.
func samples(names string) string { return "sisimai/set-of-emails maildir/bsd/" + names }

// serviceReporters are hosted services and gateways.
func serviceReporters() []Reporter {
	return []Reporter{
		{
			System: "exchange-online",
			Strong: []string{
				`(?i)Generating server: \S+\.(prod\.outlook\.com|protection\.outlook\.com|outlook\.com)`,
				`\[LastAttemptedServerName=`,
				`550 5\.4\.3\d\d Message expired`,
				`(?m)^X-MS-Exchange-CrossTenant-`,
			},
			ReportingMTA: "dns;<host>.prod.outlook.com",
			Subject:      "Undeliverable: …",
			From:         "Microsoft Outlook <postmaster@…>, MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@…",
			Expiry: []string{
				"550 5.4.316 Message expired, connection refused(Socket error code 10061)",
				"550 5.4.312 Message expired, DNS query failed(…)",
			},
			Note:       "[LastAttemptedServerName=…] and [LastAttemptedIP=…] name the remote end exactly.",
			Sources:    []string{samples("lhost-office365-06, -08")},
			Confidence: High,
		},
		{
			System: "gmail",
			Strong: []string{
				`(?mi)^From: Mail Delivery Subsystem <mailer-daemon@google(mail)?\.com>`,
				`Gmail will retry for \d+ more hours`,
				`(?m)^Reporting-MTA: dns; googlemail\.com`,
			},
			Weak: []string{
				`Google tried to deliver your message`,
				`Technical details of (permanent|temporary) failure`,
			},
			ReportingMTA: "dns; googlemail.com",
			Subject:      "Delivery Status Notification (Failure), (Delay)",
			Shape:        "Will-Retry-Until is Arrival-Date and 72 h in notices of delay",
			Expiry:       []string{"The recipient server did not accept our requests to connect"},
			Sources:      []string{samples("lhost-gmail-*, rfc3464-55")},
			Confidence:   High,
		},
		{
			System: "amazon-ses",
			Strong: []string{
				`(?mi)^X-(SES|AWS)-Outgoing:`,
				`(?mi)^Reporting-MTA: ds?n[s]?; ?\S*amazon(ses)?\.com`,
				`An error occurred while trying to deliver the mail to the following recipients`,
			},
			Weak:         []string{`Message expired: unable to deliver in \d+ minutes`},
			ReportingMTA: "dsn; host: \"dsn\" and not \"dns\"",
			Subject:      "Delivery Status Notification (Failure)",
			From:         "MAILER-DAEMON@amazonses.com, MAILER-DAEMON@<region>.amazonses.com",
			Expiry:       []string{"554 4.4.7 Message expired: unable to deliver in 840 minutes.<421 4.4.2 Connection timed out>"},
			Sources:      []string{samples("lhost-amazonses-*, lhost-amazonworkmail-*")},
			Confidence:   High,
		},
		{
			System:     "yandex",
			Strong:     []string{`(?m)^X-Yandex-(Queue-ID|Sender):`},
			Sources:    []string{samples("lhost-yandex-*")},
			Confidence: High,
		},
		{
			System: "zoho",
			Strong: []string{
				`(?m)^From: mailer-daemon@mail\.zoho\.com`,
				`ERROR_CODE :\d{3}`,
			},
			Sources:    []string{samples("lhost-zoho-*")},
			Confidence: High,
		},
		{
			System: "sendgrid",
			Strong: []string{
				`This is an automatically generated message from SendGrid`,
				`(?m)^X-SendGrid-(QueueID|Sender):`,
			},
			Subject:    "Undelivered Mail Returned to Sender: the words of Postfix",
			Shape:      "no Reporting-MTA; Arrival-Date written 2013-07-08 18-21-01; Action: expired",
			Expiry:     []string{"Action: expired"},
			Sources:    []string{samples("lhost-sendgrid-*")},
			Confidence: High,
		},
		{
			System: "mimecast",
			Strong: []string{
				`(?m)^X-Mimecast-(Originator|Bulk|Spam)`,
				`This condition occurred after \d+ attempt\(s\) to deliver over`,
				`\[Postmaster\] Email Delivery (Failure|Warning)`,
			},
			Subject:    "[Postmaster] Email Delivery Failure",
			Shape:      "the words tell the number of attempts and the hours",
			Sources:    []string{samples("lhost-mimecast-*")},
			Confidence: High,
		},
		{
			System: "symantec-cloud",
			Strong: []string{
				`(?m)^Reporting-MTA: dns; server-\d+\.(bemta|tower)-\d+\.messagelabs\.com`,
				`exceeded max time without delivery`,
				`This is the mail delivery agent at messagelabs\.com`,
			},
			Weak:         []string{`messagelabs\.com`},
			ReportingMTA: "dns; server-n.bemta-n.messagelabs.com",
			Subject:      "Mail Delivery Failure",
			From:         "MAILER-DAEMON@messagelabs.com",
			Expiry:       []string{"554 5.4.7 [internal] exceeded max time without delivery"},
			Note:         "The phrase is Momentum's: Symantec Messaging Gateway and every other user of that engine write it too.",
			Sources:      []string{samples("rhost-messagelabs-*"), "knowledge.broadcom.com/external/article/221539"},
			Confidence:   High,
		},
		asyncOSReporter(),
	}
}

func asyncOSReporter() Reporter {
	return Reporter{
		System: "ironport-asyncos",
		Strong: []string{
			`\(delivery attempts: \d+\)`,
			`\d\.\d\.\d - (Delivery expired \(message too old\)|Unknown address error|Bad destination host|Other mail system problem|Other network problem|Not accepting messages at this time|Message bounced by administrator)`,
			`(?m)^IronPort-(SDR|PHdr|Data|HdrOrdr):`,
			`(?m)^X-IronPort-`,
		},
		Weak: []string{
			`The following message to <[^>]+> was undeliverable\.`,
			`(?m)^The reason for the problem:`,
			`(?m)^content-type: message/delivery-status`,
			`(?m)^Message-Id: <[0-9a-z]+\$[0-9a-z]+@`,
		},
		ReportingMTA: "dns; host, with a space",
		Subject:      "Delivery Status Notification (Failure)",
		From:         "\"Mail Delivery System\" <MAILER-DAEMON@host>",
		Shape: "Status 5.0.0 (permanent failure) whatever the cause; Diagnostic-Code: smtp; <status> - <class of trouble> <code>-'<remote words>' " +
			"(delivery attempts: N); Remote-MTA: dns; [ip] only if a host answered; names of part headers in lower case; no weekday in its Received line",
		Expiry: []string{
			"5.4.7 - Delivery expired (message too old) '[Errno 61] Connection refused'",
			"5.4.7 - Delivery expired (message too old) 'timeout'",
			"5.4.7 - Delivery expired (message too old) 'no valid ip addresses'",
			"5.4.7 - Delivery expired (message too old) 'DNS Soft Error looking up <domain>'",
		},
		Note: "The quoted part is the text of a Python exception; errno 61 is \"connection refused\" on BSD. Its log writes ('000', ['timeout']): " +
			"000 says that no reply was ever read. \"Received: from unknown (HELO x)\" is a client without a reverse name.",
		Sources: []string{
			"gist.github.com/aaronsw/2653930", "a report of rcdn-iport-7.cisco.com", "logs of 2018", "serverfault.com/questions/205200",
			samples("lhost-amazonses-01 to -03"),
		},
		Confidence: High,
	}
}

// officeReporters are the groupware servers.
func officeReporters() []Reporter {
	return []Reporter{
		{
			System: "exchange-2007",
			Strong: []string{
				`(?m)^Generating server: `,
				`(?m)^X-MS-Exchange-Message-Is-Ndr:`,
				`Diagnostic information for administrators:`,
				`#\d{3} \d\.\d\.\d+ [A-Z]+\.[A-Za-z.]+; ?[a-z]`,
				`Sent by Microsoft Exchange Server 2007`,
			},
			Weak: []string{
				`(?mi)^Subject: (Undeliverable|Unzustellbar|Non remis|Non recapitabile|Olevererbart|No se puede entregar):?`,
				`(?m)^Reporting-MTA: dns;\S`,
				`Delivery has failed to these recipients or (groups|distribution lists):`,
			},
			ReportingMTA: "dns;host, without a space",
			Subject:      "Undeliverable: …",
			From:         "postmaster@domain, Microsoft Outlook <postmaster@…>",
			Shape: "Reporting-MTA, Received-From-MTA, Arrival-Date; Diagnostic-Code: smtp;550 4.4.7 QUEUE.Expired; message expired; " +
				"no Remote-MTA where the expiry is its own",
			Expiry: []string{"550 4.4.7 QUEUE.Expired; message expired"},
			Note: "\"Generating server\" gave up; \"Receiving server\" or the line of a host and # refused. From 2013 on the attempts are listed newest first: " +
				"the first line is its own verdict, the next the last real error. From 2010 on a remote error is wrapped: 441 or 451 4.4.0 Primary target IP address responded with: …",
			Sources:    []string{samples("lhost-exchange2007-*"), "pastebin.com/zeZFJvKs", "pastebin.com/EimgND2Y"},
			Confidence: High,
		},
		{
			System: "ms-smtpsvc",
			Strong: []string{
				`(?m)^X-Mailer: (Internet Mail Service|Microsoft Exchange)`,
				`(?m)^X-MimeOLE: Produced By Microsoft Exchange`,
				`with Microsoft SMTPSVC\(`,
				`did not reach the following recipient\(s\):`,
				`Your message did not reach some or all of the intended recipients\.\s+Subject:`,
			},
			Weak:         []string{`(?m)^X-DSNContext:`, `(?m)^X-MS-Embedded-Report:`},
			ReportingMTA: "dns;host",
			Subject:      "Undeliverable: …, Delivery Status Notification (Failure), (Delay)",
			From:         "System Administrator, postmaster@…",
			Shape:        "Action: delayed has Status 4.4.7 and Will-Retry-Until",
			Sources:      []string{samples("lhost-exchange2003-*, lhost-outlook-06")},
			Confidence:   Medium,
		},
		{
			System: "domino",
			Strong: []string{
				`not listed in (public|Domino|HCL Domino) `,
				`was not delivered to:\s+\S+@?\S*\s+because:`,
				`(?m)^X-MIMETrack: Itemize by SMTP Server`,
			},
			Weak:         []string{`(?m)^Subject: (DELIVERY FAILURE:|DELIVERY_FAILURE:|=\?[^?]+\?.\?DELIVERY)`},
			ReportingMTA: "dns;host",
			Subject:      "DELIVERY FAILURE: <reason>",
			Sources:      []string{samples("lhost-domino-*")},
			Confidence:   Medium,
		},
		{
			System: "oracle-ums",
			Strong: []string{
				`Reporting-MTA: dns;\S+ \((tcp-daemon|ims-ms-daemon|tcp-intranet-daemon)`,
				`(Oracle|Sun Java System|Sun Java\(tm\) System|iPlanet) ?(Communications)? ?Messaging Server`,
				`This report relates to a message you sent with the following header fields:`,
			},
			Weak:         []string{`(?m)^Subject: Delivery Notification: `},
			ReportingMTA: "dns;host (tcp-daemon)",
			Subject:      "Delivery Notification: Delivery has failed, been delayed, been timed out",
			Expiry:       []string{"unable to deliver this message after N day(s)"},
			Note:         "\"Delivery attempt history for your mail:\" lists every attempt with its time and error: the best evidence of all.",
			Sources:      []string{samples("lhost-messagingserver-*")},
			Confidence:   High,
		},
		{
			System: "mdaemon",
			Strong: []string{
				`(?m)^X-MDaemon`,
				`MDaemon has (identified|detected)`,
			},
			Confidence: Memory,
		},
		{
			System: "hmailserver",
			Strong: []string{
				`(?m)^hMailServer\s*$`,
				`Tried \d+ time\(s\)`,
			},
			Weak:       []string{`(?m)^Subject: Message undeliverable: `},
			Subject:    "Message undeliverable: …",
			Expiry:     []string{"Tried 5 time(s)"},
			Sources:    []string{"hmailserver/hmailserver source/Server/SMTP/ExternalDelivery.cpp"},
			Confidence: High,
		},
	}
}

package system

// Wordings returns the phrases whose meaning is known.
func Wordings() []Wording {
	all := expiryWordings()
	all = append(all, connectionWordings()...)
	return append(all, otherWordings()...)
}

// expiryWordings are those of who gave up by a clock, or will.
func expiryWordings() []Wording {
	return []Wording{
		{
			ID: "exch-queue-expired", Pattern: `4\.4\.7 QUEUE\.Expired; ?message expired`, Kind: Expired,
			GaveUp:    "the Exchange server in \"Generating server\"",
			Refused:   "not told by this line: the next one has the last attempt",
			Clock:     "that server's MessageExpirationTimeout (2 d)",
			CauseLost: true,
		},
		{
			ID: "exo-refused", Pattern: `5\.4\.316 Message expired, connection refused`, Kind: ExpiredUnreachable,
			GaveUp: "Exchange Online", Refused: "[LastAttemptedIP]: its TCP port refused",
			Clock: "Microsoft's 24 h (48 h before June 2019)", Contact: NoContact,
		},
		{
			ID: "exo-dns", Pattern: `5\.4\.312 Message expired, DNS query failed`, Kind: ExpiredUnreachable,
			GaveUp: "Exchange Online", Refused: "nobody: the DNS of the recipient's domain gave no answer of use",
			Clock: "Microsoft's 24 h (48 h before June 2019)", Contact: NoContact,
		},
		{
			ID:      "ironport-expired",
			Pattern: `5\.4\.7 - Delivery expired \(message too old\) '(?P<last>[^']*)' \(delivery attempts: (?P<n>\d+)\)`,
			Kind:    Expired,
			GaveUp:  "Reporting-MTA, the filter", Refused: "as the quoted words say",
			Clock: "the filter's bounce profile, maximum number of seconds in queue (72 h)",
			Means: "no contact where there is no Remote-MTA; the attempts are conversations, not connections",
			Parts: []Part{
				{"[Errno 61] Connection refused", "TCP refused (errno of BSD)", NoContact},
				{"timeout", "no answer", NoContact},
				{"no valid ip addresses", "an MX without an address that can be used", NoContact},
				{"DNS Soft Error", "the DNS failed for now", NoContact},
				{"[Errno 65] No route to host", "no way to the host (remembered)", NoContact},
				{"[Errno 54] Connection reset by peer", "broken off (remembered)", ContactBroken},
			},
		},
		{
			ID: "momentum-expired", Pattern: `5\.4\.7 \[internal\] exceeded max time without delivery`, Kind: Expired,
			GaveUp: "an engine of Momentum (Symantec, many mailers)", Refused: "not told",
			Clock: "message_expiration (7 d at Symantec.cloud)", CauseLost: true,
		},
		{
			ID: "ses-expired", Pattern: `4\.4\.7 Message expired: unable to deliver in (?P<min>\d+) minutes\.<(?P<last>[^>]*)>`, Kind: Expired,
			GaveUp: "Amazon SES", Refused: "as the words in <…> say", Clock: "the stated minutes",
			Means: "the contact is that of the words in <…>",
		},
		{
			ID: "kumo-expired", Pattern: `5\.4\.7 Next delivery time would be .* exceeds`, Kind: Expired,
			GaveUp: "KumoMTA", Refused: "not told", Clock: "max_age, or the message's own expiry", CauseLost: true,
		},
		{
			ID: "sendmail-expired", Pattern: `Message could not be delivered for (?P<t>[\w ]+)\n`, Kind: Expired,
			GaveUp: "Reporting-MTA (sendmail)", Refused: "see \"(reason: …)\" or \"Deferred: …\"",
			Clock: "Timeout.queuereturn, as stated; it was really held from Arrival-Date to Last-Attempt-Date",
		},
		{
			ID: "sendmail-deliverby", Pattern: `Delivery time \(-?\d+s\) expired|delivery time expired -?\d+s`, Kind: ExpiredDeliverBy,
			GaveUp: "Reporting-MTA", Refused: "nobody", Clock: "the sender's own limit, DELIVERBY (RFC 2852)",
		},
		{
			ID: "sendmail-warn", Pattern: `Warning: message still undelivered after|could not send message for past`, Kind: Delayed,
			Clock: "Timeout.queuewarn", Means: "\"Will keep trying until message is N old\" states when it will be given up",
		},
		{
			ID: "qmail-expired", Pattern: `this\s+message has been in the queue too long`, Kind: Expired,
			GaveUp:  "the host of qmail-send",
			Refused: "the words before it: \"Remote host said\" is a deferral, \"wasn't able to establish an SMTP connection\" a dead host",
			Clock:   "control/queuelifetime (7 d)",
		},
		{
			ID: "exim-retry-timeout", Pattern: `retry timeout exceeded`, Kind: Expired,
			GaveUp: "the Exim host", Refused: "the error before the colon",
			Clock: "how long the destination has been failing (4 d), not the message's age",
		},
		{
			ID:      "exim-not-reached",
			Pattern: `(all hosts.* have been failing for a long time \(and retry time not reached\)|retry time not reached for any host after a long failure period)`,
			Kind:    ExpiredUntried, GaveUp: "the Exim host", Refused: "nobody this time: it was not tried",
			Clock: "the destination's record in the retry database; the report may come within seconds",
		},
		{
			ID: "exim-tried", Pattern: `have been failing for a long time and were last tried after this message arrived`, Kind: Expired,
			GaveUp: "the Exim host", Refused: "hosts that cannot be reached", Clock: "the destination's record; tried for this message too",
		},
		{
			ID:      "exim-delay",
			Pattern: `has not yet been delivered to one or more of its\s+recipients after more than (?P<t>\S+ \w+) on the queue on (?P<h>\S+)\.`,
			Kind:    Delayed, Clock: "delay_warning (24 h)",
		},
		{
			ID: "opensmtpd-expired", Pattern: `Envelope expired`, Kind: Expired,
			GaveUp: "the OpenSMTPD host", Clock: "queue ttl (4 d)", CauseLost: true,
		},
		{
			ID: "haraka-too-many", Pattern: `Too many failures \((?P<last>.*)\)`, Kind: ExpiredByCount,
			GaveUp: "Haraka", Clock: "13 attempts",
		},
		{
			ID: "hmail-tried", Pattern: `Tried (?P<n>\d+) time\(s\)`, Kind: ExpiredByCount,
			GaveUp: "hMailServer", Clock: "its number of retries, times the minutes between them",
		},
		{
			ID:      "mimecast-after",
			Pattern: `This condition occurred after (?P<n>\d+) attempt\(s\) to deliver over\s+a period of (?P<h>\d+) hour\(s\)`,
			Kind:    Detail, Means: "how many attempts, and in how many hours",
		},
		{
			ID: "gmail-retry", Pattern: `Gmail will retry for (?P<h>\d+) more hours|will be retried for (?P<d>\d+) more day`, Kind: Delayed,
			GaveUp: "nobody yet", Clock: "Gmail's 3 d",
		},
		{ID: "umsexpired", Pattern: `unable to deliver this message after (?P<t>\d+ \w+)`, Kind: DelayedOrExpired},
	}
}

// connectionWordings tell how far a connection came.
func connectionWordings() []Wording {
	return []Wording{
		{
			ID: "exch-winsock", Pattern: `Winsock error code: (?P<n>\d+)`, Kind: NoConnection, Contact: NoContact,
			Means: "a detail of the line it stands in",
			Parts: []Part{
				{"10060", "connecting timed out", NoContact},
				{"10061", "connection refused", NoContact},
				{"10051", "network unreachable", NoContact},
				{"10065", "no route to host", NoContact},
				{"10054", "connection reset", ContactBroken},
			},
		},
		{
			ID: "exch-primary-target", Pattern: `Primary target IP address responded with`, Kind: Detail, Contact: ContactMade,
			Means: "the quoted reply is the remote server's; where it refuses the connection or EHLO by a 5yz, Exchange takes it for temporary and tries until the message expires",
		},
		{
			ID: "ironport-log-000", Pattern: `\('000', \['(?P<last>[^']*)'\]\)`, Kind: NoConnection, Contact: NoContact,
			Means: "reply code 000: no reply was ever read",
		},
		{
			ID: "sendmail-refused", Pattern: `Deferred: Connection refused by (?P<h>\S+)`, Kind: NoConnection, Contact: NoContact,
			Refused: "<h>: its port is closed",
		},
		{
			ID: "sendmail-timeout", Pattern: `Deferred: Connection timed out with (?P<h>\S+)`, Kind: NoConnection, Contact: NoContact,
			Refused: "<h>: it never answered",
		},
		{
			ID: "qmail-noconn", Pattern: `wasn't able to establish an SMTP connection\. \(#4\.4\.1\)`,
			Kind: NoConnection, Contact: NoContact,
		},
		{
			ID: "postfix-refused", Pattern: `connect to (?P<h>\S+?)\[(?P<ip>[^\]]+)\](:\d+)?:\s+Connection refused`,
			Kind: NoConnection, Contact: NoContact,
		},
		{
			ID: "postfix-timeout", Pattern: `connect to (?P<h>\S+?)\[(?P<ip>[^\]]+)\](:\d+)?:\s+(Connection|Operation) timed out`,
			Kind: NoConnection, Contact: NoContact,
		},
		{
			ID: "postfix-noroute", Pattern: `connect to .*: (No route to host|Network is unreachable)`, Kind: NoConnection, Contact: NoContact,
			Means: "\"Network is unreachable\" with an IPv6 address usually means that the sending host has no IPv6",
		},
		{
			ID: "gmail-noconnect", Pattern: `The recipient server did not accept our requests to connect`,
			Kind: NoConnection, Contact: NoContact,
		},
		{
			ID: "postfix-lost", Pattern: `lost connection with \S+ while|conversation with \S+ timed out while`,
			Kind: BrokenOff, Contact: ContactBroken,
		},
		{
			ID: "postfix-said", Pattern: `host (?P<h>\S+?)\[(?P<ip>[^\]]+)\] said: (?P<code>\d{3})`, Kind: HostSpoke, Contact: ContactMade,
			Refused: "<h>",
		},
		{
			ID: "exim-remote", Pattern: `SMTP error from remote (mail server|mailer) after (?P<cmd>[A-Z ]+|end of data|pipelined \S+)`,
			Kind: HostSpoke, Contact: ContactMade, Refused: "the host in \"host X [ip]\"",
		},
		{
			ID: "postfix-refused-to-talk", Pattern: `refused to talk to me: (?P<code>\d{3})`, Kind: GreetingRefused, Contact: ContactMade,
			Means: "a policy; taken for temporary even where the code is 5yz",
		},
		{
			ID: "postfix-suspended", Pattern: `delivery temporarily suspended: `, Kind: NotTried,
			Means: "the destination was failing already, and the quoted error was met by another message",
		},
	}
}

// otherWordings tell why.
func otherWordings() []Wording {
	return []Wording{
		{
			ID: "greylist", Pattern: `(?i)gr[ae]y-?list|4[25]1.*(try again later|temporarily rejected)`, Kind: PolicyDeferral,
			Refused: "a policy of the remote; an attempt after the stated time should pass",
		},
		{ID: "tss04", Pattern: `\[TSS04\]`, Kind: ReputationDeferral, Refused: "Yahoo's policy on the sending address"},
		{ID: "loop", Pattern: `(?i)too many hops|hop count exceeded|loops back to myself|routing loop|possible mail loop`, Kind: GoesRound},
		{ID: "size", Pattern: `(?i)message size exceeds|message too (big|large)|5\.3\.4|552 5\.2\.3`, Kind: TooBig},
		{ID: "relay", Pattern: `(?i)relay(ing)? (access )?denied|unable to relay|not permitted to relay`, Kind: RelayRefused},
	}
}

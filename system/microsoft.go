package system

import "time"

// microsoft returns the systems of Microsoft.
func microsoft() []System {
	exchange := func(id, name, version, notes string, sources ...string) System {
		return System{
			ID: id, Family: "exchange", Name: name, Version: version, Kind: MTA,
			Policy:   exchangeHub(),
			Settings: exchangeSettings(),
			Where:    exchangeWhere,
			Reports:  "Action failed, Status 4.4.7, smtp;550 4.4.7 QUEUE.Expired; message expired",
			Notes:    notes,
			Sources: append(sources, "MicrosoftDocs/office-docs-powershell@93336da "+
				"exchange/exchange-ps/ExchangePowerShell/Set-TransportServer.md, Set-TransportService.md"),
			Confidence: High,
		}
	}
	const (
		intervals2013 = "MicrosoftDocs/OfficeDocs-Exchange@52e8b70 Exchange/ExchangeServer2013/" +
			"message-retry-resubmit-and-expiration-intervals-exchange-2013-help.md"
		intervals = "MicrosoftDocs/OfficeDocs-Exchange@52e8b70 Exchange/ExchangeServer/mail-flow/queues/message-intervals.md"
		priority  = "MicrosoftDocs/OfficeDocs-Exchange@52e8b70 Exchange/ExchangeServer2013/priority-queuing-exchange-2013-help.md"
		byRank    = "Priority queuing, off as shipped, has clocks of its own: high expires after 8h and warns after 30m, low expires after 2d and warns after 8h."
	)
	edge := exchange("exchange-edge", "Exchange Edge Transport", "2007 to SE", "", intervals)
	edge.Policy.Retry = Ladder{{Every: time.Minute, Times: 4}, {Every: 10 * time.Minute, Times: 6}, {Every: 30 * time.Minute}}
	edge.Reports = ""
	return []System{
		exchange("exchange-2007", "Exchange Server 2007 (Hub Transport)", "2007",
			"Notices of delay are set per server. The words of its expiry were seen from 8.2.176.0 on, in June 2010.",
			"serverfault.com/questions/205200 (2 days)", intervals2013,
			"learn.microsoft.com/previous-versions ff339771 (hub 10 min, edge 30 min)", "pastebin.com/zeZFJvKs"),
		exchange("exchange-2010", "Exchange Server 2010", "2010", byRank, intervals2013, priority,
			"learn.microsoft.com/en-us/previous-versions/office/exchange-server-2010/aa998043(v=exchg.141)"),
		exchange("exchange-2013", "Exchange Server 2013", "2013",
			"A real report of 15.0.1104.5 came after 2d 13m 3s. "+byRank, intervals2013, priority,
			"sisimai/set-of-emails@18e585c maildir/bsd/lhost-exchange2007-05.eml (measured)"),
		exchange("exchange-2016-2019-SE", "Exchange Server 2016, 2019, SE", "2016 to SE", byRank, intervals, priority),
		edge,
		exchangeOnline(), exchangeOnline2018(), smtpService(),
	}
}

// exchangeHub is the policy of a Hub Transport or mailbox server.
func exchangeHub() Policy {
	return Policy{
		Lifetime: 2 * day,
		Expiry:   ByTimer,
		Rule:     "expires between attempts, by a timer that needs no failed attempt; seen 28 s to 13 min after the limit",
		Range:    [2]time.Duration{5 * time.Second, 90 * day},
		Retry:    Ladder{{Every: time.Minute, Times: 4}, {Every: 5 * time.Minute, Times: 6}, {Every: 10 * time.Minute}},
		// 15 min in the product pages and the programming pages of 2010 to 2013,
		// 5 min in today's page of the command.
		Deferred: Fixed{15 * time.Minute},
		Late:     13 * time.Minute,
		Sharp:    true,
		Apart: "no connection: the whole queue of that next hop goes to Retry and climbs glitch, transient and outbound failure; " +
			"a 4yz for one message: that message waits MessageRetryInterval; one clock for both",
		Warn: Warnings{Known: true, On: true, At: []time.Duration{4 * time.Hour}},
	}
}

const exchangeWhere = "Set-TransportServer (2007, 2010), Set-TransportService (2013 on); Bin\\EdgeTransport.exe.config"

func exchangeSettings() []Setting {
	return []Setting{
		{"MessageExpirationTimeout", "2.00:00:00 (5 s to 90 d)"},
		{"DelayNotificationTimeout", "04:00:00 (1 s to 30 d)"},
		{"InternalDelayDsnEnabled, ExternalDelayDsnEnabled", "true"},
		{"QueueGlitchRetryCount", "4 (0 to 15), in EdgeTransport.exe.config"},
		{"QueueGlitchRetryInterval", "1 min, in EdgeTransport.exe.config"},
		{"TransientFailureRetryCount", "6"},
		{"TransientFailureRetryInterval", "5 min on hub and mailbox servers, 10 min on edge servers"},
		{"OutboundConnectionFailureRetryInterval", "10 min on hub and mailbox servers, 30 min on edge servers"},
		{"MessageRetryInterval", "15 min by the product pages, 5 min by today's page of the command"},
		{"MailboxDeliveryQueueRetryInterval", "5 min"},
		{"MaxIdleTimeBeforeResubmit", "12 h"},
	}
}

func exchangeOnline() System {
	return System{
		ID: "exchange-online", Family: "exchange-online", Name: "Exchange Online, EOP", Version: "since June 2019", Kind: Hosted,
		Policy: Policy{
			Lifetime: day,
			Expiry:   ByTimer,
			Rule:     "timer",
			Retry:    Fixed{15 * time.Minute},
			Apart:    "one clock; the last code keeps the cause: 4.4.3xx becomes 5.4.3xx",
			Alike:    true,
			Warn: Warnings{Known: true, On: true, At: []time.Duration{4 * time.Hour},
				Note: "remembered, not verified"},
		},
		Where:   "not by the tenant (remembered)",
		Reports: "550 5.4.316 Message expired, connection refused(Socket error code 10061); 5.4.312 for DNS query failed; or 4.4.7",
		Notes:   "One of Microsoft's pages says both 24 hours and two days.",
		Sources: []string{
			"github.com/MicrosoftDocs/OfficeDocs-Exchange/pull/1097",
			"github.com/MicrosoftDocs/OfficeDocs-O365ServiceDescriptions/issues/161 (MC173908: 48 h became 24 h)",
			"github.com/MicrosoftDocs/microsoft-365-docs/pull/723 (every 15 min)",
			"MicrosoftDocs/OfficeDocs-Exchange@52e8b70 fix-error-code-550-4-4-7-in-exchange-online.md",
		},
		Confidence: High,
	}
}

func exchangeOnline2018() System {
	return System{
		ID: "exchange-online-2018", Family: "exchange-online", Name: "Exchange Online, outlook.com before June 2019",
		Version: "until June 2019", Kind: Hosted,
		Policy: Policy{
			Lifetime: 2 * day,
			Expiry:   ByTimer,
			Rule:     "timer; seen 28 s after the limit",
			Retry:    Fixed{15 * time.Minute},
			Late:     28 * time.Second,
			Apart:    "one clock; the last code keeps the cause: 4.4.3xx becomes 5.4.3xx",
			Alike:    true,
			Warn: Warnings{Known: true, On: true, At: []time.Duration{4 * time.Hour},
				Note: "remembered, not verified"},
		},
		Sources: []string{
			"sisimai/set-of-emails@18e585c maildir/bsd/lhost-office365-08.eml (2 d 0 h 0 m 28 s, measured)",
			"github.com/MicrosoftDocs/OfficeDocs-O365ServiceDescriptions/issues/161",
		},
		Confidence: High,
	}
}

func smtpService() System {
	return System{
		ID: "ms-smtpsvc", Family: "ms-smtpsvc", Name: "Windows SMTP service (IIS, Exchange 2000 and 2003, old Hotmail)",
		Version: "6.0 to 7.5", Kind: MTA,
		Policy: Policy{
			Lifetime: 2 * day,
			Retry:    List{Gaps: []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour}, Then: 4 * time.Hour},
			Warn:     Warnings{Known: true, On: true, At: []time.Duration{12 * time.Hour}},
		},
		Where:   "SMTP virtual server, tab Delivery (remembered)",
		Reports: "Status 4.4.7, which its notice of delay bears too",
		Notes:   "The gaps are remembered, not verified.",
		Sources: []string{
			"sisimai/set-of-emails@18e585c maildir/bsd/lhost-outlook-06.eml (notice after 12 h 2 min, Will-Retry-Until after 2 d, measured)",
		},
		Confidence: Medium,
	}
}

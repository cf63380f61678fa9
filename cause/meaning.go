package cause

// fact is what is to be said of a kind. "Us" and "our" are avoided: the words
// serve for every system's bounces.
type fact struct {
	end     End
	meaning string
	doNow   string
	fix     []Fix
}

const (
	otherWay  = "Reach the recipient another way"
	sendLater = "Send the message again later; if it is urgent, reach the recipient another way."
)

// factOf keeps the facts by kind: first what the sender wrote, then mailboxes,
// policy, and last the systems and the network between them.
func factOf(k Kind) fact {
	switch {
	case k <= SystemFull:
		return addressFact(k)
	case k <= NotNow:
		return policyFact(k)
	}
	return systemFact(k)
}

func addressFact(k Kind) fact {
	switch k {
	case UserUnknown:
		return fact{AtSender, "The receiving server does not know this address.",
			"Check the address for a typing error, correct it and send the message again. If it is right, ask the recipient another way for an address that works.",
			[]Fix{{Sender, "correct the address"}, {ReceiverAdmin, "set up the mailbox or an alias, if this address should exist"}}}
	case BadAddress:
		return fact{AtSender, "The address is not written as a mail address must be.",
			"Check the address for a typing error, correct it and send the message again.",
			[]Fix{{Sender, "correct the address"}}}
	case HostUnknown:
		return fact{AtSender, "The domain of this address, the part after the @, does not exist.",
			"Check the part after the @ for a typing error, correct it and send the message again.",
			[]Fix{{Sender, "correct the address"}, {ReceiverAdmin, "put the domain back into the DNS, if it should exist"}}}
	case NotMailHost:
		return fact{AtSender, "The domain of this address states that it takes no mail at all.",
			"Check the part after the @ for a typing error. If it is right, ask the recipient another way for an address that works.",
			[]Fix{{Sender, "use another address"}, {ReceiverAdmin, "publish a mail server (MX) for the domain, if it should take mail"}}}
	case NoAddress:
		return fact{AtDNS, "The domain of this address exists, but it names no server that takes its mail.",
			"Check the part after the @ for a typing error. If it is right, tell the recipient another way.",
			[]Fix{{Sender, "correct the address"}, {ReceiverAdmin, "publish MX and address records that lead to a mail server"}}}
	case Moved:
		return fact{AtMailbox, "The recipient has moved to another address.",
			"Send the message to the new address. The server's answer may name it.",
			[]Fix{{Sender, "use the new address"}}}
	case Disabled:
		return fact{AtMailbox, "The mailbox exists, but it is switched off.",
			otherWay + ", and ask for an address that works.",
			[]Fix{{ReceiverAdmin, "switch the mailbox on again, if it should be in use"}, {Sender, "use another address"}}}
	case MailboxFull:
		return fact{AtMailbox, "The recipient's mailbox is full.",
			"Tell the recipient another way that the mailbox is full, and send the message again when there is room.",
			[]Fix{{Recipient, "delete mail, or get more room"}, {ReceiverAdmin, "raise the mailbox's limit"}}}
	case SystemFull:
		return fact{AtHost, "The receiving server has no room left for mail.", sendLater,
			[]Fix{{ReceiverAdmin, "make room on the receiving server"}}}
	}
	return fact{AtUnknown, "The reason is only in the server's own words.",
		"Read the server's words. If they tell you nothing, show this letter to your mail administrator.",
		[]Fix{{SenderAdmin, "read the words of the host that spoke, and its documentation"}}}
}

func policyFact(k Kind) fact {
	exception := Fix{ReceiverAdmin, "make an exception for this sender, if the mail is wanted"}
	switch k {
	case TooLarge:
		return fact{AtSender, "The message is larger than the receiving server takes.",
			"Make the message smaller, or put the large parts where the recipient can fetch them and send a link.",
			[]Fix{{Sender, "send less at once"}, {ReceiverAdmin, "raise the size limit"}}}
	case RelayDenied:
		return fact{AtHost, "The server that was reached does not take mail for this address from the sending server.",
			"Check the address. If it is right, show this letter to your mail administrator.",
			[]Fix{{ReceiverAdmin, "point the domain's MX to the right server, or let that server take the domain's mail"},
				{SenderAdmin, "if it is a smarthost: log in to it, or have it let this server in"}}}
	case SenderRefused:
		return fact{AtPolicy, "The receiving server does not accept the sender's address.",
			"Check that your own address is right and can receive mail, then send again. Else show this letter to your mail administrator.",
			[]Fix{{SenderAdmin, "make sure that the sender's address and its domain exist and can receive mail"}, exception}}
	case Reputation:
		return fact{AtPolicy, "The receiving server does not trust the server that sends your mail: its network address has a bad name there or is on a blocklist.",
			"Do not send it again unchanged. Show this letter to your mail administrator; meanwhile reach the recipient another way.",
			[]Fix{{SenderAdmin, "find out why the sending address is listed, stop the cause, then ask for its removal"}, exception}}
	case NoReverse:
		return fact{AtPolicy, "The receiving server found no proper name in the DNS for the server that sends your mail.",
			"Show this letter to your mail administrator; meanwhile reach the recipient another way.",
			[]Fix{{SenderAdmin, "give the sending address a name in the DNS (PTR) which leads back to it"}, exception}}
	case Authentication:
		return fact{AtPolicy, "The receiving server could not verify that the message really comes from the sender's domain (SPF, DKIM or DMARC).",
			"Show this letter to your mail administrator; meanwhile reach the recipient another way.",
			[]Fix{{SenderAdmin, "name the sending server in the domain's SPF record, sign with DKIM, and let both fit the From address (DMARC)"}, exception}}
	case Spam:
		return fact{AtPolicy, "The receiving server takes the message for spam.",
			"Do not send it again unchanged. " + otherWay + ", or write it differently, with fewer links and attachments.",
			[]Fix{{Sender, "change what makes the message look like spam"}, {ReceiverAdmin, "make an exception for this sender, if the mail is wanted"}, {SenderAdmin, "check what else is sent from the same server"}}}
	case Virus:
		return fact{AtSender, "The receiving server takes something in the message for malware.",
			"Check your computer and the attachment for malware before you send anything again.",
			[]Fix{{Sender, "send it without the attachment"}, {SenderAdmin, "check the sender's computer"}}}
	case Content:
		return fact{AtPolicy, "The receiving server does not accept something in the message, such as an attachment or its form.",
			"Leave out what the server's words name, or send it in another form.",
			[]Fix{{Sender, "change the message as the server's words say"}, exception}}
	case NotCompliant:
		return fact{AtSender, "The receiving server finds the message not formed as the standards for mail ask.",
			"Send it with another mail program, or show this letter to your mail administrator.",
			[]Fix{{SenderAdmin, "mend the program that makes the messages"}, exception}}
	case Rate:
		return fact{AtPolicy, "The receiving side limits how much mail it takes in a given time.", sendLater,
			[]Fix{{SenderAdmin, "send more slowly, and look for an account that sends too much"}, {ReceiverAdmin, "raise the limit for this sender"}}}
	case Greylisted:
		return fact{AtPolicy, "The receiving server asked to be tried again later, as it does with senders it does not know yet.",
			sendLater,
			[]Fix{{SenderAdmin, "keep trying from the same address: that is all a greylist asks"}, {ReceiverAdmin, "let this sender in without waiting"}}}
	case NotNow:
		return fact{AtPolicy, "The receiving server does not take mail for this address at the moment.", sendLater,
			[]Fix{{ReceiverAdmin, "find out why this address is deferred"}}}
	}
	return fact{AtPolicy, "A rule of the receiving side does not let the message in.",
		"Do not send it again unchanged. " + otherWay + ", and show this letter to your mail administrator.",
		[]Fix{{ReceiverAdmin, "name the rule, and make an exception if the mail is wanted"}, {SenderAdmin, "ask the receiving side which rule it was"}}}
}

func systemFact(k Kind) fact {
	tellThem := "Tell the recipient another way, and send the message again when their mail works."
	switch k {
	case Security:
		return fact{AtOurs, "The next server wants a login that was missing, wrong or not possible.",
			"Show this letter to your mail administrator.",
			[]Fix{{SenderAdmin, "check the user name, the password and the encryption of this route"}}}
	case TLS:
		return fact{AtHost, "No encrypted connection could be made as the rules for this mail demand.",
			"Show this letter to your mail administrator; meanwhile reach the recipient another way.",
			[]Fix{{ReceiverAdmin, "mend the certificate or the encryption of the receiving server"}, {SenderAdmin, "check what this route demands of the encryption"}}}
	case Syntax:
		return fact{AtOurs, "The two mail servers did not understand each other.",
			"Show this letter to your mail administrator.",
			[]Fix{{SenderAdmin, "compare what was sent with the words of the host"}, {ReceiverAdmin, "look for a fault in the receiving server, or a firewall that changes SMTP"}}}
	case NoUTF8:
		return fact{AtHost, "The receiving server cannot take addresses or headers with letters beyond plain ASCII.",
			"Ask the recipient another way for an address in plain letters.",
			[]Fix{{Sender, "use an address in plain letters"}, {ReceiverAdmin, "offer SMTPUTF8"}}}
	case Refused:
		return fact{AtHost, "The receiving server's machine refuses the connection: no mail service is listening there.",
			tellThem,
			[]Fix{{ReceiverAdmin, "start the mail service, open port 25 in the firewall, or correct the MX"}}}
	case Timeout:
		return fact{AtHost, "The receiving server does not answer.", tellThem,
			[]Fix{{ReceiverAdmin, "see that the server is up, that no firewall drops port 25, and that the MX names the right host"}, {SenderAdmin, "see that outgoing connections to port 25 are possible"}}}
	case Unreachable:
		return fact{AtHost, "No connection to the receiving server could be made.", tellThem,
			[]Fix{{ReceiverAdmin, "see that the server is up, that its mail service and port 25 are open, and that the MX names the right host"}, {SenderAdmin, "see that outgoing connections to port 25 are possible"}}}
	case NoRoute:
		return fact{AtNetwork, "The network has no way to the receiving server.", tellThem,
			[]Fix{{ReceiverAdmin, "mend the network in front of the server, or its address in the DNS"}, {SenderAdmin, "check the sending server's own network"}}}
	case Broken:
		return fact{AtNetwork, "The connection to the receiving server broke off before the message was handed over.", tellThem,
			[]Fix{{ReceiverAdmin, "look for load, a firewall or a scanner that cuts connections"}, {SenderAdmin, "check the sending server's own network"}}}
	case DNS:
		return fact{AtDNS, "The name service (DNS) gave no answer about the domain, so that no server could be found for it.", tellThem,
			[]Fix{{ReceiverAdmin, "mend the name servers of the domain"}, {SenderAdmin, "check the resolver that the sending server asks"}}}
	case Loop:
		return fact{AtHost, "The message goes round in a circle between mail servers.",
			"Tell the recipient another way: only their administrator can end the circle.",
			[]Fix{{ReceiverAdmin, "correct the forwarding, or the MX that leads back to the sending server"}, {SenderAdmin, "check the routes of the sending server"}}}
	case System:
		return fact{AtHost, "The receiving server has trouble of its own.", sendLater,
			[]Fix{{ReceiverAdmin, "look into the log of the receiving server"}}}
	case Program:
		return fact{AtHost, "The program that puts mail into the mailbox failed on the receiving side.", sendLater,
			[]Fix{{ReceiverAdmin, "look into the log of that program"}}}
	case Suppressed:
		return fact{AtOurs, "The sending service no longer sends to this address, because earlier mail to it came back.",
			"Check the address. If it works again, ask the sending service to take it off its list.",
			[]Fix{{SenderAdmin, "take the address off the suppression list"}}}
	case Expired:
		return fact{AtUnknown, "The time limit of the server that had the message ended before it could be delivered.",
			"Ask your mail administrator what the last trouble was, then send the message again.",
			[]Fix{{SenderAdmin, "look up the last error in that server's log"}}}
	case Late:
		return fact{AtSender, "The message could not be delivered within the time that was asked for it.",
			"If it is still of use, send the message again with more time.",
			[]Fix{{Sender, "allow more time"}}}
	case Ambiguous:
		return fact{AtNetwork, "The whole message was sent, but the connection was lost before the receiving server confirmed it.",
			"Ask the recipient whether the message is there before you send it again.",
			[]Fix{{ReceiverAdmin, "look for the message in the log, and for what cuts connections after the final dot"}}}
	}
	return fact{AtOurs, "The server that has the message had a fault of its own.",
		"Show this letter to your mail administrator, then send the message again.",
		[]Fix{{SenderAdmin, "look into the log of that server"}}}
}

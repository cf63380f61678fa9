package cause

import (
	"github.com/postrider/postrider/mail"
)

// Meaning of a status without its class (RFC 3463, the registry of RFC 5248 and
// the documents that extend it).
type Meaning struct {
	Subject, Detail uint16
	Name            string
	Kind            Kind
	// Exact: hosts mean this by it. Without it the status is used for so much
	// that any wording beside it says more.
	Exact bool
	Ends  []End // where the trouble sits
	Fix   []Who // who can change it
}

// Status returns what a status stands for. A detail that nobody has registered
// falls back to the meaning of its subject alone (RFC 5248: use class and
// subject); ok is false when even that is not known.
func Status(s mail.Status) (m Meaning, ok bool) {
	for _, m := range registry {
		if m.Subject == s[1] && m.Detail == s[2] {
			return m, true
		}
	}
	if s[2] != 0 && !s.IsZero() {
		m, ok = Status(mail.Status{s[0], s[1], 0})
		m.Detail, m.Exact = s[2], false
		return m, ok
	}
	return Meaning{}, false
}

// statusKind returns the kind a reply's status stands for, and whether hosts
// mean it. A class that contradicts the code ("550 4.4.7") makes it inexact.
func statusKind(r mail.Reply) (Kind, bool) {
	if r.Status.IsZero() {
		return Unknown, false
	}
	if k := vendorKind(r.Status); k != Unknown {
		return k, true
	}
	m, ok := Status(r.Status)
	if !ok {
		return Unknown, false
	}
	if r.Code != 0 && int(r.Status[0]) != r.Code/100 {
		m.Exact = false
	}
	if r.Status[0] == 4 && m.Kind == Security {
		m.Exact = false
	}
	return m.Kind, m.Exact
}

// vendorKind knows the numbers that Microsoft 365 adds to the registry, as its
// list of non-delivery reports documents them.
func vendorKind(s mail.Status) Kind {
	n := s[2]
	switch {
	case s[1] == 4 && n == 312:
		return DNS
	case s[1] == 4 && n == 316:
		return Refused
	case s[1] == 7 && n >= 500 && n <= 508, s[1] == 7 && n >= 510 && n <= 514:
		return Policy
	case s[1] == 7 && (n == 509 || n == 515):
		return Authentication
	case s[1] == 7 && n >= 520 && n <= 535:
		return Policy
	case s[1] == 7 && n >= 606 && n <= 649:
		return Reputation
	case s[1] == 7 && (n >= 650 && n <= 699 || n >= 700 && n <= 749 || n >= 850 && n <= 899):
		return Rate
	}
	return Unknown
}

// codeKind is the last resort: a reply code with a meaning of its own.
func codeKind(r mail.Reply, stage mail.Stage) Kind {
	switch r.Code {
	case 521:
		return NotMailHost // RFC 7504
	case 523, 538, 530, 534, 535, 432, 525, 454:
		if stage == mail.Auth {
			return Security
		}
	case 551:
		return Moved // RFC 5321 4.2.3
	case 556:
		return NotMailHost // RFC 7505
	case 500, 501, 502, 503, 504:
		return Syntax
	case 555:
		return Syntax
	case 451:
		return System // RFC 5321 4.2.2: "local error in processing"
	case 452:
		return SystemFull
	}
	return Unknown
}

// registry is the registry as data.
var registry = statuses()

func statuses() []Meaning {
	type (
		ends = []End
		who  = []Who
	)
	return []Meaning{
		{0, 0, "other or undefined", Unknown, false, ends{AtUnknown}, nil},

		{1, 0, "other address trouble", Unknown, false, ends{AtSender, AtHost}, who{Sender}},
		{1, 1, "no such mailbox", UserUnknown, true, ends{AtSender}, who{Sender, ReceiverAdmin}},
		{1, 2, "no such domain or system", HostUnknown, true, ends{AtSender, AtDNS}, who{Sender, ReceiverAdmin}},
		{1, 3, "bad syntax of the recipient's address", BadAddress, true, ends{AtSender}, who{Sender}},
		{1, 4, "ambiguous recipient address", UserUnknown, false, ends{AtSender}, who{Sender}},
		{1, 5, "address valid", Unknown, false, nil, nil},
		{1, 6, "mailbox has moved", Moved, true, ends{AtMailbox}, who{Sender}},
		{1, 7, "bad syntax of the sender's address", SenderRefused, true, ends{AtOurs, AtSender}, who{SenderAdmin}},
		{1, 8, "bad domain of the sender's address", SenderRefused, true, ends{AtOurs}, who{SenderAdmin}},
		{1, 9, "relayed to a host without delivery reports", Unknown, false, nil, nil},
		{1, 10, "recipient's domain takes no mail (null MX)", NotMailHost, true, ends{AtSender}, who{Sender, ReceiverAdmin}},

		{2, 0, "other mailbox trouble", Unknown, false, ends{AtMailbox}, who{ReceiverAdmin}},
		{2, 1, "mailbox disabled", Disabled, false, ends{AtMailbox}, who{ReceiverAdmin}},
		{2, 2, "mailbox full", MailboxFull, true, ends{AtMailbox}, who{Recipient}},
		{2, 3, "larger than the mailbox takes", TooLarge, true, ends{AtSender}, who{Sender}},
		{2, 4, "mailing list could not be expanded", System, false, ends{AtHost}, who{ReceiverAdmin}},

		{3, 0, "other trouble of the mail system", System, false, ends{AtHost}, who{ReceiverAdmin}},
		{3, 1, "mail system full", SystemFull, true, ends{AtHost}, who{ReceiverAdmin}},
		{3, 2, "system does not accept mail now", System, false, ends{AtHost}, who{ReceiverAdmin}},
		{3, 3, "system lacks a feature the message needs", Syntax, false, ends{AtHost}, who{SenderAdmin, ReceiverAdmin}},
		{3, 4, "larger than the system takes", TooLarge, true, ends{AtSender}, who{Sender}},
		{3, 5, "system is set up wrongly", System, false, ends{AtHost}, who{ReceiverAdmin}},
		{3, 6, "priority changed", Unknown, false, nil, nil},

		{4, 0, "other network trouble", Unknown, false, ends{AtNetwork}, who{ReceiverAdmin, SenderAdmin}},
		{4, 1, "no answer from the host", Timeout, false, ends{AtHost, AtNetwork}, who{ReceiverAdmin}},
		{4, 2, "connection broke", Broken, true, ends{AtNetwork, AtHost}, who{ReceiverAdmin, SenderAdmin}},
		{4, 3, "name service failed", DNS, true, ends{AtDNS}, who{ReceiverAdmin}},
		{4, 4, "no route to the domain", NoAddress, true, ends{AtDNS, AtOurs}, who{ReceiverAdmin, SenderAdmin}},
		{4, 5, "mail system congested", Rate, false, ends{AtHost}, who{ReceiverAdmin}},
		{4, 6, "mail loop", Loop, true, ends{AtHost, AtOurs}, who{ReceiverAdmin}},
		{4, 7, "time for delivery ended", Expired, true, ends{AtUnknown}, who{SenderAdmin}},

		{5, 0, "other protocol trouble", Syntax, false, ends{AtHost, AtOurs}, who{SenderAdmin}},
		{5, 1, "invalid command", Syntax, false, ends{AtOurs}, who{SenderAdmin}},
		{5, 2, "syntax error", Syntax, true, ends{AtOurs}, who{SenderAdmin}},
		{5, 3, "too many recipients", Rate, true, ends{AtOurs}, who{SenderAdmin}},
		{5, 4, "invalid arguments of a command", Syntax, false, ends{AtOurs}, who{SenderAdmin}},
		{5, 5, "wrong protocol version", Syntax, true, ends{AtOurs}, who{SenderAdmin}},
		{5, 6, "authentication line too long", Syntax, true, ends{AtOurs}, who{SenderAdmin}},

		{6, 0, "other trouble with the content", Content, false, ends{AtSender}, who{Sender}},
		{6, 1, "kind of content not supported", Content, true, ends{AtSender}, who{Sender}},
		{6, 2, "content would have to be converted, which is forbidden", Content, true, ends{AtSender}, who{Sender}},
		{6, 3, "content would have to be converted, which is not supported", Content, true, ends{AtSender}, who{Sender, ReceiverAdmin}},
		{6, 4, "content was converted with loss", Unknown, false, nil, nil},
		{6, 5, "content could not be converted", Content, true, ends{AtHost}, who{Sender}},
		{6, 6, "content not available", Content, true, ends{AtSender}, who{Sender}},
		{6, 7, "address beyond ASCII not permitted", NoUTF8, true, ends{AtSender}, who{Sender, ReceiverAdmin}},
		{6, 8, "reply in UTF-8 needed and not permitted", NoUTF8, true, ends{AtOurs}, who{SenderAdmin}},
		{6, 9, "header beyond ASCII cannot be passed on", NoUTF8, true, ends{AtHost}, who{ReceiverAdmin}},

		{7, 0, "other trouble with security or policy", Policy, false, ends{AtPolicy}, who{SenderAdmin, ReceiverAdmin}},
		{7, 1, "not permitted", Policy, false, ends{AtPolicy}, who{SenderAdmin, ReceiverAdmin}},
		{7, 2, "sending to this list is not permitted", Policy, true, ends{AtPolicy}, who{ReceiverAdmin}},
		{7, 3, "content would have to be decrypted, which is not possible", Content, false, ends{AtPolicy}, who{Sender}},
		{7, 4, "security feature not supported", TLS, false, ends{AtPolicy}, who{SenderAdmin, ReceiverAdmin}},
		{7, 5, "encryption failed", TLS, false, ends{AtHost, AtOurs}, who{ReceiverAdmin}},
		{7, 6, "algorithm not supported", TLS, false, ends{AtPolicy}, who{SenderAdmin}},
		{7, 7, "message was changed on its way", Authentication, false, ends{AtNetwork}, who{SenderAdmin}},
		{7, 8, "login refused", Security, true, ends{AtSender}, who{Sender}},
		{7, 9, "way of login too weak", Security, false, ends{AtSender}, who{Sender}},
		{7, 10, "encryption needed", TLS, true, ends{AtPolicy}, who{SenderAdmin}},
		{7, 11, "encryption needed for this way of login", Security, true, ends{AtSender}, who{Sender}},
		{7, 12, "password must be changed over", Security, true, ends{AtSender}, who{Sender}},
		{7, 13, "account disabled", Disabled, false, ends{AtSender}, who{SenderAdmin}},
		{7, 14, "relation of trust needed", Policy, true, ends{AtPolicy}, who{SenderAdmin}},
		{7, 15, "priority too low", Policy, true, ends{AtPolicy}, who{Sender}},
		{7, 16, "too large for its priority", TooLarge, true, ends{AtSender}, who{Sender}},
		{7, 17, "mailbox has another owner now", Moved, true, ends{AtMailbox}, who{Sender}},
		{7, 18, "domain has another owner now", Moved, true, ends{AtMailbox}, who{Sender}},
		{7, 19, "change of owner could not be ruled out", Policy, true, ends{AtHost}, who{Sender}},
		{7, 20, "no passing DKIM signature", Authentication, true, ends{AtOurs}, who{SenderAdmin}},
		{7, 21, "no acceptable DKIM signature", Authentication, true, ends{AtOurs}, who{SenderAdmin}},
		{7, 22, "no DKIM signature of the author's domain", Authentication, true, ends{AtOurs}, who{SenderAdmin}},
		{7, 23, "SPF failed", Authentication, true, ends{AtOurs}, who{SenderAdmin}},
		{7, 24, "SPF could not be evaluated", Authentication, true, ends{AtDNS}, who{SenderAdmin}},
		{7, 25, "reverse DNS failed", NoReverse, true, ends{AtOurs}, who{SenderAdmin}},
		{7, 26, "several authentication checks failed", Authentication, true, ends{AtOurs}, who{SenderAdmin}},
		{7, 27, "sender's domain takes no mail (null MX)", SenderRefused, true, ends{AtOurs}, who{SenderAdmin}},
		{7, 28, "flood of mail", Rate, true, ends{AtPolicy}, who{SenderAdmin}},
		{7, 29, "ARC chain not valid", Authentication, true, ends{AtOurs}, who{SenderAdmin}},
		{7, 30, "REQUIRETLS not supported", TLS, true, ends{AtHost}, who{ReceiverAdmin, Sender}},
	}
}

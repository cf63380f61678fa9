package cause

import (
	"slices"
	"strings"

	"github.com/postrider/postrider/mail"
)

// words is a host's text made ready for matching.
type words struct {
	all   string // lower case, one line
	plain string // the same without addresses, links and angle brackets
}

// newWords drops what a rule must not stumble over: "<spam@example.com>: user
// unknown" is not about spam.
func newWords(text string) words {
	all := strings.ToLower(strings.Join(strings.Fields(text), " "))
	var keep []string
	for w := range strings.FieldsSeq(all) {
		switch {
		case strings.Contains(w, "@"), strings.Contains(w, "://"), strings.HasPrefix(w, "www."):
			if i := strings.IndexByte(w, '>'); i >= 0 && i+1 < len(w) {
				keep = append(keep, w[i+1:])
			}
			continue
		}
		keep = append(keep, w)
	}
	return words{all, strings.Join(keep, " ")}
}

// rule says that a host which uses one of these phrases means this kind. A "*"
// in a phrase stands for up to 40 other octets.
type rule struct {
	kind   Kind
	strong bool // nobody uses the phrase for anything else
	links  bool // look into links and addresses too
	class  int  // of the reply code; 0: any
	phrase []string
}

// wording returns what the words of a reply mean by the first rule that fits,
// and whether the wording alone is proof.
func wording(w words, r mail.Reply) (Kind, bool) {
	for _, rule := range rules() {
		if rule.class != 0 && rule.class != r.Code/100 {
			continue
		}
		text := w.plain
		if rule.links {
			text = w.all
		}
		if slices.ContainsFunc(rule.phrase, func(p string) bool { return like(text, p) }) {
			return rule.kind, rule.strong
		}
	}
	return Unknown, false
}

// like reports whether text holds the phrase.
func like(text, phrase string) bool {
	head, rest, more := strings.Cut(phrase, "*")
	for from := 0; ; {
		i := strings.Index(text[from:], head)
		if i < 0 {
			return false
		}
		after := from + i + len(head)
		if !more {
			return true
		}
		next, _, _ := strings.Cut(rest, "*")
		if near := text[after:min(len(text), after+40+len(next))]; strings.Contains(near, next) && like(text[after:], rest) {
			return true
		}
		from += i + 1
	}
}

// rules are the wordings of the world, the narrower before the wider. Each was
// said by a real host; where two kinds share a phrase it is not here.
func rules() []rule {
	return slices.Concat(senderRules(), mailboxRules(), systemRules())
}

// senderRules: who sends, how much, and how it is proven.
func senderRules() []rule {
	return []rule{
		{NoReverse, true, false, 0, []string{
			"reverse dns", "no reverse", "without reverse", "ptr record", "no ptr", "missing ptr", "cannot find your hostname",
			"cannot find your reverse hostname", "fix reverse", "unverifyable sending ip", "no rdns", "does not have a valid rdns",
			"helo*does not match*reverse", "client host rejected: may not be mail exchanger", "ip name lookup failed", "ip address without a name",
			"dns ptr", "does not resolve to a hostname", "reverse-dns", "lacks a valid ptr"}},
		{Authentication, true, false, 0, []string{
			"dmarc", "dkim fail", "dkim check", "dkim signature not", "dkim signature is", "no dkim", "dkim=", "dkim valid", "dkim verif", "dkim auth", "pass dkim", "invalid dkim", "dkim did not", "dkim alignment", "authentication checks", "authentication information", "spf check", "spf fail", "spf hard", "spf soft", "fails spf", "failed spf", "spf record", "not pass spf", "spf validation", "spf unauthorized",
			"sender policy framework", "spf mismatch", "unauthenticated email", "unauthenticated mail", "required authentication level",
			"spf: fail", "spf=fail", "spf authentication", "not authorized*by spf", "spf policy", "arc validation"}},
		{Authentication, true, true, 0, []string{"openspf.org", "open-spf.org", "/?p=unauthenticated", "spf.pobox.com"}},
		{Greylisted, true, false, 4, []string{
			"greylist", "graylist", "grey list", "gray list", "grey-list", "gray-list", "come back in", "come back later", "first time sender"}},
		{Greylisted, true, true, 4, []string{"greylist"}},
		{Rate, true, false, 4, []string{
			"receiving mail at a rate", "receiving mail too quickly", "user you are trying to contact is receiving", "unusual rate of unsolicited"}},
		{Reputation, true, true, 0, []string{
			"spamhaus", "spamcop", "barracudacentral", "sorbs.net", "abuseat.org", "dnsbl", "rbl.", " rbl", "mailspike", "uceprotect", "invaluement",
			"senderscore", "senderbase", "cloudmark.com/reset", "blocklist", "blacklist", "block list", "black list", "zen.spam", "s3140", "s3150",
			"[bl21]", "proofpoint.com/blocked", "ipremoval", "backscatterer"}},
		{Reputation, true, false, 0, []string{
			"poor reputation", "bad reputation", "low reputation", "reputation of", "ip reputation", "domain reputation", "your reputation", "sender reputation",
			"banned sending ip", "messages from * weren't sent", "your ip*blocked", "ip address*blocked", "client host blocked", "ip*has been blocked",
			"blocked for abuse", "blocked using", "blocked by our", "adresse ip source bloquee", "connection refused due to abuse",
			"your host*blocked", "sending ip*blocked", "is blocked by", "blocked for spam", "cdrbl", "listed in", "listed at", "unsolicited mail originating from your ip",
			"dynamic ip", "dynamic address", "dynamically assigned", "dynamic/residential"}},
		{Rate, true, false, 0, []string{
			"too many messages", "too many connections", "too many concurrent", "too many recipients", "too many emails", "too many mails", "too many sessions",
			"too many errors", "rate limit", "rate-limit", "ratelimit", "rate of unsolicited", "exceeded the rate", "sending too fast", "too much mail", "throttl", "unusual rate",
			"unexpected volume", "exceeded*quota for sending", "exceeded*hourly", "exceeded*messages per", "daily relay quota", "daily sending quota", "sending limit", "max*messages per",
			"try again later, closing connection", "concurrent connections", "connection rate", "temporarily rate", "temporarily limited", "mail flood", "message limit exceeded",
			"connections from your host", "has sent to too many", "per connection limit", "tss04"}},
		{RelayDenied, true, false, 0, []string{
			"relay access denied", "relaying denied", "relay not permitted", "unable to relay", "not permitted to relay", "relaying not allowed", "relaying prohibited",
			"no relaying", "relaying is not", "relay denied", "relaying is prohibited", "relay not allowed", "we do not relay", "not a relay", "relay operation rejected", "open relay",
			"isn't in my list of allowed rcpthosts", "not in my list of allowed rcpthosts", "no valid cert for gatewaying", "not gateway", "mail relay refused",
			"not allowed to relay", "relaying mail to", "does not relay", "not relayed", "must be authenticated to relay", "we don't handle mail for", "we do not handle mail for", "not hosted here", "domain not hosted"}},
		{SenderRefused, true, false, 0, []string{
			"sender address rejected", "sender rejected", "sender verify fail", "unroutable sender", "sender domain*not exist", "domain of sender address",
			"sender*domain*not found", "invalid sender", "sender denied", "sender is not", "bad sender", "sender verification failed", "verify sender", "callback setup failed",
			"sender unknown", "from: domain is invalid", "sender address is invalid", "sender's domain", "sender address does not", "mail from*rejected", "envelope sender", "sender address has been"}},
		{NotCompliant, true, false, 0, []string{"duplicate header", "multiple addresses in from", "multiple from", "rfc 5322", "rfc5322", "rfc 2822", "rfc2822", "not rfc"}},
		{SenderRefused, false, false, 0, []string{"is not verified", "no such domain", "does not exist e2110", "return path", "from address", "reverse-path", "address is not allowed to send"}},
	}
}

// mailboxRules: the recipient, the mailbox and the message.
func mailboxRules() []rule {
	return []rule{
		{NotMailHost, true, false, 0, []string{"null mx", "nullmx", "does not accept mail", "does not accept email", "doesn't accept mail", "accepts no mail", "no mail accepted", "not accepting network messages", "system does not accept mail", "host does not receive mail", "does not receive mail", "smtp service not available here"}},
		{NoAddress, true, false, 0, []string{"no relevant answers", "no mx found", "no mx record", "couldn't find a mail exchanger", "no mail exchanger", "no valid ip addresses", "has no mx", "no mail server*for domain", "no mail hosts"}},
		{HostUnknown, true, false, 0, []string{"host unknown", "responded with code nxdomain", "domain*couldn't be found", "domain is not reachable", "domain not found", "unknown host", "invalid domain", "no such host", "domain*does not exist", "name service error*host not found", "host not found", "nxdomain", "bad destination system", "domain name not found", "host or domain name not found", "unrouteable mail domain", "non-existent domain", "name or service not known", "bad destination host"}},
		{Program, true, false, 0, []string{"procmail:", "mailer*died", "pipe to", "command died", "exit status", "x-unix", "unknown mailer error", "can't create output", "local mailer"}},
		{MailboxFull, true, false, 0, []string{
			"mailbox full", "mailbox is full", "mailbox*full", "over quota", "overquota", "over*quota", "quota exceeded", "exceeded*quota", "quota*exceeded", "exceeds*quota", "out of storage", "storage quota",
			"not enough space*mailbox", "insufficient mailbox", "inbox is full", "inbox full", "account is full", "maildir*full", "user is over", "mailbox size limit", "mailbox has exceeded", "mailbox*exceeded",
			"exceeded storage", "exceeded its storage", "quota is full", "no space left in the mailbox", "mailbox for*is full", "not enough storage space", "no room in mailbox", "user*disk quota", "disk quota", "quota violation",
			"number of messages in recipient's mailbox exceeded", "would exceed*mailbox", "mailbox would exceed"}},
		{Moved, true, false, 0, []string{"has moved", "user moved", "new address is", "has changed their address", "recipient no longer on server", "address has changed", "moved to", "user has changed"}},
		{Disabled, true, false, 0, []string{
			"mailbox disabled", "mailbox is disabled", "account disabled", "account is disabled", "account has been disabled", "user is disabled", "account*disabled", "is disabled", "account suspended", "account*suspended", "mailbox*suspended",
			"mailbox is frozen", "account inactive", "account is inactive", "is inactive", "mailbox inactive", "account expired", "account has expired", "mailbox unavailable or access denied", "account is locked", "account locked", "user*suspended", "account closed",
			"mailbox is inactive", "user account is unavailable", "mailbox currently suspended", "mailbox temporarily disabled", "disabled recipient", "account is not active", "deactivated", "account that you tried to reach is disabled", "account that you tried to reach is inactive"}},
		{UserUnknown, true, false, 0, []string{
			"user unknown", "unknown user", "no such user", "no such recipient", "no such mailbox", "no such person", "no such address", "unknown recipient", "recipient unknown", "unknown local part", "unknown local-part",
			"user not found", "recipient not found", "recipientnotfound", "mailbox not found", "address not found", "mailbox does not exist", "user does not exist", "recipient does not exist", "account does not exist", "email address does not exist",
			"address does not exist", "account that you tried to reach does not exist", "doesn't have a", "doesn't exist", "not a known user", "unknown or illegal", "unknown address", "invalid recipient", "invalid mailbox", "invalid user", "user invalid",
			"no mailbox here", "unknown mailbox", "is not a valid mailbox", "not a valid mailbox", "not our customer", "user*not known", "does not exist here", "mailbox unknown", "no account by that name", "no mail box", "undeliverable address",
			"recipient address rejected: access denied", "recipient address rejected: undeliverable", "recipient address rejected: invalid", "not listed in", "unrouteable address", "no user here", "user*doesn't exist", "user*does not exist", "address unknown", "destinataire invalide", "adresse d au moins", "not exist on",
			"unknown virtual", "cannot find user", "could not find user", "user name of email address not valid", "not local mailbox", "no such local user", "local user*unknown", "alias unknown", "is not a user", "unknown account", "recipient*not exist", "no longer valid", "no longer available", "no valid recipients"}},
		{UserUnknown, true, true, 0, []string{"/?p=nosuchuser"}},
		{TooLarge, true, false, 0, []string{
			"message too big", "message too large", "message size", "size limit", "exceeds size", "too large", "too big", "exceeds*maximum size", "maximum message size", "exceeds fixed", "message length exceeds", "max message size", "line limit exceeded", "exceeds*size"}},
		{Loop, true, false, 0, []string{"mail loop", "too many hops", "hop count", "looping", "loops back", "loop detected", "routing loop", "message looping", "too many received", "forwarding loop", "delivery loop"}},
		{Virus, true, false, 0, []string{"virus", "malware", "trojan", "infected", "phishing"}},
		{Spam, true, false, 0, []string{
			"unsolicited bulk", "likely unsolicited", "unsolicited mail", "unsolicited email", "considered spam", "spam detected", "spam message", "message*spam", "spam score", "identified as spam", "classified as spam", "spam content", "detected as spam", "looks like spam",
			"rejected as spam", "appears to be spam", "spam rejected", "is spam", "high probability of spam", "suspected spam", "spam mail", "junk mail", "spam filter", "spam classification", "bulk email", "blocked as spam", "- spam", "spam."}},
		{Content, true, false, 0, []string{
			"attachment*not allowed", "attachment type", "file type", "executable", "banned content", "illegal attachment", "attachment*rejected", "prohibited attachment", "blocked attachment", "forbidden attachment", "body content", "not allowed*attachment", "header error"}},
		{NotCompliant, true, false, 0, []string{"rfc 5322", "rfc5322", "rfc 2822", "rfc2822", "not rfc", "multiple from", "missing from", "missing date", "invalid message header", "bare lf", "bare newline", "headers*invalid", "message format", "duplicate header", "not compliant", "malformed*header", "missing valid*message-id", "duplicated message-id", "from header"}},
	}
}

// systemRules: the hosts and what lies between them.
func systemRules() []rule {
	return []rule{
		{Security, true, false, 0, []string{"unauthenticated senders", "authentication required", "must authenticate", "requires authentication", "authentication failed", "auth required", "smtp authentication", "authenticate first", "authentication is required", "authentication credentials", "please authenticate", "authentication needed", "log in first", "requires smtp auth"}},
		{TLS, true, false, 0, []string{"starttls", "must issue a starttls", "tls required", "requires tls", "encryption required", "tls is required", "requires encryption", "tls not available", "certificate", "tls handshake", "encryption needed", "secure connection"}},
		{NoUTF8, true, false, 0, []string{"smtputf8", "internationalized", "non-ascii"}},
		{SystemFull, true, false, 0, []string{"insufficient system storage", "insufficient disk", "not enough disk", "no space left", "system storage", "disk full", "out of disk", "no disk space", "insufficient system resources", "insufficient storage"}},
		{Refused, true, false, 0, []string{"connection refused", "did not accept our requests to connect"}},
		{NoRoute, true, false, 0, []string{"no route to host", "network is unreachable"}},
		{Timeout, true, false, 0, []string{"connection timed out", "operation timed out"}},
		{Broken, true, false, 0, []string{"lost connection", "connection reset", "connection dropped", "reset by peer"}},
		{DNS, true, false, 0, []string{"name server*fail", "dns*temporar", "temporary dns", "servfail", "dns server", "temporary lookup failure for domain", "name service error"}},
		{Expired, true, false, 0, []string{"message expired", "queue.expired", "delivery expired", "envelope expired", "delivery time expired", "retry timeout exceeded", "too old", "in the queue too long", "giving up", "could not be delivered for", "failing for a long time", "unable to deliver*after"}},
		{Suppressed, true, false, 0, []string{"suppression list", "suppressed"}},
		{UserUnknown, false, false, 5, []string{"recipient rejected", "recipient refused", "user not local", "mailbox unavailable", "mailbox not available", "not a valid recipient", "recipient*not accepted", "not allowed to receive", "address rejected", "address error", "address invalid", "invalid address"}},
		{Spam, false, false, 0, []string{"spam", "junk", "unsolicited"}},
		{Reputation, false, false, 0, []string{"blocked", "client host rejected", "refused to talk", "bad host", "ip address"}},
		{Policy, false, false, 0, []string{"policy", "access denied", "not authorized", "not authorised", "administratively", "prohibited", "not permitted", "permission", "not allowed", "transaction failed due to", "rejected by*rule", "restrict", "forbidden", "refused by", "administrative"}},
		{System, false, false, 0, []string{"temporary failure", "temporarily unavailable", "internal error", "local error", "resources temporarily", "system error", "server error", "service unavailable", "service not available", "local problem", "server busy", "try again later", "system too busy", "resources", "configuration error", "lookup failure", "please try again", "temporary", "server configuration"}},
		{Syntax, false, false, 0, []string{"syntax error", "command not recognized", "unrecognized command", "bad sequence", "command unrecognized", "command not implemented", "parameter*not", "need rcpt", "need mail", "rcpt first", "out of sequence"}},
		{Content, false, false, 0, []string{"content rejected", "content"}},
	}
}

// Errno returns the kind that an operating system's error number or name in a
// text stands for: "[Errno 61] Connection refused", "Winsock error code:
// 10060", "ECONNREFUSED". Numbers differ between systems; where one number
// means two things the words beside it must decide.
func Errno(text string) Kind {
	text = strings.ToLower(text)
	for _, mark := range []string{"errno ", "socket error code ", "winsock error code: ", "error code: ", "os error "} {
		_, after, ok := strings.Cut(text, mark)
		if !ok {
			continue
		}
		n := 0
		for n < len(after) && after[n] >= '0' && after[n] <= '9' {
			n++
		}
		if k := errnoKind(after[:n]); k != Unknown {
			return k
		}
	}
	for name, k := range map[string]Kind{"econnrefused": Refused, "etimedout": Timeout, "ehostunreach": NoRoute, "enetunreach": NoRoute, "econnreset": Broken, "ehostdown": NoRoute} {
		if strings.Contains(text, name) {
			return k
		}
	}
	return Unknown
}

// errnoKind: BSD and macOS, Linux, Windows, Solaris and AIX (Go's syscall tables).
func errnoKind(n string) Kind {
	switch n {
	case "61", "111", "10061", "146", "79":
		return Refused
	case "60", "110", "10060", "145", "78":
		return Timeout
	case "65", "113", "10065", "148", "51", "101", "10051", "128", "70", "64", "112", "10064", "147", "80", "81":
		return NoRoute
	case "54", "104", "10054", "131", "73":
		return Broken
	}
	return Unknown
}

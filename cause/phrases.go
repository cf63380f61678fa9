package cause

import "slices"

// patterns are the wordings of the world, the narrower before the wider. Each was
// said by a real host; where two kinds share a phrase it is not here.
var patterns = made(slices.Concat(markRules(), senderRules(), mailboxRules(), messageRules(), systemRules(), vagueRules()))

// markRules: the marks by which large providers and products tell what they
// mean, whatever language their sentences are in.
func markRules() []rule {
	return []rule{
		// Microsoft Exchange and 365.
		{UserUnknown, true, true, 0, []string{"recipnotfound", "recipientnotfound", "resolver.adr.ambiguous", "resolver.fwd.notfound"}},
		{UserUnknown, true, false, 0, []string{"not listed in", "not listed at"}}, // Domino; "listed in" alone is about blocklists
		{TooLarge, true, true, 0, []string{"recipsizelimit", "sendersizelimit", "messagesizelimit", "resolver.rst.*sizelimit"}},
		{Security, true, true, 0, []string{"resolver.rst.authrequired", "smtpsend.authenticat", "turn on smtp authentication", "does not advertise auth"}},
		{Policy, true, true, 0, []string{"resolver.rst.notauthorized", "resolver.rst.restricted", "transport.rules.reject", "resolver.rst.sendernotauth"}},
		{HostUnknown, true, true, 0, []string{"dns.nonexistentdomain"}},
		{Loop, true, true, 0, []string{"mxloopback", "loopdetected", "attr34", "dns.loopback"}},
		{MailboxFull, true, true, 0, []string{"quotaexceeded", "storedrv.deliver*mailbox full", "mapiexceptionshutoffquota"}},
		{Expired, true, true, 0, []string{"queue.expired"}},
		{Reputation, true, true, 0, []string{"s3140", "s3150", "(ou-001", "(ou-002", "(dy-001", "(dy-002", "sender.office.com", "(sc-001", "(sc-003"}},
		// Google's links.
		{UserUnknown, true, true, 0, []string{"/?p=nosuchuser", "answer=6596", "answer/6596", "/?p=nosuchdomain"}},
		{MailboxFull, true, true, 0, []string{"/?p=overquota", "answer=6558", "answer/6558"}},
		{Disabled, true, true, 0, []string{"/?p=disableduser", "/?p=inactiveuser"}},
		{Rate, true, true, 0, []string{"/?p=receivingrate", "/?p=unsolicitedratelimit", "/?p=toomanyrecipients", "answer/6592"}},
		{Spam, true, true, 0, []string{"/?p=unsolicitedmessage"}},
		{Content, true, true, 0, []string{"/?p=blockedmessage"}},
		{Authentication, true, true, 0, []string{"/?p=unauth", "/?p=dmarcreject", "/?p=spfreject", "/?p=spfhardfail"}},
		{NoReverse, true, true, 0, []string{"/?p=ipv6autherror", "/?p=ipv6_authentication_error"}},
		{TLS, true, true, 0, []string{"/?p=tlsrequired", "/?p=starttls", "/?p=tls"}},
		{SenderRefused, false, true, 0, []string{"groups.google.com/support"}},
		{SenderRefused, true, true, 0, []string{"/?p=customfromdenied"}},
		// Others.
		{Reputation, true, true, 0, []string{"[bl2", "[bl0", "[bl1", "spf-ip-blocked", "/error-codes#tss", "cloudmark.com", "csi.cloudmark", "ipcheck.proofpoint", "proofpoint.com/dnsbl", "proofpoint.com/blocked", "aup#bl", "barracudacentral", "reputationauthority", "senderscore", "senderbase", "talosintelligence", "ers.trendmicro", "trustedsource", "mxrate", "bl.score.senderscore"}},
		{Reputation, false, true, 0, []string{"[tss0", "[ts0"}}, // of volume or of complaints
		{Reputation, true, true, 0, []string{"rly:b", "rly:ch", "con:b", "554rlyb", "421conb", "554conb"}},
		{Greylisted, true, true, 4, []string{"[gl01]"}},
		{Policy, true, true, 0, []string{"[cs01]", "[hm07]", "[hm08]", "pol-p"}},
		{UserUnknown, true, true, 0, []string{"rcp-p1", "ofr_416"}},
		{Spam, true, true, 0, []string{"ofr_506"}},
	}
}

// senderRules: who sends, how much, and how it is proven.
func senderRules() []rule {
	return []rule{
		{Greylisted, true, false, 4, []string{
			"greylist", "graylist", "grey list", "gray list", "grey-list", "gray-list", "come back in", "come back later", "first time sender"}},
		{Greylisted, true, true, 4, []string{"greylist"}},
		{Spam, true, false, 0, []string{"spam classification", "due to spam content", "rejected as spam", "considered spam"}},
		{Virus, true, false, 0, []string{"contains a virus", "infected with", "virus found", "virus detected"}},
		{NoReverse, true, false, 0, []string{
			"reverse dns", "no reverse", "without reverse", "ptr record", "ptr resource record", "no ptr", "missing ptr", "invalid ptr", "cannot find your hostname",
			"cannot find your reverse hostname", "fix reverse", "unverifyable sending ip", "unverifiable sending ip", "no rdns", "rdns", "does not have a valid rdns",
			"helo*does not match*reverse", "client host rejected: may not be mail exchanger", "may not be mail exchanger", "ip name lookup failed", "ip address without a name",
			"dns ptr", "does not resolve to a hostname", "reverse-dns", "lacks a valid ptr", "reverse lookup", "reverse hostname", "reverse host lookup", "no name for your ip", "unable to resolve your ip", "could not resolve*ip address", "domain name for your ip", "all messages from dynamic*ptr"}},
		{Authentication, true, false, 0, []string{
			"dmarc", "dkim fail", "dkim check", "dkim signature not", "dkim signature is", "no dkim", "dkim=", "dkim valid", "dkim verif", "dkim auth", "pass dkim", "invalid dkim", "dkim did not", "dkim alignment", "authentication checks", "authentication information", "spf check", "spf fail", "spf hard", "spf soft", "fails spf", "failed spf", "spf record", "not pass spf", "spf validation", "spf unauthorized",
			"sender policy framework", "spf mismatch", "unauthenticated email", "unauthenticated mail", "required authentication level", "authentication requirements",
			"spf: fail", "spf=fail", "spf authentication", "not authorized*by spf", "spf policy", "spf error", "spf reject", "rejected by spf", "blocked by spf", "arc validation", "not designate*as permitted sender", "does not designate", "domainkeys", "sender id*fail", "spoofed", "spoofing", "not permitted to send mail for", "not allowed to send mail from", "is not allowed to send from", "not authorized to send on behalf"}},
		{Authentication, true, true, 0, []string{"openspf.org", "open-spf.org", "spf.pobox.com", "openspf.net"}},
		{Rate, true, false, 4, []string{
			"receiving mail at a rate", "receiving mail too quickly", "user you are trying to contact is receiving", "unusual rate of unsolicited"}},
		{Reputation, true, true, 0, []string{
			"spamhaus", "spamcop", "sorbs.net", "abuseat.org", "dnsbl", "rbl.", " rbl", "rbl:", "mailspike", "uceprotect", "invaluement", "blocklist", "blacklist", "black-list", "block list", "black list", "block-list", "blocklisted", "zen.spam", "ipremoval", "backscatterer", "njabl", "dsbl.org", "ordb.org", "five-ten", "spamrats", "surbl", "uribl", "rats-", "psbl", "wpbl", "dnswl"}},
		{Reputation, true, false, 0, []string{
			"poor reputation", "bad reputation", "low reputation", "reputation of", "ip reputation", "domain reputation", "your reputation", "sender reputation", "reputation",
			"banned sending ip", "banned ip", "banned sender", "mail server ip connecting", "messages from * weren't sent", "your ip*blocked", "ip address*blocked", "client host blocked", "ip*has been blocked", "ip*is blocked", "blocked ip",
			"blocked for abuse", "blocked using", "blocked by our", "adresse ip source bloquee", "connection refused due to abuse", "ip*has been banned", "your host is banned", "ip*is banned",
			"your host*blocked", "sending ip*blocked", "server*has been blocked", "is blocked by", "blocked by ldap", "blocked for spam", "blocked due to spam", "cdrbl", "listed in", "listed at", "listed on", "unsolicited mail originating from your ip",
			"dynamic ip", "dynamic address", "dynamically assigned", "dynamic/residential", "dialup", "dial-up", "suspicious*ip", "ip*suspicious", "low reputation of the sending domain", "open proxy", "open relay", "compromised", "due to abuse", "spamming", "spammer", "spam source", "source of spam", "sends spam", "spam from your", "your network*spam", "high volume of spam", "spam*your ip", "your ip*spam", "complaints", "likely suspicious due to"}},
		{Rate, true, false, 0, []string{
			"too many messages", "too many connections", "too many concurrent", "too many recipients", "too many emails", "too many mails", "too many sessions", "too many rcpt", "too many simultaneous", "too many smtp", "too many e-mails", "too many addresses",
			"too many errors", "rate limit", "rate-limit", "ratelimit", "rate of unsolicited", "exceeded the rate", "sending too fast", "too much mail", "throttl", "unusual rate", "rate exceeded", "sending rate", "too quickly", "too fast",
			"unexpected volume", "exceeded*quota for sending", "exceeded*hourly", "exceeded*messages per", "daily relay quota", "daily sending quota", "sending limit", "max*messages per", "maximum*recipients per", "recipients*per hour", "this hour", "messages per hour", "per hour", "per day limit",
			"try again later, closing connection", "concurrent connections", "simultaneous connections", "connection rate", "temporarily rate", "temporarily limited", "mail flood", "message limit exceeded", "frequency limited", "connection limit", "connections exceeded", "recipient limit",
			"connections from your host", "has sent to too many", "per connection limit", "sent too many", "mail sent too many", "exceeds*limit of recipients", "max rcpt", "daily limit", "hourly limit"}},
		{RelayDenied, true, false, 0, []string{
			"relay access denied", "relaying denied", "relay not permitted", "unable to relay", "not permitted to relay", "relaying not allowed", "relaying prohibited",
			"no relaying", "relaying is not", "relay denied", "relaying is prohibited", "relay not allowed", "we do not relay", "not a relay", "relay operation rejected", "relay is prohibited", "relay prohibited", "relaying to*denied", "relay rejected", "relay attempt", "relay mail",
			"isn't in my list of allowed rcpthosts", "not in my list of allowed rcpthosts", "rcpthosts", "no valid cert for gatewaying", "not gateway", "mail relay refused",
			"not allowed to relay", "relaying mail to", "does not relay", "not relayed", "must be authenticated to relay", "authentication required for relay", "we don't handle mail for", "we do not handle mail for", "not hosted here", "domain not hosted", "not a local domain", "domain is not local", "not configured to relay", "insecure mail relay", "email address is not verified", "relaying", "not a mail gateway"}},
		{SenderRefused, true, false, 0, []string{
			"sender address rejected", "sender rejected", "sender verify fail", "unroutable sender", "unrouteable sender", "sender domain*not exist", "domain of sender address", "sender domain must", "unresolvable sender", "sender*does not resolve", "cannot resolve sender",
			"sender*domain*not found", "invalid sender", "sender denied", "sender is not", "bad sender", "sender verification failed", "verify sender", "callback setup failed", "sender refused", "sender blocked", "blocked sender", "sender was rejected", "rejected sender", "sender not",
			"sender unknown", "from: domain is invalid", "sender address is invalid", "sender's domain", "sender address does not", "mail from*rejected", "envelope sender", "sender address has been", "mail from domain", "mailfrom domain", "from domain", "backscatter", "null sender", "empty envelope sender", "bounces are not", "sender syntax", "not accepting mail from", "don't accept mail from", "doesn't accept mail from", "refuse mail from", "not accept*from this sender", "not allowed to post", "not allowed to send to", "only members", "not a member", "you are not allowed to send", "permission to post", "permission to send", "not have permission"}},
		{NotCompliant, true, false, 0, []string{"duplicate header", "multiple addresses in from", "multiple from", "rfc 5322", "rfc5322", "rfc 2822", "rfc2822", "rfc 822", "not rfc", "rfc compliant", "rfc violation"}},
		{SenderRefused, false, false, 0, []string{"is not verified", "does not exist e2110", "return path", "from address", "reverse-path", "address is not allowed to send"}},
	}
}

// mailboxRules: the domain, the recipient and the mailbox.
func mailboxRules() []rule {
	return []rule{
		{NotMailHost, true, false, 0, []string{"null mx", "nullmx", "indicated no smtp service", "null-mx", "does not accept mail", "does not accept email", "doesn't accept mail", "doesn't receive email", "accepts no mail", "no mail accepted", "not accepting network messages", "system does not accept mail", "host does not receive mail", "host does not accept mail", "does not receive mail", "smtp service not available here", "no smtp service here", "service not available here", "does not handle mail"}},
		{NoAddress, true, false, 0, []string{"no relevant answers", "no mx found", "no mx record", "no mx for", "couldn't find a mail exchanger", "could not find a mail exchanger", "no mail exchanger", "no valid ip addresses", "has no mx", "no mail server*for domain", "no mail hosts", "does not have an mx", "mx record*not found", "no mx or a record", "no data record of requested type", "no mx host", "mx lookup*no"}},
		{DNS, true, false, 0, []string{"host not found, try again"}},
		{HostUnknown, true, false, 0, []string{"mx records point to non-existent hosts", "lookup failure: host*not found", "host unknown", "responded with code nxdomain", "domain*couldn't be found", "domain is not reachable", "domain not found", "unknown host", "invalid domain", "no such host", "domain*does not exist", "domain does not exist", "name service error*host not found", "host not found", "nxdomain", "bad destination system", "bad destination host", "domain name not found", "host or domain name not found", "unrouteable mail domain", "unroutable mail domain", "unroutable domain", "unrouteable domain", "non-existent domain", "nonexistent domain", "name or service not known", "couldn't find any host", "could not find any host", "illegal host/domain", "unknown domain", "domain unknown", "no such domain", "domain must exist", "recipient domain must exist", "cannot resolve", "host is unknown", "domain*is invalid", "does not like recipient's domain"}},
		{Program, true, false, 0, []string{"procmail:", "mailer*died", "pipe to", "command died", "exited abnormally", "unknown mail system error", "command failed", "exit status", "x-unix", "unknown mailer error", "can't create output", "local mailer", "operating system error", "maildrop:", "command output:", "service unavailable*lda", "dovecot-lda", "mail.local", "input/output error"}},
		{MailboxFull, true, false, 0, []string{
			"mailbox full", "mailbox is full", "mailbox*full", "over quota", "overquota", "over-quota", "over*quota", "quota exceeded", "exceeded*quota", "quota*exceeded", "exceeds*quota", "exceeding*quota", "exceed*quota", "out of storage", "storage quota", "quota full", "quota exceed",
			"not enough space*mailbox", "insufficient mailbox", "inbox is full", "inbox full", "account is full", "maildir*full", "user is over", "mailbox size limit", "mailbox has exceeded", "mailbox*exceeded", "mailbox exceeds", "exceeds allowed size", "mailbox*too large", "mailbox*limit",
			"exceeded storage", "exceeded its storage", "quota is full", "no space left in the mailbox", "mailbox for*is full", "not enough storage space", "no room in mailbox", "user*disk quota", "disk quota", "quota violation", "recipient storage full", "storage is full", "exceeded local limit", "exceeded the local limit", "mail box full", "mail folder is full", "folder is full", "insufficient*in mailbox", "user mailbox exceeds", "has too many messages", "too many messages*mailbox", "boîte*pleine", "boite*pleine", "quota dépassé", "postfach voll", "postfach ist voll", "casella*piena", "buzón*lleno", "容量を超",
			"number of messages in recipient's mailbox exceeded", "would exceed*mailbox", "mailbox would exceed", "account exceeds"}},
		{Moved, true, false, 0, []string{"has moved", "user moved", "new address is", "has changed their address", "recipient no longer on server", "address has changed", "moved to", "user has changed", "recipient has moved", "not our user", "no longer at this", "forwarding address", "please use new address", "new e-mail address", "has been replaced by", "please try <"}},
		{Disabled, true, false, 0, []string{
			"mailbox disabled", "mailbox is disabled", "account disabled", "account is disabled", "account has been disabled", "user is disabled", "account*disabled", "is disabled", "account suspended", "account*suspended", "mailbox*suspended", "has been disabled", "been deactivated", "is deactivated", "disabled or discontinued", "user*disabled", "user is inactive", "inactive user", "user*inactive", "inactive recipient", "recipient*inactive", "inactive account",
			"mailbox is frozen", "account inactive", "account is inactive", "is inactive", "mailbox inactive", "account expired", "account has expired", "mailbox unavailable or access denied", "account is locked", "account locked", "user*suspended", "account closed", "been suspended", "is suspended", "account terminated", "account*terminated", "user is terminated", "mailbox*blocked", "recipient*suspended", "not currently accepting mail", "mailbox is closed", "account*closed", "account blocked", "user*locked", "recipient*disabled", "domain is disabled", "domain*suspended", "email account*discontinued",
			"mailbox is inactive", "user account is unavailable", "mailbox currently suspended", "mailbox temporarily disabled", "disabled recipient", "account is not active", "account not active", "not active", "deactivated", "account that you tried to reach is disabled", "account that you tried to reach is inactive", "no longer in use", "retired", "unused for a long"}},
		{UserUnknown, true, false, 0, []string{
			"user unknown", "unknown user", "no such user", "no such recipient", "no such mailbox", "no such person", "no such address", "unknown recipient", "recipient unknown", "unknown local part", "unknown local-part", "unknown to address", "no such account", "no such email", "no such e-mail",
			"user not found", "recipient not found", "mailbox not found", "address not found", "mailbox does not exist", "user does not exist", "recipient does not exist", "account does not exist", "email address does not exist", "recipient*does not exist", "recipient*doesn't exist", "mailbox*not exist", "account*not found", "recipient*not found", "mailbox*not found", "user*not found", "address*couldn't be found", "address*could not be found", "address*wasn't found", "wasn't found at", "name is not recognized", "recipient*not recogni", "user*not recogni", "address*not recogni",
			"address does not exist", "account that you tried to reach does not exist", "doesn't have a", "doesn't exist", "not a known user", "unknown or illegal", "illegal or unknown", "unknown address", "invalid recipient", "invalid mailbox", "invalid user", "user invalid", "user*is invalid", "invalid final delivery userid", "recipient is invalid", "recipient address is invalid", "recipient*invalid", "invalid address",
			"no mailbox here", "no mailbox", "unknown mailbox", "did not exactly match", "is not a valid mailbox", "not a valid mailbox", "not our customer", "user*not known", "does not exist here", "mailbox unknown", "no account by that name", "no mail box", "undeliverable address", "not listed in", "no valid recipient", "no valid recipients", "not a valid user", "not valid user", "not found in directory", "not in directory", "directory harvest", "not found in recipient", "recipient*unknown", "unknown e-mail", "no user", "user*unknown",
			"recipient address rejected: access denied", "recipient address rejected: undeliverable", "recipient address rejected: invalid", "recipient address rejected: unknown", "recipient address rejected: no such", "unrouteable address", "unroutable address", "no user here", "user*doesn't exist", "user*does not exist", "address unknown", "destinataire invalide", "adresse d au moins", "not exist on", "utilisateur inconnu", "destinataire inconnu", "benutzer*unbekannt", "unbekannter benutzer", "empfänger*unbekannt", "empfänger*nicht gefunden", "utente sconosciuto", "usuario desconocido", "usuário desconhecido", "onbekende gebruiker", "пользователь*не найден",
			"unknown virtual", "cannot find user", "could not find user", "can't find user", "user name of email address not valid", "not local mailbox", "no such local user", "local user*unknown", "alias unknown", "is not a user", "unknown account", "recipient*not exist", "no longer valid", "no longer available", "not available at", "mailbox unavailable: user", "bad destination mailbox", "addressee unknown", "recipient not exist", "user doesn't", "unknown mail", "not known at", "cannot deliver mail for", "can't verify recipient", "recipient verify fail", "recipient verification", "unable to verify user", "verify failed*recipient", "non-existent", "nonexistent"}},
	}
}

// messageRules: what was sent.
func messageRules() []rule {
	return []rule{
		{Loop, true, false, 0, []string{"mail loop", "too many hops", "hop count", "looping", "loops back", "loop detected", "routing loop", "message looping", "too many received", "forwarding loop", "delivery loop", "points back to", "mx record points to local host", "loops back to myself", "duplicated message-id", "probable*loop", "mail is looping", "loop alert", "exceeded maximum forwarding", "maximum forwarding", "transport loop"}},
		{TooLarge, true, false, 0, []string{
			"message too big", "message too large", "message size", "size limit", "exceeds size", "too large", "too big", "exceeds*maximum size", "maximum message size", "exceeds fixed", "message length exceeds", "max message size", "line limit exceeded", "exceeds*size", "size exceeds", "size*exceeded", "larger than", "message*exceeds*limit", "message file too", "exceeds administrative limit", "oversize", "data size exceeds", "maximum allowed size", "mail size", "zu groß", "trop gros", "trop volumineux"}},
		{Spam, false, false, 0, []string{"spam or virus", "spam or a virus", "virus or spam"}},
		{Virus, true, false, 0, []string{"virus", "malware", "trojan", "infected", "phishing", "malicious"}},
		{Spam, true, false, 0, []string{
			"unsolicited bulk", "likely unsolicited", "unsolicited mail", "unsolicited email", "unsolicited message", "considered spam", "spam detected", "spam message", "message*spam", "spam score", "identified as spam", "classified as spam", "spam content", "detected as spam", "looks like spam", "spamlike", "spam-like", "looks spammy", "found to be spam", "marked as spam", "spam email", "spam or virus", "probable spam", "possible spam", "potential spam", "detected spam", "consider spam", "as spam", "refused spam", "spam refused", "spam reject", "no spam", "spam blocked", "spamassassin", "antispam", "anti-spam", "spamming not",
			"rejected as spam", "appears to be spam", "spam rejected", "is spam", "high probability of spam", "suspected spam", "spam mail", "junk mail", "spam filter", "spam classification", "bulk email", "bulk mail", "blocked as spam", "- spam", "spam.", "spam:", "mail content denied", "content denied", "content filter", "message content rejected as", "cyberoam", "spam-reject", "reject*spam"}},
		{Content, true, false, 0, []string{
			"attachment*not allowed", "attachment type", "file type", "executable", "banned content", "illegal attachment", "attachment*rejected", "prohibited attachment", "blocked attachment", "forbidden attachment", "body content", "not allowed*attachment", "attachment*blocked", "contains*attachment", "attachments are not", "banned file", "file extension", "forbidden content", "improper use of 8-bit data", "content-type", "8-bit", "dangerous", "prohibited content", "improper content"}},
		{NotCompliant, true, false, 0, []string{"multiple from", "missing from", "missing date", "invalid message header", "bare lf", "bare newline", "bare cr", "headers*invalid", "message format", "duplicate header", "not compliant", "malformed*header", "missing valid*message-id", "from header", "missing*message-id", "missing a valid", "missing*header", "nul characters", "null characters", "nul bytes", "header*missing", "invalid header", "bad header", "header error", "headers malformed", "missing header", "too many headers", "header too long", "line too long", "lines too long", "unbalanced", "non-compliant", "unqualified"}},
	}
}

// systemRules: the hosts and what lies between them.
func systemRules() []rule {
	return []rule{
		{Security, true, false, 0, []string{"unauthenticated senders", "authentication required", "must authenticate", "requires authentication", "authentication failed", "auth required", "smtp authentication", "authenticate first", "authentication is required", "authentication credentials", "please authenticate", "authentication needed", "log in first", "requires smtp auth", "auth fail", "not authenticated", "login first", "unauthenticated", "invalid credentials", "authentication failure", "authentication error", "user must login", "you must log in", "pop before smtp", "check your mail before"}},
		{TLS, true, false, 0, []string{"starttls", "encryption too weak", "must issue a starttls", "tls required", "requires tls", "encryption required", "tls is required", "requires encryption", "tls not available", "certificate", "tls handshake", "encryption needed", "secure connection", "tls negotiation", "ssl_connect", "tls session", "tls connect", "mta-sts", " dane "}},
		{NoUTF8, true, false, 0, []string{"smtputf8", "internationalized", "non-ascii"}},
		{SystemFull, true, false, 0, []string{"insufficient system storage", "insufficient disk", "not enough disk", "no space left", "system storage", "disk full", "out of disk", "no disk space", "insufficient system resources", "insufficient storage", "disk space", "file system full", "filesystem is full", "out of memory", "insufficient space", "out of space"}},
		{Timeout, true, false, 0, []string{": timed out]", "did not accept our requests to connect", "connection timed out", "operation timed out", "connect timed out", "timed out in connect", "host did not respond", "server did not respond", "connect: timeout", "connection timeout", "timed out while connecting", "timeout while connecting", "no response from host", "timed out during user open", "unable to connect: timeout", "connect*timed out", "smtp timeout", "server*not responding", "not responding", "not reachable", "unreachable host", "not respond to"}},
		{Refused, true, false, 0, []string{"connection refused", "actively refused", "refused connection", "refused our connection"}},
		{NoRoute, true, false, 0, []string{"no route to host", "network is unreachable", "host is unreachable", "host unreachable", "network unreachable", "host is down"}},
		{Broken, true, false, 0, []string{"lost connection", "connection reset", "connection dropped", "reset by peer", "connection closed", "closed connection", "conversation with", "remote host closed", "disconnected", "connection was dropped", "unexpected disconnect", "connected*but connection died", "connection died", "connection aborted", "broken pipe", "connection lost", "remote server closed", "timed out while", "timed out after", "timeout after", "read error", "unexpected eof"}},
		{Unreachable, true, false, 0, []string{"wasn't able to establish an smtp connection", "was not able to establish an smtp connection", "could not connect", "couldn't connect", "cannot connect", "can't connect", "unable to connect", "failed to connect", "connect failed", "connection failed", "connection attempt failed", "unable to establish"}},
		{DNS, true, false, 0, []string{"name server*fail", "name server timeout", "name server:", "dns*temporar", "temporary dns", "servfail", "dns server", "temporary lookup failure for domain", "name service error", "dns query failed", "dns lookup", "dns error", "dns failure", "dns soft error", "host name lookup failure", "mx lookup fail", "in mx lookup", "resolve*temporar", "domain lookup failed", "unexpected name server reply", "dns timeout", "unable to resolve", "could not be resolved", "could not resolve", "name resolution", "lookup of domain", "dns records", "dns hard error", "cname lookup failed"}},
		{Expired, true, false, 0, []string{"message expired", "queue.expired", "delivery expired", "envelope expired", "delivery time expired", "retry timeout exceeded", "too old", "in the queue too long", "giving up", "could not be delivered for", "could not deliver for", "failing for a long time", "unable to deliver*after", "message timed out", "retries exceeded", "too many failures", "expired"}},
		{Suppressed, true, false, 0, []string{"suppression list", "suppressed", "suppression"}},
		{System, true, false, 0, []string{"ldap", "internal error", "local error", "system error", "server error", "configuration error", "server configuration", "local problem", "queue file write error", "queue file", "disk error", "i/o error", "mail system problem", "local configuration", "server is busy", "server busy", "system too busy", "database error", "database", "out of resources", "resources temporarily", "cannot allocate", "can't open", "cannot open", "unexpected error", "software error", "internal server", "server*malfunction", "mail server temporarily", "could not load", "not properly configured"}},
		{Policy, true, false, 0, []string{"policy violation", "violates*policy", "violation of policy", "denied by policy", "local policy", "policy reasons", "policy restrict", "policy reject", "due to policy", "security policy", "security policies", "administratively prohibited", "administrative prohibition", "administratively denied", "company policy", "organization policy", "violates our", "email policy", "by policy", "our policy", "message refused by", "site policy", "protocol violation", "not permitted by", "mail policy", "blocked by admin", "rejected by administrator", "rejected by an administrator", "message filtered"}},
	}
}

// vagueRules: words that fit several kinds. They decide where nothing else does.
func vagueRules() []rule {
	return []rule{
		{Reputation, false, false, 0, []string{"client host rejected", "invalid ip", "refused to talk", "bad host", "banned"}},
		{NotNow, false, false, 0, []string{"on hold", "recipient error"}},
		{UserUnknown, false, false, 5, []string{"recipient rejected", "recipient refused", "user not local", "mailbox unavailable", "mailbox not available", "not a valid recipient", "recipient*not accepted", "not allowed to receive", "address rejected", "address error", "address invalid", "invalid address", "message*to*cannot be delivered", "recipient was rejected", "rejected by*recipient", "recipients was rejected", "recipients*rejected", "message filtered", "denied recipient"}},
		{Spam, false, false, 0, []string{"spam", "junk", "unsolicited"}},
		{Reputation, false, false, 0, []string{"blocked", "ip address", "abuse"}},
		{Policy, false, false, 0, []string{"policy", "policies", "access denied", "not authorized", "not authorised", "administratively", "prohibited", "not permitted", "permission", "not allowed", "transaction failed due to", "rejected by*rule", "restrict", "forbidden", "refused by", "administrative", "denied", "filtered"}},
		{Unreachable, false, false, 0, []string{"network error"}},
		{System, false, false, 0, []string{"temporary failure", "temporarily unavailable", "service unavailable", "service not available", "try again later", "resources", "please try again", "temporary", "temporarily deferred", "unavailable", "lookup failure"}},
		{Syntax, false, false, 0, []string{"syntax error", "command not recognized", "unrecognized command", "bad sequence", "command unrecognized", "command not implemented", "parameter*not", "need rcpt", "need mail", "rcpt first", "out of sequence", "unknown command", "invalid argument", "invalid command"}},
		{Content, false, false, 0, []string{"content rejected", "content"}},
		{HostUnknown, false, false, 0, []string{"does not exist"}},
	}
}

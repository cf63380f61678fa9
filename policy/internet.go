package policy

import (
	"time"

	"github.com/postrider/postrider/mail"
)

// Internet returns the default rules: those of a server on the open internet that
// wants to lose no honest mail. In this order:
//
//   - own-clients accepts whoever may send to anyone. The rest is about strangers.
//   - postmaster accepts mail to postmaster and abuse: who is refused must be able
//     to ask why (RFC 5321 4.5.1, RFC 2142).
//   - listed refuses a score of 5. Without lists in the configuration nobody has one.
//   - early-talker refuses who spoke before the greeting (RFC 5321 4.3.1): programs
//     that do not listen to what a server says.
//   - too-fast defers one client's messages beyond 600 in an hour: one every six
//     seconds all the time. An honest server that has more keeps them and is served
//     in the next hours; a flood is not worth its while.
//   - no-reverse-name refuses a client without a PTR record. A name that does not
//     lead back refuses nobody, it only keeps a client from being proven.
//   - our-name-in-helo refuses who gives this host's name or address for its own.
//   - no-such-sender-domain and null-mx-sender refuse a return path that cannot be
//     answered (RFC 7505).
//   - dmarc-reject refuses what nothing proves to be from its author, where the
//     author's domain asks for that.
//   - greylist defers who comes for the first time, unless SPF passes or the client
//     has proven itself (RFC 6647).
//
// No rule refuses for SPF: forwarders break it, and the domain that wants its mail
// refused for it can say so by DMARC, which DKIM survives (RFC 7489 10.1).
// An operator who knows better writes a rule with spf = "fail".
//
// A Status without a class lets Then be changed alone.
func Internet() []Rule {
	rules := []Rule{
		{Name: "own-clients", If: Conditions{Own: new(true)}, Then: Accept},
		{Name: "postmaster", If: Conditions{To: []string{"postmaster", "abuse"}}, Then: Accept},
		{
			Name: "listed", If: Conditions{Score: 5}, Then: Refuse,
			Text: "ask these lists why, mend it, and have the entry removed: {lists}",
		},
		{
			Name: "early-talker", If: Conditions{Early: new(true)}, Then: Refuse, Code: 550, Status: mail.Status{0, 5, 1},
			Text: "{client} spoke before our greeting; a mail server waits for the 220 (RFC 5321 4.3.1)",
		},
		{
			Name: "too-fast", If: Conditions{Rate: &Rate{By: ByClient, Most: 600, In: time.Hour}}, Then: Defer,
			Text: "more than {rate}; keep the rest and send it more slowly",
		},
		{
			Name: "no-reverse-name", If: Conditions{ClientName: []string{nameNone}}, Then: Refuse, Code: 550, Status: mail.Status{0, 7, 25},
			Text: "{client} has no name in the DNS; whoever owns the address can give it one (a PTR record), the name of your mail server",
		},
		{
			Name: "our-name-in-helo", If: Conditions{Helo: []string{heloOurs}}, Then: Refuse,
			Text: "{client} calls itself {helo}, but that is this server; let yours give its own name in EHLO (RFC 5321 4.1.1.1)",
		},
		{
			Name: "no-such-sender-domain", If: Conditions{FromDomain: []Reach{NoDomain, NoMailHost}}, Then: Refuse, Code: 550, Status: mail.Status{0, 1, 8},
			Text: "no host takes mail for {from_domain}, so {from} could not be answered; correct the sender or the DNS of its domain",
		},
		{
			Name: "null-mx-sender", If: Conditions{FromDomain: []Reach{NullMX}}, Then: Refuse, Code: 550, Status: mail.Status{0, 7, 27},
			Text: "{from_domain} says that it takes no mail (null MX, RFC 7505), so {from} could not be answered; send from a domain that does",
		},
		{
			Name: "dmarc-reject", If: Conditions{DMARC: []string{"reject"}}, Then: Refuse, Code: 550, Status: mail.Status{0, 7, 26},
			Text: "nothing proves that this is from {author}, and DMARC has such mail refused; sign it by DKIM for the domain in From, or put {client} into its SPF record",
		},
		{
			Name: "greylist", Not: Conditions{SPF: []string{"pass"}, Proven: new(true)}, OnFault: FaultDefer,
			Then: Greylist, Text: greyText,
			Delay: 5 * time.Minute, Memory: defaultMemory,
		},
	}
	for i := range rules {
		rules[i].Place = "built-in rule " + rules[i].Name
	}
	return rules
}

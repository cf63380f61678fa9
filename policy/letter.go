package policy

import (
	"fmt"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// Letter writes to the manager of a client that an override lets in: what is wrong
// there, by the records of its refusals, newest first, how to mend it, and until when
// it is let in. Host is this server's name, contact whom to write to.
func (o Override) Letter(host, contact string, records []Record) (subject, text string) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	who := o.Who()
	subject = fmt.Sprintf("Mail from %s to %s is refused from %s on, unless something is mended", who, host, o.Until.UTC().Format("2 January 2006"))
	line("To whoever manages the mail server at %s", who)
	line("")
	line("Our mail server %s would refuse what yours sends, by a rule that it has", host)
	line("for everybody. We let your mail in for a while, so that nobody's mail suffers,")
	line("and ask you to mend it meanwhile.")
	line("")
	line("  Rule            %s", o.Rule)
	line("  Let in until    %s", o.Until.UTC().Format("2 January 2006, 15:04 UTC"))
	if o.Because != "" {
		line("  Our reason      %s", mail.Clean(o.Because, 200))
	}
	if len(records) > 0 {
		evidence(line, records)
	}
	line("")
	line("What mends it")
	for _, l := range wrapped(mends(o.Rule, records), 74) {
		line("  %s", l)
	}
	line("")
	line("Whoever has a question writes to %s.", contact)
	return subject, b.String()
}

// Who names whom the override lets in.
func (o Override) Who() string {
	var all []string
	if o.Name != "" {
		all = append(all, o.Name)
	}
	if o.Client.IsValid() {
		s := o.Client.String()
		if o.Client.IsSingleIP() {
			s = o.Client.Addr().String()
		}
		all = append(all, s)
	}
	if !o.Sender.IsNull() {
		all = append(all, "sender "+o.Sender.String())
	}
	if o.Domain != "" {
		all = append(all, "senders at "+o.Domain)
	}
	return strings.Join(all, ", ")
}

// evidence tells what was seen.
func evidence(line func(string, ...any), records []Record) {
	r := records[0]
	line("")
	line("What we saw")
	line("  Address         %s", r.Client)
	if r.Name != "" {
		line("  Name            %s", r.Name)
	}
	if r.Helo != "" {
		line("  Calls itself    %s", r.Helo)
	}
	if r.Why != "" {
		for i, l := range wrapped(r.Why, 60) {
			line("  %-15s %s", map[bool]string{true: "What fails"}[i == 0], l)
		}
	}
	line("")
	line("Latest times, with what your log shows of our answer")
	for _, r := range records[:min(len(records), 5)] {
		line("  %s  from %s to %s", r.At.UTC().Format(time.RFC1123), r.From, strings.Join(r.To, ", "))
		for _, l := range wrapped(r.Reply.Line(), 70) {
			line("    > %s", l)
		}
	}
}

// mends says what would mend it.
func mends(rule string, records []Record) string {
	advice := map[string]string{
		"no-reverse-name":       "Ask whoever owns the address (mostly your provider) to set its PTR record to the name of your mail server, and let that name have the address as its A or AAAA record.",
		"our-name-in-helo":      "Let your server give its own full name in EHLO, not ours: in Postfix myhostname, in Exchange the FQDN of the send connector.",
		"no-such-sender-domain": "Send with a return path whose domain exists and takes mail (an MX or address record).",
		"null-mx-sender":        "Send with a return path at a domain that takes mail: yours says by its null MX record that it does not.",
		"dmarc-reject":          "Sign with DKIM for the domain in From, or put the address above into that domain's SPF record; or let the domain ask for less in its DMARC record.",
		"listed":                "Look the address up at the list that names it, mend what it tells you, and ask to be taken off.",
		"early-talker":          "Let your server wait for our greeting before it speaks (RFC 5321 4.3.1).",
		"greylist":              "Let your server try again after some minutes when it is answered 451 (RFC 5321 4.5.4.1).",
		"too-fast":              "Send more slowly, or spread it over the day.",
	}
	if a := advice[rule]; a != "" {
		return a
	}
	if len(records) > 0 {
		return "Our answer says it: " + records[0].Reply.Text
	}
	return "Our answer in your log says what is wrong."
}

// wrapped breaks a text into lines.
func wrapped(s string, width int) []string {
	var lines []string
	now := ""
	for word := range strings.FieldsSeq(s) {
		if now != "" && len(now)+1+len(word) > width {
			lines, now = append(lines, now), ""
		}
		if now != "" {
			now += " "
		}
		now += word
	}
	return append(lines, now)
}

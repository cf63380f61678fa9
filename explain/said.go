package explain

import (
	"strings"

	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/mail"
)

// said is something said about a delivery: by the host that was asked to take
// it, or by the server that had it.
type said struct {
	code   int         // 0: none
	status mail.Status // zero: none
	text   string      // as it was said, on one line
	words  string      // text without the codes that are repeated in it
	host   hostIP      // who said it, or could not be reached
	stage  mail.Stage
	told   bool // the text names another host as the one that said it
	ours   bool // the reporter's own words, though they are written like a reply
	line   int
	means  *cause.Cause // see cause; shared by the copies of a value
}

func (s said) isZero() bool { return s.text == "" && s.code == 0 && s.status.IsZero() }

// maxSaid bounds the octets of a text that are searched.
const maxSaid = 6000

// readSaid finds code, status, host and stage in words about a delivery.
func readSaid(text string) said {
	text = head(text, maxSaid)
	s := said{text: text}
	at := 0
	reply := text
	if i := strings.Index(text, ">... "); i > 0 && i < 200 && begun(text[i+5:]) { // sendmail's own code, then the real one
		reply = text[i+5:]
	}
	s.code, s.status, at = findReply(reply)
	low := lower(text)
	s.host, s.told = speaker(text, low)
	s.stage = stageIn(low)
	s.ours = !s.told && contains(low, selfWords)
	if s.code != 0 {
		reply = reply[at:]
	}
	if s.words = unnumbered(reply, s.code); strings.Trim(s.words, " ])}>.'\"") == "" && lettered(low) {
		s.words = text // "mailbox unavailable [SMTP Error Code 550]"
	}
	s.means = new(cause.Cause)
	return s
}

// readReply finds code, status, host and stage in words that are said to hold a
// reply: its code stands not far from their beginning.
func readReply(text string) said {
	for i := 1; i < min(near, len(text)-3); i++ {
		if c := text[i]; text[i-1] == ' ' && (c == '4' || c == '5') && begun(text[i:]) {
			s := readSaid(text[i:])
			s.text = head(text, maxSaid)
			return s
		}
	}
	return readSaid(text)
}

// selfWords are what sendmail says in the form of a reply of what it met itself. No
// host has said it.
var selfWords = []string{"reply: read error", "name server timeout", "(name server: ", "host unknown", "host does not accept mail", " points back to ", "local configuration error", "unknown mailer error", "encryption too weak", "deferred: name server"}

// halfReplies are those of selfWords about the name service, which it writes with
// a code of its own. It is the only one there is, and told as such.
var halfReplies = []string{"host unknown", "host does not accept mail"}

// lettered reports whether something is said at all, and not only a number:
// "421", "Deferred: 421".
func lettered(low string) bool {
	return strings.ContainsFunc(strings.TrimPrefix(low, "deferred"), func(r rune) bool { return r >= 'a' })
}

// cues stand in front of a reply that is quoted.
var cues = []string{"said:", "returned", "smtp;", "x-unix;", "x-postfix;", "<<<", ">>>", "response:", "was:", "#", "talk to me:", "data:", "failure:", "(reason:", "reason:", "error:", "error", "code:", "code", "reply:", "responded:", "follows:", "->", "...", "out:", ":", "'", "\"", "[", "(", "<", ">", "=", "]:", "message]:", "deferred:", "status:", "rcpt", "rcpt to", "mail from", "data", "ehlo", "helo", "starttls"}

// findReply finds the first reply in a text, its status if it has one, and where
// it begins. Without a reply it looks for a status alone.
func findReply(s string) (code int, st mail.Status, at int) {
	best, weak := 0, -1
	for i := 0; i+2 < len(s); i++ {
		c := s[i]
		if c != '4' && c != '5' && c != '2' || !digit(s[i+1]) || !digit(s[i+2]) || i > 0 && wordByte(s[i-1]) {
			continue
		}
		if i > 0 && (s[i-1] == '.' || s[i-1] == '-' || s[i-1] == '/' || s[i-1] == '@' || s[i-1] == '_' || s[i-1] == '+') {
			continue
		}
		rest := s[i+3:]
		if rest != "" && strings.IndexByte(" -;:#'\"])\t,/", rest[0]) < 0 {
			continue
		}
		n := int(c-'0')*100 + int(s[i+1]-'0')*10 + int(s[i+2]-'0')
		sent := strings.TrimLeft(rest, " -#;:'\"/(")
		status, ok := statusAt(sent)
		strong := cued(s[:i])
		switch {
		case c == '2' && !(ok && strong):
			continue
		case ok && strong:
			return n, status, i
		case ok && best < 2:
			best, code, st, at = 2, n, status, i
		case strong && s[i+1] <= '5' && best < 1:
			best, code, st, at = 1, n, mail.Status{}, i
		case s[i+1] <= '5' && weak < 0 && rest != "" && (rest[0] == ' ' || rest[0] == '-'):
			weak = i
		}
	}
	if best > 0 {
		if st.IsZero() {
			st = nearStatus(s[at+3:], code/100)
		}
		return code, st, at
	}
	st, where := findStatus(s)
	if weak >= 0 && !st.IsZero() && (s[weak] == byte('0'+st[0])) {
		return int(s[weak]-'0')*100 + int(s[weak+1]-'0')*10 + int(s[weak+2]-'0'), st, weak
	}
	return 0, st, where
}

// near is how far from its code a status may stand that belongs to it.
const near = 40

// nearStatus finds the status of that class which a reply carries at its end, as
// qmail's hosts write it, or not far from its code: "552 sorry, over quota
// (#5.2.2)", "ERROR_CODE :550, ERROR_CODE :5.1.1".
func nearStatus(s string, class int) mail.Status {
	if i := strings.Index(s, "#"); i >= 0 {
		if st, ok := statusAt(s[i+1:]); ok {
			return st
		}
	}
	if st, _ := findStatus(head(s, near)); int(st[0]) == class {
		return st
	}
	return mail.Status{}
}

// cued reports whether what stands in front lets a reply be expected.
func cued(before string) bool {
	b := strings.TrimRight(before, " \t")
	if b == "" {
		return true
	}
	b = lower(b[max(0, len(b)-14):])
	for _, c := range cues {
		if strings.HasSuffix(b, c) {
			return true
		}
	}
	return false
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func wordByte(c byte) bool {
	return digit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// statusAt reads an enhanced status at the beginning of s.
func statusAt(s string) (st mail.Status, ok bool) {
	if len(s) < 5 || s[1] != '.' || s[0] != '2' && s[0] != '4' && s[0] != '5' {
		return st, false
	}
	st[0] = uint16(s[0] - '0')
	rest := s[2:]
	for i := 1; i < 3; i++ {
		n, k := 0, 0
		for k < len(rest) && k < 3 && digit(rest[k]) {
			n = n*10 + int(rest[k]-'0')
			k++
		}
		if k == 0 {
			return mail.Status{}, false
		}
		st[i], rest = uint16(n), rest[k:]
		if i == 1 {
			if rest == "" || rest[0] != '.' {
				return mail.Status{}, false
			}
			rest = rest[1:]
		}
	}
	if rest != "" && (wordByte(rest[0]) || rest[0] == '.' && len(rest) > 1 && digit(rest[1])) {
		return mail.Status{}, false
	}
	return st, true
}

// findStatus finds an enhanced status standing alone: "(#5.1.1)", "5.4.7 - too old".
func findStatus(s string) (mail.Status, int) {
	for i := 0; i+4 < len(s); i++ {
		if s[i+1] != '.' || i > 0 && (wordByte(s[i-1]) || s[i-1] == '.' || s[i-1] == '-' || s[i-1] == '/') {
			continue
		}
		if i > 0 && s[i-1] == ' ' && !digit(s[i]) {
			continue
		}
		if st, ok := statusAt(s[i:]); ok {
			return st, i
		}
	}
	return mail.Status{}, 0
}

// speaker finds the host that words are about, and whether they say that it
// spoke.
func speaker(text, low string) (hostIP, bool) {
	told := false
	for _, w := range []string{" said:", "remote host said", "remote server returned", "refused to talk to me", "did not like our", "error from remote mail", "the other server returned", "responded with failure", "<<< ", "response from the remote server", "it responded", "does not like recipient", "was rejected by the server", "while talking to", "responded with:"} {
		if strings.Contains(low, w) {
			told = true
			break
		}
	}
	if h := hostIn(text); h.ip != "" && !sender(low, h.ip) {
		return h, told
	}
	for _, w := range []string{"while talking to ", "refused by ", "timed out with ", "reset by ", "read error from ", "user open with ", "smtp server <", "giving up on ", "connected to ", "remote-mta: dns; ", "connect to ", "connection with ", "conversation with ", "server at "} {
		i := strings.Index(low, w)
		if i < 0 {
			continue
		}
		h := text[i+len(w):]
		if k := strings.IndexAny(h, " <>()[],;:\"'"); k >= 0 {
			h = h[:k]
		}
		h = strings.Trim(h, ".")
		if looksIP(h) {
			return hostIP{"", h}, told
		}
		if hostName(h) {
			return hostIP{lower(h), ""}, told
		}
	}
	for _, w := range []string{" does not like recipient", " failed after i sent the message"} {
		if i := strings.Index(low, w); i > 0 {
			h := text[strings.LastIndexAny(text[:i], " \t:")+1 : i]
			if looksIP(h) {
				return hostIP{"", h}, told
			}
		}
	}
	return hostIP{}, told
}

// sender reports whether an address stands where hosts quote the client's:
// "Client host [192.0.2.1] blocked".
func sender(low, ip string) bool {
	i := strings.Index(low, lower(ip))
	if i < 0 {
		return false
	}
	before := low[max(0, i-24):i]
	for _, w := range []string{"client host", "client [", "your ip", "sending ip", "messages from", "ip address [", "from [", "client ip", "our system"} {
		if strings.Contains(before, w) {
			return true
		}
	}
	return false
}

// stageIn returns the command that a text says was being answered.
func stageIn(low string) mail.Stage {
	for _, m := range []struct {
		stage mail.Stage
		words []string
	}{
		{mail.Dot, []string{"in reply to end of data", "after end of data", "after i sent the message", "final data", "end of message", "after end of message", "step: data send"}},
		{mail.Greeting, []string{"refused to talk to me", "did not like our connect", "initial connection", "initial greeting", "receiving the initial server greeting", "in reply to greeting", "after initial"}},
		{mail.Rcpt, []string{"in reply to rcpt", "after rcpt", "our rcpt", "like recipient", "rcpt to:", "[rcpt_to]", "rcpt command", "rejected recipient"}},
		{mail.Mail, []string{"in reply to mail", "after mail", "our mail", "sender was rejected", "[mail_from]", "mail from command", "mail from:"}},
		{mail.Hello, []string{"in reply to helo", "in reply to ehlo", "after ehlo", "after helo", "helo handshake", "ehlo handshake", "helo command", "ehlo command", "helo was rejected"}},
		{mail.TLS, []string{"after starttls", "tls handshake", "in reply to starttls", "tls negotiation", "cannot start tls", "tls is required"}},
		{mail.Auth, []string{"in reply to auth", "after auth "}},
		{mail.Data, []string{"in reply to data", "after data", ">>> data", "our data", "data command"}},
	} {
		for _, w := range m.words {
			if strings.Contains(low, w) {
				return m.stage
			}
		}
	}
	return mail.NoStage
}

// unnumbered drops from a reply its code and status, and where they come again
// at the beginning of its further lines: "550-5.1.1 does not exist. Please try
// 550-5.1.1 double-checking".
func unnumbered(s string, code int) string {
	if code == 0 {
		return s
	}
	num := string([]byte{byte('0' + code/100), byte('0' + code/10%10), byte('0' + code%10)})
	if strings.Index(s, num) == strings.LastIndex(s, num) {
		return afterCode(s)
	}
	var b strings.Builder
	for w := range strings.FieldsSeq(s) {
		if rest, ok := strings.CutPrefix(w, num); ok && (rest == "" || rest[0] == '-') {
			w = strings.TrimPrefix(rest, "-")
		}
		if _, ok := statusAt(w); ok && len(w) < 10 {
			continue
		}
		if w == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w)
	}
	return b.String()
}

func afterCode(s string) string {
	s = strings.TrimLeft(s[min(3, len(s)):], " -#;:'\"/")
	if _, ok := statusAt(s); ok {
		_, s, _ = strings.Cut(s, " ")
	}
	return strings.TrimSpace(s)
}

package smtpd

import (
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postrider/postrider/mail"
)

// verb is the first word of a command.
type verb uint8

const (
	unknown verb = iota
	helo
	ehlo
	lhlo
	mailFrom
	rcptTo
	data
	bdat
	rset
	noop
	vrfy
	expn
	helpMe
	quit
	startTLS
	etrn
	xforward
	xclient
	unmade // known, and not implemented
	http   // a browser was led here (cross-protocol attacks)
)

// cutCommand splits a line into its verb and what follows it.
func cutCommand(l []byte) (verb, []byte) {
	end := 0
	for end < len(l) && l[end] != ' ' {
		end++
	}
	arg := l[end:]
	for len(arg) > 0 && arg[0] == ' ' {
		arg = arg[1:]
	}
	for n := len(arg); n > 0 && arg[n-1] == ' '; n-- {
		arg = arg[:n-1]
	}
	var word [8]byte
	if end > len(word) {
		return unknown, arg
	}
	for i, c := range l[:end] {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		word[i] = c
	}
	switch string(word[:end]) {
	case "MAIL":
		return mailFrom, arg
	case "RCPT":
		return rcptTo, arg
	case "DATA":
		return data, arg
	case "BDAT":
		return bdat, arg
	case "EHLO":
		return ehlo, arg
	case "HELO":
		return helo, arg
	case "LHLO":
		return lhlo, arg
	case "RSET":
		return rset, arg
	case "NOOP":
		return noop, arg
	case "QUIT":
		return quit, arg
	case "VRFY":
		return vrfy, arg
	case "EXPN":
		return expn, arg
	case "HELP":
		return helpMe, arg
	case "STARTTLS":
		return startTLS, arg
	case "ETRN":
		return etrn, arg
	case "XFORWARD":
		return xforward, arg
	case "XCLIENT":
		return xclient, arg
	case "AUTH", "TURN", "SEND", "SOML", "SAML", "BURL":
		return unmade, arg
	case "GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS":
		return http, arg
	}
	return unknown, arg
}

// cutPath reads "FROM:<path>" or "TO:<path>" and returns the parameters behind
// it. A blank behind the colon is no syntax, but real clients write it.
func cutPath(arg, word string, bad mail.Status) (mail.Address, string, mail.Reply) {
	if len(arg) <= len(word) || !strings.EqualFold(arg[:len(word)], word) {
		return mail.Address{}, "", badParameter("Syntax: " + word + "<address>")
	}
	a, rest, err := mail.ParsePath(strings.TrimLeft(arg[len(word):], " "))
	switch {
	case err == nil:
		return a, rest, mail.Reply{}
	case errors.Is(err, mail.ErrTooLong):
		return a, "", mail.Reply{Code: 501, Status: bad, Text: "Address too long"}
	case errors.Is(err, mail.ErrNoDomain):
		return a, "", mail.Reply{Code: 553, Status: bad, Text: "Address without a domain"}
	}
	return a, "", mail.Reply{Code: 501, Status: bad, Text: "Malformed address"}
}

// cutParameter takes the first keyword and its value off s. Keywords longer
// than any we know come back cut.
func cutParameter(s string) (keyword, value string, given bool, rest string) {
	s = strings.TrimLeft(s, " ")
	word, rest, _ := strings.Cut(s, " ")
	keyword, value, given = strings.Cut(word, "=")
	return strings.ToUpper(keyword[:min(len(keyword), 16)]), value, given, rest
}

// sender is what a MAIL command says.
type sender struct {
	env  mail.Envelope
	size int64
}

// parseMail reads the argument of MAIL. A Reply that is not zero refuses it.
func parseMail(arg string, o *Options) (m sender, no mail.Reply) {
	from, rest, no := cutPath(arg, "FROM:", mail.Status{5, 1, 7})
	if !no.IsZero() {
		return m, no
	}
	m.env.From = from
	if from.Domain == "" && !from.IsNull() {
		return m, mail.Reply{Code: 553, Status: mail.Status{5, 1, 7}, Text: "Address without a domain"}
	}
	var seen uint
	for rest != "" {
		var keyword, value string
		var given bool
		keyword, value, given, rest = cutParameter(rest)
		if keyword == "" && !given {
			continue
		}
		var bit uint
		if bit, no = m.parameter(keyword, value, given, o); !no.IsZero() {
			return m, no
		}
		if seen&bit != 0 {
			return m, badParameter(keyword + " given twice")
		}
		seen |= bit
	}
	if !m.env.UTF8 && !from.IsASCII() {
		return m, needUTF8
	}
	return m, mail.Reply{}
}

// parameter reads one parameter of MAIL and returns a bit of its own for it.
func (m *sender) parameter(keyword, value string, given bool, o *Options) (bit uint, no mail.Reply) {
	switch keyword {
	case "SIZE":
		m.size, no = parseSize(value, o.MaxSize)
		return 1, no
	case "BODY":
		switch {
		case strings.EqualFold(value, "8BITMIME"):
			m.env.Body = mail.EightBit
		case strings.EqualFold(value, "BINARYMIME"):
			return 0, unknownParameter("BINARYMIME is not offered")
		case !strings.EqualFold(value, "7BIT"):
			return 0, badParameter("BODY is 7BIT or 8BITMIME")
		}
		return 2, no
	case "SMTPUTF8":
		if given {
			return 0, badParameter("SMTPUTF8 takes no value")
		}
		m.env.UTF8 = true
		return 4, no
	case "RET":
		switch {
		case strings.EqualFold(value, "FULL"):
			m.env.Return = mail.ReturnFull
		case strings.EqualFold(value, "HDRS"):
			m.env.Return = mail.ReturnHeaders
		default:
			return 0, badParameter("RET is FULL or HDRS")
		}
		return 8, no
	case "ENVID":
		if value == "" || len(value) > 100 || !printableXText(value) { // RFC 3461 4.4
			return 0, badParameter("ENVID is up to 100 characters of xtext")
		}
		m.env.ID = value
		return 16, no
	case "BY":
		if o.DeliverBy {
			m.env.By, no = parseBy(value, o.MinDeliverBy)
			return 32, no
		}
	}
	return 0, unknownParameter("Unknown parameter of MAIL")
}

// parseSize reads the value of SIZE (RFC 1870 4).
func parseSize(s string, limit int64) (int64, mail.Reply) {
	n, err := strconv.ParseUint(s, 10, 63)
	switch {
	case errors.Is(err, strconv.ErrRange) && len(s) <= 20, err == nil && int64(n) > limit:
		return 0, ErrTooBig.(*BodyError).Reply
	case err != nil || len(s) > 20:
		return 0, badParameter("SIZE is a number of octets")
	}
	return int64(n), mail.Reply{}
}

// parseBy reads the value of BY: seconds, ";", R or N, and T (RFC 2852 4).
func parseBy(s string, least time.Duration) (by mail.DeliverBy, no mail.Reply) {
	number, how, _ := strings.Cut(s, ";")
	digits := strings.TrimLeft(number, "+-")
	n, err := strconv.Atoi(number)
	if err != nil || len(digits) > 9 || len(how) < 1 || len(how) > 2 {
		return by, badParameter("BY is seconds;R or seconds;N, and T for a trace")
	}
	by.Within = time.Duration(n) * time.Second
	switch how[0] {
	case 'R', 'r':
		by.Return = true
	case 'N', 'n':
		by.Notify = true
	default:
		return by, badParameter("The mode of BY is R or N")
	}
	if len(how) == 2 {
		if by.Trace = how[1] == 'T' || how[1] == 't'; !by.Trace {
			return by, badParameter("Only T follows the mode of BY")
		}
	}
	switch {
	case by.Return && n <= 0:
		return by, badParameter("BY with R needs a time to come")
	case by.Return && by.Within < least:
		return by, unknownParameter("BY asks for less time than DELIVERBY offers")
	}
	return by, no
}

// parseRcpt reads the argument of RCPT.
func parseRcpt(arg string, utf8OK bool) (r mail.Recipient, no mail.Reply) {
	bad := mail.Status{5, 1, 3}
	to, rest, no := cutPath(arg, "TO:", bad)
	if !no.IsZero() {
		return r, no
	}
	if to.IsNull() {
		return r, mail.Reply{Code: 501, Status: bad, Text: "The null path is no recipient"}
	}
	r.Address = to
	for rest != "" {
		var keyword, value string
		var given bool
		keyword, value, given, rest = cutParameter(rest)
		switch {
		case keyword == "" && !given:
		case keyword == "NOTIFY":
			if r.Notify != 0 {
				return r, badParameter("NOTIFY given twice")
			}
			n, err := mail.ParseNotify(value)
			if err != nil {
				return r, badParameter("NOTIFY is NEVER, or a list of SUCCESS, FAILURE and DELAY")
			}
			r.Notify = n
		case keyword == "ORCPT":
			if r.Original != "" {
				return r, badParameter("ORCPT given twice")
			}
			if r.Original = checkOriginal(value, utf8OK); r.Original == "" {
				return r, badParameter("ORCPT is a type, a semicolon and up to 500 characters of xtext")
			}
		default:
			return r, unknownParameter("Unknown parameter of RCPT")
		}
	}
	if !utf8OK && !to.IsASCII() {
		return r, needUTF8
	}
	return r, mail.Reply{}
}

// checkOriginal returns ORCPT as it may be kept, or "" if it may not. The "=" of
// X.400 addresses, which some gateways forget to encode, becomes xtext.
func checkOriginal(s string, utf8OK bool) string {
	kind, addr, found := strings.Cut(s, ";")
	if !found || kind == "" || addr == "" || len(s) > 500 { // RFC 3461 4.2
		return ""
	}
	for _, c := range []byte(kind) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\".[]=+`, c) >= 0 {
			return ""
		}
	}
	if strings.Contains(addr, "=") {
		addr = strings.ReplaceAll(addr, "=", "+3D")
		s = kind + ";" + addr
	}
	if printableXText(addr) {
		return s
	}
	// RFC 6533 3: with SMTPUTF8 the address may stand as it is. Postfix 3.7 puts UTF-8
	// into xtext and calls it rfc822: "ORCPT=rfc822;j+C3+BCrgen@example.com".
	asIs := utf8OK && strings.EqualFold(kind, "utf-8")
	if asIs || ascii(addr) && strings.EqualFold(kind, "rfc822") {
		plain, err := mail.DecodeXText(addr)
		if err == nil && utf8.ValidString(plain) && mail.Clean(plain, len(plain)) == plain {
			return s
		}
	}
	return ""
}

// printableXText reports whether s is xtext of printable ASCII: CVE-2020-28026
// was a line end that hid in one.
func printableXText(s string) bool {
	plain, err := mail.DecodeXText(s)
	if err != nil {
		return false
	}
	for i := range len(plain) {
		if plain[i] < ' ' || plain[i] > '~' {
			return false
		}
	}
	return true
}

// parseChunk reads the argument of BDAT (RFC 3030 2).
func parseChunk(arg string) (size int64, last, ok bool) {
	number, word, more := strings.Cut(arg, " ")
	if more && !strings.EqualFold(strings.TrimLeft(word, " "), "LAST") {
		return 0, false, false
	}
	if number == "" || number[0] < '0' || number[0] > '9' {
		return 0, false, false
	}
	n, err := strconv.ParseUint(number, 10, 62)
	return int64(n), more, err == nil
}

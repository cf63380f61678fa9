package dsn

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"mime"
	"mime/quotedprintable"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postrider/postrider/mail"
)

// Way says what the way back is known to be unable to carry.
type Way struct {
	SevenBit bool // no 8BITMIME: text is quoted, an original beyond ASCII is cut to its header
}

// Write returns the report as a complete message, lines ending in CRLF, and what
// its way must be able to carry. The same report gives the same bytes.
func Write(r Report, o Original) ([]byte, Needs) { return AppendTo(nil, r, o, Way{}) }

// AppendTo appends the message to b. Values are bounded and cleaned; bare CR, LF
// and NUL in the original are mended, since no hop may be fed them.
func AppendTo(b []byte, r Report, o Original, w Way) ([]byte, Needs) {
	r = r.normal()
	text, encoding := encodeText(r.Text, w)
	status := statusPart(r)
	needs := Needs{UTF8: !r.From.IsASCII() || !r.To.IsASCII()}
	third := original(o, w, needs.UTF8)
	needs.EightBit = encoding == "8bit" || high(third.body) || high(status)

	boundary := boundary(r.MessageID, text, status, third.body)
	b = letterHeader(b, r, boundary)
	open := func(kind, encoding string) {
		b = append(b, "\r\n--"+boundary+"\r\nContent-Type: "+kind+"\r\n"...)
		if encoding != "" {
			b = append(b, "Content-Transfer-Encoding: "+encoding+"\r\n"...)
		}
		b = append(b, "\r\n"...)
	}
	b = append(b, "This report has parts for people and for programs (RFC 3464).\r\n"...)
	charset := "us-ascii"
	if !isASCII(r.Text) {
		charset = "utf-8"
	}
	open("text/plain; charset="+charset, encoding)
	b = append(b, text...)
	if r.global() {
		open("message/global-delivery-status", eightBit(status))
	} else {
		open("message/delivery-status", "")
	}
	b = append(b, status...)
	if third.kind != "" {
		open(third.kind, third.encoding)
		b = append(b, third.body...)
	}
	return append(b, "\r\n--"+boundary+"--\r\n"...), needs
}

// letterHeader: auto-replied, so that no program answers it (RFC 3834 3.1.7).
func letterHeader(b []byte, r Report, boundary string) []byte {
	field := func(name, value string) {
		if value != "" {
			b = appendFolded(b, name+": ", value, "")
		}
	}
	if !r.From.IsNull() {
		field("From", "Mail Delivery System "+r.From.Path())
	}
	if !r.To.IsNull() {
		field("To", r.To.Path())
	}
	field("Subject", encodeWords(r.Subject))
	if !r.Date.IsZero() {
		field("Date", r.Date.Format(mail.DateTime))
	}
	field("Message-ID", r.MessageID)
	field("In-Reply-To", r.InReplyTo)
	field("References", r.InReplyTo)
	field("Auto-Submitted", "auto-replied")
	field("MIME-Version", "1.0")
	return append(b, "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\""+boundary+"\"\r\n\r\n"...)
}

func encodeWords(s string) string {
	if isASCII(s) {
		return s
	}
	return mime.QEncoding.Encode("utf-8", s)
}

// encodeText returns the text in CRLF lines. It stays readable in the raw
// message where it can: quoting is for long lines and narrow ways.
func encodeText(s string, w Way) (text []byte, encoding string) {
	crlf := strings.ReplaceAll(s, "\n", "\r\n")
	long := false
	for l := range strings.Lines(s) {
		long = long || len(l) > 990
	}
	switch {
	case long || w.SevenBit && !isASCII(s):
		return quoted([]byte(crlf)), "quoted-printable"
	case isASCII(s):
		return []byte(crlf), "7bit"
	}
	return []byte(crlf), "8bit"
}

func quoted(b []byte) []byte {
	var out bytes.Buffer
	q := quotedprintable.NewWriter(&out)
	q.Write(b) // into memory: cannot fail
	q.Close()
	return out.Bytes()
}

// part is the third part of a report.
type part struct {
	kind, encoding string
	body           []byte
}

// original chooses the form of what is returned: a global type only for what was
// sent as such (RFC 6533 4), and in 8 bits only where the letter needs SMTPUTF8
// anyway. A bounce that asks for more than its addresses do could not be handed
// to a host without it, and has no sender to tell so.
func original(o Original, w Way, utf8Way bool) (p part) {
	if len(o.Header) == 0 {
		return part{}
	}
	header, body := mend(o.Header), mend(o.Body)
	global := o.UTF8 && high(header) && utf8.Valid(header)
	whole := o.Whole && !(w.SevenBit && (high(header) || high(body)))
	switch {
	case whole && global:
		p.kind = "message/global"
	case whole:
		p.kind = "message/rfc822"
	case global:
		p.kind = "message/global-headers"
	default:
		p.kind = "text/rfc822-headers"
	}
	if p.body = header; whole {
		p.body = append(append(header, "\r\n"...), body...)
	}
	switch {
	case global && (w.SevenBit || !utf8Way), w.SevenBit && high(p.body): // RFC 6532 3.7, RFC 6522 4
		p.body, p.encoding = quoted(p.body), "quoted-printable"
	default:
		p.encoding = eightBit(p.body)
	}
	return p
}

// mend makes every line end a CRLF and every NUL a '?': what is behind this may
// take a bare CR or LF for the end of the letter.
func mend(b []byte) []byte {
	out := make([]byte, 0, len(b)+2)
	for i, c := range b {
		switch {
		case c == 0:
			c = '?'
		case c == '\r' && (i+1 == len(b) || b[i+1] != '\n'):
			out = append(out, '\r')
			c = '\n'
		case c == '\n' && (i == 0 || b[i-1] != '\r'):
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	return out
}

func eightBit(b []byte) string {
	if high(b) {
		return "8bit"
	}
	return ""
}

func high(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return true
		}
	}
	return false
}

// statusPart writes the fields for programs.
func statusPart(r Report) []byte {
	var b []byte
	field := func(name, value string) {
		if value != "" {
			b = appendFolded(b, name+": ", value, "")
		}
	}
	date := func(name string, t time.Time) {
		if !t.IsZero() {
			field(name, t.Format(mail.DateTime))
		}
	}
	field("Original-Envelope-Id", r.EnvelopeID)
	field("Reporting-MTA", r.ReportingMTA.String())
	field("DSN-Gateway", r.Gateway.String())
	field("Received-From-MTA", r.ReceivedFrom.String())
	date("Arrival-Date", r.Arrival)
	for _, f := range r.Extra {
		field(f.Name, f.Value)
	}
	for _, rc := range r.Recipients {
		b = append(b, "\r\n"...)
		field("Original-Recipient", rc.Original.String())
		field("Final-Recipient", rc.Final.String())
		field("Action", rc.Action.String())
		field("Status", rc.Status.String())
		field("Remote-MTA", rc.RemoteMTA.String())
		if !rc.Diagnostic.IsZero() {
			b = appendFolded(b, "Diagnostic-Code: "+rc.Diagnostic.Type+"; ", rc.Diagnostic.Value, rc.Diagnostic.Value)
		}
		date("Last-Attempt-Date", rc.LastAttempt)
		field("Final-Log-ID", rc.LogID)
		date("Will-Retry-Until", rc.WillRetryUntil)
		for _, f := range rc.Extra {
			field(f.Name, f.Value)
		}
	}
	return b
}

// foldAt is where a line is folded if it can be.
const foldAt = 76

// appendFolded appends a field so that taking the line ends out again gives its
// value back: it folds in front of a single blank, and never where what follows
// would read as the next line of the reply that begins with reply.
func appendFolded(b []byte, name, value, reply string) []byte {
	b = append(b, name...)
	width := len(name)
	for i, l := range strings.Split(value, "\n") {
		if i > 0 {
			b, width = append(b, "\r\n "...), 1
		}
		for {
			cut := foldPlace(l, width, reply)
			if cut < 0 {
				b = append(b, l...)
				break
			}
			b = append(b, l[:cut]...)
			b = append(b, "\r\n "...)
			l, width = l[cut+1:], 1
		}
	}
	return append(b, "\r\n"...)
}

// foldPlace returns the index of the blank to fold at; -1: none is needed, or
// there is none.
func foldPlace(l string, width int, reply string) int {
	if width+len(l) <= foldAt {
		return -1
	}
	best := -1
	for i := 1; i < len(l)-1; i++ {
		if l[i] != ' ' || l[i-1] == ' ' || l[i+1] == ' ' || reply != "" && continues(reply, l[i+1:]) {
			continue
		}
		if width+i > foldAt && best >= 0 {
			break
		}
		best = i
	}
	if best < 0 && reply != "" && width+len(l) > longestWord {
		return foldPlace(l, width, "") // "550 550 550 …": a line has its limit
	}
	return best
}

// boundary makes a boundary that occurs in none of the parts.
func boundary(id string, parts ...[]byte) string {
	for n := 0; ; n++ {
		sum := sha256.Sum256([]byte(id + "\x00" + strconv.Itoa(n)))
		s := "=_" + hex.EncodeToString(sum[:12])
		taken := false
		for _, p := range parts {
			taken = taken || bytes.Contains(p, []byte(s))
		}
		if !taken {
			return s
		}
	}
}

package dsn

import (
	"bytes"
	"errors"
	"io"
	"mime"
	netmail "net/mail"
	"strings"
	"time"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // reports come in every charset

	"github.com/postrider/postrider/mail"
)

// ErrNoReport is returned for a message that has no delivery-status part.
var ErrNoReport = errors.New("dsn: no delivery report")

// Bounds of what Read takes in.
const (
	maxParts      = 50
	maxRecipients = 5000
	maxPart       = 32 << 20
	maxDepth      = 5
)

// Read reads a report out of a whole message. It forgives what real reports get
// wrong as long as fields can be told apart; with a part cut short it returns
// what it has. Fields that RFC 3464 does not define, and words that it does not
// allow, are kept in Extra.
func Read(msg []byte) (Report, Original, error) {
	var (
		r Report
		o Original
	)
	e, err := message.ReadWithOptions(bytes.NewReader(lineEnds(msg)), &message.ReadOptions{MaxHeaderBytes: 1 << 20})
	if e == nil || err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
		return r, o, errors.Join(ErrNoReport, err)
	}
	r.From = addressIn(e.Header.Get("From"))
	r.To = addressIn(e.Header.Get("To"))
	r.Subject = decodeWords(e.Header.Get("Subject"))
	r.Date = dateIn(e.Header.Get("Date"))
	r.MessageID = angled(e.Header.Get("Message-Id"))
	r.InReplyTo = angled(firstWord(e.Header.Get("In-Reply-To")))
	found := false
	readParts(e, &r, &o, &found, 0)
	if b, ok := looseStatus(msg); ok && !found {
		found = true
		readStatus(b, &r)
	}
	if !found {
		return r, o, ErrNoReport
	}
	return r.normal(), o, nil
}

// readParts walks the parts; the first of each kind counts.
func readParts(e *message.Entity, r *Report, o *Original, found *bool, depth int) {
	kind, _, _ := e.Header.ContentType()
	if parts := e.MultipartReader(); parts != nil {
		for range maxParts {
			p, err := parts.NextPart()
			if p == nil || depth == maxDepth {
				return
			}
			readParts(p, r, o, found, depth+1)
			if err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
				return
			}
		}
		return
	}
	body := func() []byte {
		b, _ := io.ReadAll(io.LimitReader(e.Body, maxPart)) // a part cut short is read as far as it goes
		return b
	}
	switch kind {
	case "message/delivery-status", "message/global-delivery-status":
		if !*found {
			*found = true
			readStatus(body(), r)
		}
	case "message/rfc822", "message/global":
		if o.Header == nil {
			o.Header, o.Body = mail.SplitMessage(body())
			o.Whole, o.UTF8 = true, kind == "message/global"
		}
	case "text/rfc822-headers", "message/rfc822-headers", "message/global-headers":
		if o.Header == nil {
			o.Header, o.UTF8 = body(), kind == "message/global-headers"
		}
	case "text/plain":
		if r.Text == "" && !*found {
			r.Text = text(string(body()))
		}
	}
}

// looseStatus finds a delivery-status part by its own header where the frame of
// the parts is broken: a wrong boundary, a report inside the text of another.
func looseStatus(msg []byte) ([]byte, bool) {
	msg = lineEnds(msg)
	lower := bytes.ToLower(msg)
	i := bytes.Index(lower, []byte("\ncontent-type: message/delivery-status"))
	if i < 0 || len(lower) != len(msg) {
		return nil, false
	}
	_, b, ok := bytes.Cut(msg[i:], []byte("\r\n\r\n"))
	b, _, _ = bytes.Cut(b, []byte("\r\n--"))
	return b, ok
}

// lineEnds makes every line end CRLF: files with LF alone, or CR alone, occur.
func lineEnds(b []byte) []byte {
	if !bytes.Contains(b, []byte("\n")) {
		b = bytes.ReplaceAll(b, []byte("\r"), []byte("\n"))
	}
	// The line that mailbox files put in front of a message is none of its own.
	for bytes.HasPrefix(b, []byte("From ")) || bytes.HasPrefix(b, []byte(">From ")) {
		_, b, _ = bytes.Cut(b, []byte("\n"))
	}
	out := make([]byte, 0, len(b)+len(b)/40)
	for i, c := range b {
		if c == '\n' && (i == 0 || b[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	return out
}

// readStatus reads the groups of fields. A group belongs to a recipient if one
// of its fields does; Gmail and others put a blank line into a group, so a group
// without a recipient of its own continues the one before it.
func readStatus(b []byte, r *Report) {
	for group := range bytes.SplitSeq(b, []byte("\r\n\r\n")) {
		fields := fieldsIn(group)
		recipient, begins := false, false
		for _, f := range fields {
			recipient = recipient || recipientField(f.Name)
			begins = begins || strings.EqualFold(f.Name, "Final-Recipient") || strings.EqualFold(f.Name, "Original-Recipient")
		}
		if recipient && (begins || len(r.Recipients) == 0) {
			if len(r.Recipients) == maxRecipients {
				return
			}
			r.Recipients = append(r.Recipients, Recipient{})
		}
		for _, f := range fields {
			switch {
			case recipient && !messageField(f.Name) || len(r.Recipients) > 0 && recipientField(f.Name):
				r.Recipients[len(r.Recipients)-1].set(f)
			default:
				r.set(f)
			}
		}
	}
}

// fieldsIn reads fields; a line that is none is passed over. The lines of a
// reply in a Diagnostic-Code stay apart.
func fieldsIn(b []byte) []Field {
	var fs []Field
	for l := range bytes.SplitSeq(b, []byte("\r\n")) {
		s := strings.TrimRight(string(l), " \t")
		if s != "" && (s[0] == ' ' || s[0] == '\t') {
			if len(fs) == 0 {
				continue
			}
			f := &fs[len(fs)-1]
			if _, reply, _ := strings.Cut(f.Value, ";"); strings.EqualFold(f.Name, "Diagnostic-Code") && continues(strings.TrimSpace(reply), strings.TrimLeft(s, " \t")) {
				f.Value += "\n" + strings.TrimLeft(s, " \t")
			} else {
				f.Value += " " + strings.TrimLeft(s, " \t")
			}
			continue
		}
		name, value, ok := strings.Cut(s, ":")
		if name = strings.TrimSpace(name); !ok || name == "" || strings.ContainsAny(name, " \t") {
			continue
		}
		fs = append(fs, Field{name, strings.TrimLeft(value, " \t")})
	}
	return fs
}

func messageField(name string) bool {
	switch strings.ToLower(name) {
	case "original-envelope-id", "reporting-mta", "dsn-gateway", "received-from-mta", "arrival-date":
		return true
	}
	return false
}

func recipientField(name string) bool {
	switch strings.ToLower(name) {
	case "original-recipient", "final-recipient", "action", "status", "remote-mta", "diagnostic-code", "last-attempt-date", "final-log-id", "will-retry-until":
		return true
	}
	return false
}

func (r *Report) set(f Field) {
	switch strings.ToLower(f.Name) {
	case "original-envelope-id":
		r.EnvelopeID = f.Value
	case "reporting-mta":
		r.ReportingMTA = typed(f.Value, "dns")
	case "dsn-gateway":
		r.Gateway = typed(f.Value, "dns")
	case "received-from-mta":
		r.ReceivedFrom = typed(f.Value, "dns")
	case "arrival-date":
		r.Arrival = dateIn(f.Value)
	default:
		r.Extra = append(r.Extra, f)
	}
}

func (r *Recipient) set(f Field) {
	switch strings.ToLower(f.Name) {
	case "original-recipient":
		r.Original = typed(f.Value, "rfc822")
		if r.Original.Type == "utf-8" {
			r.Original.Value = decodeUniText(r.Original.Value)
		}
	case "final-recipient":
		r.Final = typed(f.Value, "rfc822")
	case "action":
		if err := r.Action.UnmarshalText([]byte(firstWord(f.Value))); err != nil {
			r.Extra = append(r.Extra, Field{"X-Action", f.Value})
		}
	case "status":
		if err := r.Status.UnmarshalText([]byte(firstWord(f.Value))); err != nil {
			r.Extra = append(r.Extra, Field{"X-Status", f.Value})
		}
	case "remote-mta":
		r.RemoteMTA = typed(f.Value, "dns")
	case "diagnostic-code":
		r.Diagnostic = typed(f.Value, "smtp")
	case "last-attempt-date":
		r.LastAttempt = dateIn(f.Value)
	case "will-retry-until":
		r.WillRetryUntil = dateIn(f.Value)
	case "final-log-id":
		r.LogID = f.Value
	default:
		r.Extra = append(r.Extra, f)
	}
}

// typed splits "type; value"; hosts that leave the type out exist.
func typed(s, otherwise string) Typed {
	kind, value, ok := strings.Cut(s, ";")
	if kind = strings.ToLower(strings.TrimSpace(kind)); !ok || atom(kind) != kind {
		return Typed{otherwise, strings.TrimSpace(s)}
	}
	return Typed{kind, strings.TrimSpace(value)}
}

// firstWord drops comments and what follows: "5.0.0 (permanent failure)".
func firstWord(s string) string {
	w, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	return strings.TrimRight(w, ";,")
}

// dateIn reads a date with or without a comment behind it; zero if it is none.
func dateIn(s string) time.Time {
	if t, err := netmail.ParseDate(s); err == nil {
		return moment(t)
	}
	s, _, _ = strings.Cut(s, "(")
	t, err := netmail.ParseDate(strings.TrimSpace(s))
	if err != nil {
		return time.Time{}
	}
	return moment(t)
}

// addressIn reads the address of a From or To field, in angle brackets or bare.
func addressIn(s string) mail.Address {
	if i := strings.IndexByte(s, '<'); i >= 0 {
		if a, _, err := mail.ParsePath(s[i:]); err == nil {
			return address(a)
		}
	}
	a, err := mail.ParseAddress(strings.TrimSpace(s))
	if err != nil {
		return mail.Address{}
	}
	return address(a)
}

func decodeWords(s string) string {
	d := mime.WordDecoder{CharsetReader: message.CharsetReader}
	if t, err := d.DecodeHeader(s); err == nil {
		return t
	}
	return s
}

package api

import (
	"mime"
	"regexp"
	"strings"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // all that senders write in

	"github.com/postrider/postrider/mail"
)

// subjectMost bounds a subject that is shown, in octets.
const subjectMost = 300

// cutOff is the beginning of an encoded word whose end is missing.
var cutOff = regexp.MustCompile(`=\?[\w.:*-]+(\?([bBqQ](\?([^?]*\??)?)?)?)?$`)

// SubjectOf is the subject of a header as a person reads it: its encoded words
// decoded (RFC 2047). One that was cut off in the middle of such a word ends with an
// ellipsis; what cannot be decoded stays as it came.
func SubjectOf(raw string) string {
	if !strings.Contains(raw, "=?") {
		return mail.Clean(raw, subjectMost)
	}
	whole := strings.TrimRight(cutOff.ReplaceAllString(raw, ""), " ")
	d := mime.WordDecoder{CharsetReader: message.CharsetReader}
	s, err := d.DecodeHeader(whole)
	if err != nil {
		return mail.Clean(raw, subjectMost)
	}
	if len(whole) < len(raw) {
		s += "…"
	}
	return mail.Clean(s, subjectMost)
}
